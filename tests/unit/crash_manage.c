/*
 * What a crash leaves of disks that are being created, resized, renamed and deleted:
 * every prefix of the changes, torn and lost ones with it.
 */
#include <errno.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "disk/create.h"
#include "disk/disk.h"
#include "disk/manage.h"
#include "disk/part.h"
#include "replay.h"
#include "shim.h"

#define DATA 65536u	/* bytes of the disk that hold data, at its beginning and at its end */

static char root[64];
static uint8_t pattern[DATA];

static const char *at(const char *name)
{
	static char path[8][256];
	static unsigned n;
	char *p = path[n++ % 8];

	snprintf(p, sizeof(path[0]), "%s/%s", root, name);
	return p;
}

static void shell(const char *fmt, const char *a, const char *b)
{
	char cmd[1024];

	snprintf(cmd, sizeof(cmd), fmt, a, b);
	check(!system(cmd), "%s", cmd);
}

struct expect {
	enum disk_format format;
	uint64_t from, to;	/* bytes */
};

/* The state of a disk: its size, or 0: there is none, or one that does not open. */
static uint64_t look(const char *work, const char *name, bool *intact)
{
	static uint8_t b[DATA];
	struct disk_opts o = { .no_lock = true };
	struct disk *d;
	char path[512];
	uint64_t size;

	snprintf(path, sizeof(path), "%s/%s", work, name);
	*intact = false;
	if (disk_open(&d, path, &o, NULL))
		return 0;
	size = disk_layer(d, 0)->desc ? disk_size(d) : 0;
	if (size >= DATA && !disk_read(d, b, DATA, 0, NULL))
		*intact = !memcmp(b, pattern, DATA);
	disk_close(d, NULL);
	return size;
}

/* Nothing, a file that is no disk yet, or an empty disk of the right size. */
static bool created(void *ptr, const char *work, size_t done)
{
	const struct expect *x = ptr;
	static const uint8_t zeros[DATA];
	struct disk_opts o = { .no_lock = true };
	struct disk *d;
	char path[512];
	uint8_t *b;
	bool good;

	snprintf(path, sizeof(path), "%s/x.vmdk", work);
	if (disk_open(&d, path, &o, NULL))
		return true;
	b = malloc(DATA);
	good = !disk_layer(d, 0)->desc ||
	       (disk_size(d) == x->to && b && !disk_read(d, b, DATA, 0, NULL) &&
		!memcmp(b, zeros, DATA));
	free(b);
	disk_close(d, NULL);
	return good;
}

static bool resized(void *ptr, const char *work, size_t done)
{
	const struct expect *x = ptr;
	bool intact;
	uint64_t size = look(work, "x.vmdk", &intact);

	return intact && (size == x->from || size == x->to);
}

/* What was cut off does not come back when the disk grows again. */
static bool shrunk(void *ptr, const char *work, size_t done)
{
	static const uint8_t zeros[DATA];
	const struct expect *x = ptr;
	struct disk_opts o = { .no_lock = true };
	struct disk_manage m = { .force = true };
	struct disk *d;
	char path[512];
	uint64_t was;
	uint8_t *b;
	bool good;
	int rc;

	if (!resized(ptr, work, done))
		return false;
	snprintf(path, sizeof(path), "%s/x.vmdk", work);
	rc = disk_resize(path, x->from, &m, &was, NULL);
	if (rc)
		return false;
	b = malloc(DATA);
	good = b && !disk_open(&d, path, &o, NULL);
	if (good) {
		good = !disk_read(d, b, DATA, x->from - DATA, NULL) &&
		       !memcmp(b, was == x->to ? zeros : pattern, DATA);
		disk_close(d, NULL);
	}
	free(b);
	return good;
}

/* Does the folder hold what a disk of that size has, and no more? */
static bool tidy(const struct expect *x, const char *work, uint64_t size)
{
	char path[512];
	struct stat st;

	snprintf(path, sizeof(path), "%s/x-%s.vmdk", work,
		 x->format == DISK_FLAT ? "flat" : "s003");
	if (x->format == DISK_FLAT)
		return !stat(path, &st) && (uint64_t)st.st_size == size;
	return !access(path, F_OK) == (size > 4LL << 30);
}

/* The files and ends of extents that a resizing which was cut short made, or was to
 * remove, are gone when it is asked for again, and are not in the way of another. */
static bool regrown(void *ptr, const char *work, size_t done)
{
	const struct expect *x = ptr;
	uint64_t most = x->to > x->from ? x->to : x->from, was, size;
	struct disk_manage m = { .force = true };
	struct err e = { 0 };
	bool intact;
	char path[512];

	if (!resized(ptr, work, done))
		return false;
	size = look(work, "x.vmdk", &intact);
	snprintf(path, sizeof(path), "%s/x.vmdk", work);
	if (done % 2 == 0 && (disk_resize(path, size, &m, &was, &e) || !tidy(x, work, size)))
		return fprintf(stderr, "again: %s\n", e.msg), false;
	if (disk_resize(path, most, &m, &was, &e) || disk_resize(path, x->from, &m, &was, &e))
		return fprintf(stderr, "another: %s\n", e.msg), false;
	return tidy(x, work, x->from);
}

static int is_extent(const struct dirent *d)
{
	return !strncmp(d->d_name, "x-", 2);
}

/* One of both is whole; as long as the old descriptor is there it can be renamed again. */
static bool renamed(void *ptr, const char *work, size_t done)
{
	const struct expect *x = ptr;
	struct disk_manage m = { .force = done & 1 };
	bool a, b;
	uint64_t old = look(work, "x.vmdk", &a), new = look(work, "y.vmdk", &b);
	char from[512], to[512];

	if (!(old == x->from && a) && !(new == x->from && b))
		return false;
	snprintf(from, sizeof(from), "%s/x.vmdk", work);
	snprintf(to, sizeof(to), "%s/y.vmdk", work);
	if (access(from, F_OK))
		return true;
	return !disk_rename(from, to, &m, NULL) && access(from, F_OK) &&
	       look(work, "y.vmdk", &b) == x->from && b;
}

/* Of a disk that is gone no extents are left; what is left of it can be deleted again. */
static bool deleted(void *ptr, const char *work, size_t done)
{
	struct disk_manage m = { 0 };
	struct disk_files gone;
	struct dirent **d;
	char path[512];
	int rc, n;

	snprintf(path, sizeof(path), "%s/x.vmdk", work);
	if (access(path, F_OK)) {
		n = scandir(work, &d, is_extent, NULL);
		for (int i = 0; i < n; i++)
			free(d[i]);
		free(d);
		return n == 0;
	}
	rc = disk_delete(path, &m, &gone, NULL);
	disk_files_free(&gone);
	return !rc && access(path, F_OK);
}

/* Filled while it is made: not there before it is whole.  One that it replaces is whole until
 * then, or this one is under its first name; and it can be made again in any case. */
static bool filled(void *ptr, const char *work, size_t done)
{
	const struct expect *x = ptr;
	struct disk_create c = { .format = x->format, .size = x->to, .force = true };
	struct disk_part *p = NULL;
	char path[512];
	bool a, b;
	uint64_t size = look(work, "x.vmdk", &a), part = look(work, "x.vmdk.part", &b);
	int rc;

	if (size ? !a || (size != x->from && size != x->to) : x->from && !(part == x->to && b))
		return false;
	snprintf(path, sizeof(path), "%s/x.vmdk", work);
	rc = disk_part_begin(&p, path, &c, NULL);
	disk_part_free(p);
	snprintf(path, sizeof(path), "%s/x.vmdk.part", work);
	return !rc && access(path, F_OK);
}

static void fill(const struct expect *x)
{
	struct disk_create c = { .format = x->format, .size = x->to, .force = x->from };
	struct disk_opts o = { .write = true, .no_lock = true };
	struct disk_create empty = c;
	struct disk_part *p = NULL;
	struct err e = { 0 };
	struct disk *d;

	empty.force = false;
	check(!disk_part_begin(&p, at("live/x.vmdk"), &c, &e), "%s", e.msg);
	if (!p)
		return;
	check(!disk_create(disk_part_path(p), &empty, &e) &&
	      !disk_open(&d, disk_part_path(p), &o, &e), "%s", e.msg);
	check(!disk_write(d, pattern, DATA, 0, &e) && !disk_close(d, &e), "%s", e.msg);
	check(!disk_part_finish(p, &e), "%s", e.msg);
	disk_part_free(p);
}

static void prepare(const struct expect *x)
{
	struct disk_create c = { .format = x->format, .size = x->from };
	struct disk_opts o = { .write = true };
	struct err e = { 0 };
	struct disk *d;

	shell("rm -rf %s/* && mkdir %s/live", root, root);
	if (x->from) {
		check(!disk_create(at("live/x.vmdk"), &c, &e), "%s", e.msg);
		check(!disk_open(&d, at("live/x.vmdk"), &o, &e), "%s", e.msg);
		check(!disk_write(d, pattern, DATA, 0, &e) &&
		      !disk_write(d, pattern, DATA, x->from - DATA, &e) && !disk_close(d, &e), "%s",
		      e.msg);
	}
	shell("cp -a %s/live %s/base", root, root);
	shim_start(at("live"), at("log"), NULL);
}

static void judge(const char *what, struct expect *x,
		  bool (*good)(void *ptr, const char *work, size_t done))
{
	struct replay *r;

	shim_stop();
	r = replay_open(at("log"), at("base"));
	check(r && replay_all(r, at("work"), 3, 7, good, x) == 0, "%s %s", what,
	      disk_format_name[x->format]);
	replay_close(r);
}

/* The old disk is gone, and the new one cannot get its name: then it stays under the other. */
static void test_no_name(void)
{
	struct expect x = { DISK_THIN, 3 << 20, 8 << 20 };
	struct disk_create c = { .format = x.format, .size = x.to, .force = true };
	struct disk_create empty = { .format = x.format, .size = x.to };
	struct disk_part *p = NULL;
	struct err e = { 0 };
	bool intact;

	prepare(&x);
	shim_stop();
	check(!disk_part_begin(&p, at("live/x.vmdk"), &c, &e) &&
	      !disk_create(disk_part_path(p), &empty, &e), "%s", e.msg);
	shim_start(at("live"), NULL, "rename:1:EIO");
	check(disk_part_finish(p, &e) == -EIO && strstr(e.msg, "x.vmdk.part is the new disk and stays"),
	      "%s", e.msg);
	shim_stop();
	disk_part_free(p);
	check(!look(at("live"), "x.vmdk", &intact) && look(at("live"), "x.vmdk.part", &intact) == x.to,
	      "the new one is there");
	check(!disk_part_begin(&p, at("live/x.vmdk"), &c, &e), "again: %s", e.msg);
	disk_part_free(p);
}

static void test(enum disk_format f)
{
	struct expect make = { f, 0, 3 << 20 }, grow = { f, 3 << 20, 8 << 20 };
	struct expect shrink = { f, 8 << 20, 3 << 20 }, same = { f, 3 << 20, 3 << 20 };
	struct disk_create c = { .format = f, .size = make.to };
	struct disk_manage m = { .force = true };
	struct disk_files gone;
	struct err e = { 0 };
	uint64_t was;

	prepare(&make);
	check(!disk_create(at("live/x.vmdk"), &c, &e), "%s", e.msg);
	judge("create", &make, created);
	prepare(&grow);
	check(!disk_resize(at("live/x.vmdk"), grow.to, &m, &was, &e), "%s", e.msg);
	judge("grow", &grow, resized);
	prepare(&shrink);
	check(!disk_resize(at("live/x.vmdk"), shrink.to, &m, &was, &e), "%s", e.msg);
	judge("shrink", &shrink, shrunk);
	prepare(&same);
	check(!disk_rename(at("live/x.vmdk"), at("live/y.vmdk"), &m, &e), "%s", e.msg);
	judge("rename", &same, renamed);
	prepare(&same);
	check(!disk_delete(at("live/x.vmdk"), &m, &gone, &e), "%s", e.msg);
	disk_files_free(&gone);
	judge("delete", &same, deleted);
	prepare(&make);
	fill(&make);
	judge("fill", &make, filled);
	prepare(&grow);
	fill(&grow);
	judge("replace", &grow, filled);
}

/* Two resizings of disks whose files differ in size or number. */
static void test_left(enum disk_format f, uint64_t large)
{
	struct expect grow = { f, 3 << 20, large }, shrink = { f, large, 3 << 20 };
	struct disk_manage m = { .force = true };
	struct err e = { 0 };
	uint64_t was;

	prepare(&grow);
	check(!disk_resize(at("live/x.vmdk"), grow.to, &m, &was, &e), "%s", e.msg);
	judge("grow, and again", &grow, regrown);
	prepare(&shrink);
	check(!disk_resize(at("live/x.vmdk"), shrink.to, &m, &was, &e), "%s", e.msg);
	judge("shrink, and again", &shrink, regrown);
}

int main(void)
{
	static const enum disk_format formats[] = {
		DISK_SPARSE, DISK_SPLIT_SPARSE, DISK_FLAT, DISK_SPLIT_FLAT, DISK_THIN,
		DISK_VMFSSPARSE, DISK_SESPARSE,
	};

	strcpy(root, "/dev/shm/crash_manage.XXXXXX");
	if (!mkdtemp(root)) {
		strcpy(root, "/tmp/crash_manage.XXXXXX");
		if (!mkdtemp(root))
			return 1;
	}
	memset(pattern, 0xa5, sizeof(pattern));
	test_no_name();
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		test(formats[i]);
	test_left(DISK_SPLIT_SPARSE, 5LL << 30);
	test_left(DISK_FLAT, 8 << 20);
	shell("rm -r %s%s", root, "");
	return check_done();
}
