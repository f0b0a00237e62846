/* vmdk info: what a disk is and consists of. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/size.h"
#include "disk/disk.h"
#include "disk/foreign.h"
#include "disk/geometry.h"
#include "disk/lock.h"
#include "vmdk.h"

struct info_args {
	bool chain, json, geometry, rdm, outside, raw;
};

#define AT(field) offsetof(struct info_args, field)

const struct cli_opt info_opts[] = {
	{ "chain", 0, CLI_FLAG, NULL, AT(chain), 0, 0, "its parents, too, down to the base" },
	{ "geometry", 0, CLI_FLAG, NULL, AT(geometry), 0, 0,
	  "only that, as vmkfstools -g prints it" },
	{ "rdm", 0, CLI_FLAG, NULL, AT(rdm), 0, 0,
	  "only which device it maps, as vmkfstools -q prints it" },
	{ "raw", 0, CLI_FLAG, NULL, AT(raw), 0, 0, "FILE is raw whatever it begins with" },
	{ "allow-outside", 0, CLI_FLAG, NULL, AT(outside), 0, 0,
	  "its files may lie in other folders or be devices" },
	{ "json", 0, CLI_FLAG, NULL, AT(json), 0, 0, "one object a layer" },
	{ NULL },
};

/* What ddb.* says that is shown, and as which JSON key. */
static const struct {
	const char *key, *json, *text;
} shown[] = {
	{ "ddb.adapterType", "adapter_type", "adapter" },
	{ "ddb.virtualHWVersion", "virtual_hw_version", "hardware version" },
	{ "ddb.uuid", "uuid", "uuid" },
	{ "ddb.longContentID", "long_content_id", "long content id" },
	{ "changeTrackPath", "change_track_path", "change tracking" },
};
#define SHOWN (sizeof(shown) / sizeof(shown[0]))

static const char *const access_name[] = {
	[DESC_RW] = "RW", [DESC_RDONLY] = "RDONLY", [DESC_NOACCESS] = "NOACCESS",
};

/* Room that the layer's files take, each counted once; *bytes: what they are long. */
static uint64_t room_of(const struct image *im, uint64_t *bytes)
{
	uint64_t room = 0;

	*bytes = 0;
	for (size_t i = 0; i < im->next; i++) {
		const struct disk_file *f = im->ext[i]->file;
		bool again = false;
		struct stat st, other;

		if (!f || f->fd < 0 || fstat(f->fd, &st))
			continue;
		for (size_t k = 0; k < i && !again; k++) {
			const struct disk_file *g = im->ext[k]->file;

			again = g && g->fd >= 0 && !fstat(g->fd, &other) &&
				other.st_dev == st.st_dev && other.st_ino == st.st_ino;
		}
		if (again)
			continue;
		room += (uint64_t)st.st_blocks * 512;
		*bytes += f->size;
	}
	return room;
}

/* "locked by process 12 (vmrun) on host h", or NULL: nobody writes to it.  The caller
 * frees it. */
static char *who_locks(const struct image *im)
{
	struct err e = { 0 };
	const char *at;

	if (disk_lock_look(im->path, &e) != -EBUSY)
		return NULL;
	at = strstr(e.msg, "locked by");
	return strdup(at ? at : e.msg);
}

/* The device that a mapping leads to; the caller frees it.  NULL: it is no mapping. */
static char *device_of(const struct image *im)
{
	const struct desc *d = im->desc;
	bool mapping = d && im->next && d->nextents && (d->extent[0].type == DESC_VMFSRDM ||
							d->extent[0].type == DESC_VMFSRAW);

	return mapping && im->ext[0]->file ? realpath(im->ext[0]->file->path, NULL) : NULL;
}

/* Without a descriptor it is raw, or one extent of a disk, of a type. */
static const char *format_of(const struct image *im)
{
	const char *type = im->ext[0]->ops->name;

	return im->desc ? im->desc->create_type : strcmp(type, "FLAT") ? type : "raw";
}

static bool is_thin(const struct desc *d)
{
	const char *s = desc_get(d, "ddb.thinProvisioned");

	return s && !strcmp(s, "1");
}

static void put_extents(struct json *j, const struct desc *d)
{
	struct json list = { 0 };

	for (size_t i = 0; i < d->nextents; i++) {
		const struct desc_extent *x = &d->extent[i];
		struct json o = { 0 };

		json_put_text(&o, "access", access_name[x->access]);
		json_put_text(&o, "type", desc_type_name[x->type]);
		json_put_u64(&o, "size_bytes", x->sectors << SECTOR_SHIFT);
		json_put_text(&o, "file", x->file);
		json_put_u64(&o, "offset_bytes", x->offset_sectors << SECTOR_SHIFT);
		json_append(&list, &o);
	}
	json_put_array(j, "extents", &list);
}

static void put_cid(struct json *j, const char *key, uint32_t cid)
{
	char s[16];

	snprintf(s, sizeof(s), "%08x", cid);
	json_put_text(j, key, s);
}

static void put_geometry(struct json *j, const struct desc *d)
{
	struct json o = { 0 };
	struct disk_geometry g;

	if (geometry_get(d, &g, NULL)) {
		json_put_text(j, "geometry", NULL);
		return;
	}
	json_put_u64(&o, "cylinders", g.cylinders);
	json_put_u64(&o, "heads", g.heads);
	json_put_u64(&o, "sectors", g.sectors);
	json_put_object(j, "geometry", &o);
}

static void put_desc(struct json *j, const struct desc *d)
{
	json_put_u64(j, "version", d->version);
	put_cid(j, "cid", d->cid);
	put_cid(j, "parent_cid", d->parent_cid);
	json_put_text(j, "parent", d->parent);
	json_put_bool(j, "thin", is_thin(d));
	for (size_t i = 0; i < SHOWN; i++)
		json_put_text(j, shown[i].json, desc_get(d, shown[i].key));
	put_geometry(j, d);
	put_extents(j, d);
}

static int info_json(struct cli *c, const struct image *im, unsigned layer)
{
	struct json j = { 0 };
	uint64_t bytes, room = room_of(im, &bytes);
	char *locked = who_locks(im), *device = device_of(im);

	json_put_text(&j, "path", im->path);
	json_put_u64(&j, "layer", layer);
	json_put_text(&j, "format", format_of(im));
	json_put_u64(&j, "capacity_bytes", im->size);
	json_put_u64(&j, "allocated_bytes", room);
	json_put_u64(&j, "file_bytes", bytes);
	json_put_u64(&j, "grain_bytes", im->grain);
	json_put_bool(&j, "embedded", im->embedded);
	json_put_text(&j, "broken", im->broken);
	json_put_text(&j, "lock", locked);
	json_put_text(&j, "looks_like", image_foreign(im));
	json_put_text(&j, "maps_to", device);
	free(device);
	free(locked);
	if (im->desc)
		put_desc(&j, im->desc);
	return print_json(c, &j);
}

static void print_extents(const struct desc *d)
{
	char size[24];

	for (size_t i = 0; i < d->nextents; i++) {
		const struct desc_extent *x = &d->extent[i];

		printf("  %-18s%s %s %s", i ? "" : "extents", access_name[x->access],
		       size_format(size, x->sectors << SECTOR_SHIFT), desc_type_name[x->type]);
		if (x->file)
			print_text(" %s", x->file);
		if (x->offset_sectors)
			printf(" at %" PRIu64, x->offset_sectors << SECTOR_SHIFT);
		putchar('\n');
	}
}

static void info_text(const struct image *im)
{
	const struct desc *d = im->desc;
	uint64_t bytes, room = room_of(im, &bytes);
	const char *foreign = image_foreign(im);
	struct disk_geometry g;
	char size[24], *locked = who_locks(im), *device = device_of(im);

	print_text("%s\n", im->path);
	printf("  %-18s%s%s%s\n", "format", format_of(im),
	       d ? is_thin(d) ? ", thin" : "" : foreign ? "; looks like " :
	       strcmp(format_of(im), "raw") ? " extent without its descriptor" : "",
	       !d && foreign ? foreign : "");
	printf("  %-18s%s (%" PRIu64 " bytes)\n", "capacity", size_format(size, im->size), im->size);
	printf("  %-18s%s\n", "room taken", size_format(size, room));
	printf("  %-18s%s\n", "grain", size_format(size, im->grain));
	if (im->broken)
		print_text("  %-18s%s\n", "broken", im->broken);
	if (locked)
		print_text("  %-18s%s\n", "in use", locked);
	if (device)
		print_text("  %-18s%s\n", "maps to", device);
	free(device);
	free(locked);
	if (!d)
		return;
	printf("  %-18s%08x\n", "content id", d->cid);
	if (d->parent)
		print_text("  %-18s%s, content id %08x\n", "parent", d->parent, d->parent_cid);
	if (!geometry_get(d, &g, NULL))
		printf("  %-18s%u/%u/%u\n", "geometry", g.cylinders, g.heads, g.sectors);
	for (size_t i = 0; i < SHOWN; i++)
		if (desc_get(d, shown[i].key))
			print_text("  %-18s%s\n", shown[i].text, desc_get(d, shown[i].key));
	print_extents(d);
}

static int print_geometry(struct cli *c, const struct image *im)
{
	struct disk_geometry g;
	struct err e = { 0 };
	int rc = im->desc ? geometry_get(im->desc, &g, &e) : -ENOENT;

	if (rc == -ENOENT)
		geometry_of(&g, im->size >> SECTOR_SHIFT, "lsilogic");
	else if (rc)
		return cli_fail(c, &e);
	printf("Geometry information C/H/S is %u/%u/%u\n", g.cylinders, g.heads, g.sectors);
	return CLI_DONE;
}

/* In the words of vmkfstools. */
static int print_rdm(const struct image *im)
{
	char *device = device_of(im);

	if (!device) {
		print_text("Disk %s is not an rdm\n", im->path);
		return CLI_DONE;
	}
	print_text("Disk %s is a %s Raw Device Mapping\n", im->path,
		   strcasestr(im->desc->create_type, "Passthrough") ||
		   !strcasecmp(im->desc->create_type, "vmfsRDMP") ? "Passthrough" :
		   "Non-passthrough");
	print_text("Maps to: %s\n", device);
	free(device);
	return CLI_DONE;
}

static int info_layer(struct cli *c, const struct info_args *a, const struct image *im,
		      unsigned layer)
{
	if (a->geometry)
		return print_geometry(c, im);
	if (a->rdm)
		return print_rdm(im);
	if (a->json)
		return info_json(c, im, layer);
	info_text(im);
	return CLI_DONE;
}

int info_main(struct cli *c, int argc, char **argv)
{
	struct info_args a = { 0 };
	struct err e = { 0 };
	struct disk_opts o = { .no_lock = true, .lazy = true, .backends = vmdk_backends };
	struct disk *d;
	struct image *im;
	int rc = parse_line(c, &a, &argc, argv, "FILE"), code = CLI_DONE;

	if (rc >= 0)
		return rc;
	o.allow_outside = a.outside || a.rdm;
	o.raw = a.raw;
	if (!a.chain) {
		rc = image_open(&im, argv[0], &o, &e);
		if (rc)
			return cli_fail(c, &e);
		code = info_layer(c, &a, im, 0);
		image_close(im);
		return code;
	}
	rc = disk_open(&d, argv[0], &o, &e);
	if (rc)
		return cli_fail(c, &e);
	for (unsigned i = disk_layers(d); i-- > 0 && !code;)
		code = info_layer(c, &a, disk_layer(d, i), i);
	disk_close(d, NULL);
	return code;
}
