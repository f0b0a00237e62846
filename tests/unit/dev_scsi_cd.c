/* CD-ROM drives: TOC, tray, events, what drivers and boot loaders ask. */
#include "scsi_rig.h"

#define IN SCSI_DIR_IN
#define NONE SCSI_DIR_NONE
#define SECTORS 300u

static struct rig_disk disk;

static void test_read(struct scsi_dev *t)
{
	GOOD(t, IN, 8, 0x25);
	check(be32_get(rig_data) == SECTORS - 1 && be32_get(rig_data + 4) == 2048, "capacity");
	GOOD(t, IN, 4096, 0x28, 0, 0, 0, 0, 16, 0, 0, 2);
	check(!memcmp(rig_data, disk.bytes + 16 * 2048, 4096), "10");
	GOOD(t, IN, 2048, 0xa8, 0, 0, 0, 0x01, 0x2b, 0, 0, 0, 1);
	FAILS(0x052100, t, IN, 4096, 0xa8, 0, 0, 0, 0x01, 0x2b, 0, 0, 0, 2);
	GOOD(t, IN, 2048, 0xbe, 0, 0, 0, 0, 17, 0, 0, 1, 0x10);
	check(!memcmp(rig_data, disk.bytes + 17 * 2048, 2048), "READ CD");
	GOOD(t, IN, 2048, 0xb9, 0, 0, 0, 2, 18, 0, 2, 19, 0x10);
	check(!memcmp(rig_data, disk.bytes + 18 * 2048, 2048), "MSF");
	FAILS(0x056400, t, IN, 2352, 0xbe, 0, 0, 0, 0, 17, 0, 0, 1, 0xf8);
	FAILS(0x052400, t, IN, 2048, 0xb9, 0, 0, 0, 1, 18, 0, 2, 19, 0x10);
	FAILS(0x052000, t, SCSI_DIR_OUT, 2048, 0x2a, 0, 0, 0, 0, 16, 0, 0, 1);
}

static void test_toc(struct scsi_dev *t)
{
	GOOD(t, IN, 64, 0x43, 0, 0, 0, 0, 0, 0, 0, 64);
	check(rig_req.moved == 20 && be16_get(rig_data) == 18 && rig_data[6] == 1 &&
	      rig_data[14] == 0xaa && be32_get(rig_data + 16) == SECTORS, "tracks");
	GOOD(t, IN, 12, 0x43, 2, 0, 0, 0, 0, 0xaa, 0, 12);
	check(!memcmp(rig_data + 6, "\xaa\0\0\0\6\0", 6), "MSF: 450 frames");
	GOOD(t, IN, 12, 0x43, 0, 1, 0, 0, 0, 0, 0, 12);
	check(rig_req.moved == 12 && rig_data[2] == 1 && rig_data[3] == 1, "sessions");
	GOOD(t, IN, 12, 0x43, 0, 0, 0, 0, 0, 0, 0, 12, 0x40);
	check(rig_req.moved == 12 && be16_get(rig_data) == 10, "sessions, as once");
	GOOD(t, IN, 64, 0x43, 2, 2, 0, 0, 0, 0, 0, 64);
	check(rig_req.moved == 48, "raw");
	FAILS(0x052400, t, IN, 64, 0x43, 0, 0, 0, 0, 0, 2, 0, 64);
	FAILS(0x052400, t, IN, 64, 0x43, 0, 5, 0, 0, 0, 0, 0, 64);
}

static void test_configuration(struct scsi_dev *t)
{
	GOOD(t, IN, 255, 0x46, 0, 0, 0, 0, 0, 0, 0, 255);
	check(be32_get(rig_data) == rig_req.moved - 4 && be16_get(rig_data + 6) == 8, "CD-ROM");
	GOOD(t, IN, 255, 0x46, 2, 0, 0x1f, 0, 0, 0, 0, 255);
	check(rig_req.moved == 16 && !(rig_data[10] & 1), "DVD read is not current");
	GOOD(t, IN, 8, 0x46, 2, 0x12, 0x34, 0, 0, 0, 0, 8);
	check(be32_get(rig_data) == 4, "no such feature");
	GOOD(t, IN, 34, 0x51, 0, 0, 0, 0, 0, 0, 0, 34);
	check(rig_data[2] == 0x0e, "complete");
	GOOD(t, IN, 8, 0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8);
	GOOD(t, IN, 128, 0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 128);
	check(rig_req.moved == 30 && rig_data[8] == 0x2a && rig_data[7] == 0, "capabilities");
}

static void event(struct scsi_dev *t, uint8_t code, uint8_t status)
{
	GOOD(t, IN, 8, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
	check(rig_data[4] == code && rig_data[5] == status, "event %u, %u", rig_data[4],
	      rig_data[5]);
}

static void test_tray(struct scsi_dev *t)
{
	event(t, 0, 2);
	GOOD(t, NONE, 0, 0x1e, 0, 0, 0, 1);
	FAILS(0x055302, t, NONE, 0, 0x1b, 0, 0, 0, 2);
	check(scsi_cd_insert(t, NULL, false, NULL) == -EBUSY, "locked");
	GOOD(t, NONE, 0, 0x1e, 0, 0, 0, 0);
	GOOD(t, NONE, 0, 0x1b, 0, 0, 0, 2);
	event(t, 3, 1);
	FAILS(0x023a02, t, NONE, 0, 0x00);
	FAILS(0x023a02, t, IN, 2048, 0x28, 0, 0, 0, 0, 16, 0, 0, 1);
	GOOD(t, NONE, 0, 0x1b, 0, 0, 0, 3);
	event(t, 2, 2);
	FAILS(0x062800, t, NONE, 0, 0x00);
	GOOD(t, NONE, 0, 0x00);
	check(!scsi_cd_insert(t, NULL, false, NULL), "taken out");
	FAILS(0x023a00, t, NONE, 0, 0x00);
	event(t, 3, 0);
	GOOD(t, IN, 255, 0x46, 0, 0, 0, 0, 0, 0, 0, 255);
	check(be16_get(rig_data + 6) == 0, "no profile");
	check(!scsi_cd_insert(t, rig_blk(&disk, true), false, NULL), "put in");
	event(t, 2, 2);
	FAILS(0x062800, t, IN, 2048, 0x28, 0, 0, 0, 0, 16, 0, 0, 1);
	GOOD(t, IN, 2048, 0x28, 0, 0, 0, 0, 16, 0, 0, 1);
}

/* Without autosense the last failure is kept for REQUEST SENSE. */
static void test_kept_sense(struct scsi_dev *t)
{
	FAILS(0x052100, t, IN, 2048, 0xa8, 0, 0xff, 0, 0, 0, 0, 0, 0, 1);
	check(scsi_sense_key(&rig_req) == 5, "key");
	GOOD(t, IN, 18, 0x03, 0, 0, 0, 18);
	check(rig_data[2] == 5 && rig_data[12] == 0x21, "kept");
	GOOD(t, IN, 18, 0x03, 0, 0, 0, 18);
	check(rig_data[2] == 0, "told");
	FAILS(0x052100, t, IN, 2048, 0xa8, 0, 0xff, 0, 0, 0, 0, 0, 0, 1);
	GOOD(t, NONE, 0, 0x00);
	GOOD(t, IN, 18, 0x03, 0, 0, 0, 18);
	check(rig_data[2] == 0, "forgotten");
}

int main(void)
{
	struct scsi_params p = { .product = "a name that is too long", .keep_sense = true };
	struct scsi_dev *t;

	test_vm_init(1);
	rig_disk_init(&disk, SECTORS * 2048 + 512);
	t = scsi_cd_new(&test_vm, rig_blk(&disk, true), &p, NULL);
	FAILS(0x062900, t, NONE, 0, 0x00);
	GOOD(t, IN, 36, 0x12, 0, 0, 0, 36);
	check(rig_data[0] == 5 && rig_data[1] == 0x80 &&
	      !memcmp(rig_data + 8, "NECVMWara name that is t1.00", 28), "names");
	GOOD(t, IN, 18, 0x03, 0, 0, 0, 18);
	test_read(t);
	test_toc(t);
	test_configuration(t);
	test_tray(t);
	test_kept_sense(t);
	scsi_free(t);
	sg_free(&rig_req.data);
	free(disk.bytes);
	test_vm_done();
	return check_done();
}
