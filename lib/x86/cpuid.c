#include "x86/cpuid.h"

#include <cpuid.h>
#include <string.h>

enum { EAX, EBX, ECX, EDX };

/*
 * The feature bits that a guest may see: each needs the same bit of the host and
 * the model's feature.  X86_F_BASE: whatever the host has is implemented.
 * Not here is what nothing implements: MONITOR, VMX, SVM, PCID, VME, performance
 * counters, AVX-512, speculation controls.
 */
static const struct bit {
	uint32_t leaf;
	uint8_t sub, reg, bit, feat;
} bits[] = {
	{ 1, 0, ECX, 0, X86_F_SSE3 },
	{ 1, 0, ECX, 1, X86_F_PCLMUL },
	{ 1, 0, ECX, 9, X86_F_SSSE3 },
	{ 1, 0, ECX, 12, X86_F_FMA },
	{ 1, 0, ECX, 13, X86_F_CX16 },
	{ 1, 0, ECX, 19, X86_F_SSE41 },
	{ 1, 0, ECX, 20, X86_F_SSE42 },
	{ 1, 0, ECX, 22, X86_F_MOVBE },
	{ 1, 0, ECX, 23, X86_F_POPCNT },
	{ 1, 0, ECX, 24, X86_F_BASE },	/* TSC deadline mode of the APIC timer */
	{ 1, 0, ECX, 25, X86_F_AES },
	{ 1, 0, ECX, 26, X86_F_XSAVE },
	{ 1, 0, ECX, 28, X86_F_AVX },
	{ 1, 0, ECX, 29, X86_F_F16C },
	{ 1, 0, ECX, 30, X86_F_RDRAND },
	{ 1, 0, EDX, 0, X86_F_X87 },
	{ 1, 0, EDX, 2, X86_F_BASE },	/* DE */
	{ 1, 0, EDX, 3, X86_F_BASE },	/* PSE */
	{ 1, 0, EDX, 4, X86_F_BASE },	/* TSC */
	{ 1, 0, EDX, 5, X86_F_BASE },	/* MSR */
	{ 1, 0, EDX, 6, X86_F_BASE },	/* PAE */
	{ 1, 0, EDX, 7, X86_F_BASE },	/* MCE */
	{ 1, 0, EDX, 8, X86_F_CX8 },
	{ 1, 0, EDX, 9, X86_F_BASE },	/* APIC */
	{ 1, 0, EDX, 11, X86_F_SEP },
	{ 1, 0, EDX, 12, X86_F_BASE },	/* MTRR */
	{ 1, 0, EDX, 13, X86_F_BASE },	/* PGE */
	{ 1, 0, EDX, 14, X86_F_BASE },	/* MCA */
	{ 1, 0, EDX, 15, X86_F_CMOV },
	{ 1, 0, EDX, 16, X86_F_BASE },	/* PAT */
	{ 1, 0, EDX, 17, X86_F_BASE },	/* PSE-36 */
	{ 1, 0, EDX, 19, X86_F_CLFLUSH },
	{ 1, 0, EDX, 23, X86_F_MMX },
	{ 1, 0, EDX, 24, X86_F_FXSR },
	{ 1, 0, EDX, 25, X86_F_SSE },
	{ 1, 0, EDX, 26, X86_F_SSE2 },
	{ 7, 0, EBX, 0, X86_F_FSGSBASE },
	{ 7, 0, EBX, 3, X86_F_BMI1 },
	{ 7, 0, EBX, 5, X86_F_AVX2 },
	{ 7, 0, EBX, 7, X86_F_BASE },	/* SMEP */
	{ 7, 0, EBX, 8, X86_F_BMI2 },
	{ 7, 0, EBX, 9, X86_F_BASE },	/* ERMS */
	{ 7, 0, EBX, 10, X86_F_INVPCID },
	{ 7, 0, EBX, 18, X86_F_RDSEED },
	{ 7, 0, EBX, 19, X86_F_ADX },
	{ 7, 0, EBX, 20, X86_F_SMAP },
	{ 7, 0, EBX, 23, X86_F_CLFLUSHOPT },
	{ 7, 0, EBX, 24, X86_F_CLWB },
	{ 7, 0, EBX, 29, X86_F_SHA },
	{ 7, 0, ECX, 2, X86_F_BASE },	/* UMIP */
	{ 7, 0, ECX, 8, X86_F_GFNI },
	{ 7, 0, ECX, 9, X86_F_VAES },
	{ 7, 0, ECX, 10, X86_F_VPCLMUL },
	{ 7, 0, ECX, 22, X86_F_RDPID },
	{ 7, 0, EDX, 4, X86_F_BASE },	/* FSRM */
	{ 0xd, 1, EAX, 0, X86_F_XSAVEOPT },
	{ 0xd, 1, EAX, 1, X86_F_XSAVEC },
	{ 0xd, 1, EAX, 2, X86_F_XSAVE },	/* XGETBV with ECX = 1 */
	{ 0xd, 1, EAX, 3, X86_F_XSAVES },
	{ 0x80000001, 0, ECX, 0, X86_F_LAHF64 },
	{ 0x80000001, 0, ECX, 5, X86_F_LZCNT },
	{ 0x80000001, 0, ECX, 6, X86_F_SSE4A },
	{ 0x80000001, 0, ECX, 8, X86_F_PREFETCHW },
	{ 0x80000001, 0, EDX, 11, X86_F_SYSCALL },
	{ 0x80000001, 0, EDX, 20, X86_F_BASE },	/* NX */
	{ 0x80000001, 0, EDX, 22, X86_F_MMXEXT },
	{ 0x80000001, 0, EDX, 26, X86_F_LM },	/* 1 GiB pages */
	{ 0x80000001, 0, EDX, 27, X86_F_RDTSCP },
	{ 0x80000001, 0, EDX, 29, X86_F_LM },
	{ 0x80000007, 0, EDX, 8, X86_F_BASE },	/* invariant TSC */
	{ 0x80000008, 0, EBX, 2, X86_F_BASE },	/* FXSAVE always saves pointers */
};

/* Bits of leaf 1 EDX that AMD repeats in 0x80000001 EDX. */
#define AMD_MIRROR	0x0183f3ffu

#define HV_LEAF		0x40000000u
#define HV_LEAF_TSC	0x40000010u
#define EXT_LEAF_MAX	0x80000008u
#define LEAF_MAX	0xdu

static void host(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
	unsigned max = __get_cpuid_max(leaf & 0x80000000, NULL);

	memset(r, 0, 16);
	if (leaf <= max)
		__cpuid_count(leaf, sub, r[EAX], r[EBX], r[ECX], r[EDX]);
}

/* Ask the host all that x86_cpuid() will want to know. */
static void host_read(struct x86_model *m)
{
	static const struct { uint32_t leaf, subs; } leaves[] = {
		{ 0, 1 }, { 1, 1 }, { 2, 1 }, { 4, 5 }, { 6, 1 }, { 7, 2 },
		{ 0xb, 2 }, { 0xd, 10 }, { 0x80000000, 1 }, { 0x80000001, 1 },
		{ 0x80000002, 1 }, { 0x80000003, 1 }, { 0x80000004, 1 },
		{ 0x80000005, 1 }, { 0x80000006, 1 }, { 0x80000007, 1 },
		{ 0x80000008, 1 },
	};

	m->nhost = 0;
	for (unsigned i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++)
		for (uint32_t sub = 0; sub < leaves[i].subs; sub++) {
			struct x86_host_leaf *h = &m->host[m->nhost++];

			h->leaf = leaves[i].leaf;
			h->sub = sub;
			host(h->leaf, sub, h->r);
		}
	/* Auth(enticAMD), Hygo(nGenuine) */
	m->amd = m->host[0].r[EBX] == 0x68747541 || m->host[0].r[EBX] == 0x6f677948;
}

/* What the host said; leaves not asked for read as zero. */
static void host_leaf(const struct x86_model *m, uint32_t leaf, uint32_t sub,
		      uint32_t r[4])
{
	memset(r, 0, 16);
	for (unsigned i = 0; i < m->nhost; i++)
		if (m->host[i].leaf == leaf && m->host[i].sub == sub)
			memcpy(r, m->host[i].r, 16);
}

static void feat_set(struct x86_model *m, unsigned feat, bool on)
{
	uint32_t mask = 1u << feat % 32;

	if (on)
		m->feat[feat / 32] |= mask;
	else
		m->feat[feat / 32] &= ~mask;
}

static void feats_drop(struct x86_model *m, const uint8_t *list, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		feat_set(m, list[i], false);
}

/* XGETBV ECX = 0 of the host: what its kernel has switched on. */
static uint64_t host_xcr0(void)
{
	uint32_t r[4], lo, hi;

	host(1, 0, r);
	if (!(r[ECX] >> 27 & 1))
		return 0;
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (uint64_t)hi << 32 | lo;
}

void x86_model_init(struct x86_model *m)
{
	static const uint8_t needs_avx[] = { X86_F_AVX, X86_F_F16C, X86_F_FMA,
		X86_F_AVX2, X86_F_VAES, X86_F_VPCLMUL };
	static const uint8_t needs_xsave[] = { X86_F_XSAVE, X86_F_XSAVEOPT,
		X86_F_XSAVEC, X86_F_XSAVES };
	static const uint8_t needs_lm[] = { X86_F_LM, X86_F_SYSCALL,
		X86_F_LAHF64, X86_F_FSGSBASE, X86_F_CX16 };
	uint64_t xcr0 = host_xcr0();
	uint32_t r[4], leaf = 0, sub = 0;

	host_read(m);
	memset(m->feat, 0, sizeof(m->feat));
	memset(r, 0, sizeof(r));
	for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		if (bits[i].leaf != leaf || bits[i].sub != sub) {
			leaf = bits[i].leaf;
			sub = bits[i].sub;
			host(leaf, sub, r);
		}
		if (r[bits[i].reg] >> bits[i].bit & 1)
			feat_set(m, bits[i].feat, true);
	}
	feat_set(m, X86_F_BASE, true);
	if (!m->smap)
		feat_set(m, X86_F_SMAP, false);
	if (!m->long_mode)
		feats_drop(m, needs_lm, sizeof(needs_lm));
	if ((xcr0 & 3) != 3)
		feats_drop(m, needs_xsave, sizeof(needs_xsave));
	if ((xcr0 & 7) != 7)
		feats_drop(m, needs_avx, sizeof(needs_avx));
	m->xcr0_max = 1;
	if (x86_model_has(m, X86_F_XSAVE))
		m->xcr0_max |= 2;
	if (x86_model_has(m, X86_F_AVX))
		m->xcr0_max |= 4;
}

/* Keep of the host's r what the table offers in this leaf. */
static void mask_features(const struct x86_model *m, uint32_t leaf,
			  uint32_t sub, const uint32_t r[4], uint32_t out[4])
{
	for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		if (bits[i].leaf == leaf && bits[i].sub == sub &&
		    x86_model_has(m, bits[i].feat))
			out[bits[i].reg] |= r[bits[i].reg] & 1u << bits[i].bit;
}

static unsigned log2_up(unsigned n)
{
	unsigned b = 0;

	while (1u << b < n)
		b++;
	return b;
}

static void leaf_1(const struct x86_model *m, const struct x86_cpu *c,
		   unsigned apic_id, const uint32_t r[4], uint32_t out[4])
{
	out[EAX] = r[EAX] & 0x0fff3fff;
	out[EBX] = apic_id << 24 | (m->cpus & 0xff) << 16 | 8 << 8;
	out[ECX] |= 1u << 31;
	if (m->x2apic)
		out[ECX] |= 1u << 21;
	if (c->cr4 & X86_CR4_OSXSAVE)
		out[ECX] |= 1u << 27;
	if (!(c->apic_base & 0x800))
		out[EDX] &= ~(1u << 9);
	if (m->cpus > 1)
		out[EDX] |= 1u << 28;
}

/* Intel's cache leaf: one thread a core, the last level shared by all. */
static void leaf_4(const struct x86_model *m, const uint32_t r[4], uint32_t out[4])
{
	unsigned sharing = (r[EAX] >> 5 & 7) >= 3 ? m->cpus - 1 : 0;

	if (!(r[EAX] & 0x1f))
		return;
	memcpy(out, r, 16);
	out[EAX] = (r[EAX] & 0x3fff) | sharing << 14 | (m->cpus - 1) << 26;
}

static void leaf_b(const struct x86_model *m, unsigned apic_id, uint32_t sub,
		   uint32_t out[4])
{
	out[ECX] = sub & 0xff;
	out[EDX] = apic_id;
	if (sub == 0) {			/* threads of a core */
		out[EBX] = 1;
		out[ECX] |= 1 << 8;
	} else if (sub == 1) {		/* cores of the package */
		out[EAX] = log2_up(m->cpus);
		out[EBX] = m->cpus;
		out[ECX] |= 2 << 8;
	}
}

static uint32_t xsave_size(uint64_t xcr0)
{
	return xcr0 & 4 ? 576 + 256 : 576;
}

static void leaf_d(const struct x86_model *m, const struct x86_cpu *c,
		   uint32_t sub, uint32_t out[4])
{
	if (!x86_model_has(m, X86_F_XSAVE)) {
		memset(out, 0, 16);
	} else if (sub == 0) {
		out[EAX] = (uint32_t)m->xcr0_max;
		out[EBX] = xsave_size(c->xcr0);
		out[ECX] = xsave_size(m->xcr0_max);
	} else if (sub == 1) {
		out[EBX] = xsave_size(c->xcr0);
	} else if (sub == 2 && (m->xcr0_max & 4)) {
		out[EAX] = 256;
		out[EBX] = 576;
	}
}

static void leaf_hv(const struct x86_model *m, uint32_t leaf, uint32_t out[4])
{
	if (leaf == HV_LEAF) {
		out[EAX] = HV_LEAF_TSC;
		memcpy(&out[EBX], "VMwareVMware", 12);
	} else if (leaf == HV_LEAF_TSC) {
		out[EAX] = (uint32_t)(m->tsc_hz / 1000);
	}
}

static void leaf_ext(const struct x86_model *m, const struct x86_cpu *c,
		     unsigned apic_id, uint32_t leaf, const uint32_t r[4],
		     uint32_t out[4])
{
	uint32_t one[4];

	switch (leaf) {
	case 0x80000000:
		memcpy(out, r, 16);
		if (out[EAX] > EXT_LEAF_MAX)
			out[EAX] = EXT_LEAF_MAX;
		break;
	case 0x80000001:
		if (!m->amd)
			break;
		out[EAX] = r[EAX];
		x86_cpuid(m, c, apic_id, 1, 0, one);
		out[EDX] |= one[EDX] & AMD_MIRROR;
		if (m->cpus > 1)
			out[ECX] |= 2;	/* CmpLegacy: leaf 1 counts cores */
		break;
	case 0x80000002 ... 0x80000006:	/* brand string, caches */
		memcpy(out, r, 16);
		break;
	case 0x80000008:
		out[EAX] = X86_PHYS_BITS | (m->long_mode ? 48 : 32) << 8;
		if (m->amd)
			out[ECX] = (m->cpus - 1) | log2_up(m->cpus) << 12;
		break;
	}
}

void x86_cpuid(const struct x86_model *m, const struct x86_cpu *c,
	       unsigned apic_id, uint32_t leaf, uint32_t sub, uint32_t out[4])
{
	uint32_t r[4];

	memset(out, 0, 16);
	if (leaf != 4 && leaf != 7 && leaf != 0xb && leaf != 0xd)
		sub = 0;	/* ECX does not matter */
	if ((leaf & 0xffffff00) == HV_LEAF) {
		leaf_hv(m, leaf, out);
		return;
	}
	if (leaf > EXT_LEAF_MAX || (leaf > LEAF_MAX && leaf < 0x80000000))
		return;
	host_leaf(m, leaf, sub, r);
	mask_features(m, leaf, sub, r, out);
	switch (leaf) {
	case 0:
		memcpy(out, r, 16);
		out[EAX] = LEAF_MAX;
		break;
	case 1:
		leaf_1(m, c, apic_id, r, out);
		break;
	case 2:
		memcpy(out, r, 16);
		break;
	case 4:
		leaf_4(m, r, out);
		break;
	case 6:
		out[EAX] = 4;	/* the APIC timer runs in every sleep state */
		break;
	case 0xb:
		leaf_b(m, apic_id, sub, out);
		break;
	case 0xd:
		leaf_d(m, c, sub, out);
		break;
	default:
		if (leaf >= 0x80000000)
			leaf_ext(m, c, apic_id, leaf, r, out);
	}
}
