/* One-byte opcodes.  Intel SDM vol. 2D, appendix A, table A-2. */
#include "x86/table.h"

#define ALU(base, name, acc) \
	[base + 0] = OP(name, SAME, acc, Eb, Gb), \
	[base + 1] = OP(name, SAME, acc, Ev, Gv), \
	[base + 2] = OP(name, SAME, acc, Gb, Eb), \
	[base + 3] = OP(name, SAME, acc, Gv, Ev), \
	[base + 4] = OP(name, SAME, acc, AL, Ib), \
	[base + 5] = OP(name, SAME, acc, rAX, Iz)

#define X87_ESC(n) BY_MOD(GROUP(REG, x86_x87_mem[n]), GROUP(X87, x86_x87_reg[n]))

const struct x86_row x86_map1[256] = {
	/* name, how, access, operands (destination first) */
	ALU(0x00, ADD, RW),
	[0x06] = OPR(PUSH, CALLOUT, R, I64 | D64, sES),
	[0x07] = OPR(POP, CALLOUT, W, I64 | D64, sES),
	ALU(0x08, OR, RW),
	[0x0e] = OPR(PUSH, CALLOUT, R, I64 | D64, sCS),
	ALU(0x10, ADC, RW),
	[0x16] = OPR(PUSH, CALLOUT, R, I64 | D64, sSS),
	[0x17] = OPR(POP, CALLOUT, W, I64 | D64, sSS),
	ALU(0x18, SBB, RW),
	[0x1e] = OPR(PUSH, CALLOUT, R, I64 | D64, sDS),
	[0x1f] = OPR(POP, CALLOUT, W, I64 | D64, sDS),
	ALU(0x20, AND, RW),
	[0x27] = OPR(DAA, CALLOUT, N, I64),	/* not in 64-bit host code */
	ALU(0x28, SUB, RW),
	[0x2f] = OPR(DAS, CALLOUT, N, I64),
	ALU(0x30, XOR, RW),
	[0x37] = OPR(AAA, CALLOUT, N, I64),
	ALU(0x38, CMP, R),
	[0x3f] = OPR(AAS, CALLOUT, N, I64),

	[0x40 ... 0x47] = OP(INC, SAME, RW, Zv),
	[0x48 ... 0x4f] = OP(DEC, SAME, RW, Zv),
	[0x50 ... 0x57] = OPR(PUSH, STACK, R, D64, Zv),
	[0x58 ... 0x5f] = OPR(POP, STACK, W, D64, Zv),

	[0x60] = OPR(PUSHA, STACK, N, I64),
	[0x61] = OPR(POPA, STACK, N, I64),
	[0x62] = OPR(BOUND, CALLOUT, R, I64, Gv, Ma),
	[0x63] = BY_64(OP(ARPL, CALLOUT, RW, Ew, Gw), OP(MOVSXD, SAME, W, Gv, Ez)),
	[0x68] = OPR(PUSH, STACK, R, D64, Iz),
	[0x69] = OP(IMUL, SAME, W, Gv, Ev, Iz),
	[0x6a] = OPR(PUSH, STACK, R, D64, Ibs),
	[0x6b] = OP(IMUL, SAME, W, Gv, Ev, Ibs),
	[0x6c ... 0x6d] = OPR(INS, CALLOUT, N, IOPL),
	[0x6e ... 0x6f] = OPR(OUTS, CALLOUT, N, IOPL),
	[0x70 ... 0x7f] = OPR(JCC, JUMP, R, F64, Jb),

	[0x80] = GROUP(REG, x86_grp1_Eb_Ib),
	[0x81] = GROUP(REG, x86_grp1_Ev_Iz),
	[0x82] = BY_64(GROUP(REG, x86_grp1_Eb_Ib), UD),
	[0x83] = GROUP(REG, x86_grp1_Ev_Ibs),
	[0x84] = OP(TEST, SAME, R, Eb, Gb),
	[0x85] = OP(TEST, SAME, R, Ev, Gv),
	[0x86] = OP(XCHG, SAME, XX, Eb, Gb),
	[0x87] = OP(XCHG, SAME, XX, Ev, Gv),
	[0x88] = OP(MOV, SAME, W, Eb, Gb),
	[0x89] = OP(MOV, SAME, W, Ev, Gv),
	[0x8a] = OP(MOV, SAME, W, Gb, Eb),
	[0x8b] = OP(MOV, SAME, W, Gv, Ev),
	[0x8c] = OP(MOV_SEG, CALLOUT, W, Evw, Sw),
	[0x8d] = OP(LEA, SAME, WN, Gv, M),
	[0x8e] = OP(MOV_SEG, CALLOUT, W, Sw, Ew),
	[0x8f] = BY_REG(OPR(POP, STACK, W, D64, Ev)),

	[0x90] = SPLIT(B, 2, BY_F3(OP(NOP, SAME, N), OP(PAUSE, SAME, N)),
		       OP(XCHG, SAME, XX, Zv, rAX)),
	[0x91 ... 0x97] = OP(XCHG, SAME, XX, Zv, rAX),
	[0x98] = OP(CBW, SAME, N),
	[0x99] = OP(CWD, SAME, N),
	[0x9a] = OPR(CALLF, CALLOUT, R, I64, Ap),
	[0x9b] = X87(FWAIT, SAME, N),
	[0x9c] = OPR(PUSHF, INLINE, N, D64),	/* the guest's IF and IOPL */
	[0x9d] = OPR(POPF, INLINE, N, D64),	/* IF changes silently at CPL 0 */
	[0x9e] = BY_64(OP(SAHF, SAME, N), OPF(SAHF, SAME, N, LAHF64, 0)),
	[0x9f] = BY_64(OP(LAHF, SAME, N), OPF(LAHF, SAME, N, LAHF64, 0)),

	[0xa0] = OP(MOV, SAME, W, AL, Ob),
	[0xa1] = OP(MOV, SAME, W, rAX, Ov),
	[0xa2] = OP(MOV, SAME, W, Ob, AL),
	[0xa3] = OP(MOV, SAME, W, Ov, rAX),
	[0xa4 ... 0xa5] = OP(MOVS, STRING, N),
	[0xa6 ... 0xa7] = OP(CMPS, STRING, N),
	[0xa8] = OP(TEST, SAME, R, AL, Ib),
	[0xa9] = OP(TEST, SAME, R, rAX, Iz),
	[0xaa ... 0xab] = OP(STOS, STRING, N),
	[0xac ... 0xad] = OP(LODS, STRING, N),
	[0xae ... 0xaf] = OP(SCAS, STRING, N),

	[0xb0 ... 0xb7] = OP(MOV, SAME, W, Zb, Ib),
	[0xb8 ... 0xbf] = OP(MOV, SAME, W, Zv, Iv),

	[0xc0] = GROUP(REG, x86_grp2_Eb_Ib),
	[0xc1] = GROUP(REG, x86_grp2_Ev_Ib),
	[0xc2] = OPR(RET, JUMP_IND, R, F64, Iw),
	[0xc3] = OPR(RET, JUMP_IND, N, F64),
	[0xc4] = OPR(LES, CALLOUT, W, I64, Gv, Mp),
	[0xc5] = OPR(LDS, CALLOUT, W, I64, Gv, Mp),
	[0xc6] = BY_REG(OP(MOV, SAME, W, Eb, Ib)),
	[0xc7] = BY_REG(OP(MOV, SAME, W, Ev, Iz)),
	[0xc8] = OPR(ENTER, STACK, R, D64, Iw, Ib),
	[0xc9] = OPR(LEAVE, STACK, N, D64),
	[0xca] = OP(RETF, CALLOUT, R, Iw),
	[0xcb] = OP(RETF, CALLOUT, N),
	[0xcc] = OP(INT3, CALLOUT, N),
	[0xcd] = OP(INT, CALLOUT, R, Ib),
	[0xce] = OPR(INTO, CALLOUT, N, I64),
	[0xcf] = OP(IRET, CALLOUT, N),

	[0xd0] = GROUP(REG, x86_grp2_Eb_1),
	[0xd1] = GROUP(REG, x86_grp2_Ev_1),
	[0xd2] = GROUP(REG, x86_grp2_Eb_CL),
	[0xd3] = GROUP(REG, x86_grp2_Ev_CL),
	[0xd4] = OPR(AAM, CALLOUT, R, I64, Ib),
	[0xd5] = OPR(AAD, CALLOUT, R, I64, Ib),
	[0xd6] = OPR(SALC, CALLOUT, N, I64),	/* AMD APM vol. 3, opcode map */
	[0xd7] = OP(XLAT, CALLOUT, N),
	[0xd8] = X87_ESC(0), [0xd9] = X87_ESC(1), [0xda] = X87_ESC(2),
	[0xdb] = X87_ESC(3), [0xdc] = X87_ESC(4), [0xdd] = X87_ESC(5),
	[0xde] = X87_ESC(6), [0xdf] = X87_ESC(7),

	[0xe0] = OPR(LOOPNE, JUMP, R, F64, Jb),
	[0xe1] = OPR(LOOPE, JUMP, R, F64, Jb),
	[0xe2] = OPR(LOOP, JUMP, R, F64, Jb),
	[0xe3] = OPR(JCXZ, JUMP, R, F64, Jb),
	[0xe4] = OPR(IN, CALLOUT, W, IOPL, AL, Ib),
	[0xe5] = OPR(IN, CALLOUT, W, IOPL, zAX, Ib),
	[0xe6] = OPR(OUT, CALLOUT, R, IOPL, Ib, AL),
	[0xe7] = OPR(OUT, CALLOUT, R, IOPL, Ib, zAX),
	[0xe8] = OPR(CALL, CALL, R, F64, Jz),
	[0xe9] = OPR(JMP, JUMP, R, F64, Jz),
	[0xea] = OPR(JMPF, CALLOUT, R, I64, Ap),
	[0xeb] = OPR(JMP, JUMP, R, F64, Jb),
	[0xec] = OPR(IN, CALLOUT, W, IOPL, AL, DX),
	[0xed] = OPR(IN, CALLOUT, W, IOPL, zAX, DX),
	[0xee] = OPR(OUT, CALLOUT, R, IOPL, DX, AL),
	[0xef] = OPR(OUT, CALLOUT, R, IOPL, DX, zAX),

	[0xf1] = OP(INT1, CALLOUT, N),
	[0xf4] = OPR(HLT, CALLOUT, N, PRIV),
	[0xf5] = OP(CMC, SAME, N),
	[0xf6] = GROUP(REG, x86_grp3_Eb),
	[0xf7] = GROUP(REG, x86_grp3_Ev),
	[0xf8] = OP(CLC, SAME, N),
	[0xf9] = OP(STC, SAME, N),
	[0xfa] = OPR(CLI, INLINE, N, IOPL),
	[0xfb] = OPR(STI, INLINE, N, IOPL),
	[0xfc] = OP(CLD, SAME, N),	/* DF of the guest is the host's */
	[0xfd] = OP(STD, SAME, N),
	[0xfe] = GROUP(REG, x86_grp4),
	[0xff] = GROUP(REG, x86_grp5),
};
