/* Disks: writing, and making ranges read as zeros. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/disk_impl.h"
#include "disk/iov.h"

#define VECS 256
#define ALLOC_MAX (8u << 20)	/* bytes of new grains at a time */
#define ZEROS 4096u

/* New grains of one extent of the top, and the data for a part of them. */
struct fresh {
	struct extent *x;
	uint64_t start;		/* of the extent in the disk */
	uint64_t a, b;		/* the grains; b may lie behind the extent's end */
	uint64_t off, end;	/* what is written */
	struct disk_run run;	/* their room */
};

static int read_only(const struct disk *d, struct err *e)
{
	return err_set(e, -EROFS, "%s: cannot be written to", disk_top(d)->path);
}

int disk_touch(struct disk *d, struct err *e)
{
	int rc = 0;

	if (d->touched)
		return 0;
	pthread_mutex_lock(&d->meta);
	rc = image_touch(disk_top(d), e);
	if (!rc)
		d->touched = true;
	pthread_mutex_unlock(&d->meta);
	return rc;
}

static bool of_top(const struct disk *d, const struct seg *s)
{
	return s->kind == DISK_DATA && s->layer == d->n - 1;
}

/* Which grains does a write of off..end begin with, where the top has none? */
static int plan(const struct disk *d, struct fresh *f, const struct seg *s, unsigned n,
		struct err *e)
{
	uint64_t in, end = s[0].off, stop;

	if (s[0].kind == DISK_REFUSED)
		return err_set(e, -EACCES, "%s: byte %llu lies in an extent that may not be used "
			       "(NOACCESS)", disk_top(d)->path, (unsigned long long)s[0].off);
	f->off = s[0].off;
	f->x = image_extent(disk_top(d), f->off, &in);
	if (!f->x->writable || !f->x->ops->alloc || !f->x->ops->commit)
		return read_only(d, e);
	f->start = f->off - in;
	f->a = f->off - in % f->x->grain;
	stop = f->start + f->x->size;
	if (f->x->grain < ALLOC_MAX && stop > f->a + ALLOC_MAX)
		stop = f->a + ALLOC_MAX;
	for (unsigned i = 0; i < n && !of_top(d, &s[i]) && s[i].kind != DISK_REFUSED; i++)
		end = s[i].off + s[i].len;
	f->end = end < stop ? end : stop;
	in = f->end - f->a;
	f->b = f->a + (in + f->x->grain - 1) / f->x->grain * f->x->grain;
	return 0;
}

static uint64_t extent_end(const struct fresh *f)
{
	return f->start + f->x->size;
}

/* What is there of from..to now, zeros behind the end of the extent. */
static int read_old(struct disk *d, const struct fresh *f, void *buf, uint64_t from,
		    uint64_t to, struct err *e)
{
	struct iovec v = { buf, to - from };
	struct iov_at at = { &v, 1, 0 };
	uint64_t end = extent_end(f);

	if (to > end) {
		memset((char *)buf + (end - from), 0, to - end);
		to = end;
	}
	return disk_read_range(d, &at, from, to, e);
}

/* Write head, data and tail to the room in one go. */
static int write_grains(struct disk *d, struct fresh *f, struct iov_at *from, struct err *e)
{
	uint64_t to = f->a + f->run.len, head = f->off - f->a, tail, got;
	struct iovec *iov;
	char *edge;
	int n = 0, rc;

	if (f->end > to)
		f->end = to;
	tail = to - f->end;
	iov = reallocarray(NULL, (size_t)from->n + 2, sizeof(*iov));
	edge = malloc(head + tail ? head + tail : 1);
	if (!iov || !edge) {
		rc = err_set(e, -ENOMEM, "no memory");
		goto out;
	}
	rc = head ? read_old(d, f, edge, f->a, f->off, e) : 0;
	if (!rc && tail)
		rc = read_old(d, f, edge + head, f->end, to, e);
	if (rc)
		goto out;
	if (head)
		iov[n++] = (struct iovec){ edge, head };
	n += iov_take(from, f->end - f->off, iov + n, from->n, &got);
	if (tail)
		iov[n++] = (struct iovec){ edge + head, tail };
	rc = file_writev(f->run.file, iov, n, f->run.off, e);
out:
	free(iov);
	free(edge);
	return rc;
}

static int get_room(struct disk *d, struct fresh *f, struct err *e)
{
	int rc;

	pthread_mutex_lock(&d->meta);
	rc = f->x->ops->alloc(f->x, f->a - f->start, f->b - f->a, &f->run, e);
	pthread_mutex_unlock(&d->meta);
	if (!rc && f->run.len > f->b - f->a)
		f->run.len = f->b - f->a;
	if (!rc && (f->run.len == 0 || f->run.len % f->x->grain))
		rc = err_set(e, -EIO, "%s: room that makes no sense", disk_top(d)->path);
	return rc;
}

/* The room has its data (rc 0) or not: tell the extent, the map, and those who wait. */
static int settle(struct disk *d, struct fresh *f, struct op *o, int rc, struct err *e)
{
	struct map_run r = { .kind = DISK_DATA, .layer = d->n - 1, .off = f->a, .len = f->run.len,
			     .at = f->run.off };
	uint64_t end = extent_end(f);
	bool failed = rc;

	pthread_mutex_lock(&d->meta);
	if (!failed)
		rc = f->x->ops->commit(f->x, f->a - f->start, &f->run, e);
	else if (f->x->ops->cancel)
		f->x->ops->cancel(f->x, &f->run);
	if (r.len > end - f->a)
		r.len = end - f->a;
	pthread_mutex_lock(&d->lock);
	if (!rc)
		map_set(d->map, &r, f->a != f->start, f->a + r.len != end);
	else if (!failed)
		map_clear(d->map);	/* a part may have been committed */
	op_end(d, o);
	pthread_mutex_unlock(&d->lock);
	pthread_mutex_unlock(&d->meta);
	return rc;
}

/* Write to grains that the top does not have.  d->lock is held, and released. */
static int write_fresh(struct disk *d, struct fresh *f, struct iov_at *from, struct err *e)
{
	struct op o;
	int rc;

	op_begun(d, &o, OP_ALLOC, f->a, f->b);
	pthread_mutex_unlock(&d->lock);
	rc = get_room(d, f, e);
	if (rc) {
		pthread_mutex_lock(&d->lock);
		op_end(d, &o);
		pthread_mutex_unlock(&d->lock);
		return rc;
	}
	return settle(d, f, &o, write_grains(d, f, from, e), e);
}

static int write_in_place(const struct seg *s, struct iov_at *from, struct err *e)
{
	struct iovec part[VECS];
	uint64_t done = 0, got;
	int rc = 0;

	while (done < s->len && !rc) {
		int n = iov_take(from, s->len - done, part, VECS, &got);

		rc = file_writev(s->file, part, n, s->at + done, e);
		done += got;
	}
	return rc;
}

/* Write what can be written in one way.  *off moves on, perhaps by nothing. */
static int write_some(struct disk *d, struct iov_at *from, uint64_t *off, uint64_t end,
		      struct err *e)
{
	struct seg s[SEGS];
	struct fresh f;
	unsigned n, i;
	int rc = 0;

	pthread_mutex_lock(&d->lock);
	n = disk_segs(d, *off, end, s, SEGS);
	if (n == 0) {
		pthread_mutex_unlock(&d->lock);
		return disk_fill(d, *off, e);
	}
	if (!of_top(d, &s[0])) {
		rc = plan(d, &f, s, n, e);
		if (!rc && op_waits(d, OP_ALLOC, f.a, f.b)) {
			/* They may be there when the wait is over: look again. */
			pthread_cond_wait(&d->changed, &d->lock);
		} else if (!rc) {
			rc = write_fresh(d, &f, from, e);
			*off = rc ? *off : f.end;
			return rc;
		}
	}
	pthread_mutex_unlock(&d->lock);
	for (i = 0; i < n && !rc && of_top(d, &s[i]); i++) {
		rc = s[i].x->writable ? write_in_place(&s[i], from, e) : read_only(d, e);
		*off += rc ? 0 : s[i].len;
	}
	return rc;
}

int disk_write_range(struct disk *d, struct iov_at *from, uint64_t off, uint64_t end,
		     struct err *e)
{
	int rc = 0;

	while (off < end && !rc)
		rc = write_some(d, from, &off, end, e);
	return rc;
}

int disk_writev(struct disk *d, const struct iovec *iov, int n, uint64_t off,
		struct err *e)
{
	struct iov_at from = { iov, n, 0 };
	uint64_t len = iov_bytes(iov, n);
	struct op o;
	int rc = disk_bounds(d, off, len, e);

	if (rc || len == 0)
		return rc;
	op_begin(d, &o, OP_IO, off, off + len);
	pthread_mutex_unlock(&d->lock);
	rc = disk_top(d)->writable ? disk_touch(d, e) : read_only(d, e);
	if (!rc)
		rc = disk_write_range(d, &from, off, off + len, e);
	pthread_mutex_lock(&d->lock);
	op_end(d, &o);
	pthread_mutex_unlock(&d->lock);
	return rc;
}

int disk_write(struct disk *d, const void *buf, size_t len, uint64_t off, struct err *e)
{
	struct iovec v = { (void *)buf, len };

	return disk_writev(d, &v, 1, off, e);
}

/* Zeros */

struct zero {
	bool unmap;
	bool no_drop;		/* the format has told that it cannot */
};

/* Written, at the start of off..end: as much as a vector takes. */
static int write_zeros(struct disk *d, uint64_t off, uint64_t end, uint64_t *done,
		       struct err *e)
{
	static const uint8_t zeros[ZEROS];
	struct iovec iov[VECS];
	struct iov_at from = { iov, 0, 0 };
	uint64_t len = 0;

	while (from.n < VECS && off + len < end) {
		uint64_t some = end - off - len < ZEROS ? end - off - len : ZEROS;

		iov[from.n++] = (struct iovec){ (void *)zeros, some };
		len += some;
	}
	*done = len;
	return disk_write_range(d, &from, off, off + len, e);
}

/* The whole grains at the start of s, as a range in the extent. */
static struct extent *whole_grains(const struct disk *d, const struct seg *s, uint64_t *in,
				   uint64_t *len)
{
	struct extent *x = image_extent(disk_top(d), s->off, in);

	*len = s->len < x->size - *in ? s->len : x->size - *in;
	if (*in % x->grain)
		*len = 0;
	else if (*in + *len < x->size)
		*len -= *len % x->grain;
	return x;
}

static bool has_parent(const struct disk *d)
{
	const struct desc *desc = disk_top(d)->desc;

	return d->n > 1 || (desc && desc->parent_cid != CID_NONE);
}

/* Is s, whose first len bytes are to be dropped from x, still what is there?  Someone may
 * have written to it since, or x may have become a parent. */
static bool stays(struct disk *d, const struct seg *s, const struct extent *x, uint64_t len)
{
	struct seg now[SEGS];
	uint64_t in;

	return d->touched && image_extent(disk_top(d), s->off, &in) == x &&
	       disk_segs(d, s->off, s->off + len, now, SEGS) && now[0].kind == s->kind &&
	       now[0].layer == s->layer && now[0].at == s->at && now[0].len >= len;
}

/* Drop the first len bytes of s, whole grains of x at in, or do nothing if it does not
 * stay as it was. */
static int drop(struct disk *d, const struct seg *s, struct extent *x, uint64_t in,
		uint64_t len, struct err *e)
{
	struct map_run r = { .kind = DISK_ZERO, .off = s->off, .len = len };
	bool absent;
	struct op o;
	int rc = 0;

	op_begin(d, &o, OP_DROP, s->off, s->off + len);
	if (!stays(d, s, x, len)) {
		op_end(d, &o);
		pthread_mutex_unlock(&d->lock);
		return 0;
	}
	absent = !has_parent(d);
	pthread_mutex_unlock(&d->lock);
	pthread_mutex_lock(&d->meta);
	rc = absent ? x->ops->drop(x, in, len, true, e) : -ENOTSUP;
	if (rc == -ENOTSUP) {
		absent = false;
		rc = x->ops->drop(x, in, len, false, e);
	}
	r.layer = absent ? 0 : d->n - 1;
	pthread_mutex_lock(&d->lock);
	if (!rc)
		map_set(d->map, &r, true, true);
	else if (rc != -ENOTSUP)
		map_clear(d->map);
	op_end(d, &o);
	pthread_mutex_unlock(&d->lock);
	pthread_mutex_unlock(&d->meta);
	return rc;
}

/* What to do with the first piece of off..end: done, dropping it, or writing. */
static int zero_some(struct disk *d, struct zero *z, uint64_t *off, uint64_t end,
		     struct err *e)
{
	struct seg s[SEGS];
	struct extent *x = NULL;
	uint64_t in, grains, done = 0;
	bool dropping = false;
	struct op o;
	int rc = 0;

	op_begin(d, &o, OP_IO, *off, end);
	if (!disk_segs(d, *off, end, s, SEGS)) {
		pthread_mutex_unlock(&d->lock);
		rc = disk_fill(d, *off, e);
		goto out;
	}
	pthread_mutex_unlock(&d->lock);
	rc = disk_top(d)->writable ? disk_touch(d, e) : read_only(d, e);
	if (rc)
		goto out;
	x = whole_grains(d, &s[0], &in, &grains);
	dropping = grains && x->ops->drop && !z->no_drop && (z->unmap || !of_top(d, &s[0]));
	if (s[0].kind == DISK_ZERO) {
		done = s[0].len;
		dropping = false;
	} else if (!x->writable || s[0].kind == DISK_REFUSED) {
		rc = s[0].kind == DISK_REFUSED ? err_set(e, -EACCES, "NOACCESS") : read_only(d, e);
	} else if (of_top(d, &s[0]) && !dropping) {
		done = s[0].len;
		if (z->unmap && !z->no_drop && in % x->grain && done > x->grain - in % x->grain)
			done = x->grain - in % x->grain;
		rc = file_zero(s[0].file, s[0].at, done, e);
	} else if (!dropping) {
		done = s[0].len < x->size - in ? s[0].len : x->size - in;
		if (!z->no_drop && in % x->grain && done > x->grain - in % x->grain)
			done = x->grain - in % x->grain;
		rc = write_zeros(d, *off, *off + done, &done, e);
	}
out:
	pthread_mutex_lock(&d->lock);
	op_end(d, &o);
	pthread_mutex_unlock(&d->lock);
	if (!rc && dropping) {
		rc = drop(d, &s[0], x, in, grains, e);
		z->no_drop = rc == -ENOTSUP;
		rc = z->no_drop ? 0 : rc;
	}
	*off += rc ? 0 : done;
	return rc;
}

int disk_zero(struct disk *d, uint64_t off, uint64_t len, bool unmap, struct err *e)
{
	struct zero z = { .unmap = unmap };
	uint64_t end = off + len;
	int rc = disk_bounds(d, off, len, e);

	if (rc || len == 0)
		return rc;
	while (off < end && !rc)
		rc = zero_some(d, &z, &off, end, e);
	return rc;
}
