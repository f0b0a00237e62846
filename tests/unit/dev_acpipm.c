/* ACPI PM ports: timer, events, power button, soft off; VMware's backdoor. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "check.h"
#include "dev/acpipm.h"
#include "dev/lapic.h"
#include "dev/vmbackdoor.h"
#include "vmm/vmware.h"

static struct vm vm;
static uint64_t now = 1000 * NS_PER_SEC;
static bool sci;

static uint64_t fake_now(void)
{
	return now;
}

static void set_line(void *ptr, unsigned gsi, bool level)
{
	if (gsi == ACPIPM_SCI)
		sci = level;
}

static uint32_t rd(unsigned reg, unsigned size)
{
	return (uint32_t)bus_pio_read(&vm.bus, (uint16_t)(ACPIPM_BASE + reg), size);
}

static void wr(unsigned reg, uint32_t val, unsigned size)
{
	bus_pio_write(&vm.bus, (uint16_t)(ACPIPM_BASE + reg), val, size);
}

static void test_timer(struct acpipm *a)
{
	uint32_t t;

	acpipm_reset(a);
	check(rd(ACPIPM_TMR, 4) == 0, "starts at 0");
	now += NS_PER_SEC;
	check(rd(ACPIPM_TMR, 4) == ACPIPM_TIMER_HZ, "a second: %u", rd(ACPIPM_TMR, 4));
	now += 10 * NS_PER_SEC;
	t = (uint32_t)(11ull * ACPIPM_TIMER_HZ) & 0xffffff;
	check(rd(ACPIPM_TMR, 4) == t, "24 bits");
	check(rd(ACPIPM_TMR + 1, 1) == (t >> 8 & 0xff), "by bytes");
	wr(ACPIPM_PM1_EN, 1, 2);
	check(vm.timers.next_ns > now && vm.timers.next_ns - now < 3 * NS_PER_SEC, "armed");
	now = vm.timers.next_ns;
	t = rd(ACPIPM_TMR, 4);
	check((t & 0x7fffff) < 8, "top bit has just changed: %x", t);
	timerq_run(&vm.timers, now);
	check(sci && (rd(ACPIPM_PM1_STS, 2) & 1), "carry");
	wr(ACPIPM_PM1_STS, 1, 2);
	check(!sci, "acknowledged");
	wr(ACPIPM_PM1_EN, 0, 2);
	check(vm.timers.next_ns == UINT64_MAX, "disarmed");
}

static void test_events(struct acpipm *a)
{
	acpipm_reset(a);
	check(rd(ACPIPM_PM1_CNT, 2) == 1, "ACPI mode");
	acpipm_power_button(a);
	check(!sci && rd(ACPIPM_PM1_STS, 2) == 0x100, "button, not enabled");
	wr(ACPIPM_PM1_EN + 1, 1, 1);
	check(sci && rd(ACPIPM_PM1_STS, 4) == 0x1000100, "enabled by a byte");
	wr(ACPIPM_PM1_STS, 0xff, 1);
	check(sci, "the other byte");
	wr(ACPIPM_PM1_STS + 1, 1, 1);
	check(!sci, "acknowledged");
	acpipm_rtc(a);
	check(!sci && rd(ACPIPM_PM1_STS, 2) == 0x400, "the clock, not enabled");
	wr(ACPIPM_PM1_EN, 0x400, 2);
	check(sci, "enabled");
	wr(ACPIPM_PM1_STS, 0x400, 2);
	check(!sci && !rd(ACPIPM_PM1_STS, 2), "acknowledged");
	wr(ACPIPM_PM1_CNT, 0x2000 | 5 << 10, 2);
	check(!atomic_load(&vm.want_poweroff), "no such sleep state");
	wr(ACPIPM_PM1_CNT, 0x2000 | ACPIPM_SLP_S5 << 10, 2);
	check(atomic_exchange(&vm.want_poweroff, false), "soft off");
	check(rd(ACPIPM_PM1_CNT, 2) == 1, "SLP_EN reads as 0");
}

static void test_fuzz(struct acpipm *a)
{
	for (unsigned i = 0; i < 200000; i++) {
		unsigned reg = (unsigned)rand() % ACPIPM_LEN, size = 1u << rand() % 3;

		now += (uint64_t)rand();
		if (vm.timers.next_ns <= now)
			timerq_run(&vm.timers, now);
		if (rand() & 1)
			wr(reg, (uint32_t)rand() << 1, size);
		else
			rd(reg, size);
	}
	atomic_store(&vm.want_poweroff, false);
	test_events(a);
}

static void test_backdoor(void)
{
	struct vmbackdoor *b = vmbackdoor_new(&vm, NULL);
	struct vcpu *v = aligned_alloc(64, (sizeof(*v) + 63) & ~(size_t)63);
	uint64_t *gpr = v->cpu.gpr;

	memset(v, 0, sizeof(*v));
	vm.vcpu[0] = v;
	vm.ncpus = 1;
	vm.model.tsc_hz = 0x123456789;
	gpr[X86_RAX] = VMWARE_MAGIC;
	gpr[X86_RBX] = 0xffffffff;
	gpr[X86_RCX] = VMBACKDOOR_GETVERSION;
	check(bus_pio_read(&vm.bus, VMWARE_PORT, 4) == 6 &&
	      gpr[X86_RBX] == VMWARE_MAGIC, "version");
	gpr[X86_RCX] = VMBACKDOOR_GETHZ;
	check(bus_pio_read(&vm.bus, VMWARE_PORT, 4) == 0x23456789 &&
	      gpr[X86_RBX] == 1 && gpr[X86_RCX] == LAPIC_TIMER_HZ, "frequencies");
	gpr[X86_RCX] = VMBACKDOOR_GETVCPU_INFO;
	check(!(bus_pio_read(&vm.bus, VMWARE_PORT, 4) >> 31), "reserved bit");
	gpr[X86_RBX] = 7;
	gpr[X86_RCX] = 0x7fff;
	check(bus_pio_read(&vm.bus, VMWARE_PORT, 4) == 0xffffffff &&
	      gpr[X86_RBX] == 7, "unknown command");
	gpr[X86_RCX] = VMBACKDOOR_GETVERSION;
	check(bus_pio_read(&vm.bus, VMWARE_PORT, 2) == 0xffff, "16 bits");
	gpr[X86_RAX]++;
	check(bus_pio_read(&vm.bus, VMWARE_PORT, 4) == 0xffffffff, "no magic");
	vmbackdoor_free(b);
	vm.ncpus = 0;
	free(v);
}

int main(void)
{
	struct acpipm *a;

	srand(4);
	bus_init(&vm.bus, NULL);
	timerq_init(&vm.timers);
	vm.now_ns = fake_now;
	irq_add_sink(&vm.irq, set_line, NULL);
	a = acpipm_new(&vm, ACPIPM_BASE, NULL);
	check(a, "made");
	test_timer(a);
	test_events(a);
	test_fuzz(a);
	test_backdoor();
	acpipm_free(a);
	return check_done();
}
