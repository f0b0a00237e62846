#ifndef DEV_TICK_H
#define DEV_TICK_H
/*
 * Periodic ticks on a host that is sometimes late.  Ticks that were missed are
 * made up for at no more than TICK_SPEEDUP times the rate, and no more than
 * TICK_OWED of them: a guest that counts ticks keeps time while it shares its
 * processor with others (who take it away for some 10 ms at a time), and is
 * not flooded after the process was stopped for a second.
 */

#include <stdint.h>

#define TICK_OWED	16
#define TICK_SPEEDUP	4
/* No periodic timer fires faster than this, whatever the guest asks for. */
#define TICK_MIN_NS	20000u

/*
 * Go to the next tick.
 *
 * due_ns     when the tick that fires now was due; becomes the next one's time
 * period_ns  not 0
 * Returns    when to fire next
 */
static inline uint64_t tick_next(uint64_t *due_ns, uint64_t period_ns,
				 uint64_t now_ns)
{
	uint64_t due = *due_ns + period_ns, step = period_ns / TICK_SPEEDUP;
	uint64_t soon, missed;

	if (due < now_ns) {
		missed = (now_ns - due) / period_ns;
		if (missed > TICK_OWED)
			due += (missed - TICK_OWED) * period_ns;
	}
	*due_ns = due;
	soon = now_ns + (step > TICK_MIN_NS ? step : TICK_MIN_NS);
	return due > soon ? due : soon;
}
#endif
