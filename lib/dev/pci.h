#ifndef DEV_PCI_H
#define DEV_PCI_H
/*
 * PCI bus 0: configuration mechanism #1 (ports 0xcf8-0xcff), type 0 configuration
 * spaces, base address registers that move, INTx, MSI and MSI-X.
 * Spec: PCI Local Bus 3.0, chapters 3.2.2.3.2, 6 (6.2.5 base addresses, 6.7
 * capabilities, 6.8 MSI and MSI-X).
 *
 * A device fills in a struct pci_fn and adds it; from then on the bus keeps the
 * ranges of its base address registers on vm->bus as the guest sets them.  Ranges that
 * meet others', or lie at 0, are not decoded until one of both moves.
 *
 * Example: a controller with 32 KiB of registers in memory and one interrupt:
 *	pci_fn_ident(&d->fn, PCI_VENDOR_VMWARE, 0x07c0, 0x010700, 2);
 *	pci_fn_bar(&d->fn, 0, &(struct pci_bar){ .kind = PCI_BAR_MEM, .len = 0x8000,
 *		.read = d_read, .write = d_write, .ptr = d, .name = "pvscsi" });
 *	pci_fn_pin(&d->fn, 1);
 *	pci_fn_msi(&d->fn);
 *	rc = pci_add(pci, PCI_DEVFN(16, 0), &d->fn, e);
 * and, with vm->lock held, pci_irq(&d->fn, 0, true) when it wants to interrupt.
 *
 * All calls need vm->lock once the machine runs.
 */

#include "base/err.h"
#include "vmm/vm.h"

#define PCI_CFG_LEN	256
#define PCI_BARS	6
#define PCI_PINS	4
#define PCI_DEVFN(dev, fn) ((dev) << 3 | (fn))

enum pci_reg {
	PCI_VENDOR = 0x00, PCI_DEVICE = 0x02, PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06, PCI_REVISION = 0x08, PCI_CLASS = 0x09,
	PCI_HEADER_TYPE = 0x0e, PCI_BAR0 = 0x10, PCI_SUBVENDOR = 0x2c,
	PCI_SUBDEVICE = 0x2e, PCI_CAPABILITIES = 0x34, PCI_IRQ_LINE = 0x3c,
	PCI_IRQ_PIN = 0x3d,
};

enum pci_command {
	PCI_CMD_IO = 1, PCI_CMD_MEMORY = 2, PCI_CMD_MASTER = 4, PCI_CMD_NO_INTX = 0x400,
};

enum pci_cap { PCI_CAP_PM = 1, PCI_CAP_MSI = 5, PCI_CAP_EXPRESS = 0x10, PCI_CAP_MSIX = 0x11 };

#define PCI_VENDOR_INTEL	0x8086
#define PCI_VENDOR_VMWARE	0x15ad
#define PCI_SUBDEVICE_VMWARE	0x1976

struct pci;
struct pci_fn;

enum pci_bar_kind { PCI_BAR_IO, PCI_BAR_MEM, PCI_BAR_MEM64 /* takes two registers */ };

struct pci_bar {
	enum pci_bar_kind kind;
	uint64_t len;		/* power of two; I/O 4..256, memory 16..2 GiB; 0: no BAR */
	bus_read_fn *read;	/* as in struct bus_range; NULL: all ones */
	bus_write_fn *write;
	void *ptr;
	const char *name;
	/* The bus's own: */
	struct pci_fn *fn;
	uint64_t base;		/* where it is decoded */
	bool mapped;
};

/* A message of MSI-X. */
struct pci_vector {
	uint64_t addr;
	uint32_t data, ctrl;
};

/* A function on the bus.  Filled in by its owner, who takes it away by pci_fn_done(). */
struct pci_fn {
	uint8_t cfg[PCI_CFG_LEN];	/* as the guest reads it */
	uint8_t init[PCI_CFG_LEN];	/* after reset */
	uint8_t wmask[PCI_CFG_LEN];	/* bits that the guest can write */
	uint8_t w1c[PCI_CFG_LEN];	/* bits cleared by writing 1 */
	/* NULL, or called after a write, once a write: offset and length */
	void (*written)(void *ptr, unsigned off, unsigned len);
	void *ptr;
	/* Set by the functions below: */
	struct pci_bar bar[PCI_BARS];
	uint8_t cap_end, cap_last;	/* of the list: free from, last capability */
	uint8_t msi, msix;		/* capabilities; 0: it has none */
	uint8_t msix_bar;
	uint16_t nvectors;		/* of MSI-X */
	uint32_t msix_table, msix_pba;	/* in its BAR */
	struct pci_vector *vector;
	uint64_t *pending;		/* one bit a vector */
	struct pci *pci;		/* NULL: not added yet */
	uint8_t devfn;
	bool intx;			/* the device asserts its interrupt */
	bool pin_up;			/* and the pin shows it */
};

/* --- before pci_add() ------------------------------------------------------------- */

/* init: identification; class is base, sub, interface from high to low. */
void pci_fn_ident(struct pci_fn *f, uint16_t vendor, uint16_t device,
		  uint32_t class_code, uint8_t revision);

/* Base address register n, whose handlers get offsets from its start.  The command
 * register then can turn it on and off, and the function to a bus master. */
void pci_fn_bar(struct pci_fn *f, unsigned n, const struct pci_bar *bar);

/* The interrupt pin: 1 to 4 for INTA# to INTD#. */
void pci_fn_pin(struct pci_fn *f, uint8_t pin);

/* A new capability of len bytes, of which the first two are filled in here.  Returns
 * its offset: its bytes in init and wmask are the caller's. */
uint8_t pci_fn_cap(struct pci_fn *f, uint8_t id, uint8_t len);

/* One message, 64-bit addresses. */
void pci_fn_msi(struct pci_fn *f);

/*
 * MSI-X: messages 0 to n - 1.  Their table and the bits of pending ones take these
 * offsets in a memory BAR from the device's own registers: table 16 n bytes, pba 8 bytes
 * for each 64.
 *
 * Returns    0, or -ENOMEM
 */
int pci_fn_msix(struct pci_fn *f, unsigned n, unsigned bar, uint32_t table, uint32_t pba,
		struct err *e);

/* --- the bus ------------------------------------------------------------------------ */

struct pci *pci_new(struct vm *vm, struct err *e);
/* All functions as after power-on; no interrupt is asserted. */
void pci_reset(struct pci *p);
void pci_free(struct pci *p);

/* 0, or -EBUSY.  Function 0 tells of others on the same device by itself. */
int pci_add(struct pci *p, unsigned devfn, struct pci_fn *f, struct err *e);
/* Take it off the bus, if it is there, and free what the functions above took. */
void pci_fn_done(struct pci_fn *f);
/* The function there, or NULL. */
struct pci_fn *pci_fn_at(struct pci *p, unsigned devfn);

/* The owner changed cfg: the ranges follow. */
void pci_fn_changed(struct pci_fn *f);

/* The byte register at 0xcf9, between the mechanism's ports. */
void pci_set_cf9(struct pci *p, uint8_t (*read)(void *ptr),
		 void (*write)(void *ptr, uint8_t val), void *ptr);

/* Who is told that PIRQA..PIRQD (0 to 3) change: the PIIX4. */
void pci_set_router(struct pci *p, void (*set)(void *ptr, unsigned pirq, bool level),
		    void *ptr);

/* The line PIRQA..D that a pin (1 to 4) of a device is wired to: _PRT, the MP table and
 * SeaBIOS's $PIR say the same. */
static inline unsigned pci_pirq(unsigned dev, unsigned pin)
{
	return (dev + 3 + pin - 1) % PCI_PINS;
}

/* --- what running devices call ------------------------------------------------------- */

/*
 * Interrupt n of a device is asserted or no longer.  With MSI-X or MSI on, each call
 * with true sends the message (MSI has one for all n); else the pin follows n = 0.
 */
void pci_irq(struct pci_fn *f, unsigned n, bool level);

/* Is one of both on? */
bool pci_has_messages(const struct pci_fn *f);

/* May it read and write memory?  See vmm/dma.h. */
bool pci_is_master(const struct pci_fn *f);
#endif
