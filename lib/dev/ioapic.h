#ifndef DEV_IOAPIC_H
#define DEV_IOAPIC_H
/*
 * The I/O APIC at 0xfec00000: 24 pins, version 0x20 (with an EOI register).
 * Line n of vm->irq drives pin n, but line 0 drives pin 2 and line 2 none: the
 * MADT and MP table have an override of ISA IRQ 0 to GSI 2.
 * Spec: Intel 82093AA data sheet (290566); 82801BA data sheet for EOI.
 */

#include "base/err.h"
#include "dev/lapic.h"

#define IOAPIC_BASE	0xfec00000ull
#define IOAPIC_PINS	24u

struct ioapic;

/* id         APIC ID after reset (by convention the number of vCPUs) */
struct ioapic *ioapic_new(struct vm *vm, struct lapics *ls, uint8_t id,
			  struct err *e);
void ioapic_reset(struct ioapic *io);
void ioapic_free(struct ioapic *io);
#endif
