/*
 * Damaged hosted sparse extents (extent.h): headers, directories, tables and grains of
 * what random operations made, and of a stream.
 */
#include "base/le.h"
#include "disk/pack.h"
#include "disk/sparse.h"
#include "disk/stream.h"
#include "extent.h"

enum { SECTORS = 9000, PLACES = 12 };

static int append(void *ptr, const void *buf, size_t len, struct err *e)
{
	struct mem_image *m = ptr;
	uint64_t at = m->size;

	mem_set_size(m, at + len);
	memcpy(m->p + at, buf, len);
	return 0;
}

/* A stream of some grains. */
static void make_stream(struct mem_image *m)
{
	static const unsigned grains[] = { 0, 1, 5, 511, 512, 700 };
	struct stream_target t = { append, m };
	struct stream_batch *b = calloc(1, sizeof(*b));
	struct pack *p = pack_new(PACK_FAST);
	struct stream_writer *w;
	uint8_t *buf = malloc(STREAM_GRAIN);

	for (unsigned i = 0; i < STREAM_GRAIN; i++)
		buf[i] = (uint8_t)(i * i >> 7);
	stream_write_begin(&w, &t, 50u << 20, "# Disk DescriptorFile\n", 22, NULL);
	for (unsigned i = 0; i < sizeof(grains) / sizeof(*grains); i++)
		stream_pack(b, p, grains[i], buf, NULL);
	fuzz_check(!stream_write_batch(w, b, NULL) && !stream_write_end(w, NULL), "a stream");
	stream_write_free(w);
	pack_free(p);
	free(b);
	free(buf);
}

/* Header, footer, and directories and first tables of both copies. */
static void find_places(const struct mem_image *m, uint64_t *place)
{
	uint64_t end = m->size - 1024, gd = le64_get(m->p + 0x38) * SECTOR;
	uint64_t rgd = le64_get(m->p + 0x30) * SECTOR;

	if (gd >= m->size)
		gd = le64_get(m->p + end + 0x38) * SECTOR;
	memcpy(place, (uint64_t[PLACES]){ 0, 0, 0x2c, end, end, end - SECTOR, gd, rgd,
		       le32_get(m->p + gd) * SECTOR, le32_get(m->p + gd) * SECTOR,
		       rgd ? le32_get(m->p + rgd) * SECTOR : 0, gd + 4 }, PLACES * sizeof(*place));
}

static void damage_some(struct fuzz *f, const struct mem_image *m, bool *more)
{
	uint64_t place[PLACES];

	find_places(m, place);
	for (unsigned i = 0; i < 60 && *more; i++, *more = fuzz_more(f))
		fuzz_extent(f, sparse_open, m, place, PLACES);
}

/* One operation; version 1 has no grains of zeros. */
static void operate(struct fuzz *f, struct rig *r, bool zeroed)
{
	uint64_t n = 1 + fuzz_below(f, 100), at = fuzz_below(f, (unsigned)(r->sectors - n + 1));

	if (zeroed)
		rig_any(r, 100);
	else if (fuzz_below(f, 4))
		rig_write(r, at, n);
	else
		rig_drop(r, at, n, true);
}

int main(int argc, char **argv)
{
	struct mem_image stream = { 0 };
	struct sparse_create k = { .size = SECTORS * SECTOR };
	struct fuzz f;
	bool more = true;
	struct err e;

	make_stream(&stream);
	fuzz_start(&f, argc, argv);
	while (more) {
		struct rig r = { .open = sparse_open, .crash_odds = UINT32_MAX };
		struct disk_file *file = mem_file(&r.disk, true);

		rig_rand_state = fuzz_next(&f) | 1;
		rig_size(&r, SECTORS);
		k.grain = 4096u << fuzz_below(&f, 5);
		k.zeroed = fuzz_below(&f, 2);
		fuzz_check(!sparse_create(file, &k, &e), "%s", e.msg);
		file_close(file);
		rig_open(&r);
		for (unsigned i = 0; i < 12; i++)
			operate(&f, &r, k.zeroed);
		rig_flush(&r);
		fuzz_check(!check_failed, "a sound file");
		damage_some(&f, &r.disk.live, &more);
		damage_some(&f, &stream, &more);
		rig_free(&r);
	}
	free(stream.p);
	return fuzz_done(&f);
}
