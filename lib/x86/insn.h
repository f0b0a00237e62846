#ifndef X86_INSN_H
#define X86_INSN_H
/*
 * A decoded instruction, and the table-driven decoder that makes it.
 * Source: Intel SDM vol. 2, chapter 2 (format) and appendix A (opcode maps),
 * AMD APM vol. 3 where AMD differs.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define X86_INSN_MAX 15

/* Mnemonics: ops.def has one OP(name, flags-read, flags-written) a line. */
enum x86_op {
	X86_INVALID,
#define OP(name, ...) X86_##name,
#include "x86/ops.def"
#undef OP
	X86_OP_COUNT
};

/* General registers carry the vendor's numbers. */
enum x86_reg {
	X86_RAX, X86_RCX, X86_RDX, X86_RBX, X86_RSP, X86_RBP, X86_RSI, X86_RDI,
	X86_R8, X86_R9, X86_R10, X86_R11, X86_R12, X86_R13, X86_R14, X86_R15,
	X86_RIP,
	X86_NOREG = 0xff,
};

enum x86_segreg { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS, X86_SEGS };

/* How the translator treats an instruction: the class column of the table. */
enum x86_how {
	X86_HOW_SAME,	/* same bytes, memory operand rewritten */
	X86_HOW_STRING,	/* movs stos lods scas cmps */
	X86_HOW_STACK,	/* push pop enter leave pusha popa: expanded */
	X86_HOW_JUMP,	/* direct jmp, jcc, loop, jcxz */
	X86_HOW_JUMP_IND,	/* near indirect jmp, ret */
	X86_HOW_CALL,	/* direct near call */
	X86_HOW_CALL_IND,	/* near indirect call */
	X86_HOW_INLINE,	/* a few host instructions on vCPU fields */
	X86_HOW_CALLOUT,	/* everything else: the interpreter executes it */
};

enum x86_okind {
	X86_O_NONE,
	X86_O_GPR,	/* reg 0-15, size 1 2 4 8 */
	X86_O_GPRH,	/* AH CH DH BH: reg is 0-3, size 1 */
	X86_O_MEM,	/* insn.mem; size in bytes, 0 where it has no fixed one */
	X86_O_IMM,	/* insn.imm, extended to 64 bits as the instruction does */
	X86_O_IMM2,	/* insn.imm2: enter's level, extrq/insertq */
	X86_O_REL,	/* insn.imm: displacement from the next instruction */
	X86_O_FAR,	/* ptr16:16/32: offset in insn.imm, selector in insn.imm2 */
	X86_O_SEG,	/* enum x86_segreg */
	X86_O_CR,
	X86_O_DR,
	X86_O_ST,	/* x87 stack register 0-7 */
	X86_O_MMX,
	X86_O_XMM,	/* size 16 (or less: 4, 8 for scalars) */
	X86_O_YMM,	/* size 32 */
};

enum x86_access { X86_A_R = 1, X86_A_W = 2, X86_A_RW = 3 };

struct x86_operand {
	uint8_t kind;		/* enum x86_okind */
	uint8_t reg;
	uint8_t size;		/* bytes; 0: none or variable */
	uint8_t access;		/* enum x86_access, 0 for lea/invlpg/nop */
};

enum x86_pfx {
	X86_P_LOCK = 1, X86_P_REP = 2, X86_P_REPNE = 4, X86_P_OPSIZE = 8,
	X86_P_ADSIZE = 16, X86_P_SEG = 32, X86_P_REX = 64, X86_P_VEX = 128,
};

/* CPUID features an instruction needs; BASE: any 686.  See x86/cpuid.h. */
enum x86_feat {
	X86_F_BASE, X86_F_X87, X86_F_CMOV, X86_F_CX8, X86_F_CX16, X86_F_MMX,
	X86_F_MMXEXT, X86_F_FXSR, X86_F_SSE, X86_F_SSE2, X86_F_SSE3,
	X86_F_SSSE3, X86_F_SSE41, X86_F_SSE42, X86_F_SSE4A, X86_F_POPCNT,
	X86_F_LZCNT, X86_F_AES, X86_F_PCLMUL, X86_F_SHA, X86_F_MOVBE,
	X86_F_AVX, X86_F_F16C, X86_F_FMA, X86_F_AVX2, X86_F_BMI1, X86_F_BMI2,
	X86_F_ADX, X86_F_VAES, X86_F_VPCLMUL, X86_F_GFNI, X86_F_XSAVE,
	X86_F_XSAVEOPT, X86_F_XSAVEC, X86_F_XSAVES, X86_F_RDRAND,
	X86_F_RDSEED, X86_F_RDTSCP, X86_F_RDPID, X86_F_FSGSBASE, X86_F_SMAP,
	X86_F_INVPCID, X86_F_CLFLUSH, X86_F_CLFLUSHOPT, X86_F_CLWB,
	X86_F_PKU, X86_F_MONITOR, X86_F_SYSCALL, X86_F_SEP, X86_F_PREFETCHW,
	X86_F_LM, X86_F_CLZERO, X86_F_MOVDIRI, X86_F_SERIALIZE, X86_F_LAHF64,
	/* not of instructions */
	X86_F_SMEP, X86_F_UMIP, X86_F_PCID, X86_F_XGETBV1,
	X86_FEATS
};

/* What state an instruction touches: column of the table. */
enum x86_unit { X86_U_INT, X86_U_X87, X86_U_MMX, X86_U_SSE, X86_U_AVX };

struct x86_insn {
	uint16_t op;		/* enum x86_op */
	uint8_t len;
	uint8_t how;		/* enum x86_how */
	uint8_t unit;		/* enum x86_unit */
	uint8_t feat;		/* enum x86_feat */
	uint8_t mode;		/* code size it was decoded for: 16, 32, 64 */
	uint8_t opsize;		/* effective operand size in bytes: 2 4 8 */
	uint8_t adsize;		/* effective address size in bytes: 2 4 8 */
	uint8_t prefixes;	/* enum x86_pfx, as they stand in the code */
	uint8_t rex;		/* the REX byte, or the equivalent bits of VEX that count */
	uint8_t map;		/* 0 one-byte, 1 0F, 2 0F38, 3 0F3A */
	uint8_t opcode;		/* last opcode byte */
	uint8_t modrm, sib;
	bool has_modrm;
	uint8_t cond;		/* jcc setcc cmovcc: opcode & 15 */
	uint8_t vvvv, vl;	/* VEX: register, length 0 (128) or 1 (256) */
	uint8_t pp;		/* mandatory prefix: 0 none, 1 66, 2 F3, 3 F2 */
	uint8_t priv;		/* 1: needs CPL 0; 2: IOPL-sensitive (in out cli sti) */
	uint8_t aligned;	/* memory operand must be aligned to its size */

	uint8_t nops;
	struct x86_operand o[4];	/* destination first, as in the SDM */

	/* The memory operand, if an operand is X86_O_MEM or implied (strings: none) */
	uint8_t base, index;	/* enum x86_reg or X86_NOREG; index may be a vector */
	uint8_t scale;		/* log2 */
	uint8_t seg;		/* enum x86_segreg after override and default rules */
	bool vsib;
	int64_t disp;		/* sign-extended; for moffs the whole address */
	int64_t imm, imm2;

	/* Offsets in bytes from the first prefix, 0 where absent; opcode_off is that
	 * of the last opcode byte, imm_len the sum when there are two. */
	uint8_t opcode_off, modrm_off, disp_off, disp_len, imm_off, imm_len;
};

/*
 * Decode one instruction.
 *
 * in         filled in; on error len is the number of bytes looked at
 * buf, len   code bytes; at most X86_INSN_MAX are read
 * mode       16, 32 or 64: the code segment's size
 * Returns    its length in bytes, or -EAGAIN: buf ends inside the instruction,
 *            -EINVAL: #UD (undefined, or a forbidden LOCK),
 *            -E2BIG: longer than 15 bytes (#GP)
 */
int x86_decode(struct x86_insn *in, const uint8_t *buf, size_t len,
	       unsigned mode);

/* Arithmetic flags (X86_FL_CF PF AF ZF SF OF) that the instruction may read;
 * that it surely overwrites (so that earlier values are dead); and that it may
 * change at all.  Conservative for shifts by CL and REP. */
uint32_t x86_flags_read(const struct x86_insn *in);
uint32_t x86_flags_killed(const struct x86_insn *in);
uint32_t x86_flags_changed(const struct x86_insn *in);
/* Those that it leaves undefined.  count: of a shift or rotation. */
uint32_t x86_flags_undefined(const struct x86_insn *in, unsigned count);

/* The mnemonic in lower case, for traces; "(bad)" when out of range. */
const char *x86_op_name(unsigned op);

/*
 * Disassemble one instruction by Capstone, Intel syntax.  Whoever wants many opens a
 * struct x86_text: Capstone takes some 50 us to be ready.  It is loaded by the first
 * call; where it is not installed, mnemonics alone are the text.
 *
 * mode       16, 32 or 64
 * out, size  the text, always terminated; "(bad)" for what is no instruction
 * Returns    the length in bytes, 1 for a bad one; x86_text_new() NULL: no memory
 */
struct x86_text;
struct x86_text *x86_text_new(unsigned mode);
int x86_text_insn(struct x86_text *t, char *out, size_t size, const uint8_t *buf,
		  size_t len, uint64_t addr);
void x86_text_free(struct x86_text *t);
/* The version of the Capstone that is installed; false: none. */
bool x86_capstone(int *major, int *minor);
int x86_disas(char *out, size_t size, const uint8_t *buf, size_t len,
	      uint64_t addr, unsigned mode);

static inline bool x86_has_mem(const struct x86_insn *in)
{
	for (unsigned i = 0; i < in->nops; i++)
		if (in->o[i].kind == X86_O_MEM)
			return true;
	return false;
}

/* Does it use MMX registers?  Those of SSE that convert to and from them do, too. */
static inline bool x86_has_mmx(const struct x86_insn *in)
{
	for (unsigned i = 0; i < in->nops; i++)
		if (in->o[i].kind == X86_O_MMX)
			return true;
	return in->unit == X86_U_MMX;
}
/* Vector opcodes whose W is the size of a general register (also an implied one) or of
 * its memory form. */
static inline bool x86_w_is_gpr_size(const struct x86_insn *in)
{
	if (in->map == 1)
		return in->opcode == 0x2a || in->opcode == 0x2c || in->opcode == 0x2d ||
		       in->opcode == 0x6e || in->opcode == 0x7e;
	return in->map == 3 && (in->opcode == 0x16 || in->opcode == 0x22 ||
				in->opcode == 0x60 || in->opcode == 0x61);
}
#endif
