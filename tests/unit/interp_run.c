/*
 * The interpreter's loop around instructions: traps, shadows, breakpoints,
 * interrupts, self-modified and page-crossing code, interrupted strings.
 */

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "interp/core.h"

enum { CODE = 0x10000, DATA = 0x20000, STACK = 0x9000, IDT = 0x3000, GDT = 0x4000,
       HANDLER = 0x5000 };

static struct vm *vm;
static struct vcpu *v;
static bool line_up;		/* the interrupt controller's output */

static bool pending(void *ptr)
{
	return line_up;
}

static int ack(void *ptr)
{
	line_up = false;
	return 0x40;
}

static void put32(uint64_t gpa, uint32_t a)
{
	mem_write(vm->mem, gpa, &a, 4);
}

static uint32_t get32(uint64_t gpa)
{
	uint32_t a = 0;

	mem_read(vm->mem, gpa, &a, 4);
	return a;
}

static void machine_make(void)
{
	struct err e = { 0 };

	vm = calloc(1, sizeof(*vm));
	v = aligned_alloc(64, (sizeof(*v) + 63) & ~63ul);
	memset(v, 0, sizeof(*v));
	vm->mem = mem_new(2u << 20, 0, &e);
	pthread_mutex_init(&vm->lock, NULL);
	bus_init(&vm->bus, NULL);
	vm->model.cpus = 1;
	x86_model_init(&vm->model);
	vm->vcpu[0] = v;
	vm->ncpus = 1;
	v->vm = vm;
	v->thread = pthread_self();
	v->intr_pending = pending;
	v->intr_ack = ack;
	if (!vm->mem || interp_engine.vm_create(vm, &e) || interp_engine.create(v, &e)) {
		printf("%s\n", e.msg);
		exit(1);
	}
	/* Every vector goes to its own hlt: HANDLER + 16 * vector. */
	for (unsigned i = 0; i < 256; i++) {
		put32(IDT + 8 * i, 8u << 16 | ((HANDLER + 16 * i) & 0xffff));
		put32(IDT + 8 * i + 4, 0x8e00);
		put32(HANDLER + 16 * i, 0xf4f4f4f4);
	}
	put32(GDT + 8, 0x0000ffff);
	put32(GDT + 12, 0x00cf9b00);
	put32(GDT + 16, 0x0000ffff);
	put32(GDT + 20, 0x00cf9300);
}

/* Protected mode at CPL 0 with this code at gpa. */
static void start_at(uint64_t gpa, const void *code, unsigned len)
{
	struct x86_cpu *c = &v->cpu;
	uint32_t attr = X86_SEG_P | X86_SEG_S | X86_SEG_RW | X86_SEG_ACCESSED | X86_SEG_G |
			X86_SEG_DB;

	x86_cpu_reset(c);
	for (unsigned i = 0; i < X86_SEGS; i++)
		c->seg[i] = (struct x86_seg){ .limit = 0xffffffff, .sel = 16, .attr = attr };
	c->seg[X86_CS].sel = 8;
	c->seg[X86_CS].attr |= X86_SEG_CODE;
	c->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE;
	c->idtr = (struct x86_dtr){ .base = IDT, .limit = 0x7ff };
	c->gdtr = (struct x86_dtr){ .base = GDT, .limit = 0x17 };
	c->rflags = X86_FL_FIXED;
	c->gpr[X86_RSP] = STACK;
	c->rip = gpa;
	x86_cpu_update_mode(c);
	tlb_flush(&v->tlb);
	mem_write(vm->mem, gpa, code, len);
	atomic_store(&v->req, 0);
	line_up = false;
	interp_state_changed(v);
}

#define START(...) do { \
	static const uint8_t code_[] = { __VA_ARGS__ }; \
	start_at(CODE, code_, sizeof(code_)); \
} while (0)

/* Which vector's handler the guest halted in, or 256. */
static unsigned vector_at(void)
{
	uint64_t at = v->cpu.rip - HANDLER;

	return at < 16 * 256 ? (unsigned)(at / 16) : 256;
}

static void test_trap_flag(void)
{
	START(0x90, 0x90, 0xf4);
	v->cpu.rflags |= X86_FL_TF;
	check(interp_step(v) == INTERP_OK, "step");
	check(vector_at() == X86_EXC_DB, "rip %#lx", (long)v->cpu.rip);
	check(get32(STACK - 12) == CODE + 1, "pushed %#x", get32(STACK - 12));
	check(v->cpu.dr[6] & 1 << 14, "dr6 %#lx", (long)v->cpu.dr[6]);
	/* mov ss, eax keeps the trap away for one instruction */
	START(0x8e, 0xd0, 0x90, 0xf4);
	v->cpu.gpr[X86_RAX] = 16;
	v->cpu.rflags |= X86_FL_TF;
	interp_step(v);
	check(v->cpu.rip == CODE + 2, "trapped in the shadow: %#lx", (long)v->cpu.rip);
	interp_step(v);
	check(get32(STACK - 12) == CODE + 3, "pushed %#x", get32(STACK - 12));
}

static void test_interrupts(void)
{
	/* sti; nop; nop; hlt: taken behind the first nop */
	START(0xfb, 0x90, 0x90, 0xf4);
	line_up = true;
	atomic_store(&v->req, VCPU_REQ_INTR);
	check(interp_engine.run(v) == VCPU_EXIT_HLT, "run");
	check(vector_at() == 0x40, "vector %u", vector_at());
	check(get32(STACK - 12) == CODE + 2, "pushed %#x", get32(STACK - 12));
	/* with IF clear it waits; hlt ends the run */
	START(0x90, 0xf4);
	line_up = true;
	atomic_store(&v->req, VCPU_REQ_INTR);
	check(interp_engine.run(v) == VCPU_EXIT_HLT && v->cpu.rip == CODE + 2, "rip %#lx",
	      (long)v->cpu.rip);
	check(line_up, "taken with IF clear");
	/* jmp self ends for a stop, and the request stays */
	START(0xeb, 0xfe);
	atomic_store(&v->req, VCPU_REQ_STOP);
	check(interp_engine.run(v) == VCPU_EXIT_STOP, "stop");
	check(v->req == VCPU_REQ_STOP, "req %#x", v->req);
	START(0x90, 0xf4);
	atomic_store(&v->req, VCPU_REQ_NMI);
	interp_engine.run(v);
	check(vector_at() == X86_EXC_NMI && v->cpu.nmi_masked, "nmi: vector %u", vector_at());
}

static void test_breakpoints(void)
{
	START(0x90, 0x90, 0x90, 0xf4);
	v->cpu.dr[0] = CODE + 1;
	v->cpu.dr[7] = 0x401;
	check(interp_engine.run(v) == VCPU_EXIT_HLT && vector_at() == X86_EXC_DB, "vector %u",
	      vector_at());
	check(get32(STACK - 12) == CODE + 1 && (v->cpu.dr[6] & 15) == 1, "pushed %#x, dr6 %#lx",
	      get32(STACK - 12), (long)v->cpu.dr[6]);
	/* RF lets the instruction pass */
	START(0x90, 0xf4);
	v->cpu.dr[0] = CODE;
	v->cpu.dr[7] = 0x401;
	v->cpu.rflags |= X86_FL_RF;
	interp_engine.run(v);
	check(v->cpu.rip == CODE + 2 && !(v->cpu.rflags & X86_FL_RF), "rip %#lx",
	      (long)v->cpu.rip);
	/* mov [DATA+2], eax meets a write breakpoint on DATA+4..7: a trap */
	START(0xa3, 0x02, 0x00, 0x02, 0x00, 0x90, 0xf4);
	v->cpu.gpr[X86_RAX] = 0x12345678;
	v->cpu.dr[1] = DATA + 4;
	v->cpu.dr[7] = 0x400 | 3 << 2 | 0xdu << 20;
	interp_engine.run(v);
	check(vector_at() == X86_EXC_DB && get32(STACK - 12) == CODE + 5, "vector %u, pushed %#x",
	      vector_at(), get32(STACK - 12));
	check((v->cpu.dr[6] & 15) == 2 && get32(DATA + 2) == 0x12345678, "dr6 %#lx",
	      (long)v->cpu.dr[6]);
}

static void test_modified_code(void)
{
	/* inc ecx; inc eax (changed to inc ebx by the store); dec edx; jnz */
	START(0x41, 0x40, 0xc6, 0x05, 0x01, 0x00, 0x01, 0x00, 0x43, 0x4a, 0x75, 0xf4, 0xf4);
	v->cpu.gpr[X86_RDX] = 5;
	interp_engine.run(v);
	check(v->cpu.gpr[X86_RAX] == 1 && v->cpu.gpr[X86_RBX] == 4, "eax %lu, ebx %lu",
	      (long)v->cpu.gpr[X86_RAX], (long)v->cpu.gpr[X86_RBX]);
	/* The very next instruction: mov byte [next], 0x43; next: inc eax; hlt */
	START(0xc6, 0x05, 0x07, 0x00, 0x01, 0x00, 0x43, 0x40, 0xf4);
	interp_engine.run(v);
	check(v->cpu.gpr[X86_RBX] == 1 && !v->cpu.gpr[X86_RAX], "next instruction");
	/* Written from outside, without and with notice: a step looks again. */
	START(0x40, 0xeb, 0xfd);
	interp_step(v);
	interp_step(v);
	((uint8_t *)mem_ptr(vm->mem, CODE, 1))[0] = 0x43;
	interp_step(v);
	check(v->cpu.gpr[X86_RBX] == 1, "a step over silently changed code");
}

static void test_page_crossing(void)
{
	static const uint8_t code[] = { 0xb8, 1, 2, 3, 4, 0x4a, 0x75, 0xf8, 0xf4 };
	static const uint8_t lock[] = { 0xf0, 0x01, 0x05, 0xfe, 0x0f, 0x02, 0x00, 0xf4 };

	/* mov eax, imm over a page's end; a changed second half is seen */
	start_at(CODE + 0x1000 - 3, code, sizeof(code));
	v->cpu.gpr[X86_RDX] = 3;
	interp_engine.run(v);
	check(v->cpu.gpr[X86_RAX] == 0x04030201, "eax %#lx", (long)v->cpu.gpr[X86_RAX]);
	v->cpu.rip = CODE + 0x1000 - 3;
	v->cpu.gpr[X86_RDX] = 1;
	v->cpu.halted = false;
	put32(CODE + 0x1000, 0x754a0a09);
	interp_engine.run(v);
	check(v->cpu.gpr[X86_RAX] == 0x0a090201, "eax %#lx", (long)v->cpu.gpr[X86_RAX]);
	/* lock add [DATA+0xffe], eax */
	start_at(CODE, lock, sizeof(lock));
	put32(DATA + 0xffe, 0x7fffffff);
	v->cpu.gpr[X86_RAX] = 2;
	interp_engine.run(v);
	check(get32(DATA + 0xffe) == 0x80000001, "lock: %#x", get32(DATA + 0xffe));
}

static void test_limit(void)
{
	START(0x90, 0x90, 0x90, 0x90);
	v->cpu.seg[X86_CS].limit = CODE + 1;
	interp_engine.run(v);
	check(vector_at() == X86_EXC_GP && get32(STACK - 12) == CODE + 2, "vector %u, pushed %#x",
	      vector_at(), get32(STACK - 12));
	/* an instruction that reaches over the limit */
	START(0x90, 0xb8, 0, 0, 0, 0, 0xf4);
	v->cpu.seg[X86_CS].limit = CODE + 3;
	interp_engine.run(v);
	check(vector_at() == X86_EXC_GP && get32(STACK - 12) == CODE + 1, "vector %u, pushed %#x",
	      vector_at(), get32(STACK - 12));
	/* 16 prefixes */
	START(0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e,
	      0x3e, 0x3e, 0x90);
	interp_engine.run(v);
	check(vector_at() == X86_EXC_GP, "vector %u", vector_at());
}

static void test_strings(void)
{
	uint32_t steps = 0;

	for (unsigned i = 0; i < 0x6000; i += 4)
		put32(DATA + i, i * 0x01010101u + 7);
	/* rep movsb of 5 pages with somebody waiting: several steps */
	START(0xf3, 0xa4, 0xf4);
	v->cpu.gpr[X86_RSI] = DATA + 3;
	v->cpu.gpr[X86_RDI] = DATA + 0x10001;
	v->cpu.gpr[X86_RCX] = 0x5000;
	atomic_store(&v->req, VCPU_REQ_TIMER);
	while (v->cpu.rip == CODE && steps++ < 1000) {
		uint64_t left = v->cpu.gpr[X86_RCX];

		interp_step(v);
		check(left - v->cpu.gpr[X86_RCX] <= 2 * 4096, "%lu at once",
		      (long)(left - v->cpu.gpr[X86_RCX]));
		check(v->cpu.gpr[X86_RSI] + v->cpu.gpr[X86_RCX] == DATA + 3 + 0x5000, "esi");
	}
	check(steps > 2, "%u steps", steps);
	check(!memcmp(mem_ptr(vm->mem, DATA + 3, 0x5000), mem_ptr(vm->mem, DATA + 0x10001, 0x5000),
		      0x5000), "copied wrong");
	/* overlapping upwards by 3: a pattern; TF: one element a step */
	START(0xf3, 0xa4, 0xf4);
	put32(DATA, 0x00636261);
	v->cpu.gpr[X86_RSI] = DATA;
	v->cpu.gpr[X86_RDI] = DATA + 3;
	v->cpu.gpr[X86_RCX] = 61;
	interp_engine.run(v);
	check(!memcmp(mem_ptr(vm->mem, DATA, 61), mem_ptr(vm->mem, DATA + 3, 61), 61), "pattern");
	START(0xf3, 0xaa, 0xf4);
	v->cpu.gpr[X86_RDI] = DATA;
	v->cpu.gpr[X86_RCX] = 9;
	v->cpu.rflags |= X86_FL_TF;
	interp_step(v);
	check(v->cpu.gpr[X86_RCX] == 8 && get32(STACK - 12) == CODE, "ecx %lu, pushed %#x",
	      (long)v->cpu.gpr[X86_RCX], get32(STACK - 12));
}

/* repne scasb to the end of a small segment: the flags of before, or those of the
 * element before the one that faults. */
static void test_scas_fault(bool amd, bool zf)
{
	bool host = vm->model.amd;
	uint8_t bytes[16] = { 0 };

	START(0xf2, 0xae, 0xf4);
	vm->model.amd = amd;
	mem_write(vm->mem, STACK, bytes, sizeof(bytes));
	v->cpu.seg[X86_ES].base = STACK;
	v->cpu.seg[X86_ES].attr &= ~(uint32_t)X86_SEG_G;
	v->cpu.seg[X86_ES].limit = 15;
	v->cpu.gpr[X86_RAX] = 1;
	v->cpu.gpr[X86_RCX] = 100;
	v->cpu.gpr[X86_RDI] = 8;
	v->cpu.rflags |= X86_FL_ZF;
	interp_state_changed(v);
	interp_step(v);
	check(vector_at() == X86_EXC_GP, "vector %u", vector_at());
	check(v->cpu.gpr[X86_RDI] == 16 && v->cpu.gpr[X86_RCX] == 92, "edi %#lx, ecx %#lx",
	      (long)v->cpu.gpr[X86_RDI], (long)v->cpu.gpr[X86_RCX]);
	check(!!(get32(STACK - 4) & X86_FL_ZF) == zf, "%s: flags %#x pushed",
	      amd ? "AMD" : "Intel", get32(STACK - 4));
	vm->model.amd = host;
}

int main(void)
{
	machine_make();
	test_trap_flag();
	test_interrupts();
	test_breakpoints();
	test_modified_code();
	test_page_crossing();
	test_limit();
	test_strings();
	test_scas_fault(false, true);
	test_scas_fault(true, false);
	interp_engine.destroy(v);
	interp_engine.vm_destroy(vm);
	mem_free(vm->mem);
	free(v);
	free(vm);
	return check_done();
}
