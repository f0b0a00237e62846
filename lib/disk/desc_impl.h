#ifndef DISK_DESC_IMPL_H
#define DISK_DESC_IMPL_H
/*
 * The text of a descriptor, line by line; for desc.c and desc_parse.c.  A line's bytes
 * are kept as they are; what is known of it points into them.
 */
#include "disk/desc.h"

enum line_kind { LINE_OTHER, LINE_KEY, LINE_EXTENT };

struct line {
	char *text;		/* without its end, NUL-terminated */
	enum line_kind kind;
	const char *eol;	/* "\n", "\r\n", or "" for the last */
	/* LINE_KEY: */
	size_t key_len, key_at;	/* in text */
	size_t val_at, val_len;	/* in text, without the quotes */
	bool quoted;
	char *value;		/* a copy of it */
};

struct desc_lines {
	struct line *line;
	size_t n, cap;
	size_t after_extents;	/* index behind the last extent line; 0: none yet */
	const char *eol;	/* for new lines */
};

/* What kind of line is it, and where are its parts?  0 or -ENOMEM. */
int line_classify(struct line *l);
/* Parse an extent line; where is "line N". */
int line_extent(struct desc_extent *x, const char *text, const char *where, struct err *e);
void line_free(struct line *l);
/* Does a line hold this key, in any letter case? */
bool line_has_key(const struct line *l, const char *key);
/* Set the fields of d from its keys: 0 or as desc_parse(). */
int desc_fields(struct desc *d, struct err *e);
/* Without a createType it is what the extents are.  0; -EBADMSG: there are none. */
int desc_infer_type(struct desc *d, struct err *e);
#endif
