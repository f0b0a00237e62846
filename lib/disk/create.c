/*
 * New disks.  All files are made under their final names, which must be free, and
 * removed again when something fails; the descriptor comes last, so that whatever a crash
 * leaves is no disk yet.
 */
#include "disk/create.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/cowd.h"
#include "disk/files.h"
#include "disk/geometry.h"
#include "disk/manage.h"
#include "disk/sesparse.h"
#include "disk/sparse.h"
#include "disk/stream.h"

#define ZEROS		(1u << 20)	/* bytes written at once */

const char *const disk_format_name[DISK_FORMATS] = {
	[DISK_SPARSE] = "sparse",
	[DISK_SPLIT_SPARSE] = "2gbsparse",
	[DISK_FLAT] = "flat",
	[DISK_SPLIT_FLAT] = "2gbflat",
	[DISK_THIN] = "thin",
	[DISK_ZEROEDTHICK] = "zeroedthick",
	[DISK_EAGERZEROEDTHICK] = "eagerzeroedthick",
	[DISK_VMFSSPARSE] = "vmfssparse",
	[DISK_SESPARSE] = "sesparse",
	[DISK_STREAM] = "stream",
	[DISK_RAW] = "raw",
	[DISK_RDM] = "rdm",
	[DISK_RDMP] = "rdmp",
};

struct making {
	const struct disk_create *c;
	const struct kind *k;
	const char *path;	/* of the descriptor */
	const char *adapter;
	char *stem;		/* path without .vmdk */
	uint64_t sectors;
	struct desc *desc;
	struct disk_files made;	/* files that are there now, or would be */
	uint64_t done;		/* bytes of extents before the present one */
};

typedef int make_fn(struct making *m, const char *path, uint64_t bytes, struct err *e);

static make_fn make_sparse, make_cowd, make_sesparse, make_stream, make_hole, make_thick,
	make_zeroed, make_link;

/* A row a format. */
static const struct kind {
	const char *create_type;	/* NULL: no descriptor */
	enum desc_type type;
	const char *suffix;		/* of an extent's name; split ones count behind it */
	bool split;
	bool embedded;			/* the descriptor lies in the one extent */
	bool offset;			/* extent lines end with one */
	bool child;			/* may have a parent */
	bool small_ddb;			/* a child's ddb holds the content id only */
	make_fn *make;			/* NULL: not created this way */
} kinds[DISK_FORMATS] = {
	[DISK_SPARSE] = { "monolithicSparse", DESC_SPARSE, "", .embedded = true,
			  .child = true, .make = make_sparse },
	[DISK_SPLIT_SPARSE] = { "twoGbMaxExtentSparse", DESC_SPARSE, "-s", .split = true,
				.child = true, .make = make_sparse },
	[DISK_FLAT] = { "monolithicFlat", DESC_FLAT, "-flat", .offset = true, .make = make_thick },
	[DISK_SPLIT_FLAT] = { "twoGbMaxExtentFlat", DESC_FLAT, "-f", .split = true,
			      .offset = true, .make = make_thick },
	[DISK_THIN] = { "vmfs", DESC_VMFS, "-flat", .make = make_hole },
	[DISK_ZEROEDTHICK] = { "vmfs", DESC_VMFS, "-flat", .make = make_thick },
	[DISK_EAGERZEROEDTHICK] = { "vmfs", DESC_VMFS, "-flat", .make = make_zeroed },
	[DISK_VMFSSPARSE] = { "vmfsSparse", DESC_VMFSSPARSE, "-delta", .child = true,
			      .small_ddb = true, .make = make_cowd },
	[DISK_SESPARSE] = { "seSparse", DESC_SESPARSE, "-sesparse", .child = true,
			    .small_ddb = true, .make = make_sesparse },
	[DISK_STREAM] = { "streamOptimized", DESC_SPARSE, "", .embedded = true,
			  .make = make_stream },
	[DISK_RAW] = { .make = make_hole },
	[DISK_RDM] = { "vmfsRawDeviceMap", DESC_VMFSRDM, "-rdm", .make = make_link },
	[DISK_RDMP] = { "vmfsPassthroughRawDeviceMap", DESC_VMFSRDM, "-rdmp", .make = make_link },
};

const char *const disk_adapter_name[] = {
	"ide", "buslogic", "lsilogic", "lsisas1068", "pvscsi", NULL,
};

const char *disk_adapter_in(const struct desc *d)
{
	const char *s = desc_get(d, "ddb.adapterType");

	for (size_t i = 0; s && disk_adapter_name[i]; i++)
		if (!strcasecmp(s, disk_adapter_name[i]))
			return disk_adapter_name[i];
	return NULL;
}

const char *disk_adapter_of(const struct image *im)
{
	return im->desc ? disk_adapter_in(im->desc) : NULL;
}

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

/* Extents */

static int go_on(struct making *m, uint64_t done, struct err *e)
{
	const struct disk_create *c = m->c;

	if (c->progress && !c->progress(c->ptr, m->done + done, c->size))
		return err_set(e, -EINTR, "stopped");
	return 0;
}

static int write_zeros(struct making *m, struct disk_file *f, uint64_t bytes, struct err *e)
{
	void *zeros = calloc(1, ZEROS);
	int rc = zeros ? 0 : err_set(e, -ENOMEM, "out of memory");

	for (uint64_t at = 0; at < bytes && !rc; at += ZEROS) {
		uint64_t n = bytes - at < ZEROS ? bytes - at : ZEROS;

		rc = file_write(f, zeros, n, at, e);
		if (!rc)
			rc = go_on(m, at + n, e);
	}
	free(zeros);
	return rc;
}

enum room { ROOM_NONE, ROOM_TAKEN, ROOM_ZEROED };

static int make_flat(struct making *m, const char *path, uint64_t bytes, enum room room,
		     struct err *e)
{
	struct disk_file *f;
	int rc = file_open(&f, NULL, path, FILE_WRITE | FILE_CREATE, e);

	if (rc)
		return rc;
	rc = file_resize(f, bytes, e);
	/* Where the file system cannot promise room, zeros take it. */
	if (!rc && room == ROOM_TAKEN && fallocate(f->fd, 0, 0, (off_t)bytes)) {
		if (errno == EOPNOTSUPP || errno == ENOSYS)
			room = ROOM_ZEROED;
		else
			rc = err_sys(e, -errno, "%s", path);
	}
	if (!rc && room == ROOM_ZEROED)
		rc = write_zeros(m, f, bytes, e);
	if (!rc)
		rc = file_sync(f, e);
	file_close(f);
	return rc;
}

static int make_hole(struct making *m, const char *path, uint64_t bytes, struct err *e)
{
	return make_flat(m, path, bytes, ROOM_NONE, e);
}

static int make_thick(struct making *m, const char *path, uint64_t bytes, struct err *e)
{
	return make_flat(m, path, bytes, ROOM_TAKEN, e);
}

static int make_zeroed(struct making *m, const char *path, uint64_t bytes, struct err *e)
{
	return make_flat(m, path, bytes, ROOM_ZEROED, e);
}

static int make_sparse(struct making *m, const char *path, uint64_t bytes, struct err *e)
{
	struct sparse_create s = {
		.size = bytes, .grain = m->c->grain, .zeroed = m->c->parent,
	};
	char *text = NULL;
	struct disk_file *f;
	int rc = file_open(&f, NULL, path, FILE_WRITE | FILE_CREATE, e);

	if (rc)
		return rc;
	if (m->k->embedded) {
		text = desc_text(m->desc, &s.desc_len);
		s.desc = text;
		rc = text ? 0 : no_memory(e);
	}
	if (!rc)
		rc = sparse_create(f, &s, e);
	file_close(f);
	free(text);
	return rc;
}

static int make_cowd(struct making *m, const char *path, uint64_t bytes, struct err *e)
{
	struct cowd_create s = { .size = bytes, .grain = m->c->grain };
	struct disk_file *f;
	int rc = file_open(&f, NULL, path, FILE_WRITE | FILE_CREATE, e);

	if (rc)
		return rc;
	rc = cowd_create(f, &s, e);
	file_close(f);
	return rc;
}

static int make_sesparse(struct making *m, const char *path, uint64_t bytes, struct err *e)
{
	struct sesparse_create s = { .size = bytes, .grain = m->c->grain };
	struct disk_file *f;
	int rc = file_open(&f, NULL, path, FILE_WRITE | FILE_CREATE, e);

	if (rc)
		return rc;
	rc = sesparse_create(f, &s, e);
	file_close(f);
	return rc;
}

struct stream_file {
	struct disk_file *f;
	uint64_t at;
};

static int stream_put(void *ptr, const void *buf, size_t len, struct err *e)
{
	struct stream_file *s = ptr;
	int rc = file_write(s->f, buf, len, s->at, e);

	s->at += len;
	return rc;
}

/* One without grains: nothing can be added to it later. */
static int make_stream(struct making *m, const char *path, uint64_t bytes, struct err *e)
{
	struct stream_file s = { 0 };
	struct stream_target t = { .write = stream_put, .ptr = &s };
	struct stream_writer *w = NULL;
	size_t len;
	char *text;
	int rc = file_open(&s.f, NULL, path, FILE_WRITE | FILE_CREATE, e);

	if (rc)
		return rc;
	text = desc_text(m->desc, &len);
	rc = text ? stream_write_begin(&w, &t, bytes, text, len, e) : no_memory(e);
	if (!rc)
		rc = stream_write_end(w, e);
	if (!rc)
		rc = file_sync(s.f, e);
	stream_write_free(w);
	file_close(s.f);
	free(text);
	return rc;
}

/* What VMFS keeps in a mapping file of its own kind is a link elsewhere. */
static int make_link(struct making *m, const char *path, uint64_t bytes, struct err *e)
{
	char *device = realpath(m->c->device, NULL);
	int rc = 0;

	if (!device || symlink(device, path))
		rc = err_sys(e, -errno, "%s", device ? path : m->c->device);
	free(device);
	return rc;
}

/* Names */

static bool exists(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}

static char *extent_name(const struct making *m, uint64_t number)
{
	const struct kind *k = m->k;
	char *name;
	int n;

	if (!k->create_type || k->embedded)
		n = asprintf(&name, "%s", m->path);
	else if (k->split)
		n = asprintf(&name, "%s%s%03" PRIu64 ".vmdk", m->stem, k->suffix, number);
	else
		n = asprintf(&name, "%s%s.vmdk", m->stem, k->suffix);
	return n < 0 ? NULL : name;
}

static int make_file(struct making *m, const char *path, uint64_t bytes, struct err *e)
{
	int rc = m->k->make(m, path, bytes, e);

	/* What was begun here goes; what came from others stays. */
	if (rc && rc != -EEXIST)
		unlink(path);
	return rc;
}

int disk_create_extent(const char *path, const struct disk_create *c, uint64_t bytes,
		       struct err *e)
{
	struct making m = { .c = c, .k = &kinds[c->format], .path = path };

	return make_file(&m, path, bytes, e);
}

/* One extent: its line in the descriptor, its file. */
static int make_extent(struct making *m, uint64_t number, uint64_t sectors, struct err *e)
{
	char *path = extent_name(m, number);
	struct desc_extent x = {
		.access = DESC_RW, .type = m->k->type, .sectors = sectors,
		.has_offset = m->k->offset,
	};
	int rc = 0;

	if (!path)
		return no_memory(e);
	if (!(m->c->dry && m->c->force) && exists(path)) {
		rc = err_sys(e, -EEXIST, "%s", path);
		free(path);
		return rc;
	}
	x.file = (char *)disk_base_name(m->k->embedded && m->c->name ? m->c->name : path);
	if (m->desc)
		rc = desc_set_extent(m->desc, m->desc->nextents, &x, e);
	if (!rc && !m->c->dry)
		rc = make_file(m, path, sectors << SECTOR_SHIFT, e);
	if (rc) {
		free(path);
		return rc;
	}
	m->done += sectors << SECTOR_SHIFT;
	return disk_files_add(&m->made, path, e);
}

static int make_extents(struct making *m, struct err *e)
{
	uint64_t piece = m->k->split ? DISK_PIECE >> SECTOR_SHIFT : m->sectors;
	uint64_t number = 1;
	int rc = 0;

	for (uint64_t at = 0; at < m->sectors && !rc; at += piece) {
		uint64_t n = m->sectors - at < piece ? m->sectors - at : piece;

		rc = make_extent(m, number++, n, e);
	}
	return rc;
}

/* The descriptor */

/* "60 00 C2 9a bb cc dd ee-ff ...": VMware's prefix, then random digits. */
static int set_uuid(struct desc *d, struct err *e)
{
	uint8_t b[16];
	char s[3 * sizeof(b) + 1];

	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		return err_sys(e, -errno, "no random numbers");
	b[0] = 0x60;
	b[1] = 0x00;
	b[2] = 0xc2;
	b[3] = 0x90 | (b[3] & 15);
	for (size_t i = 0; i < sizeof(b); i++)
		snprintf(s + 3 * i, 4, i < 3 ? "%02X " : "%02x ", b[i]);
	s[23] = '-';
	s[3 * sizeof(b) - 1] = 0;
	return desc_set(d, "ddb.uuid", s, e);
}

/* 32 digits, random but for the last 8: the CID. */
static int set_long_content_id(struct desc *d, struct err *e)
{
	uint32_t r[3];
	char s[33];

	if (getrandom(r, sizeof(r), 0) != sizeof(r))
		return err_sys(e, -errno, "no random numbers");
	snprintf(s, sizeof(s), "%08x%08x%08x%08x", r[0], r[1], r[2], d->cid);
	return desc_set(d, "ddb.longContentID", s, e);
}

/* The disk data base, in the order of ESX. */
static int set_ddb(struct making *m, struct err *e)
{
	/* pvscsi and SAS came with hardware version 7. */
	bool new = !strcmp(m->adapter, "pvscsi") || !strcmp(m->adapter, "lsisas1068");
	struct disk_geometry g;
	int rc;

	if (m->c->parent && m->k->small_ddb)
		return set_long_content_id(m->desc, e);
	rc = desc_set(m->desc, "ddb.virtualHWVersion", new ? "7" : "4", e);
	if (!rc)
		rc = set_uuid(m->desc, e);
	geometry_of(&g, m->sectors, m->adapter);
	if (!rc)
		rc = geometry_set(m->desc, &g, e);
	if (!rc)
		rc = desc_set(m->desc, "ddb.adapterType", m->adapter, e);
	if (!rc && m->c->format == DISK_THIN)
		rc = desc_set(m->desc, "ddb.thinProvisioned", "1", e);
	if (!rc)
		rc = set_long_content_id(m->desc, e);
	return rc;
}

static int set_parent(struct desc *d, const struct disk_create *c, struct err *e)
{
	char cid[16];
	int rc;

	snprintf(cid, sizeof(cid), "%08x", c->parent_cid);
	rc = desc_set(d, "parentCID", cid, e);
	return rc ? rc : desc_set(d, "parentFileNameHint", c->parent, e);
}

static int begin_desc(struct making *m, struct err *e)
{
	int rc = 0;

	if (!m->k->create_type)
		return 0;
	m->desc = desc_new(m->k->create_type);
	if (!m->desc)
		return no_memory(e);
	if (m->c->parent)
		rc = set_parent(m->desc, m->c, e);
	return rc ? rc : set_ddb(m, e);
}

static int write_desc(struct making *m, struct err *e)
{
	size_t len;
	char *text, *path;
	int rc;

	if (!m->desc || m->k->embedded)
		return 0;
	path = strdup(m->path);
	if (!m->c->dry) {
		text = path ? desc_text(m->desc, &len) : NULL;
		rc = text ? file_replace(m->path, text, len, e) : no_memory(e);
		free(text);
		if (rc) {
			/* It may stand there, and only be not durable. */
			unlink(m->path);
			free(path);
			return rc;
		}
	}
	return disk_files_add(&m->made, path, e);
}

/* All of it */

static int check_params(struct making *m, struct err *e)
{
	const struct disk_create *c = m->c;
	const char *name = disk_format_name[c->format];

	if (!m->k->make)
		return err_set(e, -ENOTSUP, "disks of format %s cannot be created yet", name);
	if (!c->size || c->size % SECTOR)
		return err_set(e, -EINVAL, "a size of %" PRIu64 " bytes: not a multiple of %u",
			       c->size, SECTOR);
	if (c->size > DISK_SIZE_MAX)
		return err_set(e, -EINVAL, "a size of %" PRIu64 " bytes: the most is 62T", c->size);
	if (c->parent && !m->k->child)
		return err_set(e, -EINVAL, "a disk of format %s has no parent", name);
	for (size_t i = 0; disk_adapter_name[i]; i++)
		if (!strcmp(disk_adapter_name[i], m->adapter))
			return 0;
	return err_set(e, -EINVAL, "%.40s: not an adapter", m->adapter);
}

/* The size of an RDM is the device's. */
static int device_size(const char *path, uint64_t *size, struct err *e)
{
	struct disk_file *f;
	int rc = file_open(&f, NULL, path, 0, e);

	if (rc)
		return rc;
	*size = f->size / SECTOR * SECTOR;
	file_close(f);
	return *size ? 0 : err_set(e, -EINVAL, "%s: is empty", path);
}

static int set_names(struct making *m, struct err *e)
{
	if (!*disk_base_name(m->path))
		return err_set(e, -EINVAL, "%s: names a folder", m->path);
	if (strpbrk(disk_base_name(m->path), "\"\n"))
		return err_set(e, -EINVAL, "%s: a quote or a newline in the name", m->path);
	m->stem = strndup(m->path, disk_stem(m->path));
	return m->stem ? 0 : no_memory(e);
}

static int make_all(struct making *m, struct err *e)
{
	/* What has no descriptor is replaced by its like only. */
	struct disk_manage how = { .bare = m->c->format == DISK_RAW };
	struct disk_files old = { 0 };
	int rc = 0;

	if (exists(m->path)) {
		if (!m->c->force)
			return err_sys(e, -EEXIST, "%s", m->path);
		if (!m->c->dry)
			rc = disk_delete(m->path, &how, &old, e);
		disk_files_free(&old);
	}
	if (!rc)
		rc = begin_desc(m, e);
	if (!rc)
		rc = make_extents(m, e);
	if (!rc)
		rc = write_desc(m, e);
	if (!rc && !m->c->dry)
		rc = file_sync_dir(m->path, e);
	return rc;
}

int disk_create(const char *path, const struct disk_create *given, struct err *e)
{
	struct disk_create c = *given;
	struct making m = {
		.c = &c, .k = &kinds[c.format], .path = path,
		.adapter = c.adapter ? c.adapter : "lsilogic",
	};
	int rc = 0;

	if (c.device)
		rc = device_size(c.device, &c.size, e);
	m.sectors = c.size >> SECTOR_SHIFT;
	if (!rc)
		rc = check_params(&m, e);
	if (!rc)
		rc = set_names(&m, e);
	if (!rc)
		rc = make_all(&m, e);
	for (size_t i = m.made.n; i-- > 0 && rc && !c.dry;)
		unlink(m.made.path[i]);
	for (size_t i = 0; i < m.made.n && !rc && c.made; i++)
		c.made(c.ptr, m.made.path[i]);
	disk_files_free(&m.made);
	free(m.stem);
	desc_free(m.desc);
	return rc;
}

int disk_describe(char **text, size_t *len, const char *path,
		  const struct disk_create *c, struct err *e)
{
	struct making m = {
		.c = c, .k = &kinds[c->format], .path = path,
		.adapter = c->adapter ? c->adapter : "lsilogic",
		.sectors = c->size >> SECTOR_SHIFT,
	};
	struct desc_extent x = {
		.access = DESC_RW, .type = m.k->type, .sectors = m.sectors,
		.file = (char *)disk_base_name(path),
	};
	int rc = begin_desc(&m, e);

	if (!rc)
		rc = desc_set_extent(m.desc, 0, &x, e);
	*text = rc ? NULL : desc_text(m.desc, len);
	desc_free(m.desc);
	return rc || *text ? rc : no_memory(e);
}

/* The absolute path of the folder that holds path. */
static char *folder_of(const char *path)
{
	char *copy = strdup(path), *real = copy ? realpath(dirname(copy), NULL) : NULL;

	free(copy);
	return real;
}

int disk_parent_hint(char **hint, const char *child, const char *parent, bool outside,
		     struct err *e)
{
	struct stat st;
	bool link = !lstat(parent, &st) && S_ISLNK(st.st_mode);
	char *real = link ? realpath(parent, NULL) : NULL, *a, *b;
	int rc = 0;

	/* Children do not follow links. */
	if (real)
		parent = real;
	a = folder_of(child);
	b = folder_of(parent);
	*hint = NULL;
	if (!a || !b)
		rc = err_sys(e, -errno, "%s", a ? parent : child);
	else if (!strcmp(a, b))
		*hint = strdup(disk_base_name(parent));
	else if (outside)
		*hint = realpath(parent, NULL);
	else
		rc = err_set(e, -EPERM, "%s: its parent %s lies in another folder", child, parent);
	if (!rc && !*hint)
		rc = err_sys(e, -errno, "%s", parent);
	free(a);
	free(b);
	free(real);
	return rc;
}
