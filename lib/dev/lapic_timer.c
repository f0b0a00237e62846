/* The timer of a local APIC.  SDM vol. 3A, 10.5.4. */
#include "dev/lapic_impl.h"
#include "dev/tick.h"

enum timer_mode { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_DEADLINE, TIMER_RESERVED };

static enum timer_mode timer_mode(const struct lapic *l)
{
	return l->lvt[LVT_TIMER] >> 17 & 3;
}

/* log2 of the divider: 0 is 2, ... 6 is 128, 7 is 1. */
static unsigned timer_shift(const struct lapic *l)
{
	return (((l->divide & 3) | (l->divide >> 1 & 4)) + 1) & 7;
}

static uint64_t count_ns(const struct lapic *l)
{
	_Static_assert(LAPIC_TIMER_HZ == NS_PER_SEC, "a count is a nanosecond");
	return (uint64_t)l->init_count << timer_shift(l);
}

static uint64_t period_ns(const struct lapic *l)
{
	uint64_t ns = count_ns(l);

	return ns > TICK_MIN_NS ? ns : TICK_MIN_NS;
}

uint32_t lapic_timer_current(const struct lapic *l, uint64_t now)
{
	uint64_t done = (now - l->start_ns) >> timer_shift(l);

	switch (timer_mode(l)) {
	case TIMER_ONE_SHOT:
		return done < l->init_count ? l->init_count - done : 0;
	case TIMER_PERIODIC:
		return l->init_count ? l->init_count - done % l->init_count : 0;
	default:
		return 0;
	}
}

/*
 * The host's monotonic clock is slewed and the model's frequency is rounded:
 * by either, a deadline some ms away would be missed by microseconds, and an
 * interrupt that comes too early is waited for twice.  So the TSC's period is
 * measured once a second, between readings that nobody interrupted.
 */
static void tsc_measure(struct lapics *ls, uint64_t now, uint64_t nominal)
{
	uint64_t before, ns, after, period;

	if (now - ls->ref_ns < NS_PER_SEC)
		return;
	before = __builtin_ia32_rdtsc();
	ns = vm_now_ns(ls->vm);
	after = __builtin_ia32_rdtsc();
	if (after - before > 4096)
		return;
	period = ((unsigned __int128)(ns - ls->ref_ns) << 32) / (before - ls->ref_tsc + 1);
	if (ls->ref_ns && period / 100 * 99 < nominal && nominal < period / 100 * 101)
		ls->tsc_period = period;
	ls->ref_tsc = before;
	ls->ref_ns = ns;
}

/* How long a deadline is overshot to be sure: less than an interrupt takes. */
#define DEADLINE_SLACK_NS	200

/* When the TSC deadline will have passed. */
static uint64_t deadline_ns(const struct lapic *l, uint64_t now)
{
	struct lapics *ls = l->ls;
	uint64_t hz = ls->vm->model.tsc_hz ? ls->vm->model.tsc_hz : NS_PER_SEC;
	uint64_t tsc = vcpu_tsc(l->v), delta = l->tsc_deadline - tsc, period;
	unsigned __int128 ns;

	if (l->tsc_deadline <= tsc)
		return now;
	period = (NS_PER_SEC << 32) / hz;
	tsc_measure(ls, now, period);
	ns = (unsigned __int128)delta * (ls->tsc_period ? ls->tsc_period : period) >> 32;
	if (ns > UINT32_MAX * NS_PER_SEC)	/* 136 years */
		ns = UINT32_MAX * NS_PER_SEC;
	return now + ns + DEADLINE_SLACK_NS;
}

void lapic_timer_arm(struct lapic *l, uint64_t now)
{
	struct timerq *q = vcpu_timers(l->v);
	uint64_t periods;

	if (timer_mode(l) == TIMER_DEADLINE) {
		if (!l->tsc_deadline) {
			timer_stop(q, &l->timer);
			return;
		}
		l->due_ns = deadline_ns(l, now);
		if (l->due_ns <= now)
			lapic_timer_fire(l, now);
		else
			timer_set(q, &l->timer, l->due_ns);
		return;
	}
	if (!l->init_count || l->lvt[LVT_TIMER] & LVT_MASKED) {
		timer_stop(q, &l->timer);
		return;
	}
	if (timer_mode(l) == TIMER_PERIODIC) {
		periods = (now - l->start_ns) / period_ns(l) + 1;
		l->due_ns = l->start_ns + periods * period_ns(l);
	} else {
		l->due_ns = l->start_ns + count_ns(l);
		if (l->due_ns <= now && now != l->start_ns)
			return;		/* it has fired, or does so presently */
	}
	timer_set(q, &l->timer, l->due_ns);
}

void lapic_timer_fire(void *ptr, uint64_t now)
{
	struct lapic *l = ptr;
	struct timerq *q = vcpu_timers(l->v);

	switch (timer_mode(l)) {
	case TIMER_DEADLINE:
		if (vcpu_tsc(l->v) < l->tsc_deadline) {	/* the clocks drift */
			lapic_timer_arm(l, now);
			return;
		}
		l->tsc_deadline = 0;
		timer_stop(q, &l->timer);
		break;
	case TIMER_PERIODIC:
		timer_set(q, &l->timer, tick_next(&l->due_ns, period_ns(l), now));
		break;
	default:
		break;
	}
	lapic_local(l, LVT_TIMER);
}

void lapic_timer_count(struct lapic *l, uint32_t count)
{
	if (timer_mode(l) == TIMER_DEADLINE)
		return;
	l->init_count = count;
	l->start_ns = vm_now_ns(l->ls->vm);
	lapic_timer_arm(l, l->start_ns);
}

/* What has been counted stays counted. */
void lapic_timer_divide(struct lapic *l, uint32_t divide)
{
	uint64_t now = vm_now_ns(l->ls->vm);
	uint32_t left = lapic_timer_current(l, now);

	l->divide = divide;
	if (!left)
		return;
	l->start_ns = now - ((uint64_t)(l->init_count - left) << timer_shift(l));
	lapic_timer_arm(l, now);
}

void lapic_timer_lvt(struct lapic *l, uint32_t lvt)
{
	bool was = timer_mode(l) == TIMER_DEADLINE, is;

	l->lvt[LVT_TIMER] = lvt;
	is = timer_mode(l) == TIMER_DEADLINE;
	if (was != is) {	/* the change disarms */
		l->tsc_deadline = 0;
		l->init_count = 0;
	}
	lapic_timer_arm(l, vm_now_ns(l->ls->vm));
}

void lapic_timer_deadline(struct lapic *l, uint64_t tsc)
{
	if (timer_mode(l) != TIMER_DEADLINE)
		return;
	l->tsc_deadline = tsc;
	lapic_timer_arm(l, vm_now_ns(l->ls->vm));
}
