/*
 * Loops over an instruction that lies in two pages, and from one page to another, with
 * pages that are not global: what may change without the jumps' page being flushed.
 */
#include "guest.inc"

	.equ	LOOPS, 200000

	.globl	guest_main
guest_main:
	print	"2-level"
	call	rt_paging_2level
	call	loops
	call	rt_paging_off
	print	"PAE"
	call	rt_paging_pae
	call	loops
	call	rt_paging_off
	call	rt_have_long
	testl	%eax, %eax
	jz	9f
	print	"long mode"
	pushl	$loops64
	call	rt_long
	check	"same.page", sum, $LOOPS
	check	"other.page", sum + 4, $LOOPS
9:	ret

loops:	movl	$LOOPS, %ecx
	xorl	%eax, %eax
	call	same32
	check	"same.page", %eax, $LOOPS
	movl	$LOOPS, %ecx
	xorl	%eax, %eax
	call	other32
	check	"other.page", %eax, $LOOPS
	ret

	.code64
loops64:
	movl	$LOOPS, %ecx
	xorl	%eax, %eax
	call	same64
	movl	%eax, sum(%rip)
	movl	$LOOPS, %ecx
	xorl	%eax, %eax
	call	other64
	movl	%eax, sum + 4(%rip)
	ret

	/* addl $1, %eax begins in the last byte of a page; what comes behind it jumps back
	 * to it, from the next page, or by way of its own page. */
	.macro	straddle bits
	.balign	4096
page\bits:
	.skip	4096 - 32
same\bits:
	jmp	2f
1:	decl	%ecx
	jnz	2f
	ret
	.skip	4095 - (. - page\bits), 0x90
2:	.byte	0x05
	.long	1
	jmp	1b

	.balign	4096
	.skip	4095
other\bits:
3:	.byte	0x05
	.long	1
	decl	%ecx
	jnz	3b
	ret
	.endm

	.code32
	straddle 32
	.code64
	straddle 64

	.bss
sum:	.skip	8
