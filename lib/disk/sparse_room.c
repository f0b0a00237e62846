/* Where new grains and tables of a hosted sparse extent go. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "disk/sparse_impl.h"

#define FILE_MAX	(UINT64_C(1) << (32 + SECTOR_SHIFT))	/* sectors are 32-bit */
#define CHUNK_MIN	(1u << 20)	/* the file grows by a 16th, within these bounds */
#define CHUNK_MAX	(64u << 20)

static int grow(struct sparse *s, uint64_t to, struct err *e)
{
	uint64_t size = s->x.file->size, chunk = size / 16;

	if (to > FILE_MAX)
		return err_set(e, -EFBIG, "%s: a sparse extent's file cannot be longer than 2 TiB",
			       s->x.file->path);
	if (to <= size)
		return 0;
	if (s->x.file->device)
		return err_set(e, -ENOSPC, "%s: no room is left on the device", s->x.file->path);
	if (chunk < CHUNK_MIN)
		chunk = CHUNK_MIN;
	if (chunk > CHUNK_MAX)
		chunk = CHUNK_MAX;
	if (size + chunk > to && size + chunk <= FILE_MAX &&
	    !file_resize(s->x.file, size + chunk, NULL))
		return 0;
	return file_resize(s->x.file, to, e);
}

/* The first free span that holds len, else the longest. */
static struct sparse_span *find_free(struct sparse *s, uint64_t len)
{
	struct sparse_span *best = NULL;

	for (size_t i = 0; i < s->free.n; i++) {
		struct sparse_span *sp = &s->free.v[i];

		if (sp->len >= len)
			return sp;
		if (sp->len >= s->x.grain && (!best || sp->len > best->len))
			best = sp;
	}
	return best;
}

int sparse_room(struct sparse *s, uint64_t len, uint64_t *off, uint64_t *got,
		struct err *e)
{
	struct sparse_span *sp = find_free(s, len);
	uint64_t at;
	int rc;

	if (sp) {
		if (len > sp->len)
			len = sp->len / s->x.grain * s->x.grain;
		*off = sp->off;
		*got = len;
		sp->off += len;
		sp->len -= len;
		return 0;
	}
	at = sparse_round_up(s->end, s->x.grain);
	rc = grow(s, at + len, e);
	if (rc)
		return rc;
	s->end = at + len;
	*off = at;
	*got = len;
	return 0;
}

int sparse_room_at_end(struct sparse *s, uint64_t sectors, uint64_t *sector,
		       struct err *e)
{
	uint64_t at = sparse_round_up(s->end, SECTOR);
	int rc = grow(s, at + sectors * SECTOR, e);

	if (rc)
		return rc;
	s->end = at + sectors * SECTOR;
	*sector = at / SECTOR;
	return 0;
}

/* Room for n more; false: no memory. */
static bool reserve(struct sparse_spans *l, size_t n)
{
	size_t size = l->size ? l->size : 64;
	struct sparse_span *v;

	while (size < l->n + n)
		size *= 2;
	if (size == l->size)
		return true;
	v = realloc(l->v, size * sizeof(*v));
	if (!v)
		return false;
	l->v = v;
	l->size = size;
	return true;
}

void sparse_give_back(struct sparse *s, uint64_t off, uint64_t len)
{
	struct sparse_spans *l = &s->pending;

	if (l->n && l->v[l->n - 1].off + l->v[l->n - 1].len == off)
		l->v[l->n - 1].len += len;
	else if (l->n < SPARSE_PENDING_MAX && reserve(l, 1))
		l->v[l->n++] = (struct sparse_span){ off, len };
}

static int by_off(const void *pa, const void *pb)
{
	const struct sparse_span *a = pa, *b = pb;

	return a->off < b->off ? -1 : a->off > b->off;
}

/* Join neighbours; what overlaps (two entries had named one grain) counts once. */
static void coalesce(struct sparse_spans *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		struct sparse_span *last = n ? &l->v[n - 1] : NULL, sp = l->v[i];

		if (!sp.len)
			continue;
		if (last && last->off + last->len >= sp.off) {
			if (sp.off + sp.len > last->off + last->len)
				last->len = sp.off + sp.len - last->off;
		} else {
			l->v[n++] = sp;
		}
	}
	l->n = n;
}

/* Both are sorted. */
static void merge(struct sparse_spans *into, const struct sparse_spans *from)
{
	size_t i = into->n, j = from->n, k = i + j;

	into->n = k;
	while (j) {
		if (i && into->v[i - 1].off > from->v[j - 1].off)
			into->v[--k] = into->v[--i];
		else
			into->v[--k] = from->v[--j];
	}
	coalesce(into);
}

void sparse_given_back(struct sparse *s)
{
	struct sparse_spans *l = &s->pending, *fr = &s->free;

	if (!l->n)
		return;
	qsort(l->v, l->n, sizeof(*l->v), by_off);
	coalesce(l);
	/* A file system that cannot punch leaves the room to be used again. */
	for (size_t i = 0; i < l->n && !s->x.file->device; i++)
		if (file_punch(s->x.file, l->v[i].off, l->v[i].len, NULL))
			break;
	if (reserve(fr, l->n))
		merge(fr, l);
	l->n = 0;
	if (fr->n && fr->v[fr->n - 1].off + fr->v[fr->n - 1].len == s->end)
		s->end = fr->v[--fr->n].off;
	if (fr->n > SPARSE_SPANS_MAX)
		fr->n = SPARSE_SPANS_MAX;
}

void sparse_spans_free(struct sparse_spans *l)
{
	free(l->v);
}
