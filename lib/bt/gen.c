#include "bt/gen.h"

#include <stddef.h>

static void jmp_hot(struct emit *e, unsigned word)
{
	emit_jmp_mem(e, X86_R15, X86_NOREG, (int32_t)word * 8);
}

void gen_need_saved(struct gen *g)
{
	if (g->flags == GEN_HOST) {
		emit_flags_save(&g->e);
		g->flags = GEN_BOTH;
	}
}

void gen_need_host(struct gen *g)
{
	if (g->flags == GEN_SAVED) {
		emit_flags_restore(&g->e);
		g->flags = GEN_BOTH;
	}
}

void gen_flags_before(struct gen *g)
{
	uint32_t changed = x86_flags_changed(g->in);

	if (x86_flags_read(g->in) ||
	    (changed && x86_flags_killed(g->in) != X86_FL_ARITH))
		gen_need_host(g);
}

void gen_flags_after(struct gen *g)
{
	if (x86_flags_changed(g->in))
		gen_flags_set(g);
}

/* FS and GS differ between user and kernel while little else does: they are not
 * part of the mode but looked at where they are used.  Flags stay. */
static void check_seg(struct gen *g, int32_t bad, bool *ok)
{
	struct emit *e = &g->e;
	uint8_t *good;

	if (*ok)
		return;
	*ok = true;
	emit_mov_rr(e, X86_R9, X86_RCX);
	emit_load(e, X86_RCX, bad, EMIT_32);
	good = emit_jrcxz(e);
	gen_stub_add(g, emit_jmp_open(e), NULL, g->eip, BT_EXIT_STEP, 0);
	g->stub[g->nstubs - 1].rcx_in_r9 = true;
	g->stub[g->nstubs - 1].saved = g->flags == GEN_SAVED;
	emit_close8(e, good);
	emit_mov_rr(e, X86_RCX, X86_R9);
}

bool gen_seg_ok(struct gen *g, unsigned seg, bool write)
{
	if (g->mode & BT_M_SEG)
		return true;	/* gen_seg() looks */
	switch (seg) {
	case X86_DS:
		return g->mode & BT_M_DS;
	case X86_ES:
		return g->mode & BT_M_ES;
	case X86_FS:
		check_seg(g, H_FSBAD * 8, &g->fs_ok);
		return true;
	case X86_GS:
		check_seg(g, H_GSBAD * 8, &g->gs_ok);
		return true;
	case X86_SS:
		return true;
	}
	return false;
}

static bool seg_has_base(unsigned seg)
{
	return seg == X86_FS || seg == X86_GS;
}

void gen_ea(struct gen *g, const struct x86_insn *in, int32_t esp_bias)
{
	int32_t disp = (int32_t)in->disp + (in->base == X86_RSP ? esp_bias : 0);

	emit_lea(&g->e, X86_R8, in->base, in->index, in->scale, disp, EMIT_32);
	if (in->adsize == 2)
		emit_rr(&g->e, 0x0fb7, X86_R8, X86_R8, EMIT_32);
	if (!(g->mode & BT_M_SEG) && seg_has_base(in->seg)) {
		emit_load(&g->e, X86_R9, (int32_t)offsetof(struct vcpu,
			  cpu.seg[in->seg].base), EMIT_32);
		emit_lea(&g->e, X86_R8, X86_R8, X86_R9, 0, 0, EMIT_32);
	}
}

void gen_site_again(struct gen *g)
{
	struct bt_unit *u = g->u;
	struct bt_site s = u->site[u->nsites - 1];

	s.host = (uint16_t)(g->e.p - g->e.start);
	s.flags_in_r12 = g->flags == GEN_SAVED;
	u->site[u->nsites++] = s;
}

void gen_seg(struct gen *g, unsigned seg, unsigned size, bool write)
{
	struct emit *e = &g->e;

	if (!(g->mode & BT_M_SEG))
		return;
	gen_need_saved(g);
	emit_lea(e, X86_R10, X86_R8, X86_NOREG, 0, (int32_t)size - 1, EMIT_64);
	emit_rm(e, 0x3b, X86_R10, X86_R15, X86_NOREG, 0,
		(int32_t)(H_SEG_LAST + 2 * seg + write) * 8, EMIT_64);
	g->flags = GEN_SAVED;
	gen_stub_add(g, emit_jcc(e, 0xf), NULL, g->eip, BT_EXIT_STEP, 0);
	emit_load(e, X86_R9, (int32_t)offsetof(struct vcpu, cpu.seg[seg].base), EMIT_32);
	emit_lea(e, X86_R8, X86_R8, X86_R9, 0, 0, EMIT_32);
	gen_site_again(g);
}

void gen_mov16(struct gen *g, unsigned dst, unsigned src)
{
	e8(&g->e, 0x66);
	emit_rr(&g->e, 0x89, src, dst, EMIT_32);
}

void gen_set_sp(struct gen *g, unsigned reg, int32_t n)
{
	if (g->mode & BT_M_STACK16) {
		emit_lea(&g->e, X86_R8, reg, X86_NOREG, 0, n, EMIT_32);
		gen_mov16(g, X86_RSP, X86_R8);
	} else {
		emit_lea(&g->e, X86_RSP, reg, X86_NOREG, 0, n, EMIT_32);
	}
}

/* r8d = [base + disp] of the stack, or of ES for EDI. */
static void put_address(struct gen *g, unsigned base, int32_t disp, unsigned size,
			bool write)
{
	bool es = base == X86_RDI;

	emit_lea(&g->e, X86_R8, base, X86_NOREG, 0, disp, EMIT_32);
	if (es ? g->in->adsize == 2 : g->mode & BT_M_STACK16)
		emit_rr(&g->e, 0x0fb7, X86_R8, X86_R8, EMIT_32);
	gen_seg(g, es ? X86_ES : X86_SS, size, write);
}

_Static_assert(sizeof(struct tlb_entry) == 32, "the shift below");

void gen_check(struct gen *g, unsigned size, bool write)
{
	struct emit *e = &g->e;
	enum tlb_mode m = g->mode & BT_M_USER ? TLB_USER : TLB_KERNEL;
	int32_t entry = (int32_t)offsetof(struct vcpu, tlb.e[m][0]);
	unsigned align = g->in->aligned ? size - 1 : 0;
	bool fp = g->in->unit == X86_U_X87 || x86_has_mmx(g->in);
	int32_t tag = entry + (int32_t)(write ? offsetof(struct tlb_entry, wtag) :
					offsetof(struct tlb_entry, rtag));
	const uint8_t *retry;

	gen_need_saved(g);
	retry = emit_here(e);
	emit_rorx(e, X86_R9, X86_R8, 12 - 5);
	emit_alu_ri(e, 4, X86_R9, (TLB_SIZE - 1) << 5);
	/* The page of the last byte: an access that crosses misses. */
	emit_lea(e, X86_R10, X86_R8, X86_NOREG, 0, (int32_t)size - 1, EMIT_32);
	emit_alu_ri(e, 4, X86_R10, 0xfffff000);
	emit_lea(e, X86_R9, X86_R15, X86_R9, 0, 0, EMIT_64);
	emit_rm(e, 0x3b, X86_R10, X86_R9, X86_NOREG, 0, tag, EMIT_64);
	g->flags = GEN_SAVED;
	gen_stub_add(g, emit_jcc(e, 5), retry, g->eip, BT_EXIT_STEP,
		     (write ? BT_MISS_WRITE : 0) | (fp ? BT_MISS_FP : 0) |
		     align << BT_MISS_ALIGN | (size - 1) << BT_MISS_SIZE);
	emit_rm(e, 0x8b, X86_R9, X86_R9, X86_NOREG, 0,
		entry + (int32_t)offsetof(struct tlb_entry, addend), EMIT_64);
}

static unsigned load_op(unsigned size)
{
	return size == 1 ? 0x0fb6 : size == 2 ? 0x0fb7 : 0x8b;
}

static void window_prefix(struct gen *g)
{
	e8(&g->e, 0x67);
	e8(&g->e, 0x65);
}

void gen_load_r8(struct gen *g, unsigned dst, unsigned size)
{
	if (g->soft) {
		gen_check(g, size, false);
		emit_rm(&g->e, load_op(size), dst, X86_R8, X86_R9, 0, 0, EMIT_32);
	} else {
		window_prefix(g);
		emit_rm(&g->e, load_op(size), dst, X86_R8, X86_NOREG, 0, 0, EMIT_32);
	}
}

void gen_load(struct gen *g, unsigned dst, unsigned base, int32_t disp, unsigned size)
{
	if (g->soft || g->mode & BT_M_SEG) {
		put_address(g, base, disp, size, false);
		gen_load_r8(g, dst, size);
	} else {
		window_prefix(g);
		emit_rm(&g->e, load_op(size), dst, base, X86_NOREG, 0, disp, EMIT_32);
	}
}

static void put_store(struct gen *g, unsigned base, unsigned index, int32_t disp,
		      unsigned src, unsigned size)
{
	if (size == 2)
		e8(&g->e, 0x66);
	if (size == 1 && src >= 4 && src < 8)	/* sil, dil.. need a REX prefix */
		e8(&g->e, 0x40);
	emit_rm(&g->e, size == 1 ? 0x88 : 0x89, src, base, index, 0, disp, EMIT_32);
}

void gen_store_r8(struct gen *g, unsigned src, unsigned size)
{
	if (g->soft) {
		gen_check(g, size, true);
		put_store(g, X86_R8, X86_R9, 0, src, size);
	} else {
		window_prefix(g);
		put_store(g, X86_R8, X86_NOREG, 0, src, size);
	}
}

void gen_store(struct gen *g, unsigned base, int32_t disp, unsigned src, unsigned size)
{
	if (g->soft || g->mode & BT_M_SEG) {
		put_address(g, base, disp, size, true);
		gen_store_r8(g, src, size);
	} else {
		window_prefix(g);
		put_store(g, base, X86_NOREG, disp, src, size);
	}
}

void gen_store_imm(struct gen *g, unsigned base, int32_t disp, uint32_t imm, unsigned size)
{
	unsigned index = X86_NOREG;

	if (g->soft || g->mode & BT_M_SEG) {
		put_address(g, base, disp, size, true);
		base = X86_R8;
		disp = 0;
	}
	if (g->soft) {
		gen_check(g, size, true);
		index = X86_R9;
	} else {
		window_prefix(g);
	}
	if (size == 2)
		e8(&g->e, 0x66);
	emit_rm(&g->e, 0xc7, 0, base, index, 0, disp, EMIT_32);
	if (size == 2) {
		e8(&g->e, (uint8_t)imm);
		e8(&g->e, (uint8_t)(imm >> 8));
	} else {
		e32(&g->e, imm);
	}
}

void gen_stub_add(struct gen *g, uint8_t *at, const uint8_t *retry, uint64_t eip,
		  unsigned reason, unsigned miss)
{
	if (g->nstubs == GEN_STUBS_MAX) {
		g->e.overflow = true;
		return;
	}
	g->stub[g->nstubs++] = (struct gen_stub){
		.at = at, .retry = retry, .eip = eip, .reason = (uint8_t)reason,
		.miss = (uint16_t)miss, .saved = g->flags != GEN_HOST,
	};
}

void gen_stubs(struct gen *g)
{
	struct emit *e = &g->e;

	for (unsigned i = 0; i < g->nstubs; i++) {
		struct gen_stub *s = &g->stub[i];

		emit_close32(e, s->at);
		if (s->retry) {
			emit_mov_ri(e, X86_R10, (uint32_t)s->eip);
			emit_mov_ri(e, X86_R11, s->miss);
			/* lea r9, [rip + retry] */
			e8(e, 0x4c), e8(e, 0x8d), e8(e, 0x0d);
			e32(e, 0);
			emit_close32_to(e, e->p - 4, s->retry);
			jmp_hot(e, H_TLB_MISS);
			continue;
		}
		if (s->rcx_in_r9)
			emit_mov_rr(e, X86_RCX, X86_R9);
		emit_mov_ri(e, X86_R8, (uint32_t)s->eip);
		emit_mov_ri(e, X86_R10, s->reason);
		e8(e, 0x49), e8(e, 0xb9);	/* mov r9, imm64 */
		e64(e, (uint64_t)(uintptr_t)g->u);
		jmp_hot(e, s->saved ? H_EXIT_SAVED : H_EXIT);
	}
}

/* The rel32 of a link is patched while it may run: keep it inside 8 bytes. */
static void align_slot(struct gen *g, unsigned opcode_len)
{
	static const uint8_t nop[4][3] = { { 0 }, { 0x90 }, { 0x66, 0x90 }, { 0x0f, 0x1f, 0x00 } };
	unsigned off = ((uintptr_t)g->e.p + opcode_len) % 8;

	if (off > 4)
		ebytes(&g->e, nop[8 - off], 8 - off);
}

static bool may_link(const struct gen *g, uint32_t eip)
{
	if (!(g->mode & BT_M_PAGING))
		return true;
	if (unit_same_page(g->u, eip) && !g->u->gpa2)
		return true;
	return !(g->mode & (BT_M_USER | BT_M_SEG));
}

/* A slot (rel32 at `at`) for a direct jump, with its stub behind the code. */
static struct bt_link *add_link(struct gen *g, uint8_t *at, uint32_t eip)
{
	struct bt_link *l = &g->u->link[g->u->nlinks++];

	*l = (struct bt_link){ .from = g->u, .slot = at, .eip = eip };
	return l;
}

/* RET came here for eip, or for another EIP with the same low byte: go on for eip.
 * Returns what to give to other_return(). */
static uint8_t *check_return(struct gen *g, uint32_t eip)
{
	struct emit *e = &g->e;
	uint8_t *other;

	emit_mov_rr(e, X86_R10, X86_RCX);
	emit_lea(e, X86_RCX, X86_R8, X86_NOREG, 0, (int32_t)(1 - eip), EMIT_32);
	other = emit_loop(e);
	emit_mov_rr(e, X86_RCX, X86_R10);
	return other;
}

/* Returns where to go with RCX as it is. */
static const uint8_t *other_return(struct gen *g)
{
	const uint8_t *at;

	emit_mov_rr(&g->e, X86_RCX, X86_R10);
	at = emit_here(&g->e);
	jmp_hot(&g->e, H_LOOKUP);
	return at;
}

static void link_stub(struct gen *g, struct bt_link *l)
{
	struct emit *e = &g->e;
	uint8_t *other = NULL;

	l->stub = emit_here(e);
	emit_close32(e, l->slot);
	if (l->returns)
		other = check_return(g, (uint32_t)l->eip);
	else
		emit_mov_ri(e, X86_R8, (uint32_t)l->eip);
	e8(e, 0x49), e8(e, 0xb9);	/* mov r9, imm64 */
	e64(e, (uint64_t)(uintptr_t)l);
	emit_mov_ri(e, X86_R10, BT_EXIT_LINK);
	jmp_hot(e, H_EXIT);
	if (other) {
		emit_close8(e, other);
		l->lookup = other_return(g);
	} else if (!unit_links_surely(g->u, l->eip)) {
		l->lookup = emit_here(e);
		emit_mov_ri(e, X86_R8, (uint32_t)l->eip);
		jmp_hot(e, H_LOOKUP);
	}
}

void gen_link_stubs(struct gen *g)
{
	for (unsigned i = 0; i < g->u->nlinks; i++)
		if (!g->u->link[i].compared)
			link_stub(g, &g->u->link[i]);
}

static void begin_exit(struct gen *g)
{
	g->u->exit_off = (uint16_t)(g->e.p - g->e.start);
	g->ended = true;
}

static void jump_to(struct gen *g, uint32_t eip)
{
	if (!may_link(g, eip)) {
		emit_mov_ri(&g->e, X86_R8, eip);
		gen_exit_lookup(g);
		return;
	}
	gen_need_host(g);
	align_slot(g, 1);
	add_link(g, emit_jmp_open(&g->e), eip);
}

void gen_exit_jump(struct gen *g, uint32_t eip)
{
	begin_exit(g);
	jump_to(g, eip);
	gen_link_stubs(g);
}

void gen_exit_jcc(struct gen *g, unsigned cond, uint32_t taken, uint32_t next)
{
	struct emit *e = &g->e;
	enum gen_flags f;

	gen_need_host(g);
	begin_exit(g);
	if (may_link(g, taken)) {
		align_slot(g, 2);
		add_link(g, emit_jcc(e, cond), taken);
		jump_to(g, next);
	} else {
		uint8_t *not = emit_jcc(e, cond ^ 1);

		f = g->flags;
		jump_to(g, taken);
		g->flags = f;
		emit_close32(e, not);
		jump_to(g, next);
	}
	gen_link_stubs(g);
}

bool gen_exit_pair(struct gen *g, uint8_t *taken8, uint32_t taken, uint32_t next)
{
	enum gen_flags f = g->flags;
	uint8_t *to_taken;

	/* A rel8 cannot reach over a lookup: hop. */
	e8(&g->e, 0xeb), e8(&g->e, 5);
	emit_close8(&g->e, taken8);
	to_taken = emit_jmp_open(&g->e);
	jump_to(g, next);
	g->flags = f;
	emit_close32(&g->e, to_taken);
	jump_to(g, taken);
	gen_link_stubs(g);
	return true;
}

void gen_exit_lookup(struct gen *g)
{
	struct emit *e = &g->e;
	uint8_t *miss;

	gen_need_host(g);
	if (!g->ended)
		begin_exit(g);
	g->u->looks_up = true;
	/* r9 = the entry's offset: the low 16 bits of 16 * bt_jc_index()'s sum */
	emit_rorx(e, X86_R9, X86_R8, 10);
	emit_lea(e, X86_R9, X86_R9, X86_R8, 0, 0, EMIT_32);
	emit_lea(e, X86_R9, X86_NOREG, X86_R9, 3, 0, EMIT_32);
	emit_lea(e, X86_R9, X86_R9, X86_R9, 0, 0, EMIT_32);
	emit_rr(e, 0x0fb7, X86_R9, X86_R9, EMIT_32);
	emit_load(e, X86_R10, H_JCACHE * 8, EMIT_64);
	emit_lea(e, X86_R9, X86_R9, X86_R10, 0, 0, EMIT_64);
	/* its tag and ours make 1 */
	emit_load(e, X86_R10, H_JTAG * 8, EMIT_64);
	emit_lea(e, X86_R11, X86_R10, X86_R8, 0, 0, EMIT_64);
	emit_mov_rr(e, X86_R10, X86_RCX);
	emit_rm(e, 0x8b, X86_RCX, X86_R9, X86_NOREG, 0, 0, EMIT_64);
	emit_lea(e, X86_RCX, X86_RCX, X86_R11, 0, 0, EMIT_64);
	miss = emit_loop(e);
	emit_mov_rr(e, X86_RCX, X86_R10);
	emit_jmp_mem(e, X86_R9, X86_NOREG, 8);
	/* A miss leaves with r8d as it is. */
	emit_close8(e, miss);
	emit_mov_rr(e, X86_RCX, X86_R10);
	emit_mov_ri(e, X86_R10, BT_EXIT_LOOKUP);
	jmp_hot(e, H_EXIT);
}

/* One entry of an inline cache. */
static void icache_entry(struct gen *g)
{
	struct emit *e = &g->e;
	struct bt_link *l;
	uint8_t *compared, *next;

	align_slot(g, 3);
	e8(e, 0x41), e8(e, 0x8d), e8(e, 0x88);	/* lea ecx, [r8 + disp32] */
	e32(e, 0);
	compared = e->p - 4;
	next = emit_loop(e);
	emit_mov_rr(e, X86_RCX, X86_R10);
	align_slot(g, 1);
	l = add_link(g, emit_jmp_open(e), 0);
	l->compared = compared;
	emit_close8(e, next);
}

void gen_exit_icache(struct gen *g)
{
	struct emit *e = &g->e;
	struct bt_icache *c = &g->u->icache;
	unsigned first = g->u->nlinks;

	if (g->bt->verify || g->u->plain) {
		gen_exit_lookup(g);
		return;
	}
	gen_need_host(g);
	begin_exit(g);
	emit_mov_rr(e, X86_R10, X86_RCX);
	for (unsigned i = 0; i < BT_ICACHE; i++)
		icache_entry(g);
	emit_mov_rr(e, X86_RCX, X86_R10);
	align_slot(g, 1);
	c->miss = emit_jmp_open(e);
	c->lookup = emit_here(e);
	gen_exit_lookup(g);
	/* the first target of all of them, for any eip */
	emit_close32(e, c->miss);
	for (unsigned i = first; i < g->u->nlinks; i++) {
		g->u->link[i].stub = emit_here(e);
		emit_close32(e, g->u->link[i].slot);
	}
	e8(e, 0x49), e8(e, 0xb9);	/* mov r9, imm64 */
	e64(e, (uint64_t)(uintptr_t)g->u);
	emit_mov_ri(e, X86_R10, BT_EXIT_ICACHE);
	jmp_hot(e, H_EXIT);
}

void gen_exit_return(struct gen *g)
{
	struct emit *e = &g->e;

	gen_need_host(g);
	begin_exit(g);
	g->u->looks_up = true;
	emit_load(e, X86_R9, H_RETURNS * 8, EMIT_64);
	emit_rr(e, 0x0fb6, X86_R10, X86_R8, EMIT_32);	/* movzx r10d, r8b */
	/* jmp [r9 + r10 * 8] */
	emit_rm(e, 0xff, 4, X86_R9, X86_R10, 3, 0, EMIT_32);
}

void gen_returns(struct gen *g)
{
	struct emit *e = &g->e;

	if (g->bt->verify || !may_link(g, g->next) ||
	    (g->in->opsize == 2 && g->next > 0xffff))
		return;
	align_slot(g, 3);
	e8(e, 0x4c), e8(e, 0x8d), e8(e, 0x0d);	/* lea r9, [rip + slot] */
	e32(e, 0);
	add_link(g, e->p - 4, g->next)->returns = true;
	emit_load(e, X86_R10, H_RETURNS_W * 8, EMIT_64);
	emit_rm(e, 0x89, X86_R9, X86_R10, X86_NOREG, 0,
		(int32_t)(g->next % BT_RETURNS * 8), EMIT_64);
}

void gen_return_check(struct gen *g)
{
	struct emit *e = &g->e;
	const uint8_t *other = e->p;
	uint8_t *at;

	other_return(g);
	g->u->entry_return = emit_here(e);
	at = check_return(g, (uint32_t)g->u->eip);
	if (!e->overflow)
		*at = (uint8_t)(other - (at + 1));
}

void gen_exit_step(struct gen *g, uint32_t eip)
{
	struct emit *e = &g->e;

	begin_exit(g);
	emit_mov_ri(e, X86_R8, eip);
	emit_mov_ri(e, X86_R10, BT_EXIT_STEP);
	jmp_hot(e, g->flags == GEN_SAVED ? H_EXIT_SAVED : H_EXIT);
}
