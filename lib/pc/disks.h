#ifndef PC_DISKS_H
#define PC_DISKS_H
/* The disks and CD-ROMs that a machine is given, and the adapters that they are at. */

#include "base/err.h"
#include "dev/blk.h"

#define SCSI_SLOT 16	/* of the first SCSI adapter; the others follow */

struct pc;

/* Open all of pc->cfg.disks: pc->blk[i] is disk i's (NULL: a drive without a medium).
 * The message names the file. */
int disks_open(struct pc *pc, struct err *e);

/* Take the disk for its adapter, who then frees it. */
struct blk *disks_take(struct pc *pc, unsigned i);

/* Close what no adapter has taken. */
void disks_close(struct pc *pc);

/* ide.c, a device: the IDE controller with its drives; dev/ide.h has the rest. */
struct ide;
struct ide *ide_make(struct pc *pc, struct err *e);

/* scsi.c, a device: the adapters of SCSI buses that have targets. */
struct scsi_hosts;
struct scsi_hosts *scsi_hosts_new(struct pc *pc, struct err *e);
void scsi_hosts_reset(struct scsi_hosts *h);
void scsi_hosts_free(struct scsi_hosts *h);
#endif
