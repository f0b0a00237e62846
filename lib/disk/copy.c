#include "disk/copy.h"

#include "disk/convert.h"

int disk_copy(struct disk *from, struct disk *to,
	      bool (*progress)(void *ptr, uint64_t done, uint64_t total), void *ptr,
	      struct err *e)
{
	struct convert_end source = { .kind = CONVERT_DISK, .disk = from };
	struct convert_end target = { .kind = CONVERT_DISK, .disk = to };
	struct convert_opts o = { .progress = progress, .ptr = ptr };
	int rc = convert(&source, &target, &o, e);

	return rc ? rc : disk_flush(to, e);
}
