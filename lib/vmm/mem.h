#ifndef VMM_MEM_H
#define VMM_MEM_H
/*
 * Guest-physical memory.  All RAM and ROM of a VM lies in one memfd, mapped
 * MAP_SHARED once, contiguously, at mem->hva; engines map pieces of the same
 * memfd elsewhere (windows).  RAM: [0, min(size, 3 GiB)), the rest from 4 GiB.
 *
 * Every store into guest memory that is not a store of translated code goes
 * through mem_write()/mem_dirty(), so that engines drop code translated from
 * that page and see page-table changes.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define PAGE_SHIFT	12
#define PAGE_SIZE	4096ull
#define PAGE_MASK	(~(PAGE_SIZE - 1))
#define MEM_LOW_MAX	(3ull << 30)
#define MEM_HIGH_BASE	(4ull << 30)
#define MEM_SIZE_MIN	(1ull << 20)
#define MEM_SIZE_MAX	(64ull << 30)

/* Per-page flags, index: page number in the memfd (hva offset >> 12). */
enum mem_pflag {
	MEM_PF_CODE = 1,	/* an engine has code of this page: writes must be told */
	MEM_PF_PT = 2,		/* a traced page-table page: the same */
	MEM_PF_ROM = 4,		/* writes are ignored */
	MEM_PF_DIRTY = 8,	/* written since the dirty log was last read */
};
#define MEM_PF_SLOWWRITE (MEM_PF_CODE | MEM_PF_PT | MEM_PF_ROM)

struct mem_slot {
	uint64_t gpa, len;	/* bytes, page aligned */
	uint64_t off;		/* in the memfd */
	bool rom;
};

#define MEM_SLOTS 24

/*
 * What lies below 1 MiB beside RAM: in segments of 16 KiB the chipset leads reads and
 * writes each to RAM or to the ROM behind it (or to nothing, where there is none).
 * Writes that RAM does not take go to the bus.
 */
#define MEM_SHADOW_BASE	0xc0000ull
#define MEM_SHADOW_END	0x100000ull
#define MEM_SHADOW_SEG	(16ull << 10)
#define MEM_SHADOW_SEGS	16
enum mem_shadow { MEM_SHADOW_READ = 1, MEM_SHADOW_WRITE = 2 };

struct mem {
	int fd;			/* the memfd */
	uint8_t *hva;		/* all of it */
	uint8_t *reserved;	/* where that lies, and nothing else on either side */
	uint64_t reserved_len;
	uint64_t len;		/* of the memfd, bytes */
	uint64_t ram_size;	/* what the guest was given */
	struct mem_slot slot[MEM_SLOTS];
	unsigned nslots;
	uint64_t rom_used;	/* bytes of the ROM space */
	/* Of the segments from MEM_SHADOW_BASE on: enum mem_shadow as it is, and as it is
	 * to be; the ROM's place in the memfd, UINT64_MAX: none. */
	uint8_t shadow[MEM_SHADOW_SEGS], shadow_next[MEM_SHADOW_SEGS];
	uint64_t shadow_rom[MEM_SHADOW_SEGS];
	_Atomic bool moves;	/* shadow_next is another: vm_layout() */
	_Atomic uint8_t *pflags;	/* one a page of the memfd */
	/* Held while CODE or PT of a page is set or cleared, and by mem_dirty()
	 * around on_write: whoever decodes a page sets its flag under it first.
	 * Recursive: a walk of the page tables may set A in a told page. */
	pthread_mutex_t code_lock;
	/* Called by mem_dirty() before it returns, when a page with CODE or PT is hit. */
	void (*on_write)(void *ptr, uint64_t gpa, uint64_t len);
	/* NULL, or called by vm_protect_page(), behind its barrier: whoever has the page
	 * mapped elsewhere, or stores without looking at tlb.recheck, has to catch stores
	 * to it from now on. */
	void (*on_told)(void *ptr, uint64_t page);
	void *on_write_ptr;	/* of both */
};

/*
 * Allocate guest memory.
 *
 * ram        bytes, multiple of 4 KiB, MEM_SIZE_MIN..MEM_SIZE_MAX
 * rom        bytes to reserve for ROMs added later (0 is fine)
 * Returns    a mem to be freed by mem_free, or NULL with *e set
 */
struct mem *mem_new(uint64_t ram, uint64_t rom, struct err *e);
void mem_free(struct mem *m);

/* Map a ROM image at gpa (page aligned, padded with 0xff at its start so that
 * it ends at gpa + len); RAM that lay there is hidden.  Not in shadow segments, once
 * those are changed.  0 or -errno. */
int mem_add_rom(struct mem *m, uint64_t gpa, uint64_t len, const void *image,
		uint64_t image_len, struct err *e);

/* Put a ROM image behind the RAM that ends at MEM_SHADOW_END: len is a multiple of
 * MEM_SHADOW_SEG, padded as above.  0 or -errno. */
int mem_add_shadow_rom(struct mem *m, uint64_t len, const void *image, uint64_t image_len,
		       struct err *e);

/* Where a segment's reads and writes are to go (enum mem_shadow, both: RAM); from
 * vm_layout() on, which may be a long way off. */
void mem_shadow_set(struct mem *m, unsigned seg, uint8_t how);

/* A write to the shadow segments that came out on the bus: into RAM, where its segment
 * takes writes but is not read. */
void mem_shadow_write(struct mem *m, uint64_t gpa, const void *buf, uint64_t len);

/* Bring the slots to shadow_next.  For vm_layout(): all vCPUs stand still, and forget
 * afterwards what they know of the segments. */
void mem_shadow_apply(struct mem *m);

/* The slot that holds gpa, or NULL (MMIO, hole). */
const struct mem_slot *mem_slot_find(const struct mem *m, uint64_t gpa);

/* Offset in the memfd of gpa, or UINT64_MAX where there is no memory. */
static inline uint64_t mem_off(const struct mem *m, uint64_t gpa)
{
	const struct mem_slot *s = &m->slot[0];

	if (gpa - s->gpa < s->len)
		return s->off + (gpa - s->gpa);
	s = mem_slot_find(m, gpa);
	return s ? s->off + (gpa - s->gpa) : UINT64_MAX;
}

/* Host pointer to [gpa, gpa+len), or NULL when not all of it is memory in one
 * piece.  For reading; to write, call mem_dirty() afterwards. */
void *mem_ptr(const struct mem *m, uint64_t gpa, uint64_t len);

/* Copy out of, into guest memory across slots.  Bytes outside memory read as
 * 0xff and writes there or to ROM are dropped.  Returns false if any was. */
bool mem_read(const struct mem *m, uint64_t gpa, void *buf, uint64_t len);
bool mem_write(struct mem *m, uint64_t gpa, const void *buf, uint64_t len);

/* A store was made by other than translated code.  By a vCPU's thread, or while no vCPU
 * runs: vmm/dma.h. */
void mem_dirty(struct mem *m, uint64_t gpa, uint64_t len);
#endif
