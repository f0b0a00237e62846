#include "disk/sesparse_journal.h"

#include <errno.h>
#include <string.h>

#include "base/le.h"

enum {			/* offsets of the fields */
	J_MAGIC = 0x00,
	J_VERSION = 0x08,
	J_CRC = 0x0c,
	J_NEXT_TXN = 0x10,
	J_SECTORS_CRC = 0x18,
};
static const char magic[8] = { 'R', '1', 'S', 'E', 'J', 'R', 'N', 'L' };

/* CRC-32C (RFC 3720, appendix B.4), bit by bit: it is for a few sectors. */
static uint32_t crc32c(const uint8_t *p, size_t n)
{
	uint32_t c = ~0u;

	while (n--) {
		c ^= *p++;
		for (int i = 0; i < 8; i++)
			c = c >> 1 ^ (c & 1 ? 0x82f63b78u : 0);
	}
	return ~c;
}

static bool head_sound(const uint8_t *p)
{
	return !memcmp(p, magic, sizeof(magic)) && le32_get(p + J_VERSION) == 1 &&
	       le32_get(p + J_CRC) == crc32c(p + J_NEXT_TXN, SECTOR - J_NEXT_TXN);
}

int se_journal_read(struct se_journal *j, struct disk_file *f, uint64_t head, uint64_t at,
		    struct err *e)
{
	uint8_t buf[SECTOR];
	uint64_t end = f->size / SECTOR;
	int rc;

	if (head >= end || at >= end || at + 2 > end)
		return err_set(e, -ENOTSUP, "the journal lies outside the file");
	rc = file_read(f, buf, sizeof(buf), head * SECTOR, e);
	if (!rc)
		rc = file_read(f, j->sector, sizeof(j->sector), at * SECTOR, e);
	if (rc)
		return rc;
	if (!head_sound(buf) ||
	    le32_get(buf + J_SECTORS_CRC) != crc32c(j->sector[0], sizeof(j->sector)))
		return err_set(e, -ENOTSUP, "the journal is not one of ours");
	j->next_txn = le64_get(buf + J_NEXT_TXN);
	return 0;
}

bool se_journal_ours(struct disk_file *f, const struct se_header *h, uint64_t next_txn)
{
	uint64_t head = h->part[SE_JOURNAL_HEADER].off;
	uint8_t buf[SECTOR];

	return head < f->size / SECTOR && !file_read(f, buf, sizeof(buf), head * SECTOR, NULL) &&
	       head_sound(buf) && le64_get(buf + J_NEXT_TXN) == next_txn;
}

static int write_head(struct disk_file *f, const struct se_header *h, uint64_t next_txn,
		      uint32_t sectors_crc, struct err *e)
{
	uint8_t buf[SECTOR] = { 0 };

	memcpy(buf, magic, sizeof(magic));
	le32_put(buf + J_VERSION, 1);
	le64_put(buf + J_NEXT_TXN, next_txn);
	le32_put(buf + J_SECTORS_CRC, sectors_crc);
	le32_put(buf + J_CRC, crc32c(buf + J_NEXT_TXN, SECTOR - J_NEXT_TXN));
	return file_write(f, buf, sizeof(buf), h->part[SE_JOURNAL_HEADER].off * SECTOR, e);
}

int se_journal_sign(struct disk_file *f, const struct se_header *h, uint64_t next_txn,
		    struct err *e)
{
	return write_head(f, h, next_txn, 0, e);
}

static int put_volatile(struct disk_file *f, const struct se_header *h,
			const struct se_volatile *v, struct err *e)
{
	uint8_t buf[SECTOR];
	int rc;

	se_volatile_encode(buf, v);
	rc = file_write(f, buf, sizeof(buf), h->part[SE_VOLATILE].off * SECTOR, e);
	return rc ? rc : file_sync(f, e);
}

int se_journal_switch(struct disk_file *f, const struct se_header *old,
		      const struct se_header *h, struct se_volatile *v, struct err *e)
{
	struct se_volatile dirty = *v, clean = *v;
	uint8_t sector[2][SECTOR];
	int rc;

	clean.next_txn++;
	se_header_encode(sector[0], h);
	se_volatile_encode(sector[1], &clean);
	rc = file_write(f, sector, sizeof(sector), old->part[SE_JOURNAL].off * SECTOR, e);
	if (!rc)
		rc = write_head(f, old, clean.next_txn, crc32c(sector[0], sizeof(sector)), e);
	if (!rc)
		rc = file_sync(f, e);
	/* One word of the volatile header: from here on the new one counts. */
	dirty.replay = true;
	if (!rc)
		rc = put_volatile(f, old, &dirty, e);
	if (!rc)
		rc = file_write(f, sector[0], SECTOR, 0, e);
	if (!rc)
		rc = file_sync(f, e);
	if (!rc)
		rc = put_volatile(f, h, &clean, e);
	if (!rc)
		*v = clean;
	return rc;
}
