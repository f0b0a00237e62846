/*
 * Fusion-MPT adapters: registers, doorbell, queues.
 *
 * Example, the handshake by which a driver asks for the IOC's facts: it writes
 * 0x42030000 (a handshake of 3 doublewords) to the doorbell, sees the doorbell's
 * interrupt and its active bit, clears the interrupt, writes 3 doublewords, and reads
 * the reply from the doorbell, 16 bits an interrupt.  One more interrupt ends it.
 */
#include "dev/mpt_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum mpt_reg {
	REG_DOORBELL = 0x00, REG_SEQUENCE = 0x04, REG_DIAG = 0x08, REG_INT_STATUS = 0x30,
	REG_INT_MASK = 0x34, REG_REQUEST = 0x40, REG_REPLY = 0x44, REG_URGENT = 0x48,
};
enum { INT_DOORBELL = 1, INT_REPLY = 8 };
enum { DIAG_RESET = 0x04, DIAG_HISTORY = 0x20, DIAG_WRITE = 0x80 };
/* The reply to EVENT NOTIFICATION, of which there are many */
enum { EVENT_CODE = 20, EVENT_COUNT = 24, EVENT_DATA = 28, CONTINUES = 0x80 };
#define DOORBELL_ACTIVE	(1u << 27)
#define FAULT_REQUEST	0x8112		/* its frame could not be read */
#define FAULT_REPLY	0x8114		/* no room for a reply */

/* --- interrupts ------------------------------------------------------------------------ */

static void update_irq(struct mpt *m, bool news)
{
	uint32_t open = ~m->int_mask & (INT_DOORBELL | INT_REPLY);
	bool level;

	m->int_status = (m->int_status & ~(uint32_t)INT_REPLY) | (m->post.n ? INT_REPLY : 0);
	level = m->int_status & open;
	if (!pci_has_messages(&m->fn) || news || !level)
		pci_irq(&m->fn, 0, level);
}

static void ring(struct mpt *m, bool on)
{
	m->int_status = (m->int_status & ~(uint32_t)INT_DOORBELL) | (on ? INT_DOORBELL : 0);
	update_irq(m, on);
}

/* --- queues ------------------------------------------------------------------------------ */

static bool fifo_put(struct mpt_fifo *f, uint32_t val)
{
	if (f->n == MPT_FIFO)
		return false;
	f->entry[(f->first + f->n++) % MPT_FIFO] = val;
	return true;
}

/* All ones: it is empty. */
static uint32_t fifo_get(struct mpt_fifo *f)
{
	uint32_t val;

	if (!f->n)
		return UINT32_MAX;
	val = f->entry[f->first];
	f->first = (f->first + 1) % MPT_FIFO;
	f->n--;
	return val;
}

void mpt_fail(struct mpt *m, uint16_t code)
{
	m->state = MPT_FAULT;
	m->fault = code;
}

void mpt_answer_context(struct mpt *m, uint32_t context)
{
	if (!fifo_put(&m->post, context & 0x7fffffff))
		mpt_fail(m, FAULT_REPLY);
	update_irq(m, true);
}

static void answer_in(struct mpt *m, uint32_t frame, const uint8_t *msg, unsigned len)
{
	uint64_t to = (uint64_t)m->mfa_high << 32 | frame;

	if (len > m->reply_size)
		len = m->reply_size;
	mem_write(m->vm->mem, to, msg, len);
	if (!fifo_put(&m->post, 0x80000000 | frame >> 1))
		mpt_fail(m, FAULT_REPLY);
	update_irq(m, true);
}

void mpt_answer(struct mpt *m, const uint8_t *msg, unsigned len)
{
	struct mpt_reply *w;

	if (m->free.n) {
		answer_in(m, fifo_get(&m->free), msg, len);
		return;
	}
	w = m->nwaiting < MPT_REPLIES ? malloc(sizeof(*w)) : NULL;
	if (!w) {
		mpt_fail(m, FAULT_REPLY);
		return;
	}
	memcpy(w->msg, msg, len);
	w->len = len;
	w->next = NULL;
	*m->waiting_last = w;
	m->waiting_last = &w->next;
	m->nwaiting++;
}

/* What is not fetched must not take the place of answers. */
#define EVENTS_WAITING	(MPT_REPLIES / 4)

void mpt_event(struct mpt *m, uint32_t event, const uint8_t *data, unsigned len)
{
	uint8_t rp[MPT_REPLY_MAX] = { 0 };

	if (!m->events || m->state != MPT_OPERATIONAL || m->nwaiting >= EVENTS_WAITING)
		return;
	le16_put(rp, (uint16_t)(len / 4));
	rp[MSG_LEN] = (uint8_t)((EVENT_DATA + len) / 4);
	rp[MSG_FUNCTION] = MPT_EVENT_NOTIFY;
	rp[MSG_FLAGS] = CONTINUES;
	le32_put(rp + MSG_CONTEXT, m->event_context);
	le32_put(rp + EVENT_CODE, event);
	le32_put(rp + EVENT_COUNT, ++m->nevents);
	memcpy(rp + EVENT_DATA, data, len);
	mpt_answer(m, rp, EVENT_DATA + len);
}

static void frame_freed(struct mpt *m, uint32_t frame)
{
	struct mpt_reply *w = m->waiting;

	if (!w) {
		if (!fifo_put(&m->free, frame))
			mpt_fail(m, FAULT_REPLY);
		return;
	}
	m->waiting = w->next;
	if (!m->waiting)
		m->waiting_last = &m->waiting;
	m->nwaiting--;
	answer_in(m, frame, w->msg, w->len);
	free(w);
}

static void post_request(struct mpt *m, uint32_t frame)
{
	/* Linux says in the lowest two bits how long it is; SeaBIOS's is aligned to 4 only. */
	uint64_t gpa = (uint64_t)m->mfa_high << 32 | (frame & ~3u);
	uint8_t rq[MPT_FRAME], rp[MPT_REPLY_MAX];

	if (m->state != MPT_OPERATIONAL || !pci_is_master(&m->fn))
		return;
	if (!mem_read(m->vm->mem, gpa, rq, sizeof(rq))) {
		mpt_fail(m, FAULT_REQUEST);
		return;
	}
	if (rq[MSG_FUNCTION] == MPT_SCSI_IO)
		mpt_io(m, rq, gpa);
	else
		mpt_answer(m, rp, mpt_message(m, rq, sizeof(rq), rp));
}

/* --- resets ----------------------------------------------------------------------------------- */

static void drop_waiting(struct mpt *m)
{
	while (m->waiting) {
		struct mpt_reply *next = m->waiting->next;

		free(m->waiting);
		m->waiting = next;
	}
	m->waiting_last = &m->waiting;
	m->nwaiting = 0;
}

void mpt_unit_reset(struct mpt *m)
{
	scsi_bus_drain(&m->bus);
	drop_waiting(m);
	m->free.n = m->post.n = 0;
	m->state = MPT_READY;
	m->fault = 0;
	m->who_init = 0;
	m->mfa_high = m->sense_high = 0;
	m->reply_size = 0;
	m->events = false;
	m->lost = 0;
	m->db = DB_IDLE;
	m->int_status = 0;
	update_irq(m, false);
}

static void hard_reset(struct mpt *m, enum scsi_reset how)
{
	mpt_unit_reset(m);
	scsi_bus_reset(&m->bus, how);
	memset(m->negotiated, 0, sizeof(m->negotiated));
	m->max_devices = m->max_buses = 0;
	m->int_mask = INT_DOORBELL | INT_REPLY;
	m->key = 0;
	m->diag = 0;
	update_irq(m, false);
}

void mpt_reset(struct mpt *m)
{
	hard_reset(m, SCSI_POWER_ON);
}

/* The keys that open the diagnostic register. */
static void write_sequence(struct mpt *m, uint32_t val)
{
	static const uint8_t keys[] = { 0x04, 0x0b, 0x02, 0x07, 0x0d };

	if (m->key < sizeof(keys) && (val & 15) == keys[m->key]) {
		if (++m->key == sizeof(keys))
			m->diag |= DIAG_WRITE;
		return;
	}
	m->key = (val & 15) == keys[0];
	m->diag &= ~(uint32_t)DIAG_WRITE;
}

static void write_diag(struct mpt *m, uint32_t val)
{
	if (!(m->diag & DIAG_WRITE))
		return;
	if (val & DIAG_RESET) {
		hard_reset(m, SCSI_BUS_RESET);
		m->diag = DIAG_HISTORY;
		return;
	}
	if (!(val & DIAG_HISTORY))
		m->diag &= ~(uint32_t)DIAG_HISTORY;
}

/* --- the doorbell -------------------------------------------------------------------------------- */

static void handshake_done(struct mpt *m)
{
	uint8_t rp[MPT_REPLY_MAX];
	unsigned n = mpt_message(m, m->hs, m->hs_len, rp);

	m->hs_at = 0;
	if (m->hs[MSG_FUNCTION] == MPT_TASK_MGMT) {	/* answered like others */
		m->db = DB_END;
		mpt_answer(m, rp, n);
	} else {
		memcpy(m->hs, rp, n);
		m->hs_len = n;
		m->db = DB_REPLY;
	}
	ring(m, true);
}

static void write_doorbell(struct mpt *m, uint32_t val)
{
	/* SeaBIOS does not wait for the doorbell to be answered. */
	if (m->db == DB_REQUEST || m->db == DB_START) {
		m->db = DB_REQUEST;
		le32_put(m->hs + m->hs_at, val);
		m->hs_at += 4;
		if (m->hs_at == m->hs_len)
			handshake_done(m);
		return;
	}
	switch (val >> 24) {
	case MPT_UNIT_RESET:
		mpt_unit_reset(m);
		break;
	case MPT_IO_UNIT_RESET:
		hard_reset(m, SCSI_BUS_RESET);
		break;
	case MPT_HANDSHAKE:
		if (m->db != DB_IDLE || !(val >> 16 & 0xff))
			break;
		m->hs_len = (val >> 16 & 0xff) * 4;
		m->hs_at = 0;
		m->db = DB_START;
		ring(m, true);
		break;
	}
}

static uint32_t read_doorbell(const struct mpt *m)
{
	uint32_t v = (uint32_t)m->state << 28 | (uint32_t)m->who_init << 24 | m->fault;

	if (m->db == DB_REPLY)
		v = (v & ~0xffffu) | le16_get(m->hs + m->hs_at);
	return m->db == DB_IDLE ? v : v | DOORBELL_ACTIVE;
}

/* The driver has seen the doorbell's interrupt. */
static void doorbell_seen(struct mpt *m)
{
	if (!(m->int_status & INT_DOORBELL))
		return;
	ring(m, false);
	switch (m->db) {
	case DB_START:
		m->db = DB_REQUEST;
		break;
	case DB_REPLY:
		m->hs_at += 2;
		if (m->hs_at == m->hs_len)
			m->db = DB_END;
		ring(m, true);
		break;
	case DB_END:
		m->db = DB_IDLE;
		break;
	default:
		break;
	}
}

/* --- registers -------------------------------------------------------------------------------------- */

static uint64_t reg_read(void *ptr, uint64_t off, unsigned size)
{
	struct mpt *m = ptr;
	uint32_t v = 0;

	if (size != 4)
		return 0;
	switch (off) {
	case REG_DOORBELL:
		return read_doorbell(m);
	case REG_DIAG:
		return m->diag;
	case REG_INT_STATUS:
		return m->int_status;
	case REG_INT_MASK:
		return m->int_mask;
	case REG_REPLY:
		v = fifo_get(&m->post);
		update_irq(m, false);
		break;
	}
	return v;
}

static void reg_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct mpt *m = ptr;

	if (size != 4)
		return;
	switch (off) {
	case REG_DOORBELL:
		write_doorbell(m, (uint32_t)val);
		break;
	case REG_SEQUENCE:
		write_sequence(m, (uint32_t)val);
		break;
	case REG_DIAG:
		write_diag(m, (uint32_t)val);
		break;
	case REG_INT_STATUS:
		doorbell_seen(m);
		break;
	case REG_INT_MASK:
		m->int_mask = (uint32_t)val;
		update_irq(m, true);
		break;
	case REG_REQUEST:
	case REG_URGENT:
		post_request(m, (uint32_t)val);
		break;
	case REG_REPLY:
		frame_freed(m, (uint32_t)val);
		break;
	}
}

/* --- the adapter --------------------------------------------------------------------------------------- */

void mpt_changed(struct mpt *m, unsigned id, bool there)
{
	m->negotiated[id] = 0;
	if (m->kind->changed)
		m->kind->changed(m, id, there);
}

struct scsi_bus *mpt_bus(struct mpt *m)
{
	return &m->bus;
}

struct mpt *mpt_new(struct vm *vm, struct pci *pci, unsigned devfn, const struct mpt_kind *k,
		    struct err *e)
{
	struct mpt *m = calloc(1, sizeof(*m));

	if (!m) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	m->vm = vm;
	m->kind = k;
	m->waiting_last = &m->waiting;
	pci_fn_ident(&m->fn, 0x1000, k->device, k->pci_class, k->revision);
	le16_put(m->fn.init + PCI_SUBDEVICE, k->subdevice);
	pci_fn_bar(&m->fn, 0, &(struct pci_bar){ .kind = PCI_BAR_IO, .len = 256,
		   .read = reg_read, .write = reg_write, .ptr = m, .name = k->name });
	pci_fn_bar(&m->fn, 1, &(struct pci_bar){ .kind = PCI_BAR_MEM64, .len = k->bar_len,
		   .read = reg_read, .write = reg_write, .ptr = m, .name = k->name });
	pci_fn_bar(&m->fn, 3, &(struct pci_bar){ .kind = PCI_BAR_MEM64, .len = k->bar_diag_len,
		   .name = k->name });
	pci_fn_pin(&m->fn, 1);
	pci_fn_msi(&m->fn);
	if (pci_add(pci, devfn, &m->fn, e)) {
		pci_fn_done(&m->fn);
		free(m);
		return NULL;
	}
	m->state = MPT_READY;
	m->int_mask = INT_DOORBELL | INT_REPLY;
	return m;
}

void mpt_free(struct mpt *m)
{
	if (!m)
		return;
	m->state = MPT_RESET;
	scsi_bus_free(&m->bus);
	drop_waiting(m);
	mpt_io_free(m);
	pci_fn_done(&m->fn);
	free(m);
}
