#include "dev/i440bx.h"

#include <errno.h>
#include <stdlib.h>

#include "base/le.h"

struct i440bx {
	struct pci_fn fn;
};

/* The bus puts the configuration space back; there is no other state. */
void i440bx_reset(struct i440bx *b)
{
}

struct i440bx *i440bx_new(struct vm *vm, struct pci *pci, struct err *e)
{
	struct i440bx *b = calloc(1, sizeof(*b));

	if (!b) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	pci_fn_ident(&b->fn, PCI_VENDOR_INTEL, 0x7190, 0x060000, 1);
	le16_put(b->fn.init + PCI_COMMAND, 0x0006);
	le16_put(b->fn.init + PCI_STATUS, 0x0200);
	b->fn.wmask[PCI_COMMAND + 1] = 0x01;	/* SERRE */
	b->fn.w1c[PCI_STATUS + 1] = 0x70;
	if (pci_add(pci, PCI_DEVFN(0, 0), &b->fn, e)) {
		free(b);
		return NULL;
	}
	return b;
}

void i440bx_free(struct i440bx *b)
{
	if (b)
		pci_fn_done(&b->fn);
	free(b);
}
