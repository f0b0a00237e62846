/* Windows compared with the guest's page tables: what may be mapped, what still
 * stands. */
#include "bt/window.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/access.h"
#include "vmm/walkmem.h"

/* May the mode of this window see the page, and how?  0: no. */
static uint32_t page_rights(const struct bt *bt, const struct vcpu *v,
			    const struct bt_window *w, const struct x86_walk *k,
			    uint64_t off)
{
	uint32_t r = WIN_PRESENT;
	bool super_write = !w->user && !(v->cpu.cr0 & X86_CR0_WP);

	if (x86_paging(&v->cpu) && k->user != w->user)
		return 0;
	if (!k->accessed)
		return 0;
	if ((k->writable || super_write) && k->dirty &&
	    !(bt->vm->mem->pflags[off >> PAGE_SHIFT] & MEM_PF_SLOWWRITE))
		r |= WIN_WRITE;
	if (k->page_size > PAGE_SIZE)
		r |= WIN_LARGE;
	if (k->global)
		r |= WIN_GLOBAL;
	return r;
}

uint32_t window_page_now(struct bt *bt, struct vcpu *v, const struct bt_window *w,
			 const struct x86_walk_mem *m, uint32_t gpage)
{
	struct x86_walk k;
	uint64_t off;
	uint32_t r;

	if (!x86_walk_peek(&v->cpu, m, window_gva(w, gpage), &k))
		return 0;
	off = mem_off(bt->vm->mem, k.gpa);
	if (off == UINT64_MAX)
		return 0;
	r = page_rights(bt, v, w, &k, off);
	return r ? (uint32_t)(off >> PAGE_SHIFT) << WIN_SHIFT | r : 0;
}

bool window_page_stands(uint32_t had, uint32_t now)
{
	return now && now >> WIN_SHIFT == had >> WIN_SHIFT && !(had & ~now & WIN_WRITE);
}

/* Compare all that is mapped with the page tables; drop what differs.  What was local
 * when it was mapped, before the kernel had its own tables, may be global now. */
static void window_check_all(struct bt *bt, struct bt_vcpu *b, struct bt_window *w)
{
	struct x86_walk_mem m = vcpu_walk_mem(b->v);
	struct bt_window_set *s = b->windows;
	uint32_t n = 0, gone = 0;

	w->nlocal = 0;
	for (uint32_t i = 0; i < w->nlist; i++) {
		uint32_t g = w->list[i], had = w->pte[g], now;

		if (!had)
			continue;
		now = window_page_now(bt, b->v, w, &m, g);
		if (!window_page_stands(had, now)) {
			if (++gone > 64) {
				window_empty(s, w);
				return;
			}
			window_unmap(s, w, g);
			continue;
		}
		w->list[n++] = g;
		w->pte[g] = (had & ~WIN_GLOBAL) | (now & WIN_GLOBAL);
		if (!(now & WIN_GLOBAL))
			window_local_add(w, g);
	}
	w->nlist = n;
}

/* --- the page tables behind a user window --------------------------------------- */

void window_tables_forget(struct bt_window *w)
{
	while (w->ntables)
		free(w->table[--w->ntables].copy);
}

static unsigned table_entry_size(const struct vcpu *v)
{
	return v->cpu.cr4 & X86_CR4_PAE ? 8 : 4;
}

static uint64_t entry_read(const struct vcpu *v, uint64_t gpa, unsigned size)
{
	const void *p = mem_ptr(v->vm->mem, gpa, size);
	uint64_t e = 0;

	if (p)
		memcpy(&e, p, size);
	return e;
}

#define ADDR	0xffffffffff000ull

/* Long mode: where the directory entry stands, UINT64_MAX: there is no directory; what
 * the two levels above say. */
static uint64_t pde_where_long(const struct vcpu *v, uint64_t gva, uint64_t *upper)
{
	uint64_t e4 = entry_read(v, (v->cpu.cr3 & ADDR) + (gva >> 39 & 511) * 8, 8), e3;

	*upper = 0;
	if (!(e4 & 1))
		return UINT64_MAX;
	e3 = entry_read(v, (e4 & ADDR) + (gva >> 30 & 511) * 8, 8);
	if ((e3 & 0x81) != 1)
		return UINT64_MAX;
	*upper = e4 * 3 + e3;
	return (e3 & ADDR) + (gva >> 21 & 511) * 8;
}

/* Where the directory entry for gpage stands. */
static uint64_t pde_where(const struct vcpu *v, const struct bt_window *w, uint32_t gpage,
			  uint64_t *upper)
{
	unsigned size = table_entry_size(v), covers = (unsigned)PAGE_SIZE / size;
	uint64_t dir = v->cpu.cr3 & 0xfffff000;

	*upper = 0;
	if (v->cpu.long_mode)
		return pde_where_long(v, window_gva(w, gpage), upper);
	if (size == 8)
		dir = v->cpu.pdpte[gpage >> 18] & 0xffffffffff000ull;
	return dir + (uint64_t)(gpage / covers & (covers - 1)) * size;
}

/* A directory entry: A (bit 5) is set by each walk. */
#define PDE_A 0x20ull

static bool pde_differs(uint64_t a, uint64_t b)
{
	return (a ^ b) & ~PDE_A;
}

bool window_table_note(struct vcpu *v, struct bt_window *w, uint32_t gpage, unsigned n)
{
	unsigned size = table_entry_size(v), covers = (unsigned)PAGE_SIZE / size;
	uint32_t first = gpage & ~(covers - 1);
	struct win_table *t;
	const void *page;
	uint64_t upper, where = pde_where(v, w, gpage, &upper);

	if (where == UINT64_MAX)
		return false;
	for (unsigned i = 0; i < w->ntables; i++) {
		t = &w->table[i];
		if (t->first != first)
			continue;
		if (t->pde_gpa != where || t->upper != upper ||
		    pde_differs(entry_read(v, t->pde_gpa, size), t->pde))
			return false;
		page = t->copy ? mem_ptr(v->vm->mem, t->pde & 0xffffffffff000ull, PAGE_SIZE) : NULL;
		if (page)
			memcpy(t->copy + (gpage - first) * size,
			       (const uint8_t *)page + (gpage - first) * size, n * size);
		return true;
	}
	if (w->ntables == WIN_TABLES_MAX)
		return false;
	t = &w->table[w->ntables];
	*t = (struct win_table){ .first = first, .pde_gpa = where, .upper = upper };
	t->pde = entry_read(v, t->pde_gpa, size);
	if (!(t->pde & 0x80)) {
		page = mem_ptr(v->vm->mem, t->pde & 0xffffffffff000ull, PAGE_SIZE);
		t->copy = page ? malloc(PAGE_SIZE) : NULL;
		if (!t->copy)
			return false;
		memcpy(t->copy, page, PAGE_SIZE);
	}
	w->ntables++;
	return true;
}

/* Look at the pages of [first, first + n) that are mapped.  false: much differs,
 * the window was emptied. */
static bool pages_check(struct bt_window_set *s, struct vcpu *v, struct bt_window *w,
			uint32_t first, unsigned n, unsigned *gone)
{
	struct x86_walk_mem m = vcpu_walk_mem(v);

	for (uint32_t g = first; g < first + n; g++) {
		if (!w->pte[g] || window_page_stands(w->pte[g], window_page_now(s->bt, v, w, &m, g)))
			continue;
		if (++*gone > 64) {
			window_empty(s, w);
			return false;
		}
		window_unmap(s, w, g);
	}
	return true;
}

/* The entries of one table that changed.  false: the window was emptied. */
static bool table_check(struct bt_window_set *s, struct vcpu *v, struct bt_window *w,
			struct win_table *t, unsigned *gone)
{
	unsigned size = table_entry_size(v), covers = (unsigned)PAGE_SIZE / size;
	const uint8_t *now;
	uint64_t upper, pde = entry_read(v, t->pde_gpa, size);

	/* another PDPTE; or A was cleared up there, which the next access is to set */
	if (t->pde_gpa != pde_where(v, w, t->first, &upper) || t->upper != upper ||
	    ((pde & (PDE_A | 1)) == 1 && t->pde & PDE_A)) {
		window_empty(s, w);
		return false;
	}
	if (pde_differs(pde, t->pde) || !t->copy) {
		t->pde = pde;
		if (!pages_check(s, v, w, t->first, covers, gone))
			return false;
		if (!(t->pde & 1))
			return true;
		if (!t->copy != !!(t->pde & 0x80)) {	/* became large, or no more */
			window_empty(s, w);
			return false;
		}
	}
	now = t->copy ? mem_ptr(v->vm->mem, t->pde & 0xffffffffff000ull, PAGE_SIZE) : NULL;
	if (!now || !memcmp(t->copy, now, PAGE_SIZE))
		return true;
	/* An entry is noted before it is looked at: another vCPU may write it behind that,
	 * and is to be seen to have done so at its flush. */
	for (unsigned i = 0; i < covers; i++) {
		if (!memcmp(t->copy + i * size, now + i * size, size))
			continue;
		memcpy(t->copy + i * size, now + i * size, size);
		if (!pages_check(s, v, w, t->first + i, 1, gone))
			return false;
	}
	return true;
}

void window_check(struct bt *bt, struct bt_vcpu *b, struct bt_window *w)
{
	unsigned gone = 0;

	w->stale = false;
	bt->stats.window_checks++;
	if (!w->user) {
		window_check_all(bt, b, w);
		return;
	}
	for (unsigned i = 0; i < w->ntables;) {
		if (!table_check(b->windows, b->v, w, &w->table[i], &gone))
			return;
		if (w->table[i].pde & 1) {	/* present */
			i++;
		} else {
			free(w->table[i].copy);
			w->table[i] = w->table[--w->ntables];
		}
	}
}
