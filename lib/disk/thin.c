#include "disk/thin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "disk/files.h"

#define WINDOW	(1u << 20)	/* bytes looked at or written at once */
#define BLOCK	4096u		/* where there are no grains */

static struct image *top_of(const struct disk *d)
{
	return disk_layer(d, disk_layers(d) - 1);
}

static int can_write(const struct disk *d, struct err *e)
{
	struct image *top = top_of(d);

	for (size_t i = 0; i < top->next; i++)
		if (top->ext[i]->file && !top->ext[i]->ops->alloc)
			return err_set(e, -EROFS, "%s: extents of its kind are not written in place",
				       top->path);
	return 0;
}

/* What the disk holds stays, and so does its content id, by which its children know it. */
static int begin(struct disk *d, bool lost, struct err *e)
{
	struct image *top = top_of(d);
	int rc = can_write(d, e);

	if (!rc)
		rc = disk_refuse_used_above(top, e);
	if (!rc && lost && top->desc)
		rc = disk_refuse_children(top, "which would lose what it has from it", e);
	if (!rc && !lost)
		top->cid_changed = true;
	return rc;
}

static int go_on(const struct disk_thin *t, uint64_t done, uint64_t total, struct err *e)
{
	if (t->progress && !t->progress(t->ptr, done, total))
		return err_set(e, -EINTR, "stopped");
	return 0;
}

static bool is_zero(const uint8_t *p, size_t len)
{
	return !*p && !memcmp(p, p + 1, len - 1);
}

/* The room of a range that holds zeros: of a flat extent it becomes a hole. */
static int give_back(struct disk *d, uint64_t off, uint64_t len, struct err *e)
{
	uint64_t in;
	struct extent *x = image_extent(top_of(d), off, &in);

	if (x->grain > SECTOR)
		return disk_zero(d, off, len, true, e);
	x->thin = true;
	return x->ops->drop(x, in, len, false, e);
}

/* A window of data of one extent of the top. */
static int compact_window(struct disk *d, uint8_t *buf, uint64_t off, uint64_t len,
			  struct err *e)
{
	uint64_t in, block, at = 0, from = 0;
	struct extent *x = image_extent(top_of(d), off, &in);
	int rc = disk_read(d, buf, len, off, e);

	block = x->grain > SECTOR ? x->grain : BLOCK;
	while (!rc && at <= len) {
		uint64_t n = block - (in + at) % block;
		bool whole;

		if (n > len - at)
			n = len - at;
		/* The last grain of an extent may be shorter. */
		whole = n == block || (n && in + at + n == x->size &&
				       (in + at) % block == 0);
		if (whole && is_zero(buf + at, n)) {
			at += n;
			continue;
		}
		if (at > from)
			rc = give_back(d, off + from, at - from, e);
		if (!n)
			break;
		at += n;
		from = at;
	}
	return rc;
}

/* Windows end where an extent ends, and with a grain. */
static uint64_t window(struct disk *d, uint64_t off, uint64_t len)
{
	uint64_t in;
	struct extent *x = image_extent(top_of(d), off, &in);
	uint64_t n = x->grain > WINDOW ? x->grain : WINDOW;

	n -= in % n;
	if (n > x->size - in)
		n = x->size - in;
	return n < len ? n : len;
}

static bool may_go_on(void *ptr)
{
	const struct disk_thin *t = ptr;

	return !t->progress || t->progress(t->ptr, 0, 0);
}

/* All is given back that can be; now files become shorter. */
static int shorten(struct disk *d, const struct disk_thin *t, struct err *e)
{
	struct image *top = top_of(d);
	int rc = disk_flush(d, e);

	for (size_t i = 0; !rc && i < top->next; i++)
		if (top->ext[i]->ops->compact)
			rc = top->ext[i]->ops->compact(top->ext[i], may_go_on, (void *)t, e);
	return rc;
}

/* Zeros of the top that a flat extent has room for, perhaps; *len: of one extent. */
static int compact_zeros(struct disk *d, uint64_t off, uint64_t *len, struct err *e)
{
	uint64_t in;
	struct extent *x = image_extent(top_of(d), off, &in);

	if (*len > x->size - in)
		*len = x->size - in;
	return x->file && x->grain == SECTOR ? give_back(d, off, *len, e) : 0;
}

/* A disk of ESX whose zeros have no room is a thin one. */
static int set_thin(struct image *top, struct err *e)
{
	int rc;

	if (!top->desc || strcasecmp(top->desc->create_type, "vmfs") ||
	    desc_get(top->desc, "ddb.thinProvisioned"))
		return 0;
	rc = desc_set(top->desc, "ddb.thinProvisioned", "1", e);
	return rc ? rc : image_save_desc(top, e);
}

int disk_compact(struct disk *d, const struct disk_thin *t, struct err *e)
{
	uint8_t *buf = malloc(DISK_GRAIN_MAX);
	uint64_t size = disk_size(d), n;
	int rc = begin(d, false, e);

	if (!buf)
		rc = err_set(e, -ENOMEM, "no memory");
	for (uint64_t at = 0; !rc && at < size; at += n) {
		struct disk_run run;
		unsigned layer;

		rc = disk_map(d, at, size - at, &run, &layer, e);
		n = run.len;
		if (!rc && run.kind == DISK_DATA && layer == disk_layers(d) - 1) {
			/* All of the window: a run may be less than a grain of it. */
			n = window(d, at, size - at);
			rc = compact_window(d, buf, at, n, e);
		} else if (!rc && run.kind == DISK_ZERO && layer == disk_layers(d) - 1) {
			rc = compact_zeros(d, at, &n, e);
		}
		if (!rc)
			rc = go_on(t, at + n, size, e);
	}
	free(buf);
	if (!rc)
		rc = shorten(d, t, e);
	return rc ? rc : set_thin(top_of(d), e);
}

/* Room and zeros for a range that has neither, in one extent. */
static int fill(struct disk *d, const void *zeros, uint64_t off, uint64_t len, struct err *e)
{
	uint64_t in;
	struct extent *x = image_extent(top_of(d), off, &in);

	if (!x->file)		/* ZERO and NOACCESS extents have no room */
		return 0;
	if (x->grain > SECTOR)
		return disk_write(d, zeros, len, off, e);
	x->thin = false;
	return x->ops->drop(x, in, len, false, e);
}

static int inflate_range(struct disk *d, const struct disk_thin *t, const void *zeros,
			 uint64_t off, uint64_t len, struct err *e)
{
	int rc = 0;

	for (uint64_t at = 0, n; !rc && at < len; at += n) {
		n = window(d, off + at, len - at);
		if (n > WINDOW)
			n = WINDOW;
		rc = fill(d, zeros, off + at, n, e);
		if (!rc)
			rc = go_on(t, off + at + n, disk_size(d), e);
	}
	return rc;
}

int disk_inflate(struct disk *d, const struct disk_thin *t, struct err *e)
{
	void *zeros = calloc(1, WINDOW);
	struct image *top = top_of(d);
	uint64_t size = disk_size(d);
	struct disk_run run;
	int rc = begin(d, t->zero, e);

	if (!zeros)
		rc = err_set(e, -ENOMEM, "no memory");
	if (!rc && disk_layers(d) > 1)
		rc = err_set(e, -EINVAL, "%s: has a parent, which may have what is not in it",
			     top->path);
	if (!rc && t->zero)
		rc = disk_zero(d, 0, size, true, e);
	for (uint64_t at = 0; !rc && at < size; at += run.len) {
		unsigned layer;

		rc = disk_map(d, at, size - at, &run, &layer, e);
		if (!rc && (run.kind == DISK_ABSENT || run.kind == DISK_ZERO))
			rc = inflate_range(d, t, zeros, at, run.len, e);
		else if (!rc)
			rc = go_on(t, at + run.len, size, e);
	}
	free(zeros);
	if (!rc)
		rc = disk_flush(d, e);
	if (!rc && top->desc && desc_get(top->desc, "ddb.thinProvisioned")) {
		rc = desc_set(top->desc, "ddb.thinProvisioned", NULL, e);
		if (!rc)
			rc = image_save_desc(top, e);
	}
	return rc;
}

uint64_t disk_room(const struct disk *d)
{
	const struct image *top = top_of(d);
	uint64_t room = 0;

	for (size_t i = 0; i < top->next; i++) {
		const struct disk_file *f = top->ext[i]->file;
		struct stat st;

		if (f && f->fd >= 0 && !fstat(f->fd, &st))
			room += (uint64_t)st.st_blocks * 512;
	}
	return room;
}
