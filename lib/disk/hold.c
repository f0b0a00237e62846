/*
 * A mark is a byte of the range from MARKS on.  Its place there holds, from the lowest bit
 * on, a slot, so that a process has one mark for each image that the file is part of: the
 * descriptor of the first file of that; its process; and a hash of host and boot, so that a
 * process of another host that has the same file system is not taken for one of this:
 *
 *   MARKS + (host << 42 | pid << 20 | slot)
 */
#include "disk/hold.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/line.h"
#include "disk/files.h"

#define MARKS		(INT64_C(1) << 62)
#define SLOT_BITS	20
#define PID_BITS	22	/* PID_MAX_LIMIT of the kernel */

/* FNV-1a of what tells this host, since it was booted, from others; 20 bits. */
static int64_t this_host(char name[65])
{
	uint64_t h = 0xcbf29ce484222325;
	char boot[64];

	name[0] = name[64] = 0;
	gethostname(name, 64);
	line_read("/proc/sys/kernel/random/boot_id", boot, sizeof(boot));
	for (unsigned part = 0; part < 2; part++)
		for (const char *s = part ? boot : name; *s; s++)
			h = (h ^ (uint8_t)*s) * 0x100000001b3;
	return (int64_t)((h ^ h >> 20 ^ h >> 40) & 0xfffff);
}

/* The first mark of process pid of this host; the next process's behind it. */
static int64_t marks_of(int64_t host, long pid)
{
	return MARKS + (host << (SLOT_BITS + PID_BITS) | (int64_t)pid << SLOT_BITS);
}

void hold_mark(int fd, int slot)
{
	char name[65];
	struct flock fl = {
		.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1,
		.l_start = marks_of(this_host(name), getpid()) + (slot & ((1 << SLOT_BITS) - 1)),
	};

	(void)fcntl(fd, F_OFD_SETLK, &fl);
}

struct looking {
	int fd;
	int64_t exempt, exempt_end;	/* marks, of which one does not count */
	unsigned spared;
};

/* A mark from start on and before end that counts; -1: there is none. */
static int64_t find(struct looking *l, int64_t start, int64_t end)
{
	struct flock fl = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = end - start,
	};
	int64_t at, rest;

	if (start >= end || fcntl(l->fd, F_OFD_GETLK, &fl) || fl.l_type == F_UNLCK)
		return -1;
	at = fl.l_start;
	if (at < l->exempt || at >= l->exempt_end || l->spared++)
		return at;
	rest = find(l, start, at);
	return rest >= 0 ? rest : find(l, at + 1, end);
}

int hold_look(int fd, const char *path, long but, struct err *e)
{
	char host[65], file[48], name[64];
	int64_t here = this_host(host), at;
	struct looking l = { .fd = fd };
	long pid;

	if (but) {
		l.exempt = marks_of(here, but);
		l.exempt_end = marks_of(here, but + 1);
	}
	at = find(&l, MARKS, INT64_MAX);
	if (at < 0)
		return 0;
	if (at < MARKS)		/* all of the file is locked, by another program */
		return err_set(e, -EBUSY, "%.150s: in use by another process, which has locked it",
			       path);
	pid = (long)((at - MARKS) >> SLOT_BITS & ((1 << PID_BITS) - 1));
	if ((at - MARKS) >> (SLOT_BITS + PID_BITS) != here)
		return err_set(e, -EBUSY, "%.120s: in use by process %ld of another host, which reads "
			       "it or a disk that hangs on it", path, pid);
	snprintf(file, sizeof(file), "/proc/%ld/comm", pid);
	line_read(file, name, sizeof(name));
	return err_set(e, -EBUSY, "%.90s: in use by process %ld (%.20s) on host %.40s, which reads it "
		       "or a disk that hangs on it", path, pid, name[0] ? name : "?", host);
}

void image_hold(const struct image *im)
{
	int slot = -1;

	for (size_t i = 0; i < im->next; i++) {
		int fd = im->ext[i]->file ? im->ext[i]->file->fd : -1;

		slot = slot < 0 ? fd : slot;
		if (fd >= 0)
			hold_mark(fd, slot);
	}
}

/* Of an image without extents: its files, but for devices and what is none. */
static int look_by_name(const struct image *im, long but, struct err *e)
{
	struct disk_opts o = { .allow_outside = true };
	struct disk_files files = { .n = 0 };
	int rc = 0;

	if (disk_files_of(&files, im, &o, NULL))
		return 0;
	for (size_t i = 0; i < files.n && !rc; i++) {
		int fd = open(files.path[i], O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

		if (fd < 0)
			continue;
		rc = hold_look(fd, im->path, but, e);
		close(fd);
	}
	disk_files_free(&files);
	return rc;
}

int image_refuse_held(const struct image *im, long but, struct err *e)
{
	int rc = 0;

	if (!im->next)
		return look_by_name(im, but, e);
	for (size_t i = 0; i < im->next && !rc; i++)
		if (im->ext[i]->file && im->ext[i]->file->fd >= 0)
			rc = hold_look(im->ext[i]->file->fd, im->path, but, e);
	return rc;
}
