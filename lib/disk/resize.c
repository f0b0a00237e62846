/*
 * Resizing, so that a crash at any point leaves the old or the new size: growing, extents
 * come before the descriptor that promises them; shrinking, after it.  While there can be
 * files of extents that the descriptor does not name, it has their numbers in LEFT; while
 * the last flat extent's file can go on behind it, the byte where it is to end in END.  The
 * next resizing removes both.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/create.h"
#include "disk/disk.h"
#include "disk/geometry.h"
#include "disk/manage.h"

#define LEFT "ring1.left"
#define END "ring1.end"

struct resizing {
	const char *path;
	struct disk *d;
	struct image *top;
	uint64_t was, bytes;
	struct disk_files made;	/* new extents */
};

static struct extent *last_extent(const struct resizing *r)
{
	return r->top->ext[r->top->next - 1];
}

/* Is it of a format that goes on in further files? */
static bool is_split(const struct desc *d, enum disk_format *f)
{
	bool sparse = d && !strcasecmp(d->create_type, "twoGbMaxExtentSparse");

	*f = sparse ? DISK_SPLIT_SPARSE : DISK_SPLIT_FLAT;
	return sparse || (d && !strcasecmp(d->create_type, "twoGbMaxExtentFlat"));
}

static int can_resize(const struct resizing *r, struct err *e)
{
	static const char *const mapping[] = {
		"fullDevice", "partitionedDevice", "vmfsRawDeviceMap", "vmfsPassthroughRawDeviceMap",
	};
	const struct extent *x = last_extent(r);
	bool device = x->file && x->file->device;

	for (size_t i = 0; r->top->desc && i < sizeof(mapping) / sizeof(mapping[0]); i++)
		device |= !strcasecmp(r->top->desc->create_type, mapping[i]);
	if (device)
		return err_set(e, -ENOTSUP, "%s: a device has the size that it has", r->path);
	if (r->top->desc && !r->top->embedded &&
	    r->top->desc->extent[r->top->next - 1].sectors == 0)
		return err_set(e, -ENOTSUP, "%s: its last extent has no sectors", r->path);
	if (x->file && !x->ops->resize)
		return err_set(e, -ENOTSUP, "%s: extents of type %s have one size", r->path,
			       x->ops->name);
	return 0;
}

static int set_sectors(struct desc *d, size_t i, uint64_t bytes, struct err *e)
{
	struct desc_extent x = d->extent[i];

	x.sectors = bytes >> SECTOR_SHIFT;
	return desc_set_extent(d, i, &x, e);
}

static int save(struct resizing *r, bool touch, struct err *e)
{
	struct desc *d = r->top->desc;
	const char *adapter = desc_get(d, "ddb.adapterType");
	struct disk_geometry g;
	int rc = 0;

	if (desc_get(d, "ddb.geometry.cylinders")) {
		geometry_of(&g, r->bytes >> SECTOR_SHIFT, adapter ? adapter : "lsilogic");
		rc = geometry_set(d, &g, e);
	}
	if (rc)
		return rc;
	/* A new content id is written with what else there is, once. */
	return touch && !r->top->cid_changed ? image_touch(r->top, e)
					      : image_save_desc(r->top, e);
}

/* Growing */

/* "x-s001.vmdk" -> "x-s009.vmdk": the name of the extent with that number. */
static char *piece_name(const struct resizing *r, enum disk_format f, size_t number)
{
	char *name;
	int n = asprintf(&name, "%.*s%s%03zu.vmdk", (int)disk_stem(r->path), r->path,
			 f == DISK_SPLIT_SPARSE ? "-s" : "-f", number);

	return n < 0 ? NULL : name;
}

/* Pieces first to last the descriptor names no more, or not yet. */
static int note_left(struct resizing *r, size_t first, size_t last, struct err *e)
{
	char text[48];

	snprintf(text, sizeof(text), "%zu-%zu", first, last);
	return desc_set(r->top->desc, LEFT, text, e);
}

/* Where extent i is to end in its file; 0: it is not flat, or of a device. */
static uint64_t flat_end(const struct resizing *r, size_t i, uint64_t bytes)
{
	const struct desc *d = r->top->desc;
	const struct disk_file *f = r->top->ext[i]->file;

	if (!d || !f || f->device || i >= d->nextents ||
	    (d->extent[i].type != DESC_FLAT && d->extent[i].type != DESC_VMFS))
		return 0;
	return d->extent[i].offset_sectors * SECTOR + bytes;
}

/* Extent i has these bytes, by the descriptor on disk or soon: what its file has behind
 * them is no one's if the file ends where i does now. */
static int note_end(struct resizing *r, size_t i, uint64_t bytes, struct err *e)
{
	uint64_t is = flat_end(r, i, r->top->ext[i]->size);
	char text[24];

	if (!is || r->top->ext[i]->file->size >= is + SECTOR)
		return 0;
	snprintf(text, sizeof(text), "%" PRIu64, flat_end(r, i, bytes));
	return desc_set(r->top->desc, END, text, e);
}

static int clear_left(struct resizing *r, struct err *e)
{
	int rc = desc_set(r->top->desc, LEFT, NULL, e);

	return rc ? rc : desc_set(r->top->desc, END, NULL, e);
}

static bool is_named(const struct desc *d, const char *base)
{
	for (size_t i = 0; i < d->nextents; i++)
		if (d->extent[i].file && !strcmp(d->extent[i].file, base))
			return true;
	return false;
}

static int drop_piece(struct resizing *r, enum disk_format f, size_t number, struct err *e)
{
	char *name = piece_name(r, f, number);
	int rc = 0;

	if (!name)
		return err_set(e, -ENOMEM, "out of memory");
	if (!is_named(r->top->desc, disk_base_name(name)) && unlink(name) && errno != ENOENT)
		rc = err_set(e, -errno, "%s: left by a resizing that was cut short: %s", name,
			     strerror(errno));
	free(name);
	return rc;
}

/* What a resizing that was cut short has left. */
static int drop_left(struct resizing *r, struct err *e)
{
	struct desc *d = r->top->desc;
	const char *left = d ? desc_get(d, LEFT) : NULL, *end = d ? desc_get(d, END) : NULL;
	struct extent *x = last_extent(r);
	size_t first, last;
	enum disk_format f;
	int rc = 0;

	if (!left && !end)
		return 0;
	if (left && is_split(d, &f) && sscanf(left, "%zu-%zu", &first, &last) == 2 &&
	    last <= DISK_SIZE_MAX / DISK_PIECE + 1)
		for (; last >= first && last > d->nextents && !rc; last--)
			rc = drop_piece(r, f, last, e);
	if (!rc && end && flat_end(r, r->top->next - 1, x->size) &&
	    flat_end(r, r->top->next - 1, x->size) == strtoull(end, NULL, 10) &&
	    x->file->size > strtoull(end, NULL, 10))
		rc = file_resize(x->file, strtoull(end, NULL, 10), e);
	if (!rc)
		rc = clear_left(r, e);
	return rc ? rc : image_save_desc(r->top, e);
}

static int add_piece(struct resizing *r, enum disk_format f, uint64_t bytes, struct err *e)
{
	struct desc *d = r->top->desc;
	struct disk_create c = {
		.format = f, .size = bytes, .parent = d->parent,
		.grain = f == DISK_SPLIT_SPARSE ? r->top->grain : 0,
	};
	struct desc_extent x = {
		.access = DESC_RW, .type = f == DISK_SPLIT_SPARSE ? DESC_SPARSE : DESC_FLAT,
		.sectors = bytes >> SECTOR_SHIFT, .has_offset = f == DISK_SPLIT_FLAT,
	};
	char *name = piece_name(r, f, d->nextents + 1);
	int rc = name ? disk_create_extent(name, &c, bytes, e)
		      : err_set(e, -ENOMEM, "out of memory");

	if (rc) {
		free(name);
		return rc;
	}
	rc = disk_files_add(&r->made, name, e);
	x.file = (char *)disk_base_name(r->made.path[r->made.n - 1]);
	return rc ? rc : desc_set_extent(d, d->nextents, &x, e);
}

/* The last extent takes what it can, further ones the rest. */
static int grow_extents(struct resizing *r, struct err *e)
{
	struct extent *x = last_extent(r);
	uint64_t more = r->bytes - r->was, add = more;
	struct desc *d = r->top->desc;
	enum disk_format f;
	bool split = is_split(d, &f);
	int rc = 0;

	if (split)
		add = x->size < DISK_PIECE ? DISK_PIECE - x->size : 0;
	if (add > more)
		add = more;
	if (d && add)
		rc = note_end(r, r->top->next - 1, x->size, e);
	if (!rc && more > add)
		rc = note_left(r, d->nextents + 1,
			       d->nextents + (more - add + DISK_PIECE - 1) / DISK_PIECE, e);
	if (!rc && d && (desc_get(d, LEFT) || desc_get(d, END)))
		rc = image_save_desc(r->top, e);
	if (!rc && d && add)
		rc = set_sectors(d, r->top->next - 1, x->size + add, e);
	if (!rc && add && x->file)
		rc = x->ops->resize(x, x->size + add, e);
	for (more -= add; more && !rc; more -= add) {
		add = more < DISK_PIECE ? more : DISK_PIECE;
		rc = add_piece(r, f, add, e);
	}
	return rc;
}

/* What the descriptor on disk says: one that could not be written may be there even so. */
static bool still_says(const struct resizing *r, uint64_t bytes)
{
	struct disk_opts o = { .no_lock = true, .no_extents = true };
	struct image *im;
	bool same;

	if (!r->top->desc)
		return true;
	if (image_open(&im, r->path, &o, NULL))
		return false;
	same = im->desc && desc_bytes(im->desc) == bytes;
	image_close(im);
	return same;
}

static int grow(struct resizing *r, struct err *e)
{
	uint64_t last = last_extent(r)->size;
	int rc = grow_extents(r, e);

	if (!rc && r->top->desc)
		rc = clear_left(r, e);
	if (!rc && r->top->desc)
		rc = save(r, false, e);
	if (!rc || !still_says(r, r->was))
		return rc;
	for (size_t i = 0; i < r->made.n; i++)
		unlink(r->made.path[i]);
	if (last_extent(r)->file && last_extent(r)->size > last)
		last_extent(r)->ops->resize(last_extent(r), last, NULL);
	return rc;
}

/* Where a parent is larger than the disk was, its bytes must not show up now. */
static int hide_parents(const struct resizing *r, const struct disk_opts *o, uint64_t largest,
			struct err *e)
{
	uint64_t end = largest < r->bytes ? largest : r->bytes;
	struct disk *d;
	int rc, rc2;

	if (end <= r->was)
		return 0;
	rc = disk_open(&d, r->path, o, e);
	if (rc)
		return rc;
	rc = disk_zero(d, r->was, end - r->was, true, e);
	rc2 = disk_close(d, rc ? NULL : e);
	return rc ? rc : rc2;
}

/* Shrinking */

/* A grain that stays in part must not bring its old end back when the disk grows. */
static int clear_tail(const struct resizing *r, struct err *e)
{
	uint64_t grain = r->top->grain, end = (r->bytes + grain - 1) / grain * grain;
	int rc;

	if (end > r->was)
		end = r->was;
	if (end == r->bytes)
		return 0;
	rc = disk_zero(r->d, r->bytes, end - r->bytes, false, e);
	return rc ? rc : disk_flush(r->d, e);
}

static bool is_same_file(const struct disk_file *a, const struct disk_file *b)
{
	struct stat sa, sb;

	return !fstat(a->fd, &sa) && !fstat(b->fd, &sb) && sa.st_ino == sb.st_ino &&
	       sa.st_dev == sb.st_dev;
}

/* The files of extents that are no longer, but for those that hold one that is, too. */
static void drop_files(const struct resizing *r, size_t from)
{
	for (size_t i = from; i < r->top->next; i++) {
		const struct disk_file *f = r->top->ext[i]->file;
		bool stays = !f || f->device;

		for (size_t k = 0; k < from && !stays; k++)
			stays = r->top->ext[k]->file && is_same_file(f, r->top->ext[k]->file);
		if (!stays)
			unlink(f->path);
	}
}

static int shrink(struct resizing *r, struct err *e)
{
	struct image *im = r->top;
	enum disk_format f;
	uint64_t in;
	size_t last = 0, pieces = im->next;
	int rc = clear_tail(r, e);

	if (rc)
		return rc;
	while (im->start[last + 1] < r->bytes)
		last++;
	in = r->bytes - im->start[last];
	if (im->desc) {
		while (im->desc->nextents > last + 1 && !rc)
			rc = desc_set_extent(im->desc, im->desc->nextents - 1, NULL, e);
		if (!rc)
			rc = set_sectors(im->desc, last, in, e);
		if (!rc && pieces > last + 1 && is_split(im->desc, &f))
			rc = note_left(r, last + 2, pieces, e);
		if (!rc)
			rc = note_end(r, last, in, e);
		if (!rc)
			rc = save(r, true, e);
	}
	if (!rc && im->ext[last]->file && im->ext[last]->size != in)
		rc = im->ext[last]->ops->resize(im->ext[last], in, e);
	if (rc)
		return rc;
	drop_files(r, last + 1);
	if (!im->desc || (!desc_get(im->desc, LEFT) && !desc_get(im->desc, END)))
		return 0;
	rc = clear_left(r, e);
	return rc ? rc : image_save_desc(im, e);
}

/* All of it */

static int check_force(const struct resizing *r, const struct disk_manage *m, struct err *e)
{
	int rc = m->locked ? 0 : disk_refuse_used_above(r->top, e);

	if (rc)
		return rc;
	if (m->force)
		return 0;
	if (r->bytes < r->was)
		return err_set(e, -EINVAL, "%s: has %" PRIu64 " bytes; to make it smaller loses what "
			       "lies behind, and needs -f", r->path, r->was);
	return disk_refuse_children(r->top, "which keeps its size: resize that, or this one "
				    "even so with -f", e);
}

static int resize_open(struct resizing *r, const struct disk_manage *m, uint64_t *largest,
		       struct err *e)
{
	int rc;

	r->top = disk_layer(r->d, disk_layers(r->d) - 1);
	r->was = disk_size(r->d);
	*largest = 0;
	for (unsigned i = 0; i + 1 < disk_layers(r->d); i++)
		if (disk_layer(r->d, i)->size > *largest)
			*largest = disk_layer(r->d, i)->size;
	if (r->bytes == r->was)	/* perhaps the last one, once more, to its end */
		return m->dry ? 0 : drop_left(r, e);
	rc = can_resize(r, e);
	if (!rc)
		rc = check_force(r, m, e);
	if (rc || m->dry)
		return rc;
	rc = drop_left(r, e);
	if (rc)
		return rc;
	return r->bytes > r->was ? grow(r, e) : shrink(r, e);
}

int disk_resize(const char *path, uint64_t bytes, const struct disk_manage *m,
		uint64_t *was, struct err *e)
{
	struct disk_opts o = { .write = !m->dry, .allow_outside = m->allow_outside,
			       .no_lock = m->locked };
	struct resizing r = { .path = path, .bytes = bytes };
	char *real = NULL;
	uint64_t largest = 0;
	int rc;

	if (!bytes || bytes % SECTOR || bytes > DISK_SIZE_MAX)
		return err_set(e, -EINVAL, "a size of %" PRIu64 " bytes: not a multiple of %u up to "
			       "62T", bytes, SECTOR);
	rc = disk_open(&r.d, path, &o, e);
	if (rc)
		return rc;
	if (disk_layer(r.d, disk_layers(r.d) - 1)->real)
		r.path = real = strdup(disk_layer(r.d, disk_layers(r.d) - 1)->real);
	rc = r.path ? resize_open(&r, m, &largest, e) : err_set(e, -ENOMEM, "out of memory");
	*was = r.was;
	disk_files_free(&r.made);
	disk_close(r.d, NULL);
	if (!rc && !m->dry)
		rc = hide_parents(&r, &o, largest, e);
	free(real);
	return rc;
}
