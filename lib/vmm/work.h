#ifndef VMM_WORK_H
#define VMM_WORK_H
/*
 * Work that other threads (disk I/O) leave for the thread of vCPU 0, where devices may
 * raise interrupts and write guest memory.  It is done with vm->lock held, between two
 * guest instructions, or at once when the vCPU sleeps.
 */

#include <stdatomic.h>
#include <stdbool.h>

struct vm;

struct vm_work {
	void (*fn)(void *ptr);
	void *ptr;
	_Atomic bool queued;	/* it waits */
	struct vm_work *next;
};

/* Have w done once, whoever asks how often before that.  Any thread, with no lock. */
void vm_defer(struct vm *vm, struct vm_work *w);

/* Do what waits, in the order it was deferred.  With vm->lock held, on the thread of
 * vCPU 0, or while no vCPU runs. */
void vm_run_work(struct vm *vm);
#endif
