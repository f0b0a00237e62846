#include "x86/walk.h"

#define PTE_P		(1ull << 0)
#define PTE_W		(1ull << 1)
#define PTE_U		(1ull << 2)
#define PTE_PWT		(1ull << 3)
#define PTE_PCD		(1ull << 4)
#define PTE_A		(1ull << 5)
#define PTE_D		(1ull << 6)
#define PTE_PS		(1ull << 7)	/* PAT in a 4 KiB leaf */
#define PTE_G		(1ull << 8)
#define PTE_PAT_LARGE	(1ull << 12)
#define PTE_NX		(1ull << 63)

#define PHYS_MASK	((1ull << X86_PHYS_BITS) - 1)
/* Bits MAXPHYADDR to 51 of an 8-byte entry. */
#define RSVD_PHYS	(((1ull << 52) - 1) & ~PHYS_MASK)
/* PAE without long mode: also 52 to 62. */
#define RSVD_PAE	(((1ull << 63) - 1) & ~PHYS_MASK)

enum walk_kind { WALK_32, WALK_PAE, WALK_LONG };

/* One walk under way: what was read, for setting A and D at its end. */
struct walk_state {
	enum walk_kind kind;
	unsigned size;		/* of an entry, bytes */
	unsigned n;		/* entries read */
	uint64_t gpa[4], val[4];
	uint64_t all;		/* AND of all entries, for U and W */
	uint64_t any;		/* OR, for NX */
	bool rsvd;		/* ended at an entry with a reserved bit */
};

static enum walk_kind walk_kind_of(const struct x86_cpu *c)
{
	if (c->efer & X86_EFER_LMA)
		return WALK_LONG;
	return c->cr4 & X86_CR4_PAE ? WALK_PAE : WALK_32;
}

/* Reserved bits of an entry at level (1: the last) that is or is not a page. */
static uint64_t walk_reserved(const struct x86_cpu *c, enum walk_kind kind,
			      unsigned level, bool large)
{
	uint64_t r;

	if (kind == WALK_32)	/* PSE-36: bits 13 to 20 are address bits 32 to 39 */
		return large ? 1ull << 21 : 0;
	r = kind == WALK_PAE ? RSVD_PAE : RSVD_PHYS;
	if (!(c->efer & X86_EFER_NXE))
		r |= PTE_NX;
	if (level == 4)
		r |= PTE_PS;
	if (large)
		r |= level == 3 ? 0x3fffe000 : 0x1fe000;
	return r;
}

static uint64_t walk_page(enum walk_kind kind, uint64_t pte, uint64_t size)
{
	if (kind == WALK_32 && size > 4096)
		return (pte & 0xffc00000) | (pte >> 13 & 0xff) << 32;
	return pte & PHYS_MASK & ~(size - 1);
}

static void walk_fill(const struct x86_cpu *c, const struct walk_state *s,
		      uint64_t gva, uint64_t size, struct x86_walk *w)
{
	uint64_t pte = s->val[s->n - 1];

	w->page_size = size;
	w->gpa = walk_page(s->kind, pte, size) | (gva & (size - 1));
	w->user = s->all & PTE_U;
	w->writable = s->all & PTE_W;
	w->exec = s->kind == WALK_32 || !(s->any & PTE_NX);
	w->dirty = pte & PTE_D;
	w->accessed = s->all & PTE_A;
	w->global = (pte & PTE_G) && (c->cr4 & X86_CR4_PGE);
	w->memtype = (pte & PTE_PWT ? 1 : 0) | (pte & PTE_PCD ? 2 : 0) |
		(pte & (size > 4096 ? PTE_PAT_LARGE : PTE_PS) ? 4 : 0);
}

/* Descend to the leaf.  false: not present, or s->rsvd. */
static bool walk_descend(const struct x86_cpu *c, const struct x86_walk_mem *m,
			 uint64_t gva, struct walk_state *s, struct x86_walk *w)
{
	unsigned bits, level, shift;
	uint64_t table, e;
	bool large;

	*s = (struct walk_state){ .kind = walk_kind_of(c), .all = ~0ull };
	s->size = s->kind == WALK_32 ? 4 : 8;
	bits = s->kind == WALK_32 ? 10 : 9;
	if (s->kind == WALK_PAE) {
		table = c->pdpte[gva >> 30 & 3];
		if (!(table & PTE_P))
			return false;
		table &= PHYS_MASK & ~0xfffull;
	} else {
		table = c->cr3 & (s->kind == WALK_32 ? 0xfffff000 :
				  PHYS_MASK & ~0xfffull);
	}
	for (level = s->kind == WALK_LONG ? 4 : 2;; level--) {
		shift = 12 + (level - 1) * bits;
		if (m->table)
			m->table(m->ptr, table, level);
		s->gpa[s->n] = table + (gva >> shift & ((1u << bits) - 1)) * s->size;
		if (!m->read(m->ptr, s->gpa[s->n], s->size, &e) || !(e & PTE_P))
			return false;
		s->val[s->n++] = e;
		s->all &= e;
		s->any |= e;
		large = (level == 2 || level == 3) && (e & PTE_PS) &&
			(s->kind != WALK_32 || (c->cr4 & X86_CR4_PSE));
		if (e & walk_reserved(c, s->kind, level, large)) {
			s->rsvd = true;
			return false;
		}
		if (large || level == 1) {
			walk_fill(c, s, gva, 1ull << shift, w);
			return true;
		}
		table = e & (s->kind == WALK_32 ? 0xfffff000 : PHYS_MASK & ~0xfffull);
	}
}

static bool walk_allowed(const struct x86_cpu *c, const struct x86_walk *w,
			 enum x86_walk_access access, enum x86_walk_priv priv)
{
	if (access == X86_WALK_X && !w->exec)
		return false;
	if (priv == X86_WALK_USER) {
		if (!w->user)
			return false;
		return access != X86_WALK_W || w->writable;
	}
	if (access == X86_WALK_X)
		return !(w->user && (c->cr4 & X86_CR4_SMEP));
	if (w->user && (c->cr4 & X86_CR4_SMAP) && priv != X86_WALK_SUPER_AC)
		return false;
	return access != X86_WALK_W || w->writable || !(c->cr0 & X86_CR0_WP);
}

/* Set A everywhere and D in the leaf.  false: an entry changed meanwhile. */
static bool walk_mark(const struct x86_walk_mem *m, struct walk_state *s,
		      bool write)
{
	for (unsigned i = 0; i < s->n; i++) {
		uint64_t want = s->val[i] | PTE_A;

		if (write && i == s->n - 1)
			want |= PTE_D;
		if (want != s->val[i] &&
		    !m->cmpxchg(m->ptr, s->gpa[i], s->size, s->val[i], want))
			return false;
	}
	return true;
}

static int walk_fault(struct x86_cpu *c, uint64_t gva,
		      enum x86_walk_access access, enum x86_walk_priv priv,
		      uint32_t error)
{
	if (access == X86_WALK_W)
		error |= X86_PF_W;
	if (priv == X86_WALK_USER)
		error |= X86_PF_U;
	if (access == X86_WALK_X &&
	    ((c->cr4 & X86_CR4_SMEP) ||
	     ((c->efer & X86_EFER_NXE) && (c->cr4 & X86_CR4_PAE))))
		error |= X86_PF_I;
	return x86_raise_pf(c, gva, error);
}

static bool walk_canonical(uint64_t gva)
{
	return (uint64_t)((int64_t)(gva << 16) >> 16) == gva;
}

static void walk_identity(uint64_t gva, struct x86_walk *w)
{
	*w = (struct x86_walk){ .gpa = gva & 0xffffffff, .page_size = 4096,
		.user = true, .writable = true, .exec = true, .dirty = true,
		.accessed = true };
}

int x86_walk(struct x86_cpu *c, const struct x86_walk_mem *m, uint64_t gva,
	     enum x86_walk_access access, enum x86_walk_priv priv,
	     struct x86_walk *w)
{
	struct walk_state s;

	if (!x86_paging(c)) {
		walk_identity(gva, w);
		return X86_OK;
	}
	if (!(c->efer & X86_EFER_LMA))
		gva &= 0xffffffff;
	else if (!walk_canonical(gva))
		return x86_raise_err(c, X86_EXC_GP, 0);
	do {
		if (!walk_descend(c, m, gva, &s, w))
			return walk_fault(c, gva, access, priv,
					  s.rsvd ? X86_PF_P | X86_PF_RSVD : 0);
		if (!walk_allowed(c, w, access, priv))
			return walk_fault(c, gva, access, priv, X86_PF_P);
	} while (!walk_mark(m, &s, access == X86_WALK_W));
	if (access == X86_WALK_W)
		w->dirty = true;
	return X86_OK;
}

bool x86_walk_peek(const struct x86_cpu *c, const struct x86_walk_mem *m,
		   uint64_t gva, struct x86_walk *w)
{
	struct x86_walk_mem quiet = *m;
	struct walk_state s;

	if (!x86_paging(c)) {
		walk_identity(gva, w);
		return true;
	}
	if (!(c->efer & X86_EFER_LMA))
		gva &= 0xffffffff;
	else if (!walk_canonical(gva))
		return false;
	quiet.table = NULL;
	return walk_descend(c, &quiet, gva, &s, w);
}

int x86_load_pdptes(struct x86_cpu *c, const struct x86_walk_mem *m)
{
	uint64_t e[4];

	for (unsigned i = 0; i < 4; i++) {
		if (!m->read(m->ptr, (c->cr3 & 0xffffffe0) + i * 8, 8, &e[i]))
			e[i] = 0;
		/* SDM vol. 3, 4.4.1: bits 1, 2, 5 to 8 and above MAXPHYADDR */
		if ((e[i] & PTE_P) && (e[i] & (0x1e6 | RSVD_PAE | PTE_NX)))
			return x86_raise_err(c, X86_EXC_GP, 0);
	}
	for (unsigned i = 0; i < 4; i++)
		c->pdpte[i] = e[i];
	return X86_OK;
}
