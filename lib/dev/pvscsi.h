#ifndef DEV_PVSCSI_H
#define DEV_PVSCSI_H
/*
 * VMware's paravirtual SCSI adapter (15ad:07c0): rings of requests and completions in
 * guest memory, of messages about targets that come and go.
 * Spec: what Linux's drivers/scsi/vmw_pvscsi.h says of registers and rings.
 */

#include "dev/pci.h"
#include "dev/scsi_bus.h"

struct pvscsi;

struct pvscsi *pvscsi_new(struct vm *vm, struct pci *pci, unsigned devfn, struct err *e);
void pvscsi_reset(struct pvscsi *p);
void pvscsi_free(struct pvscsi *p);

/* Its targets. */
struct scsi_bus *pvscsi_bus(struct pvscsi *p);

/* A target is there, is gone, while the machine runs: tell the driver, if it listens. */
void pvscsi_changed(struct pvscsi *p, unsigned id, bool there);
#endif
