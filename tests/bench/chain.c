/*
 * chain: makes chains of disks for tests/bench/chain, and tells what a large one takes.
 *
 *	chain make DIR LAYERS MIB
 *		DIR/0.vmdk (the base) to DIR/LAYERS-1.vmdk, a disk of MIB: each grain of 64 KiB
 *		lies in one layer, at random, but none in the top
 *	chain memory DIR LAYERS light|fragmented
 *		a disk of 2 TiB: some grains in each layer, or (of a 16th of the disk) each
 *		grain in another layer than its neighbours.  What lies in grains is a hole
 *
 * The latter prints lines `chain KIND NAME VALUE UNIT`.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/le.h"
#include "disk/create.h"
#include "disk/disk.h"
#include "disk/sparse.h"

#define GRAIN		SPARSE_GRAIN
#define HUGE_DISK	((UINT64_C(1) << 41) - (1u << 20))
#define READS		100000u
#define WRITES		500u
#define LIGHT		2000u		/* grains of a layer */

static struct err e;
static uint64_t seed = 88172645463325252u;

static void die(const char *what)
{
	printf("chain: %s: %s\n", what, e.msg[0] ? e.msg : strerror(errno));
	exit(1);
}

static uint64_t rnd(uint64_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 20) % below;
}

static void path_of(char *path, const char *dir, unsigned layer)
{
	snprintf(path, 4096, "%s/%u.vmdk", dir, layer);
}

/* The layer that has a grain, of so many. */
static unsigned owner(uint64_t grain, unsigned layers)
{
	return (unsigned)((grain * 0x9e3779b97f4a7c15u >> 40) % layers);
}

/* Create a layer on the one below it, whose CID is *cid; that of a new one is set. */
static void make_layer(const char *dir, unsigned layer, uint64_t size, uint32_t *cid)
{
	struct disk_create c = { .size = size, .format = DISK_SPARSE };
	char path[4096], parent[32];

	snprintf(parent, sizeof(parent), "%u.vmdk", layer - 1);
	if (layer) {
		c.parent = parent;
		c.parent_cid = *cid;
	}
	path_of(path, dir, layer);
	if (disk_create(path, &c, &e))
		die(path);
}

static void read_cid(const char *dir, unsigned layer, uint32_t *cid)
{
	struct disk_opts o = { .no_lock = true, .no_parent = true };
	struct image *im;
	char path[4096];

	path_of(path, dir, layer);
	if (image_open(&im, path, &o, &e))
		die(path);
	*cid = im->desc->cid;
	image_close(im);
}

static void fill_layer(const char *dir, unsigned layer, unsigned owners, uint64_t size)
{
	static uint64_t buf[GRAIN / 8];
	struct disk_opts o = { .write = true, .no_parent = true };
	struct disk *d;
	char path[4096];

	path_of(path, dir, layer);
	if (disk_open(&d, path, &o, &e))
		die(path);
	for (uint64_t g = 0; g < size / GRAIN; g++) {
		if (owner(g, owners) != layer)
			continue;
		for (unsigned i = 0; i < GRAIN / 8; i++)
			buf[i] = g << 32 | i;
		if (disk_write(d, buf, GRAIN, g * GRAIN, &e))
			die(path);
	}
	if (disk_close(d, &e))
		die(path);
}

static void make(const char *dir, unsigned layers, uint64_t size)
{
	unsigned owners = layers > 1 ? layers - 1 : 1;
	uint32_t cid = 0;

	for (unsigned i = 0; i < layers; i++) {
		make_layer(dir, i, size, &cid);
		if (i < owners)
			fill_layer(dir, i, owners, size);
		read_cid(dir, i, &cid);
	}
}

/* A layer's grain tables, written past all that guards them. */
struct tables {
	int fd;
	struct sparse_header h;
	uint8_t *gd;
	uint64_t next;		/* sector of the next grain */
};

static void tables_open(struct tables *t, const char *path)
{
	struct disk_file *f;
	size_t len;

	if (file_open(&f, NULL, path, 0, &e) || sparse_header_read(&t->h, f, &e))
		die(path);
	len = sparse_gd_sectors(&t->h) * SECTOR;
	t->gd = malloc(len);
	if (!t->gd || file_read(f, t->gd, len, t->h.gd * SECTOR, &e))
		die(path);
	file_close(f);
	t->fd = open(path, O_RDWR);
	if (t->fd < 0)
		die(path);
	t->next = t->h.overhead;
}

static void put(const struct tables *t, uint64_t grain, const void *buf, size_t n)
{
	uint64_t at = le32_get(t->gd + grain / t->h.gtes * 4) * (uint64_t)SECTOR +
		      grain % t->h.gtes * 4;

	if (pwrite(t->fd, buf, n * 4, (off_t)at) != (ssize_t)n * 4)
		die("a grain table");
}

static void tables_close(struct tables *t)
{
	if (ftruncate(t->fd, (off_t)(t->next * SECTOR)) || close(t->fd))
		die("a layer");
	free(t->gd);
}

static void put_light(struct tables *t)
{
	uint8_t entry[4];

	for (unsigned i = 0; i < LIGHT; i++, t->next += t->h.grain) {
		le32_put(entry, (uint32_t)t->next);
		put(t, rnd(HUGE_DISK / GRAIN), entry, 1);
	}
}

static void put_fragmented(struct tables *t, unsigned layer, unsigned layers)
{
	uint8_t *table = calloc(t->h.gtes, 4);

	for (uint64_t gt = 0; gt < HUGE_DISK / GRAIN / t->h.gtes; gt += 16) {
		memset(table, 0, t->h.gtes * 4);
		for (unsigned i = 0; i < t->h.gtes; i++) {
			if ((i + gt / 16) % layers != layer)
				continue;
			le32_put(table + i * 4, (uint32_t)t->next);
			t->next += t->h.grain;
		}
		put(t, gt * t->h.gtes, table, t->h.gtes);
	}
	free(table);
}

static double anon_mib(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	double kib = 0;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "RssAnon:", 8))
			kib = atof(line + 8);
	if (f)
		fclose(f);
	return kib / 1024;
}

static double seconds_since(uint64_t began_ns)
{
	return (double)(clock_ns() - began_ns) / 1e9;
}

static void tell(const char *kind, const char *name, double value, const char *unit)
{
	printf("chain %s %s %.4g %s\n", kind, name, value, unit);
	fflush(stdout);
}

static void raise_to(double *most, double now)
{
	if (now > *most)
		*most = now;
}

/* The table whose grains all lie somewhere, or any. */
static uint64_t some_byte(bool fragmented)
{
	const uint64_t page = GRAIN * (uint64_t)SPARSE_GTES;

	if (!fragmented)
		return rnd(HUGE_DISK / 4096) * 4096;
	return rnd(HUGE_DISK / page / 16) * 16 * page + rnd(page / 4096) * 4096;
}

static void use(struct disk *d, const char *kind, double before, double *most)
{
	bool fragmented = !strcmp(kind, "fragmented");
	static uint8_t buf[4096];
	uint64_t began = clock_ns();

	for (unsigned i = 0; i < READS; i++) {
		if (disk_read(d, buf, sizeof(buf), some_byte(fragmented), &e))
			die("reading");
		if (i % 1000 == 0)
			raise_to(most, anon_mib() - before);
	}
	tell(kind, "read", seconds_since(began) / READS * 1e6, "us");
	began = clock_ns();
	for (unsigned i = 0; i < WRITES; i++)
		if (disk_write(d, buf, sizeof(buf), some_byte(fragmented), &e))
			die("writing");
	raise_to(most, anon_mib() - before);
	tell(kind, "write", seconds_since(began) / WRITES * 1e6, "us");
	if (disk_flush(d, &e))
		die("flushing");
}

static void map_all(struct disk *d, const char *kind, double before, double *most)
{
	uint64_t began = clock_ns(), ranges = 0;
	struct disk_run run;
	unsigned layer;

	for (uint64_t at = 0; at < disk_size(d); at += run.len, ranges++) {
		if (disk_map(d, at, disk_size(d) - at, &run, &layer, &e))
			die("mapping");
		if (ranges % 100000 == 0)
			raise_to(most, anon_mib() - before);
	}
	tell(kind, "map", seconds_since(began), "s");
	tell(kind, "ranges", (double)ranges, "-");
	raise_to(most, anon_mib() - before);
}

static void memory(const char *dir, unsigned layers, const char *kind)
{
	struct disk_opts o = { .write = true };
	double before, most = 0;
	uint64_t began;
	struct disk *d;
	char path[4096];
	uint32_t cid = 0;

	for (unsigned i = 0; i < layers; i++) {
		struct tables t;

		make_layer(dir, i, HUGE_DISK, &cid);
		read_cid(dir, i, &cid);
		path_of(path, dir, i);
		tables_open(&t, path);
		if (!strcmp(kind, "light"))
			put_light(&t);
		else
			put_fragmented(&t, i, layers);
		tables_close(&t);
	}
	malloc_trim(0);
	before = anon_mib();
	began = clock_ns();
	if (disk_open(&d, path, &o, &e))
		die(path);
	tell(kind, "open", seconds_since(began) * 1e3, "ms");
	use(d, kind, before, &most);
	map_all(d, kind, before, &most);
	use(d, kind, before, &most);
	tell(kind, "memory", most, "MiB");
	disk_close(d, NULL);
}

int main(int argc, char **argv)
{
	unsigned layers = argc == 5 ? (unsigned)atoi(argv[3]) : 0;

	if (layers > 0 && layers <= DISK_LAYERS && !strcmp(argv[1], "make")) {
		make(argv[2], layers, strtoull(argv[4], NULL, 10) << 20);
	} else if (layers > 0 && layers <= DISK_LAYERS && !strcmp(argv[1], "memory") &&
		   (!strcmp(argv[4], "light") || !strcmp(argv[4], "fragmented"))) {
		memory(argv[2], layers, argv[4]);
	} else {
		printf("usage: chain make DIR LAYERS MIB | chain memory DIR LAYERS "
		       "light|fragmented\n");
		return 2;
	}
	return 0;
}
