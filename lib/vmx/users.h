#ifndef VMX_USERS_H
#define VMX_USERS_H
/* The machines of a disk's folder, and the lists of snapshots there, that have the disk. */

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum vmx_use {
	VMX_DISK,		/* a .vmx has it as the present layer of a disk */
	VMX_TOP,		/* so has a single disk's own list */
	VMX_SNAPSHOT,		/* a .vmsd has it in a snapshot */
};

struct vmx_user {
	enum vmx_use use;
	char *file;		/* the path of the .vmx or .vmsd */
	char *name;		/* the node, "scsi0:0", or the snapshot; of VMX_TOP "" */
	bool snapshots;		/* the disk has snapshots there */
	struct disk_lock *lock;
};

struct vmx_users {
	struct vmx_user *user;
	size_t n;
};

/*
 * Look through the folder that the disk lies in.  Files that cannot be read name nothing.
 * Returns    0, -ENOMEM; as opendir(3)
 */
int vmx_users_of(struct vmx_users *u, const char *disk, struct err *e);
void vmx_users_free(struct vmx_users *u);	/* all 0 is fine */

/*
 * A disk on which others hang: the present layer above it, by the one list or machine of its
 * folder that has such.  The caller frees it; NULL: none, or several.
 */
char *vmx_present_above(const char *disk);

enum vmx_refuse {
	VMX_REFUSE_FROZEN = 1,	/* it belongs to a snapshot */
	VMX_REFUSE_TOP = 2,	/* it is the present state of a disk with snapshots */
	VMX_REFUSE_DISK = 4,	/* it is a machine's */
};

/* -EEXIST: someone has it in one of the ways that refuse names; then says what is to be
 * done about that. */
int vmx_users_refuse(const struct vmx_users *u, const char *disk, unsigned refuse,
		     const char *then, struct err *e);

/* No machine that has it runs, nor is one changed by others, until vmx_users_free(). */
int vmx_users_lock(struct vmx_users *u, struct err *e);

/* The disk is called to now (NULL: it is gone): each .vmx is told the new name, and a single
 * disk's list without snapshots, which says nothing any more, is removed. */
int vmx_users_tell(const struct vmx_users *u, const char *to, struct err *e);
#endif
