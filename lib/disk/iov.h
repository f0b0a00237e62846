#ifndef DISK_IOV_H
#define DISK_IOV_H
/* A place in an array of buffers, which moves on as they are used. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

struct iov_at {
	const struct iovec *iov;
	int n;
	size_t done;		/* of iov[0] */
};

static inline uint64_t iov_bytes(const struct iovec *iov, int n)
{
	uint64_t len = 0;

	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	return len;
}

/* The next buffer, or its first len bytes; *base NULL: there is none. */
static inline size_t iov_next(struct iov_at *a, uint64_t len, char **base)
{
	size_t some;

	while (a->n && a->done == a->iov->iov_len) {
		a->iov++;
		a->n--;
		a->done = 0;
	}
	*base = NULL;
	if (!a->n)
		return 0;
	some = a->iov->iov_len - a->done;
	if (some > len)
		some = (size_t)len;
	*base = (char *)a->iov->iov_base + a->done;
	a->done += some;
	return some;
}

/*
 * Take up to len bytes as at most max buffers.
 * Returns    how many; *got: their bytes, less than len only when max was reached
 */
static inline int iov_take(struct iov_at *a, uint64_t len, struct iovec *out, int max,
			   uint64_t *got)
{
	int n = 0;

	*got = 0;
	while (*got < len && n < max) {
		char *base;
		size_t some = iov_next(a, len - *got, &base);

		if (!base)
			break;
		out[n++] = (struct iovec){ base, some };
		*got += some;
	}
	return n;
}

/* The next len bytes as one piece, which is taken; NULL: they are several. */
static inline void *iov_piece(struct iov_at *a, uint64_t len)
{
	while (a->n && a->done == a->iov->iov_len) {
		a->iov++;
		a->n--;
		a->done = 0;
	}
	if (!a->n || a->iov->iov_len - a->done < len)
		return NULL;
	a->done += len;
	return (char *)a->iov->iov_base + (a->done - len);
}

/* Fill the next len bytes: from src, or with zeros if that is NULL. */
static inline void iov_fill(struct iov_at *a, const void *src, uint64_t len)
{
	const char *s = src;

	while (len) {
		char *base;
		size_t some = iov_next(a, len, &base);

		if (!base)
			return;
		if (s) {
			memcpy(base, s, some);
			s += some;
		} else {
			memset(base, 0, some);
		}
		len -= some;
	}
}
#endif
