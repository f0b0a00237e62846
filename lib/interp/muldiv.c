/* Multiplication and division.  SDM vol. 2. */

#include "interp/core.h"

typedef unsigned __int128 u128;
typedef __int128 s128;

/* The double-width accumulator: AX, DX:AX, EDX:EAX, RDX:RAX. */
static u128 acc_get(const struct x86_cpu *c, unsigned sz)
{
	if (sz == 1)
		return c->gpr[X86_RAX] & 0xffff;
	return (u128)gpr_get(c, X86_RDX, sz) << (8 * sz) | gpr_get(c, X86_RAX, sz);
}

static void acc_put(struct x86_cpu *c, unsigned sz, uint64_t lo, uint64_t hi)
{
	if (sz == 1) {
		gpr_put(c, X86_RAX, 2, (lo & 0xff) | (hi & 0xff) << 8);
		return;
	}
	gpr_put(c, X86_RAX, sz, lo);
	gpr_put(c, X86_RDX, sz, hi);
}

static void mul_flags(struct x86_cpu *c, bool over)
{
	fl_set(c, X86_FL_CF | X86_FL_OF, over ? X86_FL_CF | X86_FL_OF : 0);
}

int op_mul(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	unsigned sz = in->o[0].size;
	uint64_t b, hi;
	u128 r;

	if (interp_get(v, in, 0, &b))
		return X86_FAULT;
	r = (u128)gpr_get(c, X86_RAX, sz) * b;
	hi = (uint64_t)(r >> (8 * sz));
	acc_put(c, sz, (uint64_t)r, hi);
	mul_flags(c, hi);
	return X86_OK;
}

int op_imul(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	unsigned sz = in->o[0].size;
	uint64_t a, b;
	s128 r;

	if (in->nops == 1) {
		a = gpr_get(c, X86_RAX, sz);
		if (interp_get(v, in, 0, &b))
			return X86_FAULT;
	} else if (interp_get(v, in, in->nops - 2u, &a) ||
		   interp_get(v, in, in->nops - 1u, &b)) {
		return X86_FAULT;
	}
	r = (s128)sz_sext(a, sz) * sz_sext(b, sz);
	if (in->nops == 1)
		acc_put(c, sz, (uint64_t)r, (uint64_t)(r >> (8 * sz)));
	else if (interp_put(v, in, 0, (uint64_t)r))
		return X86_FAULT;
	mul_flags(c, r != sz_sext((uint64_t)r, sz));
	return X86_OK;
}

int op_div(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	unsigned sz = in->o[0].size;
	uint64_t b;
	u128 a, q;

	if (interp_get(v, in, 0, &b))
		return X86_FAULT;
	a = acc_get(c, sz);
	if (b == 0 || (q = a / b) > sz_mask(sz))
		return x86_raise(c, X86_EXC_DE);
	acc_put(c, sz, (uint64_t)q, (uint64_t)(a % b));
	return X86_OK;
}

int op_idiv(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	unsigned sz = in->o[0].size, up = 128 - 16 * sz;
	uint64_t b;
	s128 a, d, q;

	if (interp_get(v, in, 0, &b))
		return X86_FAULT;
	a = (s128)(acc_get(c, sz) << up) >> up;
	d = sz_sext(b, sz);
	/* Only -2^127 / -1 would overflow here; its quotient fits nowhere. */
	if (d == 0 || (d == -1 && a == (s128)((u128)1 << 127)))
		return x86_raise(c, X86_EXC_DE);
	q = a / d;
	if (q != sz_sext((uint64_t)q, sz))
		return x86_raise(c, X86_EXC_DE);
	acc_put(c, sz, (uint64_t)q, (uint64_t)(a % d));
	return X86_OK;
}

/* mulx hi, lo, src: RDX times src, no flags. */
int op_mulx(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	unsigned sz = in->o[0].size;
	uint64_t b;
	u128 r;

	if (interp_get(v, in, 2, &b))
		return X86_FAULT;
	r = (u128)gpr_get(c, X86_RDX, sz) * b;
	gpr_put(c, in->o[1].reg, sz, (uint64_t)r);
	gpr_put(c, in->o[0].reg, sz, (uint64_t)(r >> (8 * sz)));
	return X86_OK;
}
