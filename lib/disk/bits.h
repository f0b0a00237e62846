#ifndef DISK_BITS_H
#define DISK_BITS_H
/* A set of numbers that may be large: room is taken where it has members only. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bits {			/* {0}: empty */
	uint64_t **chunk;	/* NULL: no member there */
	size_t chunks;
};

void bits_free(struct bits *b);		/* empty again */

bool bits_has(const struct bits *b, uint64_t i);

/*
 * Add from..from+n.  Takes 8 bytes for each 262,144 numbers up to the greatest, and 32
 * KiB for those of them with members.
 *
 * had        one of them was a member already
 * Returns    0 or -ENOMEM
 */
int bits_add(struct bits *b, uint64_t from, uint64_t n, bool *had);
#endif
