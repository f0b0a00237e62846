#ifndef THREADS_H
#define THREADS_H
/*
 * threads: programs of several threads that check themselves, for machines of several
 * processors.  A test starts its own threads, which work until stopped() is true; what
 * is not as it should be is said by wrong(), and the test goes on.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct test {
	const char *name;
	void (*run)(void);
};

extern const struct test locks_tests[], code_tests[], memory_tests[], kernel_tests[];

#define THREADS_MAX 16

/* As many as there are processors, from 2 to 8: workers of a test. */
unsigned workers(void);
/* Is the time over that this test has? */
bool stopped(void);
/* So many things were done as they should be: a test that has done nothing in a
 * minute failed. */
void did(unsigned long n);
__attribute__((format(printf, 1, 2))) void wrong(const char *format, ...);
/* It cannot be tested: out of memory and the like. */
_Noreturn void cannot(const char *what);

/* Run fn(0..n-1) on a thread each, until all have returned. */
void together(unsigned n, void (*fn)(unsigned me));

void *pages_new(unsigned long bytes, int prot, int flags);

/* Catch SIGSEGV of this thread while fn(ptr) runs; false: there was one. */
bool survives(void (*fn)(void *ptr), void *ptr);

static inline void serialize(void)
{
	unsigned a = 0, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "memory");
}

/* Numbers that differ from thread to thread and from call to call. */
static inline uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}
#endif
