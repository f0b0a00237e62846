#ifndef PC_WAIT_H
#define PC_WAIT_H
/* Waiting for a file, pipe or terminal, for as long as the machine is wanted. */

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct pc_wait {
	const _Atomic bool *stop;	/* set: the machine is to end; NULL: never */
	int wake_fd;			/* eventfd, readable when stop was set */
	uint64_t deadline_ns;		/* of clock_ns(); UINT64_MAX: none */
};

/*
 * Wait until fd is ready.
 *
 * w          NULL: without end
 * fd         -1: for the time alone
 * events     as for poll()
 * max_ms     return after so many milliseconds all the same; -1: never
 * Returns    0, -EINTR: the machine is to end, -ETIMEDOUT: the deadline passed
 */
int pc_wait_fd(const struct pc_wait *w, int fd, short events, int max_ms, struct err *e);

/*
 * Open a file for writing, made or emptied; a named pipe when it has a reader, which
 * is waited for.
 * Returns    a descriptor with O_NONBLOCK, or -errno, with those of pc_wait_fd()
 */
int pc_wait_open(const struct pc_wait *w, const char *path, struct err *e);
#endif
