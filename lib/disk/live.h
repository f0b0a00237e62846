#ifndef DISK_LIVE_H
#define DISK_LIVE_H
/*
 * Changes of a disk's layers while it is in use, by several threads perhaps.
 *
 * Each is opened, which may take long; made by the switch, for which the disk is frozen;
 * and closed.  Several disks switch together: all are frozen, then all are changed, or
 * none.
 *
 *   PUSH     a new layer goes on the top: it is there, and hangs on that
 *   REBASE   the top hangs on another chain, which reads as what was below it
 *   FOLD     what the top has is written into its parent, which is the top then: if it
 *            is little, in little time
 *   REPLACE  it is another disk, of the same size
 *
 * Others may write to layers below the top meanwhile, as merges do (disk/snapshot.h): what
 * those above them have.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct disk;
struct image;

/* What there is, for who makes no change meanwhile. */
struct live_state {
	const char *top;	/* its path as it was opened */
	unsigned layers;
	uint64_t size;		/* bytes */
};
struct live_state live_look(const struct disk *d);

enum live_kind { LIVE_PUSH, LIVE_REBASE, LIVE_FOLD, LIVE_REPLACE };

struct live_change {
	enum live_kind kind;
	struct disk *d;
	/* PUSH: of the new top.  REBASE: the top's parentFileNameHint; NULL: only the id of
	 * the parent is another.  REPLACE: of the other disk.  FOLD: none. */
	const char *path;
	bool outside;		/* as disk_opts.allow_outside */
	uint32_t parent_cid;	/* REBASE */
	uint64_t bytes_max;	/* FOLD: as much as this, */
	uint64_t stun_max_ns;	/* in as much time */
	/* live.c's own: */
	struct image **layer;	/* new ones; after the switch the old ones */
	unsigned n;
	struct disk *to;	/* FOLD, until the switch */
	bool switched;
	uint64_t stun_ns;	/* of live_close(), which waits for requests once more for PUSH */
};

/*
 * Returns    0; as image_open(), disk_open(); -EINVAL: not the top's child, another size;
 *            -EROFS: nothing is written to this disk; -ENOTSUP: FOLD: the parent is not
 *            written in place, or cannot be as large; -EAGAIN: it is more than little.
 *            Then c is closed
 */
int live_open(struct live_change *c, struct err *e);

/*
 * Make n changes of different disks.
 *
 * stun_ns    how long their requests had to wait
 * Returns    0; -EAGAIN: FOLD: it took too long, nothing has changed; or -EIO, ...
 */
int live_switch(struct live_change *c, unsigned n, uint64_t *stun_ns, struct err *e);

/*
 * Close what the disk does not need any more: the old layers, or, if there was no switch,
 * the new ones.  After a switch all that layers below the top hold is durable on return:
 * others may open them, which are not locked any more, and write to them.  After an error
 * that is not so.
 */
int live_close(struct live_change *c, struct err *e);
#endif
