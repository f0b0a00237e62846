/* Addition, subtraction, logic.  SDM vol. 2. */

#include "interp/core.h"

static uint64_t alu_compute(unsigned op, uint64_t a, uint64_t b, unsigned cin,
			    unsigned sz, uint32_t *fl)
{
	uint64_t r;

	switch (op) {
	case X86_ADD: return fl_add(a, b, 0, sz, fl);
	case X86_ADC: return fl_add(a, b, cin, sz, fl);
	case X86_SBB: return fl_sub(a, b, cin, sz, fl);
	case X86_SUB:
	case X86_CMP: return fl_sub(a, b, 0, sz, fl);
	case X86_OR: r = a | b; break;
	case X86_AND: r = a & b; break;
	default: r = a ^ b; break;
	}
	*fl = fl_szp(r, sz);
	return r;
}

int op_alu(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	unsigned sz = in->o[0].size, cin = c->rflags & X86_FL_CF;
	struct rmw r;
	uint64_t b, val;
	uint32_t fl;

	if (interp_get(v, in, 1, &b))
		return X86_FAULT;
	b &= sz_mask(sz);
	if (in->op == X86_CMP) {
		if (interp_get(v, in, 0, &val))
			return X86_FAULT;
		alu_compute(in->op, val, b, cin, sz, &fl);
	} else {
		if (rmw_get(v, in, 0, &r))
			return X86_FAULT;
		do
			val = alu_compute(in->op, r.old, b, cin, sz, &fl);
		while (!rmw_put(v, &r, val));
	}
	fl_set(c, X86_FL_ARITH, fl);
	return X86_OK;
}

int op_inc_dec(struct vcpu *v, const struct x86_insn *in)
{
	unsigned sz = in->o[0].size;
	struct rmw r;
	uint64_t val;
	uint32_t fl;

	if (rmw_get(v, in, 0, &r))
		return X86_FAULT;
	do
		val = in->op == X86_INC ? fl_add(r.old, 1, 0, sz, &fl)
					: fl_sub(r.old, 1, 0, sz, &fl);
	while (!rmw_put(v, &r, val));
	fl_set(&v->cpu, X86_FL_ARITH & ~X86_FL_CF, fl & ~X86_FL_CF);
	return X86_OK;
}

int op_neg(struct vcpu *v, const struct x86_insn *in)
{
	struct rmw r;
	uint64_t val;
	uint32_t fl;

	if (rmw_get(v, in, 0, &r))
		return X86_FAULT;
	do
		val = fl_sub(0, r.old, 0, in->o[0].size, &fl);
	while (!rmw_put(v, &r, val));
	fl_set(&v->cpu, X86_FL_ARITH, fl);
	return X86_OK;
}

int op_not(struct vcpu *v, const struct x86_insn *in)
{
	struct rmw r;

	if (rmw_get(v, in, 0, &r))
		return X86_FAULT;
	while (!rmw_put(v, &r, ~r.old & sz_mask(in->o[0].size)))
		;
	return X86_OK;
}

int op_test(struct vcpu *v, const struct x86_insn *in)
{
	unsigned sz = in->o[0].size;
	uint64_t a, b;

	if (interp_get(v, in, 0, &a) || interp_get(v, in, 1, &b))
		return X86_FAULT;
	fl_set(&v->cpu, X86_FL_ARITH, fl_szp(a & b & sz_mask(sz), sz));
	return X86_OK;
}
