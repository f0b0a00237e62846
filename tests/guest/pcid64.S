/*
 * Process-context identifiers: CR4.PCIDE, MOV CR3, INVPCID, and what is cached under
 * which.  SDM vol. 2, INVPCID; vol. 3, 4.10.
 */
#include "guest.inc"
#include "long64.inc"
#include "features64.inc"

	.equ	TABLES_B, HIGH + 0x5000	/* as PML4, PDPT, PD, PT */
	.equ	PT_B, TABLES_B + 0x3000
	.equ	CR4_PCIDE, 17

	.code64
main64:
	call	features_init
	call	pcids
	ret

	/* R15: bit 63. */
	.macro	cr3 tables, pcid, keep=0
	movl	$(\tables + \pcid), %eax
	.if	\keep
	orq	%r15, %rax
	.endif
	movq	%rax, %cr3
	.endm
	.macro	invpcid_of type, pcid, address
	movl	$\type, %eax
	movq	$\pcid, descriptor_invpcid(%rip)
	movq	$\address, descriptor_invpcid+8(%rip)
	invpcid	descriptor_invpcid(%rip), %rax
	.endm
	/* What user, in 64-bit and in compatibility mode, and supervisor see at PAGE_A. */
	.macro	sees name, what
	movl	$PAGE_A, %ecx
	user64	user_read32, USER_CS
98:	movl	%edx, %r9d
	user_reads
	movq	%rdx, %rbp
	shlq	$32, %rbp
	call	hot_read
	cmpl	%edx, %r9d
	je	1f
	notq	%rdx
1:	orq	%rbp, %rdx
	same64	\name, %rdx, \what, \what
	.endm

	.code32
user_read32:
	movl	$HOT, %esi
1:	movl	(%ecx), %edx
	leal	(%edx, %esi), %edi
	decl	%esi
	jnz	1b
	int	$0x40
	.code64

pcids:
	needs	f1c, 17, 9f
	needs	f7b, 10, 9f
	xorl	%r15d, %r15d
	btsq	$63, %r15
	movl	$PML4, %esi
	movl	$TABLES_B, %edi
	movl	$(4 * 4096 / 8), %ecx
	rep movsq
	movl	$(TABLES_B + 0x1007), TABLES_B
	movl	$(TABLES_B + 0x2007), TABLES_B + 0x1000
	movl	$(TABLES_B + 0x3007), TABLES_B + 0x2000
	pte	PAGE_A, PAGE_B|7, 0, PT_B
	call	invpcid_off
	call	pcide
	cr3	PML4, 1
	sees	pcid_1, 0xa
	cr3	TABLES_B, 2
	sees	pcid_2, 0xb
	cr3	PML4, 1, 1
	sees	pcid_keep_1, 0xa
	cr3	TABLES_B, 2, 1
	sees	pcid_keep_2, 0xb
	movq	%cr3, %rax
	same64	pcid_cr3, %rax, TABLES_B+2
	/* The other's tables are changed, then flushed: a page, all of it, everything. */
	cr3	PML4, 1, 1
	pte	PAGE_A, PAGE_C|7, 0, PT_B
	invpcid_of 0, 2, PAGE_A
	cr3	TABLES_B, 2, 1
	sees	invpcid_page, 0xc
	cr3	PML4, 1, 1
	sees	invpcid_page_1, 0xa
	pte	PAGE_A, PAGE_D|7, 0, PT_B
	invpcid_of 1, 2, 0
	cr3	TABLES_B, 2, 1
	sees	invpcid_one, 0xd
	cr3	PML4, 1, 1
	pte	PAGE_A, PAGE_B|7, 0, PT_B
	invpcid_of 2, 0, 0
	cr3	TABLES_B, 2, 1
	sees	invpcid_all, 0xb
	cr3	PML4, 1, 1
	pte	PAGE_A, PAGE_C|7, 0, PT_B
	invpcid_of 3, 0, 0
	cr3	TABLES_B, 2, 1
	sees	invpcid_nonglobal, 0xc
	/* The own ones. */
	pte	PAGE_A, PAGE_D|7, 0, PT_B
	invpcid_of 0, 2, PAGE_A
	sees	invpcid_own_page, 0xd
	pte	PAGE_A, PAGE_B|7, 0, PT_B
	invpcid_of 1, 2, 0
	sees	invpcid_own, 0xb
	pte	PAGE_A, PAGE_C|7, 0, PT_B
	invlpg	PAGE_A
	sees	pcid_invlpg, 0xc
	/* A PCID that is flushed has nothing of tables that another has used. */
	invpcid_of 1, 3, 0
	pte	PAGE_A, PAGE_D|7, 0, PT_B
	cr3	TABLES_B, 3, 1
	sees	pcid_new, 0xd
	cr3	TABLES_B, 1
	sees	pcid_reused, 0xd
	cr3	PML4, 1
	sees	pcid_reused_back, 0xa
	pte	PAGE_A, PAGE_C|7, 0, PT_B
	cr3	TABLES_B, 2
	sees	pcid_flushed, 0xc
	call	pcid_global
	call	invpcid_faults
	/* Paging stays on. */
	cr3	PML4, 0
	movq	%cr0, %rdi
	btrq	$31, %rdi
	movq	%rsp, %rbx
	pushq	$CS32
	leaq	96f(%rip), %rax
	pushq	%rax
	try64
	lretq
	.code32
96:	movl	%edi, %cr0
	.code64
	caught64 pcid_pg_off, 13, 0, 96b
	movq	%rbx, %rsp
	cr4_off	CR4_PCIDE
	sees	pcid_off, 0xa
9:	ret

invpcid_off:
	movq	$1, descriptor_invpcid(%rip)
	movq	$0, descriptor_invpcid+8(%rip)
	xorl	%edi, %edi
	fault64	invpcid_off_page, 13, 0, "invpcid descriptor_invpcid(%rip), %rdi"
	incl	%edi
	fault64	invpcid_off_one, 13, 0, "invpcid descriptor_invpcid(%rip), %rdi"
	movq	$0, descriptor_invpcid(%rip)
	quiet64	invpcid_off_zero, "invpcid descriptor_invpcid(%rip), %rdi"
	movq	%cr3, %rcx
	btsq	$63, %rcx
	fault64	keep_off, 13, 0, "movq %rcx, %cr3"
	ret

pcide:
	movl	$(PML4 | 0x18), %eax
	movq	%rax, %cr3
	movq	%cr4, %rcx
	btsq	$CR4_PCIDE, %rcx
	fault64	pcide_cr3, 13, 0, "movq %rcx, %cr4"
	movl	$PML4, %eax
	movq	%rax, %cr3
	quiet64	pcide, "movq %rcx, %cr4"
	ret

/* INVLPG drops a global page whatever PCID has cached it. */
pcid_global:
	cr4_on	7
	pte	PAGE_A, PAGE_A|0x107
	pte	PAGE_A, PAGE_A|0x107, 0, PT_B
	cr3	TABLES_B, 2
	sees	pcid_global, 0xa
	cr3	PML4, 1, 1
	sees	pcid_global_1, 0xa
	pte	PAGE_A, PAGE_D|0x107
	pte	PAGE_A, PAGE_D|0x107, 0, PT_B
	invlpg	PAGE_A
	sees	pcid_global_gone, 0xd
	cr3	TABLES_B, 2, 1
	sees	pcid_global_gone_2, 0xd
	pte	PAGE_A, PAGE_A|7
	pte	PAGE_A, PAGE_B|7, 0, PT_B
	cr4_off	7
	ret

invpcid_faults:
	movq	$0x1000, descriptor_invpcid(%rip)
	movl	$1, %edi
	fault64	invpcid_13_bits, 13, 0, "invpcid descriptor_invpcid(%rip), %rdi"
	movq	$1, descriptor_invpcid(%rip)
	movl	$4, %edi
	fault64	invpcid_type, 13, 0, "invpcid descriptor_invpcid(%rip), %rdi"
	xorl	%edi, %edi
	movl	$0x8000, descriptor_invpcid+12(%rip)
	fault64	invpcid_address, 13, 0, "invpcid descriptor_invpcid(%rip), %rdi"
	movl	$0x800000, %ecx			/* absent */
	fault64	invpcid_absent, 14, 0, "invpcid (%rcx), %rdi"
	movq	got_cr2(%rip), %rax
	same64	invpcid_cr2, %rax, 0x800000
	user64	97f
97:	invpcid	(%rcx), %rdi
	caught64 invpcid_user, 13, 0, 97b
	fault64	invpcid_lock, 6, 0, ".byte 0xf0, 0x66, 0x0f, 0x38, 0x82, 0x39"
	ret

	.bss
	.balign	16
descriptor_invpcid: .skip 16
