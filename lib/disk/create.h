#ifndef DISK_CREATE_H
#define DISK_CREATE_H
/* New virtual disks of any format. */

#include <stdint.h>

#include "disk/image.h"

enum disk_format {
	DISK_SPARSE,		/* monolithicSparse */
	DISK_SPLIT_SPARSE,	/* twoGbMaxExtentSparse */
	DISK_FLAT,		/* monolithicFlat, room taken */
	DISK_SPLIT_FLAT,	/* twoGbMaxExtentFlat, room taken */
	DISK_THIN,		/* vmfs, with ddb.thinProvisioned */
	DISK_ZEROEDTHICK,	/* vmfs, room taken, zeros not written */
	DISK_EAGERZEROEDTHICK,	/* vmfs, zeros written */
	DISK_VMFSSPARSE,	/* vmfsSparse, for snapshots */
	DISK_SESPARSE,		/* seSparse */
	DISK_STREAM,		/* streamOptimized: written in one pass, disk/stream.h */
	DISK_RAW,
	DISK_RDM,		/* vmfsRawDeviceMap: a symbolic link stands for the mapping file */
	DISK_RDMP,		/* vmfsPassthroughRawDeviceMap, the same */
	DISK_FORMATS
};
extern const char *const disk_format_name[DISK_FORMATS];	/* as -f takes them */

/* What ddb.adapterType may be; NULL ends it. */
extern const char *const disk_adapter_name[];
/* That of a disk, or of a descriptor, as one of these, or NULL. */
const char *disk_adapter_of(const struct image *im);
const char *disk_adapter_in(const struct desc *d);

#define DISK_SIZE_MAX	(62ull << 40)	/* bytes */
#define DISK_PIECE	(4192256ull * SECTOR)	/* of the 2gb formats: 2047 MiB, as VMware cuts them */

struct disk_create {
	uint64_t size;		/* bytes, a multiple of SECTOR, at most DISK_SIZE_MAX */
	enum disk_format format;
	const char *adapter;	/* of disk_adapter_name; NULL: lsilogic */
	const char *parent;	/* parentFileNameHint as it is to stand there, or NULL */
	uint32_t parent_cid;	/* with parent */
	uint64_t grain;		/* bytes, a power of two; 0: the format's usual one */
	const char *name;	/* what a descriptor inside its extent calls that; NULL: as it is called */
	const char *device;	/* DISK_RDM and DISK_RDMP: the block device; size is its own */
	bool force;		/* replace what is there */
	bool dry;		/* look whether it could be, create nothing */
	/* For long ones: called now and then with bytes of size; false stops (-EINTR). */
	bool (*progress)(void *ptr, uint64_t done, uint64_t total);
	void *ptr;
	/* Each file that is (or, with dry, would be) made, when all of them are. */
	void (*made)(void *ptr, const char *path);
};

/*
 * Create a disk.  Nothing is left of it when that fails.  The descriptor is written
 * last.
 * Returns    0; -EEXIST: one of its files is there; -EINVAL: a size or combination that
 *            the format cannot have; -ENOTSUP: a format that is not created this way;
 *            -ENOSPC, ...
 */
int disk_create(const char *path, const struct disk_create *c, struct err *e);

/*
 * The descriptor of a disk of one extent, the file path, as disk_create() would write it
 * (also of DISK_STREAM).  The caller frees *text.
 */
int disk_describe(char **text, size_t *len, const char *path,
		  const struct disk_create *c, struct err *e);

/* One more extent, a file of its own, for a disk of c->format that grows. */
int disk_create_extent(const char *path, const struct disk_create *c, uint64_t bytes,
		       struct err *e);

/*
 * The parentFileNameHint of a child at path child for its parent at path parent: the
 * bare name where both lie in one folder, else, with outside, the absolute path.
 *
 * Returns    0 and *hint, which the caller frees; -EPERM: another folder; -ENOENT, ...
 */
int disk_parent_hint(char **hint, const char *child, const char *parent, bool outside,
		     struct err *e);
#endif
