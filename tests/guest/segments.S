/*
 * Segmentation: bases, limits, expand-down, 16-bit segments, wrap-around, call
 * gates with parameters, conforming code, RPL rules.  SDM vol. 3, chapters 3 and 5.
 */
#include "guest.inc"

	.equ	SEL_BASE, TEST_SEL + 0x00	/* data at FREE, 64 KiB */
	.equ	SEL_TOP,  TEST_SEL + 0x08	/* data at 0xfffff000, 4 GiB: wraps */
	.equ	SEL_DOWN, TEST_SEL + 0x10	/* expand-down at FREE, limit 0xfff, B = 1 */
	.equ	SEL_DOWN16, TEST_SEL + 0x18	/* the same, B = 0 */
	.equ	SEL_PAGES, TEST_SEL + 0x20	/* limit in pages: 1 -> 0x1fff */
	.equ	SEL_CBASE, TEST_SEL + 0x28	/* 32-bit code, base FREE */
	.equ	SEL_C16, TEST_SEL + 0x30	/* 16-bit code, base FREE */
	.equ	SEL_CLIM, TEST_SEL + 0x38	/* 32-bit code at FREE, limit 0x1f */
	.equ	SEL_GATE, TEST_SEL + 0x40	/* call gate, 3 parameters, DPL 3 */
	.equ	SEL_GATE16, TEST_SEL + 0x48	/* 16-bit call gate, 2 parameters */
	.equ	SEL_GATE0, TEST_SEL + 0x50	/* call gate, DPL 0 */
	.equ	SEL_GATENP, TEST_SEL + 0x58	/* call gate, not present */
	.equ	SEL_GATEBAD, TEST_SEL + 0x60	/* call gate to a data segment */
	.equ	SEL_CONF, TEST_SEL + 0x68	/* conforming code, DPL 0 */
	.equ	SEL_CONF3, TEST_SEL + 0x70	/* conforming code, DPL 3 */
	.equ	SEL_SS16, TEST_SEL + 0x78	/* 16-bit stack at FREE */
	.equ	SEL_UBASE, TEST_SEL + 0x80	/* user data at FREE */
	.equ	SEL_UC16, TEST_SEL + 0x88	/* user 16-bit code, base 0 */
	.equ	SEL_D1, TEST_SEL + 0x90		/* data, DPL 1 */
	.equ	SEL_C1, TEST_SEL + 0x98		/* code, DPL 1 */
	.equ	SEL_GATE1, TEST_SEL + 0xa8	/* call gate to SEL_C1 */
	.equ	SEL_EXEC, TEST_SEL + 0xa0	/* execute only at 0 */

	.macro	seg reg, sel
	pushl	$\sel
	popl	%\reg
	.endm
	.macro	call_gate sel, target, count, attr, cs=CS32
	movl	$\target, %eax
	movw	%ax, rt_gdt + \sel
	movw	$\cs, rt_gdt + \sel + 2
	movb	$\count, rt_gdt + \sel + 4
	movb	$\attr, rt_gdt + \sel + 5
	shrl	$16, %eax
	movw	%ax, rt_gdt + \sel + 6
	.endm

	.globl	guest_main
guest_main:
	descriptor SEL_BASE, FREE, 0xffff, 0x4093
	descriptor SEL_TOP, 0xfffff000, 0xfffff, 0xc093
	descriptor SEL_DOWN, FREE, 0xfff, 0x4097
	descriptor SEL_DOWN16, FREE, 0xfff, 0x0097
	descriptor SEL_PAGES, FREE, 1, 0xc093
	descriptor SEL_CBASE, FREE, 0xffff, 0x409b
	descriptor SEL_C16, FREE, 0xffff, 0x009b
	descriptor SEL_CLIM, FREE, 0x1f, 0x409b
	descriptor SEL_CONF, 0, 0xfffff, 0xc09f
	descriptor SEL_CONF3, 0, 0xfffff, 0xc0ff
	descriptor SEL_SS16, FREE, 0xffff, 0x0093
	descriptor SEL_UBASE, FREE, 0xffff, 0x40f3
	descriptor SEL_UC16, 0, 0xffff, 0x00fb
	descriptor SEL_D1, 0, 0xfffff, 0xc0b3
	descriptor SEL_C1, 0, 0xfffff, 0xc0bb
	descriptor SEL_EXEC, 0, 0xfffff, 0xc099
	call_gate SEL_GATE, gate_entry, 3, 0xec
	call_gate SEL_GATE16, gate16_entry, 2, 0xe4
	call_gate SEL_GATE0, gate_entry, 0, 0x8c
	call_gate SEL_GATENP, gate_entry, 0, 0x6c
	call_gate SEL_GATE1, gate1_entry, 0, 0xec, SEL_C1
	call_gate SEL_GATEBAD, gate_entry, 0, 0xec, DS32

	call	bases
	call	limits
	call	expand_down
	call	wrap
	call	code16
	call	code_base
	call	stack16
	call	gates
	call	conforming
	call	rpl
	ret

bases:
	movl	$0x11223344, FREE+0x10
	movl	$0x55667788, FREE+0x14
	seg	fs, SEL_BASE
	movl	%fs:0x10, %eax
	check	"base.read", %eax, $0x11223344
	movl	$4, %ebx
	movl	%fs:0x0c(%ebx, %ebx), %eax
	check	"base.sib", %eax, $0x55667788
	movl	$0xabcd, %fs:0x18
	check	"base.write", FREE+0x18, $0xabcd
	addl	$1, %fs:0x18
	lock incl %fs:0x18
	check	"base.rmw", FREE+0x18, $0xabcf
	pushl	%fs:0x10
	popl	%fs:0x1c
	check	"base.push_pop", FREE+0x1c, $0x11223344
	seg	ds, SEL_BASE
	movl	0x10, %eax
	movl	%ss:FREE+0x14, %ecx
	movl	$0x20, %esi
	movl	%eax, (%esi)
	seg	es, SEL_BASE
	movl	$0x30, %edi
	movsl
	seg	ds, DS32
	seg	es, DS32
	check	"base.ds", %eax, $0x11223344
	check	"base.movs", FREE+0x30, $0x11223344
	/* EBP and ESP go through SS, an override goes elsewhere. */
	seg	fs, SEL_BASE
	movl	$0x10, %ebp
	movl	%fs:(%ebp), %eax
	check	"base.ebp", %eax, $0x11223344
	/* moffs, xlat, bt with a register offset, cmpxchg8b. */
	movl	$0x12, FREE+0x77
	movl	$0x70, %ebx
	movb	$7, %al
	.byte	0x64
	xlatb
	movzbl	%al, %eax
	check	"base.xlat", %eax, $0x12
	movl	$0x8000, FREE+0x40
	movl	$(32*4+15), %eax
	bt	%eax, %fs:0x30
	setc	%al
	movzbl	%al, %eax
	check	"base.bt", %eax, $1
	ret

limits:
	seg	fs, SEL_PAGES
	movb	%fs:0x1fff, %al
	fault	"pages_over", 13, 0, "seg fs, SEL_PAGES; 99: movb %fs:0x2000, %al"
	fault	"pages_straddle", 13, 0, "seg fs, SEL_PAGES; 99: movw %fs:0x1fff, %ax"
	fault	"pages_write", 13, 0, "seg fs, SEL_PAGES; 99: movl %eax, %fs:0x1ffe"
	fault	"pages_neg", 13, 0, "seg fs, SEL_PAGES; movl $-4, %ebx; 99: movl %fs:(%ebx), %eax"
	fault	"pages_x87", 13, 0, "seg fs, SEL_PAGES; 99: fldl %fs:0x1ffc"
	fault	"pages_bound", 13, 0, "seg fs, SEL_PAGES; 99: bound %eax, %fs:0x1ffc"
	fault	"pages_lgdt", 13, 0, "seg fs, SEL_PAGES; 99: lgdt %fs:0x1ffc"
	/* The whole segment is wrapped, but not its last bytes. */
	quiet	"flat_last", "movb 0xffffffff, %al"
	fault	"exec_only", 13, 0, "movl %cs, %eax; ljmp $SEL_EXEC, $99f; 99: movl %cs:FREE, %eax"
	fault	"jump_limit", 13, 0, "ljmp $SEL_CLIM, $0x20"
	ret

/* Valid offsets of an expand-down segment lie above its limit. */
expand_down:
	quiet	"down.first", "seg fs, SEL_DOWN; movb %fs:0x1000, %al"
	fault	"down.limit", 13, 0, "seg fs, SEL_DOWN; 99: movb %fs:0xfff, %al"
	fault	"down.straddle", 13, 0, "seg fs, SEL_DOWN; 99: movw %fs:0xfff, %ax"
	fault	"down.zero", 13, 0, "seg fs, SEL_DOWN; 99: movl %fs:0, %eax"
	quiet	"down.high", "seg fs, SEL_DOWN; movl %fs:0x10000, %eax"
	quiet	"down16.last", "seg fs, SEL_DOWN16; movb %fs:0xffff, %al"
	fault	"down16.over", 13, 0, "seg fs, SEL_DOWN16; 99: movb %fs:0x10000, %al"
	fault	"down16.straddle", 13, 0, "seg fs, SEL_DOWN16; 99: movw %fs:0xffff, %ax"
	fault	"down16.limit", 13, 0, "seg fs, SEL_DOWN16; 99: movb %fs:0xffe, %al"
	ret

/* Linear addresses wrap at 4 GiB. */
wrap:
	movl	$0xfeedf00d, FREE+0x123
	seg	fs, SEL_TOP
	movl	%fs:FREE+0x1123, %eax
	check	"wrap.read", %eax, $0xfeedf00d
	movl	$0x0badcafe, %fs:FREE+0x1120
	check	"wrap.write", FREE+0x120, $0x0badcafe
	movl	$FREE, %ebx
	movl	%fs:0x1120(%ebx), %eax
	check	"wrap.ebx", %eax, $0x0badcafe
	/* Effective addresses wrap too. */
	movl	$0xfffffff0, %ebx
	movl	FREE+0x130(%ebx), %eax
	check	"wrap.ea", %eax, $0x0badcafe
	movl	$0x80000000, %ecx
	movl	$FREE+0x120, %ebx
	movl	(%ebx, %ecx, 2), %eax
	check	"wrap.index", %eax, $0x0badcafe
	/* 16-bit addressing in 32-bit code. */
	movl	$0x4711, 0xfff4
	movl	$0xffff8000, %ebx
	movl	$0x12347ff4, %esi
	addr16 movl (%bx, %si), %eax
	check	"wrap.bx_si", %eax, $0x4711
	movl	$0x0001fff0, %ebx
	addr16 movl 4(%bx), %eax
	check	"wrap.bx", %eax, $0x4711
	ret

/* 16-bit protected-mode code. */
code16:
	movl	$0xaaaaaaaa, %eax
	movl	$0xbbbbbbbb, %ebx
	lcall	$CS16, $fn16
	check	"code16.eax", %eax, $0xaaaa5678
	check	"code16.ebx", %ebx, $0x12345678
	check	"code16.ecx", %ecx, $0x00010203
	movl	%edx, %eax
	check	"code16.pushed", %eax, $0x1234
	/* Copied to FREE and run with a base. */
	movl	$fn16b, %esi
	movl	$FREE+0x200, %edi
	movl	$(fn16b_end-fn16b), %ecx
	rep movsb
	lcall	$SEL_C16, $0x200
	check	"code16.base", %eax, $0x2000205
	/* IP wraps within 16 bits: a short jump back over 0. */
	movw	$0xcb66, FREE+0			/* lretl */
	movw	$0x00eb, FREE+0xfffe		/* jmp .+2 -> 0x10000 & 0xffff */
	lcall	$SEL_C16, $0xfffe
	print	"code16 wrapped"
	user
	movl	$0x99, %ecx
	ljmp	$SEL_UC16|3, $u16
	user_end
	check	"u16.vector", exc_vector, $0x40
	check	"u16.cs", exc_CS, $SEL_UC16|3
	check	"u16.ecx", exc_ECX, $0x9a
	ufault	"u16_div", 0, 0, "ljmp $SEL_UC16|3, $1f; .code16; 1: xorw %cx, %cx; 99: divw %cx; .code32"
	ret

	.section .text16, "ax"
	.code16
fn16:	movw	$0x5678, %ax
	movl	$0x12345678, %ebx
	movw	$0x10, %si
	movw	$0x0203, %cx
	movzwl	%cx, %ecx
	addl	$0x10000, %ecx
	pushw	$0x1234
	popw	%dx
	movzwl	%dx, %edx
	lretl
u16:	incw	%cx
	int	$0x40
	.text
	.code32
fn16b:	.code16
	callw	1f
1:	popw	%ax			/* IP: 0x203 */
	movzwl	%ax, %eax
	addl	$0x2000002, %eax
	lretl
	.code32
fn16b_end:

/* 32-bit code with a base. */
code_base:
	movl	$fnb, %esi
	movl	$FREE+0x300, %edi
	movl	$(fnb_end-fnb), %ecx
	rep movsb
	lcall	$SEL_CBASE, $0x300
	check	"cbase.eip", %eax, $0x305
	check	"cbase.cs_read", %ebx, $0xe8
	check	"cbase.loop", %ecx, $0
	check	"cbase.sum", %edx, $5050
	ret
fnb:	call	1f
1:	popl	%eax
	movzbl	%cs:0x300, %ebx
	xorl	%edx, %edx
	movl	$100, %ecx
2:	addl	%ecx, %edx
	loop	2b
	lretl
fnb_end:

/* A 16-bit stack: SP counts, the upper half of ESP stays. */
stack16:
	movl	%esp, %ebp
	movl	$0x12340100, %esp
	movl	$SEL_SS16, %eax
	movl	%esp, %ecx
	movl	%eax, %ss
	movl	$0x12340100, %esp
	pushl	$0x11112222
	movl	%esp, %ecx
	pushw	$0x3333
	pushal
	movl	%esp, %edx
	popal
	popw	%bx
	popl	%esi
	movl	%esp, %edi
	/* Wrap: SP = 0, a dword goes to 0xfffc. */
	movl	$0x43210000, %esp
	pushl	$0x77778888
	movl	%esp, %eax
	popl	%ebx
	movw	$DS32, %sp
	movw	%sp, %ss
	movl	%ebp, %esp
	check	"ss16.push", %ecx, $0x123400fc
	check	"ss16.pop", %edi, $0x12340100
	check	"ss16.value", %esi, $0x11112222
	check	"ss16.mem", FREE+0xfc, $0x11112222
	check	"ss16.wrap_sp", %eax, $0x4321fffc
	ret

gates:
	user
	pushl	$0x333
	pushl	$0x222
	pushl	$0x111
	movl	%esp, %esi
	lcall	$SEL_GATE, $0xdeadbeef		/* the offset is ignored */
	movl	%esp, %edi
	user_end
	check	"gate.p1", exc_EAX, $0x111
	check	"gate.p3", exc_EBX, $0x333
	check	"gate.cs", exc_ECX, $CS32
	check	"gate.esp0", exc_EDX, $RING0_STACK_TOP-8-12-8
	check	"gate.user_esp", exc_EBP, $USER_STACK_TOP-12
	check	"gate.released", exc_EDI, $USER_STACK_TOP
	user
	pushw	$0x222
	pushw	$0x111
	lcall	$SEL_GATE16, $0
	movl	%esp, %edi
	user_end
	check	"gate16.p1", exc_EAX, $0x111
	check	"gate16.p2", exc_EBX, $0x222
	check	"gate16.esp0", exc_EDX, $RING0_STACK_TOP-4-4-4
	/* Without a change of level no parameters are copied. */
	movl	%esp, %esi
	lcall	$SEL_GATE0, $0
	check	"gate0.cs", %ecx, $CS32
	subl	%edx, %esi
	check	"gate0.esp", %esi, $8
	ufault	"gate0_user", 13, SEL_GATE0, "lcall $SEL_GATE0, $0"
	ufault	"gate_np", 11, SEL_GATENP, "lcall $SEL_GATENP, $0"
	ufault	"gate_bad", 13, DS32, "lcall $SEL_GATEBAD, $0"
	ufault	"gate_jmp", 13, CS32, "ljmp $SEL_GATE, $0"	/* JMP keeps the level */
	ufault	"gate_rpl", 13, SEL_GATE0, "lcall $SEL_GATE0|3, $0"
	/* No stack for the inner level: #TS with its selector. */
	movl	$USER_DS, rt_tss + 16		/* SS1 */
	ufault	"gate_bad_stack", 10, USER_DS&~3, "lcall $SEL_GATE1, $0"
	movl	$0, rt_tss + 16
	ufault	"gate_no_stack", 10, 0, "lcall $SEL_GATE1, $0"
	/* To level 1 and back. */
	movl	$FREE+0x8000, rt_tss + 12
	movl	$SEL_D1|1, rt_tss + 16
	user
	lcall	$SEL_GATE1, $0
	user_end
	check	"gate1.cs", exc_ECX, $SEL_C1|1
	check	"gate1.esp", exc_EDX, $FREE+0x8000-16
	check	"gate1.ss", exc_EAX, $SEL_D1|1
	ret

gate1_entry:
	movl	%cs, %ecx
	movl	%esp, %edx
	movl	%ss, %eax
	lretl

gate_entry:
	movl	8(%esp), %eax
	movl	16(%esp), %ebx
	movl	20(%esp), %ebp
	movl	%cs, %ecx
	movl	%esp, %edx
	testb	$3, 4(%esp)
	jz	1f
	lretl	$12
1:	lretl

gate16_entry:
	movzwl	4(%esp), %eax
	movzwl	6(%esp), %ebx
	movl	%esp, %edx
	lretw	$4

conforming:
	/* CPL stays what it was. */
	user
	lcall	$SEL_CONF, $conf_fn
	user_end
	check	"conf.cs", exc_EAX, $SEL_CONF|3
	lcall	$SEL_CONF, $conf_fn
	check	"conf0.cs", %eax, $SEL_CONF
	fault	"conf_dpl3", 13, SEL_CONF3, "lcall $SEL_CONF3, $conf_fn"
	user
	lcall	$SEL_CONF, $conf_hlt
	user_end
	check	"conf_hlt", exc_vector, $13
	check	"conf_hlt.cs", exc_CS, $SEL_CONF|3
	ret
conf_fn: movl	%cs, %eax
	lretl
conf_hlt: hlt

rpl:
	fault	"rpl.ds", 13, DS32, "movl $DS32|3, %eax; 99: movl %eax, %ds"
	quiet	"rpl.d1", "movl $SEL_D1, %eax; movl %eax, %es; movl $SEL_D1|1, %eax; movl %eax, %es"
	fault	"rpl.d1_2", 13, SEL_D1, "movl $SEL_D1|2, %eax; 99: movl %eax, %es"
	fault	"rpl.code1", 13, SEL_C1, "ljmp $SEL_C1, $0"
	fault	"rpl.code_rpl", 13, CS32, "ljmp $CS32|1, $1f; 1:"
	/* A null selector may have any RPL. */
	quiet	"rpl.null3", "movl $3, %eax; movl %eax, %es"
	ret
