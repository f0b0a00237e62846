#ifndef DISK_GEOMETRY_H
#define DISK_GEOMETRY_H
/* Cylinders, heads and sectors of a virtual disk, as VMware's products compute them. */

#include <stdint.h>

#include "disk/desc.h"

struct disk_geometry {
	uint32_t cylinders, heads, sectors;	/* sectors: per track */
};

/*
 * The geometry of a new disk.
 *
 * adapter    as ddb.adapterType says; "ide": 16 heads, 63 sectors, at most 16383 cylinders;
 *            the others by size: up to 1 GiB 64/32, up to 2 GiB 128/32, above 255/63
 * Cylinders are rounded down, and at least 1.
 */
void geometry_of(struct disk_geometry *g, uint64_t sectors, const char *adapter);

/* Set, or read, ddb.geometry.*.  Reading: -ENOENT: not all three are there; -EBADMSG: one
 * is not a number, or 0. */
int geometry_set(struct desc *d, const struct disk_geometry *g, struct err *e);
int geometry_get(const struct desc *d, struct disk_geometry *g, struct err *e);
#endif
