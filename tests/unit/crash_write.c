/*
 * Random writes, zeros and flushes to the top of a chain, for each format; then all that
 * a crash can leave of it: it opens, its tables are in order but for room that is lost,
 * and each sector holds what was flushed last or was written later.  The same of calls
 * that fail: the n-th one, or all from there on.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "disk/create.h"
#include "disk/disk.h"
#include "replay.h"
#include "shim.h"

#define SIZE	((4u << 20) + 512)
#define SECTORS	(SIZE / SECTOR)
#define OPS	30

/* A sector is 64 times one stamp: 0 zeros, 1 the parent's, others one a write. */
static struct {
	uint32_t first, n;
	uint64_t stamp;
	size_t durable;		/* syncs after which it is; SIZE_MAX: not known to be */
	bool good;		/* it did not fail */
} op[OPS];
static unsigned nops, failures;
static char root[32];
static uint64_t seed;

static uint32_t below(uint32_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % n;
}

static const char *at(const char *name)
{
	static char path[8][128];
	static unsigned n;
	char *p = path[n++ % 8];

	snprintf(p, sizeof(path[0]), "%s/%s", root, name);
	return p;
}

static void stamp(uint64_t *b, uint32_t sectors, uint64_t v)
{
	for (uint32_t i = 0; i < sectors * (SECTOR / 8); i++)
		b[i] = v;
}

/* May sector s hold v, when so many syncs had returned? */
static bool allowed(uint32_t s, uint64_t v, size_t done)
{
	bool found = v == 1;

	for (unsigned i = 0; i < nops; i++) {
		if (s < op[i].first || s >= op[i].first + op[i].n)
			continue;
		if (op[i].durable <= done)
			found = false;
		found |= v == op[i].stamp;
	}
	return found;
}

static __attribute__((format(printf, 5, 6)))
void report(void *ptr, const char *kind, bool leak, bool repaired, const char *fmt, ...)
{
	va_list ap;

	if (leak)
		return;
	*(bool *)ptr = true;
	printf("%s: ", kind);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

static bool in_order(struct disk *d)
{
	struct image *top = disk_layer(d, disk_layers(d) - 1);
	bool damaged = false;
	struct extent_check c = { .ptr = &damaged, .report = report };
	struct err e = { 0 };

	for (size_t i = 0; i < top->next; i++)
		if (top->ext[i]->ops->check && (top->ext[i]->ops->check)(top->ext[i], &c, &e))
			return false;
	return !damaged;
}

static bool is_good(void *ptr, const char *work, size_t done)
{
	static uint64_t b[SIZE / 8];
	struct disk *d;
	struct err e = { 0 };
	char path[512];
	bool good = true, changed = false;

	snprintf(path, sizeof(path), "%s/top.vmdk", work);
	if (disk_open(&d, path, &(struct disk_opts){ .no_lock = true }, &e) ||
	    disk_read(d, b, SIZE, 0, &e)) {
		printf("%s\n", e.msg);
		return false;
	}
	for (uint32_t i = 0; i < SIZE / 8 && good; i++) {
		changed |= b[i] != 1;
		if (i % 64 && b[i] == b[i - 1])
			continue;
		good = allowed(i / 64, b[i], done);
		if (!good)
			printf("sector %u holds %llu\n", i / 64, (unsigned long long)b[i]);
	}
	if (good && changed && disk_layer(d, 1)->desc->cid == *(uint32_t *)ptr) {
		printf("changed, but the CID is as it was\n");
		good = false;
	}
	good &= in_order(d);
	disk_close(d, NULL);
	return good;
}

static uint32_t create(const char *name, enum disk_format f, const char *parent, uint32_t parent_cid)
{
	struct disk_create c = {
		.size = SIZE, .format = f, .parent = parent, .parent_cid = parent_cid,
		.grain = f == DISK_SPARSE ? 8192 : 0,
	};
	struct err e = { 0 };
	struct image *im;
	uint32_t cid;

	check(!disk_create(at(name), &c, &e), "%s: %s", disk_format_name[f], e.msg);
	check(!image_open(&im, at(name), &(struct disk_opts){ 0 }, &e), "%s", e.msg);
	cid = im->desc->cid;
	image_close(im);
	return cid;
}

static void set_up(enum disk_format f, uint32_t *cid)
{
	static uint64_t b[SIZE / 8];
	struct disk *d;
	struct err e = { 0 };
	char cmd[256];

	snprintf(cmd, sizeof(cmd), "rm -rf %s/*; mkdir %s %s", root, at("live"), at("base"));
	check(!system(cmd), "folders");
	create("live/parent.vmdk", DISK_THIN, NULL, 0);
	check(!disk_open(&d, at("live/parent.vmdk"), &(struct disk_opts){ .write = true }, &e), "%s", e.msg);
	stamp(b, SECTORS, 1);
	check(!disk_write(d, b, SIZE, 0, &e), "%s", e.msg);
	*cid = disk_layer(d, 0)->desc->cid;
	check(!disk_close(d, &e), "%s", e.msg);
	*cid = create("live/top.vmdk", f, "parent.vmdk", *cid);
	snprintf(cmd, sizeof(cmd), "cp -a --sparse=always %s/. %s", at("live"), at("base"));
	check(!system(cmd), "copy");
}

/* From here on each of the first n operations is what all later readers find. */
static void settled(unsigned n, size_t durable)
{
	for (unsigned i = 0; i < n; i++)
		if (op[i].durable == SIZE_MAX && op[i].good)
			op[i].durable = durable;
}

/* faults: operations may fail; what they leave of their range is then old or new. */
static void run(bool flush, bool faults)
{
	static uint64_t b[SIZE / 8];
	struct disk *d;
	struct err e = { 0 };

	nops = 0;
	if (disk_open(&d, at("live/top.vmdk"), &(struct disk_opts){ .write = true, .no_lock = true }, &e)) {
		check(faults, "%s", e.msg);
		return;
	}
	for (nops = 0; nops < OPS; nops++) {
		uint32_t n = 1 + below(below(4) ? 20 : 400), s = below(SECTORS - n);
		bool zero = !below(4);

		if (below(2))		/* in one place */
			s %= 200;
		op[nops].first = s;
		op[nops].n = n;
		op[nops].stamp = zero ? 0 : 100 + nops;
		op[nops].durable = SIZE_MAX;
		stamp(b, n, op[nops].stamp);
		op[nops].good = !(zero ? disk_zero(d, s * 512ull, n * 512ull, below(2), &e) :
				  disk_write(d, b, n * 512ull, s * 512ull, &e));
		check(op[nops].good || faults, "%s", e.msg);
		failures += !op[nops].good;
		if (!flush || below(4))
			continue;
		if (!disk_flush(d, &e))
			settled(nops + 1, shim_calls("sync"));
		else
			check(faults, "%s", e.msg);
	}
	if (!disk_close(d, &e))
		settled(nops, shim_calls("sync"));
	else
		check(faults, "%s", e.msg);
}

static void test_format(enum disk_format f, unsigned rounds)
{
	struct replay *r;
	uint32_t cid;

	for (seed = 1; seed <= 2; seed++) {
		uint64_t keep = seed;

		set_up(f, &cid);
		shim_start(at("live"), at("log"), NULL);
		run(seed > 1, false);
		shim_stop();
		r = replay_open(at("log"), at("base"));
		check(r && replay_count(r) > OPS, "%s", disk_format_name[f]);
		check(replay_all(r, at("work"), rounds, keep, is_good, &cid) == 0, "%s, seed %u",
		      disk_format_name[f], (unsigned)keep);
		replay_close(r);
		seed = keep;
	}
}

static void test_fault(enum disk_format f, const char *fault, bool *hit)
{
	uint32_t cid;
	char call[16];
	unsigned no;

	set_up(f, &cid);
	shim_start(at("live"), NULL, fault);
	run(true, true);
	sscanf(fault, "%15[a-z]:%u", call, &no);
	*hit = shim_calls(call) >= no;
	shim_stop();
	check(is_good(&cid, at("live"), SIZE_MAX - 1), "%s, %s", disk_format_name[f], fault);
}

static void test_faults(enum disk_format f)
{
	static const char *const what[] = {
		"write:%u:ENOSPC", "write:%u+:ENOSPC", "write:%u:short", "sync:%u:EIO", "read:%u:EIO",
		"read:%u:short", "truncate:%u:ENOSPC", "fallocate:%u:EIO",
	};

	for (size_t i = 0; i < sizeof(what) / sizeof(*what); i++) {
		bool hit = true;

		seed = 5;
		for (unsigned no = 1; hit; no += no < 8 ? 1 : no / 3) {
			char fault[32];

			snprintf(fault, sizeof(fault), what[i], no);
			test_fault(f, fault, &hit);
		}
	}
}

int main(void)
{
	char cmd[64];

	/* Where syncs cost nothing. */
	if (!mkdtemp(strcpy(root, "/dev/shm/crash_write.XXXXXX")) &&
	    !mkdtemp(strcpy(root, "/tmp/crash_write.XXXXXX")))
		return 1;
	test_format(DISK_SPARSE, 1);
	test_format(DISK_VMFSSPARSE, 1);
	test_format(DISK_SESPARSE, 1);
	test_faults(DISK_SPARSE);
	test_faults(DISK_VMFSSPARSE);
	test_faults(DISK_SESPARSE);
	check(failures > 300, "%u calls failed", failures);
	snprintf(cmd, sizeof(cmd), "rm -r %s", root);
	check(!system(cmd), "clean up");
	return check_done();
}
