#ifndef VMX_TREE_H
#define VMX_TREE_H
/*
 * The layers that the disks of a machine and of its snapshots consist of, as a forest:
 * who hangs on whom, and who is needed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define TREE_LAYERS 65536u

struct tree_layer {
	char *path;		/* as it is opened */
	char *real;		/* which file that is; descriptors are replaced by renaming,
				 * so that the number of an inode would not do */
	int parent;		/* its number, or -1 */
	unsigned children;	/* that are not gone */
	unsigned refs;		/* disks that name it: of snapshots, and present ones */
	bool foreign;		/* no disk of the machine needs it: someone else's child */
	bool layered;		/* its name says that a snapshot put it on its parent: the same
				 * folder and stem.  Others, such as linked clones, stay. */
	bool gone;		/* tree_remove() */
	uint32_t cid, parent_cid;
};

struct tree {
	struct tree_layer *layer;
	size_t n;
	bool outside;		/* as disk_opts.allow_outside */
};

void tree_init(struct tree *t, bool outside);
void tree_free(struct tree *t);

/*
 * A disk names the layer at path: it and all its parents are in the tree.
 * i          its number; may be NULL
 * Returns    0; -ENOENT, ...: the message names the file; -EBADMSG: a parent's CID is
 *            not the one that its child remembers, a chain has a loop or too many layers
 */
int tree_refer(struct tree *t, const char *path, int *i, struct err *e);

/*
 * Look in a folder for layers that hang on some of the tree without being in it: linked
 * clones and what was left behind.  They are in the tree then, as foreign ones.
 */
int tree_find_foreign(struct tree *t, const char *folder, struct err *e);

/* The layer at path, or -1; and how many layers it consists of, with those below it. */
int tree_find(const struct tree *t, const char *path);
unsigned tree_depth(const struct tree *t, int i);

/* A disk does not name layer i any more. */
void tree_release(struct tree *t, int i);

/* Layer i, on which nothing hangs, goes. */
void tree_remove(struct tree *t, int i);

/* The next layer that is not needed by anything, was layered on its parent, and is not
 * foreign; -1: none is left. */
int tree_dead(const struct tree *t);

/*
 * A layer that no disk names and that has one child, which was layered on it and is not
 * foreign: the two can be merged.  Of several those nearest to the base, so that of a chain no data are moved
 * twice.
 * Returns    whether there is one
 */
bool tree_mergeable(const struct tree *t, int *parent, int *child);

/* Parent and child were merged: down, the parent takes the child's place; up, the child
 * hangs where the parent did. */
void tree_merged(struct tree *t, int parent, int child, bool down);

/* Does a foreign layer hang on layer i? */
bool tree_has_foreign(const struct tree *t, int i);
#endif
