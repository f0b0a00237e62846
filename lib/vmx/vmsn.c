#include "vmx/vmsn.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "vmx/dict.h"

#define MAGIC_OLD	0xbed2bed0u
#define MAGIC		0xbed2bed2u
#define MAGIC_NEW	0xbed3bed3u
#define VERSION		8u

enum { HEAD_MAGIC = 0, HEAD_VERSION = 4, HEAD_GROUPS = 8, HEAD_SIZE = 12 };
enum { GROUP_NAME = 0, GROUP_OFFSET = 64, GROUP_LEN = 72, GROUP_SIZE = 80 };

#define TAG_BLOCK	63u
#define TAG_PACKED	62u
#define CONFIG		"cfgFile"

struct reading {
	struct disk_file *f;
	bool wide;		/* sizes of blocks have 64 bits */
	unsigned tags;		/* so far */
	char **text;
	size_t *len;
	struct err *e;
};

static int damaged(const struct reading *r, const char *what)
{
	return err_set(r->e, -EBADMSG, "%s: %s", r->f->path, what);
}

/* Read at *at, which goes behind it; nothing lies behind end. */
static int take(struct reading *r, void *buf, uint64_t n, uint64_t *at, uint64_t end)
{
	int rc;

	if (n > end - *at)
		return damaged(r, "a tag goes on behind the end of its group");
	rc = buf ? file_read(r->f, buf, n, *at, r->e) : 0;
	*at += n;
	return rc;
}

/* The head of a block, and where its bytes lie. */
static int block(struct reading *r, uint64_t *at, uint64_t end, uint64_t *size)
{
	uint8_t b[18];
	size_t n = r->wide ? 18 : 10;
	int rc = take(r, b, n, at, end);

	if (rc)
		return rc;
	*size = r->wide ? le64_get(b) : le32_get(b);
	return take(r, NULL, le16_get(b + n - 2), at, end);
}

static int read_config(struct reading *r, uint64_t at, uint64_t size)
{
	int rc;

	if (size > DICT_MAX)
		return damaged(r, CONFIG " is longer than a .vmx can be");
	*r->text = malloc(size + 1);
	if (!*r->text)
		return err_set(r->e, -ENOMEM, "%s: no memory", r->f->path);
	rc = file_read(r->f, *r->text, size, at, r->e);
	if (rc) {
		free(*r->text);
		*r->text = NULL;
		return rc;
	}
	(*r->text)[size] = 0;
	/* Strings end with a NUL, which may be one of the bytes. */
	*r->len = strnlen(*r->text, size);
	return 0;
}

/* One tag.  Returns 0: it was the last, or what is looked for (*r->text); 1: there may be
 * more; else -errno. */
static int read_tag(struct reading *r, uint64_t *at, uint64_t end)
{
	uint8_t head[2];
	char name[256];
	unsigned word, value;
	uint64_t size;
	bool found;
	int rc = take(r, head, 2, at, end);

	if (rc)
		return rc;
	word = le16_get(head);
	if (!word)
		return 0;
	if (++r->tags > VMSN_TAGS)
		return damaged(r, "too many tags");
	size = value = word & 63;
	rc = take(r, name, word >> 8, at, end);
	name[word >> 8] = 0;
	if (!rc)
		rc = take(r, NULL, (word >> 6 & 3) * 4, at, end);
	if (!rc && value >= TAG_PACKED)
		rc = block(r, at, end, &size);
	if (rc)
		return rc;
	found = !strcmp(name, CONFIG) && value == TAG_BLOCK;
	if (found)
		rc = size > end - *at ? damaged(r, CONFIG " goes on behind its group")
				      : read_config(r, *at, size);
	else
		rc = take(r, NULL, size, at, end);
	return rc ? rc : !found;
}

static int read_group(struct reading *r, const uint8_t *group)
{
	uint64_t at = le64_get(group + GROUP_OFFSET), n = le64_get(group + GROUP_LEN);
	uint64_t end;
	int rc;

	if (at > r->f->size || n > r->f->size - at)
		return damaged(r, "a group lies outside the file");
	end = at + n;
	do
		rc = at < end ? read_tag(r, &at, end) : 0;
	while (rc > 0);
	return rc;
}

static int read_groups(struct reading *r)
{
	uint8_t head[HEAD_SIZE], group[GROUP_SIZE];
	uint32_t magic, n;
	int rc;

	if (r->f->size < HEAD_SIZE)
		return damaged(r, "too short for a .vmsn");
	rc = file_read(r->f, head, HEAD_SIZE, 0, r->e);
	if (rc)
		return rc;
	magic = le32_get(head + HEAD_MAGIC);
	if (magic != MAGIC && magic != MAGIC_OLD && magic != MAGIC_NEW)
		return err_set(r->e, -ENOTSUP, "%s: not a .vmsn that is known here", r->f->path);
	r->wide = magic != MAGIC_OLD;
	n = le32_get(head + HEAD_GROUPS);
	if (n > VMSN_GROUPS)
		return damaged(r, "too many groups");
	for (uint32_t i = 0; !rc && !*r->text && i < n; i++) {
		rc = file_read(r->f, group, GROUP_SIZE, HEAD_SIZE + (uint64_t)i * GROUP_SIZE, r->e);
		/* Memory is not looked through. */
		if (!rc && strncasecmp((char *)group, "memory", 64))
			rc = read_group(r, group);
	}
	if (!rc && !*r->text)
		rc = err_set(r->e, -ENOTSUP, "%s: holds no .vmx", r->f->path);
	return rc;
}

int vmsn_config(char **text, size_t *len, struct disk_file *f, struct err *e)
{
	struct reading r = { .f = f, .text = text, .len = len, .e = e };

	*text = NULL;
	return read_groups(&r);
}

void *vmsn_make(size_t *len, const char *config, size_t n)
{
	static const char name[] = CONFIG;
	size_t tag = 2 + strlen(name) + 18;
	uint8_t *b, *t;

	*len = HEAD_SIZE + GROUP_SIZE + tag + n + 2;
	b = calloc(1, *len);
	if (!b)
		return NULL;
	le32_put(b + HEAD_MAGIC, MAGIC);
	le32_put(b + HEAD_VERSION, VERSION);
	le32_put(b + HEAD_GROUPS, 1);
	t = b + HEAD_SIZE;
	memcpy(t + GROUP_NAME, "Snapshot", 8);
	le64_put(t + GROUP_OFFSET, HEAD_SIZE + GROUP_SIZE);
	le64_put(t + GROUP_LEN, tag + n + 2);
	t += GROUP_SIZE;
	le16_put(t, (uint16_t)(strlen(name) << 8 | TAG_BLOCK));
	memcpy(t + 2, name, strlen(name));
	t += 2 + strlen(name);
	le64_put(t, n);
	le64_put(t + 8, n);
	memcpy(t + 18, config, n);	/* without padding; the last two bytes end the list */
	return b;
}
