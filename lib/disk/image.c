/* One layer: what kind of file it is, its descriptor, its extents. */
#include "disk/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/le.h"
#include "disk/hold.h"
#include "disk/lock.h"
#include "disk/sparse_header.h"

/* Bytes that tell what a file is: a sector, so that who guards the first one of a raw disk
 * (dev/blkdisk.c) has seen all that counts. */
#define HEAD SECTOR
#define CACHE_MIN 16384u	/* bytes of tables of one extent */

typedef int open_fn(struct extent **x, struct disk_file *f, const struct extent_params *p,
		    struct err *e);

/* A row for each type of extent that has a file. */
static open_fn *const opener[DESC_TYPES] = {
	[DESC_FLAT] = flat_open,
	[DESC_SPARSE] = sparse_open,
	[DESC_VMFS] = flat_open,
	[DESC_VMFSSPARSE] = cowd_open,
	[DESC_VMFSRDM] = flat_open,
	[DESC_VMFSRAW] = flat_open,
	[DESC_SESPARSE] = sesparse_open,
};

static const char *const create_types[] = {
	"monolithicSparse", "twoGbMaxExtentSparse", "2GbMaxExtentSparse", "streamOptimized",
	"monolithicFlat", "twoGbMaxExtentFlat", "2GbMaxExtentFlat", "fullDevice",
	"partitionedDevice", "custom", "vmfs", "vmfsThin", "vmfsPreallocated",
	"vmfsEagerZeroedThick", "vmfsSparse", "seSparse", "vmfsRaw", "vmfsRawDeviceMap", "vmfsRDM",
	"vmfsPassthroughRawDeviceMap", "vmfsRDMP",
};

enum what { WHAT_TEXT, WHAT_RAW, WHAT_SPARSE, WHAT_COWD, WHAT_SESPARSE };

static const enum desc_type type_of[] = {
	[WHAT_RAW] = DESC_FLAT, [WHAT_SPARSE] = DESC_SPARSE, [WHAT_COWD] = DESC_VMFSSPARSE,
	[WHAT_SESPARSE] = DESC_SESPARSE,
};

static enum what detect(uint64_t size, const char *head, size_t n)
{
	if (n >= 4 && !memcmp(head, "KDMV", 4))
		return WHAT_SPARSE;
	if (n >= 4 && !memcmp(head, "COWD", 4))
		return WHAT_COWD;
	if (n >= 8 && le64_get(head) == 0xcafebabe)
		return WHAT_SESPARSE;
	/* A guest may write what looks like a descriptor to the start of a raw disk. */
	return size <= DESC_MAX && desc_probe(head, n) ? WHAT_TEXT : WHAT_RAW;
}

bool image_probe(const char *head, size_t n, uint64_t size)
{
	return detect(size, head, n) != WHAT_RAW;
}

static int no_memory(const char *path, struct err *e)
{
	return err_set(e, -ENOMEM, "%s: no memory", path);
}

/* Room for n extents. */
static int reserve(struct image *im, size_t n, struct err *e)
{
	im->ext = calloc(n ? n : 1, sizeof(struct extent *));
	im->start = calloc(n + 1, sizeof(uint64_t));
	return im->ext && im->start ? 0 : no_memory(im->path, e);
}

static int add(struct image *im, struct extent *x, struct err *e)
{
	if (x->grain < SECTOR || x->grain > DISK_GRAIN_MAX || (x->grain & (x->grain - 1)))
		return err_set(e, -ENOTSUP, "%s: grains of %llu bytes are not done here",
			       im->path, (unsigned long long)x->grain);
	if (x->size % SECTOR || x->size > INT64_MAX - im->size)
		return err_set(e, -EBADMSG, "%s: a size that no disk has", im->path);
	im->ext[im->next] = x;
	im->start[im->next] = im->size;
	im->next++;
	im->size += x->size;
	im->start[im->next] = im->size;
	if (!im->grain || x->grain < im->grain)
		im->grain = x->grain;
	return 0;
}

static uint64_t share_of(const struct disk_opts *o, size_t n)
{
	uint64_t all = o->cache ? o->cache : EXTENT_CACHE;

	return all / n > CACHE_MIN ? all / n : CACHE_MIN;
}

/* f: owned on success only. */
static int open_on(struct image *im, enum desc_type t, struct disk_file *f,
		   const struct extent_params *p, struct err *e)
{
	struct extent *x;
	int rc;

	if (!opener[t])
		return err_set(e, -ENOTSUP, "%s: extents of type %s are not done here", f->path,
			       desc_type_name[t]);
	rc = opener[t](&x, f, p, e);
	if (rc)
		return rc;
	rc = add(im, x, e);
	if (rc) {
		x->file = NULL;
		extent_close(x);
	}
	return rc;
}

static int open_fileless(struct image *im, const struct desc_extent *d,
			 const struct extent_params *p, struct err *e)
{
	struct extent *x;
	int rc = d->access == DESC_NOACCESS ? noaccess_open(&x, p, e) : zero_open(&x, p, e);

	if (rc)
		return rc;
	rc = add(im, x, e);
	if (rc)
		extent_close(x);
	return rc;
}

/* Extents may be parts of one device, which is ours once it is open. */
static bool has_device(const struct image *im, const char *path)
{
	struct stat st, mine;

	if (stat(path, &st) || !S_ISBLK(st.st_mode))
		return false;
	for (size_t i = 0; i < im->next; i++) {
		const struct disk_file *f = im->ext[i]->file;

		if (f && f->device && f->writable && !fstat(f->fd, &mine) &&
		    mine.st_rdev == st.st_rdev)
			return true;
	}
	return false;
}

/* What is written to such an extent would be the descriptor. */
static int refuse_self(const struct image *im, const struct disk_file *f, struct err *e)
{
	struct stat st;

	if (f->fd < 0 || fstat(f->fd, &st) || st.st_ino != im->ino || st.st_dev != im->dev)
		return 0;
	return err_set(e, -EBADMSG, "%s: is the descriptor, and one of its own extents", im->path);
}

static int open_extent(struct image *im, const struct desc_extent *d,
		       const struct disk_opts *o, const struct extent_params *p,
		       struct err *e)
{
	unsigned flags = (p->writable ? FILE_WRITE : 0) | (o->allow_outside ? 0 : FILE_PLAIN);
	struct disk_file *f;
	char *path;
	int rc;

	/* An extent of no sectors: whatever its file is, nothing of it is used. */
	if (d->access == DESC_NOACCESS || d->type == DESC_ZERO || d->sectors == 0)
		return open_fileless(im, d, p, e);
	rc = image_file(&path, im, d->file, o->allow_outside, e);
	if (rc)
		return err_in(e, rc == -EINVAL ? err_code(e, -EBADMSG) : rc, im->path);
	rc = file_open(&f, o->backends, path,
		       flags | (has_device(im, path) ? FILE_SHARED : 0), e);
	if (!rc) {
		rc = refuse_self(im, f, e);
		if (!rc)
			rc = open_on(im, d->type, f, p, e);
		if (rc)
			file_close(f);
	}
	free(path);
	/* A name that no file of a disk can have is not the user's. */
	return rc == -EINVAL ? err_code(e, -EBADMSG) : rc;
}

static struct extent_params params_of(const struct image *im, const struct desc_extent *d,
				      const struct disk_opts *o)
{
	const char *thin = desc_get(im->desc, "ddb.thinProvisioned");

	return (struct extent_params){
		.size = d->sectors * SECTOR, .off = d->offset_sectors * SECTOR,
		.writable = o->write && d->access == DESC_RW,
		.thin = thin && !strcmp(thin, "1"), .mend = o->mend,
		.cache = share_of(o, im->desc->nextents),
	};
}

static int check_type(const struct image *im, struct err *e)
{
	for (size_t i = 0; i < sizeof(create_types) / sizeof(*create_types); i++)
		if (!strcasecmp(create_types[i], im->desc->create_type))
			return 0;
	return err_set(e, -ENOTSUP, "%s: createType \"%.60s\" is not done here", im->path,
		       im->desc->create_type);
}

static int open_extents(struct image *im, const struct disk_opts *o, struct err *e)
{
	const struct desc *d = im->desc;
	int rc = check_type(im, e);

	if (!rc && d->nextents == 0)
		rc = err_set(e, -EBADMSG, "%s: the descriptor has no extent lines", im->path);
	if (!rc)
		rc = reserve(im, d->nextents, e);
	for (size_t i = 0; i < d->nextents && !rc; i++) {
		struct extent_params p = params_of(im, &d->extent[i], o);

		rc = open_extent(im, &d->extent[i], o, &p, e);
	}
	return rc;
}

/* Parse len bytes at off of f as the descriptor. */
static int read_desc(struct image *im, struct disk_file *f, uint64_t off, uint64_t len,
		     struct err *e)
{
	char *text = malloc(len ? len : 1);
	int rc;

	if (!text)
		return no_memory(im->path, e);
	rc = file_read(f, text, len, off, e);
	if (!rc) {
		rc = desc_parse(&im->desc, text, len, e);
		if (rc)
			err_in(e, rc, im->path);
	}
	free(text);
	return rc;
}

/* The descriptor inside a sparse extent, if there is one. */
static int read_embedded(struct image *im, struct disk_file *f, const char *head,
			 struct err *e)
{
	struct sparse_header h;
	int rc;

	if (f->size < SECTOR)
		return err_set(e, -EBADMSG, "%s: ends at byte %llu, inside the header of a sparse "
			       "extent", im->path, (unsigned long long)f->size);
	rc = sparse_header_decode(&h, head, e);
	if (rc)
		return err_in(e, rc, im->path);
	if (!h.desc || !h.desc_size)
		return 0;
	if (h.desc_size > DESC_MAX / SECTOR || h.desc > f->size / SECTOR ||
	    h.desc_size > f->size / SECTOR - h.desc)
		return err_set(e, -EBADMSG, "%s: descriptorOffset and descriptorSize lie outside "
			       "the file", im->path);
	rc = read_desc(im, f, h.desc * SECTOR, h.desc_size * SECTOR, e);
	if (rc)
		return rc;
	rc = check_type(im, e);
	if (!rc && (im->desc->nextents != 1 || im->desc->extent[0].type != DESC_SPARSE))
		rc = err_set(e, -EBADMSG, "%s: the descriptor inside it does not have exactly one "
			     "SPARSE extent", im->path);
	im->embedded = true;
	im->desc_off = h.desc * SECTOR;
	im->desc_room = h.desc_size * SECTOR;
	return rc;
}

/* The file itself is the only extent.  It is opened again if it is to be written. */
static int open_only(struct image *im, enum what what, struct disk_file **f,
		     const struct disk_opts *o, struct err *e)
{
	struct extent_params p = {
		.writable = o->write, .thin = true, .mend = o->mend, .cache = share_of(o, 1),
	};
	int rc;

	if (im->desc)
		p = params_of(im, &im->desc->extent[0], o);
	if (o->write && !o->file) {
		file_close(*f);
		*f = NULL;
		rc = file_open(f, o->backends, im->path,
			       FILE_WRITE | (o->plain ? FILE_PLAIN : 0), e);
		if (rc)
			return rc;
	}
	rc = reserve(im, 1, e);
	if (!rc)
		rc = open_on(im, type_of[what], *f, &p, e);
	if (!rc)
		*f = NULL;
	return rc;
}

static int open_what(struct image *im, struct disk_file **f, const struct disk_opts *o,
		     struct err *e)
{
	size_t n = (*f)->size < HEAD ? (size_t)(*f)->size : HEAD;
	char *head = malloc(n ? n : 1);
	enum what what = WHAT_RAW;
	int rc = head ? 0 : no_memory(im->path, e);

	if (!rc)
		rc = file_read(*f, head, n, 0, e);
	if (!rc && !o->raw)
		what = detect((*f)->size, head, n);
	if (!rc && what == WHAT_SPARSE)
		rc = read_embedded(im, *f, head, e);
	free(head);
	if (rc)
		return rc;
	if (what == WHAT_TEXT)
		rc = read_desc(im, *f, 0, (*f)->size, e);
	if (rc || o->no_extents)
		return rc;
	return what == WHAT_TEXT ? open_extents(im, o, e) : open_only(im, what, f, o, e);
}

static void identify(struct image *im, const struct disk_file *f)
{
	struct stat st;

	if (f->fd >= 0 && !fstat(f->fd, &st)) {
		im->dev = st.st_dev;
		im->ino = st.st_ino;
	}
}

/* Files that a descriptor names lie beside it, not beside a link to it. */
static int find_real(struct image *im, struct err *e)
{
	struct stat st;

	if (lstat(im->path, &st) || !S_ISLNK(st.st_mode))
		return 0;
	im->real = realpath(im->path, NULL);
	return im->real ? 0 : err_sys(e, -errno, "%s", im->path);
}

static struct image *image_alloc(const char *path)
{
	struct image *im = calloc(1, sizeof(*im));

	if (im)
		im->path = strdup(path);
	if (im && im->path)
		return im;
	free(im);
	return NULL;
}

int image_open(struct image **out, const char *path, const struct disk_opts *o,
	       struct err *e)
{
	struct image *im = image_alloc(path);
	struct disk_file *f = o->file;
	int rc = im ? 0 : no_memory(path, e);

	if (!rc && !f)
		rc = find_real(im, e);
	if (!rc && o->write && !o->no_lock)
		rc = disk_lock(&im->lock, path, e);
	if (!rc && !f)
		rc = file_open(&f, o->backends, path, o->plain ? FILE_PLAIN : 0, e);
	if (!rc) {
		identify(im, f);
		im->writable = o->write;
		rc = open_what(im, &f, o, e);
	}
	if (!rc && o->write && !o->no_lock)
		rc = image_refuse_held(im, o->sharer, e);
	if (!rc && o->hold) {
		image_hold(im);
		rc = disk_lock_look(path, e);
	}
	/* A file that no extent took; the caller's stays his if this failed. */
	if (f && !(rc && f == o->file))
		file_close(f);
	if (rc) {
		image_close(im);
		return rc;
	}
	*out = im;
	return 0;
}

int image_new(struct image **out, const char *path, struct extent *const *ext, size_t n,
	      struct err *e)
{
	struct image *im = image_alloc(path);
	int rc = im ? reserve(im, n, e) : no_memory(path, e);

	for (size_t i = 0; i < n && !rc; i++) {
		rc = add(im, ext[i], e);
		im->writable |= ext[i]->writable;
	}
	if (!rc) {
		*out = im;
		return 0;
	}
	if (im)
		im->next = 0;
	image_close(im);
	return rc;
}

void image_close(struct image *im)
{
	if (!im)
		return;
	for (size_t i = 0; i < im->next; i++)
		extent_close(im->ext[i]);
	disk_unlock(im->lock);
	desc_free(im->desc);
	free(im->ext);
	free(im->start);
	free(im->broken);
	free(im->real);
	free(im->path);
	free(im);
}

struct extent *image_extent(const struct image *im, uint64_t off, uint64_t *in)
{
	size_t lo = 0, hi = im->next;

	/* The last that begins at or before off: others of no size may begin there, too. */
	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (im->start[mid] <= off)
			lo = mid;
		else
			hi = mid;
	}
	*in = off - im->start[lo];
	return im->ext[lo];
}

int image_map(struct image *im, uint64_t off, uint64_t len, struct disk_run *run,
	      struct err *e)
{
	uint64_t in;
	struct extent *x = image_extent(im, off, &in);

	if (len > x->size - in)
		len = x->size - in;
	return x->ops->map(x, in, len, run, e);
}

int image_flush(struct image *im, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < im->next && !rc; i++) {
		struct extent *x = im->ext[i];

		if (!x->writable || !x->file)
			continue;
		if (x->ops->dirty && x->ops->dirty(x))
			rc = x->ops->flush(x, e);
		else
			rc = file_sync(x->file, e);
	}
	return rc;
}

bool image_thin(const struct image *im)
{
	bool any = false;

	for (size_t i = 0; i < im->next; i++) {
		if (im->ext[i]->writable && !im->ext[i]->thin)
			return false;
		any |= im->ext[i]->writable;
	}
	return any;
}
