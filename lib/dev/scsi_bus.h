#ifndef DEV_SCSI_BUS_H
#define DEV_SCSI_BUS_H
/* The targets of an adapter, by SCSI ID. */

#include "dev/scsi.h"

#define SCSI_TARGETS		16
#define SCSI_ADAPTER_ID		7	/* the adapter's own */
#define SCSI_LUN_NONE		UINT32_MAX

struct scsi_bus {
	unsigned cdb_max;		/* bytes of a command that the adapter has; 0: any */
	struct scsi_dev *target[SCSI_TARGETS];	/* NULL: none */
	struct scsi_dev *leaving;	/* off the bus, but with requests under way */
};

/* The target of an ID that a guest names, or NULL. */
static inline struct scsi_dev *scsi_bus_target(const struct scsi_bus *b, uint64_t id)
{
	return id < SCSI_TARGETS ? b->target[id] : NULL;
}

/* Attach a target, which is then the bus's.  0, -EBUSY: the ID is taken, -EINVAL: it is
 * the adapter's, or none. */
int scsi_bus_attach(struct scsi_bus *b, unsigned id, struct scsi_dev *d, struct err *e);

/*
 * The target of this ID leaves the bus: to the guest it is gone.  As scsi_retire(); then
 * scsi_bus_forget() is scsi_dissolve().
 *
 * Returns    0 and *d; -ENODEV: there is none
 */
int scsi_bus_detach(struct scsi_bus *b, unsigned id, void (*gone)(void *ptr), void *ptr,
		    struct scsi_dev **d, struct err *e);
struct blk *scsi_bus_forget(struct scsi_bus *b, struct scsi_dev *d);

/* Wait until nothing is under way; as scsi_reset() for all; free all. */
void scsi_bus_drain(struct scsi_bus *b);
void scsi_bus_reset(struct scsi_bus *b, enum scsi_reset how);
void scsi_bus_free(struct scsi_bus *b);

/* The number that 8 bytes of LUN stand for, in the addressing method that small numbers
 * have; SCSI_LUN_NONE: another one.  SAM-5, 4.7. */
uint32_t scsi_lun(const uint8_t lun[8]);

/* A task attribute as messages of SCSI-2 give it: 0x20 simple, 0x21 head, 0x22 ordered. */
static inline enum scsi_attr scsi_tag_attr(uint8_t message)
{
	return message == 0x21 ? SCSI_HEAD_OF_QUEUE :
	       message == 0x22 ? SCSI_ORDERED : SCSI_SIMPLE;
}
#endif
