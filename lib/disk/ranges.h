#ifndef DISK_RANGES_H
#define DISK_RANGES_H
/* A list of ranges of numbers: room in a file that was given up, or set aside. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct range {
	uint64_t start, len;
};

struct ranges {			/* {0}: empty */
	struct range *r;	/* in no order */
	size_t n, room;
};

/*
 * Add one; it is joined with the one added before where they touch.
 * Returns    0 or -ENOMEM
 */
int ranges_add(struct ranges *l, uint64_t start, uint64_t len);

/*
 * Take out up to want numbers, a whole number of unit, from the first range that has
 * unit of them.
 * Returns    how many, *start is the first; 0: there is none
 */
uint64_t ranges_take(struct ranges *l, uint64_t want, uint64_t unit, uint64_t *start);

/* Take start..start+len out of the range that holds it whole, which may be split.
 * Returns 0, -ENOENT: none does, -ENOMEM. */
int ranges_remove(struct ranges *l, uint64_t start, uint64_t len);

/* How many numbers from start on are in no range, at most len; *end: where the range
 * that stopped it ends (when it is less than len). */
uint64_t ranges_gap(const struct ranges *l, uint64_t start, uint64_t len, uint64_t *end);

/* Join what touches; in order then. */
void ranges_sort(struct ranges *l);

/* Add all of b to a, and empty b.  Returns 0 or -ENOMEM: nothing is changed. */
int ranges_move(struct ranges *a, struct ranges *b);

void ranges_free(struct ranges *l);	/* empty again */
#endif
