/* vmdk check: look for damage, mend what can be mended. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "disk/check.h"
#include "vmdk.h"

struct check_args {
	struct progress_args progress;
	bool repair, chain, json, outside, raw;
};

#define AT(field) offsetof(struct check_args, field)

const struct cli_opt check_opts[] = {
	{ "repair", 0, CLI_FLAG, NULL, AT(repair), 0, 0, "mend what can be mended" },
	{ "chain", 0, CLI_FLAG, NULL, AT(chain), 0, 0,
	  "its parents, too, and whether they fit" },
	{ "raw", 0, CLI_FLAG, NULL, AT(raw), 0, 0, "FILE is raw whatever it begins with" },
	{ "allow-outside", 0, CLI_FLAG, NULL, AT(outside), 0, 0,
	  "its files may lie in other folders or be devices" },
	{ "json", 0, CLI_FLAG, NULL, AT(json), 0, 0,
	  "one object a finding, then one of counts" },
	PROGRESS_OPTS(AT(progress)),
	{ NULL },
};

struct checking {
	struct cli *cli;
	bool json;
};

static void print_finding(void *ptr, const struct disk_finding *f)
{
	struct checking *k = ptr;
	struct json j = { 0 };

	progress_end();		/* its line makes room; it comes again */
	if (!k->json) {
		print_text("%s: %s: %s%s\n", f->path, f->kind, f->text,
		       f->repaired ? " (repaired)" : f->leak ? " (only room is lost)" : "");
		return;
	}
	json_put_text(&j, "path", f->path);
	json_put_text(&j, "kind", f->kind);
	json_put_text(&j, "message", f->text);
	json_put_bool(&j, "leak", f->leak);
	json_put_bool(&j, "repaired", f->repaired);
	print_json(k->cli, &j);
}

static bool check_step(void *ptr, uint64_t done, uint64_t total)
{
	return progress_step(NULL, done, total);
}

static int print_sum(struct cli *c, bool json, const char *path, const struct disk_check_sum *s)
{
	struct json j = { 0 };

	if (!json) {
		if (!s->damage && !s->leaks && !s->repaired)
			print_text("%s: clean\n", path);
		else
			print_text("%s: %" PRIu64 " repaired, left: %" PRIu64 " damaged, %" PRIu64
				   " leaked\n", path, s->repaired, s->damage, s->leaks);
		return CLI_DONE;
	}
	json_put_text(&j, "path", path);
	json_put_text(&j, "action", "check");
	json_put_bool(&j, "changed", s->repaired);
	json_put_u64(&j, "repaired", s->repaired);
	json_put_u64(&j, "damage_left", s->damage);
	json_put_u64(&j, "leaks_left", s->leaks);
	return print_json(c, &j);
}

int check_main(struct cli *c, int argc, char **argv)
{
	struct check_args a = { 0 };
	struct err e = { 0 };
	int rc = parse_line(c, &a, &argc, argv, "FILE"), code;
	struct checking k = { .cli = c, .json = a.json };
	struct disk_check p = {
		.repair = a.repair, .chain = a.chain, .ptr = &k, .report = print_finding,
		.progress = check_step,
	};
	struct disk_opts o = {
		.allow_outside = a.outside, .raw = a.raw, .backends = vmdk_backends,
	};
	struct disk_check_sum sum;

	if (rc >= 0)
		return rc;
	progress_begin(c, progress_how(&a.progress));
	rc = disk_check(argv[0], &p, &o, &sum, &e);
	progress_end();
	if (rc)
		return cli_fail(c, &e);
	code = print_sum(c, a.json, argv[0], &sum);
	return code ? code : sum.damage ? CLI_DIFFERS : CLI_DONE;
}
