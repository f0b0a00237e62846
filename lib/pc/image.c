#include "pc/image.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SKIP_CHUNK (1u << 20)

/* Pipes are fine too (a shell's <(...)): the length shows at the end. */
static int read_all(struct image *im, int fd, size_t max, const struct pc_wait *w,
		    struct err *e)
{
	size_t room = 0;

	while (im->len < max) {
		uint8_t *p;
		ssize_t n;
		int rc;

		if (im->len == room) {
			room = room ? room * 2 : 1 << 20;
			room = room < max ? room : max;
			p = realloc(im->data, room);
			if (!p)
				return err_set(e, -ENOMEM, "%s: out of memory", im->path);
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
	}
	return 0;
}

/* Go to where the part begins. */
static int skip(struct image *im, int fd, uint64_t off, const struct pc_wait *w,
		struct err *e)
{
	int rc = 0;

	if (!off || lseek(fd, (off_t)off, SEEK_SET) >= 0)
		return 0;
	if (errno != ESPIPE)
		return err_sys(e, -errno, "%s", im->path);
	while (off && !rc) {
		rc = read_all(im, fd, off < SKIP_CHUNK ? off : SKIP_CHUNK, w, e);
		if (!im->len)
			break;
		off -= im->len;
		im->len = 0;
	}
	image_free(im);
	return rc;
}

static int read_from(struct image *im, int fd, uint64_t off, size_t max,
		     const struct pc_wait *w, struct err *e)
{
	struct stat st;
	int rc;

	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		return err_sys(e, -EISDIR, "%s", im->path);
	rc = skip(im, fd, off, w, e);
	if (!rc)
		rc = read_all(im, fd, max, w, e);
	if (!rc && !im->len)
		rc = err_set(e, -EBADMSG, off ? "%s: no bytes there" : "%s: file is empty",
			     im->path);
	return rc;
}

int image_read_part(struct image *im, const char *path, uint64_t off, size_t len,
		    const struct pc_wait *w, struct err *e)
{
	struct stat st;
	int fd, rc;

	*im = (struct image){ .path = path };
	/* A pipe that no one writes to yet is waited for above. */
	fd = strcmp(path, "-") ? open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) :
		fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return err_sys(e, -errno, "%s", path);
	rc = read_from(im, fd, off, len, w, e);
	if (!rc && !off && !fstat(fd, &st) && S_ISREG(st.st_mode)) {
		im->file = fd + 1;
		im->changed = st.st_mtim;
		return 0;
	}
	close(fd);
	if (rc)
		image_free(im);
	return rc;
}

static int too_long(const char *path, size_t max, struct err *e)
{
	return err_set(e, -EFBIG, "%s: longer than %zu bytes", path, max);
}

int image_read(struct image *im, const char *path, size_t max,
	       const struct pc_wait *w, struct err *e)
{
	struct stat st;
	int rc;

	*im = (struct image){ .path = path };
	/* What says so at once need not be read to see it. */
	if (!stat(path, &st) && S_ISREG(st.st_mode) && (uint64_t)st.st_size > max)
		return too_long(path, max, e);
	/* "./-": here a dash is a file like any other. */
	rc = image_read_part(im, strcmp(path, "-") ? path : "./-", 0, max + 1, w, e);
	if (!rc && im->len > max) {
		rc = too_long(path, max, e);
		image_free(im);
	}
	return rc;
}

void image_unload(struct image *im)
{
	if (!im->file)
		return;
	free(im->data);
	im->data = NULL;
}

static bool same_file(const struct image *im)
{
	struct stat st;

	return !fstat(im->file - 1, &st) && (uint64_t)st.st_size == im->len &&
	       st.st_mtim.tv_sec == im->changed.tv_sec &&
	       st.st_mtim.tv_nsec == im->changed.tv_nsec;
}

int image_reload(struct image *im, struct err *e)
{
	size_t done = 0;
	ssize_t n = 1;

	if (im->data || !im->file)
		return 0;
	im->data = malloc(im->len);
	if (!im->data)
		return err_set(e, -ENOMEM, "%s: out of memory", im->path);
	while (done < im->len && n) {
		n = pread(im->file - 1, im->data + done, im->len - done, (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, -errno, "%s", im->path);
		done += (size_t)n;
	}
	if (done < im->len || !same_file(im))
		return err_set(e, -ESTALE, "%s: it was changed since the machine was started; "
			       "start it anew", im->path);
	return 0;
}

void image_free(struct image *im)
{
	free(im->data);
	if (im->file)
		close(im->file - 1);
	im->data = NULL;
	im->len = 0;
	im->file = 0;
}
