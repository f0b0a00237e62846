/*
 * The thread alone speaks to the kernel: it takes what others have queued, all at once,
 * and waits for completions and for an eventfd that wakes it.  So the kernel does what a
 * request needs in that thread's time, and never stops a vCPU's for it; and with many
 * under way nearly every wait finds several that have ended.
 *
 * The queues are memory shared with the kernel, see io_uring_setup(2): of the submission
 * queue we move the tail and it the head, inside io_uring_enter(); of the completion queue
 * it moves the tail and we the head.
 */
#include "disk/ring.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ENTRIES		64u	/* of the submission queue */
#define COMPLETIONS	1024u	/* more wait in the kernel */
#define FEATURES	(IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP)
/* Since Linux 6.1: completions wait until the thread asks. */
#define QUIET		(1u << 12 | 1u << 13)	/* SINGLE_ISSUER, DEFER_TASKRUN */

struct ring {
	pthread_t thread;
	pthread_mutex_t lock;
	/* With the lock: */
	struct ring_op *first, **last;	/* not given to the kernel yet */
	bool asleep;		/* wake it through event */
	bool quit;
	/* The thread's: */
	int fd, event;
	bool armed;		/* a read of event is under way */
	uint64_t count;		/* read from event */
	struct iovec count_iov;
	void *map, *sqes;	/* the queues, the entries of the first */
	size_t map_len, sqes_len;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	uint32_t *sq_array, sq_entries, cq_mask;
	_Atomic uint32_t *sq_head, *sq_tail, *cq_head, *cq_tail;
	/* How starting it went, with started and changed: */
	pthread_cond_t changed;
	bool started;
	int rc;
};

/* --- the kernel's side ----------------------------------------------------------------- */

static int setup_fd(struct io_uring_params *p)
{
	long fd;

	*p = (struct io_uring_params){ .flags = IORING_SETUP_CQSIZE | QUIET, .cq_entries = COMPLETIONS };
	fd = syscall(SYS_io_uring_setup, ENTRIES, p);
	if (fd >= 0 || errno != EINVAL)
		return fd < 0 ? -errno : (int)fd;
	*p = (struct io_uring_params){ .flags = IORING_SETUP_CQSIZE, .cq_entries = COMPLETIONS };
	fd = syscall(SYS_io_uring_setup, ENTRIES, p);
	return fd < 0 ? -errno : (int)fd;
}

static int setup(struct ring *r)
{
	const int prot = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
	struct io_uring_params p;
	size_t sq, cq;
	char *m;

	r->fd = setup_fd(&p);
	if (r->fd < 0)
		return r->fd;
	if ((p.features & FEATURES) != FEATURES)
		return -ENOSYS;
	sq = p.sq_off.array + p.sq_entries * sizeof(uint32_t);
	cq = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	r->map_len = sq > cq ? sq : cq;
	r->sqes_len = p.sq_entries * sizeof(struct io_uring_sqe);
	r->map = mmap(NULL, r->map_len, prot, flags, r->fd, IORING_OFF_SQ_RING);
	if (r->map == MAP_FAILED)
		return -errno;
	r->sqes = mmap(NULL, r->sqes_len, prot, flags, r->fd, IORING_OFF_SQES);
	if (r->sqes == MAP_FAILED)
		return -errno;
	m = r->map;
	r->sqe = r->sqes;
	r->sq_entries = p.sq_entries;
	r->sq_array = (uint32_t *)(m + p.sq_off.array);
	r->sq_head = (_Atomic uint32_t *)(m + p.sq_off.head);
	r->sq_tail = (_Atomic uint32_t *)(m + p.sq_off.tail);
	r->cq_mask = *(uint32_t *)(m + p.cq_off.ring_mask);
	r->cq_head = (_Atomic uint32_t *)(m + p.cq_off.head);
	r->cq_tail = (_Atomic uint32_t *)(m + p.cq_off.tail);
	r->cqe = (struct io_uring_cqe *)(m + p.cq_off.cqes);
	return 0;
}

static void unmap(struct ring *r)
{
	if (r->map != MAP_FAILED)
		munmap(r->map, r->map_len);
	if (r->sqes != MAP_FAILED)
		munmap(r->sqes, r->sqes_len);
	if (r->fd >= 0)
		close(r->fd);
}

/* Entries that the kernel has not taken. */
static uint32_t pending(const struct ring *r)
{
	return atomic_load_explicit(r->sq_tail, memory_order_relaxed) -
	       atomic_load_explicit(r->sq_head, memory_order_acquire);
}

/* Put an entry into the queue, which has room. */
static void put(struct ring *r, const struct io_uring_sqe *s)
{
	uint32_t tail = atomic_load_explicit(r->sq_tail, memory_order_relaxed);
	uint32_t i = tail & (r->sq_entries - 1);

	r->sqe[i] = *s;
	r->sq_array[i] = i;
	atomic_store_explicit(r->sq_tail, tail + 1, memory_order_release);
}

/* Give the kernel what is in the queue, and wait for a completion.  0 or -errno. */
static int enter(const struct ring *r, unsigned wait)
{
	long n = syscall(SYS_io_uring_enter, r->fd, pending(r), wait, IORING_ENTER_GETEVENTS,
			 NULL, 0);

	return n < 0 ? -errno : 0;
}

/* --- the thread --------------------------------------------------------------------------- */

static void arm(struct ring *r)
{
	const struct io_uring_sqe s = {
		.opcode = IORING_OP_READV, .fd = r->event, .addr = (uintptr_t)&r->count_iov, .len = 1,
	};

	put(r, &s);
	r->armed = true;
}

/* Queue what others want.  Returns how many completions to wait for; < 0: no more. */
static int take(struct ring *r)
{
	struct ring_op *op;
	int wait;

	if (!r->armed && pending(r) < r->sq_entries)
		arm(r);
	pthread_mutex_lock(&r->lock);
	while ((op = r->first) && pending(r) < r->sq_entries) {
		const struct io_uring_sqe s = {
			.opcode = IORING_OP_READV, .fd = op->fd, .addr = (uintptr_t)op->iov,
			.len = (uint32_t)op->n, .off = op->off, .user_data = (uintptr_t)op,
		};

		put(r, &s);
		r->first = op->next;
	}
	if (!r->first)
		r->last = &r->first;
	wait = r->quit ? -1 : !r->first;
	r->asleep = wait > 0;
	pthread_mutex_unlock(&r->lock);
	return wait;
}

/* Tell what has ended. */
static void reap(struct ring *r)
{
	uint32_t head = atomic_load_explicit(r->cq_head, memory_order_relaxed);

	while (head != atomic_load_explicit(r->cq_tail, memory_order_acquire)) {
		const struct io_uring_cqe *c = &r->cqe[head & r->cq_mask];
		struct ring_op *op = (struct ring_op *)(uintptr_t)c->user_data;
		int res = c->res;

		atomic_store_explicit(r->cq_head, ++head, memory_order_release);
		if (op)
			op->done(op, res);
		else
			r->armed = false;
	}
}

/* Can it be entered?  Wakes itself, and sees that. */
static int try_it(struct ring *r)
{
	int rc;

	if (eventfd_write(r->event, 1))
		return -errno;
	arm(r);
	while (r->armed) {
		rc = enter(r, 1);
		if (rc && rc != -EINTR)
			return rc;
		reap(r);
	}
	return 0;
}

static void *run(void *ptr)
{
	const struct timespec pause = { 0, 1000000 };
	struct ring *r = ptr;
	int rc = setup(r), wait;

	if (!rc)
		rc = try_it(r);
	pthread_mutex_lock(&r->lock);
	r->rc = rc;
	r->started = true;
	pthread_cond_signal(&r->changed);
	pthread_mutex_unlock(&r->lock);
	while (!rc && (wait = take(r)) >= 0) {
		int busy = enter(r, (unsigned)wait);

		if (busy && busy != -EINTR)
			nanosleep(&pause, NULL);	/* the kernel has no memory, say */
		reap(r);
	}
	unmap(r);
	return NULL;
}

/* --- ours --------------------------------------------------------------------------------- */

/* Signals are the other threads'. */
static int start_thread(struct ring *r)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&r->thread, NULL, run, r);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc)
		return -rc;
	pthread_mutex_lock(&r->lock);
	while (!r->started)
		pthread_cond_wait(&r->changed, &r->lock);
	pthread_mutex_unlock(&r->lock);
	if (r->rc)
		pthread_join(r->thread, NULL);
	return r->rc;
}

static void destroy(struct ring *r)
{
	if (r->event >= 0)
		close(r->event);
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

int ring_new(struct ring **out, struct err *e)
{
	struct ring *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return err_set(e, -ENOMEM, "no memory");
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->changed, NULL);
	r->last = &r->first;
	r->fd = -1;
	r->map = r->sqes = MAP_FAILED;
	r->count_iov = (struct iovec){ &r->count, sizeof(r->count) };
	r->event = eventfd(0, EFD_CLOEXEC);
	rc = r->event < 0 ? -errno : start_thread(r);
	if (rc) {
		destroy(r);
		return err_sys(e, rc, "io_uring");
	}
	*out = r;
	return 0;
}

void ring_readv(struct ring *r, struct ring_op *op)
{
	bool wake;

	op->next = NULL;
	pthread_mutex_lock(&r->lock);
	*r->last = op;
	r->last = &op->next;
	wake = r->asleep;
	r->asleep = false;
	pthread_mutex_unlock(&r->lock);
	if (wake)
		eventfd_write(r->event, 1);
}

void ring_free(struct ring *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->quit = true;
	pthread_mutex_unlock(&r->lock);
	eventfd_write(r->event, 1);
	pthread_join(r->thread, NULL);
	destroy(r);
}
