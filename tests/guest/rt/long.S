/*
 * Long mode for guests: rt_long(fn) calls a 64-bit function and comes back to 32-bit
 * protected mode.  Tables: the first 16 MiB one to one in 2 MiB pages, user; at
 * 16 MiB a window of 512 4 KiB pages onto 0x400000; all of it again in the last
 * PML4 entry.
 */
#include "guest.inc"

	.equ	PML4, 0x120000
	.equ	PDPT, 0x121000
	.equ	PD, 0x122000
	.equ	PT, 0x123000		/* the window's */

	.text
/* void rt_long(fn), callee pops; without long mode it returns at once. */
	.globl	rt_long, rt_have_long
rt_long:
	pushal
	call	tables
	movl	%cr4, %eax
	orl	$0x20, %eax
	movl	%eax, %cr4
	movl	$PML4, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x900, %eax		/* LME, NXE */
	wrmsr
	movl	%cr0, %eax
	orl	$0x80010000, %eax
	movl	%eax, %cr0
	movl	36(%esp), %ebx
	ljmp	$CS64, $1f
	.code64
1:	xorl	%eax, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%esp, %esp		/* the upper half was undefined */
	movl	%ebx, %ebx
	call	*%rbx
	pushq	$CS32
	leaq	2f(%rip), %rax
	pushq	%rax
	lretq
	.code32
2:	movl	$DS32, %eax
	movl	%eax, %ss
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%cr0, %eax
	andl	$0x7ffeffff, %eax
	movl	%eax, %cr0
	movl	$0xc0000080, %ecx
	rdmsr
	andl	$~0x900, %eax
	wrmsr
	movl	%cr4, %eax
	andl	$~0x20, %eax
	movl	%eax, %cr4
	lidt	rt_idtr
	popal
	ret	$4

tables:
	movl	$PML4, %edi
	movl	$(4 * 1024), %ecx
	xorl	%eax, %eax
	rep stosl
	movl	$(PDPT + 7), PML4
	movl	$(PDPT + 7), PML4 + 511 * 8
	movl	$(PD + 7), PDPT
	movl	$(PD + 7), PDPT + 511 * 8
	movl	$0x87, %eax
	movl	$PD, %edi
	movl	$8, %ecx
1:	movl	%eax, (%edi)
	addl	$0x200000, %eax
	addl	$8, %edi
	loop	1b
	movl	$(PT + 7), (%edi)
	movl	$0x400007, %eax
	movl	$PT, %edi
	movl	$512, %ecx
2:	movl	%eax, (%edi)
	addl	$0x1000, %eax
	addl	$8, %edi
	loop	2b
	ret

/* EAX = 1: the processor offers long mode. */
rt_have_long:
	pushl	%ebx
	pushl	%ecx
	pushl	%edx
	movl	$0x80000000, %eax
	cpuid
	xorl	%edx, %edx
	cmpl	$0x80000001, %eax
	jb	1f
	movl	$0x80000001, %eax
	cpuid
1:	btl	$29, %edx
	setc	%al
	movzbl	%al, %eax
	popl	%edx
	popl	%ecx
	popl	%ebx
	ret

	.bss
	.balign	8
	.globl	rt_result
rt_result: .skip 64 * 8
