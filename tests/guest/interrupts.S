/*
 * External interrupts: the 8259 pair and the 8254, HLT, the shadows of STI and MOV
 * SS, POPF and IRET that open the door, an NMI from the local APIC to itself.
 * Sources: SDM vol. 3, 6.8; Intel 8259A and 8254 data sheets.
 */
#include "guest.inc"

	.equ	IRQ0, 0x20
	.equ	APIC, 0xfee00000
	.equ	RATE, 11932		/* 8254 counts: 10 ms */

	.globl	guest_main
guest_main:
	call	pic_init
	gate	IRQ0, tick
	gate	IRQ0+7, spurious
	call	halted
	call	shadow
	call	doors
	call	masked
	call	busy
	call	user_mode
	call	nmi
	call	off
	ret

/* ICW1-4: edge, cascade, vectors from 0x20; only IRQ 0 open. */
pic_init:
	movl	$1, %eax
	cpuid
	testl	$(1 << 9), %edx
	jz	1f
	movl	$0x1ff, APIC + 0xf0	/* virtual wire: LINT0 brings ExtINT */
	movl	$0x700, APIC + 0x350
1:
	movb	$0x11, %al
	outb	%al, $0x20
	outb	%al, $0xa0
	movb	$IRQ0, %al
	outb	%al, $0x21
	movb	$IRQ0+8, %al
	outb	%al, $0xa1
	movb	$4, %al
	outb	%al, $0x21
	movb	$2, %al
	outb	%al, $0xa1
	movb	$1, %al
	outb	%al, $0x21
	outb	%al, $0xa1
	movb	$0xfe, %al
	outb	%al, $0x21
	movb	$0xff, %al
	outb	%al, $0xa1
	ret

off:	movb	$0xff, %al
	outb	%al, $0x21
	ret

/* Counter 0, EAX counts: mode 0 (once) or 2 (periodic, in BL). */
pit:	pushl	%eax
	movb	$0x30, %al
	orb	%bl, %al
	outb	%al, $0x43
	popl	%eax
	outb	%al, $0x40
	movb	%ah, %al
	outb	%al, $0x40
	ret
once:	movl	$RATE, %eax
	movb	$0, %bl
	jmp	pit

tick:	pushl	%eax
	incl	%ss:ticks
	movl	4(%esp), %eax
	movl	%eax, %ss:tick_eip
	movl	12(%esp), %eax
	movl	%eax, %ss:tick_flags
	movl	8(%esp), %eax
	movl	%eax, %ss:tick_cs
	movb	$0x20, %al
	outb	%al, $0x20
	popl	%eax
	iretl
spurious:
	incl	n_spurious
	iretl

/* STI; HLT: woken by the tick, EIP behind HLT, IF set in what was saved. */
halted:
	movl	$0, ticks
	call	once
	sti
	hlt
97:	cli
	check	"hlt.ticks", ticks, $1
	check	"hlt.eip", tick_eip, $97b
	movl	tick_flags, %eax
	andl	$FL_IF, %eax
	check	"hlt.if", %eax, $FL_IF
	/* Ten of a periodic one. */
	movl	$0, ticks
	movl	$RATE, %eax
	movb	$4, %bl
	call	pit
	movl	$10, %esi
1:	sti
	hlt
	cli
	decl	%esi
	jnz	1b
	cmpl	$10, ticks
	setae	%al
	movzbl	%al, %eax
	check	"hlt.periodic", %eax, $1
	call	quiet_pit
	ret

/* Mode 0 that never ends in time, and whatever is pending taken. */
quiet_pit:
	movl	$0, %eax
	movb	$0, %bl
	call	pit
	sti
	nop
	nop
	cli
	ret

/* Wait until the 8259 has IRQ 0 requested (IRR), without taking it. */
wait_irr:
	movb	$0x0a, %al
	outb	%al, $0x20
1:	inb	$0x20, %al
	testb	$1, %al
	jz	1b
	ret

	.macro	pending
	call	once
	call	wait_irr
	movl	$0, ticks
	.endm

/* Not between STI and the next instruction; then at once. */
shadow:
	pending
	xorl	%ecx, %ecx
	sti
	incl	%ecx
97:	cli
	check	"sti.ticks", ticks, $1
	check	"sti.eip", tick_eip, $97b
	/* STI; CLI: no window at all. */
	pending
	sti
	cli
	check	"sti_cli", ticks, $0
	sti
	nop
97:	cli
	check	"sti_cli.later", ticks, $1
	/* MOV SS and POP SS shadow the next instruction. */
	pending
	movl	%ss, %edx
	pushl	$FL_FIXED|FL_IF
	pushl	%edx
	popl	%ss
	popfl
97:	nop
	cli
	check	"pop_ss.ticks", ticks, $1
	check	"pop_ss.eip", tick_eip, $97b
	/* A second STI does not extend the first one's shadow. */
	pending
	sti
	sti
97:	nop
	cli
	check	"sti_sti.eip", tick_eip, $97b
	ret

/* What else sets IF: POPF and IRET have no shadow. */
doors:
	pending
	pushl	$FL_FIXED|FL_IF
	popfl
97:	nop
	cli
	check	"popf.ticks", ticks, $1
	check	"popf.eip", tick_eip, $97b
	pending
	pushl	$FL_FIXED|FL_IF
	pushl	%cs
	pushl	$97f
	iretl
97:	nop
	cli
	check	"iret.ticks", ticks, $1
	check	"iret.eip", tick_eip, $97b
	ret

/* IF clear, or masked in the 8259: nothing comes; HLT would sleep. */
masked:
	pending
	movl	$1000, %ecx
1:	nop
	loop	1b
	check	"if0", ticks, $0
	movb	$0xff, %al
	outb	%al, $0x21
	sti
	movl	$1000, %ecx
1:	nop
	loop	1b
	cli
	check	"imr", ticks, $0
	movb	$0xfe, %al
	outb	%al, $0x21
	sti
	nop
	cli
	check	"unmasked", ticks, $1
	check	"spurious", n_spurious, $0
	ret

/* Loops of every kind are interrupted. */
busy:
	movl	$0, ticks
	call	once
	sti
1:	cmpl	$0, ticks
	je	1b
	cli
	check	"busy.load", ticks, $1
	movl	$0, ticks
	call	once
	sti
	xorl	%ecx, %ecx
1:	incl	%ecx
	movl	ticks, %eax
	testl	%eax, %eax
	jz	1b
	cli
	/* Only a jump to itself: the handler breaks it. */
	gate	IRQ0, break_out
	call	once
	movl	$2f, break_to
	sti
1:	jmp	1b
2:	cli
	print	"left the empty loop"
	/* An indirect jump to itself, and a call chain. */
	call	once
	movl	$2f, break_to
	movl	$1f, %ebx
	sti
1:	jmp	*%ebx
2:	cli
	print	"left the indirect loop"
	call	once
	movl	$2f, break_to
	movl	%esp, %ebp
	sti
1:	call	3f
	jmp	1b
3:	ret
2:	cli
	movl	%ebp, %esp
	print	"left the calls"
	/* A REP with a huge count is interruptible and restartable. */
	gate	IRQ0, tick
	movl	$0, ticks
	call	once
	sti
1:	movl	$HIGH, %esi
	movl	%esi, %edi
	movl	$0x100000, %ecx
97:	rep movsl
	cmpl	$0, ticks
	je	1b
	cli
	check	"rep.ecx", %ecx, $0
	check	"rep.edi", %edi, $HIGH+0x400000
	ret

break_out:
	pushl	%eax
	movl	break_to, %eax
	movl	%eax, 4(%esp)
	andl	$~FL_IF, 12(%esp)
	movb	$0x20, %al
	outb	%al, $0x20
	popl	%eax
	iretl

/* At CPL 3: through the TSS's stack; the program cannot hold interrupts off. */
user_mode:
	movl	$0, ticks
	call	once
	user	FL_FIXED|FL_IF
1:	cmpl	$0, ticks
	je	1b
	user_end
	check	"user.ticks", ticks, $1
	check	"user.cs", tick_cs, $USER_CS
	check	"user.vector", exc_vector, $0x40
	ret

/* The local APIC sends itself an NMI: taken with IF clear, masked until IRET. */
nmi:
	movl	$1, %eax
	cpuid
	testl	$(1 << 9), %edx
	jz	9f
	gate	2, nmi_handler
	movl	$0x1ff, APIC + 0xf0
	movl	$0, nmis
	movl	APIC + 0x20, %eax
	andl	$0xff000000, %eax
	movl	%eax, APIC + 0x310
	movl	$0x400, APIC + 0x300	/* NMI, to our own id */
	movl	$100000, %ecx
1:	cmpl	$2, nmis
	loopne	1b
	check	"nmi.count", nmis, $2
	/* The second, sent from the handler, waited for its IRET. */
	check	"nmi.nested", nmi_depth_max, $1
9:	ret

nmi_handler:
	pushl	%eax
	incl	nmis
	incl	nmi_depth
	movl	nmi_depth, %eax
	cmpl	nmi_depth_max, %eax
	jbe	1f
	movl	%eax, nmi_depth_max
1:	cmpl	$1, nmis
	jne	2f
	movl	$0x400, APIC + 0x300
	movl	APIC + 0x300, %eax
	nop
2:	decl	nmi_depth
	popl	%eax
	iretl

	.bss
	.balign	4
	.irp	v, ticks, tick_eip, tick_flags, tick_cs, n_spurious, break_to, nmis, nmi_depth, nmi_depth_max
\v:	.skip	4
	.endr
