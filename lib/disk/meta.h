#ifndef DISK_META_H
#define DISK_META_H
/*
 * A write-back cache of a file's metadata (grain tables and directories, bitmaps):
 * blocks of one size at multiples of that size from a base, bounded, with ordered
 * write-back.  Shared by all sparse formats.  Not locked: an extent is called by one
 * thread at a time.
 */

#include <stdbool.h>
#include <stdint.h>

#include "disk/file.h"

struct meta;

/*
 * f          not owned
 * block      bytes, a multiple of SECTOR
 * limit      bytes of blocks kept; blocks that are dirty or held stay above it
 */
int meta_new(struct meta **m, struct disk_file *f, uint32_t block, uint64_t limit,
	     struct err *e);
void meta_free(struct meta *m);		/* dirty blocks are lost; NULL is fine */

/*
 * The block at byte off of the file (a multiple of SECTOR).  The pointer holds until
 * the next call of meta_get() or meta_flush().
 * fresh      do not read: a block of zeros that nothing on disk refers to yet
 * Returns    NULL: read error, in *e
 */
void *meta_get(struct meta *m, uint64_t off, bool fresh, struct err *e);

/*
 * The block at off, got before, was changed.
 * level      blocks of level 0 are durable before those of level 1 are written, and
 *            so on: what is pointed to has a lower level than the pointer.  Of
 *            several levels since the last flush the highest counts
 */
void meta_dirty(struct meta *m, uint64_t off, unsigned level);
#define META_LEVELS 4
#define META_EARLY UINT32_MAX	/* below level 0: may be written before the data are
				 * durable, as it points to none (what room is taken) */

/* Dirty bytes: above some bound formats flush by themselves. */
uint64_t meta_dirty_bytes(const struct meta *m);

/*
 * Make all durable: write META_EARLY, sync (data and earlier writes, too), write level
 * 0, sync, level 1, ...
 * Nothing dirty: one sync.  A block that could not be written stays dirty.
 */
int meta_flush(struct meta *m, struct err *e);

/*
 * Are len bytes from off on (inside one table, say) zeros because the file has a hole
 * there?  Answered without reading them; false: perhaps not, or blocks there are cached.
 */
bool meta_hole(struct meta *m, uint64_t off, uint64_t len);

/* Forget all that is clean and in off..off+len, and where holes are. */
void meta_forget(struct meta *m, uint64_t off, uint64_t len);
#endif
