/* PCI functions: base addresses that move, capabilities, interrupts. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "base/le.h"
#include "dev/acpipm.h"
#include "dev/piix4.h"
#include "dev_vm.h"

#define SLOT_A	16u
#define SLOT_B	17u
#define MEM_AT	0xe0000000u
#define VECTORS	70u
enum { TABLE = 0x1000, PBA = 0x2000 };

static uint64_t last_off, last_val;
static unsigned last_size, last_who, messages, routed;
static uint64_t msg_addr;
static uint32_t msg_data;
static bool line[IRQ_LINES];

static uint64_t reg_read(void *ptr, uint64_t off, unsigned size)
{
	last_who = (unsigned)(uintptr_t)ptr;
	last_off = off;
	last_size = size;
	return 0x1122334455667700 + off;
}

static void reg_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	last_who = (unsigned)(uintptr_t)ptr;
	last_off = off;
	last_size = size;
	last_val = val;
}

static void take_message(void *ptr, uint64_t addr, uint32_t data)
{
	messages++;
	msg_addr = addr;
	msg_data = data;
}

static void take_line(void *ptr, unsigned gsi, bool level)
{
	line[gsi] = level;
	routed++;
}

static uint32_t cfg_read(unsigned dev, unsigned reg, unsigned size)
{
	bus_pio_write(&test_vm.bus, 0xcf8, 1u << 31 | dev << 11 | (reg & 0xfc), 4);
	return (uint32_t)bus_pio_read(&test_vm.bus, (uint16_t)(0xcfc + (reg & 3)), size);
}

static void cfg_write(unsigned dev, unsigned reg, uint32_t val, unsigned size)
{
	bus_pio_write(&test_vm.bus, 0xcf8, 1u << 31 | dev << 11 | (reg & 0xfc), 4);
	bus_pio_write(&test_vm.bus, (uint16_t)(0xcfc + (reg & 3)), val, size);
}

/* I/O, memory with MSI-X, 64-bit memory. */
static void make(struct pci *pci, struct pci_fn *f, unsigned slot)
{
	void *who = (void *)(uintptr_t)slot;
	struct err e = { 0 };

	memset(f, 0, sizeof(*f));
	pci_fn_ident(f, PCI_VENDOR_VMWARE, 0x07c0, 0x010700, 2);
	pci_fn_bar(f, 0, &(struct pci_bar){ .kind = PCI_BAR_IO, .len = 32, .read = reg_read,
		   .write = reg_write, .ptr = who, .name = "io" });
	pci_fn_bar(f, 1, &(struct pci_bar){ .kind = PCI_BAR_MEM, .len = 0x4000,
		   .read = reg_read, .write = reg_write, .ptr = who, .name = "mem" });
	pci_fn_bar(f, 2, &(struct pci_bar){ .kind = PCI_BAR_MEM64, .len = 1 << 20,
		   .read = reg_read, .ptr = who, .name = "mem64" });
	pci_fn_pin(f, 1);
	pci_fn_msi(f);
	check(!pci_fn_msix(f, VECTORS, 1, TABLE, PBA, &e), "%s", e.msg);
	check(!pci_add(pci, PCI_DEVFN(slot, 0), f, &e), "%s", e.msg);
}

static void test_sizes(void)
{
	static const struct { unsigned reg; uint32_t sized; } bar[] = {
		{ 0x10, 0xffffffe1 }, { 0x14, 0xffffc000 }, { 0x18, 0xfff00004 },
		{ 0x1c, 0xffffffff }, { 0x20, 0 }, { 0x24, 0 }, { 0x30, 0 },
	};

	cfg_write(SLOT_A, PCI_COMMAND, 7, 2);	/* sizing with decoding on does no harm */
	for (unsigned i = 0; i < sizeof(bar) / sizeof(bar[0]); i++) {
		uint32_t was = cfg_read(SLOT_A, bar[i].reg, 4);

		cfg_write(SLOT_A, bar[i].reg, 0xffffffff, 4);
		check(cfg_read(SLOT_A, bar[i].reg, 4) == bar[i].sized, "%02x: %08x", bar[i].reg,
		      cfg_read(SLOT_A, bar[i].reg, 4));
		cfg_write(SLOT_A, bar[i].reg, was, 4);
	}
	cfg_write(SLOT_A, PCI_COMMAND, 0xffff, 2);
	check(cfg_read(SLOT_A, PCI_COMMAND, 2) == 0x407, "command %04x",
	      cfg_read(SLOT_A, PCI_COMMAND, 2));
	cfg_write(SLOT_A, PCI_COMMAND, 0, 2);
}

static bool io_decoded(uint16_t port, unsigned who)
{
	last_who = 0;
	bus_pio_read(&test_vm.bus, port, 1);
	return last_who == who;
}

static bool mem_decoded(uint64_t gpa, unsigned who)
{
	last_who = 0;
	bus_mmio_read(&test_vm.bus, gpa, 4);
	return last_who == who;
}

static void test_io(void)
{
	cfg_write(SLOT_A, 0x10, 0xc040, 4);
	check(cfg_read(SLOT_A, 0x10, 4) == 0xc041, "an I/O address");
	check(io_decoded(0xc040, 0), "not before it is enabled");
	cfg_write(SLOT_A, PCI_COMMAND, PCI_CMD_IO, 2);
	check(io_decoded(0xc040, SLOT_A) && io_decoded(0xc05f, SLOT_A) && last_off == 31,
	      "enabled");
	check(io_decoded(0xc03f, 0) && io_decoded(0xc060, 0), "its neighbours");
	bus_pio_write(&test_vm.bus, 0xc044, 0x12345678, 4);
	check(last_val == 0x12345678 && last_off == 4 && last_size == 4, "a write");
	cfg_write(SLOT_A, 0x11, 0xd0, 1);	/* a byte of it */
	check(io_decoded(0xc040, 0) && io_decoded(0xd040, SLOT_A), "moved");
	cfg_write(SLOT_A, 0x10, 0xffe0, 4);
	check(io_decoded(0xffff, SLOT_A), "the last port");
	cfg_write(SLOT_A, 0x10, 0x1ffe0, 4);
	check(io_decoded(0xffff, 0), "above all ports");
	cfg_write(SLOT_A, 0x10, 0, 4);
	check(io_decoded(0, 0), "0 is nowhere");
	cfg_write(SLOT_A, 0x10, 0xcf0, 4);
	check(cfg_read(SLOT_A, 0, 4) == 0x07c015ad, "the configuration ports stay");
	cfg_write(SLOT_A, 0x10, 0xc040, 4);
	cfg_write(SLOT_A, PCI_COMMAND, 0, 2);
	check(io_decoded(0xc040, 0), "disabled");
}

static void test_mem(void)
{
	cfg_write(SLOT_A, 0x14, MEM_AT, 4);
	check(mem_decoded(MEM_AT, 0), "not enabled");
	cfg_write(SLOT_A, PCI_COMMAND, PCI_CMD_MEMORY, 2);
	check(mem_decoded(MEM_AT, SLOT_A) && mem_decoded(MEM_AT + 0x3ffc, SLOT_A) &&
	      last_off == 0x3ffc, "enabled");
	check(bus_mmio_read(&test_vm.bus, MEM_AT + 8, 8) == 0x1122334455667708 && last_size == 8,
	      "a quadword");
	check(io_decoded(0xc040, 0), "I/O is not");
	cfg_write(SLOT_A, 0x18, 0x80000000, 4);
	cfg_write(SLOT_A, 0x1c, 0x12, 4);
	check(mem_decoded(0x1280000000ull, SLOT_A) && mem_decoded(0x12800ffffcull, SLOT_A),
	      "above 4 GiB");
	cfg_write(SLOT_A, 0x1c, 0xffffffff, 4);
	cfg_write(SLOT_A, 0x18, 0xfff00000, 4);
	check(mem_decoded(0xfffffffffff00000ull, 0), "what ends the address space is not");
	cfg_write(SLOT_A, 0x1c, 0, 4);
	cfg_write(SLOT_A, 0x18, 0, 4);
}

/* Two functions at one place: the first keeps it until it goes. */
static void test_overlap(void)
{
	cfg_write(SLOT_B, 0x14, MEM_AT, 4);
	cfg_write(SLOT_B, PCI_COMMAND, PCI_CMD_MEMORY, 2);
	check(mem_decoded(MEM_AT, SLOT_A), "who was first");
	cfg_write(SLOT_A, 0x14, MEM_AT + 0x10000, 4);
	check(mem_decoded(MEM_AT, SLOT_B) && mem_decoded(MEM_AT + 0x10000, SLOT_A), "both");
	/* Changing places, one after the other. */
	cfg_write(SLOT_A, 0x14, MEM_AT, 4);
	cfg_write(SLOT_B, 0x14, MEM_AT + 0x10000, 4);
	check(mem_decoded(MEM_AT, SLOT_A) && mem_decoded(MEM_AT + 0x10000, SLOT_B), "swapped");
	cfg_write(SLOT_B, PCI_COMMAND, 0, 2);
}

static void test_caps(void)
{
	unsigned at = cfg_read(SLOT_A, PCI_CAPABILITIES, 1), n = 0;
	bool msi = false, msix = false;

	check(cfg_read(SLOT_A, PCI_STATUS, 2) & 0x10, "there is a list");
	for (; at && n < 48; n++, at = cfg_read(SLOT_A, at + 1, 1)) {
		msi |= cfg_read(SLOT_A, at, 1) == PCI_CAP_MSI;
		msix |= cfg_read(SLOT_A, at, 1) == PCI_CAP_MSIX;
	}
	check(n == 2 && msi && msix, "%u capabilities", n);
}

static void test_pin(struct pci_fn *a, struct pci_fn *b)
{
	unsigned pirq = pci_pirq(SLOT_A, 1), irq = pirq < 2 ? 10 : 11;

	check(pirq == (SLOT_A - 1) % 4, "slots rotate");
	pci_irq(a, 0, true);
	check(line[PIIX4_PIRQ_GSI + pirq] && line[irq], "both lines");
	check(cfg_read(SLOT_A, PCI_STATUS, 2) & 8, "status");
	cfg_write(SLOT_A, PCI_COMMAND, PCI_CMD_NO_INTX, 2);
	check(!line[PIIX4_PIRQ_GSI + pirq] && !line[irq], "disabled");
	cfg_write(SLOT_A, PCI_COMMAND, PCI_CMD_MEMORY, 2);
	check(line[PIIX4_PIRQ_GSI + pirq], "enabled again");
	cfg_write(PIIX4_SLOT, 0x60 + pirq, 5, 1);
	check(!line[irq] && line[5] && line[PIIX4_PIRQ_GSI + pirq], "routed elsewhere");
	cfg_write(PIIX4_SLOT, 0x60 + pirq, 0, 1);
	check(!line[5] && !line[0], "not to the timer");
	cfg_write(PIIX4_SLOT, 0x60 + pirq, irq, 1);
	pci_irq(b, 0, true);
	pci_irq(a, 0, false);
	check(!line[PIIX4_PIRQ_GSI + pirq], "another's is another line");
	pci_irq(b, 0, false);
	check(!line[10] && !line[11], "all quiet");
}

static void test_msi(struct pci_fn *a)
{
	unsigned c = a->msi;

	messages = 0;
	cfg_write(SLOT_A, PCI_COMMAND, PCI_CMD_MEMORY | PCI_CMD_MASTER, 2);
	cfg_write(SLOT_A, c + 4, 0xfee01003, 4);
	cfg_write(SLOT_A, c + 12, 0x4041, 2);
	pci_irq(a, 0, true);
	check(!messages && line[PIIX4_PIRQ_GSI + pci_pirq(SLOT_A, 1)], "off");
	cfg_write(SLOT_A, c + 2, 1, 2);
	check(pci_has_messages(a) && !line[PIIX4_PIRQ_GSI + pci_pirq(SLOT_A, 1)],
	      "the pin falls");
	pci_irq(a, 3, true);
	check(messages == 1 && msg_addr == 0xfee01000 && msg_data == 0x4041, "sent");
	cfg_write(SLOT_A, PCI_COMMAND, PCI_CMD_MEMORY, 2);
	pci_irq(a, 0, true);
	check(messages == 1, "not a master");
	cfg_write(SLOT_A, c + 2, 0, 2);
	pci_irq(a, 0, false);
}

static void put_vector(unsigned n, uint64_t addr, uint32_t data, uint32_t ctrl)
{
	uint64_t at = MEM_AT + TABLE + 16 * n;

	bus_mmio_write(&test_vm.bus, at, addr, 8);
	bus_mmio_write(&test_vm.bus, at + 8, data, 4);
	bus_mmio_write(&test_vm.bus, at + 12, ctrl, 4);
}

static void test_msix(struct pci_fn *a)
{
	unsigned c = a->msix;

	messages = 0;
	cfg_write(SLOT_A, PCI_COMMAND, PCI_CMD_MEMORY | PCI_CMD_MASTER, 2);
	check(cfg_read(SLOT_A, c + 2, 2) == VECTORS - 1, "how many");
	check(bus_mmio_read(&test_vm.bus, MEM_AT + TABLE + 12, 4) == 1, "masked at first");
	put_vector(0, 0xfee00000, 0x30, 0);
	put_vector(69, 0x1fee02000, 0x31, 1);
	check(bus_mmio_read(&test_vm.bus, MEM_AT + TABLE + 69 * 16, 8) == 0x1fee02000, "kept");
	cfg_write(SLOT_A, c + 2, 0x8000, 2);
	pci_irq(a, 0, true);
	check(messages == 1 && msg_data == 0x30, "sent");
	pci_irq(a, 69, true);
	pci_irq(a, VECTORS, true);
	check(messages == 1, "masked, and none");
	check(bus_mmio_read(&test_vm.bus, MEM_AT + PBA + 8, 8) == 1 << 5, "pending");
	put_vector(69, 0x1fee02000, 0x32, 0);
	check(messages == 2 && msg_data == 0x32 && msg_addr == 0x1fee02000, "unmasked");
	check(!bus_mmio_read(&test_vm.bus, MEM_AT + PBA + 8, 4), "no longer pending");
	cfg_write(SLOT_A, c + 2, 0xc000, 2);
	pci_irq(a, 0, true);
	check(messages == 2 && bus_mmio_read(&test_vm.bus, MEM_AT + PBA, 8) == 1, "all masked");
	cfg_write(SLOT_A, c + 2, 0x8000, 2);
	check(messages == 3, "and not");
	last_who = 0;
	bus_mmio_write(&test_vm.bus, MEM_AT + TABLE + 3, 0xff, 1);
	check(!last_who, "the device sees nothing of that");
	check(mem_decoded(MEM_AT + TABLE - 4, SLOT_A) &&
	      mem_decoded(MEM_AT + TABLE + VECTORS * 16, SLOT_A), "only of the rest");
}

static void test_reset(struct pci *pci, struct pci_fn *a, struct piix4 *px)
{
	cfg_write(SLOT_A, a->msix + 2, 0, 2);
	pci_irq(a, 0, true);
	pci_reset(pci);
	piix4_reset(px);
	check(mem_decoded(MEM_AT, 0) && io_decoded(0xc040, 0), "nothing is decoded");
	check(cfg_read(SLOT_A, 0x14, 4) == 0 && cfg_read(SLOT_A, 0x10, 4) == 1, "cleared");
	for (unsigned i = 0; i < IRQ_LINES; i++)
		check(!line[i], "line %u", i);
	check(a->vector[0].ctrl == 1 && !a->pending[0], "MSI-X");
}

/* Whatever is written: ranges stay apart from each other, and nothing breaks. */
static void test_fuzz(struct pci_fn *a, struct pci_fn *b)
{
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t r = test_random();
		struct pci_fn *f = r & 1 ? a : b;
		unsigned size = 1u << (r >> 1 & 3) % 3, reg = (unsigned)(r >> 8) & 0xff & -size;

		if (r >> 3 & 1)
			reg &= 0x1f;
		if (r >> 4 & 3)
			cfg_write(r >> 6 & 1 ? SLOT_A : SLOT_B, reg, (uint32_t)(r >> 32) &
				  (r >> 7 & 1 ? 0xffff : ~0u), size);
		else if (f->bar[1].mapped)
			bus_mmio_write(&test_vm.bus, f->bar[1].base + (r >> 20 & 0x3fff), r, size);
		if ((r >> 16 & 7) == 0)
			pci_irq(f, (unsigned)(r >> 40) % 80, r >> 48 & 1);
	}
}

int main(void)
{
	struct pci_fn a, b;
	struct pci *pci;
	struct piix4 *px;

	test_vm_init(1);
	test_vm.irq.msi = take_message;
	irq_add_sink(&test_vm.irq, take_line, NULL);
	pci = pci_new(&test_vm, NULL);
	px = piix4_new(&test_vm, pci, ACPIPM_BASE, NULL);
	make(pci, &a, SLOT_A);
	make(pci, &b, SLOT_B);
	pci_reset(pci);
	piix4_reset(px);
	test_sizes();
	test_io();
	test_mem();
	test_overlap();
	test_caps();
	test_pin(&a, &b);
	test_msi(&a);
	test_msix(&a);
	test_reset(pci, &a, px);
	test_fuzz(&a, &b);
	pci_fn_done(&a);
	check(cfg_read(SLOT_A, 0, 4) == 0xffffffff, "gone");
	pci_fn_done(&b);
	piix4_free(px);
	pci_free(pci);
	test_vm_done();
	return check_done();
}
