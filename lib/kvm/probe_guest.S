/*
 * The guest of kvm_probe_stock(): started at 0x1000 in flat 32-bit protected mode
 * with paging off, page directory at 0x2000.  Does what every stock kernel does:
 * switches 2-level paging on, reads through a mapping that is not one to one, adds
 * with SSE and x87, and reports the sum on port 0xf4.
 */
	.section .rodata
	.globl	kvm_probe_guest, kvm_probe_guest_end
	.hidden	kvm_probe_guest, kvm_probe_guest_end
	.code32
kvm_probe_guest:
	movl	$0x2000, %eax
	movl	%eax, %cr3
	movl	%cr4, %eax
	orl	$0x600, %eax		/* OSFXSR, OSXMMEXCPT */
	movl	%eax, %cr4
	movl	%cr0, %eax
	orl	$0x80000002, %eax	/* PG, MP */
	movl	%eax, %cr0
	jmp	1f
1:	movl	0x400000, %eax		/* mapped to 0x4000: 100 */
	cvtsi2ss %eax, %xmm0
	addps	%xmm0, %xmm0
	cvttss2si %xmm0, %eax
	fninit
	fld1
	fadd	%st(0), %st(0)
	fistpl	0x400004
	addl	0x400004, %eax
	outl	%eax, $0xf4
	hlt
kvm_probe_guest_end:
	.section .note.GNU-stack, "", @progbits
