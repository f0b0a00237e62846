/*
 * Page tables of the guests: the first 8 MiB mapped one to one with 4 KiB pages,
 * present, writable, user.  2-level: directory at 0x100000, tables from 0x101000.
 * PAE: pointers at 0x108000, directory at 0x109000, tables from 0x10a000.
 */
#include "guest.inc"

	.equ	PD2, 0x100000
	.equ	PT2, 0x101000
	.equ	PDPT, 0x108000
	.equ	PD3, 0x109000
	.equ	PT3, 0x10a000

	.text
	.globl	rt_paging_2level, rt_paging_pae, rt_paging_off
rt_paging_2level:
	pushal
	movb	$0, rt_pae
	movl	$PD2, %edi
	movl	$(0x3000 / 4), %ecx
	xorl	%eax, %eax
	rep stosl
	movl	$(PT2 + 7), PD2
	movl	$(PT2 + 0x1007), PD2 + 4
	movl	$PT2, %edi
	movl	$7, %eax
	movl	$2048, %ecx
1:	stosl
	addl	$0x1000, %eax
	loop	1b
	movl	$PD2, %eax
	jmp	on

rt_paging_pae:
	pushal
	movb	$1, rt_pae
	movl	$PDPT, %edi
	movl	$(0x6000 / 4), %ecx
	xorl	%eax, %eax
	rep stosl
	movl	$(PD3 + 1), PDPT
	movl	$(PT3 + 7), %eax
	movl	$PD3, %edi
	movl	$4, %ecx
1:	movl	%eax, (%edi)
	addl	$8, %edi
	addl	$0x1000, %eax
	loop	1b
	movl	$PT3, %edi
	movl	$7, %eax
	movl	$2048, %ecx
1:	movl	%eax, (%edi)
	addl	$8, %edi
	addl	$0x1000, %eax
	loop	1b
	movl	%cr4, %eax
	orl	$0x20, %eax
	movl	%eax, %cr4
	movl	$PDPT, %eax
on:	movl	%eax, %cr3
	movl	%cr0, %eax
	orl	$0x80010000, %eax	/* PG, WP */
	movl	%eax, %cr0
	popal
	ret

rt_paging_off:
	pushal
	movl	%cr0, %eax
	andl	$0x7ffeffff, %eax
	movl	%eax, %cr0
	movl	%cr4, %eax
	andl	$~0x20, %eax
	movl	%eax, %cr4
	popal
	ret

/* void rt_set_pte(gva, lo, hi): the entry, then INVLPG; callee pops */
	.globl	rt_set_pte
rt_set_pte:
	pushfl
	pushal
	movl	40(%esp), %ecx
	movl	44(%esp), %eax
	movl	%ecx, %edx
	shrl	$12, %edx
	cmpb	$0, rt_pae
	jne	1f
	movl	%eax, PT2(, %edx, 4)
	jmp	2f
1:	movl	$0, PT3(, %edx, 8)
	movl	48(%esp), %ebx
	movl	%ebx, PT3 + 4(, %edx, 8)
	movl	%eax, PT3(, %edx, 8)
2:	invlpg	(%ecx)
	popal
	popfl
	ret	$12

/* The low half of gva's entry (EAX in, EAX out); clears nothing. */
	.globl	rt_get_pte, rt_get_pde
rt_get_pte:
	shrl	$12, %eax
	cmpb	$0, rt_pae
	jne	1f
	movl	PT2(, %eax, 4), %eax
	ret
1:	movl	PT3(, %eax, 8), %eax
	ret

rt_get_pde:
	cmpb	$0, rt_pae
	jne	1f
	shrl	$22, %eax
	movl	PD2(, %eax, 4), %eax
	ret
1:	shrl	$21, %eax
	movl	PD3(, %eax, 8), %eax
	ret

/* void rt_set_pde(gva, lo, hi): the directory's entry, then CR3; callee pops */
	.globl	rt_set_pde
rt_set_pde:
	pushfl
	pushal
	movl	40(%esp), %edx
	movl	44(%esp), %eax
	cmpb	$0, rt_pae
	jne	1f
	shrl	$22, %edx
	movl	%eax, PD2(, %edx, 4)
	jmp	2f
1:	shrl	$21, %edx
	movl	48(%esp), %ebx
	movl	%ebx, PD3 + 4(, %edx, 8)
	movl	%eax, PD3(, %edx, 8)
2:	movl	%cr3, %eax
	movl	%eax, %cr3
	popal
	popfl
	ret	$12

	.bss
	.globl	rt_pae
rt_pae:	.skip	4
