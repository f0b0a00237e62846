#include "vmm/tlb.h"

static struct tlb_entry *entry_of(struct tlb *t, unsigned n)
{
	return &t->e[n / TLB_SIZE][n % TLB_SIZE];
}

static void entry_clear(struct tlb_entry *e)
{
	e->rtag = e->wtag = e->xtag = TLB_NOTAG;
}

/* Forget a listed entry. */
static void entry_drop(struct tlb *t, unsigned n)
{
	entry_clear(entry_of(t, n));
	t->global[n / TLB_SIZE][n % TLB_SIZE] = 0;
	t->listed[n / TLB_SIZE][n % TLB_SIZE] = 0;
}

void tlb_filled(struct tlb *t, enum tlb_mode mode, unsigned i, bool global)
{
	if (!t->listed[mode][i])
		t->list[t->nlist++] = (uint16_t)(mode * TLB_SIZE + i);
	t->listed[mode][i] = 1;
	t->global[mode][i] = global;
}

void tlb_flush(struct tlb *t)
{
	if (!t->ready) {
		for (unsigned n = 0; n < TLB_MODES * TLB_SIZE; n++)
			entry_clear(entry_of(t, n));
		t->ready = true;
	}
	for (unsigned i = 0; i < t->nlist; i++)
		entry_drop(t, t->list[i]);
	t->nlist = 0;
	t->large_lo = UINT64_MAX;
	t->large_hi = 0;
}

void tlb_flush_nonglobal(struct tlb *t)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < t->nlist; i++) {
		unsigned n = t->list[i];

		if (t->global[n / TLB_SIZE][n % TLB_SIZE])
			t->list[kept++] = (uint16_t)n;
		else
			entry_drop(t, n);
	}
	t->nlist = kept;
}

void tlb_flush_page(struct tlb *t, uint64_t gva)
{
	uint64_t page = gva & ~0xfffull;
	unsigned i = gva >> 12 & (TLB_SIZE - 1);

	if (gva >= t->large_lo && gva <= t->large_hi) {
		tlb_flush(t);
		return;
	}
	for (unsigned mode = 0; mode < TLB_MODES; mode++) {
		struct tlb_entry *e = &t->e[mode][i];

		if (e->rtag == page || e->wtag == page || e->xtag == page)
			entry_clear(e);
	}
}

void tlb_protect_hva(struct tlb *t, const void *hva)
{
	uint64_t page = (uint64_t)(uintptr_t)hva & ~0xfffull;

	for (unsigned i = 0; i < t->nlist; i++) {
		struct tlb_entry *e = entry_of(t, t->list[i]);

		if (e->wtag != TLB_NOTAG && e->wtag + e->addend == page)
			e->wtag = TLB_NOTAG;
	}
}
