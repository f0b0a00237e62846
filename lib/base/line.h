#ifndef BASE_LINE_H
#define BASE_LINE_H
/* The first line of a small file, such as those of /proc. */

#include <stddef.h>

/* buf has the line, without its end, of at most size - 1 bytes; an empty one where the file
 * cannot be read. */
void line_read(const char *path, char *buf, size_t size);
#endif
