/* Marks of who reads a file: whose count, and what is said about them. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "disk/create.h"
#include "disk/disk.h"
#include "disk/hold.h"

static char dir[] = "/tmp/ring1-hold.XXXXXX", base[64], two[64];

static int open_fd(const char *path, int how)
{
	int fd = open(path, how | O_CREAT | O_CLOEXEC, 0666);

	check(fd >= 0, "%s: %s", path, strerror(errno));
	return fd;
}

/* A lock that another program has. */
static void lock(int fd, short type, int64_t start, int64_t len)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	check(!fcntl(fd, F_OFD_SETLK, &fl), "F_OFD_SETLK: %s", strerror(errno));
}

static void test_marks(void)
{
	int writer = open_fd(base, O_RDWR), a, b = open_fd(base, O_RDONLY);
	struct err e = { 0 };
	char text[40];

	snprintf(text, sizeof(text), "process %d (", getpid());
	check(!hold_look(writer, base, 0, &e), "%s", e.msg);
	a = open_fd(base, O_RDONLY);
	hold_mark(a, 7);
	hold_mark(a, 7);
	check(hold_look(writer, base, 0, &e) == -EBUSY && strstr(e.msg, text), "%s", e.msg);
	check(hold_look(writer, base, 1, &e) == -EBUSY, "process 1 it is not");
	/* One that knows, by one image: its files may be one; by two: it knows of one. */
	check(!hold_look(writer, base, getpid(), &e), "%s", e.msg);
	hold_mark(b, 7);
	check(!hold_look(writer, base, getpid(), &e), "%s", e.msg);
	hold_mark(b, 8);
	check(hold_look(writer, base, getpid(), &e) == -EBUSY, "two");
	close(a);
	check(hold_look(writer, base, getpid(), &e) == -EBUSY, "two of another descriptor");
	close(b);
	check(!hold_look(writer, base, 0, &e), "%s", e.msg);
	close(writer);
}

static void test_others(void)
{
	int writer = open_fd(base, O_RDWR), a = open_fd(base, O_RDONLY), b, ready[2], end[2];
	struct err e = { 0 };
	char text[40], c = 0;
	pid_t pid;

	hold_mark(a, 3);
	check(!pipe(ready) && !pipe(end), "pipe");
	pid = fork();
	if (!pid) {
		close(end[1]);
		hold_mark(open(base, O_RDONLY), 3);
		if (write(ready[1], &c, 1) != 1 || read(end[0], &c, 1) < 0)
			_exit(1);
		_exit(0);
	}
	check(read(ready[0], &c, 1) == 1, "read");
	snprintf(text, sizeof(text), "process %d (", pid);
	check(hold_look(writer, base, getpid(), &e) == -EBUSY && strstr(e.msg, text), "%s", e.msg);
	close(end[1]);
	check(waitpid(pid, NULL, 0) == pid, "waitpid");
	check(!hold_look(writer, base, getpid(), &e), "%s", e.msg);

	/* This process's number, on another host. */
	b = open_fd(base, O_RDONLY);
	lock(b, F_RDLCK, (INT64_C(1) << 62) + ((int64_t)getpid() << 20) + 5, 1);
	snprintf(text, sizeof(text), "process %d of another host", getpid());
	check(hold_look(writer, base, getpid(), &e) == -EBUSY && strstr(e.msg, text), "%s", e.msg);
	close(b);
	/* The last mark there can be. */
	b = open_fd(base, O_RDONLY);
	lock(b, F_RDLCK, INT64_MAX - 1, 1);
	check(hold_look(writer, base, 0, &e) == -EBUSY, "the last");
	close(b);
	close(a);
	/* Other programs lock what they want to; all of it, or what is none of these. */
	a = open_fd(base, O_RDWR);
	lock(a, F_RDLCK, 100, 3);
	check(!hold_look(writer, base, 0, &e), "%s", e.msg);
	lock(a, F_WRLCK, 0, 0);
	check(hold_look(writer, base, 0, &e) == -EBUSY && strstr(e.msg, "another process"), "%s", e.msg);
	close(a);
	close(writer);
	unlink(base);
}

/* Disks: of pieces, one of them empty, and twice in one process. */
static void test_images(void)
{
	struct disk_create c = { .size = 3ull << 30, .format = DISK_SPLIT_FLAT };
	struct disk_opts o = { .hold = true }, w = { .write = true }, names = { .no_extents = true };
	struct image *a, *b, *im;
	struct err e = { 0 };

	check(!disk_create(base, &c, &e), "%s", e.msg);
	check(!image_open(&a, base, &o, &e), "%s", e.msg);
	check(image_open(&im, base, &w, &e) == -EBUSY, "opened");
	check(!image_open(&im, base, &names, &e), "%s", e.msg);
	check(image_refuse_held(im, 0, &e) == -EBUSY, "by its names");
	check(!image_refuse_held(im, getpid(), &e), "%s", e.msg);
	check(!image_open(&b, base, &o, &e), "%s", e.msg);
	check(image_refuse_held(im, getpid(), &e) == -EBUSY, "twice");
	image_close(im);
	image_close(b);
	w.sharer = getpid();
	check(!image_open(&im, base, &w, &e), "%s", e.msg);
	/* And the other way round: who reads does not begin while one writes. */
	check(image_open(&b, base, &o, &e) == -EBUSY, "opened");
	image_close(im);
	image_close(a);
}

int main(void)
{
	check(mkdtemp(dir) != NULL, "mkdtemp: %s", strerror(errno));
	snprintf(base, sizeof(base), "%s/x.vmdk", dir);
	snprintf(two, sizeof(two), "rm -rf %s", dir);
	test_marks();
	test_others();
	test_images();
	check(!system(two), "rm");
	return check_done();
}
