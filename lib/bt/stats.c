/* The counters that --stats shows. */
#include "bt/layout.h"
#include "bt/unit.h"
#include "bt/verify.h"

static uint64_t to_ns(const struct vm *vm, uint64_t cycles)
{
	uint64_t mhz = vm->model.tsc_hz / 1000000;

	return mhz ? cycles * 1000 / mhz : 0;
}

static struct bt_vcpu_stats sum(const struct vm *vm)
{
	struct bt_vcpu_stats all = { 0 };

	for (unsigned i = 0; i < vm->ncpus; i++) {
		const struct bt_vcpu *b = vm->vcpu[i] ? vm->vcpu[i]->engine : NULL;
		const struct bt_vcpu_stats *s = b ? &b->stats : NULL;

		if (!s)
			continue;
		for (unsigned k = 0; k < BT_EXIT_KINDS; k++)
			all.exits[k] += s->exits[k];
		all.steps += s->steps;
		all.callouts += s->callouts;
		all.tlb_misses += s->tlb_misses;
		all.seg_faults += s->seg_faults;
		all.kicks += s->kicks;
		all.untranslatable += s->untranslatable;
		all.kicks_left += s->kicks_left;
		all.kick_cycles += s->kick_cycles;
		if (all.kick_cycles_max < s->kick_cycles_max)
			all.kick_cycles_max = s->kick_cycles_max;
	}
	return all;
}

void bt_print_stats(struct vm *vm, void (*put)(void *, const char *, uint64_t),
		    void *ptr)
{
	const struct bt *bt = vm->engine_vm;
	const struct bt_stats *s = &bt->stats;
	struct bt_vcpu_stats v = sum(vm);

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
	put(ptr, "vcpus_awaited", s->awaited);
	put(ptr, "links", s->links);
	put(ptr, "icache_entries", s->icache_entries);
	put(ptr, "icaches_closed", s->icaches_closed);
	put(ptr, "exits_link", v.exits[BT_EXIT_LINK]);
	put(ptr, "exits_lookup", v.exits[BT_EXIT_LOOKUP]);
	put(ptr, "exits_icache", v.exits[BT_EXIT_ICACHE]);
	put(ptr, "exits_step", v.exits[BT_EXIT_STEP]);
	put(ptr, "exits_request", v.exits[BT_EXIT_REQ]);
	put(ptr, "exits_sti", v.exits[BT_EXIT_STI]);
	put(ptr, "exits_hot", v.exits[BT_EXIT_HOT]);
	put(ptr, "exits_fault", v.exits[BT_EXIT_FAULT]);
	put(ptr, "exits_exception", v.exits[BT_EXIT_RAISE]);
	put(ptr, "callouts", v.callouts);
	put(ptr, "steps", v.steps);
	put(ptr, "steps_untranslatable", v.untranslatable);
	put(ptr, "tlb_misses", v.tlb_misses);
	put(ptr, "signal_faults", v.seg_faults);
	put(ptr, "window_fills", s->window_fills);
	put(ptr, "window_drops", s->window_drops);
	put(ptr, "window_checks", s->window_checks);
	put(ptr, "windows", s->windows);
	put(ptr, "windows_refused", s->windows_refused);
	put(ptr, "kicks", v.kicks);
	put(ptr, "kick_latency_mean_ns", to_ns(vm, v.kicks_left ?
	    v.kick_cycles / v.kicks_left : 0));
	put(ptr, "kick_latency_max_ns", to_ns(vm, v.kick_cycles_max));
	for (unsigned i = 0; i < vm->ncpus; i++) {
		const struct bt_vcpu *b = vm->vcpu[i] ? vm->vcpu[i]->engine : NULL;

		if (b && b->verify)
			verify_print_stats(b->verify, put, ptr);
	}
}
