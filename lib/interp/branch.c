/* Near transfers.  SDM vol. 2 JMP, Jcc, CALL, RET, LOOP, JCXZ. */

#include "interp/core.h"

int branch_to(struct vcpu *v, uint64_t target, unsigned opsize)
{
	struct x86_cpu *c = &v->cpu;

	target &= sz_mask(opsize);
	if (c->code_bits == 64) {
		if ((int64_t)(target << 16) >> 16 != (int64_t)target)
			return x86_raise_err(c, X86_EXC_GP, 0);
	} else if (target > c->seg[X86_CS].limit) {
		return x86_raise_err(c, X86_EXC_GP, 0);
	}
	c->rip = target;
	return X86_OK;
}

static int branch_operand(struct vcpu *v, const struct x86_insn *in, uint64_t *target)
{
	if (in->o[0].kind == X86_O_REL) {
		*target = v->cpu.rip + (uint64_t)in->imm;
		return X86_OK;
	}
	return interp_get(v, in, 0, target);
}

int op_jmp(struct vcpu *v, const struct x86_insn *in)
{
	uint64_t target;

	if (branch_operand(v, in, &target))
		return X86_FAULT;
	return branch_to(v, target, in->opsize);
}

int op_jcc(struct vcpu *v, const struct x86_insn *in)
{
	if (!fl_cond((uint32_t)v->cpu.rflags, in->cond))
		return X86_OK;
	return branch_to(v, v->cpu.rip + (uint64_t)in->imm, in->opsize);
}

static int stack_probe(struct vcpu *v, uint64_t sp, unsigned size)
{
	uint64_t gva;

	if (seg_linear(v, X86_SS, (sp - size) & sz_mask(v->cpu.stack_bytes), size, true, &gva))
		return X86_FAULT;
	return vcpu_probe_write(v, gva, size, vcpu_tlb_mode(v));
}

int op_call(struct vcpu *v, const struct x86_insn *in)
{
	uint64_t sp = v->cpu.gpr[X86_RSP], next = v->cpu.rip, target;

	if (branch_operand(v, in, &target))
		return X86_FAULT;
	/* AMD's processors look at the stack before they look at the target. */
	if (v->vm->model.amd && stack_probe(v, sp, in->opsize))
		return X86_FAULT;
	if (branch_to(v, target, in->opsize) || stack_push(v, &sp, next, in->opsize))
		return X86_FAULT;
	stack_commit(v, sp);
	return X86_OK;
}

int op_ret(struct vcpu *v, const struct x86_insn *in)
{
	uint64_t sp = v->cpu.gpr[X86_RSP], target;

	if (stack_pop(v, &sp, &target, in->opsize) ||
	    branch_to(v, target, in->opsize))
		return X86_FAULT;
	if (in->nops)
		sp += (uint64_t)in->imm & 0xffff;
	stack_commit(v, sp);
	return X86_OK;
}

/* loop loope loopne: the counter has the address size. */
int op_loop(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t n = (c->gpr[X86_RCX] - 1) & sz_mask(in->adsize);
	bool zf = c->rflags & X86_FL_ZF, go = n != 0, want = in->op == X86_LOOPE;

	/* To AMD's processors F3 and F2 are the condition. */
	if (v->vm->model.amd && in->prefixes & (X86_P_REP | X86_P_REPNE))
		want = in->prefixes & X86_P_REP;
	if (in->op != X86_LOOP)
		go = go && zf == want;
	if (go && branch_to(v, c->rip + (uint64_t)in->imm, in->opsize))
		return X86_FAULT;
	gpr_put(c, X86_RCX, in->adsize, n);
	return X86_OK;
}

int op_jcxz(struct vcpu *v, const struct x86_insn *in)
{
	if (v->cpu.gpr[X86_RCX] & sz_mask(in->adsize))
		return X86_OK;
	return branch_to(v, v->cpu.rip + (uint64_t)in->imm, in->opsize);
}
