#ifndef DISK_SPARSE_HEADER_H
#define DISK_SPARSE_HEADER_H
/*
 * The header of a hosted sparse extent (magic "KDMV"): monolithicSparse,
 * twoGbMaxExtentSparse and streamOptimized.
 * Spec: VMware Virtual Disk Format 5.0, "Hosted Sparse Extent Header" and "Stream-
 * Optimized Compressed Sparse Extents".
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "disk/file.h"

#define SPARSE_MAGIC		0x564d444bu	/* "KDMV" */
#define SPARSE_GD_AT_END	UINT64_MAX	/* gd: in the footer, 1024 bytes from the end */
#define SPARSE_DEFLATE		1		/* compress */
#define SPARSE_GRAIN_MAX	(32u << 20)	/* bytes */
#define SPARSE_GTES_MAX		65536u

enum sparse_flags {
	SPARSE_NEWLINE = 1u << 0,	/* the newline bytes are there to be tested */
	SPARSE_REDUNDANT = 1u << 1,	/* the grain tables are there twice */
	SPARSE_ZEROED = 1u << 2,	/* an entry of 1 is a grain of zeros */
	SPARSE_COMPRESSED = 1u << 16,
	SPARSE_MARKERS = 1u << 17,
};

/* Offsets and sizes are in sectors, as the fields are. */
struct sparse_header {
	uint32_t version;
	uint32_t flags;
	uint64_t capacity;
	uint64_t grain;		/* a power of two */
	uint64_t desc, desc_size;	/* the embedded descriptor; 0: none */
	uint32_t gtes;		/* entries of a grain table, a power of two */
	uint64_t rgd, gd;	/* the redundant grain directory, and the grain directory */
	uint64_t overhead;	/* grains begin here */
	bool unclean;
	uint16_t compress;
};

/*
 * Decode and check one.  What is checked is what the fields say by themselves; whether
 * offsets lie in the file is the caller's to see.
 *
 * buf        SECTOR bytes
 * h          filled in only on success
 * Returns    0; -EBADMSG: not a sparse extent, or damaged, the message names the field;
 *            -ENOTSUP: a version, flag or algorithm that is not known here
 */
int sparse_header_decode(struct sparse_header *h, const void *buf, struct err *e);

/* The SECTOR bytes of h. */
void sparse_header_encode(void *buf, const struct sparse_header *h);

/*
 * Read the header that counts: the first sector, or the footer that it points to.
 * What the footer must repeat (version, capacity, grain, gtes) is compared.
 */
int sparse_header_read(struct sparse_header *h, struct disk_file *f, struct err *e);

/* Entries of a grain directory. */
uint64_t sparse_gd_entries(const struct sparse_header *h);
/* Sectors of one grain table, and of a grain directory. */
uint32_t sparse_gt_sectors(const struct sparse_header *h);
uint64_t sparse_gd_sectors(const struct sparse_header *h);

/* The markers between the parts of a streamOptimized extent: a sector with the
 * sectors that follow at 0, 0 at 8 (a grain has its size there), a type at 12. */
#define SPARSE_GRAIN_HEAD	12	/* bytes before a packed grain: u64 sector, u32 size */
enum sparse_marker {
	SPARSE_MARK_EOS = 0,
	SPARSE_MARK_GT = 1,
	SPARSE_MARK_GD = 2,
	SPARSE_MARK_FOOTER = 3,
	SPARSE_MARK_PROGRESS = 4,	/* of the writer; not in the specification */
};

/* The most bytes that a packed grain of so many bytes may have and be believed. */
static inline uint64_t sparse_packed_max(uint64_t grain)
{
	return grain + grain / 8 + 1024;
}
#endif
