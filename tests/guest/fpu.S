/*
 * x87 and SSE exceptions and their order, #NM, the images of FNSAVE and FXSAVE.
 * SDM vol. 1, chapters 8, 10, 11; vol. 3, 2.5, 6.15.
 */
#include "guest.inc"

	.equ	AREA, FREE + 0x1000
	.equ	NE, 0x20			/* CR0 */
	.equ	OSFXSR, 0x200			/* CR4 */
	.equ	OSXMMEX, 0x400

	.macro	control_word value
	fninit
	movw	$\value, AREA
	fldcw	AREA
	.endm
	.macro	status name, want
	fnstsw	%ax
	movzwl	%ax, %eax
	andl	$0xb8ff, %eax
	check	"\name\().fsw", %eax, $\want
	.endm
	.macro	mxcsr value
	movl	$\value, AREA
	ldmxcsr	AREA
	.endm
	.macro	mxcsr_is name, want
	stmxcsr	AREA
	check	"\name\().mxcsr", AREA, $\want
	.endm

	.globl	guest_main
guest_main:
	movl	%cr0, %eax
	andl	$~0xe, %eax
	orl	$NE, %eax
	movl	%eax, %cr0
	call	x87
	call	x87_late
	call	not_available
	call	sse_off
	movl	%cr4, %eax
	orl	$OSFXSR|OSXMMEX, %eax
	movl	%eax, %cr4
	call	sse
	call	images
	call	mmx
	call	across
	ret

x87:	/* Masked: a flag and a default result. */
	fninit
	fld1
	fldz
	fdivrp	%st, %st(1)
	status	"masked_div", 0x3804
	fstps	AREA
	check	"masked_div", AREA, $0x7f800000
	fninit
	fldz
	fldz
	fdivrp	%st, %st(1)
	fstps	AREA
	check	"masked_invalid", AREA, $0xffc00000
	/* Empty stack, full stack. */
	fninit
	fstps	AREA
	check	"underflow", AREA, $0xffc00000
	status	"underflow", 0x0841
	fninit
	.rept	9
	fld1
	.endr
	fnstsw	%ax
	movzwl	%ax, %eax
	check	"overflow.fsw", %eax, $0x3a41	/* C1: overflow */
	/* Rounding and precision control. */
	control_word 0x077f		/* down, 53 bits */
	fld1
	fidivs	three
	fstpl	AREA
	check	"third_down.lo", AREA, $0x55555555
	check	"third_down.hi", AREA+4, $0x3fd55555
	control_word 0x0b7f		/* up */
	fld1
	fidivs	three
	fstpl	AREA
	check	"third_up.lo", AREA, $0x55555556
	control_word 0x007f		/* 24 bits */
	fld1
	fidivs	three
	fstpl	AREA
	check	"third_24.lo", AREA, $0x60000000
	fninit
	fldpi
	fbstp	AREA
	check	"bcd", AREA, $3
	ret

/* Unmasked: pending, and raised by the next waiting instruction. */
x87_late:
	control_word 0x037b		/* zero divide unmasked */
	fld1
	fldz
	quiet	"pending", "fdivrp %st, %st(1); nop"
	fnstsw	%ax			/* does not wait */
	movzwl	%ax, %eax
	check	"pending.es", %eax, $0xb084
	fault	"mf_fwait", 16, 0, "fwait"
	fault	"mf_fld", 16, 0, "fld1"
	fnclex
	quiet	"cleared", "fwait"
	control_word 0x037b
	fld1
	fldz
	fdivrp	%st, %st(1)
	fault	"mf_mmx", 16, 0, "movd %eax, %mm0"
	fault	"mf_emms", 16, 0, "emms"
	quiet	"fnsave", "fnsave AREA"
	quiet	"after_fnsave", "fwait"
	/* A store that faults unmasked stores nothing. */
	control_word 0x037e		/* invalid unmasked */
	movl	$0x1234, AREA+8
	fldl	huge
	fistpl	AREA+8
	check	"fist.kept", AREA+8, $0x1234
	fault	"mf_fist", 16, 0, "fwait"
	fnclex
	fninit
	ret

not_available:
	movl	%cr0, %eax
	orl	$8, %eax
	movl	%eax, %cr0
	fault	"nm_fld", 7, 0, "fld1"
	fault	"nm_fnsave", 7, 0, "fnsave AREA"
	fault	"nm_mmx", 7, 0, "movd %eax, %mm0"
	fault	"nm_fxsave", 7, 0, "fxsave AREA"
	quiet	"ts_fwait", "fwait"	/* MP is clear */
	ufault	"u_nm", 7, 0, "fldz"
	clts
	/* EM: x87 is #NM, MMX #UD. */
	movl	%cr0, %eax
	movl	%eax, %ebx
	orl	$4, %eax
	movl	%eax, %cr0
	fault	"em_fld", 7, 0, "fld1"
	fault	"em_mmx", 6, 0, "movd %eax, %mm0"
	movl	%ebx, %cr0
	ret

sse_off:
	fault	"sse_ud", 6, 0, "addps %xmm0, %xmm1"
	fault	"ldmxcsr_ud", 6, 0, "ldmxcsr AREA"
	fault	"movdqa_ud", 6, 0, "movdqa %xmm0, %xmm1"
	quiet	"sfence", "sfence"
	ret

sse:	mxcsr	0x1f80
	/* Masked. */
	movss	one, %xmm0
	xorps	%xmm1, %xmm1
	divss	%xmm1, %xmm0
	movd	%xmm0, %eax
	check	"sse_inf", %eax, $0x7f800000
	mxcsr_is "sse_inf", 0x1f84
	/* Unmasked: #XM at once, the destination as it was. */
	mxcsr	0x1d80
	movss	one, %xmm0
	fault	"xm", 19, 0, "divss %xmm1, %xmm0"
	mxcsr_is "xm", 0x1d84
	movd	%xmm0, %eax
	check	"xm.kept", %eax, $0x3f800000
	ufault	"u_xm", 19, 0, "divss %xmm1, %xmm0"
	/* Invalid comes before the others. */
	mxcsr	0x1f00
	fault	"xm_invalid", 19, 0, "sqrtss minus_one, %xmm2"
	mxcsr_is "xm_invalid", 0x1f01
	/* Without OSXMMEXCPT it is #UD. */
	movl	%cr4, %eax
	andl	$~OSXMMEX, %eax
	movl	%eax, %cr4
	mxcsr	0x1d80
	fault	"xm_ud", 6, 0, "divss %xmm1, %xmm0"
	movl	%cr4, %eax
	orl	$OSXMMEX, %eax
	movl	%eax, %cr4
	fault	"mxcsr_reserved", 13, 0, "movl $0x10000, AREA; 99: ldmxcsr AREA"
	mxcsr	0x1f80
	/* Alignment. */
	fault	"movaps_align", 13, 0, "movaps AREA+8, %xmm0"
	fault	"addps_align", 13, 0, "addps AREA+4, %xmm0"
	quiet	"movups", "movups AREA+7, %xmm0"
	quiet	"movss_any", "movss AREA+1, %xmm0"
	/* TS and EM. */
	movl	%cr0, %eax
	movl	%eax, %ebx
	orl	$8, %eax
	movl	%eax, %cr0
	fault	"nm_sse", 7, 0, "addps %xmm0, %xmm1"
	quiet	"ts_prefetch", "prefetcht0 AREA"
	clts
	movl	%ebx, %eax
	orl	$4, %eax
	movl	%eax, %cr0
	fault	"em_sse", 6, 0, "addps %xmm0, %xmm1"
	movl	%ebx, %cr0
	/* Rounding, flush to zero. */
	mxcsr	0x3f80			/* down */
	movss	one, %xmm0
	divss	three_f, %xmm0
	movd	%xmm0, %eax
	check	"round_down", %eax, $0x3eaaaaaa
	mxcsr	0x9f80			/* FTZ */
	movss	tiny, %xmm0
	mulss	half, %xmm0
	movd	%xmm0, %eax
	check	"ftz", %eax, $0
	mxcsr	0x1f80
	/* The stack does not matter to SSE's faults; a page fault does come first. */
	call	rt_paging_2level
	set_pte	0x400000, 0
	mxcsr	0x1d80
	pfault	"pf_first", 0, 0x400000, "divss 0x400000, %xmm0"
	mxcsr	0x1f80
	call	rt_paging_off
	ret

images:	fninit
	fld1
	fldpi
	movl	$0x12345678, %eax
	movd	%eax, %xmm0
	movl	$0x87654321, %eax
	movd	%eax, %xmm7
	movl	$AREA, %edi
	movl	$128, %ecx
	movl	$0xcccccccc, %eax
	rep stosl
	fxsave	AREA
	movzwl	AREA, %eax
	check	"fx.fcw", %eax, $0x37f
	movzwl	AREA+2, %eax
	check	"fx.fsw", %eax, $0x3000
	movzbl	AREA+4, %eax
	check	"fx.ftw", %eax, $0xc0
	check	"fx.mxcsr", AREA+24, $0x1f80
	check	"fx.st0", AREA+36, $0xc90fdaa2
	check	"fx.st1", AREA+52, $0x80000000
	check	"fx.xmm0", AREA+160, $0x12345678
	check	"fx.xmm7", AREA+272, $0x87654321
	check	"fx.rest", AREA+464, $0xcccccccc	/* for software */
	fault	"fx_align", 13, 0, "fxsave AREA+8"
	fninit
	xorps	%xmm7, %xmm7
	fxrstor	AREA
	movd	%xmm7, %eax
	check	"fxrstor.xmm7", %eax, $0x87654321
	fstps	AREA+600
	check	"fxrstor.st0", AREA+600, $0x40490fdb
	/* Reserved bits of FCW and the pending bits of FSW are the processor's. */
	.irp	image, 0x0000a5a6, 0x00010340, 0x8081037f, 0x0000ffff
	movl	$\image, AREA
	fxrstor	AREA
	fxsave	AREA+1024
	fninit
	show	"fxrstor.\image", AREA+1024
	.endr
	check	"fxrstor.reserved", AREA+1024, $0x00001f7f
	movl	$0x00010340, AREA
	fxrstor	AREA
	fxsave	AREA+1024
	fnclex
	fninit
	check	"fxrstor.pending", AREA+1024, $0x80810340
	movl	$0x3000037f, AREA
	movl	$0x10000, AREA+24
	fault	"fxrstor_mxcsr", 13, 0, "fxrstor AREA"
	/* FNSAVE: 108 bytes, then as FNINIT. */
	fninit
	fld1
	fnsave	AREA
	check	"fnsave.tag", AREA+8, $0xffff3fff
	check	"fnsave.st0", AREA+28+4, $0x80000000
	fnstsw	%ax
	movzwl	%ax, %eax
	check	"fnsave.init", %eax, $0
	frstor	AREA
	fstps	AREA+600
	check	"frstor", AREA+600, $0x3f800000
	fninit
	fnstenv	AREA
	check	"fnstenv.cw", AREA, $0xffff037f
	ret

mmx:	fninit
	movl	$0x01020304, %eax
	movd	%eax, %mm2
	paddd	%mm2, %mm2
	fxsave	AREA
	check	"mmx.value", AREA+32+32, $0x02040608
	movzwl	AREA+32+32+8, %eax
	check	"mmx.exponent", %eax, $0xffff
	movzbl	AREA+4, %eax
	check	"mmx.tags", %eax, $0xff
	emms
	fxsave	AREA
	movzbl	AREA+4, %eax
	check	"emms.tags", %eax, $0
	ret

/* State lives on across exceptions, CPL changes and much other code. */
across:	fninit
	fldpi
	movl	$0x0badcafe, %eax
	movd	%eax, %xmm6
	movl	$200, %esi
1:	try
	ud2
	caught
	user
	pcmpeqd	%xmm1, %xmm1
	paddd	%xmm1, %xmm6		/* -1 */
	fld1
	faddp	%st, %st(1)
	user_end
	decl	%esi
	jnz	1b
	movd	%xmm6, %eax
	check	"across.xmm6", %eax, $0x0badcafe-200
	fstps	AREA
	check	"across.st0", AREA, $0x434b243f
	ret

	.data
	.balign	16
one:	.float	1
minus_one: .float -1
three_f: .float	3
half:	.float	0.5
tiny:	.long	0x00800000
three:	.word	3
	.balign	8
huge:	.double	1e20
