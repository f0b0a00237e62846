#include "pc/place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const place_adapters[] = {
	[PC_SCSI_LSILOGIC] = "lsilogic", [PC_SCSI_BUSLOGIC] = "buslogic",
	[PC_SCSI_LSISAS1068] = "lsisas1068", [PC_SCSI_PVSCSI] = "pvscsi", NULL };
const char *const place_modes[] = {
	[PC_DISK_PERSISTENT] = "persistent",
	[PC_DISK_INDEPENDENT] = "independent-persistent",
	[PC_DISK_NONPERSISTENT] = "independent-nonpersistent",
	[PC_DISK_UNDOABLE] = "undoable", NULL };

int place_parse(struct pc_disk *d, const char *s, struct err *e)
{
	bool scsi = !strncmp(s, "scsi", 4), ide = !strncmp(s, "ide", 3);
	unsigned channels = scsi ? PC_SCSI_BUSES : 2, units = scsi ? 16 : 2;
	const char *p = s + (scsi ? 4 : 3);
	unsigned long channel, unit;
	char *end;

	if (!scsi && !ide)
		return err_set(e, -EINVAL, "%.40s: not one of ide0:0 and scsi0:0", s);
	if (*p < '0' || *p > '9' || (channel = strtoul(p, &end, 10), *end != ':') ||
	    end[1] < '0' || end[1] > '9' || (unit = strtoul(end + 1, &end, 10), *end))
		return err_set(e, -EINVAL, "%.40s: not a place like %s0:1", s,
			       scsi ? "scsi" : "ide");
	if (channel >= channels || unit >= units)
		return err_set(e, -EINVAL, "%.40s: %s0:0 is the first, %s%u:%u the last", s,
			       scsi ? "scsi" : "ide", scsi ? "scsi" : "ide", channels - 1,
			       units - 1);
	if (scsi && unit == 7)
		return err_set(e, -EINVAL, "%.40s: 7 is the adapter's own", s);
	d->bus = scsi ? PC_BUS_SCSI : PC_BUS_IDE;
	d->channel = (unsigned)channel;
	d->unit = (unsigned)unit;
	return 0;
}

void place_text(char buf[static PLACE_LEN], const struct pc_disk *d)
{
	snprintf(buf, PLACE_LEN, "%s%u:%u", d->bus == PC_BUS_IDE ? "ide" : "scsi", d->channel % 100,
		 d->unit % 100);
}
