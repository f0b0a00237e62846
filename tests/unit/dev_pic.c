/* Expectations: 8259A data sheet; ELCR of the PIIX4. */
#include "dev/pic.h"

#include "check.h"
#include "dev_vm.h"

static struct pic *pic;
static unsigned notes;

static void note(void *ptr)
{
	notes++;
}

static void init(uint8_t icw4)
{
	irq_set(&test_vm.irq, 0, false);
	for (unsigned i = 1; i < 16; i++)
		irq_set(&test_vm.irq, i, false);
	outb(0x4d0, 0);
	outb(0x4d1, 0);
	outb(0x20, 0x11);
	outb(0x21, 0x30);
	outb(0x21, 0x04);
	outb(0x21, icw4);
	outb(0xa0, 0x11);
	outb(0xa1, 0x38);
	outb(0xa1, 0x02);
	outb(0xa1, icw4);
}

static void line(unsigned n, bool level)
{
	irq_set(&test_vm.irq, n, level);
}

static void before_init(void)
{
	line(1, true);
	check(!pic_intr(pic), "no interrupt before the ICWs");
	line(1, false);
	outb(0x20, 0x11);
	line(1, true);
	outb(0x21, 0x30);
	outb(0x21, 0x04);
	check(!pic_intr(pic), "nor within them");
	outb(0x21, 0x01);
	check(pic_intr(pic) && pic_ack(pic) == 0x31, "but after");
}

static void priorities(void)
{
	init(1);
	line(4, true);
	line(1, true);
	check(notes && pic_intr(pic), "INTR rose");
	check(inb(0x20) == 0x12, "IRR %#x", inb(0x20));
	check(pic_ack(pic) == 0x31, "IRQ 1 first");
	outb(0x20, 0x0b);
	check(inb(0x20) == 0x02, "ISR %#x", inb(0x20));
	outb(0x20, 0x0a);
	check(inb(0x20) == 0x10, "IRR %#x", inb(0x20));
	check(!pic_intr(pic), "IRQ 4 waits");
	line(0, true);
	check(pic_intr(pic) && pic_ack(pic) == 0x30, "IRQ 0 nests");
	outb(0x20, 0x20);
	outb(0x20, 0x20);
	check(pic_intr(pic) && pic_ack(pic) == 0x34, "after two EOIs");
	outb(0x20, 0x64);
	outb(0x20, 0x0b);
	check(inb(0x20) == 0, "specific EOI");
	check(!pic_intr(pic), "lines still high are no new edges");
	line(1, false);
	line(1, true);
	check(pic_intr(pic), "a new edge is");
	outb(0x21, 0x02);
	check(!pic_intr(pic) && inb(0x21) == 0x02, "masked");
	check(pic_ack(pic) == 0x37, "spurious");
	outb(0x20, 0x0b);
	check(inb(0x20) == 0, "which is not in service");
}

static void cascade(void)
{
	init(1);
	line(12, true);
	check(pic_ack(pic) == 0x3c, "slave's vector");
	line(8, true);
	check(!pic_intr(pic), "the master's IR2 is busy");
	outb(0xa0, 0x20);
	check(!pic_intr(pic), "still");
	outb(0x20, 0x20);
	check(pic_intr(pic) && pic_ack(pic) == 0x38, "IRQ 8");
	outb(0xa0, 0x20);
	outb(0x20, 0x20);
	line(9, true);
	outb(0xa1, 0xff);
	check(!pic_intr(pic), "the cascade falls with its cause");
	outb(0xa1, 0);
	check(pic_ack(pic) == 0x39, "IRQ 9");

	init(0x11);	/* special fully nested */
	line(12, true);
	check(pic_ack(pic) == 0x3c, "IRQ 12");
	line(8, true);
	check(pic_intr(pic) && pic_ack(pic) == 0x38, "a higher one of the slave");
}

static void levels(void)
{
	init(1);
	outb(0x4d0, 0xff);
	outb(0x4d1, 0xff);
	check(inb(0x4d0) == 0xf8 && inb(0x4d1) == 0xde, "always edge: 0, 1, 2, 8, 13");
	line(10, true);
	check(pic_ack(pic) == 0x3a, "IRQ 10");
	outb(0xa0, 0x20);
	outb(0x20, 0x20);
	check(pic_intr(pic), "a level asks again");
	line(10, false);
	check(!pic_intr(pic), "until it falls");
	outb(0xa0, 0x0a);
	check(inb(0xa0) == 0, "IRR follows the line");
}

static void modes(void)
{
	init(3);	/* automatic EOI */
	line(3, true);
	check(pic_ack(pic) == 0x33, "IRQ 3");
	outb(0x20, 0x0b);
	check(inb(0x20) == 0, "not in service");
	outb(0x20, 0x80);	/* rotate in automatic EOI mode */
	line(5, true);
	check(pic_ack(pic) == 0x35, "IRQ 5");
	line(7, true);
	line(5, false);
	line(5, true);
	check(pic_ack(pic) == 0x37, "5 is the lowest now");

	init(1);
	outb(0x20, 0xc2);	/* IR2 lowest: IR3 highest */
	line(1, true);
	line(4, true);
	check(pic_ack(pic) == 0x34, "set priority");
	outb(0x20, 0xa0);	/* rotate on non-specific EOI */
	line(4, false);
	line(4, true);
	check(pic_ack(pic) == 0x31, "4 is the lowest now");
	outb(0x20, 0xe1);	/* rotate on specific EOI */
	outb(0x20, 0x0b);
	check(inb(0x20) == 0, "EOI of 1");

	init(1);	/* special mask: lower ones come through */
	line(2 + 1, true);
	check(pic_ack(pic) == 0x33, "IRQ 3");
	line(6, true);
	check(!pic_intr(pic), "IRQ 6 waits");
	outb(0x21, 0x08);
	outb(0x20, 0x68);
	check(pic_intr(pic) && pic_ack(pic) == 0x36, "special mask");
	outb(0x20, 0x20);
	outb(0x20, 0x0b);
	check(inb(0x20) == 0x08, "EOI spares what is masked: %#x", inb(0x20));
	outb(0x20, 0x48);

	init(1);	/* poll */
	outb(0x20, 0x0c);
	check(!(inb(0x20) & 0x80), "nothing to poll");
	line(6, true);
	outb(0x20, 0x0c);
	check(inb(0x20) == 0x86 && !pic_intr(pic), "polled and acknowledged");
	outb(0x20, 0x0b);
	check(inb(0x20) == 0x40, "in service");
}

static void fuzz(void)
{
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t r = test_random();

		line(r % 16, r >> 8 & 1);
		switch (r >> 16 & 3) {
		case 0:
			test_fuzz_pio(0x20, 2, 1);
			break;
		case 1:
			test_fuzz_pio(0xa0, 2, 1);
			break;
		case 2:
			test_fuzz_pio(0x4d0, 2, 1);
			break;
		default:
			if (pic_intr(pic))
				pic_ack(pic);
		}
	}
	pic_reset(pic);
	init(1);
	line(1, true);
	check(pic_ack(pic) == 0x31, "works after all that");
}

int main(void)
{
	struct err e = { 0 };

	test_vm_init(0);
	pic = pic_new(&test_vm, &e);
	check(pic, "%s", e.msg);
	pic_connect(pic, note, NULL);
	before_init();
	priorities();
	cascade();
	levels();
	modes();
	fuzz();
	pic_free(pic);
	return check_done();
}
