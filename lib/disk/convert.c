#include "disk/convert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "disk/convert_impl.h"

static void work_free(struct work *w)
{
	free(w->data);
	free(w->packed);
	free(w->in);
	free(w->there);
	free(w->batch);
	free(w);
}

static struct work *work_new(const struct convert *c)
{
	struct work *w = calloc(1, sizeof(*w));
	bool ok;

	if (!w)
		return NULL;
	w->data = malloc(c->window);
	ok = w->data;
	if (c->from->kind == CONVERT_STREAM) {
		uint64_t n = c->window / c->grain;

		w->packed = malloc(n * sizeof(*w->packed));
		w->in = malloc(n * sparse_packed_max(c->grain));
		w->there = malloc(n * sizeof(*w->there));
		ok = ok && w->packed && w->in && w->there;
	}
	if (c->to->kind == CONVERT_STREAM) {
		w->batches = c->window / (STREAM_BATCH * STREAM_GRAIN);
		w->batch = malloc(w->batches * sizeof(*w->batch));
		ok = ok && w->batch;
	}
	if (ok)
		return w;
	work_free(w);
	return NULL;
}

/* Must it be written in order? */
static bool in_order(const struct convert *c)
{
	return c->to->kind != CONVERT_DISK;
}

/* The first failure is the one that is told. */
static void fail(struct convert *c, int rc, const struct err *e)
{
	pthread_mutex_lock(&c->lock);
	if (!c->rc) {
		c->rc = rc;
		c->err = *e;
	}
	c->stop = true;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

static void give_back(struct convert *c, struct work *w)
{
	pthread_mutex_lock(&c->lock);
	w->next = c->idle;
	c->idle = w;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

/* Wait for a work that is free.  NULL: it is to stop. */
static struct work *take_idle(struct convert *c)
{
	struct work *w = NULL;

	pthread_mutex_lock(&c->lock);
	while (!c->idle && !c->stop)
		pthread_cond_wait(&c->changed, &c->lock);
	if (!c->stop) {
		w = c->idle;
		c->idle = w->next;
	}
	pthread_mutex_unlock(&c->lock);
	return w;
}

/* Let a work be the next window.  NULL: the end. */
static struct work *take(struct convert *c)
{
	static const struct err stopped = { -EINTR, "stopped" };
	struct work *w;
	int rc = 0;

	pthread_mutex_lock(&c->source);
	w = c->ended ? NULL : take_idle(c);
	if (w) {
		rc = convert_fetch(c, w);
		if (!rc && c->o.progress && !c->o.progress(c->o.ptr, c->pos, c->size)) {
			rc = -EINTR;
			w->err = stopped;
		}
		if (rc)
			fail(c, rc, &w->err);
		c->ended = rc || !w->len;
	}
	if (w && c->ended) {
		give_back(c, w);
		w = NULL;
	} else if (w) {
		w->seq = c->seq++;
		w->before = c->given;
		c->given += w->len;
	}
	pthread_mutex_unlock(&c->source);
	return w;
}

/* Not before its time. */
static void pace(struct convert *c, uint64_t done)
{
	uint64_t due;

	if (!c->o.bwlimit)
		return;
	due = c->started_ns + (uint64_t)((double)done / (double)c->o.bwlimit * NS_PER_SEC);
	while (!c->stop) {
		uint64_t now = clock_ns(), left = due > now ? due - now : 0;
		struct timespec t = { 0, left < 100 * NS_PER_MS ? left : 100 * NS_PER_MS };

		if (!left)
			return;
		nanosleep(&t, NULL);
	}
}

/* The work that is due to be written, if nobody is writing. */
static struct work *take_due(struct convert *c)
{
	struct work *w = NULL;

	pthread_mutex_lock(&c->lock);
	if (!c->writing && !c->stop && c->done[c->next % c->works]) {
		w = c->done[c->next % c->works];
		c->done[c->next % c->works] = NULL;
		c->writing = true;
	}
	pthread_mutex_unlock(&c->lock);
	return w;
}

/* Put w where it belongs in the order, and write what is due. */
static void hand_in(struct convert *c, struct work *w)
{
	pthread_mutex_lock(&c->lock);
	c->done[w->seq % c->works] = w;
	pthread_mutex_unlock(&c->lock);
	while ((w = take_due(c))) {
		int rc = convert_put(c, w, &w->err);

		if (rc)
			fail(c, rc, &w->err);
		pthread_mutex_lock(&c->lock);
		c->writing = false;
		c->next++;
		pthread_mutex_unlock(&c->lock);
		give_back(c, w);
	}
}

static void *worker(void *ptr)
{
	struct convert *c = ptr;
	struct pack *p = NULL;
	struct work *w;

	if (c->to->kind == CONVERT_STREAM)
		p = pack_new(c->o.level ? c->o.level : PACK_FAST);
	while ((w = take(c))) {
		int rc;

		pace(c, w->before);
		rc = convert_fill(c, w);
		if (!rc && !in_order(c))
			rc = convert_store(c, w);
		else if (!rc)
			rc = convert_prepare(c, w, p);
		if (!rc && in_order(c)) {
			hand_in(c, w);
			continue;
		}
		if (rc)
			fail(c, rc, &w->err);
		give_back(c, w);
	}
	pack_free(p);
	return NULL;
}

/* All that is free by now; a work that waits for its turn is in the ring. */
static void free_works(struct convert *c)
{
	for (struct work *w = c->idle, *next; w; w = next) {
		next = w->next;
		work_free(w);
	}
	for (unsigned i = 0; c->done && i < c->works; i++)
		if (c->done[i])
			work_free(c->done[i]);
	free(c->done);
}

static int make_works(struct convert *c, struct err *e)
{
	c->done = calloc(c->works, sizeof(*c->done));
	for (unsigned i = 0; c->done && i < c->works; i++) {
		struct work *w = work_new(c);

		if (!w)
			break;
		w->next = c->idle;
		c->idle = w;
		if (i == c->works - 1)
			return 0;
	}
	return err_set(e, -ENOMEM, "no memory for %u pieces of %llu bytes", c->works,
		       (unsigned long long)c->window);
}

static int run(struct convert *c, unsigned threads, struct err *e)
{
	pthread_t *t = calloc(threads, sizeof(*t));
	unsigned n = 0;

	if (!t)
		return err_set(e, -ENOMEM, "no memory for threads");
	/* One of them is this one. */
	while (n < threads - 1 && !pthread_create(&t[n], NULL, worker, c))
		n++;
	worker(c);
	while (n)
		pthread_join(t[--n], NULL);
	free(t);
	if (c->rc && e)
		*e = c->err;
	return c->rc;
}

int convert(const struct convert_end *from, const struct convert_end *to,
	    const struct convert_opts *o, struct err *e)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned threads = o->threads ? o->threads : cpus > 0 ? (unsigned)cpus : 1;
	struct convert c = {
		.from = from, .to = to, .o = *o, .size = convert_size(from),
		.source = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER, .started_ns = clock_ns(),
	};
	int rc;

	if (threads > CONVERT_THREADS_MAX)
		threads = CONVERT_THREADS_MAX;
	c.works = in_order(&c) ? threads * 2 + 2 : threads;
	rc = convert_begin(&c, e);
	if (!rc)
		rc = make_works(&c, e);
	if (!rc)
		rc = run(&c, threads, e);
	if (!rc)
		rc = convert_finish(&c, e);
	free_works(&c);
	stream_write_free(c.writer);
	free(c.ahead);
	pthread_cond_destroy(&c.changed);
	pthread_mutex_destroy(&c.lock);
	pthread_mutex_destroy(&c.source);
	return rc;
}
