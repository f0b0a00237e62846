/* Fusion-MPT adapters: doorbell, requests and their lists, replies, task management, resets,
 * interrupts; what cannot be right. */
#include "mpt_rig.h"

#define LIST	0x60000u	/* further segments of lists */

#define READ10(lba, n) (const char[]){ 0x28, 0, 0, 0, 0, lba, 0, 0, n, 0 }, 10

static void attention(unsigned target)
{
	uint8_t rp[80];

	io(0, (uint8_t)target, "\0\0\0\0\0", 6, 0, 0);
	check(fails(0, rp) == 0 && rp[12] == 2 && rp[13] == 1 && le32_get(rp + 24) == 18,
	      "unit attention: status %02x state %02x", rp[12], rp[13]);
	check((mem(SENSE)[0] & 0x7f) == 0x70 && mem(SENSE)[2] == 6, "sense");
}

/* --- doorbell ----------------------------------------------------------------------------- */

static void test_doorbell(void)
{
	uint8_t rq[1020] = { [3] = 3 }, rp[256];

	check(state() == READY && !(get(DOORBELL) & 0x0f000000), "power on");
	check(get(REPLIES) == NONE && get(STATUS) == 0 && get(MASK) == 9, "nothing yet");
	check(handshake(rq, 12, rp) == 80 && rp[3] == 3 && rp[2] == 20 && le16_get(rp + 14) == 0,
	      "IOC FACTS");
	check(le16_get(rp) == 0x0105 && le16_get(rp + 26) == 32 && le16_get(rp + 36) >= 32 &&
	      rp[38] == 1 && rp[47] == 1 && le16_get(rp + 44) == 0, "facts");
	rq[3] = 5;
	check(handshake(rq, 12, rp) == 40 && le16_get(rp + 14) == 0 && le16_get(rp + 24) == 7, "PORT FACTS");
	rq[6] = 1;
	check(handshake(rq, 12, rp) == 40 && le16_get(rp + 14) == 7, "of a port that is not there");
	rq[3] = 0x77;
	check(handshake(rq, 1020, rp) == 20 && le16_get(rp + 14) == 1, "no such function, the longest");
	rq[3] = 0;
	check(handshake(rq, 48, rp) == 20 && le16_get(rp + 14) == 1, "no SCSI I/O through the doorbell");
	rq[3] = 4;
	check(handshake(rq, 12, rp) >= 20 && le16_get(rp + 14) == 7, "CONFIG cut short");
	set(DOORBELL, 0x42000000);
	check(!(get(DOORBELL) & 1 << 27), "a request of nothing");
	check(init(80, 20) == 7 && state() == READY, "IOC INIT cut short");
	check(init(3, 44) == 7, "replies of 3 bytes");
	io(1, 0, READ10(0, 1), 512, 2);
	post(1);
	check(get(STATUS) == 0 && state() == READY, "not yet operational");
	check(init(80, 44) == 0 && init(80, 44) == 8, "twice");
	check(state() == OPERATIONAL && (get(DOORBELL) >> 24 & 7) == 4, "who");
	bus_mmio_write(&test_vm.bus, BAR + DOORBELL, 0x40, 1);
	check(state() == OPERATIONAL && bus_mmio_read(&test_vm.bus, BAR, 2) == 0, "doublewords only");
}

static void test_diag(void)
{
	static const uint8_t keys[] = { 4, 0xb, 2, 7, 0xd };

	set(DIAG, 4);
	check(state() == OPERATIONAL && !(get(DIAG) & 0x80), "locked");
	for (unsigned i = 0; i < 4; i++)
		set(SEQUENCE, keys[i]);
	set(SEQUENCE, 4);
	check(!(get(DIAG) & 0x80), "a wrong key");
	set(SEQUENCE, 0xff);
	for (unsigned i = 0; i < 5; i++)
		set(SEQUENCE, keys[i]);
	check(get(DIAG) & 0x80, "open");
	/* Also in the middle of a request through the doorbell. */
	set(DOORBELL, 0x42030000);
	set(STATUS, 0);
	set(DOORBELL, 0);
	set(DIAG, 4);
	check(get(DIAG) == 0x20 && state() == READY && !(get(DOORBELL) & 1 << 27), "reset");
	check(get(MASK) == 9 && get(STATUS) == 0, "masked");
	set(SEQUENCE, 0xff);
}

/* --- I/O -------------------------------------------------------------------------------------- */

static void test_io(void)
{
	uint8_t rp[80], *rq;

	start(4);
	attention(0);
	rq = io(5, 0, "\x12\0\0\0\x24", 6, 36, 2);
	le32_put(rq + 8, 0x80000005);
	post(5);
	check(get(STATUS) == 8 && answer(NULL) == 5, "by its context");
	check(get(STATUS) == 0 && get(REPLIES) == NONE, "once");
	check(!memcmp(mem(DATA) + 8, "VMware", 6), "INQUIRY");
	io(6, 0, READ10(3, 8), 4096, 2);
	post(6);
	check(answer(NULL) == 6 && !memcmp(mem(DATA), disk.bytes + 3 * 512, 4096), "READ(10)");
	io(7, 0, "\x2a\0\0\0\0\x64\0\0\2\0", 10, 1024, 1);
	memset(mem(DATA), 0x3c, 1024);
	post(7);
	check(answer(NULL) == 7 && !memcmp(mem(DATA), disk.bytes + 100 * 512, 1024), "WRITE(10)");
	io(8, 3, READ10(0, 1), 512, 2);
	check(fails(8, rp) == 0x43, "no device");
	rq = io(9, 0, READ10(0, 1), 512, 2);
	rq[1] = 1;
	check(fails(9, rp) == 0x41, "no bus");
	rq = io(9, 0, READ10(0, 1), 512, 2);
	rq[13] = 1;
	check(fails(9, rp) == 0x45 && rp[12] == 2 && mem(SENSE + 64 * 9)[12] == 0x25, "no unit");
	io(10, 0, "\x12\0\0\0\xff", 6, 200, 2);
	check(fails(10, rp) == 0x45 && le32_get(rp + 20) == 96 && rp[12] == 0 && rp[13] == 0, "less than asked for");
	io(11, 0, READ10(0, 2), 512, 2);
	check(fails(11, rp) == 0x44 && le32_get(rp + 20) == 512, "more than there is room for: %x",
	      le16_get(rp + 14));
	rq = io(12, 0, "\x08\xff\xff\xff\x01", 6, 512, 2);
	rq[5] = 4;
	check(fails(12, rp) == 0x45 && le32_get(rp + 24) == 4, "sense, as much as was asked for");
	rq = io(12, 0, READ10(0, 1), 512, 2);
	rq[4] = 255;
	post(12);
	check(answer(rp) != NONE, "a CDB of 255 bytes");
	disk.fail = -EIO;
	io(13, 0, READ10(9, 1), 512, 2);
	check(fails(13, rp) == 0x45 && mem(SENSE + 64 * 13)[12] == 0x11, "a read error");
}

static void put_sge(uint32_t at, unsigned flags, uint32_t len, uint64_t addr)
{
	le32_put(mem(at), flags << 24 | len);
	if (flags & 2)
		le64_put(mem(at + 4), addr);
	else
		le32_put(mem(at + 4), (uint32_t)addr);
}

static void test_lists(void)
{
	uint8_t rp[80], *rq = io(1, 0, READ10(10, 8), 4096, 2);
	uint32_t sgl = FRAME + 128 + 48;

	/* One of 32 and one of 64 bits, then a chain of two segments. */
	rq[2] = (48 + 8 + 12) / 4;
	put_sge(sgl, 0x10, 1000, DATA);
	put_sge(sgl + 8, 0x92, 24, DATA + 0x5000);
	put_sge(sgl + 20, 0x32 | 0x80, 20, LIST);
	le32_put(mem(sgl + 20), 0x30000000 | 2 << 24 | (8 / 4) << 16 | 20);
	put_sge(LIST, 0x90, 2000, DATA + 0x1000);
	put_sge(LIST + 8, 0x32, 8, LIST + 0x100);
	le32_put(mem(LIST + 8), 0x32000000 | 8);
	put_sge(LIST + 0x100, 0xd1, 2000, DATA + 0x2000);	/* more than is left */
	memset(mem(DATA), 0, 0x6000);
	post(1);
	check(answer(rp) == 1, "a chain: %x", le16_get(rp + 14));
	check(!memcmp(mem(DATA), disk.bytes + 5120, 1000) &&
	      !memcmp(mem(DATA + 0x5000), disk.bytes + 6120, 24) &&
	      !memcmp(mem(DATA + 0x1000), disk.bytes + 6144, 2000) &&
	      !memcmp(mem(DATA + 0x2000), disk.bytes + 8144, 1072) && !mem(DATA + 0x2000 + 1072)[0],
	      "in pieces");
	put_sge(LIST + 8, 0x30, 8, LIST);
	le32_put(mem(LIST + 8), 0x30000000 | 2 << 16 | 8);
	put_sge(LIST, 0x10, 0, DATA);
	check(fails(1, rp) == 3, "a loop: %x", le16_get(rp + 14));
	put_sge(LIST + 8, 0x10, 8, DATA);
	check(fails(1, rp) == 3, "no chain where one was said to be");
	io(1, 0, READ10(0, 1), 512, 2);
	put_sge(sgl, 0xd1, 512, BAR);
	check(fails(1, rp) == 3, "its own registers");
	put_sge(sgl, 0xd3, 512, UINT64_MAX - 100);
	check(fails(1, rp) == 3, "around the end");
	put_sge(sgl, 0xd1, 512, (4u << 20) - 256);
	check(fails(1, rp) == 3, "beyond memory");
	put_sge(sgl, 0xd1, 0, DATA);
	check(fails(1, rp) == 0x44 && le32_get(rp + 20) == 0, "nothing: %x", le16_get(rp + 14));
	rq = io(1, 0, READ10(0, 1), 512, 0);
	check(fails(1, rp) == 0x44, "a direction that is none");
	/* A frame at the end of memory: the list runs out of it. */
	memcpy(mem((4u << 20) - 128), rq, 128);
	le32_put(mem((4u << 20) - 128 + 20), 2u << 24);
	for (unsigned at = 48; at < 128; at += 8)
		put_sge((4u << 20) - 128 + at, 0x10, 1, DATA);
	set(REQUEST, (4u << 20) - 128);
	check(answer(rp) >> 31 && le16_get(rp + 14) == 3, "a list that runs out of memory");
}

/* --- many ------------------------------------------------------------------------------------------ */

static void test_full(void)
{
	uint8_t rp[80] = { 0 };
	unsigned n = 0, refused = 0;

	/* 256 are under way as long as nobody looks; then an ordered one would wait. */
	start(8);
	disk.slow = true;
	for (unsigned i = 0; i < 260; i++) {
		io(i % 64, 0, READ10(0, 1), 512, 2);
		post(i % 64);
		if (i < 256)
			check(!(get(STATUS) & 8), "request %u has ended", i);
	}
	while (n < 260) {
		uint32_t r = answer(rp);

		check(r != NONE, "%u of 260", n);
		if (r == NONE)
			break;
		if (r >> 31) {
			refused++;
			check(le16_get(rp + 14) == 6, "%x", le16_get(rp + 14));
		}
		n++;
	}
	disk.slow = false;
	check(refused == 4, "%u refused", refused);
	check(get(REPLIES) == NONE && state() == OPERATIONAL, "all answered");
}

static void test_replies(void)
{
	uint8_t rp[80];

	start(0);
	io(1, 3, "\0\0\0\0\0", 6, 0, 0);
	io(2, 3, "\0\0\0\0\0", 6, 0, 0);
	post(1);
	post(2);
	check(!(get(STATUS) & 8), "no frame, no answer");
	set(REPLIES, REPLY);
	check(get(STATUS) & 8 && answer(rp) == (1u << 31 | REPLY >> 1) && le32_get(rp + 8) == 1, "the first");
	check(answer(rp) >> 31 && le32_get(rp + 8) == 2, "the second, in the frame given back");
	/* Reply frames of 20 bytes: no more is written. */
	set(DOORBELL, 0x40000000);
	check(init(20, 44) == 0, "short replies");
	memset(mem(REPLY), 0xee, 80);
	set(REPLIES, REPLY);
	post(1);
	check(get(STATUS) & 8 && get(REPLIES) >> 31 && le16_get(mem(REPLY) + 14) == 0x43 &&
	      mem(REPLY)[20] == 0xee, "cut");
	start(0);
	for (unsigned i = 0; i < 256; i++)
		post(1);
	check(state() == OPERATIONAL, "as many may wait");
	post(1);
	check(state() == FAULT && (get(DOORBELL) & 0xffff) == 0x8114, "one too many");
	start(512);
	check(state() == OPERATIONAL, "512 frames");
	set(REPLIES, REPLY);
	check(state() == FAULT, "513");
	start(4);
	set(REQUEST, BAR);
	check(state() == FAULT && (get(DOORBELL) & 0xffff) == 0x8112, "a frame in its registers");
	post(1);
	check(!(get(STATUS) & 8), "then nothing is done");
	start(4);
	io(1, 3, "\0\0\0\0\0", 6, 0, 0);
	check(fails(1, rp) == 0x43, "until it was reset");
}

/* --- task management --------------------------------------------------------------------------------- */

static unsigned task(unsigned n, uint8_t target, uint8_t type, uint32_t context, uint8_t *rp)
{
	uint8_t *rq = mem(FRAME + 128 * n);
	uint32_t r;

	memset(rq, 0, 128);
	rq[0] = target;
	rq[3] = 1;
	rq[5] = type;
	le32_put(rq + 8, n);
	le32_put(rq + 48, context);
	post(n);
	do
		r = answer(rp);
	while (r != NONE && (!(r >> 31) || rp[3] != 1));
	check(r != NONE && rp[5] == type, "type");
	return le16_get(rp + 14);
}

static void test_tasks(void)
{
	uint8_t rp[80];
	uint32_t r;

	start(8);
	disk.slow = true;
	io(1, 0, READ10(0, 1), 512, 2);
	io(2, 0, READ10(1, 1), 512, 2);
	le32_put(mem(FRAME + 256 + 20), 2u << 24 | 2 << 8);	/* ordered: waits for the first */
	post(1);
	post(2);
	memset(mem(FRAME + 128 * 3), 0, 128);
	mem(FRAME + 128 * 3)[3] = 1;
	mem(FRAME + 128 * 3)[5] = 1;
	le32_put(mem(FRAME + 128 * 3) + 8, 3);
	le32_put(mem(FRAME + 128 * 3) + 48, 2);
	post(3);
	r = answer(rp);
	check(r >> 31 && le32_get(rp + 8) == 2 && le16_get(rp + 14) == 0x48 && rp[13] == 0x0c,
	      "terminated: %x", le16_get(rp + 14));
	r = answer(rp);
	check(r >> 31 && rp[3] == 1 && le32_get(rp + 20) == 1 && rp[4] == 0, "aborted one");
	check(answer(NULL) == 1, "the other is done");
	check(task(3, 0, 1, 77, rp) == 0 && le32_get(rp + 20) == 0, "nothing to abort");
	io(1, 0, READ10(0, 1), 512, 2);
	post(1);
	check(task(3, 0, 3, 0, rp) == 0 && le32_get(rp + 20) == 1, "target reset waits for one");
	disk.slow = false;
	attention(0);
	check(task(3, 0, 4, 0, rp) == 0, "bus reset");
	attention(0);
	check(task(3, 5, 3, 0, rp) == 0x43 && task(3, 5, 1, 0, rp) == 0x43, "no target");
	check(task(3, 0, 99, 0, rp) == 0 && rp[4] == 4, "no such type");
}

/* --- configuration pages -------------------------------------------------------------------------------- */

static void test_pages(bool sas)
{
	uint8_t rp[80];

	start(4);
	memset(mem(DATA), 0xee, 600);
	check(page(0, 9, 0, 0, 0, 0, rp) == 0 && rp[21] == 19 && rp[22] == 0 && rp[23] == 9 &&
	      mem(DATA)[0] == 0xee, "a header");
	check(page(1, 9, 0, 0, 0, 76, rp) == 0 && !memcmp(mem(DATA) + 4, "LSI", 3) &&
	      mem(DATA)[76] == 0xee, "a page");
	memset(mem(DATA), 0xee, 600);
	check(page(1, 9, 0, 0, 0, 10, rp) == 0 && mem(DATA)[9] != 0xee && mem(DATA)[10] == 0xee, "its beginning");
	check(page(1, 9, 0, 0, 0, 0xffffff, rp) == 0 && mem(DATA)[76] == 0xee, "no more than it has");
	check(page(1, 9, 0, 200, 0, 76, rp) == 0x22 && page(1, 14, 0, 0, 0, 76, rp) == 0x22, "none such");
	check(page(9, 9, 0, 0, 0, 76, rp) == 0x20, "no such action");
	check(page(2, 9, 0, 0, 0, 76, rp) == 0x20, "not to be written");
	for (unsigned type = 0; type < 16; type++)
		for (unsigned number = 0; number < 8; number++)
			page(1, (uint8_t)type, (uint8_t)(0x10 + number), (uint8_t)number, 0, 600, rp);
	if (!sas) {
		check(page(1, 4, 0, 0, 0, 12, rp) == 0 && le32_get(mem(DATA) + 4) == 0, "nothing negotiated");
		check(page(1, 4, 0, 1, 0, 16, rp) == 0, "to be");
		le32_put(mem(DATA) + 4, 0xffffffff);
		check(page(2, 4, 0, 1, 0, 16, rp) == 0 && page(1, 4, 0, 0, 0, 12, rp) == 0, "written");
		check(le32_get(mem(DATA) + 4) == 0x207f0807, "the best there is: %08x", le32_get(mem(DATA) + 4));
		check(page(1, 4, 0, 0, 16, 12, rp) == 0x22 && page(2, 4, 0, 1, 0xff, 16, rp) == 0x22, "no such target");
		return;
	}
	check(page(0, 15, 0x10, 0, 0, 0, rp) == 0 && le16_get(rp + 4) * 4 == 16 + 16 * 16 && rp[6] == 0x10 &&
	      rp[23] == 15, "an extended header");
	check(page(1, 15, 0x10, 0, 0, 272, rp) == 0 && mem(DATA)[12] == 16 && mem(DATA)[16 + 3] == 9 &&
	      mem(DATA)[32 + 3] == 0, "phys");
	/* All devices, one after the other: 16 of the adapter's own and a target. */
	unsigned n = 0;

	for (uint32_t h = 0xffff; n < 40 && page(1, 15, 0x12, 0, h, 36, rp) == 0; n++)
		h = le16_get(mem(DATA) + 24);
	check(n == 17, "%u devices", n);
	check(page(1, 15, 0x12, 0, 1u << 28 | 0, 36, rp) == 0 && mem(DATA)[26] == 0, "by target");
	check(page(1, 15, 0x12, 0, 1u << 28 | 3, 36, rp) == 0x22 &&
	      page(1, 15, 0x12, 0, 2u << 28 | 20, 36, rp) == 0x22 &&
	      page(1, 15, 0x12, 0, 2u << 28 | 0xffff, 36, rp) == 0x22 &&
	      page(1, 15, 0x13, 0, 16, 36, rp) == 0x22, "not there");
}

/* --- interrupts --------------------------------------------------------------------------------------------- */

static unsigned msi_cap(void)
{
	unsigned at;

	bus_pio_write(&test_vm.bus, 0xcf8, 1u << 31 | DEVFN << 8 | 0x34, 4);
	at = (unsigned)bus_pio_read(&test_vm.bus, 0xcfc, 1);
	while (at) {
		uint32_t v;

		bus_pio_write(&test_vm.bus, 0xcf8, 1u << 31 | DEVFN << 8 | at, 4);
		v = (uint32_t)bus_pio_read(&test_vm.bus, 0xcfc, 4);
		if ((v & 0xff) == 5)
			return at;
		at = v >> 8 & 0xfc;
	}
	return 0;
}

static void test_interrupts(void)
{
	unsigned cap = msi_cap();
	uint8_t rp[80];

	start(4);
	set(MASK, 9);
	io(1, 0, "\x12\0\0\0\x24", 6, 36, 2);
	post(1);
	check(!pin && get(STATUS) == 8, "masked");
	set(MASK, 1);
	check(pin, "unmasked");
	post(1);
	check(answer(NULL) == 1 && pin, "one more waits");
	check(answer(NULL) == 1 && !pin, "none");
	config(PCI_COMMAND, 0x406, 2);
	post(1);
	check(!pin, "INTx is off");
	config(PCI_COMMAND, 6, 2);
	check(pin && answer(NULL) == 1 && !pin, "and on");
	check(cap, "MSI");
	config(cap + 4, 0xfee00000, 4);
	config(cap + 12, 0x41, 2);
	messages = 0;
	config(cap + 2, 1, 2);
	post(1);
	check(messages == 1 && !pin, "%u messages", messages);
	post(1);
	check(messages == 2, "one for each");
	check(answer(NULL) == 1 && answer(NULL) == 1 && messages == 2, "fetching sends none");
	set(MASK, 9);
	post(1);
	check(messages == 2, "masked");
	set(MASK, 1);
	check(messages == 3, "told when it is unmasked");
	config(cap + 2, 0, 2);
	check(pin && answer(NULL) == 1 && !pin, "back to the pin");
	/* The doorbell's own. */
	set(MASK, 8);
	set(DOORBELL, 0x42030000);
	check(pin && get(STATUS) == 1, "a doorbell");
	set(STATUS, 0);
	check(!pin, "seen");
	set(DOORBELL, 3u << 24);
	set(DOORBELL, 0);
	set(DOORBELL, 0);
	check(pin, "a reply");
	/* Not a master: no frame is read. */
	start(4);
	config(PCI_COMMAND, 2, 2);
	post(1);
	check(!(get(STATUS) & 8), "no master");
	config(PCI_COMMAND, 6, 2);
	check(task(3, 0, 3, 0, rp) == 0, "goes on");
}

/* --- resets -------------------------------------------------------------------------------------------------- */

static void test_reset(void)
{
	start(4);
	attention(0);		/* of the last test's reset: this one told nobody */
	disk.slow = true;
	memset(mem(DATA), 0, 512);
	io(1, 0, READ10(50, 1), 512, 2);
	post(1);
	set(DOORBELL, 0x40000000);
	check(!memcmp(mem(DATA), disk.bytes + 50 * 512, 512), "what was under way has ended");
	check(state() == READY && get(STATUS) == 0 && get(REPLIES) == NONE, "and is forgotten");
	memset(mem(DATA), 0x11, 512);
	vm_run_work(&test_vm);
	check(mem(DATA)[0] == 0x11, "nothing comes later");
	start(4);
	io(1, 0, READ10(50, 1), 512, 2);
	post(1);
	set(DOORBELL, 0x41000000);
	check(state() == READY, "an I/O unit reset");
	start(4);
	attention(0);
	io(1, 0, READ10(50, 1), 512, 2);
	post(1);
	mpt_reset(m);
	check(state() == READY && get(MASK) == 9, "power on");
	disk.slow = false;
}

static void test_kind(bool sas)
{
	make(sas);
	test_doorbell();
	test_diag();
	test_io();
	test_lists();
	test_full();
	test_replies();
	test_tasks();
	test_pages(sas);
	test_interrupts();
	test_reset();
	unmake();
}

int main(void)
{
	test_kind(false);
	test_kind(true);
	return check_done();
}
