/*
 * Wide windows: half of a 64-bit address space, 128 TiB, in up to 64 slots of 512 GiB.
 *
 * An address is folded before it is used: bits 0-38 stay, and so do bits 47-63, so that
 * one of the other half, or one that is not canonical, faults by itself.  Of bits 39-46,
 * which number the PML4's entries of a half, as few are kept as tell the entries apart
 * that lead anywhere.  For entries 0, 170 and 255 that is, with bits 39 and 40,
 *
 *	0000003fabcdef12 -> base + 003fabcdef12		slot 0
 *	0000555500401000 -> base + 010000000000 + 155500401000 & 7fffffffff	slot 2
 *	00007ffc12345678 -> base + 018000000000 + ...	slot 3
 *
 * In the upper half bits 47-63 are ones, and the dropped ones are made so, too; the GS
 * base is the end of the window, and what is added to it is negative.  (Base + 2^47
 * would be no GS base.)
 *
 * Entries that lead nowhere share slots with others: an access there, which should
 * fault, may reach what the same guest may reach by another address.  So it must be
 * known when one begins to lead somewhere: the PML4, and such tables as it points to
 * that are empty, are traced (MEM_PF_PT).  If its slot is taken then, the window is made
 * anew, with other bits.  Entry 0 of the lower half always counts, for null pointers.
 *
 * What is in the first and last MiB of a slot is never mapped, and nothing else of this
 * process lies in the MiB around it: no access straddles a slot's end, and [r15 + disp]
 * may be used for other displacements than the one that was folded.
 */
#include "bt/window.h"

#include <string.h>
#include <sys/mman.h>

#include "bt/smp.h"

#define ADDR		0xffffffffff000ull
#define ACCESSED	0x20ull
#define WIDE_GPAGES	(1u << 27)	/* of a slot */
#define EDGE_PAGES	((unsigned)(WIDE_EDGE >> PAGE_SHIFT))
#define SLOT		(1ull << 39)
#define REFUSED_TSC	(1ull << 32)	/* a second or two */

unsigned wide_slot(const struct bt_window *w, unsigned i)
{
	unsigned slot = 0, n = 0;

	for (unsigned bit = 0; bit < 8; bit++)
		if (w->bits >> bit & 1)
			slot |= (i >> bit & 1) << n++;
	return slot;
}

uint8_t *wide_slot_at(const struct bt_window *w, unsigned slot)
{
	uint64_t at = 0;

	for (unsigned bit = 0; bit < 8; bit++)
		if (w->bits >> bit & 1) {
			at |= (uint64_t)(slot & 1) << (39 + bit);
			slot >>= 1;
		}
	return w->base + at;
}

unsigned wide_slots(const struct bt_window *w)
{
	return 1u << __builtin_popcount(w->bits);
}

static bool reserve_at(uint8_t *at, uint64_t len)
{
	uint8_t *p = mmap(at, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
			  MAP_FIXED_NOREPLACE, -1, 0);

	if (p != at && p != MAP_FAILED)
		munmap(p, len);
	return p == at;
}

/* Is there nothing of others around n * 512 GiB? */
static bool guarded(struct bt *bt, unsigned n)
{
	if (!bt->guard[n])
		bt->guard[n] = reserve_at((uint8_t *)(n * SLOT - WIDE_EDGE), 2 * WIDE_EDGE) ? 1 : 2;
	return bt->guard[n] == 1;
}

void window_guards_free(struct bt *bt)
{
	for (unsigned n = 0; n <= WIDE_HALF; n++)
		if (bt->guard[n] == 1)
			munmap((uint8_t *)(n * SLOT - WIDE_EDGE), 2 * WIDE_EDGE);
}

static unsigned slot_number(const uint8_t *at)
{
	return (unsigned)((uintptr_t)at / SLOT);
}

void wide_release(struct bt *bt, const struct bt_window *w, unsigned n)
{
	while (n--) {
		uint8_t *at = wide_slot_at(w, n);

		munmap(at + WIDE_EDGE, SLOT - 2 * WIDE_EDGE);
		bt->slot[slot_number(at)] = 0;
	}
}

void wide_clear(const struct bt_window *w)
{
	for (unsigned i = 0; i < wide_slots(w); i++)
		if (w->owner[i])
			mmap(wide_slot_at(w, i) + WIDE_EDGE, SLOT - 2 * WIDE_EDGE, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

/* All slots of a wide window at this base, or none.  As most are taken when it gets
 * tight, what is known is asked first, and system calls are for the rest. */
static bool reserve_all(struct bt_window_set *s, struct bt_window *w)
{
	struct bt *bt = s->bt;
	unsigned i;

	for (i = 0; i < wide_slots(w); i++)
		if (bt->slot[slot_number(wide_slot_at(w, i))])
			return false;
	for (i = 0; i < wide_slots(w); i++) {
		uint8_t *at = wide_slot_at(w, i);
		unsigned n = slot_number(at);

		if (!guarded(bt, n) || !guarded(bt, n + 1) ||
		    !reserve_at(at + WIDE_EDGE, SLOT - 2 * WIDE_EDGE)) {
			bt->slot[n] = 2;
			break;
		}
		bt->slot[n] = 1;
	}
	if (i == wide_slots(w))
		return true;
	wide_release(bt, w, i);
	return false;
}

/* The base's bits are none of those that tell slots apart.  The first slot of the
 * process and the last are not used: it has mappings there, and an end at 2^47 would be
 * no GS base. */
void wide_reserve(struct bt_window_set *s, struct bt_window *w)
{
	for (uint64_t i = 1; i < WIDE_HALF; i++) {
		if (i & w->bits || (i | w->bits) == WIDE_HALF - 1)
			continue;
		w->base = (uint8_t *)(i * SLOT);
		if (reserve_all(s, w))
			return;
	}
	w->base = NULL;
}

bool wide_page(const struct bt_window *w, uint64_t gva, uint32_t *gpage)
{
	unsigned i = gva >> 39 & (WIDE_HALF - 1), page = gva >> PAGE_SHIFT & (WIDE_GPAGES - 1);
	unsigned slot = wide_slot(w, i);

	*gpage = slot << 27 | page;
	return gva >> 47 == (w->high ? 0x1ffff : 0) && w->owner[slot] == i + 1 &&
	       page - EDGE_PAGES < WIDE_GPAGES - 2 * EDGE_PAGES;
}

static void leads_note(struct bt_window *w, unsigned i)
{
	w->leads[i / 64] |= 1ull << i % 64;
}

static bool leads(const struct bt_window *w, unsigned i)
{
	return w->leads[i / 64] >> i % 64 & 1;
}

/* Every entry that leads anywhere is given its slot.  false: two want the same. */
static bool slots_give(struct bt_window *w)
{
	memset(w->owner, 0, sizeof(w->owner));
	for (unsigned i = 0; i < WIDE_HALF; i++) {
		uint16_t *owner = &w->owner[wide_slot(w, i)];

		if (!leads(w, i) && (i || w->high))
			continue;
		if (*owner)
			return false;
		*owner = (uint16_t)(i + 1);
	}
	return true;
}

/* The fewest bits that will do, with slots that this process can have.  *room: there may
 * be bits, but no such slots. */
static bool slots_find(struct bt_window_set *s, struct bt_window *w, bool *room)
{
	*room = true;
	for (int n = 1; n <= WIDE_BITS_MAX && *room; n++)
		for (unsigned bits = 1; bits < WIDE_HALF; bits++) {
			w->bits = (uint8_t)bits;
			if (__builtin_popcount(bits) != n || !slots_give(w))
				continue;
			if (window_make(s, w))
				return true;
			*room = false;
		}
	return false;
}

static void give_back(struct bt_window_set *s, struct bt_window *w)
{
	if (!w->wide || !w->base)
		return;
	window_empty(s, w);
	window_unmake(s->bt, w);
	wide_forget(w);
	w->space = 0;
}

/* No vCPU has a window of the upper half from now on. */
static void high_to_soft(struct bt *bt)
{
	bt->high_soft = true;
	for (unsigned i = 0; i < bt->vm->ncpus; i++) {
		struct bt_vcpu *b = bt->vm->vcpu[i]->engine;

		if (!b || !b->windows)
			continue;
		bt_quiesce(b);
		b->leave = true;
		for (unsigned j = 0; j < b->windows->n; j++)
			if (b->windows->w[j].high)
				give_back(b->windows, &b->windows->w[j]);
	}
	unit_drop_all(bt);
}

/*
 * Room for w.  Many vCPUs cannot have all that they would: this one does without its
 * other users' then; at last, all do without the kernel's, which are the largest.  Not
 * some of them, for units are shared: those that had none would make sites soft for
 * all, without end.
 */
static bool slots_choose(struct bt_window_set *s, struct bt_window *w)
{
	struct bt *bt = s->bt;
	bool room;

	if (w->high && bt->high_soft)
		return false;
	if (slots_find(s, w, &room))
		return true;
	for (unsigned i = WIN_KERNEL_LOW; i < s->n && !room; i++)
		if (&s->w[i] != w)
			give_back(s, &s->w[i]);
	if (!room && slots_find(s, w, &room))
		return true;
	bt->stats.windows_refused++;
	if (room || !bt->smp || bt->high_soft)
		return false;
	high_to_soft(bt);
	return !w->high && slots_find(s, w, &room);
}

/* Stores to the page at gpa are told from now on. */
static bool trace(struct bt *bt, uint64_t gpa)
{
	struct mem *m = bt->vm->mem;
	uint64_t off = mem_off(m, gpa), page = off >> PAGE_SHIFT;

	if (off == UINT64_MAX)
		return false;
	if (!(m->pflags[page] & MEM_PF_PT))
		vm_protect_page(bt->vm, page, MEM_PF_PT);
	return true;
}

/* Has the table that e points to any entry?  Else it is traced. */
static bool entry_leads(struct bt *bt, uint64_t e)
{
	const uint8_t *t;
	uint64_t p;

	if (!(e & 1) || !trace(bt, e & ADDR))
		return false;		/* no table: nothing can be mapped there */
	t = mem_ptr(bt->vm->mem, e & ADDR, PAGE_SIZE);
	for (unsigned i = 0; t && i < PAGE_SIZE; i += 8) {
		memcpy(&p, t + i, 8);
		if (p & 1)
			return true;
	}
	return false;
}

/* What led somewhere under another root, or once, may do so no more. */
static void leads_renew(struct bt *bt, struct bt_window *w)
{
	memset(w->leads, 0, sizeof(w->leads));
	for (unsigned i = 0; i < WIDE_HALF; i++)
		if (entry_leads(bt, w->pml4[i]))
			leads_note(w, i);
}

/* Look at the PML4 at root, where it differs from what is known. */
static bool look(struct bt_window_set *s, struct bt_window *w, uint64_t root)
{
	struct bt *bt = s->bt;
	const uint8_t *t = mem_ptr(bt->vm->mem, root, PAGE_SIZE);
	bool more = false;

	w->root = root;
	if (!t || !trace(bt, root))
		return false;
	for (unsigned i = 0; i < WIDE_HALF; i++) {
		uint64_t e;

		memcpy(&e, t + (w->high ? WIDE_HALF + i : i) * 8, 8);
		e &= ~ACCESSED;
		if (w->pml4[i] == e)
			continue;
		w->pml4[i] = e;
		if (leads(w, i) || !entry_leads(bt, e))
			continue;
		leads_note(w, i);
		more = true;
	}
	if (w->base && (!more || slots_give(w)))
		return true;
	if (w->hopeless)
		return false;
	window_empty(s, w);
	window_unmake(bt, w);
	leads_renew(bt, w);
	w->hopeless = !slots_choose(s, w);
	if (w->hopeless) {
		w->refused_tsc = __builtin_ia32_rdtsc();
		atomic_store_explicit(&s->refused, true, memory_order_relaxed);
	}
	return !w->hopeless;
}

bool wide_ready(struct bt_window_set *s, const struct vcpu *v, struct bt_window *w)
{
	uint64_t root = v->cpu.cr3 & ADDR;

	return w->root == root ? w->base != NULL : look(s, w, root);
}

bool wide_ready_now(struct bt_window_set *s, const struct vcpu *v, struct bt_window *w)
{
	if (__builtin_ia32_rdtsc() - w->refused_tsc < REFUSED_TSC)
		return false;
	w->hopeless = false;
	return look(s, w, v->cpu.cr3 & ADDR);
}

void wide_forget(struct bt_window *w)
{
	w->root = WIDE_NO_ROOT;
	w->hopeless = false;
	memset(w->pml4, 0, sizeof(w->pml4));
	memset(w->leads, 0, sizeof(w->leads));
	if (w->wide && w->base)
		slots_give(w);
}

/* The page at gpa, which w may go by, was written.  Does it? */
static bool told(struct bt_vcpu *b, struct bt_window *w, uint64_t gpa)
{
	bool concerned = w->root == gpa;

	for (unsigned i = 0; i < WIDE_HALF; i++)
		if (w->pml4[i] & 1 && (w->pml4[i] & ADDR) == gpa && !leads(w, i)) {
			w->pml4[i] = 0;
			concerned = true;
		}
	if (!concerned)
		return false;
	bt_quiesce(b);	/* base and mask may become others */
	b->leave = true;
	if ((b->v->cpu.cr3 & ADDR) == w->root) {
		look(b->windows, w, w->root);
		return true;
	}
	/* Most likely it is no table any more. */
	window_empty(b->windows, w);
	wide_forget(w);
	w->space = 0;
	return false;
}

void windows_told(struct bt *bt, uint64_t gpa)
{
	bool concerned = false;

	for (unsigned n = 0; n < bt->vm->ncpus; n++) {
		struct bt_vcpu *b = bt->vm->vcpu[n]->engine;

		for (unsigned i = 0; b && b->windows && i < b->windows->n; i++) {
			struct bt_window *w = &b->windows->w[i];

			if (w->wide && w->root != WIDE_NO_ROOT)
				concerned |= told(b, w, gpa);
		}
	}
	if (!concerned)
		atomic_fetch_and(&bt->vm->mem->pflags[mem_off(bt->vm->mem, gpa) >> PAGE_SHIFT],
				 (uint8_t)~MEM_PF_PT);
}
