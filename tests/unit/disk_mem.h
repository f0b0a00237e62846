#ifndef DISK_MEM_H
#define DISK_MEM_H
/*
 * A file in memory that can crash and fail.  It keeps what is durable and, in order, what
 * was done since the last sync.  A crash keeps any subset of the latter, the last of them
 * torn at a multiple of 8 bytes.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "disk/file.h"

static uint64_t rig_rand_state = 0x9e3779b97f4a7c15u;

static inline uint64_t rig_rand(uint64_t below)
{
	rig_rand_state ^= rig_rand_state << 13;
	rig_rand_state ^= rig_rand_state >> 7;
	rig_rand_state ^= rig_rand_state << 17;
	return rig_rand_state % below;
}

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
#endif
