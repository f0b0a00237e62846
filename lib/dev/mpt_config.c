/* Fusion-MPT adapters: pages of configuration, and messages that are not I/O. */
#include "dev/mpt_impl.h"

#include <string.h>

#define VERSION_MPI	0x0105
#define VERSION_FW	0x01032920

/* --- pages all adapters have ---------------------------------------------------------- */

enum { TYPE_IO_UNIT = 0, TYPE_IOC = 1, TYPE_MANUFACTURING = 9, TYPE_EXTENDED = 15 };
enum { ACT_HEADER, ACT_READ, ACT_WRITE, ACT_DEFAULT, ACT_WRITE_NV, ACT_READ_DEFAULT, ACT_READ_NV };

static void put_text(uint8_t *to, unsigned len, const char *s)
{
	memcpy(to, s, strnlen(s, len));
}

static bool page_io_unit(struct mpt *m, struct mpt_page *p)
{
	static const uint8_t len[] = { 12, 8, 32 };

	if (p->number >= sizeof(len))
		return false;
	p->len = len[p->number];
	p->version = p->number == 1 || p->number == 2 ? 2 : 0;
	if (p->number == 0)
		le64_put(p->data + 4, 0x0053000000000000 | m->fn.devfn);
	else if (p->number == 1)
		le32_put(p->data + 4, 1);	/* one function of the chip */
	else
		le32_put(p->data + 8, VERSION_FW);
	return true;
}

static bool page_ioc(struct mpt *m, struct mpt_page *p)
{
	static const uint8_t len[] = { 28, 16, 12, 8, 8 };

	if (p->number >= sizeof(len))
		return false;
	p->len = len[p->number];
	p->version = p->number < 3 ? (uint8_t[]){ 1, 3, 4 }[p->number] : 0;
	if (p->number == 0) {
		memcpy(p->data + 12, m->fn.cfg + PCI_VENDOR, 4);
		p->data[16] = m->kind->revision;
		le32_put(p->data + 20, m->kind->pci_class << 8);
		memcpy(p->data + 24, m->fn.cfg + PCI_SUBVENDOR, 4);
	} else if (p->number == 1) {
		p->data[13] = m->fn.devfn >> 3;
	}
	return true;			/* no volumes, physical disks, enclosures */
}

static bool page_manufacturing(struct mpt *m, struct mpt_page *p)
{
	if (p->number > 0)
		return false;
	p->len = 76;
	put_text(p->data + 4, 16, m->kind->chip);
	put_text(p->data + 20, 8, "B0");
	put_text(p->data + 28, 16, m->kind->board);
	return true;
}

static bool find_page(struct mpt *m, struct mpt_page *p)
{
	bool found;

	switch (p->type) {
	case TYPE_IO_UNIT:
		found = page_io_unit(m, p);
		break;
	case TYPE_IOC:
		found = page_ioc(m, p);
		break;
	case TYPE_MANUFACTURING:
		found = page_manufacturing(m, p);
		break;
	default:
		found = m->kind->page(m, p);
	}
	if (!found)
		return false;
	p->data[0] = p->version;
	p->data[2] = p->number;
	if (p->type & MPT_PAGE_EXTENDED) {
		p->data[3] = TYPE_EXTENDED | p->attr;
		le16_put(p->data + 4, (uint16_t)(p->len / 4));
		p->data[6] = p->type & 0x7f;
	} else {
		p->data[1] = (uint8_t)(p->len / 4);
		p->data[3] = p->type | p->attr;
	}
	return true;
}

/* --- CONFIG ----------------------------------------------------------------------------------- */

enum { CF_ACTION = 0, CF_EXT_LEN = 4, CF_EXT_TYPE = 6, CF_HEADER = 20, CF_ADDR = 24, CF_SGE = 28,
       CF_RP_LEN = 24 };

/* The page's place in the driver's memory: one simple element. */
static bool page_memory(const uint8_t *sge, uint64_t *addr, uint32_t *len)
{
	uint32_t fl = le32_get(sge);

	*addr = fl >> 24 & 2 ? le64_get(sge + 4) : le32_get(sge + 4);
	*len = fl & 0xffffff;
	return (fl >> 24 & 0x30) == 0x10;
}

static uint16_t page_transfer(struct mpt *m, struct mpt_page *p, unsigned action,
			      const uint8_t *sge)
{
	bool write = action == ACT_WRITE || action == ACT_WRITE_NV;
	uint64_t addr;
	uint32_t len;

	if (!page_memory(sge, &addr, &len))
		return MPT_BAD_SGL;
	len = len < p->len ? len : p->len;
	if (!write) {
		mem_write(m->vm->mem, addr, p->data, len);
		return MPT_OK;
	}
	if (!(p->attr & (MPT_PAGE_CHANGEABLE | MPT_PAGE_PERSISTENT)))
		return MPT_BAD_ACTION;
	mem_read(m->vm->mem, addr, p->data, len);
	if (m->kind->page_written)
		m->kind->page_written(m, p);
	return MPT_OK;
}

unsigned mpt_config(struct mpt *m, const uint8_t *rq, unsigned rq_len, uint8_t *rp)
{
	const uint8_t *h = rq + CF_HEADER;
	bool extended = (h[3] & 15) == TYPE_EXTENDED;
	struct mpt_page p = { .number = h[2], .addr = le32_get(rq + CF_ADDR) };
	uint16_t status = MPT_OK;

	if (rq_len < CF_SGE + 8)
		return mpt_reply_init(rp, rq, 20, MPT_BAD_FIELD);
	p.type = extended ? MPT_PAGE_EXTENDED | (rq[CF_EXT_TYPE] & 0x7f) : h[3] & 15;
	mpt_reply_init(rp, rq, CF_RP_LEN, MPT_OK);
	memcpy(rp + CF_HEADER, h, 4);
	if (!find_page(m, &p))
		status = MPT_BAD_PAGE;
	else if (rq[CF_ACTION] > ACT_READ_NV)
		status = MPT_BAD_ACTION;
	else if (rq[CF_ACTION] != ACT_HEADER && rq[CF_ACTION] != ACT_DEFAULT)
		status = page_transfer(m, &p, rq[CF_ACTION], rq + CF_SGE);
	le16_put(rp + MSG_STATUS, status);
	if (status)
		return CF_RP_LEN;
	rp[CF_HEADER] = p.version;
	rp[CF_HEADER + 1] = extended ? 0 : (uint8_t)(p.len / 4);
	rp[CF_HEADER + 3] = (extended ? TYPE_EXTENDED : p.type) | p.attr;
	if (extended) {
		le16_put(rp + CF_EXT_LEN, (uint16_t)(p.len / 4));
		rp[CF_EXT_TYPE] = p.type & 0x7f;
	}
	return CF_RP_LEN;
}

/* --- what the adapter is ------------------------------------------------------------------------- */

static unsigned ioc_facts(struct mpt *m, const uint8_t *rq, uint8_t *rp)
{
	mpt_reply_init(rp, rq, 80, MPT_OK);
	le16_put(rp, VERSION_MPI);
	le16_put(rp + 4, m->kind->header);
	rp[6] = 0;
	rp[20] = 255;				/* depth of chains */
	rp[21] = m->who_init;
	rp[22] = 8;				/* blocks of frames, doublewords */
	le16_put(rp + 24, MPT_REPLIES);
	le16_put(rp + 26, MPT_FRAME / 4);
	le16_put(rp + 30, m->kind->product);
	le32_put(rp + 32, m->mfa_high);
	le16_put(rp + 36, MPT_CREDITS);
	rp[38] = 1;				/* ports */
	rp[39] = m->events;
	le32_put(rp + 40, m->sense_high);
	le16_put(rp + 44, m->reply_size);
	rp[46] = SCSI_TARGETS;
	rp[47] = 1;				/* buses */
	le32_put(rp + 52, 0x05);		/* urgent requests, queue full handling */
	le32_put(rp + 56, VERSION_FW);
	le16_put(rp + 60, 16);			/* urgent requests at a time */
	return 80;
}

static unsigned port_facts(struct mpt *m, const uint8_t *rq, uint8_t *rp)
{
	mpt_reply_init(rp, rq, 40, rq[6] ? MPT_BAD_FIELD : MPT_OK);
	if (rq[6])
		return 40;
	rp[21] = m->kind->port_type;
	le16_put(rp + 22, SCSI_TARGETS);
	le16_put(rp + 24, SCSI_ADAPTER_ID);
	le16_put(rp + 26, 0x08);		/* an initiator */
	return 40;
}

static unsigned ioc_init(struct mpt *m, const uint8_t *rq, unsigned rq_len, uint8_t *rp)
{
	uint16_t size = rq_len >= 24 ? le16_get(rq + 12) : 0;
	uint16_t status = m->state != MPT_READY ? MPT_BAD_STATE :
			  size < 4 ? MPT_BAD_FIELD : MPT_OK;	/* 4: SeaBIOS */

	mpt_reply_init(rp, rq, 20, status);
	if (status)
		return 20;
	m->who_init = rq[0] & 7;
	m->max_devices = rq[5];
	m->max_buses = rq[6];
	m->reply_size = size;
	m->mfa_high = le32_get(rq + 16);
	m->sense_high = le32_get(rq + 20);
	m->state = MPT_OPERATIONAL;
	return 20;
}

/* Answered at once, by an event that says so; others follow as they happen. */
static unsigned event_notify(struct mpt *m, const uint8_t *rq, uint8_t *rp)
{
	m->events = rq[0] & 1;
	m->event_context = le32_get(rq + MSG_CONTEXT);
	mpt_reply_init(rp, rq, 32, MPT_OK);
	le16_put(rp, 1);			/* doublewords of data */
	le32_put(rp + 20, 0x0a);		/* event change */
	le32_put(rp + 28, m->events);
	return 32;
}

unsigned mpt_message(struct mpt *m, const uint8_t *rq, unsigned rq_len, uint8_t *rp)
{
	uint8_t whole[MPT_FRAME] = { 0 };

	memcpy(whole, rq, rq_len < MPT_FRAME ? rq_len : MPT_FRAME);
	rq = whole;
	switch (rq[MSG_FUNCTION]) {
	case MPT_IOC_FACTS:
		return ioc_facts(m, rq, rp);
	case MPT_PORT_FACTS:
		return port_facts(m, rq, rp);
	case MPT_IOC_INIT:
		return ioc_init(m, rq, rq_len, rp);
	case MPT_PORT_ENABLE:
	case MPT_EVENT_ACK:
	case MPT_SAS_CONTROL:
		return mpt_reply_init(rp, rq, 20, MPT_OK);
	case MPT_EVENT_NOTIFY:
		return event_notify(m, rq, rp);
	case MPT_CONFIG:
		return mpt_config(m, rq, rq_len, rp);
	case MPT_TASK_MGMT:
		return mpt_task_mgmt(m, rq, rp);
	}
	return mpt_reply_init(rp, rq, 20, MPT_BAD_FUNCTION);
}
