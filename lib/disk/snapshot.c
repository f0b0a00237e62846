#include "disk/snapshot.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/cowd.h"
#include "disk/disk.h"
#include "disk/manage.h"

#define PIECE		(1u << 20)	/* bytes copied at once */
#define LOOK		(64u << 20)	/* bytes asked about at once */
#define CHECKPOINT	(256u << 20)	/* bytes copied between two of them */
#define NAMES		1000000u	/* BASE-000001 to BASE-999999 */

static int no_memory(struct err *e) { return err_set(e, -ENOMEM, "no memory"); }

/* Names */

size_t snapshot_stem(const char *path)
{
	size_t n = disk_stem(path);

	if (n > 7 && path[n - 7] == '-' && path[n - 8] != '/') {
		size_t i = n - 6;

		while (i < n && isdigit((unsigned char)path[i]))
			i++;
		if (i == n)
			n -= 7;
	}
	return n;
}

/* Is any file there that a layer of this stem could consist of? */
static int taken(const char *stem, size_t len, unsigned number, char **name, bool *is)
{
	static const char *const suffix[] = { ".vmdk", "-delta.vmdk", "-sesparse.vmdk", "-s001.vmdk" };

	*is = false;
	for (unsigned i = sizeof(suffix) / sizeof(suffix[0]); i-- > 0 && !*is;) {
		free(*name);
		if (asprintf(name, "%.*s-%06u%s", (int)len, stem, number, suffix[i]) < 0) {
			*name = NULL;
			return -ENOMEM;
		}
		*is = access(*name, F_OK) == 0 || errno != ENOENT;
	}
	return 0;
}

int snapshot_name(char **name, const char *path, struct err *e)
{
	size_t len = snapshot_stem(path);
	bool is = true;

	*name = NULL;
	for (unsigned i = 1; i < NAMES && is; i++)
		if (taken(path, len, i, name, &is))
			return no_memory(e);
	if (!is)
		return 0;
	free(*name);
	*name = NULL;
	return err_set(e, -EEXIST, "%.150s: all of its 999,999 names are taken", path);
}

/* Adding */

static bool has_type(const struct desc *d, const char *type)
{
	return !strcasecmp(d->create_type, type);
}

enum disk_format snapshot_format(const struct image *parent)
{
	const struct desc *d = parent->desc;

	if (has_type(d, "seSparse"))
		return DISK_SESPARSE;
	if (!strncasecmp(d->create_type, "vmfs", 4))
		return parent->size > cowd_size_max(0) ? DISK_SESPARSE : DISK_VMFSSPARSE;
	return strncasecmp(d->create_type, "twoGb", 5) ? DISK_SPARSE : DISK_SPLIT_SPARSE;
}

static int open_layer(struct image **im, const char *path, bool write, bool outside,
		      struct err *e)
{
	struct disk_opts o = {
		.write = write, .no_parent = true, .no_lock = true, .allow_outside = outside,
	};
	int rc = image_open(im, path, &o, e);

	if (!rc && !(*im)->desc) {
		image_close(*im);
		rc = err_set(e, -ENOTSUP, "%.150s: a disk without a descriptor has no snapshots",
			     path);
	}
	return rc;
}

int snapshot_add(const char *child, const char *parent, bool outside, bool dry,
		 void (*made)(void *ptr, const char *path), void *ptr, struct err *e)
{
	struct image *im;
	char *hint = NULL;
	int rc = open_layer(&im, parent, false, outside, e);

	if (rc)
		return rc;
	rc = disk_parent_hint(&hint, child, parent, outside, e);
	if (!rc) {
		struct disk_create c = {
			.size = im->size, .format = snapshot_format(im), .parent = hint,
			.adapter = disk_adapter_of(im), .parent_cid = im->desc->cid,
			.dry = dry, .made = made, .ptr = ptr,
		};

		rc = disk_create(child, &c, e);
	}
	free(hint);
	image_close(im);
	return rc;
}

/* Merging */

bool snapshot_in_place(const struct image *im)
{
	return im->desc && !has_type(im->desc, "streamOptimized");
}

/* May the parent become as large as a child that has grown?  A base only: what larger
 * ones below it hold would show. */
static bool can_grow(const struct image *child, const struct image *parent)
{
	const struct extent *x = parent->ext[parent->next - 1];

	return child->size > parent->size && parent->desc->parent_cid == CID_NONE && x->file &&
	       !x->file->device && x->ops->resize;
}

/* Bytes that a has and b (NULL: nothing) has not, up to end. */
static int count(struct image *a, struct image *b, uint64_t end, uint64_t *bytes,
		 struct err *e)
{
	struct disk_run x, y;
	uint64_t off = 0;
	int rc = 0;

	*bytes = 0;
	while (!rc && off < end) {
		uint64_t len = end - off < LOOK ? end - off : LOOK;

		rc = image_map(a, off, len, &x, e);
		if (!rc && x.kind != DISK_ABSENT && b) {
			rc = image_map(b, off, x.len, &y, e);
			if (rc)
				break;
			x.len = y.len < x.len ? y.len : x.len;
			if (y.kind != DISK_ABSENT)
				x.kind = DISK_ABSENT;
		}
		if (!rc && x.kind != DISK_ABSENT)
			*bytes += x.len;
		off += x.len;
	}
	return rc;
}

int snapshot_cost(const char *child, const char *parent, bool outside, uint64_t *down,
		  uint64_t *up, struct err *e)
{
	struct image *c, *p;
	int rc = open_layer(&c, child, false, outside, e);

	if (rc)
		return rc;
	rc = open_layer(&p, parent, false, outside, e);
	if (rc) {
		image_close(c);
		return rc;
	}
	*down = *up = UINT64_MAX;
	if ((c->size == p->size || can_grow(c, p)) && snapshot_in_place(p))
		rc = count(c, NULL, c->size, down, e);
	if (!rc && snapshot_in_place(c))
		rc = count(p, c, p->size < c->size ? p->size : c->size, up, e);
	image_close(p);
	image_close(c);
	return rc;
}

int snapshot_bytes(const char *path, bool outside, uint64_t *bytes, struct err *e)
{
	struct image *im;
	int rc = open_layer(&im, path, false, outside, e);

	if (rc)
		return rc;
	rc = count(im, NULL, im->size, bytes, e);
	image_close(im);
	return rc;
}

struct merge {
	struct disk *from, *to;
	struct image *has;	/* ranges that to has already are left alone; NULL: none are */
	uint64_t end;
	const struct snapshot_job *job;
	void *buf;
};

/* What lies at off and has to be copied (run->kind not ABSENT), or need not. */
static int next_run(struct merge *m, uint64_t off, struct disk_run *run, struct err *e)
{
	uint64_t len = m->end - off < LOOK ? m->end - off : LOOK;
	struct disk_run there;
	int rc = image_map(disk_layer(m->from, 0), off, len, run, e);

	if (rc || run->kind == DISK_ABSENT || !m->has)
		return rc;
	rc = image_map(m->has, off, run->len, &there, e);
	if (rc)
		return rc;
	if (there.len < run->len)
		run->len = there.len;
	if (there.kind != DISK_ABSENT)
		run->kind = DISK_ABSENT;
	return 0;
}

/*
 * Zeros of the parent become the child's own.  The child reads as zeros there already,
 * by way of that parent, so disk_zero() would do nothing.
 */
static int copy_zeros_up(struct merge *m, uint64_t off, uint64_t *len, struct err *e)
{
	struct image *top = m->has;
	uint64_t in, n;
	struct extent *x = image_extent(top, off, &in);
	int rc = -ENOTSUP;

	if (disk_layers(m->to) == 2)
		return 0;	/* below the parent there is nothing to be hidden */
	n = *len < x->size - in ? *len : x->size - in;
	if (in + n < x->size)
		n -= n % x->grain;
	if (in % x->grain == 0 && n && x->ops->drop)
		rc = x->ops->drop(x, in, n, false, e);
	if (rc != -ENOTSUP) {
		*len = n;
		return rc;
	}
	n = x->grain - in % x->grain;
	n = n < PIECE ? n : PIECE;
	*len = *len < n ? *len : n;
	memset(m->buf, 0, *len);
	return disk_write(m->to, m->buf, *len, off, e);
}

/* Copy the beginning of a run; *done says how much. */
static int copy_piece(struct merge *m, uint64_t off, const struct disk_run *run,
		      uint64_t *done, struct err *e)
{
	int rc = 0;

	*done = run->len;
	switch (run->kind) {
	case DISK_ABSENT:
		break;
	case DISK_ZERO:
		rc = m->has ? copy_zeros_up(m, off, done, e) :
			disk_zero(m->to, off, run->len, true, e);
		break;
	default:
		if (*done > PIECE)
			*done = PIECE;
		rc = disk_read(m->from, m->buf, *done, off, e);
		if (!rc)
			rc = disk_write(m->to, m->buf, *done, off, e);
	}
	return rc;
}

/* All before off is durable, and noted. */
static int checkpoint(struct merge *m, uint64_t off, struct err *e)
{
	int rc = disk_flush(m->to, e);

	return rc || !m->job->checkpoint ? rc : m->job->checkpoint(m->job->ptr, off, e);
}

static int copy(struct merge *m, uint64_t off, struct err *e)
{
	uint64_t copied = 0, done;
	struct disk_run run;
	int rc = 0;

	while (!rc && off < m->end) {
		rc = next_run(m, off, &run, e);
		if (!rc)
			rc = copy_piece(m, off, &run, &done, e);
		if (rc)
			break;
		off += done;
		if (run.kind != DISK_ABSENT)
			copied += done;
		if (m->job->progress && !m->job->progress(m->job->ptr, off, m->end)) {
			rc = checkpoint(m, off, e);
			return rc ? rc : err_set(e, -EINTR, "stopped");
		}
		if (copied >= CHECKPOINT) {
			rc = checkpoint(m, off, e);
			copied = 0;
		}
	}
	return rc;
}

static int copy_all(struct merge *m, uint64_t from, struct err *e)
{
	int rc;

	m->end = disk_size(m->from) < disk_size(m->to) ? disk_size(m->from) : disk_size(m->to);
	m->buf = aligned_alloc(4096, PIECE);
	rc = m->buf ? copy(m, from, e) : no_memory(e);
	if (!rc)
		rc = disk_flush(m->to, e);
	free(m->buf);
	return rc;
}

int snapshot_copy_down(struct disk *from, struct disk *to, const struct snapshot_job *job,
		       struct err *e)
{
	struct merge m = { .from = from, .to = to, .job = job };

	return copy_all(&m, 0, e);
}

int snapshot_merge(const char *child, const char *parent, bool down, uint64_t from,
		   const struct snapshot_job *job, struct err *e)
{
	struct disk_opts alone = { .no_parent = true, .no_lock = true, .allow_outside = job->outside };
	struct disk_opts chain = { .write = true, .no_lock = true, .allow_outside = job->outside };
	struct disk_manage grow = {
		.force = true, .allow_outside = job->outside, .locked = true,
	};
	struct merge m = { .job = job };
	struct image *top;
	struct err ignored;
	uint64_t was;
	int rc = disk_open(&m.from, down ? child : parent, &alone, e);

	if (rc)
		return rc;
	if (down)
		rc = disk_resize(parent, disk_size(m.from), &grow, &was, e);
	if (rc)
		goto out_from;
	rc = disk_open(&m.to, down ? parent : child, &chain, e);
	if (rc)
		goto out_from;
	/* Who points to it knows what it will read as: its id is not to change by itself. */
	top = disk_layer(m.to, disk_layers(m.to) - 1);
	top->cid_changed = true;
	m.has = down ? NULL : top;
	rc = copy_all(&m, from, e);
	if (!rc)
		rc = disk_close(m.to, e);
	else
		disk_close(m.to, &ignored);
out_from:
	disk_close(m.from, &ignored);
	return rc;
}

/* Descriptors */

int snapshot_relink(const char *path, const struct snapshot_link *l, bool outside,
		    struct err *e)
{
	struct image *im;
	char id[16];
	int rc = open_layer(&im, path, true, outside, e);

	if (rc)
		return rc;
	if (l->has_cid) {
		snprintf(id, sizeof(id), "%08" PRIx32, l->cid);
		rc = desc_set(im->desc, "CID", id, e);
	}
	if (!rc && l->has_parent) {
		snprintf(id, sizeof(id), "%08" PRIx32, l->parent_cid);
		rc = desc_set(im->desc, "parentCID", id, e);
		if (!rc && (l->hint || l->parent_cid == CID_NONE))
			rc = desc_set(im->desc, "parentFileNameHint", l->hint, e);
	}
	if (!rc)
		rc = image_save_desc(im, e);
	image_close(im);
	return rc;
}
