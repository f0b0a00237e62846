/* Three-byte opcodes, 0F 3A xx.  Intel SDM vol. 2D, appendix A, table A-5. */
#include "x86/table.h"

#define SSE41(name, acc) ONLY_66(SSE(name, SSE41, acc, Vdq, Wdq, Ib))
/* The string comparisons take unaligned memory: SDM vol. 2, their pages. */
#define PCMPSTR(name) ONLY_66(SSEU(name, SSE42, R, Vdq, Wdq, Ib))

const struct x86_row x86_map3a[256] = {
	[0x08] = SSE41(ROUNDPS, W), [0x09] = SSE41(ROUNDPD, W),
	[0x0a] = ONLY_66(SSE(ROUNDSS, SSE41, W, Vd, Wd, Ib)),
	[0x0b] = ONLY_66(SSE(ROUNDSD, SSE41, W, Vq, Wq, Ib)),
	[0x0c] = SSE41(BLENDPS, RW), [0x0d] = SSE41(BLENDPD, RW),
	[0x0e] = SSE41(PBLENDW, RW),
	[0x0f] = BY_PP(MMX(PALIGNR, SSSE3, RW, Pq, Qq, Ib),
		       SSE(PALIGNR, SSSE3, RW, Vdq, Wdq, Ib)),
	[0x14] = ONLY_66(SSE(PEXTRB, SSE41, W, Edb, Vdq, Ib)),
	[0x15] = ONLY_66(SSE(PEXTRW, SSE41, W, Edw, Vdq, Ib)),
	[0x16] = ONLY_66(BY_W64(SSE(PEXTRD, SSE41, W, Ey, Vdq, Ib),
				SSE(PEXTRQ, SSE41, W, Ey, Vdq, Ib))),
	[0x17] = ONLY_66(SSE(EXTRACTPS, SSE41, W, Ed, Vdq, Ib)),
	[0x20] = ONLY_66(SSE(PINSRB, SSE41, RW, Vdq, Edb, Ib)),
	[0x21] = ONLY_66(SSE(INSERTPS, SSE41, RW, Vdq, Wd, Ib)),
	[0x22] = ONLY_66(BY_W64(SSE(PINSRD, SSE41, RW, Vdq, Ey, Ib),
				SSE(PINSRQ, SSE41, RW, Vdq, Ey, Ib))),
	[0x40] = SSE41(DPPS, RW), [0x41] = SSE41(DPPD, RW),
	[0x42] = SSE41(MPSADBW, RW),
	[0x44] = ONLY_66(SSE(PCLMULQDQ, PCLMUL, RW, Vdq, Wdq, Ib)),
	[0x60] = PCMPSTR(PCMPESTRM), [0x61] = PCMPSTR(PCMPESTRI),
	[0x62] = PCMPSTR(PCMPISTRM), [0x63] = PCMPSTR(PCMPISTRI),
	[0xcc] = ONLY_NP(SSE(SHA1RNDS4, SHA, RW, Vdq, Wdq, Ib)),
	[0xce] = ONLY_66(SSE(GF2P8AFFINEQB, GFNI, RW, Vdq, Wdq, Ib)),
	[0xcf] = ONLY_66(SSE(GF2P8AFFINEINVQB, GFNI, RW, Vdq, Wdq, Ib)),
	[0xdf] = ONLY_66(SSE(AESKEYGENASSIST, AES, W, Vdq, Wdq, Ib)),
};
