/* Expectations: 8254 data sheet, "Mode definitions", and port 0x61. */
#include "dev/pit.h"

#include "check.h"
#include "dev_vm.h"

static struct pit *pit;
static unsigned rises;
static bool irq0;

static void sink(void *ptr, unsigned gsi, bool level)
{
	if (gsi != 0)
		return;
	rises += level && !irq0;
	irq0 = level;
}

static void load(unsigned ch, uint8_t control, uint16_t count)
{
	outb(0x43, ch << 6 | 0x30 | control);
	outb(0x40 + ch, count);
	outb(0x40 + ch, count >> 8);
}

static unsigned counter(unsigned ch)
{
	unsigned n;

	outb(0x43, ch << 6);
	n = inb(0x40 + ch);
	return n | inb(0x40 + ch) << 8;
}

static uint8_t status(unsigned ch)
{
	outb(0x43, 0xe0 | 2 << ch);
	return inb(0x40 + ch);
}

static bool out2(void)
{
	return inb(0x61) & 0x20;
}

/* To the middle of tick n from now, so that rounding cannot matter. */
static void ticks(unsigned n)
{
	static uint64_t from, at;

	if (n == 0) {
		from = test_ns;
		at = 0;
		test_pass(419);
		return;
	}
	at += n;
	test_pass(from + (at * 1000000000 + 500000000) / PIT_HZ - test_ns);
}

static void mode0(void)
{
	rises = 0;
	load(0, 0, 100);
	ticks(0);
	check(!irq0, "OUT falls");
	check(status(0) == 0x30, "status %#x", status(0));
	ticks(60);
	check(counter(0) == 40, "%u", counter(0));
	ticks(40);
	check(rises == 1 && irq0 && counter(0) == 0, "terminal count");
	check(status(0) == 0xb0, "status %#x", status(0));
	ticks(1);
	check(counter(0) == 0xffff, "goes on: %#x", counter(0));
	test_pass(NS_PER_SEC);
	check(rises == 1, "once");
}

static void mode2(void)
{
	uint64_t from;

	rises = 0;
	load(0, 4, 11932);	/* 100 Hz */
	from = test_ns;
	check(irq0, "OUT high");
	test_pass(NS_PER_SEC);
	check(rises == 99 || rises == 100, "%u ticks a second", rises);
	rises = 0;
	test_pass(100 * NS_PER_SEC);
	check(rises >= 9998 && rises <= 10001, "no drift: %u", rises);
	test_pass(from + 200 * NS_PER_SEC + 1000000 - test_ns);
	check(counter(0) <= 11932 && counter(0) > 0, "%u", counter(0));

	load(0, 4, 1000);
	ticks(0);
	check(counter(0) == 1000, "%u", counter(0));
	ticks(999);
	check(counter(0) == 1 && !(status(0) & 0x80), "low for one tick");
	ticks(1);
	check(counter(0) == 1000 && status(0) & 0x80, "and again");
	outb(0x40, 500 & 0xff);
	outb(0x40, 500 >> 8);
	check(counter(0) == 1000, "the period under way goes on");
	check(status(0) & 0x40, "null count");
	ticks(999);
	check(counter(0) == 1, "to its end");
	ticks(1);
	check(counter(0) == 500 && !(status(0) & 0x40), "then the new one");
}

static void late(void)
{
	load(0, 4, 1193);	/* 1 kHz */
	test_pass(10000000);
	rises = 0;
	test_ns += NS_PER_SEC;	/* stopped for a second */
	test_pass(10000000);
	check(rises >= 10 + 10 && rises <= 10 + 20, "no storm: %u", rises);
	load(0, 4, 2);		/* 600 kHz asked for */
	rises = 0;
	test_pass(10000000);
	check(rises > 0 && rises <= 501, "bounded: %u in 10 ms", rises);
	load(0, 0, 1);
	test_pass(1000000);
}

static void mode3(void)
{
	load(2, 6, 1000);
	outb(0x61, 1);
	ticks(0);
	check(out2() && counter(2) == 1000, "high");
	ticks(250);
	check(counter(2) == 500, "by twos: %u", counter(2));
	ticks(249);
	check(out2(), "high for half of it");
	ticks(1);
	check(!out2(), "low for half of it");
	ticks(500);
	check(out2(), "high again");
	outb(0x61, 0);
	ticks(700);
	check(out2(), "a low gate holds it high");
	load(2, 6, 5);
	outb(0x61, 1);
	ticks(0);
	ticks(2);
	check(out2(), "odd: (N + 1) / 2 high");
	ticks(1);
	check(!out2(), "(N - 1) / 2 low");
	ticks(2);
	check(out2(), "next");
}

static void gated(void)
{
	outb(0x61, 0);
	load(2, 0, 100);	/* mode 0 counts while the gate is high */
	ticks(0);
	ticks(50);
	check(counter(2) == 100 && !out2(), "held");
	outb(0x61, 1);
	ticks(0);
	ticks(60);
	check(counter(2) == 40, "%u", counter(2));
	outb(0x61, 0);
	ticks(0);
	ticks(500);
	check(counter(2) == 40, "paused: %u", counter(2));
	outb(0x61, 1);
	ticks(0);
	ticks(41);
	check(out2(), "done");

	load(2, 2, 10);		/* mode 1: a rising gate triggers */
	check(out2(), "high before");
	outb(0x61, 0);
	outb(0x61, 1);
	ticks(0);
	ticks(9);
	check(!out2(), "low while counting");
	outb(0x61, 0);
	outb(0x61, 1);
	ticks(0);
	ticks(9);
	check(!out2(), "retriggered");
	ticks(1);
	check(out2(), "over");

	load(2, 8, 10);		/* mode 4: one low pulse after the count */
	ticks(0);
	ticks(9);
	check(out2(), "high");
	ticks(1);
	check(!out2(), "strobe");
	ticks(1);
	check(out2(), "over");

	load(2, 10, 10);	/* mode 5: the same, triggered */
	ticks(0);
	ticks(10);
	check(out2(), "no trigger, no strobe");
	outb(0x61, 0);
	outb(0x61, 1);
	ticks(0);
	ticks(10);
	check(!out2(), "strobe");
}

static void access_modes(void)
{
	outb(0x61, 1);
	outb(0x43, 0x90);	/* channel 2, low byte, mode 0 */
	outb(0x42, 200);
	ticks(0);
	check(inb(0x42) == 200 && inb(0x42) == 200, "low byte only");
	outb(0x43, 0xa0);	/* high byte */
	outb(0x42, 2);
	ticks(0);
	check(inb(0x42) == 2, "high byte only");
	ticks(1);
	check(inb(0x42) == 1, "0x1ff");

	load(2, 1, 0x0100);	/* BCD */
	ticks(0);
	ticks(1);
	check(counter(2) == 0x0099, "%#x", counter(2));
	ticks(100);
	check(counter(2) == 0x9999, "%#x", counter(2));
	load(2, 0, 0);
	ticks(0);
	ticks(1);
	check(counter(2) == 0xffff, "0 is 65536");

	load(2, 0, 0x1234);
	ticks(0);
	outb(0x43, 0x80);
	ticks(10);
	outb(0x43, 0x80);	/* ignored: the first one is not read yet */
	check(inb(0x42) == 0x34 && inb(0x42) == 0x12, "latched");
	check(inb(0x42) == 0x2a, "then live");
	check(inb(0x42) == 0x12, "the high byte");
	outb(0x43, 0xc8);	/* read-back of both: status first */
	ticks(4);
	check(inb(0x42) == 0x30, "status");
	check(inb(0x42) == 0x2a && inb(0x42) == 0x12, "count");
	outb(0x43, 0xb0);
	check(status(2) == 0x70, "null count after the control word");
}

static void port61(void)
{
	unsigned toggles = 0;
	uint8_t old = inb(0x61), now;

	outb(0x61, 0xff);
	check((inb(0x61) & 0xcf) == 0x0f, "%#x", inb(0x61));
	for (unsigned i = 0; i < 100; i++) {
		test_pass(15085);
		now = inb(0x61);
		toggles += (old ^ now) >> 4 & 1;
		old = now;
	}
	check(toggles >= 99, "refresh toggles: %u", toggles);
}

static void mute(void)
{
	load(0, 4, 1193);
	pit_mute(pit, true);
	rises = 0;
	test_pass(NS_PER_SEC);
	check(rises == 0, "muted");
	pit_mute(pit, false);
	test_pass(NS_PER_SEC);
	check(rises > 990 && rises < 1010, "%u", rises);
}

int main(void)
{
	struct err e = { 0 };

	test_vm_init(0);
	irq_add_sink(&test_vm.irq, sink, NULL);
	pit = pit_new(&test_vm, &e);
	check(pit, "%s", e.msg);
	test_pass(NS_PER_SEC);
	check(rises == 0, "silent after reset");
	mode0();
	mode2();
	late();
	mode3();
	gated();
	access_modes();
	port61();
	mute();
	for (unsigned i = 0; i < 100000; i++)
		test_fuzz_pio(test_random() & 7 ? 0x40 : 0x61,
			      test_random() & 7 ? 4 : 1, 1);
	pit_reset(pit);
	mode0();
	pit_free(pit);
	return check_done();
}
