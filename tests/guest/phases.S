/*
 * What lasts for a while and then no longer: stores to a page that holds code, code
 * that is patched before each call.  What the translator does about the first phase
 * must not last through the second, nor change what is computed.
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
	movl	$0xc3, patched+6
	xorl	%esi, %esi
	movl	$1000, %ecx
1:	movw	$0xb890, patched	/* nop; mov $N, %eax; ret */
	movl	%ecx, patched+2
	call	patched
	addl	%eax, %esi
	decl	%ecx
	jnz	1b
	check	"patched", %esi, $500500
	movl	$1000, %ecx
2:	call	patched
	addl	%eax, %esi
	decl	%ecx
	jnz	2b
	check	"stands", %esi, $501500
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
patched:
	.space	4096
