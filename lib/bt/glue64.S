/*
 * Ways into and out of translated 64-bit code.  See layout64.h for the registers;
 * here R15 is struct vcpu, as in glue.S.
 */
#include "bt/layout.h"
#include "bt/layout64.h"

#define HOT(i) ((i) * 8)(%r15)
#define TLS(t) %fs:bt_tls@tpoff+t
#define GPR(n) (V_GPR + (n) * 8)(%r15)

/* All but RAX and R15. */
	.macro	STORE_REST
	mov	%rcx, GPR(1)
	mov	%rdx, GPR(2)
	mov	%rbx, GPR(3)
	mov	%rsp, GPR(4)
	mov	%rbp, GPR(5)
	mov	%rsi, GPR(6)
	mov	%rdi, GPR(7)
	mov	%r8, GPR(8)
	mov	%r9, GPR(9)
	mov	%r10, GPR(10)
	mov	%r11, GPR(11)
	mov	%r12, GPR(12)
	mov	%r13, GPR(13)
	mov	%r14, GPR(14)
	.endm

/* All but RAX, RCX and R15. */
	.macro	LOAD_REST
	mov	GPR(2), %rdx
	mov	GPR(3), %rbx
	mov	GPR(4), %rsp
	mov	GPR(5), %rbp
	mov	GPR(6), %rsi
	mov	GPR(7), %rdi
	mov	GPR(8), %r8
	mov	GPR(9), %r9
	mov	GPR(10), %r10
	mov	GPR(11), %r11
	mov	GPR(12), %r12
	mov	GPR(13), %r13
	mov	GPR(14), %r14
	.endm

	.section .tbss, "awT", @nobits
	.globl	bt_tls
	.type	bt_tls, @object
	.size	bt_tls, T_SIZE
	.balign	64
bt_tls:	.zero	T_SIZE

	.text

/* void bt64_enter(struct vcpu *v, const void *code): run until an exit; code is a
 * unit's entry_lookup. */
	.globl	bt64_enter
	.type	bt64_enter, @function
bt64_enter:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	sub	$8, %rsp
	mov	%rdi, %r15
	mov	%rsi, TLS(T_RET)
	movq	$0, TLS(T_SITE)
	mov	%rsp, HOT(H_HOST_RSP)
	mov	HOT(H_GSBASE), %rax
	wrgsbase %rax
	mov	GPR(0), %rax
	mov	%rax, TLS(T_AX)
	mov	GPR(1), %rcx
	mov	%rcx, TLS(T_CX)
	mov	GPR(15), %rcx
	mov	%rcx, TLS(T_R15)
	/* flags as in bt_enter */
	mov	V_RFLAGS(%r15), %eax
	mov	%eax, %ecx
	shr	$11, %ecx
	and	$1, %ecx
	mov	%al, %ah
	mov	%cl, %al
	movl	$1, HOT(H_IN_TC)
	cmpl	$0, HOT(H_KICK)
	jne	1f
	LOAD_REST
	jmp	*TLS(T_RET)
1:	movzwl	%ax, %eax
	mov	%rax, HOT(H_FLAGS)
	movq	$BT_EXIT_REQ, HOT(H_REASON)
	jmp	bt_exit_stored
	.size	bt64_enter, .-bt64_enter

/* Leave translated code; T_SITE and T_UNIT or T_RIP say where. */
	.globl	bt64_exit
bt64_exit:
	mov	TLS(T_VCPU), %r15
	mov	%rax, GPR(0)
	STORE_REST
	lahf
	seto	%al
	movzwl	%ax, %eax
	mov	%rax, HOT(H_FLAGS)
	mov	TLS(T_R15), %rcx
	mov	%rcx, GPR(15)
	mov	HOT(H_HOST_RSP), %rsp
	jmp	bt_exit_stored

/* Units with FPU code jump here (through T_FPU_FN); T_RET: where to go on.  Flags
 * and registers stay. */
	.globl	bt64_fpu_load, bt64_fpu_ok
bt64_fpu_load:
	mov	%rax, TLS(T_AX)
	mov	%rcx, TLS(T_CX)
	mov	%rdx, TLS(T_DX)
	mov	TLS(T_VCPU), %r15
	mov	HOT(H_XSAVE), %rcx
	movq	$7, X_XSTATE_BV(%rcx)
	movq	$0, X_XSTATE_BV+8(%rcx)
	mov	HOT(H_XMASK), %eax
	mov	$0, %edx
	xrstor64 (%rcx)
	movl	$1, HOT(H_FPU_LOADED)
	lea	bt64_fpu_ok(%rip), %rax
	mov	%rax, TLS(T_FPU_FN)
	mov	TLS(T_AX), %rax
	mov	TLS(T_CX), %rcx
	mov	TLS(T_DX), %rdx
bt64_fpu_ok:
	jmp	*TLS(T_RET)

/* Put back the FPU state that C has had stored: r14d says whether it was loaded.
 * Uses rax rcx rdx. */
	.macro	FPU_BACK
	test	%r14d, %r14d
	jz	9f
	mov	HOT(H_XSAVE), %rcx
	movq	$7, X_XSTATE_BV(%rcx)
	movq	$0, X_XSTATE_BV+8(%rcx)
	mov	HOT(H_XMASK), %eax
	xor	%edx, %edx
	xrstor64 (%rcx)
	movl	$1, HOT(H_FPU_LOADED)
	lea	bt64_fpu_ok(%rip), %rax
	mov	%rax, TLS(T_FPU_FN)
9:
	.endm

/*
 * Soft TLB miss.  R15 = linear address; the guest's RAX is at T_AX, flags at T_FL;
 * T_SITE and T_UNIT say which access.  Comes back to where the lookup began (C sets
 * T_RET), else exits for the interpreter to execute the instruction.
 */
	.globl	bt64_tlb_miss
bt64_tlb_miss:
	mov	%r15, TLS(T_EA)
	mov	TLS(T_VCPU), %r15
	STORE_REST
	mov	TLS(T_AX), %rax
	mov	%rax, GPR(0)
	mov	TLS(T_R15), %rax
	mov	%rax, GPR(15)
	mov	HOT(H_HOST_RSP), %rsp
	movl	$0, HOT(H_IN_TC)
	mov	HOT(H_FPU_LOADED), %r14d
	test	%r14d, %r14d
	jz	1f
	call	bt_fpu_store
1:	mov	%r15, %rdi
	mov	TLS(T_EA), %rsi
	call	bt64_tlb_miss_c
	movl	$1, HOT(H_IN_TC)
	test	%eax, %eax
	jnz	3f
	cmpl	$0, HOT(H_KICK)
	jne	2f
	FPU_BACK
	mov	GPR(1), %rcx
	LOAD_REST
	mov	TLS(T_EA), %r15
	jmp	*TLS(T_RET)
2:	mov	%r15, %rdi
	call	bt64_miss_leave
3:	movzwl	TLS(T_FL), %eax
	mov	%rax, HOT(H_FLAGS)
	jmp	bt_exit_stored

/*
 * Execute one instruction in C and come back.  T_ARG = struct bt_callout, T_RET =
 * where to go on.  All guest state is in v->cpu meanwhile.
 */
	.globl	bt64_callout
bt64_callout:
	mov	TLS(T_VCPU), %r15
	mov	%rax, GPR(0)
	STORE_REST
	lahf
	seto	%al
	movzwl	%ax, %eax
	mov	%rax, HOT(H_FLAGS)
	mov	TLS(T_R15), %rax
	mov	%rax, GPR(15)
	mov	HOT(H_HOST_RSP), %rsp
	movl	$0, HOT(H_IN_TC)
	mov	HOT(H_FPU_LOADED), %r14d
	test	%r14d, %r14d
	jz	1f
	call	bt_fpu_store
1:	mov	%r15, %rdi
	mov	TLS(T_ARG), %rsi
	mov	TLS(T_RET), %rbx
	call	bt64_callout_c
	movl	$1, HOT(H_IN_TC)
	test	%eax, %eax
	jnz	bt_exit_stored
	cmpl	$0, HOT(H_KICK)
	jne	2f
	FPU_BACK
	mov	%rbx, TLS(T_RET)
	mov	GPR(15), %rcx
	mov	%rcx, TLS(T_R15)
	mov	HOT(H_FLAGS), %rax
	mov	GPR(1), %rcx
	LOAD_REST
	add	$0x7f, %al
	sahf
	mov	GPR(0), %rax
	jmp	*TLS(T_RET)
2:	movq	$0, TLS(T_SITE)
	movq	$BT_EXIT_REQ, HOT(H_REASON)
	jmp	bt_exit_stored
	.section .note.GNU-stack,"",@progbits
