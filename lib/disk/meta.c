#include "disk/meta.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CLEAN		(-1)
#define EARLY		0	/* a level of meta.h is one more in here */
#define FLUSH_IOV	64	/* neighbouring blocks that are one write */

struct link {
	struct link *prev, *next;
};

struct block {
	struct link link;	/* in clean (last used first) or in dirty; first member */
	struct block *hash_next;
	uint64_t off;
	int level;		/* CLEAN, or one more than it was made dirty with */
	unsigned char data[];
};

struct meta {
	struct disk_file *f;
	uint32_t block;
	uint64_t limit;
	uint64_t bytes, dirty_bytes;	/* of all blocks, of those in dirty */
	struct link clean, dirty;	/* heads of rings */
	struct block **hash;
	size_t hash_size;	/* a power of two */
	size_t count;
	/* Of the file is known: from..data is a hole, data..end is none.  Blocks of ours
	 * that are not written yet may lie there. */
	struct { uint64_t from, data, end; } seen;
};

static void link_init(struct link *l) { l->prev = l->next = l; }

static void link_out(struct link *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
}

static void link_in(struct link *head, struct link *l)
{
	l->next = head->next;
	l->prev = head;
	head->next->prev = l;
	head->next = l;
}

int meta_new(struct meta **m, struct disk_file *f, uint32_t block, uint64_t limit,
	     struct err *e)
{
	struct meta *n = calloc(1, sizeof(*n));

	assert(block && block % SECTOR == 0);
	if (n) {
		n->hash_size = 64;
		n->hash = calloc(n->hash_size, sizeof(*n->hash));
	}
	if (!n || !n->hash) {
		free(n);
		return err_set(e, -ENOMEM, "no memory for metadata");
	}
	n->f = f;
	n->block = block;
	n->limit = limit;
	link_init(&n->clean);
	link_init(&n->dirty);
	*m = n;
	return 0;
}

static void free_ring(struct link *head)
{
	struct link *l = head->next;

	while (l != head) {
		struct link *next = l->next;

		free(l);
		l = next;
	}
}

void meta_free(struct meta *m)
{
	if (!m)
		return;
	free_ring(&m->clean);
	free_ring(&m->dirty);
	free(m->hash);
	free(m);
}

static struct block **slot(const struct meta *m, uint64_t off)
{
	return &m->hash[(off / SECTOR * 0x9e3779b97f4a7c15u >> 32) & (m->hash_size - 1)];
}

static struct block *find(const struct meta *m, uint64_t off)
{
	struct block *b = *slot(m, off);

	while (b && b->off != off)
		b = b->hash_next;
	return b;
}

/* Twice as many slots; without memory for them chains just get longer. */
static void hash_grow(struct meta *m)
{
	size_t old_size = m->hash_size;
	struct block **old = m->hash, **grown = calloc(old_size * 2, sizeof(*grown));

	if (!grown)
		return;
	m->hash = grown;
	m->hash_size = old_size * 2;
	for (size_t i = 0; i < old_size; i++) {
		for (struct block *b = old[i], *next; b; b = next) {
			struct block **s = slot(m, b->off);

			next = b->hash_next;
			b->hash_next = *s;
			*s = b;
		}
	}
	free(old);
}

/* Take a clean block out; it is the caller's to free. */
static void take_out(struct meta *m, struct block *b)
{
	struct block **p = slot(m, b->off);

	while (*p != b)
		p = &(*p)->hash_next;
	*p = b->hash_next;
	link_out(&b->link);
	m->count--;
	m->bytes -= m->block;
}

static void see_nothing(struct meta *m)
{
	m->seen.end = 0;
}

void *meta_get(struct meta *m, uint64_t off, bool fresh, struct err *e)
{
	struct block *b = find(m, off), **s;

	assert(off % SECTOR == 0);
	if (b) {
		if (fresh)
			memset(b->data, 0, m->block);
		if (b->level == CLEAN) {
			link_out(&b->link);
			link_in(&m->clean, &b->link);
		}
		return b->data;
	}
	while (m->bytes + m->block > m->limit && m->clean.prev != &m->clean) {
		struct block *old = (struct block *)m->clean.prev;

		take_out(m, old);
		free(old);
	}
	b = malloc(sizeof(*b) + m->block);
	if (!b) {
		err_set(e, -ENOMEM, "no memory for metadata");
		return NULL;
	}
	if (fresh) {
		memset(b->data, 0, m->block);
		see_nothing(m);
	} else if (file_read(m->f, b->data, m->block, off, e)) {
		free(b);
		return NULL;
	}
	b->off = off;
	b->level = CLEAN;
	if (m->count >= m->hash_size)
		hash_grow(m);
	s = slot(m, off);
	b->hash_next = *s;
	*s = b;
	link_in(&m->clean, &b->link);
	m->count++;
	m->bytes += m->block;
	return b->data;
}

void meta_dirty(struct meta *m, uint64_t off, unsigned level)
{
	struct block *b = find(m, off);
	int l = level == META_EARLY ? EARLY : (int)level + 1;

	assert(b && l <= META_LEVELS);
	if (b->level == CLEAN) {
		link_out(&b->link);
		link_in(&m->dirty, &b->link);
		m->dirty_bytes += m->block;
	}
	if (b->level < l)
		b->level = l;
}

uint64_t meta_dirty_bytes(const struct meta *m)
{
	return m->dirty_bytes;
}

static int by_level(const void *pa, const void *pb)
{
	const struct block *a = *(struct block *const *)pa, *b = *(struct block *const *)pb;

	if (a->level != b->level)
		return a->level < b->level ? -1 : 1;
	return a->off < b->off ? -1 : a->off > b->off;
}

/* Write n sorted blocks, neighbours together. */
static int write_blocks(struct meta *m, struct block **b, size_t n, struct err *e)
{
	struct iovec iov[FLUSH_IOV];
	size_t i = 0;

	see_nothing(m);
	while (i < n) {
		uint64_t off = b[i]->off;
		int k = 0, rc;

		while (i < n && k < FLUSH_IOV && b[i]->off == off + (uint64_t)k * m->block) {
			iov[k].iov_base = b[i++]->data;
			iov[k++].iov_len = m->block;
		}
		rc = file_writev(m->f, iov, k, off, e);
		if (rc)
			return rc;
	}
	return 0;
}

static void now_clean(struct meta *m, struct block **b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		b[i]->level = CLEAN;
		link_out(&b[i]->link);
		link_in(&m->clean, &b[i]->link);
		m->dirty_bytes -= m->block;
	}
}

/*
 * A block is clean only when it was written and the sync behind it said so: after a
 * failed one nobody knows what the kernel still has.
 */
int meta_flush(struct meta *m, struct err *e)
{
	struct block **b;
	size_t n = 0, i = 0;
	int rc = 0;

	if (!m->dirty_bytes)
		return file_sync(m->f, e);
	b = malloc(m->dirty_bytes / m->block * sizeof(*b));
	if (!b)
		return err_set(e, -ENOMEM, "no memory to write metadata");
	for (struct link *l = m->dirty.next; l != &m->dirty; l = l->next)
		b[n++] = (struct block *)l;
	qsort(b, n, sizeof(*b), by_level);
	for (int level = EARLY; !rc && (level == EARLY || i < n); level++) {
		size_t end = i;

		while (end < n && b[end]->level == level)
			end++;
		if (end == i && level != EARLY)
			continue;
		rc = write_blocks(m, b + i, end - i, e);
		if (!rc)
			rc = file_sync(m->f, e);
		if (!rc)
			now_clean(m, b + i, end - i);
		i = end;
	}
	free(b);
	return rc;
}

bool meta_hole(struct meta *m, uint64_t off, uint64_t len)
{
	uint64_t size = m->f->size;

	if (off > size || len > size - off || find(m, off))
		return false;
	if (off < m->seen.from || off >= m->seen.end) {
		m->seen.from = off;
		if (file_data(m->f, off, &m->seen.data, &m->seen.end, NULL)) {
			m->seen.data = off;	/* it will not tell another time, either */
			m->seen.end = UINT64_MAX;
		}
	}
	if (off + len > m->seen.data)
		return false;
	for (uint64_t at = off; m->dirty_bytes && at < off + len; at += m->block)
		if (find(m, at))
			return false;
	return true;
}

void meta_forget(struct meta *m, uint64_t off, uint64_t len)
{
	struct link *l = m->clean.next;

	see_nothing(m);
	while (l != &m->clean) {
		struct block *b = (struct block *)l;

		l = l->next;
		if (b->off < off || b->off - off >= len)
			continue;
		take_out(m, b);
		free(b);
	}
}
