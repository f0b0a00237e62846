/* Opcode extensions by modrm.reg.  Intel SDM vol. 2D, appendix A, table A-6. */
#include "x86/table.h"

#define GRP1(...) { \
	OP(ADD, SAME, RW, __VA_ARGS__), OP(OR, SAME, RW, __VA_ARGS__), \
	OP(ADC, SAME, RW, __VA_ARGS__), OP(SBB, SAME, RW, __VA_ARGS__), \
	OP(AND, SAME, RW, __VA_ARGS__), OP(SUB, SAME, RW, __VA_ARGS__), \
	OP(XOR, SAME, RW, __VA_ARGS__), OP(CMP, SAME, R, __VA_ARGS__) }
const struct x86_row x86_grp1_Eb_Ib[8] = GRP1(Eb, Ib);
const struct x86_row x86_grp1_Ev_Iz[8] = GRP1(Ev, Iz);
const struct x86_row x86_grp1_Ev_Ibs[8] = GRP1(Ev, Ibs);

/* /6 is an alias of SHL: AMD APM vol. 3, table A-6. */
#define GRP2(...) { \
	OP(ROL, SAME, RW, __VA_ARGS__), OP(ROR, SAME, RW, __VA_ARGS__), \
	OP(RCL, SAME, RW, __VA_ARGS__), OP(RCR, SAME, RW, __VA_ARGS__), \
	OP(SHL, SAME, RW, __VA_ARGS__), OP(SHR, SAME, RW, __VA_ARGS__), \
	OP(SHL, SAME, RW, __VA_ARGS__), OP(SAR, SAME, RW, __VA_ARGS__) }
const struct x86_row x86_grp2_Eb_Ib[8] = GRP2(Eb, Ib);
const struct x86_row x86_grp2_Ev_Ib[8] = GRP2(Ev, Ib);
const struct x86_row x86_grp2_Eb_1[8] = GRP2(Eb, One);
const struct x86_row x86_grp2_Ev_1[8] = GRP2(Ev, One);
const struct x86_row x86_grp2_Eb_CL[8] = GRP2(Eb, CL);
const struct x86_row x86_grp2_Ev_CL[8] = GRP2(Ev, CL);

#define GRP3(e, i) { \
	OP(TEST, SAME, R, e, i), OP(TEST, SAME, R, e, i), \
	OP(NOT, SAME, RW, e), OP(NEG, SAME, RW, e), OP(MUL, SAME, R, e), \
	OP(IMUL, SAME, R, e), OP(DIV, SAME, R, e), OP(IDIV, SAME, R, e) }
const struct x86_row x86_grp3_Eb[8] = GRP3(Eb, Ib);
const struct x86_row x86_grp3_Ev[8] = GRP3(Ev, Iz);

const struct x86_row x86_grp4[8] = {
	OP(INC, SAME, RW, Eb), OP(DEC, SAME, RW, Eb),
};

const struct x86_row x86_grp5[8] = {
	[0] = OP(INC, SAME, RW, Ev),
	[1] = OP(DEC, SAME, RW, Ev),
	[2] = OPR(CALL, CALL_IND, R, F64, Ev),
	[3] = OP(CALLF, CALLOUT, R, Mp),
	[4] = OPR(JMP, JUMP_IND, R, F64, Ev),
	[5] = OP(JMPF, CALLOUT, R, Mp),
	[6] = OPR(PUSH, STACK, R, D64, Ev),
};

const struct x86_row x86_grp6[8] = {
	[0] = OP(SLDT, CALLOUT, W, Evw),
	[1] = OP(STR, CALLOUT, W, Evw),
	[2] = OPR(LLDT, CALLOUT, R, PRIV, Ew),
	[3] = OPR(LTR, CALLOUT, R, PRIV, Ew),
	[4] = OP(VERR, CALLOUT, R, Ew),
	[5] = OP(VERW, CALLOUT, R, Ew),
};

const struct x86_row x86_grp7_mem[8] = {
	[0] = OP(SGDT, CALLOUT, W, Ms),
	[1] = OP(SIDT, CALLOUT, W, Ms),
	[2] = OPR(LGDT, CALLOUT, R, PRIV, Ms),
	[3] = OPR(LIDT, CALLOUT, R, PRIV, Ms),
	[4] = OP(SMSW, CALLOUT, W, Mw),
	[6] = OPR(LMSW, CALLOUT, R, PRIV, Mw),
	[7] = OPR(INVLPG, CALLOUT, N, PRIV, Mb),
};

const struct x86_row x86_grp7_reg[8] = {
	[0] = BY_RM([1] = OPR(VMCALL, CALLOUT, N, NP)),
	[1] = BY_RM([0] = OPF(MONITOR, CALLOUT, N, MONITOR, PRIV | NP),
		    [1] = OPF(MWAIT, CALLOUT, N, MONITOR, PRIV | NP),
		    [2] = OPF(CLAC, CALLOUT, N, SMAP, PRIV | NP),
		    [3] = OPF(STAC, CALLOUT, N, SMAP, PRIV | NP)),
	[2] = BY_RM([0] = OPF(XGETBV, CALLOUT, N, XSAVE, NP),
		    [1] = OPF(XSETBV, CALLOUT, N, XSAVE, PRIV | NP)),
	[3] = BY_RM([1] = OPR(VMMCALL, CALLOUT, N, NP)),
	[4] = OP(SMSW, CALLOUT, W, Rv),
	[5] = BY_RM([0] = OPF(SERIALIZE, CALLOUT, N, SERIALIZE, NP),
		    [6] = OPF(RDPKRU, CALLOUT, N, PKU, NP),
		    [7] = OPF(WRPKRU, CALLOUT, N, PKU, NP)),
	[6] = OPR(LMSW, CALLOUT, R, PRIV, Ew),
	[7] = BY_RM([0] = OPF(SWAPGS, CALLOUT, N, LM, PRIV | O64),
		    [1] = OPF(RDTSCP, CALLOUT, N, RDTSCP, 0),
		    [4] = OPF(CLZERO, CALLOUT, N, CLZERO, 0)),
};

const struct x86_row x86_grp8[8] = {
	[4] = OP(BT, SAME, R, Ev, Ib),
	[5] = OP(BTS, SAME, RW, Ev, Ib),
	[6] = OP(BTR, SAME, RW, Ev, Ib),
	[7] = OP(BTC, SAME, RW, Ev, Ib),
};

const struct x86_row x86_grp9_mem[8] = {
	[1] = BY_W64(OPF(CMPXCHG8B, SAME, RW, CX8, 0, Mq),
		     OPF(CMPXCHG16B, SAME, RW, CX16, AL_, Mdq)),
	[3] = OPF(XRSTORS, CALLOUT, R, XSAVES, PRIV | NP, M),
	[4] = OPF(XSAVEC, CALLOUT, W, XSAVEC, NP, M),
	[5] = OPF(XSAVES, CALLOUT, W, XSAVES, PRIV | NP, M),
};

const struct x86_row x86_grp9_reg[8] = {
	[6] = OPF(RDRAND, SAME, W, RDRAND, NFX, Rv),
	[7] = BY_F3(OPF(RDSEED, SAME, W, RDSEED, NFX, Rv),
		    OPF(RDPID, CALLOUT, W, RDPID, 0, RN)),
};

const struct x86_row x86_grp15_mem[8] = {
	[0] = ROW(FXSAVE, CALLOUT, W, X87, FXSR, NP, M),
	[1] = ROW(FXRSTOR, CALLOUT, R, X87, FXSR, NP, M),
	/* not SAME: AMD's processors take a bit 17 that is not offered */
	[2] = ROW(LDMXCSR, CALLOUT, R, SSE, SSE, NP, Md),
	[3] = ROW(STMXCSR, SAME, W, SSE, SSE, NP, Md),
	[4] = OPF(XSAVE, CALLOUT, W, XSAVE, NP, M),
	[5] = OPF(XRSTOR, CALLOUT, R, XSAVE, NP, M),
	[6] = BY_PP(OPF(XSAVEOPT, CALLOUT, W, XSAVEOPT, 0, M),
		    OPF(CLWB, CALLOUT, N, CLWB, 0, Mb)),
	[7] = BY_PP(OPF(CLFLUSH, CALLOUT, N, CLFLUSH, 0, Mb),
		    OPF(CLFLUSHOPT, CALLOUT, N, CLFLUSHOPT, 0, Mb)),
};

const struct x86_row x86_grp15_reg[8] = {
	[0] = ONLY_F3(OPF(RDFSBASE, CALLOUT, W, FSGSBASE, O64, Ry)),
	[1] = ONLY_F3(OPF(RDGSBASE, CALLOUT, W, FSGSBASE, O64, Ry)),
	[2] = ONLY_F3(OPF(WRFSBASE, CALLOUT, R, FSGSBASE, O64, Ry)),
	[3] = ONLY_F3(OPF(WRGSBASE, CALLOUT, R, FSGSBASE, O64, Ry)),
	[5] = OPF(LFENCE, SAME, N, SSE2, NP),
	[6] = OPF(MFENCE, SAME, N, SSE2, NP),
	[7] = OPF(SFENCE, SAME, N, SSE, NP),
};

/* Prefetches; with a register, and the undefined hints, they are NOPs. */
const struct x86_row x86_grp16[8] = {
	[0 ... 3] = BY_MOD(OPF(PREFETCH, SAME, N, SSE, 0, Mb),
			   OP(NOP, SAME, N, Ev)),
	[4 ... 7] = OP(NOP, SAME, N, Ev),
};

const struct x86_row x86_grpP[8] = {
	[0 ... 7] = BY_MOD(OPF(PREFETCH, SAME, N, PREFETCHW, 0, Mb),
			   OP(NOP, SAME, N, Ev)),
};
