#ifndef DISK_DISK_H
#define DISK_DISK_H
/*
 * A virtual disk: a chain of layers, the base first, read and written as one range of
 * bytes.  A read costs one lookup whatever the depth: one map says for each range which
 * layer has it and where (disk/map.h); it is filled as it is used, and bounded.
 *
 * disk_read(), disk_write(), disk_zero() and disk_flush() may be called by several
 * threads at once.  As with any disk, what overlapping requests that run at the same
 * time leave is one or the other, sector by sector.
 *
 * Offsets and lengths are bytes, multiples of SECTOR.
 */

#include "disk/image.h"

#define DISK_LAYERS	255u	/* VMware allows 32; chains of others are deeper */

struct disk;

/*
 * Open a disk with all its parents; with o->write the top is locked and written to.
 * Returns    as image_open(); -EBADMSG also when a parent's CID is not the one that
 *            its child remembers, or a chain has a loop
 */
int disk_open(struct disk **d, const char *path, const struct disk_opts *o,
	      struct err *e);

/* Flush and close.  Returns what the flush said; d is gone in any case. */
int disk_close(struct disk *d, struct err *e);

uint64_t disk_size(const struct disk *d);
/* Layers, and one of them: 0 is the base. */
unsigned disk_layers(const struct disk *d);
struct image *disk_layer(const struct disk *d, unsigned i);

/* Returns 0; -EIO and others of the backend; -EBADMSG: a damaged layer; -EACCES: a
 * NOACCESS extent; -EINVAL: outside the disk. */
int disk_read(struct disk *d, void *buf, size_t len, uint64_t off, struct err *e);
int disk_readv(struct disk *d, const struct iovec *iov, int n, uint64_t off, struct err *e);

/* -EROFS: not opened for writing, or a format that cannot be written in place. */
int disk_write(struct disk *d, const void *buf, size_t len, uint64_t off, struct err *e);
int disk_writev(struct disk *d, const struct iovec *iov, int n, uint64_t off,
		struct err *e);

/*
 * Make a range read as zeros.  unmap: its room may be given back; where a format can
 * say so no data are written.
 */
int disk_zero(struct disk *d, uint64_t off, uint64_t len, bool unmap, struct err *e);

/* All writes that returned before are durable. */
int disk_flush(struct disk *d, struct err *e);

/* For long writes: begin to write to the disk what only the host's cache has, so that
 * the flush at their end need not. */
void disk_write_out(struct disk *d);

/*
 * For those who change the chain while it is in use (disk/live.h).  disk_freeze() returns
 * when no request is under way; those that come wait until disk_thaw().
 */
void disk_freeze(struct disk *d);
void disk_thaw(struct disk *d);
bool disk_frozen(const struct disk *d);	/* a request would have to wait now */

/* A disk of images that are open already, the base first; owned on success. */
int disk_new(struct disk **d, struct image *const *layer, unsigned n, struct err *e);

/* Bytes of memory that the merged map takes. */
uint64_t disk_map_bytes(struct disk *d);

/*
 * What lies at off: run as image_map() says it, *layer the one that decides (a range
 * that no layer has is DISK_ZERO of layer 0).  Neighbours that lie one behind the
 * other in one layer are one run; run->len <= len.
 */
int disk_map(struct disk *d, uint64_t off, uint64_t len, struct disk_run *run,
	     unsigned *layer, struct err *e);

/*
 * A read or write that does not block.
 * Returns    0: done; -EAGAIN: it would have to wait, ask disk_readv() on a thread that
 *            may; else as disk_readv()
 */
int disk_try_readv(struct disk *d, const struct iovec *iov, int n, uint64_t off,
		   struct err *e);
int disk_try_writev(struct disk *d, const struct iovec *iov, int n, uint64_t off,
		    struct err *e);

/*
 * A read that goes on, by way of a ring, while nobody waits for it.
 *
 * iov, ptr   stay until done(), which is called on the ring's thread or inside this
 *            call.  rc 0; else ask disk_readv(), which says what is wrong
 * Returns    0: done() will be called or was; -EAGAIN: it will not, ask disk_readv()
 */
struct ring;
int disk_start_readv(struct disk *d, struct ring *r, const struct iovec *iov, int n,
		     uint64_t off, void (*done)(void *ptr, int rc), void *ptr);
#endif
