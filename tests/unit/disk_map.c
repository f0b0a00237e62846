/* The merged map beside an array of sectors. */
#include "disk/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define PAGES 3u
#define SECTORS (PAGES * (MAP_PAGE / SECTOR))

struct model { uint8_t kind, layer; uint32_t sector; };
static struct model model[SECTORS];
static uint64_t seed = 1;

static uint32_t below(uint32_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % n;
}

/* A page that is one run of zeros. */
static void add_zeros(struct map *m, uint64_t off)
{
	struct map_page *p = map_page_new(off);
	struct map_run r = { .kind = DISK_ZERO, .off = off, .len = MAP_PAGE };

	check(p && !map_page_add(p, &r, false), "no memory");
	map_insert(m, p);
}

/* All that the map says of [off, end) is as the model has it, and in one piece. */
static void compare(struct map *m, uint64_t off, uint64_t end)
{
	static struct map_run r[64];

	while (off < end) {
		unsigned n = map_find(m, off, end, r, 1 + below(64));

		check(n > 0, "%llu", (unsigned long long)off);
		for (unsigned i = 0; i < n; i++) {
			uint64_t s = r[i].off / SECTOR;
			bool good = r[i].off == off && r[i].len && r[i].len % SECTOR == 0;

			for (uint64_t k = 0; good && k < r[i].len / SECTOR; k++)
				good = model[s + k].kind == r[i].kind && model[s + k].layer == r[i].layer &&
				       (r[i].kind == DISK_ZERO || model[s + k].sector == r[i].at / SECTOR +
					(r[i].kind == DISK_DATA ? k : 0));
			check(good, "run of kind %d at %llu, %llu bytes", r[i].kind,
			      (unsigned long long)r[i].off, (unsigned long long)r[i].len);
			off += r[i].len;
			if (!good)
				exit(check_done());
		}
	}
	check(off == end, "cut off at the end");
}

static void set(struct map *m, struct map_run *r)
{
	uint64_t s = r->off / SECTOR;

	for (uint64_t k = 0; k < r->len / SECTOR; k++)
		model[s + k] = (struct model){ r->kind, r->layer, (uint32_t)(r->at / SECTOR +
					       (r->kind == DISK_DATA ? k : 0)) };
	map_set(m, r, below(8), below(8));
}

static void test_random(void)
{
	static const enum disk_kind kinds[] = { DISK_DATA, DISK_DATA, DISK_ZERO, DISK_PACKED, DISK_REFUSED };
	struct map *m = map_new(MAP_LIMIT);

	for (unsigned i = 0; i < SECTORS; i++)
		model[i] = (struct model){ DISK_ZERO, 0, 0 };
	for (unsigned i = 0; i < PAGES; i++)
		add_zeros(m, (uint64_t)i * MAP_PAGE);
	compare(m, 0, (uint64_t)SECTORS * SECTOR);
	for (unsigned i = 0; i < 20000; i++) {
		uint32_t s = below(SECTORS), n = 1 + below(below(16) ? 64 : 100000);
		struct map_run r = {
			.kind = kinds[below(5)], .layer = below(256), .off = (uint64_t)s * SECTOR,
		};

		if (below(2))		/* in a few places, so that neighbours meet */
			r.off = (uint64_t)(s / 50000 * 50000 + below(40)) * SECTOR;
		s = (uint32_t)(r.off / SECTOR);
		r.len = (uint64_t)(n < SECTORS - s ? n : SECTORS - s) * SECTOR;
		r.at = r.kind == DISK_ZERO || r.kind == DISK_REFUSED ? 0 :
		       below(3) ? r.off : (uint64_t)below(1u << 30) * SECTOR;
		r.layer = below(2) ? 255 : r.layer;
		set(m, &r);
		if (i % 256 == 0)
			compare(m, 0, (uint64_t)SECTORS * SECTOR);
		else if (r.off > SECTOR)
			compare(m, r.off - SECTOR, r.off + r.len);
	}
	compare(m, 0, (uint64_t)SECTORS * SECTOR);
	map_clear(m);
	check(map_find(m, 0, SECTOR, &(struct map_run){ 0 }, 1) == 0, "cleared");
	map_free(m);
	map_free(NULL);
}

/* Neighbours become one row, but not across files. */
static void test_join(void)
{
	struct map *m = map_new(MAP_LIMIT);
	struct map_run r = { .kind = DISK_DATA, .layer = 1, .off = 65536, .len = 65536, .at = 1 << 20 }, g[4];

	add_zeros(m, 0);
	map_set(m, &r, true, true);
	r.off += 65536;
	r.at += 65536;
	map_set(m, &r, true, true);
	check(map_find(m, 0, MAP_PAGE, g, 4) == 3 && g[1].len == 131072, "one row");
	r.off -= 131072;
	r.at -= 131072;
	map_set(m, &r, true, true);
	check(map_find(m, 0, MAP_PAGE, g, 4) == 2 && g[0].len == 3 * 65536, "to the right, too");
	r.off += 3 * 65536;
	r.at += 3 * 65536;
	map_set(m, &r, false, true);
	check(map_find(m, 0, MAP_PAGE, g, 4) == 3, "not across files");
	r.kind = DISK_ZERO;
	r.layer = 0;
	map_set(m, &r, false, false);
	check(map_find(m, 0, MAP_PAGE, g, 4) == 2, "zeros are zeros");
	map_free(m);
}

/* 2 TB fit; what does not goes, and the limit holds with 512-byte rows, too. */
static void test_limit(void)
{
	struct map *m = map_new(MAP_LIMIT);
	uint64_t pages = (2ull << 40) / MAP_PAGE, there = 0;
	struct map_run r;

	for (uint64_t i = 0; i < pages; i++)
		add_zeros(m, i * MAP_PAGE);
	for (uint64_t i = 0; i < pages; i++)
		there += map_find(m, i * MAP_PAGE, i * MAP_PAGE + SECTOR, &r, 1);
	check(there == pages, "%llu of %llu pages", (unsigned long long)there,
	      (unsigned long long)pages);
	check(map_bytes(m) < 12 << 20, "%llu bytes", (unsigned long long)map_bytes(m));
	map_free(m);

	m = map_new(4 << 20);
	for (uint64_t i = 0; i < 64; i++) {
		struct map_page *p = map_page_new(i * MAP_PAGE);

		for (uint64_t k = 0; k < MAP_PAGE; k += SECTOR) {
			r = (struct map_run){ .kind = DISK_DATA, .off = i * MAP_PAGE + k, .at = k * 2 };
			check(!map_page_add(p, &r, true), "no memory");
		}
		map_insert(m, p);
		check(map_bytes(m) < (5 << 20), "%llu bytes", (unsigned long long)map_bytes(m));
		check(map_find(m, i * MAP_PAGE, (i + 1) * MAP_PAGE, &r, 1) == 1, "the newest stays");
	}
	map_free(m);
}

int main(void)
{
	test_random();
	test_join();
	test_limit();
	return check_done();
}
