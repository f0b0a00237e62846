#include "disk/live.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "disk/disk_impl.h"
#include "disk/hold.h"
#include "disk/lock.h"
#include "disk/snapshot.h"

#define LOOK (64u << 20)		/* bytes of the disk asked about at once */
#define FROZEN_CACHE (256u << 10)	/* bytes of tables of what was the top */

static int no_memory(struct err *e) { return err_set(e, -ENOMEM, "no memory"); }

/* Do two paths lead to one file? */
static bool same_file(const char *a, const char *b)
{
	char *x = realpath(a, NULL), *y = realpath(b, NULL);
	bool same = x && y && !strcmp(x, y);

	free(x);
	free(y);
	return same;
}

static int set_parent_cid(struct image *im, uint32_t cid, struct err *e)
{
	char id[16];

	snprintf(id, sizeof(id), "%08" PRIx32, cid);
	return desc_set(im->desc, "parentCID", id, e);
}

/* The layers of d from the base on, with room for one more. */
static int copy_layers(struct live_change *c, const struct disk *d, struct err *e)
{
	c->layer = reallocarray(NULL, d->n + 1, sizeof(*c->layer));
	if (!c->layer)
		return no_memory(e);
	memcpy(c->layer, d->layer, d->n * sizeof(*c->layer));
	c->n = d->n;
	return 0;
}

struct live_state live_look(const struct disk *d)
{
	return (struct live_state){ .top = disk_top(d)->path, .layers = d->n, .size = d->size };
}

/* --- opening ------------------------------------------------------------------------- */

static int check_child(const struct image *child, const struct live_change *c, struct err *e)
{
	const struct disk *d = c->d;
	const struct image *top = disk_top(d);
	char *parent;
	bool is;
	int rc;

	if (!child->desc || child->desc->parent_cid == CID_NONE || !child->desc->parent)
		return err_set(e, -EINVAL, "%.150s: is no layer on another", child->path);
	rc = image_beside(&parent, child->path, child->desc->parent, c->outside, e);
	if (rc)
		return rc;
	is = same_file(parent, top->path);
	free(parent);
	if (!is)
		return err_set(e, -EINVAL, "%.90s: is no layer on %.90s", child->path, top->path);
	if (child->size != d->size)
		return err_set(e, -EINVAL, "%.150s: is not as large as the disk that it is to go on",
			       child->path);
	return d->n < DISK_LAYERS ? 0 : err_set(e, -EINVAL, "%.150s: %u layers are the most",
						top->path, DISK_LAYERS);
}

/* What the top's id is when it is frozen is not known before it has been written to. */
static int open_push(struct live_change *c, struct err *e)
{
	struct disk_opts o = { .write = true, .no_parent = true, .allow_outside = c->outside };
	struct image *im;
	int rc = image_open(&im, c->path, &o, e);

	if (rc)
		return rc;
	rc = check_child(im, c, e);
	if (!rc)
		rc = disk_touch(c->d, e);
	if (!rc && im->desc->parent_cid != disk_top(c->d)->desc->cid) {
		rc = set_parent_cid(im, disk_top(c->d)->desc->cid, e);
		if (!rc)
			rc = image_save_desc(im, e);
	}
	if (!rc)
		rc = copy_layers(c, c->d, e);
	if (rc)
		image_close(im);
	else
		c->layer[c->n++] = im;
	return rc;
}

/* The chain that hint leads to, and the top. */
static int open_below(struct live_change *c, const char *hint, struct err *e)
{
	struct disk_opts o = { .allow_outside = c->outside };
	struct image *top = disk_top(c->d);
	struct disk *below;
	char *path;
	int rc = image_beside(&path, top->path, hint, c->outside, e);

	if (rc)
		return rc;
	rc = disk_open(&below, path, &o, e);
	free(path);
	if (rc)
		return rc;
	if (below->n >= DISK_LAYERS)
		rc = err_set(e, -EINVAL, "%.150s: %u layers are the most", top->path, DISK_LAYERS);
	else if (!disk_top(below)->desc || disk_top(below)->desc->cid != c->parent_cid)
		rc = err_set(e, -EINVAL, "%.150s: is another parent, by its CID",
			     disk_top(below)->path);
	else
		rc = copy_layers(c, below, e);
	if (rc) {
		disk_close(below, NULL);
		return rc;
	}
	for (unsigned i = 0; i < below->n; i++)
		image_hold(below->layer[i]);
	disk_dissolve(below);
	c->layer[c->n++] = top;
	return 0;
}

/* The descriptor is this process's to write: nobody else has the top. */
static int open_rebase(struct live_change *c, struct err *e)
{
	struct image *top = disk_top(c->d);
	int rc;

	if (c->d->n < 2 || c->parent_cid == CID_NONE)
		return err_set(e, -EINVAL, "%.150s: has no parent, or is to have none", top->path);
	rc = c->path ? open_below(c, c->path, e) : copy_layers(c, c->d, e);
	if (rc)
		return rc;
	pthread_mutex_lock(&c->d->meta);
	rc = set_parent_cid(top, c->parent_cid, e);
	if (!rc && c->path)
		rc = desc_set(top->desc, "parentFileNameHint", c->path, e);
	if (!rc)
		rc = image_save_desc(top, e);
	pthread_mutex_unlock(&c->d->meta);
	return rc;
}

static int open_other(struct disk **to, const struct live_change *c, const char *path,
		      struct err *e)
{
	struct disk_opts o = { .write = true, .allow_outside = c->outside,
			       .sharer = getpid() };	/* it may be below this disk now */
	int rc = disk_open(to, path, &o, e);

	if (rc || (*to)->size == c->d->size)
		return rc;
	rc = err_set(e, -ENOTSUP, "%.150s: is of another size than the disk in use", path);
	disk_close(*to, NULL);
	*to = NULL;
	return rc;
}

/*
 * Has the top more than bytes_max?  Requests go on meanwhile, but for those that need the
 * tables, which wait for a piece of it.
 */
static int check_bytes(const struct live_change *c, struct err *e)
{
	struct image *top = disk_top(c->d);
	uint64_t bytes = 0;
	struct disk_run run;
	int rc = 0;

	for (uint64_t off = 0; !rc && off < top->size && bytes <= c->bytes_max; off += run.len) {
		uint64_t len = top->size - off < LOOK ? top->size - off : LOOK;

		pthread_mutex_lock(&c->d->meta);
		rc = image_map(top, off, len, &run, e);
		pthread_mutex_unlock(&c->d->meta);
		if (!rc && run.kind != DISK_ABSENT)
			bytes += run.len;
	}
	if (rc || bytes <= c->bytes_max)
		return rc;
	return err_set(e, -EAGAIN, "%.150s: has more than %" PRIu64 " bytes", top->path,
		       c->bytes_max);
}

static int open_fold(struct live_change *c, struct err *e)
{
	struct image *parent;
	int rc;

	if (c->d->n < 2)
		return err_set(e, -EINVAL, "%.150s: has no parent", disk_top(c->d)->path);
	parent = c->d->layer[c->d->n - 2];
	rc = check_bytes(c, e);
	if (!rc)
		rc = open_other(&c->to, c, parent->path, e);
	if (rc)
		return rc;
	if (snapshot_in_place(disk_top(c->to)) && disk_top(c->to)->writable)
		return 0;
	disk_close(c->to, NULL);
	c->to = NULL;
	return err_set(e, -ENOTSUP, "%.150s: is of a format that is not written in place",
		       parent->path);
}

static int open_replace(struct live_change *c, struct err *e)
{
	struct disk *to;
	int rc = open_other(&to, c, c->path, e);

	if (rc)
		return rc;
	rc = copy_layers(c, to, e);
	if (rc)
		disk_close(to, NULL);
	else
		disk_dissolve(to);
	return rc;
}

int live_open(struct live_change *c, struct err *e)
{
	static int (*const open[])(struct live_change *c, struct err *e) = {
		[LIVE_PUSH] = open_push, [LIVE_REBASE] = open_rebase,
		[LIVE_FOLD] = open_fold, [LIVE_REPLACE] = open_replace,
	};
	int rc;

	c->layer = NULL;
	c->n = 0;
	c->to = NULL;
	c->switched = false;
	if (!disk_top(c->d)->writable || !disk_top(c->d)->desc)
		return err_set(e, -EROFS, "%.150s: is no disk that is written to",
			       disk_top(c->d)->path);
	rc = open[c->kind](c, e);
	/* So that little is left to be flushed while it is frozen, or before others use it. */
	if (!rc && (c->kind == LIVE_PUSH || c->kind == LIVE_FOLD))
		rc = disk_flush(c->d, e);
	if (!rc && c->kind == LIVE_FOLD)
		rc = check_bytes(c, e);
	if (rc)
		live_close(c, NULL);
	return rc;
}

/* --- the switch ---------------------------------------------------------------------- */

static bool in_time(void *ptr, uint64_t done, uint64_t total)
{
	return clock_ns() < *(uint64_t *)ptr;
}

/*
 * Once the parent is written to by the guest its id is another, and says that the top is
 * not needed any more: so before that all that comes from the top is durable.
 */
static int fold(struct live_change *c, uint64_t began, struct err *e)
{
	struct disk_opts alone = { .no_parent = true, .no_lock = true, .allow_outside = c->outside };
	uint64_t until = began + c->stun_max_ns;
	struct snapshot_job job = { .ptr = &until, .progress = in_time };
	struct image *top = disk_top(c->d), *parent = disk_top(c->to);
	struct disk *from;
	int rc = image_flush(top, e);

	if (!rc)
		rc = disk_open(&from, top->path, &alone, e);
	if (rc)
		return rc;
	parent->cid_changed = true;	/* not by this */
	rc = snapshot_copy_down(from, c->to, &job, e);
	parent->cid_changed = false;
	disk_close(from, NULL);
	if (rc == -EINTR)
		rc = err_set(e, -EAGAIN, "%.150s: takes more than %" PRIu64 " ms", top->path,
			     c->stun_max_ns / 1000000);
	if (rc)
		return rc;
	c->layer = c->to->layer;
	c->n = c->to->n;
	c->to->layer = NULL;
	disk_dissolve(c->to);
	c->to = NULL;
	return 0;
}

int live_switch(struct live_change *c, unsigned n, uint64_t *stun_ns, struct err *e)
{
	uint64_t began = clock_ns();
	int rc = 0;

	for (unsigned i = 0; i < n; i++)
		disk_freeze(c[i].d);
	for (unsigned i = 0; i < n && !rc; i++)
		if (c[i].kind == LIVE_FOLD)
			rc = fold(&c[i], began, e);
	for (unsigned i = 0; i < n && !rc; i++) {
		disk_swap_layers(c[i].d, &c[i].layer, &c[i].n, c[i].kind == LIVE_PUSH);
		c[i].switched = true;
	}
	for (unsigned i = 0; i < n; i++)
		disk_thaw(c[i].d);
	*stun_ns = clock_ns() - began;
	return rc;
}

/* --- closing ------------------------------------------------------------------------- */

/* Is im a layer of the disk now? */
static bool is_used(const struct disk *d, const struct image *im)
{
	for (unsigned i = 0; i < d->n; i++)
		if (d->layer[i] == im)
			return true;
	return false;
}

/*
 * The layer that was the top is one that is read, from now on: others may write to it (in a
 * merge), and this process has no tables of it that it might write back.  Where everything
 * lies stays the same.
 */
static int reopen_frozen(struct live_change *c, struct err *e)
{
	struct disk_opts o = { .no_parent = true, .no_lock = true, .cache = FROZEN_CACHE,
			       .allow_outside = c->outside };
	struct disk *d = c->d;
	struct image *im;
	uint64_t began;
	int rc;

	free(c->layer);
	c->n = 0;
	rc = copy_layers(c, d, e);
	if (!rc)
		rc = image_open(&im, d->layer[d->n - 2]->path, &o, e);
	if (rc)
		return rc;
	image_hold(im);		/* before the lock that it had as the top is given back */
	c->layer[d->n - 2] = im;
	began = clock_ns();
	disk_freeze(d);
	disk_swap_layers(d, &c->layer, &c->n, true);
	disk_thaw(d);
	c->stun_ns = clock_ns() - began;
	return 0;
}

int live_close(struct live_change *c, struct err *e)
{
	int rc = 0;

	c->stun_ns = 0;
	if (c->switched && (c->kind == LIVE_PUSH || c->kind == LIVE_FOLD))
		rc = disk_flush(c->d, e);
	if (!rc && c->switched && c->kind == LIVE_PUSH)
		rc = reopen_frozen(c, e);
	for (unsigned i = 0; i < c->n; i++)
		if (!is_used(c->d, c->layer[i]))
			image_close(c->layer[i]);
	if (c->to)
		disk_close(c->to, NULL);
	free(c->layer);
	c->layer = NULL;
	c->n = 0;
	c->to = NULL;
	return rc;
}
