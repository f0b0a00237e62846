#include "pc/acpi.h"

#include <assert.h>
#include <string.h>

#include "base/le.h"
#include "dev/acpipm.h"
#include "dev/hpet.h"
#include "dev/ioapic.h"
#include "dev/lapic.h"
#include "dev/rtc.h"
#include "pc/aml.h"
#include "pc/dsdt.h"

enum { RSDP_LEN = ACPI_RSDP_LEN, RSDP_LEN_V1 = 20, HDR_LEN = 36, FACS_LEN = 64, FADT_LEN = 244,
	HPET_LEN = 56 };
/* Header fields, ACPI table 5.29 */
enum { HDR_LENGTH = 4, HDR_REVISION = 8, HDR_CHECKSUM = 9, HDR_OEM_ID = 10,
	HDR_OEM_TABLE = 16, HDR_OEM_REV = 24, HDR_CREATOR = 28, HDR_CREATOR_REV = 32 };

/* FADT fields, ACPI table 5.33 */
enum { FADT_FACS = 36, FADT_DSDT = 40, FADT_PROFILE = 45, FADT_SCI = 46,
	FADT_PM1A_EVT = 56, FADT_PM1A_CNT = 64, FADT_TMR = 76, FADT_GPE0 = 80,
	FADT_PM1_EVT_LEN = 88, FADT_PM1_CNT_LEN = 89, FADT_TMR_LEN = 91,
	FADT_GPE0_LEN = 92, FADT_C2_LAT = 96, FADT_C3_LAT = 98, FADT_CENTURY = 108,
	FADT_BOOT_ARCH = 109, FADT_FLAGS = 112, FADT_RESET_REG = 116,
	FADT_RESET_VALUE = 128, FADT_X_FACS = 132, FADT_X_DSDT = 140,
	FADT_X_PM1A_EVT = 148, FADT_X_PM1A_CNT = 172, FADT_X_TMR = 208,
	FADT_X_GPE0 = 220 };
enum { FADT_WBINVD = 1 << 0, FADT_PROC_C1 = 1 << 2, FADT_NO_SLEEP_BUTTON = 1 << 5,
	FADT_RESET_SUP = 1 << 10 };
enum { BOOT_LEGACY = 1, BOOT_8042 = 2, BOOT_NO_VGA = 4 };
enum { GAS_MEMORY = 0, GAS_IO = 1 };
enum { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_OVERRIDE = 2, MADT_LAPIC_NMI = 4 };
enum { LEVEL_HIGH = 0x0d };	/* MPS INTI flags */

#define RESET_PORT	0xcf9
#define RESET_VALUE	6

struct tables {
	uint8_t *buf;
	const struct acpi_config *cfg;
	struct acpi_fixups *fix;	/* NULL: nobody asks */
	size_t len;
};

static uint8_t checksum(const uint8_t *p, size_t n)
{
	uint8_t sum = 0;

	while (n--)
		sum += *p++;
	return (uint8_t)-sum;
}

/* A new zeroed piece, 16-byte aligned. */
static uint8_t *take(struct tables *t, size_t n)
{
	uint8_t *p = t->buf + t->len;

	assert(t->len + n <= ACPI_LEN);
	memset(p, 0, n);
	t->len = (t->len + n + 15) & ~(size_t)15;
	return p;
}

static uint32_t gpa_of(const struct tables *t, const uint8_t *p)
{
	return t->cfg->gpa + (uint32_t)(p - t->buf);
}

/* Where a table is, in size bytes. */
static void put_pointer(struct tables *t, uint8_t *p, unsigned size, uint32_t gpa)
{
	struct acpi_fixups *f = t->fix;

	if (size == 8)
		le64_put(p, gpa);
	else
		le32_put(p, gpa);
	if (!f)
		return;
	assert(f->npointers < sizeof(f->pointer) / sizeof(f->pointer[0]));
	f->pointer[f->npointers++] = (struct acpi_pointer){ (uint32_t)(p - t->buf),
							    (uint8_t)size };
}

static void put_sum(struct tables *t, uint8_t *at, const uint8_t *start, size_t len)
{
	struct acpi_fixups *f = t->fix;

	*at = 0;
	*at = checksum(start, len);
	if (!f)
		return;
	assert(f->nsums < sizeof(f->sum) / sizeof(f->sum[0]));
	f->sum[f->nsums++] = (struct acpi_sum){ (uint32_t)(at - t->buf),
						(uint32_t)(start - t->buf), (uint32_t)len };
}

static void finish(struct tables *t, uint8_t *p, const char *sig, uint8_t revision, size_t len)
{
	memcpy(p, sig, 4);
	le32_put(p + HDR_LENGTH, (uint32_t)len);
	p[HDR_REVISION] = revision;
	memcpy(p + HDR_OEM_ID, "RING1 ", 6);
	memcpy(p + HDR_OEM_TABLE, "RING1PC ", 8);
	le32_put(p + HDR_OEM_REV, 1);
	memcpy(p + HDR_CREATOR, "RNG1", 4);
	le32_put(p + HDR_CREATOR_REV, 1);
	put_sum(t, p + HDR_CHECKSUM, p, len);
}

/* Generic address structure, ACPI 5.2.3.2 */
static void gas(uint8_t *p, uint8_t space, uint8_t bits, uint64_t addr)
{
	p[0] = space;
	p[1] = bits;
	le64_put(p + 4, addr);
}

static uint8_t *make_dsdt(struct tables *t)
{
	uint8_t *p = t->buf + t->len;
	struct aml a = { .buf = p + HDR_LEN, .size = ACPI_LEN - t->len - HDR_LEN };
	bool ok = dsdt_write(&a, t->cfg->pm_base);

	assert(ok);
	t->len = (t->len + HDR_LEN + a.len + 15) & ~(size_t)15;
	finish(t, p, "DSDT", 2, HDR_LEN + a.len);
	return p;
}

/* 64-byte aligned; the waking vector stays 0. */
static uint8_t *make_facs(struct tables *t)
{
	uint8_t *p;

	t->len = (t->len + 63) & ~(size_t)63;
	p = take(t, FACS_LEN);
	memcpy(p, "FACS", 4);
	le32_put(p + 4, FACS_LEN);
	p[32] = 2;
	return p;
}

static void fadt_ports(uint8_t *p, uint16_t base)
{
	le32_put(p + FADT_PM1A_EVT, base + ACPIPM_PM1_STS);
	le32_put(p + FADT_PM1A_CNT, base + ACPIPM_PM1_CNT);
	le32_put(p + FADT_TMR, base + ACPIPM_TMR);
	le32_put(p + FADT_GPE0, base + ACPIPM_GPE0_STS);
	p[FADT_PM1_EVT_LEN] = 4;
	p[FADT_PM1_CNT_LEN] = 2;
	p[FADT_TMR_LEN] = 4;
	p[FADT_GPE0_LEN] = 4;
	gas(p + FADT_X_PM1A_EVT, GAS_IO, 32, base + ACPIPM_PM1_STS);
	gas(p + FADT_X_PM1A_CNT, GAS_IO, 16, base + ACPIPM_PM1_CNT);
	gas(p + FADT_X_TMR, GAS_IO, 32, base + ACPIPM_TMR);
	gas(p + FADT_X_GPE0, GAS_IO, 32, base + ACPIPM_GPE0_STS);
	gas(p + FADT_RESET_REG, GAS_IO, 8, RESET_PORT);
	p[FADT_RESET_VALUE] = RESET_VALUE;
}

static uint8_t *make_fadt(struct tables *t, uint32_t facs, uint32_t dsdt)
{
	uint8_t *p = take(t, FADT_LEN);

	put_pointer(t, p + FADT_FACS, 4, facs);
	put_pointer(t, p + FADT_DSDT, 4, dsdt);
	put_pointer(t, p + FADT_X_DSDT, 8, dsdt);
	p[FADT_PROFILE] = 1;			/* desktop */
	le16_put(p + FADT_SCI, ACPIPM_SCI);
	fadt_ports(p, t->cfg->pm_base);
	le16_put(p + FADT_C2_LAT, 101);		/* no C2, no C3 */
	le16_put(p + FADT_C3_LAT, 1001);
	p[FADT_CENTURY] = RTC_CENTURY;
	le16_put(p + FADT_BOOT_ARCH, BOOT_LEGACY | BOOT_8042 | BOOT_NO_VGA);
	le32_put(p + FADT_FLAGS, FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLEEP_BUTTON |
		 FADT_RESET_SUP);
	finish(t, p, "FACP", 4, FADT_LEN);
	return p;
}

static uint8_t *madt_entry(struct tables *t, uint8_t type, uint8_t len)
{
	uint8_t *p = t->buf + t->len;

	assert(t->len + len <= ACPI_LEN);
	memset(p, 0, len);
	p[0] = type;
	p[1] = len;
	t->len += len;
	return p;
}

static uint8_t *make_madt(struct tables *t, unsigned cpus)
{
	uint8_t *madt = t->buf + t->len, *p;
	size_t start = t->len;

	memset(madt, 0, HDR_LEN + 8);
	t->len += HDR_LEN + 8;
	le32_put(madt + HDR_LEN, LAPIC_BASE);
	le32_put(madt + HDR_LEN + 4, 1);	/* there are 8259s too */
	for (unsigned i = 0; i < cpus; i++) {
		p = madt_entry(t, MADT_LAPIC, 8);
		p[2] = p[3] = (uint8_t)i;
		p[4] = 1;			/* enabled */
	}
	p = madt_entry(t, MADT_IOAPIC, 12);
	p[2] = (uint8_t)cpus;
	le32_put(p + 4, IOAPIC_BASE);
	p = madt_entry(t, MADT_OVERRIDE, 10);
	le32_put(p + 4, 2);			/* ISA IRQ 0 is pin 2 */
	p = madt_entry(t, MADT_OVERRIDE, 10);
	p[3] = ACPIPM_SCI;
	le32_put(p + 4, ACPIPM_SCI);
	le16_put(p + 8, LEVEL_HIGH);
	p = madt_entry(t, MADT_LAPIC_NMI, 6);
	p[2] = 0xff;				/* all processors, LINT1 */
	p[5] = 1;
	finish(t, madt, "APIC", 3, t->len - start);
	t->len = (t->len + 15) & ~(size_t)15;
	return madt;
}

static uint8_t *make_hpet(struct tables *t)
{
	uint8_t *p = take(t, HPET_LEN);

	le32_put(p + 36, HPET_ID);
	gas(p + 40, GAS_MEMORY, 0, HPET_BASE);
	le16_put(p + 53, 0x80);			/* least ticks between interrupts */
	finish(t, p, "HPET", 1, HPET_LEN);
	return p;
}

static uint8_t *make_sdt(struct tables *t, const uint32_t *entry, unsigned n, bool wide)
{
	size_t len = HDR_LEN + n * (wide ? 8 : 4);
	uint8_t *p = take(t, len);

	for (unsigned i = 0; i < n; i++)
		put_pointer(t, p + HDR_LEN + (wide ? 8 : 4) * i, wide ? 8 : 4, entry[i]);
	finish(t, p, wide ? "XSDT" : "RSDT", 1, len);
	return p;
}

size_t acpi_build(uint8_t buf[ACPI_LEN], const struct acpi_config *c, struct acpi_fixups *fix)
{
	struct tables t = { .buf = buf, .cfg = c, .fix = fix };
	uint32_t facs, dsdt, entry[3];
	uint8_t *rsdp;

	memset(buf, 0, ACPI_LEN);	/* also what lies between tables */
	if (fix)
		fix->npointers = fix->nsums = 0;
	rsdp = take(&t, ACPI_TABLES);
	facs = gpa_of(&t, make_facs(&t));
	dsdt = gpa_of(&t, make_dsdt(&t));
	entry[0] = gpa_of(&t, make_fadt(&t, facs, dsdt));
	entry[1] = gpa_of(&t, make_madt(&t, c->cpus));
	entry[2] = gpa_of(&t, make_hpet(&t));
	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + 9, "RING1 ", 6);
	rsdp[15] = 2;
	put_pointer(&t, rsdp + 16, 4, gpa_of(&t, make_sdt(&t, entry, 3, false)));
	le32_put(rsdp + 20, RSDP_LEN);
	put_pointer(&t, rsdp + 24, 8, gpa_of(&t, make_sdt(&t, entry, 3, true)));
	put_sum(&t, rsdp + 8, rsdp, RSDP_LEN_V1);
	put_sum(&t, rsdp + 32, rsdp, RSDP_LEN);
	return t.len;
}
