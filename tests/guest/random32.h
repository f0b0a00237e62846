#ifndef RANDOM32_H
#define RANDOM32_H
/*
 * Random slots of 32-bit code, for random.c.  It jumps backwards in counted loops
 * only, so that every slot ends.
 */
#include <stdbool.h>
#include <stdint.h>

struct random32 {
	bool tame;	/* a wild access would hit the frame itself */
	bool smc;	/* it may change its own immediates */
	bool simd;
	bool kernel;	/* at CPL 0 */
};

/* Fill len bytes, which will stand at linear address where, with code that ends in
 * INT $0x41. */
void random32_slot(uint8_t *slot, unsigned len, uint32_t where, uint64_t *rng,
		   struct random32 how);
#endif
