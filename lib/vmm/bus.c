#include "vmm/bus.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define PIO_PORTS 65536u

void bus_init(struct bus *b, pthread_mutex_t *lock)
{
	memset(b, 0, sizeof(*b));
	b->lock = lock;
}

static void bus_lock(struct bus *b)
{
	if (b->lock)
		pthread_mutex_lock(b->lock);
}

static void bus_unlock(struct bus *b)
{
	if (b->lock)
		pthread_mutex_unlock(b->lock);
}

static uint64_t ones(unsigned size)
{
	return size >= 8 ? ~0ull : (1ull << size * 8) - 1;
}

static bool overlap(const struct bus_range *a, const struct bus_range *b)
{
	return a->len && b->len && a->base <= b->base + (b->len - 1) &&
	       b->base <= a->base + (a->len - 1);
}

/* Put r into a free entry of tab; its entries never move. */
static int range_add(struct bus_range *tab, unsigned *n, const struct bus_range *r,
		     uint64_t last, const char *what, struct bus_range **out,
		     struct err *e)
{
	struct bus_range *spare = NULL;

	if (!r->len || r->base > last || r->len - 1 > last - r->base)
		return err_set(e, -EINVAL, "%s range %#" PRIx64 "+%#" PRIx64
			       " of %s is not one", what, r->base, r->len, r->name);
	for (unsigned i = 0; i < *n; i++) {
		if (overlap(&tab[i], r))
			return err_set(e, -EBUSY, "%s range %#" PRIx64 "+%#" PRIx64
				       " of %s is taken by %s", what, r->base,
				       r->len, r->name, tab[i].name);
		if (!tab[i].len && !spare)
			spare = &tab[i];
	}
	if (!spare) {
		if (*n == BUS_RANGES)
			return err_set(e, -ENOSPC, "no room for the %s range of %s",
				       what, r->name);
		spare = &tab[(*n)++];
	}
	*spare = *r;
	*out = spare;
	return 0;
}

int bus_add_pio(struct bus *b, struct bus_range r, struct err *e)
{
	struct bus_range *in;
	int rc = range_add(b->pio, &b->npio, &r, PIO_PORTS - 1, "port", &in, e);

	if (rc)
		return rc;
	for (uint64_t i = 0; i < r.len; i++)
		b->pio_map[r.base + i] = in;
	return 0;
}

int bus_add_mmio(struct bus *b, struct bus_range r, struct err *e)
{
	struct bus_range *in;

	return range_add(b->mmio, &b->nmmio, &r, UINT64_MAX, "memory", &in, e);
}

void bus_del_pio(struct bus *b, uint64_t base)
{
	struct bus_range *r = base < PIO_PORTS ? b->pio_map[base] : NULL;

	if (!r || r->base != base)
		return;
	for (uint64_t i = 0; i < r->len; i++)
		b->pio_map[base + i] = NULL;
	memset(r, 0, sizeof(*r));
}

void bus_del_mmio(struct bus *b, uint64_t base)
{
	for (unsigned i = 0; i < b->nmmio; i++)
		if (b->mmio[i].len && b->mmio[i].base == base)
			memset(&b->mmio[i], 0, sizeof(b->mmio[i]));
}

static struct bus_range *mmio_find(struct bus *b, uint64_t gpa)
{
	for (unsigned i = 0; i < b->nmmio; i++)
		if (gpa - b->mmio[i].base < b->mmio[i].len)
			return &b->mmio[i];
	return NULL;
}

/* Is the access aligned and inside r? */
static bool whole(const struct bus_range *r, uint64_t addr, unsigned size)
{
	return !(addr & (size - 1)) && r->len - (addr - r->base) >= size;
}

static uint64_t range_read(struct bus_range *r, uint64_t addr, unsigned size)
{
	if (!r || !r->read)
		return ones(size);
	return r->read(r->ptr, addr - r->base, size) & ones(size);
}

static void range_write(struct bus_range *r, uint64_t addr, uint64_t val,
			unsigned size)
{
	if (r && r->write)
		r->write(r->ptr, addr - r->base, val & ones(size), size);
}

/* Ports wrap around at 64 Ki, as the bus has 16 address lines. */
uint64_t bus_pio_read(struct bus *b, uint16_t port, unsigned size)
{
	struct bus_range *r;
	uint64_t val = 0;

	bus_lock(b);
	r = b->pio_map[port];
	if (size == 1 || (r && whole(r, port, size)))
		val = range_read(r, port, size);
	else
		for (unsigned i = 0; i < size; i++)
			val |= range_read(b->pio_map[(uint16_t)(port + i)],
					  (uint16_t)(port + i), 1) << i * 8;
	bus_unlock(b);
	return val;
}

void bus_pio_write(struct bus *b, uint16_t port, uint64_t val, unsigned size)
{
	struct bus_range *r;

	bus_lock(b);
	r = b->pio_map[port];
	if (size == 1 || (r && whole(r, port, size)))
		range_write(r, port, val, size);
	else
		for (unsigned i = 0; i < size; i++)
			range_write(b->pio_map[(uint16_t)(port + i)],
				    (uint16_t)(port + i), val >> i * 8, 1);
	bus_unlock(b);
}

uint64_t bus_mmio_read(struct bus *b, uint64_t gpa, unsigned size)
{
	struct bus_range *r;
	uint64_t val = 0;

	bus_lock(b);
	r = mmio_find(b, gpa);
	if (size == 1 || (r && whole(r, gpa, size)))
		val = range_read(r, gpa, size);
	else
		for (unsigned i = 0; i < size; i++)
			val |= range_read(mmio_find(b, gpa + i), gpa + i, 1) << i * 8;
	bus_unlock(b);
	return val;
}

void bus_mmio_write(struct bus *b, uint64_t gpa, uint64_t val, unsigned size)
{
	struct bus_range *r;

	bus_lock(b);
	r = mmio_find(b, gpa);
	if (size == 1 || (r && whole(r, gpa, size)))
		range_write(r, gpa, val, size);
	else
		for (unsigned i = 0; i < size; i++)
			range_write(mmio_find(b, gpa + i), gpa + i, val >> i * 8, 1);
	bus_unlock(b);
}
