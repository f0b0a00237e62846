/* The IDE controller: data through its port and by DMA, packets, resets, bad tables. */
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "dev/ide.h"
#include "dev/piix4.h"
#include "scsi_rig.h"

#define BM	0xc000u
#define TABLE	0x1000u
#define BUFFER	0x10000u
#define SIZE	(8u << 20)

enum { ERR = 1, DRQ = 8, DRDY = 0x40, BSY = 0x80 };

static struct rig_disk disk, medium, tiny;
static struct pci *pci;
static struct ide *ide;
static bool irq[IRQ_LINES];

static void take_line(void *ptr, unsigned gsi, bool level)
{
	irq[gsi] = level;
}

static uint8_t in8(uint16_t port) { return (uint8_t)bus_pio_read(&test_vm.bus, port, 1); }
static void out8(uint16_t port, uint8_t v) { bus_pio_write(&test_vm.bus, port, v, 1); }

static void cfg_write(unsigned reg, uint32_t val, unsigned size)
{
	bus_pio_write(&test_vm.bus, 0xcf8, 1u << 31 | PIIX4_SLOT << 11 | 1 << 8 | (reg & 0xfc), 4);
	bus_pio_write(&test_vm.bus, (uint16_t)(0xcfc + (reg & 3)), val, size);
}

/* Wait until the drive at base is not busy; its status. */
static uint8_t ready(uint16_t base)
{
	for (unsigned i = 0; i < 1000000 && in8(base + 0x206) & BSY; i++) {
		sched_yield();
		vm_run_work(&test_vm);
	}
	return in8(base + 0x206);
}

static void command(uint16_t base, uint8_t cmd, uint64_t lba, unsigned count, uint8_t device)
{
	bool ext = cmd == 0x24 || cmd == 0x25 || cmd == 0x34 || cmd == 0x35 || cmd == 0x06 ||
		   cmd == 0x39 || cmd == 0x3d;

	out8(base + 6, (uint8_t)(device | (ext ? 0 : lba >> 24 & 15)));
	if (ext) {
		out8(base + 2, (uint8_t)(count >> 8));
		for (unsigned i = 0; i < 3; i++)
			out8((uint16_t)(base + 3 + i), (uint8_t)(lba >> (24 + 8 * i)));
	}
	out8(base + 2, (uint8_t)count);
	for (unsigned i = 0; i < 3; i++)
		out8((uint16_t)(base + 3 + i), (uint8_t)(lba >> 8 * i));
	out8(base + 7, cmd);
}

static void read_port(uint16_t base, uint8_t *buf, unsigned len)
{
	for (unsigned i = 0; i < len; i += 2)
		le16_put(buf + i, (uint16_t)bus_pio_read(&test_vm.bus, base, 2));
}

static void write_port(uint16_t base, const uint8_t *buf, unsigned len)
{
	for (unsigned i = 0; i < len; i += 4)
		bus_pio_write(&test_vm.bus, base, le32_get(buf + i), 4);
}

/* All DRQ blocks of a command that reads or writes. */
static uint8_t move(uint8_t *buf, unsigned len, unsigned block, bool out)
{
	for (unsigned at = 0; at < len; at += block) {
		uint8_t st = ready(0x1f0);

		check((st & (DRQ | ERR)) == DRQ, "status %02x at %u", st, at);
		if (!out || at)
			check(irq[14], "interrupt at %u", at);
		in8(0x1f7);
		check(!irq[14], "acknowledged");
		if (out)
			write_port(0x1f0, buf + at, block < len - at ? block : len - at);
		else
			read_port(0x1f0, buf + at, block < len - at ? block : len - at);
	}
	return ready(0x1f0);
}

static void test_pio(bool slow)
{
	static uint8_t buf[40 * 512];

	disk.slow = slow;
	command(0x1f0, 0x20, 100, 5, 0xe0);
	check(move(buf, 5 * 512, 512, false) == (DRDY | 0x10), "status %02x", in8(0x3f6));
	check(!memcmp(buf, disk.bytes + 100 * 512, 5 * 512), "READ SECTORS");
	command(0x1f0, 0xc6, 0, 8, 0xe0);
	ready(0x1f0);
	command(0x1f0, 0xc4, 7, 20, 0xe0);
	move(buf, 20 * 512, 8 * 512, false);
	check(!memcmp(buf, disk.bytes + 7 * 512, 20 * 512), "READ MULTIPLE");
	command(0x1f0, 0x24, 8000, 3, 0xe0);
	move(buf, 3 * 512, 512, false);
	check(!memcmp(buf, disk.bytes + 8000 * 512, 3 * 512), "READ SECTORS EXT");
	memset(buf, 0x5a, sizeof(buf));
	command(0x1f0, 0x30, 200, 4, 0xe0);
	move(buf, 4 * 512, 512, true);
	check(irq[14] && !memcmp(buf, disk.bytes + 200 * 512, 4 * 512), "WRITE SECTORS");
	memset(buf, 0xa5, sizeof(buf));
	command(0x1f0, 0x39, 300, 40, 0xe0);
	move(buf, 40 * 512, 8 * 512, true);
	check(!memcmp(buf, disk.bytes + 300 * 512, 40 * 512), "WRITE MULTIPLE EXT");
	/* CHS 1/2/3 with 16 heads of 63 sectors */
	out8(0x1f6, 0xa0 | 2);
	out8(0x1f2, 1);
	out8(0x1f3, 3);
	out8(0x1f4, 1);
	out8(0x1f5, 0);
	out8(0x1f7, 0x20);
	move(buf, 512, 512, false);
	check(!memcmp(buf, disk.bytes + (16 * 63 + 2 * 63 + 2) * 512, 512), "CHS");
	disk.slow = false;
}

static void test_errors(void)
{
	uint8_t buf[512] = { 0 };

	command(0x1f0, 0x20, SIZE / 512 - 1, 2, 0xe0);
	check(ready(0x1f0) & ERR && in8(0x1f1) & 0x10 && irq[14], "beyond the end");
	disk.fail = -EIO;
	command(0x1f0, 0x20, 55, 1, 0xe0);
	check(ready(0x1f0) & ERR && in8(0x1f1) == 0x40 && in8(0x1f3) == 55, "UNC at 55");
	disk.fail = -ENOSPC;
	command(0x1f0, 0x30, 55, 1, 0xe0);
	write_port(0x1f0, buf, 512);
	check((ready(0x1f0) & (ERR | 0x20)) == (ERR | 0x20), "a write fault");
	command(0x1f0, 0xff, 0, 0, 0xe0);
	check(ready(0x1f0) & ERR && in8(0x1f1) == 4, "no such command");
	command(0x1f0, 0xc6, 0, 3, 0xe0);
	check(ready(0x1f0) & ERR, "SET MULTIPLE to 3");
	disk.fail = -EIO;
	command(0x1f0, 0xe7, 0, 0, 0xe0);
	check(ready(0x1f0) & ERR, "FLUSH CACHE fails");
	command(0x1f0, 0xe7, 0, 0, 0xe0);
	check(!(ready(0x1f0) & ERR), "FLUSH CACHE");
	check(in8(0x1f6) && (out8(0x1f6, 0xb0), in8(0x1f7)) == 0, "no slave");
	out8(0x1f6, 0xe0);
}

static void prd(unsigned n, uint32_t addr, uint32_t count, bool last)
{
	uint8_t *p = test_vm.mem->hva + TABLE + 8 * n;

	le32_put(p, addr);
	le32_put(p + 4, (count & 0xffff) | (last ? 1u << 31 : 0));
}

static uint8_t dma(uint8_t cmd, uint64_t lba, unsigned count, bool in)
{
	bus_pio_write(&test_vm.bus, BM + 4, TABLE, 4);
	out8(BM + 2, 0x06);
	out8(BM, in ? 8 : 0);
	command(0x1f0, cmd, lba, count, 0xe0);
	check(in8(0x3f6) & BSY, "waits for the bus master");
	out8(BM, in ? 9 : 1);
	ready(0x1f0);
	return in8(BM + 2);
}

static void test_dma(bool slow)
{
	uint8_t *mem = test_vm.mem->hva;
	uint8_t st;

	disk.slow = slow;
	prd(0, BUFFER, 1000, false);
	prd(1, BUFFER + 1000, 3096, true);
	st = dma(0xc8, 40, 8, true);
	check((st & 7) == 4 && irq[14], "status %02x", st);
	check(!memcmp(mem + BUFFER, disk.bytes + 40 * 512, 4096), "READ DMA");
	out8(BM, 0);
	memset(mem + BUFFER, 0x77, 4096);
	st = dma(0x35, 60, 8, false);
	check((st & 7) == 4, "status %02x", st);
	check(!memcmp(mem + BUFFER, disk.bytes + 60 * 512, 4096), "WRITE DMA EXT");
	out8(BM, 0);
	/* 64 KiB as 0, more than one step in all */
	for (unsigned i = 0; i < 32; i++)
		prd(i, BUFFER + i % 2 * 0x10000, 0, i == 31);
	st = dma(0x25, 0, 4096, true);
	check((st & 7) == 4, "status %02x", st);
	check(!memcmp(mem + BUFFER, disk.bytes + 30 * 0x10000, 0x20000), "READ DMA EXT of 2 MiB");
	out8(BM, 0);
	disk.slow = false;
}

static void test_bad_tables(void)
{
	uint8_t st;

	prd(0, BUFFER, 512, true);
	st = dma(0xc8, 0, 2, true);
	check((st & 1) == 0 && in8(0x3f6) & BSY, "too short: it waits, status %02x", st);
	out8(BM, 0);
	out8(0x3f6, 4);
	out8(0x3f6, 0);
	check(ready(0x1f0) == (DRDY | 0x10), "a reset helps");
	prd(0, BUFFER, 4096, true);
	st = dma(0xc8, 0, 1, true);
	check((st & 5) == 5, "too long: it stays active, status %02x", st);
	out8(BM, 0);
	check(!(in8(BM + 2) & 1), "and is stopped");
	prd(0, 0xfec00000, 512, true);
	st = dma(0xc8, 0, 1, true);
	check((st & 3) == 2 && ready(0x1f0) & ERR, "device memory, status %02x", st);
	out8(BM, 0);
	bus_pio_write(&test_vm.bus, BM + 4, 0xfffffff0, 4);
	command(0x1f0, 0xc8, 0, 1, 0xe0);
	out8(BM, 9);
	check(in8(BM + 2) & 2, "a table nowhere");
	out8(BM, 0);
}

static uint8_t packet(const uint8_t *cdb, bool use_dma, unsigned limit)
{
	uint8_t buf[12] = { 0 };

	memcpy(buf, cdb, 12);
	out8(0x176, 0xa0);
	out8(0x171, use_dma);
	out8(0x174, (uint8_t)limit);
	out8(0x175, (uint8_t)(limit >> 8));
	out8(0x177, 0xa0);
	check((ready(0x170) & (DRQ | BSY)) == DRQ && in8(0x172) == 1, "wants the packet");
	write_port(0x170, buf, 12);
	return ready(0x170);
}

static void test_atapi(void)
{
	static const uint8_t tur[12] = { 0 }, inquiry[12] = { 0x12, 0, 0, 0, 36 };
	static const uint8_t read4[12] = { 0x28, 0, 0, 0, 0, 16, 0, 0, 4 };
	static const uint8_t far[12] = { 0x28, 0, 0, 0xff, 0, 0, 0, 0, 1 };
	static uint8_t buf[8192];
	uint8_t st;

	out8(0x176, 0xa0);
	check(in8(0x174) == 0x14 && in8(0x175) == 0xeb, "signature");
	out8(0x177, 0xec);
	check(ready(0x170) & ERR, "IDENTIFY DEVICE fails");
	st = packet(tur, false, 0xfffe);
	check(st & ERR && in8(0x171) >> 4 == 6, "unit attention, status %02x", st);
	check(!(packet(tur, false, 0xfffe) & ERR) && in8(0x172) == 3, "TEST UNIT READY");
	st = packet(inquiry, false, 20);
	check(st & DRQ && in8(0x172) == 2 && in8(0x174) == 20, "first block");
	read_port(0x170, buf, 20);
	check(ready(0x170) & DRQ && in8(0x174) == 16, "second block");
	read_port(0x170, buf + 20, 16);
	check(!(ready(0x170) & (DRQ | ERR)) && in8(0x172) == 3 && irq[15], "status");
	check(buf[0] == 5 && !memcmp(buf + 11, "VMWar", 5), "INQUIRY");
	medium.slow = true;
	st = packet(read4, false, 8192);
	check(st & DRQ, "status %02x", st);
	read_port(0x170, buf, 8192);
	check(!memcmp(buf, medium.bytes + 16 * 2048, 8192), "READ(10) through the port");
	ready(0x170);
	st = packet(far, false, 2048);
	check(st & ERR && in8(0x171) == 0x54, "beyond the end: %02x", in8(0x171));
	prd(0, BUFFER, 8192, true);
	bus_pio_write(&test_vm.bus, BM + 12, TABLE, 4);
	out8(BM + 8, 8);
	out8(BM + 10, 6);
	packet(read4, true, 0);
	out8(BM + 8, 9);
	st = ready(0x170);
	check(!(st & ERR) && (in8(BM + 10) & 7) == 4, "DMA, status %02x", st);
	check(!memcmp(test_vm.mem->hva + BUFFER, medium.bytes + 16 * 2048, 8192), "READ(10)");
	medium.slow = false;
}

static void test_reset(void)
{
	disk.slow = true;
	command(0x1f0, 0x20, 0, 200, 0xe0);
	out8(0x3f6, 4);
	out8(0x3f6, 0);
	disk.slow = false;
	check(ready(0x1f0) == (DRDY | 0x10) && in8(0x1f1) == 1 && in8(0x1f2) == 1 &&
	      in8(0x1f3) == 1 && !in8(0x1f4) && !in8(0x1f5) && !irq[14], "SRST");
	out8(0x3f6, 2);
	command(0x1f0, 0xe5, 0, 0, 0xe0);
	check(!irq[14] && in8(0x1f2) == 0xff, "nIEN");
	out8(0x3f6, 0);
	check(irq[14], "which only hides it");
	in8(0x1f7);
	ide_reset(ide);
	check(in8(0x1f7) == (DRDY | 0x10), "reset");
}

static void test_write_cache(void)
{
	static uint8_t buf[512];
	unsigned flushes;

	command(0x1f0, 0x30, 200, 1, 0xe0);
	move(buf, 512, 512, true);
	flushes = disk.flushes;
	out8(0x1f1, 0x82);
	command(0x1f0, 0xef, 0, 0, 0xe0);
	check(ready(0x1f0) == (DRDY | 0x10) && disk.flushes == flushes + 1, "off, and durable");
	command(0x1f0, 0x30, 200, 1, 0xe0);
	move(buf, 512, 512, true);
	check(disk.flushes == flushes + 2, "written through");
	out8(0x1f1, 0x02);
	command(0x1f0, 0xef, 0, 0, 0xe0);
	check(ready(0x1f0) == (DRDY | 0x10) && disk.flushes == flushes + 2, "on");
}

static void test_identify(void)
{
	uint8_t id[512], sum = 0;

	command(0x1f0, 0xec, 0, 0, 0xa0);
	move(id, 512, 512, false);
	for (unsigned i = 0; i < 512; i++)
		sum = (uint8_t)(sum + id[i]);
	check(!sum && id[510] == 0xa5, "checksum");
	check(le32_get(id + 120) == SIZE / 512 && le64_get(id + 200) == SIZE / 512, "sectors");
	check(!memcmp(id + 54, "MVawerV riutla", 14), "model");
}

/* A disk of less than a cylinder: one, or SeaBIOS does not read its boot sector. */
static void test_tiny(void)
{
	uint8_t id[512];

	command(0x170, 0xec, 0, 0, 0xb0);
	check(ready(0x170) & DRQ, "data");
	for (unsigned i = 0; i < 512; i += 2)
		le16_put(id + i, (uint16_t)bus_pio_read(&test_vm.bus, 0x170, 2));
	check(le16_get(id + 2) == 1 && le16_get(id + 108) == 1, "cylinders");
	check(le32_get(id + 114) == 3 && le32_get(id + 120) == 3, "sectors");
}

int main(void)
{
	struct err e = { 0 };

	test_vm_init(1);
	test_vm.mem = mem_new(1u << 20, 0, &e);
	pci = pci_new(&test_vm, &e);
	ide = ide_new(&test_vm, pci, &e);
	check(ide, "%s", e.msg);
	irq_add_sink(&test_vm.irq, take_line, NULL);
	rig_disk_init(&disk, SIZE);
	rig_disk_init(&medium, SIZE);
	rig_disk_init(&tiny, 3 * 512);
	check(!ide_attach_disk(ide, 0, 0, rig_blk(&disk, false), &e), "%s", e.msg);
	check(!ide_attach_disk(ide, 1, 1, rig_blk(&tiny, false), &e), "%s", e.msg);
	check(!ide_attach_cd(ide, 1, 0, scsi_cd_new(&test_vm, rig_blk(&medium, true),
	      &(struct scsi_params){ .keep_sense = true }, &e), &e), "%s", e.msg);
	check(ide_attach_disk(ide, 0, 0, NULL, &e) == -EBUSY, "taken");
	pci_reset(pci);
	ide_reset(ide);
	cfg_write(0x20, BM, 4);
	cfg_write(4, 5, 2);
	test_identify();
	test_pio(false);
	test_pio(true);
	test_errors();
	test_dma(false);
	test_dma(true);
	test_bad_tables();
	test_atapi();
	test_reset();
	test_write_cache();
	test_tiny();
	ide_free(ide);
	pci_free(pci);
	mem_free(test_vm.mem);
	free(disk.bytes);
	free(medium.bytes);
	free(tiny.bytes);
	test_vm_done();
	return check_done();
}
