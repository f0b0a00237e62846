/* The control socket: arguments of requests. */
#include <errno.h>

#include "wire/ctl_impl.h"

int ctl_text(const json_t *o, const char *name, const char **s, struct err *e)
{
	*s = json_string_value(json_object_get(o, name));
	return *s ? 0 : err_set(e, -EINVAL, "\"%.40s\" is missing, or not a text", name);
}

int ctl_number(const json_t *o, const char *name, uint64_t max, uint64_t *n, struct err *e)
{
	const json_t *v = json_object_get(o, name);
	json_int_t i = json_integer_value(v);

	if (!json_is_integer(v) || i < 0 || (uint64_t)i > max)
		return err_set(e, -EINVAL, "\"%.40s\" is missing, or not a number up to %llu", name,
			       (unsigned long long)max);
	*n = (uint64_t)i;
	return 0;
}

int ctl_judge(json_t *o, json_t **reply, struct err *e)
{
	json_int_t code = json_integer_value(json_object_get(o, "code"));
	const char *msg = json_string_value(json_object_get(o, "error"));
	int rc = 0;

	if (!json_is_object(o))
		rc = err_set(e, -EPROTO, "the answer is not a JSON object");
	else if (!json_is_true(json_object_get(o, "ok")))
		rc = err_set(e, code > 0 && code < 4096 ? (int)-code : -EPROTO, "%.200s",
			     msg ? msg : "refused without a reason");
	else if (reply)
		*reply = json_incref(o);
	json_decref(o);
	return rc;
}
