#include "disk/sesparse_table.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/le.h"

uint8_t *se_page(struct sesparse *s, uint64_t off, bool fresh, int *rc, struct err *e)
{
	struct err mine;
	uint8_t *p;

	if (!e)
		e = &mine;
	p = meta_get(s->m, off, fresh, e);
	*rc = p ? 0 : e->code;
	return p;
}

/* Where directory entry i is: its page, and the place in it. */
static uint64_t directory_page(const struct sesparse *s, uint64_t i, uint32_t *in)
{
	*in = i % SE_PAGE_ENTRIES * 8;
	return s->h.part[SE_DIRECTORY].off * SECTOR + i / SE_PAGE_ENTRIES * SE_PAGE;
}

int se_table_at(struct sesparse *s, uint64_t i, bool *there, uint64_t *table,
		struct err *e)
{
	uint32_t in;
	int rc;
	uint8_t *p = se_page(s, directory_page(s, i, &in), false, &rc, e);
	uint64_t v;

	if (!p)
		return rc;
	v = le64_get(p + in);
	*there = v != 0;
	*table = v ^ SE_GD_MARK;
	if (!v)
		return 0;
	if (*table > UINT32_MAX || (*table + 1) * SE_GT_SECTORS > s->h.part[SE_TABLES].size ||
	    !file_has(s->x.file, se_table_off(s, *table + 1)))
		return err_in(e, err_set(e, -EBADMSG, "grain directory entry %" PRIu64 " is %#"
					 PRIx64 ", no table of the file", i, v),
			      s->x.file->path);
	return 0;
}

static int put_directory(struct sesparse *s, uint64_t i, uint64_t v, struct err *e)
{
	uint32_t in;
	uint64_t page = directory_page(s, i, &in);
	int rc;
	uint8_t *p = se_page(s, page, false, &rc, e);

	if (!p)
		return rc;
	le64_put(p + in, v);
	meta_dirty(s->m, page, SE_LEVEL_GD);
	return 0;
}

int se_table_set(struct sesparse *s, uint64_t i, uint64_t table, struct err *e)
{
	return put_directory(s, i, SE_GD_MARK | table, e);
}

int se_table_clear(struct sesparse *s, uint64_t i, struct err *e)
{
	return put_directory(s, i, 0, e);
}

/* Tables that the file has room for. */
static uint64_t table_room(const struct sesparse *s)
{
	uint64_t n = s->h.part[SE_TABLES].size / SE_GT_SECTORS;

	return n < UINT32_MAX ? n : UINT32_MAX;
}

/* Which tables does the directory have?  What it lost in crashes is found by that. */
static int know_tables(struct sesparse *s, struct err *e)
{
	uint64_t table;
	bool there, had;
	int rc = 0;

	bits_free(&s->tables);
	for (uint64_t i = 0; i < se_tables(&s->h) && !rc; i++) {
		rc = se_table_at(s, i, &there, &table, e);
		if (!rc && there && bits_add(&s->tables, table, 1, &had))
			rc = err_set(e, -ENOMEM, "no memory for a map of grain tables");
	}
	s->tables_known = !rc;
	return rc;
}

int se_table_new(struct sesparse *s, uint64_t *table, struct err *e)
{
	uint64_t n = table_room(s), t = s->v.free_gt;
	bool had;
	int rc = 0;

	if (t < n) {
		s->v.free_gt = t + 1;
		s->v_dirty = true;
	} else {
		rc = s->tables_known ? 0 : know_tables(s, e);
		for (t = 0; t < n && bits_has(&s->tables, t); t++)
			;
		if (!rc && t == n)
			rc = err_in(e, err_set(e, -ENOSPC, "no grain table is left"),
				    s->x.file->path);
	}
	if (!rc && s->tables_known && bits_add(&s->tables, t, 1, &had))
		rc = err_set(e, -ENOMEM, "no memory for a map of grain tables");
	if (!rc && se_table_off(s, t + 1) > s->x.file->size)
		rc = file_resize(s->x.file, se_table_off(s, t + 1), e);
	/* All of it: one that was lost in a crash may have entries. */
	for (uint64_t off = 0; off < SE_GT_SECTORS * SECTOR && !rc; off += SE_PAGE)
		if (se_page(s, se_table_off(s, t) + off, true, &rc, e))
			meta_dirty(s->m, se_table_off(s, t) + off, SE_LEVEL_GT);
	*table = t;
	return rc;
}

static int in_table(struct sesparse *s, uint64_t g, struct se_entries *t, struct err *e)
{
	uint32_t in = g % SE_GTES;
	int rc;

	t->block = se_table_off(s, t->table) + in / SE_PAGE_ENTRIES * SE_PAGE;
	t->p = se_page(s, t->block, false, &rc, e);
	t->n = SE_PAGE_ENTRIES - in % SE_PAGE_ENTRIES;
	if (t->p)
		t->p += in % SE_PAGE_ENTRIES * 8;
	return rc;
}

int se_entries(struct sesparse *s, uint64_t g, struct se_entries *t, struct err *e)
{
	bool there;
	int rc = se_table_at(s, g / SE_GTES, &there, &t->table, e);

	if (rc)
		return rc;
	if (there)
		return in_table(s, g, t, e);
	t->p = NULL;
	t->n = SE_GTES - g % SE_GTES;
	return 0;
}

int se_entries_new(struct sesparse *s, uint64_t g, struct se_entries *t, struct err *e)
{
	bool there;
	int rc = se_table_at(s, g / SE_GTES, &there, &t->table, e);

	if (!rc && !there) {
		rc = se_table_new(s, &t->table, e);
		if (!rc)
			rc = se_table_set(s, g / SE_GTES, t->table, e);
	}
	return rc ? rc : in_table(s, g, t, e);
}

bool se_in_file(const struct sesparse *s, uint64_t g, uint64_t grain)
{
	uint64_t bytes = s->x.size - g * s->x.grain;
	uint64_t first = s->h.part[SE_GRAINS].off * SECTOR;

	if (bytes > s->x.grain)
		bytes = s->x.grain;
	return grain <= (INT64_MAX - first - bytes) / s->x.grain &&
	       file_has(s->x.file, se_grain_off(s, grain) + bytes);
}
