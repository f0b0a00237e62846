/* vmdk rename: another name for a disk and its files. */
#include <errno.h>
#include <string.h>

#include "disk/manage.h"
#include "vmdk.h"
#include "vmx/users.h"

struct rename_args {
	struct change_args change;
	bool force, outside;
};

#define AT(field) offsetof(struct rename_args, field)

const struct cli_opt rename_opts[] = {
	{ "force", 'f', CLI_FLAG, NULL, AT(force), 0, 0,
	  "even a parent of others or a machine's, which are told" },
	{ "allow-outside", 0, CLI_FLAG, NULL, AT(outside), 0, 0,
	  "its files may lie in other folders" },
	CHANGE_OPTS(AT(change), "change nothing, say what would be changed"),
	{ NULL },
};

struct telling {
	struct vmx_users users;
	const char *to;
};

static int tell(void *ptr, struct err *e)
{
	struct telling *t = ptr;

	return vmx_users_tell(&t->users, t->to, e);
}

/* Who has the disk besides its children.  Layers of snapshots are known by their names. */
static int check_users(struct telling *t, const char *path, const struct rename_args *a,
		       struct err *e)
{
	int rc = vmx_users_of(&t->users, path, e);

	if (!rc)
		rc = vmx_users_refuse(&t->users, path, VMX_REFUSE_FROZEN | VMX_REFUSE_TOP,
				      "delete its snapshots first (vmdk snapshot delete)", e);
	if (!rc && !a->force)
		rc = vmx_users_refuse(&t->users, path, VMX_REFUSE_DISK, "rename -f tells it the new "
				      "name", e);
	return rc || a->change.check ? rc : vmx_users_lock(&t->users, e);
}

int rename_main(struct cli *c, int argc, char **argv)
{
	struct rename_args a = { 0 };
	struct json j = { 0 };
	struct telling t = { 0 };
	struct disk_manage m = { 0 };
	struct err e = { 0 };
	int rc = parse_line(c, &a, &argc, argv, "A B");

	if (rc >= 0)
		return rc;
	t.to = argv[1];
	m = (struct disk_manage) {
		.force = a.force, .dry = a.change.check, .allow_outside = a.outside,
		.tell = tell, .ptr = &t,
	};
	rc = check_users(&t, argv[0], &a, &e);
	if (!rc)
		rc = disk_rename(argv[0], argv[1], &m, &e);
	vmx_users_free(&t.users);
	if (rc)
		return cli_fail(c, &e);
	json_put_text(&j, "new_path", argv[1]);
	return say_change(c, &a.change, &j, argv[0], "rename", true, "would be renamed to %s",
			  argv[1]);
}
