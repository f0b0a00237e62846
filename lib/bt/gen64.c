#include "bt/gen64.h"

#include <stddef.h>

#include "bt/emit64.h"
#include "bt/layout64.h"
#include "bt/window.h"


void gen64_site(struct gen *g, unsigned borrowed)
{
	struct bt_unit *u = g->u;
	struct bt_site s = u->site[u->nsites - 1];

	s.host = (uint16_t)(g->e.p - g->e.start);
	s.borrowed = (uint8_t)borrowed;
	u->site[u->nsites++] = s;
}

/* --- addresses -------------------------------------------------------------------- */

void gen64_r15_load(struct gen *g)
{
	if (!g->guest_r15)
		emit_tls_load(&g->e, X86_R15, T_R15);
	gen64_r15_loaded(g);
}

void gen64_r15_store(struct gen *g)
{
	if (g->r15_newer)
		emit_tls_store(&g->e, T_R15, X86_R15);
	g->r15_newer = false;
}

/* Say where in's operand is. */
static void note_ea(struct gen *g, const struct x86_insn *in)
{
	int64_t disp = in->disp + (in->base == X86_RIP ? (int64_t)(g->next - g->u->eip) : 0);

	g->ea = (struct bt_site){ .ea_base = in->base, .ea_index = in->index, .ea_scale = in->scale,
				  .ea_seg = in->seg, .ea32 = in->adsize != 8, .disp = (int32_t)disp };
	g->ea_known = disp == (int32_t)disp;
}

void gen64_ea(struct gen *g, const struct x86_insn *in)
{
	struct emit *e = &g->e;
	unsigned w = in->adsize == 8 ? EMIT_64 : EMIT_32;

	if (in->base == X86_R15 || in->index == X86_R15)
		gen64_r15_load(g);
	gen64_r15_lost(g);
	if (in->base == X86_RIP) {
		uint64_t ea = g->next + (uint64_t)in->disp;

		emit_mov_imm(e, X86_R15, w ? ea : (uint32_t)ea);
	} else if (in->base == X86_NOREG && in->index == X86_NOREG) {
		emit_mov_imm(e, X86_R15, w ? (uint64_t)in->disp : (uint32_t)in->disp);
	} else {
		emit_lea(e, X86_R15, in->base, in->index, in->scale, (int32_t)in->disp, w);
	}
	if (in->seg == X86_FS || in->seg == X86_GS) {
		/* The flags are the guest's: add by lea, through a register. */
		emit_tls_store(e, T_CX, X86_RCX);
		emit_tls_load(e, X86_RCX, in->seg == X86_FS ? T_FSBASE : T_GSBASE);
		emit_lea(e, X86_R15, X86_R15, X86_RCX, 0, 0, EMIT_64);
		emit_tls_load(e, X86_RCX, T_CX);
	}
}

static void check_stub(struct gen *g, uint8_t *at, const uint8_t *retry, unsigned miss)
{
	if (g->nstubs == GEN_STUBS_MAX) {
		g->e.overflow = true;
		return;
	}
	g->stub[g->nstubs++] = (struct gen_stub){
		.at = at, .retry = retry, .eip = g->u->nsites - 1u, .miss = (uint8_t)miss,
	};
}

void gen64_flags_away(struct emit *e)
{
	emit_tls_store(e, T_AX, X86_RAX);
	e8(e, 0x9f);				/* lahf */
	e8(e, 0x0f), e8(e, 0x90), e8(e, 0xc0);	/* seto al */
	emit_tls(e, 0x89, X86_RAX, T_FL, EMIT_32);
}

void gen64_flags_back(struct emit *e)
{
	emit_tls(e, 0x8b, X86_RAX, T_FL, EMIT_32);
	e8(e, 0x04), e8(e, 0x7f);		/* add al, 0x7f */
	e8(e, 0x9e);				/* sahf */
	emit_tls_load(e, X86_RAX, T_AX);
}

static int32_t tag_off(bool write)
{
	return (int32_t)(write ? offsetof(struct tlb_entry, wtag) :
			 offsetof(struct tlb_entry, rtag));
}

bool gen64_in_window(const struct gen *g)
{
	return !g->soft && g->ea_known;
}

/* An access through the window: a fault is to find its address. */
static void window_site(struct gen *g)
{
	struct bt_unit *u = g->u;
	struct bt_site *s;

	gen64_site(g, u->site[u->nsites - 1].borrowed);
	s = &u->site[u->nsites - 1];
	s->ea_base = g->ea.ea_base;
	s->ea_index = g->ea.ea_index;
	s->ea_scale = g->ea.ea_scale;
	s->ea_seg = g->ea.ea_seg;
	s->ea32 = g->ea.ea32;
	s->disp = g->ea.disp;
}

/* An instruction may go some bytes further. */
static bool is_near(int64_t disp)
{
	return disp > -(WIDE_EDGE - 4096) && disp < WIDE_EDGE - 4096;
}

void gen64_fold(struct gen *g, unsigned reg)
{
	bool high = g->mode & BT_M_HIGH, lose = gen64_flags_may_go(g);

	if (reg != X86_R15 && (high || lose)) {
		emit_mov_rr(&g->e, X86_R15, reg);
		reg = X86_R15;
	}
	if (!lose) {
		emit_fold(&g->e, reg, high);
		return;
	}
	emit_fold_flags(&g->e, high);
	g->flags_lost = true;
	g->u->site[g->u->nsites - 1].fix = g->recipe_now;
}

/* R15 becomes what in's address is folded to, but for a displacement. */
static void fold_at(struct gen *g, const struct x86_insn *in, int64_t disp)
{
	struct gen_fold f = { .valid = true, .base = in->base, .index = in->index,
			      .scale = in->scale, .disp = disp };

	if (in->base >= X86_RIP || in->index != X86_NOREG || !is_near(disp)) {
		gen64_ea(g, in);
		gen64_fold(g, X86_R15);
	} else {
		f.disp = 0;
		if (in->base == X86_R15)
			gen64_r15_load(g);
		gen64_r15_lost(g);
		gen64_fold(g, in->base);
	}
	g->fold = f;
}

int64_t gen64_index_reach(const struct gen *g, const struct x86_insn *in)
{
	int64_t reach;

	if (in->index >= X86_R15 || in->adsize != 8 || (in->base >= X86_RIP && in->base != X86_NOREG))
		return 0;
	reach = (int64_t)((uint64_t)g->bound[in->index] << in->scale);
	if (in->base == X86_NOREG)
		return is_near(reach) ? reach : 0;
	return is_near(in->disp) && is_near(in->disp + reach) ? reach : 0;
}

static bool serves(const struct gen *g, const struct x86_insn *in, int64_t disp, int64_t reach)
{
	const struct gen_fold *f = &g->fold;
	/* The distance wraps as the address does. */
	int64_t off = (int64_t)((uint64_t)disp - (uint64_t)f->disp);

	return f->valid && f->base == in->base && f->index == in->index &&
	       (in->index == X86_NOREG || f->scale == in->scale) && is_near(off) &&
	       is_near(off + reach);
}

bool gen64_fold_serves(const struct gen *g, const struct x86_insn *in)
{
	struct x86_insn m = *in;
	int64_t reach = gen64_index_reach(g, in);
	unsigned reg;

	if (gen64_loop_carries(g, in, &reg))
		return true;
	if (in->how == X86_HOW_STACK)
		m = (struct x86_insn){ .base = X86_RSP, .index = X86_NOREG, .adsize = 8 };
	if (reach)
		m.index = X86_NOREG;
	return m.adsize == 8 && m.seg != X86_FS && m.seg != X86_GS &&
	       serves(g, &m, m.disp + (m.base == X86_RIP ? (int64_t)g->next : 0), reach);
}

static void window_access(struct gen *g, const struct x86_insn *in)
{
	bool plain = in->adsize == 8 && in->seg != X86_FS && in->seg != X86_GS;
	int64_t disp = in->disp, reach = plain ? gen64_index_reach(g, in) : 0;
	struct x86_insn m;
	unsigned reg;

	window_site(g);
	g->off = 0;
	if (gen64_loop_carries(g, in, &reg)) {
		g->at_reg = (uint8_t)reg;
		g->near_index = reach ? in->index : X86_NOREG;
		g->off = (int32_t)disp;
		return;
	}
	if (reach) {
		m = *in;
		g->near_index = m.index;
		m.index = X86_NOREG;
		in = &m;
	}
	if (!plain) {
		gen64_ea(g, in);
		gen64_fold(g, X86_R15);
		return;
	}
	if (in->base == X86_RIP)
		disp += (int64_t)g->next;
	if (!serves(g, in, disp, reach))
		fold_at(g, in, disp);
	g->off = (int32_t)((uint64_t)disp - (uint64_t)g->fold.disp);
}

void gen64_fold_moved(struct gen *g, unsigned reg, int64_t n)
{
	if (g->fold.index == reg)
		g->fold.valid = false;
	else if (g->fold.base == reg)
		g->fold.disp = (int64_t)((uint64_t)g->fold.disp - (uint64_t)n);
}

struct emit_mem gen64_at_r15(const struct gen *g)
{
	struct emit_mem m = { .base = g->at_reg, .index = X86_NOREG, .gs = gen64_in_window(g) };

	if (m.gs) {
		m.disp = g->off;
		m.index = g->near_index;
		m.scale = g->ea.ea_scale;
	}
	return m;
}

void gen64_mem(struct gen *g, unsigned op, unsigned reg, int32_t disp, unsigned w)
{
	struct emit_mem m = gen64_at_r15(g);

	if (m.gs)
		e8(&g->e, 0x65);
	emit_rm(&g->e, op, reg, m.base, m.index, m.scale, m.disp + disp, w);
	if (reg == X86_R15 && op == 0x8b)
		gen64_r15_lost(g);
}

/* r15, a linear address, becomes the host address of size bytes there. */
static void soft_check(struct gen *g, unsigned size, bool write)
{
	struct emit *e = &g->e;
	unsigned align = g->in->aligned ? size - 1 : 0;
	bool fp = g->in->unit == X86_U_X87 || x86_has_mmx(g->in);
	int32_t tag = tag_off(write);
	const uint8_t *retry;

	gen64_flags_away(e);
	retry = emit_here(e);
	emit_rr(e, 0x89, X86_R15, X86_RAX, EMIT_32);
	emit_rr(e, 0xc1, 5, X86_RAX, EMIT_32), e8(e, 12 - 5);	/* shr eax, 7 */
	emit_alu_ri(e, 4, X86_RAX, (TLB_SIZE - 1) << 5);
	emit_tls(e, 0x03, X86_RAX, T_TLB, EMIT_64);
	emit_rm(e, 0x33, X86_R15, X86_RAX, X86_NOREG, 0, tag, EMIT_64);
	emit_alu64_ri(e, 7, X86_R15, (int32_t)(PAGE_SIZE - size));
	check_stub(g, emit_jcc(e, 7), retry, (write ? BT_MISS_WRITE : 0) |
		   (fp ? BT_MISS_FP : 0) | align << BT_MISS_ALIGN);
	emit_rm(e, 0x03, X86_R15, X86_RAX, X86_NOREG, 0, tag, EMIT_64);
	emit_rm(e, 0x03, X86_R15, X86_RAX, X86_NOREG, 0,
		(int32_t)offsetof(struct tlb_entry, addend), EMIT_64);
	gen64_flags_back(e);
}

void gen64_access(struct gen *g, const struct x86_insn *in, unsigned size, bool write)
{
	note_ea(g, in);
	g->near_index = X86_NOREG;
	g->at_reg = X86_R15;
	if (gen64_in_window(g)) {
		window_access(g, in);
		return;
	}
	gen64_flags_fix(g);
	gen64_ea(g, in);
	soft_check(g, size, write);
}

void gen64_check_target(struct gen *g)
{
	struct emit *e = &g->e;

	gen64_flags_away(e);
	emit_mov_rr(e, X86_RAX, X86_R15);
	emit_rr(e, 0xc1, 4, X86_RAX, EMIT_64), e8(e, 16);	/* shl, sar */
	emit_rr(e, 0xc1, 7, X86_RAX, EMIT_64), e8(e, 16);
	emit_rr(e, 0x39, X86_R15, X86_RAX, EMIT_64);
	gen_stub_add(g, emit_jcc(e, 5), NULL, g->eip, BT_EXIT_STEP, 0);
	g->stub[g->nstubs - 1].saved = true;
	gen64_flags_back(e);
}

void gen64_at(struct gen *g, unsigned reg, int32_t disp, unsigned size, bool write)
{
	struct x86_insn in = { .base = (uint8_t)reg, .index = X86_NOREG, .adsize = 8,
			       .seg = X86_SS, .disp = disp };

	gen64_access(g, &in, size, write);
}

/* --- the frame of a unit ------------------------------------------------------------- */

void gen64_entry(struct gen *g, bool count)
{
	struct emit *e = &g->e;
	struct bt_unit *u = g->u;
	uint8_t *hot, *body;

	gen64_bounds_forget(g);
	u->entry_lookup = emit_here(e);
	emit_tls_load(e, X86_RCX, T_CX);
	e8(e, 0x04), e8(e, 0x7f);		/* add al, 0x7f */
	e8(e, 0x9e);				/* sahf */
	emit_tls_load(e, X86_RAX, T_AX);
	u->entry = u->entry_fpu = emit_here(e);
	if (u->fpu) {
		uint8_t *cont;

		e8(e, 0x4c), e8(e, 0x8d), e8(e, 0x3d);	/* lea r15, [rip + cont] */
		e32(e, 0);
		cont = e->p - 4;
		emit_tls_store(e, T_RET, X86_R15);
		emit_tls_jmp(e, T_FPU_FN);
		emit_close32(e, cont);
		u->entry_fpu = emit_here(e);
	}
	if (!count)
		return;
	/* mov r15d, [rip + counter]; lea r15d, [r15 - 1]; mov [rip + counter], r15d */
	e8(e, 0x44), e8(e, 0x8b), e8(e, 0x3d);
	e32(e, 0);
	emit_close32_to(e, e->p - 4, (uint8_t *)u->counter);
	emit_lea(e, X86_R15, X86_R15, X86_NOREG, 0, -1, EMIT_32);
	e8(e, 0x44), e8(e, 0x89), e8(e, 0x3d);
	e32(e, 0);
	emit_close32_to(e, e->p - 4, (uint8_t *)u->counter);
	emit_tls_store(e, T_CX, X86_RCX);
	emit_mov_rr(e, X86_RCX, X86_R15);
	hot = emit_jrcxz(e);
	emit_tls_load(e, X86_RCX, T_CX);
	body = emit_jmp_open(e);
	emit_close8(e, hot);
	emit_tls_load(e, X86_RCX, T_CX);
	gen64_leave(g, BT_EXIT_HOT, 0);
	emit_close32(e, body);
}

/* Leave with r15 free: the reason and the unit in TLS. */
void gen64_leave(struct gen *g, unsigned reason, unsigned number)
{
	struct emit *e = &g->e;

	emit_tls_imm(e, T_SITE, reason << TS_REASON | number);
	e8(e, 0x49), e8(e, 0xbf);		/* mov r15, imm64 */
	e64(e, (uint64_t)(uintptr_t)g->u);
	emit_tls_store(e, T_UNIT, X86_R15);
	emit_tls_jmp(e, T_EXIT);
}

static void miss_stub(struct gen *g, const struct gen_stub *s)
{
	struct emit *e = &g->e;
	uint32_t retry = (uint32_t)(s->retry - g->u->code);

	emit_rm(e, 0x33, X86_R15, X86_RAX, X86_NOREG, 0, tag_off(s->miss & BT_MISS_WRITE), EMIT_64);
	emit_tls_imm(e, T_SITE, (uint32_t)s->eip << TS_SITE | (uint32_t)s->miss << TS_MISS |
		     retry);
}

void gen64_stubs(struct gen *g)
{
	struct emit *e = &g->e;
	const uint8_t *common = NULL;

	gen64_flags_stubs(g);
	for (unsigned i = 0; i < g->nstubs; i++) {
		struct gen_stub *s = &g->stub[i];

		emit_close32(e, s->at);
		if (!s->retry) {		/* a test failed */
			if (s->saved)
				gen64_flags_back(e);
			else
				emit_tls_load(e, X86_RCX, T_CX);
			gen64_leave(g, s->reason, (unsigned)(s->eip - g->u->eip));
			continue;
		}
		miss_stub(g, s);
		if (common) {
			emit_jmp(e, common);
			continue;
		}
		common = emit_here(e);
		e8(e, 0x48), e8(e, 0xb8);	/* mov rax, imm64 */
		e64(e, (uint64_t)(uintptr_t)g->u);
		emit_tls_store(e, T_UNIT, X86_RAX);
		emit_tls_jmp(e, T_TLB_MISS);
	}
}

void gen64_callout(struct gen *g, const struct bt_callout *c)
{
	struct emit *e = &g->e;
	uint8_t *cont;

	gen64_r15_store(g);
	gen64_flags_fix(g);
	gen64_flags_forget(g);
	gen64_bounds_forget(g);
	gen64_r15_lost(g);
	e8(e, 0x49), e8(e, 0xbf);		/* mov r15, imm64 */
	e64(e, (uint64_t)(uintptr_t)c);
	emit_tls_store(e, T_ARG, X86_R15);
	e8(e, 0x4c), e8(e, 0x8d), e8(e, 0x3d);	/* lea r15, [rip + cont] */
	e32(e, 0);
	cont = e->p - 4;
	emit_tls_store(e, T_RET, X86_R15);
	emit_tls_jmp(e, T_CALLOUT);
	emit_close32(e, cont);
}

/* --- exits ----------------------------------------------------------------------------- */

void gen64_begin_exit(struct gen *g)
{
	if (!g->ended)
		g->u->exit_off = (uint16_t)(g->e.p - g->e.start);
	g->ended = true;
}

bool gen64_may_link(const struct gen *g, uint64_t rip)
{
	if (unit_same_page(g->u, rip) && !g->u->gpa2)
		return true;
	/* Nothing is behind the end of the lower half: as a link that is never made it
	 * faults there, not at the jump. */
	if ((uint64_t)((int64_t)(rip << 16) >> 16) != rip)
		return true;
	return !(g->mode & BT_M_USER);
}

/* The slot is patched while it may run: keep its rel32 inside 8 bytes. */
static void align_slot(struct gen *g, unsigned opcode_len)
{
	while (((uintptr_t)g->e.p + opcode_len) % 8 > 4)
		e8(&g->e, 0x90);
}

void gen64_link(struct gen *g, uint8_t *at, uint64_t rip)
{
	g->u->link[g->u->nlinks++] = (struct bt_link){ .from = g->u, .slot = at, .eip = rip };
}

static void link_stubs(struct gen *g)
{
	struct emit *e = &g->e;
	const uint8_t *lookup = NULL;

	for (unsigned i = 0; i < g->u->nlinks; i++) {
		struct bt_link *l = &g->u->link[i];

		l->stub = emit_here(e);
		emit_close32(e, l->slot);
		if (l->loop)
			gen64_loop_back(g);
		gen64_leave(g, BT_EXIT_LINK, i);
		if (l->loop || unit_links_surely(g->u, l->eip))
			continue;
		l->lookup = emit_here(e);
		emit_mov_imm(e, X86_R15, l->eip);
		if (lookup) {
			emit_jmp(e, lookup);
		} else {
			lookup = emit_here(e);
			gen64_exit_lookup(g, false);
		}
	}
}

void gen64_jump_to(struct gen *g, uint64_t rip)
{
	if (gen64_may_link(g, rip)) {
		align_slot(g, 1);
		gen64_link(g, emit_jmp_open(&g->e), rip);
	} else {
		emit_mov_imm(&g->e, X86_R15, rip);
		gen64_exit_lookup(g, false);
	}
}

void gen64_exit_jump(struct gen *g, uint64_t rip)
{
	gen64_r15_store(g);
	gen64_flags_fix(g);
	gen64_begin_exit(g);
	gen64_jump_to(g, rip);
	link_stubs(g);
}

void gen64_exit_jcc(struct gen *g, unsigned cond, uint64_t taken, uint64_t next)
{
	struct emit *e = &g->e;

	gen64_begin_exit(g);
	if (gen64_may_link(g, taken)) {
		align_slot(g, 2);
		gen64_link(g, emit_jcc(e, cond), taken);
		g->u->link[g->u->nlinks - 1].loop = g->loop.n;
		gen64_loop_back(g);
	} else {
		uint8_t *not = emit_jcc(e, cond ^ 1);

		gen64_jump_to(g, taken);
		emit_close32(e, not);
	}
	gen64_jump_to(g, next);
	link_stubs(g);
}

bool gen64_exit_pair(struct gen *g, uint8_t *taken8, uint64_t taken, uint64_t next)
{
	struct emit *e = &g->e;
	uint8_t *to_taken;

	e8(e, 0xeb), e8(e, 5);
	emit_close8(e, taken8);
	to_taken = emit_jmp_open(e);
	gen64_jump_to(g, next);
	emit_close32(e, to_taken);
	gen64_jump_to(g, taken);
	link_stubs(g);
	return true;
}

void gen64_exit_lookup(struct gen *g, bool any)
{
	struct emit *e = &g->e;
	uint8_t *miss, *wild = NULL;

	gen64_begin_exit(g);
	g->u->looks_up = true;
	emit_tls_store(e, T_AX, X86_RAX);
	emit_tls_store(e, T_CX, X86_RCX);
	emit_tls_store(e, T_RIP, X86_R15);
	e8(e, 0x9f);				/* lahf */
	e8(e, 0x0f), e8(e, 0x90), e8(e, 0xc0);	/* seto al */
	if (any) {	/* or its upper bits could make a tag of another generation */
		emit_mov_rr(e, X86_RCX, X86_R15);
		emit_rr(e, 0xc1, 7, X86_RCX, EMIT_64), e8(e, 47);	/* sar: 0 or -1 */
		emit_rr(e, 0xff, 0, X86_RCX, EMIT_32);			/* inc: 1 or 0 */
		emit_rr(e, 0xd1, 5, X86_RCX, EMIT_32);			/* shr: 0 */
		wild = emit_jcc(e, 5);
	}
	emit_rorx(e, X86_RCX, X86_R15, 10);
	emit_rr(e, 0x01, X86_R15, X86_RCX, EMIT_32);		/* add ecx, r15d */
	emit_alu_ri(e, 4, X86_RCX, BT_JC_SIZE - 1);
	emit_rr(e, 0xc1, 4, X86_RCX, EMIT_32), e8(e, 4);	/* shl ecx, 4 */
	emit_tls(e, 0x03, X86_RCX, T_JC, EMIT_64);
	emit_tls(e, 0x33, X86_R15, T_JTAG, EMIT_64);
	emit_rm(e, 0x39, X86_R15, X86_RCX, X86_NOREG, 0, 0, EMIT_64);
	miss = emit_jcc(e, 5);
	emit_jmp_mem(e, X86_RCX, X86_NOREG, 8);
	emit_close32(e, miss);
	if (wild)
		emit_close32(e, wild);
	emit_tls_load(e, X86_RCX, T_CX);
	e8(e, 0x04), e8(e, 0x7f);
	e8(e, 0x9e);
	emit_tls_load(e, X86_RAX, T_AX);
	gen64_leave(g, BT_EXIT_LOOKUP, (unsigned)(g->eip - g->u->eip));
}

void gen64_exit_step(struct gen *g, uint64_t rip)
{
	gen64_r15_store(g);
	gen64_flags_fix(g);
	gen64_begin_exit(g);
	gen64_leave(g, BT_EXIT_STEP, (unsigned)(rip - g->u->eip));
}
