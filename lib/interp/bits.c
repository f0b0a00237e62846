/* Bit tests and scans, BMI, CRC32C, MOVBE, ADX.  SDM vol. 2. */

#include "interp/core.h"

/* The bit string operand: a register bit offset reaches beyond the operand. */
static int bt_memory(struct vcpu *v, const struct x86_insn *in, uint64_t n,
		     unsigned sz, struct rmw *r)
{
	uint64_t ea = interp_ea(v, in), gva;
	bool write = in->op != X86_BT;

	if (in->o[1].kind != X86_O_IMM)
		ea += (uint64_t)((sz_sext(n, sz) >> (sz == 8 ? 6 : sz == 4 ? 5 : 4)) * (int)sz);
	ea &= sz_mask(in->adsize);
	if (seg_linear(v, in->seg, ea, sz, write, &gva))
		return X86_FAULT;
	if (write)
		return rmw_get_at(v, gva, sz, in->prefixes & X86_P_LOCK, r);
	r->old = 0;
	return vcpu_read(v, gva, &r->old, sz, vcpu_tlb_mode(v));
}

int op_bt(struct vcpu *v, const struct x86_insn *in)
{
	unsigned sz = in->o[0].size;
	uint64_t n, bit, val;
	struct rmw r;

	if (interp_get(v, in, 1, &n))
		return X86_FAULT;
	if (in->o[0].kind == X86_O_MEM) {
		if (bt_memory(v, in, n, sz, &r))
			return X86_FAULT;
	} else if (rmw_get(v, in, 0, &r)) {
		return X86_FAULT;
	}
	bit = 1ull << (n & (8 * sz - 1));
	do {
		fl_set(&v->cpu, X86_FL_CF, r.old & bit ? X86_FL_CF : 0);
		if (in->op == X86_BT)
			return X86_OK;
		val = in->op == X86_BTS ? r.old | bit : in->op == X86_BTR ? r.old & ~bit
									  : r.old ^ bit;
	} while (!rmw_put(v, &r, val));
	return X86_OK;
}

/* A zero source leaves the destination as it is (AMD; Intel in practice). */
int op_bsf_bsr(struct vcpu *v, const struct x86_insn *in)
{
	unsigned sz = in->o[0].size;
	uint64_t a;

	if (interp_get(v, in, 1, &a))
		return X86_FAULT;
	fl_set(&v->cpu, X86_FL_ZF, a ? 0 : X86_FL_ZF);
	if (!a)
		return X86_OK;
	return interp_put(v, in, 0, (uint64_t)(in->op == X86_BSF || in->op == X86_TZCNT ?
				    __builtin_ctzll(a) : 63 - __builtin_clzll(a)) & sz_mask(sz));
}

int op_tzcnt_lzcnt(struct vcpu *v, const struct x86_insn *in)
{
	unsigned sz = in->o[0].size, bits = 8 * sz, n;
	uint64_t a;

	if (interp_get(v, in, 1, &a))
		return X86_FAULT;
	if (!a)
		n = bits;
	else if (in->op == X86_TZCNT)
		n = (unsigned)__builtin_ctzll(a);
	else
		n = (unsigned)__builtin_clzll(a) - (64 - bits);
	fl_set(&v->cpu, X86_FL_CF | X86_FL_ZF,
	       (n == bits) * X86_FL_CF | (n == 0) * X86_FL_ZF);
	return interp_put(v, in, 0, n);
}

int op_popcnt(struct vcpu *v, const struct x86_insn *in)
{
	uint64_t a;

	if (interp_get(v, in, 1, &a))
		return X86_FAULT;
	fl_set(&v->cpu, X86_FL_ARITH, a ? 0 : X86_FL_ZF);
	return interp_put(v, in, 0, (uint64_t)__builtin_popcountll(a));
}

/* CRC-32C, reflected polynomial 0x82f63b78, one byte at a time. */
int op_crc32(struct vcpu *v, const struct x86_insn *in)
{
	uint32_t crc = (uint32_t)v->cpu.gpr[in->o[0].reg];
	uint64_t a;

	if (interp_get(v, in, 1, &a))
		return X86_FAULT;
	for (unsigned i = 0; i < in->o[1].size; i++) {
		crc ^= (uint8_t)(a >> 8 * i);
		for (unsigned k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	gpr_put(&v->cpu, in->o[0].reg, in->o[0].size, crc);
	return X86_OK;
}

int op_movbe(struct vcpu *v, const struct x86_insn *in)
{
	uint64_t a;

	if (interp_get(v, in, 1, &a))
		return X86_FAULT;
	return interp_put(v, in, 0, __builtin_bswap64(a) >> (64 - 8 * in->o[0].size));
}

/* adcx adox: addition that uses and changes CF, or OF, alone. */
int op_adx(struct vcpu *v, const struct x86_insn *in)
{
	uint32_t flag = in->op == X86_ADCX ? X86_FL_CF : X86_FL_OF, fl;
	uint64_t a, b, r;

	if (interp_get(v, in, 0, &a) || interp_get(v, in, 1, &b))
		return X86_FAULT;
	r = fl_add(a, b, !!(v->cpu.rflags & flag), in->o[0].size, &fl);
	fl_set(&v->cpu, flag, fl & X86_FL_CF ? flag : 0);
	return interp_put(v, in, 0, r);
}

int op_andn(struct vcpu *v, const struct x86_insn *in)
{
	unsigned sz = in->o[0].size;
	uint64_t a, b;

	if (interp_get(v, in, 1, &a) || interp_get(v, in, 2, &b))
		return X86_FAULT;
	a = ~a & b & sz_mask(sz);
	fl_set(&v->cpu, X86_FL_ARITH, fl_szp(a, sz) & ~X86_FL_PF);
	return interp_put(v, in, 0, a);
}

int op_bextr(struct vcpu *v, const struct x86_insn *in)
{
	uint64_t a, ctl;
	unsigned start, len;

	if (interp_get(v, in, 1, &a) || interp_get(v, in, 2, &ctl))
		return X86_FAULT;
	start = ctl & 0xff;
	len = ctl >> 8 & 0xff;
	a = start < 64 ? a >> start : 0;
	if (len < 64)
		a &= (1ull << len) - 1;
	fl_set(&v->cpu, X86_FL_ARITH, a ? 0 : X86_FL_ZF);
	return interp_put(v, in, 0, a);
}

/* blsi blsmsk blsr: dst, src */
int op_bls(struct vcpu *v, const struct x86_insn *in)
{
	unsigned sz = in->o[0].size;
	uint64_t a, r;
	bool cf;

	if (interp_get(v, in, 1, &a))
		return X86_FAULT;
	if (in->op == X86_BLSI)
		r = a & -a, cf = a;
	else
		r = in->op == X86_BLSR ? a & (a - 1) : a ^ (a - 1), cf = !a;
	r &= sz_mask(sz);
	fl_set(&v->cpu, X86_FL_ARITH, (fl_szp(r, sz) & ~X86_FL_PF) | cf * X86_FL_CF);
	return interp_put(v, in, 0, r);
}

int op_bzhi(struct vcpu *v, const struct x86_insn *in)
{
	unsigned sz = in->o[0].size, n;
	uint64_t a, idx;

	if (interp_get(v, in, 1, &a) || interp_get(v, in, 2, &idx))
		return X86_FAULT;
	n = idx & 0xff;
	if (n < 8 * sz)
		a &= (1ull << n) - 1;
	fl_set(&v->cpu, X86_FL_ARITH, (fl_szp(a, sz) & ~X86_FL_PF) |
	       (n >= 8 * sz) * X86_FL_CF);
	return interp_put(v, in, 0, a);
}

int op_pdep(struct vcpu *v, const struct x86_insn *in)
{
	uint64_t a, m, r = 0;

	if (interp_get(v, in, 1, &a) || interp_get(v, in, 2, &m))
		return X86_FAULT;
	for (; m; m &= m - 1, a >>= 1)
		if (a & 1)
			r |= m & -m;
	return interp_put(v, in, 0, r);
}

int op_pext(struct vcpu *v, const struct x86_insn *in)
{
	uint64_t a, m, r = 0;

	if (interp_get(v, in, 1, &a) || interp_get(v, in, 2, &m))
		return X86_FAULT;
	for (unsigned k = 0; m; m &= m - 1, k++)
		if (a & m & -m)
			r |= 1ull << k;
	return interp_put(v, in, 0, r);
}
