/*
 * Block requests and the threads that do those that have to wait.
 *
 * A request's way: blk_submit() on a vCPU's thread -> queue -> a worker -> ended list ->
 * vm_defer() -> done() on vCPU 0's thread.  A read that can be started needs no worker, but
 * when it fails.  A write that has to wait for its turn (ops->turn) does so in a list of its
 * own, from which workers take it in time.  b->lock protects the lists; everything else
 * is vm->lock's.  A worker never takes vm->lock, so that who holds it may wait for one.
 */
#include "dev/blk.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS		4	/* of those that do not wait for a device's commands */
/* Longer ones leave the vCPU to go on, and others to have vm->lock. */
#define INLINE_MAX_SMP	(128u << 10)
#define SLOW_NS		500000u		/* what a write on the vCPU's thread may take */
#define DETOUR		256		/* writes that threads do after one that took longer */
#define MISSES		4		/* reads in a row that had to wait: the next will, too, */
#define RETRY		8		/* but for one in so many, perhaps */
#define LOOK_NS		20000000u	/* how often who waits for a turn asks whether he must */

struct blk_list {
	struct blk_req *first, **last;
};

struct blk {
	struct vm *vm;
	struct blk_params p;
	uint64_t writes, flushed;	/* writes that have ended; of these are durable */
	unsigned detour;	/* so many writes are left to threads */
	unsigned misses;	/* reads in a row that had to wait */
	pthread_mutex_t lock;
	pthread_cond_t work, idle;
	struct blk_list queue, ended;
	struct blk_list held;	/* wait for their turn, in that order */
	unsigned busy;		/* requests that a worker has, or is to have */
	unsigned started;	/* that go on without one */
	unsigned nthreads;
	bool quit;
	pthread_t thread[BLK_THREADS];
	struct vm_work tell;
};

static void list_init(struct blk_list *l)
{
	l->first = NULL;
	l->last = &l->first;
}

static void list_put(struct blk_list *l, struct blk_req *r)
{
	r->next = NULL;
	*l->last = r;
	l->last = &r->next;
}

static struct blk_req *list_get(struct blk_list *l)
{
	struct blk_req *r = l->first;

	if (r && !(l->first = r->next))
		l->last = &l->first;
	return r;
}

uint64_t blk_size(const struct blk *b)
{
	return b->p.size;
}

bool blk_readonly(const struct blk *b)
{
	return b->p.readonly;
}

uint32_t blk_command_max(const struct blk *b)
{
	return b->p.ops->command ? b->p.command_max : 0;
}

bool blk_thin(const struct blk *b)
{
	return b->p.thin;
}

const uint8_t *blk_uuid(const struct blk *b)
{
	return b->p.uuid;
}

void *blk_ptr(const struct blk *b, const struct blk_ops *ops)
{
	return b->p.ops == ops ? b->p.ptr : NULL;
}

/* --- workers ----------------------------------------------------------------- */

static int perform(const struct blk *b, struct blk_req *r)
{
	const struct blk_ops *ops = b->p.ops;
	int rc;

	switch (r->op) {
	case BLK_READ:
		return ops->readv(b->p.ptr, r->iov, r->niov, r->off, &r->err);
	case BLK_WRITE:
		rc = ops->writev(b->p.ptr, r->iov, r->niov, r->off, &r->err);
		return rc || !r->fua ? rc : ops->flush(b->p.ptr, &r->err);
	case BLK_ZERO:
	case BLK_UNMAP:
		rc = ops->zero(b->p.ptr, r->off, r->len, r->op == BLK_UNMAP, &r->err);
		return rc || !r->fua ? rc : ops->flush(b->p.ptr, &r->err);
	case BLK_FLUSH:
		return ops->flush(b->p.ptr, &r->err);
	case BLK_MAP:
		return ops->map(b->p.ptr, r->off, &r->len, &r->data, &r->err);
	case BLK_COMMAND:
		ops->command(b->p.ptr, r->command);
		return 0;
	}
	return -EINVAL;
}

/* With the lock: is nothing under way any more? */
static void rest(struct blk *b)
{
	if (!b->busy && !b->started)
		pthread_cond_broadcast(&b->idle);
}

/* With the lock: the next request.  NULL: there is none, or, at *look_ns, perhaps. */
static struct blk_req *next_request(struct blk *b, uint64_t *look_ns)
{
	const struct blk_req *r = b->held.first;
	uint64_t now;

	*look_ns = 0;
	if (!r)
		return list_get(&b->queue);
	now = clock_ns();
	if (b->quit || r->due_ns <= now || !b->p.ops->paced(b->p.ptr))
		return list_get(&b->held);
	*look_ns = r->due_ns < now + LOOK_NS ? r->due_ns : now + LOOK_NS;
	return list_get(&b->queue);
}

/* With the lock: wait for work, until look_ns, if that is not 0. */
static void wait_for_work(struct blk *b, uint64_t look_ns)
{
	struct timespec t = {
		.tv_sec = (time_t)(look_ns / NS_PER_SEC), .tv_nsec = (long)(look_ns % NS_PER_SEC),
	};

	if (look_ns)
		pthread_cond_clockwait(&b->work, &b->lock, CLOCK_MONOTONIC, &t);
	else
		pthread_cond_wait(&b->work, &b->lock);
}

static void *worker(void *ptr)
{
	uint64_t look_ns;
	struct blk *b = ptr;
	struct blk_req *r;

	pthread_mutex_lock(&b->lock);
	for (;;) {
		while (!(r = next_request(b, &look_ns)) && !b->quit)
			wait_for_work(b, look_ns);
		if (!r)
			break;
		pthread_mutex_unlock(&b->lock);
		r->rc = perform(b, r);
		pthread_mutex_lock(&b->lock);
		list_put(&b->ended, r);
		vm_defer(b->vm, &b->tell);
		b->busy--;
		rest(b);
	}
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

/* Another worker, if there may be one.  Signals are the other threads'. */
static void add_worker(struct blk *b)
{
	sigset_t all, old;

	if (b->nthreads == (b->p.ops->command ? BLK_THREADS : WORKERS))
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (!pthread_create(&b->thread[b->nthreads], NULL, worker, b))
		b->nthreads++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* --- requests ------------------------------------------------------------------ */

static bool changes(enum blk_op op)
{
	return op == BLK_WRITE || op == BLK_ZERO || op == BLK_UNMAP;
}

static void end(struct blk_req *r)
{
	struct blk *b = r->blk;

	if (changes(r->op))
		b->writes++;
	else if (r->op == BLK_FLUSH && !r->rc && b->flushed < r->stamp)
		b->flushed = r->stamp;
	r->done(r);
}

static void tell(void *ptr)
{
	struct blk *b = ptr;
	struct blk_list l;
	struct blk_req *r;

	pthread_mutex_lock(&b->lock);
	l = b->ended;
	if (l.first)
		list_init(&b->ended);
	pthread_mutex_unlock(&b->lock);
	while (l.first) {
		r = l.first;
		l.first = r->next;
		end(r);
	}
}

/*
 * A write into the page cache seldom waits, though no system call promises that of all
 * file systems (ext4 has no RWF_NOWAIT for it), and it is a tenth of what waking a
 * thread takes.  So it is tried, and one that did wait sends those behind it to threads.
 */
static int attempt_write(struct blk *b, struct blk_req *r)
{
	const struct blk_ops *ops = b->p.ops;
	uint64_t began;
	int rc;

	rc = ops->try_writev ? ops->try_writev(b->p.ptr, r->iov, r->niov, r->off, &r->err) :
			       -EAGAIN;
	if (rc != -EAGAIN || !b->p.quick_writes)
		return rc;
	if (b->detour) {
		b->detour--;
		return -EAGAIN;
	}
	began = clock_ns();
	rc = ops->writev(b->p.ptr, r->iov, r->niov, r->off, &r->err);
	if (clock_ns() - began > SLOW_NS + r->len)
		b->detour = DETOUR;
	return rc;
}

/* To try a read that has to wait takes as long as to start it. */
static int attempt_read(struct blk *b, struct blk_req *r)
{
	int rc = -EAGAIN;

	if (b->misses < MISSES || b->misses % RETRY == 0)
		rc = b->p.ops->try_readv(b->p.ptr, r->iov, r->niov, r->off, &r->err);
	b->misses = rc == -EAGAIN ? b->misses + 1 : 0;
	return rc;
}

/* Do it here if that does not take long.  -EAGAIN: a worker is to do it. */
static int attempt(struct blk *b, struct blk_req *r)
{
	const struct blk_ops *ops = b->p.ops;

	if (changes(r->op) && b->p.readonly)
		return err_set(&r->err, -EROFS, "the disk is read only");
	if (r->op == BLK_FLUSH && b->flushed == b->writes)
		return 0;
	if (r->op == BLK_MAP && !ops->map) {
		r->data = true;
		return 0;
	}
	if (r->due_ns)
		return -EAGAIN;
	/* The guest runs on while a snapshot is taken. */
	if (ops->frozen && ops->frozen(b->p.ptr))
		return -EAGAIN;
	if (r->op >= BLK_FLUSH || r->len > (b->vm->ncpus > 1 ? INLINE_MAX_SMP : BLK_INLINE_MAX))
		return -EAGAIN;
	if (r->op == BLK_READ && ops->try_readv)
		return attempt_read(b, r);
	if (r->op == BLK_WRITE && !r->fua)
		return attempt_write(b, r);
	return -EAGAIN;
}

/* Leave it to a worker.  With the lock.  false: no thread can be had. */
static bool hand_over(struct blk *b, struct blk_req *r)
{
	if (b->busy >= b->nthreads)
		add_worker(b);
	if (!b->nthreads)
		return false;
	list_put(r->due_ns ? &b->held : &b->queue, r);
	b->busy++;
	pthread_cond_signal(&b->work);
	return true;
}

/* A request that was started has ended, on any thread. */
static void has_ended(void *req, int rc)
{
	struct blk_req *r = req;
	struct blk *b = r->blk;

	pthread_mutex_lock(&b->lock);
	if (!rc || !hand_over(b, r)) {
		r->rc = rc ? perform(b, r) : 0;
		list_put(&b->ended, r);
		vm_defer(b->vm, &b->tell);
	}
	b->started--;
	rest(b);
	pthread_mutex_unlock(&b->lock);
}

/* Start it, so that it goes on without a thread of ours. */
static bool start(struct blk *b, struct blk_req *r)
{
	const struct blk_ops *ops = b->p.ops;

	if (r->op != BLK_READ || !ops->start_readv)
		return false;
	pthread_mutex_lock(&b->lock);
	b->started++;
	pthread_mutex_unlock(&b->lock);
	if (!ops->start_readv(b->p.ptr, r->iov, r->niov, r->off, has_ended, r))
		return true;
	pthread_mutex_lock(&b->lock);
	b->started--;
	pthread_mutex_unlock(&b->lock);
	return false;
}

void blk_submit(struct blk *b, struct blk_req *r)
{
	bool taken;

	r->blk = b;
	r->err.code = 0;
	r->stamp = b->writes;
	r->due_ns = b->p.ops->turn && changes(r->op) ? b->p.ops->turn(b->p.ptr, r->len) : 0;
	r->rc = attempt(b, r);
	if (r->rc != -EAGAIN) {
		b->vm->io.here++;
		end(r);
		return;
	}
	if (start(b, r)) {
		b->vm->io.started++;
		return;
	}
	b->vm->io.threads++;
	pthread_mutex_lock(&b->lock);
	taken = hand_over(b, r);
	pthread_mutex_unlock(&b->lock);
	if (taken)
		return;
	r->rc = perform(b, r);	/* no thread can be had: the guest waits */
	end(r);
}

/* With the lock: nobody waits for a turn any more. */
static void release(struct blk *b)
{
	for (struct blk_req *r = b->held.first; r; r = r->next)
		r->due_ns = 1;
	pthread_cond_broadcast(&b->work);
}

void blk_drain(struct blk *b)
{
	bool more;

	do {
		pthread_mutex_lock(&b->lock);
		release(b);
		while (b->busy || b->started)
			pthread_cond_wait(&b->idle, &b->lock);
		more = b->ended.first;
		pthread_mutex_unlock(&b->lock);
		tell(b);
	} while (more);
}

/* --- making ----------------------------------------------------------------------- */

struct blk *blk_new(struct vm *vm, const struct blk_params *p, struct err *e)
{
	struct blk *b = calloc(1, sizeof(*b));

	if (!b) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	b->vm = vm;
	b->p = *p;
	b->p.size -= b->p.size % BLK_SECTOR;
	b->writes = 1;	/* what was there before may not be durable */
	b->tell = (struct vm_work){ .fn = tell, .ptr = b };
	list_init(&b->queue);
	list_init(&b->ended);
	list_init(&b->held);
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->work, NULL);
	pthread_cond_init(&b->idle, NULL);
	return b;
}

void blk_stop(struct blk *b)
{
	blk_drain(b);
	pthread_mutex_lock(&b->lock);
	b->quit = true;
	pthread_cond_broadcast(&b->work);
	pthread_mutex_unlock(&b->lock);
	for (unsigned i = 0; i < b->nthreads; i++)
		pthread_join(b->thread[i], NULL);
	b->nthreads = 0;
	vm_run_work(b->vm);	/* b->tell may still be queued */
}

int blk_close(struct blk *b, struct err *e)
{
	const struct blk_ops *ops = b->p.ops;
	int rc = b->p.readonly || !ops->flush ? 0 : ops->flush(b->p.ptr, e);

	if (ops->close)
		ops->close(b->p.ptr);
	pthread_cond_destroy(&b->work);
	pthread_cond_destroy(&b->idle);
	pthread_mutex_destroy(&b->lock);
	free(b);
	return rc;
}

void blk_free(struct blk *b)
{
	struct err e;

	if (!b)
		return;
	blk_stop(b);
	blk_close(b, &e);	/* a flush that fails is told by who does it, if it may say why */
}
