/* vmdk delete: remove a disk's own files. */
#include <stdlib.h>

#include "disk/manage.h"
#include "vmdk.h"
#include "vmx/users.h"

struct delete_args {
	struct change_args change;
	bool force, outside;
};

#define AT(field) offsetof(struct delete_args, field)

const struct cli_opt delete_opts[] = {
	{ "force", 'f', CLI_FLAG, NULL, AT(force), 0, 0,
	  "even a parent of others, or a file without descriptor" },
	{ "allow-outside", 0, CLI_FLAG, NULL, AT(outside), 0, 0,
	  "its files may lie in other folders" },
	CHANGE_OPTS(AT(change), "delete nothing, say what would be"),
	{ NULL },
};

int delete_main(struct cli *c, int argc, char **argv)
{
	struct delete_args a = { 0 };
	struct json j = { 0 }, files = { 0 };
	struct disk_manage m = { 0 };
	struct disk_files gone = { 0 };
	struct vmx_users users = { 0 };
	struct err e = { 0 };
	int rc = parse_line(c, &a, &argc, argv, "FILE");

	if (rc >= 0)
		return rc;
	m = (struct disk_manage) {
		.force = a.force, .dry = a.change.check, .allow_outside = a.outside,
	};
	rc = vmx_users_of(&users, argv[0], &e);
	if (!rc && !a.force)
		rc = vmx_users_refuse(&users, argv[0], VMX_REFUSE_FROZEN | VMX_REFUSE_TOP |
				      VMX_REFUSE_DISK, "delete -f does it even so", &e);
	if (!rc)
		rc = disk_delete(argv[0], &m, &gone, &e);
	if (!rc && !m.dry)
		rc = vmx_users_tell(&users, NULL, &e);
	vmx_users_free(&users);
	for (size_t i = 0; i < gone.n && !rc; i++)
		json_append_text(&files, gone.path[i]);
	disk_files_free(&gone);
	if (rc)
		return cli_fail(c, &e);
	json_put_array(&j, "files", &files);
	return say_change(c, &a.change, &j, argv[0], "delete", true, "would be deleted");
}
