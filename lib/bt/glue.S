/*
 * Ways into and out of translated code.  See layout.h for the registers.
 */
#include "bt/layout.h"
#include "bt/layout64.h"

#define HOT(i) ((i) * 8)(%r15)

/* The guest's registers to v->cpu.gpr. */
	.macro	STORE_GPRS
	mov	%rax, V_GPR+0(%r15)
	mov	%rcx, V_GPR+8(%r15)
	mov	%rdx, V_GPR+16(%r15)
	mov	%rbx, V_GPR+24(%r15)
	mov	%rsp, V_GPR+32(%r15)
	mov	%rbp, V_GPR+40(%r15)
	mov	%rsi, V_GPR+48(%r15)
	mov	%rdi, V_GPR+56(%r15)
	.endm

	.text

/* void bt_enter(struct vcpu *v, const void *code): run until an exit. */
	.globl	bt_enter
	.type	bt_enter, @function
bt_enter:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	sub	$8, %rsp
	mov	%rdi, %r15
	mov	%rsi, %r14
	mov	%rsp, HOT(H_HOST_RSP)
	mov	HOT(H_GSBASE), %rax
	wrgsbase %rax
	/* arithmetic flags from v->cpu.rflags: AH for SAHF, AL = OF */
	mov	V_RFLAGS(%r15), %eax
	mov	%eax, %ecx
	shr	$11, %ecx
	and	$1, %ecx
	mov	%al, %ah
	mov	%cl, %al
	movzwl	%ax, %r12d
	mov	V_GPR+8(%r15), %rcx
	mov	V_GPR+16(%r15), %rdx
	mov	V_GPR+24(%r15), %rbx
	mov	V_GPR+40(%r15), %rbp
	mov	V_GPR+48(%r15), %rsi
	mov	V_GPR+56(%r15), %rdi
	/* From here on the kick's handler acts; before, it only sets H_KICK. */
	movl	$1, HOT(H_IN_TC)
	cmpl	$0, HOT(H_KICK)
	jne	1f
	add	$0x7f, %al
	sahf
	mov	V_GPR+0(%r15), %rax
	mov	V_GPR+32(%r15), %rsp
	jmp	*%r14
1:	mov	V_GPR+0(%r15), %rax
	mov	V_GPR+32(%r15), %rsp
	mov	V_RIP(%r15), %r8
	mov	$BT_EXIT_REQ, %r10d
	jmp	bt_exit_saved
	.size	bt_enter, .-bt_enter

/*
 * Leave translated code.  r8d = guest eip, r9 = argument, r10d = reason.
 * bt_exit: the flags are in the host's; bt_exit_saved: in R12.
 */
	.globl	bt_exit, bt_exit_saved
bt_exit:
	mov	%rax, %r11
	lahf
	seto	%al
	mov	%rax, %r12
	mov	%r11, %rax
bt_exit_saved:
	STORE_GPRS
	mov	%r8, V_RIP(%r15)
	mov	%r9, HOT(H_ARG)
	mov	%r10, HOT(H_REASON)
	mov	%r12, HOT(H_FLAGS)
	mov	HOT(H_HOST_RSP), %rsp
	.globl	bt_exit_stored
bt_exit_stored:
	movl	$0, HOT(H_IN_TC)
	cmpl	$0, HOT(H_FPU_LOADED)
	je	1f
	call	bt_fpu_store
1:	add	$8, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

/*
 * The jump cache from outside a unit: go to r8d = eip.  As gen_exit_lookup()
 * emits it.
 */
	.globl	bt_lookup
bt_lookup:
	rorx	$10, %r8d, %r9d
	lea	(%r9,%r8), %r9d
	lea	(,%r9,8), %r9d
	lea	(%r9,%r9), %r9d
	movzwl	%r9w, %r9d
	mov	HOT(H_JCACHE), %r10
	lea	(%r9,%r10), %r9
	mov	HOT(H_JTAG), %r10
	lea	(%r10,%r8), %r11
	mov	%rcx, %r10
	mov	(%r9), %rcx
	lea	(%rcx,%r11), %rcx
	loop	1f
	mov	%r10, %rcx
	jmp	*8(%r9)
1:	mov	%r10, %rcx
	mov	$BT_EXIT_LOOKUP, %r10d
	jmp	bt_exit

/* Guest FPU state to memory; the C library's modes come back.  Uses rax rdx r11. */
	.globl	bt_fpu_store
bt_fpu_store:
	mov	HOT(H_XSAVE), %r11
	mov	HOT(H_XMASK), %eax
	xor	%edx, %edx
	xsave64	(%r11)
	movl	$0, HOT(H_FPU_LOADED)
	lea	bt_fpu_load(%rip), %rax
	mov	%rax, HOT(H_FPU_FN)
	lea	bt64_fpu_load(%rip), %rax
	mov	%rax, %fs:bt_tls@tpoff+T_FPU_FN
	ldmxcsr	HOT(H_MXCSR)
	testl	$4, HOT(H_XMASK)
	jz	1f
	vzeroupper
1:	ret

/* Units with FPU code jump here (through H_FPU_FN) with r9 = where to go on.
 * Flags and guest registers stay. */
	.globl	bt_fpu_load, bt_fpu_ok
bt_fpu_load:
	mov	%rax, %r10
	mov	%rdx, %r11
	mov	HOT(H_XSAVE), %r13
	movq	$7, X_XSTATE_BV(%r13)	/* the area is complete: load all of it */
	movq	$0, X_XSTATE_BV+8(%r13)
	mov	HOT(H_XMASK), %eax
	mov	$0, %edx
	xrstor64 (%r13)
	movl	$1, HOT(H_FPU_LOADED)
	lea	bt_fpu_ok(%rip), %rax
	mov	%rax, HOT(H_FPU_FN)
	mov	%r10, %rax
	mov	%r11, %rdx
bt_fpu_ok:
	jmp	*%r9

/*
 * Soft TLB miss.  r8d = linear address, r9 = where to try again, r10d = eip of
 * the instruction, r11d = BT_MISS_*.  Flags are in R12.  Comes back when the
 * entry was filled, else exits for the interpreter to execute the instruction.
 */
	.globl	bt_tlb_miss
bt_tlb_miss:
	mov	%rax, HOT(H_AX)
	mov	%rcx, HOT(H_CX)
	mov	%rdx, HOT(H_DX)
	mov	%rbx, HOT(H_BX)
	mov	%rsi, HOT(H_SI)
	mov	%rdi, HOT(H_DI)
	mov	%rsp, HOT(H_SP)
	mov	%r8, HOT(H_EA)
	mov	%r9, HOT(H_RET)
	mov	%r10, HOT(H_EIP)
	mov	%r13, HOT(H_R13)
	mov	%r14, HOT(H_R14)
	mov	%r11d, %r13d
	mov	HOT(H_HOST_RSP), %rsp
	movl	$0, HOT(H_IN_TC)
	mov	HOT(H_FPU_LOADED), %r14d
	test	%r14d, %r14d
	jz	1f
	call	bt_fpu_store
1:	mov	%r15, %rdi
	mov	HOT(H_EA), %esi
	mov	%r13d, %edx
	call	bt_tlb_miss_c
	movl	$1, HOT(H_IN_TC)
	mov	%eax, %ebx
	test	%r14d, %r14d
	jz	2f
	lea	2f(%rip), %r9
	jmp	bt_fpu_load
2:	mov	HOT(H_R13), %r13
	mov	HOT(H_R14), %r14
	mov	HOT(H_AX), %rax
	mov	HOT(H_CX), %rcx
	mov	HOT(H_DX), %rdx
	mov	HOT(H_SI), %rsi
	mov	HOT(H_DI), %rdi
	mov	HOT(H_SP), %rsp
	mov	HOT(H_EA), %r8
	mov	$BT_EXIT_STEP, %r10d
	test	%ebx, %ebx
	mov	HOT(H_BX), %rbx
	jnz	3f
	mov	$BT_EXIT_REQ, %r10d
	cmpl	$0, HOT(H_KICK)
	jne	3f
	jmp	*HOT(H_RET)
3:	mov	HOT(H_EIP), %r8
	xor	%r9d, %r9d
	jmp	bt_exit_saved

/*
 * Execute one instruction in C and come back.  r9 = struct bt_callout, r10 =
 * where to go on, flags in R12.  All guest state is in v->cpu meanwhile.
 */
	.globl	bt_callout
bt_callout:
	STORE_GPRS
	mov	%r12, HOT(H_FLAGS)
	mov	%r9, %rbx
	mov	%r10, %r13
	mov	HOT(H_HOST_RSP), %rsp
	movl	$0, HOT(H_IN_TC)
	mov	HOT(H_FPU_LOADED), %r14d
	test	%r14d, %r14d
	jz	1f
	call	bt_fpu_store
1:	mov	%r15, %rdi
	mov	%rbx, %rsi
	call	bt_callout_c
	movl	$1, HOT(H_IN_TC)
	mov	%eax, %ebx
	test	%r14d, %r14d
	jz	2f
	mov	%r13, %rbp
	lea	3f(%rip), %r9
	jmp	bt_fpu_load
3:	mov	%rbp, %r13
2:	test	%ebx, %ebx
	jnz	4f
	cmpl	$0, HOT(H_KICK)
	jne	4f
	mov	HOT(H_FLAGS), %r12
	mov	V_GPR+0(%r15), %rax
	mov	V_GPR+8(%r15), %rcx
	mov	V_GPR+16(%r15), %rdx
	mov	V_GPR+24(%r15), %rbx
	mov	V_GPR+32(%r15), %rsp
	mov	V_GPR+40(%r15), %rbp
	mov	V_GPR+48(%r15), %rsi
	mov	V_GPR+56(%r15), %rdi
	jmp	*%r13
4:	mov	$BT_EXIT_RAISE, %eax
	cmp	$BT_CALLOUT_FAULT, %ebx
	je	5f
	mov	$BT_EXIT_REQ, %eax
5:	mov	%rax, HOT(H_REASON)
	jmp	bt_exit_stored
	.section .note.GNU-stack,"",@progbits
