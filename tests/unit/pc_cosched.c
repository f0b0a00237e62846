/* Relaxed co-scheduling: who stops, who goes on, what the skew is. */
#include "pc/cosched.h"

#include "check.h"

#define MS 1000000ull
#define LIMIT (3 * MS)

static struct cosched c;
static struct cosched_sample s[3];

/* Let progress pass: milliseconds each; -1: idle. */
static unsigned step(int a, int b, int d)
{
	const int ms[3] = { a, b, d };

	for (unsigned i = 0; i < 3; i++) {
		s[i].idle = ms[i] < 0;
		s[i].progress_ns += s[i].idle ? 2 * MS : (uint64_t)ms[i] * MS;
	}
	return cosched_step(&c, s, 3, LIMIT);
}

int main(void)
{
	s[0].progress_ns = 1000 * MS;	/* where counting begins means nothing */
	s[1].progress_ns = 7 * MS;
	check(step(0, 0, 0) == 0, "the first sample");
	for (unsigned i = 0; i < 100; i++)
		check(step(2, 2, 2) == 0, "in step");
	check(step(2, 0, 2) == 0, "2 ms ahead");
	check(step(1, 0, 1) == 0, "3 ms ahead: the limit");
	check(step(1, 0, 0) == 1, "4 ms ahead, 3 ms ahead");
	check(step(0, 0, 1) == 5, "both");
	check(c.skew_max_ns[1] == 4 * MS && c.skew_max_ns[0] == 0, "skew");
	check(step(0, 2, 0) == 5, "still 2 ms ahead: stopped ones wait for half the limit");
	check(step(0, 1, 0) == 0, "1 ms");
	check(step(0, 1, 0) == 0, "caught up");

	check(step(2, -1, 2) == 0 && step(2, -1, 2) == 0 && step(2, -1, 2) == 0,
	      "nobody waits for one that is idle");
	check(step(2, 2, 2) == 0, "nor does it lead or lag when it wakes");
	check(step(2, 0, -1) == 0 && step(2, 0, -1) == 1, "a laggard");
	check(step(0, -1, -1) == 0, "that halts frees the leader");
	check(step(5, -1, -1) == 0, "one alone");
	check(step(-1, -1, -1) == 0, "none");

	check(step(0, 0, 0) == 0 && step(9, 0, 0) == 1, "a leader");
	/* Time is read before the vCPU's state: what it did between looks like less. */
	s[1].progress_ns -= 1;
	check(cosched_step(&c, s, 3, LIMIT) == 1, "no one gets far ahead by going back");
	s[1].progress_ns += 1;
	check(step(0, 9, 9) == 0, "which is forgotten");
	cosched_restart(&c);
	check(step(50, 0, 0) == 0 && step(2, 2, 2) == 0, "forgotten with the restart");
	return check_done();
}
