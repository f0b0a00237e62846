#include "wire/registry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "wire/rundir.h"

#define JSON_MAX 65536
#define BUSY_TRIES 20	/* a lock is also held while what a dead machine left is removed */

struct registry_entry {
	int fd;			/* of the lock */
	char *lock, *json, *ctl;
};

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "no memory");
}

static int name_files(struct registry_entry *r, const char *dir, const char *uuid,
		      struct err *e)
{
	if (asprintf(&r->lock, "%s/%s.lock", dir, uuid) < 0 ||
	    asprintf(&r->json, "%s/%s.json", dir, uuid) < 0 ||
	    asprintf(&r->ctl, "%s/%s.ctl", dir, uuid) < 0)
		return no_memory(e);
	return 0;
}

static struct registry_entry *entry_new(void)
{
	struct registry_entry *r = calloc(1, sizeof(*r));

	if (r)
		r->fd = -1;
	return r;
}

static void entry_free(struct registry_entry *r)
{
	if (r->fd >= 0)
		close(r->fd);
	free(r->lock);
	free(r->json);
	free(r->ctl);
	free(r);
}

/*
 * Lock the file path.  It may be removed by others between open and lock: then the
 * lock is on a file without a name, and worth nothing.
 * Returns    the descriptor; -EBUSY: held; -ESTALE: try again; -ENOENT, ...
 */
static int lock_file(const char *path, int flags)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat by_fd, by_name;
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_OFD_SETLK, &fl))
		rc = errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
	else if (fstat(fd, &by_fd) || lstat(path, &by_name) ||
		 by_fd.st_ino != by_name.st_ino || by_fd.st_dev != by_name.st_dev)
		rc = -ESTALE;
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

/* The lock goes last: until then nobody else makes files of these names. */
static void remove_files(const struct registry_entry *r)
{
	unlink(r->ctl);
	unlink(r->json);
	unlink(r->lock);
}

static int write_json(const char *path, struct json *who, struct err *e)
{
	char *line = json_line(who), tmp[4096];
	size_t len;
	int fd, rc = 0;

	if (!line)
		return no_memory(e);
	len = strlen(line);
	snprintf(tmp, sizeof(tmp), "%s.tmp", path);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		rc = err_sys(e, -errno, "%.180s", tmp);
	else if (write(fd, line, len) != (ssize_t)len || rename(tmp, path))
		rc = err_sys(e, errno ? -errno : -EIO, "%.180s", path);
	if (rc && fd >= 0)
		unlink(tmp);
	if (fd >= 0)
		close(fd);
	free(line);
	return rc;
}

int registry_enter(struct registry_entry **out, const char *uuid, struct json *who,
		   struct err *e)
{
	struct registry_entry *r = entry_new();
	char *dir = NULL;
	int rc = r ? rundir_path(&dir, "vm", e) : no_memory(e);

	if (!rc)
		rc = name_files(r, dir, uuid, e);
	for (unsigned tries = 0; !rc; tries++) {
		const struct timespec ms = { .tv_nsec = 1000000 };

		r->fd = lock_file(r->lock, O_CREAT);
		if (r->fd >= 0)
			break;
		if (r->fd == -EBUSY && tries < BUSY_TRIES)
			nanosleep(&ms, NULL);
		else if (r->fd == -EBUSY)
			rc = err_set(e, -EBUSY, "%s: a machine with this UUID runs", uuid);
		else if (r->fd != -ESTALE)
			rc = err_sys(e, r->fd, "%.180s", r->lock);
	}
	if (!rc) {
		json_put_text(who, "uuid", uuid);
		json_put_u64(who, "pid", (uint64_t)getpid());
		rc = write_json(r->json, who, e);
		if (rc)
			remove_files(r);
	} else {
		json_decref(who->v);
		*who = (struct json){ 0 };
	}
	free(dir);
	if (rc && r)
		entry_free(r);
	else if (!rc)
		*out = r;
	return rc;
}

void registry_update(struct registry_entry *r, struct json *who)
{
	write_json(r->json, who, NULL);	/* else what it says is old: its socket knows better */
}

void registry_leave(struct registry_entry *r)
{
	if (!r)
		return;
	remove_files(r);
	entry_free(r);
}

const char *registry_ctl_path(const struct registry_entry *r)
{
	return r->ctl;
}

/* Is "NAME.lock" one of ours?  Its UUID then. */
static bool is_lock(const char *name, char uuid[static REGISTRY_UUID])
{
	if (strlen(name) != REGISTRY_UUID - 1 + 5 || strcmp(name + REGISTRY_UUID - 1, ".lock") ||
	    strspn(name, "0123456789abcdef-") != REGISTRY_UUID - 1)
		return false;
	memcpy(uuid, name, REGISTRY_UUID - 1);
	uuid[REGISTRY_UUID - 1] = 0;
	return true;
}

static json_t *read_json(const char *path)
{
	char buf[JSON_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf));
	json_t *o;

	if (fd >= 0)
		close(fd);
	o = n > 0 ? json_loadb(buf, (size_t)n, 0, NULL) : NULL;
	if (json_is_object(o))
		return o;
	json_decref(o);
	return NULL;
}

/* Returns false to stop. */
static bool look_at(struct registry_entry *r, bool (*fn)(void *ptr, const json_t *, const char *),
		    void *ptr)
{
	bool more = true;
	json_t *who;

	r->fd = lock_file(r->lock, 0);
	if (r->fd >= 0) {
		remove_files(r);	/* it is dead: we have its lock */
		return true;
	}
	if (r->fd != -EBUSY)
		return true;
	who = read_json(r->json);	/* NULL: it is just starting */
	if (who)
		more = fn(ptr, who, r->ctl);
	json_decref(who);
	return more;
}

int registry_each(bool (*fn)(void *ptr, const json_t *who, const char *ctl), void *ptr,
		  struct err *e)
{
	char *dir = NULL, uuid[REGISTRY_UUID];
	int rc = rundir_path(&dir, "vm", e);
	struct dirent *de;
	bool more = true;
	DIR *d;

	if (rc)
		return rc;
	d = opendir(dir);
	if (!d)
		rc = err_sys(e, -errno, "%.180s", dir);
	while (d && !rc && more && (de = readdir(d))) {
		struct registry_entry *r;

		if (!is_lock(de->d_name, uuid))
			continue;
		r = entry_new();
		rc = r ? name_files(r, dir, uuid, e) : no_memory(e);
		if (!rc)
			more = look_at(r, fn, ptr);
		if (r)
			entry_free(r);
	}
	if (d)
		closedir(d);
	free(dir);
	return rc;
}

int registry_uuid(char uuid[static REGISTRY_UUID], struct err *e)
{
	unsigned char b[16];
	char *p = uuid;

	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		return err_sys(e, -errno, "getrandom");
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	for (int i = 0; i < 16; i++)
		p += sprintf(p, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", b[i]);
	return 0;
}
