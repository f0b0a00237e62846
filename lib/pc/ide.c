/* The IDE controller with the drives that the machine is given. */
#include <errno.h>

#include "dev/ide.h"
#include "pc/disks.h"
#include "pc/machine.h"

static int attach_cd(struct pc *pc, struct ide *ide, unsigned i, struct err *e)
{
	const struct pc_disk *d = &pc->cfg.disks[i];
	struct blk *b = disks_take(pc, i);
	struct scsi_dev *cd = scsi_cd_new(&pc->vm, b, &(struct scsi_params){ .keep_sense = true }, e);
	int rc;

	if (!cd) {
		blk_free(b);
		return -ENOMEM;
	}
	rc = ide_attach_cd(ide, d->channel, d->unit, cd, e);
	if (rc)
		scsi_free(cd);
	return rc;
}

static int attach_disk(struct pc *pc, struct ide *ide, unsigned i, struct err *e)
{
	const struct pc_disk *d = &pc->cfg.disks[i];
	struct blk *b = disks_take(pc, i);
	int rc;

	if (blk_command_max(b))
		rc = err_set(e, -ENOTSUP, "%s: is a physical RDM, which takes SCSI commands: "
			     "an IDE controller sends none", d->path);
	else
		rc = ide_attach_disk(ide, d->channel, d->unit, b, e);
	if (rc)
		blk_free(b);
	return rc;
}

struct ide *ide_make(struct pc *pc, struct err *e)
{
	struct ide *ide = ide_new(&pc->vm, pc->dev[PC_DEV_PCI], e);
	int rc = 0;

	for (unsigned i = 0; ide && i < pc->cfg.ndisks && !rc; i++) {
		const struct pc_disk *d = &pc->cfg.disks[i];

		if (d->bus == PC_BUS_IDE)
			rc = d->cd ? attach_cd(pc, ide, i, e) : attach_disk(pc, ide, i, e);
	}
	if (rc) {
		ide_free(ide);
		return NULL;
	}
	return ide;
}
