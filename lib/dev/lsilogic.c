/* The 53C1030's pages: what its bus can do, and what targets have negotiated. */
#include "dev/lsilogic.h"
#include "dev/mpt_impl.h"

enum { TYPE_PORT = 3, TYPE_DEVICE = 4 };
/* Parameters of the bus: Ultra320, 127 words at a time, wide. */
enum { PARAM_UNITS = 1, PARAM_DT = 2, PARAM_QAS = 4, PARAM_PERIOD_320 = 0x08 << 8,
       PARAM_OFFSET = 0x7f << 16, PARAM_WIDE = 1 << 29 };
#define PARAM_BEST ((uint32_t)PARAM_UNITS | PARAM_DT | PARAM_QAS | PARAM_PERIOD_320 | \
		    PARAM_OFFSET | PARAM_WIDE)
enum { PORT_LVD = 3 };
/* Disconnection, scanned for, its units too, queueing */
enum { DEVICE_FLAGS = 0x0f };

static bool page_port(struct mpt *m, struct mpt_page *p)
{
	switch (p->number) {
	case 0:
		p->len = 12;
		p->version = 2;
		le32_put(p->data + 4, PARAM_BEST);
		le32_put(p->data + 8, PORT_LVD);
		return true;
	case 1:
		p->len = 16;
		p->version = 3;
		p->attr = MPT_PAGE_CHANGEABLE;
		le32_put(p->data + 4, 1u << (16 + SCSI_ADAPTER_ID) | SCSI_ADAPTER_ID);
		return true;
	case 2:
		p->len = 12 + 16 * 4;
		p->version = 2;
		p->attr = MPT_PAGE_PERSISTENT;
		le32_put(p->data + 8, SCSI_ADAPTER_ID);
		for (unsigned i = 0; i < 16; i++) {
			p->data[12 + 4 * i + 1] = PARAM_PERIOD_320 >> 8;
			le16_put(p->data + 12 + 4 * i + 2, DEVICE_FLAGS);
		}
		return true;
	}
	return false;
}

static bool page_device(struct mpt *m, struct mpt_page *p)
{
	unsigned id = p->addr & 0xff;

	if (id >= SCSI_TARGETS || p->addr >> 8 & 0xff)
		return false;
	p->attr = MPT_PAGE_CHANGEABLE;
	switch (p->number) {
	case 0:
		p->len = 12;
		p->version = 4;
		p->attr = 0;
		le32_put(p->data + 4, m->negotiated[id]);
		le32_put(p->data + 8, 1);	/* it was negotiated */
		return true;
	case 1:
		p->len = 16;
		p->version = 5;
		le32_put(p->data + 4, m->negotiated[id]);
		return true;
	case 2:
		p->len = 16;
		p->version = 1;
		return true;
	}
	return false;
}

static bool lsilogic_page(struct mpt *m, struct mpt_page *p)
{
	return p->type == TYPE_PORT ? page_port(m, p) :
	       p->type == TYPE_DEVICE ? page_device(m, p) : false;
}

/* What is asked for is what the target agrees to. */
static void lsilogic_written(struct mpt *m, const struct mpt_page *p)
{
	if (p->type == TYPE_DEVICE && p->number == 1)
		m->negotiated[p->addr & 0xff] = le32_get(p->data + 4) & PARAM_BEST;
}

struct mpt *lsilogic_new(struct vm *vm, struct pci *pci, unsigned devfn, struct err *e)
{
	static const struct mpt_kind kind = {
		.name = "lsilogic", .device = 0x0030, .subdevice = 0x1976, .revision = 1,
		.pci_class = 0x010000, .bar_len = 0x20000, .bar_diag_len = 0x20000,
		.port_type = 0x01, .product = 0x0102, .header = 0x1300, .chip = "LSI53C1030",
		.board = "VMware",
		.page = lsilogic_page, .page_written = lsilogic_written,
	};

	return mpt_new(vm, pci, devfn, &kind, e);
}
