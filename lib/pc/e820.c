#include "pc/e820.h"

unsigned e820_build(uint64_t ram, struct e820_entry map[E820_MAX])
{
	uint64_t low = e820_low_ram(ram);
	unsigned n = 0;

	map[n++] = (struct e820_entry){ 0, LOWMEM_EBDA, E820_RAM };
	map[n++] = (struct e820_entry){ LOWMEM_EBDA, LOWMEM_VIDEO - LOWMEM_EBDA,
					E820_RESERVED };
	map[n++] = (struct e820_entry){ LOWMEM_ACPI, LOWMEM_END - LOWMEM_ACPI,
					E820_RESERVED };
	if (low > LOWMEM_END)
		map[n++] = (struct e820_entry){ LOWMEM_END, low - LOWMEM_END,
						E820_RAM };
	/* IOAPIC, HPET, LAPIC, and the ROM below 4 GiB */
	map[n++] = (struct e820_entry){ 0xfec00000, 0x10000, E820_RESERVED };
	map[n++] = (struct e820_entry){ 0xfee00000, 0x1000, E820_RESERVED };
	map[n++] = (struct e820_entry){ 0xfffc0000, 0x40000, E820_RESERVED };
	if (ram > low)
		map[n++] = (struct e820_entry){ MEM_HIGH_BASE, ram - low, E820_RAM };
	return n;
}
