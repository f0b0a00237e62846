#include "dev/fwdebug.h"

#include <errno.h>
#include <stdlib.h>

#define PORT		0x402
#define PRESENT		0xe9
#define LINE_MAX	200

struct fwdebug {
	struct vm *vm;
	char line[LINE_MAX + 1];
	unsigned len;
};

static uint64_t fwdebug_read(void *ptr, uint64_t off, unsigned size)
{
	struct fwdebug *d = ptr;

	return trace_on(d->vm, TRACE_FIRMWARE) ? PRESENT : ~0ull;
}

static void flush(struct fwdebug *d)
{
	d->line[d->len] = 0;
	if (d->len)
		trace_line(d->vm, TRACE_FIRMWARE, "firmware: %s\n", d->line);
	d->len = 0;
}

static void fwdebug_write(void *ptr, uint64_t off, uint64_t val, unsigned size)
{
	struct fwdebug *d = ptr;
	char c = (char)val;

	if (c >= ' ' && c <= '~')
		d->line[d->len++] = c;
	if (c == '\n' || d->len == LINE_MAX)
		flush(d);
}

void fwdebug_reset(struct fwdebug *d)
{
	flush(d);
}

struct fwdebug *fwdebug_new(struct vm *vm, struct err *e)
{
	struct fwdebug *d = calloc(1, sizeof(*d));
	struct bus_range r = { .base = PORT, .len = 1, .read = fwdebug_read,
			       .write = fwdebug_write, .ptr = d, .name = "fwdebug" };

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

void fwdebug_free(struct fwdebug *d)
{
	if (!d)
		return;
	bus_del_pio(&d->vm->bus, PORT);
	free(d);
}
