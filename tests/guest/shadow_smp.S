/*
 * Four processors (--cpus 4): one leads the segment at 0xf0000 to RAM and back, by PAM0,
 * while the others execute it.  Who is told that it was done finds it done.
 * 82443BX data sheet, 3.3.15.
 */
#include "guest.inc"
#include "smp.inc"

	.equ	PAM_F, 0x59
	.equ	FN, 0xf0000 - BASE
	.equ	PHASES, 40
	.equ	END, -1

	.text
	.globl	guest_main
guest_main:
	call	smp_init
	movb	$0x30, %al
	call	set_pam
	movb	$0xb8, FN + fn		/* in RAM it returns 2 */
	movl	$2, FN + fn + 1
	movb	$0xc3, FN + fn + 5
	movb	$0, %al
	call	set_pam
	call	smp_start
	check	"started", %eax, $(CPUS - 1)
	everywhere work
	check	"old", old, $0
	check	"neither", neither, $0
	check	"phases", phase, $END
	ret

/* PAM0 becomes AL; EAX and EDX go. */
set_pam:
	pushl	%eax
	movl	$0x80000058, %eax
	movw	$0xcf8, %dx
	outl	%eax, %dx
	popl	%eax
	movw	$0xcfd, %dx
	outb	%al, %dx
	ret

	.balign	64
fn:	movl	$1, %eax
	ret
	.balign	64

work:
	testl	%ebx, %ebx
	jz	turn

/* ROM in even phases, RAM in odd ones; in between one or the other. */
	xorl	%esi, %esi		/* the phase seen last */
1:	movl	phase, %edx
	cmpl	$END, %edx
	je	5f
	call	*fn_low
	cmpl	%esi, %edx
	je	3f
	movl	%edx, %esi
	andl	$1, %edx
	incl	%edx
	cmpl	%edx, %eax
	je	2f
	lock incl old
2:	lock incl acks
	jmp	1b
3:	decl	%eax
	cmpl	$1, %eax
	jbe	1b
	lock incl neither
	jmp	1b

turn:	movl	$1, %ecx
4:	movl	$0, acks
	movl	%ecx, %eax
	andl	$1, %eax
	imull	$0x30, %eax
	call	set_pam
	movl	%ecx, phase
6:	pause
	cmpl	$(CPUS - 1), acks
	jne	6b
	incl	%ecx
	cmpl	$PHASES, %ecx
	jbe	4b
	movl	$END, phase
5:	ret

	.data
	.balign	4
fn_low:	.long	FN + fn
phase:	.long	0
acks:	.long	0
old:	.long	0
neither: .long	0
