#include "switch/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "switch/config.h"
#include "wire/rundir.h"

int switch_path(char **out, const char *name, const char *suffix, struct err *e)
{
	char *dir;
	int rc;

	if (!switch_is_name(name))
		return err_set(e, -EINVAL, "%.60s: not a name of a switch", name);
	rc = rundir_path(&dir, "switch", e);
	if (rc)
		return rc;
	if (asprintf(out, "%s/%s%s", dir, name, suffix) < 0)
		rc = err_set(e, -ENOMEM, "no memory");
	free(dir);
	return rc;
}

/* The file stays when the lock is given back: so nobody locks a file that another has
 * just removed. */
static int open_file(const char *name, int flags, struct err *e)
{
	char *path;
	int fd, rc = switch_path(&path, name, ".lock", e);

	if (rc)
		return rc;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	if (fd < 0)
		fd = err_sys(e, -errno, "%.180s", path);
	free(path);
	return fd;
}

static void read_holder(int fd, struct switch_holder *h)
{
	char buf[64];
	ssize_t n = pread(fd, buf, sizeof(buf) - 1, 0);
	int pid = 0, keeper = 0;

	buf[n > 0 ? n : 0] = 0;
	sscanf(buf, "%d %d", &pid, &keeper);
	*h = (struct switch_holder){ pid > 0 ? pid : 0, keeper > 0 ? keeper : 0 };
}

int switch_lock(int *out, const char *name, struct switch_holder *h, struct err *e)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open_file(name, O_CREAT, e), rc = 0;

	if (fd < 0)
		return fd;
	if (fcntl(fd, F_OFD_SETLK, &fl)) {
		rc = -errno;
		if (rc == -EAGAIN || rc == -EACCES) {
			read_holder(fd, h);
			rc = err_set(e, -EBUSY, "%s: it runs already, as process %d", name,
				     h->pid ? h->pid : h->keeper);
		} else {
			err_sys(e, rc, "%s: its lock", name);
		}
		close(fd);
		return rc;
	}
	*out = fd;
	return 0;
}

int switch_lock_tell(int fd, const struct switch_holder *h, struct err *e)
{
	char buf[64];
	int n = snprintf(buf, sizeof(buf), "%-10d %-10d\n", h->pid, h->keeper);

	return pwrite(fd, buf, (size_t)n, 0) == n
		? 0 : err_sys(e, errno ? -errno : -EIO, "cannot write into the lock");
}

int switch_running(const char *name, struct switch_holder *h, struct err *e)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open_file(name, 0, e), rc;

	*h = (struct switch_holder){ 0 };
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	rc = fcntl(fd, F_OFD_GETLK, &fl) ? err_sys(e, -errno, "%s: its lock", name)
					 : fl.l_type != F_UNLCK;
	if (rc == 1)
		read_holder(fd, h);
	close(fd);
	return rc;
}
