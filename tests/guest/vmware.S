/*
 * VMware's backdoor: version and frequencies, at CPL 0, at CPL 3 and in V86 mode
 * whatever IOPL and I/O permission bitmap say, and what is not it at CPL 3.
 * Source: open-vm-tools backdoor_def.h.
 */
#include "guest.inc"

	.equ	MAGIC, 0x564d5868
	.equ	PORT, 0x5658
	.equ	GETVERSION, 10
	.equ	GETHZ, 45

	.macro	call_with cmd, magic=MAGIC, port=PORT
	movl	$\magic, %eax
	movl	$-1, %ebx
	movl	$\cmd, %ecx
	movl	$\port, %edx
	.endm

	/* The version as it arrived. */
	.macro	check_version name
	check	"\name\().version", exc_EAX, $6
	check	"\name\().magic", exc_EBX, $MAGIC
	check	"\name\().product", exc_ECX, $2
	.endm

	/* At CPL 3 with IOPL 0 this faults, after call_with. */
	.macro	closed name, insn, magic=MAGIC, port=PORT
	user
	call_with GETVERSION, \magic, \port
97:	\insn
	user_end
	check_exc "\name", 13, 0, 97b
	.endm

	.globl	guest_main
guest_main:
	call_with GETVERSION
	inl	%dx, %eax
	check	"cpl0.version", %eax, $6
	check	"cpl0.magic", %ebx, $MAGIC
	check	"cpl0.product", %ecx, $2

	user
	call_with GETVERSION
	inl	%dx, %eax
	user_end
	check	"cpl3", exc_vector, $0x40
	check_version "cpl3"

	/* CPL 3 and CPL 0 see the same TSC frequency. */
	user
	call_with GETHZ
	inl	%dx, %eax
	user_end
	call_with GETHZ
	inl	%dx, %eax
	cmpl	exc_EAX, %eax
	sete	%al
	movzbl	%al, %eax
	check	"hz", %eax, $1
	check	"hz.high", %ebx, exc_EBX

	closed	"no_magic", "inl %dx, %eax", MAGIC+1
	closed	"word", "inw %dx, %ax"
	closed	"byte", "inb %dx, %al"
	closed	"out", "outl %eax, %dx"
	closed	"string", "insl"
	closed	"next_port", "inl %dx, %eax", MAGIC, PORT+1
	closed	"port_before", "inl %dx, %eax", MAGIC, PORT-1

	.pushsection .text16, "ax"
	.code16
v86_code:
	call_with GETVERSION
	inl	%dx, %eax
	int	$0x40
	.popsection
	.code32
	movl	$98f, rt_recover
	movl	%esp, rt_recover_esp
	.rept	4
	pushl	$0			/* GS FS DS ES */
	.endr
	pushl	$0
	pushl	$0x7000
	pushl	$(FL_VM|FL_FIXED)	/* IOPL 0: INT is #GP */
	pushl	$0
	pushl	$v86_code
	iretl
98:	movl	$0, rt_recover
	check	"v86", exc_vector, $13
	check_version "v86"
	ret
