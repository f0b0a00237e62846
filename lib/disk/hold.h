#ifndef DISK_HOLD_H
#define DISK_HOLD_H
/*
 * Files that have to stay as they are because somebody reads them: layers below a disk in
 * use, or the source of a copy.  Who reads a file marks it, by a shared OFD lock on one
 * byte far behind its end, whose place says who that is: that takes no right to write, on
 * read-only file systems too, any number of readers may do it, and a mark goes with its
 * process.  Where a file system has no such locks there are no marks.
 *
 * Who changes a disk has its lock (disk/lock.h), and then looks for marks; who reads
 * marks its files, and then looks for the lock.  So one of the two sees the other.
 */

#include "base/err.h"

struct image;

/* Mark fd's file until fd is closed; marks of one process with the same slot are one. */
void hold_mark(int fd, int slot);

/*
 * Has somebody marked fd's file?
 *
 * path       for messages
 * but        a process of this host whose mark, one and no more, does not count: it knows
 *            what is done to the file, where it has that open once; 0: none
 * Returns    0; -EBUSY: the message names process and host
 */
int hold_look(int fd, const char *path, long but, struct err *e);

/* The same of all files of an image. */
void image_hold(const struct image *im);
int image_refuse_held(const struct image *im, long but, struct err *e);
#endif
