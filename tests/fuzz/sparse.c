/*
 * Hosted sparse extents with damaged headers, directories, tables and grains: opened,
 * mapped, read, written, resized, checked and mended.  What check() has mended is clean
 * and opens; nothing reads or writes outside of buffers.
 */
#include <stdarg.h>

#include "../unit/ramfile.h"
#include "base/le.h"
#include "disk/pack.h"
#include "disk/sparse.h"
#include "disk/stream.h"
#include "fuzz.h"

#define READ	(256u << 10)	/* bytes looked at in one go */

static struct ram seed[3];

static int append(void *ptr, const void *buf, size_t len, struct err *e)
{
	struct ram *r = ptr;
	uint64_t at = r->size;

	ram_set_size(r, at + len);
	memcpy(r->data + at, buf, len);
	return 0;
}

/* A stream of some grains. */
static void make_stream(struct ram *r, uint8_t *buf)
{
	static const unsigned grains[] = { 0, 1, 5, 511, 512, 700 };
	struct stream_target t = { append, r };
	struct stream_batch *b = calloc(1, sizeof(*b));
	struct pack *p = pack_new(PACK_FAST);
	struct stream_writer *w;

	stream_write_begin(&w, &t, 50u << 20, "# Disk DescriptorFile\n", 22, NULL);
	for (unsigned i = 0; i < sizeof(grains) / sizeof(*grains); i++)
		stream_pack(b, p, grains[i], buf, NULL);
	stream_write_batch(w, b, NULL);
	stream_write_end(w, NULL);
	stream_write_free(w);
	pack_free(p);
	free(b);
}

static void make_sparse(struct ram *r, bool zeroed, const uint8_t *buf)
{
	struct sparse_create c = { .size = 3u << 20, .grain = 4096, .zeroed = zeroed };
	struct extent_params p = { .writable = true };
	struct disk_file *f = ram_open(r, true);
	struct disk_run run;
	struct extent *x;

	sparse_create(f, &c, NULL);
	fuzz_check(!sparse_open(&x, f, &p, NULL), "seed");
	for (unsigned i = 0; i < 700; i += 1 + i % 60) {
		x->ops->alloc(x, i * 4096, 4096, &run, NULL);
		file_write(run.file, buf, run.len, run.off, NULL);
		x->ops->commit(x, i * 4096, &run, NULL);
	}
	x->ops->flush(x, NULL);
	extent_close(x);
}

static void ignore(void *ptr, const char *kind, bool leak, bool repaired, const char *fmt, ...)
{
	unsigned *damage = ptr;
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	*damage += !leak;
}

static void mutate(struct fuzz *f, struct ram *r)
{
	static const unsigned field[] = { 4, 8, 0xc, 0x14, 0x1c, 0x24, 0x2c, 0x30, 0x38, 0x40, 0x48, 0x4d };
	static const uint64_t nice[] = { 0, 1, 2, 3, 127, 128, 512, 1024, 65536, 1u << 20, UINT32_MAX,
					 UINT64_C(1) << 40, INT64_MAX, UINT64_MAX };
	unsigned n = 1 + fuzz_below(f, 6);

	while (n--) {
		uint64_t v = fuzz_below(f, 2) ? nice[fuzz_below(f, 14)] : fuzz_below(f, 40000);
		uint64_t at;

		switch (fuzz_below(f, 5)) {
		case 0:		/* a field of the header */
			at = field[fuzz_below(f, 12)];
			memcpy(r->data + at, &v, fuzz_below(f, 2) ? 4 : 8);
			break;
		case 1:		/* of the footer */
			if (r->size > 2048) {
				at = r->size - 1024 + field[fuzz_below(f, 12)];
				memcpy(r->data + at, &v, fuzz_below(f, 2) ? 4 : 8);
			}
			break;
		case 2:		/* an entry */
			at = fuzz_below(f, 20) * 512 + 512 + fuzz_below(f, 128) * 4;
			if (at + 4 <= r->size)
				memcpy(r->data + at, &v, 4);
			break;
		case 3:		/* any byte */
			if (r->size)
				r->data[fuzz_next(f) % r->size] ^= 1u << fuzz_below(f, 8);
			break;
		default:
			if (r->size > 600 && !fuzz_below(f, 8))
				ram_set_size(r, 600 + fuzz_next(f) % (r->size - 600));
		}
		if (r->size < 512)
			ram_set_size(r, 512);
	}
}

static void look(struct fuzz *f, struct extent *x, uint8_t *buf)
{
	for (unsigned i = 0; i < 20 && x->size; i++) {
		uint64_t off = fuzz_next(f) % (x->size / SECTOR) * SECTOR;
		uint64_t len = (1 + fuzz_below(f, 200)) * SECTOR;
		struct disk_run run;

		if (i < 4)
			off = i * READ % x->size;
		if (len > x->size - off)
			len = x->size - off;
		if (!len || x->ops->map(x, off, len, &run, NULL))
			continue;
		fuzz_check(run.len && run.len <= len && run.len % SECTOR == 0, "run of %ju at %ju",
			   (uintmax_t)run.len, (uintmax_t)off);
		if (run.kind == DISK_DATA)
			file_read(run.file, buf, run.len < READ ? run.len : READ, run.off, NULL);
		if (run.kind == DISK_PACKED)
			x->ops->unpack(x, &run, buf, NULL);
	}
}

static void change(struct fuzz *f, struct extent *x, uint8_t *buf)
{
	for (unsigned i = 0; i < 10 && x->size; i++) {
		uint64_t off = fuzz_next(f) % x->size / x->grain * x->grain;
		uint64_t len = (1 + fuzz_below(f, 3)) * x->grain;
		struct disk_run run;

		if (len > (4u << 20))
			continue;
		switch (fuzz_below(f, 4)) {
		case 0:
			if (off + len > x->size)
				len = x->grain;
			if (!x->ops->alloc(x, off, len, &run, NULL) && run.off < (64u << 20))
				x->ops->commit(x, off, &run, NULL);
			break;
		case 1:
			x->ops->drop(x, off, len < x->size - off ? len : x->size - off,
				     fuzz_below(f, 2), NULL);
			break;
		case 2:
			x->ops->flush(x, NULL);
			break;
		default:
			if (x->size < (64u << 20) && !fuzz_below(f, 4))
				x->ops->resize(x, (1 + fuzz_below(f, 20000)) * SECTOR, NULL);
		}
	}
}

static void one(struct fuzz *f, uint8_t *buf)
{
	struct ram r = ram_copy(&seed[fuzz_below(f, 3)]);
	bool writable = fuzz_below(f, 2);
	struct extent_params p = { .writable = writable, .cache = 65536 };
	unsigned damage = 0;
	struct extent_check c = { .repair = fuzz_below(f, 2), .ptr = &damage, .report = ignore };
	struct disk_file *file;
	struct extent *x;
	int rc = 0;

	if (fuzz_below(f, 16))
		mutate(f, &r);
	file = ram_open(&r, writable);
	if (sparse_open(&x, file, &p, NULL)) {
		file_close(file);
		ram_free(&r);
		return;
	}
	/* Grains of 32 MiB are not worth their time. */
	if (x->grain <= READ)
		look(f, x, buf);
	if (writable && x->ops->alloc && x->grain <= READ && fuzz_below(f, 2))
		change(f, x, buf);
	if (x->grain <= READ && x->size / x->grain < (4u << 20))
		rc = (x->ops->check)(x, &c, NULL);
	if (x->ops->flush)
		x->ops->flush(x, NULL);
	if (!rc && c.repair && x->ops->alloc && writable && r.size < (128u << 20)) {
		damage = 0;
		c.repair = false;
		(x->ops->check)(x, &c, NULL);
	}
	extent_close(x);
	ram_free(&r);
}

int main(int argc, char **argv)
{
	uint8_t *buf = malloc(READ + (32u << 20));
	struct fuzz f;

	for (unsigned i = 0; i < READ; i++)
		buf[i] = (uint8_t)(i * i >> 7);
	make_sparse(&seed[0], false, buf);
	make_sparse(&seed[1], true, buf);
	make_stream(&seed[2], buf);
	fuzz_start(&f, argc, argv);
	while (fuzz_more(&f))
		one(&f, buf);
	free(buf);
	for (unsigned i = 0; i < 3; i++)
		ram_free(&seed[i]);
	return fuzz_done(&f);
}
