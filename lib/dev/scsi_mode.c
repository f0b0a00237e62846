/*
 * MODE SENSE and MODE SELECT.  SPC-4, 6.9-6.12 and 7.5; SBC-3, 6.4; MMC-6, 7.
 *
 * A page that the guest can change has a mask of the bits that it may; MODE SELECT
 * compares all others with what they are.
 */
#include "dev/scsi_impl.h"

#define PAGES_MAX	256
#define SENSE_NO_SAVING	0x053900

enum { PC_CURRENT, PC_CHANGEABLE, PC_DEFAULT, PC_SAVED };

struct mode_page {
	uint8_t code;
	uint8_t len;		/* behind the two bytes of the header */
	bool disk, cd;
	/* Fill in what differs from zero, of the page's bytes from 2 on. */
	void (*fill)(const struct scsi_dev *d, unsigned pc, uint8_t *p);
	/* NULL: nothing can be changed. */
	void (*set)(struct scsi_dev *d, const uint8_t *p);
};

static void fill_recovery(const struct scsi_dev *d, unsigned pc, uint8_t *p)
{
	if (pc == PC_CHANGEABLE)
		return;
	p[2] = d->cd ? 0 : 0xc0;	/* AWRE, ARRE */
	p[3] = 1;
	p[8] = d->cd ? 0 : 1;
}

#define HEADS	255u
#define SECTORS	63u

static void fill_format(const struct scsi_dev *d, unsigned pc, uint8_t *p)
{
	if (pc == PC_CHANGEABLE)
		return;
	be16_put(p + 10, SECTORS);
	be16_put(p + 12, (uint16_t)d->block);
	be16_put(p + 14, 1);		/* interleave */
	p[20] = 0x40;			/* hard sectors */
}

static void fill_geometry(const struct scsi_dev *d, unsigned pc, uint8_t *p)
{
	uint64_t cylinders = scsi_blocks(d) / (HEADS * SECTORS);

	if (pc == PC_CHANGEABLE)
		return;
	be24_put(p + 2, cylinders > 0xffffff ? 0xffffff : (uint32_t)cylinders);
	p[5] = HEADS;
	be16_put(p + 20, 15000);	/* revolutions a minute */
}

static void fill_caching(const struct scsi_dev *d, unsigned pc, uint8_t *p)
{
	if (pc != PC_CURRENT || !d->no_wce)
		p[2] = 0x04;		/* WCE */
}

static void set_caching(struct scsi_dev *d, const uint8_t *p)
{
	d->no_wce = !(p[2] & 0x04);
}

static void fill_control(const struct scsi_dev *d, unsigned pc, uint8_t *p)
{
	if (pc == PC_CHANGEABLE || (pc == PC_CURRENT && d->d_sense))
		p[2] = 0x04;		/* D_SENSE */
	if (pc != PC_CHANGEABLE)
		p[3] = 0x10;		/* tasks may be reordered */
}

static void set_control(struct scsi_dev *d, const uint8_t *p)
{
	d->d_sense = p[2] & 0x04;
}

static void fill_exceptions(const struct scsi_dev *d, unsigned pc, uint8_t *p)
{
	if (pc != PC_CHANGEABLE)
		p[2] = 0x08;		/* DEXCPT: there are none */
}

/* MM capabilities and mechanical status: reads CDs and DVDs, has a tray that can be
 * locked and ejected. */
static void fill_capabilities(const struct scsi_dev *d, unsigned pc, uint8_t *p)
{
	if (pc == PC_CHANGEABLE)
		return;
	p[2] = 0x3b;			/* CD-R, CD-RW, method 2, DVD-ROM, DVD-R */
	p[4] = 0x70;			/* mode 2 forms 1 and 2, multisession */
	p[6] = (uint8_t)(0x29 | (d->locked ? 2 : 0));
	be16_put(p + 8, 706 * 4);	/* kB/s */
	be16_put(p + 12, 2048);		/* buffer, KiB */
	be16_put(p + 14, 706 * 4);
}

/* In the order in which page 3f lists them: 0 last if there were one. */
static const struct mode_page pages[] = {
	{ 0x01, 10, true, true, fill_recovery, NULL },
	{ 0x03, 22, true, false, fill_format, NULL },
	{ 0x04, 22, true, false, fill_geometry, NULL },
	{ 0x08, 18, true, false, fill_caching, set_caching },
	{ 0x0a, 10, true, false, fill_control, set_control },
	{ 0x1c, 10, true, false, fill_exceptions, NULL },
	{ 0x2a, 20, false, true, fill_capabilities, NULL },
};

static bool has_page(const struct scsi_dev *d, const struct mode_page *p)
{
	return d->cd ? p->cd : p->disk;
}

static unsigned put_page(const struct scsi_dev *d, const struct mode_page *p, unsigned pc,
			 uint8_t *buf)
{
	memset(buf, 0, p->len + 2u);
	p->fill(d, pc, buf);
	buf[0] = p->code;
	buf[1] = p->len;
	return p->len + 2u;
}

static unsigned put_descriptor(const struct scsi_dev *d, bool long_lba, uint8_t *buf)
{
	uint64_t blocks = scsi_blocks(d);

	memset(buf, 0, 16);
	if (long_lba) {
		be64_put(buf, blocks);
		be32_put(buf + 12, d->block);
		return 16;
	}
	be32_put(buf, blocks > UINT32_MAX ? UINT32_MAX : (uint32_t)blocks);
	be24_put(buf + 5, d->block);
	return 8;
}

void scsi_mode_sense(struct scsi_dev *d, struct scsi_req *r)
{
	bool ten = r->cdb[0] == 0x5a, dbd = r->cdb[1] & 8, found = false;
	unsigned pc = r->cdb[2] >> 6, code = r->cdb[2] & 0x3f, header = ten ? 8 : 4;
	unsigned at = header, descriptor = 0;
	uint8_t buf[8 + 16 + PAGES_MAX] = { 0 };
	uint8_t specific = d->cd ? 0 : 0x10;	/* DPOFUA */

	if (pc == PC_SAVED) {
		scsi_fail(r, SENSE_NO_SAVING);
		return;
	}
	if (!d->cd && blk_readonly(d->blk))
		specific |= 0x80;	/* WP */
	if (!dbd && !d->cd)
		descriptor = put_descriptor(d, ten && r->cdb[1] & 0x10, buf + at);
	at += descriptor;
	for (unsigned i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		if (!has_page(d, &pages[i]) || (code != 0x3f && code != pages[i].code))
			continue;
		if (r->cdb[3] == 0 || (r->cdb[3] == 0xff && code == 0x3f)) {
			at += put_page(d, &pages[i], pc, buf + at);
			found = true;
		}
	}
	if (!found) {
		scsi_fail_cdb(r, 2 + !!r->cdb[3]);
		return;
	}
	if (ten) {
		be16_put(buf, (uint16_t)(at - 2));
		buf[3] = specific;
		buf[4] = descriptor == 16;
		be16_put(buf + 6, (uint16_t)descriptor);
	} else {
		buf[0] = (uint8_t)(at - 1);
		buf[2] = specific;
		buf[3] = (uint8_t)descriptor;
	}
	scsi_reply(r, buf, at, ten ? be16_get(r->cdb + 7) : r->cdb[4]);
}

/* --- MODE SELECT ------------------------------------------------------------------------ */

static const struct mode_page *find_page(const struct scsi_dev *d, unsigned code)
{
	for (unsigned i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (pages[i].code == code && has_page(d, &pages[i]))
			return &pages[i];
	return NULL;
}

/* May buf replace page p?  -1, or the byte that may not. */
static int page_conflict(const struct scsi_dev *d, const struct mode_page *p, const uint8_t *buf)
{
	uint8_t now[64], mask[64];

	put_page(d, p, PC_CURRENT, now);
	memset(mask, 0, sizeof(mask));
	if (p->set)
		put_page(d, p, PC_CHANGEABLE, mask);
	for (unsigned i = 2; i < p->len + 2u; i++)
		if ((buf[i] ^ now[i]) & ~mask[i])
			return (int)i;
	return -1;
}

/* Check all pages, or set them.  -1, or the byte at which it failed. */
static int select_pages(struct scsi_dev *d, const uint8_t *buf, unsigned len, bool set)
{
	unsigned at = 0;

	while (at < len) {
		const struct mode_page *p = find_page(d, buf[at] & 0x3f);
		int bad;

		if (!p || buf[at] & 0xc0)
			return (int)at;
		if (len - at < p->len + 2u || buf[at + 1] != p->len)
			return (int)at + 1;
		bad = set ? -1 : page_conflict(d, p, buf + at);
		if (bad >= 0)
			return (int)at + bad;
		if (set && p->set)
			p->set(d, buf + at);
		at += p->len + 2u;
	}
	return -1;
}

/* The only block descriptor accepted is the one there is. */
static bool descriptor_fits(const struct scsi_dev *d, const uint8_t *buf, unsigned len)
{
	uint8_t now[16];

	if (put_descriptor(d, len == 16, now) != len)
		return false;
	if (len == 16)
		return be64_get(buf) == be64_get(now) && be32_get(buf + 12) == d->block;
	return (be32_get(buf) == 0 || be32_get(buf) == be32_get(now)) &&
	       be24_get(buf + 5) == d->block;
}

void scsi_mode_select(struct scsi_dev *d, struct scsi_req *r)
{
	bool ten = r->cdb[0] == 0x55;
	unsigned len = ten ? be16_get(r->cdb + 7) : r->cdb[4], header = ten ? 8 : 4, descriptor;
	uint8_t buf[8 + 16 + PAGES_MAX];
	bool cached = !d->no_wce;
	int bad;

	if (r->cdb[1] & 1) {	/* SP: nothing is saved */
		scsi_fail_cdb(r, 1);
		return;
	}
	if (!len) {
		scsi_good(r);
		return;
	}
	if (len < header || len > sizeof(buf)) {
		scsi_fail(r, SENSE_PARAM_LENGTH);
		return;
	}
	if (!scsi_fetch(r, buf, len))
		return;
	descriptor = ten ? be16_get(buf + 6) : buf[3];
	if (descriptor > len - header) {
		scsi_fail(r, SENSE_PARAM_LENGTH);
		return;
	}
	if (descriptor && !descriptor_fits(d, buf + header, descriptor)) {
		scsi_fail_param(r, header);
		return;
	}
	header += descriptor;
	bad = select_pages(d, buf + header, len - header, false);
	if (bad >= 0) {
		scsi_fail_param(r, header + (unsigned)bad);
		return;
	}
	select_pages(d, buf + header, len - header, true);
	scsi_attention(d, SENSE_MODE_CHANGED, r->initiator % SCSI_INITIATORS);
	/* Who sets WCE to 0 has all durable that was cached: SBC-3, 4.15. */
	if (cached && d->no_wce)
		scsi_io(r, BLK_FLUSH, 0, 0, NULL, 0, scsi_io_ended);
	else
		scsi_good(r);
}
