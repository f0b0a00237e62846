/*
 * Loops of 64-bit code whose addresses the translator keeps in registers that the loop
 * does not name, left in the middle: those registers are the guest's again.
 */
#include "guest.inc"
#include "long64.inc"

	.equ	NOT_CANONICAL, 0xa95f5cc7d6acfc50
	.equ	NOT_THERE, 0x7f0040000000	/* canonical, and too far for a displacement */

	.macro	load_regs
	movl	$PAGE_A, %ebp
	movl	$PAGE_A + 0x100, %r12d
	movl	$PAGE_A + 0x200, %r13d
	movl	$0x101, %ebx
	movl	$0x102, %edx
	movl	$0x103, %esi
	movl	$0x104, %edi
	movl	$0x108, %r8d
	movl	$0x109, %r9d
	movl	$0x10a, %r10d
	movl	$0x10b, %r11d
	movl	$0x10e, %r14d
	movl	$3, %ecx
	.endm

	.macro	same_regs name
	same64	\name\()_rbx, %rbx, 0x101
	same64	\name\()_rdx, %rdx, 0x102
	same64	\name\()_rsi, %rsi, 0x103
	same64	\name\()_rdi, %rdi, 0x104
	same64	\name\()_r8, %r8, 0x108
	same64	\name\()_r9, %r9, 0x109
	same64	\name\()_r10, %r10, 0x10a
	same64	\name\()_r11, %r11, 0x10b
	same64	\name\()_r14, %r14, 0x10e
	.endm

	.code64
main64:	load_regs
	try64
	movabsb	%al, NOT_CANONICAL
	movq	%rax, -64(%rsp)
	decl	%ecx
	jnz	99b
	caught64 stack, 13, 0
	same_regs stack

	load_regs
	try64
	movabsl	NOT_THERE, %eax
	movq	%rax, (%rbp)
	addq	%rax, 8(%r12)
	movq	16(%r13), %rax
	decl	%ecx
	jnz	99b
	caught64 three, 14, 0
	same_regs three

	/* Behind accesses that went well. */
	load_regs
	try64
	movq	%rcx, (%rbp)
	movq	%rcx, 8(%r12)
97:	movabsq	%rax, NOT_THERE
	decl	%ecx
	jnz	99b
	caught64 behind, 14, 2, 97b
	same_regs behind
	ret
