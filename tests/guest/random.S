/*
 * The frame of random guests: random.c puts parameters and code behind it.
 *
 * The code is cut into slots of 256 bytes, copied to CODE and run slot after slot,
 * ROUNDS times over.  Before each slot all registers are loaded from a generator, so
 * that nothing gets lost for good; a slot ends with INT $0x41 or in a fault.  Every
 * exception is folded into a digest: vector, error code, EIP, CR2, registers, flags
 * but AF.  Page faults in the data window are mended and resumed half of the time.
 * Each round prints the digest, which at its end also covers the data, the changed
 * code, the page tables' A and D bits, and the vector registers.
 */
#include "guest.inc"

	.equ	CODE, 0x300000
	.equ	WINDOW, 0x400000
	.equ	WINDOW_PAGES, 32
	.equ	STACK, 0x420000			/* 8 pages, top in the middle */
	.equ	RND_DS, TEST_SEL|3
	.equ	RND_KDS, TEST_SEL+8

	.equ	F_PAE, 1
	.equ	F_KERNEL, 2
	.equ	F_UNPAGED, 4
	.equ	F_TRACE, 8
	.equ	F_SMC, 16	/* else the code is read-only */
	.equ	F_16, 32	/* 16-bit code (random16.c) in small segments */
	.equ	F_V86, 64	/* with F_16: in virtual-8086 mode */

	/* 16-bit segments; FS has the base of CS, GS expands down. */
	.equ	CODE_SEL, (TEST_SEL+0x10)|3
	.equ	FS_SEL, (TEST_SEL+0x18)|3
	.equ	DS_SEL, (TEST_SEL+0x20)|3
	.equ	ES_SEL, (TEST_SEL+0x28)|3
	.equ	SS_SEL, (TEST_SEL+0x30)|3
	.equ	GS_SEL, (TEST_SEL+0x38)|3
	.equ	SLOT_IP, 0x120			/* as in random16.h */
	/* In V86 mode the code, the window and the stack are seen here. */
	.equ	V86_CODE, 0x90000
	.equ	V86_WINDOW, 0xa0000

	.globl	guest_main
guest_main:
	cmpl	$0, p_slots
	je	none
	movl	$CODE, %edi
	movl	$code, %esi
	movl	p_slots, %ecx
	shll	$6, %ecx
	rep movsl
	movl	p_seed, %eax
	movl	%eax, rng
	call	segments
	movl	$WINDOW, %edi
	movl	$(WINDOW_PAGES * 1024 + 8 * 1024), %ecx
1:	call	random
	stosl
	loop	1b
	movl	%cr4, %eax
	orl	$0x600, %eax		/* SSE */
	movl	%eax, %cr4
	xorps	%xmm0, %xmm0
	.irp	n, 1, 2, 3, 4, 5, 6, 7
	movaps	%xmm0, %xmm\n
	.endr
	testb	$F_UNPAGED, p_flags
	jnz	3f
	testb	$F_PAE, p_flags
	jnz	2f
	call	rt_paging_2level
	jmp	3f
2:	call	rt_paging_pae
3:	movl	$hook, rt_hook
	movl	$0x12345678, digest
	movl	p_rounds, %ebx
4:	pushl	%ebx
	call	round
	popl	%ebx
	decl	%ebx
	jnz	4b
	movl	$0, rt_hook
	show	"exceptions", exc_count
	show	"completed", completed
none:	ret

/* Data segments whose base is not 0, and which end behind the stack. */
segments:
	descriptor RND_DS, 0, 0x427, 0xc0f3
	descriptor RND_KDS, 0, 0x427, 0xc093
	movl	p_base, %eax
	.irp	sel, RND_DS, RND_KDS
	movl	%eax, %edx
	movw	%dx, rt_gdt + 2 + (\sel & ~7)
	shrl	$16, %edx
	movb	%dl, rt_gdt + 4 + (\sel & ~7)
	.endr
	descriptor CODE_SEL, 0, (SLOT_IP + 0xff), 0x00fb
	descriptor FS_SEL, 0, 0xffff, 0x00f3
	descriptor DS_SEL, (WINDOW + 7), 0xfeff, 0x00f3
	descriptor ES_SEL, (WINDOW + 0x8000), 0xffff, 0x00f3
	descriptor SS_SEL, (STACK - 0x8000), 0xffff, 0x00f3
	descriptor GS_SEL, (WINDOW + 0x4000), 0x0fff, 0x00f7
	ret

/* EAX = next of x -> 1664525 x + 1013904223; the low bits are poor: rotated */
random:
	imull	$1664525, rng, %eax
	addl	$1013904223, %eax
	movl	%eax, rng
	roll	$13, %eax
	ret

/* EAX into the digest; keeps all but flags. */
fold:	pushl	%edx
	movl	digest, %edx
	roll	$5, %edx
	xorl	%eax, %edx
	imull	$0x9e3779b1, %edx, %edx
	movl	%edx, digest
	popl	%edx
	ret

/* Rights of the window's pages as the parameters say; all else but code and
 * stack is not for CPL 3. */
protect:
	testb	$F_UNPAGED, p_flags
	jnz	9f
	xorl	%esi, %esi
1:	movl	%esi, %eax
	shll	$12, %eax
	movl	%eax, %edx
	orl	$3, %edx
	cmpl	$CODE, %eax
	jb	3f
	cmpl	$(CODE + 0x10000), %eax
	jb	2f
	cmpl	$WINDOW, %eax
	jb	3f
	cmpl	$STACK, %eax
	jae	4f
	movzbl	p_pages - (WINDOW >> 12)(%esi), %edx
	orl	%eax, %edx
	jmp	3f
2:	testb	$F_SMC, p_flags
	jnz	4f
	andb	$~2, %dl
4:	orl	$4, %edx
3:	pushl	$0
	pushl	%edx
	pushl	%eax
	call	rt_set_pte
	incl	%esi
	cmpl	$((STACK + 0x8000) >> 12), %esi
	jb	1b
	testb	$F_V86, p_flags
	jz	9f
	/* The same pages with the same rights where V86 mode reaches them. */
	movl	$(CODE >> 12), %esi
	movl	$V86_CODE, %edi
	movl	$6, %ecx
	call	alias
	movl	$(WINDOW >> 12), %esi
	movl	$V86_WINDOW, %edi
	movl	$(WINDOW_PAGES + 8), %ecx
	call	alias
9:	ret

alias:	movl	%esi, %eax
	shll	$12, %eax
	pushl	%eax
	call	rt_get_pte
	popl	%edx
	pushl	$0
	pushl	%eax
	pushl	%edi
	call	rt_set_pte
	addl	$0x1000, %edi
	incl	%esi
	loop	alias
	ret

round:
	call	protect
	xorl	%ebx, %ebx
1:	movl	%ebx, slot
	call	launch
	movl	slot, %ebx
	incl	%ebx
	cmpl	p_slots, %ebx
	jb	1b
	call	fold_memory
	show	"digest", digest
	ret

/* Registers, stack, flags of a slot, and into it. */
launch:
	movl	$10f, rt_recover
	movl	%esp, rt_recover_esp
	.irp	reg, eax, ecx, edx
	call	random
	movl	%eax, r_\reg
	.endr
	.irp	reg, ebx, ebp, esi, edi
	call	random
	andl	$(WINDOW_PAGES * 4096 - 1), %eax
	addl	$WINDOW, %eax
	subl	p_base, %eax
	movl	%eax, r_\reg
	.endr
	call	random
	andl	$0x8d5, %eax
	orl	$FL_FIXED, %eax
	movl	slot, %ecx
	shll	$8, %ecx
	testb	$F_16, p_flags
	jnz	launch16
	addl	$CODE, %ecx
	testb	$F_KERNEL, p_flags
	jnz	1f
	pushl	$RND_DS
	movl	$(STACK + 0x4000), %edx
	subl	p_base, %edx
	pushl	%edx
	pushl	%eax
	pushl	$USER_CS
	pushl	%ecx
	movl	$RND_DS, %ecx
	jmp	2f
1:	movl	$(STACK + 0x4000), %esp
	pushl	%eax
	pushl	$CS32
	pushl	%ecx
	movl	$RND_KDS, %ecx
2:	movl	r_eax, %eax
	movl	r_edx, %edx
	movl	r_ebx, %ebx
	movl	r_ebp, %ebp
	movl	r_esi, %esi
	movl	r_edi, %edi
	pushl	r_ecx
	movl	%ecx, %es
	movl	%ecx, %ds
	popl	%ecx
	iretl
10:	cld
	movups	%xmm0, vectors
	movups	%xmm1, vectors + 16
	movups	%xmm2, vectors + 32
	movups	%xmm3, vectors + 48
	testb	$F_TRACE, p_flags
	jz	1f
	.irp	i, 0, 4, 8, 12
	show	"xmm0.\i", vectors+\i
	show	"xmm1.\i", vectors+16+\i
	.endr
1:
	movl	$vectors, %esi
	movl	$16, %ecx
	jmp	fold_words

/* EAX = flags, ECX = offset of the slot. */
launch16:
	.irp	reg, ebx, ebp, esi, edi
	movzwl	r_\reg, %edx
	movl	%edx, r_\reg
	.endr
	movl	%eax, %edi
	call	random
	movl	%eax, %ebx
	andl	$0xfffffffe, %ebx	/* ESP: the upper half stays */
	testb	$F_V86, p_flags
	jnz	2f
	addl	$(CODE - SLOT_IP), %ecx
	.irp	sel, CODE_SEL, FS_SEL
	movl	%ecx, %edx
	movw	%dx, rt_gdt + 2 + (\sel & ~7)
	shrl	$16, %edx
	movb	%dl, rt_gdt + 4 + (\sel & ~7)
	.endr
	pushl	$SS_SEL
	pushl	%ebx
	pushl	%edi
	pushl	$CODE_SEL
	pushl	$SLOT_IP
	call	load16
	pushl	$DS_SEL
	pushl	$ES_SEL
	pushl	$FS_SEL
	pushl	$GS_SEL
	popl	%gs
	popl	%fs
	popl	%es
	popl	%ds
	iretl
2:	addl	$(V86_CODE - SLOT_IP), %ecx
	shrl	$4, %ecx
	pushl	$((V86_WINDOW + 0x11230) >> 4)	/* GS FS DS ES SS */
	pushl	%ecx
	pushl	$(V86_WINDOW >> 4)
	pushl	$((V86_WINDOW + 0x7f30) >> 4)
	pushl	$((V86_WINDOW + WINDOW_PAGES * 0x1000 - 0x8000) >> 4)
	pushl	%ebx
	orl	$FL_VM, %edi
	testb	$1, slot
	jz	3f
	orl	$FL_IOPL3, %edi
3:	pushl	%edi
	pushl	%ecx
	pushl	$SLOT_IP
	call	load16
	iretl

load16:	.irp	reg, eax, ecx, edx, ebx, ebp, esi, edi
	movl	r_\reg, %\reg
	.endr
	ret

/* EBP = frame. */
hook:	testb	$F_TRACE, p_flags
	jz	1f
	show	"slot", slot
	.irp	reg, vector, ERROR, EIP, EFLAGS, cr2, EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI
	show	"\reg", exc_\reg
	.endr
	show	"digest", digest
1:	movl	exc_vector, %eax
	call	fold
	movl	exc_ERROR, %eax
	call	fold
	movl	exc_EIP, %eax
	call	fold
	movl	exc_EFLAGS, %eax
	andl	$0xcc5, %eax
	cmpl	$0, exc_vector		/* a divide error may leave any */
	jne	1f
	andl	$FL_DF, %eax
1:	call	fold
	movl	$exc_EDI, %esi
	.irp	reg, EAX, ECX, EDX, EBX, EBP, ESI, EDI, ESP
	movl	exc_\reg, %eax
	call	fold
	.endr
	cmpl	$0x41, exc_vector
	je	8f
	cmpl	$14, exc_vector
	jne	9f
	movl	exc_cr2, %eax
	call	fold
	testb	$7, digest
	jz	9f
	movl	exc_cr2, %eax
	subl	$WINDOW, %eax
	testb	$F_V86, p_flags
	jz	2f
	addl	$(WINDOW - V86_WINDOW), %eax
2:	cmpl	$(WINDOW_PAGES * 4096), %eax
	jae	9f
	andl	$~0xfff, %eax
	pushl	$0
	addl	$(WINDOW | 7), %eax
	pushl	%eax
	movl	exc_cr2, %eax
	andl	$~0xfff, %eax
	pushl	%eax
	call	rt_set_pte
	movl	$1, %eax
	ret
8:	incl	completed
9:	xorl	%eax, %eax
	ret

fold_words:			/* ECX words at ESI */
	lodsl
	call	fold
	loop	fold_words
	ret

	.macro	trace name
	testb	$F_TRACE, p_flags
	jz	7f
	show	"\name", digest
7:
	.endm

fold_memory:
	movl	$CODE, %esi
	movl	p_slots, %ecx
	shll	$6, %ecx
	call	fold_words
	trace	"code"
	testb	$F_UNPAGED, p_flags
	jnz	1f
	/* The entries first: reading the pages sets A, and some cannot be read. */
	movl	$(WINDOW >> 12), %ebx
2:	movl	%ebx, %eax
	shll	$12, %eax
	pushl	%eax
	call	rt_get_pte
	call	fold
	trace	"pte"
	popl	%eax
	pushl	$0
	leal	3(%eax), %edx
	pushl	%edx
	pushl	%eax
	call	rt_set_pte
	incl	%ebx
	cmpl	$((WINDOW >> 12) + WINDOW_PAGES), %ebx
	jb	2b
1:	movl	$WINDOW, %esi
	movl	$(WINDOW_PAGES * 1024 + 8 * 1024), %ecx
	call	fold_words
	trace	"data"
	fnsave	vectors
	movl	$(vectors + 28), %esi
	movl	$20, %ecx
	call	fold_words
	fninit
	ret

	.bss
	.balign	16
vectors: .skip	128
	.irp	reg, eax, ecx, edx, ebx, ebp, esi, edi
r_\reg:	.skip	4
	.endr
rng:	.skip	4
digest:	.skip	4
slot:	.skip	4
completed: .skip 4

	/* What random.c fills in. */
	.data
	.balign	16
params:	.ascii	"RING1 RANDOM V01"
p_seed:	.long	0
p_rounds: .long	0
p_flags: .long	0
p_slots: .long	0
p_base:	.long	0
p_max:	.long	(code_end - code) / 256
p_pages: .skip	WINDOW_PAGES
code:	.skip	96 * 256
code_end:
