#include "vmx/dict_value.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/recode.h"

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 :
	       c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

char *dict_decode(const char *encoding, const char *s, size_t n)
{
	char *raw = malloc(n + 1), *utf8;
	size_t o = 0;

	if (!raw)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		int hi, lo;

		if (s[i] == '|' && n - i > 2 && (hi = hex(s[i + 1])) >= 0 &&
		    (lo = hex(s[i + 2])) >= 0 && (hi || lo)) {
			raw[o++] = (char)(hi << 4 | lo);
			i += 2;
		} else {
			raw[o++] = s[i];
		}
	}
	raw[o] = 0;
	if (recode_is_utf8(encoding))
		return raw;
	utf8 = recode(encoding, "UTF-8", raw, o);
	if (!utf8)
		return raw;
	free(raw);
	return utf8;
}

int dict_encode(char **text, const char *encoding, const char *s)
{
	char *own = NULL, *out;
	size_t o = 0;

	if (!recode_is_utf8(encoding)) {
		own = recode("UTF-8", encoding, s, strlen(s));
		if (!own)
			return -EINVAL;
		s = own;
	}
	out = malloc(strlen(s) * 3 + 1);
	if (!out) {
		free(own);
		return -ENOMEM;
	}
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c < ' ' || c == '"' || c == '#' || c == '|' || c == 0x7f)
			o += (size_t)sprintf(out + o, "|%02X", c);
		else
			out[o++] = (char)c;
	}
	out[o] = 0;
	free(own);
	*text = out;
	return 0;
}
