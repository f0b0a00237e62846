/*
 * Hosted sparse extents: a header, a grain directory of sectors of grain tables, and
 * grain tables of sectors of grains; directory and tables mostly twice, of which the
 * first are read.
 *
 * The order of writes.  A crash may come between any two of them, and leave of those
 * that no sync separates any part, in units of 8 aligned bytes:
 *
 *   1. header: uncleanShutdown, before anything else is written after opening
 *   2. data of new grains, wherever nothing refers to            (the caller)
 *      -- sync --
 *   3. grain tables, both copies: new ones, and entries of old ones
 *      -- sync --
 *   4. grain directories, both copies
 *      -- sync --
 *   5. only now are grains that entries ceased to refer to used again, or punched
 *   6. at close: the file's unused end is cut off, header: uncleanShutdown cleared
 *
 * So whatever a directory or table on disk refers to is complete.  After a crash the
 * second copy may be ahead of the first or behind it; it is brought in step when the
 * file is opened for writing and uncleanShutdown is set (sparse_settle()).  Grains
 * that were taken and not entered are lost room at most, mostly a hole.
 *
 * Tables of ours and of others are there from the start, as holes: what lies in one is
 * known to be absent without reading it (sparse_hole()).
 *
 * Example, a first write at 64 KiB of an empty disk: alloc() says byte 0x150000 and makes
 * the file longer; data go there; commit() puts 0xa80 into entry 1 of both grain tables
 * in the cache; flush() syncs, writes two sectors, syncs.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "disk/desc.h"
#include "disk/sparse_impl.h"

#define DIRTY_MAX	(4u << 20)	/* bytes of changed tables before they are written */
#define GD_MAX		(1u << 22)	/* entries of a directory: 128 TiB in 64 KiB grains */
#define GD_CHUNK	(64u << 10)	/* bytes of a directory looked at in one go */
#define PUT_MAX		65536u		/* grains after which that is looked at */

static bool apart(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a + a_len <= b || b + b_len <= a;
}

bool sparse_table_fits(const struct sparse *s, uint64_t sector)
{
	uint64_t n = sparse_gt_sectors(&s->h);
	uint64_t gd = sparse_gd_sectors(&s->h);

	return sector && sector <= UINT32_MAX && file_has(s->x.file, (sector + n) * SECTOR) &&
	       apart(sector, n, s->h.desc, s->text) &&
	       apart(sector, n, s->h.gd, gd) && (s->copies < 2 || apart(sector, n, s->h.rgd, gd));
}

int sparse_gd_get(struct sparse *s, unsigned copy, uint64_t i, uint32_t *table,
		  struct err *e)
{
	uint64_t at = i * 4;
	uint8_t *p = meta_get(s->meta, (sparse_directory(s, copy) + at / SECTOR) * SECTOR,
			      false, e);

	if (!p)
		return e ? e->code : -EIO;
	*table = le32_get(p + at % SECTOR);
	return 0;
}

int sparse_gd_put(struct sparse *s, unsigned copy, uint64_t i, uint32_t table,
		  struct err *e)
{
	uint64_t at = i * 4;
	uint64_t block = (sparse_directory(s, copy) + at / SECTOR) * SECTOR;
	uint8_t *p = meta_get(s->meta, block, false, e);

	if (!p)
		return e ? e->code : -EIO;
	le32_put(p + at % SECTOR, table);
	meta_dirty(s->meta, block, SPARSE_L_DIRECTORY);
	return 0;
}

/* A grain table of zeros at the end of the file, for grains that had none. */
static int new_table(struct sparse *s, unsigned copy, uint64_t i, uint32_t *table,
		     struct err *e)
{
	uint32_t sectors = sparse_gt_sectors(&s->h);
	uint64_t at;
	int rc = sparse_room_at_end(s, sectors, &at, e);

	for (uint32_t k = 0; !rc && k < sectors; k++) {
		if (!meta_get(s->meta, (at + k) * SECTOR, true, e))
			return e ? e->code : -ENOMEM;
		meta_dirty(s->meta, (at + k) * SECTOR, SPARSE_L_TABLE);
	}
	if (rc)
		return rc;
	*table = (uint32_t)at;
	return sparse_gd_put(s, copy, i, *table, e);
}

int sparse_entries(struct sparse *s, unsigned copy, uint64_t i, bool make, uint8_t **p,
		   uint64_t *n, uint64_t *block, struct err *e)
{
	uint32_t in_table = i & (s->h.gtes - 1), table;
	uint32_t per_block = SECTOR / 4, in_block = in_table & (per_block - 1);
	uint64_t gt = i / s->h.gtes;
	int rc = sparse_gd_get(s, copy, gt, &table, e);

	if (!rc && !table && make)
		rc = new_table(s, copy, gt, &table, e);
	if (rc)
		return rc;
	if (!table) {
		*p = NULL;
		*n = s->h.gtes - in_table;
		return 0;
	}
	if (!sparse_table_fits(s, table))
		return err_in(e, err_set(e, -EBADMSG, "grain directory%s: entry %" PRIu64
					 " says sector %" PRIu32 ", where no table can be",
					 copy ? " 2" : "", gt, table), s->x.file->path);
	*block = (table + in_table / per_block) * (uint64_t)SECTOR;
	*p = meta_get(s->meta, *block, false, e);
	if (!*p)
		return e ? e->code : -EIO;
	*p += in_block * 4;
	*n = s->h.gtes < per_block ? s->h.gtes - in_table : per_block - in_block;
	return 0;
}

uint64_t sparse_hole(struct sparse *s, unsigned copy, uint64_t i)
{
	uint32_t in_table = i & (s->h.gtes - 1), from = in_table / (SECTOR / 4), table;
	uint32_t sectors = sparse_gt_sectors(&s->h);

	if (sparse_gd_get(s, copy, i / s->h.gtes, &table, NULL) || !table ||
	    !sparse_table_fits(s, table) ||
	    !meta_hole(s->meta, (table + (uint64_t)from) * SECTOR,
		       (sectors - from) * (uint64_t)SECTOR))
		return 0;
	return s->h.gtes - in_table;
}

static enum disk_kind kind_of(const struct sparse *s, uint32_t gte)
{
	if (!gte)
		return DISK_ABSENT;
	if (gte == 1 && (s->h.flags & SPARSE_ZEROED))
		return DISK_ZERO;
	return s->h.flags & SPARSE_COMPRESSED ? DISK_PACKED : DISK_DATA;
}

/*
 * A grain's beginning is in the file, its end is not: some writers leave out what is
 * zeros at the end.  To be written, it gets its end; to be read, there is no more of
 * this run than is there, and then zeros.
 */
static int cut_at_end(struct sparse *s, uint64_t in, struct disk_run *run, struct err *e)
{
	uint64_t have, end = run->off + run->len;

	if (file_has(s->x.file, end))
		return 0;
	have = s->x.file->size;
	if (s->x.writable && !s->x.file->device) {
		if (s->end < end)
			s->end = end;
		return file_resize(s->x.file, end, e);
	}
	if (run->off < have) {
		run->len = sparse_round_up(have - run->off, SECTOR);
	} else {
		uint64_t rest = s->x.grain - in % s->x.grain;

		run->kind = DISK_ZERO;
		if (run->len > rest)
			run->len = rest;
	}
	return 0;
}

static int bad_grain(const struct sparse *s, uint64_t grain, uint32_t gte, struct err *e)
{
	return err_in(e, err_set(e, -EBADMSG, "grain %" PRIu64 " (byte %" PRIu64 "): its entry "
				 "says sector %" PRIu32 ", outside the file", grain,
				 grain * s->x.grain, gte), s->x.file->path);
}

static int sparse_map(struct extent *x, uint64_t off, uint64_t len, struct disk_run *run,
		      struct err *e)
{
	struct sparse *s = sparse_of(x);
	uint64_t grain = off / x->grain, in = off % x->grain, n = 0, block;
	uint64_t found = 0;	/* grains of the run so far */
	uint32_t first = 0;
	uint8_t *p = NULL;
	int rc;

	if (len > x->size - off)
		len = x->size - off;
	while (found * x->grain < in + len) {
		p = NULL;
		n = sparse_hole(s, 0, grain + found);
		rc = n ? 0 : sparse_entries(s, 0, grain + found, false, &p, &n, &block, e);
		if (rc && !found)
			return rc;
		if (rc)		/* who asks for what lies there is told */
			break;
		for (uint64_t k = 0; k < n && found * x->grain < in + len; k++) {
			uint32_t gte = p ? le32_get(p + k * 4) : 0;
			enum disk_kind kind = kind_of(s, gte);

			if (!found) {
				if (kind >= DISK_DATA && !sparse_in_file(s, gte))
					return bad_grain(s, grain, gte, e);
				first = gte;
				run->kind = kind;
				run->file = kind >= DISK_DATA ? x->file : NULL;
				run->off = (uint64_t)gte * SECTOR;
			} else if (kind != run->kind || kind == DISK_PACKED ||
				   (kind == DISK_DATA &&
				    (gte != first + found * s->h.grain ||
				     !sparse_in_file(s, gte)))) {
				goto out;
			}
			if (!p) {
				found += n - k;
				break;
			}
			found++;
		}
	}
out:
	run->len = found * x->grain - in < len ? found * x->grain - in : len;
	if (run->kind == DISK_DATA) {
		run->off += in;
		return cut_at_end(s, in, run, e);
	}
	return 0;
}

int sparse_put_header(struct sparse *s, struct err *e)
{
	uint8_t buf[SECTOR], old[SECTOR];
	int rc = file_read(s->x.file, old, SECTOR, 0, e);

	if (rc)
		return rc;
	sparse_header_encode(buf, &s->h);
	/* The padding may hold what others keep there; without SPARSE_NEWLINE the
	 * newline bytes are padding, too. */
	memcpy(buf + 0x4f, old + 0x4f, SECTOR - 0x4f);
	if (!(s->h.flags & SPARSE_NEWLINE))
		memcpy(buf + 0x49, old + 0x49, 4);
	return file_write(s->x.file, buf, SECTOR, 0, e);
}

int sparse_mark(struct sparse *s, struct err *e)
{
	int rc;

	if (s->marked)
		return 0;
	s->h.unclean = true;
	rc = sparse_put_header(s, e);
	s->marked = !rc;
	return rc;
}

static int sparse_alloc(struct extent *x, uint64_t off, uint64_t len, struct disk_run *run,
			struct err *e)
{
	struct sparse *s = sparse_of(x);
	int rc = sparse_mark(s, e);

	if (rc)
		return rc;
	run->kind = DISK_DATA;
	run->file = x->file;
	return sparse_room(s, len, &run->off, &run->len, e);
}

static int sparse_flush(struct extent *x, struct err *e)
{
	struct sparse *s = sparse_of(x);
	int rc = meta_flush(s->meta, e);

	if (!rc)
		sparse_given_back(s);
	return rc;
}

/*
 * Make n entries from grain i on point to sector, sector + grain, ... (step), or all be
 * value (step 0).  Tables that are not there are made, unless value is 0.
 */
static int put_entries(struct sparse *s, unsigned copy, uint64_t i, uint64_t n,
		       uint32_t value, uint32_t step, struct err *e)
{
	while (n) {
		uint64_t block, have;
		uint8_t *p;
		int rc = sparse_entries(s, copy, i, value != 0, &p, &have, &block, e);

		if (rc)
			return rc;
		if (have > n)
			have = n;
		for (uint64_t k = 0; p && k < have; k++, value += step) {
			uint32_t old = le32_get(p + k * 4);

			/* The second copy may be wrong; what it names is not known
			 * to be free. */
			if (!copy && sparse_is_grain(s, old) && old != value)
				sparse_give_back(s, (uint64_t)old * SECTOR, s->x.grain);
			le32_put(p + k * 4, value);
		}
		if (p)
			meta_dirty(s->meta, block, SPARSE_L_TABLE);
		i += have;
		n -= have;
	}
	return 0;
}

/* Make the tables that n grains from i on need. */
static int make_tables(struct sparse *s, unsigned copy, uint64_t i, uint64_t n, struct err *e)
{
	while (n) {
		uint64_t block, have;
		uint8_t *p;
		int rc = sparse_entries(s, copy, i, true, &p, &have, &block, e);

		if (rc)
			return rc;
		have = s->h.gtes - (i & (s->h.gtes - 1));
		if (have > n)
			have = n;
		i += have;
		n -= have;
	}
	return 0;
}

static int put_all(struct sparse *s, uint64_t off, uint64_t len, uint32_t value,
		   uint32_t step, struct err *e)
{
	uint64_t grain = off / s->x.grain, n = (len + s->x.grain - 1) / s->x.grain;
	int rc = 0;

	while (!rc && n) {
		uint64_t now = n < PUT_MAX ? n : PUT_MAX;

		/* All tables first, then the second copy: what fails changes nothing. */
		for (unsigned c = 0; value && !rc && c < s->copies; c++)
			rc = make_tables(s, c, grain, now, e);
		for (unsigned c = s->copies; !rc && c--; )
			rc = put_entries(s, c, grain, now, value, step, e);
		grain += now;
		n -= now;
		value += step * (uint32_t)now;
		/* Room stays pending: a reader may be there, that flush() waits for. */
		if (!rc && meta_dirty_bytes(s->meta) > DIRTY_MAX)
			rc = meta_flush(s->meta, e);
	}
	return rc;
}

static int sparse_commit(struct extent *x, uint64_t off, const struct disk_run *run,
			 struct err *e)
{
	struct sparse *s = sparse_of(x);

	return put_all(s, off, run->len, run->off / SECTOR, s->h.grain, e);
}

static void sparse_cancel(struct extent *x, const struct disk_run *run)
{
	sparse_give_back(sparse_of(x), run->off, run->len);
}

static int sparse_drop(struct extent *x, uint64_t off, uint64_t len, bool absent,
		       struct err *e)
{
	struct sparse *s = sparse_of(x);
	int rc;

	if (!absent && !(s->h.flags & SPARSE_ZEROED))
		return err_set(e, -ENOTSUP, "an extent of version %" PRIu32
			       " has no grains that are zeros", s->h.version);
	rc = sparse_mark(s, e);
	return rc ? rc : put_all(s, off, len, !absent, 0, e);
}

static bool sparse_dirty(const struct extent *x)
{
	const struct sparse *s = (const struct sparse *)x;

	return meta_dirty_bytes(s->meta) || s->pending.n;
}

static void sparse_close(struct extent *x)
{
	struct sparse *s = sparse_of(x);

	if (s->marked && !meta_dirty_bytes(s->meta)) {
		if (!x->file->device && s->end < x->file->size)
			file_resize(x->file, s->end, NULL);
		s->h.unclean = false;
		sparse_put_header(s, NULL);
	}
	meta_free(s->meta);
	sparse_spans_free(&s->pending);
	sparse_spans_free(&s->free);
	file_close(x->file);
	free(s);
}

static const struct extent_ops sparse_ops = {
	.name = "SPARSE",
	.map = sparse_map,
	.alloc = sparse_alloc,
	.commit = sparse_commit,
	.cancel = sparse_cancel,
	.drop = sparse_drop,
	.flush = sparse_flush,
	.dirty = sparse_dirty,
	.resize = sparse_resize,
	.compact = sparse_compact,
	.check = sparse_check,
	.close = sparse_close,
};

/* Grains are written one behind the other and never again: read only. */
static const struct extent_ops stream_ops = {
	.name = "SPARSE",
	.map = sparse_map,
	.unpack = packed_unpack,
	.check = sparse_check,
	.close = sparse_close,
};

/* Can there be a directory for all of the capacity at this sector? */
static bool directory_fits(const struct sparse *s, uint64_t sector)
{
	uint64_t have = s->x.file->size / SECTOR, need = sparse_gd_sectors(&s->h);

	return !need || (sector && sector < have && need <= have - sector &&
			 apart(sector, need, s->h.desc, s->text));
}

/*
 * How long the embedded descriptor is: where it begins is said by a field that may be
 * wrong, and how much room it has by another; but what looks like one is not to be
 * taken for a table, and written over.
 */
static int measure_text(struct sparse *s, struct err *e)
{
	uint64_t have = s->x.file->size / SECTOR, n = s->h.desc_size;
	size_t len;
	char *buf;
	int rc;

	if (!n || !s->h.desc || s->h.desc >= have)
		return 0;
	n = n < have - s->h.desc ? n : have - s->h.desc;
	buf = malloc(n * SECTOR);
	if (!buf)
		return err_set(e, -ENOMEM, "no memory for a descriptor");
	rc = file_read(s->x.file, buf, n * SECTOR, s->h.desc * SECTOR, e);
	len = rc ? 0 : strnlen(buf, n * SECTOR);
	if (len && desc_probe(buf, len))
		s->text = (len + SECTOR - 1) / SECTOR;
	free(buf);
	return rc;
}

/* A wrong gdOffset may lead into the zeros behind the descriptor, where a disk without tables
 * would read as zeros.  Writers that have their directory there put something into it. */
static int is_padding(const struct sparse *s, uint64_t sector, bool *is, struct err *e)
{
	const struct sparse_header *h = &s->h;
	uint64_t bytes = s->gd_entries * 4, n;
	uint8_t *buf;
	int rc = 0;

	*is = h->desc && s->gd_entries && directory_fits(s, sector) &&
	      !apart(sector, sparse_gd_sectors(h), h->desc, h->desc_size);
	if (!*is)
		return 0;
	buf = malloc(GD_CHUNK);
	if (!buf)
		return err_set(e, -ENOMEM, "no memory for a directory");
	for (uint64_t at = 0; !rc && *is && at < bytes; at += n) {
		n = bytes - at < GD_CHUNK ? bytes - at : GD_CHUNK;
		rc = file_read(s->x.file, buf, n, sector * SECTOR + at, e);
		*is = !rc && !buf[0] && !memcmp(buf, buf + 1, n - 1);
	}
	free(buf);
	return rc;
}

static int choose_directory(struct sparse *s, struct err *e)
{
	struct sparse_header *h = &s->h;
	uint64_t n = sparse_gd_sectors(h);
	bool padding;
	int rc = is_padding(s, h->gd, &padding, e);

	s->copies = 1;
	/* Writers of streams set the flag, and have no second one. */
	if (!rc && (h->flags & SPARSE_REDUNDANT) && !((h->flags & SPARSE_COMPRESSED) && !h->rgd)) {
		/* The descriptor may become longer: a second copy does not have to be in its way. */
		s->rgd_bad = !directory_fits(s, h->rgd) || (n && !apart(h->rgd, n, h->gd, n)) ||
			     (s->text && !apart(h->rgd, n, h->desc, h->desc_size));
		if (!s->rgd_bad && (padding || !directory_fits(s, h->gd))) {
			s->gd_bad = h->gd;
			s->rgd_bad = true;
			h->gd = h->rgd;
			padding = false;
		}
		s->copies += !s->rgd_bad;
	}
	if (!rc && (padding || !directory_fits(s, h->gd)))
		rc = err_set(e, -EBADMSG, "gdOffset is sector %" PRIu64 ": no directory of %"
			     PRIu64 " entries can be there", h->gd, s->gd_entries);
	return rc;
}

/* Entries of the second directory that cannot be beside those of the first; tables: that the
 * first has.  After a crash the second may lack some. */
static void count_odd(const struct sparse *s, const uint8_t *gd, const uint8_t *rgd, uint64_t n,
		      uint64_t *odd, uint64_t *tables)
{
	uint32_t gt = sparse_gt_sectors(&s->h);

	for (uint64_t i = 0; i < n; i += 4) {
		uint32_t first = le32_get(gd + i), second = le32_get(rgd + i);

		*tables += first != 0;
		if (second)
			*odd += !sparse_table_fits(s, second) ||
				(first && !apart(first, gt, second, gt));
		else
			*odd += first && !s->h.unclean;
	}
}

/*
 * A wrong rgdOffset may lead anywhere in the file, and what is kept in step there would be
 * written over somebody's data: what is no directory in most of its entries is none.
 */
static int doubt_second(struct sparse *s, struct err *e)
{
	uint64_t bytes = s->gd_entries * 4, odd = 0, tables = 0, n;
	uint8_t *buf = malloc(2 * GD_CHUNK);
	int rc = buf ? 0 : err_set(e, -ENOMEM, "no memory for two directories");

	for (uint64_t at = 0; !rc && at < bytes; at += n) {
		n = bytes - at < GD_CHUNK ? bytes - at : GD_CHUNK;
		rc = file_read(s->x.file, buf, n, s->h.gd * SECTOR + at, e);
		if (!rc)
			rc = file_read(s->x.file, buf + GD_CHUNK, n, s->h.rgd * SECTOR + at, e);
		if (!rc)
			count_odd(s, buf, buf + GD_CHUNK, n, &odd, &tables);
	}
	free(buf);
	if (!rc && odd * 2 > tables) {
		s->rgd_bad = true;
		s->copies = 1;
	}
	return rc;
}

static int look_at_header(struct sparse *s, const struct extent_params *p, struct err *e)
{
	struct sparse_header *h = &s->h;
	int rc = sparse_header_read(h, s->x.file, e);

	if (rc)
		return rc;
	s->x.size = h->capacity * SECTOR;
	s->x.grain = h->grain * SECTOR;
	s->gd_entries = sparse_gd_entries(h);
	if (p->size > s->x.size)
		return err_set(e, -EBADMSG, "capacity is %" PRIu64 " sectors, the descriptor "
			       "says %" PRIu64, h->capacity, p->size / SECTOR);
	if (p->size)
		s->x.size = p->size;
	if (s->gd_entries > GD_MAX)
		return err_set(e, -EBADMSG, "capacity is %" PRIu64 " sectors: a directory of %"
			       PRIu64 " entries is too long", h->capacity, s->gd_entries);
	rc = measure_text(s, e);
	if (rc)
		return rc;
	rc = choose_directory(s, e);
	if (rc)
		return rc;
	return s->copies > 1 && (p->writable || p->mend) ? doubt_second(s, e) : 0;
}

int sparse_open(struct extent **x, struct disk_file *f, const struct extent_params *p,
		struct err *e)
{
	struct sparse *s = calloc(1, sizeof(*s));
	uint64_t cache = p->cache ? p->cache : EXTENT_CACHE;
	bool packed;
	int rc;

	if (!s)
		return err_set(e, -ENOMEM, "no memory for an extent");
	s->x.file = f;
	s->x.thin = true;
	rc = look_at_header(s, p, e);
	packed = s->h.flags & SPARSE_COMPRESSED;
	s->x.ops = packed ? &stream_ops : &sparse_ops;
	s->x.writable = p->writable && !packed;
	if (!rc)
		rc = meta_new(&s->meta, f, SECTOR, cache, e);
	s->end = sparse_round_up(f->size, s->x.grain ? s->x.grain : SECTOR);
	if (!rc && s->x.writable && (s->h.unclean || f->device))
		rc = sparse_settle(s, e);
	if (rc) {
		meta_free(s->meta);
		free(s);
		return err_in(e, rc, f->path);
	}
	*x = &s->x;
	return 0;
}
