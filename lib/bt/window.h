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
 * mapped until the guest flushes it: at INVLPG the page; after MOV CR3 a user
 * window is compared with the page tables before it is next used.
 *
 * 64-bit user code has wide windows: eight slots of 512 GiB, for the PML4 entries of
 * the user's half.  Three bits of the address tell which slot (WIDE_MASK keeps them and
 * bits 0-38; an address of the other half, or none, keeps what makes it fault).  Two
 * entries that want one slot: it belongs to the first, the other's pages are never
 * mapped.  What is in no slot's first and last MiB cannot straddle its ends.
 *
 * The kernel window (CPL 0, and paging off) holds supervisor pages only; a user
 * window holds user pages of one CR3.  So no access can reach what its
 * privilege forbids, whatever the instruction does; beyond 4 GiB lies a guard.
 */

#include <stdbool.h>
#include <stdint.h>

#include "bt/unit.h"
#include "x86/walk.h"

#define BT_WINDOWS 9		/* 0: the kernel's */

/* A leaf page table behind pages of a user window, as it was when they were
 * mapped: comparing it is far cheaper than walking for every page. */
struct win_table {
	uint32_t first;		/* first guest page it covers */
	uint64_t pde_gpa, pde;	/* the entry that points to it */
	uint64_t upper;		/* wide: of what stands above that */
	uint8_t *copy;		/* PAGE_SIZE bytes; NULL: pde maps a large page */
};

#define WIN_TABLES_MAX 64

#define WIDE_SLOTS	8
#define WIDE_MASK	0xffffe0ffffffffffull	/* bits 0-39, 45, 46, 47-63 */
/* A base under which nothing can be reached from user mode. */
#define WIDE_NONE	0xffff800000000000ull

#define WIN_LOCAL_MAX 64

struct bt_window {
	uint8_t *base;		/* NULL: not made yet */
	bool wide;
	uint16_t owner[WIDE_SLOTS];	/* PML4 entry of a slot + 1; 0: none yet */
	uint64_t space;		/* of a user window: see space_of() */
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

struct bt_window_set {
	struct bt_window w[BT_WINDOWS];
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

int windows_new(struct bt *bt, struct err *e);
void windows_free(struct bt *bt);

/* The GS base for this vCPU's current mode.  A user window that the guest has
 * flushed is brought up to date. */
uint64_t window_base(struct bt *bt, struct bt_vcpu *b);

enum window_result { WINDOW_RETRY, WINDOW_RETRY_FEW, WINDOW_STEP };
/* A hidden fault at host address addr: map and say RETRY (FEW:
 * only a page or three could be), or have the
 * interpreter execute the instruction (guest fault, device, told writes). */
enum window_result window_fault(struct bt *bt, struct bt_vcpu *b,
				const uint8_t *addr, bool write);
/* The same for 64-bit code, whose access began at linear address ea. */
enum window_result window_fault_wide(struct bt *bt, struct bt_vcpu *b, uint64_t ea,
				     const uint8_t *addr, bool write);

/* Is gva mapped for the current mode, for such an access? */
bool window_holds(const struct bt *bt, const struct bt_vcpu *b, uint64_t gva, bool write);

void window_flush(struct bt *bt, struct vcpu *v, uint64_t gva, int what);
/* This page of the memfd is to be told of writes: read-only everywhere. */
void window_protect(struct bt *bt, uint64_t page);

/* --- between window.c and wincheck.c ---------------------------------------------- */

/* What the page tables say of a guest page now: its pte, 0 if it may not be mapped. */
uint32_t window_page_now(struct bt *bt, struct vcpu *v, const struct bt_window *w,
			 const struct x86_walk_mem *m, uint32_t gpage);
/* The guest's address of page gpage of a window. */
static inline uint64_t window_gva(const struct bt_window *w, uint32_t gpage)
{
	uint64_t in_slot = (uint64_t)(gpage & ((1u << 27) - 1)) << 12;

	return w->wide ? (uint64_t)(w->owner[gpage >> 27] - 1) << 39 | in_slot :
			 (uint64_t)gpage << 12;
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
void window_empty(struct bt *bt, struct bt_window *w);
#endif
