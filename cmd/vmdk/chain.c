/* vmdk chain: the layers of a disk, what is wrong with them, and its repair. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/desc.h"
#include "disk/mend.h"
#include "vmdk.h"

struct chain_args {
	struct change_args change;
	bool fix, outside;
	const char *parent;
};

#define AT(field) offsetof(struct chain_args, field)

const struct cli_opt chain_opts[] = {
	{ "fix", 0, CLI_FLAG, NULL, AT(fix), 0, 0,
	  "repair parentCIDs and lost descriptors" },
	{ "parent", 0, CLI_STRING, "FILE", AT(parent), 1, 0,
	  "--fix: the parent of the lowest layer that is lost" },
	{ "allow-outside", 0, CLI_FLAG, NULL, AT(outside), 0, 0,
	  "layers may lie in other folders" },
	{ "check", 0, CLI_FLAG, NULL, AT(change.check), 0, 0,
	  "--fix: change nothing, say what would be repaired first" },
	{ "json", 0, CLI_FLAG, NULL, AT(change.json), 0, 0, "print JSON" },
	{ NULL },
};

static void put_cid(struct json *j, const char *key, uint32_t cid)
{
	char text[16];

	snprintf(text, sizeof(text), "%08x", cid);
	json_put_text(j, key, text);
}

static int print_link(struct cli *c, const struct chain_args *a, const struct chain_link *l)
{
	struct json j = { 0 };

	if (a->change.json) {
		json_put_text(&j, "path", l->path);
		json_put_text(&j, "state", chain_state_name[l->state]);
		json_put_text(&j, "why", l->why);
		if (l->described) {
			json_put_text(&j, "create_type", l->create_type);
			put_cid(&j, "cid", l->cid);
			put_cid(&j, "parent_cid", l->parent_cid);
			json_put_text(&j, "parent", l->hint);
		}
		if (l->described || l->raw)
			json_put_u64(&j, "capacity_bytes", l->size);
		return print_json(c, &j);
	}
	if (l->described)
		print_text("%s  %s  CID %08x  parentCID %08x  %s\n", l->path, l->create_type, l->cid,
		       l->parent_cid, chain_state_name[l->state]);
	else
		print_text("%s  %s\n", l->path, l->raw ? "raw" : chain_state_name[l->state]);
	if (l->why)
		print_text("  %s\n", l->why);
	return CLI_DONE;
}

static int show(struct cli *c, const struct chain_args *a, const char *path)
{
	struct chain chain;
	struct err e = { 0 };
	int rc = chain_read(&chain, path, a->outside, &e);
	bool wrong = false;

	if (rc)
		return cli_fail(c, &e);
	if (chain.link[0].state == CHAIN_MISSING) {
		e.code = -ENOENT;
		snprintf(e.msg, sizeof(e.msg), "%.239s", chain.link[0].why);
		chain_free(&chain);
		return cli_fail(c, &e);
	}
	rc = CLI_DONE;
	for (size_t i = 0; rc == CLI_DONE && i < chain.n; i++) {
		rc = print_link(c, a, &chain.link[i]);
		wrong |= chain.link[i].state != CHAIN_OK;
	}
	chain_free(&chain);
	return rc == CLI_DONE && wrong ? CLI_DIFFERS : rc;
}

struct fixing {
	const struct chain_args *a;
	struct json list;
	bool changed;
};

static void mended(void *ptr, const char *path, const char *what)
{
	struct fixing *f = ptr;
	struct json j = { 0 };

	f->changed = true;
	if (f->a->change.json) {
		json_put_text(&j, "path", path);
		json_put_text(&j, "what", what);
		json_append(&f->list, &j);
	} else {
		print_text("%s: %s%s\n", path, f->a->change.check ? "would have its " : "", what);
	}
}

static int fix(struct cli *c, const struct chain_args *a, const char *path)
{
	struct fixing f = { .a = a };
	struct chain_mend o = {
		.outside = a->outside, .dry = a->change.check, .parent = a->parent, .ptr = &f,
		.mended = mended,
	};
	struct json j = { 0 };
	struct err e = { 0 };
	int rc = chain_mend(path, &o, &e);

	if (rc) {
		free(json_line(&f.list));
		/* Damage that stays is what a check finds. */
		rc = cli_fail(c, &e);
		return rc == CLI_MALFORMED ? CLI_DIFFERS : rc;
	}
	if (!a->change.json)
		return CLI_DONE;
	json_put_array(&j, "mended", &f.list);
	return say_change(c, &a->change, &j, path, "chain", f.changed, "%s", "");
}

int chain_main(struct cli *c, int argc, char **argv)
{
	struct chain_args a = { .fix = false };
	int rc = parse_line(c, &a, &argc, argv, "FILE");

	if (rc >= 0)
		return rc;
	if (!a.fix && (a.parent || a.change.check)) {
		cli_say(c, "--%s goes with --fix", a.parent ? "parent" : "check");
		return CLI_USAGE;
	}
	return a.fix ? fix(c, &a, argv[0]) : show(c, &a, argv[0]);
}
