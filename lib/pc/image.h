#ifndef PC_IMAGE_H
#define PC_IMAGE_H
/* Files that are loaded into the guest: kept in memory, for resets. */

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "pc/wait.h"

struct image {
	const char *path;	/* the caller's */
	uint8_t *data;		/* NULL: none */
	size_t len;
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

/* Free what image_read() read; path is left alone.  Nothing read is fine. */
void image_free(struct image *im);
#endif
