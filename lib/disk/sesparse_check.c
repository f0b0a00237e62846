/*
 * Looking for damage in seSparse extents, and mending it.
 *
 * All tables are walked to see which tables and grains are in use, and whether twice:
 * who comes first has it, who comes later gets a copy of its own.  Bitmap and backmap
 * are compared with that.  To mend, a first walk only sets the bits of grains in use, so
 * that copies find room that is free.  se_reclaim() is a part of that, for whoever finds
 * no room.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "disk/bits.h"
#include "disk/sesparse_table.h"

struct look {
	struct sesparse *s;
	const struct extent_check *k;
	bool tell, fix;		/* in this walk; fix without tell: bits alone */
	bool bitmap;		/* bitmap and backmap are as large as they should be */
	struct bits grains, tables;	/* in use */
	uint64_t tables_end;	/* behind the last one */
	uint64_t unmarked, backmap;	/* grains that the bitmap, the backmap does not have */
	uint64_t outside, shared, odd;	/* entries of the present table */
	struct err *e;
};

#define say(l, kind, leak, repaired, ...) \
	do { \
		if ((l)->tell) \
			(l)->k->report((l)->k->ptr, kind, leak, repaired, __VA_ARGS__); \
	} while (0)

static int add(struct look *l, struct bits *b, uint64_t i, bool *had)
{
	return bits_add(b, i, 1, had) ? err_set(l->e, -ENOMEM, "no memory for a map of the "
						"file") : 0;
}

/* A table that two directory entries have: the second gets a copy. */
static int copy_table(struct look *l, uint64_t i, uint64_t *table)
{
	uint64_t from = se_table_off(l->s, *table), to;
	uint8_t copy[SE_PAGE], *p;
	int rc = se_table_new(l->s, &to, l->e);
	bool had;

	for (uint64_t off = 0; off < SE_GT_SECTORS * SECTOR && !rc; off += SE_PAGE) {
		p = se_page(l->s, from + off, false, &rc, l->e);
		if (!p)
			break;
		memcpy(copy, p, SE_PAGE);
		p = se_page(l->s, se_table_off(l->s, to) + off, true, &rc, l->e);
		if (!p)
			break;
		memcpy(p, copy, SE_PAGE);
		meta_dirty(l->s->m, se_table_off(l->s, to) + off, SE_LEVEL_GT);
	}
	if (!rc)
		rc = se_table_set(l->s, i, to, l->e);
	if (!rc)
		rc = add(l, &l->tables, to, &had);
	*table = to;
	return rc;
}

static int check_table(struct look *l, uint64_t i, bool *there)
{
	uint64_t table;
	bool had = false, mend = l->fix && l->tell;
	int rc = se_table_at(l->s, i, there, &table, l->e);

	if (rc == -EBADMSG) {
		*there = false;
		rc = mend ? se_table_clear(l->s, i, l->e) : 0;
		say(l, "directory", false, mend && !rc, "grain directory entry %" PRIu64
		    " leads outside the tables: what this layer had in these %" PRIu64
		    " bytes is lost", i, SE_GTES * l->s->x.grain);
		return rc;
	}
	if (rc || !*there)
		return rc;
	rc = add(l, &l->tables, table, &had);
	if (!rc && had) {
		rc = mend ? copy_table(l, i, &table) : 0;
		say(l, "overlap", false, mend && !rc, "the grain table of directory entry %"
		    PRIu64 " is another's, too", i);
	}
	if (table >= l->tables_end)
		l->tables_end = table + 1;
	return rc;
}

/* Bit and backmap of a grain in use. */
static int check_marks(struct look *l, uint64_t grain, uint64_t table)
{
	bool taken = true;
	uint64_t back = table;
	int rc;

	if (!l->bitmap || grain >= se_room(&l->s->h))
		return 0;
	rc = se_is_taken(l->s, grain, &taken, l->e);
	if (!rc)
		rc = se_backmap(l->s, grain, &back, l->e);
	l->unmarked += !taken;
	l->backmap += taken && back != table;
	if (!rc && l->fix && (!taken || back != table))
		rc = se_take(l->s, grain, 1, table, l->e);
	return rc;
}

/* A grain that another has already: the copy's number in *grain. */
static int copy_grain(struct look *l, uint64_t *grain, uint64_t table)
{
	struct sesparse *s = l->s;
	struct disk_file *f = s->x.file;
	uint64_t off = se_grain_off(s, *grain), to, n, have = f->size - off;
	uint8_t *buf = calloc(1, s->x.grain);
	int rc = buf ? 0 : err_set(l->e, -ENOMEM, "no memory to copy a grain");
	bool had;

	if (!rc)
		rc = se_find(s, 1, &to, &n, l->e);
	if (!rc)
		rc = file_read(f, buf, have < s->x.grain ? have : s->x.grain, off, l->e);
	if (!rc)
		rc = file_write(f, buf, s->x.grain, se_grain_off(s, to), l->e);
	if (!rc)
		rc = se_take(s, to, 1, table, l->e);
	if (!rc)
		rc = add(l, &l->grains, to, &had);
	free(buf);
	if (!rc)
		*grain = to;
	return rc;
}

/* Entry v of disk grain g; *v: what it should be. */
static int check_entry(struct look *l, uint64_t g, uint64_t table, uint64_t *v)
{
	uint64_t grain = se_grain(*v);
	bool had;
	int rc;

	if (se_type(*v) == SE_UNMAPPED || se_type(*v) == SE_ZERO || !*v)
		return 0;
	if (se_type(*v) != SE_ALLOCATED) {
		l->odd++;
		*v = 0;
		return 0;
	}
	if (!se_in_file(l->s, g, grain)) {
		l->outside++;
		*v = 0;
		return 0;
	}
	rc = add(l, &l->grains, grain, &had);
	if (rc || !had)
		return rc ? rc : check_marks(l, grain, table);
	l->shared++;
	if (l->fix && l->tell) {
		rc = copy_grain(l, &grain, table);
		*v = se_entry(grain);
	}
	return rc;
}

/* Entries from disk grain g on, in one page. */
static int check_page(struct look *l, uint64_t g, uint64_t end, uint32_t *n)
{
	uint8_t copy[SE_PAGE], *p;
	struct se_entries t;
	bool changed = false;
	int rc = se_entries(l->s, g, &t, l->e);

	if (rc)
		return rc;
	*n = t.n < end - g ? t.n : end - g;
	if (!t.p)
		return 0;
	memcpy(copy, t.p, *n * 8);
	for (uint32_t i = 0; i < *n && !rc; i++) {
		uint64_t old = le64_get(copy + i * 8), v = old;

		rc = check_entry(l, g + i, t.table, &v);
		le64_put(copy + i * 8, v);
		changed |= v != old;
	}
	if (rc || !changed || !l->fix || !l->tell)
		return rc;
	rc = se_entries(l->s, g, &t, l->e);
	if (rc)
		return rc;
	p = t.p;
	memcpy(p, copy, *n * 8);
	meta_dirty(l->s->m, t.block, SE_LEVEL_GT);
	return meta_dirty_bytes(l->s->m) > l->s->dirty_max ? se_flush(&l->s->x, l->e) : 0;
}

static int check_grains(struct look *l, uint64_t i)
{
	uint64_t g = i * SE_GTES, end = g + SE_GTES;
	uint32_t n;
	int rc = 0;

	l->outside = l->shared = l->odd = 0;
	if (end > se_grains(&l->s->h))
		end = se_grains(&l->s->h);
	for (; g < end && !rc; g += n)
		rc = check_page(l, g, end, &n);
	if (l->odd)
		say(l, "entry", false, l->fix && !rc, "grain table of directory entry %" PRIu64
		    ": %" PRIu64 " entries of no known type", i, l->odd);
	if (l->outside)
		say(l, "outside", false, l->fix && !rc, "grain table of directory entry %" PRIu64
		    ": %" PRIu64 " entries lead outside the file, what this layer had there is "
		    "lost", i, l->outside);
	if (l->shared)
		say(l, "overlap", false, l->fix && !rc, "grain table of directory entry %" PRIu64
		    ": %" PRIu64 " grains are others', too", i, l->shared);
	return rc;
}

/* Is one checking, and stopped?  Repairing, the second walk is the one that tells. */
static int go_on(const struct look *l, uint64_t i)
{
	uint64_t tables = se_tables(&l->s->h);

	if (!l->k)
		return 0;
	return extent_check_go_on(l->k, (l->k->repair && l->tell ? tables : 0) + i,
				  (l->k->repair ? 2 : 1) * tables, l->e);
}

static int walk(struct look *l, bool tell, bool fix)
{
	struct sesparse *s = l->s;
	bool there;
	int rc = 0;

	l->tell = tell;
	l->fix = fix;
	l->tables_end = l->unmarked = l->backmap = 0;
	bits_free(&l->grains);
	bits_free(&l->tables);
	for (uint64_t i = 0; i < se_tables(&s->h) && !rc; i++) {
		rc = go_on(l, i);
		if (!rc)
			rc = check_table(l, i, &there);
		if (!rc && there)
			rc = check_grains(l, i);
	}
	return rc;
}

/* Bits in from..end of grains that no table has. */
static int find_lost(struct look *l, uint64_t from, uint64_t end, struct ranges *lost,
		     uint64_t *n)
{
	uint64_t stop;
	int rc;

	for (uint64_t at = from; at < end; at = stop) {
		rc = se_next(l->s, at, end, true, &at, l->e);
		if (!rc)
			rc = se_next(l->s, at, end, false, &stop, l->e);
		if (rc)
			return rc;
		for (; at < stop; at++) {
			if (bits_has(&l->grains, at))
				continue;
			++*n;
			if (l->fix && ranges_add(lost, at, 1))
				return err_set(l->e, -ENOMEM, "no memory for a list of grains");
		}
	}
	return 0;
}

/* The same of the whole bitmap, most of which may be a hole. */
static int check_leaks(struct look *l)
{
	struct sesparse *s = l->s;
	struct ranges lost = { 0 };
	uint64_t area = s->h.part[SE_BITMAP].off * SECTOR, room = se_room(&s->h), n = 0;
	uint64_t from = 0, start, end;
	int rc = 0;

	while (from < room && !rc) {
		rc = file_data(s->x.file, area + from / SE_PAGE_BITS * SE_PAGE, &start, &end,
			       l->e);
		if (rc || start == end || start >= area + (room + 7) / 8)
			break;
		if ((start - area) / SE_PAGE * SE_PAGE_BITS > from)
			from = (start - area) / SE_PAGE * SE_PAGE_BITS;
		end = ((end - area + SE_PAGE - 1) / SE_PAGE) * SE_PAGE_BITS;
		rc = find_lost(l, from, end < room ? end : room, &lost, &n);
		from = end;
	}
	/* What drop() gives up takes the same way. */
	if (!rc && l->fix && ranges_move(&s->dropped, &lost))
		rc = err_set(l->e, -ENOMEM, "no memory for a list of grains");
	ranges_free(&lost);
	if (!rc && l->fix)
		rc = se_flush(&s->x, l->e);
	if (n)
		say(l, "leak", true, l->fix && !rc, "%" PRIu64 " bytes of the file belong to no "
		    "grain", n * s->x.grain);
	return rc;
}

int se_reclaim(struct sesparse *s, struct err *e)
{
	struct err mine;
	struct look l = { .s = s, .bitmap = true, .e = e ? e : &mine };
	int rc = se_flush(&s->x, l.e);

	if (!rc)
		rc = walk(&l, false, false);
	l.fix = true;
	if (!rc)
		rc = check_leaks(&l);
	s->reclaimed = !rc;
	bits_free(&l.grains);
	bits_free(&l.tables);
	return rc;
}

static void tell_marks(struct look *l, uint64_t unmarked, uint64_t backmap)
{
	if (unmarked)
		say(l, "bitmap", false, l->fix, "freeBitmap says of %" PRIu64
		    " grains in use that they are free", unmarked);
	if (backmap)
		say(l, "backmap", false, l->fix, "backMap leads to another table for %" PRIu64
		    " grains", backmap);
}

/* What was set in memory alone so far, to be written. */
static int begin_repair(struct look *l, uint64_t *unmarked, uint64_t *backmap)
{
	struct sesparse *s = l->s;
	int rc;

	if (s->foreign_journal) {
		s->foreign_journal = s->v.replay = false;
		s->v_dirty = true;
	}
	rc = walk(l, false, true);
	*unmarked = l->unmarked;
	*backmap = l->backmap;
	if (!rc && s->v.free_gt < l->tables_end) {
		s->v.free_gt = l->tables_end;
		s->v_dirty = true;
	}
	s->tables_known = false;
	s->sign = true;
	return rc ? rc : se_believe(s, l->e);
}

int se_check(struct extent *x, const struct extent_check *k, struct err *e)
{
	struct sesparse *s = se_of(x);
	struct err mine, no;
	struct look l = { .s = s, .k = k, .tell = true, .fix = k->repair, .e = e ? e : &mine };
	uint64_t unmarked = 0, backmap = 0, free_gt = s->v.free_gt;
	int rc = 0;

	l.bitmap = !se_header_writable(&s->h, &no);
	if (!l.bitmap) {
		k->report(k->ptr, "area", false, false, "%s", no.msg);
		l.fix = false;
	}
	if (s->foreign_journal)
		say(&l, "journal", false, l.fix, "the journal is to be replayed, which only the "
		    "program that wrote it can do: what it has is lost when this is repaired");
	if (l.fix)
		rc = begin_repair(&l, &unmarked, &backmap);
	if (!rc)
		rc = walk(&l, true, k->repair && l.bitmap);
	if (rc)
		goto out;
	if (free_gt < l.tables_end)
		say(&l, "free", false, l.fix, "FreeGTNumber is %" PRIu64 ", but tables up to %"
		    PRIu64 " are used", free_gt, l.tables_end);
	tell_marks(&l, l.fix ? unmarked : l.unmarked, l.fix ? backmap : l.backmap);
	if (l.fix)
		rc = se_flush(x, l.e);
	if (!rc && l.bitmap)
		rc = check_leaks(&l);
out:
	bits_free(&l.grains);
	bits_free(&l.tables);
	return rc;
}
