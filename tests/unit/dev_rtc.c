/* Expectations: MC146818 data sheet. */
#include "dev/rtc.h"

#include "check.h"
#include "dev_vm.h"

static struct rtc *rtc;
static bool irq8;
static unsigned rises;

static void sink(void *ptr, unsigned gsi, bool level)
{
	if (gsi != 8)
		return;
	rises += level && !irq8;
	irq8 = level;
}

static uint8_t get(uint8_t reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static void put(uint8_t reg, uint8_t val)
{
	outb(0x70, reg);
	outb(0x71, val);
}

static unsigned bcd(uint8_t v)
{
	return (v >> 4) * 10 + (v & 15);
}

/* The host's time in UTC, before the test sets the clock. */
static void host_time(void)
{
	time_t now = time(NULL);
	struct tm tm;
	int days;

	gmtime_r(&now, &tm);
	days = bcd(get(7)) - tm.tm_mday;
	check(bcd(get(0x32)) * 100 + bcd(get(9)) == (unsigned)tm.tm_year + 1900 ||
	      (tm.tm_mon == 11 && tm.tm_mday == 31), "year");
	check(days == 0 || days == 1 || days < -26, "day %d", days);
	check(get(0x0d) == 0x80, "valid RAM and time");
	check((get(0x0a) & 0x7f) == 0x26 && get(0x0b) == 0x02, "A, B");
}

static void set_time(unsigned century, unsigned year, unsigned mon, unsigned mday,
		     unsigned hour, unsigned min, unsigned sec)
{
	put(0x0b, 0x80 | get(0x0b));
	put(0x32, century);
	put(9, year);
	put(8, mon);
	put(7, mday);
	put(4, hour);
	put(2, min);
	put(0, sec);
	put(0x0b, get(0x0b) & 0x7f);
}

/* Let the second end, so that the next one is whole. */
static void whole_second(void)
{
	uint8_t s = get(0);

	while (get(0) == s)
		test_pass(1000000);
	test_pass(1000000);
}

static void calendar(void)
{
	static const struct { uint8_t from[6], to[6], wday; } cases[] = {
		{ { 0x20, 0x24, 0x02, 0x28 }, { 0x20, 0x24, 0x02, 0x29 }, 5 },
		{ { 0x20, 0x23, 0x02, 0x28 }, { 0x20, 0x23, 0x03, 0x01 }, 4 },
		{ { 0x20, 0x00, 0x02, 0x28 }, { 0x20, 0x00, 0x02, 0x29 }, 3 },
		{ { 0x21, 0x00, 0x02, 0x28 }, { 0x21, 0x00, 0x03, 0x01 }, 2 },
		{ { 0x19, 0x99, 0x12, 0x31 }, { 0x20, 0x00, 0x01, 0x01 }, 7 },
		{ { 0x19, 0x69, 0x12, 0x31 }, { 0x19, 0x70, 0x01, 0x01 }, 5 },
		{ { 0x19, 0x05, 0x04, 0x30 }, { 0x19, 0x05, 0x05, 0x01 }, 2 },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const uint8_t *f = cases[i].from, *t = cases[i].to;

		set_time(f[0], f[1], f[2], f[3], 0x23, 0x59, 0x59);
		test_pass(1000000000);
		check(get(0x32) == t[0] && get(9) == t[1] && get(8) == t[2] &&
		      get(7) == t[3], "case %u: %02x%02x-%02x-%02x", i, get(0x32),
		      get(9), get(8), get(7));
		check(get(4) == 0 && get(2) == 0 && get(0) == 0, "midnight");
		check(get(6) == cases[i].wday, "case %u: day %u of the week", i, get(6));
	}
}

static void formats(void)
{
	set_time(0x20, 0x26, 0x11, 0x24, 0x13, 0x45, 0x30);
	check(get(4) == 0x13 && get(2) == 0x45, "BCD, 24 hours");
	put(0x0b, 0x06);	/* binary */
	check(get(4) == 13 && get(2) == 45 && get(0x32) == 20, "binary");
	put(0x0b, 0x00);	/* BCD, 12 hours */
	check(get(4) == 0x81, "1 PM: %#x", get(4));
	set_time(0x20, 0x26, 0x11, 0x24, 0x12, 0, 0);
	check(get(4) == 0x12, "midnight is 12 AM");
	put(0x0b, 0x02);
	check(get(4) == 0, "0 in 24 hours: %#x", get(4));
	put(0x0b, 0x80 | 0x02);
	check(get(0x0b) == 0x82, "SET");
	put(0, 0x33);
	test_pass(5 * NS_PER_SEC);
	check(get(0) == 0x33, "stands still");
	put(0x0b, 0x02);
	test_pass(5 * NS_PER_SEC);
	check(get(0) == 0x38, "goes on: %#x", get(0));
	put(0x0a, 0x76);	/* divider reset */
	put(0, 0x10);
	put(0x0a, 0x26);
	test_pass(499000000);
	check(get(0) == 0x10, "half a second");
	test_pass(2000000);
	check(get(0) == 0x11, "to the first update");
}

static void uip(void)
{
	uint64_t up = 0;

	whole_second();
	check(!(get(0x0a) & 0x80), "no update now");
	for (unsigned i = 0; i < 10000; i++) {
		up += get(0x0a) >> 7;
		test_pass(100000);
	}
	check(up >= 22 && up <= 23, "2228 us a second: %lu00", up);
}

static void interrupts(void)
{
	whole_second();
	get(0x0c);
	rises = 0;
	put(0x0b, 0x12);	/* update ended */
	test_pass(NS_PER_SEC);
	check(rises == 1 && irq8, "%u", rises);
	test_pass(NS_PER_SEC);
	check(rises == 1, "held until C is read");
	check((get(0x0c) & 0xb0) == 0x90 && !irq8, "IRQF, UF");
	check(get(0x0c) == 0, "read clears");
	put(0x0b, 0x02);
	test_pass(NS_PER_SEC);
	check(!irq8 && (get(0x0c) & 0x90) == 0x10, "polled UF");

	put(0x0a, 0x26);	/* 1024 Hz */
	put(0x0b, 0x42);
	rises = 0;
	for (unsigned i = 0; i < 1000; i++) {
		test_pass(1000000);
		get(0x0c);
	}
	check(rises >= 998 && rises <= 1001, "served every ms: %u", rises);
	put(0x0a, 0x2f);	/* 2 Hz */
	rises = 0;
	for (unsigned i = 0; i < 1000; i++) {
		test_pass(10000000);
		get(0x0c);
	}
	check(rises >= 19 && rises <= 20, "2 Hz: %u in 10 s", rises);
	put(0x0a, 0x20);
	get(0x0c);
	rises = 0;
	test_pass(NS_PER_SEC);
	check(rises == 0, "rate 0: none");
	put(0x0a, 0x26);
	put(0x0b, 0x02);
}

static void alarms(void)
{
	unsigned n = 0;

	set_time(0x20, 0x26, 0x11, 0x24, 0x13, 0x45, 0x30);
	put(5, 0x13);
	put(3, 0x46);
	put(1, 0x00);
	get(0x0c);
	put(0x0b, 0x22);
	test_pass(29 * NS_PER_SEC);
	check(!irq8, "not yet");
	test_pass(2 * NS_PER_SEC);
	check(irq8 && (get(0x0c) & 0xa0) == 0xa0, "alarm");
	test_pass(3600 * NS_PER_SEC);
	check(!irq8, "not in an hour");
	test_pass(23 * 3600 * NS_PER_SEC);
	check(irq8, "but in a day");
	put(5, 0xff);		/* every hour */
	get(0x0c);
	for (unsigned i = 0; i < 24; i++) {
		test_pass(3600 * NS_PER_SEC);
		n += (get(0x0c) & 0x20) != 0;
	}
	check(n == 24, "hourly: %u", n);
	put(3, 0xc0);
	put(1, 0xc0);		/* every second */
	get(0x0c);
	test_pass(1100000000);
	check(get(0x0c) & 0x20, "every second");
	put(1, 0x77);		/* never */
	get(0x0c);
	test_pass(86400 * NS_PER_SEC);
	check(!(get(0x0c) & 0x20), "never");
	put(0x0b, 0x02);
	get(0x0c);
}

static unsigned told_rises;

static void told(void *ptr)
{
	told_rises++;
}

static void memory(void)
{
	put(0x40, 0xa5);
	put(0xc1, 0x5a);	/* bit 7 masks NMIs */
	check(get(0x40) == 0xa5 && get(0x41) == 0x5a, "bytes stay");
	rtc_set_cmos(rtc, 0x5f, 3);
	check(get(0x5f) == 3, "firmware's byte");
	put(0x0d, 0);
	put(0x0c, 0xff);
	check(get(0x0d) == 0x80 && !(get(0x0c) & 0x80), "read-only");
	rtc_mute(rtc, true);
	rtc_on_interrupt(rtc, told, NULL);
	rises = 0;
	put(0x0b, 0x12);
	test_pass(2 * NS_PER_SEC);
	check(rises == 0 && told_rises == 1, "muted; who wants to hear of it does: %u", told_rises);
	get(0x0c);
	test_pass(NS_PER_SEC);
	check(told_rises == 2, "once each: %u", told_rises);
	rtc_mute(rtc, false);
	check(irq8, "not muted");
	rtc_reset(rtc);
	check(!irq8 && get(0x0b) == 0x02 && get(0x40) == 0xa5, "reset");
}

static void sizes(void)
{
	struct mem m = { .ram_size = 5ull << 30 };
	struct err e = { 0 };

	test_vm_init(0);
	test_vm.mem = &m;
	rtc = rtc_new(&test_vm, &e);
	check((get(0x34) | get(0x35) << 8) == (3072 - 16) * 16, "above 16 MiB");
	check((get(0x5b) | get(0x5c) << 8) == 2048 * 16, "above 4 GiB");
	check((get(0x17) | get(0x18) << 8) == 0xffff, "KiB above 1 MiB");
	check((get(0x15) | get(0x16) << 8) == 640, "KiB at 0");
	rtc_free(rtc);
}

int main(void)
{
	struct err e = { 0 };

	test_vm_init(0);
	irq_add_sink(&test_vm.irq, sink, NULL);
	rtc = rtc_new(&test_vm, &e);
	check(rtc, "%s", e.msg);
	host_time();
	calendar();
	formats();
	uip();
	interrupts();
	alarms();
	memory();
	for (unsigned i = 0; i < 300000; i++) {
		outb(0x70, test_random() % 16);
		test_fuzz_pio(0x70, 2, 1);
	}
	put(0x0a, 0x26);
	put(0x0b, 0x02);
	calendar();
	rtc_free(rtc);
	sizes();
	return check_done();
}
