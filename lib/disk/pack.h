#ifndef DISK_PACK_H
#define DISK_PACK_H
/* Grains of streamOptimized extents: zlib streams (RFC 1950, RFC 1951). */

#include <stdbool.h>
#include <stddef.h>

/* One thread's compressor. */
struct pack;

#define PACK_LEVELS	12u
#define PACK_FAST	1u	/* what is written as fast as it is read, mostly */

/*
 * level      1 to PACK_LEVELS: 1 to 3 are ISA-L's, others libdeflate's
 * Returns    NULL: no memory
 */
struct pack *pack_new(unsigned level);
void pack_free(struct pack *p);	/* NULL is fine */

/* Compress.  Returns the bytes written to out; 0: there is no room. */
size_t pack_deflate(struct pack *p, const void *in, size_t len, void *out, size_t room);

/*
 * Uncompress; bytes behind the stream's end are ignored.  What is missing of out bytes
 * becomes zeros.
 * Returns    false: damaged, or more than out bytes, or less than need
 */
bool pack_inflate(const void *in, size_t len, void *buf, size_t out, size_t need);
#endif
