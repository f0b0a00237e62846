/*
 * Real mode: integer instructions, segments, the interrupt table and exceptions
 * through it, big ("unreal") segments, switching back and forth.  Nothing here
 * needs paging, another privilege level or x87, so that a /dev/kvm which only
 * emulates runs it too.  SDM vol. 3, 20.1.
 */
#include "guest.inc"

	/* Real-mode function `label`; what it leaves in registers is checked. */
	.macro	real label
	pushl	$\label
	call	rt_real
	.endm
	.macro	result name, eax, ebx, ecx, edx
	check	"\name\().ax", %eax, \eax
	check	"\name\().bx", %ebx, \ebx
	check	"\name\().cx", %ecx, \ecx
	check	"\name\().dx", %edx, \edx
	.endm

	.globl	guest_main
guest_main:
	real	r_alu
	result	"alu", $0x1234fffe, $0x5679, $0xff11, $0x000000c9
	real	r_muldiv
	result	"muldiv", $0x2345, $0x5678, $0xfffffff6, $0x00010006
	real	r_stack
	result	"stack", $0x11112222, $0x4444, $0x3333, $0x3
	real	r_segments
	result	"segments", $0xaabb, $0xccdd, $0x1234, $0x5678
	real	r_far
	result	"far", $0x0005, $0x1111, $0x2222, $0xf000
	real	r_ints
	result	"ints", $0x0101, $0x0206, $0x46, $0x2
	real	r_exceptions
	result	"exceptions", $0x00060000, $0x000d000d, $0, $0
	real	r_wrap
	result	"wrap", $0x2211, $0x44332211, $0x10000, $0x55
	real	r_strings
	result	"strings", $0x0, $0x6f6c6c65, $0x3, $0x68
	call	unreal
	real	r_switch
	result	"switch", $0x1, $0x600dbeef, $0x10, $0x11
	real	r_loops
	result	"loops", $5050, $3, $0, $0x10000
	ret

/* Limits survive the way back to real mode. */
unreal:
	movl	$0xfeedbeef, 0x200000
	real	r_unreal
	check	"unreal.read", %eax, $0xfeedbeef
	check	"unreal.write", 0x200004, $0x12345678
	check	"unreal.stos", 0x200008, $0x12345678
	check	"unreal.base", %ebx, $0xfeedbeef
	ret

	.section .text16, "ax"
	.code16
r_alu:	movl	$0x12345678, %eax
	movw	$0x1111, %bx
	addw	%ax, %bx		/* 6789 */
	subw	$0x1110, %bx		/* 5679 */
	movzwl	%bx, %ebx
	movb	$0xff, %ch
	movb	$0x10, %cl
	incb	%cl
	movzwl	%cx, %ecx
	movw	$0x8000, %ax
	shlw	$1, %ax			/* 0, CF */
	rclw	$1, %ax			/* 1 */
	negw	%ax			/* ffff */
	movl	%eax, %edx
	andw	$0xfffe, %ax
	cmpw	$0xffff, %ax
	pushfw
	popw	%dx
	andw	$0x08d7, %dx
	addw	$0x32, %dx		/* 97 + 32 = c9 */
	movzwl	%dx, %edx
	retw

r_muldiv:
	movw	$0x1234, %ax
	movw	$0x5678, %bx
	movzwl	%bx, %ebx
	mulw	%bx			/* 06260060 */
	divw	%bx			/* back: 1234 */
	addw	$0x1111, %ax
	movzwl	%ax, %eax
	movw	$-100, %cx
	xchgw	%ax, %cx
	cwtd
	pushw	%bx
	movw	$10, %bx
	idivw	%bx			/* -10 */
	popw	%bx
	cwtl
	xchgl	%eax, %ecx
	movl	$0x10006, %edx
	movzwl	%ax, %eax
	retw

r_stack:
	pushl	$0x11112222
	pushw	$0x3333
	movw	%sp, %si
	popw	%cx
	movzwl	%cx, %ecx
	popl	%eax
	pushw	$0x4444
	movw	%sp, %bp
	movzwl	(%bp), %ebx
	popw	%dx
	enter	$4, $0
	movw	%bp, %dx
	subw	%sp, %dx		/* 4 */
	leave
	decw	%dx
	movzwl	%dx, %edx
	pushaw
	popaw
	retw

r_segments:
	movw	$0x2000, %ax
	movw	%ax, %ds
	movw	$0x1fff, %ax
	movw	%ax, %es
	movw	$0xaabb, 0x20
	movzwl	%es:0x30, %eax
	movw	$0xccdd, %es:0x42
	movzwl	0x32, %ebx
	movl	$0x56781234, 0x40
	lesw	0x40, %cx
	movzwl	%cx, %ecx
	movw	%es, %dx
	movzwl	%dx, %edx
	xorw	%si, %si
	movw	%si, %ds
	movw	%si, %es
	retw

r_far:	xorl	%eax, %eax
	lcallw	$0, $1f
	incw	%ax
	pushw	$0
	pushw	$2f
	lretw
2:	incw	%ax
	movw	$3f, %si
	jmpw	*%si
3:	incw	%ax
	movw	$4f, 0x600
	movw	$0, 0x602
	ljmpw	*0x600
4:	incw	%ax
	movl	$0x1111, %ebx
	movl	$0x2222, %ecx
	movl	$0xf000, %edx
	retw
1:	incw	%ax
	lretw

	.macro	vector n, label
	movw	$\label, \n * 4
	movw	$0, \n * 4 + 2
	.endm

r_ints:	vector	0x60, h_60
	xorl	%eax, %eax
	movl	$6, %ebx
	pushw	$0x46
	popfw
	int	$0x60
	pushfw
	popw	%cx
	movzwl	%cx, %ecx
	/* The handler saw IF and TF clear; IRET brings flags back. */
	pushw	$0x246
	popfw
	int	$0x60
	cli
	movl	%esi, %edx
	andl	$0x246, %edx
	movl	$0x0101, %eax
	retw
h_60:	incb	%bh
	pushfw
	popw	%si
	movzwl	%si, %esi
	andl	$~0x200, %esi
	iretw

r_exceptions:
	pushl	(6 * 4)
	pushl	0
	pushl	(13 * 4)
	vector	0, h_0
	vector	6, h_6
	vector	13, h_13
	xorl	%eax, %eax
	xorl	%ebx, %ebx
	xorl	%edx, %edx
	movw	%sp, %bp
	xorw	%cx, %cx
	/* A divide error points at the instruction. */
	movw	$1f, %di
1:	divw	%cx
	movw	$2f, %di
2:	ud2
	movw	$0xffff, %si		/* beyond the limit: no error code */
	movw	$3f, %di
3:	movw	(%si), %cx
	movw	%sp, %cx
	subw	%bp, %cx
	movzwl	%cx, %ecx
	popl	(13 * 4)
	popl	0
	popl	(6 * 4)
	retw
	/* Each skips its two-byte instruction. */
h_0:	popw	%si
	cmpw	%si, %di
	jne	bad
	addw	$2, %si
	pushw	%si
	iretw
h_6:	addl	$0x60000, %eax
	popw	%si
	cmpw	%si, %di
	jne	bad
	addw	$2, %si
	pushw	%si
	iretw
h_13:	movl	$0xd000d, %ebx
	popw	%si
	cmpw	%si, %di
	jne	bad
	addw	$2, %si
	pushw	%si
	iretw
bad:	movl	$0xbad, %edx
	iretw

/* Offsets wrap at 64 KiB, addresses at 1 MiB only without A20. */
r_wrap:	movw	$0x2000, %ax
	movw	%ax, %ds
	movb	$0x11, 0xffff
	movb	$0x22, 0
	movw	$0xfff0, %bx
	movb	15(%bx), %al
	movb	16(%bx), %ah
	movzwl	%ax, %eax
	movw	$0xffff, %cx
	movw	%cx, %es
	movl	$0x44332211, %es:0x100	/* the HMA */
	movw	$0xf, %si
	movw	$0xfff8, %bx
	movb	$0x55, 7
	movzbl	(%bx, %si), %edx
	movl	%es:0x100, %ebx
	xorl	%ecx, %ecx
	decw	%cx
	incl	%ecx
	xorw	%si, %si
	movw	%si, %ds
	movw	%si, %es
	retw

r_strings:
	movw	$0x2000, %ax
	movw	%ax, %es
	movw	$hello, %si
	movw	$0x100, %di
	movw	$5, %cx
	cld
	rep movsb
	movl	%es:0x101, %ebx
	movzbl	%es:0x100, %edx
	movw	$0x100, %di
	movw	$5, %cx
	movb	$'e', %al
	repne scasb
	movzwl	%cx, %ecx
	movw	$hello, %si
	movw	$0x100, %di
	pushw	%cx
	movw	$5, %cx
	repe cmpsb
	movzwl	%cx, %eax
	popw	%cx
	xorw	%si, %si
	movw	%si, %es
	retw
hello:	.ascii	"hello"

r_unreal:
	/* Load a flat descriptor in protected mode, leave with it. */
	pushw	%ds
	lgdtl	rt_gdtr
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	movw	$DS32, %bx
	movw	%bx, %ds
	movw	%bx, %es
	andb	$0xfe, %al
	movl	%eax, %cr0
	movl	$0x200000, %ebx
	movl	(%ebx), %eax
	movl	$0x12345678, 4(%ebx)
	pushl	%eax
	movl	4(%ebx), %eax
	leal	8(%ebx), %edi
	movl	$1, %ecx
	addr32 rep stosl
	popl	%eax
	/* Loading a selector changes the base, not the limit. */
	movw	$0x1000, %cx
	movw	%cx, %ds
	movl	$(0x200000 - 0x10000), %ebx
	movl	(%ebx), %ebx
	/* 64 KiB segments again, for the others. */
	pushl	%eax
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	movw	$DS16, %cx
	movw	%cx, %ds
	movw	%cx, %es
	andb	$0xfe, %al
	movl	%eax, %cr0
	popl	%eax
	popw	%ds
	xorw	%cx, %cx
	movw	%cx, %es
	retw

/* Protected mode and back without a far jump: CS goes on as it is. */
r_switch:
	movl	$0x600dbeef, 0x620
	lgdtl	rt_gdtr
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	smsw	%ax
	andl	$1, %eax
	movl	0x620, %ebx		/* DS as loaded in real mode */
	movl	%cr0, %edx
	andb	$0xfe, %dl
	movl	%edx, %cr0
	movl	%cr0, %ecx
	andl	$0x11, %ecx		/* ET */
	movl	$0x11, %edx
	retw

r_loops:
	xorl	%eax, %eax
	movl	$0x10064, %ecx
1:	movzwl	%cx, %ebx
	addl	%ebx, %eax
	loop	1b			/* CX */
	movl	%ecx, %edx
	xorl	%ebx, %ebx
	movl	$3, %ecx
2:	incw	%bx
	loopl	2b			/* ECX */
	jcxz	3f
	incw	%bx
3:	retw
