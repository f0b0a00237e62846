#ifndef ADAPTER_FUZZ_H
#define ADAPTER_FUZZ_H
/*
 * What fuzzers of the SCSI adapters share: random registers and random rings: lengths of
 * 0 and huge ones, lists that lead to themselves, addresses in their own registers, beyond
 * memory and in ROM.  Half of the time a driver is imitated that sets everything up
 * rightly and then errs; in half of the machines a second processor writes to the rings
 * while they are read.  Targets come and go; one passes its commands to a device that does
 * what it likes.  Nothing may go wrong inside, no action may take long, and whatever was
 * under way ends when the adapter is reset.
 */
#include "dev/sgio.h"
#include "device.h"

enum { ACTIONS = 2000 };
#define BAR(n)	(0xe0000000u + (unsigned)(n) * 0x100000u)
#define IO(n)	(0xc000u + (unsigned)(n) * 0x100u)

/* What a program says of its adapters, which are numbered from 0. */
struct adapter {
	unsigned count;
	bool ports;		/* BAR 0 are ports, BAR 1 is memory; else BAR 0 is memory */
	void (*create)(struct pci *pci, unsigned n, unsigned devfn);
	void (*destroy)(unsigned n);
	void (*reset)(unsigned n);
	struct scsi_bus *(*bus)(unsigned n);
	void (*changed)(unsigned n, unsigned id, bool there);
	void (*setup)(struct fuzz *f, unsigned n);
	void (*request)(struct fuzz *f, unsigned n);
	void (*command)(struct fuzz *f, unsigned n);	/* anything else that a driver asks for */
	const uint16_t *reg;	/* registers that mean something */
	unsigned regs;
};

static const struct adapter *adapter;
static const uint8_t slot[2] = { PCI_DEVFN(16, 0), PCI_DEVFN(17, 0) };

/* --- targets, which come and go --------------------------------------------------------- */

/* A disk of the host that takes commands, and does with them what it likes. */
static void d_command(void *p, struct sgio_cmd *c)
{
	uint32_t l = ++luck;

	c->end = l % 5 ? SGIO_DONE : (enum sgio_end)(l / 5 % 7);
	c->status = l % 3 ? SCSI_GOOD : SCSI_CHECK_CONDITION;
	c->sense_len = l % 3 ? 0 : l % (SGIO_SENSE_MAX + 1);
	c->moved = c->len ? l % (c->len + 1) : 0;
	if (c->dir == SGIO_IN)
		memset(c->data, (int)l, c->len);
}

static const struct blk_ops pass_ops = { .command = d_command };

static void attach(struct fuzz *f, unsigned n, unsigned id)
{
	struct blk_params pass = { .ops = &pass_ops, .size = DISK, .command_max = 64 << 10 };
	struct blk *b = id == 4 ? blk_new(&vm, &pass, NULL) : fuzz_blk(f, 4 * n + id, id == 2);
	struct scsi_dev *t = id == 3 ? scsi_cd_new(&vm, b, NULL, NULL) :
				       scsi_disk_new(&vm, b, NULL, NULL);

	fuzz_check(t && !scsi_bus_attach(adapter->bus(n), id, t, NULL), "attach");
}

static struct leaving {
	struct scsi_bus *bus;	/* NULL: not used */
	struct scsi_dev *t;
	bool gone;
} leaving[8];

static void is_gone(void *ptr)
{
	struct leaving *l = ptr;

	fuzz_check(!l->gone, "gone twice");
	l->gone = true;
}

static void forget(void)
{
	for (unsigned i = 0; i < sizeof(leaving) / sizeof(leaving[0]); i++) {
		if (!leaving[i].bus || !leaving[i].gone)
			continue;
		blk_close(scsi_bus_forget(leaving[i].bus, leaving[i].t), NULL);
		leaving[i] = (struct leaving){ 0 };
	}
}

static void come_or_go(struct fuzz *f)
{
	unsigned n = fuzz_below(f, adapter->count), id = fuzz_below(f, 5), i = 0;
	struct scsi_bus *bus = adapter->bus(n);
	bool there = bus->target[id];

	forget();
	while (i < sizeof(leaving) / sizeof(leaving[0]) && leaving[i].bus)
		i++;
	if (!there) {
		attach(f, n, id);
	} else if (i < sizeof(leaving) / sizeof(leaving[0])) {
		leaving[i].bus = bus;
		fuzz_check(!scsi_bus_detach(bus, id, is_gone, &leaving[i], &leaving[i].t, NULL),
			   "detach");
	} else {
		return;
	}
	adapter->changed(n, id, !there);
}

static void any_cdb(struct fuzz *f, uint8_t *cdb)
{
	static const uint8_t op[] = { 0x00, 0x03, 0x08, 0x0a, 0x12, 0x1a, 0x25, 0x28, 0x2a, 0x2f,
				      0x35, 0x41, 0x42, 0x43, 0x4a, 0x5e, 0x5f, 0x88, 0x89, 0x8a,
				      0x93, 0x9e, 0xa0, 0xa3, 0xbe };

	for (unsigned i = 0; i < 16; i++)
		cdb[i] = fuzz_below(f, 4) ? 0 : (uint8_t)fuzz_next(f);
	cdb[0] = fuzz_below(f, 20) ? op[fuzz_below(f, sizeof(op))] : (uint8_t)fuzz_next(f);
	if (tame || fuzz_below(f, 2)) {		/* one that is right */
		memset(cdb + 1, 0, 15);
		cdb[5] = (uint8_t)fuzz_next(f);
		cdb[8] = (uint8_t)fuzz_below(f, 64);
	}
}

/* --- actions ----------------------------------------------------------------------------------- */

static void any_register(struct fuzz *f, unsigned n)
{
	unsigned size = 1u << fuzz_below(f, 4);
	uint64_t val = fuzz_below(f, 2) ? fuzz_below(f, 256) : fuzz_next(f);
	uint64_t off = fuzz_below(f, 2) ? fuzz_below(f, 0x50) & ~3u : fuzz_below(f, 0x8000);

	if (fuzz_below(f, 2)) {
		off = adapter->reg[fuzz_below(f, adapter->regs)];
		size = adapter->ports && off < 4 && fuzz_below(f, 2) ? 1 : 4;
	}
	if (adapter->ports && fuzz_below(f, 2)) {
		uint16_t port = (uint16_t)(IO(n) + off % 0x60);

		if (fuzz_below(f, 2))
			bus_pio_write(&vm.bus, port, val, size > 4 ? 4 : size);
		else
			bus_pio_read(&vm.bus, port, size > 4 ? 4 : size);
	} else if (fuzz_below(f, 2)) {
		bus_mmio_write(&vm.bus, BAR(n) + off, val, size);
	} else {
		bus_mmio_read(&vm.bus, BAR(n) + off, size);
	}
}

static void place(unsigned n)
{
	config(slot[n], PCI_BAR0, adapter->ports ? IO(n) | 1 : BAR(n), 4);
	if (adapter->ports)
		config(slot[n], PCI_BAR0 + 4, BAR(n), 4);
	config(slot[n], PCI_COMMAND, 7, 4);
}

static void junk(struct fuzz *f)
{
	uint8_t b[64];

	for (unsigned i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)fuzz_next(f);
	put(0x100000 + fuzz_next(f) % 0x140000, b, fuzz_below(f, sizeof(b)));
}

static void act(struct fuzz *f)
{
	unsigned n = fuzz_below(f, adapter->count);

	tame = fuzz_below(f, 2);
	switch (fuzz_below(f, 20)) {
	case 0: adapter->setup(f, n); break;
	case 1 ... 10: adapter->request(f, n); break;
	case 11 ... 12: adapter->command(f, n); break;
	case 13: any_register(f, n); break;
	case 14: vm_run_work(&vm); break;
	case 15: junk(f); break;
	case 16: any_config(f, slot, adapter->count); break;
	case 17: come_or_go(f); break;
	case 18: timerq_run(&vm.timers, UINT64_MAX - 1); break;
	default: place(n);
	}
}

static void reset_all(void)
{
	for (unsigned n = 0; n < adapter->count; n++)
		adapter->reset(n);
}

static void run_machine(struct fuzz *f)
{
	struct pci *pci;

	machine_start();
	pci = pci_new(&vm, NULL);
	for (unsigned n = 0; n < adapter->count; n++) {
		adapter->create(pci, n, slot[n]);
		for (unsigned id = 0; id < 5; id++)
			attach(f, n, id);
		place(n);
	}
	if (fuzz_below(f, 2))
		other_start(f);
	for (unsigned i = 0; i < ACTIONS; i++) {
		struct fuzz_watch w = fuzz_begin(f);

		act(f);
		fuzz_end(&w, i, SLOW_NS);
		if (!fuzz_below(f, 500))
			reset_all();
	}
	other_stop();
	reset_all();
	for (unsigned i = 0; i < sizeof(leaving) / sizeof(leaving[0]); i++)
		while (leaving[i].bus && !leaving[i].gone)	/* the device has it still */
			vm_run_work(&vm);
	forget();
	for (unsigned n = 0; n < adapter->count; n++)
		adapter->destroy(n);
	pci_free(pci);
	mem_free(vm.mem);
}

static inline int adapter_main(int argc, char **argv, const struct adapter *a)
{
	adapter = a;
	return device_main(argc, argv, run_machine);
}
#endif
