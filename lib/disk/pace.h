#ifndef DISK_PACE_H
#define DISK_PACE_H
/*
 * Who has a disk slowed down, so that what its guest writes can be merged as fast: writes get
 * turns, one behind the other, as many bytes a second as there may be.  Reads and flushes
 * wait for nothing.  Those who make the requests ask for their turns, and wait.
 */

#include <stdbool.h>
#include <stdint.h>

struct disk;

struct disk_pace {
	uint64_t bytes_s;	/* 0: as fast as it can */
	uint64_t delay_max_ns;	/* no write waits longer */
	uint64_t lease_ns;	/* then it is over, if it is not said again */
};

/* Writes that had to wait since disk_pace() was called last. */
struct disk_paced {
	uint64_t writes, delay_ns, longest_ns;
};

void disk_pace(struct disk *d, const struct disk_pace *p, struct disk_paced *was);

/* When may a write of len bytes begin, in terms of clock_ns()?  0: now.  A turn that is
 * given is taken. */
uint64_t disk_turn(struct disk *d, uint64_t len);

/* Have writes turns at present?  If not those that wait need not go on with that. */
bool disk_is_paced(struct disk *d);
#endif
