#ifndef DISK_THIN_H
#define DISK_THIN_H
/*
 * How much room a disk takes on the host: less, where it holds zeros, or all that it
 * could take.  What the disk holds does not change, so both may be stopped and begun
 * again.  Nobody else may use d meanwhile: -EBUSY when a disk of its folder that hangs on
 * it is in use.
 */

#include "disk/disk.h"

struct disk_thin {
	bool zero;		/* inflate: what the disk holds is lost, it becomes zeros */
	/* Called now and then with bytes of the disk; false: -EINTR.  May be NULL. */
	bool (*progress)(void *ptr, uint64_t done, uint64_t total);
	void *ptr;
};

/*
 * Give back the room of blocks (grains, 4 KiB where there are none) that hold zeros, and
 * make the files of formats with grains as short as these allow.  Of a chain, the top's.
 * A thick disk of ESX becomes a thin one.
 * Of d nothing is read afterwards: grains have moved.
 * Returns    0; -EROFS: a format that is not written in place; what reading or writing
 *            said
 */
int disk_compact(struct disk *d, const struct disk_thin *t, struct err *e);

/*
 * Take room for all of the disk, filled with zeros: a thin disk becomes an
 * eagerzeroedthick one, a sparse one gets all its grains.
 * Returns    0; -EINVAL: it has a parent; -EEXIST: it is to be zeros, and has children;
 *            -EROFS, -ENOSPC, ...
 */
int disk_inflate(struct disk *d, const struct disk_thin *t, struct err *e);

/* Bytes that the top layer's files take on the host; 0 where it does not say so. */
uint64_t disk_room(const struct disk *d);
#endif
