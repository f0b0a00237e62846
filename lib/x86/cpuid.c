#include "x86/cpuid.h"

#include <cpuid.h>
#include <stdio.h>
#include <string.h>

enum { EAX, EBX, ECX, EDX };

/*
 * The feature bits that a guest may see: each needs the same bit of the host and
 * the model's feature.  X86_F_BASE: whatever the host has is implemented.
 * Not here is what nothing implements: MONITOR, VMX, SVM, VME, performance
 * counters, AVX-512, speculation controls.
 *
 * from: the first micro-architecture level with it (System V ABI, AMD64 supplement,
 * 3.1.1); V1 is also what the machine itself gives, HOST what no level knows.
 */
enum { V1 = 1, V2, V3, HOST };

static const struct bit {
	uint32_t leaf;
	uint8_t sub, reg, bit, feat, from;
} bits[] = {
	{ 1, 0, ECX, 0, X86_F_SSE3, V2 },
	{ 1, 0, ECX, 1, X86_F_PCLMUL, HOST },
	{ 1, 0, ECX, 9, X86_F_SSSE3, V2 },
	{ 1, 0, ECX, 12, X86_F_FMA, V3 },
	{ 1, 0, ECX, 13, X86_F_CX16, V2 },
	{ 1, 0, ECX, 17, X86_F_PCID, HOST },
	{ 1, 0, ECX, 19, X86_F_SSE41, V2 },
	{ 1, 0, ECX, 20, X86_F_SSE42, V2 },
	{ 1, 0, ECX, 22, X86_F_MOVBE, V3 },
	{ 1, 0, ECX, 23, X86_F_POPCNT, V2 },
	{ 1, 0, ECX, 24, X86_F_BASE, V1 },	/* TSC deadline mode of the APIC timer */
	{ 1, 0, ECX, 25, X86_F_AES, HOST },
	{ 1, 0, ECX, 26, X86_F_XSAVE, V3 },
	{ 1, 0, ECX, 28, X86_F_AVX, V3 },
	{ 1, 0, ECX, 29, X86_F_F16C, V3 },
	{ 1, 0, ECX, 30, X86_F_RDRAND, HOST },
	{ 1, 0, EDX, 0, X86_F_X87, V1 },
	{ 1, 0, EDX, 2, X86_F_BASE, V1 },	/* DE */
	{ 1, 0, EDX, 3, X86_F_BASE, V1 },	/* PSE */
	{ 1, 0, EDX, 4, X86_F_BASE, V1 },	/* TSC */
	{ 1, 0, EDX, 5, X86_F_BASE, V1 },	/* MSR */
	{ 1, 0, EDX, 6, X86_F_BASE, V1 },	/* PAE */
	{ 1, 0, EDX, 7, X86_F_BASE, V1 },	/* MCE */
	{ 1, 0, EDX, 8, X86_F_CX8, V1 },
	{ 1, 0, EDX, 9, X86_F_BASE, V1 },	/* APIC */
	{ 1, 0, EDX, 11, X86_F_SEP, V1 },
	{ 1, 0, EDX, 12, X86_F_BASE, V1 },	/* MTRR */
	{ 1, 0, EDX, 13, X86_F_BASE, V1 },	/* PGE */
	{ 1, 0, EDX, 14, X86_F_BASE, V1 },	/* MCA */
	{ 1, 0, EDX, 15, X86_F_CMOV, V1 },
	{ 1, 0, EDX, 16, X86_F_BASE, V1 },	/* PAT */
	{ 1, 0, EDX, 17, X86_F_BASE, V1 },	/* PSE-36 */
	{ 1, 0, EDX, 19, X86_F_CLFLUSH, V1 },
	{ 1, 0, EDX, 23, X86_F_MMX, V1 },
	{ 1, 0, EDX, 24, X86_F_FXSR, V1 },
	{ 1, 0, EDX, 25, X86_F_SSE, V1 },
	{ 1, 0, EDX, 26, X86_F_SSE2, V1 },
	{ 7, 0, EBX, 0, X86_F_FSGSBASE, HOST },
	{ 7, 0, EBX, 3, X86_F_BMI1, V3 },
	{ 7, 0, EBX, 5, X86_F_AVX2, V3 },
	{ 7, 0, EBX, 7, X86_F_SMEP, HOST },
	{ 7, 0, EBX, 8, X86_F_BMI2, V3 },
	{ 7, 0, EBX, 9, X86_F_BASE, HOST },	/* ERMS */
	{ 7, 0, EBX, 10, X86_F_INVPCID, HOST },
	{ 7, 0, EBX, 18, X86_F_RDSEED, HOST },
	{ 7, 0, EBX, 19, X86_F_ADX, HOST },
	{ 7, 0, EBX, 20, X86_F_SMAP, HOST },
	{ 7, 0, EBX, 23, X86_F_CLFLUSHOPT, HOST },
	{ 7, 0, EBX, 24, X86_F_CLWB, HOST },
	{ 7, 0, EBX, 29, X86_F_SHA, HOST },
	{ 7, 0, ECX, 2, X86_F_UMIP, HOST },
	{ 7, 0, ECX, 8, X86_F_GFNI, HOST },
	{ 7, 0, ECX, 9, X86_F_VAES, HOST },
	{ 7, 0, ECX, 10, X86_F_VPCLMUL, HOST },
	{ 7, 0, ECX, 22, X86_F_RDPID, HOST },
	{ 7, 0, EDX, 4, X86_F_BASE, HOST },	/* FSRM */
	{ 0xd, 1, EAX, 0, X86_F_XSAVEOPT, HOST },
	{ 0xd, 1, EAX, 1, X86_F_XSAVEC, HOST },
	{ 0xd, 1, EAX, 2, X86_F_XGETBV1, HOST },
	{ 0xd, 1, EAX, 3, X86_F_XSAVES, HOST },
	{ 0x80000001, 0, ECX, 0, X86_F_LAHF64, V2 },
	{ 0x80000001, 0, ECX, 5, X86_F_LZCNT, V3 },
	{ 0x80000001, 0, ECX, 6, X86_F_SSE4A, HOST },
	{ 0x80000001, 0, ECX, 8, X86_F_PREFETCHW, HOST },
	{ 0x80000001, 0, EDX, 11, X86_F_SYSCALL, V1 },
	{ 0x80000001, 0, EDX, 20, X86_F_BASE, V1 },	/* NX */
	{ 0x80000001, 0, EDX, 22, X86_F_MMXEXT, HOST },
	{ 0x80000001, 0, EDX, 26, X86_F_LM, HOST },	/* 1 GiB pages */
	{ 0x80000001, 0, EDX, 27, X86_F_RDTSCP, HOST },
	{ 0x80000001, 0, EDX, 29, X86_F_LM, V1 },
	{ 0x80000007, 0, EDX, 8, X86_F_BASE, V1 },	/* invariant TSC */
	{ 0x80000008, 0, EBX, 2, X86_F_BASE, HOST },	/* FXSAVE always saves pointers */
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

static bool bit_offered(const struct x86_model *m, const struct bit *b)
{
	return !m->level || b->from <= m->level;
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
	host_read(m);
	m->host_xcr0 = host_xcr0();
	x86_model_update(m);
}

void x86_model_update(struct x86_model *m)
{
	static const uint8_t needs_avx[] = { X86_F_AVX, X86_F_F16C, X86_F_FMA,
		X86_F_AVX2, X86_F_VAES, X86_F_VPCLMUL };
	static const uint8_t needs_xsave[] = { X86_F_XSAVE, X86_F_XSAVEOPT,
		X86_F_XSAVEC, X86_F_XSAVES, X86_F_XGETBV1 };
	static const uint8_t needs_lm[] = { X86_F_LM, X86_F_SYSCALL,
		X86_F_LAHF64, X86_F_FSGSBASE, X86_F_CX16, X86_F_PCID };
	uint32_t r[4];

	memset(m->feat, 0, sizeof(m->feat));
	for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		host_leaf(m, bits[i].leaf, bits[i].sub, r);
		if (r[bits[i].reg] >> bits[i].bit & 1 && bit_offered(m, &bits[i]))
			feat_set(m, bits[i].feat, true);
	}
	feat_set(m, X86_F_BASE, true);
	if (!m->smap)
		feat_set(m, X86_F_SMAP, false);
	if (!m->long_mode)
		feats_drop(m, needs_lm, sizeof(needs_lm));
	if ((m->host_xcr0 & 3) != 3)
		feats_drop(m, needs_xsave, sizeof(needs_xsave));
	if ((m->host_xcr0 & 7) != 7 || !x86_model_has(m, X86_F_XSAVE))
		feats_drop(m, needs_avx, sizeof(needs_avx));
	/* SSE has AMD's extensions of MMX; to all 64-bit processors PREFETCHW is a hint. */
	if (x86_model_has(m, X86_F_SSE))
		feat_set(m, X86_F_MMXEXT, true);
	if (x86_model_has(m, X86_F_LM))
		feat_set(m, X86_F_PREFETCHW, true);
	m->xcr0_max = 1;
	if (x86_model_has(m, X86_F_XSAVE))
		m->xcr0_max |= 2;
	if (x86_model_has(m, X86_F_AVX))
		m->xcr0_max |= 4;
}

const char *x86_level_name(unsigned level)
{
	static const char *const name[] = { "host", "x86-64", "x86-64-v2", "x86-64-v3" };

	return name[level];
}

const char *x86_model_lacks(const struct x86_model *m)
{
	static const struct { uint8_t feat, from; const char *name; } needs[] = {
		{ X86_F_LM, V1, "64-bit mode" }, { X86_F_SYSCALL, V1, "SYSCALL" },
		{ X86_F_CX16, V2, "CMPXCHG16B" }, { X86_F_LAHF64, V2, "LAHF in 64-bit mode" },
		{ X86_F_POPCNT, V2, "POPCNT" }, { X86_F_SSE3, V2, "SSE3" },
		{ X86_F_SSSE3, V2, "SSSE3" }, { X86_F_SSE41, V2, "SSE4.1" },
		{ X86_F_SSE42, V2, "SSE4.2" }, { X86_F_XSAVE, V3, "XSAVE" },
		{ X86_F_AVX, V3, "AVX" }, { X86_F_AVX2, V3, "AVX2" }, { X86_F_BMI1, V3, "BMI1" },
		{ X86_F_BMI2, V3, "BMI2" }, { X86_F_F16C, V3, "F16C" }, { X86_F_FMA, V3, "FMA" },
		{ X86_F_LZCNT, V3, "LZCNT" }, { X86_F_MOVBE, V3, "MOVBE" },
	};

	for (unsigned i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if (needs[i].from <= m->level && !x86_model_has(m, needs[i].feat))
			return needs[i].name;
	return NULL;
}

/* Keep of the host's r what the table offers in this leaf. */
static void mask_features(const struct x86_model *m, uint32_t leaf,
			  uint32_t sub, const uint32_t r[4], uint32_t out[4])
{
	for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		if (bits[i].leaf == leaf && bits[i].sub == sub &&
		    x86_model_has(m, bits[i].feat) && bit_offered(m, &bits[i]))
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

/* The model name: the host's, or the level's. */
static void brand(const struct x86_model *m, uint32_t leaf, const uint32_t r[4],
		  uint32_t out[4])
{
	char name[48] = { 0 };

	memcpy(out, r, 16);
	if (!m->level)
		return;
	snprintf(name, sizeof(name), "%s virtual processor", x86_level_name(m->level));
	memcpy(out, name + 16 * (leaf - 0x80000002), 16);
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
		if (!m->amd && c->code_bits != 64)
			out[EDX] &= ~(1u << 11);	/* SYSCALL is known there only */
		if (!m->amd)
			break;
		out[EAX] = r[EAX];
		x86_cpuid(m, c, apic_id, 1, 0, one);
		out[EDX] |= one[EDX] & AMD_MIRROR;
		if (m->cpus > 1)
			out[ECX] |= 2;	/* CmpLegacy: leaf 1 counts cores */
		break;
	case 0x80000002 ... 0x80000004:
		brand(m, leaf, r, out);
		break;
	case 0x80000005: case 0x80000006:	/* caches */
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
	if (leaf == 7 && sub == 0 && !x86_model_smap(m, c))
		out[EBX] &= ~(1u << 20);
	if (leaf == 7 && sub == 0 && x86_model_arch_caps(m))
		out[EDX] |= 1u << 29;
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
