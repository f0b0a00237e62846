/*
 * Another size of a vmfsSparse extent.  The header's fields are changed one aligned
 * 8-byte word at a time, with a sync between, in an order in which each state is valid:
 *
 *   growing    a greater grain directory elsewhere, where the old one has no room;
 *              freeSector (same word as numGDEntries); gdOffset; numGDEntries; numSectors
 *   shrinking  the entries behind the new end; numSectors
 *
 * numGDEntries may be more than numSectors needs.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "disk/cowd.h"
#include "disk/cowd_table.h"

#define COPY	(64u << 10)	/* bytes of a directory moved at once */

static int put_header(struct cowd *c, struct err *e)
{
	int rc = cowd_write_header(c, e);

	if (!rc)
		rc = file_sync(c->x.file, e);
	if (rc)
		c->mark_dirty = true;	/* nobody knows what the disk has: write it again */
	return rc;
}

/* The last grain reaches behind the end: what lies there becomes part of the disk. */
static int zero_tail(struct cowd *c, struct err *e)
{
	uint64_t in = c->x.size % c->x.grain, last = c->x.size - in;
	struct disk_run run;
	int rc;

	if (!in)
		return 0;
	rc = cowd_map(&c->x, last, SECTOR, &run, e);
	if (rc || run.kind != DISK_DATA)
		return rc;
	return file_zero(c->x.file, run.off + in, c->x.grain - in, e);
}

/* A copy of the grain directory with room for more entries, zeros behind the old. */
static int copy_directory(struct cowd *c, uint64_t to, uint32_t sectors, struct err *e)
{
	uint64_t old = (uint64_t)cowd_gd_sectors(c->h.gd_entries) * SECTOR;
	uint64_t from = (uint64_t)c->h.gd * SECTOR, bytes = (uint64_t)sectors * SECTOR;
	uint8_t *buf = malloc(COPY);
	int rc = buf ? 0 : err_set(e, -ENOMEM, "no memory for a grain directory");

	for (uint64_t at = 0; at < old && !rc; at += COPY) {
		uint64_t n = old - at < COPY ? old - at : COPY;

		rc = file_read(c->x.file, buf, n, from + at, e);
		if (!rc)
			rc = file_write(c->x.file, buf, n, to * SECTOR + at, e);
	}
	free(buf);
	if (!rc)
		rc = file_zero(c->x.file, to * SECTOR + old, bytes - old, e);
	return rc;
}

static int more_tables(struct cowd *c, uint32_t tables, struct err *e)
{
	uint32_t had = cowd_gd_sectors(c->h.gd_entries), sectors = cowd_gd_sectors(tables);
	uint32_t old = c->h.gd;
	uint64_t to, n;
	int rc;

	if (sectors == had) {
		for (uint32_t i = c->h.gd_entries; i < tables; i++) {
			rc = cowd_table_set(c, i, 0, e);
			if (rc)
				return rc;
		}
		rc = cowd_flush(&c->x, e);
	} else {
		rc = cowd_room(c, sectors, sectors, &to, &n, e);
		if (!rc)
			rc = copy_directory(c, to, sectors, e);
		if (!rc)
			rc = cowd_flush(&c->x, e);
		if (rc)
			return rc;
		c->h.gd = to;
		rc = put_header(c, e);
		if (rc)
			c->h.gd = old;
	}
	if (rc)
		return rc;
	n = c->h.gd_entries;
	c->h.gd_entries = tables;
	rc = put_header(c, e);
	if (rc)
		c->h.gd_entries = n;
	else if (c->h.gd != old)
		ranges_add(&c->dropped, old, had);	/* no memory: lost */
	return rc;
}

static int grow(struct cowd *c, uint64_t bytes, struct err *e)
{
	uint32_t tables = cowd_tables(bytes / SECTOR, c->h.grain);
	uint64_t from = cowd_grains(c) * c->x.grain;
	uint64_t to = (uint64_t)cowd_tables(c->h.capacity, c->h.grain) * COWD_GTES * c->x.grain;
	int rc = zero_tail(c, e);

	/* Entries behind the end, of a time when the disk was larger. */
	if (!rc && from < to)
		rc = cowd_drop(&c->x, from, to - from, true, e);
	if (!rc && tables > c->h.gd_entries)
		rc = more_tables(c, tables, e);
	return rc;
}

static int shrink(struct cowd *c, uint64_t bytes, struct err *e)
{
	uint64_t from = (bytes + c->x.grain - 1) / c->x.grain * c->x.grain;
	int rc = 0;

	if (from < c->x.size)
		rc = cowd_drop(&c->x, from, c->x.size - from, true, e);
	return rc;
}

int cowd_resize(struct extent *x, uint64_t bytes, struct err *e)
{
	struct cowd *c = (struct cowd *)x;
	uint32_t old = c->h.capacity;
	int rc;

	if (!x->writable)
		return err_set(e, -EROFS, "%s: is open for reading only", x->file->path);
	if (!bytes || bytes % SECTOR || (bytes > x->size && bytes > cowd_size_max(x->grain)))
		return err_in(e, err_set(e, -EINVAL, "a vmfsSparse extent of this grain has 512 "
					 "to %" PRIu64 " bytes", cowd_size_max(x->grain)),
			      x->file->path);
	rc = bytes > x->size ? grow(c, bytes, e) : shrink(c, bytes, e);
	if (!rc)
		rc = cowd_flush(x, e);
	if (rc)
		return rc;
	c->h.capacity = bytes / SECTOR;
	rc = put_header(c, e);
	if (rc) {
		c->h.capacity = old;
		return rc;
	}
	x->size = bytes;
	return 0;
}
