#include "dev/pci_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"

#define CONFIG_ADDRESS	0xcf8
#define CONFIG_PORTS	8
#define FUNCTIONS	256
#define MULTIFUNCTION	0x80
#define CAP_FIRST	0x40
#define PIO_END		0x10000u
/* Bits of a base address register, PCI 3.0 6.2.5.1. */
enum { BAR_IS_IO = 1, BAR_IS_64 = 4, BAR_IO_FLAGS = 3, BAR_MEM_FLAGS = 15 };
enum { STATUS_INTX = 1 << 3, STATUS_CAPS = 1 << 4 };

struct pci {
	struct vm *vm;
	uint32_t address;
	struct pci_fn *fn[FUNCTIONS];	/* by devfn */
	uint8_t (*cf9_read)(void *ptr);
	void (*cf9_write)(void *ptr, uint8_t val);
	void *cf9_ptr;
	void (*route)(void *ptr, unsigned pirq, bool level);
	void *route_ptr;
	unsigned pins[PCI_PINS];	/* how many assert PIRQA..D */
};

/* --- making a function ---------------------------------------------------------- */

void pci_fn_ident(struct pci_fn *f, uint16_t vendor, uint16_t device,
		  uint32_t class_code, uint8_t revision)
{
	le16_put(f->init + PCI_VENDOR, vendor);
	le16_put(f->init + PCI_DEVICE, device);
	f->init[PCI_REVISION] = revision;
	f->init[PCI_CLASS] = (uint8_t)class_code;
	le16_put(f->init + PCI_CLASS + 1, (uint16_t)(class_code >> 8));
	le16_put(f->init + PCI_SUBVENDOR, PCI_VENDOR_VMWARE);
	le16_put(f->init + PCI_SUBDEVICE, PCI_SUBDEVICE_VMWARE);
	f->wmask[PCI_IRQ_LINE] = 0xff;
}

void pci_fn_bar(struct pci_fn *f, unsigned n, const struct pci_bar *bar)
{
	unsigned at = PCI_BAR0 + 4 * n, least = bar->kind == PCI_BAR_IO ? 4 : 16;

	assert(n < PCI_BARS && (bar->kind != PCI_BAR_MEM64 || n + 1 < PCI_BARS));
	assert(bar->len >= least && bar->len <= 2ull << 30 && !(bar->len & (bar->len - 1)));
	f->bar[n] = *bar;
	f->bar[n].fn = f;
	f->bar[n].mapped = false;
	le32_put(f->wmask + at, (uint32_t)-bar->len);
	if (bar->kind == PCI_BAR_IO) {
		f->init[at] = BAR_IS_IO;
	} else if (bar->kind == PCI_BAR_MEM64) {
		f->init[at] = BAR_IS_64;
		le32_put(f->wmask + at + 4, 0xffffffff);
	}
	f->wmask[PCI_COMMAND] |= PCI_CMD_MASTER |
		(bar->kind == PCI_BAR_IO ? PCI_CMD_IO : PCI_CMD_MEMORY);
}

void pci_fn_pin(struct pci_fn *f, uint8_t pin)
{
	assert(pin >= 1 && pin <= PCI_PINS);
	f->init[PCI_IRQ_PIN] = pin;
	f->wmask[PCI_COMMAND + 1] |= PCI_CMD_NO_INTX >> 8;
}

uint8_t pci_fn_cap(struct pci_fn *f, uint8_t id, uint8_t len)
{
	uint8_t at = f->cap_end ? f->cap_end : CAP_FIRST;

	assert(len >= 2 && at + len <= PCI_CFG_LEN - 4);
	f->init[at] = id;
	f->init[f->cap_last ? f->cap_last + 1 : PCI_CAPABILITIES] = at;
	f->init[PCI_STATUS] |= STATUS_CAPS;
	f->cap_last = at;
	f->cap_end = (uint8_t)((at + len + 3) & ~3u);
	return at;
}

/* --- base addresses ---------------------------------------------------------------- */

static uint64_t bar_read(void *ptr, uint64_t off, unsigned size)
{
	struct pci_bar *b = ptr;
	uint64_t val;

	if (pci_msix_read(b, off, size, &val))
		return val;
	return b->read ? b->read(b->ptr, off, size) : ~0ull;
}

static void bar_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct pci_bar *b = ptr;

	if (!pci_msix_write(b, off, val, size) && b->write)
		b->write(b->ptr, off, val, size);
}

/* Where the guest wants it; 0: nowhere. */
static uint64_t bar_wanted(const struct pci_fn *f, unsigned n)
{
	const struct pci_bar *b = &f->bar[n];
	const uint8_t *reg = f->cfg + PCI_BAR0 + 4 * n;
	uint64_t base = le32_get(reg);

	if (b->kind == PCI_BAR_IO) {
		base &= ~(uint64_t)BAR_IO_FLAGS;
		return f->cfg[PCI_COMMAND] & PCI_CMD_IO && base <= PIO_END - b->len ? base : 0;
	}
	base &= ~(uint64_t)BAR_MEM_FLAGS;
	if (b->kind == PCI_BAR_MEM64)
		base |= (uint64_t)le32_get(reg + 4) << 32;
	return f->cfg[PCI_COMMAND] & PCI_CMD_MEMORY && base + b->len > base ? base : 0;
}

static void bar_unmap(struct pci *p, struct pci_bar *b)
{
	if (!b->mapped)
		return;
	if (b->kind == PCI_BAR_IO)
		bus_del_pio(&p->vm->bus, b->base);
	else
		bus_del_mmio(&p->vm->bus, b->base);
	b->mapped = false;
}

static void bar_map(struct pci *p, struct pci_bar *b, uint64_t base)
{
	struct bus_range r = { .base = base, .len = b->len, .read = bar_read,
			       .write = bar_write, .ptr = b, .name = b->name };
	struct err taken;

	b->base = base;
	b->mapped = b->kind == PCI_BAR_IO ? !bus_add_pio(&p->vm->bus, r, &taken) :
		!bus_add_mmio(&p->vm->bus, r, &taken);
}

/* First all that moved go, then all that can come do: a range may have waited for
 * another one's. */
static void bars_update(struct pci *p)
{
	for (unsigned i = 0; i < 2 * FUNCTIONS; i++) {
		struct pci_fn *f = p->fn[i % FUNCTIONS];

		for (unsigned n = 0; f && n < PCI_BARS; n++) {
			struct pci_bar *b = &f->bar[n];
			uint64_t want = b->len ? bar_wanted(f, n) : 0;

			if (i < FUNCTIONS && b->mapped && b->base != want)
				bar_unmap(p, b);
			else if (i >= FUNCTIONS && !b->mapped && want)
				bar_map(p, b, want);
		}
	}
}

void pci_fn_changed(struct pci_fn *f)
{
	if (!f->pci)
		return;
	bars_update(f->pci);
	pci_msi_changed(f);
}

/* --- interrupts ------------------------------------------------------------------- */

void pci_pin_update(struct pci_fn *f)
{
	struct pci *p = f->pci;
	uint8_t pin = f->cfg[PCI_IRQ_PIN];
	bool up = f->intx && !pci_has_messages(f) &&
		!(le16_get(f->cfg + PCI_COMMAND) & PCI_CMD_NO_INTX);
	unsigned pirq;

	f->cfg[PCI_STATUS] &= (uint8_t)~STATUS_INTX;
	if (f->intx)
		f->cfg[PCI_STATUS] |= STATUS_INTX;
	if (!p || !pin || up == f->pin_up)
		return;
	f->pin_up = up;
	pirq = pci_pirq(f->devfn >> 3, pin);
	p->pins[pirq] += up ? 1 : -1u;
	if (p->route && p->pins[pirq] == up)
		p->route(p->route_ptr, pirq, up);
}

void pci_message(struct pci_fn *f, uint64_t addr, uint32_t data)
{
	if (f->pci && pci_is_master(f))
		irq_msi(&f->pci->vm->irq, addr, data);
}

bool pci_is_master(const struct pci_fn *f)
{
	return f->cfg[PCI_COMMAND] & PCI_CMD_MASTER;
}

void pci_set_router(struct pci *p, void (*set)(void *ptr, unsigned pirq, bool level),
		    void *ptr)
{
	p->route = set;
	p->route_ptr = ptr;
}

/* --- the ports -------------------------------------------------------------------- */

/* The function that CONFIG_ADDRESS selects: enabled, bus 0. */
static struct pci_fn *selected(const struct pci *p)
{
	if (!(p->address >> 31) || (p->address >> 16 & 0xff))
		return NULL;
	return p->fn[p->address >> 8 & 0xff];
}

static uint64_t data_read(const struct pci *p, unsigned off, unsigned size)
{
	const struct pci_fn *f = selected(p);
	unsigned reg = (p->address & 0xfc) + off;
	uint64_t v = 0;

	if (!f)
		return ~0ull;
	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)f->cfg[(reg + i) % PCI_CFG_LEN] << (8 * i);
	return v;
}

static void data_write(struct pci *p, unsigned off, uint64_t val, unsigned size)
{
	struct pci_fn *f = selected(p);
	unsigned reg = (p->address & 0xfc) + off;

	if (!f)
		return;
	for (unsigned i = 0; i < size; i++) {
		unsigned r = (reg + i) % PCI_CFG_LEN;
		uint8_t b = (uint8_t)(val >> (8 * i));

		f->cfg[r] = (f->cfg[r] & ~f->wmask[r]) | (b & f->wmask[r]);
		f->cfg[r] &= ~(b & f->w1c[r]);
	}
	if (reg < PCI_BAR0 + 4 * PCI_BARS && reg + size > PCI_COMMAND)
		bars_update(p);
	pci_msi_changed(f);
	if (f->written)
		f->written(f->ptr, reg, size);
}

static uint64_t pci_read(void *ptr, uint64_t off, unsigned size)
{
	struct pci *p = ptr;

	if (off >= 4)
		return data_read(p, (unsigned)off - 4, size);
	if (off == 0 && size == 4)
		return p->address;
	if (off == 1 && size == 1 && p->cf9_read)
		return p->cf9_read(p->cf9_ptr);
	return ~0ull;
}

/* Only a whole doubleword reaches CONFIG_ADDRESS. */
static void pci_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct pci *p = ptr;

	if (off >= 4)
		data_write(p, (unsigned)off - 4, val, size);
	else if (off == 0 && size == 4)
		p->address = val & 0x80fffffc;
	else if (off == 1 && size == 1 && p->cf9_write)
		p->cf9_write(p->cf9_ptr, (uint8_t)val);
}

void pci_set_cf9(struct pci *p, uint8_t (*read)(void *ptr),
		 void (*write)(void *ptr, uint8_t val), void *ptr)
{
	p->cf9_read = read;
	p->cf9_write = write;
	p->cf9_ptr = ptr;
}

int pci_add(struct pci *p, unsigned devfn, struct pci_fn *f, struct err *e)
{
	if (devfn >= FUNCTIONS || p->fn[devfn])
		return err_set(e, -EBUSY, "PCI function %02x.%u is taken", devfn >> 3,
			       devfn & 7);
	p->fn[devfn] = f;
	f->pci = p;
	f->devfn = (uint8_t)devfn;
	memcpy(f->cfg, f->init, PCI_CFG_LEN);
	for (unsigned i = 1; i < 8; i++) {
		struct pci_fn *first = p->fn[devfn & ~7u];

		if (first && p->fn[(devfn & ~7u) | i])
			first->cfg[PCI_HEADER_TYPE] |= MULTIFUNCTION;
		if (first)
			first->init[PCI_HEADER_TYPE] = first->cfg[PCI_HEADER_TYPE];
	}
	return 0;
}

void pci_fn_done(struct pci_fn *f)
{
	if (f->pci) {
		for (unsigned n = 0; n < PCI_BARS; n++)
			bar_unmap(f->pci, &f->bar[n]);
		f->pci->fn[f->devfn] = NULL;
		f->pci = NULL;
	}
	pci_msi_free(f);
}

struct pci_fn *pci_fn_at(struct pci *p, unsigned devfn)
{
	return devfn < FUNCTIONS ? p->fn[devfn] : NULL;
}

void pci_reset(struct pci *p)
{
	p->address = 0;
	for (unsigned i = 0; i < FUNCTIONS; i++) {
		struct pci_fn *f = p->fn[i];

		if (!f)
			continue;
		memcpy(f->cfg, f->init, PCI_CFG_LEN);
		pci_msi_reset(f);
		pci_pin_update(f);
	}
	bars_update(p);
}

struct pci *pci_new(struct vm *vm, struct err *e)
{
	struct pci *p = calloc(1, sizeof(*p));
	struct bus_range r = { .base = CONFIG_ADDRESS, .len = CONFIG_PORTS,
			       .read = pci_read, .write = pci_write, .ptr = p,
			       .name = "pci" };

	if (!p) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	p->vm = vm;
	if (bus_add_pio(&vm->bus, r, e)) {
		free(p);
		return NULL;
	}
	return p;
}

void pci_free(struct pci *p)
{
	if (!p)
		return;
	bus_del_pio(&p->vm->bus, CONFIG_ADDRESS);
	free(p);
}
