/*
 * Frequent instructions, specialised by operand form and size.
 *
 * Each function handles the plain case: a flat segment and a TLB hit inside one
 * page.  Anything else goes to the general function, which makes all checks,
 * before anything has changed.
 */

#include "interp/fast.h"

#include <stddef.h>

_Static_assert(offsetof(struct x86_cpu, gpr) == 0 &&
	       offsetof(struct x86_cpu, rip) == 8 * X86_RIP, "RIP follows the registers");

/* --- arithmetic ----------------------------------------------------------------- */

ALWAYS uint64_t alu(unsigned op, uint64_t a, uint64_t b, struct x86_cpu *c, unsigned sz)
{
	unsigned cin = c->rflags & X86_FL_CF;
	uint64_t r;
	uint32_t fl;

	switch (op) {
	case X86_ADD: r = fl_add(a, b, 0, sz, &fl); break;
	case X86_ADC: r = fl_add(a, b, cin, sz, &fl); break;
	case X86_SBB: r = fl_sub(a, b, cin, sz, &fl); break;
	case X86_SUB: case X86_CMP: r = fl_sub(a, b, 0, sz, &fl); break;
	case X86_OR: r = a | b; fl = fl_szp(r, sz); break;
	case X86_AND: case X86_TEST: r = a & b; fl = fl_szp(r, sz); break;
	default: r = a ^ b; fl = fl_szp(r, sz); break;
	}
	fl_set(c, X86_FL_ARITH, fl);
	return r;
}

/* Five forms of an operation at one size; keep: the result is stored. */
#define ALU_SIZE(op, sz, keep) \
static int op##_rr_##sz(struct vcpu *v, const struct iline *e) \
{ \
	struct x86_cpu *c = &v->cpu; \
	uint64_t r = alu(X86_##op, gpr_get(c, e->r0, sz), gpr_get(c, e->r1, sz), c, sz); \
	if (keep) \
		gpr_put(c, e->r0, sz, r); \
	return X86_OK; \
} \
static int op##_ri_##sz(struct vcpu *v, const struct iline *e) \
{ \
	struct x86_cpu *c = &v->cpu; \
	uint64_t r = alu(X86_##op, gpr_get(c, e->r0, sz), e->imm & sz_mask(sz), c, sz); \
	if (keep) \
		gpr_put(c, e->r0, sz, r); \
	return X86_OK; \
} \
static int op##_rm_##sz(struct vcpu *v, const struct iline *e) \
{ \
	struct x86_cpu *c = &v->cpu; \
	const void *p = line_mem(v, e, sz, false); \
	uint64_t r; \
	if (!p) \
		return line_slow(v, e); \
	r = alu(X86_##op, gpr_get(c, e->r0, sz), mem_get(p, sz), c, sz); \
	if (keep) \
		gpr_put(c, e->r0, sz, r); \
	return X86_OK; \
} \
static int op##_mr_##sz(struct vcpu *v, const struct iline *e) \
{ \
	struct x86_cpu *c = &v->cpu; \
	void *p = line_mem(v, e, sz, keep); \
	uint64_t r; \
	if (!p) \
		return line_slow(v, e); \
	r = alu(X86_##op, mem_get(p, sz), gpr_get(c, e->r1, sz), c, sz); \
	if (!keep) \
		return X86_OK; \
	memcpy(p, &r, sz); \
	return line_stored(v, p, sz); \
} \
static int op##_mi_##sz(struct vcpu *v, const struct iline *e) \
{ \
	struct x86_cpu *c = &v->cpu; \
	void *p = line_mem(v, e, sz, keep); \
	uint64_t r; \
	if (!p) \
		return line_slow(v, e); \
	r = alu(X86_##op, mem_get(p, sz), e->imm & sz_mask(sz), c, sz); \
	if (!keep) \
		return X86_OK; \
	memcpy(p, &r, sz); \
	return line_stored(v, p, sz); \
}

#define ALU_ALL(op, keep) \
	ALU_SIZE(op, 1, keep) ALU_SIZE(op, 2, keep) ALU_SIZE(op, 4, keep) ALU_SIZE(op, 8, keep)

ALU_ALL(ADD, true)
ALU_ALL(OR, true)
ALU_ALL(ADC, true)
ALU_ALL(SBB, true)
ALU_ALL(AND, true)
ALU_ALL(SUB, true)
ALU_ALL(XOR, true)
ALU_ALL(CMP, false)
ALU_ALL(TEST, false)

/* --- moves ------------------------------------------------------------------------ */

#define MOV_SIZE(sz) \
static int MOV_rr_##sz(struct vcpu *v, const struct iline *e) \
{ \
	gpr_put(&v->cpu, e->r0, sz, v->cpu.gpr[e->r1]); \
	return X86_OK; \
} \
static int MOV_ri_##sz(struct vcpu *v, const struct iline *e) \
{ \
	gpr_put(&v->cpu, e->r0, sz, e->imm); \
	return X86_OK; \
} \
static int MOV_rm_##sz(struct vcpu *v, const struct iline *e) \
{ \
	const void *p = line_mem(v, e, sz, false); \
	if (!p) \
		return line_slow(v, e); \
	gpr_put(&v->cpu, e->r0, sz, mem_get(p, sz)); \
	return X86_OK; \
} \
static int MOV_mr_##sz(struct vcpu *v, const struct iline *e) \
{ \
	void *p = line_mem(v, e, sz, true); \
	if (!p) \
		return line_slow(v, e); \
	memcpy(p, &v->cpu.gpr[e->r1], sz); \
	return line_stored(v, p, sz); \
} \
static int MOV_mi_##sz(struct vcpu *v, const struct iline *e) \
{ \
	void *p = line_mem(v, e, sz, true); \
	if (!p) \
		return line_slow(v, e); \
	memcpy(p, &e->imm, sz); \
	return line_stored(v, p, sz); \
}

MOV_SIZE(1)
MOV_SIZE(2)
MOV_SIZE(4)
MOV_SIZE(8)

/* movzx movsx movsxd from a source of sz bytes; the destination's is e->size. */
#define EXTEND(sz) \
static int MOVZX_rr_##sz(struct vcpu *v, const struct iline *e) \
{ \
	gpr_put(&v->cpu, e->r0, e->size, gpr_get(&v->cpu, e->r1, sz)); \
	return X86_OK; \
} \
static int MOVZX_rm_##sz(struct vcpu *v, const struct iline *e) \
{ \
	const void *p = line_mem(v, e, sz, false); \
	if (!p) \
		return line_slow(v, e); \
	gpr_put(&v->cpu, e->r0, e->size, mem_get(p, sz)); \
	return X86_OK; \
} \
static int MOVSX_rr_##sz(struct vcpu *v, const struct iline *e) \
{ \
	gpr_put(&v->cpu, e->r0, e->size, (uint64_t)sz_sext(v->cpu.gpr[e->r1], sz)); \
	return X86_OK; \
} \
static int MOVSX_rm_##sz(struct vcpu *v, const struct iline *e) \
{ \
	const void *p = line_mem(v, e, sz, false); \
	if (!p) \
		return line_slow(v, e); \
	gpr_put(&v->cpu, e->r0, e->size, (uint64_t)sz_sext(mem_get(p, sz), sz)); \
	return X86_OK; \
}

EXTEND(1)
EXTEND(2)
EXTEND(4)

static int lea_4(struct vcpu *v, const struct iline *e)
{
	v->cpu.gpr[e->r0] = (uint32_t)line_ea(&v->cpu, e);
	return X86_OK;
}

static int lea_8(struct vcpu *v, const struct iline *e)
{
	v->cpu.gpr[e->r0] = line_ea(&v->cpu, e);
	return X86_OK;
}

/* --- one operand, shifts ------------------------------------------------------------ */

#define ONE_OPERAND(sz) \
static int INC_r_##sz(struct vcpu *v, const struct iline *e) \
{ \
	struct x86_cpu *c = &v->cpu; \
	uint32_t fl; \
	gpr_put(c, e->r0, sz, fl_add(gpr_get(c, e->r0, sz), 1, 0, sz, &fl)); \
	fl_set(c, X86_FL_ARITH & ~X86_FL_CF, fl & ~X86_FL_CF); \
	return X86_OK; \
} \
static int DEC_r_##sz(struct vcpu *v, const struct iline *e) \
{ \
	struct x86_cpu *c = &v->cpu; \
	uint32_t fl; \
	gpr_put(c, e->r0, sz, fl_sub(gpr_get(c, e->r0, sz), 1, 0, sz, &fl)); \
	fl_set(c, X86_FL_ARITH & ~X86_FL_CF, fl & ~X86_FL_CF); \
	return X86_OK; \
} \
static int SHL_ri_##sz(struct vcpu *v, const struct iline *e) \
{ \
	struct x86_cpu *c = &v->cpu; \
	unsigned n = (unsigned)e->imm; \
	uint64_t a = gpr_get(c, e->r0, sz), r = a << n & sz_mask(sz); \
	unsigned cf = a >> (8 * sz - n) & 1, msb = r >> (8 * sz - 1) & 1; \
	gpr_put(c, e->r0, sz, r); \
	fl_set(c, X86_FL_ARITH, fl_szp(r, sz) | cf * X86_FL_CF | (cf ^ msb) * X86_FL_OF); \
	return X86_OK; \
} \
static int SHR_ri_##sz(struct vcpu *v, const struct iline *e) \
{ \
	struct x86_cpu *c = &v->cpu; \
	unsigned n = (unsigned)e->imm; \
	uint64_t a = gpr_get(c, e->r0, sz), r = a >> n; \
	unsigned cf = a >> (n - 1) & 1, msb = a >> (8 * sz - 1) & 1; \
	gpr_put(c, e->r0, sz, r); \
	fl_set(c, X86_FL_ARITH, fl_szp(r, sz) | cf * X86_FL_CF | msb * X86_FL_OF); \
	return X86_OK; \
} \
static int SAR_ri_##sz(struct vcpu *v, const struct iline *e) \
{ \
	struct x86_cpu *c = &v->cpu; \
	unsigned n = (unsigned)e->imm; \
	int64_t a = sz_sext(c->gpr[e->r0], sz); \
	uint64_t r = (uint64_t)(a >> n) & sz_mask(sz); \
	unsigned cf = a >> (n - 1) & 1; \
	gpr_put(c, e->r0, sz, r); \
	fl_set(c, X86_FL_ARITH, fl_szp(r, sz) | cf * X86_FL_CF); \
	return X86_OK; \
}

ONE_OPERAND(4)
ONE_OPERAND(8)

static int setcc_r(struct vcpu *v, const struct iline *e)
{
	gpr_put(&v->cpu, e->r0, 1, fl_cond((uint32_t)v->cpu.rflags, e->cond));
	return X86_OK;
}

static int cmov_rr_4(struct vcpu *v, const struct iline *e)
{
	unsigned from = fl_cond((uint32_t)v->cpu.rflags, e->cond) ? e->r1 : e->r0;

	v->cpu.gpr[e->r0] = (uint32_t)v->cpu.gpr[from];
	return X86_OK;
}

static int cmov_rr_8(struct vcpu *v, const struct iline *e)
{
	if (fl_cond((uint32_t)v->cpu.rflags, e->cond))
		v->cpu.gpr[e->r0] = v->cpu.gpr[e->r1];
	return X86_OK;
}

/* imul of two operands, or three with an immediate. */
#define IMUL(sz) \
ALWAYS int imul_##sz(struct vcpu *v, const struct iline *e, int64_t a, int64_t b) \
{ \
	__int128 r = (__int128)a * b; \
	gpr_put(&v->cpu, e->r0, sz, (uint64_t)r); \
	fl_set(&v->cpu, X86_FL_CF | X86_FL_OF, \
	       r != sz_sext((uint64_t)r, sz) ? X86_FL_CF | X86_FL_OF : 0); \
	return X86_OK; \
} \
static int IMUL_rr_##sz(struct vcpu *v, const struct iline *e) \
{ \
	return imul_##sz(v, e, sz_sext(v->cpu.gpr[e->r0], sz), sz_sext(v->cpu.gpr[e->r1], sz)); \
} \
static int IMUL_rm_##sz(struct vcpu *v, const struct iline *e) \
{ \
	const void *p = line_mem(v, e, sz, false); \
	if (!p) \
		return line_slow(v, e); \
	return imul_##sz(v, e, sz_sext(v->cpu.gpr[e->r0], sz), sz_sext(mem_get(p, sz), sz)); \
} \
static int IMUL_rri_##sz(struct vcpu *v, const struct iline *e) \
{ \
	return imul_##sz(v, e, sz_sext(v->cpu.gpr[e->r1], sz), sz_sext(e->imm, sz)); \
} \
static int IMUL_rmi_##sz(struct vcpu *v, const struct iline *e) \
{ \
	const void *p = line_mem(v, e, sz, false); \
	if (!p) \
		return line_slow(v, e); \
	return imul_##sz(v, e, sz_sext(mem_get(p, sz), sz), sz_sext(e->imm, sz)); \
} \
static int CMOV_rm_##sz(struct vcpu *v, const struct iline *e) \
{ \
	const void *p = line_mem(v, e, sz, false); \
	if (!p) \
		return line_slow(v, e); \
	gpr_put(&v->cpu, e->r0, sz, fl_cond((uint32_t)v->cpu.rflags, e->cond) ? \
		mem_get(p, sz) : v->cpu.gpr[e->r0]); \
	return X86_OK; \
}

IMUL(4)
IMUL(8)

static int nop(struct vcpu *v, const struct iline *e)
{
	return X86_OK;
}

/* --- the choice -------------------------------------------------------------------------- */

enum form { RR, RI, RM, MR, MI, FORMS };

#define BY_SIZE(name) { name##_1, name##_2, name##_4, name##_8 }
#define BY_FORM(op) { BY_SIZE(op##_rr), BY_SIZE(op##_ri), BY_SIZE(op##_rm), \
		      BY_SIZE(op##_mr), BY_SIZE(op##_mi) }

static line_fn *const two_operands[][FORMS][4] = {
	[X86_ADD] = BY_FORM(ADD), [X86_OR] = BY_FORM(OR), [X86_ADC] = BY_FORM(ADC),
	[X86_SBB] = BY_FORM(SBB), [X86_AND] = BY_FORM(AND), [X86_SUB] = BY_FORM(SUB),
	[X86_XOR] = BY_FORM(XOR), [X86_CMP] = BY_FORM(CMP), [X86_TEST] = BY_FORM(TEST),
	[X86_MOV] = BY_FORM(MOV),
};

static int form_of(const struct x86_insn *in)
{
	unsigned a = in->o[0].kind, b = in->o[1].kind;

	if (in->nops != 2)
		return -1;
	if (a == X86_O_GPR)
		return b == X86_O_GPR ? RR : b == X86_O_IMM ? RI : b == X86_O_MEM ? RM : -1;
	if (a == X86_O_MEM)
		return b == X86_O_GPR ? MR : b == X86_O_IMM ? MI : -1;
	return -1;
}

static unsigned size_index(unsigned sz)
{
	return sz == 1 ? 0 : sz == 2 ? 1 : sz == 4 ? 2 : 3;
}

static line_fn *pick_extend(const struct iline *e, const struct x86_insn *in, int form)
{
	static line_fn *const zx[2][3] = {
		{ MOVZX_rr_1, MOVZX_rr_2, MOVZX_rr_4 }, { MOVZX_rm_1, MOVZX_rm_2, MOVZX_rm_4 } };
	static line_fn *const sx[2][3] = {
		{ MOVSX_rr_1, MOVSX_rr_2, MOVSX_rr_4 }, { MOVSX_rm_1, MOVSX_rm_2, MOVSX_rm_4 } };

	if ((form != RR && form != RM) || in->o[1].size > 4)
		return NULL;
	return (in->op == X86_MOVZX ? zx : sx)[form == RM][size_index(in->o[1].size)];
}

static line_fn *pick_imul(const struct x86_insn *in, bool wide)
{
	bool mem = in->nops > 1 && in->o[1].kind == X86_O_MEM;

	if (in->nops == 2)
		return mem ? (wide ? IMUL_rm_8 : IMUL_rm_4) : wide ? IMUL_rr_8 : IMUL_rr_4;
	if (in->nops == 3)
		return mem ? (wide ? IMUL_rmi_8 : IMUL_rmi_4) : wide ? IMUL_rri_8 : IMUL_rri_4;
	return NULL;
}

static line_fn *pick_one(const struct iline *e, const struct x86_insn *in, int form)
{
	bool wide = e->size == 8;

	if (in->o[0].kind != X86_O_GPR)
		return NULL;
	if (in->op == X86_SETCC)
		return setcc_r;
	if (e->size < 4)
		return NULL;
	switch (in->op) {
	case X86_INC: return wide ? INC_r_8 : INC_r_4;
	case X86_DEC: return wide ? DEC_r_8 : DEC_r_4;
	case X86_LEA: return wide ? lea_8 : lea_4;
	case X86_CMOVCC:
		if (form == RM)
			return wide ? CMOV_rm_8 : CMOV_rm_4;
		return wide ? cmov_rr_8 : cmov_rr_4;
	case X86_IMUL: return pick_imul(in, wide);
	default: break;
	}
	/* Shifts by a constant that is not 0 once it is cut to its size. */
	if (form != RI || !e->imm || e->imm >= 8u * e->size)
		return NULL;
	switch (in->op) {
	case X86_SHL: return wide ? SHL_ri_8 : SHL_ri_4;
	case X86_SHR: return wide ? SHR_ri_8 : SHR_ri_4;
	default: return wide ? SAR_ri_8 : SAR_ri_4;
	}
}

/* System instructions that look at the x87 state in memory. */
static bool fpu_reads(const struct x86_insn *in)
{
	switch (in->op) {
	case X86_XSAVE: case X86_XSAVEOPT: case X86_XSAVEC: case X86_XSAVES:
	case X86_XRSTOR: case X86_XRSTORS:
		return true;
	default:
		return false;
	}
}

line_fn *fast_pick(struct iline *e, const struct x86_insn *in)
{
	int form = form_of(in);

	if (in->prefixes & X86_P_LOCK)
		return NULL;
	if (in->unit == X86_U_X87 || in->unit == X86_U_MMX || fpu_reads(in))
		return fpu_pick(e, in);
	if (in->unit == X86_U_SSE || in->unit == X86_U_AVX)
		return simd_pick(e, in);
	e->r0 = in->o[0].reg;
	e->r1 = in->o[1].reg;
	switch (in->op) {
	case X86_ADD: case X86_OR: case X86_ADC: case X86_SBB: case X86_AND:
	case X86_SUB: case X86_XOR: case X86_CMP: case X86_TEST: case X86_MOV:
		return form < 0 ? NULL : two_operands[in->op][form][size_index(e->size)];
	case X86_MOVSXD:
		return in->opsize == 2 ? NULL : pick_extend(e, in, form);
	case X86_MOVZX: case X86_MOVSX:
		return pick_extend(e, in, form);
	case X86_PUSH: case X86_POP: case X86_LEAVE: case X86_RET: case X86_CALL:
	case X86_JMP: case X86_JCC:
		return fast_pick_stack(in);
	case X86_INC: case X86_DEC: case X86_LEA: case X86_CMOVCC: case X86_SETCC:
	case X86_SHL: case X86_SHR: case X86_SAR: case X86_IMUL:
		return pick_one(e, in, form);
	case X86_NOP: case X86_ENDBR:
		return nop;
	default:
		return NULL;
	}
}
