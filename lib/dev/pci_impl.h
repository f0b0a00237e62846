#ifndef DEV_PCI_IMPL_H
#define DEV_PCI_IMPL_H
/* What pci.c and pci_msi.c share. */

#include "dev/pci.h"

/* Is a range of the BAR the MSI-X table or its pending bits?  Then the access was
 * done here. */
bool pci_msix_read(struct pci_bar *b, uint64_t off, unsigned size, uint64_t *val);
bool pci_msix_write(struct pci_bar *b, uint64_t off, uint64_t val, unsigned size);

/* The capabilities may have been written; back to power-on. */
void pci_msi_changed(struct pci_fn *f);
void pci_msi_reset(struct pci_fn *f);
void pci_msi_free(struct pci_fn *f);

/* Set the pin to what it ought to show. */
void pci_pin_update(struct pci_fn *f);
/* Send to vm->irq. */
void pci_message(struct pci_fn *f, uint64_t addr, uint32_t data);
#endif
