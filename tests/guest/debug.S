/*
 * Single steps (TF) and the debug registers: what #DB reports and where it points.
 * SDM vol. 3, chapter 17.
 */
#include "guest.inc"

	.equ	DATA, FREE + 0x100
	.equ	STEP, 0x4000		/* DR6 bits */
	.equ	BD, 0x2000

	.macro	set_dr n, value
	movl	$\value, %eax
	movl	%eax, %dr\n
	.endm
	/* DR6: the bits that say why. */
	.macro	check_dr6 name, want
	movl	%dr6, %eax
	andl	$0xe00f, %eax
	check	"\name\().dr6", %eax, $\want
	xorl	%eax, %eax
	movl	%eax, %dr6
	.endm
	/* Arm DR0 with DR7 value; then what follows. */
	.macro	arm addr, dr7
	xorl	%eax, %eax
	movl	%eax, %dr6
	set_dr	0, \addr
	set_dr	7, \dr7
	.endm
	.macro	disarm
	xorl	%eax, %eax
	movl	%eax, %dr7
	.endm

	.globl	guest_main
guest_main:
	call	single
	call	steps
	call	step_odd
	call	execute
	call	data
	call	strings
	call	io
	call	access
	call	user_steps
	call	paged
	ret

/* TF set by POPF acts after the instruction behind it. */
single:
	xorl	%eax, %eax
	movl	%eax, %dr6
	xorl	%ebx, %ebx
	try
	pushl	$FL_FIXED|FL_TF
	popfl
	incl	%ebx
97:	incl	%ebx
	caught
	check_exc "tf", 1, 0, 97b
	check	"tf.ebx", %ebx, $1
	movl	exc_EFLAGS, %eax
	andl	$(FL_TF|FL_RF), %eax
	check	"tf.flags", %eax, $FL_TF
	check_dr6 "tf", STEP
	ret

	/* The hook counts steps and sums the distance of their EIPs from a label. */
count_hook:
	cmpl	$1, exc_vector
	jne	9f
	incl	n_steps
	movl	F_EIP(%ebp), %eax
	subl	step_base, %eax
	roll	$3, step_sum
	addl	%eax, step_sum
	orl	$FL_RF, F_EFLAGS(%ebp)
	movl	$1, %eax
	ret
9:	xorl	%eax, %eax
	ret

	.macro	count label
	movl	$0, n_steps
	movl	$0, step_sum
	movl	$\label, step_base
	movl	$count_hook, rt_hook
	.endm
	.macro	counted name, steps, sum
	movl	$0, rt_hook
	check	"\name\().steps", n_steps, $\steps
	check	"\name\().sum", step_sum, $\sum
	.endm

/* Over jumps, calls, loops, a string, PUSHF. */
steps:
	count	1f
	movl	$5, %ecx
	pushl	$FL_FIXED|FL_TF
	popfl
1:	nop
2:	loop	2b
	call	3f
	jmp	4f
3:	ret
4:	pushfl
	popl	%edx
	pushl	$FL_FIXED
	popfl
	counted "steps", 13, 0x498ccbda
	andl	$FL_TF, %edx
	check	"steps.pushf", %edx, $FL_TF
	/* A string instruction is stepped after each iteration. */
	count	1f
	movl	$DATA, %edi
	movl	$4, %ecx
	movl	$0x77, %eax
	pushl	$FL_FIXED|FL_TF
	popfl
1:	rep stosb
	pushl	$FL_FIXED
	popfl
	counted "rep", 6, 0xa5
	check	"rep.data", DATA, $0x77777777
	ret

step_odd:
	/* INT clears TF in the handler; IRET brings it back, the step is after. */
	gate	0x49, handler
	count	1f
	pushl	$FL_FIXED|FL_TF
	popfl
1:	int	$0x49
	nop
	pushl	$FL_FIXED
	popfl
	counted "int", 3, 0xee
	/* MOV SS and POP SS hold #DB back until after the next instruction. */
	count	1f
	movl	%ss, %edx
	pushl	$FL_FIXED|FL_TF
	popfl
1:	movl	%edx, %ss
	nop
	nop
	pushl	$FL_FIXED
	popfl
	counted "mov_ss", 4, 0x737
	/* A fault comes instead of the step. */
	count	1f
	try
	pushl	$FL_FIXED|FL_TF
	popfl
1:	ud2
	caught
	counted "ud", 0, 0
	check	"ud.vector", exc_vector, $6
	ret
handler:
	incl	%edx
	iretl

/* Instruction breakpoints: before it, with RF to get past. */
execute:
	arm	1f, 0x402		/* G0, execute, length 1 */
	xorl	%ebx, %ebx
	try
	incl	%ebx
1:	incl	%ebx
	caught
	movl	exc_EFLAGS, %ecx
	disarm
	check_exc "exec", 1, 0, 1b
	check	"exec.ebx", %ebx, $1
	andl	$FL_RF, %ecx
	check	"exec.rf", %ecx, $0	/* alone among faults */
	check_dr6 "exec", 1
	/* IRET with RF set: once past it. */
	arm	1f, 0x402
	movl	$count_hook, rt_hook
	movl	$0, n_steps
	movl	$3, %ecx
2:	nop
1:	nop
	loop	2b
	disarm
	movl	$0, rt_hook
	check	"exec.hits", n_steps, $3
	check_dr6 "exec_loop", 1
	/* Not enabled: DR6 may say so, but nothing happens. */
	arm	1f, 0x400
	quiet	"exec_off", "1: nop"
	/* In the middle of an instruction: no. */
	arm	1f+1, 0x402
	try
1:	movl	$0, %eax
	caught
	disarm
	check	"exec_inside", exc_vector, $-1
	ret

/* Data breakpoints: behind the instruction. */
data:
	arm	DATA, 0xd0402		/* G0, write, 4 bytes */
	try
	movl	$1, DATA+2
97:	nop
	caught
	disarm
	check_exc "write", 1, 0, 97b
	check_dr6 "write", 1
	movzwl	DATA+2, %eax
	check	"write.done", %eax, $1
	arm	DATA, 0xd0402
	quiet	"write_read", "movl DATA, %eax"
	quiet	"write_beside", "movl %eax, DATA+4; movb %al, DATA-1"
	disarm
	arm	DATA, 0x70402		/* G0, read or write, 2 bytes */
	try
	movb	DATA+1, %bl
97:	nop
	caught
	disarm
	check_exc "rw", 1, 0, 97b
	check_dr6 "rw", 1
	arm	DATA, 0x70402
	quiet	"rw_beside", "movb DATA+2, %bl"
	try
	pushl	DATA
97:	nop
	caught
	disarm
	check_exc "rw_push", 1, 0, 97b
	/* Two at once, and with a step. */
	arm	DATA, 0xdd040a		/* G0 and G1 */
	set_dr	1, DATA+4
	xorl	%eax, %eax
	movl	%eax, %dr6
	try
	pushl	$FL_FIXED|FL_TF
	popfl
	movl	$7, DATA+2
97:	nop
	caught
	disarm
	check_exc "two", 1, 0, 97b
	check_dr6 "two", STEP|3
	set_dr	1, 0
	/* Read-modify-write, with a lock. */
	arm	DATA, 0xd0402
	try
	lock incl DATA
97:	nop
	caught
	disarm
	check_exc "lock", 1, 0, 97b
	ret

strings:
	/* Fast strings may report it later than at the iteration. */
	arm	DATA+8, 0x10402		/* write, 1 byte */
	movl	$DATA, %edi
	movl	$16, %ecx
	try
	rep stosb
	caught
	disarm
	check	"rep_data.vector", exc_vector, $1
	check_dr6 "rep_data", 1
	ret

/* I/O breakpoints need CR4.DE. */
io:
	movl	%cr4, %eax
	orl	$8, %eax
	movl	%eax, %cr4
	arm	0x80, 0x20402		/* G0, I/O */
	try
	outb	%al, $0x80
97:	nop
	caught
	disarm
	check_exc "io", 1, 0, 97b
	check_dr6 "io", 1
	arm	0x80, 0x20402
	quiet	"io_beside", "outb %al, $0x81"
	disarm
	fault	"dr4_de", 6, 0, "movl %dr4, %eax"
	movl	%cr4, %eax
	andl	$~8, %eax
	movl	%eax, %cr4
	set_dr	3, 0x1234567
	movl	%dr3, %eax
	check	"dr3", %eax, $0x1234567
	movl	%dr4, %eax		/* DR6 */
	movl	%dr6, %ebx
	check	"dr4", %eax, %ebx
	ret

/* General detect: any access to a debug register. */
access:
	arm	0, 0x2400		/* GD */
	try
	movl	%dr3, %ebx
	caught
	check_exc "gd", 1, 0, 99b
	movl	%dr7, %eax		/* GD was cleared on the way */
	andl	$0x2000, %eax
	check	"gd.cleared", %eax, $0
	check_dr6 "gd", BD
	disarm
	ufault	"u_mov_dr", 13, 0, "movl %dr0, %eax"
	/* ICEBP says nothing in DR6. */
	try
	.byte	0xf1
97:	nop
	caught
	check_exc "icebp", 1, 0, 97b
	check_dr6 "icebp", 0
	ret

/* A debugger's way: a program at CPL 3 stepped from outside. */
user_steps:
	count	3f
	user	FL_FIXED|FL_TF
3:	movl	$20, %ecx
	xorl	%eax, %eax
1:	addl	%ecx, %eax
	pushl	%eax
	popl	%ebx
	loop	1b
	pushfl
	popl	%edx
	user_end
	counted "user", 84, 0xb92e5490
	check	"user.ebx", exc_EBX, $210
	movl	exc_EDX, %eax
	andl	$FL_TF, %eax
	check	"user.pushf", %eax, $FL_TF
	ret

/* Breakpoints are on linear addresses. */
paged:
	call	rt_paging_2level
	set_pte	0x400000, DATA-0x100+7
	arm	0x400100, 0xd0402
	quiet	"paged_alias", "movl %eax, DATA"
	try
	movl	%eax, 0x400100
97:	nop
	caught
	disarm
	check_exc "paged", 1, 0, 97b
	/* A page fault comes first, the breakpoint after it was mended. */
	set_pte	0x400000, 0
	arm	0x400100, 0xd0402
	pfault	"paged_pf", 2, 0x400100, "movl %eax, 0x400100"
	disarm
	check_dr6 "paged_pf", 0
	call	rt_paging_off
	ret

	.bss
	.balign	4
n_steps: .skip	4
step_sum: .skip	4
step_base: .skip 4
