/* Descriptors: the text, kept line by line, and what is changed in it. */
#include "disk/desc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "disk/desc_impl.h"
#include "disk/file.h"

static const char *const access_name[] = { "RW", "RDONLY", "NOACCESS" };

/* Insert text (taken over, also on failure) as line i. */
static int insert(struct desc_lines *t, size_t i, char *text, const char *eol)
{
	struct line l = { .text = text, .eol = eol };

	if (!text)
		return -ENOMEM;
	if (line_classify(&l))
		goto out_text;
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 32;
		struct line *more = reallocarray(t->line, cap, sizeof(*more));

		if (!more)
			goto out_text;
		t->line = more;
		t->cap = cap;
	}
	/* A last line without an end gets one when something follows. */
	if (i == t->n && i > 0 && !strchr(t->line[i - 1].eol, '\n'))
		t->line[i - 1].eol = t->eol;
	memmove(t->line + i + 1, t->line + i, (t->n - i) * sizeof(l));
	t->line[i] = l;
	t->n++;
	if (l.kind == LINE_EXTENT && i >= t->after_extents)
		t->after_extents = i + 1;
	else if (i < t->after_extents)
		t->after_extents++;
	return 0;
out_text:
	line_free(&l);
	return -ENOMEM;
}

static void find_last_extent(struct desc_lines *t)
{
	t->after_extents = t->n;
	while (t->after_extents && t->line[t->after_extents - 1].kind != LINE_EXTENT)
		t->after_extents--;
}

static void erase(struct desc_lines *t, size_t i)
{
	bool extent = t->line[i].kind == LINE_EXTENT;

	line_free(&t->line[i]);
	t->n--;
	memmove(t->line + i, t->line + i + 1, (t->n - i) * sizeof(*t->line));
	if (extent)
		find_last_extent(t);
	else if (i < t->after_extents)
		t->after_extents--;
}

static struct desc *desc_empty(void)
{
	struct desc *d = calloc(1, sizeof(*d));

	if (d)
		d->lines = calloc(1, sizeof(*d->lines));
	if (d && !d->lines) {
		free(d);
		return NULL;
	}
	if (d)
		d->lines->eol = "\n";
	return d;
}

void desc_free(struct desc *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->lines->n; i++)
		line_free(&d->lines->line[i]);
	free(d->lines->line);
	free(d->lines);
	for (size_t i = 0; i < d->nextents; i++)
		free(d->extent[i].file);
	free(d->extent);
	free(d->create_type);
	free(d->parent);
	free(d);
}

static int split(struct desc_lines *t, const char *text, size_t len, struct err *e)
{
	const char *end = text + len;
	bool first = true;

	while (text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		const char *stop = nl ? nl : end, *eol = nl ? "\n" : "";

		if (stop > text && stop[-1] == '\r') {
			stop--;
			eol = nl ? "\r\n" : "\r";
		}
		if (first && nl)
			t->eol = eol;
		first = false;
		if (t->n == DESC_LINES)
			return err_set(e, -EBADMSG, "more than %u lines", DESC_LINES);
		if (insert(t, t->n, strndup(text, (size_t)(stop - text)), eol))
			return err_set(e, -ENOMEM, "no memory");
		text = nl ? nl + 1 : end;
	}
	return 0;
}

/* Room for one more extent. */
static int extent_room(struct desc *d)
{
	struct desc_extent *more;

	if (d->nextents & (d->nextents - 1))	/* grown at 0, 1, 2, 4, 8... */
		return 0;
	more = reallocarray(d->extent, d->nextents ? d->nextents * 2 : 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	d->extent = more;
	return 0;
}

static int parse_extents(struct desc *d, struct err *e)
{
	uint64_t total = 0;
	char where[32];
	int rc;

	for (size_t i = 0; i < d->lines->n; i++) {
		struct desc_extent *x;

		if (d->lines->line[i].kind != LINE_EXTENT)
			continue;
		snprintf(where, sizeof(where), "line %zu", i + 1);
		if (d->nextents == DESC_EXTENTS)
			return err_set(e, -EBADMSG, "%s: more than %u extents", where,
				       DESC_EXTENTS);
		if (extent_room(d))
			return err_set(e, -ENOMEM, "no memory");
		x = &d->extent[d->nextents];
		*x = (struct desc_extent){ 0 };
		rc = line_extent(x, d->lines->line[i].text, where, e);
		if (rc) {
			free(x->file);
			return rc;
		}
		d->nextents++;
		total += x->sectors;
		if (total >= INT64_MAX / SECTOR)
			return err_set(e, -EBADMSG, "%s: the extents are larger than any disk "
				       "can be", where);
	}
	return 0;
}

int desc_parse(struct desc **out, const char *text, size_t len, struct err *e)
{
	struct desc *d;
	int rc;

	len = strnlen(text, len);
	if (len > DESC_MAX)
		return err_set(e, -EBADMSG, "the descriptor is longer than %u bytes", DESC_MAX);
	d = desc_empty();
	if (!d)
		return err_set(e, -ENOMEM, "no memory");
	rc = split(d->lines, text, len, e);
	if (!rc)
		rc = desc_fields(d, e);
	if (!rc)
		rc = parse_extents(d, e);
	if (!rc)
		rc = desc_infer_type(d, e);
	if (rc)
		desc_free(d);
	else
		*out = d;
	return rc;
}

struct desc *desc_new(const char *create_type)
{
	struct desc *d = NULL;
	char *text;

	if (asprintf(&text, "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\n"
		     "CID=%08" PRIx32 "\nparentCID=ffffffff\ncreateType=\"%s\"\n\n"
		     "# Extent description\n\n# The Disk Data Base\n#DDB\n\n",
		     desc_new_cid(NULL), create_type) < 0)
		return NULL;
	if (desc_parse(&d, text, strlen(text), NULL))
		d = NULL;
	free(text);
	return d;
}

char *desc_text(const struct desc *d, size_t *len)
{
	const struct desc_lines *t = d->lines;
	size_t n = 0;
	char *text, *at;

	for (size_t i = 0; i < t->n; i++)
		n += strlen(t->line[i].text) + strlen(t->line[i].eol);
	text = at = malloc(n + 1);
	if (!text)
		return NULL;
	*at = 0;
	for (size_t i = 0; i < t->n; i++)
		at = stpcpy(stpcpy(at, t->line[i].text), t->line[i].eol);
	*len = n;
	return text;
}

static size_t find_key(const struct desc *d, const char *key)
{
	size_t i = 0;

	while (i < d->lines->n && !line_has_key(&d->lines->line[i], key))
		i++;
	return i;
}

const char *desc_get(const struct desc *d, const char *key)
{
	size_t i = find_key(d, key);

	return i < d->lines->n ? d->lines->line[i].value : NULL;
}

/* Where a new key belongs: ddb.* at the end of theirs, others before the extents. */
static size_t place_of_key(const struct desc_lines *t, bool ddb)
{
	size_t best = ddb ? t->n : t->n > 0;

	for (size_t i = 0; i < t->n; i++) {
		const struct line *l = &t->line[i];

		if (l->kind == LINE_EXTENT && !ddb)
			break;
		if (l->kind == LINE_KEY && !strncasecmp(l->text + l->key_at, "ddb.", 4) == ddb)
			best = i + 1;
	}
	return best;
}

/* Numbers stand bare, all else in quotes. */
static bool is_bare(const char *key)
{
	return !strcasecmp(key, "version") || !strcasecmp(key, "CID") ||
	       !strcasecmp(key, "parentCID");
}

static int change_value(struct line *l, const char *value)
{
	struct line n = { .eol = l->eol };
	size_t tail = l->val_at + l->val_len;
	bool quote = !l->quoted && strpbrk(value, " \t");

	if (asprintf(&n.text, "%.*s%s%s%s%s", (int)l->val_at, l->text, quote ? "\"" : "",
		     value, quote ? "\"" : "", l->text + tail) < 0)
		return -ENOMEM;
	if (line_classify(&n)) {
		line_free(&n);
		return -ENOMEM;
	}
	line_free(l);
	*l = n;
	return 0;
}

int desc_set(struct desc *d, const char *key, const char *value, struct err *e)
{
	struct desc_lines *t = d->lines;
	bool ddb = !strncasecmp(key, "ddb.", 4);
	size_t i = find_key(d, key);
	char *text;
	int rc = 0;

	if (value && value[strcspn(value, "\"\r\n")])
		return err_set(e, -EINVAL, "a value of a descriptor holds no quotes or line "
			       "ends: %.80s", value);
	if (i < t->n && value) {
		rc = change_value(&t->line[i], value);
	} else if (i < t->n) {
		erase(t, i);
	} else if (value) {
		const char *fmt = ddb ? "%s = \"%s\"" : is_bare(key) ? "%s=%s" : "%s=\"%s\"";

		rc = asprintf(&text, fmt, key, value) < 0 ? -ENOMEM :
		     insert(t, place_of_key(t, ddb), text, t->eol);
	}
	if (rc)
		return err_set(e, rc, "no memory");
	return desc_fields(d, e);
}

static char *extent_text(const struct desc_extent *x)
{
	char offset[24] = "", *text;
	int n;

	if (x->has_offset)
		snprintf(offset, sizeof(offset), " %" PRIu64, x->offset_sectors);
	n = asprintf(&text, "%s %" PRIu64 " %s%s%s%s%s", access_name[x->access], x->sectors,
		     desc_type_name[x->type], x->file ? " \"" : "", x->file ? x->file : "",
		     x->file ? "\"" : "", offset);
	return n < 0 ? NULL : text;
}

/* The line of extent i < nextents. */
static size_t line_of_extent(const struct desc *d, size_t i)
{
	const struct desc_lines *t = d->lines;
	size_t at = 0;

	if (i + 1 == d->nextents)
		return t->after_extents - 1;
	for (;; at++)
		if (t->line[at].kind == LINE_EXTENT && i-- == 0)
			return at;
}

static size_t place_of_extent(const struct desc_lines *t)
{
	if (t->after_extents)
		return t->after_extents;
	for (size_t i = 0; i < t->n; i++)
		if (!strncasecmp(t->line[i].text, "# Extent description", 20))
			return i + 1;
	return place_of_key(t, false);
}

static int add_extent(struct desc *d, struct desc_extent *x, char *text)
{
	if (extent_room(d)) {
		free(text);
		return -ENOMEM;
	}
	if (insert(d->lines, place_of_extent(d->lines), text, d->lines->eol))
		return -ENOMEM;
	d->extent[d->nextents++] = *x;
	return 0;
}

int desc_set_extent(struct desc *d, size_t i, const struct desc_extent *x, struct err *e)
{
	struct desc_extent copy;
	size_t at;
	char *text;

	if (!x) {
		erase(d->lines, line_of_extent(d, i));
		free(d->extent[i].file);
		/* As extent_room() counts: the array has room for the power of two. */
		memmove(d->extent + i, d->extent + i + 1,
			(--d->nextents - i) * sizeof(*d->extent));
		return 0;
	}
	if (x->file && (!*x->file || x->file[strcspn(x->file, "\"\r\n")]))
		return err_set(e, -EINVAL, "a descriptor cannot hold this file name: %.80s",
			       x->file);
	copy = *x;
	copy.file = x->file ? strdup(x->file) : NULL;
	text = extent_text(x);
	if (!text || (x->file && !copy.file))
		goto out_memory;
	if (i == d->nextents) {
		if (add_extent(d, &copy, text)) {
			text = NULL;
			goto out_memory;
		}
		return 0;
	}
	at = line_of_extent(d, i);
	free(d->lines->line[at].text);
	d->lines->line[at].text = text;
	free(d->extent[i].file);
	d->extent[i] = copy;
	return 0;
out_memory:
	free(text);
	free(copy.file);
	return err_set(e, -ENOMEM, "no memory");
}

uint32_t desc_new_cid(const struct desc *d)
{
	uint32_t cid;

	do {
		if (getrandom(&cid, sizeof(cid), 0) != sizeof(cid))
			cid = 0;
	} while (cid >= 0xfffffffe || cid == 0 || (d && cid == d->cid));
	return cid;
}

uint64_t desc_bytes(const struct desc *d)
{
	uint64_t sectors = 0;

	for (size_t i = 0; i < d->nextents; i++)
		sectors += d->extent[i].sectors;
	return sectors * SECTOR;
}
