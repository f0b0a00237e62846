/*
 * Files of keys and values (vmx/dict.h): lines made of pieces that mean something and
 * some that do not.  What was parsed gives its text back byte for byte; after any
 * changes the text parses again and says the same.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "vmx/dict.h"

static const char *const piece[] = {
	"a", "B", "snapshot0.", "snapshot1.", "uid", ".encoding", "=", " = ", "\"", "\"x\"",
	"|22", "|7C", "|", "|0", "|00", "#", " ", "\t", "\n", "\r\n", "\n", "\xef\xbb\xbf",
	"\xe4", "\xc3\xa4", "windows-1252", "UTF-8", "UTF-16", "1", "4294967296", "TRUE", "\r",
};
#define PIECES (sizeof(piece) / sizeof(piece[0]))

static size_t make(struct fuzz *f, char *buf, size_t room)
{
	size_t n = 0;

	for (unsigned i = fuzz_below(f, 60); i; i--) {
		const char *p = piece[fuzz_below(f, PIECES)];

		/* Mostly whole lines with keys of their own, or nothing would parse. */
		if (fuzz_below(f, 4)) {
			n += (size_t)snprintf(buf + n, room - n, "k%u%s = \"%s\"%s",
					      fuzz_below(f, 100000), fuzz_below(f, 9) ? "" : ".x",
					      strchr(p, '"') || strchr(p, '\n') ? "" : p,
					      fuzz_below(f, 3) ? "\n" : " # c\r\n");
		} else if (fuzz_below(f, 3)) {
			n += (size_t)snprintf(buf + n, room - n, "%s", p);
		} else {
			buf[n++] = (char)fuzz_next(f);
		}
	}
	return n;
}

static void same_text(const struct dict *d, const char *text, size_t len)
{
	size_t n;
	char *out = dict_text(d, &n);

	fuzz_check(out && n == len && !memcmp(out, text, n), "the text changed");
	free(out);
}

static void change(struct fuzz *f, struct dict *d)
{
	for (unsigned i = fuzz_below(f, 6); i; i--) {
		const char *p = piece[fuzz_below(f, PIECES)];
		char key[80];

		if (dict_count(d) && fuzz_below(f, 2))
			snprintf(key, sizeof(key), "%s",
				 dict_key(d, fuzz_below(f, (unsigned)dict_count(d))));
		else
			snprintf(key, sizeof(key), "k%u", fuzz_below(f, 1000));
		switch (fuzz_below(f, 4)) {
		case 0:
			dict_unset(d, key);
			break;
		case 1:
			dict_unset_prefix(d, "k1");
			break;
		default:
			if (!dict_set(d, key, p, NULL))
				fuzz_check(!strcmp(dict_get(d, key), p), "%s", key);
		}
	}
}

int main(int argc, char **argv)
{
	struct fuzz f;
	uint64_t parsed = 0;

	fuzz_start(&f, argc, argv);
	while (fuzz_more(&f)) {
		char buf[8192], *text;
		size_t n = make(&f, buf, sizeof(buf));
		struct dict *d, *again;
		struct err e = { 0 };
		int rc = dict_parse(&d, "f", buf, n, &e);

		fuzz_check(rc == 0 || rc == -EBADMSG, "%d", rc);
		fuzz_check(!rc || !strncmp(e.msg, "f:", 2), "%s", e.msg);
		if (rc)
			continue;
		parsed++;
		same_text(d, buf, n);
		change(&f, d);
		if (fuzz_below(&f, 2) && !dict_get(d, ".encoding"))
			dict_rename_prefix(d, "k2", "K3", NULL);
		text = dict_text(d, &n);
		rc = dict_parse(&again, "f", text, n, &e);
		/* A new value of .encoding may make another reading of the others. */
		if (!rc && !dict_get(d, ".encoding"))
			for (size_t i = 0; i < dict_count(d); i++)
				fuzz_check(!strcmp(dict_get(again, dict_key(d, i)),
						   dict_value(d, i)), "%s", dict_key(d, i));
		fuzz_check(!rc || strstr(e.msg, "is set in line"), "%s", e.msg);
		if (!rc)
			dict_free(again);
		free(text);
		dict_free(d);
	}
	printf("%llu parsed\n", (unsigned long long)parsed);
	return fuzz_done(&f);
}
