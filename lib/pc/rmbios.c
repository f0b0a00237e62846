#include "pc/rmbios.h"

#include <string.h>

#include "base/le.h"
#include "pc/e820.h"

extern const uint8_t rmbios_start[], rmbios_end[];

#define RMBIOS_GPA	(LOWMEM_BIOS + 0x2000)

/* Words at the start of the code */
enum { AT_DEFAULT = 0, AT_INT10 = 2, AT_INT12 = 4, AT_INT15 = 6, AT_HW = 8,
	BASE_KIB = 10, LOW_KIB = 12, HIGH_64K = 14, EXT_KIB = 16, COUNT = 18, MAP = 20 };
enum { MAP_ENTRY = 20, RMBIOS_MAX = 1024, VECTORS = 256 };

static uint16_t at_most(uint64_t v, uint16_t max)
{
	return v < max ? (uint16_t)v : max;
}

static void put_memory(uint8_t *b, uint64_t ram)
{
	uint64_t ext = (e820_low_ram(ram) - LOWMEM_END) >> 10;
	struct e820_entry map[E820_MAX];
	unsigned n = e820_build(ram, map);

	le16_put(b + BASE_KIB, LOWMEM_EBDA >> 10);
	le16_put(b + LOW_KIB, at_most(ext, 0x3c00));
	le16_put(b + HIGH_64K, at_most(ext > 0x3c00 ? (ext - 0x3c00) >> 6 : 0, 0xffff));
	le16_put(b + EXT_KIB, at_most(ext, 0xfc00));
	le16_put(b + COUNT, (uint16_t)n);
	for (unsigned i = 0; i < n; i++) {
		le64_put(b + MAP + i * MAP_ENTRY, map[i].addr);
		le64_put(b + MAP + i * MAP_ENTRY + 8, map[i].len);
		le32_put(b + MAP + i * MAP_ENTRY + 16, map[i].type);
	}
}

static unsigned handler(unsigned vector)
{
	switch (vector) {
	case 0x10: return AT_INT10;
	case 0x12: return AT_INT12;
	case 0x15: return AT_INT15;
	case 0x08 ... 0x0f:
	case 0x70 ... 0x77: return AT_HW;
	default: return AT_DEFAULT;
	}
}

void rmbios_install(struct mem *m)
{
	uint8_t b[RMBIOS_MAX], ivt[VECTORS * 4];
	size_t len = (size_t)(rmbios_end - rmbios_start);

	_Static_assert(E820_MAX == 8, "as many entries as rmcode.S has room for");
	memcpy(b, rmbios_start, len);
	for (unsigned i = 0; i < VECTORS; i++) {
		le16_put(ivt + 4 * i, le16_get(b + handler(i)));
		le16_put(ivt + 4 * i + 2, RMBIOS_GPA >> 4);
	}
	put_memory(b, m->ram_size);
	mem_write(m, RMBIOS_GPA, b, len);
	mem_write(m, 0, ivt, sizeof(ivt));
}
