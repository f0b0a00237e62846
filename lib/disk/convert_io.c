/* Files that are read or written from one end to the other: pipes, most of all. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/convert_impl.h"

#define AHEAD	(256u << 10)	/* bytes of a stream read at once */

int convert_read_fd(int fd, void *buf, size_t len, size_t *got, struct err *e)
{
	*got = 0;
	while (*got < len) {
		ssize_t n = read(fd, (char *)buf + *got, len - *got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, -errno, "reading the input");
		if (n == 0)
			break;
		*got += (size_t)n;
	}
	return 0;
}

int convert_write_fd(void *fd, const void *buf, size_t len, struct err *e)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write((int)(intptr_t)fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, -errno, "writing the output");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Streams are read sector by sector: from a buffer. */
struct ahead {
	int fd;
	size_t at, have;
	uint8_t buf[AHEAD];
};

static int read_ahead(void *ptr, void *buf, size_t len, size_t *got, struct err *e)
{
	struct ahead *a = ptr;

	*got = 0;
	while (*got < len) {
		size_t n = a->have - a->at;
		int rc;

		if (!n) {
			a->at = 0;
			rc = convert_read_fd(a->fd, a->buf, sizeof(a->buf), &a->have, e);
			if (rc)
				return rc;
			if (!a->have)
				break;
			continue;
		}
		if (n > len - *got)
			n = len - *got;
		memcpy((char *)buf + *got, a->buf + a->at, n);
		a->at += n;
		*got += n;
	}
	return 0;
}

int convert_open_stream(struct convert_end *from, int fd, struct err *e)
{
	struct ahead *a = malloc(sizeof(*a));
	struct stream_source s = { read_ahead, a };
	int rc;

	if (!a)
		return err_set(e, -ENOMEM, "no memory to read a stream");
	a->fd = fd;
	a->at = a->have = 0;
	rc = stream_read_begin(&from->reader, &s, e);
	if (rc) {
		free(a);
		return rc;
	}
	from->kind = CONVERT_STREAM;
	from->fd = fd;
	from->ahead = a;
	return 0;
}

void convert_close(struct convert_end *from)
{
	stream_read_free(from->reader);
	free(from->ahead);
	from->reader = NULL;
	from->ahead = NULL;
}
