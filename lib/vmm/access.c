#include "vmm/access.h"

#include <string.h>

#include "vmm/walkmem.h"
#include "x86/walk.h"

/* --- page tables in guest memory ------------------------------------------ */

static bool table_read(void *ptr, uint64_t gpa, unsigned size, uint64_t *val)
{
	const struct vcpu *v = ptr;
	const void *p = mem_ptr(v->vm->mem, gpa, size);

	if (!p)
		return false;
	if (size == 4)
		*val = __atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED);
	else
		*val = __atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED);
	return true;
}

static bool page_has(const struct mem *m, const void *hva, uint8_t flags)
{
	return m->pflags[((const uint8_t *)hva - m->hva) >> PAGE_SHIFT] & flags;
}

static bool table_cmpxchg(void *ptr, uint64_t gpa, unsigned size, uint64_t old,
			  uint64_t new)
{
	struct vcpu *v = ptr;
	struct mem *m = v->vm->mem;
	void *p = mem_ptr(m, gpa, size);
	bool done;

	if (!p)
		return false;
	if (page_has(m, p, MEM_PF_ROM))
		return true;	/* A and D in ROM stay as they are */
	if (size == 4) {
		uint32_t old4 = (uint32_t)old;

		done = __atomic_compare_exchange_n((uint32_t *)p, &old4,
			(uint32_t)new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	} else {
		done = __atomic_compare_exchange_n((uint64_t *)p, &old, new,
			false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
	if (done && v->trial)
		v->trial->walked = true;
	if (done)
		mem_dirty(m, gpa, size);
	return done;
}

struct x86_walk_mem vcpu_walk_mem(struct vcpu *v)
{
	return (struct x86_walk_mem){
		.ptr = v, .read = table_read, .cmpxchg = table_cmpxchg };
}

bool vcpu_peek(const struct vcpu *v, uint64_t gva, uint64_t *gpa)
{
	struct x86_walk_mem m = vcpu_walk_mem((struct vcpu *)v);
	struct x86_walk w;

	if (!x86_walk_peek(&v->cpu, &m, gva, &w))
		return false;
	*gpa = w.gpa;
	return true;
}

/* --- the TLB -------------------------------------------------------------- */

static enum x86_walk_priv mode_priv(enum tlb_mode mode)
{
	switch (mode) {
	case TLB_USER:
		return X86_WALK_USER;
	case TLB_KERNEL_AC:
		return X86_WALK_SUPER_AC;
	default:
		return X86_WALK_SUPER;
	}
}

/* May data of this page be touched in this mode? */
static bool mode_data(const struct x86_cpu *c, const struct x86_walk *w,
		      enum tlb_mode mode)
{
	if (mode == TLB_USER)
		return w->user;
	return mode == TLB_KERNEL_AC || !w->user || !(c->cr4 & X86_CR4_SMAP);
}

static bool mode_write(const struct x86_cpu *c, const struct x86_walk *w,
		       enum tlb_mode mode)
{
	return mode_data(c, w, mode) && w->dirty &&
		(w->writable || (mode != TLB_USER && !(c->cr0 & X86_CR0_WP)));
}

static bool mode_exec(const struct x86_cpu *c, const struct x86_walk *w,
		      enum tlb_mode mode)
{
	if (!w->exec)
		return false;
	return mode == TLB_USER ? w->user :
		!(w->user && (c->cr4 & X86_CR4_SMEP));
}

static void tlb_note_large(struct tlb *t, uint64_t gva, uint64_t size)
{
	uint64_t lo = gva & ~(size - 1);

	if (t->large_lo > lo)
		t->large_lo = lo;
	if (t->large_hi < lo + size - 1)
		t->large_hi = lo + size - 1;
}

int tlb_fill(struct vcpu *v, uint64_t gva, int access, enum tlb_mode mode,
	     uint64_t *gpa)
{
	struct x86_walk_mem wm = vcpu_walk_mem(v);
	struct x86_cpu *c = &v->cpu;
	struct mem *m = v->vm->mem;
	uint64_t page = gva & PAGE_MASK, off;
	unsigned i = gva >> PAGE_SHIFT & (TLB_SIZE - 1);
	struct tlb_entry *e = &v->tlb.e[mode][i];
	struct x86_walk w;
	uint8_t flags;

	if (x86_walk(c, &wm, gva, access, mode_priv(mode), &w) != X86_OK)
		return X86_FAULT;
	*gpa = w.gpa;
	off = mem_off(m, w.gpa & PAGE_MASK);
	if (off == UINT64_MAX) {
		e->rtag = e->wtag = e->xtag = TLB_NOTAG;
		return X86_OK;
	}
	flags = m->pflags[off >> PAGE_SHIFT];
	if (access == X86_WALK_W && !(flags & (MEM_PF_DIRTY | MEM_PF_ROM)))
		atomic_fetch_or(&m->pflags[off >> PAGE_SHIFT], MEM_PF_DIRTY);
	e->addend = (uint64_t)(uintptr_t)m->hva + off - page;
	e->rtag = mode_data(c, &w, mode) ? page : TLB_NOTAG;
	e->xtag = mode_exec(c, &w, mode) ? page : TLB_NOTAG;
	/* A clean page takes the slow path once more, for the dirty log. */
	e->wtag = mode_write(c, &w, mode) && !(flags & MEM_PF_SLOWWRITE) && !v->trial &&
		((flags & MEM_PF_DIRTY) || access == X86_WALK_W) ?
		page : TLB_NOTAG;
	tlb_filled(&v->tlb, mode, i, w.global);
	if (w.page_size > PAGE_SIZE)
		tlb_note_large(&v->tlb, gva, w.page_size);
	return X86_OK;
}

/* --- accesses ------------------------------------------------------------- */

/* A piece of an access inside one page. */
struct piece {
	uint64_t gva, gpa;
	void *hva;		/* NULL: device memory */
	unsigned len;
	bool slow;		/* to be told to mem_dirty() */
	bool rom;
};

static int piece_translate(struct vcpu *v, struct piece *p, int access,
			   enum tlb_mode mode)
{
	const struct tlb_entry *e =
		&v->tlb.e[mode][p->gva >> PAGE_SHIFT & (TLB_SIZE - 1)];
	struct mem *m = v->vm->mem;
	uint64_t page = p->gva & PAGE_MASK, off;

	p->slow = p->rom = false;
	if ((access == X86_WALK_R && e->rtag == page) ||
	    (access == X86_WALK_W && e->wtag == page)) {
		p->hva = (void *)(uintptr_t)(p->gva + e->addend);
		return X86_OK;
	}
	if (tlb_fill(v, p->gva, access, mode, &p->gpa) != X86_OK)
		return X86_FAULT;
	off = mem_off(m, p->gpa);
	p->hva = off == UINT64_MAX ? NULL : m->hva + off;
	if (p->hva && access == X86_WALK_W) {
		p->rom = page_has(m, p->hva, MEM_PF_ROM);
		p->slow = page_has(m, p->hva, MEM_PF_SLOWWRITE);
	}
	return X86_OK;
}

/* In a trial: can a read or store of this piece be taken back? */
static bool piece_refused(struct vcpu *v, const struct piece *p, bool write)
{
	struct vcpu_trial *t = v->trial;

	if (!p->hva)
		t->refused = VCPU_TRIAL_DEVICE;
	else if (write && p->slow && !p->rom)
		t->refused = VCPU_TRIAL_TOLD;
	else if (write && !p->rom && !t->store(t, p->hva, p->len))
		t->refused = VCPU_TRIAL_FULL;
	return t->refused;
}

/* Cut [gva, gva+len) into one or two pieces; without long mode linear addresses
 * wrap at 4 GiB. */
static unsigned pieces_cut(const struct vcpu *v, uint64_t gva, unsigned len,
			   struct piece p[2])
{
	unsigned first = PAGE_SIZE - (gva & (PAGE_SIZE - 1));

	p[0].gva = gva;
	p[0].len = len;
	if (first >= len)
		return 1;
	p[0].len = first;
	p[1].gva = gva + first;
	if (!v->cpu.long_mode)
		p[1].gva &= 0xffffffff;
	p[1].len = len - first;
	return 2;
}

static bool no_cmpxchg(void *ptr, uint64_t gpa, unsigned size, uint64_t old, uint64_t new)
{
	return true;
}

/* Translate all pieces of a write.  D is for stores that happen: before it is set
 * in the first page, the second has to be writable. */
static int pieces_translate_write(struct vcpu *v, struct piece p[2], unsigned n,
				  enum tlb_mode mode)
{
	struct x86_walk_mem m = vcpu_walk_mem(v);
	struct x86_walk w;

	m.cmpxchg = no_cmpxchg;
	for (unsigned i = 0; i < n && n > 1; i++) {
		const struct tlb_entry *e =
			&v->tlb.e[mode][p[i].gva >> PAGE_SHIFT & (TLB_SIZE - 1)];

		if (e->wtag != (p[i].gva & PAGE_MASK) &&
		    x86_walk(&v->cpu, &m, p[i].gva, X86_WALK_W, mode_priv(mode), &w))
			return X86_FAULT;
	}
	for (unsigned i = 0; i < n; i++)
		if (piece_translate(v, &p[i], X86_WALK_W, mode) != X86_OK)
			return X86_FAULT;
	return X86_OK;
}

/* The largest power of two that is aligned at gpa and at most len, up to 8. */
static unsigned mmio_chunk(uint64_t gpa, unsigned len)
{
	unsigned n = 8;

	while (n > len || (gpa & (n - 1)))
		n /= 2;
	return n;
}

static void mmio_read(struct vcpu *v, uint64_t gpa, uint8_t *buf, unsigned len)
{
	while (len) {
		unsigned n = mmio_chunk(gpa, len);
		uint64_t val = bus_mmio_read(&v->vm->bus, gpa, n);

		memcpy(buf, &val, n);
		gpa += n;
		buf += n;
		len -= n;
	}
}

static void mmio_write(struct vcpu *v, uint64_t gpa, const uint8_t *buf,
		       unsigned len)
{
	while (len) {
		unsigned n = mmio_chunk(gpa, len);
		uint64_t val = 0;

		memcpy(&val, buf, n);
		bus_mmio_write(&v->vm->bus, gpa, val, n);
		gpa += n;
		buf += n;
		len -= n;
	}
}

/* One move for 16 bytes, too, as processors with AVX make it. */
static void piece_copy(void *to, const void *from, unsigned len)
{
	if (len == 16)
		__builtin_memcpy(to, from, 16);
	else
		vcpu_copy(to, from, len);
}

/* Whether it is to be told is asked again behind the store: see vcpu_stored(). */
static void piece_store(struct vcpu *v, const struct piece *p, const void *from)
{
	piece_copy(p->hva, from, p->len);
	if (p->slow)
		mem_dirty(v->vm->mem, p->gpa, p->len);
	else
		vcpu_stored(v, p->hva, p->len);
}

int vcpu_read_slow(struct vcpu *v, uint64_t gva, void *buf, unsigned len,
		   enum tlb_mode mode)
{
	struct piece p[2];
	unsigned n = pieces_cut(v, gva, len, p);
	uint8_t *to = buf;

	for (unsigned i = 0; i < n; i++)
		if (piece_translate(v, &p[i], X86_WALK_R, mode) != X86_OK ||
		    (v->trial && piece_refused(v, &p[i], false)))
			return X86_FAULT;
	for (unsigned i = 0; i < n; i++) {
		if (p[i].hva)
			piece_copy(to, p[i].hva, p[i].len);
		else
			mmio_read(v, p[i].gpa, to, p[i].len);
		to += p[i].len;
	}
	return X86_OK;
}

int vcpu_write_slow(struct vcpu *v, uint64_t gva, const void *buf, unsigned len,
		    enum tlb_mode mode)
{
	struct piece p[2];
	unsigned n = pieces_cut(v, gva, len, p);
	const uint8_t *from = buf;

	if (pieces_translate_write(v, p, n, mode) != X86_OK)
		return X86_FAULT;
	for (unsigned i = 0; i < n && v->trial; i++)
		if (piece_refused(v, &p[i], true))
			return X86_FAULT;
	for (unsigned i = 0; i < n; i++) {
		if (!p[i].hva || p[i].rom)	/* ROM: the chipset may lead it elsewhere */
			mmio_write(v, p[i].gpa, from, p[i].len);
		else
			piece_store(v, &p[i], from);
		from += p[i].len;
	}
	return X86_OK;
}

void vcpu_tlb_recheck(struct vcpu *v)
{
	struct mem *m = v->vm->mem;

	atomic_store(&v->tlb.recheck, false);
	for (unsigned i = 0; i < v->tlb.nlist; i++) {
		unsigned n = v->tlb.list[i];
		struct tlb_entry *e = &v->tlb.e[n / TLB_SIZE][n % TLB_SIZE];

		if (e->wtag != TLB_NOTAG &&
		    page_has(m, (const void *)(uintptr_t)(e->wtag + e->addend), MEM_PF_SLOWWRITE))
			e->wtag = TLB_NOTAG;
	}
}

void vcpu_recheck(struct vcpu *v, const void *hva, unsigned len)
{
	struct mem *m = v->vm->mem;

	vcpu_tlb_recheck(v);
	if (page_has(m, hva, MEM_PF_CODE | MEM_PF_PT))
		mem_dirty(m, vcpu_off_gpa(m, (uint64_t)((const uint8_t *)hva - m->hva)), len);
}

int vcpu_probe_write(struct vcpu *v, uint64_t gva, unsigned len,
		     enum tlb_mode mode)
{
	struct piece p[2];
	unsigned n = pieces_cut(v, gva, len, p);

	return pieces_translate_write(v, p, n, mode);
}

int vcpu_hva(struct vcpu *v, uint64_t gva, bool write, enum tlb_mode mode,
	     void **hva, uint64_t *gpa, bool *slow)
{
	struct piece p = { .gva = gva, .len = 1 };
	struct mem *m = v->vm->mem;

	if (piece_translate(v, &p, write ? X86_WALK_W : X86_WALK_R, mode) != X86_OK)
		return X86_FAULT;
	if (v->trial && p.hva && !p.rom) {
		p.len = (unsigned)(PAGE_SIZE - (gva & ~PAGE_MASK));
		if (piece_refused(v, &p, write))
			return X86_FAULT;
	}
	*hva = p.rom ? NULL : p.hva;
	*slow = p.slow && !p.rom;
	*gpa = p.hva ? vcpu_off_gpa(m, (uint8_t *)p.hva - m->hva) : p.gpa;
	return X86_OK;
}

int vcpu_fetch_gpa(struct vcpu *v, uint64_t gva, uint64_t *gpa)
{
	enum tlb_mode mode = v->cpu.cpl == 3 ? TLB_USER : TLB_KERNEL;
	const struct tlb_entry *e =
		&v->tlb.e[mode][gva >> PAGE_SHIFT & (TLB_SIZE - 1)];

	if (e->xtag == (gva & PAGE_MASK)) {
		struct mem *m = v->vm->mem;

		*gpa = vcpu_off_gpa(m, gva + e->addend - (uint64_t)(uintptr_t)m->hva);
		return X86_OK;
	}
	return tlb_fill(v, gva, X86_WALK_X, mode, gpa);
}
