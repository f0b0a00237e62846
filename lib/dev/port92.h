#ifndef DEV_PORT92_H
#define DEV_PORT92_H
/*
 * System control port A at 0x92: bit 0 resets, bit 1 is fast A20, which only
 * reads back: A20 is never masked.
 * Spec: IBM PS/2 Hardware Interface Technical Reference.
 */

#include "base/err.h"
#include "vmm/vm.h"

struct port92;

struct port92 *port92_new(struct vm *vm, struct err *e);
void port92_reset(struct port92 *p);
void port92_free(struct port92 *p);
#endif
