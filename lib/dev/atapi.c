/*
 * ATAPI: packet commands of CD-ROM drives, done by a SCSI target.  ATA/ATAPI-7 volume 2,
 * PACKET command protocols.
 *
 * The interrupt reason (the count register) says what a DRQ block is: the packet, data,
 * and, with no block, the status.
 */
#include "dev/ide_impl.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/be.h"

enum reason { REASON_COMMAND = 1, REASON_TO_HOST = 2 };
enum feature { FEATURE_DMA = 1 };
enum atapi_op {
	OP_DEVICE_RESET = 0x08, OP_ATA_READ = 0x20, OP_DIAGNOSTIC = 0x90, OP_PACKET = 0xa0,
	OP_IDENTIFY_PACKET = 0xa1, OP_STANDBY_NOW = 0xe0, OP_IDLE_NOW, OP_STANDBY, OP_IDLE,
	OP_CHECK_POWER = 0xe5, OP_SLEEP, OP_FLUSH, OP_ATA_IDENTIFY = 0xec, OP_SET_FEATURES = 0xef,
};
enum { KEY_ILLEGAL = 5, KEY_ABORTED = 0xb };

#define REPLY_MAX	(4u << 20)	/* bytes that one command moves through the data port */

static void set_reason(struct ide_drive *d, uint8_t reason)
{
	d->chan->reg[ATA_COUNT][0] = reason;
}

static struct ide_drive *drive_of(struct scsi_req *r)
{
	return (struct ide_drive *)((char *)r - offsetof(struct ide_drive, sr));
}

static void drop_reply(struct ide_drive *d)
{
	free(d->reply);
	d->reply = NULL;
}

/* With the sense key, if the command failed. */
static void end_packet(struct ide_drive *d, bool good, uint8_t key)
{
	drop_reply(d);
	set_reason(d, REASON_COMMAND | REASON_TO_HOST);
	ide_end(d, 0);
	d->status = (uint8_t)(ATA_DRDY | (good ? 0 : ATA_ERR));
	d->error = good ? 0 : (uint8_t)(key << 4 | (key == KEY_ILLEGAL ? ATA_ABRT : 0));
}

static void end_request(struct scsi_req *r)
{
	end_packet(drive_of(r), r->status == SCSI_GOOD, scsi_sense_key(r));
}

/* Too much for the data port, no memory, a table that leads nowhere. */
static void refuse(struct ide_drive *d)
{
	end_packet(d, false, KEY_ABORTED);
}

/* --- what commands move ---------------------------------------------------------------- */

/* Bytes that the command takes; 0: none. */
static uint32_t out_len(const uint8_t *cdb)
{
	switch (cdb[0]) {
	case 0x15: return cdb[4];		/* MODE SELECT(6) */
	case 0x55: return be16_get(cdb + 7);	/* MODE SELECT(10) */
	default: return 0;
	}
}

/* Bytes that it gives, at most; 0: none. */
static uint64_t in_len(const uint8_t *cdb)
{
	switch (cdb[0]) {
	case 0x00: case 0x1b: case 0x1e: case 0x2b: case 0x2f: case 0x35: case 0x4e: case 0xa6:
	case 0xbb:
		return 0;
	case 0x28:				/* READ(10) */
		return 2048ull * be16_get(cdb + 7);
	case 0xa8:				/* READ(12) */
		return 2048ull * be32_get(cdb + 6);
	case 0xbe:				/* READ CD: whole sectors, at most */
		return 2448ull * (be32_get(cdb + 5) & 0xffffff);
	default:
		return 65536;
	}
}

static void start_request(struct ide_drive *d, enum scsi_dir dir, void (*done)(struct scsi_req *r))
{
	struct scsi_req *r = &d->sr;

	d->status = ATA_BSY;
	memset(r->cdb, 0, sizeof(r->cdb));
	memcpy(r->cdb, d->packet, sizeof(d->packet));
	r->lun = 0;
	r->attr = SCSI_SIMPLE;
	r->dir = dir;
	r->initiator = 0;
	r->done = done;
	scsi_start(d->cd, r);
}

/* --- through the data port -------------------------------------------------------------- */

/* Blocks have an even length, but for the last one. */
static uint32_t block_len(const struct ide_drive *d)
{
	uint32_t left = d->reply_len - d->reply_at, n = d->limit & ~1u;

	n = n ? n : 2;
	return left > n ? n : left;
}

static void put_block(struct ide_drive *d, bool out, void (*moved)(struct ide_drive *d))
{
	uint32_t n = block_len(d);

	d->chan->reg[ATA_LBA_MID][0] = (uint8_t)n;
	d->chan->reg[ATA_LBA_HIGH][0] = (uint8_t)(n >> 8);
	set_reason(d, out ? 0 : REASON_TO_HOST);
	ide_pio(d, d->reply + d->reply_at, n, out, false, moved);
	d->reply_at += n;
}

static void was_read(struct ide_drive *d)
{
	if (d->reply_at < d->reply_len)
		put_block(d, false, was_read);
	else
		end_packet(d, true, 0);
}

static void reply_ready(struct scsi_req *r)
{
	struct ide_drive *d = drive_of(r);

	if (r->status != SCSI_GOOD || !r->moved) {
		end_request(r);
		return;
	}
	d->reply_len = (uint32_t)r->moved;
	d->reply_at = 0;
	put_block(d, false, was_read);
}

static void was_written(struct ide_drive *d)
{
	if (d->reply_at < d->reply_len)
		put_block(d, true, was_written);
	else
		start_request(d, SCSI_DIR_OUT, end_request);
}

static void through_port(struct ide_drive *d, uint64_t len, bool out)
{
	sg_clear(&d->sr.data, d->chan->ide->vm->mem);
	if (len) {
		d->reply = len <= REPLY_MAX ? calloc(1, len) : NULL;
		if (!d->reply || sg_add_host(&d->sr.data, d->reply, len)) {
			refuse(d);
			return;
		}
	}
	d->reply_len = (uint32_t)len;
	d->reply_at = 0;
	if (out)
		put_block(d, true, was_written);
	else
		start_request(d, len ? SCSI_DIR_IN : SCSI_DIR_NONE, len ? reply_ready : end_request);
}

/* --- DMA ------------------------------------------------------------------------------------ */

/* The request has the channel's list while it runs. */
static void swap_lists(struct ide_drive *d)
{
	struct sg sg = d->sr.data;

	d->sr.data = d->chan->sg;
	d->chan->sg = sg;
}

static void dma_ready(struct scsi_req *r)
{
	struct ide_drive *d = drive_of(r);

	swap_lists(d);
	ide_dma_done(d);
	end_request(r);
}

static void dma_start(struct ide_drive *d)
{
	uint64_t len = d->chan->dma_in ? in_len(d->packet) : out_len(d->packet);

	if (!ide_dma_take(d, len)) {
		refuse(d);
		return;
	}
	swap_lists(d);
	start_request(d, d->chan->dma_in ? SCSI_DIR_IN : SCSI_DIR_OUT, dma_ready);
}

/* --- commands --------------------------------------------------------------------------------- */

static void packet_written(struct ide_drive *d)
{
	uint64_t in = in_len(d->packet), out = out_len(d->packet);
	const struct ide_chan *c = d->chan;

	d->status = ATA_BSY;
	d->limit = (uint16_t)(c->reg[ATA_LBA_MID][0] | c->reg[ATA_LBA_HIGH][0] << 8);
	if ((c->reg[ATA_FEATURES][0] & FEATURE_DMA) && (in || out))
		ide_dma(d, !out, dma_start);
	else
		through_port(d, out ? out : in, out);
}

static void identify_read(struct ide_drive *d)
{
	d->status = ATA_DRDY;
}

/* The registers show what kind of drive it is. */
static void not_a_disk(struct ide_drive *d)
{
	ata_signature(d);
	ide_end(d, ATA_ABRT);
	d->status = ATA_DRDY | ATA_ERR;
}

static void device_reset(struct ide_drive *d)
{
	scsi_drain(d->cd);
	d->chan->data = NULL;
	d->chan->dma_wanted = false;
	atapi_forget(d);
	scsi_reset(d->cd, SCSI_TARGET_RESET);
	d->chan->reg[ATA_DEVICE][0] &= ATA_DEV;
	ata_signature(d);
}

void atapi_command(struct ide_drive *d, uint8_t command)
{
	switch (command) {
	case OP_PACKET:
		set_reason(d, REASON_COMMAND);
		memset(d->packet, 0, sizeof(d->packet));
		ide_pio(d, d->packet, sizeof(d->packet), true, true, packet_written);
		d->status = ATA_DRDY | ATA_DRQ;
		break;
	case OP_IDENTIFY_PACKET:
		atapi_identify(d, d->chan->buf);
		ide_pio(d, d->chan->buf, ATA_SECTOR, false, false, identify_read);
		break;
	case OP_DEVICE_RESET:
		device_reset(d);
		break;
	case OP_ATA_IDENTIFY: case OP_ATA_READ:
		not_a_disk(d);
		break;
	case OP_DIAGNOSTIC:
		ata_diagnostic(d);
		break;
	case OP_SET_FEATURES:
		ide_end(d, ata_set_features(d));
		break;
	case OP_CHECK_POWER:
		d->chan->reg[ATA_COUNT][0] = 0xff;	/* active or idle */
		ide_end(d, 0);
		break;
	case OP_FLUSH: case OP_STANDBY_NOW: case OP_IDLE_NOW: case OP_STANDBY: case OP_IDLE:
	case OP_SLEEP:
		ide_end(d, 0);
		break;
	default:
		ide_end(d, ATA_ABRT);
	}
}

void atapi_forget(struct ide_drive *d)
{
	drop_reply(d);
	d->status &= (uint8_t)~(ATA_BSY | ATA_DRQ);
}
