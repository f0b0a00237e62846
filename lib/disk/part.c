#include "disk/part.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/lock.h"
#include "disk/manage.h"

struct disk_part {
	const struct disk_create *c;
	char *path, *part;
	struct disk_files names;	/* of the finished disk */
	struct disk_lock *lock;
	bool finished;
};

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

static bool exists(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}

/* What has no descriptor is replaced by its like only. */
static struct disk_manage replacing(const struct disk_create *c, bool dry)
{
	return (struct disk_manage){ .bare = c->format == DISK_RAW, .dry = dry };
}

/* What the file name of the disk at path is called until it is finished; NULL: no memory. */
static char *part_of(const char *path, const char *name)
{
	char *part;
	int n = !strcmp(path, name) ? asprintf(&part, "%s.part", path)
				    : asprintf(&part, "%s.part%s", path, name + disk_stem(path));

	return n < 0 ? NULL : part;
}

/* Does name lead to the file that is called otherwise until then?  So a finished disk was
 * left by a crash that got some of its names, but not the descriptor's. */
static bool is_named(const char *path, const char *name)
{
	char *part = part_of(path, name);
	struct stat a, b;
	bool is = part && !lstat(part, &a) && !lstat(name, &b) && a.st_dev == b.st_dev &&
		  a.st_ino == b.st_ino;

	free(part);
	return is;
}

struct names {
	const struct disk_create *c;
	struct disk_files *list;
	int rc;
};

static void add_name(void *ptr, const char *path)
{
	struct names *n = ptr;

	if (!n->rc)
		n->rc = disk_files_add(n->list, strdup(path), NULL);
	if (n->c->made)
		n->c->made(n->c->ptr, path);
}

/* Files of the new disk that are there are the old one's. */
static int check_names(const char *path, const struct disk_files *new,
		       const struct disk_files *old, struct err *e)
{
	for (size_t i = 0; i < new->n; i++) {
		size_t k = 0;

		while (k < old->n && strcmp(new->path[i], old->path[k]))
			k++;
		if (k == old->n && exists(new->path[i]) &&
		    (exists(path) || !is_named(path, new->path[i])))
			return err_sys(e, -EEXIST, "%s", new->path[i]);
	}
	return 0;
}

/* All that can be known before the work is done. */
static int look(const char *path, const struct disk_create *c, struct disk_files *names,
		struct err *e)
{
	struct names n = { .c = c, .list = names };
	struct disk_create dry = *c;
	struct disk_manage how = replacing(c, true);
	struct disk_files old = { 0 };
	int rc;

	dry.dry = dry.force = true;
	dry.made = add_name;
	dry.ptr = &n;
	rc = disk_create(path, &dry, e);
	if (!rc && n.rc)
		rc = no_memory(e);
	if (!rc && exists(path) && !c->force)
		rc = err_sys(e, -EEXIST, "%s", path);
	if (!rc && exists(path)) {
		rc = disk_lock_look(path, e);
		if (!rc)
			rc = disk_delete(path, &how, &old, e);
	}
	if (!rc)
		rc = check_names(path, names, &old, e);
	disk_files_free(&old);
	return rc;
}

/* Is it the name of one of the files of the unfinished disk base? */
static bool is_ours(const char *base, const char *name)
{
	size_t n = strlen(base);

	return !strncmp(name, base, n) &&
	       (!name[n] || name[n] == '-' || !strcmp(name + n, ".tmp"));
}

static int remove_all(const struct disk_part *p, struct err *e)
{
	const char *base = disk_base_name(p->part);
	int dir = (int)(base - p->part), rc = 0;
	struct dirent *de;
	char *folder;
	DIR *d;

	for (size_t i = 0; !exists(p->path) && i < p->names.n; i++)
		if (is_named(p->path, p->names.path[i]))
			unlink(p->names.path[i]);
	if (asprintf(&folder, "%.*s", dir ? dir : 1, dir ? p->part : ".") < 0)
		return no_memory(e);
	d = opendir(folder);
	if (!d)
		rc = err_sys(e, -errno, "%s", folder);
	while (!rc && (de = readdir(d)))
		if (is_ours(base, de->d_name) && unlinkat(dirfd(d), de->d_name, 0) &&
		    errno != ENOENT)
			rc = err_sys(e, -errno, "%s%s", dir ? folder : "", de->d_name);
	if (d)
		closedir(d);
	free(folder);
	return rc;
}

int disk_part_begin(struct disk_part **out, const char *path, const struct disk_create *c,
		    struct err *e)
{
	struct disk_part *p = calloc(1, sizeof(*p));
	int rc;

	*out = NULL;
	if (!p)
		return no_memory(e);
	p->c = c;
	p->finished = true;	/* as long as it is not this one's there is nothing to remove */
	p->path = strdup(path);
	p->part = part_of(path, path);
	rc = p->path && p->part ? look(path, c, &p->names, e) : no_memory(e);
	if (!rc && !c->dry) {
		rc = disk_lock(&p->lock, p->part, e);
		if (rc == -ENOENT)	/* the folder */
			err_sys(e, rc, "%s", path);
	}
	if (!rc && !c->dry) {
		p->finished = false;
		rc = remove_all(p, e);
	}
	if (rc || c->dry)
		disk_part_free(p);
	else
		*out = p;
	return rc;
}

const char *disk_part_path(const struct disk_part *p)
{
	return p->part;
}

/* One file, which does not say what it is called. */
static int rename_file(const struct disk_part *p, struct err *e)
{
	if (renameat2(AT_FDCWD, p->part, AT_FDCWD, p->path, RENAME_NOREPLACE) &&
	    (errno != EINVAL || exists(p->path) || rename(p->part, p->path)))
		return err_sys(e, errno == EINVAL ? -EEXIST : -errno, "%s", p->path);
	return file_sync_dir(p->path, e);
}

/* It failed.  What it was to replace is not whole any more, perhaps: then this one stays. */
static int keep_only(struct disk_part *p, const struct disk_files *gone, int rc, struct err *e)
{
	char why[160];

	for (size_t i = 0; i < gone->n && !p->finished; i++)
		p->finished = !exists(gone->path[i]);
	if (!p->finished)
		return rc;
	snprintf(why, sizeof(why), "%.90s is the new disk and stays: the old one is gone", p->part);
	return err_in(e, rc, why);
}

int disk_part_finish(struct disk_part *p, struct err *e)
{
	struct disk_manage how = replacing(p->c, false);
	struct disk_manage renaming = { .locked = true };
	struct disk_files gone = { 0 };
	bool alone = p->c->format == DISK_RAW || p->c->format == DISK_STREAM;
	int rc = 0;

	if (p->c->force && exists(p->path))
		rc = disk_delete(p->path, &how, &gone, e);
	if (!rc)
		rc = alone ? rename_file(p, e) : disk_rename(p->part, p->path, &renaming, e);
	p->finished = !rc;
	if (rc)
		rc = keep_only(p, &gone, rc, e);
	disk_files_free(&gone);
	return rc;
}

void disk_part_free(struct disk_part *p)
{
	if (!p)
		return;
	if (!p->finished)
		remove_all(p, NULL);
	disk_unlock(p->lock);
	disk_files_free(&p->names);
	free(p->path);
	free(p->part);
	free(p);
}

int disk_part_create(const char *path, const struct disk_create *c, struct err *e)
{
	struct disk_create empty = *c;
	struct disk_part *p;
	int rc = disk_part_begin(&p, path, c, e);

	if (rc || c->dry)
		return rc;
	empty.force = false;
	empty.made = NULL;
	empty.name = path;
	rc = disk_create(p->part, &empty, e);
	if (!rc)
		rc = disk_part_finish(p, e);
	disk_part_free(p);
	return rc;
}
