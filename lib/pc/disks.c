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

static int open_one(struct pc *pc, unsigned i, struct err *e)
{
	const struct pc_disk *d = &pc->cfg.disks[i];
	struct blkdisk_opts o = { .readonly = d->cd, .raw = d->cd,
				  .allow_outside = pc->cfg.allow_outside,
				  .forget = d->mode == PC_DISK_NONPERSISTENT };
	char *overlay;
	int rc;

	if (d->cd && !d->path)
		return 0;
	rc = overlay_path(d, &overlay, e);
	if (rc)
		return rc;
	o.overlay = overlay;
	rc = blkdisk_open(&pc->blk[i], &pc->vm, d->path, &o, e);
	free(overlay);
	if (!rc && !d->cd)
		pc->disk[i] = blkdisk_disk(pc->blk[i]);
	return rc;
}

int disks_open(struct pc *pc, struct err *e)
{
	for (unsigned i = 0; i < pc->cfg.ndisks; i++) {
		int rc = open_one(pc, i, e);

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
