/*
 * A guest as a 64 KiB ROM: from the reset vector to 32-bit protected mode, then
 * the image (PAYLOAD) is copied to 0x1000 and entered.  The ROM lies below 4 GiB
 * and below 1 MiB; at reset CS has the upper base (SDM vol. 3, 10.1.4).
 */
	.equ	LOW, 0xf0000
	.text
	.code16
image:	.incbin	PAYLOAD
image_end:
	.balign	16
gdt:	.quad	0
	.quad	0x00cf9b000000ffff
	.quad	0x00cf93000000ffff
gdtr:	.word	23
	.long	gdt - image + LOW
start:	cli
	cld
	lgdtl	%cs:(gdtr - image)
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	$8, $(1f - image + LOW)
	.code32
1:	movl	$16, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$LOW, %esi
	movl	$0x1000, %edi
	movl	$((image_end - image + 3) / 4), %ecx
	rep movsl
	ljmp	$8, $0x1000
	.code16
	.org	0xfff0
	jmp	start
	.org	0x10000
