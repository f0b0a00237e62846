#ifndef VMM_ACCESS_H
#define VMM_ACCESS_H
/*
 * Guest-linear memory accesses of a vCPU: TLB, page walk, page crossing, MMIO,
 * MEM_PF_CODE/PT notification.  All return X86_OK, or X86_FAULT with
 * v->cpu.exc set (nothing is written then, also when the access crosses pages).
 */

#include "vmm/vm.h"

/* The mode of an ordinary access at the current CPL. */
static inline enum tlb_mode vcpu_tlb_mode(const struct vcpu *v)
{
	const struct x86_cpu *c = &v->cpu;

	if (c->cpl == 3)
		return TLB_USER;
	if ((c->cr4 & X86_CR4_SMAP) && (c->rflags & X86_FL_AC))
		return TLB_KERNEL_AC;
	return TLB_KERNEL;
}

/* Slow path of the inline functions below: len 1..64 bytes. */
int vcpu_read_slow(struct vcpu *v, uint64_t gva, void *buf, unsigned len,
		   enum tlb_mode mode);
int vcpu_write_slow(struct vcpu *v, uint64_t gva, const void *buf, unsigned len,
		    enum tlb_mode mode);

/* Copy a guest operand: the usual sizes by one move, which other processors see
 * whole when it is aligned. */
static inline void vcpu_copy(void *to, const void *from, unsigned len)
{
	switch (len) {
	case 1: __builtin_memcpy(to, from, 1); break;
	case 2: __builtin_memcpy(to, from, 2); break;
	case 4: __builtin_memcpy(to, from, 4); break;
	case 8: __builtin_memcpy(to, from, 8); break;
	default: __builtin_memcpy(to, from, len);
	}
}

/*
 * Behind a store of len bytes at hva, inside one page, that nobody was told of
 * because a wtag or a flag of the page said so before.  It may be another vCPU's
 * code since: then they are told now.  x86 keeps the order of a store and a
 * later load only for who uses vm_barrier(), as vm_protect_page() does.
 */
void vcpu_recheck(struct vcpu *v, const void *hva, unsigned len);
/* tlb.recheck is set: no wtag of a told page hits any more. */
void vcpu_tlb_recheck(struct vcpu *v);

static inline void vcpu_stored(struct vcpu *v, const void *hva, unsigned len)
{
	atomic_signal_fence(memory_order_seq_cst);
	if (__builtin_expect(atomic_load_explicit(&v->tlb.recheck, memory_order_relaxed), 0))
		vcpu_recheck(v, hva, len);
}

static inline int vcpu_read(struct vcpu *v, uint64_t gva, void *buf,
			    unsigned len, enum tlb_mode mode)
{
	const struct tlb_entry *e = &v->tlb.e[mode][gva >> 12 & (TLB_SIZE - 1)];

	if (__builtin_expect(e->rtag == (gva & ~0xfffull) &&
			     (gva & 0xfff) + len <= 4096, 1)) {
		vcpu_copy(buf, (const void *)(gva + e->addend), len);
		return X86_OK;
	}
	return vcpu_read_slow(v, gva, buf, len, mode);
}

static inline int vcpu_write(struct vcpu *v, uint64_t gva, const void *buf,
			     unsigned len, enum tlb_mode mode)
{
	const struct tlb_entry *e = &v->tlb.e[mode][gva >> 12 & (TLB_SIZE - 1)];

	if (__builtin_expect(e->wtag == (gva & ~0xfffull) &&
			     (gva & 0xfff) + len <= 4096, 1)) {
		void *hva = (void *)(gva + e->addend);

		vcpu_copy(hva, buf, len);
		vcpu_stored(v, hva, len);
		return X86_OK;
	}
	return vcpu_write_slow(v, gva, buf, len, mode);
}

/* Check that [gva, gva+len) may be written, without writing: for instructions
 * that must not half commit.  Raises as the write would. */
int vcpu_probe_write(struct vcpu *v, uint64_t gva, unsigned len,
		     enum tlb_mode mode);

/*
 * A host pointer for an atomic or bulk access inside one page.
 *
 * write      the page is to be written: the caller calls mem_dirty() after it
 *            when *slow comes back true, else vcpu_stored()
 * Returns    X86_OK with *hva, or NULL in *hva when it is device memory or ROM;
 *            X86_FAULT: exception raised
 */
int vcpu_hva(struct vcpu *v, uint64_t gva, bool write, enum tlb_mode mode,
	     void **hva, uint64_t *gpa, bool *slow);

/* Instruction fetch: the guest-physical address of gva, checked for execution. */
int vcpu_fetch_gpa(struct vcpu *v, uint64_t gva, uint64_t *gpa);

/* Fill the TLB for one access kind; X86_FAULT with #PF raised.  On X86_OK the
 * entry may still not hit (device memory): use *gpa then. */
int tlb_fill(struct vcpu *v, uint64_t gva, int access /* enum x86_walk_access */,
	     enum tlb_mode mode, uint64_t *gpa);

/* Translate without side effects, for debuggers and traces; false: not mapped. */
bool vcpu_peek(const struct vcpu *v, uint64_t gva, uint64_t *gpa);
#endif
