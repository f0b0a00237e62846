/*
 * Four processors (--cpus 4): INIT and SIPI, each kind of IPI, the local timers, TSCs,
 * locked accesses, x86-TSO by litmus tests, code that another processor changes,
 * x2APIC mode.  Flat and without paging; integers only.
 * Sources: SDM vol. 3, 8.1 to 8.4, 9.1, chapter 10; P. Sewell et al., "x86-TSO", 2010,
 * for the litmus tests.
 */
#include "guest.inc"
#include "smp.inc"

	.equ	X, 0x200000		/* litmus tests: a line for each round */
	.equ	Y, 0x220000
	.equ	R0, 0x240000
	.equ	R1, 0x241000
	.equ	R2, 0x242000
	.equ	R3, 0x243000
	.equ	CELLS, 0x300000
	.equ	CODE, 0x310000
	.equ	ROUNDS, 512		/* of a batch */
	.equ	SHARE_LOG2, 26		/* TSC counts of a litmus test: 2^n */
	.equ	ADDS, 2000

	.globl	guest_main
guest_main:
	call	smp_init
	call	smp_start
	check	"started", %eax, $3
	call	identity
	call	ipis
	call	logical
	call	again
	call	halted
	call	timers
	call	tsc
	call	locked
	call	litmus
	call	patched
	call	x2apic
	ret

/* --- who they are ------------------------------------------------------------- */

/* CPUID of each: ids, and how many there are. */
identity:
	movl	$0, mask
	movl	$0, wrong
	everywhere ident
	check	"ids", mask, $0xf
	check	"leaves", wrong, $0
	ret

ident:	pushl	%ebx
	movl	%ebx, %edi
	movl	%edi, %ecx
	movl	$1, %eax
	shll	%cl, %eax
	lock orl %eax, mask
	movl	APIC + 0x20, %eax
	shrl	$24, %eax
	cmpl	%edi, %eax
	jne	8f
	movl	$1, %eax
	cpuid
	shrl	$16, %ebx
	cmpb	$CPUS, %bl
	jne	8f
	testl	$(1 << 28), %edx
	jz	8f
	movl	$0xb, %eax
	movl	$1, %ecx
	cpuid
	cmpl	%edi, %edx
	jne	8f
	cmpl	$CPUS, %ebx
	jne	8f
	cmpl	$2, %eax
	jne	8f
	/* One of them is the boot processor. */
	movl	$0x1b, %ecx
	rdmsr
	testl	%edi, %edi
	sete	%cl
	shrl	$8, %eax
	andb	$1, %al
	cmpb	%cl, %al
	je	9f
8:	lock incl wrong
9:	popl	%ebx
	ret

/* --- interrupts ------------------------------------------------------------------ */

ipis:
	ipi	0x4000+IPI, 1
	check_got "physical.1", 0x0010
	ipi	0x4000+IPI, 3
	check_got "physical.3", 0x1000
	ipi	0x4000+IPI, 0xff
	check_got "physical.all", 0x1111
	ipi	0x44000+IPI
	check_got "self", 0x0001
	ipi	0x84000+IPI
	check_got "all", 0x1111
	ipi	0xc4000+IPI
	check_got "others", 0x1110
#ifndef SMP_EMULATED
	ipi	0x4400, 2
	check_got "nmi.2", 0x0100
	ipi	0xc4400
	check_got "nmi.others", 0x1110
#endif
	ipi	0x4000+IPI, 7
	check_got "nobody", 0
	/* One processor to another. */
	everywhere to_next
	check_got "next", 0x1111
	/* Masked by TPR, then not; a vector each. */
	movl	$0x70, APIC + 0x80
	ipi	0x44000+IPI
	ipi	0x44000+IPI+1
	check_got "tpr", 0
	movl	$0, APIC + 0x80
	check_got "tpr.later", 2
	ret

to_next:
	leal	1(%ebx), %edx
	andl	$(CPUS - 1), %edx
	movl	$(0x4000+IPI), %eax
	jmp	smp_ipi

/* Logical destinations: flat, cluster, lowest priority. */
logical:
	everywhere flat
	ipi	0x4800+IPI, 0x0a
	check_got "flat", 0x1010
	ipi	0x4800+IPI, 0xff
	check_got "flat.all", 0x1111
	ipi	0x4800+IPI, 0x40
	check_got "flat.nobody", 0
	/* The one with the lowest task priority, then any one. */
	everywhere busy_others
	ipi	0x4900+IPI, 0x0f
	check_got "lowest", 0x0100
	everywhere busy_none
	movl	$40, %edi
1:	ipi	0x4900+IPI, 0x0f
	decl	%edi
	jnz	1b
	movl	$(1 << 25), %ecx
2:	pause
	movl	got, %eax
	addl	got + 4, %eax
	addl	got + 8, %eax
	addl	got + 12, %eax
	testl	%eax, %eax
	loopz	2b
	/* Equal vectors may merge while one is pending: at least one came. */
	cmpl	$40, %eax
	setbe	%al
	movzbl	%al, %eax
	check	"lowest.any", %eax, $1
	everywhere busy_none		/* what is on its way arrives before that ends */
	everywhere busy_none
	call	smp_forget
	everywhere cluster
	ipi	0x4800+IPI, 0x13
	check_got "cluster.1", 0x0011
	ipi	0x4800+IPI, 0x22
	check_got "cluster.2", 0x1000
	ipi	0x4800+IPI, 0x31
	check_got "cluster.none", 0
	ret

flat:	movl	%ebx, %ecx
	movl	$0x1000000, %eax
	shll	%cl, %eax
	movl	$0xffffffff, APIC + 0xe0
	movl	%eax, APIC + 0xd0
	ret

/* Processors 0 and 1 are members 0 and 1 of cluster 1, the others of cluster 2. */
cluster:
	movl	%ebx, %ecx
	andl	$1, %ecx
	movl	$0x1000000, %eax
	shll	%cl, %eax
	movl	%ebx, %ecx
	shrl	$1, %ecx
	incl	%ecx
	shll	$28, %ecx
	orl	%ecx, %eax
	movl	$0x0fffffff, APIC + 0xe0
	movl	%eax, APIC + 0xd0
	ret

busy_others:
	cmpl	$2, %ebx
	je	busy_none
	movl	$0x20, APIC + 0x80
	ret
busy_none:
	movl	$0, APIC + 0x80
	ret

/* INIT stops, SIPI starts them anew; what runs is not started. */
again:
	ipi	0xc4610
	movl	$3000, %ecx
1:	pause
	loop	1b
	check	"sipi.running", ready, $3
	call	smp_start
	check	"again", %eax, $3
	/* Their local APICs were reset: DFR and LDR. */
	movl	$0, wrong
	everywhere fresh
	check	"fresh", wrong, $0
	ret

fresh:	testl	%ebx, %ebx
	jz	1f
	cmpl	$0, APIC + 0xd0
	jne	2f
	cmpl	$0xffffffff, APIC + 0xe0
	je	1f
2:	lock incl wrong
1:	ret

/* Halted ones are woken, by interrupts only when they are open. */
halted:
	movl	$0, awake
	everywhere halt_post
	check_got "halted", 0x1110
	movl	$(1 << 20), %ecx
1:	pause
	cmpl	$3, awake
	loopne	1b
	check	"awake", awake, $3
	ret

halt_post:
	testl	%ebx, %ebx
	jz	2f
	lock incl sleepy
	cli
	cmpl	$0, got(, %ebx, 4)
	jne	1f
	sti
	hlt
1:	sti
	lock incl awake
	ret
2:	pause
	cmpl	$3, sleepy
	jne	2b
	movl	$3000, %ecx
3:	pause
	loop	3b
	ipi	0xc4000+IPI
	ret

/* Each one's own timer, periodic, ends its sleep. */
timers:
	gate	IPI+2, on_tick
	everywhere tick
	check	"ticks", (ticks), $4
	check	"ticks.1", (ticks+4), $4
	check	"ticks.2", (ticks+8), $4
	check	"ticks.3", (ticks+12), $4
	ret

tick:	movl	$0xb, APIC + 0x3e0	/* by 1: 1 ns */
	movl	$(0x20000+IPI+2), APIC + 0x320
	movl	$1000000, APIC + 0x380
1:	cli
	cmpl	$4, ticks(, %ebx, 4)
	jae	2f
	sti
	hlt
	jmp	1b
2:	sti
	ret

on_tick:
	pushl	%eax
	pushl	%ebx
	call	smp_id
	cmpl	$4, ticks(, %ebx, 4)
	jae	1f			/* one was pending */
	incl	ticks(, %ebx, 4)
	cmpl	$4, ticks(, %ebx, 4)
	jb	1f
	movl	$0, APIC + 0x380
1:	call	smp_eoi
	popl	%ebx
	popl	%eax
	leave_irq

/* What one has read is never later than what the next reads: a token goes around. */
tsc:	movl	$0, wrong
	movl	$0, turn
	everywhere tsc_ring
	check	"tsc.backwards", wrong, $0
	ret

tsc_ring:
	movl	$50, %edi
1:	pause
	movl	turn, %eax
	andl	$(CPUS - 1), %eax
	cmpl	%ebx, %eax
	jne	1b
	rdtsc
	cmpl	tsc_last + 4, %edx
	jne	2f
	cmpl	tsc_last, %eax
2:	jae	3f
	incl	wrong
3:	movl	%eax, tsc_last
	movl	%edx, tsc_last + 4
	lock incl turn
	decl	%edi
	jnz	1b
	ret

/* --- locked accesses --------------------------------------------------------------- */

/* Aligned, across a cache line, across a page: nothing is lost. */
locked:
	movl	$CELLS, %edi
	movl	$0x1000, %ecx
	xorl	%eax, %eax
	rep stosl
	everywhere add_all
	check	"lock.inc", CELLS, $4*ADDS
	check	"lock.inc.line", CELLS+0x3e, $4*ADDS
#ifndef SMP_EMULATED
	check	"lock.inc.page", CELLS+0xffe, $4*ADDS
#endif
	check	"lock.xadd", CELLS+0x100, $4*ADDS
	check	"lock.cmpxchg", CELLS+0x140, $4*ADDS
	check	"xchg.guarded", CELLS+0x184, $4*ADDS
	check	"bts.guarded", CELLS+0x1c4, $4*ADDS
	check	"lock.cmpxchg8b", CELLS+0x200, $4*ADDS
	check	"lock.cmpxchg8b.hi", CELLS+0x204, $-4*ADDS
	check	"lock.16", CELLS+0x240, $(4*ADDS & 0xffff)
	check	"lock.16.next", CELLS+0x244, $0
	check	"lock.xor", CELLS+0x280, $0
	ret

add_all:
	movl	$ADDS, %edi
1:	lock incl CELLS
	lock incl CELLS+0x3e
#ifndef SMP_EMULATED
	lock addl $1, CELLS+0xffe
#endif
	movl	$1, %eax
	lock xaddl %eax, CELLS+0x100
	movl	CELLS+0x140, %eax
2:	leal	1(%eax), %ecx
	lock cmpxchgl %ecx, CELLS+0x140
	jne	2b
3:	movl	$1, %eax
	xchgl	%eax, CELLS+0x180	/* locks without the prefix */
	testl	%eax, %eax
	jz	4f
	pause
	jmp	3b
4:	incl	CELLS+0x184
	movl	$0, CELLS+0x180
5:	lock btsl $3, CELLS+0x1c0
	jnc	6f
	pause
	jmp	5b
6:	incl	CELLS+0x1c4
	lock btrl $3, CELLS+0x1c0
	pushl	%ebx
	movl	CELLS+0x200, %eax
	movl	CELLS+0x204, %edx
7:	leal	1(%eax), %ebx
	leal	-1(%edx), %ecx
	lock cmpxchg8b CELLS+0x200
	jne	7b
	popl	%ebx
	lock incw CELLS+0x240
	movl	$1, %eax
	movl	%ebx, %ecx
	shll	%cl, %eax
	lock xorl %eax, CELLS+0x280
	lock xorl %eax, CELLS+0x280
	decl	%edi
	jnz	1b
	ret

/* --- litmus tests ------------------------------------------------------------------- */

/*
 * Threads t0 to t3 run ROUNDS rounds, round i on X+ESI and Y+ESI, with results in
 * R0..R3+EDI; then thread 0 counts rounds whose results are, bit n for Rn, bad.
 */
	.macro	litmus_test name, n, bad, t0, t1, t2, t3
	movl	$\n, lit_n
	movl	$\bad, lit_bad
	movl	$91f, lit_fn
	movl	$92f, lit_fn + 4
	movl	$93f, lit_fn + 8
	movl	$94f, lit_fn + 12
	movl	$0, wrong
	everywhere lit_run
	check	"\name", wrong, $0
	jmp	95f
91:	\t0
	ret
92:	\t1
	ret
93:	\t2
	ret
94:	\t3
	ret
95:
	.endm

	.macro	put cell
	movl	$1, \cell(%esi)
	.endm
	.macro	get cell, to
	movl	\cell(%esi), %eax
	movl	%eax, \to(%edi)
	.endm

litmus:
	/* Stores pass later loads, but not MFENCE or a locked instruction. */
#ifndef SMP_EMULATED
	litmus_test "SB+mfence", 2, 0, "put X; mfence; get Y,R0", "put Y; mfence; get X,R1"
#endif
	litmus_test "SB+lock", 2, 0, "put X; lock orl $0,(%esp); get Y,R0", "put Y; lock orl $0,(%esp); get X,R1"
	litmus_test "SB+xchg", 2, 0, "movl $1,%eax; xchgl %eax,X(%esi); get Y,R0", "movl $1,%eax; xchgl %eax,Y(%esi); get X,R1"
	litmus_test "SB+cpuid", 2, 0, "put X; call lit_cpuid; get Y,R0", "put Y; call lit_cpuid; get X,R1"
	/* Stores in order, loads in order, no load after a later store. */
	litmus_test "MP", 2, 1, "put X; put Y", "get Y,R0; get X,R1"
	litmus_test "LB", 2, 3, "get X,R0; put Y", "get Y,R1; put X"
	/* All see stores of others in one order. */
	litmus_test "IRIW", 4, 5, "put X", "put Y", "get X,R0; get Y,R1", "get Y,R2; get X,R3"
	litmus_test "WRC", 3, 5, "put X", "get X,R0; movl R0(%edi),%eax; movl %eax,Y(%esi)", "get Y,R2; get X,R3"
	ret

lit_cpuid:
	pushl	%ebx
	xorl	%eax, %eax
	cpuid
	popl	%ebx
	ret

lit_run:
	cmpl	lit_n, %ebx
	jae	9f
	testl	%ebx, %ebx
	jnz	1f
	rdtsc
	shrdl	$SHARE_LOG2, %edx, %eax
	movl	%eax, lit_share
	movl	$1, lit_go
	call	lit_clear
1:	movl	lit_n, %edx
	call	smp_barrier
	cmpl	$0, lit_go
	je	9f
	xorl	%esi, %esi
	xorl	%edi, %edi
2:	call	*lit_fn(, %ebx, 4)
	addl	$64, %esi
	addl	$4, %edi
	cmpl	$(4 * ROUNDS), %edi
	jb	2b
	movl	lit_n, %edx
	call	smp_barrier
	testl	%ebx, %ebx
	jnz	1b
	call	lit_count
	call	lit_clear
	rdtsc
	shrdl	$SHARE_LOG2, %edx, %eax
	subl	lit_share, %eax
	cmpl	$2, %eax
	jb	1b
	movl	$0, lit_go
	jmp	1b
9:	ret

lit_clear:
	movl	$X, %edi
	movl	$((R3 + 0x1000 - X) / 4), %ecx
	xorl	%eax, %eax
	cld
	rep stosl
	ret

lit_count:
	xorl	%edi, %edi
1:	movl	R3(%edi), %eax
	addl	%eax, %eax
	orl	R2(%edi), %eax
	addl	%eax, %eax
	orl	R1(%edi), %eax
	addl	%eax, %eax
	orl	R0(%edi), %eax
	cmpl	lit_bad, %eax
	jne	2f
	incl	wrong
2:	addl	$4, %edi
	cmpl	$(4 * ROUNDS), %edi
	jb	1b
	ret

/* --- cross-modifying code -------------------------------------------------------------- */

/* SDM vol. 3, 8.1.3: write the code, set a flag; the others see the flag, serialize,
 * and execute the new code. */
patched:
	movb	$0xb8, CODE		/* mov $0, %eax; ret */
	movl	$0, CODE + 1
	movb	$0xc3, CODE + 5
	movl	$0, wrong
	movl	$0, turn
	movl	$0, acks
	everywhere patch_run
	check	"patched", wrong, $0
	/* A byte at a time without any ceremony: the old or the new, in the end the new. */
	movl	$0, turn
	everywhere patch_loop
	check	"patched.loop", wrong, $0
	ret

patch_run:
	movl	$1, %edi
	testl	%ebx, %ebx
	jnz	2f
1:	movl	%edi, CODE + 1
	movl	%edi, turn
3:	pause
	cmpl	$3, acks
	jne	3b
	movl	$0, acks
	incl	%edi
	cmpl	$200, %edi
	jbe	1b
	ret
2:	pause
	cmpl	%edi, turn
	jb	2b
	call	lit_cpuid
	movl	$CODE, %eax
	call	*%eax
	cmpl	%edi, %eax
	je	4f
	lock incl wrong
4:	lock incl acks
	incl	%edi
	cmpl	$200, %edi
	jbe	2b
	ret

patch_loop:
	testl	%ebx, %ebx
	jnz	2f
	movl	$0x500, %ecx
	xorl	%eax, %eax
1:	movb	%al, CODE + 1
	xorb	$0x55, %al
	pause
	loop	1b
	movb	$0x77, CODE + 1
	ret
2:	movl	$CODE, %eax
	call	*%eax
	cmpb	$0x77, %al
	je	9f
	testb	%al, %al
	jz	3f
	cmpb	$0xc8, %al		/* what patch_run left: 200 */
	je	3f
	cmpb	$0x55, %al
	je	3f
	lock incl wrong
3:	pause
	jmp	2b
9:	ret

/* --- x2APIC mode -------------------------------------------------------------------------- */

x2apic:
	movl	$1, %eax
	cpuid
	xorl	%ebx, %ebx
	testl	$(1 << 21), %ecx
	jz	9f
	movl	$0, wrong
	everywhere x2_on
	check	"x2.ids", wrong, $0
	movl	$1, x2
	ipi	0x4000+IPI, 2
	check_got "x2.physical", 0x0100
	ipi	0x4800+IPI, 0x0006
	check_got "x2.logical", 0x0110
	ipi	0x4800+IPI, 0x10006
	check_got "x2.logical.none", 0
	ipi	0x4000+IPI, 0xffffffff
	check_got "x2.all", 0x1111
	ipi	0x4900+IPI, 0x0008
	check_got "x2.lowest", 0x1000
	ipi	0xc4000+IPI
	check_got "x2.others", 0x1110
	ipi	0x4400, 3
	check_got "x2.nmi", 0x1000
	movl	$0x83f, %ecx		/* self IPI */
	movl	$IPI, %eax
	xorl	%edx, %edx
	wrmsr
	check_got "x2.self", 0x0001
	movl	$0x830, %ecx
	rdmsr
	check	"x2.icr", %eax, $0x4400
	check	"x2.icr.hi", %edx, $3
	/* They stay in this mode through INIT. */
	call	smp_start
	check	"x2.again", %eax, $3
	ipi	0xc4000+IPI
	check_got "x2.again.others", 0x1110
9:	ret

x2_on:	movl	$0x1b, %ecx
	rdmsr
	orl	$0x400, %eax
	wrmsr
	movl	$0x802, %ecx
	rdmsr
	cmpl	%ebx, %eax
	jne	8f
	movl	$0x80d, %ecx		/* cluster 0, a bit each */
	rdmsr
	movl	%ebx, %ecx
	shrl	%cl, %eax
	cmpl	$1, %eax
	je	9f
8:	lock incl wrong
9:	ret

	.bss
	.balign	64
	.irp	v, mask, wrong, awake, sleepy, turn, acks, lit_n, lit_bad, lit_go, lit_share
	.balign	64
\v:	.skip	4
	.endr
tsc_last: .skip	8
ticks:	.skip	16
lit_fn:	.skip	16
