#ifndef BASE_JSON_H
#define BASE_JSON_H
/*
 * JSON for machines: listings are one object a line, keys are snake_case and say their
 * unit.  The values are jansson's; this adds what its strings refuse (file names that are
 * not UTF-8) and a failure that sticks, so that callers look once, at json_line().
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct json {		/* begins as { 0 } and becomes an object, or an array by appending */
	json_t *v;
	bool failed;	/* no memory, once */
};

/* Is it text that a member holds as it is? */
bool json_is_text(const char *s);

/* Add a member.  Text of NULL is null; bytes of it that are not UTF-8 become U+FFFD.
 * Numbers above 2^63 - 1 become that. */
void json_put_text(struct json *j, const char *key, const char *s);
void json_put_u64(struct json *j, const char *key, uint64_t v);
void json_put_bool(struct json *j, const char *key, bool v);
void json_put_object(struct json *j, const char *key, struct json *child);	/* takes it */
void json_put_array(struct json *j, const char *key, struct json *child);	/* takes it */

/* Add an object, or a text, at the end of an array. */
void json_append(struct json *j, struct json *child);	/* takes it */
void json_append_text(struct json *j, const char *s);

/*
 * The object as one line with its newline, members in the order in which they were added.
 * The caller frees it; j is { 0 } again.  NULL: no memory, now or before.
 */
char *json_line(struct json *j);
#endif
