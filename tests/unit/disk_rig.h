#ifndef DISK_RIG_H
#define DISK_RIG_H
/*
 * What tests of sparse extents share: a file in memory that can crash and fail, and a
 * model of what an extent must hold.
 *
 * The file keeps what is durable and, in order, what was done since the last sync.  A
 * crash keeps any subset of the latter, the last of them torn at a multiple of 8 bytes.
 *
 * The model has for each sector the values that a reader may find: the flushed one, and
 * those written since.  A value is a stamp: 0 zeros, 1 the parent's, else a number that
 * each 8-byte word of the sector contains.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "disk/extent.h"

static uint64_t rig_rand_state = 0x9e3779b97f4a7c15u;

static inline uint64_t rig_rand(uint64_t below)
{
	rig_rand_state ^= rig_rand_state << 13;
	rig_rand_state ^= rig_rand_state >> 7;
	rig_rand_state ^= rig_rand_state << 17;
	return rig_rand_state % below;
}

/* The file. */

enum { MEM_WRITE, MEM_ZERO, MEM_SIZE };

struct mem_op {
	int kind;
	uint64_t off, len;	/* MEM_SIZE: off is the size */
	uint8_t *data;
};

struct mem_image {
	uint8_t *p;
	uint64_t size, room;
};

struct mem_disk {
	struct mem_image live, durable;
	struct mem_op *op;	/* since the last sync */
	size_t nops, ops_room;
	uint64_t calls;		/* of writing hooks */
	uint64_t fail_at;	/* this call fails, 0: none; and all behind it if fail_all */
	bool fail_all;
	int fail_rc;
	bool tracked;		/* op and durable are kept */
	uint64_t max;		/* bytes: the file can be no longer; 0: it can */
	uint64_t bytes_written, writes, syncs;
	void (*hook)(void *ptr);	/* before each sync and some writes: crash now? */
	void *hook_ptr;
};

static inline void mem_set_size(struct mem_image *m, uint64_t size)
{
	if (size > m->room) {
		uint64_t room = m->room ? m->room : 4096;

		while (room < size)
			room *= 2;
		m->p = realloc(m->p, room);
		memset(m->p + m->room, 0, room - m->room);
		m->room = room;
	}
	if (size < m->size)
		memset(m->p + size, 0, m->size - size);
	m->size = size;
}

static inline void mem_apply(struct mem_image *m, const struct mem_op *o, uint64_t upto)
{
	if (o->kind == MEM_SIZE) {
		mem_set_size(m, o->off);
		return;
	}
	if (o->kind == MEM_WRITE) {
		if (o->off + upto > m->size)
			mem_set_size(m, o->off + upto);
		memcpy(m->p + o->off, o->data, upto);
	} else if (o->off < m->size) {
		if (upto > m->size - o->off)
			upto = m->size - o->off;
		memset(m->p + o->off, 0, upto);
	}
}

static inline struct mem_disk *mem_of(struct disk_file *f)
{
	return *(struct mem_disk **)f->priv;
}

static inline bool mem_fails(struct mem_disk *d, struct err *e)
{
	d->calls++;
	if (!d->fail_at || (d->fail_all ? d->calls < d->fail_at : d->calls != d->fail_at))
		return false;
	err_set(e, d->fail_rc, "injected");
	return true;
}

static inline void mem_do(struct mem_disk *d, int kind, uint64_t off, uint64_t len,
			  const struct iovec *iov, int n)
{
	struct mem_op o = { kind, off, len, NULL };

	if (kind == MEM_WRITE) {
		uint8_t *p = o.data = malloc(len);

		for (int i = 0; i < n; i++) {
			memcpy(p, iov[i].iov_base, iov[i].iov_len);
			p += iov[i].iov_len;
		}
	}
	mem_apply(&d->live, &o, len);
	if (!d->tracked) {
		free(o.data);
		return;
	}
	if (d->nops == d->ops_room) {
		d->ops_room = d->ops_room ? d->ops_room * 2 : 64;
		d->op = realloc(d->op, d->ops_room * sizeof(*d->op));
	}
	d->op[d->nops++] = o;
	if (d->hook)
		d->hook(d->hook_ptr);
}

static inline int mem_readv(struct disk_file *f, const struct iovec *iov, int n,
			    uint64_t off, struct err *e)
{
	struct mem_disk *d = mem_of(f);

	for (int i = 0; i < n; i++) {
		memcpy(iov[i].iov_base, d->live.p + off, iov[i].iov_len);
		off += iov[i].iov_len;
	}
	return 0;
}

static inline int mem_writev(struct disk_file *f, const struct iovec *iov, int n,
			     uint64_t off, struct err *e)
{
	struct mem_disk *d = mem_of(f);
	uint64_t len = 0;

	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	if (d->max && (off > d->max || len > d->max - off))
		return err_set(e, -EFBIG, "too long");
	if (mem_fails(d, e))
		return d->fail_rc;
	d->writes++;
	d->bytes_written += len;
	mem_do(d, MEM_WRITE, off, len, iov, n);
	return 0;
}

static inline void mem_forget_ops(struct mem_disk *d)
{
	for (size_t i = 0; i < d->nops; i++)
		free(d->op[i].data);
	d->nops = 0;
}

static inline int mem_sync(struct disk_file *f, struct err *e)
{
	struct mem_disk *d = mem_of(f);

	if (mem_fails(d, e))
		return d->fail_rc;
	d->syncs++;
	for (size_t i = 0; i < d->nops; i++)
		mem_apply(&d->durable, &d->op[i], d->op[i].len);
	mem_forget_ops(d);
	if (d->hook)
		d->hook(d->hook_ptr);
	return 0;
}

static inline int mem_resize(struct disk_file *f, uint64_t size, struct err *e)
{
	struct mem_disk *d = mem_of(f);

	if (d->max && size > d->max)
		return err_set(e, -EFBIG, "too long");
	if (mem_fails(d, e))
		return d->fail_rc;
	mem_do(d, MEM_SIZE, size, 0, NULL, 0);
	return 0;
}

static inline int mem_punch(struct disk_file *f, uint64_t off, uint64_t len, struct err *e)
{
	struct mem_disk *d = mem_of(f);

	if (mem_fails(d, e))
		return d->fail_rc;
	mem_do(d, MEM_ZERO, off, len, NULL, 0);
	return 0;
}

/* Pages of zeros are holes. */
static inline int mem_data(struct disk_file *f, uint64_t off, uint64_t *start,
			   uint64_t *end, struct err *e)
{
	static const uint8_t zeros[4096];
	const struct mem_image *m = &mem_of(f)->live;
	uint64_t at = off / 4096 * 4096;

	*start = *end = m->size;
	while (at < m->size && !memcmp(m->p + at, zeros, m->size - at < 4096 ? m->size - at : 4096))
		at += 4096;
	if (at >= m->size)
		return 0;
	*start = at < off ? off : at;
	while (at < m->size && memcmp(m->p + at, zeros, m->size - at < 4096 ? m->size - at : 4096))
		at += 4096;
	*end = at < m->size ? at : m->size;
	return 0;
}

static inline void mem_close(struct disk_file *f) { }

static const struct disk_backend mem_backend = {
	.name = "memory", .readv = mem_readv, .writev = mem_writev, .sync = mem_sync,
	.resize = mem_resize, .punch = mem_punch, .data = mem_data, .close = mem_close,
};

static inline struct disk_file *mem_file(struct mem_disk *d, bool writable)
{
	struct disk_file *f = file_new(&mem_backend, "mem", sizeof(d));

	*(struct mem_disk **)f->priv = d;
	f->size = d->live.size;
	f->writable = writable;
	return f;
}

static inline void mem_free(struct mem_disk *d)
{
	mem_forget_ops(d);
	free(d->op);
	free(d->live.p);
	free(d->durable.p);
	memset(d, 0, sizeof(*d));
}

/* All that was done is durable; from here on crashes can be had. */
static inline void mem_track(struct mem_disk *d)
{
	mem_forget_ops(d);
	mem_set_size(&d->durable, d->live.size);
	memcpy(d->durable.p, d->live.p, d->live.size);
	d->tracked = true;
}

/* What a crash now leaves. */
static inline void mem_crash(const struct mem_disk *d, struct mem_disk *out)
{
	unsigned how = rig_rand(4);	/* all, none, any, a prefix */
	size_t prefix = d->nops ? rig_rand(d->nops + 1) : 0;

	memset(out, 0, sizeof(*out));
	mem_set_size(&out->live, d->durable.size);
	memcpy(out->live.p, d->durable.p, d->durable.size);
	for (size_t i = 0; i < d->nops; i++) {
		const struct mem_op *o = &d->op[i];
		bool keep = how == 0 || (how == 2 && rig_rand(2)) || (how == 3 && i < prefix);
		bool torn = how >= 2 && o->kind == MEM_WRITE &&
			    (i + 1 == d->nops || i + 1 == prefix || rig_rand(8) == 0);

		if (keep)
			mem_apply(&out->live, o, torn ? rig_rand(o->len / 8 + 1) * 8 : o->len);
	}
}

/* The model. */

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
		check(run.len && run.len % SECTOR == 0 && run.len <= x->size - off,
		      "run of %" PRIu64 " at %" PRIu64, run.len, off);
		if (!run.len)
			return -EIO;
		if (run.len > len)
			run.len = len;
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
	struct extent_check k = { repair, r, rig_report };

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
