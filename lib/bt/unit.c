#include "bt/unit.h"

#include <stdlib.h>
#include <string.h>

static unsigned hash_of(uint64_t gpa, uint64_t eip, uint32_t mode)
{
	uint64_t h = (gpa ^ eip << 20 ^ (uint64_t)mode << 7) *
		     0x9e3779b97f4a7c15ull;

	return (unsigned)(h >> (64 - BT_HASH_BITS));
}

struct bt_unit *unit_find(struct bt *bt, uint64_t gpa, uint64_t eip, uint32_t mode,
			  uint32_t limit)
{
	struct bt_unit *u = bt->hash[hash_of(gpa, eip, mode)];

	while (u && (u->gpa != gpa || u->eip != eip || u->mode != mode ||
		     u->limit != limit))
		u = u->hash_next;
	return u;
}

void unit_free(struct bt_unit *u)
{
	free(u->insn);
}

static void page_insert(struct bt *bt, struct bt_unit *u, unsigned i, uint64_t gpa)
{
	struct bt_pageref **first = &bt->page[mem_off(bt->vm->mem, gpa) >> PAGE_SHIFT];
	struct bt_pageref *r = &u->page[i];

	r->unit = u;
	r->next = *first;
	if (r->next)
		r->next->prev = &r->next;
	r->prev = first;
	*first = r;
}

void unit_insert(struct bt *bt, struct bt_unit *u)
{
	struct bt_unit **h = &bt->hash[hash_of(u->gpa, u->eip, u->mode)];

	u->hash_next = *h;
	*h = u;
	page_insert(bt, u, 0, u->gpa);
	if (u->gpa2)
		page_insert(bt, u, 1, u->gpa2);
}

/* A page of a library that many programs have mapped, each elsewhere, has thousands. */
static void page_remove(struct bt_pageref *r)
{
	*r->prev = r->next;
	if (r->next)
		r->next->prev = r->prev;
}

/* The slot may be executed meanwhile: one aligned store (emitted so). */
static void slot_patch(struct bt *bt, uint8_t *slot, const uint8_t *target)
{
	const uint8_t *exec = slot - bt->tc.len;
	int32_t rel = (int32_t)(target - (exec + 4));

	__atomic_store_n((int32_t *)slot, rel, __ATOMIC_RELEASE);
}

static uint32_t far_page(const struct bt_link *l)
{
	return l->eip >> PAGE_SHIFT & 0xfffff;	/* hashed, for 64-bit ones */
}

void link_set(struct bt *bt, struct bt_link *l, struct bt_unit *to, bool far)
{
	uint32_t p = far_page(l);

	l->to = to;
	l->next_in = to->incoming;
	if (l->next_in)
		l->next_in->prev_in = &l->next_in;
	to->incoming = l;
	l->prev_in = &to->incoming;
	if (far) {
		l->next_far = bt->far_links;
		if (l->next_far)
			l->next_far->prev_far = &l->next_far;
		bt->far_links = l;
		l->prev_far = &bt->far_links;
		bt->far_pages[p / 64] |= 1ull << p % 64;
		if (to->gpa2)
			bt->far_pages[(p + 1) % (1u << 20) / 64] |= 1ull << (p + 1) % 64;
	}
	slot_patch(bt, l->slot, l->returns ? to->entry_return : l->loop ? to->entry_loop :
		   to->fpu && l->from->fpu ? to->entry_fpu : to->entry);
	bt->stats.links++;
}

void link_refuse(struct bt *bt, struct bt_link *l)
{
	if (l->lookup)
		slot_patch(bt, l->slot, l->lookup);
}

void link_clear(struct bt *bt, struct bt_link *l)
{
	if (!l->to)
		return;
	slot_patch(bt, l->slot, l->stub);
	*l->prev_in = l->next_in;
	if (l->next_in)
		l->next_in->prev_in = l->prev_in;
	l->to = NULL;
	if (l->prev_far) {
		*l->prev_far = l->next_far;
		if (l->next_far)
			l->next_far->prev_far = l->prev_far;
		l->prev_far = NULL;
	}
}

void link_clear_far(struct bt *bt)
{
	while (bt->far_links) {
		uint32_t p = far_page(bt->far_links);

		bt->far_pages[p / 64] = 0;
		bt->far_pages[(p + 1) % (1u << 20) / 64] = 0;
		link_clear(bt, bt->far_links);
	}
}

bool icache_link(struct bt *bt, struct bt_unit *u, struct bt_unit *to, bool far)
{
	struct bt_link *l, *end = u->link + u->nlinks;

	for (l = u->link; l < end; l++)
		if (l->compared && (!l->filled || l->eip == to->eip))
			break;
	if (l == end)
		return false;
	if (!l->to) {
		l->eip = to->eip;
		link_set(bt, l, to, far);
	}
	if (!l->filled) {
		l->filled = true;
		u->icache.filled++;
		bt->stats.icache_entries++;
		__atomic_store_n((int32_t *)l->compared, (int32_t)(1 - (uint32_t)l->eip),
				 __ATOMIC_RELEASE);
	}
	return true;
}

void icache_close(struct bt *bt, struct bt_unit *u)
{
	slot_patch(bt, u->icache.miss, u->icache.lookup);
	bt->stats.icaches_closed++;
}

/* What translated code may look up meanwhile: one store each. */
static void jcache_forget(struct bt_vcpu *b, const struct bt_unit *u)
{
	struct bt_jentry *j = &b->jc.e[bt_jc_index(u->eip)];
	unsigned r = u->eip % BT_RETURNS;

	if (j->code == u->entry_lookup)
		__atomic_store_n(&j->tag, 0, __ATOMIC_RELAXED);
	for (unsigned m = 0; m < b->jc.nmodes; m++)
		if (b->jc.mode[m].returns[r] == u->entry_return)
			__atomic_store_n(&b->jc.mode[m].returns[r], bt_returns_none[r],
					 __ATOMIC_RELAXED);
}

/*
 * A CALL under way on another vCPU may put entry_return into a return cache after
 * jcache_forget() was there.  So the first of its instructions, of three bytes (see
 * gen_return_check()), becomes a jump to the one in front of them that goes to the jump
 * cache: one store of 8 aligned bytes, and no one is in the middle.
 */
static void return_close(struct bt *bt, const struct bt_unit *u)
{
	uint8_t *at = (uint8_t *)u->entry_return + bt->tc.len;
	uint8_t *word = (uint8_t *)((uintptr_t)at & ~7ull);
	uint64_t bytes;

	memcpy(&bytes, word, 8);
	memcpy((uint8_t *)&bytes + (at - word), (uint8_t[]){ 0xeb, (uint8_t)(-BT_RETURN_BACK - 2) }, 2);
	__atomic_store_n((uint64_t *)word, bytes, __ATOMIC_RELEASE);
}

void unit_drop(struct bt *bt, struct bt_unit *u)
{
	struct bt_unit **h;

	if (u->dead)
		return;
	u->dead = true;
	bt->stats.drops++;
	for (h = &bt->hash[hash_of(u->gpa, u->eip, u->mode)]; *h != u; h = &(*h)->hash_next)
		;
	*h = u->hash_next;
	page_remove(&u->page[0]);
	if (u->gpa2)
		page_remove(&u->page[1]);
	while (u->incoming)
		link_clear(bt, u->incoming);
	for (unsigned i = 0; i < u->nlinks; i++)
		link_clear(bt, &u->link[i]);
	if (bt->smp && u->entry_return)
		return_close(bt, u);
	for (unsigned i = 0; i < bt->vm->ncpus; i++)
		if (bt->vm->vcpu[i] && bt->vm->vcpu[i]->engine)
			jcache_forget(bt->vm->vcpu[i]->engine, u);
}

void unit_drop_all(struct bt *bt)
{
	for (unsigned i = 0; i < 1u << BT_HASH_BITS; i++)
		while (bt->hash[i])
			unit_drop(bt, bt->hash[i]);
}

/* Does u hold a byte of the page-relative range [a, b)?  part: 0 its first page. */
static bool unit_overlaps(const struct bt_unit *u, unsigned part, uint64_t a, uint64_t b)
{
	uint64_t start = part ? 0 : u->gpa & ~PAGE_MASK;
	uint64_t end = part ? ((u->gpa & ~PAGE_MASK) + u->len) & ~PAGE_MASK :
			      start + u->len;

	return a < end && b > start;
}

static struct bt_patched *patched_at(struct bt *bt, uint64_t gpa)
{
	return &bt->patched[(gpa ^ gpa >> 10) % BT_PATCHED];
}

static void patched_note(struct bt *bt, uint64_t gpa)
{
	struct bt_patched *p = patched_at(bt, gpa);

	if (p->gpa != gpa)
		*p = (struct bt_patched){ .gpa = gpa };
	if (p->drops < BT_PATCHED_DROPS_MAX)
		p->drops++;
	p->runs = 0;
}

bool unit_patched(struct bt *bt, uint64_t gpa)
{
	struct bt_patched *p = patched_at(bt, gpa);

	if (p->gpa != gpa || p->drops < BT_PATCHED_DROPS ||
	    p->runs >= BT_PATCHED_RUNS << (p->drops - BT_PATCHED_DROPS))
		return false;
	p->runs++;
	bt->stats.patched++;
	return true;
}

void unit_written(struct bt *bt, uint64_t gpa, uint64_t len)
{
	uint64_t off = mem_off(bt->vm->mem, gpa), a, page;
	struct bt_pageref *r, *next;

	if (off == UINT64_MAX)
		return;
	a = gpa & ~PAGE_MASK;
	page = off >> PAGE_SHIFT;
	for (r = bt->page[page]; r; r = next) {
		unsigned part = r == &r->unit->page[1];

		next = r->next;
		/* Dropping removes this unit's two references only; the other one
		 * is in another page's list. */
		if (unit_overlaps(r->unit, part, a, a + len)) {
			patched_note(bt, r->unit->gpa);
			unit_drop(bt, r->unit);
		}
	}
}

/* --- the jump cache ------------------------------------------------------------ */

extern const char bt_lookup[];

const uint8_t *const bt_returns_none[BT_RETURNS] = {
	[0 ... BT_RETURNS - 1] = (const uint8_t *)bt_lookup
};

static void returns_empty(struct bt_jmode *m)
{
	memcpy(m->returns, bt_returns_none, sizeof(m->returns));
	m->returned = false;
}

void returns_forget(struct bt_vcpu *b)
{
	for (unsigned m = 0; m < b->jc.nmodes; m++)
		if (b->jc.mode[m].returned)
			returns_empty(&b->jc.mode[m]);
}

static void new_gen(struct bt_jcache *j, struct bt_jmode *m)
{
	if (j->gen == 0x7fff) {	/* wraps: old tags, and modes that keep theirs, would meet it */
		memset(j->e, 0, sizeof(j->e));
		j->gen = 0;
		for (unsigned i = 0; i < j->nmodes; i++)
			j->mode[i].gen = ++j->gen;
	}
	m->gen = ++j->gen;
}

struct bt_jmode *jcache_mode(struct bt_jcache *j, uint32_t mode, uint32_t cs_base,
			     uint32_t cs_limit)
{
	struct bt_jmode *m;
	unsigned i;

	for (i = 0; i < j->nmodes; i++)
		if (jmode_is(&j->mode[i], mode, cs_base, cs_limit))
			return &j->mode[i];
	if (j->nmodes == BT_JC_MODES)
		j->nmodes = 0;	/* forget them: more than a guest uses at a time */
	m = &j->mode[j->nmodes++];
	m->mode = mode;
	m->cs_base = cs_base;
	m->cs_limit = cs_limit;
	m->nonglobal = false;
	new_gen(j, m);
	returns_empty(m);
	return m;
}

void jcache_flush(struct bt_jcache *j, enum jcache_what what)
{
	for (unsigned i = 0; i < j->nmodes; i++) {
		struct bt_jmode *m = &j->mode[i];

		if (what == JCACHE_NONGLOBAL && !(m->mode & BT_M_USER) && !m->nonglobal)
			continue;
		new_gen(j, m);
		m->nonglobal = false;
	}
	while (what == JCACHE_ALL && j->ntouched)
		j->pages[j->touched[--j->ntouched]] = 0;
}

static void page_note(struct bt_jcache *j, uint32_t page)
{
	if (!j->pages[page / 64])
		j->touched[j->ntouched++] = (uint16_t)(page / 64);
	j->pages[page / 64] |= 1ull << page % 64;
}

void jcache_insert(struct bt_jcache *j, const struct bt_jmode *m, const struct bt_unit *u)
{
	uint64_t gva = m->cs_base + u->eip;
	uint32_t p = gva >> PAGE_SHIFT & 0xfffff, p2 = (gva + u->len - 1) >> PAGE_SHIFT & 0xfffff;

	j->e[bt_jc_index(u->eip)] = (struct bt_jentry){ jcache_tag(m, u->eip), u->entry_lookup };
	page_note(j, p);
	page_note(j, p2);
}

void jcache_flush_page(struct bt_jcache *j, uint64_t gva)
{
	uint32_t p = gva >> PAGE_SHIFT & 0xfffff;

	if (j->pages[p / 64] >> p % 64 & 1)
		jcache_flush(j, JCACHE_ALL);
}
