#ifndef DEV_I8042_H
#define DEV_I8042_H
/*
 * The keyboard controller: ports 0x60 and 0x64, reset line, a PS/2 keyboard
 * (IRQ 1) and a PS/2 mouse (IRQ 12) that answer to commands.  A20 reads back
 * but is never masked.
 * Spec: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and
 * Auxiliary Device Controller".
 */

#include "base/err.h"
#include "vmm/vm.h"

struct i8042;

struct i8042 *i8042_new(struct vm *vm, struct err *e);
void i8042_reset(struct i8042 *k);
void i8042_free(struct i8042 *k);
#endif
