/* Expectations: 82093AA data sheet. */
#include "dev/ioapic.h"

#include "check.h"
#include "dev_vm.h"

static struct vcpu *cpu;

static uint32_t get(uint8_t reg)
{
	writel(IOAPIC_BASE, reg);
	return readl(IOAPIC_BASE + 0x10);
}

static void put(uint8_t reg, uint32_t val)
{
	writel(IOAPIC_BASE, reg);
	writel(IOAPIC_BASE + 0x10, val);
}

static void route(unsigned pin, uint32_t low)
{
	put(0x11 + 2 * pin, 0);
	put(0x10 + 2 * pin, low);
}

static int take(void)
{
	if (!(atomic_fetch_and(&cpu->req, ~VCPU_REQ_INTR) & VCPU_REQ_INTR) ||
	    !cpu->intr_pending(cpu->intr_ptr))
		return -1;
	return cpu->intr_ack(cpu->intr_ptr);
}

static void end(void)
{
	writel(LAPIC_BASE + 0xb0, 0);
}

static void line(unsigned n, bool level)
{
	irq_set(&test_vm.irq, n, level);
}

static void registers(void)
{
	check(get(0) == 1u << 24, "ID");
	check(get(1) == 0x170020, "version: 24 pins");
	put(0, 0xff000000);
	check(get(0) == 0x0f000000 && get(2) == 0x0f000000, "4 bits of ID");
	for (unsigned i = 0; i < 24; i++)
		check(get(0x10 + 2 * i) == 0x10000 && get(0x11 + 2 * i) == 0, "pin %u", i);
	put(0x3f, 0xffffffff);
	put(0x3e, 0xffffffff);
	check(get(0x3f) == 0xff000000 && get(0x3e) == 0x1afff, "writable bits");
	put(0x3e, 0x10000);
	check(get(0x40) == 0 && get(0xff) == 0, "no more pins");
	put(1, 0);
	check(get(1) == 0x170020, "read-only");
	writel(IOAPIC_BASE, 0x1ff);
	check(readl(IOAPIC_BASE) == 0xff, "8 bits of index");
	check(readl(IOAPIC_BASE + 0x30) == 0, "nothing there");
}

static void edges(void)
{
	route(4, 0x41);
	line(4, true);
	check(take() == 0x41, "rising");
	end();
	line(4, false);
	check(take() == -1, "not falling");
	route(4, 0x10041);
	line(4, true);
	route(4, 0x41);
	check(take() == -1, "an edge while masked is lost");
	line(4, false);
	line(4, true);
	check(take() == 0x41, "the next is not");
	end();
	line(4, false);
	route(2, 0x50);
	route(0, 0x51);
	irq_pulse(&test_vm.irq, 0);
	check(take() == 0x50, "IRQ 0 is at pin 2");
	end();
	irq_pulse(&test_vm.irq, 2);
	check(take() == -1, "IRQ 2 is the cascade");
	irq_pulse(&test_vm.irq, 23);
	route(4, 0x10000);
	route(2, 0x10000);
	route(0, 0x10000);
}

static void levels(void)
{
	route(10, 0x8061);
	line(10, true);
	check(get(0x24) == 0xc061, "remote IRR: %#x", get(0x24));
	check(take() == 0x61, "taken");
	check(take() == -1, "once");
	end();
	check(take() == 0x61, "again while it is high");
	line(10, false);
	end();
	check(take() == -1 && get(0x24) == 0x8061, "low");
	route(10, 0x18061);
	line(10, true);
	check(take() == -1, "masked");
	route(10, 0x8061);
	check(take() == 0x61, "a level waits");
	line(10, false);
	writel(IOAPIC_BASE + 0x40, 0x60);
	check(get(0x24) & 0x4000, "another vector's EOI");
	writel(IOAPIC_BASE + 0x40, 0x61);
	check(!(get(0x24) & 0x4000), "EOI register");
	end();
	line(10, true);
	check(take() == 0x61, "next");
	put(0x24, 0x10061);	/* to edge and back: clears remote IRR */
	put(0x24, 0x18061);
	check(get(0x24) == 0x18061, "%#x", get(0x24));
	line(10, false);
	end();
}

static void modes(void)
{
	route(9, 0x400);
	line(9, true);
	check(atomic_fetch_and(&cpu->req, ~VCPU_REQ_NMI) & VCPU_REQ_NMI, "NMI");
	line(9, false);
	writel(LAPIC_BASE + 0xd0, 1u << 24);
	put(0x23, 1u << 24);
	put(0x22, 0x972);	/* lowest priority, logical */
	line(9, true);
	check(take() == 0x72, "lowest priority");
	end();
	line(9, false);
	put(0x23, 2u << 24);
	line(9, true);
	check(take() == -1, "nobody's");
	line(9, false);
	put(0x22, 0x10000);
}

int main(void)
{
	struct err e = { 0 };
	struct ioapic *io;
	struct lapics *ls;

	test_vm_init(1);
	cpu = test_vm.vcpu[0];
	ls = lapics_new(&test_vm, NULL, &e);
	io = ioapic_new(&test_vm, ls, 1, &e);
	check(io && ls, "%s", e.msg);
	writel(LAPIC_BASE + 0xf0, 0x1ff);
	registers();
	edges();
	levels();
	modes();
	for (unsigned i = 0; i < 300000; i++) {
		uint64_t r = test_random();

		if (r & 1)
			line((r >> 8) % IRQ_LINES, r >> 16 & 1);
		else if (r & 2)
			put(r >> 8, test_random());
		else
			test_fuzz_mmio(IOAPIC_BASE, 256, 1);
		if ((r >> 32 & 7) == 0 && take() >= 0)
			end();
	}
	for (unsigned i = 0; i < IRQ_LINES; i++)
		line(i, false);
	ioapic_reset(io);
	lapics_reset(ls);
	cpu->req = 0;
	writel(LAPIC_BASE + 0xf0, 0x1ff);
	edges();
	levels();
	ioapic_free(io);
	lapics_free(ls);
	test_vm_done();
	return check_done();
}
