#ifndef SYSRIG_H
#define SYSRIG_H
/*
 * One vCPU in 4 MiB of memory with descriptor tables, for tests that execute
 * single system instructions.
 *
 *   GDT 0x1000  IDT 0x2000  TSS 0x3000  second TSS 0x3100  LDT 0x3400
 *   code 0x8000  CPL 0 stack tops 0x20000 and (TSS) 0x21000, CPL 3 0x22000
 *   The handler of vector n stands at 0x10000 + 16 n.
 */
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "check.h"
#include "interp/exec.h"
#include "interp/interp.h"

enum {
	SEL_CODE0 = 0x08, SEL_DATA0 = 0x10, SEL_CODE3 = 0x1b, SEL_DATA3 = 0x23,
	SEL_TSS = 0x28, SEL_TSS2 = 0x30, SEL_GATE = 0x38, SEL_LDT = 0x40,
	SEL_TASKGATE = 0x48, SEL_CONFORM = 0x50, SEL_CODE16 = 0x58,
	SEL_ABSENT = 0x60, SEL_DOWN = 0x68, SEL_CODE64 = 0x70,
	SEL_TSS64 = 0x78, SEL_EXECONLY = 0x88, SEL_LDTSEG = 0x04 | 8,
	SEL_CODE64U = 0x93, SEL_LAST = 0x98,
};

#define R_GDT	0x1000u
#define R_IDT	0x2000u
#define R_TSS	0x3000u
#define R_TSS2	0x3100u
#define R_LDT	0x3400u
#define R_CODE	0x8000u
#define R_HANDLER(n) (0x10000u + 16 * (n))
#define R_STACK0 0x20000u
#define R_STACK_TSS 0x21000u
#define R_STACK3 0x22000u

static struct vm *vm;
static struct vcpu *v;
static struct x86_cpu *c;

static inline uint8_t *at(uint64_t gpa) { return mem_ptr(vm->mem, gpa, 1); }
static inline void put16(uint64_t gpa, uint16_t x) { le16_put(at(gpa), x); }
static inline void put32(uint64_t gpa, uint32_t x) { le32_put(at(gpa), x); }
static inline void put64(uint64_t gpa, uint64_t x) { le64_put(at(gpa), x); }
static inline uint32_t get16(uint64_t gpa) { return le16_get(at(gpa)); }
static inline uint32_t get32(uint64_t gpa) { return le32_get(at(gpa)); }
static inline uint64_t get64(uint64_t gpa) { return le64_get(at(gpa)); }

/* A segment descriptor; attr as in enum X86_SEG_*, limit in its own units. */
static inline void gdt(unsigned sel, uint32_t base, uint32_t limit, uint32_t attr)
{
	put32(R_GDT + (sel & ~7u), (limit & 0xffff) | base << 16);
	put32(R_GDT + (sel & ~7u) + 4, (base >> 16 & 0xff) | (attr & 0xf0ff) << 8 |
	      (limit & 0xf0000) | (base & 0xff000000));
}

static inline void gate_at(uint64_t gpa, unsigned type, unsigned dpl, uint16_t sel,
			   uint32_t off, unsigned count)
{
	put32(gpa, (uint32_t)sel << 16 | (off & 0xffff));
	put32(gpa + 4, (off & 0xffff0000) | 0x8000 | dpl << 13 | type << 8 | count);
}

static inline void rig_written(void *ptr, uint64_t gpa, uint64_t len)
{
	interp_code_written(ptr, gpa, len);
}

static inline void rig_new(void)
{
	struct err e = { 0 };

	vm = calloc(1, sizeof(*vm));
	v = aligned_alloc(4096, (sizeof(*v) + 4095) & ~4095ul);
	memset(v, 0, sizeof(*v));
	bus_init(&vm->bus, NULL);
	vm->mem = mem_new(4u << 20, 0, &e);
	vm->mem->on_write = rig_written;
	vm->mem->on_write_ptr = vm;
	vm->vcpu[0] = v;
	vm->ncpus = 1;
	vm->model = (struct x86_model){ .long_mode = true, .smap = true,
		.cpus = 1, .tsc_hz = 1000000000 };
	x86_model_init(&vm->model);
	v->vm = vm;
	c = &v->cpu;
	x86_cpu_reset(c);
	tlb_flush(&v->tlb);
	if (interp_vm_create(vm, &e) || interp_vcpu_create(v, &e)) {
		printf("cannot make a vCPU: %s\n", e.msg);
		exit(1);
	}
}

static inline void rig_free(void)
{
	interp_vcpu_destroy(v);
	interp_vm_destroy(vm);
	mem_free(vm->mem);
	free(v);
	free(vm);
}

static inline void rig_seg(unsigned seg, uint16_t sel, unsigned dpl, uint32_t type)
{
	c->seg[seg] = (struct x86_seg){ .sel = sel, .limit = 0xffffffff,
		.attr = type | X86_SEG_S | X86_SEG_P | dpl << 5 | X86_SEG_DB | X86_SEG_G };
}

/* Flat 32-bit protected mode at this CPL, paging off, at R_CODE. */
static inline void rig_protected(unsigned cpl)
{
	memset(at(0), 0, 4u << 20);
	x86_cpu_reset(c);
	gdt(SEL_CODE0, 0, 0xfffff, 0xc09b);
	gdt(SEL_DATA0, 0, 0xfffff, 0xc093);
	gdt(SEL_CODE3, 0, 0xfffff, 0xc0fb);
	gdt(SEL_DATA3, 0, 0xfffff, 0xc0f3);
	gdt(SEL_TSS, R_TSS, 0x90, 0x8b);
	gdt(SEL_TSS2, R_TSS2, 0x67, 0xe9);
	gate_at(R_GDT + SEL_GATE, 12, 3, SEL_CODE0, 0x9000, 2);
	gdt(SEL_LDT, R_LDT, 0x1f, 0x82);
	gate_at(R_GDT + SEL_TASKGATE, 5, 3, SEL_TSS2, 0, 0);
	gdt(SEL_CONFORM, 0, 0xfffff, 0xc09f);
	gdt(SEL_CODE16, 0, 0xffff, 0x009b);
	gdt(SEL_ABSENT, 0, 0xfffff, 0xc013);
	gdt(SEL_DOWN, 0, 0xfff, 0x40f7);	/* valid: 0x1000.. */
	gdt(SEL_CODE64, 0, 0xfffff, 0xa09b);
	gdt(SEL_TSS64, R_TSS, 0x90, 0x89);
	gdt(SEL_EXECONLY, 0, 0xfffff, 0xc0f9);
	gdt(SEL_CODE64U, 0, 0xfffff, 0xa0fb);
	c->gdtr = (struct x86_dtr){ R_GDT, SEL_LAST - 1 };
	c->idtr = (struct x86_dtr){ R_IDT, 256 * 8 - 1 };
	for (unsigned i = 0; i < 256; i++)
		gate_at(R_IDT + 8 * i, 14, i >= 0x80 ? 3 : 0, SEL_CODE0, R_HANDLER(i), 0);
	put32(R_TSS + 4, R_STACK_TSS);
	put16(R_TSS + 8, SEL_DATA0);
	put16(R_TSS + 102, 0x68);		/* the I/O bitmap */
	c->tr = (struct x86_seg){ .sel = SEL_TSS, .base = R_TSS, .limit = 0x90, .attr = 0x8b };
	c->ldtr = (struct x86_seg){ .attr = X86_SEG_NULL };
	c->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE;
	for (unsigned i = 0; i < X86_SEGS; i++)
		rig_seg(i, cpl ? SEL_DATA3 : SEL_DATA0, cpl, 3);
	rig_seg(X86_CS, cpl ? SEL_CODE3 : SEL_CODE0, cpl, 11);
	c->cpl = cpl;
	c->rip = R_CODE;
	c->gpr[X86_RSP] = cpl ? R_STACK3 : R_STACK0;
	x86_cpu_update_mode(c);
	interp_state_changed(v);
	tlb_flush(&v->tlb);
}

/* 64-bit mode: 2 MiB of identity-mapped user pages at 0 and at 1 << 46. */
static inline void rig_long(unsigned cpl)
{
	rig_protected(cpl);
	put64(0x4000, 0x5007);
	put64(0x4000 + 8 * 128, 0x5007);
	put64(0x5000, 0x6007);
	put64(0x6000, 0xe7);
	put64(0x6008, 0x2000e7);
	c->cr3 = 0x4000;
	c->cr4 = X86_CR4_PAE;
	c->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_SCE | X86_EFER_NXE;
	c->cr0 |= X86_CR0_PG;
	for (unsigned i = 0; i < 256; i++) {
		gate_at(R_IDT + 16 * i, 14, i >= 0x80 ? 3 : 0, SEL_CODE64, R_HANDLER(i), 0);
		put64(R_IDT + 16 * i + 8, 0);
	}
	c->idtr.limit = 256 * 16 - 1;
	memset(at(R_TSS), 0, 0x68);
	put64(R_TSS + 4, R_STACK_TSS);
	put64(R_TSS + 36, 0x1f000);		/* IST 1 */
	put16(R_TSS + 102, 0x68);
	c->tr.sel = SEL_TSS64;
	rig_seg(X86_CS, cpl ? SEL_CODE64U : SEL_CODE64, cpl, 11);
	c->seg[X86_CS].attr = (c->seg[X86_CS].attr & ~X86_SEG_DB) | X86_SEG_L;
	x86_cpu_update_mode(c);
	interp_state_changed(v);
	tlb_flush(&v->tlb);
}

/* Put code at the current RIP (below 4 MiB) and execute one instruction. */
static inline enum interp_result step(const char *code, unsigned len)
{
	uint64_t gpa = c->seg[X86_CS].base + c->rip;

	if (x86_protected(c) && c->code_bits == 64)
		gpa = c->rip;
	mem_write(vm->mem, gpa, code, len);
	x86_cpu_update_mode(c);
	interp_state_changed(v);
	return interp_step(v);
}

#define STEP(code) step(code, sizeof(code) - 1)

/* Did the last step enter the handler of vector, with this error code (-1:
 * none) on top of its stack, and return address rip behind it? */
static inline void entered(const char *what, unsigned vector, int error, uint64_t rip)
{
	uint64_t sp = c->gpr[X86_RSP];
	unsigned w = c->long_mode ? 8 : 4;

	check(c->rip == R_HANDLER(vector), "%s: vector %d (rip %lx), not %u", what,
	      (int)(c->rip - 0x10000) / 16, (long)c->rip, vector);
	if (c->rip != R_HANDLER(vector))
		return;
	if (error >= 0) {
		check(get32(sp) == (uint32_t)error, "%s: error code %x, not %x", what,
		      get32(sp), error);
		sp += w;
	}
	check(get32(sp) == rip, "%s: return to %x", what, get32(sp));
}

/* Execute and expect a fault of it. */
#define FAULTS(what, code, vector, error) do { \
	uint64_t rip_ = c->rip; \
	check(STEP(code) == INTERP_OK, "%s", what); \
	entered(what, vector, error, rip_); \
} while (0)
#endif
