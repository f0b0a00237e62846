/* Near transfers: jmp, jcc, call, ret, loop, jcxz. */
#include "bt/gen.h"

/* The counter is CX, which 64-bit code cannot say. */
static bool loop16(struct gen *g, uint32_t target)
{
	struct emit *e = &g->e;
	bool loop = g->in->op != X86_JCXZ;
	uint8_t *not_taken = NULL;

	gen_need_saved(g);
	g->ended = true;
	g->u->exit_off = (uint16_t)(e->p - e->start);
	if (loop) {
		emit_lea(e, X86_R8, X86_RCX, X86_NOREG, 0, -1, EMIT_32);
		gen_mov16(g, X86_RCX, X86_R8);
	}
	emit_rr(e, 0x0fb7, X86_R8, X86_RCX, EMIT_32);
	emit_rr(e, 0x85, X86_R8, X86_R8, EMIT_32);
	g->flags = GEN_SAVED;
	if (g->in->op == X86_LOOPE || g->in->op == X86_LOOPNE) {
		e8(e, 0x74), e8(e, 0);
		not_taken = e->p - 1;
		emit_rr(e, 0xf7, 0, X86_R12, EMIT_32);	/* test r12d, ZF in AH */
		e32(e, X86_FL_ZF << 8);
		e8(e, g->in->op == X86_LOOPE ? 0x75 : 0x74);
	} else {
		e8(e, loop ? 0x75 : 0x74);
	}
	e8(e, 0);
	if (not_taken) {
		uint8_t *taken = e->p - 1;

		emit_close8(e, not_taken);
		return gen_exit_pair(g, taken, target, g->next);
	}
	return gen_exit_pair(g, e->p - 1, target, g->next);
}

static bool gen_loop(struct gen *g, uint32_t target)
{
	struct emit *e = &g->e;

	if (g->in->adsize != 4)
		return loop16(g, target);
	gen_need_host(g);
	g->ended = true;
	g->u->exit_off = (uint16_t)(e->p - e->start);
	e8(e, 0x67);
	e8(e, g->in->opcode);
	e8(e, 0);
	return gen_exit_pair(g, e->p - 1, target, g->next);
}

/* The target at r13d is inside CS, or the interpreter raises it. */
static void check_target(struct gen *g)
{
	uint32_t limit = g->u->limit;

	if (limit >= (g->in->opsize == 2 ? 0xffffu : 0xffffffffu))
		return;
	gen_need_saved(g);
	emit_alu_ri(&g->e, 7, X86_R13, limit);
	g->flags = GEN_SAVED;
	gen_stub_add(g, emit_jcc(&g->e, 7), NULL, g->eip, BT_EXIT_STEP, 0);
	gen_site_again(g);
}

static bool gen_ret(struct gen *g)
{
	const struct x86_insn *in = g->in;
	int32_t size = in->opsize;

	gen_load(g, X86_R13, X86_RSP, 0, in->opsize);
	check_target(g);
	gen_set_sp(g, X86_RSP, size + (in->nops ? (int32_t)(in->imm & 0xffff) : 0));
	emit_rr(&g->e, 0x89, X86_R13, X86_R8, EMIT_32);
	gen_exit_return(g);
	return true;
}

/* jmp and call */
static bool gen_jump(struct gen *g, uint32_t target)
{
	const struct x86_insn *in = g->in;
	unsigned size = in->opsize;
	bool direct = in->o[0].kind == X86_O_REL;

	if (in->o[0].kind == X86_O_MEM) {
		if (!gen_seg_ok(g, in->seg, false))
			return false;
		gen_ea(g, in, 0);
		gen_seg(g, in->seg, size, false);
		gen_load_r8(g, X86_R13, size);
	} else if (in->o[0].kind == X86_O_GPR) {
		emit_rr(&g->e, size == 2 ? 0x0fb7 : 0x8b, X86_R13, in->o[0].reg, EMIT_32);
	} else if (!direct) {
		return false;
	}
	if (!direct)
		check_target(g);
	if (in->op == X86_CALL) {
		gen_store_imm(g, X86_RSP, -(int32_t)size, g->next, size);
		gen_set_sp(g, X86_RSP, -(int32_t)size);
		gen_returns(g);
	}
	if (direct) {
		gen_exit_jump(g, target);
	} else {
		emit_rr(&g->e, 0x89, X86_R13, X86_R8, EMIT_32);
		gen_exit_icache(g);
		gen_link_stubs(g);
	}
	return true;
}

bool gen_branch(struct gen *g)
{
	const struct x86_insn *in = g->in;
	uint32_t target = g->next + (uint32_t)in->imm;

	if (in->opsize == 2)
		target &= 0xffff;
	if (in->nops && in->o[0].kind == X86_O_REL && target > g->u->limit)
		return false;
	switch (in->op) {
	case X86_JMP:
	case X86_CALL:
		return gen_jump(g, target);
	case X86_JCC:
		gen_exit_jcc(g, in->cond, target, g->next);
		return true;
	case X86_LOOPE: case X86_LOOPNE:
		if (in->prefixes & (X86_P_REP | X86_P_REPNE))
			return false;	/* a condition to some processors */
		return gen_loop(g, target);
	case X86_LOOP: case X86_JCXZ:
		return gen_loop(g, target);
	case X86_RET:
		return gen_ret(g);
	}
	return false;
}
