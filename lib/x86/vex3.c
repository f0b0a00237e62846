/* VEX map 3: 0F 3A xx.  Intel SDM vol. 2D, appendix A, table A-5. */
#include "x86/table.h"

#define V(name, acc, rules, ...) \
	ONLY_66(AVX(name, AVX, acc, rules, __VA_ARGS__))
#define V2(name, acc, rules, ...) \
	ONLY_66(AVX(name, AVX2, acc, rules, __VA_ARGS__))

const struct x86_row x86_vex3[256] = {
	[0x00] = V2(VPERMQ, W, L1 | W1, Vx, Wx, Ib),
	[0x01] = V2(VPERMPD, W, L1 | W1, Vx, Wx, Ib),
	[0x02] = V2(VPBLENDD, W, W0, Vx, Hx, Wx, Ib),
	[0x04] = V(VPERMILPS, W, W0, Vx, Wx, Ib),
	[0x05] = V(VPERMILPD, W, W0, Vx, Wx, Ib),
	[0x06] = V(VPERM2F128, W, L1 | W0, Vx, Hx, Wx, Ib),
	[0x08] = V(VROUNDPS, W, 0, Vx, Wx, Ib), [0x09] = V(VROUNDPD, W, 0, Vx, Wx, Ib),
	[0x0a] = V(VROUNDSS, W, 0, Vd, Hd, Wd, Ib),
	[0x0b] = V(VROUNDSD, W, 0, Vq, Hq, Wq, Ib),
	[0x0c] = V(VBLENDPS, W, 0, Vx, Hx, Wx, Ib),
	[0x0d] = V(VBLENDPD, W, 0, Vx, Hx, Wx, Ib),
	[0x0e] = V(VPBLENDW, W, A2, Vx, Hx, Wx, Ib),
	[0x0f] = V(VPALIGNR, W, A2, Vx, Hx, Wx, Ib),
	[0x14] = V(VPEXTRB, W, L0, Edb, Vdq, Ib), [0x15] = V(VPEXTRW, W, L0, Edw, Vdq, Ib),
	[0x16] = ONLY_66(BY_W64(AVX(VPEXTRD, AVX, W, L0, Ey, Vdq, Ib),
				AVX(VPEXTRQ, AVX, W, L0, Ey, Vdq, Ib))),
	[0x17] = V(VEXTRACTPS, W, L0, Ed, Vdq, Ib),
	[0x18] = V(VINSERTF128, W, L1 | W0, Vx, Hx, Wdq, Ib),
	[0x19] = V(VEXTRACTF128, W, L1 | W0, Wdq, Vx, Ib),
	[0x1d] = ONLY_66(AVX(VCVTPS2PH, F16C, W, W0, Whx, Vx, Ib)),
	[0x20] = V(VPINSRB, W, L0, Vdq, Hdq, Edb, Ib),
	[0x21] = V(VINSERTPS, W, L0, Vdq, Hdq, Wd, Ib),
	[0x22] = ONLY_66(BY_W64(AVX(VPINSRD, AVX, W, L0, Vdq, Hdq, Ey, Ib),
				AVX(VPINSRQ, AVX, W, L0, Vdq, Hdq, Ey, Ib))),
	[0x38] = V2(VINSERTI128, W, L1 | W0, Vx, Hx, Wdq, Ib),
	[0x39] = V2(VEXTRACTI128, W, L1 | W0, Wdq, Vx, Ib),
	[0x40] = V(VDPPS, W, 0, Vx, Hx, Wx, Ib),
	[0x41] = V(VDPPD, W, L0, Vdq, Hdq, Wdq, Ib),
	[0x42] = V(VMPSADBW, W, A2, Vx, Hx, Wx, Ib),
	[0x44] = ONLY_66(AVX(VPCLMULQDQ, PCLMUL, W, VA, Vx, Hx, Wx, Ib)),
	[0x46] = V2(VPERM2I128, W, L1 | W0, Vx, Hx, Wx, Ib),
	[0x4a] = V(VBLENDVPS, W, W0, Vx, Hx, Wx, Lx),
	[0x4b] = V(VBLENDVPD, W, W0, Vx, Hx, Wx, Lx),
	[0x4c] = V(VPBLENDVB, W, W0 | A2, Vx, Hx, Wx, Lx),
	[0x60] = V(VPCMPESTRM, R, L0, Vdq, Wdq, Ib),
	[0x61] = V(VPCMPESTRI, R, L0, Vdq, Wdq, Ib),
	[0x62] = V(VPCMPISTRM, R, L0, Vdq, Wdq, Ib),
	[0x63] = V(VPCMPISTRI, R, L0, Vdq, Wdq, Ib),
	[0xce] = ONLY_66(AVX(VGF2P8AFFINEQB, GFNI, W, W1, Vx, Hx, Wx, Ib)),
	[0xcf] = ONLY_66(AVX(VGF2P8AFFINEINVQB, GFNI, W, W1, Vx, Hx, Wx, Ib)),
	[0xdf] = ONLY_66(AVX(VAESKEYGENASSIST, AES, W, L0, Vdq, Wdq, Ib)),
	[0xf0] = ONLY_F2(ROW(RORX, SAME, W, INT, BMI2, L0, Gy, Ey, Ib)),
};
