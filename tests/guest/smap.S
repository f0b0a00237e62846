/*
 * Supervisor-mode access prevention, STAC and CLAC.  Not every engine offers it, so
 * this guest stands alone.  SDM vol. 3, 4.6.
 */
#include "guest.inc"

	.equ	A, 0x400000
	.equ	SMAP, 1 << 21		/* CR4 */

	.globl	guest_main
guest_main:
	movl	$7, %eax
	xorl	%ecx, %ecx
	cpuid
	testl	$(1 << 20), %ebx
	jnz	1f
	fault	"stac", 6, 0, "stac"
	fault	"clac", 6, 0, "clac"
	movl	%cr4, %eax
	orl	$SMAP, %eax
	fault	"cr4_smap", 13, 0, "movl %eax, %cr4"
	ret
1:	call	rt_paging_2level
	call	supervisor_pages
	movb	$0x5a, A
	movl	%cr4, %eax
	orl	$SMAP, %eax
	movl	%eax, %cr4
	clac
	pfault	"read", 1, A, "movb A, %al"
	pfault	"write", 3, A, "movb %al, A"
	pfault	"rmw", 3, A, "incb A"
	pfault	"movs", 1, A, "movl $A, %esi; movl $A, %edi; 99: movsb"
	stac
	movb	A, %al
	movb	%al, A+1
	pushfl
	popl	%ecx
	clac
	pushfl
	popl	%edx
	movzbl	%al, %eax
	check	"stac.read", %eax, $0x5a
	andl	$FL_AC, %ecx
	check	"stac.ac", %ecx, $FL_AC
	andl	$FL_AC, %edx
	check	"clac.ac", %edx, $0
	/* An interrupt leaves AC as it is: entry code has to clear it. */
	gate	0x49, handler
	stac
	int	$0x49
	pushfl
	popl	%edx
	clac
	check	"handler.ac", %eax, $FL_AC
	andl	$FL_AC, %edx
	check	"iret.ac", %edx, $FL_AC
	/* POPF does what STAC does. */
	pushl	$FL_AC|FL_FIXED
	popfl
	movb	A, %al
	pushl	$FL_FIXED
	popfl
	pfault	"popf", 1, A, "movb A, %al"
	/* Off again: no more faults. */
	movl	%cr4, %eax
	andl	$~SMAP, %eax
	movl	%eax, %cr4
	quiet	"off", "movb A, %al"
	ret

/* EAX = AC as an interrupt gate leaves it: as it was. */
handler:
	pushfl
	popl	%eax
	andl	$FL_AC, %eax
	iretl

/* The lower 4 MiB are the kernel's, all of them. */
supervisor_pages:
	movl	$0x101000, %edi
	movl	$1024, %ecx
1:	andl	$~4, (%edi)
	addl	$4, %edi
	loop	1b
	movl	%cr3, %eax
	movl	%eax, %cr3
	ret
