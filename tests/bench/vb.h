#ifndef VB_H
#define VB_H
/*
 * vb: the benchmark program.  A static binary, i386 or amd64, that runs natively,
 * and as a guest's /init under any VMM, so that all of them execute the same code.
 */

#include <stdbool.h>
#include <stdint.h>

enum vb_unit {
	VB_NS,		/* nanoseconds an operation: lower is better */
	VB_MBS,		/* 10^6 bytes a second: higher is better */
};

enum vb_how {
	VB_PIN = 1,	/* stay on one CPU: it is about switching */
	VB_BY_NAME = 2,	/* only when it is asked for */
};

struct vb_test {
	const char *name;
	enum vb_unit unit;
	uint64_t amount;	/* operations or bytes in one pass */
	unsigned how;		/* VB_PIN | VB_BY_NAME */
	void (*setup)(void);	/* NULL: nothing to do before the first pass */
	/* Do `passes` passes.  Returns the checksum of one pass, which every
	 * pass on every machine must reproduce. */
	uint32_t (*run)(uint64_t passes);
};

/* What the kernels of the operating system tests need to know. */
struct vb_place {
	const char *dir;	/* a folder in memory, for gzip's files */
	const char *busybox;
};
extern struct vb_place vb_place;

extern const struct vb_test vb_cpu_tests[], vb_os_tests[];
extern const unsigned vb_cpu_count, vb_os_count;

/* One step of the generator that all test data comes from. */
static inline uint32_t vb_rand(uint32_t *x)
{
	*x = *x * 1664525u + 1013904223u;
	return *x >> 8;
}

static inline uint32_t vb_mix(uint32_t sum, uint32_t v)
{
	return (sum ^ v) * 0x01000193u;
}

/* A checksum differs between passes, or a system call failed. */
void vb_fail(const char *what) __attribute__((noreturn));

/* Anonymous memory, zeroed; never fails. */
void *vb_alloc(uint32_t bytes, int prot);
#endif
