/* vmdk create: a new disk. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/part.h"
#include "disk/snapshot.h"
#include "vmdk.h"

struct create_args {
	struct progress_args progress;
	struct change_args change;
	uint64_t size, grain;
	int format, adapter;
	const char *parent, *rdm;
	bool physical, outside, force;
};

#define AT(field) offsetof(struct create_args, field)

const struct cli_opt create_opts[] = {
	{ "size", 's', CLI_SIZE, "SIZE", AT(size), SECTOR, DISK_SIZE_MAX,
	  "up to 62T, a multiple of 512 (default: the parent's)" },
	{ "format", 'f', CLI_CHOICE, VMDK_FORMATS, AT(format), 0, 0,
	  "default sparse; with a parent, one that suits it" },
	{ "adapter", 'a', CLI_CHOICE, VMDK_ADAPTERS, AT(adapter), 0, 0,
	  "what the disk hangs on (default lsilogic)" },
	{ "parent", 0, CLI_STRING, "P", AT(parent), 1, 0,
	  "what the new disk does not hold is read from P" },
	{ "rdm", 0, CLI_STRING, "DEV", AT(rdm), 1, 0,
	  "a mapping of the block device DEV" },
	{ "physical", 0, CLI_FLAG, NULL, AT(physical), 0, 0,
	  "the mapping lets SCSI commands through" },
	{ "grain", 0, CLI_SIZE, "SIZE", AT(grain), SECTOR, 1 << 30,
	  "what is allocated at once (default: the format's)" },
	{ "allow-outside", 0, CLI_FLAG, NULL, AT(outside), 0, 0,
	  "the parent may lie in another folder" },
	{ "force", 0, CLI_FLAG, NULL, AT(force), 0, 0, "replace a disk that is there" },
	CHANGE_OPTS(AT(change), "create nothing, say what would be"),
	PROGRESS_OPTS(AT(progress)),
	{ NULL },
};

/* What the options table cannot know. */
static int check_args(const struct create_args *a, struct err *e)
{
	if (a->physical && !a->rdm)
		return err_set(e, -EINVAL, "--physical: needs --rdm");
	if (a->rdm && a->format >= 0)
		return err_set(e, -EINVAL, "--format: not together with --rdm");
	if (a->rdm && a->parent)
		return err_set(e, -EINVAL, "--parent: not together with --rdm");
	if (a->rdm && a->size)
		return err_set(e, -EINVAL, "--size: not together with --rdm, which knows its own");
	if (!a->rdm && !a->size && !a->parent)
		return err_set(e, -EINVAL, "--size is missing");
	return 0;
}

int use_parent(struct disk_create *p, char **hint, const char *path, const char *parent,
	       const struct child_of *k, struct err *e)
{
	struct disk_opts o = { .allow_outside = k->outside };
	struct image *im;
	struct disk *d;
	int rc = disk_open(&d, parent, &o, e);

	*hint = NULL;
	if (rc)
		return rc;
	im = disk_layer(d, disk_layers(d) - 1);
	if (!im->desc)
		rc = err_set(e, -ENOTSUP, "%s: has no descriptor, and cannot be a parent", parent);
	else if (disk_layers(d) == DISK_LAYERS)
		rc = err_set(e, -EINVAL, "%s: %u layers are the most", parent, DISK_LAYERS);
	if (!rc)
		rc = disk_parent_hint(hint, path, parent, k->outside, e);
	if (!rc) {
		p->parent = *hint;
		p->parent_cid = im->desc->cid;
		if (!p->size)
			p->size = im->size;
		if (!p->adapter)
			p->adapter = disk_adapter_of(im);
		if (k->any_format)
			p->format = snapshot_format(im);
	}
	disk_close(d, NULL);
	return rc;
}

void add_file(void *ptr, const char *path)
{
	json_append_text(ptr, path);
}

int create_main(struct cli *c, int argc, char **argv)
{
	struct create_args a = { .format = -1, .adapter = -1 };
	struct disk_create p = { 0 };
	struct json files = { 0 };
	struct err e = { 0 };
	char *hint = NULL;
	int rc = parse_line(c, &a, &argc, argv, "FILE");

	if (rc >= 0)
		return rc;
	p = (struct disk_create) {
		.size = a.size, .grain = a.grain,
		.adapter = a.adapter < 0 ? NULL : disk_adapter_name[a.adapter],
		.format = a.format < 0 ? DISK_SPARSE : (enum disk_format)a.format,
		.device = a.rdm, .force = a.force, .dry = a.change.check,
		.progress = progress_step, .made = add_file, .ptr = &files,
	};
	if (a.rdm)
		p.format = a.physical ? DISK_RDMP : DISK_RDM;
	rc = check_args(&a, &e);
	progress_begin(c, progress_how(&a.progress));
	if (!rc && a.force)
		rc = refuse_replacing(argv[0], &e);
	if (!rc && a.parent)
		rc = use_parent(&p, &hint, argv[0], a.parent,
				&(struct child_of) { a.outside, a.format < 0 }, &e);
	if (!rc)
		rc = disk_part_create(argv[0], &p, &e);
	progress_end();
	free(hint);
	return rc ? fail_made(c, &files, &e)
		  : say_made(c, &a.change, "create", NULL, argv[0], &p, &files);
}
