#ifndef VMM_BUS_H
#define VMM_BUS_H
/*
 * Port I/O and memory-mapped I/O dispatch.  Handlers run on the vCPU's thread
 * with vm->lock held (bus_* takes it).  off is relative to the range's base;
 * size is 1, 2, 4 (MMIO also 8) and off is a multiple of it in the address
 * space: an access that is misaligned or leaves its range is split into bytes.
 * Unclaimed reads give all ones, unclaimed writes are dropped.
 */

#include <pthread.h>
#include <stdint.h>

#include "base/err.h"

typedef uint64_t bus_read_fn(void *ptr, uint64_t off, unsigned size);
typedef void bus_write_fn(void *ptr, uint64_t off, uint64_t val, unsigned size);

struct bus_range {
	uint64_t base, len;
	bus_read_fn *read;	/* NULL: reads give all ones */
	bus_write_fn *write;	/* NULL: writes are dropped */
	void *ptr;
	const char *name;
};

#define BUS_RANGES 64

struct bus {
	pthread_mutex_t *lock;	/* the VM's; NULL in unit tests */
	struct bus_range pio[BUS_RANGES], mmio[BUS_RANGES];	/* len 0: free */
	unsigned npio, nmmio;	/* entries to look at */
	struct bus_range *pio_map[65536];	/* one a port */
};

void bus_init(struct bus *b, pthread_mutex_t *lock);

/* 0, or -EBUSY when a part of the range is taken, -ENOSPC. */
int bus_add_pio(struct bus *b, struct bus_range r, struct err *e);
int bus_add_mmio(struct bus *b, struct bus_range r, struct err *e);
/* Remove what was added with this base (PCI BARs that move). */
void bus_del_pio(struct bus *b, uint64_t base);
void bus_del_mmio(struct bus *b, uint64_t base);

uint64_t bus_pio_read(struct bus *b, uint16_t port, unsigned size);
void bus_pio_write(struct bus *b, uint16_t port, uint64_t val, unsigned size);
uint64_t bus_mmio_read(struct bus *b, uint64_t gpa, unsigned size);
void bus_mmio_write(struct bus *b, uint64_t gpa, uint64_t val, unsigned size);
#endif
