/*
 * x87 opcodes D8 to DF.  Intel SDM vol. 2D, appendix A.5; the aliases that the
 * manual leaves out (DC D0, DD C8, ...) are in AMD APM vol. 3, table A-15.
 */
#include "x86/table.h"

#define ARITH(e) { \
	X87(FADD, SAME, R, e), X87(FMUL, SAME, R, e), X87(FCOM, SAME, R, e), \
	X87(FCOMP, SAME, R, e), X87(FSUB, SAME, R, e), X87(FSUBR, SAME, R, e), \
	X87(FDIV, SAME, R, e), X87(FDIVR, SAME, R, e) }
#define IARITH(e) { \
	X87(FIADD, SAME, R, e), X87(FIMUL, SAME, R, e), X87(FICOM, SAME, R, e), \
	X87(FICOMP, SAME, R, e), X87(FISUB, SAME, R, e), \
	X87(FISUBR, SAME, R, e), X87(FIDIV, SAME, R, e), X87(FIDIVR, SAME, R, e) }
#define FISTTP_ROW(e) ROW(FISTTP, SAME, W, X87, SSE3, 0, e)

/* Environments differ between 16, 32 and 64-bit code in layout and in the
 * pointers that they hold: never the host's own. */
const struct x86_row x86_x87_mem[8][8] = {
	ARITH(Md),
	{
		[0] = X87(FLD, SAME, R, Md),
		[2] = X87(FST, SAME, W, Md),
		[3] = X87(FSTP, SAME, W, Md),
		[4] = X87(FLDENV, CALLOUT, R, M),
		[5] = X87(FLDCW, SAME, R, Mw),
		[6] = X87(FNSTENV, CALLOUT, W, M),
		[7] = X87(FNSTCW, SAME, W, Mw),
	},
	IARITH(Md),
	{
		[0] = X87(FILD, SAME, R, Md),
		[1] = FISTTP_ROW(Md),
		[2] = X87(FIST, SAME, W, Md),
		[3] = X87(FISTP, SAME, W, Md),
		[5] = X87(FLD, SAME, R, Mt),
		[7] = X87(FSTP, SAME, W, Mt),
	},
	ARITH(Mq),
	{
		[0] = X87(FLD, SAME, R, Mq),
		[1] = FISTTP_ROW(Mq),
		[2] = X87(FST, SAME, W, Mq),
		[3] = X87(FSTP, SAME, W, Mq),
		[4] = X87(FRSTOR, CALLOUT, R, M),
		[6] = X87(FNSAVE, CALLOUT, W, M),
		[7] = X87(FNSTSW, SAME, W, Mw),
	},
	IARITH(Mw),
	{
		[0] = X87(FILD, SAME, R, Mw),
		[1] = FISTTP_ROW(Mw),
		[2] = X87(FIST, SAME, W, Mw),
		[3] = X87(FISTP, SAME, W, Mw),
		[4] = X87(FBLD, SAME, R, Mt),
		[5] = X87(FILD, SAME, R, Mq),
		[6] = X87(FBSTP, SAME, W, Mt),
		[7] = X87(FISTP, SAME, W, Mq),
	},
};

#define ST(name, acc, ...) X87(name, SAME, acc, __VA_ARGS__)
#define CMOV(name) ROW(name, SAME, RW, X87, CMOV, 0, ST0, STi)
#define COMI(name) ROW(name, SAME, R, X87, CMOV, 0, ST0, STi)

const struct x86_row x86_x87_reg[8][64] = {
	{	/* D8 */
		[0x00 ... 0x07] = ST(FADD, RW, ST0, STi),
		[0x08 ... 0x0f] = ST(FMUL, RW, ST0, STi),
		[0x10 ... 0x17] = ST(FCOM, R, STi),
		[0x18 ... 0x1f] = ST(FCOMP, R, STi),
		[0x20 ... 0x27] = ST(FSUB, RW, ST0, STi),
		[0x28 ... 0x2f] = ST(FSUBR, RW, ST0, STi),
		[0x30 ... 0x37] = ST(FDIV, RW, ST0, STi),
		[0x38 ... 0x3f] = ST(FDIVR, RW, ST0, STi),
	}, {	/* D9 */
		[0x00 ... 0x07] = ST(FLD, R, STi),
		[0x08 ... 0x0f] = ST(FXCH, RW, STi),
		[0x10] = ST(FNOP, N),
		[0x18 ... 0x1f] = ST(FSTPNCE, W, STi),
		[0x20] = ST(FCHS, N), [0x21] = ST(FABS, N),
		[0x24] = ST(FTST, N), [0x25] = ST(FXAM, N),
		[0x28] = ST(FLD1, N), [0x29] = ST(FLDL2T, N),
		[0x2a] = ST(FLDL2E, N), [0x2b] = ST(FLDPI, N),
		[0x2c] = ST(FLDLG2, N), [0x2d] = ST(FLDLN2, N),
		[0x2e] = ST(FLDZ, N),
		[0x30] = ST(F2XM1, N), [0x31] = ST(FYL2X, N),
		[0x32] = ST(FPTAN, N), [0x33] = ST(FPATAN, N),
		[0x34] = ST(FXTRACT, N), [0x35] = ST(FPREM1, N),
		[0x36] = ST(FDECSTP, N), [0x37] = ST(FINCSTP, N),
		[0x38] = ST(FPREM, N), [0x39] = ST(FYL2XP1, N),
		[0x3a] = ST(FSQRT, N), [0x3b] = ST(FSINCOS, N),
		[0x3c] = ST(FRNDINT, N), [0x3d] = ST(FSCALE, N),
		[0x3e] = ST(FSIN, N), [0x3f] = ST(FCOS, N),
	}, {	/* DA */
		[0x00 ... 0x07] = CMOV(FCMOVB),
		[0x08 ... 0x0f] = CMOV(FCMOVE),
		[0x10 ... 0x17] = CMOV(FCMOVBE),
		[0x18 ... 0x1f] = CMOV(FCMOVU),
		[0x29] = ST(FUCOMPP, N),
	}, {	/* DB */
		[0x00 ... 0x07] = CMOV(FCMOVNB),
		[0x08 ... 0x0f] = CMOV(FCMOVNE),
		[0x10 ... 0x17] = CMOV(FCMOVNBE),
		[0x18 ... 0x1f] = CMOV(FCMOVNU),
		/* FENI, FDISI and FSETPM do nothing since the 80387 */
		[0x20 ... 0x21] = ST(FNOP, N),
		[0x22] = ST(FNCLEX, N),
		[0x23] = ST(FNINIT, N),
		[0x24] = ST(FNOP, N),
		[0x28 ... 0x2f] = COMI(FUCOMI),
		[0x30 ... 0x37] = COMI(FCOMI),
	}, {	/* DC */
		[0x00 ... 0x07] = ST(FADD, RW, STi, ST0),
		[0x08 ... 0x0f] = ST(FMUL, RW, STi, ST0),
		[0x10 ... 0x17] = ST(FCOM, R, STi),
		[0x18 ... 0x1f] = ST(FCOMP, R, STi),
		[0x20 ... 0x27] = ST(FSUBR, RW, STi, ST0),
		[0x28 ... 0x2f] = ST(FSUB, RW, STi, ST0),
		[0x30 ... 0x37] = ST(FDIVR, RW, STi, ST0),
		[0x38 ... 0x3f] = ST(FDIV, RW, STi, ST0),
	}, {	/* DD */
		[0x00 ... 0x07] = ST(FFREE, N, STi),
		[0x08 ... 0x0f] = ST(FXCH, RW, STi),
		[0x10 ... 0x17] = ST(FST, W, STi),
		[0x18 ... 0x1f] = ST(FSTP, W, STi),
		[0x20 ... 0x27] = ST(FUCOM, R, STi),
		[0x28 ... 0x2f] = ST(FUCOMP, R, STi),
	}, {	/* DE */
		[0x00 ... 0x07] = ST(FADDP, RW, STi, ST0),
		[0x08 ... 0x0f] = ST(FMULP, RW, STi, ST0),
		[0x10 ... 0x17] = ST(FCOMP, R, STi),
		[0x19] = ST(FCOMPP, N),
		[0x20 ... 0x27] = ST(FSUBRP, RW, STi, ST0),
		[0x28 ... 0x2f] = ST(FSUBP, RW, STi, ST0),
		[0x30 ... 0x37] = ST(FDIVRP, RW, STi, ST0),
		[0x38 ... 0x3f] = ST(FDIVP, RW, STi, ST0),
	}, {	/* DF */
		[0x00 ... 0x07] = ST(FFREEP, N, STi),
		[0x08 ... 0x0f] = ST(FXCH, RW, STi),
		[0x10 ... 0x1f] = ST(FSTP, W, STi),
		[0x20] = ST(FNSTSW, W, AX),
		[0x28 ... 0x2f] = COMI(FUCOMIP),
		[0x30 ... 0x37] = COMI(FCOMIP),
	},
};
