#ifndef DEV_VM_H
#define DEV_VM_H
/* A machine without engine and memory, on a clock that the test moves. */
#include <stdlib.h>
#include <string.h>

#include "vmm/vm.h"

static uint64_t test_ns = 1000000000;
static struct vm test_vm;

static inline uint64_t test_clock(void)
{
	return test_ns;
}

static inline void test_vm_init(unsigned ncpus)
{
	struct vm *vm = &test_vm;

	memset(vm, 0, sizeof(*vm));
	pthread_mutex_init(&vm->lock, NULL);
	bus_init(&vm->bus, NULL);
	timerq_init(&vm->timers);
	vm->now_ns = test_clock;
	vm->ncpus = ncpus;
	for (unsigned i = 0; i < ncpus; i++) {
		vm->vcpu[i] = calloc(1, sizeof(*vm->vcpu[i]));
		vm->vcpu[i]->id = i;
		vm->vcpu[i]->vm = vm;
		timerq_init(&vm->vcpu[i]->timers);
	}
}

static inline void test_vm_done(void)
{
	for (unsigned i = 0; i < test_vm.ncpus; i++)
		free(test_vm.vcpu[i]);
}

/* Let time pass, firing timers when they are due. */
static inline void test_pass(uint64_t ns)
{
	uint64_t end = test_ns + ns;

	for (;;) {
		struct timerq *first = &test_vm.timers;

		for (unsigned i = 1; i < test_vm.ncpus; i++)
			if (test_vm.vcpu[i]->timers.next_ns < first->next_ns)
				first = &test_vm.vcpu[i]->timers;
		if (first->next_ns > end)
			break;
		if (first->next_ns > test_ns)
			test_ns = first->next_ns;
		timerq_run(first, test_ns);
	}
	test_ns = end;
}

static inline uint8_t inb(uint16_t port)
{
	return bus_pio_read(&test_vm.bus, port, 1);
}

static inline void outb(uint16_t port, uint8_t val)
{
	bus_pio_write(&test_vm.bus, port, val, 1);
}

static inline uint32_t readl(uint64_t gpa)
{
	return bus_mmio_read(&test_vm.bus, gpa, 4);
}

static inline void writel(uint64_t gpa, uint32_t val)
{
	bus_mmio_write(&test_vm.bus, gpa, val, 4);
}

/* xorshift64*, seeded, so that failures can be repeated. */
static uint64_t test_seed = 0x9e3779b97f4a7c15;

static inline uint64_t test_random(void)
{
	test_seed ^= test_seed >> 12;
	test_seed ^= test_seed << 25;
	test_seed ^= test_seed >> 27;
	return test_seed * 0x2545f4914f6cdd1d;
}

/* Accesses of all sizes at random, and time passing: nothing may break. */
static inline void test_fuzz_pio(uint16_t base, unsigned len, unsigned rounds)
{
	while (rounds--) {
		uint64_t r = test_random();
		uint16_t port = base + r % len;
		unsigned size = 1u << (r >> 16 & 7) % 3;

		if (r >> 24 & 1)
			bus_pio_write(&test_vm.bus, port, test_random(), size);
		else
			bus_pio_read(&test_vm.bus, port, size);
		if ((r >> 32 & 15) == 0)
			test_pass(r >> 40 & 0xffff);
	}
}

static inline void test_fuzz_mmio(uint64_t base, unsigned len, unsigned rounds)
{
	while (rounds--) {
		uint64_t r = test_random();
		uint64_t gpa = base + r % len;
		unsigned size = 1u << (r >> 16 & 3);

		if (r >> 24 & 1)
			gpa &= ~(uint64_t)(size - 1);
		if (r >> 25 & 1)
			bus_mmio_write(&test_vm.bus, gpa, test_random(), size);
		else
			bus_mmio_read(&test_vm.bus, gpa, size);
		if ((r >> 32 & 15) == 0)
			test_pass(r >> 40 & 0xffff);
	}
}
#endif
