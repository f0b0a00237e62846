#ifndef DEV_IDE_H
#define DEV_IDE_H
/*
 * The IDE controller of the PIIX4, function 1 at 00:07 (8086:7111): two channels at the
 * ports and interrupts of the PC/AT, each with up to two drives, and a bus master.
 * Specs: Intel 82371AB data sheet (290562), chapter 5; Programming Interface for Bus
 * Master IDE Controller 1.0; ATA/ATAPI-7 (T13 1532D) volume 1 and 2.
 *
 * All calls need vm->lock once the machine runs.
 */

#include "dev/blk.h"
#include "dev/pci.h"
#include "dev/scsi.h"

#define IDE_CHANNELS	2
#define IDE_UNITS	2	/* a channel: master and slave */

struct ide;

struct ide *ide_new(struct vm *vm, struct pci *pci, struct err *e);
void ide_reset(struct ide *d);
/* Ends all requests, and frees the drives' disks and targets. */
void ide_free(struct ide *d);

/*
 * Put a disk, or a CD-ROM drive (which is made with keep_sense), at ideCHANNEL:UNIT,
 * before the machine runs; it is the controller's then.
 * Returns    0, -EBUSY: there is a drive
 */
int ide_attach_disk(struct ide *d, unsigned channel, unsigned unit, struct blk *b,
		    struct err *e);
int ide_attach_cd(struct ide *d, unsigned channel, unsigned unit, struct scsi_dev *cd,
		  struct err *e);
#endif
