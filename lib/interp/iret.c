/* IRET, and the flags instructions PUSHF, POPF, CLI, STI.
 * SDM vol. 2 IRET, POPF; vol. 3, 6.8, 20.2, 7.2.5. */

#include "interp/system.h"

#define FL_ALWAYS	(X86_FL_ARITH | X86_FL_TF | X86_FL_DF | X86_FL_NT)
#define FL_WIDE		(X86_FL_AC | X86_FL_ID)

/* What POPF and IRET at the current privilege may change. */
static uint64_t flags_mask(const struct x86_cpu *c, unsigned opsize)
{
	unsigned iopl = (c->rflags & X86_FL_IOPL) >> 12;
	uint64_t mask = FL_ALWAYS;

	if (!(c->cr0 & X86_CR0_PE) || (c->cpl == 0 && x86_protected(c)))
		mask |= X86_FL_IOPL | X86_FL_IF;
	else if ((c->rflags & X86_FL_VM) || c->cpl <= iopl)
		mask |= X86_FL_IF;	/* V86 came here only with IOPL 3 */
	if (opsize >= 4)
		mask |= FL_WIDE;
	return mask;
}

static void flags_set(struct x86_cpu *c, uint64_t val, uint64_t mask)
{
	c->rflags = (c->rflags & ~mask) | (val & mask) | X86_FL_FIXED;
}

/* V86 without VME: sensitive instructions fault below IOPL 3. */
static bool v86_forbids(const struct x86_cpu *c)
{
	return (c->rflags & X86_FL_VM) && (c->rflags & X86_FL_IOPL) != X86_FL_IOPL;
}

int op_pushf(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t sp = c->gpr[X86_RSP];

	if (v86_forbids(c))
		return raise_gp(c);
	if (stack_push(v, &sp, c->rflags & 0xfcffff, in->opsize) != X86_OK)
		return X86_FAULT;
	stack_commit(v, sp);
	return X86_OK;
}

int op_popf(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t sp = c->gpr[X86_RSP], val, mask;

	if (v86_forbids(c))
		return raise_gp(c);
	if (stack_pop(v, &sp, &val, in->opsize) != X86_OK)
		return X86_FAULT;
	stack_commit(v, sp);
	mask = flags_mask(c, in->opsize);
	if (in->opsize >= 4) {
		mask |= X86_FL_RF;
		val &= ~(uint64_t)X86_FL_RF;
	}
	flags_set(c, val, mask);
	return X86_OK;
}

static bool if_forbidden(const struct x86_cpu *c)
{
	unsigned iopl = (c->rflags & X86_FL_IOPL) >> 12;

	return (c->cr0 & X86_CR0_PE) && c->cpl > iopl;
}

int op_cli(struct vcpu *v, const struct x86_insn *in)
{
	if (if_forbidden(&v->cpu))
		return raise_gp(&v->cpu);
	v->cpu.rflags &= ~(uint64_t)X86_FL_IF;
	return X86_OK;
}

int op_sti(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;

	if (if_forbidden(c))
		return raise_gp(c);
	if (!(c->rflags & X86_FL_IF))
		c->inhibit = true;
	c->rflags |= X86_FL_IF;
	return X86_OK;
}

/* --- IRET -------------------------------------------------------------------- */

struct iframe {
	uint64_t rip, cs, flags;
	uint64_t sp;		/* behind the three */
};

static int iret_real(struct vcpu *v, const struct x86_insn *in,
		     const struct iframe *f)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t mask = flags_mask(c, in->opsize);

	if (f->rip > c->seg[X86_CS].limit)
		return raise_gp(c);
	if (in->opsize >= 4)
		mask |= X86_FL_RF;
	sp_set(c, f->sp);
	seg_load_real(v, X86_CS, (uint16_t)f->cs);
	x86_cpu_update_mode(c);
	ip_set(c, f->rip);
	flags_set(c, f->flags, mask);
	return X86_OK;
}

/* From CPL 0 to V86: six more words, SS:ESP and the data segments. */
static int iret_to_v86(struct vcpu *v, struct iframe *f)
{
	static const uint8_t order[] = { X86_ES, X86_DS, X86_FS, X86_GS };
	struct x86_cpu *c = &v->cpu;
	uint64_t sp = f->sp, esp, ss, sel[4];

	if (stack_pop(v, &sp, &esp, 4) != X86_OK ||
	    stack_pop(v, &sp, &ss, 4) != X86_OK)
		return X86_FAULT;
	for (unsigned i = 0; i < 4; i++)
		if (stack_pop(v, &sp, &sel[i], 4) != X86_OK)
			return X86_FAULT;
	if (f->rip > 0xffff)
		return raise_gp(c);
	c->rflags = (f->flags & 0x3f7fd5) | X86_FL_FIXED;
	c->cpl = 3;
	seg_set_v86(c, X86_CS, (uint16_t)f->cs);
	seg_set_v86(c, X86_SS, (uint16_t)ss);
	for (unsigned i = 0; i < 4; i++)
		seg_set_v86(c, order[i], (uint16_t)sel[i]);
	x86_cpu_update_mode(c);
	c->gpr[X86_RSP] = (uint32_t)esp;
	ip_set(c, f->rip);
	return X86_OK;
}

static int iret_task(struct vcpu *v)
{
	uint16_t link;

	if (v->cpu.long_mode)
		return raise_gp(&v->cpu);
	if (tss_read(v, 0, &link, 2) != X86_OK)
		return X86_FAULT;
	return task_switch(v, link, TASK_IRET, false, 0);
}

static int iret_protected(struct vcpu *v, const struct x86_insn *in,
			  struct iframe *f)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t sp = f->sp, outer_sp = 0, ss = 0, mask;
	unsigned cpl = f->cs & 3;
	struct x86_desc code, stack;
	bool outer, to64;

	if (return_check_cs(v, (uint16_t)f->cs, f->rip, &code) != X86_OK)
		return X86_FAULT;
	outer = cpl > c->cpl || c->code_bits == 64;
	to64 = c->long_mode && (code.seg.attr & X86_SEG_L);
	if (outer && (stack_pop(v, &sp, &outer_sp, in->opsize) != X86_OK ||
		      stack_pop(v, &sp, &ss, in->opsize) != X86_OK ||
		      return_check_ss(v, (uint16_t)ss, cpl, to64, &stack) != X86_OK))
		return X86_FAULT;
	mask = flags_mask(c, in->opsize);
	if (in->opsize >= 4) {
		mask |= X86_FL_RF;
		if (c->cpl == 0)
			mask |= X86_FL_VIF | X86_FL_VIP;
	}
	if (!outer)
		sp_set(c, sp);
	cpl = cpl > c->cpl ? cpl : c->cpl;
	flags_set(c, f->flags, mask);
	if (outer) {
		bool less = cpl > c->cpl;

		cs_set(c, &code, (uint16_t)f->cs, cpl);
		ss_set(c, stack.seg.attr & X86_SEG_NULL ? NULL : &stack,
		       (uint16_t)ss);
		sp_set(c, outer_sp);
		if (less)
			return_drop_segs(c);
	} else {
		cs_set(c, &code, (uint16_t)f->cs, cpl);
	}
	ip_set(c, f->rip);
	return X86_OK;
}

int op_iret(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	struct iframe f;

	interp_serialize();
	if (v86_forbids(c))
		return raise_gp(c);
	c->nmi_masked = false;	/* also when the IRET faults: SDM vol. 3, 6.7.1 */
	if (x86_protected(c) && (c->rflags & X86_FL_NT))
		return iret_task(v);
	f.sp = c->gpr[X86_RSP];
	if (stack_pop(v, &f.sp, &f.rip, in->opsize) != X86_OK ||
	    stack_pop(v, &f.sp, &f.cs, in->opsize) != X86_OK ||
	    stack_pop(v, &f.sp, &f.flags, in->opsize) != X86_OK)
		return X86_FAULT;
	if (!x86_protected(c))
		return iret_real(v, in, &f);
	if ((f.flags & X86_FL_VM) && in->opsize == 4 && c->cpl == 0 &&
	    !c->long_mode)
		return iret_to_v86(v, &f);
	return iret_protected(v, in, &f);
}
