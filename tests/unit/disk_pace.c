/* Turns of writes: how far apart, how long they wait at most, and when that is over. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "check.h"
#include "disk/disk.h"
#include "disk/pace.h"

#define MS NS_PER_MS

static struct disk *make(void)
{
	struct extent_params p = { .size = 1u << 20 };
	struct extent *x;
	struct image *im;
	struct disk *d;
	struct err e = { 0 };

	if (zero_open(&x, &p, &e) || image_new(&im, "x", &x, 1, &e) || disk_new(&d, &im, 1, &e)) {
		fprintf(stderr, "%s\n", e.msg);
		exit(1);
	}
	return d;
}

static void test_turns(struct disk *d)
{
	struct disk_pace p = { .bytes_s = 1000000, .delay_max_ns = 100 * MS, .lease_ns = NS_PER_SEC * 100 };
	struct disk_paced was;
	uint64_t began, last = 0;

	check(disk_turn(d, 1u << 30) == 0 && !disk_is_paced(d), "nobody said so");
	disk_pace(d, &p, &was);
	check(disk_is_paced(d) && was.writes == 0, "%llu", (unsigned long long)was.writes);
	began = clock_ns();
	check(disk_turn(d, 10000) == 0, "the first");
	/* 10 ms each, until one would wait for 100 ms. */
	for (unsigned i = 1; i <= 9; i++) {
		uint64_t at = disk_turn(d, 10000);

		check(at >= began + i * 10 * MS && (i == 1 || at == last + 10 * MS),
		      "%u: %llu", i, (unsigned long long)(at - began));
		last = at;
	}
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t at = disk_turn(d, UINT64_MAX), now = clock_ns();

		check(at >= last && at <= now + 100 * MS, "%u: %llu", i, (unsigned long long)(at - now));
		last = at;
	}
	disk_pace(d, &p, &was);
	check(was.writes >= 1000 && was.longest_ns <= 100 * MS && was.longest_ns > 50 * MS &&
	      was.delay_ns >= was.longest_ns, "%llu writes, %llu ns", (unsigned long long)was.writes,
	      (unsigned long long)was.longest_ns);
	p.bytes_s = 0;
	disk_pace(d, &p, &was);
	check(was.writes == 0 && !disk_is_paced(d) && disk_turn(d, 512) == 0, "lifted");
}

/* Who asked for it may have died. */
static void test_lease(struct disk *d)
{
	struct disk_pace p = { .bytes_s = 1, .delay_max_ns = NS_PER_SEC, .lease_ns = 30 * MS };
	struct disk_paced was;

	disk_pace(d, &p, &was);
	usleep(31000);
	check(!disk_is_paced(d) && disk_turn(d, 4096) == 0, "for ever");
	/* The slowest there is. */
	p.lease_ns = NS_PER_SEC * 100;
	disk_pace(d, &p, &was);
	disk_turn(d, UINT64_MAX);
	check(disk_turn(d, UINT64_MAX) <= clock_ns() + NS_PER_SEC, "too long");
}

int main(void)
{
	struct disk *d = make();

	test_turns(d);
	disk_close(d, NULL);
	d = make();
	test_lease(d);
	disk_close(d, NULL);
	return check_done();
}
