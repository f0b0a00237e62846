#ifndef VMM_TRACE_H
#define VMM_TRACE_H
/*
 * `--trace units,exits,mmu,irq,firmware[:FILE]`: lines of text, one an event.
 *
 * The first line that cannot be written ends the trace; the machine goes on.
 */

#include <stdio.h>

enum trace_kind {
	TRACE_UNITS = 1, TRACE_EXITS = 2, TRACE_MMU = 4, TRACE_IRQ = 8,
	TRACE_FIRMWARE = 16,
};

struct trace {
	_Atomic unsigned kinds;	/* enum trace_kind, 0: off */
	FILE *out;		/* the caller's; locked by stdio */
	_Atomic int error;	/* the -errno that ended it, or 0 */
	/* NULL, or told that error was set, on the thread of the event. */
	void (*failed)(void *ptr);
	void *ptr;
};

#define trace_on(vm, kind) __builtin_expect((vm)->trace.kinds & (kind), 0)
#define trace_line(vm, kind, ...) do { \
	if (trace_on(vm, kind)) \
		trace_put(&(vm)->trace, __VA_ARGS__); \
} while (0)

/* Write one event.  Any vCPU thread, never a signal handler. */
void trace_put(struct trace *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Write what is buffered; what fails is found in t->error. */
void trace_flush(struct trace *t);
#endif
