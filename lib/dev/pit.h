#ifndef DEV_PIT_H
#define DEV_PIT_H
/*
 * The 8254 timer: ports 0x40-0x43, and port 0x61 (gate of channel 2, speaker,
 * OUT2, refresh toggle).  Channel 0 drives IRQ 0.
 * Spec: Intel 8254 data sheet (231164); PIIX4 data sheet, NMI status register.
 */

#include "base/err.h"
#include "vmm/vm.h"

#define PIT_HZ	1193182u

struct pit;

struct pit *pit_new(struct vm *vm, struct err *e);
void pit_reset(struct pit *p);
void pit_free(struct pit *p);

/* HPET legacy replacement: IRQ 0 is no longer ours.  vm->lock is held. */
void pit_mute(struct pit *p, bool mute);
#endif
