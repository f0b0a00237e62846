#ifndef VMX_DISKS_H
#define VMX_DISKS_H
/* The virtual disks of a machine, as its .vmx names them. */

#include "vmx/dict.h"

struct vmx_disk {
	char node[16];		/* "ide0:0", "scsi0:1", "sata0:2", "nvme0:0" */
	char *file;		/* as it stands there */
	bool independent;	/* takes no part in snapshots */
};

/*
 * The disks that are present, on adapters that are: by node.  CD-ROMs, devices of the
 * host and disks without a file are left out.
 *
 * disks      an array that vmx_disks_free() takes back
 * Returns    0, -ENOMEM
 */
int vmx_disks(struct vmx_disk **disks, size_t *n, const struct dict *vmx, struct err *e);
void vmx_disks_free(struct vmx_disk *disks, size_t n);

/* Another file for the disk at a node. */
int vmx_disk_set(struct dict *vmx, const char *node, const char *file, struct err *e);
#endif
