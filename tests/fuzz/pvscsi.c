/* The paravirtual adapter (adapter.h). */
#include "dev/pvscsi.h"

#include "adapter.h"

enum { CMD_RESET = 1, CMD_RINGS = 3, CMD_RESET_DEVICE = 5, CMD_ABORT = 6, CMD_CONFIG = 7, CMD_MESSAGES = 8 };

/* Numbers of pages, and of frames. */
static const uint32_t pages[] = { 0, 1, 2, 3, 31, 32, 33, 64, 0xe0000, 0xfffc0, 0x7fffffff, 0xffffffff };

static struct pvscsi *host;
static uint32_t pv_prod;

static void pv_write(uint32_t reg, uint32_t val)
{
	bus_mmio_write(&vm.bus, BAR(0) + reg, val, 4);
}

static void pv_command(uint32_t cmd, const uint32_t *d, unsigned words)
{
	pv_write(0, cmd);
	for (unsigned i = 0; i < words; i++)
		pv_write(4, d[i]);
}

/* A ring of messages, which tells of targets that come and go. */
static void pv_messages(struct fuzz *f)
{
	uint32_t d[34] = { 1u << fuzz_below(f, 3) };

	for (unsigned i = 0; i < 16; i++)
		d[2 + 2 * i] = 240 + i;
	if (!fuzz_below(f, 4))
		d[fuzz_below(f, 34)] = pages[fuzz_below(f, 12)];
	pv_command(CMD_MESSAGES, d, 34);
}

/* State at 1 MiB, 2 pages of requests and of completions behind it; or anything. */
static void pv_setup(struct fuzz *f, unsigned n)
{
	uint32_t d[132] = { 2, 2, 256, 0 };

	for (unsigned i = 0; i < 64; i++)
		d[4 + 2 * i] = 257 + i;
	if (!fuzz_below(f, 4))
		d[fuzz_below(f, 132)] = (uint32_t)fuzz_next(f);
	if (!fuzz_below(f, 4))	/* no page, too many, a ring in its own registers */
		d[fuzz_below(f, 6)] = pages[fuzz_below(f, 12)];
	pv_command(CMD_RINGS, d, 132);
	if (fuzz_below(f, 2))
		pv_messages(f);
	pv_write(0x2010, 15);
	pv_prod = 0;
}

static void pv_request(struct fuzz *f, unsigned n)
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

/* Commands: known ones with the data that they want, or a word less; others. */
static void pv_any_command(struct fuzz *f, unsigned n)
{
	static const uint8_t words[] = { 0, 0, 2, 132, 0, 3, 4, 6, 34, 2, 2, 0 };
	uint32_t d[132], cmd = fuzz_below(f, 12);
	uint64_t to = any_address(f);

	for (unsigned i = 0; i < 132; i++)
		d[i] = fuzz_below(f, 3) ? fuzz_below(f, 40) : (uint32_t)fuzz_next(f);
	switch (cmd) {
	case CMD_RESET:
		cmd = fuzz_below(f, 8) ? 4 : CMD_RESET;
		break;
	case CMD_RINGS:
		pv_setup(f, n);
		return;
	case CMD_RESET_DEVICE:
		d[0] = fuzz_below(f, 6);
		break;
	case CMD_ABORT:		/* of one that may be under way */
		mem_read(vm.mem, (257 << 12) + ((pv_prod - 1 - fuzz_below(f, 3)) % 64) * 128, d, 8);
		d[2] = fuzz_below(f, 6);
		break;
	case CMD_CONFIG:
		d[0] = (uint32_t)to;
		d[1] = (uint32_t)(to >> 32);
		d[2] = 0x2120;
		d[3] = 0;
		d[4] = fuzz_below(f, 8) ? 0x1958 : (uint32_t)fuzz_next(f);
		break;
	case CMD_MESSAGES:
		pv_messages(f);
		return;
	}
	pv_command(cmd, d, words[cmd] - (words[cmd] && !fuzz_below(f, 8)));
	bus_mmio_read(&vm.bus, BAR(0) + 8, 4);
}

/* --- the adapter --------------------------------------------------------------------------- */

static void create(struct pci *pci, unsigned n, unsigned devfn)
{
	host = pvscsi_new(&vm, pci, devfn, NULL);
	pv_prod = 0;
}

static void destroy(unsigned n) { pvscsi_free(host); }
static void reset(unsigned n) { pvscsi_reset(host); }
static struct scsi_bus *bus(unsigned n) { return pvscsi_bus(host); }
static void changed(unsigned n, unsigned id, bool there) { pvscsi_changed(host, id, there); }

int main(int argc, char **argv)
{
	static const uint16_t regs[] = { 0, 4, 8, 0x100, 0x100c, 0x2010, 0x3014, 0x3018, 0x4018, 0x6000, 0x7000 };
	static const struct adapter a = {
		.count = 1, .create = create, .destroy = destroy, .reset = reset, .bus = bus,
		.changed = changed, .setup = pv_setup, .request = pv_request,
		.command = pv_any_command, .reg = regs, .regs = sizeof(regs) / sizeof(regs[0]),
	};

	return adapter_main(argc, argv, &a);
}
