/*
 * The guest of tests/fuzz/guest.c: runs chunks of code that mean nothing, one
 * after another.  Whatever a chunk does ends in an exception or in the timer's
 * interrupt, and any vector goes on to the next chunk with fresh registers.
 * After the last one it writes 0x41 to the debug-exit port.
 *
 * A flat image for 1 MiB, started as a Multiboot kernel by its address fields.
 */
#define CHUNK 64
#define SCRATCH 0x200000
#define PAGEDIR 0x300000
#define STACK 0x400000

	.code32
	.text
start:
	.balign	4
mb:	.long	0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
	.long	mb, start, 0, 0, entry	/* to the end of the file, no bss */
	.org	0x20
paging:	.long	0			/* filled in by guest.c: */
user:	.long	0
chunks:	.long	0
count:	.long	-1

entry:	cli
	cld
	movl	$STACK, %esp
	lgdt	gdtr
	ljmp	$0x08, $1f
1:	movl	$0x10, %eax
	movl	%eax, %ss
	movl	%eax, %ds
	movl	$tss, %eax
	movw	%ax, gdt + 0x28 + 2
	shrl	$16, %eax
	movb	%al, gdt + 0x28 + 4
	movl	$0x28, %eax
	ltr	%ax

	/* Every vector to next, callable from anywhere. */
	movl	$idt, %edi
	movl	$256, %ecx
2:	movl	$next, %eax
	movw	%ax, (%edi)
	movw	$0x08, 2(%edi)
	movw	$0xee00, 4(%edi)
	shrl	$16, %eax
	movw	%ax, 6(%edi)
	addl	$8, %edi
	loop	2b
	lidt	idtr

	/* The 8259s to vectors 0x20 and on, only IRQ 0; the 8254 at 1 kHz. */
	movl	$pic, %esi
	movl	$(pic_end - pic) / 2, %ecx
3:	movzbl	(%esi), %edx
	movb	1(%esi), %al
	outb	%al, %dx
	addl	$2, %esi
	loop	3b

	cmpl	$0, paging
	je	next
	movl	$PAGEDIR, %edi
	movl	$0x87, %eax		/* 4 MiB pages: present, writable, user */
	movl	$1024, %ecx
4:	movl	%eax, (%edi)
	addl	$0x400000, %eax
	addl	$4, %edi
	loop	4b
	movl	$PAGEDIR, %eax
	movl	%eax, %cr3
	movl	%cr4, %eax
	orl	$0x10, %eax
	movl	%eax, %cr4
	movl	%cr0, %eax
	orl	$0x80010000, %eax
	movl	%eax, %cr0

next:	cli
	cld
	movl	$0x10, %eax
	movl	%eax, %ss
	movl	$STACK, %esp
	movl	%eax, %ds
	movb	$0x20, %al
	outb	%al, $0x20
	incl	count
	movl	count, %eax
	cmpl	chunks, %eax
	jae	done
	imull	$CHUNK, %eax, %ebp
	addl	$soup, %ebp
	imull	$0x9e3779b1, %eax, %eax
	movl	$0x23, %ecx		/* user data selector: for ES always */
	movl	%ecx, %es
	cmpl	$0, user
	je	5f
	pushl	$0x23
	pushl	$STACK - 0x1000
	pushl	$0x202
	pushl	$0x1b
	pushl	%ebp
	movl	%ecx, %ds
	jmp	6f
5:	pushl	$0x202
	pushl	$0x08
	pushl	%ebp
6:	movl	%eax, %edx
	roll	$7, %edx
	movzwl	%dx, %esi
	addl	$SCRATCH, %esi
	movzwl	%ax, %edi
	addl	$SCRATCH, %edi
	movzbl	%dh, %ebx
	addl	$SCRATCH + 0xfff0, %ebx
	movzbl	%ah, %ecx
	iret

done:	movb	$0x41, %al
	outb	%al, $0xf4
7:	hlt
	jmp	7b

pic:	.byte	0x20, 0x11, 0xa0, 0x11, 0x21, 0x20, 0xa1, 0x28, 0x21, 4, 0xa1, 2
	.byte	0x21, 1, 0xa1, 1, 0x21, 0xfe, 0xa1, 0xff
	.byte	0x43, 0x34, 0x40, 0xa9, 0x40, 0x04
pic_end:

	.balign	8
gdt:	.quad	0, 0x00cf9b000000ffff, 0x00cf93000000ffff	/* 8, 10: ring 0 */
	.quad	0x00cffb000000ffff, 0x00cff3000000ffff		/* 1b, 23: ring 3 */
	.quad	0x0000890000000067				/* 28: TSS */
gdtr:	.word	. - gdt - 1
	.long	gdt
idtr:	.word	256 * 8 - 1
	.long	idt
	.balign	8
tss:	.long	0, STACK, 0x10
	.fill	92, 1, 0
	.balign	8
idt:	.fill	256, 8, 0
	.balign	CHUNK
soup:
