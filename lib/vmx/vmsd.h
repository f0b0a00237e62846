#ifndef VMX_VMSD_H
#define VMX_VMSD_H
/*
 * The list of a machine's snapshots, its .vmsd file: a tree of snapshots, each with the
 * disks as they were, and the snapshot that the machine's present state comes from.
 * Keys that are not known here are kept.
 *
 * Keys (VMware's products, observed): snapshot.lastUID, .current, .numSnapshots,
 * .mruN.uid; snapshotN.uid, .filename, .parent, .displayName, .description,
 * .createTimeHigh and .createTimeLow (microseconds since 1970, as two signed 32-bit
 * numbers), .numDisks, .diskM.fileName, .diskM.node, .numClones.
 */

#include <stddef.h>
#include <stdint.h>

#include "vmx/dict.h"

#define VMSD_SNAPS	4096u	/* snapshots of one machine */
#define VMSD_DISKS	256u	/* disks of one snapshot */
#define VMSD_NAME	1024u	/* bytes of a name */

struct vmsd_disk {
	char *file;		/* the frozen layer, as the .vmx names it */
	char *node;		/* "scsi0:0" */
};

struct vmsd_snap {
	uint32_t uid;		/* never 0 */
	uint32_t parent;	/* 0: none */
	int up;			/* the parent's place in the list, -1: none */
	char *file;		/* the .vmsn, or "" */
	char *name, *description;
	uint64_t time_us;	/* since 1970 */
	uint32_t clones;	/* linked clones that hang on it */
	struct vmsd_disk *disk;
	unsigned ndisks;
};

struct vmsd {
	struct dict *dict;
	uint32_t last_uid;
	uint32_t current;	/* the uid that the present state comes from; 0: none */
	struct vmsd_snap *snap;
	unsigned n;
};

/*
 * Read the list in d, which the vmsd owns on success.
 * Returns    0; -EBADMSG: a number that is none or too large, a uid that stands twice,
 *            a parent or current snapshot that is not there, parents in a circle, a
 *            disk without a file; the message names file and line
 */
int vmsd_parse(struct vmsd **v, struct dict *d, struct err *e);

/* Read a file; one that is not there is an empty list. */
int vmsd_load(struct vmsd **v, const char *path, struct err *e);
void vmsd_free(struct vmsd *v);		/* NULL is fine */

/* The snapshot with a uid, or NULL. */
const struct vmsd_snap *vmsd_by_uid(const struct vmsd *v, uint32_t uid);

/*
 * Find a snapshot by its path from the root ("a/b"), else by its name, else as "#UID".
 * Returns    0, -ENOENT, -EINVAL: several have that name and no one that path
 */
int vmsd_find(const struct vmsd *v, const char *name, const struct vmsd_snap **s,
	      struct err *e);

/* "a/b" for a snapshot; the caller frees it.  NULL: no memory. */
char *vmsd_path(const struct vmsd *v, const struct vmsd_snap *s);

/* Is snapshot s, or one that it comes from, the snapshot with this uid? */
bool vmsd_descends(const struct vmsd *v, const struct vmsd_snap *s, uint32_t uid);

/*
 * Changes.  Pointers into the list do not outlive them.
 *
 * vmsd_add   a snapshot of the present state, which comes from it from then on; only
 *            name, description, file, time_us and the disks of s are looked at.
 *            -EEXIST: its parent has a child of that name; -EINVAL: a name that is
 *            empty, too long or has a '/' or control bytes in it; -EOVERFLOW
 * vmsd_remove  its children are its parent's then, and so is the present state
 */
int vmsd_add(struct vmsd *v, const struct vmsd_snap *s, uint32_t *uid, struct err *e);
int vmsd_remove(struct vmsd *v, uint32_t uid, struct err *e);
int vmsd_set_current(struct vmsd *v, uint32_t uid, struct err *e);
int vmsd_set_disk(struct vmsd *v, uint32_t uid, unsigned disk, const char *file,
		  struct err *e);
#endif
