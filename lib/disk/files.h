#ifndef DISK_FILES_H
#define DISK_FILES_H
/* The files that make up a disk, and the disks beside it that are its children. */

#include "disk/image.h"

struct disk_files {
	char **path;
	size_t n;
};

/*
 * A disk's own files: extents in their order, the file of change tracking, the
 * descriptor last.  Not devices, nor what NOACCESS extents name.  Of a mapping of a device
 * the symbolic link that stands for the mapping file.  A disk with its descriptor inside
 * is its one file, whatever its name was when that was written.
 *
 * im         may be open without extents
 * Returns    0; -EPERM: an extent lies outside its folder (without o->allow_outside)
 */
int disk_files_of(struct disk_files *l, const struct image *im, const struct disk_opts *o,
		  struct err *e);

/* The file of change tracking that a descriptor (NULL is fine) names, or NULL: by its name it
 * has to be one, so that no other file is deleted or renamed with a disk. */
const char *disk_change_tracking(const struct desc *d);

/*
 * The disks of the same folder whose parent im is, by their descriptors; what cannot be
 * read there is none.  Returns 0, -ENOMEM, ...
 */
int disk_children(struct disk_files *l, const struct image *im, struct err *e);

/* The disks beside path, without that one, that have this content id.  As disk_children(). */
int disk_with_cid(struct disk_files *l, const char *path, uint32_t cid, struct err *e);

/* -EEXIST: it has children, and what is to be done means something for them: then says
 * what, and how to do it even so. */
int disk_refuse_children(const struct image *im, const char *then, struct err *e);

/* -EBUSY: somebody reads it (disk/hold.h), or a disk of its folder that hangs on it, over other
 * layers too, is in use; who uses it knows where the bytes of im lie, and would read others. */
int disk_refuse_used_above(const struct image *im, struct err *e);

/* -EEXIST: another disk of the folder has one of these files of im among its extents: one
 * is a copy of the other's descriptor. */
int disk_refuse_sharers(const struct image *im, const struct disk_files *files, struct err *e);

/* -EINVAL: path is a symbolic link, so that the files beside it are not the disk's. */
int disk_refuse_link(const char *path, struct err *e);

int disk_files_add(struct disk_files *l, char *path, struct err *e);	/* takes path */
void disk_files_free(struct disk_files *l);

/* x.vmdk -> the length of x, of a path or a bare name. */
size_t disk_stem(const char *name);
const char *disk_base_name(const char *path);
#endif
