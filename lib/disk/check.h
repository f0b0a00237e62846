#ifndef DISK_CHECK_H
#define DISK_CHECK_H
/* Looking for damage in a disk, and mending what can be mended. */

#include "disk/image.h"

struct disk_finding {
	const char *path;	/* of the layer, or of the extent's file */
	const char *kind;	/* "kind", "parent", "geometry", "overlap", or an extent's */
	const char *text;	/* one sentence */
	bool leak;		/* harmless: only room is lost */
	bool repaired;		/* just now */
};

struct disk_check {
	bool repair;
	bool chain;		/* the parents, too, and whether they fit */
	void *ptr;
	void (*report)(void *ptr, const struct disk_finding *f);
	/* NULL, or called now and then with bytes of all that is checked; false: -EINTR. */
	bool (*progress)(void *ptr, uint64_t done, uint64_t total);
};

struct disk_check_sum {		/* counts of findings */
	uint64_t damage, leaks;	/* that are left */
	uint64_t repaired;	/* of both */
};

/*
 * Check a disk: from the top layer down, so that one that is in use is found before
 * anything is changed.
 *
 * o          write is not looked at: repair decides
 * Returns    0, whatever was found; -errno: it could not be looked at
 */
int disk_check(const char *path, const struct disk_check *c, const struct disk_opts *o,
	       struct disk_check_sum *sum, struct err *e);
#endif
