/*
 * A file is an array of lines, each kept as its bytes; those that hold a key also have
 * it and the value parsed.  An array of pointers to them, sorted by key, answers
 * questions, whatever keys a hostile file is made of.
 */
#include "vmx/dict.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmx/dict_value.h"

struct line {
	char *raw;		/* with its line end */
	size_t len;
	unsigned number;	/* in the file as it was read; 0: added since */
	char *key;		/* NULL: a comment or blank line */
	char *value;		/* UTF-8, no escapes */
	size_t before, after;	/* raw[0..before] and raw[len-after..] frame the value */
};

struct dict {
	char *name;
	char *encoding;		/* NULL: UTF-8 */
	const char *eol;	/* of new lines */
	struct line **line;	/* in order; removed ones are gone */
	size_t nlines, room;
	struct line **sorted;	/* those with keys, by key */
	size_t nkeys, keyroom;
};

static int no_memory(struct err *e) { return err_set(e, -ENOMEM, "no memory"); }

static void line_free(struct line *l)
{
	if (!l)
		return;
	free(l->raw);
	free(l->key);
	free(l->value);
	free(l);
}

void dict_free(struct dict *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->nlines; i++)
		line_free(d->line[i]);
	free(d->line);
	free(d->sorted);
	free(d->name);
	free(d->encoding);
	free(d);
}

/* Lines */

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static bool is_key_char(char c)
{
	return c > ' ' && c < 0x7f && c != '=' && c != '#' && c != '"';
}

static int bad_line(const struct dict *d, const struct line *l, struct err *e,
		    const char *what)
{
	return err_set(e, -EBADMSG, "%.150s:%u: %s", d->name, l->number, what);
}

/* Find key and value in l->raw. */
static int line_parse(struct dict *d, struct line *l, struct err *e)
{
	size_t i = 0, end = l->len, key, value;
	const char *s = l->raw;

	while (end && (s[end - 1] == '\n' || s[end - 1] == '\r'))
		end--;
	if (memchr(s, 0, l->len))
		return bad_line(d, l, e, "a NUL byte");
	if (l->number == 1 && end >= 3 && !memcmp(s, "\xef\xbb\xbf", 3))
		i = 3;		/* a byte order mark */
	while (i < end && is_blank(s[i]))
		i++;
	if (i == end || s[i] == '#')
		return 0;
	for (key = i; i < end && is_key_char(s[i]);)
		i++;
	if (i == key)
		return bad_line(d, l, e, "no key before '='");
	l->key = strndup(s + key, i - key);
	if (!l->key)
		return no_memory(e);
	while (i < end && is_blank(s[i]))
		i++;
	if (i == end || s[i] != '=')
		return bad_line(d, l, e, "no '=' behind the key");
	for (i++; i < end && is_blank(s[i]);)
		i++;
	l->before = value = i;
	if (i < end && s[i] == '"') {
		const char *q = memchr(s + i + 1, '"', end - i - 1);

		if (!q)
			return bad_line(d, l, e, "no quote at the end of the value");
		value++;
		i = (size_t)(q - s);
		l->after = l->len - i - 1;
		l->value = dict_decode(d->encoding, s + value, i - value);
		for (i++; i < end && is_blank(s[i]);)
			i++;
		if (i < end && s[i] != '#')
			return bad_line(d, l, e, "text behind the value's quote");
	} else {
		while (i < end && s[i] != '#' && s[i] != '"')
			i++;
		if (i < end && s[i] == '"')
			return bad_line(d, l, e, "a quote inside a value without quotes");
		while (i > value && is_blank(s[i - 1]))
			i--;
		l->after = l->len - i;
		l->value = dict_decode(d->encoding, s + value, i - value);
	}
	return l->value ? 0 : no_memory(e);
}

static int by_key(const void *a, const void *b)
{
	const struct line *x = *(struct line *const *)a, *y = *(struct line *const *)b;
	int c = strcasecmp(x->key, y->key);

	return c ? c : (x->number > y->number) - (x->number < y->number);
}

/* The first place in d->sorted whose key is not below key. */
static size_t lower(const struct dict *d, const char *key)
{
	size_t lo = 0, hi = d->nkeys;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcasecmp(d->sorted[mid]->key, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct line *find(const struct dict *d, const char *key)
{
	size_t i = lower(d, key);

	return i < d->nkeys && !strcasecmp(d->sorted[i]->key, key) ? d->sorted[i] : NULL;
}

static int grow(struct line ***array, size_t n, size_t *room)
{
	struct line **more;

	if (n < *room)
		return 0;
	more = realloc(*array, (*room ? *room * 2 : 64) * sizeof(**array));
	if (!more)
		return -ENOMEM;
	*array = more;
	*room = *room ? *room * 2 : 64;
	return 0;
}

/* All keyed lines, sorted; none may be there twice. */
static int sort_keys(struct dict *d, struct err *e)
{
	d->nkeys = 0;
	for (size_t i = 0; i < d->nlines; i++) {
		if (!d->line[i]->key)
			continue;
		if (grow(&d->sorted, d->nkeys, &d->keyroom))
			return no_memory(e);
		d->sorted[d->nkeys++] = d->line[i];
	}
	if (d->nkeys)
		qsort(d->sorted, d->nkeys, sizeof(*d->sorted), by_key);
	for (size_t i = 1; i < d->nkeys; i++) {
		struct line *a = d->sorted[i - 1], *b = d->sorted[i];

		if (!strcasecmp(a->key, b->key))
			return err_set(e, -EBADMSG, "%.120s:%u: %.60s is set in line %u, too",
				       d->name, b->number, b->key, a->number);
	}
	return 0;
}

/* The encoding has to be known before the first value is looked at. */
static void find_encoding(struct dict *d, const char *text, size_t len)
{
	static const char key[] = ".encoding";
	const char *end = text + len;

	for (const char *p = text; p < end;) {
		const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end;

		if (p == text && stop - p >= 3 && !memcmp(p, "\xef\xbb\xbf", 3))
			p += 3;
		while (p < stop && is_blank(*p))
			p++;
		if ((size_t)(stop - p) > sizeof(key) && !strncasecmp(p, key, sizeof(key) - 1) &&
		    !is_key_char(p[sizeof(key) - 1])) {
			p += sizeof(key) - 1;
			while (p < stop && (is_blank(*p) || *p == '=' || *p == '"'))
				p++;
			for (nl = p; nl < stop && (isalnum((unsigned char)*nl) ||
						   strchr("-_.:", *nl));)
				nl++;
			d->encoding = strndup(p, (size_t)(nl - p));
			return;
		}
		p = stop + 1;
	}
}

static int add_line(struct dict *d, struct line *l)
{
	if (grow(&d->line, d->nlines, &d->room))
		return -ENOMEM;
	d->line[d->nlines++] = l;
	return 0;
}

int dict_parse(struct dict **out, const char *name, const char *text, size_t len,
	       struct err *e)
{
	struct dict *d = calloc(1, sizeof(*d));
	const char *end = text + len;
	int rc = 0;

	if (!d || !(d->name = strdup(name))) {
		free(d);
		return no_memory(e);
	}
	if (len > DICT_MAX)
		rc = err_set(e, -EFBIG, "%.150s: %zu bytes, %u are the most", name, len, DICT_MAX);
	else
		find_encoding(d, text, len);
	d->eol = "\n";
	for (const char *p = text; !rc && p < end;) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((nl ? nl + 1 : end) - p);
		struct line *l = d->nlines < DICT_LINES ? calloc(1, sizeof(*l)) : NULL;

		if (d->nlines == DICT_LINES) {
			rc = err_set(e, -EFBIG, "%.150s: more than %u lines", name, DICT_LINES);
			break;
		}
		if (!l || !(l->raw = malloc(n + 1)) || add_line(d, l)) {
			line_free(l);
			rc = no_memory(e);
			break;
		}
		memcpy(l->raw, p, n);
		l->raw[n] = 0;
		l->len = n;
		l->number = (unsigned)d->nlines;
		if (l->number == 1 && n >= 2 && nl && p[n - 2] == '\r')
			d->eol = "\r\n";
		rc = line_parse(d, l, e);
		p += n;
	}
	if (!rc)
		rc = sort_keys(d, e);
	if (rc) {
		dict_free(d);
		return rc;
	}
	*out = d;
	return 0;
}

int dict_load(struct dict **d, const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc = 0;
	size_t n = 0, size;
	struct stat st;
	char *text;

	if (fd < 0)
		return err_sys(e, -errno, "%.180s", path);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(e, -EINVAL, "%.180s: not a file", path);
	}
	if (st.st_size > (off_t)DICT_MAX) {
		close(fd);
		return err_set(e, -EFBIG, "%.150s: %jd bytes, %u are the most", path,
			       (intmax_t)st.st_size, DICT_MAX);
	}
	size = (size_t)st.st_size;
	text = malloc(size + 1);
	while (text && n < size && !rc) {
		ssize_t got = read(fd, text + n, size - n);

		if (got == 0)
			break;
		if (got > 0)
			n += (size_t)got;
		else if (errno != EINTR)
			rc = err_sys(e, -errno, "%.180s", path);
	}
	close(fd);
	if (!text)
		return no_memory(e);
	if (!rc)
		rc = dict_parse(d, path, text, n, e);
	free(text);
	return rc;
}

int dict_new(struct dict **d, const char *name, struct err *e)
{
	static const char text[] = ".encoding = \"UTF-8\"\n";

	return dict_parse(d, name, text, sizeof(text) - 1, e);
}

char *dict_text(const struct dict *d, size_t *len)
{
	size_t n = 0;
	char *out, *p;

	for (size_t i = 0; i < d->nlines; i++)
		n += d->line[i]->len;
	out = p = malloc(n + 1);
	if (!out)
		return NULL;
	for (size_t i = 0; i < d->nlines; i++) {
		memcpy(p, d->line[i]->raw, d->line[i]->len);
		p += d->line[i]->len;
	}
	*p = 0;
	*len = n;
	return out;
}

/* Questions */

const char *dict_get(const struct dict *d, const char *key)
{
	struct line *l = find(d, key);

	return l ? l->value : NULL;
}

bool dict_bool(const struct dict *d, const char *key, bool fallback)
{
	static const char *const words[] = {
		"FALSE", "TRUE", "0", "1", "no", "yes", "off", "on",
	};
	const char *v = dict_get(d, key);

	for (unsigned i = 0; v && i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcasecmp(v, words[i]))
			return i & 1;
	return fallback;
}

int dict_number(const struct dict *d, const char *key, uint64_t max, uint64_t *n,
		struct err *e)
{
	const char *v = dict_get(d, key);
	uint64_t x = 0;
	bool bad = false;

	if (!v)
		return err_set(e, -ENOENT, "%.150s: no %.60s", d->name, key);
	bad = !*v;
	for (const char *p = v; *p && !bad; p++) {
		bad = *p < '0' || *p > '9' || __builtin_mul_overflow(x, 10u, &x) ||
		      __builtin_add_overflow(x, (uint64_t)(*p - '0'), &x);
	}
	if (bad || x > max)
		return dict_err(d, key, e, -EBADMSG, "%.40s = \"%.40s\": not a number from 0 to %"
				PRIu64, key, v, max);
	*n = x;
	return 0;
}

size_t dict_count(const struct dict *d) { return d->nkeys; }

const char *dict_key(const struct dict *d, size_t i) { return d->sorted[i]->key; }
const char *dict_value(const struct dict *d, size_t i) { return d->sorted[i]->value; }

int dict_err(const struct dict *d, const char *key, struct err *e, int rc,
	     const char *fmt, ...)
{
	const struct line *l = find(d, key);
	char msg[200], place[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	if (l && l->number)
		snprintf(place, sizeof(place), "%.150s:%u", d->name, l->number);
	else
		snprintf(place, sizeof(place), "%.150s", d->name);
	err_set(e, rc, "%s", msg);
	return err_in(e, rc, place);
}

/* Changes */

/* l's value becomes value; what frames it stays. */
static int line_set(struct dict *d, struct line *l, const char *value, struct err *e)
{
	char *text, *raw = NULL, *copy = NULL;
	size_t len;
	int rc = dict_encode(&text, d->encoding, value);

	if (rc)
		return rc == -ENOMEM ? no_memory(e) :
			err_set(e, rc, "%.60s: %.60s cannot be said in the file's encoding, %.30s",
				d->name, l->key, d->encoding);
	len = l->before + strlen(text) + 2 + l->after;
	raw = malloc(len + 1);
	copy = strdup(value);
	if (!raw || !copy) {
		free(raw);
		free(copy);
		free(text);
		return no_memory(e);
	}
	memcpy(raw, l->raw, l->before);
	sprintf(raw + l->before, "\"%s\"", text);
	memcpy(raw + len - l->after, l->raw + l->len - l->after, l->after);
	raw[len] = 0;
	free(text);
	free(l->raw);
	free(l->value);
	l->raw = raw;
	l->len = len;
	l->value = copy;
	return 0;
}

/* A last line without a line end gets one. */
static int end_last_line(struct dict *d)
{
	struct line *l = d->nlines ? d->line[d->nlines - 1] : NULL;
	size_t n = strlen(d->eol);
	char *raw;

	if (!l || (l->len && l->raw[l->len - 1] == '\n'))
		return 0;
	raw = realloc(l->raw, l->len + n + 1);
	if (!raw)
		return -ENOMEM;
	memcpy(raw + l->len, d->eol, n + 1);
	l->raw = raw;
	l->len += n;
	l->after += n;
	return 0;
}

static int insert_sorted(struct dict *d, struct line *l)
{
	size_t at = lower(d, l->key);

	if (grow(&d->sorted, d->nkeys, &d->keyroom))
		return -ENOMEM;
	memmove(d->sorted + at + 1, d->sorted + at, (d->nkeys - at) * sizeof(*d->sorted));
	d->sorted[at] = l;
	d->nkeys++;
	return 0;
}

static void remove_sorted(struct dict *d, const struct line *l)
{
	size_t at = lower(d, l->key);

	d->nkeys--;
	memmove(d->sorted + at, d->sorted + at + 1, (d->nkeys - at) * sizeof(*d->sorted));
}

int dict_set(struct dict *d, const char *key, const char *value, struct err *e)
{
	struct line *l = find(d, key);
	int rc;

	if (l)
		return strcmp(l->value, value) ? line_set(d, l, value, e) : 0;
	for (const char *p = key; *p || p == key; p++)
		if (!is_key_char(*p))
			return err_set(e, -EINVAL, "\"%.60s\": no key of a file like this", key);
	l = calloc(1, sizeof(*l));
	if (!l || !(l->key = strdup(key)) || asprintf(&l->raw, "%s = %s", key, d->eol) < 0) {
		if (l)
			l->raw = NULL;
		line_free(l);
		return no_memory(e);
	}
	l->before = strlen(key) + 3;
	l->after = strlen(d->eol);
	l->len = l->before + l->after;
	rc = line_set(d, l, value, e);
	if (!rc && (end_last_line(d) || add_line(d, l)))
		rc = no_memory(e);
	if (rc) {
		line_free(l);
		return rc;
	}
	if (insert_sorted(d, l)) {
		d->nlines--;
		line_free(l);
		return no_memory(e);
	}
	return 0;
}

int dict_set_number(struct dict *d, const char *key, uint64_t n, struct err *e)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, n);
	return dict_set(d, key, text, e);
}

/* Remove lines whose keys begin with prefix (whole: are it). */
static size_t unset(struct dict *d, const char *prefix, bool whole)
{
	size_t n = strlen(prefix), kept = 0, gone = 0;

	for (size_t i = 0; i < d->nlines; i++) {
		struct line *l = d->line[i];

		if (l->key && !(whole ? strcasecmp(l->key, prefix) :
					strncasecmp(l->key, prefix, n))) {
			remove_sorted(d, l);
			line_free(l);
			gone++;
		} else {
			d->line[kept++] = l;
		}
	}
	d->nlines = kept;
	return gone;
}

bool dict_unset(struct dict *d, const char *key)
{
	return find(d, key) && unset(d, key, true);
}

size_t dict_unset_prefix(struct dict *d, const char *prefix)
{
	return unset(d, prefix, false);
}

/* The key of one line begins with to instead of its first n bytes. */
static int line_rename(struct line *l, size_t n, const char *to)
{
	size_t at = (size_t)(strstr(l->raw, l->key) - l->raw), more = strlen(to);
	char *key = NULL, *raw = malloc(l->len + more + 1);

	if (!raw || asprintf(&key, "%s%s", to, l->key + n) < 0) {
		free(raw);
		return -ENOMEM;
	}
	memcpy(raw, l->raw, at);
	memcpy(raw + at, to, more);
	memcpy(raw + at + more, l->raw + at + n, l->len - at - n + 1);
	free(l->raw);
	free(l->key);
	l->raw = raw;
	l->key = key;
	l->len += more - n;
	l->before += more - n;
	return 0;
}

int dict_rename_prefix(struct dict *d, const char *prefix, const char *to,
		       struct err *e)
{
	size_t n = strlen(prefix), first = lower(d, prefix), k = 0;
	struct line **moved;
	int rc = 0;

	while (first + k < d->nkeys && !strncasecmp(d->sorted[first + k]->key, prefix, n))
		k++;
	if (!k)
		return 0;
	moved = malloc(k * sizeof(*moved));
	if (!moved)
		return no_memory(e);
	memcpy(moved, d->sorted + first, k * sizeof(*moved));
	d->nkeys -= k;
	memmove(d->sorted + first, d->sorted + first + k, (d->nkeys - first) * sizeof(*moved));
	for (size_t i = 0; !rc && i < k; i++) {
		rc = line_rename(moved[i], n, to) ? no_memory(e) : 0;
		if (!rc && find(d, moved[i]->key))
			rc = err_set(e, -EEXIST, "%.120s: %.60s is set already", d->name, moved[i]->key);
		if (!rc)
			rc = insert_sorted(d, moved[i]) ? no_memory(e) : 0;
	}
	free(moved);
	return rc;
}
