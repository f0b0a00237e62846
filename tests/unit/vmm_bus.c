#include "vmm/bus.h"

#include <errno.h>
#include <stdlib.h>

#include "check.h"

/* A device that says what it was asked, and remembers what it was told. */
static uint64_t last_off, last_val;
static unsigned last_size, calls;

static uint64_t dev_read(void *ptr, uint64_t off, unsigned size)
{
	calls++;
	last_size = size;
	return 0x1122334455667700ull + off;
}

static void dev_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	calls++;
	last_off = off;
	last_val = val;
	last_size = size;
}

static struct bus_range range(uint64_t base, uint64_t len, const char *name)
{
	return (struct bus_range){ .base = base, .len = len, .read = dev_read,
				   .write = dev_write, .name = name };
}

static void ports(struct bus *b)
{
	struct err e = { 0 };

	check(!bus_add_pio(b, range(0x60, 1, "a"), &e), "%s", e.msg);
	check(!bus_add_pio(b, range(0xcf8, 8, "b"), &e), "%s", e.msg);
	check(!bus_add_pio(b, range(0xffff, 1, "end"), &e), "%s", e.msg);
	check(bus_add_pio(b, range(0xcff, 4, "c"), &e) == -EBUSY, "overlap");
	check(bus_add_pio(b, range(0x10000, 1, "d"), &e) == -EINVAL, "no port");
	check(bus_add_pio(b, range(0xfff0, 17, "d"), &e) == -EINVAL, "beyond");
	check(bus_add_pio(b, range(0xfff0, UINT64_MAX, "d"), &e) == -EINVAL, "wraps");
	check(bus_add_pio(b, range(0x70, 0, "d"), &e) == -EINVAL, "empty");

	check(bus_pio_read(b, 0x60, 1) == 0x00, "byte");
	check(bus_pio_read(b, 0x60, 2) == 0xff00, "leaves the range");
	check(bus_pio_read(b, 0x61, 4) == 0xffffffff, "nobody there");
	check(bus_pio_read(b, 0xcfc, 4) == 0x55667704, "whole");
	check(last_size == 4, "one access");
	check(bus_pio_read(b, 0xcfd, 2) == 0x0605, "misaligned: by bytes");
	check(last_size == 1, "two accesses");
	check(bus_pio_read(b, 0xffff, 2) == 0xff00, "ports wrap around");
	bus_pio_write(b, 0xcfc, 0x1234567890, 4);
	check(last_off == 4 && last_val == 0x34567890, "%#lx", last_val);
	calls = 0;
	bus_pio_write(b, 0x100, 1, 4);
	check(calls == 0, "dropped");
	bus_del_pio(b, 0xcf9);
	check(bus_pio_read(b, 0xcfc, 1) == 0x04, "not its base");
	bus_del_pio(b, 0xcf8);
	check(bus_pio_read(b, 0xcfc, 4) == 0xffffffff, "gone");
	check(!bus_add_pio(b, range(0xcf8, 4, "again"), &e), "%s", e.msg);
	check(bus_pio_read(b, 0x60, 1) == 0x00, "others stay");
}

static void memory(struct bus *b)
{
	struct err e = { 0 };

	check(!bus_add_mmio(b, range(0xfec00000, 0x100, "io"), &e), "%s", e.msg);
	check(!bus_add_mmio(b, range(0xfee00000, 0x1000, "l"), &e), "%s", e.msg);
	check(!bus_add_mmio(b, range(UINT64_MAX - 7, 8, "top"), &e), "%s", e.msg);
	check(bus_add_mmio(b, range(UINT64_MAX, 2, "x"), &e) == -EINVAL, "wraps");
	check(bus_add_mmio(b, range(0xfec000ff, 2, "x"), &e) == -EBUSY, "overlap");
	check(bus_mmio_read(b, 0xfec00010, 8) == 0x1122334455667710, "8 bytes");
	check(bus_mmio_read(b, 0xfec000fc, 8) == 0xfffffffffffefdfc, "straddles");
	check(bus_mmio_read(b, 0xfec00100, 4) == 0xffffffff, "behind");
	check(bus_mmio_read(b, UINT64_MAX - 7, 8) == 0x1122334455667700, "top");
	check(bus_mmio_read(b, UINT64_MAX, 4) == 0xffffff07, "wraps");
	check(bus_mmio_read(b, 0xfee00001, 2) == 0x0201, "misaligned");
	bus_mmio_write(b, 0xfee000b0, 0xabcdef, 2);
	check(last_off == 0xb0 && last_val == 0xcdef && last_size == 2, "cut to size");
	bus_del_mmio(b, 0xfec00000);
	check(bus_mmio_read(b, 0xfec00000, 1) == 0xff, "gone");
}

static void room(struct bus *b)
{
	struct err e = { 0 };
	int rc = 0;
	unsigned n = 0;

	while (n < 2 * BUS_RANGES && !rc)
		rc = bus_add_mmio(b, range(0x1000 + n++ * 16, 16, "n"), &e);
	check(rc == -ENOSPC && e.msg[0], "%u: %d", n, rc);
	bus_del_mmio(b, 0x1000);
	check(!bus_add_mmio(b, range(0x1000, 16, "n"), &e), "room again");
}

int main(void)
{
	struct bus *b = malloc(sizeof(*b));
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	bus_init(b, &lock);
	ports(b);
	memory(b);
	room(b);
	check(!pthread_mutex_trylock(&lock), "the lock was given back");
	free(b);
	return check_done();
}
