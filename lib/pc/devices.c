/* The devices of the machine: one row each, in the order they are made. */
#include "pc/machine.h"

#include "dev/acpipm.h"
#include "dev/debugexit.h"
#include "dev/fwcfg.h"
#include "dev/fwdebug.h"
#include "dev/hpet.h"
#include "dev/i440bx.h"
#include "dev/i8042.h"
#include "dev/ide.h"
#include "dev/ioapic.h"
#include "dev/lapic.h"
#include "dev/pci.h"
#include "dev/pic.h"
#include "dev/piix4.h"
#include "dev/pit.h"
#include "dev/port92.h"
#include "dev/rtc.h"
#include "dev/uart.h"
#include "dev/vmbackdoor.h"

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

static void *make_i8042(struct pc *pc, struct err *e)
{
	return i8042_new(&pc->vm, e);
}

static void *make_port92(struct pc *pc, struct err *e)
{
	return port92_new(&pc->vm, e);
}

static void *make_pci(struct pc *pc, struct err *e)
{
	return pci_new(&pc->vm, e);
}

static void *make_i440bx(struct pc *pc, struct err *e)
{
	return i440bx_new(&pc->vm, pc->dev[PC_DEV_PCI], pc->boot == PC_BOOT_ROM, e);
}

static void *make_piix4(struct pc *pc, struct err *e)
{
	return piix4_new(&pc->vm, pc->dev[PC_DEV_PCI], ACPIPM_BASE, e);
}

static void *make_acpipm(struct pc *pc, struct err *e)
{
	struct acpipm *a = acpipm_new(&pc->vm, ACPIPM_BASE, e);

	if (a) {
		rtc_on_interrupt(pc->dev[PC_DEV_RTC], acpipm_rtc, a);
		piix4_on_pm_move(pc->dev[PC_DEV_PIIX4], acpipm_move, a);
	}
	return a;
}

static void *make_vmbackdoor(struct pc *pc, struct err *e)
{
	return vmbackdoor_new(&pc->vm, e);
}

static void *make_ide(struct pc *pc, struct err *e)
{
	return ide_make(pc, e);
}

static void *make_scsi(struct pc *pc, struct err *e)
{
	return scsi_hosts_new(pc, e);
}

static void *make_fwcfg(struct pc *pc, struct err *e)
{
	return fwcfg_new(&pc->vm, e);
}

static void *make_fwdebug(struct pc *pc, struct err *e)
{
	return fwdebug_new(&pc->vm, e);
}

static void *make_debugexit(struct pc *pc, struct err *e)
{
	return debugexit_new(&pc->vm, e);
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
HOOKS(i8042, i8042)
HOOKS(port92, port92)
HOOKS(pci, pci)
HOOKS(i440bx, i440bx)
HOOKS(piix4, piix4)
HOOKS(acpipm, acpipm)
HOOKS(vmbackdoor, vmbackdoor)
HOOKS(ide, ide)
HOOKS(scsi, scsi_hosts)
HOOKS(fwcfg, fwcfg)
HOOKS(fwdebug, fwdebug)
HOOKS(debugexit, debugexit)

static const struct device devices[PC_DEV_COUNT] = {
	[PC_DEV_PIC] = ROW(pic),
	[PC_DEV_PIT] = ROW(pit),
	[PC_DEV_RTC] = ROW(rtc),
	[PC_DEV_LAPIC] = ROW(lapic),
	[PC_DEV_IOAPIC] = ROW(ioapic),
	[PC_DEV_HPET] = ROW(hpet),
	[PC_DEV_UART] = ROW(uart),
	[PC_DEV_I8042] = ROW(i8042),
	[PC_DEV_PORT92] = ROW(port92),
	[PC_DEV_PCI] = ROW(pci),
	[PC_DEV_I440BX] = ROW(i440bx),
	[PC_DEV_PIIX4] = ROW(piix4),
	[PC_DEV_ACPIPM] = ROW(acpipm),
	[PC_DEV_VMBACKDOOR] = ROW(vmbackdoor),
	[PC_DEV_IDE] = ROW(ide),
	[PC_DEV_SCSI] = ROW(scsi),
	[PC_DEV_FWCFG] = ROW(fwcfg),
	[PC_DEV_FWDEBUG] = ROW(fwdebug),
	[PC_DEV_DEBUGEXIT] = ROW(debugexit),
};

/* Does this machine have it? */
static bool wanted(const struct pc *pc, unsigned i)
{
	if (i == PC_DEV_FWCFG || i == PC_DEV_FWDEBUG)
		return pc->boot == PC_BOOT_ROM;
	return i != PC_DEV_DEBUGEXIT || pc->cfg.debug_exit;
}

int devices_new(struct pc *pc, struct err *e)
{
	for (unsigned i = 0; i < PC_DEV_COUNT; i++) {
		struct err why = { 0 };

		if (!wanted(pc, i))
			continue;
		pc->dev[i] = devices[i].make(pc, &why);
		if (!pc->dev[i])
			return err_set(e, why.code, "%s: %s", devices[i].name, why.msg);
	}
	return 0;
}

void devices_reset(struct pc *pc)
{
	for (unsigned i = 0; i < PC_DEV_COUNT; i++)
		if (pc->dev[i])
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
