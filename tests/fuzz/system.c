/*
 * System instructions and events in random states: descriptor tables, TSSs and
 * page tables whose bits were turned, any privilege, any mode.  Nothing may run
 * wild, and after each step the state must hold together.
 */
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "fuzz.h"
#include "interp/interp.h"
#include "vmm/access.h"

enum {
	RAM = 4 << 20, GDT = 0x1000, IDT = 0x2000, TSS = 0x3000, LDT = 0x3800,
	TABLES = 0x4000, CODE = 0x8000, STACKS = 0x20000, TABLE_AREA = 0x8000,
};

static struct vm vm;
static struct vcpu *v;
static struct x86_cpu *c;

/* One-byte and 0F opcodes whose functions are the system half. */
static const uint8_t plain[] = {
	0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x62, 0x63, 0x6c, 0x6d, 0x6e, 0x6f,
	0x8c, 0x8e, 0x9a, 0x9c, 0x9d, 0xc4, 0xc5, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf,
	0xe4, 0xe5, 0xe6, 0xe7, 0xea, 0xec, 0xed, 0xee, 0xef, 0xf1, 0xf4, 0xfa, 0xfb,
	0xff,
};
static const uint8_t twobyte[] = {
	0x00, 0x01, 0x02, 0x03, 0x05, 0x06, 0x07, 0x08, 0x09, 0x20, 0x21, 0x22, 0x23,
	0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0xa0, 0xa1, 0xa2, 0xa8, 0xa9, 0xae, 0xb2,
	0xb4, 0xb5, 0xc7,
};

static void turn_bits(struct fuzz *f, uint64_t at, unsigned len, unsigned n)
{
	while (n--)
		*(uint8_t *)mem_ptr(vm.mem, at + fuzz_below(f, len), 1) ^=
			(uint8_t)(1u << fuzz_below(f, 8));
}

static void put64(uint64_t at, uint64_t val)
{
	le64_put(mem_ptr(vm.mem, at, 8), val);
}

/* Descriptors of all types and privileges; gates lead to one of them. */
static void fill_tables(struct fuzz *f)
{
	for (unsigned i = 1; i < 64; i++) {
		uint64_t type = fuzz_below(f, 32), dpl = fuzz_below(f, 4);
		uint64_t d = (type | dpl << 5 | 0x80) << 40;

		if (!(type & 16) && (type & 4))		/* a gate */
			d |= (uint64_t)fuzz_below(f, 64) << 19 | fuzz_below(f, 0x10000) |
				(uint64_t)fuzz_below(f, 4) << 16;
		else
			d |= 0x000f00000000ffffull | (uint64_t)fuzz_below(f, 16) << 52 |
				(fuzz_below(f, 2) ? (uint64_t)TSS << 16 : 0);
		put64(GDT + 8 * i, d);
		put64(LDT + 8 * (i & 15), d);
	}
	for (unsigned i = 0; i < 256; i++)
		put64(IDT + 8 * i, (uint64_t)fuzz_below(f, 64) << 19 | CODE |
		      (0x85 + fuzz_below(f, 11) + ((uint64_t)fuzz_below(f, 4) << 5)) << 40);
	for (unsigned i = 0; i < 0x100; i += 2)
		le16_put(mem_ptr(vm.mem, TSS + i, 2), (uint16_t)fuzz_below(f, 0x200));
}

/* Identity-mapped tables of the kind that CR4 and EFER ask for. */
static void fill_pages(struct fuzz *f)
{
	bool wide = c->cr4 & X86_CR4_PAE;

	for (unsigned i = 0; i < 512; i++) {
		put64(TABLES + 8 * i, wide ? (TABLES + 0x1000) | 1 : 0);
		put64(TABLES + 0x1000 + 8 * i, c->efer & X86_EFER_LMA ?
		      (TABLES + 0x2000) | 7 : (uint64_t)(i & 1) << 21 | 0xe7);
		put64(TABLES + 0x2000 + 8 * i, (uint64_t)(i & 1) << 21 | 0xe7);
	}
	for (unsigned i = 0; !wide && i < 1024; i++)
		le32_put(mem_ptr(vm.mem, TABLES + 4 * i, 4), 0xe7);
	for (unsigned i = 0; i < 4; i++)
		c->pdpte[i] = (TABLES + 0x1000) | 1;
	c->cr3 = TABLES;
	turn_bits(f, TABLES, 0x3000, fuzz_below(f, 8));
}

static void random_seg(struct fuzz *f, struct x86_seg *s, unsigned seg)
{
	*s = (struct x86_seg){ .limit = fuzz_below(f, 4) ? 0xffffffff : fuzz_next(f),
		.base = fuzz_below(f, 4) ? 0 : fuzz_below(f, RAM),
		.sel = (uint16_t)(fuzz_below(f, 64) << 3 | c->cpl),
		.attr = X86_SEG_P | X86_SEG_S | X86_SEG_RW | X86_SEG_ACCESSED |
			(unsigned)c->cpl << 5 | (fuzz_below(f, 4) ? X86_SEG_DB : 0) };
	if (seg == X86_CS)
		s->attr |= X86_SEG_CODE;
	else if (seg != X86_SS && !fuzz_below(f, 6))
		s->attr |= X86_SEG_NULL;
}

static void random_state(struct fuzz *f)
{
	unsigned mode = fuzz_below(f, 6);

	x86_cpu_reset(c);
	c->rflags |= fuzz_next(f) & 0x247fd5 & ~(uint64_t)X86_FL_TF;
	c->cr0 = X86_CR0_ET | (fuzz_below(f, 4) ? 0 : X86_CR0_TS) |
		(fuzz_below(f, 2) ? X86_CR0_WP : 0);
	c->cr4 = fuzz_next(f) & (X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | X86_CR4_PAE |
		X86_CR4_PGE | X86_CR4_UMIP | X86_CR4_SMEP | X86_CR4_SMAP |
		X86_CR4_OSFXSR | X86_CR4_FSGSBASE | X86_CR4_OSXSAVE);
	if (mode > 0) {
		c->cr0 |= X86_CR0_PE;
		c->cpl = (uint8_t)(fuzz_below(f, 2) ? 0 : fuzz_below(f, 4));
	}
	if (mode > 2)
		c->cr0 |= X86_CR0_PG;
	if (mode == 5) {
		c->cr4 |= X86_CR4_PAE;
		c->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_SCE | X86_EFER_NXE;
	}
	for (unsigned i = 0; i < X86_SEGS; i++)
		random_seg(f, &c->seg[i], i);
	if (mode == 5 && fuzz_below(f, 4))
		c->seg[X86_CS].attr = (c->seg[X86_CS].attr & ~X86_SEG_DB) | X86_SEG_L;
	if (mode == 2 && fuzz_below(f, 2)) {
		c->rflags |= X86_FL_VM;
		c->cpl = 3;
		for (unsigned i = 0; i < X86_SEGS; i++)
			c->seg[i] = (struct x86_seg){ .limit = 0xffff, .attr = 0xf3,
				.base = CODE, .sel = CODE >> 4 };
	}
	for (unsigned i = 0; i < 16; i++)
		c->gpr[i] = fuzz_below(f, 3) ? fuzz_below(f, RAM) : fuzz_next(f);
	c->gpr[X86_RSP] = STACKS + fuzz_below(f, 0x1000) * 4;
	c->rip = CODE - c->seg[X86_CS].base % CODE;
	c->gdtr = (struct x86_dtr){ GDT, 511 };
	c->idtr = (struct x86_dtr){ mode ? IDT : 0, 0xfff };
	c->tr = (struct x86_seg){ .base = TSS, .limit = 0x80 + fuzz_below(f, 64),
		.sel = 8, .attr = fuzz_below(f, 3) ? 0x8b : 0x83 };
	c->ldtr = (struct x86_seg){ .base = LDT, .limit = 127, .sel = 16, .attr = 0x82 };
	c->star = fuzz_next(f);
	c->lstar = CODE;
	c->sysenter_cs = fuzz_below(f, 64) << 3;
	x86_cpu_update_mode(c);
}

static void random_code(struct fuzz *f)
{
	uint64_t at = c->seg[X86_CS].base + c->rip;
	uint8_t b[16];
	unsigned n = 0;

	if (c->code_bits == 64)
		at = c->rip;
	if (!fuzz_below(f, 3))
		b[n++] = 0x66;
	if (!fuzz_below(f, 6))
		b[n++] = 0xf3;
	if (c->code_bits == 64 && fuzz_below(f, 2))
		b[n++] = 0x48;
	if (fuzz_below(f, 2)) {
		b[n++] = plain[fuzz_below(f, sizeof(plain))];
	} else {
		b[n++] = 0x0f;
		b[n++] = twobyte[fuzz_below(f, sizeof(twobyte))];
	}
	while (n < sizeof(b))
		b[n++] = (uint8_t)fuzz_next(f);
	/* Far pointers and displacements that lead somewhere. */
	if (fuzz_below(f, 2)) {
		b[n - 4] = b[n - 6] = b[n - 8] = 0;
		b[n - 3] = 0;
	}
	mem_write(vm.mem, at & (RAM - 1), b, sizeof(b));
}

static void check_state(void)
{
	struct x86_cpu was = *c;

	fuzz_check(c->rflags & X86_FL_FIXED, "flags %lx", (long)c->rflags);
	fuzz_check(!(c->rflags & ~0x3f7fd7ull), "flags %lx", (long)c->rflags);
	fuzz_check(c->cpl <= 3, "CPL %u", c->cpl);
	fuzz_check((c->cr0 & X86_CR0_PE) || c->cpl == 0, "CPL %u in real mode", c->cpl);
	fuzz_check(!(c->rflags & X86_FL_VM) || c->cpl == 3, "V86 at CPL %u", c->cpl);
	fuzz_check(!(c->cr0 & X86_CR0_PG) || (c->cr0 & X86_CR0_PE), "CR0 %lx", (long)c->cr0);
	fuzz_check(!(c->efer & X86_EFER_LMA) || (c->cr4 & X86_CR4_PAE), "long without PAE");
	fuzz_check(c->code_bits == 64 || c->rip <= 0xffffffff, "rip %lx", (long)c->rip);
	x86_cpu_update_mode(c);
	fuzz_check(was.code_bits == c->code_bits && was.stack_bytes == c->stack_bytes &&
		   was.long_mode == c->long_mode, "stale mode");
}

static void written(void *ptr, uint64_t gpa, uint64_t len)
{
	interp_code_written(ptr, gpa, len);
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	struct fuzz f;

	fuzz_start(&f, argc, argv);
	bus_init(&vm.bus, NULL);
	vm.mem = mem_new(RAM, 0, &e);
	v = aligned_alloc(4096, (sizeof(*v) + 4095) & ~4095ul);
	fuzz_check(vm.mem && v, "no memory: %s", e.msg);
	memset(v, 0, sizeof(*v));
	vm.mem->on_write = written;
	vm.mem->on_write_ptr = &vm;
	vm.vcpu[0] = v;
	vm.ncpus = 1;
	vm.model = (struct x86_model){ .long_mode = true, .smap = true, .cpus = 1 };
	x86_model_init(&vm.model);
	v->vm = &vm;
	c = &v->cpu;
	fuzz_check(!interp_vm_create(&vm, &e) && !interp_vcpu_create(v, &e), "%s", e.msg);
	while (fuzz_more(&f)) {
		random_state(&f);
		fill_tables(&f);
		fill_pages(&f);
		turn_bits(&f, GDT, 0x3000, fuzz_below(&f, 16));
		for (unsigned i = 0; i < 8; i++) {
			tlb_flush(&v->tlb);
			random_code(&f);
			interp_state_changed(v);
			if (!fuzz_below(&f, 16))
				interp_interrupt(v, (uint8_t)fuzz_next(&f));
			else if (interp_step(v) != INTERP_OK)
				break;
			check_state();
		}
	}
	interp_vcpu_destroy(v);
	interp_vm_destroy(&vm);
	mem_free(vm.mem);
	free(v);
	return fuzz_done(&f);
}
