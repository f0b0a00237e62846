#ifndef DISK_COPY_H
#define DISK_COPY_H
/* What one disk holds into another, new one. */

#include "disk/disk.h"

/*
 * Copy all of from to the beginning of to, which reads as zeros: what from has no data
 * for, and blocks of zeros, are left out.  Flushes.
 *
 * progress   may be NULL; called now and then with bytes of the disk; false: -EINTR
 */
int disk_copy(struct disk *from, struct disk *to,
	      bool (*progress)(void *ptr, uint64_t done, uint64_t total), void *ptr,
	      struct err *e);
#endif
