#ifndef DISK_SESPARSE_HEADER_H
#define DISK_SESPARSE_HEADER_H
/*
 * The headers of a seSparse extent, and the entries of its tables.  VMware publishes
 * nothing of it; known are the names, order and sizes of the fields and areas (ESXi
 * logs them when it makes one), what readers of the format have found out, and
 * nothing more: man/vmdk.5 says which is which.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "disk/file.h"

#define SE_MAGIC	UINT64_C(0xcafebabe)
#define SE_VERSION	UINT64_C(0x200000001)		/* 2.1 */
#define SE_VOLATILE_MAGIC UINT64_C(0xcafecafe)
#define SE_GTES		4096u		/* entries of a grain table */
#define SE_GT_SECTORS	64u
#define SE_PAGE		4096u		/* bytes: areas are whole numbers of these */
#define SE_PAGE_SECTORS	8u

/* Areas of the file, in the order of the header's fields. */
enum se_part {
	SE_VOLATILE, SE_JOURNAL_HEADER, SE_JOURNAL, SE_DIRECTORY, SE_TABLES, SE_BITMAP,
	SE_BACKMAP, SE_GRAINS,
	SE_PARTS
};
extern const char *const se_part_name[SE_PARTS];

/* The constant header; all in sectors, as the fields are. */
struct se_header {
	uint64_t capacity;
	uint64_t grain;		/* a power of two; 8 in all that ESX makes */
	struct { uint64_t off, size; } part[SE_PARTS];
};

/* The volatile header. */
struct se_volatile {
	uint64_t free_gt;	/* the next grain table to be used */
	uint64_t next_txn;
	bool replay;		/* the journal is to be replayed */
};

#define SE_TYPE_SHIFT	60
enum se_type {			/* of a grain table entry */
	SE_ABSENT = 0,		/* the parent's */
	SE_UNMAPPED = 1,	/* zeros; says which grain it had */
	SE_ZERO = 2,
	SE_ALLOCATED = 3,
};

/* The entry of a grain: the low 12 bits of its number lie above the others. */
static inline uint64_t se_entry(uint64_t grain)
{
	return (uint64_t)SE_ALLOCATED << SE_TYPE_SHIFT | (grain & 0xfff) << 48 | grain >> 12;
}

static inline unsigned se_type(uint64_t entry) { return entry >> SE_TYPE_SHIFT; }

static inline uint64_t se_grain(uint64_t entry)
{
	return (entry >> 48 & 0xfff) | (entry & 0xffffffffffff) << 12;
}

/* A directory entry: 0, or a table's number with this above. */
#define SE_GD_MARK	UINT64_C(0x1000000000000000)

/*
 * Decode and check the constant header: fields by themselves, and that no two areas
 * lie in each other.
 *
 * buf        SECTOR bytes
 * h          filled in only on success
 * Returns    0; -EBADMSG: not a seSparse extent, or damaged, the message names the
 *            field; -ENOTSUP: a version, flag, or anything else that is not known here
 */
int se_header_decode(struct se_header *h, const void *buf, struct err *e);
void se_header_encode(void *buf, const struct se_header *h);

int se_volatile_decode(struct se_volatile *v, const void *buf, struct err *e);
void se_volatile_encode(void *buf, const struct se_volatile *v);

/* Where an area begins, in sectors, of a header that was not decoded yet. */
uint64_t se_raw_offset(const void *buf, enum se_part part);

/*
 * Has each area the size that writing takes?
 * Returns    0, -ENOTSUP: the message names the area
 */
int se_header_writable(const struct se_header *h, struct err *e);

/* Grains of the disk, tables for them, grains that the file has room for. */
static inline uint64_t se_grains(const struct se_header *h)
{
	return (h->capacity + h->grain - 1) / h->grain;
}

static inline uint64_t se_tables(const struct se_header *h)
{
	return (se_grains(h) + SE_GTES - 1) / SE_GTES;
}

static inline uint64_t se_room(const struct se_header *h)
{
	return h->part[SE_GRAINS].size / h->grain;
}

/*
 * Place directory, tables, bitmap, backmap and grains, one behind the other from sector
 * at, each beginning and ending at a whole MiB as ESX has them.  capacity and grain are
 * set already.
 */
void se_layout(struct se_header *h, uint64_t at);
#define SE_FIRST	4096u	/* at, in a new file */
#endif
