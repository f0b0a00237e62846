#ifndef BT_SMP_H
#define BT_SMP_H
/*
 * Several vCPUs in one translation cache.
 *
 * Units, links, the page lists, and every vCPU's windows and jump cache entries are
 * changed under mem->code_lock.  Translated code takes no lock: it is patched by single
 * aligned stores, each of which leaves it right for whoever runs it at that moment.
 *
 * Translated code stores without asking whether the page is told.  So a page becomes
 * told in steps (vm_protect_page()): the flag; tlb.recheck and H_KICK of all others; a
 * barrier; then bt_told() makes windows read-only and waits until each vCPU that has a
 * matching wtag and is in translated code (H_IN_TC) has left.  Whoever enters it later
 * sees H_KICK, goes round bt_run()'s loop and drops such wtags.
 *
 * To wait for a vCPU with the lock held needs its kick's handler, which unlinks the unit
 * that runs: bt->awaited lets that one handler do so under the waiter's lock.
 *
 * Code memory is recycled while no other vCPU is between vcpu_enter() and vcpu_leave()
 * (vm_stop_others()).
 */

#include "bt/unit.h"

/* Nothing for one vCPU, whose thread is the only one. */
static inline void bt_lock(struct bt *bt)
{
	if (bt->smp)
		pthread_mutex_lock(&bt->vm->mem->code_lock);
}

static inline void bt_unlock(struct bt *bt)
{
	if (bt->smp)
		pthread_mutex_unlock(&bt->vm->mem->code_lock);
}

/* A kick's handler: may it change units now?  Then bt_handler_unlock(). */
bool bt_handler_lock(struct bt_vcpu *b, bool *locked);
void bt_handler_unlock(struct bt_vcpu *b, bool locked);

/* With the lock held: b goes round bt_run()'s loop before it is in translated code again,
 * and is not there now, unless this is its thread, in a signal's handler. */
void bt_quiesce(struct bt_vcpu *b);

/* mem->on_told */
void bt_told(void *ptr, uint64_t page);
/* engine_ops.nudge */
void bt_nudge(struct vcpu *v);

/* Without the lock, between units: recycle code memory if there is no room. */
void bt_make_room(struct bt_vcpu *b);
#endif
