/* The BusLogic BT-958 (adapter.h). */
#include "dev/buslogic.h"

#include "adapter.h"

static struct buslogic *host;
static unsigned bl_out;
static uint8_t bl_boxes;
static uint32_t bl_last;

static void bl_byte(unsigned reg, uint8_t val)
{
	bus_pio_write(&vm.bus, (uint16_t)(IO(0) + reg), val, 1);
}

static void bl_setup(struct fuzz *f, unsigned n)
{
	bl_byte(0, fuzz_below(f, 2) ? 0x80 : 0x40);
	bus_pio_read(&vm.bus, IO(0), 1);
	bl_byte(1, 0x81);
	bl_boxes = fuzz_below(f, 8) ? 16 : (uint8_t)fuzz_next(f);
	bl_byte(1, bl_boxes);
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

static void bl_request(struct fuzz *f, unsigned n)
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
	/* Sometimes one that is under way, to be aborted. */
	if (box[7] == 2 || !fuzz_below(f, 8))
		le32_put(box, bl_last);
	bl_last = at;
	put(0x220000 + bl_out++ % (bl_boxes ? bl_boxes : 1u) * 8, box, 8);
	bl_byte(1, 2);
	for (unsigned i = 0; i < bl_boxes && fuzz_below(f, 64); i++)	/* fetch what came */
		put(0x220000 + (bl_boxes + i) * 8u + 7, "", 1);
	bl_byte(0, 0x20);
}

/* Commands with their parameters, of which the answer is read, or not. */
static void bl_command(struct fuzz *f, unsigned n)
{
	static const uint8_t cmd[][2] = {
		{ 0x00, 0 }, { 0x04, 0 }, { 0x05, 1 }, { 0x06, 4 }, { 0x07, 1 }, { 0x0a, 0 }, { 0x0b, 0 },
		{ 0x0d, 1 }, { 0x1f, 1 }, { 0x21, 1 }, { 0x23, 0 }, { 0x24, 0 }, { 0x25, 1 }, { 0x84, 0 },
		{ 0x85, 0 }, { 0x86, 0 }, { 0x8b, 1 }, { 0x8c, 1 }, { 0x8d, 1 }, { 0x91, 2 }, { 0x95, 1 },
	};
	const uint8_t *c = cmd[fuzz_below(f, sizeof(cmd) / 2)];
	unsigned left = fuzz_below(f, 300);

	bl_byte(1, fuzz_below(f, 16) ? c[0] : (uint8_t)fuzz_next(f));
	for (unsigned i = 0; i < c[1]; i++)
		bl_byte(1, c[0] == 0x25 ? 1 : (uint8_t)fuzz_next(f));
	while (left--)
		bus_pio_read(&vm.bus, IO(0) + 1, 1);
	bl_byte(0, fuzz_below(f, 8) ? 0x20 : (uint8_t)fuzz_next(f));
}

/* --- the adapter --------------------------------------------------------------------------- */

static void create(struct pci *pci, unsigned n, unsigned devfn)
{
	host = buslogic_new(&vm, pci, devfn, NULL);
	bl_out = bl_last = 0;
	bl_boxes = 16;
}

static void destroy(unsigned n) { buslogic_free(host); }
static void reset(unsigned n) { buslogic_reset(host); }
static struct scsi_bus *bus(unsigned n) { return buslogic_bus(host); }
static void changed(unsigned n, unsigned id, bool there) { buslogic_changed(host, id, there); }

int main(int argc, char **argv)
{
	static const uint16_t regs[] = { 0, 1, 2, 3 };
	static const struct adapter a = {
		.count = 1, .ports = true, .create = create, .destroy = destroy, .reset = reset,
		.bus = bus, .changed = changed, .setup = bl_setup, .request = bl_request, .command = bl_command,
		.reg = regs, .regs = sizeof(regs) / sizeof(regs[0]),
	};

	return adapter_main(argc, argv, &a);
}
