#ifndef DEV_PIC_H
#define DEV_PIC_H
/*
 * The pair of 8259A interrupt controllers: ports 0x20, 0x21, 0xa0, 0xa1 and
 * the edge/level registers 0x4d0, 0x4d1.
 * Spec: Intel 8259A data sheet (231468); 82371AB (PIIX4) data sheet, ELCR.
 *
 * An edge that was seen stays requested until it is acknowledged, also when
 * the line falls again before that (the chip would answer with IRQ 7 then).
 */

#include "base/err.h"
#include "vmm/vm.h"

struct pic;

/* Ports and interrupt lines are registered with vm.  NULL with *e set. */
struct pic *pic_new(struct vm *vm, struct err *e);
void pic_reset(struct pic *p);
void pic_free(struct pic *p);

/* Who is told that the INTR pin rose (lib/dev/lapic.c). */
void pic_connect(struct pic *p, void (*intr)(void *ptr), void *ptr);
/* The INTR pin.  vm->lock is held. */
bool pic_intr(const struct pic *p);
/* The INTA cycle: the vector; spurious interrupts give the vector of IRQ 7. */
uint8_t pic_ack(struct pic *p);
#endif
