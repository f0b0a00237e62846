#include "bt/window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bt/layout.h"
#include "bt/smp.h"
#include "vmm/access.h"
#include "vmm/walkmem.h"

#define WINDOW_LEN	(4ull << 30)
#define GUARD		(1ull << 20)
#define GPAGES		(1u << 20)
#define WIDE_GPAGES	(1u << 27)		/* of a slot */
#define RUN_MAX		16u		/* pages mapped at one fault */
#define CHECK_FEW	48u		/* pages that are walked in the time of a fault */
#define MAPS_MAX	24000u		/* of vm.max_map_count, 65,530 by default */

static uint8_t *reserve(uint64_t len)
{
	uint8_t *p = mmap(NULL, len, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* As many as there is address space for: 255 slots of 512 GiB, of which a kernel takes
 * 16 or so, and a process 4. */
static unsigned windows_wanted(unsigned ncpus)
{
	unsigned users = 16 / ncpus;

	return WIN_USER + (users < 2 ? 2 : users > BT_WINDOWS - WIN_USER ?
			   BT_WINDOWS - WIN_USER : users);
}

int windows_new(struct bt_vcpu *b, struct err *e)
{
	struct bt_window_set *s = calloc(1, sizeof(*s));
	struct vm *vm = b->bt->vm;

	if (!s)
		return err_set(e, -ENOMEM, "windows: out of memory");
	b->windows = s;
	s->bt = b->bt;
	s->n = windows_wanted(vm->ncpus);
	s->none = reserve(WINDOW_LEN + GUARD);
	s->rmap_head = calloc(vm->mem->len >> PAGE_SHIFT, sizeof(uint32_t));
	s->nrmap = 1;
	for (unsigned i = 0; i < BT_WINDOWS; i++)
		s->w[i].root = WIDE_NO_ROOT;
	if (!s->none || !s->rmap_head) {
		windows_free(b);
		return err_set(e, -ENOMEM, "no address space for windows (ulimit -v); "
			       "use --accel interp");
	}
	return 0;
}

static uint8_t *page_at(const struct bt_window *w, uint32_t gpage)
{
	if (w->wide)
		return wide_slot_at(w, gpage >> 27) +
		       ((uint64_t)(gpage & (WIDE_GPAGES - 1)) << PAGE_SHIFT);
	return w->base + ((uint64_t)gpage << PAGE_SHIFT);
}

static size_t pte_len(const struct bt_window *w)
{
	return (w->wide ? (size_t)WIDE_GPAGES * wide_slots(w) : GPAGES) * sizeof(uint32_t);
}

void window_unmake(struct bt *bt, struct bt_window *w)
{
	if (w->base && w->wide)
		wide_release(bt, w, wide_slots(w));
	if (w->base && !w->wide)
		munmap(w->base, WINDOW_LEN + GUARD);
	if (w->pte)
		munmap(w->pte, pte_len(w));
	free(w->list);
	window_tables_forget(w);
	w->base = NULL;
	w->pte = w->list = NULL;
	w->nlist = w->cap = w->nlocal = 0;
}

static void window_free(struct bt *bt, struct bt_window *w)
{
	window_unmake(bt, w);
	*w = (struct bt_window){ .root = WIDE_NO_ROOT };
}

void windows_free(struct bt_vcpu *b)
{
	struct bt_window_set *s = b->windows;

	if (!s)
		return;
	for (unsigned i = 0; i < BT_WINDOWS; i++)
		window_free(b->bt, &s->w[i]);
	if (s->none)
		munmap(s->none, WINDOW_LEN + GUARD);
	free(s->rmap);
	free(s->rmap_head);
	free(s);
	b->windows = NULL;
}

bool window_make(struct bt_window_set *s, struct bt_window *w)
{
	if (w->base)
		return true;
	if (!w->wide)
		w->base = reserve(WINDOW_LEN + GUARD);
	if (w->wide)
		wide_reserve(s, w);
	if (!w->base)
		return false;
	w->pte = (uint32_t *)reserve(pte_len(w));
	if (w->pte && !mprotect(w->pte, pte_len(w), PROT_READ | PROT_WRITE))
		return true;
	window_unmake(s->bt, w);
	return false;
}

/* --- reverse map ------------------------------------------------------------- */

static bool rmap_add(struct bt_window_set *s, uint32_t page, unsigned window,
		     uint32_t gpage)
{
	uint32_t i = s->freermap;

	if (i) {
		s->freermap = s->rmap[i].next;
	} else {
		if (s->nrmap >= s->caprmap) {
			uint32_t cap = s->caprmap ? s->caprmap * 2 : 4096;
			struct rmap *n = realloc(s->rmap, cap * sizeof(*n));

			if (!n)
				return false;
			s->rmap = n;
			s->caprmap = cap;
		}
		i = s->nrmap++;
	}
	s->rmap[i] = (struct rmap){ .gpage = gpage, .next = s->rmap_head[page],
				    .window = (uint8_t)window };
	s->rmap_head[page] = i;
	return true;
}

static void rmap_del(struct bt_window_set *s, uint32_t page, unsigned window,
		     uint32_t gpage)
{
	uint32_t *p = &s->rmap_head[page];

	while (*p && (s->rmap[*p].gpage != gpage || s->rmap[*p].window != window))
		p = &s->rmap[*p].next;
	if (*p) {
		uint32_t i = *p;

		*p = s->rmap[i].next;
		s->rmap[i].next = s->freermap;
		s->freermap = i;
	}
}

/* --- mapping ------------------------------------------------------------------ */

static unsigned window_index(const struct bt_window_set *s, const struct bt_window *w)
{
	return (unsigned)(w - s->w);
}

static void forget_page(struct bt_window_set *s, struct bt_window *w, uint32_t gpage)
{
	if (!w->pte[gpage])
		return;
	rmap_del(s, w->pte[gpage] >> WIN_SHIFT, window_index(s, w), gpage);
	w->pte[gpage] = 0;
	s->nmaps--;
}

void window_unmap(struct bt_window_set *s, struct bt_window *w, uint32_t gpage)
{
	if (!w->pte[gpage])
		return;
	mmap(page_at(w, gpage), PAGE_SIZE, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	forget_page(s, w, gpage);
}

void window_empty(struct bt_window_set *s, struct bt_window *w)
{
	if (!w->base || !w->nlist)
		return;
	for (uint32_t i = 0; i < w->nlist; i++)
		forget_page(s, w, w->list[i]);
	w->nlist = w->nlocal = 0;
	window_tables_forget(w);
	if (w->wide)
		wide_clear(w);
	if (!w->wide)
		mmap(w->base, WINDOW_LEN + GUARD, PROT_NONE, MAP_PRIVATE |
		     MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	s->bt->stats.window_drops++;
}

/* Drop from the list what is no longer mapped, or stands in it twice. */
static void list_tidy(struct bt_window *w)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < w->nlist; i++) {
		uint32_t g = w->list[i];

		if (!w->pte[g] || (w->pte[g] & WIN_SEEN))
			continue;
		w->pte[g] |= WIN_SEEN;
		w->list[n++] = g;
	}
	for (uint32_t i = 0; i < n; i++)
		w->pte[w->list[i]] &= ~WIN_SEEN;
	w->nlist = n;
}

static bool list_add(struct bt_window *w, uint32_t gpage)
{
	if (w->nlist == w->cap)
		list_tidy(w);
	if (w->nlist >= w->cap - w->cap / 4) {
		uint32_t cap = w->cap ? w->cap * 2 : 1024;
		uint32_t *n = realloc(w->list, cap * sizeof(*n));

		if (!n)
			return false;
		w->list = n;
		w->cap = cap;
	}
	w->list[w->nlist++] = gpage;
	return true;
}

/* --- which window ------------------------------------------------------------- */

/* What a user window is for: CR3, and how it is read (a PAE guest's is 32 bits). */
static uint64_t space_of(const struct x86_cpu *c)
{
	if (c->long_mode)
		return (c->cr3 & 0xffffffffff000ull) | 1ull << 63;
	return (uint32_t)c->cr3 | (uint64_t)x86_paging(c) << 32 |
	       (uint64_t)!!(c->cr4 & X86_CR4_PAE) << 33;
}

/* Is w's half of the address space, or its size, what this mode needs? */
static bool fits(const struct bt_window *w, const struct bt_vcpu *b)
{
	return w->wide == !!(b->mode & BT_M_LONG) && w->high == !!(b->mode & BT_M_HIGH);
}

/* The window of this mode, or that a new one would take the place of. */
static struct bt_window *window_find(struct bt_window_set *s, const struct bt_vcpu *b)
{
	struct bt_window *w, *old = &s->w[WIN_USER];
	uint64_t space = space_of(&b->v->cpu);

	if (!(b->mode & BT_M_USER))
		return &s->w[(b->mode & (BT_M_LONG | BT_M_HIGH)) == BT_M_LONG ? WIN_KERNEL_LOW :
									    WIN_KERNEL];
	for (unsigned i = WIN_USER; i < s->n; i++) {
		w = &s->w[i];
		/* A program may have 32-bit and 64-bit code. */
		if ((w->base || w->hopeless) && w->space == space && fits(w, b))
			return w;
		if (w->used < old->used)
			old = w;
	}
	return old;
}

/* Is w, as it was found, this mode's, whether it could be made or not? */
static bool belongs(const struct bt_window *w, const struct bt_vcpu *b)
{
	bool shared = !(b->mode & BT_M_USER) && (w->high || !w->wide);

	return fits(w, b) && (shared || w->space == space_of(&b->v->cpu));
}

static bool stands(const struct bt_window *w, const struct bt_vcpu *b)
{
	return w->base && belongs(w, b);
}

static struct bt_window *window_pick(struct bt *bt, struct bt_vcpu *b)
{
	struct bt_window *w = window_find(b->windows, b);

	if ((w->base || w->hopeless) && belongs(w, b))
		return w;
	window_empty(b->windows, w);
	if (!fits(w, b)) {
		window_free(bt, w);
		w->wide = b->mode & BT_M_LONG;
		w->high = b->mode & BT_M_HIGH;
	}
	wide_forget(w);
	w->space = space_of(&b->v->cpu);
	w->pcid = x86_pcid(&b->v->cpu);
	w->user = b->mode & BT_M_USER;
	w->stale = false;
	bt->stats.windows += w->user;
	return w;
}

bool window_refused(struct bt_vcpu *b)
{
	struct bt_window_set *s = b->windows;
	struct bt_window *w;
	bool is;

	if (!s || !atomic_load_explicit(&s->refused, memory_order_relaxed) || !bt_can_window(b))
		return false;
	bt_lock(b->bt);
	w = window_find(s, b);
	is = w->hopeless && belongs(w, b);
	if (is) {
		w->used = ++s->clock;
		is = !wide_ready_now(s, b->v, w);
	}
	bt_unlock(b->bt);
	return is;
}

uint64_t window_base(struct bt *bt, struct bt_vcpu *b)
{
	struct bt_window_set *s = b->windows;
	struct bt_window *w;

	b->wide_mask = 0;
	if (!s)
		return 0;
	if (!bt_can_window(b))
		return b->mode & BT_M_LONG ? WIDE_NONE : (uintptr_t)s->none;
	w = window_find(s, b);
	if (!stands(w, b) || (w->wide && !wide_ready(s, b->v, w)))
		w = NULL;
	/* All of the kernel's is looked at, page by page: where that costs more than a
	 * fault it waits for one. */
	if (w && w->stale && (w->user || w->nlist <= CHECK_FEW))
		window_check(bt, b, w);
	if (w && !w->stale) {
		if (w->wide)
			b->wide_mask = wide_mask(w);
		return window_gs(w);
	}
	return b->mode & BT_M_LONG ? WIDE_NONE : (uintptr_t)s->none;
}

void window_local_add(struct bt_window *w, uint32_t gpage)
{
	unsigned i;

	for (i = 0; i < w->nlocal && i < WIN_LOCAL_MAX; i++)
		if (w->local[i] == gpage)
			return;
	if (i < WIN_LOCAL_MAX)
		w->local[i] = gpage;
	w->nlocal = i + 1;
}

/* Do the page tables still say what was read of pages [lo, hi), before the copy of
 * their entries was made?  Another vCPU may have written them in between. */
static bool run_stands(struct bt_vcpu *b, const struct bt_window *w,
		       const struct x86_walk_mem *m, uint32_t lo, uint32_t hi, uint32_t pte)
{
	for (uint32_t g = lo; g < hi; g++, pte += 1u << WIN_SHIFT)
		if (window_page_now(b->bt, b->v, w, m, g) != pte)
			return false;
	return true;
}

/* Map gpage and such neighbours as lie in one piece with equal rights.  Returns
 * how many pages, 0 when it failed. */
static unsigned map_run(struct bt *bt, struct bt_vcpu *b, struct bt_window *w,
			uint32_t gpage, uint32_t pte)
{
	struct bt_window_set *s = b->windows;
	struct x86_walk_mem m = vcpu_walk_mem(b->v);
	uint32_t lo = gpage, hi = gpage + 1, start = gpage & ~(RUN_MAX - 1);
	int prot = PROT_READ | (pte & WIN_WRITE ? PROT_WRITE : 0);
	uint8_t *at;

	while (lo > start && !w->pte[lo - 1] &&
	       window_page_now(bt, b->v, w, &m, lo - 1) == pte - ((gpage - lo + 1) << WIN_SHIFT))
		lo--;
	while (hi < start + RUN_MAX && !w->pte[hi] &&
	       window_page_now(bt, b->v, w, &m, hi) == pte + ((hi - gpage) << WIN_SHIFT))
		hi++;
	/* RUN_MAX pages, aligned, lie in one table. */
	if (w->user && x86_paging(&b->v->cpu) && !window_table_note(b->v, w, lo, hi - lo))
		return 0;
	pte -= (gpage - lo) << WIN_SHIFT;
	if (bt->smp && !run_stands(b, w, &m, lo, hi, pte))
		return 0;
	at = page_at(w, lo);
	if (mmap(at, (uint64_t)(hi - lo) << PAGE_SHIFT, prot,
		 MAP_SHARED | MAP_FIXED | MAP_POPULATE, bt->vm->mem->fd,
		 (off_t)(pte >> WIN_SHIFT) << PAGE_SHIFT) == MAP_FAILED)
		return 0;
	for (uint32_t g = lo; g < hi; g++, pte += 1u << WIN_SHIFT) {
		/* A page that was mapped before stands in the list already. */
		if (w->pte[g])
			forget_page(s, w, g);
		else if (!list_add(w, g))
			return 0;
		if (!rmap_add(s, pte >> WIN_SHIFT, window_index(s, w), g))
			return 0;
		w->pte[g] = pte;
		if (!(pte & WIN_GLOBAL))
			window_local_add(w, g);
		s->nmaps++;
	}
	bt->stats.window_fills++;
	return hi - lo;
}

static uint32_t page_after(struct bt *bt, struct vcpu *v, const struct bt_window *w,
			   const struct x86_walk_mem *m, uint32_t gpage)
{
	gpage = w->wide ? gpage + 1 : (gpage + 1) & (GPAGES - 1);
	return window_page_now(bt, v, w, m, gpage);
}

/* Page gpage of w faulted, in an access to gva. */
static enum window_result mend(struct bt *bt, struct bt_vcpu *b, struct bt_window *w,
			       uint32_t gpage, uint64_t gva, bool write)
{
	struct vcpu *v = b->v;
	struct x86_walk_mem m = vcpu_walk_mem(v);
	unsigned n = RUN_MAX, bits;
	const uint8_t *base;
	uint64_t gpa;
	uint32_t pte;

	/* It may go on in the next page, and fault there: A and D are not to be set yet. */
	if (write && (gva & ~PAGE_MASK) > PAGE_SIZE - 64 &&
	    !(window_page_now(bt, v, w, &m, gpage) & page_after(bt, v, w, &m, gpage) & WIN_WRITE))
		return WINDOW_STEP;
	base = w->base;
	bits = w->bits;
	if (tlb_fill(v, gva, write ? X86_WALK_W : X86_WALK_R,
		     w->user ? TLB_USER : TLB_KERNEL, &gpa) != X86_OK)
		return WINDOW_STEP;
	/* A may have been set in a table that another vCPU has begun to fill, and that w was
	 * to be told of. */
	if (w->base != base || w->bits != bits)
		return WINDOW_OTHER;
	pte = window_page_now(bt, v, w, &m, gpage);
	if (!pte || (write && !(pte & WIN_WRITE)))
		return WINDOW_STEP;
	if ((w->pte[gpage] ^ pte) >> WIN_SHIFT || (w->pte[gpage] & WIN_WRITE) != (pte & WIN_WRITE)) {
		n = map_run(bt, b, w, gpage, pte);
		if (!n) {
			window_empty(b->windows, w);
			return WINDOW_STEP;
		}
	} else if (v->hot[H_GSBASE] == window_gs(w)) {
		return WINDOW_STEP;	/* mapped and yet it faulted: not ours to mend */
	}
	/* It may have been the empty window that faulted: the address is folded anew. */
	if (w->wide && (v->hot[H_GSBASE] != window_gs(w) || b->wide_mask != wide_mask(w)))
		return WINDOW_OTHER;
	v->hot[H_GSBASE] = window_gs(w);
	return n < 4 ? WINDOW_RETRY_FEW : WINDOW_RETRY;
}

/* The window to mend, up to date; NULL: none is to be had. */
static struct bt_window *to_mend(struct bt *bt, struct bt_vcpu *b)
{
	struct bt_window_set *s = b->windows;
	struct bt_window *w = window_pick(bt, b);

	if (w->wide ? !wide_ready(s, b->v, w) : !window_make(s, w))
		return NULL;
	w->used = ++s->clock;
	if (w->stale)
		window_check(bt, b, w);
	if (s->nmaps > MAPS_MAX / bt->vm->ncpus)
		for (unsigned i = 0; i < s->n; i++)
			window_empty(s, &s->w[i]);
	return w;
}

enum window_result window_fault(struct bt *bt, struct bt_vcpu *b,
				const uint8_t *addr, bool write)
{
	uint64_t gva = (uint64_t)(uintptr_t)addr - b->v->hot[H_GSBASE];
	struct bt_window *w;

	if (gva >= WINDOW_LEN || !(w = to_mend(bt, b)))
		return WINDOW_STEP;
	return mend(bt, b, w, (uint32_t)(gva >> PAGE_SHIFT), gva, write);
}

enum window_result window_fault_wide(struct bt *bt, struct bt_vcpu *b, uint64_t ea,
				     const uint8_t *addr, bool write)
{
	uint64_t folded = b->mode & BT_M_HIGH ? ea | ~b->wide_mask : ea & b->wide_mask;
	/* Part of the access may lie in the next page. */
	uint64_t more = (uint64_t)(uintptr_t)addr - b->v->hot[H_GSBASE] - folded;
	uint64_t gva = ea + more;
	struct bt_window *w;
	uint32_t gpage;

	if (window_none(b))	/* it may be for another reason, too, that it faults */
		return to_mend(bt, b) ? WINDOW_OTHER : WINDOW_STEP;
	if (more >= 64 || !(w = to_mend(bt, b)))
		return WINDOW_STEP;
	return wide_page(w, gva, &gpage) ? mend(bt, b, w, gpage, gva, write) : WINDOW_STEP;
}

bool window_holds(const struct bt *bt, const struct bt_vcpu *b, uint64_t gva, bool write)
{
	uint32_t need = WIN_PRESENT | (write ? WIN_WRITE : 0), page = (uint32_t)gva >> PAGE_SHIFT;
	const struct bt_window *w;

	if (!b->windows)
		return false;
	w = window_find(b->windows, b);
	return stands(w, b) && (!w->wide || wide_page(w, gva, &page)) &&
	       (w->pte[page] & need) == need;
}

static void flush_gpage(struct bt_window_set *s, struct vcpu *v, struct bt_window *w,
			uint32_t g)
{
	struct x86_walk_mem m = vcpu_walk_mem(v);
	uint32_t had = w->pte[g];

	if (!had)
		return;
	if (had & WIN_LARGE) {
		w->stale = true;
		return;
	}
	if (!window_page_stands(had, window_page_now(s->bt, v, w, &m, g)))
		window_unmap(s, w, g);
}

static void flush_page(struct bt_window_set *s, struct vcpu *v, struct bt_window *w,
		       uint64_t gva)
{
	uint32_t g = (uint32_t)gva >> PAGE_SHIFT;

	if (!w->base || (w->wide ? !wide_page(w, gva, &g) : v->cpu.long_mode && gva >> 32))
		return;
	/* That of another CR3 is compared when it is next used after MOV CR3; with PCIDs
	 * that need not drop anything, but what is global goes now. */
	if (w == &s->w[WIN_KERNEL] || w->space == space_of(&v->cpu))
		flush_gpage(s, v, w, g);
	else if (w->pte[g] & WIN_GLOBAL)
		w->stale = true;
}

/* Does w hold anything that is to go, or, as MOV CR3 has kept all, that another PCID has
 * cached?  One address space has one window, whatever it is used with. */
static bool loses(struct bt_window *w, const struct x86_cpu *c, uint64_t pcid, int what)
{
	bool here = w->space == space_of(c), same = w->pcid == x86_pcid(c);

	if (what == VCPU_FLUSH_OTHER)
		return w->pcid == pcid;
	if (here)
		w->pcid = x86_pcid(c);
	return what == VCPU_FLUSH_SWITCH ? here && !same : what == VCPU_FLUSH_ALL || here || same;
}

void window_flush(struct bt_vcpu *b, uint64_t gva, int what)
{
	struct bt_window_set *s = b->windows;
	struct vcpu *v = b->v;

	if (!s)
		return;
	if (what == VCPU_FLUSH_PAGE) {
		for (unsigned i = 0; i < s->n; i++)
			flush_page(s, v, &s->w[i], gva);
		return;
	}
	if (what == VCPU_FLUSH_LAYOUT) {	/* page tables do not show it */
		for (unsigned i = 0; i < s->n; i++)
			window_empty(s, &s->w[i]);
		return;
	}
	for (unsigned i = what == VCPU_FLUSH_ALL ? 0 : 1; i < s->n; i++)
		if (loses(&s->w[i], &v->cpu, gva, what))
			s->w[i].stale = s->w[i].nlist > 0;
	if (what == VCPU_FLUSH_OTHER)
		return;
	if (s->w[0].nlocal > WIN_LOCAL_MAX)
		s->w[0].stale = true;
	for (unsigned i = 0; i < s->w[0].nlocal && !s->w[0].stale; i++)
		flush_gpage(s, v, &s->w[0], s->w[0].local[i]);
}

void window_protect(struct bt_vcpu *b, uint64_t page)
{
	struct bt_window_set *s = b->windows;

	if (!s)
		return;
	for (uint32_t i = s->rmap_head[page]; i; i = s->rmap[i].next) {
		struct bt_window *w = &s->w[s->rmap[i].window];
		uint32_t g = s->rmap[i].gpage;

		if (!(w->pte[g] & WIN_WRITE))
			continue;
		mprotect(page_at(w, g), PAGE_SIZE, PROT_READ);
		w->pte[g] &= ~WIN_WRITE;
	}
}
