/* Targets that leave a bus while they are used. */
#include "dev/scsi_bus.h"
#include "scsi_rig.h"

static struct rig_disk disk;
static struct scsi_bus bus;
static struct scsi_req many[8];
static unsigned nended, ngone, ended_at_gone;

static void done(struct scsi_req *r)
{
	nended++;
}

static void gone(void *ptr)
{
	ngone++;
	ended_at_gone = nended;
}

static void start(unsigned i, uint8_t op, enum scsi_attr attr)
{
	struct scsi_req *r = &many[i];

	memset(r->cdb, 0, sizeof(r->cdb));
	r->cdb[0] = op;
	r->cdb[8] = op == 0x28 || op == 0x2a;
	r->attr = attr;
	r->dir = SCSI_DIR_ANY;
	r->done = done;
	sg_clear(&r->data, NULL);
	sg_add_host(&r->data, rig_data, 512);
	scsi_start(bus.target[3], r);
}

static struct scsi_dev *attach(void)
{
	struct scsi_dev *t = scsi_disk_new(&test_vm, rig_blk(&disk, false), NULL, NULL);

	check(!scsi_bus_attach(&bus, 3, t, NULL), "attach");
	nended = ngone = 0;
	start(0, 0x00, SCSI_SIMPLE);	/* the unit attention */
	check(nended == 1, "attention");
	nended = 0;
	return t;
}

/* n of them, one that ended early included. */
static void wait_gone(unsigned n)
{
	while (ngone < n) {
		sched_yield();
		vm_run_work(&test_vm);
	}
}

/* What is under way ends as it would; what waits is aborted; what is written is flushed. */
static void test_busy(void)
{
	struct scsi_dev *t = attach(), *was;
	unsigned flushes;

	disk.slow = true;
	start(0, 0x2a, SCSI_SIMPLE);
	start(1, 0x28, SCSI_SIMPLE);
	start(2, 0x35, SCSI_ORDERED);
	start(3, 0x28, SCSI_SIMPLE);
	check(nended == 0, "slow");
	check(!scsi_bus_detach(&bus, 3, gone, NULL, &was, NULL) && was == t && !bus.target[3] &&
	      bus.leaving == t, "it has left");
	check(nended == 2 && many[2].status == SCSI_TASK_ABORTED &&
	      many[3].status == SCSI_TASK_ABORTED && !ngone, "not begun: %u", nended);
	wait_gone(1);
	check(ended_at_gone == 4 && ngone == 1 && many[0].status == SCSI_GOOD &&
	      many[1].status == SCSI_GOOD, "under way");
	flushes = disk.flushes;
	check(!blk_close(scsi_bus_forget(&bus, was), NULL) && !bus.leaving, "closed");
	check(disk.flushes == flushes + 1, "flushed");
	disk.slow = false;
}

/* The adapter is reset meanwhile: nothing is under way behind that. */
static void test_reset(void)
{
	struct scsi_dev *was;

	attach();
	disk.slow = true;
	for (unsigned i = 0; i < 8; i++)
		start(i, 0x28, SCSI_SIMPLE);
	check(!scsi_bus_detach(&bus, 3, gone, NULL, &was, NULL), "left");
	scsi_bus_drain(&bus);
	check(nended == 8 && ngone == 1, "drained: %u", nended);
	disk.slow = false;
	disk.fail = -EIO;
	check(blk_close(scsi_bus_forget(&bus, was), NULL) == -EIO, "what the flush says");
}

/* Another takes its place before it is gone. */
static void test_again(void)
{
	struct scsi_dev *a = attach(), *b, *was, *was_b;
	struct err e = { 0 };

	disk.slow = true;
	start(0, 0x28, SCSI_SIMPLE);
	check(!scsi_bus_detach(&bus, 3, gone, NULL, &was, NULL) && !ngone, "left");
	check(scsi_bus_detach(&bus, 3, gone, NULL, &was_b, &e) == -ENODEV, "%s", e.msg);
	b = scsi_disk_new(&test_vm, rig_blk(&disk, false), NULL, NULL);
	check(!scsi_bus_attach(&bus, 3, b, NULL), "the place is free");
	check(!scsi_bus_detach(&bus, 3, gone, NULL, &was_b, NULL) && ngone == 1 && was_b == b,
	      "idle: at once");
	check(!blk_close(scsi_bus_forget(&bus, b), NULL), "second");
	wait_gone(2);
	check(!blk_close(scsi_bus_forget(&bus, a), NULL) && !bus.leaving, "first");
	disk.slow = false;
}

int main(void)
{
	test_vm_init(1);
	rig_disk_init(&disk, 1 << 20);
	test_busy();
	test_reset();
	test_again();
	for (unsigned i = 0; i < 8; i++)
		sg_free(&many[i].data);
	free(disk.bytes);
	test_vm_done();
	return check_done();
}
