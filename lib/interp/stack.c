/* The stack.  SDM vol. 2 PUSH, POP, ENTER, LEAVE; vol. 1, 6.2. */

#include "interp/core.h"

static uint64_t sp_mask(const struct vcpu *v)
{
	return sz_mask(v->cpu.stack_bytes);
}

int stack_push(struct vcpu *v, uint64_t *sp, uint64_t val, unsigned size)
{
	uint64_t off = (*sp - size) & sp_mask(v);

	if (seg_write(v, X86_SS, off, &val, size))
		return X86_FAULT;
	*sp = off;
	return X86_OK;
}

int stack_pop(struct vcpu *v, uint64_t *sp, uint64_t *val, unsigned size)
{
	uint64_t off = *sp & sp_mask(v), a = 0;

	if (seg_read(v, X86_SS, off, &a, size))
		return X86_FAULT;
	*val = a;
	*sp = (off + size) & sp_mask(v);
	return X86_OK;
}

void stack_commit(struct vcpu *v, uint64_t sp)
{
	gpr_put(&v->cpu, X86_RSP, v->cpu.stack_bytes, sp);
}

int op_push(struct vcpu *v, const struct x86_insn *in)
{
	uint64_t sp = v->cpu.gpr[X86_RSP], a;

	if (in->o[0].kind == X86_O_SEG)
		return op_push_seg(v, in);
	if (interp_get(v, in, 0, &a) || stack_push(v, &sp, a, in->opsize))
		return X86_FAULT;
	stack_commit(v, sp);
	return X86_OK;
}

int op_pop(struct vcpu *v, const struct x86_insn *in)
{
	uint64_t old = v->cpu.gpr[X86_RSP], sp = old, a;

	if (in->o[0].kind == X86_O_SEG)
		return op_pop_seg(v, in);
	if (stack_pop(v, &sp, &a, in->opsize))
		return X86_FAULT;
	/* An address by ESP is computed with the popped ESP. */
	stack_commit(v, sp);
	if (interp_put(v, in, 0, a)) {
		v->cpu.gpr[X86_RSP] = old;
		return X86_FAULT;
	}
	return X86_OK;
}

int op_pusha(struct vcpu *v, const struct x86_insn *in)
{
	uint64_t sp = v->cpu.gpr[X86_RSP];
	unsigned sz = in->opsize;
	uint64_t gva;

	/* All checks in order first, so that a fault leaves nothing written. */
	for (unsigned i = 1; i <= 8; i++)
		if (seg_linear(v, X86_SS, (sp - i * sz) & sp_mask(v), sz, true, &gva) ||
		    vcpu_probe_write(v, gva, sz, vcpu_tlb_mode(v)))
			return X86_FAULT;
	for (unsigned i = 0; i < 8; i++)
		if (stack_push(v, &sp, v->cpu.gpr[i], sz))
			return X86_FAULT;
	stack_commit(v, sp);
	return X86_OK;
}

int op_popa(struct vcpu *v, const struct x86_insn *in)
{
	uint64_t sp = v->cpu.gpr[X86_RSP], a[8];
	unsigned got = 8;
	int rc = X86_OK;

	while (got && !rc) {
		rc = stack_pop(v, &sp, &a[got - 1], in->opsize);
		got -= !rc;
	}
	/* AMD's processors keep what they have loaded when they fault. */
	for (unsigned i = got; i < 8 && (!rc || v->vm->model.amd); i++)
		if (i != X86_RSP)
			gpr_put(&v->cpu, i, in->opsize, a[i]);
	if (!rc)
		stack_commit(v, sp);
	return rc;
}

int op_enter(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	unsigned level = (unsigned)in->imm2 & 31, sz = in->opsize;
	uint64_t sp = c->gpr[X86_RSP], bp = c->gpr[X86_RBP], frame, a, gva;

	if (stack_push(v, &sp, bp, sz))
		return X86_FAULT;
	frame = sp;
	for (unsigned i = 1; i < level; i++) {
		bp = (bp - sz) & sp_mask(v);
		a = 0;
		if (seg_read(v, X86_SS, bp, &a, sz) || stack_push(v, &sp, a, sz))
			return X86_FAULT;
	}
	if (level && stack_push(v, &sp, frame, sz))
		return X86_FAULT;
	sp = (sp - ((uint64_t)in->imm & 0xffff)) & sp_mask(v);
	/* The frame's end must be writable: SDM, "ENTER", last check. */
	if (seg_linear(v, X86_SS, sp, sz, true, &gva) ||
	    vcpu_probe_write(v, gva, sz, vcpu_tlb_mode(v)))
		return X86_FAULT;
	gpr_put(c, X86_RBP, sz, frame);
	stack_commit(v, sp);
	return X86_OK;
}

int op_leave(struct vcpu *v, const struct x86_insn *in)
{
	uint64_t sp = v->cpu.gpr[X86_RBP], a;

	if (stack_pop(v, &sp, &a, in->opsize))
		return X86_FAULT;
	stack_commit(v, sp);
	gpr_put(&v->cpu, X86_RBP, in->opsize, a);
	return X86_OK;
}
