#ifndef VMM_TIMER_H
#define VMM_TIMER_H
/*
 * Deadlines of devices, in CLOCK_MONOTONIC nanoseconds.  Timers fire on the
 * thread of vCPU 0 (a POSIX timer kicks it when it runs guest code; a halted
 * vCPU sleeps until the next deadline), with vm->lock held: no cross-thread
 * wake-up on the way of a tick.  All calls need vm->lock.
 */

#include <stdbool.h>
#include <stdint.h>

struct timer {
	uint64_t deadline_ns;	/* UINT64_MAX: not armed */
	void (*fn)(void *ptr, uint64_t now_ns);
	void *ptr;
	struct timer *next;	/* of all timers of the queue */
};

struct timerq {
	struct timer *all;
	uint64_t next_ns;	/* earliest deadline, UINT64_MAX when none */
	void (*rearm)(void *ptr, uint64_t next_ns);	/* next_ns changed */
	void *rearm_ptr;
};

void timerq_init(struct timerq *q);
void timer_add(struct timerq *q, struct timer *t,
	       void (*fn)(void *ptr, uint64_t now_ns), void *ptr);
void timer_set(struct timerq *q, struct timer *t, uint64_t deadline_ns);
void timer_stop(struct timerq *q, struct timer *t);

/* Run what is due; a timer is disarmed before its fn is called. */
void timerq_run(struct timerq *q, uint64_t now_ns);
#endif
