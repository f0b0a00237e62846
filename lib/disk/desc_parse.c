/* Descriptors: from text to fields. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "disk/desc_impl.h"
#include "disk/file.h"

static const char *const access_name[] = { "RW", "RDONLY", "NOACCESS" };
const char *const desc_type_name[DESC_TYPES] = {
	"FLAT", "SPARSE", "ZERO", "VMFS", "VMFSSPARSE", "VMFSRDM", "VMFSRAW", "SESPARSE",
};

#define BOM "\xef\xbb\xbf"	/* Windows editors leave one */

static size_t blanks(const char *s)
{
	return strspn(s, " \t");
}

static size_t word(const char *s)
{
	return strcspn(s, " \t");
}

/* The index of the word in names, or n. */
static int find_word(const char *const *names, int n, const char *s, size_t len)
{
	int i = 0;

	while (i < n && (strlen(names[i]) != len || strncasecmp(names[i], s, len)))
		i++;
	return i;
}

static bool is_extent(const char *s)
{
	size_t w = word(s);

	return s[w] && find_word(access_name, 3, s, w) < 3 && s[w + blanks(s + w)] != '=';
}

static int classify_key(struct line *l, const char *s)
{
	size_t key = strcspn(s, " \t=\""), eq = key + blanks(s + key);
	const char *v = s + eq + 1, *end;

	if (key == 0 || s[eq] != '=')
		return 0;
	v += blanks(v);
	l->quoted = *v == '"' && strchr(v + 1, '"');
	if (l->quoted) {
		v++;
		end = strchr(v, '"');
	} else {
		end = v + strlen(v);
		while (end > v && (end[-1] == ' ' || end[-1] == '\t'))
			end--;
	}
	l->key_at = (size_t)(s - l->text);
	l->key_len = key;
	l->val_at = (size_t)(v - l->text);
	l->val_len = (size_t)(end - v);
	l->value = strndup(v, l->val_len);
	if (!l->value)
		return -ENOMEM;
	l->kind = LINE_KEY;
	return 0;
}

int line_classify(struct line *l)
{
	const char *s = l->text;

	l->kind = LINE_OTHER;
	if (!strncmp(s, BOM, 3))
		s += 3;
	s += blanks(s);
	if (*s == '#' || !*s)
		return 0;
	if (!is_extent(s))
		return classify_key(l, s);
	l->kind = LINE_EXTENT;
	return 0;
}

void line_free(struct line *l)
{
	free(l->text);
	free(l->value);
}

bool line_has_key(const struct line *l, const char *key)
{
	return l->kind == LINE_KEY && strlen(key) == l->key_len &&
	       !strncasecmp(l->text + l->key_at, key, l->key_len);
}

static int bad(struct err *e, const char *where, const char *what)
{
	return err_set(e, -EBADMSG, "%s: an extent line with %s", where, what);
}

/* A decimal number and the blanks behind it; NULL: none, or above 2^54 - 1 sectors. */
static const char *number(const char *s, uint64_t *v)
{
	char *end;

	if (!isdigit((unsigned char)*s))
		return NULL;
	errno = 0;
	*v = strtoull(s, &end, 10);
	if (errno || *v >= (uint64_t)INT64_MAX / SECTOR || (*end && !blanks(end)))
		return NULL;
	return end + blanks(end);
}

/* ["file" [offset]], and whatever later versions put behind that. */
static int extent_file(struct desc_extent *x, const char *s, const char *where,
		       struct err *e)
{
	bool fileless = x->type == DESC_ZERO || x->access == DESC_NOACCESS;
	const char *end;

	if (*s != '"') {
		if (*s || !fileless)
			return bad(e, where, "no quoted file name");
		return 0;
	}
	end = strchr(s + 1, '"');
	if (!end)
		return bad(e, where, "a quote that is not closed");
	if (end == s + 1)
		return fileless ? 0 : bad(e, where, "an empty file name");
	s++;
	x->file = strndup(s, (size_t)(end - s));
	if (!x->file)
		return err_set(e, -ENOMEM, "no memory");
	s = end + 1 + blanks(end + 1);
	if (!isdigit((unsigned char)*s))
		return 0;
	if (!number(s, &x->offset_sectors))
		return bad(e, where, "an offset that is not a number of sectors");
	x->has_offset = true;
	return 0;
}

int line_extent(struct desc_extent *x, const char *text, const char *where, struct err *e)
{
	const char *s = text + (strncmp(text, BOM, 3) ? 0 : 3);
	size_t w;
	int type;

	*x = (struct desc_extent){ 0 };
	s += blanks(s);
	w = word(s);
	x->access = (enum desc_access)find_word(access_name, 3, s, w);
	s += w + blanks(s + w);
	s = number(s, &x->sectors);
	if (!s)
		return bad(e, where, "a size that is not a number of sectors");
	w = word(s);
	type = find_word(desc_type_name, DESC_TYPES, s, w);
	if (type == DESC_TYPES && w == 0)
		return bad(e, where, "no type");
	if (type == DESC_TYPES)
		return err_set(e, -ENOTSUP, "%s: extents of type %.*s are not done here",
			       where, (int)(w > 32 ? 32 : w), s);
	x->type = (enum desc_type)type;
	return extent_file(x, s + w + blanks(s + w), where, e);
}

static int cid_of(const struct desc *d, const char *key, uint32_t *cid, struct err *e)
{
	const char *s = desc_get(d, key);
	size_t n = s ? strspn(s, "0123456789abcdefABCDEF") : 0;

	if (!s)
		return -ENOENT;
	if (n == 0 || n > 8 || s[n])
		return err_set(e, -EBADMSG, "%s is \"%.40s\", not 8 hexadecimal digits", key, s);
	*cid = (uint32_t)strtoul(s, NULL, 16);
	return 0;
}

static int set_string(char **field, const char *value)
{
	char *copy = value ? strdup(value) : NULL;

	if (value && !copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

int desc_fields(struct desc *d, struct err *e)
{
	const char *s = desc_get(d, "version"), *parent;
	int rc;

	d->version = 1;
	if (s) {
		if (!isdigit((unsigned char)s[0]) || strlen(s) > 8 || s[strspn(s, "0123456789")])
			return err_set(e, -EBADMSG, "version is \"%.40s\", not a number", s);
		d->version = (unsigned)atoi(s);
		if (d->version < 1 || d->version > 4)
			return err_set(e, -ENOTSUP, "version %u of descriptors is not done "
				       "here, only 1 to 4", d->version);
	}
	rc = cid_of(d, "CID", &d->cid, e);
	if (rc)
		return rc == -ENOENT ? err_set(e, -EBADMSG, "there is no CID") : rc;
	d->parent_cid = CID_NONE;
	rc = cid_of(d, "parentCID", &d->parent_cid, e);
	if (rc && rc != -ENOENT)
		return rc;
	s = desc_get(d, "createType");
	parent = desc_get(d, "parentFileNameHint");
	if ((s && *s && set_string(&d->create_type, s)) ||
	    set_string(&d->parent, parent && *parent ? parent : NULL))
		return err_set(e, -ENOMEM, "no memory");
	return 0;
}

int desc_infer_type(struct desc *d, struct err *e)
{
	static const struct { const char *one, *more; } type[DESC_TYPES] = {
		[DESC_FLAT] = { "monolithicFlat", "twoGbMaxExtentFlat" },
		[DESC_SPARSE] = { "monolithicSparse", "twoGbMaxExtentSparse" },
		[DESC_VMFS] = { "vmfs", "vmfs" },
		[DESC_VMFSSPARSE] = { "vmfsSparse", "vmfsSparse" },
		[DESC_VMFSRDM] = { "vmfsRawDeviceMap", "custom" },
		[DESC_SESPARSE] = { "seSparse", "seSparse" },
	};
	const char *s = NULL;

	if (d->create_type)
		return 0;
	if (!d->nextents)
		return err_set(e, -EBADMSG, "there is no createType");
	s = d->nextents > 1 ? type[d->extent[0].type].more : type[d->extent[0].type].one;
	for (size_t i = 1; i < d->nextents; i++)
		if (d->extent[i].type != d->extent[0].type)
			s = NULL;
	return set_string(&d->create_type, s ? s : "custom") ? err_set(e, -ENOMEM, "no memory") : 0;
}

bool desc_probe(const char *text, size_t len)
{
	const char *end = text + strnlen(text, len);

	if (end - text >= 3 && !memcmp(text, BOM, 3))
		text += 3;
	while (text < end) {
		static const char head[] = "# Disk DescriptorFile", version[] = "version";
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		const char *stop = nl ? nl : end;

		while (text < stop && isspace((unsigned char)*text))
			text++;
		if (stop - text >= (long)strlen(head) &&
		    !strncasecmp(text, head, strlen(head)))
			return true;
		if (text < stop && *text != '#') {
			if (stop - text <= (long)strlen(version) ||
			    strncasecmp(text, version, strlen(version)))
				return false;
			text += strlen(version);
			while (text < stop && (*text == ' ' || *text == '\t'))
				text++;
			return text < stop && *text == '=';
		}
		text = nl ? nl + 1 : end;
	}
	return false;
}
