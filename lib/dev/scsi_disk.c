/* Disks: reading, writing, capacity.  SBC-3, chapter 5. */
#include "dev/scsi_impl.h"

#include <errno.h>
#include <stdlib.h>

#define FUA		0x08
#define VERIFY_CHUNK	(128u << 10)

bool scsi_range(struct scsi_req *r, uint64_t *lba, uint64_t *blocks)
{
	const uint8_t *c = r->cdb;
	uint64_t all = scsi_blocks(r->dev);
	unsigned length_at;

	switch (c[0] >> 5) {
	case 0:
		*lba = be24_get(c + 1) & 0x1fffff;
		*blocks = c[4] ? c[4] : 256;
		length_at = 4;
		break;
	case 4:
		*lba = be64_get(c + 2);
		*blocks = be32_get(c + 10);
		length_at = 10;
		break;
	case 5:
		*lba = be32_get(c + 2);
		*blocks = be32_get(c + 6);
		length_at = 6;
		break;
	default:
		*lba = be32_get(c + 2);
		*blocks = be16_get(c + 7);
		length_at = 7;
	}
	if (*lba > all || *blocks > all - *lba) {
		scsi_fail_info(r, SENSE_LBA_RANGE, *lba);
		return false;
	}
	if (*blocks * r->dev->block > SG_BYTES / 2 && r->cmd->flags & CMD_BOUNDED) {
		scsi_fail_cdb(r, length_at);
		return false;
	}
	return true;
}

/* How many bytes of want the adapter has room for, in whole blocks. */
static uint64_t clip(struct scsi_req *r, uint64_t want, enum scsi_dir wrong)
{
	if (r->dir == SCSI_DIR_NONE || r->dir == wrong)
		r->room = 0;
	if (want <= r->room)
		return want;
	r->overrun = true;
	return r->room - r->room % r->dev->block;
}

static uint64_t lba_of(const struct scsi_req *r)
{
	return r->io.off / r->dev->block;
}

static void read_done(struct scsi_req *r)
{
	sg_dirty(&r->data, r->io.len);	/* a part may have been written even if it failed */
	if (r->io.rc) {
		scsi_fail_errno(r, r->io.rc, lba_of(r));
		return;
	}
	r->moved = r->io.len;
	scsi_good(r);
}

void scsi_read(struct scsi_dev *d, struct scsi_req *r)
{
	uint64_t lba, blocks, n;

	if (!scsi_range(r, &lba, &blocks))
		return;
	n = clip(r, blocks * d->block, SCSI_DIR_OUT);
	sg_trim(&r->data, n);
	if (n)
		scsi_io(r, BLK_READ, lba * d->block, n, r->data.iov, (int)r->data.n, read_done);
	else
		scsi_good(r);
}

static void write_done(struct scsi_req *r)
{
	if (r->io.rc) {
		scsi_fail_errno(r, r->io.rc, lba_of(r));
		return;
	}
	r->moved = r->io.len;
	scsi_good(r);
}

/* WRITE, and WRITE AND VERIFY, whose data are durable when it ends. */
void scsi_write(struct scsi_dev *d, struct scsi_req *r)
{
	bool verify = (r->cdb[0] & 0x1f) == 0x0e;
	bool fua = verify || (r->cdb[0] >= 0x20 && r->cdb[1] & FUA);
	uint64_t lba, blocks, n;

	if (!scsi_range(r, &lba, &blocks))
		return;
	if (blk_readonly(d->blk)) {
		scsi_fail(r, SENSE_WRITE_PROTECTED);
		return;
	}
	n = clip(r, blocks * d->block, SCSI_DIR_IN);
	sg_trim(&r->data, n);
	if (!n) {
		scsi_good(r);
		return;
	}
	r->fua = fua;
	scsi_io(r, BLK_WRITE, lba * d->block, n, r->data.iov, (int)r->data.n, write_done);
}

/* All of the disk is made durable, whatever range is asked for. */
void scsi_flush(struct scsi_dev *d, struct scsi_req *r)
{
	uint64_t lba, blocks;

	if (scsi_range(r, &lba, &blocks))
		scsi_io(r, BLK_FLUSH, 0, 0, NULL, 0, scsi_io_ended);
}

static void seek(struct scsi_dev *d, struct scsi_req *r)
{
	uint64_t lba = be32_get(r->cdb + 2);

	if (lba >= scsi_blocks(d))
		scsi_fail_info(r, SENSE_LBA_RANGE, lba);
	else
		scsi_good(r);
}

/* PRE-FETCH: the page cache does as it thinks best. */
static void prefetch(struct scsi_dev *d, struct scsi_req *r)
{
	uint64_t lba, blocks;

	if (scsi_range(r, &lba, &blocks))
		scsi_good(r);
}

void scsi_capacity(struct scsi_dev *d, struct scsi_req *r)
{
	uint64_t blocks = scsi_blocks(d);
	uint8_t buf[32] = { 0 };

	if (r->cdb[0] == 0x9e) {
		be64_put(buf, blocks ? blocks - 1 : 0);
		be32_put(buf + 8, d->block);
		buf[14] = scsi_thin(d) ? 0xc0 : 0;	/* LBPME, LBPRZ */
		scsi_reply(r, buf, 32, be32_get(r->cdb + 10));
		return;
	}
	if (be32_get(r->cdb + 2)) {	/* PMI is gone */
		scsi_fail_cdb(r, 2);
		return;
	}
	be32_put(buf, blocks - 1 > UINT32_MAX ? UINT32_MAX : (uint32_t)(blocks - 1));
	be32_put(buf + 4, d->block);
	scsi_reply(r, buf, 8, 8);
}

/* --- VERIFY ------------------------------------------------------------------------------- */

/* Does what was read differ from what the guest sent?  The offset of it, or -1. */
static int64_t verify_compare(struct scsi_req *r)
{
	unsigned check = r->cdb[1] >> 1 & 3, block = r->dev->block;
	uint8_t *theirs = r->buf + VERIFY_CHUNK;
	uint64_t done = r->io.off - r->at;	/* at: where the range begins */

	if (!check)
		return -1;
	for (uint64_t o = 0; o < r->io.len; o += block) {
		sg_get(&r->data, check == 3 ? 0 : done + o, theirs, block);
		for (unsigned i = 0; i < block; i++)
			if (theirs[i] != r->buf[o + i])
				return (int64_t)(done + o + i);
	}
	return -1;
}

static void verify_next(struct scsi_req *r, uint64_t off);

static void verify_done(struct scsi_req *r)
{
	int64_t differs;

	if (r->io.rc) {
		scsi_fail_errno(r, r->io.rc, lba_of(r));
		return;
	}
	differs = verify_compare(r);
	if (differs >= 0) {
		scsi_fail_info(r, SENSE_MISCOMPARE, (uint64_t)differs);
		return;
	}
	verify_next(r, r->io.off + r->io.len);
}

static void verify_next(struct scsi_req *r, uint64_t off)
{
	uint64_t n = r->end - off;

	if (r->aborted) {
		scsi_done(r, SCSI_TASK_ABORTED);
		return;
	}
	if (!n) {
		scsi_good(r);
		return;
	}
	n = n < VERIFY_CHUNK ? n : VERIFY_CHUNK;
	r->one = (struct iovec){ r->buf, n };
	scsi_io(r, BLK_READ, off, n, &r->one, 1, verify_done);
}

/* All of it is read, and with BYTCHK compared with what the guest sends. */
void scsi_verify(struct scsi_dev *d, struct scsi_req *r)
{
	unsigned check = r->cdb[1] >> 1 & 3;
	uint64_t lba, blocks, sent;

	if (!scsi_range(r, &lba, &blocks))
		return;
	if (check == 2) {
		scsi_fail_cdb(r, 1);
		return;
	}
	sent = !blocks || !check ? 0 : check == 3 ? d->block : blocks * d->block;
	if (clip(r, sent, SCSI_DIR_IN) < sent) {
		scsi_fail(r, SENSE_PARAM_LENGTH);
		return;
	}
	r->moved = sent;
	r->buf = malloc(VERIFY_CHUNK + d->block);
	if (!r->buf) {
		scsi_fail_errno(r, -ENOMEM, 0);
		return;
	}
	r->at = lba * d->block;
	r->end = r->at + blocks * d->block;
	verify_next(r, r->at);
}

/* --- START STOP UNIT ------------------------------------------------------------------------ */

static void stop_done(struct scsi_req *r)
{
	if (!r->io.rc)
		r->dev->stopped = true;
	scsi_io_ended(r);
}

static void start_stop(struct scsi_dev *d, struct scsi_req *r)
{
	if (r->cdb[4] & 2) {	/* LOEJ: nothing to eject */
		scsi_fail_cdb(r, 4);
	} else if (r->cdb[4] >> 4) {
		scsi_good(r);	/* a power condition */
	} else if (r->cdb[4] & 1) {
		d->stopped = false;
		scsi_good(r);
	} else {
		scsi_io(r, BLK_FLUSH, 0, 0, NULL, 0, stop_done);
	}
}

/* The default self-test finds nothing. */
static void send_diagnostic(struct scsi_dev *d, struct scsi_req *r)
{
	if (!(r->cdb[1] & 4))
		scsi_fail_cdb(r, 1);
	else
		scsi_good(r);
}

#define MEDIUM_IN	(CMD_MEDIUM | CMD_BOUNDED)
#define MEDIUM_OUT	(CMD_MEDIUM | CMD_BOUNDED | CMD_WRITES)

/* Usage: service action fields are wholly set; of the CONTROL byte, nothing means
 * anything here but vendors' bits, which are ignored. */
static const struct scsi_cmd disk_cmds[] = {
	{ 0x00, 0, CMD_FREE | CMD_MEDIUM, scsi_test_unit_ready, { 0xe0, [4] = 0xc0 } },
	{ 0x03, 0, CMD_ALWAYS | CMD_FREE, scsi_request_sense,
	  { 0xe1, [3] = 0xff, [4] = 0xc0 } },
	{ 0x08, 0, MEDIUM_IN, scsi_read, { 0xff, 0xff, 0xff, 0xff, 0xc0 } },
	{ 0x0a, 0, MEDIUM_OUT, scsi_write, { 0xff, 0xff, 0xff, 0xff, 0xc0 } },
	{ 0x12, 0, CMD_ALWAYS | CMD_FREE, scsi_inquiry, { 0xe1, 0xff, 0xff, 0xff, 0xc0 } },
	{ 0x15, 0, CMD_WRITES, scsi_mode_select, { 0xf1, [3] = 0xff, [4] = 0xc0 } },
	{ 0x16, 0, 0, scsi_reserve, { 0xe0, [4] = 0xc0 } },
	{ 0x17, 0, CMD_FREE, scsi_release, { 0xe0, [4] = 0xc0 } },
	{ 0x1a, 0, 0, scsi_mode_sense, { 0xe8, 0xff, 0xff, 0xff, 0xc0 } },
	{ 0x1b, 0, CMD_FREE, start_stop, { 0xe1, 0, 0x0f, 0xf7, 0xc0 } },
	{ 0x1d, 0, CMD_WRITES, send_diagnostic, { 0x04, [4] = 0xc0 } },
	{ 0x25, 0, CMD_MEDIUM, scsi_capacity,
	  { 0xe1, 0xff, 0xff, 0xff, 0xff, [7] = 0x01, [8] = 0xc0 } },
	{ 0x28, 0, MEDIUM_IN, scsi_read,
	  { 0x1a, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0xc0 } },
	{ 0x2a, 0, MEDIUM_OUT, scsi_write,
	  { 0x1a, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0xc0 } },
	{ 0x2b, 0, CMD_MEDIUM, seek, { 0xe0, 0xff, 0xff, 0xff, 0xff, [8] = 0xc0 } },
	{ 0x2e, 0, MEDIUM_OUT, scsi_write,
	  { 0x16, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0xc0 } },
	{ 0x2f, 0, MEDIUM_IN, scsi_verify,
	  { 0x16, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0xc0 } },
	{ 0x34, 0, CMD_MEDIUM, prefetch,
	  { 0x02, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0xc0 } },
	{ 0x35, 0, CMD_MEDIUM, scsi_flush,
	  { 0x06, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0xc0 } },
	{ 0x41, 0, CMD_MEDIUM | CMD_WRITES, scsi_write_same,
	  { 0x08, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0xc0 } },
	{ 0x42, 0, CMD_MEDIUM | CMD_WRITES | CMD_THIN, scsi_unmap,
	  { 0, 0, 0, 0, 0, 0x3f, 0xff, 0xff, 0xc0 } },
	{ 0x55, 0, CMD_WRITES, scsi_mode_select, { 0x11, [6] = 0xff, 0xff, 0xc0 } },
	{ 0x5a, 0, 0, scsi_mode_sense, { 0x18, 0xff, 0xff, [6] = 0xff, 0xff, 0xc0 } },
	{ 0x5e, 0, CMD_SA | CMD_FREE, scsi_pr_in, { 0x1f, [6] = 0xff, 0xff, 0xc0 } },
	{ 0x5e, 1, CMD_SA | CMD_FREE, scsi_pr_in, { 0x1f, [6] = 0xff, 0xff, 0xc0 } },
	{ 0x5e, 2, CMD_SA | CMD_FREE, scsi_pr_in, { 0x1f, [6] = 0xff, 0xff, 0xc0 } },
	{ 0x5e, 3, CMD_SA | CMD_FREE, scsi_pr_in, { 0x1f, [6] = 0xff, 0xff, 0xc0 } },
#define PR_OUT(sa) \
	{ 0x5f, sa, CMD_SA | CMD_FREE, scsi_pr_out, \
	  { 0x1f, 0xff, [4] = 0xff, 0xff, 0xff, 0xff, 0xc0 } }
	PR_OUT(0), PR_OUT(1), PR_OUT(2), PR_OUT(3), PR_OUT(4), PR_OUT(5), PR_OUT(6),
	{ 0x88, 0, MEDIUM_IN, scsi_read,
	  { 0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f,
	    0xc0 } },
	{ 0x89, 0, CMD_MEDIUM | CMD_WRITES | CMD_ALONE, scsi_compare_write,
	  { 0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0xff, 0x3f,
	    0xc0 } },
	{ 0x8a, 0, MEDIUM_OUT, scsi_write,
	  { 0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f,
	    0xc0 } },
	{ 0x8e, 0, MEDIUM_OUT, scsi_write,
	  { 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f,
	    0xc0 } },
	{ 0x8f, 0, MEDIUM_IN, scsi_verify,
	  { 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f,
	    0xc0 } },
	{ 0x90, 0, CMD_MEDIUM, prefetch,
	  { 0x02, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f,
	    0xc0 } },
	{ 0x91, 0, CMD_MEDIUM, scsi_flush,
	  { 0x06, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f,
	    0xc0 } },
	{ 0x93, 0, CMD_MEDIUM | CMD_WRITES, scsi_write_same,
	  { 0x09, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f,
	    0xc0 } },
	{ 0x9e, 0x10, CMD_MEDIUM | CMD_SA, scsi_capacity,
	  { 0x1f, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0xc0 } },
	{ 0x9e, 0x12, CMD_MEDIUM | CMD_SA, scsi_lba_status,
	  { 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0,
	    0xc0 } },
	{ 0xa0, 0, CMD_ALWAYS | CMD_FREE, scsi_report_luns,
	  { 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0xc0 } },
	{ 0xa3, 0x0c, CMD_SA | CMD_FREE, scsi_opcodes,
	  { 0x1f, 0x87, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0xc0 } },
	{ 0xa8, 0, MEDIUM_IN, scsi_read,
	  { 0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xc0 } },
	{ 0xaa, 0, MEDIUM_OUT, scsi_write,
	  { 0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xc0 } },
	{ 0xae, 0, MEDIUM_OUT, scsi_write,
	  { 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xc0 } },
	{ 0xaf, 0, MEDIUM_IN, scsi_verify,
	  { 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xc0 } },
};
_Static_assert(sizeof(disk_cmds) / sizeof(disk_cmds[0]) <= SCSI_COMMANDS, "SCSI_COMMANDS");

struct scsi_dev *scsi_disk_new(struct vm *vm, struct blk *b, const struct scsi_params *p,
			       struct err *e)
{
	static const struct scsi_params usual = { .vendor = "VMware", .product = "Virtual disk",
						  .revision = "2.0" };
	struct scsi_dev *d;

	if (blk_command_max(b))
		return scsi_pass_new(vm, b, p, e);
	d = scsi_new(vm, b, p, &usual, e);
	if (!d)
		return NULL;
	d->cmds = disk_cmds;
	d->ncmds = sizeof(disk_cmds) / sizeof(disk_cmds[0]);
	d->block = BLK_SECTOR;
	return d;
}
