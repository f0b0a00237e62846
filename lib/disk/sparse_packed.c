/* Grains of streamOptimized extents, read in any order. */
#include <errno.h>
#include <inttypes.h>
#include <libdeflate.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "disk/sparse_impl.h"

#define CACHED_MAX	16	/* uncompressed grains that are kept */

/* The grains that were asked for last, by where they lie.  unpack() is called by
 * several threads at once; the lock is held for a copy, never while uncompressing. */
struct packed_cache {
	pthread_mutex_t lock;
	uint64_t grain;
	uint64_t clock;
	unsigned n;
	struct {
		uint64_t off, used;	/* used 0: empty */
		uint8_t *data;
	} slot[CACHED_MAX];
};

struct packed_cache *packed_cache_new(uint64_t grain, uint64_t bytes)
{
	struct packed_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	pthread_mutex_init(&c->lock, NULL);
	c->grain = grain;
	c->n = bytes / grain < CACHED_MAX ? bytes / grain : CACHED_MAX;
	return c;
}

void packed_cache_free(struct packed_cache *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < c->n; i++)
		free(c->slot[i].data);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static bool cache_get(struct packed_cache *c, uint64_t off, void *buf)
{
	bool found = false;

	pthread_mutex_lock(&c->lock);
	for (unsigned i = 0; i < c->n && !found; i++) {
		if (!c->slot[i].used || c->slot[i].off != off)
			continue;
		c->slot[i].used = ++c->clock;
		memcpy(buf, c->slot[i].data, c->grain);
		found = true;
	}
	pthread_mutex_unlock(&c->lock);
	return found;
}

static void cache_put(struct packed_cache *c, uint64_t off, const void *buf)
{
	unsigned oldest = 0;

	pthread_mutex_lock(&c->lock);
	for (unsigned i = 0; i < c->n; i++) {
		if (c->slot[i].used && c->slot[i].off == off) {
			oldest = i;
			break;
		}
		if (c->slot[i].used < c->slot[oldest].used)
			oldest = i;
	}
	if (c->n && !c->slot[oldest].data)
		c->slot[oldest].data = malloc(c->grain);
	if (c->n && c->slot[oldest].data) {
		memcpy(c->slot[oldest].data, buf, c->grain);
		c->slot[oldest].off = off;
		c->slot[oldest].used = ++c->clock;
	}
	pthread_mutex_unlock(&c->lock);
}

bool packed_inflate(const void *in, size_t len, void *buf, size_t out, size_t need)
{
	struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
	size_t used, got = 0;
	enum libdeflate_result r;

	if (!d)
		return false;
	r = libdeflate_zlib_decompress_ex(d, in, len, buf, out, &used, &got);
	libdeflate_free_decompressor(d);
	if (r != LIBDEFLATE_SUCCESS || got < need)
		return false;
	memset((uint8_t *)buf + got, 0, out - got);
	return true;
}

int packed_head(const struct sparse *s, uint64_t sector, uint64_t *lba, uint64_t *at,
		uint64_t *len, struct err *e)
{
	uint64_t off = sector * SECTOR, have = s->x.file->size;
	uint64_t max = sparse_packed_max(s->x.grain);
	uint8_t head[SPARSE_GRAIN_HEAD];
	int rc;

	*lba = 0;
	*at = off;
	*len = max;
	if (s->h.flags & SPARSE_MARKERS) {
		rc = file_read(s->x.file, head, sizeof(head), off, e);
		if (rc)
			return rc;
		*lba = le64_get(head);
		*len = le32_get(head + 8);
		*at = off + sizeof(head);
		if (!*len || *len > max || *lba & (s->h.grain - 1) || *lba >= s->h.capacity)
			return err_set(e, -EBADMSG, "no grain at sector %" PRIu64 ": its marker "
				       "says sector %" PRIu64 ", %" PRIu64 " bytes", sector,
				       *lba, *len);
		if (*len > have - *at)
			return err_set(e, -EBADMSG, "the grain of sector %" PRIu64
				       " ends behind the end of the file", *lba);
	} else if (*len > have - *at) {	/* no size is stored: the data say where they end */
		*len = have - *at;
	}
	return 0;
}

int packed_unpack(struct extent *x, const struct disk_run *run, void *buf, struct err *e)
{
	struct sparse *s = sparse_of(x);
	uint64_t lba, at, len, need = x->grain, disk = s->h.capacity * SECTOR;
	uint8_t *in;
	bool ok;
	int rc;

	if (cache_get(s->packed, run->off, buf))
		return 0;
	rc = packed_head(s, run->off / SECTOR, &lba, &at, &len, e);
	if (rc)
		return rc;
	in = malloc(len);
	if (!in)
		return err_set(e, -ENOMEM, "no memory for a grain");
	rc = file_read(x->file, in, len, at, e);
	if (rc) {
		free(in);
		return rc;
	}
	/* The last grain of a disk may be stored without what lies behind its end.
	 * Without a marker it is not known which grain this is. */
	if (!(s->h.flags & SPARSE_MARKERS))
		need = disk % x->grain ? disk % x->grain : x->grain;
	else if (disk - lba * SECTOR < need)
		need = disk - lba * SECTOR;
	ok = packed_inflate(in, len, buf, x->grain, need);
	free(in);
	if (!ok)
		return err_set(e, -EBADMSG, "the packed grain at byte %" PRIu64 " of the file (disk "
			       "sector %" PRIu64 ") is damaged", run->off, lba);
	cache_put(s->packed, run->off, buf);
	return 0;
}
