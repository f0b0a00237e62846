#ifndef DISK_EXTENT_H
#define DISK_EXTENT_H
/*
 * One extent of a virtual disk: a format on a backend.  A format answers where a
 * range lies and finds room for new grains; data are moved by those above it
 * (disk/disk.h), straight from and to the backend.  So a format is metadata only, its
 * calls are short, and one data path serves all.
 *
 * Offsets and lengths are bytes from the extent's start, multiples of SECTOR.
 * Calls for one extent are made one at a time (the disk's lock).
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "disk/file.h"

enum disk_kind {
	DISK_ABSENT,		/* not here: the parent's, or zeros without one */
	DISK_ZERO,		/* zeros, whatever the parent holds */
	DISK_DATA,		/* bytes in a file */
	DISK_PACKED,		/* inside one compressed grain: ask unpack() */
	DISK_REFUSED,		/* NOACCESS: reading and writing fail */
};

struct disk_run {
	enum disk_kind kind;
	uint64_t len;		/* bytes for which this holds, at least SECTOR */
	struct disk_file *file;	/* DISK_DATA: where.  DISK_PACKED: of the packed grain */
	uint64_t off;		/* a multiple of SECTOR */
};

struct extent;
struct extent_check;

/* An absent hook: the format cannot do that (-ENOTSUP, -EROFS for alloc). */
struct extent_ops {
	const char *name;	/* as extent lines of descriptors spell it */
	/*
	 * Where is off?  len is a hint how far to look; run->len <= len.  Neighbouring
	 * grains that lie one behind the other are one run.
	 */
	int (*map)(struct extent *x, uint64_t off, uint64_t len, struct disk_run *run,
		   struct err *e);
	/*
	 * Uncompress one grain into buf (grain bytes); run is a DISK_PACKED one of
	 * map().  The only hook that several threads call at once, and while others
	 * run: it may use ops, file, size and grain, but no tables.
	 */
	int (*unpack)(struct extent *x, const struct disk_run *run, void *buf,
		      struct err *e);
	/*
	 * Find room for up to len bytes of grains at off, both multiples of grain.
	 * run says where and for how many (DISK_DATA); nothing is mapped yet.  The room
	 * is not used again before it is committed or the extent is closed.
	 */
	int (*alloc)(struct extent *x, uint64_t off, uint64_t len, struct disk_run *run,
		     struct err *e);
	/*
	 * The room has its data: map() answers it from now on.  On disk that is so
	 * after flush(), which first makes the data durable.
	 */
	int (*commit)(struct extent *x, uint64_t off, const struct disk_run *run,
		      struct err *e);
	/* Or it has not: the data could not be written.  The room is free again.
	 * Absent: it stays unused until the extent is closed. */
	void (*cancel)(struct extent *x, const struct disk_run *run);
	/*
	 * Make whole grains ZERO (absent = false) or ABSENT (true), giving their room
	 * back where the format can.  On disk after flush(); until then the room is not
	 * used again.  A read that was mapped before may find other data there once
	 * flush() has returned: who reads without the lock must not let flush() overtake.
	 * len may end with the extent, inside a grain.
	 */
	int (*drop)(struct extent *x, uint64_t off, uint64_t len, bool absent,
		    struct err *e);
	/* All that was committed is durable, in the order that the format's file
	 * states; data written to runs of this extent are, too. */
	int (*flush)(struct extent *x, struct err *e);
	/* Would flush() write anything?  If not it is not called: a sync of the file,
	 * for its data, is enough.  Absent: never. */
	bool (*dirty)(const struct extent *x);
	/* Grow (or shrink) to bytes.  On disk after return. */
	int (*resize)(struct extent *x, uint64_t bytes, struct err *e);
	/*
	 * Make the file as short as its grains allow.  They move: what map() said before
	 * does not hold any more.  Absent: it cannot be shorter.
	 *
	 * go_on      asked now and then; false: -EINTR.  May be NULL
	 */
	int (*compact)(struct extent *x, bool (*go_on)(void *ptr), void *ptr,
		       struct err *e);
	/*
	 * Look for damage: says each finding to report(), with the words that the user
	 * sees; mends what it can if repair.  0, or -errno when it cannot even look.
	 */
	int (*check)(struct extent *x, const struct extent_check *c, struct err *e);
	/* Flush must have been called; without it what was not flushed is lost. */
	void (*close)(struct extent *x);
};

/* What an extent's check found: kinds are what `vmdk check --json` prints. */
struct extent_check {
	bool repair;
	void *ptr;
	/* repaired: it was mended just now.  leak: harmless, only room is lost. */
	void (*report)(void *ptr, const char *kind, bool leak, bool repaired,
		       const char *fmt, ...) __attribute__((format(printf, 5, 6)));
	/* NULL, or called now and then: done of total parts of this extent are looked at; false
	 * stops (-EINTR).  What was mended so far stays. */
	bool (*go_on)(void *ptr, uint64_t done, uint64_t total);
};

/* For check(): 0, or -EINTR with what is said about it. */
int extent_check_go_on(const struct extent_check *c, uint64_t done, uint64_t total, struct err *e);

#define DISK_GRAIN_MAX (32u << 20)

struct extent {
	const struct extent_ops *ops;
	struct disk_file *file;	/* owned; NULL: none (ZERO, NOACCESS) */
	uint64_t size;		/* bytes of the disk that this extent holds */
	uint64_t grain;		/* bytes that are mapped as one: a power of two, SECTOR
				 * (flat ones) to DISK_GRAIN_MAX */
	bool writable;
	bool thin;		/* drop() gives room back, and not only what it holds */
};

struct extent_params {
	uint64_t size;		/* bytes, as the descriptor says; 0: the file's own */
	uint64_t off;		/* bytes: where a flat extent begins in its file */
	bool writable;
	bool thin;
	uint64_t cache;		/* bytes of tables to keep in memory; 0: EXTENT_CACHE */
	bool mend;		/* for check(): open even what is not fit for use and what
				 * check() can mend, such as a journal of unknown content */
};
#define EXTENT_CACHE (8u << 20)

/*
 * Openers.  On success the extent owns f; on failure the caller still does.
 * Returns 0, -EBADMSG: damaged (the message names the field), -ENOTSUP: a version or
 * flag that is not done here, ...
 */
int flat_open(struct extent **x, struct disk_file *f, const struct extent_params *p,
	      struct err *e);
int zero_open(struct extent **x, const struct extent_params *p, struct err *e);
int noaccess_open(struct extent **x, const struct extent_params *p, struct err *e);
int sparse_open(struct extent **x, struct disk_file *f, const struct extent_params *p,
		struct err *e);		/* hosted sparse and streamOptimized */
int cowd_open(struct extent **x, struct disk_file *f, const struct extent_params *p,
	      struct err *e);
int sesparse_open(struct extent **x, struct disk_file *f, const struct extent_params *p,
		  struct err *e);

/* Flush nothing, give all back.  NULL is fine. */
void extent_close(struct extent *x);

#endif
