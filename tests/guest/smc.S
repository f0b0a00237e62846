/*
 * Code that changes itself, and code that is changed: the processor sees its own
 * stores at the next instruction (SDM vol. 3, 12.6, 9.1.3: the same linear address
 * needs no serialising on any processor since the P6).
 */
#include "guest.inc"

	.equ	CODE, 0x200000		/* scratch pages for generated code */
	.equ	A, 0x400000
	.equ	B, 0x401000

	.globl	guest_main
guest_main:
	print	"paging off"
	call	all
	print	"2-level"
	call	rt_paging_2level
	call	all
	call	aliases
	call	remap
	call	rep_erase
	call	rt_paging_off
	print	"PAE"
	call	rt_paging_pae
	call	all
	call	aliases
	call	remap
	call	rep_erase
	call	rt_paging_off
	call	real
	ret

all:
	call	next_insn
	call	loop_imm
	call	straddle
	call	counter
	call	generate
	call	bulk
	call	odd_stores
	call	jumps
	call	patch_iret
	call	self_erase
	ret

/* The very next instruction, and one farther on in the same line of code. */
next_insn:
	movb	$0x11, 1f + 1
	movb	$0x5a, 1f + 1
1:	movb	$0x11, %al
	movzbl	%al, %eax
	check	"next", %eax, $0x5a
	movl	$0x77777777, 2f + 1
	nop
	nop
2:	movl	$0, %eax
	check	"near", %eax, $0x77777777
	/* An instruction becomes another one: inc %eax -> dec %eax. */
	movl	$10, %eax
	movb	$0x48, 3f
3:	incl	%eax
	check	"opcode", %eax, $9
	movb	$0x40, 3b
	/* Longer and shorter: b8 imm32 <-> five nops. */
	movl	$1, %eax
	movl	$0x90909090, 4f + 1
	movb	$0x90, 4f
4:	movl	$2, %eax
	check	"to_nops", %eax, $1
	movl	$2, 4b + 1
	movb	$0xb8, 4b
	ret

/* A loop that rewrites its own immediate each time round. */
loop_imm:
	xorl	%eax, %eax
	movl	$3000, %ecx
	movl	$0, 2f + 1
1:
2:	.byte	0x05			/* add $imm32, %eax */
	.long	0
	incl	2b + 1
	loop	1b
	check	"imm.sum", %eax, $(2999*3000/2)
	check	"imm.last", 2b + 1, $3000
	movl	$0, 2b + 1
	/* One that rewrites the body of an inner loop every 50 rounds. */
	xorl	%eax, %eax
	movl	$40, %edx
1:	movl	$50, %ecx
2:	addl	$1, %eax		/* 83 c0 ib */
	decl	%ecx
	jnz	2b
	incb	2b + 2
	decl	%edx
	jnz	1b
	check	"inner.sum", %eax, $(50*(40*41/2))
	movb	$1, 2b + 2
	ret

/* mov $imm32, %eax; ret across a page end; each half is changed in turn. */
straddle:
	movb	$0xb8, CODE + 0xffe
	movb	$0x44, CODE + 0xfff
	movl	$0xc3112233, CODE + 0x1000
	movl	$CODE + 0xffe, %ebx
	call	*%ebx
	check	"straddle", %eax, $0x11223344
	movb	$0x99, CODE + 0x1001
	call	*%ebx
	check	"straddle.second", %eax, $0x11993344
	movb	$0x55, CODE + 0xfff
	call	*%ebx
	check	"straddle.first", %eax, $0x11993355
	movl	$0x66778899, CODE + 0xfff
	call	*%ebx
	check	"straddle.both", %eax, $0x66778899
	movl	$0xc3112233, CODE + 0x1000
	/* A store that itself straddles, into code on both sides. */
	movl	$500, %ecx
	xorl	%esi, %esi
1:	movl	%ecx, CODE + 0xfff
	call	*%ebx
	addl	%eax, %esi
	loop	1b
	check	"straddle.sum", %esi, $(500*501/2)
	ret

/* Data in the page that runs. */
	.balign	64
counter:
	movl	$0, 2f
	movl	$20000, %ecx
1:	incl	2f
	addl	%ecx, 2f + 4
	loop	1b
	jmp	3f
	.balign	4
2:	.long	0, 0
3:	check	"counter", 2b, $20000
	check	"counter2", 2b + 4, $(20000*20001/2)
	movl	$0, 2b + 4
	ret

/* A function generated 300 times at one place, and called. */
generate:
	xorl	%esi, %esi
	movl	$300, %ecx
1:	movb	$0xb8, CODE + 0x2000	/* mov $ecx, %eax ; ret */
	movl	%ecx, CODE + 0x2001
	movb	$0xc3, CODE + 0x2005
	movl	$CODE + 0x2000, %eax
	call	*%eax
	addl	%eax, %esi
	movl	$0xc340, CODE + 0x2000	/* inc %eax ; ret */
	movl	$CODE + 0x2000, %edx
	call	*%edx
	addl	%eax, %esi
	loop	1b
	check	"generate", %esi, $(300*301+300)
	/* Many functions in one page; one of them changes at a time. */
	movl	$CODE + 0x3000, %edi
	movl	$256, %ecx
2:	movl	$0x0001c083, (%edi)	/* add $1, %eax ; ret */
	movw	$0xc3, 3(%edi)
	addl	$16, %edi
	loop	2b
	movl	$3, %ebp
	xorl	%eax, %eax
3:	movl	$CODE + 0x3000, %edi
	movl	$256, %ecx
4:	call	*%edi
	incb	2(%edi)
	addl	$16, %edi
	loop	4b
	decl	%ebp
	jnz	3b
	check	"functions", %eax, $(256*(1+2+3))
	ret

/* String instructions that write code, also just ahead of themselves. */
bulk:
	cld
	movl	$template, %esi
	movl	$CODE + 0x4000, %edi
	movl	$(template_end - template), %ecx
	rep movsb
	movl	$CODE + 0x4000, %ebx
	call	*%ebx
	check	"bulk", %eax, $0x600d
	movl	$CODE + 0x4001, %edi
	movl	$0xbeef, %eax
	stosl
	call	*%ebx
	check	"bulk.stos", %eax, $0xbeef
	movl	$1f, %edi
	movl	$4, %ecx
	movb	$0x40, %al		/* inc %eax */
	rep stosb
1:	nop
	nop
	nop
	nop
	movzbl	%al, %eax
	check	"bulk.ahead", %eax, $0x44
	movl	$0x90909090, 1b
	movl	$nops, %esi
	movl	$2f, %edi
	movl	$4, %ecx
	xorl	%eax, %eax
	std
	leal	3(%esi), %esi
	leal	3(%edi), %edi
	rep movsb
	cld
2:	incl	%eax
	incl	%eax
	incl	%eax
	incl	%eax
	check	"bulk.down", %eax, $0
	movl	$0x40404040, 2b
	ret

template:
	movl	$0x600d, %eax
	ret
template_end:
nops:	nop; nop; nop; nop

/* Every way to write that is not a plain store. */
odd_stores:
	movl	$CODE + 0x5000, %ebx
	movl	$0xc3c340, (%ebx)	/* inc %eax; ret */
	xorl	%eax, %eax
	call	*%ebx
	movl	%esp, %ebp
	leal	4(%ebx), %esp
	pushl	$0x00c34040		/* push */
	movl	%ebp, %esp
	call	*%ebx
	check	"push", %eax, $3
	movl	$0x00c34840, %ecx	/* xchg */
	xchgl	%ecx, (%ebx)
	call	*%ebx
	check	"xchg", %eax, $3
	lock addl $-0x8, (%ebx)		/* there and back */
	lock addl $0x8, (%ebx)
	lock orb $8, (%ebx)		/* inc -> dec */
	call	*%ebx
	check	"lock_or", %eax, $1
	movl	(%ebx), %edx
	pushl	%eax
	movl	%edx, %eax
	movl	$0x00c34040, %ecx
	lock cmpxchgl %ecx, (%ebx)
	popl	%eax
	call	*%ebx
	check	"cmpxchg", %eax, $3
	pushl	%eax
	movl	(%ebx), %eax
	movl	4(%ebx), %edx
	pushl	%ebx
	movl	%ebx, %esi
	movl	$0x00c34848, %ebx
	movl	$0, %ecx
	lock cmpxchg8b (%esi)
	popl	%ebx
	popl	%eax
	call	*%ebx
	check	"cmpxchg8b", %eax, $1
	pushl	$0x40404040
	popl	(%ebx)
	movb	$0xc3, 3(%ebx)
	call	*%ebx
	check	"pop_mem", %eax, $4
	/* The return address of a call into the page that it calls. */
	movl	%esp, %ebp
	leal	0x100(%ebx), %esp
	call	*%ebx
	movl	%ebp, %esp
	check	"stack_in_page", %eax, $7
	fildl	1f
	fistpl	(%ebx)
	call	*%ebx
	check	"fistp", %eax, $5
	btsl	$3, (%ebx)		/* 48 -> 48, then back */
	btrl	$3, (%ebx)		/* 48 -> 40 */
	call	*%ebx
	check	"btr", %eax, $5
	stc
	setc	(%ebx)			/* add %eax, (%ecx)... */
	movl	$0x00c34848, (%ebx)
	call	*%ebx
	check	"mov", %eax, $3
	ret
	.balign	4
1:	.long	0x00c34848

/* Jumps whose targets change after they were followed. */
jumps:
	movl	$100, %ecx
	xorl	%eax, %eax
1:	jmp	2f			/* eb xx: 2f or 3f in turn */
2:	addl	$1, %eax
	jmp	4f
3:	addl	$100, %eax
4:	xorb	$(2b-1b-2)^(3b-1b-2), 1b + 1
	loop	1b
	check	"jmp", %eax, $(50*101)
	/* A call. */
	movl	$100, %ecx
	xorl	%eax, %eax
	movl	$(add1-6f), 5f + 1
5:	call	add1
6:	movl	5b + 1, %edx
	xorl	$(add1-6b)^(add100-6b), %edx
	movl	%edx, 5b + 1
	loop	5b
	check	"call", %eax, $(50*101)
	/* A condition: jz <-> jnz. */
	movl	$100, %ecx
	xorl	%eax, %eax
7:	testl	%ecx, %ecx
8:	jz	9f
	incl	%eax
9:	xorb	$1, 8b
	loop	7b
	check	"jcc", %eax, $50
	ret

add1:	addl	$1, %eax
	ret
add100:	addl	$100, %eax
	ret

/* As Linux patches itself: INT3, the tail, the first byte, IRET to the next. */
patch_iret:
	movl	$50, %ecx
	xorl	%esi, %esi
1:	movb	$0xcc, 3f
	call	sync
	movl	%ecx, 3f + 1
	call	sync
	movb	$0xb8, 3f
	call	sync
	jmp	3f
	nop
3:	.byte	0x0f, 0x1f, 0x44, 0, 0
	addl	%eax, %esi
	loop	1b
	check	"patch", %esi, $(50*51/2)
	movl	$0x00441f0f, 3b
	movb	$0, 3b + 4
	ret

sync:	pushfl
	pushl	%cs
	pushl	$1f
	iretl
1:	ret

/* A store that overwrites itself: it has been fetched, it completes. */
self_erase:
	movl	$CODE + 0x6000, %ebx
	movl	$2, %ecx
1:	movw	$0x03c7, (%ebx)		/* movl $0x90909090, (%ebx) */
	movl	$0x90909090, 2(%ebx)
	movw	$0xc340, 6(%ebx)	/* inc %eax ; ret */
	xorl	%eax, %eax
	call	*%ebx
	check	"erase", %eax, $1
	movl	$0x90909090, 4(%ebx)
	movb	$0xc3, 7(%ebx)
	call	*%ebx
	loop	1b
	ret

/* One page of code under two linear addresses. */
aliases:
	set_pte	B, A+7
	movl	$0x00c340, A
	movl	$300, %ecx
	xorl	%esi, %esi
1:	movl	$10, %eax
	movl	$A, %ebx
	call	*%ebx
	addl	%eax, %esi
	xorb	$8, B			/* inc <-> dec through the other address */
	movl	$10, %eax
	call	*%ebx
	addl	%eax, %esi
	movl	$B, %ebx
	movl	$10, %eax
	call	*%ebx
	addl	%eax, %esi
	xorb	$8, A
	loop	1b
	check	"alias", %esi, $(300*(11+9+9))
	set_pte	B, B+7
	ret

/* Other pages under one address. */
remap:
	movl	$0x00c340, A		/* inc %eax ; ret */
	movl	$0x00c348, B		/* dec %eax ; ret */
	movl	$A, %ebx
	movl	$200, %ecx
	xorl	%eax, %eax
1:	set_pte	A, B+7
	call	*%ebx
	set_pte	A, A+7
	call	*%ebx
	call	*%ebx
	loop	1b
	check	"remap", %eax, $200
	/* The page that runs is made not present, and back. */
	set_pte	A, 0
	try
	call	*%ebx
	caught
	check	"remap.np", exc_vector, $14
	set_pte	A, A+7
	call	*%ebx
	check	"remap.back", %eax, $201
	/* Read-only code: a store faults, code stays; then it may. */
	set_pte	A, A+5
	pfault	"ro", 3, A, "movb $0x48, A"
	call	*%ebx
	check	"ro.stays", %eax, $202
	set_pte	A, A+7
	movb	$0x48, A
	call	*%ebx
	check	"ro.changed", %eax, $201
	ret

/* A REP that overwrites itself goes on, and the page fault it ends in is its own.
 * EDI starts so far before the code that it is reached by a later element. */
rep_erase:
	set_pte	A, A+7
	set_pte	B, 0
	.irp	before, 0, 7, 2000
	movl	$0x90c3abf3, A + 0xff0	/* rep stosl ; ret ; nop */
	movl	$A + 0xff0 - 4 * \before, %edi
	movl	$\before + 100, %ecx
	movl	$0x40404040, %eax
	try
	movl	$A + 0xff0, %edx
	call	*%edx
	caught
	check	"rep_erase.\before", exc_vector, $14
	check	"rep_erase.eip", exc_EIP, $A + 0xff0
	check	"rep_erase.ecx", exc_ECX, $(100 - 4)
	check	"rep_erase.edi", exc_EDI, $B
	check	"rep_erase.eax", exc_EAX, $0x40404040
	.endr
	/* movs, its source in the same page */
	movl	$A, %edi
	movl	$0x400, %ecx
	movl	$0x4242c342, %eax
	rep stosl
	movl	$0x90c3a4f3, A + 0x800	/* rep movsb ; ret ; nop */
	movl	$A + 0x600, %esi
	movl	$A + 0x7fd, %edi
	movl	$0x1000, %ecx
	try
	movl	$A + 0x800, %edx
	call	*%edx
	caught
	check	"rep_erase.movs", exc_vector, $14
	check	"rep_erase.movs.eip", exc_EIP, $A + 0x800
	check	"rep_erase.movs.edi", exc_EDI, $B
	check	"rep_erase.movs.esi", exc_ESI, $A + 0x600 + 0x803
	set_pte	B, B+7
	ret

/* In real mode, with a segment in front. */
real:
	print	"real mode"
	pushl	$real16
	call	rt_real
	check	"real.next", %eax, $0x5a
	check	"real.loop", %ebx, $(1999*2000/2)
	ret

	.section .text16, "ax"
	.code16
real16:
	xorl	%eax, %eax
	movb	$0x5a, 1f + 1
1:	movb	$0, %al
	movb	$0, 1b + 1
	xorl	%ebx, %ebx
	movw	$2000, %cx
	movl	$0, 2f + 3
2:	addl	$0x11111, %ebx
	incl	2b + 3
	loop	2b
	ret
