/* The devices of the machine: one row each, in the order they are made. */
#include "pc/machine.h"

#include "dev/hpet.h"
#include "dev/ioapic.h"
#include "dev/lapic.h"
#include "dev/pic.h"
#include "dev/pit.h"
#include "dev/rtc.h"
#include "dev/uart.h"

#define COM1_PORT	0x3f8
#define COM1_IRQ	4

static void *make_pic(struct pc *pc, struct err *e)
{
	return pic_new(&pc->vm, e);
}

static void *make_pit(struct pc *pc, struct err *e)
{
	return pit_new(&pc->vm, e);
}

static void *make_rtc(struct pc *pc, struct err *e)
{
	return rtc_new(&pc->vm, e);
}

static void *make_lapic(struct pc *pc, struct err *e)
{
	return lapics_new(&pc->vm, pc->dev[PC_DEV_PIC], e);
}

static void *make_ioapic(struct pc *pc, struct err *e)
{
	return ioapic_new(&pc->vm, pc->dev[PC_DEV_LAPIC], (uint8_t)pc->vm.ncpus, e);
}

static void *make_hpet(struct pc *pc, struct err *e)
{
	return hpet_new(&pc->vm, pc->dev[PC_DEV_PIT], pc->dev[PC_DEV_RTC], e);
}

static void *make_uart(struct pc *pc, struct err *e)
{
	struct uart_host host = { chardev_put, chardev_get, pc->serial };

	return uart_new(&pc->vm, COM1_PORT, COM1_IRQ, &host, e);
}

struct device {
	const char *name;
	void *(*make)(struct pc *pc, struct err *e);
	void (*reset)(void *dev);
	void (*free)(void *dev);
};

#define HOOKS(nm, stem) \
	static void reset_##nm(void *dev) { stem##_reset(dev); } \
	static void free_##nm(void *dev) { stem##_free(dev); }
#define ROW(nm) { #nm, make_##nm, reset_##nm, free_##nm }

HOOKS(pic, pic)
HOOKS(pit, pit)
HOOKS(rtc, rtc)
HOOKS(lapic, lapics)
HOOKS(ioapic, ioapic)
HOOKS(hpet, hpet)
HOOKS(uart, uart)

static const struct device devices[PC_DEV_COUNT] = {
	[PC_DEV_PIC] = ROW(pic),
	[PC_DEV_PIT] = ROW(pit),
	[PC_DEV_RTC] = ROW(rtc),
	[PC_DEV_LAPIC] = ROW(lapic),
	[PC_DEV_IOAPIC] = ROW(ioapic),
	[PC_DEV_HPET] = ROW(hpet),
	[PC_DEV_UART] = ROW(uart),
};

int devices_new(struct pc *pc, struct err *e)
{
	for (unsigned i = 0; i < PC_DEV_COUNT; i++) {
		struct err why = { 0 };

		pc->dev[i] = devices[i].make(pc, &why);
		if (!pc->dev[i])
			return err_set(e, why.code, "%s: %s", devices[i].name, why.msg);
	}
	return 0;
}

void devices_reset(struct pc *pc)
{
	for (unsigned i = 0; i < PC_DEV_COUNT; i++)
		devices[i].reset(pc->dev[i]);
}

void devices_free(struct pc *pc)
{
	for (unsigned i = PC_DEV_COUNT; i-- > 0;) {
		if (pc->dev[i])
			devices[i].free(pc->dev[i]);
		pc->dev[i] = NULL;
	}
}
