#ifndef FUZZ_H
#define FUZZ_H
/*
 * What fuzzers share: `NAME SECONDS [SEED]`.  Each says its seed first; a
 * failure is a sanitizer's report, an abort() or a check that did not hold.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

#ifdef __SANITIZE_ADDRESS__
/* No input makes anything so large, or so much: who tries has believed a header. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "max_allocation_size_mb=256:hard_rss_limit_mb=2048";
}
#endif

struct fuzz {
	uint64_t state;
	uint64_t end_ns;
	uint64_t runs;
};

/* splitmix64 */
static inline uint64_t fuzz_next(struct fuzz *f)
{
	uint64_t z = f->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* 0..n-1 */
static inline unsigned fuzz_below(struct fuzz *f, unsigned n)
{
	return (unsigned)(fuzz_next(f) % n);
}

static inline void fuzz_start(struct fuzz *f, int argc, char **argv)
{
	f->state = argc > 2 ? strtoull(argv[2], NULL, 0) : clock_ns();
	f->end_ns = clock_ns() + (argc > 1 ? strtoull(argv[1], NULL, 0) : 10) * NS_PER_SEC;
	f->runs = 0;
	printf("seed %#llx\n", (unsigned long long)f->state);
	fflush(stdout);
}

static inline int fuzz_more(struct fuzz *f)
{
	return (++f->runs & 255) || clock_ns() < f->end_ns;
}

/* The last line; the exit code of main(). */
static inline int fuzz_done(struct fuzz *f)
{
	printf("%llu runs\n", (unsigned long long)f->runs);
	return 0;
}

#define fuzz_check(cond, ...) do { \
	if (!(cond)) { \
		printf("%s:%d: %s: ", __FILE__, __LINE__, #cond); \
		printf(__VA_ARGS__); \
		printf("\n"); \
		fflush(stdout);		/* what looks for leaks now does not */ \
		exit(1); \
	} \
} while (0)

/* One action or file that is to be over soon: in processor time, the machine may be busy. */
struct fuzz_watch {
	uint64_t state, began;
};

static inline uint64_t fuzz_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

static inline struct fuzz_watch fuzz_begin(const struct fuzz *f)
{
	return (struct fuzz_watch){ f->state, fuzz_cpu_ns() };
}

static inline void fuzz_end(const struct fuzz_watch *w, unsigned action, uint64_t limit_ns)
{
	fuzz_check(fuzz_cpu_ns() - w->began < limit_ns, "action %u, state %#llx", action,
		   (unsigned long long)w->state);
}
#endif
