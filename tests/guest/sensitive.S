/*
 * The instructions that break trap-and-emulate: sensitive, but not privileged.
 * Each must show the guest its own tables, flags and privilege level, at CPL 0
 * and 3 (J. S. Robin, C. E. Irvine, 2000, name seventeen; IRET makes eighteen).
 */
#include "guest.inc"

	.equ	SEL_LDT,  TEST_SEL + 0x00
	.equ	SEL_CALL, TEST_SEL + 0x08	/* call gate, DPL 3 */
	.equ	SEL_TASK, TEST_SEL + 0x10	/* task gate, DPL 3 */
	.equ	SEL_EXEC, TEST_SEL + 0x18	/* code, execute only, DPL 3 */
	.equ	SEL_CONF, TEST_SEL + 0x20	/* code, conforming, DPL 0 */
	.equ	SEL_RO,   TEST_SEL + 0x28	/* data, read only, DPL 3 */
	.equ	SEL_TINY, TEST_SEL + 0x30	/* data, DPL 3, limit 0x1234 */
	.equ	SEL_INTG, TEST_SEL + 0x38	/* an interrupt gate: not for LAR */
	.equ	SEL_NP,   TEST_SEL + 0x40	/* data, DPL 3, not present */
	.equ	LDT_SEL,  0x0c			/* in the LDT, DPL 3 (RPL 0) */
	.equ	TABLE, FREE			/* where SGDT and SIDT store */

	/* EAX as seen at CPL 3. */
	.macro	user_eax name, want, insn, flags=FL_FIXED
	user	\flags
	\insn
	user_end
	check	"\name", exc_vector, $0x40
	check	"\name\().eax", exc_EAX, \want
	.endm

	.globl	guest_main
guest_main:
	descriptor SEL_LDT, 0, 0xf, 0x0082
	set_base SEL_LDT, ldt
	movl	$(CS32<<16), rt_gdt + SEL_CALL
	movl	$0x0000ec00, rt_gdt + SEL_CALL + 4
	movl	$(TSS_SEL<<16), rt_gdt + SEL_TASK
	movl	$0x0000e500, rt_gdt + SEL_TASK + 4
	descriptor SEL_EXEC, 0, 0xfffff, 0xc0f9
	descriptor SEL_CONF, 0, 0xfffff, 0xc09f
	descriptor SEL_RO, 0, 0xfffff, 0xc0f1
	descriptor SEL_TINY, 0, 0x1234, 0x40f3
	movl	$0x0000ee00, rt_gdt + SEL_INTG + 4
	descriptor SEL_NP, 0, 0xfffff, 0xc073
	movw	$SEL_LDT, %ax
	lldt	%ax

	call	tables
	call	umip
	call	flags
	call	iopl
	call	access_rights
	call	selectors
	call	transfers
	call	irets
	ret

tables:
	sgdt	TABLE
	movzwl	TABLE, %eax
	check	"sgdt.limit", %eax, $(GDT_ENTRIES*8-1)
	check	"sgdt.base", TABLE + 2, $rt_gdt
	sidt	TABLE
	movzwl	TABLE, %eax
	check	"sidt.limit", %eax, $0x7ff
	check	"sidt.base", TABLE + 2, $rt_idt
	movl	$-1, %eax
	sldt	%ax
	check	"sldt.r16", %eax, $0xffff0000+SEL_LDT
	sldt	%eax
	check	"sldt.r32", %eax, $SEL_LDT
	movl	$-1, TABLE
	sldt	TABLE
	check	"sldt.mem", TABLE, $0xffff0000+SEL_LDT
	movl	$-1, %eax
	str	%ax
	check	"str.r16", %eax, $0xffff0000+TSS_SEL
	str	%eax
	check	"str.r32", %eax, $TSS_SEL
	movl	$-1, TABLE
	str	TABLE
	check	"str.mem", TABLE, $0xffff0000+TSS_SEL
	smsw	%eax
	movl	%cr0, %ebx
	movzwl	%ax, %eax
	movzwl	%bx, %ebx
	check	"smsw", %eax, %ebx
	movl	%cr0, %eax
	orl	$0xa, %eax		/* MP, TS */
	movl	%eax, %cr0
	smsw	%ax
	andl	$0xf, %eax
	check	"smsw.ts", %eax, $0xb
	smsw	TABLE
	movl	TABLE, %eax
	andl	$0xf, %eax
	check	"smsw.mem", %eax, $0xb
	user_eax "u_smsw", $0xb, "smsw %ax; andl $0xf, %eax"
	clts
	user_eax "u_smsw_clts", $3, "smsw %ax; andl $0xf, %eax"
	/* LMSW sets PE but never clears it. */
	xorl	%eax, %eax
	lmsw	%ax
	smsw	%ax
	andl	$0xf, %eax
	check	"lmsw", %eax, $1
	user_eax "u_sgdt", $rt_gdt, "sgdt TABLE; movl TABLE+2, %eax"
	movzwl	TABLE, %eax
	check	"u_sgdt.limit", %eax, $(GDT_ENTRIES*8-1)
	user_eax "u_sidt", $rt_idt, "sidt TABLE; movl TABLE+2, %eax"
	movzwl	TABLE, %eax
	check	"u_sidt.limit", %eax, $0x7ff
	user_eax "u_sldt", $SEL_LDT, "sldt %eax"
	user_eax "u_str", $TSS_SEL, "str %eax"
	/* They follow a change at once. */
	lgdt	other_gdtr
	user_eax "u_sgdt_new", $0x5555, "sgdt TABLE; movzwl TABLE, %eax"
	lgdt	rt_gdtr
	ret

/* User-mode instruction prevention: SDM vol. 3, 2.5, CR4 bit 11. */
umip:
	movl	$7, %eax
	xorl	%ecx, %ecx
	cpuid
	testl	$4, %ecx
	jz	9f
	movl	%cr4, %eax
	orl	$0x800, %eax
	movl	%eax, %cr4
	ufault	"umip_sgdt", 13, 0, "sgdt TABLE"
	ufault	"umip_sidt", 13, 0, "sidt TABLE"
	ufault	"umip_sldt", 13, 0, "sldt %eax"
	ufault	"umip_str", 13, 0, "str %eax"
	ufault	"umip_smsw", 13, 0, "smsw %eax"
	ufault	"umip_smsw_mem", 13, 0, "smsw TABLE"
	quiet	"umip_k_sgdt", "sgdt TABLE"
	quiet	"umip_k_str", "str %eax"
	movl	%cr4, %eax
	andl	$~0x800, %eax
	movl	%eax, %cr4
	uquiet	"umip_off", "sgdt TABLE; str %eax; smsw %eax; sldt %eax"
9:	ret

	.equ	MOVABLE, FL_CF|FL_PF|FL_AF|FL_ZF|FL_SF|FL_TF|FL_IF|FL_DF|FL_OF|FL_IOPL3|FL_NT|FL_AC|FL_ID

	/* POPF of value, then PUSHF; EAX. */
	.macro	popf_pushf value
	pushl	$\value
	popfl
	pushfl
	popl	%eax
	.endm

flags:
	popf_pushf 0
	check	"popf_0", %eax, $FL_FIXED
	popf_pushf (MOVABLE&~FL_TF&~FL_IF)
	pushl	$FL_FIXED
	popfl
	check	"popf_all", %eax, $(MOVABLE&~FL_TF&~FL_IF|FL_FIXED)
	/* VM and RF cannot be set, reserved bits stay. */
	popf_pushf (FL_VM|FL_RF|0x8028|0xffc00000)
	check	"popf_vm_rf", %eax, $FL_FIXED
	popf_pushf FL_IF
	cli
	check	"popf_if", %eax, $(FL_IF|FL_FIXED)
	pushfl
	popl	%eax
	check	"cli", %eax, $FL_FIXED
	/* 16-bit forms: the upper half is neither pushed nor changed. */
	pushl	$FL_AC|FL_FIXED
	popfl
	pushw	$0x0cd5
	popfw
	pushfl
	popl	%eax
	pushl	$FL_FIXED
	popfl
	check	"popfw", %eax, $(FL_AC|0xcd7)
	pushl	$0x12340000
	pushfw
	popw	%ax
	popl	%ebx
	check	"pushfw.sp", %ebx, $0x12340000
	sahf
	lahf
	ret

iopl:
	/* IOPL 0 at CPL 3: POPF leaves IF and IOPL alone, without a fault. */
	user
	popf_pushf (FL_IF|FL_IOPL3|FL_CF|FL_AC)
	pushl	$FL_FIXED
	popfl
	user_end
	check	"u_popf", exc_EAX, $(FL_CF|FL_AC|FL_FIXED)
	user	FL_FIXED|FL_IF
	popf_pushf FL_CF
	user_end
	check	"u_popf_if", exc_EAX, $(FL_IF|FL_CF|FL_FIXED)
	check	"u_popf_if.frame", exc_EFLAGS, $(FL_IF|FL_CF|FL_FIXED)
	/* IOPL 3: IF may be changed, IOPL may not. */
	user	FL_FIXED|FL_IOPL3
	popf_pushf (FL_IF|FL_CF)
	movl	%eax, %ecx
	cli
	pushfl
	popl	%edx
	sti
	pushfl
	popl	%ebx
	user_end
	check	"u3_popf", exc_ECX, $(FL_IF|FL_IOPL3|FL_CF|FL_FIXED)
	check	"u3_cli", exc_EDX, $(FL_IOPL3|FL_CF|FL_FIXED)
	check	"u3_sti", exc_EBX, $(FL_IF|FL_IOPL3|FL_CF|FL_FIXED)
	ufault	"u_cli", 13, 0, "cli"
	ufault	"u_sti", 13, 0, "sti"
	user	FL_FIXED|0x2000		/* IOPL 2 < CPL 3 */
	cli
	user_end
	check	"u2_cli", exc_vector, $13
	user	FL_FIXED|FL_IOPL3
	inb	$0x21, %al
	user_end
	check	"u3_in", exc_vector, $0x40
	/* The I/O permission map: one port open, its neighbour not. */
	andb	$~2, rt_tss + 104 + (0x21 / 8)
	user
	inb	$0x21, %al
	user_end
	check	"map_in", exc_vector, $0x40
	user
	inw	$0x21, %ax
	user_end
	check	"map_inw", exc_vector, $13
	user
	inb	$0x20, %al
	user_end
	check	"map_in_other", exc_vector, $13
	orb	$2, rt_tss + 104 + (0x21 / 8)
	ret

	.equ	LAR_BITS, 0xfff0ffff	/* 16-19 are undefined */

	/* LAR/LSL: value when ZF, else the old value (-1). */
	.macro	lar_check name, sel, want
	movl	$-1, %eax
	movl	$\sel, %ecx
	larl	%ecx, %eax
	andl	$LAR_BITS, %eax
	check	"lar_\name", %eax, $\want
	.endm
	.macro	lsl_check name, sel, want
	movl	$-1, %eax
	movl	$\sel, %ecx
	lsll	%ecx, %eax
	check	"lsl_\name", %eax, $\want
	.endm
	/* EAX = ZF of verr + 2 * ZF of verw */
	.macro	ver sel
	movw	$\sel, %cx
	verr	%cx
	sete	%al
	verw	%cx
	sete	%ah
	movzbl	%ah, %edx
	movzbl	%al, %eax
	leal	(%eax, %edx, 2), %eax
	.endm
	.macro	ver_check name, sel, want
	ver	\sel
	check	"ver_\name", %eax, $\want
	.endm

access_rights:
	lar_check ds32, DS32, 0x00c09300
	lar_check cs32, CS32, 0x00c09b00
	lar_check user_ds, USER_DS, 0x00c0f300
	lar_check tss, TSS_SEL, 0x00008b00
	lar_check ldt, SEL_LDT, 0x00008200
	lar_check call, SEL_CALL, 0x0000ec00
	lar_check task, SEL_TASK, 0x0000e500
	lar_check int_gate, SEL_INTG, LAR_BITS
	lar_check np, SEL_NP, 0x00c07300
	lar_check null, 0, LAR_BITS
	lar_check outside, GDT_ENTRIES*8, LAR_BITS
	lar_check rpl3, DS32|3, LAR_BITS	/* DPL < RPL */
	lar_check in_ldt, LDT_SEL, 0x0040f200
	lar_check outside_ldt, 0x14, LAR_BITS
	movl	$-1, %eax
	movw	$DS32, %cx
	larw	%cx, %ax
	check	"lar_16", %eax, $0xffff9300
	lsl_check ds32, DS32, 0xffffffff
	lsl_check tiny, SEL_TINY, 0x1234
	lsl_check tss, TSS_SEL, (104+8192)
	lsl_check ldt, SEL_LDT, 0xf
	lsl_check call, SEL_CALL, -1
	lsl_check task, SEL_TASK, -1
	lsl_check null, 0, -1
	lsl_check in_ldt, LDT_SEL, 0x777
	movl	$-1, %eax
	movw	$SEL_TINY, %cx
	lslw	%cx, %ax
	check	"lsl_16", %eax, $0xffff1234
	ver_check ds32, DS32, 3
	ver_check cs32, CS32, 1
	ver_check exec, SEL_EXEC, 0
	ver_check ro, SEL_RO, 1
	ver_check tss, TSS_SEL, 0
	ver_check null, 0, 0
	ver_check outside, GDT_ENTRIES*8, 0
	ver_check np, SEL_NP, 3		/* P is not looked at */
	ver_check in_ldt, LDT_SEL, 3
	/* ARPL. */
	movw	$0x20, %ax
	movw	$0x03, %cx
	arpl	%cx, %ax
	setz	%dl
	movzbl	%dl, %edx
	movzwl	%ax, %eax
	check	"arpl", %eax, $0x23
	check	"arpl.z", %edx, $1
	arpl	%cx, %ax
	setz	%dl
	movzbl	%dl, %edx
	check	"arpl_no.z", %edx, $0
	/* At CPL 3 the same selectors look different. */
	user_eax "u_lar_ds32", $LAR_BITS, "movl $-1, %eax; movl $DS32, %ecx; larl %ecx, %eax; andl $LAR_BITS, %eax"
	user_eax "u_lar_user", $0x00c0f300, "movl $USER_DS, %ecx; larl %ecx, %eax; andl $LAR_BITS, %eax"
	user_eax "u_lar_conf", $0x00c09f00, "movl $SEL_CONF, %ecx; larl %ecx, %eax; andl $LAR_BITS, %eax"
	user_eax "u_lar_tss", $LAR_BITS, "movl $-1, %eax; movl $TSS_SEL, %ecx; larl %ecx, %eax; andl $LAR_BITS, %eax"
	user_eax "u_lar_call", $0x0000ec00, "movl $SEL_CALL, %ecx; larl %ecx, %eax; andl $LAR_BITS, %eax"
	user_eax "u_lsl_ds32", $-1, "movl $-1, %eax; movl $DS32, %ecx; lsll %ecx, %eax"
	user_eax "u_lsl_tiny", $0x1234, "movl $SEL_TINY, %ecx; lsll %ecx, %eax"
	user_eax "u_ver_ds32", $0, "ver DS32"
	user_eax "u_ver_user", $3, "ver USER_DS"
	user_eax "u_ver_conf", $1, "ver SEL_CONF"
	user_eax "u_ver_ro", $1, "ver SEL_RO"
	ret

selectors:
	/* The saved and the visible CS and SS say the guest's level. */
	movl	%cs, %eax
	check	"mov_cs", %eax, $CS32
	movl	%ss, %eax
	check	"mov_ss", %eax, $DS32
	pushl	%cs
	popl	%eax
	check	"push_cs", %eax, $CS32
	pushl	%ss
	popl	%eax
	check	"push_ss", %eax, $DS32
	user_eax "u_mov_cs", $USER_CS, "movl %cs, %eax"
	user_eax "u_mov_ss", $USER_DS, "movl %ss, %eax"
	user_eax "u_push_cs", $USER_CS, "pushl %cs; popl %eax; movzwl %ax, %eax"
	user_eax "u_push_ss", $USER_DS, "pushl %ss; popl %eax; movzwl %ax, %eax"
	user_eax "u_ds_rpl0", $(USER_DS&~3), "movl $USER_DS&~3, %eax; movl %eax, %ds; movl %ds, %eax; movl $USER_DS, %ecx; movl %ecx, %ds"
	user_eax "u_es_null", $2, "movl $2, %eax; movl %eax, %es; movl %es, %eax"
	ufault	"u_ds_dpl0", 13, DS32, "movl $DS32, %eax; 99: movl %eax, %ds"
	ufault	"u_pop_ds", 13, DS32, "pushl $DS32; 99: popl %ds"
	ufault	"u_pop_ss", 13, DS32, "pushl $DS32; 99: popl %ss"
	ufault	"u_ss_rpl0", 13, USER_DS&~3, "movl $USER_DS&~3, %eax; 99: movl %eax, %ss"
	ufault	"u_ss_null", 13, 0, "xorl %eax, %eax; 99: movl %eax, %ss"
	uquiet	"u_pop_ss_ok", "pushl $USER_DS; popl %ss"
	user_eax "u_conf_ds", $SEL_CONF, "movl $SEL_CONF, %eax; movl %eax, %ds; movl %ds, %eax; movl $USER_DS, %ecx; movl %ecx, %ds"
	user_eax "u_les", $LDT_SEL, "movl $LDT_SEL, TABLE+4; les TABLE, %ecx; movl %es, %eax"
	/* Loading sets the accessed bit of the guest's own descriptor. */
	movzbl	rt_gdt + SEL_RO + 5, %eax
	check	"accessed_before", %eax, $0xf1
	andb	$~1, rt_gdt + SEL_RO + 5
	movl	$SEL_RO, %eax
	movl	%eax, %es
	movzbl	rt_gdt + SEL_RO + 5, %eax
	check	"accessed_after", %eax, $0xf1
	movl	$DS32, %eax
	movl	%eax, %es
	ret

transfers:
	/* Far call and return: what is pushed, what is reached. */
	movl	%esp, %ebp
	lcall	$CS32, $1f
1:	popl	%eax
	popl	%ebx
	check	"callf.eip", %eax, $1b
	check	"callf.cs", %ebx, $CS32
	movl	%esp, %eax
	check	"callf.esp", %eax, %ebp
	lcall	$CS32, $far_fn
	check	"callf.ret", %eax, $CS32
	user_eax "u_callf", $USER_CS, "lcall $USER_CS, $far_fn"
	user_eax "u_callf_rpl0", $USER_CS, "lcall $USER_CS&~3, $far_fn"
	user_eax "u_callf_pushed", $USER_CS, "lcall $USER_CS&~3, $1f; 1: popl %ecx; popl %eax; movzwl %ax, %eax"
	user_eax "u_jmpf", $USER_CS, "ljmp $USER_CS&~3, $1f; 1: movl %cs, %eax"
	user_eax "u_conf", $SEL_CONF|3, "lcall $SEL_CONF, $far_fn"
	ufault	"u_callf_dpl0", 13, CS32, "lcall $CS32, $far_fn"
	ufault	"u_retf_dpl0", 13, CS32, "pushl $CS32; pushl $far_fn; 99: lretl"
	/* Through the call gate to CPL 0: the gate's selector, our stack, their CS. */
	movl	$gate_fn, %eax
	movw	%ax, rt_gdt + SEL_CALL
	shrl	$16, %eax
	movw	%ax, rt_gdt + SEL_CALL + 6
	user
	lcall	$SEL_CALL, $0
	user_end
	check	"u_gate.cs", exc_EAX, $CS32
	check	"u_gate.ss", exc_EBX, $DS32
	check	"u_gate.from", exc_ECX, $USER_CS
	check	"u_gate.esp", exc_EDX, $RING0_STACK_TOP-16
	check	"u_gate.back", exc_CS, $USER_CS
	/* RETF to CPL 3 and back by INT. */
	movl	$98f, rt_recover
	movl	%esp, rt_recover_esp
	pushl	$USER_DS
	pushl	$USER_STACK_TOP
	pushl	$USER_CS
	pushl	$1f
	lretl
1:	movl	%cs, %eax
	movl	%ds, %ebx		/* DPL 0: cleared on the way out */
	int	$0x40
98:	movl	$0, rt_recover
	check	"retf3.cs", exc_EAX, $USER_CS
	check	"retf3.ds", exc_EBX, $0
	check	"retf3.esp", exc_ESP, $USER_STACK_TOP
	/* RET n to an outer level releases both stacks. */
	movl	$98f, rt_recover
	movl	%esp, rt_recover_esp
	pushl	$USER_DS
	pushl	$USER_STACK_TOP-64
	pushl	$0
	pushl	$0
	pushl	$USER_CS
	pushl	$1f
	lretl	$8
1:	int	$0x40
98:	movl	$0, rt_recover
	check	"retf3_8.esp", exc_ESP, $USER_STACK_TOP-56
	ret

far_fn:	movl	%cs, %eax
	lretl

gate_fn:
	movl	%cs, %eax
	movl	%ss, %ebx
	movl	4(%esp), %ecx
	movzwl	%cx, %ecx
	movl	%esp, %edx
	lretl

irets:
	pushl	$FL_FIXED|FL_CF
	pushl	%cs
	pushl	$1f
	iretl
1:	pushfl
	popl	%eax
	check	"iret.flags", %eax, $FL_FIXED|FL_CF
	/* At CPL 3 with IOPL 0 it changes neither IF nor IOPL. */
	user
	pushl	$FL_FIXED|FL_IF|FL_IOPL3|FL_ZF
	pushl	%cs
	pushl	$1f
	iretl
1:	pushfl
	popl	%eax
	user_end
	check	"u_iret.flags", exc_EAX, $FL_FIXED|FL_ZF
	user	FL_FIXED|FL_IOPL3
	pushl	$FL_FIXED|FL_IF
	pushl	%cs
	pushl	$1f
	iretl
1:	pushfl
	popl	%eax
	user_end
	check	"u3_iret.flags", exc_EAX, $FL_FIXED|FL_IF|FL_IOPL3
	ufault	"u_iret_dpl0", 13, CS32, "pushl $2; pushl $CS32; pushl $0; 99: iretl"
	/* NT at CPL 3: a task return, from a TSS whose link is no TSS. */
	movw	$0, rt_tss
	user	FL_FIXED|FL_NT
	iretl
	user_end
	check	"u_iret_nt.vector", exc_vector, $10
	/* IRETW. */
	pushw	$0x247
	pushw	%cs
	pushw	$1f
	iretw
1:	pushfl
	popl	%eax
	cli
	check	"iretw.flags", %eax, $0x247
	ret

	.data
	.balign	8
ldt:	.quad	0
	.quad	0x0040f20000000777	/* data, DPL 3, limit 0x777 */
	.word	0
other_gdtr:
	.word	0x5555
	.long	rt_gdt
