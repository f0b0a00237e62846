#include "pc/bootorder.h"

#include <stdio.h>

#include "dev/piix4.h"
#include "pc/disks.h"

size_t bootorder_build(char buf[BOOTORDER_LEN], const struct pc_config *cfg)
{
	size_t n = 0;

	for (unsigned i = 0; i < cfg->nboot && i < PC_DISKS; i++) {
		const struct pc_disk *d = &cfg->disks[cfg->boot[i]];

		if (d->bus == PC_BUS_IDE)
			n += (size_t)snprintf(buf + n, BOOTORDER_LEN - n,
					      "/pci@i0cf8/ide@%x,1/drive@%x/disk@%x\n",
					      PIIX4_SLOT, d->channel, d->unit);
		else
			n += (size_t)snprintf(buf + n, BOOTORDER_LEN - n,
					      "/pci@i0cf8/scsi@%x/channel@0/disk@%x,0\n",
					      SCSI_SLOT + d->channel, d->unit);
	}
	return n + (size_t)snprintf(buf + n, BOOTORDER_LEN - n, "HALT") + 1;
}
