#ifndef PC_HOTPLUG_H
#define PC_HOTPLUG_H
/*
 * Disks that come and go while the machine runs: verbs of the control socket.
 *
 *	disk-add	{"path":"/a/x.vmdk","place":"scsi0:2","mode":"persistent",
 *			 "cdrom":false,"allow_outside":false}	all but path may be missing
 *			-> {"place":"scsi0:2"}
 *	disk-remove	{"place":"scsi0:2"} or {"path":"/a/x.vmdk"}
 *			-> {"place":"scsi0:2","path":"/a/x.vmdk"} when its file is closed
 *
 * Both are jobs (pc/control.h).  -ENOTSUP: IDE drives stay where they are; -ENODEV: no such
 * adapter; -EBUSY: the place is taken, or the disk locked; -ENOENT: no such disk, or file.
 */

#include "wire/ctl.h"

int hotplug_add(void *pc, struct ctl_request *r, struct json *out, struct err *e);
int hotplug_remove(void *pc, struct ctl_request *r, struct json *out, struct err *e);
#endif
