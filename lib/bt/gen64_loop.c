/*
 * Loops of 64-bit code that are one unit: what is folded stays folded.
 *
 *	top: movsd xmm0,[rax]		r8, r9: not used by the loop
 *	mulsd xmm0,[rdx]
 *	add rax,8
 *	add rdx,512			fs:[T_LOOP]=r8; r8=fold(rax); ...=r9; r9=fold(rdx)
 *	addsd xmm1,xmm0		top:	movsd xmm0,gs:[r8]; mulsd xmm0,gs:[r9]
 *	cmp rax,rcx			add rax,8; lea r8,[r8+8]; ...
 *	jne top				cmp rax,rcx; jne top; r8, r9 = the guest's
 *
 * The folded address moves with the registers that it is made of, which change only by
 * constants.  It may leave its slot so, but not without an access in the guard, for
 * every time around it is used and moves by less than the guard's length.
 *
 * The host registers are such as the loop does not name; a site says that they are
 * away.  Where all accesses of the loop go by one address and it does not name R15, that
 * holds it.  The link back leads behind the folding; unlinked, it gives the registers back.
 */
#include "bt/gen64.h"

#include "bt/layout64.h"
#include "bt/window.h"

#define MOVE_MAX (WIDE_EDGE / 8)

static bool has_high_byte(const struct x86_insn *in)
{
	for (unsigned i = 0; i < in->nops; i++)
		if (in->o[i].kind == X86_O_GPRH)
			return true;
	return false;
}

static uint32_t named(const struct x86_insn *in)
{
	uint32_t regs = gen64_written(in);

	for (unsigned i = 0; i < in->nops; i++)
		if (in->o[i].kind == X86_O_GPR)
			regs |= 1u << in->o[i].reg;
	if (x86_has_mem(in)) {
		regs |= in->base < 16 ? 1u << in->base : 0;
		regs |= in->index < 16 ? 1u << in->index : 0;
	}
	return regs;
}

bool gen64_accesses(const struct x86_insn *in)
{
	if (in->how == X86_HOW_STACK)
		return true;
	for (unsigned i = 0; i < in->nops && in->how == X86_HOW_SAME; i++)
		if (in->o[i].kind == X86_O_MEM && in->o[i].access)
			return true;
	return false;
}

/* What in's access goes by.  false: not one that can be carried. */
static bool key_of(const struct gen *g, const struct x86_insn *in, struct gen_carried *k)
{
	int64_t reach = gen64_index_reach(g, in);

	*k = (struct gen_carried){ .base = in->base, .index = in->index, .scale = in->scale };
	if (reach || in->index == X86_NOREG) {
		k->index = X86_NOREG;
		k->scale = 0;
	}
	return in->adsize == 8 && in->seg != X86_FS && in->seg != X86_GS && in->base < X86_R15 &&
	       (k->index == X86_NOREG || k->index < X86_R15) && in->disp > -MOVE_MAX &&
	       in->disp + reach < MOVE_MAX;
}

static struct gen_carried *key_find(struct gen_loop *l, const struct gen_carried *k)
{
	for (unsigned i = 0; i < l->n; i++)
		if (l->key[i].base == k->base && l->key[i].index == k->index &&
		    l->key[i].scale == k->scale)
			return &l->key[i];
	return NULL;
}

/* Does the register stay, but for constants that are added? */
static bool steady(const struct x86_insn *in, unsigned n, unsigned reg)
{
	int64_t moved = 0, by;

	for (; n--; in++) {
		if (gen64_adds_const(in, &by) == reg) {
			moved += by < 0 ? -by : by;
			if (moved < 0 || moved > MOVE_MAX / 8)
				return false;
		} else if (gen64_written(in) >> reg & 1) {
			return false;
		}
	}
	return true;
}

/* The accesses' keys.  Returns whether all of them have one. */
static bool keys_make(struct gen *g, const struct x86_insn *in, unsigned n)
{
	struct gen_loop *l = &g->loop;
	bool all = true;

	for (unsigned i = 0; i < n; i++) {
		struct gen_carried k;

		g->in = &in[i];
		if (gen64_accesses(g->in) &&
		    (!key_of(g, g->in, &k) || !steady(in, n, k.base) ||
		     (k.index != X86_NOREG && !steady(in, n, k.index)))) {
			all = false;
		} else if (gen64_accesses(g->in) && !key_find(l, &k)) {
			if (l->n == GEN_CARRIED)
				all = false;
			else
				l->key[l->n++] = k;
		}
		gen64_bounds_after(g);
	}
	return all;
}

/* Give each key a host register. */
static void regs_choose(struct gen_loop *l, uint32_t used, bool all)
{
	static const uint8_t from[] = { X86_R8, X86_R9, X86_R10, X86_R11, X86_R14, X86_RBX,
					X86_RSI, X86_RDI, X86_RDX };
	unsigned n = 0;

	if (l->n == 1 && all && !(used >> X86_R15 & 1)) {
		l->key[0].reg = X86_R15;
		return;
	}
	for (unsigned i = 0; i < sizeof(from) && n < l->n; i++)
		if (!(used >> from[i] & 1))
			l->key[n++].reg = from[i];
	l->n = (uint8_t)n;
	l->away = n > 0;
}

void gen64_loop_find(struct gen *g, const struct x86_insn *in, unsigned n, uint64_t end)
{
	struct bt_unit *u = g->u;
	uint32_t used = 0;
	bool all;

	if (u->form != BT_WINDOW || u->soft || g->bt->verify || u->gpa2 || n < 2 ||
	    in[n - 1].op != X86_JCC || end + (uint64_t)in[n - 1].imm != u->eip)
		return;
	for (unsigned i = 0; i < n - 1; i++) {
		g->in = &in[i];
		if (in[i].how != X86_HOW_SAME || !gen64_same_ok(g) || has_high_byte(&in[i]))
			return;
		used |= named(&in[i]);
	}
	gen64_bounds_forget(g);
	all = keys_make(g, in, n - 1);
	gen64_bounds_forget(g);
	regs_choose(&g->loop, used, all);
}

void gen64_loop_begin(struct gen *g)
{
	struct gen_loop *l = &g->loop;
	struct emit *e = &g->e;

	for (unsigned i = 0; i < l->n; i++) {
		struct gen_carried *k = &l->key[i];

		if (k->reg != X86_R15)
			emit_tls_store(e, T_LOOP + 8 * (int32_t)i, k->reg);
		emit_lea(e, X86_R15, k->base, k->index, k->scale, 0, EMIT_64);
		emit_fold(e, X86_R15, g->mode & BT_M_HIGH);
		if (k->reg != X86_R15)
			emit_mov_rr(e, k->reg, X86_R15);
		if (l->away)
			g->u->away[i] = k->reg;
	}
	if (l->away)
		g->u->naway = l->n;
	g->u->entry_loop = emit_here(e);
}

bool gen64_loop_carries(const struct gen *g, const struct x86_insn *in, unsigned *reg)
{
	struct gen_carried k, *found;

	if (!g->loop.n || !key_of(g, in, &k))
		return false;
	found = key_find((struct gen_loop *)&g->loop, &k);
	if (found)
		*reg = found->reg;
	return found;
}

void gen64_loop_moved(struct gen *g, unsigned reg, int64_t n)
{
	for (unsigned i = 0; i < g->loop.n; i++) {
		const struct gen_carried *k = &g->loop.key[i];
		int64_t by = 0;

		if (k->base == reg)
			by += n;
		if (k->index == reg)
			by += (int64_t)((uint64_t)n << k->scale);
		if (by)
			emit_lea(&g->e, k->reg, k->reg, X86_NOREG, 0, (int32_t)by, EMIT_64);
	}
}

void gen64_loop_back(struct gen *g)
{
	for (unsigned i = 0; i < g->loop.n && g->loop.away; i++)
		emit_tls_load(&g->e, g->loop.key[i].reg, T_LOOP + 8 * (int32_t)i);
}
