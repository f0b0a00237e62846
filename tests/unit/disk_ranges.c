/* Lists of ranges and large sets of numbers, against plain arrays. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "disk/bits.h"
#include "disk/ranges.h"

#define N 200

static unsigned rnd(unsigned n)
{
	return (unsigned)random() % n;
}

static void test_ranges(void)
{
	struct ranges l = { 0 }, other = { 0 };
	unsigned char in[N] = { 0 };
	uint64_t start, end;

	check(ranges_take(&l, 5, 1, &start) == 0, "empty");
	check(ranges_gap(&l, 3, 7, &end) == 7, "empty");
	check(ranges_remove(&l, 0, 1) != 0, "empty");
	for (int i = 0; i < 20000; i++) {
		unsigned at = rnd(N), n = 1 + rnd(N - at < 9 ? N - at : 9), unit = 1 + rnd(3);
		uint64_t gap, took;
		unsigned k;

		switch (rnd(5)) {
		case 0:
			if (memchr(in + at, 1, n))
				break;
			memset(in + at, 1, n);
			check(!ranges_add(rnd(8) ? &l : &other, at, n), "add");
			check(!ranges_move(&l, &other), "move");
			break;
		case 1:
			took = ranges_take(&l, n, unit, &start);
			check(took % unit == 0 && took <= n, "took %d of %u", (int)took, n);
			for (k = 0; k < took; k++) {
				check(in[start + k] == 1, "taken, but not there");
				in[start + k] = 0;
			}
			break;
		case 2:
			gap = ranges_gap(&l, at, n, &end);
			for (k = 0; k < n && !in[at + k]; k++)
				;
			check(gap == k, "gap %d, should be %u", (int)gap, k);
			if (k < n)
				check(end > at + k && in[end - 1] == 1, "its end");
			break;
		case 3:
			ranges_sort(&l);
			for (size_t j = 1; j < l.n; j++)
				check(l.r[j - 1].start + l.r[j - 1].len < l.r[j].start, "order");
			break;
		default:
			ranges_sort(&l);
			for (k = 0; k < n && in[at + k]; k++)
				;
			check((ranges_remove(&l, at, n) == 0) == (k == n), "remove %u+%u", at, n);
			if (k == n)
				memset(in + at, 0, n);
		}
	}
	ranges_free(&l);
	ranges_free(&other);
}

static void test_bits(void)
{
	static const uint64_t at[] = { 0, 1, 63, 64, 262143, 262144, 524287, 1u << 20 };
	struct bits b = { 0 };
	bool had;

	check(!bits_has(&b, 0) && !bits_has(&b, UINT64_MAX), "empty");
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		had = true;
		check(!bits_add(&b, at[i], 1, &had) && !had, "new %d", (int)at[i]);
		check(bits_has(&b, at[i]), "there");
		check(!bits_add(&b, at[i], 1, &had) && had, "again");
	}
	check(!bits_has(&b, 2) && !bits_has(&b, 62) && !bits_has(&b, 65), "others");
	check(!bits_add(&b, 262145, 200, &had) && !had, "a run");
	check(bits_has(&b, 262344) && !bits_has(&b, 262345), "its end");
	check(!bits_add(&b, 262100, 64, &had) && had, "over a chunk's end");
	check(bits_add(&b, UINT64_MAX - 5, 1, &had) != 0, "more than memory holds");
	check(bits_has(&b, 0) && !bits_has(&b, 2), "as it was");
	bits_free(&b);
	check(!bits_has(&b, 0), "empty again");
}

int main(void)
{
	test_ranges();
	test_bits();
	return check_done();
}
