/*
 * Long mode: entry and exit, 64-bit interrupts and IST, canonical addresses, 4-level
 * paging, SYSCALL, compatibility mode, what it forbids.  SDM vol. 3, 4.5, 5.8, 6.14,
 * 9.8.5; AMD APM vol. 2, 6.1.
 */
#include "guest.inc"
#include "long64.inc"

	.code64
main64:
	movl	$MSR_EFER, %ecx
	rdmsr
	andl	$0xd01, %eax
	same64	efer, %rax, 0xd01
	movw	%cs, %ax
	movzwl	%ax, %eax
	same64	cs_sel, %rax, CS64
	xorl	%eax, %eax
	str	%rax
	same64	str, %rax, TSS64
	movl	$-1, %eax
	lslq	lsl_sel(%rip), %rax
	same64	lsl_tss, %rax, 0x67
	call	plain
	call	canonical
	call	gates
	call	control
	call	paging
	call	bases
	call	users
	call	syscalls
	call	compat
	ret

	/* Undefined in 64-bit mode, stack frame, alignment of the stack. */
plain:
	fault64	push_es, 6, 0, ".byte 0x06"
	fault64	into, 6, 0, ".byte 0xce"
	fault64	far_jmp_ptr, 6, 0, ".byte 0xea; .long 0; .word 0x40"
	fault64	aaa, 6, 0, ".byte 0x37"
	try64
	int3
97:	caught64 int3, 3, 0, 97b
	movq	%rsp, %rbx
	subq	$0x103, %rsp
	movq	%rsp, %rdx
	fault64	ud2, 6, 0, "ud2"
	addq	$0x103, %rsp
	subq	got_frame_rsp(%rip), %rdx
	same64	frame_rsp, %rdx, 0
	/* the frame: error code, RIP, CS, RFLAGS, RSP, SS below an aligned stack */
	leaq	-0x103(%rsp), %rdx
	andq	$-16, %rdx
	subq	got_handler_rsp(%rip), %rdx
	same64	handler_rsp, %rdx, 48
	movq	got_cs(%rip), %rax
	same64	frame_cs, %rax, CS64
	movq	got_ss(%rip), %rax
	same64	frame_ss, %rax, DS32
	pushq	$0x4002				/* NT */
	popfq
	fault64	iret_nt, 13, 0, "iretq"
	pushq	$2
	popfq
	ret

canonical:
	movabsq	$0x0000800000000000, %rcx
	fault64	load, 13, 0, "movq (%rcx), %rbx"
	movabsq	$0x00007ffffffffff9, %rcx
	fault64	load_across, 13, 0, "movq (%rcx), %rbx"
	movq	%rbp, %rdi
	movabsq	$0xffff7fffffffffff, %rbp
	fault64	load_rbp, 12, 0, "movq (%rbp), %rbx"
	movq	%rdi, %rbp
	movabsq	$0x0000800000000000, %rdi
	fault64	jmp, 13, 0, "jmp *%rdi"
	movl	$MSR_STAR + 1, %ecx
	xorl	%eax, %eax
	movl	$0x8000, %edx
	fault64	wrmsr_lstar, 13, 0, "wrmsr"
	/* iretq to there */
	movq	%rsp, %rbx
	pushq	$DS32
	pushq	%rbx
	pushq	$2
	pushq	$CS64
	pushq	%rdi
	fault64	iretq, 13, 0, "iretq"
	movq	%rbx, %rsp
	/* the upper half is there */
	movabsq	$0xffff800000000000 + PAGE_A, %rcx
	movq	$0x1234, (%rcx)
	movq	PAGE_A, %rax
	same64	upper_half, %rax, 0x1234
	/* no bits above an address make it another that is known: all the 0x7fff */
	.macro	uppers name, insn
	movl	$94f, recover(%rip)
	movq	%rsp, recover_rsp(%rip)
	movl	$back_at_once, %r8d
	jmp	*%r8			/* known, then flushed */
94:	movq	%cr3, %rax
	movq	%rax, %cr3
	movl	$97f, recover(%rip)
	movl	$0x7fff, %ecx
	xorl	%edi, %edi
95:	movl	$-1, got_vector(%rip)
	movq	%rcx, %rdx
	shlq	$48, %rdx
	\insn
97:	cmpl	$13, got_vector(%rip)
	jne	98f
	incl	%edi
98:	loop	95b
	same64	\name, %rdi, 0x7fff
	.endm
	uppers	uppers_jmp, "orq %r8, %rdx; jmp *%rdx"
	uppers	uppers_ret, "orq %r8, %rdx; pushq %rdx; ret"
	uppers	uppers_empty, "jmp *%rdx"
	ret
back_at_once:
	jmp	*recover(%rip)

gates:
	movb	$0x85, idt64 + 16*0x51 + 5(%rip)	/* a task gate: not in long mode */
	movb	$0x0e, idt64 + 16*0x52 + 5(%rip)	/* not present */
	movb	$1, idt64 + 16*0x53 + 4(%rip)		/* IST 1 */
	movw	$CS32, idt64 + 16*0x54 + 2(%rip)	/* to 32-bit code */
	fault64	task_gate, 13, 0x51*8+2, "int $0x51"
	fault64	not_present, 11, 0x52*8+2, "int $0x52"
	try64
	int	$0x53
97:	caught64 ist, 0x53, 0, 97b
	movq	got_handler_rsp(%rip), %rax
	same64	ist_rsp, %rax, IST_TOP-48
	fault64	gate_to_32, 13, CS32, "int $0x54"
	fault64	far_to_tss, 13, TSS64, "ljmp *to_tss(%rip)"
	ret

control:
	cmpb	$0, rt_tcg(%rip)	/* QEMU's translator checks none of these */
	jne	1f
	movq	%cr4, %rbx
	movq	%rbx, %rcx
	andq	$~0x20, %rcx
	fault64	pae_off, 13, 0, "movq %rcx, %cr4"
	movq	%cr0, %rcx
	btrl	$31, %ecx
	fault64	pg_off, 13, 0, "movq %rcx, %cr0"
	movabsq	$0x100000000, %rcx
	fault64	cr0_high, 13, 0, "movq %rcx, %cr0"
	movabsq	$0x8000000000000000 + PML4, %rcx
	fault64	cr3_high, 13, 0, "movq %rcx, %cr3"
	movl	$16, %ecx
	fault64	cr8_16, 13, 0, "movq %rcx, %cr8"
	movl	$MSR_EFER, %ecx
	rdmsr
	andl	$~0x100, %eax
	fault64	lme_off, 13, 0, "wrmsr"
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$0x40000000, %eax
	fault64	efer_reserved, 13, 0, "wrmsr"
1:	movl	$5, %ecx
	movq	%rcx, %cr8
	movq	%cr8, %rax
	same64	cr8, %rax, 5
	xorl	%ecx, %ecx
	movq	%rcx, %cr8
	ret

	.macro	page a, val, high=0
	movl	$\val, PT + (\a >> 12) * 8
	movl	$\high, PT + (\a >> 12) * 8 + 4
	invlpg	\a
	.endm
paging:
	movl	$PAGE_A, %ecx
	movb	$0xc3, PAGE_A			/* ret */
	page	PAGE_A, 0
	fault64	absent, 14, 0, "movb (%rcx), %dl"
	movq	got_cr2(%rip), %rax
	same64	absent_cr2, %rax, PAGE_A
	page	PAGE_A, PAGE_A|5
	fault64	readonly, 14, 3, "movb %dl, (%rcx)"
	quiet64	readonly_read, "movb (%rcx), %dl"
	movq	PT + (PAGE_A >> 12) * 8, %rax
	same64	a_bit, %rax, PAGE_A|0x25
	page	PAGE_A, PAGE_A|7, 0x80000000
	quiet64	nx_data, "movb $0xc3, (%rcx)"
	movl	PT + (PAGE_A >> 12) * 8, %eax
	same64	d_bit, %rax, PAGE_A|0x67
	try64
	callq	*%rcx
	caught64 nx_fetch, 14, 0x11, PAGE_A
	page	PAGE_A, PAGE_A|7, 0x00010000	/* bit 48: above MAXPHYADDR */
	fault64	reserved, 14, 9, "movb (%rcx), %dl"
	page	PAGE_A, PAGE_A|7
	quiet64	fetch, "callq *%rcx"
	/* reserved in a PML4 entry: PS */
	orl	$0x80, PML4 + 256*8
	movq	%cr3, %rax
	movq	%rax, %cr3
	movabsq	$0xffff800000000000 + PAGE_A, %rcx
	fault64	pml4_ps, 14, 9, "movb (%rcx), %dl"
	movq	got_cr2(%rip), %rax
	same64	pml4_ps_cr2, %rax, PAGE_A, 0xffff8000
	andl	$~0x80, PML4 + 256*8
	/* a 1 GiB page, where there are such */
	btl	$26, features(%rip)
	jnc	1f
	movl	$0x87, PDPT + 8
	movq	$0x77, PAGE_A
	movl	$0x40000000 + PAGE_A, %ecx
	movq	(%rcx), %rax
	same64	gib_page, %rax, 0x77
	movl	$(0x87 | 1 << 14), PDPT + 8
	invlpg	(%rcx)
	fault64	gib_reserved, 14, 9, "movb (%rcx), %dl"
	movl	$0, PDPT + 8
1:	ret

bases:
	movl	$0xc0000101, %ecx		/* GS base */
	movl	$PAGE_A, %eax
	movl	$0, %edx
	wrmsr
	movl	$0xc0000102, %ecx
	movl	$PAGE_B, %eax
	wrmsr
	movq	$0xa, PAGE_A
	movq	$0xb, PAGE_B
	movq	%gs:0, %rax
	same64	gs_load, %rax, 0xa
	swapgs
	movq	%gs:0, %rax
	same64	swapgs, %rax, 0xb
	movl	$0xc0000101, %ecx
	rdmsr
	same64	gs_base, %rax, PAGE_B
	movl	$0xc0000100, %ecx		/* FS base, in the upper half */
	movl	$PAGE_A, %eax
	movl	$0xffff8000, %edx
	wrmsr
	movq	%fs:0, %rax
	same64	fs_upper, %rax, 0xa
	/* DS, ES, SS have no base or limit here */
	ret

users:
	user64	97f
97:	cli
	caught64 user_cli, 13, 0, 97b
	movq	got_handler_rsp(%rip), %rax
	same64	user_handler_rsp, %rax, RSP0_TOP-48
	movq	got_frame_rsp(%rip), %rax
	same64	user_rsp, %rax, USER_STACK_TOP
	movq	got_ss(%rip), %rax
	same64	user_ss, %rax, USER_DS
	movq	got_now_ss(%rip), %rax
	same64	user_now_ss, %rax, 0
	user64	97f
97:	swapgs
	caught64 user_swapgs, 13, 0, 97b
	user64	97f
97:	int	$0x50
	caught64 user_int, 13, 0x50*8+2, 97b
	user64	97f
97:	movq	%cr8, %rax
	caught64 user_cr8, 13, 0, 97b
	page	PAGE_A, PAGE_A|3
	user64	97f
97:	movb	PAGE_A, %al
	caught64 user_super, 14, 5, 97b
	page	PAGE_A, PAGE_A|7, 0x80000000
	user64	PAGE_A
	caught64 user_nx, 14, 0x15, PAGE_A
	page	PAGE_A, PAGE_A|7
	ret

syscalls:
	movl	$MSR_STAR, %ecx
	xorl	%eax, %eax
	movl	$((SYSRET_BASE+3)<<16|CS64), %edx
	wrmsr
	movl	$MSR_STAR + 1, %ecx
	movl	$syscall_entry, %eax
	xorl	%edx, %edx
	wrmsr
	movl	$MSR_STAR + 2, %ecx
	movl	$syscall_entry32, %eax
	wrmsr
	movl	$MSR_STAR + 3, %ecx
	movl	$(FL_CF|FL_DF|FL_IF|FL_TF), %eax
	wrmsr
	user64	97f
97:	std
	stc
	syscall
syscall_next:
	movw	%cs, %bx
	movw	%ss, %si
	pushfq
	popq	%rdx
	cld
	int	$0x40
	caught64 syscall, 0x40, 0, syscall_next+11
	movq	saved_rcx(%rip), %rax
	same64	syscall_rcx, %rax, syscall_next
	movq	saved_r11(%rip), %rax
	same64	syscall_r11, %rax, FL_CF|FL_DF|FL_FIXED
	movq	saved_flags(%rip), %rax
	same64	syscall_flags, %rax, FL_FIXED
	movq	saved_cs(%rip), %rax
	same64	syscall_cs, %rax, CS64
	movq	saved_ss(%rip), %rax
	same64	syscall_ss, %rax, CS64+8
	movzwl	%bx, %ebx
	same64	sysret_cs, %rbx, SYSRET_BASE+16+3
	movzwl	%si, %esi
	same64	sysret_ss, %rsi, SYSRET_BASE+8+3
	same64	sysret_flags, %rdx, FL_CF|FL_DF|FL_FIXED
	/* Single-stepped: the mask clears TF, and the step ends behind SYSRET. */
	user64	97f
97:	pushq	$(FL_FIXED|FL_TF)
	popfq
	syscall
syscall_stepped:
	int	$0x40
	caught64 syscall_step, 1, 0, syscall_stepped
	movq	saved_flags(%rip), %rax
	same64	syscall_step_flags, %rax, FL_FIXED
	/* to 32-bit code */
	movl	$98f, recover(%rip)
	movq	%rsp, recover_rsp(%rip)
	movl	$code32, %ecx
	movl	$FL_FIXED, %r11d
	sysretl
	caught64 sysretl, 0x40, 0, code32_end
	movq	got_cs(%rip), %rax
	same64	sysretl_cs, %rax, SYSRET_BASE+3
	/* switched off */
	movl	$MSR_EFER, %ecx
	rdmsr
	andl	$~1, %eax
	wrmsr
	fault64	syscall_off, 6, 0, "syscall"
	ret

syscall_entry:
	movq	%rcx, saved_rcx(%rip)
	movq	%r11, saved_r11(%rip)
	pushfq
	popq	saved_flags(%rip)
	movw	%cs, saved_cs(%rip)
	movw	%ss, saved_ss(%rip)
	sysretq
syscall_entry32:
	ud2

	.code32
code32:	movl	$0x12345678, %eax
	incl	%eax			/* a REX prefix in 64-bit code */
	int	$0x40
code32_end:
	.code64

	/* Compatibility mode. */
compat:
	user64	97f, USER_CS
	.code32
97:	movl	$0x5000, %edx
	incl	%edx
	cli
	.code64
	caught64 compat_cli, 13, 0, 97b+6
	same64	compat_rdx, %rdx, 0x5001
	movq	got_cs(%rip), %rax
	same64	compat_cs, %rax, USER_CS
	/* addresses wrap at 4 GiB there */
	user64	97f, USER_CS
	.code32
97:	movl	$0xffffffff, %ecx
	movl	(PAGE_A+1)(%ecx), %edx
	int	$0x40
	.code64
	caught64 compat_wrap, 0x40, 0, 97b+13
	movl	PAGE_A, %eax
	subl	%edx, %eax
	same64	compat_value, %rax, 0
	/* CPL 0, by a far return and back by a far jump */
	pushq	$CS32
	leaq	1f(%rip), %rax
	pushq	%rax
	lretq
	.code32
1:	movl	$7, %eax
	decl	%eax			/* 48 would be REX.W */
	ljmp	$CS64, $2f
	.code64
2:	same64	compat0, %rax, 6
	ret

	.data
to_tss:	.long	0
	.word	TSS64
lsl_sel: .word	TSS64

	.bss
	.balign	8
	.irp	name, saved_rcx, saved_r11, saved_flags, saved_cs, saved_ss
\name:	.skip	8
	.endr
