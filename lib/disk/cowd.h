#ifndef DISK_COWD_H
#define DISK_COWD_H
/* New vmfsSparse extents, and what the commands need of them beyond extent.h. */

#include <stdint.h>

#include "disk/extent.h"

struct cowd_create {
	uint64_t size;		/* bytes, a multiple of SECTOR, up to cowd_size_max() */
	uint64_t grain;		/* bytes, a power of two up to 1 MiB; 0: SECTOR, as ESX has it */
};

/*
 * Make an empty vmfsSparse extent of a new file.  Its header is written last, when the
 * rest is durable; until then the file is no vmfsSparse extent.
 *
 * f          open for writing, empty; stays the caller's
 * Returns    0; -EINVAL: size or grain; -EIO, -ENOSPC, ...
 */
int cowd_create(struct disk_file *f, const struct cowd_create *c, struct err *e);

/*
 * The most bytes that an extent can hold so that all of it fits into the file, whose
 * sectors are numbered by 32 bits: a little less than 2 TiB.
 *
 * grain      bytes; 0: SECTOR
 */
uint64_t cowd_size_max(uint64_t grain);
#endif
