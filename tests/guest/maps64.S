/*
 * PML4 entries that come, change and go under code that is hot, address spaces that map
 * the same addresses to other pages, addresses that differ only in which PML4 entry they
 * go by, and jumps: into instructions, to addresses that are none.
 *
 * What is read through an absent PML4 entry may, under the translator, be what the same
 * half has at the same 39 bits under another one (lib/bt/winwide.c): nothing else.
 * SDM vol. 3, 4.10.
 */
#include "guest.inc"
#include "long64.inc"

	.equ	TABLES, HIGH + 0x10000
	.equ	OTHER_PML4, TABLES
	.equ	BASE_PDPT, TABLES + 0x1000
	.equ	H, TABLES + 0x2000	/* H + 0x3000 * n: PDPT, PD, PT that lead to page n */
	.equ	N, 6
	.equ	H_END, H + N * 0x3000	/* a PDPT as yet empty */
	.equ	TABLES_END, H_END + 0x1000
	.equ	DATA, 0x30000
	.equ	MID, 0x40000018		/* in what an entry leads to */
	.equ	UPPER, 0xffff000000000000
	.equ	BASE, (UPPER | 400 << 39) + 0x40000000	/* this runs here: see isolate64.S */
	.equ	BASE_ENTRY, 144
	.equ	VALUE, 0x5a000000	/* + n: what is in page n */

	.code64
main64:
	call	tables
	movabsq	$BASE, %r15
	addq	%r15, %rsp
	leaq	1f(%rip), %rax
	addq	%r15, %rax
	jmp	*%rax
1:	movl	$256, %ecx
	movl	$idt64, %edi
	movq	%r15, %rax
	shrq	$32, %rax
2:	movb	$1, 4(%rdi)		/* IST 1 */
	movl	%eax, 8(%rdi)
	orb	$0x40, 7(%rdi)
	addq	$16, %rdi
	loop	2b
	leaq	IST_TOP(%r15), %rax
	movq	%rax, tss64 + 36(%rip)
	.macro	round name, rights, level, first, base
	movl	$\rights, rights(%rip)
	movl	$\level, level(%rip)
	movl	$\first, first(%rip)
	movabsq	$\base, %rax
	movq	%rax, code_base(%rip)
	call	all
	movl	wrong(%rip), %eax
	same64	\name\()_wrong, %rax, 0
	movl	wrong_at(%rip), %eax
	same64	\name\()_step, %rax, 0
	movq	wrong_seen(%rip), %rax
	same64	\name\()_seen, %rax, 0
	movl	done(%rip), %eax
	same64	\name\()_done, %rax, 1384
	.endm
	round	low, 3, 0, 0, 0
	round	high, 3, 0, 256, BASE
	round	user, 7, 3, 0, 0
	call	jumps
	movabsq	$BASE, %rax
	subq	%rax, %rsp
	ret

	/* --- tables and pages ---------------------------------------------------- */
tables:
	movl	$TABLES, %edi
	movl	$(TABLES_END - TABLES) / 4, %ecx
	xorl	%eax, %eax
	rep stosl
	movl	$BASE_PDPT + 7, PML4 + 400 * 8
	movl	$PD + 7, BASE_PDPT + 8
	movl	$H, %edi
	movl	$DATA, %edx
	movl	$N, %ecx
1:	leal	0x1007(%rdi), %eax
	movl	%eax, 8(%rdi)
	addl	$0x1000, %eax
	movl	%eax, 0x1000(%rdi)
	movl	%edx, 0x2000(%rdi)
	addl	$0x1000, %edx
	addl	$0x3000, %edi
	loop	1b
	/* all below 2 MiB is the supervisor's, but for the stubs */
	movl	$PT, %edi
	movl	$512, %ecx
2:	andl	$~4, (%rdi)
	addl	$8, %edi
	loop	2b
	movl	$stubs, %edi
	shrl	$9, %edi
	orl	$4, PT(%rdi)
	ret

	/* Both PML4s as they are at first; pages and rights for this round. */
reset:
	movabsq	$BASE + PML4, %rdi
	movabsq	$BASE + OTHER_PML4, %rsi
	xorl	%ecx, %ecx
1:	testl	%ecx, %ecx
	jz	2f
	cmpl	$256 + BASE_ENTRY, %ecx
	je	2f
	movq	$0, (%rdi, %rcx, 8)
2:	movq	(%rdi, %rcx, 8), %rax
	movq	%rax, (%rsi, %rcx, 8)
	incl	%ecx
	cmpl	$512, %ecx
	jb	1b
	movabsq	$BASE + H, %rdi
	movl	rights(%rip), %edx
	xorl	%ecx, %ecx
3:	andl	$~7, 0x2000(%rdi)
	orl	%edx, 0x2000(%rdi)
	addq	$0x3000, %rdi
	incl	%ecx
	cmpl	$N, %ecx
	jb	3b
	movq	$0, 8(%rdi)		/* that at H_END */
fill:	movabsq	$BASE + DATA, %rdi
	movl	$VALUE, %eax
4:	movl	$512, %ecx
	rep stosq
	incl	%eax
	cmpl	$VALUE + N, %eax
	jb	4b
flush:	movq	%cr3, %rax
	movq	%rax, %cr3
	ret

	/* --- what code at the level and in the half of this round sees ------------- */

	/* At address RCX, EBX times.  RAX: the last value, or as it was. */
	.balign	0x1000
stubs:
stub_load:
1:	movq	(%rcx), %rax
	decl	%ebx
	jnz	1b
	int	$0x40
stub_store:
1:	movq	%rdx, (%rcx)
	movq	%rdx, 8(%rcx)
	decl	%ebx
	jnz	1b
	int	$0x40
stub_rep:
	movq	%rcx, %rdi
	movl	$2, %ecx
	movq	%rdx, %rax
	rep stosq
	decl	%ebx
	jnz	stub_rep_more
	int	$0x40
stub_rep_more:
	leaq	-16(%rdi), %rcx
	jmp	stub_rep
	.balign	0x1000

	/* RSI: stub, RDI: number of an entry of this half.  RAX: what was read, R8: the address. */
go:
	popq	back_to(%rip)
	movq	%rsp, recover_rsp(%rip)
	leaq	back(%rip), %rax
	movq	%rax, recover(%rip)
	movl	$-1, got_vector(%rip)
	addl	first(%rip), %edi
	shlq	$39, %rdi
	shlq	$16, %rdi
	sarq	$16, %rdi
	leaq	MID(%rdi), %rcx
	movq	%rcx, address(%rip)
	movl	times(%rip), %ebx
	movl	new(%rip), %edx
	movq	$-7, %rax
	addq	code_base(%rip), %rsi
	cmpl	$3, level(%rip)
	je	1f
	jmp	*%rsi
1:	pushq	$USER_DS
	pushq	$USER_STACK_TOP
	pushq	$FL_FIXED
	pushq	$USER64
	pushq	%rsi
	iretq
back:	movq	address(%rip), %r8
	incl	done(%rip)
	jmp	*back_to(%rip)

fail:	incl	wrong(%rip)
	cmpl	$0, wrong_at(%rip)
	jne	1f
	movl	step(%rip), %ecx
	movl	%ecx, wrong_at(%rip)
	movq	%rax, wrong_seen(%rip)
1:	ret

	/* Entry EDI leads to page EDX: read, write and fill there. */
expect:
	movl	%edi, entry(%rip)
	movl	%edx, page(%rip)
	movl	$stub_load, %esi
	call	go
	movl	page(%rip), %edx
	addl	$VALUE, %edx
	cmpl	$0x40, got_vector(%rip)
	jne	fail
	cmpq	%rdx, %rax
	jne	fail
	movl	$0x77, new(%rip)
	movl	$stub_store, %esi
	call	stored
	movl	$0x99, new(%rip)
	movl	$stub_rep, %esi
stored:	movl	entry(%rip), %edi
	call	go
	movq	$-3, %rax
	cmpl	$0x40, got_vector(%rip)
	jne	fail
	/* there, and in no other page; as it was again */
	movabsq	$BASE + DATA + (MID & 0xfff), %rdi
	xorl	%ecx, %ecx
1:	leal	VALUE(%rcx), %edx
	movl	%edx, %esi
	cmpl	page(%rip), %ecx
	jne	2f
	movl	new(%rip), %edx
2:	movq	(%rdi), %rax
	cmpq	%rdx, %rax
	jne	fail
	movq	8(%rdi), %rax
	cmpq	%rdx, %rax
	jne	fail
	movq	%rsi, (%rdi)
	movq	%rsi, 8(%rdi)
	movq	16(%rdi), %rax
	cmpq	%rsi, %rax
	jne	fail
	addq	$0x1000, %rdi
	incl	%ecx
	cmpl	$N, %ecx
	jb	1b
	ret

	/* Entry EDI leads nowhere. */
absent:
	movl	$stub_load, %esi
	call	go
	cmpl	$14, got_vector(%rip)
	jne	1f
	cmpq	%r8, got_cr2(%rip)
	jne	fail
	movl	level(%rip), %ecx
	addl	%ecx, %ecx
	andl	$4, %ecx
	cmpl	%ecx, got_error(%rip)
	jne	fail
	ret
1:	cmpl	$0x40, got_vector(%rip)
	jne	fail
	leaq	-VALUE(%rax), %rcx
	cmpq	$N, %rcx
	jae	fail
	ret

	/* Entry EDI of the PML4 at RSI leads to what EDX says: page + 1, or nowhere. */
enter:
	movabsq	$BASE + PML4, %rsi
enter_at:
	addl	first(%rip), %edi
	movl	%edx, %ecx
	imull	$0x3000, %ecx, %ecx
	addl	$H - 0x3000 + 7, %ecx
	testl	%edx, %edx
	jnz	1f
	xorl	%ecx, %ecx
1:	movq	%rcx, (%rsi, %rdi, 8)
	ret

	/* --- the steps ---------------------------------------------------------------- */

	.macro	step	n
	movl	$\n, step(%rip)
	.endm
	.macro	enter	i, what
	movl	$\i, %edi
	movl	$\what, %edx
	call	enter
	.endm
	.macro	expect	i, n
	movl	$\i, %edi
	movl	$\n, %edx
	call	expect
	.endm
	.macro	absent	i
	movl	$\i, %edi
	call	absent
	.endm

all:
	movl	$0, wrong(%rip)
	movl	$0, wrong_at(%rip)
	movl	$0, done(%rip)
	movq	$0, wrong_seen(%rip)
	call	reset
	movl	$600, times(%rip)	/* until it is hot */
	step	1
	enter	3, 1
	expect	3, 0
	.irp	i, 2, 7, 11, 19, 35, 67, 131, 252, 1
	absent	\i
	.endr
	step	2			/* they come: nothing needs to be flushed */
	movl	$20, times(%rip)
	.irp	i, 2, 7, 11, 19, 35, 67, 131, 252, 1
	absent	\i
	enter	\i, 2
	expect	\i, 1
	expect	3, 0
	.endr
	step	3			/* another, with all told */
	enter	3, 3
	call	flush
	expect	3, 2
	expect	35, 1
	step	4			/* by INVLPG */
	enter	3, 4
	movabsq	$MID + (3 << 39), %rax
	cmpl	$0, first(%rip)
	je	1f
	movabsq	$(UPPER | 259 << 39) + MID, %rax
1:	invlpg	(%rax)
	expect	3, 3
	step	5			/* gone, and come back as another */
	enter	3, 0
	call	flush
	absent	3
	absent	3
	enter	3, 5
	expect	3, 4
	step	6			/* two that change places */
	.rept	20
	enter	7, 6
	enter	11, 1
	call	flush
	expect	7, 5
	expect	11, 0
	enter	7, 1
	enter	11, 6
	call	flush
	expect	11, 5
	expect	7, 0
	.endr
	step	7			/* a table that had nothing in it */
	call	reset
	enter	3, 1
	expect	3, 0
	enter	9, N + 1
	absent	9
	movabsq	$BASE + H_END, %rax
	movq	$H + 0x1007, 8(%rax)
	expect	9, 0
	movabsq	$BASE + H_END, %rax
	movq	$H + 0x4007, 8(%rax)
	call	flush
	expect	9, 1
	expect	3, 0
	step	8			/* all of them, more than there is room for */
	call	reset
	movl	$3, times(%rip)
	movl	$1, number(%rip)
2:	movl	number(%rip), %edi
	cmpl	$BASE_ENTRY, %edi
	je	3f
	movl	%edi, %edx
	andl	$3, %edx
	incl	%edx
	call	enter
	movl	number(%rip), %edi
	movl	%edi, %edx
	andl	$3, %edx
	call	expect
3:	incl	number(%rip)
	cmpl	$254, number(%rip)
	jb	2b
	expect	1, 1
	expect	2, 2
	step	9			/* two address spaces */
	call	reset
	movl	$20, times(%rip)
	enter	3, 1
	enter	67, 2
	movabsq	$BASE + OTHER_PML4, %rsi
	movl	$3, %edi
	movl	$3, %edx
	call	enter_at
	movl	$5, %edi
	movl	$4, %edx
	call	enter_at
	movl	$20, number(%rip)
4:	expect	3, 0
	expect	67, 1
	absent	5
	movl	$OTHER_PML4, %eax
	movq	%rax, %cr3
	expect	3, 2
	expect	5, 3
	absent	67
	movl	$PML4, %eax
	movq	%rax, %cr3
	decl	number(%rip)
	jnz	4b
	ret

	/* --- jumps ---------------------------------------------------------------------- */

	/* Code at CPL 0 that is hot, entered where no instruction of it begins. */
	.macro	into	name, offset, want
	movl	$300, number(%rip)
1:	call	middle
	decl	number(%rip)
	jnz	1b
	movl	$300, number(%rip)
2:	xorl	%eax, %eax
	xorl	%edx, %edx
	leaq	middle + \offset(%rip), %rbx
	call	*%rbx
	call	middle
	decl	number(%rip)
	jnz	2b
	xorl	%eax, %eax
	xorl	%edx, %edx
	leaq	middle + \offset(%rip), %rbx
	call	*%rbx
	addq	%rax, %rdx
	same64	\name, %rdx, \want
	.endm
jumps:
	into	whole, 0, 0x04eb9091
	into	in_imm, 1, 0
	into	in_imm2, 3, 0
	into	at_end, 5, 1
	/* around the end of all: the last instruction, then address 0 */
	call	reset
	movl	$H + 7, %eax
	movabsq	$BASE + PML4 + 511 * 8, %rdi
	movq	%rax, (%rdi)
	movabsq	$BASE + H, %rdi
	movl	$H + 0x1007, %eax
	movq	%rax, 511 * 8(%rdi)
	addl	$0x1000, %eax
	movq	%rax, 0x1000 + 511 * 8(%rdi)
	movl	$DATA + 7, %eax
	movq	%rax, 0x2000 + 511 * 8(%rdi)
	movabsq	$BASE + DATA + 0xffd, %rdi
	movl	$0x00c0ff48, (%rdi)		/* inc rax, in the last bytes of page 0 */
	movl	$0x40cd, %eax
	xorl	%edi, %edi
	movw	%ax, (%rdi)			/* int 0x40 */
	call	flush
	movl	$1000, number(%rip)
	xorl	%r12d, %r12d
3:	leaq	4f(%rip), %rax
	movq	%rax, recover(%rip)
	movq	%rsp, recover_rsp(%rip)
	movq	%r12, %rax
	movq	$-3, %rcx
	jmp	*%rcx
4:	movq	%rax, %r12
	decl	number(%rip)
	jnz	3b
	same64	around, %r12, 1000
	movq	got_rip(%rip), %rax
	same64	around_rip, %rax, 2
	movl	got_vector(%rip), %eax
	same64	around_vector, %rax, 0x40
	ret

	/* From its second byte: NOP, NOP, JMP over the RET; from its fourth: JMP. */
middle:	.byte	0xba, 0x90, 0x90, 0xeb, 0x04	/* movl $0x04eb9090, %edx */
	incl	%eax
	movl	%edx, %edx
	testl	%eax, %eax
	ret

	.bss
	.balign	8
	.irp	name, back_to, code_base, address, wrong_seen
\name:	.skip	8
	.endr
	.irp	name, rights, level, first, wrong, wrong_at, done, times, new, entry, page, number, step
\name:	.skip	4
	.endr
	.text
