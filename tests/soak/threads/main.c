/*
 * threads: runs each test alone, then all of them at once, and says THREADS OK.
 *
 *	threads [SECONDS [TEST...]]
 *
 * SECONDS (10) are shared by them: half for the tests alone, half for all at once.  As a
 * guest's program it takes them from the kernel's command line: threads=SECONDS.
 */
#include "threads.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define TESTS_MAX 32

static const struct test *tests[TESTS_MAX];
static _Atomic unsigned long done[TESTS_MAX];
static unsigned ntests;
static _Atomic unsigned failures;
static double deadline, length;
/* Of the thread's test, which its threads inherit from who starts them. */
static _Thread_local const struct test *mine;
static _Thread_local _Atomic unsigned long *mine_done;
static _Thread_local sigjmp_buf *survivor;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

bool stopped(void)
{
	return now() >= deadline || failures > 20;
}

void did(unsigned long n)
{
	atomic_fetch_add(mine_done, n);
}

void wrong(const char *format, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (atomic_fetch_add(&failures, 1) < 20)
		printf("threads: %s: FAILED: %s\n", mine ? mine->name : "?", text);
}

void cannot(const char *what)
{
	printf("threads: %s: FAILED: %s: %s\n", mine ? mine->name : "?", what, strerror(errno));
	exit(1);
}

unsigned workers(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 2 ? 2 : n > 8 ? 8 : (unsigned)n;
}

void *pages_new(unsigned long bytes, int prot, int flags)
{
	void *p = mmap(NULL, bytes, prot, MAP_ANONYMOUS | flags, -1, 0);

	if (p == MAP_FAILED)
		cannot("mmap");
	return p;
}

/* --- threads --------------------------------------------------------------------- */

struct start {
	void (*fn)(unsigned me);
	unsigned me;
	const struct test *test;
	_Atomic unsigned long *done;
};

static void *started(void *ptr)
{
	struct start *s = ptr;

	mine = s->test;
	mine_done = s->done;
	s->fn(s->me);
	return NULL;
}

void together(unsigned n, void (*fn)(unsigned me))
{
	struct start start[THREADS_MAX];
	pthread_t t[THREADS_MAX];

	for (unsigned i = 0; i < n; i++) {
		start[i] = (struct start){ fn, i, mine, mine_done };
		if ((errno = pthread_create(&t[i], NULL, started, &start[i])))
			cannot("pthread_create");
	}
	for (unsigned i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

/* --- faults ------------------------------------------------------------------------- */

static void on_segv(int sig)
{
	if (survivor)
		siglongjmp(*survivor, 1);
	signal(sig, SIG_DFL);
}

bool survives(void (*fn)(void *ptr), void *ptr)
{
	sigjmp_buf here;

	if (sigsetjmp(here, 1)) {
		survivor = NULL;
		return false;
	}
	survivor = &here;
	atomic_signal_fence(memory_order_seq_cst);
	fn(ptr);
	atomic_signal_fence(memory_order_seq_cst);
	survivor = NULL;
	return true;
}

/* --- tests ---------------------------------------------------------------------------- */

static void *run_test(void *ptr)
{
	unsigned n = (unsigned)(uintptr_t)ptr;
	unsigned long before = done[n];

	mine = tests[n];
	mine_done = &done[n];
	mine->run();
	printf("threads: %s: %lu\n", mine->name, done[n] - before);
	if (!done[n] && length >= 60)
		wrong("nothing was done");
	return NULL;
}

static bool wanted(const char *name, char **argv)
{
	if (!*argv)
		return true;
	for (; *argv; argv++)
		if (!strcmp(*argv, name))
			return true;
	return false;
}

static void collect(const struct test *t, char **argv)
{
	for (; t->name; t++)
		if (wanted(t->name, argv))
			tests[ntests++] = t;
}

static void run_all(unsigned from, unsigned to, double seconds)
{
	pthread_t t[TESTS_MAX];

	deadline = now() + seconds;
	for (unsigned i = from; i < to; i++)
		if ((errno = pthread_create(&t[i], NULL, run_test, (void *)(uintptr_t)i)))
			cannot("pthread_create");
	for (unsigned i = from; i < to; i++)
		pthread_join(t[i], NULL);
}

static double seconds_wanted(const char *arg)
{
	char line[4096] = "", *at;
	FILE *f;

	if (arg)
		return atof(arg);
	f = fopen("/proc/cmdline", "r");
	if (f && !fgets(line, sizeof(line), f))
		line[0] = 0;
	if (f)
		fclose(f);
	at = strstr(line, "threads=");
	return at ? atof(at + 8) : 10;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_segv };

	length = seconds_wanted(argc > 1 ? argv[1] : NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGSEGV, &sa, NULL);
	argv += argc > 1 ? 2 : 1;
	collect(locks_tests, argv);
	collect(code_tests, argv);
	collect(memory_tests, argv);
	collect(kernel_tests, argv);
	if (!ntests) {
		fprintf(stderr, "threads: no such test\n");
		return 2;
	}
	printf("threads: %u workers, %u bits\n", workers(), (unsigned)sizeof(long) * 8);
	for (unsigned i = 0; i < ntests; i++)
		run_all(i, i + 1, length / 2 / ntests);
	puts("threads: all at once");
	run_all(0, ntests, length / 2);
	if (!failures)
		puts("THREADS OK");
	return failures != 0;
}
