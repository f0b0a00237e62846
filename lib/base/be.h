#ifndef BASE_BE_H
#define BASE_BE_H
/* Big-endian fields at any alignment. */

#include <stdint.h>

#include "base/le.h"

static inline uint16_t be16_get(const void *p) { return __builtin_bswap16(le16_get(p)); }
static inline uint32_t be32_get(const void *p) { return __builtin_bswap32(le32_get(p)); }
static inline uint64_t be64_get(const void *p) { return __builtin_bswap64(le64_get(p)); }

static inline uint32_t be24_get(const void *p)
{
	const uint8_t *b = p;

	return (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2];
}

static inline void be16_put(void *p, uint16_t v) { le16_put(p, __builtin_bswap16(v)); }
static inline void be32_put(void *p, uint32_t v) { le32_put(p, __builtin_bswap32(v)); }
static inline void be64_put(void *p, uint64_t v) { le64_put(p, __builtin_bswap64(v)); }

static inline void be24_put(void *p, uint32_t v)
{
	uint8_t *b = p;

	b[0] = (uint8_t)(v >> 16);
	b[1] = (uint8_t)(v >> 8);
	b[2] = (uint8_t)v;
}
#endif
