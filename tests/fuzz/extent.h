#ifndef EXTENT_FUZZ_H
#define EXTENT_FUZZ_H
/*
 * What fuzzers of sparse extents share: a sound file is damaged at random, opened, and
 * used in every way.  Whatever its bytes, a call returns 0 or an error with a sentence,
 * soon; a run that is told lies in the file or is refused when it is read; what a repair
 * calls mended is clean afterwards, what could be read still can, and is the same where
 * there was no damage.
 */
#include <time.h>

#include "../unit/disk_rig.h"
#include "fuzz.h"

#define FUZZ_FILE_MAX	(64u << 20)	/* bytes of the file */
#define FUZZ_GRAIN_MAX	(256u << 10)	/* bytes: larger ones are not worth their time */
#define FUZZ_SURVEY	9000u		/* grains */
#define FUZZ_SLOW_NS	(3 * NS_PER_SEC)	/* of processor time, for one file */

typedef int fuzz_open_fn(struct extent **, struct disk_file *, const struct extent_params *,
			 struct err *);

struct fuzz_found {
	unsigned damage, mended, leaks;
	char last[240];		/* of damage */
};

static inline void __attribute__((format(printf, 5, 6)))
fuzz_report(void *ptr, const char *kind, bool leak, bool repaired, const char *fmt, ...)
{
	struct fuzz_found *f = ptr;
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	fuzz_check(vsnprintf(text, sizeof(text), fmt, ap) < (int)sizeof(f->last), "%s: too long", kind);
	va_end(ap);
	f->leaks += leak;
	f->damage += !leak;
	f->mended += !leak && repaired;
	if (!leak)
		memcpy(f->last, text, sizeof(f->last));
}

static inline void fuzz_rc(int rc, const struct err *e, const char *what)
{
	fuzz_check(rc <= 0 && rc > -200, "%s: %d", what, rc);
	fuzz_check(!rc || (e->code == rc && e->msg[0] && !strchr(e->msg, '\n')),
		   "%s: %d, but code %d and \"%s\"", what, rc, e->code, e->msg);
}

/* Change some words or bytes of the file, most of them where headers and tables are. */
static inline void fuzz_damage(struct fuzz *f, struct mem_image *m, const uint64_t *place,
			       unsigned places)
{
	static const uint64_t value[] = {
		0, 1, 2, 3, 7, 8, 63, 64, 511, 512, 4095, 4096, 0x7fffffff, 0x80000000,
		0xffffffff, 0x100000000, 1ull << 53, 1ull << 60, 2ull << 60, 3ull << 60,
		4ull << 60, 1ull << 63, UINT64_MAX,
	};

	for (unsigned n = fuzz_below(f, 6); n; n--) {
		uint64_t at, v = value[fuzz_below(f, sizeof(value) / sizeof(value[0]))];
		unsigned len = 1u << fuzz_below(f, 4);

		at = fuzz_below(f, 8) ? place[fuzz_below(f, places)] + fuzz_below(f, 40) * 4 :
					fuzz_next(f) % m->size;
		if (fuzz_below(f, 4) == 0)
			v += fuzz_below(f, 5) - 2;
		if (fuzz_below(f, 4) == 0)
			v = fuzz_next(f);
		if (fuzz_below(f, 4) == 0 && m->size > 64)
			memcpy(&v, m->p + fuzz_next(f) % (m->size - 8), 8);
		/* The entry of a neighbour: two that say the same. */
		if (fuzz_below(f, 4) == 0 && at < m->size) {
			uint64_t from = (at & ~7ull) ^ (8ull << fuzz_below(f, 3));

			at &= ~7ull;
			len = 8;
			if (from + 8 <= m->size)
				memcpy(&v, m->p + from, 8);
		}
		if (at + len <= m->size)
			memcpy(m->p + at, &v, len);
	}
	if (fuzz_below(f, 12) == 0) {	/* a whole map, or table */
		uint64_t at = place[fuzz_below(f, places)], n = 512ull << fuzz_below(f, 4);

		if (at + n <= m->size)
			memset(m->p + at, fuzz_below(f, 2) ? 0xff : 0, n);
	}
	if (fuzz_below(f, 10) == 0)
		mem_set_size(m, fuzz_below(f, 2) ? fuzz_next(f) % (m->size + 1) :
						   fuzz_below(f, 5000));
}

/* A sum of a grain's bytes, or 0 where they cannot be had. */
static inline uint64_t fuzz_unpack(struct extent *x, const struct disk_run *run)
{
	struct err e = { 0 };
	uint64_t sum = 1;
	uint8_t *buf;
	int rc;

	if (x->grain > FUZZ_GRAIN_MAX)
		return 1;
	buf = malloc(x->grain);		/* all of it, and no byte more */
	rc = x->ops->unpack(x, run, buf, &e);
	fuzz_rc(rc, &e, "unpack");
	for (uint64_t i = 0; !rc && i < x->grain; i++)
		sum = (sum ^ buf[i]) * 0x100000001b3;
	free(buf);
	return rc ? 0 : sum | 1;
}

/* What the first grains hold, as one number each; 0: they cannot be read. */
static inline uint64_t *fuzz_survey(struct extent *x)
{
	uint64_t *sum = calloc(FUZZ_SURVEY, sizeof(*sum));
	uint8_t buf[SECTOR];

	for (uint64_t i = 0; i < FUZZ_SURVEY && i * x->grain < x->size; i++) {
		struct disk_run run;
		struct err e = { 0 };

		if (x->ops->map(x, i * x->grain, SECTOR, &run, &e))
			continue;
		if (run.kind == DISK_PACKED) {
			sum[i] = fuzz_unpack(x, &run);
		} else if (run.kind != DISK_DATA) {
			sum[i] = 2u + run.kind;
		} else if (!file_read(run.file, buf, SECTOR, run.off, &e)) {
			for (unsigned k = 0; k < SECTOR; k++)
				sum[i] = (sum[i] ^ buf[k]) * 0x100000001b3;
			sum[i] |= 1;
		}
	}
	return sum;
}

static inline void fuzz_map(struct fuzz *f, struct extent *x)
{
	uint8_t buf[4096];

	for (unsigned i = 0; i < 20; i++) {
		uint64_t off = fuzz_next(f) % (x->size / SECTOR), len;
		struct disk_run run;
		struct err e = { 0 };
		int rc;

		if (i & 1)
			off = fuzz_below(f, 40000) % (x->size / SECTOR);
		off *= SECTOR;
		len = x->size - off;
		rc = x->ops->map(x, off, fuzz_below(f, 2) ? SECTOR : len, &run, &e);
		fuzz_rc(rc, &e, "map");
		if (rc)
			continue;
		fuzz_check(run.len && run.len % SECTOR == 0 && run.len <= len,
			   "run of %llu", (unsigned long long)run.len);
		if (run.kind == DISK_PACKED)
			fuzz_unpack(x, &run);
		if (run.kind != DISK_DATA)
			continue;
		fuzz_check(run.off % SECTOR == 0 && run.file == x->file &&
			   run.off <= x->file->size &&	/* which may end inside a sector */
			   run.len < x->file->size - run.off + SECTOR,
			   "data outside the file");
		rc = file_read(run.file, buf, run.len < 4096 ? run.len : 4096, run.off, &e);
		fuzz_rc(rc, &e, "read");
	}
}

static inline void fuzz_write(struct fuzz *f, struct extent *x)
{
	uint64_t sectors = x->size / SECTOR, at = fuzz_next(f) % sectors, n;
	uint8_t *buf = calloc(64, SECTOR);
	struct err e = { 0 };
	int rc;

	if (fuzz_below(f, 2))
		at = fuzz_below(f, 40000) % sectors;
	n = 1 + fuzz_below(f, 64);
	if (n > sectors - at)
		n = sectors - at;
	if (fuzz_below(f, 2)) {
		rc = rig_put(x, at * SECTOR, n * SECTOR, buf, &e);
	} else {
		uint64_t off = at * SECTOR / x->grain * x->grain;

		rc = x->ops->drop(x, off, x->grain < x->size - off ? x->grain : x->size - off,
				  fuzz_below(f, 2), &e);
	}
	fuzz_rc(rc, &e, "write");
	free(buf);
}

static inline void fuzz_checks(struct extent *x, bool repair)
{
	uint64_t *before = repair ? fuzz_survey(x) : NULL, *after;
	struct fuzz_found found = { 0 };
	struct extent_check k = { .repair = repair, .ptr = &found, .report = fuzz_report };
	struct err e = { 0 };
	int rc = (x->ops->check)(x, &k, &e);
	bool mended = repair && !rc && found.damage == found.mended, same = !found.damage;

	fuzz_rc(rc, &e, "check");
	fuzz_check(repair || !found.mended, "mended without being asked");
	if (mended) {
		after = fuzz_survey(x);
		for (unsigned i = 0; i < FUZZ_SURVEY; i++)
			fuzz_check(before[i] == after[i] || (!same && (after[i] || !before[i])),
				   "grain %u is %s after a repair", i, after[i] ? "another" : "unreadable");
		free(after);
		found.damage = found.mended = 0;
		k.repair = false;
		rc = (x->ops->check)(x, &k, &e);
		fuzz_rc(rc, &e, "check again");
		fuzz_check(!rc && !found.damage, "after a repair: %s", rc ? e.msg : found.last);
	}
	free(before);
}

/* One damaged file: image is what it is made of. */
static inline void fuzz_extent(struct fuzz *f, fuzz_open_fn *open,
			       const struct mem_image *image, const uint64_t *place,
			       unsigned places)
{
	struct extent_params p = {
		.writable = fuzz_below(f, 4), .mend = fuzz_below(f, 2),
		.cache = fuzz_below(f, 2) ? 16384 : 0,
		.size = fuzz_below(f, 8) ? 0 : (1 + fuzz_below(f, 100000)) * SECTOR,
	};
	struct mem_disk d = { .max = FUZZ_FILE_MAX };
	struct fuzz_watch w = fuzz_begin(f);
	struct disk_file *file;
	struct extent *x;
	struct err e = { 0 };
	bool can;
	int rc;

	mem_set_size(&d.live, image->size);
	memcpy(d.live.p, image->p, image->size);
	fuzz_damage(f, &d.live, place, places);
	file = mem_file(&d, p.writable);
	rc = open(&x, file, &p, &e);
	fuzz_rc(rc, &e, "open");
	if (rc) {
		file_close(file);
		mem_free(&d);
		return;
	}
	can = p.writable && x->ops->alloc && x->grain <= FUZZ_GRAIN_MAX;
	for (unsigned i = 0; i < 6; i++) {
		unsigned what = !x->size ? 1 : fuzz_below(f, can ? 12 : 2);

		e = (struct err){ 0 };
		if (what == 0)
			fuzz_map(f, x);
		else if (what == 1)
			fuzz_checks(x, p.writable && fuzz_below(f, 2));
		else if (what < 9)
			fuzz_write(f, x);
		else if (what < 11)
			fuzz_rc(x->ops->flush(x, &e), &e, "flush");
		else if (x->ops->compact && fuzz_below(f, 2))
			fuzz_rc(x->ops->compact(x, NULL, NULL, &e), &e, "compact");
		else
			fuzz_rc(x->ops->resize(x, (1 + fuzz_below(f, fuzz_below(f, 4) ? 200000 : 4000000)) *
					       (uint64_t)SECTOR, &e), &e, "resize");
	}
	extent_close(x);
	mem_free(&d);
	fuzz_end(&w, 0, FUZZ_SLOW_NS);
}
#endif
