#ifndef PC_ACPI_H
#define PC_ACPI_H
/*
 * ACPI tables: RSDP, RSDT, XSDT, FADT, FACS, DSDT, MADT, HPET.
 * Spec: ACPI 6.4, section 5.2; IA-PC HPET 1.0a, 3.2.4.
 */

#include <stddef.h>
#include <stdint.h>

#define ACPI_LEN 0x4000		/* bytes that the tables may take */

/*
 * Build the tables.
 *
 * buf        ACPI_LEN bytes
 * gpa        where they will lie, 16-byte aligned: the RSDP comes first
 * Returns    bytes used
 */
size_t acpi_build(uint8_t buf[ACPI_LEN], uint32_t gpa, unsigned cpus);
#endif
