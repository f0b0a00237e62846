/* Fusion-MPT adapters: SCSI I/O and task management. */
#include "dev/mpt_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The request */
enum { IO_TARGET = 0, IO_BUS = 1, IO_CDB_LEN = 4, IO_SENSE_LEN = 5, IO_LUN = 12, IO_CONTROL = 20,
       IO_CDB = 24, IO_LENGTH = 40, IO_SENSE = 44, IO_SGL = 48 };
enum { IO_BY_COMMAND = 4 };	/* flag: the command says which way data go */
/* The reply */
enum { RP_STATUS = 12, RP_STATE = 13, RP_MOVED = 20, RP_SENSE = 24, RP_TAG = 32, RP_IO_LEN = 36 };
enum { STATE_SENSE = 1, STATE_NO_STATUS = 4, STATE_TERMINATED = 8 };
/* Elements of a list: flags are the upper byte. */
enum { SGE_END = 0x01, SGE_64 = 0x02, SGE_TYPE = 0x30, SGE_SIMPLE = 0x10, SGE_LAST = 0x80 };
#define SGES_MAX 4096

/* Task management */
enum { TM_TYPE = 5, TM_LUN = 12, TM_CONTEXT = 48, TM_RP_CODE = 4, TM_RP_COUNT = 20,
       TM_RP_LEN = 24 };
enum { TM_ABORT_TASK = 1, TM_ABORT_SET, TM_TARGET_RESET, TM_BUS_RESET, TM_LUN_RESET,
       TM_CLEAR_SET };
enum { TM_COMPLETE = 0, TM_NOT_SUPPORTED = 4 };

/* --- requests ---------------------------------------------------------------------- */

static void req_link(struct mpt_req **list, struct mpt_req *q)
{
	q->next = *list;
	q->prev = list;
	if (*list)
		(*list)->prev = &q->next;
	*list = q;
}

static void req_unlink(struct mpt_req *q)
{
	*q->prev = q->next;
	if (q->next)
		q->next->prev = q->prev;
}

static struct mpt_req *req_get(struct mpt *m)
{
	struct mpt_req *q = m->spare;

	if (m->active == MPT_ACTIVE_MAX)
		return NULL;
	if (q)
		req_unlink(q);
	else if (!(q = calloc(1, sizeof(*q))))
		return NULL;
	q->m = m;
	req_link(&m->active_first, q);
	m->active++;
	return q;
}

static void req_put(struct mpt_req *q)
{
	struct mpt *m = q->m;

	req_unlink(q);
	req_link(&m->spare, q);
	m->active--;
}

void mpt_io_free(struct mpt *m)
{
	struct mpt_req *lists[] = { m->active_first, m->spare };

	for (unsigned i = 0; i < 2; i++)
		while (lists[i]) {
			struct mpt_req *next = lists[i]->next;

			sg_free(&lists[i]->s.data);
			free(lists[i]);
			lists[i] = next;
		}
}

/* --- the list of pieces -------------------------------------------------------------- */

/*
 * Follow a list that begins at gpa.  Segments end with a chain element at chain (bytes
 * from the segment's start, 0: it is the last one).  Returns 0 or -errno.
 */
static int list_add(struct mpt *m, struct sg *sg, uint64_t gpa, uint32_t at, uint32_t chain,
		    bool writable)
{
	uint8_t e[12];

	for (unsigned i = 0; i < SGES_MAX; i++) {
		uint32_t fl;
		uint8_t flags;
		uint64_t addr;
		int rc;

		if (!mem_read(m->vm->mem, gpa + at, e, sizeof(e)))
			return -EFAULT;
		fl = le32_get(e);
		flags = (uint8_t)(fl >> 24);
		addr = flags & SGE_64 ? le64_get(e + 4) : le32_get(e + 4);
		if (chain && at >= chain) {
			if ((flags & SGE_TYPE) != SGE_TYPE)
				return -EINVAL;
			chain = (fl >> 16 & 0xff) * 4;
			gpa = addr;
			at = 0;
			continue;
		}
		if ((flags & SGE_TYPE) != SGE_SIMPLE)
			return -EINVAL;
		rc = sg_add(sg, addr, fl & 0xffffff, writable);
		if (rc)
			return rc;
		if (flags & SGE_END || (flags & SGE_LAST && !chain))
			return 0;
		at += flags & SGE_64 ? 12 : 8;
		if (flags & SGE_LAST)
			at = chain;
	}
	return -E2BIG;
}

/* --- completion ------------------------------------------------------------------------ */

static uint16_t io_status(const struct mpt_req *q)
{
	if (q->s.status == SCSI_TASK_ABORTED)
		return MPT_TERMINATED;
	if (q->s.overrun)
		return MPT_OVERRUN;
	return q->s.moved < q->data_len ? MPT_UNDERRUN : MPT_OK;
}

static void answer_io(struct mpt *m, const uint8_t *head, uint16_t status, const struct mpt_req *q,
		      unsigned sense)
{
	uint8_t rp[RP_IO_LEN];

	mpt_reply_init(rp, head, sizeof(rp), status);
	le16_put(rp + RP_TAG, 0xffff);
	if (!q) {
		rp[RP_STATE] = STATE_NO_STATUS;
	} else if (status == MPT_TERMINATED) {
		rp[RP_STATE] = STATE_NO_STATUS | STATE_TERMINATED;
	} else {
		rp[RP_STATUS] = q->s.status;
		rp[RP_STATE] = sense ? STATE_SENSE : 0;
		le32_put(rp + RP_MOVED, (uint32_t)q->s.moved);
		le32_put(rp + RP_SENSE, sense);
	}
	mpt_answer(m, rp, sizeof(rp));
}

static void io_done(struct scsi_req *s)
{
	struct mpt_req *q = (struct mpt_req *)s;
	struct mpt *m = q->m;
	unsigned sense = s->sense_len < q->sense_len ? s->sense_len : q->sense_len;
	uint16_t status = io_status(q);

	if (m->state == MPT_OPERATIONAL) {
		if (sense)
			mem_write(m->vm->mem, q->sense_addr, s->sense, sense);
		if (status == MPT_OK && s->status == SCSI_GOOD)
			mpt_answer_context(m, q->context);
		else
			answer_io(m, q->head, status, q, sense);
	}
	req_put(q);
}

/* --- start ---------------------------------------------------------------------------------- */

static int map_data(struct mpt *m, struct mpt_req *q, const uint8_t *rq, uint64_t gpa)
{
	int rc;

	sg_clear(&q->s.data, m->vm->mem);
	if (!q->data_len || q->s.dir == SCSI_DIR_NONE)
		return 0;
	rc = list_add(m, &q->s.data, gpa, IO_SGL, rq[MSG_CHAIN] * 4u, q->s.dir != SCSI_DIR_OUT);
	sg_trim(&q->s.data, q->data_len);
	return rc;
}

static void fill(struct mpt *m, struct mpt_req *q, const uint8_t *rq)
{
	static const enum scsi_dir dirs[] = { SCSI_DIR_NONE, SCSI_DIR_OUT, SCSI_DIR_IN,
					      SCSI_DIR_ANY };
	static const enum scsi_attr attrs[8] = { [1] = SCSI_HEAD_OF_QUEUE, [2] = SCSI_ORDERED };
	uint32_t control = le32_get(rq + IO_CONTROL);
	unsigned len = rq[IO_CDB_LEN] < SCSI_CDB_MAX ? rq[IO_CDB_LEN] : SCSI_CDB_MAX;

	q->context = le32_get(rq + MSG_CONTEXT);
	q->data_len = le32_get(rq + IO_LENGTH);
	q->sense_addr = (uint64_t)m->sense_high << 32 | le32_get(rq + IO_SENSE);
	q->sense_len = rq[IO_SENSE_LEN];
	memcpy(q->head, rq, sizeof(q->head));
	q->s.lun = scsi_lun(rq + IO_LUN);
	q->s.attr = attrs[control >> 8 & 7];
	q->s.dir = rq[MSG_FLAGS] & IO_BY_COMMAND ? SCSI_DIR_ANY : dirs[control >> 24 & 3];
	q->s.initiator = SCSI_ADAPTER_ID;
	q->s.done = io_done;
	memset(q->s.cdb, 0, SCSI_CDB_MAX);
	memcpy(q->s.cdb, rq + IO_CDB, len);
}

void mpt_io(struct mpt *m, const uint8_t *rq, uint64_t gpa)
{
	struct scsi_dev *t = scsi_bus_target(&m->bus, rq[IO_TARGET]);
	struct mpt_req *q;

	if (rq[IO_BUS] || !t) {
		answer_io(m, rq, rq[IO_BUS] ? MPT_BAD_BUS : MPT_NO_DEVICE, NULL, 0);
		return;
	}
	q = req_get(m);
	if (!q) {
		answer_io(m, rq, MPT_NO_RESOURCES, NULL, 0);
		return;
	}
	fill(m, q, rq);
	if (map_data(m, q, rq, gpa)) {
		answer_io(m, rq, MPT_BAD_SGL, NULL, 0);
		req_put(q);
		return;
	}
	scsi_start(t, &q->s);
}

/* --- task management -------------------------------------------------------------------------- */

/* What is under way is waited for: so much of it as was not begun is aborted. */
static void abort_task(struct mpt *m, struct scsi_dev *t, uint32_t context)
{
	for (struct mpt_req *q = m->active_first; q; q = q->next)
		if (q->context == context && q->s.dev == t) {
			if (!scsi_abort(t, &q->s))
				scsi_drain(t);
			return;
		}
}

unsigned mpt_task_mgmt(struct mpt *m, const uint8_t *rq, uint8_t *rp)
{
	struct scsi_dev *t = rq[IO_BUS] ? NULL : scsi_bus_target(&m->bus, rq[IO_TARGET]);
	unsigned before = m->active;

	mpt_reply_init(rp, rq, TM_RP_LEN, MPT_OK);
	rp[TM_RP_CODE] = TM_COMPLETE;
	switch (rq[TM_TYPE]) {
	case TM_ABORT_TASK:
		if (t)
			abort_task(m, t, le32_get(rq + TM_CONTEXT));
		break;
	case TM_ABORT_SET:
	case TM_CLEAR_SET:
		if (t)
			scsi_drain(t);
		break;
	case TM_TARGET_RESET:
	case TM_LUN_RESET:
		if (t)
			scsi_reset(t, SCSI_TARGET_RESET);
		break;
	case TM_BUS_RESET:
		scsi_bus_reset(&m->bus, SCSI_BUS_RESET);
		return TM_RP_LEN;
	default:
		rp[TM_RP_CODE] = TM_NOT_SUPPORTED;
		return TM_RP_LEN;
	}
	if (!t)
		le16_put(rp + MSG_STATUS, MPT_NO_DEVICE);
	le32_put(rp + TM_RP_COUNT, before - m->active);
	return TM_RP_LEN;
}
