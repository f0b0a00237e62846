#include "disk/files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "disk/disk.h"
#include "disk/hold.h"
#include "disk/lock.h"

const char *disk_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

size_t disk_stem(const char *name)
{
	size_t n = strlen(name);

	return n > 5 && !strcasecmp(name + n - 5, ".vmdk") ? n - 5 : n;
}

int disk_files_add(struct disk_files *l, char *path, struct err *e)
{
	char **more = path ? realloc(l->path, (l->n + 1) * sizeof(*more)) : NULL;

	if (!more) {
		free(path);
		return err_set(e, -ENOMEM, "out of memory");
	}
	l->path = more;
	l->path[l->n++] = path;
	return 0;
}

void disk_files_free(struct disk_files *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->path[i]);
	free(l->path);
	*l = (struct disk_files) { 0 };
}

static bool is_mapping(enum desc_type t)
{
	return t == DESC_VMFSRDM || t == DESC_VMFSRAW;
}

/* Add what an extent line names, once. */
static int add_extent(struct disk_files *l, const struct image *im, const struct desc_extent *x,
		      const struct disk_opts *o, struct err *e)
{
	struct stat st;
	char *file;
	int rc;

	if (!x->file || x->access == DESC_NOACCESS || x->type == DESC_ZERO)
		return 0;
	/* A mapping file beside the descriptor may be the link that it is. */
	rc = image_file(&file, im, x->file, o->allow_outside ||
			(is_mapping(x->type) && !strchr(x->file, '/')), e);
	if (rc)
		return err_in(e, rc, im->path);
	if (l->n && !strcmp(l->path[l->n - 1], file)) {
		free(file);
		return 0;
	}
	if (!lstat(file, &st) && !S_ISREG(st.st_mode) &&
	    !(is_mapping(x->type) && S_ISLNK(st.st_mode))) {
		free(file);
		return 0;
	}
	return disk_files_add(l, file, e);
}

const char *disk_change_tracking(const struct desc *d)
{
	static const char end[] = "-ctk.vmdk";
	const char *name = d ? desc_get(d, "changeTrackPath") : NULL;
	size_t n = name ? strlen(name) : 0;

	return n >= strlen(end) && !strcasecmp(name + n - strlen(end), end) ? name : NULL;
}

int disk_files_of(struct disk_files *l, const struct image *im, const struct disk_opts *o,
		  struct err *e)
{
	const struct desc *desc = im->desc;
	const char *ctk = disk_change_tracking(desc);
	char *file;
	int rc = 0;

	*l = (struct disk_files) { 0 };
	for (size_t i = 0; desc && !im->embedded && i < desc->nextents && !rc; i++)
		rc = add_extent(l, im, &desc->extent[i], o, e);
	if (!rc && ctk && !image_file(&file, im, ctk, o->allow_outside, NULL))
		rc = disk_files_add(l, file, e);
	if (!rc)
		rc = disk_files_add(l, strdup(im->path), e);
	if (rc)
		disk_files_free(l);
	return rc;
}

struct scan {
	const struct image *im;
	struct stat *own;	/* its files, or its descriptor alone */
	size_t nown;
	uint32_t cid;
	/* Is the disk of the folder, open without extents, one of those looked for? */
	bool (*match)(const struct scan *s, const struct image *other);
};

static bool is_own(const struct scan *s, const char *path)
{
	struct stat st;

	if (lstat(path, &st))
		return false;
	for (size_t i = 0; i < s->nown; i++)
		if (s->own[i].st_dev == st.st_dev && s->own[i].st_ino == st.st_ino)
			return true;
	return false;
}

static bool is_child(const struct scan *s, const struct image *other)
{
	const struct desc *d = other->desc;
	char *path, *real;
	bool is;

	if (!d->parent || d->parent_cid == CID_NONE ||
	    image_file(&path, other, d->parent, true, NULL))
		return false;
	real = realpath(path, NULL);
	is = real && is_own(s, real);
	free(real);
	free(path);
	return is;
}

static bool is_sharer(const struct scan *s, const struct image *other)
{
	const struct desc *d = other->desc;
	bool is = false;
	char *path;

	for (size_t i = 0; i < d->nextents && !other->embedded && !is; i++) {
		if (!d->extent[i].file ||
		    image_file(&path, other, d->extent[i].file, true, NULL))
			continue;
		is = is_own(s, path);
		free(path);
	}
	return is;
}

/* The path of a disk's folder, with its final slash; "" for the present one. */
static int folder_len(const char *path)
{
	return (int)(disk_base_name(path) - path);
}

static int scan_one(struct disk_files *l, const struct scan *s, const char *name, struct err *e)
{
	struct disk_opts o = { .no_lock = true, .no_extents = true, .plain = true };
	const char *path = s->im->path;
	struct image *other;
	char *file;
	int rc = 0;

	if (disk_stem(name) == strlen(name) || !strcmp(name, disk_base_name(path)))
		return 0;
	if (asprintf(&file, "%.*s%s", folder_len(path), path, name) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	if (!image_open(&other, file, &o, NULL)) {
		if (other->desc && s->match(s, other))
			rc = disk_files_add(l, strdup(file), e);
		image_close(other);
	}
	free(file);
	return rc;
}

static int scan_folder(struct disk_files *l, const struct scan *s, struct err *e)
{
	const char *path = s->im->path;
	int len = folder_len(path), rc;
	struct dirent *de;
	char *dir;
	DIR *d;

	*l = (struct disk_files) { 0 };
	if (asprintf(&dir, "%.*s", len ? len : 1, len ? path : ".") < 0)
		return err_set(e, -ENOMEM, "out of memory");
	d = opendir(dir);
	rc = d ? 0 : err_sys(e, -errno, "%s", dir);
	free(dir);
	while (!rc && (de = readdir(d)))
		rc = scan_one(l, s, de->d_name, e);
	if (d)
		closedir(d);
	if (rc)
		disk_files_free(l);
	return rc;
}

int disk_children(struct disk_files *l, const struct image *im, struct err *e)
{
	struct stat st;
	struct scan s = { .im = im, .own = &st, .nown = 1, .match = is_child };

	*l = (struct disk_files) { 0 };
	if (stat(im->path, &st))
		return err_sys(e, -errno, "%s", im->path);
	return scan_folder(l, &s, e);
}

int disk_refuse_link(const char *path, struct err *e)
{
	struct stat st;
	char *real;
	int rc = 0;

	if (lstat(path, &st) || !S_ISLNK(st.st_mode))
		return 0;
	real = realpath(path, NULL);
	rc = err_set(e, -EINVAL, "%.80s: is a symbolic link: name the disk itself%s%.120s", path,
		     real ? ", " : "", real ? real : "");
	free(real);
	return rc;
}

int disk_refuse_children(const struct image *im, const char *then, struct err *e)
{
	struct disk_files l;
	int rc = disk_children(&l, im, e);

	if (!rc && l.n)
		rc = err_set(e, -EEXIST, "%s: is the parent of %s%s, %s", im->path,
			     disk_base_name(l.path[0]), l.n > 1 ? " and others" : "", then);
	disk_files_free(&l);
	return rc;
}

/* The parent of im, open without extents, or NULL. */
static struct image *parent_of(const struct image *im)
{
	struct disk_opts o = { .no_lock = true, .no_extents = true, .plain = true };
	struct image *parent = NULL;
	char *path;

	if (!im->desc || !im->desc->parent || im->desc->parent_cid == CID_NONE ||
	    image_file(&path, im, im->desc->parent, true, NULL))
		return NULL;
	if (image_open(&parent, path, &o, NULL))
		parent = NULL;
	free(path);
	return parent;
}

/* Is other in use, and what is looked for a layer below it? */
static bool is_used_above(const struct scan *s, const struct image *other)
{
	struct image *at = NULL, *next;
	bool is = false;

	if (disk_lock_look(other->path, NULL) != -EBUSY)
		return false;
	for (unsigned i = 0; !is && i < DISK_LAYERS; i++) {
		is = is_child(s, at ? at : other);
		next = is ? NULL : parent_of(at ? at : other);
		image_close(at);
		at = next;
		if (!at)
			break;
	}
	image_close(at);
	return is;
}

int disk_refuse_used_above(const struct image *im, struct err *e)
{
	struct stat st;
	struct scan s = { .im = im, .own = &st, .nown = 1, .match = is_used_above };
	struct disk_files l;
	char why[120];
	int rc = image_refuse_held(im, 0, e);

	if (rc || !im->desc || stat(im->path, &st))
		return rc;
	rc = scan_folder(&l, &s, e);
	if (rc || !l.n)
		return rc;
	rc = disk_lock_look(l.path[0], e);
	disk_files_free(&l);
	snprintf(why, sizeof(why), "%.80s: a disk in use hangs on it", im->path);
	return rc ? err_in(e, rc, why) : 0;
}

static bool has_cid(const struct scan *s, const struct image *other)
{
	return other->desc->cid == s->cid;
}

int disk_with_cid(struct disk_files *l, const char *path, uint32_t cid, struct err *e)
{
	struct image beside = { .path = (char *)path };
	struct scan s = { .im = &beside, .cid = cid, .match = has_cid };

	return scan_folder(l, &s, e);
}

static int find_sharers(struct disk_files *l, const struct image *im,
			const struct disk_files *files, struct err *e)
{
	struct scan s = { .im = im, .match = is_sharer };
	int rc;

	*l = (struct disk_files) { 0 };
	s.own = calloc(files->n + 1, sizeof(*s.own));
	if (!s.own)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < files->n; i++)
		s.nown += !lstat(files->path[i], &s.own[s.nown]);
	rc = scan_folder(l, &s, e);
	free(s.own);
	return rc;
}

int disk_refuse_sharers(const struct image *im, const struct disk_files *files, struct err *e)
{
	struct disk_files l;
	int rc = find_sharers(&l, im, files, e);

	if (!rc && l.n)
		rc = err_set(e, -EEXIST, "%s: its files are also those of %s%s; delete -f and rename -f "
			     "do it even so", im->path, disk_base_name(l.path[0]),
			     l.n > 1 ? " and others" : "");
	disk_files_free(&l);
	return rc;
}
