#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bt/gen.h"
#include "bt/gen64.h"
#include "bt/verify.h"
#include "vmm/access.h"

#define SEG_INSNS_MAX 32	/* they take more host code: TC_UNIT_MAX */

struct decoded {
	struct x86_insn in[BT_INSNS_MAX];
	unsigned off[BT_INSNS_MAX + 1];	/* from the unit's start */
	unsigned n;
	uint8_t buf[X86_INSN_MAX];	/* of one instruction that crosses pages */
	const uint8_t *bytes;
	uint64_t gpa2;
};

static bool ends_unit(const struct x86_insn *in)
{
	switch (in->how) {
	case X86_HOW_JUMP: case X86_HOW_JUMP_IND: case X86_HOW_CALL:
	case X86_HOW_CALL_IND:
		return true;
	}
	return false;
}

static unsigned code_size(const struct bt_vcpu *b)
{
	if (b->mode & BT_M_LONG)
		return 64;
	return b->mode & BT_M_CODE16 ? 16 : 32;
}

/* The first instruction crosses the page end: fetch its rest. */
static bool decode_crossing(struct decoded *d, const struct bt_vcpu *b,
			    const uint8_t *page, unsigned left, uint64_t eip)
{
	uint64_t gpa2;
	const uint8_t *p2;

	if (vcpu_fetch_gpa(b->v, bt_linear(b, eip + left), &gpa2) != X86_OK)
		return false;
	p2 = mem_ptr(b->bt->vm->mem, gpa2, X86_INSN_MAX);
	if (!p2)
		return false;
	memcpy(d->buf, page, left);
	memcpy(d->buf + left, p2, X86_INSN_MAX - left);
	if (x86_decode(&d->in[0], d->buf, X86_INSN_MAX, code_size(b)) < 0 ||
	    (!(b->mode & BT_M_LONG) && d->in[0].len - 1u > b->cs_limit - eip))
		return false;
	d->bytes = d->buf;
	d->gpa2 = gpa2;
	d->n = 1;
	d->off[1] = d->in[0].len;
	return true;
}

static void decode_unit(struct decoded *d, const struct bt_vcpu *b, const uint8_t *page,
			uint64_t gpa, uint64_t eip)
{
	unsigned left = (unsigned)(PAGE_SIZE - (gpa & ~PAGE_MASK)), off = 0;
	unsigned max = b->mode & BT_M_SEG ? SEG_INSNS_MAX : BT_INSNS_MAX;
	/* the page, not the limit, ends it */
	bool whole = b->mode & BT_M_LONG || b->cs_limit - eip >= left;

	d->n = 0;
	d->gpa2 = 0;
	d->bytes = page;
	d->off[0] = 0;
	if (!whole)
		left = (unsigned)(b->cs_limit - eip + 1);
	while (d->n < max && off < left && off < 240) {
		struct x86_insn *in = &d->in[d->n];
		int len = x86_decode(in, page + off, left - off, code_size(b));

		if (len == -EAGAIN && d->n == 0 && left < X86_INSN_MAX && whole)
			decode_crossing(d, b, page, left, eip);
		if (len < 0)
			break;
		off += (unsigned)len;
		d->off[++d->n] = off;
		if (ends_unit(in))
			break;
	}
}

static bool gen_one(struct gen *g)
{
	if (g->bt->verify && verify_excluded(g->in))
		return false;
	if (g->mode & BT_M_LONG)
		return gen64_one(g);
	switch (g->in->op) {	/* whatever their class: DF is part of the mode */
	case X86_CLD: case X86_STD: case X86_PAUSE: case X86_MOV_SEG:
		return gen_inline(g);
	}
	switch (g->in->how) {
	case X86_HOW_SAME:
		return gen_same(g);
	case X86_HOW_STACK:
		return gen_stack(g);
	case X86_HOW_STRING:
		return gen_string(g);
	case X86_HOW_JUMP: case X86_HOW_JUMP_IND: case X86_HOW_CALL:
	case X86_HOW_CALL_IND:
		return gen_branch(g);
	default:
		return gen_inline(g);
	}
}

/* Units start with: the FPU check, the execution counter. */
static void gen_entry(struct gen *g, bool count)
{
	struct emit *e = &g->e;
	struct bt_unit *u = g->u;
	uint8_t *hot;

	if (g->mode & BT_M_LONG) {
		gen64_entry(g, count);
		return;
	}
	gen_return_check(g);
	u->entry = u->entry_lookup = u->entry_fpu = emit_here(e);
	if (u->fpu) {
		uint8_t *cont;

		e8(e, 0x4c), e8(e, 0x8d), e8(e, 0x0d);	/* lea r9, [rip + cont] */
		e32(e, 0);
		cont = e->p - 4;
		emit_jmp_mem(e, X86_R15, X86_NOREG, H_FPU_FN * 8);
		emit_close32(e, cont);
		u->entry_fpu = emit_here(e);
	}
	if (!count)
		return;
	/* mov r8d, [rip + counter]; lea r8d, [r8 - 1]; mov [rip + counter], r8d */
	e8(e, 0x44), e8(e, 0x8b), e8(e, 0x05);
	e32(e, 0);
	emit_close32_to(e, e->p - 4, (uint8_t *)u->counter);
	emit_lea(e, X86_R8, X86_R8, X86_NOREG, 0, -1, EMIT_32);
	e8(e, 0x44), e8(e, 0x89), e8(e, 0x05);
	e32(e, 0);
	emit_close32_to(e, e->p - 4, (uint8_t *)u->counter);
	emit_mov_rr(e, X86_R9, X86_RCX);
	emit_mov_rr(e, X86_RCX, X86_R8);
	hot = emit_jrcxz(e);
	e8(e, 0xeb), e8(e, 5);
	emit_close8(e, hot);
	gen_stub_add(g, emit_jmp_open(e), NULL, u->eip, BT_EXIT_HOT, 0);
	g->stub[g->nstubs - 1].rcx_in_r9 = true;
	emit_mov_rr(e, X86_RCX, X86_R9);
}

#define HOT_COUNT 400

/* Instructions that leave the straight line, or stop it, are for the dispatcher. */
static bool callable(const struct bt *bt, const struct x86_insn *in)
{
	/* It may wait for the others to stop, and this unit not be there afterwards. */
	if (bt->smp && (in->prefixes & X86_P_LOCK || in->op == X86_XCHG))
		return false;
	switch (in->op) {
	case X86_IRET: case X86_INT: case X86_INT1: case X86_INT3: case X86_INTO:
	case X86_JMPF: case X86_CALLF: case X86_RETF: case X86_SYSENTER:
	case X86_SYSEXIT: case X86_SYSCALL: case X86_SYSRET: case X86_HLT:
	case X86_UD0: case X86_UD1: case X86_UD2: case X86_RSM:
		return false;
	}
	return !ends_unit(in);
}

static bool changes_mode(const struct x86_insn *in)
{
	switch (in->op) {
	case X86_MOV_SEG: case X86_POP: case X86_LDS: case X86_LES: case X86_LFS:
	case X86_LGS: case X86_LSS: case X86_MOV_CR: case X86_MOV_DR:
	case X86_CLTS: case X86_LMSW: case X86_POPF: case X86_XSETBV:
	case X86_WRMSR: case X86_STD: case X86_CLD: case X86_LLDT: case X86_LTR:
	case X86_SWAPGS: case X86_WRFSBASE: case X86_WRGSBASE: case X86_STAC: case X86_CLAC:
		return true;
	}
	return false;
}

/* Have C execute the current instruction and go on behind it. */
static bool gen_callout(struct gen *g)
{
	struct emit *e = &g->e;
	struct bt_callout *c;
	uint8_t *cont;

	if (!callable(g->bt, g->in) || (g->bt->verify && verify_excluded(g->in)))
		return false;
	c = tcache_alloc(&g->bt->tc, g->space, sizeof(*c));
	*c = (struct bt_callout){ .in = *g->in, .fn = interp_function(g->v, g->in),
		.eip = g->eip, .next = g->next, .mode = changes_mode(g->in) };
	if (g->mode & BT_M_LONG) {
		gen64_callout(g, c);
		return true;
	}
	gen_need_saved(g);
	e8(e, 0x49), e8(e, 0xb9);		/* mov r9, imm64 */
	e64(e, (uint64_t)(uintptr_t)c);
	e8(e, 0x4c), e8(e, 0x8d), e8(e, 0x15);	/* lea r10, [rip + cont] */
	e32(e, 0);
	cont = e->p - 4;
	emit_jmp_mem(e, X86_R15, X86_NOREG, H_CALLOUT * 8);
	emit_close32(e, cont);
	g->flags = GEN_SAVED;
	if (c->mode)
		g->fs_ok = g->gs_ok = false;
	return true;
}

static void exit_step(struct gen *g, uint64_t eip)
{
	if (g->mode & BT_M_LONG)
		gen64_exit_step(g, eip);
	else
		gen_exit_step(g, (uint32_t)eip);
}

static void gen_body(struct gen *g, const struct decoded *d, uint64_t soft)
{
	uint64_t wrap = g->mode & BT_M_LONG ? UINT64_MAX : UINT32_MAX;
	struct bt_unit *u = g->u;
	unsigned i;

	for (i = 0; i < d->n && !g->ended; i++) {
		unsigned nstubs = g->nstubs, nlinks = u->nlinks;
		enum gen_flags f = g->flags;
		bool fs_ok = g->fs_ok, gs_ok = g->gs_ok;
		uint8_t *p = g->e.p;
		uint16_t nsites;

		g->in = &d->in[i];
		g->bytes = d->bytes + d->off[i];
		g->behind = d->n - i - 1;
		g->eip = u->eip + d->off[i];
		g->next = (u->eip + d->off[i + 1]) & wrap;
		g->soft = u->form == BT_SOFT || soft >> i & 1;
		nsites = u->nsites;
		u->site[u->nsites++] = (struct bt_site){
			.host = (uint16_t)(p - g->e.start),
			.guest = (uint8_t)d->off[i],
			.index = (uint8_t)i & 127,
			.flags_in_r12 = f == GEN_SAVED,
			.borrowed = X86_NOREG,
		};
		if (gen_one(g))
			continue;
		/* Undo what it began; the interpreter takes this one. */
		g->e.p = p;
		g->flags = f;
		g->fs_ok = fs_ok;
		g->gs_ok = gs_ok;
		g->nstubs = nstubs;
		u->nlinks = nlinks;
		u->nsites = nsites;
		if (gen_callout(g)) {
			u->called |= 1ull << i;
			u->nsites++;
			continue;
		}
		exit_step(g, g->eip);
		u->len = (uint16_t)d->off[i + 1];
		return;
	}
	u->len = (uint16_t)d->off[i];
	if (!g->ended) {
		if (d->n == 0) {	/* undefined, or cut off by an absent page */
			u->len = 1;
			exit_step(g, u->eip);
		} else if (g->mode & BT_M_LONG) {
			gen64_exit_jump(g, u->eip + d->off[i]);
		} else {
			gen_exit_jump(g, (uint32_t)(u->eip + d->off[i]));
		}
	}
}

static bool uses_fpu(const struct gen *g, const struct decoded *d)
{
	static const uint32_t ok[] = {
		[X86_U_INT] = 0, [X86_U_X87] = BT_M_X87, [X86_U_MMX] = BT_M_X87,
		[X86_U_SSE] = BT_M_SSE, [X86_U_AVX] = BT_M_AVX,
	};

	for (unsigned i = 0; i < d->n; i++)
		if (d->in[i].how == X86_HOW_SAME && g->mode & ok[d->in[i].unit])
			return true;
	return false;
}

/* How many instructions of a unit it executes itself, or by callouts. */
static unsigned pure_insns(const struct bt_unit *u)
{
	return u->nsites ? u->site[u->nsites - 1].index + 1u : 0;
}

static unsigned links_of(const struct decoded *d)
{
	const struct x86_insn *last = &d->in[d->n ? d->n - 1 : 0];

	return d->n && (last->how == X86_HOW_JUMP_IND || last->how == X86_HOW_CALL_IND) ?
	       BT_LINKS_MAX : 2;
}

static struct bt_unit *unit_new(struct tcache *t, enum tc_space s, unsigned links)
{
	struct bt_unit *u = tcache_alloc(t, s, sizeof(*u));

	*u = (struct bt_unit){ .link = tcache_alloc(t, s, links * sizeof(u->link[0])) };
	return u;
}

#define SITES_MAX (GEN_SITES * BT_INSNS_MAX + 2)
_Static_assert(sizeof(struct bt_unit) + BT_LINKS_MAX * sizeof(struct bt_link) +
	       BT_INSNS_MAX * sizeof(struct bt_callout) +
	       SITES_MAX * sizeof(struct bt_site) <= TC_META_MAX, "tcache.h");

/* Where a unit of this form belongs. */
static enum tc_space space_of(const struct bt *bt, enum bt_form form)
{
	return bt->want_mixed && form == BT_SOFT ? TC_NEW : TC_HOT;
}

struct bt_unit *bt_translate(struct bt *bt, struct bt_vcpu *b, uint64_t gpa,
			     uint64_t eip, enum bt_form form, uint64_t soft, bool plain)
{
	const uint8_t *page = mem_ptr(bt->vm->mem, gpa, PAGE_SIZE - (gpa & ~PAGE_MASK));
	enum tc_space space = space_of(bt, form);
	struct bt_site sites[SITES_MAX];
	struct decoded d;
	struct bt_unit *u;
	struct gen g;
	uint8_t *room = tcache_room(&bt->tc, space);
	uint32_t mark;

	if (!page || !room)
		return NULL;
	decode_unit(&d, b, page, gpa, eip);
	mark = tcache_mark(&bt->tc, space);
	u = unit_new(&bt->tc, space, links_of(&d));
	u->site = sites;
	u->plain = plain;
	u->gpa = gpa;
	u->eip = eip;
	u->mode = b->mode;
	u->limit = b->cs_limit;
	u->form = (uint8_t)form;
	u->soft = soft;
	u->gpa2 = d.gpa2 & PAGE_MASK;
	if (d.gpa2 && !u->gpa2)
		u->gpa2 = d.gpa2;
	memset(&g, 0, offsetof(struct gen, stub));
	g.nstubs = 0;
	g.bt = bt;
	g.space = space;
	g.v = b->v;
	g.u = u;
	g.mode = b->mode;
	g.flags = GEN_HOST;
	g.e.p = room;
	u->fpu = uses_fpu(&g, &d);
	u->counter = tcache_counter(&bt->tc, space);
	*u->counter = HOT_COUNT;
	g.e.start = g.e.p;
	g.e.end = g.e.p + TC_UNIT_MAX - 64;
	g.e.exec_delta = -(intptr_t)bt->tc.len;	/* rx lies below rw */
	u->code = emit_here(&g.e);
	gen_entry(&g, bt->want_mixed && bt_can_window(b) && (form == BT_SOFT || soft));
	if (g.mode & BT_M_LONG && d.n) {
		gen64_loop_find(&g, d.in, d.n, eip + d.off[d.n]);
		gen64_loop_begin(&g);
	}
	gen_body(&g, &d, soft);
	if (g.mode & BT_M_LONG)
		gen64_stubs(&g);
	else
		gen_stubs(&g);
	if (bt->verify && !verify_note(u, b->v, d.in, d.n, pure_insns(u)))
		g.e.overflow = true;
	u->code_len = (uint32_t)(g.e.p - g.e.start);
	if (g.e.overflow) {
		unit_free(u);
		tcache_undo(&bt->tc, space, mark);
		return NULL;
	}
	u->site = tcache_alloc(&bt->tc, space, u->nsites * sizeof(sites[0]));
	memcpy(u->site, sites, u->nsites * sizeof(sites[0]));
	tcache_commit(&bt->tc, space, u, u->code_len);
	unit_insert(bt, u);
	bt->stats.units++;
	bt->stats.insns += d.n;
	bt->stats.guest_bytes += u->len;
	bt->stats.host_bytes += u->code_len;
	return u;
}
