/* vmfsSparse: the header's fields at their bounds; random operations against a model,
 * with crashes and errors; check and repair of damage. */
#include "base/le.h"
#include "disk/cowd.h"
#include "disk/cowd_header.h"
#include "disk_rig.h"

static void test_header(void)
{
	static const struct {
		unsigned off;
		uint32_t value;
		int rc;
		const char *word;	/* in the message */
	} c[] = {
		{ 0x00, 0x564d444b, -EBADMSG, "magic" },
		{ 0x04, 0, -ENOTSUP, "version" },
		{ 0x04, 2, -ENOTSUP, "version" },
		{ 0x08, 0, 0, NULL },
		{ 0x08, 7, 0, NULL },
		{ 0x08, 8, -ENOTSUP, "flags" },
		{ 0x0c, 0, -EBADMSG, "numSectors" },
		{ 0x0c, 1, 0, NULL },
		{ 0x0c, 2 * 4096, 0, NULL },
		{ 0x0c, 2 * 4096 + 1, -EBADMSG, "numGDEntries" },
		{ 0x0c, UINT32_MAX, -EBADMSG, "numGDEntries" },
		{ 0x10, 0, -EBADMSG, "grainSize" },
		{ 0x10, 3, -EBADMSG, "grainSize" },
		{ 0x10, 128, 0, NULL },
		{ 0x10, 65536, 0, NULL },
		{ 0x10, 131072, -EBADMSG, "grainSize" },
		{ 0x10, 0x80000000, -EBADMSG, "grainSize" },
		{ 0x14, 0, -EBADMSG, "gdOffset" },
		{ 0x14, 3, -EBADMSG, "gdOffset" },
		{ 0x14, 4, 0, NULL },
		{ 0x14, UINT32_MAX, -EBADMSG, "gdOffset" },
		{ 0x18, 1, -EBADMSG, "numGDEntries" },
		{ 0x18, 2, 0, NULL },
		{ 0x18, UINT32_MAX, 0, NULL },
		{ 0x1c, 0, 0, NULL },
		{ 0x670, 1, 0, NULL },
	};
	const struct cowd_header h = { 3, 5000, 1, 4, 2, 8, false };
	struct cowd_header got;
	uint8_t buf[COWD_HEADER];
	struct err e;

	cowd_header_encode(buf, &h);
	check(!cowd_header_decode(&got, buf, &e), "round trip");
	check(got.flags == 3 && got.capacity == 5000 && got.grain == 1 && got.gd == 4 &&
	      got.gd_entries == 2 && got.free == 8 && !got.unclean, "round trip");
	check(!memcmp(buf, "COWD\1\0\0\0\3\0\0\0\x88\x13\0\0\1\0\0\0\4\0\0\0\2\0\0\0\10\0\0\0",
		      32), "bytes");
	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		int rc;

		cowd_header_encode(buf, &h);
		le32_put(buf + c[i].off, c[i].value);
		e.msg[0] = 0;
		rc = cowd_header_decode(&got, buf, &e);
		check(rc == c[i].rc, "%zu: %d", i, rc);
		check(!c[i].word || strstr(e.msg, c[i].word), "%zu: %s", i, e.msg);
	}
	check(cowd_tables(1, 1) == 1 && cowd_tables(4096, 1) == 1 && cowd_tables(4097, 1) == 2,
	      "tables");
	check(cowd_tables(UINT32_MAX, 1) == 1u << 20, "tables of 2 TiB");
	check(cowd_gd_sectors(128) == 1 && cowd_gd_sectors(129) == 2, "directory");
}

/* All of the largest disk fits into 2^32 sectors, with one grain more it does not. */
static void test_size_max(void)
{
	for (uint64_t grain = SECTOR; grain <= 1 << 20; grain *= 2) {
		uint64_t max = cowd_size_max(grain) / SECTOR, unit = grain / SECTOR;
		uint64_t tables = cowd_tables(max, unit);

		check(4 + cowd_gd_sectors(tables) + 8 + tables * 32 + max <= UINT32_MAX,
		      "grain %d", (int)grain);
		max += COWD_GTES * unit * 2;
		tables += 2;
		check(4 + cowd_gd_sectors(tables) + tables * 32 + max > UINT32_MAX,
		      "grain %d: not all", (int)grain);
	}
	check(cowd_size_max(0) == cowd_size_max(SECTOR), "default");
	check(cowd_size_max(0) > 2031ull << 30, "VMware's limit is 2032 GiB");
}

static void start(struct rig *r, uint64_t sectors, uint64_t grain)
{
	struct cowd_create k = { sectors * SECTOR, grain };
	struct disk_file *f;
	struct err e = { 0 };

	memset(r, 0, sizeof(*r));
	r->open = cowd_open;
	r->crash_odds = UINT32_MAX;
	rig_size(r, sectors);
	r->other = sectors;
	r->cache = 16384;
	f = mem_file(&r->disk, true);
	check(!cowd_create(f, &k, &e), "create: %s", e.msg);
	file_close(f);
	rig_open(r);
	check(r->x->size == sectors * SECTOR && r->x->grain == (grain ? grain : SECTOR),
	      "size and grain");
}

static void test_create(void)
{
	static const struct cowd_create bad[] = {
		{ 0, 0 }, { 511, 0 }, { 513, 0 }, { 1 << 20, 256 }, { 1 << 20, 1536 },
		{ 1 << 20, 2 << 20 }, { UINT64_C(1) << 41, 0 },
	};
	struct mem_disk d = { 0 };
	struct disk_file *f = mem_file(&d, true);
	struct err e;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check(cowd_create(f, &bad[i], &e) == -EINVAL, "%zu", i);
	check(!d.writes, "nothing was written");
	file_close(f);
	mem_free(&d);
}

/* A new one without a single operation, and each call of creation failing. */
static void test_create_crash(void)
{
	for (unsigned i = 1; i < 6; i++) {
		struct mem_disk d = { .fail_at = i, .fail_rc = -ENOSPC };
		struct disk_file *f = mem_file(&d, true);
		struct cowd_create k = { 1 << 20, 0 };
		struct extent_params p = { 0 };
		struct extent *x;
		struct err e = { 0 };
		int rc = cowd_create(f, &k, &e);

		check(rc == (i < 5 ? -ENOSPC : 0), "call %u: %d", i, rc);
		if (rc) {
			rc = cowd_open(&x, f, &p, &e);
			check(i == 4 ? !rc : rc == -EBADMSG, "call %u: %d", i, rc);
			if (!rc)
				extent_close(x);
			else
				file_close(f);
		} else {
			file_close(f);
		}
		mem_free(&d);
	}
}

static void test_random(uint64_t sectors, uint64_t grain, unsigned ops, bool crash)
{
	struct rig r;
	struct err e;

	start(&r, sectors, grain);
	if (crash) {
		mem_track(&r.disk);
		r.disk.hook = rig_try_crash;
		r.disk.hook_ptr = &r;
		r.crash_odds = 6;
	}
	for (unsigned i = 0; i < ops && check_failed < 10; i++) {
		rig_any(&r, 300);
		if (rig_rand(60) == 0)
			rig_resize(&r, 1 + rig_rand(sectors * 2));
	}
	rig_compare(&r, r.x, false);
	rig_flush(&r);
	check(!rig_check(&r, r.x, false, &e) && !r.reported, "check: %s", r.last);
	check(!crash || r.crashes > 12, "%u crashes", r.crashes);
	rig_free(&r);
}

/* An error at each call: it comes back, and nothing that was flushed is lost. */
static void test_faults(uint64_t sectors, uint64_t grain, int rc)
{
	struct rig r;
	uint64_t failed = 0;

	start(&r, sectors, grain);
	mem_track(&r.disk);
	r.disk.hook = rig_try_crash;
	r.disk.hook_ptr = &r;
	r.crash_odds = 20;
	r.disk.fail_rc = rc;
	for (unsigned i = 0; i < 600 && check_failed < 10; i++) {
		uint64_t before = r.disk.calls;

		r.disk.fail_at = before + 1 + rig_rand(8);
		r.disk.fail_all = rig_rand(4) == 0;
		if (rig_rand(30) == 0)
			rig_resize(&r, 1 + rig_rand(sectors * 2));
		else
			rig_any(&r, 200);
		failed += r.disk.calls >= r.disk.fail_at;
		r.disk.fail_at = 0;
		r.disk.fail_all = false;
		if (rig_rand(10) == 0)
			rig_flush(&r);
		if (rig_rand(10) == 0)
			rig_compare(&r, r.x, false);
	}
	check(failed > 60, "%d failed", (int)failed);
	rig_compare(&r, r.x, false);
	rig_free(&r);
}

/* Long runs are one answer, whatever lies between in the file. */
static void test_runs(void)
{
	struct disk_run run;
	struct rig r;
	struct err e;

	start(&r, 40000, SECTOR);
	rig_write(&r, 0, 20000);
	check(!r.x->ops->map(r.x, 0, 40000 * SECTOR, &run, &e) && run.kind == DISK_DATA &&
	      run.len == 20000 * SECTOR, "20000 sectors, not %d", (int)(run.len / SECTOR));
	check(!r.x->ops->map(r.x, 20000 * SECTOR, 20000 * SECTOR, &run, &e) &&
	      run.kind == DISK_ABSENT && run.len == 20000 * SECTOR, "the rest is absent");
	rig_drop(&r, 30000, 10000, false);
	check(!r.x->ops->map(r.x, 30000 * SECTOR, SECTOR, &run, &e) && run.kind == DISK_ZERO &&
	      run.len == SECTOR, "no farther than asked");
	rig_free(&r);
}

/* What random writes of 4 KiB cost: their data, and one sector of a table at most. */
static void test_cost(void)
{
	uint64_t before;
	struct rig r;

	start(&r, 1 << 18, SECTOR);
	extent_close(r.x);
	r.cache = 0;
	rig_open(&r);
	before = r.disk.bytes_written;
	for (unsigned i = 0; i < 2000; i++)
		rig_write(&r, rig_rand((1 << 18) / 8) * 8, 8);
	before = r.disk.bytes_written - before;
	check(before <= 2000 * 4096, "no table is written before flush: %d bytes", (int)before);
	before = r.disk.bytes_written;
	rig_flush(&r);
	before = r.disk.bytes_written - before;
	check(before < 2000 * 600, "%d bytes of tables", (int)before);
	before = r.disk.syncs;
	rig_flush(&r);
	check(r.disk.syncs == before, "nothing to do, but synced");
	rig_write(&r, 0, 8);
	rig_flush(&r);
	rig_write(&r, 1024, 8);
	before = r.disk.syncs;
	rig_flush(&r);
	check(r.disk.syncs - before <= 3, "%d syncs", (int)(r.disk.syncs - before));
	rig_free(&r);
}

/* The room of what is dropped is used again, and is a hole. */
static void test_reuse(void)
{
	uint64_t size;
	struct rig r;

	start(&r, 8192, SECTOR);
	rig_write(&r, 0, 4096);
	rig_flush(&r);
	size = r.disk.live.size;
	for (unsigned i = 0; i < 50; i++) {
		rig_drop(&r, 0, 4096, i & 1);
		rig_flush(&r);
		rig_write(&r, 0, 4096);
		rig_flush(&r);
	}
	check(r.disk.live.size <= size + (4 << 20), "the file grew to %d",
	      (int)r.disk.live.size);
	rig_compare(&r, r.x, false);
	rig_free(&r);
}

/* A new table where old data lie is never found before it was written. */
static void test_new_tables(void)
{
	struct rig r;

	start(&r, 12 * 4096, SECTOR);
	rig_write(&r, 0, 64);
	rig_flush(&r);
	mem_track(&r.disk);
	r.disk.hook = rig_try_crash;
	r.disk.hook_ptr = &r;
	r.crash_odds = 1;
	for (unsigned i = 1; i < 12; i++) {
		rig_drop(&r, 0, 64, true);
		rig_flush(&r);
		rig_write(&r, i * 4096, 8);
		rig_flush(&r);
		rig_write(&r, 0, 64);
		rig_flush(&r);
	}
	rig_free(&r);
}

static void put32(struct rig *r, uint64_t at, uint32_t v)
{
	le32_put(r->disk.live.p + at, v);
}

static uint32_t get32(struct rig *r, uint64_t at)
{
	return le32_get(r->disk.live.p + at);
}

/* Damage done behind its back is found, mended, and gone. */
static void test_damage(void)
{
	for (unsigned what = 0; what < 9; what++) {
		uint64_t gt0, gt1;
		struct rig r;
		struct err e = { 0 };
		bool serious = true;
		int rc;

		start(&r, 9000, SECTOR);
		rig_write(&r, 0, 64);
		rig_write(&r, 5000, 64);
		rig_flush(&r);
		extent_close(r.x);
		gt0 = (uint64_t)get32(&r, 2048) * SECTOR;
		gt1 = (uint64_t)get32(&r, 2052) * SECTOR;
		switch (what) {
		case 0:
			put32(&r, 2048, 0x7fffffff);
			break;
		case 1:
			put32(&r, 2048, 2);
			break;
		case 2:
			put32(&r, 2052, gt0 / SECTOR);		/* two tables in one place */
			break;
		case 3:
			put32(&r, gt0 + 8, 0xfffffff0);
			break;
		case 4:
			put32(&r, gt0 + 8, 3);
			break;
		case 5:
			put32(&r, gt0 + 8, get32(&r, gt1 + (5000 - 4096) * 4));
			break;
		case 6:
			put32(&r, gt0 + 8, gt1 / SECTOR);	/* a grain in a table */
			break;
		case 7:
			put32(&r, 0x1c, 9);			/* freeSector */
			break;
		default:
			put32(&r, COWD_UNCLEAN, 1);
			put32(&r, 8, 7);
			serious = false;
		}
		rig_open(&r);
		rc = rig_check(&r, r.x, false, &e);
		check(!rc && (serious ? r.reported : r.leaks), "%u: not found %s", what, e.msg);
		rc = rig_check(&r, r.x, true, &e);
		check(!rc && (serious ? r.reported : r.leaks), "%u: not mended %s", what, e.msg);
		rc = rig_check(&r, r.x, false, &e);
		check(!rc && !r.reported && !r.leaks, "%u: still there: %s", what, r.last);
		extent_close(r.x);
		rig_open(&r);
		rc = rig_check(&r, r.x, false, &e);
		check(!rc && !r.reported && !r.leaks, "%u: there again: %s", what, r.last);
		rig_write(&r, 0, 9000);
		rig_flush(&r);
		rig_compare(&r, r.x, false);
		rc = rig_check(&r, r.x, false, &e);
		check(!rc && !r.reported, "%u: after use: %s", what, r.last);
		rig_free(&r);
	}
}

/* freeSector that another program left too low does not make us overwrite its grains. */
static void test_stale_free(void)
{
	struct rig r;

	start(&r, 9000, SECTOR);
	rig_write(&r, 0, 3000);
	rig_flush(&r);
	extent_close(r.x);
	put32(&r, 0x1c, 100);
	rig_open(&r);
	rig_write(&r, 5000, 3000);
	rig_flush(&r);
	rig_compare(&r, r.x, false);
	rig_free(&r);
}

int main(void)
{
	static const struct { uint64_t sectors, grain; } sizes[] = {
		{ 1, 512 }, { 4096, 512 }, { 4097, 512 }, { 9000, 512 }, { 70, 4096 },
		{ 9001, 4096 }, { 5000, 1024 }, { 3000, 65536 },
	};

	test_header();
	test_size_max();
	test_create();
	test_create_crash();
	test_runs();
	test_cost();
	test_reuse();
	test_new_tables();
	test_damage();
	test_stale_free();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		test_random(sizes[i].sectors, sizes[i].grain, 800, false);
		test_random(sizes[i].sectors, sizes[i].grain, 250, true);
		test_faults(sizes[i].sectors, sizes[i].grain, i & 1 ? -ENOSPC : -EIO);
	}
	return check_done();
}
