/*
 * The IDE controller under random registers, commands, packets and tables of regions: of
 * 0 and of 64 KiB, without an end, in device memory, ROM and nowhere; the bus master is
 * started and stopped at any time, resets come in the middle of commands.  Half of the time
 * a driver is imitated that does everything rightly up to some point.  Media have any
 * size, down to none.  Nothing may go wrong inside, no action may take long.
 */
#include "dev/ide.h"
#include "dev/piix4.h"
#include "device.h"

enum { ACTIONS = 3000, BM = 0xc000, TABLE = 0x200000 };
enum { BSY = 0x80, DRQ = 8 };

static const uint8_t slot[] = { PCI_DEVFN(PIIX4_SLOT, 1) };
static struct scsi_dev *cd[2];
static struct ide *ide;

static const uint16_t port_of[2] = { 0x1f0, 0x170 };

static void out8(uint16_t port, unsigned v) { bus_pio_write(&vm.bus, port, (uint8_t)v, 1); }
static uint8_t in8(uint16_t port) { return (uint8_t)bus_pio_read(&vm.bus, port, 1); }

/* --- memory ---------------------------------------------------------------------------- */

static void make_table(struct fuzz *f, unsigned channel, uint32_t len)
{
	uint32_t table = fuzz_below(f, 12) ? TABLE + fuzz_below(f, 8) * 0x1000 : (uint32_t)any_address(f);
	unsigned n = 1 + fuzz_below(f, tame ? 16 : 600);
	uint8_t e[8];

	for (unsigned i = 0; i < n; i++) {
		uint32_t part = tame ? (len / n & ~1u) + (i + 1 == n ? len - len / n / 2 * 2 * n : 0) :
				fuzz_below(f, 4) ? fuzz_below(f, 64) * 2 : fuzz_below(f, 4) * 0x5555;
		bool last = tame || fuzz_below(f, 3) ? i + 1 == n : !fuzz_below(f, 20);

		le32_put(e, (uint32_t)any_address(f));
		le32_put(e + 4, (part & 0xffff) | (last ? 1u << 31 : 0));
		put(table + 8ull * i, e, 8);
	}
	bus_pio_write(&vm.bus, (uint16_t)(BM + 8 * channel + 4), table, 4);
}

/* --- the data port ------------------------------------------------------------------------- */

/* As much as the drive wants, or as is good for the test. */
static void move_port(struct fuzz *f, unsigned channel)
{
	unsigned n = tame ? 70000 : 1 + fuzz_below(f, 3000), size = 1u << fuzz_below(f, 3);
	bool out = fuzz_below(f, 2);

	while (n-- && (in8((uint16_t)(port_of[channel] + 0x206)) & (DRQ | BSY)) == DRQ) {
		if (out)
			bus_pio_write(&vm.bus, port_of[channel], fuzz_next(f), size);
		else
			bus_pio_read(&vm.bus, port_of[channel], size);
	}
}

/* --- commands ----------------------------------------------------------------------------- */

static void ata(struct fuzz *f, unsigned channel)
{
	static const uint8_t op[] = {
		0x00, 0x06, 0x08, 0x10, 0x20, 0x21, 0x24, 0x25, 0x27, 0x29, 0x30, 0x34, 0x35, 0x39, 0x3d,
		0x40, 0x42, 0x70, 0x90, 0x91, 0xa1, 0xc4, 0xc5, 0xc6, 0xc8, 0xca, 0xce, 0xe0, 0xe5, 0xe6,
		0xe7, 0xea, 0xec, 0xef, 0xf8, 0x25, 0x35, 0x25, 0x35, 0x06, 0x06,
	};
	uint8_t cmd = fuzz_below(f, 16) ? op[fuzz_below(f, sizeof(op))] : (uint8_t)fuzz_next(f);
	uint16_t p = port_of[channel];

	out8((uint16_t)(p + 6), fuzz_below(f, 4) ? 0xe0 | fuzz_below(f, 2) << 4 : (unsigned)fuzz_next(f));
	for (unsigned twice = 0; twice < 2; twice++)
		for (unsigned i = 1; i < 6; i++)
			out8((uint16_t)(p + i), fuzz_below(f, 4) || (tame && i > 2) ? 0 :
			     fuzz_below(f, 2) ? fuzz_below(f, 17) : (unsigned)fuzz_next(f));
	if (cmd == 0x06) {	/* a list of ranges */
		uint8_t list[512];

		for (unsigned i = 0; i < 512; i += 8)
			le64_put(list + i, tame ? fuzz_below(f, 2000) | (uint64_t)fuzz_below(f, 40) << 48 :
				 fuzz_next(f));
		for (unsigned i = 0; i < 32; i++)
			put(0x10000 + i * 0x4000, list, sizeof(list));
		out8((uint16_t)(p + 1), 1);
		out8((uint16_t)(p + 2), 0);
		out8((uint16_t)(p + 2), fuzz_below(f, 8) ? 1 : 2);
	}
	out8((uint16_t)(p + 7), cmd);
}

static void any_packet(struct fuzz *f, uint8_t *c)
{
	static const uint8_t op[] = { 0x00, 0x03, 0x08, 0x12, 0x15, 0x1a, 0x1b, 0x1e, 0x25, 0x28, 0x28,
				      0x42, 0x43, 0x46, 0x4a, 0x51, 0x52, 0x55, 0x5a, 0xa0, 0xa3, 0xa8,
				      0xa8, 0xb9, 0xbb, 0xbd, 0xbe, 0xbe };

	for (unsigned i = 1; i < 12; i++)
		c[i] = fuzz_below(f, 3) ? 0 : (uint8_t)fuzz_next(f);
	c[0] = fuzz_below(f, 20) ? op[fuzz_below(f, sizeof(op))] : (uint8_t)fuzz_next(f);
	if (!tame && fuzz_below(f, 2))
		return;
	memset(c + 1, 0, 11);
	switch (c[0]) {
	case 0x28: case 0xa8: case 0xbe:
		c[5] = (uint8_t)fuzz_next(f);
		c[c[0] == 0xa8 ? 9 : 8] = (uint8_t)fuzz_below(f, 40);
		c[9] = c[0] == 0xbe ? 0x10 : c[9];
		break;
	case 0xb9:
		c[4] = 2;
		c[5] = (uint8_t)fuzz_below(f, 75);
		c[7] = (uint8_t)(2 + fuzz_below(f, 2));
		c[8] = (uint8_t)fuzz_below(f, 75);
		c[9] = 0x10;
		break;
	case 0x1b:
		c[4] = (uint8_t)fuzz_below(f, 4);
		break;
	case 0x55: case 0x15:
		c[1] = 0x10;
		c[c[0] == 0x15 ? 4 : 8] = (uint8_t)fuzz_below(f, 60);
		break;
	default:
		c[2] = (uint8_t)fuzz_below(f, 64);
		c[4] = c[7] = (uint8_t)fuzz_below(f, 200);
	}
}

static void packet(struct fuzz *f, unsigned channel)
{
	uint16_t p = port_of[channel];
	bool dma = fuzz_below(f, 3) == 0;
	uint8_t c[12];

	any_packet(f, c);
	out8((uint16_t)(p + 6), 0xa0 | (fuzz_below(f, 4) ? 0 : 0x10));
	out8((uint16_t)(p + 1), dma | (fuzz_below(f, 20) ? 0 : 2));
	out8((uint16_t)(p + 4), fuzz_below(f, 3) ? 0 : (unsigned)fuzz_next(f));
	out8((uint16_t)(p + 5), fuzz_below(f, 3) ? 8 : (unsigned)fuzz_next(f));
	out8((uint16_t)(p + 7), 0xa0);
	for (unsigned i = 0; i < 12; i += 2)
		bus_pio_write(&vm.bus, p, le16_get(c + i), 2);
	if (dma) {
		make_table(f, channel, 2048);
		out8((uint16_t)(BM + 8 * channel), (unsigned)(fuzz_below(f, 8) ? 9 : 1));
	}
}

static void dma(struct fuzz *f, unsigned channel)
{
	uint16_t bm = (uint16_t)(BM + 8 * channel);

	make_table(f, channel, any_length(f));
	out8((uint16_t)(bm + 2), fuzz_below(f, 2) ? 6 : (unsigned)fuzz_next(f));
	out8(bm, fuzz_below(f, 4) ? 0 : (unsigned)fuzz_next(f));
	if (fuzz_below(f, 4))
		ata(f, channel);
	out8(bm, (fuzz_below(f, 8) != 0) | (fuzz_below(f, 2) ? 8 : 0));
}

static void any_register(struct fuzz *f, unsigned channel)
{
	unsigned size = 1u << fuzz_below(f, 3);
	uint16_t port = (uint16_t)(fuzz_below(f, 3) ? port_of[channel] + fuzz_below(f, 9) :
				   fuzz_below(f, 2) ? port_of[channel] + 0x206u : BM + fuzz_below(f, 18));

	if (fuzz_below(f, 2))
		bus_pio_write(&vm.bus, port, fuzz_below(f, 2) ? fuzz_below(f, 16) : fuzz_next(f), size);
	else
		bus_pio_read(&vm.bus, port, size);
}

static void place(void)
{
	config(slot[0], PCI_BAR0 + 16, BM, 4);
	config(slot[0], PCI_COMMAND, 5, 2);
	config(slot[0], 0x40, 0x80008000, 4);
}

static void change_medium(struct fuzz *f)
{
	struct scsi_dev *t = cd[fuzz_below(f, 2)];
	struct blk *b = fuzz_below(f, 4) ? fuzz_store(fuzz_below(f, 3) ? DISK : fuzz_below(f, 10000), true) :
					   NULL;

	if (scsi_cd_insert(t, b, fuzz_below(f, 2), NULL))
		blk_free(b);
}

static void act(struct fuzz *f)
{
	unsigned channel = fuzz_below(f, 2);

	tame = fuzz_below(f, 2);
	switch (fuzz_below(f, 16)) {
	case 0 ... 2: ata(f, channel); break;
	case 3 ... 5: packet(f, channel); break;
	case 6 ... 8: dma(f, channel); break;
	case 9 ... 11: move_port(f, channel); break;
	case 12: any_register(f, channel); break;
	case 13: vm_run_work(&vm); break;
	case 14:
		if (fuzz_below(f, 4))
			any_config(f, slot, 1);
		else
			change_medium(f);
		break;
	default:
		place();
		/* Commands whose table was too short wait for this. */
		out8((uint16_t)(port_of[channel] + 0x206), fuzz_below(f, 2) ? 4 : 0);
		out8((uint16_t)(port_of[channel] + 0x206), fuzz_below(f, 8) ? 0 : (unsigned)fuzz_next(f));
	}
}

static void run_machine(struct fuzz *f)
{
	const struct scsi_params p = { .keep_sense = true };
	struct pci *pci;

	machine_start();
	pci = pci_new(&vm, NULL);
	ide = ide_new(&vm, pci, NULL);
	fuzz_check(ide && !ide_attach_disk(ide, 0, 0, fuzz_blk(f, 0, false), NULL), "attach");
	if (fuzz_below(f, 2))
		ide_attach_disk(ide, 1, 1, fuzz_blk(f, 1, fuzz_below(f, 2)), NULL);
	for (unsigned i = 0; i < 2; i++) {
		struct blk *b = !fuzz_below(f, 6) ? NULL :
				fuzz_store(fuzz_below(f, 3) ? DISK : fuzz_below(f, 10000), true);

		cd[i] = scsi_cd_new(&vm, b, &p, NULL);
		fuzz_check(!ide_attach_cd(ide, 1 - i, i, cd[i], NULL), "attach");
	}
	pci_reset(pci);
	ide_reset(ide);
	place();
	if (fuzz_below(f, 2))
		other_start(f);
	for (unsigned i = 0; i < ACTIONS; i++) {
		struct fuzz_watch w = fuzz_begin(f);

		act(f);
		fuzz_end(&w, i, SLOW_NS);
		if (!fuzz_below(f, 1000)) {
			pci_reset(pci);
			ide_reset(ide);
			place();
		}
	}
	other_stop();
	ide_free(ide);
	pci_free(pci);
	mem_free(vm.mem);
}

int main(int argc, char **argv) { return device_main(argc, argv, run_machine); }
