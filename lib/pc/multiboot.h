#ifndef PC_MULTIBOOT_H
#define PC_MULTIBOOT_H
/*
 * Multiboot 1 and 2 kernels: ELF, or the addresses in the header ("a.out
 * kludge").
 * Spec: Multiboot Specification 0.6.96; Multiboot2 Specification 2.0.
 */

#include "pc/boot.h"
#include "pc/elf.h"

struct multiboot_image {
	unsigned version;	/* 1 or 2 */
	struct elf_image elf;	/* or what the header says in its place */
	uint64_t end;		/* first byte behind kernel, modules and info */
	bool screen;		/* it wants to hear of a screen */
	uint32_t info_addr;	/* MBINFO_MAX bytes, then the segment table */
	uint32_t module_addr[BOOT_MODULES];
};

/* Has it a Multiboot header?  Then errors are about it. */
bool multiboot_probe(const struct image *kernel);

/*
 * Check a kernel, its command line and modules, and say where all goes.
 *
 * rq         as read from the files
 * ram        guest memory, bytes
 * Returns    0 with *mb filled; -EBADMSG: damaged; -ENOTSUP: it asks for what
 *            we do not have; -ENOSPC: more memory is needed; -E2BIG: the command
 *            line is too long
 */
int multiboot_check(struct multiboot_image *mb, const struct boot_request *rq,
		    uint64_t ram, struct err *e);

/* Put into m what multiboot_check() accepted, and set c to its entry. */
void multiboot_load(const struct multiboot_image *mb, const struct boot_request *rq,
		    struct mem *m, struct x86_cpu *c);
#endif
