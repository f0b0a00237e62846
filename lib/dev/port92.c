#include "dev/port92.h"

#include <errno.h>
#include <stdlib.h>

#define PORT 0x92

enum { FAST_RESET = 1, A20 = 2, WRITABLE = 0xcb };

struct port92 {
	struct vm *vm;
	uint8_t val;
};

static uint64_t port92_read(void *ptr, uint64_t off, unsigned size)
{
	struct port92 *p = ptr;

	return p->val;
}

static void port92_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct port92 *p = ptr;
	uint8_t old = p->val;

	p->val = val & WRITABLE;
	if (p->val & ~old & FAST_RESET) {
		atomic_store(&p->vm->want_reset, true);
		vm_stop(p->vm);
	}
}

void port92_reset(struct port92 *p)
{
	p->val = A20;
}

struct port92 *port92_new(struct vm *vm, struct err *e)
{
	struct port92 *p = calloc(1, sizeof(*p));
	struct bus_range r = { .base = PORT, .len = 1, .read = port92_read,
			       .write = port92_write, .ptr = p, .name = "port92" };

	if (!p) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	p->vm = vm;
	if (bus_add_pio(&vm->bus, r, e)) {
		free(p);
		return NULL;
	}
	port92_reset(p);
	return p;
}

void port92_free(struct port92 *p)
{
	if (!p)
		return;
	bus_del_pio(&p->vm->bus, PORT);
	free(p);
}
