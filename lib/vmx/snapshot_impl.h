#ifndef VMX_SNAPSHOT_IMPL_H
#define VMX_SNAPSHOT_IMPL_H
/* What the files of snapshot.h share. */

#include "vmx/snapshot.h"
#include "vmx/tree.h"

/* The layers of all disks of the machine and its snapshots. */
int snapshots_tree(const struct machine *m, struct tree *t, struct err *e);

/* The name that the machine's files have for path, a neighbour of the disk that they
 * call file.  NULL: no memory. */
char *snapshots_name(const char *file, const char *path);

/* Make a new layer on the disk that the machine's files call file; it is the present one
 * of disk i then. */
int snapshots_layer(struct machine *m, size_t i, const char *file, struct err *e);

/* Add the removal of a layer's files to the journal.  -EBUSY: as snapshots_refuse_held(). */
int snapshots_unlink(struct machine *m, const char *path, struct err *e);

/* -EBUSY: someone reads the layer at path, below a disk of his own perhaps; but for the
 * running machine, which is told. */
int snapshots_refuse_held(const struct machine *m, const char *path, struct err *e);

/* A failure before the commit: away with what was made; the first error is the one. */
int snapshots_undo(struct machine *m, int rc);

/*
 * Commit what is in the journal, together with the change of the present layers of disks
 * that a running machine has to those that snapshots_layer() made.
 *
 * tell       machine_live.push or .revert
 */
typedef int live_fn(void *ptr, const struct live_pair *p, unsigned n, struct err *e);
int snapshots_switch(struct machine *m, live_fn *tell, struct err *e);

/*
 * Disk i, of a running machine, whose present layer is c: it goes into p, its parent.
 * While it holds much that is frozen under a new one, and merged as any other: then t is
 * another tree, and *merged false.
 * Returns    0; -EAGAIN: the guest writes as fast as that; ...
 */
int snapshots_fold(struct machine *m, struct tree *t, int p, int c, size_t i, bool *merged,
		   struct err *e);
/* While layers are merged: the guests whose writes have to wait are to go on so; and at the
 * end that they are not. */
void snapshots_keep_pace(struct machine *m);
void snapshots_end_pace(struct machine *m);
/* The disk of a running machine whose present layer is c of the tree, else m->n. */
size_t snapshots_live(const struct machine *m, const struct tree *t, int c);

/* merge.c: merge all that can be; and the pieces of it that snapshots_fold() needs. */
int snapshots_merge(struct machine *m, struct tree *t, struct err *e);
/* -EBUSY: someone else reads p or c, or any layer that would be merged
 * (snapshots_refuse_held()). */
int merge_refuse_held(const struct machine *m, const struct tree *t, int p, int c, struct err *e);
int merges_refuse_held(const struct machine *m, const struct tree *t, struct err *e);
int merge_new_id(struct machine *m, struct tree *t, int p, int c, struct err *e);
int merge_rename(struct machine *m, const struct tree *t, int c, int p, struct err *e);
#endif
