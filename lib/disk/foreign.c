#include "disk/foreign.h"

#include <string.h>

#define HEAD 512u

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
	return NULL;
}
