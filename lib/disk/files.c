#include "disk/files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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
static int add_extent(struct disk_files *l, const char *path, const struct desc_extent *x,
		      const struct disk_opts *o, struct err *e)
{
	struct stat st;
	char *file;
	int rc;

	if (!x->file || x->access == DESC_NOACCESS || x->type == DESC_ZERO)
		return 0;
	/* A mapping file beside the descriptor may be the link that it is. */
	rc = image_beside(&file, path, x->file, o->allow_outside ||
			  (is_mapping(x->type) && !strchr(x->file, '/')), e);
	if (rc)
		return err_in(e, rc, path);
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

int disk_files_of(struct disk_files *l, const struct image *im, const struct disk_opts *o,
		  struct err *e)
{
	const struct desc *desc = im->desc;
	const char *ctk = desc ? desc_get(desc, "changeTrackPath") : NULL;
	char *file;
	int rc = 0;

	*l = (struct disk_files) { 0 };
	for (size_t i = 0; desc && !im->embedded && i < desc->nextents && !rc; i++)
		rc = add_extent(l, im->path, &desc->extent[i], o, e);
	if (!rc && ctk && !image_beside(&file, im->path, ctk, o->allow_outside, NULL))
		rc = disk_files_add(l, file, e);
	if (!rc)
		rc = disk_files_add(l, strdup(im->path), e);
	if (rc)
		disk_files_free(l);
	return rc;
}

/* Is the disk at child a child of the file that st describes? */
static bool is_child(const char *child, const struct stat *st)
{
	struct disk_opts o = { .no_lock = true, .no_extents = true, .plain = true };
	struct image *im;
	struct stat parent;
	char *path;
	bool is = false;

	if (image_open(&im, child, &o, NULL))
		return false;
	if (im->desc && im->desc->parent && im->desc->parent_cid != CID_NONE &&
	    !image_beside(&path, child, im->desc->parent, true, NULL)) {
		is = !stat(path, &parent) && parent.st_dev == st->st_dev &&
		     parent.st_ino == st->st_ino;
		free(path);
	}
	image_close(im);
	return is;
}

int disk_children(struct disk_files *l, const char *path, struct err *e)
{
	const char *base = disk_base_name(path);
	int dir_len = (int)(base - path), rc = 0;
	struct dirent *de;
	struct stat st;
	char *dir, *child;
	DIR *d;

	*l = (struct disk_files) { 0 };
	if (stat(path, &st))
		return err_sys(e, -errno, "%s", path);
	if (asprintf(&dir, "%.*s", dir_len ? dir_len : 1, dir_len ? path : ".") < 0)
		return err_set(e, -ENOMEM, "out of memory");
	d = opendir(dir);
	rc = d ? 0 : err_sys(e, -errno, "%s", dir);
	free(dir);
	while (!rc && (de = readdir(d))) {
		size_t n = strlen(de->d_name);

		if (disk_stem(de->d_name) == n || !strcmp(de->d_name, base))
			continue;
		if (asprintf(&child, "%.*s%s", dir_len, path, de->d_name) < 0)
			rc = err_set(e, -ENOMEM, "out of memory");
		else if (is_child(child, &st))
			rc = disk_files_add(l, child, e);
		else
			free(child);
	}
	if (d)
		closedir(d);
	if (rc)
		disk_files_free(l);
	return rc;
}
