/* What qemu-img reads of vmfsSparse and seSparse chains that random operations made is
 * what the model has. */
#include <stdio.h>
#include <unistd.h>

#include "disk/cowd.h"
#include "disk/sesparse.h"
#include "disk_rig.h"
#include "disk_tight.h"

static char dir[] = "/tmp/disk_esx_qemu.XXXXXX";

static void path(char *p, size_t n, const char *name)
{
	snprintf(p, n, "%s/%s", dir, name);
}

static void put_file(const char *name, const void *data, size_t len)
{
	char p[256];
	FILE *f;

	path(p, sizeof(p), name);
	f = fopen(p, "w");
	check(f && fwrite(data, 1, len, f) == len && !fclose(f), "%s", p);
}

static void put_descriptor(const char *name, const char *cid, const char *parent,
			   const char *type, uint64_t sectors, const char *extent,
			   const char *file)
{
	char text[1024];

	snprintf(text, sizeof(text), "# Disk DescriptorFile\nversion=1\nCID=%s\nparentCID=%s\n"
		 "createType=\"%s\"\n%s%s%s\n# Extent description\nRW %" PRIu64
		 " %s \"%s\"%s\n\n# The Disk Data Base\n#DDB\n\nddb.adapterType = \"lsilogic\"\n",
		 cid, parent ? "11111111" : "ffffffff", type,
		 parent ? "parentFileNameHint=\"" : "", parent ? parent : "",
		 parent ? "\"\n" : "", sectors, extent, file,
		 strcmp(extent, "FLAT") ? "" : " 0");
	put_file(name, text, strlen(text));
}

static void remove_all(void)
{
	static const char *const name[] = { "base.vmdk", "base-flat.vmdk", "top.vmdk",
					    "top-extent.vmdk", "out.raw" };
	char p[256];

	for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		path(p, sizeof(p), name[i]);
		unlink(p);
	}
	rmdir(dir);
}

static void compare(struct rig *r)
{
	uint64_t sectors = r->sectors;
	uint8_t buf[SECTOR], *parent = malloc(sectors * SECTOR);
	char cmd[256], p[256];
	unsigned bad = 0;
	FILE *f;
	int rc;

	for (uint64_t i = 0; i < sectors; i++)
		rig_fill(parent + i * SECTOR, 1, i);
	put_file("base-flat.vmdk", parent, sectors * SECTOR);
	free(parent);
	put_file("top-extent.vmdk", r->disk.live.p, r->disk.live.size);
	snprintf(cmd, sizeof(cmd), "cd %s && qemu-img convert -O raw top.vmdk out.raw", dir);
	rc = system(cmd);
	check(!rc, "%s: %d", cmd, rc);
	path(p, sizeof(p), "out.raw");
	f = fopen(p, "r");
	check(f != NULL, "%s", p);
	for (uint64_t i = 0; f && i < sectors && bad < 3; i++) {
		bool ok = fread(buf, SECTOR, 1, f) == 1 &&
			  rig_allowed(&r->sector[i], r->sector[i].sure, buf, i);

		bad += !ok;
		check(ok, "sector %" PRIu64 ": qemu-img reads %016" PRIx64
		      ", it is %016" PRIx64, i, *(uint64_t *)buf,
		      rig_word(r->sector[i].stamp[r->sector[i].n - 1], i, 0));
	}
	check(f && fread(buf, 1, 1, f) == 0, "its size");
	if (f)
		fclose(f);
}

static void test_cowd(uint64_t sectors, unsigned ops)
{
	struct cowd_create k = { sectors * SECTOR, 0 };
	struct rig r = { .open = cowd_open, .crash_odds = UINT32_MAX, .cache = 65536 };
	struct disk_file *f = mem_file(&r.disk, true);
	struct err e;

	rig_size(&r, sectors);
	check(!cowd_create(f, &k, &e), "create");
	file_close(f);
	rig_open(&r);
	for (unsigned i = 0; i < ops; i++) {
		rig_any(&r, 300);
		if (i % 200 == 150)
			rig_resize(&r, sectors + rig_rand(sectors));
	}
	rig_flush(&r);
	put_descriptor("base.vmdk", "11111111", NULL, "monolithicFlat", r.sectors, "FLAT",
		       "base-flat.vmdk");
	put_descriptor("top.vmdk", "22222222", "base.vmdk", "vmfsSparse", r.sectors,
		       "VMFSSPARSE", "top-extent.vmdk");
	compare(&r);
	rig_free(&r);
}

/* sectors 0: one whose tables must move when it grows. */
static void test_sesparse(uint64_t sectors, unsigned ops)
{
	struct sesparse_create k = { sectors * SECTOR, 0 };
	struct rig r = { .open = sesparse_open, .crash_odds = UINT32_MAX, .cache = 65536 };
	struct disk_file *f = mem_file(&r.disk, true);
	struct err e;

	if (sectors) {
		rig_size(&r, sectors);
		check(!sesparse_create(f, &k, &e), "create");
		rig_open(&r);
	} else {
		start_tight(&r);
		rig_write(&r, 0, 7000);
		sectors = 33000;
	}
	file_close(f);
	for (unsigned i = 0; i < ops; i++) {
		rig_any(&r, 300);
		if (i % 200 == 150)
			rig_resize(&r, sectors + rig_rand(sectors));
	}
	rig_flush(&r);
	put_descriptor("base.vmdk", "11111111", NULL, "monolithicFlat", r.sectors, "FLAT",
		       "base-flat.vmdk");
	put_descriptor("top.vmdk", "22222222", "base.vmdk", "seSparse", r.sectors, "SESPARSE",
		       "top-extent.vmdk");
	compare(&r);
	rig_free(&r);
}

int main(void)
{
	static const uint64_t sectors[] = { 8, 4095, 5000, 70000 };

	if (system("qemu-img --version >/dev/null 2>&1")) {
		printf("skipped: no qemu-img\n");
		return 0;
	}
	check(mkdtemp(dir) != NULL, "%s", dir);
	for (size_t i = 0; i < sizeof(sectors) / sizeof(sectors[0]); i++) {
		test_cowd(sectors[i], 400);
		test_sesparse(sectors[i], 400);
	}
	test_sesparse(0, 400);
	remove_all();
	return check_done();
}
