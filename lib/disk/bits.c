#include "disk/bits.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define CHUNK_BITS	(1u << 18)
#define WORDS		(CHUNK_BITS / 64)

int bits_init(struct bits *b, uint64_t max)
{
	b->chunks = max / CHUNK_BITS + 1;
	b->chunk = calloc(b->chunks, sizeof(*b->chunk));
	return b->chunk ? 0 : -ENOMEM;
}

void bits_free(struct bits *b)
{
	for (size_t i = 0; b->chunk && i < b->chunks; i++)
		free(b->chunk[i]);
	free(b->chunk);
	*b = (struct bits){ 0 };
}

bool bits_has(const struct bits *b, uint64_t i)
{
	const uint64_t *c = i / CHUNK_BITS < b->chunks ? b->chunk[i / CHUNK_BITS] : NULL;

	return c && c[i % CHUNK_BITS / 64] >> (i % 64) & 1;
}

int bits_add(struct bits *b, uint64_t from, uint64_t n, bool *had)
{
	*had = false;
	while (n) {
		uint64_t **c = &b->chunk[from / CHUNK_BITS], in = from % 64, mask, *w;
		uint64_t some = 64 - in < n ? 64 - in : n;

		assert(from / CHUNK_BITS < b->chunks);
		if (!*c)
			*c = calloc(WORDS, sizeof(**c));
		if (!*c)
			return -ENOMEM;
		w = &(*c)[from % CHUNK_BITS / 64];
		mask = (some == 64 ? UINT64_MAX : (UINT64_C(1) << some) - 1) << in;
		*had |= (*w & mask) != 0;
		*w |= mask;
		from += some;
		n -= some;
	}
	return 0;
}
