#include "dev/piix4.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"

/* Function 0 */
enum { XBCS = 0x4e, PIRQRC = 0x60, SERIRQC = 0x64, TOM = 0x69 };
/* Function 3 */
enum { PMBASE = 0x40, DEVACTB = 0x58, PMREGMISC = 0x80, PMIOSE = 1 };
#define PMBASE_MASK	0xffc0u
/* Firmware that finds this set takes it that the SMI handler is installed: there is no
 * system management mode here, and nothing to do. */
#define DEVACTB_APMC_EN	(1u << 25)
/* Reset control register: a rising RCPU resets. */
enum { RC_FULL = 1, RC_SRST = 2, RC_RCPU = 4 };

struct piix4 {
	struct vm *vm;
	struct pci_fn isa, pm;
	uint8_t rc;
	uint8_t pirqs;		/* that are asserted, a bit each */
	uint16_t irqs;		/* ISA interrupts that we assert */
	void (*pm_move)(void *ptr, uint16_t base);
	void *pm_ptr;
};

/* --- the interrupt router ----------------------------------------------------------- */

/* Interrupts that PIRQs can be routed to: not those of the board's own chips. */
#define ROUTABLE	0xdef8u
#define NOT_ROUTED	0x80

/* Assert what the asserted PIRQs are routed to, and nothing else. */
static void route_irqs(struct piix4 *p)
{
	uint16_t irqs = 0, changed;

	for (unsigned i = 0; i < PCI_PINS; i++) {
		uint8_t r = p->isa.cfg[PIRQRC + i];

		if (p->pirqs >> i & 1 && !(r & NOT_ROUTED))
			irqs |= (uint16_t)(1u << (r & 15) & ROUTABLE);
	}
	changed = irqs ^ p->irqs;
	p->irqs = irqs;
	for (unsigned n = 0; n < 16; n++)
		if (changed >> n & 1)
			irq_set(&p->vm->irq, n, irqs >> n & 1);
}

static void pirq_set(void *ptr, unsigned pirq, bool level)
{
	struct piix4 *p = ptr;

	p->pirqs = (uint8_t)((p->pirqs & ~(1u << pirq)) | (unsigned)level << pirq);
	irq_set(&p->vm->irq, PIIX4_PIRQ_GSI + pirq, level);
	route_irqs(p);
}

static void isa_written(void *ptr, unsigned off, unsigned len)
{
	if (off < PIRQRC + PCI_PINS && off + len > PIRQRC)
		route_irqs(ptr);
}

/* --- power management --------------------------------------------------------------- */

uint16_t piix4_pm_base(const struct piix4 *p)
{
	return p->pm.cfg[PMREGMISC] & PMIOSE ? le16_get(p->pm.cfg + PMBASE) & PMBASE_MASK : 0;
}

void piix4_on_pm_move(struct piix4 *p, void (*move)(void *ptr, uint16_t base), void *ptr)
{
	p->pm_move = move;
	p->pm_ptr = ptr;
}

static void pm_update(struct piix4 *p)
{
	if (p->pm_move)
		p->pm_move(p->pm_ptr, piix4_pm_base(p));
}

static void pm_written(void *ptr, unsigned off, unsigned len)
{
	if (off == PMREGMISC || (off < PMBASE + 4 && off + len > PMBASE))
		pm_update(ptr);
}

/* --- reset -------------------------------------------------------------------------- */

static uint8_t rc_read(void *ptr)
{
	struct piix4 *p = ptr;

	return p->rc;
}

static void rc_write(void *ptr, uint8_t val)
{
	struct piix4 *p = ptr;
	uint8_t rises = val & ~p->rc;

	p->rc = val & (RC_FULL | RC_SRST | RC_RCPU);
	if (rises & RC_RCPU) {
		atomic_store(&p->vm->want_reset, true);
		vm_stop(p->vm);
	}
}

void piix4_reset(struct piix4 *p)
{
	p->rc = 0;
	route_irqs(p);	/* as the bus has put the registers back */
	pm_update(p);
}

static void init_isa(struct pci_fn *f)
{
	static const uint8_t irq[4] = PIIX4_PIRQ_IRQS;

	pci_fn_ident(f, PCI_VENDOR_INTEL, 0x7110, 0x060100, 8);
	le16_put(f->init + PCI_COMMAND, 0x0007);
	le16_put(f->init + PCI_STATUS, 0x0280);
	f->w1c[PCI_STATUS + 1] = 0x78;
	le16_put(f->init + XBCS, 0x0003);
	le16_put(f->wmask + XBCS, 0x07ff);
	memcpy(f->init + PIRQRC, irq, sizeof(irq));
	memset(f->wmask + PIRQRC, 0x8f, sizeof(irq));
	f->init[SERIRQC] = 0x10;
	f->wmask[SERIRQC] = 0xff;
	f->init[TOM] = 0x02;
	f->wmask[TOM] = 0xfe;
}

static void init_pm(struct pci_fn *f, uint16_t pm_base)
{
	pci_fn_ident(f, PCI_VENDOR_INTEL, 0x7113, 0x068000, 8);
	le16_put(f->init + PCI_COMMAND, 0x0001);
	le16_put(f->init + PCI_STATUS, 0x0280);
	le32_put(f->init + PMBASE, pm_base | 1u);
	le16_put(f->wmask + PMBASE, PMBASE_MASK);
	f->init[PMREGMISC] = PMIOSE;
	f->wmask[PMREGMISC] = PMIOSE;
	le32_put(f->init + DEVACTB, DEVACTB_APMC_EN);
	f->init[PCI_IRQ_LINE] = 9;
	f->init[PCI_IRQ_PIN] = 1;
}

struct piix4 *piix4_new(struct vm *vm, struct pci *pci, uint16_t pm_base,
			struct err *e)
{
	struct piix4 *p = calloc(1, sizeof(*p));

	if (!p) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	p->vm = vm;
	init_isa(&p->isa);
	p->isa.written = isa_written;
	p->isa.ptr = p;
	p->pm.written = pm_written;
	p->pm.ptr = p;
	init_pm(&p->pm, pm_base);
	if (pci_add(pci, PCI_DEVFN(PIIX4_SLOT, 0), &p->isa, e) ||
	    pci_add(pci, PCI_DEVFN(PIIX4_SLOT, 3), &p->pm, e)) {
		piix4_free(p);
		return NULL;
	}
	pci_set_cf9(pci, rc_read, rc_write, p);
	pci_set_router(pci, pirq_set, p);
	return p;
}

void piix4_free(struct piix4 *p)
{
	if (!p)
		return;
	pci_fn_done(&p->isa);
	pci_fn_done(&p->pm);
	free(p);
}
