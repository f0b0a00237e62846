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

/* One disk, on any thread; outside: its descriptors may name any file. */
struct pc_disk;
int disks_open_one(struct pc *pc, const struct pc_disk *d, bool outside, struct blk **b,
		   struct err *e);

/* The disk behind b whose layers may be changed; NULL: none, a CD-ROM, a physical RDM. */
struct disk;
struct disk *disks_layers(const struct pc_disk *d, const struct blk *b);

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

/*
 * While the machine runs; with vm->lock held, on the thread of vCPU 0 where it says "told".
 *
 * scsi_hosts_find    the first free place on the adapters there are; -ENOSPC: none
 * scsi_hosts_check   is there an adapter for d's place, and is that free?
 * scsi_hosts_settled from when on d may come, or go, of clock_ns()
 * scsi_hosts_attach  b (then the target's) at d's place; the driver is told
 * scsi_hosts_detach  scsi_bus_detach() of d's place; the driver is told
 * scsi_hosts_forget  scsi_bus_forget() of what was there
 */
struct scsi_dev;
int scsi_hosts_find(struct scsi_hosts *h, struct pc_disk *d, struct err *e);
int scsi_hosts_check(struct scsi_hosts *h, const struct pc_disk *d, struct err *e);
uint64_t scsi_hosts_settled(const struct scsi_hosts *h, const struct pc_disk *d, bool goes);
int scsi_hosts_attach(struct pc *pc, const struct pc_disk *d, struct blk *b, struct err *e);
int scsi_hosts_detach(struct pc *pc, const struct pc_disk *d, void (*gone)(void *ptr), void *ptr,
		      struct scsi_dev **t, struct err *e);
struct blk *scsi_hosts_forget(struct pc *pc, const struct pc_disk *d, struct scsi_dev *t);
#endif
