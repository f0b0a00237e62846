/* The DSDT: what a kernel cannot find out by itself about this machine. */
#include "pc/dsdt.h"

#include "dev/acpipm.h"
#include "dev/hpet.h"
#include "dev/piix4.h"
#include "pc/aml.h"
#include "vmm/mem.h"

#define PCI_SLOTS	32
#define PCI_HOLE_END	0xfebfffffu

/* _PRT: slots rotate their pins over PIRQA..D. */
static void prt(struct aml *a, const char *name, bool apic)
{
	static const uint8_t irq[PCI_PINS] = PIIX4_PIRQ_IRQS;

	aml_name(a, name);
	aml_package(a, (PCI_SLOTS - 1) * PCI_PINS);
	for (unsigned slot = 1; slot < PCI_SLOTS; slot++) {
		for (unsigned pin = 0; pin < PCI_PINS; pin++) {
			unsigned pirq = pci_pirq(slot, pin + 1);

			aml_package(a, 4);
			aml_int(a, slot << 16 | 0xffff);
			aml_int(a, pin);
			aml_int(a, 0);
			aml_int(a, apic ? PIIX4_PIRQ_GSI + pirq : irq[pirq]);
			aml_close(a);
		}
	}
	aml_close(a);
}

static void isa_device(struct aml *a, const char *name, const char *hid,
		       uint16_t io, uint8_t io_len, uint8_t irq)
{
	aml_device(a, name);
	aml_hid(a, hid);
	aml_crs_open(a);
	if (io)
		aml_crs_io(a, io, io_len);
	aml_crs_irq(a, irq);
	aml_crs_close(a);
	aml_close(a);
}

static void ps2_keyboard(struct aml *a)
{
	aml_device(a, "PS2K");
	aml_hid(a, "PNP0303");
	aml_crs_open(a);
	aml_crs_io(a, 0x60, 1);
	aml_crs_io(a, 0x64, 1);
	aml_crs_irq(a, 1);
	aml_crs_close(a);
	aml_close(a);
}

static void com1(struct aml *a)
{
	aml_device(a, "COM1");
	aml_hid(a, "PNP0501");
	aml_name(a, "_UID");
	aml_int(a, 1);
	aml_crs_open(a);
	aml_crs_io(a, 0x3f8, 8);
	aml_crs_irq(a, 4);
	aml_crs_close(a);
	aml_close(a);
}

static void isa_bridge(struct aml *a)
{
	aml_device(a, "ISA_");
	aml_name(a, "_ADR");
	aml_int(a, PIIX4_SLOT << 16);
	com1(a);
	ps2_keyboard(a);
	isa_device(a, "PS2M", "PNP0F13", 0, 0, 12);
	isa_device(a, "RTC_", "PNP0B00", 0x70, 2, 8);
	aml_close(a);
}

static void pci_bridge(struct aml *a)
{
	aml_device(a, "PCI0");
	aml_hid(a, "PNP0A03");
	aml_name(a, "_UID");
	aml_int(a, 0);
	aml_name(a, "_BBN");
	aml_int(a, 0);
	aml_crs_open(a);
	aml_crs_bus(a, 0, 0xff);
	aml_crs_io(a, 0xcf8, 8);
	aml_crs_io_window(a, 0, 0xcf7);
	aml_crs_io_window(a, 0xd00, 0xffff);
	aml_crs_memory_window(a, 0xa0000, 0xbffff);
	aml_crs_memory_window(a, MEM_LOW_MAX, PCI_HOLE_END);
	aml_crs_close(a);
	prt(a, "PRTA", true);
	prt(a, "PRTP", false);
	aml_method(a, "_PRT", 0);
	aml_if(a);
	aml_ref(a, "PICF");
	aml_return(a);
	aml_ref(a, "PRTA");
	aml_close(a);
	aml_return(a);
	aml_ref(a, "PRTP");
	aml_close(a);
	isa_bridge(a);
	aml_close(a);
}

static void hpet(struct aml *a)
{
	aml_device(a, "HPET");
	aml_hid(a, "PNP0103");
	aml_crs_open(a);
	aml_crs_memory(a, HPET_BASE, 0x400);
	aml_crs_close(a);
	aml_close(a);
}

/* What is at fixed addresses and belongs to no other device. */
static void motherboard(struct aml *a, uint16_t pm_base)
{
	aml_device(a, "MBRD");
	aml_hid(a, "PNP0C02");
	aml_crs_open(a);
	aml_crs_io(a, pm_base, ACPIPM_LEN);
	aml_crs_io(a, 0x92, 1);
	aml_crs_close(a);
	aml_close(a);
}

bool dsdt_write(struct aml *a, uint16_t pm_base)
{
	/* _PIC (1): the kernel runs the IOAPIC. */
	aml_name(a, "PICF");
	aml_int(a, 0);
	aml_method(a, "_PIC", 1);
	aml_store_arg0(a, "PICF");
	aml_close(a);
	aml_name(a, "_S5_");
	aml_package(a, 4);
	aml_int(a, ACPIPM_SLP_S5);
	aml_int(a, ACPIPM_SLP_S5);
	aml_int(a, 0);
	aml_int(a, 0);
	aml_close(a);
	aml_scope(a, "\\_SB_");
	pci_bridge(a);
	hpet(a);
	motherboard(a, pm_base);
	aml_close(a);
	return aml_ok(a);
}
