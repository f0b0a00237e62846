#ifndef PC_ACPI_H
#define PC_ACPI_H
/*
 * ACPI tables: RSDP, RSDT, XSDT, FADT, FACS, DSDT, MADT, HPET.
 * Spec: ACPI 6.4, section 5.2; IA-PC HPET 1.0a, 3.2.4.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACPI_LEN 0x4000		/* bytes that the tables may take */
#define ACPI_RSDP_LEN 36
#define ACPI_TABLES 64		/* where what follows the RSDP begins */

/* What depends on where the tables lie, for firmware that puts them there. */
struct acpi_fixups {
	struct acpi_pointer { uint32_t at; uint8_t size; } pointer[16];
	/* Of len bytes from start the byte at makes the sum 0; in this order. */
	struct acpi_sum { uint32_t at, start, len; } sum[12];
	unsigned npointers, nsums;
};

struct acpi_config {
	uint32_t gpa;		/* where they will lie, 64-byte aligned: the RSDP first */
	unsigned cpus;
	uint16_t pm_base;	/* of the power management ports */
};

/*
 * Build the tables.
 *
 * buf        ACPI_LEN bytes
 * fix        NULL, or filled in with where pointers and checksums are: offsets from buf
 * Returns    bytes used
 */
size_t acpi_build(uint8_t buf[ACPI_LEN], const struct acpi_config *c, struct acpi_fixups *fix);
#endif
