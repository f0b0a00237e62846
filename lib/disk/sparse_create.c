/* New hosted sparse extents, and their growth and shrinking. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "disk/sparse_impl.h"

#define GD_CHUNK	(64u << 10)	/* bytes of a directory made at once */

/*
 * Write a directory of n entries: the first are those of s (NULL: none), the others
 * tables that lie one behind the other.
 *
 * at         sector of the directory
 * table      sector of the first of those tables
 */
static int write_directory(struct disk_file *f, uint64_t at, uint64_t n, struct sparse *s,
			   unsigned copy, uint64_t table, uint32_t gt_sectors, struct err *e)
{
	uint64_t old = s ? s->gd_entries : 0, i = 0;
	uint8_t *buf = malloc(GD_CHUNK);
	int rc = 0;

	if (!buf)
		return err_set(e, -ENOMEM, "no memory for a grain directory");
	while (!rc && i < n) {
		uint64_t from = i;

		for (; !rc && i < n && i - from < GD_CHUNK / 4; i++) {
			uint32_t entry = (uint32_t)table;

			if (i < old)
				rc = sparse_gd_get(s, copy, i, &entry, e);
			else
				table += gt_sectors;
			le32_put(buf + (i - from) * 4, entry);
		}
		if (!rc)
			rc = file_write(f, buf, (i - from) * 4, at * SECTOR + from * 4, e);
	}
	free(buf);
	return rc;
}

static int check_create(const struct sparse_create *c, uint64_t grain, struct err *e)
{
	if (!c->size || c->size % SECTOR || c->size > SPARSE_SIZE_MAX)
		return err_set(e, -EINVAL, "a sparse extent of %" PRIu64 " bytes: possible are "
			       "whole sectors up to 2 TiB - 512", c->size);
	if (grain & (grain - 1) || grain < 4096 || grain > SPARSE_GRAIN_MAX)
		return err_set(e, -EINVAL, "grains of %" PRIu64 " bytes: possible are powers of "
			       "two from 4 KiB to 32 MiB", grain);
	if (c->desc && c->desc_len > SPARSE_DESC_SECTORS * SECTOR)
		return err_set(e, -EINVAL, "the descriptor has %zu bytes, in a sparse extent is "
			       "room for %u", c->desc_len, SPARSE_DESC_SECTORS * SECTOR);
	return 0;
}

int sparse_create(struct disk_file *f, const struct sparse_create *c, struct err *e)
{
	uint64_t grain = c->grain ? c->grain : SPARSE_GRAIN, entries, gd, tables;
	struct sparse_header h = {
		.version = c->zeroed ? 2 : 1,
		.flags = SPARSE_NEWLINE | SPARSE_REDUNDANT | (c->zeroed ? SPARSE_ZEROED : 0),
		.capacity = c->size / SECTOR,
		.grain = grain / SECTOR,
		.gtes = SPARSE_GTES,
	};
	uint8_t buf[SECTOR];
	int rc = check_create(c, grain, e);

	if (rc)
		return rc;
	h.rgd = 1;
	if (c->desc) {
		h.desc = 1;
		h.desc_size = SPARSE_DESC_SECTORS;
		h.rgd += h.desc_size;
	}
	entries = sparse_gd_entries(&h);
	gd = sparse_gd_sectors(&h);
	tables = entries * sparse_gt_sectors(&h);
	h.gd = h.rgd + gd + tables;
	h.overhead = sparse_round_up(h.gd + gd + tables, h.grain);
	rc = file_resize(f, h.overhead * SECTOR, e);
	if (!rc)
		rc = write_directory(f, h.rgd, entries, NULL, 1, h.rgd + gd,
				     sparse_gt_sectors(&h), e);
	if (!rc)
		rc = write_directory(f, h.gd, entries, NULL, 0, h.gd + gd,
				     sparse_gt_sectors(&h), e);
	if (!rc && c->desc_len && c->desc)
		rc = file_write(f, c->desc, c->desc_len, h.desc * SECTOR, e);
	if (!rc)
		rc = file_sync(f, e);
	if (rc)
		return rc;
	sparse_header_encode(buf, &h);
	rc = file_write(f, buf, SECTOR, 0, e);
	return rc ? rc : file_sync(f, e);
}

/*
 * A longer directory and the tables that it has more, at the end of the file.
 * *at: its sector.  Tables are punched: what lay there may not be zeros.
 */
static int longer_directory(struct sparse *s, unsigned copy, const struct sparse_header *to,
			    uint64_t *at, struct err *e)
{
	uint64_t old = s->gd_entries, n = sparse_gd_entries(to), gd = sparse_gd_sectors(to);
	uint32_t gt = sparse_gt_sectors(to);
	uint64_t need = gd + (n - old) * gt;
	int rc = sparse_room_at_end(s, need, at, e);

	if (!rc)
		rc = file_punch(s->x.file, *at * SECTOR, need * SECTOR, e);
	return rc ? rc : write_directory(s->x.file, *at, n, s, copy, *at + gd, gt, e);
}

/*
 * What lies behind the disk's end must not come to light: in the last grain, and in others
 * where a crash, as the disk was made smaller, came between its descriptor and the header.
 */
static int clear_tail(struct sparse *s, struct err *e)
{
	uint64_t bytes = s->x.size, in = bytes % s->x.grain;
	uint64_t from = sparse_round_up(bytes, s->x.grain);
	uint64_t to = sparse_grains(s) * s->x.grain;
	struct disk_run run;
	int rc = 0;

	if (in) {
		rc = s->x.ops->map(&s->x, bytes - SECTOR, SECTOR, &run, e);
		if (!rc && run.kind == DISK_DATA)
			rc = file_punch(s->x.file, run.off + SECTOR, s->x.grain - in, e);
	}
	return rc || from >= to ? rc : s->x.ops->drop(&s->x, from, to - from, true, e);
}

/*
 * Order: the longer directories and their tables; sync; gdOffset and rgdOffset, each
 * of which is right in its old and new place; sync; capacity, of which only one word
 * changes; sync.
 */
static int grow(struct sparse *s, const struct sparse_header *to, struct err *e)
{
	uint64_t old[2] = { s->h.gd, s->h.rgd }, place[2] = { s->h.gd, s->h.rgd };
	int rc = 0;

	if (sparse_gd_entries(to) <= s->gd_entries)
		return 0;
	for (unsigned c = 0; !rc && c < s->copies; c++)
		rc = longer_directory(s, c, to, &place[c], e);
	if (!rc)
		rc = file_sync(s->x.file, e);
	if (rc)
		return rc;
	s->h.gd = place[0];
	s->h.rgd = place[1];
	rc = sparse_put_header(s, e);
	if (!rc)
		rc = file_sync(s->x.file, e);
	meta_forget(s->meta, 0, UINT64_MAX);
	for (unsigned c = 0; !rc && c < s->copies; c++)
		rc = file_punch(s->x.file, old[c] * SECTOR,
				sparse_gd_sectors(&s->h) * SECTOR, e);
	return rc;
}

/* The grains behind the new end lose their entries first, so that room that is used
 * again belongs to nobody. */
static int shrink(struct sparse *s, const struct sparse_header *to, struct err *e)
{
	uint64_t end = sparse_round_up(to->capacity, to->grain) * SECTOR;
	uint64_t old = sparse_round_up(s->h.capacity, to->grain) * SECTOR;
	int rc = 0;

	if (end < old)
		rc = s->x.ops->drop(&s->x, end, old - end, true, e);
	return rc ? rc : s->x.ops->flush(&s->x, e);
}

int sparse_resize(struct extent *x, uint64_t bytes, struct err *e)
{
	struct sparse *s = sparse_of(x);
	struct sparse_header to = s->h;
	int rc;

	if (!x->writable)
		return err_set(e, -EROFS, "the extent is open for reading only");
	if (!bytes || bytes % SECTOR || bytes > SPARSE_SIZE_MAX)
		return err_set(e, -EINVAL, "a sparse extent of %" PRIu64 " bytes: possible are "
			       "whole sectors up to 2 TiB - 512", bytes);
	to.capacity = bytes / SECTOR;
	rc = sparse_mark(s, e);
	if (!rc && bytes > x->size)
		rc = clear_tail(s, e);
	if (!rc)
		rc = x->ops->flush(x, e);
	if (!rc)
		rc = bytes > s->h.capacity * SECTOR ? grow(s, &to, e) : shrink(s, &to, e);
	if (rc)
		return rc;
	s->h.capacity = to.capacity;
	rc = sparse_put_header(s, e);
	if (!rc)
		rc = file_sync(x->file, e);
	s->gd_entries = sparse_gd_entries(&s->h);
	x->size = bytes;
	return rc;
}

/* A table that the first directory has not got yet. */
static int forget_table(struct sparse *s, uint64_t gt, struct err *e)
{
	uint32_t table = 0;
	int rc = 0;

	if (s->copies > 1 && s->h.unclean)
		rc = sparse_gd_get(s, 1, gt, &table, e);
	return rc || !table ? rc : sparse_gd_put(s, 1, gt, 0, e);
}

/* Let a block of the second copy say what the first says.  *end: behind the grains that
 * it names. */
static int settle_block(struct sparse *s, uint64_t grain, uint64_t *n, uint64_t *end,
			struct err *e)
{
	uint64_t block, have;
	uint8_t *p, first[SECTOR];
	int rc;

	*n = sparse_hole(s, 0, grain);
	if (*n && (s->copies < 2 || !s->h.unclean || sparse_hole(s, 1, grain) == *n))
		return 0;
	rc = sparse_entries(s, 0, grain, false, &p, n, &block, e);
	if (rc)
		return rc;
	if (!p)
		return forget_table(s, grain / s->h.gtes, e);
	memcpy(first, p, *n * 4);
	for (uint64_t k = 0; k < *n; k++) {
		uint32_t gte = le32_get(first + k * 4);
		uint64_t behind = (gte + s->h.grain) * SECTOR;

		if (sparse_is_grain(s, gte) && sparse_in_file(s, gte) && behind > *end)
			*end = behind;
	}
	if (s->copies < 2 || !s->h.unclean)
		return 0;
	rc = sparse_entries(s, 1, grain, true, &p, &have, &block, e);
	if (rc || !memcmp(p, first, *n * 4))
		return rc;
	for (uint64_t k = 0; k < *n; k++) {
		uint32_t gte = le32_get(first + k * 4);

		if (!sparse_is_grain(s, gte) || sparse_in_file(s, gte))
			le32_put(p + k * 4, gte);
	}
	meta_dirty(s->meta, block, SPARSE_L_TABLE);
	return 0;
}

int sparse_count_tables(struct sparse *s, uint64_t *n, struct err *e)
{
	int rc = 0;

	*n = 0;
	for (unsigned c = 0; c < s->copies; c++) {
		for (uint64_t i = 0; !rc && i < s->gd_entries; i++) {
			uint32_t table;

			rc = sparse_gd_get(s, c, i, &table, e);
			*n += !rc && table;
		}
	}
	return rc;
}

int sparse_settle(struct sparse *s, struct err *e)
{
	uint64_t end = s->h.overhead * SECTOR, n, grain, taken;
	uint32_t gt_sectors = sparse_gt_sectors(&s->h);
	int rc = 0;

	rc = sparse_count_tables(s, &n, e);
	if (rc || n > s->x.file->size / SECTOR / gt_sectors)
		return rc;	/* they lie in each other: for check() */
	if ((s->h.desc + s->h.desc_size) * SECTOR > end)
		end = (s->h.desc + s->h.desc_size) * SECTOR;
	/* Directories and tables are at their places or at the end, behind grains. */
	for (unsigned c = 0; c < s->copies; c++) {
		uint64_t behind = (sparse_directory(s, c) + sparse_gd_sectors(&s->h)) * SECTOR;

		if (behind > end)
			end = behind;
		for (uint64_t i = 0; !rc && i < s->gd_entries; i++) {
			uint32_t table;

			rc = sparse_gd_get(s, c, i, &table, e);
			if (!rc && sparse_in_file(s, table) &&
			    (table + (uint64_t)gt_sectors) * SECTOR > end)
				end = (table + (uint64_t)gt_sectors) * SECTOR;
		}
	}
	if (rc)
		return rc;
	taken = s->end;
	for (grain = 0; grain < sparse_grains(s); grain += n) {
		rc = settle_block(s, grain, &n, &end, e);
		if (rc == -EBADMSG) {	/* a damaged table: check() tells */
			n = s->h.gtes - grain % s->h.gtes;
			rc = 0;
		}
		if (rc)
			return rc;
	}
	if (s->end == taken)	/* else a table that was missing is at the end */
		s->end = end;
	return meta_dirty_bytes(s->meta) ? meta_flush(s->meta, e) : 0;
}
