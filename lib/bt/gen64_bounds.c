/*
 * How large 64-bit code's registers are at most, where instructions of the unit show it.
 *
 * An index that is small need not be folded with its base:
 *
 *	movzx ecx,cl			RCX is 255 at most
 *	mov eax,[rdi+rcx*4]		r15 = fold(rdi); mov eax,gs:[r15+rcx*4]
 */
#include "bt/gen64.h"

#define UNKNOWN UINT32_MAX

void gen64_bounds_forget(struct gen *g)
{
	for (unsigned i = 0; i < 16; i++)
		g->bound[i] = UNKNOWN;
}

uint32_t gen64_written(const struct x86_insn *in)
{
	uint32_t regs = 0;

	for (unsigned i = 0; i < in->nops; i++)
		if (in->o[i].access & X86_A_W &&
		    (in->o[i].kind == X86_O_GPR || in->o[i].kind == X86_O_GPRH))
			regs |= 1u << in->o[i].reg;
	if (in->how == X86_HOW_STACK)
		regs |= 1u << X86_RSP | 1u << X86_RBP;
	if (!gen64_only_named(in))
		regs |= 1u << X86_RAX | 1u << X86_RCX | 1u << X86_RDX | 1u << X86_RBX;
	return regs;
}

/* What is known of a whole register that is an operand. */
static uint32_t operand_bound(const struct gen *g, const struct x86_operand *o, int64_t imm)
{
	if (o->kind == X86_O_IMM)
		return imm >= 0 && imm < UNKNOWN ? (uint32_t)imm : UNKNOWN;
	return o->kind == X86_O_GPR && o->size >= 4 ? g->bound[o->reg] : UNKNOWN;
}

/* How large in's destination, a register of 32 or 64 bits, is at most. */
static uint32_t result_bound(const struct gen *g, const struct x86_insn *in)
{
	const struct x86_operand *o = in->o;
	uint32_t was = g->bound[o[0].reg], other = operand_bound(g, &o[1], in->imm);

	switch (in->op) {
	case X86_MOV:
		return other;
	case X86_MOVZX:
		return o[1].size == 1 ? 0xff : 0xffff;
	case X86_AND:
		return other < was ? other : was;
	case X86_XOR: case X86_SUB:
		return o[1].kind == X86_O_GPR && o[1].reg == o[0].reg ? 0 : UNKNOWN;
	case X86_SHR:
		if (o[1].kind != X86_O_IMM)
			return was;
		if (o[0].size == 8)
			return was == UNKNOWN ? UNKNOWN : (uint32_t)((uint64_t)was >> (in->imm & 63));
		return was >> (in->imm & 31);	/* UNKNOWN is as large as it can be */
	}
	return UNKNOWN;
}

void gen64_bounds_after(struct gen *g)
{
	const struct x86_insn *in = g->in;
	const struct x86_operand *o = in->o;
	uint32_t bound = UNKNOWN, regs;

	if (in->how != X86_HOW_SAME && in->how != X86_HOW_STACK) {
		gen64_bounds_forget(g);
		return;
	}
	if (in->nops > 1 && o[0].kind == X86_O_GPR && o[0].size >= 4)
		bound = result_bound(g, in);
	regs = gen64_written(in);
	for (unsigned i = 0; i < 16; i++)
		if (regs >> i & 1)
			g->bound[i] = UNKNOWN;
	if (bound != UNKNOWN)
		g->bound[o[0].reg] = bound;
}
