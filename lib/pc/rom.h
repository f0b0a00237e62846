#ifndef PC_ROM_H
#define PC_ROM_H
/*
 * A flat ROM image: it ends at 4 GiB, and its last 128 KiB (all of it when it
 * is shorter) also end at 1 MiB, as on every PC, until the chipset is told to lead there
 * to RAM.  The processor starts in it, at the reset vector.
 */

#include "pc/image.h"
#include "vmm/mem.h"

#define ROM_MAX		(16ull << 20)	/* stays clear of the APICs */
#define ROM_LOW_MAX	(128ull << 10)

/* Bytes to reserve with mem_new(). */
uint64_t rom_reserve(const struct image *im);

/* Map it into both places. */
int rom_map(struct mem *m, const struct image *im, struct err *e);
#endif
