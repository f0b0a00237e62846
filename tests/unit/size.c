/* Sizes: boundaries first. */
#include "base/size.h"

#include <errno.h>
#include <string.h>

#include "check.h"

static const struct {
	const char *s;
	int rc;
	uint64_t bytes;
} cases[] = {
	{ "0", 0, 0 },
	{ "1", 0, 1 },
	{ "18446744073709551615", 0, UINT64_MAX },
	{ "18446744073709551616", -ERANGE, 0 },
	{ "16777215T", 0, 16777215ull << 40 },
	{ "16777216T", -ERANGE, 0 },
	{ "99999999999999999999T", -ERANGE, 0 },
	{ "100000000000000000000000", -ERANGE, 0 },
	{ "1k", 0, 1024 },
	{ "1K", 0, 1024 },
	{ "512M", 0, 512ull << 20 },
	{ "512m", 0, 512ull << 20 },
	{ "1.5G", 0, 3ull << 29 },
	{ ".5k", 0, 512 },
	{ "2T", 0, 2ull << 40 },
	{ "", -EINVAL, 0 },
	{ ".", -EINVAL, 0 },
	{ "M", -EINVAL, 0 },
	{ "1.5", -EINVAL, 0 },
	{ "1.5.5M", -EINVAL, 0 },
	{ "-1", -EINVAL, 0 },
	{ "+1", -EINVAL, 0 },
	{ " 1", -EINVAL, 0 },
	{ "1 ", -EINVAL, 0 },
	{ "1MB", -EINVAL, 0 },
	{ "1x", -EINVAL, 0 },
	{ "0x10", -EINVAL, 0 },
};

static const struct {
	uint64_t bytes;
	const char *s;
} shown[] = {
	{ 0, "0" }, { 1, "1" }, { 1023, "1023" }, { 1024, "1k" }, { 1536, "1536" },
	{ 1536ull << 10, "1536k" }, { 512ull << 20, "512M" }, { 64ull << 30, "64G" },
	{ 1ull << 50, "1024T" }, { UINT64_MAX, "18446744073709551615" },
};

int main(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct err e = { 0 };
		uint64_t v = 42;
		int rc = size_parse(cases[i].s, &v, &e);

		check(rc == cases[i].rc, "'%s' gave %d", cases[i].s, rc);
		check(v == (rc ? 42 : cases[i].bytes), "'%s' gave %llu", cases[i].s,
		      (unsigned long long)v);
		check(!rc == !e.msg[0], "'%s': message '%s'", cases[i].s, e.msg);
	}
	for (size_t i = 0; i < sizeof(shown) / sizeof(*shown); i++) {
		char buf[24];

		check(!strcmp(size_format(buf, shown[i].bytes), shown[i].s), "%s", buf);
	}
	return check_done();
}
