#include "disk/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "disk/disk.h"
#include "disk/files.h"
#include "disk/foreign.h"
#include "disk/geometry.h"

struct checking {
	const struct disk_check *c;
	struct disk_check_sum *sum;
	const char *path;	/* what is looked at now */
	uint64_t total, behind;	/* bytes of all that is looked at; those before this extent, */
	uint64_t size;		/* and its own */
	bool changed;		/* it was damaged, and may read as something else now */
};

static void report(void *ptr, const char *kind, bool leak, bool repaired, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

static void report(void *ptr, const char *kind, bool leak, bool repaired, const char *fmt, ...)
{
	struct checking *k = ptr;
	char text[512];
	struct disk_finding f = {
		.path = k->path, .kind = kind, .text = text, .leak = leak,
		.repaired = repaired,
	};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	k->changed |= repaired && !leak;
	if (repaired)
		k->sum->repaired++;
	else if (leak)
		k->sum->leaks++;
	else
		k->sum->damage++;
	k->c->report(k->c->ptr, &f);
}

static bool go_on(void *ptr, uint64_t done, uint64_t total)
{
	struct checking *k = ptr;
	uint64_t here = total ? (uint64_t)((double)k->size * (double)done / (double)total) : 0;

	return !k->c->progress || k->c->progress(k->c->ptr, k->behind + here, k->total);
}

int extent_check_go_on(const struct extent_check *c, uint64_t done, uint64_t total, struct err *e)
{
	return !c->go_on || c->go_on(c->ptr, done, total) ? 0 : err_set(e, -EINTR, "stopped");
}

/* Where an extent's bytes lie: a range of a file, or all of it. */
struct place {
	dev_t dev;
	ino_t ino;
	uint64_t start, end;
	size_t extent;
};

static int by_place(const void *pa, const void *pb)
{
	const struct place *a = pa, *b = pb;

	if (a->dev != b->dev)
		return a->dev < b->dev ? -1 : 1;
	if (a->ino != b->ino)
		return a->ino < b->ino ? -1 : 1;
	return a->start < b->start ? -1 : a->start > b->start;
}

static bool is_flat(const struct desc_extent *x)
{
	return x->type == DESC_FLAT || x->type == DESC_VMFS || x->type == DESC_VMFSRAW ||
	       x->type == DESC_VMFSRDM;
}

static size_t places_of(const struct image *im, struct place *p)
{
	size_t n = 0;
	struct stat st;

	for (size_t i = 0; i < im->next; i++) {
		const struct desc_extent *x = &im->desc->extent[i];
		const struct disk_file *f = im->ext[i]->file;

		if (!f || f->fd < 0 || fstat(f->fd, &st))
			continue;
		p[n] = (struct place) { st.st_dev, st.st_ino, 0, UINT64_MAX, i };
		if (is_flat(x)) {
			p[n].start = x->offset_sectors;
			p[n].end = x->offset_sectors + x->sectors;
		}
		n++;
	}
	return n;
}

/* Two extents in one place: what is written to one changes the other. */
static int check_overlaps(struct checking *k, const struct image *im, struct err *e)
{
	struct place *p = calloc(im->next + 1, sizeof(*p));
	size_t n = p ? places_of(im, p) : 0;

	if (!p)
		return err_set(e, -ENOMEM, "out of memory");
	qsort(p, n, sizeof(*p), by_place);
	for (size_t i = 1; i < n; i++) {
		if (p[i].dev == p[i - 1].dev && p[i].ino == p[i - 1].ino &&
		    p[i].start < p[i - 1].end)
			report(k, "overlap", false, false,
			       "extents %zu and %zu lie in one place of %s",
			       p[i - 1].extent + 1, p[i].extent + 1,
			       im->ext[p[i].extent]->file->path);
		if (p[i].end < p[i - 1].end && p[i].dev == p[i - 1].dev &&
		    p[i].ino == p[i - 1].ino)
			p[i].end = p[i - 1].end;
	}
	free(p);
	return 0;
}

static int check_geometry(struct checking *k, struct image *im, struct err *e)
{
	const char *adapter = desc_get(im->desc, "ddb.adapterType");
	struct disk_geometry g;
	struct err why = { 0 };
	int rc = 0;

	if (geometry_get(im->desc, &g, &why) != -EBADMSG)
		return 0;
	if (k->c->repair) {
		geometry_of(&g, im->size >> SECTOR_SHIFT, adapter ? adapter : "lsilogic");
		rc = geometry_set(im->desc, &g, e);
		if (!rc)
			rc = image_save_desc(im, e);
	}
	if (!rc)
		report(k, "geometry", false, k->c->repair, "%s", why.msg);
	return rc;
}

/* Is it a disk at all, and may the descriptor's parent be looked for? */
static void check_kind(struct checking *k, const struct image *im, bool raw)
{
	const char *foreign = raw ? NULL : image_foreign(im);

	if (!im->desc && !im->size)
		report(k, "kind", false, false, "it is empty");
	if (foreign)
		report(k, "kind", false, false, "it is %s", foreign);
	if (im->desc && im->desc->parent_cid != CID_NONE && !im->desc->parent && !k->c->chain)
		report(k, "parent", false, false, "%s: has a parentCID but no "
		       "parentFileNameHint", im->path);
}

static int check_layer(struct checking *k, const char *path, const struct disk_opts *given,
		       uint32_t *cid, struct err *e)
{
	struct disk_opts o = *given;
	struct extent_check x = { .repair = k->c->repair, .ptr = k, .report = report,
				  .go_on = go_on };
	struct image *im;
	int rc;

	o.write = k->c->repair;
	o.mend = true;
	rc = image_open(&im, path, &o, e);
	if (rc)
		return rc;
	k->path = im->path;
	if (!k->total)
		k->total = im->size;
	if (k->c->repair)
		rc = disk_refuse_used_above(im, e);
	if (!rc)
		check_kind(k, im, o.raw);
	if (!rc && im->desc)
		rc = check_overlaps(k, im, e);
	if (!rc && im->desc)
		rc = check_geometry(k, im, e);
	k->changed = false;
	for (size_t i = 0; i < im->next && !rc; i++) {
		if (im->ext[i]->file)
			k->path = im->ext[i]->file->path;
		k->size = im->ext[i]->size;
		if (im->ext[i]->ops->check)
			rc = im->ext[i]->ops->check(im->ext[i], &x, e);
		k->behind += k->size;
	}
	/* Children elsewhere are to notice. */
	if (!rc && k->changed)
		rc = image_touch(im, e);
	if (!rc)
		*cid = im->desc ? im->desc->cid : 0;
	image_close(im);
	return rc;
}

/* The child by which a repaired layer was found knows that it has changed. */
static int tell_child(struct image *child, uint32_t cid, const struct disk_opts *o, struct err *e)
{
	struct disk_opts to = *o;
	struct image *im;
	char id[16];
	int rc;

	to.write = to.mend = true;
	rc = image_open(&im, child->path, &to, e);
	if (rc)
		return rc;
	snprintf(id, sizeof(id), "%08" PRIx32, cid);
	rc = desc_set(im->desc, "parentCID", id, e);
	if (!rc)
		rc = image_save_desc(im, e);
	image_close(im);
	return rc;
}

int disk_check(const char *path, const struct disk_check *c, const struct disk_opts *given,
	       struct disk_check_sum *sum, struct err *e)
{
	struct checking k = { .c = c, .sum = sum };
	struct disk_opts o = *given;
	struct disk *d;
	uint32_t cid;
	int rc;

	*sum = (struct disk_check_sum) { 0 };
	if (!c->chain)
		return check_layer(&k, path, given, &cid, e);
	o.write = false;
	o.no_lock = true;
	o.lazy = true;
	o.mend = true;
	rc = disk_open(&d, path, &o, e);
	if (rc)
		return rc;
	for (unsigned i = 0; i < disk_layers(d); i++)
		k.total += disk_layer(d, i)->size;
	for (unsigned i = disk_layers(d); i-- > 0 && !rc;) {
		struct image *im = disk_layer(d, i);

		rc = check_layer(&k, im->path, given, &cid, e);
		if (!rc && k.changed && i + 1 < disk_layers(d) &&
		    im->desc->cid == disk_layer(d, i + 1)->desc->parent_cid)
			rc = tell_child(disk_layer(d, i + 1), cid, given, e);
		k.path = im->path;
		if (!rc && im->broken)
			report(&k, "parent", false, false, "%s", im->broken);
	}
	disk_close(d, NULL);
	return rc;
}
