#ifndef BT_LAYOUT_H
#define BT_LAYOUT_H
/*
 * What translated code and glue.S know by number: registers, and the hot words
 * at the start of struct vcpu.  Checked by static assertions in state.c.
 *
 * While translated code runs (16 and 32-bit guests):
 *   RAX RCX RDX RBX RBP RSI RDI  the guest's EAX..EDI, upper halves zero
 *   RSP                          the guest's ESP, as plain data
 *   R15                          struct vcpu
 *   R12                          saved arithmetic flags (see emit_flags_save)
 *   R8-R11 R13 R14               scratch
 *   GS base                      the window, FS base: the C library's
 *   CF PF AF ZF SF OF            the guest's; DF is always 0 (a guest with DF
 *                                set runs translated code without string
 *                                instructions, DF being part of the mode)
 */

/* hot[]: index * 8 is the offset from R15 */
#define H_HOST_RSP	0
#define H_IF		1	/* EFLAGS.IF of the guest: 0 or 0x200 */
#define H_SYSFLAGS	2	/* the flags that are neither arithmetic nor IF (nor in H_AC) */
#define H_JCACHE	3	/* the jump cache */
#define H_JTAG		31	/* generation of the current mode << 32 */
#define H_REASON	4	/* enum bt_exit */
#define H_ARG		5	/* its argument */
#define H_FLAGS		6	/* flags at the exit: AH as LAHF, AL = OF */
#define H_FPU_LOADED	7	/* the host's registers hold the guest's FPU state */
#define H_FPU_FN	8	/* where units with FPU code jump first */
#define H_GSBASE	9	/* window of the current mode */
#define H_XSAVE		10	/* &cpu.xsave */
#define H_XMASK		11	/* state components: XCR0 & 7 */
#define H_MXCSR		12	/* the C library's MXCSR */
#define H_IN_TC		13	/* translated code is running: for the signal handler */
#define H_EA		14	/* saved across slow paths */
#define H_RET		15
#define H_EIP		16
#define H_AX		17
#define H_CX		18
#define H_DX		19
#define H_SI		20
#define H_DI		21
#define H_SP		22
#define H_HOSTGS	23
#define H_R13		24
#define H_FSBAD		33	/* not 0: FS is no writable 4 GiB segment */
#define H_GSBAD		34
#define H_CALLOUT	32
#define H_R14		25
#define H_BX		27
#define H_EXIT		28	/* glue is out of rel32 reach: its addresses */
#define H_EXIT_SAVED	29
#define H_TLB_MISS	30
#define H_LOOKUP	35
#define H_KICK		26	/* a kick came: do not stay in translated code */
/* BT_M_SEG: the last offset that may be read (+1: written) by the segment's
 * number * 2; -1: the interpreter is to look at it */
#define H_SEG_LAST	36
#define H_RETURNS	48	/* return cache: RET reads it here, ... */
#define H_RETURNS_W	49	/* ... and CALL writes it here */
#define H_AC		50	/* 64-bit code: EFLAGS.AC; else it is in H_SYSFLAGS */

#define V_GPR		448	/* offsetof(struct vcpu, cpu.gpr) */
#define V_RIP		(V_GPR + 128)
#define V_RFLAGS	(V_GPR + 136)

/* The jump cache, see unit.h: its size, and H_JTAG under which nothing hits. */
#define BT_JC_BITS	12
#define BT_JTAG_NONE	0xffffffff00000000

#define X_LEGACY_MXCSR	24
#define X_XSTATE_BV	512

/* enum bt_exit, also used by glue.S */
#define BT_EXIT_LINK	1	/* direct jump not linked: arg = struct bt_link * */
#define BT_EXIT_LOOKUP	2	/* indirect jump missed the jump cache */
#define BT_EXIT_STEP	3	/* the interpreter is to execute the instruction at eip */
#define BT_EXIT_REQ	4	/* a kick: look at vcpu->req */
#define BT_EXIT_STI	5	/* interrupts came on with one pending, after a shadow */
#define BT_EXIT_HOT	6	/* arg = struct bt_unit *: promote it */
#define BT_EXIT_FAULT	7	/* signal at eip; arg = signal site */
#define BT_EXIT_LOOP	8	/* run the string instruction at eip in C */
#define BT_EXIT_RAISE	9	/* the exception in v->cpu.exc is to be delivered */
#define BT_EXIT_ICACHE	10	/* indirect jump new to its inline cache: arg = struct bt_unit * */
#define BT_EXIT_KINDS	11

/* what bt_tlb_miss_c() is told */
#define BT_MISS_WRITE	1
#define BT_MISS_FP	2	/* a pending x87 exception comes first */
#define BT_MISS_ALIGN	2	/* from this bit on, 6 bits: address bits that must be 0 */
#define BT_MISS_SIZE	8	/* from this bit on: bytes less 1 */

/* what bt_callout_c() returns */
#define BT_CALLOUT_ON	0	/* done: go on in the unit */
#define BT_CALLOUT_FAULT 1	/* it raised an exception */
#define BT_CALLOUT_OUT	2	/* done: leave, something changed */
#endif
