#ifndef DISK_CONVERT_H
#define DISK_CONVERT_H
/*
 * All that a disk holds into another, by several threads: they read, uncompress, look
 * for zeros, compress and write side by side; what must come in order is put in order
 * at the end.  Neither side needs to be a disk: streamOptimized extents and raw bytes
 * come from pipes and go into them.
 */

#include "disk/disk.h"
#include "disk/stream.h"

enum convert_kind {
	CONVERT_DISK,		/* from: any; to: one that reads as zeros, at least as large */
	CONVERT_STREAM,		/* a streamOptimized extent, in one pass */
	CONVERT_RAW,		/* bytes, in one pass */
};

struct convert_end {
	enum convert_kind kind;
	struct disk *disk;	/* CONVERT_DISK */
	int fd;			/* the others; from where its file position is */
	uint64_t size;		/* from CONVERT_RAW: bytes of the disk; less at its end are
				 * zeros, more are an error */
	struct stream_reader *reader;	/* from CONVERT_STREAM: of convert_open_stream() */
	void *ahead;		/* with reader: what was read ahead */
	const char *desc;	/* to CONVERT_STREAM: the descriptor */
	size_t desc_len;
};

struct convert_opts {
	unsigned threads;	/* 0: one a processor */
	unsigned level;		/* of compression, see disk/pack.h; 0: PACK_FAST */
	uint64_t bwlimit;	/* bytes of the disk a second, 0: none */
	/* Called by one thread at a time; false: stop, -EINTR.  May be NULL. */
	bool (*progress)(void *ptr, uint64_t done, uint64_t total);
	void *ptr;
};

#define CONVERT_THREADS_MAX 256u

/*
 * Read the beginning of a streamOptimized extent from fd, so that its size and
 * descriptor are known (stream_read_header(), stream_read_desc()).  On success reader
 * and what was read ahead belong to from; convert_close() gives them back.
 */
int convert_open_stream(struct convert_end *from, int fd, struct err *e);
void convert_close(struct convert_end *from);

/* Bytes of the disk at this end. */
uint64_t convert_size(const struct convert_end *from);

/*
 * Copy.  Disks are not flushed; of files nothing is synced.
 *
 * Returns    0; -EINTR: progress() said so; -ENOTSUP: grains out of order, for a target
 *            that needs them in order; -EFBIG: from has more bytes than its size; else
 *            what reading or writing said
 */
int convert(const struct convert_end *from, const struct convert_end *to,
	    const struct convert_opts *o, struct err *e);
#endif
