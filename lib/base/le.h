#ifndef BASE_LE_H
#define BASE_LE_H
/* Little-endian fields at any alignment. */

#include <stdint.h>
#include <string.h>

static inline uint16_t le16_get(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t le32_get(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t le64_get(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void le16_put(void *p, uint16_t v) { memcpy(p, &v, sizeof(v)); }
static inline void le32_put(void *p, uint32_t v) { memcpy(p, &v, sizeof(v)); }
static inline void le64_put(void *p, uint64_t v) { memcpy(p, &v, sizeof(v)); }

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "ring1 runs x86 guests on x86 hosts"
#endif
#endif
