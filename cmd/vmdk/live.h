#ifndef VMDK_LIVE_H
#define VMDK_LIVE_H
/* Running machines, asked by their control sockets about the disks that they have. */

#include "vmx/live.h"

struct live {
	struct machine_live ops;	/* for machine_opts */
	struct live_vm *vm;		/* those that were asked so far */
	unsigned n;
	struct live_vm *the;		/* the one whose disks these are, or NULL */
	uint64_t bytes_max, stun_max_ns;	/* of what is merged while the guest waits */
	unsigned switches;		/* how often it had to wait, */
	uint64_t stun_ns, stun_max;	/* how long in all and at most, nanoseconds */
	uint64_t slowest;		/* bytes a second that the guest might write, at the least;
					 * 0: it was not slowed down */
	uint64_t delayed;		/* its writes that had to wait, */
	uint64_t delay_max;		/* and the longest of that, nanoseconds */
};

void live_init(struct live *l, uint64_t stun_max_ms);
void live_free(struct live *l);

/* The process of the machine whose disks were changed; 0: none runs. */
uint64_t live_pid(const struct live *l);
#endif
