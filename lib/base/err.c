#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, int rc, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return rc;
	e->code = rc;
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	return rc;
}

int err_sys(struct err *e, int rc, const char *fmt, ...)
{
	va_list ap;
	size_t n;

	if (!e)
		return rc;
	e->code = rc;
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	n = strlen(e->msg);
	snprintf(e->msg + n, sizeof(e->msg) - n, ": %s", strerror(-rc));
	return rc;
}

int err_in(struct err *e, int rc, const char *place)
{
	char old[sizeof(e->msg)];

	if (!e)
		return rc;
	memcpy(old, e->msg, sizeof(old));
	snprintf(e->msg, sizeof(e->msg), "%.100s: %.130s", place, old);
	return rc;
}
