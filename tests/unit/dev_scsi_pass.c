/*
 * Targets whose commands go to a disk of the host: what is passed, what comes back, and
 * that a device that hangs holds up neither the guest's aborts nor its resets.
 */
#include "scsi_rig.h"
#include "dev/sgio.h"

#define IN SCSI_DIR_IN
#define OUT SCSI_DIR_OUT
#define NONE SCSI_DIR_NONE
#define MAX 8192u

/* The device: answers as it is told to, when it is allowed to. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool hangs;
	struct sgio_cmd answer;		/* end, status, sense, moved */
	struct sgio_cmd seen;		/* the last command */
	uint8_t sent[MAX];		/* and its data */
	uint8_t gives[MAX];
	unsigned commands, resets, waiting;
} dev = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

static void dev_command(void *ptr, struct sgio_cmd *c)
{
	pthread_mutex_lock(&dev.lock);
	if (c->reset) {
		dev.resets++;
		c->end = SGIO_DONE;
		pthread_mutex_unlock(&dev.lock);
		return;
	}
	dev.commands++;
	dev.seen = *c;
	if (c->dir == SGIO_OUT)
		memcpy(dev.sent, c->data, c->len);
	dev.waiting++;
	while (dev.hangs)
		pthread_cond_wait(&dev.cond, &dev.lock);
	dev.waiting--;
	c->end = dev.answer.end;
	c->status = dev.answer.status;
	c->sense_len = dev.answer.sense_len;
	memcpy(c->sense, dev.answer.sense, sizeof(c->sense));
	c->moved = dev.answer.moved < c->len ? dev.answer.moved : c->len;
	if (c->dir == SGIO_IN)
		memcpy(c->data, dev.gives, c->moved);
	pthread_mutex_unlock(&dev.lock);
}

static void hang(bool on)
{
	pthread_mutex_lock(&dev.lock);
	dev.hangs = on;
	pthread_cond_broadcast(&dev.cond);
	pthread_mutex_unlock(&dev.lock);
}

static unsigned commands(void)
{
	unsigned n;

	pthread_mutex_lock(&dev.lock);
	n = dev.commands;
	pthread_mutex_unlock(&dev.lock);
	return n;
}

static void wait_commands(unsigned n)
{
	while (commands() < n)
		sched_yield();
}

static const struct blk_ops pass_ops = { .command = dev_command };

static struct scsi_dev *new_target(void)
{
	struct blk_params p = { .ops = &pass_ops, .size = 1 << 20, .command_max = MAX };
	struct scsi_dev *t = scsi_disk_new(&test_vm, blk_new(&test_vm, &p, NULL), NULL, NULL);

	dev.answer = (struct sgio_cmd){ .moved = MAX };
	FAILS(0x062900, t, NONE, 0, 0x00);
	return t;
}

static void test_passed(struct scsi_dev *t)
{
	unsigned n = dev.commands;

	for (unsigned i = 0; i < MAX; i++)
		dev.gives[i] = (uint8_t)(i * 5);
	memset(rig_data, 0xee, 2048);
	GOOD(t, IN, 1024, 0x28, 0, 0, 0, 1, 2, 0, 0, 2);
	check(dev.seen.cdb_len == 10 && dev.seen.cdb[4] == 1 && dev.seen.len == 1024 &&
	      dev.seen.dir == SGIO_IN, "the command");
	check(rig_req.moved == 1024 && !memcmp(rig_data, dev.gives, 1024) &&
	      rig_data[1024] == 0xee, "its data");
	dev.answer.moved = 100;
	memset(rig_data, 0xee, 2048);
	GOOD(t, IN, 1024, 0x28, 0, 0, 0, 1, 2, 0, 0, 2);
	check(rig_req.moved == 100 && rig_data[99] == dev.gives[99] && rig_data[100] == 0xee,
	      "fewer");
	dev.answer.moved = MAX;
	memset(rig_data, 0x33, 512);
	GOOD(t, OUT, 512, 0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1);
	check(dev.seen.cdb_len == 16 && dev.seen.dir == SGIO_OUT && dev.sent[511] == 0x33, "out");
	GOOD(t, NONE, 0, 0x35);
	check(dev.seen.dir == SGIO_NONE && dev.seen.timeout_s > 3600, "as long as it takes");
	/* Its reservations are the device's own. */
	GOOD(t, IN, 64, 0x5e, 0, 0, 0, 0, 0, 0, 0, 64);
	GOOD(t, OUT, 24, 0x5f, 0, 0, 0, 0, 0, 0, 0, 24);
	check(dev.commands == n + 6, "%u commands", dev.commands - n);
	FAILS(0x052400, t, IN, MAX + 1, 0x28, 0, 0, 0, 1, 2, 0, 0, 17);
	GOOD(t, OUT, 512, 0x28, 0, 0, 0, 1, 2, 0, 0, 1);
	check(dev.seen.len == 0, "no data the wrong way");
	dev.answer.status = SCSI_RESERVATION_CONFLICT;
	check(RUN(t, NONE, 0, 0x00) == SCSI_RESERVATION_CONFLICT, "conflict");
	dev.answer.status = 0;
}

static void test_not_passed(struct scsi_dev *t)
{
	static const uint8_t ops[] = { 0x3b, 0x3c, 0x4c, 0x7f, 0x83, 0x84, 0x85, 0xa1, 0xa2, 0xb5,
				       0xc0, 0xff, 0x02 };
	unsigned n = dev.commands;

	for (unsigned i = 0; i < sizeof(ops); i++)
		FAILS(0x052000, t, NONE, 0, ops[i]);
	FAILS(0x052000, t, NONE, 0, 0xa4, 0x0a);	/* SET TARGET PORT GROUPS */
	FAILS(0x052400, t, NONE, 0, 0x9e, 0x11);
	GOOD(t, IN, 64, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64);
	check(be32_get(rig_data) == 8 && !be64_get(rig_data + 8), "one unit");
	rig_req.lun = 1;
	GOOD(t, IN, 96, 0x12, 0, 0, 0, 96);
	check(rig_data[0] == 0x7f, "no other unit");
	FAILS(0x052500, t, IN, 512, 0x28, 0, 0, 0, 0, 5, 0, 0, 1);
	rig_req.lun = 0;
	check(dev.commands == n, "none of that");
}

static void test_inquiry(struct scsi_dev *t)
{
	memset(dev.gives, 0, 96);
	dev.gives[5] = 0x0b;
	GOOD(t, IN, 96, 0x12, 0, 0, 0, 96);
	check(rig_data[5] == 0x03, "3PC");
	dev.gives[5] = 0xb0;
	be32_put(dev.gives + 8, 0x10000);
	be32_put(dev.gives + 12, 8);
	GOOD(t, IN, 64, 0x12, 1, 0xb0, 0, 64);
	check(be32_get(rig_data + 8) == MAX / 512 && be32_get(rig_data + 12) == 8, "limits");
	be32_put(dev.gives + 8, 0);	/* not said */
	GOOD(t, IN, 64, 0x12, 1, 0xb0, 0, 64);
	check(be32_get(rig_data + 8) == MAX / 512, "limits");
	GOOD(t, IN, 10, 0x12, 1, 0xb0, 0, 10);
	check(rig_req.moved == 10 && !memcmp(rig_data + 8, "\0\0", 2), "cut off");
}

static void test_ends(struct scsi_dev *t)
{
	static const struct { enum sgio_end end; uint8_t status; uint32_t sense; } row[] = {
		{ SGIO_AGAIN, SCSI_BUSY, 0 }, { SGIO_ABORTED, SCSI_TASK_ABORTED, 0 },
		{ SGIO_GONE, SCSI_CHECK_CONDITION, 0x040800 },
		{ SGIO_BROKEN, SCSI_CHECK_CONDITION, 0x044400 },
		{ SGIO_REFUSED, SCSI_CHECK_CONDITION, 0x052000 },
		{ SGIO_TOO_LONG, SCSI_CHECK_CONDITION, 0x052400 },
	};

	for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		dev.answer.end = row[i].end;
		check(RUN(t, IN, 512, 0x28, 0, 0, 0, 0, 5, 0, 0, 1) == row[i].status &&
		      rig_sense() == row[i].sense, "%u: %02x %06x", i, rig_req.status, rig_sense());
	}
	dev.answer.end = SGIO_DONE;
	dev.answer.status = SCSI_CHECK_CONDITION;
	memcpy(dev.answer.sense, "\xf0\0\x03\0\0\0\x05\x0a\0\0\0\0\x11\x04", 14);
	dev.answer.sense_len = 96;	/* more than requests have room for */
	FAILS(0x031104, t, IN, 512, 0x28, 0, 0, 0, 0, 5, 0, 0, 1);
	check(rig_req.sense_len == SCSI_SENSE_MAX && be32_get(rig_req.sense + 3) == 5, "sense");
	dev.answer.status = SCSI_GOOD;
	dev.answer.sense_len = 0;
}

/* --- a device that hangs ------------------------------------------------------------------- */

static struct scsi_req many[40];
static unsigned nended;

static void many_done(struct scsi_req *r)
{
	nended++;
}

static void start(struct scsi_dev *t, unsigned i)
{
	struct scsi_req *r = &many[i];

	memset(r->cdb, 0, sizeof(r->cdb));
	r->cdb[0] = 0x2a;
	r->cdb[8] = 1;
	r->dir = OUT;
	r->done = many_done;
	sg_clear(&r->data, NULL);
	sg_add_host(&r->data, rig_data, 512);
	scsi_start(t, r);
}

static void wait_ended(unsigned n)
{
	while (nended < n) {
		sched_yield();
		vm_run_work(&test_vm);
	}
}

static void test_hang(struct scsi_dev *t)
{
	unsigned n = commands();

	hang(true);
	nended = 0;
	for (unsigned i = 0; i < 40; i++)
		start(t, i);
	wait_commands(n + BLK_THREADS - 1);
	check(nended == 0 && commands() == n + BLK_THREADS - 1, "so many at a time");
	check(scsi_abort(t, &many[0]) && nended == 1 && many[0].status == SCSI_TASK_ABORTED,
	      "an abort does not wait");
	check(scsi_abort(t, &many[39]) && nended == 2, "nor that of one that was not sent");
	check(dev.resets == 0, "and resets nothing");
	scsi_reset(t, SCSI_TARGET_RESET);
	check(nended == 40 && many[5].status == SCSI_TASK_ABORTED, "a reset: %u", nended);
	scsi_reset(t, SCSI_TARGET_RESET);
	/* What is sent now could be overtaken by what hangs. */
	start(t, 0);			/* the unit attention */
	start(t, 1);
	check(nended == 40 && commands() == n + BLK_THREADS - 1, "held");
	hang(false);
	wait_ended(42);
	check(many[0].sense_len && many[1].status == SCSI_GOOD, "and goes on");
	check(commands() == n + BLK_THREADS, "once");
	check(dev.resets == 1 || dev.resets == 2, "the device was reset %u times", dev.resets);
}

/* A reservation is the guest's, for as long as it does not reset it or end. */
static void test_reserve(void)
{
	struct scsi_dev *t = new_target();

	dev.resets = 0;
	scsi_reset(t, SCSI_BUS_RESET);
	FAILS(0x062902, t, NONE, 0, 0x00);
	check(dev.resets == 0, "nothing to reset");
	GOOD(t, NONE, 0, 0x16);
	scsi_reset(t, SCSI_BUS_RESET);
	FAILS(0x062902, t, NONE, 0, 0x00);
	check(dev.resets == 1, "reserved");
	scsi_reset(t, SCSI_BUS_RESET);
	FAILS(0x062902, t, NONE, 0, 0x00);
	check(dev.resets == 1, "no longer");
	GOOD(t, NONE, 0, 0x16);
	GOOD(t, NONE, 0, 0x17);
	scsi_reset(t, SCSI_BUS_RESET);
	FAILS(0x062902, t, NONE, 0, 0x00);
	check(dev.resets == 1, "released");
	dev.answer.status = SCSI_RESERVATION_CONFLICT;
	check(RUN(t, NONE, 0, 0x16) == SCSI_RESERVATION_CONFLICT, "another has it");
	dev.answer.status = 0;
	scsi_reset(t, SCSI_BUS_RESET);
	FAILS(0x062902, t, NONE, 0, 0x00);
	check(dev.resets == 1, "which we leave to him");
	GOOD(t, NONE, 0, 0x16);
	scsi_free(t);
	check(dev.resets == 2, "at the end");
}

/* Random commands, aborts and resets of a device that answers when it likes: all end. */
static void test_any(void)
{
	struct scsi_dev *t = new_target();
	unsigned started = 0;

	nended = 0;
	for (unsigned round = 0; round < 300; round++) {
		hang(test_random() % 2);
		for (unsigned i = 0; i < 40; i++)
			many[i].attr = (enum scsi_attr)(test_random() % 8 < 3 ? test_random() % 3 : 0);
		for (unsigned i = 0; i < 40; i++, started++)
			start(t, i);
		for (unsigned i = 0; i < 5; i++)
			vm_run_work(&test_vm);
		hang(test_random() % 2);
		if (test_random() % 2)
			scsi_abort(t, &many[test_random() % 40]);
		if (test_random() % 2)
			scsi_reset(t, SCSI_BUS_RESET);
		else
			hang(false);
		wait_ended(started);
	}
	check(nended == started, "%u of %u", nended, started);
	hang(false);
	scsi_free(t);
}

int main(void)
{
	struct scsi_dev *t;

	test_vm_init(1);
	t = new_target();
	test_passed(t);
	test_not_passed(t);
	test_inquiry(t);
	test_ends(t);
	test_hang(t);
	scsi_free(t);
	test_reserve();
	test_any();
	sg_free(&rig_req.data);
	for (unsigned i = 0; i < 40; i++)
		sg_free(&many[i].data);
	test_vm_done();
	return check_done();
}
