#include "pc/cosched.h"

#include <string.h>

void cosched_restart(struct cosched *c)
{
	c->started = false;
	c->stopped = 0;
	memset(c->progress_ns, 0, sizeof(c->progress_ns));
}

/* The most and the least progress of those that are not idle; false: there are none. */
static bool range(const struct cosched *c, const struct cosched_sample *s, unsigned n,
		  uint64_t *low, uint64_t *high)
{
	*low = UINT64_MAX;
	*high = 0;
	for (unsigned i = 0; i < n; i++) {
		if (s[i].idle)
			continue;
		*low = c->progress_ns[i] < *low ? c->progress_ns[i] : *low;
		*high = c->progress_ns[i] > *high ? c->progress_ns[i] : *high;
	}
	return *low != UINT64_MAX;
}

unsigned cosched_step(struct cosched *c, const struct cosched_sample *s, unsigned n,
		      uint64_t limit_ns)
{
	unsigned stop = 0;
	uint64_t low, high;

	for (unsigned i = 0; i < n; i++) {
		/* Less than before: it halted after the time of this sample. */
		if (c->started && s[i].progress_ns < c->last_ns[i])
			continue;
		if (c->started)
			c->progress_ns[i] += s[i].progress_ns - c->last_ns[i];
		c->last_ns[i] = s[i].progress_ns;
	}
	c->started = true;
	if (!range(c, s, n, &low, &high))
		return c->stopped = 0;
	for (unsigned i = 0; i < n; i++) {
		bool was = c->stopped >> i & 1;
		uint64_t behind;

		if (s[i].idle) {	/* it has caught up, and is no leader */
			c->progress_ns[i] = high;
			continue;
		}
		behind = high - c->progress_ns[i];
		if (behind > c->skew_max_ns[i])
			c->skew_max_ns[i] = behind;
		if (c->progress_ns[i] - low > (was ? limit_ns / 2 : limit_ns))
			stop |= 1u << i;
	}
	return c->stopped = stop;
}
