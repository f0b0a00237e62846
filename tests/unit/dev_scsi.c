/* SCSI disks: what they say of themselves, ranges, sense data, order, failures. */
#include "scsi_rig.h"

#define IN SCSI_DIR_IN
#define OUT SCSI_DIR_OUT
#define NONE SCSI_DIR_NONE
#define BLOCKS 4096u

static struct rig_disk disk;

static struct scsi_dev *new_disk(bool readonly)
{
	struct scsi_dev *t = scsi_disk_new(&test_vm, rig_blk(&disk, readonly), NULL, NULL);

	FAILS(0x062900, t, NONE, 0, 0x00);	/* power on, once */
	GOOD(t, NONE, 0, 0x00);
	return t;
}

static void test_inquiry(struct scsi_dev *t)
{
	GOOD(t, IN, 96, 0x12, 0, 0, 0, 96);
	check(rig_req.moved == 96 && rig_data[0] == 0 && rig_data[4] == 91, "standard");
	check(!memcmp(rig_data + 8, "VMware  Virtual disk    2.0 ", 28), "names");
	GOOD(t, IN, 5, 0x12, 0, 0, 0, 5);
	check(rig_req.moved == 5 && !rig_req.overrun, "as much as asked for");
	GOOD(t, IN, 36, 0x12, 0, 0, 0, 96);
	check(rig_req.moved == 36 && rig_req.overrun, "more than the adapter takes");
	GOOD(t, IN, 0, 0x12, 0, 0, 0, 0);
	FAILS(0x052400, t, IN, 96, 0x12, 0, 1, 0, 96);
	check(rig_req.sense[15] == 0xc0 && rig_req.sense[17] == 2, "which byte");
	GOOD(t, IN, 255, 0x12, 1, 0, 0, 255);
	check(!memcmp(rig_data, "\0\0\0\6\0\x80\x83\xb0\xb1\xb2", 10), "pages");
	for (unsigned page = 0; page < 256; page++) {
		bool there = memchr("\0\x80\x83\xb0\xb1\xb2", (int)page, 6);
		uint8_t st = RUN(t, IN, 255, 0x12, 1, (uint8_t)page, 0, 255);

		check((st == SCSI_GOOD) == there, "page %02x", page);
		check(!there || (rig_data[1] == page &&
				 rig_req.moved == be16_get(rig_data + 2) + 4u), "%02x", page);
	}
	GOOD(t, IN, 255, 0x12, 1, 0x83, 0, 255);
	check(!memcmp(rig_data + 4, "\x01\x03\0\x10\x60\x00\xc2\x94", 8), "NAA");
	rig_req.lun = 1;
	GOOD(t, IN, 96, 0x12, 0, 0, 0, 96);
	check(rig_data[0] == 0x7f, "no such unit");
	FAILS(0x052500, t, NONE, 0, 0x00);
	rig_req.lun = 0;
	GOOD(t, IN, 64, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64);
	check(rig_req.moved == 16 && be32_get(rig_data) == 8 && !be64_get(rig_data + 8), "LUNs");
	FAILS(0x052400, t, IN, 8, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 15);
}

static void test_capacity(struct scsi_dev *t)
{
	GOOD(t, IN, 8, 0x25);
	check(be32_get(rig_data) == BLOCKS - 1 && be32_get(rig_data + 4) == 512, "10");
	GOOD(t, IN, 32, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32);
	check(be64_get(rig_data) == BLOCKS - 1 && rig_data[14] == 0xc0, "16");
	FAILS(0x052400, t, IN, 32, 0x9e, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32);
	FAILS(0x052400, t, IN, 8, 0x25, 0, 0, 0, 0, 1);
	FAILS(0x052000, t, NONE, 0, 0xc1);
	FAILS(0x052000, t, NONE, 0, 0x04);
}

static bool same(uint64_t block, uint64_t n)
{
	return !memcmp(rig_data, disk.bytes + block * 512, n * 512);
}

static void test_ranges(struct scsi_dev *t)
{
	GOOD(t, IN, 512, 0x08, 0, 0, 5, 1);
	check(same(5, 1) && rig_req.moved == 512, "6");
	GOOD(t, IN, 256 * 512, 0x08, 0, 0, 5, 0);
	check(same(5, 256) && rig_req.moved == 256 * 512, "6: 0 is 256");
	GOOD(t, IN, 0, 0x28, 0, 0, 0, 0, 5, 0, 0, 0);
	check(rig_req.moved == 0, "10: 0 is none");
	GOOD(t, IN, 1024, 0x28, 0x18, 0, 0, 0x0f, 0xfe, 0, 0, 2);
	check(same(BLOCKS - 2, 2), "the end");
	FAILS(0x052100, t, IN, 1024, 0x28, 0, 0, 0, 0x0f, 0xff, 0, 0, 2);
	check(rig_req.sense[0] == 0xf0 && be32_get(rig_req.sense + 3) == BLOCKS - 1, "where");
	GOOD(t, IN, 0, 0x28, 0, 0, 0, 0x10, 0, 0, 0, 0);
	FAILS(0x052100, t, IN, 0, 0x28, 0, 0, 0, 0x10, 1, 0, 0, 0);
	GOOD(t, IN, 512, 0xa8, 0, 0, 0, 0, 9, 0, 0, 0, 1);
	check(same(9, 1), "12");
	GOOD(t, IN, 512, 0x88, 0, 0, 0, 0, 0, 0, 0, 0, 11, 0, 0, 0, 1);
	check(same(11, 1), "16");
	FAILS(0x052100, t, IN, 512, 0x88, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	      0xff, 0xff, 0xff, 0xff);
	FAILS(0x052100, t, IN, 512, 0x88, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	      0, 0, 0, 1);
	FAILS(0x052400, t, IN, 512, 0x28, 0x20, 0, 0, 0, 5, 0, 0, 1);	/* RDPROTECT */
	FAILS(0x052400, t, IN, 512, 0x28, 0, 0, 0, 0, 5, 0, 0, 1, 4);	/* NACA */
	GOOD(t, IN, 700, 0x28, 0, 0, 0, 0, 5, 0, 0, 3);
	check(rig_req.moved == 512 && rig_req.overrun, "room for one block only");
	GOOD(t, OUT, 1024, 0x28, 0, 0, 0, 0, 5, 0, 0, 2);
	check(rig_req.moved == 0 && rig_req.overrun, "wrong way");
}

static void test_write(struct scsi_dev *t)
{
	unsigned flushes = disk.flushes;

	memset(rig_data, 0xa5, sizeof(rig_data));
	GOOD(t, OUT, 1024, 0x2a, 0, 0, 0, 0, 7, 0, 0, 2);
	check(same(7, 2) && disk.bytes[9 * 512] != 0xa5 && disk.flushes == flushes, "10");
	memset(rig_data, 0x5a, sizeof(rig_data));
	GOOD(t, OUT, 512, 0x2a, 0x08, 0, 0, 0, 7, 0, 0, 1);
	check(disk.bytes[7 * 512] == 0x5a && disk.bytes[8 * 512] == 0xa5, "FUA");
	check(disk.flushes == flushes + 1, "is durable");
	GOOD(t, NONE, 0, 0x35);
	GOOD(t, NONE, 0, 0x35);
	check(disk.flushes == flushes + 2, "nothing new, no flush: %u", disk.flushes - flushes);
	GOOD(t, OUT, 512, 0x0a, 0, 0, 1, 1);
	GOOD(t, OUT, 512, 0xaa, 0, 0, 0, 0, 2, 0, 0, 0, 1);
	GOOD(t, OUT, 512, 0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1);
	check(same(1, 3), "6, 12, 16");
	GOOD(t, NONE, 0, 0x91);
	check(disk.flushes == flushes + 3, "16");
	GOOD(t, OUT, 512, 0x2e, 0, 0, 0, 0, 4, 0, 0, 1);
	check(same(4, 1) && disk.flushes == flushes + 4, "and verify");
}

static void test_failures(struct scsi_dev *t)
{
	disk.fail = -EIO;
	FAILS(0x031100, t, IN, 512, 0x28, 0, 0, 0, 0, 5, 0, 0, 1);
	check(be32_get(rig_req.sense + 3) == 5, "LBA");
	disk.fail = -EIO;
	FAILS(0x030c00, t, OUT, 512, 0x2a, 0, 0, 0, 0, 5, 0, 0, 1);
	disk.fail = -ENOSPC;
	FAILS(0x072707, t, OUT, 512, 0x2a, 0, 0, 0, 0, 5, 0, 0, 1);
	disk.fail = -EIO;
	FAILS(0x030c00, t, NONE, 0, 0x35);
	GOOD(t, NONE, 0, 0x35);
	GOOD(t, IN, 18, 0x03, 0, 0, 0, 18);
	check(rig_data[0] == 0x70 && rig_data[2] == 0, "told already");
}

static void test_compare_write(struct scsi_dev *t)
{
	memcpy(rig_data, disk.bytes + 20 * 512, 1024);
	memset(rig_data + 1024, 0x77, 1024);
	GOOD(t, OUT, 2048, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 2);
	check(disk.bytes[20 * 512] == 0x77 && disk.bytes[22 * 512 - 1] == 0x77, "written");
	rig_data[600] ^= 1;
	memset(rig_data, 0x77, 600);
	FAILS(0x0e1d00, t, OUT, 2048, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 2);
	check(be32_get(rig_req.sense + 3) == 600, "where: %u", be32_get(rig_req.sense + 3));
	FAILS(0x051a00, t, OUT, 1024, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 2);
	GOOD(t, OUT, 0, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 0);
	FAILS(0x052100, t, OUT, 2048, 0x89, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 2);
}

static void test_unmap(struct scsi_dev *t)
{
	memset(rig_data, 0, 40);
	be16_put(rig_data, 38);
	be16_put(rig_data + 2, 32);
	be64_put(rig_data + 8, 30);
	be32_put(rig_data + 16, 2);
	be64_put(rig_data + 24, 40);
	be32_put(rig_data + 32, 1);
	GOOD(t, OUT, 40, 0x42, 0, 0, 0, 0, 0, 0, 0, 40);
	check(disk.unmaps == 2 && !disk.bytes[30 * 512] && !disk.bytes[32 * 512 - 1] &&
	      !disk.bytes[40 * 512 + 9] && disk.bytes[41 * 512 + 9], "two ranges");
	be32_put(rig_data + 32, BLOCKS);
	FAILS(0x052100, t, OUT, 40, 0x42, 0, 0, 0, 0, 0, 0, 0, 40);
	check(disk.unmaps == 2, "all or nothing");
	GOOD(t, OUT, 0, 0x42, 0, 0, 0, 0, 0, 0, 0, 0);
	GOOD(t, OUT, 8, 0x42, 0, 0, 0, 0, 0, 0, 0, 8);
	FAILS(0x051a00, t, OUT, 8, 0x42, 0, 0, 0, 0, 0, 0, 0, 7);
	FAILS(0x051a00, t, OUT, 8, 0x42, 0, 0, 0, 0, 0, 0, 0, 24);
	FAILS(0x052400, t, OUT, 8, 0x42, 1, 0, 0, 0, 0, 0, 0, 8);	/* ANCHOR */
}

static void test_write_same(struct scsi_dev *t)
{
	for (unsigned i = 0; i < 512; i++)
		rig_data[i] = (uint8_t)(i * 3 + 1);
	GOOD(t, OUT, 512, 0x41, 0, 0, 0, 1, 0, 0, 0x0a, 0);	/* 2560 blocks from 256 */
	for (unsigned b = 256; b < 256 + 2560; b++)
		if (memcmp(disk.bytes + b * 512, rig_data, 512)) {
			check(false, "block %u", b);
			break;
		}
	check(disk.bytes[(256 + 2560) * 512] == (uint8_t)((256 + 2560) * 7), "no further");
	memset(rig_data, 0, 512);
	GOOD(t, OUT, 512, 0x41, 0x08, 0, 0, 1, 0, 0, 0, 2);
	check(disk.unmaps == 3 && !disk.bytes[256 * 512 + 1], "unmapped");
	GOOD(t, NONE, 0, 0x93, 0x01, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 2);
	check(disk.zeroes == 1 && !disk.bytes[258 * 512 + 1], "no data out");
	FAILS(0x052400, t, OUT, 512, 0x41, 0, 0, 0, 1, 0, 0, 0, 0);
	FAILS(0x052100, t, OUT, 512, 0x41, 0, 0, 0, 0x0f, 0xff, 0, 0, 2);
	FAILS(0x051a00, t, OUT, 511, 0x41, 0, 0, 0, 0, 1, 0, 0, 2);
}

static void test_verify(struct scsi_dev *t)
{
	GOOD(t, NONE, 0, 0x2f, 0, 0, 0, 0, 0, 0, 0x0f, 0xff);
	memcpy(rig_data, disk.bytes + 50 * 512, 1024);
	GOOD(t, OUT, 1024, 0x2f, 2, 0, 0, 0, 50, 0, 0, 2);
	rig_data[1023] ^= 1;
	FAILS(0x0e1d00, t, OUT, 1024, 0x2f, 2, 0, 0, 0, 50, 0, 0, 2);
	disk.fail = -EIO;
	FAILS(0x031100, t, NONE, 0, 0x2f, 0, 0, 0, 0, 0, 0, 0, 2);
}

static void test_modes(struct scsi_dev *t)
{
	unsigned flushes;
	uint8_t page[20];

	GOOD(t, IN, 192, 0x1a, 0, 0x3f, 0, 192);
	check(rig_data[0] == rig_req.moved - 1 && rig_data[2] == 0x10 && rig_data[3] == 8, "6");
	GOOD(t, IN, 24, 0x1a, 8, 8, 0, 24);
	check(rig_data[0] == 23 && rig_data[4] == 8 && rig_data[6] == 4, "WCE");
	memcpy(page, rig_data + 4, sizeof(page));
	page[2] = 0;
	GOOD(t, OUT, 512, 0x2a, 0, 0, 0, 0, 60, 0, 0, 1);
	flushes = disk.flushes;
	memset(rig_data, 0, 4);
	memcpy(rig_data + 4, page, sizeof(page));
	GOOD(t, OUT, 24, 0x15, 0x10, 0, 0, 24);
	check(disk.flushes == flushes + 1, "what was cached is durable");
	GOOD(t, IN, 24, 0x1a, 8, 8, 0, 24);
	check(rig_data[6] == 0, "no WCE");
	GOOD(t, OUT, 512, 0x2a, 0, 0, 0, 0, 60, 0, 0, 1);
	check(disk.flushes == flushes + 2, "written through");
	memset(rig_data, 0, 512);
	GOOD(t, OUT, 512, 0x41, 0, 0, 0, 0, 60, 0, 0, 2);
	check(disk.flushes == flushes + 3, "zeros, too");
	GOOD(t, OUT, 512, 0x41, 0x08, 0, 0, 0, 60, 0, 0, 2);
	check(disk.flushes == flushes + 4, "unmapped");
	memset(rig_data, 0, 4);
	rig_data[4] = 8;
	rig_data[5] = 18;
	memset(rig_data + 6, 0, 18);
	rig_data[6] = 1;
	FAILS(0x052600, t, OUT, 24, 0x15, 0x10, 0, 0, 24);
	check(be16_get(rig_req.sense + 16) == 6 && rig_req.sense[15] == 0x80, "which byte");
	FAILS(0x051a00, t, OUT, 24, 0x15, 0x10, 0, 0, 3);
	FAILS(0x053900, t, IN, 24, 0x1a, 8, 0xc8, 0, 24);
	FAILS(0x052400, t, IN, 24, 0x1a, 8, 0x2a, 0, 24);
	/* Descriptor format sense data carry any LBA. */
	memcpy(rig_data, (const uint8_t[]){ 0, 0, 0, 0, 0x0a, 10, 4, 0x10 }, 8);
	memset(rig_data + 8, 0, 8);
	GOOD(t, OUT, 16, 0x15, 0x10, 0, 0, 16);
	FAILS(0x052100, t, IN, 512, 0x88, 0, 1, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1);
	check(rig_req.sense[0] == 0x72 && be64_get(rig_req.sense + 12) == 0x0100000000000005,
	      "descriptor");
	scsi_reset(t, SCSI_BUS_RESET);
	FAILS(0x062902, t, NONE, 0, 0x00);
	check(rig_req.sense[0] == 0x70, "as before");
}

static void test_opcodes(struct scsi_dev *t)
{
	unsigned n;

	GOOD(t, IN, 4096, 0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0x10, 0);
	n = be32_get(rig_data) / 8;
	check(n > 40 && rig_req.moved == 4 + n * 8, "%u commands", n);
	GOOD(t, IN, 64, 0xa3, 0x0c, 1, 0x28, 0, 0, 0, 0, 0, 64);
	check(rig_data[1] == 3 && be16_get(rig_data + 2) == 10 && rig_data[4] == 0x28, "one");
	GOOD(t, IN, 64, 0xa3, 0x0c, 1, 0xc1, 0, 0, 0, 0, 0, 64);
	check(rig_data[1] == 1, "not supported");
	FAILS(0x052400, t, IN, 64, 0xa3, 0x0c, 1, 0x9e, 0, 0, 0, 0, 0, 64);
	GOOD(t, IN, 64, 0xa3, 0x0c, 2, 0x9e, 0, 0x10, 0, 0, 0, 64);
	check(rig_data[1] == 3 && be16_get(rig_data + 2) == 16, "service action");
	/* Linux has BusLogic's driver write zeros by what is said to be there. */
	scsi_limit_cdb(t, 12);
	GOOD(t, IN, 64, 0xa3, 0x0c, 1, 0x93, 0, 0, 0, 0, 0, 64);
	check(rig_data[1] == 1, "WRITE SAME(16) in 12 bytes");
	GOOD(t, IN, 64, 0xa3, 0x0c, 1, 0x41, 0, 0, 0, 0, 0, 64);
	check(rig_data[1] == 3, "WRITE SAME(10)");
	GOOD(t, IN, 255, 0x12, 1, 0xb2, 0, 255);
	check(rig_data[5] == 0xa4, "by that, too");
	GOOD(t, IN, 255, 0x12, 1, 0xb0, 0, 255);
	check(rig_data[5] == 0 && be64_get(rig_data + 36) == 0xffff, "limits of short commands");
	FAILS(0x052000, t, OUT, 512, 0x93);
	scsi_limit_cdb(t, 0);
}

static void register_key(struct scsi_dev *t, uint8_t sa, uint64_t key, uint64_t to,
			 uint8_t type, uint8_t status)
{
	uint8_t st;

	memset(rig_data, 0, 24);
	be64_put(rig_data, key);
	be64_put(rig_data + 8, to);
	st = RUN(t, OUT, 24, 0x5f, sa, type, 0, 0, 0, 0, 0, 24);
	check(st == status, "%u: status %02x sense %06x", sa, st, rig_sense());
}

static void test_reservations(struct scsi_dev *t)
{
	register_key(t, 0, 5, 6, 0, SCSI_RESERVATION_CONFLICT);
	register_key(t, 0, 0, 0x1111, 0, SCSI_GOOD);
	register_key(t, 1, 0x1111, 0, 3, SCSI_GOOD);	/* exclusive access */
	rig_req.initiator = 1;
	FAILS(0x062902, t, NONE, 0, 0x25);
	check(RUN(t, IN, 512, 0x28, 0, 0, 0, 0, 5, 0, 0, 1) == SCSI_RESERVATION_CONFLICT, "read");
	GOOD(t, IN, 96, 0x12, 0, 0, 0, 96);
	GOOD(t, IN, 64, 0x5e, 1, 0, 0, 0, 0, 0, 0, 64);
	check(be64_get(rig_data + 8) == 0x1111 && rig_data[21] == 3, "who");
	register_key(t, 0, 0, 0x2222, 0, SCSI_GOOD);
	GOOD(t, IN, 64, 0x5e, 0, 0, 0, 0, 0, 0, 0, 64);
	check(be32_get(rig_data + 4) == 16, "two keys");
	register_key(t, 4, 0x2222, 0x1111, 1, SCSI_GOOD);	/* preempt: write exclusive */
	rig_req.initiator = 0;
	FAILS(0x062a05, t, NONE, 0, 0x00);
	GOOD(t, IN, 512, 0x28, 0, 0, 0, 0, 5, 0, 0, 1);
	check(RUN(t, OUT, 512, 0x2a, 0, 0, 0, 0, 5, 0, 0, 1) == SCSI_RESERVATION_CONFLICT,
	      "write");
	register_key(t, 2, 0x1111, 0, 1, SCSI_RESERVATION_CONFLICT);
	rig_req.initiator = 1;
	register_key(t, 2, 0x2222, 0, 3, SCSI_CHECK_CONDITION);
	register_key(t, 3, 0x2222, 0, 0, SCSI_GOOD);
	GOOD(t, NONE, 0, 0x16);
	rig_req.initiator = 0;
	check(RUN(t, NONE, 0, 0x25) == SCSI_RESERVATION_CONFLICT, "RESERVE");
	GOOD(t, NONE, 0, 0x17);
	check(RUN(t, NONE, 0, 0x25) == SCSI_RESERVATION_CONFLICT, "not by others");
	scsi_reset(t, SCSI_TARGET_RESET);
	FAILS(0x062903, t, NONE, 0, 0x00);
	GOOD(t, IN, 8, 0x25);
}

static void test_stop(struct scsi_dev *t)
{
	GOOD(t, NONE, 0, 0x34, 0, 0, 0, 0, 5, 0, 0, 1);
	GOOD(t, NONE, 0, 0x90, 2, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1);
	FAILS(0x052100, t, NONE, 0, 0x34, 0, 0, 0, 0x10, 0, 0, 0, 1);
	GOOD(t, NONE, 0, 0x1b, 0, 0, 0, 0);
	FAILS(0x020402, t, NONE, 0, 0x00);
	FAILS(0x020402, t, IN, 512, 0x28, 0, 0, 0, 0, 5, 0, 0, 1);
	GOOD(t, IN, 96, 0x12, 0, 0, 0, 96);
	GOOD(t, IN, 18, 0x03, 0, 0, 0, 18);
	check(rig_data[2] == 2 && rig_data[12] == 4, "and says so");
	GOOD(t, NONE, 0, 0x1b, 0, 0, 0, 1);
	GOOD(t, NONE, 0, 0x00);
	FAILS(0x052400, t, NONE, 0, 0x1b, 0, 0, 0, 2);
}

/* They end with the machine, and say so: whoever relies on them is told. */
static void test_no_aptpl(struct scsi_dev *t)
{
	GOOD(t, IN, 64, 0x5e, 2, 0, 0, 0, 0, 0, 0, 64);
	check(be16_get(rig_data) == 8 && !(rig_data[2] & 1) && !(rig_data[3] & 1), "PTPL_C");
	memset(rig_data, 0, 24);
	rig_data[15] = 1;
	rig_data[20] = 1;
	FAILS(0x052600, t, OUT, 24, 0x5f, 0, 0, 0, 0, 0, 0, 0, 24);
	check(be16_get(rig_req.sense + 16) == 20, "APTPL");
	GOOD(t, IN, 64, 0x5e, 0, 0, 0, 0, 0, 0, 0, 64);
	check(be32_get(rig_data + 4) == 0, "not registered");
}

#define LBA_STATUS(lba, room) 0x9e, 0x12, 0, 0, 0, 0, 0, 0, (lba) >> 8, (lba) & 0xff, \
	0, 0, (room) >> 8, (room) & 0xff

static void check_status(unsigned i, uint64_t lba, uint32_t blocks, uint8_t status)
{
	const uint8_t *p = rig_data + 8 + 16 * i;

	check(be64_get(p) == lba && be32_get(p + 8) == blocks && p[12] == status,
	      "%u: %llu+%u %u", i, (unsigned long long)be64_get(p), be32_get(p + 8), p[12]);
}

static void test_lba_status(struct scsi_dev *t)
{
	memset(disk.bytes, 1, disk.size);
	memset(disk.bytes + 16 * 512, 0, 8 * 512);
	memset(disk.bytes + (BLOCKS - 1) * 512, 0, 512);
	GOOD(t, IN, 512, LBA_STATUS(0, 512));
	check(rig_req.moved == 8 + 4 * 16 && be32_get(rig_data) == 4 + 4 * 16, "four ranges");
	check_status(0, 0, 16, 0);
	check_status(1, 16, 8, 1);
	check_status(2, 24, BLOCKS - 25, 0);
	check_status(3, BLOCKS - 1, 1, 1);
	GOOD(t, IN, 512, LBA_STATUS(20, 24));
	check(rig_req.moved == 24 && be32_get(rig_data) == 20, "room for one");
	check_status(0, 20, 4, 1);
	GOOD(t, IN, 512, LBA_STATUS(20, 39));
	check(rig_req.moved == 24, "and not for two");
	GOOD(t, IN, 0, LBA_STATUS(20, 0));
	GOOD(t, IN, 512, LBA_STATUS(BLOCKS - 1, 512));
	check_status(0, BLOCKS - 1, 1, 1);
	FAILS(0x052100, t, IN, 512, LBA_STATUS(BLOCKS, 512));
	disk.fail = -EIO;
	FAILS(0x031100, t, IN, 512, LBA_STATUS(0, 512));
	memset(disk.bytes, 1, disk.size);
	for (unsigned i = 0; i < BLOCKS; i += 2)
		memset(disk.bytes + 512 * i, 0, 512);
	GOOD(t, IN, 1 << 16, LBA_STATUS(0, 0xffff));
	check(rig_req.moved == 8 + 128 * 16, "the most that are told: %u", (unsigned)rig_req.moved);
	check_status(127, 127, 1, 0);
}

/* What gives no room back does not say that it would. */
static void test_thick(void)
{
	struct scsi_dev *t;

	rig_thick = true;
	t = new_disk(false);
	rig_thick = false;
	GOOD(t, IN, 32, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32);
	check(rig_data[14] == 0, "LBPME");
	GOOD(t, IN, 255, 0x12, 1, 0xb0, 0, 255);
	check(!be32_get(rig_data + 20) && !be32_get(rig_data + 24) && be64_get(rig_data + 36),
	      "no UNMAP, but WRITE SAME");
	GOOD(t, IN, 255, 0x12, 1, 0xb2, 0, 255);
	check(rig_data[5] == 0 && rig_data[6] == 0, "fully provisioned");
	FAILS(0x052000, t, OUT, 0, 0x42, 0, 0, 0, 0, 0, 0, 0, 0);
	GOOD(t, IN, 64, 0xa3, 0x0c, 1, 0x42, 0, 0, 0, 0, 0, 64);
	check(rig_data[1] == 1, "no such command");
	memset(rig_data, 0, 512);
	FAILS(0x052400, t, OUT, 512, 0x41, 0x08, 0, 0, 1, 0, 0, 0, 2);
	GOOD(t, OUT, 512, 0x41, 0, 0, 0, 1, 0, 0, 0, 2);
	scsi_free(t);
}

/* --- order ------------------------------------------------------------------------ */

static struct scsi_req many[16];
static unsigned order[16], nordered;

static void many_done(struct scsi_req *r)
{
	order[nordered++] = (unsigned)(r - many);
}

static void start(struct scsi_dev *t, unsigned i, enum scsi_attr attr, uint8_t op)
{
	struct scsi_req *r = &many[i];

	memset(r->cdb, 0, sizeof(r->cdb));
	r->cdb[0] = op;
	r->cdb[8] = op == 0x28 || op == 0x2a;
	r->attr = attr;
	r->done = many_done;
	sg_clear(&r->data, NULL);
	sg_add_host(&r->data, rig_data, 512);
	scsi_start(t, r);
}

static void run_until(unsigned n)
{
	while (nordered < n) {
		sched_yield();
		vm_run_work(&test_vm);
	}
}

/* Of block 0, which becomes what it is. */
static void start_compare_write(struct scsi_dev *t, unsigned i)
{
	struct scsi_req *r = &many[i];

	memset(r->cdb, 0, sizeof(r->cdb));
	r->cdb[0] = 0x89;
	r->cdb[13] = 1;
	r->attr = SCSI_SIMPLE;
	r->done = many_done;
	memcpy(rig_data, disk.bytes, 512);
	memcpy(rig_data + 512, disk.bytes, 512);
	sg_clear(&r->data, NULL);
	sg_add_host(&r->data, rig_data, 1024);
	scsi_start(t, r);
}

static void test_order(struct scsi_dev *t)
{
	disk.slow = true;
	start(t, 0, SCSI_SIMPLE, 0x28);
	start(t, 1, SCSI_ORDERED, 0x28);
	start(t, 2, SCSI_SIMPLE, 0x00);		/* would be quicker */
	start(t, 3, SCSI_HEAD_OF_QUEUE, 0x00);
	check(nordered == 1 && order[0] == 3, "the head of the queue");
	start(t, 4, SCSI_SIMPLE, 0x00);
	check(scsi_abort(t, &many[4]) && nordered == 2 && many[4].aborted, "not begun");
	run_until(5);
	check(order[2] == 0 && order[3] == 1 && order[4] == 2, "in order");
	/* Between the two halves of COMPARE AND WRITE comes nothing. */
	nordered = 0;
	start_compare_write(t, 0);
	start(t, 1, SCSI_SIMPLE, 0x00);
	start(t, 2, SCSI_HEAD_OF_QUEUE, 0x2a);
	check(scsi_abort(t, &many[2]), "a write waits");
	start(t, 3, SCSI_HEAD_OF_QUEUE, 0x00);
	run_until(4);
	check(many[0].status == SCSI_GOOD && order[1] == 0 && order[2] == 3 && order[3] == 1,
	      "%02x, %u, %u, %u", many[0].status, order[1], order[2], order[3]);
	nordered = 0;
	for (unsigned i = 0; i < 16; i++)
		start(t, i, i % 5 ? SCSI_SIMPLE : SCSI_ORDERED, 0x28);
	scsi_drain(t);
	check(nordered == 16, "drained: %u", nordered);
	disk.slow = false;
}

/* What goes to a cache is written here and now, though no one promises that it is quick. */
static void test_quick_writes(void)
{
	struct blk_params p = { .ops = &rig_ops, .ptr = &disk, .size = disk.size,
				.quick_writes = true };
	struct scsi_dev *t = scsi_disk_new(&test_vm, blk_new(&test_vm, &p, NULL), NULL, NULL);

	disk.slow = true;
	nordered = 0;
	start(t, 0, SCSI_SIMPLE, 0x00);		/* the unit attention */
	start(t, 1, SCSI_SIMPLE, 0x2a);
	check(nordered == 2 && many[1].status == SCSI_GOOD, "without a thread");
	start(t, 2, SCSI_SIMPLE, 0x28);
	check(nordered == 2, "reading waits for one");
	scsi_drain(t);
	check(nordered == 3, "and ends");
	disk.slow = false;
	scsi_free(t);
}

/* All commands with random fields and buffers: each ends, and moves no more than there is
 * room for. */
static void test_any(struct scsi_dev *t, unsigned rounds)
{
	while (rounds--) {
		static const uint8_t ops[] = { 0x00, 0x03, 0x08, 0x0a, 0x12, 0x15, 0x1a, 0x1b,
			0x1e, 0x25, 0x28, 0x2a, 0x2f, 0x35, 0x41, 0x42, 0x43, 0x46, 0x4a, 0x51,
			0x52, 0x55, 0x5a, 0x5e, 0x5f, 0x88, 0x89, 0x8a, 0x8f, 0x91, 0x93, 0x9e,
			0xa0, 0xa3, 0xa8, 0xaa, 0xbd, 0xbe, 0xb9 };
		uint64_t x = test_random();
		uint8_t cdb[16] = { 0 };
		size_t len = x % 5 ? x >> 32 & 0xfff : x >> 32 & 0xfffff;

		for (unsigned i = 1; i < 16; i++)
			cdb[i] = test_random() % 3 ? 0 : (uint8_t)test_random();
		cdb[0] = x >> 8 & 15 ? ops[(x >> 16 & 0xffff) % sizeof(ops)] : (uint8_t)x;
		disk.slow = !(x >> 60);
		rig_req.initiator = x >> 56 & 15 ? 0 : 1;
		rig_run(t, cdb, 16, (enum scsi_dir)(x >> 5 & 3), len);
		check(rig_req.moved <= len, "%02x: %llu of %zu", cdb[0],
		      (unsigned long long)rig_req.moved, len);
	}
	disk.slow = false;
	rig_req.initiator = 0;
}

int main(void)
{
	struct scsi_dev *t;

	test_vm_init(1);
	rig_disk_init(&disk, BLOCKS * 512);
	t = new_disk(false);
	test_inquiry(t);
	test_capacity(t);
	test_ranges(t);
	test_write(t);
	test_failures(t);
	test_compare_write(t);
	test_unmap(t);
	test_write_same(t);
	test_verify(t);
	test_modes(t);
	test_opcodes(t);
	test_reservations(t);
	test_stop(t);
	test_no_aptpl(t);
	test_lba_status(t);
	test_thick();
	test_order(t);
	test_quick_writes();
	test_any(t, 20000);
	scsi_free(t);
	t = new_disk(true);
	FAILS(0x072700, t, OUT, 512, 0x2a, 0, 0, 0, 0, 5, 0, 0, 1);
	FAILS(0x072700, t, NONE, 0, 0x93, 0x01, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 2);
	GOOD(t, IN, 192, 0x1a, 0, 0x3f, 0, 192);
	check(rig_data[2] == 0x90, "WP");
	scsi_free(t);
	sg_free(&rig_req.data);
	for (unsigned i = 0; i < 16; i++)
		sg_free(&many[i].data);
	free(disk.bytes);
	test_vm_done();
	return check_done();
}
