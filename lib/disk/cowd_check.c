/*
 * Looking for damage in vmfsSparse extents, and mending it.
 *
 * All tables are walked once to see what each takes of the file, and whether something
 * else has it already: who comes first has it, who comes later gets a copy of its own.
 * To mend, a first walk only finds the end of what is used, so that copies do not get
 * in the way.  What no table has and is no hole is room that was lost.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/le.h"
#include "disk/bits.h"
#include "disk/cowd_table.h"

#define PAGE	8u		/* sectors: lost room is counted in such pieces */
#define COPY	(1u << 20)	/* bytes of a grain moved at once */

struct look {
	struct cowd *c;
	const struct extent_check *k;
	bool tell, fix;		/* in this walk */
	struct bits used;	/* sectors */
	uint64_t end;		/* behind the last one */
	struct err *e;
};

#define say(l, kind, leak, repaired, ...) \
	do { \
		if ((l)->tell) \
			(l)->k->report((l)->k->ptr, kind, leak, repaired, __VA_ARGS__); \
	} while (0)

static int take(struct look *l, uint64_t sector, uint64_t n, bool *had)
{
	if (sector + n > l->end)
		l->end = sector + n;
	return bits_add(&l->used, sector, n, had) ? err_set(l->e, -ENOMEM, "no memory for a "
							    "map of the file") : 0;
}

/* The sectors from..from+n, copied to a place of their own. */
static int copy_sectors(struct look *l, uint64_t from, uint32_t n, uint32_t *to)
{
	struct disk_file *f = l->c->x.file;
	uint64_t size = (uint64_t)n * SECTOR, start, got, have = f->size - from * SECTOR;
	uint8_t *buf = malloc(COPY);
	int rc = buf ? 0 : err_set(l->e, -ENOMEM, "no memory to copy a grain");
	bool had;

	if (!rc)
		rc = cowd_room(l->c, n, n, &start, &got, l->e);
	if (have > size)
		have = size;
	for (uint64_t at = 0; at < have && !rc; at += COPY) {
		uint64_t some = have - at < COPY ? have - at : COPY;

		rc = file_read(f, buf, some, from * SECTOR + at, l->e);
		if (!rc)
			rc = file_write(f, buf, some, start * SECTOR + at, l->e);
	}
	free(buf);
	if (!rc)
		rc = take(l, start, n, &had);
	if (!rc)
		*to = start;
	return rc;
}

/* The table of directory entry i: 0 when there is none, or none that can be. */
static int check_table(struct look *l, uint32_t i, uint32_t *table)
{
	int rc = cowd_table_at(l->c, i, table, l->e);
	bool had = false;

	if (rc == -EBADMSG) {
		*table = 0;
		rc = l->fix ? cowd_table_set(l->c, i, 0, l->e) : 0;
		say(l, "directory", false, l->fix && !rc, "grain directory entry %" PRIu32
		    " leads outside the file: what this layer had in these %" PRIu64
		    " bytes is lost", i, COWD_GTES * l->c->x.grain);
		return rc;
	}
	if (rc || !*table)
		return rc;
	rc = take(l, *table, COWD_GT_SECTORS, &had);
	if (rc || !had)
		return rc;
	if (l->fix) {
		rc = copy_sectors(l, *table, COWD_GT_SECTORS, table);
		if (!rc)
			rc = cowd_table_set(l->c, i, *table, l->e);
	}
	say(l, "overlap", false, l->fix && !rc, "the grain table of directory entry %" PRIu32
	    " shares its room with another or with the header", i);
	return rc;
}

static bool in_file(const struct look *l, uint64_t g, uint32_t v)
{
	uint64_t bytes = l->c->x.size - g * l->c->x.grain;

	if (bytes > l->c->x.grain)
		bytes = l->c->x.grain;
	return v >= COWD_HEADER_SECTORS && (uint64_t)v * SECTOR + bytes <= l->c->x.file->size;
}

static int set_entry(struct look *l, uint64_t g, uint32_t v)
{
	uint64_t block;
	uint32_t n;
	uint8_t *p;
	int rc = cowd_entries_new(l->c, g, &p, &n, &block, l->e);

	if (rc)
		return rc;
	le32_put(p, v);
	meta_dirty(l->c->m, block, COWD_LEVEL_GT);
	return 0;
}

/* One grain whose entry is v. */
static int check_entry(struct look *l, uint64_t g, uint32_t v, uint64_t *outside,
		       uint64_t *shared)
{
	uint32_t unit = cowd_unit(l->c), to;
	bool had;
	int rc;

	if (!in_file(l, g, v)) {
		++*outside;
		return l->fix ? set_entry(l, g, COWD_ABSENT) : 0;
	}
	rc = take(l, v, unit, &had);
	if (rc || !had)
		return rc;
	++*shared;
	if (!l->fix)
		return 0;
	rc = copy_sectors(l, v, unit, &to);
	return rc ? rc : set_entry(l, g, to);
}

static int check_grains(struct look *l, uint32_t i)
{
	uint64_t g = (uint64_t)i * COWD_GTES, end = g + COWD_GTES, outside = 0, shared = 0;
	uint8_t copy[SECTOR], *p;
	uint64_t block;
	uint32_t n;
	int rc = 0;

	if (end > cowd_grains(l->c))
		end = cowd_grains(l->c);
	while (g < end && !rc) {
		rc = cowd_entries(l->c, g, &p, &n, &block, l->e);
		if (rc || !p)
			break;
		if (n > end - g)
			n = end - g;
		for (uint32_t k = 0; k < n; k++)
			le32_put(copy + k * 4, le32_get(p + k * 4));
		for (uint32_t k = 0; k < n && !rc; k++, g++) {
			uint32_t v = le32_get(copy + k * 4);

			if (v != COWD_ABSENT && v != COWD_ZERO)
				rc = check_entry(l, g, v, &outside, &shared);
		}
	}
	if (outside)
		say(l, "outside", false, l->fix && !rc, "grain table %" PRIu32 ": %" PRIu64
		    " entries lead outside the file, what this layer had there is lost", i,
		    outside);
	if (shared)
		say(l, "overlap", false, l->fix && !rc, "grain table %" PRIu32 ": %" PRIu64
		    " grains share their room with others or with tables", i, shared);
	return rc;
}

static int walk(struct look *l, bool tell, bool fix)
{
	struct cowd *c = l->c;
	uint32_t tables = cowd_tables(c->h.capacity, c->h.grain), table;
	bool had;
	int rc;

	l->tell = tell;
	l->fix = fix;
	l->end = 0;
	bits_free(&l->used);
	rc = take(l, 0, COWD_HEADER_SECTORS, &had);
	if (!rc)
		rc = take(l, c->h.gd, cowd_gd_sectors(c->h.gd_entries), &had);
	/* First all tables: where a grain lies in one, the table is believed. */
	for (uint32_t i = 0; i < tables && !rc; i++)
		rc = check_table(l, i, &table);
	for (uint32_t i = 0; i < tables && !rc; i++) {
		/* Repairing, this is the second walk, if it tells what it finds. */
		rc = extent_check_go_on(l->k, (l->k->repair && tell ? tables : 0) + (uint64_t)i,
					(l->k->repair ? 2 : 1) * (uint64_t)tables, l->e);
		if (rc)
			break;
		if (!cowd_table_at(c, i, &table, l->e) && table)
			rc = check_grains(l, i);
		if (!rc && fix && meta_dirty_bytes(c->m) > c->dirty_max)
			rc = cowd_flush(&c->x, l->e);
	}
	return rc;
}

/* Lost sectors in start..end, in whole pages; punched out if that is to be. */
static uint64_t lost_in(struct look *l, uint64_t start, uint64_t end)
{
	struct disk_file *f = l->c->x.file;
	uint64_t lost = 0, from = 0, len = 0;

	start = (start + PAGE - 1) / PAGE * PAGE;
	for (uint64_t s = start; s + PAGE <= end + PAGE; s += PAGE) {
		bool free = s + PAGE <= end;

		for (uint32_t i = 0; i < PAGE && free; i++)
			free = !bits_has(&l->used, s + i);
		if (free) {
			if (!len)
				from = s;
			len += PAGE;
		} else if (len) {
			lost += len;
			if (l->fix && f->ops->punch)
				f->ops->punch(f, from * SECTOR, len * SECTOR, NULL);
			len = 0;
		}
	}
	return lost;
}

static int check_leaks(struct look *l)
{
	struct disk_file *f = l->c->x.file;
	uint64_t at = 0, start, end, lost = 0;
	int rc = 0;

	while (at < f->size) {
		rc = file_data(f, at, &start, &end, l->e);
		if (rc || start == end)
			break;
		lost += lost_in(l, start / SECTOR, end / SECTOR);
		at = end;
	}
	if (lost)
		say(l, "leak", true, l->fix && f->ops->punch, "%" PRIu64
		    " bytes of the file belong to no grain", lost * SECTOR);
	return rc;
}

/* The header: freeSector, and what says that its last user died. */
static int check_header(struct look *l)
{
	struct cowd *c = l->c;
	static const uint8_t clean[4];
	int rc = 0;

	if (c->lost)
		say(l, "header", false, l->fix, "the header is lost; what it said follows from the "
		    "descriptor");
	if (c->h.free < l->end)
		say(l, "free", false, l->fix, "freeSector is %" PRIu32
		    ", but sectors up to %" PRIu64 " are used", c->h.free, l->end);
	if (c->h.unclean || (c->h.flags & COWD_INCONSISTENT))
		say(l, "unclean", true, l->fix, "the last program that wrote to it did not "
		    "close it");
	if (!l->fix)
		return 0;
	c->next = l->end;
	if (c->lost || c->h.free < l->end || c->h.free > l->end) {
		c->h.free = l->end;
		c->mark_dirty = true;
		c->lost = false;
	}
	if (c->h.flags & COWD_INCONSISTENT)
		c->mark_dirty = true;
	c->h.flags &= ~COWD_INCONSISTENT;
	if (c->h.unclean)
		rc = file_write(c->x.file, clean, sizeof(clean), COWD_UNCLEAN, l->e);
	c->h.unclean = rc != 0;
	return rc;
}

int cowd_check(struct extent *x, const struct extent_check *k, struct err *e)
{
	struct err mine;
	struct look l = { .c = (struct cowd *)x, .k = k, .e = e ? e : &mine };
	int rc = 0;

	if (k->repair) {
		/* Grains given up before may have lain in others and in tables: they are
		 * looked for anew. */
		ranges_free(&l.c->avail);
		ranges_free(&l.c->dropped);
		rc = walk(&l, false, false);
		if (!rc && l.end > l.c->next) {
			l.c->next = l.end;
			l.c->looked = false;
		}
	}
	if (!rc)
		rc = walk(&l, true, k->repair);
	if (!rc)
		rc = cowd_flush(x, e);		/* before what was given up is punched */
	if (!rc)
		rc = check_leaks(&l);
	if (!rc)
		rc = check_header(&l);
	if (!rc && k->repair)
		rc = cowd_flush(x, e);
	bits_free(&l.used);
	return rc;
}
