#include "pc/elf.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

/* Both classes, widened.  Headers are copied out: a file may be cut anywhere. */
static bool read_ehdr(Elf64_Ehdr *h, const uint8_t *file, size_t len)
{
	Elf32_Ehdr n;

	if (file[EI_CLASS] == ELFCLASS64) {
		if (len < sizeof(*h))
			return false;
		memcpy(h, file, sizeof(*h));
		return true;
	}
	if (len < sizeof(n))
		return false;
	memcpy(&n, file, sizeof(n));
	*h = (Elf64_Ehdr){ .e_type = n.e_type, .e_machine = n.e_machine,
		.e_entry = n.e_entry, .e_phoff = n.e_phoff,
		.e_phentsize = n.e_phentsize, .e_phnum = n.e_phnum };
	return true;
}

static void read_phdr(Elf64_Phdr *p, const uint8_t *at, bool wide)
{
	Elf32_Phdr n;

	if (wide) {
		memcpy(p, at, sizeof(*p));
		return;
	}
	memcpy(&n, at, sizeof(n));
	*p = (Elf64_Phdr){ .p_type = n.p_type, .p_offset = n.p_offset,
		.p_vaddr = n.p_vaddr, .p_paddr = n.p_paddr,
		.p_filesz = n.p_filesz, .p_memsz = n.p_memsz };
}

bool elf_probe(const uint8_t *file, size_t len)
{
	return len >= EI_NIDENT && !memcmp(file, ELFMAG, SELFMAG);
}

static int add_segment(struct elf_image *img, const Elf64_Phdr *p, uint64_t entry,
		       size_t len, struct err *e)
{
	if (p->p_type != PT_LOAD || !p->p_memsz)
		return 0;
	if (p->p_offset > len || p->p_filesz > len - p->p_offset)
		return err_set(e, -EBADMSG, "truncated ELF file");
	if (p->p_filesz > p->p_memsz || p->p_memsz > UINT64_MAX - p->p_paddr)
		return err_set(e, -EBADMSG, "ELF segment with absurd sizes");
	if (img->nsegs == ELF_SEGMENTS)
		return err_set(e, -ENOTSUP, "more than %u ELF segments", ELF_SEGMENTS);
	img->seg[img->nsegs++] = (struct elf_segment){ .off = p->p_offset,
		.len = p->p_filesz, .gpa = p->p_paddr, .mem_len = p->p_memsz };
	/* The entry is a linear address; it is entered with paging off. */
	if (entry - p->p_vaddr < p->p_memsz)
		img->entry = p->p_paddr + (entry - p->p_vaddr);
	return 0;
}

int elf_read(struct elf_image *img, const uint8_t *file, size_t len, struct err *e)
{
	bool wide = file[EI_CLASS] == ELFCLASS64;
	size_t size = wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	Elf64_Ehdr h;
	int rc = 0;

	*img = (struct elf_image){ 0 };
	if (!read_ehdr(&h, file, len))
		return err_set(e, -EBADMSG, "truncated ELF file");
	if (file[EI_DATA] != ELFDATA2LSB ||
	    (h.e_machine != EM_386 && h.e_machine != EM_X86_64))
		return err_set(e, -ENOTSUP, "ELF file for another processor");
	if (h.e_phentsize != size || h.e_phoff > len ||
	    (uint64_t)h.e_phnum * size > len - h.e_phoff)
		return err_set(e, -EBADMSG, "damaged ELF program headers");
	img->entry = h.e_entry;
	for (unsigned i = 0; i < h.e_phnum && !rc; i++) {
		Elf64_Phdr p;

		read_phdr(&p, file + h.e_phoff + i * size, wide);
		rc = add_segment(img, &p, h.e_entry, len, e);
	}
	if (!rc && !img->nsegs)
		rc = err_set(e, -EBADMSG, "ELF file with nothing to load");
	return rc;
}
