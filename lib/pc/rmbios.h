#ifndef PC_RMBIOS_H
#define PC_RMBIOS_H
/* The few BIOS calls that kernels make in real mode: see rmcode.S. */
#include "vmm/mem.h"

/* Put code, memory map and interrupt vectors into guest memory. */
void rmbios_install(struct mem *m);
#endif
