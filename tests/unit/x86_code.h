#ifndef X86_CODE_H
#define X86_CODE_H
/* The executable sections of ELF files, as code to decode. */
#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct code {
	uint8_t *image;		/* the whole file, mapped */
	size_t size;
	unsigned mode;		/* 32 or 64 */
	unsigned sections, next;
};

/* false: there is no such file, or it is no x86 ELF file */
static inline bool code_open(struct code *c, const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY);

	memset(c, 0, sizeof(*c));
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(Elf64_Ehdr)) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	c->size = st.st_size;
	c->image = mmap(NULL, c->size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (c->image == MAP_FAILED)
		return false;
	if (memcmp(c->image, ELFMAG, SELFMAG)) {
		munmap(c->image, c->size);
		return false;
	}
	c->mode = c->image[EI_CLASS] == ELFCLASS64 ? 64 : 32;
	c->sections = c->mode == 64 ? ((Elf64_Ehdr *)c->image)->e_shnum :
				      ((Elf32_Ehdr *)c->image)->e_shnum;
	return true;
}

/* The next executable section; false when there are no more. */
static inline bool code_next(struct code *c, const uint8_t **text, size_t *len)
{
	while (c->next < c->sections) {
		uint64_t off, n, exec;
		uint32_t type;

		if (c->mode == 64) {
			Elf64_Ehdr *e = (Elf64_Ehdr *)c->image;
			Elf64_Shdr *s = (Elf64_Shdr *)(c->image + e->e_shoff) + c->next++;

			off = s->sh_offset, n = s->sh_size, type = s->sh_type;
			exec = s->sh_flags & SHF_EXECINSTR;
		} else {
			Elf32_Ehdr *e = (Elf32_Ehdr *)c->image;
			Elf32_Shdr *s = (Elf32_Shdr *)(c->image + e->e_shoff) + c->next++;

			off = s->sh_offset, n = s->sh_size, type = s->sh_type;
			exec = s->sh_flags & SHF_EXECINSTR;
		}
		if (type != SHT_PROGBITS || !exec || off > c->size || n > c->size - off)
			continue;
		*text = c->image + off;
		*len = n;
		return true;
	}
	return false;
}

static inline void code_close(struct code *c)
{
	munmap(c->image, c->size);
}
#endif
