#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Read fd to its end into a buffer that grows; 0 or -errno. */
static int read_all(int fd, size_t max, size_t hint, uint8_t **buf, size_t *len)
{
	size_t cap = hint < max ? hint + 1 : max + 1, n = 0;
	uint8_t *b = malloc(cap), *nb;
	int rc = -ENOMEM;

	while (b) {
		ssize_t r = read(fd, b + n, cap - n);

		if (r < 0) {
			if (errno == EINTR)
				continue;
			rc = -errno;
			break;
		}
		if (r == 0) {
			*buf = b;
			*len = n;
			return 0;
		}
		n += (size_t)r;
		if (n > max) {
			rc = -EFBIG;
			break;
		}
		if (n < cap)
			continue;
		cap = cap > max / 2 ? max + 1 : cap * 2;
		nb = realloc(b, cap);
		if (!nb)
			break;
		b = nb;
	}
	free(b);
	return rc;
}

int io_read_file(const char *path, size_t max, uint8_t **buf, size_t *len,
		 struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;
	struct stat st;

	if (fd < 0)
		return err_sys(e, -errno, "%s", path);
	rc = fstat(fd, &st) < 0 ? -errno : 0;
	if (!rc && S_ISDIR(st.st_mode))
		rc = -EISDIR;
	if (!rc)
		rc = read_all(fd, max, st.st_size > 0 ? (size_t)st.st_size : 65536,
			      buf, len);
	close(fd);
	return rc ? err_sys(e, rc, "%s", path) : 0;
}

int io_write_all(int fd, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	while (len) {
		ssize_t r = write(fd, p, len);

		if (r < 0 && errno == EAGAIN) {
			struct pollfd pfd = { .fd = fd, .events = POLLOUT };

			poll(&pfd, 1, -1);
			continue;
		}
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		p += r;
		len -= (size_t)r;
	}
	return 0;
}
