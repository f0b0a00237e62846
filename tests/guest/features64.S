/*
 * What 64-bit systems use where it is offered: SMEP, SMAP, UMIP, FSGSBASE, RDTSCP,
 * XSAVE with AVX, 1 GiB pages; SYSCALL and SYSRET of either vendor,
 * RIPs that are not canonical.  SDM vol. 2; vol. 3, 2.5, 4.6, 5.8.8; vol. 1, 13;
 * AMD APM vol. 3, SYSRET.
 *
 * Loops are long enough to be translated in all ways.
 */
#include "guest.inc"
#include "long64.inc"
#include "features64.inc"

	.equ	PAGE_S, 0x34000		/* the supervisor's where others are the user's */
	.equ	LAST_PAGE, 0x1ff000	/* stands at the end of the lower half, too */
	.equ	END_HI, 0x7fff
	.equ	END_LO, 0xffe00000	/* END_HI:END_LO: the first 2 MiB again */
	.equ	CR4_UMIP, 11
	.equ	CR4_FSGSBASE, 16
	.equ	CR4_OSXSAVE, 18
	.equ	CR4_SMEP, 20
	.equ	CR4_SMAP, 21

main64:
	call	features_init
	movl	$(PDPT|7), PML4 + 255*8
	movl	$(PD|7), PDPT + 511*8
	movl	$(PT|7), PD + 511*8
	call	syscalls
	call	wild
	call	call_across
	call	umip
	call	bases
	call	tsc
	call	xsaves
	call	gib
	call	privileged_pages
	ret

/* --- SYSCALL, SYSRET, RIPs ------------------------------------------------------------ */

	/* The low word of an MSR from a label; the high one. */
	.macro	msr number, low, high
	movl	$\number, %ecx
	movl	$\low, %eax
	movl	$\high, %edx
	wrmsr
	.endm
syscalls:
	msr	MSR_STAR, 0, ((SYSRET_BASE+3)<<16|CS64)
	msr	MSR_STAR+1, back_at_once, 0
	msr	MSR_STAR+2, from_compat, 0
	msr	MSR_STAR+3, FL_IF|FL_AC, 0
	/* SYSRET to no canonical address. */
	movl	$FL_FIXED, %r11d
	xorl	%ecx, %ecx
	btsq	$47, %rcx
	cmpb	$0, amd(%rip)
	jne	1f
	fault64	sysret_bad_intel, 13, 0, "sysretq"
	movq	got_cs(%rip), %rax
	same64	sysret_bad_intel_cs, %rax, CS64
	jmp	2f
1:	try64
	sysretq
	caught64 sysret_bad_amd, 13, 0, 0
	movq	got_cs(%rip), %rax
	same64	sysret_bad_amd_cs, %rax, SYSRET_BASE+16+3
	movq	got_rip(%rip), %rax
	same64	sysret_bad_amd_rip, %rax, 0, 0x8000
	/* Bits above an address that is known to have code are not ignored. */
2:	movl	$HOT, %ebx
1:	user64	known
98:	decl	%ebx
	jnz	1b
	movl	$0x7fff, %edi
	xorl	%esi, %esi
1:	movl	$98f, recover(%rip)
	movl	$0, recover+4(%rip)
	movq	%rsp, recover_rsp(%rip)
	movl	$FL_FIXED, %r11d
	movq	%rdi, %rcx
	shlq	$48, %rcx
	movl	$known, %eax
	orq	%rax, %rcx
	sysretq
98:	cmpl	$13, got_vector(%rip)
	jne	2f
	incl	%esi
2:	decl	%edi
	jnz	1b
	same64	sysret_uppers, %rsi, 0x7fff
	/* SYSCALL of compatibility mode. */
	xorl	%edi, %edi
	user64	97f, USER_CS
	.code32
97:	syscall
	.code64
from_compat:
	movw	%cs, %di
	int	$0x41
98:	cmpb	$0, amd(%rip)
	jne	1f
	movl	got_vector(%rip), %eax
	same64	compat_syscall_intel, %rax, 6
	ret
1:	movl	got_vector(%rip), %eax
	same64	compat_syscall_amd, %rax, 0x41
	same64	compat_syscall_amd_cs, %rdi, CS64
	ret
known:	int	$0x40

/* Other ways to RIPs that are not canonical. */
wild:
	movq	%rsp, %rbx
	xorl	%ecx, %ecx
	btsq	$47, %rcx
	pushq	$USER_DS
	pushq	$USER_STACK_TOP
	pushq	$FL_FIXED
	pushq	$USER64
	pushq	%rcx
	fault64	iretq_user, 13, 0, "iretq"
	movq	%rbx, %rsp
	pushq	$CS64
	pushq	%rcx
	fault64	lretq, 13, 0, "lretq"
	movq	%rbx, %rsp
	/* What stands at the end of the lower half, and falls off it. */
	movabsq	$0x7fffffffffff, %rcx
	movb	$0x90, LAST_PAGE + 0xfff
	try64
	jmp	*%rcx
	caught64 fall_off, 13, 0, 0
	movq	got_rip(%rip), %rax
	same64	fall_off_rip, %rax, 0, 0x8000
	movb	$0xeb, LAST_PAGE + 0xfff
	try64
	jmp	*%rcx
	caught64 half_off, 13, 0, 0xffffffff
	movw	$0x050f, LAST_PAGE + 0xffe	/* syscall: RCX is no RIP */
	decq	%rcx
	movl	$98f, recover(%rip)
	movl	$0, recover+4(%rip)
	movq	%rsp, recover_rsp(%rip)
	pushq	$USER_DS
	pushq	$USER_STACK_TOP
	pushq	$FL_FIXED
	pushq	$USER64
	pushq	%rcx
	iretq
98:	same64	syscall_end_rcx, %rcx, 0, 0x8000
	movq	%rbx, %rsp
	ret
back_at_once:
	movq	recover_rsp(%rip), %rsp
	jmp	*recover(%rip)

/* CALL's store, half of it where it may not be made: nothing is stored.  First with a
 * good stack, often. */
call_across:
	movl	$0x11111111, PAGE_A + 0xffc
	pte	PAGE_B, PAGE_B|5
	flush
	movabsq	$END_HI << 32 | END_LO, %r12
	leaq	PAGE_B+4(%r12), %r8
	leaq	PAGE_B-64(%r12), %r10
	movl	$1, %r9d
	movq	%rsp, %rbx
	pushq	$USER_DS
	pushq	%r10
	pushq	$FL_FIXED
	pushq	$USER64
	movl	$1f, %eax
	addq	%r12, %rax
	pushq	%rax
	try64
	iretq
1:	movl	$HOT, %esi
2:	call	3f
3:	addq	$8, %rsp
	decl	%esi
	jnz	2b
	movq	%r8, %rsp
	xchgl	%edi, %r9d
	testl	%edi, %edi
	jnz	1b
	int	$0x40
	caught64 call_across, 14, 7, 2b+END_LO
	movq	%rbx, %rsp
	movl	PAGE_A + 0xffc, %eax
	same64	call_across_memory, %rax, 0x11111111
	pte	PAGE_B, PAGE_B|7
	flush
	ret

/* --- what is for the supervisor ------------------------------------------------------- */

umip:
	needs	f7c, 2, 9f
	cr4_on	CR4_UMIP
	movl	$PAGE_S, %edx
	user64	97f
97:	sgdt	(%rdx)
	caught64 umip_sgdt, 13, 0, 97b
	user64	97f
97:	sidt	(%rdx)
	caught64 umip_sidt, 13, 0, 97b
	user64	97f
97:	sldt	%rdi
	caught64 umip_sldt, 13, 0, 97b
	user64	97f
97:	str	%rdi
	caught64 umip_str, 13, 0, 97b
	user64	97f
97:	smsw	%rdi
	caught64 umip_smsw, 13, 0, 97b
	quiet64	umip_cpl0, "smsw %rdi; str %rdi; sgdt (%rdx)"
	cr4_off	CR4_UMIP
	movl	$PAGE_S, %edx
	user64	97f
97:	smsw	%rdi
	str	%rdi
	sgdt	(%rdx)
	int	$0x40
96:	caught64 umip_off, 0x40, 0, 96b
	same64	umip_off_str, %rdi, TSS64
9:	ret

bases:
	needs	f7b, 0, 9f
	movabsq	$0x123456789abc, %rbx
	fault64	rdfsbase_off, 6, 0, "rdfsbase %rdx"
	cr4_on	CR4_FSGSBASE
	wrfsbase %rbx
	rdfsbase %rdx
	same64	fsbase, %rdx, 0x56789abc, 0x1234
	wrgsbase %ebx
	rdgsbase %rdx
	same64	gsbase32, %rdx, 0x56789abc
	movq	%rbx, %rcx
	btsq	$47, %rcx
	fault64	wrfsbase_bad, 13, 0, "wrfsbase %rcx"
	user64	97f
97:	rdfsbase %rdi
	movl	$PAGE_C, %edx
	wrgsbase %rdx
	movl	%gs:0, %esi
	int	$0x40
96:	caught64 bases_user, 0x40, 0, 96b
	same64	fsbase_user, %rdi, 0x56789abc, 0x1234
	same64	gs_user, %rsi, 0xc
	user64	97f, USER_CS
97:	rdfsbase %eax				/* the same bytes */
	caught64 rdfsbase_compat, 6, 0, 97b
	/* Code that is translated reads with the base of the moment. */
	movl	$HOT, %ecx
	movl	$PAGE_A, %ebx
	movl	$PAGE_B, %edx
	xorl	%esi, %esi
	msr	0xc0000102, PAGE_C, 0		/* kernel GS base */
	movl	$PAGE_D, %eax
	wrgsbase %rax
	movl	$HOT, %ecx
	movl	$PAGE_B, %edx
1:	wrfsbase %rbx
	addl	%fs:0, %esi
	wrfsbase %rdx
	addl	%fs:0, %esi
	addl	%gs:0, %esi
	swapgs
	addl	%gs:0, %esi
	swapgs
	loop	1b
	same64	bases_hot, %rsi, HOT*(0xa+0xb+0xc+0xd)
	cr4_off	CR4_FSGSBASE
9:	ret

tsc:
	needs	features, 27, 9f
	msr	0xc0000103, 0x1234, 0
	rdtsc
	movl	%eax, %esi
	movl	%edx, %edi
	rdtscp
	same64	tsc_aux, %rcx, 0x1234
	subl	%esi, %eax
	sbbl	%edi, %edx
	shrl	$31, %edx
	same64	tsc_forward, %rdx, 0
	cr4_on	2				/* TSD */
	user64	97f
97:	rdtscp
	caught64 rdtscp_tsd, 13, 0, 97b
	user64	97f
97:	rdtsc
	caught64 rdtsc_tsd, 13, 0, 97b
	quiet64	rdtsc_tsd0, "rdtsc"
	cr4_off	2
	user64	97f
97:	rdtscp
	int	$0x40
96:	caught64 rdtscp_user, 0x40, 0, 96b
	same64	tsc_aux_user, %rcx, 0x1234
	needs	f7c, 22, 9f
	xorl	%edi, %edi
	rdpid	%rdi
	same64	rdpid, %rdi, 0x1234
9:	ret

/* --- XSAVE, AVX ------------------------------------------------------------------------- */

	.macro	xcr0 low, high=0
	movl	$\low, %eax
	movl	$\high, %edx
	xorl	%ecx, %ecx
	.endm
xsaves:
	needs	f1c, 26, 9f
	needs	f1c, 28, 9f
	cr4_on	9				/* OSFXSR */
	xorl	%ecx, %ecx
	fault64	xgetbv_off, 6, 0, "xgetbv"
	fault64	avx_off, 6, 0, "vxorps %ymm0, %ymm0, %ymm0"
	cr4_on	CR4_OSXSAVE
	movl	$1, %eax
	cpuid
	shrl	$27, %ecx
	andl	$1, %ecx
	same64	osxsave, %rcx, 1
	xcr0	3
	xsetbv
	fault64	avx_xcr0, 6, 0, "vxorps %ymm0, %ymm0, %ymm0"
	xcr0	5
	fault64	xcr0_no_sse, 13, 0, "xsetbv"
	xcr0	6
	fault64	xcr0_no_x87, 13, 0, "xsetbv"
	xcr0	7, 0x40000000
	fault64	xcr0_high, 13, 0, "xsetbv"
	xcr0	7
	incl	%ecx
	fault64	xcr1, 13, 0, "xsetbv"
	xcr0	7
	user64	97f
97:	xsetbv
	caught64 xsetbv_user, 13, 0, 97b
	xcr0	7
	xsetbv
	xgetbv
	same64	xcr0, %rax, 7
	/* YMM15, of which VEX.128 clears the upper half; XSAVE and back. */
	movq	$0x1234, PAGE_A + 0x40
	vbroadcastsd PAGE_A + 0x40, %ymm15
	vmovdqa	%ymm15, %ymm8
	vpaddq	%xmm15, %xmm8, %xmm9
	vextractf128 $1, %ymm9, %xmm10
	vmovq	%xmm10, %rdi
	same64	vex128, %rdi, 0
	vextractf128 $1, %ymm15, %xmm10
	vmovq	%xmm10, %rdi
	same64	ymm15, %rdi, 0x1234
	movl	$PAGE_S, %ebx
	xorl	%eax, %eax
	movl	$(1024 / 4), %ecx
	movl	%ebx, %edi
	rep stosl
	movl	$7, %eax
	xorl	%edx, %edx
	xsave64	(%rbx)
	movq	512(%rbx), %rdi
	andl	$6, %edi
	same64	xstate_bv, %rdi, 6
	vzeroall
	xrstor64 (%rbx)
	vextractf128 $1, %ymm15, %xmm10
	vmovq	%xmm10, %rdi
	same64	xrstor, %rdi, 0x1234
	movl	$1, %eax
	fault64	xsave_unaligned, 13, 0, "xsave64 8(%rbx)"
	movq	$1, 520(%rbx)
	movl	$7, %eax
	fault64	xrstor_header, 13, 0, "xrstor64 (%rbx)"
	movq	$0, 520(%rbx)
	movq	$8, 512(%rbx)
	movl	$7, %eax
	fault64	xrstor_bits, 13, 0, "xrstor64 (%rbx)"
	movq	%cr0, %rdi
	btsq	$3, %rdi
	movq	%rdi, %cr0
	fault64	avx_ts, 7, 0, "vxorps %ymm0, %ymm0, %ymm0"
	movl	$7, %eax
	fault64	xsave_ts, 7, 0, "xsave64 (%rbx)"
	clts
	/* Often, by the user. */
	user64	97f
97:	movl	$HOT, %ecx
	vpxor	%xmm0, %xmm0, %xmm0
1:	vaddpd	PAGE_A + 0x100, %ymm0, %ymm0
	vpaddq	%xmm15, %xmm15, %xmm14
	loop	1b
	vmovq	%xmm14, %rdi
	vextractf128 $1, %ymm14, %xmm0
	vmovq	%xmm0, %rsi
	int	$0x40
96:	caught64 avx_user, 0x40, 0, 96b
	same64	avx_user_low, %rdi, 0x2468
	same64	avx_user_high, %rsi, 0
	vzeroupper
	cr4_off	CR4_OSXSAVE
	cr4_off	9
9:	ret

/* --- pages ------------------------------------------------------------------------------ */

/* 1 GiB pages: used often, dropped by INVLPG anywhere in them. */
gib:
	needs	features, 26, 9f
	movl	$0x87, PDPT + 8
	movl	$0x40000000 + PAGE_A, %ecx
	movl	$0xa, PAGE_A
	user_reads
	same64	gib_user, %rdx, 0xa
	movl	PDPT + 8, %eax
	same64	gib_accessed, %rax, 0xa7
	movl	$0x40000000 + PAGE_B, %ecx
	call	hot_read
	movl	%edx, %edx
	same64	gib_kernel, %rdx, 0xb
	movl	$0, PDPT + 8
	invlpg	0x40000000
	movl	$0x40000000 + PAGE_A, %ecx
	user_reads
	movl	got_vector(%rip), %eax
	same64	gib_gone, %rax, 14
	try64
	call	hot_read
	caught64 gib_gone_kernel, 14, 0, hot_read_1
9:	ret

/* Pages but A to D are the supervisor's, or all are the user's. */
supervisor:
	movl	$0, %edx
	jmp	1f
everyone:
	movl	$4, %edx
1:	movl	$PT, %edi
	movl	$512, %ecx
2:	movl	(%rdi), %eax
	andl	$~4, %eax
	orl	%edx, %eax
	movl	%eax, (%rdi)
	addq	$8, %rdi
	loop	2b
	orl	$4, PT + (PAGE_A >> 12) * 8
	orl	$4, PT + (PAGE_B >> 12) * 8
	orl	$4, PT + (PAGE_C >> 12) * 8
	orl	$4, PT + (PAGE_D >> 12) * 8
	flush
	ret

	/* R12: where the code runs. */
	.macro	smep sfx
	leaq	PAGE_A(%r12), %rcx
	movb	$0xc3, PAGE_A(%r12)		/* ret */
	cr4_on	CR4_SMEP
	try64
	callq	*%rcx
	caught64 smep_fetch\sfx, 14, 0x11, PAGE_A
	quiet64	smep_data\sfx, "movb (%rcx), %dl"
	movw	$0x40cd, PAGE_A(%r12)		/* int 0x40 */
	user64	PAGE_A
	caught64 smep_user\sfx, 0x40, 0, PAGE_A+2
	cr4_off	CR4_SMEP
	movb	$0xc3, PAGE_A(%r12)
	quiet64	smep_off\sfx, "callq *%rcx"
	.endm

	.macro	smap sfx
	leaq	PAGE_A(%r12), %rcx
	leaq	PAGE_S(%r12), %r8
	movq	$0xa, (%rcx)
	movq	$0x5, (%r8)
	cr4_on	CR4_SMAP
	clac
	fault64	smap_read\sfx, 14, 1, "movb (%rcx), %dl"
	fault64	smap_write\sfx, 14, 3, "movb %dl, (%rcx)"
	fault64	smap_rmw\sfx, 14, 3, "lock incb (%rcx)"
	movq	%rcx, %rsi
	movq	%r8, %rdi
	fault64	smap_movs\sfx, 14, 1, "movsb"
	movq	%rcx, %rbp
	movl	$16, %ecx
	fault64	smap_rep\sfx, 14, 1, "rep movsb"
	movq	%rbp, %rcx
	stac
	quiet64	smap_stac\sfx, "movb (%rcx), %dl"
	movq	got_flags(%rip), %rax
	andl	$FL_AC, %eax
	same64	smap_ac\sfx, %rax, FL_AC
	pushq	$FL_AC|FL_FIXED
	popfq
	quiet64	smap_popf\sfx, "incb (%rcx); decb (%rcx)"
	stac
	pushfq
	clac
	pushfq
	popq	%rax
	popq	%rdx
	xorl	%edx, %eax
	same64	smap_pushf\sfx, %rax, FL_AC
	/* Code that is used to pages of its own; with and without AC. */
	movq	%r8, %rcx
	call	hot_read
	same64	smap_own\sfx, %rdx, 5
	movq	%rbp, %rcx
	try64
	call	hot_read
	caught64 smap_hot\sfx, 14, 1, hot_read_1
	stac
	try64
	call	hot_read
	int	$0x40
97:	caught64 smap_hot_ac\sfx, 0x40, 0, 97b
	try64
	call	hot_read
	caught64 smap_hot_again\sfx, 14, 1, hot_read_1
	/* The 1000th STAC is left out. */
	movl	$1000, %edi
	xorl	%esi, %esi
	try64
1:	decl	%edi
	jz	2f
	stac
2:	addb	(%rcx), %dl
	clac
	addq	(%r8), %rsi
	jmp	1b
	caught64 smap_missed\sfx, 14, 1, 2b
	same64	smap_missed_sum\sfx, %rsi, 999*5
	/* The user is not concerned, and has no STAC. */
	movl	$0x40cd, (%r8)
	stac
	movw	$0x40cd, (%rcx)
	user64	PAGE_A
	caught64 smap_user\sfx, 0x40, 0, PAGE_A+2
	stac
	movl	$0xcb010f, (%rcx)
	user64	PAGE_A
	caught64 smap_user_stac\sfx, 6, 0, PAGE_A
	cr4_off	CR4_SMAP
	quiet64	smap_off\sfx, "movb (%rcx), %dl"
	.endm

privileged_pages:
	call	supervisor
	xorl	%r12d, %r12d
	leaq	smeps(%rip), %rax
	call	*%rax
	movabsq	$0xffff800000000000, %r12
	leaq	smeps_high(%rip), %rax
	addq	%r12, %rax
	addq	%r12, %rsp
	call	*%rax
	subq	%r12, %rsp
	call	everyone
	movq	$0xa, PAGE_A
	ret
smeps:
	needs	f7b, 7, 1f
	smep	""
1:	needs	f7b, 20, 9f
	smap	""
9:	ret
smeps_high:
	needs	f7b, 7, 1f
	smep	_high
1:	needs	f7b, 20, 9f
	smap	_high
9:	ret
