/* The merged map of a chain: pages of runs, found by a hash, bounded by a clock. */
#include "disk/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_SECTORS	(MAP_PAGE / SECTOR)	/* 65536: a start fits 16 bits */
#define LAYER_SHIFT	53
#define KIND_SHIFT	61
#define PAGES_MIN	4u		/* stay whatever the limit is */

/* A row: kind (3 bits), layer (8), sector (53). */
struct map_page {
	uint64_t no;		/* of the page: its offset / MAP_PAGE */
	struct map_page *next;	/* in its bucket */
	uint32_t slot;		/* in the clock */
	uint32_t n, cap;
	bool used;		/* since the clock's hand passed */
	uint64_t *row;		/* cap of them, */
	uint16_t *start;	/* then their starts in sectors, in the same block */
};

struct map {
	struct map_page **bucket, **clock;
	uint32_t buckets;	/* a power of two */
	uint32_t n, cap, hand;
	uint64_t bytes, limit;
};

static uint64_t pack(const struct map_run *r)
{
	uint64_t sector = r->kind == DISK_DATA || r->kind == DISK_PACKED ? r->at / SECTOR : 0;

	return (uint64_t)r->kind << KIND_SHIFT | (uint64_t)r->layer << LAYER_SHIFT | sector;
}

static enum disk_kind row_kind(uint64_t row)
{
	return (enum disk_kind)(row >> KIND_SHIFT);
}

static uint64_t row_sector(uint64_t row)
{
	return row & ((UINT64_C(1) << LAYER_SHIFT) - 1);
}

/* The row as it is sectors further on.  A packed grain is one whole. */
static uint64_t row_behind(uint64_t row, uint32_t sectors)
{
	return row_kind(row) == DISK_DATA ? row + sectors : row;
}

/* Is b what a becomes after so many sectors? */
static bool joins(uint64_t a, uint64_t b, uint32_t sectors)
{
	return row_kind(a) != DISK_PACKED && row_behind(a, sectors) == b;
}

static uint64_t page_bytes(const struct map_page *p)
{
	return sizeof(*p) + (uint64_t)p->cap * (sizeof(*p->row) + sizeof(*p->start)) + 32;
}

static int page_resize(struct map_page *p, uint32_t cap)
{
	uint64_t *row;

	row = malloc(cap * (sizeof(*p->row) + sizeof(*p->start)));
	if (!row)
		return -ENOMEM;
	if (p->n) {
		memcpy(row, p->row, p->n * sizeof(*p->row));
		memcpy(row + cap, p->start, p->n * sizeof(*p->start));
	}
	free(p->row);
	p->row = row;
	p->start = (uint16_t *)(row + cap);
	p->cap = cap;
	return 0;
}

/* Room for n rows. */
static int page_reserve(struct map_page *p, uint32_t n)
{
	uint32_t cap = p->cap + p->cap / 2 + 4;

	return n <= p->cap ? 0 : page_resize(p, cap < n ? n : cap);
}

struct map_page *map_page_new(uint64_t off)
{
	struct map_page *p = calloc(1, sizeof(*p));

	if (p)
		p->no = off / MAP_PAGE;
	return p;
}

void map_page_free(struct map_page *p)
{
	if (p)
		free(p->row);
	free(p);
}

int map_page_add(struct map_page *p, const struct map_run *r, bool join)
{
	uint32_t start = (uint32_t)(r->off % MAP_PAGE / SECTOR);
	uint64_t row = pack(r);

	if (p->n && (join || r->kind == DISK_ZERO) &&
	    joins(p->row[p->n - 1], row, start - p->start[p->n - 1]))
		return 0;
	if (page_reserve(p, p->n + 1))
		return -ENOMEM;
	p->row[p->n] = row;
	p->start[p->n++] = (uint16_t)start;
	return 0;
}

struct map *map_new(uint64_t limit)
{
	struct map *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->buckets = 64;
	m->bucket = calloc(m->buckets, sizeof(struct map_page *));
	if (!m->bucket) {
		free(m);
		return NULL;
	}
	m->limit = limit;
	m->bytes = sizeof(*m) + m->buckets * sizeof(struct map_page *);
	return m;
}

void map_free(struct map *m)
{
	if (!m)
		return;
	map_clear(m);
	free(m->bucket);
	free(m->clock);
	free(m);
}

static struct map_page **bucket_of(const struct map *m, uint64_t no)
{
	return &m->bucket[no * 0x9e3779b97f4a7c15ull >> 32 & (m->buckets - 1)];
}

static struct map_page *find(const struct map *m, uint64_t off)
{
	uint64_t no = off / MAP_PAGE;
	struct map_page *p = *bucket_of(m, no);

	while (p && p->no != no)
		p = p->next;
	return p;
}

static void evict(struct map *m, struct map_page *p)
{
	struct map_page **at = bucket_of(m, p->no), *last = m->clock[m->n - 1];

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	m->clock[p->slot] = last;
	last->slot = p->slot;
	m->n--;
	m->bytes -= page_bytes(p);
	map_page_free(p);
}

void map_clear(struct map *m)
{
	while (m->n)
		evict(m, m->clock[m->n - 1]);
}

/* Down to the limit; keep is in use. */
static void shrink(struct map *m, const struct map_page *keep)
{
	while (m->bytes > m->limit && m->n > PAGES_MIN) {
		struct map_page *p;

		m->hand = m->hand < m->n ? m->hand : 0;
		p = m->clock[m->hand];
		if (p == keep || p->used) {
			p->used = false;
			m->hand++;
		} else {
			evict(m, p);
		}
	}
}

/* Twice the buckets.  Without memory for them the chains get longer. */
static void rehash(struct map *m)
{
	uint32_t was = m->buckets;
	struct map_page **old = m->bucket, **more = calloc(2 * (size_t)was, sizeof(*more));

	if (!more)
		return;
	m->bucket = more;
	m->buckets = 2 * was;
	m->bytes += was * sizeof(*more);
	for (uint32_t i = 0; i < m->n; i++) {
		struct map_page *p = m->clock[i], **at = bucket_of(m, p->no);

		p->next = *at;
		*at = p;
	}
	free(old);
}

void map_insert(struct map *m, struct map_page *p)
{
	struct map_page *old = find(m, p->no * MAP_PAGE), **at;

	if (old)
		evict(m, old);
	/* Most pages do not change any more; without memory it stays as it is. */
	if (p->cap - p->n > 8)
		page_resize(p, p->n);
	if (m->n == m->cap) {
		uint32_t cap = m->cap ? m->cap * 2 : 64;
		struct map_page **more = reallocarray(m->clock, cap, sizeof(*more));

		if (!more && !m->n) {	/* it will be asked for again, and again */
			map_page_free(p);
			return;
		}
		if (more) {
			m->bytes += (cap - m->cap) * sizeof(*more);
			m->clock = more;
			m->cap = cap;
		} else {
			evict(m, m->clock[0]);
		}
	}
	if (m->n >= m->buckets)
		rehash(m);
	at = bucket_of(m, p->no);
	p->next = *at;
	*at = p;
	p->slot = m->n;
	p->used = true;
	m->clock[m->n++] = p;
	m->bytes += page_bytes(p);
	shrink(m, p);
}

uint64_t map_bytes(const struct map *m)
{
	return m->bytes;
}

/* The last row that begins at or before sector. */
static uint32_t search(const struct map_page *p, uint32_t sector)
{
	uint32_t lo = 0, n = p->n;

	while (n > 1) {
		uint32_t half = n / 2;

		lo += p->start[lo + half] <= sector ? half : 0;
		n -= half;
	}
	return lo;
}

static uint32_t row_end(const struct map_page *p, uint32_t i)
{
	return i + 1 < p->n ? p->start[i + 1] : PAGE_SECTORS;
}

/* The rows of one page, from sector on. */
static unsigned find_in(const struct map_page *p, uint32_t sector, uint64_t end,
			struct map_run *r, unsigned max)
{
	unsigned n = 0;

	for (uint32_t i = search(p, sector); i < p->n && n < max; i++, n++) {
		uint64_t row = row_behind(p->row[i], sector - p->start[i]);

		r[n] = (struct map_run){
			.kind = row_kind(row), .layer = row >> LAYER_SHIFT & 255,
			.off = p->no * MAP_PAGE + (uint64_t)sector * SECTOR,
			.at = row_sector(row) * SECTOR,
		};
		if (r[n].off >= end)
			break;
		sector = row_end(p, i);
		r[n].len = p->no * MAP_PAGE + (uint64_t)sector * SECTOR - r[n].off;
		if (r[n].len > end - r[n].off)
			r[n].len = end - r[n].off;
	}
	return n;
}

unsigned map_find(struct map *m, uint64_t off, uint64_t end, struct map_run *r, unsigned max)
{
	unsigned n = 0;

	while (off < end && n < max) {
		struct map_page *p = find(m, off);

		if (!p)
			break;
		p->used = true;
		n += find_in(p, (uint32_t)(off % MAP_PAGE / SECTOR), end, r + n, max - n);
		off = r[n - 1].off + r[n - 1].len;
	}
	return n;
}

struct rows {
	unsigned n;
	uint64_t row[3];
	uint32_t start[3];
};

static void rows_add(struct rows *s, uint64_t row, uint32_t start, bool join)
{
	if (s->n && (join || row_kind(row) == DISK_ZERO) &&
	    joins(s->row[s->n - 1], row, start - s->start[s->n - 1]))
		return;
	s->row[s->n] = row;
	s->start[s->n++] = start;
}

/* Put row in the place of the sectors s..e of p. */
static int page_set(struct map_page *p, uint64_t row, uint32_t s, uint32_t e, bool left,
		    bool right)
{
	uint32_t i = search(p, s), j = search(p, e - 1), behind;
	struct rows new = { 0 };

	/* What is left of the rows at both ends, or the neighbours to be one with. */
	if (p->start[i] == s && i > 0)
		i--;
	if (row_end(p, j) == e && j + 1 < p->n)
		j++;
	if (p->start[i] < s)
		rows_add(&new, p->row[i], p->start[i], false);
	rows_add(&new, row, s, left);
	if (row_end(p, j) > e) {
		uint32_t from = p->start[j] > e ? p->start[j] : e;

		rows_add(&new, row_behind(p->row[j], from - p->start[j]), from, right);
	}
	behind = p->n - (j + 1);
	if (page_reserve(p, i + new.n + behind))
		return -ENOMEM;
	memmove(p->row + i + new.n, p->row + j + 1, behind * sizeof(*p->row));
	memmove(p->start + i + new.n, p->start + j + 1, behind * sizeof(*p->start));
	for (unsigned k = 0; k < new.n; k++) {
		p->row[i + k] = new.row[k];
		p->start[i + k] = (uint16_t)new.start[k];
	}
	p->n = i + new.n + behind;
	return 0;
}

void map_set(struct map *m, const struct map_run *r, bool left, bool right)
{
	uint64_t off = r->off, end = r->off + r->len;
	struct map_run part = *r;

	while (off < end) {
		uint64_t stop = (off / MAP_PAGE + 1) * MAP_PAGE, was;
		struct map_page *p = find(m, off);

		if (stop > end)
			stop = end;
		if (p) {
			part.at = r->kind == DISK_DATA ? r->at + (off - r->off) : r->at;
			was = page_bytes(p);
			if (page_set(p, pack(&part), (uint32_t)(off % MAP_PAGE / SECTOR),
				     (uint32_t)((off % MAP_PAGE + (stop - off)) / SECTOR),
				     left, right)) {
				evict(m, p);	/* it will be read again */
			} else {
				m->bytes += page_bytes(p) - was;
				p->used = true;
				shrink(m, p);
			}
		}
		off = stop;
	}
}
