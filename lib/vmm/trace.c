#include "vmm/trace.h"

#include <errno.h>
#include <stdarg.h>

static void fail(struct trace *t)
{
	t->error = -errno;
	t->kinds = 0;
	if (t->failed)
		t->failed(t->ptr);
}

void trace_put(struct trace *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vfprintf(t->out, fmt, ap) < 0)
		fail(t);
	va_end(ap);
}

void trace_flush(struct trace *t)
{
	if (t->out && !t->error && fflush(t->out))
		fail(t);
}
