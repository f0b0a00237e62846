#ifndef PC_COSCHED_H
#define PC_COSCHED_H
/*
 * Relaxed co-scheduling: vCPUs that the host has let run farther than the others
 * wait until those have caught up, as VMware ESX does since version 3; so the host
 * never has one of them hold a lock, descheduled, while others spin on it for long.
 *
 * A vCPU's progress is the processor time of its thread and the time it was halted:
 * one that is halted has nothing to do, so it lags behind no one; nor does one that spins
 * (PAUSE) and has given its processor away, perhaps to whom it waits for.  Skew is how far
 * behind the leader a vCPU is.
 *
 * Example, limit 3 ms: 0 has had 10 ms, 1, which is runnable, 6 ms.  Its skew is 4
 * ms, so 0 stops, until 1 has had 8.5 ms or halts.
 */

#include <stdbool.h>
#include <stdint.h>

#include "vmm/vm.h"

struct cosched_sample {
	uint64_t progress_ns;	/* counted from anywhere; less than before: as before */
	bool idle;		/* halted, or yielding */
};

struct cosched {
	uint64_t last_ns[VM_CPUS_MAX];		/* the samples before */
	uint64_t progress_ns[VM_CPUS_MAX];	/* compared with each other's */
	uint64_t skew_max_ns[VM_CPUS_MAX];
	unsigned stopped;			/* bit n: vCPU n */
	bool started;				/* last_ns is valid */
};

/*
 * Take a sample of n vCPUs.
 * Returns    which have to stand still now, bit n for vCPU n
 */
unsigned cosched_step(struct cosched *c, const struct cosched_sample *s, unsigned n,
		      uint64_t limit_ns);

/* The next sample is the first of a stretch of time: nothing is compared yet. */
void cosched_restart(struct cosched *c);
#endif
