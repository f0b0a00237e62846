/* Three-byte opcodes, 0F 38 xx.  Intel SDM vol. 2D, appendix A, table A-4. */
#include "x86/table.h"

#define SSSE3_(name) BY_PP( \
	MMX(name, SSSE3, RW, Pq, Qq), SSE(name, SSSE3, RW, Vdq, Wdq))
#define PABS(name) BY_PP( \
	MMX(name, SSSE3, W, Pq, Qq), SSE(name, SSSE3, W, Vdq, Wdq))
#define SSE41(name) ONLY_66(SSE(name, SSE41, RW, Vdq, Wdq))
#define PMOV(name, from) ONLY_66(SSE(name, SSE41, W, Vdq, from))
#define SHA(name) ONLY_NP(SSE(name, SHA, RW, Vdq, Wdq))
#define AES(name) ONLY_66(SSE(name, AES, RW, Vdq, Wdq))

const struct x86_row x86_map38[256] = {
	[0x00] = SSSE3_(PSHUFB), [0x01] = SSSE3_(PHADDW),
	[0x02] = SSSE3_(PHADDD), [0x03] = SSSE3_(PHADDSW),
	[0x04] = SSSE3_(PMADDUBSW), [0x05] = SSSE3_(PHSUBW),
	[0x06] = SSSE3_(PHSUBD), [0x07] = SSSE3_(PHSUBSW),
	[0x08] = SSSE3_(PSIGNB), [0x09] = SSSE3_(PSIGNW),
	[0x0a] = SSSE3_(PSIGND), [0x0b] = SSSE3_(PMULHRSW),
	[0x10] = ONLY_66(SSE(PBLENDVB, SSE41, RW, Vdq, Wdq, XMM0)),
	[0x14] = ONLY_66(SSE(BLENDVPS, SSE41, RW, Vdq, Wdq, XMM0)),
	[0x15] = ONLY_66(SSE(BLENDVPD, SSE41, RW, Vdq, Wdq, XMM0)),
	[0x17] = ONLY_66(SSE(PTEST, SSE41, R, Vdq, Wdq)),
	[0x1c] = PABS(PABSB), [0x1d] = PABS(PABSW), [0x1e] = PABS(PABSD),
	[0x20] = PMOV(PMOVSXBW, Wq), [0x21] = PMOV(PMOVSXBD, Wd),
	[0x22] = PMOV(PMOVSXBQ, Ww), [0x23] = PMOV(PMOVSXWD, Wq),
	[0x24] = PMOV(PMOVSXWQ, Wd), [0x25] = PMOV(PMOVSXDQ, Wq),
	[0x28] = SSE41(PMULDQ), [0x29] = SSE41(PCMPEQQ),
	[0x2a] = ONLY_66(SSE(MOVNTDQA, SSE41, W, Vdq, Mdq)),
	[0x2b] = SSE41(PACKUSDW),
	[0x30] = PMOV(PMOVZXBW, Wq), [0x31] = PMOV(PMOVZXBD, Wd),
	[0x32] = PMOV(PMOVZXBQ, Ww), [0x33] = PMOV(PMOVZXWD, Wq),
	[0x34] = PMOV(PMOVZXWQ, Wd), [0x35] = PMOV(PMOVZXDQ, Wq),
	[0x37] = ONLY_66(SSE(PCMPGTQ, SSE42, RW, Vdq, Wdq)),
	[0x38] = SSE41(PMINSB), [0x39] = SSE41(PMINSD),
	[0x3a] = SSE41(PMINUW), [0x3b] = SSE41(PMINUD),
	[0x3c] = SSE41(PMAXSB), [0x3d] = SSE41(PMAXSD),
	[0x3e] = SSE41(PMAXUW), [0x3f] = SSE41(PMAXUD),
	[0x40] = SSE41(PMULLD),
	[0x41] = ONLY_66(SSE(PHMINPOSUW, SSE41, W, Vdq, Wdq)),
	[0x82] = ONLY_66(OPF(INVPCID, CALLOUT, R, INVPCID, PRIV, Gn, Mdq)),
	[0xc8] = SHA(SHA1NEXTE), [0xc9] = SHA(SHA1MSG1), [0xca] = SHA(SHA1MSG2),
	[0xcb] = ONLY_NP(SSE(SHA256RNDS2, SHA, RW, Vdq, Wdq, XMM0)),
	[0xcc] = SHA(SHA256MSG1), [0xcd] = SHA(SHA256MSG2),
	[0xcf] = ONLY_66(SSE(GF2P8MULB, GFNI, RW, Vdq, Wdq)),
	[0xdb] = ONLY_66(SSE(AESIMC, AES, W, Vdq, Wdq)),
	[0xdc] = AES(AESENC), [0xdd] = AES(AESENCLAST),
	[0xde] = AES(AESDEC), [0xdf] = AES(AESDECLAST),
	[0xf0] = BY_PP([0 ... 1] = OPF(MOVBE, SAME, W, MOVBE, 0, Gv, Mv),
		       [3] = OPF(CRC32, SAME, RW, SSE42, 0, Gy, Eb)),
	[0xf1] = BY_PP([0 ... 1] = OPF(MOVBE, SAME, W, MOVBE, 0, Mv, Gv),
		       [3] = OPF(CRC32, SAME, RW, SSE42, 0, Gy, Ev)),
	[0xf6] = BY_PP([1] = OPF(ADCX, SAME, RW, ADX, 0, Gy, Ey),
		       [2] = OPF(ADOX, SAME, RW, ADX, 0, Gy, Ey)),
	[0xf9] = ONLY_NP(OPF(MOVDIRI, SAME, W, MOVDIRI, 0, My, Gy)),
};
