/* The BT-958: mailboxes and command control blocks. */
#include "dev/buslogic_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BOX = 8, BOX_HOST = 4, BOX_TARGET = 5, BOX_CODE = 7 };
enum { OUT_FREE, OUT_START, OUT_ABORT };
enum { IN_FREE, IN_GOOD, IN_ABORTED, IN_NOT_FOUND, IN_ERROR, IN_INVALID };
enum { CCB_OP = 0, CCB_FLAGS = 1, CCB_CDB_LEN = 2, CCB_SENSE_LEN = 3, CCB_LENGTH = 4,
       CCB_DATA = 8, CCB_HOST = 14, CCB_TARGET_STATUS = 15, CCB_TARGET = 16, CCB_LUN = 17,
       CCB_CDB = 18, CCB_SENSE = 36 };
enum { OP_PLAIN = 0x00, OP_LIST = 0x02, OP_RESIDUAL = 0x03, OP_LIST_RESIDUAL = 0x04,
       OP_RESET = 0x81 };
enum { HOST_OK = 0x00, HOST_NO_TARGET = 0x11, HOST_OVERRUN = 0x12, HOST_BUS_FREE = 0x13,
       HOST_BAD_OP = 0x16, HOST_BAD_PARAM = 0x1a, HOST_BUSY = 0x27 };
#define SENSE_USUAL 14		/* bytes, if the CCB says 0; if it says 1, none */

/* --- lists of requests --------------------------------------------------------------- */

static void req_link(struct bl_req **list, struct bl_req *q)
{
	q->next = *list;
	q->prev = list;
	if (*list)
		(*list)->prev = &q->next;
	*list = q;
}

static void req_unlink(struct bl_req *q)
{
	*q->prev = q->next;
	if (q->next)
		q->next->prev = q->prev;
}

static struct bl_req *req_get(struct buslogic *b, uint32_t ccb)
{
	struct bl_req *q = b->spare;

	if (b->nactive == BL_ACTIVE_MAX)
		return NULL;
	if (q)
		req_unlink(q);
	else if (!(q = calloc(1, sizeof(*q))))
		return NULL;
	q->b = b;
	q->ccb = ccb;
	q->residual = false;
	q->s.dev = NULL;
	req_link(&b->active, q);
	b->nactive++;
	return q;
}

static void req_put(struct bl_req *q)
{
	req_unlink(q);
	req_link(&q->b->spare, q);
	q->b->nactive--;
}

void buslogic_ccb_free(struct buslogic *b)
{
	struct bl_req *lists[] = { b->active, b->spare, b->stuck };

	for (unsigned i = 0; i < 3; i++)
		while (lists[i]) {
			struct bl_req *next = lists[i]->next;

			sg_free(&lists[i]->s.data);
			free(lists[i]);
			lists[i] = next;
		}
}

void buslogic_drop(struct buslogic *b)
{
	scsi_bus_drain(&b->bus);
	while (b->stuck)
		req_put(b->stuck);
	b->nmbox = 0;
}

/* --- incoming mailboxes ----------------------------------------------------------------- */

/* Tell the driver of one CCB.  false: the next mailbox is still full. */
static bool post(struct buslogic *b, uint32_t ccb, uint8_t host, uint8_t target, uint8_t code)
{
	uint64_t gpa = (uint64_t)b->mbox + (b->nmbox + b->in_at) * BOX;
	uint8_t box[BOX] = { 0 };

	mem_read(b->vm->mem, gpa, box, sizeof(box));
	if (box[BOX_CODE] != IN_FREE)
		return false;
	le32_put(box, ccb);
	box[BOX_HOST] = host;
	box[BOX_TARGET] = target;
	box[6] = 0;
	mem_write(b->vm->mem, gpa, box, BOX_CODE);
	mem_write(b->vm->mem, gpa + BOX_CODE, &code, 1);
	b->in_at = (b->in_at + 1) % b->nmbox;
	buslogic_interrupt(b, BL_INT_IN);
	return true;
}

void buslogic_unstick(struct buslogic *b)
{
	while (b->nmbox && b->stuck) {
		struct bl_req *q = b->stuck;

		if (!post(b, q->ccb, q->host, q->s.status, q->code))
			return;
		req_put(q);
	}
}

static void finish(struct bl_req *q, uint8_t host, uint8_t code)
{
	struct buslogic *b = q->b;

	q->host = host;
	q->code = code;
	if (b->nmbox && !b->stuck && post(b, q->ccb, host, q->s.status, code)) {
		req_put(q);
		return;
	}
	req_unlink(q);
	if (b->nmbox) {
		req_link(&b->stuck, q);
	} else {
		req_link(&b->spare, q);
		b->nactive--;
	}
}

/* --- requests ------------------------------------------------------------------------------ */

static void write_status(struct bl_req *q, uint8_t host, uint8_t status)
{
	const uint8_t both[2] = { host, status };
	uint8_t left[4];

	mem_write(q->b->vm->mem, (uint64_t)q->ccb + CCB_HOST, both, 2);
	if (!q->residual)
		return;
	le32_put(left, q->data_len - (uint32_t)q->s.moved);
	mem_write(q->b->vm->mem, (uint64_t)q->ccb + CCB_LENGTH, left, 4);
}

static void req_done(struct scsi_req *s)
{
	struct bl_req *q = (struct bl_req *)s;
	struct buslogic *b = q->b;
	unsigned sense = s->sense_len < q->sense_len ? s->sense_len : q->sense_len;
	bool aborted = s->status == SCSI_TASK_ABORTED;
	uint8_t host = s->overrun && s->status == SCSI_GOOD ? HOST_OVERRUN : HOST_OK;

	if (aborted)
		s->status = 0;
	if (b->nmbox) {
		if (sense)
			mem_write(b->vm->mem, q->sense_addr, s->sense, sense);
		write_status(q, host, s->status);
	}
	finish(q, host, aborted ? IN_ABORTED : host || s->status ? IN_ERROR : IN_GOOD);
}

/* It ends without having begun: the length in the CCB is what is left. */
static void refuse(struct bl_req *q, uint8_t host, uint8_t code)
{
	q->s.status = 0;
	q->residual = false;
	write_status(q, host, 0);
	finish(q, host, code);
}

static int map_data(struct buslogic *b, struct bl_req *q, const uint8_t *ccb)
{
	uint32_t addr = le32_get(ccb + CCB_DATA), len = le32_get(ccb + CCB_LENGTH);
	bool writable = q->s.dir != SCSI_DIR_OUT;
	int rc = 0;

	sg_clear(&q->s.data, b->vm->mem);
	q->data_len = 0;
	if (q->s.dir == SCSI_DIR_NONE)
		return 0;
	if (ccb[CCB_OP] == OP_PLAIN || ccb[CCB_OP] == OP_RESIDUAL) {
		rc = sg_add(&q->s.data, addr, len, writable);
	} else {
		if (len / 8 > SG_PIECES * 4)
			return -E2BIG;
		for (uint32_t at = 0; at + 8 <= len && !rc; at += 8) {
			uint8_t e[8];

			if (!mem_read(b->vm->mem, (uint64_t)addr + at, e, sizeof(e)))
				return -EFAULT;
			rc = sg_add(&q->s.data, le32_get(e + 4), le32_get(e), writable);
		}
	}
	q->data_len = (uint32_t)q->s.data.len;
	return rc;
}

static void fill(struct buslogic *b, struct bl_req *q, const uint8_t *ccb)
{
	static const enum scsi_dir dirs[] = { SCSI_DIR_ANY, SCSI_DIR_IN, SCSI_DIR_OUT,
					      SCSI_DIR_NONE };
	static const enum scsi_attr attrs[] = { SCSI_SIMPLE, SCSI_HEAD_OF_QUEUE, SCSI_ORDERED,
						SCSI_SIMPLE };
	uint8_t tag = ccb[b->wide_lun ? CCB_FLAGS : CCB_LUN];
	unsigned len = ccb[CCB_CDB_LEN] < BL_CDB_MAX ? ccb[CCB_CDB_LEN] : BL_CDB_MAX;

	q->residual = ccb[CCB_OP] == OP_RESIDUAL || ccb[CCB_OP] == OP_LIST_RESIDUAL;
	q->sense_addr = le32_get(ccb + CCB_SENSE);
	q->sense_len = ccb[CCB_SENSE_LEN] == 0 ? SENSE_USUAL :
		       ccb[CCB_SENSE_LEN] == 1 ? 0 : ccb[CCB_SENSE_LEN];
	q->s.lun = ccb[CCB_LUN] & (b->wide_lun ? 0x3f : 0x07);
	q->s.attr = tag & 0x20 ? attrs[tag >> 6] : SCSI_SIMPLE;
	q->s.dir = dirs[ccb[CCB_FLAGS] >> 3 & 3];
	q->s.initiator = SCSI_ADAPTER_ID;
	q->s.done = req_done;
	memset(q->s.cdb, 0, SCSI_CDB_MAX);
	memcpy(q->s.cdb, ccb + CCB_CDB, len);
}

/*
 * A selection that times out, where there is no target.  But Linux takes that for an answer
 * to commands only that look for one; to others the driver's completion, which holds the
 * host's lock, hands them to error recovery, which takes it again (6.1: the processor hangs).
 * So a target that went while the machine runs has let go of the bus in the middle.
 */
static uint8_t absent(const struct buslogic *b, const uint8_t *ccb)
{
	bool looks = ccb[CCB_CDB] == 0x00 || ccb[CCB_CDB] == 0x12;	/* TEST UNIT READY, INQUIRY */
	unsigned id = ccb[CCB_TARGET];

	return !looks && id < SCSI_TARGETS && b->left >> id & 1 ? HOST_BUS_FREE : HOST_NO_TARGET;
}

static void start(struct buslogic *b, uint32_t addr)
{
	struct bl_req *q = req_get(b, addr);
	uint8_t ccb[BL_CCB];
	struct scsi_dev *t;

	if (!q) {
		post(b, addr, HOST_BUSY, 0, IN_ERROR);
		return;
	}
	if (!mem_read(b->vm->mem, addr, ccb, sizeof(ccb))) {
		refuse(q, HOST_BAD_PARAM, IN_INVALID);
		return;
	}
	t = scsi_bus_target(&b->bus, ccb[CCB_TARGET]);
	if (!t) {
		refuse(q, absent(b, ccb), IN_ERROR);
		return;
	}
	switch (ccb[CCB_OP]) {
	case OP_RESET:
		scsi_reset(t, SCSI_TARGET_RESET);
		refuse(q, HOST_OK, IN_GOOD);
		return;
	case OP_PLAIN:
	case OP_LIST:
	case OP_RESIDUAL:
	case OP_LIST_RESIDUAL:
		break;
	default:
		refuse(q, HOST_BAD_OP, IN_INVALID);
		return;
	}
	fill(b, q, ccb);
	if (map_data(b, q, ccb)) {
		refuse(q, HOST_BAD_PARAM, IN_ERROR);
		return;
	}
	scsi_start(t, &q->s);
}

static void abort_ccb(struct buslogic *b, uint32_t addr)
{
	for (struct bl_req *q = b->active; q; q = q->next)
		if (q->ccb == addr && q->s.dev) {
			scsi_abort(q->s.dev, &q->s);	/* or it ends soon */
			return;
		}
	post(b, addr, 0, 0, IN_NOT_FOUND);
}

void buslogic_scan(struct buslogic *b)
{
	static const uint8_t free_code = OUT_FREE;

	buslogic_unstick(b);
	for (unsigned i = 0, n = b->nmbox; i < n && b->nmbox; i++) {
		uint64_t gpa = (uint64_t)b->mbox + b->out_at * BOX;
		uint8_t box[BOX] = { 0 };

		mem_read(b->vm->mem, gpa, box, sizeof(box));
		if (box[BOX_CODE] == OUT_FREE && b->strict)
			return;
		b->out_at = (b->out_at + 1) % b->nmbox;
		if (box[BOX_CODE] == OUT_FREE)
			continue;
		mem_write(b->vm->mem, gpa + BOX_CODE, &free_code, 1);
		if (box[BOX_CODE] == OUT_START)
			start(b, le32_get(box));
		else if (box[BOX_CODE] == OUT_ABORT)
			abort_ccb(b, le32_get(box));
		if (b->told_free)
			buslogic_interrupt(b, BL_INT_OUT);
	}
}
