#ifndef PC_IMAGE_H
#define PC_IMAGE_H
/* Files that are loaded into the guest, at every reset again: what can be read again is
 * not kept in memory meanwhile. */

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/err.h"
#include "pc/wait.h"

struct image {
	const char *path;	/* the caller's */
	uint8_t *data;		/* NULL: none, or unloaded */
	size_t len;
	int file;		/* a regular file, open: its descriptor + 1; else 0 */
	struct timespec changed;	/* it was last, then */
};

/*
 * Read a whole file; a pipe, to its end.
 *
 * path       stays the caller's, and is kept in im
 * max        longest file taken, bytes
 * w          what ends the wait for a pipe; NULL: nothing
 * Returns    0; -errno as open and read say; -EISDIR; -EBADMSG when it is
 *            empty; -EFBIG when it is longer than max; -EINTR and -ETIMEDOUT
 *            of pc_wait_fd()
 */
int image_read(struct image *im, const char *path, size_t max,
	       const struct pc_wait *w, struct err *e);

/*
 * Read a part of a file.
 *
 * path       "-": standard input
 * off        where it begins, bytes; a pipe is read up to there
 * len        how much at most, bytes
 * Returns    as image_read(), but for -EFBIG; -EBADMSG when nothing is there
 */
int image_read_part(struct image *im, const char *path, uint64_t off, size_t len,
		    const struct pc_wait *w, struct err *e);

/* Give the bytes of image_read() back if they can be read again. */
void image_unload(struct image *im);
/* Have the bytes again.  0; -errno; -ESTALE when the file has been written to. */
int image_reload(struct image *im, struct err *e);

/* Free what image_read() read; path is left alone.  Nothing read is fine. */
void image_free(struct image *im);
#endif
