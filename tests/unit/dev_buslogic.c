/* The BT-958: its port's commands, mailboxes and CCBs, aborts, resets, interrupts; what
 * cannot be right. */
#include "dev/buslogic.h"
#include "scsi_rig.h"

#include "base/le.h"

#define DEVFN	PCI_DEVFN(16, 0)
#define PORT	0xc000u
#define BAR	0xe0000000u
#define BOXES	0x10000u	/* 4 outgoing, 4 incoming */
#define CCB	0x11000u	/* 64 bytes each */
#define SENSE	0x20000u
#define LIST	0x30000u
#define DATA	0x40000u

enum { N = 4 };
enum { INVALID = 1, REPLY = 4, READY = 0x10, INIT = 0x20, DIAG = 0x80 };	/* status */
enum { IN = 0x81, OUT = 0x82, DONE = 0x84 };				/* interrupts */
enum { GOOD_CODE = 1, ABORTED = 2, NOT_FOUND = 3, ERROR_CODE = 4, BAD_CCB = 5 };

static struct rig_disk disk;
static struct pci *pci;
static struct buslogic *b;
static bool pin;
static unsigned out_at, in_at;

static uint8_t *mem(uint32_t gpa) { return test_vm.mem->hva + gpa; }
static void take_pin(void *ptr, unsigned pirq, bool level) { pin = level; }

static void config(unsigned reg, uint32_t val, unsigned size)
{
	bus_pio_write(&test_vm.bus, 0xcf8, 1u << 31 | DEVFN << 8 | (reg & 0xfc), 4);
	bus_pio_write(&test_vm.bus, (uint16_t)(0xcfc + (reg & 3)), val, size);
}

/* --- the port ---------------------------------------------------------------------------- */

static uint8_t status(void) { return inb(PORT); }

/* The interrupt that there is is seen. */
static uint8_t seen(void)
{
	uint8_t v = inb(PORT + 2);

	outb(PORT, 0x20);
	return v;
}

/* A command with n parameters; its reply, all of it.  Returns the reply's length. */
static unsigned command(uint8_t cmd, const void *param, unsigned n, uint8_t *reply)
{
	unsigned len = 0;
	uint8_t v;

	outb(PORT + 1, cmd);
	for (unsigned i = 0; i < n; i++)
		outb(PORT + 1, ((const uint8_t *)param)[i]);
	while (status() & REPLY && len < 300) {
		check(!(status() & READY), "ready too early");
		v = inb(PORT + 1);
		if (reply)
			reply[len] = v;
		len++;
	}
	check(status() & READY, "ready");
	return len;
}

static void test_port(void)
{
	uint8_t r[300], two[2] = { 64, 3 }, all[2] = { 200, 255 }, len;

	outb(PORT, 0x40);
	check(status() == (DIAG | INIT) && status() == (READY | INIT), "soft reset");
	check(inb(PORT + 2) == 0 && inb(PORT + 3) & 0x80 && inb(PORT + 4) == 0xff, "registers");
	check(command(0x04, NULL, 0, r) == 4 && !memcmp(r, "AA50", 4), "what board?");
	check(pin && seen() == DONE && inb(PORT + 2) == 0 && !pin, "command complete");
	check(command(0x77, NULL, 0, r) == 0 && status() & INVALID, "no such command");
	check(seen() == DONE && !(status() & INVALID), "said once");
	check(inb(PORT + 1) == 0, "no reply");
	check(command(0x0b, NULL, 0, r) == 3 && r[0] == 0 && r[1] == 1 << 2 && r[2] == 7, "IRQ 11: %02x", r[1]);
	config(PCI_IRQ_LINE, 0, 1);
	check(command(0x0b, NULL, 0, r) == 3 && r[1] == 0, "no IRQ");
	config(PCI_IRQ_LINE, 11, 1);
	len = 4;
	check(command(0x8b, &len, 1, r) == 4 && !memcmp(r, "958 ", 4), "model");
	len = 0;
	check(command(0x8b, &len, 1, r) == 0 && command(0x0d, &len, 1, r) == 0, "nothing asked for");
	len = 255;
	check(command(0x8d, &len, 1, r) == 255 && r[0] == 'E' && le16_get(r + 2) == 8192 && r[14] == 0 &&
	      r[254] == 0, "setup, more than there is");
	check(command(0x91, two, 2, r) == 3 && !memcmp(r, "FA\x40", 3), "local RAM");
	check(command(0x91, all, 2, r) == 255 && r[56 + 64] == 'F', "which goes around");
	check(command(0x1f, "\x5a", 1, r) == 1 && r[0] == 0x5a, "echo");
	check(command(0x0a, NULL, 0, r) == 8 && r[0] == 1 && r[1] == 0, "devices 0 to 7");
	check(command(0x23, NULL, 0, r) == 8 && r[0] == 0, "8 to 15");
	check(command(0x24, NULL, 0, r) == 2 && r[0] == 1, "targets");
	check(command(0x86, NULL, 0, r) == 4 && r[1] == 11, "PCI");
	check(status() & INIT, "no mailboxes");
	check(command(0x81, "\0\0\0\1\0", 5, r) == 0 && status() & INVALID, "none asked for");
	/* A hard reset in the middle of parameters, and of a reply. */
	outb(PORT + 1, 0x81);
	outb(PORT + 1, 4);
	outb(PORT, 0x80);
	status();
	check(status() == (READY | INIT), "reset");
	outb(PORT + 1, 0x04);
	check(inb(PORT + 1) == 'A', "half a reply");
	outb(PORT + 1, 0x00);	/* is lost */
	outb(PORT, 0x80);
	status();
	check(status() == (READY | INIT) && inb(PORT + 1) == 0 && inb(PORT + 2) == 0, "reset");
	check(bus_pio_read(&test_vm.bus, PORT, 2) != 0 && bus_mmio_read(&test_vm.bus, BAR, 1) == (READY | INIT),
	      "in memory, too");
}

/* --- mailboxes ----------------------------------------------------------------------------- */

static void setup(void)
{
	uint8_t p[5] = { N };

	outb(PORT, 0x80);
	status();
	le32_put(p + 1, BOXES);
	memset(mem(BOXES), 0, 2 * N * 8);
	command(0x81, p, 5, NULL);
	check(!(status() & INIT) && seen() == DONE, "mailboxes");
	out_at = in_at = 0;
}

static uint8_t *ccb(unsigned n, uint8_t op, uint8_t dir, uint32_t len, const char *cdb, unsigned cdb_len)
{
	uint8_t *c = mem(CCB + 64 * n);

	memset(c, 0, 64);
	c[0] = op;
	c[1] = (uint8_t)(dir << 3);
	c[2] = (uint8_t)cdb_len;
	le32_put(c + 4, len);
	le32_put(c + 8, op == 2 || op == 4 ? LIST : DATA);
	memcpy(c + 18, cdb, cdb_len);
	le32_put(c + 36, SENSE);
	return c;
}

static void fill_box(uint32_t at, uint8_t action)
{
	uint8_t *box = mem(BOXES + out_at * 8);

	le32_put(box, at);
	box[7] = action;
	out_at = (out_at + 1) % N;
}

static void post(unsigned n)
{
	fill_box(CCB + 64 * n, 1);
	outb(PORT + 1, 2);
}

/* The next incoming mailbox: its code (0: none comes); host and target status; emptied. */
static uint8_t next(uint32_t *at, uint8_t *host, uint8_t *target)
{
	uint8_t *box = mem(BOXES + (N + in_at) * 8), code;

	for (unsigned i = 0; i < 1000000 && !box[7]; i++) {
		sched_yield();
		vm_run_work(&test_vm);
	}
	code = box[7];
	*at = le32_get(box);
	*host = box[4];
	*target = box[5];
	if (!code)
		return 0;
	box[7] = 0;
	in_at = (in_at + 1) % N;
	return code;
}

/* CCB n ends so. */
static void ends(unsigned n, uint8_t code, uint8_t host, uint8_t target, const char *what)
{
	uint8_t h = 0, t = 0, c;
	uint32_t at = 0;

	c = next(&at, &h, &t);
	check(c == code && at == CCB + 64 * n && h == host && t == target, "%s: code %u at %x, host %02x target %02x",
	      what, c, at, h, t);
	check(code == BAD_CCB || (mem(CCB + 64 * n)[14] == h && mem(CCB + 64 * n)[15] == t), "%s: in the CCB", what);
}

static void attention(void)
{
	memset(mem(SENSE), 0xee, 20);
	ccb(9, 3, 3, 0, "\0\0\0\0\0", 6);
	post(9);
	ends(9, ERROR_CODE, 0, 2, "unit attention");
	check(mem(SENSE)[2] == 6 && mem(SENSE)[13] != 0xee && mem(SENSE)[14] == 0xee, "14 bytes of sense");
	seen();
}

#define READ10(lba, n) (const char[]){ 0x28, 0, 0, 0, 0, lba, 0, 0, n, 0 }, 10

static void test_ccbs(void)
{
	uint8_t *c;

	setup();
	attention();
	ccb(0, 0, 0, 36, "\x12\0\0\0\x24", 6);
	post(0);
	check(inb(PORT + 2) == IN && pin, "interrupt");
	ends(0, GOOD_CODE, 0, 0, "INQUIRY");
	check(seen() == IN && !memcmp(mem(DATA) + 8, "VMware", 6), "its data");
	c = ccb(1, 3, 1, 200, "\x12\0\0\0\xff", 6);
	post(1);
	ends(1, GOOD_CODE, 0, 0, "residual");
	check(le32_get(c + 4) == 200 - 96, "%u are left", le32_get(c + 4));
	c = ccb(1, 0, 1, 200, "\x12\0\0\0\xff", 6);
	post(1);
	ends(1, GOOD_CODE, 0, 0, "no residual");
	check(le32_get(c + 4) == 200, "is not told");
	ccb(2, 0, 1, 512, READ10(0, 2));
	post(2);
	ends(2, ERROR_CODE, 0x12, 0, "overrun");
	ccb(2, 0, 2, 1024, "\x2a\0\0\0\0\x64\0\0\2\0", 10);
	memset(mem(DATA), 0x3c, 1024);
	post(2);
	ends(2, GOOD_CODE, 0, 0, "WRITE(10)");
	check(!memcmp(mem(DATA), disk.bytes + 100 * 512, 1024), "is written");
	c = ccb(3, 3, 1, 512, READ10(0, 1));
	c[16] = 5;
	post(3);
	ends(3, ERROR_CODE, 0x11, 0, "no target");
	c[16] = 200;
	post(3);
	ends(3, ERROR_CODE, 0x11, 0, "target 200");
	/* One that went: not to what looks for it. */
	buslogic_changed(b, 5, false);
	c[16] = 5;
	post(3);
	ends(3, ERROR_CODE, 0x13, 0, "no target any more");
	c[16] = 6;
	post(3);
	ends(3, ERROR_CODE, 0x11, 0, "another");
	for (unsigned op = 0; op <= 0x12; op += 0x12) {
		c = ccb(3, 3, 1, 0, (const char[]){ (char)op, 0, 0, 0, 0, 0 }, 6);
		c[16] = 5;
		post(3);
		ends(3, ERROR_CODE, 0x11, 0, "looked for");
	}
	buslogic_changed(b, 5, true);
	c = ccb(3, 3, 1, 512, READ10(0, 1));
	c[16] = 5;
	post(3);
	ends(3, ERROR_CODE, 0x11, 0, "it came again, and the rig has none");
	c = ccb(3, 3, 1, 512, READ10(0, 1));
	c[17] = 3;
	post(3);
	ends(3, ERROR_CODE, 0, 2, "no unit");
	c = ccb(3, 3, 1, 512, "\x08\xff\xff\xff\x01", 6);
	c[3] = 1;
	memset(mem(SENSE), 0xee, 4);
	post(3);
	ends(3, ERROR_CODE, 0, 2, "beyond the end");
	check(mem(SENSE)[0] == 0xee, "no sense wanted");
	c = ccb(3, 3, 1, 512, READ10(0, 1));
	c[2] = 255;
	post(3);
	ends(3, GOOD_CODE, 0, 0, "a CDB of 255 bytes");
	ccb(3, 0x55, 1, 512, READ10(0, 1));
	post(3);
	ends(3, BAD_CCB, 0x16, 0, "no such operation");
	ccb(3, 0x81, 0, 0, "", 0);
	post(3);
	ends(3, GOOD_CODE, 0, 0, "device reset");
	attention();
	fill_box(BAR, 1);
	outb(PORT + 1, 2);
	check(mem(BOXES + (N + in_at) * 8)[7] == BAD_CCB && le32_get(mem(BOXES + (N + in_at) * 8)) == BAR,
	      "a CCB in its registers");
	mem(BOXES + (N + in_at) * 8)[7] = 0;
	in_at = (in_at + 1) % N;
	fill_box(CCB, 7);
	outb(PORT + 1, 2);
	check(!mem(BOXES + (N + in_at) * 8)[7] && !mem(BOXES)[7], "no such action");
	disk.fail = -EIO;
	ccb(3, 3, 1, 512, READ10(7, 1));
	post(3);
	ends(3, ERROR_CODE, 0, 2, "a read error");
	check(mem(SENSE)[12] == 0x11, "is told");
}

static void element(unsigned n, uint32_t len, uint32_t addr)
{
	le32_put(mem(LIST + 8 * n), len);
	le32_put(mem(LIST + 8 * n + 4), addr);
}

static void test_lists(void)
{
	uint8_t *c;

	setup();
	attention();
	memset(mem(DATA), 0, 0x3000);
	element(0, 1000, DATA);
	element(1, 0, 0xffffffff);
	element(2, 24, DATA + 0x1000);
	element(3, 1024, DATA + 0x2000);
	c = ccb(0, 4, 1, 32, READ10(5, 4));
	post(0);
	ends(0, GOOD_CODE, 0, 0, "a list");
	check(!memcmp(mem(DATA), disk.bytes + 2560, 1000) && !memcmp(mem(DATA + 0x1000), disk.bytes + 3560, 24) &&
	      !memcmp(mem(DATA + 0x2000), disk.bytes + 3584, 1024) && le32_get(c + 4) == 0, "its pieces");
	element(3, 2048, DATA + 0x2000);
	c = ccb(0, 4, 1, 39, READ10(5, 4));
	post(0);
	ends(0, GOOD_CODE, 0, 0, "half an element does not count");
	check(le32_get(c + 4) == 1024, "%u are left", le32_get(c + 4));
	ccb(0, 2, 1, 0, READ10(5, 4));
	post(0);
	ends(0, ERROR_CODE, 0x12, 0, "an empty list");
	ccb(0, 2, 1, 0xffffffff, READ10(5, 4));
	post(0);
	ends(0, ERROR_CODE, 0x1a, 0, "a list without an end");
	element(3, 512, BAR);
	ccb(0, 2, 1, 32, READ10(5, 4));
	post(0);
	ends(0, ERROR_CODE, 0x1a, 0, "its registers");
	element(3, 512, 0xffffff00);
	post(0);
	ends(0, ERROR_CODE, 0x1a, 0, "the end of the address space");
	c = ccb(0, 2, 1, 32, READ10(5, 4));
	le32_put(c + 8, (4u << 20) - 12);
	memset(mem((4u << 20) - 12), 0, 12);
	post(0);
	ends(0, ERROR_CODE, 0x1a, 0, "a list that runs out of memory");
	c = ccb(0, 3, 1, 512, READ10(5, 1));
	le32_put(c + 8, (4u << 20) - 100);
	post(0);
	ends(0, ERROR_CODE, 0x1a, 0, "beyond memory");
	check(le32_get(c + 4) == 512, "all of it is left: %u", le32_get(c + 4));
	ccb(0, 0, 3, 512, READ10(5, 1));
	post(0);
	ends(0, ERROR_CODE, 0x12, 0, "a direction that is none");
}

static void test_boxes(void)
{
	uint8_t h, t, r[8];
	uint32_t at, got = 0;

	setup();
	/* Incoming boxes that nobody empties: the rest comes when there is room. */
	for (unsigned i = 0; i < N + 3; i++) {
		ccb(i, 0, 3, 0, "\x12\0\0\0\0", 6);
		post(i);
	}
	for (unsigned i = 0; i < N; i++)
		check(mem(BOXES + (N + i) * 8)[7] == GOOD_CODE, "box %u", i);
	for (unsigned i = 0; i < N + 3; i++) {
		check(next(&at, &h, &t) == GOOD_CODE, "%u of all", i);
		got |= 1u << (at - CCB) / 64;
		seen();
	}
	check(got == (1u << (N + 3)) - 1, "each once: %x", got);
	check(!mem(BOXES + (N + in_at) * 8)[7], "no more");
	/* Several at once; of those in the way nothing is skipped in strict order. */
	setup();
	command(0x8f, "\1", 1, NULL);
	seen();
	out_at = 1;
	ccb(0, 0, 3, 0, "\x12\0\0\0\0", 6);
	post(0);
	check(mem(BOXES + N * 8)[7] == 0, "box 0 comes first");
	out_at = 0;
	post(0);
	ends(0, GOOD_CODE, 0, 0, "box 0");
	ends(0, GOOD_CODE, 0, 0, "box 1");
	setup();
	out_at = 3;
	post(0);
	ends(0, GOOD_CODE, 0, 0, "any box, else");
	/* Boxes in its registers, and beyond memory. */
	setup();
	le32_put(r + 1, BAR);
	r[0] = 255;
	command(0x81, r, 5, NULL);
	outb(PORT + 1, 2);
	le32_put(r + 1, 0xfffffffc);
	command(0x81, r, 5, NULL);
	outb(PORT + 1, 2);
	check(status() & READY, "nothing happens");
	/* Not a master: nothing is looked at. */
	setup();
	config(PCI_COMMAND, 3, 2);
	post(0);
	check(mem(BOXES)[7] == 1, "no master");
	config(PCI_COMMAND, 7, 2);
	outb(PORT + 1, 2);
	ends(0, GOOD_CODE, 0, 0, "goes on");
}

/* --- aborting --------------------------------------------------------------------------------- */

static void test_aborts(void)
{
	uint8_t h, t, *c;
	uint32_t at;

	setup();
	attention();
	fill_box(CCB + 64, 2);
	outb(PORT + 1, 2);
	check(next(&at, &h, &t) == NOT_FOUND && at == CCB + 64, "nothing to abort");
	disk.slow = true;
	ccb(0, 0, 1, 512, READ10(0, 1));
	c = ccb(1, 0, 1, 512, READ10(0, 1));
	c[17] = 0x20 | 2 << 6;	/* ordered: waits for the first */
	post(0);
	post(1);
	fill_box(CCB + 64, 2);
	outb(PORT + 1, 2);
	ends(1, ABORTED, 0, 0, "aborted");
	ends(0, GOOD_CODE, 0, 0, "the first");
	/* Under way: it ends as it would. */
	post(0);
	fill_box(CCB, 2);
	outb(PORT + 1, 2);
	ends(0, GOOD_CODE, 0, 0, "too late");
	/* Resets wait, and nothing comes behind them. */
	memset(mem(DATA), 0, 512);
	post(0);
	outb(PORT, 0x80);
	check(!memcmp(mem(DATA), disk.bytes, 512), "ended");
	memset(mem(BOXES), 0, 64);
	vm_run_work(&test_vm);
	for (unsigned i = 0; i < 64; i++)
		check(!mem(BOXES)[i], "written behind a reset");
	setup();
	attention();
	post(0);
	outb(PORT, 0x10);
	ends(0, GOOD_CODE, 0, 0, "a bus reset waits, too");
	attention();
	disk.slow = false;
}

/* --- interrupts --------------------------------------------------------------------------------- */

static void test_interrupts(void)
{
	setup();
	ccb(0, 0, 3, 0, "\x12\0\0\0\0", 6);
	post(0);
	command(0x1f, "x", 1, NULL);
	check(inb(PORT + 2) == IN, "one at a time");
	ends(0, GOOD_CODE, 0, 0, "mailbox");
	seen();
	check(inb(PORT + 2) == DONE && pin, "then the other");
	seen();
	check(inb(PORT + 2) == 0 && !pin, "and no more");
	command(0x05, "\1", 1, NULL);
	seen();
	post(0);
	check(seen() == IN && seen() == OUT, "an outgoing box is free");
	ends(0, GOOD_CODE, 0, 0, "mailbox");
	command(0x05, "\0", 1, NULL);
	seen();
	command(0x25, "\0", 1, NULL);
	post(0);
	check(inb(PORT + 2) && !pin, "disabled");
	command(0x25, "\1", 1, NULL);
	check(pin, "enabled");
	outb(PORT, 0x80);
	status();
	check(!pin && inb(PORT + 2) == 0, "reset");
	buslogic_reset(b);
	check(status() == (READY | INIT), "power on");
}

int main(void)
{
	struct scsi_dev *t;

	test_vm_init(1);
	test_vm.mem = mem_new(4 << 20, 0, NULL);
	rig_disk_init(&disk, 1 << 20);
	pci = pci_new(&test_vm, NULL);
	pci_set_router(pci, take_pin, NULL);
	b = buslogic_new(&test_vm, pci, DEVFN, NULL);
	t = scsi_disk_new(&test_vm, rig_blk(&disk, false), NULL, NULL);
	check(b && !scsi_bus_attach(buslogic_bus(b), 0, t, NULL), "made");
	pci_reset(pci);
	config(PCI_BAR0, PORT | 1, 4);
	config(PCI_BAR0 + 4, BAR, 4);
	config(PCI_COMMAND, 7, 2);
	config(PCI_IRQ_LINE, 11, 1);
	test_port();
	test_ccbs();
	test_lists();
	test_boxes();
	test_aborts();
	test_interrupts();
	buslogic_free(b);
	pci_free(pci);
	mem_free(test_vm.mem);
	free(disk.bytes);
	test_vm_done();
	return check_done();
}
