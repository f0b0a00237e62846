/* Layers are pushed, merged, rebased, folded and replaced while threads use the disk. */
#include "disk/live.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "check.h"
#include "disk/disk_impl.h"
#include "disk/files.h"
#include "disk/lock.h"
#include "disk/manage.h"
#include "disk/snapshot.h"

#define SIZE	(24u << 20)
#define WORKERS	3
#define GRAIN	4096u		/* bytes that one request begins at a multiple of */
#define BIG	(1ull << 40)

struct worker {
	struct rig *r;
	unsigned id;
	uint64_t seed, requests;
	pthread_t thread;
	char bad[160];
};

struct rig {
	char dir[64], base[80];
	struct disk *d;
	uint8_t *model;		/* each worker has pieces of it for its own */
	struct worker w[WORKERS];
	_Atomic bool stop;
};

static uint64_t next(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* One request in the worker's own pieces: each WORKERSth of 192 KiB, so that grains are
 * shared with others. */
static int request(struct worker *w, uint8_t *buf, struct err *e)
{
	const uint64_t piece = 192u << 10, pieces = SIZE / piece / WORKERS;
	uint64_t at = (next(&w->seed) % pieces * WORKERS + w->id) * piece;
	uint64_t in = next(&w->seed) % (piece / GRAIN) * GRAIN, op = next(&w->seed) % 16;
	uint64_t len = (1 + next(&w->seed) % 4) * GRAIN;
	struct disk *d = w->r->d;
	struct iovec v = { buf, 0 };
	int rc;

	v.iov_len = len = in + len > piece ? piece - in : len;
	at += in;
	if (op < 6) {
		rc = op < 3 ? disk_try_readv(d, &v, 1, at, e) : -EAGAIN;
		if (rc == -EAGAIN)
			rc = disk_readv(d, &v, 1, at, e);
		if (!rc && memcmp(buf, w->r->model + at, len))
			rc = err_set(e, -EILSEQ, "byte %llu reads otherwise", (unsigned long long)at);
		return rc;
	}
	if (op == 14)
		return disk_flush(d, e);
	memset(w->r->model + at, op == 15 ? 0 : (int)next(&w->seed), len);
	if (op == 15)
		return disk_zero(d, at, len, next(&w->seed) % 2, e);
	memcpy(buf, w->r->model + at, len);
	rc = op < 10 ? disk_try_writev(d, &v, 1, at, e) : -EAGAIN;
	return rc == -EAGAIN ? disk_writev(d, &v, 1, at, e) : rc;
}

static void *work(void *ptr)
{
	struct worker *w = ptr;
	uint8_t *buf = malloc(4 * GRAIN);
	struct err e = { 0 };

	for (; !w->r->stop && !w->bad[0]; w->requests++)
		if (request(w, buf, &e))
			snprintf(w->bad, sizeof(w->bad), "%.150s", e.msg);
	free(buf);
	return NULL;
}

static void start(struct rig *r, enum disk_format format, uint64_t seed)
{
	struct disk_create c = { .size = SIZE, .format = format };
	struct statvfs fs;
	struct err e = { 0 };

	memset(r, 0, sizeof(*r));
	snprintf(r->dir, sizeof(r->dir), "%s/ring1-live.XXXXXX",
		 !statvfs("/dev/shm", &fs) && fs.f_bavail * fs.f_bsize > 8 * SIZE ? "/dev/shm" : "/tmp");
	check(mkdtemp(r->dir), "mkdtemp");
	snprintf(r->base, sizeof(r->base), "%s/x.vmdk", r->dir);
	r->model = calloc(1, SIZE);
	check(!disk_create(r->base, &c, &e), "%s", e.msg);
	check(!disk_open(&r->d, r->base, &(struct disk_opts){ .write = true }, &e), "%s", e.msg);
	for (unsigned i = 0; i < WORKERS; i++) {
		r->w[i] = (struct worker){ .r = r, .id = i, .seed = seed * 100 + i };
		check(!pthread_create(&r->w[i].thread, NULL, work, &r->w[i]), "thread");
	}
}

static void compare(struct rig *r, struct disk *d, const char *what)
{
	uint8_t *buf = malloc(SIZE);
	struct err e = { 0 };

	check(!disk_read(d, buf, SIZE, 0, &e) && !memcmp(buf, r->model, SIZE), "%s: %s", what, e.msg);
	free(buf);
}

/* The threads end; the disk is as they left it, now and when it is opened again. */
static void end(struct rig *r)
{
	char *top, cmd[96];
	struct err e = { 0 };

	r->stop = true;
	for (unsigned i = 0; i < WORKERS; i++) {
		pthread_join(r->w[i].thread, NULL);
		check(!r->w[i].bad[0], "thread %u, request %llu: %s", i,
		      (unsigned long long)r->w[i].requests, r->w[i].bad);
	}
	compare(r, r->d, "in use");
	top = strdup(disk_top(r->d)->path);
	check(!disk_close(r->d, &e), "%s", e.msg);
	check(!disk_open(&r->d, top, &(struct disk_opts){ .write = false }, &e), "%s", e.msg);
	compare(r, r->d, "opened again");
	check(!disk_close(r->d, &e), "%s", e.msg);
	free(top);
	free(r->model);
	snprintf(cmd, sizeof(cmd), "rm -r '%s'", r->dir);
	check(!system(cmd), "%s", cmd);
}

static int change(struct live_change *c, struct err *e)
{
	uint64_t stun;
	int rc = live_open(c, e), closed;

	if (rc)
		return rc;
	rc = live_switch(c, 1, &stun, e);
	closed = live_close(c, rc ? NULL : e);
	return rc ? rc : closed;
}

/* What `vmdk snapshot create` does; the parent's id may be an old one by now. */
static void push(struct rig *r)
{
	struct live_change c = { .kind = LIVE_PUSH, .d = r->d };
	const char *top = disk_top(r->d)->path;
	struct err e = { 0 };
	char *child = NULL;

	check(!snapshot_name(&child, top, &e), "%s", e.msg);
	check(!snapshot_add(child, top, false, false, NULL, NULL, &e), "%s", e.msg);
	c.path = child;
	check(!change(&c, &e), "%s", e.msg);
	check(!strcmp(disk_top(r->d)->path, child), "%s", disk_top(r->d)->path);
	free(child);
}

/* The parent of the top is merged into its own, and the top hangs on that. */
static void merge_below(struct rig *r)
{
	unsigned n = disk_layers(r->d);
	char *child = strdup(r->d->layer[n - 2]->path), *parent = strdup(r->d->layer[n - 3]->path);
	struct live_change c = { .kind = LIVE_REBASE, .d = r->d };
	struct disk_manage m = { .force = true };
	struct disk_files gone = { 0 };
	struct snapshot_job job = { 0 };
	struct err e = { 0 };

	check(!snapshot_merge(child, parent, true, 0, &job, &e), "%s", e.msg);
	c.parent_cid = r->d->layer[n - 3]->desc->cid;
	c.path = disk_base_name(parent);
	check(!change(&c, &e), "%s", e.msg);
	check(disk_layers(r->d) == n - 1 && !strcmp(r->d->layer[n - 3]->path, parent), "%u layers",
	      disk_layers(r->d));
	check(!disk_delete(child, &m, &gone, &e), "%s", e.msg);
	disk_files_free(&gone);
	free(child);
	free(parent);
}

static int fold(struct rig *r, uint64_t bytes, uint64_t stun_ns, struct err *e)
{
	struct image *parent = r->d->layer[disk_layers(r->d) - 2];
	struct snapshot_link l = { .has_cid = true, .cid = desc_new_cid(NULL) };
	struct live_change id = { .kind = LIVE_REBASE, .d = r->d, .parent_cid = l.cid };
	struct live_change c = { .kind = LIVE_FOLD, .d = r->d, .bytes_max = bytes,
				 .stun_max_ns = stun_ns };

	check(!change(&id, e) && !snapshot_relink(parent->path, &l, false, e), "%s", e->msg);
	return change(&c, e);
}

static void test_threads(enum disk_format format, uint64_t seed, unsigned rounds)
{
	struct err e = { 0 };
	struct rig r;
	unsigned folds = 0;

	start(&r, format, seed);
	for (unsigned i = 0; i < rounds && !check_failed; i++) {
		unsigned tries = 0;
		char *top;
		int rc;

		usleep(3000);
		push(&r);
		if (i % 4 == 3)
			push(&r);
		while (disk_layers(r.d) > 2 && i % 3)
			merge_below(&r);
		if (i % 5)
			continue;
		while (disk_layers(r.d) > 2)
			merge_below(&r);
		top = strdup(disk_top(r.d)->path);
		rc = fold(&r, i % 2 ? 0 : BIG, i % 2 ? BIG : 0, &e);
		check(rc == -EAGAIN, "too much: %d %s", rc, e.msg);
		check(!strcmp(disk_top(r.d)->path, top), "%s", disk_top(r.d)->path);
		while ((rc = fold(&r, BIG, BIG, &e)) == -EAGAIN && tries++ < 5)
			;
		check(!rc && disk_layers(r.d) == 1, "%d %s", rc, e.msg);
		check(!disk_lock_look(top, &e), "%s", e.msg);
		check(disk_lock_look(disk_top(r.d)->path, &e) == -EBUSY, "not locked");
		unlink(top);
		free(top);
		folds++;
	}
	check(folds > 0, "never folded");
	end(&r);
}

/* What cannot be is refused, and leaves all as it was. */
static void test_refused(void)
{
	struct live_change c = { .kind = LIVE_FOLD };
	struct disk_create other = { .size = SIZE + 65536, .format = DISK_SPARSE };
	struct err e = { 0 };
	struct disk *d = NULL;
	struct rig r;
	char path[96], *child;

	start(&r, DISK_SPARSE, 1);
	c.d = r.d;
	check(live_open(&c, &e) == -EINVAL && strstr(e.msg, "no parent"), "%s", e.msg);
	c.kind = LIVE_PUSH;
	c.path = r.base;
	check(live_open(&c, &e) == -EBUSY, "%s", e.msg);
	snprintf(path, sizeof(path), "%s/y.vmdk", r.dir);
	check(!disk_create(path, &other, &e), "%s", e.msg);
	c.path = path;
	check(live_open(&c, &e) == -EINVAL && strstr(e.msg, "no layer"), "%s", e.msg);
	check(!snapshot_name(&child, path, &e) && !snapshot_add(child, path, false, false, NULL, NULL, &e),
	      "%s", e.msg);
	c.path = child;
	check(live_open(&c, &e) == -EINVAL && strstr(e.msg, "no layer on"), "%s", e.msg);
	c.kind = LIVE_REPLACE;
	check(live_open(&c, &e) == -ENOTSUP && strstr(e.msg, "size"), "%s", e.msg);
	check(!disk_lock_look(child, &e) && !disk_lock_look(path, &e), "%s", e.msg);
	c.kind = LIVE_REBASE;
	c.path = NULL;
	c.parent_cid = 1;
	check(live_open(&c, &e) == -EINVAL && strstr(e.msg, "no parent"), "%s", e.msg);
	push(&r);
	c.path = "y.vmdk";
	c.parent_cid = 1;
	check(live_open(&c, &e) == -EINVAL && strstr(e.msg, "by its CID"), "%s", e.msg);
	c.path = "../y.vmdk";
	check(live_open(&c, &e) == -EPERM, "%s", e.msg);
	check(!disk_open(&d, path, &(struct disk_opts){ .write = false }, &e), "%s", e.msg);
	c.d = d;
	check(live_open(&c, &e) == -EROFS, "%s", e.msg);
	disk_close(d, NULL);
	free(child);
	end(&r);
}

/* A parent that is smaller is not folded into. */
static void test_fold_refused(void)
{
	struct disk_create base = { .size = SIZE, .format = DISK_SPARSE };
	struct live_change c = { .kind = LIVE_FOLD, .bytes_max = BIG, .stun_max_ns = BIG };
	struct disk_manage m = { .force = true };
	struct err e = { 0 };
	struct rig r;
	char path[96], *child;
	uint64_t was;

	start(&r, DISK_SPARSE, 6);
	snprintf(path, sizeof(path), "%s/y.vmdk", r.dir);
	check(!disk_create(path, &base, &e), "%s", e.msg);
	check(!snapshot_name(&child, path, &e) &&
	      !snapshot_add(child, path, false, false, NULL, NULL, &e), "%s", e.msg);
	check(!disk_resize(child, SIZE + 65536, &m, &was, &e), "%s", e.msg);
	check(!disk_open(&c.d, child, &(struct disk_opts){ .write = true }, &e), "%s", e.msg);
	check(live_open(&c, &e) == -ENOTSUP && strstr(e.msg, "size"), "%s", e.msg);
	check(!disk_lock_look(path, &e), "%s", e.msg);
	check(!disk_close(c.d, &e), "%s", e.msg);
	free(child);
	end(&r);
}

/* Two disks switch together, or neither does. */
static void test_together(void)
{
	struct rig r, s;
	struct live_change c[2] = { 0 };
	struct err e = { 0 };
	char *child[2];
	uint64_t stun;
	int rc;

	start(&r, DISK_SPARSE, 3);
	start(&s, DISK_FLAT, 4);
	push(&s);
	check(!snapshot_name(&child[0], r.base, &e) &&
	      !snapshot_add(child[0], r.base, false, false, NULL, NULL, &e), "%s", e.msg);
	for (int i = 0; i < 2; i++) {
		c[0] = (struct live_change){ .kind = LIVE_PUSH, .d = r.d, .path = child[0] };
		c[1] = (struct live_change){ .kind = LIVE_FOLD, .d = s.d, .bytes_max = BIG,
					     .stun_max_ns = i ? BIG : 0 };
		check(!live_open(&c[0], &e) && !live_open(&c[1], &e), "%s", e.msg);
		usleep(5000);
		rc = live_switch(c, 2, &stun, &e);
		check(rc == (i ? 0 : -EAGAIN), "%d %s", rc, e.msg);
		check(!live_close(&c[0], &e) && !live_close(&c[1], &e), "%s", e.msg);
		check(disk_layers(r.d) == 1 + (unsigned)i && disk_layers(s.d) == 2 - (unsigned)i, "%u %u",
		      disk_layers(r.d), disk_layers(s.d));
	}
	free(child[0]);
	end(&r);
	end(&s);
}

/* The machine goes back to another disk. */
static void test_replace(void)
{
	struct live_change c = { .kind = LIVE_REPLACE };
	struct err e = { 0 };
	struct rig r;
	char *old;

	start(&r, DISK_SPARSE, 5);
	r.stop = true;
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(r.w[i].thread, NULL);
	push(&r);
	old = strdup(disk_top(r.d)->path);
	check(!disk_zero(r.d, 0, SIZE, false, &e), "%s", e.msg);
	c.d = r.d;
	c.path = r.base;
	check(!change(&c, &e) && disk_layers(r.d) == 1, "%s", e.msg);
	compare(&r, r.d, "replaced");
	check(!disk_lock_look(old, &e) && disk_lock_look(r.base, &e) == -EBUSY, "%s", e.msg);
	for (unsigned i = 0; i < WORKERS; i++)
		check(!pthread_create(&r.w[i].thread, NULL, work, &r.w[i]), "thread");
	free(old);
	end(&r);
}

int main(int argc, char **argv)
{
	test_refused();
	test_fold_refused();
	test_together();
	test_replace();
	test_threads(DISK_SPARSE, 1, 30);
	test_threads(DISK_SPLIT_SPARSE, 2, 15);
	test_threads(DISK_THIN, 3, 30);
	test_threads(DISK_SESPARSE, 4, 30);
	if (argc > 2)	/* first and last seed, for a long run */
		for (uint64_t seed = strtoull(argv[1], NULL, 0); seed <= strtoull(argv[2], NULL, 0);
		     seed++)
			test_threads((enum disk_format[]){ DISK_SPARSE, DISK_SESPARSE, DISK_THIN }[seed % 3],
				     seed, 100);
	return check_done();
}
