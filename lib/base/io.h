#ifndef BASE_IO_H
#define BASE_IO_H
/* Whole files and whole writes. */

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Read a whole regular file (or device, up to its end).
 *
 * max        bytes; a longer file is refused
 * buf, len   the contents, to be freed by the caller; set only on success
 * Returns    0, -EFBIG, -EISDIR, -ENOMEM or what open and read gave; the
 *            message begins with the path
 */
int io_read_file(const char *path, size_t max, uint8_t **buf, size_t *len,
		 struct err *e);

/* Write all of buf, whatever the descriptor's own portions.  0 or -errno. */
int io_write_all(int fd, const void *buf, size_t len);
#endif
