/*
 * The state that pieces of 64-bit code leave, all of it, printed: every engine has to
 * leave the same.  Code that starts from known registers at CPL 0; what ends by an
 * exception, at CPL 3, in compatibility mode, and with x87, SSE and AVX.
 *
 * STATE_EMULATED: integers at CPL 0 only, for a /dev/kvm that only emulates.
 */
#include "guest.inc"
#include "long64.inc"
#include "state64.inc"

main64:
	movl	$STATES, %eax
	movq	%rax, next(%rip)
	movl	$state_print, at_end(%rip)
	call	integers
	call	memory
	call	control
	call	loops
#ifndef STATE_EMULATED
	call	exceptions
	call	users
	call	compat
	call	vectors
#endif
	ret

/* RAX = a hash of the RCX bytes at RSI. */
hash:
	xorl	%eax, %eax
1:	rolq	$7, %rax
	movzbl	(%rsi), %edx
	addq	%rdx, %rax
	leaq	(%rax, %rax, 4), %rax
	incq	%rsi
	decq	%rcx
	jnz	1b
	ret

/* --- CPL 0, integers --------------------------------------------------------------------- */

integers:
	state	add
	addq	%rcx, %rax
	adcl	%edx, %ebx
	sbbq	%r8, %r9
	subw	%r10w, %r11w
	adcb	%ah, %dl
	negq	%r12
	incl	%r13d
	decw	%r14w
	xorq	%rax, %rbp
	cmpq	%rbx, %rax
	end_state
	state	logic
	andq	$-16, %rax
	orl	$0x80000000, %ecx
	xorw	$0x7fff, %dx
	notq	%rbx
	andb	$0x0f, %bpl
	orb	%r8b, %sil
	testl	%r9d, %r9d
	cmpq	$0x10, %rsi
	end_state
	state	shift
	movb	$67, %cl
	shlq	%cl, %rax
	shrl	$5, %ebx
	sarq	$9, %rdx
	rolw	%cl, %r8w
	rorq	$13, %r9
	stc
	rclq	$1, %r10
	rcrl	$1, %r11d
	shldq	$20, %r12, %r13
	shrdq	%cl, %r14, %r15
	cmpq	%r8, %r9
	end_state
	state	multiply
	mulq	%rcx
	movq	%rax, %r8
	movq	%rdx, %r9
	divq	%rcx
	imulq	%r10, %r11
	imull	$-77, %r12d, %r13d
	movl	$1000, %ebx
	movl	%ebx, %eax
	cltd
	movl	$7, %ecx
	idivl	%ecx
	movw	$0x1234, %ax
	movb	$0x35, %cl
	divb	%cl
	cmpq	%r8, %rax
	end_state
	state	bits
	bsfq	%rdx, %rax
	bsrq	%rcx, %rcx
	btq	$63, %rdx
	setc	%bl
	btsl	$33, %r8d
	btrq	%rcx, %r9
	btcw	$5, %r10w
	bswapq	%r11
	bswapl	%r12d
	cmpq	%rax, %rcx
	end_state
	state	extend
	movsbq	%al, %rbx
	movzwl	%cx, %edx
	movslq	%r13d, %r13
	cbtw
	cwtl
	cltq
	cqto
	movzbl	%dh, %esi
	movsbw	%r14b, %r14w
	xchgq	%r8, %rax
	xchgl	%eax, %r9d
	leal	(%r10, %r11, 4), %r10d
	leaq	-5(%rbx, %rcx, 8), %r11
	leaq	0x10(%eax), %r12
	cmpb	%al, %bl
	end_state
	state	conditions
	xorl	%r8d, %r8d
	.irp	cc, o, b, e, be, s, p, l, le
	set\cc	%r9b
	leaq	(%r8, %r8), %r8
	movzbl	%r9b, %r9d
	leaq	(%r8, %r9), %r8
	cmov\cc %rcx, %r10
	cmovn\cc %edx, %r11d
	.endr
	end_state
	ret

memory:
	state	operands
	addq	%rax, (%rsi)
	subl	%ecx, 4(%rsi)
	movw	%dx, 0x13(%rsi)
	xchgq	%rbx, 0x20(%rsi)
	incb	0x28(%rsi)
	notq	0x29(%rsi)
	movq	DATA+0x108, %r8
	movl	$2, %r9d
	movq	(%rsi, %r9, 8), %r10
	movl	$0x12345678, 0x40(%rdi)
	movq	$-3, 0x48(%rdi)
	rolq	$4, 0x40(%rdi)
	cmpq	%r8, 0x40(%rdi)
	movq	(%rdi), %r11
	movq	0x40(%rdi), %r12
	end_state
	state	locked
	lock xaddq %rax, (%rsi)
	movq	(%rsi), %rax
	lock cmpxchgq %rdx, (%rsi)
	setz	%r8b
	lock cmpxchgl %ecx, 8(%rsi)
	setz	%r9b
	movq	0x10(%rsi), %rax
	movq	0x18(%rsi), %rdx
	movq	%r10, %rbx
	movq	%r11, %rcx
#ifndef STATE_EMULATED
	lock cmpxchg16b 0x10(%rsi)
#endif
	setz	%r12b
	lock btsq $3, 0x20(%rsi)
	lock decl 0x28(%rsi)
	movq	0x10(%rsi), %r13
	movq	0x28(%rsi), %r14
	cmpb	$1, %r8b
	end_state
	state	strings
	movl	$40, %ecx
	rep movsb
	movl	$5, %ecx
	rep movsq
	movl	$3, %ecx
	rep stosl
	std
	lodsw
	stosb
	movl	$20, %ecx
	rep movsb
	cld
	movl	$100, %ecx
	movb	$0x77, %al
	repne scasb
	movl	$100, %ecx
	movl	$DATA, %esi
	movl	$DATA + 0x100, %edi
	repe cmpsb
	movl	$DATA, %esi
	end_state
	state	strings_after
	movl	$DATA, %esi
	movl	$0x800, %ecx
	call	hash
	end_state
	state	stack
	movq	%rsp, %rbx
	pushq	%rax
	pushq	$-5
	pushw	%cx
	popw	%dx
	popq	%r8
	popq	%r9
	pushfq
	popq	%r10
	pushq	(%rsi)
	popq	8(%rsi)
	movq	8(%rsi), %r11
	movq	%rsp, %rbp
	subq	%rbp, %rbx
	enter	$32, $0
	movq	%rbp, %r12
	subq	%rsp, %r12
	leave
	leaq	0(%rbp), %rbp
	movl	$0, %ebp
	cmpq	$0, %rbx
	end_state
	ret

control:
	state	calls
	movl	$5, %ecx
	xorl	%eax, %eax
1:	leaq	2f(%rip), %rdx
	call	*%rdx
	leaq	targets(%rip), %rbx
	movl	%ecx, %r8d
	andl	$3, %r8d
	movl	(%rbx, %r8, 4), %r8d
	call	*%r8
	loop	1b
	jmp	3f
2:	addq	$7, %rax
	ret
3:	xorl	%edx, %edx
	cmpq	%rax, %rdx
	movl	$0, %ebx
	movl	$0, %r8d
	end_state
	state	branches
	movl	$100, %ecx
	xorl	%eax, %eax
1:	testb	$3, %cl
	jz	2f
	jp	3f
	addq	$1, %rax
	jmp	4f
2:	addq	$0x100, %rax
	jmp	4f
3:	addq	$0x10000, %rax
4:	cmpl	$50, %ecx
	jg	5f
	incl	%edx
5:	loop	1b
	jrcxz	6f
	ud2
6:	movl	$3, %ecx
7:	decq	%rdx
	loopne	7b
	cmpl	$1, %eax
	end_state
	state	far
	pushq	$CS32
	leaq	1f(%rip), %rax
	pushq	%rax
	lretq
	.code32
1:	incl	%eax
	movl	$0x80001234, %ecx
	addl	%ecx, %edx
	ljmp	$CS64, $2f
	.code64
2:	xorl	%eax, %eax
	movl	%ss, %ebx
	cmpl	%ecx, %ebx
	end_state
	ret
target0: addq	$0x10, %rax
	ret
target1: xorq	%r9, %rax
	ret
target2: rolq	$3, %rax
	ret
target3: subq	%r10, %rax
	ret

/* Long enough to be translated in all ways. */
loops:
	state	mix
	movl	$5000, %ecx
1:	addq	%rax, %rdx
	rolq	$13, %rax
	xorq	%rdx, %rax
	addq	%r8, %rbx
	rorq	$7, %r8
	xorq	%rbx, %r8
	imulq	%r9, %r10
	addq	$0x1234567, %r9
	leaq	(%r11, %r10, 2), %r11
	shrq	$3, %r12
	adcq	%r11, %r12
	sbbl	%r13d, %r14d
	notl	%r13d
	decl	%ecx
	jnz	1b
	end_state
	state	sieve
	movl	$DATA, %edi
	xorl	%eax, %eax
	movl	$0x800, %ecx
	rep stosb
	movl	$2, %ebx
1:	cmpb	$0, DATA(%rbx)
	jne	3f
	incl	%eax
	leal	(%rbx, %rbx), %esi
2:	cmpl	$0x800, %esi
	jae	3f
	movb	$1, DATA(%rsi)
	addl	%ebx, %esi
	jmp	2b
3:	incl	%ebx
	cmpl	$0x800, %ebx
	jb	1b
	end_state
	state	recursion
	movl	$15, %eax
	call	fib
	end_state
	state	patched
	movl	$600, %ecx
	xorl	%eax, %eax
1:	movb	%cl, patch+2(%rip)
	jmp	2f
2:
patch:	addl	$0x11, %eax
	rorl	$1, %eax
	decl	%ecx
	jnz	1b
	end_state
	ret
fib:	cmpl	$2, %eax
	jb	1f
	pushq	%rax
	decl	%eax
	call	fib
	xchgq	%rax, (%rsp)
	subl	$2, %eax
	call	fib
	popq	%rdx
	addq	%rdx, %rax
1:	ret

#ifndef STATE_EMULATED
/* --- exceptions --------------------------------------------------------------------------- */

exceptions:
	state_exc divide
	xorl	%ecx, %ecx
	divl	%ecx
	end_exc
	state_exc overflow
	movl	$2, %ecx
	divq	%rcx
	end_exc
	state_exc undefined
	addq	%rax, %rcx
	ud2
	end_exc
	state_exc breakpoint
	cmpq	%rax, %rcx
	int3
	end_exc
	state_exc noncanonical
	lock incq (%rcx, %rdx)
	end_exc
	state_exc stack_segment
	movq	%rcx, %rbp
	pushq	%rax
	popq	%rbx
	addq	%rax, (%rbp, %rbx)
	end_exc
	state_exc absent
	movl	$0x800000, %ebx
	xaddq	%rax, (%rbx)
	end_exc
	state_exc absent_rep
	movl	$0x3ffff8, %edi
	movl	$5, %ecx
	rep stosl
	end_exc
	state_exc absent_across
	movl	$0x3ffffd, %ebx
	movq	%rax, (%rbx)
	end_exc
	state_exc step
	pushfq
	orl	$FL_TF, (%rsp)
	popfq
	addq	%rax, %rcx
	addq	%rax, %rcx
	end_exc
	state_exc msr
	movl	$0x12345, %ecx
	rdmsr
	end_exc
	state_exc ints
	stc
	std
	int	$0x44
	end_exc
	ret

/* --- CPL 3 --------------------------------------------------------------------------------- */

users:
	state_user plain
	addq	%rax, %rcx
	addq	%rcx, DATA+0x100
	movq	DATA+0x100, %rdx
	pushq	%rdx
	popq	%r8
	end_exc
	state_user hot
	movl	$3000, %ecx
1:	addq	(%rsi), %rax
	movq	%rax, 8(%rsi)
	addl	$3, (%rsi)
	pushq	%rax
	popq	%rdx
	loop	1b
	end_exc
	state_user privileged
	cmpq	%rax, %rcx
	hlt
	end_exc
	state_user flags
	pushq	$0x3fffff & ~0x100
	popfq
	end_exc
	state_user ports
	movl	$0x80, %edx
	outb	%al, %dx
	end_exc
	state_user read_absent
	movl	$0x900123, %ebx
	movl	(%rbx), %eax
	end_exc
	state_user jump_absent
	movl	$0x900123, %ebx
	jmp	*%rbx
	end_exc
	state_user jump_wild
	jmp	*%rcx
	end_exc
	state_user segments
	movl	%cs, %eax
	movl	%ds, %ecx
	movl	%ss, %edx
	movl	$0, %ebx
	movl	%ebx, %es
	movl	%es, %ebx
	lslq	%rax, %rbp
	larl	%edx, %r8d
	verw	%dx
	end_exc
	ret

compat:
	state_user compat, USER_CS
	.code32
	incl	%eax
	addl	%eax, %ecx
	pushl	%ecx
	popl	%edx
	.byte	0x0e				/* push cs */
	popl	%ebx
	daa
	call	1f
1:	popl	%esi
	aam
	.code64
	end_exc
	state_user compat_hot, USER_CS
	.code32
	movl	$2000, %ecx
1:	addl	(%esi), %eax
	movl	%eax, 4(%esi)
	pushal
	popal
	loop	1b
	.code64
	end_exc
	state_user compat_fault, USER_CS
	.code32
	movl	$0xfffffffd, %ebx
	orl	%eax, (%ebx)
	.code64
	end_exc
	ret

/* --- x87, SSE, AVX ------------------------------------------------------------------------- */

	/* Behind vector code at any CPL: RAX, RSI, RCX, RDX are lost. */
	.macro	fpu_state
	fxsave64 DATA + 0x400
	movq	$0, DATA + 0x400 + 6		/* FOP; FIP and FDP are not for all to see */
	movl	$0, DATA + 0x400 + 14
	movw	$0, DATA + 0x400 + 18
	movl	$0, DATA + 0x400 + 20
	movl	$0, DATA + 0x400 + 28
	movl	$DATA + 0x400, %esi
	movl	$416, %ecx
	call	hash
	movq	%rax, fpu_hash(%rip)
	cmpq	%rax, %rax
	.endm
vectors:
	movq	%cr4, %rax
	orl	$0x600, %eax			/* OSFXSR OSXMMEXCPT */
	movq	%rax, %cr4
	state_user x87
	fninit
	fldpi
	fldl2t
	fmulp
	fsqrt
	fildq	(%rsi)
	fsubp
	fstpl	DATA + 0x300
	fld1
	movq	DATA + 0x300, %rbx
	fpu_state
	end_exc
	state_user sse
	movdqu	(%rsi), %xmm0
	movdqu	1(%rsi), %xmm1
	paddq	%xmm0, %xmm1
	pshufd	$0x1b, %xmm1, %xmm2
	movq	%rax, %xmm3
	cvtsi2sdq %rax, %xmm4
	divsd	%xmm4, %xmm4
	movdqa	%xmm2, DATA + 0x300
	pxor	%xmm8, %xmm8
	punpcklbw %xmm8, %xmm3
	ucomisd	%xmm4, %xmm4
	fpu_state
	end_exc
	state_user sse_hot
	movl	$2000, %ecx
	pcmpeqd	%xmm5, %xmm5
	pxor	%xmm6, %xmm6
1:	movdqu	(%rsi), %xmm0
	psubd	%xmm5, %xmm0
	movdqu	%xmm0, (%rsi)
	paddw	%xmm0, %xmm6
	loop	1b
	fpu_state
	end_exc
	state_user sse_unaligned
	movaps	1(%rsi), %xmm0
	end_exc
	movl	$1, %eax
	cpuid
	btl	$28, %ecx
	jnc	1f
	movq	%cr4, %rax
	btsl	$18, %eax
	movq	%rax, %cr4
	movl	$7, %eax
	xorl	%edx, %edx
	xorl	%ecx, %ecx
	xsetbv
	state_user avx
	vmovdqu	(%rsi), %ymm1
	vpermilps $0x1b, %ymm1, %ymm2
	vxorps	%ymm1, %ymm2, %ymm3
	vmovups	%ymm3, DATA + 0x300
	vextractf128 $1, %ymm3, %xmm4
	vaddps	%xmm1, %xmm1, %xmm5
	movq	DATA + 0x318, %rbx
	vzeroupper
	fpu_state
	end_exc
	movq	%cr4, %rax
	btrl	$18, %eax
	movq	%rax, %cr4
1:	movq	%cr4, %rax
	andl	$~0x600, %eax
	movq	%rax, %cr4
	ret
#endif

	.data
	.balign	4
targets: .long	target0, target1, target2, target3
