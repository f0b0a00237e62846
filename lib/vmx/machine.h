#ifndef VMX_MACHINE_H
#define VMX_MACHINE_H
/*
 * A machine as its files say: the disks of its .vmx and the snapshots of its .vmsd.  A
 * single disk, x.vmdk, is one too: it has a list of its own, x.vmsd, which also says
 * in the key ring1.top which layer is the present one.
 */

#include <stdbool.h>
#include <stddef.h>

#include "vmx/disks.h"
#include "vmx/journal.h"
#include "vmx/live.h"
#include "vmx/vmsd.h"

#define MACHINE_TOP "ring1.top"

struct machine_disk {
	char node[16];		/* "scsi0:0"; of a single disk "disk" */
	char *file;		/* as the .vmx names its present layer */
	char *path;		/* where that is */
	bool independent;	/* takes no part in snapshots */
	struct disk_lock *lock;
	bool live;		/* a running machine has it instead, which is asked */
	char *was;		/* live: the path that it had before a new layer, or NULL */
	unsigned rounds;	/* live: layers made so that others could be merged */
	uint64_t frozen_ns;	/* live: when the last of them was made, */
	uint64_t frozen_bytes;	/* and what was in the one below it */
	uint64_t pace;		/* live: bytes a second that its guest may write; 0: any */
	unsigned steps;		/* how often that was made less */
	uint64_t paced_ns;	/* when the machine was told so last */
	bool stale;		/* live: it has layers open below the top that were merged */
};

enum machine_step {
	MACHINE_CREATE,		/* a file is made */
	MACHINE_REMOVE,		/* a file is removed */
	MACHINE_MERGE,		/* a layer is merged, into another */
	MACHINE_CHANGE,		/* a file is rewritten */
	MACHINE_RECOVER,	/* what was interrupted is undone or completed */
};

struct machine_opts {
	bool write;		/* lock it, and complete or undo what was interrupted */
	bool dry;		/* with write: lock nothing, change nothing, call step() */
	bool outside;		/* files in other folders are allowed */
	const struct machine_live *live;	/* running machines that can be asked; NULL: none */
	void *ptr;
	/* Long work goes on: bytes of a merge into a file; false stops it (-EINTR).  May be NULL. */
	bool (*progress)(void *ptr, const char *into, uint64_t done, uint64_t total);
	/* What is done, or would be: a file, and the one that it is merged into.  May be
	 * NULL. */
	void (*step)(void *ptr, enum machine_step s, const char *file, const char *into);
};

struct machine {
	struct machine_opts o;
	char *path;		/* of the .vmx, or the .vmdk */
	char *vmsd_path, *vmx_path;	/* vmx_path: NULL for a single disk */
	char *folder;
	struct dict *vmx;	/* NULL for a single disk */
	bool vmx_changed;
	struct vmsd *vmsd;
	struct machine_disk *disk;
	size_t n;
	struct journal *journal;
	bool config_kept;	/* snapshots_revert(): the .vmx of the snapshot is not known */
	char *renewed;		/* the layer that has got a new CID last, so that who hangs on
				 * it unknown here notices; or NULL */
	enum journal_phase found;	/* what had been interrupted when it was opened */
	struct disk_lock *lock;
};

/*
 * Open a machine.
 *
 * path       a .vmx, or a .vmdk: the base of the disk or any of its layers
 * Returns    0; -EBUSY: the machine or one of its disks is in use, the message names who
 *            uses it (but for o->live); -ENOTSUP: as live->find(); -EAGAIN: dry, and an interrupted change has to be completed first;
 *            -EINVAL: neither kind of file, or a disk whose snapshots are a machine's;
 *            -EBADMSG: a damaged file; -EPERM: a disk elsewhere
 */
int machine_open(struct machine **m, const char *path, const struct machine_opts *o,
		 struct err *e);
void machine_close(struct machine *m);	/* NULL is fine */

/* The path of a disk that the machine's files name. */
int machine_path(const struct machine *m, const char *file, char **path, struct err *e);

/* The present layer of disk i is another one; written by machine_texts(). */
int machine_set_top(struct machine *m, size_t i, const char *file, struct err *e);

/* The .vmx is to be this one, which is owned on success: disks that only it has are the
 * machine's, too; none is locked.  Written by machine_texts(). */
int machine_set_config(struct machine *m, struct dict *vmx, struct err *e);

/* Add the rewriting of .vmsd and .vmx, as they are in memory now, to the journal. */
int machine_texts(struct machine *m, struct err *e);

/* Tell o.step. */
void machine_say(const struct machine *m, enum machine_step s, const char *file,
		 const char *into);
#endif
