/*
 * vmfsSparse extents ("COWD"): ESX's snapshots of disks up to 2 TB.  A grain directory,
 * grain tables of 4096 entries, and grains, usually of one sector.  Nothing in the file
 * says which sectors are free, but that all behind freeSector are.
 *
 * The order of writes:
 *
 *   1. data of new grains, and, where needed, a greater freeSector;   then a sync
 *   2. grain tables, new ones whole;                                  then a sync
 *   3. entries of the grain directory;                                then a sync
 *
 * What is pointed to is durable before the pointer is written, and freeSector lies
 * behind all that any table has ever pointed to.  So a crash leaves each table entry
 * old or new, and both lead to whole grains; at worst room between the last grain and
 * freeSector, which grows by 1 MiB at a time, is lost.  Closing makes it exact.
 * An entry is 4 bytes, changed alone.  Sectors that a table gave up are used again
 * while the file stays open, after step 2 of a later flush; what lies there is punched out of
 * the file, so that lost sectors take no room on the host.
 *
 * Example, one grain of a fresh 1 GiB disk (grain directory in sectors 4 to 7):
 *   alloc   room at sector 8; freeSector becomes 2048, the file 2 MiB (in memory)
 *   (data are written to sector 8)
 *   commit  no table yet: room at sector 9 to 40 for one; its entry := 8,
 *           directory entry := 9 (in memory)
 *   flush   write header; sync; write sectors 9-40; sync; write sector 4; sync
 *   close   freeSector := 41
 */
#include "disk/cowd.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "disk/cowd_table.h"

#define PUNCH	4096u	/* bytes: file systems give room back in such pieces */
#define DIRTY_MIN (64u << 10)	/* bytes of tables that wait for flush(), however small the cache */
#define AVAIL_MAX 4096u	/* pieces of room that are kept in mind: each search looks at them */

/* What entry v says of grain g. */
static int kind_of(struct cowd *c, uint64_t g, uint32_t v, enum disk_kind *kind,
		   struct err *e)
{
	uint64_t bytes = c->x.size - g * c->x.grain;

	if (bytes > c->x.grain)
		bytes = c->x.grain;
	if (v == COWD_ABSENT || v == COWD_ZERO) {
		*kind = v == COWD_ZERO ? DISK_ZERO : DISK_ABSENT;
		return 0;
	}
	if (v < COWD_HEADER_SECTORS || !file_has(c->x.file, (uint64_t)v * SECTOR + bytes))
		return err_in(e, err_set(e, -EBADMSG, "the grain table entry of sector %" PRIu64
					 " is sector %" PRIu32 ", not in the file",
					 g * cowd_unit(c), v), c->x.file->path);
	*kind = DISK_DATA;
	return 0;
}

int cowd_map(struct extent *x, uint64_t off, uint64_t len, struct disk_run *run,
	     struct err *e)
{
	struct cowd *c = cowd_of(x);
	uint64_t g = off / x->grain, first = g, end, in = off % x->grain;
	uint32_t start = 0, unit = cowd_unit(c), n, i;
	uint64_t block;
	bool stop = false;

	assert(off < x->size);
	if (len > x->size - off)
		len = x->size - off;
	end = (off + len + x->grain - 1) / x->grain;
	while (g < end && !stop) {
		uint8_t *p;
		int rc = cowd_entries(c, g, &p, &n, &block, e);

		if (rc && g == first)
			return rc;
		if (rc)
			break;		/* what comes before it is sound */
		if (n > end - g)
			n = end - g;
		for (i = 0; i < n; i++, g++) {
			uint32_t v = p ? le32_get(p + i * 4) : COWD_ABSENT;
			enum disk_kind kind;

			rc = kind_of(c, g, v, &kind, e);
			if (rc && g == first)
				return rc;
			if (g == first) {
				run->kind = kind;
				start = v;
			} else if (rc || kind != run->kind ||
				   (kind == DISK_DATA && v != start + (g - first) * unit)) {
				stop = true;
				break;
			}
			if (!p) {
				g += n;
				break;
			}
		}
	}
	run->len = (g - first) * x->grain - in;
	if (run->len > len)
		run->len = len;
	run->file = x->file;
	run->off = (uint64_t)start * SECTOR + in;
	return 0;
}

static int alloc_room(struct extent *x, uint64_t off, uint64_t len, struct disk_run *run,
		      struct err *e)
{
	struct cowd *c = cowd_of(x);
	uint64_t start, n;
	int rc;

	assert(off % x->grain == 0 && len && len % x->grain == 0);
	rc = cowd_room(c, len / SECTOR, cowd_unit(c), &start, &n, e);
	if (rc)
		return rc;
	*run = (struct disk_run){ DISK_DATA, n * SECTOR, x->file, start * SECTOR };
	return 0;
}

static void cancel(struct extent *x, const struct disk_run *run)
{
	struct cowd *c = cowd_of(x);
	uint64_t start = run->off / SECTOR, n = run->len / SECTOR;

	if (start + n == c->next)
		c->next = start;
	else
		ranges_add(&c->avail, start, n);	/* no memory: not used again */
}

/* An entry stops pointing to v. */
static void give_up(struct cowd *c, uint32_t v)
{
	if (v >= COWD_HEADER_SECTORS)
		ranges_add(&c->dropped, v, cowd_unit(c));	/* no memory: room is lost */
}

static int bound_dirty(struct cowd *c, struct err *e)
{
	return meta_dirty_bytes(c->m) > c->dirty_max ? cowd_flush(&c->x, e) : 0;
}

static int commit(struct extent *x, uint64_t off, const struct disk_run *run,
		  struct err *e)
{
	struct cowd *c = cowd_of(x);
	uint64_t g = off / x->grain, end = g + run->len / x->grain, block;
	uint32_t v = run->off / SECTOR, n;

	while (g < end) {
		uint8_t *p;
		int rc = cowd_entries_new(c, g, &p, &n, &block, e);

		if (rc)
			return rc;
		for (; n && g < end; n--, g++, p += 4, v += cowd_unit(c)) {
			give_up(c, le32_get(p));
			le32_put(p, v);
		}
		meta_dirty(c->m, block, COWD_LEVEL_GT);
	}
	return bound_dirty(c, e);
}

int cowd_drop(struct extent *x, uint64_t off, uint64_t len, bool absent, struct err *e)
{
	struct cowd *c = cowd_of(x);
	uint64_t g = off / x->grain, end = (off + len + x->grain - 1) / x->grain, block;
	uint32_t v = absent ? COWD_ABSENT : COWD_ZERO, n;

	while (g < end) {
		bool changed = false;
		uint8_t *p;
		int rc = absent ? cowd_entries(c, g, &p, &n, &block, e) :
				  cowd_entries_new(c, g, &p, &n, &block, e);

		if (rc)
			return rc;
		if (!p) {
			g += n;
			continue;
		}
		for (; n && g < end; n--, g++, p += 4) {
			uint32_t old = le32_get(p);

			if (old == v)
				continue;
			give_up(c, old);
			le32_put(p, v);
			changed = true;
		}
		if (changed)
			meta_dirty(c->m, block, COWD_LEVEL_GT);
		rc = bound_dirty(c, e);
		if (rc)
			return rc;
	}
	return 0;
}

/* Nothing on disk refers to the dropped sectors any more. */
static void reuse_dropped(struct cowd *c)
{
	struct disk_file *f = c->x.file;

	ranges_sort(&c->dropped);
	for (size_t i = 0; f->ops->punch && i < c->dropped.n; i++) {
		const struct range *r = &c->dropped.r[i];
		uint64_t from = (r->start * SECTOR + PUNCH - 1) / PUNCH * PUNCH;
		uint64_t to = (r->start + r->len) * SECTOR / PUNCH * PUNCH;

		if (from < to && f->ops->punch(f, from, to - from, NULL))
			break;		/* it is only for the host's sake */
	}
	if (ranges_move(&c->avail, &c->dropped))
		ranges_free(&c->dropped);
	if (c->avail.n > AVAIL_MAX)
		ranges_sort(&c->avail);
	if (c->avail.n > AVAIL_MAX)
		c->avail.n = AVAIL_MAX;		/* the others are holes from here on */
}

int cowd_flush(struct extent *x, struct err *e)
{
	struct cowd *c = cowd_of(x);
	int rc = c->mark_dirty ? cowd_write_header(c, e) : 0;

	if (!rc)
		rc = meta_flush(c->m, e);
	if (rc)
		return rc;
	c->mark_dirty = false;
	reuse_dropped(c);
	return 0;
}

static bool dirty(const struct extent *x)
{
	const struct cowd *c = (const struct cowd *)x;

	return c->mark_dirty || c->dropped.n || meta_dirty_bytes(c->m);
}

static void close_cowd(struct extent *x)
{
	struct cowd *c = cowd_of(x);

	/* All that is on disk and all that was not flushed lies before next. */
	if (c->written && c->next < c->h.free) {
		c->h.free = c->next;
		cowd_write_header(c, NULL);	/* if not, some room is lost */
	}
	meta_free(c->m);
	ranges_free(&c->avail);
	ranges_free(&c->dropped);
	file_close(x->file);
	free(c);
}

static const struct extent_ops cowd_ops = {
	.name = "VMFSSPARSE",
	.map = cowd_map, .alloc = alloc_room, .commit = commit, .cancel = cancel,
	.drop = cowd_drop, .flush = cowd_flush, .dirty = dirty, .resize = cowd_resize,
	.check = cowd_check, .close = close_cowd,
};

/* Does each entry of a directory lead to a table in the file, and one to any? */
static bool is_directory(struct disk_file *f, const struct cowd_header *h)
{
	uint64_t end = h->gd + (uint64_t)cowd_gd_sectors(h->gd_entries), sectors = f->size / SECTOR;
	uint8_t *gd = end <= sectors ? malloc((size_t)h->gd_entries * 4) : NULL;
	bool any = false, good;

	good = gd && !file_read(f, gd, (size_t)h->gd_entries * 4, (uint64_t)h->gd * SECTOR, NULL);
	for (uint32_t i = 0; good && i < h->gd_entries; i++) {
		uint32_t v = le32_get(gd + i * 4);

		good = !v || (v >= end && (uint64_t)v + COWD_GT_SECTORS <= sectors);
		any |= v != 0;
	}
	free(gd);
	return good && any;
}

/* A header that was written over is what ESX's is for the disk, if a directory is where
 * that would say.  QEMU does so: see vmdk(5). */
static bool guess_header(struct cowd *c, uint8_t *buf, struct disk_file *f,
			 const struct extent_params *p)
{
	struct cowd_header h = {
		.flags = COWD_ROOT | COWD_CHECKCAPABLE, .grain = 1, .gd = COWD_HEADER_SECTORS,
		.capacity = (uint32_t)(p->size / SECTOR),
	};

	/* One wrong field is damage that its name says, not a header that is gone. */
	if (le32_get(buf) == COWD_MAGIC)
		return false;
	if (!p->size || p->size > cowd_size_max(0))
		return false;
	h.gd_entries = cowd_tables(h.capacity, 1);
	h.free = f->size / SECTOR < COWD_SECTORS_MAX ? (uint32_t)(f->size / SECTOR) : COWD_SECTORS_MAX;
	if (!is_directory(f, &h))
		return false;
	cowd_header_encode(buf, &h);
	c->h = h;
	c->lost = true;
	return true;
}

static int open_header(struct cowd *c, struct disk_file *f, const struct extent_params *p,
		       struct err *e)
{
	uint8_t buf[COWD_HEADER];
	uint64_t own;
	int rc = file_read(f, buf, sizeof(buf), 0, e);

	if (rc)
		return rc;
	rc = cowd_header_decode(&c->h, buf, e);
	if (rc && !(rc == -EBADMSG && p->mend && guess_header(c, buf, f, p)))
		return err_in(e, rc, f->path);
	memcpy(c->sector, buf, SECTOR);
	own = (uint64_t)c->h.capacity * SECTOR;
	if (p->size > own)
		return err_in(e, err_set(e, -EBADMSG, "numSectors is %" PRIu32
					 ", the descriptor says %" PRIu64, c->h.capacity,
					 p->size / SECTOR), f->path);
	if (((uint64_t)c->h.gd + cowd_gd_sectors(c->h.gd_entries)) * SECTOR > f->size)
		return err_in(e, err_set(e, -EBADMSG, "gdOffset is %" PRIu32 " and numGDEntries %"
					 PRIu32 ": the file ends before", c->h.gd,
					 c->h.gd_entries), f->path);
	c->x.size = p->size ? p->size : own;
	c->x.grain = (uint64_t)c->h.grain * SECTOR;
	c->next = c->h.free;
	return 0;
}

int cowd_open(struct extent **x, struct disk_file *f, const struct extent_params *p,
	      struct err *e)
{
	struct cowd *c = calloc(1, sizeof(*c));
	uint64_t cache = p->cache ? p->cache : EXTENT_CACHE;
	int rc;

	if (!c)
		return err_set(e, -ENOMEM, "no memory for a vmfsSparse extent");
	rc = open_header(c, f, p, e);
	if (!rc)
		rc = meta_new(&c->m, f, SECTOR, cache, e);
	if (rc) {
		free(c);
		return rc;
	}
	c->x.ops = &cowd_ops;
	c->x.file = f;
	c->x.writable = p->writable;
	c->x.thin = true;
	c->dirty_max = cache / 2 < DIRTY_MIN ? DIRTY_MIN : cache / 2;
	*x = &c->x;
	return 0;
}

uint64_t cowd_size_max(uint64_t grain)
{
	uint64_t unit = grain ? grain / SECTOR : 1;
	/* A table of 32 sectors and 4 bytes in the directory for each 4096 grains. */
	uint64_t each = COWD_GTES * unit + COWD_GT_SECTORS;
	uint64_t tables = (COWD_SECTORS_MAX - COWD_HEADER_SECTORS - 64) / each;

	tables -= cowd_gd_sectors(tables) / each + 1;
	return tables * COWD_GTES * unit * SECTOR;
}

int cowd_create(struct disk_file *f, const struct cowd_create *k, struct err *e)
{
	uint64_t grain = k->grain ? k->grain : SECTOR, used;
	struct cowd_header h = { .flags = COWD_ROOT | COWD_CHECKCAPABLE };
	uint8_t buf[COWD_HEADER];
	int rc;

	if (grain < SECTOR || (grain & (grain - 1)) || grain > 1u << 20)
		return err_set(e, -EINVAL, "a vmfsSparse extent has grains of 512 bytes to 1 MiB");
	if (!k->size || k->size % SECTOR || k->size > cowd_size_max(grain))
		return err_set(e, -EINVAL, "a vmfsSparse extent of this grain has 512 to %" PRIu64
			       " bytes", cowd_size_max(grain));
	h.capacity = k->size / SECTOR;
	h.grain = grain / SECTOR;
	h.gd = COWD_HEADER_SECTORS;
	h.gd_entries = cowd_tables(h.capacity, h.grain);
	used = h.gd + cowd_gd_sectors(h.gd_entries);
	h.free = (used + 7) & ~UINT64_C(7);	/* grains in whole pages of the host */
	rc = file_resize(f, (h.free / 2048 + 1) * 2048 * (uint64_t)SECTOR, e);
	if (!rc)
		rc = file_sync(f, e);
	if (rc)
		return rc;
	cowd_header_encode(buf, &h);
	rc = file_write(f, buf, sizeof(buf), 0, e);
	return rc ? rc : file_sync(f, e);
}
