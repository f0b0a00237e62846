#include "base/json.h"

#include <stdlib.h>
#include <string.h>

/* The length of the UTF-8 sequence at s (n bytes are there), 0 when it is none.
 * Unicode 15, table 3-7: overlong forms, surrogates and values above 10FFFF are none. */
static size_t utf8_len(const unsigned char *s, size_t n)
{
	size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3
		     : s[0] < 0xf5 ? 4 : 0;

	if (len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if (len > 1 && ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
			(s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)))
		return 0;
	return len;
}

bool json_is_text(const char *s)
{
	size_t n = strlen(s), len = 1;

	for (size_t i = 0; i < n && len; i += len)
		len = utf8_len((const unsigned char *)s + i, n - i);
	return len;
}

/* A string value of text that may be anything. */
static json_t *text_value(const char *s)
{
	size_t n = strlen(s), at = 0;
	char *clean;
	json_t *v = json_string(s);

	if (v)
		return v;
	clean = malloc(3 * n + 1);
	if (!clean)
		return NULL;
	for (size_t i = 0; i < n;) {
		size_t len = utf8_len((const unsigned char *)s + i, n - i);

		if (len) {
			memcpy(clean + at, s + i, len);
			at += len;
			i += len;
		} else {
			memcpy(clean + at, "\xef\xbf\xbd", 3);
			at += 3;
			i++;
		}
	}
	clean[at] = 0;
	v = json_string(clean);
	free(clean);
	return v;
}

static void put(struct json *j, const char *key, json_t *value)
{
	if (!j->v)
		j->v = json_object();
	if (!j->v || !value || json_object_set_new(j->v, key, value))
		j->failed = true;
}

static void append(struct json *j, json_t *value)
{
	if (!j->v)
		j->v = json_array();
	if (!j->v || !value || json_array_append_new(j->v, value))
		j->failed = true;
}

/* The child's value, or a new empty one; its failure becomes the parent's. */
static json_t *take(struct json *j, struct json *child, bool array)
{
	json_t *v = child->v ? child->v : array ? json_array() : json_object();

	j->failed |= child->failed;
	*child = (struct json) { 0 };
	return v;
}

void json_put_text(struct json *j, const char *key, const char *s)
{
	put(j, key, s ? text_value(s) : json_null());
}

void json_put_u64(struct json *j, const char *key, uint64_t v)
{
	put(j, key, json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v));
}

void json_put_bool(struct json *j, const char *key, bool v)
{
	put(j, key, json_boolean(v));
}

void json_put_object(struct json *j, const char *key, struct json *child)
{
	put(j, key, take(j, child, false));
}

void json_put_array(struct json *j, const char *key, struct json *child)
{
	put(j, key, take(j, child, true));
}

void json_append(struct json *j, struct json *child)
{
	append(j, take(j, child, false));
}

void json_append_text(struct json *j, const char *s)
{
	append(j, text_value(s));
}

char *json_line(struct json *j)
{
	json_t *v = take(j, &(struct json) { j->v, j->failed }, false);
	char *s = v && !j->failed ? json_dumps(v, JSON_COMPACT) : NULL;
	size_t n = s ? strlen(s) : 0;
	char *line = s ? realloc(s, n + 2) : NULL;

	if (line)
		memcpy(line + n, "\n", 2);
	else
		free(s);
	json_decref(v);
	*j = (struct json) { 0 };
	return line;
}
