/* The lock of a disk: held, released, dead holders, races. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "disk/lock.h"

static char dir[] = "/tmp/ring1-lock.XXXXXX", path[64], folder[80], member[96];

static void put(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0666);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		check(0, "%s: %s", name, strerror(errno));
	close(fd);
}

static bool there(const char *name) { return access(name, F_OK) == 0; }

static void test_held(void)
{
	struct disk_lock *l = NULL, *m = NULL;
	struct err e = { 0 };
	char host[65] = "", pid[24], text[600] = "";
	int rc = disk_lock(&l, path, &e), fd;
	ssize_t n;

	check(!rc, "%s", e.msg);
	check(there(member), "no member");
	gethostname(host, 64);
	snprintf(pid, sizeof(pid), " %d-", getpid());
	fd = open(member, O_RDONLY);
	n = read(fd, text, sizeof(text));
	close(fd);
	check(n == 512, "%zd bytes", n);
	check(strstr(text, host) == text && strstr(text, pid) && strstr(text, " X M00000.lck boot="),
	      "%s", text);
	rc = disk_lock(&m, path, &e);
	snprintf(pid, sizeof(pid), "process %d ", getpid());
	check(rc == -EBUSY && strstr(e.msg, pid) && strstr(e.msg, host), "%d: %s", rc, e.msg);
	check(disk_lock_clear(path, &e) == -EBUSY && there(member), "cleared");
	check(disk_lock_pid(path) == getpid(), "%ld", disk_lock_pid(path));
	disk_unlock(l);
	check(!there(folder), "left behind");
	check(disk_lock_pid(path) == 0, "%ld", disk_lock_pid(path));
	disk_unlock(NULL);
}

/* A symbolic link is the same disk. */
static void test_link(void)
{
	struct disk_lock *l = NULL, *m = NULL;
	char other[80];
	struct err e = { 0 };
	int rc;

	put(path, "");
	snprintf(other, sizeof(other), "%s/other.vmdk", dir);
	check(!symlink(path, other), "symlink");
	rc = disk_lock(&l, other, &e);
	check(!rc && there(member), "%s", e.msg);
	rc = disk_lock(&m, path, &e);
	check(rc == -EBUSY, "%d", rc);
	disk_unlock(l);
	unlink(other);
	unlink(path);
}

/* The holder is killed; its text stays. */
static void test_killed(void)
{
	struct disk_lock *l = NULL;
	struct err e = { 0 };
	int rc, status, fds[2];
	char c;
	pid_t pid;

	check(!pipe(fds), "pipe");
	pid = fork();
	if (!pid) {
		rc = disk_lock(&l, path, &e);
		c = (char)(rc ? 'x' : 'y');
		if (write(fds[1], &c, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	check(read(fds[0], &c, 1) == 1 && c == 'y', "child");
	rc = disk_lock(&l, path, &e);
	check(rc == -EBUSY, "%d", rc);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	check(there(member), "a killed process removed its lock");
	check(!disk_lock_clear(path, &e) && !there(folder), "%s", e.msg);
	check(!disk_lock_clear(path, &e), "%s", e.msg);
	mkdir(folder, 0777);
	put(member, "dead 1-1(x) 1 X M00000.lck\n");
	rc = disk_lock(&l, path, &e);
	check(!rc, "%s", e.msg);
	disk_unlock(l);
	close(fds[0]);
	close(fds[1]);
}

/* What other products leave there. */
static void test_others(void)
{
	char host[65] = "", text[200], other[96];
	const struct { const char *fmt; int rc; } cases[] = {
		{ "%s 1-1(init) 1 X M12345.lck lc=1\n", -EBUSY },	/* alive */
		{ "%s 4194303-77(gone) 1 X M12345.lck lc=1\n", 0 },
		{ "%s 1-1(reused) 1 X M12345.lck boot=", -EBUSY },	/* no boot id */
		{ "%s 1-1(reused) 1 X M12345.lck boot=another\n", 0 },
		{ "not%s 4194303-1(far) 1 X M12345.lck lc=1\n", -EBUSY },
		{ "garbage", -EBUSY },
		{ "", -EBUSY },
	};

	gethostname(host, 64);
	snprintf(other, sizeof(other), "%s/M12345.lck", folder);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct disk_lock *l = NULL;
		struct err e = { 0 };
		int rc;

		mkdir(folder, 0777);
		snprintf(text, sizeof(text), cases[i].fmt, host);
		put(other, text);
		rc = disk_lock(&l, path, &e);
		check(rc == cases[i].rc, "%u: %d %s", i, rc, e.msg);
		check(there(other) == (rc != 0), "%u: member", i);
		if (i == 4)
			check(strstr(e.msg, "if that host is gone, remove "), "%s", e.msg);
		if (!rc)
			disk_unlock(l);
		unlink(other);
		unlink(member);
		rmdir(folder);
	}
	/* A dead process's start and number with this boot's id: reused. */
	mkdir(folder, 0777);
	{
		char boot[64] = "";
		struct disk_lock *l = NULL;
		int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY), rc;
		ssize_t n = read(fd, boot, sizeof(boot) - 1);

		close(fd);
		boot[n > 0 ? n - 1 : 0] = 0;
		snprintf(text, sizeof(text), "%s %d-5(vmdk) 1 X M12345.lck boot=%s\n", host,
			 getpid(), boot);
		put(other, text);
		rc = disk_lock(&l, path, NULL);
		check(!rc && !there(other), "reused pid: %d", rc);
		disk_unlock(l);
	}
}

/* Another host's text on a file system of this host only: it was this one, renamed. */
static void test_renamed_host(void)
{
	struct disk_lock *l = NULL;
	struct err e = { 0 };
	int rc;

	mkdir(folder, 0777);
	put(member, "elsewhere 1-1(vmdk) 1 X M00000.lck boot=x\n");
	rc = disk_lock(&l, path, &e);
	check(!rc, "%s", e.msg);
	disk_unlock(l);
	check(!there(folder), "left behind");
}

/* Many take and give back; the counter is only safe under the lock. */
static void test_race(void)
{
	enum { PROCS = 6, ROUNDS = 25 };
	char counter[80];
	unsigned n = 0;
	int fd, status;

	snprintf(counter, sizeof(counter), "%s/counter", dir);
	fd = open(counter, O_RDWR | O_CREAT, 0666);
	check(pwrite(fd, &n, sizeof(n), 0) == sizeof(n), "write");
	for (int p = 0; p < PROCS; p++) {
		if (fork())
			continue;
		for (int i = 0; i < ROUNDS;) {
			struct disk_lock *l;
			struct err e;
			int rc = disk_lock(&l, path, &e);

			if (rc == -EBUSY)
				continue;
			if (rc || pread(fd, &n, sizeof(n), 0) != sizeof(n))
				_exit(1);
			sched_yield();
			n++;
			if (pwrite(fd, &n, sizeof(n), 0) != sizeof(n))
				_exit(1);
			/* Every fifth dies with the lock, as it were. */
			if (++i == ROUNDS && p % 2)
				_exit(0);
			disk_unlock(l);
		}
		_exit(0);
	}
	for (int p = 0; p < PROCS; p++) {
		check(wait(&status) > 0 && status == 0, "child: %#x", status);
	}
	check(pread(fd, &n, sizeof(n), 0) == sizeof(n) && n == PROCS * ROUNDS, "%u", n);
	close(fd);
	unlink(counter);
	unlink(member);
	rmdir(folder);
}

static void test_refused(void)
{
	struct disk_lock *l;
	struct err e;
	char p[96];
	int rc;

	snprintf(p, sizeof(p), "%s/nowhere/x.vmdk", dir);
	rc = disk_lock(&l, p, &e);
	check(rc == -ENOENT && strstr(e.msg, "nowhere"), "%d %s", rc, e.msg);
	put(folder, "a file");
	rc = disk_lock(&l, path, &e);
	check(rc == -ENOTDIR, "%d %s", rc, e.msg);
	unlink(folder);
	mkdir(folder, 0777);
	check(!symlink("/etc/passwd", member), "symlink");
	rc = disk_lock(&l, path, &e);
	check(rc == -ELOOP, "%d %s", rc, e.msg);
	unlink(member);
	rmdir(folder);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/a disk.vmdk", dir);
	snprintf(folder, sizeof(folder), "%s.lck", path);
	snprintf(member, sizeof(member), "%s/M00000.lck", folder);
	test_held();
	test_link();
	test_killed();
	test_others();
	test_renamed_host();
	test_race();
	test_refused();
	check(!rmdir(dir), "%s: %s", dir, strerror(errno));
	return check_done();
}
