#include "disk/diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CHUNK	(1u << 20)	/* bytes read at once */

struct side {
	struct disk *d;
	uint8_t *buf;
	struct disk_run run;	/* what lies at the present offset */
	bool zero;		/* reads as zeros there */
};

struct diffing {
	const struct disk_diff *c;
	struct side side[2];
	uint64_t start, len;	/* the range that is being put together */
	uint64_t bytes;
};

static void end_range(struct diffing *k)
{
	if (k->len)
		k->c->range(k->c->ptr, k->start, k->len);
	k->len = 0;
}

static void add_range(struct diffing *k, uint64_t off, uint64_t len)
{
	k->bytes += len;
	if (k->len && k->start + k->len == off) {
		k->len += len;
		return;
	}
	end_range(k);
	k->start = off;
	k->len = len;
}

/* What does a side have at off; at most len bytes of it count. */
static int look(struct side *s, uint64_t off, uint64_t len, struct err *e)
{
	uint64_t size = disk_size(s->d);
	unsigned layer;
	int rc;

	if (off >= size) {
		s->run = (struct disk_run) { .kind = DISK_ZERO, .len = len };
		s->zero = true;
		return 0;
	}
	rc = disk_map(s->d, off, len < size - off ? len : size - off, &s->run, &layer, e);
	s->zero = s->run.kind == DISK_ZERO || s->run.kind == DISK_ABSENT;
	return rc;
}

static bool same_place(const struct disk_run *a, const struct disk_run *b)
{
	struct stat sa, sb;

	return a->kind == DISK_DATA && b->kind == DISK_DATA && a->off == b->off &&
	       a->file->fd >= 0 && b->file->fd >= 0 && !fstat(a->file->fd, &sa) &&
	       !fstat(b->file->fd, &sb) && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

static int fill(struct side *s, uint64_t off, uint64_t len, struct err *e)
{
	if (!s->zero)
		return disk_read(s->d, s->buf, len, off, e);
	memset(s->buf, 0, len);
	return 0;
}

static int compare(struct diffing *k, uint64_t off, uint64_t len, struct err *e)
{
	int rc = fill(&k->side[0], off, len, e);

	if (!rc)
		rc = fill(&k->side[1], off, len, e);
	if (rc || !memcmp(k->side[0].buf, k->side[1].buf, len))
		return rc;
	for (uint64_t at = 0; at < len; at += SECTOR)
		if (memcmp(k->side[0].buf + at, k->side[1].buf + at, SECTOR))
			add_range(k, off + at, SECTOR);
	return 0;
}

static int diff_all(struct diffing *k, uint64_t total, struct err *e)
{
	struct side *a = &k->side[0], *b = &k->side[1];
	uint64_t len;

	for (uint64_t off = 0; off < total; off += len) {
		int rc = look(a, off, total - off, e);

		if (!rc)
			rc = look(b, off, total - off, e);
		if (rc)
			return rc;
		len = a->run.len < b->run.len ? a->run.len : b->run.len;
		if (!(a->zero && b->zero) && !same_place(&a->run, &b->run)) {
			len = len < CHUNK ? len : CHUNK;
			rc = compare(k, off, len, e);
		}
		if (rc)
			return rc;
		if (k->c->progress && !k->c->progress(k->c->ptr, off + len, total))
			return err_set(e, -EINTR, "stopped");
	}
	return 0;
}

int disk_diff(struct disk *a, struct disk *b, const struct disk_diff *c, uint64_t *bytes,
	      struct err *e)
{
	struct diffing k = { .c = c, .side = { { .d = a }, { .d = b } } };
	uint64_t total = disk_size(a) > disk_size(b) ? disk_size(a) : disk_size(b);
	int rc;

	k.side[0].buf = malloc(CHUNK);
	k.side[1].buf = malloc(CHUNK);
	if (k.side[0].buf && k.side[1].buf)
		rc = diff_all(&k, total, e);
	else
		rc = err_set(e, -ENOMEM, "out of memory");
	end_range(&k);
	*bytes = k.bytes;
	free(k.side[0].buf);
	free(k.side[1].buf);
	return rc;
}
