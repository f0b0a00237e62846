/*
 * Virtual-8086 mode: entry by IRET, what traps at which IOPL, what the frames look
 * like, real-mode segments, a monitor that reflects INT.  SDM vol. 3, chapter 20.
 */
#include "guest.inc"

	.equ	V86_STACK, 0x7000		/* segment 0x2000: linear 0x27000 */
	.equ	V86_SEG, FREE >> 4

	/* Run label in V86 mode; comes back by any exception or INT $0x40. */
	.macro	v86 label, flags=FL_FIXED
	movl	$98f, rt_recover
	movl	%esp, rt_recover_esp
	movl	$-1, exc_vector
	pushl	$0x4444			/* GS FS DS ES */
	pushl	$0x3333
	pushl	$V86_SEG
	pushl	$0x1111
	pushl	$V86_SEG
	pushl	$V86_STACK
	pushl	$(FL_VM|\flags)
	pushl	$0
	pushl	$\label
	iretl
98:	movl	$0, rt_recover
	.endm

	/* V86 code `insn` at IOPL 3 or 0 faults so. */
	.macro	vfault name, vec, err, iopl, insn
	.pushsection .text16, "ax"
	.code16
96:
99:	\insn
	int	$0x40
	.popsection
	.code32
	v86	96b, FL_FIXED|\iopl
	check_exc "\name", \vec, \err, 99b
	.endm
	.macro	vquiet name, iopl, insn
	.pushsection .text16, "ax"
	.code16
99:	\insn
	int	$0x40
	.popsection
	.code32
	v86	99b, FL_FIXED|\iopl
	check	"\name", exc_vector, $0x40
	.endm

	.globl	guest_main
guest_main:
	call	frame
	call	sensitive
	call	undefined
	call	addressing
	call	ports
	call	monitor
	call	paged
	ret

frame:
	v86	v_int, FL_FIXED|FL_IOPL3|FL_CF
	check	"int.vector", exc_vector, $0x40
	check	"int.eip", exc_EIP, $v_int_end
	check	"int.cs", exc_CS, $0
	check	"int.flags", exc_EFLAGS, $(FL_VM|FL_FIXED|FL_IOPL3|FL_CF)
	check	"int.esp", exc_ESP, $V86_STACK
	check	"int.ss", exc_SS, $V86_SEG
	check	"int.eax", exc_EAX, $0x1111
	check	"int.ebx", exc_EBX, $V86_SEG
	check	"int.ecx", exc_ECX, $0x3333
	check	"int.edx", exc_EDX, $0x4444
	/* In the handler the data segments are null; the frame holds them. */
	check	"int.handler_ds", exc_DS, $0
	check	"int.handler_gs", exc_GS, $0
	check	"int.frame_es", RING0_STACK_TOP-16, $0x1111
	check	"int.frame_ds", RING0_STACK_TOP-12, $V86_SEG
	check	"int.frame_fs", RING0_STACK_TOP-8, $0x3333
	check	"int.frame_gs", RING0_STACK_TOP-4, $0x4444
	ret

sensitive:
	/* IOPL 3: as in real mode, through the IDT of protected mode. */
	vquiet	"cli3", FL_IOPL3, "cli"
	vquiet	"pushf3", FL_IOPL3, "pushfw; popw %ax"
	andl	$0xffff, exc_EAX
	check	"pushf3.ax", exc_EAX, $(FL_IOPL3|FL_FIXED)
	vquiet	"sti3", FL_IOPL3, "sti; nop; pushfw; popw %ax; cli"
	andl	$0xffff, exc_EAX
	check	"sti3.ax", exc_EAX, $(FL_IOPL3|FL_IF|FL_FIXED)
	vquiet	"popf3", FL_IOPL3, "pushw $0x0cd7; popfw; pushfw; popw %ax; cld"
	andl	$0xffff, exc_EAX
	check	"popf3.ax", exc_EAX, $(FL_IOPL3|0xcd7)
	vquiet	"pushfd3", FL_IOPL3, "pushfl; popl %eax"
	check	"pushfd3.eax", exc_EAX, $(FL_IOPL3|FL_FIXED)
	vquiet	"iret3", FL_IOPL3, "pushw $0x46; pushw %cs; pushw $1f; iretw; 1: pushfw; popw %ax"
	andl	$0xffff, exc_EAX
	check	"iret3.ax", exc_EAX, $(FL_IOPL3|0x46)
	/* Lower IOPL: all of these are the monitor's. */
	vfault	"cli0", 13, 0, 0, "cli"
	vfault	"sti0", 13, 0, 0, "sti"
	vfault	"pushf0", 13, 0, 0, "pushfw"
	vfault	"pushfd0", 13, 0, 0, "pushfl"
	vfault	"popf0", 13, 0, 0, "popfw"
	vfault	"int0", 13, 0, 0, "int $0x40"
	vfault	"iret0", 13, 0, 0, "iretw"
	vfault	"cli2", 13, 0, 0x2000, "cli"
	/* INT3 and INTO are not sensitive to IOPL. */
	vfault	"int3_0", 3, 0, 0, "int3; 99:"
	vfault	"int_dpl0", 13, 0x50*8+2, FL_IOPL3, "int $0x50"
	/* Always privileged. */
	vfault	"hlt", 13, 0, FL_IOPL3, "hlt"
	vfault	"mov_cr0", 13, 0, FL_IOPL3, "movl %cr0, %eax"
	vfault	"lgdt", 13, 0, FL_IOPL3, "lgdtl 0"
	vfault	"lmsw", 13, 0, FL_IOPL3, "lmsw %ax"
	vfault	"clts", 13, 0, FL_IOPL3, "clts"
	vquiet	"smsw", FL_IOPL3, "smsw %ax"
	vquiet	"sgdt", FL_IOPL3, "sgdtl 0x100"
	vfault	"div", 0, 0, 0, "xorw %cx, %cx; 99: divw %cx"
	vfault	"ud2", 6, 0, 0, "ud2"
	ret

undefined:
	vfault	"sldt", 6, 0, FL_IOPL3, "sldt %ax"
	vfault	"str", 6, 0, FL_IOPL3, "str %ax"
	vfault	"lldt", 6, 0, FL_IOPL3, "lldt %ax"
	vfault	"ltr", 6, 0, FL_IOPL3, "ltr %ax"
	vfault	"lar", 6, 0, FL_IOPL3, "lar %ax, %ax"
	vfault	"lsl", 6, 0, FL_IOPL3, "lsl %ax, %ax"
	vfault	"verr", 6, 0, FL_IOPL3, "verr %ax"
	vfault	"arpl", 6, 0, FL_IOPL3, ".byte 0x63, 0xc0"
	ret

addressing:
	movl	$0x11223344, FREE+0x50
	v86	v_segs, FL_FIXED|FL_IOPL3
	check	"segs.vector", exc_vector, $0x40
	check	"segs.read", exc_EAX, $0x11223344
	check	"segs.es", exc_EBX, $0x11223344
	check	"segs.far", exc_ECX, $0x77
	check	"segs.sp", exc_EDX, $V86_STACK-6
	check	"segs.int", exc_ESI, $0x5678
	/* 64 KiB limits. */
	vfault	"limit_word", 13, 0, FL_IOPL3, "movw $0xffff, %bx; 99: movw (%bx), %ax"
	vfault	"limit_32", 13, 0, FL_IOPL3, "movl $0x10000, %ebx; 99: movb (%ebx), %al"
	vquiet	"limit_last", FL_IOPL3, "movw $0xffff, %bx; movb (%bx), %al"
	ret

ports:
	/* The I/O map decides, whatever the IOPL. */
	vfault	"in3", 13, 0, FL_IOPL3, "inb $0x21, %al"
	andb	$~2, rt_tss + 104 + (0x21 / 8)
	vfault	"in_open", 3, 0, 0x1000, "inb $0x21, %al; int3; 99:"
	orb	$2, rt_tss + 104 + (0x21 / 8)
	ret

/* A monitor as DOS extenders have it: INT 0x21 of V86 code at IOPL 0 faults, the
 * handler pushes a real-mode frame and goes on at the vector. */
monitor:
	movl	$reflect, rt_hook
	movl	$0, exc_count
	movw	$v_handler, 0x21 * 4
	movw	$0, 0x21 * 4 + 2
	v86	v_ints, FL_FIXED
	movl	$0, rt_hook
	check	"monitor.vector", exc_vector, $0x6
	check	"monitor.ax", exc_EAX, $1000
	check	"monitor.faults", exc_count, $2001
	ret

/* EBP = frame.  Emulates INT n and IRETW. */
reflect:
	cmpl	$13, exc_vector
	jne	9f
	testl	$FL_VM, F_EFLAGS(%ebp)
	jz	9f
	movl	F_CS(%ebp), %edx
	shll	$4, %edx
	addl	F_EIP(%ebp), %edx
	movl	F_SS(%ebp), %ecx
	shll	$4, %ecx
	cmpb	$0xcd, (%edx)
	jne	1f
	movzbl	1(%edx), %eax
	movl	F_EIP(%ebp), %ebx
	addl	$2, %ebx
	subl	$6, F_ESP(%ebp)
	addl	F_ESP(%ebp), %ecx
	movw	%bx, (%ecx)
	movl	F_CS(%ebp), %ebx
	movw	%bx, 2(%ecx)
	movl	F_EFLAGS(%ebp), %ebx
	movw	%bx, 4(%ecx)
	movzwl	(, %eax, 4), %ebx
	movl	%ebx, F_EIP(%ebp)
	movzwl	2(, %eax, 4), %ebx
	movl	%ebx, F_CS(%ebp)
	movl	$1, %eax
	ret
1:	cmpb	$0xcf, (%edx)
	jne	9f
	addl	F_ESP(%ebp), %ecx
	movzwl	(%ecx), %eax
	movl	%eax, F_EIP(%ebp)
	movzwl	2(%ecx), %eax
	movl	%eax, F_CS(%ebp)
	movzwl	4(%ecx), %eax
	andl	$0x0cd5, %eax
	orl	$(FL_VM|FL_FIXED), %eax
	movl	%eax, F_EFLAGS(%ebp)
	addl	$6, F_ESP(%ebp)
	movl	$1, %eax
	ret
9:	xorl	%eax, %eax
	ret

/* With paging: a page fault of V86 code, at CPL 3. */
paged:
	call	rt_paging_2level
	set_pte	FREE+0x3000, 0
	v86	v_fault, FL_FIXED
	check	"pf.vector", exc_vector, $14
	check	"pf.error", exc_ERROR, $6
	check	"pf.cr2", exc_cr2, $FREE+0x3010
	check	"pf.eip", exc_EIP, $v_fault_at
	set_pte	FREE+0x3000, FREE+0x3003	/* supervisor */
	v86	v_fault, FL_FIXED
	check	"pf_super.error", exc_ERROR, $7
	set_pte	FREE+0x3000, FREE+0x3007
	v86	v_fault, FL_FIXED
	check	"pf_none", exc_vector, $13
	/* Memory is remapped under it. */
	set_pte	FREE+0x3000, FREE+0x4007
	check	"pf_old", FREE+0x3010, $0
	v86	v_fault, FL_FIXED
	set_pte	FREE+0x3000, FREE+0x3007
	movzwl	FREE+0x4010, %eax
	check	"pf_remapped", %eax, $0x1234
	call	rt_paging_off
	ret

	.section .text16, "ax"
	.code16
v_int:	movw	%es, %ax
	movzwl	%ax, %eax
	movw	%ds, %bx
	movzwl	%bx, %ebx
	movw	%fs, %cx
	movzwl	%cx, %ecx
	movw	%gs, %dx
	movzwl	%dx, %edx
	int	$0x40
v_int_end:

v_segs:	movl	0x50, %eax
	movw	$(V86_SEG - 0x10), %bx
	movw	%bx, %es
	movl	%es:0x150, %ebx
	movw	%cs, %cx
	lcallw	$0, $v_far
	movzwl	%cx, %ecx
	pushw	$0x5678
	pushl	$0x12345678
	movw	%sp, %dx
	movzwl	%dx, %edx
	popw	%si
	movzwl	%si, %esi
	int	$0x40
v_far:	movw	$0x77, %cx
	lretw

v_ints:	xorl	%eax, %eax
	movl	$1000, %ecx
1:	int	$0x21
	loopl	1b
	ud2
v_handler:
	incl	%eax
	iretw

v_fault:
	movw	$0x1234, %ax
v_fault_at:
	movw	%ax, 0x3010
	hlt
