/*
 * Which grains of a seSparse file are free: bit n of the bitmap is set while grain n is
 * in use.  Room is looked for from the last used grain on; when the end of the grain
 * area is reached, what was freed before it is used, and at last what was lost in
 * crashes: grains that have their bit, but no table.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/le.h"
#include "disk/sesparse_journal.h"
#include "disk/sesparse_table.h"

#define LOOK_BACK	64	/* pages of the bitmap looked through for the last used grain */

static uint64_t bitmap_page(const struct sesparse *s, uint64_t grain)
{
	return s->h.part[SE_BITMAP].off * SECTOR + grain / SE_PAGE_BITS * SE_PAGE;
}

int se_next(struct sesparse *s, uint64_t from, uint64_t end, bool taken, uint64_t *at,
	    struct err *e)
{
	while (from < end) {
		uint64_t base = from / SE_PAGE_BITS * SE_PAGE_BITS, i = from - base, v;
		int rc;
		const uint8_t *p = se_page(s, bitmap_page(s, from), false, &rc, e);

		if (!p)
			return rc;
		for (; i < SE_PAGE_BITS; i = (i / 64 + 1) * 64) {
			v = le64_get(p + i / 64 * 8) ^ (taken ? 0 : UINT64_MAX);
			v &= UINT64_MAX << i % 64;
			if (!v)
				continue;
			*at = base + i / 64 * 64 + __builtin_ctzll(v);
			if (*at > end)
				*at = end;
			return 0;
		}
		from = base + SE_PAGE_BITS;
	}
	*at = end;
	return 0;
}

int se_is_taken(struct sesparse *s, uint64_t grain, bool *taken, struct err *e)
{
	int rc;
	const uint8_t *p = se_page(s, bitmap_page(s, grain), false, &rc, e);

	if (p)
		*taken = p[grain % SE_PAGE_BITS / 8] >> (grain % 8) & 1;
	return rc;
}

static int set_bits(struct sesparse *s, uint64_t start, uint64_t n, bool to, struct err *e)
{
	while (n) {
		uint64_t page = bitmap_page(s, start), in = start % SE_PAGE_BITS;
		int rc;
		uint8_t *p = se_page(s, page, false, &rc, e);

		if (!p)
			return rc;
		for (; n && in < SE_PAGE_BITS; n--, in++, start++) {
			if (to)
				p[in / 8] |= 1u << in % 8;
			else
				p[in / 8] &= ~(1u << in % 8);
		}
		meta_dirty(s->m, page, SE_LEVEL_BITMAP);
	}
	return 0;
}

static uint64_t backmap_page(const struct sesparse *s, uint64_t grain, uint32_t *in)
{
	*in = grain % SE_PAGE_ENTRIES * 8;
	return s->h.part[SE_BACKMAP].off * SECTOR + grain / SE_PAGE_ENTRIES * SE_PAGE;
}

int se_backmap(struct sesparse *s, uint64_t grain, uint64_t *table, struct err *e)
{
	uint32_t in;
	int rc;
	const uint8_t *p = se_page(s, backmap_page(s, grain, &in), false, &rc, e);

	if (p)
		*table = le64_get(p + in);
	return rc;
}

int se_take(struct sesparse *s, uint64_t start, uint64_t n, uint64_t table, struct err *e)
{
	int rc = set_bits(s, start, n, true, e);

	while (n && !rc) {
		uint32_t in;
		uint64_t page = backmap_page(s, start, &in);
		uint8_t *p = se_page(s, page, false, &rc, e);

		if (!p)
			return rc;
		for (; n && in < SE_PAGE; n--, in += 8, start++)
			le64_put(p + in, table);
		meta_dirty(s->m, page, SE_LEVEL_BITMAP);
	}
	return rc;
}

int se_clear(struct sesparse *s, uint64_t start, uint64_t n, struct err *e)
{
	return set_bits(s, start, n, false, e);
}

/* Another program wrote the bitmap, and nobody has published what it means: believe it
 * when each grain in use has its bit. */
static int compare(struct sesparse *s, struct err *e)
{
	uint64_t g = 0, grains = se_grains(&s->h), room = se_room(&s->h);
	uint8_t copy[SE_PAGE];
	struct se_entries t;
	bool taken = true;

	while (g < grains) {
		int rc = se_entries(s, g, &t, e);

		if (rc)
			return rc;
		if (t.p && t.table >= s->v.free_gt) {
			s->v.free_gt = t.table + 1;
			s->v_dirty = true;
		}
		if (t.p)
			memcpy(copy, t.p, t.n * 8);
		for (uint32_t i = 0; t.p && i < t.n; i++) {
			uint64_t v = le64_get(copy + i * 8), n = se_grain(v);

			if (se_type(v) != SE_ALLOCATED)
				continue;
			rc = n < room ? se_is_taken(s, n, &taken, e) : 0;
			if (rc)
				return rc;
			if (n >= room || !taken)
				return err_in(e, err_set(e, -EBADMSG, "freeBitmap does not have "
							 "grain %" PRIu64 ", which is in use: "
							 "it cannot be written to before it is "
							 "checked and repaired", n),
					      s->x.file->path);
		}
		g += t.n;
	}
	return 0;
}

/* Behind the last used grain, or some free ones behind it. */
static int find_cursor(struct sesparse *s, struct err *e)
{
	uint64_t first = s->h.part[SE_GRAINS].off * SECTOR, room = se_room(&s->h), at, next;
	uint64_t end = s->x.file->size > first ?
		       (s->x.file->size - first + s->x.grain - 1) / s->x.grain : 0;
	int rc = 0;

	if (end > room)
		end = room;
	s->cursor = end;
	for (unsigned i = 0; end && i < LOOK_BACK; i++) {
		uint64_t from = (end - 1) / SE_PAGE_BITS * SE_PAGE_BITS;
		bool found = false;

		for (at = from; at < end; at = next) {
			rc = se_next(s, at, end, true, &at, e);
			if (!rc && at < end)
				rc = se_next(s, at, end, false, &next, e);
			if (rc)
				return rc;
			if (at == end)
				break;
			found = true;
			s->cursor = next;
		}
		if (found)
			return 0;
		s->cursor = end = from;
	}
	return 0;
}

int se_believe(struct sesparse *s, struct err *e)
{
	int rc = find_cursor(s, e);

	s->trusted = !rc;
	return rc;
}

int se_trust(struct sesparse *s, struct err *e)
{
	int rc;

	if (s->trusted)
		return 0;
	if (s->foreign_journal)
		return err_set(e, -ENOTSUP, "%s: its journal is to be replayed", s->x.file->path);
	rc = se_header_writable(&s->h, e);
	if (rc)
		return err_in(e, rc, s->x.file->path);
	if (!se_journal_ours(s->x.file, &s->h, s->v.next_txn)) {
		rc = compare(s, e);
		s->sign = !rc;
	}
	return rc ? rc : se_believe(s, e);
}

/* A run of free grains in from..end that is not set aside; n 0: there is none. */
static int find_in(struct sesparse *s, uint64_t from, uint64_t end, uint64_t want,
		   uint64_t *start, uint64_t *n, struct err *e)
{
	uint64_t stop, skip;
	int rc = 0;

	*n = 0;
	while (from < end && !*n) {
		rc = se_next(s, from, end, false, start, e);
		if (rc || *start == end)
			return rc;
		stop = end - *start < want ? end : *start + want;
		rc = se_next(s, *start, stop, true, &stop, e);
		if (rc)
			return rc;
		*n = ranges_gap(&s->reserved, *start, stop - *start, &skip);
		from = skip;		/* when n is 0 */
	}
	return rc;
}

int se_find(struct sesparse *s, uint64_t want, uint64_t *start, uint64_t *n,
	    struct err *e)
{
	uint64_t room = se_room(&s->h);
	int rc = se_trust(s, e);

	if (!rc)
		rc = find_in(s, s->cursor, room, want, start, n, e);
	if (!rc && !*n)
		rc = find_in(s, 0, room, want, start, n, e);
	if (!rc && !*n && s->dropped.n) {
		rc = se_flush(&s->x, e);
		if (!rc)
			rc = find_in(s, 0, room, want, start, n, e);
	}
	if (!rc && !*n && !s->reclaimed) {
		rc = se_reclaim(s, e);
		if (!rc)
			rc = find_in(s, 0, room, want, start, n, e);
	}
	if (rc)
		return rc;
	if (!*n)
		return err_in(e, err_set(e, -ENOSPC, "no grain is left"), s->x.file->path);
	if (ranges_add(&s->reserved, *start, *n))
		return err_set(e, -ENOMEM, "no memory for a list of grains");
	s->cursor = *start + *n;
	return 0;
}

void se_return(struct sesparse *s, uint64_t start, uint64_t n)
{
	ranges_remove(&s->reserved, start, n);
	if (start + n == s->cursor)
		s->cursor = start;
}
