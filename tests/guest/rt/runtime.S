/* What every guest is linked with: start, tables, exceptions, output. */
#include "guest.inc"

	.section .start, "ax"
	.code32
	.globl	_start
_start:
	cli
	cld
	lgdt	rt_gdtr
	ljmp	$CS32, $1f
1:	movl	$DS32, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	%eax, %fs
	movl	%eax, %gs
	movl	$STACK_TOP, %esp
	pushl	$FL_FIXED
	popfl
	movl	$rt_bss, %edi
	movl	$rt_bss_end, %ecx
	subl	%edi, %ecx
	xorl	%eax, %eax
	rep stosb
	fninit
	call	idt_init
	call	tss_init
	movb	$0xff, %al	/* both 8259 masked */
	outb	%al, $0x21
	outb	%al, $0xa1
	movw	$(COM1 + 3), %dx	/* 8n1, no interrupts */
	movb	$3, %al
	outb	%al, %dx
	movw	$(COM1 + 1), %dx
	xorl	%eax, %eax
	outb	%al, %dx
	movl	$0x40000000, %eax
	cpuid
	cmpl	$0x54474354, %ebx	/* "TCGT": QEMU's translator */
	sete	rt_tcg
	call	guest_main
	.globl	rt_done
rt_done:
	show	"checks", rt_checks
	show	"failed", rt_failed
	movb	$EXIT_PASS, %al
	cmpl	$0, rt_failed
	je	rt_exit
	movb	$EXIT_FAIL, %al
rt_exit:
	outb	%al, $DEBUG_EXIT
	cli
1:	hlt
	jmp	1b

	.text
idt_init:
	movl	$stubs, %eax
	movl	$rt_idt, %edi
	xorl	%ecx, %ecx
1:	movl	%eax, %edx
	andl	$0xffff, %edx
	orl	$(CS32 << 16), %edx
	movl	%edx, (%edi)
	movl	%eax, %edx
	andl	$0xffff0000, %edx
	orl	$0x8e00, %edx
	cmpl	$3, %ecx	/* INT3, INTO and 0x40-0x4f are for CPL 3 too */
	je	2f
	cmpl	$4, %ecx
	je	2f
	movl	%ecx, %ebx
	andl	$0xf0, %ebx
	cmpl	$0x40, %ebx
	jne	3f
2:	orl	$0x6000, %edx
3:	movl	%edx, 4(%edi)
	addl	$16, %eax
	addl	$8, %edi
	incl	%ecx
	cmpl	$256, %ecx
	jb	1b
	lidt	rt_idtr
	ret

tss_init:
	movl	$RING0_STACK_TOP, rt_tss + 4
	movl	$DS32, rt_tss + 8
	movw	$104, rt_tss + 102	/* I/O map at 104: */
	movl	$(rt_tss_end - rt_tss - 1), %ecx
	subl	$104, %ecx
	movl	$(rt_tss + 104), %edi
	movb	$0xff, %al		/* no port for CPL 3 */
	incl	%ecx
	rep stosb
	movl	$rt_tss, %eax
	movw	%ax, rt_gdt + TSS_SEL + 2
	shrl	$16, %eax
	movb	%al, rt_gdt + TSS_SEL + 4
	movw	$TSS_SEL, %ax
	ltr	%ax
	ret

/* void rt_gate(vec, handler, sel, attr), callee pops */
	.globl	rt_gate
rt_gate:
	pushfl
	pushal
	movl	40(%esp), %edi
	movl	44(%esp), %eax
	movl	48(%esp), %ecx
	movl	52(%esp), %edx
	leal	rt_idt(, %edi, 8), %edi
	movw	%ax, (%edi)
	movw	%cx, 2(%edi)
	shrl	$16, %eax
	shll	$8, %edx
	movw	%dx, 4(%edi)
	movw	%ax, 6(%edi)
	popal
	popfl
	ret	$16

/* ---- exceptions ------------------------------------------------------------ */

	.balign	16
stubs:
	.globl	rt_stubs
rt_stubs:
vec = 0
	.rept	256
	.balign	16
	.if	!(vec == 8 || (vec >= 10 && vec <= 14) || vec == 17)
	pushl	$0
	.endif
	pushl	$vec
	jmp	exc_common
vec = vec + 1
	.endr

exc_common:
	pushal
	pushl	%ds
	pushl	%es
	pushl	%fs
	pushl	%gs
	movl	%esp, %ebp
	movl	$DS32, %eax
	movl	%eax, %ds
	movl	%eax, %es
	.irp	reg, GS, FS, ES, DS, EDI, ESI, EBX, EDX, ECX, EAX, VECTOR, ERROR, EIP, CS, EFLAGS
	movl	%ss:F_\reg(%ebp), %eax
	movl	%eax, exc_\reg
	.endr
	movl	%ss:F_EBP(%ebp), %eax
	movl	%eax, exc_EBP
	movl	%cr2, %eax
	movl	%eax, exc_cr2
	movw	%ss, exc_SS
	leal	F_ESP(%ebp), %eax
	movl	%eax, exc_ESP
	testl	$FL_VM, exc_EFLAGS
	jnz	1f
	testb	$3, exc_CS
	jz	2f
1:	movl	%ss:F_ESP(%ebp), %eax
	movl	%eax, exc_ESP
	movl	%ss:F_SS(%ebp), %eax
	movl	%eax, exc_SS
2:	incl	exc_count
	movl	exc_VECTOR, %eax
	movl	%eax, exc_vector
	cld
	cmpl	$0, rt_hook
	je	3f
	call	*rt_hook		/* EAX = 1: resume there */
	cmpl	$1, %eax
	je	resume
3:	movl	$DS32, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	cmpl	$0, rt_recover
	je	unexpected
	movl	%eax, %ss
	movl	rt_recover_esp, %esp
	pushl	$FL_FIXED
	popfl
	.irp	reg, EDI, ESI, EBP, EBX, EDX, ECX, EAX
	pushl	exc_\reg
	.endr
	popl	%eax
	popl	%ecx
	popl	%edx
	popl	%ebx
	popl	%ebp
	popl	%esi
	popl	%edi
	jmp	*rt_recover

resume:
	popl	%gs
	popl	%fs
	popl	%es
	popl	%ds
	popal
	addl	$8, %esp
	iretl

unexpected:
	movl	%eax, %ss
	movl	$STACK_TOP, %esp
	print	"unexpected exception"
	show	"vector", exc_VECTOR
	show	"error", exc_ERROR
	show	"eip", exc_EIP
	show	"cs", exc_CS
	show	"eflags", exc_EFLAGS
	show	"esp", exc_ESP
	show	"ss", exc_SS
	show	"cr2", exc_cr2
	movb	$EXIT_UNEXPECTED, %al
	jmp	rt_exit

/* ---- output ---------------------------------------------------------------- */

putc:			/* AL; keeps everything but DX, AH */
	movb	%al, %ah
	movw	$(COM1 + 5), %dx
1:	inb	%dx, %al
	testb	$0x20, %al
	jz	1b
	movb	%ah, %al
	movw	$COM1, %dx
	outb	%al, %dx
	ret

puts:			/* ESI; clobbers EAX EDX */
	lodsb
	testb	%al, %al
	jz	1f
	call	putc
	jmp	puts
1:	ret

putx:			/* EBX, its CL bits from the left; clobbers EAX EDX ECX */
1:	subb	$4, %cl
	movl	%ebx, %eax
	shrl	%cl, %eax
	andl	$15, %eax
	movb	digits(%eax), %al
	call	putc
	testb	%cl, %cl
	jnz	1b
	ret

	.macro enter_fn
	pushfl
	cld
	pushal
	.endm
	.macro leave_fn bytes
	popal
	popfl
	ret	$\bytes
	.endm

	.globl	rt_print
rt_print:		/* (text) */
	enter_fn
	movl	40(%esp), %esi
	call	puts
	leave_fn 4

put_name:
	call	puts
	movb	$':', %al
	call	putc
put_space:
	movb	$' ', %al
	jmp	putc

	.globl	rt_show
rt_show:		/* (name, got) */
	enter_fn
	movl	40(%esp), %esi
	call	put_name
	movl	44(%esp), %ebx
	movb	$32, %cl
	call	putx
	movb	$'\n', %al
	call	putc
	leave_fn 8

	.globl	rt_check
rt_check:		/* (name, got, want) */
	enter_fn
	incl	rt_checks
	movl	40(%esp), %esi
	call	put_name
	movl	44(%esp), %ebx
	movb	$32, %cl
	call	putx
	cmpl	48(%esp), %ebx
	je	1f
	incl	rt_failed
	movl	$s_want, %esi
	call	puts
	movl	48(%esp), %ebx
	movb	$32, %cl
	call	putx
1:	movb	$'\n', %al
	call	putc
	leave_fn 12

	.globl	rt_check_exc
rt_check_exc:		/* (name, vec, err, eip) */
	enter_fn
	incl	rt_checks
	movl	40(%esp), %esi
	call	put_name
	xorl	%edi, %edi
	movl	exc_vector, %ebx
	movb	$8, %cl
	call	putx
	cmpl	44(%esp), %ebx
	je	1f
	incl	%edi
1:	cmpl	$-1, exc_vector
	je	5f
	call	put_space
	movl	exc_ERROR, %ebx
	movb	$32, %cl
	call	putx
	cmpl	48(%esp), %ebx
	je	2f
	incl	%edi
2:	movl	$s_plus, %esi
	call	puts
	movl	exc_EIP, %ebx
	subl	52(%esp), %ebx
	jz	3f
	incl	%edi
3:	movb	$32, %cl
	call	putx
	testl	%edi, %edi
	jz	4f
5:	incl	rt_failed
	movl	$s_want, %esi
	call	puts
	movl	44(%esp), %ebx
	movb	$8, %cl
	call	putx
	call	put_space
	movl	48(%esp), %ebx
	movb	$32, %cl
	call	putx
4:	movb	$'\n', %al
	call	putc
	leave_fn 16

/* ---- real mode -------------------------------------------------------------- */

/*
 * void rt_real(fn): call a 16-bit function in real mode at 0:fn, with
 * DS = ES = 0, SS:SP = 0:STACK16_TOP; it returns with RETW.  All general registers
 * are passed in and out.  Callee pops.
 */
	.globl	rt_real
rt_real:
	movl	%eax, real_eax
	movl	4(%esp), %eax
	movw	%ax, real_fn
	movl	%ebp, real_ebp
	movl	%esp, real_esp
	lidt	real_idtr
	ljmp	$CS16, $1f
	.section .text16, "ax"
	.code16
1:	movw	$DS16, %ax		/* real mode keeps limits and the stack's size */
	movw	%ax, %ss
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %fs
	movw	%ax, %gs
	movl	%cr0, %eax
	andb	$0xfe, %al
	movl	%eax, %cr0
	ljmp	$0, $2f
2:	movw	$0, %sp
	movw	%sp, %ss
	movw	$STACK16_TOP, %sp
	movw	%ss, %bp
	movw	%bp, %ds
	movw	%bp, %es
	movw	%bp, %fs
	movw	%bp, %gs
	movl	%cs:real_ebp, %ebp
	movl	%cs:real_eax, %eax
	callw	*%cs:real_fn
	cli
	pushl	%eax
	lgdtl	%cs:rt_gdtr
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	popl	%eax
	ljmpl	$CS32, $3f
	.text
	.code32
3:	movl	$DS32, %esp
	movl	%esp, %ds
	movl	%esp, %es
	movl	%esp, %fs
	movl	%esp, %gs
	movl	%esp, %ss
	movl	real_esp, %esp
	lidt	rt_idtr
	ret	$4

/* ---- data -------------------------------------------------------------------- */

	.section .rodata
digits:	.ascii	"0123456789abcdef"
s_want:	.asciz	"  WANTED "
s_plus:	.asciz	" +"

	.data
	.balign	8
	.globl	rt_gdt, rt_gdtr, rt_idtr, real_idtr
rt_gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* CS32 */
	.quad	0x00cf93000000ffff	/* DS32 */
	.quad	0x00cffb000000ffff	/* USER_CS */
	.quad	0x00cff3000000ffff	/* USER_DS */
	.long	rt_tss_end - rt_tss - 1, 0x8900	/* TSS_SEL */
	.quad	0x00009b000000ffff	/* CS16 */
	.quad	0x000093000000ffff	/* DS16 */
	.quad	0x00af9b000000ffff	/* CS64 */
	.fill	GDT_ENTRIES - (. - rt_gdt) / 8, 8, 0
	.balign	4
	.word	0
rt_gdtr:
	.word	GDT_ENTRIES * 8 - 1
	.long	rt_gdt
	.word	0
rt_idtr:
	.word	256 * 8 - 1
	.long	rt_idt
	.word	0
real_idtr:
	.word	0x3ff
	.long	0
	.globl	rt_ds32
rt_ds32: .word	DS32
	.section .data16, "aw"
real_fn: .word	0
	.balign	4
real_eax: .long	0
real_ebp: .long	0
real_esp: .long	0

	.bss
	.balign	8
	.globl	rt_idt, rt_tss, rt_tss_end
rt_idt:	.skip	256 * 8
rt_tss:	.skip	104 + 8192 + 1
rt_tss_end:
	.balign	4
	.globl	rt_recover, rt_recover_esp, rt_hook, rt_checks, rt_failed
rt_recover: .skip 4
rt_recover_esp: .skip 4
rt_hook: .skip	4
rt_checks: .skip 4
rt_failed: .skip 4
	.globl	rt_tcg
rt_tcg:	.skip	1
	.balign	4
	.irp	reg, GS, FS, ES, DS, EDI, ESI, EBP, EBX, EDX, ECX, EAX, VECTOR, ERROR, EIP, CS, EFLAGS, ESP, SS, vector, cr2, count
	.globl	exc_\reg
exc_\reg: .skip	4
	.endr
