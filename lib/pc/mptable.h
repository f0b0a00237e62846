#ifndef PC_MPTABLE_H
#define PC_MPTABLE_H
/*
 * The MP table, for kernels without ACPI.
 * Spec: Intel MultiProcessor Specification 1.4, chapter 4.
 */

#include <stddef.h>
#include <stdint.h>

#define MPTABLE_LEN 0x400	/* bytes that it may take */

/*
 * Build floating pointer and configuration table.
 *
 * buf        MPTABLE_LEN bytes
 * gpa        where they will lie: 16-byte aligned, 0xf0000 to 0xfffff
 * slots      a bit for each PCI slot that has functions with interrupts
 * Returns    bytes used
 */
size_t mptable_build(uint8_t buf[MPTABLE_LEN], uint32_t gpa, unsigned cpus,
		     uint32_t slots);
#endif
