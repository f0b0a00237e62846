/*
 * Every exception without paging: vector, error code, saved EIP, which comes
 * first, and what happens when delivery itself fails.  SDM vol. 3, chapter 6.
 */
#include "guest.inc"

	.equ	SEL_NP,   TEST_SEL + 0x00	/* data, not present */
	.equ	SEL_CODE, TEST_SEL + 0x08	/* execute only */
	.equ	SEL_RO,   TEST_SEL + 0x10	/* data, read only */
	.equ	SEL_DPL3, TEST_SEL + 0x18	/* data, DPL 3 */
	.equ	SEL_TINY, TEST_SEL + 0x20	/* data, limit 0xff */
	.equ	SEL_CNP,  TEST_SEL + 0x28	/* code, not present */
	.equ	SEL_SYS,  TEST_SEL + 0x30	/* LDT descriptor */
	.equ	SEL_DF,   TEST_SEL + 0x38	/* TSS of the double fault task */
	.equ	SEL_TSSNP, TEST_SEL + 0x40
	.equ	SEL_UTINY, TEST_SEL + 0x48	/* SEL_TINY with DPL 3 */
	.equ	SEL_OUT,  GDT_ENTRIES * 8	/* outside the GDT */

	.globl	guest_main
guest_main:
	descriptor SEL_NP, 0, 0xfffff, 0xc013
	descriptor SEL_CODE, 0, 0xfffff, 0xc099
	descriptor SEL_RO, 0, 0xfffff, 0xc091
	descriptor SEL_DPL3, 0, 0xfffff, 0xc0f3
	descriptor SEL_TINY, FREE, 0xff, 0x4093
	descriptor SEL_UTINY, FREE, 0xff, 0x40f3
	descriptor SEL_CNP, 0, 0xfffff, 0xc01b
	descriptor SEL_SYS, FREE, 0xff, 0x0082
	descriptor SEL_TSSNP, FREE, 0x67, 0x0009

	call	divide
	call	traps
	call	undefined
	call	no_fpu
	call	segments
	call	transfers
	call	privileged
	call	user_faults
	call	delivery
	call	double_task
	ret

divide:
	xorl	%edx, %edx
	movl	$5, %eax
	xorl	%ecx, %ecx
	fault	"div0", 0, 0, "divl %ecx"
	check	"div0.eax", exc_EAX, $5
	movl	$7, %edx
	movl	$7, %ecx
	fault	"div_overflow", 0, 0, "divl %ecx"
	movl	$0x80000000, %eax
	cltd
	movl	$-1, %ecx
	fault	"idiv_min", 0, 0, "idivl %ecx"
	movw	$0x80, %ax
	movb	$1, %cl
	fault	"idivb_range", 0, 0, "idivb %cl"
	movw	$0xff7f, %ax
	movb	$-1, %cl
	fault	"idivb_129", 0, 0, "idivb %cl"
	movw	$0xff80, %ax
	movb	$1, %cl
	quiet	"idivb_-128", "idivb %cl"
	fault	"aam0", 0, 0, ".byte 0xd4, 0"
	ret

traps:
	trap	"int1", 1, ".byte 0xf1"
	trap	"int3", 3, "int3"
	trap	"int_3", 3, ".byte 0xcd, 3"
	movl	$0x7fffffff, %eax
	incl	%eax
	trap	"into", 4, "into"
	xorl	%eax, %eax
	quiet	"into_none", "into"
	trap	"int41", 0x41, "int $0x41"
	check	"int41.if", exc_EFLAGS, $0x46
	movl	$-6, %eax
	fault	"bound_low", 5, 0, "bound %eax, bounds"
	movl	$11, %eax
	fault	"bound_high", 5, 0, "bound %eax, bounds"
	movl	$10, %eax
	quiet	"bound_ok", "bound %eax, bounds"
	movl	$-5, %eax
	quiet	"bound_ok2", "bound %eax, bounds"
	/* Faults push RF, traps do not. */
	fault	"ud_rf", 6, 0, "ud2"
	movl	exc_EFLAGS, %eax
	andl	$FL_RF, %eax
	check	"ud_rf.rf", %eax, $FL_RF
	ret

undefined:
	fault	"ud2", 6, 0, "ud2"
	fault	"ud1", 6, 0, ".byte 0x0f, 0xb9, 0xc0"
	fault	"mov_cs", 6, 0, ".byte 0x8e, 0xc8"
	fault	"mov_seg6", 6, 0, ".byte 0x8e, 0xf0"
	fault	"mov_cr1", 6, 0, ".byte 0x0f, 0x20, 0xc8"
	fault	"lock_reg", 6, 0, ".byte 0xf0, 0x01, 0xc0"
	fault	"lock_mov", 6, 0, ".byte 0xf0, 0x89, 0x05; .long FREE"
	fault	"lock_cmp", 6, 0, ".byte 0xf0, 0x39, 0x05; .long FREE"
	quiet	"lock_add", "lock addl %eax, FREE"
	fault	"lea_reg", 6, 0, ".byte 0x8d, 0xc0"
	fault	"les_reg", 6, 0, ".byte 0xc4, 0xc0"
	fault	"bound_reg", 6, 0, ".byte 0x62, 0xc0"
	fault	"lgdt_reg", 6, 0, ".byte 0x0f, 0x01, 0xd2"
	fault	"fe_7", 6, 0, ".byte 0xfe, 0xf8"
	fault	"ff_7", 6, 0, ".byte 0xff, 0xf8"
	fault	"callf_reg", 6, 0, ".byte 0xff, 0xd8"
	fault	"pop_1", 6, 0, ".byte 0x8f, 0xc8"
	fault	"cmpxchg8b_reg", 6, 0, ".byte 0x0f, 0xc7, 0xc8"
	fault	"rsm", 6, 0, "rsm"
	/* 15 bytes are the most: then #GP, whatever it is. */
	quiet	"len15", ".fill 14, 1, 0x3e; nop"
	fault	"len16", 13, 0, ".fill 15, 1, 0x3e; nop"
	fault	"len16_ud", 13, 0, ".fill 15, 1, 0x3e; ud2"
	ret

no_fpu:
	movl	%cr0, %eax
	movl	%eax, %ebx
	orl	$8, %eax		/* TS */
	movl	%eax, %cr0
	fault	"ts_fld1", 7, 0, "fld1"
	quiet	"ts_fwait", "fwait"
	orl	$2, %eax		/* MP */
	movl	%eax, %cr0
	fault	"ts_mp_fwait", 7, 0, "fwait"
	clts
	quiet	"clts_fwait", "fwait"
	movl	%ebx, %eax
	orl	$4, %eax		/* EM */
	movl	%eax, %cr0
	fault	"em_fld1", 7, 0, "fld1"
	quiet	"em_fwait", "fwait"
	movl	%ebx, %cr0
	ret

segments:
	movl	$SEL_NP, %eax
	fault	"ds_np", 11, SEL_NP, "movl %eax, %ds"
	movl	$(SEL_NP | 3), %eax	/* privilege is checked first */
	fault	"ds_np_rpl3", 13, SEL_NP, "movl %eax, %ds"
	movl	$SEL_NP, %eax
	fault	"ss_np", 12, SEL_NP, "movl %eax, %ss"
	movl	$SEL_CODE, %eax
	fault	"ds_exec_only", 13, SEL_CODE, "movl %eax, %ds"
	movl	$SEL_SYS, %eax
	fault	"ds_system", 13, SEL_SYS, "movl %eax, %ds"
	movl	$SEL_OUT, %eax
	fault	"ds_outside", 13, SEL_OUT, "movl %eax, %ds"
	movl	$(DS32 | 4), %eax
	fault	"ds_no_ldt", 13, DS32|4, "movl %eax, %ds"
	movl	$SEL_RO, %eax
	fault	"ss_read_only", 13, SEL_RO, "movl %eax, %ss"
	movl	$SEL_DPL3, %eax
	fault	"ss_dpl3", 13, SEL_DPL3, "movl %eax, %ss"
	movl	$(DS32 | 3), %eax
	fault	"ss_rpl3", 13, DS32, "movl %eax, %ss"
	xorl	%eax, %eax
	fault	"ss_null", 13, 0, "movl %eax, %ss"
	quiet	"es_null", "movl %eax, %es"
	fault	"es_null_use", 13, 0, "movl %es:FREE, %eax"
	movl	$DS32, %eax
	movl	%eax, %es
	movl	$SEL_RO, %eax
	movl	%eax, %es
	quiet	"ro_read", "movl %es:FREE, %ecx"
	fault	"ro_write", 13, 0, "movl %ecx, %es:FREE"
	movl	$DS32, %eax
	movl	%eax, %es
	fault	"cs_write", 13, 0, "movl %eax, %cs:FREE"
	quiet	"cs_read", "movl %cs:FREE, %eax"
	/* An exception leaves FS flat. */
	quiet	"limit_last", "movl $SEL_TINY, %eax; movl %eax, %fs; movb %fs:0xff, %al"
	fault	"limit_over", 13, 0, "movl $SEL_TINY, %eax; movl %eax, %fs; 99: movb %fs:0x100, %al"
	quiet	"limit_dword", "movl $SEL_TINY, %eax; movl %eax, %fs; movl %fs:0xfc, %ecx"
	fault	"limit_straddle", 13, 0, "movl $SEL_TINY, %eax; movl %eax, %fs; 99: movl %fs:0xfd, %ecx"
	/* The handler needs a stack that works: here SS is small, ESP is inside. */
	fault	"stack_limit_bp", 12, 0, "movl $0x100, %ebp; movl $SEL_TINY, %eax; movl %eax, %ss; movl $0xfc, %esp; 99: movl (%ebp), %eax"
	check	"stack_limit_bp.esp", exc_ESP, $0xfc
	fault	"stack_limit_straddle", 12, 0, "movl $0xfd, %ebp; movl $SEL_TINY, %eax; movl %eax, %ss; movl $0xfc, %esp; 99: movl (%ebp), %eax"
	ufault	"u_stack_limit", 12, 0, "movl $SEL_UTINY|3, %eax; movl %eax, %ss; movl $2, %esp; 99: pushl %eax"
	check	"u_stack_limit.esp", exc_ESP, $2
	ufault	"u_stack_top", 12, 0, "movl $SEL_UTINY|3, %eax; movl %eax, %ss; movl $0x104, %esp; 99: pushl %eax"
	ufault	"u_stack_pop", 12, 0, "movl $SEL_UTINY|3, %eax; movl %eax, %ss; movl $0xfe, %esp; 99: popl %eax"
	/* The segment limit comes before the divide. */
	fault	"div_mem_limit", 13, 0, "movl $SEL_TINY, %eax; movl %eax, %fs; xorl %edx, %edx; 99: divl %fs:0x200"
	ret

transfers:
	fault	"jmpf_null", 13, 0, "ljmp $0, $0"
	fault	"jmpf_data", 13, DS32, "ljmp $DS32, $0"
	fault	"jmpf_outside", 13, SEL_OUT, "ljmp $SEL_OUT, $0"
	fault	"jmpf_np", 11, SEL_CNP, "ljmp $SEL_CNP, $0"
	fault	"jmpf_dpl3", 13, USER_CS & ~3, "ljmp $USER_CS, $0"
	fault	"jmpf_ldt", 13, SEL_SYS, "ljmp $SEL_SYS, $0"
	fault	"jmpf_tss_np", 11, SEL_TSSNP, "ljmp $SEL_TSSNP, $0"
	fault	"callf_null", 13, 0, "lcall $0, $0"
	fault	"callf_np", 11, SEL_CNP, "lcall $SEL_CNP, $0"
	fault	"jmpf_busy_tss", 13, TSS_SEL, "ljmp $TSS_SEL, $0"
	movl	$DS32, far_bad + 4
	fault	"jmpf_mem", 13, DS32, "ljmp *far_bad"
	fault	"retf_null", 13, 0, "pushl $0; pushl $0; 99: lretl"
	fault	"retf_data", 13, DS32, "pushl $DS32; pushl $0; 99: lretl"
	fault	"iret_null", 13, 0, "pushl $2; pushl $0; pushl $0; 99: iretl"
	fault	"iret_np", 11, SEL_CNP, "pushl $2; pushl $SEL_CNP; pushl $0; 99: iretl"
	/* To CPL 3 with a stack of DPL 0. */
	fault	"iret_ss", 13, DS32, "pushl $DS32; pushl $0; pushl $2; pushl $USER_CS; pushl $0; 99: iretl"
	fault	"ltr_busy", 13, TSS_SEL, "movw $TSS_SEL, %ax; 99: ltr %ax"
	fault	"ltr_data", 13, DS32, "movw $DS32, %ax; 99: ltr %ax"
	fault	"lldt_data", 13, DS32, "movw $DS32, %ax; 99: lldt %ax"
	quiet	"lldt_null", "xorl %eax, %eax; lldt %ax"
	ret

privileged:
	not_on_tcg 1f
	movl	%cr0, %eax
	movl	%eax, %ebx
	orl	$0x80000000, %eax
	andl	$0xfffffffe, %eax
	fault	"pg_without_pe", 13, 0, "movl %eax, %cr0"
	movl	%ebx, %eax
	orl	$0x20000000, %eax
	andl	$0xbfffffff, %eax
	fault	"nw_without_cd", 13, 0, "movl %eax, %cr0"
	movl	%cr4, %eax
	orl	$0x80000000, %eax
	fault	"cr4_reserved", 13, 0, "movl %eax, %cr4"
	movl	$0x4badbeef, %ecx
	fault	"rdmsr_unknown", 13, 0, "rdmsr"
1:	ret

user_faults:
	ufault	"u_hlt", 13, 0, "hlt"
	ufault	"u_cli", 13, 0, "cli"
	ufault	"u_sti", 13, 0, "sti"
	ufault	"u_in", 13, 0, "inb $0x21, %al"
	ufault	"u_outs", 13, 0, "outsb"
	ufault	"u_mov_cr0", 13, 0, "movl %cr0, %eax"
	ufault	"u_mov_dr7", 13, 0, "movl %dr7, %eax"
	ufault	"u_clts", 13, 0, "clts"
	ufault	"u_lmsw", 13, 0, "lmsw %ax"
	ufault	"u_lgdt", 13, 0, "lgdt rt_gdtr"
	ufault	"u_lldt", 13, 0, "lldt %ax"
	ufault	"u_ltr", 13, 0, "ltr %ax"
	ufault	"u_invlpg", 13, 0, "invlpg FREE"
	ufault	"u_wbinvd", 13, 0, "wbinvd"
	ufault	"u_rdmsr", 13, 0, "rdmsr"
	ufault	"u_int42_dpl0", 13, 0x50*8+2, "int $0x50"
	ufault	"u_int1_gate", 13, 1*8+2, ".byte 0xcd, 1"
	utrap	"u_icebp", 1, ".byte 0xf1"
	utrap	"u_int3", 3, "int3"
	utrap	"u_into", 4, "movl $0x7fffffff, %eax; incl %eax; into"
	ufault	"u_ud2", 6, 0, "ud2"
	check	"u_ud2.cs", exc_CS, $USER_CS
	check	"u_ud2.ss", exc_SS, $USER_DS
	check	"u_ud2.esp", exc_ESP, $USER_STACK_TOP
	ufault	"u_ds_dpl0", 13, DS32, "movl $DS32, %eax; 99: movl %eax, %ds"
	ufault	"u_jmpf_dpl0", 13, CS32, "ljmp $CS32, $0"
	ufault	"u_iret_dpl0", 13, CS32, "pushl $2; pushl $CS32; pushl $0; 99: iretl"
	ufault	"u_div0", 0, 0, "xorl %ecx, %ecx; 99: divl %ecx"
	ret

delivery:
	/* The gate's own faults carry its number, bit 1, and bit 0 (EXT) when the
	 * event was not an INT instruction. */
	gate	0x48, rt_stubs, 0x6e		/* not present */
	fault	"int_gate_np", 11, 0x48*8+2, "int $0x48"
	gate	6, rt_stubs+6*16, 0x0e
	fault	"ud_gate_np", 11, 6*8+3, "ud2"
	gate	6, rt_stubs+6*16, 0x8e, DS32
	fault	"ud_gate_data", 13, DS32+1, "ud2"
	gate	6, rt_stubs+6*16, 0x8e, 0
	fault	"ud_gate_null", 13, 1, "ud2"
	gate	6, rt_stubs+6*16, 0x8e, SEL_CNP
	fault	"ud_gate_cnp", 11, SEL_CNP+1, "ud2"
	gate	6, rt_stubs+6*16, 0x82	/* not a gate */
	fault	"ud_gate_type", 13, 6*8+3, "ud2"
	gate	6, rt_stubs+6*16
	/* Beyond the limit. */
	lidt	idtr_short
	fault	"int_beyond_idt", 13, 0x50*8+2, "int $0x50"
	lidt	rt_idtr
	/* A contributory fault while delivering a contributory one: #DF(0). */
	gate	0, rt_stubs, 0x0e
	try
	xorl	%ecx, %ecx
	divl	%ecx
	caught
	check	"df.vector", exc_vector, $8
	check	"df.error", exc_ERROR, $0
	gate	0, rt_stubs
	gate	13, rt_stubs+13*16, 0x0e
	try
	movl	$SEL_OUT, %eax
	movl	%eax, %ds
	caught
	check	"df_gp.vector", exc_vector, $8
	gate	13, rt_stubs+13*16
	/* A trap gate leaves IF alone, an interrupt gate clears it; both clear TF
	 * and NT in the handler. */
	gate	0x49, flags_handler, 0x8f
	gate	0x4a, flags_handler, 0x8e
	pushl	$(FL_FIXED | FL_IF | FL_NT | FL_AC)
	popfl
	int	$0x49
	movl	%eax, %ebx
	int	$0x4a
	pushl	$FL_FIXED
	popfl
	andl	$(FL_IF | FL_NT | FL_AC), %ebx
	andl	$(FL_IF | FL_NT | FL_AC), %eax
	check	"trap_gate.if", %ebx, $(FL_IF|FL_AC)
	check	"int_gate.if", %eax, $FL_AC
	ret

flags_handler:
	pushfl
	popl	%eax
	iretl

/* A double fault through a task gate, as Linux for i386 has it. */
double_task:
	descriptor SEL_DF, 0, 0x67, 0x0089
	set_base SEL_DF, df_tss
	movl	$df_entry, df_tss + 32
	movl	$FL_FIXED, df_tss + 36
	movl	$(FREE + 0x1000), df_tss + 56
	movl	$DS32, df_tss + 72
	movl	$CS32, df_tss + 76
	movl	$DS32, df_tss + 80
	movl	$DS32, df_tss + 84
	movl	$0x11111111, df_tss + 40
	gate	8, 0, 0x85, SEL_DF
	gate	0, rt_stubs, 0x0e
	movl	%esp, %ebx
	movl	$0x1234, %esi
	xorl	%ecx, %ecx
df_here:
	divl	%ecx
	ud2
df_back:
	check	"back.esi", %esi, $0x1234
	movl	%esp, %eax
	subl	%ebx, %eax
	check	"back.esp", %eax, $0
	str	%ax
	movzwl	%ax, %eax
	check	"back.tr", %eax, $TSS_SEL
	movl	%cr0, %eax
	andl	$8, %eax
	check	"back.ts", %eax, $8
	clts
	gate	8, rt_stubs+8*16
	gate	0, rt_stubs
	ret

df_entry:
	check	"df_task.eax", %eax, $0x11111111
	check	"df_task.error", (%esp), $0
	addl	$4, %esp
	str	%ax
	movzwl	%ax, %eax
	check	"df_task.tr", %eax, $SEL_DF
	movzwl	df_tss, %eax
	check	"df_task.link", %eax, $TSS_SEL
	pushfl
	popl	%eax
	andl	$FL_NT, %eax
	check	"df_task.nt", %eax, $FL_NT
	check	"old.eip", rt_tss+32, $df_here
	check	"old.esi", rt_tss+64, $0x1234
	movzwl	rt_tss + 76, %eax
	check	"old.cs", %eax, $CS32
	movzbl	rt_gdt + TSS_SEL + 5, %eax
	check	"old.busy", %eax, $0x8b
	movl	$df_back, rt_tss + 32
	iretl
	ud2

	.data
	.balign	4
bounds:	.long	-5, 10
far_bad: .long	0, 0
	.word	0
idtr_short:
	.word	0x4f * 8 + 7
	.long	rt_idt
	.bss
	.balign	4
df_tss:	.skip	104
