/* vmdk compact, vmdk inflate: less room for a disk, or all of it. */
#include <stdlib.h>

#include "base/size.h"
#include "disk/thin.h"
#include "vmdk.h"

struct thin_args {
	struct progress_args progress;
	struct change_args change;
	bool outside, zero;
};

#define AT(field) offsetof(struct thin_args, field)

#define COMMON_OPTS \
	{ "allow-outside", 0, CLI_FLAG, NULL, AT(outside), 0, 0, \
	  "its files may lie in other folders" }, \
	CHANGE_OPTS(AT(change), "change nothing, say what would be done"), \
	PROGRESS_OPTS(AT(progress)), \
	{ NULL }

const struct cli_opt compact_opts[] = { COMMON_OPTS };
const struct cli_opt inflate_opts[] = {
	{ "zero", 0, CLI_FLAG, NULL, AT(zero), 0, 0, "and lose all that the disk holds" },
	COMMON_OPTS
};

typedef int thin_fn(struct disk *d, const struct disk_thin *t, struct err *e);

/* What both are: open, do it, say how much room there is now. */
static int run(struct cli *c, int argc, char **argv, const char *action, thin_fn *fn)
{
	struct disk_opts o = { 0 };
	struct disk_thin t = { .progress = progress_step };
	struct thin_args a = { 0 };
	struct json j = { 0 };
	struct err e = { 0 };
	uint64_t before = 0, after = 0;
	char text[24];
	struct disk *d;
	int rc = parse_line(c, &a, &argc, argv, "FILE"), rc2;

	if (rc >= 0)
		return rc;
	t.zero = a.zero;
	o.write = !a.change.check;
	o.allow_outside = a.outside;
	progress_begin(c, progress_how(&a.progress));
	rc = disk_open(&d, argv[0], &o, &e);
	if (rc)
		return cli_fail(c, &e);
	before = after = disk_room(d);
	if (!a.change.check) {
		rc = fn(d, &t, &e);
		after = disk_room(d);
	}
	rc2 = disk_close(d, rc ? NULL : &e);
	progress_end();
	if (rc || rc2)
		return cli_fail(c, &e);
	json_put_u64(&j, "old_allocated_bytes", before);
	json_put_u64(&j, "allocated_bytes", after);
	return say_change(c, &a.change, &j, argv[0], action, a.change.check || a.zero || before != after,
			  "takes %s now", size_format(text, before));
}

int compact_main(struct cli *c, int argc, char **argv)
{
	return run(c, argc, argv, "compact", disk_compact);
}

int inflate_main(struct cli *c, int argc, char **argv)
{
	return run(c, argc, argv, "inflate", disk_inflate);
}
