#include "disk/rebuild.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/create.h"
#include "disk/files.h"
#include "disk/geometry.h"
#include "disk/image.h"

#define COWD_PARENT	0x20	/* offset of parentFileName in a vmfsSparse header */
#define COWD_PARENT_LEN	1024

typedef int open_fn(struct extent **x, struct disk_file *f, const struct extent_params *p,
		    struct err *e);

static const struct kind {
	const char *suffix;	/* of an extent's name */
	bool split;		/* numbered behind it */
	bool delta;		/* has a parent when its name has a number */
	enum desc_type type;
	const char *create_type;
	open_fn *open;
} kinds[] = {
	{ "-delta", false, true, DESC_VMFSSPARSE, "vmfsSparse", cowd_open },
	{ "-sesparse", false, true, DESC_SESPARSE, "seSparse", sesparse_open },
	{ "-flat", false, false, DESC_VMFS, "vmfs", flat_open },
	{ "-s", true, true, DESC_SPARSE, "twoGbMaxExtentSparse", sparse_open },
	{ "-f", true, false, DESC_FLAT, "twoGbMaxExtentFlat", flat_open },
};

static int no_memory(struct err *e) { return err_set(e, -ENOMEM, "no memory"); }

/* "-000001" at the end of the stem? */
static bool is_numbered(const char *path, size_t stem)
{
	if (stem < 8 || path[stem - 7] != '-' || path[stem - 8] == '/')
		return false;
	for (size_t i = stem - 6; i < stem; i++)
		if (!isdigit((unsigned char)path[i]))
			return false;
	return true;
}

static char *extent_path(const char *path, const struct kind *k, unsigned number)
{
	char *out;
	int n = k->split ?
		asprintf(&out, "%.*s%s%03u.vmdk", (int)disk_stem(path), path, k->suffix, number) :
		asprintf(&out, "%.*s%s.vmdk", (int)disk_stem(path), path, k->suffix);

	return n < 0 ? NULL : out;
}

static const struct kind *kind_of(const char *path)
{
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		char *x = extent_path(path, &kinds[i], 1);
		bool is = x && !access(x, F_OK);

		free(x);
		if (is)
			return &kinds[i];
	}
	return NULL;
}

bool rebuild_possible(const char *path)
{
	return kind_of(path) != NULL;
}

/* Extents */

/* How many sectors does the extent in a file hold? */
static int extent_sectors(const char *path, const struct kind *k, uint64_t *sectors,
			  struct err *e)
{
	const struct extent_params p = { .size = 0 };
	struct disk_file *f;
	struct extent *x;
	int rc = file_open(&f, NULL, path, 0, e);

	if (rc)
		return rc;
	rc = k->open(&x, f, &p, e);
	if (rc) {
		file_close(f);
		return rc;
	}
	*sectors = x->size >> SECTOR_SHIFT;
	extent_close(x);
	return *sectors ? 0 : err_set(e, -EBADMSG, "%.180s: it is empty", path);
}

static int add_extents(struct desc *d, const char *path, const struct kind *k, bool vmfs,
		       struct err *e)
{
	int rc = 0;

	for (unsigned i = 1; !rc && i < DESC_EXTENTS; i++) {
		struct desc_extent x = { .access = DESC_RW, .type = k->type };
		char *file = extent_path(path, k, i);

		if (!file)
			return no_memory(e);
		if (access(file, F_OK)) {
			free(file);
			break;
		}
		if (x.type == DESC_VMFS && !vmfs)
			x.type = DESC_FLAT;
		x.has_offset = x.type == DESC_FLAT;
		x.file = (char *)disk_base_name(file);
		rc = extent_sectors(file, k, &x.sectors, e);
		if (!rc)
			rc = desc_set_extent(d, d->nextents, &x, e);
		free(file);
		if (!k->split)
			break;
	}
	return rc;
}

/* Parents */

/* The parent that the header of a vmfsSparse extent names, if that is there; else NULL. */
static char *named_parent(const char *path, const struct kind *k, bool outside)
{
	char *file = k->type == DESC_VMFSSPARSE ? extent_path(path, k, 1) : NULL, *out = NULL;
	char name[COWD_PARENT_LEN + 1] = "";
	struct disk_file *f;

	if (file && !file_open(&f, NULL, file, 0, NULL)) {
		if (file_read(f, name, COWD_PARENT_LEN, COWD_PARENT, NULL))
			name[0] = 0;
		file_close(f);
	}
	free(file);
	name[COWD_PARENT_LEN] = 0;
	if (name[0] && image_beside(&out, path, name, outside, NULL))
		return NULL;
	if (out && (access(out, F_OK) || !strcmp(out, path))) {
		free(out);
		out = NULL;
	}
	return out;
}

/* The next lower number whose descriptor is there or can be made, else the base. */
static char *lower_parent(const char *path)
{
	size_t stem = disk_stem(path) - 7;
	unsigned number = (unsigned)strtoul(path + stem + 1, NULL, 10);
	char *out;

	while (number-- > 1) {
		if (asprintf(&out, "%.*s-%06u.vmdk", (int)stem, path, number) < 0)
			return NULL;
		if (!access(out, F_OK) || rebuild_possible(out))
			return out;
		free(out);
	}
	return asprintf(&out, "%.*s.vmdk", (int)stem, path) < 0 ? NULL : out;
}

static int set_parent(struct desc *d, const char *path, const struct kind *k,
		      const struct rebuild *r, struct err *e)
{
	struct disk_opts o = { .no_parent = true, .no_lock = true, .allow_outside = r->outside };
	char *parent = r->parent ? strdup(r->parent) : named_parent(path, k, r->outside);
	char *hint = NULL, cid[16];
	struct image *im;
	int rc;

	if (!parent && !(parent = lower_parent(path)))
		return no_memory(e);
	/* Numbers get lower, and a base has no parent: this ends. */
	rc = 0;
	if (access(parent, F_OK) && rebuild_possible(parent)) {
		struct rebuild below = *r;

		below.cid = 0;
		below.parent = NULL;
		rc = rebuild_desc(parent, &below, e);
		if (!rc && r->dry) {
			free(parent);
			return 0;
		}
	}
	if (!rc)
		rc = image_open(&im, parent, &o, e);
	if (rc) {
		free(parent);
		return rc;
	}
	rc = disk_parent_hint(&hint, path, parent, r->outside, e);
	snprintf(cid, sizeof(cid), "%08x", im->desc ? im->desc->cid : 0);
	if (!rc && !im->desc)
		rc = err_set(e, -ENOTSUP, "%.150s: a raw disk has no children", parent);
	if (!rc)
		rc = desc_set(d, "parentCID", cid, e);
	if (!rc)
		rc = desc_set(d, "parentFileNameHint", hint, e);
	free(hint);
	free(parent);
	image_close(im);
	return rc;
}

/* The disk data base */

static int set_ddb(struct desc *d, const char *adapter, struct err *e)
{
	bool modern = !strcmp(adapter, "pvscsi") || !strcmp(adapter, "lsisas1068");
	struct disk_geometry g;
	int rc;

	geometry_of(&g, desc_bytes(d) >> SECTOR_SHIFT, adapter);
	rc = desc_set(d, "ddb.virtualHWVersion", modern ? "7" : "4", e);
	if (!rc)
		rc = geometry_set(d, &g, e);
	return rc ? rc : desc_set(d, "ddb.adapterType", adapter, e);
}

static int fill(struct desc *d, const char *path, const struct kind *k, const struct rebuild *r,
		struct err *e)
{
	char cid[16];
	int rc = add_extents(d, path, k, r->vmfs, e);

	if (!rc && r->cid) {
		snprintf(cid, sizeof(cid), "%08x", r->cid);
		rc = desc_set(d, "CID", cid, e);
	}
	if (!rc && k->delta && (r->parent || is_numbered(path, disk_stem(path))))
		rc = set_parent(d, path, k, r, e);
	return rc ? rc : set_ddb(d, r->adapter ? r->adapter : "lsilogic", e);
}

int rebuild_desc(const char *path, const struct rebuild *r, struct err *e)
{
	const struct kind *k = kind_of(path);
	struct desc *d;
	size_t len;
	char *text;
	int rc;

	if (!access(path, F_OK))
		return err_sys(e, -EEXIST, "%.180s", path);
	if (!k)
		return err_set(e, -ENOENT, "%.150s: no extents from which it could be made", path);
	d = desc_new(k->type == DESC_VMFS && !r->vmfs ? "monolithicFlat" : k->create_type);
	if (!d)
		return no_memory(e);
	rc = fill(d, path, k, r, e);
	if (!rc && !r->dry) {
		text = desc_text(d, &len);
		rc = text ? file_replace(path, text, len, e) : no_memory(e);
		free(text);
	}
	if (!rc && r->made)
		r->made(r->ptr, path);
	desc_free(d);
	return rc;
}
