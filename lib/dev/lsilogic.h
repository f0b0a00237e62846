#ifndef DEV_LSILOGIC_H
#define DEV_LSILOGIC_H
/* The LSI Logic 53C1030, a parallel SCSI adapter (1000:0030), and the SAS1068
 * (1000:0054): both are a struct mpt. */

#include "dev/mpt.h"

struct mpt *lsilogic_new(struct vm *vm, struct pci *pci, unsigned devfn, struct err *e);
struct mpt *lsisas_new(struct vm *vm, struct pci *pci, unsigned devfn, struct err *e);
#endif
