/*
 * The decoder against Capstone: whether an instruction exists, its length, its
 * mnemonic and its number of operands, over the code of whole libraries and over
 * random bytes in 16, 32 and 64-bit mode.  Every difference has to be explained
 * by a row of the tables below.
 *
 * RING1_SEED=N     another seed for the random bytes
 * RING1_KERNEL=F   also over F: a bzImage (unpacked by xz, gzip or zstd) or an
 *                  ELF file
 */
#define x86_reg capstone_x86_reg
#define x86_insn capstone_x86_insn
#include <capstone/capstone.h>
#undef x86_reg
#undef x86_insn
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "x86/insn.h"
#include "x86_code.h"

struct pair {
	const uint8_t *b;
	int own_len, cs_len;	/* own_len: -errno; cs_len 0: Capstone has none */
	struct x86_insn own;
	const cs_insn *cs;
	const char *name;	/* Capstone's, without prefix words */
	unsigned mode, prefixes;	/* number of legacy prefixes and REX */
};

/* ---- the explanations ---- */

static uint8_t byte_at(const struct pair *p, unsigned i)
{
	return p->b[p->prefixes + i];
}

static bool vex(const struct pair *p)
{
	return byte_at(p, 0) == 0xc4 || byte_at(p, 0) == 0xc5;
}

static bool vex3(const struct pair *p)
{
	return byte_at(p, 0) == 0xc4 && (byte_at(p, 1) & 0x1f) == 3;
}

static bool vex32(const struct pair *p)
{
	return vex(p) && p->mode != 64;
}

static bool vex_w(const struct pair *p)
{
	return byte_at(p, 0) == 0xc4 && byte_at(p, 2) & 0x80;
}

static bool vvvv(const struct pair *p)
{
	uint8_t b = byte_at(p, byte_at(p, 0) == 0xc5 ? 1 : 2);

	return vex(p) && (b & 0x78) != 0x78;
}

static bool vex_prefix(const struct pair *p)
{
	return vex(p) && p->own.prefixes & (X86_P_OPSIZE | X86_P_REP |
					     X86_P_REPNE | X86_P_LOCK | X86_P_REX);
}

static bool evex(const struct pair *p)
{
	return byte_at(p, 0) == 0x62;
}

static bool xop(const struct pair *p)
{
	return byte_at(p, 0) == 0x8f && byte_at(p, 1) & 0x38;
}

static bool now3d(const struct pair *p)
{
	return byte_at(p, 0) == 0x0f && (byte_at(p, 1) == 0x0e || byte_at(p, 1) == 0x0f);
}

static bool group_vmx(const struct pair *p)
{
	return byte_at(p, 0) == 0x0f && (byte_at(p, 1) == 0x01 ||
		byte_at(p, 1) == 0x78 || byte_at(p, 1) == 0x79 || byte_at(p, 1) == 0xc7);
}

static bool locked(const struct pair *p)
{
	return p->own.prefixes & X86_P_LOCK;
}

static bool mandatory(const struct pair *p)
{
	return byte_at(p, 0) == 0x0f && p->own.prefixes &
	       (X86_P_OPSIZE | X86_P_REP | X86_P_REPNE);
}

static bool mandatory16(const struct pair *p)
{
	return p->mode == 16 && mandatory(p);
}

static bool prefixes2(const struct pair *p)
{
	return p->prefixes >= 2;
}

static bool mandatory2(const struct pair *p)
{
	return prefixes2(p) && mandatory(p);
}

static bool name_same(const struct pair *p);

/* Capstone's answer is right for the same bytes with another mandatory prefix,
 * or with none. */
static bool other_column(const struct pair *p)
{
	static const uint8_t column[] = { 0, 0x66, 0xf3, 0xf2 };

	if (!mandatory(p) && !(p->own.prefixes & X86_P_ADSIZE))
		return false;
	for (int i = 0; i < 4; i++) {
		uint8_t b[2 * X86_INSN_MAX + 1];
		struct pair q = *p;
		unsigned n = 0;

		if (column[i])
			b[n++] = column[i];
		for (unsigned k = 0; k < X86_INSN_MAX; k++)
			if (k >= p->prefixes || !memchr("\x66\xf2\xf3", p->b[k], 3))
				b[n++] = p->b[k];
		q.own_len = x86_decode(&q.own, b, n, p->mode);
		if (q.own_len > 0 && name_same(&q))
			return true;
	}
	return false;
}

/* Capstone takes 67 next to REX for 66 too. */
static bool opsize64(const struct pair *p)
{
	unsigned pfx = p->own.prefixes;

	return p->mode == 64 && (pfx & X86_P_OPSIZE ||
				 (pfx & X86_P_ADSIZE && pfx & X86_P_REX));
}

static bool opsize_rep(const struct pair *p)
{
	return p->own.prefixes & X86_P_OPSIZE &&
	       p->own.prefixes & (X86_P_REP | X86_P_REPNE);
}

static bool nop_reserved(const struct pair *p)
{
	return p->own.map == 1 && p->own.opcode >= 0x0d && p->own.opcode <= 0x1f;
}

static bool to_seg(const struct pair *p)
{
	return byte_at(p, 0) == 0x8c || byte_at(p, 0) == 0x8e;
}

static bool to_cr(const struct pair *p)
{
	return byte_at(p, 0) == 0x0f && (byte_at(p, 1) & 0xf8) == 0x20;
}

static bool rex_r(const struct pair *p)
{
	return p->mode == 64 && p->own.rex & 4;
}

static bool rex_w(const struct pair *p)
{
	return p->mode == 64 && p->own.rex & 8;
}

static bool modrm_low(const struct pair *p)
{
	return p->own.modrm & 7;
}

static bool x87(const struct pair *p)
{
	return p->own.unit == X86_U_X87;
}

static bool string(const struct pair *p)
{
	return p->own.how == X86_HOW_STRING || p->own.op == X86_INS ||
	       p->own.op == X86_OUTS;
}

static bool base10(const struct pair *p)
{
	return p->own.imm == 10;
}

/* cmpps with an immediate has a mnemonic for each predicate. */
static bool is_cmp_pair(const struct pair *p)
{
	return (p->own.op >= X86_CMPPS && p->own.op <= X86_CMPSD) ||
	       (p->own.op >= X86_VCMPPS && p->own.op <= X86_VCMPSD);
}

enum kind { CS_NONE, OWN_NONE, LENGTH, NAME, COUNT };

static const struct explained {
	enum kind kind;
	const char *own, *cs;	/* mnemonics, fnmatch patterns */
	bool (*when)(const struct pair *p);
	const char *why;
} explained[] = {
#include "x86_decode_known.h"
};
static unsigned long explained_n[sizeof(explained) / sizeof(explained[0])];

/* ---- the comparison ---- */

static const char *const cond[16] = {
	"o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge",
	"le", "g",
};

/* Where one mnemonic of ours stands for several of Capstone's. */
static const struct {
	uint16_t op;
	const char *names;
} alias[] = {
	{ X86_CBW, " cbw cwde cdqe " }, { X86_CWD, " cwd cdq cqo " },
	{ X86_JCXZ, " jcxz jecxz jrcxz " }, { X86_IRET, " iret iretd iretq " },
	{ X86_PUSHF, " pushf pushfd pushfq " }, { X86_POPF, " popf popfd popfq " },
	{ X86_PUSHA, " pushaw pushal " }, { X86_POPA, " popaw popal " },
	{ X86_RETF, " retf retfq " }, { X86_CALLF, " lcall " }, { X86_JMPF, " ljmp " },
	{ X86_MOV, " movabs " }, { X86_MOV_SEG, " mov " }, { X86_MOV_CR, " mov " },
	{ X86_MOV_DR, " mov " }, { X86_FWAIT, " wait " }, { X86_SHL, " sal " },
	{ X86_XLAT, " xlatb " }, { X86_ENDBR, " endbr32 endbr64 " },
	{ X86_PREFETCH, " prefetcht0 prefetcht1 prefetcht2 prefetchnta prefetchw " },
	{ X86_FNOP, " feni8087_nop fdisi8087_nop fsetpm " },
	{ X86_UD1, " ud2b " }, { X86_SYSRET, " sysretq " },
	{ X86_PCLMULQDQ, " pclmullqlqdq pclmullqhqdq pclmulhqlqdq pclmulhqhqdq " },
	{ X86_VCVTPD2DQ, " vcvtpd2dqx " }, { X86_VCVTPD2PS, " vcvtpd2psx " },
	{ X86_VCVTTPD2DQ, " vcvttpd2dqx " },
	{ X86_FXSAVE, " fxsave64 " }, { X86_FXRSTOR, " fxrstor64 " },
	{ X86_XSAVE, " xsave64 " }, { X86_XRSTOR, " xrstor64 " },
	{ X86_XSAVEC, " xsavec64 " }, { X86_XSAVEOPT, " xsaveopt64 " },
	{ X86_XSAVES, " xsaves64 " }, { X86_XRSTORS, " xrstors64 " },
};

static bool name_same(const struct pair *p)
{
	const char *own = x86_op_name(p->own.op), *cs = p->name;
	size_t n = strlen(own);
	char word[40];

	if (!strcmp(own, cs))
		return true;
	switch (p->own.op) {
	case X86_JCC:
		return cs[0] == 'j' && !strcmp(cs + 1, cond[p->own.cond]);
	case X86_SETCC:
		return !strncmp(cs, "set", 3) && !strcmp(cs + 3, cond[p->own.cond]);
	case X86_CMOVCC:
		return !strncmp(cs, "cmov", 4) && !strcmp(cs + 4, cond[p->own.cond]);
	}
	if (string(p))
		return !strncmp(own, cs, n) && cs[n] && strchr("bwdq", cs[n]) && !cs[n + 1];
	if (is_cmp_pair(p))
		return !strncmp(own, cs, n - 2) && strlen(cs) > 2 &&
		       !strcmp(own + n - 2, cs + strlen(cs) - 2);
	snprintf(word, sizeof(word), " %s ", cs);
	for (size_t i = 0; i < sizeof(alias) / sizeof(alias[0]); i++)
		if (alias[i].op == p->own.op && strstr(alias[i].names, word))
			return true;
	return false;
}

static void differs(const struct pair *p, enum kind kind)
{
	static const char *const what[] = {
		"Capstone has no such instruction", "we have no such instruction",
		"length", "mnemonic", "number of operands",
	};
	const char *own = p->own.op != X86_INVALID ? x86_op_name(p->own.op) : "-";
	const char *cs = p->cs_len ? p->name : "-";
	char hex[3 * X86_INSN_MAX + 1] = "";

	for (size_t i = 0; i < sizeof(explained) / sizeof(explained[0]); i++) {
		const struct explained *e = &explained[i];

		if (e->kind == kind && !fnmatch(e->own, own, 0) &&
		    !fnmatch(e->cs, cs, 0) && (!e->when || e->when(p))) {
			explained_n[i]++;
			return;
		}
	}
	for (int i = 0; i < X86_INSN_MAX; i++)
		sprintf(hex + 3 * i, "%02x ", p->b[i]);
	check(false, "%u-bit %s: %s: %s, %d bytes, %u operands; Capstone: %s %s, %d bytes",
	      p->mode, hex, what[kind], own, p->own_len, p->own.nops, cs,
	      p->cs_len ? p->cs->op_str : "", p->cs_len);
}

static const char *bare_name(const char *s)
{
	static const char *const words[] = {
		"lock ", "repne ", "rep ", "repe ", "bnd ", "xacquire ", "xrelease ",
		"notrack ",
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t n = strlen(words[i]);

		if (!strncmp(s, words[i], n))
			return bare_name(s + n);
	}
	return s;
}

static unsigned prefix_count(const uint8_t *b, unsigned mode)
{
	unsigned n = 0;

	while (n < X86_INSN_MAX - 1 &&
	       (memchr("\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3", b[n], 11) ||
		(mode == 64 && (b[n] & 0xf0) == 0x40)))
		n++;
	return n;
}

/* Compare one instruction; b has X86_INSN_MAX + 1 readable bytes, len of them
 * code.  Returns how many bytes to step over. */
static unsigned compare(csh cs, cs_insn *insn, const uint8_t *b, size_t len,
			unsigned mode)
{
	struct pair p = { .b = b, .mode = mode, .cs = insn };
	const uint8_t *at = b;
	uint64_t addr = 0;
	size_t left = len;

	p.own_len = x86_decode(&p.own, b, len, mode);
	if (p.own_len == -EAGAIN)
		return len;
	if (cs_disasm_iter(cs, &at, &left, &addr, insn)) {
		p.cs_len = insn->size;
		p.name = bare_name(insn->mnemonic);
	}
	p.prefixes = prefix_count(b, mode);
	check_count++;
	if (p.own_len < 0 && !p.cs_len)
		return 1;
	if (p.own_len < 0)
		differs(&p, OWN_NONE);
	else if (!p.cs_len)
		differs(&p, CS_NONE);
	else if (p.own_len != p.cs_len)
		differs(&p, LENGTH);
	else if (!name_same(&p))
		differs(&p, NAME);
	else if (p.own.nops != insn->detail->x86.op_count)
		differs(&p, COUNT);
	return p.own_len > 0 ? p.own_len : p.cs_len;
}

static csh capstone_open(unsigned mode)
{
	csh cs;

	if (cs_open(CS_ARCH_X86, mode == 16 ? CS_MODE_16 : mode == 32 ?
		    CS_MODE_32 : CS_MODE_64, &cs) != CS_ERR_OK)
		abort();
	cs_option(cs, CS_OPT_DETAIL, CS_OPT_ON);
	return cs;
}

static bool test_file(const char *path)
{
	const uint8_t *text;
	struct code c;
	cs_insn *insn;
	size_t len;
	csh cs;

	if (!code_open(&c, path))
		return false;
	cs = capstone_open(c.mode);
	insn = cs_malloc(cs);
	while (code_next(&c, &text, &len))
		for (size_t at = 0; at + X86_INSN_MAX < len; )
			at += compare(cs, insn, text + at, len - at, c.mode);
	cs_free(insn, 1);
	cs_close(&cs);
	code_close(&c);
	return true;
}

static uint64_t rng;

static uint8_t random_byte(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng * 0x2545f4914f6cdd1d >> 56;
}

/* Plain random bytes seldom have prefixes and rare maps: every second time they
 * are put there. */
static void random_code(uint8_t *b, unsigned mode)
{
	static const uint8_t prefix[] = {
		0x66, 0xf2, 0xf3, 0x66, 0xf2, 0xf3, 0x67, 0xf0, 0x26, 0x64,
		0x40, 0x41, 0x44, 0x48, 0x4f,
	};
	static const char *const map[] = {
		"\x0f", "\x0f\x38", "\x0f\x3a", "\xc4\xe1", "\xc4\xe2", "\xc4\xe3", "\xc5", "",
	};
	unsigned at = 0, kind = random_byte();

	for (unsigned i = 0; i <= X86_INSN_MAX; i++)
		b[i] = random_byte();
	if (kind & 1)
		return;
	if (kind & 2)
		b[at++] = prefix[random_byte() % (mode == 64 ? 15 : 10)];
	if ((kind & 0x1c) == 4)
		b[at++] = prefix[random_byte() % (mode == 64 ? 15 : 10)];
	for (const char *m = map[kind >> 5]; *m; m++)
		b[at++] = *m;
}

static void test_random(unsigned mode, unsigned long count)
{
	csh cs = capstone_open(mode);
	cs_insn *insn = cs_malloc(cs);
	uint8_t b[X86_INSN_MAX + 1];

	while (count--) {
		random_code(b, mode);
		compare(cs, insn, b, X86_INSN_MAX, mode);
	}
	cs_free(insn, 1);
	cs_close(&cs);
}

/* A bzImage's payload, unpacked; true when it was one.  Linux boot protocol
 * 2.08: payload_offset counts from the end of the setup sectors. */
static bool test_bzimage(const char *path)
{
	char dir[] = "/tmp/x86-decode-XXXXXX", cmd[600];
	uint8_t h[0x260];
	uint32_t off, len;
	bool done = false;
	FILE *f = fopen(path, "rb");

	if (!f)
		return false;
	if (fread(h, sizeof(h), 1, f) != 1 || memcmp(h + 0x202, "HdrS", 4)) {
		fclose(f);
		return false;
	}
	fclose(f);
	memcpy(&off, h + 0x248, 4);
	memcpy(&len, h + 0x24c, 4);
	off += (h[0x1f1] + 1u) * 512;
	if (!mkdtemp(dir))
		return false;
	snprintf(cmd, sizeof(cmd), "cd %s && tail -c +%u '%s' | head -c %u >p && "
		 "{ xz -dc <p || gzip -dc <p || zstd -dc <p; } >vmlinux 2>/dev/null",
		 dir, off + 1, path, len);
	if (system(cmd) != -1) {
		snprintf(cmd, sizeof(cmd), "%s/vmlinux", dir);
		done = test_file(cmd);
	}
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	return system(cmd) == 0 && done;
}

int main(void)
{
	static const char *const files[] = {
		"/lib/x86_64-linux-gnu/libc.so.6",
		"/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
		"/usr/lib32/libc.so.6",
		"/bin/bash",
	};
	const char *seed = getenv("RING1_SEED"), *kernel = getenv("RING1_KERNEL");
	unsigned done = 0;

	rng = seed ? strtoull(seed, NULL, 0) : 20260101;
	printf("seed %llu\n", (unsigned long long)rng);
	rng = rng * 2 + 1;	/* xorshift must not start at 0 */
	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		done += test_file(files[i]);
	check(done >= 2, "only %u of the files are there", done);
	if (kernel)
		check(test_file(kernel) || test_bzimage(kernel), "%s: no kernel", kernel);
	for (unsigned mode = 16; mode <= 64; mode *= 2)
		test_random(mode, 1000000);
	if (getenv("RING1_VERBOSE"))
		for (size_t i = 0; i < sizeof(explained) / sizeof(explained[0]); i++)
			printf("%8lu %s / %s: %s\n", explained_n[i], explained[i].own,
			       explained[i].cs, explained[i].why);
	return check_done();
}
