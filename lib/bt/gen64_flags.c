/*
 * Flags of 64-bit code that can be had again.
 *
 * Folding an address by AND or OR is one instruction on the way to a load, by PEXT and
 * PDEP two of three cycles each; but it takes the flags.  Where an instruction that set
 * all of them can be repeated from registers that still hold what it took or made, they
 * may be lost for a while:
 *
 *	cmp rax,rbx			recipe: cmp rax,rbx
 *	mov rcx,[rdx]			mov r15,rdx; and r15,[mask]; mov rcx,gs:[r15]
 *	jb target			cmp rax,rbx; jb target
 *
 * Where those registers change before the flags do, they are kept first (T_OLD, T_OLD2).
 * Where no recipe is known, as at the start of a unit, and all flags will be overwritten
 * before one is read, the flags themselves are kept (T_FLAGS): that is more than PEXT and
 * PDEP, but not on the way to a load.
 *
 * They are made again before whatever reads or keeps some of them, before C is called,
 * where the unit is left, and before the registers of the recipe change.  A site at
 * which they are lost has a stub, by which a fault leaves.
 */
#include "bt/gen64.h"

#include "bt/emit64.h"
#include "bt/layout64.h"

enum { REPEAT, TEST, ADD, SUB, SHIFT, SAVED };

static uint32_t operand_regs(const struct x86_operand *o)
{
	return o->kind == X86_O_GPR || o->kind == X86_O_GPRH ? 1u << o->reg : 0;
}

static bool kills_all(const struct x86_insn *in)
{
	return !(X86_FL_ARITH & ~x86_flags_killed(in));
}

/* May the flags be lost while in executes? */
static bool may_lose(const struct gen *g, const struct x86_insn *in)
{
	if ((in->how != X86_HOW_SAME && in->how != X86_HOW_STACK) || x86_flags_read(in))
		return false;
	return kills_all(in) ||
	       (!x86_flags_changed(in) && !(gen64_written(in) & g->recipe[g->recipe_now - 1].regs));
}

bool gen64_flags_may_go(const struct gen *g)
{
	return g->recipe_now && may_lose(g, g->in);
}

/* op r15, fs:[T_OLD or T_OLD2] or, of r->size bytes, the immediate */
static void op_kept(struct emit *e, const struct gen_recipe *r, unsigned op, unsigned alu)
{
	unsigned byte = r->size == 1;

	if (r->size == 2)
		e8(e, 0x66);
	if (r->other != X86_NOREG) {
		emit_tls(e, op - byte, X86_R15, r->other == r->reg ? T_OLD : T_OLD2, r->w);
		return;
	}
	emit_rr(e, (r->test ? 0xf7 : 0x81) - byte, alu, X86_R15, r->w);
	for (unsigned i = 0; i < 4 && i < r->size; i++)
		e8(e, (uint8_t)((uint32_t)r->imm >> 8 * i));
}

/* From what was kept. */
static void repeat_kept(struct gen *g, const struct gen_recipe *r)
{
	struct emit *e = &g->e;
	bool add = r->kind == ADD;

	emit_tls_load(e, X86_R15, T_OLD);
	switch (r->kind) {
	case REPEAT:
		op_kept(e, r, r->test ? 0x85 : 0x3b, r->test ? 0 : 7);
		break;
	case TEST:
		emit_rr(e, 0x85, X86_R15, X86_R15, r->w);
		break;
	case SHIFT:
		emit_rr(e, 0xc1, r->reg, X86_R15, r->w);
		e8(e, (uint8_t)r->imm);
		break;
	default:
		op_kept(e, r, add ? 0x2b : 0x03, add ? 5 : 0);
		op_kept(e, r, add ? 0x03 : 0x2b, add ? 0 : 5);
	}
}

static void repeat_saved(struct emit *e)
{
	emit_mov_rr(e, X86_R15, X86_RAX);
	emit_tls(e, 0x8b, X86_RAX, T_FLAGS, EMIT_32);
	e8(e, 0x04), e8(e, 0x7f);		/* add al, 0x7f */
	e8(e, 0x9e);				/* sahf */
	emit_mov_rr(e, X86_RAX, X86_R15);
}

static void repeat(struct gen *g, const struct gen_recipe *r)
{
	struct emit *e = &g->e;
	bool add = r->kind == ADD;

	if (r->kept || r->kind == SAVED)
		gen64_r15_lost(g);
	if (r->kept) {
		repeat_kept(g, r);
		return;
	}
	if (r->kind == SAVED) {
		repeat_saved(e);
		return;
	}
	if (r->kind == REPEAT) {
		ebytes(e, r->bytes, r->len);
		return;
	}
	if (r->kind == TEST) {
		emit_rr(e, 0x85, r->reg, r->reg, r->w);
		return;
	}
	gen64_r15_lost(g);
	if (r->other == X86_NOREG) {
		emit_lea(e, X86_R15, r->reg, X86_NOREG, 0, add ? -r->imm : r->imm, r->w);
		if (r->w == EMIT_64)
			emit_alu64_ri(e, add ? 0 : 5, X86_R15, r->imm);
		else
			emit_alu_ri(e, add ? 0 : 5, X86_R15, (uint32_t)r->imm);
		return;
	}
	emit_rr(e, 0x89, r->reg, X86_R15, r->w);
	emit_rr(e, add ? 0x29 : 0x01, r->other, X86_R15, r->w);
	emit_rr(e, add ? 0x01 : 0x29, r->other, X86_R15, r->w);
}

void gen64_flags_fix(struct gen *g)
{
	if (g->flags_lost)
		repeat(g, &g->recipe[g->recipe_now - 1]);
	g->flags_lost = false;
}

/* Is it a shift of a register by a constant? */
static bool is_shift(const struct x86_insn *in)
{
	const struct x86_operand *o = in->o;

	if ((in->op != X86_SHL && in->op != X86_SHR && in->op != X86_SAR) ||
	    o[0].kind != X86_O_GPR || o[0].reg == X86_R15 || o[0].size < 4)
		return false;
	return o[1].kind == X86_O_IMM && in->imm & (o[0].size == 8 ? 63 : 31);
}

/* Does it access memory in line, by an address that is to be folded? */
static bool accesses(const struct gen *g, const struct x86_insn *in)
{
	unsigned reg;

	return gen64_accesses(in) && !gen64_loop_carries(g, in, &reg);
}

/* Will an access soon want to take the flags? */
static bool wanted_soon(const struct gen *g)
{
	for (unsigned i = 1; i <= 4 && i <= g->behind; i++) {
		const struct x86_insn *in = &g->in[i];

		if (x86_flags_read(in))
			return false;
		if (accesses(g, in))
			return true;
		if (x86_flags_changed(in))
			return false;
	}
	return false;
}

static uint8_t recipe_add(struct gen *g, const struct gen_recipe *r)
{
	g->recipe[g->nrecipes++] = *r;
	return g->nrecipes;
}

/* The current instruction changes what the recipe is made of: keep that. */
static void recipe_keep(struct gen *g)
{
	const struct x86_insn *in = g->in;
	struct gen_recipe r;

	if (!g->recipe_now || g->soft || g->nrecipes == GEN_RECIPES)
		return;
	r = g->recipe[g->recipe_now - 1];
	if (!r.keepable || !(gen64_written(in) & r.regs) || x86_flags_read(in) ||
	    x86_flags_changed(in) || (!accesses(g, in) && !wanted_soon(g)))
		return;
	emit_tls_store(&g->e, T_OLD, r.reg);
	if (r.other != X86_NOREG && r.other != r.reg)
		emit_tls_store(&g->e, T_OLD2, r.other);
	r.kept = true;
	r.keepable = false;
	r.regs = 0;
	g->recipe_now = recipe_add(g, &r);
}

/* Are all flags overwritten before any is read, and is an address folded until then? */
static bool flags_die(const struct gen *g)
{
	for (unsigned i = 0; i <= g->behind; i++) {
		const struct x86_insn *in = &g->in[i];

		if ((in->how != X86_HOW_SAME && in->how != X86_HOW_STACK) || x86_flags_read(in))
			return false;
		if (kills_all(in))
			return true;
		if (x86_flags_changed(in))
			return false;
	}
	return false;
}

/* Keep the flags themselves. */
static void flags_save(struct gen *g)
{
	struct emit *e = &g->e;
	const struct gen_recipe r = { .kind = SAVED };

	if (g->recipe_now || g->soft || g->nrecipes == GEN_RECIPES || !accesses(g, g->in) ||
	    !flags_die(g) || gen64_fold_serves(g, g->in))
		return;
	gen64_r15_lost(g);
	emit_mov_rr(e, X86_R15, X86_RAX);
	e8(e, 0x9f);				/* lahf */
	e8(e, 0x0f), e8(e, 0x90), e8(e, 0xc0);	/* seto al */
	emit_tls(e, 0x89, X86_RAX, T_FLAGS, EMIT_32);
	emit_mov_rr(e, X86_RAX, X86_R15);
	g->recipe_now = recipe_add(g, &r);
}

void gen64_flags_before(struct gen *g)
{
	recipe_keep(g);
	flags_save(g);
	if (g->flags_lost && may_lose(g, g->in))
		g->u->site[g->u->nsites - 1].fix = g->recipe_now;
	else
		gen64_flags_fix(g);
	/* Not before that: it may need what is there. */
	g->old_kept = is_shift(g->in) && !g->soft && wanted_soon(g);
	if (g->old_kept)
		emit_tls_store(&g->e, T_OLD, g->in->o[0].reg);
}

/* How in's flags can be had again.  false: not at all. */
static bool recipe_make(const struct gen *g, struct gen_recipe *r)
{
	const struct x86_insn *in = g->in;
	const struct x86_operand *o = in->o;
	bool imm = in->nops > 1 && o[1].kind == X86_O_IMM;

	*r = (struct gen_recipe){ .other = X86_NOREG };
	if (in->nops < 2)
		return false;
	if (g->old_kept) {
		r->kind = SHIFT;
		r->reg = in->op == X86_SHL ? 4 : in->op == X86_SHR ? 5 : 7;
		r->w = o[0].size == 8 ? EMIT_64 : EMIT_32;
		r->imm = (int32_t)in->imm;
		r->kept = true;
		return true;
	}
	r->regs = (uint16_t)(operand_regs(&o[0]) | operand_regs(&o[1]));
	r->reg = o[0].reg;
	r->w = o[0].size == 8 ? EMIT_64 : EMIT_32;
	r->size = o[0].size;
	r->keepable = o[0].kind == X86_O_GPR;
	if (!operand_regs(&o[0]) || r->regs >> X86_R15)
		return false;
	switch (in->op) {
	case X86_CMP: case X86_TEST:
		r->kind = REPEAT;
		r->bytes = g->bytes;
		r->len = in->len;
		r->test = in->op == X86_TEST;
		r->imm = (int32_t)in->imm;
		if (!imm)
			r->other = o[1].reg;
		return imm || o[1].kind == X86_O_GPR;
	case X86_AND: case X86_OR: case X86_XOR:
		r->kind = TEST;
		r->regs = (uint16_t)operand_regs(&o[0]);
		return o[0].kind == X86_O_GPR && o[0].size >= 4;
	case X86_ADD: case X86_SUB:
		r->kind = in->op == X86_ADD ? ADD : SUB;
		r->imm = (int32_t)in->imm;
		if (o[0].kind != X86_O_GPR || o[0].size < 4)
			return false;
		if (imm)
			return r->imm != INT32_MIN;
		r->other = o[1].reg;
		return o[1].kind == X86_O_GPR && o[1].reg != o[0].reg;
	}
	return false;
}

void gen64_flags_after(struct gen *g)
{
	const struct x86_insn *in = g->in;
	struct gen_recipe r;

	if (in->how != X86_HOW_SAME && in->how != X86_HOW_STACK) {
		gen64_flags_forget(g);
	} else if (kills_all(in) || g->old_kept) {
		gen64_flags_forget(g);
		if (g->nrecipes < GEN_RECIPES && recipe_make(g, &r)) {
			g->recipe[g->nrecipes++] = r;
			g->recipe_now = g->nrecipes;
		}
	} else if (x86_flags_changed(in) ||
		   (g->recipe_now && gen64_written(in) & g->recipe[g->recipe_now - 1].regs)) {
		gen64_flags_forget(g);
	}
}

void gen64_flags_stubs(struct gen *g)
{
	uint16_t at[GEN_RECIPES + 1] = { 0 };
	struct emit *e = &g->e;

	for (unsigned i = 0; i < g->u->nsites; i++) {
		struct bt_site *s = &g->u->site[i];

		if (!s->fix)
			continue;
		if (!at[s->fix]) {
			at[s->fix] = (uint16_t)(e->p - e->start);
			repeat(g, &g->recipe[s->fix - 1]);
			emit_tls_jmp(e, T_EXIT);
		}
		s->fix = at[s->fix];
	}
}
