#ifndef INTERP_FAST_H
#define INTERP_FAST_H
/* Between fast.c and fast_stack.c: see fast.c. */
#include <string.h>

#include "interp/core.h"

ALWAYS uint64_t mem_get(const void *p, unsigned sz)
{
	uint64_t a = 0;

	memcpy(&a, p, sz);
	return a;
}

ALWAYS int line_slow(struct vcpu *v, const struct iline *e)
{
	return e->exec(v, line_insn(interp_of(v), e));
}

/* PUSH POP LEAVE RET CALL JMP Jcc; NULL: the general function. */
line_fn *fast_pick_stack(const struct x86_insn *in);
#endif
