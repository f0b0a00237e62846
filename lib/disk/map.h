#ifndef DISK_MAP_H
#define DISK_MAP_H
/*
 * The merged map of a chain: for each range of the disk, which layer decides and where
 * its bytes lie.  A lookup is one probe of a hash and one binary search, whatever the
 * depth of the chain and however it is fragmented.
 *
 * It consists of pages of 32 MiB of disk.  A page is a sorted array of runs that cover
 * all of it, each 10 bytes: where it begins in the page, and kind, layer and sector in
 * one word.  A disk of 2 TB that is one run a page takes 8 MiB.  Pages come when they
 * are asked for; above the limit the clock takes those not used lately.
 *
 * Not locked.  Offsets and lengths are bytes, multiples of SECTOR.
 */

#include <stdbool.h>
#include <stdint.h>

#include "disk/extent.h"

#define MAP_PAGE	(32u << 20)	/* bytes of disk */
#define MAP_LIMIT	(32u << 20)	/* bytes of memory, the usual limit */

struct map;

struct map_run {
	enum disk_kind kind;	/* never DISK_ABSENT */
	unsigned layer;
	uint64_t off;		/* bytes of the disk */
	uint64_t len;
	uint64_t at;		/* DISK_DATA: of the file.  DISK_PACKED: of the packed grain */
};

/* A page that is being put together. */
struct map_page;

/* limit: bytes of memory; a few pages stay in any case.  NULL: no memory. */
struct map *map_new(uint64_t limit);
void map_free(struct map *m);		/* NULL is fine */

/*
 * The runs from off to end, one behind the other, in pages that are there.
 *
 * r, max     the first begins at off, the last may be cut off by end or max
 * Returns    how many; 0: the page of off is not there
 */
unsigned map_find(struct map *m, uint64_t off, uint64_t end, struct map_run *r, unsigned max);

/* A new page of the disk around off; runs are added from its start to its end. */
struct map_page *map_page_new(uint64_t off);
/* join: it may be one with the run before it, if it goes on where that ends.
 * Returns 0 or -ENOMEM. */
int map_page_add(struct map_page *p, const struct map_run *r, bool join);
void map_page_free(struct map_page *p);	/* NULL is fine */
/* Put it into the map, which owns it; one that is there already is replaced. */
void map_insert(struct map *m, struct map_page *p);

/*
 * From now on r is what lies at r->off.  Pages that are not there are left out.
 *
 * left, right  it may be one with its neighbour there (no other file begins)
 */
void map_set(struct map *m, const struct map_run *r, bool left, bool right);

/* Forget all: the layers have changed. */
void map_clear(struct map *m);

/* Bytes of memory it takes. */
uint64_t map_bytes(const struct map *m);
#endif
