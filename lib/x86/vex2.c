/* VEX map 2: 0F 38 xx.  Intel SDM vol. 2D, appendix A, table A-4. */
#include "x86/table.h"

#define V(name, acc, rules, ...) \
	ONLY_66(AVX(name, AVX, acc, rules, __VA_ARGS__))
#define V2(name, acc, rules, ...) \
	ONLY_66(AVX(name, AVX2, acc, rules, __VA_ARGS__))
#define INT(name) V(name, W, A2, Vx, Hx, Wx)
/* W tells 32-bit from 64-bit elements. */
#define BY_ELEM(feat, acc, d, q, ...) \
	ONLY_66(BY_W(AVX(d, feat, acc, 0, __VA_ARGS__), \
		     AVX(q, feat, acc, 0, __VA_ARGS__)))
#define FMA_P(name) BY_ELEM(FMA, RW, name##PS, name##PD, Vx, Hx, Wx)
#define FMA_S(name) ONLY_66(BY_W(AVX(name##SS, FMA, RW, 0, Vd, Hd, Wd), \
				 AVX(name##SD, FMA, RW, 0, Vq, Hq, Wq)))
#define FMA(base, order) \
	[base + 0x6] = FMA_P(VFMADDSUB##order), \
	[base + 0x7] = FMA_P(VFMSUBADD##order), \
	[base + 0x8] = FMA_P(VFMADD##order), [base + 0x9] = FMA_S(VFMADD##order), \
	[base + 0xa] = FMA_P(VFMSUB##order), [base + 0xb] = FMA_S(VFMSUB##order), \
	[base + 0xc] = FMA_P(VFNMADD##order), [base + 0xd] = FMA_S(VFNMADD##order), \
	[base + 0xe] = FMA_P(VFNMSUB##order), [base + 0xf] = FMA_S(VFNMSUB##order)
/* Elements behind a clear mask bit are not touched, fault or not: these and the
 * gathers may fault half-way, so the interpreter does them. */
#define MASKED(name, feat, ...) \
	ROW(name, CALLOUT, W, AVX, feat, 0, __VA_ARGS__)
#define GATHER(name, ...) \
	ROW(name, CALLOUT, GATHER, AVX, AVX2, GATHER, __VA_ARGS__)
#define BMI(name, acc, ...) ROW(name, SAME, acc, INT, BMI1, L0, __VA_ARGS__)
#define BMI2(name, acc, ...) ROW(name, SAME, acc, INT, BMI2, L0, __VA_ARGS__)

const struct x86_row x86_vex2[256] = {
	[0x00] = INT(VPSHUFB), [0x01] = INT(VPHADDW), [0x02] = INT(VPHADDD),
	[0x03] = INT(VPHADDSW), [0x04] = INT(VPMADDUBSW), [0x05] = INT(VPHSUBW),
	[0x06] = INT(VPHSUBD), [0x07] = INT(VPHSUBSW), [0x08] = INT(VPSIGNB),
	[0x09] = INT(VPSIGNW), [0x0a] = INT(VPSIGND), [0x0b] = INT(VPMULHRSW),
	[0x0c] = V(VPERMILPS, W, W0, Vx, Hx, Wx),
	[0x0d] = V(VPERMILPD, W, W0, Vx, Hx, Wx),
	[0x0e] = V(VTESTPS, R, W0, Vx, Wx), [0x0f] = V(VTESTPD, R, W0, Vx, Wx),
	[0x13] = ONLY_66(AVX(VCVTPH2PS, F16C, W, W0, Vx, Whx)),
	[0x16] = V2(VPERMPS, W, L1 | W0, Vx, Hx, Wx),
	[0x17] = V(VPTEST, R, 0, Vx, Wx),
	[0x18] = ONLY_66(BY_MOD(AVX(VBROADCASTSS, AVX, W, W0, Vx, Md),
				AVX(VBROADCASTSS, AVX2, W, W0, Vx, Ud))),
	[0x19] = ONLY_66(BY_MOD(AVX(VBROADCASTSD, AVX, W, L1 | W0, Vx, Mq),
				AVX(VBROADCASTSD, AVX2, W, L1 | W0, Vx, Uq))),
	[0x1a] = V(VBROADCASTF128, W, L1 | W0, Vx, Mdq),
	[0x1c] = V(VPABSB, W, A2, Vx, Wx), [0x1d] = V(VPABSW, W, A2, Vx, Wx),
	[0x1e] = V(VPABSD, W, A2, Vx, Wx),
	[0x20] = V(VPMOVSXBW, W, A2, Vx, Whx), [0x21] = V(VPMOVSXBD, W, A2, Vx, Wqx),
	[0x22] = V(VPMOVSXBQ, W, A2, Vx, Wox), [0x23] = V(VPMOVSXWD, W, A2, Vx, Whx),
	[0x24] = V(VPMOVSXWQ, W, A2, Vx, Wqx), [0x25] = V(VPMOVSXDQ, W, A2, Vx, Whx),
	[0x28] = INT(VPMULDQ), [0x29] = INT(VPCMPEQQ),
	[0x2a] = V(VMOVNTDQA, W, A2 | AL_, Vx, Mx),
	[0x2b] = INT(VPACKUSDW),
	[0x2c] = ONLY_66(ROW(VMASKMOVPS, CALLOUT, W, AVX, AVX, W0, Vx, Hx, Mx)),
	[0x2d] = ONLY_66(ROW(VMASKMOVPD, CALLOUT, W, AVX, AVX, W0, Vx, Hx, Mx)),
	[0x2e] = ONLY_66(ROW(VMASKMOVPS, CALLOUT, W, AVX, AVX, W0, Mx, Hx, Vx)),
	[0x2f] = ONLY_66(ROW(VMASKMOVPD, CALLOUT, W, AVX, AVX, W0, Mx, Hx, Vx)),
	[0x30] = V(VPMOVZXBW, W, A2, Vx, Whx), [0x31] = V(VPMOVZXBD, W, A2, Vx, Wqx),
	[0x32] = V(VPMOVZXBQ, W, A2, Vx, Wox), [0x33] = V(VPMOVZXWD, W, A2, Vx, Whx),
	[0x34] = V(VPMOVZXWQ, W, A2, Vx, Wqx), [0x35] = V(VPMOVZXDQ, W, A2, Vx, Whx),
	[0x36] = V2(VPERMD, W, L1 | W0, Vx, Hx, Wx),
	[0x37] = INT(VPCMPGTQ), [0x38] = INT(VPMINSB), [0x39] = INT(VPMINSD),
	[0x3a] = INT(VPMINUW), [0x3b] = INT(VPMINUD), [0x3c] = INT(VPMAXSB),
	[0x3d] = INT(VPMAXSD), [0x3e] = INT(VPMAXUW), [0x3f] = INT(VPMAXUD),
	[0x40] = INT(VPMULLD),
	[0x41] = V(VPHMINPOSUW, W, L0, Vdq, Wdq),
	[0x45] = BY_ELEM(AVX2, W, VPSRLVD, VPSRLVQ, Vx, Hx, Wx),
	[0x46] = V2(VPSRAVD, W, W0, Vx, Hx, Wx),
	[0x47] = BY_ELEM(AVX2, W, VPSLLVD, VPSLLVQ, Vx, Hx, Wx),
	[0x58] = V2(VPBROADCASTD, W, W0, Vx, Wd),
	[0x59] = V2(VPBROADCASTQ, W, W0, Vx, Wq),
	[0x5a] = V2(VBROADCASTI128, W, L1 | W0, Vx, Mdq),
	[0x78] = V2(VPBROADCASTB, W, W0, Vx, Wb),
	[0x79] = V2(VPBROADCASTW, W, W0, Vx, Ww),
	[0x8c] = ONLY_66(BY_W(MASKED(VPMASKMOVD, AVX2, Vx, Hx, Mx),
			      MASKED(VPMASKMOVQ, AVX2, Vx, Hx, Mx))),
	[0x8e] = ONLY_66(BY_W(MASKED(VPMASKMOVD, AVX2, Mx, Hx, Vx),
			      MASKED(VPMASKMOVQ, AVX2, Mx, Hx, Vx))),
	/* with qword indices and dword elements, only half the register */
	[0x90] = ONLY_66(BY_W(GATHER(VPGATHERDD, Vx, VMd, Hx),
			      GATHER(VPGATHERDQ, Vx, VMq, Hx))),
	[0x91] = ONLY_66(BY_W(GATHER(VPGATHERQD, Vhx, VMd, Hhx),
			      GATHER(VPGATHERQQ, Vx, VMq, Hx))),
	[0x92] = ONLY_66(BY_W(GATHER(VGATHERDPS, Vx, VMd, Hx),
			      GATHER(VGATHERDPD, Vx, VMq, Hx))),
	[0x93] = ONLY_66(BY_W(GATHER(VGATHERQPS, Vhx, VMd, Hhx),
			      GATHER(VGATHERQPD, Vx, VMq, Hx))),
	FMA(0x90, 132), FMA(0xa0, 213), FMA(0xb0, 231),
	[0xcf] = ONLY_66(AVX(VGF2P8MULB, GFNI, W, W0, Vx, Hx, Wx)),
	[0xdb] = ONLY_66(AVX(VAESIMC, AES, W, L0, Vdq, Wdq)),
	[0xdc] = ONLY_66(AVX(VAESENC, AES, W, VA, Vx, Hx, Wx)),
	[0xdd] = ONLY_66(AVX(VAESENCLAST, AES, W, VA, Vx, Hx, Wx)),
	[0xde] = ONLY_66(AVX(VAESDEC, AES, W, VA, Vx, Hx, Wx)),
	[0xdf] = ONLY_66(AVX(VAESDECLAST, AES, W, VA, Vx, Hx, Wx)),
	[0xf2] = ONLY_NP(BMI(ANDN, W, Gy, By, Ey)),
	[0xf3] = ONLY_NP(BY_REG([1] = BMI(BLSR, W, By, Ey),
				[2] = BMI(BLSMSK, W, By, Ey),
				[3] = BMI(BLSI, W, By, Ey))),
	[0xf5] = BY_PP(BMI2(BZHI, W, Gy, Ey, By), UD, BMI2(PEXT, W, Gy, By, Ey),
		       BMI2(PDEP, W, Gy, By, Ey)),
	[0xf6] = ONLY_F2(BMI2(MULX, WW, Gy, By, Ey)),
	[0xf7] = BY_PP(BMI(BEXTR, W, Gy, Ey, By), BMI2(SHLX, W, Gy, Ey, By),
		       BMI2(SARX, W, Gy, Ey, By), BMI2(SHRX, W, Gy, Ey, By)),
};
