/*
 * The few BIOS calls that the real-mode start of an old Linux kernel makes, or a
 * Multiboot kernel that goes back to real mode, as Xen does: it asks for the
 * memory map, sets a keyboard rate, looks at the video mode.  Whatever else is
 * called returns with the carry flag set.
 *
 * The code is data to us: lib/pc/rmbios.c copies it below 1 MiB and fills in the
 * fields at its start.  Offsets are from rmbios_start, segment registers are the
 * caller's.
 * Spec: Ralf Brown's Interrupt List; ACPI 6.4, section 15.1 for E820.
 */
	.section .rodata
	.globl rmbios_start, rmbios_end
	.balign 16
	.code16
rmbios_start:
	.word	int_default - rmbios_start
	.word	int10 - rmbios_start
	.word	int12 - rmbios_start
	.word	int15 - rmbios_start
	.word	int_hw - rmbios_start
#define FIELD(name)	(name - rmbios_start)
base_kib:	.word 0		/* conventional memory */
low_kib:	.word 0		/* from 1 MiB to 16 MiB, at most 0x3c00 */
high_64k:	.word 0		/* from 16 MiB on, in 64 KiB */
ext_kib:	.word 0		/* from 1 MiB on, at most 0xfc00 */
count:		.word 0		/* entries of the map */
map:		.skip 8 * 20

int_default:
	push	%bp
	mov	%sp, %bp
	orb	$1, 6(%bp)
	pop	%bp
	iret

/* Interrupts of devices: there is no one to serve yet. */
int_hw:	iret

/* Success: the caller's flags with carry clear. */
done:
	push	%bp
	mov	%sp, %bp
	andb	$0xfe, 6(%bp)
	pop	%bp
	iret

/* Video: AH=0E prints on COM1, AH=0F says mode 3 with 80 columns. */
int10:
	cmp	$0x0e, %ah
	je	1f
	cmp	$0x0f, %ah
	jne	done
	mov	$0x5003, %ax
	mov	$0, %bh
	jmp	done
1:	push	%dx
	mov	$0x3f8, %dx
	out	%al, %dx
	pop	%dx
	jmp	done

int12:
	mov	%cs:FIELD(base_kib), %ax
	jmp	done

int15:
	cmp	$0xe820, %ax
	je	e820
	cmp	$0xe801, %ax
	je	e801
	cmp	$0x88, %ah
	jne	fail
	mov	%cs:FIELD(ext_kib), %ax
	jmp	done
fail:	mov	$0x86, %ah
	jmp	int_default

e801:	mov	%cs:FIELD(low_kib), %ax
	mov	%ax, %cx
	mov	%cs:FIELD(high_64k), %bx
	mov	%bx, %dx
	jmp	done

/* EBX: which entry; ES:DI: 20 bytes for it. */
e820:	cmp	$0x534d4150, %edx
	jne	fail
	cmp	%cs:FIELD(count), %bx
	jae	fail
	push	%si
	push	%di
	imul	$20, %bx, %si
	add	$FIELD(map), %si
	mov	$10, %cx
	cld
1:	lodsw	%cs:(%si), %ax
	stosw
	loop	1b
	pop	%di
	pop	%si
	inc	%bx
	cmp	%cs:FIELD(count), %bx
	jb	2f
	xor	%ebx, %ebx
2:	mov	$0x534d4150, %eax
	mov	$20, %ecx
	jmp	done
rmbios_end:
	.code64
	.section .note.GNU-stack, "", @progbits
