/*
 * Hardware task switches: JMP, CALL, IRET, task gates, what is saved and loaded,
 * busy bits, links, faults of the old and of the new task.  SDM vol. 3, chapter 7.
 */
#include "guest.inc"

	.equ	SEL_T1, TEST_SEL + 0x00
	.equ	SEL_T2, TEST_SEL + 0x08
	.equ	SEL_GATE, TEST_SEL + 0x10	/* task gate to T1, DPL 3 */
	.equ	SEL_T16, TEST_SEL + 0x18	/* 16-bit TSS */
	.equ	SEL_SHORT, TEST_SEL + 0x20	/* limit too small */
	.equ	SEL_TNP, TEST_SEL + 0x28	/* not present */
	.equ	SEL_LDT, TEST_SEL + 0x30
	.equ	SEL_CNP, TEST_SEL + 0x38	/* code, not present */
	.equ	T_STACK, FREE + 0x4000

	/* Offsets in a 32-bit TSS. */
	.equ	T_LINK, 0
	.equ	T_CR3, 28
	.equ	T_EIP, 32
	.equ	T_EFLAGS, 36
	.equ	T_EAX, 40
	.equ	T_ESP, 56
	.equ	T_ES, 72
	.equ	T_CS, 76
	.equ	T_SS, 80
	.equ	T_DS, 84
	.equ	T_FS, 88
	.equ	T_GS, 92
	.equ	T_LDT, 96
	.equ	T_TRAP, 100

	.macro	task tss, entry, sel, attr=0x89, limit=103
	movl	$\tss, %edi
	movl	$\entry, %eax
	call	make_task
	descriptor \sel, 0, \limit, \attr
	set_base \sel, \tss
	.endm
	.macro	busy name, sel, want
	movzbl	rt_gdt + 5 + \sel, %eax
	check	"\name", %eax, \want
	.endm

	.globl	guest_main
guest_main:
	descriptor SEL_LDT, 0, 0xf, 0x0082
	set_base SEL_LDT, ldt
	descriptor SEL_CNP, 0, 0xfffff, 0xc01b
	descriptor SEL_TNP, FREE, 103, 0x0009
	movl	$(SEL_T1<<16), rt_gdt + SEL_GATE
	movl	$0xe500, rt_gdt + SEL_GATE + 4
	call	jump
	call	nested
	call	gate
	call	interrupt
	call	user_task
	call	bad_new
	call	paging
	call	short_tss
	ret

/* EDI = TSS, EAX = entry */
make_task:
	pushl	%edi
	pushl	%eax
	movl	$26, %ecx
	xorl	%eax, %eax
	rep stosl
	popl	%eax
	popl	%edi
	movl	%eax, T_EIP(%edi)
	movl	$FL_FIXED, T_EFLAGS(%edi)
	movl	$T_STACK, T_ESP(%edi)
	movl	$CS32, T_CS(%edi)
	.irp	s, T_ES, T_SS, T_DS, T_FS, T_GS
	movl	$DS32, \s(%edi)
	.endr
	movl	%cr3, %eax
	movl	%eax, T_CR3(%edi)
	movw	$104, T_TRAP+2(%edi)
	ret

jump:
	task	tss1, 1f, SEL_T1
	movl	$0x1111, tss1 + T_EAX
	movl	$(FL_FIXED|FL_CF|FL_DF), tss1 + T_EFLAGS
	movl	$SEL_LDT, tss1 + T_LDT
	movl	$0x0c, tss1 + T_FS
	movl	$0x2222, %esi
	stc
	ljmp	$SEL_T1, $0xdead
	/* We come back here. */
	setc	%al
	movzbl	%al, %eax
	check	"jmp.back_cf", %eax, $1
	check	"jmp.back_esi", %esi, $0x2222
	busy	"jmp.t1", SEL_T1, $0x89
	busy	"jmp.main", TSS_SEL, $0x8b
	str	%ax
	movzwl	%ax, %eax
	check	"jmp.tr", %eax, $TSS_SEL
	check	"jmp.saved_eax", tss1 + T_EAX, $0x3333
	check	"jmp.saved_eip", tss1 + T_EIP, $2f
	movzwl	tss1 + T_LINK, %eax
	check	"jmp.no_link", %eax, $0
	/* Again: it goes on where it left. */
	ljmp	$SEL_T1, $0
	check	"jmp.again", tss1 + T_EAX, $0x3334
	ret
1:	movl	%fs, %ebx
	pushfl
	popl	%ecx
	cld
	check	"t1.eax", %eax, $0x1111
	check	"t1.fs", %ebx, $0x0c
	check	"t1.flags", %ecx, $(FL_FIXED|FL_CF|FL_DF)
	movl	%esp, %eax
	check	"t1.esp", %eax, $T_STACK
	str	%ax
	movzwl	%ax, %eax
	check	"t1.tr", %eax, $SEL_T1
	sldt	%eax
	check	"t1.ldt", %eax, $SEL_LDT
	movl	%cr0, %eax
	andl	$8, %eax
	check	"t1.ts", %eax, $8
	clts
	busy	"t1.busy", SEL_T1, $0x8b
	busy	"t1.main_free", TSS_SEL, $0x89
	movl	%fs:0, %eax
	check	"t1.fs_data", %eax, ldt_data
	movl	$0x3333, %eax
	ljmp	$TSS_SEL, $0
2:	incl	%eax
	ljmp	$TSS_SEL, $0

/* CALL nests: link, NT, both busy; IRET comes back. */
nested:
	task	tss1, 1f, SEL_T1
	task	tss2, 2f, SEL_T2
	lcall	$SEL_T1, $0
	busy	"call.t1_free", SEL_T1, $0x89
	busy	"call.main", TSS_SEL, $0x8b
	pushfl
	popl	%eax
	andl	$FL_NT, %eax
	check	"call.nt_back", %eax, $0
	/* NT was cleared in what IRET saved. */
	movl	tss1 + T_EFLAGS, %eax
	andl	$FL_NT, %eax
	check	"call.nt_saved", %eax, $0
	check	"call.t1_eip", tss1 + T_EIP, $3f
	ret
1:	pushfl
	popl	%eax
	andl	$FL_NT, %eax
	check	"call.nt", %eax, $FL_NT
	movzwl	tss1 + T_LINK, %eax
	check	"call.link", %eax, $TSS_SEL
	busy	"call.main_busy", TSS_SEL, $0x8b
	lcall	$SEL_T2, $0
	iretl
3:	ud2
2:	movzwl	tss2 + T_LINK, %eax
	check	"call2.link", %eax, $SEL_T1
	busy	"call2.t1_busy", SEL_T1, $0x8b
	/* A busy task cannot be called. */
	fault	"call2.recursive", 13, SEL_T1, "lcall $SEL_T1, $0"
	pushl	$FL_NT|FL_FIXED		/* the exception cleared it */
	popfl
	iretl

gate:
	task	tss1, 1f, SEL_T1
	ljmp	$SEL_GATE, $0
	check	"gate.eax", tss1 + T_EAX, $0x77
	task	tss1, 2f, SEL_T1
	user
	lcall	$SEL_GATE, $0
	movl	%cs, %ebx
	user_end
	check	"u_gate.back", exc_EBX, $USER_CS
	check	"u_gate.eax", tss1 + T_EAX, $0x78
	ufault	"u_tss_direct", 13, SEL_T1, "lcall $SEL_T1, $0"
	ret
1:	movl	$0x77, %eax
	ljmp	$TSS_SEL, $0
2:	movl	$0x78, %eax
	iretl

/* Task gates in the IDT: INT, a fault with an error code. */
interrupt:
	task	tss1, 1f, SEL_T1
	gate	0x60, 0, 0x85, SEL_T1
	int	$0x60
	check	"int.esp", tss1 + T_EAX, $T_STACK
	gate	0x60, rt_stubs+0x60*16
	task	tss1, 2f, SEL_T1
	gate	13, 0, 0x85, SEL_T1
	movl	$0x1ff8, %eax
5:	movl	%eax, %ds
6:	check	"gp.error", tss1 + T_EAX, $0x1ff8
	check	"gp.esp", tss1 + T_EAX + 12, $T_STACK-4
	check	"gp.old_eip", exc_EIP, $5b
	gate	13, rt_stubs+13*16
	ret
1:	movl	%esp, %eax
	iretl
2:	movl	%esp, %ebx
	popl	%eax
	movl	rt_tss + T_EIP, %ecx
	movl	%ecx, exc_EIP
	movl	$6b, rt_tss + T_EIP
	iretl

/* A task at CPL 3, which ends by an interrupt into its own ring 0 stack. */
user_task:
	task	tss1, 1f, SEL_T1
	movl	$USER_CS, tss1 + T_CS
	.irp	s, T_ES, T_SS, T_DS, T_FS, T_GS
	movl	$USER_DS, tss1 + \s
	.endr
	movl	$(FREE + 0x6000), tss1 + 4
	movl	$DS32, tss1 + 8
	movl	$back, rt_hook
	lcall	$SEL_T1, $0
	movl	$0, rt_hook
	check	"utask.cs", exc_CS, $USER_CS
	check	"utask.ebx", exc_EBX, $USER_CS
	check	"utask.esp0", user_ebp, $FREE+0x6000-76
	ret
1:	movl	%cs, %ebx
	int	$0x40
	ud2
back:	movl	%ebp, user_ebp
	pushl	$FL_NT|FL_FIXED		/* the gate cleared it */
	popfl
	iretl
	ud2

/* What is wrong with the new task: before the switch, and in it. */
bad_new:
	fault	"np", 11, SEL_TNP, "ljmp $SEL_TNP, $0"
	task	tss1, bad_entry, SEL_SHORT, 0x89, 102
	fault	"short", 10, SEL_SHORT, "ljmp $SEL_SHORT, $0"
	/* From here on the fault is the new task's: its TR, its EIP.  Its stack may not
	 * be loaded, so handlers are tasks. */
	gate	10, 0, 0x85, SEL_T2
	gate	11, 0, 0x85, SEL_T2
	task	tss1, bad_entry, SEL_T1
	movl	$SEL_CNP, tss1 + T_CS
	call	fault_t1
	check	"cs_np.error", exc_ERROR, $SEL_CNP
	task	tss1, bad_entry, SEL_T1
	movl	$DS32, tss1 + T_CS
	call	fault_t1
	check	"cs_data.error", exc_ERROR, $DS32
	task	tss1, bad_entry, SEL_T1
	movl	$0, tss1 + T_SS
	call	fault_t1
	check	"ss_null.error", exc_ERROR, $0
	task	tss1, bad_entry, SEL_T1
	movl	$CS32, tss1 + T_DS	/* readable code: fine */
	movl	$TSS_SEL, tss1 + T_ES
	call	fault_t1
	check	"es_tss.error", exc_ERROR, $TSS_SEL
	task	tss1, bad_entry, SEL_T1
	movl	$DS32, tss1 + T_LDT
	call	fault_t1
	check	"ldt.error", exc_ERROR, $DS32
	gate	10, rt_stubs+10*16
	gate	11, rt_stubs+11*16
	/* The T flag: #DB with BT in DR6, before the first instruction. */
	task	tss1, bad_entry, SEL_T1
	movb	$1, tss1 + T_TRAP
	xorl	%eax, %eax
	movl	%eax, %dr6
	call	try_t1
	check	"trap.vector", exc_vector, $1
	check	"trap.eip", exc_EIP, $bad_entry
	movl	%dr6, %eax
	andl	$0x8000, %eax
	check	"trap.dr6", %eax, $0x8000
	ret

bad_entry:
	ud2

/* Into T1, whose fault the task T2 takes. */
fault_t1:
	task	tss2, 1f, SEL_T2
	movl	$(T_STACK + 0x1000), tss2 + T_ESP
	ljmp	$SEL_T1, $0
	movzwl	tss2 + T_LINK, %eax
	check	"link", %eax, $SEL_T1
	check	"eip", tss1 + T_EIP, $bad_entry
	clts
	ret
1:	popl	exc_ERROR
	ljmp	$TSS_SEL, $0
	ud2

/* Into T1, whose fault comes back here: TR is put right again. */
try_t1:
	movl	$1f, rt_recover
	movl	%esp, rt_recover_esp
	movl	$-1, exc_vector
	ljmp	$SEL_T1, $0
1:	movl	$0, rt_recover
	str	%ax
	movzwl	%ax, %eax
	check	"tr", %eax, $SEL_T1
	xorl	%eax, %eax
	lldt	%ax
	andb	$~2, rt_gdt + 5 + TSS_SEL
	movw	$TSS_SEL, %ax
	ltr	%ax
	clts
	ret

/* Each task has its own CR3. */
paging:
	call	rt_paging_2level
	movl	$0x110000, %edi		/* a directory with another second table */
	movl	$0x800, %ecx
	xorl	%eax, %eax
	rep stosl
	movl	$0x101007, 0x110000
	movl	$0x111007, 0x110004
	movl	$0x402007, 0x111000
	movl	$0xaaaa, 0x400000
	movl	$0xbbbb, 0x402000
	task	tss1, 1f, SEL_T1
	movl	$0x110000, tss1 + T_CR3
	movl	%cr3, %eax
	movl	%eax, rt_tss + T_CR3
	movl	0x400000, %ebx
	lcall	$SEL_T1, $0
	check	"cr3.t1", tss1 + T_EAX, $0xbbbb
	check	"cr3.before", %ebx, $0xaaaa
	check	"cr3.back", 0x400000, $0xaaaa
	/* CR3 is loaded, never saved. */
	check	"cr3.kept", tss1 + T_CR3, $0x110000
	call	rt_paging_off
	movl	$0, rt_tss + T_CR3
	ret
1:	movl	0x400000, %eax
	iretl

/* A 16-bit TSS: only the lower halves. */
short_tss:
	movl	$tss16, %edi
	movl	$11, %ecx
	xorl	%eax, %eax
	rep stosl
	movw	$1f, tss16 + 14
	movw	$FL_FIXED, tss16 + 16
	movw	$0x5151, tss16 + 18
	movw	$0xc000, tss16 + 26
	movw	$DS32, tss16 + 34
	movw	$CS32, tss16 + 36
	movw	$DS16, tss16 + 38	/* the upper half of ESP is not defined */
	movw	$DS32, tss16 + 40
	descriptor SEL_T16, 0, 43, 0x0081
	set_base SEL_T16, tss16
	movl	$0x99998888, %edi
	lcall	$SEL_T16, $0
	movzwl	tss16 + 18, %eax
	check	"t16.saved_ax", %eax, $0x5152
	movzwl	tss16, %eax
	check	"t16.link", %eax, $TSS_SEL
	check	"t16.edi", %edi, $0x99998888
	busy	"t16.free", SEL_T16, $0x81
	ret
1:	movzwl	%sp, %esp
	movzwl	%ax, %ebx
	check	"t16.ax", %ebx, $0x5151
	movl	%fs, %ebx
	check	"t16.fs", %ebx, $0
	incl	%eax
	iretl

	.data
	.balign	8
ldt:	.quad	0
	.long	0x0000ffff, 0x00cf9300
ldt_data = 0
	.bss
	.balign	16
tss1:	.skip	112
tss2:	.skip	112
tss16:	.skip	48
user_ebp: .skip	4
