#ifndef DEV_FWDEBUG_H
#define DEV_FWDEBUG_H
/*
 * Port 0x402, where firmware made for QEMU says what it does: lines of
 * `--trace firmware`.  Without that there is no such port, so that firmware does not
 * write to it.
 * Spec: QEMU, docs/specs; SeaBIOS, docs/Debugging.md.
 */

#include "base/err.h"
#include "vmm/vm.h"

struct fwdebug;

struct fwdebug *fwdebug_new(struct vm *vm, struct err *e);
void fwdebug_reset(struct fwdebug *d);
void fwdebug_free(struct fwdebug *d);
#endif
