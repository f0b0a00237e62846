#ifndef DISK_SPARSE_IMPL_H
#define DISK_SPARSE_IMPL_H
/* What the files of the hosted sparse format share; the format is in sparse.c. */

#include "disk/meta.h"
#include "disk/sparse.h"

/* Grains that were given back: pending until the tables that do not name them any
 * more are durable, then free. */
struct sparse_span {
	uint64_t off, len;	/* bytes of the file */
};
struct sparse_spans {
	struct sparse_span *v;
	size_t n, size;
};
#define SPARSE_SPANS_MAX	65536u	/* what is free beyond is only punched */
#define SPARSE_PENDING_MAX	(1u << 20)	/* what is given back beyond is lost */

struct sparse {
	struct extent x;	/* first */
	struct sparse_header h;
	struct meta *meta;	/* blocks are sectors */
	uint64_t gd_entries;
	unsigned copies;	/* of directory and tables that are kept: 1 or 2 */
	bool rgd_bad;		/* there should be a second one, but its field is wrong */
	uint64_t gd_bad;	/* gdOffset as it stands, wrong: the second one is read; or 0 */
	uint64_t text;		/* sectors of the descriptor that lies at h.desc; 0: none does */
	bool marked;		/* uncleanShutdown is on disk, set by us */
	uint64_t end;		/* bytes: new grains and tables go here */
	struct sparse_spans pending, free;
};

/* Levels of the cache: see "order" in sparse.c. */
enum { SPARSE_L_TABLE, SPARSE_L_DIRECTORY };

static inline uint64_t sparse_round_up(uint64_t v, uint64_t to)
{
	return (v + to - 1) / to * to;
}

static inline struct sparse *sparse_of(struct extent *x)
{
	return (struct sparse *)x;
}

/* The first sector of directory number copy (0: the one that is read). */
static inline uint64_t sparse_directory(const struct sparse *s, unsigned copy)
{
	return copy ? s->h.rgd : s->h.gd;
}

static inline uint64_t sparse_grains(const struct sparse *s)
{
	return (s->h.capacity + s->h.grain - 1) / s->h.grain;
}

/* Can there be a grain table at this sector: in the file, and not in the header, the
 * descriptor or a directory? */
bool sparse_table_fits(const struct sparse *s, uint64_t sector);

/* Entry i of a directory: a grain table's sector, 0 without one. */
int sparse_gd_get(struct sparse *s, unsigned copy, uint64_t i, uint32_t *table,
		  struct err *e);
int sparse_gd_put(struct sparse *s, unsigned copy, uint64_t i, uint32_t table,
		  struct err *e);

/*
 * Entries of the grain table of one copy, from grain number i on.
 *
 * make       make a table where there is none
 * p          the entries (le32), good until the next call that uses the cache; NULL:
 *            there is no table
 * n          how many there are in one piece; without a table, how many are missing
 * block      where the block is that holds them, for meta_dirty()
 */
int sparse_entries(struct sparse *s, unsigned copy, uint64_t i, bool make, uint8_t **p,
		   uint64_t *n, uint64_t *block, struct err *e);

/* How many entries from grain number i on, in its table of one copy, are known to be 0
 * without reading them, as the file has a hole there?  All to the table's end, or 0. */
uint64_t sparse_hole(struct sparse *s, unsigned copy, uint64_t i);

/* Is this entry a grain's sector? */
static inline bool sparse_is_grain(const struct sparse *s, uint32_t gte)
{
	return gte > 1 || (gte == 1 && !(s->h.flags & SPARSE_ZEROED));
}

/* Does a grain that is whole begin at this sector of the file, or at least begin? */
static inline bool sparse_in_file(const struct sparse *s, uint32_t gte)
{
	return gte && file_has(s->x.file, (uint64_t)gte * SECTOR + 1);
}

/* Set uncleanShutdown, before the first change since open. */
int sparse_mark(struct sparse *s, struct err *e);
/* Write header fields: capacity, gd, rgd, overhead, flags, version and the mark as in
 * s->h; all else stays as it is on disk. */
int sparse_put_header(struct sparse *s, struct err *e);

/* sparse_room.c */
/* Find up to len bytes (a multiple of the grain) in one piece. */
int sparse_room(struct sparse *s, uint64_t len, uint64_t *off, uint64_t *got,
		struct err *e);
/* So many sectors at the end of the file, with anything in them. */
int sparse_room_at_end(struct sparse *s, uint64_t sectors, uint64_t *sector,
		       struct err *e);
/* What lies there is not used any more; it may be used again after the next flush. */
void sparse_give_back(struct sparse *s, uint64_t off, uint64_t len);
/* The tables are durable: pending spans become free. */
void sparse_given_back(struct sparse *s);
void sparse_spans_free(struct sparse_spans *l);

/* sparse_create.c, sparse_compact.c, sparse_check.c */
int sparse_compact(struct extent *x, bool (*go_on)(void *ptr), void *ptr, struct err *e);
int sparse_resize(struct extent *x, uint64_t bytes, struct err *e);
int sparse_check(struct extent *x, const struct extent_check *c, struct err *e);
/* Entries of both directories that are not 0. */
int sparse_count_tables(struct sparse *s, uint64_t *n, struct err *e);
/* Open after a crash: find the end, bring the second copy in step with the first. */
int sparse_settle(struct sparse *s, struct err *e);

/* sparse_packed.c */
int packed_unpack(struct extent *x, const struct disk_run *run, void *buf,
		  struct err *e);
/*
 * Read and check the head of the packed grain at a sector.
 * at         bytes: where the packed data begin; *len how many they are at most
 */
int packed_head(const struct sparse *s, uint64_t sector, uint64_t *lba, uint64_t *at,
		uint64_t *len, struct err *e);
/*
 * Go through the markers from the first grain on, up to the end of the stream or what is
 * none, and call grain() for each that is a grain's; unless it returns 0 that is the end.
 * For extents with SPARSE_MARKERS.
 */
int packed_walk(struct sparse *s, int (*grain)(void *ptr, uint64_t lba, uint64_t sector), void *ptr,
		struct err *e);
#endif
