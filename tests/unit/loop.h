#ifndef LOOP_H
#define LOOP_H
/* A file as a block device: needs root and /dev/loop-control. */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct loop {
	int fd;			/* keeps it; closing it takes the device away */
	char path[32];
};

/* false, and it is said why: there can be none here. */
static inline bool loop_make(struct loop *l, const char *file)
{
	struct loop_config c = { .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), n;

	l->fd = -1;
	c.fd = (uint32_t)open(file, O_RDWR | O_CLOEXEC);
	for (unsigned tries = 0; control >= 0 && tries < 8; tries++) {	/* others want one, too */
		n = ioctl(control, LOOP_CTL_GET_FREE);
		if (n < 0)
			break;
		snprintf(l->path, sizeof(l->path), "/dev/loop%d", n);
		l->fd = open(l->path, O_RDWR | O_CLOEXEC);
		if (l->fd < 0 || !ioctl(l->fd, LOOP_CONFIGURE, &c) || errno != EBUSY)
			break;
		close(l->fd);
		l->fd = -1;
	}
	if (l->fd >= 0 && ioctl(l->fd, LOOP_GET_STATUS64, &c.info)) {
		close(l->fd);
		l->fd = -1;
	}
	if (l->fd < 0)
		printf("skipped: no loop device here: %s\n", strerror(errno));
	close((int)c.fd);
	close(control);
	return l->fd >= 0;
}

static inline void loop_free(struct loop *l)
{
	close(l->fd);
}
#endif
