#include "disk/bits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BITS	(1u << 18)
#define WORDS		(CHUNK_BITS / 64)
#define CHUNKS_MAX	(1u << 28)	/* 2 GiB of pointers: numbers up to 2^46 */

void bits_free(struct bits *b)
{
	for (size_t i = 0; i < b->chunks; i++)
		free(b->chunk[i]);
	free(b->chunk);
	*b = (struct bits){ 0 };
}

bool bits_has(const struct bits *b, uint64_t i)
{
	const uint64_t *c = i / CHUNK_BITS < b->chunks ? b->chunk[i / CHUNK_BITS] : NULL;

	return c && c[i % CHUNK_BITS / 64] >> (i % 64) & 1;
}

/* The words of number i, NULL: no memory. */
static uint64_t *chunk_of(struct bits *b, uint64_t i)
{
	uint64_t n = i / CHUNK_BITS;

	if (n >= b->chunks) {
		size_t chunks = b->chunks * 2 > n ? b->chunks * 2 : n + 16;
		uint64_t **c = n < CHUNKS_MAX ? realloc(b->chunk, chunks * sizeof(*c)) : NULL;

		if (!c)
			return NULL;
		memset(c + b->chunks, 0, (chunks - b->chunks) * sizeof(*c));
		b->chunk = c;
		b->chunks = chunks;
	}
	if (!b->chunk[n])
		b->chunk[n] = calloc(WORDS, sizeof(**b->chunk));
	return b->chunk[n];
}

int bits_add(struct bits *b, uint64_t from, uint64_t n, bool *had)
{
	*had = false;
	while (n) {
		uint64_t *w = chunk_of(b, from), in = from % 64, mask;
		uint64_t some = 64 - in < n ? 64 - in : n;

		if (!w)
			return -ENOMEM;
		w += from % CHUNK_BITS / 64;
		mask = (some == 64 ? UINT64_MAX : (UINT64_C(1) << some) - 1) << in;
		*had |= (*w & mask) != 0;
		*w |= mask;
		from += some;
		n -= some;
	}
	return 0;
}
