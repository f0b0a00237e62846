/*
 * Less file for the same grains: those at the end move into holes in front, and the end is
 * cut off.  Each move is as a write to a new grain, in the order that sparse.c states, so a
 * crash leaves each grain at its old or its new place.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "disk/sparse_impl.h"

struct compaction {
	struct sparse *s;
	uint64_t units;		/* of the file, in grains */
	uint8_t *used;		/* a bit each */
	uint64_t fixed;		/* units from here on hold no directory or table */
	uint64_t cut;		/* grains from here on move */
	bool (*go_on)(void *ptr);
	void *ptr;
	uint8_t *buf;
};

static bool is_used(const struct compaction *c, uint64_t unit)
{
	return c->used[unit / 8] >> (unit % 8) & 1;
}

static void use(struct compaction *c, uint64_t sector, uint64_t n)
{
	uint64_t u = sector / c->s->h.grain, end = (sector + n + c->s->h.grain - 1) / c->s->h.grain;

	for (; u < end && u < c->units; u++)
		c->used[u / 8] |= 1u << (u % 8);
}

static int use_metadata(struct compaction *c, struct err *e)
{
	struct sparse *s = c->s;
	int rc = 0;

	use(c, 0, s->h.overhead);
	use(c, s->h.desc, s->h.desc_size);
	for (unsigned copy = 0; copy < s->copies; copy++) {
		use(c, sparse_directory(s, copy), sparse_gd_sectors(&s->h));
		for (uint64_t i = 0; !rc && i < s->gd_entries; i++) {
			uint32_t table;

			rc = sparse_gd_get(s, copy, i, &table, e);
			if (!rc && table)
				use(c, table, sparse_gt_sectors(&s->h));
		}
	}
	for (uint64_t u = 0; u < c->units; u++)
		if (is_used(c, u))
			c->fixed = u + 1;
	return rc;
}

/* Call fn for each grain that has data.  Tables change meanwhile, so they are looked up
 * anew for each. */
static int each_grain(struct compaction *c,
		      int (*fn)(struct compaction *c, uint64_t grain, uint32_t gte, struct err *e),
		      struct err *e)
{
	uint64_t n, block;

	for (uint64_t grain = 0; grain < sparse_grains(c->s); grain += n) {
		uint8_t *p, entries[SECTOR];
		int rc = sparse_entries(c->s, 0, grain, false, &p, &n, &block, e);

		if (p && !rc)
			memcpy(entries, p, n * 4);
		for (uint64_t k = 0; p && !rc && k < n; k++) {
			uint32_t gte = le32_get(entries + k * 4);

			if (sparse_is_grain(c->s, gte))
				rc = fn(c, grain + k, gte, e);
		}
		if (rc)
			return rc;
	}
	return 0;
}

static int use_grain(struct compaction *c, uint64_t grain, uint32_t gte, struct err *e)
{
	if (gte % c->s->h.grain)
		return err_set(e, -ENOTSUP, "grains do not lie at multiples of their size");
	/* The file may be longer than what is used: damaged entries say that, too. */
	if (!sparse_in_file(c->s, gte) || gte / c->s->h.grain >= c->units ||
	    is_used(c, gte / c->s->h.grain))
		return err_set(e, -EBADMSG, "grain %" PRIu64 " lies outside the file or in "
			       "something else: check it first", grain);
	use(c, gte, c->s->h.grain);
	return 0;
}

/* Holes become free room, from the front on. */
static int collect_holes(struct compaction *c, struct err *e)
{
	struct sparse_spans *l = &c->s->free;
	uint64_t grain = c->s->x.grain;

	l->n = 0;
	if (!l->size || l->size < SPARSE_SPANS_MAX) {
		struct sparse_span *v = realloc(l->v, SPARSE_SPANS_MAX * sizeof(*v));

		if (!v)
			return err_set(e, -ENOMEM, "no memory for a list of holes");
		l->v = v;
		l->size = SPARSE_SPANS_MAX;
	}
	for (uint64_t u = 0; u < c->units; u++) {
		struct sparse_span *last = l->n ? &l->v[l->n - 1] : NULL;

		if (is_used(c, u))
			continue;
		if (last && last->off + last->len == u * grain)
			last->len += grain;
		else if (l->n < SPARSE_SPANS_MAX)
			l->v[l->n++] = (struct sparse_span){ u * grain, grain };
		else
			break;
	}
	if (l->n && l->v[l->n - 1].off + l->v[l->n - 1].len >= c->s->end)
		c->s->end = l->v[--l->n].off;
	return 0;
}

/* Where the grains behind it have just room in the holes before it. */
static void find_cut(struct compaction *c)
{
	const struct sparse_spans *l = &c->s->free;
	uint64_t holes = 0, grains = 0;
	size_t i = l->n;

	for (size_t k = 0; k < l->n; k++)
		holes += l->v[k].len / c->s->x.grain;
	for (c->cut = c->units; c->cut > c->fixed; c->cut--) {
		uint64_t u = c->cut - 1;

		while (i && l->v[i - 1].off / c->s->x.grain > u)
			i--;
		if (!is_used(c, u)) {
			/* One that was not collected is no hole. */
			if (i && u * c->s->x.grain < l->v[i - 1].off + l->v[i - 1].len)
				holes--;
		} else if (++grains > holes) {
			break;
		}
	}
}

static int move_grain(struct compaction *c, uint64_t grain, uint32_t gte, struct err *e)
{
	struct sparse *s = c->s;
	struct disk_run run = { .kind = DISK_DATA, .file = s->x.file };
	uint64_t from = (uint64_t)gte * SECTOR, have = s->x.file->size - from;
	int rc;

	if (gte / s->h.grain < c->cut)
		return 0;
	if (c->go_on && !c->go_on(c->ptr))
		return err_set(e, -EINTR, "stopped");
	rc = sparse_room(s, s->x.grain, &run.off, &run.len, e);
	if (rc)
		return rc;
	if (run.off >= from) {	/* no hole is left: it stays where it is */
		sparse_give_back(s, run.off, run.len);
		return 0;
	}
	memset(c->buf, 0, s->x.grain);
	rc = file_read(s->x.file, c->buf, have < s->x.grain ? have : s->x.grain, from, e);
	if (!rc)
		rc = file_write(s->x.file, c->buf, s->x.grain, run.off, e);
	return rc ? rc : s->x.ops->commit(&s->x, grain * s->x.grain, &run, e);
}

int sparse_compact(struct extent *x, bool (*go_on)(void *ptr), void *ptr, struct err *e)
{
	struct sparse *s = sparse_of(x);
	struct compaction c = {
		.s = s, .go_on = go_on, .ptr = ptr,
	};
	int rc = sparse_mark(s, e);
	uint64_t end;

	if (!rc)
		rc = x->ops->flush(x, e);
	/* What lies behind the end is taken from there, and is no hole.  A damaged overHead
	 * says an end that is in no file. */
	end = s->end < x->file->size ? s->end : x->file->size;
	c.units = sparse_round_up(end, x->grain) / x->grain;
	c.used = calloc(1, c.units / 8 + 1);
	c.buf = malloc(x->grain);
	if (!rc && (!c.used || !c.buf))
		rc = err_set(e, -ENOMEM, "no memory for a map of the file");
	if (!rc)
		rc = use_metadata(&c, e);
	if (!rc)
		rc = each_grain(&c, use_grain, e);
	if (rc == -ENOTSUP)	/* of another writer: it stays as it is */
		goto out;
	if (!rc)
		rc = collect_holes(&c, e);
	if (!rc) {
		find_cut(&c);
		rc = each_grain(&c, move_grain, e);
	}
	if (!rc)
		rc = x->ops->flush(x, e);
	if (!rc && !x->file->device && s->end < x->file->size)
		rc = file_resize(x->file, s->end, e);
out:
	free(c.used);
	free(c.buf);
	return rc == -ENOTSUP ? 0 : rc;
}
