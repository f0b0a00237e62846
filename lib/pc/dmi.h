#ifndef PC_DMI_H
#define PC_DMI_H
/*
 * SMBIOS tables, with the names that guests take as VMware's.
 * Spec: DMTF DSP0134, System Management BIOS 2.8; Linux
 * arch/x86/kernel/cpu/vmware.c for what is looked for.
 */

#include <stddef.h>
#include <stdint.h>

#define DMI_LEN 0x800	/* bytes that the tables may take */
#define DMI_ENTRY_LEN 0x1f	/* of the entry point, which comes first */
#define DMI_TABLES 0x20		/* where the tables begin */

/*
 * Build entry point and tables.
 *
 * buf        DMI_LEN bytes
 * gpa        where they will lie: 16-byte aligned, 0xf0000 to 0xfffff
 * ram        bytes
 * Returns    bytes used
 */
size_t dmi_build(uint8_t buf[DMI_LEN], uint32_t gpa, uint64_t ram, unsigned cpus);
#endif
