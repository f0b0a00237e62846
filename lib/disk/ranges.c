#include "disk/ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int grow(struct ranges *l, size_t n)
{
	size_t room = l->room ? l->room : 16;
	struct range *r;

	while (room < n)
		room *= 2;
	if (room == l->room)
		return 0;
	r = realloc(l->r, room * sizeof(*r));
	if (!r)
		return -ENOMEM;
	l->r = r;
	l->room = room;
	return 0;
}

int ranges_add(struct ranges *l, uint64_t start, uint64_t len)
{
	struct range *last = l->n ? &l->r[l->n - 1] : NULL;

	if (last && last->start + last->len == start) {
		last->len += len;
		return 0;
	}
	if (grow(l, l->n + 1))
		return -ENOMEM;
	l->r[l->n++] = (struct range){ start, len };
	return 0;
}

uint64_t ranges_take(struct ranges *l, uint64_t want, uint64_t unit, uint64_t *start)
{
	for (size_t i = l->n; i-- > 0;) {
		struct range *r = &l->r[i];
		uint64_t n = r->len < want ? r->len : want;

		n -= n % unit;
		if (!n)
			continue;
		*start = r->start;
		r->start += n;
		r->len -= n;
		if (!r->len)
			*r = l->r[--l->n];
		return n;
	}
	return 0;
}

int ranges_remove(struct ranges *l, uint64_t start, uint64_t len)
{
	for (size_t i = 0; i < l->n; i++) {
		struct range *r = &l->r[i], old = *r;
		uint64_t before = start - old.start, behind = old.len - before - len;

		if (start < old.start || before > old.len || len > old.len - before)
			continue;
		if (before && behind) {
			if (grow(l, l->n + 1))
				return -ENOMEM;
			l->r[i].len = before;
			l->r[l->n++] = (struct range){ start + len, behind };
		} else if (before || behind) {
			*r = before ? (struct range){ old.start, before } :
				      (struct range){ start + len, behind };
		} else {
			*r = l->r[--l->n];
		}
		return 0;
	}
	return -ENOENT;
}

uint64_t ranges_gap(const struct ranges *l, uint64_t start, uint64_t len, uint64_t *end)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct range *r = &l->r[i];

		if (r->start + r->len <= start || (r->start > start && r->start - start >= len))
			continue;
		len = r->start > start ? r->start - start : 0;
		*end = r->start + r->len;
		if (!len)
			break;
	}
	return len;
}

static int by_start(const void *pa, const void *pb)
{
	const struct range *a = pa, *b = pb;

	return a->start < b->start ? -1 : a->start > b->start;
}

void ranges_sort(struct ranges *l)
{
	size_t k = 0;

	if (l->n < 2)
		return;
	qsort(l->r, l->n, sizeof(*l->r), by_start);
	for (size_t i = 1; i < l->n; i++) {
		if (l->r[k].start + l->r[k].len == l->r[i].start)
			l->r[k].len += l->r[i].len;
		else
			l->r[++k] = l->r[i];
	}
	l->n = k + 1;
}

int ranges_move(struct ranges *a, struct ranges *b)
{
	if (!b->n)
		return 0;
	if (grow(a, a->n + b->n))
		return -ENOMEM;
	memcpy(a->r + a->n, b->r, b->n * sizeof(*b->r));
	a->n += b->n;
	b->n = 0;
	return 0;
}

void ranges_free(struct ranges *l)
{
	free(l->r);
	*l = (struct ranges){ 0 };
}
