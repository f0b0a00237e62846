/* vmdk rename: another name for a disk and its files. */
#include <errno.h>
#include <string.h>

#include "disk/manage.h"
#include "vmdk.h"

struct rename_args {
	struct change_args change;
	bool force;
};

#define AT(field) offsetof(struct rename_args, field)

const struct cli_opt rename_opts[] = {
	{ "force", 'f', CLI_FLAG, NULL, AT(force), 0, 0,
	  "even a parent of others, which are told the new name" },
	{ "check", 0, CLI_FLAG, NULL, AT(change.check), 0, 0,
	  "change nothing, say what would be changed" },
	{ "json", 0, CLI_FLAG, NULL, AT(change.json), 0, 0, "say so as JSON" },
	{ NULL },
};

int rename_main(struct cli *c, int argc, char **argv)
{
	struct rename_args a = { 0 };
	struct json j = { 0 };
	struct disk_manage m = { 0 };
	struct err e = { 0 };
	int rc = cli_parse(c, &a, &argc, argv);

	if (rc >= 0)
		return rc;
	rc = want_operands(c, argc, argv, "A B");
	if (rc >= 0)
		return rc;
	m = (struct disk_manage) { .force = a.force, .dry = a.change.check };
	rc = disk_rename(argv[0], argv[1], &m, &e);
	if (rc)
		return cli_fail(c, &e);
	json_put_text(&j, "new_path", argv[1]);
	return say_change(c, &a.change, &j, argv[0], "rename", true, "would be renamed to %s",
			  argv[1]);
}
