#include "pc/wait.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>

#include "base/clock.h"

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
