#ifndef DEV_SG_H
#define DEV_SG_H
/*
 * Where the data of a request lie: pieces of guest memory, as a driver's scatter-gather
 * list names them, or of host memory.  Guest memory is named by its bus addresses; the
 * pieces are found once, when they are added, and device memory is no memory: a list
 * that leads into it is refused as a whole.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/mem.h"

#define SG_PIECES	1024u		/* of one list, neighbours joined: IOV_MAX */
#define SG_BYTES	(64u << 20)	/* of one list */

struct sg {
	struct mem *mem;	/* NULL: host memory only */
	struct iovec *iov;
	uint64_t *gpa;		/* of each piece; SG_HOST: host memory */
	unsigned n, room;
	uint64_t len;		/* of all pieces, bytes */
};
#define SG_HOST UINT64_MAX

/* An empty list; what it had room for stays. */
void sg_clear(struct sg *s, struct mem *mem);
void sg_free(struct sg *s);

/*
 * Add a piece; none of length 0 is.
 *
 * writable   the device is going to write there: ROM is refused
 * Returns    0, -EFAULT: not all of it is memory, -E2BIG: too many pieces or bytes,
 *            -ENOMEM.  The list is as before then.
 */
int sg_add(struct sg *s, uint64_t gpa, uint64_t len, bool writable);
int sg_add_host(struct sg *s, void *buf, size_t len);

/* Cut the list to len bytes, if it is longer. */
void sg_trim(struct sg *s, uint64_t len);

/* Copy from, to the list at off; as many bytes as there are.  sg_put() tells the
 * engine. */
size_t sg_get(const struct sg *s, uint64_t off, void *buf, size_t len);
size_t sg_put(struct sg *s, uint64_t off, const void *buf, size_t len);

/* The first len bytes were written by other means: tell the engine. */
void sg_dirty(struct sg *s, uint64_t len);
#endif
