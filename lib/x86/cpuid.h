#ifndef X86_CPUID_H
#define X86_CPUID_H
/*
 * The guest's CPUID: the host's, masked to what is implemented, with the
 * hypervisor leaves as VMware presents them (refs: SDM vol. 2A CPUID; Linux
 * arch/x86/kernel/cpu/vmware.c for leaf 0x40000000 and 0x40000010).
 */

#include "x86/cpu.h"

#define X86_HOST_LEAVES 48

struct x86_model {
	bool long_mode;		/* offer 64-bit mode */
	bool smap;		/* offer SMAP (hidden from guests under bt) */
	bool x2apic;
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
	bool amd;		/* the host's vendor is AMD or Hygon */
};

/* Fill in feat and xcr0_max from the host and the flags set by the caller. */
void x86_model_init(struct x86_model *m);

/* out: eax ebx ecx edx.  apic_id is the executing CPU's. */
void x86_cpuid(const struct x86_model *m, const struct x86_cpu *c,
	       unsigned apic_id, uint32_t leaf, uint32_t sub, uint32_t out[4]);

static inline bool x86_model_has(const struct x86_model *m, unsigned feat)
{
	return m->feat[feat / 32] >> (feat % 32) & 1;
}
#endif
