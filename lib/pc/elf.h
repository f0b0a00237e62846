#ifndef PC_ELF_H
#define PC_ELF_H
/*
 * Program headers of an ELF32 or ELF64 kernel.
 * Spec: Tool Interface Standard ELF 1.2; System V ABI, x86-64 supplement.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define ELF_SEGMENTS 16

/* A piece of the file and where in guest-physical memory it goes. */
struct elf_segment {
	size_t off, len;	/* in the file */
	uint64_t gpa, mem_len;	/* mem_len >= len: the rest is zeroed */
};

struct elf_image {
	uint64_t entry;		/* guest-physical */
	struct elf_segment seg[ELF_SEGMENTS];
	unsigned nsegs;
};

/* Does the file, len bytes, begin as an ELF file does? */
bool elf_probe(const uint8_t *file, size_t len);

/*
 * Read the program headers of a file of len bytes; img holds offsets into it.
 * Returns    0, or -EBADMSG: damaged; -ENOTSUP: not a static x86 program
 */
int elf_read(struct elf_image *img, const uint8_t *file, size_t len, struct err *e);
#endif
