/*
 * Targets whose commands go to a SCSI disk of the host: RDMs in physical mode.
 *
 * A command's data lie in a buffer of our own while the host has it (struct pass), so that
 * the guest need not wait for what it aborts: its request ends at once, and what comes of
 * the command is thrown away (a stray).  It may still change the medium, so nothing that
 * the guest sends afterwards runs before all strays have ended:
 *
 *	WRITE to LBA 5 hangs; the guest aborts it -> TASK ABORTED, one stray
 *	WRITE to LBA 5 again                      -> held
 *	the stray ends                            -> the second one runs
 *
 * A reset of the bus does that to all commands.  The device itself is reset only if there
 * were some, or the guest had reserved it by RESERVE: other hosts may use it.
 *
 * What is passed is what the tables below name: commands that stay within the logical unit.
 * Not there, so that the guest is told that there are no such commands: EXTENDED COPY (which
 * has the device read others), WRITE BUFFER (firmware), LOG SELECT, SET TARGET PORT GROUPS
 * and the like, SECURITY PROTOCOL, ATA PASS-THROUGH, vendors' own.  REPORT LUNS is answered
 * here: the guest has the one unit, whatever else is behind the port.
 */
#include <stdlib.h>

#include "dev/scsi_impl.h"
#include "dev/sgio.h"

enum { TIMEOUT_S = 60, TIMEOUT_LONG_S = 24 * 3600 };
enum { OP_REQUEST_SENSE = 0x03, OP_INQUIRY = 0x12, OP_RESERVE = 0x16, OP_RELEASE = 0x17,
       OP_RESERVE_10 = 0x56, OP_RELEASE_10 = 0x57 };

struct pass {
	struct blk_req io;
	struct scsi_dev *d;
	struct scsi_req *r;	/* NULL: a stray */
	struct sgio_cmd c;
	struct pass *next, **prev;
	uint8_t data[];
};

static void unlink_pass(struct pass *p)
{
	*p->prev = p->next;
	if (p->next)
		p->next->prev = p->prev;
}

/* --- the end of a command -------------------------------------------------------------- */

/* The guest's view of INQUIRY data: no longer transfers than the host's adapter can do, and
 * no third-party copies. */
static void amend_inquiry(const struct scsi_dev *d, struct pass *p)
{
	uint32_t most = blk_command_max(d->blk) / 512;
	uint8_t *b = p->data;
	bool vpd = p->c.cdb[1] & 1;

	if (!vpd && p->c.moved > 5)
		b[5] &= (uint8_t)~0x08;		/* 3PC */
	if (!vpd || p->c.cdb[2] != 0xb0 || p->c.moved < 16)
		return;
	for (unsigned at = 8; at < 16; at += 4)	/* maximum, optimal transfer length */
		if (be32_get(b + at) > most || (at == 8 && !be32_get(b + at)))
			be32_put(b + at, most);
}

static void note_reservation(struct scsi_dev *d, const struct sgio_cmd *c)
{
	if (c->cdb[0] == OP_RESERVE || c->cdb[0] == OP_RESERVE_10)
		d->host_reserved = true;
	else if (c->cdb[0] == OP_RELEASE || c->cdb[0] == OP_RELEASE_10)
		d->host_reserved = false;
}

static void answered(struct scsi_req *r, struct pass *p)
{
	const struct sgio_cmd *c = &p->c;

	if (c->status == SCSI_GOOD)
		note_reservation(r->dev, c);
	if (c->cdb[0] == OP_INQUIRY)
		amend_inquiry(r->dev, p);
	if (c->dir == SGIO_IN)
		sg_put(&r->data, 0, p->data, c->moved);
	r->moved = c->moved;
	r->sense_len = c->sense_len < SCSI_SENSE_MAX ? c->sense_len : SCSI_SENSE_MAX;
	memcpy(r->sense, c->sense, r->sense_len);
	scsi_done(r, c->status);
}

static void pass_done(struct blk_req *io)
{
	struct pass *p = io->ptr;
	struct scsi_dev *d = p->d;
	struct scsi_req *r = p->r;

	unlink_pass(p);
	if (!r) {
		d->resetting &= !p->c.reset;
		free(p);
		d->strays--;
		scsi_go_on(d);
		return;
	}
	switch (p->c.end) {
	case SGIO_DONE:
		answered(r, p);
		break;
	case SGIO_AGAIN:
		scsi_done(r, SCSI_BUSY);
		break;
	case SGIO_ABORTED:
		scsi_done(r, SCSI_TASK_ABORTED);
		break;
	case SGIO_GONE:
		scsi_fail(r, SENSE_NO_ANSWER);
		break;
	case SGIO_BROKEN:
		scsi_fail(r, SENSE_TARGET_FAILURE);
		break;
	case SGIO_REFUSED:
		scsi_fail(r, SENSE_OPCODE);
		break;
	case SGIO_TOO_LONG:
		scsi_fail(r, SENSE_CDB_FIELD);
		break;
	}
	free(p);
}

/* --- its beginning ----------------------------------------------------------------------- */

static void submit(struct scsi_dev *d, struct pass *p)
{
	p->d = d;
	p->io = (struct blk_req){ .op = BLK_COMMAND, .command = &p->c, .done = pass_done,
				  .ptr = p };
	p->next = d->passed;
	p->prev = &d->passed;
	if (p->next)
		p->next->prev = &p->next;
	d->passed = p;
	blk_submit(d->blk, &p->io);
}

static void pass(struct scsi_dev *d, struct scsi_req *r, enum sgio_dir dir, unsigned timeout_s)
{
	enum scsi_dir wrong = dir == SGIO_IN ? SCSI_DIR_OUT : SCSI_DIR_IN;
	bool moves = dir != SGIO_NONE && r->dir != SCSI_DIR_NONE && r->dir != wrong;
	uint64_t len = moves ? r->room : 0;
	struct pass *p;

	if (len > blk_command_max(d->blk)) {
		scsi_fail(r, SENSE_CDB_FIELD);
		return;
	}
	p = calloc(1, sizeof(*p) + len);
	if (!p) {
		scsi_done(r, SCSI_BUSY);
		return;
	}
	p->r = r;
	p->c.cdb_len = scsi_cdb_length(r->cdb[0]);
	memcpy(p->c.cdb, r->cdb, p->c.cdb_len);
	p->c.dir = dir;
	p->c.data = p->data;
	p->c.len = (uint32_t)len;
	p->c.timeout_s = timeout_s;
	if (dir == SGIO_OUT)
		sg_get(&r->data, 0, p->data, len);
	submit(d, p);
}

static void pass_none(struct scsi_dev *d, struct scsi_req *r)
{
	pass(d, r, SGIO_NONE, TIMEOUT_S);
}

static void pass_none_long(struct scsi_dev *d, struct scsi_req *r)
{
	pass(d, r, SGIO_NONE, TIMEOUT_LONG_S);
}

static void pass_in(struct scsi_dev *d, struct scsi_req *r)
{
	pass(d, r, SGIO_IN, TIMEOUT_S);
}

static void pass_out(struct scsi_dev *d, struct scsi_req *r)
{
	pass(d, r, SGIO_OUT, TIMEOUT_S);
}

static void pass_out_long(struct scsi_dev *d, struct scsi_req *r)
{
	pass(d, r, SGIO_OUT, TIMEOUT_LONG_S);
}

static void pass_inquiry(struct scsi_dev *d, struct scsi_req *r)
{
	if (r->lun)
		scsi_inquiry(d, r);
	else
		pass_in(d, r);
}

static void pass_request_sense(struct scsi_dev *d, struct scsi_req *r)
{
	if (r->lun || d->attention[r->initiator % SCSI_INITIATORS])
		scsi_request_sense(d, r);
	else
		pass_in(d, r);
}

/* --- aborts and resets -------------------------------------------------------------------- */

static void abandon(struct pass *p)
{
	struct scsi_req *r = p->r;

	p->r = NULL;
	p->d->strays++;
	r->aborted = true;
	scsi_done(r, SCSI_TASK_ABORTED);
}

bool scsi_pass_abort(struct scsi_dev *d, struct scsi_req *r)
{
	for (struct pass *p = d->passed; p; p = p->next)
		if (p->r == r) {
			abandon(p);
			return true;
		}
	return false;
}

static struct pass *find_live(const struct scsi_dev *d)
{
	for (struct pass *p = d->passed; p; p = p->next)
		if (p->r)
			return p;
	return NULL;
}

void scsi_pass_drain(struct scsi_dev *d)
{
	struct pass *p;

	/* done() may lead to whatever the adapter does then. */
	while ((p = find_live(d)))
		abandon(p);
}

void scsi_pass_reset(struct scsi_dev *d)
{
	struct pass *p;

	if (d->resetting || (!d->strays && !d->host_reserved))
		return;
	p = calloc(1, sizeof(*p));
	if (!p)
		return;		/* the strays end all the same, later */
	p->c.reset = d->resetting = true;
	d->host_reserved = false;
	d->strays++;
	submit(d, p);
}

/* A guest that is no more reserves nothing. */
static void release(struct scsi_dev *d)
{
	struct pass *p = d->host_reserved ? calloc(1, sizeof(*p)) : NULL;

	if (!p)
		return;
	d->host_reserved = false;
	p->c.cdb[0] = OP_RELEASE;
	p->c.cdb_len = 6;
	p->c.timeout_s = TIMEOUT_S;
	d->strays++;
	submit(d, p);
}

void scsi_pass_close(struct scsi_dev *d)
{
	scsi_pass_reset(d);
	release(d);
}

/* --- what is passed ------------------------------------------------------------------------ */

#define ANY { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, \
	      0xff, 0xff }
#define ROW(op, run) { op, 0, CMD_FREE, run, ANY }
#define ROW_SA(op, sa, run) { op, sa, CMD_SA | CMD_FREE, run, ANY }

static const struct scsi_cmd pass_cmds[] = {
	ROW(0x00, pass_none),		/* TEST UNIT READY */
	{ 0x03, 0, CMD_ALWAYS | CMD_FREE, pass_request_sense, ANY },
	ROW(0x04, pass_out_long),	/* FORMAT UNIT */
	ROW(0x07, pass_out_long),	/* REASSIGN BLOCKS */
	ROW(0x08, pass_in),		/* READ */
	ROW(0x0a, pass_out),		/* WRITE */
	{ 0x12, 0, CMD_ALWAYS | CMD_FREE, pass_inquiry, ANY },
	ROW(0x15, pass_out),		/* MODE SELECT */
	ROW(0x16, pass_none),		/* RESERVE */
	ROW(0x17, pass_none),		/* RELEASE */
	ROW(0x1a, pass_in),		/* MODE SENSE */
	ROW(0x1b, pass_none_long),	/* START STOP UNIT */
	ROW(0x1c, pass_in),		/* RECEIVE DIAGNOSTIC RESULTS */
	ROW(0x1d, pass_out_long),	/* SEND DIAGNOSTIC */
	ROW(0x1e, pass_none),		/* PREVENT ALLOW MEDIUM REMOVAL */
	ROW(0x25, pass_in),		/* READ CAPACITY */
	ROW(0x28, pass_in), ROW(0x2a, pass_out),
	ROW(0x2b, pass_none),		/* SEEK */
	ROW(0x2e, pass_out),		/* WRITE AND VERIFY */
	ROW(0x2f, pass_out_long),	/* VERIFY */
	ROW(0x34, pass_none),		/* PRE-FETCH */
	ROW(0x35, pass_none_long),	/* SYNCHRONIZE CACHE */
	ROW(0x37, pass_in),		/* READ DEFECT DATA */
	ROW(0x41, pass_out_long),	/* WRITE SAME */
	ROW(0x42, pass_out_long),	/* UNMAP */
	ROW(0x48, pass_out_long),	/* SANITIZE */
	ROW(0x4d, pass_in),		/* LOG SENSE */
	ROW(0x55, pass_out), ROW(0x56, pass_out), ROW(0x57, pass_out),
	ROW(0x5a, pass_in),
	ROW(0x5e, pass_in),		/* PERSISTENT RESERVE IN, OUT */
	ROW(0x5f, pass_out),
	ROW(0x88, pass_in),
	ROW(0x89, pass_out),		/* COMPARE AND WRITE */
	ROW(0x8a, pass_out), ROW(0x8e, pass_out), ROW(0x8f, pass_out_long),
	ROW(0x90, pass_none), ROW(0x91, pass_none_long), ROW(0x93, pass_out_long),
	ROW_SA(0x9e, 0x10, pass_in),	/* READ CAPACITY */
	ROW_SA(0x9e, 0x12, pass_in),	/* GET LBA STATUS */
	{ 0xa0, 0, CMD_ALWAYS | CMD_FREE, scsi_report_luns, ANY },
	ROW_SA(0xa3, 0x05, pass_in),	/* REPORT IDENTIFYING INFORMATION */
	ROW_SA(0xa3, 0x0a, pass_in),	/* REPORT TARGET PORT GROUPS */
	ROW_SA(0xa3, 0x0c, pass_in),	/* REPORT SUPPORTED OPERATION CODES */
	ROW_SA(0xa3, 0x0d, pass_in),	/* REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS */
	ROW_SA(0xa3, 0x0f, pass_in),	/* REPORT TIMESTAMP */
	ROW(0xa8, pass_in), ROW(0xaa, pass_out), ROW(0xae, pass_out), ROW(0xaf, pass_out_long),
};

struct scsi_dev *scsi_pass_new(struct vm *vm, struct blk *b, const struct scsi_params *p,
			       struct err *e)
{
	static const struct scsi_params none = { .vendor = "", .product = "", .revision = "" };
	struct scsi_dev *d = scsi_new(vm, b, p, &none, e);

	if (!d)
		return NULL;
	d->pass = true;
	d->depth = BLK_THREADS - 1;	/* one is for a reset */
	d->cmds = pass_cmds;
	d->ncmds = sizeof(pass_cmds) / sizeof(pass_cmds[0]);
	d->block = BLK_SECTOR;
	return d;
}
