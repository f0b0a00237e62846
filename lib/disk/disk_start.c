/* Disks: reads that go on while nobody waits for them. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "disk/disk_impl.h"
#include "disk/iov.h"
#include "disk/ring.h"

#define VECS 256

struct piece {
	struct ring_op op;
	struct started *s;
	uint64_t len;
};

struct started {
	struct disk *d;
	struct op o;
	void (*done)(void *ptr, int rc);
	void *ptr;
	_Atomic unsigned left;	/* pieces, and one while they are begun */
	_Atomic int rc;
	struct iovec *iov;	/* of all pieces */
	struct piece piece[SEGS];
};

/* One piece fewer to wait for; of the last one s is gone. */
static void ended(struct started *s, int rc)
{
	struct disk *d = s->d;

	if (rc)
		atomic_store(&s->rc, rc);
	if (atomic_fetch_sub(&s->left, 1) > 1)
		return;
	pthread_mutex_lock(&d->lock);
	op_end(d, &s->o);
	pthread_mutex_unlock(&d->lock);
	s->done(s->ptr, atomic_load(&s->rc));
	free(s->iov);
	free(s);
}

static void piece_done(struct ring_op *op, int res)
{
	struct piece *p = (struct piece *)op;

	ended(p->s, res == (int)p->len ? 0 : -EAGAIN);
}

/* Only what is in files, or zeros. */
static bool suits(const struct seg *seg, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const struct seg *s = &seg[i];

		if (s->kind != DISK_ZERO &&
		    (s->kind != DISK_DATA || s->file->fd < 0 || s->len > INT32_MAX ||
		     s->at + s->len > s->file->size))
			return false;
	}
	return true;
}

static struct started *make(struct disk *d, int vecs)
{
	struct started *s = malloc(sizeof(*s));

	if (!s)
		return NULL;
	/* Where a piece ends it may cut a vector in two. */
	s->iov = reallocarray(NULL, (size_t)vecs + SEGS, sizeof(*s->iov));
	if (!s->iov) {
		free(s);
		return NULL;
	}
	s->d = d;
	s->left = 1;
	s->rc = 0;
	return s;
}

static void begin(struct started *s, struct ring *r, const struct seg *seg, unsigned n,
		  struct iov_at *to)
{
	struct iovec *iov = s->iov;

	for (unsigned i = 0; i < n; i++) {
		struct piece *p = &s->piece[i];
		uint64_t got;

		if (seg[i].kind == DISK_ZERO) {
			iov_fill(to, NULL, seg[i].len);
			continue;
		}
		*p = (struct piece){ .s = s, .len = seg[i].len, .op = {
			.fd = seg[i].file->fd, .iov = iov, .off = seg[i].at, .done = piece_done,
		} };
		p->op.n = iov_take(to, seg[i].len, iov, VECS + SEGS, &got);
		iov += p->op.n;
		atomic_fetch_add(&s->left, 1);
		ring_readv(r, &p->op);
	}
	ended(s, 0);
}

int disk_start_readv(struct disk *d, struct ring *r, const struct iovec *iov, int n,
		     uint64_t off, void (*done)(void *ptr, int rc), void *ptr)
{
	struct iov_at to = { iov, n, 0 };
	uint64_t end = off + iov_bytes(iov, n);
	struct seg seg[SEGS];
	struct started *s;
	unsigned got = 0;

	if (n > VECS || disk_bounds(d, off, end - off, NULL) || off == end)
		return -EAGAIN;
	s = make(d, n);
	if (!s)
		return -EAGAIN;
	s->done = done;
	s->ptr = ptr;
	pthread_mutex_lock(&d->lock);
	if (!op_waits(d, OP_IO, off, end))
		got = disk_segs(d, off, end, seg, SEGS);
	if (!got || seg[got - 1].off + seg[got - 1].len < end || !suits(seg, got)) {
		pthread_mutex_unlock(&d->lock);
		free(s->iov);
		free(s);
		return -EAGAIN;
	}
	op_begun(d, &s->o, OP_IO, off, end);
	pthread_mutex_unlock(&d->lock);
	begin(s, r, seg, got, &to);
	return 0;
}
