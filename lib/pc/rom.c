#include "pc/rom.h"

#include <errno.h>

static uint64_t whole_pages(uint64_t n)
{
	return (n + PAGE_SIZE - 1) & PAGE_MASK;
}

static uint64_t low_len(const struct image *im)
{
	return im->len < ROM_LOW_MAX ? im->len : ROM_LOW_MAX;
}

static uint64_t shadow_len(const struct image *im)
{
	return (low_len(im) + MEM_SHADOW_SEG - 1) & ~(MEM_SHADOW_SEG - 1);
}

uint64_t rom_reserve(const struct image *im)
{
	return whole_pages(im->len) + shadow_len(im);
}

int rom_map(struct mem *m, const struct image *im, struct err *e)
{
	uint64_t high = whole_pages(im->len);
	int rc;

	if (!im->len)
		return err_set(e, -EBADMSG, "a ROM image without a byte");
	rc = mem_add_rom(m, (4ull << 30) - high, high, im->data, im->len, e);
	if (rc)
		return rc;
	return mem_add_shadow_rom(m, shadow_len(im), im->data + (im->len - low_len(im)),
				  low_len(im), e);
}
