#ifndef SPARSE_RIG_H
#define SPARSE_RIG_H
/* What tests of hosted sparse extents share: one in a file in memory, and the few lines
 * of data path that are above an extent. */
#include "disk/sparse.h"

#include "check.h"
#include "ramfile.h"

static struct err e;

static inline void rig_create(struct ram *r, const struct sparse_create *c)
{
	struct disk_file *f = ram_open(r, true);
	int rc = sparse_create(f, c, &e);

	check(!rc, "%s", e.msg);
	file_close(f);
}

static inline struct extent *rig_open(struct ram *r, bool writable)
{
	struct extent_params p = { .writable = writable };
	struct disk_file *f = ram_open(r, writable);
	struct extent *x = NULL;
	int rc = sparse_open(&x, f, &p, &e);

	check(!rc, "%s", e.msg);
	if (rc)
		file_close(f);
	return x;
}

/* Write whole grains (of the last one what is inside the disk), new ones where there
 * are none. */
static inline int rig_write(struct extent *x, uint64_t off, const uint8_t *data, uint64_t len)
{
	while (len && off < x->size) {
		struct disk_run run;
		int rc = x->ops->map(x, off, len, &run, &e);
		bool fresh = run.kind != DISK_DATA;

		if (!rc && fresh)
			rc = x->ops->alloc(x, off, (run.len + x->grain - 1) / x->grain * x->grain,
					   &run, &e);
		if (!rc)
			rc = file_write(run.file, data, run.len, run.off, &e);
		if (!rc && fresh)
			rc = x->ops->commit(x, off, &run, &e);
		if (rc)
			return rc;
		off += run.len;
		data += run.len;
		len -= run.len < len ? run.len : len;
	}
	return 0;
}

static inline int rig_read(struct extent *x, uint64_t off, uint8_t *data, uint64_t len)
{
	while (len) {
		struct disk_run run;
		int rc = x->ops->map(x, off, len, &run, &e);

		if (rc)
			return rc;
		if (!run.len || run.len > len)
			return -EPROTO;
		if (run.kind == DISK_DATA)
			rc = file_read(run.file, data, run.len, run.off, &e);
		else
			memset(data, 0, run.len);
		if (rc)
			return rc;
		off += run.len;
		data += run.len;
		len -= run.len;
	}
	return 0;
}

struct findings {
	unsigned damage, leaks, repaired;
	char last[300], kinds[300];
};

static inline void rig_report(void *ptr, const char *kind, bool leak, bool repaired,
			      const char *fmt, ...)
{
	struct findings *n = ptr;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(n->last, sizeof(n->last), fmt, ap);
	va_end(ap);
	if (strlen(n->kinds) + strlen(kind) + 2 < sizeof(n->kinds))
		strcat(strcat(n->kinds, kind), " ");
	n->leaks += leak;
	n->damage += !leak;
	n->repaired += repaired;
}

static inline struct findings rig_check(struct extent *x, bool repair)
{
	struct findings n = { 0 };
	struct extent_check c = { .repair = repair, .ptr = &n, .report = rig_report };
	int rc = (x->ops->check)(x, &c, &e);	/* not the macro */

	check(!rc, "%s", e.msg);
	return n;
}
#endif
