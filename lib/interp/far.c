/* Far transfers: JMP, CALL, RET through code segments, gates and tasks.
 * SDM vol. 2 JMP, CALL, RET; vol. 3, 5.8. */

#include "interp/system.h"

#include <string.h>

#include "base/le.h"

static uint64_t size_mask(unsigned size)
{
	return size == 8 ? ~0ull : size == 4 ? 0xffffffff : 0xffff;
}

/* The far pointer operand: ptr16:xx or m16:xx. */
static int far_target(struct vcpu *v, const struct x86_insn *in, uint16_t *sel,
		      uint64_t *off)
{
	uint8_t buf[10] = { 0 };

	if (in->o[0].kind == X86_O_FAR) {
		*sel = (uint16_t)in->imm2;
		*off = (uint64_t)in->imm & size_mask(in->opsize);
		return X86_OK;
	}
	if (seg_read(v, in->seg, interp_ea(v, in), buf, in->opsize + 2u) != X86_OK)
		return X86_FAULT;
	*off = 0;
	memcpy(off, buf, in->opsize);
	*sel = le16_get(buf + in->opsize);
	return X86_OK;
}

/* May rip be executed in the code segment d? */
static int code_check_ip(struct vcpu *v, const struct x86_desc *d, uint64_t rip)
{
	struct x86_cpu *c = &v->cpu;
	bool to64 = c->long_mode && (d->seg.attr & X86_SEG_L);

	if (to64 ? !canonical(rip) : rip > d->seg.limit)
		return raise_gp(c);
	return X86_OK;
}

/* In long mode a code segment with both L and D is not valid. */
static bool code_size_valid(const struct x86_cpu *c, uint32_t attr)
{
	return !c->long_mode ||
		(attr & (X86_SEG_L | X86_SEG_DB)) != (X86_SEG_L | X86_SEG_DB);
}

/* A direct JMP or CALL to the code segment d. */
static int code_check(struct vcpu *v, uint16_t sel, const struct x86_desc *d)
{
	struct x86_cpu *c = &v->cpu;
	uint32_t attr = d->seg.attr;

	if (!attr_code(attr) || !code_size_valid(c, attr))
		return raise_sel(c, X86_EXC_GP, sel);
	if (attr_conforming(attr) ? attr_dpl(attr) > c->cpl :
	    (sel & 3u) > c->cpl || attr_dpl(attr) != c->cpl)
		return raise_sel(c, X86_EXC_GP, sel);
	if (!(attr & X86_SEG_P))
		return raise_sel(c, X86_EXC_NP, sel);
	return X86_OK;
}

/* --- call gates ------------------------------------------------------------ */

struct gate {
	uint16_t sel;		/* of the code segment */
	uint64_t off;
	unsigned size;		/* 2, 4, 8: what is pushed */
	unsigned params;
	struct x86_desc code;
};

static int gate_read(struct vcpu *v, uint16_t sel, const struct x86_desc *d,
		     bool call, struct gate *g)
{
	struct x86_cpu *c = &v->cpu;
	unsigned type = attr_type(d->seg.attr), dpl = attr_dpl(d->seg.attr);
	uint32_t attr;

	if (dpl < c->cpl || dpl < (sel & 3u))
		return raise_sel(c, X86_EXC_GP, sel);
	if (!(d->seg.attr & X86_SEG_P))
		return raise_sel(c, X86_EXC_NP, sel);
	if (c->long_mode && (d->hi64_hi & 0x1f00))
		return raise_sel(c, X86_EXC_GP, sel);
	g->sel = (uint16_t)(d->lo >> 16);
	g->off = d->lo & 0xffff;
	g->params = d->hi & 31;
	g->size = 2;
	if (type == DESC_CALL32) {
		g->off |= d->hi & 0xffff0000;
		g->size = 4;
	}
	if (c->long_mode) {
		g->off |= (uint64_t)d->hi64_lo << 32;
		g->size = 8;
		g->params = 0;
	}
	if (sel_null(g->sel))
		return raise_gp(c);
	if (desc_read(v, g->sel, X86_EXC_GP, &g->code) != X86_OK)
		return X86_FAULT;
	attr = g->code.seg.attr;
	if (!attr_code(attr) || attr_dpl(attr) > c->cpl ||
	    (c->long_mode && (attr & (X86_SEG_L | X86_SEG_DB)) != X86_SEG_L) ||
	    (!call && !attr_conforming(attr) && attr_dpl(attr) != c->cpl))
		return raise_sel(c, X86_EXC_GP, g->sel);
	if (!(attr & X86_SEG_P))
		return raise_sel(c, X86_EXC_NP, g->sel);
	return X86_OK;
}

static int gate_jump(struct vcpu *v, uint16_t sel, const struct x86_desc *d)
{
	struct gate g;

	if (gate_read(v, sel, d, false, &g) != X86_OK ||
	    code_check_ip(v, &g.code, g.off) != X86_OK ||
	    desc_accessed(v, &g.code) != X86_OK)
		return X86_FAULT;
	cs_set(&v->cpu, &g.code, g.sel, v->cpu.cpl);
	ip_set(&v->cpu, g.off);
	return X86_OK;
}

/* The caller's parameters, first pushed first. */
static int gate_params(struct vcpu *v, const struct gate *g, uint64_t *vals)
{
	uint64_t sp = v->cpu.gpr[X86_RSP];

	for (unsigned i = g->params; i-- > 0;)
		if (stack_pop(v, &sp, &vals[i], g->size) != X86_OK)
			return X86_FAULT;
	return X86_OK;
}

static int gate_call(struct vcpu *v, uint16_t sel, const struct x86_desc *d)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t vals[36];
	struct stack st;
	unsigned n = 0, cpl = c->cpl;
	struct gate g;

	if (gate_read(v, sel, d, true, &g) != X86_OK)
		return X86_FAULT;
	if (!attr_conforming(g.code.seg.attr) && attr_dpl(g.code.seg.attr) < cpl) {
		cpl = attr_dpl(g.code.seg.attr);
		if (stack_of_tss(v, cpl, &st) != X86_OK)
			return X86_FAULT;
		vals[n++] = c->seg[X86_SS].sel;
		vals[n++] = c->gpr[X86_RSP];
		if (gate_params(v, &g, vals + n) != X86_OK)
			return X86_FAULT;
		n += g.params;
	} else {
		stack_current(v, &st);
	}
	vals[n++] = c->seg[X86_CS].sel;
	vals[n++] = c->rip;
	if (code_check_ip(v, &g.code, g.off) != X86_OK ||
	    desc_accessed(v, &g.code) != X86_OK ||
	    stack_frame(v, &st, vals, n, g.size) != X86_OK)
		return X86_FAULT;
	cs_set(c, &g.code, g.sel, cpl);
	stack_enter(v, &st);
	ip_set(c, g.off);
	return X86_OK;
}

/* --- JMP, CALL -------------------------------------------------------------- */

/* A TSS or task gate as the target. */
static int far_task(struct vcpu *v, uint16_t sel, const struct x86_desc *d,
		    enum task_how how)
{
	struct x86_cpu *c = &v->cpu;
	unsigned dpl = attr_dpl(d->seg.attr);

	if (dpl < c->cpl || dpl < (sel & 3u))
		return raise_sel(c, X86_EXC_GP, sel);
	if (attr_type(d->seg.attr) != DESC_TASK)
		return task_switch(v, sel, how, false, 0);
	if (!(d->seg.attr & X86_SEG_P))
		return raise_sel(c, X86_EXC_NP, sel);
	return task_switch(v, (uint16_t)(d->lo >> 16), how, false, 0);
}

static int far_system(struct vcpu *v, uint16_t sel, const struct x86_desc *d,
		      bool call)
{
	switch (attr_type(d->seg.attr)) {
	case DESC_CALL16:
		if (v->cpu.long_mode)
			break;
		/* fall through */
	case DESC_CALL32:
		return call ? gate_call(v, sel, d) : gate_jump(v, sel, d);
	case DESC_TASK:
	case DESC_TSS16:
	case DESC_TSS32:
		if (v->cpu.long_mode)
			break;
		return far_task(v, sel, d, call ? TASK_CALL : TASK_JMP);
	}
	return raise_sel(&v->cpu, X86_EXC_GP, sel);
}

static int far_real(struct vcpu *v, uint16_t sel, uint64_t off)
{
	struct x86_cpu *c = &v->cpu;

	if (off > c->seg[X86_CS].limit)
		return raise_gp(c);
	seg_load_real(v, X86_CS, sel);
	x86_cpu_update_mode(c);
	ip_set(c, off);
	return X86_OK;
}

int op_jmpf(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	struct x86_desc d;
	uint16_t sel;
	uint64_t off;

	if (far_target(v, in, &sel, &off) != X86_OK)
		return X86_FAULT;
	if (!x86_protected(c))
		return far_real(v, sel, off);
	if (sel_null(sel))
		return raise_gp(c);
	if (desc_read(v, sel, X86_EXC_GP, &d) != X86_OK)
		return X86_FAULT;
	if (!(d.seg.attr & X86_SEG_S))
		return far_system(v, sel, &d, false);
	if (code_check(v, sel, &d) != X86_OK ||
	    code_check_ip(v, &d, off) != X86_OK || desc_accessed(v, &d) != X86_OK)
		return X86_FAULT;
	cs_set(c, &d, sel, c->cpl);
	ip_set(c, off);
	return X86_OK;
}

/* Push CS and the return address on the current stack; *sp moves. */
static int far_push(struct vcpu *v, const struct x86_insn *in, struct stack *st)
{
	uint64_t vals[2] = { v->cpu.seg[X86_CS].sel, v->cpu.rip };

	stack_current(v, st);
	return stack_frame(v, st, vals, 2, in->opsize);
}

int op_callf(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	struct x86_desc d;
	struct stack st;
	uint16_t sel;
	uint64_t off;

	if (far_target(v, in, &sel, &off) != X86_OK)
		return X86_FAULT;
	if (!x86_protected(c)) {
		if (off > c->seg[X86_CS].limit)
			return raise_gp(c);
		if (far_push(v, in, &st) != X86_OK)
			return X86_FAULT;
		sp_set(c, st.sp);
		return far_real(v, sel, off);
	}
	if (sel_null(sel))
		return raise_gp(c);
	if (desc_read(v, sel, X86_EXC_GP, &d) != X86_OK)
		return X86_FAULT;
	if (!(d.seg.attr & X86_SEG_S))
		return far_system(v, sel, &d, true);
	if (code_check(v, sel, &d) != X86_OK ||
	    code_check_ip(v, &d, off) != X86_OK ||
	    desc_accessed(v, &d) != X86_OK || far_push(v, in, &st) != X86_OK)
		return X86_FAULT;
	sp_set(c, st.sp);
	cs_set(c, &d, sel, c->cpl);
	ip_set(c, off);
	return X86_OK;
}

/* --- returns ---------------------------------------------------------------- */

int return_check_cs(struct vcpu *v, uint16_t cs, uint64_t rip, struct x86_desc *d)
{
	struct x86_cpu *c = &v->cpu;
	unsigned rpl = cs & 3;
	uint32_t attr;

	if (sel_null(cs))
		return raise_gp(c);
	if (desc_read(v, cs, X86_EXC_GP, d) != X86_OK)
		return X86_FAULT;
	attr = d->seg.attr;
	if (!attr_code(attr) || !code_size_valid(c, attr) || rpl < c->cpl)
		return raise_sel(c, X86_EXC_GP, cs);
	if (attr_conforming(attr) ? attr_dpl(attr) > rpl : attr_dpl(attr) != rpl)
		return raise_sel(c, X86_EXC_GP, cs);
	if (!(attr & X86_SEG_P))
		return raise_sel(c, X86_EXC_NP, cs);
	if (code_check_ip(v, d, rip) != X86_OK)
		return X86_FAULT;
	return desc_accessed(v, d);
}

int return_check_ss(struct vcpu *v, uint16_t ss, unsigned cpl, bool to64,
		    struct x86_desc *d)
{
	if (sel_null(ss) && to64 && cpl != 3) {
		d->seg.attr = X86_SEG_NULL;
		return X86_OK;
	}
	return desc_stack(v, ss, cpl, X86_EXC_GP, d);
}

void return_drop_segs(struct x86_cpu *c)
{
	static const uint8_t data[] = { X86_ES, X86_DS, X86_FS, X86_GS };

	for (unsigned i = 0; i < sizeof(data); i++) {
		const struct x86_seg *s = &c->seg[data[i]];

		if (!(s->attr & X86_SEG_NULL) && !attr_conforming(s->attr) &&
		    attr_dpl(s->attr) < c->cpl)
			seg_set_null(c, data[i], 0);
	}
}

static int retf_real(struct vcpu *v, uint64_t sp, unsigned release, uint16_t cs,
		     uint64_t rip)
{
	if (far_real(v, cs, rip) != X86_OK)
		return X86_FAULT;
	sp_set(&v->cpu, sp + release);
	return X86_OK;
}

int op_retf(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	unsigned release = in->nops && in->o[0].kind == X86_O_IMM ?
		(uint16_t)in->imm : 0;
	uint64_t sp = c->gpr[X86_RSP], rip, cs, outer_sp, ss;
	struct x86_desc code, stack;
	bool to64;

	if (stack_pop(v, &sp, &rip, in->opsize) != X86_OK ||
	    stack_pop(v, &sp, &cs, in->opsize) != X86_OK)
		return X86_FAULT;
	if (!x86_protected(c))
		return retf_real(v, sp, release, (uint16_t)cs, rip);
	if (return_check_cs(v, (uint16_t)cs, rip, &code) != X86_OK)
		return X86_FAULT;
	if ((cs & 3) == c->cpl) {
		sp_set(c, sp + release);
		cs_set(c, &code, (uint16_t)cs, c->cpl);
		ip_set(c, rip);
		return X86_OK;
	}
	sp += release;
	to64 = c->long_mode && (code.seg.attr & X86_SEG_L);
	if (stack_pop(v, &sp, &outer_sp, in->opsize) != X86_OK ||
	    stack_pop(v, &sp, &ss, in->opsize) != X86_OK ||
	    return_check_ss(v, (uint16_t)ss, cs & 3, to64, &stack) != X86_OK)
		return X86_FAULT;
	cs_set(c, &code, (uint16_t)cs, cs & 3);
	ss_set(c, stack.seg.attr & X86_SEG_NULL ? NULL : &stack, (uint16_t)ss);
	sp_set(c, outer_sp + release);
	ip_set(c, rip);
	return_drop_segs(c);
	return X86_OK;
}
