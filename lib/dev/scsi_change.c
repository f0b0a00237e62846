/* Disks: the commands that change more, or less, than they send.  SBC-3, chapter 5. */
#include "dev/scsi_impl.h"

#include <errno.h>
#include <stdlib.h>

#define FUA 0x08

static bool writable(struct scsi_req *r)
{
	if (!blk_readonly(r->dev->blk))
		return true;
	scsi_fail(r, SENSE_WRITE_PROTECTED);
	return false;
}

static bool inside(struct scsi_req *r, uint64_t lba, uint64_t blocks)
{
	uint64_t all = scsi_blocks(r->dev);

	if (lba <= all && blocks <= all - lba)
		return true;
	scsi_fail_info(r, SENSE_LBA_RANGE, lba);
	return false;
}

static bool ended_badly(struct scsi_req *r)
{
	if (!r->io.rc)
		return false;
	scsi_fail_errno(r, r->io.rc, r->io.off / r->dev->block);
	return true;
}

/* --- COMPARE AND WRITE: buf holds what to expect, what to write, what there is ------- */

static void cw_read(struct scsi_req *r)
{
	uint64_t len = r->end;
	const uint8_t *expected = r->buf, *is = r->buf + 2 * len;

	if (ended_badly(r))
		return;
	for (uint64_t i = 0; i < len; i++)
		if (expected[i] != is[i]) {
			scsi_fail_info(r, SENSE_MISCOMPARE, i);
			return;
		}
	r->one = (struct iovec){ r->buf + len, len };
	r->fua = r->cdb[1] & FUA;
	scsi_io(r, BLK_WRITE, r->at, len, &r->one, 1, scsi_io_ended);
}

void scsi_compare_write(struct scsi_dev *d, struct scsi_req *r)
{
	uint64_t lba = be64_get(r->cdb + 2), len = (uint64_t)r->cdb[13] * d->block;

	if (!inside(r, lba, r->cdb[13]) || !writable(r))
		return;
	if (!len) {
		scsi_good(r);
		return;
	}
	r->buf = malloc(3 * len);
	if (!r->buf) {
		scsi_fail_errno(r, -ENOMEM, 0);
		return;
	}
	if (!scsi_fetch(r, r->buf, 2 * len))
		return;
	r->at = lba * d->block;
	r->end = len;
	r->one = (struct iovec){ r->buf + 2 * len, len };
	scsi_io(r, BLK_READ, r->at, len, &r->one, 1, cw_read);
}

/* --- UNMAP: buf holds the parameter list, at is the next descriptor, end their end ----- */

static void unmap_next(struct scsi_req *r)
{
	unsigned block = r->dev->block;

	if (r->aborted) {
		scsi_done(r, SCSI_TASK_ABORTED);
		return;
	}
	if (r->io.rc && ended_badly(r))
		return;
	while (r->at < r->end) {
		const uint8_t *p = r->buf + r->at;
		uint64_t len = (uint64_t)be32_get(p + 8) * block;

		r->at += 16;
		if (len) {
			scsi_io(r, BLK_UNMAP, be64_get(p) * block, len, NULL, 0, unmap_next);
			return;
		}
	}
	scsi_good(r);
}

/* Are all descriptors right?  Nothing is done otherwise. */
static bool unmap_check(struct scsi_req *r)
{
	uint64_t total = 0;

	if ((r->end - 8) / 16 > SCSI_UNMAP_DESCRIPTORS) {
		scsi_fail_param(r, 2);
		return false;
	}
	for (uint64_t at = 8; at < r->end; at += 16) {
		uint32_t blocks = be32_get(r->buf + at + 8);

		total += blocks;
		if (!inside(r, be64_get(r->buf + at), blocks))
			return false;
		if (total > SCSI_UNMAP_MAX) {
			scsi_fail_param(r, (unsigned)at + 8);
			return false;
		}
	}
	return true;
}

void scsi_unmap(struct scsi_dev *d, struct scsi_req *r)
{
	unsigned len = be16_get(r->cdb + 7), descriptors;

	if (!writable(r))
		return;
	if (!len) {
		scsi_good(r);
		return;
	}
	if (len < 8) {
		scsi_fail(r, SENSE_PARAM_LENGTH);
		return;
	}
	r->buf = malloc(len);
	if (!r->buf) {
		scsi_fail_errno(r, -ENOMEM, 0);
		return;
	}
	if (!scsi_fetch(r, r->buf, len))
		return;
	descriptors = be16_get(r->buf + 2);
	if (descriptors > len - 8)
		descriptors = len - 8;
	r->at = 8;
	r->end = 8 + descriptors / 16 * 16;	/* what is cut off is ignored */
	r->io.rc = 0;
	if (unmap_check(r))
		unmap_next(r);
}

/* --- WRITE SAME: buf holds the block many times, behind the vectors that name it -------- */

/* Pieces that end inside scsi_io() would nest, 1024 deep in 1 GiB: these never do. */
enum { SAME_CHUNK = 64 << 10, SAME_VECTORS = BLK_INLINE_MAX / SAME_CHUNK + 1 };

static void same_next(struct scsi_req *r)
{
	struct iovec *iov = (struct iovec *)r->buf;
	uint8_t *pattern = r->buf + SAME_VECTORS * sizeof(*iov);
	uint64_t len = 0;
	int n;

	if (r->aborted) {
		scsi_done(r, SCSI_TASK_ABORTED);
		return;
	}
	if (ended_badly(r))
		return;
	if (r->at == r->end) {
		scsi_good(r);
		return;
	}
	for (n = 0; n < SAME_VECTORS && r->at + len < r->end; n++) {
		uint64_t left = r->end - r->at - len;

		iov[n] = (struct iovec){ pattern, left < SAME_CHUNK ? left : SAME_CHUNK };
		len += iov[n].iov_len;
	}
	r->at += len;
	scsi_io(r, BLK_WRITE, r->at - len, len, iov, n, same_next);
}

static bool all_zero(const uint8_t *p, unsigned len)
{
	for (unsigned i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

void scsi_write_same(struct scsi_dev *d, struct scsi_req *r)
{
	bool sixteen = r->cdb[0] == 0x93, unmap = r->cdb[1] & 0x08;
	uint8_t block[BLK_SECTOR] = { 0 };
	uint64_t lba, blocks;

	if (!scsi_range(r, &lba, &blocks) || !writable(r))
		return;
	if (unmap && !scsi_thin(d)) {
		scsi_fail_cdb(r, 1);
		return;
	}
	if (!blocks || blocks > SCSI_WRITE_SAME_MAX) {
		scsi_fail_cdb(r, sixteen ? 10 : 7);
		return;
	}
	if (!(sixteen && r->cdb[1] & 1) && !scsi_fetch(r, block, sizeof(block)))
		return;		/* NDOB: no data, zeros are meant */
	r->at = lba * d->block;
	r->end = r->at + blocks * d->block;
	if (all_zero(block, sizeof(block))) {
		scsi_io(r, unmap ? BLK_UNMAP : BLK_ZERO, r->at, r->end - r->at, NULL, 0,
			scsi_io_ended);
		return;
	}
	r->buf = malloc(SAME_VECTORS * sizeof(struct iovec) + SAME_CHUNK);
	if (!r->buf) {
		scsi_fail_errno(r, -ENOMEM, 0);
		return;
	}
	for (unsigned o = 0; o < SAME_CHUNK; o += sizeof(block))
		memcpy(r->buf + SAME_VECTORS * sizeof(struct iovec) + o, block, sizeof(block));
	r->io.rc = 0;
	same_next(r);
}

/* --- GET LBA STATUS: buf holds the answer, at and end are bytes of the disk --------------- */

enum { STATUS_HEAD = 8, STATUS_LEN = 16, STATUS_MAX = 128, STATUS_DEALLOCATED = 1 };

static void status_ask(struct scsi_req *r);

static void status_done(struct scsi_req *r)
{
	unsigned block = r->dev->block, have = be32_get(r->buf);
	uint64_t room = be32_get(r->cdb + 10);
	uint8_t *p = r->buf + STATUS_HEAD + have * STATUS_LEN;

	if (ended_badly(r))
		return;
	be64_put(p, r->at / block);
	be32_put(p + 8, (uint32_t)(r->io.len / block));
	p[12] = r->io.data ? 0 : STATUS_DEALLOCATED;
	have++;
	be32_put(r->buf, have);
	r->at += r->io.len;
	if (r->at < r->end && have < STATUS_MAX &&
	    STATUS_HEAD + (have + 1) * STATUS_LEN <= room) {
		status_ask(r);
		return;
	}
	be32_put(r->buf, STATUS_HEAD - 4 + have * STATUS_LEN);
	scsi_reply(r, r->buf, STATUS_HEAD + have * STATUS_LEN, room);
}

static void status_ask(struct scsi_req *r)
{
	const uint64_t most = (uint64_t)UINT32_MAX * r->dev->block, left = r->end - r->at;

	if (r->aborted)
		scsi_done(r, SCSI_TASK_ABORTED);
	else
		scsi_io(r, BLK_MAP, r->at, left < most ? left : most, NULL, 0, status_done);
}

/* As many descriptors as there is room for; SBC-3, 5.4. */
void scsi_lba_status(struct scsi_dev *d, struct scsi_req *r)
{
	uint64_t lba = be64_get(r->cdb + 2), all = scsi_blocks(d);

	if (lba >= all) {
		scsi_fail_info(r, SENSE_LBA_RANGE, lba);
		return;
	}
	r->buf = calloc(1, STATUS_HEAD + STATUS_MAX * STATUS_LEN);
	if (!r->buf) {
		scsi_fail_errno(r, -ENOMEM, 0);
		return;
	}
	r->at = lba * d->block;
	r->end = all * d->block;
	status_ask(r);
}
