#ifndef VMX_SNAPSHOT_H
#define VMX_SNAPSHOT_H
/*
 * Snapshots of machines that do not run, and of single disks: all disks at once, the
 * .vmsd in step.
 *
 * A snapshot freezes the present layer of each disk and puts a new one on it.  Reverting
 * drops the present layers and puts new ones on the frozen.  Deleting takes the snapshot
 * from the list; then layers that no one names are merged with their neighbours as soon
 * as only one layer hangs on them (vmx/tree.h), which is all that consolidation is.
 *
 * Each of them may be interrupted anywhere (vmx/journal.h).  What makes the new state is
 * one replacement of the journal; merging changes what no disk reads as, and may be
 * stopped and begun again.  So after a crash, a machine that is opened for writing has
 * the state before or that after, and at most layers that consolidation will merge.
 *
 * machine_open() with write is the caller's; on failure it is to be closed.
 */

#include "vmx/machine.h"

/*
 * Take a snapshot.
 *
 * time_us    of now, microseconds since 1970
 * Returns    0; as vmsd_add(); -ENOTSUP: a raw disk; -EINVAL: a chain is as deep as it
 *            may be, or there is no disk; -ENOSPC, ...
 */
int snapshots_create(struct machine *m, const char *name, const char *description,
		     uint64_t time_us, uint32_t *uid, struct err *e);

/*
 * Go back to a snapshot; what its disks hold now is lost, and the .vmx is what it was then,
 * if the snapshot's .vmsn says so (vmx/vmsn.h; else m->config_kept): disks that came later
 * are no longer the machine's, but stay.
 * Returns    0; as vmsd_find(); -ENOENT also: the machine has no disk now where the
 *            snapshot has one
 */
int snapshots_revert(struct machine *m, const char *name, struct err *e);

/*
 * Delete a snapshot (children: with all that come from it), and consolidate.
 * Returns    0; as vmsd_find(); -EBUSY: a linked clone hangs on it; -EINTR, -ENOSPC, ...
 *            while consolidating: the snapshot is gone then, snapshots_consolidate() goes on
 */
int snapshots_delete(struct machine *m, const char *name, bool children, struct err *e);

/* Merge all that can be.  As snapshots_delete(). */
int snapshots_consolidate(struct machine *m, struct err *e);

/* Is there anything to consolidate?  Reads descriptors only. */
int snapshots_pending(struct machine *m, bool *pending, struct err *e);
#endif
