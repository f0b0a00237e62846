/* Frequent stack instructions and near branches: as fast.c. */
#include "interp/fast.h"

static int slow_jump(struct vcpu *v, const struct iline *e)
{
	return line_slow(v, e) ? X86_FAULT : INTERP_JUMP;
}

/* The host address of sz bytes of stack at off. */
ALWAYS void *stack_mem(struct interp *it, uint64_t off, unsigned sz, bool write)
{
	uint64_t lin = (it->base[X86_SS] + off) & it->lin_mask;
	const struct tlb_entry *t = &it->tlb[lin >> 12 & (TLB_SIZE - 1)];

	return line_hit(write ? t->wtag : t->rtag, t->addend, lin, sz);
}

ALWAYS bool push(struct vcpu *v, uint64_t val, unsigned sz)
{
	struct interp *it = interp_of(v);
	uint64_t sp = (v->cpu.gpr[X86_RSP] - sz) & sz_mask(sz);
	void *p = it->stack == sz ? stack_mem(it, sp, sz, true) : NULL;

	if (!p)
		return false;
	memcpy(p, &val, sz);
	vcpu_stored(v, p, sz);
	v->cpu.gpr[X86_RSP] = sp;
	return true;
}

ALWAYS bool pop(struct vcpu *v, uint64_t *val, unsigned sz)
{
	struct interp *it = interp_of(v);
	uint64_t sp = v->cpu.gpr[X86_RSP] & sz_mask(sz);
	const void *p = it->stack == sz ? stack_mem(it, sp, sz, false) : NULL;

	if (!p)
		return false;
	*val = mem_get(p, sz);
	v->cpu.gpr[X86_RSP] = (sp + sz) & sz_mask(sz);
	return true;
}

/* May RIP become target without a look at CS? */
ALWAYS bool near_ok(const struct x86_cpu *c, uint64_t target, unsigned sz)
{
	if (sz == 8)
		return (int64_t)(target << 16) >> 16 == (int64_t)target;
	return c->seg[X86_CS].limit == 0xffffffffu;
}

#define STACK(sz) \
static int PUSH_r_##sz(struct vcpu *v, const struct iline *e) \
{ \
	return push(v, v->cpu.gpr[e->r0], sz) ? X86_OK : line_slow(v, e); \
} \
static int PUSH_i_##sz(struct vcpu *v, const struct iline *e) \
{ \
	return push(v, e->imm, sz) ? X86_OK : line_slow(v, e); \
} \
static int PUSH_m_##sz(struct vcpu *v, const struct iline *e) \
{ \
	const void *p = line_mem(v, e, sz, false); \
	return p && push(v, mem_get(p, sz), sz) ? X86_OK : line_slow(v, e); \
} \
static int POP_r_##sz(struct vcpu *v, const struct iline *e) \
{ \
	uint64_t a; \
	if (!pop(v, &a, sz)) \
		return line_slow(v, e); \
	v->cpu.gpr[e->r0] = a; \
	return X86_OK; \
} \
static int LEAVE_##sz(struct vcpu *v, const struct iline *e) \
{ \
	struct interp *it = interp_of(v); \
	uint64_t sp = v->cpu.gpr[X86_RBP] & sz_mask(sz); \
	const void *p = it->stack == sz ? stack_mem(it, sp, sz, false) : NULL; \
	if (!p) \
		return line_slow(v, e); \
	v->cpu.gpr[X86_RBP] = mem_get(p, sz); \
	v->cpu.gpr[X86_RSP] = (sp + sz) & sz_mask(sz); \
	return X86_OK; \
} \
static int CALL_rel_##sz(struct vcpu *v, const struct iline *e) \
{ \
	uint64_t target = (v->cpu.rip + e->imm) & sz_mask(sz); \
	if (!near_ok(&v->cpu, target, sz) || !push(v, v->cpu.rip, sz)) \
		return slow_jump(v, e); \
	v->cpu.rip = target; \
	return INTERP_JUMP; \
} \
static int RET_##sz(struct vcpu *v, const struct iline *e) \
{ \
	struct interp *it = interp_of(v); \
	uint64_t sp = v->cpu.gpr[X86_RSP] & sz_mask(sz), target; \
	const void *p = it->stack == sz ? stack_mem(it, sp, sz, false) : NULL; \
	if (!p) \
		return slow_jump(v, e); \
	target = mem_get(p, sz); \
	if (!near_ok(&v->cpu, target, sz)) \
		return slow_jump(v, e); \
	v->cpu.rip = target; \
	v->cpu.gpr[X86_RSP] = (sp + sz) & sz_mask(sz); \
	return INTERP_JUMP; \
} \
static int JMP_rel_##sz(struct vcpu *v, const struct iline *e) \
{ \
	uint64_t target = (v->cpu.rip + e->imm) & sz_mask(sz); \
	if (!near_ok(&v->cpu, target, sz)) \
		return slow_jump(v, e); \
	v->cpu.rip = target; \
	return INTERP_JUMP; \
}

STACK(4)
STACK(8)

/* One function a condition, so that the host predicts each apart. */
#define JCC(cond) \
static int jcc_##cond##_4(struct vcpu *v, const struct iline *e) \
{ \
	if (!fl_cond((uint32_t)v->cpu.rflags, cond)) \
		return X86_OK; \
	return JMP_rel_4(v, e); \
} \
static int jcc_##cond##_8(struct vcpu *v, const struct iline *e) \
{ \
	if (!fl_cond((uint32_t)v->cpu.rflags, cond)) \
		return X86_OK; \
	return JMP_rel_8(v, e); \
}

JCC(0) JCC(1) JCC(2) JCC(3) JCC(4) JCC(5) JCC(6) JCC(7)
JCC(8) JCC(9) JCC(10) JCC(11) JCC(12) JCC(13) JCC(14) JCC(15)

#define JCC_ROW(n) { jcc_##n##_4, jcc_##n##_8 }
static line_fn *const jcc[16][2] = {
	JCC_ROW(0), JCC_ROW(1), JCC_ROW(2), JCC_ROW(3), JCC_ROW(4), JCC_ROW(5),
	JCC_ROW(6), JCC_ROW(7), JCC_ROW(8), JCC_ROW(9), JCC_ROW(10), JCC_ROW(11),
	JCC_ROW(12), JCC_ROW(13), JCC_ROW(14), JCC_ROW(15),
};

line_fn *fast_pick_stack(const struct x86_insn *in)
{
	bool wide = in->opsize == 8;

	if (in->opsize < 4)
		return NULL;
	switch (in->op) {
	case X86_JMP:
		return in->o[0].kind != X86_O_REL ? NULL : wide ? JMP_rel_8 : JMP_rel_4;
	case X86_JCC:
		return jcc[in->cond & 15][wide];
	case X86_LEAVE:
		return wide ? LEAVE_8 : LEAVE_4;
	case X86_RET:
		return in->nops ? NULL : wide ? RET_8 : RET_4;
	case X86_CALL:
		return in->o[0].kind != X86_O_REL ? NULL : wide ? CALL_rel_8 : CALL_rel_4;
	case X86_POP:
		return in->o[0].kind != X86_O_GPR ? NULL : wide ? POP_r_8 : POP_r_4;
	default:
		break;
	}
	if (in->o[0].kind == X86_O_GPR)
		return wide ? PUSH_r_8 : PUSH_r_4;
	if (in->o[0].kind == X86_O_IMM)
		return wide ? PUSH_i_8 : PUSH_i_4;
	if (in->o[0].kind == X86_O_MEM && in->o[0].size == in->opsize)
		return wide ? PUSH_m_8 : PUSH_m_4;
	return NULL;
}
