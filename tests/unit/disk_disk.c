/* Disks beside a plain array: chains of layers with all kinds of grains, random
 * requests, failures, and several threads at once. */
#include <pthread.h>

#include "disk/disk_impl.h"
#include "memfmt.h"

#define SIZE	((5u << 20) + 3 * 512)	/* ends inside a grain */

static uint64_t seed = 7;
static uint8_t model[SIZE];

static uint32_t below(uint32_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % n;
}

/* A layer with about a third of its grains, and the model as it is seen through it. */
static struct image *layer_of(uint64_t grain, unsigned nfiles, bool packed, bool writable,
			      struct memfmt **m)
{
	uint64_t start = 0;
	uint8_t *b = malloc(grain);

	for (unsigned i = 0; i < nfiles; i++) {
		uint64_t size = i + 1 < nfiles ? SIZE / nfiles / 512 * 512 : SIZE - start;

		m[i] = memfmt_new(size, grain, writable);
		m[i]->packed = packed;
		for (uint64_t g = 0; g < m[i]->grains; g++) {
			uint64_t at = start + g * grain, len = size - g * grain < grain ? size - g * grain : grain;

			memset(b, 0, grain);
			switch (below(4)) {
			case 0:
				for (uint64_t k = 0; k < len; k++)
					b[k] = (uint8_t)below(256);
				memfmt_put(m[i], g, b);
				memcpy(model + at, b, len);
				break;
			case 1:
				m[i]->at[g] = 1;
				memset(model + at, 0, len);
				break;
			}
		}
		start += size;
	}
	free(b);
	return memfmt_image(m, nfiles);
}

static void compare(struct disk *d)
{
	static uint8_t b[SIZE];
	struct err e = { 0 };

	check(!disk_read(d, b, SIZE, 0, &e), "%s", e.msg);
	for (unsigned i = 0; i < SIZE; i++)
		if (b[i] != model[i]) {
			check(0, "byte %u is %02x, not %02x", i, b[i], model[i]);
			return;
		}
}

/* A random range of whole sectors, short or long. */
static void pick(uint64_t *off, uint64_t *len)
{
	uint32_t sectors = SIZE / 512, s = below(sectors), n = 1 + below(below(4) ? 20 : 3000);

	*off = (uint64_t)s * 512;
	*len = (uint64_t)(n < sectors - s ? n : sectors - s) * 512;
}

static int split(const uint8_t *b, uint64_t len, struct iovec *iov)
{
	int n = 0;

	while (len) {
		uint64_t some = n == 39 ? len : 1 + below((uint32_t)len);

		iov[n++] = (struct iovec){ (void *)b, some };
		b += some;
		len -= some;
	}
	return n;
}

static void one_request(struct disk *d)
{
	static uint8_t b[SIZE];
	struct iovec iov[40];
	uint64_t off, len;
	struct err e = { 0 };
	int rc = 0;

	pick(&off, &len);
	switch (below(6)) {
	case 0: case 1:
		for (uint64_t i = 0; i < len; i++)
			b[i] = (uint8_t)below(256);
		rc = disk_writev(d, iov, split(b, len, iov), off, &e);
		memcpy(model + off, b, len);
		break;
	case 2:
		rc = disk_zero(d, off, len, below(2), &e);
		memset(model + off, 0, len);
		break;
	case 3:
		if (disk_try_readv(d, iov, split(b, len, iov), off, &e))
			break;
		check(!memcmp(b, model + off, len), "try_readv of %llu", (unsigned long long)off);
		break;
	case 4:
		for (uint64_t i = 0; i < len; i++)
			b[i] = (uint8_t)below(256);
		if (disk_try_writev(d, iov, split(b, len, iov), off, &e))
			rc = disk_write(d, b, len, off, &e);
		memcpy(model + off, b, len);
		break;
	default:
		rc = disk_readv(d, iov, split(b, len, iov), off, &e);
		check(!memcmp(b, model + off, len), "read of %llu", (unsigned long long)off);
	}
	check(!rc, "%s", e.msg);
}

static void test_random(uint64_t grain, unsigned depth, unsigned nfiles, bool no_zero)
{
	static const uint64_t grains[] = { 512, 4096, 65536 };
	struct image *layer[DISK_LAYERS];
	struct memfmt *m[8];
	struct disk *d = NULL;
	struct err e = { 0 };

	memset(model, 0, SIZE);
	for (unsigned i = 0; i + 1 < depth; i++)
		layer[i] = layer_of(grains[below(3)], 1 + below(3), i % 3 == 0, false, m);
	layer[depth - 1] = layer_of(grain, nfiles, false, true, m);
	m[0]->no_zero = no_zero;
	m[0]->most = no_zero ? 3 : 0;
	check(!disk_new(&d, layer, depth, &e), "%s", e.msg);
	check(disk_size(d) == SIZE && disk_layers(d) == depth, "size");
	compare(d);
	for (unsigned i = 0; i < 400; i++)
		one_request(d);
	compare(d);
	check(!disk_flush(d, &e) && !m[0]->dirty, "%s", e.msg);
	compare(d);
	check(!disk_close(d, &e), "%s", e.msg);
}

static void test_bounds(void)
{
	struct memfmt *m = memfmt_new(8192, 4096, false);
	struct image *im = memfmt_image(&m, 1);
	struct disk_run run;
	struct disk *d;
	struct err e = { 0 };
	unsigned layer;
	uint8_t b[1024];

	check(!disk_new(&d, &im, 1, &e), "%s", e.msg);
	check(disk_read(d, b, 512, 8192, &e) == -EINVAL, "%s", e.msg);
	check(disk_read(d, b, 1024, 7680, &e) == -EINVAL, "%s", e.msg);
	check(disk_read(d, b, 512, UINT64_MAX - 511, &e) == -EINVAL, "%s", e.msg);
	check(disk_read(d, b, 100, 0, &e) == -EINVAL && disk_read(d, b, 512, 1, &e) == -EINVAL, "%s",
	      e.msg);
	check(!disk_read(d, b, 0, 8192, &e) && !disk_read(d, b, 512, 7680, &e), "%s", e.msg);
	check(disk_write(d, b, 512, 0, &e) == -EROFS && disk_zero(d, 0, 512, true, &e) == -EROFS,
	      "%s", e.msg);
	check(disk_map(d, 0, 0, &run, &layer, &e) == -EINVAL, "%s", e.msg);
	check(!disk_map(d, 512, 99 * 512 % 8192, &run, &layer, &e) && run.kind == DISK_ZERO, "%s",
	      e.msg);
	check(!disk_close(d, &e), "%s", e.msg);
	check(disk_new(&d, &im, 0, &e) == -EINVAL, "no layers");
}

/* A parent larger than its child, and a child larger than its parent. */
static void test_sizes(void)
{
	struct memfmt *base = memfmt_new(8192, 4096, false), *mid = memfmt_new(4096, 4096, false);
	struct memfmt *top = memfmt_new(12288, 4096, true);
	struct image *l[3] = { memfmt_image(&base, 1), memfmt_image(&mid, 1), memfmt_image(&top, 1) };
	uint8_t b[12288], data[4096];
	struct disk_run run;
	struct disk *d;
	struct err e = { 0 };
	unsigned layer;

	memset(data, 1, sizeof(data));
	memfmt_put(base, 0, data);
	memset(data, 2, sizeof(data));
	memfmt_put(base, 1, data);
	check(!disk_new(&d, l, 3, &e), "%s", e.msg);
	check(!disk_read(d, b, sizeof(b), 0, &e), "%s", e.msg);
	check(b[0] == 1 && b[4095] == 1 && b[8192] == 0, "%d %d", b[0], b[8192]);
	/* What a middle layer cut off was not there any more when the top grew. */
	check(b[4096] == 0, "%d: behind the end of a parent are zeros", b[4096]);
	check(!disk_map(d, 4096, 8192, &run, &layer, &e) && run.kind == DISK_ZERO && run.len == 8192 &&
	      layer == 0, "%d %llu", run.kind, (unsigned long long)run.len);
	check(!disk_close(d, &e), "%s", e.msg);
}

/* What a chain's maps cost: each page of each layer is asked once, however often it is read. */
static void test_lookups(void)
{
	struct image *l[32];
	struct memfmt *m[32];
	struct disk *d;
	uint8_t b[4096];
	struct err e = { 0 };
	unsigned asked = 0;

	for (unsigned i = 0; i < 32; i++) {
		m[i] = memfmt_new(1 << 20, 65536, i == 31);
		l[i] = memfmt_image(&m[i], 1);
	}
	check(!disk_new(&d, l, 32, &e), "%s", e.msg);
	check(disk_try_readv(d, &(struct iovec){ b, 4096 }, 1, 0, &e) == -EAGAIN, "not yet read");
	for (unsigned i = 0; i < 1000; i++)
		check(!disk_read(d, b, 4096, below(256) * 4096, &e), "%s", e.msg);
	check(!disk_write(d, b, 4096, 4096, &e) && !disk_read(d, b, 4096, 0, &e), "%s", e.msg);
	check(!disk_try_readv(d, &(struct iovec){ b, 4096 }, 1, 131072, &e), "%s", e.msg);
	for (unsigned i = 0; i < 32; i++)
		asked += m[i]->maps;
	check(asked == 32, "%u", asked);
	check(disk_map_bytes(d) < 4096, "%llu", (unsigned long long)disk_map_bytes(d));
	check(!disk_flush(d, &e) && !disk_flush(d, &e) && m[31]->flushes == 1, "%u", m[31]->flushes);
	check(!disk_close(d, &e), "%s", e.msg);
}

/* Packed grains that are read in parts are unpacked once. */
static void test_packed(void)
{
	struct memfmt *m = memfmt_new(1 << 20, 65536, false);
	struct image *im;
	struct disk *d;
	uint8_t b[65536];
	struct err e = { 0 };

	m->packed = true;
	for (unsigned i = 0; i < 65536; i++)
		b[i] = (uint8_t)(i >> 8);
	memfmt_put(m, 1, b);
	im = memfmt_image(&m, 1);
	check(!disk_new(&d, &im, 1, &e), "%s", e.msg);
	for (unsigned i = 0; i < 128; i++) {
		check(!disk_read(d, b, 512, 65536 + i * 512, &e) && b[0] == (i * 2 & 255), "%u: %u", i, b[0]);
	}
	check(m->unpacks == 1, "%u", m->unpacks);
	check(!disk_close(d, &e), "%s", e.msg);
}

/* A write that finds no room changes nothing, and the next one succeeds. */
static void test_no_room(void)
{
	struct memfmt *m = memfmt_new(1 << 20, 65536, true);
	struct image *im = memfmt_image(&m, 1);
	uint8_t b[65536], r[65536];
	struct disk *d;
	struct err e = { 0 };

	check(!disk_new(&d, &im, 1, &e), "%s", e.msg);
	memset(b, 9, sizeof(b));
	m->fail_alloc = 1;
	check(disk_write(d, b, 4096, 4096, &e) == -ENOSPC, "%s", e.msg);
	check(!disk_read(d, r, 4096, 4096, &e) && r[0] == 0, "unchanged");
	/* The room is there, its file cannot be written. */
	m->x.file->writable = false;
	check(disk_write(d, b, 4096, 4096, &e) == -EROFS, "%s", e.msg);
	check(!m->given[0] && !disk_read(d, r, 4096, 4096, &e) && r[0] == 0, "given back");
	m->x.file->writable = true;
	check(!disk_write(d, b, 4096, 4096, &e) && !disk_read(d, r, 8192, 0, &e), "%s", e.msg);
	check(r[0] == 0 && r[4096] == 9, "%d %d", r[0], r[4096]);
	check(!disk_close(d, &e), "%s", e.msg);
}

/* The layers of a frozen disk are others. */
static void swap(struct disk *d, struct image *const *l, unsigned n, bool pushed)
{
	struct image **layer = malloc(n * sizeof(struct image *));

	memcpy(layer, l, n * sizeof(struct image *));
	disk_swap_layers(d, &layer, &n, pushed);
	free(layer);
}

static void push(struct disk *d, struct image *im)
{
	struct image *l[DISK_LAYERS];
	unsigned n = disk_layers(d);

	for (unsigned i = 0; i < n; i++)
		l[i] = disk_layer(d, i);
	l[n] = im;
	swap(d, l, n + 1, true);
}

/* The layers below the top become one, while the disk is open. */
static void test_set_layers(void)
{
	struct memfmt *m, *one = memfmt_new(SIZE, 65536, false);
	static uint8_t b[SIZE + 65536];
	struct image *l[3], *now[2];
	struct disk *d;
	struct err e = { 0 };

	memset(model, 0, SIZE);
	for (unsigned i = 0; i < 3; i++)
		l[i] = layer_of(4096, 1, i == 1, i == 2, &m);
	check(!disk_new(&d, l, 3, &e), "%s", e.msg);
	compare(d);
	for (unsigned i = 0; i < 50; i++)
		one_request(d);
	memcpy(b, model, SIZE);
	for (uint64_t g = 0; g < one->grains; g++)
		memfmt_put(one, g, b + g * 65536);
	disk_freeze(d);
	check(disk_try_readv(d, &(struct iovec){ b, 512 }, 1, 0, &e) == -EAGAIN, "frozen");
	now[0] = memfmt_image(&one, 1);
	now[1] = l[2];
	swap(d, now, 2, false);
	check(disk_layers(d) == 2, "%u", disk_layers(d));
	disk_thaw(d);
	image_close(l[0]);
	image_close(l[1]);
	compare(d);
	for (unsigned i = 0; i < 50; i++)
		one_request(d);
	compare(d);
	check(!disk_close(d, &e), "%s", e.msg);
}

/* What was written before a snapshot is durable with the first flush behind it. */
static void test_push_flush(void)
{
	struct memfmt *m = memfmt_new(1 << 20, 4096, true), *new = memfmt_new(1 << 20, 4096, true);
	struct image *im = memfmt_image(&m, 1);
	uint8_t b[512] = "x";
	struct disk *d;
	struct err e = { 0 };

	check(!disk_new(&d, &im, 1, &e) && !disk_write(d, b, 512, 0, &e), "%s", e.msg);
	disk_freeze(d);
	push(d, memfmt_image(&new, 1));
	disk_thaw(d);
	check(!disk_flush(d, &e) && m->flushes == 1 && m->x.file->synced == m->x.file->writes, "%s", e.msg);
	check(!disk_close(d, &e), "%s", e.msg);
}

/* Threads on ranges of their own, which share grains; one drops grains all the time. */

struct worker {
	struct disk *d;
	unsigned id;
	uint64_t seed;
	pthread_t thread;
	bool bad;
};

#define WORKERS 4
#define ROUNDS	8000
#define SNAPSHOTS 100

static void *work(void *ptr)
{
	struct worker *w = ptr;
	static const uint64_t sectors = SIZE / 512;
	uint8_t *mine = calloc(1, SIZE), b[512];

	for (unsigned i = 0; i < ROUNDS && !w->bad; i++) {
		uint64_t s;

		w->seed = w->seed * 6364136223846793005ull + 1442695040888963407ull;
		s = (w->seed >> 33) % 2000;
		s = (s * WORKERS + w->id) % (sectors / WORKERS * WORKERS);
		if (s % WORKERS != w->id)
			continue;
		memset(b, (int)(w->seed >> 40), 512);
		if (w->seed >> 20 & 1) {
			w->bad |= disk_read(w->d, b, 512, s * 512, NULL) || memcmp(b, mine + s * 512, 512);
		} else if (w->seed >> 21 & 1) {
			w->bad |= disk_zero(w->d, s * 512, 512, true, NULL) != 0;
			memset(mine + s * 512, 0, 512);
		} else {
			w->bad |= disk_write(w->d, b, 512, s * 512, NULL) != 0;
			memcpy(mine + s * 512, b, 512);
		}
		if (i % 100 == 0)
			w->bad |= disk_flush(w->d, NULL) != 0;
	}
	for (uint64_t s = w->id; s < sectors; s += WORKERS) {
		w->bad |= disk_read(w->d, b, 512, s * 512, NULL) || memcmp(b, mine + s * 512, 512);
	}
	free(mine);
	return NULL;
}

static void test_threads(uint64_t grain)
{
	struct worker w[WORKERS];
	struct memfmt *base = memfmt_new(SIZE, 4096, false), *top = memfmt_new(SIZE, grain, true);
	struct image *l[2] = { memfmt_image(&base, 1), memfmt_image(&top, 1) };
	struct disk *d;
	struct err e = { 0 };

	check(!disk_new(&d, l, 2, &e), "%s", e.msg);
	for (unsigned i = 0; i < WORKERS; i++) {
		w[i] = (struct worker){ .d = d, .id = i, .seed = i * 1000 + grain };
		check(!pthread_create(&w[i].thread, NULL, work, &w[i]), "thread");
	}
	/* Snapshots in the middle of it. */
	for (unsigned i = 0; i < SNAPSHOTS; i++) {
		struct memfmt *new = memfmt_new(SIZE, grain, true);

		disk_freeze(d);
		top->below = true;
		top = new;
		push(d, memfmt_image(&new, 1));
		disk_thaw(d);
		usleep(200);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		pthread_join(w[i].thread, NULL);
		check(!w[i].bad, "thread %u", i);
	}
	check(disk_layers(d) == 2 + SNAPSHOTS, "%u", disk_layers(d));
	for (unsigned i = 1; i < disk_layers(d); i++) {
		const struct memfmt *m = (struct memfmt *)disk_layer(d, i)->ext[0];

		check(disk_layer(d, i)->cid_changed || !(m->dirty || m->flushes), "layer %u was changed, "
		      "but has its old CID", i);
	}
	check(!disk_close(d, &e), "%s", e.msg);
}

int main(void)
{
	test_bounds();
	test_sizes();
	test_lookups();
	test_packed();
	test_no_room();
	test_random(512, 1, 1, false);
	test_random(4096, 2, 1, false);
	test_random(65536, 2, 3, true);
	test_random(65536, 5, 2, false);
	test_random(4096, 32, 1, true);
	test_set_layers();
	test_push_flush();
	test_threads(65536);
	test_threads(512);
	return check_done();
}
