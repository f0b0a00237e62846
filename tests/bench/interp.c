/*
 * The interpreter's speed: millions of guest instructions a second of CPU time on
 * small loops of 32-bit code, flat and unpaged, warm.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "interp/interp.h"
#include "vmm/access.h"

/* Each loop ends with hlt; ESI points to 64 KiB of data, ECX counts. */
__asm__(
	".section .rodata\n.code32\n"
	"g_alu:\n"			/* arithmetic on registers */
	"1:	add %ecx, %eax\n"
	"	lea 7(%eax,%edx,2), %ebx\n"
	"	xor %ebx, %edx\n"
	"	shr $3, %ebx\n"
	"	sub %ebx, %eax\n"
	"	test $16, %al\n"
	"	jz 2f\n"
	"	inc %edx\n"
	"2:	dec %ecx\n"
	"	jnz 1b\n"
	"	hlt\n"
	"g_mem:\n"			/* loads, stores, byte work */
	"1:	movzbl (%esi,%ecx), %eax\n"
	"	mov 64(%esi), %edx\n"
	"	add %eax, %edx\n"
	"	mov %edx, 64(%esi)\n"
	"	cmp $100, %al\n"
	"	jb 2f\n"
	"	addl $1, 128(%esi)\n"
	"2:	mov %dl, 256(%esi,%ecx)\n"
	"	dec %ecx\n"
	"	jnz 1b\n"
	"	hlt\n"
	"g_call:\n"			/* calls, stack */
	"1:	push %ecx\n"
	"	push $5\n"
	"	call 3f\n"
	"	add $4, %esp\n"
	"	pop %ecx\n"
	"	dec %ecx\n"
	"	jnz 1b\n"
	"	hlt\n"
	"3:	push %ebp\n"
	"	mov %esp, %ebp\n"
	"	mov 8(%ebp), %eax\n"
	"	imul %ecx, %eax\n"
	"	add %eax, (%esi)\n"
	"	leave\n"
	"	ret\n"
	"g_sse:\n"			/* vector instructions, in thunks */
	"1:	movups (%esi), %xmm0\n"
	"	paddd 16(%esi), %xmm0\n"
	"	mulps %xmm1, %xmm2\n"
	"	movups %xmm0, 32(%esi)\n"
	"	dec %ecx\n"
	"	jnz 1b\n"
	"	hlt\n"
	"g_x87:\n"			/* the same on the x87 stack */
	"	fninit\n"
	"1:	fldl (%esi)\n"
	"	fadd %st(0)\n"
	"	fmull 8(%esi)\n"
	"	fstpl 16(%esi)\n"
	"	dec %ecx\n"
	"	jnz 1b\n"
	"	hlt\n"
	"g_sys:\n"			/* what every kernel does: pushf cli popf, fs:, string */
	"1:	pushf\n"
	"	cli\n"
	"	mov %fs:64(%esi), %eax\n"
	"	popf\n"
	"	push %ecx\n"
	"	mov $8, %ecx\n"
	"	lea 256(%esi), %edi\n"
	"	rep stosl\n"
	"	pop %ecx\n"
	"	dec %ecx\n"
	"	jnz 1b\n"
	"	hlt\n"
	"g_end:\n"
	".code64\n.text\n");
extern const uint8_t g_alu[], g_mem[], g_call[], g_sse[], g_x87[], g_sys[], g_end[];

enum { CODE = 0x10000, DATA = 0x20000, STACK = 0x8000 };

static void flat(struct x86_cpu *c)
{
	uint32_t attr = X86_SEG_P | X86_SEG_S | X86_SEG_RW | X86_SEG_ACCESSED | X86_SEG_G | X86_SEG_DB;

	for (unsigned i = 0; i < X86_SEGS; i++)
		c->seg[i] = (struct x86_seg){ .limit = 0xffffffff, .sel = 8, .attr = attr };
	c->seg[X86_CS].attr |= X86_SEG_CODE;
	c->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE;
	c->cr4 = X86_CR4_OSFXSR | X86_CR4_OSXMMEX;
	x86_cpu_update_mode(c);
}

/* Run the loop at code with ECX = n; returns nanoseconds of CPU time. */
static uint64_t run(struct vcpu *v, const uint8_t *code, uint32_t n)
{
	struct timespec a, b;

	v->cpu.rip = CODE + (uint64_t)(code - g_alu);
	v->cpu.rflags = X86_FL_FIXED;
	v->cpu.halted = false;
	v->cpu.gpr[X86_RSI] = DATA;
	v->cpu.gpr[X86_RSP] = STACK;
	v->cpu.gpr[X86_RCX] = n;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	if (interp_engine.run(v) != VCPU_EXIT_HLT) {
		fprintf(stderr, "interp: the guest did not reach its end\n");
		exit(1);
	}
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	return (uint64_t)(b.tv_sec - a.tv_sec) * 1000000000u + (uint64_t)(b.tv_nsec - a.tv_nsec);
}

int main(void)
{
	static const struct { const char *name; const uint8_t *code; uint32_t n; } loops[] = {
		{ "registers", g_alu, 60000 }, { "memory", g_mem, 60000 },
		{ "calls", g_call, 60000 }, { "vectors", g_sse, 60000 },
		{ "x87", g_x87, 20000 }, { "system", g_sys, 20000 },
	};
	struct vm *vm = calloc(1, sizeof(*vm));
	struct vcpu *v = aligned_alloc(64, (sizeof(*v) + 63) & ~63ul);
	struct err e = { 0 };

	memset(v, 0, sizeof(*v));
	vm->mem = mem_new(16u << 20, 0, &e);
	if (!vm->mem)
		goto fail;
	bus_init(&vm->bus, NULL);
	vm->model.cpus = 1;
	x86_model_init(&vm->model);
	vm->vcpu[0] = v;
	vm->ncpus = 1;
	v->vm = vm;
	v->thread = pthread_self();
	x86_cpu_reset(&v->cpu);
	flat(&v->cpu);
	tlb_flush(&v->tlb);
	if (interp_engine.vm_create(vm, &e) || interp_engine.create(v, &e))
		goto fail;
	mem_write(vm->mem, CODE, g_alu, (uint64_t)(g_end - g_alu));
	for (unsigned i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
		uint64_t best = UINT64_MAX, ns, insns = 0, before;

		for (unsigned k = 0; k < 40; k++) {
			before = v->insns;
			ns = run(v, loops[i].code, loops[i].n);
			insns = v->insns - before;
			best = ns < best ? ns : best;
		}
		printf("interp %s: %.0f million instructions a second\n", loops[i].name,
		       (double)insns * 1e3 / (double)best);
	}
	interp_engine.destroy(v);
	interp_engine.vm_destroy(vm);
	mem_free(vm->mem);
	free(v);
	free(vm);
	return 0;
fail:
	fprintf(stderr, "interp: %s\n", e.msg);
	return 1;
}
