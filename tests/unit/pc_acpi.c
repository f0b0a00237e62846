/* ACPI tables: checksums, references, and the DSDT as iasl reads it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/le.h"
#include "check.h"
#include "dev/acpipm.h"
#include "pc/acpi.h"
#include "pc/aml.h"

#define GPA 0xe0000u

static uint8_t buf[ACPI_LEN];
static size_t len;

static uint8_t sum(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	while (n--)
		s += *p++;
	return s;
}

static size_t build(uint8_t *to, unsigned cpus)
{
	struct acpi_config c = { .gpa = GPA, .cpus = cpus, .pm_base = ACPIPM_BASE };

	return acpi_build(to, &c, NULL);
}

/* Firmware puts RSDP and tables where it likes: then they are as if built there. */
static void test_fixups(void)
{
	static uint8_t moved[ACPI_LEN];
	struct acpi_config c = { .gpa = -(uint32_t)ACPI_TABLES, .cpus = 3, .pm_base = 0x600 };
	struct acpi_fixups fix;
	size_t n = acpi_build(moved, &c, &fix);

	for (unsigned i = 0; i < fix.npointers; i++) {
		uint8_t *p = moved + fix.pointer[i].at;
		uint32_t v = le32_get(p) + GPA + ACPI_TABLES;

		check(fix.pointer[i].size == 4 || !le32_get(p + 4), "pointer %u", i);
		check(le32_get(p) < n, "pointer %u leads to %#x", i, le32_get(p));
		le32_put(p, v);
	}
	for (unsigned i = 0; i < fix.nsums; i++)
		moved[fix.sum[i].at] = (uint8_t)(moved[fix.sum[i].at] -
			sum(moved + fix.sum[i].start, fix.sum[i].len));
	c.gpa = GPA;
	len = acpi_build(buf, &c, NULL);
	check(len == n && !memcmp(buf, moved, n), "%u pointers, %u sums", fix.npointers,
	      fix.nsums);
}

/* The table at gpa, checked, or NULL. */
static const uint8_t *table(uint64_t gpa, const char *sig)
{
	const uint8_t *p = buf + (gpa - GPA);

	check(gpa >= GPA && gpa - GPA <= len - 36, "%s outside", sig);
	if (gpa < GPA || gpa - GPA > len - 36)
		return NULL;
	check(!memcmp(p, sig, 4), "%.4s, not %s", (const char *)p, sig);
	check(le32_get(p + 4) <= len - (gpa - GPA), "%s too long", sig);
	check(!sum(p, le32_get(p + 4)), "%s checksum", sig);
	return p;
}

static void test_tables(unsigned cpus)
{
	static const char *const sig[] = { "FACP", "APIC", "HPET" };
	const uint8_t *rsdt, *xsdt, *p;
	unsigned lapics = 0;

	len = build(buf, cpus);
	check(!memcmp(buf, "RSD PTR ", 8) && !sum(buf, 20) && !sum(buf, 36), "RSDP");
	rsdt = table(le32_get(buf + 16), "RSDT");
	xsdt = table(le64_get(buf + 24), "XSDT");
	if (!rsdt || !xsdt)
		return;
	check(le32_get(rsdt + 4) == 36 + 3 * 4 && le32_get(xsdt + 4) == 36 + 3 * 8,
	      "three tables");
	for (unsigned i = 0; i < 3; i++) {
		check(le32_get(rsdt + 36 + 4 * i) == le64_get(xsdt + 36 + 8 * i), "%u", i);
		table(le32_get(rsdt + 36 + 4 * i), sig[i]);
	}
	p = table(le32_get(rsdt + 36), "FACP");
	check(le32_get(p + 40) == le64_get(p + 140), "DSDT twice the same");
	table(le32_get(p + 40), "DSDT");
	check(le32_get(p + 36) % 64 == 0 && !memcmp(buf + le32_get(p + 36) - GPA, "FACS", 4),
	      "FACS at %x", le32_get(p + 36));
	p = table(le32_get(rsdt + 40), "APIC");
	for (uint32_t at = 44; at < le32_get(p + 4); at += p[at + 1]) {
		lapics += p[at] == 0;
		if (!p[at + 1])
			break;
	}
	check(lapics == cpus, "%u LAPICs for %u", lapics, cpus);
}

/* A device with resources; its length, 0 when it did not fit. */
static size_t device_len(uint8_t *out, size_t size)
{
	struct aml a = { .buf = out, .size = size };

	aml_device(&a, "COM1");
	aml_hid(&a, "PNP0501");
	aml_crs_open(&a);
	aml_crs_io(&a, 0x3f8, 8);
	aml_crs_close(&a);
	aml_close(&a);
	check(a.len <= size, "%zu of %zu", a.len, size);
	return aml_ok(&a) ? a.len : 0;
}

/* Every length form, and the flag of a writer that ran full. */
static void test_aml(void)
{
	static uint8_t out[70000];
	static const struct { size_t body; uint8_t first; unsigned bytes; } cases[] = {
		{ 0, 0x06, 1 }, { 57, 0x3f, 1 }, { 58, 0x41, 2 }, { 4000, 0x47, 2 },
		{ 4088, 0x4f, 2 }, { 4089, 0x81, 3 }, { 60000, 0x88, 3 },
	};
	struct aml a;
	size_t full;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n;

		a = (struct aml){ .buf = out, .size = sizeof(out) };
		aml_scope(&a, "\\_SB_");
		for (n = 0; n < cases[i].body; n++)
			aml_byte(&a, 0xa3);
		aml_close(&a);
		check(aml_ok(&a), "ok");
		check(a.len == 1 + cases[i].bytes + 5 + n, "%zu: length %zu", n, a.len);
		n = out[1] & 0x3f;
		if (cases[i].bytes > 1)
			n = (out[1] & 15) | out[2] << 4;
		if (cases[i].bytes > 2)
			n |= out[3] << 12;
		check(n == a.len - 1 && out[1] == cases[i].first,
		      "%zu: encoded %zu, first %02x", cases[i].body, n, out[1]);
		check(!memcmp(out + 1 + cases[i].bytes, "\\_SB_", 5), "name kept");
	}
	full = device_len(out, sizeof(out));
	check(full == 37, "%zu", full);
	for (size_t size = 0; size < full; size++)
		check(!device_len(out, size), "full at %zu", size);
	check(device_len(out, full) == full, "just fits");
	a = (struct aml){ .buf = out, .size = sizeof(out) };
	aml_hid(&a, "PNP0501");
	check(!memcmp(out, "\x08_HID\x0c\x41\xd0\x05\x01", 10), "EISA ID");
}

/* Disassembled and compiled again by ACPICA without errors. */
static void test_iasl(void)
{
	char dir[] = "/tmp/pc_acpi.XXXXXX", cmd[400];
	const uint8_t *p;
	FILE *f;

	if (system("command -v iasl >/dev/null 2>&1")) {
		printf("skipped the DSDT's disassembly: no iasl\n");
		return;
	}
	len = build(buf, 1);
	p = buf + le32_get(buf + 16) - GPA;
	p = buf + le32_get(p + 36) - GPA;
	p = buf + le32_get(p + 40) - GPA;
	if (!mkdtemp(dir))
		return;
	snprintf(cmd, sizeof(cmd), "%s/dsdt.aml", dir);
	f = fopen(cmd, "w");
	check(f && fwrite(p, le32_get(p + 4), 1, f) == 1, "written");
	if (f)
		fclose(f);
	snprintf(cmd, sizeof(cmd), "cd %s && iasl -d dsdt.aml >log 2>&1 && "
		 "iasl -ve dsdt.dsl >log 2>&1 || { cat log; exit 1; }", dir);
	check(system(cmd) == 0, "iasl");
	snprintf(cmd, sizeof(cmd), "cd %s && grep -q 'Name (_S5' dsdt.dsl && "
		 "grep -q 'Device (COM1)' dsdt.dsl && grep -q 'EisaId (\"PNP0A03\")' dsdt.dsl",
		 dir);
	check(system(cmd) == 0, "contents");
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	check(system(cmd) == 0, "removed");
}

int main(void)
{
	test_tables(1);
	test_tables(8);
	test_fixups();
	test_aml();
	test_iasl();
	return check_done();
}
