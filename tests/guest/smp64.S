/*
 * Four processors (--cpus 4) in long mode: x86-TSO by litmus tests, LOCK across two pages
 * that are no neighbours in memory or the same, code that another processor changes, A
 * and D set while others write the same entry, shooting down TLBs, page tables that change
 * at their root.  Each with code and data in the lower half of the address space, then
 * in the upper.
 * Sources: SDM vol. 3, 4.8, 4.10.5, 8.1.1, 8.1.2, 8.1.3, 8.2; P. Sewell et al.,
 * "x86-TSO", 2010, for the litmus tests.
 *
 * RBP is what to add to an address: 0, or that of the upper half.  EBX is the processor.
 */
#include "guest.inc"
#include "smp.inc"

	.equ	PML4, 0x140000
	.equ	PDPT, 0x141000
	.equ	PD, 0x142000
	.equ	PD_APIC, 0x143000
	.equ	PT, 0x144000		/* of [4 MiB, 6 MiB) */
	.equ	PDPT_A, 0x145000	/* of what moves about in the PML4: leads to FRAME0, ... */
	.equ	PDPT_B, 0x146000	/* ... to FRAME1 */
	.equ	PD_A, 0x147000
	.equ	PD_B, 0x148000
	.equ	PT_A, 0x149000
	.equ	PT_B, 0x14a000
	.equ	TABLES_END, 0x14b000
	.equ	IDT64, 0x150000
	.equ	UPPER, 0xffffff8000000000
	/* Words of 64 bytes each; no symbols, which 64-bit code of a 32-bit file cannot add
	 * to registers. */
	.equ	wrong, 0x160000
	.equ	job64, 0x160040
	.equ	holders, 0x160080
	.equ	go, 0x1600c0
	.equ	answers, 0x160100
	.equ	message, 0x160140
	.equ	how, 0x160180
	.equ	where, 0x1601c0
	.equ	met, 0x160200
	.equ	meeting, 0x160240

	.equ	X, 0x400000		/* litmus tests: a line for each round, 2 pairs */
	.equ	Y, 0x420000
	.equ	R, 0x440000
	.equ	LINES, 256
	.equ	BATCHES, 5
	.equ	FRAME0, 0x3a0000
	.equ	FRAME1, 0x3c0000
	.equ	A, 0x500000		/* FRAME0, FRAME1 */
	.equ	ALIAS, 0x504000		/* the same */
	.equ	TWICE, 0x508000		/* FRAME0, FRAME0 */
	.equ	B, 0x510000
	.equ	CODE, 0x520000		/* with another frame behind it than the next */
	.equ	ADDS, 500
	.equ	SHOOT, IPI+2
	.equ	SHARE_LOG2, 30		/* TSC counts of a test that may end early: 2^n */

	.macro	everywhere64 fn
	movl	$\fn, job64
	everywhere long_low
	.endm
	.macro	everywhere64_high fn
	movl	$\fn, job64
	everywhere long_high
	.endm
	/* Both halves, a check that nothing was wrong behind each. */
	.macro	both name, fn
	movl	$0, wrong
	everywhere64 \fn
	check	"\name", wrong, $0
	movl	$0, wrong
	everywhere64_high \fn
	check	"\name\().high", wrong, $0
	.endm

	.globl	guest_main
guest_main:
	call	rt_have_long
	testl	%eax, %eax
	jnz	1f
	print	"no long mode"
	ret
1:	call	smp_init
	call	tables
	call	smp_start
	check	"started", %eax, $3
	both	"passing", passing
	both	"buffers.lock", buffers_lock
	both	"buffers.xchg", buffers_xchg
	both	"buffers.mfence", buffers_mfence
	both	"whole", whole
	both	"split", split
	both	"twice", twice
	both	"pairs", pairs
	both	"marks", marks
	both	"patched", patched
	both	"rewritten", rewritten
	movl	$0, how
	both	"shot.invlpg", shoot
	movl	$1, how
	both	"shot.cr3", shoot
	movl	$2, how
	both	"root", root
	ret

#include "smp64.inc"

/* --- litmus tests: processors 0 and 1, 2 and 3 --------------------------------------- */

	/* RSI, RDI: the pair's X and Y; the odd one has them the other way round.  R8: its
	 * results, R9: the other's. */
litmus_begin:
	movl	%ebx, %eax
	shrl	$1, %eax
	shll	$16, %eax
	leaq	X(%rbp, %rax), %rsi
	leaq	Y(%rbp, %rax), %rdi
	movl	%ebx, %eax
	shll	$12, %eax
	leaq	R(%rbp, %rax), %r8
	xorl	$0x1000, %eax
	leaq	R(%rbp, %rax), %r9
	testl	$1, %ebx
	jz	1f
	xchgq	%rsi, %rdi
1:	ret

litmus_clear:
	call	barrier
	xorl	%eax, %eax
	movl	$LINES, %edx
	xorl	%ecx, %ecx
1:	movq	%rax, (%rsi, %rcx)
	addl	$64, %ecx
	decl	%edx
	jnz	1b
	jmp	barrier

/* Message passing, and no store is seen by halves. */
passing:
	call	litmus_begin
	movl	$BATCHES, %r12d
1:	call	litmus_clear
	xorl	%edx, %edx
	movq	$-1, %rax
	testl	$1, %ebx
	jnz	3f
2:	movq	%rax, (%rsi, %rdx)	/* X, then Y */
	movq	%rax, (%rdi, %rdx)
	addl	$64, %edx
	cmpl	$(64 * LINES), %edx
	jne	2b
	jmp	7f
3:	movq	(%rsi, %rdx), %rax	/* Y, then X */
	movq	(%rdi, %rdx), %rcx
	leaq	1(%rax), %r10
	testq	%rax, %rax
	jz	4f
	cmpq	$-1, %rax
	jne	5f
	cmpq	%rax, %rcx
	je	6f
	jmp	5f
4:	testq	%rcx, %rcx
	jz	6f
	cmpq	$-1, %rcx
	je	6f
5:	lock incl wrong(%rbp)
6:	addl	$64, %edx
	cmpl	$(64 * LINES), %edx
	jne	3b
7:	decl	%r12d
	jnz	1b
	ret

	/* Store buffers: both store, then, behind a fence, load what the other stored:
	 * not both may find 0. */
	.macro	buffers fence
	call	litmus_begin
	movl	$BATCHES, %r12d
1:	call	litmus_clear
	xorl	%edx, %edx
2:	movq	$1, %rax
	\fence
	movq	(%rdi, %rdx), %rcx
	movb	%cl, (%r8)
	incq	%r8
	addl	$64, %edx
	cmpl	$(64 * LINES), %edx
	jne	2b
	subq	$LINES, %r8
	call	barrier
	testl	$1, %ebx
	jnz	5f
	xorl	%edx, %edx
3:	movb	(%r8, %rdx), %al
	orb	(%r9, %rdx), %al
	jnz	4f
	lock incl wrong(%rbp)
4:	incl	%edx
	cmpl	$LINES, %edx
	jne	3b
5:	decl	%r12d
	jnz	1b
	ret
	.endm

buffers_lock:
	buffers	"movq %rax, (%rsi, %rdx); lock addl $0, -8(%rsp)"
buffers_xchg:
	buffers	"xchgq %rax, (%rsi, %rdx)"
buffers_mfence:
	buffers	"movq %rax, (%rsi, %rdx); mfence"

/* --- LOCK ------------------------------------------------------------------------------ */

/* Inside a page: all operations on one quadword, and on two. */
whole:	movq	$0, A(%rbp)
	movq	$0, A + 16(%rbp)
	movq	$0, A + 24(%rbp)
	call	barrier
	movl	$ADDS, %r12d
	movq	%rbx, %r13
1:	lock incq A(%rbp)
	movl	$2, %eax
	lock xaddq %rax, ALIAS(%rbp)
	lock addq $1, A(%rbp)
	movq	ALIAS(%rbp), %rax
2:	leaq	1(%rax), %rdx
	lock cmpxchgq %rdx, A(%rbp)
	jne	2b
	movq	A + 16(%rbp), %rax
	movq	A + 24(%rbp), %rdx
3:	leaq	1(%rax), %rbx
	leaq	-1(%rdx), %rcx
	lock cmpxchg16b ALIAS + 16(%rbp)
	jne	3b
	decl	%r12d
	jnz	1b
	movl	%r13d, %ebx
	call	barrier
	cmpq	$(CPUS * ADDS * 5), A(%rbp)
	jne	8f
	cmpq	$(CPUS * ADDS), A + 16(%rbp)
	jne	8f
	cmpq	$-(CPUS * ADDS), A + 24(%rbp)
	je	9f
8:	lock incl wrong(%rbp)
9:	jmp	barrier

/* Across the ends of pages that are far apart; half of the processors by other addresses. */
split:	xorl	%eax, %eax
	movq	%rax, A + 0xff8(%rbp)
	movq	%rax, A + 0x1000(%rbp)
	call	barrier
	movl	$ADDS, %r12d
	movl	%ebx, %eax
	andl	$1, %eax
	shll	$14, %eax
	leaq	A + 0xffd(%rbp, %rax), %rsi
1:	lock incq (%rsi)
	movl	$0x10000, %eax
	lock xaddq %rax, (%rsi)
	movq	(%rsi), %rax
2:	movabsq	$0x100000000, %rdx
	addq	%rax, %rdx
	lock cmpxchgq %rdx, (%rsi)
	jne	2b
	decl	%r12d
	jnz	1b
	call	barrier
	movq	(%rsi), %rax
	movabsq	$(CPUS * ADDS * 0x100010001), %rdx
	cmpq	%rdx, %rax
	je	3f
	lock incl wrong(%rbp)
3:	jmp	barrier

/* A page that is its own neighbour. */
twice:	xorl	%eax, %eax
	movq	%rax, TWICE(%rbp)
	movq	%rax, TWICE + 0xff8(%rbp)
	call	barrier
	movl	$ADDS, %r12d
1:	lock incl TWICE + 0xffe(%rbp)
	lock incl A + 8(%rbp)		/* one more in the same frame */
	decl	%r12d
	jnz	1b
	call	barrier
	movl	TWICE + 0xffe(%rbp), %eax
	cmpl	$(CPUS * ADDS), %eax
	je	2f
	lock incl wrong(%rbp)
2:	jmp	barrier

/* A token that XCHG takes across pages is never there twice. */
pairs:	movq	$1, %rax
	movq	%rax, A + 0xffb(%rbp)
	movl	$0, holders(%rbp)
	call	barrier
	movl	$ADDS, %r12d
1:	xorl	%eax, %eax
	xchgq	%rax, A + 0xffb(%rbp)
	testq	%rax, %rax
	jz	3f
	lock incl holders(%rbp)
	cmpl	$1, holders(%rbp)
	je	2f
	lock incl wrong(%rbp)
2:	lock decl holders(%rbp)
	movl	$1, %eax
	xchgq	%rax, ALIAS + 0xffb(%rbp)
3:	decl	%r12d
	jnz	1b
	call	barrier
	cmpq	$1, A + 0xffb(%rbp)
	je	4f
	lock incl wrong(%rbp)
4:	jmp	barrier

/* --- A and D ----------------------------------------------------------------------------- */

/* Processor 0 sets bits that are software's by LOCK while the others' walks set A and D:
 * neither loses the other's. */
marks:	movl	$25, %r12d
1:	call	barrier
	testl	%ebx, %ebx
	jz	2f
	movl	%ebx, %eax
	shll	$12, %eax
	leaq	B(%rbp, %rax), %rsi
	invlpg	(%rsi)
	movq	%r12, (%rsi)
	jmp	3f
2:	.irp	i, 1, 2, 3
	lock orq $0x200, PT + ((B >> 12 & 511) + \i) * 8(%rbp)
	lock btsq $62, PT + ((B >> 12 & 511) + \i) * 8(%rbp)
	lock orq $0x800, PT + ((B >> 12 & 511) + \i) * 8(%rbp)
	.endr
3:	call	barrier
	testl	%ebx, %ebx
	jnz	5f
	.irp	i, 1, 2, 3
	movq	PT + ((B >> 12 & 511) + \i) * 8(%rbp), %rax
	movabsq	$0x4000000000000a60, %rdx
	andq	%rdx, %rax
	cmpq	%rdx, %rax
	je	4f
	lock incl wrong(%rbp)
4:	movq	$((B + \i * 0x1000) + 7), PT + ((B >> 12 & 511) + \i) * 8(%rbp)
	.endr
5:	decl	%r12d
	jnz	1b
	jmp	barrier

/* --- code ---------------------------------------------------------------------------------- */

/* mov $imm32, %eax; ret: the operand, aligned, changes while others execute it. */
patched:
	movb	$0xb8, CODE + 0x103(%rbp)
	movb	$0xc3, CODE + 0x108(%rbp)
	testl	%ebx, %ebx
	jnz	1f
	movl	$0, CODE + 0x104(%rbp)
	movl	$0, message(%rbp)
1:	call	barrier
	leaq	CODE + 0x103(%rbp), %rsi
	xorl	%r13d, %r13d
	testl	%ebx, %ebx
	jnz	3f
2:	incl	%r13d
	movl	%r13d, CODE + 0x104(%rbp)
	movl	%r13d, message(%rbp)
	.rept	8
	pause
	.endr
	cmpl	$300, %r13d
	jne	2b
	jmp	barrier
3:	movl	message(%rbp), %r12d
	movl	%ebx, %r14d
	xorl	%eax, %eax
	cpuid
	movl	%r14d, %ebx
	call	*%rsi
	cmpl	%r12d, %eax		/* older than the message, or than before? */
	jb	4f
	cmpl	%r13d, %eax
	jae	5f
4:	lock incl wrong(%rbp)
5:	movl	%eax, %r13d
	cmpl	$300, %r12d
	jne	3b
	jmp	barrier

/* All of an instruction across two pages changes, while nobody executes it. */
rewritten:
	movl	$24, %r12d
	leaq	CODE + 0xffd(%rbp), %rsi
1:	testl	%ebx, %ebx
	jnz	2f
	/* mov $imm64, %rax; ret, or some NOPs and mov $imm32, %eax; ret */
	movl	$0x90909090, (%rsi)
	movl	$0x90909090, 4(%rsi)
	movl	$0x90909090, 8(%rsi)
	testl	$1, %r12d
	jz	3f
	movw	$0xb848, (%rsi)
	movq	%r12, 2(%rsi)
	movb	$0xc3, 10(%rsi)
	jmp	2f
3:	movl	%r12d, %ecx
	shrl	$1, %ecx
	andl	$3, %ecx
	movb	$0xb8, (%rsi, %rcx)
	movl	%r12d, 1(%rsi, %rcx)
	movb	$0xc3, 5(%rsi, %rcx)
2:	call	barrier
	movl	%ebx, %r14d
	xorl	%eax, %eax
	cpuid
	movl	%r14d, %ebx
	.rept	3
	call	*%rsi
	cmpq	%r12, %rax
	je	4f
	lock incl wrong(%rbp)
4:
	.endr
	call	barrier
	decl	%r12d
	jnz	1b
	ret

/* --- shoot-downs ------------------------------------------------------------------------------ */

/* Interrupt all others with SHOOT and wait for their answers. */
shoot_others:
	movl	$0, answers(%rbp)
	movl	$APIC, %edi
	movl	$(0xc4000 + SHOOT), 0x300(%rdi)
1:	pause
	cmpl	$3, answers(%rbp)
	jne	1b
	ret

/* Does the frame at RSI stand still?  Each of the others counts in a quadword of it. */
still:	movq	8(%rsi), %rax
	movq	16(%rsi), %rdx
	movq	24(%rsi), %rcx
	.rept	20
	pause
	.endr
	subq	8(%rsi), %rax
	subq	16(%rsi), %rdx
	subq	24(%rsi), %rcx
	orq	%rdx, %rax
	orq	%rcx, %rax
	jz	1f
	incl	wrong(%rbp)
1:	ret

/* R8: now.  CF: that was long ago; clobbers RAX RCX RDX. */
begin:	rdtsc
	shlq	$32, %rdx
	leaq	(%rax, %rdx), %r8
	ret

over:	rdtsc
	shlq	$32, %rdx
	orq	%rdx, %rax
	subq	%r8, %rax
	movl	$(1 << SHARE_LOG2), %ecx
	cmpq	%rax, %rcx
	ret

/* The page moves to another frame; behind the answers nobody writes to the old. */
shoot:	movl	$0, go(%rbp)
	call	barrier
	testl	%ebx, %ebx
	jnz	5f
	call	begin
	movl	$100, %r12d
1:	movl	$(FRAME0 + 7), %eax
	leaq	FRAME1(%rbp), %rsi
	testl	$1, %r12d
	jz	2f
	movl	$(FRAME1 + 7), %eax
	leaq	FRAME0(%rbp), %rsi
2:	movq	%rax, PT + (B >> 12 & 511) * 8(%rbp)
	invlpg	B(%rbp)
	call	shoot_others
	call	still
	call	over
	jc	8f
	decl	%r12d
	jnz	1b
8:	movl	$1, go(%rbp)
	jmp	6f
5:	incq	B(%rbp, %rbx, 8)
	cmpl	$0, go(%rbp)
	je	5b
6:	call	barrier
	testl	%ebx, %ebx
	jnz	7f
	movq	$(B + 7), PT + (B >> 12 & 511) * 8(%rbp)
7:	invlpg	B(%rbp)
	jmp	barrier

/* The PML4 leads to other tables, by another entry each time.  The handler hands out the
 * new address, in R13, so that none is used that was taken away. */
root:	movl	$0, go(%rbp)
	movl	$(PDPT_A + 7), PML4 + 3 * 8(%rbp)
	movl	$(PDPT_A + 7), PML4 + (256 + 3) * 8(%rbp)
	movq	%cr3, %rax
	movq	%rax, %cr3
	movl	$3, %ecx
	call	root_address
	movq	%rax, %r13
	call	barrier
	testl	%ebx, %ebx
	jnz	5f
	call	begin
	movl	$60, %r12d
	movl	$3, %r14d		/* the entry in use */
1:	movl	%r14d, %r15d
	leal	7(%r14), %r14d
	andl	$127, %r14d
	orl	$1, %r14d
	movl	$(PDPT_A + 7), %eax
	leaq	FRAME1(%rbp), %rsi
	testl	$1, %r12d
	jz	2f
	movl	$(PDPT_B + 7), %eax
	leaq	FRAME0(%rbp), %rsi
2:	movq	%rax, PML4(%rbp, %r14, 8)
	movq	%rax, PML4 + 256 * 8(%rbp, %r14, 8)
	movl	%r14d, %ecx
	call	root_address
	movq	%rax, where(%rbp)
	movq	%cr3, %rax
	movq	%rax, %cr3
	call	shoot_others
	call	still
	movq	$0, PML4(%rbp, %r15, 8)
	movq	$0, PML4 + 256 * 8(%rbp, %r15, 8)
	call	over
	jc	8f
	decl	%r12d
	jnz	1b
8:	movl	$1, go(%rbp)
	jmp	6f
5:	incq	(%r13, %rbx, 8)
	cmpl	$0, go(%rbp)
	je	5b
6:	call	barrier
	testl	%ebx, %ebx
	jnz	7f
	movq	$0, PML4(%rbp, %r14, 8)
	movq	$0, PML4 + 256 * 8(%rbp, %r14, 8)
7:	movq	%cr3, %rax
	movq	%rax, %cr3
	jmp	barrier

/* RAX: 1 MiB behind what entry ECX of this half of the PML4 leads to, where windows map. */
root_address:
	movl	%ecx, %eax
	shlq	$39, %rax
	orq	$0x100000, %rax
	testq	%rbp, %rbp
	jz	1f
	movabsq	$0xffff800000000000, %rcx
	orq	%rcx, %rax
1:	ret

on_shoot:
	pushq	%rax
	cmpl	$0, how
	jne	1f
	invlpg	B
	movabsq	$(UPPER + B), %rax
	invlpg	(%rax)
	jmp	2f
1:	movq	%cr3, %rax
	movq	%rax, %cr3
	cmpl	$2, how
	jne	2f
	movq	where, %r13
2:	movl	$APIC, %eax
	movl	$0, 0xb0(%rax)
	lock incl answers
	popq	%rax
	iretq

	.data
	.balign	8
	.word	0
idtr64:	.word	(SHOOT + 1) * 16 - 1
	.long	IDT64
