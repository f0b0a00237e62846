/* vmdk resize: another size for a disk. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/size.h"
#include "disk/manage.h"
#include "vmdk.h"
#include "vmx/users.h"

struct resize_args {
	struct change_args change;
	bool force, outside;
};

#define AT(field) offsetof(struct resize_args, field)

const struct cli_opt resize_opts[] = {
	{ "force", 'f', CLI_FLAG, NULL, AT(force), 0, 0,
	  "also smaller, and also a parent of others" },
	{ "allow-outside", 0, CLI_FLAG, NULL, AT(outside), 0, 0,
	  "its files may lie in other folders" },
	CHANGE_OPTS(AT(change), "change nothing, say what would be changed"),
	{ NULL },
};

int resize_main(struct cli *c, int argc, char **argv)
{
	struct resize_args a = { 0 };
	struct json j = { 0 };
	struct disk_manage m = { 0 };
	struct vmx_users users = { 0 };
	struct err e = { 0 };
	uint64_t bytes, was;
	char from[24], to[24];
	int rc = parse_line(c, &a, &argc, argv, "FILE SIZE");

	if (rc >= 0)
		return rc;
	rc = size_parse(argv[1], &bytes, &e);
	if (rc)
		return cli_fail(c, &e);
	m = (struct disk_manage) {
		.force = a.force, .dry = a.change.check, .allow_outside = a.outside,
	};
	if (!a.force)
		rc = vmx_users_of(&users, argv[0], &e);
	if (!rc)
		rc = vmx_users_refuse(&users, argv[0], VMX_REFUSE_FROZEN, "resize the present layer, "
				      "or this one even so with -f", &e);
	vmx_users_free(&users);
	if (!rc)
		rc = disk_resize(argv[0], bytes, &m, &was, &e);
	if (rc)
		return cli_fail(c, &e);
	json_put_u64(&j, "old_capacity_bytes", was);
	json_put_u64(&j, "capacity_bytes", bytes);
	return say_change(c, &a.change, &j, argv[0], "resize", was != bytes,
			  was != bytes ? "would be resized from %s to %s" : "is of that size",
			  size_format(from, was), size_format(to, bytes));
}
