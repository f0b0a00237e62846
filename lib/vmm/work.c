#include "vmm/work.h"

#include <stddef.h>

#include "vmm/vm.h"

void vm_defer(struct vm *vm, struct vm_work *w)
{
	struct vm_work *first;

	if (atomic_exchange(&w->queued, true))
		return;
	first = atomic_load(&vm->work);
	do
		w->next = first;
	while (!atomic_compare_exchange_weak(&vm->work, &first, w));
	if (vm->ncpus)
		vcpu_request(vm->vcpu[0], VCPU_REQ_TIMER);
}

void vm_run_work(struct vm *vm)
{
	struct vm_work *w, *next, *fifo = NULL;

	if (!atomic_load(&vm->work))
		return;
	for (w = atomic_exchange(&vm->work, NULL); w; w = next) {
		next = w->next;
		w->next = fifo;
		fifo = w;
	}
	for (w = fifo; w; w = next) {
		next = w->next;
		atomic_store(&w->queued, false);	/* from here on it may be queued anew */
		w->fn(w->ptr);
	}
}
