#include "wire/rundir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Names in /tmp are anybody's: only what is ours, and not a link, will do. */
static int make_own(const char *path, struct err *e)
{
	struct stat st;

	if (mkdir(path, 0700) && errno != EEXIST)
		return err_sys(e, -errno, "%.180s", path);
	if (lstat(path, &st))
		return err_sys(e, -errno, "%.180s", path);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, -EPERM, "%.180s: not a folder", path);
	if (st.st_uid != geteuid())
		return err_set(e, -EPERM, "%.180s: belongs to user %u, not to %u", path,
			       (unsigned)st.st_uid, (unsigned)geteuid());
	if (st.st_mode & 022)
		return err_set(e, -EPERM, "%.180s: others may write to it", path);
	return 0;
}

int rundir_path(char **out, const char *sub, struct err *e)
{
	const char *own = getenv("RING1_RUN"), *xdg = getenv("XDG_RUNTIME_DIR");
	char *top, *path;
	int n, rc;

	if (own && *own)
		n = asprintf(&top, "%s", own);
	else if (!geteuid())
		n = asprintf(&top, "/run/ring1");
	else if (xdg && *xdg)
		n = asprintf(&top, "%s/ring1", xdg);
	else
		n = asprintf(&top, "/tmp/ring1-%u", (unsigned)geteuid());
	if (n < 0)
		return err_set(e, -ENOMEM, "no memory");
	if (asprintf(&path, "%s/%s", top, sub) < 0) {
		free(top);
		return err_set(e, -ENOMEM, "no memory");
	}
	rc = make_own(top, e);
	if (!rc)
		rc = make_own(path, e);
	free(top);
	if (rc)
		free(path);
	else
		*out = path;
	return rc;
}
