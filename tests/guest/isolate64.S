/*
 * 64-bit accesses of every kind to addresses of every kind: across the ends of pages,
 * of PML4 entries and of the halves, wrapping, not canonical, at CPL 0 in both halves
 * and at CPL 3.  A walk of the page tables in this guest says what must come; besides
 * that all that is seen goes into a hash, which engines must agree in.
 * SDM vol. 1, 3.3.7.1; vol. 3, 4.6, 4.7, 6.15.  (SMEP: features64.S)
 */
#include "guest.inc"
#include "long64.inc"

	.equ	TABLES, HIGH + 0x10000
	.equ	A_PDPT, TABLES		/* first and last page, and some at 1 GiB */
	.equ	B_PDPT, TABLES + 0x1000
	.equ	C_PDPT, TABLES + 0x2000
	.equ	BASE_PDPT, TABLES + 0x3000
	.equ	MID_PD, TABLES + 0x4000
	.equ	MID_PT, TABLES + 0x5000
	.equ	LEAVES, TABLES + 0x6000	/* of A, B, C: PD, PT low; PD, PT high */
	.equ	LEAVES_END, LEAVES + 3 * 0x4000
	.equ	DATA, 0x30000		/* pages 0 to 15 */
	.equ	DATA_PAGES, 12
	.equ	GOOD, 0x3f000
	.equ	MID, 0x40000000		/* in A */
	.equ	UPPER, 0xffff000000000000
	/* All this runs here, not where it is linked, so that it is fast: windows have
	 * nothing in the first MiB of a PML4 entry. */
	.equ	BASE, (UPPER | 400 << 39) + 0x40000000
	.equ	GSBASE, 0xffff924512345678

	/* What a class of accesses is like. */
	.equ	W, 2			/* it writes */
	.equ	SS, 4			/* not canonical is #SS */
	.equ	REP, 8			/* byte by byte */
	.equ	A32, 0x10		/* bits 0-31 of the address */
	.equ	GP, 0x20		/* where no memory faults there is #GP */
	.equ	FETCH, 0x40		/* it is a jump to the address */
	.equ	ALIGN16, 0x80
	.equ	AVX, 0x100
	.equ	PART, 0x200		/* more than one: whichever faults first */

	/* code accesses size bytes at RCX; RDI and RSI: good memory. */
	.macro	class name, size, flags, code
	record	\name, 0, 0, 0, 0
	.pushsection .data, 4
	.long	stub_\name, rec_\name, \size, \flags
	.popsection
stub_\name:
	\code
	int	$0x40
	.endm

	/* A value that only the engines have to agree in. */
	.macro	shown64 name, reg
	record	\name, 2, 0, 0, 0
	movq	\reg, rec_\name + R_GOT(%rip)
	movb	$1, rec_\name + R_DONE(%rip)
	.endm

	.data	4
	.balign	4
classes:
	.data	5
classes_end:
	.text
	.code64

	.balign	0x1000
stubs:
	class	load8, 8, 0, "movq (%rcx), %rax"
	class	load1, 1, 0, "movb (%rcx), %al"
	class	load2, 2, 0, "movzwl (%rcx), %eax"
	class	load_r15, 8, 0, "movq (%rcx), %r15"
	class	store8, 8, W, "movq %rax, (%rcx)"
	class	store1, 1, W, "movb %al, (%rcx)"
	class	store_imm, 8, W, "movq $-77, (%rcx)"
	class	cmp_flags, 4, 0, "cmpq %rsi, %rdi; movl (%rcx), %eax; setc %bl; sbbl %edx, %edx"
	class	rmw, 8, W, "addq %rax, (%rcx)"
	class	rmw1, 1, W, "notb (%rcx)"
	class	lock, 8, W, "lock addq %rax, (%rcx)"
	class	xchg, 8, W, "xchgq %rax, (%rcx)"
	class	xadd, 4, W, "lock xaddl %eax, (%rcx)"
	class	cmpxchg, 8, W, "cmpxchgq %rdx, (%rcx)"
	class	cmpxchg8b, 8, W, "movq %rcx, %r8; cmpxchg8b (%r8)"
	class	cmpxchg16b, 16, W|ALIGN16, "movq %rcx, %r8; cmpxchg16b (%r8)"
	class	disp8, 8, 0, "leaq 64(%rcx), %rbx; movq -64(%rbx), %rax"
	class	disp32, 8, 0, "movabsq $0x80000000, %rbx; addq %rcx, %rbx; movq -0x80000000(%rbx), %rax"
	class	disp32_up, 8, W, "leaq -0x7fffffff(%rcx), %rbx; movq %rax, 0x7fffffff(%rbx)"
	class	near, 8, 0, "leaq 0x40000(%rcx), %rbx; incq %rbx; movq -0x40001(%rbx), %rax"
	class	near_after, 8, W, "movq %rdi, %rbx; movq (%rbx), %rdx; movq %rcx, %rbx; movq %rdx, (%rbx)"
	class	near_up, 8, W, "movq %rax, (%rcx); addq $0x7f000, %rcx; movq %rcx, -0x7f000(%rcx)"
	class	near_down, 8, W, "movq %rax, (%rcx); subq $0x7f000, %rcx; movq %rcx, 0x7f000(%rcx)"
	class	scaled, 8, 0, "movabsq $0x2000000000000123, %rdx; leaq -0x918(%rcx), %rbx; movq (%rbx, %rdx, 8), %rax"
	class	scaled32, 8, 0, "movabsq $0x7fffffff12345678, %rdx; leaq (, %rdx, 4), %r14; movq %rcx, %rbx; subq %r14, %rbx; movq (%rbx, %rdx, 4), %rax"
	class	index_only, 8, W, "movq %rcx, %rbx; sarq $1, %rbx; jc 1f; movq %rax, (, %rbx, 2); jmp 2f; 1: movq %rax, 1(, %rbx, 2); 2:"
	class	addr32, 8, A32, "movq (%ecx), %rax"
	class	addr32_sib, 4, A32|W, "leal 5(%rcx), %ebx; movl %eax, -5(%ebx)"
	class	gs, 8, 0, "movabsq $GSBASE, %rbx; subq %rbx, %rcx; movq %gs:(%rcx), %rax"
	class	gs_store, 4, W, "movabsq $GSBASE, %rbx; subq %rbx, %rcx; movl %eax, %gs:(%rcx)"
	class	rbp, 8, SS, "movq %rcx, %rbp; movq (%rbp), %rax"
	class	rsp, 8, SS, "movq %rcx, %rsp; movq (%rsp), %rax"
	class	rsp_disp, 8, SS|W, "leaq -16(%rcx), %rsp; movq %rax, 16(%rsp)"
	class	rsp_ds, 8, 0, "movq %rcx, %rbp; movq %ds:(, %rbp), %rax"
	class	push, 8, SS|W, "leaq 8(%rcx), %rsp; pushq %rax"
	class	push_imm, 8, SS|W, "leaq 8(%rcx), %rsp; pushq $-5"
	class	push2, 2, SS|W, "leaq 2(%rcx), %rsp; pushw %ax"
	class	pushf, 8, SS|W, "leaq 8(%rcx), %rsp; pushfq"
	class	pop, 8, SS, "movq %rcx, %rsp; popq %rax"
	class	pop_r15, 8, SS, "movq %rcx, %rsp; popq %r15"
	class	push_mem, 8, 0, "movq %rdi, %rsp; addq $64, %rsp; pushq (%rcx)"
	class	pop_mem, 8, W, "movq %rdi, %rsp; popq (%rcx)"
	class	leave, 8, SS, "movq %rcx, %rbp; leave"
	class	call, 8, SS|W, "leaq 8(%rcx), %rsp; call 1f; 1:"
	class	call_ind, 8, SS|W, "leaq 1f(%rip), %rbx; leaq 8(%rcx), %rsp; call *%rbx; 1:"
	class	ret, 8, SS|GP, "movq %rcx, %rsp; ret"
	class	ret_n, 8, SS|GP, "movq %rcx, %rsp; ret $16"
	class	jmp_mem, 8, GP, "jmp *(%rcx)"
	class	call_mem, 8, GP, "movq %rdi, %rsp; addq $64, %rsp; call *(%rcx)"
	class	movs_from, 8, 0, "movq %rcx, %rsi; movsq"
	class	movs_to, 8, W, "movq %rcx, %rdi; movsq"
	class	lods, 4, 0, "movq %rcx, %rsi; lodsl"
	class	stos, 2, W, "movq %rcx, %rdi; stosw"
	class	cmps, 8, 0, "movq %rcx, %rdi; cmpsq"
	class	scas, 1, 0, "movq %rcx, %rdi; scasb"
	class	rep_movs_from, 48, REP, "movq %rcx, %rsi; movl $48, %ecx; rep movsb"
	class	rep_movs_to, 48, REP|W, "movq %rcx, %rdi; movl $48, %ecx; rep movsb"
	class	rep_stos, 48, REP|W, "movq %rcx, %rdi; movl $48, %ecx; rep stosb"
	class	rep_cmps, 48, REP, "movq %rcx, %rdi; movq %rcx, %rsi; movl $48, %ecx; repe cmpsb"
	class	rep_none, 0, 0, "movq %rcx, %rdi; movq %rcx, %rsi; xorl %ecx, %ecx; rep movsq; rep stosb"
	class	xlat, 1, 0, "movq %rcx, %rbx; xorl %eax, %eax; xlatb"
	class	bts, 8, W, "movabsq $0x7000000000000040, %rbx; movabsq $0xe00000000000008, %rdx; subq %rdx, %rcx; btsq %rbx, (%rcx)"
	class	movups, 16, 0, "movups (%rcx), %xmm1; movq %xmm1, %rax"
	class	movups_to, 16, W, "movups %xmm2, (%rcx)"
	class	movaps, 16, ALIGN16, "movaps (%rcx), %xmm1; movq %xmm1, %rax"
	class	movaps_to, 16, W|ALIGN16, "movaps %xmm2, (%rcx)"
	class	paddd, 16, ALIGN16, "movq %rax, %xmm3; paddd (%rcx), %xmm3; movq %xmm3, %rax"
	class	vmovups, 32, AVX, "vmovups (%rcx), %ymm1; vextractf128 $1, %ymm1, %xmm1; movq %xmm1, %rax"
	class	vmovups_to, 32, AVX|W, "vmovups %ymm2, (%rcx)"
	class	movq_xmm, 8, W, "movq %xmm3, (%rcx)"
	class	fld, 10, PART, "fninit; fldt (%rcx); fstp %st(0)"
	class	fstp, 10, W|PART, "fninit; fldpi; fstpt (%rcx)"
	class	fstenv, 28, W|PART, "fninit; fnstenv (%rcx)"
	class	fxsave, 512, W|ALIGN16|PART, "fninit; fxsave (%rcx)"
	class	sgdt, 10, W, "sgdt (%rcx)"
	class	jmp, 0, FETCH, "jmp *%rcx"
	class	call_reg, 0, FETCH, "movq %rdi, %rsp; addq $64, %rsp; call *%rcx"
	class	ret_to, 0, FETCH, "movq %rdi, %rsp; addq $64, %rsp; pushq %rcx; ret"
	class	iret_to, 0, FETCH, "movq %rdi, %rsp; addq $128, %rsp; xorl %ebx, %ebx; movw %ss, %bx; pushq %rbx; leaq 8(%rsp), %rbx; pushq %rbx; pushfq; xorl %ebx, %ebx; movw %cs, %bx; pushq %rbx; pushq %rcx; iretq"

	.balign	0x1000
stubs_end:

	/* Between these and around them: places. */
	.data
	.balign	8
edges:	.quad	2 << 39, 3 << 39, 4 << 39, 5 << 39, 6 << 39, 9 << 39
	.quad	0x0000800000000000, 0xffff800000000000, 0
	.quad	UPPER | 300 << 39, UPPER | 301 << 39, UPPER | 302 << 39
n64 = 0
	.rept	7
	.quad	(2 << 39) + MID + n64 * 0x1000, (UPPER | 300 << 39) + MID + n64 * 0x1000
n64 = n64 + 1
	.endr
	.quad	0x0000800040001000, 0xffff7fffffffe000, 0x8000000000000000, 0x7fffffffffffffff
	.quad	((2 << 39) + MID) | 1 << 47, ((2 << 39) + MID) | 1 << 48, ((2 << 39) + MID) | 1 << 63
	.quad	(0xfffe000000000000 | 300 << 39) + MID, (0x7fff000000000000 | 300 << 39) + MID
	.quad	((UPPER | 300 << 39) + MID) & ~(1 << 47), 0x1234567890abc000
edges_end:
	.equ	OFFSETS, 9

	.text
main64:
	call	tables
	movabsq	$BASE, %r15
	addq	%r15, %rsp
	leaq	1f(%rip), %rax
	addq	%r15, %rax
	jmp	*%rax
1:	movl	$256, %ecx		/* all on the stack of IST 1: RSP may be anything */
	movl	$idt64, %edi
	movq	%r15, %rax
	shrq	$32, %rax
1:	movb	$1, 4(%rdi)
	movl	%eax, 8(%rdi)
	orb	$0x40, 7(%rdi)
	addq	$16, %rdi
	loop	1b
	leaq	IST_TOP(%r15), %rax
	movq	%rax, tss64 + 36(%rip)
	movl	$16, %ecx
	movl	$idt64 + 16 * 0x40, %edi
2:	orb	$0x60, 5(%rdi)
	addq	$16, %rdi
	loop	2b
	movq	%cr4, %rax
	orl	$0x600, %eax
	movq	%rax, %cr4
	movl	$1, %eax
	cpuid
	andl	$0x14000000, %ecx
	cmpl	$0x14000000, %ecx	/* XSAVE and AVX */
	jne	3f
	movl	$AVX, have(%rip)
	movq	%cr4, %rax
	orl	$0x40000, %eax
	movq	%rax, %cr4
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	movl	$7, %eax
	xsetbv
3:	xorl	%eax, %eax
	movl	%eax, %gs		/* one of CPL 0 would be lost at CPL 3 */
	movl	$0xc0000101, %ecx
	movl	$GSBASE & 0xffffffff, %eax
	movl	$GSBASE >> 32, %edx
	wrmsr
	movl	$classes, %ebx
3:	movl	4(%rbx), %edi
	movq	$0, R_GOT(%rdi)
	movb	$1, R_DONE(%rdi)
	addl	$16, %ebx
	cmpl	$classes_end, %ebx
	jb	3b
	/* supervisor's pages at CPL 0 in both halves, users' at CPL 3 and 0, supervisor's at CPL 3 */
	.macro	round name, leaf, cpl, base
	movl	$\leaf, leaf(%rip)
	movl	$\cpl, cpl(%rip)
	movabsq	$\base, %rax
	movq	%rax, code_base(%rip)
	call	matrix
	movq	hash(%rip), %rax
	shown64	\name, %rax
	.endm
	round	hash_low, 3, 0, 0
	round	hash_high, 3, 0, BASE
	round	hash_user, 7, 3, 0
	round	hash_users_at_0, 7, 0, 0
	round	hash_users_high, 7, 0, BASE
	round	hash_denied, 3, 3, 0
	movl	$7, %eax
	xorl	%ecx, %ecx
	cpuid
	movb	$1, may_leave_out(%rip)
	btl	$20, %ebx		/* SMAP: users' pages are none at CPL 0 */
	jnc	4f
	movb	$0, may_leave_out(%rip)
	movq	%cr4, %rax
	btsq	$21, %rax
	movq	%rax, %cr4
	movl	$4, smap(%rip)
	round	hash_smap, 7, 0, 0
	round	hash_smap_high, 7, 0, BASE
	movq	%cr4, %rax
	btrq	$21, %rax
	movq	%rax, %cr4
4:
	movq	first_bad(%rip), %rax
	same64	first_bad_address, %rax, 0
	movq	first_bad + 8(%rip), %rax
	same64	first_bad_got, %rax, 0
	movq	first_bad + 16(%rip), %rax
	same64	first_bad_wanted, %rax, 0
	movabsq	$BASE, %rax
	subq	%rax, %rsp
	ret

	/* --- page tables -------------------------------------------------------- */
tables:
	/* all that is mapped already is the supervisor's, but for the code of classes */
	movl	$PT, %edi
	movl	$512, %ecx
1:	andl	$~4, (%rdi)
	addl	$8, %edi
	loop	1b
	movl	$stubs, %eax
	leal	7(%rax), %edx
2:	movl	%eax, %edi
	shrl	$9, %edi
	movl	%edx, PT(%rdi)
	addl	$0x1000, %eax
	addl	$0x1000, %edx
	cmpl	$stubs_end, %eax
	jb	2b
	movl	$TABLES, %edi
	movl	$(LEAVES_END - TABLES) / 4, %ecx
	xorl	%eax, %eax
	rep stosl
	/* PDPTs: entry 0 -> PD, PT of the first page, 511 of the last */
	movl	$A_PDPT, %edi
	movl	$LEAVES + 7, %eax
	movl	$3, %ecx
1:	movl	%eax, (%rdi)
	leal	0x1000(%rax), %edx
	movl	%edx, -7(%rax)
	leal	0x2000(%rax), %edx
	movl	%edx, 511 * 8(%rdi)
	leal	0x3000(%rax), %edx
	movl	%edx, 0x2000 + 511 * 8 - 7(%rax)
	addl	$0x4000, %eax
	addl	$0x1000, %edi
	loop	1b
	movl	$MID_PD + 7, A_PDPT + 8
	movl	$MID_PT + 7, MID_PD
	movl	$A_PDPT + 7, PML4 + 2 * 8
	movl	$B_PDPT + 7, PML4 + 3 * 8
	movl	$C_PDPT + 7, PML4 + 5 * 8
	movl	$A_PDPT + 7, PML4 + 255 * 8
	movl	$C_PDPT + 7, PML4 + 256 * 8
	movl	$A_PDPT + 7, PML4 + 300 * 8
	movl	$B_PDPT + 7, PML4 + 301 * 8
	movl	$BASE_PDPT + 7, PML4 + 400 * 8
	movl	$PD + 7, BASE_PDPT + 8
	movl	$A_PDPT + 7, PML4 + 511 * 8
	ret

	/* Pages and the rights that leaf says; what is in them: page n, INT 0x40 + n again
	 * and again, or as seen from an odd address, the same with a REX prefix. */
pages:
	movl	leaf(%rip), %ebp
	leal	DATA(%rbp), %eax
	movl	$LEAVES, %edi
	movl	$3, %ecx
1:	movl	%eax, 0x1000(%rdi)
	addl	$0x1000, %eax
	movl	%eax, 0x3000 + 511 * 8(%rdi)
	addl	$0x1000, %eax
	addl	$0x4000, %edi
	loop	1b
	movl	%eax, MID_PT
	addl	$0x1000 - 2, %eax		/* read-only */
	movl	%eax, MID_PT + 8
	addl	$0x1000 + 2, %eax
	movl	%eax, MID_PT + 3 * 8
	addl	$0x1000, %eax
	andl	$~4, %eax
	movl	%eax, MID_PT + 4 * 8		/* the supervisor's in any case */
	addl	$0x1000, %eax
	orl	%ebp, %eax
	movl	%eax, MID_PT + 5 * 8
	movl	cpl(%rip), %eax
	addl	%eax, %eax
	andl	$4, %eax
	orl	$GOOD + 3, %eax
	movl	%eax, PT + GOOD / 512
	movq	%cr3, %rax
	movq	%rax, %cr3
	ret
patterns:
	xorl	%edi, %edi
	movl	$0x40cd40cd, %eax
	movl	$1024, %ecx
	rep stosl
	movabsq	$BASE + DATA, %rdi
	leaq	DATA_PAGES * 0x1000(%rdi), %rdx
1:	movl	$1024, %ecx
	rep stosl
	addl	$0x01000100, %eax
	cmpq	%rdx, %rdi
	jb	1b
	ret

	/* --- what is to come ------------------------------------------------------- */

	/* An access by the class at R12 to the byte at RDI.  EAX: -1, or an error code. */
walk:
	movabsq	$BASE, %r15
	movl	$7, %edx
	movl	$39, %ecx
	movabsq	$BASE + PML4, %rsi
1:	movq	%rdi, %rax
	shrq	%cl, %rax
	andl	$511, %eax
	movq	(%rsi, %rax, 8), %rax
	testl	$1, %eax
	jz	5f
	andl	%eax, %edx
	movl	%eax, %esi
	andl	$0xfffff000, %esi
	addq	%r15, %rsi
	subl	$9, %ecx
	cmpl	$12, %ecx
	jb	2f
	cmpl	$21, %ecx
	ja	1b
	testl	$0x80, %eax
	jz	1b
	/* U and W of all levels are in EDX */
2:	movl	$1, %eax
	cmpl	$0, cpl(%rip)
	jne	10f
	testl	$FETCH, 12(%r12)
	jnz	3f
	testl	%edx, smap(%rip)
	jnz	4f
	jmp	3f
10:
	testl	$4, %edx
	jz	4f
3:	testl	$2, %edx
	jnz	6f
	testl	$W, 12(%r12)
	jnz	4f
6:	movl	$-1, %eax
	ret
5:	xorl	%eax, %eax
4:	cmpl	$0, cpl(%rip)
	je	7f
	orl	$4, %eax
7:	testl	$W, 12(%r12)
	jz	8f
	orl	$2, %eax
8:	testl	$FETCH, 12(%r12)
	jz	9f
	orl	$0x10, %eax
9:	ret

	/* ZF: RDI is canonical. */
canonical:
	movq	%rdi, %rax
	shlq	$16, %rax
	sarq	$16, %rax
	cmpq	%rax, %rdi
	ret

	/* The class at R12 at address R13: want = vector | error << 8, want_cr2. */
predict:
	movq	%r13, %r8
	testl	$A32, 12(%r12)
	jz	1f
	movl	%r8d, %r8d
1:	movl	8(%r12), %r9d
	testl	$FETCH, 12(%r12)
	jz	2f
	movl	%r8d, %r9d		/* INT, or behind a REX prefix */
	andl	$1, %r9d
	addl	$2, %r9d
2:	testl	%r9d, %r9d
	jz	fine
	leaq	-1(%r8, %r9), %r9	/* the last byte */
	movq	%r8, %rdi
	call	canonical
	jne	not_canonical
	testl	$ALIGN16, 12(%r12)
	jz	3f
	testl	$15, %r8d
	jnz	protection
3:	testl	$REP|FETCH, 12(%r12)
	jnz	4f
	movq	%r9, %rdi
	call	canonical
	jne	not_canonical
4:	movq	%r8, %rdi
	call	walk
	testl	%eax, %eax
	jns	page_fault
	movq	%r9, %rax
	xorq	%r8, %rax
	testq	$~0xfff, %rax
	jz	fine
	movq	%r9, %rdi
	andq	$~0xfff, %rdi
	call	canonical
	jne	not_canonical
	call	walk
	testl	%eax, %eax
	jns	page_fault
fine:	movl	$0x40, want(%rip)
	testl	$GP, 12(%r12)
	jz	1f
protection:
	movl	$13, want(%rip)
1:	ret
page_fault:
	movq	%rdi, want_cr2(%rip)
	shll	$8, %eax
	orl	$14, %eax
	movl	%eax, want(%rip)
	ret
not_canonical:
	testl	$SS, 12(%r12)
	jz	protection
	movl	$12, want(%rip)
	ret

	/* --- one access --------------------------------------------------------------- */

	/* RAX: of what is around the ends of the data pages. */
sum:
	xorl	%eax, %eax
	movabsq	$BASE + DATA, %rdi
	leaq	DATA_PAGES * 0x1000(%rdi), %rcx
1:	.irp	at, 0, 8, 32, 0xfd0, 0xff0, 0xff8
	rorq	$7, %rax
	addq	\at(%rdi), %rax
	.endr
	addq	$0x1000, %rdi
	cmpq	%rcx, %rdi
	jb	1b
	ret

	.macro	mix	what
	xorq	\what, %r10
	imulq	%r11, %r10
	rorq	$23, %r10
	.endm

	/* The class at R12 at address R13, to the end; all registers but RSP are lost. */
go:
	movq	%r12, saved12(%rip)
	movq	%r13, saved13(%rip)
	popq	saved_return(%rip)
	leaq	back(%rip), %rax
	movq	%rax, recover(%rip)
	movq	%rsp, recover_rsp(%rip)
	movl	$-1, got_vector(%rip)
	movl	(%r12), %ebx
	addq	code_base(%rip), %rbx
	cmpl	$3, cpl(%rip)
	jne	1f
	pushq	$USER_DS
	pushq	$USER_STACK_TOP
	pushq	$FL_FIXED
	pushq	$USER64
	pushq	%rbx
1:	movq	%r13, %rcx
	movl	$GOOD, %edi
	movl	$GOOD + 0x100, %esi
	movabsq	$0x1122334455667788, %rax
	movq	%rax, %rdx
	movq	%rax, %rbp
	movq	%rax, %r14
	movq	%rax, %r15
	cmpl	$3, cpl(%rip)
	jne	2f
	iretq
2:	cmpq	%rax, %rcx		/* some flags */
	jmp	*%rbx
back:
	movabsq	$0x9e3779b97f4a7c15, %r11
	movq	hash(%rip), %r10
	.irp	reg, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r14, r15
	mix	%\reg
	.endr
	movq	saved12(%rip), %r12
	movq	saved13(%rip), %r13
	jmp	*saved_return(%rip)

	/* The same with all checks. */
try_one:
	call	predict
	call	go
	movl	got_vector(%rip), %eax
	cmpl	$FETCH, 12(%r12)
	jne	1f
	testl	$0x40, %eax		/* that of another page */
	jz	1f
	andl	$~15, %eax
1:	movl	got_error(%rip), %edx
	shll	$8, %edx
	orl	%edx, %eax
	mix	%rax
	cmpl	want(%rip), %eax
	je	4f
	testl	$PART, 12(%r12)
	jz	bad
	cmpl	$13, want(%rip)
	jne	bad
	cmpb	$14, %al
	jne	bad
	jmp	2f
4:	cmpb	$14, %al
	jne	2f
	movq	got_cr2(%rip), %rax
	mix	%rax
	cmpq	want_cr2(%rip), %rax
	je	2f
	testl	$PART, 12(%r12)
	jz	bad
	xorq	want_cr2(%rip), %rax
	cmpq	$0xfff, %rax
	ja	bad
2:	movl	got_vector(%rip), %eax
	mix	%rax
	mix	got_rip(%rip)
	mix	got_frame_rsp(%rip)
	call	sum
	mix	%rax
	movq	%r10, hash(%rip)
	movq	sum_before(%rip), %rdx
	movq	%rax, sum_before(%rip)
	cmpl	$0x40, want(%rip)
	je	3f
	testl	$REP, 12(%r12)
	jnz	3f
	cmpq	%rdx, %rax
	jne	bad
3:	ret
bad:	movabsq	$BASE, %rbx
	movl	4(%r12), %edx
	addq	%rdx, %rbx
	cmpq	$0, first_bad + 16(%rip)
	jne	1f
	movq	%r13, first_bad(%rip)
	movq	%rax, first_bad + 8(%rip)
	movl	want(%rip), %eax
	movq	%rax, first_bad + 16(%rip)
1:	incl	R_GOT(%rbx)
	movq	%r10, hash(%rip)
	ret

	/* --- all of them ------------------------------------------------------------------- */

matrix:
	movq	$0, hash(%rip)
	call	pages
	leaq	classes(%rip), %r12
1:	movl	12(%r12), %eax
	andl	$AVX, %eax
	cmpl	have(%rip), %eax
	ja	7f
	call	patterns
	/* often, so that it is translated as often-used code is */
	movq	$500, count(%rip)
	movabsq	$(2 << 39) + MID + 0x100, %rax
	cmpq	$0, code_base(%rip)
	je	2f
	movabsq	$(UPPER | 300 << 39) + MID + 0x100, %rax
2:	movq	%rax, %r13
3:	call	go
	decq	count(%rip)
	jnz	3b
	call	patterns
	call	sum
	movq	%rax, sum_before(%rip)
	leaq	edges(%rip), %r14
4:	movq	%r14, edge(%rip)
	movl	$OFFSETS, offset(%rip)
5:	movq	edge(%rip), %rax
	movq	(%rax), %r13
	/* size + 8, size, size - 1, size / 2 and 1 before it, at it, and some behind it */
	movl	8(%r12), %eax
	movl	offset(%rip), %ecx
	leal	8(%rax), %edx
	cmpl	$9, %ecx
	je	6f
	movl	%eax, %edx
	cmpl	$8, %ecx
	je	6f
	leal	-1(%rax), %edx
	cmpl	$7, %ecx
	je	6f
	movl	%eax, %edx
	shrl	$1, %edx
	cmpl	$6, %ecx
	je	6f
	leal	-4(%rcx), %edx		/* 1, 0, -1, -2, -3 */
6:	movslq	%edx, %rdx
	subq	%rdx, %r13
	call	try_one
	decl	offset(%rip)
	jnz	5b
	movq	edge(%rip), %r14
	addq	$8, %r14
	leaq	edges_end(%rip), %rax
	cmpq	%rax, %r14
	jb	4b
	movq	hash(%rip), %rax	/* all of all pages */
	movabsq	$BASE + DATA, %rdi
	movl	$DATA_PAGES * 512, %ecx
8:	rorq	$7, %rax
	addq	(%rdi), %rax
	addq	$8, %rdi
	decl	%ecx
	jnz	8b
	movq	%rax, hash(%rip)
7:	addq	$16, %r12
	leaq	classes_end(%rip), %rax
	cmpq	%rax, %r12
	jb	1b
	ret

	.bss
	.balign	8
	.irp	name, hash, saved12, saved13, saved_return, code_base, sum_before, count, want_cr2, edge
\name:	.skip	8
	.endr
	.irp	name, leaf, cpl, want, offset, have, smap
\name:	.skip	4
	.endr
	.balign	8
first_bad: .skip 24		/* address, got, wanted */
