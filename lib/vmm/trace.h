#ifndef VMM_TRACE_H
#define VMM_TRACE_H
/* `--trace units,exits,mmu,irq[:FILE]`: lines of text, one an event. */

#include <stdio.h>

enum trace_kind {
	TRACE_UNITS = 1, TRACE_EXITS = 2, TRACE_MMU = 4, TRACE_IRQ = 8,
};

struct trace {
	unsigned kinds;		/* enum trace_kind, 0: off */
	FILE *out;
};

#define trace_on(vm, kind) __builtin_expect((vm)->trace.kinds & (kind), 0)
#define trace_line(vm, kind, ...) do { \
	if (trace_on(vm, kind)) \
		fprintf((vm)->trace.out, __VA_ARGS__); \
} while (0)
#endif
