#include "pc/mbinfo.h"

#include <assert.h>
#include <string.h>

#include "base/le.h"
#include "pc/e820.h"

#define INFO_FIXED	4096u	/* more than all that is not a string */
#define RSDP_LEN	36u

static const char loader_name[] = "ring1";

/* Version 1 */
enum { I1_FLAGS = 0, I1_MEM_LOWER = 4, I1_MEM_UPPER = 8, I1_CMDLINE = 16,
	I1_MODS_COUNT = 20, I1_MODS_ADDR = 24, I1_MMAP_LEN = 44, I1_MMAP_ADDR = 48,
	I1_LOADER = 64, I1_FRAMEBUFFER = 88, I1_LEN = 120 };
enum { F1_MEMORY = 1, F1_CMDLINE = 4, F1_MODS = 8, F1_MMAP = 0x40, F1_LOADER = 0x200,
	F1_FRAMEBUFFER = 0x1000 };
enum { MOD1_LEN = 16, MMAP1_LEN = 24 };

/* Version 2 */
enum mb2_info { I2_END = 0, I2_CMDLINE = 1, I2_LOADER = 2, I2_MODULE = 3, I2_MEMORY = 4,
	I2_MMAP = 6, I2_ACPI_OLD = 14, I2_ACPI_NEW = 15 };
enum { MMAP2_LEN = 24 };

/* The screen: EGA text, 80 by 25, as it is after a PC's start. */
enum { TEXT_GPA = 0xb8000, TEXT_COLS = 80, TEXT_ROWS = 25, TEXT_CELL = 2, FB_EGA_TEXT = 2,
	FB_LEN = 24 };

/* What is being built: a copy of guest memory from gpa on. */
struct info {
	uint8_t buf[MBINFO_MAX];
	size_t len;
	uint32_t gpa;
};

bool mbinfo_fits(const struct boot_request *rq)
{
	size_t n = INFO_FIXED + strlen(rq->append);

	for (unsigned i = 0; i < rq->nmodules; i++)
		n += strlen(rq->module[i].path) + 32;
	return n <= MBINFO_MAX;
}

bool mbinfo2_has(uint32_t type)
{
	return (type >= I2_CMDLINE && type <= I2_MEMORY) || type == I2_MMAP ||
		type == MBINFO2_FRAMEBUFFER || type == I2_ACPI_OLD || type == I2_ACPI_NEW;
}

/* A zeroed, 8-byte aligned piece; mbinfo_fits() has seen to the room. */
static uint8_t *take(struct info *in, size_t n)
{
	uint8_t *p = in->buf + in->len;

	assert(n <= MBINFO_MAX - in->len);
	in->len = (in->len + n + 7) & ~(size_t)7;
	return p;
}

static uint32_t gpa_of(const struct info *in, const uint8_t *p)
{
	return in->gpa + (uint32_t)(p - in->buf);
}

static uint32_t put_string(struct info *in, const char *s)
{
	size_t n = strlen(s) + 1;
	uint8_t *p = take(in, n);

	memcpy(p, s, n);
	return gpa_of(in, p);
}

/* Address, bytes a line, columns, lines, bits a character, type: the same in both
 * versions. */
static void put_screen(uint8_t *p)
{
	le64_put(p, TEXT_GPA);
	le32_put(p + 8, TEXT_COLS * TEXT_CELL);
	le32_put(p + 12, TEXT_COLS);
	le32_put(p + 16, TEXT_ROWS);
	p[20] = TEXT_CELL * 8;
	p[21] = FB_EGA_TEXT;
}

static uint32_t mem_upper_kib(const struct mem *m)
{
	return (uint32_t)((e820_low_ram(m->ram_size) - LOWMEM_END) >> 10);
}

static void put_mmap1(struct info *in, uint8_t *hdr, const struct mem *m)
{
	struct e820_entry map[E820_MAX];
	unsigned n = e820_build(m->ram_size, map);
	uint8_t *p = take(in, n * MMAP1_LEN);

	le32_put(hdr + I1_MMAP_LEN, n * MMAP1_LEN);
	le32_put(hdr + I1_MMAP_ADDR, gpa_of(in, p));
	for (unsigned i = 0; i < n; i++, p += MMAP1_LEN) {
		le32_put(p, MMAP1_LEN - 4);
		le64_put(p + 4, map[i].addr);
		le64_put(p + 12, map[i].len);
		le32_put(p + 20, map[i].type);
	}
}

static void put_modules1(struct info *in, uint8_t *hdr, const struct boot_request *rq,
			 const uint32_t *module_addr)
{
	uint8_t *p = take(in, rq->nmodules * MOD1_LEN);

	le32_put(hdr + I1_MODS_COUNT, rq->nmodules);
	le32_put(hdr + I1_MODS_ADDR, gpa_of(in, p));
	for (unsigned i = 0; i < rq->nmodules; i++, p += MOD1_LEN) {
		le32_put(p, module_addr[i]);
		le32_put(p + 4, module_addr[i] + (uint32_t)rq->module[i].len);
		le32_put(p + 8, put_string(in, rq->module[i].path));
	}
}

void mbinfo1_write(struct mem *m, uint32_t gpa, const struct boot_request *rq,
		   const uint32_t *module_addr, bool screen)
{
	struct info info = { .gpa = gpa }, *in = &info;
	uint8_t *hdr;

	hdr = take(in, I1_LEN);
	le32_put(hdr + I1_FLAGS, F1_MEMORY | F1_CMDLINE | F1_MODS | F1_MMAP | F1_LOADER |
		 (screen ? F1_FRAMEBUFFER : 0));
	le32_put(hdr + I1_MEM_LOWER, LOWMEM_EBDA >> 10);
	le32_put(hdr + I1_MEM_UPPER, mem_upper_kib(m));
	le32_put(hdr + I1_CMDLINE, put_string(in, rq->append));
	le32_put(hdr + I1_LOADER, put_string(in, loader_name));
	put_modules1(in, hdr, rq, module_addr);
	put_mmap1(in, hdr, m);
	if (screen)
		put_screen(hdr + I1_FRAMEBUFFER);
	mem_write(m, gpa, in->buf, in->len);
}

static uint8_t *tag(struct info *in, uint32_t type, size_t body)
{
	uint8_t *p = take(in, 8 + body);

	le32_put(p, type);
	le32_put(p + 4, (uint32_t)(8 + body));
	return p + 8;
}

static void tag_string(struct info *in, uint32_t type, const char *s)
{
	memcpy(tag(in, type, strlen(s) + 1), s, strlen(s) + 1);
}

static void tag_mmap(struct info *in, const struct mem *m)
{
	struct e820_entry map[E820_MAX];
	unsigned n = e820_build(m->ram_size, map);
	uint8_t *p = tag(in, I2_MMAP, 8 + n * MMAP2_LEN);

	le32_put(p, MMAP2_LEN);
	p += 8;
	for (unsigned i = 0; i < n; i++, p += MMAP2_LEN) {
		le64_put(p, map[i].addr);
		le64_put(p + 8, map[i].len);
		le32_put(p + 16, map[i].type);
	}
}

void mbinfo2_write(struct mem *m, uint32_t gpa, const struct boot_request *rq,
		   const uint32_t *module_addr, bool screen)
{
	struct info info = { .gpa = gpa }, *in = &info;
	uint8_t *p;

	take(in, 8);
	tag_string(in, I2_CMDLINE, rq->append);
	tag_string(in, I2_LOADER, loader_name);
	for (unsigned i = 0; i < rq->nmodules; i++) {
		size_t n = strlen(rq->module[i].path) + 1;

		p = tag(in, I2_MODULE, 8 + n);
		le32_put(p, module_addr[i]);
		le32_put(p + 4, module_addr[i] + (uint32_t)rq->module[i].len);
		memcpy(p + 8, rq->module[i].path, n);
	}
	p = tag(in, I2_MEMORY, 8);
	le32_put(p, LOWMEM_EBDA >> 10);
	le32_put(p + 4, mem_upper_kib(m));
	tag_mmap(in, m);
	if (screen)
		put_screen(tag(in, MBINFO2_FRAMEBUFFER, FB_LEN));
	mem_read(m, rq->acpi_rsdp, tag(in, I2_ACPI_OLD, 20), 20);
	mem_read(m, rq->acpi_rsdp, tag(in, I2_ACPI_NEW, RSDP_LEN), RSDP_LEN);
	tag(in, I2_END, 0);
	le32_put(in->buf, (uint32_t)in->len);
	mem_write(m, gpa, in->buf, in->len);
}
