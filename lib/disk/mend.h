#ifndef DISK_MEND_H
#define DISK_MEND_H
/*
 * The chain of a disk as its descriptors tell it, whatever is wrong with it, and its
 * repair: ids that do not fit, descriptors that were lost.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum chain_state {
	CHAIN_OK,
	CHAIN_CID,		/* its parentCID is not the CID of its parent */
	CHAIN_MISSING,		/* there is no such file */
	CHAIN_DAMAGED,		/* it cannot be opened */
	CHAIN_LOOP,		/* it is its own parent, by way of others */
	CHAIN_STATES
};
extern const char *const chain_state_name[CHAIN_STATES];	/* "ok", "cid-mismatch", ... */

struct chain_link {
	char *path;
	enum chain_state state;
	char *why;		/* a sentence, unless it is CHAIN_OK */
	bool described;		/* its descriptor could be read: the fields below are set */
	bool raw;		/* a raw disk, which has no descriptor */
	uint32_t cid, parent_cid;
	char *create_type, *hint;
	uint64_t size;		/* bytes */
	bool unlinked;		/* it does not say where its parent is, or not in its folder */
};

struct chain {
	struct chain_link *link;	/* the top first */
	size_t n;
};

/*
 * Read the chain below path.  What is wrong with a layer is in its state; the chain ends
 * where its parent is not known.
 * Returns    0, -ENOMEM; -EBADMSG: too many layers
 */
int chain_read(struct chain *c, const char *path, bool outside, struct err *e);
void chain_free(struct chain *c);

struct chain_mend {
	bool outside;		/* as disk_opts.allow_outside */
	bool dry;		/* call mended() for what is found first, change nothing */
	const char *parent;	/* of the lowest layer that is lost, or that does not find its own;
				 * NULL: it is guessed */
	void *ptr;
	void (*mended)(void *ptr, const char *path, const char *what);	/* may be NULL */
};

/*
 * Mend the chain of the disk at path.
 *
 * An id that does not fit becomes the parent's: right where the parent was not
 * written to, which no one can tell.  A descriptor that is lost, or unreadable where
 * there are extents beside it, is made from those: NAME-flat, -fNNN, -sNNN, -delta and
 * -sesparse.vmdk; the unreadable one is kept as NAME.vmdk.bad.  The parent of a delta is
 * the one that its header names, else the next lower number that is there, else the base.
 *
 * A parent that is not where its child says, nor can be made, is one that was moved or
 * renamed: it is the disk beside the child that has the CID that the child remembers.
 *
 * Returns    0: nothing is wrong any more (or dry); -EBADMSG: something that cannot be
 *            mended; -EBUSY: in use
 */
int chain_mend(const char *path, const struct chain_mend *o, struct err *e);
#endif
