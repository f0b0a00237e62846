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
	uint64_t armed_ns;	/* what rearm was last told, while in the future */
	bool running;		/* in timerq_run(): rearm waits for its end */
	/* Set the host's timer.  Told of deadlines that come nearer only: one
	 * that moves away costs no system call but one early timerq_run(), so
	 * the host's timer must be followed by a timerq_run(). */
	void (*rearm)(void *ptr, uint64_t next_ns);
	void *rearm_ptr;
};

/* How many timers one timerq_run() fires before the guest runs again. */
#define TIMERQ_BURST 32

/* An empty queue without a rearm. */
void timerq_init(struct timerq *q);

/* Add a timer, disarmed; t stays the caller's, as long as the queue lives. */
void timer_add(struct timerq *q, struct timer *t,
	       void (*fn)(void *ptr, uint64_t now_ns), void *ptr);

/* Arm it, for CLOCK_MONOTONIC nanoseconds; in the past: at once.  Stop it. */
void timer_set(struct timerq *q, struct timer *t, uint64_t deadline_ns);
void timer_stop(struct timerq *q, struct timer *t);

/* Run what is due, earliest first, at most TIMERQ_BURST of it (next_ns is then
 * still due); a timer is disarmed before its fn is called. */
void timerq_run(struct timerq *q, uint64_t now_ns);
#endif
