#ifndef DISK_SESPARSE_H
#define DISK_SESPARSE_H
/* New seSparse extents, and what the commands need of them beyond extent.h. */

#include <stdint.h>

#include "disk/extent.h"

#define SESPARSE_GRAIN		4096u			/* bytes, the usual one */
#define SESPARSE_SIZE_MAX	(UINT64_C(62) << 40)	/* bytes */

struct sesparse_create {
	uint64_t size;		/* bytes, a multiple of SECTOR, up to SESPARSE_SIZE_MAX */
	uint64_t grain;		/* bytes, a power of two, 4 KiB to 1 MiB; 0: SESPARSE_GRAIN,
				 * the only one that others are known to read */
};

/*
 * Make an empty seSparse extent of a new file: all tables are holes, so that only the
 * headers take room.  The header that makes it one is written last.
 *
 * f          open for writing, empty; stays the caller's
 * Returns    0; -EINVAL: size or grain; -EIO, -ENOSPC, ...
 */
int sesparse_create(struct disk_file *f, const struct sesparse_create *c, struct err *e);
#endif
