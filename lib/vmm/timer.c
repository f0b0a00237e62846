#include "vmm/timer.h"

#include <stddef.h>

void timerq_init(struct timerq *q)
{
	*q = (struct timerq){ .next_ns = UINT64_MAX, .armed_ns = UINT64_MAX };
}

void timer_add(struct timerq *q, struct timer *t,
	       void (*fn)(void *ptr, uint64_t now_ns), void *ptr)
{
	*t = (struct timer){
		.deadline_ns = UINT64_MAX, .fn = fn, .ptr = ptr, .next = q->all };
	q->all = t;
}

static void timerq_rearm(struct timerq *q)
{
	if (q->running || q->next_ns >= q->armed_ns)
		return;
	q->armed_ns = q->next_ns;
	if (q->rearm)
		q->rearm(q->rearm_ptr, q->next_ns);
}

static struct timer *timerq_first(const struct timerq *q)
{
	struct timer *first = NULL;

	for (struct timer *t = q->all; t; t = t->next)
		if (!first || t->deadline_ns < first->deadline_ns)
			first = t;
	return first;
}

void timer_set(struct timerq *q, struct timer *t, uint64_t deadline_ns)
{
	bool was_first = t->deadline_ns == q->next_ns;

	t->deadline_ns = deadline_ns;
	if (deadline_ns <= q->next_ns)
		q->next_ns = deadline_ns;
	else if (was_first)
		q->next_ns = timerq_first(q)->deadline_ns;
	timerq_rearm(q);
}

void timer_stop(struct timerq *q, struct timer *t)
{
	if (t->deadline_ns != UINT64_MAX)
		timer_set(q, t, UINT64_MAX);
}

void timerq_run(struct timerq *q, uint64_t now_ns)
{
	q->running = true;
	for (unsigned i = 0; i < TIMERQ_BURST && q->next_ns <= now_ns; i++) {
		struct timer *t = timerq_first(q);

		timer_set(q, t, UINT64_MAX);
		t->fn(t->ptr, now_ns);
	}
	q->running = false;
	if (q->armed_ns <= now_ns)
		q->armed_ns = UINT64_MAX;
	timerq_rearm(q);
}
