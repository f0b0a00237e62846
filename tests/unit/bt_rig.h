#ifndef BT_RIG_H
#define BT_RIG_H
/*
 * A small machine with one vCPU under any engine, and the same under the
 * interpreter to compare with.  1 MiB of memory:
 *
 *   GDT 0x1000  IDT 0x2000  TSS 0x3000  page directory 0x4000, table 0x5000
 *   PAE: pointers 0x6000, directory 0x7000, table 0x8000
 *   handlers 0x10000 + 16 * vector: each is one HLT
 *   code 0x20000-0x22fff  data 0x30000-0x3ffff (16 pages, see rig_pages)
 *   kernel stack below 0x50000
 */
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "bt/bt.h"
#include "interp/interp.h"
#include "vmm/access.h"
#include "x86/cpu.h"

#define RIG_MEM		(1u << 20)
#define RIG_GDT		0x1000u
#define RIG_IDT		0x2000u
#define RIG_TSS		0x3000u
#define RIG_PD		0x4000u
#define RIG_PT		0x5000u
#define RIG_PDPT	0x6000u
#define RIG_PAE_PD	0x7000u
#define RIG_PAE_PT	0x8000u
#define RIG_HANDLER	0x10000u
#define RIG_CODE	0x20000u
#define RIG_CODE_LEN	0x3000u
#define RIG_DATA	0x30000u
#define RIG_DATA_LEN	0x10000u
#define RIG_STACK	0x50000u

enum { RIG_CS0 = 0x08, RIG_DS0 = 0x10, RIG_CS3 = 0x1b, RIG_DS3 = 0x23, RIG_TR = 0x28,
       RIG_FS = 0x33 };
enum rig_paging { RIG_FLAT, RIG_2LEVEL, RIG_PAE };

struct rig {
	struct vm vm;
	struct vcpu *v;
	struct bt_opts opts;
	const struct engine_ops *ops;
};

static inline uint8_t *rig_at(struct rig *r, uint32_t gpa)
{
	return r->vm.mem->hva + gpa;
}

static inline void rig_new(struct rig *r, const struct engine_ops *ops, enum bt_form form,
			   bool verify)
{
	struct err e = { 0 };

	memset(r, 0, sizeof(*r));
	r->ops = ops;
	r->opts = (struct bt_opts){ form, verify };
	bus_init(&r->vm.bus, NULL);
	r->vm.mem = mem_new(RIG_MEM, 0, &e);
	r->v = aligned_alloc(4096, (sizeof(*r->v) + 4095) & ~4095ul);
	if (!r->vm.mem || !r->v) {
		printf("no memory: %s\n", e.msg);
		exit(1);
	}
	memset(r->v, 0, sizeof(*r->v));
	r->vm.vcpu[0] = r->v;
	r->vm.ncpus = 1;
	r->vm.engine = ops;
	r->vm.engine_opts = &r->opts;
	r->vm.model = (struct x86_model){ .cpus = 1, .tsc_hz = 1000000000, .long_mode = true,
		.smap = true };
	x86_model_init(&r->vm.model);
	r->v->vm = &r->vm;
	r->v->thread = pthread_self();
	x86_cpu_reset(&r->v->cpu);
	tlb_flush(&r->v->tlb);
	if (ops->probe(&r->vm, &e)) {
		printf("skipped: %s\n", e.msg);
		exit(77);
	}
	if (ops->vm_create(&r->vm, &e) || ops->create(r->v, &e)) {
		printf("cannot make a machine: %s\n", e.msg);
		exit(1);
	}
}

static inline void rig_free(struct rig *r)
{
	r->ops->destroy(r->v);
	r->ops->vm_destroy(&r->vm);
	mem_free(r->vm.mem);
	free(r->v);
}

/*
 * Where code runs in the page tables, the walk of an instruction's own access may set
 * A or D in its own bytes.  A processor may execute the bytes it had fetched or fetch
 * them again (SDM volume 3, 4.10.2.3 and 9.1.3), and the engines differ in it.
 */
struct rig_own_bytes {
	uint64_t gpa[X86_INSN_MAX];
	uint8_t was[X86_INSN_MAX];
	unsigned len;		/* 0: not in the tables */
};

static inline bool rig_in_tables(uint64_t gpa)
{
	return gpa >= RIG_PD && gpa < RIG_PAE_PT + 0x1000;
}

/* To be taken before an instruction of len bytes at linear address gva is executed. */
static inline void rig_own_bytes_take(struct rig_own_bytes *o, struct rig *r, uint64_t gva,
				      uint64_t wrap, unsigned len)
{
	o->len = 0;
	for (unsigned i = 0; i < len; i++) {
		uint64_t gpa;

		if (!vcpu_peek(r->v, (gva + i) & wrap, &gpa) || !rig_in_tables(gpa))
			continue;
		o->gpa[o->len] = gpa;
		o->was[o->len++] = *rig_at(r, (uint32_t)gpa);
	}
}

static inline bool rig_own_bytes_changed(const struct rig_own_bytes *o, struct rig *r)
{
	for (unsigned i = 0; i < o->len; i++)
		if (*rig_at(r, (uint32_t)o->gpa[i]) != o->was[i])
			return true;
	return false;
}

/*
 * Has code stored to the page tables, which held what is in first?  Nothing flushes
 * behind it, so what a translation is from then on depends on what had been cached.
 * Entries have A and D in their first byte.
 */
static inline bool rig_tables_written(struct rig *r, const uint8_t *first)
{
	const uint8_t *now = rig_at(r, 0);

	for (uint32_t i = RIG_PD; i < RIG_PAE_PT + 0x1000; i++)
		if ((now[i] ^ first[i]) & (i % 4 ? 0xff : 0x9f))
			return true;
	return false;
}

/* Another result each time; code that patches itself may come to execute it. */
static inline bool rig_another_result(unsigned op)
{
	return op == X86_RDTSC || op == X86_RDTSCP || op == X86_RDRAND || op == X86_RDSEED ||
	       op == X86_RDPMC;
}

static inline void rig_desc(uint8_t *low, unsigned sel, uint32_t base, uint32_t limit,
			    uint32_t attr)
{
	le32_put(low + RIG_GDT + (sel & ~7u), (limit & 0xffff) | base << 16);
	le32_put(low + RIG_GDT + (sel & ~7u) + 4, (base >> 16 & 0xff) | (attr & 0xf0ff) << 8 |
		 (limit & 0xf0000) | (base & 0xff000000));
}

/*
 * The data pages: 0-2 plain, 3 read-only, 4 absent, 5 the kernel's, 6 page 1
 * again, 7 the second page of code, 8 device memory, 9-15 plain.
 * 0 for an absent one.
 */
static inline uint32_t rig_pte(unsigned page)
{
	uint32_t own = (RIG_DATA >> 12) + page;

	switch (page) {
	case 3: return own << 12 | 5;
	case 4: return 0;
	case 5: return own << 12 | 3;
	case 6: return ((RIG_DATA >> 12) + 1) << 12 | 7;
	case 7: return ((RIG_CODE >> 12) + 1) << 12 | 7;
	case 8: return 0xe0000007;
	default: return own << 12 | 7;
	}
}

/* The lower 64 KiB: tables. */
static inline void rig_tables(uint8_t *low)
{
	memset(low, 0, 0x10000);
	rig_desc(low, RIG_CS0, 0, 0xfffff, 0xc09b);
	rig_desc(low, RIG_DS0, 0, 0xfffff, 0xc093);
	rig_desc(low, RIG_CS3, 0, 0xfffff, 0xc0fb);
	rig_desc(low, RIG_DS3, 0, 0xfffff, 0xc0f3);
	rig_desc(low, RIG_TR, RIG_TSS, 0x67, 0x8b);
	rig_desc(low, RIG_FS, RIG_DATA, 0xfffff, 0xc0f3);
	for (unsigned i = 0; i < 256; i++) {
		le32_put(low + RIG_IDT + 8 * i, RIG_CS0 << 16 | ((RIG_HANDLER + 16 * i) & 0xffff));
		le32_put(low + RIG_IDT + 8 * i + 4, (RIG_HANDLER & 0xffff0000) | 0x8e00 |
			 (i >= 0x80 ? 0x6000 : 0));
	}
	le32_put(low + RIG_TSS + 4, RIG_STACK);
	le32_put(low + RIG_TSS + 8, RIG_DS0);
	le32_put(low + RIG_PD, RIG_PT | 7);
	le64_put(low + RIG_PDPT, RIG_PAE_PD | 1);
	le64_put(low + RIG_PAE_PD, RIG_PAE_PT | 7);
	for (uint32_t i = 0; i < RIG_MEM >> 12; i++) {
		uint32_t pte = i << 12 | 7;

		if (i >= RIG_DATA >> 12 && i < (RIG_DATA + RIG_DATA_LEN) >> 12)
			pte = rig_pte(i - (RIG_DATA >> 12));
		le32_put(low + RIG_PT + 4 * i, pte);
		le64_put(low + RIG_PAE_PT + 8 * i, pte);
	}
}

static inline void rig_seg(struct x86_cpu *c, unsigned seg, uint16_t sel, uint32_t base,
			   unsigned dpl, uint32_t type)
{
	c->seg[seg] = (struct x86_seg){ .sel = sel, .base = base, .limit = 0xffffffff,
		.attr = type | X86_SEG_S | X86_SEG_P | dpl << 5 | X86_SEG_DB | X86_SEG_G };
}

/* 32-bit protected mode at RIG_CODE with all of SSE and AVX. */
static inline void rig_cpu(struct x86_cpu *c, enum rig_paging paging, unsigned cpl)
{
	x86_cpu_reset(c);
	c->gdtr = (struct x86_dtr){ RIG_GDT, 0x37 };
	c->idtr = (struct x86_dtr){ RIG_IDT, 256 * 8 - 1 };
	c->tr = (struct x86_seg){ .sel = RIG_TR, .base = RIG_TSS, .limit = 0x67, .attr = 0x8b };
	c->ldtr = (struct x86_seg){ .attr = X86_SEG_NULL };
	c->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE | X86_CR0_MP | X86_CR0_WP;
	c->cr4 = X86_CR4_OSFXSR | X86_CR4_OSXMMEX | X86_CR4_OSXSAVE;
	c->xcr0 = 7;
	for (unsigned i = 0; i < X86_SEGS; i++)
		rig_seg(c, i, cpl ? RIG_DS3 : RIG_DS0, 0, cpl, 3);
	rig_seg(c, X86_CS, cpl ? RIG_CS3 : RIG_CS0, 0, cpl, 11);
	rig_seg(c, X86_FS, RIG_FS, RIG_DATA, 3, 3);
	c->seg[X86_GS] = (struct x86_seg){ .attr = X86_SEG_NULL };
	c->cpl = (uint8_t)cpl;
	if (paging != RIG_FLAT)
		c->cr0 |= X86_CR0_PG;
	if (paging == RIG_PAE) {
		c->cr4 |= X86_CR4_PAE;
		c->cr3 = RIG_PDPT;
		c->pdpte[0] = RIG_PAE_PD | 1;
	} else {
		c->cr3 = RIG_PD;
	}
	c->rip = RIG_CODE;
	x86_cpu_update_mode(c);
}
#endif
