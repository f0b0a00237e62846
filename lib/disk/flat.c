/*
 * Flat extents: the bytes of the disk, one behind the other.  Holes of the file are
 * told as zeros, so that whoever maps or copies the disk leaves them out.
 *
 * A file that ends inside a sector (raw images may) is a disk whose last sector ends
 * in zeros.  That sector is read by unpack(); its first write makes it a whole one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/extent.h"

struct flat {
	struct extent x;
	uint64_t off;		/* where the extent begins in its file */
};

static struct flat *flat_of(struct extent *x)
{
	return (struct flat *)x;
}

static int flat_map(struct extent *x, uint64_t off, uint64_t len, struct disk_run *run,
		    struct err *e)
{
	uint64_t at = flat_of(x)->off + off, whole = x->file->size & ~(uint64_t)(SECTOR - 1);
	uint64_t start, end;
	int rc;

	*run = (struct disk_run){ .kind = DISK_DATA, .len = len, .file = x->file, .off = at };
	if (len > x->size - off)
		run->len = len = x->size - off;
	if (at >= whole) {
		run->kind = at < x->file->size ? DISK_PACKED : DISK_ZERO;
		run->len = SECTOR;
		return 0;
	}
	if (len > whole - at)
		run->len = len = whole - at;
	rc = file_data(x->file, at, &start, &end, e);
	if (rc)
		return rc;
	/* A sector with a hole in it is data. */
	start &= ~(uint64_t)(SECTOR - 1);
	end = (end + SECTOR - 1) & ~(uint64_t)(SECTOR - 1);
	if (start == end || start > at) {
		run->kind = DISK_ZERO;
		if (start != end && start - at < len)
			run->len = start - at;
	} else if (end - at < len) {
		run->len = end - at;
	}
	return 0;
}

static int flat_unpack(struct extent *x, const struct disk_run *run, void *buf,
		       struct err *e)
{
	uint64_t size = run->file->size, have = size > run->off ? size - run->off : 0;

	if (have > SECTOR)
		have = SECTOR;
	memset(buf, 0, SECTOR);
	return file_read(run->file, buf, have, run->off, e);
}

/* All has its room already. */
static int flat_alloc(struct extent *x, uint64_t off, uint64_t len, struct disk_run *run,
		      struct err *e)
{
	*run = (struct disk_run){
		.kind = DISK_DATA, .len = len, .file = x->file, .off = flat_of(x)->off + off,
	};
	return 0;
}

static int flat_commit(struct extent *x, uint64_t off, const struct disk_run *run,
		       struct err *e)
{
	return 0;
}

static int flat_drop(struct extent *x, uint64_t off, uint64_t len, bool absent,
		     struct err *e)
{
	uint64_t at = flat_of(x)->off + off;

	if (absent)
		return err_set(e, -ENOTSUP, "%s: a flat extent hides no parent", x->file->path);
	return x->thin ? file_punch(x->file, at, len, e) : file_zero(x->file, at, len, e);
}

static int flat_flush(struct extent *x, struct err *e)
{
	return file_sync(x->file, e);
}

static int flat_resize(struct extent *x, uint64_t bytes, struct err *e)
{
	struct flat *s = flat_of(x);
	uint64_t end = s->off + x->size;
	int rc = 0;

	if (end < (x->file->size & ~(uint64_t)(SECTOR - 1))) {
		if (bytes > x->size)
			return err_set(e, -ENOTSUP, "%s: goes on behind this extent, which cannot "
				       "grow; if that is no one's, cut it off: truncate -s %llu",
				       x->file->path, (unsigned long long)end);
		x->size = bytes;	/* whosever that is, it stays */
		return 0;
	}
	/* A part of a sector behind the end would be seen in front of the new one. */
	if (bytes > x->size && end < x->file->size)
		rc = file_resize(x->file, end, e);
	if (!rc && bytes > x->size && !x->thin && !x->file->device)
		rc = file_zero(x->file, end, bytes - x->size, e);
	if (!rc)
		rc = file_resize(x->file, s->off + bytes, e);
	if (!rc)
		rc = file_sync(x->file, e);
	if (!rc)
		x->size = bytes;
	return rc;
}

static int flat_check(struct extent *x, const struct extent_check *c, struct err *e)
{
	uint64_t end = flat_of(x)->off + x->size, size = x->file->size;

	if (size > end && flat_of(x)->off == 0 && !x->file->device)
		c->report(c->ptr, "too-long", true, false,
			  "%s: %llu bytes lie behind the end of the extent", x->file->path,
			  (unsigned long long)(size - end));
	return 0;
}

static void flat_close(struct extent *x)
{
	file_close(x->file);
	free(x);
}

static const struct extent_ops flat_ops = {
	.name = "FLAT",
	.map = flat_map, .unpack = flat_unpack,
	.alloc = flat_alloc, .commit = flat_commit, .drop = flat_drop,
	.flush = flat_flush, .resize = flat_resize, .check = flat_check,
	.close = flat_close,
};

int flat_open(struct extent **x, struct disk_file *f, const struct extent_params *p,
	      struct err *e)
{
	uint64_t size = p->size, have = f->size;
	struct flat *s;

	if (p->off > have || p->off % SECTOR)
		return err_set(e, -EBADMSG, "%s: the extent's offset, byte %llu, lies outside "
			       "the file", f->path, (unsigned long long)p->off);
	have -= p->off;
	if (!size)
		size = (have + SECTOR - 1) & ~(uint64_t)(SECTOR - 1);
	/* The last sector may be a part of one, nothing else may be missing. */
	if (size % SECTOR || size > ((have + SECTOR - 1) & ~(uint64_t)(SECTOR - 1)))
		return err_set(e, -EBADMSG, "%s: has %llu bytes for the extent, its descriptor "
			       "says %llu", f->path, (unsigned long long)have,
			       (unsigned long long)size);
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(e, -ENOMEM, "%s: no memory", f->path);
	s->off = p->off;
	s->x = (struct extent){
		.ops = &flat_ops, .file = f, .size = size, .grain = SECTOR,
		.writable = p->writable && f->writable, .thin = p->thin || f->discards,
	};
	*x = &s->x;
	return 0;
}
