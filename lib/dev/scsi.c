/*
 * SCSI targets: requests, their order, sense data.
 *
 * A command runs when it comes, beside others, unless it, or one that runs, has to be
 * alone (an ordered task, COMPARE AND WRITE): then it is held, and those behind it.
 */
#include "dev/scsi_impl.h"

#include <errno.h>
#include <stdlib.h>

/* --- sense data -------------------------------------------------------------------- */

/* SPC-4, 4.5.2 and 4.5.3.  info: LBA; specific: 3 bytes of sense key specific data. */
unsigned scsi_sense_build(uint8_t *buf, bool descriptor, uint32_t sense, const uint64_t *info,
			  const uint8_t *specific)
{
	unsigned len = 8;

	memset(buf, 0, SCSI_SENSE_MAX);
	if (!descriptor) {
		buf[0] = 0x70;
		buf[2] = (uint8_t)(sense >> 16);
		buf[7] = 10;
		buf[12] = (uint8_t)(sense >> 8);
		buf[13] = (uint8_t)sense;
		if (info && *info <= UINT32_MAX) {
			buf[0] |= 0x80;
			be32_put(buf + 3, (uint32_t)*info);
		}
		if (specific)
			memcpy(buf + 15, specific, 3);
		return 18;
	}
	buf[0] = 0x72;
	buf[1] = (uint8_t)(sense >> 16);
	buf[2] = (uint8_t)(sense >> 8);
	buf[3] = (uint8_t)sense;
	if (info) {
		buf[len + 1] = 10;
		buf[len + 2] = 0x80;
		be64_put(buf + len + 4, *info);
		len += 12;
	}
	if (specific) {
		buf[len] = 2;
		buf[len + 1] = 6;
		memcpy(buf + len + 4, specific, 3);
		len += 8;
	}
	buf[7] = (uint8_t)(len - 8);
	return len;
}

static void fail(struct scsi_req *r, uint32_t sense, const uint64_t *info,
		 const uint8_t *specific)
{
	r->sense_len = scsi_sense_build(r->sense, r->dev->d_sense, sense, info, specific);
	if (r->dev->keep_sense)
		r->dev->last_sense = sense;
	scsi_done(r, SCSI_CHECK_CONDITION);
}

void scsi_fail(struct scsi_req *r, uint32_t sense)
{
	fail(r, sense, NULL, NULL);
}

void scsi_fail_info(struct scsi_req *r, uint32_t sense, uint64_t info)
{
	fail(r, sense, &info, NULL);
}

/* SKSV, C/D and the byte: SPC-4, 4.5.2.4.2. */
void scsi_fail_cdb(struct scsi_req *r, unsigned byte)
{
	const uint8_t specific[3] = { 0xc0, 0, (uint8_t)byte };

	fail(r, SENSE_CDB_FIELD, NULL, specific);
}

void scsi_fail_param(struct scsi_req *r, unsigned byte)
{
	const uint8_t specific[3] = { 0x80, (uint8_t)(byte >> 8), (uint8_t)byte };

	fail(r, SENSE_PARAM_FIELD, NULL, specific);
}

void scsi_fail_errno(struct scsi_req *r, int rc, uint64_t lba)
{
	switch (rc) {
	case -ENOSPC:
	case -EDQUOT:
		scsi_fail_info(r, SENSE_NO_SPACE, lba);
		break;
	case -EROFS:
		scsi_fail(r, SENSE_WRITE_PROTECTED);
		break;
	case -ENOMEM:
		scsi_fail(r, SENSE_TARGET_FAILURE);
		break;
	default:
		scsi_fail_info(r, r->io.op == BLK_READ || r->io.op == BLK_MAP ?
			       SENSE_READ_ERROR : SENSE_WRITE_ERROR, lba);
	}
}

void scsi_attention(struct scsi_dev *d, uint32_t sense, int but)
{
	for (int i = 0; i < SCSI_INITIATORS; i++)
		if (i != but)
			d->attention[i] = sense;
}

/* --- data ------------------------------------------------------------------------------ */

void scsi_reply(struct scsi_req *r, const void *buf, uint64_t len, uint64_t allowed)
{
	uint64_t n = len < allowed ? len : allowed;

	if (r->dir == SCSI_DIR_NONE || r->dir == SCSI_DIR_OUT)
		r->room = 0;
	r->overrun = n > r->room;
	n = n < r->room ? n : r->room;
	r->moved = sg_put(&r->data, 0, buf, n);
	scsi_good(r);
}

bool scsi_fetch(struct scsi_req *r, void *buf, uint64_t len)
{
	if (r->dir == SCSI_DIR_NONE || r->dir == SCSI_DIR_IN)
		r->room = 0;
	if (len > r->room) {
		r->overrun = true;
		scsi_fail(r, SENSE_PARAM_LENGTH);
		return false;
	}
	r->moved = sg_get(&r->data, 0, buf, len);
	return true;
}

static void io_done(struct blk_req *io)
{
	struct scsi_req *r = io->ptr;

	r->step(r);
}

void scsi_io(struct scsi_req *r, enum blk_op op, uint64_t off, uint64_t len,
	     const struct iovec *iov, int niov, void (*step)(struct scsi_req *r))
{
	r->step = step;
	r->io = (struct blk_req){ .op = op, .off = off, .len = len, .iov = iov, .niov = niov,
				  .fua = r->fua || r->dev->no_wce, .done = io_done, .ptr = r };
	blk_submit(r->dev->blk, &r->io);
}

void scsi_io_ended(struct scsi_req *r)
{
	if (r->io.rc)
		scsi_fail_errno(r, r->io.rc, r->io.off / r->dev->block);
	else
		scsi_good(r);
}

/* --- running commands -------------------------------------------------------------------- */

static const struct scsi_cmd *find(const struct scsi_dev *d, const uint8_t *cdb)
{
	for (unsigned i = 0; i < d->ncmds; i++) {
		const struct scsi_cmd *c = &d->cmds[i];

		if (c->op == cdb[0] && (!(c->flags & CMD_SA) || c->sa == (cdb[1] & 0x1f)))
			return scsi_has(d, c) ? c : NULL;
	}
	return NULL;
}

static bool has_service_actions(const struct scsi_dev *d, uint8_t op)
{
	for (unsigned i = 0; i < d->ncmds; i++)
		if (d->cmds[i].op == op && d->cmds[i].flags & CMD_SA)
			return true;
	return false;
}

/* Which byte of the CDB has a bit that means nothing?  0: none. */
static unsigned bad_byte(const struct scsi_cmd *c, const uint8_t *cdb)
{
	for (unsigned i = 1; i < SCSI_CDB_MAX; i++)
		if (cdb[i] & ~c->usage[i - 1])
			return i;
	return 0;
}

static void run(struct scsi_dev *d, struct scsi_req *r)
{
	const struct scsi_cmd *c = r->cmd;
	uint32_t *attention = &d->attention[r->initiator % SCSI_INITIATORS], tell = *attention;
	unsigned byte;

	d->active++;
	d->alone |= r->exclusive;
	if (d->keep_sense && r->cdb[0] != 0x03)
		d->last_sense = 0;
	if (r->lun && (!c || !(c->flags & CMD_ALWAYS))) {
		scsi_fail(r, SENSE_LUN);
	} else if (!r->lun && tell && !(c && c->flags & CMD_ALWAYS)) {
		*attention = 0;
		scsi_fail(r, tell);
	} else if (!c && has_service_actions(d, r->cdb[0])) {
		scsi_fail_cdb(r, 1);
	} else if (!c) {
		scsi_fail(r, SENSE_OPCODE);
	} else if (!scsi_pr_allows(d, r)) {
		scsi_done(r, SCSI_RESERVATION_CONFLICT);
	} else if ((byte = bad_byte(c, r->cdb))) {
		scsi_fail_cdb(r, byte);
	} else if (c->flags & CMD_MEDIUM && (d->stopped || !d->blk)) {
		scsi_fail(r, !d->cd ? SENSE_STOPPED :
			     d->stopped ? SENSE_TRAY_OPEN : SENSE_NO_MEDIUM);
	} else {
		c->run(d, r);
	}
}

/* Is it r's turn?  The head of the queue passes what waits, but not what runs alone. */
static bool may_run(const struct scsi_dev *d, const struct scsi_req *r)
{
	if (d->strays || (d->depth && d->active >= d->depth))
		return false;
	return !d->alone && !(r->exclusive && d->active);
}

static void hold(struct scsi_dev *d, struct scsi_req *r)
{
	struct scsi_req **at = r->attr == SCSI_HEAD_OF_QUEUE ? &d->held : d->held_last;

	r->next = *at;
	*at = r;
	if (!r->next)
		d->held_last = &r->next;
}

void scsi_go_on(struct scsi_dev *d)
{
	struct scsi_req *r;

	if (d->releasing)
		return;
	d->releasing = true;
	while ((r = d->held) && may_run(d, r)) {
		d->held = r->next;
		if (!d->held)
			d->held_last = &d->held;
		run(d, r);
	}
	d->releasing = false;
	if (d->gone && !d->active && !d->strays && !d->held) {
		void (*gone)(void *ptr) = d->gone;

		d->gone = NULL;
		gone(d->gone_ptr);
	}
}

void scsi_start(struct scsi_dev *d, struct scsi_req *r)
{
	r->dev = d;
	r->cmd = find(d, r->cdb);
	r->exclusive = r->attr == SCSI_ORDERED || (r->cmd && r->cmd->flags & CMD_ALONE);
	r->sense_len = 0;
	r->moved = 0;
	r->room = r->data.len;
	r->overrun = r->aborted = r->fua = false;
	r->buf = NULL;
	if (may_run(d, r) && (!d->held || r->attr == SCSI_HEAD_OF_QUEUE))
		run(d, r);
	else
		hold(d, r);
}

void scsi_done(struct scsi_req *r, uint8_t status)
{
	struct scsi_dev *d = r->dev;

	free(r->buf);
	r->buf = NULL;
	r->status = status;
	d->active--;
	if (r->exclusive)
		d->alone = false;
	r->done(r);
	scsi_go_on(d);
}

bool scsi_abort(struct scsi_dev *d, struct scsi_req *r)
{
	for (struct scsi_req **p = &d->held; *p; p = &(*p)->next) {
		if (*p != r)
			continue;
		*p = r->next;
		if (!*p)
			d->held_last = p;
		r->aborted = true;
		r->status = SCSI_TASK_ABORTED;
		r->done(r);
		return true;
	}
	if (d->pass)
		return scsi_pass_abort(d, r);
	r->aborted = true;	/* one in several steps ends at the next */
	return false;
}

/* But not those that the adapter starts when it hears of these. */
static void abort_held(struct scsi_dev *d)
{
	unsigned n = 0;

	for (const struct scsi_req *r = d->held; r; r = r->next)
		n++;
	while (d->held && n--)
		scsi_abort(d, d->held);
}

void scsi_drain(struct scsi_dev *d)
{
	abort_held(d);
	if (d->pass)
		scsi_pass_drain(d);
	else if (d->blk)
		blk_drain(d->blk);
}

void scsi_reset(struct scsi_dev *d, enum scsi_reset how)
{
	static const uint32_t sense[] = {
		[SCSI_POWER_ON] = SENSE_POWER_ON, [SCSI_BUS_RESET] = SENSE_BUS_RESET,
		[SCSI_TARGET_RESET] = SENSE_TARGET_RESET };

	scsi_drain(d);
	if (d->pass)
		scsi_pass_reset(d);
	d->d_sense = d->no_wce = false;
	d->last_sense = 0;
	d->locked = false;
	if (how == SCSI_POWER_ON) {
		d->stopped = false;
		d->event = 0;
	}
	scsi_pr_reset(d);
	scsi_attention(d, sense[how], -1);
}

/* --- making ---------------------------------------------------------------------------------- */

/* ASCII fields are padded with blanks. */
static void field(char *to, size_t len, const char *given, const char *usual)
{
	const char *s = given ? given : usual;

	memset(to, ' ', len);
	memcpy(to, s, strnlen(s, len));
}

/* NAA 6 with VMware's company identifier, and the disk's own bits.  SPC-4, 7.8.6.6.5. */
static void identify(struct scsi_dev *d, struct blk *b)
{
	static const char hex[] = "0123456789abcdef";
	static const uint8_t none[16];
	const uint8_t *id = b ? blk_uuid(b) : none;

	memcpy(d->naa, id, sizeof(d->naa));
	d->naa[0] = 0x60;
	d->naa[1] = 0x00;
	d->naa[2] = 0xc2;
	d->naa[3] = 0x90 | (d->naa[3] & 0x0f);
	for (unsigned i = 0; i < sizeof(d->naa); i++) {
		d->serial[2 * i] = hex[d->naa[i] >> 4];
		d->serial[2 * i + 1] = hex[d->naa[i] & 15];
	}
}

struct scsi_dev *scsi_new(struct vm *vm, struct blk *b, const struct scsi_params *p,
			  const struct scsi_params *usual, struct err *e)
{
	static const struct scsi_params none;
	struct scsi_dev *d = calloc(1, sizeof(*d));

	if (!d) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	p = p ? p : &none;
	d->vm = vm;
	d->blk = b;
	d->held_last = &d->held;
	d->reserved_by = -1;
	d->keep_sense = p->keep_sense;
	field(d->vendor, sizeof(d->vendor), p->vendor, usual->vendor);
	field(d->product, sizeof(d->product), p->product, usual->product);
	field(d->revision, sizeof(d->revision), p->revision, usual->revision);
	identify(d, b);
	scsi_attention(d, SENSE_POWER_ON, -1);
	return d;
}

void scsi_retire(struct scsi_dev *d, void (*gone)(void *ptr), void *ptr)
{
	abort_held(d);
	if (d->pass) {
		scsi_pass_drain(d);
		scsi_pass_close(d);
	}
	d->gone = gone;
	d->gone_ptr = ptr;
	scsi_go_on(d);
}

struct blk *scsi_dissolve(struct scsi_dev *d)
{
	struct blk *b = d->blk;

	if (b)
		blk_stop(b);
	free(d);
	return b;
}

void scsi_free(struct scsi_dev *d)
{
	if (!d)
		return;
	do
		scsi_drain(d);
	while (d->held);
	if (d->pass)
		scsi_pass_close(d);
	blk_free(d->blk);
	free(d);
}

bool scsi_is_cd(const struct scsi_dev *d)
{
	return d->cd;
}
