#include "vmm/mem.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

static void sizes(void)
{
	static const struct { uint64_t ram, rom; int rc; } cases[] = {
		{ 0, 0, -EINVAL }, { MEM_SIZE_MIN - 4096, 0, -EINVAL },
		{ MEM_SIZE_MIN, 0, 0 }, { MEM_SIZE_MIN + 1, 0, -EINVAL },
		{ MEM_SIZE_MAX, 0, 0 }, { MEM_SIZE_MAX + 4096, 0, -EINVAL },
		{ UINT64_MAX & PAGE_MASK, 0, -EINVAL }, { 1ull << 63, 0, -EINVAL },
		{ MEM_SIZE_MIN, 17, -EINVAL }, { MEM_SIZE_MIN, 1ull << 40, -EINVAL },
		{ MEM_SIZE_MIN, UINT64_MAX & PAGE_MASK, -EINVAL },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err e = { 0 };
		struct mem *m = mem_new(cases[i].ram, cases[i].rom, &e);

		check(!m == !!cases[i].rc, "case %u", i);
		check(e.code == cases[i].rc && !e.msg[0] == !e.code,
		      "case %u: %d %s", i, e.code, e.msg);
		mem_free(m);
	}
	mem_free(NULL);
}

static void layout(void)
{
	struct err e = { 0 };
	struct mem *m = mem_new(5ull << 30, 0, &e);

	check(m, "%s", e.msg);
	if (!m)
		return;
	check(m->slot[0].len >= m->slot[1].len, "the largest slot first");
	check(mem_off(m, 0) == 0, "start");
	check(mem_off(m, 0x9ffff) == 0x9ffff, "below VGA");
	check(mem_off(m, 0xa0000) == UINT64_MAX, "VGA hole");
	check(mem_off(m, 0xbffff) == UINT64_MAX, "VGA hole's end");
	check(mem_off(m, 0xc0000) == 0xc0000, "above VGA");
	check(mem_off(m, MEM_LOW_MAX - 1) == MEM_LOW_MAX - 1, "last low byte");
	check(mem_off(m, MEM_LOW_MAX) == UINT64_MAX, "PCI hole");
	check(mem_off(m, MEM_HIGH_BASE - 1) == UINT64_MAX, "PCI hole's end");
	check(mem_off(m, MEM_HIGH_BASE) == MEM_LOW_MAX, "first high byte");
	check(mem_off(m, MEM_HIGH_BASE + (2ull << 30) - 1) == m->len - 1, "last byte");
	check(mem_off(m, MEM_HIGH_BASE + (2ull << 30)) == UINT64_MAX, "behind it");
	check(mem_off(m, UINT64_MAX) == UINT64_MAX, "the far end");
	mem_free(m);
}

/* Nothing is mapped around guest memory. */
static void guards(struct mem *m)
{
	unsigned char v;
	int fd[2];

	check(!pipe(fd), "pipe");
	check(write(fd[1], m->hva, 1) == 1 && write(fd[1], m->hva + m->len - 1, 1) == 1, "inside");
	check(write(fd[1], m->hva - 1, 1) < 0 && errno == EFAULT, "in front of it");
	check(write(fd[1], m->hva + m->len, 1) < 0 && errno == EFAULT, "behind it");
	check(write(fd[1], m->hva + m->len + (2 << 20) - 1, 1) < 0 && errno == EFAULT,
	      "2 MiB behind it");
	check(read(fd[0], &v, 1) == 1, "pipe");
	close(fd[0]);
	close(fd[1]);
}

static void pointers(struct mem *m)
{
	check(mem_ptr(m, 0, 0xa0000) == m->hva, "all of conventional memory");
	check(!mem_ptr(m, 0, 0xa0001), "into the hole");
	check(!mem_ptr(m, 0x1000, UINT64_MAX), "overflowing length");
	check(!mem_ptr(m, 0x1000, UINT64_MAX - 0xfff), "wrapping to 0");
	check(!mem_ptr(m, UINT64_MAX, 2), "overflowing address");
	check(mem_ptr(m, (4u << 20) - 1, 1), "last byte");
	check(!mem_ptr(m, (4u << 20) - 1, 2), "one more");
	check(!mem_ptr(m, 4u << 20, 0), "no byte there");
}

static void copies(struct mem *m)
{
	uint8_t buf[0x30000], back[16];

	memset(buf, 0x5a, sizeof(buf));
	check(!mem_write(m, 0x98000, buf, sizeof(buf)), "across the hole");
	check(m->hva[0x98000] == 0x5a && m->hva[0x9ffff] == 0x5a, "below it");
	check(m->hva[0xc0000] == 0x5a && m->hva[0xc7fff] == 0x5a, "above it");
	check(m->hva[0xc8000] == 0, "no further");
	check(!mem_read(m, 0x9fff8, back, 16), "half of it is hole");
	check(back[7] == 0x5a && back[8] == 0xff && back[15] == 0xff, "ones there");
	check(mem_write(m, 0x1000, buf, 16) && mem_read(m, 0x1000, back, 16) &&
	      !memcmp(buf, back, 16), "plain copy");
	check(!mem_read(m, UINT64_MAX - 3, back, 16), "wraps around");
	check(back[0] == 0xff, "ones at the top");
	check(mem_read(m, UINT64_MAX, back, 0), "nothing at all");
}

static void roms(struct mem *m)
{
	static const uint8_t image[5] = { 1, 2, 3, 4, 5 };
	struct err e = { 0 };
	uint64_t top = (4ull << 30) - 0x2000;
	uint8_t buf[8];

	check(mem_add_rom(m, 0xf0000, 0x1000, image, 5, &e) == 0, "%s", e.msg);
	check(mem_add_rom(m, top, 0x2000, image, 5, &e) == 0, "%s", e.msg);
	check(mem_read(m, 0xf0ff8, buf, 8), "read");
	check(buf[2] == 0xff && buf[3] == 1 && buf[7] == 5, "image at the end");
	check(mem_read(m, top + 0x1ff8, buf, 8) && buf[7] == 5, "at the top too");
	check(!mem_write(m, 0xf0ff8, buf + 4, 1), "writes are dropped");
	check(mem_read(m, 0xf0ff8, buf, 1) && buf[0] == 0xff, "indeed");
	check(mem_off(m, 0xeffff) == 0xeffff && mem_off(m, 0xf1000) == 0xf1000,
	      "RAM on both sides");
	check(mem_slot_find(m, 0xf0000)->rom, "slot is ROM");
	check(m->pflags[mem_off(m, 0xf0000) >> PAGE_SHIFT] & MEM_PF_ROM, "page flag");
	check(mem_add_rom(m, 0xd0000, 0x2000, image, 5, &e) == -ENOSPC, "full");
	check(mem_add_rom(m, 0xd0100, 0x1000, image, 5, &e) == -EINVAL, "alignment");
	check(mem_add_rom(m, 0xd0000, 0, image, 0, &e) == -EINVAL, "empty");
	check(mem_add_rom(m, 0xd0000, 0x1000, image, 0x1001, &e) == -EINVAL, "image");
	check(mem_add_rom(m, UINT64_MAX & PAGE_MASK, 0x2000, image, 5, &e) == -EINVAL,
	      "end of the world");
}

static uint64_t told_gpa, told_len, told;

static void on_write(void *ptr, uint64_t gpa, uint64_t len)
{
	told_gpa = gpa;
	told_len = len;
	told++;
}

static void dirty(struct mem *m)
{
	uint8_t buf[0x2000] = { 0 };

	m->on_write = on_write;
	m->pflags[5] |= MEM_PF_CODE;
	mem_write(m, 0x4f00, buf, 0x80);
	check(told == 0, "another page");
	mem_write(m, 0x4ff0, buf, 0x20);
	check(told == 1 && told_gpa == 0x5000 && told_len == 0x10, "%#lx+%#lx",
	      told_gpa, told_len);
	check(m->pflags[4] & MEM_PF_DIRTY && m->pflags[5] & MEM_PF_DIRTY, "logged");
	mem_dirty(m, 0x9ff00, 0x200);	/* into the hole */
	mem_dirty(m, UINT64_MAX - 1, 2);
	check(told == 1, "holes have no code");
}

/* What is read at gpa, and what is there after v was written, by DMA and on the bus. */
static void segment(struct mem *m, uint64_t gpa, const char *what, int read, bool ram_written)
{
	static uint8_t v = 0x50;
	uint8_t got = 0x77;

	v++;
	check(mem_read(m, gpa, &got, 1) == (read >= 0) && got == (read < 0 ? 0xff : read),
	      "%s: read %#x", what, got);
	if (!mem_slot_find(m, gpa) || mem_slot_find(m, gpa)->rom)
		mem_shadow_write(m, gpa, &v, 1);
	else
		mem_write(m, gpa, &v, 1);
	check((m->hva[gpa] == v) == ram_written, "%s: written", what);
	m->hva[gpa] = 0x33;
}

static void shadow_all(struct mem *m, uint8_t how)
{
	for (unsigned i = 0; i < MEM_SHADOW_SEGS; i++)
		mem_shadow_set(m, i, how);
	mem_shadow_apply(m);
}

static void shadow(void)
{
	static const uint8_t image[] = { 9, 8, 7 };
	struct err e = { 0 };
	struct mem *m = mem_new(4 << 20, 64 << 10, &e);
	uint64_t in_rom = MEM_SHADOW_END - 1, below = 0xeffff;
	unsigned slots = m->nslots;

	check(mem_add_shadow_rom(m, 64 << 10, image, 3, &e) == 0, "%s", e.msg);
	check(mem_add_shadow_rom(m, 16 << 10, image, 3, &e) == -ENOSPC, "no more room");
	check(mem_add_shadow_rom(m, 4096, image, 3, &e) == -EINVAL, "less than a segment");
	check(mem_add_shadow_rom(m, 512 << 10, image, 3, &e) == -EINVAL, "too much");
	m->hva[in_rom] = m->hva[below] = 0x33;
	segment(m, in_rom, "at first all is RAM", 0x33, true);

	mem_shadow_set(m, 15, 0);
	check(m->moves, "asked for");
	segment(m, in_rom, "not yet", 0x33, true);
	shadow_all(m, 0);
	check(!m->moves, "done");
	segment(m, in_rom, "ROM", 7, false);
	segment(m, below, "nothing", -1, false);
	check(m->nslots == slots + 1, "%u slots", m->nslots);
	shadow_all(m, MEM_SHADOW_WRITE);
	segment(m, in_rom, "write only", 7, true);
	segment(m, below, "write only, no ROM", -1, true);
	check(m->pflags[below >> PAGE_SHIFT] & MEM_PF_DIRTY, "logged");
	shadow_all(m, MEM_SHADOW_READ);
	segment(m, in_rom, "read only", 0x33, false);
	check(m->pflags[in_rom >> PAGE_SHIFT] & MEM_PF_ROM, "as ROM");

	m->on_write = on_write;
	m->pflags[below >> PAGE_SHIFT] |= MEM_PF_CODE;
	told = 0;
	shadow_all(m, MEM_SHADOW_READ | MEM_SHADOW_WRITE);
	check(told == 1 && told_gpa == (below & PAGE_MASK) && told_len == PAGE_SIZE,
	      "code of what was there goes");
	segment(m, in_rom, "RAM again", 0x33, true);
	check(m->nslots == slots && !(m->pflags[in_rom >> PAGE_SHIFT] & MEM_PF_ROM),
	      "one piece again");
	for (unsigned i = 0; i < MEM_SHADOW_SEGS; i++)
		mem_shadow_set(m, i, i % 4);
	mem_shadow_apply(m);
	check(m->nslots <= MEM_SLOTS && m->slot[0].len >= 3 << 20, "in pieces: %u", m->nslots);
	for (unsigned i = 0; i < MEM_SHADOW_SEGS; i++) {
		uint64_t gpa = MEM_SHADOW_BASE + i * MEM_SHADOW_SEG;

		m->hva[gpa] = 0x33;
		segment(m, gpa, "in pieces", i & MEM_SHADOW_READ ? 0x33 : i < 12 ? -1 : 0xff,
			i & MEM_SHADOW_WRITE);
	}
	mem_free(m);
}

int main(void)
{
	struct err e = { 0 };
	struct mem *m = mem_new(4 << 20, 0x4000, &e);

	check(m, "%s", e.msg);
	if (m) {
		pointers(m);
		guards(m);
		copies(m);
		roms(m);
		dirty(m);
	}
	mem_free(m);
	sizes();
	layout();
	shadow();
	return check_done();
}
