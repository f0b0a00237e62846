#ifndef DISK_MANAGE_H
#define DISK_MANAGE_H
/* Disks as a whole: away with them, other names, other sizes. */

#include "disk/files.h"

struct disk_manage {
	bool force;		/* what would break others, or lose data, is done */
	bool bare;		/* disk_delete(): without force, too, of a file without descriptor */
	bool dry;		/* look, change nothing */
	bool allow_outside;
	bool locked;		/* the disk's lock is the caller's */
	/* disk_rename(): called when both names lead to the disk, so that others who name it
	 * can be told.  May be NULL. */
	int (*tell)(void *ptr, struct err *e);
	void *ptr;
};

/*
 * Remove a disk's own files: its extents, then the descriptor, so that what a crash
 * leaves can be deleted again.  Parents stay.
 *
 * gone       what was (or would be) removed; the caller frees it, after a failure, too
 * Returns    0; -EEXIST: others have it as parent, or its files as theirs, -EINVAL: it
 *            has no descriptor (and no bare; all without force); -EBUSY: locked; ...
 */
int disk_delete(const char *path, const struct disk_manage *m, struct disk_files *gone,
		struct err *e);

/*
 * Give a disk another name: its files get it, too, where their names begin with the old
 * one.  New names are made first, old ones removed last.
 *
 * force      children in the folder are told the new name
 * Returns    0; -EEXIST: a new name is taken, or (without force) there are children, or
 *            others that have its files as theirs;
 *            -EXDEV: another file system; -EINVAL: a child that would lose its parent
 */
int disk_rename(const char *from, const char *to, const struct disk_manage *m,
		struct err *e);

/*
 * Make a disk larger, by zeros, or (force) smaller.  Of a chain the top changes.
 *
 * bytes      a multiple of SECTOR, at most DISK_SIZE_MAX
 * was        its size before
 * Returns    0; -EPERM: smaller, or a parent of others, without force; -ENOTSUP: a
 *            format that has one size; -ENOSPC, ...
 */
int disk_resize(const char *path, uint64_t bytes, const struct disk_manage *m,
		uint64_t *was, struct err *e);
#endif
