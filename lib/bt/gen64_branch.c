/* Near transfers of 64-bit code. */
#include "bt/gen64.h"

#include "bt/emit64.h"
#include "bt/layout64.h"

/* Push the address of the next instruction: by one store, which across two pages stores
 * both parts or none, and which a load of all eight bytes can be forwarded from. */
static void push_next(struct gen *g)
{
	struct emit *e = &g->e;
	uint64_t next = g->next;

	if ((int64_t)next == (int32_t)next) {
		gen64_at(g, X86_RSP, -8, 8, true);
		gen64_mem(g, 0xc7, 0, 0, EMIT_64);
		e32(e, (uint32_t)next);
	} else {		/* R11: the ABI has no use for it here */
		emit_tls_store(e, T_TMP, X86_R11);
		gen64_site(g, X86_R11);
		gen64_at(g, X86_RSP, -8, 8, true);
		emit_mov_imm(e, X86_R11, next);
		gen64_mem(g, 0x89, X86_R11, 0, EMIT_64);
		emit_tls_load(e, X86_R11, T_TMP);
	}
	emit_lea(e, X86_RSP, X86_RSP, X86_NOREG, 0, -8, EMIT_64);
	gen64_r15_lost(g);
}

static bool indirect(struct gen *g)
{
	const struct x86_insn *in = g->in;
	struct emit *e = &g->e;

	if (in->opsize != 8)
		return false;
	if (in->o[0].kind == X86_O_MEM) {
		gen64_access(g, in, 8, false);
		gen64_mem(g, 0x8b, X86_R15, 0, EMIT_64);
	} else if (in->o[0].kind != X86_O_GPR) {
		return false;
	} else if (in->o[0].reg == X86_R15) {
		emit_tls_load(e, X86_R15, T_R15);
	} else {
		emit_mov_rr(e, X86_R15, in->o[0].reg);
	}
	if (in->op == X86_CALL) {
		gen64_check_target(g);
		emit_tls_store(e, T_RIP, X86_R15);
		push_next(g);
		emit_tls_load(e, X86_R15, T_RIP);
	}
	gen64_exit_lookup(g, in->op != X86_CALL);
	return true;
}

static bool loop(struct gen *g, uint64_t target)
{
	struct emit *e = &g->e;

	gen64_begin_exit(g);
	if (g->in->adsize == 4)
		e8(e, 0x67);
	e8(e, g->in->opcode);
	e8(e, 0);
	return gen64_exit_pair(g, e->p - 1, target, g->next);
}

bool gen64_branch(struct gen *g)
{
	const struct x86_insn *in = g->in;
	uint64_t target = g->next + (uint64_t)in->imm;

	if (in->opsize != 8 || (uint64_t)((int64_t)(target << 16) >> 16) != target)
		return false;
	switch (in->op) {
	case X86_JMP:
	case X86_CALL:
		if (in->o[0].kind != X86_O_REL)
			return indirect(g);
		if (in->op == X86_CALL)
			push_next(g);
		gen64_exit_jump(g, target);
		return true;
	case X86_JCC:
		gen64_exit_jcc(g, in->cond, target, g->next);
		return true;
	case X86_LOOPE: case X86_LOOPNE:
		if (in->prefixes & (X86_P_REP | X86_P_REPNE))
			return false;	/* a condition to some processors */
		return loop(g, target);
	case X86_LOOP: case X86_JCXZ:
		return loop(g, target);
	case X86_RET:
		gen64_at(g, X86_RSP, 0, 8, false);
		gen64_mem(g, 0x8b, X86_R15, 0, EMIT_64);
		g->u->exit_rsp = 8 + (in->nops ? (int32_t)(in->imm & 0xffff) : 0);
		emit_lea(&g->e, X86_RSP, X86_RSP, X86_NOREG, 0, g->u->exit_rsp, EMIT_64);
		gen64_exit_lookup(g, true);
		return true;
	}
	return false;
}
