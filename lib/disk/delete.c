#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/lock.h"
#include "disk/manage.h"

static int remove_files(struct disk_files *l, struct err *e)
{
	for (size_t i = 0; i < l->n; i++)
		if (unlink(l->path[i]) && errno != ENOENT)
			return err_sys(e, -errno, "%s", l->path[i]);
	return file_sync_dir(l->path[l->n - 1], e);
}

int disk_delete(const char *path, const struct disk_manage *m, struct disk_files *gone,
		struct err *e)
{
	struct disk_opts o = {
		.write = !m->dry, .no_extents = true, .allow_outside = m->allow_outside,
	};
	struct image *im;
	int rc;

	*gone = (struct disk_files) { 0 };
	rc = disk_refuse_link(path, e);
	if (!rc)
		rc = image_open(&im, path, &o, e);
	if (rc)
		return rc;
	if (!im->desc && !m->force && !m->bare)
		rc = err_set(e, -EINVAL, "%s: has no descriptor: it may be anything", path);
	if (!rc)
		rc = disk_files_of(gone, im, &o, e);
	if (!rc)
		rc = disk_refuse_used_above(im, e);
	if (!rc && !m->force)
		rc = disk_refuse_children(im, "which would lose what it has from it; delete -f does "
					  "it even so", e);
	if (!rc && !m->force)
		rc = disk_refuse_sharers(im, gone, e);
	if (!rc && !m->dry)
		rc = remove_files(gone, e);
	image_close(im);
	return rc;
}
