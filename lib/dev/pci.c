#include "dev/pci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"

#define CONFIG_ADDRESS	0xcf8
#define CONFIG_PORTS	8
#define FUNCTIONS	256
#define MULTIFUNCTION	0x80

struct pci {
	struct vm *vm;
	uint32_t address;
	struct pci_fn *fn[FUNCTIONS];	/* by devfn */
	uint8_t (*cf9_read)(void *ptr);
	void (*cf9_write)(void *ptr, uint8_t val);
	void *cf9_ptr;
};

void pci_fn_ident(struct pci_fn *f, uint16_t vendor, uint16_t device,
		  uint32_t class_code, uint8_t revision)
{
	le16_put(f->init + PCI_VENDOR, vendor);
	le16_put(f->init + PCI_DEVICE, device);
	f->init[PCI_REVISION] = revision;
	f->init[PCI_CLASS] = (uint8_t)class_code;
	le16_put(f->init + PCI_CLASS + 1, (uint16_t)(class_code >> 8));
	le16_put(f->init + PCI_SUBVENDOR, PCI_VENDOR_VMWARE);
	le16_put(f->init + PCI_SUBDEVICE, 0x1976);
	f->wmask[PCI_IRQ_LINE] = 0xff;
}

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

void pci_reset(struct pci *p)
{
	p->address = 0;
	for (unsigned i = 0; i < FUNCTIONS; i++)
		if (p->fn[i])
			memcpy(p->fn[i]->cfg, p->fn[i]->init, PCI_CFG_LEN);
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
