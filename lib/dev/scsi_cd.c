/*
 * CD-ROM and DVD-ROM drives: one data track of 2048-byte sectors.  MMC-6, chapter 6.
 *
 * A medium of more sectors than a CD can have shows as a DVD.
 */
#include "dev/scsi_impl.h"

#include <errno.h>

#define CD_SECTORS_MAX	(80u * 60 * 75)
#define LEAD_IN		150u		/* frames before LBA 0 */
#define PROFILE_CD	0x0008
#define PROFILE_DVD	0x0010

enum cd_event { EVENT_NONE, EVENT_EJECT, EVENT_NEW, EVENT_REMOVED };

static uint64_t sectors(const struct scsi_dev *d)
{
	return d->stopped ? 0 : scsi_blocks(d);
}

static uint16_t profile(const struct scsi_dev *d)
{
	uint64_t n = sectors(d);

	return !n ? 0 : n > CD_SECTORS_MAX ? PROFILE_DVD : PROFILE_CD;
}

/* --- TOC ------------------------------------------------------------------------- */

static void put_address(uint8_t *p, bool msf, uint32_t lba)
{
	if (!msf) {
		be32_put(p, lba);
		return;
	}
	lba += LEAD_IN;
	p[0] = 0;
	p[1] = (uint8_t)(lba / (60 * 75));
	p[2] = (uint8_t)(lba / 75 % 60);
	p[3] = (uint8_t)(lba % 75);
}

/* A track descriptor of format 0, or the session's of format 1. */
static void put_track(uint8_t *p, uint8_t number, bool msf, uint32_t lba)
{
	memset(p, 0, 8);
	p[1] = 0x14;		/* Q channel: a position; data, uninterrupted */
	p[2] = number;
	put_address(p + 4, msf, lba);
}

static unsigned toc_tracks(const struct scsi_dev *d, uint8_t first, bool msf, uint8_t *buf)
{
	unsigned at = 4;

	if (first <= 1) {
		put_track(buf + at, 1, msf, 0);
		at += 8;
	}
	put_track(buf + at, 0xaa, msf, (uint32_t)sectors(d));
	return at + 8;
}

/* An entry of the raw TOC: session 1, always minutes, seconds, frames. */
static void put_raw(uint8_t *p, uint8_t point, uint8_t m, uint8_t s, uint8_t f)
{
	memset(p, 0, 11);
	p[0] = 1;
	p[1] = 0x14;
	p[3] = point;
	p[8] = m;
	p[9] = s;
	p[10] = f;
}

static unsigned toc_raw(const struct scsi_dev *d, uint8_t *buf)
{
	uint8_t out[4];

	put_address(out, true, (uint32_t)sectors(d));
	put_raw(buf + 4, 0xa0, 1, 0, 0);
	put_raw(buf + 15, 0xa1, 1, 0, 0);
	put_raw(buf + 26, 0xa2, out[1], out[2], out[3]);
	put_raw(buf + 37, 1, 0, 2, 0);
	return 48;
}

static void read_toc(struct scsi_dev *d, struct scsi_req *r)
{
	/* In ATAPI's early days the format stood in the last byte. */
	unsigned format = r->cdb[2] & 15 ? r->cdb[2] & 15 : r->cdb[9] >> 6, len;
	bool msf = r->cdb[1] & 2;
	uint8_t buf[64] = { 0 };

	if (format == 0 && r->cdb[6] > 1 && r->cdb[6] != 0xaa) {
		scsi_fail_cdb(r, 6);
		return;
	}
	if (format == 0) {
		len = toc_tracks(d, r->cdb[6], msf, buf);
	} else if (format == 1) {
		put_track(buf + 4, 1, msf, 0);
		len = 12;
	} else if (format == 2) {
		len = toc_raw(d, buf);
	} else {
		scsi_fail_cdb(r, 2);
		return;
	}
	be16_put(buf, (uint16_t)(len - 2));
	buf[2] = buf[3] = 1;		/* first and last track, or session */
	scsi_reply(r, buf, len, be16_get(r->cdb + 7));
}

static void read_subchannel(struct scsi_dev *d, struct scsi_req *r)
{
	uint8_t buf[16] = { [1] = 0x15 };	/* no audio status */
	unsigned len = r->cdb[2] & 0x40 ? 16 : 4;

	if (len == 16 && r->cdb[3] != 1) {
		scsi_fail_cdb(r, 3);
		return;
	}
	if (len == 16) {
		buf[3] = 12;
		buf[4] = 1;
		buf[5] = 0x14;
		buf[6] = buf[7] = 1;
	}
	scsi_reply(r, buf, len, be16_get(r->cdb + 7));
}

/* --- configuration and events -------------------------------------------------------- */

static const struct {
	uint16_t code;
	uint8_t version;	/* << 2 | persistent << 1; current is added */
	uint8_t len;
	uint16_t profile;	/* current with this one; 0: always */
	uint8_t data[8];
} features[] = {
	{ 0x0000, 0x02, 8, 0, { 0, PROFILE_DVD, 0, 0, 0, PROFILE_CD, 0, 0 } },
	{ 0x0001, 0x0a, 8, 0, { 0, 0, 0, 1, 1, 0, 0, 0 } },	/* core: SCSI, DBE */
	{ 0x0002, 0x06, 4, 0, { 2, 0, 0, 0 } },	/* morphing: events are polled */
	{ 0x0003, 0x02, 4, 0, { 0x29, 0, 0, 0 } },	/* a tray, lock, eject */
	{ 0x0010, 0x00, 8, 0xffff, { 0, 0, 8, 0, 0, 1, 0, 0 } },	/* random readable */
	{ 0x001e, 0x08, 4, PROFILE_CD, { 0, 0, 0, 0 } },	/* CD read */
	{ 0x001f, 0x04, 4, PROFILE_DVD, { 1, 0, 0, 0 } },	/* DVD read */
};

static bool feature_current(unsigned i, uint16_t now)
{
	return !features[i].profile || (now && (features[i].profile == 0xffff ||
						features[i].profile == now));
}

static void get_configuration(struct scsi_dev *d, struct scsi_req *r)
{
	uint16_t start = be16_get(r->cdb + 2), now = profile(d);
	unsigned rt = r->cdb[1] & 3, at = 8;
	uint8_t buf[8 + sizeof(features) / sizeof(features[0]) * 12] = { 0 };

	if (rt == 3) {
		scsi_fail_cdb(r, 1);
		return;
	}
	for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		bool current = feature_current(i, now);

		if (rt == 2 ? features[i].code != start :
		    features[i].code < start || (rt == 1 && !current))
			continue;
		be16_put(buf + at, features[i].code);
		buf[at + 2] = features[i].version | current;
		buf[at + 3] = features[i].len;
		memcpy(buf + at + 4, features[i].data, features[i].len);
		if (!features[i].code) {	/* which of the profiles is current */
			buf[at + 6] = now == PROFILE_DVD;
			buf[at + 10] = now == PROFILE_CD;
		}
		at += 4u + features[i].len;
	}
	be32_put(buf, at - 4);
	be16_put(buf + 6, now);
	scsi_reply(r, buf, at, be16_get(r->cdb + 7));
}

static void get_event_status(struct scsi_dev *d, struct scsi_req *r)
{
	uint8_t buf[8] = { 0 };
	unsigned len = 4;

	if (!(r->cdb[1] & 1)) {		/* asynchronous: not done */
		scsi_fail_cdb(r, 1);
		return;
	}
	buf[3] = 0x10;			/* media events */
	buf[2] = 0x80;			/* none of the classes asked for */
	if (r->cdb[4] & 0x10) {
		buf[2] = 4;
		buf[4] = d->event;
		buf[5] = (d->stopped ? 1 : 0) | (d->blk && !d->stopped ? 2 : 0);
		d->event = EVENT_NONE;
		len = 8;
	}
	be16_put(buf, (uint16_t)(len - 2));
	scsi_reply(r, buf, len, be16_get(r->cdb + 7));
}

static void mechanism_status(struct scsi_dev *d, struct scsi_req *r)
{
	uint8_t buf[8] = { [1] = d->stopped ? 0x10 : 0 };	/* no slots */

	scsi_reply(r, buf, sizeof(buf), be16_get(r->cdb + 8));
}

static void read_disc_info(struct scsi_dev *d, struct scsi_req *r)
{
	uint8_t buf[34] = { 0 };

	be16_put(buf, sizeof(buf) - 2);
	buf[2] = 0x0e;			/* disc and last session are complete */
	buf[3] = buf[4] = buf[5] = buf[6] = 1;
	buf[7] = 0x20;			/* no restriction of use */
	memset(buf + 16, 0xff, 8);	/* no further lead-in nor lead-out */
	scsi_reply(r, buf, sizeof(buf), be16_get(r->cdb + 7));
}

static void read_track_info(struct scsi_dev *d, struct scsi_req *r)
{
	uint32_t n = be32_get(r->cdb + 2);
	unsigned kind = r->cdb[1] & 3;
	uint8_t buf[36] = { 0 };

	if (kind == 0 ? n >= sectors(d) : kind > 2 || n != 1) {
		scsi_fail_cdb(r, kind > 2 ? 1 : 2);
		return;
	}
	be16_put(buf, sizeof(buf) - 2);
	buf[2] = buf[3] = 1;
	buf[5] = 0x04;			/* data */
	buf[6] = 0x01;			/* mode 1 */
	be32_put(buf + 24, (uint32_t)sectors(d));
	scsi_reply(r, buf, sizeof(buf), be16_get(r->cdb + 7));
}

/* --- the tray ---------------------------------------------------------------------------- */

static void prevent(struct scsi_dev *d, struct scsi_req *r)
{
	d->locked = r->cdb[4] & 1;
	scsi_good(r);
}

static void start_stop(struct scsi_dev *d, struct scsi_req *r)
{
	bool load = r->cdb[4] & 1;

	if (r->cdb[4] >> 4 || !(r->cdb[4] & 2)) {	/* a power condition; spinning */
		scsi_good(r);
		return;
	}
	if (!load && d->locked && !d->stopped) {
		scsi_fail(r, SENSE_REMOVAL_PREVENTED);
		return;
	}
	if (!load && !d->stopped) {
		d->event = EVENT_REMOVED;
	} else if (load && d->stopped && d->blk) {
		d->event = EVENT_NEW;
		scsi_attention(d, SENSE_MEDIUM_CHANGED, -1);
	}
	d->stopped = !load;
	scsi_good(r);
}

int scsi_cd_insert(struct scsi_dev *d, struct blk *b, bool force, struct err *e)
{
	if (d->locked && !force)
		return err_set(e, -EBUSY, "the guest has locked the tray");
	scsi_drain(d);
	blk_free(d->blk);
	d->blk = b;
	d->locked = d->stopped = false;
	d->event = b ? EVENT_NEW : EVENT_REMOVED;
	if (b)
		scsi_attention(d, SENSE_MEDIUM_CHANGED, -1);
	return 0;
}

static void set_speed(struct scsi_dev *d, struct scsi_req *r)
{
	scsi_good(r);
}

/* --- READ CD ---------------------------------------------------------------------------------- */

static bool msf_valid(const uint8_t *p)
{
	return p[1] < 60 && p[2] < 75;
}

static uint32_t msf_frames(const uint8_t *p)
{
	return (p[0] * 60u + p[1]) * 75 + p[2];
}

/* READ CD and READ CD MSF become a READ(12) of the same sectors: of a sector there is the
 * user data, and nothing else can be had. */
static void read_cd(struct scsi_dev *d, struct scsi_req *r)
{
	uint8_t *c = r->cdb;
	uint32_t lba = be32_get(c + 2), n = be24_get(c + 6);
	unsigned type = c[1] >> 2 & 7, what = c[9];

	if (c[0] == 0xb9) {
		uint32_t from = msf_frames(c + 3), to = msf_frames(c + 6);

		if (!msf_valid(c + 3) || !msf_valid(c + 6) || from < LEAD_IN || to < from) {
			scsi_fail_cdb(r, 3);
			return;
		}
		lba = from - LEAD_IN;
		n = to - from;
	}
	if (c[10] & 7) {
		scsi_fail_cdb(r, 10);
		return;
	}
	if ((type && type != 2) || (what && what != 0x10)) {
		scsi_fail(r, SENSE_TRACK_MODE);
		return;
	}
	if (!what || !n) {
		scsi_good(r);
		return;
	}
	memset(c, 0, SCSI_CDB_MAX);
	c[0] = 0xa8;
	be32_put(c + 2, lba);
	be32_put(c + 6, n);
	scsi_read(d, r);
}

#define MEDIUM_IN	(CMD_MEDIUM | CMD_BOUNDED)

static const struct scsi_cmd cd_cmds[] = {
	{ 0x00, 0, CMD_FREE | CMD_MEDIUM, scsi_test_unit_ready, { 0xe0, [4] = 0xc0 } },
	{ 0x03, 0, CMD_ALWAYS | CMD_FREE, scsi_request_sense,
	  { 0xe1, [3] = 0xff, [4] = 0xc0 } },
	{ 0x08, 0, MEDIUM_IN, scsi_read, { 0xff, 0xff, 0xff, 0xff, 0xc0 } },
	{ 0x12, 0, CMD_ALWAYS | CMD_FREE, scsi_inquiry, { 0xe1, 0xff, 0xff, 0xff, 0xc0 } },
	{ 0x15, 0, 0, scsi_mode_select, { 0xf1, [3] = 0xff, [4] = 0xc0 } },
	{ 0x16, 0, 0, scsi_reserve, { 0xe0, [4] = 0xc0 } },
	{ 0x17, 0, CMD_FREE, scsi_release, { 0xe0, [4] = 0xc0 } },
	{ 0x1a, 0, 0, scsi_mode_sense, { 0xe8, 0xff, 0xff, 0xff, 0xc0 } },
	{ 0x1b, 0, 0, start_stop, { 0xe1, 0, 0x0f, 0xf7, 0xc0 } },
	{ 0x1e, 0, 0, prevent, { 0xe0, [3] = 0x03, [4] = 0xc0 } },
	{ 0x25, 0, CMD_MEDIUM, scsi_capacity,
	  { 0xe1, 0xff, 0xff, 0xff, 0xff, [7] = 0x01, [8] = 0xc0 } },
	{ 0x28, 0, MEDIUM_IN, scsi_read,
	  { 0xfa, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0xc0 } },
	{ 0x42, 0, CMD_MEDIUM, read_subchannel,
	  { 0xe2, 0x40, 0xff, [5] = 0xff, 0xff, 0xff, 0xc0 } },
	{ 0x43, 0, CMD_MEDIUM, read_toc,
	  { 0xe2, 0x0f, [5] = 0xff, 0xff, 0xff, 0xc0 } },
	{ 0x46, 0, CMD_ALWAYS | CMD_FREE, get_configuration,
	  { 0x03, 0xff, 0xff, [6] = 0xff, 0xff, 0xc0 } },
	{ 0x4a, 0, CMD_ALWAYS | CMD_FREE, get_event_status,
	  { 0x01, [3] = 0xff, [6] = 0xff, 0xff, 0xc0 } },
	{ 0x51, 0, CMD_MEDIUM, read_disc_info, { 0, [6] = 0xff, 0xff, 0xc0 } },
	{ 0x52, 0, CMD_MEDIUM, read_track_info,
	  { 0x03, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0xc0 } },
	{ 0x55, 0, 0, scsi_mode_select, { 0xf1, [6] = 0xff, 0xff, 0xc0 } },
	{ 0x5a, 0, 0, scsi_mode_sense, { 0xf8, 0xff, 0xff, [6] = 0xff, 0xff, 0xc0 } },
	{ 0xa0, 0, CMD_ALWAYS | CMD_FREE, scsi_report_luns,
	  { 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0xc0 } },
	{ 0xa3, 0x0c, CMD_SA | CMD_FREE, scsi_opcodes,
	  { 0x1f, 0x87, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0xc0 } },
	{ 0xa8, 0, MEDIUM_IN, scsi_read,
	  { 0xfa, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbf, 0xc0 } },
	{ 0xb9, 0, MEDIUM_IN, read_cd,
	  { 0xfe, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0x07, 0xc0 } },
	{ 0xbb, 0, 0, set_speed,
	  { 0x03, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0xc0 } },
	{ 0xbd, 0, 0, mechanism_status, { 0, [7] = 0xff, 0xff, 0, 0xc0 } },
	{ 0xbe, 0, MEDIUM_IN, read_cd,
	  { 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0x07, 0xc0 } },
};
_Static_assert(sizeof(cd_cmds) / sizeof(cd_cmds[0]) <= SCSI_COMMANDS, "SCSI_COMMANDS");

struct scsi_dev *scsi_cd_new(struct vm *vm, struct blk *b, const struct scsi_params *p,
			     struct err *e)
{
	static const struct scsi_params usual = { .vendor = "NECVMWar",
						  .product = "VMware SATA CD01",
						  .revision = "1.00" };
	struct scsi_dev *d = scsi_new(vm, b, p, &usual, e);

	if (!d)
		return NULL;
	d->cmds = cd_cmds;
	d->ncmds = sizeof(cd_cmds) / sizeof(cd_cmds[0]);
	d->cd = true;
	d->block = 2048;
	return d;
}
