/* The cache of metadata: bounds, and the order of its writes. */
#include "disk/meta.h"

#include "check.h"
#include "ramfile.h"

#define BLOCK 1024u

static struct err e;

static void fill(struct ram *r, uint64_t blocks)
{
	ram_set_size(r, blocks * BLOCK);
	for (uint64_t i = 0; i < blocks; i++)
		memset(r->data + i * BLOCK, (int)i, BLOCK);
}

static void is_bounded(void)
{
	struct ram r = { 0 };
	struct disk_file *f;
	struct meta *m;
	uint8_t *p;

	fill(&r, 200);
	f = ram_open(&r, true);
	check(!meta_new(&m, f, BLOCK, 10 * BLOCK, &e), "%s", e.msg);
	for (unsigned i = 0; i < 200; i++) {
		p = meta_get(m, i * BLOCK, false, &e);
		check(p && p[0] == (uint8_t)i && p[BLOCK - 1] == (uint8_t)i, "block %u", i);
	}
	/* The last ten are kept: what the file says now is not seen. */
	memset(r.data, 0xee, r.size);
	for (unsigned i = 190; i < 200; i++) {
		p = meta_get(m, i * BLOCK, false, &e);
		check(p && p[0] == (uint8_t)i, "block %u was not kept", i);
	}
	p = meta_get(m, 189 * BLOCK, false, &e);
	check(p && p[0] == 0xee, "block 189 was kept");
	/* 189 took the place of the one used longest ago. */
	p = meta_get(m, 190 * BLOCK, false, &e);
	check(p && p[0] == 0xee, "block 190 was kept");
	meta_forget(m, 195 * BLOCK, BLOCK);
	p = meta_get(m, 195 * BLOCK, false, &e);
	check(p && p[0] == 0xee, "block 195 was not forgotten");
	check(!meta_get(m, 200 * BLOCK, false, &e) && e.code == -EBADMSG, "%d", e.code);
	check(!meta_get(m, 199 * BLOCK + SECTOR, false, &e), "a block beyond the end");
	meta_free(m);
	file_close(f);
	ram_free(&r);
}

/* Dirty blocks stay, whatever the bound. */
static void keeps_dirty(void)
{
	struct ram r = { 0 };
	struct disk_file *f;
	struct meta *m;
	uint8_t *p;

	fill(&r, 100);
	f = ram_open(&r, true);
	meta_new(&m, f, BLOCK, 0, &e);
	for (unsigned i = 0; i < 100; i++) {
		p = meta_get(m, i * BLOCK, false, &e);
		p[7] = 0x77;
		meta_dirty(m, i * BLOCK, i % META_LEVELS);
	}
	check(meta_dirty_bytes(m) == 100 * BLOCK, "%ju", (uintmax_t)meta_dirty_bytes(m));
	check(r.data[7] == 0, "written before the flush");
	check(!meta_flush(m, &e), "%s", e.msg);
	check(!meta_dirty_bytes(m), "dirty after the flush");
	for (unsigned i = 0; i < 100; i++)
		check(r.data[i * BLOCK + 7] == 0x77, "block %u", i);
	meta_free(m);
	file_close(f);
	ram_free(&r);
}

/* What lies in a hole is known without reading it, but for what was changed there. */
static void knows_holes(void)
{
	struct ram r = { 0 };
	struct disk_file *f;
	struct meta *m;
	uint8_t *p;

	ram_set_size(&r, 20 * BLOCK);
	memset(r.data, 1, BLOCK);
	memset(r.data + 10 * BLOCK, 1, BLOCK);
	f = ram_open(&r, true);
	meta_new(&m, f, BLOCK, 2 * BLOCK, &e);
	check(!meta_hole(m, 0, BLOCK), "data");
	check(meta_hole(m, 1 * BLOCK, 9 * BLOCK), "the hole");
	check(meta_hole(m, 5 * BLOCK, 2 * BLOCK), "a part of it");
	check(!meta_hole(m, 5 * BLOCK, 6 * BLOCK), "more than it");
	check(meta_hole(m, 11 * BLOCK, 9 * BLOCK), "the one at the end");
	check(!meta_hole(m, 19 * BLOCK, 2 * BLOCK), "more than the file");
	check(!meta_hole(m, 21 * BLOCK, BLOCK) && !meta_hole(m, SECTOR, UINT64_MAX), "beyond it");
	/* A block that is changed, and not written yet. */
	check(meta_hole(m, 2 * BLOCK, 4 * BLOCK), "before");
	p = meta_get(m, 3 * BLOCK, false, &e);
	p[5] = 9;
	meta_dirty(m, 3 * BLOCK, 0);
	check(!meta_hole(m, 2 * BLOCK, 4 * BLOCK), "a changed block is in it");
	check(!meta_hole(m, 3 * BLOCK, BLOCK), "it is a changed block");
	check(meta_hole(m, 4 * BLOCK, 2 * BLOCK), "behind it");
	/* Written, and forgotten since. */
	check(!meta_flush(m, &e), "%s", e.msg);
	for (unsigned i = 12; i < 16; i++)
		check(meta_get(m, i * BLOCK, false, &e) != NULL, "%s", e.msg);
	check(!meta_hole(m, 3 * BLOCK, BLOCK) && !meta_hole(m, 2 * BLOCK, 4 * BLOCK), "written");
	check(meta_hole(m, 4 * BLOCK, 2 * BLOCK), "still behind it");
	/* By others. */
	memset(r.data + 5 * BLOCK, 1, BLOCK);
	meta_forget(m, 0, UINT64_MAX);
	check(!meta_hole(m, 4 * BLOCK, 2 * BLOCK), "not forgotten");
	meta_free(m);
	file_close(f);
	ram_free(&r);
}

/* Who cannot tell says so once. */
static void knows_no_holes(void)
{
	struct disk_backend mute = ram_backend;
	struct ram r = { 0 };
	struct disk_file *f;
	struct meta *m;

	ram_set_size(&r, 20 * BLOCK);
	f = ram_open(&r, true);
	mute.data = NULL;
	f->ops = &mute;
	meta_new(&m, f, BLOCK, 2 * BLOCK, &e);
	check(!meta_hole(m, 0, BLOCK) && !meta_hole(m, 7 * BLOCK, BLOCK), "a hole");
	meta_free(m);
	file_close(f);
	ram_free(&r);
}

static void in_order(void)
{
	struct ram r = { .logging = true };
	struct disk_file *f = ram_open(&r, true);
	static const struct { enum ram_kind kind; uint64_t off; } want[] = {
		{ RAM_WRITE, 7 * BLOCK }, { RAM_SYNC, 0 },
		{ RAM_WRITE, 0 }, { RAM_WRITE, BLOCK }, { RAM_WRITE, 9 * BLOCK }, { RAM_SYNC, 0 },
		{ RAM_WRITE, 4 * BLOCK }, { RAM_SYNC, 0 },
		{ RAM_WRITE, 2 * BLOCK }, { RAM_SYNC, 0 },
	};		/* and where nothing was written nothing is synced */
	static const struct { unsigned block, level; } dirty[] = {
		{ 2, 3 }, { 9, META_EARLY }, { 9, 0 }, { 4, 0 }, { 1, 0 }, { 0, 0 }, { 4, 1 },
		{ 4, 0 }, { 7, META_EARLY }, { 4, META_EARLY },
	};
	struct meta *m;

	meta_new(&m, f, BLOCK, 100 * BLOCK, &e);
	for (size_t i = 0; i < sizeof(dirty) / sizeof(*dirty); i++) {
		check(meta_get(m, dirty[i].block * BLOCK, true, &e) != NULL, "%zu", i);
		meta_dirty(m, dirty[i].block * BLOCK, dirty[i].level);
	}
	check(!meta_flush(m, &e) && !meta_flush(m, &e), "%s", e.msg);
	check(r.nops == sizeof(want) / sizeof(*want), "%zu changes", r.nops);
	for (size_t i = 0; i < r.nops; i++)
		check(r.op[i].kind == want[i].kind && r.op[i].off == want[i].off,
		      "change %zu: %d at %ju", i, r.op[i].kind, (uintmax_t)r.op[i].off);
	meta_free(m);
	file_close(f);
	ram_free(&r);
}

/* Whatever write or sync fails, nothing of a higher level is written, and the next
 * flush does all that is left. */
static void survives_errors(void)
{
	for (long n = 1; n <= 7; n++) {
		struct ram r = { 0 };
		struct disk_file *f;
		struct meta *m;
		int rc;

		fill(&r, 4);
		memset(r.data, 0, r.size);
		f = ram_open(&r, true);
		meta_new(&m, f, BLOCK, 0, &e);
		for (unsigned i = 0; i < 3; i++) {
			*(uint8_t *)meta_get(m, i * BLOCK, false, &e) = 0x55;
			meta_dirty(m, i * BLOCK, i);
		}
		r.fail_in = n;
		rc = meta_flush(m, &e);
		check(rc == (n <= 6 ? -EIO : 0), "change %ld failed: %d", n, rc);
		check(n > 2 || !r.data[BLOCK], "level 1 before level 0 was durable");
		check(n > 4 || !r.data[2 * BLOCK], "level 2 before level 1 was durable");
		r.fail_in = 0;
		check(!meta_flush(m, &e), "%s", e.msg);
		for (unsigned i = 0; i < 3; i++)
			check(r.data[i * BLOCK] == 0x55, "change %ld failed: block %u", n, i);
		meta_free(m);
		file_close(f);
		ram_free(&r);
	}
}

int main(void)
{
	is_bounded();
	keeps_dirty();
	knows_holes();
	knows_no_holes();
	in_order();
	survives_errors();
	return check_done();
}
