/* Shifts and rotates.  SDM vol. 2, "SAL/SAR/SHL/SHR", "RCL/RCR/ROL/ROR", "SHLD". */

#include "interp/core.h"

static uint64_t rotl(uint64_t a, unsigned n, unsigned bits, unsigned sz)
{
	return n ? (a << n | a >> (bits - n)) & sz_mask(sz) : a;
}

/* Through carry: the value and CF are one ring of bits + 1. */
static uint64_t rotl_carry(uint64_t a, unsigned n, unsigned bits, unsigned *cf)
{
	unsigned __int128 ring = (unsigned __int128)*cf << bits | a, r;
	unsigned all = bits + 1;

	r = n ? ring << n | ring >> (all - n) : ring;
	*cf = (unsigned)(r >> bits) & 1;
	return (uint64_t)r & (~0ull >> (64 - bits));
}

static uint64_t rotate(unsigned op, uint64_t a, unsigned n, unsigned sz,
		       unsigned *cf, unsigned *of)
{
	unsigned bits = 8 * sz, msb = bits - 1;
	uint64_t r;

	switch (op) {
	case X86_ROL:
		r = rotl(a, n % bits, bits, sz);
		*cf = r & 1;
		*of = (unsigned)(r >> msb ^ *cf) & 1;
		return r;
	case X86_ROR:
		r = rotl(a, (bits - n % bits) % bits, bits, sz);
		*cf = r >> msb & 1;
		*of = (unsigned)(r >> msb ^ r >> (msb - 1)) & 1;
		return r;
	case X86_RCL:
		r = rotl_carry(a, n % (bits + 1), bits, cf);
		*of = (unsigned)(r >> msb ^ *cf) & 1;
		return r;
	default:
		r = rotl_carry(a, (bits + 1 - n % (bits + 1)) % (bits + 1), bits, cf);
		*of = (unsigned)(r >> msb ^ r >> (msb - 1)) & 1;
		return r;
	}
}

int op_rotate(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	unsigned sz = in->o[0].size, cf, of;
	uint64_t n, val;
	struct rmw r;

	if (interp_get(v, in, 1, &n) || rmw_get(v, in, 0, &r))
		return X86_FAULT;
	n &= sz == 8 ? 63 : 31;
	cf = c->rflags & X86_FL_CF;
	val = rotate(in->op, r.old, (unsigned)n, sz, &cf, &of);
	/* A 32-bit register loses its upper half also when the count is 0. */
	rmw_put(v, &r, n ? val : r.old);
	if (n)
		fl_set(c, X86_FL_CF | X86_FL_OF, cf * X86_FL_CF | of * X86_FL_OF);
	return X86_OK;
}

static uint64_t shift(unsigned op, uint64_t a, unsigned n, unsigned sz, uint32_t *fl)
{
	unsigned bits = 8 * sz, msb = bits - 1, cf, of;
	uint64_t r;

	switch (op) {
	case X86_SHL:
		r = a << n & sz_mask(sz);
		cf = n <= bits ? a >> (bits - n) & 1 : 0;
		of = (unsigned)(r >> msb ^ cf) & 1;
		break;
	case X86_SHR:
		r = a >> n;
		cf = a >> (n - 1) & 1;
		of = a >> msb & 1;
		break;
	default:
		r = (uint64_t)(sz_sext(a, sz) >> n) & sz_mask(sz);
		cf = (uint64_t)(sz_sext(a, sz) >> (n - 1)) & 1;
		of = 0;
		break;
	}
	*fl = fl_szp(r, sz) | cf * X86_FL_CF | of * X86_FL_OF;
	return r;
}

int op_shift(struct vcpu *v, const struct x86_insn *in)
{
	unsigned sz = in->o[0].size;
	uint64_t n, val;
	uint32_t fl = 0;
	struct rmw r;

	if (interp_get(v, in, 1, &n) || rmw_get(v, in, 0, &r))
		return X86_FAULT;
	n &= sz == 8 ? 63 : 31;
	val = n ? shift(in->op, r.old, (unsigned)n, sz, &fl) : r.old;
	rmw_put(v, &r, val);
	if (n)
		fl_set(&v->cpu, X86_FL_ARITH, fl);
	return X86_OK;
}

int op_shld_shrd(struct vcpu *v, const struct x86_insn *in)
{
	unsigned sz = in->o[0].size, bits = 8 * sz, msb = bits - 1, cf;
	unsigned __int128 wide;
	uint64_t b, n, val;
	struct rmw r;

	if (interp_get(v, in, 1, &b) || interp_get(v, in, 2, &n) ||
	    rmw_get(v, in, 0, &r))
		return X86_FAULT;
	n &= sz == 8 ? 63 : 31;
	if (!n) {
		rmw_put(v, &r, r.old);
		return X86_OK;
	}
	/* 16-bit operands with counts above 16 rotate the pair on, as AMD and
	 * Intel processors do; the manuals leave the result undefined. */
	if (in->op == X86_SHLD) {
		wide = (unsigned __int128)r.old << bits | b;
		if (n > bits)
			wide = (unsigned __int128)b << bits | r.old, n -= bits;
		val = (uint64_t)(wide << n >> bits) & sz_mask(sz);
		cf = (unsigned)(wide >> (2 * bits - n)) & 1;
	} else {
		wide = (unsigned __int128)b << bits | r.old;
		if (n > bits)
			wide = (unsigned __int128)r.old << bits | b, n -= bits;
		val = (uint64_t)(wide >> n) & sz_mask(sz);
		cf = (unsigned)(wide >> (n - 1)) & 1;
	}
	b = r.old;
	rmw_put(v, &r, val);
	fl_set(&v->cpu, X86_FL_ARITH, fl_szp(val, sz) | cf * X86_FL_CF |
	       ((val ^ b) >> msb & 1) * X86_FL_OF);
	return X86_OK;
}

/* sarx shlx shrx: dst, src, count; no flags. */
int op_shift_x(struct vcpu *v, const struct x86_insn *in)
{
	unsigned sz = in->o[0].size;
	uint64_t a, n;

	if (interp_get(v, in, 1, &a) || interp_get(v, in, 2, &n))
		return X86_FAULT;
	n &= sz == 8 ? 63 : 31;
	if (in->op == X86_SHLX)
		a <<= n;
	else if (in->op == X86_SHRX)
		a >>= n;
	else
		a = (uint64_t)(sz_sext(a, sz) >> n);
	return interp_put(v, in, 0, a);
}

int op_rorx(struct vcpu *v, const struct x86_insn *in)
{
	unsigned sz = in->o[0].size, bits = 8 * sz;
	uint64_t a;

	if (interp_get(v, in, 1, &a))
		return X86_FAULT;
	return interp_put(v, in, 0, rotl(a, (bits - ((unsigned)in->imm & (bits - 1))) % bits,
					 bits, sz));
}
