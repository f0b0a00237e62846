/*
 * Decimal adjustments over all inputs: AL, CF, AF in; AX and the defined flags into
 * a sum, compared with the manual's pseudo-code evaluated elsewhere.
 * SDM vol. 2, AAA AAS AAD AAM DAA DAS.
 */
#include "guest.inc"

	/* insn for all AX low bytes and all of CF, AF; flags: those defined. */
	.macro	all name, insn, flags, want
	xorl	%esi, %esi		/* the sum */
	xorl	%ecx, %ecx		/* AL, and CF, AF in bits 8, 9 */
1:	movzbl	%cl, %eax
	orl	$0x3700, %eax
	movl	%ecx, %edx
	shrl	$8, %edx
	andl	$1, %edx
	testl	$0x200, %ecx
	jz	2f
	orl	$FL_AF, %edx
2:	orl	$FL_FIXED, %edx
	pushl	%edx
	popfl
	\insn
	pushfl
	popl	%edx
	andl	$(\flags), %edx
	shll	$16, %edx
	movzwl	%ax, %eax
	orl	%edx, %eax
	roll	$7, %esi
	xorl	%eax, %esi
	imull	$0x9e3779b1, %esi, %esi
	incl	%ecx
	cmpl	$0x400, %ecx
	jb	1b
	check	"\name", %esi, $\want
	.endm

	.globl	guest_main
guest_main:
	all	daa, "daa", FL_CF|FL_AF|FL_ZF|FL_SF|FL_PF, 0xd749711a
	all	das, "das", FL_CF|FL_AF|FL_ZF|FL_SF|FL_PF, 0xdb32aa58
	all	aaa, "aaa", FL_CF|FL_AF, 0x18b1b55c
	all	aas, "aas", FL_CF|FL_AF, 0xb8a9c554
	all	aam, "aam", FL_ZF|FL_SF|FL_PF, 0xaa94ca0a
	all	aam16, ".byte 0xd4, 16", FL_ZF|FL_SF|FL_PF, 0xfb725ba1
	all	aad, "aad", FL_ZF|FL_SF|FL_PF, 0x89af5639
	all	aad7, ".byte 0xd5, 7", FL_ZF|FL_SF|FL_PF, 0xdccf86fb
	ret
