#include "vmm/dma.h"

#include <errno.h>

bool dma_read(const struct mem *m, uint64_t gpa, void *buf, uint64_t len)
{
	return mem_read(m, gpa, buf, len);
}

bool dma_write(struct mem *m, uint64_t gpa, const void *buf, uint64_t len)
{
	return mem_write(m, gpa, buf, len);
}

/* Is p the first byte behind the last piece? */
static bool follows(const struct iovec *iov, unsigned n, const void *p)
{
	return n && (uint8_t *)iov[n - 1].iov_base + iov[n - 1].iov_len == p;
}

int dma_map(const struct mem *m, uint64_t gpa, uint64_t len, bool write, struct iovec *iov,
	    unsigned *n, unsigned max)
{
	unsigned start = *n, at = start;
	size_t grown = start ? iov[start - 1].iov_len : 0;
	int rc = 0;

	while (len && !rc) {
		const struct mem_slot *s = mem_slot_find(m, gpa);
		uint64_t part = s ? s->len - (gpa - s->gpa) : 0;
		uint8_t *p;

		if (!s || (write && s->rom)) {
			rc = -EFAULT;
			break;
		}
		if (part > len)
			part = len;
		p = m->hva + s->off + (gpa - s->gpa);
		if (follows(iov, at, p))
			iov[at - 1].iov_len += part;
		else if (at == max)
			rc = -E2BIG;
		else
			iov[at++] = (struct iovec){ p, part };
		gpa += part;
		len -= part;
	}
	if (rc && start)
		iov[start - 1].iov_len = grown;
	if (!rc)
		*n = at;
	return rc;
}

void dma_written(struct mem *m, uint64_t gpa, uint64_t len)
{
	mem_dirty(m, gpa, len);
}
