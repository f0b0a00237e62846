/* Block requests: which are done where they are made, which are started, which threads do. */
#include "dev/blk.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "dev_vm.h"

#define REQS 40u

static struct err e;

/* A disk whose byte i is i; started reads end when the test says so. */
struct fake {
	bool cached;
	int start_rc;		/* of start_readv */
	unsigned tries, starts, flushes;
	_Atomic unsigned reads;
	unsigned n;		/* started, not ended */
	void (*done[REQS])(void *req, int rc);
	void *req[REQS];
	const struct iovec *iov[REQS];
	uint64_t off[REQS];
};

static void fill(const struct iovec *iov, int n, uint64_t off)
{
	for (int i = 0; i < n; i++)
		for (size_t k = 0; k < iov[i].iov_len; k++)
			((uint8_t *)iov[i].iov_base)[k] = (uint8_t)(off++ / 512);
}

static int fake_readv(void *ptr, const struct iovec *iov, int n, uint64_t off, struct err *err)
{
	((struct fake *)ptr)->reads++;
	fill(iov, n, off);
	return off == 99 * 512 ? err_set(err, -EIO, "a bad sector") : 0;
}

static int fake_writev(void *ptr, const struct iovec *iov, int n, uint64_t off, struct err *err)
{
	return 0;
}

static int fake_try(void *ptr, const struct iovec *iov, int n, uint64_t off, struct err *err)
{
	struct fake *f = ptr;

	f->tries++;
	if (!f->cached)
		return -EAGAIN;
	fill(iov, n, off);
	return 0;
}

static int fake_start(void *ptr, const struct iovec *iov, int n, uint64_t off,
		      void (*done)(void *req, int rc), void *req)
{
	struct fake *f = ptr;

	f->starts++;
	if (f->start_rc)
		return f->start_rc;
	f->done[f->n] = done;
	f->req[f->n] = req;
	f->iov[f->n] = iov;
	f->off[f->n++] = off;
	return 0;
}

/* All that was started ends. */
static void end_all(struct fake *f, int rc)
{
	for (unsigned i = 0; i < f->n; i++) {
		if (!rc)
			fill(f->iov[i], 1, f->off[i]);
		f->done[i](f->req[i], rc);
	}
	f->n = 0;
}

static void *ender(void *ptr)
{
	end_all(ptr, 0);
	return NULL;
}

/* The last flush, when the machine ends, says why it fails, too. */
static int fake_flush(void *ptr, struct err *err)
{
	((struct fake *)ptr)->flushes++;
	check(err, "a place to say why");
	return err_set(err, -EIO, "a cable is out");
}

static const struct blk_ops ops = {
	.readv = fake_readv, .writev = fake_writev, .try_readv = fake_try, .start_readv = fake_start,
	.flush = fake_flush,
};

static unsigned ended;

static void req_done(struct blk_req *r)
{
	ended++;
}

struct one {
	struct blk_req r;
	struct iovec iov;
	uint8_t buf[512];
};

static void submit(struct blk *b, struct one *o, uint64_t sector)
{
	memset(o, 0, sizeof(*o));
	o->iov = (struct iovec){ o->buf, 512 };
	o->r = (struct blk_req){ .op = BLK_READ, .off = sector * 512, .len = 512, .iov = &o->iov,
				 .niov = 1, .done = req_done };
	blk_submit(b, &o->r);
}

static bool right(const struct one *o)
{
	return !o->r.rc && o->buf[0] == (uint8_t)(o->r.off / 512) && o->buf[511] == o->buf[0];
}

static struct blk *make(struct fake *f)
{
	struct blk_params p = { .ops = &ops, .ptr = f, .size = 1000 * 512 };

	memset(f, 0, sizeof(*f));
	ended = 0;
	memset(&test_vm.io, 0, sizeof(test_vm.io));
	return blk_new(&test_vm, &p, &e);
}

static void started_reads_end(void)
{
	static struct one o[3];
	struct fake f;
	struct blk *b = make(&f);

	for (unsigned i = 0; i < 3; i++)
		submit(b, &o[i], 10 + i);
	check(f.starts == 3 && f.n == 3 && ended == 0, "%u started, %u ended", f.starts, ended);
	end_all(&f, 0);
	check(ended == 0, "told before the vCPU's thread could");
	vm_run_work(&test_vm);
	check(ended == 3 && right(&o[0]) && right(&o[2]) && !f.reads, "%u ended", ended);
	check(test_vm.io.started == 3 && !test_vm.io.threads && !test_vm.io.here, "counts");
	blk_free(b);
}

static void failed_ones_are_asked_for(void)
{
	static struct one o[2];
	struct fake f;
	struct blk *b = make(&f);

	submit(b, &o[0], 20);
	submit(b, &o[1], 99);
	end_all(&f, -EAGAIN);
	blk_drain(b);
	check(ended == 2 && f.reads == 2, "%u ended, %u reads", ended, f.reads);
	check(right(&o[0]) && o[1].r.rc == -EIO, "%d", o[1].r.rc);
	check(!strcmp(o[1].r.err.msg, "a bad sector"), "%s", o[1].r.err.msg);
	f.start_rc = -EAGAIN;
	submit(b, &o[0], 30);
	blk_drain(b);
	check(ended == 3 && right(&o[0]) && test_vm.io.threads == 1, "by a thread");
	blk_free(b);
}

static void draining_waits(void)
{
	static struct one o;
	pthread_t t;
	struct fake f;
	struct blk *b = make(&f);

	submit(b, &o, 40);
	pthread_create(&t, NULL, ender, &f);
	blk_drain(b);
	check(ended == 1 && right(&o), "it did not wait");
	pthread_join(t, NULL);
	blk_free(b);
}

/* After some that had to wait most are not tried, until one need not wait. */
static void misses_are_learnt(void)
{
	static struct one o[REQS];
	struct fake f;
	struct blk *b = make(&f);

	for (unsigned i = 0; i < 20; i++)
		submit(b, &o[i], i);
	check(f.starts == 20 && f.tries >= 4 && f.tries <= 8, "%u tries", f.tries);
	end_all(&f, 0);
	f.cached = true;
	for (unsigned i = 20; i < 40; i++)
		submit(b, &o[i], i);
	check(test_vm.io.here >= 12, "%u were done at once", (unsigned)test_vm.io.here);
	end_all(&f, 0);
	blk_drain(b);
	for (unsigned i = 0; i < REQS; i++)
		check(right(&o[i]), "request %u", i);
	check(ended == REQS, "%u ended", ended);
	blk_free(b);
	check(f.flushes == 1, "flushed %u times", f.flushes);
}

/* Writes of a disk that is slowed down. */

static _Atomic bool paced;
static _Atomic unsigned written;
static uint64_t turn_ns;

static uint64_t fake_turn(void *ptr, uint64_t len) { return turn_ns; }
static bool fake_paced(void *ptr) { return paced; }

static int slow_writev(void *ptr, const struct iovec *iov, int n, uint64_t off, struct err *err)
{
	written++;
	return 0;
}

static void submit_write(struct blk *b, struct one *o, uint64_t due)
{
	memset(o, 0, sizeof(*o));
	o->iov = (struct iovec){ o->buf, 512 };
	o->r = (struct blk_req){ .op = BLK_WRITE, .len = 512, .iov = &o->iov, .niov = 1,
				 .done = req_done };
	turn_ns = due;
	blk_submit(b, &o->r);
}

/* Soon, or not: what has no turn yet must not be quicker than its turn. */
static bool becomes(unsigned want)
{
	for (unsigned i = 0; i < 1000 && written != want; i++)
		usleep(1000);
	return written == want;
}

static void writes_wait_for_their_turn(void)
{
	static const struct blk_ops slow = {
		.readv = fake_readv, .writev = slow_writev, .turn = fake_turn, .paced = fake_paced,
	};
	struct fake f = { .cached = true };
	struct blk_params p = { .ops = &slow, .ptr = &f, .size = 1000 * 512, .quick_writes = true };
	static struct one o[12], r;
	struct blk *b = blk_new(&test_vm, &p, &e);
	uint64_t began = clock_ns(), far = began + 1000 * NS_PER_SEC;

	ended = written = 0;
	paced = true;
	submit_write(b, &o[0], 0);
	check(written == 1 && ended == 1, "one that need not wait");
	submit_write(b, &o[1], began + 50 * NS_PER_MS);
	check(becomes(2) && clock_ns() >= began + 50 * NS_PER_MS, "too early, or never");
	/* More than there are threads; a read passes them. */
	for (unsigned i = 2; i < 12; i++)
		submit_write(b, &o[i], far);
	submit(b, &r, 5);
	for (unsigned i = 0; i < 1000 && !f.reads; i++)
		usleep(1000);
	check(f.reads == 1 && written == 2, "%u reads, %u written", (unsigned)f.reads, (unsigned)written);
	/* They need not any more. */
	paced = false;
	check(becomes(12), "%u written", (unsigned)written);
	blk_drain(b);
	check(ended == 13 && right(&r), "%u ended", ended);
	/* Nor does a reset wait for turns. */
	paced = true;
	for (unsigned i = 2; i < 12; i++)
		submit_write(b, &o[i], far);
	blk_drain(b);
	check(ended == 23 && clock_ns() < far, "%u ended", ended);
	submit_write(b, &o[0], far);
	blk_free(b);
	check(ended == 24, "%u ended", ended);
}

int main(void)
{
	test_vm_init(1);
	started_reads_end();
	failed_ones_are_asked_for();
	draining_waits();
	misses_are_learnt();
	writes_wait_for_their_turn();
	test_vm_done();
	return check_done();
}
