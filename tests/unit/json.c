/* JSON lines: order, text that is not UTF-8, nesting. */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

static const struct {
	const char *in, *out;
} texts[] = {
	{ "", "\"\"" }, { "a\"b\\c\n", "\"a\\\"b\\\\c\\n\"" }, { "\xc3\xa9", "\"\xc3\xa9\"" },
	{ "a\xff", "\"a\xef\xbf\xbd\"" },
	{ "\xc3", "\"\xef\xbf\xbd\"" },				/* cut off */
	{ "\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },		/* overlong */
	{ "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },	/* a surrogate */
	{ "\xff\xf0\x9f\x98\x80", "\"\xef\xbf\xbd\xf0\x9f\x98\x80\"" },
	{ "\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
};

static void expect(struct json *j, const char *want)
{
	char *s = json_line(j);

	check(s && !strcmp(s, want), "%s", s ? s : "(null)");
	check(!j->v && !j->failed, "not empty again");
	free(s);
}

int main(void)
{
	struct json j = { 0 }, a = { 0 }, o = { 0 };

	expect(&j, "{}\n");
	json_put_text(&j, "z", NULL);
	json_put_u64(&j, "big", UINT64_MAX);
	json_put_u64(&j, "a", 0);
	json_put_bool(&j, "yes", true);
	json_append_text(&a, "x");
	json_put_u64(&o, "n", 1);
	json_append(&a, &o);
	json_append(&a, &o);
	json_put_array(&j, "list", &a);
	json_put_array(&j, "none", &a);
	json_put_object(&j, "empty", &o);
	expect(&j, "{\"z\":null,\"big\":9223372036854775807,\"a\":0,\"yes\":true,"
	       "\"list\":[\"x\",{\"n\":1},{}],\"none\":[],\"empty\":{}}\n");
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		char want[64];

		snprintf(want, sizeof(want), "{\"t\":%s}\n", texts[i].out);
		json_put_text(&j, "t", texts[i].in);
		expect(&j, want);
		check(json_is_text(texts[i].in) == !strstr(want, "\xef\xbf\xbd"), "%s", want);
	}
	o.failed = true;
	json_put_object(&j, "broken", &o);
	check(!json_line(&j), "a failure was lost");
	return check_done();
}
