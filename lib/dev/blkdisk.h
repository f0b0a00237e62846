#ifndef DEV_BLKDISK_H
#define DEV_BLKDISK_H
/* Virtual disks and images of CDs (lib/disk) as disks of devices. */

#include "dev/blk.h"

struct blkdisk_opts {
	bool readonly;
	bool raw;		/* an image of a CD: bytes as they are */
	bool allow_outside;	/* its files, and the device of an RDM, may lie anywhere */
	/* NULL, or: what is written goes to a child disk of this name, beside path; one that
	 * is there already is gone on with. */
	const char *overlay;
	/* NULL, or: told what cannot be read or written, once a minute at most, by any thread. */
	void (*warn)(const char *line);
	bool threads;		/* no io_uring: threads do what has to wait */
	bool forget;		/* the child is nowhere when the disk is closed, or killed */
};

/*
 * Open the disk at path, locked if it is to be written.
 *
 * Returns    0; -ENOENT, -EBUSY: the message names the holder, -EBADMSG, -ENOTSUP, ...
 */
int blkdisk_open(struct blk **b, struct vm *vm, const char *path,
		 const struct blkdisk_opts *o, struct err *e);

/* The disk behind b, which stays b's; NULL: there is another thing behind it. */
struct disk;
struct disk *blkdisk_disk(const struct blk *b);
#endif
