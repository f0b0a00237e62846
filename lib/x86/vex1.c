/*
 * VEX map 1: 0F xx.  Intel SDM vol. 2D, appendix A, table A-3; L, W and vvvv rules
 * from the instructions' own pages.  Columns by pp: none, 66, F3, F2.
 */
#include "x86/table.h"

#define V(name, acc, rules, ...) AVX(name, AVX, acc, rules, __VA_ARGS__)
/* The four forms of arithmetic on packed and scalar floats. */
#define FP4(name) BY_PP( \
	V(name##PS, W, 0, Vx, Hx, Wx), V(name##PD, W, 0, Vx, Hx, Wx), \
	V(name##SS, W, 0, Vd, Hd, Wd), V(name##SD, W, 0, Vq, Hq, Wq))
#define FP2(name) BY_PP( \
	V(name##PS, W, 0, Vx, Hx, Wx), V(name##PD, W, 0, Vx, Hx, Wx))
#define INT(name) ONLY_66(V(name, W, A2, Vx, Hx, Wx))
#define COUNT(name) ONLY_66(V(name, W, A2, Vx, Hx, Wdq))
#define SHIFT(name) ONLY_66(V(name, W, A2, Hx, Ux, Ib))
#define HORIZ(name) BY_PP([1] = V(name##PD, W, 0, Vx, Hx, Wx), \
			  [3] = V(name##PS, W, 0, Vx, Hx, Wx))

const struct x86_row x86_vex1[256] = {
	[0x10] = BY_PP(V(VMOVUPS, W, 0, Vx, Wx), V(VMOVUPD, W, 0, Vx, Wx),
		       BY_MOD(V(VMOVSS, W, 0, Vd, Md), V(VMOVSS, W, 0, Vd, Hd, Ud)),
		       BY_MOD(V(VMOVSD, W, 0, Vq, Mq), V(VMOVSD, W, 0, Vq, Hq, Uq))),
	[0x11] = BY_PP(V(VMOVUPS, W, 0, Wx, Vx), V(VMOVUPD, W, 0, Wx, Vx),
		       BY_MOD(V(VMOVSS, W, 0, Md, Vd), V(VMOVSS, W, 0, Ud, Hd, Vd)),
		       BY_MOD(V(VMOVSD, W, 0, Mq, Vq), V(VMOVSD, W, 0, Uq, Hq, Vq))),
	[0x12] = BY_PP(BY_MOD(V(VMOVLPS, W, L0, Vdq, Hdq, Mq),
			      V(VMOVHLPS, W, L0, Vdq, Hdq, Udq)),
		       V(VMOVLPD, W, L0, Vdq, Hdq, Mq),
		       V(VMOVSLDUP, W, 0, Vx, Wx), V(VMOVDDUP, W, 0, Vx, Wdd)),
	[0x13] = BY_PP(V(VMOVLPS, W, L0, Mq, Vq), V(VMOVLPD, W, L0, Mq, Vq)),
	[0x14] = FP2(VUNPCKL), [0x15] = FP2(VUNPCKH),
	[0x16] = BY_PP(BY_MOD(V(VMOVHPS, W, L0, Vdq, Hdq, Mq),
			      V(VMOVLHPS, W, L0, Vdq, Hdq, Udq)),
		       V(VMOVHPD, W, L0, Vdq, Hdq, Mq),
		       V(VMOVSHDUP, W, 0, Vx, Wx)),
	[0x17] = BY_PP(V(VMOVHPS, W, L0, Mq, Vdq), V(VMOVHPD, W, L0, Mq, Vdq)),
	[0x28] = BY_PP(V(VMOVAPS, W, AL_, Vx, Wx), V(VMOVAPD, W, AL_, Vx, Wx)),
	[0x29] = BY_PP(V(VMOVAPS, W, AL_, Wx, Vx), V(VMOVAPD, W, AL_, Wx, Vx)),
	[0x2a] = BY_PP([2] = V(VCVTSI2SS, W, 0, Vd, Hd, Ey),
		       [3] = V(VCVTSI2SD, W, 0, Vq, Hq, Ey)),
	[0x2b] = BY_PP(V(VMOVNTPS, W, AL_, Mx, Vx), V(VMOVNTPD, W, AL_, Mx, Vx)),
	[0x2c] = BY_PP([2] = V(VCVTTSS2SI, W, 0, Gy, Wd),
		       [3] = V(VCVTTSD2SI, W, 0, Gy, Wq)),
	[0x2d] = BY_PP([2] = V(VCVTSS2SI, W, 0, Gy, Wd),
		       [3] = V(VCVTSD2SI, W, 0, Gy, Wq)),
	[0x2e] = BY_PP(V(VUCOMISS, R, 0, Vd, Wd), V(VUCOMISD, R, 0, Vq, Wq)),
	[0x2f] = BY_PP(V(VCOMISS, R, 0, Vd, Wd), V(VCOMISD, R, 0, Vq, Wq)),

	[0x50] = BY_PP(V(VMOVMSKPS, W, 0, Gd, Ux), V(VMOVMSKPD, W, 0, Gd, Ux)),
	[0x51] = BY_PP(V(VSQRTPS, W, 0, Vx, Wx), V(VSQRTPD, W, 0, Vx, Wx),
		       V(VSQRTSS, W, 0, Vd, Hd, Wd), V(VSQRTSD, W, 0, Vq, Hq, Wq)),
	[0x52] = BY_PP(V(VRSQRTPS, W, 0, Vx, Wx), UD,
		       V(VRSQRTSS, W, 0, Vd, Hd, Wd)),
	[0x53] = BY_PP(V(VRCPPS, W, 0, Vx, Wx), UD, V(VRCPSS, W, 0, Vd, Hd, Wd)),
	[0x54] = FP2(VAND), [0x55] = FP2(VANDN), [0x56] = FP2(VOR),
	[0x57] = FP2(VXOR), [0x58] = FP4(VADD), [0x59] = FP4(VMUL),
	[0x5a] = BY_PP(V(VCVTPS2PD, W, 0, Vx, Whx), V(VCVTPD2PS, W, 0, Vhx, Wx),
		       V(VCVTSS2SD, W, 0, Vq, Hq, Wd), V(VCVTSD2SS, W, 0, Vd, Hd, Wq)),
	[0x5b] = BY_PP(V(VCVTDQ2PS, W, 0, Vx, Wx), V(VCVTPS2DQ, W, 0, Vx, Wx),
		       V(VCVTTPS2DQ, W, 0, Vx, Wx)),
	[0x5c] = FP4(VSUB), [0x5d] = FP4(VMIN), [0x5e] = FP4(VDIV),
	[0x5f] = FP4(VMAX),

	[0x60] = INT(VPUNPCKLBW), [0x61] = INT(VPUNPCKLWD),
	[0x62] = INT(VPUNPCKLDQ), [0x63] = INT(VPACKSSWB),
	[0x64] = INT(VPCMPGTB), [0x65] = INT(VPCMPGTW), [0x66] = INT(VPCMPGTD),
	[0x67] = INT(VPACKUSWB), [0x68] = INT(VPUNPCKHBW),
	[0x69] = INT(VPUNPCKHWD), [0x6a] = INT(VPUNPCKHDQ),
	[0x6b] = INT(VPACKSSDW), [0x6c] = INT(VPUNPCKLQDQ),
	[0x6d] = INT(VPUNPCKHQDQ),
	[0x6e] = ONLY_66(BY_W64(V(VMOVD, W, L0, Vdq, Ey), V(VMOVQ, W, L0, Vdq, Ey))),
	[0x6f] = BY_PP([1] = V(VMOVDQA, W, AL_, Vx, Wx),
		       [2] = V(VMOVDQU, W, 0, Vx, Wx)),
	[0x70] = BY_PP([1] = V(VPSHUFD, W, A2, Vx, Wx, Ib),
		       [2] = V(VPSHUFHW, W, A2, Vx, Wx, Ib),
		       [3] = V(VPSHUFLW, W, A2, Vx, Wx, Ib)),
	/* registers only: the destination is vvvv */
	[0x71] = BY_REG([2] = SHIFT(VPSRLW), [4] = SHIFT(VPSRAW),
			[6] = SHIFT(VPSLLW)),
	[0x72] = BY_REG([2] = SHIFT(VPSRLD), [4] = SHIFT(VPSRAD),
			[6] = SHIFT(VPSLLD)),
	[0x73] = BY_REG([2] = SHIFT(VPSRLQ), [3] = SHIFT(VPSRLDQ),
			[6] = SHIFT(VPSLLQ), [7] = SHIFT(VPSLLDQ)),
	[0x74] = INT(VPCMPEQB), [0x75] = INT(VPCMPEQW), [0x76] = INT(VPCMPEQD),
	[0x77] = ONLY_NP(BY_L(V(VZEROUPPER, N, 0), V(VZEROALL, N, 0))),
	[0x7c] = HORIZ(VHADD), [0x7d] = HORIZ(VHSUB),
	[0x7e] = BY_PP([1] = BY_W64(V(VMOVD, W, L0, Ey, Vdq),
				    V(VMOVQ, W, L0, Ey, Vdq)),
		       [2] = V(VMOVQ, W, L0, Vdq, Wq)),
	[0x7f] = BY_PP([1] = V(VMOVDQA, W, AL_, Wx, Vx),
		       [2] = V(VMOVDQU, W, 0, Wx, Vx)),
	[0xae] = BY_REG([2] = ONLY_NP(ROW(VLDMXCSR, CALLOUT, R, AVX, AVX, L0, Md)),
			[3] = ONLY_NP(V(VSTMXCSR, W, L0, Md))),

	[0xc2] = BY_PP(V(VCMPPS, W, 0, Vx, Hx, Wx, Ib),
		       V(VCMPPD, W, 0, Vx, Hx, Wx, Ib),
		       V(VCMPSS, W, 0, Vd, Hd, Wd, Ib),
		       V(VCMPSD, W, 0, Vq, Hq, Wq, Ib)),
	[0xc4] = ONLY_66(V(VPINSRW, W, L0, Vdq, Hdq, Edw, Ib)),
	[0xc5] = ONLY_66(V(VPEXTRW, W, L0, Gd, Udq, Ib)),
	[0xc6] = BY_PP(V(VSHUFPS, W, 0, Vx, Hx, Wx, Ib),
		       V(VSHUFPD, W, 0, Vx, Hx, Wx, Ib)),
	[0xd0] = HORIZ(VADDSUB),
	[0xd1] = COUNT(VPSRLW), [0xd2] = COUNT(VPSRLD), [0xd3] = COUNT(VPSRLQ),
	[0xd4] = INT(VPADDQ), [0xd5] = INT(VPMULLW),
	[0xd6] = ONLY_66(V(VMOVQ, W, L0, Wq, Vq)),
	[0xd7] = ONLY_66(V(VPMOVMSKB, W, A2, Gd, Ux)),
	[0xd8] = INT(VPSUBUSB), [0xd9] = INT(VPSUBUSW), [0xda] = INT(VPMINUB),
	[0xdb] = INT(VPAND), [0xdc] = INT(VPADDUSB), [0xdd] = INT(VPADDUSW),
	[0xde] = INT(VPMAXUB), [0xdf] = INT(VPANDN), [0xe0] = INT(VPAVGB),
	[0xe1] = COUNT(VPSRAW), [0xe2] = COUNT(VPSRAD), [0xe3] = INT(VPAVGW),
	[0xe4] = INT(VPMULHUW), [0xe5] = INT(VPMULHW),
	[0xe6] = BY_PP([1] = V(VCVTTPD2DQ, W, 0, Vhx, Wx),
		       [2] = V(VCVTDQ2PD, W, 0, Vx, Whx),
		       [3] = V(VCVTPD2DQ, W, 0, Vhx, Wx)),
	[0xe7] = ONLY_66(V(VMOVNTDQ, W, AL_, Mx, Vx)),
	[0xe8] = INT(VPSUBSB), [0xe9] = INT(VPSUBSW), [0xea] = INT(VPMINSW),
	[0xeb] = INT(VPOR), [0xec] = INT(VPADDSB), [0xed] = INT(VPADDSW),
	[0xee] = INT(VPMAXSW), [0xef] = INT(VPXOR),
	[0xf0] = ONLY_F2(V(VLDDQU, W, 0, Vx, Mx)),
	[0xf1] = COUNT(VPSLLW), [0xf2] = COUNT(VPSLLD), [0xf3] = COUNT(VPSLLQ),
	[0xf4] = INT(VPMULUDQ), [0xf5] = INT(VPMADDWD), [0xf6] = INT(VPSADBW),
	[0xf7] = ONLY_66(ROW(VMASKMOVDQU, CALLOUT, R, AVX, AVX, L0, Vdq, Udq)),
	[0xf8] = INT(VPSUBB), [0xf9] = INT(VPSUBW), [0xfa] = INT(VPSUBD),
	[0xfb] = INT(VPSUBQ), [0xfc] = INT(VPADDB), [0xfd] = INT(VPADDW),
	[0xfe] = INT(VPADDD),
};
