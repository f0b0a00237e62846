/*
 * Indirect jumps whose target changes, whose target's code is changed, and whose
 * target's page is another one: a jump goes to what stands there now (SDM vol. 3,
 * 4.10.4, 9.1.3), with the flags that were set before it.
 */
#include "guest.inc"

	.equ	A, 0x400000		/* functions, and jumps to them in the same page */
	.equ	B, 0x401000		/* what A may be mapped to */
	.equ	C, 0x402000		/* jumps from another page */
	.equ	G, 0x100
	.equ	CALL_REG, 0xf00		/* in A and C */
	.equ	CALL_MEM, 0xf10
	.equ	JMP_REG, 0xf20
	.equ	JMP_MEM, 0xf30
	.equ	IMM, 6			/* of a function's instruction that differs */

	.globl	guest_main
guest_main:
	print	"paging off"
	call	make
	call	changing
	call	written
	print	"2-level"
	call	rt_paging_2level
	call	paged
	call	rt_paging_off
	print	"PAE"
	call	rt_paging_pae
	call	paged
	call	rt_paging_off
	ret

paged:
	call	make
	call	users
	call	supervisor
	call	changing
	call	written
	call	remapped
	movl	%cr4, %eax
	orl	$0x80, %eax
	movl	%eax, %cr4
	print	"global"
	set_pte	A, A+3+G
	set_pte	C, C+3+G
	call	make			/* and a new start for what had no use for links */
	call	changing
	call	written
	call	invlpg
	movl	%cr4, %eax
	andl	$~0x80, %eax
	movl	%eax, %cr4
	ret

/* The kernel's windows have no user pages. */
supervisor:
	movl	$0x101000, %edi
	movl	$4, %edx
	cmpb	$0, rt_pae
	je	1f
	movl	$0x10a000, %edi
	movl	$8, %edx
1:	movl	$2048, %ecx
2:	andl	$~4, (%edi)
	addl	%edx, %edi
	loop	2b
	movl	%cr3, %eax
	movl	%eax, %cr3
	ret

/* Eight functions in A, others in B, and the jumps. */
make:
	movl	$A, %edi
	movl	$1, %ebx
	call	functions
	call	jumps
	movl	$B, %edi
	movl	$101, %ebx
	call	functions
	call	jumps
	movl	$C, %edi
	call	jumps
	ret

functions:
	xorl	%ecx, %ecx
1:	movl	%ecx, %eax
	shll	$8, %eax
	movl	$0x448d599c, (%edi, %eax)	/* pushfl; popl %ecx */
	movl	$0x00c300c0, 4(%edi, %eax)	/* leal bl(%eax, %eax, 8), %eax; ret */
	movb	%bl, IMM - 1(%edi, %eax)
	incl	%ebx
	incl	%ecx
	cmpl	$8, %ecx
	jne	1b
	ret

jumps:
	movl	$0x00c3d2ff, CALL_REG(%edi)	/* call *%edx; ret */
	movl	$0x15ff, CALL_MEM(%edi)		/* call *target; ret */
	movl	$target, CALL_MEM + 2(%edi)
	movb	$0xc3, CALL_MEM + 6(%edi)
	movl	$0xe2ff, JMP_REG(%edi)		/* jmp *%edx */
	movl	$0x25ff, JMP_MEM(%edi)		/* jmp *target */
	movl	$target, JMP_MEM + 2(%edi)
	ret

/* 600 jumps at EBP.  The first 200 go to one function, 200 to two in turn, then all
 * eight have a turn.  EAX and what it must be, at `want`, go from one to the next. */
run:
	xorl	%ebx, %ebx
	movl	$1, %eax
	movl	%eax, want
1:	call	once
	incl	%ebx
	cmpl	$600, %ebx
	jne	1b
	ret

once:
	movl	%ebx, %edx
	imull	$0x9e3779b1, %edx
	shrl	$29, %edx
	cmpl	$400, %ebx
	jae	2f
	movl	%ebx, %edx
	andl	$1, %edx
	cmpl	$200, %ebx
	jae	2f
	xorl	%edx, %edx
2:	shll	$8, %edx
	addl	$A, %edx
	movl	%edx, target
	movsbl	IMM - 1(%edx), %ecx		/* what stands there for data */
	movl	want, %esi
	leal	(%esi, %esi, 8), %esi
	addl	%ecx, %esi
	movl	%esi, want
	imull	$0x2f0b4c47, %esi, %edi
	shrl	$20, %edi
	andl	$0x8d5, %edi			/* arithmetic flags */
	pushl	%edi
	popfl
	call	*%ebp
	andl	$0x8d5, %ecx
	cmpl	%edi, %ecx
	jne	3f
	cmpl	want, %eax
	je	4f
3:	incl	errors
4:	ret

	.macro	all_jumps name, function
	.irp	page, A, C
	.irp	at, CALL_REG, CALL_MEM, JMP_REG, JMP_MEM
	movl	$0, errors
	movl	$\page + \at, %ebp
	call	\function
	check	"\name \page \at", errors, $0
	.endr
	.endr
	.endm

changing:
	all_jumps "changing", run
	ret

/* Every eighth time the function that was called is changed. */
written:
	all_jumps "written", run_written
	ret

run_written:
	xorl	%ebx, %ebx
	movl	$1, %eax
	movl	%eax, want
1:	call	once
	incl	%ebx
	testl	$7, %ebx
	jnz	2f
	movl	target, %edx
	incb	IMM - 1(%edx)
2:	cmpl	$600, %ebx
	jne	1b
	ret

/* A and B in turn at A, by MOV CR3. */
remapped:
	all_jumps "remapped", run_cr3
	set_pte	A, A+3
	ret

run_cr3:
	xorl	%ebx, %ebx
	movl	$1, %eax
	movl	%eax, want
1:	call	once
	incl	%ebx
	testl	$7, %ebx
	jnz	2f
	pushl	%eax
	movl	$0x101000 + (A >> 12) * 4, %edx
	cmpb	$0, rt_pae
	je	3f
	movl	$0x10a000 + (A >> 12) * 8, %edx
3:	xorl	$(A ^ B), (%edx)
	movl	%cr3, %edx
	movl	%edx, %cr3
	popl	%eax
2:	cmpl	$600, %ebx
	jne	1b
	ret

/* By INVLPG: A is global. */
invlpg:
	all_jumps "invlpg", run_invlpg
	ret

run_invlpg:
	xorl	%ebx, %ebx
	movl	$1, %eax
	movl	%eax, want
1:	call	once
	incl	%ebx
	testl	$7, %ebx
	jnz	2f
	pushl	%eax
	set_pte	A, B+3+G
	testl	$8, %ebx
	jnz	3f
	set_pte	A, A+3+G
3:	popl	%eax
2:	cmpl	$600, %ebx
	jne	1b
	set_pte	A, A+3+G
	ret

/* At CPL 3, before and after A became another page. */
users:
	.irp	at, CALL_REG, CALL_MEM, JMP_REG, JMP_MEM
	.irp	to, A, B
	movl	$0, errors
	set_pte	A, \to+7
	user
	movl	$A + \at, %ebp
	call	run
	movl	$C + \at, %ebp
	call	run
	user_end
	check	"user \at \to", errors, $0
	.endr
	.endr
	set_pte	A, A+7
	ret

	.bss
	.align	4
target:	.skip	4
want:	.skip	4
errors:	.skip	4
