#include "dev/sg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void sg_clear(struct sg *s, struct mem *mem)
{
	s->mem = mem;
	s->n = 0;
	s->len = 0;
}

void sg_free(struct sg *s)
{
	free(s->iov);
	free(s->gpa);
	memset(s, 0, sizeof(*s));
}

static int grow(struct sg *s)
{
	unsigned room = s->room ? s->room * 2 : 16;
	struct iovec *iov;
	uint64_t *gpa;

	if (s->n == SG_PIECES)
		return -E2BIG;
	iov = realloc(s->iov, room * sizeof(*iov));
	if (!iov)
		return -ENOMEM;
	s->iov = iov;
	gpa = realloc(s->gpa, room * sizeof(*gpa));
	if (!gpa)
		return -ENOMEM;
	s->gpa = gpa;
	s->room = room;
	return 0;
}

static int add(struct sg *s, void *hva, uint64_t gpa, uint64_t len)
{
	struct iovec *last = s->n ? &s->iov[s->n - 1] : NULL;
	int rc;

	if (last && (char *)last->iov_base + last->iov_len == hva &&
	    (gpa == SG_HOST ? s->gpa[s->n - 1] == SG_HOST :
	     s->gpa[s->n - 1] + last->iov_len == gpa)) {
		last->iov_len += len;
		s->len += len;
		return 0;
	}
	rc = s->n == s->room ? grow(s) : 0;
	if (rc)
		return rc;
	s->iov[s->n] = (struct iovec){ .iov_base = hva, .iov_len = len };
	s->gpa[s->n++] = gpa;
	s->len += len;
	return 0;
}

/* Is all of [gpa, gpa+len) memory that the device may use so? */
static bool usable(const struct mem *m, uint64_t gpa, uint64_t len, bool writable)
{
	if (gpa + len < gpa)
		return false;
	while (len) {
		const struct mem_slot *slot = mem_slot_find(m, gpa);
		uint64_t n;

		if (!slot || (writable && slot->rom))
			return false;
		n = slot->len - (gpa - slot->gpa);
		n = n < len ? n : len;
		gpa += n;
		len -= n;
	}
	return true;
}

int sg_add(struct sg *s, uint64_t gpa, uint64_t len, bool writable)
{
	unsigned n = s->n;
	uint64_t total = s->len, last = n ? s->iov[n - 1].iov_len : 0;

	if (len > SG_BYTES - s->len)
		return -E2BIG;
	if (!s->mem || !usable(s->mem, gpa, len, writable))
		return -EFAULT;
	while (len) {
		const struct mem_slot *slot = mem_slot_find(s->mem, gpa);
		uint64_t part = slot->len - (gpa - slot->gpa);
		int rc;

		part = part < len ? part : len;
		rc = add(s, s->mem->hva + slot->off + (gpa - slot->gpa), gpa, part);
		if (rc) {
			s->n = n;
			s->len = total;
			if (n)
				s->iov[n - 1].iov_len = last;
			return rc;
		}
		gpa += part;
		len -= part;
	}
	return 0;
}

int sg_add_host(struct sg *s, void *buf, size_t len)
{
	if (len > SG_BYTES - s->len)
		return -E2BIG;
	return len ? add(s, buf, SG_HOST, len) : 0;
}

void sg_trim(struct sg *s, uint64_t len)
{
	uint64_t at = 0;

	if (len >= s->len)
		return;
	s->len = len;
	for (unsigned i = 0; i < s->n; i++) {
		if (len - at <= s->iov[i].iov_len) {
			s->iov[i].iov_len = len - at;
			s->n = len > at ? i + 1 : i;
			return;
		}
		at += s->iov[i].iov_len;
	}
}

size_t sg_get(const struct sg *s, uint64_t off, void *buf, size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < s->n && done < len; i++) {
		size_t have = s->iov[i].iov_len, n;

		if (off >= have) {
			off -= have;
			continue;
		}
		n = have - off < len - done ? have - off : len - done;
		memcpy((char *)buf + done, (char *)s->iov[i].iov_base + off, n);
		done += n;
		off = 0;
	}
	return done;
}

size_t sg_put(struct sg *s, uint64_t off, const void *buf, size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < s->n && done < len; i++) {
		size_t have = s->iov[i].iov_len, n;

		if (off >= have) {
			off -= have;
			continue;
		}
		n = have - off < len - done ? have - off : len - done;
		memcpy((char *)s->iov[i].iov_base + off, (const char *)buf + done, n);
		if (s->gpa[i] != SG_HOST)
			mem_dirty(s->mem, s->gpa[i] + off, n);
		done += n;
		off = 0;
	}
	return done;
}

void sg_dirty(struct sg *s, uint64_t len)
{
	for (unsigned i = 0; i < s->n && len; i++) {
		uint64_t n = s->iov[i].iov_len < len ? s->iov[i].iov_len : len;

		if (s->gpa[i] != SG_HOST)
			mem_dirty(s->mem, s->gpa[i], n);
		len -= n;
	}
}
