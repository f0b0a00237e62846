#include "disk/cowd_table.h"

#include <errno.h>
#include <inttypes.h>

#include "base/le.h"

#define CHUNK	2048u	/* sectors by which freeSector and the file grow: 1 MiB */
#define PIECE	128u	/* sectors: room in smaller pieces is used for small writes only */

/* A sector of tables; NULL: *rc says why. */
static uint8_t *get(struct cowd *c, uint64_t off, bool fresh, int *rc, struct err *e)
{
	struct err mine;
	uint8_t *p;

	if (!e)
		e = &mine;
	p = meta_get(c->m, off, fresh, e);
	*rc = p ? 0 : e->code;
	return p;
}

int cowd_table_at(struct cowd *c, uint32_t i, uint32_t *sector, struct err *e)
{
	uint64_t at = (uint64_t)c->h.gd * SECTOR + (uint64_t)i * 4;
	uint32_t v;
	int rc;
	uint8_t *p = get(c, at & ~(uint64_t)(SECTOR - 1), false, &rc, e);

	if (!p)
		return rc;
	v = le32_get(p + at % SECTOR);
	if (v && (v < COWD_HEADER_SECTORS ||
		  !file_has(c->x.file, ((uint64_t)v + COWD_GT_SECTORS) * SECTOR)))
		return err_in(e, err_set(e, -EBADMSG, "grain directory entry %" PRIu32
					 " is sector %" PRIu32 ", not in the file", i, v),
			      c->x.file->path);
	*sector = v;
	return 0;
}

int cowd_table_set(struct cowd *c, uint32_t i, uint32_t sector, struct err *e)
{
	uint64_t at = (uint64_t)c->h.gd * SECTOR + (uint64_t)i * 4;
	uint64_t block = at & ~(uint64_t)(SECTOR - 1);
	int rc;
	uint8_t *p = get(c, block, false, &rc, e);

	if (!p)
		return rc;
	le32_put(p + at % SECTOR, sector);
	meta_dirty(c->m, block, COWD_LEVEL_GD);
	return 0;
}

/* The entries of grain g in the table at sector. */
static int in_table(struct cowd *c, uint32_t sector, uint64_t g, uint8_t **p, uint32_t *n,
		    uint64_t *block, struct err *e)
{
	uint32_t in = g % COWD_GTES;
	uint8_t *b;
	int rc;

	*block = (uint64_t)sector * SECTOR + (in * 4 & ~(SECTOR - 1));
	b = get(c, *block, false, &rc, e);
	if (!b)
		return rc;
	*p = b + in * 4 % SECTOR;
	*n = SECTOR / 4 - in % (SECTOR / 4);
	return 0;
}

int cowd_entries(struct cowd *c, uint64_t g, uint8_t **p, uint32_t *n, uint64_t *block,
		 struct err *e)
{
	uint32_t sector;
	int rc = cowd_table_at(c, g / COWD_GTES, &sector, e);

	if (rc)
		return rc;
	if (!sector) {
		*p = NULL;
		*n = COWD_GTES - g % COWD_GTES;
		return 0;
	}
	return in_table(c, sector, g, p, n, block, e);
}

int cowd_entries_new(struct cowd *c, uint64_t g, uint8_t **p, uint32_t *n,
		     uint64_t *block, struct err *e)
{
	uint32_t sector, i;
	uint64_t room, got;
	int rc = cowd_table_at(c, g / COWD_GTES, &sector, e);

	if (rc)
		return rc;
	if (sector)
		return in_table(c, sector, g, p, n, block, e);
	rc = cowd_room(c, COWD_GT_SECTORS, COWD_GT_SECTORS, &room, &got, e);
	if (rc)
		return rc;
	/* All of it: the room may have been used before. */
	for (i = 0; i < COWD_GT_SECTORS; i++) {
		if (!get(c, (room + i) * SECTOR, true, &rc, e))
			return rc;
		meta_dirty(c->m, (room + i) * SECTOR, COWD_LEVEL_GT);
	}
	rc = cowd_table_set(c, g / COWD_GTES, room, e);
	return rc ? rc : in_table(c, room, g, p, n, block, e);
}

/* Behind all that the tables have. */
static int find_end(struct cowd *c, struct err *e)
{
	uint64_t g = 0, grains = cowd_grains(c), block;
	uint32_t table, n;

	while (g < grains) {
		uint8_t *p;
		int rc = cowd_table_at(c, g / COWD_GTES, &table, e);

		if (!rc)
			rc = cowd_entries(c, g, &p, &n, &block, e);
		if (rc)
			return rc;
		if (table + COWD_GT_SECTORS > c->next)
			c->next = table + COWD_GT_SECTORS;
		for (uint32_t i = 0; p && i < n; i++) {
			uint64_t end = (uint64_t)le32_get(p + i * 4) + cowd_unit(c);

			if (end > c->next)
				c->next = end;
		}
		g += n;
	}
	return 0;
}

/*
 * freeSector as another program left it, perhaps when it died: if there are data behind
 * it, tables and grains may be there, too, and holes between them are no sign of free
 * room: zeros become holes when a file is copied.
 */
static int look_behind(struct cowd *c, struct err *e)
{
	uint64_t start, end, gd_end = c->h.gd + cowd_gd_sectors(c->h.gd_entries);
	bool low = c->next < gd_end;
	int rc = 0;

	if (low)
		c->next = gd_end;
	while (!c->x.file->device && c->next * SECTOR < c->x.file->size) {
		rc = file_data(c->x.file, c->next * SECTOR, &start, &end, e);
		if (rc)
			return rc;
		if (start == end)
			break;
		c->next = (end + SECTOR - 1) / SECTOR;
		low = true;
	}
	if (low)
		rc = find_end(c, e);
	c->looked = !rc;
	return rc;
}

/* The sectors before end are used: say so in the header, and have the file hold them. */
static int raise_mark(struct cowd *c, uint64_t end, struct err *e)
{
	uint64_t mark = (end + CHUNK - 1) / CHUNK * CHUNK, size;
	int rc;

	if (end <= c->h.free)
		return 0;
	if (mark > COWD_SECTORS_MAX)
		mark = COWD_SECTORS_MAX;
	/* freeSector is to be less than the file's length. */
	size = (mark / CHUNK + 1) * CHUNK * SECTOR;
	if (c->x.file->size < size && !c->x.file->device) {
		rc = file_resize(c->x.file, size, e);
		if (rc)
			return rc;
	}
	c->h.free = mark;
	c->mark_dirty = true;
	return 0;
}

int cowd_room(struct cowd *c, uint64_t want, uint32_t unit, uint64_t *start, uint64_t *n,
	      struct err *e)
{
	uint64_t least = want < PIECE ? want : PIECE, at;
	int rc = c->looked ? 0 : look_behind(c, e);

	if (rc)
		return rc;
	c->written = true;
	if (least < unit)
		least = unit;
	*n = ranges_take(&c->avail, want - want % least, least, start);
	if (*n)
		return 0;
	at = c->next;
	if (want % 8 == 0)	/* whole pages of the host stay whole */
		at = (at + 7) & ~UINT64_C(7);
	if (at + unit <= COWD_SECTORS_MAX) {
		uint64_t left = COWD_SECTORS_MAX - at;

		*n = want < left ? want : left - left % unit;
		rc = raise_mark(c, at + *n, e);
		if (rc)
			return rc;
		*start = at;
		c->next = at + *n;
		return 0;
	}
	*n = ranges_take(&c->avail, want, unit, start);
	if (*n)
		return 0;
	return err_in(e, err_set(e, -ENOSPC, "a vmfsSparse file ends at 2 TiB, no sector is "
				 "left"), c->x.file->path);
}

int cowd_write_header(struct cowd *c, struct err *e)
{
	cowd_header_put(c->sector, &c->h);
	return file_write(c->x.file, c->sector, SECTOR, 0, e);
}
