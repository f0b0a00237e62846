/* Hosted sparse extents: what is written is read, in every shape that a header may ask
 * for, and what is damaged is found and mended. */
#include "base/le.h"
#include "sparse_rig.h"

#define MIB	(UINT64_C(1) << 20)

enum { H_VERSION = 4, H_FLAGS = 8, H_CAPACITY = 0xc, H_GRAIN = 0x14, H_DESC_SIZE = 0x24,
       H_GTES = 0x2c, H_RGD = 0x30, H_GD = 0x38, H_OVERHEAD = 0x40, H_UNCLEAN = 0x48,
       H_COMPRESS = 0x4d };

static void fill(uint8_t *p, uint64_t len, uint64_t seed)
{
	for (uint64_t i = 0; i < len; i += 8)
		le64_put(p + i, ram_rand(&seed));
}

#define TEXT	"# Disk DescriptorFile\n"

/* A file of 10 MiB with a descriptor, and grains 3 and 4 and 100 written. */
static struct ram sample(void)
{
	struct ram r = { 0 };
	uint8_t data[2 * SPARSE_GRAIN];
	struct extent *x;

	rig_create(&r, &(struct sparse_create){ .size = 10 * MIB, .desc = TEXT,
						.desc_len = strlen(TEXT) });
	x = rig_open(&r, true);
	fill(data, sizeof(data), 1);
	check(!rig_write(x, 3 * SPARSE_GRAIN, data, sizeof(data)), "%s", e.msg);
	check(!rig_write(x, 100 * SPARSE_GRAIN, data, SPARSE_GRAIN), "%s", e.msg);
	check(!x->ops->flush(x, &e), "%s", e.msg);
	extent_close(x);
	return r;
}

static void is_fresh(void)
{
	struct ram r = { 0 };
	struct sparse_create c = { .size = 10 * MIB, .desc = TEXT, .desc_len = strlen(TEXT) };
	struct disk_run run;
	struct extent *x;
	struct findings n;

	rig_create(&r, &c);
	check(!memcmp(r.data, "KDMV\1\0\0\0\3\0\0\0", 12), "header");
	check(!memcmp(r.data + SECTOR, c.desc, c.desc_len), "descriptor");
	check(le64_get(r.data + H_RGD) == 21 && le64_get(r.data + H_GD) == 26 &&
	      le64_get(r.data + H_OVERHEAD) == 128, "places");
	x = rig_open(&r, false);
	check(x->size == 10 * MIB && x->grain == SPARSE_GRAIN, "%ju", (uintmax_t)x->size);
	check(!x->ops->map(x, 512, 10 * MIB, &run, &e) && run.kind == DISK_ABSENT &&
	      run.len == 10 * MIB - 512, "%d %ju", run.kind, (uintmax_t)run.len);
	n = rig_check(x, false);
	check(!n.damage && !n.leaks, "%s", n.last);
	extent_close(x);
	ram_free(&r);
}

static void refuses_sizes(void)
{
	static const struct sparse_create bad[] = {
		{ .size = 0 }, { .size = 511 }, { .size = SPARSE_SIZE_MAX + SECTOR },
		{ .size = MIB, .grain = 2048 }, { .size = MIB, .grain = 64u << 20 },
		{ .size = MIB, .grain = 12288 },
		{ .size = MIB, .desc = "", .desc_len = SPARSE_DESC_SECTORS * SECTOR + 1 },
	};
	struct ram r = { 0 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct disk_file *f = ram_open(&r, true);

		check(sparse_create(f, &bad[i], &e) == -EINVAL && !r.size, "%zu", i);
		file_close(f);
	}
	ram_free(&r);
}

/* Random writes, drops and reopenings in every shape, against a plain array. */
static void shape(uint64_t size, uint64_t grain, bool zeroed, unsigned gtes, uint64_t seed)
{
	struct ram r = { 0 };
	uint64_t whole = (size + grain - 1) / grain * grain;
	uint8_t *disk = calloc(1, whole), *got = malloc(whole);
	struct findings n;
	struct extent *x;

	rig_create(&r, &(struct sparse_create){ .size = size, .grain = grain, .zeroed = zeroed });
	if (gtes) {		/* tables that are not there, and others than usual */
		struct disk_file *f = ram_open(&r, true);
		struct sparse_header h;

		sparse_header_read(&h, f, &e);
		h.gtes = gtes;
		h.rgd = 1;
		h.gd = 1 + sparse_gd_sectors(&h);
		h.overhead = h.gd + sparse_gd_sectors(&h);
		file_resize(f, 0, &e);
		file_resize(f, h.overhead * SECTOR, &e);
		sparse_header_encode(r.data, &h);
		file_close(f);
	}
	x = rig_open(&r, true);
	for (unsigned i = 0; x && i < 300; i++) {
		uint64_t at = ram_rand(&seed) % (whole / grain) * grain;
		uint64_t len = (1 + ram_rand(&seed) % 8) * grain;
		unsigned what = ram_rand(&seed) % 16;

		if (len > whole - at)
			len = whole - at;
		if (what < 9) {
			fill(disk + at, len, i);
			check(!rig_write(x, at, disk + at, len), "%s", e.msg);
		} else if (what < 13) {
			int rc = x->ops->drop(x, at, len, !zeroed || what == 9, &e);

			check(!rc, "%s", e.msg);
			memset(disk + at, 0, len);
		} else {
			check(!x->ops->flush(x, &e), "%s", e.msg);
			if (what == 15) {
				extent_close(x);
				x = rig_open(&r, true);
			}
		}
		if (i % 32)
			continue;
		check(!rig_read(x, 0, got, size) && !memcmp(got, disk, size),
		      "%ju %ju operation %u: %s", (uintmax_t)size, (uintmax_t)grain, i, e.msg);
	}
	check(!x->ops->flush(x, &e), "%s", e.msg);
	extent_close(x);
	x = rig_open(&r, true);
	n = rig_check(x, false);
	check(!n.damage, "%s", n.last);
	check(!rig_read(x, 0, got, size) && !memcmp(got, disk, size), "reopened");
	extent_close(x);
	free(disk);
	free(got);
	ram_free(&r);
}

/* Room that was given back is used before the file grows. */
static void uses_room_again(void)
{
	struct ram r = { 0 };
	uint8_t *data = malloc(MIB);
	struct extent *x;
	uint64_t size;

	rig_create(&r, &(struct sparse_create){ .size = 64 * MIB });
	x = rig_open(&r, true);
	for (unsigned i = 0; i < 8; i++)
		rig_write(x, i * MIB, data, MIB);
	x->ops->flush(x, &e);
	size = r.size;
	for (unsigned i = 0; i < 100; i++) {
		fill(data, MIB, i);
		check(!x->ops->drop(x, (i % 7) * MIB, MIB, true, &e), "%s", e.msg);
		check(!x->ops->flush(x, &e), "%s", e.msg);
		check(!rig_write(x, (20 + i % 7) * MIB, data, MIB), "%s", e.msg);
		check(!x->ops->drop(x, (20 + i % 7) * MIB, MIB, true, &e), "%s", e.msg);
		check(!x->ops->flush(x, &e), "%s", e.msg);
		check(!rig_write(x, (i % 7) * MIB, data, MIB), "%s", e.msg);
	}
	check(r.size <= size + MIB, "grew from %ju to %ju", (uintmax_t)size, (uintmax_t)r.size);
	free(data);
	x->ops->flush(x, &e);
	extent_close(x);
	ram_free(&r);
}

static void resizes(void)
{
	static const uint64_t to[] = { 10 * MIB + 512, 100 * MIB, 5 * MIB - 1024, 500 * MIB,
				       33 * MIB, 10 * MIB };
	uint8_t data[SPARSE_GRAIN], got[SPARSE_GRAIN], zeros[SPARSE_GRAIN] = { 0 };
	struct ram r = sample();
	struct extent *x = rig_open(&r, true);
	struct findings n;

	fill(data, sizeof(data), 1);
	for (size_t i = 0; i < sizeof(to) / sizeof(*to); i++) {
		int rc = x->ops->resize(x, to[i], &e);

		check(!rc && x->size == to[i], "%s", e.msg);
		check(!rig_read(x, 3 * SPARSE_GRAIN, got, sizeof(got)) &&
		      !memcmp(got, data, sizeof(got)), "to %ju: %s", (uintmax_t)to[i], e.msg);
		n = rig_check(x, false);
		check(!n.damage, "to %ju: %s", (uintmax_t)to[i], n.last);
	}
	/* Grain 100 was cut off and must not come back. */
	check(!rig_read(x, 100 * SPARSE_GRAIN, got, sizeof(got)) &&
	      !memcmp(got, zeros, sizeof(got)), "grain 100");
	/* Nor may the rest of a grain that the end went through. */
	rig_write(x, 9 * MIB, data, sizeof(data));
	check(!x->ops->resize(x, 9 * MIB + 512, &e) && !x->ops->resize(x, 10 * MIB, &e), "%s", e.msg);
	check(!rig_read(x, 9 * MIB, got, sizeof(got)) && !memcmp(got, data, 512) &&
	      !memcmp(got + 512, zeros, sizeof(got) - 512), "tail");
	check(x->ops->resize(x, 0, &e) == -EINVAL && x->ops->resize(x, SPARSE_SIZE_MAX + 1, &e)
	      == -EINVAL, "bounds");
	extent_close(x);
	ram_free(&r);
}

/* Fields that cannot be: where, bytes, value, what the message must name. */
static void names_fields(void)
{
	static const struct { unsigned at, bytes; uint64_t value; int rc; const char *word; } bad[] = {
		{ 0, 4, 0x564d444a, -EBADMSG, "magic" },
		{ H_VERSION, 4, 0, -ENOTSUP, "version" },
		{ H_VERSION, 4, 4, -ENOTSUP, "version" },
		{ H_FLAGS, 4, 0x40, -ENOTSUP, "flags" },
		{ H_FLAGS, 4, 0x20003, -EBADMSG, "flags" },
		{ H_FLAGS, 4, 0x10003, -ENOTSUP, "compressAlgorithm" },
		{ H_COMPRESS, 2, 1, -EBADMSG, "compressAlgorithm" },
		{ H_CAPACITY, 8, UINT64_MAX, -EBADMSG, "capacity" },
		{ H_CAPACITY, 8, UINT64_C(1) << 53, -EBADMSG, "capacity" },
		{ H_CAPACITY, 8, UINT64_C(1) << 37, -EBADMSG, "gdOffset" },
		{ H_GRAIN, 8, 0, -EBADMSG, "grainSize" },
		{ H_GRAIN, 8, 127, -EBADMSG, "grainSize" },
		{ H_GRAIN, 8, 131072, -EBADMSG, "grainSize" },
		{ H_GTES, 4, 0, -EBADMSG, "numGTEsPerGT" },
		{ H_GTES, 4, 513, -EBADMSG, "numGTEsPerGT" },
		{ H_GTES, 4, 131072, -EBADMSG, "numGTEsPerGT" },
		{ H_DESC_SIZE, 8, 4096, -EBADMSG, "descriptorSize" },
		{ H_OVERHEAD, 8, UINT64_MAX, -EBADMSG, "overHead" },
		{ H_GD, 8, UINT64_MAX, -EBADMSG, "footer" },
		{ 0x49, 1, '\r', -EBADMSG, "newline" },
	};
	struct ram good = sample();

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct ram r = ram_copy(&good);
		struct extent_params p = { .writable = true };
		struct disk_file *f = ram_open(&r, true);
		struct extent *x;
		int rc;

		memcpy(r.data + bad[i].at, &bad[i].value, bad[i].bytes);
		rc = sparse_open(&x, f, &p, &e);
		check(rc == bad[i].rc && strstr(e.msg, bad[i].word), "%s: %d, %s", bad[i].word, rc,
		      e.msg);
		if (rc)
			file_close(f);
		else
			extent_close(x);
		ram_free(&r);
	}
	ram_free(&good);
}

/* Damage, how it is called, and whether the data are as before afterwards. */
struct damage {
	const char *kind;
	bool table2;		/* at is counted from the second copy's table */
	unsigned at;		/* entry of the table, or with header: the field */
	bool header;
	uint64_t value;
	bool lost;		/* grain 3 is zeros afterwards */
	bool directory;		/* at is an entry of the directory */
};

static void mends(const struct damage *d)
{
	uint8_t data[2 * SPARSE_GRAIN], got[2 * SPARSE_GRAIN];
	struct ram r = sample();
	uint64_t table = le64_get(r.data + (d->table2 ? H_RGD : H_GD)) * SECTOR;
	struct extent *x;
	struct findings n;

	if (!d->directory)
		table = le32_get(r.data + table) * UINT64_C(512);
	fill(data, sizeof(data), 1);
	if (d->header)
		le64_put(r.data + d->at, d->value);
	else
		le32_put(r.data + table + d->at * 4, d->value);
	x = rig_open(&r, true);
	if (!x)
		return;
	n = rig_check(x, false);
	check(n.damage && strstr(n.kinds, d->kind) && !n.repaired, "%s: found %s", d->kind, n.kinds);
	n = rig_check(x, true);
	check(n.damage && n.repaired == n.damage + n.leaks, "%s: %u of %u: %s", d->kind, n.repaired,
	      n.damage, n.last);
	n = rig_check(x, false);
	check(!n.damage && !n.leaks, "%s: afterwards: %s (%s)", d->kind, n.kinds, n.last);
	extent_close(x);
	x = rig_open(&r, false);
	n = rig_check(x, false);
	check(!n.damage && !n.leaks, "%s: opened again: %s (%s)", d->kind, n.kinds, n.last);
	check(!rig_read(x, 3 * SPARSE_GRAIN, got, sizeof(got)), "%s", e.msg);
	check(!memcmp(got, data, sizeof(got)) == !d->lost, "%s: data", d->kind);
	check(!strcmp((char *)r.data + SECTOR, TEXT), "%s: the descriptor was written over", d->kind);
	extent_close(x);
	ram_free(&r);
}

static void finds_damage(void)
{
	struct ram r = sample();
	uint64_t gt = le32_get(r.data + le64_get(r.data + H_GD) * SECTOR) * UINT64_C(512);
	uint32_t third = le32_get(r.data + gt + 3 * 4);
	struct damage d[] = {
		{ "mismatch", true, 3, false, 0, false, false },
		{ "mismatch", true, 3, false, 0xffffffff, false, false },
		{ "mismatch", true, 50, false, third, false, false },
		{ "mismatch", false, 3, false, 0, false, false },
		{ "outside", false, 3, false, 0xffffffff, false, false },
		{ "overlap", false, 3, false, third + 128, false, false },	/* grain 4's: the second copy has it right */
		{ "overlap", false, 60, false, third, false, false },
		{ "overlap", false, 60, false, 2, false, false },
		{ "header", false, H_RGD, true, 0, false, false },
		{ "header", false, H_RGD, true, UINT64_MAX, false, false },
		{ "header", false, H_GD, true, 1u << 30, false, false },
		{ "header", false, H_OVERHEAD, true, 1024, false, false },
		/* Places that the descriptor has, and what lies in them. */
		{ "header", false, H_RGD, true, 1, false, false },
		{ "header", false, H_RGD, true, 9, false, false },
		{ "header", false, H_GD, true, 1, false, false },
		{ "directory", false, 0, .value = 1, .directory = true },
		{ "header", true, 0, .value = 1, .directory = true },	/* the only entry */
		{ "directory", false, 0, .value = le64_get(r.data + H_GD), .directory = true },
		{ "header", true, 0, .value = le64_get(r.data + H_GD), .directory = true },
		{ "header", false, H_RGD, true, third, false, false },	/* in data */
		{ "header", false, H_RGD, true, third - 1, false, false },	/* zeros before them */
		{ "header", false, H_RGD, true, gt / SECTOR, false, false },	/* a table */
		{ "directory", false, 0, .value = UINT32_MAX, .directory = true },
	};

	for (size_t i = 0; i < sizeof(d) / sizeof(*d); i++)
		mends(&d[i]);
	ram_free(&r);
}

/* What only the second copy has is no grain if it lies before all grains. */
static void second_copy_errs(void)
{
	struct ram r = { 0 };
	struct findings n;
	struct extent *x;

	rig_create(&r, &(struct sparse_create){ .size = 10 * MIB });
	le32_put(r.data + le32_get(r.data + le64_get(r.data + H_RGD) * SECTOR) * UINT64_C(512) + 200, 102);
	x = rig_open(&r, true);
	n = rig_check(x, true);
	check(n.damage == 1 && n.repaired == 1, "%u: %s", n.damage, n.last);
	n = rig_check(x, false);
	check(!n.damage && !n.leaks, "afterwards: %s", n.last);
	extent_close(x);
	ram_free(&r);
}

/* A new second directory has a table for each of the first's, empty ones included. */
static void second_copy_of_nothing(void)
{
	struct ram r = { 0 };
	struct findings n;
	struct extent *x;

	rig_create(&r, &(struct sparse_create){ .size = 100 * MIB });
	le64_put(r.data + H_RGD, 0);
	x = rig_open(&r, true);
	n = rig_check(x, true);
	check(n.damage == 1 && n.repaired >= 1, "%u: %s", n.damage, n.last);
	extent_close(x);
	x = rig_open(&r, true);
	n = rig_check(x, false);
	check(!n.damage && !n.leaks, "afterwards: %s", n.last);
	extent_close(x);
	ram_free(&r);
}

/* Grains move to the front, the file ends with the last one, and all is as before. */
static void compacts(uint64_t grain, uint64_t seed)
{
	const uint64_t size = 500 * grain + 1024;
	struct ram r = { 0 };
	uint8_t *disk = calloc(1, 501 * grain), *got = malloc(size);
	struct findings n;
	struct extent *x;
	uint64_t used = 0, before;

	rig_create(&r, &(struct sparse_create){ .size = size, .grain = grain });
	x = rig_open(&r, true);
	for (unsigned i = 0; i < 400; i++) {
		uint64_t at = ram_rand(&seed) % 501 * grain, len = (1 + ram_rand(&seed) % 9) * grain;

		if (len > 501 * grain - at)
			len = 501 * grain - at;
		if (i % 8 < 3) {
			fill(disk + at, len, i);
			check(!rig_write(x, at, disk + at, len), "%s", e.msg);
		} else {
			check(!x->ops->drop(x, at, len, true, &e), "%s", e.msg);
			memset(disk + at, 0, len);
		}
		if (i % 50 == 0)
			x->ops->flush(x, &e);
	}
	before = r.size;
	for (unsigned again = 0; again < 2; again++) {
		check(!x->ops->compact(x, NULL, NULL, &e), "%s", e.msg);
		check(!rig_read(x, 0, got, size) && !memcmp(got, disk, size), "contents");
		n = rig_check(x, false);
		check(!n.damage && !n.leaks, "%s", n.last);
	}
	for (uint64_t i = 0; i < 501; i++) {
		struct disk_run run;

		x->ops->map(x, i * grain, SECTOR, &run, &e);
		used += run.kind == DISK_DATA;
	}
	/* Headers and tables take a few grains. */
	check(r.size <= before && r.size <= (used + 1) * grain + 65536, "%ju for %ju grains",
	      (uintmax_t)r.size, (uintmax_t)used);
	extent_close(x);
	x = rig_open(&r, true);
	check(!rig_read(x, 0, got, size) && !memcmp(got, disk, size), "opened again");
	extent_close(x);
	free(disk);
	free(got);
	ram_free(&r);
}

/* Damage: neither memory nor time is taken for what is not in the file, and a grain in what
 * the file has too much is none. */
static void compacts_the_file_only(void)
{
	uint8_t data[2 * SPARSE_GRAIN], got[2 * SPARSE_GRAIN];
	struct ram r = sample();
	uint64_t gd = le64_get(r.data + H_GD) * SECTOR, gt = le32_get(r.data + gd) * UINT64_C(512);
	uint64_t size = r.size;
	struct extent *x;

	fill(data, sizeof(data), 1);
	r.data[H_UNCLEAN] = 1;		/* the end has to be found */
	le64_put(r.data + H_OVERHEAD, UINT64_C(1) << 50);
	x = rig_open(&r, true);
	check(x->ops->compact(x, NULL, NULL, &e) == -EBADMSG && strstr(e.msg, "check it first"), "%s", e.msg);
	check(!rig_read(x, 3 * SPARSE_GRAIN, got, sizeof(got)) && !memcmp(got, data, sizeof(got)), "data");
	extent_close(x);
	ram_free(&r);
	r = sample();
	le32_put(r.data + gt + 60 * 4, (uint32_t)(size / SPARSE_GRAIN + 12) * (SPARSE_GRAIN / SECTOR));
	x = rig_open(&r, true);
	check(!rig_write(x, 50 * SPARSE_GRAIN, data, SPARSE_GRAIN) && r.size > size + 13 * SPARSE_GRAIN, "it grows");
	check(x->ops->compact(x, NULL, NULL, &e) == -EBADMSG && strstr(e.msg, "check it first"), "%s", e.msg);
	extent_close(x);
	ram_free(&r);
}

/* Writers that leave out zeros at the file's end: found as such, however little is asked. */
static void ends_early(void)
{
	uint8_t data[SPARSE_GRAIN], got[SPARSE_GRAIN];
	struct ram r = sample();
	struct disk_run run;
	struct extent *x;
	uint64_t cut;

	fill(data, sizeof(data), 1);
	for (cut = r.size - SECTOR; memcmp(r.data + cut, data + SPARSE_GRAIN - SECTOR, SECTOR); )
		cut -= SECTOR;
	cut -= SPARSE_GRAIN - 8 * SECTOR;	/* 7 sectors of grain 100 are left */
	ram_set_size(&r, cut);
	memset(data + 7 * SECTOR, 0, SPARSE_GRAIN - 7 * SECTOR);
	for (unsigned writable = 0; writable < 2; writable++) {
		x = rig_open(&r, writable);
		check(!rig_read(x, 100 * SPARSE_GRAIN, got, SPARSE_GRAIN) &&
		      !memcmp(got, data, SPARSE_GRAIN), "%s", e.msg);
		check(!x->ops->map(x, 100 * SPARSE_GRAIN + 9 * SECTOR, 2 * SECTOR, &run, &e) &&
		      run.len == 2 * SECTOR, "%ju", (uintmax_t)run.len);
		extent_close(x);
	}
	ram_free(&r);
}

/* A grain that gets a place of its own makes the file longer: entries that said a place
 * behind its end are no grains for that, nor is a table that its directory has there. */
static void repairs_hide_nothing(void)
{
	struct ram r = sample();
	uint64_t gd = le64_get(r.data + H_GD) * SECTOR, rgd = le64_get(r.data + H_RGD) * SECTOR;
	uint64_t gt[] = { le32_get(r.data + gd) * UINT64_C(512), le32_get(r.data + rgd) * UINT64_C(512) };
	uint32_t end = (uint32_t)((r.size + SPARSE_GRAIN - 1) / SPARSE_GRAIN * (SPARSE_GRAIN / SECTOR));
	struct findings n;
	struct extent *x;

	for (unsigned copy = 0; copy < 2; copy++) {
		le32_put(r.data + gt[copy] + 60 * 4, le32_get(r.data + gt[copy] + 3 * 4));
		le32_put(r.data + gt[copy] + 70 * 4, end);
		le32_put(r.data + gt[copy] + 71 * 4, end + 1024);
	}
	x = rig_open(&r, true);
	n = rig_check(x, true);
	check(n.damage == n.repaired && strstr(n.kinds, "overlap") && strstr(n.kinds, "outside"), "%s",
	      n.kinds);
	n = rig_check(x, false);
	check(!n.damage && !n.leaks, "afterwards: %s (%s)", n.kinds, n.last);
	extent_close(x);
	for (unsigned copy = 0; copy < 2; copy++)
		check(le32_get(r.data + gt[copy] + 60 * 4) >= end && !le32_get(r.data + gt[copy] + 70 * 4) &&
		      !le32_get(r.data + gt[copy] + 71 * 4), "copy %u", copy);
	ram_free(&r);
	/* A table is lost, and a new one is not put where the last grain lacks its end. */
	r = sample();
	gd = le64_get(r.data + H_GD) * SECTOR;
	ram_set_size(&r, (le32_get(r.data + le32_get(r.data + gd) * UINT64_C(512) + 100 * 4) + 10) *
		     UINT64_C(512));
	le32_put(r.data + gd, 1u << 30);
	r.data[H_UNCLEAN] = 1;		/* the end has to be found */
	x = rig_open(&r, true);
	n = rig_check(x, true);
	check(n.damage && strstr(n.kinds, "directory"), "%s: %s", n.kinds, n.last);
	n = rig_check(x, false);
	check(!n.damage && !n.leaks, "afterwards: %s (%s)", n.kinds, n.last);
	extent_close(x);
	ram_free(&r);
	/* The first directory is lost, a new one is made behind the end. */
	rig_create(&r, &(struct sparse_create){ .size = 100 * MIB });
	rgd = le64_get(r.data + H_RGD) * SECTOR;
	le64_put(r.data + H_GD, 1u << 30);
	le32_put(r.data + rgd + 4, (uint32_t)(r.size / SECTOR + 64));
	x = rig_open(&r, true);
	n = rig_check(x, true);
	check(n.damage == n.repaired && strstr(n.kinds, "directory"), "%s: %s", n.kinds, n.last);
	n = rig_check(x, false);
	check(!n.damage && !n.leaks, "afterwards: %s (%s)", n.kinds, n.last);
	extent_close(x);
	ram_free(&r);
}

int main(void)
{
	ends_early();
	for (uint64_t seed = 1; seed < 8; seed++)
		compacts(seed % 2 ? 4096 : 16384, seed);
	compacts_the_file_only();
	is_fresh();
	refuses_sizes();
	shape(2 * MIB, 65536, false, 0, 1);
	shape(2 * MIB - 512, 65536, true, 0, 2);
	shape(512, 65536, false, 0, 3);
	shape(3 * MIB + 1536, 4096, true, 0, 4);
	shape(16 * MIB, 256 << 10, false, 0, 5);
	shape(2 * MIB, 4096, true, 1, 6);
	shape(2 * MIB, 4096, false, 64, 7);
	shape(2 * MIB, 8192, false, 4096, 8);
	uses_room_again();
	resizes();
	names_fields();
	finds_damage();
	second_copy_errs();
	second_copy_of_nothing();
	repairs_hide_nothing();
	return check_done();
}
