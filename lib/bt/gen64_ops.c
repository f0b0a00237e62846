/* 64-bit instructions: data, stack, flags. */
#include "bt/gen64.h"

#include "bt/emit64.h"
#include "bt/layout64.h"

static const struct x86_operand *mem_operand(const struct x86_insn *in)
{
	for (unsigned i = 0; i < in->nops; i++)
		if (in->o[i].kind == X86_O_MEM)
			return &in->o[i];
	return NULL;
}

static bool unit_state_ok(const struct gen *g, const struct x86_insn *in)
{
	static const uint32_t need[] = {
		[X86_U_X87] = BT_M_X87, [X86_U_MMX] = BT_M_X87,
		[X86_U_SSE] = BT_M_SSE, [X86_U_AVX] = BT_M_AVX,
	};

	return in->unit == X86_U_INT || g->mode & need[in->unit];
}

static bool names_reg(const struct x86_insn *in, unsigned reg)
{
	for (unsigned i = 0; i < in->nops; i++)
		if (in->o[i].kind == X86_O_GPR && in->o[i].reg == reg)
			return true;
	return false;
}

static bool names_high_byte(const struct x86_insn *in)
{
	for (unsigned i = 0; i < in->nops; i++)
		if (in->o[i].kind == X86_O_GPRH)
			return true;
	return false;
}

static bool writes_r15(const struct x86_insn *in)
{
	for (unsigned i = 0; i < in->nops; i++)
		if (in->o[i].kind == X86_O_GPR && in->o[i].reg == X86_R15 &&
		    in->o[i].access & X86_A_W)
			return true;
	return false;
}

/* A register that in does not use, also not silently (mul, cmpxchg16b, shifts). */
static unsigned spare_reg(const struct x86_insn *in)
{
	static const uint8_t from[] = { X86_RDI, X86_RSI, X86_R8, X86_R9 };
	unsigned i = 0;

	while (i < 3 && (names_reg(in, from[i]) || in->index == from[i]))
		i++;
	return from[i];
}

/* bt/bts/btr/btc [mem], reg reach beyond their operand. */
static bool is_bit_string(const struct x86_insn *in)
{
	return (in->op == X86_BT || in->op == X86_BTS || in->op == X86_BTR ||
		in->op == X86_BTC) && in->o[1].kind == X86_O_GPR;
}

/* Does it write all of R15 without reading any? */
static bool sets_r15(const struct x86_insn *in)
{
	const struct x86_operand *o = in->o;

	if (o[0].kind != X86_O_GPR || o[0].reg != X86_R15 || o[0].size < 4)
		return false;
	switch (in->op) {
	case X86_MOV: case X86_MOVZX: case X86_MOVSX: case X86_MOVSXD:
		return o[1].kind != X86_O_GPR || o[1].reg != X86_R15;
	case X86_LEA:
		return in->base != X86_R15 && in->index != X86_R15;
	}
	return false;
}

/* The instruction itself; the host address is in r15. */
static void same_at_r15(struct gen *g)
{
	const struct x86_insn *in = g->in;
	struct emit *e = &g->e;
	bool r15 = names_reg(in, X86_R15);
	struct emit_mem m = gen64_at_r15(g);

	bool elsewhere = m.base != X86_R15;

	if (elsewhere && r15 && !sets_r15(in))
		gen64_r15_load(g);
	if (sets_r15(in) || elsewhere || (!r15 && !names_high_byte(in))) {
		gen64_site(g, X86_NOREG);
		emit_guest64(e, in, g->bytes, &m);
		if (writes_r15(in)) {
			gen64_r15_loaded(g);
			g->r15_newer = true;
		}
		return;
	}
	m.base = (uint8_t)spare_reg(in);
	emit_tls_store(e, T_TMP, m.base);
	emit_mov_rr(e, m.base, X86_R15);
	if (r15)
		gen64_r15_load(g);
	gen64_site(g, m.base);
	emit_guest64(e, in, g->bytes, &m);
	if (writes_r15(in))
		emit_tls_store(e, T_R15, X86_R15);
	emit_tls_load(e, m.base, T_TMP);
}

/* The instruction as it is; R15 is the guest's if it names it. */
static void same_reg(struct gen *g)
{
	const struct x86_insn *in = g->in;

	if (sets_r15(in))
		gen64_r15_loaded(g);
	else if (names_reg(in, X86_R15) || in->base == X86_R15 || in->index == X86_R15)
		gen64_r15_load(g);
	ebytes(&g->e, g->bytes, in->len);
	g->r15_newer |= writes_r15(in);
}

static void lea(struct gen *g)
{
	const struct x86_insn *in = g->in;
	unsigned reg = in->o[0].reg;
	uint64_t ea = g->next + (uint64_t)in->disp;

	if (in->base != X86_RIP) {
		same_reg(g);
		return;
	}
	if (in->adsize == 4)
		ea = (uint32_t)ea;
	if (reg == X86_R15 && in->opsize > 2)
		gen64_r15_loaded(g);
	else if (reg == X86_R15)
		gen64_r15_load(g);
	if (in->opsize == 2)	/* mov reg16, imm16 */
		emit_mov16(&g->e, reg, (uint16_t)ea);
	else
		emit_mov_imm(&g->e, reg, in->opsize == 8 ? ea : (uint32_t)ea);
	g->r15_newer |= reg == X86_R15;
}

static bool is_hint(const struct x86_insn *in)
{
	return in->op == X86_NOP || in->op == X86_PREFETCH || in->op == X86_ENDBR;
}

/* Whatever its class, gen64_inline() does it. */
static bool is_inline(const struct x86_insn *in)
{
	return in->how == X86_HOW_INLINE || in->op == X86_CLD || in->op == X86_STD ||
	       in->op == X86_PAUSE || in->op == X86_MOV_SEG;
}

bool gen64_same_ok(const struct gen *g)
{
	const struct x86_insn *in = g->in;
	const struct x86_operand *m = mem_operand(in);

	if (is_inline(in) || !unit_state_ok(g, in) || !x86_model_has(&g->bt->vm->model, in->feat) ||
	    (in->prefixes & X86_P_REP && in->prefixes & X86_P_REPNE))
		return false;
	if (!m || is_hint(in) || in->op == X86_LEA)
		return true;
	return m->access && m->size && !in->vsib && !is_bit_string(in) &&
	       (in->op != X86_MOVSXD || in->opsize != 2);	/* reads more than its size says */
}

static bool same(struct gen *g)
{
	const struct x86_insn *in = g->in;
	const struct x86_operand *m = mem_operand(in);

	if (!gen64_same_ok(g))
		return false;
	if (is_hint(in))
		return true;
	if (in->op == X86_LEA) {
		lea(g);
	} else if (m) {
		gen64_access(g, in, m->size, m->access & X86_A_W);
		same_at_r15(g);
	} else {
		same_reg(g);
	}
	return true;
}

/* --- stack ------------------------------------------------------------------------ */

void gen64_add_rsp(struct gen *g, int32_t n)
{
	emit_lea(&g->e, X86_RSP, X86_RSP, X86_NOREG, 0, n, EMIT_64);
	gen64_fold_moved(g, X86_RSP, n);
}

/* mov [r15], reg of the guest's */
static void store_reg(struct gen *g, unsigned reg)
{
	struct emit *e = &g->e;

	if (reg != X86_R15) {
		gen64_mem(g, 0x89, reg, 0, EMIT_64);
		return;
	}
	emit_tls_store(e, T_TMP, X86_RDI);
	emit_tls_load(e, X86_RDI, T_R15);
	gen64_site(g, X86_RDI);
	gen64_mem(g, 0x89, X86_RDI, 0, EMIT_64);
	emit_tls_load(e, X86_RDI, T_TMP);
}

/* push [mem]: the value travels in RDI. */
static void push_mem(struct gen *g)
{
	struct emit *e = &g->e;

	gen64_access(g, g->in, 8, false);
	gen64_mem(g, 0x8b, X86_R15, 0, EMIT_64);
	emit_tls_store(e, T_TMP, X86_RDI);
	emit_mov_rr(e, X86_RDI, X86_R15);
	gen64_site(g, X86_RDI);
	gen64_at(g, X86_RSP, -8, 8, true);
	gen64_mem(g, 0x89, X86_RDI, 0, EMIT_64);
	emit_tls_load(e, X86_RDI, T_TMP);
}

static bool push(struct gen *g)
{
	const struct x86_insn *in = g->in;

	switch (in->o[0].kind) {
	case X86_O_GPR:
		gen64_at(g, X86_RSP, -8, 8, true);
		store_reg(g, in->o[0].reg);
		break;
	case X86_O_IMM:
		gen64_at(g, X86_RSP, -8, 8, true);
		gen64_mem(g, 0xc7, 0, 0, EMIT_64);
		e32(&g->e, (uint32_t)in->imm);
		break;
	case X86_O_MEM:
		push_mem(g);
		break;
	default:
		return false;
	}
	gen64_add_rsp(g, -8);
	return true;
}

static bool pop(struct gen *g)
{
	const struct x86_insn *in = g->in;
	unsigned reg = in->o[0].reg;

	if (in->o[0].kind != X86_O_GPR)
		return false;
	gen64_at(g, X86_RSP, 0, 8, false);
	gen64_mem(g, 0x8b, reg, 0, EMIT_64);
	if (reg == X86_R15) {
		emit_tls_store(&g->e, T_R15, X86_R15);
		gen64_r15_loaded(g);
	}
	if (reg != X86_RSP)
		gen64_add_rsp(g, 8);
	return true;
}

static bool stack(struct gen *g)
{
	if (g->in->opsize != 8)
		return false;
	switch (g->in->op) {
	case X86_PUSH:
		return push(g);
	case X86_POP:
		return pop(g);
	case X86_LEAVE:
		gen64_at(g, X86_RBP, 0, 8, false);
		gen64_mem(g, 0x8b, X86_R15, 0, EMIT_64);
		emit_lea(&g->e, X86_RSP, X86_RBP, X86_NOREG, 0, 8, EMIT_64);
		emit_mov_rr(&g->e, X86_RBP, X86_R15);
		return true;
	}
	return false;
}

/* --- what R15 still holds ------------------------------------------------------------ */

bool gen64_only_named(const struct x86_insn *in)
{
	switch (in->op) {
	case X86_MOV: case X86_MOVZX: case X86_MOVSX: case X86_MOVSXD: case X86_LEA:
	case X86_ADD: case X86_ADC: case X86_SUB: case X86_SBB: case X86_AND: case X86_OR:
	case X86_XOR: case X86_CMP: case X86_TEST: case X86_INC: case X86_DEC: case X86_NEG:
	case X86_NOT: case X86_SHL: case X86_SHR: case X86_SAR: case X86_ROL: case X86_ROR:
	case X86_SETCC: case X86_CMOVCC: case X86_BT: case X86_PUSH: case X86_POP:
	case X86_BSWAP: case X86_BSF: case X86_BSR: case X86_TZCNT: case X86_LZCNT:
	case X86_POPCNT: case X86_SHLD: case X86_SHRD: case X86_XADD: case X86_XCHG:
	case X86_BTS: case X86_BTR: case X86_BTC:
		return true;
	case X86_IMUL:
		return in->nops > 1;
	}
	if (in->unit != X86_U_INT)
		return in->how == X86_HOW_SAME && in->op != X86_PCMPESTRI &&
		       in->op != X86_PCMPISTRI;
	return is_hint(in);
}

/* It works on registers only, does not fault, and may find T_R15 out of date. */
static bool is_quiet(const struct x86_insn *in)
{
	return in->how == X86_HOW_SAME && in->unit == X86_U_INT && gen64_only_named(in) &&
	       (!x86_has_mem(in) || in->op == X86_LEA);
}

unsigned gen64_adds_const(const struct x86_insn *in, int64_t *n)
{
	const struct x86_operand *o = in->o;

	if (!in->nops || o[0].kind != X86_O_GPR || o[0].size != 8)
		return X86_NOREG;
	switch (in->op) {
	case X86_ADD: case X86_SUB:
		*n = in->op == X86_ADD ? in->imm : -in->imm;
		return o[1].kind == X86_O_IMM ? o[0].reg : X86_NOREG;
	case X86_INC: case X86_DEC:
		*n = in->op == X86_INC ? 1 : -1;
		return o[0].reg;
	case X86_LEA:
		*n = in->disp;
		return in->base == o[0].reg && in->index == X86_NOREG && in->adsize == 8 ?
			o[0].reg : X86_NOREG;
	}
	return X86_NOREG;
}

static void fold_after(struct gen *g)
{
	const struct x86_insn *in = g->in;
	struct gen_fold *f = &g->fold;
	int64_t n;
	unsigned reg = gen64_adds_const(in, &n);

	if (reg != X86_NOREG)
		gen64_loop_moved(g, reg, n);
	if (!f->valid)
		return;
	if (reg != X86_NOREG) {
		gen64_fold_moved(g, reg, n);
		return;
	}
	for (unsigned i = 0; i < in->nops; i++) {
		const struct x86_operand *o = &in->o[i];

		if (o->kind == X86_O_GPR && o->access & X86_A_W &&
		    (o->reg == f->base || o->reg == f->index))
			f->valid = false;
	}
	if ((names_high_byte(in) || !gen64_only_named(in)) &&
	    (f->base <= X86_RBX || f->index <= X86_RBX))
		f->valid = false;
}

static bool one(struct gen *g)
{
	if (is_inline(g->in))
		return gen64_inline(g);
	switch (g->in->how) {
	case X86_HOW_SAME:
		return same(g);
	case X86_HOW_STACK:
		return stack(g);
	case X86_HOW_STRING:
		return gen64_string(g);
	case X86_HOW_JUMP: case X86_HOW_JUMP_IND: case X86_HOW_CALL:
	case X86_HOW_CALL_IND:
		return gen64_branch(g);
	default:
		return false;
	}
}

bool gen64_one(struct gen *g)
{
	uint8_t recipe = g->recipe_now;
	bool lost = g->flags_lost, newer = g->r15_newer;

	if (g->flags_lost || !is_quiet(g->in))
		gen64_r15_store(g);
	gen64_flags_before(g);
	if (!one(g)) {	/* what was emitted is undone */
		g->flags_lost = lost;
		g->recipe_now = recipe;
		g->r15_newer = newer;
		return false;
	}
	fold_after(g);
	gen64_flags_after(g);
	gen64_bounds_after(g);
	return true;
}
