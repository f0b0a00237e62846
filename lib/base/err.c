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

/* msg = head: tail.  Where that is too long the head's end goes, then the tail's
 * beginning: the reason stands last, and a path may be as long as it likes. */
static void join(char *msg, size_t size, const char *head, const char *tail)
{
	size_t h = strlen(head), t = strlen(tail), room, most = size / 2;

	if (h < size - most - sizeof("...: "))
		most = size - h - sizeof("...: ");
	if (t > most) {
		tail += t - most;
		t = most;
	}
	room = size - t - sizeof("...: ");
	if (h <= room)
		sprintf(msg, "%s: %s", head, tail);
	else
		sprintf(msg, "%.*s...: %s", (int)room, head, tail);
}

int err_sys(struct err *e, int rc, const char *fmt, ...)
{
	char head[sizeof(e->msg)];
	va_list ap;

	if (!e)
		return rc;
	e->code = rc;
	va_start(ap, fmt);
	vsnprintf(head, sizeof(head), fmt, ap);
	va_end(ap);
	join(e->msg, sizeof(e->msg), head, strerror(-rc));
	return rc;
}

int err_in(struct err *e, int rc, const char *place)
{
	char old[sizeof(e->msg)];

	if (!e)
		return rc;
	memcpy(old, e->msg, sizeof(old));
	join(e->msg, sizeof(e->msg), place, old);
	return rc;
}

int err_code(struct err *e, int rc)
{
	if (e)
		e->code = rc;
	return rc;
}
