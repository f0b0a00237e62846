/* The layers of a disk: from the top to the disk that has no parent. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "disk/disk_impl.h"

/* Tables of layers, in bytes: 32 of them leave room for the map within 64 MiB. */
#define CACHE_TOP	(4u << 20)	/* of one that has parents */
#define CACHE_PARENT	(256u << 10)

/* Is path one of the layers?  It is asked before path is opened, which may need the lock that
 * the layer has. */
static bool is_layer(struct image *const *layer, unsigned n, const char *path)
{
	struct stat st;
	bool there = !stat(path, &st);

	for (unsigned i = 0; i < n; i++)
		if (there ? layer[i]->ino == st.st_ino && layer[i]->dev == st.st_dev :
			    !strcmp(layer[i]->path, path))
			return true;
	return false;
}

static int check_parent(const struct image *child, const struct image *parent,
			struct err *e)
{
	if (!parent->desc)
		return err_set(e, -EBADMSG, "%s: its parent %s has no descriptor", child->path,
			       parent->path);
	if (parent->desc->cid != child->desc->parent_cid)
		return err_set(e, -EBADMSG, "%s: its parent %s has been written to since: its CID "
			       "is %08" PRIx32 ", parentCID says %08" PRIx32, child->path,
			       parent->path, parent->desc->cid, child->desc->parent_cid);
	return 0;
}

/* Open the parent of the last of n layers, the top first. */
static int open_parent(struct image **parent, struct image *const *layer, unsigned n,
		       const struct disk_opts *o, struct err *e)
{
	const struct image *child = layer[n - 1];
	struct disk_opts po = {
		.no_lock = true, .hold = o->hold || (o->write && !o->no_lock),
		.allow_outside = o->allow_outside, .plain = !o->allow_outside,
		.mend = o->mend, .cache = CACHE_PARENT, .backends = o->backends,
	};
	char *path;
	int rc;

	if (!child->desc->parent)
		return err_set(e, -EBADMSG, "%s: has a parentCID but no parentFileNameHint",
			       child->path);
	rc = image_file(&path, child, child->desc->parent, o->allow_outside, e);
	if (rc)
		return err_in(e, rc == -EINVAL ? err_code(e, -EBADMSG) : rc, child->path);
	rc = is_layer(layer, n, path) ?
		     err_set(e, -EBADMSG, "%s: its parents lead back to %s", child->path, path) :
		     image_open(parent, path, &po, e);
	free(path);
	if (rc)
		return rc;
	rc = check_parent(child, *parent, e);
	if (rc)
		image_close(*parent);
	return rc;
}

/* Append the parent of the last of n layers, the top first. */
static int add_parent(struct image **layer, unsigned n, const struct disk_opts *o,
		      struct err *e)
{
	if (n == DISK_LAYERS)
		return err_set(e, -EBADMSG, "%s: more than %u layers", layer[0]->path,
			       DISK_LAYERS);
	return open_parent(&layer[n], layer, n, o, e);
}

static bool has_parent(const struct image *im)
{
	return im->desc && im->desc->parent_cid != CID_NONE;
}

/* Whether it has parents is not known before: its tables get as much as with them. */
static int open_top(struct image **top, const char *path, const struct disk_opts *o,
		    struct err *e)
{
	struct disk_opts to = *o;

	if (!to.cache)
		to.cache = CACHE_TOP;
	return image_open(top, path, &to, e);
}

int chain_open(struct image ***out, unsigned *count, const char *path,
	       const struct disk_opts *o, struct err *e)
{
	struct image **layer = calloc(DISK_LAYERS, sizeof(*layer));
	struct err why = { 0 };
	unsigned n = 0;
	int rc;

	if (!layer)
		return err_set(e, -ENOMEM, "no memory");
	rc = open_top(&layer[0], path, o, e);
	if (!rc)
		n = 1;
	while (!rc && !o->no_parent && has_parent(layer[n - 1])) {
		rc = add_parent(layer, n, o, &why);
		if (rc && o->lazy) {
			layer[n - 1]->broken = strdup(why.msg);
			rc = 0;
			break;
		}
		if (rc && e)
			*e = why;
		n += !rc;
	}
	for (unsigned i = 0; i < n && rc; i++)
		image_close(layer[i]);
	if (rc) {
		free(layer);
		return rc;
	}
	for (unsigned i = 0; i < n / 2; i++) {
		struct image *t = layer[i];

		layer[i] = layer[n - 1 - i];
		layer[n - 1 - i] = t;
	}
	*out = layer;
	*count = n;
	return 0;
}
