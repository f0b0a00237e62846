#ifndef VMRUN_DISKS_H
#define VMRUN_DISKS_H
/* What --disk and --cdrom say. */
#include "base/cli.h"
#include "pc/pc.h"

struct disk_args {
	struct pc_disk disk[PC_DISKS];
	bool typed[PC_DISKS];		/* its bus has an adapter of a type that was asked for */
	unsigned n;
};

/*
 * FILE[,controller=ide0:0|scsi0:1][,type=T][,mode=M], in order: what has no place gets
 * the first that is free, disks from scsi0:0 on, CD-ROMs from ide1:0 on.  The arguments
 * are cut into pieces, which must stay.  0, or -EINVAL: *e names the option.
 */
int disks_parse(struct disk_args *a, const struct cli_list *disks,
		const struct cli_list *cdroms, struct err *e);

/* FILE[,controller=...][,mode=M] of a disk to be added to a machine that runs: d->cd is
 * set before. */
int disk_parse(struct pc_disk *d, bool *has_place, char *s, struct err *e);

/*
 * --controller scsi1=pvscsi: an adapter that is there even without disks.  Of types that
 * disks on it name, too: -EINVAL when they differ.
 */
int adapters_parse(struct pc_config *cfg, struct disk_args *a, const struct cli_list *l,
		   struct err *e);

/*
 * --boot: a list of disk, cdrom and places, in the order in which they are tried; menu
 * beside it.  Each device counts where it is named first.
 *
 * cfg        boot, nboot and boot_menu are filled in
 * Returns    0, or -EINVAL
 */
int boot_parse(struct pc_config *cfg, const struct disk_args *a, const char *s, struct err *e);
#endif
