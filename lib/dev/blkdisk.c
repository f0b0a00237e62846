#include "dev/blkdisk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/le.h"
#include "disk/create.h"
#include "disk/disk.h"

struct blkdisk {
	struct disk *disk;
};

static int bd_readv(void *ptr, const struct iovec *iov, int n, uint64_t off, struct err *e)
{
	return disk_readv(((struct blkdisk *)ptr)->disk, iov, n, off, e);
}

static int bd_writev(void *ptr, const struct iovec *iov, int n, uint64_t off, struct err *e)
{
	return disk_writev(((struct blkdisk *)ptr)->disk, iov, n, off, e);
}

static int bd_try_readv(void *ptr, const struct iovec *iov, int n, uint64_t off, struct err *e)
{
	return disk_try_readv(((struct blkdisk *)ptr)->disk, iov, n, off, e);
}

static int bd_try_writev(void *ptr, const struct iovec *iov, int n, uint64_t off,
			 struct err *e)
{
	return disk_try_writev(((struct blkdisk *)ptr)->disk, iov, n, off, e);
}

static int bd_zero(void *ptr, uint64_t off, uint64_t len, bool unmap, struct err *e)
{
	return disk_zero(((struct blkdisk *)ptr)->disk, off, len, unmap, e);
}

static int bd_flush(void *ptr, struct err *e)
{
	return disk_flush(((struct blkdisk *)ptr)->disk, e);
}

static void bd_close(void *ptr)
{
	struct blkdisk *bd = ptr;

	disk_close(bd->disk, NULL);
	free(bd);
}

static const struct blk_ops bd_ops = {
	.readv = bd_readv, .writev = bd_writev, .try_readv = bd_try_readv,
	.try_writev = bd_try_writev, .zero = bd_zero, .flush = bd_flush, .close = bd_close,
};

/* --- what it is known by --------------------------------------------------------------- */

/* "60 00 C2 9f 0e 6d ...-..." -> 16 bytes. */
static bool parse_uuid(const char *s, uint8_t *uuid)
{
	for (unsigned i = 0; i < 16; i++) {
		char *end, digits[3] = { 0 };

		while (*s == ' ' || *s == '-')
			s++;
		memcpy(digits, s, strnlen(s, 2));
		uuid[i] = (uint8_t)strtoul(digits, &end, 16);
		if (end != digits + 2)
			return false;
		s += 2;
	}
	return true;
}

/* FNV-1a, twice, of the path: it is what a disk without a UUID has of its own. */
static void uuid_of_path(const char *path, uint8_t *uuid)
{
	char *real = realpath(path, NULL);
	uint64_t h = 0xcbf29ce484222325;

	for (unsigned half = 0; half < 2; half++) {
		for (const char *s = real ? real : path; *s; s++)
			h = (h ^ (uint8_t)*s) * 0x100000001b3;
		le64_put(uuid + 8 * half, h);
	}
	free(real);
}

static void identify(struct disk *d, const char *path, uint8_t *uuid)
{
	const struct image *base = disk_layer(d, 0);
	const char *s = base->desc ? desc_get(base->desc, "ddb.uuid") : NULL;

	if (!s || !parse_uuid(s, uuid))
		uuid_of_path(path, uuid);
}

/* --- opening --------------------------------------------------------------------------- */

/* A child of the disk at path, for what is written from now on. */
static int make_overlay(const char *path, const char *overlay, struct err *e)
{
	struct disk_create c = { .format = DISK_SPARSE };
	struct disk_opts o = { 0 };
	const struct image *top;
	char *hint = NULL;
	struct disk *d;
	int rc = disk_open(&d, path, &o, e);

	if (rc)
		return rc;
	top = disk_layer(d, disk_layers(d) - 1);
	if (!top->desc)
		rc = err_set(e, -ENOTSUP, "%s: only a VMDK can have a child that takes what is "
			     "written", path);
	if (!rc)
		rc = disk_parent_hint(&hint, overlay, path, false, e);
	if (!rc) {
		c.size = disk_size(d);
		c.parent = hint;
		c.parent_cid = top->desc->cid;
		rc = disk_create(overlay, &c, e);
	}
	free(hint);
	disk_close(d, NULL);
	return rc;
}

static int open_disk(struct blkdisk *bd, const char *path, const struct blkdisk_opts *o,
		     struct err *e)
{
	struct disk_opts opts = { .write = !o->readonly, .raw = o->raw };
	bool there = o->overlay && !o->forget && !access(o->overlay, F_OK);
	int rc;

	if (!o->overlay)
		return disk_open(&bd->disk, path, &opts, e);
	rc = there ? 0 : make_overlay(path, o->overlay, e);
	if (!rc)
		rc = disk_open(&bd->disk, o->overlay, &opts, e);
	if (o->forget && rc != -EEXIST)
		unlink(o->overlay);	/* it lives as long as it is open */
	return rc;
}

int blkdisk_open(struct blk **b, struct vm *vm, const char *path,
		 const struct blkdisk_opts *o, struct err *e)
{
	struct blk_params p = { .ops = &bd_ops, .readonly = o->readonly,
				.quick_writes = true };
	struct blkdisk *bd = calloc(1, sizeof(*bd));
	int rc;

	if (!bd)
		return err_set(e, -ENOMEM, "out of memory");
	rc = open_disk(bd, path, o, e);
	if (rc) {
		free(bd);
		return rc;
	}
	p.ptr = bd;
	p.size = disk_size(bd->disk);
	identify(bd->disk, path, p.uuid);
	*b = blk_new(vm, &p, e);
	if (!*b) {
		bd_close(bd);
		return -ENOMEM;
	}
	return 0;
}
