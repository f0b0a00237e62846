/*
 * streamOptimized in one pass: what is written is read, by one pass, in any order and by
 * several threads; what is damaged ends with an error or with grains that are inside the
 * disk.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../unit/ramfile.h"
#include "base/le.h"
#include "disk/convert.h"
#include "disk/extent.h"
#include "disk/pack.h"
#include "disk/stream.h"
#include "fuzz.h"

#define GRAINS 1100u

struct input {
	const struct ram *r;
	uint64_t at;
};

static int append(void *ptr, const void *buf, size_t len, struct err *e)
{
	struct ram *r = ptr;
	uint64_t at = r->size;

	ram_set_size(r, at + len);
	memcpy(r->data + at, buf, len);
	return 0;
}

static int input(void *ptr, void *buf, size_t len, size_t *got, struct err *e)
{
	struct input *in = ptr;

	*got = in->r->size - in->at < len ? in->r->size - in->at : len;
	memcpy(buf, in->r->data + in->at, *got);
	in->at += *got;
	return 0;
}

/* What grain n holds: text or noise; grain n is there if it says so. */
static void content(uint8_t *buf, uint64_t key, uint64_t n)
{
	uint64_t s = key + n;

	for (unsigned i = 0; i < STREAM_GRAIN; i += 8)
		le64_put(buf + i, n & 1 ? ram_rand(&s) : i % 512 + n);
}

static void write_all(struct fuzz *f, struct ram *r, uint64_t key, uint64_t size, bool *there)
{
	struct stream_target t = { append, r };
	struct stream_batch *b = calloc(1, sizeof(*b));
	struct pack *p = pack_new(1 + fuzz_below(f, 6));
	uint8_t buf[STREAM_GRAIN];
	struct stream_writer *w;

	fuzz_check(!stream_write_begin(&w, &t, size, "text", 4, NULL), "begin");
	for (uint64_t i = 0; i < GRAINS && i * STREAM_GRAIN < size; i++) {
		there[i] = !fuzz_below(f, 40);
		if (!there[i])
			continue;
		content(buf, key, i);
		fuzz_check(!stream_pack(b, p, i, buf, NULL), "pack");
		if (b->n == STREAM_BATCH || !fuzz_below(f, 3)) {
			fuzz_check(!stream_write_batch(w, b, NULL), "batch");
			b->n = 0;
			b->len = 0;
		}
	}
	fuzz_check(!stream_write_batch(w, b, NULL) && !stream_write_end(w, NULL), "end");
	stream_write_free(w);
	pack_free(p);
	free(b);
}

/* Returns how many grains came, or -1 when that ended with an error. */
static int read_all(const struct ram *r, uint64_t key, const bool *there)
{
	struct input in = { .r = r };
	struct stream_source s = { input, &in };
	const struct sparse_header *h;
	struct stream_reader *reader;
	uint8_t *packed, *buf, want[STREAM_GRAIN];
	uint64_t sector;
	uint32_t len;
	int n = 0, rc;

	if (stream_read_begin(&reader, &s, NULL))
		return -1;
	h = stream_read_header(reader);
	packed = malloc(sparse_packed_max(h->grain * SECTOR));
	buf = malloc(h->grain * SECTOR);
	while (!(rc = stream_read_next(reader, packed, &sector, &len, NULL)) && len) {
		fuzz_check(sector < h->capacity && sector % h->grain == 0, "sector");
		fuzz_check(++n <= (int)(r->size / SECTOR), "more grains than sectors");
		if (stream_unpack(h, packed, len, sector, buf, NULL) || !there)
			continue;
		content(want, key, sector * SECTOR / STREAM_GRAIN);
		fuzz_check(there[sector * SECTOR / STREAM_GRAIN] && !memcmp(buf, want, STREAM_GRAIN),
			   "grain");
	}
	free(packed);
	free(buf);
	stream_read_free(reader);
	return rc ? -1 : n;
}

/* In any order, by the tables. */
static void read_random(struct ram *r, uint64_t key, uint64_t size, const bool *there)
{
	struct disk_file *file = ram_open(r, false);
	struct extent_params p = { 0 };
	uint8_t buf[STREAM_GRAIN], want[STREAM_GRAIN];
	struct extent *x;

	fuzz_check(!sparse_open(&x, file, &p, NULL) && x->size == size, "open");
	for (uint64_t i = 0; i * STREAM_GRAIN < size; i++) {
		struct disk_run run;

		fuzz_check(!x->ops->map(x, i * STREAM_GRAIN, SECTOR, &run, NULL), "map");
		fuzz_check((run.kind == DISK_PACKED) == there[i], "grain %ju", (uintmax_t)i);
		if (!there[i])
			continue;
		content(want, key, i);
		fuzz_check(!x->ops->unpack(x, &run, buf, NULL) && !memcmp(buf, want, STREAM_GRAIN),
			   "grain %ju", (uintmax_t)i);
	}
	extent_close(x);
}

/* All of it by disk/convert.h, as bytes or as another stream; there: what it holds. */
static void convert_all(struct fuzz *f, const struct ram *r, uint64_t key, const bool *there)
{
	int fd = memfd_create("stream", MFD_CLOEXEC), out = memfd_create("out", MFD_CLOEXEC);
	struct convert_end from, to = { .kind = there || fuzz_below(f, 2) ? CONVERT_RAW : CONVERT_STREAM,
					.fd = out, .desc = "text", .desc_len = 4 };
	struct convert_opts o = { .threads = 1 + fuzz_below(f, 3) };
	uint8_t buf[STREAM_GRAIN], want[STREAM_GRAIN];
	struct err e = { 0 };
	int rc;

	fuzz_check(write(fd, r->data, r->size) == (ssize_t)r->size && !lseek(fd, 0, SEEK_SET), "memory");
	rc = convert_open_stream(&from, fd, &e);
	if (!rc) {
		uint64_t size = convert_size(&from);

		/* More zeros than that are not worth their time. */
		if (size <= 4ull * GRAINS * STREAM_GRAIN)
			rc = convert(&from, &to, &o, &e);
		convert_close(&from);
	}
	fuzz_check(rc ? e.code == rc && e.msg[0] && !strchr(e.msg, '\n') : true, "%d %s", rc, e.msg);
	for (uint64_t i = 0; there && i < GRAINS; i++) {
		ssize_t n = pread(out, buf, sizeof(buf), (off_t)(i * STREAM_GRAIN));

		memset(want, 0, sizeof(want));
		if (there[i])
			content(want, key, i);
		fuzz_check(!rc && n >= 0 && !memcmp(buf, want, (size_t)n) && (n || !there[i]), "grain %ju: %s",
			   (uintmax_t)i, e.msg);
	}
	close(fd);
	close(out);
}

/* Bytes of headers and of markers, which begin sectors; fields that mean something. */
static void damage(struct fuzz *f, struct ram *r)
{
	static const uint64_t hurts[] = { 0, 1, 2, 3, 4, 127, 128, 512, 65536, 1u << 31, UINT32_MAX, INT64_MAX,
					  UINT64_MAX };

	for (unsigned n = 1 + fuzz_below(f, 4); n--; ) {
		uint64_t sector = fuzz_below(f, 4) ? fuzz_next(f) % (r->size / SECTOR) : 0;
		uint64_t at = sector * SECTOR + (sector ? fuzz_below(f, 16) : fuzz_below(f, 80));
		uint64_t v = fuzz_below(f, 2) ? hurts[fuzz_below(f, 13)] : fuzz_next(f);
		unsigned len = 1u << fuzz_below(f, 4);

		if (len > 1)
			at &= ~3ull;
		if (at + len <= r->size)
			memcpy(r->data + at, &v, len);
	}
	if (!fuzz_below(f, 6)) {	/* a piece comes twice, or in another place */
		uint64_t from = fuzz_next(f) % (r->size / SECTOR), to = fuzz_next(f) % (r->size / SECTOR);
		uint64_t most = r->size / SECTOR - (from > to ? from : to), n = 1 + fuzz_next(f) % most;

		memmove(r->data + to * SECTOR, r->data + from * SECTOR, (n < 300 ? n : 300) * SECTOR);
	}
	if (!fuzz_below(f, 3))
		ram_set_size(r, fuzz_next(f) % r->size);
}

int main(int argc, char **argv)
{
	bool there[GRAINS];
	struct fuzz f;

	fuzz_start(&f, argc, argv);
	while (f.runs++, clock_ns() < f.end_ns) {
		uint64_t key = fuzz_next(&f);
		uint64_t size = (1 + fuzz_next(&f) % (GRAINS * (STREAM_GRAIN / SECTOR) - 1)) * SECTOR;
		struct ram r = { 0 };
		int n = 0;

		memset(there, 0, sizeof(there));
		write_all(&f, &r, key, size, there);
		for (unsigned i = 0; i < GRAINS; i++)
			n += there[i];
		fuzz_check(read_all(&r, key, there) == n, "one pass");
		read_random(&r, key, size, there);
		convert_all(&f, &r, key, there);
		for (unsigned i = 0; i < 20 && r.size > SECTOR; i++) {
			damage(&f, &r);
			read_all(&r, key, NULL);
			if (!fuzz_below(&f, 4))
				convert_all(&f, &r, key, NULL);
		}
		ram_free(&r);
	}
	return fuzz_done(&f);
}
