#include "disk/mend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/disk.h"
#include "disk/files.h"
#include "disk/lock.h"
#include "disk/rebuild.h"
#include "disk/snapshot.h"

#define TEXT_MAX 65536u		/* bytes of an unreadable descriptor that may be replaced */

const char *const chain_state_name[CHAIN_STATES] = {
	[CHAIN_OK] = "ok", [CHAIN_CID] = "cid-mismatch", [CHAIN_MISSING] = "missing",
	[CHAIN_DAMAGED] = "damaged", [CHAIN_LOOP] = "loop",
};

static int no_memory(struct err *e) { return err_set(e, -ENOMEM, "no memory"); }

void chain_free(struct chain *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->link[i].path);
		free(c->link[i].why);
		free(c->link[i].create_type);
		free(c->link[i].hint);
	}
	free(c->link);
	*c = (struct chain){ .n = 0 };
}

/* Reading */

static int set_why(struct chain_link *l, enum chain_state state, const char *why,
		   struct err *e)
{
	l->state = state;
	free(l->why);
	l->why = strdup(why);
	return l->why ? 0 : no_memory(e);
}

static int describe(struct chain_link *l, const struct desc *d, struct err *e)
{
	l->described = true;
	l->cid = d->cid;
	l->parent_cid = d->parent_cid;
	l->size = desc_bytes(d);
	l->create_type = strdup(d->create_type);
	if (d->parent)
		l->hint = strdup(d->parent);
	return l->create_type && (!d->parent || l->hint) ? 0 : no_memory(e);
}

/* May an unreadable file be what is left of a text descriptor? */
static bool is_text(const char *path)
{
	struct disk_file *f;
	char magic[4] = "";
	bool is = false;

	if (file_open(&f, NULL, path, 0, NULL))
		return false;
	if (f->size <= TEXT_MAX)
		is = f->size < 4 || (!file_read(f, magic, 4, 0, NULL) && memcmp(magic, "KDMV", 4) &&
				     memcmp(magic, "COWD", 4));
	file_close(f);
	return is;
}

/* An extent is missing or damaged; what does the descriptor alone say? */
static int read_alone(struct chain_link *l, struct disk_opts o, struct err *e)
{
	struct image *im;
	int rc = 0;

	o.no_extents = true;
	if (image_open(&im, l->path, &o, NULL))
		return 0;
	if (im->desc)
		rc = describe(l, im->desc, e);
	image_close(im);
	return rc;
}

static int read_link(struct chain_link *l, bool outside, struct err *e)
{
	struct disk_opts o = { .no_parent = true, .no_lock = true, .allow_outside = outside };
	struct image *im;
	struct err why = { 0 };
	int rc = image_open(&im, l->path, &o, &why);

	if (rc == -ENOMEM)
		return no_memory(e);
	if (rc) {
		rc = set_why(l, access(l->path, F_OK) ? CHAIN_MISSING : CHAIN_DAMAGED, why.msg, e);
		return rc ? rc : read_alone(l, o, e);
	}
	l->raw = !im->desc;
	if (im->desc)
		rc = describe(l, im->desc, e);
	l->size = im->size;
	image_close(im);
	/* An empty descriptor, or one of rubbish, looks like a raw disk. */
	if (!rc && l->raw && rebuild_possible(l->path) && is_text(l->path))
		rc = set_why(l, CHAIN_DAMAGED, "it is no descriptor, but there are extents of "
			     "its name", e);
	return rc;
}

/* What comes below the last link?  *path is NULL where the chain ends. */
static int next_path(struct chain *c, bool outside, char **path, struct err *e)
{
	struct chain_link *l = &c->link[c->n - 1];
	struct err why = { 0 };
	int rc;

	*path = NULL;
	if (!l->described || l->parent_cid == CID_NONE)
		return 0;
	l->unlinked = true;
	if (!l->hint)
		return set_why(l, CHAIN_DAMAGED, "it has a parentCID, but no parentFileNameHint", e);
	rc = image_beside(path, l->path, l->hint, outside, &why);
	if (rc == -ENOMEM)
		return no_memory(e);
	l->unlinked = rc;
	return rc ? set_why(l, CHAIN_DAMAGED, why.msg, e) : 0;
}

static bool is_there(const struct chain *c, const char *path)
{
	char *real = realpath(path, NULL);
	bool is = false;

	for (size_t i = 0; real && !is && i < c->n; i++) {
		char *other = realpath(c->link[i].path, NULL);

		is = other && !strcmp(real, other);
		free(other);
	}
	free(real);
	return is;
}

/* Compare the ids of the last two. */
static int compare(struct chain *c, struct err *e)
{
	struct chain_link *child = &c->link[c->n - 2], *parent = &c->link[c->n - 1];
	char why[200];

	if (parent->raw && parent->state == CHAIN_OK)
		return set_why(parent, CHAIN_DAMAGED, "it has no descriptor, so it is no parent", e);
	if (child->state != CHAIN_OK || !parent->described || child->parent_cid == parent->cid)
		return 0;
	snprintf(why, sizeof(why), "its parentCID is %08x, the CID of %.120s is %08x",
		 child->parent_cid, parent->path, parent->cid);
	return set_why(child, CHAIN_CID, why, e);
}

static int append(struct chain *c, char *path, struct err *e)
{
	struct chain_link *more = path ? realloc(c->link, (c->n + 1) * sizeof(*more)) : NULL;

	if (!more) {
		free(path);
		return no_memory(e);
	}
	c->link = more;
	c->link[c->n++] = (struct chain_link){ .path = path };
	return 0;
}

int chain_read(struct chain *c, const char *path, bool outside, struct err *e)
{
	char *next = strdup(path);
	int rc = 0;

	*c = (struct chain){ .n = 0 };
	if (!next)
		return no_memory(e);
	while (!rc && next) {
		if (c->n && is_there(c, next)) {
			rc = set_why(&c->link[c->n - 1], CHAIN_LOOP, "its parent hangs on it", e);
			free(next);
			break;
		}
		if (c->n == DISK_LAYERS) {
			rc = err_set(e, -EBADMSG, "%.150s: more than %u layers", path, DISK_LAYERS);
			free(next);
			break;
		}
		rc = append(c, next, e);
		if (!rc)
			rc = read_link(&c->link[c->n - 1], outside, e);
		if (!rc && c->n > 1)
			rc = compare(c, e);
		next = NULL;
		if (!rc)
			rc = next_path(c, outside, &next, e);
	}
	if (rc)
		chain_free(c);
	return rc;
}

/* Mending */

static void tell(const struct chain_mend *o, const char *path, const char *what)
{
	if (o->mended)
		o->mended(o->ptr, path, what);
}

static void tell_made(void *ptr, const char *path)
{
	tell(ptr, path, "descriptor made from its extents");
}

/* The adapter of some layer that can be opened. */
static char *adapter_of(const struct chain *c, bool outside)
{
	struct disk_opts o = { .no_parent = true, .no_lock = true, .allow_outside = outside };

	for (size_t i = 0; i < c->n; i++) {
		struct image *im;
		const char *is;
		char *copy = NULL;

		if (c->link[i].state == CHAIN_MISSING || image_open(&im, c->link[i].path, &o, NULL))
			continue;
		is = im->desc ? desc_get(im->desc, "ddb.adapterType") : NULL;
		if (is)
			copy = strdup(is);
		image_close(im);
		if (copy)
			return copy;
	}
	return NULL;
}

static int put_aside(const char *path, struct err *e)
{
	char *bad;
	int rc = 0;

	if (asprintf(&bad, "%s.bad", path) < 0)
		return no_memory(e);
	if (rename(path, bad))
		rc = err_sys(e, -errno, "%.180s", bad);
	free(bad);
	return rc;
}

/* Make the descriptor of link i. */
static int mend_lost(const struct chain *c, size_t i, const struct chain_mend *o,
		     struct err *e)
{
	const struct chain_link *l = &c->link[i], *child = i ? &c->link[i - 1] : NULL;
	char *adapter = adapter_of(c, o->outside);
	struct rebuild r = {
		.cid = child ? child->parent_cid : 0, .adapter = adapter, .parent = o->parent,
		.outside = o->outside, .dry = o->dry, .ptr = (void *)o, .made = tell_made,
		.vmfs = !child || !child->create_type ||
			!strncasecmp(child->create_type, "vmfs", 4) ||
			!strcasecmp(child->create_type, "seSparse"),
	};
	int rc = 0;

	if (l->state == CHAIN_DAMAGED && !o->dry)
		rc = put_aside(l->path, e);
	if (l->state == CHAIN_DAMAGED && o->dry)
		tell_made((void *)o, l->path);
	else if (!rc)
		rc = rebuild_desc(l->path, &r, e);
	free(adapter);
	return rc;
}

static int mend_cid(const struct chain *c, size_t i, const struct chain_mend *o,
		    struct err *e)
{
	struct snapshot_link l = { .has_parent = true, .parent_cid = c->link[i + 1].cid };
	int rc = o->dry ? 0 : snapshot_relink(c->link[i].path, &l, o->outside, e);

	if (!rc)
		tell(o, c->link[i].path, "parentCID set to the CID of its parent");
	return rc;
}

/* The path of the disk that link i of the chain was made for: the one that was named, or
 * the only one beside it with the right id.  NULL: none. */
static int find_parent(const struct chain *c, size_t i, const struct chain_mend *o, char **path,
		       struct err *e)
{
	const struct chain_link *l = &c->link[i];
	struct disk_files found;
	size_t n = 0;
	int rc;

	*path = NULL;
	if (o->parent && access(o->parent, F_OK))
		return err_sys(e, -errno, "%.180s", o->parent);
	if (o->parent && !is_there(c, o->parent))
		return (*path = strdup(o->parent)) ? 0 : no_memory(e);
	rc = disk_with_cid(&found, l->path, l->parent_cid, e);
	if (rc)
		return rc;
	for (size_t k = 0; !rc && k < found.n; k++) {
		if (is_there(c, found.path[k]))
			continue;
		if (n++)
			rc = err_set(e, -EBADMSG, "%.60s and %.60s have the id of the parent of %.60s: name "
				     "the one that is it (--parent)", *path, found.path[k], l->path);
		else if (!(*path = strdup(found.path[k])))
			rc = no_memory(e);
	}
	disk_files_free(&found);
	if (rc) {
		free(*path);
		*path = NULL;
	}
	return rc;
}

/* The parent of link i has another name, or lies elsewhere now. */
static int mend_hint(const struct chain *c, size_t i, const struct chain_mend *o, const char *why,
		     struct err *e)
{
	const struct chain_link *child = &c->link[i];
	struct snapshot_link l = { .has_parent = true, .parent_cid = child->parent_cid };
	char *path, *hint = NULL, *what = NULL;
	int rc = find_parent(c, i, o, &path, e);

	if (rc)
		return rc;
	if (!path)
		return err_set(e, child->unlinked ? -EBADMSG : -ENOENT, "%s", why);
	rc = disk_parent_hint(&hint, child->path, path, o->outside, e);
	l.hint = hint;
	if (!rc && !o->dry)
		rc = snapshot_relink(child->path, &l, o->outside, e);
	if (!rc && asprintf(&what, "parentFileNameHint set to %s", hint) < 0)
		rc = no_memory(e);
	else if (!rc)
		tell(o, child->path, what);
	free(what);
	free(hint);
	free(path);
	return rc;
}

/* Mend the lowest thing that is wrong: *more says that there was one, and all may be
 * looked at again. */
static int mend_one(const struct chain *c, const struct chain_mend *o, bool *more,
		    struct err *e)
{
	*more = false;
	for (size_t i = c->n; i-- > 0;) {
		const struct chain_link *l = &c->link[i];

		if (l->state == CHAIN_OK)
			continue;
		*more = true;
		if (l->state == CHAIN_CID)
			return mend_cid(c, i, o, e);
		if (l->state == CHAIN_MISSING && rebuild_possible(l->path))
			return mend_lost(c, i, o, e);
		if (l->state == CHAIN_DAMAGED && !l->described && rebuild_possible(l->path) &&
		    is_text(l->path))
			return mend_lost(c, i, o, e);
		if (l->state == CHAIN_MISSING && i)
			return mend_hint(c, i - 1, o, l->why, e);
		if (l->state == CHAIN_DAMAGED && l->unlinked)
			return mend_hint(c, i, o, l->why, e);
		return err_set(e, l->state == CHAIN_MISSING ? -ENOENT : -EBADMSG, "%s", l->why);
	}
	return 0;
}

int chain_mend(const char *path, const struct chain_mend *o, struct err *e)
{
	struct disk_lock *lock = NULL;
	struct chain c;
	bool more = true;
	int rc = o->dry ? 0 : disk_lock(&lock, path, e);

	for (unsigned i = 0; !rc && more && i < 2 * DISK_LAYERS; i++) {
		rc = chain_read(&c, path, o->outside, e);
		if (rc)
			break;
		rc = mend_one(&c, o, &more, e);
		chain_free(&c);
		if (o->dry)
			break;
	}
	disk_unlock(lock);
	return rc;
}
