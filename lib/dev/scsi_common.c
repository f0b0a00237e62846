/* Commands of all SCSI targets.  SPC-4, chapter 6. */
#include "dev/scsi_impl.h"

#define TYPE_DISK	0x00
#define TYPE_CD		0x05
#define TYPE_NONE	0x7f	/* qualifier 3: there is no such logical unit */

void scsi_test_unit_ready(struct scsi_dev *d, struct scsi_req *r)
{
	scsi_good(r);
}

void scsi_request_sense(struct scsi_dev *d, struct scsi_req *r)
{
	uint32_t *attention = &d->attention[r->initiator % SCSI_INITIATORS];
	uint32_t sense = r->lun ? SENSE_LUN : SENSE_NONE;
	uint8_t buf[SCSI_SENSE_MAX];
	unsigned len;

	if (!r->lun && d->last_sense) {
		sense = d->last_sense;
		d->last_sense = 0;
	} else if (!r->lun && *attention) {
		sense = *attention;
		*attention = 0;
	} else if (!r->lun && d->stopped) {
		sense = d->cd ? SENSE_TRAY_OPEN : SENSE_STOPPED;
	}
	len = scsi_sense_build(buf, r->cdb[1] & 1, sense, NULL, NULL);
	scsi_reply(r, buf, len, r->cdb[4]);
}

void scsi_report_luns(struct scsi_dev *d, struct scsi_req *r)
{
	uint8_t buf[16] = { [3] = 8 };
	uint32_t allowed = be32_get(r->cdb + 6);

	if (r->cdb[2] > 2) {
		scsi_fail_cdb(r, 2);
		return;
	}
	if (allowed < 16) {
		scsi_fail_cdb(r, 6);
		return;
	}
	if (r->cdb[2] == 1)	/* well known logical units only: none */
		buf[3] = 0;
	scsi_reply(r, buf, buf[3] ? 16 : 8, allowed);
}

/* --- INQUIRY --------------------------------------------------------------------- */

static unsigned inquiry_standard(const struct scsi_dev *d, const struct scsi_req *r,
				 uint8_t *buf)
{
	/* SAM-5, SPC-4, SBC-3 or MMC-6, no version claimed */
	static const uint16_t disk[] = { 0x00a0, 0x0460, 0x04c0 };
	static const uint16_t cd[] = { 0x00a0, 0x0460, 0x04e0 };

	buf[0] = d->cd ? TYPE_CD : TYPE_DISK;
	buf[1] = d->cd ? 0x80 : 0;	/* RMB */
	buf[2] = d->cd ? 5 : 6;		/* SPC-3, SPC-4 */
	buf[3] = 0x02;
	buf[4] = 96 - 5;
	buf[7] = 0x32;			/* wide, synchronous, queueing: of parallel buses */
	memcpy(buf + 8, d->vendor, 8);
	memcpy(buf + 16, d->product, 16);
	memcpy(buf + 32, d->revision, 4);
	for (unsigned i = 0; i < 3; i++)
		be16_put(buf + 58 + 2 * i, d->cd ? cd[i] : disk[i]);
	if (r->lun)
		buf[0] = TYPE_NONE;
	return 96;
}

/* SPC-4, 7.8.6: what identifies the logical unit. */
static unsigned vpd_identification(const struct scsi_dev *d, uint8_t *buf)
{
	unsigned at = 4;

	buf[at] = 0x01;			/* binary */
	buf[at + 1] = 0x03;		/* NAA */
	buf[at + 3] = 16;
	memcpy(buf + at + 4, d->naa, 16);
	at += 20;
	buf[at] = 0x02;			/* ASCII */
	buf[at + 1] = 0x01;		/* T10 vendor identification */
	buf[at + 3] = 8 + 32;
	memcpy(buf + at + 4, d->vendor, 8);
	memcpy(buf + at + 12, d->serial, 32);
	return at + 44;
}

/* Do commands of 16 bytes reach it? */
static bool has_sixteen(const struct scsi_dev *d)
{
	return !d->cdb_max || d->cdb_max >= 16;
}

/* SBC-3, 6.5.3. */
static unsigned vpd_limits(const struct scsi_dev *d, uint8_t *buf)
{
	buf[4] = 1;						/* WSNZ */
	buf[5] = has_sixteen(d) ? 255 : 0;			/* COMPARE AND WRITE */
	be16_put(buf + 6, 1);					/* granularity */
	be32_put(buf + 8, SCSI_TRANSFER_MAX);
	if (scsi_thin(d)) {
		be32_put(buf + 20, SCSI_UNMAP_MAX);
		be32_put(buf + 24, SCSI_UNMAP_DESCRIPTORS);
		be32_put(buf + 28, 8);				/* 4 KiB */
	}
	/* Linux takes WRITE SAME(16) for more than that. */
	be64_put(buf + 36, has_sixteen(d) ? SCSI_WRITE_SAME_MAX : UINT16_MAX);
	return 64;
}

/* Returns the length, or 0: there is no such page. */
static unsigned inquiry_vpd(const struct scsi_dev *d, uint8_t page, uint8_t *buf)
{
	static const uint8_t disk[] = { 0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2 };
	unsigned len = 0, n = d->cd ? 3 : sizeof(disk);

	if (page == 0x00) {
		memcpy(buf + 4, disk, n);
		len = 4 + n;
	} else if (page == 0x80) {
		memcpy(buf + 4, d->serial, sizeof(d->serial));
		len = 4 + sizeof(d->serial);
	} else if (page == 0x83) {
		len = vpd_identification(d, buf);
	} else if (d->cd) {
		return 0;
	} else if (page == 0xb0) {
		len = vpd_limits(d, buf);
	} else if (page == 0xb1) {
		be16_put(buf + 4, 1);	/* does not rotate */
		len = 64;
	} else if (page == 0xb2) {
		/* UNMAP and WRITE SAME with UNMAP; what is unmapped reads as zeros; thin.
		 * Or nothing of that: fully provisioned. */
		buf[5] = scsi_thin(d) ? has_sixteen(d) ? 0xe4 : 0xa4 : 0;
		buf[6] = scsi_thin(d) ? 2 : 0;
		len = 8;
	}
	buf[0] = d->cd ? TYPE_CD : TYPE_DISK;
	buf[1] = page;
	if (len)
		be16_put(buf + 2, (uint16_t)(len - 4));
	return len;
}

void scsi_inquiry(struct scsi_dev *d, struct scsi_req *r)
{
	uint8_t buf[128] = { 0 };
	unsigned len;

	if (!(r->cdb[1] & 1)) {
		if (r->cdb[2]) {
			scsi_fail_cdb(r, 2);
			return;
		}
		len = inquiry_standard(d, r, buf);
	} else {
		len = inquiry_vpd(d, r->cdb[2], buf);
		if (!len || r->lun) {
			scsi_fail_cdb(r, 2);
			return;
		}
	}
	scsi_reply(r, buf, len, be16_get(r->cdb + 3));
}

/* --- what is supported --------------------------------------------------------------- */

unsigned scsi_cdb_length(uint8_t op)
{
	static const uint8_t len[8] = { 6, 10, 10, 0, 16, 12, 0, 0 };

	return len[op >> 5];
}

static void opcodes_all(const struct scsi_dev *d, struct scsi_req *r)
{
	bool timeouts = r->cdb[2] & 0x80;
	uint8_t buf[4 + SCSI_COMMANDS * 20] = { 0 };
	unsigned at = 4;

	for (unsigned i = 0; i < d->ncmds && i < SCSI_COMMANDS; i++) {
		const struct scsi_cmd *c = &d->cmds[i];

		if (!scsi_has(d, c))
			continue;
		buf[at] = c->op;
		if (c->flags & CMD_SA)
			be16_put(buf + at + 2, c->sa);
		buf[at + 5] = (timeouts ? 2 : 0) | (c->flags & CMD_SA ? 1 : 0);
		be16_put(buf + at + 6, (uint16_t)scsi_cdb_length(c->op));
		at += 8;
		if (timeouts) {
			be16_put(buf + at, 10);
			at += 12;
		}
	}
	be32_put(buf, at - 4);
	scsi_reply(r, buf, at, be32_get(r->cdb + 6));
}

static const struct scsi_cmd *opcode_find(const struct scsi_dev *d, uint8_t op, bool by_sa,
					  uint16_t sa)
{
	for (unsigned i = 0; i < d->ncmds; i++)
		if (d->cmds[i].op == op && (!by_sa || d->cmds[i].sa == sa))
			return scsi_has(d, &d->cmds[i]) ? &d->cmds[i] : NULL;
	return NULL;
}

/* REPORT SUPPORTED OPERATION CODES: SPC-4, 6.35. */
void scsi_opcodes(struct scsi_dev *d, struct scsi_req *r)
{
	unsigned option = r->cdb[2] & 7, len;
	uint8_t buf[4 + SCSI_CDB_MAX + 12] = { 0 };
	const struct scsi_cmd *c;
	bool sa;

	if (option == 0) {
		opcodes_all(d, r);
		return;
	}
	c = opcode_find(d, r->cdb[3], false, 0);
	sa = c && c->flags & CMD_SA;
	if (option > 3 || (option == 1 && sa) || (option == 2 && c && !sa)) {
		scsi_fail_cdb(r, 2);
		return;
	}
	if (sa)
		c = opcode_find(d, r->cdb[3], true, be16_get(r->cdb + 4));
	buf[1] = c ? 3 : 1;		/* as the standard says; not at all */
	len = c ? scsi_cdb_length(c->op) : 0;
	be16_put(buf + 2, (uint16_t)len);
	if (c) {
		buf[4] = c->op;
		memcpy(buf + 5, c->usage, len - 1);
	}
	len += 4;
	if (c && r->cdb[2] & 0x80) {
		buf[1] |= 0x80;
		be16_put(buf + len, 10);
		len += 12;
	}
	scsi_reply(r, buf, len, be32_get(r->cdb + 6));
}
