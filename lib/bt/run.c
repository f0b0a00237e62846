/*
 * Dispatch, and what happens at each exit.
 *
 * bt_run() alternates between translated code and C.  Whatever is not translated
 * (system instructions, device accesses, guest faults) is executed by interp_step()
 * on the same state.
 */
#include "bt/run.h"

#include "bt/gen.h"
#include "bt/layout.h"
#include "bt/signal.h"
#include "bt/smp.h"
#include "bt/verify.h"
#include "bt/window.h"
#include "interp/interp.h"
#include "vmm/access.h"
#include "vmm/walkmem.h"
#include "x86/walk.h"

#define SITE_FAULTS_MAX	2	/* then the instruction is made soft */

/* --- finding units ----------------------------------------------------------------- */

/* Stores to the page of gpa are told from now on; false: they were before. */
static bool protect_code(struct bt *bt, uint64_t gpa)
{
	struct mem *m = bt->vm->mem;
	uint64_t page = mem_off(m, gpa) >> PAGE_SHIFT;

	if (m->pflags[page] & MEM_PF_CODE)
		return false;
	vm_protect_page(bt->vm, page, MEM_PF_CODE);
	return true;
}

static struct bt_unit *translate(struct bt_vcpu *b, uint64_t gpa, uint64_t eip,
				 enum bt_form form, uint64_t soft, bool plain)
{
	struct bt_unit *u;

	protect_code(b->bt, gpa);
	for (;;) {
		u = bt_translate(b->bt, b, gpa, eip, form, soft, plain);
		if (!u || !u->gpa2 || !protect_code(b->bt, u->gpa2) || !b->bt->smp)
			break;
		/* Another vCPU may have written its second page since it was read. */
		unit_drop(b->bt, u);
	}
	trace_line(b->bt->vm, TRACE_UNITS, "unit %08llx gpa %llx mode %x %s: %u bytes -> %u\n",
		   (unsigned long long)eip, (unsigned long long)gpa, b->mode,
		   form == BT_WINDOW ? "window" : "soft", u ? u->len : 0,
		   u ? u->code_len : 0);
	return u;
}

/* The unit at EIP, made when there is none.  NULL: the interpreter is to go on
 * (a fetch fault, code in device memory, no room). */
static struct bt_unit *find_unit(struct bt_vcpu *b)
{
	struct vcpu *v = b->v;
	uint64_t eip = v->cpu.rip, gva = bt_linear(b, eip);
	struct bt_unit *u;
	uint64_t gpa;

	if ((!(b->mode & BT_M_LONG) && eip > b->cs_limit) ||
	    vcpu_fetch_gpa(v, gva, &gpa) != X86_OK)
		return NULL;
	u = unit_find(b->bt, gpa, eip, b->mode, b->cs_limit);
	if (u && u->gpa2) {	/* does its second page still stand behind? */
		uint64_t gpa2, second = (gva | 0xfff) + 1;

		if (!(b->mode & BT_M_LONG))
			second = (uint32_t)second;
		if (vcpu_fetch_gpa(v, second, &gpa2) != X86_OK)
			return NULL;	/* the interpreter raises it */
		/* dead: A was set in bytes that it is made of, or the like */
		if (gpa2 != u->gpa2 || u->dead) {
			unit_drop(b->bt, u);
			u = NULL;
		}
	}
	if (!u) {
		if (mem_off(v->vm->mem, gpa) == UINT64_MAX)
			return NULL;	/* code in device memory */
		if (!b->verify && unit_patched(b->bt, gpa))
			return NULL;
		u = translate(b, gpa, eip, bt_can_window(b) && !b->bt->want_mixed ?
			      BT_WINDOW : BT_SOFT, 0, false);
	}
	return u;
}

static bool page_is_global(const struct bt_vcpu *b, uint64_t eip)
{
	const struct tlb *t = &b->v->tlb;
	unsigned i = eip >> PAGE_SHIFT & (TLB_SIZE - 1);

	return t->e[TLB_KERNEL][i].xtag == (eip & PAGE_MASK) && t->global[TLB_KERNEL][i];
}

/*
 * Would every other vCPU that pages find u at its EIP, or nothing?  Nothing: then its
 * address space is to be another when it comes there, and kernels have the same code at
 * the same global address in all of them.
 */
static bool same_elsewhere(struct bt_vcpu *b, const struct bt_unit *u)
{
	struct vm *vm = b->bt->vm;
	struct x86_walk w;

	for (unsigned i = 0; i < vm->ncpus; i++) {
		struct vcpu *o = vm->vcpu[i];
		struct x86_walk_mem m = vcpu_walk_mem(o);

		if (o == b->v || !x86_paging(&o->cpu))
			continue;
		if (x86_walk_peek(&o->cpu, &m, u->eip, &w) &&
		    (!w.global || w.gpa != u->gpa))
			return false;
		if (u->gpa2 && x86_walk_peek(&o->cpu, &m, (u->eip | 0xfff) + 1, &w) &&
		    (!w.global || w.gpa != u->gpa2))
			return false;
	}
	return true;
}

/* May from lead to u without anything making that stale unnoticed?  See unit.h. */
enum linkable { LINK_NONE, LINK_NEAR, LINK_FAR };

static enum linkable linkable(struct bt_vcpu *b, const struct bt_unit *from,
			      const struct bt_unit *u)
{
	if ((unit_same_page(from, u->eip) && !u->gpa2 && !from->gpa2 &&
	     !((u->gpa ^ from->gpa) >> PAGE_SHIFT)) || !(b->mode & BT_M_PAGING))
		return LINK_NEAR;
	if (!(b->mode & (BT_M_USER | BT_M_SEG)) && page_is_global(b, u->eip) &&
	    (!u->gpa2 || page_is_global(b, (u->eip | 0xfff) + 1)) && same_elsewhere(b, u))
		return LINK_FAR;
	return LINK_NONE;
}

static void try_link(struct bt_vcpu *b, struct bt_link *l, struct bt_unit *u)
{
	enum linkable how;

	if (b->verify || l->to || l->from->dead || u->mode != l->from->mode ||
	    (l->loop && u != l->from))
		return;
	how = linkable(b, l->from, u);
	if (how == LINK_NONE)
		link_refuse(b->bt, l);
	else
		link_set(b->bt, l, u, how == LINK_FAR);
}

/* The indirect jump of from went to u, which its inline cache does not know. */
static void icache_fill(struct bt_vcpu *b, struct bt_unit *from, struct bt_unit *u)
{
	enum linkable how;

	if (from->dead || u->mode != from->mode)
		return;
	how = linkable(b, from, u);
	if (how == LINK_NONE ? ++from->icache.tries == BT_ICACHE_TRIES :
			       !icache_link(b->bt, from, u, how == LINK_FAR))
		icache_close(b->bt, from);
}

static void jcache_add(struct bt_vcpu *b, const struct bt_unit *u)
{
	if (!(b->mode & BT_M_USER) && (b->mode & BT_M_PAGING) &&
	    (b->mode & BT_M_SEG || !page_is_global(b, u->eip) || u->gpa2))
		b->jmode->nonglobal = true;
	jcache_insert(&b->jc, b->jmode, u);
}

/* The code at EIP, for the jump cache, too; NULL as find_unit().  *u: its unit. */
static const uint8_t *look_up(struct bt_vcpu *b, struct bt_unit **u)
{
	bt_lock(b->bt);
	*u = find_unit(b);
	if (*u)
		jcache_add(b, *u);
	bt_unlock(b->bt);
	return *u ? (*u)->entry_lookup : NULL;
}

/* The same after BT_EXIT_LINK or BT_EXIT_ICACHE: what it left by is linked. */
static const uint8_t *look_up_linked(struct bt_vcpu *b, unsigned reason, struct bt_unit **u)
{
	void *from = (void *)(uintptr_t)b->v->hot[H_ARG];

	bt_lock(b->bt);
	*u = find_unit(b);
	if (*u && reason == BT_EXIT_LINK)
		try_link(b, from, *u);
	else if (*u)
		icache_fill(b, from, *u);
	bt_unlock(b->bt);
	return *u ? (*u)->entry_lookup : NULL;
}

/* --- exits ---------------------------------------------------------------------- */

/* Replace u by a translation in another form. */
static struct bt_unit *retranslate(struct bt_vcpu *b, struct bt_unit *u,
				   enum bt_form form, uint64_t soft)
{
	uint64_t gpa = u->gpa, eip = u->eip;
	bool plain = u->plain || (u->icache.tries == BT_ICACHE_TRIES && !u->icache.filled);

	if (u->dead || u->mode != b->mode || u->limit != b->cs_limit)
		return NULL;
	unit_drop(b->bt, u);
	return translate(b, gpa, eip, form, soft, plain);
}

static void promote(struct bt_vcpu *b)
{
	struct bt_unit *u = (void *)(uintptr_t)b->v->hot[H_ARG];

	unsigned tries = u->tries;

	*u->counter = UINT32_MAX;
	if (!bt_can_window(b))
		return;
	if (u->form == BT_WINDOW) {
		b->bt->stats.retried++;
		tries++;
	}
	b->bt->stats.promoted += u->form == BT_SOFT;
	u = retranslate(b, u, BT_WINDOW, 0);
	if (u)
		u->tries = (uint8_t)tries;
}

/* A unit with soft sites counts: when all of them are to be tried as windows again.
 * Four times as late each time, for a try costs some ten faults. */
static void retry_later(struct bt_unit *u, unsigned tries)
{
	u->tries = (uint8_t)tries;
	*u->counter = tries < BT_TRIES_MAX ? BT_RETRY_COUNT << 2 * tries : UINT32_MAX;
}

/* An access of this instruction left for the interpreter once more. */
static void site_faulted(struct bt_vcpu *b)
{
	struct bt_unit *u = b->fault_unit;
	struct bt_site *s = b->fault_site;
	unsigned tries;

	if (!s || u->dead || u->form != BT_WINDOW || u->soft >> s->index & 1 ||
	    !b->bt->want_mixed)
		return;
	if (s->fills < BT_SITE_FILLS_MAX && ++s->faults < SITE_FAULTS_MAX)
		return;
	b->bt->stats.softened++;
	tries = u->tries;
	u = retranslate(b, u, BT_WINDOW, u->soft | 1ull << s->index);
	if (u)
		retry_later(u, tries);
}

static enum interp_result step(struct bt_vcpu *b)
{
	b->stats.steps++;
	return interp_step(b->v);
}

static void trace_exit(struct bt_vcpu *b, unsigned reason)
{
	static const char *const name[BT_EXIT_KINDS] = {
		[BT_EXIT_LINK] = "link", [BT_EXIT_LOOKUP] = "lookup",
		[BT_EXIT_STEP] = "step", [BT_EXIT_REQ] = "request",
		[BT_EXIT_STI] = "sti", [BT_EXIT_HOT] = "hot",
		[BT_EXIT_FAULT] = "fault", [BT_EXIT_RAISE] = "exception",
		[BT_EXIT_ICACHE] = "icache",
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
	unsigned reason;

	for (;;) {
		const uint8_t *code = b->verify ? NULL :
			jcache_find(&b->jc, b->jmode, v->cpu.rip);

		if (!code) {
			code = look_up(b, &u);
			if (!code)
				return step(b);
		}
again:
		if (b->verify)
			verify_begin(b->verify, u);
		bt_go(b, code);
		reason = (unsigned)v->hot[H_REASON];
		if (b->verify && verify_end(b->verify, u, reason))
			return INTERP_OK;
		b->stats.exits[reason]++;
		trace_exit(b, reason);
		switch (reason) {
		case BT_EXIT_LINK:
		case BT_EXIT_ICACHE:
			if (v->hot[H_KICK])
				return INTERP_OK;
			code = look_up_linked(b, reason, &u);
			if (!code)
				return step(b);
			goto again;
		case BT_EXIT_LOOKUP:
			if (v->hot[H_KICK])
				return INTERP_OK;
			continue;
		case BT_EXIT_HOT:
			bt_lock(b->bt);
			promote(b);
			bt_unlock(b->bt);
			continue;
		case BT_EXIT_FAULT:
			bt_lock(b->bt);
			site_faulted(b);
			bt_unlock(b->bt);
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
	struct bt_vcpu_stats *s = &b->stats;
	uint64_t took = __builtin_ia32_rdtsc() - b->kick_tsc;

	b->kick_tsc = 0;
	s->kicks_left++;
	s->kick_cycles += took;
	if (took > s->kick_cycles_max)
		s->kick_cycles_max = took;
}

/* Until the state is to be looked at outside: *ex says why. */
static bool run_some(struct bt_vcpu *b, enum vcpu_exit *ex)
{
	struct vcpu *v = b->v;
	enum interp_result r;

	if (b->kick_tsc) {
		note_latency(b);
		if (b->bt->smp)
			bt_signal_retry(b, 0);
	}
	__atomic_store_n(&v->hot[H_KICK], 0, __ATOMIC_SEQ_CST);
	if (atomic_load_explicit(&v->tlb.recheck, memory_order_relaxed))
		vcpu_tlb_recheck(v);
	if (atomic_load_explicit(&v->req, memory_order_relaxed) && interp_service_requests(v, ex))
		return false;
	*ex = VCPU_EXIT_HLT;
	if (v->cpu.halted)
		return false;
	bt_make_room(b);
	bt_mode_set(b);
	if (b->mode == BT_MODE_NONE) {
		b->stats.untranslatable++;
		r = interp_step(v);
	} else {
		r = run_units(b);
		*ex = VCPU_EXIT_ERROR;
		if (v->err.code)
			return false;
	}
	*ex = VCPU_EXIT_SHUTDOWN;
	return r != INTERP_SHUTDOWN;
}

enum vcpu_exit bt_run(struct vcpu *v)
{
	enum vcpu_exit ex;

	vcpu_enter(v);
	while (run_some(v->engine, &ex))
		;
	vcpu_leave(v);
	return ex;
}
