/* Interrupts of PCI functions: the pin, MSI and MSI-X. */
#include "dev/pci_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"

/* MSI with 64-bit addresses, PCI 3.0 figure 6-9. */
enum { MSI_CTRL = 2, MSI_ADDR = 4, MSI_DATA = 12, MSI_LEN = 14 };
enum { MSI_ON = 1, MSI_64 = 0x80 };
/* MSI-X, figures 6-10 and 6-11. */
enum { MSIX_CTRL = 2, MSIX_TABLE = 4, MSIX_PBA = 8, MSIX_LEN = 12 };
enum { MSIX_ON = 0x8000, MSIX_MASKED = 0x4000, VECTOR_MASKED = 1 };
enum { VECTOR_LEN = 16, VECTORS_MAX = 2048 };

/* --- making ----------------------------------------------------------------------- */

void pci_fn_msi(struct pci_fn *f)
{
	uint8_t c = pci_fn_cap(f, PCI_CAP_MSI, MSI_LEN);

	f->msi = c;
	f->init[c + MSI_CTRL] = MSI_64;
	f->wmask[c + MSI_CTRL] = MSI_ON;
	memset(f->wmask + c + MSI_ADDR, 0xff, 8);
	f->wmask[c + MSI_ADDR] = 0xfc;
	memset(f->wmask + c + MSI_DATA, 0xff, 2);
}

int pci_fn_msix(struct pci_fn *f, unsigned n, unsigned bar, uint32_t table, uint32_t pba,
		struct err *e)
{
	uint8_t c;

	assert(n && n <= VECTORS_MAX && bar < PCI_BARS && !(table & 7) && !(pba & 7));
	f->vector = calloc(n, sizeof(*f->vector));
	f->pending = calloc((n + 63) / 64, sizeof(*f->pending));
	if (!f->vector || !f->pending)
		return err_set(e, -ENOMEM, "out of memory");
	c = pci_fn_cap(f, PCI_CAP_MSIX, MSIX_LEN);
	f->msix = c;
	f->msix_bar = (uint8_t)bar;
	f->msix_table = table;
	f->msix_pba = pba;
	f->nvectors = (uint16_t)n;
	le16_put(f->init + c + MSIX_CTRL, (uint16_t)(n - 1));
	le16_put(f->wmask + c + MSIX_CTRL, MSIX_ON | MSIX_MASKED);
	le32_put(f->init + c + MSIX_TABLE, table | bar);
	le32_put(f->init + c + MSIX_PBA, pba | bar);
	pci_msi_reset(f);
	return 0;
}

void pci_msi_free(struct pci_fn *f)
{
	free(f->vector);
	free(f->pending);
	f->vector = NULL;
	f->pending = NULL;
}

/* --- sending ----------------------------------------------------------------------- */

static bool msi_on(const struct pci_fn *f)
{
	return f->msi && f->cfg[f->msi + MSI_CTRL] & MSI_ON;
}

static uint16_t msix_ctrl(const struct pci_fn *f)
{
	return f->msix ? le16_get(f->cfg + f->msix + MSIX_CTRL) : 0;
}

bool pci_has_messages(const struct pci_fn *f)
{
	return msi_on(f) || msix_ctrl(f) & MSIX_ON;
}

/* Send message n, or remember it where it is masked. */
static void vector_send(struct pci_fn *f, unsigned n)
{
	const struct pci_vector *v = &f->vector[n];

	if (msix_ctrl(f) & MSIX_MASKED || v->ctrl & VECTOR_MASKED) {
		f->pending[n / 64] |= 1ull << n % 64;
		return;
	}
	f->pending[n / 64] &= ~(1ull << n % 64);
	pci_message(f, v->addr, v->data);
}

static void pending_send(struct pci_fn *f)
{
	for (unsigned w = 0; w < (f->nvectors + 63u) / 64; w++)
		for (uint64_t left = f->pending[w]; left; left &= left - 1)
			vector_send(f, w * 64 + (unsigned)__builtin_ctzll(left));
}

void pci_irq(struct pci_fn *f, unsigned n, bool level)
{
	if (msix_ctrl(f) & MSIX_ON) {
		if (level && n < f->nvectors)
			vector_send(f, n);
	} else if (msi_on(f)) {
		if (level)
			pci_message(f, le64_get(f->cfg + f->msi + MSI_ADDR),
				    le16_get(f->cfg + f->msi + MSI_DATA));
	}
	if (n == 0) {
		f->intx = level;
		pci_pin_update(f);
	}
}

/* --- what the guest sets -------------------------------------------------------------- */

void pci_msi_changed(struct pci_fn *f)
{
	if ((msix_ctrl(f) & (MSIX_ON | MSIX_MASKED)) == MSIX_ON)
		pending_send(f);
	pci_pin_update(f);
}

void pci_msi_reset(struct pci_fn *f)
{
	for (unsigned i = 0; i < f->nvectors; i++)
		f->vector[i] = (struct pci_vector){ .ctrl = VECTOR_MASKED };
	if (f->nvectors)
		memset(f->pending, 0, (f->nvectors + 63u) / 64 * sizeof(*f->pending));
	f->intx = false;
}

static bool in_msix(const struct pci_bar *b, uint64_t off, bool *table)
{
	const struct pci_fn *f = b->fn;

	if (!f->msix || b != &f->bar[f->msix_bar])
		return false;
	*table = off - f->msix_table < (uint64_t)f->nvectors * VECTOR_LEN;
	return *table || off - f->msix_pba < (f->nvectors + 63u) / 64 * 8;
}

static uint32_t dword_of(const struct pci_vector *v, unsigned n)
{
	return n == 0 ? (uint32_t)v->addr : n == 1 ? (uint32_t)(v->addr >> 32) :
		n == 2 ? v->data : v->ctrl;
}

/* Doublewords and quadwords; what else comes finds zeros, and is dropped. */
bool pci_msix_read(struct pci_bar *b, uint64_t off, unsigned size, uint64_t *val)
{
	const struct pci_fn *f = b->fn;
	bool table;

	if (!in_msix(b, off, &table))
		return false;
	*val = 0;
	if (size < 4)
		return true;
	if (table) {
		const struct pci_vector *v = &f->vector[(off - f->msix_table) / VECTOR_LEN];
		unsigned n = off / 4 % 4;

		*val = dword_of(v, n);
		if (size == 8)
			*val |= (uint64_t)dword_of(v, n + 1) << 32;
	} else {
		*val = f->pending[(off - f->msix_pba) / 8] >> off % 8 * 8;
	}
	return true;
}

static void dword_set(struct pci_fn *f, unsigned i, unsigned n, uint32_t val)
{
	struct pci_vector *v = &f->vector[i];

	if (n == 0)
		v->addr = (v->addr & ~0xffffffffull) | (val & ~3u);
	else if (n == 1)
		v->addr = (v->addr & 0xffffffff) | (uint64_t)val << 32;
	else if (n == 2)
		v->data = val;
	else
		v->ctrl = val & VECTOR_MASKED;
	if (msix_ctrl(f) & MSIX_ON && f->pending[i / 64] >> i % 64 & 1)
		vector_send(f, i);
}

bool pci_msix_write(struct pci_bar *b, uint64_t off, uint64_t val, unsigned size)
{
	struct pci_fn *f = b->fn;
	unsigned i, n;
	bool table;

	if (!in_msix(b, off, &table))
		return false;
	if (size < 4 || !table)
		return true;
	i = (unsigned)((off - f->msix_table) / VECTOR_LEN);
	n = off / 4 % 4;
	dword_set(f, i, n, (uint32_t)val);
	if (size == 8)
		dword_set(f, i, n + 1, (uint32_t)(val >> 32));
	return true;
}
