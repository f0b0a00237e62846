#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "disk/sparse.h"
#include "disk/stream.h"

#define GRAIN_SECTORS	(STREAM_GRAIN / SECTOR)
#define OVERHEAD	GRAIN_SECTORS	/* grains begin where one could */

struct stream_writer {
	struct stream_target t;
	struct sparse_header h;
	uint64_t pos;		/* sectors written */
	uint64_t next;		/* the lowest grain that may come */
	uint64_t table;		/* number of the one in gt */
	bool used;		/* gt has entries */
	uint8_t gt[SPARSE_GTES * 4];
	uint64_t entries;
	uint8_t *gd;		/* entries, to whole sectors */
};

int stream_pack(struct stream_batch *b, struct pack *p, uint64_t grain, const void *buf,
		struct err *e)
{
	uint8_t *head = b->data + b->len;
	size_t n, end;

	n = pack_deflate(p, buf, STREAM_GRAIN, head + SPARSE_GRAIN_HEAD,
			 sizeof(b->data) - b->len - SPARSE_GRAIN_HEAD - SECTOR);
	if (!n || b->n == STREAM_BATCH)
		return err_set(e, -EIO, "grain %" PRIu64 " could not be compressed", grain);
	le64_put(head, grain * GRAIN_SECTORS);
	le32_put(head + 8, (uint32_t)n);
	b->grain[b->n].grain = grain;
	b->grain[b->n++].at = (uint32_t)(b->len / SECTOR);
	end = b->len + SPARSE_GRAIN_HEAD + n;
	b->len = (end + SECTOR - 1) / SECTOR * SECTOR;
	memset(b->data + end, 0, b->len - end);
	return 0;
}

static int put(struct stream_writer *w, const void *buf, size_t len, struct err *e)
{
	/* Entries of tables have 32 bits. */
	if (w->pos + len / SECTOR > UINT32_MAX)
		return err_set(e, -EFBIG, "a streamOptimized extent cannot be longer than 2 TiB");
	w->pos += len / SECTOR;
	return w->t.write(w->t.ptr, buf, len, e);
}

static int put_marker(struct stream_writer *w, enum sparse_marker type, uint64_t sectors,
		      struct err *e)
{
	uint8_t buf[SECTOR] = { 0 };

	le64_put(buf, sectors);
	le32_put(buf + 12, type);
	return put(w, buf, SECTOR, e);
}

/* The grain table that is complete, if it has entries. */
static int put_table(struct stream_writer *w, struct err *e)
{
	int rc;

	if (!w->used)
		return 0;
	rc = put_marker(w, SPARSE_MARK_GT, sizeof(w->gt) / SECTOR, e);
	if (rc)
		return rc;
	le32_put(w->gd + w->table * 4, (uint32_t)w->pos);
	rc = put(w, w->gt, sizeof(w->gt), e);
	memset(w->gt, 0, sizeof(w->gt));
	w->used = false;
	return rc;
}

/* Header, descriptor, and zeros to where grains begin. */
static int put_head(struct stream_writer *w, const char *desc, size_t desc_len, struct err *e)
{
	uint8_t *buf = calloc(OVERHEAD, SECTOR);
	int rc;

	if (!buf)
		return err_set(e, -ENOMEM, "no memory for a header");
	sparse_header_encode(buf, &w->h);
	if (desc_len)
		memcpy(buf + SECTOR, desc, desc_len);
	rc = put(w, buf, OVERHEAD * SECTOR, e);
	free(buf);
	return rc;
}

int stream_write_begin(struct stream_writer **out, const struct stream_target *t,
		       uint64_t size, const char *desc, size_t desc_len, struct err *e)
{
	struct stream_writer *w;
	int rc;

	if (!size || size % SECTOR || size > STREAM_SIZE_MAX)
		return err_set(e, -EINVAL, "a streamOptimized extent of %" PRIu64 " bytes: "
			       "possible are whole sectors up to 2 TiB - 512", size);
	if (desc_len > SPARSE_DESC_SECTORS * SECTOR)
		return err_set(e, -EINVAL, "the descriptor has %zu bytes, room is for %u",
			       desc_len, SPARSE_DESC_SECTORS * SECTOR);
	w = calloc(1, sizeof(*w));
	if (!w)
		return err_set(e, -ENOMEM, "no memory to write a stream");
	w->t = *t;
	w->h = (struct sparse_header){
		.version = 3,
		.flags = SPARSE_NEWLINE | SPARSE_COMPRESSED | SPARSE_MARKERS,
		.capacity = size / SECTOR,
		.grain = GRAIN_SECTORS,
		.desc = 1,
		.desc_size = SPARSE_DESC_SECTORS,
		.gtes = SPARSE_GTES,
		.gd = SPARSE_GD_AT_END,
		.overhead = OVERHEAD,
		.compress = SPARSE_DEFLATE,
	};
	w->entries = sparse_gd_entries(&w->h);
	w->gd = calloc(sparse_gd_sectors(&w->h), SECTOR);
	if (!w->gd)
		rc = err_set(e, -ENOMEM, "no memory to write a stream");
	else
		rc = put_head(w, desc, desc_len, e);
	if (rc)
		stream_write_free(w);
	else
		*out = w;
	return rc;
}

int stream_write_batch(struct stream_writer *w, const struct stream_batch *b,
		       struct err *e)
{
	unsigned i = 0;

	while (i < b->n) {
		uint64_t table = b->grain[i].grain / SPARSE_GTES, from = b->grain[i].at, to;
		int rc = table == w->table ? 0 : put_table(w, e);

		if (rc)
			return rc;
		w->table = table;
		for (; i < b->n && b->grain[i].grain / SPARSE_GTES == table; i++) {
			uint64_t grain = b->grain[i].grain;

			if (grain < w->next || grain * GRAIN_SECTORS >= w->h.capacity)
				return err_set(e, -EINVAL, "grain %" PRIu64
					       " is out of order", grain);
			w->next = grain + 1;
			le32_put(w->gt + grain % SPARSE_GTES * 4,
				 (uint32_t)(w->pos + b->grain[i].at - from));
			w->used = true;
		}
		to = i < b->n ? b->grain[i].at : b->len / SECTOR;
		rc = put(w, b->data + from * SECTOR, (to - from) * SECTOR, e);
		if (rc)
			return rc;
	}
	return 0;
}

int stream_write_end(struct stream_writer *w, struct err *e)
{
	uint64_t gd_sectors = sparse_gd_sectors(&w->h);
	struct sparse_header footer = w->h;
	uint8_t buf[SECTOR];
	int rc = put_table(w, e);

	if (!rc)
		rc = put_marker(w, SPARSE_MARK_GD, gd_sectors, e);
	footer.gd = w->pos;
	if (!rc)
		rc = put(w, w->gd, gd_sectors * SECTOR, e);
	if (!rc)
		rc = put_marker(w, SPARSE_MARK_FOOTER, 1, e);
	sparse_header_encode(buf, &footer);
	if (!rc)
		rc = put(w, buf, SECTOR, e);
	return rc ? rc : put_marker(w, SPARSE_MARK_EOS, 0, e);
}

void stream_write_free(struct stream_writer *w)
{
	if (!w)
		return;
	free(w->gd);
	free(w);
}
