#include "bt/tcache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bt/unit.h"

#define TC_CODE		(TC_ARENA - TC_UNITS_MAX * sizeof(uint32_t))

int tcache_open(struct tcache *t, struct err *e)
{
	uint8_t *p;
	int rc;

	*t = (struct tcache){ .fd = -1, .len = (size_t)TC_ARENA * TC_ARENAS };
	t->fd = memfd_create("ring1-code", MFD_CLOEXEC);
	if (t->fd < 0)
		return err_sys(e, -errno, "translation cache: memfd_create");
	if (ftruncate(t->fd, (off_t)t->len) < 0) {
		rc = err_set(e, -ENOMEM, "translation cache: %s (a file size limit?)",
			     strerror(errno));
		goto out;
	}
	/* Both mappings side by side, so that code reaches its counters by rel32. */
	p = mmap(NULL, 2 * t->len, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED) {
		rc = err_sys(e, -errno, "translation cache: mmap");
		goto out;
	}
	t->rx = mmap(p, t->len, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, t->fd, 0);
	t->rw = mmap(p + t->len, t->len, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_FIXED, t->fd, 0);
	if (t->rx == MAP_FAILED || t->rw == MAP_FAILED) {
		rc = err_sys(e, -errno, "translation cache: mmap");
		munmap(p, 2 * t->len);
		goto out;
	}
	return 0;
out:
	close(t->fd);
	t->fd = -1;
	return rc;
}

void tcache_reset(struct tc_arena *a)
{
	for (size_t i = 0; i < a->nunits; i++)
		unit_free(a->unit[i]);
	a->nunits = 0;
	a->used = 0;
}

void tcache_close(struct tcache *t)
{
	if (t->fd < 0)
		return;
	for (unsigned i = 0; i < TC_ARENAS; i++) {
		tcache_reset(&t->arena[i]);
		free(t->arena[i].unit);
	}
	munmap(t->rx, 2 * t->len);
	close(t->fd);
	t->fd = -1;
}

uint8_t *tcache_room(struct tcache *t)
{
	struct tc_arena *a = &t->arena[t->cur];

	if (TC_CODE - a->used < TC_UNIT_MAX || a->nunits == TC_UNITS_MAX)
		return NULL;
	return t->rw + (size_t)t->cur * TC_ARENA + a->used;
}

uint32_t *tcache_counter(struct tcache *t)
{
	uint32_t *first = (uint32_t *)(t->rw + (size_t)t->cur * TC_ARENA + TC_CODE);

	return first + t->arena[t->cur].nunits;
}

struct tc_arena *tcache_next(struct tcache *t)
{
	t->cur = (t->cur + 1) % TC_ARENAS;
	return &t->arena[t->cur];
}

int tcache_commit(struct tcache *t, struct bt_unit *u, size_t len)
{
	struct tc_arena *a = &t->arena[t->cur];

	if (a->nunits == a->cap) {
		size_t cap = a->cap ? a->cap * 2 : 1024;
		struct bt_unit **n = realloc(a->unit, cap * sizeof(*n));

		if (!n)
			return -ENOMEM;
		a->unit = n;
		a->cap = cap;
	}
	a->unit[a->nunits++] = u;
	a->used += (uint32_t)((len + 15) & ~15u);
	return 0;
}

struct bt_unit *tcache_find(const struct tcache *t, const uint8_t *pc)
{
	const struct tc_arena *a;
	size_t lo = 0, hi;

	if (!tcache_holds(t, pc))
		return NULL;
	a = &t->arena[(size_t)(pc - t->rx) / TC_ARENA];
	hi = a->nunits;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (a->unit[mid]->code <= pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo || pc >= a->unit[lo - 1]->code + a->unit[lo - 1]->code_len)
		return NULL;
	return a->unit[lo - 1];
}
