/* Descriptors that change: written back, with a new content id before the first write. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "disk/image.h"

/* A line of text: its bytes without the blanks at its end, those of its end, and those of the
 * word that it begins with, which is its key. */
struct span {
	size_t all, said, eol, key;
};

static struct span span_of(const char *s)
{
	struct span l = { .all = strcspn(s, "\n") };

	l.eol = s[l.all] != 0;
	if (l.eol && l.all && s[l.all - 1] == '\r') {
		l.all--;
		l.eol++;
	}
	l.said = l.all;
	while (l.said && (s[l.said - 1] == ' ' || s[l.said - 1] == '\t'))
		l.said--;
	l.key = strcspn(s, "= \t\r\n");
	return l;
}

static bool same_key(const char *a, const struct span *x, const char *b, const struct span *y)
{
	return x->key == y->key && !memcmp(a, b, x->key);
}

/*
 * The new text with each line where it was: blanks follow one that is shorter now, and take
 * the place of one that is gone.  So a write that is cut off anywhere leaves lines of
 * either text, and none that consists of pieces of two.  False: a line is longer now, or
 * new in the middle.
 */
static bool keep_places(char *now, size_t room, const char *was, const char *text)
{
	size_t at = 0;

	while (*was) {
		struct span a = span_of(was), b = span_of(text);
		bool same = *text && same_key(was, &a, text, &b);

		if (same && (b.said > a.all || b.eol != a.eol))
			return false;
		if (!same && *text) {
			const char *next = was + a.all + a.eol;
			struct span c = span_of(next);

			if (!*next || !same_key(next, &c, text, &b))
				return false;
		}
		memset(now + at, ' ', a.all);
		if (same) {
			memcpy(now + at, text, b.said);
			text += b.all + b.eol;
		}
		memcpy(now + at + a.all, was + a.all, a.eol);
		at += a.all + a.eol;
		was += a.all + a.eol;
	}
	if (strlen(text) > room - at)
		return false;
	memcpy(now + at, text, strlen(text));
	return true;
}

/* Only the sectors that differ are written: a new CID is one. */
static int save_embedded(struct image *im, const char *text, size_t len, struct err *e)
{
	struct disk_file *f = im->ext[0]->file;
	char *was = calloc(1, im->desc_room + 1), *now = calloc(1, im->desc_room);
	size_t from = 0, to = im->desc_room;
	int rc;

	if (!was || !now)
		rc = err_set(e, -ENOMEM, "%s: no memory", im->path);
	else if (len > im->desc_room)
		rc = err_set(e, -ENOSPC, "%s: its descriptor does not fit into the %llu bytes that "
			     "the file has for it", im->path, (unsigned long long)im->desc_room);
	else
		rc = file_read(f, was, im->desc_room, im->desc_off, e);
	if (!rc) {
		if (!keep_places(now, im->desc_room, was, text)) {
			memset(now, 0, im->desc_room);
			memcpy(now, text, len);
		}
		while (from < to && !memcmp(was + from, now + from, SECTOR))
			from += SECTOR;
		while (to > from && !memcmp(was + to - SECTOR, now + to - SECTOR, SECTOR))
			to -= SECTOR;
		rc = file_write(f, now + from, to - from, im->desc_off + from, e);
	}
	if (!rc)
		rc = file_sync(f, e);
	free(was);
	free(now);
	return rc;
}

int image_save_desc(struct image *im, struct err *e)
{
	size_t len;
	char *text;
	int rc;

	if (!im->desc)
		return err_set(e, -ENOTSUP, "%s: has no descriptor", im->path);
	text = desc_text(im->desc, &len);
	if (!text)
		return err_set(e, -ENOMEM, "%s: no memory", im->path);
	rc = im->embedded ? save_embedded(im, text, len, e) :
			    file_replace(im->path, text, len, e);
	free(text);
	return rc;
}

/* The long id ends in the short one. */
static int set_ids(struct desc *d, uint32_t cid, struct err *e)
{
	char s[33];
	uint64_t r[2] = { 0 };
	int rc;

	snprintf(s, sizeof(s), "%08" PRIx32, cid);
	rc = desc_set(d, "CID", s, e);
	if (rc || !desc_get(d, "ddb.longContentID"))
		return rc;
	if (getrandom(r, sizeof(r), 0) < 0)
		return err_sys(e, -errno, "random numbers");
	snprintf(s, sizeof(s), "%016" PRIx64 "%08" PRIx32 "%08" PRIx32, r[0], (uint32_t)r[1], cid);
	return desc_set(d, "ddb.longContentID", s, e);
}

int image_touch(struct image *im, struct err *e)
{
	int rc;

	if (im->cid_changed)
		return 0;
	if (im->desc) {
		rc = set_ids(im->desc, desc_new_cid(im->desc), e);
		if (!rc)
			rc = image_save_desc(im, e);
		if (rc)
			return rc;
	}
	im->cid_changed = true;
	return 0;
}
