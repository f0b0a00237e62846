/* Where the windows of a conversion come from, and where they go. */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "disk/convert_impl.h"

#define BLOCK_FLAT	4096u	/* zeros that are left out where there are no grains */
#define BLOCK_MAX	(1u << 20)
#define WRITE_OUT	(8u << 20)	/* bytes after which the host is to write them */

uint64_t convert_size(const struct convert_end *from)
{
	switch (from->kind) {
	case CONVERT_DISK:
		return disk_size(from->disk);
	case CONVERT_STREAM:
		return stream_read_header(from->reader)->capacity * SECTOR;
	default:
		return from->size;
	}
}

bool convert_is_zero(const void *buf, size_t len)
{
	const uint8_t *p = buf;

	/* Equal to itself 16 bytes further on, and there it is zero. */
	if (len < 16 || memcmp(p, (const uint8_t[16]){ 0 }, 16))
		return false;
	return !memcmp(p, p + 16, len - 16);
}

static int begin_target(struct convert *c, struct err *e)
{
	struct stream_target t = { convert_write_fd, (void *)(intptr_t)c->to->fd };

	if (c->to->kind == CONVERT_STREAM)
		return stream_write_begin(&c->writer, &t, c->size, c->to->desc,
					  c->to->desc_len, e);
	if (c->to->kind == CONVERT_DISK && disk_size(c->to->disk) < c->size)
		return err_set(e, -EINVAL, "the target is smaller than the source");
	return 0;
}

int convert_begin(struct convert *c, struct err *e)
{
	uint64_t grain = 0;

	c->window = WINDOW;
	c->block = STREAM_GRAIN;
	if (c->to->kind == CONVERT_DISK) {
		grain = disk_layer(c->to->disk, disk_layers(c->to->disk) - 1)->grain;
		c->block = grain < BLOCK_FLAT ? BLOCK_FLAT : grain;
		if (c->block > BLOCK_MAX)
			c->block = BLOCK_MAX;
	}
	if (c->from->kind == CONVERT_STREAM) {
		c->grain = stream_read_header(c->from->reader)->grain * SECTOR;
		c->ahead = malloc(sparse_packed_max(c->grain));
		if (!c->ahead)
			return err_set(e, -ENOMEM, "no memory for a grain");
		if (c->grain > c->window)
			c->window = c->grain;
	}
	if (grain > c->window)
		c->window = grain;
	return begin_target(c, e);
}

/* Fetching */

static int fetch_disk(struct convert *c, struct work *w)
{
	while (c->pos < c->size) {
		struct disk_run run;
		unsigned layer;
		int rc = disk_map(c->from->disk, c->pos, c->size - c->pos, &run, &layer, &w->err);

		if (rc)
			return rc;
		if (run.kind != DISK_ABSENT && run.kind != DISK_ZERO)
			break;
		c->pos += run.len;
	}
	w->off = c->pos;
	w->len = c->window - c->pos % c->window;
	if (w->len > c->size - c->pos)
		w->len = c->size - c->pos;
	c->pos += w->len;
	return 0;
}

static int fetch_raw(struct convert *c, struct work *w)
{
	size_t got;
	int rc;

	w->off = c->pos;
	w->len = c->size - c->pos < c->window ? c->size - c->pos : c->window;
	rc = convert_read_fd(c->from->fd, w->data, w->len, &got, &w->err);
	if (rc)
		return rc;
	if (!w->len) {		/* all is there; is there more? */
		rc = convert_read_fd(c->from->fd, w->data, 1, &got, &w->err);
		return rc || !got ? rc : err_set(&w->err, -EFBIG, "the input has more than %"
						 PRIu64 " bytes", c->size);
	}
	memset(w->data + got, 0, w->len - got);
	if (got < w->len) {
		w->len = (got + SECTOR - 1) / SECTOR * SECTOR;
		c->size = c->pos + w->len;
	}
	c->pos += w->len;
	return 0;
}

/* The next grain into c->ahead, if none waits there. */
static int look_ahead(struct convert *c, struct work *w)
{
	if (c->ahead_len)
		return 0;
	return stream_read_next(c->from->reader, c->ahead, &c->ahead_sector, &c->ahead_len,
				&w->err);
}

static int fetch_stream(struct convert *c, struct work *w)
{
	uint64_t grains = c->window / c->grain;
	uint32_t at = 0;
	int rc = look_ahead(c, w);

	w->n = 0;
	w->len = 0;
	if (rc || !c->ahead_len)
		return rc;
	w->off = c->ahead_sector * SECTOR / c->window * c->window;
	w->len = c->size - w->off < c->window ? c->size - w->off : c->window;
	while (!rc && c->ahead_len && w->n < grains &&
	       c->ahead_sector * SECTOR / c->window == w->off / c->window) {
		w->packed[w->n++] = (struct packed_grain){ c->ahead_sector, at, c->ahead_len };
		memcpy(w->in + at, c->ahead, c->ahead_len);
		at += c->ahead_len;
		c->ahead_len = 0;
		rc = look_ahead(c, w);
	}
	if (!rc && c->to->kind != CONVERT_DISK && w->off < c->pos)
		return err_set(&w->err, -ENOTSUP, "the grains of the input are not in order (sector %"
			       PRIu64 "), which this output needs", w->packed[0].sector);
	c->pos = w->off + w->len;
	return rc;
}

int convert_fetch(struct convert *c, struct work *w)
{
	switch (c->from->kind) {
	case CONVERT_DISK:
		return fetch_disk(c, w);
	case CONVERT_STREAM:
		return fetch_stream(c, w);
	default:
		return fetch_raw(c, w);
	}
}

static int unpack(struct convert *c, struct work *w)
{
	const struct sparse_header *h = stream_read_header(c->from->reader);

	memset(w->there, 0, c->window / c->grain * sizeof(*w->there));
	for (unsigned i = 0; i < w->n; i++) {
		const struct packed_grain *g = &w->packed[i];
		uint64_t in = g->sector * SECTOR - w->off;
		int rc = stream_unpack(h, w->in + g->at, g->len, g->sector, w->data + in, &w->err);

		if (rc)
			return rc;
		w->there[in / c->grain] = true;
	}
	for (uint64_t i = 0; i < c->window / c->grain; i++)
		if (!w->there[i])
			memset(w->data + i * c->grain, 0, c->grain);
	return 0;
}

int convert_fill(struct convert *c, struct work *w)
{
	if (c->from->kind == CONVERT_STREAM)
		return unpack(c, w);
	if (c->from->kind == CONVERT_DISK)
		return disk_read(c->from->disk, w->data, w->len, w->off, &w->err);
	return 0;
}

/* Is there something to write in the block at byte at of the window?  Of a stream, only
 * what it has: what it has not may have come before, out of order. */
static bool wanted(const struct convert *c, const struct work *w, uint64_t at, uint64_t len)
{
	if (c->from->kind == CONVERT_STREAM && c->grain >= c->block && !w->there[at / c->grain])
		return false;
	return !convert_is_zero(w->data + at, len);
}

/* Where the block that byte at lies in ends. */
static uint64_t block_end(const struct convert *c, const struct work *w, uint64_t at)
{
	uint64_t end = at + c->block - (w->off + at) % c->block;

	return end < w->len ? end : w->len;
}

/* Write bytes start..end of the window.  The disk works while others are uncompressed. */
static int store(struct convert *c, struct work *w, uint64_t start, uint64_t end)
{
	int rc = disk_write(c->to->disk, w->data + start, end - start, w->off + start, &w->err);
	uint64_t before = atomic_fetch_add(&c->stored, end - start);

	if (before / WRITE_OUT != (before + end - start) / WRITE_OUT)
		disk_write_out(c->to->disk);
	return rc;
}

int convert_store(struct convert *c, struct work *w)
{
	uint64_t at = 0, start = 0;

	while (at <= w->len) {
		uint64_t end = at < w->len ? block_end(c, w, at) : at + 1;

		if (at == w->len || !wanted(c, w, at, end - at)) {
			int rc = at == start ? 0 : store(c, w, start, at);

			if (rc)
				return rc;
			start = end;
		}
		at = end;
	}
	return 0;
}

/* In order */

int convert_prepare(struct convert *c, struct work *w, struct pack *p)
{
	uint64_t skew = w->off % STREAM_GRAIN, at = 0;

	if (c->to->kind != CONVERT_STREAM)
		return 0;
	if (!p)
		return err_set(&w->err, -ENOMEM, "no memory to compress");
	for (unsigned i = 0; i < w->batches; i++) {
		w->batch[i].n = 0;
		w->batch[i].len = 0;
	}
	/* A source may end or begin inside a grain: holes of flat files do. */
	if (skew) {
		memmove(w->data + skew, w->data, w->len);
		memset(w->data, 0, skew);
	}
	for (; at < skew + w->len; at += STREAM_GRAIN) {
		uint64_t have = skew + w->len - at;
		struct stream_batch *b = &w->batch[at / STREAM_GRAIN / STREAM_BATCH];
		int rc;

		if (have < STREAM_GRAIN)
			memset(w->data + at + have, 0, STREAM_GRAIN - have);
		if (convert_is_zero(w->data + at, STREAM_GRAIN))
			continue;
		rc = stream_pack(b, p, (w->off - skew + at) / STREAM_GRAIN, w->data + at, &w->err);
		if (rc)
			return rc;
	}
	return 0;
}

/* Zeros up to byte to of a raw output. */
static int put_zeros(struct convert *c, uint64_t to, struct err *e)
{
	static const uint8_t zeros[65536];

	while (c->written < to) {
		uint64_t n = to - c->written < sizeof(zeros) ? to - c->written : sizeof(zeros);
		int rc = convert_write_fd((void *)(intptr_t)c->to->fd, zeros, n, e);

		if (rc)
			return rc;
		c->written += n;
	}
	return 0;
}

int convert_put(struct convert *c, struct work *w, struct err *e)
{
	int rc = 0;

	if (c->to->kind == CONVERT_STREAM) {
		for (unsigned i = 0; !rc && i < w->batches; i++)
			rc = stream_write_batch(c->writer, &w->batch[i], e);
		return rc;
	}
	rc = put_zeros(c, w->off, e);
	if (!rc)
		rc = convert_write_fd((void *)(intptr_t)c->to->fd, w->data, w->len, e);
	c->written = w->off + w->len;
	return rc;
}

int convert_finish(struct convert *c, struct err *e)
{
	if (c->to->kind == CONVERT_STREAM)
		return stream_write_end(c->writer, e);
	return c->to->kind == CONVERT_RAW ? put_zeros(c, convert_size(c->from), e) : 0;
}
