#ifndef DISK_SESPARSE_TABLE_H
#define DISK_SESPARSE_TABLE_H
/* What the files of seSparse share: the open extent, its tables, its room. */

#include <stdbool.h>
#include <stdint.h>

#include "disk/bits.h"
#include "disk/extent.h"
#include "disk/meta.h"
#include "disk/ranges.h"
#include "disk/sesparse_header.h"

/* The order in which blocks are written; bitmap and backmap go first. */
enum { SE_LEVEL_BITMAP = META_EARLY, SE_LEVEL_GT = 0, SE_LEVEL_GD = 1 };

#define SE_PAGE_ENTRIES	(SE_PAGE / 8)		/* of tables, directory and backmap */
#define SE_PAGE_BITS	(UINT64_C(8) * SE_PAGE)	/* of the bitmap */

struct sesparse {
	struct extent x;	/* first member */
	struct se_header h;	/* as it is on disk */
	struct se_volatile v;	/* as it shall be on disk */
	struct meta *m;		/* pages of directory, tables, bitmap and backmap */
	uint64_t dirty_max;	/* bytes of m that make it flush by itself */
	bool v_dirty;
	bool broken;		/* nobody knows which layout is on disk: no more writing */
	bool foreign_journal;	/* opened to be mended: its journal cannot be replayed */
	bool trusted;		/* the bitmap has all grains in use */
	bool sign;		/* flush() is to write our journal header */
	bool reclaimed;		/* there are no bits of grains that no table has */
	uint64_t cursor;	/* room is looked for from this grain on */
	struct bits tables;	/* in use, once free_gt has come to the end */
	bool tables_known;
	struct ranges reserved;	/* grains that alloc() gave out, to be committed */
	struct ranges dropped;	/* grains that are free after the next flush */
};

static inline struct sesparse *se_of(struct extent *x) { return (struct sesparse *)x; }

/* A page of tables at byte off.  NULL: *rc says why. */
uint8_t *se_page(struct sesparse *s, uint64_t off, bool fresh, int *rc, struct err *e);

/*
 * The table of directory entry i.
 * Returns    0: *there says whether there is one, *table is its number; -EBADMSG: no
 *            entry can be like that
 */
int se_table_at(struct sesparse *s, uint64_t i, bool *there, uint64_t *table,
		struct err *e);
int se_table_set(struct sesparse *s, uint64_t i, uint64_t table, struct err *e);
int se_table_clear(struct sesparse *s, uint64_t i, struct err *e);

/* An unused table: all its pages are zeros, and none is on disk yet. */
int se_table_new(struct sesparse *s, uint64_t *table, struct err *e);

/*
 * The entries from grain g on that lie in one page of its table.
 *
 * p          where they are, valid until the next call that uses s->m; NULL: there is
 *            no table
 * n          how many; without a table those up to the next table's
 * block      the page's place in the file, for meta_dirty()
 * table      the table's number
 */
struct se_entries {
	uint8_t *p;
	uint32_t n;
	uint64_t block, table;
};
int se_entries(struct sesparse *s, uint64_t g, struct se_entries *t, struct err *e);
/* The same of a table that is made where there is none. */
int se_entries_new(struct sesparse *s, uint64_t g, struct se_entries *t, struct err *e);

/* Byte offset of a table, and of a grain. */
static inline uint64_t se_table_off(const struct sesparse *s, uint64_t table)
{
	return (s->h.part[SE_TABLES].off + table * SE_GT_SECTORS) * SECTOR;
}

static inline uint64_t se_grain_off(const struct sesparse *s, uint64_t grain)
{
	return (s->h.part[SE_GRAINS].off + grain * s->h.grain) * SECTOR;
}

/* Does the file have a grain of this number, as far as disk grain g needs it? */
bool se_in_file(const struct sesparse *s, uint64_t g, uint64_t grain);

/* Room (sesparse_room.c). */

/* The bitmap is right from here on, or -EBADMSG: it is not. */
int se_trust(struct sesparse *s, struct err *e);
/* The same where that is known. */
int se_believe(struct sesparse *s, struct err *e);

/*
 * Up to want free grains in a row, set aside until se_take() or se_return().
 * Returns    0: *n of them from *start on; -ENOSPC
 */
int se_find(struct sesparse *s, uint64_t want, uint64_t *start, uint64_t *n,
	    struct err *e);
void se_return(struct sesparse *s, uint64_t start, uint64_t n);

/* Mark grains as used, by the table. */
int se_take(struct sesparse *s, uint64_t start, uint64_t n, uint64_t table, struct err *e);
int se_clear(struct sesparse *s, uint64_t start, uint64_t n, struct err *e);
int se_is_taken(struct sesparse *s, uint64_t grain, bool *taken, struct err *e);
/* The first free grain in from..end, or the first used one; end: none. */
int se_next(struct sesparse *s, uint64_t from, uint64_t end, bool taken, uint64_t *at,
	    struct err *e);
int se_backmap(struct sesparse *s, uint64_t grain, uint64_t *table, struct err *e);

int se_flush(struct extent *x, struct err *e);
int se_map(struct extent *x, uint64_t off, uint64_t len, struct disk_run *run,
	   struct err *e);
int se_drop(struct extent *x, uint64_t off, uint64_t len, bool absent, struct err *e);
int se_resize(struct extent *x, uint64_t bytes, struct err *e);
/* Clear the bits of grains that no table has. */
int se_reclaim(struct sesparse *s, struct err *e);
int se_check(struct extent *x, const struct extent_check *k, struct err *e);
#endif
