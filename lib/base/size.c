#include "base/size.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char units[] = "kmgt";

static int size_bad(const char *s, struct err *e)
{
	return err_set(e, -EINVAL, "%.40s: not a size (a number, then k, M, G or T)", s);
}

int size_parse(const char *s, uint64_t *bytes, struct err *e)
{
	unsigned __int128 v = 0, div = 1;
	unsigned shift = 0, digits = 0;
	bool point = false;
	const char *p;

	for (p = s; isdigit((unsigned char)*p) || (*p == '.' && !point); p++) {
		if (*p == '.') {
			point = true;
			continue;
		}
		if (++digits > 20)
			return err_set(e, -ERANGE, "%.40s: too large", s);
		v = v * 10 + (unsigned)(*p - '0');
		if (point)
			div *= 10;
	}
	if (!digits)
		return size_bad(s, e);
	if (*p) {
		const char *u = strchr(units, tolower((unsigned char)*p));

		if (!u || p[1])
			return size_bad(s, e);
		shift = 10 * (unsigned)(u - units + 1);
	} else if (point) {
		return size_bad(s, e);
	}
	v = (v << shift) / div;
	if (v > UINT64_MAX)
		return err_set(e, -ERANGE, "%.40s: too large", s);
	*bytes = (uint64_t)v;
	return 0;
}

char *size_format(char buf[static 24], uint64_t bytes)
{
	unsigned u = 0;

	while (u < 4 && bytes && bytes % 1024 == 0) {
		bytes /= 1024;
		u++;
	}
	snprintf(buf, 24, "%" PRIu64 "%.1s", bytes, u ? &"kMGT"[u - 1] : "");
	return buf;
}
