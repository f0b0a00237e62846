#include "disk/pace.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "disk/disk_impl.h"

#define TURN_MAX (64u << 20)	/* bytes of one write that count */

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

void disk_pace(struct disk *d, const struct disk_pace *p, struct disk_paced *was)
{
	pthread_mutex_lock(&d->lock);
	d->pace = *p;
	d->pace_until_ns = clock_ns() + p->lease_ns;
	atomic_store(&d->has_pace, p->bytes_s != 0);
	*was = d->paced;
	d->paced = (struct disk_paced){ 0 };
	pthread_mutex_unlock(&d->lock);
}

bool disk_is_paced(struct disk *d)
{
	bool is;

	if (!atomic_load(&d->has_pace))
		return false;
	pthread_mutex_lock(&d->lock);
	is = d->pace.bytes_s && clock_ns() < d->pace_until_ns;
	if (!is)
		atomic_store(&d->has_pace, false);
	pthread_mutex_unlock(&d->lock);
	return is;
}

uint64_t disk_turn(struct disk *d, uint64_t len)
{
	uint64_t now, at, gap;

	if (!disk_is_paced(d))
		return 0;
	pthread_mutex_lock(&d->lock);
	now = clock_ns();
	at = d->turn_ns > now ? least(d->turn_ns, now + d->pace.delay_max_ns) : now;
	gap = d->pace.bytes_s ? least(len, TURN_MAX) * NS_PER_SEC / d->pace.bytes_s : 0;
	d->turn_ns = at + least(gap, d->pace.delay_max_ns);
	if (at > now) {
		d->paced.writes++;
		d->paced.delay_ns += at - now;
		if (at - now > d->paced.longest_ns)
			d->paced.longest_ns = at - now;
	}
	pthread_mutex_unlock(&d->lock);
	return at > now ? at : 0;
}
