/* Disks: opening, closing, flushing, mapping, and changes of their layers. */
#include "disk/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/disk_impl.h"

static int set_layers(struct disk *d, struct image *const *layer, unsigned n,
		      struct err *e)
{
	if (n == 0 || n > DISK_LAYERS)
		return err_set(e, -EINVAL, "a chain has 1 to %u layers, not %u", DISK_LAYERS, n);
	d->layer = malloc(n * sizeof(struct image *));
	if (!d->layer)
		return err_set(e, -ENOMEM, "no memory");
	memcpy(d->layer, layer, n * sizeof(struct image *));
	d->n = n;
	d->size = disk_top(d)->size;
	d->touched = disk_top(d)->cid_changed;
	return 0;
}

int disk_new(struct disk **out, struct image *const *layer, unsigned n, struct err *e)
{
	struct disk *d = calloc(1, sizeof(*d));
	int rc;

	if (!d)
		return err_set(e, -ENOMEM, "no memory");
	d->map = map_new(MAP_LIMIT);
	rc = d->map ? set_layers(d, layer, n, e) : err_set(e, -ENOMEM, "no memory");
	if (rc) {
		map_free(d->map);
		free(d);
		return rc;
	}
	pthread_mutex_init(&d->meta, NULL);
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->changed, NULL);
	*out = d;
	return 0;
}

int disk_open(struct disk **d, const char *path, const struct disk_opts *o, struct err *e)
{
	struct image **layer;
	unsigned n;
	int rc = chain_open(&layer, &n, path, o, e);

	if (rc)
		return rc;
	rc = disk_new(d, layer, n, e);
	for (unsigned i = 0; i < n && rc; i++)
		image_close(layer[i]);
	free(layer);
	return rc;
}

void disk_dissolve(struct disk *d)
{
	unpacked_clear(d);
	map_free(d->map);
	free(d->layer);
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->lock);
	pthread_mutex_destroy(&d->meta);
	free(d);
}

int disk_close(struct disk *d, struct err *e)
{
	int rc = disk_top(d)->writable ? disk_flush(d, e) : 0;

	for (unsigned i = 0; i < d->n; i++)
		image_close(d->layer[i]);
	disk_dissolve(d);
	return rc;
}

uint64_t disk_size(const struct disk *d)
{
	return d->size;
}

unsigned disk_layers(const struct disk *d)
{
	return d->n;
}

struct image *disk_layer(const struct disk *d, unsigned i)
{
	return d->layer[i];
}

uint64_t disk_map_bytes(struct disk *d)
{
	uint64_t bytes;

	pthread_mutex_lock(&d->lock);
	bytes = map_bytes(d->map);
	pthread_mutex_unlock(&d->lock);
	return bytes;
}

/* Keep the layers as they are for a while: an op of no bytes is in nobody's way. */
static void hold(struct disk *d, struct op *o)
{
	op_begin(d, o, OP_IO, 0, 0);
	pthread_mutex_unlock(&d->lock);
}

static void let_go(struct disk *d, struct op *o)
{
	pthread_mutex_lock(&d->lock);
	op_end(d, o);
	pthread_mutex_unlock(&d->lock);
}

/* The data are synced without a lock, so that what flush() does under it is short. */
static int flush_extent(struct disk *d, struct extent *x, struct err *e)
{
	int rc = file_sync(x->file, e);

	if (rc || !x->ops->dirty)
		return rc;
	pthread_mutex_lock(&d->meta);
	if (x->ops->dirty(x))
		rc = x->ops->flush(x, e);
	pthread_mutex_unlock(&d->meta);
	return rc;
}

int disk_flush(struct disk *d, struct err *e)
{
	struct op o;
	int rc = 0;

	hold(d, &o);
	/* A parent was the top, perhaps, when something was written. */
	for (unsigned l = d->n; l-- > 0 && !rc;) {
		struct image *im = d->layer[l];

		for (size_t i = 0; im->writable && i < im->next && !rc; i++)
			if (im->ext[i]->writable && im->ext[i]->file)
				rc = flush_extent(d, im->ext[i], e);
	}
	let_go(d, &o);
	return rc;
}

void disk_write_out(struct disk *d)
{
	struct image *top;
	struct op o;

	hold(d, &o);
	top = disk_top(d);
	for (size_t i = 0; i < top->next; i++)
		if (top->ext[i]->writable && top->ext[i]->file)
			file_write_out(top->ext[i]->file);
	let_go(d, &o);
}

int disk_map(struct disk *d, uint64_t off, uint64_t len, struct disk_run *run,
	     unsigned *layer, struct err *e)
{
	uint64_t at = off, end = off + len;
	bool more = true, first = true;
	struct seg s[SEGS];
	struct op o;
	int rc = disk_bounds(d, off, len, e);

	if (rc || len == 0)
		return rc ? rc : err_set(e, -EINVAL, "nothing to map");
	hold(d, &o);
	while (at < end && more && !rc) {
		unsigned n;

		pthread_mutex_lock(&d->lock);
		n = disk_segs(d, at, end, s, SEGS);
		pthread_mutex_unlock(&d->lock);
		if (n == 0) {
			rc = disk_fill(d, at, e);
			continue;
		}
		if (first) {
			*run = (struct disk_run){ .kind = s[0].kind, .file = s[0].file, .off = s[0].at };
			*layer = s[0].layer;
		} else if (s[0].kind != run->kind || s[0].layer != *layer || s[0].file != run->file ||
			   (run->kind != DISK_ZERO && s[0].at != run->off + run->len)) {
			break;
		}
		first = false;
		run->len += s[0].len;
		at += s[0].len;
		more = n == 1 && run->kind != DISK_PACKED;
	}
	let_go(d, &o);
	return rc;
}

void disk_freeze(struct disk *d)
{
	pthread_mutex_lock(&d->lock);
	while (d->frozen)
		pthread_cond_wait(&d->changed, &d->lock);
	d->frozen = 1;
	while (d->ops)
		pthread_cond_wait(&d->changed, &d->lock);
	pthread_mutex_unlock(&d->lock);
}

void disk_thaw(struct disk *d)
{
	pthread_mutex_lock(&d->lock);
	d->frozen = 0;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

bool disk_frozen(const struct disk *d)
{
	return d->frozen;
}

void disk_swap_layers(struct disk *d, struct image ***layer, unsigned *n, bool pushed)
{
	struct image **was = d->layer;
	unsigned had = d->n;

	d->layer = *layer;
	d->n = *n;
	d->size = disk_top(d)->size;
	d->touched = disk_top(d)->cid_changed;
	*layer = was;
	*n = had;
	unpacked_clear(d);
	if (!pushed)
		map_clear(d->map);
}
