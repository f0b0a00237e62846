#include "bt/tcache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bt/unit.h"

#define TC_CODE		(TC_ARENA - TC_UNITS_MAX * sizeof(uint32_t))

static void meta_free(struct tcache *t)
{
	free(t->arena);
	if (t->meta && t->meta != MAP_FAILED)
		munmap(t->meta, (size_t)TC_META * TC_ARENAS);
}

int tcache_open(struct tcache *t, struct err *e)
{
	uint8_t *p;
	int rc;

	*t = (struct tcache){ .fd = -1, .len = (size_t)TC_ARENA * TC_ARENAS };
	t->fd = memfd_create("ring1-code", MFD_CLOEXEC);
	if (t->fd < 0)
		return err_sys(e, -errno, "translation cache: memfd_create");
	t->arena = calloc(TC_ARENAS, sizeof(*t->arena));
	t->meta = mmap(NULL, (size_t)TC_META * TC_ARENAS, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	t->cur[TC_HOT] = TC_COLD;
	if (!t->arena || t->meta == MAP_FAILED) {
		rc = err_set(e, -ENOMEM, "translation cache: out of memory");
		goto out;
	}
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
	meta_free(t);
	close(t->fd);
	t->fd = -1;
	return rc;
}

void tcache_reset(struct tc_arena *a)
{
	for (size_t i = 0; i < a->nunits; i++)
		unit_free(a->unit[i]);
	a->nunits = 0;
	a->used = a->meta = 0;
}

void tcache_close(struct tcache *t)
{
	if (t->fd < 0)
		return;
	for (unsigned i = 0; i < TC_ARENAS; i++)
		tcache_reset(&t->arena[i]);
	meta_free(t);
	munmap(t->rx, 2 * t->len);
	close(t->fd);
	t->fd = -1;
}

static struct tc_arena *current(const struct tcache *t, enum tc_space s)
{
	return &t->arena[t->cur[s]];
}

static uint8_t *code_at(const struct tcache *t, enum tc_space s)
{
	return t->rw + (size_t)t->cur[s] * TC_ARENA;
}

uint8_t *tcache_room(struct tcache *t, enum tc_space s)
{
	const struct tc_arena *a = current(t, s);

	if (TC_CODE - a->used < TC_UNIT_MAX || a->nunits == TC_UNITS_MAX ||
	    TC_META - a->meta < TC_META_MAX)
		return NULL;
	return code_at(t, s) + a->used;
}

uint32_t *tcache_counter(struct tcache *t, enum tc_space s)
{
	return (uint32_t *)(code_at(t, s) + TC_CODE) + current(t, s)->nunits;
}

void *tcache_alloc(struct tcache *t, enum tc_space s, size_t len)
{
	struct tc_arena *a = current(t, s);
	void *p = t->meta + (size_t)t->cur[s] * TC_META + a->meta;

	a->meta += (uint32_t)((len + 7) & ~7ull);
	return p;
}

uint32_t tcache_mark(const struct tcache *t, enum tc_space s)
{
	return current(t, s)->meta;
}

void tcache_undo(struct tcache *t, enum tc_space s, uint32_t mark)
{
	current(t, s)->meta = mark;
}

struct tc_arena *tcache_next(struct tcache *t, enum tc_space s)
{
	unsigned first = s == TC_NEW ? 0 : TC_COLD, n = s == TC_NEW ? TC_COLD : TC_ARENAS - TC_COLD;

	t->cur[s] = first + (t->cur[s] - first + 1) % n;
	return current(t, s);
}

void tcache_commit(struct tcache *t, enum tc_space s, struct bt_unit *u, size_t len)
{
	struct tc_arena *a = current(t, s);

	a->unit[a->nunits++] = u;
	a->used += (uint32_t)((len + 15) & ~15u);
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
