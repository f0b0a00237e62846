/* The keyboard controller: what Linux's i8042 and atkbd probe, reset, fuzz. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "dev/i8042.h"
#include "dev/port92.h"

static struct vm vm;
static struct i8042 *kbc;
static unsigned edges[2];
static bool level[2];

static void set_line(void *ptr, unsigned gsi, bool on)
{
	unsigned i = gsi == 12;

	if (gsi != 1 && gsi != 12)
		return;
	edges[i] += on && !level[i];
	level[i] = on;
}

static uint8_t status(void)
{
	return (uint8_t)bus_pio_read(&vm.bus, 0x64, 1);
}

static void cmd(uint8_t c)
{
	bus_pio_write(&vm.bus, 0x64, c, 1);
}

static void data(uint8_t b)
{
	bus_pio_write(&vm.bus, 0x60, b, 1);
}

/* The next byte, or -1; aux: it must come from the mouse's side. */
static int next(bool aux)
{
	if (!(status() & 1))
		return -1;
	check(!(status() & 0x20) == !aux, "source");
	return (int)bus_pio_read(&vm.bus, 0x60, 1);
}

static void expect(bool aux, const char *bytes, size_t n, const char *what)
{
	for (size_t i = 0; i < n; i++) {
		int b = next(aux);

		check(b == (uint8_t)bytes[i], "%s: byte %zu is %02x", what, i, b);
	}
	check(!(status() & 1), "%s: no more", what);
}

static void test_controller(void)
{
	i8042_reset(kbc);
	check((status() & 0x15) == 0x14, "status %02x", status());
	cmd(0xaa);
	expect(false, "\x55", 1, "self test");
	cmd(0xab);
	expect(false, "\0", 1, "keyboard test");
	cmd(0xa9);
	expect(false, "\0", 1, "mouse test");
	cmd(0x60);
	data(0x47);
	cmd(0x20);
	expect(false, "\x47", 1, "command byte");
	cmd(0xd3);
	data(0x5a);
	expect(true, "\x5a", 1, "mouse loop");
	cmd(0xd2);
	data(0x1c);
	expect(false, "\x1c", 1, "keyboard loop");
	cmd(0xa7);
	cmd(0x20);
	expect(false, "\x67", 1, "mouse off");
	cmd(0xa8);
	cmd(0xd0);
	check(next(false) & 2, "A20 is on");
	cmd(0x7f);
	data(0x99);
	cmd(0x3f);
	expect(false, "\x99", 1, "last byte of RAM");
}

static void test_devices(void)
{
	i8042_reset(kbc);
	cmd(0x60);
	data(0x47);
	edges[0] = edges[1] = 0;
	data(0xf2);
	expect(false, "\xfa\xab\x41", 3, "translated id");
	check(edges[0] == 3 && !edges[1], "an edge a byte: %u", edges[0]);
	cmd(0x60);
	data(0x07);
	data(0xf2);
	expect(false, "\xfa\xab\x83", 3, "plain id");
	data(0xff);
	expect(false, "\xfa\xaa", 2, "reset");
	data(0xf0);
	data(3);
	expect(false, "\xfa\xfa", 2, "scan code set 3");
	data(0xf0);
	expect(false, "\xfa", 1, "ask the set");
	data(0);
	expect(false, "\xfa\x03", 2, "set 3");
	data(0xfe);
	expect(false, "\x03", 1, "resend");
	data(0xed);
	data(7);
	expect(false, "\xfa\xfa", 2, "LEDs");
	data(0xee);
	expect(false, "\xee", 1, "echo");
	edges[1] = 0;
	cmd(0xd4);
	data(0xff);
	expect(true, "\xfa\xaa\0", 3, "mouse reset");
	check(edges[1] == 3, "an edge a byte: %u", edges[1]);
	cmd(0xd4);
	data(0xf3);
	expect(true, "\xfa", 1, "mouse rate");
	cmd(0xd4);
	data(200);
	expect(true, "\xfa", 1, "200");
	cmd(0xd4);
	data(0xe9);
	check(next(true) == 0xfa && next(true) == 0 && next(true) == 2 &&
	      next(true) == 200, "mouse status");
	cmd(0xd4);
	data(0x17);
	expect(true, "\xfe", 1, "no such command");
}

static void check_reset(const char *what)
{
	check(atomic_exchange(&vm.want_reset, false), "%s", what);
}

static void test_reset_line(struct port92 *p)
{
	i8042_reset(kbc);
	port92_reset(p);
	cmd(0xfe);
	check_reset("pulse");
	cmd(0xff);
	check(!atomic_load(&vm.want_reset), "pulse of nothing");
	cmd(0xd1);
	data(0xdf);
	check(!atomic_load(&vm.want_reset), "output port, reset high");
	cmd(0xd1);
	data(0xde);
	check_reset("output port");
	check(bus_pio_read(&vm.bus, 0x92, 1) == 2, "port 92");
	bus_pio_write(&vm.bus, 0x92, 2, 1);
	check(!atomic_load(&vm.want_reset), "A20 only");
	bus_pio_write(&vm.bus, 0x92, 3, 1);
	check_reset("fast reset");
	bus_pio_write(&vm.bus, 0x92, 3, 1);
	check(!atomic_load(&vm.want_reset), "only a rising bit resets");
}

static void test_fuzz(void)
{
	for (unsigned i = 0; i < 300000; i++) {
		uint16_t port = rand() & 1 ? 0x60 : 0x64;

		if (rand() & 1)
			bus_pio_write(&vm.bus, port, (uint64_t)rand(), 1u << rand() % 3);
		else
			bus_pio_read(&vm.bus, port, 1u << rand() % 3);
	}
	atomic_store(&vm.want_reset, false);
	test_controller();
}

int main(void)
{
	struct port92 *p;

	srand(2);
	bus_init(&vm.bus, NULL);
	irq_add_sink(&vm.irq, set_line, NULL);
	kbc = i8042_new(&vm, NULL);
	p = port92_new(&vm, NULL);
	check(kbc && p, "made");
	test_controller();
	test_devices();
	test_reset_line(p);
	test_fuzz();
	i8042_free(kbc);
	port92_free(p);
	return check_done();
}
