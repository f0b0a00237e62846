#include "vmm/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define VGA_HOLE_BASE	0xa0000ull
#define VGA_HOLE_END	0xc0000ull
#define HUGE_SIZE	(2ull << 20)
#define ROM_MAX		(64ull << 20)

/* The biggest slot goes first, where mem_off() looks. */
static void slots_order(struct mem *m)
{
	unsigned big = 0;
	struct mem_slot s;

	for (unsigned i = 1; i < m->nslots; i++)
		if (m->slot[i].len > m->slot[big].len)
			big = i;
	s = m->slot[0];
	m->slot[0] = m->slot[big];
	m->slot[big] = s;
}

static void slot_put(struct mem *m, uint64_t gpa, uint64_t len, uint64_t off, bool rom)
{
	m->slot[m->nslots++] = (struct mem_slot){
		.gpa = gpa, .len = len, .off = off, .rom = rom };
}

/* Map the memfd at a multiple of 2 MiB, so that huge pages can back it, with nothing for
 * at least 2 MiB on either side. */
static int map_aligned(struct mem *m)
{
	m->reserved_len = m->len + 3 * HUGE_SIZE;
	m->reserved = mmap(NULL, m->reserved_len, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->reserved == MAP_FAILED) {
		m->reserved = NULL;
		return -1;
	}
	m->hva = m->reserved + HUGE_SIZE + (-(uintptr_t)m->reserved & (HUGE_SIZE - 1));
	if (mmap(m->hva, m->len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED,
		 m->fd, 0) == MAP_FAILED)
		return -1;
	madvise(m->hva, m->len, MADV_HUGEPAGE);	/* only a wish */
	return 0;
}

static int mem_map(struct mem *m, struct err *e)
{
	m->fd = memfd_create("ring1-ram", MFD_CLOEXEC);
	if (m->fd < 0)
		return err_sys(e, -errno, "cannot create guest memory");
	if (ftruncate(m->fd, (off_t)m->len))
		return err_set(e, -ENOMEM, "cannot size guest memory to %" PRIu64
			       " MiB: %s", m->len >> 20, strerror(errno));
	if (map_aligned(m))
		return err_sys(e, -ENOMEM, "cannot map %" PRIu64
			       " MiB of guest memory", m->len >> 20);
	m->pflags = calloc(m->len >> PAGE_SHIFT, sizeof(*m->pflags));
	if (!m->pflags)
		return err_sys(e, -ENOMEM, "cannot allocate page flags");
	return 0;
}

struct mem *mem_new(uint64_t ram, uint64_t rom, struct err *e)
{
	uint64_t low = ram < MEM_LOW_MAX ? ram : MEM_LOW_MAX;
	pthread_mutexattr_t recursive;
	struct mem *m;

	if (ram < MEM_SIZE_MIN || ram > MEM_SIZE_MAX || ram & ~PAGE_MASK) {
		err_set(e, -EINVAL, "guest memory of %" PRIu64 " bytes is not a multiple"
			" of 4 KiB between 1 MiB and 64 GiB", ram);
		return NULL;
	}
	if (rom > ROM_MAX || rom & ~PAGE_MASK) {
		err_set(e, -EINVAL, "ROM space of %" PRIu64 " bytes is not a multiple"
			" of 4 KiB up to 64 MiB", rom);
		return NULL;
	}
	m = calloc(1, sizeof(*m));
	if (!m) {
		err_sys(e, -ENOMEM, "cannot allocate guest memory");
		return NULL;
	}
	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&m->code_lock, &recursive);
	pthread_mutexattr_destroy(&recursive);
	m->ram_size = ram;
	m->len = ram + rom;
	if (mem_map(m, e)) {
		mem_free(m);
		return NULL;
	}
	for (unsigned i = 0; i < MEM_SHADOW_SEGS; i++) {
		m->shadow[i] = m->shadow_next[i] = MEM_SHADOW_READ | MEM_SHADOW_WRITE;
		m->shadow_rom[i] = UINT64_MAX;
	}
	slot_put(m, VGA_HOLE_END, low - VGA_HOLE_END, VGA_HOLE_END, false);
	slot_put(m, 0, VGA_HOLE_BASE, 0, false);
	if (ram > low)
		slot_put(m, MEM_HIGH_BASE, ram - low, low, false);
	slots_order(m);
	return m;
}

void mem_free(struct mem *m)
{
	if (!m)
		return;
	if (m->reserved)
		munmap(m->reserved, m->reserved_len);
	if (m->fd >= 0)
		close(m->fd);
	free((void *)m->pflags);
	pthread_mutex_destroy(&m->code_lock);
	free(m);
}

/* How many slots there will be when [gpa, end) is cut out of all. */
static unsigned slots_after_cut(const struct mem *m, uint64_t gpa, uint64_t end)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->nslots; i++) {
		const struct mem_slot *s = &m->slot[i];
		uint64_t s_end = s->gpa + s->len;

		if (s_end <= gpa || s->gpa >= end)
			n++;
		else
			n += (s->gpa < gpa) + (s_end > end);
	}
	return n;
}

static void slots_cut(struct mem *m, uint64_t gpa, uint64_t end)
{
	struct mem_slot old[MEM_SLOTS];
	unsigned n = m->nslots;

	memcpy(old, m->slot, sizeof(old));
	m->nslots = 0;
	for (unsigned i = 0; i < n; i++) {
		const struct mem_slot *s = &old[i];
		uint64_t s_end = s->gpa + s->len;

		if (s_end <= gpa || s->gpa >= end) {
			m->slot[m->nslots++] = *s;
			continue;
		}
		if (s->gpa < gpa)
			slot_put(m, s->gpa, gpa - s->gpa, s->off, s->rom);
		if (s_end > end)
			slot_put(m, end, s_end - end, s->off + (end - s->gpa), s->rom);
	}
}

/* A piece of the ROM space with an image at its end.  Its place in the memfd. */
static int rom_take(struct mem *m, uint64_t len, const void *image, uint64_t image_len,
		    uint64_t *off, struct err *e)
{
	if (len > m->len - m->ram_size - m->rom_used)
		return err_set(e, -ENOSPC, "no ROM space left for %#" PRIx64 " bytes", len);
	*off = m->ram_size + m->rom_used;
	m->rom_used += len;
	memset(m->hva + *off, 0xff, len - image_len);
	if (image_len)
		memcpy(m->hva + *off + (len - image_len), image, image_len);
	for (uint64_t p = *off >> PAGE_SHIFT; p < (*off + len) >> PAGE_SHIFT; p++)
		m->pflags[p] |= MEM_PF_ROM;
	return 0;
}

int mem_add_rom(struct mem *m, uint64_t gpa, uint64_t len, const void *image,
		uint64_t image_len, struct err *e)
{
	uint64_t off;
	int rc;

	if (!len || (gpa | len) & ~PAGE_MASK || gpa + len < gpa || image_len > len)
		return err_set(e, -EINVAL, "ROM of %" PRIu64 " bytes does not fit %#"
			       PRIx64 "+%#" PRIx64, image_len, gpa, len);
	if (slots_after_cut(m, gpa, gpa + len) + 1 > MEM_SLOTS)
		return err_set(e, -ENOSPC, "too many pieces of memory");
	rc = rom_take(m, len, image, image_len, &off, e);
	if (rc)
		return rc;
	slots_cut(m, gpa, gpa + len);
	slot_put(m, gpa, len, off, true);
	slots_order(m);
	return 0;
}

/* --- shadow segments --------------------------------------------------------------- */

static uint64_t seg_gpa(unsigned seg)
{
	return MEM_SHADOW_BASE + seg * MEM_SHADOW_SEG;
}

int mem_add_shadow_rom(struct mem *m, uint64_t len, const void *image, uint64_t image_len,
		       struct err *e)
{
	unsigned n = (unsigned)(len / MEM_SHADOW_SEG);
	uint64_t off;
	int rc;

	if (!len || len % MEM_SHADOW_SEG || n > MEM_SHADOW_SEGS || image_len > len)
		return err_set(e, -EINVAL, "ROM of %" PRIu64 " bytes does not fit below 1 MiB",
			       image_len);
	rc = rom_take(m, len, image, image_len, &off, e);
	for (unsigned i = 0; i < n && !rc; i++)
		m->shadow_rom[MEM_SHADOW_SEGS - n + i] = off + i * MEM_SHADOW_SEG;
	return rc;
}

void mem_shadow_set(struct mem *m, unsigned seg, uint8_t how)
{
	m->shadow_next[seg] = how;
	if (m->shadow[seg] != how)
		atomic_store(&m->moves, true);
}

void mem_shadow_write(struct mem *m, uint64_t gpa, const void *buf, uint64_t len)
{
	const uint8_t *p = buf;

	for (; len; gpa++, p++, len--) {
		if (gpa - MEM_SHADOW_BASE >= MEM_SHADOW_END - MEM_SHADOW_BASE ||
		    m->shadow[(gpa - MEM_SHADOW_BASE) / MEM_SHADOW_SEG] != MEM_SHADOW_WRITE)
			continue;
		m->hva[gpa] = *p;	/* low RAM lies at its own address in the memfd */
		atomic_fetch_or(&m->pflags[gpa >> PAGE_SHIFT], MEM_PF_DIRTY);
	}
}

/* What reads of a segment find: its place in the memfd, UINT64_MAX: nothing. */
static uint64_t seg_off(const struct mem *m, unsigned seg)
{
	return m->shadow[seg] & MEM_SHADOW_READ ? seg_gpa(seg) : m->shadow_rom[seg];
}

/* RAM that is read and not written is ROM for the time being. */
static void seg_flags(struct mem *m, unsigned seg)
{
	uint64_t page = seg_gpa(seg) >> PAGE_SHIFT;

	for (uint64_t i = 0; i < MEM_SHADOW_SEG >> PAGE_SHIFT; i++) {
		if (m->shadow[seg] == MEM_SHADOW_READ)
			atomic_fetch_or(&m->pflags[page + i], MEM_PF_ROM);
		else
			atomic_fetch_and(&m->pflags[page + i], (uint8_t)~MEM_PF_ROM);
	}
}

static bool seg_rom(const struct mem *m, unsigned seg)
{
	return m->shadow[seg] != (MEM_SHADOW_READ | MEM_SHADOW_WRITE);
}

/* The slots of all segments; neighbours of one kind share one. */
static void segs_put(struct mem *m)
{
	for (unsigned seg = 0, n; seg < MEM_SHADOW_SEGS; seg += n) {
		uint64_t off = seg_off(m, seg);

		for (n = 1; seg + n < MEM_SHADOW_SEGS && off != UINT64_MAX; n++)
			if (seg_off(m, seg + n) != off + n * MEM_SHADOW_SEG ||
			    seg_rom(m, seg + n) != seg_rom(m, seg))
				break;
		if (off != UINT64_MAX)
			slot_put(m, seg_gpa(seg), n * MEM_SHADOW_SEG, off, seg_rom(m, seg));
	}
}

/* As it was when nothing is shadowed: RAM on both sides of 1 MiB is one piece. */
static void slots_join(struct mem *m)
{
	struct mem_slot *low = NULL, *high = NULL;

	for (unsigned i = 0; i < m->nslots; i++) {
		struct mem_slot *s = &m->slot[i];

		if (s->gpa + s->len == MEM_SHADOW_END && !s->rom)
			low = s;
		else if (s->gpa == MEM_SHADOW_END)
			high = s;
	}
	if (!low || !high || high->rom || high->off != low->off + low->len)
		return;
	low->len += high->len;
	*high = m->slot[--m->nslots];
}

void mem_shadow_apply(struct mem *m)
{
	pthread_mutex_lock(&m->code_lock);
	for (unsigned seg = 0; seg < MEM_SHADOW_SEGS; seg++) {
		uint64_t gpa = seg_gpa(seg);

		if (m->shadow[seg] == m->shadow_next[seg])
			continue;
		/* Code of the old pages goes: it is known by their addresses. */
		for (uint64_t end = gpa + MEM_SHADOW_SEG; gpa < end; gpa += PAGE_SIZE) {
			uint64_t off = mem_off(m, gpa);

			if (off != UINT64_MAX && m->on_write &&
			    m->pflags[off >> PAGE_SHIFT] & (MEM_PF_CODE | MEM_PF_PT))
				m->on_write(m->on_write_ptr, gpa, PAGE_SIZE);
		}
	}
	for (unsigned seg = 0; seg < MEM_SHADOW_SEGS; seg++) {
		m->shadow[seg] = m->shadow_next[seg];
		seg_flags(m, seg);
	}
	slots_cut(m, MEM_SHADOW_BASE, MEM_SHADOW_END);
	segs_put(m);
	slots_join(m);
	slots_order(m);
	atomic_store(&m->moves, false);
	pthread_mutex_unlock(&m->code_lock);
}

/* --- slots ---------------------------------------------------------------------------- */

const struct mem_slot *mem_slot_find(const struct mem *m, uint64_t gpa)
{
	for (unsigned i = 0; i < m->nslots; i++)
		if (gpa - m->slot[i].gpa < m->slot[i].len)
			return &m->slot[i];
	return NULL;
}

void *mem_ptr(const struct mem *m, uint64_t gpa, uint64_t len)
{
	const struct mem_slot *s = mem_slot_find(m, gpa);

	if (!s || len > s->len - (gpa - s->gpa))
		return NULL;
	return m->hva + s->off + (gpa - s->gpa);
}

/* Bytes from gpa to the end of its slot, or of the hole before the next one,
 * but at most len. */
static uint64_t run_len(const struct mem *m, const struct mem_slot *s, uint64_t gpa,
			uint64_t len)
{
	uint64_t n = len;

	if (s)
		return n < s->len - (gpa - s->gpa) ? n : s->len - (gpa - s->gpa);
	for (unsigned i = 0; i < m->nslots; i++)
		if (m->slot[i].gpa - gpa < n)
			n = m->slot[i].gpa - gpa;
	return n;
}

bool mem_read(const struct mem *m, uint64_t gpa, void *buf, uint64_t len)
{
	uint8_t *p = buf;
	bool all = true;

	while (len) {
		const struct mem_slot *s = mem_slot_find(m, gpa);
		uint64_t n = run_len(m, s, gpa, len);

		if (s) {
			memcpy(p, m->hva + s->off + (gpa - s->gpa), n);
		} else {
			memset(p, 0xff, n);
			all = false;
		}
		p += n;
		gpa += n;
		len -= n;
	}
	return all;
}

bool mem_write(struct mem *m, uint64_t gpa, const void *buf, uint64_t len)
{
	const uint8_t *p = buf;
	bool all = true;

	while (len) {
		const struct mem_slot *s = mem_slot_find(m, gpa);
		uint64_t n = run_len(m, s, gpa, len);

		if (s && !s->rom) {
			memcpy(m->hva + s->off + (gpa - s->gpa), p, n);
			mem_dirty(m, gpa, n);
		} else {
			all = false;
		}
		p += n;
		gpa += n;
		len -= n;
	}
	return all;
}

void mem_dirty(struct mem *m, uint64_t gpa, uint64_t len)
{
	atomic_signal_fence(memory_order_seq_cst);	/* the flags are looked at behind the store */
	while (len) {
		uint64_t n = PAGE_SIZE - (gpa & ~PAGE_MASK);
		uint64_t off = mem_off(m, gpa);

		if (n > len)
			n = len;
		if (off != UINT64_MAX) {
			_Atomic uint8_t *f = &m->pflags[off >> PAGE_SHIFT];
			uint8_t old = atomic_load(f);

			if (!(old & MEM_PF_DIRTY))
				atomic_fetch_or(f, MEM_PF_DIRTY);
			if (old & (MEM_PF_CODE | MEM_PF_PT) && m->on_write) {
				pthread_mutex_lock(&m->code_lock);
				m->on_write(m->on_write_ptr, gpa, n);
				pthread_mutex_unlock(&m->code_lock);
			}
		}
		gpa += n;
		len -= n;
	}
}
