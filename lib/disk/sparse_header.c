#include "disk/sparse_header.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/le.h"

enum {			/* offsets of the fields */
	H_MAGIC = 0x00,
	H_VERSION = 0x04,
	H_FLAGS = 0x08,
	H_CAPACITY = 0x0c,
	H_GRAIN = 0x14,
	H_DESC = 0x1c,
	H_DESC_SIZE = 0x24,
	H_GTES = 0x2c,
	H_RGD = 0x30,
	H_GD = 0x38,
	H_OVERHEAD = 0x40,
	H_UNCLEAN = 0x48,
	H_NEWLINE = 0x49,
	H_COMPRESS = 0x4d,
};
static const char newline[4] = "\n \r\n";

#define SECTORS_MAX	(UINT64_C(1) << 53)	/* what is more is no disk: bytes fit 63 bits */
#define DESC_SECTORS_MAX	2048u		/* 1 MiB, as DESC_MAX */

static int check_flags(const struct sparse_header *h, struct err *e)
{
	const uint32_t known = SPARSE_NEWLINE | SPARSE_REDUNDANT | SPARSE_ZEROED |
			       SPARSE_COMPRESSED | SPARSE_MARKERS;

	if (h->version < 1 || h->version > 3)
		return err_set(e, -ENOTSUP, "version is %" PRIu32
			       ", known are 1 to 3", h->version);
	if (h->flags & ~known)
		return err_set(e, -ENOTSUP, "flags is %#" PRIx32 ", known are %#" PRIx32,
			       h->flags, known);
	if (!(h->flags & SPARSE_COMPRESSED)) {
		if (h->flags & SPARSE_MARKERS)
			return err_set(e, -EBADMSG, "flags is %#" PRIx32
				       ": markers, but not compressed", h->flags);
		if (h->compress)
			return err_set(e, -EBADMSG, "compressAlgorithm is %u, but flags is %#"
				       PRIx32 ": not compressed", h->compress, h->flags);
	} else if (h->compress != SPARSE_DEFLATE) {
		return err_set(e, -ENOTSUP, "compressAlgorithm is %u, known is 1 (deflate)",
			       h->compress);
	}
	return 0;
}

static bool power_of_two(uint64_t v)
{
	return v && !(v & (v - 1));
}

static int check_sizes(const struct sparse_header *h, struct err *e)
{
	if (h->capacity > SECTORS_MAX)
		return err_set(e, -EBADMSG, "capacity is %" PRIu64 " sectors, more than any disk",
			       h->capacity);
	if (!power_of_two(h->grain) || h->grain > SPARSE_GRAIN_MAX / SECTOR)
		return err_set(e, -EBADMSG, "grainSize is %" PRIu64
			       " sectors, not a power of two up to %u", h->grain,
			       SPARSE_GRAIN_MAX / SECTOR);
	if (!power_of_two(h->gtes) || h->gtes > SPARSE_GTES_MAX)
		return err_set(e, -EBADMSG, "numGTEsPerGT is %" PRIu32
			       ", not a power of two up to %u", h->gtes, SPARSE_GTES_MAX);
	if (h->desc_size > DESC_SECTORS_MAX)
		return err_set(e, -EBADMSG, "descriptorSize is %" PRIu64
			       " sectors, more than %u", h->desc_size, DESC_SECTORS_MAX);
	if (h->desc > SECTORS_MAX)
		return err_set(e, -EBADMSG, "descriptorOffset is %" PRIu64 " sectors",
			       h->desc);
	if (h->overhead > SECTORS_MAX)
		return err_set(e, -EBADMSG, "overHead is %" PRIu64 " sectors", h->overhead);
	return 0;
}

int sparse_header_decode(struct sparse_header *h, const void *buf, struct err *e)
{
	const uint8_t *p = buf;
	struct sparse_header n;
	int rc;

	if (le32_get(p + H_MAGIC) != SPARSE_MAGIC)
		return err_set(e, -EBADMSG, "not a sparse extent: its magic is %08" PRIx32,
			       le32_get(p + H_MAGIC));
	n.version = le32_get(p + H_VERSION);
	n.flags = le32_get(p + H_FLAGS);
	n.capacity = le64_get(p + H_CAPACITY);
	n.grain = le64_get(p + H_GRAIN);
	n.desc = le64_get(p + H_DESC);
	n.desc_size = le64_get(p + H_DESC_SIZE);
	n.gtes = le32_get(p + H_GTES);
	n.rgd = le64_get(p + H_RGD);
	n.gd = le64_get(p + H_GD);
	n.overhead = le64_get(p + H_OVERHEAD);
	n.unclean = p[H_UNCLEAN];
	n.compress = le16_get(p + H_COMPRESS);
	if ((n.flags & SPARSE_NEWLINE) && memcmp(p + H_NEWLINE, newline, sizeof(newline)))
		return err_set(e, -EBADMSG, "the newline bytes at 73 are %02x %02x %02x %02x: "
			       "the file was transferred as text", p[H_NEWLINE],
			       p[H_NEWLINE + 1], p[H_NEWLINE + 2], p[H_NEWLINE + 3]);
	rc = check_flags(&n, e);
	if (!rc)
		rc = check_sizes(&n, e);
	if (!rc)
		*h = n;
	return rc;
}

void sparse_header_encode(void *buf, const struct sparse_header *h)
{
	uint8_t *p = buf;

	memset(p, 0, SECTOR);
	le32_put(p + H_MAGIC, SPARSE_MAGIC);
	le32_put(p + H_VERSION, h->version);
	le32_put(p + H_FLAGS, h->flags);
	le64_put(p + H_CAPACITY, h->capacity);
	le64_put(p + H_GRAIN, h->grain);
	le64_put(p + H_DESC, h->desc);
	le64_put(p + H_DESC_SIZE, h->desc_size);
	le32_put(p + H_GTES, h->gtes);
	le64_put(p + H_RGD, h->rgd);
	le64_put(p + H_GD, h->gd);
	le64_put(p + H_OVERHEAD, h->overhead);
	p[H_UNCLEAN] = h->unclean;
	memcpy(p + H_NEWLINE, newline, sizeof(newline));
	le16_put(p + H_COMPRESS, h->compress);
}

int sparse_header_read(struct sparse_header *h, struct disk_file *f, struct err *e)
{
	struct sparse_header first, last;
	uint8_t buf[SECTOR];
	int rc = file_read(f, buf, SECTOR, 0, e);

	if (!rc)
		rc = sparse_header_decode(&first, buf, e);
	if (rc)
		return rc;
	if (first.gd != SPARSE_GD_AT_END) {
		*h = first;
		return 0;
	}
	if (f->size < 3 * SECTOR)
		return err_set(e, -EBADMSG, "the file is too short for a footer");
	rc = file_read(f, buf, SECTOR, f->size / SECTOR * SECTOR - 2 * SECTOR, e);
	if (!rc)
		rc = sparse_header_decode(&last, buf, e);
	if (rc)
		return err_in(e, rc, "footer (is the end of the file missing?)");
	if (last.gd == SPARSE_GD_AT_END)
		return err_set(e, -EBADMSG, "footer: gdOffset points to a footer again");
	if (last.version != first.version || last.flags != first.flags ||
	    last.capacity != first.capacity || last.grain != first.grain ||
	    last.gtes != first.gtes || last.compress != first.compress)
		return err_set(e, -EBADMSG, "footer: version, flags, capacity, grainSize, "
			       "numGTEsPerGT or compressAlgorithm differ from the header's");
	last.desc = first.desc;
	last.desc_size = first.desc_size;
	*h = last;
	return 0;
}

uint64_t sparse_gd_entries(const struct sparse_header *h)
{
	uint64_t per = h->grain * h->gtes;

	return (h->capacity + per - 1) / per;
}

uint32_t sparse_gt_sectors(const struct sparse_header *h)
{
	return (h->gtes * 4 + SECTOR - 1) / SECTOR;
}

uint64_t sparse_gd_sectors(const struct sparse_header *h)
{
	return (sparse_gd_entries(h) * 4 + SECTOR - 1) / SECTOR;
}
