/*
 * Another size of a seSparse extent.
 *
 * Where the areas have room for the new capacity only the header changes, one 8-byte
 * word at a time: the grain area's size, then capacity; shrinking, capacity alone, when
 * the tables have forgotten what lies behind it.
 *
 * Else areas must be greater, and stay in front of the grains:
 *
 *   1. the first grains are moved behind the last, as many as the new areas take;
 *      tables say so (data, tables, as with any write)
 *   2. where they were, directory, tables, bitmap and backmap are written anew: grains
 *      count from behind them                                          then a sync
 *   3. the journal changes the header: the old one counts, or the new
 *   4. the old areas are punched out
 *
 * Until 3 nothing that the old header leads to has changed but where some grains lie;
 * some may lie behind the end of the grain area, which their readers do not mind.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "disk/sesparse.h"
#include "disk/sesparse_journal.h"
#include "disk/sesparse_table.h"

#define MIB	2048u		/* sectors */
#define COPY	256u		/* grains moved at once, at most */
#define COPY_BYTES (1u << 20)	/* but no more than this, or one */

static int put_header(struct sesparse *s, const struct se_header *h, struct err *e)
{
	uint8_t buf[SECTOR];
	int rc;

	se_header_encode(buf, h);
	rc = file_write(s->x.file, buf, sizeof(buf), 0, e);
	if (!rc)
		rc = file_sync(s->x.file, e);
	if (rc)
		s->broken = true;	/* this header may yet appear */
	else
		s->h = *h;
	return rc;
}

/* What lies behind the end, in the last grain and in entries of a time when the disk was
 * larger, becomes part of the disk. */
static int clean_tail(struct sesparse *s, struct err *e)
{
	uint64_t in = s->x.size % s->x.grain, each = SE_GTES * s->x.grain;
	uint64_t from = (s->x.size + s->x.grain - 1) / s->x.grain * s->x.grain;
	uint64_t to = se_tables(&s->h) * each;
	struct disk_run run;
	int rc = 0;

	if (in) {
		rc = se_map(&s->x, s->x.size - in, SECTOR, &run, e);
		if (!rc && run.kind == DISK_DATA)
			rc = file_zero(s->x.file, run.off + in, s->x.grain - in, e);
	}
	if (!rc && from < to)
		rc = se_drop(&s->x, from, to - from, true, e);
	return rc ? rc : se_flush(&s->x, e);
}

/* A header of this capacity with the areas where they are; false: they are too small. */
static bool fits(const struct sesparse *s, uint64_t capacity, struct se_header *n)
{
	uint64_t size;

	*n = s->h;
	n->capacity = capacity;
	size = (se_grains(n) * n->grain + MIB - 1) / MIB * MIB;
	if (n->part[SE_GRAINS].size < size)
		n->part[SE_GRAINS].size = size;
	for (unsigned i = 0; i < SE_GRAINS; i++)
		if (n->part[i].off > n->part[SE_GRAINS].off)
			return false;
	return !se_header_writable(n, NULL);
}

static int grow_in_place(struct sesparse *s, const struct se_header *n, struct err *e)
{
	struct se_header h = s->h;
	int rc = 0;

	h.part[SE_GRAINS].size = n->part[SE_GRAINS].size;
	if (h.part[SE_GRAINS].size != s->h.part[SE_GRAINS].size)
		rc = put_header(s, &h, e);
	return rc ? rc : put_header(s, n, e);
}

struct moving {
	struct sesparse *s;
	struct sesparse to;	/* the new one, as far as tables are concerned */
	uint64_t first;		/* grains that make room */
	uint64_t next;		/* where the next of them goes */
	uint8_t *buf;		/* COPY grains, at most COPY_BYTES or one */
	struct err *e;
};

/* For each page of each table: its entries in a copy. */
static int each_page(struct moving *m,
		     int (*fn)(struct moving *m, struct se_entries *t, uint8_t *copy))
{
	uint64_t tables = se_tables(&m->s->h);
	uint8_t copy[SE_PAGE];
	struct se_entries t;
	int rc = 0;

	for (uint64_t g = 0; g < tables * SE_GTES && !rc; g += t.n) {
		rc = se_entries(m->s, g, &t, m->e);
		if (rc || !t.p)
			continue;
		memcpy(copy, t.p, SE_PAGE);
		rc = fn(m, &t, copy);
	}
	return rc;
}

static int find_last(struct moving *m, struct se_entries *t, uint8_t *copy)
{
	for (uint32_t i = 0; i < SE_PAGE_ENTRIES; i++) {
		uint64_t v = le64_get(copy + i * 8);

		if (se_type(v) == SE_ALLOCATED && se_grain(v) >= m->next)
			m->next = se_grain(v) + 1;
	}
	return 0;
}

static int copy_grains(struct moving *m, uint64_t from, uint64_t n)
{
	struct disk_file *f = m->s->x.file;
	uint64_t off = se_grain_off(m->s, from), len = n * m->s->x.grain;
	uint64_t have = off < f->size ? f->size - off : 0;
	int rc;

	if (have < len)
		memset(m->buf, 0, len);
	rc = file_read(f, m->buf, have < len ? have : len, off, m->e);
	return rc ? rc : file_write(f, m->buf, len, se_grain_off(m->s, m->next), m->e);
}

static int move_page(struct moving *m, struct se_entries *t, uint8_t *copy)
{
	struct sesparse *s = m->s;
	uint32_t max = COPY_BYTES / s->x.grain < COPY ? COPY_BYTES / s->x.grain : COPY;
	uint64_t room = se_room(&s->h);
	bool changed = false;
	uint8_t *p;
	int rc = 0;

	for (uint32_t i = 0, n; i < SE_PAGE_ENTRIES && !rc; i += n) {
		uint64_t v = le64_get(copy + i * 8), from = se_grain(v);

		n = 1;
		if (se_type(v) != SE_ALLOCATED || from >= m->first)
			continue;
		while (n < max && i + n < SE_PAGE_ENTRIES && from + n < m->first &&
		       le64_get(copy + (i + n) * 8) == se_entry(from + n))
			n++;
		rc = copy_grains(m, from, n);
		if (!rc && m->next < room)
			rc = se_take(s, m->next, n < room - m->next ? n : room - m->next,
				     t->table, m->e);
		for (uint32_t k = 0; k < n; k++)
			le64_put(copy + (i + k) * 8, se_entry(m->next++));
		changed = true;
	}
	if (rc || !changed)
		return rc;
	p = se_page(s, t->block, false, &rc, m->e);
	if (!p)
		return rc;
	memcpy(p, copy, SE_PAGE);
	meta_dirty(s->m, t->block, SE_LEVEL_GT);
	return meta_dirty_bytes(s->m) > s->dirty_max ? se_flush(&s->x, m->e) : 0;
}

/* A page of a table in its new place. */
static int write_page(struct moving *m, struct se_entries *t, uint8_t *copy)
{
	uint64_t in = t->block - se_table_off(m->s, t->table), v;
	uint64_t block = se_table_off(&m->to, t->table) + in;
	uint8_t *p;
	int rc = 0;

	for (uint32_t i = 0, n; i < SE_PAGE_ENTRIES && !rc; i += n) {
		v = le64_get(copy + i * 8);
		n = 1;
		if (se_type(v) == SE_UNMAPPED)
			le64_put(copy + i * 8, (uint64_t)SE_ZERO << SE_TYPE_SHIFT);
		if (se_type(v) != SE_ALLOCATED)
			continue;
		while (i + n < SE_PAGE_ENTRIES &&
		       le64_get(copy + (i + n) * 8) == se_entry(se_grain(v) + n))
			n++;
		for (uint32_t k = 0; k < n; k++)
			le64_put(copy + (i + k) * 8, se_entry(se_grain(v) + k - m->first));
		rc = se_take(&m->to, se_grain(v) - m->first, n, t->table, m->e);
	}
	p = rc ? NULL : se_page(&m->to, block, true, &rc, m->e);
	if (!p)
		return rc;
	memcpy(p, copy, SE_PAGE);
	meta_dirty(m->to.m, block, SE_LEVEL_GT);
	return meta_dirty_bytes(m->to.m) > m->s->dirty_max ? meta_flush(m->to.m, m->e) : 0;
}

static int write_directory(struct moving *m)
{
	uint64_t tables = se_tables(&m->s->h), table;
	bool there;
	int rc = 0;

	for (uint64_t i = 0; i < tables && !rc; i++) {
		rc = se_table_at(m->s, i, &there, &table, m->e);
		if (rc || !there)
			continue;
		if ((table + 1) * SE_GT_SECTORS > m->to.h.part[SE_TABLES].size)
			rc = err_set(m->e, -ENOTSUP, "%s: its tables are numbered too high to be "
				     "moved", m->s->x.file->path);
		else
			rc = se_table_set(&m->to, i, table, m->e);
	}
	return rc ? rc : meta_flush(m->to.m, m->e);
}

/* Steps 1 and 2. */
static int make_areas(struct moving *m, uint64_t at)
{
	struct sesparse *s = m->s;
	uint64_t end = m->to.h.part[SE_GRAINS].off * SECTOR;
	int rc = each_page(m, find_last);

	if (m->next < m->first)
		m->next = m->first;
	if (!rc)
		rc = each_page(m, move_page);
	if (!rc)
		rc = se_flush(&s->x, m->e);
	if (!rc && m->next - m->first > se_room(&m->to.h))
		rc = err_set(m->e, -ENOSPC, "%s: grains lie too far behind to be moved",
			     s->x.file->path);
	if (!rc && s->x.file->size < end)
		rc = file_resize(s->x.file, end, m->e);
	if (!rc)
		rc = file_punch(s->x.file, at * SECTOR, end - at * SECTOR, m->e);
	if (!rc)
		rc = each_page(m, write_page);
	return rc ? rc : write_directory(m);
}

static void punch_old(struct sesparse *s, const struct se_header *old)
{
	struct disk_file *f = s->x.file;

	for (unsigned i = SE_DIRECTORY; f->ops->punch && i < SE_GRAINS; i++)
		f->ops->punch(f, old->part[i].off * SECTOR, old->part[i].size * SECTOR, NULL);
}

static int grow_moving(struct sesparse *s, uint64_t capacity, struct err *e)
{
	struct moving m = { .s = s, .e = e };
	struct se_header old = s->h, n = s->h;
	uint64_t at = (old.part[SE_GRAINS].off + MIB - 1) / MIB * MIB;
	size_t buf = s->x.grain > COPY_BYTES ? s->x.grain : COPY_BYTES;
	int rc;

	n.capacity = capacity;
	se_layout(&n, at);
	m.first = (n.part[SE_GRAINS].off - old.part[SE_GRAINS].off + n.grain - 1) / n.grain;
	n.part[SE_GRAINS].off = old.part[SE_GRAINS].off + m.first * n.grain;
	rc = meta_new(&m.to.m, s->x.file, SE_PAGE, s->dirty_max * 2, e);
	if (rc)
		return rc;
	m.to.h = n;
	m.to.x = s->x;
	m.buf = malloc(buf);
	rc = m.buf ? make_areas(&m, at) : err_set(e, -ENOMEM, "no memory to move grains");
	free(m.buf);
	if (!rc) {
		rc = se_journal_switch(s->x.file, &old, &n, &s->v, e);
		s->broken = rc != 0;
	}
	if (rc) {
		meta_free(m.to.m);
		return rc;
	}
	meta_free(s->m);
	s->m = m.to.m;
	s->h = n;
	s->cursor = m.next - m.first;
	bits_free(&s->tables);
	s->tables_known = false;
	ranges_free(&s->reserved);
	punch_old(s, &old);
	return 0;
}

int se_resize(struct extent *x, uint64_t bytes, struct err *e)
{
	struct sesparse *s = se_of(x);
	uint64_t from = (bytes + x->grain - 1) / x->grain * x->grain;
	struct se_header n;
	struct err mine;
	int rc;

	if (!e)
		e = &mine;
	if (!x->writable)
		return err_set(e, -EROFS, "%s: is open for reading only", x->file->path);
	if (!bytes || bytes % SECTOR || (bytes > x->size && bytes > SESPARSE_SIZE_MAX))
		return err_in(e, err_set(e, -EINVAL, "a seSparse extent has 512 bytes to 62 TiB"),
			      x->file->path);
	rc = se_trust(s, e);
	if (!rc)
		rc = se_flush(x, e);
	if (!rc && bytes < x->size && from < x->size)
		rc = se_drop(x, from, x->size - from, true, e);
	if (!rc)
		rc = bytes > x->size ? clean_tail(s, e) : se_flush(x, e);
	if (rc)
		return rc;
	if (bytes <= x->size) {
		n = s->h;
		n.capacity = bytes / SECTOR;
		rc = put_header(s, &n, e);
	} else if (fits(s, bytes / SECTOR, &n)) {
		rc = grow_in_place(s, &n, e);
	} else {
		rc = grow_moving(s, bytes / SECTOR, e);
	}
	if (!rc)
		x->size = bytes;
	return rc;
}
