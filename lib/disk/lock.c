/*
 * The lock of a disk "x.vmdk" is the file "x.vmdk.lck/M00000.lck", locked by an OFD
 * lock for as long as its owner lives; the kernel gives that back when the owner dies,
 * however it does.  The name is always the same, so that those who want the disk meet
 * at one file:
 *
 *   mkdir, open or create the file, OFD-lock it (or fail: held), and look whether the
 *   name still leads to the file that was locked.  If not, its owner removed it in the
 *   meantime: begin again.  Of several who find a dead owner's file one gets the lock.
 *   An owner removes the file while it still holds the lock, then the folder.
 *
 * The file's text is what VMware's products write into theirs, 512 bytes padded by NULs:
 *
 *   HOST PID-START(NAME) 1 X M00000.lck boot=BOOTID
 *
 * START is the process's start in clock ticks since boot, so that neither a process
 * that got the number of a dead one nor one of an earlier boot is taken for the owner.
 * Those products call theirs M and five random digits and use no OFD locks: such a
 * member counts as dead when the text says that its process of this host is.
 */
#include "disk/lock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/line.h"

#define MEMBER		"M00000.lck"
#define RECORD		512	/* bytes of a member's text */
#define TRIES		1000	/* of the loop above; each lost one is another's success */

struct disk_lock {
	int fd;			/* of the member, OFD-locked */
	char *member, *folder;
};

struct owner {
	char host[65], name[64], boot[64];
	long pid;
	unsigned long long start;
};

/* This process and machine */

/* When process pid started, in ticks since boot; 0: there is none. */
static unsigned long long start_of(long pid)
{
	unsigned long long start = 0;
	char path[48], stat[1024], *p;

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	line_read(path, stat, sizeof(stat));
	p = strrchr(stat, ')');		/* the name may hold blanks and brackets */
	if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u"
				" %*d %*d %*d %*d %*d %*d %llu", &start) != 1)
		return 0;
	return start ? start : 1;
}

/* The words of a record are parted by blanks. */
static void one_word(char *s)
{
	for (; *s; s++)
		if (*s <= ' ' || *s == '(' || *s == ')' || *s == 0x7f)
			*s = '_';
}

static void self(struct owner *o)
{
	memset(o, 0, sizeof(*o));
	gethostname(o->host, sizeof(o->host) - 1);
	if (!o->host[0])
		strcpy(o->host, "localhost");
	o->pid = getpid();
	o->start = start_of(o->pid);
	line_read("/proc/self/comm", o->name, sizeof(o->name));
	line_read("/proc/sys/kernel/random/boot_id", o->boot, sizeof(o->boot));
	one_word(o->host);
	one_word(o->name);
	one_word(o->boot);
}

/* Records */

static void record_write(char rec[RECORD], const struct owner *o)
{
	memset(rec, 0, RECORD);
	snprintf(rec, RECORD, "%s %ld-%llu(%s) 1 X %s boot=%s\n", o->host, o->pid, o->start,
		 o->name, MEMBER, o->boot);
}

/* Returns whether fd's text names an owner. */
static bool record_read(int fd, struct owner *o)
{
	char rec[RECORD + 1], *boot;
	ssize_t n = pread(fd, rec, RECORD, 0);

	memset(o, 0, sizeof(*o));
	rec[n > 0 ? n : 0] = 0;
	if (sscanf(rec, "%64s %ld-%llu(%63[^)]", o->host, &o->pid, &o->start, o->name) < 2)
		return false;
	boot = strstr(rec, " boot=");
	if (boot)
		sscanf(boot, " boot=%63s", o->boot);
	return o->pid > 0;
}

/* May the owner of a member that has no OFD lock still be there? */
static bool owner_alive(const struct owner *o, const struct owner *me)
{
	unsigned long long start;

	if (strcasecmp(o->host, me->host))
		return true;
	if (o->boot[0] && strcmp(o->boot, me->boot))
		return false;
	start = start_of(o->pid);
	/* The other products count START in units of their own. */
	return start && (!o->boot[0] || start == o->start);
}

/* Is this a file system that other hosts may have mounted, too? */
static bool is_shared(int fd)
{
	static const unsigned long kind[] = {
		0x6969, 0xff534d42, 0xfe534d42, 0x517b, 0x65735546, 0x01021997,
		0x01161970, 0x7461636f, 0x00c36400, 0x0bd00bd0, 0x47504653, 0x5346414f,
	};	/* nfs, cifs, smb2, smb, fuse, 9p, gfs2, ocfs2, ceph, lustre, gpfs, afs */
	struct statfs s;

	if (fstatfs(fd, &s))
		return true;
	for (unsigned i = 0; i < sizeof(kind) / sizeof(kind[0]); i++)
		if ((unsigned long)s.f_type == kind[i])
			return true;
	return false;
}

static int busy(struct err *e, const char *path, const char *folder, const struct owner *o,
		bool known, const struct owner *me)
{
	if (!known)
		return err_set(e, -EBUSY, "%.90s: locked by another process (%.90s)", path,
			       folder);
	if (strcasecmp(o->host, me->host))
		return err_set(e, -EBUSY,
			       "%.60s: locked by process %ld (%.20s) on host %.40s; "
			       "if that host is gone, remove %.60s", path, o->pid,
			       o->name, o->host, folder);
	return err_set(e, -EBUSY, "%.90s: locked by process %ld (%.20s) on host %.40s", path,
		       o->pid, o->name, o->host);
}

/* Held by OFD lock: who is it?  Between locking and writing the record none is. */
static int busy_held(struct err *e, const char *path, const char *folder, int fd,
		     const struct owner *me)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	struct owner o;
	bool known = false;

	for (int i = 0; i < 20 && !(known = record_read(fd, &o)); i++)
		nanosleep(&ms, NULL);
	return busy(e, path, folder, &o, known, me);
}

/* The members of other products: dead ones are removed (clear), a living one is -EBUSY. */
static int look_at_others(const char *path, const char *folder, const struct owner *me,
			  bool clear, struct err *e)
{
	DIR *d = opendir(folder);
	struct dirent *de;
	int rc = 0;

	if (!d)
		return err_sys(e, -errno, "%.180s", folder);
	while (!rc && (de = readdir(d))) {
		struct owner o;
		bool known;
		int fd;

		if (de->d_name[0] != 'M' || strlen(de->d_name) != strlen(MEMBER) ||
		    strspn(de->d_name + 1, "0123456789") != 5 ||
		    strcmp(de->d_name + 6, ".lck") || !strcmp(de->d_name, MEMBER))
			continue;
		fd = openat(dirfd(d), de->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (fd < 0)
			continue;
		known = record_read(fd, &o);
		if (!known || owner_alive(&o, me))
			rc = busy(e, path, folder, &o, known, me);
		else if (clear)
			unlinkat(dirfd(d), de->d_name, 0);
		close(fd);
	}
	closedir(d);
	return rc;
}

/*
 * One round of the loop.
 * Returns 1: begin again; 0: *out is the locked member; else -errno.
 */
static int try_lock(const char *path, const char *folder, const char *member,
		    const struct owner *me, int *out, struct err *e)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat by_name, by_fd;
	struct owner o;
	int fd, rc;

	if (mkdir(folder, 0777) && errno != EEXIST) {
		/* It is the disk's own folder that is missing. */
		bool missing = errno == ENOENT || errno == ENOTDIR;

		return err_sys(e, -errno, "%.180s", missing ? path : folder);
	}
	fd = open(member, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
	if (fd < 0) {
		rc = errno == ENOENT ? 1 : err_sys(e, -errno, "%.180s", member);
		rmdir(folder);		/* if nobody else has something there */
		return rc;
	}
	if (fcntl(fd, F_OFD_SETLK, &fl)) {
		rc = errno == EAGAIN || errno == EACCES ? busy_held(e, path, folder, fd, me) :
			err_sys(e, -errno, "%.180s: cannot be locked", member);
		goto out;
	}
	rc = 1;
	if (fstat(fd, &by_fd) || lstat(member, &by_name) || by_fd.st_ino != by_name.st_ino ||
	    by_fd.st_dev != by_name.st_dev)
		goto out;
	/* Where locks may be this host's affair, another host's word stands. */
	if (record_read(fd, &o) && strcasecmp(o.host, me->host) && is_shared(fd))
		rc = busy(e, path, folder, &o, true, me);
	else
		rc = look_at_others(path, folder, me, true, e);
	if (!rc) {
		char rec[RECORD];

		record_write(rec, me);
		errno = EIO;
		if (pwrite(fd, rec, RECORD, 0) != RECORD || ftruncate(fd, RECORD)) {
			rc = err_sys(e, -errno, "%.180s", member);
			unlink(member);
			rmdir(folder);
		}
	}
	if (!rc) {
		*out = fd;
		return 0;
	}
out:
	close(fd);
	return rc;
}

int disk_lock(struct disk_lock **out, const char *path, struct err *e)
{
	struct disk_lock *l = calloc(1, sizeof(*l));
	char *real = realpath(path, NULL);
	struct owner me;
	int rc = 1;

	if (!l || asprintf(&l->folder, "%s.lck", real ? real : path) < 0 ||
	    asprintf(&l->member, "%s/%s", l->folder, MEMBER) < 0) {
		rc = err_set(e, -ENOMEM, "no memory");
		goto fail;
	}
	self(&me);
	for (int i = 0; i < TRIES && rc == 1; i++)
		rc = try_lock(path, l->folder, l->member, &me, &l->fd, e);
	if (rc == 1)
		rc = err_set(e, -EBUSY, "%.90s: others lock and unlock it all the time", path);
	if (rc)
		goto fail;
	free(real);
	*out = l;
	return 0;
fail:
	free(real);
	if (l) {
		free(l->folder);
		free(l->member);
	}
	free(l);
	return rc;
}

int disk_lock_clear(const char *path, struct err *e)
{
	struct disk_lock *l;
	char *folder;
	bool is;
	int rc;

	if (asprintf(&folder, "%s.lck", path) < 0)
		return err_set(e, -ENOMEM, "no memory");
	is = !access(folder, F_OK);
	free(folder);
	if (!is)
		return 0;
	rc = disk_lock(&l, path, e);
	if (!rc)
		disk_unlock(l);
	return rc;
}

/* Our member: is its owner alive? */
static int look_at_ours(const char *path, const char *folder, int fd, const struct owner *me,
			struct err *e)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct owner o;

	if (!fcntl(fd, F_OFD_GETLK, &fl) && fl.l_type != F_UNLCK)
		return busy_held(e, path, folder, fd, me);
	if (record_read(fd, &o) && strcasecmp(o.host, me->host) && is_shared(fd))
		return busy(e, path, folder, &o, true, me);
	return 0;
}

int disk_lock_look(const char *path, struct err *e)
{
	char *real = realpath(path, NULL), *folder = NULL, *member = NULL;
	struct owner me;
	int fd = -1, rc = 0;

	if (asprintf(&folder, "%s.lck", real ? real : path) < 0 ||
	    asprintf(&member, "%s/%s", folder, MEMBER) < 0)
		rc = err_set(e, -ENOMEM, "no memory");
	if (!rc && !access(folder, F_OK)) {
		self(&me);
		fd = open(member, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (fd >= 0)
			rc = look_at_ours(path, folder, fd, &me, e);
		if (!rc)
			rc = look_at_others(path, folder, &me, false, e);
	}
	if (fd >= 0)
		close(fd);
	free(member);
	free(folder);
	free(real);
	return rc;
}

long disk_lock_pid(const char *path)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char *real = realpath(path, NULL), *member = NULL;
	struct owner me, o = { .pid = 0 };
	int fd = -1;

	if (asprintf(&member, "%s.lck/%s", real ? real : path, MEMBER) < 0)
		member = NULL;
	if (member)
		fd = open(member, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	self(&me);
	if (fd >= 0 && (fcntl(fd, F_OFD_GETLK, &fl) || fl.l_type == F_UNLCK || !record_read(fd, &o) ||
			strcasecmp(o.host, me.host)))
		o.pid = 0;
	if (fd >= 0)
		close(fd);
	free(member);
	free(real);
	return o.pid;
}

void disk_unlock(struct disk_lock *l)
{
	if (!l)
		return;
	unlink(l->member);
	rmdir(l->folder);
	close(l->fd);
	free(l->member);
	free(l->folder);
	free(l);
}
