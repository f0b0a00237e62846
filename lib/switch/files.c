#include "switch/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define LOCK_NS		(10 * NS_PER_SEC)	/* longer than a switch takes for a change */
#define STEP_NS		5000000
#define SUFFIX		".conf"
#define NEW_SUFFIX	SUFFIX ".tmp"

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "no memory");
}

/* --- names ------------------------------------------------------------------------------ */

static int folder(char **out, struct err *e)
{
	const char *etc = getenv("RING1_ETC"), *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	int n;

	if (etc && *etc)
		n = asprintf(out, "%s/switch", etc);
	else if (!geteuid())
		n = asprintf(out, "/etc/ring1/switch");
	else if (xdg && *xdg == '/')
		n = asprintf(out, "%s/ring1/switch", xdg);
	else if (home && *home)
		n = asprintf(out, "%s/.config/ring1/switch", home);
	else
		return err_set(e, -ENOENT, "neither HOME nor XDG_CONFIG_HOME says where "
			       "configurations lie");
	return n < 0 ? no_memory(e) : 0;
}

static int named(char **out, const char *name, const char *suffix, struct err *e)
{
	char *dir;
	int rc;

	if (!switch_is_name(name))
		return err_set(e, -EINVAL, "%.60s: not a name of a switch", name);
	rc = folder(&dir, e);
	if (rc)
		return rc;
	if (asprintf(out, "%s/%s%s", dir, name, suffix) < 0)
		rc = no_memory(e);
	free(dir);
	return rc;
}

int switch_file_path(char **path, const char *name, struct err *e)
{
	return named(path, name, SUFFIX, e);
}

/* --- reading ---------------------------------------------------------------------------- */

static int read_all(int fd, char **text, size_t *len, struct err *e)
{
	size_t n = 0, room = 0;
	char *buf = NULL;

	for (;;) {
		ssize_t got;

		if (n + 1 >= room) {
			char *more = realloc(buf, room ? room * 2 : 4096);

			if (!more) {
				free(buf);
				return no_memory(e);
			}
			buf = more;
			room = room ? room * 2 : 4096;
		}
		got = read(fd, buf + n, room - n - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 || n + (size_t)got > SWITCH_TEXT_MAX) {
			int rc = got < 0 ? -errno : -EFBIG;

			free(buf);
			return got < 0 ? err_sys(e, rc, "cannot read it")
				       : err_set(e, rc, "more than %u bytes", SWITCH_TEXT_MAX);
		}
		if (!got)
			break;
		n += (size_t)got;
	}
	buf[n] = 0;
	*text = buf;
	*len = n;
	return 0;
}

int switch_text_read(char **text, size_t *len, const char *file, struct err *e)
{
	bool standard = !strcmp(file, "-");
	int fd = standard ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return err_sys(e, -errno, "%.180s", file);
	rc = read_all(fd, text, len, e);
	if (rc)
		err_in(e, rc, standard ? "standard input" : file);
	if (!standard)
		close(fd);
	return rc;
}

/* The one of that name of n; the others are freed. */
static bool pick(struct switch_config *out, struct switch_config *c, unsigned n, const char *name)
{
	bool found = false;

	for (unsigned i = 0; i < n; i++) {
		if (!strcmp(c[i].name, name)) {
			*out = c[i];
			found = true;
		} else {
			switch_config_free(&c[i]);
		}
	}
	free(c);
	return found;
}

int switch_file_read(struct switch_config *c, const char *name, const char *file, struct err *e)
{
	struct switch_config *all;
	char *path = NULL, *text = NULL;
	unsigned n;
	size_t len;
	int rc = switch_file_path(&path, name, e);

	if (rc)
		return rc;
	rc = switch_text_read(&text, &len, file ? file : path, e);
	if (rc == -ENOENT && !file)
		err_set(e, rc, "%s: no such switch", name);
	if (!rc)
		rc = switch_config_parse(&all, &n, text, len, file ? file : path, e);
	if (!rc && !pick(c, all, n, name))
		rc = err_set(e, file ? -ENOENT : -EBADMSG, "%.160s: says nothing of a switch %s",
			     file ? file : path, name);
	free(text);
	free(path);
	return rc;
}

/* --- changing --------------------------------------------------------------------------- */

/* The folder and those above it. */
static int make_folders(char *path, struct err *e)
{
	for (char *s = strchr(path + 1, '/');; s = strchr(s + 1, '/')) {
		int bad;

		if (s)
			*s = 0;
		bad = mkdir(path, 0755) && errno != EEXIST ? errno : 0;
		if (bad)
			err_sys(e, -bad, "%.180s", path);
		if (s)
			*s = '/';
		if (bad)
			return -bad;
		if (!s)
			return 0;
	}
}

int switch_files_lock(int *out, struct err *e)
{
	const struct timespec step = { .tv_nsec = STEP_NS };
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	uint64_t until = clock_ns() + LOCK_NS;
	char *dir, *path = NULL;
	int fd = -1, rc = folder(&dir, e);

	if (rc)
		return rc;
	rc = make_folders(dir, e);
	if (!rc && asprintf(&path, "%s/.lock", dir) < 0)
		rc = no_memory(e);
	free(dir);
	if (rc)
		return rc;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		rc = err_sys(e, -errno, "%.180s", path);
	while (!rc && fcntl(fd, F_OFD_SETLK, &fl)) {
		if (errno != EAGAIN && errno != EACCES)
			rc = err_sys(e, -errno, "%.180s", path);
		else if (clock_ns() > until)
			rc = err_set(e, -EBUSY, "another command is changing switches");
		else
			nanosleep(&step, NULL);
	}
	free(path);
	if (rc && fd >= 0)
		close(fd);
	else if (!rc)
		*out = fd;
	return rc;
}

static int write_file(const char *path, const char *text, struct err *e)
{
	size_t len = strlen(text), done = 0;
	int fd, rc = 0;

	/* What a command that was killed left there is nobody's. */
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(e, -errno, "%.180s", path);
	while (done < len && !rc) {
		ssize_t n = write(fd, text + done, len - done);

		if (n < 0 && errno != EINTR)
			rc = err_sys(e, -errno, "%.180s", path);
		done += n > 0 ? (size_t)n : 0;
	}
	if (!rc && fsync(fd))
		rc = err_sys(e, -errno, "%.180s", path);
	if (close(fd) && !rc)
		rc = err_sys(e, -errno, "%.180s", path);
	if (rc)
		unlink(path);
	return rc;
}

int switch_file_prepare(const struct switch_config *c, struct err *e)
{
	char *text = switch_config_text(c), *path;
	int rc;

	if (!text)
		return no_memory(e);
	rc = strlen(text) > SWITCH_TEXT_MAX
		? err_set(e, -EFBIG, "%s: its configuration has more than %u bytes", c->name,
			  SWITCH_TEXT_MAX)
		: named(&path, c->name, NEW_SUFFIX, e);
	if (!rc) {
		rc = write_file(path, text, e);
		free(path);
	}
	free(text);
	return rc;
}

static int sync_folder(struct err *e)
{
	char *dir;
	int fd, rc = folder(&dir, e);

	if (rc)
		return rc;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd))
		rc = err_sys(e, -errno, "%.180s", dir);
	if (fd >= 0)
		close(fd);
	free(dir);
	return rc;
}

int switch_file_commit(const char *name, struct err *e)
{
	char *from = NULL, *to = NULL;
	int rc = named(&from, name, NEW_SUFFIX, e);

	if (!rc)
		rc = switch_file_path(&to, name, e);
	if (!rc && rename(from, to))
		rc = err_sys(e, -errno, "%.180s", to);
	free(from);
	free(to);
	return rc ? rc : sync_folder(e);
}

void switch_file_abort(const char *name)
{
	char *path;

	if (named(&path, name, NEW_SUFFIX, NULL))
		return;
	unlink(path);
	free(path);
}

int switch_file_delete(const char *name, struct err *e)
{
	char *path;
	int rc = switch_file_path(&path, name, e);

	if (rc)
		return rc;
	if (unlink(path))
		rc = errno == ENOENT ? err_set(e, -ENOENT, "%s: no such switch", name)
				     : err_sys(e, -errno, "%.180s", path);
	free(path);
	return rc ? rc : sync_folder(e);
}

/* --- listing ---------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The switch whose file that is; NULL: none's. */
static char *name_of(const char *file)
{
	size_t n = strlen(file), s = strlen(SUFFIX);
	char *name = n > s && !strcmp(file + n - s, SUFFIX) ? strndup(file, n - s) : NULL;

	if (name && !switch_is_name(name)) {
		free(name);
		name = NULL;
	}
	return name;
}

void switch_files_list_free(char **names, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

static int list(DIR *d, char ***names, unsigned *n, struct err *e)
{
	struct dirent *f;

	while ((f = readdir(d))) {
		char *name = name_of(f->d_name), **more;

		if (!name)
			continue;
		more = reallocarray(*names, *n + 1, sizeof(*more));
		if (!more) {
			free(name);
			return no_memory(e);
		}
		*names = more;
		more[(*n)++] = name;
	}
	if (*n)
		qsort(*names, *n, sizeof(**names), compare);
	return 0;
}

int switch_files_list(char ***names, unsigned *n, struct err *e)
{
	char *dir;
	DIR *d;
	int rc = folder(&dir, e);

	if (rc)
		return rc;
	*names = NULL;
	*n = 0;
	d = opendir(dir);
	if (d) {
		rc = list(d, names, n, e);
		closedir(d);
	} else if (errno != ENOENT) {
		rc = err_sys(e, -errno, "%.180s", dir);
	}
	free(dir);
	if (rc) {
		switch_files_list_free(*names, *n);
		*names = NULL;
		*n = 0;
	}
	return rc;
}
