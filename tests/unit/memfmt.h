#ifndef MEMFMT_H
#define MEMFMT_H
/*
 * A format for tests of disk.h: the tables are an array in memory, the data a file
 * without a name.  It checks that its callers keep to extent.h: one at a time, whole
 * grains, room that is committed or cancelled once.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "disk/disk.h"

struct memfmt {
	struct extent x;
	uint64_t grains;
	uint32_t *at;		/* 0 absent, 1 zero, else 2 + number of the grain in the file */
	uint8_t *given;		/* room by number: 1 given out, 2 in use */
	uint32_t next;
	_Atomic int inside;
	bool no_zero;		/* cannot say zero */
	bool packed;		/* its grains must be unpacked (xor 0x55) */
	unsigned fail_alloc;	/* countdown to -ENOSPC */
	unsigned maps, flushes, unpacks;
	uint64_t most;		/* grains per alloc; 0: any number */
	bool dirty;
	bool below;		/* it has a child now: nothing may be changed */
};

/* In several threads: only failures count. */
#define must(cond, ...) do { if (!(cond)) check(0, __VA_ARGS__); } while (0)

static void memfmt_enter(struct memfmt *m)
{
	must(atomic_fetch_add(&m->inside, 1) == 0, "two calls of one extent at once");
}

static int memfmt_leave(struct memfmt *m, int rc)
{
	atomic_fetch_sub(&m->inside, 1);
	return rc;
}

static int memfmt_map(struct extent *x, uint64_t off, uint64_t len, struct disk_run *run,
		      struct err *e)
{
	struct memfmt *m = (struct memfmt *)x;
	uint64_t g = off / x->grain, n = 1;
	uint32_t at = m->at[g];

	memfmt_enter(m);
	m->maps++;
	must(off < x->size && len <= x->size - off && len, "map outside");
	*run = (struct disk_run){ .kind = at == 0 ? DISK_ABSENT : at == 1 ? DISK_ZERO : m->packed ?
				  DISK_PACKED : DISK_DATA };
	if (at > 1) {
		run->file = x->file;
		run->off = (at - 2) * x->grain + (m->packed ? 0 : off % x->grain);
	}
	while (!m->packed && g + n < m->grains && m->at[g + n] == (at > 1 ? at + n : at))
		n++;
	run->len = n * x->grain - off % x->grain;
	if (run->len > len)
		run->len = len;
	return memfmt_leave(m, 0);
}

static int memfmt_unpack(struct extent *x, const struct disk_run *run, void *buf, struct err *e)
{
	int rc = file_read(run->file, buf, x->grain, run->off, e);

	((struct memfmt *)x)->unpacks++;
	for (uint64_t i = 0; i < x->grain; i++)
		((uint8_t *)buf)[i] ^= 0x55;
	return rc;
}

static int memfmt_alloc(struct extent *x, uint64_t off, uint64_t len, struct disk_run *run,
			struct err *e)
{
	struct memfmt *m = (struct memfmt *)x;
	uint64_t n = len / x->grain;

	memfmt_enter(m);
	must(!m->below, "room in a parent");
	must(off % x->grain == 0 && len % x->grain == 0 && len, "not whole grains");
	must(off / x->grain + n <= m->grains, "outside");
	if (m->fail_alloc && --m->fail_alloc == 0)
		return memfmt_leave(m, err_set(e, -ENOSPC, "no room left"));
	if (m->most && n > m->most)
		n = m->most;
	for (uint64_t i = 0; i < n; i++) {
		must(m->at[off / x->grain + i] <= 1, "it has room already");
		m->given[m->next + i] = 1;
	}
	*run = (struct disk_run){
		.kind = DISK_DATA, .len = n * x->grain, .file = x->file, .off = m->next * x->grain,
	};
	m->next += n;
	return memfmt_leave(m, 0);
}

static int memfmt_commit(struct extent *x, uint64_t off, const struct disk_run *run, struct err *e)
{
	struct memfmt *m = (struct memfmt *)x;

	memfmt_enter(m);
	for (uint64_t i = 0; i < run->len / x->grain; i++) {
		uint32_t no = run->off / x->grain + i;

		must(m->at[off / x->grain + i] <= 1 && m->given[no] == 1, "committed twice");
		m->at[off / x->grain + i] = 2 + no;
		m->given[no] = 2;
	}
	m->dirty = true;
	return memfmt_leave(m, 0);
}

static void memfmt_cancel(struct extent *x, const struct disk_run *run)
{
	struct memfmt *m = (struct memfmt *)x;

	memfmt_enter(m);
	for (uint64_t i = 0; i < run->len / x->grain; i++)
		m->given[run->off / x->grain + i] = 0;
	memfmt_leave(m, 0);
}

static int memfmt_drop(struct extent *x, uint64_t off, uint64_t len, bool absent, struct err *e)
{
	struct memfmt *m = (struct memfmt *)x;

	memfmt_enter(m);
	must(!m->below, "grains of a parent are dropped");
	must(off % x->grain == 0 && (len % x->grain == 0 || off + len == x->size), "whole grains");
	if (!absent && m->no_zero)
		return memfmt_leave(m, err_set(e, -ENOTSUP, "no zeros"));
	for (uint64_t g = off / x->grain; g * x->grain < off + len; g++) {
		/* What was there is overwritten at once: nobody may be reading it. */
		if (m->at[g] > 1)
			must(!file_punch(x->file, (m->at[g] - 2) * x->grain, x->grain, e), "punch");
		m->at[g] = !absent;
	}
	m->dirty = true;
	return memfmt_leave(m, 0);
}

static int memfmt_flush(struct extent *x, struct err *e)
{
	struct memfmt *m = (struct memfmt *)x;

	memfmt_enter(m);
	must(m->dirty, "flushed for nothing");
	m->dirty = false;
	m->flushes++;
	return memfmt_leave(m, 0);
}

static bool memfmt_dirty(const struct extent *x)
{
	return ((const struct memfmt *)x)->dirty;
}

static void memfmt_close(struct extent *x)
{
	struct memfmt *m = (struct memfmt *)x;

	must(m->inside == 0, "closed while in use");
	file_close(x->file);
	free(m->at);
	free(m->given);
	free(m);
}

static const struct extent_ops memfmt_ops = {
	.name = "TEST", .map = memfmt_map, .unpack = memfmt_unpack, .alloc = memfmt_alloc,
	.commit = memfmt_commit, .cancel = memfmt_cancel, .drop = memfmt_drop, .flush = memfmt_flush,
	.dirty = memfmt_dirty, .close = memfmt_close,
};

static struct memfmt *memfmt_new(uint64_t size, uint64_t grain, bool writable)
{
	struct memfmt *m = calloc(1, sizeof(*m));
	char path[64];
	struct err e = { 0 };
	int fd = memfd_create("memfmt", MFD_CLOEXEC);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	m->grains = (size + grain - 1) / grain;
	m->at = calloc(m->grains, sizeof(*m->at));
	m->given = calloc(m->grains * 64 + 64, 1);
	m->x = (struct extent){ .ops = &memfmt_ops, .size = size, .grain = grain, .writable = writable };
	check(!file_open(&m->x.file, NULL, path, FILE_WRITE, &e), "%s", e.msg);
	close(fd);
	return m;
}

/* An image of one or more of them. */
static struct image *memfmt_image(struct memfmt **m, unsigned n)
{
	struct extent *x[8];
	struct image *im = NULL;
	struct err e = { 0 };

	for (unsigned i = 0; i < n; i++)
		x[i] = &m[i]->x;
	check(!image_new(&im, "test", x, n, &e), "%s", e.msg);
	return im;
}

/* Give grain g its contents, in a layer that is being made. */
static void memfmt_put(struct memfmt *m, uint64_t g, const uint8_t *data)
{
	uint8_t *b = malloc(m->x.grain);

	for (uint64_t i = 0; i < m->x.grain; i++)
		b[i] = data[i] ^ (m->packed ? 0x55 : 0);
	check(!file_write(m->x.file, b, m->x.grain, m->next * m->x.grain, NULL), "write");
	m->at[g] = 2 + m->next;
	m->given[m->next++] = 2;
	free(b);
}
#endif
