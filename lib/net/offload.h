#ifndef NET_OFFLOAD_H
#define NET_OFFLOAD_H
/*
 * What NICs and taps leave to each other, done in software for whoever cannot: Internet
 * checksums (RFC 1071) and segmentation of TCP and UDP (RFC 9293; flags, sequence
 * numbers, IP identification and lengths as a sender would have chosen them).
 */

#include "net/frame.h"

/* What a receiver takes as it is. */
enum offload {
	OFFLOAD_PARTIAL = 1,	/* FRAME_PARTIAL */
	OFFLOAD_TSO4 = 2, OFFLOAD_TSO6 = 4, OFFLOAD_UDP = 8,	/* of enum frame_gso */
	OFFLOAD_ALL = 15,
};

/*
 * Hand a frame on, such that the receiver can take it: as it is, with its checksum made,
 * or in segments.  Frames are valid during the call of fn only, which returns false to
 * stop.
 *
 * takes      enum offload
 * scratch    FRAME_MAX bytes of the caller's
 * Returns    how many were handed on; 0: fn stopped at the first, or the headers make no
 *            sense (gso of something that is not TCP or UDP, headers beyond its end)
 */
unsigned offload_split(const struct frame *f, unsigned takes, uint8_t *scratch,
		       bool (*fn)(void *ptr, const struct frame *f), void *ptr);

/* The ones' complement sum of bytes, added to sum; and as it goes into a packet. */
uint32_t offload_sum(uint32_t sum, const uint8_t *data, size_t len);
uint16_t offload_fold(uint32_t sum);

#endif
