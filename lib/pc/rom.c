#include "pc/rom.h"

static uint64_t whole_pages(uint64_t n)
{
	return (n + PAGE_SIZE - 1) & PAGE_MASK;
}

static uint64_t low_len(const struct image *im)
{
	return im->len < ROM_LOW_MAX ? im->len : ROM_LOW_MAX;
}

uint64_t rom_reserve(const struct image *im)
{
	return whole_pages(im->len) + whole_pages(low_len(im));
}

int rom_map(struct mem *m, const struct image *im, struct err *e)
{
	uint64_t high = whole_pages(im->len), low = whole_pages(low_len(im));
	int rc;

	rc = mem_add_rom(m, (4ull << 30) - high, high, im->data, im->len, e);
	if (rc)
		return rc;
	return mem_add_rom(m, (1ull << 20) - low, low,
			   im->data + (im->len - low_len(im)), low_len(im), e);
}
