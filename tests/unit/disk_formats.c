/*
 * Every format as the top of a chain of files, beside a plain array: random requests,
 * closed and opened again now and then.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "disk/create.h"
#include "disk/disk.h"
#include "disk/manage.h"

#define SIZE	((40u << 20) + 5 * 512)	/* two pages of the map; ends inside a grain */

static char dir[] = "/tmp/disk_formats.XXXXXX";
static uint8_t *model, *buf;
static uint64_t seed = 3;

static uint32_t below(uint32_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % n;
}

static struct disk *opens(const char *path)
{
	struct disk *d = NULL;
	struct err e = { 0 };

	check(!disk_open(&d, path, &(struct disk_opts){ .write = true }, &e), "%s", e.msg);
	if (!d)
		exit(check_done());
	return d;
}

static void create(char *path, enum disk_format f, unsigned no, const char *parent)
{
	struct disk_create c = { .size = SIZE, .format = f, .parent = parent };
	struct err e = { 0 };

	snprintf(path, 64, "%s/%u.vmdk", dir, no);
	if (parent) {
		char pp[96];
		struct image *im;

		snprintf(pp, sizeof(pp), "%s/%s", dir, parent);
		check(!image_open(&im, pp, &(struct disk_opts){ 0 }, &e), "%s", e.msg);
		c.parent_cid = im->desc->cid;
		image_close(im);
	}
	check(!disk_create(path, &c, &e), "%s: %s", disk_format_name[f], e.msg);
}

static void compare(struct disk *d)
{
	struct err e = { 0 };

	check(!disk_read(d, buf, SIZE, 0, &e), "%s", e.msg);
	check(!memcmp(buf, model, SIZE), "other data");
}

static void one_request(struct disk *d)
{
	uint32_t sectors = SIZE / 512, s = below(sectors), n = 1 + below(below(8) ? 300 : 3000);
	uint64_t off, len;
	struct err e = { 0 };
	int rc;

	if (below(4))		/* in a few places, so that grains are met again */
		s = s / 2000 * 2000;
	off = (uint64_t)s * 512;
	len = (uint64_t)(n < sectors - s ? n : sectors - s) * 512;
	switch (below(5)) {
	case 0:
		rc = disk_zero(d, off, len, below(2), &e);
		memset(model + off, 0, len);
		break;
	case 1:
		rc = disk_read(d, buf, len, off, &e);
		check(!memcmp(buf, model + off, len), "read of %llu", (unsigned long long)off);
		break;
	case 2:
		rc = disk_flush(d, &e);
		break;
	default:
		for (uint64_t i = 0; i < len; i += 512)
			memset(buf + i, (int)below(256), 512);
		rc = disk_write(d, buf, len, off, &e);
		memcpy(model + off, buf, len);
	}
	check(!rc, "%s", e.msg);
}

static void fill(const char *path, unsigned requests)
{
	struct disk *d = opens(path);
	struct err e = { 0 };

	for (unsigned i = 0; i < requests; i++) {
		one_request(d);
		if (i % 40 == 39) {
			check(!disk_close(d, &e), "%s", e.msg);
			d = opens(path);
		}
	}
	compare(d);
	check(!disk_close(d, &e), "%s", e.msg);
	d = opens(path);
	compare(d);
	check(!disk_close(d, &e), "%s", e.msg);
}

static void test_format(enum disk_format base, enum disk_format child, enum disk_format top)
{
	struct disk_manage m = { 0 };
	char path[64];
	struct err e = { 0 };

	memset(model, 0, SIZE);
	create(path, base, 0, NULL);
	fill(path, 100);
	create(path, child, 1, "0.vmdk");
	fill(path, 100);
	create(path, top, 2, "1.vmdk");
	fill(path, 200);
	for (unsigned i = 3; i-- > 0;) {
		struct disk_files gone = { 0 };

		snprintf(path, sizeof(path), "%s/%u.vmdk", dir, i);
		check(!disk_delete(path, &m, &gone, &e), "%s", e.msg);
		disk_files_free(&gone);
	}
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	model = malloc(SIZE);
	buf = malloc(SIZE);
	test_format(DISK_SPARSE, DISK_SPARSE, DISK_SPARSE);
	test_format(DISK_THIN, DISK_VMFSSPARSE, DISK_VMFSSPARSE);
	test_format(DISK_SESPARSE, DISK_SESPARSE, DISK_SESPARSE);
	test_format(DISK_SPLIT_FLAT, DISK_SPLIT_SPARSE, DISK_SPLIT_SPARSE);
	/* Grains of a sector over larger ones. */
	test_format(DISK_SESPARSE, DISK_SESPARSE, DISK_VMFSSPARSE);
	test_format(DISK_SPARSE, DISK_SPARSE, DISK_VMFSSPARSE);
	check(!rmdir(dir), "nothing is left behind");
	free(model);
	free(buf);
	return check_done();
}
