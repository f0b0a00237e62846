/* The SAS1068's events: targets that come and go while the driver listens, or does not. */
#include "mpt_rig.h"

enum { LINK = 0x12, DISCOVERY = 0x16, STATUS_CHANGE = 0x0f };
#define ADDED		3
#define NOT_RESPONDING	4
#define SECOND		1000000000u

static struct scsi_dev *leaving;
static unsigned ngone;

static void gone(void *ptr) { ngone++; }

/* The driver wants events. */
static void listen(void)
{
	uint8_t rq[12] = { [0] = 1, [3] = 7 }, rp[256];

	start(8);
	check(handshake(rq, sizeof(rq), rp) == 32 && rp[3] == 7, "EVENT NOTIFICATION");
}

/* The next event is this one; its data. */
static const uint8_t *event(unsigned code)
{
	static uint8_t rp[80];
	uint32_t r = get(STATUS) & 8 ? answer(rp) : NONE;

	check(r != NONE && r >> 31 && rp[3] == 7 && le32_get(rp + 20) == code, "event %02x: %08x %02x",
	      code, r, le32_get(rp + 20));
	return rp + 28;
}

static bool quiet(void) { return !(get(STATUS) & 8) && get(REPLIES) == NONE; }

static void go(void)
{
	check(!scsi_bus_detach(mpt_bus(m), 0, gone, NULL, &leaving, NULL) && ngone, "left");
	blk_free(scsi_bus_forget(mpt_bus(m), leaving));
	ngone = 0;
	mpt_changed(m, 0, false);
}

static void come(void)
{
	struct scsi_dev *t = scsi_disk_new(&test_vm, rig_blk(&disk, false), NULL, NULL);

	check(!scsi_bus_attach(mpt_bus(m), 0, t, NULL), "attached");
	mpt_changed(m, 0, true);
}

static void told_of_discovery(void)
{
	check(event(LINK)[1] == 0x09, "the link is down");
	check(le32_get(event(DISCOVERY)) == 1 && le32_get(event(DISCOVERY)) == 0, "a discovery");
}

static void told_it_came(void)
{
	const uint8_t *d;

	check(event(LINK)[1] == 0x90, "the link is up");
	d = event(STATUS_CHANGE);
	check(d[0] == 0 && d[2] == ADDED, "a device");
}

/* A driver of the old protocol looks after a discovery: it need not hear more. */
static void test_looks(void)
{
	uint8_t rq[12] = { [3] = 3 }, rp[256];

	listen();
	check(handshake(rq, 12, rp) == 80 && rp[5] < 0x0e, "headers of the old protocol");
	go();
	told_of_discovery();
	test_pass(SECOND - 1);
	check(page(1, 15, 0x12, 0, 1u << 28 | 0, 36, rp) == 0x22, "gone");
	test_pass(9ull * SECOND);
	check(quiet(), "it knows");
	come();
	told_it_came();
	check(quiet(), "all");
}

/* Others wait to be told; so does one that looks for another target, or by a handle. */
static void test_waits(void)
{
	const uint8_t *d;
	uint8_t rp[80];

	listen();
	go();
	told_of_discovery();
	check(page(1, 15, 0x12, 0, 1u << 28 | 3, 36, rp) == 0x22, "another");
	check(page(1, 15, 0x12, 0, 1u << 28 | 32, 36, rp) == 0x22, "none there can be");
	check(page(1, 15, 0x12, 0, 2u << 28 | 17, 36, rp) == 0x22, "by its handle");
	test_pass(SECOND - 1);
	check(quiet(), "not yet");
	test_pass(1);
	d = event(STATUS_CHANGE);
	check(d[0] == 0 && d[2] == NOT_RESPONDING && le16_get(d + 6) == 17, "told");
	test_pass(9ull * SECOND);
	check(quiet(), "once");
	come();
	told_it_came();
}

/* It comes again before the driver was told that it had gone. */
static void test_hurries(void)
{
	listen();
	go();
	come();
	told_of_discovery();
	check(event(LINK)[1] == 0x90, "the link is up");
	check(event(STATUS_CHANGE)[2] == NOT_RESPONDING, "the old one");
	check(event(STATUS_CHANGE)[2] == ADDED, "the new one");
	test_pass(9ull * SECOND);
	check(quiet(), "all");
}

/* A reset forgets it: the driver then looks anew. */
static void test_reset(void)
{
	listen();
	go();
	told_of_discovery();
	listen();
	test_pass(9ull * SECOND);
	check(quiet(), "forgotten");
	start(8);
	come();
	go();
	come();
	test_pass(9ull * SECOND);
	check(quiet(), "nobody listens");
}

int main(void)
{
	make(true);
	test_looks();
	test_waits();
	test_hurries();
	test_reset();
	unmake();
	return check_done();
}
