#include "bt/smp.h"

#include <sched.h>

#include "bt/layout.h"
#include "bt/window.h"

/* Words that another thread writes or reads. */
static uint64_t hot_load(struct vcpu *v, unsigned i)
{
	return __atomic_load_n(&v->hot[i], __ATOMIC_SEQ_CST);
}

void bt_nudge(struct vcpu *v)
{
	__atomic_store_n(&v->hot[H_KICK], 1, __ATOMIC_SEQ_CST);
}

bool bt_handler_lock(struct bt_vcpu *b, bool *locked)
{
	struct bt *bt = b->bt;

	*locked = bt->smp && !pthread_mutex_trylock(&bt->vm->mem->code_lock);
	return *locked || !bt->smp || atomic_load(&bt->awaited) == b;
}

void bt_handler_unlock(struct bt_vcpu *b, bool locked)
{
	if (locked)
		pthread_mutex_unlock(&b->bt->vm->mem->code_lock);
}

/* Wait for b, whose H_KICK is set and was seen by a barrier. */
static void await(struct bt_vcpu *b)
{
	struct vcpu *v = b->v;

	if (!hot_load(v, H_IN_TC))
		return;
	atomic_store(&b->bt->awaited, b);
	v->vm->engine->kick(v);
	for (unsigned n = 1; hot_load(v, H_IN_TC); n++) {
		if (n < 1000)
			__builtin_ia32_pause();
		else
			sched_yield();
		if (n % 16384 == 0)	/* signals are lost when too many are queued */
			v->vm->engine->kick(v);
	}
	atomic_store(&b->bt->awaited, NULL);
	b->bt->stats.awaited++;
}

void bt_quiesce(struct bt_vcpu *b)
{
	if (!b->bt->smp)
		return;
	bt_nudge(b->v);
	if (vm_self(b->v->vm) == b->v)
		return;
	vm_barrier(b->v->vm);
	await(b);
}

/* Has v a writable TLB entry of the page at hva?  If it stays in translated code
 * meanwhile, the answer is right; if not it drops such entries itself. */
static bool may_store(const struct vcpu *v, const uint8_t *hva)
{
	const struct tlb *t = &v->tlb;
	unsigned n = __atomic_load_n(&t->nlist, __ATOMIC_RELAXED);

	for (unsigned i = 0; i < n && i < TLB_MODES * TLB_SIZE; i++) {
		unsigned at = __atomic_load_n(&t->list[i], __ATOMIC_RELAXED);
		const struct tlb_entry *e = &t->e[at / TLB_SIZE][at % TLB_SIZE];
		uint64_t tag = __atomic_load_n(&e->wtag, __ATOMIC_RELAXED);

		if (tag + __atomic_load_n(&e->addend, __ATOMIC_RELAXED) == (uintptr_t)hva)
			return true;
	}
	return false;
}

void bt_told(void *ptr, uint64_t page)
{
	struct bt *bt = ptr;
	struct vm *vm = bt->vm;
	struct vcpu *self = vm_self(vm);

	for (unsigned i = 0; i < vm->ncpus; i++) {
		struct vcpu *v = vm->vcpu[i];

		if (!v->engine)
			continue;
		window_protect(v->engine, page);
		if (v != self && hot_load(v, H_IN_TC) &&
		    may_store(v, vm->mem->hva + (page << PAGE_SHIFT)))
			await(v->engine);
	}
}

static bool has_room(struct bt *bt)
{
	return tcache_room(&bt->tc, TC_NEW) && tcache_room(&bt->tc, TC_HOT);
}

static void recycle(struct bt *bt, enum tc_space s)
{
	struct tc_arena *a = tcache_next(&bt->tc, s);

	for (size_t i = 0; i < a->nunits; i++)
		unit_drop(bt, a->unit[i]);
	bt->stats.evictions += a->nunits > 0;
	for (unsigned i = 0; i < bt->vm->ncpus; i++)
		if (bt->vm->vcpu[i]->engine)
			returns_forget(bt->vm->vcpu[i]->engine);
	tcache_reset(a);
}

void bt_make_room(struct bt_vcpu *b)
{
	struct bt *bt = b->bt;

	if (has_room(bt))
		return;
	if (bt->smp)
		vm_stop_others(b->v);
	bt_lock(bt);
	for (enum tc_space s = 0; s < TC_SPACES; s++)
		if (!tcache_room(&bt->tc, s))
			recycle(bt, s);
	bt_unlock(bt);
	if (bt->smp)
		vm_resume_others(b->v);
}
