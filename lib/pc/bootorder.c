#include "pc/bootorder.h"

#include <stdio.h>

#include "dev/piix4.h"
#include "pc/disks.h"

/* A BusLogic's disks are those of an option ROM, which lists them by their targets. */
static unsigned rom_instance(const struct pc_config *cfg, const struct pc_disk *d)
{
	unsigned n = 0;

	for (unsigned i = 0; i < cfg->ndisks; i++) {
		const struct pc_disk *o = &cfg->disks[i];

		n += o->bus == PC_BUS_SCSI && o->channel == d->channel && !o->cd &&
			o->unit < d->unit;
	}
	return n;
}

static size_t rom_path(char *buf, size_t len, const struct pc_config *cfg,
		       const struct pc_disk *d)
{
	unsigned slot = SCSI_SLOT + d->channel, n = rom_instance(cfg, d);

	if (d->cd)
		return 0;
	if (!n)
		return (size_t)snprintf(buf, len, "/pci@i0cf8/scsi@%x\n", slot);
	return (size_t)snprintf(buf, len, "/pci@i0cf8/scsi@%x:rom%x\n", slot, n);
}

size_t bootorder_build(char buf[BOOTORDER_LEN], const struct pc_config *cfg)
{
	size_t n = 0;

	for (unsigned i = 0; i < cfg->nboot && i < PC_DISKS; i++) {
		const struct pc_disk *d = &cfg->disks[cfg->boot[i]];

		if (d->bus == PC_BUS_NONE)
			continue;	/* it was removed */
		if (d->bus == PC_BUS_IDE)
			n += (size_t)snprintf(buf + n, BOOTORDER_LEN - n,
					      "/pci@i0cf8/ide@%x,1/drive@%x/disk@%x\n",
					      PIIX4_SLOT, d->channel, d->unit);
		else if (d->scsi == PC_SCSI_BUSLOGIC)
			n += rom_path(buf + n, BOOTORDER_LEN - n, cfg, d);
		else
			n += (size_t)snprintf(buf + n, BOOTORDER_LEN - n,
					      "/pci@i0cf8/scsi@%x/channel@0/disk@%x,0\n",
					      SCSI_SLOT + d->channel, d->unit);
	}
	return n + (size_t)snprintf(buf + n, BOOTORDER_LEN - n, "HALT") + 1;
}
