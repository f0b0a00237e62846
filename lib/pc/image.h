#ifndef PC_IMAGE_H
#define PC_IMAGE_H
/* Files that are loaded into the guest: kept in memory, for resets. */

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct image {
	const char *path;	/* the caller's */
	uint8_t *data;		/* NULL: none */
	size_t len;
};

/*
 * Read a whole file.
 *
 * max        longest file taken, bytes
 * Returns    0; -errno as open and read say; -EISDIR; -EBADMSG when it is
 *            empty; -EFBIG when it is longer than max
 */
int image_read(struct image *im, const char *path, size_t max, struct err *e);
void image_free(struct image *im);
#endif
