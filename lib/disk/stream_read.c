#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "disk/stream.h"

#define SKIP	65536u		/* bytes read at once where nobody wants them */
#define FRONT	(16u << 20)	/* the largest directory in front that is looked at, in bytes */

struct stream_reader {
	struct stream_source s;
	struct sparse_header h;
	uint64_t pos;		/* bytes read */
	char *desc;
	bool ended, footer;
	/* Grains that came, and those that tables name: whoever damages a stream on its way may
	 * leave out some of them, or end it, in a way that looks right. */
	uint64_t grains, named;
};

/* Exactly len bytes.  *end: there may be none at all, and are not. */
static int get(struct stream_reader *r, void *buf, size_t len, bool *end, struct err *e)
{
	size_t got = 0;
	int rc = r->s.read(r->s.ptr, buf, len, &got, e);

	if (rc)
		return rc;
	r->pos += got;
	if (end)
		*end = !got;
	if (got < len && !(end && *end))
		return err_set(e, -EBADMSG, "the stream ends at byte %" PRIu64
			       ": its end is missing", r->pos);
	return 0;
}

/* Pass len bytes over; named: they are grain tables, whose entries are added to it. */
static int pass(struct stream_reader *r, uint64_t len, uint64_t *named, struct err *e)
{
	uint8_t *buf = malloc(SKIP);
	int rc = 0;

	if (!buf)
		return err_set(e, -ENOMEM, "no memory to read a stream");
	while (len && !rc) {
		size_t n = len < SKIP ? len : SKIP;

		rc = get(r, buf, n, NULL, e);
		len -= n;
		for (size_t i = 0; named && !rc && i < n; i += 4)	/* 1: zeros */
			*named += le32_get(buf + i) > 1;
	}
	free(buf);
	return rc;
}

static int skip(struct stream_reader *r, uint64_t len, struct err *e)
{
	return pass(r, len, NULL, e);
}

/* The descriptor, which lies between the header and the grains. */
static int get_desc(struct stream_reader *r, struct err *e)
{
	const struct sparse_header *h = &r->h;
	int rc;

	if (!h->desc || !h->desc_size)
		return 0;
	if (h->desc + h->desc_size > h->overhead)
		return err_set(e, -ENOTSUP, "descriptorOffset is sector %" PRIu64
			       ", behind the first grain", h->desc);
	rc = skip(r, h->desc * SECTOR - r->pos, e);
	if (rc)
		return rc;
	r->desc = calloc(1, h->desc_size * SECTOR + 1);
	if (!r->desc)
		return err_set(e, -ENOMEM, "no memory for a descriptor");
	return get(r, r->desc, h->desc_size * SECTOR, NULL, e);
}

/*
 * What lies in front of the grains.  If that is the directory and behind it, in order, its
 * tables, as those lay them out who write there, the grains that they name are counted.
 */
static int get_front(struct stream_reader *r, struct err *e)
{
	const struct sparse_header *h = &r->h;
	uint64_t len = sparse_gd_sectors(h) * SECTOR, end = h->overhead * SECTOR;
	uint8_t *gd;
	int rc;

	if (h->gd >= h->overhead || h->gd * SECTOR < r->pos || len > FRONT ||
	    len > end - h->gd * SECTOR)
		return skip(r, end - r->pos, e);
	gd = malloc(len ? len : 1);
	if (!gd)
		return err_set(e, -ENOMEM, "no memory for a grain directory");
	rc = skip(r, h->gd * SECTOR - r->pos, e);
	if (!rc)
		rc = get(r, gd, len, NULL, e);
	for (uint64_t i = 0; !rc && i < sparse_gd_entries(h); i++) {
		uint64_t at = (uint64_t)le32_get(gd + 4 * i) * SECTOR;

		if (!at)
			continue;
		if (at < r->pos || at + (uint64_t)sparse_gt_sectors(h) * SECTOR > end)
			break;
		rc = skip(r, at - r->pos, e);
		if (!rc)
			rc = pass(r, (uint64_t)sparse_gt_sectors(h) * SECTOR, &r->named, e);
	}
	free(gd);
	return rc ? rc : skip(r, end - r->pos, e);
}

static int get_head(struct stream_reader *r, struct err *e)
{
	const struct sparse_header *h = &r->h;
	uint8_t buf[SECTOR];
	int rc = get(r, buf, SECTOR, NULL, e);

	if (!rc)
		rc = sparse_header_decode(&r->h, buf, e);
	if (rc)
		return rc;
	if (!(h->flags & SPARSE_COMPRESSED) || !(h->flags & SPARSE_MARKERS))
		return err_set(e, -ENOTSUP, "flags is %#" PRIx32 ": without markers it cannot "
			       "be read in one pass", h->flags);
	if (h->grain > STREAM_GRAIN_MAX / SECTOR)
		return err_set(e, -ENOTSUP, "grainSize is %" PRIu64 " sectors, in one pass at most "
			       "%u are read", h->grain, STREAM_GRAIN_MAX / SECTOR);
	if (h->overhead < 1)
		return err_set(e, -EBADMSG, "overHead is 0 sectors");
	rc = get_desc(r, e);
	return rc ? rc : get_front(r, e);
}

int stream_read_begin(struct stream_reader **out, const struct stream_source *s,
		      struct err *e)
{
	struct stream_reader *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return err_set(e, -ENOMEM, "no memory to read a stream");
	r->s = *s;
	rc = get_head(r, e);
	if (rc)
		stream_read_free(r);
	else
		*out = r;
	return rc;
}

const struct sparse_header *stream_read_header(const struct stream_reader *r)
{
	return &r->h;
}

const char *stream_read_desc(const struct stream_reader *r)
{
	return r->desc;
}

/* The footer: that it is there, and says of the disk what the header says. */
static int get_footer(struct stream_reader *r, struct err *e)
{
	struct sparse_header f;
	uint8_t buf[SECTOR];
	int rc = get(r, buf, SECTOR, NULL, e);

	if (!rc)
		rc = sparse_header_decode(&f, buf, e);
	if (rc)
		return err_in(e, rc, "footer");
	r->footer = true;
	if (f.capacity != r->h.capacity || f.grain != r->h.grain)
		return err_set(e, -EBADMSG, "footer: capacity or grainSize differ from the header's");
	return 0;
}

static int at_end(struct stream_reader *r, struct err *e)
{
	r->ended = true;
	if (r->h.gd == SPARSE_GD_AT_END && !r->footer)
		return err_set(e, -EBADMSG, "the stream ends at byte %" PRIu64 ", before its footer: "
			       "it is damaged there", r->pos - SECTOR);
	if (r->named > r->grains)
		return err_set(e, -EBADMSG, "the grain tables name %" PRIu64 " grains, of which the "
			       "stream has %" PRIu64, r->named, r->grains);
	return 0;
}

/* A sector that is no grain's: what follows it is passed over. */
static int pass_marker(struct stream_reader *r, const uint8_t *buf, struct err *e)
{
	uint64_t sectors = le64_get(buf);
	uint32_t type = le32_get(buf + 12);

	switch (type) {
	case SPARSE_MARK_EOS:
		return at_end(r, e);
	case SPARSE_MARK_FOOTER:
		return get_footer(r, e);
	case SPARSE_MARK_GT:
	case SPARSE_MARK_GD:
	case SPARSE_MARK_PROGRESS:
		if (sectors > UINT32_MAX)
			return err_set(e, -EBADMSG, "the marker at byte %" PRIu64 " says %"
				       PRIu64 " sectors", r->pos - SECTOR, sectors);
		return pass(r, sectors * SECTOR, type == SPARSE_MARK_GT &&
			    r->h.gd == SPARSE_GD_AT_END ? &r->named : NULL, e);
	default:
		return err_set(e, -EBADMSG, "the marker at byte %" PRIu64 " has type %" PRIu32,
			       r->pos - SECTOR, type);
	}
}

/* The rest of a packed grain whose first sector is in head. */
static int get_grain(struct stream_reader *r, const uint8_t *head, uint8_t *buf,
		     uint64_t *sector, uint32_t *len, struct err *e)
{
	const uint32_t first = SECTOR - SPARSE_GRAIN_HEAD;
	uint8_t last[SECTOR];
	uint32_t rest;
	int rc = 0;

	*sector = le64_get(head);
	*len = le32_get(head + 8);
	if (*len > sparse_packed_max(r->h.grain * SECTOR) || *sector & (r->h.grain - 1) ||
	    *sector >= r->h.capacity)
		return err_set(e, -EBADMSG, "the marker at byte %" PRIu64 " says disk sector %"
			       PRIu64 ", %" PRIu32 " bytes", r->pos - SECTOR, *sector, *len);
	memcpy(buf, head + SPARSE_GRAIN_HEAD, *len < first ? *len : first);
	if (*len <= first)
		return 0;
	rest = *len - first;
	if (rest / SECTOR)
		rc = get(r, buf + first, rest / SECTOR * SECTOR, NULL, e);
	if (!rc && rest % SECTOR) {
		rc = get(r, last, SECTOR, NULL, e);
		memcpy(buf + *len - rest % SECTOR, last, rest % SECTOR);
	}
	return rc;
}

int stream_read_next(struct stream_reader *r, void *buf, uint64_t *sector, uint32_t *len,
		     struct err *e)
{
	uint8_t head[SECTOR];

	*len = 0;
	while (!r->ended) {
		bool end;
		int rc = get(r, head, SECTOR, &end, e);

		if (rc)
			return rc;
		/* Where the directory is in front, some writers leave out the marker. */
		if (end && r->h.gd != SPARSE_GD_AT_END)
			return at_end(r, e);
		if (end)
			return err_set(e, -EBADMSG, "the stream ends at byte %" PRIu64
				       ": its end is missing", r->pos);
		r->grains += le32_get(head + 8) != 0;
		if (le32_get(head + 8))
			return get_grain(r, head, buf, sector, len, e);
		rc = pass_marker(r, head, e);
		if (rc)
			return rc;
	}
	return 0;
}

void stream_read_free(struct stream_reader *r)
{
	if (!r)
		return;
	free(r->desc);
	free(r);
}

int stream_unpack(const struct sparse_header *h, const void *packed, uint32_t len,
		  uint64_t sector, void *buf, struct err *e)
{
	uint64_t grain = h->grain * SECTOR, left = (h->capacity - sector) * SECTOR;

	if (pack_inflate(packed, len, buf, grain, left < grain ? left : grain))
		return 0;
	return err_set(e, -EBADMSG, "the packed grain of disk sector %" PRIu64 " is damaged",
		       sector);
}
