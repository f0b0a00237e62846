#include "disk/copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK	(1u << 20)	/* bytes read at once */
#define BLOCK	65536u		/* bytes that are left out if they are zeros */

static bool is_zero(const uint8_t *p, size_t n)
{
	return !*p && !memcmp(p, p + 1, n - 1);
}

/* Write buf but for its blocks of zeros. */
static int put(struct disk *to, const uint8_t *buf, size_t len, uint64_t off, struct err *e)
{
	size_t from = 0;
	int rc = 0;

	for (size_t at = 0; at <= len && !rc; at += BLOCK) {
		size_t n = len - at < BLOCK ? len - at : BLOCK;
		bool skip = n == 0 || is_zero(buf + at, n);

		if (skip && at > from)
			rc = disk_write(to, buf + from, at - from, off + from, e);
		if (skip)
			from = at + n;
		if (n < BLOCK) {
			if (from < len && !rc)
				rc = disk_write(to, buf + from, len - from, off + from, e);
			break;
		}
	}
	return rc;
}

int disk_copy(struct disk *from, struct disk *to,
	      bool (*progress)(void *ptr, uint64_t done, uint64_t total), void *ptr,
	      struct err *e)
{
	uint64_t size = disk_size(from), n;
	uint8_t *buf = malloc(CHUNK);
	int rc = buf ? 0 : err_set(e, -ENOMEM, "no memory");

	for (uint64_t at = 0; at < size && !rc; at += n) {
		struct disk_run run;
		unsigned layer;

		rc = disk_map(from, at, size - at, &run, &layer, e);
		if (rc)
			break;
		n = run.len;
		if (run.kind != DISK_ABSENT && run.kind != DISK_ZERO) {
			n = size - at < CHUNK ? size - at : CHUNK;
			rc = disk_read(from, buf, n, at, e);
			if (!rc)
				rc = put(to, buf, n, at, e);
		}
		if (!rc && progress && !progress(ptr, at + n, size))
			rc = err_set(e, -EINTR, "stopped");
	}
	free(buf);
	return rc ? rc : disk_flush(to, e);
}
