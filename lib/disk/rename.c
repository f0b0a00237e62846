/*
 * Renaming, so that a crash at any point leaves the disk under its old name, or its new
 * one, or both:
 *
 *   1. hard links with the new names to all files but the descriptor
 *   2. the new descriptor (an embedded one is changed inside the file, whose name no
 *      reader compares)
 *   3. children, and others who name the disk, are told
 *   4. the old names go, the descriptor's last
 *
 * As long as there is the old descriptor the same renaming can be begun again, and goes on
 * where it was: names that are links to the same file already, a descriptor that says
 * what the new one is going to say.
 *
 * A file system without hard links has its files renamed instead, in the same order.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/create.h"
#include "disk/lock.h"
#include "disk/manage.h"

struct renaming {
	const char *from, *to;
	const struct disk_manage *m;
	struct image *im;	/* from, without extents */
	struct disk_files old, new;	/* in step; the descriptor is the last of both */
	char *text;		/* the new descriptor, of a file of its own */
	size_t len;
	bool described;		/* and it is there: what an interrupted renaming has left */
	bool begun;		/* some of the new names are there */
	size_t linked;		/* of them, so far */
	bool moved;		/* by rename(), not link() */
	struct image **child;
	size_t nchild;
};

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

/* The bare name that a file of the old disk gets: a.vmdk -> b.vmdk, a-flat -> b-flat. */
static char *new_name(const struct renaming *r, const char *old)
{
	const char *a = disk_base_name(r->from), *b = disk_base_name(r->to);
	size_t na = disk_stem(a), nb = disk_stem(b);
	char *s;

	if (!strcmp(old, a))
		return strdup(b);
	if (strncmp(old, a, na))
		return strdup(old);
	return asprintf(&s, "%.*s%s", (int)nb, b, old + na) < 0 ? NULL : s;
}

/* Only files beside the old descriptor move. */
static int name_file(struct renaming *r, const char *old, struct err *e)
{
	const char *base = disk_base_name(old);
	char *name, *path = NULL;

	if (base - old != disk_base_name(r->from) - r->from ||
	    strncmp(old, r->from, (size_t)(base - old)))
		return disk_files_add(&r->new, strdup(old), e);
	name = new_name(r, base);
	if (name && asprintf(&path, "%.*s%s", (int)(disk_base_name(r->to) - r->to), r->to,
			     name) < 0)
		path = NULL;
	free(name);
	return disk_files_add(&r->new, path, e);
}

static bool stays(const struct renaming *r, size_t i)
{
	return !strcmp(r->old.path[i], r->new.path[i]);
}

/* All but a descriptor that is a file of its own. */
static size_t to_link(const struct renaming *r)
{
	return r->im->desc && !r->im->embedded ? r->old.n - 1 : r->old.n;
}

/* Has file i both names, or, where the new descriptor is there, only the new one? */
static bool is_linked(const struct renaming *r, size_t i)
{
	struct stat a, b;

	if (lstat(r->new.path[i], &b))
		return false;
	if (lstat(r->old.path[i], &a))
		return errno == ENOENT && r->described;
	/* One link: names that differ by case only, where that makes no difference. */
	return a.st_dev == b.st_dev && a.st_ino == b.st_ino && b.st_nlink > 1;
}

/* Does the file at path hold this, and nothing else? */
static bool holds(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char *buf = fd < 0 ? NULL : malloc(len + 1);
	bool same = buf && read(fd, buf, len + 1) == (ssize_t)len && !memcmp(buf, text, len);

	free(buf);
	if (fd >= 0)
		close(fd);
	return same;
}

static int check_names(struct renaming *r, struct err *e)
{
	struct stat st;

	r->described = r->text && holds(r->to, r->text, r->len);
	for (size_t i = 0; i < to_link(r); i++)
		r->described &= stays(r, i) || is_linked(r, i);
	for (size_t i = 0; i < r->old.n; i++) {
		bool done = i < to_link(r) ? is_linked(r, i) : r->described;

		if (!stays(r, i) && !done && !lstat(r->new.path[i], &st))
			return err_sys(e, -EEXIST, "%s", r->new.path[i]);
		r->begun |= done && !stays(r, i);
	}
	return 0;
}

static int name_files(struct renaming *r, struct err *e)
{
	struct disk_opts o = { .allow_outside = r->m->allow_outside };
	int rc = disk_files_of(&r->old, r->im, &o, e);

	for (size_t i = 0; i < r->old.n && !rc; i++)
		rc = name_file(r, r->old.path[i], e);
	return rc;
}

static int link_file(struct renaming *r, size_t i, struct err *e)
{
	const char *a = r->old.path[i], *b = r->new.path[i];

	if (!r->moved && !linkat(AT_FDCWD, a, AT_FDCWD, b, 0))
		return 0;
	if (!r->moved && (i || (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)))
		return err_sys(e, -errno, "%s", errno == ENOENT ? a : b);
	r->moved = true;
	if (!renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_NOREPLACE) ||
	    (errno == EINVAL && !rename(a, b)))
		return 0;
	return err_sys(e, -errno, "%s", b);
}

static int link_files(struct renaming *r, struct err *e)
{
	int rc = 0;

	for (size_t n = to_link(r); r->linked < n && !rc;) {
		if (!stays(r, r->linked) && !is_linked(r, r->linked))
			rc = link_file(r, r->linked, e);
		if (!rc)
			r->linked++;
	}
	return rc;
}

static void unlink_again(struct renaming *r)
{
	while (r->linked-- > 0) {
		if (stays(r, r->linked))
			continue;
		if (r->moved)
			rename(r->new.path[r->linked], r->old.path[r->linked]);
		else
			unlink(r->new.path[r->linked]);
	}
	r->linked = 0;
}

/* What a file that the descriptor names in its folder is to be called there.  It may be
 * there under another name (image_file()). */
static char *new_name_of(const struct renaming *r, const char *file)
{
	char *path = NULL, *name;

	if (image_file(&path, r->im, file, true, NULL))
		return new_name(r, file);
	name = new_name(r, disk_base_name(path));
	free(path);
	return name;
}

static int change_desc(struct renaming *r, struct desc *d, struct err *e)
{
	const char *ctk = disk_change_tracking(d);
	char *name;
	int rc = 0;

	for (size_t i = 0; i < d->nextents && !rc; i++) {
		struct desc_extent x = d->extent[i];

		if (!x.file || strchr(x.file, '/'))
			continue;
		name = r->im->embedded ? strdup(disk_base_name(r->to)) : new_name_of(r, x.file);
		x.file = name;
		rc = name ? desc_set_extent(d, i, &x, e) : no_memory(e);
		free(name);
	}
	if (rc || !ctk || strchr(ctk, '/'))
		return rc;
	name = new_name_of(r, ctk);
	rc = name ? desc_set(d, "changeTrackPath", name, e) : no_memory(e);
	free(name);
	return rc;
}

/* What the new descriptor says, if it is a file of its own. */
static int make_text(struct renaming *r, struct err *e)
{
	struct desc *d = NULL;
	size_t len;
	char *text;
	int rc;

	if (to_link(r) == r->old.n)
		return 0;
	text = desc_text(r->im->desc, &len);
	rc = text ? desc_parse(&d, text, len, e) : no_memory(e);
	free(text);
	if (!rc)
		rc = change_desc(r, d, e);
	if (!rc && !(r->text = desc_text(d, &r->len)))
		rc = no_memory(e);
	desc_free(d);
	return rc;
}

static int write_desc(struct renaming *r, struct err *e)
{
	struct disk_opts o = { .write = true, .no_lock = true };
	struct image *im;
	int rc;

	if (!r->im->desc || r->described)
		return 0;
	if (!r->im->embedded)
		return file_replace(r->to, r->text, r->len, e);
	rc = image_open(&im, r->to, &o, e);
	if (rc)
		return rc;
	rc = change_desc(r, im->desc, e);
	if (!rc)
		rc = image_save_desc(im, e);
	image_close(im);
	return rc;
}

/* Children are opened (and so locked) before anything is changed. */
static int open_children(struct renaming *r, struct err *e)
{
	struct disk_opts o = { .write = true, .allow_outside = r->m->allow_outside };
	struct disk_files l;
	int rc;

	if (!r->m->force)
		return disk_refuse_children(r->im, "which -f tells the new name", e);
	rc = disk_children(&l, r->im, e);
	r->child = calloc(l.n + 1, sizeof(*r->child));
	if (!rc && !r->child)
		rc = no_memory(e);
	for (size_t i = 0; i < l.n && !rc && !r->m->dry; i++) {
		rc = image_open(&r->child[i], l.path[i], &o, e);
		r->nchild += !rc;
	}
	disk_files_free(&l);
	return rc;
}

static int tell_children(struct renaming *r, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < r->nchild && !rc; i++) {
		char *hint = NULL;

		rc = disk_parent_hint(&hint, r->child[i]->path, r->to, true, e);
		if (!rc)
			rc = desc_set(r->child[i]->desc, "parentFileNameHint", hint, e);
		if (!rc)
			rc = image_save_desc(r->child[i], e);
		free(hint);
	}
	return rc;
}

static int remove_old(struct renaming *r, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < r->old.n; i++)
		if (!stays(r, i) && unlink(r->old.path[i]) && errno != ENOENT)
			rc = err_sys(e, -errno, "%s", r->old.path[i]);
	return rc ? rc : file_sync_dir(r->from, e);
}

/* A parent is looked for beside its child. */
static int check_parent(const struct renaming *r, struct err *e)
{
	const struct desc *d = r->im->desc;
	size_t na = (size_t)(disk_base_name(r->from) - r->from);
	size_t nb = (size_t)(disk_base_name(r->to) - r->to);

	if (!d || !d->parent || d->parent[0] == '/' ||
	    (na == nb && !strncmp(r->from, r->to, na)))
		return 0;
	return err_set(e, -EINVAL, "%s: its parent %s is looked for in its folder, which it may "
		       "not leave", r->from, d->parent);
}

static int rename_all(struct renaming *r, struct err *e)
{
	int rc = check_parent(r, e), rc2;

	if (!rc)
		rc = name_files(r, e);
	if (!rc)
		rc = make_text(r, e);
	if (!rc)
		rc = check_names(r, e);
	/* Then the other disk that has these files is this one. */
	if (!rc && !r->m->force && !r->begun)
		rc = disk_refuse_sharers(r->im, &r->old, e);
	if (!rc)
		rc = open_children(r, e);
	if (rc || r->m->dry)
		return rc;
	rc = link_files(r, e);
	if (!rc)
		rc = write_desc(r, e);
	if (rc) {
		/* It may stand there, and only be not durable. */
		if (to_link(r) < r->new.n)
			unlink(r->to);
		unlink_again(r);
		return rc;
	}
	rc = file_sync_dir(r->to, e);
	if (!rc)
		rc = tell_children(r, e);
	if (!rc && r->m->tell)
		rc = r->m->tell(r->m->ptr, e);
	/* Files that were moved are no longer what the old descriptor says. */
	rc2 = rc && !r->moved ? 0 : remove_old(r, rc ? NULL : e);
	return rc ? rc : rc2;
}

/* Are both one name? */
static bool same_name(const char *a, const char *b)
{
	const char *name[2] = { disk_base_name(a), disk_base_name(b) };
	char *folder[2] = { strndup(a, (size_t)(name[0] - a)), strndup(b, (size_t)(name[1] - b)) };
	struct stat st[2];
	bool same = !strcmp(name[0], name[1]) && folder[0] && folder[1] &&
		    !stat(*folder[0] ? folder[0] : ".", &st[0]) &&
		    !stat(*folder[1] ? folder[1] : ".", &st[1]) &&
		    st[0].st_dev == st[1].st_dev && st[0].st_ino == st[1].st_ino;

	free(folder[0]);
	free(folder[1]);
	return same;
}

int disk_rename(const char *from, const char *to, const struct disk_manage *m,
		struct err *e)
{
	struct disk_opts o = {
		.write = !m->dry, .no_extents = true, .allow_outside = m->allow_outside,
		.no_lock = m->locked,
	};
	struct renaming r = { .from = from, .to = to, .m = m };
	struct disk_lock *lock = NULL;
	struct stat st;
	int rc;

	if (!*disk_base_name(to))
		return err_set(e, -EINVAL, "%s: names a folder", to);
	rc = disk_refuse_link(from, e);
	if (!rc)
		rc = image_open(&r.im, from, &o, e);
	if (rc)
		return rc;
	/* A symbolic link would be locked where it leads. */
	if (same_name(from, to) || (!lstat(to, &st) && S_ISLNK(st.st_mode)))
		rc = err_sys(e, -EEXIST, "%s", to);
	if (!rc && !m->dry)
		rc = disk_lock(&lock, to, e);
	if (!rc)
		rc = rename_all(&r, e);
	for (size_t i = 0; i < r.nchild; i++)
		image_close(r.child[i]);
	free(r.child);
	free(r.text);
	disk_files_free(&r.old);
	disk_files_free(&r.new);
	disk_unlock(lock);
	image_close(r.im);
	return rc;
}
