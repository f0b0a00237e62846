/* pvscsi: commands, rings and their limits, messages of targets that come and go. */
#include "dev/pvscsi.h"
#include "scsi_rig.h"

#include "base/le.h"

#define BAR	0xe0000000u
#define STATE	0x100000ull	/* the rings' state, then a page of requests, one of completions */
#define REQ	0x101000ull
#define CMP	0x102000ull
#define MSG	0x103000ull
#define DATA	0x110000ull
#define SENSE	0x120000ull

static struct rig_disk disk;
static struct pvscsi *pv;
static uint32_t prod;

static uint32_t get(uint64_t gpa)
{
	uint8_t b[4];

	mem_read(test_vm.mem, gpa, b, 4);
	return le32_get(b);
}

static void put(uint64_t gpa, uint32_t val)
{
	uint8_t b[4];

	le32_put(b, val);
	mem_write(test_vm.mem, gpa, b, 4);
}

static uint32_t command(uint32_t cmd, const uint32_t *d, unsigned n)
{
	writel(BAR, cmd);
	for (unsigned i = 0; i < n; i++)
		writel(BAR + 4, d[i]);
	return readl(BAR + 8);
}

static void setup(void)
{
	uint32_t d[132] = { 1, 1, STATE >> 12, 0 };
	uint32_t m[34] = { 1, 0, MSG >> 12 };

	d[4] = REQ >> 12;
	d[4 + 64] = CMP >> 12;
	check(command(3, d, 132) == 0, "rings");
	check(get(STATE + 8) == 5 && get(STATE + 20) == 7, "32 requests, 128 completions");
	check(command(8, m, 0) == 34, "the driver asks whether messages are known");
	check(command(8, m, 34) == 0 && get(STATE + 136) == 5, "messages");
	writel(BAR + 0x2010, 15);
	prod = 0;
}

/* A request of 6 bytes for a target; data of len bytes go to DATA. */
static void request(uint64_t context, uint8_t target, const char *cdb, uint32_t len)
{
	uint8_t d[128] = { 0 };

	le64_put(d, context);
	le64_put(d + 8, DATA);
	le64_put(d + 16, len);
	le64_put(d + 24, SENSE);
	le32_put(d + 32, 96);
	le32_put(d + 36, 8);
	memcpy(d + 40, cdb, 6);
	d[56] = 6;
	d[67] = target;
	mem_write(test_vm.mem, REQ + prod++ % 32 * 128, d, sizeof(d));
	put(STATE, prod);
}

static void kick(void)
{
	writel(BAR + 0x4018, 0);
}

/* The completion number n: its context; its host and target status. */
static uint64_t completion(uint32_t n, uint32_t *status)
{
	uint64_t at = CMP + n % 128 * 32;

	*status = get(at + 20);
	return get(at) | (uint64_t)get(at + 4) << 32;
}

static void test_requests(void)
{
	uint32_t st;

	request(0x1122334455667788, 0, "\x12\0\0\0\x24", 36);
	kick();
	check(get(STATE + 4) == 1 && get(STATE + 12) == 1, "taken and completed");
	check(completion(0, &st) == 0x1122334455667788 && st == 0, "status %08x", st);
	check(get(CMP + 8) == 36 && get(DATA + 8) == 0x61774d56, "data");
	check(readl(BAR + 0x100c) == 1, "interrupt");
	writel(BAR + 0x100c, 1);
	check(readl(BAR + 0x100c) == 0, "seen");
	request(2, 0, "\0\0\0\0\0", 0);		/* power on */
	request(3, 5, "\0\0\0\0\0", 0);		/* no such target */
	kick();
	check(completion(1, &st) == 2 && st == 0x20000 && get(CMP + 32 + 16) == 18, "sense");
	check((get(SENSE + 12) & 0xffff) == 0x29, "power on");
	check(completion(2, &st) == 3 && st == 0x11, "no target");
	put(STATE + 16, 3);
}

static void test_limits(void)
{
	uint32_t st, before = get(STATE + 12), d[132] = { 3, 1, STATE >> 12 };

	put(STATE, get(STATE + 4) + 33);	/* more than the ring holds */
	kick();
	check(get(STATE + 12) == before, "not followed");
	put(STATE, prod);
	/* Completions that the driver does not fetch stop the ring when there are 128. */
	for (unsigned i = 0; i < 140; i++) {
		request(100 + i, 0, "\0\0\0\0\0", 0);
		kick();
	}
	check(get(STATE + 12) - before == 128, "%u", get(STATE + 12) - before);
	put(STATE + 16, get(STATE + 12));
	kick();
	check(get(STATE + 4) == prod && completion(prod - 1, &st) == 239, "it goes on");
	put(STATE + 16, get(STATE + 12));
	check(command(3, d, 132) == UINT32_MAX, "3 pages are no ring");
	check(command(9, NULL, 0) == UINT32_MAX, "an unknown command");
	kick();
	check(command(1, NULL, 0) == 0, "reset");
}

static void test_list(void)
{
	uint8_t e[32] = { 0 }, d[128];
	uint32_t st;

	setup();
	request(7, 0, "\x12\0\0\0\x24", 36);
	kick();
	request(8, 0, "\0\0\0\0\0", 0);
	kick();
	request(9, 0, "\x12\0\0\0\x24", 36);
	mem_read(test_vm.mem, REQ + 2 * 128, d, sizeof(d));
	le32_put(d + 36, 9);			/* a list, */
	le64_put(d + 8, DATA + 0x1000);		/* which leads to itself */
	mem_write(test_vm.mem, REQ + 2 * 128, d, sizeof(d));
	le64_put(e, DATA + 0x1000);
	le32_put(e + 12, 1);
	mem_write(test_vm.mem, DATA + 0x1000, e, 16);
	kick();
	check(completion(2, &st) == 9 && st == 0x1a, "a loop: %08x", st);
	request(10, 0, "\x12\0\0\0\x24", 36);
	mem_read(test_vm.mem, REQ + 3 * 128, d, sizeof(d));
	le64_put(d + 8, BAR);			/* into its own registers */
	mem_write(test_vm.mem, REQ + 3 * 128, d, sizeof(d));
	kick();
	check(completion(3, &st) == 10 && st == 0x1a, "no memory: %08x", st);
}

static void gone(void *ptr)
{
	*(unsigned *)ptr += 1;
}

static void test_plug(void)
{
	struct scsi_dev *t = scsi_disk_new(&test_vm, rig_blk(&disk, false), NULL, NULL), *was;
	struct scsi_bus *bus = pvscsi_bus(pv);
	unsigned ngone = 0;
	uint32_t st;

	check(scsi_bus_attach(bus, 7, t, NULL) == -EINVAL && scsi_bus_attach(bus, 0, t, NULL) == -EBUSY,
	      "no place");
	check(scsi_bus_attach(bus, 4, t, NULL) == 0, "attached");
	pvscsi_changed(pv, 4, true);
	check(get(STATE + 128) == 1, "told");
	check(get(MSG) == 0 && get(MSG + 8) == 4 && readl(BAR + 0x100c) & 4, "added");
	request(20, 4, "\x12\0\0\0\x24", 36);
	kick();
	check(completion(get(STATE + 12) - 1, &st) == 20 && st == 0, "there");
	check(scsi_bus_detach(bus, 5, gone, &ngone, &was, NULL) == -ENODEV, "no target");
	check(scsi_bus_detach(bus, 4, gone, &ngone, &was, NULL) == 0 && was == t && ngone == 1, "gone");
	check(!blk_close(scsi_bus_forget(bus, was), NULL), "closed");
	pvscsi_changed(pv, 4, false);
	check(get(MSG + 128) == 1 && get(MSG + 128 + 8) == 4, "removed");
	request(21, 4, "\x12\0\0\0\x24", 36);
	kick();
	check(completion(get(STATE + 12) - 1, &st) == 21 && st == 0x11, "not there");
	for (unsigned i = 0; i < 40; i++)	/* a ring that nobody reads */
		pvscsi_changed(pv, i % 7, i % 2);
	check(get(STATE + 128) == 32, "no more than there is room for: %u", get(STATE + 128));
}

int main(void)
{
	struct pci *pci;

	test_vm_init(1);
	test_vm.mem = mem_new(4 << 20, 0, NULL);
	rig_disk_init(&disk, 1 << 20);
	pci = pci_new(&test_vm, NULL);
	pv = pvscsi_new(&test_vm, pci, PCI_DEVFN(16, 0), NULL);
	check(pv && !scsi_bus_attach(pvscsi_bus(pv), 0, scsi_disk_new(&test_vm,
	      rig_blk(&disk, false), NULL, NULL), NULL), "made");
	bus_pio_write(&test_vm.bus, 0xcf8, 0x80008010, 4);
	bus_pio_write(&test_vm.bus, 0xcfc, BAR, 4);
	bus_pio_write(&test_vm.bus, 0xcf8, 0x80008004, 4);
	bus_pio_write(&test_vm.bus, 0xcfc, 6, 4);
	setup();
	test_requests();
	test_limits();
	test_list();
	test_plug();
	pvscsi_free(pv);
	pci_free(pci);
	mem_free(test_vm.mem);
	free(disk.bytes);
	test_vm_done();
	return check_done();
}
