#include "pc/disks.h"

#include <errno.h>

#include "dev/blkdisk.h"
#include "pc/machine.h"

static int open_one(struct pc *pc, unsigned i, struct err *e)
{
	const struct pc_disk *d = &pc->cfg.disks[i];
	struct blkdisk_opts o = { .readonly = d->cd, .raw = d->cd };

	if (d->cd && !d->path)
		return 0;
	if (d->mode == PC_DISK_NONPERSISTENT || d->mode == PC_DISK_UNDOABLE)
		return err_set(e, -ENOTSUP, "%s: disks that forget or can be undone are not there "
			       "yet", d->path);
	return blkdisk_open(&pc->blk[i], &pc->vm, d->path, &o, e);
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
