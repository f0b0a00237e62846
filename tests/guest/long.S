/*
 * Long mode: entry and exit, 64-bit interrupts and IST, canonical addresses, 4-level
 * paging, SYSCALL, compatibility mode, what it forbids.  SDM vol. 3, 4.5, 5.8, 6.14,
 * 9.8.5; AMD APM vol. 2, 6.1.
 *
 * 64-bit code notes what it saw in records; they are printed and compared back in
 * 32-bit mode.  Worked example, names without quotes:
 *
 *	fault64 bad_load, 13, 0, "movq (%rax), %rbx"
 *	same64	syscall_rcx, %rcx, 0x1234
 *
 * Nothing is compared where the processor has no long mode.
 */
#include "guest.inc"

	.equ	PML4, HIGH
	.equ	PDPT, HIGH + 0x1000
	.equ	PD, HIGH + 0x2000
	.equ	PT, HIGH + 0x3000	/* the first 2 MiB in 4 KiB pages */
	.equ	PAGE_A, 0x30000		/* pages to play with */
	.equ	PAGE_B, 0x31000
	.equ	IST_TOP, 0x6c000
	.equ	RSP0_TOP, 0x6e000
	.equ	TSS64, TEST_SEL		/* 16 bytes */
	.equ	USER64, TEST_SEL + 16 + 3
	.equ	SYSRET_BASE, TEST_SEL + 24	/* code 32, data, code 64: all CPL 3 */
	.equ	MSR_EFER, 0xc0000080
	.equ	MSR_STAR, 0xc0000081

	/* A record: name, kind (0 value, 1 exception), wanted: value or vector and
	 * error and EIP; then what was got. */
	.equ	R_KIND, 4
	.equ	R_WANT, 8
	.equ	R_EIP, 16
	.equ	R_GOT, 20		/* value, or vector and error */
	.equ	R_GOT_EIP, 28
	.equ	R_SIZE, 32
	.macro	record name, kind, want_lo, want_hi, eip
	.pushsection .rodata.str, "aMS", @progbits, 1
.Lname_\name: .asciz "\name"
	.popsection
	.pushsection .data, 1
rec_\name: .long .Lname_\name, \kind, \want_lo, \want_hi, \eip, -1, -1, -1
	.popsection
	.endm

	/* 64-bit code: a register's value, all of it. */
	.macro	same64 name, reg, want, high=0
	record	\name, 0, \want, \high, 0
	movq	\reg, rec_\name + R_GOT(%rip)
	.endm

	/* 64-bit code: what came between try64 and caught64. */
	.macro	try64
	movl	$98f, recover(%rip)
	movq	%rsp, recover_rsp(%rip)
	movl	$-1, got_vector(%rip)
99:
	.endm
	.macro	caught64 name, vec, err, eip=99b
98:	record	\name, 1, \vec, \err, \eip
	movl	got_vector(%rip), %eax
	movl	%eax, rec_\name + R_GOT(%rip)
	movl	got_error(%rip), %eax
	movl	%eax, rec_\name + R_GOT + 4(%rip)
	movl	got_rip(%rip), %eax
	movl	%eax, rec_\name + R_GOT_EIP(%rip)
	.endm
	.macro	fault64 name, vec, err, insn
	try64
	\insn
	caught64 \name, \vec, \err
	.endm
	/* Nothing happens: INT 0x40 behind it is what comes. */
	.macro	quiet64 name, insn
	try64
	\insn
97:	int	$0x40
	caught64 \name, 0x40, 0, 97b+2
	.endm

	.data	1
	.balign	4
recs_start:
	.text
	.globl	guest_main
guest_main:
	movl	$0x80000000, %eax
	cpuid
	cmpl	$0x80000001, %eax
	jb	1f
	movl	$0x80000001, %eax
	cpuid
	btl	$29, %edx
	jc	2f
1:	print	"no long mode"
	ret
2:	movl	%edx, features
	call	build_tables
	call	build_idt
	call	into_long
	/* and back */
	movl	$recs_start - R_SIZE, %esi
1:	addl	$R_SIZE, %esi
	cmpl	$recs_end, %esi
	jae	4f
	cmpl	$-1, R_GOT(%esi)	/* left out */
	je	5f
3:	cmpl	$0, R_KIND(%esi)
	je	2f
	movl	R_GOT(%esi), %eax
	movl	%eax, exc_vector
	movl	R_GOT+4(%esi), %eax
	movl	%eax, exc_ERROR
	movl	R_GOT_EIP(%esi), %eax
	movl	%eax, exc_EIP
	pushl	R_EIP(%esi)
	pushl	R_WANT+4(%esi)
	pushl	R_WANT(%esi)
	pushl	(%esi)
	call	rt_check_exc
	jmp	1b
2:	pushl	R_WANT(%esi)
	pushl	R_GOT(%esi)
	pushl	(%esi)
	call	rt_check
	movl	R_WANT+4(%esi), %eax
	orl	R_GOT+4(%esi), %eax
	jz	1b
	pushl	R_WANT+4(%esi)
	pushl	R_GOT+4(%esi)
	pushl	(%esi)
	call	rt_check
	jmp	1b
5:	not_on_tcg 1b
	jmp	3b
4:	ret

	/* Identity: 4 KiB pages below 2 MiB, one large page above; the same again at
	 * the start of the upper half. */
build_tables:
	movl	$PML4, %edi
	xorl	%eax, %eax
	movl	$(5 * 1024), %ecx
	rep stosl
	movl	$(PDPT|7), PML4
	movl	$(PDPT|7), PML4 + 256*8
	movl	$(PD|7), PDPT
	movl	$(PT|7), PD
	movl	$(0x200000|0xe7), PD + 8
	movl	$7, %eax
	movl	$PT, %edi
1:	movl	%eax, (%edi)
	addl	$0x1000, %eax
	addl	$8, %edi
	cmpl	$(PT+0x1000), %edi
	jb	1b
	descriptor TSS64, 0, 0x67, 0x89
	set_base TSS64, tss64
	descriptor USER64, 0, 0xfffff, 0xa0fb
	descriptor SYSRET_BASE, 0, 0xfffff, 0xc0fb
	descriptor SYSRET_BASE+8, 0, 0xfffff, 0xc0f3
	descriptor SYSRET_BASE+16, 0, 0xfffff, 0xa0fb
	movl	$RSP0_TOP, tss64 + 4
	movl	$IST_TOP, tss64 + 36
	movw	$0x68, tss64 + 102
	ret

build_idt:
	movl	$stubs64, %eax
	movl	$idt64, %edi
	movl	$256, %ecx
1:	movl	%eax, %edx
	andl	$0xffff, %edx
	orl	$(CS64 << 16), %edx
	movl	%edx, (%edi)
	movl	%eax, %edx
	andl	$0xffff0000, %edx
	orl	$0x8e00, %edx
	movl	%edx, 4(%edi)
	addl	$16, %eax
	addl	$16, %edi
	loop	1b
	orb	$0x60, idt64 + 16*0x40 + 5	/* for CPL 3 */
	orb	$0x60, idt64 + 16*0x41 + 5
	movb	$0x85, idt64 + 16*0x51 + 5	/* a task gate: not in long mode */
	movb	$0x0e, idt64 + 16*0x52 + 5	/* not present */
	movb	$1, idt64 + 16*0x53 + 4		/* IST 1 */
	movw	$CS32, idt64 + 16*0x54 + 2	/* to 32-bit code */
	ret

	/* Called in 32-bit mode, returns there. */
into_long:
	movl	%esp, esp32
	movl	%cr4, %eax
	movl	%eax, cr4_32
	orl	$0x20, %eax
	movl	%eax, %cr4
	movl	$PML4, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$0x901, %eax			/* NXE LME SCE */
	wrmsr
	movl	%cr0, %eax
	orl	$0x80010000, %eax		/* PG WP */
	movl	%eax, %cr0
	lidt	idtr64
	ljmp	$CS64, $main64

	.code64
main64:
	rdmsr
	andl	$0xd01, %eax
	same64	efer, %rax, 0xd01
	movw	%cs, %ax
	movzwl	%ax, %eax
	same64	cs_sel, %rax, CS64
	movl	$TSS64, %eax
	ltr	%ax
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
	ljmp	*back32(%rip)

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

	/* label at CPL 3 with selector cs; comes back by any exception. */
	.macro	user64 label, cs=USER64
	movl	$98f, recover(%rip)
	movq	%rsp, recover_rsp(%rip)
	movl	$-1, got_vector(%rip)
	movl	$USER_DS, %eax		/* 32-bit code uses them */
	movl	%eax, %ds
	movl	%eax, %es
	pushq	%rax
	pushq	$USER_STACK_TOP
	pushq	$FL_FIXED
	pushq	$\cs
	movl	$\label, %eax
	pushq	%rax
	iretq
	.endm
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
	movl	$(FL_CF|FL_DF|FL_IF), %eax
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

	/* Exceptions: vector and error code, then all ends in the record. */
	.balign	16
stubs64:
n64 = 0
	.rept	256
	.balign	16
	.if	!(n64 == 8 || (n64 >= 10 && n64 <= 14) || n64 == 17)
	pushq	$0
	.endif
	pushq	$n64
	jmp	common64
n64 = n64 + 1
	.endr
common64:
	pushq	%rax
	movq	8(%rsp), %rax
	movl	%eax, got_vector(%rip)
	movq	16(%rsp), %rax
	movl	%eax, got_error(%rip)
	movq	24(%rsp), %rax
	movq	%rax, got_rip(%rip)
	movq	32(%rsp), %rax
	movq	%rax, got_cs(%rip)
	movq	48(%rsp), %rax
	movq	%rax, got_frame_rsp(%rip)
	movq	56(%rsp), %rax
	movq	%rax, got_ss(%rip)
	movq	%cr2, %rax
	movq	%rax, got_cr2(%rip)
	leaq	16(%rsp), %rax		/* behind the error code */
	movq	%rax, got_handler_rsp(%rip)
	movw	%ss, got_now_ss(%rip)
	movl	$DS32, %eax
	movl	%eax, %ss
	movl	%eax, %ds
	movl	%eax, %es
	popq	%rax
	movq	recover_rsp(%rip), %rsp
	pushq	$2
	popfq
	jmp	*recover(%rip)

	.code32
leave64:
	movl	%cr0, %eax
	andl	$0x7fffffff, %eax
	movl	%eax, %cr0
	movl	$MSR_EFER, %ecx
	rdmsr
	andl	$~0x901, %eax
	wrmsr
	movl	cr4_32, %eax
	movl	%eax, %cr4
	movl	$DS32, %eax
	.irp	reg, ds, es, fs, gs, ss
	movl	%eax, %\reg
	.endr
	movl	esp32, %esp
	lidt	rt_idtr
	andb	$~2, rt_gdt + TSS_SEL + 5
	movl	$TSS_SEL, %eax
	ltr	%ax
	ret

	.data
	.balign	8
back32:	.long	leave64
	.word	CS32
to_tss:	.long	0
	.word	TSS64
lsl_sel: .word	TSS64
idtr64:	.word	256*16 - 1
	.long	idt64
	.balign	4
	.data	2
recs_end:

	.bss
	.balign	8
	.irp	name, recover, recover_rsp, got_rip, got_cs, got_ss, got_frame_rsp, got_handler_rsp, got_cr2, got_now_ss, saved_rcx, saved_r11, saved_flags, saved_cs, saved_ss
\name:	.skip	8
	.endr
got_vector: .skip 4
got_error: .skip 4
features: .skip	4
esp32:	.skip	4
cr4_32:	.skip	4
	.balign	8
tss64:	.skip	0x68
	.balign	8
idt64:	.skip	256*16
