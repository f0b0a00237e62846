#ifndef DEV_BUSLOGIC_H
#define DEV_BUSLOGIC_H
/*
 * The BusLogic BT-958 MultiMaster (104b:1040): commands go byte by byte through a port,
 * SCSI requests through mailboxes in guest memory that point to command control blocks.
 * Of both forms of mailboxes, those of 32-bit addresses are here.
 * Spec: BusLogic MultiMaster Technical Reference (3000763), as far as Linux's
 * drivers/scsi/BusLogic.h repeats it.
 */

#include "dev/pci.h"
#include "dev/scsi_bus.h"

struct buslogic;

struct buslogic *buslogic_new(struct vm *vm, struct pci *pci, unsigned devfn, struct err *e);
void buslogic_reset(struct buslogic *b);
void buslogic_free(struct buslogic *b);
struct scsi_bus *buslogic_bus(struct buslogic *b);
/* A target is there, is gone, while the machine runs; the driver is not told. */
void buslogic_changed(struct buslogic *b, unsigned id, bool there);
#endif
