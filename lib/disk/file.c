/* What all backends share: choosing one, bounds, and what an absent hook means. */
#include "disk/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ZEROS 4096u		/* one page of them, many times in a vector */
#define ZERO_VECS 256

int file_open(struct disk_file **f, const struct disk_backend *const *backends,
	      const char *path, unsigned flags, struct err *e)
{
	const struct disk_backend *b = &file_posix;
	int rc;

	for (; backends && *backends; backends++)
		if ((*backends)->claims && (*backends)->claims(path)) {
			b = *backends;
			break;
		}
	rc = b->open(f, path, flags, e);
	/* Who had it before may have died with writes that are not durable yet. */
	if (!rc && (flags & FILE_WRITE) && !(flags & FILE_CREATE))
		file_written(*f);
	return rc;
}

void file_close(struct disk_file *f)
{
	if (!f)
		return;
	f->ops->close(f);
	free(f->path);
	free(f);
}

struct disk_file *file_new(const struct disk_backend *ops, const char *path, size_t priv)
{
	size_t head = (sizeof(struct disk_file) + 15) & ~(size_t)15;
	struct disk_file *f = calloc(1, head + priv);

	if (!f)
		return NULL;
	f->path = strdup(path);
	if (!f->path) {
		free(f);
		return NULL;
	}
	f->ops = ops;
	f->fd = -1;
	f->priv = (char *)f + head;
	return f;
}

static uint64_t iov_bytes(const struct iovec *iov, int n)
{
	uint64_t len = 0;

	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	return len;
}

bool file_has(struct disk_file *f, uint64_t end)
{
	struct stat st;

	if (end <= f->size)
		return true;
	if (f->writable || f->device || f->fd < 0 || fstat(f->fd, &st) || !S_ISREG(st.st_mode))
		return false;
	f->size = (uint64_t)st.st_size;
	return end <= f->size;
}

int file_readv(struct disk_file *f, const struct iovec *iov, int n, uint64_t off,
	       struct err *e)
{
	uint64_t len = iov_bytes(iov, n), size = f->size;

	if (len == 0)
		return 0;
	if (off > UINT64_MAX - len || !file_has(f, off + len))
		return err_set(e, -EBADMSG, "%s: ends at byte %llu, but there should be "
			       "data up to byte %llu", f->path, (unsigned long long)size,
			       (unsigned long long)off + len);
	return f->ops->readv(f, iov, n, off, e);
}

int file_read(struct disk_file *f, void *buf, size_t len, uint64_t off, struct err *e)
{
	struct iovec v = { buf, len };

	return file_readv(f, &v, 1, off, e);
}

static int read_only(struct disk_file *f, struct err *e)
{
	return err_set(e, -EROFS, "%s: is open for reading only", f->path);
}

/* A write up to byte end has grown the file: several may, at once. */
static void grown(struct disk_file *f, uint64_t end)
{
	uint64_t size = f->size;

	while (size < end && !atomic_compare_exchange_weak(&f->size, &size, end))
		;
}

int file_writev(struct disk_file *f, const struct iovec *iov, int n, uint64_t off,
		struct err *e)
{
	uint64_t len = iov_bytes(iov, n);
	int rc;

	if (len == 0)
		return 0;
	if (!f->writable || !f->ops->writev)
		return read_only(f, e);
	if (off > INT64_MAX || len > INT64_MAX - off)
		return err_set(e, -EFBIG, "%s: no file can hold byte %llu", f->path,
			       (unsigned long long)off);
	if (f->device && (off > f->size || len > f->size - off))
		return err_set(e, -ENOSPC, "%s: the device ends at byte %llu", f->path,
			       (unsigned long long)f->size);
	rc = f->ops->writev(f, iov, n, off, e);
	file_written(f);
	if (!rc)
		grown(f, off + len);
	return rc;
}

int file_write(struct disk_file *f, const void *buf, size_t len, uint64_t off,
	       struct err *e)
{
	struct iovec v = { (void *)buf, len };

	return file_writev(f, &v, 1, off, e);
}

void file_written(struct disk_file *f)
{
	f->writes++;
}

/* Counted, not flagged: one that begins while another runs must not trust that one. */
int file_sync(struct disk_file *f, struct err *e)
{
	uint64_t upto = f->writes, before = f->synced;
	int rc;

	if (before >= upto || !f->ops->sync)
		return 0;
	rc = f->ops->sync(f, e);
	while (!rc && before < upto &&
	       !atomic_compare_exchange_weak(&f->synced, &before, upto))
		;
	return rc;
}

void file_write_out(struct disk_file *f)
{
	if (f->ops->write_out)
		f->ops->write_out(f);
}

int file_resize(struct disk_file *f, uint64_t size, struct err *e)
{
	int rc;

	if (size == f->size)
		return 0;
	if (!f->writable)
		return read_only(f, e);
	if (f->device || !f->ops->resize)
		return err_set(e, -ENOTSUP, "%s: has a fixed size", f->path);
	if (size > INT64_MAX)
		return err_set(e, -EFBIG, "%s: no file can be that long", f->path);
	rc = f->ops->resize(f, size, e);
	file_written(f);
	if (!rc)
		f->size = size;
	return rc;
}

static int write_zeros(struct disk_file *f, uint64_t off, uint64_t len, struct err *e)
{
	static const uint8_t zeros[ZEROS];
	struct iovec iov[ZERO_VECS];
	int rc = 0;

	while (len && !rc) {
		uint64_t some = len;
		int n = 0;

		for (; n < ZERO_VECS && some; n++) {
			iov[n].iov_base = (void *)zeros;
			iov[n].iov_len = some < ZEROS ? some : ZEROS;
			some -= iov[n].iov_len;
		}
		some = len - some;
		rc = file_writev(f, iov, n, off, e);
		off += some;
		len -= some;
	}
	return rc;
}

int file_punch(struct disk_file *f, uint64_t off, uint64_t len, struct err *e)
{
	uint64_t size = f->size;
	int rc = -ENOTSUP;

	if (!f->writable)
		return read_only(f, e);
	if (off >= size || len == 0)
		return 0;
	if (len > size - off)
		len = size - off;
	if (f->ops->punch)
		rc = f->ops->punch(f, off, len, e);
	file_written(f);
	return rc == -ENOTSUP ? write_zeros(f, off, len, e) : rc;
}

int file_zero(struct disk_file *f, uint64_t off, uint64_t len, struct err *e)
{
	int rc = -ENOTSUP;

	if (!f->writable)
		return read_only(f, e);
	if (len == 0)
		return 0;
	if (off > INT64_MAX || len > INT64_MAX - off)
		return err_set(e, -EFBIG, "%s: no file can hold byte %llu", f->path,
			       (unsigned long long)off);
	if (f->device && (off > f->size || len > f->size - off))
		return err_set(e, -ENOSPC, "%s: the device ends at byte %llu", f->path,
			       (unsigned long long)f->size);
	if (f->ops->zero)
		rc = f->ops->zero(f, off, len, e);
	file_written(f);
	if (rc == -ENOTSUP)
		return write_zeros(f, off, len, e);
	if (!rc)
		grown(f, off + len);
	return rc;
}

int file_data(struct disk_file *f, uint64_t off, uint64_t *start, uint64_t *end,
	      struct err *e)
{
	uint64_t size = f->size;

	*start = *end = size;
	if (off >= size)
		return 0;
	if (f->ops->data)
		return f->ops->data(f, off, start, end, e);
	*start = off;
	return 0;
}

int file_sync_dir(const char *path, struct err *e)
{
	char *copy = strdup(path);
	int fd, rc = 0;

	if (!copy)
		return err_set(e, -ENOMEM, "%s: no memory", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* EINVAL: a file system without folders to sync. */
	if (fd < 0 || (fsync(fd) && errno != EINVAL))
		rc = err_sys(e, -errno, "%s: cannot sync its folder", path);
	if (fd >= 0)
		close(fd);
	free(copy);
	return rc;
}

static int write_all(int fd, const char *buf, size_t len)
{
	while (len) {
		ssize_t n = write(fd, buf, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Fill the temporary and put it in the place of path. */
static int replace_by(int fd, const char *tmp, const char *path, const void *buf,
		      size_t len)
{
	struct stat st;
	int rc;

	if (!stat(path, &st)) {
		/* Only root may give files away; others keep what they can. */
		if (fchown(fd, st.st_uid, st.st_gid) && errno != EPERM)
			return -errno;
		if (fchmod(fd, st.st_mode & 07777))
			return -errno;
	}
	rc = write_all(fd, buf, len);
	if (rc)
		return rc;
	return fsync(fd) || rename(tmp, path) ? -errno : 0;
}

int file_replace(const char *path, const void *buf, size_t len, struct err *e)
{
	/* What a symbolic link leads to is replaced, not the link. */
	char *real = realpath(path, NULL), *tmp = NULL;
	const char *target = real ? real : path;
	int fd, rc;

	if (asprintf(&tmp, "%s.tmp", target) < 0) {
		free(real);
		return err_set(e, -ENOMEM, "%s: no memory", path);
	}
	/* One that is there was left by a crash. */
	unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
	rc = fd < 0 ? -errno : replace_by(fd, tmp, target, buf, len);
	if (fd >= 0)
		close(fd);
	if (rc) {
		if (fd >= 0)
			unlink(tmp);
		err_sys(e, rc, "%s", tmp);
	} else {
		rc = file_sync_dir(target, e);
	}
	free(tmp);
	free(real);
	return rc;
}
