/* Files of keys and values: what is kept, what is refused. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "vmx/dict.h"

static struct dict *parse(const char *text)
{
	struct dict *d = NULL;
	struct err e = { 0 };
	int rc = dict_parse(&d, "a.vmx", text, strlen(text), &e);

	check(!rc, "%s", e.msg);
	return d;
}

static void is(const struct dict *d, const char *want)
{
	size_t n;
	char *text = dict_text(d, &n);

	check(text && n == strlen(want) && !strcmp(text, want), "got <%s> want <%s>", text, want);
	free(text);
}

static void get(const struct dict *d, const char *key, const char *want)
{
	const char *v = dict_get(d, key);

	check(v && !strcmp(v, want), "%s: <%s>, want <%s>", key, v ? v : "(none)", want);
}

static const char sample[] =
	"#!/usr/bin/vmware\r\n"
	".encoding = \"UTF-8\"\r\n"
	"\r\n"
	"  memsize=512 # MiB\r\n"
	"SCSI0:0.fileName\t=  \"My disk.vmdk\"   # first\r\n"
	"displayName = \"say |22hi|22 |7c |23 50%\"\r\n"
	"annotation = \"two|0Alines\"\r\n"
	"odd = \"|zz|4\"\r\n"
	"empty = \"\"\r\n"
	"none =\r\n"
	"last = \"x\"";

static void test_values(void)
{
	struct dict *d = parse(sample);

	is(d, sample);
	get(d, "MEMSIZE", "512");
	get(d, "scsi0:0.filename", "My disk.vmdk");
	get(d, "displayname", "say \"hi\" | # 50%");
	get(d, "annotation", "two\nlines");
	get(d, "odd", "|zz|4");
	get(d, "empty", "");
	get(d, "none", "");
	get(d, "last", "x");
	check(!dict_get(d, "memsiz") && !dict_get(d, "memsize1"), "prefixes");
	check(dict_count(d) == 9, "%zu", dict_count(d));
	check(!strcmp(dict_key(d, 0), ".encoding") && !strcmp(dict_value(d, 0), "UTF-8"), "first");
	dict_free(d);
	d = parse("");
	is(d, "");
	dict_free(d);
	dict_free(NULL);
}

static void test_changes(void)
{
	struct dict *d = parse(sample);
	struct err e = { 0 };
	char want[1024];

	check(!dict_set(d, "MemSize", "512", &e), "same value");
	is(d, sample);
	check(!dict_set(d, "memsize", "1024", &e) && !dict_set(d, "scsi0:0.FILENAME", "b\"|.vmdk", &e) &&
	      !dict_set(d, "last", "y", &e) && !dict_set(d, "new:1.key", "\xc3\xa4#\n", &e), "%s", e.msg);
	check(dict_unset(d, "ODD") && !dict_unset(d, "odd") && !dict_unset(d, "od"), "unset");
	snprintf(want, sizeof(want), "%s%s",
		 "#!/usr/bin/vmware\r\n.encoding = \"UTF-8\"\r\n\r\n  memsize=\"1024\" # MiB\r\n"
		 "SCSI0:0.fileName\t=  \"b|22|7C.vmdk\"   # first\r\n",
		 "displayName = \"say |22hi|22 |7c |23 50%\"\r\nannotation = \"two|0Alines\"\r\n"
		 "empty = \"\"\r\nnone =\r\nlast = \"y\"\r\nnew:1.key = \"\xc3\xa4|23|0A\"\r\n");
	is(d, want);
	get(d, "NEW:1.key", "\xc3\xa4#\n");
	check(!dict_set(d, "none", "z", &e), "%s", e.msg);
	get(d, "none", "z");
	check(dict_set(d, "a b", "", &e) == -EINVAL && dict_set(d, "", "", &e) == -EINVAL &&
	      dict_set(d, "a=b", "", &e) == -EINVAL, "bad keys");
	dict_free(d);

	d = parse("s1.a = 1\ns10.a = 2\nS1.b = \"3\" # c\ns2.a = 4\n");
	check(dict_unset_prefix(d, "s1.") == 2, "prefix");
	check(!dict_rename_prefix(d, "S2.", "s11.", &e), "%s", e.msg);
	is(d, "s10.a = 2\ns11.a = 4\n");
	get(d, "s11.a", "4");
	check(!dict_set(d, "s11.a", "5", &e), "%s", e.msg);
	is(d, "s10.a = 2\ns11.a = \"5\"\n");
	dict_free(d);
}

static void test_encodings(void)
{
	struct dict *d = parse("\xef\xbb\xbf.encoding = \"windows-1252\"\na = \"\xe4\x80\"\n");
	struct err e = { 0 };

	get(d, "a", "\xc3\xa4\xe2\x82\xac");
	check(!dict_set(d, "b", "\xc3\xb6", &e), "%s", e.msg);
	check(dict_set(d, "b", "\xe4\xb8\xad", &e) == -EINVAL && strstr(e.msg, "windows-1252"),
	      "%s", e.msg);
	is(d, "\xef\xbb\xbf.encoding = \"windows-1252\"\na = \"\xe4\x80\"\nb = \"\xf6\"\n");
	dict_free(d);
	/* A key that only begins so is another. */
	d = parse(".encodingwindows-1252 = \"x\"\na = \"\xc3\xa4\"\n");
	get(d, "a", "\xc3\xa4");
	dict_free(d);
	/* Bytes that are no UTF-8 stay what they are, as does an unknown encoding. */
	d = parse("a = \"\xe4\"\n");
	get(d, "a", "\xe4");
	dict_free(d);
	d = parse(".encoding = \"klingon\"\na = \"\xe4\"\n");
	get(d, "a", "\xe4");
	check(dict_set(d, "a", "x", &e) == -EINVAL, "klingon");
	dict_free(d);
}

static void test_bad(void)
{
	static const struct { const char *text, *msg; } bad[] = {
		{ "a = 1\n= 2\n", "a.vmx:2: no key before '='" },
		{ "a\n", "a.vmx:1: no '=' behind the key" },
		{ "a b = 1\n", "a.vmx:1: no '=' behind the key" },
		{ "\n\na = \"1\n", "a.vmx:3: no quote at the end of the value" },
		{ "a = \"1\" 2\n", "a.vmx:1: text behind the value's quote" },
		{ "a = 1\"2\n", "a.vmx:1: a quote inside a value without quotes" },
		{ "a = 1\nb = 1\nA = 2\n", "a.vmx:3: A is set in line 1, too" },
		{ "\"a\" = 1\n", "a.vmx:1: no key before '='" },
	};
	struct dict *d;
	struct err e;
	char *big;
	int rc;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		rc = dict_parse(&d, "a.vmx", bad[i].text, strlen(bad[i].text), &e);
		check(rc == -EBADMSG && !strcmp(e.msg, bad[i].msg), "%d %s", rc, e.msg);
	}
	rc = dict_parse(&d, "a.vmx", "a = \"\0\"\n", 8, &e);
	check(rc == -EBADMSG && strstr(e.msg, "NUL"), "%d %s", rc, e.msg);
	big = malloc(DICT_MAX + 1);
	memset(big, '\n', DICT_MAX + 1);
	rc = dict_parse(&d, "a.vmx", big, DICT_MAX + 1, &e);
	check(rc == -EFBIG, "%d %s", rc, e.msg);
	rc = dict_parse(&d, "a.vmx", big, DICT_LINES + 1, &e);
	check(rc == -EFBIG && strstr(e.msg, "lines"), "%d %s", rc, e.msg);
	rc = dict_parse(&d, "a.vmx", big, DICT_LINES, &e);
	check(!rc, "%d %s", rc, e.msg);
	dict_free(d);
	memset(big, 'x', DICT_MAX);
	big[1] = '=';
	rc = dict_parse(&d, "a.vmx", big, DICT_MAX, &e);
	check(!rc && strlen(dict_get(d, "x")) == DICT_MAX - 2, "%d %s", rc, e.msg);
	dict_free(d);
	free(big);
	check(dict_load(&d, "/nowhere", &e) == -ENOENT, "%s", e.msg);
	check(dict_load(&d, "/dev/zero", &e) == -EINVAL, "%s", e.msg);
	check(dict_load(&d, "/", &e) == -EINVAL, "%s", e.msg);
}

static void test_words(void)
{
	struct dict *d = parse("a = true\nb = \"No\"\nc = maybe\nn = 42\nm = \"18446744073709551615\"\n"
			       "o = 18446744073709551616\np = -1\nq =\n");
	struct err e;
	uint64_t n = 7;

	check(dict_bool(d, "a", false) && !dict_bool(d, "b", true) && dict_bool(d, "c", true) &&
	      !dict_bool(d, "c", false) && dict_bool(d, "d", true), "words");
	check(!dict_number(d, "n", 42, &n, &e) && n == 42, "n");
	check(dict_number(d, "n", 41, &n, &e) == -EBADMSG &&
	      !strcmp(e.msg, "a.vmx:4: n = \"42\": not a number from 0 to 41"), "%s", e.msg);
	check(!dict_number(d, "m", UINT64_MAX, &n, &e) && n == UINT64_MAX, "m");
	check(dict_number(d, "o", UINT64_MAX, &n, &e) == -EBADMSG &&
	      dict_number(d, "p", 9, &n, &e) == -EBADMSG &&
	      dict_number(d, "q", 9, &n, &e) == -EBADMSG &&
	      dict_number(d, "r", 9, &n, &e) == -ENOENT, "others");
	check(!dict_set_number(d, "r", UINT64_MAX, &e), "set");
	get(d, "r", "18446744073709551615");
	dict_free(d);
	check(!dict_new(&d, "new", &e), "new");
	is(d, ".encoding = \"UTF-8\"\n");
	dict_free(d);
}

int main(void)
{
	test_values();
	test_changes();
	test_encodings();
	test_bad();
	test_words();
	return check_done();
}
