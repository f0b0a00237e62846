#ifndef BT_LAYOUT64_H
#define BT_LAYOUT64_H
/*
 * What translated 64-bit code and glue64.S know by number.
 *
 * While translated 64-bit code runs:
 *   RAX..RDI, R8..R14, RSP  the guest's, whole
 *   R15                     scratch; the guest's is at T_R15
 *   flags                   the guest's CF PF AF ZF SF OF, between any two
 *                           instructions; DF is always 0
 *   FS base                 the C library's, which is how code reaches struct
 *                           bt_tls: a thread-local at the same distance from FS
 *                           in every thread, so that all vCPUs share code
 *   GS base                 the window
 *
 * Why not a register for struct vcpu, as 32-bit code has: each register taken
 * from the guest costs register-rich code dearly, and a signal handler would find
 * FS changed.
 */

/* struct bt_tls: offsets in bytes */
#define T_VCPU		0	/* struct vcpu */
#define T_R15		8	/* the guest's R15 */
#define T_AX		16	/* RAX while flags or an index are in it */
#define T_CX		24
#define T_TMP		32	/* a register that an instruction borrows */
#define T_FL		40	/* flags: AH as LAHF, AL = OF */
#define T_TLB		48	/* the soft TLB's entries of the current mode */
#define T_JC		56	/* the jump cache's entries */
#define T_JTAG		64	/* generation of the current mode << 48, or BT64_JTAG_NONE */
#define T_FSBASE	72	/* the guest's, of this mode */
#define T_GSBASE	80
#define T_SITE		88	/* why and where it left: see bt64_left() */
#define T_UNIT		96	/* struct bt_unit that left */
#define T_RIP		104	/* target of an indirect jump */
#define T_RET		112	/* where glue goes on */
#define T_EA		120
#define T_ARG		128
#define T_FPU_FN	136
#define T_EXIT		144	/* glue is out of rel32 reach: its addresses */
#define T_TLB_MISS	152
#define T_CALLOUT	160
#define T_DX		168
#define T_MASK		176	/* the window's: wide_mask() */
#define T_NMASK		184	/* ~T_MASK */
#define T_OLD		192	/* what a shift was given, or registers, for their flags */
#define T_WINDOW	200	/* the GS base */
#define T_DI		208	/* RDI and RSI as a REP began */
#define T_SI		216
#define T_OLD2		224
#define T_FLAGS		232	/* flags, as at T_FL, while they are lost */
#define T_LOOP		240	/* registers that a loop put away: BT_AWAY words */
#define T_SIZE		320

/* With this at T_JTAG nothing hits: no address, of which bits 47 and 63 are the same, nor
 * an empty entry, which is 0. */
#define BT64_JTAG_NONE	0x8000000000000000

/* T_SITE at an exit: reason << 24 | an offset or a number in bits 0-15; at a TLB
 * miss: number of the site << 22 | BT_MISS_* << 14 | offset of the lookup */
#define TS_REASON	24
#define TS_SITE		22
#define TS_MISS		14
#endif
