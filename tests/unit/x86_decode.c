/*
 * The decoder on chosen instructions: operands, prefixes, rules of #UD, lengths,
 * flags.  Expectations from the SDM; that every opcode has its right length and
 * name is compared with Capstone and the host in the tests beside this one.
 */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "x86/cpu.h"

/* Hexadecimal to bytes; blanks are skipped. */
static size_t bytes(uint8_t *out, const char *hex)
{
	size_t n = 0;
	int used;
	unsigned v;

	while (sscanf(hex, "%2x%n", &v, &used) == 1) {
		out[n++] = v;
		hex += used;
	}
	return n;
}

static int decode(struct x86_insn *in, unsigned mode, const char *hex)
{
	uint8_t buf[64];

	return x86_decode(in, buf, bytes(buf, hex), mode);
}

/* "r4:0" is a 4-byte GPR 0, "h:0" AH, "m8", "i4" immediate, "j" relative, ... */
static void operand_text(char *out, const struct x86_insn *in, unsigned i)
{
	static const char *const letter[] = {
		[X86_O_GPR] = "r", [X86_O_GPRH] = "h", [X86_O_MEM] = "m",
		[X86_O_IMM] = "i", [X86_O_IMM2] = "I", [X86_O_REL] = "j",
		[X86_O_FAR] = "f", [X86_O_SEG] = "s", [X86_O_CR] = "c",
		[X86_O_DR] = "d", [X86_O_ST] = "t", [X86_O_MMX] = "q",
		[X86_O_XMM] = "x", [X86_O_YMM] = "y",
	};
	static const char *const access[] = { "", "<", ">", "=" };
	const struct x86_operand *o = &in->o[i];

	if (o->kind == X86_O_MEM || o->kind == X86_O_IMM || o->kind == X86_O_IMM2 ||
	    o->kind == X86_O_REL || o->kind == X86_O_FAR)
		sprintf(out, "%s%u%s", letter[o->kind], o->size, access[o->access]);
	else
		sprintf(out, "%s%u:%u%s", letter[o->kind], o->size, o->reg,
			access[o->access]);
}

static const char *text(const struct x86_insn *in)
{
	static char out[200];

	strcpy(out, x86_op_name(in->op));
	for (unsigned i = 0; i < in->nops; i++) {
		strcat(out, " ");
		operand_text(out + strlen(out), in, i);
	}
	return out;
}

/* < read, > written, = both. */
static const struct {
	unsigned mode;
	const char *hex, *want;
} operands[] = {
	{ 32, "89 c8", "mov r4:0> r4:1<" },
	{ 16, "89 c8", "mov r2:0> r2:1<" },
	{ 16, "66 89 c8", "mov r4:0> r4:1<" },
	{ 64, "4d 89 c8", "mov r8:8> r8:9<" },
	{ 64, "66 48 89 c8", "mov r8:0> r8:1<" },
	{ 64, "48 66 89 c8", "mov r2:0> r2:1<" },	/* REX not next to the opcode */
	{ 32, "88 e0", "mov r1:0> h1:0<" },
	{ 64, "40 88 e0", "mov r1:0> r1:4<" },
	{ 32, "03 04 8d 10 00 00 00", "add r4:0= m4<" },
	{ 32, "3b 45 f8", "cmp r4:0< m4<" },
	{ 32, "83 c0 ff", "add r4:0= i4<" },
	{ 64, "48 81 c0 00 00 00 80", "add r8:0= i8<" },
	{ 64, "48 b8 01 02 03 04 05 06 07 08", "mov r8:0> i8<" },
	{ 32, "8d 44 24 04", "lea r4:0> m0" },
	{ 32, "87 03", "xchg m4= r4:0=" },
	{ 32, "0f b6 c4", "movzx r4:0> h1:0<" },
	{ 32, "0f bf 03", "movsx r4:0> m2<" },
	{ 64, "48 63 c1", "movsxd r8:0> r4:1<" },
	{ 32, "63 c8", "arpl r2:0= r2:1<" },
	{ 32, "c8 10 00 01", "enter i2< I1<" },
	{ 32, "d1 e0", "shl r4:0= i1<" },
	{ 32, "d3 e0", "shl r4:0= r1:1<" },
	{ 32, "0f a4 c8 05", "shld r4:0= r4:1< i1<" },
	{ 32, "e8 00 00 00 00", "call j4<" },
	{ 32, "66 e8 00 00", "call j2<" },
	{ 64, "e8 00 00 00 00", "call j8<" },
	{ 32, "9a 00 00 00 00 08 00", "callf f6<" },
	{ 32, "ff 1b", "callf m6<" },
	{ 16, "ff 1f", "callf m4<" },
	{ 64, "50", "push r8:0<" },
	{ 64, "66 50", "push r2:0<" },
	{ 64, "6a ff", "push i8<" },
	{ 32, "06", "push s2:0<" },
	{ 32, "8c d8", "mov_seg r4:0> s2:3<" },
	{ 32, "8c 18", "mov_seg m2> s2:3<" },
	{ 32, "8e d8", "mov_seg s2:3> r2:0<" },
	{ 32, "0f 22 d8", "mov_cr c4:3> r4:0<" },
	{ 64, "44 0f 20 c0", "mov_cr r8:0> c8:8<" },
	{ 32, "0f 23 38", "mov_dr d4:7> r4:0<" },	/* mod is ignored */
	{ 32, "0f 00 00", "sldt m2>" },
	{ 32, "0f 00 c0", "sldt r4:0>" },
	{ 32, "0f 01 10", "lgdt m6<" },
	{ 64, "0f 01 10", "lgdt m10<" },
	{ 32, "62 03", "bound r4:0< m8<" },
	{ 32, "e4 60", "in r1:0> i1<" },
	{ 64, "48 ed", "in r4:0> r2:2<" },
	{ 32, "a1 00 00 00 80", "mov r4:0> m4<" },
	{ 32, "0f c7 0b", "cmpxchg8b m8=" },
	{ 64, "48 0f c7 0b", "cmpxchg16b m16=" },
	{ 32, "a5", "movs" },
	{ 32, "90", "nop" }, { 32, "f3 90", "pause" },
	{ 64, "41 90", "xchg r4:8= r4:0=" },
	{ 32, "d8 c1", "fadd t10:0= t10:1<" },
	{ 32, "dc c1", "fadd t10:1= t10:0<" },
	{ 32, "db 2b", "fld m10<" },
	{ 32, "df e0", "fnstsw r2:0>" },
	{ 32, "0f 6f c1", "movq q8:0> q8:1<" },
	{ 32, "66 0f 6f c1", "movdqa x16:0> x16:1<" },
	{ 32, "f3 0f 58 03", "addss x4:0= m4<" },
	{ 32, "66 f2 0f 58 c1", "addsd x8:0= x8:1<" },	/* F2 wins over 66 */
	{ 64, "f2 48 0f 2a c0", "cvtsi2sd x8:0> r8:0<" },
	{ 32, "66 0f 3a 22 c0 01", "pinsrd x16:0= r4:0< i1<" },
	{ 64, "66 48 0f 3a 22 c0 01", "pinsrq x16:0= r8:0< i1<" },
	{ 32, "f2 0f 38 f1 c1", "crc32 r4:0= r4:1<" },
	{ 32, "66 f2 0f 38 f1 c1", "crc32 r4:0= r2:1<" },
	{ 32, "66 0f 38 f1 03", "movbe m2> r2:0<" },
	{ 64, "c5 f4 58 c2", "vaddps y32:0> y32:1< y32:2<" },
	{ 64, "c4 c1 70 58 c0", "vaddps x16:0> x16:1< x16:8<" },
	{ 64, "c5 fd 10 03", "vmovupd y32:0> m32<" },
	{ 64, "c5 fa 10 03", "vmovss x4:0> m4<" },
	{ 64, "c4 e3 71 4a c2 30", "vblendvps x16:0> x16:1< x16:2< x16:3<" },
	{ 64, "c4 e2 f1 98 c2", "vfmadd132pd x16:0= x16:1< x16:2<" },
	{ 64, "c4 e2 71 90 04 13", "vpgatherdd x16:0= m4< x16:1=" },
	{ 64, "c4 e2 f5 91 04 13", "vpgatherqq y32:0= m8< y32:1=" },
	{ 64, "c4 e2 f3 f6 c2", "mulx r8:0> r8:1> r8:2<" },
	{ 32, "c4 e2 f0 f2 c2", "andn r4:0> r4:1< r4:2<" },	/* W counts in 64-bit code only */
	{ 32, "c4 03", "les r4:0> m6<" },
	{ 64, "66 0f 78 c1 04 05", "extrq x16:1= i1< I1<" },
};

static void test_operands(void)
{
	for (size_t i = 0; i < sizeof(operands) / sizeof(operands[0]); i++) {
		struct x86_insn in;
		uint8_t buf[64];
		int want = bytes(buf, operands[i].hex);
		int rc = decode(&in, operands[i].mode, operands[i].hex);

		check(rc == want && in.len == want, "%s: %d", operands[i].hex, rc);
		check(rc < 0 || !strcmp(text(&in), operands[i].want), "%s: %s, not %s",
		      operands[i].hex, text(&in), operands[i].want);
	}
}

static const struct {
	unsigned mode;
	const char *hex;
	uint8_t seg, base, index, scale, adsize;
	int64_t disp;
} memory[] = {
	{ 32, "8b 00", X86_DS, X86_RAX, X86_NOREG, 0, 4, 0 },
	{ 32, "8b 45 80", X86_SS, X86_RBP, X86_NOREG, 0, 4, -128 },
	{ 32, "8b 05 00 00 00 80", X86_DS, X86_NOREG, X86_NOREG, 0, 4, INT32_MIN },
	{ 64, "8b 05 00 00 00 80", X86_DS, X86_RIP, X86_NOREG, 0, 8, INT32_MIN },
	{ 64, "67 8b 05 01 00 00 00", X86_DS, X86_RIP, X86_NOREG, 0, 4, 1 },
	{ 64, "8b 04 25 01 00 00 00", X86_DS, X86_NOREG, X86_NOREG, 0, 8, 1 },
	{ 32, "8b 04 24", X86_SS, X86_RSP, X86_NOREG, 0, 4, 0 },
	{ 32, "8b 44 dd 08", X86_SS, X86_RBP, X86_RBX, 3, 4, 8 },
	{ 32, "8b 04 6b", X86_DS, X86_RBX, X86_RBP, 1, 4, 0 },	/* index: no SS */
	{ 32, "8b 04 8d 10 00 00 00", X86_DS, X86_NOREG, X86_RCX, 2, 4, 16 },
	{ 64, "43 8b 04 25 10 00 00 00", X86_DS, X86_NOREG, X86_R12, 0, 8, 16 },
	{ 64, "41 8b 45 00", X86_DS, X86_R13, X86_NOREG, 0, 8, 0 },
	{ 64, "42 8b 04 20", X86_DS, X86_RAX, X86_R12, 0, 8, 0 },
	{ 32, "64 8b 45 00", X86_FS, X86_RBP, X86_NOREG, 0, 4, 0 },
	{ 32, "64 3e 8b 45 00", X86_DS, X86_RBP, X86_NOREG, 0, 4, 0 },	/* last wins */
	{ 64, "64 3e 8b 45 00", X86_FS, X86_RBP, X86_NOREG, 0, 8, 0 },	/* 3E is void */
	{ 16, "8b 00", X86_DS, X86_RBX, X86_RSI, 0, 2, 0 },
	{ 16, "8b 02", X86_SS, X86_RBP, X86_RSI, 0, 2, 0 },
	{ 16, "8b 06 34 92", X86_DS, X86_NOREG, X86_NOREG, 0, 2, (int16_t)0x9234 },
	{ 16, "8b 46 ff", X86_SS, X86_RBP, X86_NOREG, 0, 2, -1 },
	{ 16, "8b 85 00 80", X86_DS, X86_RDI, X86_NOREG, 0, 2, -32768 },
	{ 16, "67 8b 04 24", X86_SS, X86_RSP, X86_NOREG, 0, 4, 0 },
	{ 32, "a1 00 00 00 80", X86_DS, X86_NOREG, X86_NOREG, 0, 4, 0x80000000 },
	{ 32, "67 a1 00 80", X86_DS, X86_NOREG, X86_NOREG, 0, 2, 0x8000 },
	{ 64, "a1 01 02 03 04 05 06 07 08", X86_DS, X86_NOREG, X86_NOREG, 0, 8,
	  0x0807060504030201 },
	{ 32, "2e a4", X86_CS, X86_NOREG, X86_NOREG, 0, 4, 0 },
	{ 64, "c4 e2 71 90 04 23", X86_DS, X86_RBX, 4, 0, 8, 0 },	/* VSIB: xmm4 */
};

static void test_memory(void)
{
	for (size_t i = 0; i < sizeof(memory) / sizeof(memory[0]); i++) {
		struct x86_insn in;
		int rc = decode(&in, memory[i].mode, memory[i].hex);

		check(rc > 0, "%s: %d", memory[i].hex, rc);
		check(in.seg == memory[i].seg, "%s: segment %d", memory[i].hex, in.seg);
		check(in.base == memory[i].base && in.index == memory[i].index &&
		      in.scale == memory[i].scale, "%s: %d + %d << %d", memory[i].hex,
		      in.base, in.index, in.scale);
		check(in.adsize == memory[i].adsize, "%s: address size %d",
		      memory[i].hex, in.adsize);
		check(in.disp == memory[i].disp, "%s: displacement %lld",
		      memory[i].hex, (long long)in.disp);
	}
}

/* What must fail, and with what. */
static const struct {
	unsigned mode;
	const char *hex;
	int rc;
} bad[] = {
	/* LOCK */
	{ 32, "f0 89 03", -EINVAL }, { 32, "f0 01 c0", -EINVAL },
	{ 32, "f0 03 03", -EINVAL }, { 32, "f0 39 03", -EINVAL },
	{ 32, "f0 01 03", 3 }, { 32, "f0 87 03", 3 }, { 32, "f0 0f ab 03", 4 },
	{ 32, "f0 0f a3 03", -EINVAL }, { 32, "f0 90", -EINVAL },
	{ 32, "f0 0f c7 0b", 4 }, { 32, "f0 f6 13", 3 }, { 32, "f0 f6 23", -EINVAL },
	/* modes */
	{ 64, "06", -EINVAL }, { 64, "27", -EINVAL }, { 64, "60", -EINVAL },
	{ 64, "62 f1 7c 48 10 06", -EINVAL }, { 64, "9a", -EINVAL },
	{ 64, "82 c0 01", -EINVAL }, { 32, "82 c0 01", 3 }, { 64, "d6", -EINVAL },
	{ 64, "ce", -EINVAL }, { 64, "ea", -EINVAL }, { 64, "d4 0a", -EINVAL },
	{ 32, "0f 01 f8", -EINVAL }, { 64, "0f 01 f8", 3 },
	{ 32, "f3 0f ae c0", -EINVAL }, { 64, "f3 0f ae c0", 4 },
	/* register or memory only */
	{ 32, "8d c0", -EINVAL }, { 32, "0f c7 c8", -EINVAL }, { 32, "62 c0", -EINVAL },
	{ 32, "0f b2 c0", -EINVAL }, { 32, "ff d8", -EINVAL }, { 32, "ff e8", -EINVAL },
	{ 32, "66 0f 50 03", -EINVAL }, { 32, "0f f7 03", -EINVAL },
	{ 32, "0f 01 38", 3 }, { 32, "0f 13 c0", -EINVAL }, { 32, "66 0f 12 c0", -EINVAL },
	/* empty slots */
	{ 32, "ff 38", -EINVAL }, { 32, "8f c8", -EINVAL }, { 32, "c6 f8 00", -EINVAL },
	{ 32, "0f 04", -EINVAL }, { 32, "0f 0e", -EINVAL }, { 32, "0f 0f c0 90", -EINVAL },
	{ 32, "0f 24 c0", -EINVAL }, { 32, "fe 10", -EINVAL }, { 32, "0f ba c0 01", -EINVAL },
	{ 32, "0f 20 c8", -EINVAL }, { 32, "8c f8", -EINVAL }, { 32, "8e c8", -EINVAL },
	{ 32, "d9 d1", -EINVAL }, { 32, "d9 0b", -EINVAL }, { 32, "db e5", -EINVAL },
	{ 32, "0f b8 c0", -EINVAL }, { 32, "f3 0f b8 c0", 4 },
	{ 64, "44 0f 21 c0", -EINVAL }, { 64, "44 0f 20 c8", -EINVAL },
	/* mandatory prefixes */
	{ 32, "f3 0f 6e c0", -EINVAL }, { 32, "66 0f c3 03", -EINVAL },
	{ 32, "66 0f 01 d0", -EINVAL }, { 32, "0f 01 d0", 3 },
	{ 32, "f3 0f 38 f0 03", -EINVAL }, { 32, "0f 3a 22 c0 01", -EINVAL },
	{ 32, "f3 0f c7 f0", -EINVAL }, { 32, "66 0f c7 f0", 4 },
	/* VEX */
	{ 64, "66 c5 f8 58 c0", -EINVAL }, { 64, "f0 c5 f8 58 c0", -EINVAL },
	{ 64, "48 c5 f8 58 c0", -EINVAL }, { 64, "f3 c5 f8 58 c0", -EINVAL },
	{ 64, "65 c5 f8 58 00", 5 },
	{ 64, "c4 e0 78 58 c0", -EINVAL },	/* no such map */
	{ 64, "c5 f0 28 c0", -EINVAL },		/* vvvv must be 1111 */
	{ 64, "c5 fc 12 03", -EINVAL },		/* L must be 0 */
	{ 64, "c4 e2 79 16 c0", -EINVAL },	/* L must be 1 */
	{ 64, "c4 e3 7d 00 c0 01", -EINVAL },	/* W must be 1 */
	{ 64, "c4 e3 fd 00 c0 01", 6 },
	{ 64, "c4 e2 f9 18 03", -EINVAL },	/* W must be 0 */
	{ 64, "c5 f4 ae 13", -EINVAL },
	{ 64, "c4 e2 71 90 c0", -EINVAL },	/* VSIB needs memory */
	{ 64, "c4 e2 71 90 03", -EINVAL },	/* and a SIB byte */
	{ 64, "c4 e2 71 90 04 03", -EINVAL },	/* destination is the index */
	{ 64, "c4 e2 71 90 0c 13", -EINVAL },	/* destination is the mask */
	{ 64, "c5 f8 77", 3 }, { 64, "c5 fc 77", 3 }, { 64, "c5 f9 77", -EINVAL },
	/* lengths */
	{ 32, "66 66 66 66 66 66 66 66 66 66 66 66 66 66 90", 15 },
	{ 32, "66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90", -E2BIG },
	{ 32, "2e 2e 2e 2e 2e 2e 2e 81 84 24 00 00 00 00 01 02 03 04", -E2BIG },
	{ 32, "2e 2e 2e 2e 81 84 24 00 00 00 00 01 02 03 04", 15 },
	{ 32, "66 66 66 66 66 66 66 66 66 66 66 66 66 66", -EAGAIN },
	{ 32, "", -EAGAIN }, { 32, "0f", -EAGAIN }, { 32, "0f 38", -EAGAIN },
	{ 32, "81 c0 01 02 03", -EAGAIN }, { 32, "8b 04", -EAGAIN },
	{ 32, "c4", -EAGAIN }, { 64, "c5", -EAGAIN }, { 64, "c4 e2", -EAGAIN },
	{ 32, "0f ff c0", 3 }, { 32, "0f b9 40 01", 4 }, { 32, "0f 0b", 2 },
};

static void test_bad(void)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct x86_insn in;
		int rc = decode(&in, bad[i].mode, bad[i].hex);

		check(rc == bad[i].rc, "%u-bit %s: %d, not %d", bad[i].mode,
		      bad[i].hex, rc, bad[i].rc);
	}
}

#define CF X86_FL_CF
#define OF X86_FL_OF
#define ZF X86_FL_ZF
#define SF X86_FL_SF
#define PF X86_FL_PF
#define AF X86_FL_AF
#define ALL X86_FL_ARITH

static const struct {
	unsigned mode;
	const char *hex;
	uint32_t read, killed, changed;
} flag[] = {
	{ 32, "01 c0", 0, ALL, ALL }, { 32, "11 c0", CF, ALL, ALL },
	{ 32, "31 c0", 0, ALL, ALL }, { 32, "40", 0, ALL & ~CF, ALL & ~CF },
	{ 32, "89 c0", 0, 0, 0 }, { 32, "8d 00", 0, 0, 0 },
	{ 32, "c1 e0 04", 0, CF | SF | ZF | PF, ALL },
	{ 32, "d1 e0", 0, CF | SF | ZF | PF | OF, ALL },
	{ 32, "c1 e0 00", 0, 0, 0 }, { 32, "c1 e0 20", 0, 0, 0 },
	{ 64, "48 c1 e0 20", 0, CF | SF | ZF | PF, ALL },
	{ 64, "48 c1 e0 40", 0, 0, 0 },
	{ 32, "d3 e0", 0, 0, ALL }, { 32, "d3 c0", 0, 0, CF | OF },
	{ 32, "c1 c0 03", 0, CF, CF | OF }, { 32, "c1 d0 03", CF, 0, CF | OF },
	{ 32, "d1 d0", CF, CF | OF, CF | OF },
	{ 32, "0f a4 c0 03", 0, CF | SF | ZF | PF, ALL },
	{ 32, "66 0f a4 c0 11", 0, 0, ALL }, { 32, "0f a5 c0", 0, 0, ALL },
	{ 32, "0f a3 c0", 0, CF, ALL & ~ZF }, { 32, "0f bc c0", 0, ZF, ALL },
	{ 32, "f7 e0", 0, CF | OF, ALL }, { 32, "f7 f0", 0, 0, ALL },
	{ 32, "74 00", ZF, 0, 0 }, { 32, "7e 00", ZF | SF | OF, 0, 0 },
	{ 32, "0f 97 c0", CF | ZF, 0, 0 }, { 32, "0f 4a c0", PF, 0, 0 },
	{ 32, "a6", 0, ALL, ALL }, { 32, "f3 a6", 0, 0, ALL },
	{ 32, "f2 ae", 0, 0, ALL }, { 32, "9c", ALL, 0, 0 }, { 32, "9d", 0, ALL, ALL },
	{ 32, "9e", 0, ALL & ~OF, ALL & ~OF }, { 32, "9f", ALL & ~OF, 0, 0 },
	{ 32, "f8", 0, CF, CF }, { 32, "f5", CF, CF, CF },
	{ 32, "e1 00", ZF, 0, 0 }, { 32, "e2 00", 0, 0, 0 },
	{ 32, "db f1", 0, ZF | PF | CF, ALL }, { 32, "da c1", CF, 0, 0 },
	{ 32, "0f 2f c1", 0, ALL, ALL }, { 32, "66 0f 38 17 c1", 0, ALL, ALL },
	{ 32, "0f c7 0b", 0, ZF, ZF },
	{ 64, "c4 e2 78 f2 c0", 0, CF | OF | ZF | SF, ALL },
	{ 64, "66 0f 38 f6 c0", CF, CF, CF }, { 64, "f3 0f 38 f6 c0", OF, OF, OF },
	{ 64, "c4 e2 fb f6 c0", 0, 0, 0 },
};

static void test_flags(void)
{
	for (size_t i = 0; i < sizeof(flag) / sizeof(flag[0]); i++) {
		struct x86_insn in;
		int rc = decode(&in, flag[i].mode, flag[i].hex);

		check(rc > 0, "%s: %d", flag[i].hex, rc);
		check(x86_flags_read(&in) == flag[i].read, "%s: %#x read",
		      flag[i].hex, x86_flags_read(&in));
		check(x86_flags_killed(&in) == flag[i].killed, "%s: %#x killed",
		      flag[i].hex, x86_flags_killed(&in));
		check(x86_flags_changed(&in) == flag[i].changed, "%s: %#x changed",
		      flag[i].hex, x86_flags_changed(&in));
	}
}

static void test_fields(void)
{
	struct x86_insn in;
	char out[64], tiny[4];
	uint8_t ud1[] = { 0x0f, 0xb9, 0x40, 0x01 }, junk[] = { 0x0f, 0x04 };

	decode(&in, 32, "66 2e 81 84 24 01 02 03 04 05 06");
	check(in.opcode == 0x81 && in.opcode_off == 2, "opcode at %d", in.opcode_off);
	check(in.modrm == 0x84 && in.modrm_off == 3, "modrm at %d", in.modrm_off);
	check(in.sib == 0x24 && in.disp_off == 5 && in.disp_len == 4,
	      "disp at %d", in.disp_off);
	check(in.imm_off == 9 && in.imm_len == 2 && in.imm == 0x605, "imm at %d",
	      in.imm_off);
	check(in.prefixes == (X86_P_OPSIZE | X86_P_SEG), "prefixes %#x", in.prefixes);

	decode(&in, 32, "c8 34 12 05");
	check(in.imm == 0x1234 && in.imm2 == 5 && in.imm_len == 3, "enter %#llx",
	      (long long)in.imm);
	decode(&in, 32, "9a 78 56 34 12 cd ab");
	check(in.imm == 0x12345678 && in.imm2 == 0xabcd, "far %#llx",
	      (long long)in.imm);
	decode(&in, 32, "6a 80");
	check(in.imm == -128, "push %lld", (long long)in.imm);
	decode(&in, 32, "cd 80");
	check(in.imm == 0x80, "int %lld", (long long)in.imm);
	decode(&in, 32, "0f 8e fe ff ff ff");
	check(in.imm == -2 && in.cond == 14, "jle %lld", (long long)in.imm);
	decode(&in, 64, "c4 63 f9 16 c8 01");
	check(in.prefixes == X86_P_VEX && in.rex == 0x4c && in.map == 3 &&
	      in.pp == 1 && in.vl == 0, "vex: rex %#x", in.rex);
	/* outside 64-bit code B, vvvv's and the immediate's high bit are ignored, and
	 * W with general registers */
	decode(&in, 32, "c4 c2 b0 f2 c2");
	check(in.rex == 0x40 && in.vvvv == 1 && in.how == X86_HOW_SAME,
	      "andn: rex %#x, vvvv %d", in.rex, in.vvvv);
	decode(&in, 32, "c4 e2 f1 98 c2");
	check(in.rex == 0x48, "vfmadd132pd: rex %#x", in.rex);
	decode(&in, 32, "c4 e3 71 4a c2 b0");
	check(in.o[3].reg == 3 && in.how == X86_HOW_CALLOUT, "vblendvps: %d", in.how);
	decode(&in, 32, "c4 e3 71 4a c2 30");
	check(in.how == X86_HOW_SAME, "vblendvps: %d", in.how);
	decode(&in, 32, "9f");
	check(in.feat == X86_F_BASE, "lahf: feature %d", in.feat);
	decode(&in, 64, "9f");
	check(in.feat == X86_F_LAHF64, "lahf: feature %d", in.feat);
	decode(&in, 32, "f2 f3 a4");
	check(in.prefixes == X86_P_REP && in.pp == 2, "the last of F2 F3 counts");
	decode(&in, 32, "e6 80");
	check(in.priv == 2, "out: %d", in.priv);
	decode(&in, 32, "f4");
	check(in.priv == 1 && in.how == X86_HOW_CALLOUT, "hlt: %d", in.priv);
	decode(&in, 32, "0f 58 00");
	check(in.aligned && in.unit == X86_U_SSE, "addps");
	decode(&in, 32, "0f 10 00");
	check(!in.aligned, "movups");
	decode(&in, 32, "f3 0f 58 00");
	check(!in.aligned, "addss");
	decode(&in, 64, "c5 fc 58 00");
	check(!in.aligned && in.feat == X86_F_AVX, "vaddps");
	decode(&in, 64, "c5 fd fc 00");
	check(in.feat == X86_F_AVX2, "vpaddb ymm");
	decode(&in, 64, "c5 f9 fc 00");
	check(in.feat == X86_F_AVX, "vpaddb xmm");

	check(!strcmp(x86_op_name(X86_CMPXCHG8B), "cmpxchg8b"), "name");
	check(!strcmp(x86_op_name(X86_OP_COUNT), "(bad)"), "name");
	check(x86_disas(out, sizeof(out), (const uint8_t *)"\x89\xc8", 2, 0, 32) == 2 &&
	      !strcmp(out, "mov eax, ecx"), "%s", out);
	check(x86_disas(out, sizeof(out), ud1, sizeof(ud1), 0, 32) == 4 &&
	      !strcmp(out, "ud1"), "%s", out);
	check(x86_disas(out, sizeof(out), junk, sizeof(junk), 0, 32) == 1 &&
	      !strcmp(out, "(bad)"), "%s", out);
	check(x86_disas(tiny, sizeof(tiny), (const uint8_t *)"\x89\xc8", 2, 0, 32) == 2 &&
	      !strcmp(tiny, "mov"), "%s", tiny);
}

int main(void)
{
	test_operands();
	test_memory();
	test_bad();
	test_flags();
	test_fields();
	return check_done();
}
