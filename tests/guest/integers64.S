/*
 * Long mode at CPL 0, integers only and without exceptions, so that a /dev/kvm
 * which only emulates runs it too.  SDM vol. 1, 3.4-3.7; vol. 3, 9.8.5.
 */
#include "guest.inc"

	.globl	guest_main
guest_main:
	call	rt_have_long
	testl	%eax, %eax
	jnz	1f
	print	"no long mode"
	ret
1:	pushl	$integers
	call	rt_long
	check64	"zext", 0, 0, 0x80000000
	check64	"sext", 1, 0xffffffff, 0x80000000
	check64	"keep16", 2, 0x11223344, 0x5566aaaa
	check64	"keep8", 3, 0x11223344, 0x556677bb
	check64	"movabs", 4, 0xfedcba98, 0x76543210
	check64	"r8_15", 5, 0, 120
	check64	"mul.lo", 6, 0x2236d88f, 0xe5618cf0
	check64	"mul.hi", 7, 0x0121fa00, 0xad77d742
	check64	"div", 8, 0x12345678, 0x9abcdef0
	check64	"imul", 9, 0xffffffff, 0xfffffe00
	check64	"shl", 10, 0x23456789, 0xabcdef00
	check64	"rol", 11, 0x3456789a, 0xbcdef012
	check64	"cdqe", 12, 0xffffffff, 0xffff8000
	check64	"cqo", 13, 0xffffffff, 0xffffffff
	check64	"bt", 14, 0, 1
	check64	"bsf", 15, 0, 40
	check64	"bswap", 16, 0xf0debc9a, 0x78563412
	check64	"add_carry", 17, 0, 0
	check64	"add_carry.hi", 18, 0, 1
	check64	"spl", 19, 0, 0xf8
	pushl	$memory
	call	rt_long
	check64	"rip", 0, 0x01234567, 0x89abcdef
	check64	"rip_lea", 1, 0, rip_data
	check64	"push", 2, 0xffffffff, 0xdeadbeef
	check64	"push.rsp", 3, 0, 8
	check64	"pushw", 4, 0, 2
	check64	"high", 5, 0x01234567, 0x89abcdef
	check64	"addr32", 6, 0x01234567, 0x89abcdef
	check64	"sib", 7, 0, 0x77
	check64	"movs", 8, 0, 0x77
	check64	"movs.rdi", 9, 0, 0x400210
	check64	"xchg", 10, 0x11111111, 0x22222222
	check64	"window", 13, 0, 0x5a5a
	check64	"window_back", 14, 0, 0x1234
	check64	"leave", 15, 0, 0x99
	pushl	$control
	call	rt_long
	check64	"jump", 0, 0, 5050
	check64	"call", 1, 0, 7
	check64	"cs", 2, 0, CS64
	check64	"compat", 3, 0, 0x80000001
	check64	"compat_wrap", 4, 0, 0xffffffff
	check64	"back", 5, 0x12345678, 0x9abcdef0
	check64	"setcc", 6, 0, 0x0101
	check64	"cmov32", 7, 0, 0x55667788
	check64	"loop", 8, 0, 1000
	check64	"smc", 9, 0, 0x600dc0de
	ret

	.code64
integers:
	movq	$-1, %rax
	movl	$0x80000000, %eax
	save	0, %rax
	movslq	%eax, %rbx
	save	1, %rbx
	movabsq	$0x1122334455667788, %rcx
	movw	$0xaaaa, %cx
	save	2, %rcx
	movabsq	$0x1122334455667788, %rcx
	movb	$0xbb, %cl
	movb	$0x77, %ch
	save	3, %rcx
	movabsq	$0xfedcba9876543210, %rdx
	save	4, %rdx
	.irp	n, 8, 9, 10, 11, 12, 13, 14, 15
	movl	$(\n + 3 - 8 + 8), %r\n\()d
	.endr
	xorl	%eax, %eax
	.irp	n, 8, 9, 10, 11, 12, 13, 14, 15
	leaq	1(%rax, %r\n), %rax
	.endr
	addq	$-4 , %rax
	save	5, %rax
	movabsq	$0x123456789abcdef0, %rax
	movabsq	$0x0fedcba987654321, %rbx
	movq	%rax, %rcx
	mulq	%rbx
	save	6, %rax
	save	7, %rdx
	divq	%rbx
	save	8, %rax
	movq	$-2, %rax
	imulq	$256, %rax, %rax
	save	9, %rax
	movq	%rcx, %rax
	shlq	$4, %rax
	save	10, %rax
	movq	%rcx, %rax
	movb	$8, %cl
	rolq	%cl, %rax
	save	11, %rax
	movl	$0xffff8000, %eax
	cltq
	save	12, %rax
	cqto
	save	13, %rdx
	movl	$40, %ecx
	movabsq	$0x10000000000, %rax
	xorl	%edx, %edx
	btq	%rcx, %rax
	setc	%dl
	save	14, %rdx
	bsfq	%rax, %rax
	save	15, %rax
	movabsq	$0x123456789abcdef0, %rax
	bswapq	%rax
	save	16, %rax
	movq	$-1, %rax
	xorl	%ebx, %ebx
	addq	$1, %rax
	adcq	$0, %rbx
	save	17, %rax
	save	18, %rbx
	movq	%rsp, %r12
	movb	$0xf8, %spl
	movzbl	%spl, %eax
	movq	%r12, %rsp
	save	19, %rax
	ret

	.balign	8
rip_data: .quad	0x0123456789abcdef

memory:
	movq	rip_data(%rip), %rax
	save	0, %rax
	leaq	rip_data(%rip), %rax
	save	1, %rax
	movq	%rsp, %r12
	pushq	$0xffffffffdeadbeef
	movq	%r12, %rbx
	subq	%rsp, %rbx
	popq	%rax
	save	2, %rax
	save	3, %rbx
	pushw	$0x1234
	movq	%r12, %rbx
	subq	%rsp, %rbx
	popw	%ax
	save	4, %rbx
	/* The same memory in the last PML4 entry. */
	movabsq	$0xffffffffc0000000, %rbx
	movl	$rip_data, %eax
	movq	(%rbx, %rax), %rax
	save	5, %rax
	movabsq	$0x7777777700000000, %rbx
	movl	$rip_data, %eax
	orq	%rax, %rbx
	movq	(%ebx), %rax
	save	6, %rax
	movl	$0x77, 0x400200
	movl	$0x400000, %r13d
	movl	$0x40, %r14d
	movzbl	(%r13, %r14, 8), %eax
	save	7, %rax
	movl	$0x400200, %esi
	movl	$0x400208, %edi
	cld
	movsq
	movl	0x400208, %eax
	save	8, %rax
	save	9, %rdi
	movabsq	$0x1111111122222222, %rax
	movq	%rax, 0x400210
	xorl	%ecx, %ecx
	lock xchgq %rcx, 0x400210
	save	10, %rcx
	/* 4 KiB pages: remap one, INVLPG, put it back. */
	movl	$0x1234, 0x401000
	movl	$0x5a5a, 0x402000
	movl	0x1001000, %eax
	movl	$0x402007, 0x123008
	invlpg	0x1001000
	movl	0x1001000, %eax
	save	13, %rax
	movl	$0x401007, 0x123008
	movq	%cr3, %rax
	movq	%rax, %cr3
	movl	0x1001000, %eax
	save	14, %rax
	movl	$0x99, %ebp
	enter	$32, $0
	leave
	save	15, %rbp
	ret

control:
	xorl	%eax, %eax
	movl	$100, %ecx
1:	addq	%rcx, %rax
	decq	%rcx
	jnz	1b
	save	0, %rax
	xorl	%eax, %eax
	leaq	2f(%rip), %rbx
	call	*%rbx
	call	2f
	jmp	3f
2:	leal	3(%rax), %eax
	ret
3:	incl	%eax
	save	1, %rax
	movl	%cs, %eax
	save	2, %rax
	/* Compatibility mode: 32-bit code, upper halves do not count. */
	movabsq	$0x123456789abcdef0, %rsi
	movq	%rsp, %r12
	movl	$DS32, %eax
	movl	%eax, %ss
	movl	%eax, %ds
	pushq	$CS32
	leaq	compat(%rip), %rax
	pushq	%rax
	lretq
back64:	movq	%r12, %rsp
	save	5, %rsi
	xorl	%eax, %eax
	cmpq	%rax, %rax
	sete	%al
	setbe	%ah
	save	6, %rax
	movabsq	$0x1122334455667788, %rbx
	movl	$5, %eax
	testl	%eax, %eax
	cmovnzl	%ebx, %eax
	save	7, %rax
	xorl	%eax, %eax
	movabsq	$1000, %rcx
4:	incq	%rax
	loop	4b
	save	8, %rax
	movl	$0x600dc0de, 5f+1(%rip)
5:	movl	$0, %eax
	save	9, %rax
	ret

	.code32
compat:
	movl	$0x80000000, %eax
	incl	%eax
	movl	%eax, rt_result + 3 * 8
	movl	$0, rt_result + 3 * 8 + 4
	xorl	%eax, %eax
	decl	%eax			/* 48: DEC, not REX */
	movl	%eax, rt_result + 4 * 8
	movl	$0, rt_result + 4 * 8 + 4
	ljmp	$CS64, $back64
