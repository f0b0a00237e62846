#include "disk/sesparse_header.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/le.h"
#include "disk/extent.h"

enum {			/* offsets of the fields, each 8 bytes */
	H_MAGIC = 0x00,
	H_VERSION = 0x08,
	H_CAPACITY = 0x10,
	H_GRAIN = 0x18,
	H_GT_SECTORS = 0x20,
	H_FLAGS = 0x28,
	H_RESERVED = 0x30,	/* four of them */
	H_PARTS = 0x50,		/* offset and size of each */
	H_PAD = 0xd0,

	V_MAGIC = 0x00,
	V_FREE_GT = 0x08,
	V_NEXT_TXN = 0x10,
	V_REPLAY = 0x18,
	V_PAD = 0x20,
};

#define SECTORS_MAX	(UINT64_C(1) << 53)	/* what is more is no disk: bytes fit 63 bits */
#define MIB		2048u			/* sectors */

const char *const se_part_name[SE_PARTS] = {
	"volatileHeader", "journalHeader", "journal", "grainDirectory", "grainTables",
	"freeBitmap", "backMap", "grain",
};

static bool all_zero(const uint8_t *p, size_t n)
{
	return !n || (!p[0] && !memcmp(p, p + 1, n - 1));
}

static uint64_t pages_up(uint64_t sectors)
{
	return (sectors + SE_PAGE_SECTORS - 1) / SE_PAGE_SECTORS * SE_PAGE_SECTORS;
}

/* Sectors that so many entries of 8 bytes, or so many bits, take. */
static uint64_t words_sectors(uint64_t n) { return pages_up((n + 63) / 64); }
static uint64_t bits_sectors(uint64_t n) { return pages_up((n + SECTOR * 8 - 1) / (SECTOR * 8)); }

static int check_area(const struct se_header *h, enum se_part i, struct err *e)
{
	uint64_t off = h->part[i].off, size = h->part[i].size;

	if (off > SECTORS_MAX || size > SECTORS_MAX)
		return err_set(e, -EBADMSG, "%s is <%" PRIu64 ": %" PRIu64
			       ">, more than any file", se_part_name[i], off, size);
	if (size && !off)
		return err_set(e, -EBADMSG, "%s lies on the header", se_part_name[i]);
	for (unsigned k = 0; k < i; k++) {
		uint64_t koff = h->part[k].off, ksize = h->part[k].size;

		if (size && ksize && off < koff + ksize && koff < off + size)
			return err_set(e, -EBADMSG, "%s <%" PRIu64 ": %" PRIu64 "> and %s <%" PRIu64
				       ": %" PRIu64 "> lie in each other", se_part_name[k], koff,
				       ksize, se_part_name[i], off, size);
	}
	return 0;
}

static int check_fields(const struct se_header *h, struct err *e)
{
	int rc;

	if (!h->grain || (h->grain & (h->grain - 1)) || h->grain > DISK_GRAIN_MAX / SECTOR)
		return err_set(e, -EBADMSG, "grainSize is %" PRIu64
			       " sectors, not a power of two up to %u", h->grain,
			       DISK_GRAIN_MAX / SECTOR);
	if (!h->capacity || h->capacity > SECTORS_MAX)
		return err_set(e, -EBADMSG, "capacity is %" PRIu64 " sectors", h->capacity);
	for (unsigned i = 0; i < SE_PARTS; i++) {
		rc = check_area(h, i, e);
		if (rc)
			return rc;
	}
	if (!h->part[SE_VOLATILE].size)
		return err_set(e, -EBADMSG, "volatileHeader has no room");
	if (h->part[SE_DIRECTORY].size < words_sectors(se_tables(h)))
		return err_set(e, -EBADMSG, "grainDirectory has %" PRIu64 " sectors, but capacity "
			       "takes %" PRIu64, h->part[SE_DIRECTORY].size,
			       words_sectors(se_tables(h)));
	return 0;
}

int se_header_decode(struct se_header *h, const void *buf, struct err *e)
{
	const uint8_t *p = buf;
	struct se_header n;
	int rc;

	if (le64_get(p + H_MAGIC) != SE_MAGIC)
		return err_set(e, -EBADMSG, "not a seSparse extent: constMagic is %#" PRIx64,
			       le64_get(p + H_MAGIC));
	if (le64_get(p + H_VERSION) != SE_VERSION)
		return err_set(e, -ENOTSUP, "version is %#" PRIx64 ", known is %#" PRIx64
			       " (2.1)", le64_get(p + H_VERSION), SE_VERSION);
	if (le64_get(p + H_GT_SECTORS) != SE_GT_SECTORS)
		return err_set(e, -ENOTSUP, "grainTableSize is %" PRIu64 ", known is %u",
			       le64_get(p + H_GT_SECTORS), SE_GT_SECTORS);
	if (le64_get(p + H_FLAGS))
		return err_set(e, -ENOTSUP, "flags is %#" PRIx64 ", known is 0",
			       le64_get(p + H_FLAGS));
	if (!all_zero(p + H_RESERVED, H_PARTS - H_RESERVED))
		return err_set(e, -ENOTSUP, "the reserved fields are not 0");
	if (!all_zero(p + H_PAD, SECTOR - H_PAD))
		return err_set(e, -ENOTSUP, "the header goes on behind byte %u", H_PAD);
	n.capacity = le64_get(p + H_CAPACITY);
	n.grain = le64_get(p + H_GRAIN);
	for (unsigned i = 0; i < SE_PARTS; i++) {
		n.part[i].off = se_raw_offset(p, i);
		n.part[i].size = le64_get(p + H_PARTS + i * 16 + 8);
	}
	rc = check_fields(&n, e);
	if (!rc)
		*h = n;
	return rc;
}

void se_header_encode(void *buf, const struct se_header *h)
{
	uint8_t *p = buf;

	memset(p, 0, SECTOR);
	le64_put(p + H_MAGIC, SE_MAGIC);
	le64_put(p + H_VERSION, SE_VERSION);
	le64_put(p + H_CAPACITY, h->capacity);
	le64_put(p + H_GRAIN, h->grain);
	le64_put(p + H_GT_SECTORS, SE_GT_SECTORS);
	for (unsigned i = 0; i < SE_PARTS; i++) {
		le64_put(p + H_PARTS + i * 16, h->part[i].off);
		le64_put(p + H_PARTS + i * 16 + 8, h->part[i].size);
	}
}

int se_volatile_decode(struct se_volatile *v, const void *buf, struct err *e)
{
	const uint8_t *p = buf;

	if (le64_get(p + V_MAGIC) != SE_VOLATILE_MAGIC)
		return err_set(e, -EBADMSG, "volatileMagic is %#" PRIx64 ", should be %#" PRIx64,
			       le64_get(p + V_MAGIC), SE_VOLATILE_MAGIC);
	if (!all_zero(p + V_PAD, SECTOR - V_PAD))
		return err_set(e, -ENOTSUP, "the volatile header goes on behind byte %u", V_PAD);
	v->free_gt = le64_get(p + V_FREE_GT);
	v->next_txn = le64_get(p + V_NEXT_TXN);
	v->replay = le64_get(p + V_REPLAY) != 0;
	return 0;
}

void se_volatile_encode(void *buf, const struct se_volatile *v)
{
	uint8_t *p = buf;

	memset(p, 0, SECTOR);
	le64_put(p + V_MAGIC, SE_VOLATILE_MAGIC);
	le64_put(p + V_FREE_GT, v->free_gt);
	le64_put(p + V_NEXT_TXN, v->next_txn);
	le64_put(p + V_REPLAY, v->replay);
}

uint64_t se_raw_offset(const void *buf, enum se_part part)
{
	return le64_get((const uint8_t *)buf + H_PARTS + part * 16);
}

int se_header_writable(const struct se_header *h, struct err *e)
{
	const uint64_t need[SE_PARTS] = {
		[SE_VOLATILE] = 1,
		[SE_JOURNAL_HEADER] = 1,
		[SE_JOURNAL] = 2,
		[SE_DIRECTORY] = words_sectors(se_tables(h)),
		[SE_TABLES] = se_tables(h) * SE_GT_SECTORS,
		[SE_BITMAP] = bits_sectors(se_room(h)),
		[SE_BACKMAP] = words_sectors(se_room(h)),
		[SE_GRAINS] = se_grains(h) * h->grain,
	};

	for (unsigned i = 0; i < SE_PARTS; i++)
		if (h->part[i].size < need[i])
			return err_set(e, -ENOTSUP, "%s has %" PRIu64 " sectors, writing takes %"
				       PRIu64, se_part_name[i], h->part[i].size, need[i]);
	return 0;
}

void se_layout(struct se_header *h, uint64_t at)
{
	const uint64_t need[SE_PARTS] = {
		[SE_DIRECTORY] = words_sectors(se_tables(h)),
		[SE_TABLES] = se_tables(h) * SE_GT_SECTORS,
		[SE_GRAINS] = se_grains(h) * h->grain,
		[SE_BITMAP] = bits_sectors((se_grains(h) * h->grain + MIB) / h->grain),
		[SE_BACKMAP] = words_sectors((se_grains(h) * h->grain + MIB) / h->grain),
	};

	for (unsigned i = SE_DIRECTORY; i < SE_PARTS; i++) {
		h->part[i].off = at;
		h->part[i].size = (need[i] + MIB - 1) / MIB * MIB;
		at += h->part[i].size;
	}
}
