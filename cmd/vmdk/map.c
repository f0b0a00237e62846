/* vmdk map: what a disk holds, and where its bytes lie. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "disk/disk.h"
#include "vmdk.h"

struct map_args {
	bool json, outside, raw;
};

#define AT(field) offsetof(struct map_args, field)

const struct cli_opt map_opts[] = {
	{ "raw", 0, CLI_FLAG, NULL, AT(raw), 0, 0, "FILE is raw whatever it begins with" },
	{ "allow-outside", 0, CLI_FLAG, NULL, AT(outside), 0, 0,
	  "its files may lie in other folders or be devices" },
	{ "json", 0, CLI_FLAG, NULL, AT(json), 0, 0, "one object a range" },
	{ NULL },
};

static const char *const kind_name[] = {
	[DISK_ABSENT] = "absent", [DISK_ZERO] = "zero", [DISK_DATA] = "data",
	[DISK_PACKED] = "packed", [DISK_REFUSED] = "refused",
};

struct range {
	uint64_t start;
	struct disk_run run;
	unsigned layer;
};

static int print_range(struct cli *c, bool json, const struct disk *d, const struct range *r)
{
	bool there = r->run.kind == DISK_DATA;
	struct json j = { 0 };

	if (!json) {
		printf("%15" PRIu64 " %15" PRIu64 " %-8s", r->start, r->run.len,
		       kind_name[r->run.kind]);
		if (there || r->run.kind == DISK_PACKED)
			print_text(" %u %s", r->layer, r->run.file->path);
		if (there)
			printf(" %" PRIu64, r->run.off);
		putchar('\n');
		return CLI_DONE;
	}
	json_put_u64(&j, "start_bytes", r->start);
	json_put_u64(&j, "length_bytes", r->run.len);
	json_put_text(&j, "kind", kind_name[r->run.kind]);
	json_put_u64(&j, "layer", r->layer);
	json_put_text(&j, "layer_path", disk_layer((struct disk *)d, r->layer)->path);
	if (there || r->run.kind == DISK_PACKED)
		json_put_text(&j, "file", r->run.file->path);
	if (there)
		json_put_u64(&j, "file_offset_bytes", r->run.off);
	return print_json(c, &j);
}

/* Does b go on where a ends? */
static bool goes_on(const struct range *a, const struct range *b)
{
	return a->run.kind == b->run.kind && a->layer == b->layer &&
	       a->run.file == b->run.file &&
	       (a->run.kind != DISK_DATA || a->run.off + a->run.len == b->run.off);
}

static int map_all(struct cli *c, bool json, struct disk *d, struct err *e)
{
	uint64_t size = disk_size(d);
	struct range now, last = { 0 };

	if (!json)
		printf("%15s %15s %-8s %s\n", "start", "length", "kind", "layer, file, offset");
	for (uint64_t at = 0; at < size; at += now.run.len) {
		int rc = disk_map(d, at, size - at, &now.run, &now.layer, e);

		if (rc)
			return rc;
		now.start = at;
		if (now.run.kind != DISK_DATA && now.run.kind != DISK_PACKED)
			now.run.file = NULL;
		if (last.run.len && goes_on(&last, &now)) {
			last.run.len += now.run.len;
			continue;
		}
		if (last.run.len && print_range(c, json, d, &last))
			return err_set(e, -ENOMEM, "out of memory");
		last = now;
	}
	if (last.run.len && print_range(c, json, d, &last))
		return err_set(e, -ENOMEM, "out of memory");
	return 0;
}

int map_main(struct cli *c, int argc, char **argv)
{
	struct map_args a = { 0 };
	struct err e = { 0 };
	struct disk_opts o = { .no_lock = true, .backends = vmdk_backends };
	struct disk *d;
	int rc = parse_line(c, &a, &argc, argv, "FILE");

	if (rc >= 0)
		return rc;
	o.allow_outside = a.outside;
	o.raw = a.raw;
	rc = disk_open(&d, argv[0], &o, &e);
	if (rc)
		return cli_fail(c, &e);
	rc = map_all(c, a.json, d, &e);
	disk_close(d, NULL);
	return rc ? cli_fail(c, &e) : CLI_DONE;
}
