/* Block devices as backends: a loop device, where one can be had. */
#include <stdlib.h>
#include <sys/stat.h>

#include "check.h"
#include "disk/create.h"
#include "disk/disk.h"
#include "loop.h"

#define MIB (1u << 20)
#define SIZE (4u * MIB + 1536)	/* not of whole pages */

static char dir[] = "/tmp/disk_device.XXXXXX", backing[64], name[64];
static struct loop loop;

static struct disk_file *must_open(unsigned flags)
{
	struct disk_file *f = NULL;
	struct err e = { 0 };

	check(!file_open(&f, NULL, loop.path, flags, &e), "%s", e.msg);
	if (!f)
		exit(check_done());
	return f;
}

static uint64_t blocks_used(void)
{
	struct stat st = { 0 };

	stat(backing, &st);
	return (uint64_t)st.st_blocks * 512;
}

static void test_file(void)
{
	static char buf[64 * 1024], zeros[64 * 1024];
	struct disk_file *f = must_open(FILE_WRITE), *g;
	struct err e = { 0 };
	uint64_t start, end, before;

	check(f->device && f->writable && f->discards, "what it is");
	check(f->size == SIZE, "%llu bytes", (unsigned long long)f->size);
	memset(buf, 7, sizeof(buf));
	check(!file_write(f, buf, 512, SIZE - 512, &e), "%s", e.msg);
	check(file_write(f, buf, 512, SIZE, &e) == -ENOSPC, "behind the end: %s", e.msg);
	check(file_read(f, buf, 512, SIZE, &e) == -EBADMSG, "behind the end: %s", e.msg);
	for (unsigned i = 0; i < 16; i++)
		check(!file_write(f, buf, sizeof(buf), MIB + i * sizeof(buf), &e), "%s", e.msg);
	check(!file_sync(f, &e), "%s", e.msg);
	before = blocks_used();
	check(!file_punch(f, MIB, MIB, &e), "%s", e.msg);
	check(!file_sync(f, &e) && blocks_used() + MIB / 2 < before, "room is given back");
	check(!file_read(f, buf, sizeof(buf), 2 * MIB - sizeof(buf), &e) &&
	      !memcmp(buf, zeros, sizeof(buf)), "and reads as zeros");
	memset(buf, 7, sizeof(buf));
	check(!file_write(f, buf, 4096, 0, &e) && !file_zero(f, 512, 1024, &e), "%s", e.msg);
	check(!file_read(f, buf, 4096, 0, &e) && buf[511] == 7 && !buf[512] && !buf[1535] &&
	      buf[1536] == 7, "sectors");
	check(!file_data(f, 512, &start, &end, &e) && start == 512 && end == SIZE, "all is data");
	/* Nobody else writes to it meanwhile. */
	check(file_open(&g, NULL, loop.path, FILE_WRITE, &e) == -EBUSY && strstr(e.msg, "in use"),
	      "%s", e.msg);
	g = must_open(FILE_WRITE | FILE_SHARED);
	file_close(g);
	g = must_open(0);
	check(!g->writable, "reading is free");
	file_close(g);
	file_close(f);
	f = must_open(FILE_WRITE);
	file_close(f);
}

static void descriptor(const char *text)
{
	FILE *out = fopen(name, "w");

	fprintf(out, "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n%s", text);
	fclose(out);
}

static void test_rdm(bool physical)
{
	struct disk_create c = { .format = physical ? DISK_RDMP : DISK_RDM, .device = loop.path };
	struct disk_opts o = { .write = true }, outside = { .write = true, .allow_outside = true };
	struct disk *d = NULL;
	char buf[1024], link[96];
	struct err e = { 0 };

	check(!disk_create(name, &c, &e), "%s", e.msg);
	check(disk_open(&d, name, &o, &e) == -EPERM, "only who asks for it: %s", e.msg);
	check(!disk_open(&d, name, &outside, &e), "%s", e.msg);
	if (!d)
		return;
	check(disk_size(d) == SIZE && image_thin(disk_layer(d, 0)), "a disk that takes room back");
	memset(buf, 9, sizeof(buf));
	check(!disk_write(d, buf, 1024, SIZE - 1024, &e) && !disk_zero(d, SIZE - 512, 512, true, &e) &&
	      !disk_flush(d, &e), "%s", e.msg);
	check(!disk_read(d, buf, 1024, SIZE - 1024, &e) && buf[511] == 9 && !buf[512], "written");
	check(!disk_close(d, &e), "%s", e.msg);
	unlink(name);
	snprintf(link, sizeof(link), "%s/x-rdm%s.vmdk", dir, physical ? "p" : "");
	check(!unlink(link), "the mapping");
}

/* partitionedDevice: several extents of one device. */
static void test_parts(void)
{
	struct disk_opts outside = { .write = true, .allow_outside = true };
	struct disk *d = NULL, *other = NULL;
	char buf[1024], text[512], lock[96];
	struct err e = { 0 };

	snprintf(text, sizeof(text), "createType=\"partitionedDevice\"\nRW 8 FLAT \"%s\" 0\n"
		 "RW 8 ZERO\nRW 16 FLAT \"%s\" 8\n", loop.path, loop.path);
	descriptor(text);
	check(!disk_open(&d, name, &outside, &e), "%s", e.msg);
	if (!d)
		return;
	memset(buf, 5, sizeof(buf));
	check(!disk_write(d, buf, 512, 7 * 512, &e) && !disk_write(d, buf, 1024, 16 * 512, &e),
	      "%s", e.msg);
	snprintf(lock, sizeof(lock), "%s/other.vmdk", dir);
	rename(name, lock);		/* another descriptor of the same device */
	check(disk_open(&other, lock, &outside, &e) == -EBUSY, "two writers: %s", e.msg);
	rename(lock, name);
	check(!disk_close(d, &e), "%s", e.msg);
	unlink(name);
}

int main(void)
{
	FILE *f;

	if (!mkdtemp(dir))
		return 1;
	snprintf(backing, sizeof(backing), "%s/backing", dir);
	snprintf(name, sizeof(name), "%s/x.vmdk", dir);
	f = fopen(backing, "w");
	check(f && !ftruncate(fileno(f), SIZE), "a file");
	fclose(f);
	if (loop_make(&loop, backing)) {
		test_file();
		test_rdm(false);
		test_rdm(true);
		test_parts();
		loop_free(&loop);
	}
	unlink(backing);
	check(!rmdir(dir), "nothing is left behind");
	return check_done();
}
