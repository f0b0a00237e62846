/*
 * A hot store to a page that holds code for a while, and then no longer: what the
 * translator does about the first phase must not last through the second.
 */
#include "guest.inc"

	.equ	PAGE, 0x400000

	.globl	guest_main
guest_main:
	movb	$0xc3, PAGE		/* ret */
	movl	$PAGE, %edx
	call	*%edx
	movl	$3000, %ecx		/* the unit becomes hot; each store is told */
	call	fill
	check	"told", PAGE+0x800, $1
	movl	$1000000, %ecx
	movl	$elsewhere, %edx
	call	fill2
	check	"plain", elsewhere+0x800, $1
	ret

fill:
	movl	$PAGE, %edx
fill2:
1:	movl	%ecx, 0x800(%edx)
	decl	%ecx
	jnz	1b
	ret

	.bss
	.balign	4096
elsewhere:
	.space	4096
