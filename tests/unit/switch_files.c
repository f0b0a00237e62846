/* Files of switches: prepared, committed, forgotten, listed, locked. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "switch/files.h"

static void make(const char *name, unsigned mtu, int want)
{
	struct switch_config c;
	struct err e = { 0 };
	int rc = switch_config_init(&c, name, &e);

	check(!rc, "%s", e.msg);
	c.mtu = mtu;
	rc = switch_file_prepare(&c, &e);
	check(rc == want, "%s: %d, %s", name, rc, e.msg);
	switch_config_free(&c);
}

static unsigned mtu_of(const char *name, int want)
{
	struct switch_config c = { 0 };
	struct err e = { 0 };
	int rc = switch_file_read(&c, name, NULL, &e);
	unsigned mtu = c.mtu;

	check(rc == want, "%s: %d, %s", name, rc, e.msg);
	switch_config_free(&c);
	return mtu;
}

static void put(const char *name, const char *text)
{
	char *path;
	FILE *f;

	if (switch_file_path(&path, name, NULL))
		return;
	f = fopen(path, "w");
	check(f && fputs(text, f) >= 0, "%s", path);
	if (f)
		fclose(f);
	free(path);
}

int main(void)
{
	char dir[] = "/tmp/switch_files.XXXXXX", cmd[80], **names;
	struct switch_config c;
	struct err e = { 0 };
	unsigned n;
	int lock = -1;

	check(mkdtemp(dir) != NULL, "%s", dir);
	setenv("RING1_ETC", dir, 1);
	check(!switch_files_list(&names, &n, &e) && !n, "no folder is no switches: %s", e.msg);
	check(!switch_files_lock(&lock, &e) && lock >= 0, "%s", e.msg);
	mtu_of("b", -ENOENT);
	make("b", 2000, 0);
	mtu_of("b", -ENOENT);			/* not yet */
	check(!switch_file_commit("b", &e), "%s", e.msg);
	check(mtu_of("b", 0) == 2000, "committed");
	make("b", 3000, 0);
	switch_file_abort("b");
	check(mtu_of("b", 0) == 2000, "forgotten");
	check(switch_file_commit("b", &e) == -ENOENT, "nothing was prepared");
	make("a", 1500, 0);
	make("a", 1501, 0);			/* over what a killed command left */
	check(!switch_file_commit("a", &e) && mtu_of("a", 0) == 1501, "%s", e.msg);
	put("c", "switch other\n");
	mtu_of("c", -EBADMSG);
	mtu_of("../c", -EINVAL);
	check(!switch_files_list(&names, &n, &e) && n == 3 && !strcmp(names[0], "a") &&
	      !strcmp(names[2], "c"), "%u", n);
	switch_files_list_free(names, n);
	check(!switch_file_delete("c", &e), "%s", e.msg);
	check(switch_file_delete("c", &e) == -ENOENT, "twice");
	put("d", "switch x\nswitch d\n mtu 1600\nswitch y\n");
	check(mtu_of("d", 0) == 1600, "one of several");
	check(switch_file_read(&c, "a", "/nonexistent", &e) == -ENOENT, "%s", e.msg);
	check(switch_file_read(&c, "a", "/dev/zero", &e) == -EFBIG, "%s", e.msg);
	check(switch_file_read(&c, "a", "/", &e) == -EISDIR, "%s", e.msg);
	close(lock);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	check(!system(cmd), "%s", cmd);
	return check_done();
}
