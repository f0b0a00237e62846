#ifndef DISK_CONVERT_IMPL_H
#define DISK_CONVERT_IMPL_H
/* What the files of convert.h share. */
#include <pthread.h>

#include "disk/convert.h"

#define WINDOW		(1u << 20)	/* bytes of the disk moved at once, at least */

struct packed_grain {
	uint64_t sector;
	uint32_t at, len;	/* in work->in */
};

/* A window of the disk on its way. */
struct work {
	struct work *next;	/* in the list of those that are free */
	uint64_t seq;
	uint64_t off, len;
	uint64_t before;	/* bytes given out before it */
	uint8_t *data;		/* window bytes */
	unsigned n;		/* CONVERT_STREAM: packed grains, still to be put into data */
	struct packed_grain *packed;
	uint8_t *in;
	bool *there;		/* which source grains of the window were in the stream */
	struct stream_batch *batch;	/* to CONVERT_STREAM: what it becomes */
	unsigned batches;
	struct err err;
};

struct convert {
	const struct convert_end *from, *to;
	struct convert_opts o;
	uint64_t size, window;
	uint64_t block;		/* zeros of this size are left out */
	uint64_t grain;		/* of a source stream */
	uint64_t started_ns;
	_Atomic bool stop;
	_Atomic uint64_t stored;	/* to CONVERT_DISK: bytes written */
	/* Two locks, taken in this order.  source: */
	pthread_mutex_t source;
	uint64_t pos;		/* of the disk: what is before was given out */
	uint64_t given;		/* bytes given out */
	uint64_t seq;		/* of the next work given out */
	bool ended;
	uint8_t *ahead;		/* a grain that was read and belongs to the next window */
	uint64_t ahead_sector;
	uint32_t ahead_len;
	/* lock: */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int rc;
	struct err err;
	struct work *idle;
	struct work **done;	/* in order: a ring of works, by seq */
	unsigned works;
	uint64_t next;		/* of the next work to be written in order */
	bool writing;
	/* Who is writing in order: */
	struct stream_writer *writer;
	uint64_t written;	/* to CONVERT_RAW: bytes */
};

/* convert_io.c: files that are read and written in one pass */
int convert_read_fd(int fd, void *buf, size_t len, size_t *got, struct err *e);
int convert_write_fd(void *fd, const void *buf, size_t len, struct err *e);

/* Zeros from end to end? */
bool convert_is_zero(const void *buf, size_t len);

/* convert_ends.c.  Give out the next window; w->len 0: there is none.  With the
 * lock of the source. */
int convert_fetch(struct convert *c, struct work *w);
/* Fill w->data. */
int convert_fill(struct convert *c, struct work *w);
/* To a disk: write what is not zeros. */
int convert_store(struct convert *c, struct work *w);
/* In order: make batches of it, write it; the latter by one thread at a time. */
int convert_prepare(struct convert *c, struct work *w, struct pack *p);
int convert_put(struct convert *c, struct work *w, struct err *e);
int convert_begin(struct convert *c, struct err *e);
int convert_finish(struct convert *c, struct err *e);
#endif
