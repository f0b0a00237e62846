#ifndef PC_BOOT_H
#define PC_BOOT_H
/*
 * Boot loaders.  check() looks at the files once, when the machine is made;
 * load() puts them into guest memory and sets the registers of vCPU 0, at every
 * start and reset.  Nothing in the files is trusted.
 */

#include "pc/image.h"
#include "vmm/mem.h"
#include "x86/cpu.h"

#define BOOT_MODULES 16

/* What the user asked for. */
struct boot_request {
	struct image kernel;
	struct image module[BOOT_MODULES];	/* initrd; Multiboot modules */
	unsigned nmodules;
	const char *append;		/* command line, never NULL */
	uint64_t acpi_rsdp;		/* guest-physical, 0: none */
};

/* Registers at entry, beyond reset's; with flat segments, whose table of
 * BOOT_GDT_LEN bytes goes to gdt (64-bit: to LOWMEM_GDT). */
#define BOOT_GDT_LEN 32u
void boot_flat32(struct mem *m, struct x86_cpu *c, uint32_t gdt, uint32_t eip);
void boot_flat64(struct mem *m, struct x86_cpu *c, uint64_t rip);

/* Real mode: all data segments seg, entry at code:0. */
void boot_real(struct x86_cpu *c, uint16_t seg, uint16_t code, uint16_t sp);

/* Memory types as firmware sets them: write-back but for the PCI hole and what
 * lies from 0xa0000 to 0xdffff.  SDM vol. 3, 11.11. */
void boot_mtrrs(struct x86_cpu *c);

/*
 * Linux bzImage.
 * Spec: Linux Documentation/arch/x86/boot.rst and zero-page.rst.
 */
struct linux_image {
	uint16_t version;	/* boot protocol, 0x202 and up */
	bool real_mode;		/* too old for the 32-bit entry */
	bool is64;		/* has a 64-bit entry: a 64-bit kernel */
	size_t setup_len;	/* real-mode part of the file */
	size_t pm_len;		/* protected-mode part */
	uint32_t load_addr;
	uint64_t kernel_end;	/* first byte that the kernel does not need */
	uint64_t initrd_addr;	/* where the initrd goes, 0: none */
};

/* Is it a bzImage at all?  Then errors are about it. */
bool linux_probe(const struct image *kernel);

/*
 * Check a bzImage, command line and initrd, and say where all goes.
 *
 * rq         kernel, modules and append as they were read
 * ram        guest memory, bytes
 * Returns    0 with *li filled; -EBADMSG: damaged or truncated; -ENOTSUP:
 *            boot protocol too old; -ENOSPC: more memory is needed;
 *            -E2BIG: command line too long
 */
int linux_check(struct linux_image *li, const struct boot_request *rq,
		uint64_t ram, struct err *e);

/* Put into m what linux_check() accepted, and set c to its entry. */
void linux_load(const struct linux_image *li, const struct boot_request *rq,
		struct mem *m, struct x86_cpu *c);
#endif
