/* vmdk clone: a second disk, by copying or linked to the first. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/convert.h"
#include "disk/part.h"
#include "vmdk.h"

struct clone_args {
	struct progress_args progress;
	struct change_args change;
	int format;
	const char *rdm;
	bool linked, physical, raw, outside, force;
};

#define AT(field) offsetof(struct clone_args, field)

const struct cli_opt clone_opts[] = {
	{ "linked", 0, CLI_FLAG, NULL, AT(linked), 0, 0,
	  "DST keeps only what differs; SRC must stay as it is" },
	{ "format", 'f', CLI_CHOICE, VMDK_FORMATS, AT(format), 0, 0,
	  "default: SRC's, of a chain its base's" },
	{ "rdm", 0, CLI_STRING, "DEV", AT(rdm), 1, 0,
	  "DST is a mapping of the device DEV, which is overwritten" },
	{ "physical", 0, CLI_FLAG, NULL, AT(physical), 0, 0,
	  "the mapping lets SCSI commands through" },
	{ "raw", 0, CLI_FLAG, NULL, AT(raw), 0, 0, "SRC is raw whatever it begins with" },
	{ "allow-outside", 0, CLI_FLAG, NULL, AT(outside), 0, 0,
	  "SRC's files, or a linked SRC, may lie in other folders" },
	{ "force", 0, CLI_FLAG, NULL, AT(force), 0, 0, "replace a disk that is there" },
	CHANGE_OPTS(AT(change), "create nothing, say what would be"),
	PROGRESS_OPTS(AT(progress)),
	{ NULL },
};

static int check_args(const struct clone_args *a, struct err *e)
{
	if (a->physical && !a->rdm)
		return err_set(e, -EINVAL, "--physical: needs --rdm");
	if (a->rdm && (a->linked || a->format >= 0))
		return err_set(e, -EINVAL, "--rdm: not together with --%s",
			       a->linked ? "linked" : "format");
	if (a->format == DISK_STREAM)
		return err_set(e, -EINVAL, "--format: stream is written by vmdk convert");
	return 0;
}

/* What a disk's copy is: of its kind, or the nearest that can be written to. */
static enum disk_format format_of(const struct image *base)
{
	static const struct {
		const char *type;
		enum disk_format format;
	} table[] = {
		{ "monolithicSparse", DISK_SPARSE }, { "streamOptimized", DISK_SPARSE },
		{ "twoGbMaxExtentSparse", DISK_SPLIT_SPARSE },
		{ "monolithicFlat", DISK_FLAT }, { "twoGbMaxExtentFlat", DISK_SPLIT_FLAT },
	};
	const char *type = base->desc ? base->desc->create_type : NULL, *thin;

	if (!type)
		return DISK_RAW;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (!strcasecmp(type, table[i].type))
			return table[i].format;
	thin = desc_get(base->desc, "ddb.thinProvisioned");
	return !strcmp(type, "vmfs") && !thin ? DISK_ZEROEDTHICK : DISK_THIN;
}

static int copy(const struct clone_args *a, char **argv, struct disk_create *p, struct err *e)
{
	struct disk_opts o = {
		.hold = !a->change.check, .allow_outside = a->outside, .raw = a->raw,
		.backends = vmdk_backends,
	};
	struct convert_opts how = { .progress = progress_step };
	struct convert_end from = { .kind = CONVERT_DISK };
	int rc = disk_open(&from.disk, argv[0], &o, e);

	if (rc)
		return rc;
	p->size = disk_size(from.disk);
	p->device = a->rdm;
	p->format = a->rdm ? (a->physical ? DISK_RDMP : DISK_RDM)
		    : a->format >= 0 ? (enum disk_format)a->format
				     : format_of(disk_layer(from.disk, 0));
	p->adapter = disk_adapter_of(disk_layer(from.disk, 0));
	rc = refuse_foreign(from.disk, a->raw, e);
	if (!rc)
		rc = convert_to_disk(&from, argv[1], p, &how, e);
	disk_close(from.disk, NULL);
	return rc;
}

static int link_to(const struct clone_args *a, char **argv, struct disk_create *p, struct err *e)
{
	struct disk_opts o = { .hold = !a->change.check, .allow_outside = a->outside };
	struct image *held;
	char *hint;
	int rc = image_open(&held, argv[0], &o, e);

	if (rc)
		return rc;
	rc = use_parent(p, &hint, argv[1], argv[0],
			&(struct child_of) { a->outside, a->format < 0 }, e);
	if (a->format >= 0)
		p->format = (enum disk_format)a->format;
	if (!rc && a->force)
		rc = refuse_replacing(argv[1], e);
	if (!rc)
		rc = disk_part_create(argv[1], p, e);
	free(hint);
	image_close(held);
	return rc;
}

int clone_main(struct cli *c, int argc, char **argv)
{
	struct clone_args a = { .format = -1 };
	struct json files = { 0 };
	struct disk_create p = { 0 };
	struct err e = { 0 };
	int rc = parse_line(c, &a, &argc, argv, "SRC DST");

	if (rc >= 0)
		return rc;
	p = (struct disk_create) {
		.force = a.force, .dry = a.change.check, .progress = progress_step,
		.made = add_file, .ptr = &files,
	};
	rc = check_args(&a, &e);
	progress_begin(c, progress_how(&a.progress));
	if (!rc)
		rc = (a.linked ? link_to : copy)(&a, argv, &p, &e);
	progress_end();
	if (rc)
		return fail_made(c, &files, &e);
	return say_made(c, &a.change, "clone", argv[0], argv[1], &p, &files);
}
