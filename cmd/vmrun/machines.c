#include "machines.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/registry.h"

#define INFO_TIMEOUT_S 10

struct find {
	const char *name;
	unsigned n;
	char *ctl;
	json_t *who;
};

static bool is_it(const json_t *who, const char *name)
{
	const char *uuid = json_string_value(json_object_get(who, "uuid"));
	char pid[24];

	snprintf(pid, sizeof(pid), "%" JSON_INTEGER_FORMAT,
		 json_integer_value(json_object_get(who, "pid")));
	return !strcmp(name, pid) || (*name && uuid && !strncasecmp(uuid, name, strlen(name)));
}

static bool look(void *ptr, const json_t *who, const char *ctl)
{
	struct find *f = ptr;

	if (!is_it(who, f->name))
		return true;
	if (f->n++)
		return true;
	f->ctl = strdup(ctl);
	f->who = json_deep_copy(who);
	return true;
}

int machine_connect(struct ctl_client **c, json_t **who, const char *name, struct err *e)
{
	struct find f = { .name = name };
	int rc = registry_each(look, &f, e);

	if (!rc && !f.n)
		rc = err_set(e, -ESRCH, "%.100s: no such machine runs here", name);
	if (!rc && f.n > 1)
		rc = err_set(e, -EINVAL, "%.100s: %u machines are called so", name, f.n);
	if (!rc && (!f.ctl || !f.who))
		rc = err_set(e, -ENOMEM, "no memory");
	if (!rc)
		rc = ctl_connect(c, f.ctl, e);
	free(f.ctl);
	if (rc)
		json_decref(f.who);
	else
		*who = f.who;
	return rc;
}

struct each {
	void (*fn)(void *ptr, const json_t *info);
	void *ptr;
};

static bool ask(void *ptr, const json_t *who, const char *ctl)
{
	struct each *each = ptr;
	struct ctl_client *c;
	struct json none = { 0 };
	json_t *info = NULL;

	if (ctl_connect(&c, ctl, NULL))
		return true;
	if (!ctl_call(c, "info", &none, NULL, 0, INFO_TIMEOUT_S, &info, NULL))
		each->fn(each->ptr, info);
	json_decref(info);
	ctl_disconnect(c);
	return true;
}

int machine_each(void (*fn)(void *ptr, const json_t *info), void *ptr, struct err *e)
{
	return registry_each(ask, &(struct each){ fn, ptr }, e);
}
