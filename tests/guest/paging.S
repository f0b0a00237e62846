/*
 * Page faults, permissions, accessed and dirty bits, large pages, SMEP, TLB rules: the
 * same table of facts under 2-level and PAE paging.  SDM vol. 3, chapter 4.
 */
#include "guest.inc"

	/* Pages of the test window, mapped one to one unless a test says else. */
	.equ	A, 0x400000
	.equ	B, 0x401000
	.equ	C, 0x402000
	.equ	P, 1
	.equ	W, 2
	.equ	U, 4
	.equ	ACC, 0x20
	.equ	DIRTY, 0x40
	.equ	PS, 0x80

	.globl	guest_main
guest_main:
	print	"2-level"
	call	rt_paging_2level
	call	faults
	call	accessed
	call	restart
	call	crossing
	call	fetch
	call	remap
	call	returns
	call	pse
	call	supervisor
	call	rt_paging_off
	print	"PAE"
	call	rt_paging_pae
	call	faults
	call	accessed
	call	restart
	call	crossing
	call	fetch
	call	remap
	call	returns
	call	large_pae
	call	nx
	call	reserved
	call	supervisor
	call	rt_paging_off
	ret

faults:
	set_pte	A, 0
	pfault	"np_read", 0, A+4, "movl A+4, %eax"
	pfault	"np_write", 2, A+8, "movl %eax, A+8"
	pfault	"np_rmw", 2, A+8, "addl %eax, A+8"
	upfault	"u_np_push", 6, A+0xffc, "movl $A+0x1000, %esp; 99: pushl %eax"
	check	"u_np_push.esp", exc_ESP, $A+0x1000
	upfault	"u_np_read", 4, A+4, "movl A+4, %eax"
	upfault	"u_np_write", 6, A+4, "movl %eax, A+4"
	user
	movl	$A, %ecx
	jmp	*%ecx
	user_end
	check	"u_np_exec.error", exc_ERROR, $4
	check	"u_np_exec.eip", exc_EIP, $A
	check	"u_np_exec.cr2", exc_cr2, $A
	ret

accessed:
	set_pte	A, A+P+W
	upfault	"u_super_read", 5, A, "movb A, %al"
	upfault	"u_super_write", 7, A, "movb %al, A"
	get_pte	A
	check	"u_super.a", %eax, $A+P+W	/* a fault sets no A bit */
	set_pte	A, A+P+U
	upfault	"u_ro_write", 7, A+1, "movb %al, A+1"
	uquiet	"u_ro_read", "movb A+1, %al"
	get_pte	A
	check	"ro.a", %eax, $A+P+U+ACC
	pfault	"wp_write", 3, A+2, "movb %al, A+2"
	pfault	"wp_rmw", 3, A+2, "incb A+2"
	pfault	"wp_cmpxchg", 3, A+4, "movl $0x55, %eax; 99: cmpxchgl %eax, A+4"
	movl	%cr0, %eax
	andl	$0xfffeffff, %eax
	movl	%eax, %cr0
	quiet	"wp0_write", "movb $0x5a, A+2"
	get_pte	A
	check	"wp0.ad", %eax, $A+P+U+ACC+DIRTY
	upfault	"wp0_u_write", 7, A+1, "movb %al, A+1"
	movl	%cr0, %eax
	orl	$0x10000, %eax
	movl	%eax, %cr0
	/* A by reading, D by writing, each again after it was cleared. */
	set_pte	A, A+P+W+U
	movl	A, %eax
	get_pte	A
	check	"read.a", %eax, $A+P+W+U+ACC
	incl	A
	get_pte	A
	check	"write.d", %eax, $A+P+W+U+ACC+DIRTY
	set_pte	A, A+P+W+U
	movb	$1, A
	get_pte	A
	check	"write.ad", %eax, $A+P+W+U+ACC+DIRTY
	set_pte	A, A+P+W+U+ACC
	testb	$1, A
	get_pte	A
	check	"test.d", %eax, $A+P+W+U+ACC
	get_pde	A
	andl	$(ACC|DIRTY), %eax
	check	"pde.a", %eax, $ACC
	/* Rights of both levels count. */
	get_pde	A
	movl	%eax, %ebx
	pushl	$0
	andl	$~(W|U), %eax
	pushl	%eax
	pushl	$A
	call	rt_set_pde
	pfault	"pde_ro", 3, A, "movb %al, A"
	upfault	"pde_super", 5, A, "movb A, %al"
	pushl	$0
	pushl	%ebx
	pushl	$A
	call	rt_set_pde
	ret

/* An instruction that faults has changed nothing. */
restart:
	set_pte	B, 0
	set_pte	A, A+P+W+U
	movl	$0x11, %eax
	movl	$0x22, %ecx
	pfault	"xchg", 2, B, "xchgl %eax, B"
	check	"xchg.eax", exc_EAX, $0x11
	pfault	"xadd", 2, B, "xaddl %eax, B"
	check	"xadd.eax", exc_EAX, $0x11
	pfault	"pop_mem", 2, B, "movl $A, %esp; 99: popl B"
	check	"pop_mem.esp", exc_ESP, $A
	movl	$0x99, A
	pfault	"pop_esp_mem", 2, B, "movl $B-4, %esp; 99: popl (%esp)"
	check	"pop_esp_mem.esp", exc_ESP, $B-4
	/* Which of the eight stores comes first is the processor's affair. */
	ufault	"u_pusha", 14, 6, "movl $B+0x10, %esp; 99: pushal"
	check	"u_pusha.esp", exc_ESP, $B+0x10
	pfault	"popa", 0, B, "movl $B-0x10, %esp; 99: popal"
	check	"popa.esp", exc_ESP, $B-0x10
	check	"popa.eax", exc_EAX, $0x11
	check	"popa.ecx", exc_ECX, $0x22
	upfault	"u_call", 6, B+0xffc, "movl $B+0x1000, %esp; 99: call restart"
	check	"u_call.esp", exc_ESP, $B+0x1000
	pfault	"call_mem", 0, B, "call *B"
	pfault	"ret", 0, B, "movl $B, %esp; 99: ret"
	pfault	"leave", 0, B, "movl $B, %ebp; 99: leave"
	check	"leave.ebp", exc_EBP, $B
	upfault	"u_enter", 6, B+0xffc, "movl $B+0x1000, %esp; movl $0x77, %ebp; 99: enter $8, $0"
	check	"u_enter.ebp", exc_EBP, $0x77
	check	"u_enter.esp", exc_ESP, $B+0x1000
	pfault	"cmpxchg8b", 2, B, "cmpxchg8b B"
	pfault	"bts_far", 2, B+4, "movl $(0x8000+32), %ecx; 99: btsl %ecx, A"
	movl	$0x22, %ecx
	pfault	"shl", 2, B, "stc; 99: shll %cl, B"
	movl	exc_EFLAGS, %eax
	andl	$FL_CF, %eax
	check	"shl.cf", %eax, $FL_CF
	pfault	"setc", 2, B, "setc B"
	pfault	"bound", 0, B, "bound %eax, B"
	pfault	"fild", 0, B, "fildl B"
	pfault	"sgdt", 2, B, "sgdt B-2"
	pfault	"lds", 0, B, "lds B-4, %eax"
	pfault	"iret", 0, B, "movl $B-4, %esp; 99: iretl"
	check	"iret.esp", exc_ESP, $B-4
	/* CR2 keeps what the last page fault put there. */
	fault	"ud", 6, 0, "ud2"
	check	"ud.cr2", exc_cr2, $B
	set_pte	B, B+P+W+U
	ret

/* Accesses across a page end: the address is the first byte that faults, and a
 * write that faults in its second half has not written its first. */
crossing:
	movl	$0x11223344, B-4
	movl	$0x55667788, B
	movl	B-2, %eax
	check	"cross.read", %eax, $0x77881122
	movl	$0xaabbccdd, B-3
	check	"cross.lo", B-4, $0xbbccdd44
	check	"cross.hi", B, $0x556677aa
	set_pte	A, A+P+W+U+ACC
	set_pte	B, B+P+U
	movl	$0x12345678, %eax
	pfault	"cross_ro", 3, B, "movl %eax, B-2"
	check	"cross_ro.lo", B-4, $0xbbccdd44
	set_pte	B, 0
	pfault	"cross_np", 2, B, "movl %eax, B-1"
	check	"cross_np.lo", B-4, $0xbbccdd44
	pfault	"cross_np_read", 0, B, "movl B-3, %eax"
	check	"cross_np_read.eax", %eax, $0x12345678
	pfault	"cross_rmw", 2, B, "lock addl %eax, B-2"
	get_pte	A		/* no store, no D */
	andl	$(ACC|DIRTY), %eax
	check	"cross.d", %eax, $ACC
	movl	$0x12345678, %eax
	fault	"cross_fsave", 14, 2, "fnsave B-100"
	andl	$~0xfff, exc_cr2	/* in which pieces it stores is not said */
	check	"cross_fsave.page", exc_cr2, $B
	set_pte	A, 0
	set_pte	B, B+P+W+U
	pfault	"cross_first", 2, B-2, "movl %eax, B-2"
	check	"cross_first.hi", B, $0x556677aa
	set_pte	A, A+P+W+U
	/* Pages that are neighbours only in linear addresses. */
	set_pte	B, C+P+W+U
	movl	$0x01020304, C
	set_pte	C, C+P+W+U
	movl	$0xdeadbeef, B-2
	check	"alias.hi", C, $0x0102dead
	movl	B-2, %ecx
	check	"alias.read", %ecx, $0xdeadbeef
	lock incl B-2
	check	"alias.inc", C, $0x0102dead
	movl	B-2, %ecx
	check	"alias.inc_read", %ecx, $0xdeadbef0
	set_pte	B, B+P+W+U
	ret

/* Instruction fetch across a page end. */
fetch:
	movb	$0xb8, B-2		/* mov $0x..., %eax ; ret */
	movb	$0x21, B-1
	movb	$0x43, B
	movb	$0x65, B+1
	movb	$0x87, B+2
	movb	$0xc3, B+3
	movl	$B-2, %ecx
	call	*%ecx
	check	"fetch.eax", %eax, $0x87654321
	set_pte	B, 0
	try
	call	*%ecx
	caught
	check	"fetch_np.vector", exc_vector, $14
	check	"fetch_np.eip", exc_EIP, $B-2
	check	"fetch_np.cr2", exc_cr2, $B
	check	"fetch_np.error", exc_ERROR, $0
	set_pte	B, B+P+W+U
	set_pte	A, 0
	try
	call	*%ecx
	caught
	check	"fetch_np1.eip", exc_EIP, $B-2
	check	"fetch_np1.cr2", exc_cr2, $B-2
	/* Ends before the hole: not touched. */
	set_pte	A, A+P+W+U
	set_pte	B, 0
	movb	$0xc3, B-1
	movl	$B-1, %ecx
	quiet	"fetch_last", "call *%ecx"
	/* A jump into a hole: the fault is at the target. */
	try
	movl	$B+4, %ecx
	jmp	*%ecx
	caught
	check	"jump_np.eip", exc_EIP, $B+4
	check	"jump_np.cr2", exc_cr2, $B+4
	set_pte	B, B+P+W+U
	ret

/* What the TLB must not remember. */
/* A page that is mapped anew while a call made from it is under way: the return
 * goes to what stands there then. */
returns:
	set_pte	A, A+P+W+U
	set_pte	B, B+P+W+U
	movl	$0xa1b8d2ff, A		/* call *%edx; movl $0xa1, %eax; ret */
	movl	$0xc3000000, A+4
	movl	$0xb1b8d2ff, B
	movl	$0xc3000000, B+4
	movl	$3, %ebx
1:	movl	$9f, %edx
	call	8f
	check	"returns.same", %eax, $0xa1
	decl	%ebx
	jnz	1b
	movl	$2f, %edx
	call	8f
	check	"returns.invlpg", %eax, $0xb1
	set_pte	A, A+P+W+U
	movl	$9f, %edx
	call	8f
	check	"returns.again", %eax, $0xa1
	movl	$3f, %edx
	call	8f
	check	"returns.cr3", %eax, $0xb1
	set_pte	A, A+P+W+U
	ret
2:	set_pte	A, B+P+W+U
	ret
3:	cmpb	$0, rt_pae
	jne	4f
	movl	$B+P+W+U, 0x101000 + (A >> 12) * 4
	jmp	5f
4:	movl	$B+P+W+U, 0x10a000 + (A >> 12) * 8
5:	movl	%cr3, %eax
	movl	%eax, %cr3
	ret
8:	movl	$A, %eax
	jmp	*%eax
9:	ret

remap:
	movl	$0xa1, A
	movl	$0xb1, B
	movl	A, %eax
	set_pte	A, B+P+W+U
	check	"remap.invlpg", A, $0xb1
	set_pte	A, A+P+W+U
	check	"remap.back", A, $0xa1
	/* Not present is never cached: no INVLPG needed. */
	set_pte	A, 0
	pfault	"hole", 0, A, "movl A, %eax"
	cmpb	$0, rt_pae
	jne	1f
	movl	$A+P+W+U, 0x101000 + (A >> 12) * 4
	jmp	2f
1:	movl	$A+P+W+U, 0x10a000 + (A >> 12) * 8
2:	check	"hole.filled", A, $0xa1
	/* Without INVLPG, but with CR3. */
	cmpb	$0, rt_pae
	jne	1f
	movl	$B+P+W+U, 0x101000 + (A >> 12) * 4
	jmp	2f
1:	movl	$B+P+W+U, 0x10a000 + (A >> 12) * 8
2:	movl	%cr3, %eax
	movl	%eax, %cr3
	check	"remap.cr3", A, $0xb1
	/* A write through one address is seen through the other. */
	movl	$0xb2, A+0x10
	check	"alias.seen", B+0x10, $0xb2
	set_pte	A, A+P+W+U
	/* Global pages go with CR4.PGE. */
	movl	%cr4, %ebx
	movl	%ebx, %eax
	orl	$0x80, %eax
	movl	%eax, %cr4
	set_pte	A, A+P+W+U+0x100
	movl	A, %eax
	cmpb	$0, rt_pae
	jne	1f
	movl	$B+P+W+U, 0x101000 + (A >> 12) * 4
	jmp	2f
1:	movl	$B+P+W+U, 0x10a000 + (A >> 12) * 8
2:	movl	%ebx, %cr4
	check	"pge.flush", A, $0xb1
	set_pte	A, A+P+W+U
	/* Rights taken away and given back, many times, with and without faults. */
	movl	$200, %esi
	movl	$0, exc_count
3:	set_pte	A, A+P+U
	try
	incl	A
	caught
	set_pte	A, A+P+W+U
	try
	incl	A
	caught
	decl	%esi
	jnz	3b
	check	"toggle.faults", exc_count, $200
	check	"toggle.value", A, $0xa1+200
	ret

/* 4 MiB pages, 2-level. */
pse:
	get_pde	A
	movl	%eax, %ebx
	movl	$0x77, 0x400100
	movl	%cr4, %eax
	orl	$0x10, %eax
	movl	%eax, %cr4
	set_pde	A, 0x400000+P+W+U+PS
	check	"pse.read", A+0x100, $0x77
	get_pde	A
	check	"pse.a", %eax, $0x400000+P+W+U+PS+ACC
	movl	$0x78, A+0x3ffffc
	get_pde	A
	check	"pse.ad", %eax, $0x400000+P+W+U+PS+ACC+DIRTY
	set_pde	A, 0x400000+P+U+PS
	pfault	"pse_ro", 3, A+0x3ffffc, "movl %eax, A+0x3ffffc"
	set_pde	A, 0x400000+P+W+PS
	upfault	"pse_super", 5, A+0x1234, "movb A+0x1234, %al"
	set_pde	A, 0x400000+P+W+U+PS+0x200000
	pfault	"pse_reserved", 9, A, "movl A, %eax"
	/* The second half of the directory: the same page again. */
	set_pde	0x800000, 0x400000+P+W+U+PS
	set_pde	A, 0x400000+P+W+U+PS
	check	"pse.alias", 0x800100, $0x77
	set_pde	0x800000, 0
	pushl	$0
	pushl	%ebx
	pushl	$A
	call	rt_set_pde
	ret

/* 2 MiB pages. */
large_pae:
	get_pde	A
	movl	%eax, %ebx
	movl	$0x79, A+0x200
	set_pde	A, 0x400000+P+W+U+PS
	check	"2m.read", A+0x200, $0x79
	movl	$0x7a, A+0x1ffffc
	get_pde	A
	check	"2m.ad", %eax, $0x400000+P+W+U+PS+ACC+DIRTY
	set_pde	A, 0x400000+P+W+U+PS+0x2000
	pfault	"2m_reserved", 9, A, "movl A, %eax"
	pushl	$0
	pushl	%ebx
	pushl	$A
	call	rt_set_pde
	ret

nx:
	movl	$0x80000001, %eax
	cpuid
	testl	$(1 << 20), %edx
	jz	9f
	/* Off: bit 63 is reserved. */
	set_pte	A, A+P+W+U, 0x80000000
	pfault	"nx_off", 9, A, "movl A, %eax"
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x800, %eax
	wrmsr
	set_pte	A, A+P+W+U, 0x80000000
	movb	$0xc3, A
	quiet	"nx_read", "movl A, %eax"
	movl	$A, %ecx
	try
	call	*%ecx
	caught
	check	"nx_exec.vector", exc_vector, $14
	check	"nx_exec.error", exc_ERROR, $0x11
	check	"nx_exec.eip", exc_EIP, $A
	check	"nx_exec.cr2", exc_cr2, $A
	user
	movl	$A, %ecx
	jmp	*%ecx
	user_end
	check	"nx_user.error", exc_ERROR, $0x15
	set_pte	A, 0
	try
	jmp	*%ecx
	caught
	check	"nx_np.error", exc_ERROR, $0x10
	set_pte	A, A+P+W+U
	quiet	"x_exec", "call *%ecx"
	movl	$0xc0000080, %ecx
	rdmsr
	andl	$~0x800, %eax
	wrmsr
9:	ret

reserved:
	set_pte	A, A+P+W+U, 0x00100000	/* bit 52 */
	pfault	"pte_bit52", 9, A, "movl A, %eax"
	pfault	"pte_bit52_w", 0xb, A, "movl %eax, A"
	upfault	"pte_bit52_u", 0xd, A, "movl A, %eax"
	set_pte	A, A+W+U, 0x00100000	/* not present: not looked at */
	pfault	"np_bit52", 0, A, "movl A, %eax"
	set_pte	A, A+P+W+U
	/* Pointers are loaded with CR3, and checked then. */
	movl	$0x23, 0x108020 + 0x40
	movl	%cr3, %ebx
	not_on_tcg 9f
	movl	$0x108060, %ecx
	fault	"pdpte_reserved", 13, 0, "movl %ecx, %cr3"
	movl	%cr3, %eax
	check	"pdpte_reserved.cr3", %eax, %ebx
9:	/* An entry that is not present: a fault at first use. */
	pfault	"pdpte_np", 0, 0x40000000, "movl 0x40000000, %eax"
	pfault	"pdpte_np_w", 2, 0xfffffffc, "movl %eax, 0xfffffffc"
	ret

supervisor:
	movl	$7, %eax
	xorl	%ecx, %ecx
	cpuid
	testl	$(1 << 7), %ebx
	jz	8f
	movl	%cr4, %eax
	orl	$(1 << 20), %eax
	/* The guest itself runs from user pages: give it supervisor ones. */
	call	all_supervisor
	movl	%eax, %cr4
	set_pte	A, A+P+W+U
	movb	$0xc3, A
	movl	$A, %ecx
	quiet	"smep_read", "movb A, %al"
	try
	call	*%ecx
	caught
	check	"smep.vector", exc_vector, $14
	check	"smep.error", exc_ERROR, $0x11
	check	"smep.cr2", exc_cr2, $A
	set_pte	A, A+P+W
	quiet	"smep_super", "call *%ecx"
	movl	%cr4, %eax
	andl	$~(1 << 20), %eax
	movl	%eax, %cr4
8:	ret

all_supervisor:
	pushal
	cmpb	$0, rt_pae
	jne	1f
	movl	$0x101000, %edi
	movl	$4, %edx
	jmp	2f
1:	movl	$0x10a000, %edi
	movl	$8, %edx
2:	movl	$1024, %ecx
3:	andl	$~U, (%edi)
	addl	%edx, %edi
	loop	3b
	movl	%cr3, %eax
	movl	%eax, %cr3
	popal
	ret
