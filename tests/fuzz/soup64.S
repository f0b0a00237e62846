/*
 * The guest of tests/fuzz/guest64.c: chunks of 64-bit code that means nothing, at CPL 0
 * in either half of the address space or at CPL 3, under page tables that guest64.c has
 * filled with anything and that change between chunks.  As soup.S: any vector goes on to
 * the next chunk; after the last one it writes 0x41 to the debug-exit port.
 *
 * A flat image for 1 MiB, started as a Multiboot kernel by its address fields.
 */
#define CHUNK 64
#define STACK 0x400000
#define IST 0x410000
#define UPPER 0xffff880000000000	/* all of the first 512 GiB again */
#define POOL 0x11e000			/* 512 page-table entries */
#define PLACES 0x11f000			/* 512 addresses, the first 64 canonical */
#define PML4 0x120000
#define HOSTILE 0x123000		/* 13 tables: PML4, PDPT and PD of identity come first */

	.code32
	.text
start:
	.balign	4
mb:	.long	0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
	.long	mb, start, 0, 0, entry
	.org	0x20
	.long	0			/* filled in by guest64.c: */
user:	.long	0
chunks:	.long	0
count:	.long	-1

entry:	cli
	cld
	movl	$STACK, %esp
	lgdt	gdtr
	movl	$tss, %eax
	movw	%ax, gdt + 0x28 + 2
	shrl	$16, %eax
	movb	%al, gdt + 0x28 + 4
	/* Every vector to next, callable from anywhere, on its own stack. */
	movl	$idt, %edi
	movl	$256, %ecx
1:	movl	$next, %eax
	movw	%ax, (%edi)
	movw	$0x08, 2(%edi)
	movw	$0xee01, 4(%edi)
	shrl	$16, %eax
	movw	%ax, 6(%edi)
	addl	$16, %edi
	loop	1b
	lidt	idtr
	/* The 8259s to vectors 0x20 and on, only IRQ 0; the 8254 at 1 kHz. */
	movl	$pic, %esi
	movl	$(pic_end - pic) / 2, %ecx
2:	movzbl	(%esi), %edx
	movb	1(%esi), %al
	outb	%al, %dx
	addl	$2, %esi
	loop	2b
	movl	%cr4, %eax
	orl	$0x6a0, %eax		/* PAE PGE OSFXSR OSXMMEXCPT */
	movl	%eax, %cr4
	movl	$PML4, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x901, %eax		/* NXE LME SCE */
	wrmsr
	movl	%cr0, %eax
	orl	$0x80010002, %eax
	andl	$~4, %eax
	movl	%eax, %cr0
	ljmp	$0x08, $long
	.code64
long:	movl	$0x28, %eax
	ltr	%ax
	movl	$1, %eax
	cpuid
	notl	%ecx
	testl	$0x14000000, %ecx	/* XSAVE, AVX */
	jnz	next
	movq	%cr4, %rax
	orl	$0x40000, %eax
	movq	%rax, %cr4
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	movl	$7, %eax
	xsetbv

next:	cli
	cld
	movb	$0x20, %al
	outb	%al, $0x20
	xorl	%eax, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	$IST, %esp
	incl	count(%rip)
	movl	count(%rip), %eax
	cmpl	chunks(%rip), %eax
	jae	done
	imull	$CHUNK, %eax, %ebp
	addl	$soup, %ebp
	movabsq	$0x9e3779b97f4a7c15, %rdx
	imulq	%rdx, %rax
	movq	%rax, %r15
	/* Some entries become others; half of the time the TLB is told. */
	movl	$3, %ecx
1:	call	random
	movl	%eax, %esi
	andl	$511, %esi
	movq	POOL(, %rsi, 8), %rbx
	call	random
	movl	%eax, %edi
	andl	$0x1fff, %edi		/* of all hostile tables ... */
	cmpl	$13 * 512, %edi
	jae	2f
	movq	%rbx, HOSTILE(, %rdi, 8)
2:	call	random
	movl	%eax, %edi
	andl	$511, %edi		/* ... and of the PML4, but for those that we need */
	jz	3f
	cmpl	$272, %edi
	je	3f
	testl	$0x600, %eax
	jnz	3f
	movq	%rbx, PML4(, %rdi, 8)
3:	loop	1b
	testl	$0x800, %eax
	jz	4f
	movq	%cr3, %rax
	movq	%rax, %cr3
4:	call	random			/* FS and GS base */
	movl	%eax, %esi
	andl	$63, %esi
	movl	PLACES(, %rsi, 8), %eax
	movl	PLACES + 4(, %rsi, 8), %edx
	movl	$0xc0000100, %ecx
	wrmsr
	incl	%ecx
	wrmsr
	/* Where to: the frame. */
	movl	$STACK, %edi
	call	random
	testl	$3, %eax
	jz	5f
	call	place
	movq	%rbx, %rdi
5:	call	random
	andl	$0xcd5, %eax
	orl	$0x202, %eax
	cmpl	$0, user(%rip)
	je	6f
	pushq	$0x23
	pushq	%rdi
	pushq	%rax
	pushq	$0x1b
	jmp	7f
6:	pushq	$0x10
	pushq	%rdi
	pushq	%rax
	pushq	$0x08
	testl	$1, count(%rip)	/* every other chunk */
	jz	7f
	movabsq	$UPPER, %rax
	orq	%rax, %rbp
7:	pushq	%rbp
	.irp	reg, rsi, rdi, rbp, r8, r9, r10, r11, r12, rcx, rdx
	call	place
	movq	%rbx, %\reg
	.endr
	call	random
	testl	$1, %eax
	jz	8f
	movzbl	%ah, %ecx		/* a count */
8:	call	place
	movl	$500, %r13d
	call	random
	iretq

	/* RAX, of the generator in R15 */
random:	movabsq	$6364136223846793005, %rax
	imulq	%rax, %r15
	incq	%r15
	movq	%r15, %rax
	shrq	$32, %rax
	ret
place:	call	random
	andl	$511, %eax
	movq	PLACES(, %rax, 8), %rbx
	ret

done:	movb	$0x41, %al
	outb	%al, $0xf4
1:	hlt
	jmp	1b

pic:	.byte	0x20, 0x11, 0xa0, 0x11, 0x21, 0x20, 0xa1, 0x28, 0x21, 4, 0xa1, 2
	.byte	0x21, 1, 0xa1, 1, 0x21, 0xfe, 0xa1, 0xff
	.byte	0x43, 0x34, 0x40, 0xa9, 0x40, 0x04
pic_end:

	.balign	8
gdt:	.quad	0, 0x00af9b000000ffff, 0x00cf93000000ffff	/* 8, 10: ring 0 */
	.quad	0x00affb000000ffff, 0x00cff3000000ffff		/* 1b, 23: ring 3 */
	.quad	0x0000890000000067, 0				/* 28: TSS */
gdtr:	.word	. - gdt - 1
	.long	gdt
idtr:	.word	256 * 16 - 1
	.long	idt
	.balign	8
tss:	.long	0, STACK, 0
	.fill	24, 1, 0
	.long	IST, 0
	.fill	60, 1, 0
	.balign	8
idt:	.fill	512, 8, 0
	.balign	CHUNK
soup:
