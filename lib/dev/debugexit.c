#include "dev/debugexit.h"

#include <errno.h>
#include <stdlib.h>

struct debugexit {
	struct vm *vm;
};

static void debugexit_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct debugexit *d = ptr;

	atomic_store(&d->vm->debug_exit, (int)((val << 1 | 1) & 0xff));
	vm_stop(d->vm);
}

void debugexit_reset(struct debugexit *d)
{
	atomic_store(&d->vm->debug_exit, -1);
}

struct debugexit *debugexit_new(struct vm *vm, struct err *e)
{
	struct debugexit *d = calloc(1, sizeof(*d));
	struct bus_range r = { .base = DEBUGEXIT_PORT, .len = 4,
			       .write = debugexit_write, .ptr = d,
			       .name = "debugexit" };

	if (!d) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	d->vm = vm;
	if (bus_add_pio(&vm->bus, r, e)) {
		free(d);
		return NULL;
	}
	return d;
}

void debugexit_free(struct debugexit *d)
{
	if (!d)
		return;
	bus_del_pio(&d->vm->bus, DEBUGEXIT_PORT);
	free(d);
}
