#ifndef NATIVE_VM_H
#define NATIVE_VM_H
/*
 * A machine without devices whose guest memory has, at the same addresses and
 * with the same rights, what native.h maps on the host; code runs at CPL 3.
 */

#include <stdlib.h>

#include "interp/interp.h"
#include "native.h"

enum { GPA_PML4 = 0x1000, GPA_PDPT = 0x2000, GPA_PD = 0x3000, GPA_CODE_PT = 0x4000,
       GPA_DATA_PT = 0x5000, GPA_PAE = 0x6000 };

static struct vm *vm;
static struct vcpu *cpu;
static uint8_t *gdata;		/* guest memory at NATIVE_DATA */

static void pte(uint64_t table, unsigned i, uint64_t val)
{
	mem_write(vm->mem, table + 8 * i, &val, 8);
}

static void tables_make(void)
{
	pte(GPA_PML4, 0, GPA_PDPT | 7);
	pte(GPA_PDPT, 0, GPA_PD | 7);
	pte(GPA_PAE, 0, GPA_PD | 1);
	pte(GPA_PD, NATIVE_CODE >> 21, GPA_CODE_PT | 7);
	pte(GPA_PD, NATIVE_DATA >> 21, GPA_DATA_PT | 7);
	for (unsigned i = 0; i < NATIVE_CODE_LEN >> 12; i++)
		pte(GPA_CODE_PT, i, (NATIVE_CODE + i * 4096) | 7);
	for (unsigned i = 0; i < NATIVE_DATA_LEN >> 12; i++)
		pte(GPA_DATA_PT, i, (NATIVE_DATA + i * 4096) |
		    (i < NATIVE_RW_LEN >> 12 ? 7 : 5));
}

static void machine_make(void)
{
	struct err e = { 0 };
	struct x86_cpu *c;

	vm = calloc(1, sizeof(*vm));
	cpu = aligned_alloc(64, (sizeof(*cpu) + 63) & ~63ul);
	memset(cpu, 0, sizeof(*cpu));
	vm->mem = mem_new(1u << 30, 0, &e);
	if (!vm->mem) {
		printf("%s\n", e.msg);
		exit(1);
	}
	bus_init(&vm->bus, NULL);
	vm->model.long_mode = true;
	vm->model.cpus = 1;
	x86_model_init(&vm->model);
	vm->vcpu[0] = cpu;
	vm->ncpus = 1;
	cpu->vm = vm;
	cpu->thread = pthread_self();
	c = &cpu->cpu;
	x86_cpu_reset(c);
	tlb_flush(&cpu->tlb);
	if (interp_engine.vm_create(vm, &e) || interp_engine.create(cpu, &e)) {
		printf("%s\n", e.msg);
		exit(1);
	}
	c->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_MP | X86_CR0_NE | X86_CR0_WP | X86_CR0_ET;
	c->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEX | X86_CR4_OSXSAVE;
	c->xcr0 = 7;
	c->cpl = 3;
	for (unsigned i = 0; i < X86_SEGS; i++)
		c->seg[i] = (struct x86_seg){ .limit = 0xffffffff, .sel = 0x2b,
			.attr = X86_SEG_P | X86_SEG_S | X86_SEG_DPL | X86_SEG_RW |
				X86_SEG_ACCESSED | X86_SEG_G | X86_SEG_DB };
	c->seg[X86_FS].attr = c->seg[X86_GS].attr = X86_SEG_NULL;
	c->seg[X86_GS].base = NATIVE_GS;
	c->seg[X86_CS].sel = 0x33;
	tables_make();
	gdata = mem_ptr(vm->mem, NATIVE_DATA, NATIVE_DATA_LEN);
}
#endif
