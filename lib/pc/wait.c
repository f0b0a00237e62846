#include "pc/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/clock.h"

#define FIFO_RETRY_MS 20

/* Milliseconds to the deadline, rounded up; at most max_ms. */
static int time_left(const struct pc_wait *w, uint64_t now, int max_ms)
{
	uint64_t ms;

	if (!w || w->deadline_ns == UINT64_MAX)
		return max_ms;
	ms = (w->deadline_ns - now) / 1000000 + 1;
	if (max_ms >= 0 && ms > (unsigned)max_ms)
		return max_ms;
	return ms > 1000000 ? 1000000 : (int)ms;
}

int pc_wait_fd(const struct pc_wait *w, int fd, short events, int max_ms, struct err *e)
{
	struct pollfd p[2] = {
		{ .fd = fd, .events = events },
		{ .fd = w ? w->wake_fd : -1, .events = POLLIN },
	};

	for (;;) {
		uint64_t now = clock_ns();

		if (w && w->stop && *w->stop)
			return err_set(e, -EINTR, "stopped");
		if (w && now >= w->deadline_ns)
			return err_set(e, -ETIMEDOUT, "timed out");
		if (poll(p, 2, time_left(w, now, max_ms)) >= 0 &&
		    (p[0].revents || max_ms >= 0))
			return 0;
	}
}

int pc_wait_open(const struct pc_wait *w, const char *path, struct err *e)
{
	struct stat st;
	int fd, rc;

	for (;;) {
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY |
			  O_CLOEXEC, 0666);
		if (fd >= 0)
			return fd;
		rc = -errno;
		if (rc != -ENXIO || stat(path, &st) || !S_ISFIFO(st.st_mode))
			return err_sys(e, rc, "%s", path);
		/* No poll() tells when a pipe gets its reader. */
		rc = pc_wait_fd(w, -1, 0, FIFO_RETRY_MS, e);
		if (rc)
			return err_in(e, rc, path);
	}
}
