/*
 * Another processor ends the machine: of two by a triple fault, of three by the
 * debug port, of four by a reset through port 0xcf9, while the first one spins.
 */
#include "guest.inc"

	.equ	APIC, 0xfee00000

	.globl	guest_main
guest_main:
	movl	$1, %eax
	cpuid
	shrl	$16, %ebx
	movb	%bl, cpus
	movl	$0x1ff, APIC + 0xf0
	movl	$trampoline, %esi
	movl	$0x10000, %edi
	movl	$(trampoline_end - trampoline), %ecx
	rep movsb
	movl	$(1 << 24), APIC + 0x310
	movl	$0x4500, APIC + 0x300
	movl	$0x4610, APIC + 0x300
1:	pause
	jmp	1b

	.code16
trampoline:
	xorw	%ax, %ax
	movw	%ax, %ds
	cmpb	$3, cpus
	je	3f
	ja	4f
	lgdtl	rt_gdtr
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	$CS32, $crash
3:	movb	$0x55, %al
	outb	%al, $DEBUG_EXIT
	jmp	5f
4:	movw	$0xcf9, %dx
	movb	$6, %al
	outb	%al, %dx
5:	hlt
	jmp	5b
trampoline_end:
	.code32

crash:	movl	$DS32, %eax
	movl	%eax, %ds
	lidt	no_idt
	ud2

	.bss
cpus:	.skip	1
no_idt:	.skip	6
