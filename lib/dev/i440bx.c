#include "dev/i440bx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"

/* PAM0's upper half is 0xf0000-0xfffff; PAM1 to PAM6 have 16 KiB from 0xc0000 on in each
 * half. */
enum { PAM0 = 0x59, PAM_LEN = 7, PAM_READ = 1, PAM_WRITE = 2, PAM_BIOS_WRITE = 0x20 };
enum { HOST_BX = 0x7190, HOST_FX = 0x1237, VENDOR_QEMU = 0x1af4, DEVICE_QEMU = 0x1100 };

struct i440bx {
	struct vm *vm;
	struct pci_fn fn;
	bool firmware;
	bool unlocked;		/* the BIOS segment has been writable since reset */
};

static void identify(struct i440bx *b, bool to_firmware)
{
	uint8_t *cfg = b->fn.cfg;

	le16_put(cfg + PCI_DEVICE, to_firmware ? HOST_FX : HOST_BX);
	le16_put(cfg + PCI_SUBVENDOR, to_firmware ? VENDOR_QEMU : PCI_VENDOR_VMWARE);
	le16_put(cfg + PCI_SUBDEVICE, to_firmware ? DEVICE_QEMU : PCI_SUBDEVICE_VMWARE);
}

/* What half a register says, for a segment of struct mem. */
static uint8_t shadow_of(unsigned bits)
{
	return (bits & PAM_READ ? MEM_SHADOW_READ : 0) | (bits & PAM_WRITE ? MEM_SHADOW_WRITE : 0);
}

static void set_segments(struct i440bx *b)
{
	const uint8_t *pam = b->fn.cfg + PAM0;

	if (!b->vm->mem)
		return;
	for (unsigned seg = 0; seg < MEM_SHADOW_SEGS; seg++)
		mem_shadow_set(b->vm->mem, seg, seg >= 12 ? shadow_of(pam[0] >> 4) :
			       shadow_of(pam[1 + seg / 2] >> seg % 2 * 4));
}

static void written(void *ptr, unsigned off, unsigned len)
{
	struct i440bx *b = ptr;

	if (off >= PAM0 + PAM_LEN || off + len <= PAM0)
		return;
	set_segments(b);
	if (b->fn.cfg[PAM0] & PAM_BIOS_WRITE)
		b->unlocked = true;
	else if (b->unlocked)
		identify(b, false);
}

/* Writes to segments that are not plain RAM. */
static void segment_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct i440bx *b = ptr;

	if (b->vm->mem)
		mem_shadow_write(b->vm->mem, MEM_SHADOW_BASE + off, &val, size);
}

/* The bus has put the configuration space back. */
void i440bx_reset(struct i440bx *b)
{
	b->unlocked = false;
	identify(b, b->firmware);
	set_segments(b);
}

static void init_fn(struct i440bx *b)
{
	struct pci_fn *f = &b->fn;

	pci_fn_ident(f, PCI_VENDOR_INTEL, HOST_BX, 0x060000, 1);
	le16_put(f->init + PCI_COMMAND, 0x0006);
	le16_put(f->init + PCI_STATUS, 0x0200);
	f->wmask[PCI_COMMAND + 1] = 0x01;	/* SERRE */
	f->w1c[PCI_STATUS + 1] = 0x70;
	f->wmask[PAM0] = 0x30;
	memset(f->wmask + PAM0 + 1, 0x33, PAM_LEN - 1);
	if (!b->firmware)
		memcpy(f->init + PAM0, f->wmask + PAM0, PAM_LEN);
	f->written = written;
	f->ptr = b;
}

struct i440bx *i440bx_new(struct vm *vm, struct pci *pci, bool firmware, struct err *e)
{
	struct i440bx *b = calloc(1, sizeof(*b));
	struct bus_range r = { .base = MEM_SHADOW_BASE, .len = MEM_SHADOW_END - MEM_SHADOW_BASE,
			       .write = segment_write, .ptr = b, .name = "i440bx" };

	if (!b) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	b->vm = vm;
	b->firmware = firmware;
	init_fn(b);
	if (bus_add_mmio(&vm->bus, r, e)) {
		free(b);
		return NULL;
	}
	if (pci_add(pci, PCI_DEVFN(0, 0), &b->fn, e)) {
		i440bx_free(b);
		return NULL;
	}
	return b;
}

void i440bx_free(struct i440bx *b)
{
	if (!b)
		return;
	bus_del_mmio(&b->vm->bus, MEM_SHADOW_BASE);
	pci_fn_done(&b->fn);
	free(b);
}
