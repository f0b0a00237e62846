#include "dev/blkdisk.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/le.h"
#include "dev/sgio.h"
#include "disk/create.h"
#include "disk/disk.h"
#include "disk/files.h"
#include "disk/pace.h"
#include "disk/ring.h"

#define QUIET_S	60

struct blkdisk {
	struct disk *disk;
	struct ring *ring;	/* made when the first read has to wait */
	bool no_ring;		/* there can be none */
	int fd;			/* a physical RDM: of the device */
	bool raw_by_look;	/* what is written goes to a raw file, which nobody says it is */
	void (*warn)(const char *line);
	_Atomic uint64_t quiet_until_ns;
};

/*
 * A file is raw because it begins like no other.  A guest that changed that would choose
 * what it is the next time: a child of any disk of the folder whose id it knows.
 */
static int refuse_format(const struct blkdisk *bd, const struct iovec *iov, int n, uint64_t off,
			 struct err *e)
{
	char head[BLK_SECTOR];
	size_t have = 0;

	if (off || !bd->raw_by_look)
		return 0;
	for (int i = 0; i < n && have < sizeof(head); i++) {
		size_t len = iov[i].iov_len < sizeof(head) - have ? iov[i].iov_len :
			     sizeof(head) - have;

		memcpy(head + have, iov[i].iov_base, len);
		have += len;
	}
	if (!image_probe(head, have, disk_size(bd->disk)))
		return 0;
	return err_set(e, -EPERM, "%s: is raw; what the guest wrote to its first sector would make it "
		       "a VMDK", disk_layer(bd->disk, 0)->path);
}

/* The guest is told of each failure; whoever runs it, of one a minute. */
static int failed(struct blkdisk *bd, int rc, const struct err *e)
{
	uint64_t now, until = bd->quiet_until_ns;

	if (rc >= 0 || rc == -EAGAIN || !bd->warn || !e)
		return rc;
	now = clock_ns();
	if (now >= until && atomic_compare_exchange_strong(&bd->quiet_until_ns, &until,
							   now + QUIET_S * NS_PER_SEC))
		bd->warn(e->msg);
	return rc;
}

static int bd_readv(void *ptr, const struct iovec *iov, int n, uint64_t off, struct err *e)
{
	struct blkdisk *bd = ptr;

	return failed(bd, disk_readv(bd->disk, iov, n, off, e), e);
}

static int bd_writev(void *ptr, const struct iovec *iov, int n, uint64_t off, struct err *e)
{
	struct blkdisk *bd = ptr;

	int rc = refuse_format(bd, iov, n, off, e);

	return failed(bd, rc ? rc : disk_writev(bd->disk, iov, n, off, e), e);
}

static int bd_try_readv(void *ptr, const struct iovec *iov, int n, uint64_t off, struct err *e)
{
	struct blkdisk *bd = ptr;

	return failed(bd, disk_try_readv(bd->disk, iov, n, off, e), e);
}

static int bd_start_readv(void *ptr, const struct iovec *iov, int n, uint64_t off,
			  void (*done)(void *req, int rc), void *req)
{
	struct blkdisk *bd = ptr;

	if (!bd->ring && !bd->no_ring)
		bd->no_ring = ring_new(&bd->ring, NULL) != 0;
	return bd->no_ring ? -EAGAIN : disk_start_readv(bd->disk, bd->ring, iov, n, off, done, req);
}

static int bd_try_writev(void *ptr, const struct iovec *iov, int n, uint64_t off,
			 struct err *e)
{
	struct blkdisk *bd = ptr;

	int rc = refuse_format(bd, iov, n, off, e);

	return failed(bd, rc ? rc : disk_try_writev(bd->disk, iov, n, off, e), e);
}

static bool bd_frozen(void *ptr)
{
	return disk_frozen(((struct blkdisk *)ptr)->disk);
}

static uint64_t bd_turn(void *ptr, uint64_t len)
{
	return disk_turn(((struct blkdisk *)ptr)->disk, len);
}

static bool bd_paced(void *ptr)
{
	return disk_is_paced(((struct blkdisk *)ptr)->disk);
}

static int bd_zero(void *ptr, uint64_t off, uint64_t len, bool unmap, struct err *e)
{
	struct blkdisk *bd = ptr;

	return failed(bd, disk_zero(bd->disk, off, len, unmap, e), e);
}

static int bd_flush(void *ptr, struct err *e)
{
	struct blkdisk *bd = ptr;

	return failed(bd, disk_flush(bd->disk, e), e);
}

#define MAP_STEPS 256	/* what is longer in pieces is asked for again */

static int bd_map(void *ptr, uint64_t off, uint64_t *len, bool *data, struct err *e)
{
	uint64_t at = off, end = off + *len;
	struct disk_run run;
	unsigned layer;

	for (unsigned i = 0; i < MAP_STEPS && at < end; i++) {
		int rc = disk_map(((struct blkdisk *)ptr)->disk, at, end - at, &run, &layer, e);

		if (rc)
			return rc;
		if (i == 0)
			*data = run.kind != DISK_ZERO;
		else if (*data != (run.kind != DISK_ZERO))
			break;
		at += run.len;
	}
	*len = at - off;
	return 0;
}

static void bd_close(void *ptr)
{
	struct blkdisk *bd = ptr;

	ring_free(bd->ring);
	disk_close(bd->disk, NULL);
	free(bd);
}

static const struct blk_ops bd_ops = {
	.readv = bd_readv, .writev = bd_writev, .try_readv = bd_try_readv,
	.try_writev = bd_try_writev, .start_readv = bd_start_readv, .frozen = bd_frozen,
	.turn = bd_turn, .paced = bd_paced, .zero = bd_zero, .flush = bd_flush, .map = bd_map,
	.close = bd_close,
};

struct disk *blkdisk_disk(const struct blk *b)
{
	struct blkdisk *bd = blk_ptr(b, &bd_ops);

	return bd ? bd->disk : NULL;
}

static void bd_command(void *ptr, struct sgio_cmd *c)
{
	sgio_run(((struct blkdisk *)ptr)->fd, c);
}

/* All go to the device as commands; it is not read and written. */
static const struct blk_ops pass_ops = { .command = bd_command, .close = bd_close };

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
static int make_overlay(const char *path, const struct blkdisk_opts *b, struct err *e)
{
	struct disk_create c = { .format = DISK_SPARSE };
	struct disk_opts o = { .allow_outside = b->allow_outside };
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
		rc = disk_parent_hint(&hint, b->overlay, path, false, e);
	if (!rc) {
		c.size = disk_size(d);
		c.parent = hint;
		c.parent_cid = top->desc->cid;
		rc = disk_create(b->overlay, &c, e);
	}
	free(hint);
	disk_close(d, NULL);
	return rc;
}

/*
 * A disk on which nothing hangs above im, on which something does; the caller frees it, NULL:
 * no memory.  others: there are more of them.
 */
static char *find_leaf(const struct image *im, bool *others)
{
	struct disk_opts o = { .no_parent = true, .no_lock = true, .no_extents = true };
	char *leaf = NULL;

	*others = false;
	for (unsigned i = 0; i < DISK_LAYERS; i++) {
		struct disk_files l;
		struct image *at = NULL;

		if (leaf && image_open(&at, leaf, &o, NULL))
			break;
		if (disk_children(&l, at ? at : im, NULL))
			l = (struct disk_files){ .n = 0 };
		image_close(at);
		if (l.n) {
			free(leaf);
			leaf = strdup(l.path[0]);
		}
		*others |= l.n > 1;
		at = NULL;
		if (!l.n)
			break;
		disk_files_free(&l);
	}
	return leaf;
}

/* What was written to a layer on which others hang would ruin those. */
static int refuse_frozen(struct blkdisk *bd, const struct blkdisk_opts *o, struct err *e)
{
	const struct image *top = disk_layer(bd->disk, disk_layers(bd->disk) - 1);
	int rc = o->readonly || !top->desc ? 0 : disk_refuse_children(top, "", e);
	bool others;
	char *leaf;

	if (rc == -EEXIST) {
		leaf = find_leaf(top, &others);
		err_set(e, rc, "%.70s: others hang on it and would lose what they have from it: name a disk "
			"on which nothing hangs, %s%.70s", top->path, others ? "such as " : "",
			leaf ? leaf : "");
		free(leaf);
	}
	if (rc)
		disk_close(bd->disk, NULL);
	return rc;
}

static int open_disk(struct blkdisk *bd, const char *path, const struct blkdisk_opts *o,
		     struct err *e)
{
	struct disk_opts opts = { .write = !o->readonly, .hold = o->readonly, .raw = o->raw,
				  .allow_outside = o->allow_outside };
	bool there = o->overlay && !o->forget && !access(o->overlay, F_OK);
	int rc;

	if (!o->overlay) {
		rc = disk_open(&bd->disk, path, &opts, e);
		return rc ? rc : refuse_frozen(bd, o, e);
	}
	rc = there ? 0 : make_overlay(path, o, e);
	if (!rc)
		rc = disk_open(&bd->disk, o->overlay, &opts, e);
	if (o->forget && rc != -EEXIST)
		unlink(o->overlay);	/* it lives as long as it is open */
	return rc;
}

static bool is_raw(const struct disk *d)
{
	const struct image *top = disk_layer(d, disk_layers(d) - 1);

	return !top->desc && top->next == 1 && !strcmp(top->ext[0]->ops->name, "FLAT");
}

/* An RDM in physical mode, without a child? */
static bool is_physical(const struct disk *d)
{
	const struct image *im = disk_layer(d, 0);
	const char *type = im->desc ? im->desc->create_type : "";

	return disk_layers(d) == 1 && im->next == 1 && im->ext[0]->file &&
	       im->ext[0]->file->fd >= 0 &&
	       (!strcasecmp(type, "vmfsPassthroughRawDeviceMap") || !strcasecmp(type, "vmfsRDMP"));
}

static int set_params(struct blk_params *p, struct blkdisk *bd, const char *path,
		      const struct blkdisk_opts *o, struct err *e)
{
	*p = (struct blk_params){ .ops = &bd_ops, .ptr = bd, .readonly = o->readonly,
				  .quick_writes = true, .size = disk_size(bd->disk) };
	p->thin = image_thin(disk_layer(bd->disk, disk_layers(bd->disk) - 1));
	identify(bd->disk, path, p->uuid);
	if (o->readonly || !is_physical(bd->disk))
		return 0;
	p->ops = &pass_ops;
	bd->fd = disk_layer(bd->disk, 0)->ext[0]->file->fd;
	return sgio_probe(bd->fd, disk_layer(bd->disk, 0)->ext[0]->file->path, &p->command_max,
			  e);
}

int blkdisk_open(struct blk **b, struct vm *vm, const char *path,
		 const struct blkdisk_opts *o, struct err *e)
{
	struct blk_params p;
	struct blkdisk *bd = calloc(1, sizeof(*bd));
	int rc;

	if (!bd)
		return err_set(e, -ENOMEM, "out of memory");
	bd->no_ring = o->threads;
	bd->warn = o->warn;
	rc = open_disk(bd, path, o, e);
	if (rc) {
		free(bd);
		return rc;
	}
	bd->raw_by_look = !o->readonly && is_raw(bd->disk);
	rc = set_params(&p, bd, path, o, e);
	if (!rc) {
		*b = blk_new(vm, &p, e);
		rc = *b ? 0 : -ENOMEM;
	}
	if (rc)
		bd_close(bd);
	return rc;
}
