/*
 * The shim and the replayer themselves, and what a crash leaves of file_replace() and
 * of a write to a thin disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "disk/disk.h"
#include "replay.h"
#include "shim.h"

static char root[] = "/tmp/crash_disk.XXXXXX";

static const char *at(const char *name)
{
	static char path[8][256];
	static unsigned n;
	char *p = path[n++ % 8];

	snprintf(p, sizeof(path[0]), "%s/%s", root, name);
	return p;
}

static size_t slurp(const char *dir, const char *name, char *b, size_t size)
{
	char path[512];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY);
	n = fd < 0 ? 0 : read(fd, b, size - 1);
	close(fd);
	b[n > 0 ? n : 0] = 0;
	return n > 0 ? (size_t)n : 0;
}

static void spew(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	check(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s", path);
	close(fd);
}

/* Every kind of change is repeated: the last prefix is the folder itself. */
static void test_repeat(void)
{
	struct replay *r;
	char b[64], data[1200];
	int fd;

	check(!mkdir(at("base"), 0700) && !mkdir(at("live"), 0700), "folders");
	shim_start(at("live"), at("log"), NULL);
	fd = open(at("live/a"), O_RDWR | O_CREAT, 0640);
	memset(data, 'x', sizeof(data));
	check(pwrite(fd, data, sizeof(data), 100) == sizeof(data), "write");
	check(!fsync(fd) && !ftruncate(fd, 1000) && !fallocate(fd, FALLOC_FL_PUNCH_HOLE |
	      FALLOC_FL_KEEP_SIZE, 200, 300), "change");
	check(write(fd, "hello", 5) == 5, "at the file's own place");
	close(fd);
	check(!mkdir(at("live/d"), 0700) && !link(at("live/a"), at("live/d/b")), "names");
	check(!rename(at("live/a"), at("live/c")) && !symlink("c", at("live/s")), "names");
	spew(at("live/gone"), "x");
	check(!unlink(at("live/gone")), "unlink");
	spew(at("outside"), "not recorded");
	check(shim_calls("write") == 3 && shim_calls("open") == 2 && shim_calls("sync") == 1, "%u %u",
	      shim_calls("write"), shim_calls("open"));
	shim_stop();
	unlink(at("outside"));
	r = replay_open(at("log"), at("base"));
	check(r && replay_count(r) == 13 && replay_syncs(r, 13) == 1, "%zu", replay_count(r));
	check(!replay_make(r, at("work"), 13, REPLAY_PLAIN, 0), "make");
	snprintf(b, sizeof(b), "diff -r %s %s", at("live"), at("work"));
	check(!system(b), "the same");
	check(!replay_make(r, at("work"), 1, REPLAY_PLAIN, 0), "make");
	check(!access(at("work/a"), F_OK) && access(at("work/c"), F_OK), "the first prefix");
	replay_close(r);
}

static void test_faults(void)
{
	struct disk_file *f = NULL;
	struct err e = { 0 };
	char b[64] = "", data[64];

	memset(data, 'd', sizeof(data));
	shim_start(at("live"), NULL, "write:1:short,write:3:ENOSPC,read:1:short,read:3+:EIO,sync:1:EIO,"
		   "open:2:ENOSPC,truncate:1:EIO");
	check(!file_open(&f, NULL, at("live/f"), FILE_CREATE, &e), "%s", e.msg);
	check(!file_write(f, data, 64, 0, &e) && shim_calls("write") == 2, "the rest is written");
	check(file_write(f, data, 64, 64, &e) == -ENOSPC && strstr(e.msg, "live/f") &&
	      strstr(e.msg, "No space"), "%s", e.msg);
	check(!file_read(f, b, 64, 0, &e) && !memcmp(b, data, 64), "the rest is read");
	check(file_read(f, b, 64, 0, &e) == -EIO && file_read(f, b, 1, 0, &e) == -EIO, "%s", e.msg);
	check(file_sync(f, &e) == -EIO && !file_sync(f, &e) && shim_calls("sync") == 2,
	      "a sync that failed is asked for again");
	check(!file_sync(f, &e) && shim_calls("sync") == 2, "nothing to sync");
	check(file_resize(f, 0, &e) == -EIO && f->size == 64, "%s", e.msg);
	check(file_replace(at("live/r"), "x", 1, &e) == -ENOSPC, "%s", e.msg);
	check(access(at("live/r"), F_OK) && access(at("live/r.tmp"), F_OK), "nothing is left");
	file_close(f);
	shim_stop();
	unlink(at("live/f"));
}

struct replaced {
	char was[3000], now[3000];
	size_t done;		/* syncs by when the new one must be there */
};

static bool is_old_or_new(void *ptr, const char *work, size_t done)
{
	struct replaced *p = ptr;
	char b[4000];

	slurp(work, "r", b, sizeof(b));
	return !strcmp(b, p->now) || (done < p->done && !strcmp(b, p->was));
}

static void test_replace(void)
{
	struct replaced p = { .done = 2 };	/* the file, its folder */
	struct err e = { 0 };
	struct replay *r;
	int out, null, bad;

	memset(p.was, 'o', 2500);
	memset(p.now, 'n', 2900);
	spew(at("base/r"), p.was);
	spew(at("live/r"), p.was);
	shim_start(at("live"), at("log"), NULL);
	check(!file_replace(at("live/r"), p.now, strlen(p.now), &e), "%s", e.msg);
	shim_stop();
	r = replay_open(at("log"), at("base"));
	check(replay_all(r, at("work"), 20, 1, is_old_or_new, &p) == 0, "a crash leaves another");
	replay_close(r);
	/* And without the sync the replayer does find it. */
	shim_start(at("live"), at("log"), NULL);
	spew(at("live/r.tmp"), p.was);
	check(!rename(at("live/r.tmp"), at("live/r")), "rename");
	shim_stop();
	strcpy(p.was, p.now);
	spew(at("base/r"), p.was);
	memset(p.now, 'o', 2500);
	p.now[2500] = 0;
	r = replay_open(at("log"), at("base"));
	fflush(stdout);
	out = dup(1);
	null = open("/dev/null", O_WRONLY);
	dup2(null, 1);			/* it says what it found */
	bad = replay_all(r, at("work"), 20, 1, is_old_or_new, &p);
	fflush(stdout);
	dup2(out, 1);
	close(out);
	close(null);
	check(bad == 1, "not found");
	replay_close(r);
}

struct flushed {
	size_t syncs[3];	/* by when sector i is durable */
};

/* The disk opens; what was flushed is there; data that changed came with a new CID. */
static bool is_consistent(void *ptr, const char *work, size_t done)
{
	struct flushed *p = ptr;
	struct disk *d;
	char path[512], b[512];
	bool good = true, changed = false;
	struct err e = { 0 };

	snprintf(path, sizeof(path), "%s/t.vmdk", work);
	if (disk_open(&d, path, &(struct disk_opts){ 0 }, &e))
		return false;
	for (unsigned i = 0; i < 3; i++) {
		good &= !disk_read(d, b, 512, i * 65536, &e);
		changed |= b[0] || b[511];
		if (done >= p->syncs[i])
			good &= b[0] == (char)('1' + i) && b[511] == b[0];
	}
	good &= !changed || disk_layer(d, 0)->desc->cid != 0x77;
	disk_close(d, NULL);
	return good;
}

static void test_thin(void)
{
	static const char text[] = "# Disk DescriptorFile\nversion=1\nCID=00000077\nparentCID=ffffffff\n"
		"createType=\"vmfs\"\nRW 2048 VMFS \"t-flat.vmdk\"\nddb.thinProvisioned = \"1\"\n";
	struct flushed p;
	struct err e = { 0 };
	struct replay *r;
	struct disk *d;
	char b[512];

	for (int i = 0; i < 2; i++) {
		spew(at(i ? "live/t.vmdk" : "base/t.vmdk"), text);
		spew(at(i ? "live/t-flat.vmdk" : "base/t-flat.vmdk"), "");
		check(!truncate(at(i ? "live/t-flat.vmdk" : "base/t-flat.vmdk"), 1 << 20), "truncate");
	}
	shim_start(at("live"), at("log"), NULL);
	check(!disk_open(&d, at("live/t.vmdk"), &(struct disk_opts){ .write = true }, &e), "%s", e.msg);
	for (unsigned i = 0; i < 3; i++) {
		memset(b, (int)('1' + i), sizeof(b));
		check(!disk_write(d, b, 512, i * 65536, &e) && !disk_flush(d, &e), "%s", e.msg);
		p.syncs[i] = shim_calls("sync");
	}
	check(p.syncs[2] - p.syncs[0] == 2, "one sync a flush");
	check(!disk_close(d, &e), "%s", e.msg);
	shim_stop();
	r = replay_open(at("log"), at("base"));
	check(replay_all(r, at("work"), 5, 2, is_consistent, &p) == 0, "inconsistent");
	replay_close(r);
}

int main(void)
{
	char cmd[64];

	if (!mkdtemp(root))
		return 1;
	test_repeat();
	test_faults();
	test_thin();
	test_replace();
	snprintf(cmd, sizeof(cmd), "rm -r %s", root);
	check(!system(cmd), "clean up");
	return check_done();
}
