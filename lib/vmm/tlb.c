#include "vmm/tlb.h"

#include <string.h>

/* All tags of a free entry are TLB_NOTAG, all ones; the addend does not matter. */
static void entry_drop(struct tlb *t, unsigned mode, unsigned i)
{
	struct tlb_entry *e = &t->e[mode][i];

	e->rtag = e->wtag = e->xtag = TLB_NOTAG;
	t->global[mode][i] = 0;
}

void tlb_flush(struct tlb *t)
{
	memset(t->e, 0xff, sizeof(t->e));
	memset(t->global, 0, sizeof(t->global));
	t->large_lo = UINT64_MAX;
	t->large_hi = 0;
}

void tlb_flush_nonglobal(struct tlb *t)
{
	for (unsigned mode = 0; mode < TLB_MODES; mode++)
		for (unsigned i = 0; i < TLB_SIZE; i++)
			if (!t->global[mode][i])
				entry_drop(t, mode, i);
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
			entry_drop(t, mode, i);
	}
}

void tlb_protect_hva(struct tlb *t, const void *hva)
{
	uint64_t page = (uint64_t)(uintptr_t)hva & ~0xfffull;

	for (unsigned mode = 0; mode < TLB_MODES; mode++)
		for (unsigned i = 0; i < TLB_SIZE; i++) {
			struct tlb_entry *e = &t->e[mode][i];

			if (e->wtag != TLB_NOTAG && e->wtag + e->addend == page)
				e->wtag = TLB_NOTAG;
		}
}
