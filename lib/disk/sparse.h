#ifndef DISK_SPARSE_H
#define DISK_SPARSE_H
/* New hosted sparse extents, and what the commands need of them beyond extent.h. */

#include <stddef.h>
#include <stdint.h>

#include "disk/extent.h"
#include "disk/sparse_header.h"

#define SPARSE_GRAIN		65536u	/* bytes, the usual one */
#define SPARSE_GTES		512u
#define SPARSE_DESC_SECTORS	20u	/* room for an embedded descriptor */
#define SPARSE_SIZE_MAX		((UINT64_C(1) << 41) - SECTOR)	/* bytes of one extent */

struct sparse_create {
	uint64_t size;		/* bytes, a multiple of SECTOR, at most SPARSE_SIZE_MAX */
	uint64_t grain;		/* bytes, a power of two, 4 KiB to 32 MiB; 0: SPARSE_GRAIN */
	bool zeroed;		/* version 2: can say that a grain is zeros whatever the
				 * parent holds.  For disks with a parent. */
	const char *desc;	/* the embedded descriptor, or NULL: none */
	size_t desc_len;	/* at most SPARSE_DESC_SECTORS * SECTOR */
};

/*
 * Make an empty sparse extent of a new file: grain directories and tables (which are
 * holes) twice, the descriptor, and when these are durable the header.  Until then the
 * file is no sparse extent.
 *
 * f          open for writing, empty; stays the caller's
 * Returns    0; -EINVAL: size, grain or descriptor; -EIO, -ENOSPC, ...
 */
int sparse_create(struct disk_file *f, const struct sparse_create *c, struct err *e);
#endif
