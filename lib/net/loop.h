#ifndef NET_LOOP_H
#define NET_LOOP_H
/*
 * The event loop of one thread: descriptors (epoll), timers, and pollers, which are
 * asked without system calls for as long as that pays, so that an idle loop sleeps and a
 * busy one neither sleeps nor is woken.
 *
 * Called only on the loop's thread; whoever wants to reach it writes to a descriptor.
 * Watches, timers and pollers may be added and removed, also their own, while the loop
 * calls one.  They lie in their owners' structures.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct loop;

struct loop_watch {
	int fd;
	uint32_t events;	/* EPOLLIN, ...; changed by loop_change() */
	void (*ready)(struct loop_watch *w, uint32_t events);
	struct loop *loop;	/* the loop's own; NULL: not added */
};

struct loop_timer {
	uint64_t at_ns;
	void (*fire)(struct loop_timer *t, uint64_t now_ns);
	struct loop *loop;
	struct loop_timer *next, **prev;
};

struct loop_poller {
	/* Do what there is to do, not without end; true: there was something. */
	bool (*poll)(struct loop_poller *p);
	/* Before the loop sleeps: let a descriptor wake it from now on.  true: there is
	 * something already, do not sleep.  And behind the sleep: no need any more. */
	bool (*arm)(struct loop_poller *p);
	void (*disarm)(struct loop_poller *p);
	struct loop *loop;
	struct loop_poller *next, **prev;
};

struct loop *loop_new(struct err *e);
void loop_free(struct loop *l);

int loop_add(struct loop *l, struct loop_watch *w, struct err *e);
void loop_change(struct loop_watch *w, uint32_t events);
void loop_remove(struct loop_watch *w);		/* fine when it is not added */

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t at_ns);	/* again, too */
void loop_timer_stop(struct loop_timer *t);

void loop_poller_add(struct loop *l, struct loop_poller *p);
void loop_poller_remove(struct loop_poller *p);

/* Run until loop_stop(), which is async-signal-safe.  0, or what the system said. */
int loop_run(struct loop *l, struct err *e);
void loop_stop(struct loop *l);

/* The time at which the loop last looked (CLOCK_MONOTONIC): cheap. */
uint64_t loop_now_ns(const struct loop *l);
#endif
