#include "disk/foreign.h"

#include <stdlib.h>
#include <string.h>

#define HEAD 512u
#define FRONT 65536u	/* in which embedded descriptors begin */

static const struct {
	unsigned off, len;
	const char *bytes, *what;
} magics[] = {
	{ 0, 4, "QFI\xfb", "a qcow2 image" },
	{ 0, 8, "conectix", "a VHD" },
	{ 0, 8, "vhdxfile", "a VHDX" },
	{ 0, 4, "<<< ", "a VDI" },
	{ 0, 4, "QED", "a QED image" },
	{ 0, 16, "WithoutFreeSpace", "a Parallels image" },
	{ 0, 16, "WithouFreSpacExt", "a Parallels image" },
	{ 257, 5, "ustar", "a tar archive (of an OVA?)" },
	{ 0, 2, "\x1f\x8b", "compressed by gzip" },
	{ 0, 6, "\xfd" "7zXZ", "compressed by xz" },
	{ 0, 4, "\x28\xb5\x2f\xfd", "compressed by zstd" },
	{ 0, 10, "\xff\xfe#\0 \0D\0i\0", "a descriptor in UTF-16: save it as UTF-8" },
	{ 0, 10, "\xfe\xff\0#\0 \0D\0i", "a descriptor in UTF-16: save it as UTF-8" },
	{ 0, 4, "PK\3\4", "a zip archive" },
	{ 0, 11, ".encoding =", "a text of VMware's, not a disk" },
	{ 0, 14, "config.version", "a .vmx file" },
};

/* Lines of a descriptor, which lies behind the header of a sparse extent: does the front of a
 * file have one? */
static bool has_descriptor(struct disk_file *f)
{
	static const char *const keys[] = { "createType", "parentCID", "# Extent description" };
	size_t n = f->size < FRONT ? (size_t)f->size : FRONT;
	char *buf = malloc(n ? n : 1);
	bool has = false;

	if (buf && !file_read(f, buf, n, 0, NULL))
		for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && !has; i++)
			has = memmem(buf, n, keys[i], strlen(keys[i])) != NULL;
	free(buf);
	return has;
}

const char *image_foreign(const struct image *im)
{
	struct disk_file *f = im->desc || !im->next ? NULL : im->ext[0]->file;
	uint8_t head[HEAD] = { 0 };
	size_t n;

	if (!f)
		return NULL;
	n = f->size < HEAD ? (size_t)f->size : HEAD;
	if (file_read(f, head, n, 0, NULL))
		return NULL;
	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
		if (!memcmp(head + magics[i].off, magics[i].bytes, magics[i].len))
			return magics[i].what;
	return !strcmp(im->ext[0]->ops->name, "FLAT") && has_descriptor(f) ?
	       "a VMDK whose beginning is damaged" : NULL;
}
