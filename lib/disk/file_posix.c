/*
 * Files and block devices of this host.  Every change goes through a libc function of
 * its own (pwritev, ftruncate, fallocate, fdatasync): tests record and fail them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "disk/file.h"

#define VECS 256		/* of one call */

static int refuse(const char *path, const struct stat *st, struct err *e)
{
	const char *what = S_ISDIR(st->st_mode) ? "a folder" :
			   S_ISFIFO(st->st_mode) ? "a pipe" :
			   S_ISSOCK(st->st_mode) ? "a socket" :
			   S_ISCHR(st->st_mode) ? "a character device" : "a special file";

	return err_set(e, -EINVAL, "%s: is %s, not a file or block device", path, what);
}

/* Is path something that may be opened at all?  Opening some devices does things. */
static int look(const char *path, unsigned flags, bool *block, struct err *e)
{
	struct stat st;

	if ((flags & FILE_PLAIN) && !lstat(path, &st) && S_ISLNK(st.st_mode))
		return err_set(e, -EPERM, "%s: is a symbolic link, which may lead anywhere",
			       path);
	if (stat(path, &st))
		return (flags & FILE_CREATE) && errno == ENOENT ? 0 :
		       err_sys(e, -errno, "%s", path);
	if (flags & FILE_CREATE)
		return err_sys(e, -EEXIST, "%s", path);
	if (flags & FILE_PLAIN && (S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode)))
		return err_set(e, -EPERM, "%s: is a device, which a descriptor may not "
			       "name by itself", path);
	*block = S_ISBLK(st.st_mode);
	return S_ISREG(st.st_mode) || *block ? 0 : refuse(path, &st, e);
}

/* Is this limit of the device's queue there, and not 0?  A partition has its disk's. */
static bool has_limit(dev_t dev, const char *name)
{
	static const char *const where[] = { "queue", "../queue" };
	unsigned long long limit = 0;

	for (unsigned i = 0; i < 2 && !limit; i++) {
		char path[128];
		FILE *in;

		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s/%s", major(dev), minor(dev),
			 where[i], name);
		in = fopen(path, "re");
		if (!in)
			continue;
		if (fscanf(in, "%llu", &limit) != 1)
			limit = 0;
		fclose(in);
	}
	return limit;
}

/* Size and kind of what was opened: it may be another than look() saw. */
static int learn(struct disk_file *f, unsigned flags, struct err *e)
{
	struct stat st;
	uint64_t bytes;

	if (fstat(f->fd, &st))
		return err_sys(e, -errno, "%s", f->path);
	if (S_ISREG(st.st_mode)) {
		f->size = (uint64_t)st.st_size;
		return 0;
	}
	if (!S_ISBLK(st.st_mode) || (flags & FILE_PLAIN))
		return refuse(f->path, &st, e);
	if (ioctl(f->fd, BLKGETSIZE64, &bytes))
		return err_sys(e, -errno, "%s: its size", f->path);
	f->size = bytes;
	f->device = true;
	/* What is discarded reads as zeros only where zeros can be asked for. */
	f->discards = has_limit(st.st_rdev, "discard_max_bytes") &&
		      has_limit(st.st_rdev, "write_zeroes_max_bytes");
	return 0;
}

static int cannot_open(const char *path, int code, bool block, struct err *e)
{
	if (code == -EBUSY && block)
		return err_set(e, -EBUSY, "%s: the device is in use: mounted, or opened by "
			       "somebody who must have it alone", path);
	return err_sys(e, code, "%s", path);
}

static int posix_open(struct disk_file **out, const char *path, unsigned flags,
		      struct err *e)
{
	/* O_NONBLOCK: a FIFO put there since look() does not hold us up. */
	int how = O_CLOEXEC | O_NOCTTY | O_NONBLOCK, rc;
	struct disk_file *f;
	bool block = false;

	rc = look(path, flags, &block, e);
	if (rc)
		return rc;
	how |= flags & (FILE_WRITE | FILE_CREATE) ? O_RDWR : O_RDONLY;
	if (flags & FILE_CREATE)
		how |= O_CREAT | O_EXCL;
	/* The kernel's own way: neither mounted nor open so by others. */
	if (block && flags & FILE_WRITE && !(flags & FILE_SHARED))
		how |= O_EXCL;
	if (flags & FILE_PLAIN)
		how |= O_NOFOLLOW;
	f = file_new(&file_posix, path, 0);
	if (!f)
		return err_set(e, -ENOMEM, "%s: no memory", path);
	f->fd = open(path, how, 0666);
	if (f->fd < 0) {
		rc = cannot_open(path, -errno, block, e);
		goto out_f;
	}
	rc = learn(f, flags, e);
	if (rc)
		goto out_f;
	fcntl(f->fd, F_SETFL, how & O_ACCMODE);
	f->writable = (how & O_ACCMODE) == O_RDWR;
	*out = f;
	return 0;
out_f:
	file_close(f);
	return rc;
}

static void posix_close(struct disk_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
}

/* Where a transfer of several vectors has come to. */
struct place {
	const struct iovec *iov;
	int n;
	size_t done;		/* of iov[0] */
};

static int next_vecs(const struct place *p, struct iovec *part)
{
	int n = p->n < VECS ? p->n : VECS;

	memcpy(part, p->iov, (size_t)n * sizeof(*part));
	part[0].iov_base = (char *)part[0].iov_base + p->done;
	part[0].iov_len -= p->done;
	return n;
}

static void advance(struct place *p, size_t bytes)
{
	bytes += p->done;
	while (p->n && bytes >= p->iov->iov_len) {
		bytes -= p->iov->iov_len;
		p->iov++;
		p->n--;
	}
	p->done = bytes;
}

static int posix_readv(struct disk_file *f, const struct iovec *iov, int n, uint64_t off,
		       struct err *e)
{
	struct place p = { iov, n, 0 };
	struct iovec part[VECS];

	advance(&p, 0);
	while (p.n) {
		ssize_t got = preadv(f->fd, part, next_vecs(&p, part), (off_t)off);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(e, -errno, "%s: reading at byte %llu", f->path,
				       (unsigned long long)off);
		if (got == 0)
			return err_set(e, -EBADMSG, "%s: ends at byte %llu: it was cut off "
				       "while it was in use", f->path,
				       (unsigned long long)off);
		off += (uint64_t)got;
		advance(&p, (size_t)got);
	}
	return 0;
}

static int posix_writev(struct disk_file *f, const struct iovec *iov, int n, uint64_t off,
			struct err *e)
{
	struct place p = { iov, n, 0 };
	struct iovec part[VECS];

	advance(&p, 0);
	while (p.n) {
		ssize_t put = pwritev(f->fd, part, next_vecs(&p, part), (off_t)off);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return err_sys(e, put < 0 ? -errno : -EIO, "%s: writing at byte %llu",
				       f->path, (unsigned long long)off);
		off += (uint64_t)put;
		advance(&p, (size_t)put);
	}
	return 0;
}

static int posix_sync(struct disk_file *f, struct err *e)
{
	return fdatasync(f->fd) ? err_sys(e, -errno, "%s: making it durable", f->path) : 0;
}

static void posix_write_out(struct disk_file *f)
{
	sync_file_range(f->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

static int posix_resize(struct disk_file *f, uint64_t size, struct err *e)
{
	int rc;

	do
		rc = ftruncate(f->fd, (off_t)size);
	while (rc && errno == EINTR);
	return rc ? err_sys(e, -errno, "%s: setting its size", f->path) : 0;
}

/* -ENOTSUP where the file system, or a device for this alignment, has no such thing. */
static int allocate(struct disk_file *f, int mode, uint64_t off, uint64_t len,
		    struct err *e)
{
	int rc;

	do
		rc = fallocate(f->fd, mode, (off_t)off, (off_t)len);
	while (rc && errno == EINTR);
	if (!rc)
		return 0;
	if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL || errno == ENODEV)
		return -ENOTSUP;
	return err_sys(e, -errno, "%s: zeros at byte %llu", f->path, (unsigned long long)off);
}

static int posix_punch(struct disk_file *f, uint64_t off, uint64_t len, struct err *e)
{
	return allocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len, e);
}

static int posix_zero(struct disk_file *f, uint64_t off, uint64_t len, struct err *e)
{
	return allocate(f, FALLOC_FL_ZERO_RANGE, off, len, e);
}

static int posix_data(struct disk_file *f, uint64_t off, uint64_t *start, uint64_t *end,
		      struct err *e)
{
	off_t data = lseek(f->fd, (off_t)off, SEEK_DATA), hole;

	*start = *end = f->size;
	if (data < 0 && errno == ENXIO)
		return 0;
	if (data < 0 && errno == EINVAL) {	/* the file system cannot tell */
		*start = off;
		return 0;
	}
	hole = data < 0 ? -1 : lseek(f->fd, data, SEEK_HOLE);
	if (hole < 0)
		return err_sys(e, -errno, "%s: looking for data", f->path);
	*start = (uint64_t)data;
	*end = (uint64_t)hole;
	return 0;
}

const struct disk_backend file_posix = {
	.name = "file",
	.open = posix_open,
	.readv = posix_readv,
	.writev = posix_writev,
	.sync = posix_sync,
	.write_out = posix_write_out,
	.resize = posix_resize,
	.punch = posix_punch,
	.zero = posix_zero,
	.data = posix_data,
	.close = posix_close,
};
