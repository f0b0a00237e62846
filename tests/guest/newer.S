/*
 * Sensitive instructions younger than the classic list: what each shows the guest,
 * and #UD where CPUID does not offer it.  SDM vol. 2 and 3, chapter 2.
 */
#include "guest.inc"

	.equ	AREA, FREE + 0x1000		/* XSAVE areas, 64-byte aligned */
	.equ	OSXSAVE, 1 << 18		/* CR4 */
	.equ	TSD, 4
	.equ	PCE, 0x100

	/* ZF clear when bit of CPUID leaf's register is set; keeps nothing else. */
	.macro	offered leaf, reg, bit
	movl	$\leaf, %eax
	xorl	%ecx, %ecx
	cpuid
	testl	$(1 << \bit), %\reg
	.endm
	.macro	cr4_set bits
	movl	%cr4, %eax
	orl	$(\bits), %eax
	movl	%eax, %cr4
	.endm
	.macro	cr4_clear bits
	movl	%cr4, %eax
	andl	$~(\bits), %eax
	movl	%eax, %cr4
	.endm

	.globl	guest_main
guest_main:
	call	xcr
	call	xsave
	call	protection_keys
	call	tsc
	call	rdpid
	call	fs_gs_base
	call	counters
	call	flush
	call	sysenter
	call	syscall
	call	cpuid_follows
	call	msrs
	ret

xcr:	offered	1, ecx, 26
	jnz	1f
	fault	"xgetbv_none", 6, 0, "xorl %ecx, %ecx; 99: xgetbv"
	ret
1:	/* Not before CR4.OSXSAVE. */
	fault	"xgetbv_off", 6, 0, "xorl %ecx, %ecx; 99: xgetbv"
	fault	"xsave_off", 6, 0, "xsave AREA"
	fault	"xsetbv_off", 6, 0, "xsetbv"
	cr4_set	OSXSAVE
	xorl	%ecx, %ecx
	xgetbv
	check	"xcr0.reset", %eax, $1
	check	"xcr0.reset_hi", %edx, $0
	user
	xorl	%ecx, %ecx
	xgetbv
	user_end
	check	"u_xgetbv", exc_EAX, $1
	ufault	"u_xsetbv", 13, 0, "xorl %ecx, %ecx; movl $3, %eax; xorl %edx, %edx; 99: xsetbv"
	movl	$3, %eax
	xorl	%edx, %edx
	xorl	%ecx, %ecx
	xsetbv
	xgetbv
	check	"xcr0.sse", %eax, $3
	/* The x87 bit is always 1, AVX needs SSE, unknown bits are refused. */
	fault	"xcr0_no_x87", 13, 0, "xorl %ecx, %ecx; movl $2, %eax; xorl %edx, %edx; 99: xsetbv"
	fault	"xcr0_avx_alone", 13, 0, "xorl %ecx, %ecx; movl $5, %eax; xorl %edx, %edx; 99: xsetbv"
	fault	"xcr0_bit62", 13, 0, "xorl %ecx, %ecx; movl $3, %eax; movl $0x40000000, %edx; 99: xsetbv"
	fault	"xcr1", 13, 0, "movl $2, %ecx; movl $3, %eax; xorl %edx, %edx; 99: xsetbv"
	fault	"xgetbv_9", 13, 0, "movl $9, %ecx; 99: xgetbv"
	/* The size in CPUID follows XCR0. */
	movl	$0xd, %eax
	xorl	%ecx, %ecx
	cpuid
	check	"cpuid_d.size", %ebx, $576
	offered	1, ecx, 28
	jz	2f
	movl	$7, %eax
	xorl	%edx, %edx
	xorl	%ecx, %ecx
	xsetbv
	xgetbv
	check	"xcr0.avx", %eax, $7
	movl	$0xd, %eax
	xorl	%ecx, %ecx
	cpuid
	check	"cpuid_d.avx_size", %ebx, $832
2:	ret

/* The guest's XCR0, not the host's, says what is saved. */
xsave:	offered	1, ecx, 26
	jz	9f
	cr4_set	OSXSAVE|0x600
	xorl	%edx, %edx
	xorl	%ecx, %ecx
	movl	$3, %eax
	xsetbv
	movl	$AREA, %edi
	movl	$256, %ecx
	movl	$0xeeeeeeee, %eax
	rep stosl
	/* The header of what XSAVE finds is kept but for the bits asked for. */
	movl	$AREA+512, %edi
	movl	$16, %ecx
	xorl	%eax, %eax
	rep stosl
	movl	$0x11223344, %eax
	movd	%eax, %xmm3
	fninit
	fld1
	movl	$-1, %eax
	movl	$-1, %edx
	xsave	AREA
	check	"xsave.bv", AREA+512, $3
	check	"xsave.xmm3", AREA+160+48, $0x11223344
	movzwl	AREA, %eax
	check	"xsave.fcw", %eax, $0x37f
	check	"xsave.st0", AREA+36, $0x80000000
	check	"xsave.avx_area", AREA+576, $0xeeeeeeee
	check	"xsave.mxcsr", AREA+24, $0x1f80
	/* Restoring a cleared bit gives the initial state. */
	movl	$1, AREA+512
	movl	$3, %eax
	xorl	%edx, %edx
	xrstor	AREA
	movd	%xmm3, %eax
	check	"xrstor.init", %eax, $0
	movl	$3, AREA+512
	movl	$2, %eax
	xrstor	AREA
	movd	%xmm3, %eax
	check	"xrstor.xmm3", %eax, $0x11223344
	fault	"xrstor_bv", 13, 0, "movl $0x100, AREA+512; movl $-1, %eax; 99: xrstor AREA"
	movl	$3, AREA+512
	fault	"xrstor_header", 13, 0, "movl $1, AREA+528; 99: xrstor AREA"
	movl	$0, AREA+528
	fault	"xsave_align", 13, 0, "xsave AREA+8"
	movl	%cr0, %eax
	orl	$8, %eax
	movl	%eax, %cr0
	fault	"xsave_ts", 7, 0, "xsave AREA"
	clts
	user
	movl	$0x55, %eax
	movd	%eax, %xmm5
	movl	$3, %eax
	xorl	%edx, %edx
	xsave	AREA
	user_end
	check	"u_xsave", AREA+160+80, $0x55
	fninit
9:	ret

protection_keys:
	offered	7, ecx, 3
	jnz	1f
	fault	"rdpkru", 6, 0, "xorl %ecx, %ecx; 99: rdpkru"
	fault	"wrpkru", 6, 0, "xorl %ecx, %ecx; 99: wrpkru"
	fault	"cr4_pke", 13, 0, "movl %cr4, %eax; orl $0x400000, %eax; 99: movl %eax, %cr4"
	ret
1:	fault	"rdpkru_off", 6, 0, "xorl %ecx, %ecx; 99: rdpkru"
	cr4_set	0x400000
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	movl	$0x55555554, %eax
	wrpkru
	rdpkru
	check	"pkru", %eax, $0x55555554
	xorl	%eax, %eax
	wrpkru
	cr4_clear 0x400000
	ret

tsc:	rdtsc
	movl	%eax, %esi
	movl	%edx, %edi
	rdtsc
	subl	%esi, %eax
	sbbl	%edi, %edx
	check	"rdtsc.forward", %edx, $0
	uquiet	"u_rdtsc", "rdtsc"
	cr4_set	TSD
	ufault	"u_rdtsc_tsd", 13, 0, "rdtsc"
	quiet	"rdtsc_tsd", "rdtsc"
	offered	0x80000001, edx, 27
	jz	1f
	movl	$0xc0000103, %ecx
	movl	$0x1234, %eax
	xorl	%edx, %edx
	wrmsr
	rdtscp
	check	"rdtscp.aux", %ecx, $0x1234
	ufault	"u_rdtscp_tsd", 13, 0, "rdtscp"
	cr4_clear TSD
	user
	rdtscp
	user_end
	check	"u_rdtscp.aux", exc_ECX, $0x1234
	ret
1:	fault	"rdtscp", 6, 0, "rdtscp"
	cr4_clear TSD
	ret

rdpid:	offered	7, ecx, 22
	jz	1f
	movl	$0xc0000103, %ecx
	movl	$0x4321, %eax
	xorl	%edx, %edx
	wrmsr
	.byte	0xf3, 0x0f, 0xc7, 0xf8	/* rdpid %eax */
	check	"rdpid", %eax, $0x4321
	user
	.byte	0xf3, 0x0f, 0xc7, 0xf8
	user_end
	check	"u_rdpid", exc_EAX, $0x4321
	ret
1:	fault	"rdpid", 6, 0, ".byte 0xf3, 0x0f, 0xc7, 0xf8"
	ret

/* 64-bit code only, whatever CPUID says. */
fs_gs_base:
	fault	"rdfsbase", 6, 0, ".byte 0xf3, 0x0f, 0xae, 0xc0"
	fault	"wrgsbase", 6, 0, ".byte 0xf3, 0x0f, 0xae, 0xd8"
	ufault	"u_rdgsbase", 6, 0, ".byte 0xf3, 0x0f, 0xae, 0xc8"
	ufault	"u_wrfsbase", 6, 0, ".byte 0xf3, 0x0f, 0xae, 0xd0"
	fault	"swapgs", 6, 0, ".byte 0x0f, 0x01, 0xf8"
	ret

counters:
	/* CPL 3 needs CR4.PCE; a counter that there is not is #GP. */
	ufault	"u_rdpmc", 13, 0, "xorl %ecx, %ecx; 99: rdpmc"
	fault	"rdpmc_far", 13, 0, "movl $0x3fffffff, %ecx; 99: rdpmc"
	ret

flush:	offered	1, edx, 19
	jz	1f
	quiet	"clflush", "clflush FREE"
	uquiet	"u_clflush", "clflush FREE"
	call	rt_paging_2level
	set_pte	0x400000, 0
	pfault	"clflush_pf", 0, 0x400010, "clflush 0x400010"
	set_pte	0x400000, 0x400005	/* it reads: read-only is fine */
	quiet	"clflush_ro", "clflush 0x400010"
	call	rt_paging_off
1:	quiet	"prefetch", "prefetcht0 0xfffffff0"
	quiet	"wbinvd", "wbinvd"
	ufault	"u_wbinvd", 13, 0, "wbinvd"
	ufault	"u_invd", 13, 0, "invd"
	uquiet	"u_fences", "lfence; mfence; sfence; pause"
	ret

	.macro	msr n, value
	movl	$\n, %ecx
	movl	$\value, %eax
	xorl	%edx, %edx
	wrmsr
	.endm

/* SYSENTER takes flat segments from SYSENTER_CS, ESP and EIP from MSRs. */
sysenter:
	offered	1, edx, 11
	jz	9f
	msr	0x174, 0
	ufault	"sysenter_off", 13, 0, "sysenter"
	msr	0x174, CS32
	msr	0x175, RING0_STACK_TOP-0x100
	msr	0x176, entered
	movl	$0, rt_recover
	movl	%esp, saved_esp
	pushl	$USER_DS
	pushl	$USER_STACK_TOP
	pushl	$FL_FIXED|FL_IF|FL_CF
	pushl	$USER_CS
	pushl	$1f
	iretl
1:	movl	$0x77, %ebx
	sysenter
	ud2
entered:
	pushfl
	popl	%ecx
	movl	%cs, %eax
	movl	%ss, %edx
	movl	%esp, %ebp
	movl	$DS32, %esi
	movl	%esi, %ds
	movl	%esi, %es
	movl	%esi, %fs
	movl	%esi, %gs
	check	"sysenter.cs", %eax, $CS32
	check	"sysenter.ss", %edx, $CS32+8
	check	"sysenter.esp", %ebp, $RING0_STACK_TOP-0x100
	check	"sysenter.ebx", %ebx, $0x77
	andl	$(FL_IF|FL_CF), %ecx
	check	"sysenter.flags", %ecx, $FL_CF	/* IF is cleared, the rest kept */
	/* SYSEXIT: CS + 16, CS + 24, EIP and ESP from EDX and ECX. */
	movl	$98f, rt_recover
	movl	saved_esp, %eax
	movl	%eax, rt_recover_esp
	movl	$USER_STACK_TOP-8, %ecx
	movl	$1f, %edx
	sysexit
1:	movl	%cs, %eax
	movl	%ss, %ebx
	int	$0x40
98:	movl	$0, rt_recover
	check	"sysexit.cs", exc_EAX, $USER_CS
	check	"sysexit.ss", exc_EBX, $USER_DS
	check	"sysexit.esp", exc_ESP, $USER_STACK_TOP-8
	ufault	"u_sysexit", 13, 0, "sysexit"
	msr	0x174, 0
	fault	"sysexit_off", 13, 0, "sysexit"
9:	ret

/* SYSCALL outside of long mode: only where EFER.SCE can be set, and #UD else. */
syscall:
	fault	"syscall_off", 6, 0, "syscall"
	ufault	"u_syscall_off", 6, 0, "syscall"
	fault	"sysret_off", 6, 0, "sysret"
	ret

/* CPUID shows OSXSAVE as CR4 has it. */
cpuid_follows:
	offered	1, ecx, 26
	jz	9f
	cr4_set	OSXSAVE
	offered	1, ecx, 27
	setnz	%al
	movzbl	%al, %eax
	check	"osxsave.on", %eax, $1
	cr4_clear OSXSAVE
	offered	1, ecx, 27
	setnz	%al
	movzbl	%al, %eax
	check	"osxsave.off", %eax, $0
	uquiet	"u_cpuid", "xorl %eax, %eax; cpuid"
9:	ret

msrs:	msr	0x277, 0x00070106
	movl	$0x277, %ecx
	rdmsr
	check	"pat", %eax, $0x00070106
	fault	"pat_bad", 13, 0, "movl $0x277, %ecx; movl $2, %eax; xorl %edx, %edx; 99: wrmsr"
	fault	"efer_reserved", 13, 0, "movl $0xc0000080, %ecx; movl $2, %eax; xorl %edx, %edx; 99: wrmsr"
	fault	"msr_unknown", 13, 0, "movl $0x4badcafe, %ecx; 99: rdmsr"
	fault	"msr_unknown_w", 13, 0, "movl $0x4badcafe, %ecx; 99: wrmsr"
	ret

	.bss
	.balign	4
saved_esp: .skip 4
