#ifndef DEV_DEBUGEXIT_H
#define DEV_DEBUGEXIT_H
/*
 * The debug-exit port of --debug-exit: a value v written to 0xf4 ends the
 * machine; the process exits with (v << 1) | 1, its low 8 bits.
 */

#include "base/err.h"
#include "vmm/vm.h"

#define DEBUGEXIT_PORT 0xf4

struct debugexit;

struct debugexit *debugexit_new(struct vm *vm, struct err *e);
void debugexit_reset(struct debugexit *d);
void debugexit_free(struct debugexit *d);
#endif
