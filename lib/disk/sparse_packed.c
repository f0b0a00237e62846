/* Grains of streamOptimized extents, read in any order. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "disk/pack.h"
#include "disk/sparse_impl.h"

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
			return err_set(e, -EBADMSG, "%s: no grain at sector %" PRIu64 ": its "
				       "marker says sector %" PRIu64 ", %" PRIu64 " bytes",
				       s->x.file->path, sector, *lba, *len);
		if (*len > have - *at)
			return err_set(e, -EBADMSG, "%s: the grain of sector %" PRIu64
				       " ends behind the end of the file", s->x.file->path,
				       *lba);
	} else if (*len > have - *at) {	/* no size is stored: the data say where they end */
		*len = have - *at;
	}
	return 0;
}

int packed_walk(struct sparse *s, int (*grain)(void *ptr, uint64_t lba, uint64_t sector), void *ptr,
		struct err *e)
{
	uint64_t at = s->h.overhead, end = s->x.file->size / SECTOR;
	int rc = 0;

	while (!rc && at < end) {
		uint8_t head[SPARSE_GRAIN_HEAD + 4];
		uint64_t value, n;

		rc = file_read(s->x.file, head, sizeof(head), at * SECTOR, e);
		if (rc)
			break;
		value = le64_get(head);
		n = le32_get(head + 8);
		if (n) {
			if (n > sparse_packed_max(s->x.grain) || value & (s->h.grain - 1) ||
			    value >= s->h.capacity)
				break;
			rc = grain(ptr, value, at);
			n = (SPARSE_GRAIN_HEAD + n + SECTOR - 1) / SECTOR;
		} else {
			uint32_t type = le32_get(head + SPARSE_GRAIN_HEAD);

			if (type != SPARSE_MARK_GT && type != SPARSE_MARK_GD && type != SPARSE_MARK_PROGRESS)
				break;
			n = value < end ? value + 1 : end;
		}
		at += n;
	}
	return rc;
}

int packed_unpack(struct extent *x, const struct disk_run *run, void *buf, struct err *e)
{
	struct sparse *s = sparse_of(x);
	uint64_t lba, at, len, need = x->grain, disk = s->h.capacity * SECTOR;
	uint8_t *in;
	bool ok;
	int rc;

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
	ok = pack_inflate(in, len, buf, x->grain, need);
	free(in);
	if (!ok)
		return err_in(e, err_set(e, -EBADMSG, "the packed grain at byte %" PRIu64 " of the "
					 "file (disk sector %" PRIu64 ") is damaged", run->off,
					 lba), x->file->path);
	return 0;
}
