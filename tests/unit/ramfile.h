#ifndef RAMFILE_H
#define RAMFILE_H
/*
 * A file in memory, for tests of disk formats: it can keep a log of all that changed
 * it, give the file as it may be after a crash at any point of that log, and fail the
 * n-th change.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "disk/file.h"

enum ram_kind { RAM_WRITE, RAM_RESIZE, RAM_PUNCH, RAM_SYNC };

struct ram_op {
	enum ram_kind kind;
	uint64_t off, len;	/* RAM_RESIZE: len is the size */
	uint8_t *data;		/* RAM_WRITE */
};

struct ram {
	uint8_t *data;
	uint64_t size, room;
	bool logging;
	struct ram_op *op;
	size_t nops;
	long fail_in;		/* changes until one fails with -EIO; 0: none */
};

static inline uint64_t ram_rand(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;	/* splitmix64 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static inline void ram_set_size(struct ram *r, uint64_t size)
{
	if (size > r->room) {
		r->room = size * 2;
		r->data = realloc(r->data, r->room);
		if (!r->data)
			abort();
	}
	if (size > r->size)
		memset(r->data + r->size, 0, size - r->size);
	r->size = size;
}

static inline void ram_apply(struct ram *r, const struct ram_op *op)
{
	uint64_t n = op->len;

	switch (op->kind) {
	case RAM_WRITE:
		if (op->off + n > r->size)
			ram_set_size(r, op->off + n);
		memcpy(r->data + op->off, op->data, n);
		break;
	case RAM_RESIZE:
		ram_set_size(r, n);
		break;
	case RAM_PUNCH:
		if (op->off < r->size)
			memset(r->data + op->off, 0,
			       n < r->size - op->off ? n : r->size - op->off);
		break;
	case RAM_SYNC:
		break;
	}
}

/* Log it, do it (or fail). */
static inline int ram_change(struct disk_file *f, struct ram_op op, const void *data,
			     struct err *e)
{
	struct ram *r = *(struct ram **)f->priv;

	if (r->fail_in && !--r->fail_in)
		return err_set(e, -EIO, "%s: made to fail", f->path);
	if (data) {
		op.data = malloc(op.len);
		memcpy(op.data, data, op.len);
	}
	ram_apply(r, &op);
	if (!r->logging) {
		free(op.data);
		return 0;
	}
	if (!(r->nops & (r->nops + 1)))
		r->op = realloc(r->op, (r->nops + 1) * 2 * sizeof(*r->op));
	r->op[r->nops++] = op;
	return 0;
}

static int ram_readv(struct disk_file *f, const struct iovec *iov, int n, uint64_t off,
		     struct err *e)
{
	struct ram *r = *(struct ram **)f->priv;

	for (int i = 0; i < n; off += iov[i++].iov_len)
		memcpy(iov[i].iov_base, r->data + off, iov[i].iov_len);
	return 0;
}

static int ram_writev(struct disk_file *f, const struct iovec *iov, int n, uint64_t off,
		      struct err *e)
{
	int rc = 0;

	for (int i = 0; i < n && !rc; off += iov[i++].iov_len)
		rc = ram_change(f, (struct ram_op){ RAM_WRITE, off, iov[i].iov_len, NULL },
				iov[i].iov_base, e);
	return rc;
}

static int ram_sync(struct disk_file *f, struct err *e)
{
	return ram_change(f, (struct ram_op){ .kind = RAM_SYNC }, NULL, e);
}

static int ram_resize(struct disk_file *f, uint64_t size, struct err *e)
{
	return ram_change(f, (struct ram_op){ .kind = RAM_RESIZE, .len = size }, NULL, e);
}

static int ram_punch(struct disk_file *f, uint64_t off, uint64_t len, struct err *e)
{
	return ram_change(f, (struct ram_op){ .kind = RAM_PUNCH, .off = off, .len = len },
			  NULL, e);
}

/* Ranges of sectors that are not zeros, as a file system with tiny blocks. */
static int ram_data(struct disk_file *f, uint64_t off, uint64_t *start, uint64_t *end,
		    struct err *e)
{
	struct ram *r = *(struct ram **)f->priv;

	while (off < r->size && !r->data[off])
		off++;
	*start = *end = off;
	while (*end < r->size) {
		uint64_t zeros = 0;

		while (*end + zeros < r->size && zeros < SECTOR && !r->data[*end + zeros])
			zeros++;
		if (zeros == SECTOR || *end + zeros == r->size)
			break;
		*end += zeros + 1;
	}
	return 0;
}

static void ram_file_close(struct disk_file *f)
{
}

static const struct disk_backend ram_backend = {
	.name = "ram", .readv = ram_readv, .writev = ram_writev, .sync = ram_sync,
	.resize = ram_resize, .punch = ram_punch, .data = ram_data, .close = ram_file_close,
};

/* A file on r, which outlives it. */
static inline struct disk_file *ram_open(struct ram *r, bool writable)
{
	struct disk_file *f = file_new(&ram_backend, "ram", sizeof(r));

	if (!f)
		abort();
	*(struct ram **)f->priv = r;
	f->size = r->size;
	f->writable = writable;
	return f;
}

static inline void ram_free(struct ram *r)
{
	for (size_t i = 0; i < r->nops; i++)
		free(r->op[i].data);
	free(r->op);
	free(r->data);
	memset(r, 0, sizeof(*r));
}

/* A copy of the file's bytes, without a log. */
static inline struct ram ram_copy(const struct ram *r)
{
	struct ram n = { .size = r->size, .room = r->size + 1 };

	n.data = malloc(n.room);
	if (r->size)
		memcpy(n.data, r->data, r->size);
	return n;
}

/*
 * The file as it may be after a crash behind op number n: what no sync followed is
 * there, or not, or was torn between 8-byte words; it was all done in any order.
 *
 * base       the file when logging began
 */
static inline struct ram ram_crash(const struct ram *base, const struct ram *r, size_t n,
				   uint64_t *seed)
{
	struct ram c = ram_copy(base);
	size_t synced = n;

	while (synced && r->op[synced - 1].kind != RAM_SYNC)
		synced--;
	for (size_t i = 0; i < n; i++) {
		struct ram_op op = r->op[i];
		unsigned fate = i < synced ? 0 : ram_rand(seed) % 3;

		if (fate == 1)
			continue;
		if (fate == 0 || op.kind != RAM_WRITE) {
			ram_apply(&c, &op);
			continue;
		}
		for (uint64_t at = 0; at < op.len; at += 8) {
			struct ram_op word = { RAM_WRITE, op.off + at,
					       op.len - at < 8 ? op.len - at : 8,
					       op.data + at };

			if (ram_rand(seed) & 1)
				ram_apply(&c, &word);
		}
	}
	return c;
}
#endif
