#include "wire/sockname.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int sockname(struct sockaddr_un *a, int *dir, const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char *folder;
	int n;

	*dir = -1;
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) < sizeof(a->sun_path)) {
		strcpy(a->sun_path, path);
		return 0;
	}
	folder = slash ? strndup(path, (size_t)(name - path)) : strdup(".");
	if (!folder)
		return err_set(e, -ENOMEM, "no memory");
	*dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	free(folder);
	if (*dir < 0)
		return err_sys(e, -errno, "%.180s", path);
	n = snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d/%s", *dir, name);
	if (n < (int)sizeof(a->sun_path))
		return 0;
	close(*dir);
	*dir = -1;
	return err_set(e, -ENAMETOOLONG, "%.120s: too long for a socket's name", name);
}
