/* The 16550A: what Linux's autoconfig looks for, interrupts, flow, fuzz. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "dev/uart.h"

#define BASE 0x3f8
#define GSI 4

static struct vm vm;
static struct uart *uart;
static char out[4096];
static size_t out_len;
static bool out_room = true;
static const char *in = "";
static bool line;
static unsigned edges;		/* of the line, rising */

static bool put(void *ptr, uint8_t b)
{
	if (out_len < sizeof(out) - 1)
		out[out_len++] = (char)b;
	return out_room;
}

static size_t get(void *ptr, uint8_t *buf, size_t n)
{
	size_t have = strlen(in);

	n = n < have ? n : have;
	memcpy(buf, in, n);
	in += n;
	return n;
}

static void set_line(void *ptr, unsigned gsi, bool level)
{
	if (gsi != GSI)
		return;
	edges += level && !line;
	line = level;
}

static uint8_t rd(unsigned reg)
{
	return (uint8_t)bus_pio_read(&vm.bus, (uint16_t)(BASE + reg), 1);
}

static void wr(unsigned reg, uint8_t v)
{
	bus_pio_write(&vm.bus, (uint16_t)(BASE + reg), v, 1);
}

/* A handler that leaves while there is always more must get another edge. */
static void test_endless_input(void)
{
	unsigned before;

	uart_reset(uart);
	wr(2, 0xc1);
	wr(4, 0x08);
	in = "0123456789abcdef0123456789abcdef0123456789abcdef";
	wr(1, 0x07);		/* THRI keeps the line up, too */
	for (unsigned turn = 0; turn < 2; turn++) {
		before = edges;
		for (unsigned i = 0; i < 16; i++)
			rd(0);
		check(line && edges > before, "turn %u: %u edges", turn, edges - before);
	}
	in = "";
	while (rd(5) & 1)
		rd(0);
	wr(1, 0);
	check(!line, "quiet at the end");
}

static void test_identify(void)
{
	uart_reset(uart);
	check(rd(5) == 0x60, "LSR %02x", rd(5));
	check((rd(6) & 0xf0) == 0xb0, "MSR %02x", rd(6));
	wr(2, 0xe7);
	check(rd(2) >> 6 == 3 && !(rd(2) & 0x20), "16550A: IIR %02x", rd(2));
	wr(7, 0x5a);
	check(rd(7) == 0x5a, "scratch");
	wr(3, 0x80);
	wr(0, 1);
	wr(1, 0x23);
	check(rd(0) == 1 && rd(1) == 0x23, "divisor");
	wr(3, 3);
	check(rd(1) == 0, "IER behind DLAB");
	wr(4, 0x1a);
	check((rd(6) & 0xf0) == 0x90, "loopback MSR %02x", rd(6));
	wr(0, 'l');
	check((rd(5) & 1) && rd(0) == 'l' && !(rd(5) & 1), "loopback data");
	check(out_len == 0, "loopback stays inside");
}

static void test_transmit(void)
{
	uart_reset(uart);
	out_len = 0;
	wr(4, 8);
	wr(1, 2);
	check(line, "THRE interrupt on enabling it");
	check((rd(2) & 15) == 2 && !line, "reading IIR acknowledges it");
	wr(0, 'A');
	check(line && out_len == 1 && out[0] == 'A', "sent");
	out_room = false;
	wr(0, 'B');
	check(!line && !(rd(5) & 0x20), "no room: THR stays full");
	out_room = true;
	uart_tx_ready(uart);
	check(line && (rd(5) & 0x60) == 0x60, "room again");
	wr(4, 0);
	check(!line, "OUT2 gates the line");
}

static void test_receive(void)
{
	uart_reset(uart);
	wr(2, 0x81);	/* FIFO, trigger at 8 */
	wr(4, 8);
	wr(1, 5);
	in = "0123456789abcdefXYZ";
	uart_rx_ready(uart);
	check(line && (rd(2) & 15) == 4, "data interrupt %02x", rd(2));
	for (unsigned i = 0; i < 9; i++)
		rd(0);
	check(line && (rd(2) & 15) == 12, "7 left: timeout %02x", rd(2));
	for (unsigned i = 9; i < 16; i++)
		check(rd(0) == (uint8_t)"0123456789abcdef"[i], "byte %u", i);
	check(line && rd(0) == 'X' && rd(0) == 'Y' && rd(0) == 'Z', "refilled");
	check(!line && !(rd(5) & 1), "empty");
	in = "q";
	wr(1, 0);
	check((rd(5) & 1) && rd(0) == 'q', "polled without interrupts");
}

static void test_fuzz(void)
{
	for (unsigned i = 0; i < 200000; i++) {
		unsigned size = 1u << (rand() % 3), reg = (unsigned)rand() & 7;

		if (rand() % 64 == 0)
			in = "fuzz";
		out_room = rand() % 8 != 0;
		out_len = 0;
		if (rand() & 1)
			bus_pio_write(&vm.bus, (uint16_t)(BASE + reg), (uint64_t)rand(), size);
		else
			bus_pio_read(&vm.bus, (uint16_t)(BASE + reg), size);
		if (rand() % 16 == 0)
			uart_tx_ready(uart);
		if (rand() % 16 == 0)
			uart_rx_ready(uart);
	}
	in = "";
	out_room = true;
	uart_tx_ready(uart);
	test_identify();
	test_endless_input();
}

int main(void)
{
	struct uart_host host = { put, get, NULL };

	srand(1);
	bus_init(&vm.bus, NULL);
	irq_add_sink(&vm.irq, set_line, NULL);
	uart = uart_new(&vm, BASE, GSI, &host, NULL);
	check(uart, "made");
	check(!uart_new(&vm, BASE, GSI, &host, NULL), "ports are taken");
	test_identify();
	test_transmit();
	test_receive();
	test_fuzz();
	uart_free(uart);
	check(rd(5) == 0xff, "ports are free again");
	return check_done();
}
