/* Error messages: whatever is too long, the reason at the end stays. */
#include "base/err.h"

#include <errno.h>
#include <string.h>

#include "check.h"

static int ends_with(const char *s, const char *tail)
{
	size_t n = strlen(s), t = strlen(tail);

	return n >= t && !strcmp(s + n - t, tail);
}

int main(void)
{
	char path[4096];
	struct err e = { 0 };

	check(err_set(NULL, -EIO, "x") == -EIO, "no struct err");
	check(err_sys(NULL, -EIO, "x") == -EIO && err_in(NULL, -EIO, "x") == -EIO, "the same");
	check(err_set(&e, -EINVAL, "a %d", 5) == -EINVAL && e.code == -EINVAL, "code");
	check(!strcmp(e.msg, "a 5"), "%s", e.msg);
	check(err_in(&e, -EINVAL, "b") == -EINVAL && !strcmp(e.msg, "b: a 5"), "%s", e.msg);
	check(err_sys(&e, -ENOENT, "%s", "f") == -ENOENT, "code");
	check(!strcmp(e.msg, "f: No such file or directory"), "%s", e.msg);

	check(err_code(&e, -EIO) == -EIO && e.code == -EIO && err_code(NULL, -EIO) == -EIO &&
	      !strcmp(e.msg, "f: No such file or directory"), "%s", e.msg);

	for (size_t n = 180; n < sizeof(path); n = n < 260 ? n + 1 : n * 2) {
		memset(path, 'p', n);
		path[n] = 0;
		err_sys(&e, -ENOENT, "%s", path);
		check(ends_with(e.msg, ": No such file or directory"), "%zu: %s", n, e.msg);
		err_in(&e, -ENOENT, "place");
		check(!strncmp(e.msg, "place", 5), "%zu: %s", n, e.msg);
		check(ends_with(e.msg, ": No such file or directory"), "%zu: %s", n, e.msg);
		err_in(&e, -ENOENT, path);
		check(ends_with(e.msg, ": No such file or directory"), "%zu: %s", n, e.msg);
		check(strlen(e.msg) < sizeof(e.msg), "%zu", strlen(e.msg));
	}
	/* What fits stays whole, however it is divided. */
	for (size_t n = 1; n < 230; n++) {
		memset(path, 'q', n);
		path[0] = 'p';
		path[n] = 0;
		err_set(&e, -EIO, "%s", path);
		err_in(&e, -EIO, "h");
		check(strlen(e.msg) == n + 3 && e.msg[3] == 'p', "%zu: %s", n, e.msg);
	}
	return check_done();
}
