/* vmdk check: how far it is, and that it may be stopped anywhere. */
#include "disk/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "disk/create.h"
#include "disk/disk.h"

#define SIZE (300ull << 20)

static char dir[] = "/dev/shm/ring1-check.XXXXXX";

struct watch {
	unsigned calls, stop_at;	/* 0: never */
	uint64_t last, total;
};

static bool progress(void *ptr, uint64_t done, uint64_t total)
{
	struct watch *w = ptr;

	check(done >= w->last && done <= total && (!w->calls || total == w->total),
	      "%llu of %llu after %llu", (unsigned long long)done, (unsigned long long)total,
	      (unsigned long long)w->last);
	w->last = done;
	w->total = total;
	return ++w->calls != w->stop_at;
}

static void report(void *ptr, const struct disk_finding *f) {}

/* The base, and a child on it, with data here and there. */
static void make(const char *base, const char *child, enum disk_format format)
{
	struct disk_create c = { .size = SIZE, .format = format };
	struct disk_opts o = { .write = true };
	struct err e = { 0 };
	struct disk *d;
	char buf[4096];

	check(!disk_create(base, &c, &e), "%s", e.msg);
	for (unsigned layer = 0; layer < 2; layer++) {
		check(!disk_open(&d, layer ? child : base, &o, &e), "%s", e.msg);
		memset(buf, (int)layer + 1, sizeof(buf));
		for (uint64_t at = 0; at < SIZE; at += SIZE / 16)
			check(!disk_write(d, buf, sizeof(buf), at + layer * 65536, &e), "%s", e.msg);
		if (!layer) {
			c.parent = "base.vmdk";
			c.parent_cid = disk_layer(d, 0)->desc->cid;
		}
		check(!disk_close(d, &e), "%s", e.msg);
		if (!layer)
			check(!disk_create(child, &c, &e), "%s", e.msg);
	}
}

static void test_stop(enum disk_format format, bool repair)
{
	struct watch w = { .stop_at = 0 };
	struct disk_check c = { .repair = repair, .chain = true, .ptr = &w, .report = report,
				.progress = progress };
	struct disk_check_sum sum;
	struct disk_opts o = { 0 };
	struct err e = { 0 };
	char base[64], child[64], text[96];
	unsigned calls;

	snprintf(base, sizeof(base), "%s/base.vmdk", dir);
	snprintf(child, sizeof(child), "%s/child.vmdk", dir);
	make(base, child, format);
	check(!disk_check(child, &c, &o, &sum, &e) && !sum.damage && !sum.leaks && !sum.repaired, "%s", e.msg);
	check(w.calls > 4 && w.total == 2 * SIZE, "%u calls", w.calls);
	calls = w.calls;
	for (unsigned k = 1; k <= calls; k += calls / 40 + 1) {
		w = (struct watch){ .stop_at = k };
		check(disk_check(child, &c, &o, &sum, &e) == -EINTR && !strcmp(e.msg, "stopped"),
		      "%u: %s", k, e.msg);
		w = (struct watch){ .stop_at = 0 };
		check(!disk_check(child, &c, &o, &sum, &e) && !sum.damage, "%u: %s", k, e.msg);
	}
	c.repair = false;
	w = (struct watch){ .stop_at = 0 };
	check(!disk_check(child, &c, &o, &sum, &e) && !sum.damage && !sum.leaks, "%s", e.msg);
	snprintf(text, sizeof(text), "rm %s/*", dir);
	check(!system(text), "rm");
}

int main(void)
{
	static const enum disk_format format[] = { DISK_SPARSE, DISK_VMFSSPARSE, DISK_SESPARSE };

	check(mkdtemp(dir) != NULL, "mkdtemp: %s", strerror(errno));
	for (unsigned i = 0; i < 3; i++) {
		test_stop(format[i], false);
		test_stop(format[i], true);
	}
	rmdir(dir);
	return check_done();
}
