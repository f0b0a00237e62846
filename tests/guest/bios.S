/*
 * The BIOS calls that a kernel started without firmware finds: Xen goes back to
 * real mode to ask for the memory map, video and disks.  For 64 MiB, as a
 * Multiboot kernel: a ROM is its own BIOS.  Ralf Brown's Interrupt List.
 */
#include "guest.inc"

	.macro	real label
	pushl	$\label
	call	rt_real
	.endm

	.globl	guest_main
guest_main:
	real	b_base
	check	"base.kib", %eax, $639
	real	b_e801
	check	"e801.low", %eax, $0x3c00
	check	"e801.high", %ebx, $(48 * 16)
	check	"e801.carry", %ecx, $0
	real	b_e820
	check	"e820.magic", %eax, $0x534d4150
	check	"e820.len", %ecx, $20
	check	"e820.end", (FREE + 8), $0x9fc00
	check	"e820.type", (FREE + 16), $1
	real	b_video
	check	"video", %eax, $0x5003
	real	b_disk
	check	"disk.carry", %eax, $1
	ret

	.section .text16, "ax"
	.code16
b_base:	xorl	%eax, %eax
	int	$0x12
	retw

b_e801:	movl	$0xe801, %eax
	xorl	%ebx, %ebx
	xorl	%ecx, %ecx
	int	$0x15
	setc	%cl
	andl	$0xff, %ecx
	retw

b_e820:	movw	$(FREE >> 4), %ax
	movw	%ax, %es
	xorl	%edi, %edi
	movl	$0xe820, %eax
	xorl	%ebx, %ebx
	movl	$20, %ecx
	movl	$0x534d4150, %edx
	int	$0x15
	retw

b_video: movl	$0x0f00, %eax
	int	$0x10
	retw

b_disk:	movb	$8, %ah
	movb	$0x80, %dl
	int	$0x13
	setc	%al
	andl	$0xff, %eax
	retw
