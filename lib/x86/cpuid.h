#ifndef X86_CPUID_H
#define X86_CPUID_H
/*
 * The guest's CPUID: the host's, masked to what is implemented, with the
 * hypervisor leaves as VMware presents them (refs: SDM vol. 2A CPUID; Linux
 * arch/x86/kernel/cpu/vmware.c for leaf 0x40000000 and 0x40000010).
 */

#include "x86/cpu.h"

#define X86_HOST_LEAVES 48

/* No load reaches what the page tables keep for the supervisor (Meltdown). */
#define X86_ARCH_CAP_RDCL_NO 1ull

struct x86_model {
	bool long_mode;		/* offer 64-bit mode */
	bool smap;		/* offer SMAP */
	bool smap_long;		/* .. in long mode only, as Intel's do SYSCALL */
	bool x2apic;
	/* IA32_ARCH_CAPABILITIES of Intel's processors (SDM vol. 4): what the guest
	 * need not guard against.  0: it is not offered. */
	uint64_t arch_caps;
	/* 0: what the host has; 2 or 3: a level of the System V ABI and no more, the
	 * same on every host of that level but for vendor, model and caches. */
	unsigned level;
	unsigned cpus;
	uint64_t tsc_hz;
	uint32_t feat[(X86_FEATS + 31) / 32];	/* which enum x86_feat decode */
	uint64_t xcr0_max;	/* XCR0 bits offered: 1|2|4 with AVX */
	/* The host's answers, asked once: CPUID takes microseconds on virtual
	 * hosts.  Filled by x86_model_init(). */
	struct x86_host_leaf {
		uint32_t leaf, sub, r[4];
	} host[X86_HOST_LEAVES];
	unsigned nhost;
	uint64_t host_xcr0;
	bool amd;		/* the host's vendor is AMD or Hygon */
};

/* Fill in feat and xcr0_max from the host and the flags set by the caller. */
void x86_model_init(struct x86_model *m);
/* The same again after a change of host[] (an engine that cannot give all of it). */
void x86_model_update(struct x86_model *m);

/* Something that m's level needs and the host lacks, or NULL. */
const char *x86_model_lacks(const struct x86_model *m);

/* "host" (0), "x86-64-v2".. */
const char *x86_level_name(unsigned level);

/* out: eax ebx ecx edx.  apic_id is the executing CPU's. */
void x86_cpuid(const struct x86_model *m, const struct x86_cpu *c,
	       unsigned apic_id, uint32_t leaf, uint32_t sub, uint32_t out[4]);

static inline bool x86_model_has(const struct x86_model *m, unsigned feat)
{
	return m->feat[feat / 32] >> (feat % 32) & 1;
}

/* Is IA32_ARCH_CAPABILITIES? */
static inline bool x86_model_arch_caps(const struct x86_model *m)
{
	return m->arch_caps && !m->amd;
}

/* Is SMAP offered to c as it is now? */
static inline bool x86_model_smap(const struct x86_model *m, const struct x86_cpu *c)
{
	return x86_model_has(m, X86_F_SMAP) && (!m->smap_long || c->long_mode);
}
#endif
