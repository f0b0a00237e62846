#ifndef INTERP_SYSTEM_H
#define INTERP_SYSTEM_H
/* What the files of the interpreter's system half share. */

#include "interp/exec.h"
#include "interp/interp.h"

/* --- exceptions ----------------------------------------------------------- */

/* Raise with a selector as the error code. */
static inline int raise_sel(struct x86_cpu *c, uint8_t vector, uint16_t sel)
{
	return x86_raise_err(c, vector, sel & 0xfffc);
}

static inline int raise_gp(struct x86_cpu *c)
{
	return x86_raise_err(c, X86_EXC_GP, 0);
}

static inline int raise_ud(struct x86_cpu *c)
{
	return x86_raise(c, X86_EXC_UD);
}

/* --- descriptors ---------------------------------------------------------- */

static inline bool sel_null(uint16_t sel)
{
	return !(sel & 0xfffc);
}

static inline unsigned attr_dpl(uint32_t attr)
{
	return attr >> 5 & 3;
}

static inline bool attr_code(uint32_t attr)
{
	return (attr & (X86_SEG_S | X86_SEG_CODE)) == (X86_SEG_S | X86_SEG_CODE);
}

static inline bool attr_conforming(uint32_t attr)
{
	return (attr & (X86_SEG_S | X86_SEG_CODE | X86_SEG_DC)) ==
		(X86_SEG_S | X86_SEG_CODE | X86_SEG_DC);
}

static inline bool attr_writable_data(uint32_t attr)
{
	return (attr & (X86_SEG_S | X86_SEG_CODE | X86_SEG_RW)) ==
		(X86_SEG_S | X86_SEG_RW);
}

/* The type of a system descriptor (S clear), or 0x10 and more for others. */
static inline unsigned attr_type(uint32_t attr)
{
	return attr & (X86_SEG_S | X86_SEG_TYPE);
}

enum {	/* SDM vol. 3 table 3-2 */
	DESC_TSS16 = 1, DESC_LDT = 2, DESC_TSS16_BUSY = 3, DESC_CALL16 = 4,
	DESC_TASK = 5, DESC_INT16 = 6, DESC_TRAP16 = 7, DESC_TSS32 = 9,
	DESC_TSS32_BUSY = 11, DESC_CALL32 = 12, DESC_INT32 = 14,
	DESC_TRAP32 = 15,
};

/* Canonical form, 48 bits. */
static inline bool canonical(uint64_t a)
{
	return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

/* Set the accessed bit in the table if it is clear. */
int desc_accessed(struct vcpu *v, struct x86_desc *d);
/* Set or clear the busy bit of a TSS descriptor. */
int desc_busy(struct vcpu *v, const struct x86_desc *d, bool busy);

/* A stack segment descriptor for the given CPL; faults with vector (#GP of
 * MOV SS and returns, #TS of inner stacks), #SS when not present. */
int desc_stack(struct vcpu *v, uint16_t sel, unsigned cpl, uint8_t vector,
	       struct x86_desc *d);

/* Does [off, off+len) lie inside the segment?  64-bit code: canonical. */
bool seg_holds(const struct x86_cpu *c, const struct x86_seg *s, bool long64,
	       uint64_t off, unsigned len);

void seg_set_null(struct x86_cpu *c, unsigned seg, uint16_t sel);
/* Flat segments of SYSCALL and friends.  bits: 32 or 64. */
void seg_set_flat_cs(struct x86_cpu *c, uint16_t sel, unsigned bits);
void seg_set_flat_ss(struct x86_cpu *c, uint16_t sel);
/* A V86 segment register. */
void seg_set_v86(struct x86_cpu *c, unsigned seg, uint16_t sel);

/* CS := descriptor at privilege cpl; mode fields follow. */
void cs_set(struct x86_cpu *c, const struct x86_desc *d, uint16_t sel,
	    unsigned cpl);
/* SS := descriptor, or null in 64-bit mode when d is NULL. */
void ss_set(struct x86_cpu *c, const struct x86_desc *d, uint16_t sel);
/* (E|R)SP := sp as the stack's size has it. */
void sp_set(struct x86_cpu *c, uint64_t sp);
/* RIP := rip, wrapped to the code size. */
void ip_set(struct x86_cpu *c, uint64_t rip);

/* --- stacks --------------------------------------------------------------- */

/* A stack that is not (yet) in SS. */
struct stack {
	struct x86_desc desc;	/* desc.seg: the stack segment */
	bool null;		/* SS := null (64-bit) */
	bool inner;		/* another than the current one */
	uint64_t sp;
	unsigned bytes;		/* stack_bytes of it */
	unsigned cpl;		/* with whose privilege it is written */
};

/* The current stack; the TSS's stack for cpl (#TS on any fault). */
void stack_current(struct vcpu *v, struct stack *st);
int stack_of_tss(struct vcpu *v, unsigned cpl, struct stack *st);

/*
 * Push n values of size bytes, the first highest; nothing is written unless all
 * can be.  st->sp moves.
 */
int stack_frame(struct vcpu *v, struct stack *st, const uint64_t *vals,
		unsigned n, unsigned size);

/* SS:SP := *st, with SS of privilege st->cpl. */
void stack_enter(struct vcpu *v, const struct stack *st);

/* --- returns (far.c), used by RETF and IRET ------------------------------- */

/* Check the CS of a return; *d is its descriptor.  Privilege becomes cs & 3. */
int return_check_cs(struct vcpu *v, uint16_t cs, uint64_t rip, struct x86_desc *d);
/* After a return to an outer level: null what it may not use. */
void return_drop_segs(struct x86_cpu *c);
/* Check SS of a return to cs (null allowed in 64-bit code below CPL 3). */
int return_check_ss(struct vcpu *v, uint16_t ss, unsigned cpl, bool to64,
		    struct x86_desc *d);

#define DR7_GD	(1u << 13)	/* cleared when a #DB is delivered */

/* --- control.c ------------------------------------------------------------ */

void sys_flush(struct vcpu *v, enum vcpu_flush what, uint64_t gva);
/* MOV CR3 with all its checks and effects. */
int cr3_set(struct vcpu *v, uint64_t val);

/* --- msr.c ---------------------------------------------------------------- */

int msr_read(struct vcpu *v, uint32_t msr, uint64_t *val);
int msr_write(struct vcpu *v, uint32_t msr, uint64_t val);

/* --- task.c --------------------------------------------------------------- */

/* Read from the current TSS; #TS with TR's selector beyond its limit. */
int tss_read(struct vcpu *v, uint32_t off, void *buf, unsigned len);

static inline bool tss_is32(const struct x86_cpu *c)
{
	return c->tr.attr & 8;
}
#endif
