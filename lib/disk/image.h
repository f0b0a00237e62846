#ifndef DISK_IMAGE_H
#define DISK_IMAGE_H
/*
 * One layer of a chain: a descriptor (or none, for raw files) and its extents as one
 * range of bytes.  Where its metadata are changed the disk's lock is held.
 */

#include <stdbool.h>
#include <stdint.h>

#include "disk/desc.h"
#include "disk/extent.h"

struct disk_opts {
	bool write;		/* the top layer; parents are always read only */
	bool no_parent;		/* this layer alone: parents are not opened */
	bool no_lock;		/* the caller holds the lock, or reads only and does not care */
	bool hold;		/* who reads only does care: nobody may change it meanwhile */
	long sharer;		/* with write: a process that has it below a disk and knows what is
				 * done to it (disk/hold.h); 0: none */
	bool allow_outside;	/* paths may lead out of the descriptor's folder */
	bool raw;		/* the file is raw whatever it begins with */
	bool lazy;		/* a parent that is missing or does not fit is said in
				 * image->broken, not an error (check, info, chain --fix) */
	bool plain;		/* path is what a descriptor says: -EPERM for a link or device */
	bool no_extents;	/* the descriptor alone: there is nothing to map */
	bool mend;		/* for check(): open extents that are not fit for use, too */
	uint64_t cache;		/* bytes of the layer's tables to keep; 0: EXTENT_CACHE */
	const struct disk_backend *const *backends;	/* NULL: files only */
	struct disk_file *file;	/* instead of opening path by name; owned on success */
};

struct image {
	char *path;		/* of the descriptor, or of the only file */
	char *real;		/* where path leads, if it is a symbolic link; else NULL */
	struct desc *desc;	/* NULL: raw, or an extent's file without its descriptor */
	struct extent **ext;	/* one an extent line, in order */
	uint64_t *start;	/* next + 1 values: ext[i] holds bytes start[i].. */
	size_t next;
	uint64_t size;		/* bytes */
	uint64_t grain;		/* the smallest of its extents' grains */
	bool embedded;		/* the descriptor lies inside the sparse file, here: */
	uint64_t desc_off, desc_room;	/* bytes */
	bool writable;
	bool cid_changed;	/* written to since it was opened: has a new CID */
	struct disk_lock *lock;	/* NULL: none */
	char *broken;		/* with lazy: why its parent was not opened; else NULL */
	uint64_t dev, ino;	/* of the file at path: is it the same? (0: not a file) */
};

/*
 * Open one layer; o->no_parent is implied.  What kind of file it is its first bytes
 * say: a descriptor, a sparse extent (with a descriptor inside or alone), else raw.
 * An extent of type VMFSRDM or VMFSRAW is the device that its file leads to, a symbolic
 * link: so it is opened with allow_outside only.
 * Returns    0; -ENOENT, -EACCES, ...: the message names the file; -EBADMSG: damaged;
 *            -ENOTSUP; -EPERM: a path that leads outside; -EBUSY: locked, or to be written
 *            and read by others, the message names the holder
 */
int image_open(struct image **im, const char *path, const struct disk_opts *o,
	       struct err *e);
void image_close(struct image *im);	/* NULL is fine; what is not flushed is lost */

/*
 * An image of extents that are open already, without a descriptor (for tests, and for
 * who brings a format of his own).  The extents are owned on success.
 */
int image_new(struct image **im, const char *path, struct extent *const *ext, size_t n,
	      struct err *e);

/* As the hooks of extents, over all of them; runs end where an extent ends. */
int image_map(struct image *im, uint64_t off, uint64_t len, struct disk_run *run,
	      struct err *e);
/* The extent that holds byte off, and the offset in it. */
struct extent *image_extent(const struct image *im, uint64_t off, uint64_t *in);
int image_flush(struct image *im, struct err *e);
/* Does dropping what is in it give room back, in all of it that can be written? */
bool image_thin(const struct image *im);

/* Would a file of size bytes that begins with the n bytes of head be taken for another
 * than a raw one?  Its first sector decides. */
bool image_probe(const char *head, size_t n, uint64_t size);

/* Before the first write since it was opened: give the descriptor a new CID. */
int image_touch(struct image *im, struct err *e);

/* Write desc back, in place (embedded) or by file_replace(); durable on return.
 * -ENOSPC: the room of an embedded one is too small. */
int image_save_desc(struct image *im, struct err *e);

/*
 * The path of a file that a descriptor names: beside the descriptor.  Where there is none of
 * that name it may be a path of Windows or ESX: then it is looked for in the same folder,
 * or if it is no absolute one with its separators as they are here.
 *
 * Returns    0 and *out, which the caller frees; -EPERM: absolute, with "..", or a
 *            symbolic link, unless outside is set; -EINVAL: empty, with a newline, too long
 */
int image_beside(char **out, const char *descriptor, const char *name, bool outside,
		 struct err *e);

/* The same of an image that is open; a name may also be there in UTF-8, when the descriptor
 * is in another encoding. */
int image_file(char **out, const struct image *im, const char *name, bool outside,
	       struct err *e);
#endif
