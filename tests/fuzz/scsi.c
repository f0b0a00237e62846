/*
 * The SCSI adapters under random registers and random rings: lengths of 0 and huge ones,
 * lists that lead to themselves, addresses in their own registers, beyond memory and in
 * ROM.  Half of the time a driver is imitated that sets everything up rightly and then
 * errs.  Targets come and go; one passes its commands to a device that does what it likes.
 * Nothing may go wrong inside, no action may take long, and whatever was under way ends
 * when the adapter is reset.
 */
#include "dev/buslogic.h"
#include "dev/lsilogic.h"
#include "dev/pvscsi.h"
#include "dev/sgio.h"
#include "device.h"

enum { ACTIONS = 2000, ADAPTERS = 4 };
enum { PVSCSI, LSILOGIC, LSISAS, BUSLOGIC };
#define BAR(n)	(0xe0000000u + (unsigned)(n) * 0x100000u)
#define IO(n)	(0xc000u + (unsigned)(n) * 0x100u)

static const uint8_t slot[ADAPTERS] = { PCI_DEVFN(16, 0), PCI_DEVFN(17, 0), PCI_DEVFN(18, 0),
					PCI_DEVFN(19, 0) };
static void *host[ADAPTERS];

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

static struct scsi_bus *bus_of(unsigned n)
{
	return n == PVSCSI ? pvscsi_bus(host[n]) : n == BUSLOGIC ? buslogic_bus(host[n]) :
	       mpt_bus(host[n]);
}

static void attach(struct fuzz *f, unsigned n, unsigned id)
{
	struct blk_params pass = { .ops = &pass_ops, .size = DISK, .command_max = 64 << 10 };
	struct blk *b = id == 4 ? blk_new(&vm, &pass, NULL) : fuzz_blk(f, 4 * n + id, id == 2);
	struct scsi_dev *t = id == 3 ? scsi_cd_new(&vm, b, NULL, NULL) :
				       scsi_disk_new(&vm, b, NULL, NULL);

	fuzz_check(t && !scsi_bus_attach(bus_of(n), id, t, NULL), "attach");
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
	unsigned n = fuzz_below(f, ADAPTERS), id = fuzz_below(f, 5), i = 0;
	bool there = bus_of(n)->target[id];

	forget();
	while (i < sizeof(leaving) / sizeof(leaving[0]) && leaving[i].bus)
		i++;
	if (!there) {
		attach(f, n, id);
	} else if (i < sizeof(leaving) / sizeof(leaving[0])) {
		leaving[i].bus = bus_of(n);
		fuzz_check(!scsi_bus_detach(bus_of(n), id, is_gone, &leaving[i], &leaving[i].t, NULL),
			   "detach");
	} else {
		return;
	}
	if (n == PVSCSI)
		pvscsi_changed(host[n], id, !there);
	else if (n != BUSLOGIC)
		mpt_changed(host[n], id, !there);
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

/* --- pvscsi -------------------------------------------------------------------------------- */

static uint32_t pv_prod;

static void pv_write(uint32_t reg, uint32_t val)
{
	bus_mmio_write(&vm.bus, BAR(PVSCSI) + reg, val, 4);
}

/* State at 1 MiB, 2 pages of requests and of completions behind it; or anything. */
static void pv_setup(struct fuzz *f)
{
	uint32_t d[132] = { 2, 2, 256, 0 };

	for (unsigned i = 0; i < 64; i++)
		d[4 + 2 * i] = 257 + i;
	if (!fuzz_below(f, 4))
		d[fuzz_below(f, 132)] = (uint32_t)fuzz_next(f);
	pv_write(0, 3);
	for (unsigned i = 0; i < 132; i++)
		pv_write(4, d[i]);
	pv_write(0x2010, 15);
	pv_prod = 0;
}

static void pv_request(struct fuzz *f)
{
	uint8_t d[128] = { 0 }, sge[16];
	uint64_t list = any_address(f);
	uint32_t len = any_length(f);

	le64_put(d, fuzz_next(f));
	le64_put(d + 8, list);
	le64_put(d + 16, fuzz_below(f, 8) ? len : fuzz_next(f));
	le64_put(d + 24, any_address(f));
	le32_put(d + 32, fuzz_below(f, 100));
	le32_put(d + 36, fuzz_below(f, 3) ? 1u | 8u << fuzz_below(f, 2) : fuzz_below(f, 32));
	any_cdb(f, d + 40);
	d[56] = fuzz_below(f, 8) ? 16 : (uint8_t)fuzz_next(f);
	d[65] = (uint8_t)(0x20 + fuzz_below(f, 3));
	d[67] = (uint8_t)fuzz_below(f, 5);
	for (unsigned i = 0; i < 8; i++) {	/* a list that may lead to itself */
		bool chain = !tame && !fuzz_below(f, 4);

		le64_put(sge, chain && fuzz_below(f, 2) ? list : any_address(f));
		le32_put(sge + 8, fuzz_below(f, 4) ? len / 4 : any_length(f));
		le32_put(sge + 12, chain);
		put(list + 16 * i, sge, 16);
	}
	put((257 << 12) + (pv_prod % 64) * 128, d, sizeof(d));
	pv_prod++;
	le32_put(sge, fuzz_below(f, 20) ? pv_prod : (uint32_t)fuzz_next(f));
	put(256 << 12, sge, 4);
	mem_read(vm.mem, (256 << 12) + 12, sge, 4);	/* all completions are fetched */
	put((256 << 12) + 16, sge, fuzz_below(f, 8) ? 4 : 0);
	pv_write(fuzz_below(f, 2) ? 0x4018 : 0x3014, 0);
}

/* --- Fusion-MPT ------------------------------------------------------------------------------ */

static void mpt_write(unsigned n, uint32_t reg, uint32_t val)
{
	bus_mmio_write(&vm.bus, BAR(n) + reg, val, 4);
}

static void mpt_handshake(unsigned n, const uint32_t *msg, unsigned words)
{
	mpt_write(n, 0, 0x42000000 | words << 16);
	mpt_write(n, 0x30, 0);
	for (unsigned i = 0; i < words; i++)
		mpt_write(n, 0, msg[i]);
	for (unsigned i = 0; i < 48; i++) {
		bus_mmio_read(&vm.bus, BAR(n), 4);
		mpt_write(n, 0x30, 0);
	}
}

static void mpt_setup(struct fuzz *f, unsigned n)
{
	uint32_t init[11] = { 0x02000004, 0x00011000, 0, 80 };

	mpt_write(n, 0, 0x40000000);
	if (!fuzz_below(f, 4))
		init[fuzz_below(f, 11)] = (uint32_t)fuzz_next(f);
	mpt_handshake(n, init, 11);
	mpt_write(n, 0x34, 1);
	for (unsigned i = 0; i < 32; i++)
		mpt_write(n, 0x44, 0x200000 + i * 128);
}

static void mpt_request(struct fuzz *f, unsigned n)
{
	static const uint8_t fn[] = { 0, 0, 0, 0, 1, 2, 3, 4, 4, 4, 5, 6, 7, 8, 0x1b, 0x20 };
	uint32_t frame = 0x210000 + fuzz_below(f, 64) * 128;
	uint8_t d[128];

	for (unsigned i = 0; i < sizeof(d); i++)
		d[i] = fuzz_below(f, 3) ? 0 : (uint8_t)fuzz_next(f);
	d[3] = fn[fuzz_below(f, sizeof(fn))];
	le32_put(d + 8, (uint32_t)fuzz_next(f) & 0x7fffffff);
	if (d[3] == 0) {
		d[0] = (uint8_t)fuzz_below(f, 5);
		d[1] = !fuzz_below(f, 10);
		d[2] = tame || fuzz_below(f, 2) ? 0 : (uint8_t)fuzz_below(f, 32);
		memset(d + 12, 0, 8);
		le32_put(d + 20, (tame ? 1 + fuzz_below(f, 2) : fuzz_below(f, 4)) << 24 | fuzz_below(f, 3) << 8);
		any_cdb(f, d + 24);
		le32_put(d + 40, any_length(f));
		for (unsigned at = 48; at < 120; at += 12) {
			static const uint8_t flags[] = { 0x12, 0x92, 0xd3, 0x32, 0x10, 0xd1 };
			uint32_t fl = !tame ? flags[fuzz_below(f, 6)] : at < 108 ? 0x12 : 0xd3;

			le32_put(d + at, fl << 24 | (any_length(f) & 0xffffff));
			le64_put(d + at + 4, tame || fuzz_below(f, 3) ? any_address(f) : frame + 48);
		}
	} else if (d[3] == 4) {
		d[0] = (uint8_t)fuzz_below(f, 8);
		d[6] = (uint8_t)(0x10 + fuzz_below(f, 6));
		d[22] = (uint8_t)fuzz_below(f, 5);
		d[23] = fuzz_below(f, 2) ? 15 : (uint8_t)fuzz_below(f, 12);
		le32_put(d + 24, fuzz_below(f, 3) << 28 | fuzz_below(f, 40));
		le32_put(d + 28, 0xd3000000 | fuzz_below(f, 700));
		le64_put(d + 32, any_address(f));
	}
	put(frame, d, sizeof(d));
	mpt_write(n, 0x40, fuzz_below(f, 30) ? frame : (uint32_t)any_address(f));
	for (unsigned i = fuzz_below(f, 3); i; i--) {
		uint32_t r = (uint32_t)bus_mmio_read(&vm.bus, BAR(n) + 0x44, 4);

		if (r != UINT32_MAX && r >> 31)
			mpt_write(n, 0x44, r << 1);
	}
}

/* --- BusLogic ----------------------------------------------------------------------------------- */

static unsigned bl_out;

static void bl_byte(unsigned reg, uint8_t val)
{
	bus_pio_write(&vm.bus, (uint16_t)(IO(BUSLOGIC) + reg), val, 1);
}

static void bl_setup(struct fuzz *f)
{
	bl_byte(0, fuzz_below(f, 2) ? 0x80 : 0x40);
	bus_pio_read(&vm.bus, IO(BUSLOGIC), 1);
	bl_byte(1, 0x81);
	bl_byte(1, 16);
	for (unsigned i = 0; i < 4; i++)
		bl_byte(1, (uint8_t)((fuzz_below(f, 8) ? 0x220000 : any_address(f)) >> 8 * i));
	bl_byte(0, 0x20);
	bl_byte(1, 0x8f);
	bl_byte(1, (uint8_t)fuzz_below(f, 2));
	bl_byte(1, 0x96);
	bl_byte(1, (uint8_t)fuzz_below(f, 2));
	bl_byte(0, 0x20);
	bl_out = 0;
}

static void bl_request(struct fuzz *f)
{
	static const uint8_t op[] = { 0, 2, 3, 4, 0x81, 1, 0xff };
	uint32_t at = 0x230000 + fuzz_below(f, 64) * 64, list = (uint32_t)any_address(f);
	uint8_t d[40] = { 0 }, box[8] = { 0 };

	d[0] = op[fuzz_below(f, 7)];
	d[1] = (uint8_t)(fuzz_below(f, 32) << 3);
	d[2] = fuzz_below(f, 8) ? 12 : (uint8_t)fuzz_next(f);
	d[3] = (uint8_t)fuzz_below(f, 40);
	le32_put(d + 4, fuzz_below(f, 2) ? 8 * fuzz_below(f, 20) : any_length(f));
	le32_put(d + 8, list);
	d[16] = (uint8_t)fuzz_below(f, 5);
	any_cdb(f, d + 18);
	memset(d + 30, 0, 6);
	le32_put(d + 36, (uint32_t)any_address(f));
	for (unsigned i = 0; i < 20; i++) {
		uint8_t e[8];

		le32_put(e, any_length(f));
		le32_put(e + 4, (uint32_t)any_address(f));
		put(list + 8ull * i, e, 8);
	}
	put(at, d, sizeof(d));
	le32_put(box, at);
	box[7] = fuzz_below(f, 10) ? 1 : (uint8_t)fuzz_below(f, 4);
	put(0x220000 + bl_out++ % 16 * 8, box, 8);
	bl_byte(1, 2);
	for (unsigned i = 0; i < 16 && fuzz_below(f, 8); i++)	/* fetch what came */
		put(0x220080 + i * 8 + 7, "", 1);
	bl_byte(0, 0x20);
}

/* --- actions ----------------------------------------------------------------------------------- */

static void any_register(struct fuzz *f)
{
	unsigned n = fuzz_below(f, ADAPTERS), size = 1u << fuzz_below(f, 4);
	uint64_t val = fuzz_below(f, 2) ? fuzz_below(f, 256) : fuzz_next(f);
	uint64_t off = fuzz_below(f, 2) ? fuzz_below(f, 0x50) & ~3u : fuzz_below(f, 0x8000);

	if (n == PVSCSI && fuzz_below(f, 2))
		off = (uint64_t[]){ 0, 4, 8, 0x100c, 0x2010, 0x3014, 0x4018 }[fuzz_below(f, 7)];
	if (fuzz_below(f, 2)) {
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
	config(slot[n], PCI_BAR0, n == PVSCSI ? BAR(n) : IO(n) | 1, 4);
	if (n != PVSCSI)
		config(slot[n], PCI_BAR0 + 4, BAR(n), 4);
	config(slot[n], PCI_COMMAND, 7, 4);
}

static void act(struct fuzz *f)
{
	tame = fuzz_below(f, 2);
	switch (fuzz_below(f, 20)) {
	case 0: pv_setup(f); break;
	case 1: mpt_setup(f, LSILOGIC + fuzz_below(f, 2)); break;
	case 2: bl_setup(f); break;
	case 3 ... 5: pv_request(f); break;
	case 6 ... 9: mpt_request(f, LSILOGIC + fuzz_below(f, 2)); break;
	case 10 ... 12: bl_request(f); break;
	case 13: any_register(f); break;
	case 14: vm_run_work(&vm); break;
	case 15: {
		uint8_t junk[64];

		for (unsigned i = 0; i < sizeof(junk); i++)
			junk[i] = (uint8_t)fuzz_next(f);
		put(0x100000 + fuzz_next(f) % 0x140000, junk, fuzz_below(f, sizeof(junk)));
		break;
	}
	case 16: any_config(f, slot, ADAPTERS); break;
	case 17: come_or_go(f); break;
	case 18: timerq_run(&vm.timers, UINT64_MAX - 1); break;
	default: place(fuzz_below(f, ADAPTERS));
	}
}

static void reset_all(void)
{
	pvscsi_reset(host[PVSCSI]);
	mpt_reset(host[LSILOGIC]);
	mpt_reset(host[LSISAS]);
	buslogic_reset(host[BUSLOGIC]);
}

static void run_machine(struct fuzz *f)
{
	struct pci *pci;

	machine_start();
	pci = pci_new(&vm, NULL);
	host[PVSCSI] = pvscsi_new(&vm, pci, slot[PVSCSI], NULL);
	host[LSILOGIC] = lsilogic_new(&vm, pci, slot[LSILOGIC], NULL);
	host[LSISAS] = lsisas_new(&vm, pci, slot[LSISAS], NULL);
	host[BUSLOGIC] = buslogic_new(&vm, pci, slot[BUSLOGIC], NULL);
	for (unsigned n = 0; n < ADAPTERS; n++) {
		for (unsigned id = 0; id < 5; id++)
			attach(f, n, id);
		place(n);
	}
	for (unsigned i = 0; i < ACTIONS; i++) {
		uint64_t seed = f->state, began = cpu_ns();

		act(f);
		fuzz_check(cpu_ns() - began < SLOW_NS, "action %u, state %#llx", i,
			   (unsigned long long)seed);
		if (!fuzz_below(f, 500))
			reset_all();
	}
	reset_all();
	for (unsigned i = 0; i < sizeof(leaving) / sizeof(leaving[0]); i++)
		while (leaving[i].bus && !leaving[i].gone)	/* the device has it still */
			vm_run_work(&vm);
	forget();
	pvscsi_free(host[PVSCSI]);
	mpt_free(host[LSILOGIC]);
	mpt_free(host[LSISAS]);
	buslogic_free(host[BUSLOGIC]);
	pci_free(pci);
	mem_free(vm.mem);
}

int main(int argc, char **argv) { return device_main(argc, argv, run_machine); }
