#include "disk/cowd_header.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/le.h"
#include "disk/extent.h"

enum {			/* offsets of the fields */
	H_MAGIC = 0x00,
	H_VERSION = 0x04,
	H_FLAGS = 0x08,
	H_CAPACITY = 0x0c,
	H_GRAIN = 0x10,
	H_GD = 0x14,
	H_GD_ENTRIES = 0x18,
	H_FREE = 0x1c,
	/* Then 1028 bytes with the geometry or the parent's name, generation, name,
	 * description, savedGeneration; ESX leaves them empty in its snapshots. */
};

static int check(const struct cowd_header *h, struct err *e)
{
	const uint32_t known = COWD_ROOT | COWD_CHECKCAPABLE | COWD_INCONSISTENT;
	uint32_t tables;

	if (h->flags & ~known)
		return err_set(e, -ENOTSUP, "flags is %#" PRIx32 ", known are %#" PRIx32,
			       h->flags, known);
	if (!h->grain || (h->grain & (h->grain - 1)) || h->grain > DISK_GRAIN_MAX / SECTOR)
		return err_set(e, -EBADMSG, "grainSize is %" PRIu32
			       " sectors, not a power of two up to %u", h->grain,
			       DISK_GRAIN_MAX / SECTOR);
	if (!h->capacity)
		return err_set(e, -EBADMSG, "numSectors is 0");
	tables = cowd_tables(h->capacity, h->grain);
	if (h->gd_entries < tables)
		return err_set(e, -EBADMSG, "numGDEntries is %" PRIu32 ", but numSectors is %"
			       PRIu32 ": that takes %" PRIu32, h->gd_entries, h->capacity,
			       tables);
	if (h->gd < COWD_HEADER_SECTORS ||
	    h->gd > COWD_SECTORS_MAX - cowd_gd_sectors(h->gd_entries))
		return err_set(e, -EBADMSG, "gdOffset is %" PRIu32, h->gd);
	return 0;
}

int cowd_header_decode(struct cowd_header *h, const void *buf, struct err *e)
{
	const uint8_t *p = buf;
	struct cowd_header n = {
		.flags = le32_get(p + H_FLAGS),
		.capacity = le32_get(p + H_CAPACITY),
		.grain = le32_get(p + H_GRAIN),
		.gd = le32_get(p + H_GD),
		.gd_entries = le32_get(p + H_GD_ENTRIES),
		.free = le32_get(p + H_FREE),
		.unclean = le32_get(p + COWD_UNCLEAN) != 0,
	};
	int rc;

	if (le32_get(p + H_MAGIC) != COWD_MAGIC)
		return err_set(e, -EBADMSG, "not a vmfsSparse extent: its magic is %08" PRIx32,
			       le32_get(p + H_MAGIC));
	if (le32_get(p + H_VERSION) != 1)
		return err_set(e, -ENOTSUP, "version is %" PRIu32 ", known is 1",
			       le32_get(p + H_VERSION));
	rc = check(&n, e);
	if (!rc)
		*h = n;
	return rc;
}

void cowd_header_put(void *sector, const struct cowd_header *h)
{
	uint8_t *p = sector;

	le32_put(p + H_FLAGS, h->flags);
	le32_put(p + H_CAPACITY, h->capacity);
	le32_put(p + H_GRAIN, h->grain);
	le32_put(p + H_GD, h->gd);
	le32_put(p + H_GD_ENTRIES, h->gd_entries);
	le32_put(p + H_FREE, h->free);
}

void cowd_header_encode(void *buf, const struct cowd_header *h)
{
	uint8_t *p = buf;

	memset(p, 0, COWD_HEADER);
	le32_put(p + H_MAGIC, COWD_MAGIC);
	le32_put(p + H_VERSION, 1);
	cowd_header_put(p, h);
}
