/*
 * The segments from 0xc0000 to 0xfffff, which the host bridge's PAM registers lead to ROM
 * or RAM, for reads and for writes: data, code, and code that switches what it runs from.
 * As a ROM: its image lies at 0xf0000, too.  82443BX data sheet, 3.3.15.
 */
#include "guest.inc"

	.equ	SEG, 0xd0000		/* no ROM behind it: PAM3, lower half */
	.equ	NONE, -1
	.equ	PAM_F, 0x59		/* 0xf0000 on */
	.equ	PAM_CC, 0x5b		/* upper half: 0xcc000-0xcffff */
	.equ	PAM_D0, 0x5c
	.equ	ROM, 0xf0000
	.equ	ROUNDS, 200

/* Set a register; keeps all others. */
.macro pam reg, val
	pushl	$\val
	pushl	$\reg
	call	set_pam
.endm

set_pam:
	pushal
	movl	36(%esp), %eax
	movl	%eax, %ebx
	andl	$0xfc, %eax
	orl	$0x80000000, %eax
	movw	$0xcf8, %dx
	outl	%eax, %dx
	andl	$3, %ebx
	leal	0xcfc(%ebx), %edx
	movl	40(%esp), %eax
	outb	%al, %dx
	popal
	ret	$8

	.globl	guest_main
guest_main:
#ifdef PAGING
	call	rt_paging_2level
	call	all
	call	user
	call	rt_paging_off
	call	rt_paging_pae
	call	all
	call	user
	call	rt_paging_off
#else
	call	all
	call	copy
#endif
	ret

all:
	call	data
	call	edge
	call	code
	call	switch
	ret

/* After reset, or as it is left here: nothing, and no RAM takes writes. */
data:
	pam	PAM_D0, 0
	movl	$0x11, SEG
	check	"d0.none", SEG, $NONE
	pam	PAM_D0, 2
	movl	$0x11223344, SEG
	check	"d0.write", SEG, $NONE
	movb	$0x45, SEG
	pam	PAM_D0, 1
	check	"d0.read", SEG, $0x11223345
	movl	$5, SEG
	incl	SEG
	lock addl $7, SEG
	movl	$9, %eax
	xchgl	%eax, SEG
	check	"d0.xchg", %eax, $0x11223345
	movl	$SEG, %edi
	movl	$64, %ecx
	rep stosl
	check	"d0.kept", SEG, $0x11223345
	pam	PAM_D0, 3
	check	"d0.both", SEG, $0x11223345
	incl	SEG
	check	"d0.written", SEG, $0x11223346
	pam	PAM_D0, 0
	check	"d0.gone", SEG, $NONE
	pam	PAM_D0, 3
	check	"d0.back", SEG, $0x11223346
	ret

/* Across the end of a segment that takes writes. */
edge:
	pam	PAM_CC, 0x30
	pam	PAM_D0, 3
	movl	$0, SEG - 4
	movl	$0, SEG
	pam	PAM_D0, 1
	movl	$0xaabbccdd, SEG - 2
	check	"edge.low", (SEG - 4), $0xccdd0000
	check	"edge.high", SEG, $0
	pam	PAM_D0, 2
	movl	$0xaabbccdd, SEG - 2
	pam	PAM_D0, 1
	check	"edge.behind", SEG, $0xaabb
	ret

/* The same code in ROM and RAM, but for what it returns. */
	.balign	64
fn:	movl	$1, %eax
	ret
	.equ	FN, ROM - BASE
	.balign	64
code:
	pam	PAM_F, 0x30
	movb	$0xb8, FN + fn
	movl	$2, FN + fn + 1
	movb	$0xc3, FN + fn + 5
	xorl	%edi, %edi		/* sums, of RAM and ROM */
	xorl	%esi, %esi
	movl	$ROUNDS, %ecx
1:	pam	PAM_F, 0x30
	movl	$20, %edx
2:	call	*fn_low
	addl	%eax, %edi
	decl	%edx
	jnz	2b
	pam	PAM_F, 0
	movl	$20, %edx
3:	call	*fn_low
	addl	%eax, %esi
	decl	%edx
	jnz	3b
	loop	1b
	check	"code.ram", %edi, $(2 * 20 * ROUNDS)
	check	"code.rom", %esi, $(20 * ROUNDS)
	pam	PAM_F, 0x20
	movb	$3, FN + fn + 1
	call	*fn_low
	check	"code.under", %eax, $1
	pam	PAM_F, 0x10
	call	*fn_low
	check	"code.shown", %eax, $3
	movb	$4, FN + fn + 1
	call	*fn_low
	check	"code.locked", %eax, $3
	pam	PAM_F, 0x30
	movb	$4, FN + fn + 1
	call	*fn_low
	check	"code.open", %eax, $4
	ret

/* Code takes away the page that it runs from: the next instruction is the other's. */
	.balign	64
turn:	outb	%al, %dx
	movl	$0x51, %eax
	ret
	.balign	64
switch:
	pam	PAM_F, 0x30		/* also leaves the register selected */
	movl	$turn, %esi
	leal	FN(%esi), %edi
	movl	$4, %ecx
	rep movsl
	movb	$0x52, FN + turn + 2
	xorl	%ebx, %ebx
	movl	$ROUNDS, %ecx
1:	movw	$0xcfd, %dx
	movb	$0, %al
	call	*turn_low
	cmpl	$0x51, %eax
	je	2f
	incl	%ebx
2:	movb	$0x30, %al
	call	*turn_low
	cmpl	$0x52, %eax
	je	3f
	incl	%ebx
3:	loop	1b
	check	"switch.wrong", %ebx, $0
	ret

#ifdef PAGING
/* User code reads what the kernel turns over, from pages that stay as they are. */
read_user:
	user
	movl	$3000, %ecx
1:	movl	SEG, %eax
	loop	1b
	user_end
	ret

user:
	pam	PAM_D0, 3
	movl	$0x77, SEG
	movl	$5, %esi
1:	call	read_user
	check	"user.ram", %eax, $0x77
	pam	PAM_D0, 0
	call	read_user
	check	"user.none", %eax, $NONE
	pam	PAM_D0, 3
	decl	%esi
	jnz	1b
	ret
#else
/* As a BIOS shadows itself: reads from ROM, writes to the RAM under it. */
copy:
	pam	PAM_F, 0x20
	movl	$ROM, %esi
	movl	$ROM, %edi
	movl	$0x4000, %ecx
	rep movsl
	pam	PAM_F, 0x10
	movl	$ROM, %esi
	movl	$0xffff0000, %edi
	movl	$0x4000, %ecx
	repe cmpsl
	check	"copy.left", %ecx, $0
	sete	%al
	movzbl	%al, %eax
	check	"copy.same", %eax, $1
	pam	PAM_F, 0
	ret
#endif

	.data
fn_low:	.long	FN + fn
turn_low: .long	FN + turn
