/* The files that descriptors name: beside the descriptor, unless the user says else. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/recode.h"
#include "disk/files.h"

static bool is_url(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789+.-");

	return n && !strncmp(s + n, "://", 3);
}

static bool is_absolute(const char *s)
{
	return s[0] == '/' || is_url(s);
}

/* The same of a path as Windows has them. */
static bool has_drive(const char *s)
{
	return s[0] == '\\' ||
	       (isalpha((unsigned char)s[0]) && s[1] == ':' && (s[2] == '\\' || s[2] == '/'));
}

static bool climbs(const char *s)
{
	while (*s) {
		size_t n = strcspn(s, "/\\");

		if (n == 2 && s[0] == '.' && s[1] == '.')
			return true;
		s += n + (s[n] != 0);
	}
	return false;
}

/* Is one of the parts of path behind its first dir bytes a symbolic link? */
static bool has_link(char *path, size_t dir)
{
	for (char *p = path + dir;; p++) {
		char c = *p;
		struct stat st;
		bool link;

		if (c && c != '/')
			continue;
		*p = 0;
		link = !lstat(path, &st) && S_ISLNK(st.st_mode);
		*p = c;
		if (link || !c)
			return link;
	}
}

/* A folder of a web server: what may not stand in a URL is written as %XX, and a query
 * (as vSphere's datastore browser has it) stays behind the name. */
static char *beside_url(const char *base, const char *name)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-._~/";
	size_t path = strcspn(base, "?#"), dir = path;
	const char *query = base + path;
	char *out, *at;

	while (dir && base[dir - 1] != '/')
		dir--;
	out = malloc(dir + 3 * strlen(name) + strlen(query) + 1);
	if (!out)
		return NULL;
	memcpy(out, base, dir);
	at = out + dir;
	for (; *name; name++) {
		if (strchr(plain, *name))
			*at++ = *name;
		else
			at += sprintf(at, "%%%02X", (unsigned char)*name);
	}
	strcpy(at, query);
	return out;
}

static int refused(struct err *e, const char *name, const char *why)
{
	return err_set(e, -EPERM, "\"%.120s\" %s, so it may lie outside the disk's folder; "
		       "allow that if you trust the descriptor", name, why);
}

/* One name, as it is. */
static int beside(char **out, const char *descriptor, const char *name, bool outside,
		  struct err *e)
{
	const char *slash = strrchr(descriptor, '/');
	size_t dir = slash ? (size_t)(slash - descriptor) + 1 : 0;
	bool url = is_url(descriptor);
	char *path = NULL;

	if (!*name || strpbrk(name, "\r\n"))
		return err_set(e, -EINVAL, "a file name that is empty or has a line end in it");
	if (!url && strlen(disk_base_name(name)) > NAME_MAX)
		return err_set(e, -EINVAL, "a file name of more than %d bytes", NAME_MAX);
	if (!outside && is_absolute(name))
		return refused(e, name, "is an absolute path");
	if (!outside && climbs(name))
		return refused(e, name, "has \"..\" in it");
	if (is_absolute(name))
		path = strdup(name);
	else if (url)
		path = beside_url(descriptor, name);
	else if (asprintf(&path, "%.*s%s", (int)dir, descriptor, name) < 0)
		path = NULL;
	if (!path)
		return err_set(e, -ENOMEM, "no memory");
	if (!outside && !url && has_link(path, dir)) {
		free(path);
		return refused(e, name, "is or passes a symbolic link");
	}
	*out = path;
	return 0;
}

static bool is_there(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}

#define VOLUMES "/vmfs/volumes/"

/* What a path of Windows or of ESX ("[datastore] vm/x.vmdk") means here: the folders of another
 * host are not known, so that a file is looked for where the descriptor is.  NULL: it is
 * none, or no memory. */
static char *from_elsewhere(const char *name)
{
	const char *last = strrchr(name, '\\');
	char *s;

	if (name[0] == '[' && strstr(name, "] "))
		return strdup(disk_base_name(strstr(name, "] ") + 2));
	if (!last && !has_drive(name))
		return NULL;
	if (has_drive(name)) {
		const char *slash = strrchr(name, '/');

		return strdup((slash > last || !last ? slash : last) + 1);
	}
	s = strdup(name);
	for (char *p = s; p && *p; p++)
		if (*p == '\\')
			*p = '/';
	return s;
}

/* Another name for what is not there: *out becomes its path if that is there. */
static int try_instead(char **out, const char *descriptor, char *name, bool outside, struct err *e)
{
	char *path;
	int rc;

	if (!name)
		return 0;
	rc = beside(&path, descriptor, name, outside, e);
	free(name);
	if (rc)
		return rc;
	if (is_there(path)) {
		free(*out);
		*out = path;
	} else {
		free(path);
	}
	return 0;
}

/* As image_beside(), of a descriptor in some encoding. */
static int beside_in(char **out, const char *descriptor, const char *encoding, const char *name,
		     bool outside, struct err *e)
{
	char *utf8;
	int rc;

	/* A volume that is not here: an absolute path that leads nowhere else. */
	if (!strncmp(name, VOLUMES, strlen(VOLUMES)) && !(outside && is_there(name)))
		name = disk_base_name(name);
	rc = beside(out, descriptor, name, outside, e);
	if (rc || is_url(*out) || is_there(*out))
		return rc;
	/* A climb in it was refused, whatever the separators. */
	rc = try_instead(out, descriptor, from_elsewhere(name), outside, e);
	if (!rc && !recode_is_utf8(encoding) && !is_there(*out)) {
		utf8 = recode(encoding, "UTF-8", name, strlen(name));
		rc = utf8 ? try_instead(out, descriptor, from_elsewhere(utf8), outside, e) : 0;
		if (!rc && utf8 && !is_there(*out))
			rc = try_instead(out, descriptor, strdup(utf8), outside, e);
		free(utf8);
	}
	if (rc) {
		free(*out);
		*out = NULL;
	}
	return rc;
}

int image_beside(char **out, const char *descriptor, const char *name, bool outside,
		 struct err *e)
{
	return beside_in(out, descriptor, NULL, name, outside, e);
}

int image_file(char **out, const struct image *im, const char *name, bool outside, struct err *e)
{
	const char *encoding = im->desc ? desc_get(im->desc, "encoding") : NULL;

	return beside_in(out, im->real ? im->real : im->path, encoding, name, outside, e);
}
