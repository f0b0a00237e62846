#ifndef DEV_PCI_H
#define DEV_PCI_H
/*
 * PCI bus 0: configuration mechanism #1 (ports 0xcf8-0xcff) and type 0
 * configuration spaces.
 * Spec: PCI Local Bus 3.0, chapters 3.2.2.3.2 and 6.
 */

#include "base/err.h"
#include "vmm/vm.h"

#define PCI_CFG_LEN	256
#define PCI_DEVFN(dev, fn) ((dev) << 3 | (fn))

enum pci_reg {
	PCI_VENDOR = 0x00, PCI_DEVICE = 0x02, PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06, PCI_REVISION = 0x08, PCI_CLASS = 0x09,
	PCI_HEADER_TYPE = 0x0e, PCI_BAR0 = 0x10, PCI_SUBVENDOR = 0x2c,
	PCI_SUBDEVICE = 0x2e, PCI_IRQ_LINE = 0x3c, PCI_IRQ_PIN = 0x3d,
};

#define PCI_VENDOR_INTEL	0x8086
#define PCI_VENDOR_VMWARE	0x15ad

struct pci;

/* A function on the bus.  Filled in by its owner, who outlives the bus. */
struct pci_fn {
	uint8_t cfg[PCI_CFG_LEN];	/* as the guest reads it */
	uint8_t init[PCI_CFG_LEN];	/* after reset */
	uint8_t wmask[PCI_CFG_LEN];	/* bits that the guest can write */
	uint8_t w1c[PCI_CFG_LEN];	/* bits cleared by writing 1 */
	/* NULL, or called after a write, once a write: offset and length */
	void (*written)(void *ptr, unsigned off, unsigned len);
	void *ptr;
};

/* init: identification; class is base, sub, interface from high to low. */
void pci_fn_ident(struct pci_fn *f, uint16_t vendor, uint16_t device,
		  uint32_t class_code, uint8_t revision);

struct pci *pci_new(struct vm *vm, struct err *e);
void pci_reset(struct pci *p);
void pci_free(struct pci *p);

/* 0, or -EBUSY.  Function 0 tells of others on the same device by itself. */
int pci_add(struct pci *p, unsigned devfn, struct pci_fn *f, struct err *e);

/* The byte register at 0xcf9, between the mechanism's ports. */
void pci_set_cf9(struct pci *p, uint8_t (*read)(void *ptr),
		 void (*write)(void *ptr, uint8_t val), void *ptr);
#endif
