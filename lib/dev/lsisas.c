/*
 * The SAS1068's pages: a phy for each target, each attached directly, no expander.
 *
 * Handles: phy i of the adapter is i + 1, the target at it i + 1 + SCSI_TARGETS.
 */
#include "dev/lsilogic.h"
#include "dev/mpt_impl.h"

enum { TYPE_IO_UNIT = MPT_PAGE_EXTENDED + 0x10, TYPE_DEVICE = MPT_PAGE_EXTENDED + 0x12,
       TYPE_PHY = MPT_PAGE_EXTENDED + 0x13, TYPE_ENCLOSURE = MPT_PAGE_EXTENDED + 0x15 };
enum { INFO_END_DEVICE = 0x001, INFO_SMP_INITIATOR = 0x010, INFO_STP_INITIATOR = 0x020,
       INFO_SSP_INITIATOR = 0x040, INFO_SSP_TARGET = 0x400, INFO_DIRECT = 0x800 };
#define INFO_ADAPTER (INFO_END_DEVICE | INFO_SMP_INITIATOR | INFO_STP_INITIATOR | \
		      INFO_SSP_INITIATOR)
#define INFO_TARGET (INFO_END_DEVICE | INFO_SSP_TARGET | INFO_DIRECT)
enum { LINK_3_GB = 0x09, LINK_NONE = 0x00, RATES = 0x98 };	/* 1.5 to 3 Gb/s */
enum { FORM_NEXT = 0, FORM_TARGET = 1, FORM_HANDLE = 2 };
#define ENCLOSURE	1u
#define PHYS		SCSI_TARGETS
#define NO_HANDLE	0u

static uint64_t adapter_address(const struct mpt *m)
{
	return 0x5000c29000000000 | (uint64_t)m->fn.devfn << 8;
}

static uint64_t target_address(const struct mpt *m, unsigned i)
{
	return adapter_address(m) | 0x10000 | i;
}

static uint16_t phy_handle(unsigned i)
{
	return (uint16_t)(i + 1);
}

static uint16_t target_handle(const struct mpt *m, unsigned i)
{
	return m->bus.target[i] ? (uint16_t)(i + 1 + PHYS) : NO_HANDLE;
}

/* --- pages ----------------------------------------------------------------------------- */

static bool page_io_unit(struct mpt *m, struct mpt_page *p)
{
	if (p->number == 0) {
		p->len = 16 + PHYS * 16;
		p->version = 4;
		p->data[12] = PHYS;
		for (unsigned i = 0; i < PHYS; i++) {
			uint8_t *d = p->data + 16 + 16 * i;

			d[0] = (uint8_t)i;	/* its port */
			d[3] = target_handle(m, i) ? LINK_3_GB : LINK_NONE;
			le32_put(d + 4, INFO_ADAPTER);
			le16_put(d + 8, target_handle(m, i));
			le16_put(d + 10, phy_handle(i));
		}
		return true;
	}
	if (p->number == 1) {
		p->len = 20 + PHYS * 12;
		p->version = 7;
		p->attr = MPT_PAGE_CHANGEABLE;
		p->data[16] = PHYS;
		for (unsigned i = 0; i < PHYS; i++) {
			uint8_t *d = p->data + 20 + 12 * i;

			d[0] = (uint8_t)i;
			d[3] = RATES;
			le32_put(d + 4, INFO_ADAPTER);
		}
		return true;
	}
	return false;
}

static bool page_phy(struct mpt *m, struct mpt_page *p)
{
	unsigned i = p->addr & 0xff;

	if (i >= PHYS || p->addr >> 28 > 1)
		return false;
	if (p->number == 1) {
		p->len = 28;	/* counters of errors: none */
		p->version = 0;
		return true;
	}
	if (p->number)
		return false;
	p->len = 36;
	p->version = 1;
	le16_put(p->data + 8, phy_handle(i));
	le64_put(p->data + 12, adapter_address(m) + i);
	le16_put(p->data + 20, target_handle(m, i));
	le32_put(p->data + 24, target_handle(m, i) ? INFO_TARGET : 0);
	p->data[28] = p->data[29] = RATES;
	return true;
}

static void put_adapter(struct mpt *m, uint8_t *d, unsigned i)
{
	le64_put(d + 12, adapter_address(m) + i);
	d[22] = (uint8_t)i;
	le16_put(d + 24, phy_handle(i));
	le32_put(d + 28, INFO_ADAPTER);
	le16_put(d + 32, 1);			/* present */
	d[34] = (uint8_t)i;
}

static void put_target(struct mpt *m, uint8_t *d, unsigned i)
{
	le16_put(d + 8, (uint16_t)i);		/* slot */
	le16_put(d + 10, ENCLOSURE);
	le64_put(d + 12, target_address(m, i));
	le16_put(d + 20, phy_handle(i));
	d[22] = (uint8_t)i;
	le16_put(d + 24, target_handle(m, i));
	d[26] = (uint8_t)i;			/* its ID on bus 0 */
	le32_put(d + 28, INFO_TARGET);
	le16_put(d + 32, 3);			/* present, mapped */
	d[34] = (uint8_t)i;
}

/* The first handle behind one (0xffff: the first of all), or NO_HANDLE. */
static uint16_t next_handle(const struct mpt *m, uint16_t after)
{
	for (unsigned h = after == 0xffff ? 1 : after + 1u; h <= 2 * PHYS; h++)
		if (h <= PHYS || target_handle(m, h - 1 - PHYS))
			return (uint16_t)h;
	return NO_HANDLE;
}

static bool page_device(struct mpt *m, struct mpt_page *p)
{
	uint16_t handle = (uint16_t)p->addr;
	unsigned id = p->addr & 0xff;

	switch (p->addr >> 28) {
	case FORM_NEXT:
		handle = next_handle(m, handle);
		break;
	case FORM_TARGET:
		handle = p->addr >> 8 & 0xff || id >= PHYS ? NO_HANDLE : target_handle(m, id);
		if (!handle && id < PHYS)
			m->lost &= ~(1u << id);		/* now the driver knows */
		break;
	case FORM_HANDLE:
		break;
	default:
		return false;
	}
	if (!handle || handle > 2 * PHYS ||
	    (handle > PHYS && !target_handle(m, handle - 1u - PHYS)))
		return false;
	if (p->number == 0) {
		p->len = 36;
		p->version = 5;
		if (handle <= PHYS)
			put_adapter(m, p->data, handle - 1u);
		else
			put_target(m, p->data, handle - 1u - PHYS);
	} else if (p->number == 1) {
		p->len = 48;
	} else if (p->number == 2) {
		p->len = 20;
	} else {
		return false;
	}
	return true;
}

static bool page_enclosure(struct mpt *m, struct mpt_page *p)
{
	uint16_t handle = (uint16_t)p->addr;
	bool next = p->addr >> 28 == FORM_NEXT;

	if (p->number || p->addr >> 28 > 1 || (next ? handle != 0xffff : handle != ENCLOSURE))
		return false;
	p->len = 40;
	p->version = 1;
	le64_put(p->data + 12, adapter_address(m));
	le16_put(p->data + 20, 1);		/* of the adapter itself */
	le16_put(p->data + 22, ENCLOSURE);
	le16_put(p->data + 24, PHYS);
	return true;
}

static bool lsisas_page(struct mpt *m, struct mpt_page *p)
{
	switch (p->type) {
	case TYPE_IO_UNIT:
		return page_io_unit(m, p);
	case TYPE_PHY:
		return page_phy(m, p);
	case TYPE_DEVICE:
		return page_device(m, p);
	case TYPE_ENCLOSURE:
		return page_enclosure(m, p);
	}
	return false;
}

/* --- events ------------------------------------------------------------------------------ */

/*
 * That a device does not respond is said late, and only where the driver has not found
 * out by itself.  Linux's mptsas marks such a device as blocked, but does not stop its
 * queue: what is queued from then on until it is deleted waits for ever, and the deletion
 * for that (seen in 6.1).  When a discovery ends it looks for devices that are gone, and
 * deletes them without that, but only if the firmware's header version is below 0x0e00.
 */
enum { EV_DEVICE_STATUS = 0x0f, EV_PHY_LINK = 0x12, EV_DISCOVERY = 0x16 };
enum { DEVICE_ADDED = 3, DEVICE_NOT_RESPONDING = 4 };
enum { DISCOVERY_DONE = 0, DISCOVERY_RUNS = 1 };
#define HEADER_OLD	0x0d00
#define LOST_NS		NS_PER_SEC

static void tell_link(struct mpt *m, unsigned i, bool there)
{
	uint8_t d[12] = { 0 };

	d[0] = (uint8_t)i;
	d[1] = there ? LINK_3_GB << 4 | LINK_NONE : LINK_NONE << 4 | LINK_3_GB;
	le16_put(d + 2, phy_handle(i));
	le64_put(d + 4, adapter_address(m) + i);
	mpt_event(m, EV_PHY_LINK, d, sizeof(d));
}

static void tell_device(struct mpt *m, unsigned i, uint8_t reason)
{
	uint8_t d[36] = { 0 };

	d[0] = (uint8_t)i;
	d[2] = reason;
	le16_put(d + 6, (uint16_t)(i + 1 + PHYS));
	le32_put(d + 8, INFO_TARGET);
	le16_put(d + 12, phy_handle(i));
	d[14] = (uint8_t)i;
	le64_put(d + 16, target_address(m, i));
	mpt_event(m, EV_DEVICE_STATUS, d, sizeof(d));
}

static void tell_discovery(struct mpt *m, uint32_t status)
{
	uint8_t d[8] = { 0 };

	le32_put(d, status);
	mpt_event(m, EV_DISCOVERY, d, sizeof(d));
}

static void tell_lost(struct mpt *m, uint32_t which)
{
	which &= m->lost;
	m->lost &= ~which;
	for (unsigned i = 0; which; i++, which >>= 1)
		if (which & 1)
			tell_device(m, i, DEVICE_NOT_RESPONDING);
}

static void lost_due(void *ptr, uint64_t now_ns)
{
	tell_lost(ptr, UINT32_MAX);
}

static void lsisas_changed(struct mpt *m, unsigned i, bool there)
{
	tell_link(m, i, there);
	if (there) {
		tell_lost(m, 1u << i);
		tell_device(m, i, DEVICE_ADDED);
		return;
	}
	tell_discovery(m, DISCOVERY_RUNS);
	tell_discovery(m, DISCOVERY_DONE);
	m->lost |= 1u << i;
	timer_set(&m->vm->timers, &m->lost_timer, vm_now_ns(m->vm) + LOST_NS);
}

struct mpt *lsisas_new(struct vm *vm, struct pci *pci, unsigned devfn, struct err *e)
{
	static const struct mpt_kind kind = {
		.name = "lsisas1068", .device = 0x0054, .subdevice = 0x1976, .revision = 1,
		.pci_class = 0x010000, .bar_len = 0x4000, .bar_diag_len = 0x10000,
		.port_type = 0x30, .product = 0x2102, .header = HEADER_OLD, .chip = "LSISAS1068",
		.board = "VMware", .page = lsisas_page, .changed = lsisas_changed,
	};
	struct mpt *m = mpt_new(vm, pci, devfn, &kind, e);

	if (m)
		timer_add(&vm->timers, &m->lost_timer, lost_due, m);
	return m;
}
