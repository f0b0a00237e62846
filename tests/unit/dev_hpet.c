/* Expectations: IA-PC HPET Specification 1.0a. */
#include "dev/hpet.h"

#include "check.h"
#include "dev_vm.h"

static struct hpet *hpet;
static unsigned rises[IRQ_LINES];
static bool level[IRQ_LINES];
static uint64_t msi_addr;
static uint32_t msi_data;

static void sink(void *ptr, unsigned gsi, bool on)
{
	rises[gsi] += on && !level[gsi];
	level[gsi] = on;
}

static void msi(void *ptr, uint64_t addr, uint32_t data)
{
	msi_addr = addr;
	msi_data = data;
}

static uint64_t get(unsigned reg)
{
	return bus_mmio_read(&test_vm.bus, HPET_BASE + reg, 8);
}

static void put(unsigned reg, uint64_t val)
{
	bus_mmio_write(&test_vm.bus, HPET_BASE + reg, val, 8);
}

static void counter(void)
{
	uint64_t a;

	check(get(0) == 0x0429b17f8086a201, "capabilities %#lx", get(0));
	check(readl(HPET_BASE + 4) == 69841279, "period");
	put(0xf0, 0x123456789abcdef0);
	test_pass(NS_PER_SEC);
	check(get(0xf0) == 0x123456789abcdef0, "stopped");
	put(0xf0, 0xfffffff0);
	put(0x10, 1);
	test_pass(NS_PER_SEC);
	a = get(0xf0);
	check(a - 0xfffffff0 >= 14318179 && a - 0xfffffff0 <= 14318181, "%lu Hz",
	      a - 0xfffffff0);
	check(readl(HPET_BASE + 0xf0) == (uint32_t)a &&
	      readl(HPET_BASE + 0xf4) == a >> 32, "halves");
	put(0x10, 0);
	writel(HPET_BASE + 0xf4, 7);
	check(get(0xf0) == ((uint32_t)a | 7ull << 32), "half written");
	check(get(0x108) == UINT64_MAX, "comparators are all ones");
	check((get(0x100) & 0xffff) == 0x8030, "timer 0 can: %#lx", get(0x100));
}

static void one_shot(void)
{
	rises[20] = 0;
	put(0xf0, 0);
	put(0x100, 0x4 | 20 << 9);	/* edge, pin 20 */
	check((get(0x100) & 0x3e00) == 20 << 9, "route");
	put(0x108, 14318);
	put(0x10, 1);
	test_pass(999000);
	check(rises[20] == 0, "early");
	test_pass(2000);
	check(rises[20] == 1 && !level[20], "1 ms");
	test_pass(10 * NS_PER_SEC);
	check(rises[20] == 1, "once");
	put(0x108, get(0xf0) + 143180);
	test_pass(10100000);
	check(rises[20] == 2, "again");
	put(0x108, get(0xf0) - 1);
	test_pass(10 * NS_PER_SEC);
	check(rises[20] == 2, "in the past: in 40,000 years");
	put(0x100, 0x104 | 20 << 9);	/* 32 bits: every 300 s */
	put(0x108, (get(0xf0) + 14318) & 0xffffffff);
	test_pass(2000000);
	check(rises[20] == 3, "32 bits");
	test_pass(300 * NS_PER_SEC);
	check(rises[20] == 4, "wrapped around");
	put(0x100, 0x4 | 5 << 9);	/* not a pin it can reach */
	put(0x108, get(0xf0) + 100);
	test_pass(1000000);
	check(rises[5] == 0, "unroutable");
	put(0x100, 0);
}

static void level_triggered(void)
{
	put(0x120, 0x6 | 21 << 9);
	put(0x128, get(0xf0) + 14318);
	test_pass(1100000);
	check(level[21] && get(0x20) == 2, "active");
	put(0x20, 1);
	check(level[21], "another one's bit");
	put(0x20, 2);
	check(!level[21] && get(0x20) == 0, "cleared");
	put(0x128, get(0xf0) + 14318);
	test_pass(1100000);
	put(0x120, 0x6 | 22 << 9);
	check(!level[21] && level[22], "moves with its route");
	put(0x120, 0);
	check(!level[22] && get(0x20) == 0, "edge mode drops it");
}

static void periodic(void)
{
	uint64_t acc;

	put(0x10, 0);
	put(0xf0, 0);
	put(0x100, 0x4c | 20 << 9);	/* periodic, set value */
	put(0x108, 14318);		/* accumulator and period */
	put(0x10, 1);
	rises[20] = 0;
	test_pass(NS_PER_SEC + 100000);
	check(rises[20] == 1000, "%u ticks", rises[20]);
	acc = get(0x108);
	check(acc > get(0xf0) && acc - get(0xf0) <= 14318 && acc % 14318 == 0,
	      "accumulator %lu", acc);
	put(0x108, 143180);		/* the period only */
	rises[20] = 0;
	test_pass(NS_PER_SEC);
	check(rises[20] >= 99 && rises[20] <= 101, "%u ticks", rises[20]);
	rises[20] = 0;
	test_pass(1000 * NS_PER_SEC);
	check(rises[20] >= 99999 && rises[20] <= 100002, "no drift: %u", rises[20]);

	put(0x100, 0x14c | 20 << 9);	/* as Linux does it, in 32 bits */
	writel(HPET_BASE + 0x108, readl(HPET_BASE + 0xf0) + 14318);
	writel(HPET_BASE + 0x108, 14318);
	rises[20] = 0;
	test_pass(NS_PER_SEC);
	check(rises[20] >= 999 && rises[20] <= 1001, "%u ticks", rises[20]);
	rises[20] = 0;
	test_pass(1000 * NS_PER_SEC);	/* over the wrap */
	check(rises[20] >= 999990 && rises[20] <= 1000030, "%u ticks", rises[20]);
	rises[20] = 0;
	test_ns += NS_PER_SEC;
	test_pass(10000000);
	check(rises[20] >= 10 + 10 && rises[20] <= 10 + 20, "no storm: %u", rises[20]);
	put(0x108, 1);
	rises[20] = 0;
	test_pass(10000000);
	check(rises[20] <= 501, "bounded: %u in 10 ms", rises[20]);
	put(0x100, 0);
}

static void fsb(void)
{
	put(0x140, 0x4004);
	put(0x150, 0xfee01000ull << 32 | 0x41);
	put(0x148, get(0xf0) + 100);
	test_pass(10000);
	check(msi_addr == 0xfee01000 && msi_data == 0x41, "message");
	put(0x140, 0);
}

static void legacy(void)
{
	outb(0x43, 0x34);	/* the 8254 at 1 kHz */
	outb(0x40, 1193 & 0xff);
	outb(0x40, 1193 >> 8);
	put(0x100, 0x4c);
	put(0x108, 143180);
	put(0x10, 3);
	rises[0] = 0;
	test_pass(NS_PER_SEC);
	check(rises[0] >= 99 && rises[0] <= 101, "IRQ 0 is ours: %u", rises[0]);
	put(0x120, 0x4);
	put(0x128, get(0xf0) + 100);
	rises[8] = 0;
	test_pass(10000);
	check(rises[8] == 1, "IRQ 8 too");
	put(0x10, 1);
	put(0x100, 0);
	rises[0] = 0;
	test_pass(NS_PER_SEC);
	check(rises[0] > 990 && rises[0] < 1010, "the 8254 again: %u", rises[0]);
}

int main(void)
{
	struct err e = { 0 };
	struct pit *pit;
	struct rtc *rtc;

	test_vm_init(0);
	irq_add_sink(&test_vm.irq, sink, NULL);
	test_vm.irq.msi = msi;
	pit = pit_new(&test_vm, &e);
	rtc = rtc_new(&test_vm, &e);
	hpet = hpet_new(&test_vm, pit, rtc, &e);
	check(pit && rtc && hpet, "%s", e.msg);
	counter();
	one_shot();
	level_triggered();
	periodic();
	fsb();
	legacy();
	test_fuzz_mmio(HPET_BASE, 1024, 200000);
	test_fuzz_mmio(HPET_BASE, 0x160, 200000);
	hpet_reset(hpet);
	counter();
	one_shot();
	hpet_free(hpet);
	rtc_free(rtc);
	pit_free(pit);
	return check_done();
}
