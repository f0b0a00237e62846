#ifndef DISK_RIG_H
#define DISK_RIG_H
/*
 * What tests of sparse extents share: a model of what an extent must hold, and
 * operations on both.
 *
 * The model has for each sector the values that a reader may find: the flushed one, and
 * those written since.  A value is a stamp: 0 zeros, 1 the parent's, else a number that
 * each 8-byte word of the sector contains.
 */
#include <inttypes.h>
#include <stdarg.h>

#include "check.h"
#include "disk/extent.h"
#include "disk_mem.h"

#define RIG_VALUES 14

struct rig_sector {
	uint32_t stamp[RIG_VALUES];
	uint8_t n;		/* stamp[n - 1] is the last one */
	uint8_t sure;		/* the last one that was written without an error */
};

struct rig {
	struct mem_disk disk;
	struct extent *x;
	int (*open)(struct extent **, struct disk_file *, const struct extent_params *,
		    struct err *);
	struct rig_sector *sector;
	uint64_t sectors;	/* of the disk now */
	uint64_t room;		/* of sector */
	uint64_t other;		/* or of this size, while it is resized or when that failed */
	uint32_t stamp;
	unsigned fuller;	/* most values of a sector: flush before RIG_VALUES */
	uint64_t cache;		/* of the extent */
	bool mend;		/* open it in spite of damage */
	unsigned crash_odds;	/* a crash is tried at one of so many operations */
	unsigned crashes;
	unsigned reported, leaks;	/* by the last check */
	char last[200];		/* the last thing reported that was no leak */
};

static inline uint64_t rig_word(uint32_t stamp, uint64_t sector, unsigned i)
{
	if (!stamp)
		return 0;
	return (uint64_t)stamp << 40 | sector << 8 | i;
}

static inline void rig_fill(uint8_t *p, uint32_t stamp, uint64_t sector)
{
	for (unsigned i = 0; i < SECTOR / 8; i++) {
		uint64_t w = rig_word(stamp, sector, i);

		memcpy(p + i * 8, &w, 8);
	}
}

/* Values that a reader may find, from index "from" on: does p hold only those?  Words
 * of several values may be mixed: a sector that was being written is torn. */
static inline bool rig_allowed(const struct rig_sector *s, unsigned from, const uint8_t *p,
			       uint64_t sector)
{
	for (unsigned i = 0; i < SECTOR / 8; i++) {
		bool ok = false;
		uint64_t w;

		memcpy(&w, p + i * 8, 8);
		for (unsigned k = from; k < s->n && !ok; k++)
			ok = w == rig_word(s->stamp[k], sector, i);
		if (!ok)
			return false;
	}
	return true;
}

static inline void rig_add(struct rig *r, uint64_t sector, uint32_t stamp)
{
	struct rig_sector *s = &r->sector[sector];

	if (s->n == RIG_VALUES) {	/* may be found no more: it was flushed since */
		memmove(s->stamp, s->stamp + 1, sizeof(s->stamp) - sizeof(s->stamp[0]));
		s->n--;
		if (s->sure)
			s->sure--;
	}
	s->stamp[s->n++] = stamp;
	if (s->n > r->fuller)
		r->fuller = s->n;
}

/* The last value of these was written without an error. */
static inline void rig_sure(struct rig *r, uint64_t sector, uint64_t n)
{
	for (; n--; sector++)
		r->sector[sector].sure = r->sector[sector].n - 1;
}

static inline void rig_flushed(struct rig *r)
{
	r->fuller = 1;
	if (!r->disk.nops)	/* one that was opened anew has nothing to sync */
		r->other = r->sectors;
	for (uint64_t i = 0; i < r->room; i++) {
		struct rig_sector *s = &r->sector[i];

		memmove(s->stamp, s->stamp + s->sure, (s->n - s->sure) * sizeof(s->stamp[0]));
		s->n -= s->sure;
		s->sure = 0;
		if (s->n > r->fuller)
			r->fuller = s->n;
	}
}

/* It was closed without a flush: any value since the last one may be there. */
static inline void rig_lost(struct rig *r)
{
	for (uint64_t i = 0; i < r->room; i++)
		r->sector[i].sure = 0;
}

static inline void rig_size(struct rig *r, uint64_t sectors)
{
	if (sectors > r->room) {
		r->sector = realloc(r->sector, sectors * sizeof(*r->sector));
		for (uint64_t i = r->room; i < sectors; i++)
			r->sector[i] = (struct rig_sector){ .stamp = { 1 }, .n = 1 };
		r->room = sectors;
	}
	r->sectors = sectors;
}

/* Read sectors of an extent, what is absent from the parent (stamp 1). */
static inline int rig_read(struct extent *x, uint64_t sector, uint64_t n, uint8_t *buf,
			   struct err *e)
{
	uint64_t off = sector * SECTOR, len = n * SECTOR;

	while (len) {
		struct disk_run run;
		int rc = x->ops->map(x, off, len, &run, e);

		if (rc)
			return rc;
		check(run.len && run.len % SECTOR == 0 && run.len <= len,
		      "run of %" PRIu64 " at %" PRIu64, run.len, off);
		if (!run.len || run.len > len)
			return -EIO;
		if (run.kind == DISK_DATA) {
			rc = file_read(run.file, buf, run.len, run.off, e);
			if (rc)
				return rc;
		} else {
			for (uint64_t i = 0; i < run.len; i += SECTOR)
				rig_fill(buf + i, run.kind == DISK_ABSENT, (off + i) / SECTOR);
		}
		off += run.len;
		len -= run.len;
		buf += run.len;
	}
	return 0;
}

/* Write as lib/disk/disk.c does: in place where there is room, else new grains, with
 * what was there around the data. */
static inline int rig_put(struct extent *x, uint64_t off, uint64_t len, const uint8_t *buf,
			  struct err *e)
{
	while (len) {
		uint64_t head = off % x->grain, n, span, start = off - head;
		struct disk_run run;
		uint8_t *g;
		int rc = x->ops->map(x, off, len, &run, e);

		if (rc)
			return rc;
		n = run.len < len ? run.len : len;
		if (run.kind == DISK_DATA) {
			rc = file_write(run.file, buf, n, run.off, e);
			if (rc)
				return rc;
			goto next;
		}
		span = (head + n + x->grain - 1) / x->grain * x->grain;
		rc = x->ops->alloc(x, start, span, &run, e);
		if (rc)
			return rc;
		check(run.len && run.len % x->grain == 0 && run.len <= span, "room of %" PRIu64,
		      run.len);
		if (n > run.len - head)
			n = run.len - head;
		g = calloc(1, run.len);
		for (uint64_t at = 0; at < run.len && start + at < x->size && !rc; at += SECTOR)
			if (start + at < off || start + at >= off + n)
				rc = rig_read(x, (start + at) / SECTOR, 1, g + at, e);
		memcpy(g + head, buf, n);
		if (!rc)
			rc = file_write(run.file, g, run.len, run.off, e);
		free(g);
		if (!rc)
			rc = x->ops->commit(x, start, &run, e);
		else
			x->ops->cancel(x, &run);
		if (rc)
			return rc;
next:
		off += n;
		len -= n;
		buf += n;
	}
	return 0;
}

static inline void __attribute__((format(printf, 5, 6)))
rig_report(void *ptr, const char *kind, bool leak, bool repaired, const char *fmt, ...)
{
	struct rig *r = ptr;
	va_list ap;

	if (leak) {
		r->leaks++;
		return;
	}
	r->reported++;
	va_start(ap, fmt);
	snprintf(r->last, sizeof(r->last), "%s: ", kind);
	vsnprintf(r->last + strlen(r->last), sizeof(r->last) - strlen(r->last), fmt, ap);
	va_end(ap);
}

static inline int rig_check(struct rig *r, struct extent *x, bool repair, struct err *e)
{
	struct extent_check k = { .repair = repair, .ptr = r, .report = rig_report };

	r->reported = r->leaks = 0;
	return (x->ops->check)(x, &k, e);	/* not the macro */
}

static inline void rig_open(struct rig *r)
{
	struct extent_params p = { .writable = true, .cache = r->cache, .mend = r->mend };
	struct disk_file *f = mem_file(&r->disk, true);
	struct err e = { 0 };
	int rc = r->open(&r->x, f, &p, &e);

	check(!rc, "open: %s", e.msg);
	if (rc) {
		printf("cannot go on\n");
		exit(1);
	}
}

/* All that is read is what may be there; "from" says for a sector from which value on. */
static inline void rig_compare(struct rig *r, struct extent *x, bool crashed)
{
	uint64_t n = x->size / SECTOR, part = 2048;
	uint8_t *buf = malloc(part * SECTOR);
	struct err e = { 0 };
	unsigned bad = 0;

	for (uint64_t at = 0; at < n && bad < 3; at += part) {
		uint64_t end = n - at < part ? n : at + part;
		int rc = rig_read(x, at, end - at, buf, &e);

		check(!rc, "read: %s", e.msg);
		for (uint64_t i = at; i < end && !rc && bad < 3; i++) {
			const struct rig_sector *s = &r->sector[i];
			const uint8_t *p = buf + (i - at) * SECTOR;

			if (rig_allowed(s, crashed ? 0 : s->sure, p, i))
				continue;
			bad++;
			check(0, "sector %" PRIu64 " (%s) has %016" PRIx64 ", the last of %u is "
			      "%016" PRIx64, i, crashed ? "crash" : "live", *(uint64_t *)p, s->n,
			      rig_word(s->stamp[s->n - 1], i, 0));
		}
	}
	free(buf);
}

/* A crash now: is what is left valid, with all that was flushed? */
static inline void rig_try_crash(void *ptr)
{
	struct rig *r = ptr;
	struct extent_params p = { .writable = true, .cache = r->cache };
	struct mem_disk left;
	struct extent *x;
	struct err e = { 0 };
	int rc;

	if (rig_rand(r->crash_odds))
		return;
	r->crashes++;
	mem_crash(&r->disk, &left);
	rc = r->open(&x, mem_file(&left, true), &p, &e);
	check(!rc, "open after a crash: %s", e.msg);
	if (!rc) {
		check(x->size == r->sectors * SECTOR || x->size == r->other * SECTOR,
		      "size %" PRIu64 " after a crash", x->size);
		rig_compare(r, x, true);
		rc = rig_check(r, x, false, &e);
		check(!rc && !r->reported, "check after a crash: %s %s", e.msg, r->last);
		if (rig_rand(4) == 0) {		/* and it can be gone on with */
			uint8_t buf[64 * SECTOR];
			uint64_t max = x->size / SECTOR < 64 ? x->size / SECTOR : 64;
			uint64_t n = 1 + rig_rand(max), at = rig_rand(x->size / SECTOR - n + 1);
			struct rig_sector *keep = malloc(n * sizeof(*keep));

			memcpy(keep, &r->sector[at], n * sizeof(*keep));
			for (uint64_t i = 0; i < n; i++) {
				rig_fill(buf + i * SECTOR, 0xeeeeee, at + i);
				r->sector[at + i] = (struct rig_sector){ .stamp = { 0xeeeeee }, .n = 1 };
			}
			rc = rig_put(x, at * SECTOR, n * SECTOR, buf, &e);
			check(!rc, "write after a crash: %s", e.msg);
			rc = x->ops->flush(x, &e);
			check(!rc, "flush after a crash: %s", e.msg);
			rig_compare(r, x, true);
			rc = rig_check(r, x, true, &e);
			check(!rc && !r->reported, "repair after a crash: %s %s", e.msg, r->last);
			rig_compare(r, x, true);
			rc = rig_check(r, x, false, &e);
			check(!rc && !r->reported && !r->leaks,
			      "check after repair: %s %s, %u leaks", e.msg, r->last, r->leaks);
			memcpy(&r->sector[at], keep, n * sizeof(*keep));
			free(keep);
		}
		extent_close(x);
	}
	mem_free(&left);
}

/* Operations; each says whether it was done without an error. */

static inline bool rig_write(struct rig *r, uint64_t at, uint64_t n)
{
	uint8_t *buf = calloc(n, SECTOR);
	struct err e = { 0 };
	int rc;

	r->stamp++;
	for (uint64_t i = 0; i < n; i++) {
		rig_fill(buf + i * SECTOR, r->stamp, at + i);
		rig_add(r, at + i, r->stamp);
	}
	rc = rig_put(r->x, at * SECTOR, n * SECTOR, buf, &e);
	if (!rc)
		rig_sure(r, at, n);
	check(!rc || r->disk.fail_at, "write: %s", e.msg);
	free(buf);
	return !rc;
}

static inline bool rig_drop(struct rig *r, uint64_t at, uint64_t n, bool absent)
{
	uint64_t unit = r->x->grain / SECTOR, end = at + n;
	struct err e = { 0 };
	int rc;

	at -= at % unit;
	end = (end + unit - 1) / unit * unit;
	if (end > r->sectors)
		end = r->sectors;
	for (uint64_t i = at; i < end; i++)
		rig_add(r, i, absent);
	rc = r->x->ops->drop(r->x, at * SECTOR, (end - at) * SECTOR, absent, &e);
	if (!rc)
		rig_sure(r, at, end - at);
	check(!rc || r->disk.fail_at, "drop: %s", e.msg);
	return !rc;
}

static inline bool rig_flush(struct rig *r)
{
	struct err e = { 0 };
	int rc = r->x->ops->flush(r->x, &e);

	if (!rc)
		rig_flushed(r);
	check(!rc || r->disk.fail_at, "flush: %s", e.msg);
	return !rc;
}

static inline bool rig_resize(struct rig *r, uint64_t sectors)
{
	uint64_t old = r->sectors, unit = r->x->grain / SECTOR, i;
	struct err e = { 0 };
	int rc;

	r->other = old < sectors ? old : sectors;
	rig_size(r, old > sectors ? old : sectors);
	/* What is cut off comes back as the parent's, what comes new is it; but in a grain
	 * that is cut and has data, that is zeros. */
	for (i = sectors; i < r->room; i++)
		rig_add(r, i, 1);
	for (i = old; i % unit && i < sectors; i++)
		rig_add(r, i, 0);
	rc = r->x->ops->resize(r->x, sectors * SECTOR, &e);
	check(!rc || r->disk.fail_at, "resize: %s", e.msg);
	if (!rc) {
		for (i = sectors; i < r->room; i++)
			r->sector[i].sure = r->sector[i].n - 1;
		for (i = sectors; i % unit && i < r->room; i++)
			rig_add(r, i, 0);
		rig_flushed(r);
		check(r->x->size == sectors * SECTOR, "size");
	}
	r->sectors = r->x->size / SECTOR;
	r->other = rc ? sectors : r->sectors;
	return !rc;
}

/* One operation of any kind, on up to max sectors. */
static inline void rig_any(struct rig *r, uint64_t max)
{
	uint64_t n = 1 + (rig_rand(4) ? rig_rand(16) : rig_rand(max)), at;
	unsigned what = rig_rand(100);

	if (n > r->sectors)
		n = r->sectors;
	at = rig_rand(r->sectors - n + 1);
	if (r->fuller > RIG_VALUES - 4 || what < 5) {
		rig_flush(r);
	} else if (what < 65) {
		rig_write(r, at, n);
	} else if (what < 90) {
		rig_drop(r, at, n, what & 1);
	} else if (what < 95) {
		rig_compare(r, r->x, false);
	} else if (rig_flush(r)) {
		extent_close(r->x);
		rig_open(r);
	}
}

static inline void rig_free(struct rig *r)
{
	extent_close(r->x);
	mem_free(&r->disk);
	free(r->sector);
	memset(r, 0, sizeof(*r));
}
#endif
