#ifndef DEV_ACPIPM_H
#define DEV_ACPIPM_H
/*
 * ACPI power management ports of the PIIX4: PM1 event and control, PM timer,
 * GPE0.  Always in ACPI mode (no SMI command port).  The SCI is IRQ 9, level.
 * Spec: 82371AB data sheet, 7.2 "Power Management I/O Registers"; ACPI 6.4,
 * 4.8.
 */

#include "base/err.h"
#include "vmm/vm.h"

#define ACPIPM_BASE	0x1000	/* after reset, as firmware of VMware leaves it */
#define ACPIPM_LEN	0x40
#define ACPIPM_SCI	9
#define ACPIPM_TIMER_HZ	3579545u

/* Offsets from the base, for the FADT. */
enum acpipm_reg {
	ACPIPM_PM1_STS = 0x00, ACPIPM_PM1_EN = 0x02, ACPIPM_PM1_CNT = 0x04,
	ACPIPM_TMR = 0x08, ACPIPM_GPE0_STS = 0x0c, ACPIPM_GPE0_EN = 0x0e,
};

/* SLP_TYP of soft off: SUS_TYP 000. */
#define ACPIPM_SLP_S5	0

struct acpipm;

struct acpipm *acpipm_new(struct vm *vm, uint16_t base, struct err *e);
void acpipm_reset(struct acpipm *a);
void acpipm_free(struct acpipm *a);

/* The ports move there (the PIIX4's PMBASE; acpipm: a struct acpipm); 0: they are off. */
void acpipm_move(void *acpipm, uint16_t base);

/* The power button is pressed, the clock's interrupt rises (acpipm: a struct
 * acpipm): fixed-feature events.  vm->lock is held. */
void acpipm_power_button(struct acpipm *a);
void acpipm_rtc(void *acpipm);
#endif
