#ifndef DISK_STREAM_H
#define DISK_STREAM_H
/*
 * streamOptimized extents in one pass, to and from anything, also a pipe: version 3,
 * markers, the grain directory at the end, a footer.
 * Spec: VMware Virtual Disk Format 5.0, "Stream-Optimized Compressed Sparse Extents".
 *
 * Neither has threads of its own: what takes time, compressing and uncompressing, is
 * done between the calls, by as many threads as there are (disk/convert.h).
 */

#include "disk/pack.h"
#include "disk/sparse_header.h"

#define STREAM_GRAIN		65536u	/* bytes, what ESX expects; readers take others */
#define STREAM_GRAIN_MAX	(1u << 20)	/* up to this in one pass */
#define STREAM_SIZE_MAX		((UINT64_C(1) << 41) - SECTOR)

/* Packed grains as they go into the file, each from a sector on. */
#define STREAM_BATCH		16u
#define STREAM_BATCH_ROOM	(STREAM_BATCH * (STREAM_GRAIN + STREAM_GRAIN / 8 + 2048))
struct stream_batch {
	unsigned n;
	size_t len;		/* bytes, a multiple of SECTOR */
	struct {
		uint64_t grain;	/* number */
		uint32_t at;	/* sector in data */
	} grain[STREAM_BATCH];
	uint8_t data[STREAM_BATCH_ROOM];
};

/* Append a grain (STREAM_GRAIN bytes) to a batch that has room.  For any thread. */
int stream_pack(struct stream_batch *b, struct pack *p, uint64_t grain, const void *buf,
		struct err *e);

/* Writing */

struct stream_writer;

struct stream_target {
	/* Write all of len bytes behind what was written. */
	int (*write)(void *ptr, const void *buf, size_t len, struct err *e);
	void *ptr;
};

/*
 * Begin: writes header and descriptor.
 *
 * size       bytes of the disk, a multiple of SECTOR
 * desc       the descriptor's text, at most 20 sectors
 * Returns    0; -EINVAL: size or descriptor; what write() said
 */
int stream_write_begin(struct stream_writer **w, const struct stream_target *t,
		       uint64_t size, const char *desc, size_t desc_len, struct err *e);

/* Write a batch; its grains are behind those of the batches before, in order. */
int stream_write_batch(struct stream_writer *w, const struct stream_batch *b,
		       struct err *e);

/* Write the last tables, the directory, the footer and the end-of-stream marker. */
int stream_write_end(struct stream_writer *w, struct err *e);
void stream_write_free(struct stream_writer *w);	/* NULL is fine */

/* Reading */

struct stream_reader;

struct stream_source {
	/* Read up to len bytes: *got < len only at the end. */
	int (*read)(void *ptr, void *buf, size_t len, size_t *got, struct err *e);
	void *ptr;
};

/*
 * Begin: reads header and descriptor.
 * Returns    0; -EBADMSG: no sparse extent, or damaged; -ENOTSUP: one that has no
 *            markers, or huge grains, and so is not read in one pass
 */
int stream_read_begin(struct stream_reader **r, const struct stream_source *s,
		      struct err *e);
const struct sparse_header *stream_read_header(const struct stream_reader *r);
/* Its embedded descriptor, NUL-terminated; NULL: none. */
const char *stream_read_desc(const struct stream_reader *r);

/*
 * The next grain, still packed.
 *
 * buf        sparse_packed_max(grain) bytes
 * sector     of the disk
 * len        bytes of packed data; 0: that was the end
 * Returns    0; -EBADMSG: damaged, or the end is missing; what read() said
 */
int stream_read_next(struct stream_reader *r, void *buf, uint64_t *sector, uint32_t *len,
		     struct err *e);
void stream_read_free(struct stream_reader *r);		/* NULL is fine */

/* Uncompress what stream_read_next() gave into grain bytes.  For any thread. */
int stream_unpack(const struct sparse_header *h, const void *packed, uint32_t len,
		  uint64_t sector, void *buf, struct err *e);
#endif
