/*
 * Four processors (--cpus 4) with paging: LOCK across two pages that are no
 * neighbours in memory, A and D set while others write the same entry, shooting
 * down TLBs by IPIs, data beside code that others execute.
 * Sources: SDM vol. 3, 4.8, 4.10.5, 8.1.2.
 */
#include "guest.inc"
#include "smp.inc"

	.equ	PT, 0x101000		/* rt/paging.S: the table of the first 4 MiB */
	.equ	A, 0x380000		/* A and A + 0x1000 are of frames apart */
	.equ	FRAME0, 0x3a0000
	.equ	FRAME1, 0x3c0000
	.equ	B, 0x390000
	.equ	CODE, 0x3b0000
	.equ	ADDS, 1000
	.equ	SHOOT, IPI+2

	.globl	guest_main
guest_main:
	call	smp_init
	gate	SHOOT, on_shoot
	movl	%cr4, %eax
	orl	$0x10, %eax		/* PSE */
	movl	%eax, %cr4
	call	rt_paging_2level
	set_pde	APIC, (APIC & 0xffc00000) + 0x9b
	call	smp_start
	check	"started", %eax, $3
	everywhere paging_on
	set_pte	A, FRAME0+7
	set_pte	A+0x1000, FRAME1+7
	everywhere flush
	call	split
	call	marks
	call	shoot
	call	beside
	ret

paging_on:
	movl	%cr4, %eax
	orl	$0x10, %eax
	movl	%eax, %cr4
	movl	$(PT - 0x1000), %eax
	movl	%eax, %cr3
	movl	%cr0, %eax
	orl	$0x80010000, %eax
	movl	%eax, %cr0
	ret

flush:	movl	%cr3, %eax
	movl	%eax, %cr3
	ret

/* --- LOCK across pages: some by the whole, some by locked halves ------------------ */

split:	movl	$0, FRAME0 + 0xffc
	movl	$0, FRAME1
	everywhere split_add
	movl	A + 0xffe, %eax
	check	"split.whole", %eax, $4*ADDS
	/* Its halves are in different frames. */
	movzwl	FRAME0 + 0xffe, %eax
	check	"split.low", %eax, $(4*ADDS & 0xffff)
	movzwl	FRAME1, %eax
	check	"split.high", %eax, $0
	/* One writes the upper half by itself, LOCKed too: no carry, no loss. */
	movl	$0, FRAME0 + 0xffc
	movl	$0, FRAME1
	everywhere split_mixed
	movzwl	FRAME0 + 0xffe, %eax
	check	"mixed.low", %eax, $(3*ADDS & 0xffff)
	movzwl	FRAME1, %eax
	check	"mixed.high", %eax, $ADDS
	/* XCHG locks by itself: a token is never doubled. */
	movl	$1, A + 0xffd
	movl	$0, wrong
	everywhere split_token
	check	"xchg.token", wrong, $0
	check	"xchg.left", A+0xffd, $1
	/* CMPXCHG8B. */
	movl	$0, A + 0xffa
	movl	$0, A + 0xffe
	everywhere split_8b
	movl	A + 0xffa, %eax
	check	"8b.low", %eax, $4*ADDS
	movl	A + 0xffe, %eax
	check	"8b.high", %eax, $-4*ADDS
	ret

split_add:
	movl	$ADDS, %edi
1:	lock incl A + 0xffe
	decl	%edi
	jnz	1b
	ret

split_mixed:
	movl	$ADDS, %edi
1:	testl	%ebx, %ebx
	jz	2f
	lock incl A + 0xffe
	jmp	3f
2:	lock incw A + 0x1000
3:	decl	%edi
	jnz	1b
	ret

split_token:
	movl	$ADDS, %edi
1:	xorl	%eax, %eax
	xchgl	%eax, A + 0xffd
	testl	%eax, %eax
	jz	3f
	lock incl holders
	cmpl	$1, holders
	je	2f
	lock incl wrong
2:	lock decl holders
	movl	$1, %eax
	xchgl	%eax, A + 0xffd
3:	decl	%edi
	jnz	1b
	ret

split_8b:
	pushl	%ebx
	movl	$ADDS, %edi
	movl	A + 0xffa, %eax
	movl	A + 0xffe, %edx
1:	leal	1(%eax), %ebx
	leal	-1(%edx), %ecx
	lock cmpxchg8b A + 0xffa
	jne	1b
	decl	%edi
	jnz	1b
	popl	%ebx
	ret

/* --- A and D ------------------------------------------------------------------------- */

/* Processor 0 changes the available bits by LOCK while the others' walks set A and D:
 * neither loses the other's. */
marks:	movl	$0, wrong
	movl	$0, go
	everywhere mark_run
	check	"marks", wrong, $0
	ret

mark_run:
	movl	$200, %edi
1:	movl	$CPUS, %edx
	call	smp_barrier
	testl	%ebx, %ebx
	jz	2f
	/* A store to a page that is clean: D; loads of others: A. */
	movl	%ebx, %eax
	shll	$12, %eax
	invlpg	B(%eax)
	movl	%edi, B(%eax)
	jmp	3f
2:	.irp	i, 1, 2, 3
	lock orl $0x200, PT + (B >> 12 + \i) * 4
	lock orl $0x400, PT + (B >> 12 + \i) * 4
	lock orl $0x800, PT + (B >> 12 + \i) * 4
	.endr
3:	movl	$CPUS, %edx
	call	smp_barrier
	testl	%ebx, %ebx
	jnz	5f
	.irp	i, 1, 2, 3
	movl	PT + (B >> 12 + \i) * 4, %eax
	andl	$0xe60, %eax
	cmpl	$0xe60, %eax
	je	4f
	lock incl wrong
4:	movl	$((B + \i * 0x1000) + 7), PT + (B >> 12 + \i) * 4
	.endr
5:	decl	%edi
	jnz	1b
	ret

/* --- shoot-downs ------------------------------------------------------------------------ */

/* The page moves to another frame; after the IPI's answer nobody writes to the old. */
shoot:	movl	$0, wrong
	movl	$0, go
	everywhere shoot_run
	check	"shot", wrong, $0
	set_pte	B, B+7
	everywhere flush
	ret

shoot_run:
	testl	%ebx, %ebx
	jnz	5f
	movl	$100, %edi
1:	movl	$FRAME0+7, %eax
	testl	$1, %edi
	jz	2f
	movl	$FRAME1+7, %eax
2:	movl	%eax, PT + (B >> 12) * 4
	invlpg	B
	movl	$0, answers
	ipi	0xc4000+SHOOT
3:	pause
	cmpl	$3, answers
	jne	3b
	/* The old frame stands still now. */
	movl	$FRAME0, %esi
	testl	$1, %edi
	jnz	4f
	movl	$FRAME1, %esi
4:	movl	4(%esi), %eax
	movl	8(%esi), %edx
	movl	12(%esi), %ecx
	.rept	20
	pause
	.endr
	subl	4(%esi), %eax
	subl	8(%esi), %edx
	subl	12(%esi), %ecx
	orl	%edx, %eax
	orl	%ecx, %eax
	jz	8f
	incl	wrong
8:	decl	%edi
	jnz	1b
	movl	$1, go
	ret
5:	incl	B(, %ebx, 4)
	cmpl	$0, go
	je	5b
	ret

on_shoot:
	pushl	%eax
	invlpg	B
	call	smp_eoi
	lock incl answers
	popl	%eax
	leave_irq

/* --- data beside code ------------------------------------------------------------------- */

/* Each executes its own piece of one page and stores into the same page: what is
 * decoded and what is stored stay right. */
beside:	movl	$0, wrong
	movl	$CODE, %edi
	movl	$1024, %ecx
	xorl	%eax, %eax
	rep stosl
	everywhere beside_run
	check	"beside", wrong, $0
	ret

beside_run:
	pushl	%ebx
	movl	%ebx, %esi
	shll	$8, %esi
	addl	$CODE, %esi
	movb	$0xb8, (%esi)		/* mov $n, %eax; ret */
	movb	$0xc3, 5(%esi)
	movl	$400, %edi
1:	movl	%edi, 1(%esi)		/* our code, and data of ours beside it */
	movl	%edi, 0x800(%esi)
	call	*%esi
	cmpl	%edi, %eax
	je	2f
	lock incl wrong
2:	cmpl	%edi, 0x800(%esi)
	je	3f
	lock incl wrong
3:	decl	%edi
	jnz	1b
	popl	%ebx
	ret

	.bss
	.balign	64
	.irp	v, wrong, holders, go, answers
	.balign	64
\v:	.skip	4
	.endr
