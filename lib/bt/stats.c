/* The counters that --stats shows. */
#include "bt/layout.h"
#include "bt/unit.h"
#include "bt/verify.h"

static uint64_t to_ns(const struct vm *vm, uint64_t cycles)
{
	uint64_t mhz = vm->model.tsc_hz / 1000000;

	return mhz ? cycles * 1000 / mhz : 0;
}

void bt_print_stats(struct vm *vm, void (*put)(void *, const char *, uint64_t),
		    void *ptr)
{
	const struct bt *bt = vm->engine_vm;
	const struct bt_stats *s = &bt->stats;

	put(ptr, "units", s->units);
	put(ptr, "unit_insns", s->insns);
	put(ptr, "unit_guest_bytes", s->guest_bytes);
	put(ptr, "unit_host_bytes", s->host_bytes);
	put(ptr, "units_dropped", s->drops);
	put(ptr, "units_promoted", s->promoted);
	put(ptr, "sites_softened", s->softened);
	put(ptr, "units_retried", s->retried);
	put(ptr, "steps_patched", s->patched);
	put(ptr, "arena_evictions", s->evictions);
	put(ptr, "links", s->links);
	put(ptr, "exits_link", s->exits[BT_EXIT_LINK]);
	put(ptr, "exits_lookup", s->exits[BT_EXIT_LOOKUP]);
	put(ptr, "exits_step", s->exits[BT_EXIT_STEP]);
	put(ptr, "exits_request", s->exits[BT_EXIT_REQ]);
	put(ptr, "exits_sti", s->exits[BT_EXIT_STI]);
	put(ptr, "exits_hot", s->exits[BT_EXIT_HOT]);
	put(ptr, "exits_fault", s->exits[BT_EXIT_FAULT]);
	put(ptr, "exits_exception", s->exits[BT_EXIT_RAISE]);
	put(ptr, "callouts", s->callouts);
	put(ptr, "steps", s->steps);
	put(ptr, "steps_untranslatable", s->untranslatable);
	put(ptr, "tlb_misses", s->tlb_misses);
	put(ptr, "signal_faults", s->seg_faults);
	put(ptr, "window_fills", s->window_fills);
	put(ptr, "window_drops", s->window_drops);
	put(ptr, "window_checks", s->window_checks);
	put(ptr, "windows", s->windows);
	put(ptr, "kicks", s->kicks);
	put(ptr, "kick_latency_mean_ns", to_ns(vm, s->kicks_left ?
	    s->kick_cycles / s->kicks_left : 0));
	put(ptr, "kick_latency_max_ns", to_ns(vm, s->kick_cycles_max));
	for (unsigned i = 0; i < vm->ncpus; i++) {
		const struct bt_vcpu *b = vm->vcpu[i] ? vm->vcpu[i]->engine : NULL;

		if (b && b->verify)
			verify_print_stats(b->verify, put, ptr);
	}
}
