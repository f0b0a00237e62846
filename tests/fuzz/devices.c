/*
 * The machine's chips under random accesses to their registers, in random order,
 * at random times: ports, device memory, APIC MSRs, interrupts acknowledged or
 * not, resets.  No engine runs.  Nothing may go wrong inside, and no access or
 * timer may take long, whatever the registers say.
 */
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"
#include "pc/machine.h"

enum { ACTIONS = 4096, ROM_LEN = 4096, SLOW_NS = 200 * 1000 * 1000 };

/* Where chips have registers; what a guest moves is found by chance. */
static const struct { uint16_t base, len; } ports[] = {
	{ 0x20, 2 }, { 0x40, 4 }, { 0x60, 5 }, { 0x70, 2 }, { 0x92, 1 }, { 0xa0, 2 },
	{ 0xb2, 2 }, { 0xf4, 1 }, { 0x3f8, 8 }, { 0x4d0, 2 }, { 0xcf8, 8 },
	{ 0x1000, 64 }, { 0x5658, 4 }, { 0x402, 1 }, { 0x510, 12 },
};
static const struct { uint32_t base, len; } pages[] = {
	{ 0xfec00000, 0x48 }, { 0xfed00000, 0x400 }, { 0xfee00000, 0x400 },
};

static uint64_t now = 1000 * NS_PER_SEC;

static uint64_t fuzz_now(void)
{
	return now;
}

/* Small, a bit, all of them, or anything. */
static uint64_t value(struct fuzz *f)
{
	switch (fuzz_below(f, 5)) {
	case 0: return fuzz_below(f, 16);
	case 1: return 1ull << fuzz_below(f, 64);
	case 2: return -(uint64_t)fuzz_below(f, 3);
	default: return fuzz_next(f);
	}
}

static void port_access(struct fuzz *f, struct vm *vm)
{
	unsigned i = fuzz_below(f, sizeof(ports) / sizeof(*ports));
	uint16_t port = (uint16_t)(ports[i].base + fuzz_below(f, ports[i].len));
	unsigned size = 1u << fuzz_below(f, 3);

	if (!fuzz_below(f, 16))
		port = (uint16_t)fuzz_next(f);
	if (!fuzz_below(f, 4)) {	/* a PCI function that is there */
		static const uint8_t devfn[] = { 0x00, 0x38, 0x3b };

		bus_pio_write(&vm->bus, 0xcf8, 0x80000000 | (uint32_t)devfn[fuzz_below(f, 3)] << 8 |
			      fuzz_below(f, 64) * 4, 4);
		port = (uint16_t)(0xcfc + fuzz_below(f, 4));
	}
	if (fuzz_below(f, 2))
		bus_pio_write(&vm->bus, port, value(f), size);
	else
		bus_pio_read(&vm->bus, port, size);
}

/* A transfer of fw_cfg, mostly one that makes sense. */
static void fwcfg_access(struct fuzz *f, struct vm *vm)
{
	uint64_t gpa = fuzz_below(f, 8) ? fuzz_below(f, 1 << 20) : value(f);
	uint32_t d[4] = { fuzz_below(f, 2) ? fuzz_below(f, 0x40) << 16 | fuzz_below(f, 32) :
			  (uint32_t)value(f), (uint32_t)value(f), 0, fuzz_below(f, 1 << 20) };

	for (unsigned i = 0; i < 4; i++)
		d[i] = __builtin_bswap32(d[i]);
	mem_write(vm->mem, gpa, d, sizeof(d));
	bus_pio_write(&vm->bus, 0x514, __builtin_bswap32((uint32_t)(gpa >> 32)), 4);
	bus_pio_write(&vm->bus, 0x518, __builtin_bswap32((uint32_t)gpa), 4);
}

static void memory_access(struct fuzz *f, struct vm *vm)
{
	unsigned i = fuzz_below(f, sizeof(pages) / sizeof(*pages));
	uint64_t gpa = pages[i].base + (fuzz_below(f, pages[i].len) & ~3u);
	unsigned size = 1u << fuzz_below(f, 4);

	if (!fuzz_below(f, 8))
		gpa = pages[i].base + fuzz_below(f, 0x1010);
	if (fuzz_below(f, 2))
		bus_mmio_write(&vm->bus, gpa, value(f), size);
	else
		bus_mmio_read(&vm->bus, gpa, size);
}

static void msr_access(struct fuzz *f, struct vcpu *v)
{
	uint32_t msr = fuzz_below(f, 4) ? 0x800 + fuzz_below(f, 0x40) :
		fuzz_below(f, 2) ? 0x1b : 0x6e0;
	bool ok = true;

	if (fuzz_below(f, 2))
		v->apic_wrmsr(v->lapic, msr, value(f), &ok);
	else
		v->apic_rdmsr(v->lapic, msr, &ok);
	if (!fuzz_below(f, 4))
		v->apic_set_tpr(v->lapic, (uint8_t)fuzz_below(f, 16));
	v->apic_tpr(v->lapic);
}

static void time_passes(struct fuzz *f, struct vm *vm)
{
	static const uint64_t most[] = { 1000, 1000000, NS_PER_SEC, 100 * NS_PER_SEC,
					 1000000 * NS_PER_SEC };
	unsigned i = fuzz_below(f, 64);

	now += fuzz_next(f) % most[i < 30 ? 0 : i < 50 ? 1 : i < 60 ? 2 : i < 63 ? 3 : 4];
	pthread_mutex_lock(&vm->lock);
	timerq_run(&vm->timers, now);
	pthread_mutex_unlock(&vm->lock);
}

static void interrupt(struct fuzz *f, struct vm *vm, struct vcpu *v)
{
	if (!v->intr_pending(v->intr_ptr))
		return;
	int vector = v->intr_ack(v->intr_ptr);

	fuzz_check(vector >= -1 && vector < 256, "vector %d", vector);
	if (fuzz_below(f, 2))
		bus_mmio_write(&vm->bus, 0xfee000b0, 0, 4);
	if (fuzz_below(f, 2))
		bus_pio_write(&vm->bus, fuzz_below(f, 2) ? 0x20 : 0xa0, 0x20, 1);
}

static void act(struct fuzz *f, struct pc *pc)
{
	struct vm *vm = pc_vm(pc);
	struct vcpu *v = vm->vcpu[0];
	struct err e = { 0 };

	switch (fuzz_below(f, 8)) {
	case 0: fwcfg_access(f, vm); break;
	case 1 ... 2: port_access(f, vm); break;
	case 3 ... 4: memory_access(f, vm); break;
	case 5: msr_access(f, v); break;
	case 6: time_passes(f, vm); break;
	default: interrupt(f, vm, v); break;
	}
	if (atomic_load(&vm->mem->moves))
		fuzz_check(!vm_layout(vm, NULL, &e), "%s", e.msg);
	if (atomic_load(&vm->want_reset) || !fuzz_below(f, 2048))
		fuzz_check(!pc_reset(pc, &e), "%s", e.msg);
	atomic_store(&vm->want_poweroff, false);
}

static void run_machine(struct fuzz *f, const char *rom)
{
	struct pc_config cfg = { .bios = rom, .memory = 1 << 20, .cpus = 1, .serial = "none",
				 .debug_exit = true, .accel = PC_ACCEL_INTERP };
	struct err e = { 0 };
	struct pc *pc = pc_new(&cfg, &e);

	now = 1000 * NS_PER_SEC;
	fuzz_check(pc, "%s", e.msg);
	pc_vm(pc)->now_ns = fuzz_now;
	fuzz_check(!pc_load(pc, &e), "%s", e.msg);
	fuzz_check(!pc_reset(pc, &e), "%s", e.msg);
	for (unsigned i = 0; i < ACTIONS; i++) {
		struct fuzz_watch w = fuzz_begin(f);

		act(f, pc);
		fuzz_end(&w, i, SLOW_NS);
	}
	pc_free(pc);
}

int main(int argc, char **argv)
{
	int fd = memfd_create("rom", MFD_CLOEXEC);
	char path[64];
	struct fuzz f;

	if (ftruncate(fd, ROM_LEN))
		return 1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fuzz_start(&f, argc, argv);
	do {
		f.runs++;
		run_machine(&f, path);
	} while (clock_ns() < f.end_ns);
	return fuzz_done(&f);
}
