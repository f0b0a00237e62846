#ifndef BT_WINDOW_H
#define BT_WINDOW_H
/*
 * Windows: 4 GiB ranges of host address space in which pages of the guest's
 * memfd stand where the guest's page tables put them, so that translated code
 * reaches guest memory with `op gs:[ea32]`.
 *
 * A window behaves as a TLB does.  A page is mapped when it is first touched
 * (SIGSEGV), with A set, writable only once D is set, the page tables allow it
 * and no one wants to be told of writes (MEM_PF_SLOWWRITE).  It may stay
 * mapped until the guest flushes it: at INVLPG the page; after MOV CR3 (of its PCID) a user
 * window is compared with the page tables before it is next used.
 *
 * 64-bit code has wide windows, each for one half of the address space: up to 64 slots
 * of 512 GiB, for the PML4 entries of that half that lead anywhere; see winwide.c.
 *
 * The kernel window (CPL 0, and paging off) holds supervisor pages only; a user
 * window holds user pages of one CR3.  So no access can reach what its
 * privilege forbids, whatever the instruction does; beyond 4 GiB lies a guard.
 */

#include <stdbool.h>
#include <stdint.h>

#include "bt/unit.h"
#include "x86/walk.h"

#define BT_WINDOWS	10
#define WIN_KERNEL	0	/* the kernel's; of 64-bit code the upper half */
#define WIN_KERNEL_LOW	1	/* the lower half of 64-bit code at CPL 0 */
#define WIN_USER	2	/* the first of the users' */

/* A leaf page table behind pages of a user window, as it was when they were
 * mapped: comparing it is far cheaper than walking for every page. */
struct win_table {
	uint32_t first;		/* first guest page it covers */
	uint64_t pde_gpa, pde;	/* the entry that points to it */
	uint64_t upper;		/* long mode: of what stands above that */
	uint8_t *copy;		/* PAGE_SIZE bytes; NULL: pde maps a large page */
};

#define WIN_TABLES_MAX 64

#define WIDE_BITS_MAX	6
#define WIDE_SLOTS_MAX	(1u << WIDE_BITS_MAX)
#define WIDE_HALF	256u		/* PML4 entries */
/* A base under which nothing can be reached: all addresses are folded to 0 or -1. */
#define WIDE_NONE	0xffffc00000000000ull
#define WIDE_NO_ROOT	UINT64_MAX
/* Around the ends of a slot, on both sides, nothing is mapped: so far an access may be
 * off the address that was folded. */
#define WIDE_EDGE	(1ll << 20)

#define WIN_LOCAL_MAX 64

struct bt_window {
	uint8_t *base;		/* NULL: not made yet */
	bool wide, high;
	bool hopeless;			/* no bits will do, or there was no room */
	uint64_t refused_tsc;		/* since when */
	uint8_t bits;			/* wide: which of bits 39-46 tell slots apart */
	uint16_t owner[WIDE_SLOTS_MAX];	/* PML4 entry of a slot, in its half, + 1; 0: none */
	uint64_t root;			/* of the PML4 that was looked at, or WIDE_NO_ROOT */
	uint64_t pml4[WIDE_HALF];	/* what stood there, without A */
	uint64_t leads[WIDE_HALF / 64];	/* bitmap: entries that lead anywhere */
	uint64_t space;		/* of a user window: see space_of() */
	unsigned pcid;		/* what is cached is so under this one */
	uint64_t used;		/* for LRU */
	bool user, stale;	/* stale: compare with the page tables before use */
	uint32_t local[WIN_LOCAL_MAX];	/* the kernel's: pages that MOV CR3 flushes */
	unsigned nlocal;	/* above WIN_LOCAL_MAX: too many to know */
	struct win_table table[WIN_TABLES_MAX];	/* user windows */
	unsigned ntables;
	uint32_t *pte;		/* by guest page: memfd page << WIN_SHIFT | WIN_*; 0 none */
	uint32_t *list;		/* guest pages that are or were mapped */
	uint32_t nlist, cap;
};

#define WIN_PRESENT	1u
#define WIN_WRITE	2u
#define WIN_LARGE	4u	/* from a large page: INVLPG reaches further */
#define WIN_GLOBAL	8u	/* MOV CR3 leaves it */
#define WIN_SEEN	16u	/* while the list is tidied */
#define WIN_SHIFT	5

/* A vCPU's. */
struct bt_window_set {
	struct bt *bt;
	struct bt_window w[BT_WINDOWS];
	unsigned n;		/* of those that are used */
	_Atomic bool refused;	/* one of them was hopeless, once */
	uint8_t *none;		/* an empty window: every access faults */
	uint64_t clock;
	struct rmap {		/* who maps a page of the memfd */
		uint32_t gpage, next;
		uint8_t window;
	} *rmap;
	uint32_t nrmap, caprmap, freermap;
	uint32_t *rmap_head;	/* by page of the memfd; 0: none */
	unsigned nmaps;		/* pages mapped in all windows */
};

int windows_new(struct bt_vcpu *b, struct err *e);
void windows_free(struct bt_vcpu *b);
void window_guards_free(struct bt *bt);

/* The GS base for this vCPU's current mode; b->wide_mask is set.  A user window
 * that the guest has flushed is brought up to date. */
uint64_t window_base(struct bt *bt, struct bt_vcpu *b);

enum window_result { WINDOW_RETRY, WINDOW_RETRY_FEW, WINDOW_STEP, WINDOW_OTHER };
/* A hidden fault at host address addr: map and say RETRY (FEW:
 * only a page or three could be), or have the
 * interpreter execute the instruction (guest fault, device, told writes).  OTHER: that,
 * too, because base or mask are others now. */
enum window_result window_fault(struct bt *bt, struct bt_vcpu *b,
				const uint8_t *addr, bool write);
/* The same for 64-bit code, whose access began at linear address ea. */
enum window_result window_fault_wide(struct bt *bt, struct bt_vcpu *b, uint64_t ea,
				     const uint8_t *addr, bool write);

/* 64-bit code: its mode has no window as yet, and all accesses fault, with whatever
 * address. */
static inline bool window_none(const struct bt_vcpu *b)
{
	return !b->wide_mask;
}

/*
 * 64-bit code: is it known that its mode can have no window?  Some programs (V8, for
 * one) have memory at random all over their address space, and no 6 bits tell so many
 * PML4 entries apart.  Such a one runs in soft form from the start: trying again at each
 * access that faults would cost far more than windows save.  Every second or so it is
 * looked at anew.
 */
bool window_refused(struct bt_vcpu *b);

/* Is gva mapped for the current mode, for such an access? */
bool window_holds(const struct bt *bt, const struct bt_vcpu *b, uint64_t gva, bool write);

void window_flush(struct bt_vcpu *b, uint64_t gva, int what);
/* This page of the memfd is to be told of writes: read-only in all of b's windows.  Any
 * thread. */
void window_protect(struct bt_vcpu *b, uint64_t page);

/* A page with MEM_PF_PT was written.  Any thread. */
void windows_told(struct bt *bt, uint64_t gpa);

/* --- between window.c, winwide.c and wincheck.c ------------------------------------- */

/* What of an address a wide window goes by, and the GS base of a window. */
static inline uint64_t wide_mask(const struct bt_window *w)
{
	return 0xffff807fffffffffull | (uint64_t)w->bits << 39;
}

static inline uint64_t window_gs(const struct bt_window *w)
{
	return (uint64_t)(uintptr_t)w->base + (w->high ? ~(-1ull << 47 | ~wide_mask(w)) + 1 : 0);
}

/* The slot of PML4 entry i of its half; where slot n begins. */
unsigned wide_slot(const struct bt_window *w, unsigned i);
uint8_t *wide_slot_at(const struct bt_window *w, unsigned slot);
unsigned wide_slots(const struct bt_window *w);
/* Give w->base to a wide window if there is room; give n of its slots back; make it
 * empty. */
void wide_reserve(struct bt_window_set *s, struct bt_window *w);
void wide_release(struct bt *bt, const struct bt_window *w, unsigned n);
void wide_clear(const struct bt_window *w);
/* Page of a wide window; false: it is never mapped. */
bool wide_page(const struct bt_window *w, uint64_t gva, uint32_t *gpage);
/* Make w fit the current PML4.  false: there is no such window. */
bool wide_ready(struct bt_window_set *s, const struct vcpu *v, struct bt_window *w);
/* The same for one that is hopeless; without looking, if that was done lately. */
bool wide_ready_now(struct bt_window_set *s, const struct vcpu *v, struct bt_window *w);
/* w is for another address space from now on. */
void wide_forget(struct bt_window *w);
bool window_make(struct bt_window_set *s, struct bt_window *w);
/* Give back its address space; it is empty. */
void window_unmake(struct bt *bt, struct bt_window *w);

/* What the page tables say of a guest page now: its pte, 0 if it may not be mapped. */
uint32_t window_page_now(struct bt *bt, struct vcpu *v, const struct bt_window *w,
			 const struct x86_walk_mem *m, uint32_t gpage);
/* The guest's address of page gpage of a window. */
static inline uint64_t window_gva(const struct bt_window *w, uint32_t gpage)
{
	uint64_t in_slot = (uint64_t)(gpage & ((1u << 27) - 1)) << 12;

	uint64_t entry;

	if (!w->wide)
		return (uint64_t)gpage << 12;
	entry = w->owner[gpage >> 27] - 1u;
	return (w->high ? 0xffff800000000000ull : 0) | entry << 39 | in_slot;
}

/* Is what is mapped still right?  Fewer rights than the tables give are a later
 * fault, no error. */
bool window_page_stands(uint32_t had, uint32_t now);
/* Bring a stale window up to date. */
void window_check(struct bt *bt, struct bt_vcpu *b, struct bt_window *w);
/*
 * Remember the entries of n pages, of one table, as they are being mapped: what
 * is mapped must have come from the entries in the copy, or an entry that changes
 * there and back is missed.  false: no room, not to be had, or the table that
 * was remembered no longer is the one in use.
 */
bool window_table_note(struct vcpu *v, struct bt_window *w, uint32_t gpage, unsigned n);
void window_tables_forget(struct bt_window *w);
/* gpage, mapped in the kernel's window, is no global page: MOV CR3 flushes it. */
void window_local_add(struct bt_window *w, uint32_t gpage);
void window_unmap(struct bt_window_set *s, struct bt_window *w, uint32_t gpage);
void window_empty(struct bt_window_set *s, struct bt_window *w);
#endif
