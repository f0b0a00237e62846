#include "pc/disks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dev/blkdisk.h"
#include "pc/machine.h"

/* Where what is written goes; NULL: to the disk itself. */
static int overlay_path(const struct pc_disk *d, char **path, struct err *e)
{
	int n = 0;

	*path = NULL;
	if (d->mode == PC_DISK_UNDOABLE)
		n = asprintf(path, "%s.REDO", d->path);
	else if (d->mode == PC_DISK_NONPERSISTENT)
		n = asprintf(path, "%s.REDO-%d", d->path, (int)getpid());
	return n < 0 ? err_set(e, -ENOMEM, "out of memory") : 0;
}

int disks_open_one(struct pc *pc, const struct pc_disk *d, bool outside, struct blk **b,
		   struct err *e)
{
	struct blkdisk_opts o = { .readonly = d->cd, .raw = d->cd,
				  .allow_outside = outside, .threads = pc->cfg.disk_threads,
				  .warn = pc->cfg.warn,
				  .forget = d->mode == PC_DISK_NONPERSISTENT };
	char *overlay;
	int rc;

	*b = NULL;
	if (d->cd && !d->path)
		return 0;
	rc = overlay_path(d, &overlay, e);
	if (rc)
		return rc;
	o.overlay = overlay;
	rc = blkdisk_open(b, &pc->vm, d->path, &o, e);
	free(overlay);
	return rc;
}

struct disk *disks_layers(const struct pc_disk *d, const struct blk *b)
{
	return !b || d->cd || blk_command_max(b) ? NULL : blkdisk_disk(b);
}

int disks_open(struct pc *pc, struct err *e)
{
	for (unsigned i = 0; i < pc->cfg.ndisks; i++) {
		int rc = disks_open_one(pc, &pc->cfg.disks[i], pc->cfg.allow_outside, &pc->blk[i],
					e);

		pc->disk[i] = disks_layers(&pc->cfg.disks[i], pc->blk[i]);
		if (rc == -ENOSPC)	/* of the host's: pc_load() means the guest's memory */
			rc = -EIO;
		if (rc)
			return err_in(e, rc, pc->cfg.disks[i].cd ? "--cdrom" : "--disk");
	}
	return 0;
}

struct blk *disks_take(struct pc *pc, unsigned i)
{
	struct blk *b = pc->blk[i];

	pc->blk[i] = NULL;
	return b;
}

void disks_close(struct pc *pc)
{
	for (unsigned i = 0; i < pc->cfg.ndisks; i++)
		blk_free(disks_take(pc, i));
}
