#ifndef DISK_COWD_HEADER_H
#define DISK_COWD_HEADER_H
/*
 * The header of a vmfsSparse extent (magic "COWD").
 * Spec: VMware Virtual Disk Format 1.1, "ESX Server Sparse Extents".
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "disk/file.h"

#define COWD_MAGIC	0x44574f43u	/* "COWD" */
#define COWD_HEADER	2048u		/* bytes, four sectors */
#define COWD_HEADER_SECTORS 4u
#define COWD_GTES	4096u		/* entries of a grain table */
#define COWD_GT_SECTORS	32u
#define COWD_SECTORS_MAX UINT32_MAX	/* of the file: sectors are numbered by 32 bits */

/* Grain table entries that are no sector. */
#define COWD_ABSENT	0u		/* the parent's */
#define COWD_ZERO	1u		/* zeros */

enum cowd_flags {
	COWD_ROOT = 1u << 0,
	COWD_CHECKCAPABLE = 1u << 1,
	COWD_INCONSISTENT = 1u << 2,	/* its last user gave it up */
};

/* In sectors, as the fields are. */
struct cowd_header {
	uint32_t flags;
	uint32_t capacity;	/* numSectors */
	uint32_t grain;		/* a power of two */
	uint32_t gd;		/* where the grain directory is */
	uint32_t gd_entries;
	uint32_t free;		/* all that is used lies before it */
	bool unclean;
};

/*
 * Decode and check one.  Whether what it points to lies in the file is the caller's
 * to see.
 *
 * buf        COWD_HEADER bytes
 * h          filled in only on success
 * Returns    0; -EBADMSG: not a vmfsSparse extent, or damaged, the message names the
 *            field; -ENOTSUP: a version or flag that is not known here
 */
int cowd_header_decode(struct cowd_header *h, const void *buf, struct err *e);

/*
 * Put the fields of h into the first SECTOR bytes of a header; what h does not know is
 * left as it is.  "unclean" lies elsewhere: cowd_header_unclean().
 */
void cowd_header_put(void *sector, const struct cowd_header *h);

/* A header of a new extent: COWD_HEADER bytes. */
void cowd_header_encode(void *buf, const struct cowd_header *h);

#define COWD_UNCLEAN	0x670u		/* where uncleanShutdown is, a u32 */

/* Grain tables that an extent of so many sectors needs. */
static inline uint32_t cowd_tables(uint32_t sectors, uint32_t grain)
{
	uint64_t each = (uint64_t)COWD_GTES * grain;

	return (sectors + each - 1) / each;
}

/* Sectors of a grain directory with so many entries. */
static inline uint32_t cowd_gd_sectors(uint32_t entries)
{
	return ((uint64_t)entries * 4 + SECTOR - 1) / SECTOR;
}
#endif
