#ifndef DISK_COWD_TABLE_H
#define DISK_COWD_TABLE_H
/* What the files of vmfsSparse share: the open extent, its tables, its room. */

#include <stdbool.h>
#include <stdint.h>

#include "disk/cowd_header.h"
#include "disk/extent.h"
#include "disk/meta.h"
#include "disk/ranges.h"

enum { COWD_LEVEL_GT, COWD_LEVEL_GD };	/* the order in which they are written */

struct cowd {
	struct extent x;	/* first member */
	struct cowd_header h;	/* as it shall be on disk */
	uint8_t sector[SECTOR];	/* the first sector as it was read */
	struct meta *m;		/* sectors of the grain directory and the grain tables */
	uint64_t dirty_max;	/* bytes of m that make it flush by itself */
	uint64_t next;		/* sectors from here on were not given out */
	bool looked;		/* next was compared with what the file has */
	bool mark_dirty;	/* h.free was raised */
	bool lost;		/* there is no header in the file: h is what it has to have been */
	bool written;		/* room was used since it was opened: h.free is to be made exact */
	struct ranges avail;	/* sectors that nothing on disk refers to */
	struct ranges dropped;	/* avail after the next flush */
};

static inline struct cowd *cowd_of(struct extent *x) { return (struct cowd *)x; }

/* Sectors of a grain, and grains of the extent. */
static inline uint32_t cowd_unit(const struct cowd *c) { return c->x.grain / SECTOR; }
static inline uint64_t cowd_grains(const struct cowd *c)
{
	return (c->x.size + c->x.grain - 1) / c->x.grain;
}

/*
 * The entries from grain g on that lie in one sector of its grain table.
 *
 * p          where they are, valid until the next call that uses c->m; NULL: there is
 *            no table
 * n          how many; without a table those up to the next table's
 * block      the sector's place in the file, for meta_dirty()
 */
int cowd_entries(struct cowd *c, uint64_t g, uint8_t **p, uint32_t *n, uint64_t *block,
		 struct err *e);

/* The same of a table that is made where there is none. */
int cowd_entries_new(struct cowd *c, uint64_t g, uint8_t **p, uint32_t *n,
		     uint64_t *block, struct err *e);

/* The sector that directory entry i has, 0: none.  -EBADMSG: not in the file. */
int cowd_table_at(struct cowd *c, uint32_t i, uint32_t *sector, struct err *e);
int cowd_table_set(struct cowd *c, uint32_t i, uint32_t sector, struct err *e);

/*
 * Find room in the file: up to want sectors, a whole number of unit.
 * Returns    0: *n of them at *start; -ENOSPC
 */
int cowd_room(struct cowd *c, uint64_t want, uint32_t unit, uint64_t *start, uint64_t *n,
	      struct err *e);

/* Write the first sector with the fields of h. */
int cowd_write_header(struct cowd *c, struct err *e);

int cowd_flush(struct extent *x, struct err *e);
int cowd_drop(struct extent *x, uint64_t off, uint64_t len, bool absent, struct err *e);
int cowd_map(struct extent *x, uint64_t off, uint64_t len, struct disk_run *run,
	     struct err *e);
int cowd_resize(struct extent *x, uint64_t bytes, struct err *e);
int cowd_check(struct extent *x, const struct extent_check *k, struct err *e);
#endif
