#include "base/recode.h"

#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool recode_is_utf8(const char *encoding)
{
	return !encoding || !strcasecmp(encoding, "UTF-8") || !strcasecmp(encoding, "UTF8") ||
	       !strcasecmp(encoding, "US-ASCII");
}

/* As iconv_open(3), which may not have "windows-932", but knows it as CP932. */
static iconv_t open_from(const char *to, const char *from)
{
	static const char windows[] = "windows-";
	iconv_t cd = iconv_open(to, from);
	char name[32];

	if (cd != (iconv_t)-1 || strncasecmp(from, windows, strlen(windows)))
		return cd;
	snprintf(name, sizeof(name), "CP%s", from + strlen(windows));
	return iconv_open(to, name);
}

char *recode(const char *from, const char *to, const char *s, size_t len)
{
	iconv_t cd = open_from(to, from);
	size_t room = len * 4 + 4, left = room;
	char *out, *p, *in = (char *)s;

	if (cd == (iconv_t)-1)
		return NULL;
	p = out = malloc(room + 1);
	if (out && (iconv(cd, &in, &len, &p, &left) != 0 ||
		    iconv(cd, NULL, NULL, &p, &left) != 0)) {
		free(out);
		out = NULL;
	}
	iconv_close(cd);
	if (out)
		*p = 0;
	return out;
}
