#ifndef DISK_RING_H
#define DISK_RING_H
/*
 * An io_uring: reads of files that go on while nobody waits for them, as many as there
 * are, by one thread.  Where the kernel or a container's filter forbids it there is
 * none, and threads that block do the same, with more switches between them.
 */

#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"

struct ring;

/* One request; it and its vectors stay until done(). */
struct ring_op {
	int fd, n;
	const struct iovec *iov;	/* n of them */
	uint64_t off;
	/* Called on the ring's thread.  res: bytes or -errno. */
	void (*done)(struct ring_op *op, int res);
	struct ring_op *next;		/* the ring's */
};

/* Returns 0; -EPERM, -ENOSYS, -ENOMEM, ...: it cannot be had here. */
int ring_new(struct ring **r, struct err *e);

/* All requests have ended.  NULL is fine. */
void ring_free(struct ring *r);

/* Begin to read.  Any thread. */
void ring_readv(struct ring *r, struct ring_op *op);
#endif
