#ifndef X86_TABLE_H
#define X86_TABLE_H
/*
 * The opcode tables' rows.  Private to the decoder.
 * Source: Intel SDM vol. 2D, appendix A: the operand letters are those of A.2.
 *
 * An opcode map is an array of rows indexed by the opcode byte.  A row is an
 * instruction, or points to rows indexed by something else (enum x86_split:
 * modrm.reg, the mandatory prefix, ...), or is empty: #UD.
 */

#include "x86/insn.h"

/* What an operand letter stands for. */
enum x86_src {
	X86_S_NONE,
	X86_S_E,	/* modrm.rm: general register or memory */
	X86_S_EW,	/* the same; memory is a word whatever the register's size */
	X86_S_EB,	/* the same; memory is a byte */
	X86_S_G,	/* modrm.reg: general register */
	X86_S_M,	/* modrm.rm: memory only */
	X86_S_R,	/* modrm.rm: general register only */
	X86_S_RX,	/* modrm.rm: a general register, whatever mod is (mov cr) */
	X86_S_Z,	/* general register in the low 3 bits of the opcode */
	X86_S_B,	/* VEX.vvvv: general register */
	X86_S_AX, X86_S_CX, X86_S_DX,
	X86_S_I,	/* immediate, zero-extended */
	X86_S_IS,	/* immediate of at most 4 bytes, sign-extended */
	X86_S_IBS,	/* imm8, sign-extended to the operand size */
	X86_S_ONE,	/* the constant 1 of D0 and D1 */
	X86_S_J,	/* displacement from the next instruction */
	X86_S_AP,	/* far pointer in the code */
	X86_S_O,	/* moffs */
	X86_S_SW,	/* modrm.reg: segment register */
	X86_S_SEG,	/* fixed segment register, named in the size column */
	X86_S_CR, X86_S_DR,
	X86_S_ST0, X86_S_STI,
	X86_S_P, X86_S_Q, X86_S_N,	/* MMX: modrm.reg, rm or memory, rm only */
	X86_S_V, X86_S_W, X86_S_U,	/* XMM or YMM: reg, rm or memory, rm only */
	X86_S_H,	/* XMM or YMM: VEX.vvvv */
	X86_S_L,	/* XMM or YMM: high half of an imm8 */
	X86_S_XMM0,
	X86_S_VSIB,	/* memory with a vector index */
};

/* Operand sizes that depend on the instruction; smaller numbers are bytes. */
enum x86_size {
	X86_SZ_V = 0x80,	/* operand size: 2 4 8 */
	X86_SZ_Z,		/* operand size, but at most 4 */
	X86_SZ_Y,		/* 4, or 8 by REX.W */
	X86_SZ_N,		/* 4, or 8 in 64-bit mode */
	X86_SZ_P,		/* far pointer: operand size + 2 */
	X86_SZ_S,		/* lgdt: 6, or 10 in 64-bit mode */
	X86_SZ_A,		/* bound: twice the operand size */
	X86_SZ_X,		/* vector: 16, or 32 by VEX.L */
	X86_SZ_X2, X86_SZ_X4, X86_SZ_X8,	/* half, quarter, eighth of that */
	X86_SZ_D,		/* movddup: 8, or 32 by VEX.L */
};

/* OPERAND(letters, source, size): letters as in the SDM.  Lower-case letters it
 * has not: "vw" "vb" general register of any size or memory of one; "t" 10 bytes;
 * "hx" "qx" "ox" half, quarter, eighth of x; "bs" imm8 sign-extended. */
#define X86_OPERANDS \
	OPERAND(Eb, E, 1) OPERAND(Ew, E, 2) OPERAND(Ed, E, 4) \
	OPERAND(Ev, E, X86_SZ_V) OPERAND(Ey, E, X86_SZ_Y) \
	OPERAND(Ez, E, X86_SZ_Z) OPERAND(En, E, X86_SZ_N) \
	OPERAND(Evw, EW, X86_SZ_V) OPERAND(Eyw, EW, X86_SZ_Y) \
	OPERAND(Eyb, EB, X86_SZ_Y) OPERAND(Edw, EW, 4) OPERAND(Edb, EB, 4) \
	OPERAND(Gb, G, 1) OPERAND(Gw, G, 2) OPERAND(Gd, G, 4) \
	OPERAND(Gv, G, X86_SZ_V) OPERAND(Gy, G, X86_SZ_Y) \
	OPERAND(Gn, G, X86_SZ_N) \
	OPERAND(M, M, 0) OPERAND(Mb, M, 1) OPERAND(Mw, M, 2) OPERAND(Md, M, 4) \
	OPERAND(Mq, M, 8) OPERAND(Mt, M, 10) OPERAND(Mdq, M, 16) \
	OPERAND(Mqq, M, 32) OPERAND(Mv, M, X86_SZ_V) OPERAND(My, M, X86_SZ_Y) \
	OPERAND(Mx, M, X86_SZ_X) OPERAND(Mp, M, X86_SZ_P) \
	OPERAND(Ms, M, X86_SZ_S) OPERAND(Ma, M, X86_SZ_A) \
	OPERAND(Rv, R, X86_SZ_V) OPERAND(Rd, R, 4) OPERAND(Ry, R, X86_SZ_Y) \
	OPERAND(Rn, RX, X86_SZ_N) OPERAND(RN, R, X86_SZ_N) \
	OPERAND(Zb, Z, 1) OPERAND(Zv, Z, X86_SZ_V) OPERAND(By, B, X86_SZ_Y) \
	OPERAND(AL, AX, 1) OPERAND(rAX, AX, X86_SZ_V) OPERAND(zAX, AX, X86_SZ_Z) \
	OPERAND(CL, CX, 1) OPERAND(DX, DX, 2) OPERAND(AX, AX, 2) \
	OPERAND(Ib, I, 1) OPERAND(Iw, I, 2) OPERAND(Iv, I, X86_SZ_V) \
	OPERAND(Iz, IS, X86_SZ_V) OPERAND(Ibs, IBS, X86_SZ_V) \
	OPERAND(One, ONE, 1) OPERAND(Jb, J, 1) OPERAND(Jz, J, X86_SZ_Z) \
	OPERAND(Ap, AP, X86_SZ_P) OPERAND(Ob, O, 1) OPERAND(Ov, O, X86_SZ_V) \
	OPERAND(Sw, SW, 2) OPERAND(sES, SEG, X86_ES) OPERAND(sCS, SEG, X86_CS) \
	OPERAND(sSS, SEG, X86_SS) OPERAND(sDS, SEG, X86_DS) \
	OPERAND(sFS, SEG, X86_FS) OPERAND(sGS, SEG, X86_GS) \
	OPERAND(Cn, CR, X86_SZ_N) OPERAND(Dn, DR, X86_SZ_N) \
	OPERAND(ST0, ST0, 10) OPERAND(STi, STI, 10) \
	OPERAND(Pq, P, 8) OPERAND(Pd, P, 4) OPERAND(Qq, Q, 8) OPERAND(Qd, Q, 4) \
	OPERAND(Nq, N, 8) \
	OPERAND(Vb, V, 1) OPERAND(Vd, V, 4) OPERAND(Vq, V, 8) \
	OPERAND(Vdq, V, 16) OPERAND(Vqq, V, 32) OPERAND(Vx, V, X86_SZ_X) \
	OPERAND(Vhx, V, X86_SZ_X2) \
	OPERAND(Ww, W, 2) OPERAND(Wb, W, 1) OPERAND(Wd, W, 4) OPERAND(Wq, W, 8) \
	OPERAND(Wdq, W, 16) OPERAND(Wx, W, X86_SZ_X) \
	OPERAND(Whx, W, X86_SZ_X2) OPERAND(Wqx, W, X86_SZ_X4) \
	OPERAND(Wox, W, X86_SZ_X8) OPERAND(Wdd, W, X86_SZ_D) \
	OPERAND(Ud, U, 4) OPERAND(Uq, U, 8) OPERAND(Udq, U, 16) \
	OPERAND(Ux, U, X86_SZ_X) \
	OPERAND(Hd, H, 4) OPERAND(Hq, H, 8) OPERAND(Hdq, H, 16) \
	OPERAND(Hqq, H, 32) OPERAND(Hx, H, X86_SZ_X) OPERAND(Hhx, H, X86_SZ_X2) \
	OPERAND(Lx, L, X86_SZ_X) OPERAND(XMM0, XMM0, 16) \
	OPERAND(VMd, VSIB, 4) OPERAND(VMq, VSIB, 8)

enum x86_letter {
	X86_LETTER_NONE,
#define OPERAND(name, src, size) name,
	X86_OPERANDS
#undef OPERAND
	X86_LETTERS
};

/* Access to the operands: R read, W first one written, RW first one read and
 * written, XX the first two read and written, WW the first two written, N none
 * touched, WN first one written and the second only computed (lea). */
enum x86_acc {
	ACC_N = 0, ACC_R = 0x55, ACC_W = 0x56, ACC_RW = 0x57, ACC_XX = 0x5f,
	ACC_WW = 0x5a, ACC_WN = 0x02, ACC_GATHER = 0x37,
};

enum x86_split {
	X86_SPLIT_NONE,
	X86_SPLIT_REG,	/* 8: modrm.reg */
	X86_SPLIT_RM,	/* 8: modrm.rm */
	X86_SPLIT_MOD,	/* 2: memory, register */
	X86_SPLIT_X87,	/* 64: low 6 bits of a register modrm */
	X86_SPLIT_PP,	/* 4: mandatory prefix none, 66, F3, F2 */
	X86_SPLIT_F3,	/* 2: without and with F3 (66 and F2 keep their meaning) */
	X86_SPLIT_W,	/* 2: REX.W or VEX.W in any mode */
	X86_SPLIT_W64,	/* 2: the same, but W counts only in 64-bit mode */
	X86_SPLIT_L,	/* 2: VEX.L */
	X86_SPLIT_B,	/* 2: REX.B */
	X86_SPLIT_64,	/* 2: 16 and 32-bit code, 64-bit code */
};

enum x86_rule {
	I64 = 1 << 0,	/* invalid in 64-bit code */
	O64 = 1 << 1,	/* only in 64-bit code */
	D64 = 1 << 2,	/* operand size 8 in 64-bit code, 2 by 66 */
	F64 = 1 << 3,	/* operand size 8 in 64-bit code, always */
	PRIV = 1 << 4,	/* CPL 0 */
	IOPL = 1 << 5,
	NP = 1 << 6,	/* #UD with 66, F3 or F2 */
	NFX = 1 << 7,	/* #UD with F3 or F2 */
	UA = 1 << 8,	/* legacy SSE: memory need not be aligned */
	AL_ = 1 << 9,	/* memory must be aligned to its size */
	L0 = 1 << 10, L1 = 1 << 11,	/* VEX.L must be so */
	W0 = 1 << 12, W1 = 1 << 13,	/* VEX.W must be so */
	A2 = 1 << 14,	/* the 256-bit form came with AVX2 */
	VA = 1 << 15,	/* the 256-bit form came with VAES, VPCLMUL */
	GATHER = 1 << 16,	/* destination, index and mask must differ */
};

struct x86_row {
	uint16_t op;		/* enum x86_op; X86_INVALID: #UD */
	uint8_t how;		/* enum x86_how */
	uint8_t access;		/* enum x86_acc: 2 bits an operand */
	uint8_t o[4];		/* enum x86_letter */
	uint8_t unit, feat;
	uint8_t split;		/* enum x86_split: sub's index */
	uint32_t rules;		/* enum x86_rule */
	const struct x86_row *sub;
};

#define ROW(name_, how_, acc_, unit_, feat_, rules_, ...) { \
	.op = X86_##name_, .how = X86_HOW_##how_, .access = ACC_##acc_, \
	.unit = X86_U_##unit_, .feat = X86_F_##feat_, .rules = (rules_), \
	.o = { __VA_ARGS__ } }
#define OP(name, how, acc, ...) \
	ROW(name, how, acc, INT, BASE, 0, __VA_ARGS__)
#define OPR(name, how, acc, rules, ...) \
	ROW(name, how, acc, INT, BASE, rules, __VA_ARGS__)
#define OPF(name, how, acc, feat, rules, ...) \
	ROW(name, how, acc, INT, feat, rules, __VA_ARGS__)
#define X87(name, how, acc, ...) \
	ROW(name, how, acc, X87, X87, 0, __VA_ARGS__)
#define MMX(name, feat, acc, ...) \
	ROW(name, SAME, acc, MMX, feat, 0, __VA_ARGS__)
#define SSE(name, feat, acc, ...) \
	ROW(name, SAME, acc, SSE, feat, 0, __VA_ARGS__)
#define SSEU(name, feat, acc, ...) \
	ROW(name, SAME, acc, SSE, feat, UA, __VA_ARGS__)
#define AVX(name, feat, acc, rules, ...) \
	ROW(name, SAME, acc, AVX, feat, rules, __VA_ARGS__)
#define UD { .op = X86_INVALID }

#define SPLIT(kind, n, ...) { .split = X86_SPLIT_##kind, \
	.sub = (const struct x86_row[n]){ __VA_ARGS__ } }
#define BY_REG(...) SPLIT(REG, 8, __VA_ARGS__)
#define BY_RM(...) SPLIT(RM, 8, __VA_ARGS__)
#define BY_MOD(mem, reg) SPLIT(MOD, 2, mem, reg)
#define BY_PP(...) SPLIT(PP, 4, __VA_ARGS__)
#define BY_F3(...) SPLIT(F3, 2, __VA_ARGS__)
#define BY_W(...) SPLIT(W, 2, __VA_ARGS__)
#define BY_W64(...) SPLIT(W64, 2, __VA_ARGS__)
#define BY_L(...) SPLIT(L, 2, __VA_ARGS__)
#define BY_64(...) SPLIT(64, 2, __VA_ARGS__)
#define GROUP(kind, rows) { .split = X86_SPLIT_##kind, .sub = (rows) }

/* The columns of a 0F row that have one mandatory prefix only. */
#define ONLY_NP(...) BY_PP([0] = __VA_ARGS__)
#define ONLY_66(...) BY_PP([1] = __VA_ARGS__)
#define ONLY_F3(...) BY_PP([2] = __VA_ARGS__)
#define ONLY_F2(...) BY_PP([3] = __VA_ARGS__)

extern const struct x86_row x86_map1[256];	/* one byte */
extern const struct x86_row x86_map2[256];	/* 0F */
extern const struct x86_row x86_map38[256];	/* 0F 38 */
extern const struct x86_row x86_map3a[256];	/* 0F 3A */
extern const struct x86_row x86_vex1[256];	/* VEX, 0F */
extern const struct x86_row x86_vex2[256];	/* VEX, 0F 38 */
extern const struct x86_row x86_vex3[256];	/* VEX, 0F 3A */

/* Groups by modrm.reg, appendix A.4. */
extern const struct x86_row x86_grp1_Eb_Ib[8], x86_grp1_Ev_Iz[8],
	x86_grp1_Ev_Ibs[8], x86_grp2_Eb_Ib[8], x86_grp2_Ev_Ib[8],
	x86_grp2_Eb_1[8], x86_grp2_Ev_1[8], x86_grp2_Eb_CL[8], x86_grp2_Ev_CL[8],
	x86_grp3_Eb[8], x86_grp3_Ev[8], x86_grp4[8], x86_grp5[8], x86_grp6[8],
	x86_grp7_mem[8], x86_grp7_reg[8], x86_grp8[8], x86_grp9_mem[8],
	x86_grp9_reg[8], x86_grp15_mem[8], x86_grp15_reg[8], x86_grp16[8],
	x86_grpP[8];

/* x87: by opcode - D8, then modrm.reg (memory) or modrm & 63 (registers). */
extern const struct x86_row x86_x87_mem[8][8];
extern const struct x86_row x86_x87_reg[8][64];
#endif
