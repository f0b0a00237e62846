#ifndef DEV_PIIX4_H
#define DEV_PIIX4_H
/*
 * The south bridge 82371AB at 00:07: function 0, PCI-to-ISA (8086:7110), with
 * the reset control register 0xcf9 and the PCI interrupt router; function 3,
 * power management (8086:7113; its ports: acpipm.h).  There is no SMI.
 * Spec: Intel 82371AB (PIIX4) data sheet (290562).
 */

#include "dev/pci.h"

#define PIIX4_SLOT	7

/* What firmware routes PIRQA..D to, for kernels that run the 8259: SeaBIOS's choice. */
#define PIIX4_PIRQ_IRQS	{ 10, 10, 11, 11 }
/* The IOAPIC pins that PIRQA..D drive; where they are routed to drive theirs as well,
 * as the MP table that SeaBIOS makes says. */
#define PIIX4_PIRQ_GSI	16

struct piix4;

/* pm_base    of the power management ports, after reset */
struct piix4 *piix4_new(struct vm *vm, struct pci *pci, uint16_t pm_base,
			struct err *e);
void piix4_reset(struct piix4 *p);
void piix4_free(struct piix4 *p);

/* Where the power management ports are now, 0: off; who is told when they move. */
uint16_t piix4_pm_base(const struct piix4 *p);
void piix4_on_pm_move(struct piix4 *p, void (*move)(void *ptr, uint16_t base), void *ptr);
#endif
