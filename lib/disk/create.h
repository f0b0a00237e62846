#ifndef DISK_CREATE_H
#define DISK_CREATE_H
/* New virtual disks of any format. */

#include <stdint.h>

#include "disk/image.h"

enum disk_format {
	DISK_SPARSE,		/* monolithicSparse */
	DISK_SPLIT_SPARSE,	/* twoGbMaxExtentSparse */
	DISK_FLAT,		/* monolithicFlat */
	DISK_SPLIT_FLAT,	/* twoGbMaxExtentFlat */
	DISK_THIN,		/* vmfs, with ddb.thinProvisioned */
	DISK_ZEROEDTHICK,	/* vmfs, room taken, zeros not written */
	DISK_EAGERZEROEDTHICK,	/* vmfs, zeros written */
	DISK_VMFSSPARSE,	/* vmfsSparse, for snapshots */
	DISK_SESPARSE,		/* seSparse */
	DISK_STREAM,		/* streamOptimized: written in one pass, disk/stream.h */
	DISK_RAW,
	DISK_FORMATS
};
extern const char *const disk_format_name[DISK_FORMATS];	/* as -f takes them */

struct disk_create {
	uint64_t size;		/* bytes, a multiple of SECTOR, at most 62 TiB */
	enum disk_format format;
	const char *adapter;	/* ddb.adapterType: ide, buslogic, lsilogic, lsisas1068, pvscsi; NULL: lsilogic */
	const char *parent;	/* parentFileNameHint as it is to stand there, or NULL */
	uint32_t parent_cid;	/* with parent */
	uint64_t grain;		/* bytes, a power of two; 0: the format's usual one */
	bool force;		/* replace what is there */
};

/*
 * Create a disk.  Nothing is left of it when that fails.  The descriptor is written
 * last.
 * Returns    0; -EEXIST: one of its files is there; -EINVAL: a size or combination that
 *            the format cannot have; -ENOSPC, ...
 */
int disk_create(const char *path, const struct disk_create *c, struct err *e);

/* Remove a disk's own files: its extents, then the descriptor.  Parents stay. */
int disk_delete(const char *path, const struct disk_opts *o, struct err *e);
#endif
