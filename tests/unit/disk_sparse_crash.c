/* A crash at any point of a session with a hosted sparse extent: it opens, each grain
 * is as it was at the last flush or as a later operation left it, and nothing is
 * damaged. */
#include "base/le.h"
#include "sparse_rig.h"

#define GRAIN	4096u
enum { H_RGD = 0x30, H_GD = 0x38 };
#define GRAINS	1200u		/* three tables */
#define STATES	64u		/* of one grain since the last flush, at most */

/* What a grain may be found as: 0 is zeros, others the number of a write. */
struct allowed {
	uint32_t state[STATES];
	unsigned n;
};

struct model {
	struct allowed grain[GRAINS];
	size_t nops;		/* changes of the file when this held */
};

static void pattern(uint8_t *buf, uint32_t state)
{
	for (unsigned i = 0; i < GRAIN; i += 4)
		le32_put(buf + i, state);
}

static void may_be(struct model *m, uint64_t grain, uint32_t state)
{
	struct allowed *a = &m->grain[grain];

	if (a->n == STATES) {
		check(0, "more states than there is room for");
		return;
	}
	a->state[a->n++] = state;
}

/* Only the last state is left. */
static void flushed(struct model *m)
{
	for (unsigned i = 0; i < GRAINS; i++) {
		struct allowed *a = &m->grain[i];

		a->state[0] = a->state[a->n - 1];
		a->n = 1;
	}
}

static void is_allowed(const struct model *m, struct extent *x, const char *what)
{
	uint8_t buf[GRAIN], want[GRAIN];

	for (unsigned i = 0; i < GRAINS; i++) {
		const struct allowed *a = &m->grain[i];
		unsigned k = 0;

		if (rig_read(x, (uint64_t)i * GRAIN, buf, GRAIN)) {
			check(0, "%s: grain %u: %s", what, i, e.msg);
			return;
		}
		for (; k < a->n; k++) {
			pattern(want, a->state[k]);
			if (!memcmp(buf, want, GRAIN))
				break;
		}
		check(k < a->n, "%s: grain %u holds %u %u", what, i, le32_get(buf),
		      le32_get(buf + GRAIN - 4));
	}
}

/* What there is after a crash behind change n. */
static void crash(const struct ram *base, const struct ram *r, size_t n, const struct model *m,
		  uint64_t *seed)
{
	struct ram c = ram_crash(base, r, n, seed);
	struct findings f;
	struct extent *x = rig_open(&c, false);

	if (!x)
		return;
	is_allowed(m, x, "read only");
	f = rig_check(x, false);
	check(!f.damage, "change %zu: %s: %s", n, f.kinds, f.last);
	extent_close(x);
	x = rig_open(&c, true);
	if (x) {
		is_allowed(m, x, "opened again");
		f = rig_check(x, false);
		check(!f.damage && !strstr(f.kinds, "mismatch"), "change %zu, settled: %s: %s", n,
		      f.kinds, f.last);
		extent_close(x);
	}
	ram_free(&c);
}

/* Some operations, and a crash behind each of the changes that they make. */
static void session(uint64_t seed, bool zeroed, bool no_tables)
{
	struct ram r = { 0 }, base;
	struct model *m = calloc(1, sizeof(*m));
	uint8_t *buf = malloc(16 * GRAIN);
	uint32_t state = 1;
	struct extent *x;

	rig_create(&r, &(struct sparse_create){ .size = (uint64_t)GRAINS * GRAIN, .grain = GRAIN,
						.zeroed = zeroed });
	if (no_tables)		/* as other writers make them: tables come when needed */
		for (unsigned at = H_RGD; at <= H_GD; at += 8)
			memset(r.data + le64_get(r.data + at) * SECTOR, 0, 12);
	base = ram_copy(&r);
	r.logging = true;
	for (unsigned i = 0; i < GRAINS; i++)
		may_be(m, i, 0);
	x = rig_open(&r, true);
	for (unsigned i = 0; i < 60; i++) {
		uint64_t grain = ram_rand(&seed) % GRAINS, n = 1 + ram_rand(&seed) % 16;
		unsigned what = ram_rand(&seed) % 8;
		size_t from = r.nops;

		if (n > GRAINS - grain)
			n = GRAINS - grain;
		if (what < 4) {
			for (uint64_t k = 0; k < n; k++) {
				/* A write over what is there is not whole or nothing. */
				struct disk_run run;

				x->ops->map(x, (grain + k) * GRAIN, GRAIN, &run, &e);
				if (run.kind == DISK_DATA)
					n = k;
			}
			for (uint64_t k = 0; k < n; k++, state++) {
				pattern(buf + k * GRAIN, state);
				may_be(m, grain + k, state);
			}
			check(!rig_write(x, grain * GRAIN, buf, n * GRAIN), "%s", e.msg);
		} else if (what < 6) {
			for (uint64_t k = 0; k < n; k++)
				may_be(m, grain + k, 0);
			check(!x->ops->drop(x, grain * GRAIN, n * GRAIN, !zeroed, &e), "%s", e.msg);
		} else if (what == 6) {
			if (ram_rand(&seed) % 2)
				check(!x->ops->compact(x, NULL, NULL, &e), "%s", e.msg);
			else
				check(!x->ops->flush(x, &e), "%s", e.msg);
		} else {
			x->ops->flush(x, &e);
			extent_close(x);
			x = rig_open(&r, true);
		}
		/* Until the flush has returned all that was allowed is. */
		for (size_t k = from + 1; k <= r.nops; k++)
			if (ram_rand(&seed) % 8 == 0 || k == r.nops)
				crash(&base, &r, k, m, &seed);
		if (what >= 6)
			flushed(m);
	}
	extent_close(x);
	free(m);
	free(buf);
	ram_free(&base);
	ram_free(&r);
}

/* Writes and syncs that fail now and then: an operation was done or was not, what follows
 * works, and nothing is damaged. */
static void failing(uint64_t seed)
{
	struct ram r = { 0 };
	struct model *m = calloc(1, sizeof(*m));
	uint8_t buf[GRAIN];
	struct findings f;
	struct extent *x;

	rig_create(&r, &(struct sparse_create){ .size = (uint64_t)GRAINS * GRAIN, .grain = GRAIN });
	for (unsigned at = H_RGD; at <= H_GD; at += 8)
		memset(r.data + le64_get(r.data + at) * SECTOR, 0, 12);
	for (unsigned i = 0; i < GRAINS; i++)
		may_be(m, i, 0);
	x = rig_open(&r, true);
	for (uint32_t state = 1; state < 400; state++) {
		uint64_t grain = ram_rand(&seed) % GRAINS;
		unsigned what = ram_rand(&seed) % 8;
		struct disk_run run;
		int rc;

		r.fail_in = ram_rand(&seed) % 3 ? 0 : 1 + ram_rand(&seed) % 6;
		if (what < 5) {
			pattern(buf, state);
			rc = x->ops->alloc(x, grain * GRAIN, GRAIN, &run, &e);
			if (!rc) {
				rc = file_write(run.file, buf, GRAIN, run.off, &e);
				if (!rc)
					rc = x->ops->commit(x, grain * GRAIN, &run, &e);
				if (rc)
					x->ops->cancel(x, &run);
			}
			if (!rc)
				m->grain[grain] = (struct allowed){ { state }, 1 };
		} else if (what == 5) {
			rc = x->ops->drop(x, grain * GRAIN, GRAIN, true, &e);
			if (!rc)
				m->grain[grain] = (struct allowed){ { 0 }, 1 };
		} else if (what == 6) {
			x->ops->flush(x, &e);
		} else {
			x->ops->compact(x, NULL, NULL, &e);
		}
		r.fail_in = 0;
		if (state % 20 == 0)
			is_allowed(m, x, "after errors");
	}
	check(!x->ops->flush(x, &e), "%s", e.msg);
	f = rig_check(x, false);
	check(!f.damage, "after errors: %s", f.last);
	extent_close(x);
	x = rig_open(&r, true);
	is_allowed(m, x, "after errors, opened again");
	f = rig_check(x, false);
	check(!f.damage, "after errors, opened again: %s", f.last);
	extent_close(x);
	free(m);
	ram_free(&r);
}

/* Growing and shrinking: the data stay, the size is the old or the new one. */
static void resizing(uint64_t seed)
{
	static const uint64_t to[] = { 5000 * GRAIN, 9000 * GRAIN + 512, 1300 * GRAIN };
	struct ram r = { 0 }, base;
	uint8_t buf[GRAIN], got[GRAIN];
	uint64_t was = 1200 * GRAIN;
	struct extent *x;

	rig_create(&r, &(struct sparse_create){ .size = was, .grain = GRAIN });
	x = rig_open(&r, true);
	pattern(buf, 77);
	rig_write(x, 1100 * GRAIN, buf, GRAIN);
	x->ops->flush(x, &e);
	base = ram_copy(&r);
	r.logging = true;
	for (unsigned i = 0; i < sizeof(to) / sizeof(*to); i++) {
		size_t from = r.nops;

		check(!x->ops->resize(x, to[i], &e), "%s", e.msg);
		for (size_t k = from; k <= r.nops; k++) {
			struct ram c = ram_crash(&base, &r, k, &seed);
			struct extent *y = rig_open(&c, k % 2);
			struct findings f;

			if (!y)
				continue;
			check(y->size == was || y->size == to[i], "%ju", (uintmax_t)y->size);
			check(!rig_read(y, 1100 * GRAIN, got, GRAIN) && !memcmp(got, buf, GRAIN), "data");
			f = rig_check(y, false);
			check(!f.damage, "%s", f.last);
			extent_close(y);
			ram_free(&c);
		}
		was = to[i];
	}
	extent_close(x);
	ram_free(&base);
	ram_free(&r);
}

/* Creating: there is no sparse extent, or a good one. */
static void creating(uint64_t seed)
{
	struct ram r = { .logging = true }, base = { 0 };

	rig_create(&r, &(struct sparse_create){ .size = 1200 * GRAIN, .desc = "x", .desc_len = 1 });
	for (size_t k = 0; k <= r.nops; k++) {
		struct ram c = ram_crash(&base, &r, k, &seed);
		struct disk_file *f = ram_open(&c, false);
		struct extent_params p = { 0 };
		struct extent *x;

		if (sparse_open(&x, f, &p, &e)) {
			check(k < r.nops, "%s", e.msg);
			file_close(f);
		} else {
			struct findings n = rig_check(x, false);

			check(!n.damage && c.data[SECTOR] == 'x', "change %zu: %s", k, n.last);
			extent_close(x);
		}
		ram_free(&c);
	}
	ram_free(&r);
}

int main(void)
{
	for (uint64_t seed = 1; seed <= 6; seed++)
		session(seed, seed % 2, seed % 3 == 0);
	for (uint64_t seed = 1; seed <= 6; seed++)
		resizing(seed);
	for (uint64_t seed = 1; seed <= 10; seed++)
		failing(seed);
	creating(1);
	return check_done();
}
