#ifndef VMX_LIVE_H
#define VMX_LIVE_H
/*
 * Disks that a running machine has.  It locks the present layer of each, and alone changes
 * that; whoever works on its snapshots asks it, by these functions.  Layers are named by
 * their paths.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct live_pair {
	const char *top;	/* the present layer of a disk */
	const char *path;	/* the one that is to be */
};

struct machine_live {
	void *ptr;
	/*
	 * Is path the present layer of a disk of a running machine that can be asked?
	 * Returns    0 and *is; -ENOTSUP: it is, or goes on below one, but takes no part in
	 *            snapshots; -EBUSY: its disks are those of several machines; -EAGAIN: it
	 *            is busy and stays so
	 */
	int (*find)(void *ptr, const char *path, bool *is, struct err *e);
	/* The process of the machine that find() has found; 0: none. */
	long (*pid)(void *ptr);
	/* New tops for n disks, which hang on their present ones; or others, with which the
	 * machine begins anew.  All or none. */
	int (*push)(void *ptr, const struct live_pair *p, unsigned n, struct err *e);
	int (*revert)(void *ptr, const struct live_pair *p, unsigned n, struct err *e);
	/* top hangs on hint (NULL: on the layer that it did), whose CID is parent_cid. */
	int (*rebase)(void *ptr, const char *top, uint32_t parent_cid, const char *hint,
		      struct err *e);
	/* top goes into its parent.  -EAGAIN: it holds too much for that, nothing has
	 * changed. */
	int (*fold)(void *ptr, const char *top, struct err *e);
	/*
	 * For a while, after which it has to be said again, no more than bytes_s are written to
	 * top a second; 0: as many as there are.
	 *
	 * steps      how often that did not help: the longest that one write waits grows with it
	 */
	int (*pace)(void *ptr, const char *top, uint64_t bytes_s, unsigned steps, struct err *e);
};
#endif
