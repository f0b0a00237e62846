/* The Fusion-MPT adapters, SCSI and SAS (adapter.h). */
#include "dev/lsilogic.h"

#include "adapter.h"

static struct mpt *host[2];

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

/* Messages by the doorbell, of the wrong length, too; pieces of a handshake; resets. */
static void mpt_command(struct fuzz *f, unsigned n)
{
	static const uint8_t fn[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x1b, 0xff };
	uint32_t msg[255];
	unsigned words = fuzz_below(f, 4) ? 2 + fuzz_below(f, 16) : 1 + fuzz_below(f, 255);

	switch (fuzz_below(f, 6)) {
	case 0:		/* the diagnostic register, by its keys */
		for (unsigned i = 0; i < 5; i++)
			mpt_write(n, 4, (uint32_t[]){ 4, 0xb, 2, 7, 0xd }[i]);
		mpt_write(n, 8, fuzz_below(f, 4) ? fuzz_below(f, 2) << 5 : (uint32_t)fuzz_next(f));
		return;
	case 1:
		mpt_write(n, 0, fuzz_below(f, 3) ? fuzz_below(f, 256) << 24 | fuzz_below(f, 256) << 16 :
						   (uint32_t)fuzz_next(f));
		for (unsigned i = fuzz_below(f, 8); i; i--)
			mpt_write(n, fuzz_below(f, 2) ? 0 : 0x30, fuzz_below(f, 100));
		return;
	case 2:		/* a reply frame anywhere, twice */
		mpt_write(n, 0x44, (uint32_t)any_address(f));
		return;
	}
	for (unsigned i = 0; i < words; i++)
		msg[i] = fuzz_below(f, 3) ? 0 : (uint32_t)fuzz_next(f);
	msg[0] = (uint32_t)fn[fuzz_below(f, sizeof(fn))] << 24 | (msg[0] & 0xffffff);
	mpt_handshake(n, msg, words);
}

/* --- the adapters ----------------------------------------------------------------------------- */

static void create(struct pci *pci, unsigned n, unsigned devfn)
{
	host[n] = (n ? lsisas_new : lsilogic_new)(&vm, pci, devfn, NULL);
}

static void destroy(unsigned n) { mpt_free(host[n]); }
static void reset(unsigned n) { mpt_reset(host[n]); }
static struct scsi_bus *bus(unsigned n) { return mpt_bus(host[n]); }
static void changed(unsigned n, unsigned id, bool there) { mpt_changed(host[n], id, there); }

int main(int argc, char **argv)
{
	static const uint16_t regs[] = { 0, 4, 8, 0x30, 0x34, 0x40, 0x44, 0x48 };
	static const struct adapter a = {
		.count = 2, .ports = true, .create = create, .destroy = destroy, .reset = reset,
		.bus = bus, .changed = changed, .setup = mpt_setup, .request = mpt_request,
		.command = mpt_command, .reg = regs, .regs = sizeof(regs) / sizeof(regs[0]),
	};

	return adapter_main(argc, argv, &a);
}
