/* A guest as a Multiboot kernel at 1 MiB: copies its image to 0x1000. */
	.text
	.code32
	.globl	_start
	.balign	4
	.long	0x1badb002, 0, -0x1badb002
_start:	cli
	cld
	movl	$image, %esi
	movl	$0x1000, %edi
	movl	$((image_end - image + 3) / 4), %ecx
	rep movsl
	movl	$0x1000, %eax
	jmp	*%eax
	.balign	16
image:	.incbin	PAYLOAD
image_end:
