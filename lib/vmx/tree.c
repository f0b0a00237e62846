#include "vmx/tree.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "disk/disk.h"
#include "disk/files.h"
#include "disk/snapshot.h"

static int no_memory(struct err *e) { return err_set(e, -ENOMEM, "no memory"); }

static void layer_free(struct tree_layer *l)
{
	free(l->path);
	free(l->real);
}

void tree_init(struct tree *t, bool outside)
{
	*t = (struct tree){ .outside = outside };
}

void tree_free(struct tree *t)
{
	for (size_t i = 0; i < t->n; i++)
		layer_free(&t->layer[i]);
	free(t->layer);
	tree_init(t, t->outside);
}

int tree_find(const struct tree *t, const char *path)
{
	char *real = realpath(path, NULL);
	int found = -1;

	for (size_t i = 0; real && found < 0 && i < t->n; i++)
		if (!strcmp(t->layer[i].real, real))
			found = (int)i;
	free(real);
	return found;
}

/* Read one layer; *parent is the path of the one that it hangs on, or NULL. */
static int read_layer(const struct tree *t, const char *path, struct tree_layer *l,
		      char **parent, struct err *e)
{
	struct disk_opts o = {
		.no_parent = true, .no_lock = true, .no_extents = true,
		.allow_outside = t->outside,
	};
	struct image *im;
	int rc = image_open(&im, path, &o, e);

	if (rc)
		return rc;
	*parent = NULL;
	memset(l, 0, sizeof(*l));
	if (!im->desc)
		rc = err_set(e, -ENOTSUP, "%.150s: a disk without a descriptor has no snapshots",
			     path);
	else if (im->desc->parent_cid != CID_NONE && !im->desc->parent)
		rc = err_set(e, -EBADMSG, "%.150s: parentFileNameHint is missing", path);
	else if (im->desc->parent_cid != CID_NONE)
		rc = image_file(parent, im, im->desc->parent, t->outside, e);
	if (!rc) {
		l->parent = -1;
		l->cid = im->desc->cid;
		l->parent_cid = im->desc->parent_cid;
		l->path = strdup(path);
		l->real = realpath(path, NULL);
		rc = l->path && l->real ? 0 : no_memory(e);
	}
	if (rc) {
		layer_free(l);
		free(*parent);
		*parent = NULL;
	}
	image_close(im);
	return rc;
}

static int append(struct tree *t, const struct tree_layer *l, struct err *e)
{
	struct tree_layer *more;

	if (t->n == TREE_LAYERS)
		return err_set(e, -EOVERFLOW, "more than %u layers", TREE_LAYERS);
	more = realloc(t->layer, (t->n + 1) * sizeof(*more));
	if (!more)
		return no_memory(e);
	t->layer = more;
	t->layer[t->n++] = *l;
	return 0;
}

/* "x-000001.vmdk" on "x.vmdk" or "x-000002.vmdk" of the same folder? */
static bool is_layered(const struct tree_layer *child, const struct tree_layer *parent)
{
	size_t n = snapshot_stem(child->real);

	return n != disk_stem(child->real) && n == snapshot_stem(parent->real) &&
	       !memcmp(child->real, parent->real, n);
}

/* Layer i hangs on layer p. */
static int hang(struct tree *t, int i, int p, struct err *e)
{
	struct tree_layer *child = &t->layer[i], *parent = &t->layer[p];

	if (child->parent_cid != parent->cid)
		return err_set(e, -EBADMSG, "%.90s: parentCID %08x is not the CID of %.90s, %08x",
			       child->path, child->parent_cid, parent->path, parent->cid);
	child->parent = p;
	child->layered = is_layered(child, parent);
	parent->children++;
	return 0;
}

int tree_refer(struct tree *t, const char *path, int *number, struct err *e)
{
	int i = tree_find(t, path), below = -1, first = -1, rc = 0;
	char *parent = NULL, *at = strdup(path);
	unsigned depth = 0;

	/* Down the chain, to the base or to a layer that is there already. */
	while (!rc && at && i < 0) {
		struct tree_layer l;

		if (++depth > DISK_LAYERS)
			rc = err_set(e, -EBADMSG, "%.150s: more than %u layers", path, DISK_LAYERS);
		if (!rc)
			rc = read_layer(t, at, &l, &parent, e);
		if (!rc && (rc = append(t, &l, e))) {
			layer_free(&l);
			free(parent);
		}
		if (rc)
			break;
		i = (int)t->n - 1;
		if (first < 0)
			first = i;
		if (below >= 0)
			rc = hang(t, below, i, e);
		below = i;
		free(at);
		at = parent;
		parent = NULL;
		i = at ? tree_find(t, at) : -1;
	}
	free(at);
	if (rc)
		return rc;
	if (below >= 0 && i >= 0) {
		/* Those that were there have parents that were; others are this chain's. */
		if (i >= first)
			return err_set(e, -EBADMSG, "%.150s: the chain is a loop", path);
		rc = hang(t, below, i, e);
	}
	if (first < 0)
		first = i;
	if (rc || first < 0)
		return rc ? rc : no_memory(e);
	t->layer[first].refs++;
	if (number)
		*number = first;
	return 0;
}

int tree_find_foreign(struct tree *t, const char *folder, struct err *e)
{
	DIR *d = opendir(folder);
	struct dirent *de;
	int rc = 0;

	if (!d)
		return err_sys(e, -errno, "%.180s", folder);
	while (!rc && (de = readdir(d))) {
		size_t n = strlen(de->d_name);
		struct tree_layer l;
		char *path, *parent;
		struct stat st;
		int p;

		if (n <= 5 || strcasecmp(de->d_name + n - 5, ".vmdk"))
			continue;
		if (asprintf(&path, "%s/%s", folder, de->d_name) < 0) {
			rc = no_memory(e);
			break;
		}
		/* Extents and damaged disks have no parent that could be told. */
		if (!stat(path, &st) && S_ISREG(st.st_mode) && tree_find(t, path) < 0 &&
		    !read_layer(t, path, &l, &parent, NULL)) {
			p = parent ? tree_find(t, parent) : -1;
			l.foreign = true;
			l.parent = p;
			if (p < 0 || (rc = append(t, &l, e)))
				layer_free(&l);
			else
				t->layer[p].children++;
			free(parent);
		}
		free(path);
	}
	closedir(d);
	return rc;
}

void tree_release(struct tree *t, int i)
{
	t->layer[i].refs--;
}

void tree_remove(struct tree *t, int i)
{
	t->layer[i].gone = true;
	if (t->layer[i].parent >= 0)
		t->layer[t->layer[i].parent].children--;
}

int tree_dead(const struct tree *t)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct tree_layer *l = &t->layer[i];

		if (!l->gone && !l->foreign && !l->refs && !l->children && l->layered)
			return (int)i;
	}
	return -1;
}

bool tree_mergeable(const struct tree *t, int *parent, int *child)
{
	unsigned least = UINT_MAX;

	for (size_t i = 0; i < t->n; i++) {
		const struct tree_layer *l = &t->layer[i];
		const struct tree_layer *p = l->parent >= 0 ? &t->layer[l->parent] : NULL;

		if (p && l->layered && !l->gone && !l->foreign && !p->gone && !p->foreign &&
		    !p->refs && p->children == 1 && tree_depth(t, (int)i) < least) {
			least = tree_depth(t, (int)i);
			*parent = l->parent;
			*child = (int)i;
		}
	}
	return least != UINT_MAX;
}

unsigned tree_depth(const struct tree *t, int i)
{
	unsigned n = 1;

	while ((i = t->layer[i].parent) >= 0)
		n++;
	return n;
}

void tree_merged(struct tree *t, int parent, int child, bool down)
{
	struct tree_layer *p = &t->layer[parent], *c = &t->layer[child];

	if (!down) {
		c->parent = p->parent;
		c->parent_cid = p->parent_cid;
		c->layered &= p->layered;
		p->gone = true;
		p->children = 0;
		return;
	}
	for (size_t i = 0; i < t->n; i++) {
		if (t->layer[i].gone || t->layer[i].parent != child)
			continue;
		t->layer[i].parent = parent;
		t->layer[i].parent_cid = p->cid;
	}
	p->children = c->children;
	p->refs = c->refs;
	c->gone = true;
	c->children = c->refs = 0;
}

bool tree_has_foreign(const struct tree *t, int parent)
{
	for (size_t i = 0; i < t->n; i++)
		if (!t->layer[i].gone && t->layer[i].foreign && t->layer[i].parent == parent)
			return true;
	return false;
}
