#ifndef DISK_DIFF_H
#define DISK_DIFF_H
/* Where the contents of two disks differ. */

#include "disk/disk.h"

struct disk_diff {
	void *ptr;
	/* Bytes off..off+len differ, every sector of them; ranges come in order, apart
	 * from each other. */
	void (*range)(void *ptr, uint64_t off, uint64_t len);
	/* May be NULL.  Called now and then; false stops (-EINTR). */
	bool (*progress)(void *ptr, uint64_t done, uint64_t total);
};

/*
 * Compare two disks.  Behind its end a disk counts as zeros.  What both have in the
 * same place of one file (a common parent) and what both do not have is not read.
 *
 * bytes      how many are in different sectors
 * Returns    0, whatever the outcome; what disk_read() returns
 */
int disk_diff(struct disk *a, struct disk *b, const struct disk_diff *c, uint64_t *bytes,
	      struct err *e);
#endif
