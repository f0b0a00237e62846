/*
 * The BIOS extension of a BusLogic BT-958, in real mode: SeaBIOS has no driver for it.
 *
 * SeaBIOS copies it below 1 MiB once for each adapter and calls it at offset 3, where it
 * looks for disks and makes a PnP header for each.  Of those SeaBIOS calls the boot
 * connection vectors, in boot order: the disk then gets the next drive number of INT 13h.
 * From then on the copy is read-only, so that a call has its mailboxes and its command
 * block on the caller's stack, and the adapter forgets about them at the next.
 *
 * Offsets are from blrom_start.  Whoever changes bytes of it afterwards puts the sum right.
 * Spec: Plug and Play BIOS 1.0A, 3.2; BIOS Boot Specification 1.01, 6.1; Phoenix,
 * Enhanced Disk Drive 1.1; PCI BIOS 2.1 (INT 1Ah); buslogic.h has the adapter's.
 */
	.section .rodata
	.globl blrom_start, blrom_end
	.balign	512
	.code16
#define AT(label)	(label - blrom_start)

/* The adapter's ports: control and status, command and data, interrupt. */
#define CONTROL		0
#define COMMAND		1
#define INTERRUPT	2
#define SOFT_RESET	0x40
#define INT_RESET	0x20
#define READY		0x10
#define INT_VALID	0x80
#define INT_IN		0x01
#define INT_DONE	0x04
#define CMD_START	0x02
#define CMD_INTERRUPTS	0x25
#define CMD_MAILBOXES	0x81

/* A job, at SS:BP: an outgoing and an incoming mailbox, a command control block, data of
 * the adapter's own commands.  Behind it lies what int13 saved. */
#define OUT		0
#define OUT_CODE	7
#define IN		8
#define IN_CODE		15
#define CCB		16
#define CCB_FLAGS	(CCB + 1)
#define CCB_CDB_LEN	(CCB + 2)
#define CCB_SENSE_LEN	(CCB + 3)
#define CCB_LENGTH	(CCB + 4)
#define CCB_DATA	(CCB + 8)
#define CCB_TARGET	(CCB + 16)
#define CDB		(CCB + 18)
#define DATA		56
#define DATA_LEN	36
#define JOB		(DATA + DATA_LEN)
#define FROM_DISK	0x08
#define TO_DISK		0x10
#define NO_DATA		0x18

#define SI_		(JOB + 4)
#define BX_		(JOB + 16)
#define DX_		(JOB + 20)
#define CX_		(JOB + 24)
#define AX_		(JOB + 28)
#define AH_		(JOB + 29)
#define ES_		(JOB + 32)
#define DS_		(JOB + 34)
#define FLAGS_		(JOB + 40)

/* BIOS data, in segment 0 */
#define INT13		0x4c
#define LAST_STATUS	0x474
#define DRIVES		0x475

/* How INT 13h ends */
#define ERROR_REQUEST	0x01
#define ERROR_SECTOR	0x04
#define ERROR_CONTROLLER 0x20

#define DISKS		15
#define PNP_LEN		32
#define PNP_NEXT	6
#define PNP_SUM		9
#define PNP_BCV		22
#define NAME_LEN	40

/* What is known of a disk, DS:DI */
#define D_DRIVE		0	/* of INT 13h; 0: none yet */
#define D_TARGET	1
#define D_HEADS		2
#define D_SPT		3
#define D_BLOCKS	4
#define D_LEN		8

blrom_start:
	.word	0xaa55
	.byte	AT(blrom_end) / 512
	jmp	init
	.org	blrom_start + 6
sum:	.byte	0		/* set by blrom_build(), and by init */
	.org	blrom_start + 0x1a
	.word	AT(pnp)

port:	.word	0
old13:	.long	0		/* 0: INT 13h is not ours yet */
disks:	.skip	DISKS * D_LEN

	.balign	16
pnp:
	.set	n, 0
	.rept	DISKS
	.ascii	"$PnP"
	.byte	1, PNP_LEN / 16
	.word	AT(pnp) + (n + 1) * PNP_LEN	/* the next one; the last: 0 */
	.byte	0, 0				/* then its sum */
	.long	0
	.word	AT(maker), AT(names) + n * NAME_LEN
	.byte	1, 0, 0				/* mass storage, SCSI */
	.byte	0x14				/* may boot; needs to be called */
	.word	AT(connect) + n * 4
	.word	0, 0, 0, 0
	.set	n, n + 1
	.endr
maker:	.asciz	"BusLogic"
model:	.ascii	"BT-958 ID "
	.set	MODEL_LEN, . - model
names:	.skip	DISKS * NAME_LEN

/* Boot connection vectors of the disks. */
connect:
	.set	n, 0
	.rept	DISKS
	push	$n
	jmp	1f
	.org	connect + (n + 1) * 4
	.set	n, n + 1
	.endr
1:	pushal
	push	%ds
	mov	%sp, %bp
	push	$0
	pop	%ds
	imul	$D_LEN, 34(%bp), %di
	mov	DRIVES, %al
	incb	DRIVES
	or	$0x80, %al
	mov	%al, %cs:AT(disks) + D_DRIVE(%di)
	cmpl	$0, %cs:AT(old13)
	jne	2f
	mov	INT13, %eax
	mov	%eax, %cs:AT(old13)
	movw	$AT(int13), INT13
	mov	%cs, INT13 + 2
2:	pop	%ds
	popal
	add	$2, %sp
	xor	%ax, %ax
	lret

/* --- the adapter: DX is its first port, BP the job ----------------------------------- */

/* AL to the command port, when that takes one. */
put:	push	%ax
1:	in	%dx, %al
	test	$READY, %al
	jz	1b
	pop	%ax
more:	inc	%dx		/* parameters are taken at once */
	out	%al, %dx
	dec	%dx
	ret

/* Wait for an interrupt of the kind AH; clear it, and others before it. */
await:	add	$INTERRUPT, %dx
	in	%dx, %al
	sub	$INTERRUPT, %dx
	test	$INT_VALID, %al
	jz	await
	push	%ax
	mov	$INT_RESET, %al
	out	%al, %dx
	pop	%ax
	test	%ah, %al
	jz	await
	ret

/* EAX = linear address of the job */
linear:	push	%ebx
	xor	%eax, %eax
	mov	%ss, %ax
	shl	$4, %eax
	movzwl	%bp, %ebx
	add	%ebx, %eax
	pop	%ebx
	ret

/* Run the command block in the job on the disk DI.  CF: it did not go well. */
run:	mov	D_TARGET(%di), %al
	mov	%al, CCB_TARGET(%bp)
	movb	$1, CCB_SENSE_LEN(%bp)	/* none */
	mov	$4, %cx			/* once the disk says that it was reset */
1:	push	%cx
	call	once
	pop	%cx
	jnc	2f
	loop	1b
	stc
2:	ret

once:	mov	AT(port), %dx
	mov	$CMD_INTERRUPTS, %al
	call	put
	xor	%al, %al
	call	more
	mov	$INT_DONE, %ah
	call	await
	mov	$CMD_MAILBOXES, %al
	call	put
	mov	$1, %al
	call	more
	call	linear
	push	%eax
	mov	$4, %cx
1:	call	more
	shr	$8, %eax
	loop	1b
	mov	$INT_DONE, %ah
	call	await
	pop	%eax
	add	$CCB, %eax
	mov	%eax, OUT(%bp)
	movb	$1, OUT_CODE(%bp)
	movb	$0, IN_CODE(%bp)
	mov	$CMD_START, %al
	call	put
	mov	$INT_IN, %ah
	call	await
	cmpb	$2, IN_CODE(%bp)	/* 1: well, others: not */
	cmc
	ret

/* Make it an empty job: a command CH of 10 bytes, the data's direction CL. */
clear:	push	%es
	push	%di
	push	%cx
	push	%ss
	pop	%es
	mov	%bp, %di
	mov	$JOB / 4, %cx
	xor	%eax, %eax
	cld
	rep stosl
	pop	%cx
	pop	%di
	pop	%es
	mov	%cl, CCB_FLAGS(%bp)
	mov	%ch, CDB(%bp)
	movb	$10, CCB_CDB_LEN(%bp)
	ret

/* --- what SeaBIOS calls first --------------------------------------------------------- */

/* AX: the PCI function. */
init:	pushal
	push	%ds
	push	%es
	push	%cs
	pop	%ds
	push	%cs
	pop	%es
	sub	$JOB, %sp
	mov	%sp, %bp
	mov	%ax, %bx
	mov	$0xb10a, %ax		/* read of its configuration ... */
	mov	$0x10, %di		/* ... base address register 0 */
	int	$0x1a
	and	$0xfffc, %cx
	mov	%cx, AT(port)
	mov	%cx, %dx
	mov	$SOFT_RESET, %al
	out	%al, %dx
	mov	$AT(disks), %di
	mov	$AT(names), %bx
	xor	%ax, %ax
1:	mov	%al, D_TARGET(%di)
	push	%ax
	call	find
	pop	%ax
	jc	2f
	add	$D_LEN, %di
	add	$NAME_LEN, %bx
2:	inc	%ax
	cmp	$7, %al			/* the adapter's own */
	je	2b
	cmp	$16, %al
	jne	1b
	call	headers
	add	$JOB, %sp
	pop	%es
	pop	%ds
	popal
	xor	%ax, %ax
	lret

/* Is DI's target a disk with blocks of 512 bytes?  Its name goes to BX.  CF: no. */
find:	mov	$0x12 << 8 | FROM_DISK, %cx	/* INQUIRY */
	call	clear
	mov	$36, %al
	mov	%al, CDB + 4(%bp)
	movb	$6, CCB_CDB_LEN(%bp)
	call	ask
	jc	1f
	cmpb	$1, DATA(%bp)			/* 0: a disk, and it is there */
	cmc
	jc	1f
	call	name
	mov	$0x25 << 8 | FROM_DISK, %cx	/* READ CAPACITY */
	call	clear
	mov	$8, %al
	call	ask
	jc	1f
	cmpl	$0x20000, DATA + 4(%bp)		/* 512, the highest byte first */
	stc
	jne	1f
	mov	DATA(%bp), %eax
	bswap	%eax
	add	$1, %eax
	sbb	$0, %eax
	mov	%eax, D_BLOCKS(%di)
	mov	$255 | 63 << 8, %cx		/* as the board translates */
	cmp	$2 << 21, %eax
	jae	2f
	mov	$128 | 32 << 8, %cx
	cmp	$1 << 21, %eax
	jae	2f
	mov	$64 | 32 << 8, %cx
2:	mov	%cx, D_HEADS(%di)
	clc
1:	ret

/* Run a job that fills AL bytes of its data. */
ask:	mov	%al, CCB_LENGTH(%bp)
	call	linear
	add	$DATA, %eax
	mov	%eax, CCB_DATA(%bp)
	jmp	run

/* BX: the model, the target, and what INQUIRY says of vendor and product. */
name:	push	%di
	mov	D_TARGET(%di), %al
	mov	%bx, %di
	mov	$AT(model), %si
	mov	$MODEL_LEN, %cx
	rep movsb
	cmp	$10, %al
	jb	1f
	movb	$'1', (%di)
	inc	%di
	sub	$10, %al
1:	add	$'0', %al
	stosb
	mov	$' ', %al
	stosb
	mov	%bp, %si
	add	$DATA + 8, %si
	mov	$24, %cx
	rep movsb	%ss:(%si), %es:(%di)
	pop	%di
	ret

/* End the list of headers where that of disks ends, DI, and put all sums right. */
headers:
	sub	$AT(disks), %di
	jnz	1f
	mov	%di, AT(pnp) + PNP_BCV
	mov	$D_LEN, %di
1:	shl	$2, %di			/* D_LEN to PNP_LEN */
	movw	$0, AT(pnp) - PNP_LEN + PNP_NEXT(%di)
	mov	$AT(pnp), %si
	mov	$DISKS, %dl
2:	mov	$PNP_LEN, %cx
	lea	PNP_SUM(%si), %di
	call	total
	dec	%dl
	jnz	2b
	xor	%si, %si
	mov	$AT(blrom_end), %cx
	mov	$AT(sum), %di
/* Change the byte DI so that CX bytes from SI on have the sum 0; SI is then behind them. */
total:	xor	%ah, %ah
1:	lodsb
	add	%al, %ah
	loop	1b
	sub	%ah, (%di)
	ret

/* --- INT 13h ----------------------------------------------------------------------------- */

int13:	push	%ds
	push	%es
	pushal
	push	%cs
	pop	%ds
	sub	$JOB, %sp
	mov	%sp, %bp
	cld
	mov	$AT(disks), %di
	mov	$DISKS, %cx
	test	$0x80, %dl
	jz	2f
1:	cmp	%dl, D_DRIVE(%di)
	je	3f
	add	$D_LEN, %di
	loop	1b
2:	add	$JOB, %sp
	popal
	pop	%es
	pop	%ds
	ljmp	*%cs:AT(old13)
3:	mov	$AT(functions), %si
4:	lodsb
	mov	%al, %dl
	lodsw
	mov	%ax, %bx
	lodsw
	mov	%ax, %cx
	cmp	AH_(%bp), %dl
	je	5f
	cmp	$0xff, %dl
	jne	4b
5:	jmp	*%bx

#define FUNCTION(ah, label, command) .byte ah; .word AT(label), command
functions:
	FUNCTION(0x00, ok, 0)
	FUNCTION(0x01, last, 0)
	FUNCTION(0x02, chs, 0x28 << 8 | FROM_DISK)
	FUNCTION(0x03, chs, 0x2a << 8 | TO_DISK)
	FUNCTION(0x04, chs, 0x2f << 8 | NO_DATA)
	FUNCTION(0x08, params, 0)
	FUNCTION(0x09, ok, 0)
	FUNCTION(0x0c, ok, 0)
	FUNCTION(0x0d, ok, 0)
	FUNCTION(0x10, ok, 0)
	FUNCTION(0x11, ok, 0)
	FUNCTION(0x14, ok, 0)
	FUNCTION(0x15, type, 0)
	FUNCTION(0x41, present, 0)
	FUNCTION(0x42, extended, 0x28 << 8 | FROM_DISK)
	FUNCTION(0x43, extended, 0x2a << 8 | TO_DISK)
	FUNCTION(0x44, extended, 0x2f << 8 | NO_DATA)
	FUNCTION(0x47, ok, 0)
	FUNCTION(0x48, parameters, 0)
	FUNCTION(0xff, bad, 0)

bad:	mov	$ERROR_REQUEST, %ah
	jmp	end
last:	push	$0
	pop	%ds
	mov	LAST_STATUS, %ah
	jmp	end
ok:	xor	%ah, %ah
/* AH: how it went, 0 for well. */
end:	push	$0
	pop	%ds
	mov	%ah, LAST_STATUS
	mov	%ah, AH_(%bp)
	neg	%ah			/* CF: it was not 0 */
leave:	setc	%al
	andb	$0xfe, FLAGS_(%bp)
	or	%al, FLAGS_(%bp)
	mov	%bp, %sp
	add	$JOB, %sp
	popal
	pop	%es
	pop	%ds
	iret

/* AL sectors at ES:BX; cylinder CH and CL's upper bits, head DH, sector CL from 1 on. */
chs:	mov	CX_(%bp), %ax
	xchg	%al, %ah
	shr	$6, %ah
	movzwl	%ax, %esi
	movzbl	D_HEADS(%di), %edx
	movzbl	DX_ + 1(%bp), %eax
	cmp	%edx, %eax
	jae	bad
	imul	%edx, %esi
	add	%eax, %esi
	movzbl	D_SPT(%di), %edx
	imul	%edx, %esi
	movzbl	CX_(%bp), %eax
	and	$0x3f, %al
	jz	bad
	cmp	%dl, %al
	ja	bad
	lea	-1(%esi, %eax), %esi
	movzbw	AX_(%bp), %bx
	test	%bx, %bx
	jz	bad
	movzwl	ES_(%bp), %eax
	shl	$4, %eax
	movzwl	BX_(%bp), %edx
	add	%edx, %eax
	call	transfer
	jnc	end
	movb	$0, AX_(%bp)
	jmp	end

/* DS:SI: a packet with length, number of sectors, where to, where from */
extended:
	mov	DS_(%bp), %es
	mov	SI_(%bp), %si
	cmpb	$16, %es:(%si)
	jb	bad
	cmpl	$0, %es:12(%si)
	jne	far
	movzwl	%es:6(%si), %eax
	shl	$4, %eax
	movzwl	%es:4(%si), %edx
	add	%edx, %eax
	mov	%es:2(%si), %bx
	mov	%es:8(%si), %esi
	test	%bx, %bx
	jz	ok
	call	transfer
	jnc	end
	mov	SI_(%bp), %si
	movw	$0, %es:2(%si)
	jmp	end
far:	mov	$ERROR_SECTOR, %ah
	jmp	end

/* The command CH, data in direction CL, from sector ESI on, BX of them, at the linear
 * address EAX.  Returns how it went in AH, and in CF. */
transfer:
	movzwl	%bx, %edx
	add	%esi, %edx
	jc	1f
	cmp	%edx, D_BLOCKS(%di)
	jb	1f
	push	%eax
	call	clear
	popl	CCB_DATA(%bp)
	bswap	%esi
	mov	%esi, CDB + 2(%bp)
	movzwl	%bx, %eax
	xchg	%bl, %bh
	mov	%bx, CDB + 7(%bp)
	cmp	$NO_DATA, %cl
	je	2f
	shl	$9, %eax
	mov	%eax, CCB_LENGTH(%bp)
2:	call	run
	mov	$0, %ah
	jnc	3f
	mov	$ERROR_CONTROLLER, %ah
3:	ret
1:	mov	$ERROR_SECTOR, %ah
	stc
	ret

/* EAX = cylinders, as many as there are */
cylinders:
	movzbl	D_HEADS(%di), %eax
	movzbl	D_SPT(%di), %ecx
	imul	%eax, %ecx
	mov	D_BLOCKS(%di), %eax
	xor	%edx, %edx
	div	%ecx
	ret

params:	call	cylinders
	cmp	$1024, %eax
	jb	1f
	mov	$1024, %ax
1:	sub	$1, %ax			/* the last one's number */
	adc	$0, %ax
	shl	$6, %ah
	or	D_SPT(%di), %ah
	xchg	%al, %ah
	mov	%ax, CX_(%bp)
	mov	D_HEADS(%di), %ah
	dec	%ah
	push	$0
	pop	%ds
	mov	DRIVES, %al
	mov	%ax, DX_(%bp)
	movb	$0, AX_(%bp)
	movb	$0, BX_(%bp)
	jmp	ok

type:	mov	D_BLOCKS(%di), %eax
	mov	%ax, DX_(%bp)
	shr	$16, %eax
	mov	%ax, CX_(%bp)
	movb	$3, AH_(%bp)		/* a hard disk */
	clc
	jmp	leave

present:
	cmpw	$0x55aa, BX_(%bp)
	jne	bad
	movw	$0xaa55, BX_(%bp)
	movw	$1, CX_(%bp)		/* packets */
	movb	$0x21, AH_(%bp)
	clc
	jmp	leave

parameters:
	mov	DS_(%bp), %es
	mov	SI_(%bp), %si
	cmpw	$26, %es:(%si)
	jb	bad
	movl	$26 | 2 << 16, %es:(%si)	/* its length; geometry is right */
	call	cylinders
	mov	%eax, %es:4(%si)
	movzbl	D_HEADS(%di), %eax
	mov	%eax, %es:8(%si)
	movzbl	D_SPT(%di), %eax
	mov	%eax, %es:12(%si)
	mov	D_BLOCKS(%di), %eax
	mov	%eax, %es:16(%si)
	movl	$0, %es:20(%si)
	movw	$512, %es:24(%si)
	jmp	ok

	.balign	512
blrom_end:
	.code64
	.section .note.GNU-stack, "", @progbits
