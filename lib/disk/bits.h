#ifndef DISK_BITS_H
#define DISK_BITS_H
/* A set of numbers that may be large: room is taken where it has members only. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bits {
	uint64_t **chunk;	/* NULL: no member there */
	size_t chunks;
};

/* An empty set of numbers below max; a pointer is kept for each 262,144 of them.
 * Returns 0 or -ENOMEM. */
int bits_init(struct bits *b, uint64_t max);
void bits_free(struct bits *b);

bool bits_has(const struct bits *b, uint64_t i);	/* false beyond max, too */

/* Add from..from+n (below max).  *had: one of them was a member already.
 * Returns 0 or -ENOMEM. */
int bits_add(struct bits *b, uint64_t from, uint64_t n, bool *had);
#endif
