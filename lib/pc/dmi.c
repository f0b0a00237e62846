#include "pc/dmi.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/le.h"
#include "vmm/mem.h"

enum { ENTRY_LEN = DMI_ENTRY_LEN, INTERMEDIATE = 0x10 };
enum { T_BIOS = 0, T_SYSTEM = 1, T_BOARD = 2, T_CHASSIS = 3, T_CPU = 4,
	T_MEM_ARRAY = 16, T_MEM_DEVICE = 17, T_MEM_MAP = 19, T_BOOT = 32, T_END = 127 };

/* The UUID of a machine that was given none; its first bytes are VMware's. */
static const uint8_t dmi_uuid[16] = {
	0x56, 0x4d, 0x72, 0x69, 0x6e, 0x67, 0x31, 0x20,
	0x82, 0x44, 0x0b, 0x10, 0x37, 0x1a, 0xb4, 0x00,
};

struct dmi {
	uint8_t *buf;
	size_t len, longest;
	unsigned count;
};

/* Add a structure: its formatted part, of which type, length and handle are
 * filled in here, and its strings. */
static void add(struct dmi *d, uint8_t type, uint8_t *s, size_t len,
		const char *const *strings)
{
	size_t start = d->len;

	s[0] = type;
	s[1] = (uint8_t)len;
	le16_put(s + 2, (uint16_t)d->count);
	assert(d->len + len + 2 <= DMI_LEN);
	memcpy(d->buf + d->len, s, len);
	d->len += len;
	for (unsigned i = 0; strings && strings[i]; i++) {
		size_t n = strlen(strings[i]) + 1;

		assert(d->len + n + 1 <= DMI_LEN);
		memcpy(d->buf + d->len, strings[i], n);
		d->len += n;
	}
	if (!strings)
		d->buf[d->len++] = 0;
	d->buf[d->len++] = 0;
	d->count++;
	if (d->len - start > d->longest)
		d->longest = d->len - start;
}

static void add_bios(struct dmi *d)
{
	static const char *const strings[] = { "ring1", "6.00", "11/24/2026", NULL };
	uint8_t s[0x18] = { 0 };

	s[0x04] = 1;
	s[0x05] = 2;
	le16_put(s + 0x06, 0xe000);	/* where it starts */
	s[0x08] = 3;
	s[0x09] = 1;			/* 128 KiB */
	le64_put(s + 0x0a, 1 << 7);	/* PCI */
	s[0x12] = 1;			/* ACPI */
	s[0x14] = 4;			/* release 4.6 */
	s[0x15] = 6;
	s[0x16] = s[0x17] = 0xff;
	add(d, T_BIOS, s, sizeof(s), strings);
}

static void add_system(struct dmi *d)
{
	char serial[64];
	const char *strings[] = { "VMware, Inc.", "VMware Virtual Platform", "None",
				  serial, NULL };
	uint8_t s[0x1b] = { 0 };
	size_t n = (size_t)snprintf(serial, sizeof(serial), "VMware-");

	for (unsigned i = 0; i < 16; i++)
		n += (size_t)snprintf(serial + n, sizeof(serial) - n, "%02x%s", dmi_uuid[i],
				      i == 15 ? "" : i == 7 ? "-" : " ");
	s[0x04] = 1;
	s[0x05] = 2;
	s[0x06] = 3;
	s[0x07] = 4;
	/* The first three fields of a UUID are little-endian here; their bytes
	 * are swapped so that the text form reads as the serial number. */
	for (unsigned i = 0; i < 4; i++)
		s[0x08 + i] = dmi_uuid[3 - i];
	s[0x0c] = dmi_uuid[5];
	s[0x0d] = dmi_uuid[4];
	s[0x0e] = dmi_uuid[7];
	s[0x0f] = dmi_uuid[6];
	memcpy(s + 0x10, dmi_uuid + 8, 8);
	s[0x18] = 6;			/* power switch */
	add(d, T_SYSTEM, s, sizeof(s), strings);
}

static void add_board(struct dmi *d)
{
	static const char *const board[] = {
		"Intel Corporation", "440BX Desktop Reference Platform", "None", NULL };
	static const char *const chassis[] = { "No Enclosure", "N/A", NULL };
	uint8_t b[0x08] = { 0 }, c[0x0d] = { 0 };

	b[0x04] = 1;
	b[0x05] = 2;
	b[0x06] = 3;
	add(d, T_BOARD, b, sizeof(b), board);
	c[0x04] = 1;
	c[0x05] = 1;			/* type: other */
	c[0x06] = 2;
	c[0x09] = c[0x0a] = c[0x0b] = 3;	/* safe */
	c[0x0c] = 3;
	add(d, T_CHASSIS, c, sizeof(c), chassis);
}

static void add_cpu(struct dmi *d, unsigned i)
{
	char socket[16];
	const char *strings[] = { socket, NULL };
	uint8_t s[0x20] = { 0 };

	snprintf(socket, sizeof(socket), "CPU%u", i);
	s[0x04] = 1;
	s[0x05] = 3;			/* central processor */
	s[0x06] = 2;			/* family unknown */
	s[0x18] = 0x41;			/* populated, enabled */
	s[0x19] = 4;			/* upgrade: ZIF */
	le16_put(s + 0x1a, 0xffff);	/* no cache information */
	le16_put(s + 0x1c, 0xffff);
	le16_put(s + 0x1e, 0xffff);
	add(d, T_CPU, s, sizeof(s), strings);
}

static void add_mapped(struct dmi *d, uint64_t start, uint64_t len, unsigned array)
{
	uint8_t s[0x1f] = { 0 };

	if (!len)
		return;
	le32_put(s + 0x04, (uint32_t)(start >> 10));
	le32_put(s + 0x08, (uint32_t)((start + len - 1) >> 10));
	le16_put(s + 0x0c, (uint16_t)array);
	s[0x0e] = 1;
	add(d, T_MEM_MAP, s, sizeof(s), NULL);
}

static void add_memory(struct dmi *d, uint64_t ram)
{
	static const char *const slot[] = { "RAM slot #0", NULL };
	uint64_t low = ram < MEM_LOW_MAX ? ram : MEM_LOW_MAX, mib = ram >> 20;
	uint8_t a[0x0f] = { 0 }, s[0x22] = { 0 };
	unsigned array = d->count;

	a[0x04] = 3;			/* on the system board */
	a[0x05] = 3;			/* system memory */
	a[0x06] = 3;			/* no error correction */
	le32_put(a + 0x07, (uint32_t)(ram >> 10));
	le16_put(a + 0x0b, 0xfffe);
	le16_put(a + 0x0d, 1);
	add(d, T_MEM_ARRAY, a, sizeof(a), NULL);
	le16_put(s + 0x04, (uint16_t)array);
	le16_put(s + 0x06, 0xfffe);
	le16_put(s + 0x08, 64);
	le16_put(s + 0x0a, 64);
	le16_put(s + 0x0c, mib < 0x7fff ? (uint16_t)mib : 0x7fff);
	if (mib >= 0x7fff)
		le32_put(s + 0x1c, (uint32_t)mib);
	s[0x0e] = 9;			/* DIMM */
	s[0x10] = 1;
	s[0x12] = 2;			/* type unknown */
	add(d, T_MEM_DEVICE, s, sizeof(s), slot);
	add_mapped(d, 0, low, array);
	add_mapped(d, MEM_HIGH_BASE, ram - low, array);
}

static uint8_t checksum(const uint8_t *p, size_t n)
{
	uint8_t sum = 0;

	while (n--)
		sum += *p++;
	return (uint8_t)-sum;
}

static void put_entry(uint8_t *p, const struct dmi *d, uint32_t table)
{
	memset(p, 0, DMI_TABLES);
	memcpy(p, "_SM_", 4);
	p[0x05] = ENTRY_LEN;
	p[0x06] = 2;
	p[0x07] = 8;
	le16_put(p + 0x08, (uint16_t)d->longest);
	memcpy(p + INTERMEDIATE, "_DMI_", 5);
	le16_put(p + 0x16, (uint16_t)(d->len - DMI_TABLES));
	le32_put(p + 0x18, table);
	le16_put(p + 0x1c, (uint16_t)d->count);
	p[0x1e] = 0x28;
	p[0x15] = checksum(p + INTERMEDIATE, ENTRY_LEN - INTERMEDIATE);
	p[0x04] = checksum(p, ENTRY_LEN);
}

size_t dmi_build(uint8_t buf[DMI_LEN], uint32_t gpa, uint64_t ram, unsigned cpus)
{
	struct dmi d = { .buf = buf, .len = DMI_TABLES };
	uint8_t boot[0x0b] = { 0 }, end[4] = { 0 };

	add_bios(&d);
	add_system(&d);
	add_board(&d);
	for (unsigned i = 0; i < cpus; i++)
		add_cpu(&d, i);
	add_memory(&d, ram);
	add(&d, T_BOOT, boot, sizeof(boot), NULL);
	add(&d, T_END, end, sizeof(end), NULL);
	put_entry(buf, &d, gpa + DMI_TABLES);
	return d.len;
}
