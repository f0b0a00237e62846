#include "vmm/timer.h"

#include <stddef.h>

#include "check.h"
#include "dev/tick.h"

static char order[64];
static unsigned fired;
static unsigned rearms;
static uint64_t rearmed;
static struct timerq q;

static void fire(void *ptr, uint64_t now)
{
	if (fired < sizeof(order) - 1)
		order[fired] = *(const char *)ptr;
	order[++fired] = 0;
}

static void rearm(void *ptr, uint64_t next)
{
	rearms++;
	rearmed = next;
}

static void ordering(void)
{
	struct timer a, b, c;

	timerq_init(&q);
	q.rearm = rearm;
	timer_add(&q, &a, fire, "a");
	timer_add(&q, &b, fire, "b");
	timer_add(&q, &c, fire, "c");
	check(q.next_ns == UINT64_MAX && rearms == 0, "nothing armed");
	timer_set(&q, &a, 300);
	timer_set(&q, &b, 100);
	timer_set(&q, &c, 200);
	check(q.next_ns == 100 && rearms == 2 && rearmed == 100, "%u rearms", rearms);
	timer_set(&q, &b, 250);
	check(q.next_ns == 200 && rearms == 2, "later: the host is left alone");
	timerq_run(&q, 199);
	check(fired == 0, "not yet");
	timerq_run(&q, 250);
	check(fired == 2 && order[0] == 'c' && order[1] == 'b', "%s", order);
	check(b.deadline_ns == UINT64_MAX && q.next_ns == 300, "disarmed");
	check(rearmed == 300, "armed for what is left: %lu", rearmed);
	timer_stop(&q, &a);
	check(q.next_ns == UINT64_MAX, "none");
	timer_stop(&q, &a);
	timerq_run(&q, UINT64_MAX - 1);
	check(fired == 2, "stopped");
}

static struct timer again;

static void fire_again(void *ptr, uint64_t now)
{
	fired++;
	timer_set(&q, &again, now);
}

static void burst(void)
{
	timerq_init(&q);
	q.rearm = rearm;
	timer_add(&q, &again, fire_again, NULL);
	fired = rearms = 0;
	timer_set(&q, &again, 10);
	timerq_run(&q, 10);
	check(fired == TIMERQ_BURST, "%u in one run", fired);
	check(rearms == 2, "%u rearms: one a run", rearms);
}

/* Ticks of 1 ms, a stop of a second: few are made up for, at a bounded rate. */
static void ticks(void)
{
	uint64_t due = 1000000, next;
	unsigned n = 0;

	for (unsigned i = 0; i < 10; i++)
		check((next = tick_next(&due, 1000000, due)) == due, "on time %lu", next);
	check(due == 11000000, "%lu", due);
	next = due + 1000000000;
	while (next != due) {
		uint64_t now = next;

		next = tick_next(&due, 1000000, now);
		check(next >= now + 1000000 / TICK_SPEEDUP, "not too fast");
		if (++n > 100)
			break;
	}
	check(n >= TICK_OWED && n <= 2 * (TICK_OWED + 1), "%u ticks to be in time", n);
	due = 0;
	check(tick_next(&due, 1, 1000) >= 1000 + TICK_MIN_NS, "never a storm");
}

int main(void)
{
	ordering();
	burst();
	ticks();
	return check_done();
}
