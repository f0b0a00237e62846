/*
 * String instructions: registers and flags at the end and at a fault in the middle,
 * both directions, across pages, wrap-around of 16-bit addresses, limits.
 * SDM vol. 2, REP; vol. 1, 7.3.9.
 */
#include "guest.inc"

	.equ	A, 0x400000
	.equ	B, 0x401000
	.equ	C, 0x402000
	.equ	D, 0x403000
	.equ	SEL_SMALL, TEST_SEL

	/* ESI EDI ECX EAX of an exception, or now. */
	.macro	regs_at name, esi, edi, ecx
	check	"\name\().esi", exc_ESI, \esi
	check	"\name\().edi", exc_EDI, \edi
	check	"\name\().ecx", exc_ECX, \ecx
	.endm
	.macro	regs name, esi, edi, ecx
	check	"\name\().esi", %esi, \esi
	check	"\name\().edi", %edi, \edi
	check	"\name\().ecx", %ecx, \ecx
	.endm
	.macro	setup esi, edi, ecx
	movl	$\esi, %esi
	movl	$\edi, %edi
	movl	$\ecx, %ecx
	.endm

	.globl	guest_main
guest_main:
	print	"paging off"
	call	moves
	call	compares
	call	wrap16
	call	limits
	call	ports
	call	far
	print	"2-level"
	call	rt_paging_2level
	call	moves
	call	compares
	call	far
	call	faults
	call	resumed
	call	rt_paging_off
	print	"PAE"
	call	rt_paging_pae
	call	faults
	call	resumed
	call	rt_paging_off
	print	"real mode"
	pushl	$real16
	call	rt_real
	check	"real.si", %esi, $0x12340010
	check	"real.di", %edi, $0x56788010
	check	"real.cx", %ecx, $0x9abc0000
	check	"real.down.si", %eax, $0xfff0
	check	"real.wrapped", 0x20000, $0x44332211
	ret

/* ESI..+4n filled with 0, 1, 2.. */
fill:	pushal
	movl	$A, %edi
	movl	$0x1000, %ecx
	xorl	%eax, %eax
1:	stosl
	addl	$0x01010101, %eax
	incl	%eax
	loop	1b
	popal
	ret

/* EAX = sum over [ESI, +ECX), order matters. */
sum:	pushl	%esi
	pushl	%ecx
	pushl	%edx
	xorl	%eax, %eax
1:	movzbl	(%esi), %edx
	roll	$3, %eax
	xorl	%edx, %eax
	incl	%esi
	loop	1b
	popl	%edx
	popl	%ecx
	popl	%esi
	ret

/* Many pages. */
far:	cld
	movl	$0x5a17c3e9, %eax
	setup	0, 0x200000, 0x20000
	rep stosl
	regs	"far.stos", $0, $0x280000, $0
	setup	0x200000, 0x500000, 0x20000
	rep movsl
	regs	"far.movs", $0x280000, $0x580000, $0
	setup	0x200001, 0x500001, 0x7ffff
	repe cmpsb
	regs	"far.cmps", $0x280000, $0x580000, $0
	ret

moves:
	call	fill
	cld
	setup	A+3, B-5, 0x123
	rep movsb
	regs	"movsb", $A+3+0x123, $B-5+0x123, $0
	setup	A+2, C+0xffb, 0x333
	rep movsl
	regs	"movsl", $A+2+4*0x333, $C+0xffb+4*0x333, $0
	setup	A+1, B+0xffd, 0x101
	rep movsw
	regs	"movsw", $A+1+2*0x101, $B+0xffd+2*0x101, $0
	setup	A, 0, 0x4000
	call	sum
	check	"moves.sum", %eax, $0xba2e989e
	/* Overlapping: the first byte spreads, dwords spread. */
	call	fill
	movb	$0x77, A+8
	setup	A+8, A+9, 0x1ff0
	rep movsb
	check	"spread", A+0x1ff5, $0x77777777
	movl	$0x31415926, A+0x10
	setup	A+0x10, A+0x13, 0x100
	rep movsl
	setup	A, 0, 0x1000
	call	sum
	check	"overlap.sum", %eax, $0x99d52c0a
	/* Downwards. */
	call	fill
	std
	setup	B+0x10, C+0x11, 0x200
	rep movsb
	cld
	regs	"down", $B+0x10-0x200, $C+0x11-0x200, $0
	std
	setup	A+0x2002, A+0x1ffe, 0x7ff
	rep movsl
	cld
	regs	"down4", $A+0x2002-4*0x7ff, $A+0x1ffe-4*0x7ff, $0
	setup	A, 0, 0x4000
	call	sum
	check	"down.sum", %eax, $0xb5dbec2e
	/* No count: nothing is touched, nothing changes. */
	setup	0xfffffff0, 0xffffff00, 0
	rep movsl
	regs	"none", $0xfffffff0, $0xffffff00, $0
	setup	A, B, 5
	movsl
	regs	"one", $A+4, $B+4, $5
	lodsw
	regs	"lodsw", $A+6, $B+4, $5
	movl	$0x12345678, %eax
	setup	A, B+0xffe, 0x402
	rep stosl
	check	"stos.last", B+0xffe+4*0x401, $0x12345678
	std
	stosw
	cld
	regs	"stosw", $A, $B+0xffe+4*0x402-2, $0
	movl	$0x89abcdef, A
	setup	A, B, 2
	rep lodsw
	movzwl	%ax, %eax
	check	"rep_lods", %eax, $0x89ab
	/* A segment override goes with the source only. */
	descriptor SEL_SMALL, A, 0xfffff, 0xc093
	movl	$SEL_SMALL, %eax
	movl	%eax, %fs
	movl	$0xfeedface, A+0x40
	setup	0x40, B, 1
	rep movsl %fs:(%esi), %es:(%edi)
	check	"override", B, $0xfeedface
	ret

compares:
	call	fill
	cld
	setup	A+1, A+1, 0x1000
	repe cmpsb
	regs	"cmps_equal", $A+0x1001, $A+0x1001, $0
	setz	%al
	movzbl	%al, %eax
	check	"cmps_equal.z", %eax, $1
	movl	$A, %esi
	movl	$D, %edi
	movl	$0x400, %ecx
	rep movsl
	incb	D+0x123
	setup	A, D, 0x1000
	repe cmpsb
	pushfl
	popl	%eax
	andl	$0x8d5, %eax
	regs	"cmps_differ", $A+0x124, $D+0x124, $0x1000-0x124
	check	"cmps_differ.flags", %eax, $0x095
	setup	A, D, 0x400
	repe cmpsl
	regs	"cmpsl", $A+0x124, $D+0x124, $0x400-0x49
	setup	A+4, B+0x801, 0x100
	repne cmpsb
	show	"cmps_ne.ecx", %ecx
	/* No count leaves flags alone. */
	setup	A, B, 0
	cmpl	%esi, %esi
	repne cmpsb
	setz	%al
	movzbl	%al, %eax
	check	"cmps_none.z", %eax, $1
	movb	$0xa5, C+0x345
	movl	$A, %edi
	movl	$0x3000, %ecx
	movl	$0x5b, %eax
	movl	$A, %edi
	rep stosb
	movl	$0x2bad, %ecx
	rep stosb
	movb	$0xa5, C+0x345
	movb	$0xa5, %al
	movl	$A, %edi
	movl	$0x3000, %ecx
	repne scasb
	regs	"scasb", %esi, $C+0x346, $0x3000-0x2346
	movl	$0x5b5b5b5b, %eax
	movl	$A, %edi
	movl	$0xc00, %ecx
	repe scasl
	regs	"scasl", %esi, $C+0x348, $0xc00-0x8d2
	pushfl
	popl	%eax
	andl	$0x8d5, %eax
	check	"scasl.flags", %eax, $0x085
	std
	movb	$0xa5, %al
	movl	$C+0x400, %edi
	movl	$0x1000, %ecx
	repne scasb
	cld
	regs	"scasb_down", %esi, $C+0x344, $0x1000-0xbc
	ret

/* 16-bit addresses: only SI, DI, CX count, and they wrap. */
wrap16:
	movl	$0x8000, %ecx
	movl	$0x44332211, 0xfffe		/* bytes fffe, ffff, then 10000.. */
	movb	$0x33, 0
	movl	0, %ebx
	movl	$0x1234fffe, %esi
	movl	$0x5678e000, %edi
	movl	$0x9abc0004, %ecx
	addr16 rep movsb
	check	"wrap.esi", %esi, $0x12340002
	check	"wrap.edi", %edi, $0x5678e004
	check	"wrap.ecx", %ecx, $0x9abc0000
	movl	0xe000, %eax
	movl	%ebx, %ecx
	shll	$16, %ecx
	movw	$0x2211, %cx
	check	"wrap.bytes", %eax, %ecx
	movl	$0x1234fffc, %edi
	movl	$0x00010003, %ecx
	movl	$0x60606060, %eax
	pushl	0
	pushl	4
	addr16 rep stosl
	movl	4, %edx
	popl	4
	popl	0
	check	"wrap_stos.edi", %edi, $0x12340008
	check	"wrap_stos.ecx", %ecx, $0x00010000
	check	"wrap_stos.last", %edx, $0x60606060
	std
	movl	$0xabcd0001, %edi
	movl	$0x7fff0003, %ecx
	pushl	0
	addr16 rep stosb
	popl	0
	cld
	check	"wrap_down.edi", %edi, $0xabcdfffe
	check	"wrap_down.byte", 0xfffe, $0x44336060
	movl	$0xffff0000, %ecx
	movl	$A, %edi
	addr16 rep stosb
	check	"wrap_none", %edi, $A
	ret

/* The limit in the middle: what fits has been done. */
limits:
	descriptor SEL_SMALL, A, 0x1fff, 0x4093
	movl	$SEL_SMALL, %eax
	movl	%eax, %es
	cld
	setup	A+0x3000, 0x1ff8, 16
	fault	"limit", 13, 0, "rep movsb"
	regs_at	"limit", $A+0x3008, $0x2000, $8
	movl	$SEL_SMALL, %eax
	movl	%eax, %es
	setup	A+0x3000, 0x1ff2, 16
	fault	"limit4", 13, 0, "rep movsl"
	regs_at	"limit4", $A+0x300c, $0x1ffe, $13
	movl	$SEL_SMALL, %eax
	movl	%eax, %es
	std
	setup	A+0x3000, 8, 16
	fault	"limit_down", 13, 0, "rep stosl"
	regs_at	"limit_down", $A+0x3000, $-4, $13
	cld
	movl	$DS32, %eax
	movl	%eax, %es
	movl	$SEL_SMALL, %eax
	movl	%eax, %fs
	setup	0x1ffe, A+0x3000, 4
	fault	"limit_src", 13, 0, "rep movsw %fs:(%esi), %es:(%edi)"
	regs_at	"limit_src", $0x2000, $A+0x3002, $3
	setup	0x1ffe, A+0x3000, 0
	quiet	"limit_none", "rep movsw %fs:(%esi), %es:(%edi)"
	ret

ports:
	movl	$0x80, %edx
	setup	A, B, 3
	rep outsb
	regs	"outs", $A+3, $B, $0
	movl	$0x21, %edx		/* the 8259's mask, all ones here */
	movl	$0, A
	setup	A, A, 3
	rep insb
	regs	"ins", $A, $A+3, $0
	check	"ins.bytes", A, $0x00ffffff
	std
	setup	A, A+4, 2
	insb
	cld
	regs	"ins_down", $A, $A+3, $2
	user
	outsb
	user_end
	check	"outs_user", exc_vector, $13
	check	"outs_user.esi", exc_ESI, $A
	ret

faults:
	call	fill
	cld
	set_pte	B, 0
	setup	A, B-0x10, 0x20
	pfault	"stos", 2, B, "rep stosb"
	regs_at	"stos", $A, $B, $0x10
	setup	A+1, B-0x0e, 0x20
	pfault	"movs_dst", 2, B, "rep movsl"
	regs_at	"movs_dst", $A+13, $B-2, $0x1d
	setup	B-0x0d, C, 0x20
	pfault	"movs_src", 0, B, "rep movsl"
	regs_at	"movs_src", $B-1, $C+12, $0x1d
	setup	B-0x10, C, 0x20
	pfault	"lods", 0, B, "rep lodsb"
	regs_at	"lods", $B, $C, $0x10
	/* Source and destination both bad: the source is read first. */
	setup	B+4, B+8, 1
	pfault	"both", 0, B+4, "movsb"
	regs_at	"both", $B+4, $B+8, $1
	setup	C, C, 0x2000
	movl	$A, %edi
	movl	$A, %esi
	pfault	"cmps", 0, B, "repe cmpsb"
	regs_at	"cmps", $B, $B, $0x1000
	movl	$A, %edi
	movl	$0x5000, %ecx
	movb	$0xee, %al
	call	1f
	pfault	"scas", 0, B, "repne scasb"
	check	"scas.edi", exc_EDI, $B
	check	"scas.ecx", exc_ECX, $0x4000
	std
	setup	C+0x10, C+7, 0x20
	pfault	"down", 2, B+0xfff, "rep stosb"
	regs_at	"down", $C+0x10, $B+0xfff, $0x18
	std
	setup	D+0x10, C+9, 0x20
	try
	rep movsl
	caught
	cld
	check	"down4.vector", exc_vector, $14
	regs_at	"down4", $D+0x10-12, $C-3, $0x1d
	check	"down4.cr2", exc_cr2, $C-3
	/* Read-only destination, user destination of the kernel's. */
	set_pte	B, B+5
	setup	A, B-4, 8
	pfault	"ro", 3, B, "rep movsb"
	regs_at	"ro", $A+4, $B, $4
	set_pte	B, B+3
	user
	setup	A, B-3, 8
	rep movsb
	user_end
	check	"u.vector", exc_vector, $14
	check	"u.error", exc_ERROR, $7
	check	"u.cr2", exc_cr2, $B
	regs_at	"u", $A+3, $B, $5
	set_pte	B, 0
	setup	A, B, 0
	quiet	"none", "rep stosb"
	/* Flags of a compare that faulted are those of the last one that did not. */
	movl	$A, %edi
	movl	$0x1001, %ecx
	movl	$0, %eax
	try
	stc
	repne scasb
	caught
	set_pte	B, B+7
	ret
1:	pushal				/* no 0xee in the first page */
	movl	$0x1000, %ecx
	movl	$A, %edi
	movb	$0x11, %al
	rep stosb
	popal
	ret

/* The handler maps the page and resumes: as if nothing had happened. */
resumed:
	movl	$map_page, rt_hook
	call	fill
	movl	$0, exc_count
	call	unmap
	cld
	setup	A+2, C+0x801, 0x1234
	rep movsb
	regs	"res_movsb", $A+2+0x1234, $C+0x801+0x1234, $0
	call	unmap
	setup	A+2, B+0x801, 0x7fe
	rep movsl
	regs	"res_movsl", $A+2+4*0x7fe, $B+0x801+4*0x7fe, $0
	call	unmap
	std
	setup	D+0x12, C+0x444, 0x400
	rep movsl
	cld
	call	unmap
	movl	$0x5a5a5a5a, %eax
	movl	$C-6, %edi
	movl	$0x301, %ecx
	rep stosl
	call	unmap
	setup	A+1, A+1, 0x3f00
	repe cmpsb
	regs	"res_cmps", $A+0x3f01, $A+0x3f01, $0
	call	unmap
	setup	A, 0, 0x4000
	call	sum
	check	"res.sum", %eax, $0xff74b1cb
	check	"res.faults", exc_count, $21
	movl	$0, rt_hook
	ret

unmap:	set_pte	A, 0
	set_pte	B, 0
	set_pte	C, 0
	set_pte	D, 0
	ret

map_page:
	cmpl	$14, exc_vector
	jne	1f
	movl	exc_cr2, %eax
	andl	$~0xfff, %eax
	pushl	$0
	leal	7(%eax), %ecx
	pushl	%ecx
	pushl	%eax
	call	rt_set_pte
	movl	$1, %eax
	ret
1:	xorl	%eax, %eax
	ret

	.section .text16, "ax"
	.code16
real16:
	movw	$0x2000, %ax
	movw	%ax, %es
	movl	$0x44332211, %eax
	movl	%eax, 0xfff0
	cld
	movl	$0x1234fff0, %esi
	movl	$0x56780000, %edi
	movl	$0x9abc0004, %ecx
	rep movsb
	std
	movl	$0x0000000f, %esi
	movw	$0x7000, %di
	movw	$0x1f, %cx
	rep movsb
	movzwl	%si, %eax
	cld
	movw	$0, %cx
	movl	$0x1234fff0, %esi
	movl	$0x56787ff0, %edi
	movw	$0x20, %cx
	rep movsb
	xorw	%cx, %cx
	movw	%cx, %es
	ret
