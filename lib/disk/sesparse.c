/*
 * seSparse extents: ESXi's snapshots on VMFS-6 and of disks over 2 TB.  Directory,
 * tables, bitmap and backmap have their places in front, for the whole disk; grains of 4
 * KiB lie behind, numbered.
 *
 * The format is not published.  What is known, by ESXi's logs and what readers of the
 * format found out, is kept to: headers, where areas are and that they are whole MiB,
 * the entries of directory and tables, nextTxnSeqNumber and replayJournal.  What the
 * rest holds is what fits those facts, and is ours:
 *
 *   freeBitmap   bit n (the lowest of a byte first): grain n is in use
 *   backMap      8 bytes a grain: the number of the table that has it, while it is used
 *   FreeGTNumber tables are taken in order, this is the next one
 *   journal      disk/sesparse_journal.h; a file of another program whose journal is to be
 *                replayed is refused: what it means is known to that program only
 *
 * Before the first write to a file that another program wrote last, bitmap and tables
 * are compared: what is free by the bitmap and used by a table is no bitmap as we
 * understand it, and the file is left alone.
 *
 * The order of writes:
 *
 *   1. data of new grains, their bits and backMap entries, FreeGTNumber;  then a sync
 *   2. grain tables, new ones whole;                                      then a sync
 *   3. directory entries;                                                 then a sync
 *   4. bits of grains that were given up;                                 then a sync
 *
 * What is pointed to is durable, and marked as used, before the pointer is written; bits
 * are cleared when no durable table has the grain.  All entries are aligned words of 8
 * bytes.  So a crash leaves each entry old or new, both lead to whole grains, and at
 * worst grains and tables are marked as used that are not: the journal is not needed,
 * replayJournal stays 0, and who does not know our journal can read the file at any
 * time.  Only resize() uses it, when areas must move.
 *
 * What drop() gives up is punched out of the file.  An entry that was unmapped becomes
 * "zero": "unmapped" is kept where ESXi put it, as is the grain that it points to, which
 * nothing but a repair can tell from one that is used elsewhere.
 */
#include "disk/sesparse.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "disk/sesparse_journal.h"
#include "disk/sesparse_table.h"

#define DIRTY_MIN (64u << 10)	/* bytes of tables that wait for flush(), however small the cache */
#define SE_ENTRY_ZERO	((uint64_t)SE_ZERO << SE_TYPE_SHIFT)

/* What entry v says of grain g. */
static int kind_of(struct sesparse *s, uint64_t g, uint64_t v, enum disk_kind *kind,
		   struct err *e)
{
	switch (se_type(v)) {
	case SE_ABSENT:
		*kind = DISK_ABSENT;
		if (!v)
			return 0;
		break;
	case SE_UNMAPPED:
	case SE_ZERO:
		*kind = DISK_ZERO;
		return 0;
	case SE_ALLOCATED:
		*kind = DISK_DATA;
		if (se_in_file(s, g, se_grain(v)))
			return 0;
	}
	return err_in(e, err_set(e, -EBADMSG, "the grain table entry of sector %" PRIu64 " is %#"
				 PRIx64 ", no grain of the file", g * s->h.grain, v),
		      s->x.file->path);
}

int se_map(struct extent *x, uint64_t off, uint64_t len, struct disk_run *run,
	   struct err *e)
{
	struct sesparse *s = se_of(x);
	uint64_t g = off / x->grain, first = g, end, in = off % x->grain, start = 0;
	struct se_entries t;
	bool stop = false;

	assert(off < x->size);
	if (len > x->size - off)
		len = x->size - off;
	end = (off + len + x->grain - 1) / x->grain;
	while (g < end && !stop) {
		int rc = se_entries(s, g, &t, e);

		if (rc && g == first)
			return rc;
		if (rc)
			break;		/* what comes before it is sound */
		if (t.n > end - g)
			t.n = end - g;
		for (uint32_t i = 0; i < t.n; i++, g++) {
			uint64_t v = t.p ? le64_get(t.p + i * 8) : 0;
			enum disk_kind kind = DISK_ABSENT;

			rc = kind_of(s, g, v, &kind, e);
			if (rc && g == first)
				return rc;
			if (g == first) {
				run->kind = kind;
				start = se_grain(v);
			} else if (rc || kind != run->kind ||
				   (kind == DISK_DATA && se_grain(v) != start + (g - first))) {
				stop = true;
				break;
			}
			if (!t.p) {
				g += t.n;
				break;
			}
		}
	}
	run->len = (g - first) * x->grain - in;
	if (run->len > len)
		run->len = len;
	run->file = x->file;
	run->off = se_grain_off(s, start) + in;
	return 0;
}

static int alloc_room(struct extent *x, uint64_t off, uint64_t len, struct disk_run *run,
		      struct err *e)
{
	struct sesparse *s = se_of(x);
	uint64_t start, n;
	int rc;

	assert(off % x->grain == 0 && len && len % x->grain == 0);
	rc = se_find(s, len / x->grain, &start, &n, e);
	if (rc)
		return rc;
	*run = (struct disk_run){ DISK_DATA, n * x->grain, x->file, se_grain_off(s, start) };
	return 0;
}

static uint64_t run_start(const struct sesparse *s, const struct disk_run *run)
{
	return (run->off - s->h.part[SE_GRAINS].off * SECTOR) / s->x.grain;
}

static void cancel(struct extent *x, const struct disk_run *run)
{
	se_return(se_of(x), run_start(se_of(x), run), run->len / x->grain);
}

/* An entry stops being v. */
static int give_up(struct sesparse *s, uint64_t v, struct err *e)
{
	if (se_type(v) == SE_ALLOCATED && se_grain(v) < se_room(&s->h) &&
	    ranges_add(&s->dropped, se_grain(v), 1))
		return err_set(e, -ENOMEM, "no memory for a list of grains");
	return 0;
}

static int bound_dirty(struct sesparse *s, struct err *e)
{
	return meta_dirty_bytes(s->m) > s->dirty_max ? se_flush(&s->x, e) : 0;
}

static int commit(struct extent *x, uint64_t off, const struct disk_run *run,
		  struct err *e)
{
	struct sesparse *s = se_of(x);
	uint64_t g = off / x->grain, end = g + run->len / x->grain, n = run_start(s, run);
	struct se_entries t;

	while (g < end) {
		int rc = se_entries_new(s, g, &t, e);

		/* Before any entry has them, and this page may be another's then. */
		if (!rc)
			rc = se_take(s, n, t.n < end - g ? t.n : end - g, t.table, e);
		if (!rc)
			rc = se_entries(s, g, &t, e);
		if (rc)
			return rc;
		meta_dirty(s->m, t.block, SE_LEVEL_GT);
		for (; t.n && g < end; t.n--, g++, t.p += 8) {
			rc = give_up(s, le64_get(t.p), e);
			if (rc)
				return rc;
			le64_put(t.p, se_entry(n++));
		}
	}
	ranges_remove(&s->reserved, run_start(s, run), run->len / x->grain);
	return bound_dirty(s, e);
}

int se_drop(struct extent *x, uint64_t off, uint64_t len, bool absent, struct err *e)
{
	struct sesparse *s = se_of(x);
	uint64_t g = off / x->grain, end = (off + len + x->grain - 1) / x->grain;
	uint64_t v = absent ? 0 : SE_ENTRY_ZERO;
	struct se_entries t;
	int rc = se_trust(s, e);

	while (g < end && !rc) {
		bool changed = false;

		rc = absent ? se_entries(s, g, &t, e) : se_entries_new(s, g, &t, e);
		if (!rc && !t.p)
			g += t.n;
		for (; !rc && t.p && t.n && g < end; t.n--, g++, t.p += 8) {
			uint64_t old = le64_get(t.p);

			if (old == v || (!absent && se_type(old) == SE_UNMAPPED))
				continue;
			rc = give_up(s, old, e);
			if (rc)
				break;
			le64_put(t.p, v);
			changed = true;
		}
		if (changed)
			meta_dirty(s->m, t.block, SE_LEVEL_GT);
		if (!rc)
			rc = bound_dirty(s, e);
	}
	return rc;
}

/* No durable table has the dropped grains: they are free. */
static int free_dropped(struct sesparse *s, struct err *e)
{
	struct ranges free = { 0 };
	struct disk_file *f = s->x.file;
	int rc = 0;

	ranges_sort(&s->dropped);
	for (size_t i = 0; i < s->dropped.n && !rc; i++)
		rc = se_clear(s, s->dropped.r[i].start, s->dropped.r[i].len, e);
	free = s->dropped;
	s->dropped = (struct ranges){ 0 };	/* never twice: they may be used from here on */
	if (!rc)
		rc = meta_flush(s->m, e);
	for (size_t i = 0; f->ops->punch && i < free.n && !rc; i++) {
		uint64_t off = se_grain_off(s, free.r[i].start);

		if (off < f->size &&
		    f->ops->punch(f, off, free.r[i].len * s->x.grain, NULL))
			break;		/* it is only for the host's sake */
	}
	ranges_free(&free);
	return rc;
}

int se_flush(struct extent *x, struct err *e)
{
	struct sesparse *s = se_of(x);
	uint8_t buf[SECTOR];
	int rc = 0;

	if (s->broken)
		return err_set(e, -EIO, "%s: cannot go on, a change of its size failed half-way: "
			       "close it", x->file->path);
	if (s->v_dirty) {
		se_volatile_encode(buf, &s->v);
		rc = file_write(x->file, buf, sizeof(buf), s->h.part[SE_VOLATILE].off * SECTOR, e);
	}
	if (!rc && s->sign)
		rc = se_journal_sign(x->file, &s->h, s->v.next_txn, e);
	if (!rc)
		rc = meta_flush(s->m, e);
	if (rc)
		return rc;
	s->v_dirty = s->sign = false;
	return s->dropped.n ? free_dropped(s, e) : 0;
}

static bool dirty(const struct extent *x)
{
	const struct sesparse *s = (const struct sesparse *)x;

	return s->v_dirty || s->sign || s->dropped.n || meta_dirty_bytes(s->m);
}

static void close_sesparse(struct extent *x)
{
	struct sesparse *s = se_of(x);

	meta_free(s->m);
	bits_free(&s->tables);
	ranges_free(&s->reserved);
	ranges_free(&s->dropped);
	file_close(x->file);
	free(s);
}

static const struct extent_ops sesparse_ops = {
	.name = "SESPARSE",
	.map = se_map, .alloc = alloc_room, .commit = commit, .cancel = cancel,
	.drop = se_drop, .flush = se_flush, .dirty = dirty, .resize = se_resize,
	.check = se_check, .close = close_sesparse,
};

/* A journal of ours in head (constant) and vol (volatile header): on disk, too, if that
 * can be written. */
static int replay(struct disk_file *f, uint8_t *head, uint8_t *vol, bool write,
		  struct err *e)
{
	uint64_t at = se_raw_offset(head, SE_VOLATILE);
	struct se_journal j;
	int rc = se_journal_read(&j, f, se_raw_offset(head, SE_JOURNAL_HEADER),
				 se_raw_offset(head, SE_JOURNAL), e);

	if (rc)
		return rc;
	memcpy(head, j.sector[0], SECTOR);
	memcpy(vol, j.sector[1], SECTOR);
	if (!write)
		return 0;
	rc = file_write(f, head, SECTOR, 0, e);
	if (!rc)
		rc = file_sync(f, e);
	if (!rc)
		rc = file_write(f, vol, SECTOR, at * SECTOR, e);
	return rc ? rc : file_sync(f, e);
}

static int cannot_replay(struct disk_file *f, struct err *e)
{
	return err_set(e, -ENOTSUP, "%s: replayJournal is 1, and the journal is known only to the "
		       "program that wrote it: open and close the disk there, or check it with "
		       "repair and lose what the journal has", f->path);
}

/* Headers, as they are after the journal was replayed where that is needed. */
static int open_headers(struct sesparse *s, struct disk_file *f,
			const struct extent_params *p, struct err *e)
{
	uint8_t head[SECTOR], vol[SECTOR];
	uint64_t at;
	int rc = file_read(f, head, SECTOR, 0, e);

	if (rc)
		return rc;
	at = se_raw_offset(head, SE_VOLATILE);
	if (le64_get(head) != SE_MAGIC)
		return err_in(e, se_header_decode(&s->h, head, e), f->path);
	if (at >= f->size / SECTOR)
		return err_in(e, err_set(e, -EBADMSG, "volatileHeader is sector %" PRIu64
					 ", the file ends before", at), f->path);
	rc = file_read(f, vol, SECTOR, at * SECTOR, e);
	if (rc)
		return rc;
	rc = se_volatile_decode(&s->v, vol, e);
	if (rc)
		return err_in(e, rc, f->path);
	if (s->v.replay) {
		rc = replay(f, head, vol, p->writable, e);
		if (rc == -ENOTSUP && !p->mend)
			return cannot_replay(f, e);
		if (rc && rc != -ENOTSUP)
			return rc;
		s->foreign_journal = rc == -ENOTSUP;
		rc = rc ? 0 : se_volatile_decode(&s->v, vol, e);
	}
	if (!rc)
		rc = se_header_decode(&s->h, head, e);
	return rc ? err_in(e, rc, f->path) : 0;
}

static int check_places(const struct sesparse *s, const struct disk_file *f,
			uint64_t size, struct err *e)
{
	static const enum se_part read[] = { SE_DIRECTORY, SE_TABLES };

	if (size > s->h.capacity * SECTOR)
		return err_set(e, -EBADMSG, "capacity is %" PRIu64 ", the descriptor says %"
			       PRIu64, s->h.capacity, size / SECTOR);
	for (unsigned i = 0; i < 2; i++) {
		uint64_t off = s->h.part[read[i]].off, n = s->h.part[read[i]].size;

		/* Tables may be cut off where none was used yet: each is looked at. */
		if (off > f->size / SECTOR || (read[i] == SE_DIRECTORY && off + n > f->size / SECTOR))
			return err_set(e, -EBADMSG, "%s is <%" PRIu64 ": %" PRIu64
				       ">, the file ends before", se_part_name[read[i]], off, n);
	}
	return 0;
}

int sesparse_open(struct extent **x, struct disk_file *f, const struct extent_params *p,
		  struct err *e)
{
	struct sesparse *s = calloc(1, sizeof(*s));
	uint64_t cache = p->cache ? p->cache : EXTENT_CACHE;
	int rc;

	if (!s)
		return err_set(e, -ENOMEM, "no memory for a seSparse extent");
	rc = open_headers(s, f, p, e);
	if (!rc) {
		rc = check_places(s, f, p->size, e);
		if (rc)
			err_in(e, rc, f->path);
	}
	if (!rc)
		rc = meta_new(&s->m, f, SE_PAGE, cache, e);
	if (rc) {
		free(s);
		return rc;
	}
	s->x.ops = &sesparse_ops;
	s->x.file = f;
	s->x.size = p->size ? p->size : s->h.capacity * SECTOR;
	s->x.grain = s->h.grain * SECTOR;
	s->x.writable = p->writable;
	s->x.thin = true;
	s->dirty_max = cache / 2 < DIRTY_MIN ? DIRTY_MIN : cache / 2;
	*x = &s->x;
	return 0;
}

int sesparse_create(struct disk_file *f, const struct sesparse_create *k, struct err *e)
{
	uint64_t grain = k->grain ? k->grain : SESPARSE_GRAIN;
	struct se_header h = {
		.grain = grain / SECTOR, .capacity = k->size / SECTOR,
		.part = { [SE_VOLATILE] = { 1, 1 }, [SE_JOURNAL_HEADER] = { 2, 2 },
			  [SE_JOURNAL] = { 2048, 2048 } },
	};
	struct se_volatile v = { 0 };
	uint8_t buf[SECTOR];
	int rc;

	if (grain < 4096 || (grain & (grain - 1)) || grain > 1u << 20)
		return err_set(e, -EINVAL, "a seSparse extent has grains of 4 KiB to 1 MiB");
	if (!k->size || k->size % SECTOR || k->size > SESPARSE_SIZE_MAX)
		return err_set(e, -EINVAL, "a seSparse extent has 512 bytes to 62 TiB");
	se_layout(&h, SE_FIRST);
	rc = file_resize(f, h.part[SE_GRAINS].off * SECTOR, e);
	se_volatile_encode(buf, &v);
	if (!rc)
		rc = file_write(f, buf, sizeof(buf), h.part[SE_VOLATILE].off * SECTOR, e);
	if (!rc)
		rc = se_journal_sign(f, &h, v.next_txn, e);
	if (!rc)
		rc = file_sync(f, e);
	if (rc)
		return rc;
	se_header_encode(buf, &h);
	rc = file_write(f, buf, sizeof(buf), 0, e);
	return rc ? rc : file_sync(f, e);
}
