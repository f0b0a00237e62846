/* PCI configuration, 440BX, PIIX4, its reset register, the debug-exit port. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "dev/acpipm.h"
#include "dev/debugexit.h"
#include "dev/i440bx.h"
#include "dev/piix4.h"

static struct vm vm;

static uint32_t address(unsigned bus, unsigned dev, unsigned fn, unsigned reg)
{
	return 1u << 31 | bus << 16 | dev << 11 | fn << 8 | (reg & 0xfc);
}

static uint32_t cfg_read(unsigned dev, unsigned fn, unsigned reg, unsigned size)
{
	bus_pio_write(&vm.bus, 0xcf8, address(0, dev, fn, reg), 4);
	return (uint32_t)bus_pio_read(&vm.bus, (uint16_t)(0xcfc + (reg & 3)), size);
}

static void cfg_write(unsigned dev, unsigned fn, unsigned reg, uint32_t val, unsigned size)
{
	bus_pio_write(&vm.bus, 0xcf8, address(0, dev, fn, reg), 4);
	bus_pio_write(&vm.bus, (uint16_t)(0xcfc + (reg & 3)), val, size);
}

static void test_scan(void)
{
	unsigned found = 0;

	for (unsigned dev = 0; dev < 32; dev++)
		for (unsigned fn = 0; fn < 8; fn++)
			found += (cfg_read(dev, fn, 0, 4) & 0xffff) != 0xffff;
	check(found == 3, "%u functions", found);
	check(cfg_read(0, 0, 0, 4) == 0x71908086, "host bridge");
	check(cfg_read(0, 0, 0xa, 2) == 0x0600, "class");
	check(!(cfg_read(0, 0, 0xe, 1) & 0x80), "one function");
	check(cfg_read(7, 0, 0, 4) == 0x71108086, "ISA bridge");
	check(cfg_read(7, 0, 0xe, 1) & 0x80, "several functions");
	check(cfg_read(7, 3, 0, 4) == 0x71138086, "ACPI");
	check(cfg_read(7, 3, 0x40, 4) == (ACPIPM_BASE | 1), "PM base");
	bus_pio_write(&vm.bus, 0xcf8, address(1, 0, 0, 0), 4);
	check(bus_pio_read(&vm.bus, 0xcfc, 4) == 0xffffffff, "no bus 1");
	bus_pio_write(&vm.bus, 0xcf8, address(0, 0, 0, 0) & ~(1u << 31), 4);
	check(bus_pio_read(&vm.bus, 0xcfc, 4) == 0xffffffff, "not enabled");
}

static void test_write(void)
{
	cfg_write(7, 0, 0, 0x12345678, 4);
	check(cfg_read(7, 0, 0, 4) == 0x71108086, "identification stays");
	check(cfg_read(7, 0, 0x60, 4) == 0x0b0b0a0a, "router %08x", cfg_read(7, 0, 0x60, 4));
	cfg_write(7, 0, 0x61, 0xff, 1);
	check(cfg_read(7, 0, 0x60, 4) == 0x0b0b8f0a, "a byte, masked");
	cfg_write(7, 0, 0x3c, 5, 1);
	check(cfg_read(7, 0, 0x3c, 1) == 5, "interrupt line");
	bus_pio_write(&vm.bus, 0xcf8, 0, 1);
	bus_pio_write(&vm.bus, 0xcfa, 0, 2);
	check(bus_pio_read(&vm.bus, 0xcf8, 4) == address(0, 7, 0, 0x3c), "dwords only");
}

/* Firmware sees the bridge of QEMU's machine until it locks the BIOS segment. */
static void test_pam(struct pci *pci)
{
	struct err e = { 0 };
	struct i440bx *b;

	vm.mem = mem_new(2 << 20, 0, &e);
	b = i440bx_new(&vm, pci, true, &e);
	check(vm.mem && b, "%s", e.msg);
	pci_reset(pci);
	i440bx_reset(b);
	check(vm.mem->moves && vm.mem->shadow_next[15] == 0, "all to ROM");
	check(cfg_read(0, 0, 0, 4) == 0x12378086 && cfg_read(0, 0, 0x2c, 4) == 0x11001af4,
	      "as firmware looks for it");
	cfg_write(0, 0, 0x59, 0x10, 1);
	cfg_write(0, 0, 0x58, 0xffffffff, 4);
	cfg_write(0, 0, 0x5c, 0x21, 4);
	check(cfg_read(0, 0, 0x58, 4) == 0x33333000 && cfg_read(0, 0, 0x5c, 4) == 0x21,
	      "writable bits %08x %08x", cfg_read(0, 0, 0x58, 4), cfg_read(0, 0, 0x5c, 4));
	check(vm.mem->shadow_next[0] == 3 && vm.mem->shadow_next[4] == 1 &&
	      vm.mem->shadow_next[5] == 2 && vm.mem->shadow_next[6] == 0 &&
	      vm.mem->shadow_next[12] == 3 && vm.mem->shadow_next[15] == 3, "segments");
	check(cfg_read(0, 0, 0, 4) == 0x12378086, "still");
	cfg_write(0, 0, 0x59, 0x10, 1);
	check(cfg_read(0, 0, 0, 4) == 0x71908086 && cfg_read(0, 0, 0x2c, 4) == 0x197615ad,
	      "itself");
	check(vm.mem->shadow_next[13] == 1, "read-only");
	cfg_write(0, 0, 0x59, 0x30, 1);
	check(cfg_read(0, 0, 0, 4) == 0x71908086, "for good");
	pci_reset(pci);
	i440bx_reset(b);
	check(cfg_read(0, 0, 0, 4) == 0x12378086, "until a reset");
	i440bx_free(b);
	mem_free(vm.mem);
	vm.mem = NULL;
}

static void test_reset_register(void)
{
	bus_pio_write(&vm.bus, 0xcf9, 2, 1);
	check(!atomic_load(&vm.want_reset) && bus_pio_read(&vm.bus, 0xcf9, 1) == 2, "armed");
	bus_pio_write(&vm.bus, 0xcf9, 6, 1);
	check(atomic_exchange(&vm.want_reset, false), "reset");
	bus_pio_write(&vm.bus, 0xcf9, 6, 1);
	check(!atomic_load(&vm.want_reset), "only a rising bit");
}

static void test_debugexit(void)
{
	struct debugexit *d = debugexit_new(&vm, NULL);

	debugexit_reset(d);
	check(atomic_load(&vm.debug_exit) == -1, "none yet");
	bus_pio_write(&vm.bus, 0xf4, 0x40, 1);
	check(atomic_load(&vm.debug_exit) == 0x81, "byte");
	bus_pio_write(&vm.bus, 0xf4, 0xffffffff, 4);
	check(atomic_load(&vm.debug_exit) == 0xff, "dword: an exit code all the same");
	debugexit_free(d);
}

static void test_fuzz(struct pci *pci)
{
	for (unsigned i = 0; i < 300000; i++) {
		uint16_t port = (uint16_t)(0xcf8 + rand() % 8);
		unsigned size = 1u << rand() % 3;

		if (rand() % 4 == 0)
			bus_pio_write(&vm.bus, 0xcf8, address(0, rand() & 1 ? 7 : 0,
				      (unsigned)rand() & 3, (unsigned)rand() & 0xff), 4);
		if (rand() & 1)
			bus_pio_write(&vm.bus, port, (uint64_t)rand() << 8, size);
		else
			bus_pio_read(&vm.bus, port, size);
	}
	atomic_store(&vm.want_reset, false);
	pci_reset(pci);
}

int main(void)
{
	struct pci *pci;
	struct i440bx *bx;
	struct piix4 *px;

	srand(3);
	bus_init(&vm.bus, NULL);
	pci = pci_new(&vm, NULL);
	bx = i440bx_new(&vm, pci, false, NULL);
	px = piix4_new(&vm, pci, ACPIPM_BASE, NULL);
	check(pci && bx && px, "made");
	check(!i440bx_new(&vm, pci, false, NULL), "slot taken");
	pci_reset(pci);
	i440bx_reset(bx);
	piix4_reset(px);
	test_scan();
	test_write();
	test_reset_register();
	test_debugexit();
	test_fuzz(pci);
	test_scan();
	piix4_free(px);
	i440bx_free(bx);
	test_pam(pci);
	pci_free(pci);
	return check_done();
}
