/*
 * A program with memory all over its address space, as V8 has it: so many PML4 entries
 * that no window can be had.  Hot code at CPL 3, then at CPL 0, then with few of them.
 */
#include "guest.inc"
#include "long64.inc"

	.equ	TABLES, HIGH + 0x10000	/* PDPT, PD, PT: all the entries lead to PAGE_A */
	.equ	ENTRIES, 80		/* from 1 */
	.equ	WHERE, 0x40000000	/* in what an entry leads to */
	.equ	LOOPS, 64
	.equ	ROUNDS, 1200		/* that is hot */
	.equ	SUM, LOOPS * ROUNDS * (1 + 2 + 3)

	.code64
main64:
	movl	$TABLES, %edi
	movl	$0x3000 / 4, %ecx
	xorl	%eax, %eax
	rep stosl
	movl	$TABLES + 0x1007, TABLES + 8
	movl	$TABLES + 0x2007, TABLES + 0x1000
	movl	$PAGE_A + 7, TABLES + 0x2000
	movl	$1, PAGE_A
	movl	$2, PAGE_A + 8
	movl	$3, PAGE_A + 16
	movl	$PML4 + 8, %edi
	movl	$ENTRIES, %ecx
1:	movl	$TABLES + 7, (%rdi)
	addl	$8, %edi
	loop	1b
	call	flush
	xorl	%ebx, %ebx
	user64	user_work
98:	same64	user, %rbx, SUM
	xorl	%ebx, %ebx
	call	work
	same64	kernel, %rbx, SUM
	movl	$PML4 + 4 * 8, %edi
	movl	$ENTRIES - 3, %ecx
1:	movl	$0, (%rdi)
	addl	$8, %edi
	loop	1b
	call	flush
	xorl	%ebx, %ebx
	user64	user_work_few
98:	same64	few, %rbx, SUM
	ret

flush:	movq	%cr3, %rax
	movq	%rax, %cr3
	ret

user_work:
	call	work
	int	$0x40

user_work_few:
	call	work_few
	int	$0x40

work:	movabsq	$1 << 39 | WHERE, %rcx
	movabsq	$40 << 39 | WHERE, %rdx
	movabsq	$ENTRIES << 39 | WHERE, %rsi
	jmp	loops
work_few:
	movabsq	$1 << 39 | WHERE, %rcx
	movabsq	$2 << 39 | WHERE, %rdx
	movabsq	$3 << 39 | WHERE, %rsi
	/* Each becomes a unit. */
loops:	.rept	LOOPS
	movl	$ROUNDS, %edi
1:	movq	(%rcx), %rax
	addq	8(%rdx), %rax
	addq	16(%rsi), %rax
	addq	%rax, %rbx
	decl	%edi
	jnz	1b
	.endr
	ret
