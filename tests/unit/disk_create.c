/*
 * New disks, renamed and resized ones, when the nth change of a file fails: an error comes
 * back, and a creation leaves nothing, a renaming one name, a resizing a disk that opens.
 */
#include "disk/create.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"
#include "disk/disk.h"
#include "disk/manage.h"

/* Faults: the changes that lib/disk makes go through these. */

static unsigned calls, fail_at;	/* 0: none fails */
static int fail_errno;

static bool fails(void)
{
	if (++calls != fail_at)
		return false;
	errno = fail_errno;
	return true;
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	return fails() ? -1 : syscall(SYS_pwritev, fd, iov, n, off, 0);
}

ssize_t write(int fd, const void *buf, size_t n)
{
	return fd > 2 && fails() ? -1 : syscall(SYS_write, fd, buf, n);
}

int ftruncate(int fd, off_t size)
{
	return fails() ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

int fallocate(int fd, int mode, off_t off, off_t len)
{
	return fails() ? -1 : (int)syscall(SYS_fallocate, fd, mode, off, len);
}

int fdatasync(int fd)
{
	return fails() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	return fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

int rename(const char *a, const char *b)
{
	return fails() ? -1 : (int)syscall(SYS_rename, a, b);
}

static bool no_links;		/* a file system without hard links */

int linkat(int da, const char *a, int db, const char *b, int flags)
{
	if (no_links) {
		errno = EPERM;
		return -1;
	}
	return fails() ? -1 : (int)syscall(SYS_linkat, da, a, db, b, flags);
}

int symlink(const char *a, const char *b)
{
	return fails() ? -1 : (int)syscall(SYS_symlink, a, b);
}

/* The names in the present folder, sorted, with blanks behind them. */
static char names[4096];

static int visible(const struct dirent *d)
{
	return strcmp(d->d_name, ".") && strcmp(d->d_name, "..");
}

static const char *list(void)
{
	struct dirent **d;
	int n = scandir(".", &d, visible, alphasort);

	names[0] = 0;
	for (int i = 0; i < n; i++) {
		if (strlen(names) + strlen(d[i]->d_name) + 2 < sizeof(names))
			strcat(strcat(names, d[i]->d_name), " ");
		free(d[i]);
	}
	if (n >= 0)
		free(d);
	return names;
}

static void clean(void)
{
	char *at = (char *)list(), *end;

	for (; *at; at = end + 1) {
		end = strchr(at, ' ');
		*end = 0;
		unlink(at);
	}
}

static int make(const char *path, enum disk_format f, uint64_t size)
{
	struct disk_create c = { .format = f, .size = size, .device = NULL };

	return disk_create(path, &c, NULL);
}

static int opens(const char *path, uint64_t *size)
{
	struct disk_opts o = { .no_lock = true };
	struct disk *d;
	int rc = disk_open(&d, path, &o, NULL);

	if (rc)
		return rc;
	*size = disk_size(d);
	disk_close(d, NULL);
	return 0;
}

static const int errors[] = { EIO, ENOSPC };

static void create_fails(enum disk_format f)
{
	int rc = -1;

	for (unsigned n = 1; rc; n++) {
		for (size_t k = 0; k < 2; k++) {
			calls = 0;
			fail_at = n;
			fail_errno = errors[k];
			rc = make("x.vmdk", f, 3 << 20);
			fail_at = 0;
			if (calls < n)
				check(!rc, "%s: %d", disk_format_name[f], rc);
			else if (rc)
				check(!*list(), "%s, call %u: left %s", disk_format_name[f], n, names);
			if (!rc)
				break;
		}
		check(n < 200, "%s: never succeeds", disk_format_name[f]);
	}
	clean();
}

static void rename_fails(enum disk_format f)
{
	struct disk_manage m = { 0 };
	uint64_t size;
	int rc = -1;

	check(!make("x.vmdk", f, 3 << 20), "%s", disk_format_name[f]);
	for (unsigned n = 1; rc && n < 200; n++) {
		calls = 0;
		fail_at = n;
		fail_errno = EIO;
		rc = disk_rename("x.vmdk", "y.vmdk", &m, NULL);
		fail_at = 0;
		check(!opens("x.vmdk", &size) != !opens("y.vmdk", &size) || rc,
		      "%s, call %u: %s", disk_format_name[f], n, list());
		check(!opens("x.vmdk", &size) || !opens("y.vmdk", &size),
		      "%s, call %u: lost", disk_format_name[f], n);
		if (rc && !access("y.vmdk", F_OK))	/* half done: both names */
			break;
	}
	clean();
}

/* Without hard links files are renamed, and back again when that fails. */
static void rename_moves(enum disk_format f)
{
	struct disk_manage m = { 0 };
	uint64_t size;
	int rc = -1;

	no_links = true;
	check(!make("x.vmdk", f, 3 << 20), "%s", disk_format_name[f]);
	for (unsigned n = 1; rc && n < 200; n++) {
		calls = 0;
		fail_at = n;
		fail_errno = EIO;
		rc = disk_rename("x.vmdk", "y.vmdk", &m, NULL);
		fail_at = 0;
		check(!opens("x.vmdk", &size) != !opens("y.vmdk", &size), "%s, call %u: %s",
		      disk_format_name[f], n, list());
		if (access("x.vmdk", F_OK))	/* done, but perhaps not known to be durable */
			break;
		check(access("y.vmdk", F_OK), "%s, call %u: %s", disk_format_name[f], n, list());
	}
	check(!opens("y.vmdk", &size) && !strchr(list(), 'x'), "%s: %s", disk_format_name[f], names);
	no_links = false;
	clean();
}

static void resize_fails(enum disk_format f, uint64_t from, uint64_t to)
{
	struct disk_manage m = { .force = true };
	uint64_t size, was;
	int rc = -1;

	for (unsigned n = 1; rc && n < 400; n++) {
		check(!make("x.vmdk", f, from), "%s", disk_format_name[f]);
		calls = 0;
		fail_at = n;
		fail_errno = ENOSPC;
		rc = disk_resize("x.vmdk", to, &m, &was, NULL);
		fail_at = 0;
		check(!opens("x.vmdk", &size), "%s, call %u: does not open", disk_format_name[f], n);
		check(size == from || size == to, "%s, call %u: has %llu bytes",
		      disk_format_name[f], n, (unsigned long long)size);
		check(rc || size == to, "%s: not resized", disk_format_name[f]);
		clean();
	}
	check(!rc, "%s: never succeeds", disk_format_name[f]);
}

int main(void)
{
	char shm[] = "/dev/shm/disk_create.XXXXXX", tmp[] = "/tmp/disk_create.XXXXXX";
	char *dir = mkdtemp(shm);

	/* Thousands of syncs: they take long on a disk. */
	if (!dir)
		dir = mkdtemp(tmp);
	if (!dir || chdir(dir)) {
		perror(tmp);
		return 1;
	}
	for (int f = 0; f <= DISK_RAW; f++) {
		create_fails((enum disk_format)f);
		if (f == DISK_STREAM)	/* is written once */
			continue;
		rename_fails((enum disk_format)f);
		rename_moves((enum disk_format)f);
		resize_fails((enum disk_format)f, 3 << 20, 8 << 20);
		resize_fails((enum disk_format)f, 8 << 20, 3 << 20);
	}
	resize_fails(DISK_SPLIT_SPARSE, 1 << 20, 5ull << 30);
	resize_fails(DISK_SPLIT_SPARSE, 5ull << 30, 1 << 20);
	clean();
	check(!chdir("/") && !rmdir(dir), "%s is not empty", dir);
	return check_done();
}
