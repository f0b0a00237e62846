/* seSparse: headers at their bounds and as ESXi lays them out; random operations against
 * a model, with crashes and errors; journals; check and repair of damage. */
#include "base/le.h"
#include "disk/sesparse.h"
#include "disk/sesparse_header.h"
#include "disk/sesparse_journal.h"
#include "disk_rig.h"
#include "disk_tight.h"

/* What ESXi logs when it makes a snapshot of a 100 MiB disk. */
static void test_layout(void)
{
	struct se_header h = { .capacity = 204800, .grain = 8 };

	se_layout(&h, SE_FIRST);
	check(h.part[SE_DIRECTORY].off == 4096 && h.part[SE_DIRECTORY].size == 2048, "directory");
	check(h.part[SE_TABLES].off == 6144 && h.part[SE_TABLES].size == 2048, "tables");
	check(h.part[SE_BITMAP].off == 8192 && h.part[SE_BITMAP].size == 2048, "bitmap");
	check(h.part[SE_BACKMAP].off == 10240 && h.part[SE_BACKMAP].size == 2048, "backmap");
	check(h.part[SE_GRAINS].off == 12288 && h.part[SE_GRAINS].size == 204800, "grains");
	h.capacity = UINT64_C(62) << 31;
	se_layout(&h, SE_FIRST);
	check(se_tables(&h) == UINT64_C(62) << 16, "62 TiB");
	for (h.capacity = 1; h.capacity < UINT64_C(1) << 40; h.capacity = h.capacity * 3 + 1) {
		struct err e = { 0 };

		se_layout(&h, SE_FIRST);
		h.part[SE_VOLATILE].off = h.part[SE_VOLATILE].size = 1;
		h.part[SE_JOURNAL_HEADER].off = h.part[SE_JOURNAL_HEADER].size = 2;
		h.part[SE_JOURNAL].off = h.part[SE_JOURNAL].size = 2048;
		check(!se_header_writable(&h, &e), "capacity %" PRIu64 ": %s", h.capacity, e.msg);
	}
}

static void test_entries(void)
{
	static const struct { uint64_t grain, entry; } c[] = {
		{ 0, UINT64_C(0x3000000000000000) },
		{ 1, UINT64_C(0x3001000000000000) },
		{ 0xfff, UINT64_C(0x3fff000000000000) },
		{ 0x1000, UINT64_C(0x3000000000000001) },
		{ 0x123456, UINT64_C(0x3456000000000123) },
		{ UINT64_C(0xfffffffffffffff), UINT64_C(0x3fffffffffffffff) },
	};

	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		check(se_entry(c[i].grain) == c[i].entry, "%zu", i);
		check(se_grain(c[i].entry) == c[i].grain && se_type(c[i].entry) == SE_ALLOCATED,
		      "%zu", i);
	}
}

static void test_header(void)
{
	static const struct {
		unsigned off;
		uint64_t value;
		int rc;
		const char *word;	/* in the message */
	} c[] = {
		{ 0x00, 0xcafecafe, -EBADMSG, "constMagic" },
		{ 0x08, 0x200000000, -ENOTSUP, "version" },
		{ 0x10, 0, -EBADMSG, "capacity" },
		{ 0x10, 1, 0, NULL },
		{ 0x10, UINT64_MAX, -EBADMSG, "capacity" },
		{ 0x10, (UINT64_C(1) << 53) + 1, -EBADMSG, "capacity" },
		{ 0x10, UINT64_C(131072) * 4096 * 8, 0, NULL },
		{ 0x10, UINT64_C(131072) * 4096 * 8 + 1, -EBADMSG, "grainDirectory" },
		{ 0x18, 0, -EBADMSG, "grainSize" },
		{ 0x18, 7, -EBADMSG, "grainSize" },
		{ 0x18, 65536, 0, NULL },
		{ 0x18, 131072, -EBADMSG, "grainSize" },
		{ 0x20, 32, -ENOTSUP, "grainTableSize" },
		{ 0x28, 1, -ENOTSUP, "flags" },
		{ 0x30, 1, -ENOTSUP, "reserved" },
		{ 0x48, UINT64_C(1) << 63, -ENOTSUP, "reserved" },
		{ 0x50, 0, -EBADMSG, "volatileHeader" },
		{ 0x58, 0, -EBADMSG, "volatileHeader" },
		{ 0x50, UINT64_MAX, -EBADMSG, "volatileHeader" },
		{ 0x60, 1, -EBADMSG, "lie in each other" },
		{ 0x80, 4097, 0, NULL },
		{ 0x90, 6143, -EBADMSG, "lie in each other" },
		{ 0x98, 2049, -EBADMSG, "lie in each other" },
		{ 0x98, UINT64_MAX, -EBADMSG, "grainTables" },
		{ 0xd0, 1, -ENOTSUP, "goes on" },
		{ 0x1f8, 1, -ENOTSUP, "goes on" },
	};
	struct se_header h = { .capacity = 204800, .grain = 8, .part = {
		[SE_VOLATILE] = { 1, 1 }, [SE_JOURNAL_HEADER] = { 2, 2 },
		[SE_JOURNAL] = { 2048, 2048 } } }, got;
	struct se_volatile v = { 3, 5, true }, gotv;
	uint8_t buf[SECTOR];
	struct err e;

	se_layout(&h, SE_FIRST);
	se_header_encode(buf, &h);
	check(!se_header_decode(&got, buf, &e) && !memcmp(&got, &h, sizeof(h)), "round trip");
	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		int rc;

		se_header_encode(buf, &h);
		le64_put(buf + c[i].off, c[i].value);
		if (c[i].off == 0x80)		/* the directory gives way */
			le64_put(buf + 0x88, 2047);
		e.msg[0] = 0;
		rc = se_header_decode(&got, buf, &e);
		check(rc == c[i].rc, "%zu: %d %s", i, rc, e.msg);
		check(!c[i].word || strstr(e.msg, c[i].word), "%zu: %s", i, e.msg);
	}
	se_volatile_encode(buf, &v);
	check(!se_volatile_decode(&gotv, buf, &e) && gotv.free_gt == 3 && gotv.next_txn == 5 &&
	      gotv.replay, "volatile header");
	buf[0]++;
	check(se_volatile_decode(&gotv, buf, &e) == -EBADMSG, "its magic");
	buf[0]--;
	buf[0x20] = 1;
	check(se_volatile_decode(&gotv, buf, &e) == -ENOTSUP, "its padding");
}

static void start(struct rig *r, uint64_t sectors, uint64_t grain)
{
	struct sesparse_create k = { sectors * SECTOR, grain };
	struct disk_file *f;
	struct err e = { 0 };

	memset(r, 0, sizeof(*r));
	r->open = sesparse_open;
	r->crash_odds = UINT32_MAX;
	r->cache = 65536;
	rig_size(r, sectors);
	r->other = sectors;
	f = mem_file(&r->disk, true);
	check(!sesparse_create(f, &k, &e), "create: %s", e.msg);
	file_close(f);
	rig_open(r);
	check(r->x->size == sectors * SECTOR && r->x->grain == (grain ? grain : 4096),
	      "size and grain");
}

static void test_create(void)
{
	static const struct sesparse_create bad[] = {
		{ 0, 0 }, { 511, 0 }, { 513, 0 }, { 1 << 20, 512 }, { 1 << 20, 12288 },
		{ 1 << 20, 2 << 20 }, { SESPARSE_SIZE_MAX + SECTOR, 0 },
	};
	struct mem_disk d = { 0 };
	struct disk_file *f = mem_file(&d, true);
	struct err e;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check(sesparse_create(f, &bad[i], &e) == -EINVAL, "%zu", i);
	check(!d.writes, "nothing was written");
	file_close(f);
	mem_free(&d);
	for (unsigned i = 1; i < 8; i++) {
		struct sesparse_create k = { 1 << 20, 0 };
		struct extent_params p = { 0 };
		struct extent *x;
		int rc;

		d = (struct mem_disk){ .fail_at = i, .fail_rc = -ENOSPC };
		f = mem_file(&d, true);
		rc = sesparse_create(f, &k, &e);
		check(rc == (i < 7 ? -ENOSPC : 0), "call %u: %d", i, rc);
		rc = sesparse_open(&x, f, &p, &e);
		check(i < 6 ? rc == -EBADMSG : !rc, "call %u: %d", i, rc);
		if (rc)
			file_close(f);
		else
			extent_close(x);
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
		r.crash_odds = 8;
	}
	for (unsigned i = 0; i < ops && check_failed < 10; i++) {
		rig_any(&r, 300);
		if (rig_rand(60) == 0)
			rig_resize(&r, 1 + rig_rand(sectors * 2));
	}
	rig_compare(&r, r.x, false);
	rig_flush(&r);
	check(!rig_check(&r, r.x, false, &e) && !r.reported && !r.leaks,
	      "check: %s, %u leaks", r.last, r.leaks);
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
	for (unsigned i = 0; i < 400 && check_failed < 10; i++) {
		uint64_t old = r.sectors;
		bool resized = false;

		r.disk.fail_at = r.disk.calls + 1 + rig_rand(8);
		r.disk.fail_all = rig_rand(4) == 0;
		if (rig_rand(30) == 0)
			resized = !rig_resize(&r, 1 + rig_rand(sectors * 2));
		else
			rig_any(&r, 200);
		failed += r.disk.calls >= r.disk.fail_at;
		r.disk.fail_at = 0;
		r.disk.fail_all = false;
		if (resized) {		/* what is on disk now is known when it is opened */
			extent_close(r.x);
			rig_open(&r);
			rig_lost(&r);
			check(r.x->size == r.sectors * SECTOR || r.x->size == r.other * SECTOR,
			      "size after a failed resize");
			if (r.x->size != old * SECTOR)
				r.other = old;
			r.sectors = r.x->size / SECTOR;
		}
		if (rig_rand(10) == 0)
			rig_flush(&r);
		if (rig_rand(10) == 0)
			rig_compare(&r, r.x, false);
	}
	check(failed > 40, "%d failed", (int)failed);
	rig_compare(&r, r.x, false);
	rig_free(&r);
}

/* Over each way to another size, with crashes at each step. */
static void test_resize(void)
{
	static const uint64_t size[] = { 19999, 8, 32768, 32769, 50000, 100, 50001 };

	for (unsigned fill = 0; fill < 3; fill++) {
		struct rig r;

		start_tight(&r);
		if (fill == 1)
			rig_write(&r, 0, 20000);
		if (fill == 2)
			rig_write(&r, 500, 3000);
		rig_drop(&r, 600, 200, false);
		rig_drop(&r, 1600, 200, true);
		rig_flush(&r);
		mem_track(&r.disk);
		r.disk.hook = rig_try_crash;
		r.disk.hook_ptr = &r;
		r.crash_odds = 2;
		for (size_t i = 0; i < sizeof(size) / sizeof(size[0]) && !check_failed; i++) {
			uint64_t n = size[i] < 300 ? size[i] : 300;

			rig_resize(&r, size[i]);
			rig_write(&r, size[i] - n, n);
			rig_flush(&r);
			extent_close(r.x);
			rig_open(&r);
			rig_compare(&r, r.x, false);
		}
		check(r.crashes > 20, "%u crashes", r.crashes);
		r.disk.hook = NULL;
		rig_free(&r);
	}
}

/* The same where what is moved are whole MiB, once. */
static void test_grow_far(void)
{
	struct rig r;
	struct err e;

	start(&r, 1 << 20, 0);
	rig_write(&r, 0, 6000);
	rig_write(&r, (1 << 20) - 500, 500);
	rig_flush(&r);
	rig_resize(&r, (1 << 20) + 100000);
	rig_write(&r, 1 << 20, 50000);
	rig_flush(&r);
	rig_compare(&r, r.x, false);
	check(!rig_check(&r, r.x, false, &e) && !r.reported && !r.leaks, "check: %s", r.last);
	rig_free(&r);
}

/* A new table is whole on disk before the directory has it, whatever its place had. */
static void test_new_tables(void)
{
	struct rig r;

	start(&r, 3 * 32768, 0);
	rig_write(&r, 0, 64);
	rig_flush(&r);
	for (uint64_t i = 4096; i < 3 * 4096; i++)	/* lost tables with old entries */
		le64_put(r.disk.live.p + 6144 * SECTOR + i * 8, se_entry(i % 8));
	mem_track(&r.disk);
	r.disk.hook = rig_try_crash;
	r.disk.hook_ptr = &r;
	r.crash_odds = 1;
	for (unsigned i = 1; i < 3; i++) {
		rig_write(&r, i * 32768 + 500, 8);
		rig_flush(&r);
	}
	r.disk.hook = NULL;
	rig_free(&r);
}

/* The largest there is: nothing is as large as the disk but numbers. */
static void test_large(void)
{
	struct mem_disk d = { 0 };
	struct disk_file *f = mem_file(&d, true);
	struct se_header h = { .capacity = SESPARSE_SIZE_MAX / SECTOR, .grain = 8 };

	se_layout(&h, SE_FIRST);
	check(h.part[SE_GRAINS].off * SECTOR < UINT64_C(300) << 30, "tables of %" PRIu64 " GiB",
	      h.part[SE_GRAINS].off >> 21);
	check(se_entry(se_room(&h)) >> 60 == SE_ALLOCATED, "grain numbers");
	file_close(f);
	mem_free(&d);
}

static void test_runs(void)
{
	struct disk_run run;
	struct rig r;
	struct err e;

	start(&r, 200000, 0);
	rig_write(&r, 0, 100000);
	check(!r.x->ops->map(r.x, 0, 200000 * SECTOR, &run, &e) && run.kind == DISK_DATA &&
	      run.len == 100000 * SECTOR, "100000 sectors, not %d", (int)(run.len / SECTOR));
	check(!r.x->ops->map(r.x, 100000 * SECTOR, 100000 * SECTOR, &run, &e) &&
	      run.kind == DISK_ABSENT && run.len == 100000 * SECTOR, "the rest is absent");
	rig_free(&r);
}

/* What writes of 4 KiB cost: their data, and pages of tables when they are flushed. */
static void test_cost(void)
{
	uint64_t before;
	struct rig r;

	start(&r, 1 << 18, 0);
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
	check(before < 2000 * 400, "%d bytes of tables", (int)before);
	before = r.disk.syncs;
	rig_flush(&r);
	check(r.disk.syncs == before, "nothing to do, but synced");
	rig_write(&r, 8192, 8);
	rig_flush(&r);
	rig_drop(&r, 8192, 8, true);
	rig_flush(&r);
	rig_write(&r, 8192, 8);
	before = r.disk.syncs;
	rig_flush(&r);
	check(r.disk.syncs - before == 2, "%d syncs", (int)(r.disk.syncs - before));
	rig_free(&r);
}

/* What drop() gives up is free in the bitmap and a hole, and is used again at the end. */
static void test_unmap(void)
{
	struct rig r;
	uint64_t grains;

	start(&r, 4096, 0);		/* room for 512 grains and no more */
	rig_write(&r, 0, 4096);
	rig_flush(&r);
	grains = 12288 * SECTOR;
	for (unsigned i = 0; i < 20; i++) {
		rig_drop(&r, 0, 4096, i & 1);
		rig_flush(&r);
		for (uint64_t at = grains; at < r.disk.live.size; at += 8)
			if (le64_get(r.disk.live.p + at)) {
				check(0, "data at %" PRIu64, at);
				break;
			}
		check(le64_get(r.disk.live.p + 8192 * SECTOR) == 0, "bits");
		rig_write(&r, 0, 4096);
		if (i % 3 == 0)
			rig_flush(&r);
	}
	check(r.disk.live.size <= grains + 4096 * SECTOR, "the file grew");
	rig_compare(&r, r.x, false);
	rig_free(&r);
}

static uint64_t get(struct rig *r, uint64_t sector, uint64_t i)
{
	return le64_get(r->disk.live.p + sector * SECTOR + i * 8);
}

static void put(struct rig *r, uint64_t sector, uint64_t i, uint64_t v)
{
	le64_put(r->disk.live.p + sector * SECTOR + i * 8, v);
}

/* Damage done behind its back is found, mended, and gone. */
static void test_damage(void)
{
	for (unsigned what = 0; what < 14; what++) {
		struct rig r;
		struct err e = { 0 };
		bool serious = what != 10;
		int rc;

		start(&r, 204800, 0);
		rig_write(&r, 0, 64);
		rig_write(&r, 50000, 64);	/* in the second table */
		rig_flush(&r);
		extent_close(r.x);
		switch (what) {
		case 0:
			put(&r, 4096, 0, 0x1000000000000077);
			break;
		case 1:
			put(&r, 4096, 0, 0x2000000000000000);
			break;
		case 2:
			put(&r, 4096, 1, get(&r, 4096, 0));
			break;
		case 3:
			put(&r, 6144, 2, 0x3000000000000077);
			break;
		case 4:
			put(&r, 6144, 2, 0x4000000000000000);
			break;
		case 5:
			put(&r, 6144, 2, 5);
			break;
		case 6:
			put(&r, 6144, 2, get(&r, 6144, 0));
			break;
		case 7:
			put(&r, 6144, 2, se_entry(25599));	/* beyond the end of the file */
			break;
		case 8:
			put(&r, 8192, 0, 1);			/* bits of grains in use */
			break;
		case 9:
			put(&r, 10240, 3, 6);			/* a backmap entry */
			break;
		case 10:
			put(&r, 8192, 1, 0xff);			/* bits of grains that are not */
			break;
		case 11:
			put(&r, 1, 1, 0);			/* FreeGTNumber */
			break;
		case 12:
			put(&r, 1, 3, 1);			/* a journal of nobody knows whom */
			put(&r, 2, 0, 77);
			break;
		default:
			put(&r, 1, 2, 9);			/* written by others */
			put(&r, 8192, 0, 0);
		}
		r.mend = true;
		rig_open(&r);
		rc = rig_check(&r, r.x, false, &e);
		check(!rc && (serious ? r.reported : r.leaks), "%u: not found %s", what, e.msg);
		rc = rig_check(&r, r.x, true, &e);
		check(!rc && (serious ? r.reported : r.leaks), "%u: not mended %s", what, e.msg);
		rc = rig_check(&r, r.x, false, &e);
		check(!rc && !r.reported && !r.leaks, "%u: still there: %s", what, r.last);
		extent_close(r.x);
		r.mend = false;
		rig_open(&r);
		rc = rig_check(&r, r.x, false, &e);
		check(!rc && !r.reported && !r.leaks, "%u: there again: %s", what, r.last);
		rig_write(&r, 0, 60000);
		rig_flush(&r);
		rig_compare(&r, r.x, false);
		rc = rig_check(&r, r.x, false, &e);
		check(!rc && !r.reported && !r.leaks, "%u: after use: %s", what, r.last);
		rig_free(&r);
	}
}

/* Files that others wrote: written to when their bitmap is as we understand it, left
 * alone when it is not, refused when their journal is dirty. */
static void test_foreign(void)
{
	struct extent_params p = { .writable = true };
	uint8_t buf[SECTOR] = { 0 };
	struct extent *x;
	struct disk_file *f;
	struct rig r;
	struct err e;
	int rc;

	start(&r, 204800, 0);
	rig_write(&r, 100, 5000);
	rig_drop(&r, 200, 40, false);
	rig_flush(&r);
	extent_close(r.x);
	memset(r.disk.live.p + 2 * SECTOR, 0, 2 * SECTOR);	/* no journal header */
	put(&r, 1, 2, 12);
	/* An unmapped grain that still has its room. */
	put(&r, 6144, 0, 0x1000000000000000 | (se_entry(700) & 0xfffffffffffffff));
	for (uint64_t i = 0; i < 8; i++)
		r.sector[i].stamp[0] = 0;
	rig_open(&r);
	rig_compare(&r, r.x, false);
	rig_write(&r, 0, 3000);
	rig_flush(&r);
	rig_compare(&r, r.x, false);
	rc = rig_check(&r, r.x, false, &e);
	check(!rc && !r.reported, "check: %s", r.last);
	extent_close(r.x);

	put(&r, 1, 2, 13);
	put(&r, 8192, 0, get(&r, 8192, 0) & ~UINT64_C(4));
	rig_open(&r);
	rig_compare(&r, r.x, false);
	rc = rig_put(r.x, 9000 * SECTOR, SECTOR, buf, &e);
	check(rc == -EBADMSG && strstr(e.msg, "freeBitmap"), "%d", rc);
	rc = r.x->ops->drop(r.x, 0, 4096, true, &e);
	check(rc == -EBADMSG && strstr(e.msg, "freeBitmap"), "%d", rc);
	extent_close(r.x);

	put(&r, 1, 3, 1);
	f = mem_file(&r.disk, true);
	rc = sesparse_open(&x, f, &p, &e);
	check(rc == -ENOTSUP && strstr(e.msg, "replayJournal"), "%d: %s", rc, e.msg);
	p.writable = false;
	rc = sesparse_open(&x, f, &p, &e);
	check(rc == -ENOTSUP && strstr(e.msg, "replayJournal"), "%d: %s", rc, e.msg);
	file_close(f);
	p.mend = true;
	r.mend = true;
	rig_open(&r);
	rc = rig_put(r.x, 9000 * SECTOR, SECTOR, buf, &e);
	check(rc == -ENOTSUP, "%d", rc);
	rig_free(&r);
}

/* A journal of ours, left by a crash in a resize, is replayed: on disk when it is opened
 * for writing, in memory when it is not. */
static void test_replay(void)
{
	struct se_header h, n;
	struct se_volatile v = { 0, 0, false };
	struct mem_disk d = { 0 }, copy;
	struct sesparse_create k = { 1 << 20, 0 };
	struct disk_file *f = mem_file(&d, true);
	struct extent_params p = { 0 };
	struct extent *x;
	struct err e = { 0 };

	check(!sesparse_create(f, &k, &e), "create: %s", e.msg);
	check(!se_header_decode(&h, d.live.p, &e), "header");
	n = h;
	n.capacity = 1024;
	/* The header itself is torn when the next but last write fails. */
	for (unsigned fail = 1; fail <= 10; fail++) {
		int rc, want = fail <= 5 ? 1 << 20 : 512 << 10;

		memset(&copy, 0, sizeof(copy));
		mem_set_size(&copy.live, d.live.size);
		memcpy(copy.live.p, d.live.p, d.live.size);
		copy.fail_at = fail;
		copy.fail_rc = -EIO;
		file_close(f);
		f = mem_file(&copy, true);
		v = (struct se_volatile){ 0, 0, false };
		rc = se_journal_switch(f, &h, &n, &v, &e);
		check(rc == (fail < 10 ? -EIO : 0), "call %u: %d", fail, rc);
		copy.fail_at = 0;
		if (fail == 6)
			memset(copy.live.p + 0x90, 0x55, 40);
		for (unsigned write = 0; write < 3; write++) {
			p.writable = write == 1;
			rc = sesparse_open(&x, mem_file(&copy, write == 1), &p, &e);
			check(!rc, "open: %s", e.msg);
			if (rc)
				break;
			check((int)x->size == want || fail == 5, "call %u, %u: size %d", fail, write,
			      (int)x->size);
			extent_close(x);
		}
		mem_free(&copy);
	}
	file_close(f);
	mem_free(&d);
}

int main(void)
{
	static const struct { uint64_t sectors, grain; } sizes[] = {
		{ 1, 4096 }, { 4096, 4096 }, { 4097, 4096 }, { 70000, 4096 }, { 20000, 16384 },
		{ 9001, 1 << 20 },
	};

	test_layout();
	test_entries();
	test_header();
	test_create();
	test_large();
	test_runs();
	test_cost();
	test_unmap();
	test_damage();
	test_foreign();
	test_replay();
	test_resize();
	test_grow_far();
	test_new_tables();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		test_random(sizes[i].sectors, sizes[i].grain, 500, false);
		test_random(sizes[i].sectors, sizes[i].grain, 150, true);
		test_faults(sizes[i].sectors, sizes[i].grain, i & 1 ? -ENOSPC : -EIO);
	}
	return check_done();
}
