/*
 * The paravirtual SCSI adapter.
 *
 * Rings lie in pages that the driver names; their indices, in the page of the rings'
 * state, only grow.  The driver may write there what it likes: what we consumed and
 * produced is kept here, and a ring is followed only as long as it can be one:
 *
 *	requests taken and not yet completed + completions not yet fetched < size of
 *	the completion ring
 *
 * so that a completion always has a place.  Example: prod = 5, we have consumed 3 ->
 * requests 3 and 4 are taken; the disk ends 4 first -> completion 0 carries its context.
 */
#include "dev/pvscsi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "vmm/dma.h"

enum pv_reg {
	REG_COMMAND = 0x0, REG_DATA = 0x4, REG_STATUS = 0x8, REG_LAST_STATUS = 0x100,
	REG_INTR_STATUS = 0x100c, REG_INTR_MASK = 0x2010, REG_KICK = 0x3014,
	REG_DEBUG = 0x3018, REG_KICK_RW = 0x4018,
};
enum { BAR_LEN = 0x8000, MSIX_TABLE = 0x6000, MSIX_PBA = 0x7000 };

enum pv_cmd {
	CMD_RESET = 1, CMD_ISSUE_SCSI, CMD_SETUP_RINGS, CMD_RESET_BUS, CMD_RESET_DEVICE,
	CMD_ABORT, CMD_CONFIG, CMD_SETUP_MSG_RING, CMD_UNPLUG, CMD_SETUP_THRESHOLD, CMD_COUNT
};
#define STATUS_DONE	0u
#define STATUS_UNKNOWN	UINT32_MAX

/* The rings' state */
enum { REQ_PROD = 0, REQ_CONS = 4, REQ_LOG2 = 8, CMP_PROD = 12, CMP_CONS = 16, CMP_LOG2 = 20,
       THRESHOLD = 24, MSG_PROD = 128, MSG_CONS = 132, MSG_LOG2 = 136 };
enum { RING_PAGES = 32, MSG_PAGES = 16, REQ_LEN = 128, CMP_LEN = 32, MSG_LEN = 128 };
#define CMD_DATA_MAX ((4 + 4 * RING_PAGES) * 4)	/* of CMD_SETUP_RINGS, bytes */

/* A request */
enum { RQ_CONTEXT = 0, RQ_ADDR = 8, RQ_LEN = 16, RQ_SENSE = 24, RQ_SENSE_LEN = 32,
       RQ_FLAGS = 36, RQ_CDB = 40, RQ_CDB_LEN = 56, RQ_LUN = 57, RQ_TAG = 65, RQ_BUS = 66,
       RQ_TARGET = 67 };
enum { FLAG_LIST = 1, FLAG_LONG_CDB = 2, FLAG_NONE = 4, FLAG_IN = 8, FLAG_OUT = 16 };
enum { SGE_LEN = 16, SGE_CHAIN = 1, SGES_MAX = 4096 };

/* How the adapter says that it went */
enum { HOST_OK = 0, HOST_NO_TARGET = 0x11, HOST_OVERRUN = 0x12, HOST_BAD_PARAM = 0x1a,
       HOST_ABORTED = 0x26 };

enum { MSG_ADDED = 0, MSG_REMOVED = 1 };
enum { INTR_CMP = 1, INTR_MSG = 4, INTR_ALL = 15 };

struct pv_ring {
	uint64_t page[RING_PAGES];	/* frame numbers */
	uint32_t entries;		/* 0: there is none */
	uint32_t at;			/* consumed by us, or produced */
};

struct pv_req {
	struct scsi_req s;
	struct pvscsi *p;
	uint64_t context, sense_addr;
	uint32_t sense_len;
	struct pv_req *next, **prev;	/* of those under way, or free */
};

struct pvscsi {
	struct pci_fn fn;
	struct vm *vm;
	struct scsi_bus bus;
	uint32_t cmd, status;
	uint8_t data[CMD_DATA_MAX];
	unsigned data_len, data_want;
	uint32_t intr_status, intr_mask;
	uint32_t raised;		/* and not yet told */
	bool rings;			/* are set up */
	uint64_t state;			/* address of the rings' state */
	struct pv_ring req, cmp, msg;
	unsigned active;		/* requests under way */
	struct pv_req *active_first, *spare;
	bool taking;			/* requests: interrupts wait until all are taken */
	bool again;			/* look at the ring once more */
};

/* --- interrupts --------------------------------------------------------------------- */

/* Messages tell of what is new; the pin shows what there is. */
static void update_irq(struct pvscsi *p)
{
	uint32_t raised = p->raised & p->intr_mask;
	bool level = p->intr_status & p->intr_mask;

	p->raised = 0;
	if (!pci_has_messages(&p->fn) || raised || !level)
		pci_irq(&p->fn, 0, level);
}

static void interrupt(struct pvscsi *p, uint32_t bits)
{
	p->intr_status |= bits;
	p->raised |= bits;
	if (!p->taking)
		update_irq(p);
}

/* --- rings ---------------------------------------------------------------------------- */

static uint32_t state_get(const struct pvscsi *p, unsigned field)
{
	uint8_t b[4];

	mem_read(p->vm->mem, p->state + field, b, 4);
	atomic_thread_fence(memory_order_acquire);
	return le32_get(b);
}

static void state_put(struct pvscsi *p, unsigned field, uint32_t val)
{
	uint8_t b[4];

	le32_put(b, val);
	atomic_thread_fence(memory_order_release);
	mem_write(p->vm->mem, p->state + field, b, 4);
}

static uint64_t ring_entry(const struct pv_ring *r, unsigned entry_len)
{
	uint64_t byte = (uint64_t)(r->at & (r->entries - 1)) * entry_len;

	return (r->page[byte / PAGE_SIZE] << PAGE_SHIFT) + byte % PAGE_SIZE;
}

static void complete(struct pvscsi *p, uint64_t context, uint64_t moved, uint32_t sense_len,
		     uint16_t host, uint16_t status)
{
	uint8_t e[CMP_LEN] = { 0 };

	le64_put(e, context);
	le64_put(e + 8, moved);
	le32_put(e + 16, sense_len);
	le16_put(e + 20, host);
	le16_put(e + 22, status);
	mem_write(p->vm->mem, ring_entry(&p->cmp, CMP_LEN), e, sizeof(e));
	p->cmp.at++;
	state_put(p, CMP_PROD, p->cmp.at);
	interrupt(p, INTR_CMP);
}

static void take_requests(struct pvscsi *p);

static void req_link(struct pv_req **list, struct pv_req *q)
{
	q->next = *list;
	q->prev = list;
	if (*list)
		(*list)->prev = &q->next;
	*list = q;
}

static void req_unlink(struct pv_req *q)
{
	*q->prev = q->next;
	if (q->next)
		q->next->prev = q->prev;
}

static struct pv_req *req_get(struct pvscsi *p)
{
	struct pv_req *q = p->spare;

	if (q) {
		req_unlink(q);
	} else {
		q = calloc(1, sizeof(*q));
		if (!q)
			return NULL;
		q->p = p;
	}
	req_link(&p->active_first, q);
	p->active++;
	return q;
}

static void req_put(struct pv_req *q)
{
	struct pvscsi *p = q->p;

	req_unlink(q);
	req_link(&p->spare, q);
	p->active--;
}

static void req_done(struct scsi_req *s)
{
	struct pv_req *q = (struct pv_req *)s;
	struct pvscsi *p = q->p;
	uint32_t sense = s->sense_len < q->sense_len ? s->sense_len : q->sense_len;
	uint16_t host = s->status == SCSI_TASK_ABORTED ? HOST_ABORTED :
			s->overrun && s->status == SCSI_GOOD ? HOST_OVERRUN : HOST_OK;

	if (sense && p->rings)
		mem_write(p->vm->mem, q->sense_addr, s->sense, sense);
	if (p->rings)
		complete(p, q->context, s->moved, sense, host,
			 host == HOST_ABORTED ? 0 : s->status);
	req_put(q);
	if (p->again && !p->taking)
		take_requests(p);
}

/* --- requests ------------------------------------------------------------------------- */

/* Follow a list of pieces until it has len bytes.  Returns 0 or -errno. */
static int list_add(struct pvscsi *p, struct sg *sg, uint64_t at, uint64_t len, bool writable)
{
	for (unsigned i = 0; i < SGES_MAX && sg->len < len; i++) {
		uint8_t e[SGE_LEN];
		uint64_t addr, n;
		int rc;

		if (!mem_read(p->vm->mem, at, e, sizeof(e)))
			return -EFAULT;
		addr = le64_get(e);
		n = le32_get(e + 8);
		if (le32_get(e + 12) & SGE_CHAIN) {
			at = addr;
			continue;
		}
		n = n < len - sg->len ? n : len - sg->len;
		rc = sg_add(sg, addr, n, writable);
		if (rc)
			return rc;
		at += SGE_LEN;
	}
	return sg->len == len ? 0 : -E2BIG;
}

static int map_data(struct pvscsi *p, struct pv_req *q, const uint8_t *d)
{
	uint64_t addr = le64_get(d + RQ_ADDR), len = le64_get(d + RQ_LEN);
	uint32_t flags = le32_get(d + RQ_FLAGS);
	bool writable = q->s.dir != SCSI_DIR_OUT;

	sg_clear(&q->s.data, p->vm->mem);
	if (q->s.dir == SCSI_DIR_NONE || !len)
		return 0;
	if (len > SG_BYTES)
		return -E2BIG;
	if (flags & FLAG_LIST)
		return list_add(p, &q->s.data, addr, len, writable);
	return sg_add(&q->s.data, addr, len, writable);
}

static void start(struct pvscsi *p, const uint8_t *d)
{
	struct scsi_dev *t = d[RQ_BUS] ? NULL : scsi_bus_target(&p->bus, d[RQ_TARGET]);
	uint32_t flags = le32_get(d + RQ_FLAGS);
	uint64_t context = le64_get(d + RQ_CONTEXT);
	struct pv_req *q = t ? req_get(p) : NULL;

	if (!q) {
		complete(p, context, 0, 0, HOST_NO_TARGET, 0);
		return;
	}
	q->context = context;
	q->sense_addr = le64_get(d + RQ_SENSE);
	q->sense_len = le32_get(d + RQ_SENSE_LEN);
	q->s.lun = scsi_lun(d + RQ_LUN);
	q->s.attr = scsi_tag_attr(d[RQ_TAG]);
	q->s.dir = flags & FLAG_NONE ? SCSI_DIR_NONE : flags & FLAG_IN ? SCSI_DIR_IN :
		   flags & FLAG_OUT ? SCSI_DIR_OUT : SCSI_DIR_ANY;
	q->s.initiator = SCSI_ADAPTER_ID;
	q->s.done = req_done;
	memset(q->s.cdb, 0, SCSI_CDB_MAX);
	memcpy(q->s.cdb, d + RQ_CDB, d[RQ_CDB_LEN] < 16 ? d[RQ_CDB_LEN] : 16);
	if (flags & FLAG_LONG_CDB || d[RQ_CDB_LEN] > 16 || map_data(p, q, d)) {
		complete(p, context, 0, 0, HOST_BAD_PARAM, 0);
		req_put(q);
		return;
	}
	scsi_start(t, &q->s);
}

/* Is there a place for one more completion than those to come? */
static bool room(const struct pvscsi *p)
{
	uint32_t unread = p->cmp.at - state_get(p, CMP_CONS);

	return unread < p->cmp.entries && p->active < p->cmp.entries - unread;
}

static void take_requests(struct pvscsi *p)
{
	uint32_t prod;
	uint8_t d[REQ_LEN];

	if (!p->rings || p->taking || !pci_is_master(&p->fn))
		return;
	p->taking = true;
	p->again = false;
	prod = state_get(p, REQ_PROD);
	while (prod != p->req.at && prod - p->req.at <= p->req.entries) {
		if (!room(p)) {
			p->again = true;
			break;
		}
		mem_read(p->vm->mem, ring_entry(&p->req, REQ_LEN), d, sizeof(d));
		p->req.at++;
		state_put(p, REQ_CONS, p->req.at);
		start(p, d);
	}
	p->taking = false;
	if (p->raised)
		update_irq(p);
}

/* --- commands ------------------------------------------------------------------------------ */

static void forget_rings(struct pvscsi *p)
{
	p->rings = p->again = false;
	p->req.entries = p->cmp.entries = p->msg.entries = 0;
}

/* Nothing of the rings is touched once this returns. */
static void reset(struct pvscsi *p, enum scsi_reset how)
{
	p->taking = true;	/* and nothing new is taken meanwhile */
	scsi_bus_drain(&p->bus);
	p->taking = false;
	forget_rings(p);
	scsi_bus_reset(&p->bus, how);
	p->intr_status = p->intr_mask = 0;
	p->cmd = p->status = 0;
	p->data_len = p->data_want = 0;
	update_irq(p);
}

static bool ring_set(struct pv_ring *r, uint32_t pages, uint32_t max, const uint8_t *frames,
		     unsigned entry_len)
{
	if (!pages || pages > max || pages & (pages - 1))
		return false;
	for (uint32_t i = 0; i < pages; i++) {
		r->page[i] = le64_get(frames + 8 * i);
		if (r->page[i] >> (64 - PAGE_SHIFT))
			return false;
	}
	r->entries = pages * (uint32_t)(PAGE_SIZE / entry_len);
	r->at = 0;
	return true;
}

static uint32_t log2_of(uint32_t entries)
{
	return (uint32_t)__builtin_ctz(entries);
}

static uint32_t setup_rings(struct pvscsi *p)
{
	const uint8_t *d = p->data;
	uint64_t state = le64_get(d + 8);

	if (p->active)
		return STATUS_UNKNOWN;
	forget_rings(p);
	if (state >> (64 - PAGE_SHIFT) ||
	    !mem_ptr(p->vm->mem, state << PAGE_SHIFT, PAGE_SIZE) ||
	    !ring_set(&p->req, le32_get(d), RING_PAGES, d + 16, REQ_LEN) ||
	    !ring_set(&p->cmp, le32_get(d + 4), RING_PAGES, d + 16 + 8 * RING_PAGES, CMP_LEN)) {
		forget_rings(p);
		return STATUS_UNKNOWN;
	}
	p->state = state << PAGE_SHIFT;
	state_put(p, REQ_PROD, 0);
	state_put(p, REQ_CONS, 0);
	state_put(p, REQ_LOG2, log2_of(p->req.entries));
	state_put(p, CMP_PROD, 0);
	state_put(p, CMP_CONS, 0);
	state_put(p, CMP_LOG2, log2_of(p->cmp.entries));
	state_put(p, THRESHOLD, 0);
	p->rings = true;
	return STATUS_DONE;
}

static uint32_t setup_msg_ring(struct pvscsi *p)
{
	p->msg.entries = 0;
	if (!p->rings)
		return STATUS_DONE;
	if (!ring_set(&p->msg, le32_get(p->data), MSG_PAGES, p->data + 8, MSG_LEN)) {
		p->msg.entries = 0;
		return STATUS_UNKNOWN;
	}
	state_put(p, MSG_PROD, 0);
	state_put(p, MSG_CONS, 0);
	state_put(p, MSG_LOG2, log2_of(p->msg.entries));
	return STATUS_DONE;
}

static uint32_t abort_request(struct pvscsi *p)
{
	uint64_t context = le64_get(p->data);
	struct scsi_dev *t = scsi_bus_target(&p->bus, le32_get(p->data + 8));

	for (struct pv_req *q = p->active_first; t && q; q = q->next)
		if (q->context == context && q->s.dev == t) {
			scsi_abort(t, &q->s);	/* else it ends soon, as it ends */
			break;
		}
	return STATUS_DONE;
}

/* The only page that the driver asks for: how many targets there may be. */
static uint32_t config(struct pvscsi *p)
{
	enum { CONTROLLER = 0x1958, CONTROLLER_ADDRESS = 0x2120, PAGE_LEN = 16 + 8 + 448 + 8 };
	uint64_t to = le64_get(p->data);
	uint8_t page[PAGE_LEN] = { 0 };

	if (le32_get(p->data + 16) != CONTROLLER ||
	    le64_get(p->data + 8) != CONTROLLER_ADDRESS) {
		le16_put(page + 6, HOST_BAD_PARAM);
		le16_put(page + 8, SCSI_CHECK_CONDITION);
		mem_write(p->vm->mem, to, page, 16);
		return STATUS_UNKNOWN;
	}
	le32_put(page, CONTROLLER);
	le16_put(page + 4, PAGE_LEN / 4);
	le32_put(page + PAGE_LEN - 8, SCSI_TARGETS);
	mem_write(p->vm->mem, to, page, sizeof(page));
	return STATUS_DONE;
}

/* How many bytes follow a command; -1: it is not known. */
static int data_wanted(uint32_t cmd)
{
	switch (cmd) {
	case CMD_RESET:
	case CMD_RESET_BUS:
		return 0;
	case CMD_SETUP_RINGS:
		return CMD_DATA_MAX;
	case CMD_RESET_DEVICE:
		return 12;
	case CMD_ABORT:
		return 16;
	case CMD_CONFIG:
		return 24;
	case CMD_SETUP_MSG_RING:
		return 8 + 8 * MSG_PAGES;
	}
	return -1;
}

static void run_command(struct pvscsi *p)
{
	struct scsi_dev *t;
	uint32_t cmd = p->cmd;

	p->status = STATUS_DONE;
	p->cmd = 0;
	switch (cmd) {
	case CMD_RESET:
		reset(p, SCSI_BUS_RESET);
		break;
	case CMD_SETUP_RINGS:
		p->status = setup_rings(p);
		break;
	case CMD_RESET_BUS:
		scsi_bus_reset(&p->bus, SCSI_BUS_RESET);
		break;
	case CMD_RESET_DEVICE:
		t = scsi_bus_target(&p->bus, le32_get(p->data));
		if (t)
			scsi_reset(t, SCSI_TARGET_RESET);
		break;
	case CMD_ABORT:
		p->status = abort_request(p);
		break;
	case CMD_CONFIG:
		p->status = config(p);
		break;
	case CMD_SETUP_MSG_RING:
		p->status = setup_msg_ring(p);
		break;
	}
}

/* While data are missing the status says how many doublewords: a driver asks so whether
 * a command is known. */
static void command(struct pvscsi *p, uint32_t cmd)
{
	int want = data_wanted(cmd);

	p->cmd = want < 0 ? 0 : cmd;
	p->data_len = 0;
	p->data_want = want < 0 ? 0 : (unsigned)want;
	p->status = want < 0 ? STATUS_UNKNOWN : p->data_want / 4;
	if (want == 0)
		run_command(p);
}

static void command_data(struct pvscsi *p, uint32_t val)
{
	if (!p->cmd || p->data_len >= p->data_want)
		return;
	le32_put(p->data + p->data_len, val);
	p->data_len += 4;
	if (p->data_len == p->data_want)
		run_command(p);
}

/* --- registers ----------------------------------------------------------------------------- */

static uint64_t pv_read(void *ptr, uint64_t off, unsigned size)
{
	const struct pvscsi *p = ptr;

	if (size != 4)
		return 0;
	switch (off) {
	case REG_STATUS:
		return p->status;
	case REG_INTR_STATUS:
		return p->intr_status;
	case REG_INTR_MASK:
		return p->intr_mask;
	}
	return 0;
}

static void pv_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct pvscsi *p = ptr;

	if (size != 4)
		return;
	switch (off) {
	case REG_COMMAND:
		command(p, (uint32_t)val);
		break;
	case REG_DATA:
		command_data(p, (uint32_t)val);
		break;
	case REG_INTR_STATUS:
		p->intr_status &= ~(uint32_t)val;
		update_irq(p);
		break;
	case REG_INTR_MASK:
		p->intr_mask = (uint32_t)val & INTR_ALL;
		p->raised = p->intr_status;
		update_irq(p);
		break;
	case REG_KICK:
	case REG_KICK_RW:
		take_requests(p);
		break;
	}
}

/* --- the adapter ---------------------------------------------------------------------------- */

struct scsi_bus *pvscsi_bus(struct pvscsi *p)
{
	return &p->bus;
}

void pvscsi_changed(struct pvscsi *p, unsigned id, bool there)
{
	uint8_t e[MSG_LEN] = { 0 };

	if (!p->msg.entries || p->msg.at - state_get(p, MSG_CONS) >= p->msg.entries)
		return;
	le32_put(e, there ? MSG_ADDED : MSG_REMOVED);
	le32_put(e + 8, id);
	mem_write(p->vm->mem, ring_entry(&p->msg, MSG_LEN), e, sizeof(e));
	p->msg.at++;
	state_put(p, MSG_PROD, p->msg.at);
	interrupt(p, INTR_MSG);
}

void pvscsi_reset(struct pvscsi *p)
{
	reset(p, SCSI_POWER_ON);
}

struct pvscsi *pvscsi_new(struct vm *vm, struct pci *pci, unsigned devfn, struct err *e)
{
	struct pvscsi *p = calloc(1, sizeof(*p));

	if (!p) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	p->vm = vm;
	pci_fn_ident(&p->fn, PCI_VENDOR_VMWARE, 0x07c0, 0x010700, 2);
	le16_put(p->fn.init + PCI_SUBDEVICE, 0x07c0);
	pci_fn_bar(&p->fn, 0, &(struct pci_bar){ .kind = PCI_BAR_MEM, .len = BAR_LEN,
		   .read = pv_read, .write = pv_write, .ptr = p, .name = "pvscsi" });
	pci_fn_pin(&p->fn, 1);
	pci_fn_msi(&p->fn);
	if (pci_fn_msix(&p->fn, 1, 0, MSIX_TABLE, MSIX_PBA, e) ||
	    pci_add(pci, devfn, &p->fn, e)) {
		pci_fn_done(&p->fn);
		free(p);
		return NULL;
	}
	return p;
}

static void free_list(struct pv_req *q)
{
	while (q) {
		struct pv_req *next = q->next;

		sg_free(&q->s.data);
		free(q);
		q = next;
	}
}

void pvscsi_free(struct pvscsi *p)
{
	if (!p)
		return;
	forget_rings(p);
	scsi_bus_free(&p->bus);
	free_list(p->spare);
	free_list(p->active_first);
	pci_fn_done(&p->fn);
	free(p);
}
