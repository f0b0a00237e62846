#ifndef BASE_SIZE_H
#define BASE_SIZE_H
/* Sizes as people write them: 4096, 64k, 512M, 1.5G, 2T (powers of 1024). */

#include <stdint.h>

#include "base/err.h"

/*
 * Read a size.
 *
 * s          digits, with at most one decimal point when a unit follows, then
 *            nothing or one of k M G T in either case
 * bytes      set only on success
 * Returns    0, -EINVAL: not a size, -ERANGE: 2^64 bytes or more
 */
int size_parse(const char *s, uint64_t *bytes, struct err *e);

/* Write bytes in the largest unit that divides it: "512M", "1536k", "100".
 * Returns buf. */
char *size_format(char buf[static 24], uint64_t bytes);
#endif
