/*
 * Disks that are written to in turn by us and by QEMU, with random operations: each reads
 * what the other wrote, and what is left is no damage.  Made by us and by QEMU, alone
 * and as children of others.  (What QEMU only reads is in disk_esx_qemu.c.)
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "disk/check.h"
#include "disk/create.h"
#include "disk/disk.h"
#include "disk/manage.h"

#define SIZE	(8u << 20)	/* bytes of each disk */
#define OURS	400		/* operations of a turn */
#define THEIRS	150
#define TURNS	2
#define LONGEST	(128u << 10)	/* bytes of an operation */

static uint64_t seed = 20261130;
static uint8_t *model, *seen;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % n;
}

/* A range of sectors, often at grains. */
static void pick(uint64_t *off, size_t *len)
{
	uint32_t unit = rnd(3) ? SECTOR : 65536;

	*len = (1 + rnd(LONGEST / unit)) * unit;
	*off = (uint64_t)rnd((SIZE - (uint32_t)*len) / unit + 1) * unit;
}

static bool shell(const char *fmt, const char *a)
{
	char cmd[512];

	snprintf(cmd, sizeof(cmd), fmt, a);
	return !system(cmd);
}

static void our_turn(const char *name)
{
	static uint8_t buf[LONGEST];
	struct disk_opts o = { .write = true };
	struct err e = { 0 };
	struct disk *d;
	uint64_t off;
	size_t len;
	int rc = disk_open(&d, "x.vmdk", &o, &e);

	check(!rc, "%s: %s", name, e.msg);
	for (unsigned i = 0; i < OURS && !rc; i++) {
		pick(&off, &len);
		if (rnd(4)) {
			memset(buf, (int)(1 + rnd(255)), len);
			rc = disk_write(d, buf, len, off, &e);
		} else {
			memset(buf, 0, len);
			rc = disk_zero(d, off, len, rnd(2), &e);
		}
		memcpy(model + off, buf, len);
		if (!rc && !rnd(50))
			rc = disk_flush(d, &e);
		check(!rc, "%s: %s", name, e.msg);
	}
	if (!rc)
		check(!disk_close(d, &e), "%s: %s", name, e.msg);
}

static void they_read(const char *name)
{
	FILE *f;

	check(shell("qemu-img convert -f vmdk -O raw %s out.raw", "x.vmdk"), "%s", name);
	f = fopen("out.raw", "r");
	memset(seen, 0, SIZE);
	check(f && fread(seen, 1, SIZE, f) == SIZE, "%s: too short", name);
	if (f)
		fclose(f);
	check(!memcmp(seen, model, SIZE), "%s: they read other than we wrote", name);
}

static void their_turn(const char *name)
{
	FILE *f = popen("qemu-io -f vmdk x.vmdk >io.log 2>&1", "w");
	uint64_t off;
	size_t len;

	for (unsigned i = 0; i < THEIRS && f; i++) {
		unsigned v = rnd(4) ? 1 + rnd(255) : 0;

		pick(&off, &len);
		memset(model + off, (int)v, len);
		if (v)
			fprintf(f, "write -P %u %llu %zu\n", v, (unsigned long long)off, len);
		else
			fprintf(f, "write -z %llu %zu\n", (unsigned long long)off, len);
	}
	check(f && !pclose(f) && !shell("grep -iq 'fail\\|error' %s", "io.log"), "%s: qemu-io", name);
}

static void report(void *ptr, const struct disk_finding *f)
{
	if (!f->leak)
		printf("%s: %s: %s\n", (const char *)ptr, f->kind, f->text);
}

static void we_read(const char *name)
{
	struct disk_check c = { .chain = true, .report = report, .ptr = (void *)name };
	struct disk_opts o = { 0 };
	struct disk_check_sum sum;
	struct err e = { 0 };
	struct disk *d;
	int rc = disk_open(&d, "x.vmdk", &o, &e);

	check(!rc, "%s: %s", name, e.msg);
	if (rc)
		return;
	check(disk_size(d) == SIZE, "%s: size", name);
	check(!disk_read(d, seen, SIZE, 0, &e), "%s: %s", name, e.msg);
	disk_close(d, NULL);
	check(!memcmp(seen, model, SIZE), "%s: we read other than they wrote", name);
	check(!disk_check("x.vmdk", &c, &o, &sum, &e), "%s: %s", name, e.msg);
	check(!sum.damage, "%s: damaged", name);
}

static uint32_t cid_of(const char *path)
{
	struct disk_opts o = { .no_extents = true, .no_lock = true };
	struct image *im;
	uint32_t cid = 0;

	if (!image_open(&im, path, &o, NULL)) {
		cid = im->desc->cid;
		image_close(im);
	}
	return cid;
}

static bool make(const char *path, enum disk_format f, const char *parent)
{
	struct disk_create c = { .format = f, .size = SIZE, .parent = parent };
	struct err e = { 0 };

	if (parent)
		c.parent_cid = cid_of(parent);
	check(!disk_create(path, &c, &e), "%s", e.msg);
	return !e.code;
}

/* The disk x.vmdk, by one of the two, perhaps with a parent that holds something. */
static const struct {
	const char *name;
	enum disk_format format;
	const char *qemu;	/* options of qemu-img create; NULL: made by us */
	int parent;		/* enum disk_format, or -1 */
} cases[] = {
	{ "sparse", DISK_SPARSE, NULL, -1 },
	{ "2gbsparse", DISK_SPLIT_SPARSE, NULL, -1 },
	{ "flat", DISK_FLAT, NULL, -1 },
	{ "2gbflat", DISK_SPLIT_FLAT, NULL, -1 },
	{ "thin", DISK_THIN, NULL, -1 },
	{ "sparse on sparse", DISK_SPARSE, NULL, DISK_SPARSE },
	{ "sparse on thin", DISK_SPARSE, NULL, DISK_THIN },
	{ "2gbsparse on seSparse", DISK_SPLIT_SPARSE, NULL, DISK_SESPARSE },
	{ "sparse on vmfsSparse", DISK_SPARSE, NULL, DISK_VMFSSPARSE },
	{ "QEMU's sparse", 0, "-o subformat=monolithicSparse", -1 },
	{ "QEMU's 2gbsparse", 0, "-o subformat=twoGbMaxExtentSparse", -1 },
	{ "QEMU's flat", 0, "-o subformat=monolithicFlat", -1 },
	{ "QEMU's 2gbflat", 0, "-o subformat=twoGbMaxExtentFlat", -1 },
	{ "QEMU's with zeroed grains", 0, "-o subformat=monolithicSparse,zeroed_grain=on", -1 },
	{ "QEMU's on ours", 0, "-F vmdk -b p.vmdk", DISK_SPARSE },
};

static void begin(size_t i)
{
	char cmd[256];

	memset(model, 0, SIZE);
	if (cases[i].parent >= 0) {
		check(shell("rm -f %s", "*"), "rm");
		make("x.vmdk", (enum disk_format)cases[i].parent, NULL);
		our_turn(cases[i].name);
		check(!disk_rename("x.vmdk", "p.vmdk", &(struct disk_manage) { 0 }, NULL), "rename");
	}
	if (!cases[i].qemu) {
		make("x.vmdk", cases[i].format, cases[i].parent >= 0 ? "p.vmdk" : NULL);
		return;
	}
	snprintf(cmd, sizeof(cmd), "qemu-img create -q -f vmdk %s x.vmdk %u", cases[i].qemu, SIZE);
	check(shell("%s", cmd), "%s", cmd);
}

int main(void)
{
	char dir[] = "/tmp/disk_qemu.XXXXXX";

	if (!shell("command -v qemu-img >/dev/null && command -v qemu-io >/dev/null%s", "")) {
		printf("no qemu-img\n");
		return 77;
	}
	model = malloc(SIZE);
	seen = malloc(SIZE);
	if (!model || !seen || !mkdtemp(dir) || chdir(dir))
		return 1;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(i);
		for (unsigned turn = 0; turn < TURNS; turn++) {
			our_turn(cases[i].name);
			they_read(cases[i].name);
			their_turn(cases[i].name);
			we_read(cases[i].name);
		}
		check(shell("rm -rf %s", "*"), "rm");
	}
	check(!chdir("/") && !rmdir(dir), "%s is not empty", dir);
	free(model);
	free(seen);
	return check_done();
}
