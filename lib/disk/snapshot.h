#ifndef DISK_SNAPSHOT_H
#define DISK_SNAPSHOT_H
/*
 * What snapshots of one disk are made of: a layer is put on a chain, and merged into its
 * neighbour when nobody needs the state between the two any more.  Which layers those
 * are is known elsewhere (vmx/snapshot.h); locks are held there, too.
 *
 * Merging never changes what any layer reads as, but for the parent of a merge down, and
 * that one has no other child.  So it may stop anywhere, and be begun again:
 *
 *   down   what the child has is written into its parent, which reads like the child
 *          then; it is made as large first
 *   up     what the parent has and the child has not is written into the child, which
 *          needs its parent no longer
 *
 * Both leave descriptors alone; snapshot_relink() changes those when all data are durable.
 */

#include <stdbool.h>
#include <stdint.h>

#include "disk/create.h"
#include "disk/image.h"

struct snapshot_job {
	bool outside;		/* as disk_opts.allow_outside */
	void *ptr;
	/* Called after each piece, with the bytes of the disk that are behind; false
	 * stops (-EINTR).  May be NULL. */
	bool (*progress)(void *ptr, uint64_t done, uint64_t total);
	/* All before byte done is durable: a merge may be taken up there.  May be NULL. */
	int (*checkpoint)(void *ptr, uint64_t done, struct err *e);
};

/*
 * The name for a new layer on the disk at path: "BASE-000001.vmdk", the lowest number
 * of which no file is there.  The caller frees it.
 */
int snapshot_name(char **name, const char *path, struct err *e);

/* The length of "BASE" in "BASE.vmdk" and "BASE-000001.vmdk". */
size_t snapshot_stem(const char *path);

/*
 * The format of a new layer on a parent, as VMware chooses it: on vmfs disks and RDMs
 * vmfsSparse, or seSparse from 2 TB on or where the parent is one; else sparse, in 2 GB
 * pieces where the parent is in pieces.
 */
enum disk_format snapshot_format(const struct image *parent);

/*
 * Create the layer child on parent.
 *
 * dry        do not, but call made
 * made       each file that it consists of; may be NULL
 */
int snapshot_add(const char *child, const char *parent, bool outside, bool dry,
		 void (*made)(void *ptr, const char *path), void *ptr, struct err *e);

/*
 * The bytes that a merge of child and parent would write, down and up.  UINT64_MAX: that
 * way does not work (the parent is of a format that is not written in place, or is
 * smaller and cannot grow, or larger).
 */
int snapshot_cost(const char *child, const char *parent, bool outside, uint64_t *down,
		  uint64_t *up, struct err *e);

/* The bytes of the disk that a layer holds itself. */
int snapshot_bytes(const char *path, bool outside, uint64_t *bytes, struct err *e);

/*
 * Merge down or up, from byte from of the disk on; all of it is durable on return.
 * Returns    0; -EINTR: progress said so; -ENOSPC, -EIO, ...: nothing is lost
 */
int snapshot_merge(const char *child, const char *parent, bool down, uint64_t from,
		   const struct snapshot_job *job, struct err *e);

/*
 * For who has the layers open (disk/live.h).
 *
 * snapshot_in_place   may a layer be merged into im, by its format?
 * snapshot_copy_down  as snapshot_merge(), of from's top into to's, which is as large
 */
struct disk;
bool snapshot_in_place(const struct image *im);
int snapshot_copy_down(struct disk *from, struct disk *to, const struct snapshot_job *job,
		       struct err *e);

/* Change the ids of a layer; all at once, durable on return. */
struct snapshot_link {
	bool has_cid, has_parent;
	uint32_t cid;
	uint32_t parent_cid;	/* with has_parent; CID_NONE: it has no parent now */
	const char *hint;	/* with has_parent: parentFileNameHint, NULL: as it is */
};
int snapshot_relink(const char *path, const struct snapshot_link *l, bool outside,
		    struct err *e);
#endif
