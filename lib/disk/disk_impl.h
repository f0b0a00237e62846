#ifndef DISK_DISK_IMPL_H
#define DISK_DISK_IMPL_H
/*
 * What the files of disk.h share.
 *
 * Two locks, taken in this order, and neither while data are moved:
 *   meta   all calls of extents but unpack(), and filling the map
 *   lock   the map, the requests under way, the cache of unpacked grains; never held
 *          while anything waits for a disk
 * A request that finds its range in the map takes lock alone.
 *
 * A range that moves or vanishes is guarded by the list of requests under way:
 *   OP_IO     a read, or a write to grains that the top has
 *   OP_ALLOC  whole grains that the top is getting: waits for other OP_ALLOCs and for
 *             OP_DROPs of them.  Reads go on meanwhile, and see what was there before
 *   OP_DROP   grains that lose their room: waits for all others, and they for it
 * An OP_ALLOC is inside an OP_IO of the same thread; nobody holds two OP_ALLOCs, and
 * who holds an OP_DROP waits for nothing more: so there is no circle.
 */
#include <pthread.h>

#include "disk/disk.h"
#include "disk/map.h"
#include "disk/pace.h"

enum op_kind { OP_IO, OP_ALLOC, OP_DROP };

struct op {
	enum op_kind kind;
	uint64_t off, end;
	struct op *next, **link;
};

#define UNPACKED 8		/* grains kept */
#define UNPACKED_MAX (1u << 20)	/* bytes: larger ones are not kept */

struct unpacked {
	const struct disk_file *file;	/* of the packed grain; NULL: none */
	uint64_t at;
	uint64_t grain;
	uint64_t used;		/* d->tick then */
	void *buf;
};

struct disk {
	pthread_mutex_t meta, lock;
	pthread_cond_t changed;	/* an op has ended, or frozen is 0 */
	struct op *ops;
	_Atomic unsigned frozen;
	struct map *map;
	struct image **layer;	/* the base first */
	unsigned n;
	_Atomic uint64_t size;
	_Atomic bool touched;	/* the top has its new CID */
	struct unpacked unpacked[UNPACKED];
	uint64_t tick;
	/* pace.c */
	_Atomic bool has_pace;
	struct disk_pace pace;
	struct disk_paced paced;
	uint64_t pace_until_ns, turn_ns;	/* the next write's turn */
};

/* A piece of a request that is moved in one go. */
struct seg {
	enum disk_kind kind;
	unsigned layer;
	struct extent *x;
	struct disk_file *file;
	uint64_t off, len;	/* of the disk */
	uint64_t at;		/* of file; DISK_PACKED: of the packed grain */
};
#define SEGS 64

static inline struct image *disk_top(const struct disk *d)
{
	return d->layer[d->n - 1];
}

/* Take d->lock, wait until the range is free, and enter the op. */
void op_begin(struct disk *d, struct op *o, enum op_kind kind, uint64_t off, uint64_t end);
/* With d->lock held: would op_begin() have to wait? */
bool op_waits(const struct disk *d, enum op_kind kind, uint64_t off, uint64_t end);
void op_begun(struct disk *d, struct op *o, enum op_kind kind, uint64_t off, uint64_t end);
/* With d->lock held. */
void op_end(struct disk *d, struct op *o);

/* Bring the page of off into the map.  Neither lock is held. */
int disk_fill(struct disk *d, uint64_t off, struct err *e);

/*
 * The pieces from off to end, as the map has them, in one piece where one goes on
 * where the other ends.  With d->lock held.
 * Returns    how many; 0: the page of off is not in the map
 */
unsigned disk_segs(struct disk *d, uint64_t off, uint64_t end, struct seg *s, unsigned max);

/* Read inside an op of the caller's; no lock is held. */
struct iov_at;
int disk_read_range(struct disk *d, struct iov_at *to, uint64_t off, uint64_t end,
		    struct err *e);
/* Write zeros or data inside an OP_IO of the caller's. */
int disk_write_range(struct disk *d, struct iov_at *from, uint64_t off, uint64_t end,
		     struct err *e);
/* Before the first write. */
int disk_touch(struct disk *d, struct err *e);
/* Is [off, len) inside the disk, and whole sectors? */
int disk_bounds(const struct disk *d, uint64_t off, uint64_t len, struct err *e);
/* Forget the unpacked grains; d->lock is held. */
void unpacked_clear(struct disk *d);
/* Read s, a DISK_PACKED one. */
int unpacked_read(struct disk *d, const struct seg *s, struct iov_at *to, struct err *e);

/*
 * For a frozen disk: the layers are others, and *layer, *n those that it had; nothing is
 * allocated.  pushed: there is a new top, or one was opened again: what is cached stays true.
 */
void disk_swap_layers(struct disk *d, struct image ***layer, unsigned *n, bool pushed);
/* Free d without its layers, whose array may be NULL; nothing is flushed. */
void disk_dissolve(struct disk *d);

/* The chain of path, the base first. */
int chain_open(struct image ***layer, unsigned *n, const char *path,
	       const struct disk_opts *o, struct err *e);
#endif
