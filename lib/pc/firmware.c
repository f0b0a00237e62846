#include "pc/firmware.h"

#include <errno.h>
#include <string.h>

#include "base/le.h"
#include "dev/fwcfg.h"
#include "dev/piix4.h"
#include "pc/acpi.h"
#include "pc/blrom.h"
#include "pc/bootorder.h"
#include "pc/dmi.h"
#include "pc/e820.h"
#include "pc/machine.h"

#define FILE_TABLES	"etc/acpi/tables"
#define FILE_RSDP	"etc/acpi/rsdp"
#define FILE_SCRIPT	"etc/table-loader"

/* Script entries: command, then its operands. */
enum { ENTRY_LEN = 128, NAME_LEN = 56, ENTRIES = 2 + 16 + 12 };
enum { ALLOCATE = 1, ADD_POINTER = 2, ADD_CHECKSUM = 3 };
enum { ZONE_HIGH = 1, ZONE_FSEG = 2 };

struct script {
	uint8_t buf[ENTRIES * ENTRY_LEN];
	unsigned n;
};

static uint8_t *entry(struct script *s, uint32_t command)
{
	uint8_t *p = s->buf + s->n++ * ENTRY_LEN;

	memset(p, 0, ENTRY_LEN);
	le32_put(p, command);
	return p + 4;
}

static void allocate(struct script *s, const char *file, uint32_t align, uint8_t zone)
{
	uint8_t *p = entry(s, ALLOCATE);

	strcpy((char *)p, file);
	le32_put(p + NAME_LEN, align);
	p[NAME_LEN + 4] = zone;
}

/* The file that holds byte at of the tables, which becomes an offset in it. */
static const char *file_of(uint32_t *at)
{
	if (*at < ACPI_TABLES)
		return FILE_RSDP;
	*at -= ACPI_TABLES;
	return FILE_TABLES;
}

static void add_pointer(struct script *s, const struct acpi_pointer *ptr)
{
	uint8_t *p = entry(s, ADD_POINTER);
	uint32_t at = ptr->at;

	strcpy((char *)p, file_of(&at));
	strcpy((char *)p + NAME_LEN, FILE_TABLES);
	le32_put(p + 2 * NAME_LEN, at);
	p[2 * NAME_LEN + 4] = ptr->size;
}

static void add_sum(struct script *s, const struct acpi_sum *sum)
{
	uint8_t *p = entry(s, ADD_CHECKSUM);
	uint32_t at = sum->at, start = sum->start;

	strcpy((char *)p, file_of(&at));
	file_of(&start);
	le32_put(p + NAME_LEN, at);
	le32_put(p + NAME_LEN + 4, start);
	le32_put(p + NAME_LEN + 8, sum->len);
}

/* Pointers hold offsets in the file that they lead to. */
static int tell_acpi(struct pc *pc, struct err *e)
{
	uint16_t pm_base = piix4_pm_base(pc->dev[PC_DEV_PIIX4]);
	struct acpi_config cfg = { .gpa = -(uint32_t)ACPI_TABLES, .cpus = pc->vm.ncpus,
				   .pm_base = pm_base };
	struct fwcfg *f = pc->dev[PC_DEV_FWCFG];
	uint8_t buf[ACPI_LEN];
	struct acpi_fixups fix;
	struct script s = { .n = 0 };
	size_t len = acpi_build(buf, &cfg, &fix);
	int rc;

	allocate(&s, FILE_RSDP, 16, ZONE_FSEG);
	allocate(&s, FILE_TABLES, 64, ZONE_HIGH);
	for (unsigned i = 0; i < fix.npointers; i++)
		add_pointer(&s, &fix.pointer[i]);
	for (unsigned i = 0; i < fix.nsums; i++)
		add_sum(&s, &fix.sum[i]);
	rc = fwcfg_set_file(f, FILE_RSDP, buf, ACPI_RSDP_LEN, e);
	if (!rc)
		rc = fwcfg_set_file(f, FILE_TABLES, buf + ACPI_TABLES,
				    (uint32_t)(len - ACPI_TABLES), e);
	if (!rc)
		rc = fwcfg_set_file(f, FILE_SCRIPT, s.buf, s.n * ENTRY_LEN, e);
	return rc;
}

/* The ports of power management are where firmware has put them by then. */
static void before_read(void *ptr, const char *name)
{
	struct err e;

	if (!strcmp(name, FILE_SCRIPT))
		tell_acpi(ptr, &e);	/* without memory the old ones stay */
}

static int tell_smbios(struct pc *pc, struct err *e)
{
	struct fwcfg *f = pc->dev[PC_DEV_FWCFG];
	uint8_t buf[DMI_LEN];
	size_t len = dmi_build(buf, 0, pc->vm.mem->ram_size, pc->vm.ncpus);
	int rc = fwcfg_set_file(f, "etc/smbios/smbios-anchor", buf, DMI_ENTRY_LEN, e);

	return rc ? rc : fwcfg_set_file(f, "etc/smbios/smbios-tables", buf + DMI_TABLES,
					(uint32_t)(len - DMI_TABLES), e);
}

/* RAM only: what else is reserved firmware knows. */
static int tell_memory(struct pc *pc, struct err *e)
{
	enum { LEN = 20 };
	uint64_t ram = pc->vm.mem->ram_size, low = e820_low_ram(ram);
	struct fwcfg *f = pc->dev[PC_DEV_FWCFG];
	uint8_t map[2 * LEN], size[8];
	unsigned n = 1;
	int rc;

	le64_put(map, 0);
	le64_put(map + 8, low);
	le32_put(map + 16, E820_RAM);
	if (ram > low) {
		le64_put(map + LEN, MEM_HIGH_BASE);
		le64_put(map + LEN + 8, ram - low);
		le32_put(map + LEN + 16, E820_RAM);
		n++;
	}
	le64_put(size, ram);
	rc = fwcfg_set(f, FWCFG_RAM, size, sizeof(size), e);
	return rc ? rc : fwcfg_set_file(f, "etc/e820", map, n * LEN, e);
}

static int tell_number(struct pc *pc, const char *file, uint32_t value, struct err *e)
{
	uint8_t v[4];

	le32_put(v, value);
	return fwcfg_set_file(pc->dev[PC_DEV_FWCFG], file, v, sizeof(v), e);
}

static int tell_word(struct pc *pc, unsigned key, unsigned value, struct err *e)
{
	uint8_t v[2];

	le16_put(v, (uint16_t)value);
	return fwcfg_set(pc->dev[PC_DEV_FWCFG], key, v, sizeof(v), e);
}

/* A console on the serial port; a machine without anything to boot says so and waits. */
static int tell_boot(struct pc *pc, struct err *e)
{
	int rc = tell_word(pc, FWCFG_BOOT_MENU, pc->cfg.boot_menu, e);
	char order[BOOTORDER_LEN];

	if (!rc)
		rc = fwcfg_set_file(pc->dev[PC_DEV_FWCFG], "bootorder", order,
				    (uint32_t)bootorder_build(order, &pc->cfg), e);
	if (!rc)
		rc = tell_number(pc, "etc/boot-fail-wait", UINT32_MAX, e);
	if (!rc)
		rc = tell_number(pc, "etc/sercon-port", COM1_PORT, e);
	return rc;
}

/* A driver for adapters that the firmware has none for. */
static int tell_roms(struct pc *pc, struct err *e)
{
	uint8_t rom[BLROM_MAX];

	for (unsigned i = 0; i < pc->cfg.ndisks; i++)
		if (pc->cfg.disks[i].bus == PC_BUS_SCSI &&
		    pc->cfg.disks[i].scsi == PC_SCSI_BUSLOGIC)
			return fwcfg_set_file(pc->dev[PC_DEV_FWCFG], BLROM_FILE, rom,
					      (uint32_t)blrom_build(rom), e);
	return 0;
}

int firmware_tell(struct pc *pc, struct err *e)
{
	int rc = tell_word(pc, FWCFG_CPUS, pc->vm.ncpus, e);

	if (!rc)
		rc = tell_word(pc, FWCFG_CPUS_MAX, pc->vm.ncpus, e);
	if (!rc)
		rc = tell_memory(pc, e);
	if (!rc)
		rc = tell_acpi(pc, e);
	if (!rc)
		rc = tell_smbios(pc, e);
	if (!rc)
		rc = tell_boot(pc, e);
	if (!rc)
		rc = tell_roms(pc, e);
	fwcfg_on_read(pc->dev[PC_DEV_FWCFG], before_read, pc);
	return rc;
}
