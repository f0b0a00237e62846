#ifndef DEV_HPET_H
#define DEV_HPET_H
/*
 * The high precision event timer at 0xfed00000: a 64-bit counter of 14.31818
 * MHz, three 64-bit comparators, each one-shot or periodic;
 * legacy replacement (IRQ 0, IRQ 8) and FSB (MSI) delivery.
 * Spec: IA-PC HPET Specification 1.0a.
 */

#include "base/err.h"
#include "dev/pit.h"
#include "dev/rtc.h"
#include "vmm/vm.h"

#define HPET_BASE	0xfed00000ull
#define HPET_PERIOD_FS	69841279u	/* of the counter, femtoseconds */
#define HPET_ID		0x8086a201u	/* low half of the capabilities, for ACPI */

struct hpet;

/* pit, rtc   muted while legacy replacement is on; may be NULL */
struct hpet *hpet_new(struct vm *vm, struct pit *pit, struct rtc *rtc,
		      struct err *e);
void hpet_reset(struct hpet *h);
void hpet_free(struct hpet *h);
#endif
