#ifndef RANDOM16_H
#define RANDOM16_H
/*
 * Random slots of 16-bit code, for random.c.  Segments confine it (random.S), so that
 * addresses may be wild; it jumps backwards in counted loops only.  V86 mode lets CS
 * be stored to and does not end it at the slot: there no store goes through CS.
 */
#include <stdbool.h>
#include <stdint.h>

/* Where a slot begins in its segment. */
enum { SLOT16_IP = 0x120 };

/* Fill len bytes with code that ends in INT $0x41.  smc: it may change its own
 * immediates, through FS, which has the base of CS. */
void random16_slot(uint8_t *slot, unsigned len, uint64_t *rng, bool simd, bool smc,
		   bool v86);
#endif
