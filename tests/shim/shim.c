/* See shim.h.  Each function calls the next one of its name: the C library's. */
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FAULTS 16

enum kind { K_READ, K_WRITE, K_SYNC, K_TRUNCATE, K_FALLOCATE, K_OPEN, K_RENAME, K_UNLINK, KINDS };
static const char *const kind_name[KINDS] = {
	"read", "write", "sync", "truncate", "fallocate", "open", "rename", "unlink",
};

struct fault {
	enum kind kind;
	unsigned from;
	bool on;		/* all behind it, too */
	int code;		/* errno; 0: short; -1: kill */
};

static struct {
	pthread_mutex_t lock;
	char dir[4096];
	size_t dir_len;		/* 0: off */
	int log;
	struct fault fault[FAULTS];
	unsigned nfaults, calls[KINDS];
} shim = { .lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP, .log = -1 };

#define NEXT(ret, name, ...) \
	static ret (*next_##name)(__VA_ARGS__); \
	if (!next_##name) \
		next_##name = (ret (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

/* Raw calls, for the shim's own use. */

static ssize_t raw_write(int fd, const void *buf, size_t len)
{
	NEXT(ssize_t, write, int, const void *, size_t);
	return next_write(fd, buf, len);
}

static int raw_open(const char *path, int flags, mode_t mode)
{
	NEXT(int, openat, int, const char *, int, ...);
	return next_openat(AT_FDCWD, path, flags, mode);
}

static void die(const char *what)
{
	static const char msg[] = "shim: cannot go on: ";

	raw_write(2, msg, sizeof(msg) - 1);
	raw_write(2, what, strlen(what));
	raw_write(2, "\n", 1);
	_exit(125);
}

static void parse_faults(const char *s)
{
	shim.nfaults = 0;
	while (s && *s && shim.nfaults < FAULTS) {
		struct fault *f = &shim.fault[shim.nfaults++];
		char call[16], what[16];
		int n = 0, k = 0;

		memset(f, 0, sizeof(*f));
		if (sscanf(s, "%15[a-z]:%u%n", call, &f->from, &n) != 2)
			die("SHIM_FAULT");
		s += n;
		f->on = *s == '+';
		s += f->on;
		if (sscanf(s, ":%15[A-Za-z]%n", what, &n) != 1)
			die("SHIM_FAULT");
		s += n;
		s += *s == ',';
		while (k < KINDS && strcmp(kind_name[k], call))
			k++;
		if (k == KINDS)
			die("SHIM_FAULT: no such call");
		f->kind = (enum kind)k;
		f->code = !strcmp(what, "ENOSPC") ? ENOSPC : !strcmp(what, "EIO") ? EIO :
			  !strcmp(what, "kill") ? -1 : 0;
		if (!f->code && strcmp(what, "short"))
			die("SHIM_FAULT: no such failure");
	}
}

void shim_start(const char *dir, const char *log, const char *fault)
{
	pthread_mutex_lock(&shim.lock);
	if (!realpath(dir, shim.dir))
		die(dir);
	shim.dir_len = strlen(shim.dir);
	memset(shim.calls, 0, sizeof(shim.calls));
	parse_faults(fault);
	if (log) {
		/* Far from the numbers that the program sees. */
		int fd = raw_open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		shim.log = fcntl(fd, F_DUPFD_CLOEXEC, 900);
		if (shim.log < 0)
			die(log);
		close(fd);
	}
	pthread_mutex_unlock(&shim.lock);
}

void shim_stop(void)
{
	pthread_mutex_lock(&shim.lock);
	shim.dir_len = 0;
	if (shim.log >= 0)
		close(shim.log);
	shim.log = -1;
	pthread_mutex_unlock(&shim.lock);
}

unsigned shim_calls(const char *call)
{
	for (unsigned k = 0; k < KINDS; k++)
		if (!strcmp(kind_name[k], call))
			return shim.calls[k];
	return 0;
}

__attribute__((constructor)) static void shim_begin(void)
{
	const char *dir = getenv("SHIM_DIR");

	if (dir)
		shim_start(dir, getenv("SHIM_LOG"), getenv("SHIM_FAULT"));
}

__attribute__((destructor)) static void shim_end(void)
{
	const char *path = getenv("SHIM_COUNT");
	char line[64];
	int fd;

	if (!path || !getenv("SHIM_DIR"))
		return;
	fd = raw_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	for (unsigned k = 0; k < KINDS; k++) {
		int n = snprintf(line, sizeof(line), "%s %u\n", kind_name[k], shim.calls[k]);

		raw_write(fd, line, (size_t)n);
	}
	close(fd);
}

/* The path in the folder: of an absolute one, or NULL. */
static const char *inside(const char *abs)
{
	if (!shim.dir_len || strncmp(abs, shim.dir, shim.dir_len))
		return NULL;
	if (!abs[shim.dir_len])
		return ".";
	return abs[shim.dir_len] == '/' ? abs + shim.dir_len + 1 : NULL;
}

static const char *path_of_fd(int fd, char *buf)
{
	char link[32];
	ssize_t n;

	if (!shim.dir_len)
		return NULL;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, buf, 4095);
	if (n <= 0)
		return NULL;
	buf[n] = 0;
	return inside(buf);
}

/* The folder of path is resolved, its last part is not: it may not be there yet. */
static const char *path_of(int at, const char *path, char *buf)
{
	char folder[4096 + 64], real[4096];
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	int n;

	if (!shim.dir_len)
		return NULL;
	if (path[0] != '/' && at != AT_FDCWD)
		snprintf(folder, sizeof(folder), "/proc/self/fd/%d/%.*s", at,
			 (int)(slash ? slash - path + 1 : 0), path);
	else
		snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path + 1) : 2,
			 slash ? path : "./");
	if (!realpath(folder, real))
		return NULL;
	n = snprintf(buf, 4096, "%s%s%s", !strcmp(real, "/") ? "" : real, *name ? "/" : "", name);
	return n < 4096 ? inside(buf) : NULL;
}

static void record(enum shim_op op, const char *path, const char *path2, unsigned mode,
		   uint64_t off, uint64_t len)
{
	struct shim_record r = {
		.op = op, .mode = mode, .off = off, .len = len,
		.path_len = (uint32_t)strlen(path) + 1,
		.path2_len = path2 ? (uint32_t)strlen(path2) + 1 : 0,
	};

	if (shim.log < 0)
		return;
	raw_write(shim.log, &r, sizeof(r));
	raw_write(shim.log, path, r.path_len);
	if (path2)
		raw_write(shim.log, path2, r.path2_len);
}

static void record_data(const struct iovec *iov, int n, uint64_t len)
{
	for (int i = 0; shim.log >= 0 && i < n && len; i++) {
		size_t some = iov[i].iov_len < len ? iov[i].iov_len : (size_t)len;

		raw_write(shim.log, iov[i].iov_base, some);
		len -= some;
	}
}

/* Count the call.  Returns 0: go on, errno, or -1: half of it only. */
static int hit(enum kind k)
{
	unsigned no = ++shim.calls[k];

	for (unsigned i = 0; i < shim.nfaults; i++) {
		struct fault *f = &shim.fault[i];

		if (f->kind != k || (no != f->from && !(f->on && no > f->from)))
			continue;
		if (f->code < 0)
			kill(getpid(), SIGKILL);
		return f->code ? f->code : -1;
	}
	return 0;
}

static void lock(void)
{
	pthread_mutex_lock(&shim.lock);
}

static ssize_t unlock(ssize_t rc)
{
	int e = errno;

	pthread_mutex_unlock(&shim.lock);
	errno = e;
	return rc;
}

static ssize_t fail(int e)
{
	errno = e;
	return unlock(-1);
}

/* Transfers: all come down to preadv2() and pwritev2(); off -1 is the file's own. */

static ssize_t transfer(bool write, int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	NEXT(ssize_t, preadv2, int, const struct iovec *, int, off_t, int);
	NEXT(ssize_t, pwritev2, int, const struct iovec *, int, off_t, int);
	struct iovec half;
	char buf[4096];
	const char *path;
	ssize_t rc;
	int what;

	lock();
	path = fd == shim.log ? NULL : path_of_fd(fd, buf);
	what = path ? hit(write ? K_WRITE : K_READ) : 0;
	if (what > 0)
		return fail(what);
	if (what < 0 && n > 0) {
		half = (struct iovec){ iov[0].iov_base, iov[0].iov_len / 2 + iov[0].iov_len % 2 };
		iov = &half;
		n = 1;
	}
	rc = write ? next_pwritev2(fd, iov, n, off, flags) : next_preadv2(fd, iov, n, off, flags);
	if (write && path && rc > 0) {
		if (off < 0)
			off = lseek(fd, 0, SEEK_CUR) - rc;
		record(SHIM_WRITE, path, NULL, 0, (uint64_t)off, (uint64_t)rc);
		record_data(iov, n, (uint64_t)rc);
	}
	return unlock(rc);
}

ssize_t preadv2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	return transfer(false, fd, iov, n, off, flags);
}

ssize_t pwritev2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	return transfer(true, fd, iov, n, off, flags);
}

ssize_t preadv(int fd, const struct iovec *iov, int n, off_t off)
{
	return transfer(false, fd, iov, n, off, 0);
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	return transfer(true, fd, iov, n, off, 0);
}

ssize_t pread(int fd, void *buf, size_t len, off_t off)
{
	return transfer(false, fd, &(struct iovec){ buf, len }, 1, off, 0);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t off)
{
	return transfer(true, fd, &(struct iovec){ (void *)buf, len }, 1, off, 0);
}

/* Pipes, terminals: only files of the folder are of interest. */
ssize_t write(int fd, const void *buf, size_t len)
{
	char path[4096];

	if (fd == shim.log || !path_of_fd(fd, path))
		return raw_write(fd, buf, len);
	return transfer(true, fd, &(struct iovec){ (void *)buf, len }, 1, -1, 0);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
	NEXT(ssize_t, writev, int, const struct iovec *, int);
	char path[4096];

	return path_of_fd(fd, path) ? transfer(true, fd, iov, n, -1, 0) : next_writev(fd, iov, n);
}

/* Changes of one file */

int ftruncate(int fd, off_t len)
{
	NEXT(int, ftruncate, int, off_t);
	char buf[4096];
	const char *path;
	int rc, what;

	lock();
	path = path_of_fd(fd, buf);
	what = path ? hit(K_TRUNCATE) : 0;
	if (what > 0)
		return (int)fail(what);
	rc = next_ftruncate(fd, len);
	if (path && !rc)
		record(SHIM_TRUNCATE, path, NULL, 0, (uint64_t)len, 0);
	return (int)unlock(rc);
}

int fallocate(int fd, int mode, off_t off, off_t len)
{
	NEXT(int, fallocate, int, int, off_t, off_t);
	char buf[4096];
	const char *path;
	int rc, what;

	lock();
	path = path_of_fd(fd, buf);
	what = path ? hit(K_FALLOCATE) : 0;
	if (what > 0)
		return (int)fail(what);
	rc = next_fallocate(fd, mode, off, len);
	if (path && !rc)
		record(SHIM_FALLOCATE, path, NULL, (unsigned)mode, (uint64_t)off, (uint64_t)len);
	return (int)unlock(rc);
}

static int sync_by(int (*next)(int), int fd)
{
	char buf[4096];
	const char *path;
	int rc, what;

	lock();
	path = path_of_fd(fd, buf);
	what = path ? hit(K_SYNC) : 0;
	if (what > 0)
		return (int)fail(what);
	/* On the real disk nothing has to be durable here. */
	rc = path ? 0 : next(fd);
	if (path && !rc)
		record(SHIM_SYNC, path, NULL, 0, 0, 0);
	return (int)unlock(rc);
}

int fsync(int fd)
{
	NEXT(int, fsync, int);
	return sync_by(next_fsync, fd);
}

int fdatasync(int fd)
{
	NEXT(int, fdatasync, int);
	return sync_by(next_fdatasync, fd);
}

/* Names */

static int open_by(int at, const char *name, int flags, mode_t mode)
{
	NEXT(int, openat, int, const char *, int, ...);
	char buf[4096];
	const char *path = NULL;
	struct stat st;
	bool new;
	int fd, what;

	if (!(flags & (O_CREAT | O_TRUNC)))
		return next_openat(at, name, flags, mode);
	lock();
	path = path_of(at, name, buf);
	new = path && fstatat(at, name, &st, 0) && errno == ENOENT;
	what = new ? hit(K_OPEN) : 0;
	if (what > 0)
		return (int)fail(what);
	fd = next_openat(at, name, flags, mode);
	if (path && fd >= 0 && new)
		record(SHIM_CREATE, path, NULL, mode, 0, 0);
	else if (path && fd >= 0 && (flags & O_TRUNC))
		record(SHIM_TRUNCATE, path, NULL, 0, 0, 0);
	return (int)unlock(fd);
}

#define MODE_OF(flags) __extension__({ \
	mode_t m_ = 0; \
	if ((flags) & O_CREAT) { \
		va_list ap_; \
		va_start(ap_, flags); \
		m_ = va_arg(ap_, mode_t); \
		va_end(ap_); \
	} \
	m_; })

int openat(int at, const char *name, int flags, ...)
{
	return open_by(at, name, flags, MODE_OF(flags));
}

int open(const char *name, int flags, ...)
{
	return open_by(AT_FDCWD, name, flags, MODE_OF(flags));
}

int creat(const char *name, mode_t mode)
{
	return open_by(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int renameat2(int at, const char *from, int at2, const char *to, unsigned flags)
{
	NEXT(int, renameat2, int, const char *, int, const char *, unsigned);
	char buf[4096], buf2[4096];
	const char *path, *path2;
	int rc, what;

	lock();
	path = path_of(at, from, buf);
	path2 = path_of(at2, to, buf2);
	what = path && path2 ? hit(K_RENAME) : 0;
	if (what > 0)
		return (int)fail(what);
	rc = next_renameat2(at, from, at2, to, flags);
	if (path && path2 && !rc)
		record(SHIM_RENAME, path, path2, flags, 0, 0);
	return (int)unlock(rc);
}

int renameat(int at, const char *from, int at2, const char *to)
{
	return renameat2(at, from, at2, to, 0);
}

int rename(const char *from, const char *to)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int at, const char *from, int at2, const char *to, int flags)
{
	NEXT(int, linkat, int, const char *, int, const char *, int);
	char buf[4096], buf2[4096];
	const char *path, *path2;
	int rc;

	lock();
	path = path_of(at, from, buf);
	path2 = path_of(at2, to, buf2);
	rc = next_linkat(at, from, at2, to, flags);
	if (path && path2 && !rc)
		record(SHIM_LINK, path, path2, 0, 0, 0);
	return (int)unlock(rc);
}

int link(const char *from, const char *to)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int at, const char *name, int flags)
{
	NEXT(int, unlinkat, int, const char *, int);
	char buf[4096];
	const char *path;
	int rc, what;

	lock();
	path = path_of(at, name, buf);
	what = path ? hit(K_UNLINK) : 0;
	if (what > 0)
		return (int)fail(what);
	rc = next_unlinkat(at, name, flags);
	if (path && !rc)
		record(flags & AT_REMOVEDIR ? SHIM_RMDIR : SHIM_UNLINK, path, NULL, 0, 0, 0);
	return (int)unlock(rc);
}

int unlink(const char *name)
{
	return unlinkat(AT_FDCWD, name, 0);
}

int rmdir(const char *name)
{
	return unlinkat(AT_FDCWD, name, AT_REMOVEDIR);
}

int symlink(const char *to, const char *name)
{
	NEXT(int, symlink, const char *, const char *);
	char buf[4096];
	const char *path;
	int rc;

	lock();
	path = path_of(AT_FDCWD, name, buf);
	rc = next_symlink(to, name);
	if (path && !rc)
		record(SHIM_SYMLINK, path, to, 0, 0, 0);
	return (int)unlock(rc);
}

int mkdirat(int at, const char *name, mode_t mode)
{
	NEXT(int, mkdirat, int, const char *, mode_t);
	char buf[4096];
	const char *path;
	int rc;

	lock();
	path = path_of(at, name, buf);
	rc = next_mkdirat(at, name, mode);
	if (path && !rc)
		record(SHIM_MKDIR, path, NULL, mode, 0, 0);
	return (int)unlock(rc);
}

int mkdir(const char *name, mode_t mode)
{
	return mkdirat(AT_FDCWD, name, mode);
}

/* The names that a program has that was built with 64-bit file offsets. */
#define ALIAS(name, of) __extension__ extern __typeof__(of) name __attribute__((alias(#of)))
ALIAS(open64, open);
ALIAS(openat64, openat);
ALIAS(creat64, creat);
ALIAS(preadv64, preadv);
ALIAS(pwritev64, pwritev);
ALIAS(preadv64v2, preadv2);
ALIAS(pwritev64v2, pwritev2);
ALIAS(pread64, pread);
ALIAS(pwrite64, pwrite);
ALIAS(ftruncate64, ftruncate);
ALIAS(fallocate64, fallocate);
