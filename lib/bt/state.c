/*
 * The guest's state around translated code: the mode it makes, the hot words that
 * units read, and the C functions that units call.
 */
#include "bt/run.h"

#include "bt/bt64.h"
#include "bt/layout.h"
#include "bt/smp.h"
#include "bt/window.h"
#include "interp/interp.h"
#include "vmm/access.h"
#include "x86/walk.h"

_Static_assert(offsetof(struct vcpu, hot) == 0, "layout.h");
_Static_assert(offsetof(struct vcpu, cpu.gpr) == V_GPR, "layout.h");
_Static_assert(offsetof(struct vcpu, cpu.rip) == V_RIP, "layout.h");
_Static_assert(offsetof(struct vcpu, cpu.rflags) == V_RFLAGS, "layout.h");
_Static_assert(sizeof(struct bt_jentry) == 16 && BT_JC_BITS == 12, "gen_exit_lookup");

void bt_enter(struct vcpu *v, const void *code);
int bt_tlb_miss_c(struct vcpu *v, uint32_t gva, unsigned what);
int bt_callout_c(struct vcpu *v, const struct bt_callout *co);

#define X87_FSW_ES	0x80	/* exception summary, in FSW's low byte */

static bool flat(const struct x86_seg *s, bool write)
{
	uint32_t a = s->attr;

	if ((a & X86_SEG_NULL) || !(a & X86_SEG_P) || !(a & X86_SEG_S) ||
	    s->limit != 0xffffffff)
		return false;
	if (a & X86_SEG_CODE)
		return !write && (a & X86_SEG_RW);
	return !(a & X86_SEG_DC) && (!write || (a & X86_SEG_RW));
}

static uint32_t fpu_mode(const struct x86_cpu *c)
{
	uint32_t m = 0;

	if (c->cr0 & (X86_CR0_EM | X86_CR0_TS))
		return 0;
	m |= BT_M_X87;
	if (c->cr4 & X86_CR4_OSFXSR)
		m |= BT_M_SSE;
	/* VEX is undefined outside protected mode. */
	if ((c->cr4 & X86_CR4_OSXSAVE) && (c->xcr0 & 6) == 6 && x86_protected(c))
		m |= BT_M_AVX;
	return m;
}

/* Segments that are not all flat. */
static uint32_t seg_mode(const struct x86_cpu *c)
{
	return BT_M_SEG | (c->code_bits == 16 ? BT_M_CODE16 : 0) |
	       (c->stack_bytes == 2 ? BT_M_STACK16 : 0) |
	       (x86_protected(c) ? 0 : BT_M_REAL);
}

static uint32_t bt_mode(const struct x86_cpu *c)
{
	const struct x86_seg *s = c->seg;
	uint32_t m = BT_M_VALID;

	if ((c->rflags & X86_FL_TF) || c->inhibit || (c->dr[7] & 0xff) ||
	    (c->cpl != 0 && c->cpl != 3))
		return BT_MODE_NONE;
	if (c->cpl == 3) {
		if ((c->rflags & X86_FL_AC) && (c->cr0 & X86_CR0_AM))
			return BT_MODE_NONE;
		m |= BT_M_USER;
	} else if (c->rflags & X86_FL_AC && c->cr4 & X86_CR4_SMAP && c->code_bits != 64) {
		return BT_MODE_NONE;	/* its code knows TLB_KERNEL only */
	}
	if (c->cpl == 0 || !(c->cr4 & X86_CR4_TSD))
		m |= BT_M_TSC;
	if (x86_paging(c))
		m |= BT_M_PAGING;
	if (c->rflags & X86_FL_DF)
		m |= BT_M_DF;
	m |= fpu_mode(c);
	if (c->code_bits == 64)
		return m | BT_M_LONG | (c->cpl == 0 && c->rip >> 63 ? BT_M_HIGH : 0);
	if (!x86_protected(c) || c->code_bits != 32 || c->stack_bytes != 4 ||
	    s[X86_CS].base || s[X86_CS].limit != 0xffffffff || s[X86_SS].base ||
	    !flat(&s[X86_SS], true))
		return m | seg_mode(c);
	if (flat(&s[X86_DS], true) && !s[X86_DS].base)
		m |= BT_M_DS;
	else if (!(s[X86_DS].attr & X86_SEG_NULL))
		return m | seg_mode(c);
	if (flat(&s[X86_ES], true) && !s[X86_ES].base)
		m |= BT_M_ES;
	else if (!(s[X86_ES].attr & X86_SEG_NULL))
		return (m & ~BT_M_DS) | seg_mode(c);
	return m;
}

void bt_mode_set(struct bt_vcpu *b)
{
	const struct x86_seg *cs = &b->v->cpu.seg[X86_CS];

	b->mode = bt_mode(&b->v->cpu);
	if (b->mode & BT_M_LONG && window_refused(b))
		b->mode |= BT_M_NOWIN;
	b->cs_base = b->mode & BT_M_LONG ? 0 : (uint32_t)cs->base;
	b->cs_limit = b->mode & BT_M_LONG ? UINT32_MAX : cs->limit;
	if (b->mode != BT_MODE_NONE &&
	    (!b->jmode || !jmode_is(b->jmode, b->mode, b->cs_base, b->cs_limit))) {
		bt_lock(b->bt);
		b->jmode = jcache_mode(&b->jc, b->mode, b->cs_base, b->cs_limit);
		bt_unlock(b->bt);
	}
}

/* --- in and out ----------------------------------------------------------------- */

/* EFLAGS live in three parts while translated code runs: layout.h. */
static void flags_split(struct vcpu *v)
{
	uint64_t f = v->cpu.rflags;

	v->hot[H_IF] = f & X86_FL_IF;
	v->hot[H_AC] = v->cpu.code_bits == 64 ? f & X86_FL_AC : 0;
	v->hot[H_SYSFLAGS] = (f & ~(uint64_t)(X86_FL_ARITH | X86_FL_IF |
					      X86_FL_FIXED | X86_FL_RF)) ^ v->hot[H_AC];
	v->hot[H_FLAGS] = (f & 0xff) << 8 | (f >> 11 & 1);
}

static void flags_join(struct vcpu *v)
{
	uint64_t f = v->hot[H_FLAGS];

	v->cpu.rflags = v->hot[H_SYSFLAGS] | v->hot[H_IF] | v->hot[H_AC] | X86_FL_FIXED |
			(f >> 8 & (X86_FL_ARITH & 0xff)) | (f & 1) << 11;
}

/* The last offset that an access may reach; -1: not such a simple segment. */
static int64_t seg_last(const struct x86_cpu *c, const struct x86_seg *s, bool write)
{
	uint32_t a = s->attr;

	if ((a & (X86_SEG_S | X86_SEG_CODE | X86_SEG_DC)) == (X86_SEG_S | X86_SEG_DC))
		return -1;
	if (x86_protected(c) && ((a & X86_SEG_NULL) || (a & X86_SEG_CODE && write) ||
				 (!(a & X86_SEG_RW) && (a & X86_SEG_CODE || write))))
		return -1;
	return s->limit;
}

static void seg_hints(struct bt_vcpu *b)
{
	struct vcpu *v = b->v;
	const struct x86_cpu *c = &v->cpu;

	if (b->mode & BT_M_SEG) {
		for (unsigned i = 0; i < 2 * X86_SEGS; i++)
			v->hot[H_SEG_LAST + i] = (uint64_t)seg_last(c, &c->seg[i / 2], i & 1);
		return;
	}
	v->hot[H_FSBAD] = !flat(&c->seg[X86_FS], true);
	v->hot[H_GSBAD] = !flat(&c->seg[X86_GS], true);
}

void bt_go(struct bt_vcpu *b, const uint8_t *code)
{
	struct vcpu *v = b->v;

	seg_hints(b);
	flags_split(v);
	/* SSE works without XCR0: that only says what the guest XSAVEs. */
	v->hot[H_XMASK] = (v->cpu.xcr0 & 7) | 3;
	v->hot[H_JTAG] = b->verify ? BT_JTAG_NONE : (uint64_t)b->jmode->gen << 32;
	v->hot[H_RETURNS] = (uint64_t)(uintptr_t)b->jmode->returns;
	v->hot[H_RETURNS_W] = v->hot[H_RETURNS];
	b->jmode->returned = true;
	bt_lock(b->bt);
	v->hot[H_GSBASE] = window_base(b->bt, b);
	bt_unlock(b->bt);
	if (b->mode & BT_M_LONG)
		bt64_run(b, code);
	else
		bt_enter(v, code);
	flags_join(v);
}

int bt_callout_c(struct vcpu *v, const struct bt_callout *co)
{
	struct bt_vcpu *b = v->engine;
	struct x86_cpu *c = &v->cpu;
	uint64_t drops = b->bt->stats.drops;

	b->stats.callouts++;
	flags_join(v);
	b->leave = false;
	c->rip = co->next;
	if (co->fn(v, &co->in) != X86_OK) {
		/* Not executed again: a REP may have overwritten itself. */
		flags_split(v);		/* those of a REP CMPS's last comparison */
		if (!c->exc.at_rip)
			c->rip = co->eip;
		return BT_CALLOUT_FAULT;
	}
	flags_split(v);
	v->insns++;
	if (c->rip != co->next || c->inhibit || c->halted || b->leave ||
	    drops != b->bt->stats.drops ||
	    ((c->rflags & X86_FL_IF) && atomic_load_explicit(&v->req, memory_order_relaxed)))
		return BT_CALLOUT_OUT;
	if (co->mode) {
		interp_state_changed(v);
		seg_hints(b);
		if (bt_mode(c) != (b->mode & ~(uint32_t)BT_M_NOWIN))
			return BT_CALLOUT_OUT;
	}
	return BT_CALLOUT_ON;
}

int bt_tlb_miss_c(struct vcpu *v, uint32_t gva, unsigned what)
{
	struct bt_vcpu *b = v->engine;
	enum tlb_mode m = b->mode & BT_M_USER ? TLB_USER : TLB_KERNEL;
	const struct tlb_entry *e = &v->tlb.e[m][gva >> PAGE_SHIFT & (TLB_SIZE - 1)];
	bool write = what & BT_MISS_WRITE;
	uint64_t gpa, tag, drops = b->bt->stats.drops;

	b->stats.tlb_misses++;
	/* #GP and #MF come before the walk, which sets A and D; across pages it takes
	 * both of them. */
	if ((gva & what >> BT_MISS_ALIGN & 63) ||
	    (gva ^ (gva + (what >> BT_MISS_SIZE))) >> PAGE_SHIFT ||
	    (what & BT_MISS_FP && v->cpu.xsave[2] & X87_FSW_ES))
		return 1;
	if (tlb_fill(v, gva, write ? X86_WALK_W : X86_WALK_R, m, &gpa) != X86_OK)
		return 1;
	tag = write ? e->wtag : e->rtag;
	/* Device memory, told writes: no entry can hit.  Drops: A or D was set in
	 * bytes that are code, too, perhaps of this unit. */
	return tag != (gva & PAGE_MASK) || drops != b->bt->stats.drops;
}
