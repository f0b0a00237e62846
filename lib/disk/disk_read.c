/* Disks: which pieces a request consists of, and reading them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/disk_impl.h"
#include "disk/iov.h"

#define VECS 256

/* Requests under way */

static bool in_the_way(enum op_kind a, enum op_kind b)
{
	return a == OP_DROP || b == OP_DROP || (a == OP_ALLOC && b == OP_ALLOC);
}

bool op_waits(const struct disk *d, enum op_kind kind, uint64_t off, uint64_t end)
{
	/* What is inside a request that has begun must not wait for a freeze. */
	if (d->frozen && kind != OP_ALLOC)
		return true;
	for (const struct op *o = d->ops; o; o = o->next)
		if (off < o->end && o->off < end && in_the_way(kind, o->kind))
			return true;
	return false;
}

void op_begun(struct disk *d, struct op *o, enum op_kind kind, uint64_t off, uint64_t end)
{
	*o = (struct op){ .kind = kind, .off = off, .end = end, .next = d->ops, .link = &d->ops };
	if (o->next)
		o->next->link = &o->next;
	d->ops = o;
}

void op_begin(struct disk *d, struct op *o, enum op_kind kind, uint64_t off, uint64_t end)
{
	pthread_mutex_lock(&d->lock);
	while (op_waits(d, kind, off, end))
		pthread_cond_wait(&d->changed, &d->lock);
	op_begun(d, o, kind, off, end);
}

void op_end(struct disk *d, struct op *o)
{
	*o->link = o->next;
	if (o->next)
		o->next->link = o->link;
	pthread_cond_broadcast(&d->changed);
}

/* The map's pages */

/*
 * Ask layer for off..end, and those below it for what it does not have.  file is that
 * of the row before, so that rows of different files do not become one.
 */
static int fill_from(struct disk *d, unsigned layer, struct map_page *p, uint64_t off,
		     uint64_t end, struct disk_file **file, struct err *e)
{
	struct image *im = d->layer[layer];
	int rc = 0;

	while (off < end && !rc) {
		struct map_run r = { .kind = DISK_ZERO, .off = off, .len = end - off };
		struct disk_run run = { .kind = DISK_ABSENT, .len = end - off };

		/* A parent may be smaller than its child: behind its end are zeros,
		 * whatever its own parents hold there. */
		if (off < im->size) {
			rc = image_map(im, off, end - off, &run, e);
			if (rc)
				return rc;
			if (run.len < SECTOR || run.len > end - off || run.len % SECTOR)
				return err_set(e, -EIO, "%s: a map that makes no sense", im->path);
		}
		if (run.kind == DISK_ABSENT && layer > 0 && off < im->size) {
			rc = fill_from(d, layer - 1, p, off, off + run.len, file, e);
			off += run.len;
			continue;
		}
		r.len = run.len;
		if (run.kind != DISK_ABSENT) {
			r.kind = run.kind;
			r.layer = layer;
			r.at = run.off;
		}
		if (map_page_add(p, &r, run.file == *file))
			return err_set(e, -ENOMEM, "no memory");
		*file = run.file;
		off += run.len;
	}
	return rc;
}

int disk_fill(struct disk *d, uint64_t off, struct err *e)
{
	uint64_t start = off - off % MAP_PAGE, end = start + MAP_PAGE;
	struct disk_file *file = NULL;
	struct map_page *p = map_page_new(off);
	struct map_run r;
	bool there;
	int rc = 0;

	if (!p)
		return err_set(e, -ENOMEM, "no memory");
	if (end > d->size)
		end = d->size;
	pthread_mutex_lock(&d->meta);
	pthread_mutex_lock(&d->lock);
	there = map_find(d->map, off, off + SECTOR, &r, 1);
	pthread_mutex_unlock(&d->lock);
	if (!there)
		rc = fill_from(d, d->n - 1, p, start, end, &file, e);
	if (!there && !rc) {
		pthread_mutex_lock(&d->lock);
		map_insert(d->map, p);
		pthread_mutex_unlock(&d->lock);
		p = NULL;
	}
	pthread_mutex_unlock(&d->meta);
	map_page_free(p);
	return rc;
}

unsigned disk_segs(struct disk *d, uint64_t off, uint64_t end, struct seg *s, unsigned max)
{
	struct map_run r[SEGS];
	unsigned got, n = 0;

	got = map_find(d->map, off, end, r, max < SEGS ? max : SEGS);
	for (unsigned i = 0; i < got; i++) {
		struct seg *last = n ? &s[n - 1] : NULL;
		struct extent *x = NULL;
		uint64_t in;

		if (r[i].kind == DISK_DATA || r[i].kind == DISK_PACKED)
			x = image_extent(d->layer[r[i].layer], r[i].off, &in);
		/* Rows end where a page of the map does. */
		if (last && last->kind == r[i].kind && last->layer == r[i].layer && last->x == x &&
		    (r[i].kind == DISK_ZERO ||
		     (r[i].kind == DISK_DATA && last->at + last->len == r[i].at))) {
			last->len += r[i].len;
			continue;
		}
		s[n++] = (struct seg){
			.kind = r[i].kind, .layer = r[i].layer, .x = x, .file = x ? x->file : NULL,
			.off = r[i].off, .len = r[i].len, .at = r[i].at,
		};
	}
	return n;
}

/* Unpacked grains */

void unpacked_clear(struct disk *d)
{
	for (unsigned i = 0; i < UNPACKED; i++) {
		free(d->unpacked[i].buf);
		d->unpacked[i] = (struct unpacked){ 0 };
	}
}

/* Copy what s wants out of a grain that is kept. */
static bool unpacked_find(struct disk *d, const struct seg *s, uint64_t from,
			  struct iov_at *to)
{
	struct unpacked *u = d->unpacked, *end = u + UNPACKED;
	bool found;

	pthread_mutex_lock(&d->lock);
	while (u < end && !(u->file == s->file && u->at == s->at))
		u++;
	found = u < end;
	if (found) {
		u->used = ++d->tick;
		iov_fill(to, (char *)u->buf + from, s->len);
	}
	pthread_mutex_unlock(&d->lock);
	return found;
}

/* Keep buf, in the place of the one not used for the longest time. */
static void unpacked_keep(struct disk *d, const struct seg *s, void *buf)
{
	struct unpacked *u = d->unpacked;
	void *old;

	pthread_mutex_lock(&d->lock);
	for (unsigned i = 1; i < UNPACKED; i++)
		if (d->unpacked[i].used < u->used)
			u = &d->unpacked[i];
	old = u->buf;
	*u = (struct unpacked){
		.file = s->file, .at = s->at, .grain = s->x->grain, .used = ++d->tick, .buf = buf,
	};
	pthread_mutex_unlock(&d->lock);
	free(old);
}

int unpacked_read(struct disk *d, const struct seg *s, struct iov_at *to, struct err *e)
{
	struct disk_run run = { .kind = DISK_PACKED, .len = s->len, .file = s->file, .off = s->at };
	uint64_t grain = s->x->grain, in, from;
	void *buf;
	int rc;

	image_extent(d->layer[s->layer], s->off, &in);
	from = in % grain;
	if (s->len < grain && unpacked_find(d, s, from, to))
		return 0;
	buf = s->len == grain ? iov_piece(to, grain) : NULL;
	if (buf)
		return s->x->ops->unpack(s->x, &run, buf, e);
	buf = malloc(grain);
	if (!buf)
		return err_set(e, -ENOMEM, "no memory");
	rc = s->x->ops->unpack(s->x, &run, buf, e);
	if (!rc)
		iov_fill(to, (char *)buf + from, s->len);
	/* Who reads a whole grain does not come back for the rest of it. */
	if (!rc && s->len < grain && grain <= UNPACKED_MAX)
		unpacked_keep(d, s, buf);
	else
		free(buf);
	return rc;
}

/* Reading */

static int refused(const struct disk *d, uint64_t off, struct err *e)
{
	return err_set(e, -EACCES, "%s: byte %llu lies in an extent that may not be used "
		       "(NOACCESS)", disk_top(d)->path, (unsigned long long)off);
}

static int read_seg(struct disk *d, const struct seg *s, struct iov_at *to, struct err *e)
{
	struct iovec part[VECS];
	uint64_t done = 0, got;
	int rc = 0;

	switch (s->kind) {
	case DISK_PACKED:
		return unpacked_read(d, s, to, e);
	case DISK_REFUSED:
		return refused(d, s->off, e);
	case DISK_DATA:
		while (done < s->len && !rc) {
			int n = iov_take(to, s->len - done, part, VECS, &got);

			rc = file_readv(s->file, part, n, s->at + done, e);
			done += got;
		}
		return rc;
	default:
		iov_fill(to, NULL, s->len);
		return 0;
	}
}

int disk_read_range(struct disk *d, struct iov_at *to, uint64_t off, uint64_t end,
		    struct err *e)
{
	struct seg s[SEGS];
	int rc = 0;

	while (off < end && !rc) {
		unsigned n;

		pthread_mutex_lock(&d->lock);
		n = disk_segs(d, off, end, s, SEGS);
		pthread_mutex_unlock(&d->lock);
		if (n == 0)
			rc = disk_fill(d, off, e);
		for (unsigned i = 0; i < n && !rc; i++) {
			rc = read_seg(d, &s[i], to, e);
			off += s[i].len;
		}
	}
	return rc;
}

int disk_bounds(const struct disk *d, uint64_t off, uint64_t len, struct err *e)
{
	uint64_t size = d->size;

	if (off % SECTOR || len % SECTOR)
		return err_set(e, -EINVAL, "byte %llu and %llu bytes are not whole sectors",
			       (unsigned long long)off, (unsigned long long)len);
	if (off > size || len > size - off)
		return err_set(e, -EINVAL, "byte %llu and %llu bytes lie outside the disk",
			       (unsigned long long)off, (unsigned long long)len);
	return 0;
}

int disk_readv(struct disk *d, const struct iovec *iov, int n, uint64_t off, struct err *e)
{
	struct iov_at to = { iov, n, 0 };
	uint64_t len = iov_bytes(iov, n);
	struct op o;
	int rc = disk_bounds(d, off, len, e);

	if (rc || len == 0)
		return rc;
	op_begin(d, &o, OP_IO, off, off + len);
	pthread_mutex_unlock(&d->lock);
	rc = disk_read_range(d, &to, off, off + len, e);
	pthread_mutex_lock(&d->lock);
	op_end(d, &o);
	pthread_mutex_unlock(&d->lock);
	return rc;
}

int disk_read(struct disk *d, void *buf, size_t len, uint64_t off, struct err *e)
{
	struct iovec v = { buf, len };

	return disk_readv(d, &v, 1, off, e);
}

/* Without blocking */

/* The page cache has it or takes it, all of it, or someone else is asked. */
static int try_seg(const struct seg *s, struct iov_at *at, bool write)
{
	struct iovec part[VECS];
	uint64_t got;
	int n = iov_take(at, s->len, part, VECS, &got);
	ssize_t done;

	if (got < s->len || s->file->fd < 0 || (!write && s->at + s->len > s->file->size))
		return -EAGAIN;
	done = write ? pwritev2(s->file->fd, part, n, (off_t)s->at, RWF_NOWAIT) :
		       preadv2(s->file->fd, part, n, (off_t)s->at, RWF_NOWAIT);
	if (write && done > 0)
		file_written(s->file);
	return done == (ssize_t)s->len ? 0 : -EAGAIN;
}

static int try_segs(struct disk *d, struct seg *s, unsigned n, struct iov_at *at, bool write)
{
	int rc = 0;

	for (unsigned i = 0; i < n && !rc; i++) {
		if (s[i].kind == DISK_DATA)
			rc = try_seg(&s[i], at, write);
		else if (s[i].kind == DISK_ZERO)
			iov_fill(at, NULL, s[i].len);
		else
			rc = -EAGAIN;
	}
	return rc;
}

static bool in_place(const struct disk *d, const struct seg *s)
{
	return s->kind == DISK_DATA && s->layer == d->n - 1 && s->x->writable &&
	       s->at + s->len <= s->file->size;
}

static int try_rw(struct disk *d, const struct iovec *iov, int n, uint64_t off, bool write,
		  struct err *e)
{
	struct iov_at at = { iov, n, 0 };
	uint64_t end = off + iov_bytes(iov, n);
	struct seg s[SEGS];
	unsigned got = 0;
	struct op o;
	int rc = disk_bounds(d, off, end - off, e);

	if (rc || off == end)
		return rc;
	pthread_mutex_lock(&d->lock);
	if (!op_waits(d, OP_IO, off, end))
		got = disk_segs(d, off, end, s, SEGS);
	for (unsigned i = 0; i < got && write; i++)
		if (!in_place(d, &s[i]))
			got = 0;
	if (got == 0 || s[got - 1].off + s[got - 1].len < end || (write && !d->touched)) {
		pthread_mutex_unlock(&d->lock);
		return err_set(e, -EAGAIN, "it would have to wait");
	}
	op_begun(d, &o, OP_IO, off, end);
	pthread_mutex_unlock(&d->lock);
	rc = try_segs(d, s, got, &at, write);
	pthread_mutex_lock(&d->lock);
	op_end(d, &o);
	pthread_mutex_unlock(&d->lock);
	return rc ? err_set(e, rc, "it would have to wait") : 0;
}

int disk_try_readv(struct disk *d, const struct iovec *iov, int n, uint64_t off,
		   struct err *e)
{
	return try_rw(d, iov, n, off, false, e);
}

int disk_try_writev(struct disk *d, const struct iovec *iov, int n, uint64_t off,
		    struct err *e)
{
	return try_rw(d, iov, n, off, true, e);
}
