/* Extents without a file: ZERO reads as zeros, NOACCESS cannot be read or written. */
#include <errno.h>
#include <stdlib.h>

#include "disk/extent.h"

static int whole(struct extent *x, uint64_t off, uint64_t len, enum disk_kind kind,
		 struct disk_run *run)
{
	*run = (struct disk_run){ .kind = kind, .len = len };
	if (len > x->size - off)
		run->len = x->size - off;
	return 0;
}

static int zero_map(struct extent *x, uint64_t off, uint64_t len, struct disk_run *run,
		    struct err *e)
{
	return whole(x, off, len, DISK_ZERO, run);
}

static int noaccess_map(struct extent *x, uint64_t off, uint64_t len,
			struct disk_run *run, struct err *e)
{
	return whole(x, off, len, DISK_REFUSED, run);
}

static void fileless_close(struct extent *x)
{
	free(x);
}

static const struct extent_ops zero_ops = {
	.name = "ZERO", .map = zero_map, .close = fileless_close,
};
static const struct extent_ops noaccess_ops = {
	.name = "NOACCESS", .map = noaccess_map, .close = fileless_close,
};

static int fileless_open(struct extent **x, const struct extent_ops *ops,
			 const struct extent_params *p, struct err *e)
{
	*x = calloc(1, sizeof(**x));
	if (!*x)
		return err_set(e, -ENOMEM, "no memory");
	**x = (struct extent){ .ops = ops, .size = p->size, .grain = SECTOR };
	return 0;
}

int zero_open(struct extent **x, const struct extent_params *p, struct err *e)
{
	return fileless_open(x, &zero_ops, p, e);
}

int noaccess_open(struct extent **x, const struct extent_params *p, struct err *e)
{
	return fileless_open(x, &noaccess_ops, p, e);
}
