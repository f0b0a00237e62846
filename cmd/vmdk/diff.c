/* vmdk diff: where two disks differ. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "disk/diff.h"
#include "vmdk.h"

struct diff_args {
	struct progress_args progress;
	bool json, outside, raw;
};

#define AT(field) offsetof(struct diff_args, field)

const struct cli_opt diff_opts[] = {
	{ "raw", 0, CLI_FLAG, NULL, AT(raw), 0, 0, "B is raw whatever it begins with" },
	{ "allow-outside", 0, CLI_FLAG, NULL, AT(outside), 0, 0,
	  "their files may lie in other folders or be devices" },
	{ "json", 0, CLI_FLAG, NULL, AT(json), 0, 0,
	  "one object a range, then one of counts" },
	PROGRESS_OPTS(AT(progress)),
	{ NULL },
};

struct diffing {
	struct cli *cli;
	const struct diff_args *a;
};

static void print_range(void *ptr, uint64_t off, uint64_t len)
{
	const struct diffing *k = ptr;
	struct json j = { 0 };

	if (k->a->progress.quiet)
		return;
	if (!k->a->json) {
		printf("%15" PRIu64 " %15" PRIu64 "\n", off, len);
		return;
	}
	json_put_u64(&j, "start_bytes", off);
	json_put_u64(&j, "length_bytes", len);
	print_json(k->cli, &j);
}

static int print_sum(struct cli *c, const struct diff_args *a, char **name,
		     struct disk *const *d, uint64_t bytes)
{
	uint64_t size[2] = { disk_size(d[0]), disk_size(d[1]) };
	bool differ = bytes || size[0] != size[1];
	struct json j = { 0 };

	if (!a->json) {
		if (size[0] != size[1] && !a->progress.quiet)
			printf("%s has %" PRIu64 " bytes, %s has %" PRIu64 "\n", name[0],
			       size[0], name[1], size[1]);
		return differ ? CLI_DIFFERS : CLI_DONE;
	}
	json_put_text(&j, "path", name[0]);
	json_put_text(&j, "other", name[1]);
	json_put_bool(&j, "differ", differ);
	json_put_u64(&j, "different_bytes", bytes);
	json_put_u64(&j, "capacity_bytes", size[0]);
	json_put_u64(&j, "other_capacity_bytes", size[1]);
	return print_json(c, &j) ? CLI_FAILED : differ ? CLI_DIFFERS : CLI_DONE;
}

int diff_main(struct cli *c, int argc, char **argv)
{
	struct diff_args a = { 0 };
	struct err e = { 0 };
	struct disk_opts o = { .no_lock = true, .backends = vmdk_backends };
	struct diffing k = { .cli = c, .a = &a };
	struct disk_diff p = { .ptr = &k, .range = print_range, .progress = progress_step };
	struct disk *d[2] = { NULL };
	uint64_t bytes;
	int rc = parse_line(c, &a, &argc, argv, "A B"), code;

	if (rc >= 0)
		return rc;
	o.allow_outside = a.outside;
	rc = disk_open(&d[0], argv[0], &o, &e);
	o.raw = a.raw;
	if (!rc)
		rc = disk_open(&d[1], argv[1], &o, &e);
	if (!rc) {
		progress_begin(c, progress_how(&a.progress));
		rc = disk_diff(d[0], d[1], &p, &bytes, &e);
		progress_end();
	}
	code = rc ? cli_fail(c, &e) : print_sum(c, &a, argv, d, bytes);
	for (int i = 0; i < 2; i++)
		if (d[i])
			disk_close(d[i], NULL);
	return code;
}
