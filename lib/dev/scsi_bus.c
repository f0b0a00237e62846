#include "dev/scsi_bus.h"
#include "dev/scsi_impl.h"

#include <errno.h>
#include <stddef.h>

void scsi_limit_cdb(struct scsi_dev *d, unsigned max)
{
	d->cdb_max = max;
}

int scsi_bus_attach(struct scsi_bus *b, unsigned id, struct scsi_dev *d, struct err *e)
{
	if (id >= SCSI_TARGETS)
		return err_set(e, -EINVAL, "SCSI IDs are 0 to %u", SCSI_TARGETS - 1);
	if (id == SCSI_ADAPTER_ID)
		return err_set(e, -EINVAL, "SCSI ID %u is the adapter's own", id);
	if (b->target[id])
		return err_set(e, -EBUSY, "SCSI ID %u is taken", id);
	b->target[id] = d;
	scsi_limit_cdb(d, b->cdb_max);
	return 0;
}

int scsi_bus_detach(struct scsi_bus *b, unsigned id, void (*gone)(void *ptr), void *ptr,
		    struct scsi_dev **d, struct err *e)
{
	struct scsi_dev *t = scsi_bus_target(b, id);

	if (!t)
		return err_set(e, -ENODEV, "SCSI ID %u: there is no target", id);
	b->target[id] = NULL;
	t->next_leaving = b->leaving;
	b->leaving = t;
	*d = t;
	scsi_retire(t, gone, ptr);
	return 0;
}

struct blk *scsi_bus_forget(struct scsi_bus *b, struct scsi_dev *d)
{
	struct scsi_dev **p = &b->leaving;

	while (*p != d)
		p = &(*p)->next_leaving;
	*p = d->next_leaving;
	return scsi_dissolve(d);
}

void scsi_bus_drain(struct scsi_bus *b)
{
	for (struct scsi_dev *d = b->leaving; d; d = d->next_leaving)
		scsi_drain(d);
	for (unsigned i = 0; i < SCSI_TARGETS; i++)
		if (b->target[i])
			scsi_drain(b->target[i]);
}

void scsi_bus_reset(struct scsi_bus *b, enum scsi_reset how)
{
	for (unsigned i = 0; i < SCSI_TARGETS; i++)
		if (b->target[i])
			scsi_reset(b->target[i], how);
}

void scsi_bus_free(struct scsi_bus *b)
{
	for (unsigned i = 0; i < SCSI_TARGETS; i++) {
		scsi_free(b->target[i]);
		b->target[i] = NULL;
	}
}

uint32_t scsi_lun(const uint8_t lun[8])
{
	if (lun[0])
		return SCSI_LUN_NONE;
	for (unsigned i = 2; i < 8; i++)
		if (lun[i])
			return SCSI_LUN_NONE;
	return lun[1];
}
