/*
 * The engine: mode, dispatch, and what happens at each exit.
 *
 * run() alternates between translated code and C.  Whatever is not translated
 * (system instructions, device accesses, guest faults) is executed by interp_step()
 * on the same state.
 */
#include "bt/bt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "bt/gen.h"
#include "bt/layout.h"
#include "bt/signal.h"
#include "bt/unit.h"
#include "bt/verify.h"
#include "bt/window.h"
#include "interp/interp.h"
#include "vmm/access.h"
#include "x86/walk.h"

_Static_assert(offsetof(struct vcpu, hot) == 0, "layout.h");
_Static_assert(offsetof(struct vcpu, cpu.gpr) == V_GPR, "layout.h");
_Static_assert(offsetof(struct vcpu, cpu.rip) == V_RIP, "layout.h");
_Static_assert(offsetof(struct vcpu, cpu.rflags) == V_RFLAGS, "layout.h");
_Static_assert(sizeof(struct bt_jentry) == 16, "gen_exit_lookup");

void bt_enter(struct vcpu *v, const void *code);
int bt_tlb_miss_c(struct vcpu *v, uint32_t gva, unsigned what);
int bt_callout_c(struct vcpu *v, const struct bt_callout *co);
extern const char bt_fpu_load[], bt_exit[], bt_exit_saved[], bt_tlb_miss[],
	bt_callout[], bt_lookup[];

#define X87_FSW_ES	0x80	/* exception summary, in FSW's low byte */
#define SITE_FAULTS_MAX	2	/* then the instruction is made soft */

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

	if (c->long_mode || (c->rflags & X86_FL_TF) || c->inhibit || (c->dr[7] & 0xff) ||
	    (c->cpl != 0 && c->cpl != 3))
		return BT_MODE_NONE;
	if (c->cpl == 3) {
		if ((c->rflags & X86_FL_AC) && (c->cr0 & X86_CR0_AM))
			return BT_MODE_NONE;
		m |= BT_M_USER;
	}
	if (c->cpl == 0 || !(c->cr4 & X86_CR4_TSD))
		m |= BT_M_TSC;
	if (x86_paging(c))
		m |= BT_M_PAGING;
	if (c->rflags & X86_FL_DF)
		m |= BT_M_DF;
	m |= fpu_mode(c);
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
	b->cs_base = (uint32_t)cs->base;
	b->cs_limit = cs->limit;
	if (b->mode != BT_MODE_NONE &&
	    (!b->jmode || !jmode_is(b->jmode, b->mode, b->cs_base, b->cs_limit)))
		b->jmode = jcache_mode(&b->jc, b->mode, b->cs_base, b->cs_limit);
}

/* --- in and out ----------------------------------------------------------------- */

/* EFLAGS live in three parts while translated code runs: layout.h. */
static void flags_split(struct vcpu *v)
{
	uint64_t f = v->cpu.rflags;

	v->hot[H_IF] = f & X86_FL_IF;
	v->hot[H_SYSFLAGS] = f & ~(uint64_t)(X86_FL_ARITH | X86_FL_IF |
					     X86_FL_FIXED | X86_FL_RF);
	v->hot[H_FLAGS] = (f & 0xff) << 8 | (f >> 11 & 1);
}

static void flags_join(struct vcpu *v)
{
	uint64_t f = v->hot[H_FLAGS];

	v->cpu.rflags = v->hot[H_SYSFLAGS] | v->hot[H_IF] | X86_FL_FIXED |
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

static void enter(struct bt_vcpu *b, const uint8_t *code)
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
	v->hot[H_GSBASE] = window_base(b->bt, b);
	bt_enter(v, code);
	flags_join(v);
}

int bt_callout_c(struct vcpu *v, const struct bt_callout *co)
{
	struct bt_vcpu *b = v->engine;
	struct x86_cpu *c = &v->cpu;
	uint64_t drops = b->bt->stats.drops;

	b->bt->stats.callouts++;
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
		if (bt_mode(c) != b->mode)
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

	b->bt->stats.tlb_misses++;
	/* #GP and #MF come before the walk, which sets A and D. */
	if (gva & what >> BT_MISS_ALIGN ||
	    (what & BT_MISS_FP && v->cpu.xsave[2] & X87_FSW_ES))
		return 1;
	if (tlb_fill(v, gva, write ? X86_WALK_W : X86_WALK_R, m, &gpa) != X86_OK)
		return 1;
	tag = write ? e->wtag : e->rtag;
	/* Crossing pages, device memory, told writes: no entry can hit.  Drops: A
	 * or D was set in bytes that are code, too, perhaps of this unit. */
	return tag != (gva & PAGE_MASK) || (gva & ~PAGE_MASK) > PAGE_SIZE - 64 ||
	       drops != b->bt->stats.drops;
}

/* --- finding units ----------------------------------------------------------------- */

static void protect_code(struct bt *bt, uint64_t gpa)
{
	struct mem *m = bt->vm->mem;
	uint64_t page = mem_off(m, gpa) >> PAGE_SHIFT;

	if (m->pflags[page] & MEM_PF_CODE)
		return;
	atomic_fetch_or(&m->pflags[page], MEM_PF_CODE);
	for (unsigned i = 0; i < bt->vm->ncpus; i++)
		tlb_protect_hva(&bt->vm->vcpu[i]->tlb, m->hva + (page << PAGE_SHIFT));
	window_protect(bt, page);
}

static struct bt_unit *translate(struct bt_vcpu *b, uint64_t gpa, uint32_t eip,
				 enum bt_form form, uint64_t soft)
{
	struct bt_unit *u;

	protect_code(b->bt, gpa);
	u = bt_translate(b->bt, b, gpa, eip, form, soft);
	if (u && u->gpa2)
		protect_code(b->bt, u->gpa2);
	trace_line(b->bt->vm, TRACE_UNITS, "unit %08x gpa %llx mode %x %s: %u bytes -> %u\n",
		   eip, (unsigned long long)gpa, b->mode,
		   form == BT_WINDOW ? "window" : "soft", u ? u->len : 0,
		   u ? u->code_len : 0);
	return u;
}

/* The unit at EIP, made when there is none.  NULL: the interpreter is to go on
 * (a fetch fault, code in device memory). */
static struct bt_unit *find_unit(struct bt_vcpu *b)
{
	struct vcpu *v = b->v;
	uint32_t eip = (uint32_t)v->cpu.rip, gva = b->cs_base + eip;
	struct bt_unit *u;
	uint64_t gpa;

	if (eip > b->cs_limit || vcpu_fetch_gpa(v, gva, &gpa) != X86_OK)
		return NULL;
	u = unit_find(b->bt, gpa, eip, b->mode, b->cs_limit);
	if (u && u->gpa2) {	/* does its second page still stand behind? */
		uint64_t gpa2;

		if (vcpu_fetch_gpa(v, (uint32_t)((gva | 0xfff) + 1), &gpa2) != X86_OK)
			return NULL;	/* the interpreter raises it */
		if (gpa2 != u->gpa2) {
			unit_drop(b->bt, u);
			u = NULL;
		}
	}
	if (!u) {
		if (mem_off(v->vm->mem, gpa) == UINT64_MAX)
			return NULL;	/* code in device memory */
		u = translate(b, gpa, eip, b->bt->want_mixed ? BT_SOFT :
			      b->bt->can_window ? BT_WINDOW : BT_SOFT, 0);
	}
	return u;
}

static bool page_is_global(const struct bt_vcpu *b, uint32_t eip)
{
	const struct tlb *t = &b->v->tlb;
	unsigned i = eip >> PAGE_SHIFT & (TLB_SIZE - 1);

	return t->e[TLB_KERNEL][i].xtag == (eip & PAGE_MASK) && t->global[TLB_KERNEL][i];
}

/* Link l to u if nothing can make that stale unnoticed; see unit.h. */
static void try_link(struct bt_vcpu *b, struct bt_link *l, struct bt_unit *u)
{
	bool same = unit_same_page(l->from, u->eip) && !u->gpa2 &&
		    !((u->gpa ^ l->from->gpa) >> PAGE_SHIFT) && !l->from->gpa2;

	if (b->verify || l->to || l->from->dead || u->mode != l->from->mode)
		return;
	if (same || !(b->mode & BT_M_PAGING))
		link_set(b->bt, l, u, false);
	else if (!(b->mode & (BT_M_USER | BT_M_SEG)) && page_is_global(b, u->eip) &&
		 (!u->gpa2 || page_is_global(b, (u->eip | 0xfff) + 1)))
		link_set(b->bt, l, u, true);
}

static void jcache_add(struct bt_vcpu *b, const struct bt_unit *u)
{
	if (!(b->mode & BT_M_USER) && (b->mode & BT_M_PAGING) &&
	    (b->mode & BT_M_SEG || !page_is_global(b, u->eip) || u->gpa2))
		b->jmode->nonglobal = true;
	jcache_insert(&b->jc, b->jmode, u);
}

/* --- exits ---------------------------------------------------------------------- */

/* Replace u by a translation in another form. */
static void retranslate(struct bt_vcpu *b, struct bt_unit *u, enum bt_form form,
			uint64_t soft)
{
	uint64_t gpa = u->gpa;
	uint32_t eip = u->eip;

	if (u->dead || u->mode != b->mode || u->limit != b->cs_limit)
		return;
	unit_drop(b->bt, u);
	translate(b, gpa, eip, form, soft);
}

static void promote(struct bt_vcpu *b)
{
	struct bt_unit *u = (void *)(uintptr_t)b->v->hot[H_ARG];

	*u->counter = 0x40000000;
	if (!b->bt->can_window)
		return;
	b->bt->stats.promoted++;
	retranslate(b, u, BT_WINDOW, u->soft);
}

/* An access of this instruction left for the interpreter once more. */
static void site_faulted(struct bt_vcpu *b)
{
	struct bt_unit *u = b->fault_unit;
	struct bt_site *s = b->fault_site;

	if (u->dead || u->form != BT_WINDOW || u->soft >> s->index & 1 ||
	    !b->bt->want_mixed)
		return;
	if (s->fills < BT_SITE_FILLS_MAX && ++s->faults < SITE_FAULTS_MAX)
		return;
	b->bt->stats.softened++;
	retranslate(b, u, BT_WINDOW, u->soft | 1ull << s->index);
}

static enum interp_result step(struct bt_vcpu *b)
{
	b->bt->stats.steps++;
	return interp_step(b->v);
}

static void trace_exit(struct bt_vcpu *b, unsigned reason)
{
	static const char *const name[BT_EXIT_KINDS] = {
		[BT_EXIT_LINK] = "link", [BT_EXIT_LOOKUP] = "lookup",
		[BT_EXIT_STEP] = "step", [BT_EXIT_REQ] = "request",
		[BT_EXIT_STI] = "sti", [BT_EXIT_HOT] = "hot",
		[BT_EXIT_FAULT] = "fault", [BT_EXIT_RAISE] = "exception",
	};

	trace_line(b->bt->vm, TRACE_EXITS, "exit %08llx %s\n",
		   (unsigned long long)b->v->cpu.rip, name[reason]);
}

/* Execute translated code in the current mode until C has something to do that
 * may change the mode. */
static enum interp_result run_units(struct bt_vcpu *b)
{
	struct vcpu *v = b->v;
	struct bt_unit *u = NULL;
	uint64_t evictions;
	unsigned reason;

	for (;;) {
		const uint8_t *code = b->verify ? NULL :
			jcache_find(&b->jc, b->jmode, (uint32_t)v->cpu.rip);

		if (!code) {
			u = find_unit(b);
			if (!u)
				return step(b);
			jcache_add(b, u);
			code = u->entry_lookup;
		}
again:
		if (b->verify)
			verify_begin(b->verify, u);
		enter(b, code);
		reason = (unsigned)v->hot[H_REASON];
		if (b->verify && verify_end(b->verify, u, reason))
			return INTERP_OK;
		b->bt->stats.exits[reason]++;
		trace_exit(b, reason);
		switch (reason) {
		case BT_EXIT_LINK:
			if (v->hot[H_KICK])
				return INTERP_OK;
			evictions = b->bt->stats.evictions;
			u = find_unit(b);
			if (!u)
				return step(b);
			/* Making u may have recycled the arena of the link's unit. */
			if (evictions == b->bt->stats.evictions)
				try_link(b, (void *)(uintptr_t)v->hot[H_ARG], u);
			code = u->entry_lookup;
			goto again;
		case BT_EXIT_LOOKUP:
			if (v->hot[H_KICK])
				return INTERP_OK;
			continue;
		case BT_EXIT_HOT:
			promote(b);
			continue;
		case BT_EXIT_FAULT:
			site_faulted(b);
			return step(b);
		case BT_EXIT_STEP:
			return step(b);
		case BT_EXIT_RAISE:
			return interp_exception(v);
		case BT_EXIT_STI:
			v->cpu.inhibit = true;
			return INTERP_OK;
		default:
			return INTERP_OK;
		}
	}
}

/* How long a kick took to bring translated code here. */
static void note_latency(struct bt_vcpu *b)
{
	struct bt_stats *s = &b->bt->stats;
	uint64_t took = __builtin_ia32_rdtsc() - b->kick_tsc;

	b->kick_tsc = 0;
	s->kicks_left++;
	s->kick_cycles += took;
	if (took > s->kick_cycles_max)
		s->kick_cycles_max = took;
}

static enum vcpu_exit bt_run(struct vcpu *v)
{
	struct bt_vcpu *b = v->engine;
	enum interp_result r;
	enum vcpu_exit ex;

	for (;;) {
		if (b->kick_tsc)
			note_latency(b);
		v->hot[H_KICK] = 0;
		atomic_thread_fence(memory_order_seq_cst);
		if (atomic_load_explicit(&v->req, memory_order_relaxed) &&
		    interp_service_requests(v, &ex))
			return ex;
		if (v->cpu.halted)
			return VCPU_EXIT_HLT;
		bt_mode_set(b);
		if (b->mode == BT_MODE_NONE) {
			b->bt->stats.untranslatable++;
			r = interp_step(v);
		} else {
			r = run_units(b);
			if (v->err.code)
				return VCPU_EXIT_ERROR;
		}
		if (r == INTERP_SHUTDOWN)
			return VCPU_EXIT_SHUTDOWN;
	}
}

/* --- hooks ------------------------------------------------------------------------ */

static void on_write(void *ptr, uint64_t gpa, uint64_t len)
{
	struct bt *bt = ptr;
	struct mem *m = bt->vm->mem;
	bool idle = interp_code_written(bt->vm, gpa, len);
	uint64_t page;

	unit_written(bt, gpa, len);
	page = mem_off(m, gpa);
	if (idle && page != UINT64_MAX && !bt->page[page >> PAGE_SHIFT])
		atomic_fetch_and(&m->pflags[page >> PAGE_SHIFT], (uint8_t)~MEM_PF_CODE);
}

static void on_code(void *ptr, uint64_t page)
{
	window_protect(ptr, page);
}

static void on_tlb_flush(struct vcpu *v, uint64_t gva, int what)
{
	struct bt_vcpu *b = v->engine;
	struct bt *bt = b->bt;
	uint32_t page = (uint32_t)gva >> PAGE_SHIFT;

	b->leave = true;
	returns_forget(bt);
	switch (what) {
	case VCPU_FLUSH_PAGE:
		jcache_flush_page(&b->jc, (uint32_t)gva);
		if (bt->far_pages[page / 64] >> page % 64 & 1)
			link_clear_far(bt);
		break;
	case VCPU_FLUSH_ALL:
		jcache_flush(&b->jc, JCACHE_ALL);
		link_clear_far(bt);
		break;
	default:
		jcache_flush(&b->jc, JCACHE_NONGLOBAL);
	}
	window_flush(bt, v, gva, what);
}

static void bt_kick(struct vcpu *v)
{
	v->hot[H_KICK] = 1;
	if (!pthread_equal(v->thread, pthread_self()))
		pthread_sigqueue(v->thread, VCPU_KICK_SIGNAL,
				 (union sigval){ .sival_ptr = v });
}

static void bt_kicked(struct vcpu *v, void *context)
{
	if (v->engine)
		bt_signal_kicked(v->engine, context);
}

/* --- life ---------------------------------------------------------------------------- */

#define HWCAP2_FSGSBASE_BIT (1ul << 1)

static int bt_probe(struct vm *vm, struct err *e)
{
	if (!__builtin_cpu_supports("bmi2"))
		return err_set(e, -ENOTSUP, "this processor has no BMI2; use --accel interp");
	if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT))
		return err_set(e, -ENOTSUP, "this kernel does not allow WRGSBASE; "
			       "use --accel interp");
	if (vm && vm->ncpus > 1)
		return err_set(e, -ENOTSUP, "bt runs one virtual CPU so far");
	return 0;
}

static void bt_vm_destroy(struct vm *vm)
{
	struct bt *bt = vm->engine_vm;

	if (!bt)
		return;
	interp_vm_destroy(vm);
	vm->mem->on_write = NULL;
	vm->mem->on_code = NULL;
	windows_free(bt);
	tcache_close(&bt->tc);
	free(bt->hash);
	free(bt->page);
	free(bt->far_pages);
	free(bt);
	vm->engine_vm = NULL;
}

static int bt_vm_create(struct vm *vm, struct err *e)
{
	const struct bt_opts *o = vm->engine_opts;
	struct bt *bt = calloc(1, sizeof(*bt));
	int rc = -ENOMEM;

	if (!bt)
		return err_set(e, -ENOMEM, "translator: out of memory");
	bt->vm = vm;
	bt->tc.fd = -1;
	vm->engine_vm = bt;
	bt->can_window = !o || o->form != BT_SOFT;
	bt->want_mixed = !o || o->form == BT_MIXED;
	bt->verify = o && o->verify;
	bt->hash = calloc(1u << BT_HASH_BITS, sizeof(*bt->hash));
	bt->page = calloc(vm->mem->len >> PAGE_SHIFT, sizeof(*bt->page));
	bt->far_pages = calloc((1u << 20) / 64, sizeof(uint64_t));
	if (!bt->hash || !bt->page || !bt->far_pages) {
		err_set(e, rc, "translator: out of memory");
		goto out;
	}
	rc = tcache_open(&bt->tc, e);
	if (!rc && bt->can_window)
		rc = windows_new(bt, e);
	if (!rc)
		rc = interp_vm_create(vm, e);
	if (rc)
		goto out;
	vm->mem->on_write = on_write;
	vm->mem->on_code = on_code;
	vm->mem->on_write_ptr = bt;
	/* 64-bit guests and SMAP come later: not offered. */
	vm->model.long_mode = false;
	vm->model.smap = false;
	x86_model_init(&vm->model);
	return 0;
out:
	bt_vm_destroy(vm);
	return rc;
}

static void bt_destroy(struct vcpu *v)
{
	struct bt_vcpu *b = v->engine;

	if (!b)
		return;
	v->on_tlb_flush = NULL;
	bt_signal_fini(b);
	verify_free(b->verify);
	interp_vcpu_destroy(v);
	v->engine = NULL;
	free(b);
}

static int bt_create(struct vcpu *v, struct err *e)
{
	struct bt_vcpu *b = calloc(1, sizeof(*b));
	int rc;

	if (!b)
		return err_set(e, -ENOMEM, "translator: out of memory");
	b->bt = v->vm->engine_vm;
	b->v = v;
	v->hot[H_JCACHE] = (uint64_t)(uintptr_t)b->jc.e;
	v->hot[H_XSAVE] = (uint64_t)(uintptr_t)v->cpu.xsave;
	v->hot[H_FPU_FN] = (uint64_t)(uintptr_t)bt_fpu_load;
	v->hot[H_MXCSR] = 0x1f80;
	v->hot[H_EXIT] = (uint64_t)(uintptr_t)bt_exit;
	v->hot[H_EXIT_SAVED] = (uint64_t)(uintptr_t)bt_exit_saved;
	v->hot[H_CALLOUT] = (uint64_t)(uintptr_t)bt_callout;
	v->hot[H_TLB_MISS] = (uint64_t)(uintptr_t)bt_tlb_miss;
	v->hot[H_LOOKUP] = (uint64_t)(uintptr_t)bt_lookup;
	rc = bt_signal_init(b, e);
	if (!rc && b->bt->verify && !(b->verify = verify_new(b)))
		rc = err_set(e, -ENOMEM, "translator: out of memory");
	if (!rc)
		rc = interp_vcpu_create(v, e);
	v->engine = b;
	if (rc) {
		bt_destroy(v);
		return rc;
	}
	v->on_tlb_flush = on_tlb_flush;
	return 0;
}

/* Outside run() the state is in v->cpu already. */
static void bt_sync_out(struct vcpu *v)
{
}

static void bt_sync_in(struct vcpu *v)
{
	interp_state_changed(v);
	on_tlb_flush(v, 0, VCPU_FLUSH_ALL);
}

const struct engine_ops bt_engine = {
	.name = "bt",
	.probe = bt_probe,
	.vm_create = bt_vm_create,
	.vm_destroy = bt_vm_destroy,
	.create = bt_create,
	.destroy = bt_destroy,
	.run = bt_run,
	.sync_out = bt_sync_out,
	.sync_in = bt_sync_in,
	.kick = bt_kick,
	.kicked = bt_kicked,
	.print_stats = bt_print_stats,
};
