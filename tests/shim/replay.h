#ifndef REPLAY_H
#define REPLAY_H
/*
 * What a crash leaves of a folder: the changes that the shim recorded, up to one of
 * them, each file's last ones perhaps lost.
 *
 * A state is made from a copy of the folder as it was before, and the first n changes.
 * Besides the plain prefixes there are
 *   torn    the last write has reached the disk in part: its first sectors, all but its
 *           first sectors, or a multiple of 8 bytes
 *   lost    of the writes (sector by sector), truncations and allocations since a file
 *           was last synced some are lost, whatever their order
 * Names appear in the order in which they were made, and are not lost.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

struct replay;

/* base: the folder before the first change.  NULL: cannot, said on stderr. */
struct replay *replay_open(const char *log, const char *base);
void replay_close(struct replay *r);

/* The number of changes. */
size_t replay_count(const struct replay *r);
/* How many of the first n are syncs: what a program had been promised by then. */
size_t replay_syncs(const struct replay *r, size_t n);

enum replay_way { REPLAY_PLAIN, REPLAY_TORN, REPLAY_LOST };

/* Make the state after n changes in the folder work, which is emptied before.
 * seed: chooses how the last write is torn, or what is lost.  0, or -1 said on stderr. */
int replay_make(struct replay *r, const char *work, size_t n, enum replay_way way,
		uint64_t seed);

/*
 * Make states and show each to check(): all prefixes plain, and as many torn ones (for
 * those that end in a write) and lost ones (where something can be lost) at random as
 * rounds says.
 *
 * check      returns false when the state is bad; done: how many syncs had returned
 * Returns    0: all good, 1: the first bad one is said on stdout and left in work,
 *            -1: a state could not be made
 */
int replay_all(struct replay *r, const char *work, unsigned rounds, uint64_t seed,
	       bool (*check)(void *ptr, const char *work, size_t done), void *ptr);
#endif
