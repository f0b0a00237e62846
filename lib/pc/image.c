#include "pc/image.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Pipes are fine too (a shell's <(...)): the length shows at the end. */
static int read_all(struct image *im, int fd, size_t max, const struct pc_wait *w,
		    struct err *e)
{
	size_t room = 0;

	for (;;) {
		uint8_t *p;
		ssize_t n;
		int rc;

		if (im->len == room) {
			room = room ? room * 2 : 1 << 20;
			p = realloc(im->data, room);
			if (!p)
				return err_set(e, -ENOMEM, "out of memory");
			im->data = p;
		}
		rc = pc_wait_fd(w, fd, POLLIN, -1, e);
		if (rc)
			return err_in(e, rc, im->path);
		n = read(fd, im->data + im->len, room - im->len);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return err_sys(e, -errno, "%s", im->path);
		if (n == 0)
			break;
		im->len += (size_t)n;
		if (im->len > max)
			return err_set(e, -EFBIG, "%s: longer than %zu bytes",
				       im->path, max);
	}
	return im->len ? 0 : err_set(e, -EBADMSG, "%s: file is empty", im->path);
}

int image_read(struct image *im, const char *path, size_t max,
	       const struct pc_wait *w, struct err *e)
{
	struct stat st;
	int fd, rc;

	*im = (struct image){ .path = path };
	/* A pipe that no one writes to yet is waited for below. */
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, -errno, "%s", path);
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		rc = err_sys(e, -EISDIR, "%s", path);
	else
		rc = read_all(im, fd, max, w, e);
	close(fd);
	if (rc)
		image_free(im);
	return rc;
}

void image_free(struct image *im)
{
	free(im->data);
	im->data = NULL;
	im->len = 0;
}
