#ifndef PC_E820_H
#define PC_E820_H
/*
 * The guest-physical memory map, as firmware would report it, and what lies
 * where below 1 MiB after a boot without firmware.
 * Spec: ACPI 6.4, section 15, "System Address Map Interfaces".
 */

#include "vmm/mem.h"

#define LOWMEM_GDT	0x8000u		/* flat segments of the boot entry */
#define LOWMEM_TABLES	0x9000u		/* identity page tables, 6 pages */
#define LOWMEM_PARAMS	0x10000u	/* zero page, Multiboot information */
#define LOWMEM_CMDLINE	0x20000u	/* up to LOWMEM_CMDLINE_MAX bytes */
#define LOWMEM_CMDLINE_MAX 0x10000u
#define LOWMEM_EBDA	0x9fc00u	/* 1 KiB: end of conventional memory */
#define LOWMEM_VIDEO	0xa0000u
#define LOWMEM_ACPI	0xe0000u	/* 64 KiB */
#define LOWMEM_BIOS	0xf0000u	/* MP table, SMBIOS */
#define LOWMEM_END	0x100000u

enum e820_type { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3, E820_NVS = 4 };

struct e820_entry {
	uint64_t addr, len;
	uint32_t type;
};

#define E820_MAX 8

/* Bytes of RAM from address 0 up to the PCI hole. */
static inline uint64_t e820_low_ram(uint64_t ram)
{
	return ram < MEM_LOW_MAX ? ram : MEM_LOW_MAX;
}

/* The map for this much RAM, ascending.  Returns the number of entries. */
unsigned e820_build(uint64_t ram, struct e820_entry map[E820_MAX]);
#endif
