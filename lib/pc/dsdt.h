#ifndef PC_DSDT_H
#define PC_DSDT_H
#include "pc/aml.h"

/*
 * Write the definition block's terms: _PIC, _S5, PCI0 with its interrupt
 * routing, ISA devices, HPET.  The power button is a fixed feature.
 * Spec: ACPI 6.4, sections 6 and 7.
 *
 * pm_base    of the power management ports
 * Returns    false when the buffer was too small
 */
bool dsdt_write(struct aml *a, uint16_t pm_base);
#endif
