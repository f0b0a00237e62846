/* The .vmx in a .vmsn: ours, files laid out as the products do it, and damaged ones. */
#include "vmx/vmsn.h"

#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "check.h"
#include "ramfile.h"

static const char config[] = "config.version = \"8\"\nmemsize = \"64\"\n";

struct builder {
	uint8_t b[4096];
	size_t n;
	bool wide;
};

static void put(struct builder *p, const void *data, size_t n)
{
	memcpy(p->b + p->n, data, n);
	p->n += n;
}

static void put16(struct builder *p, unsigned v)
{
	le16_put(p->b + p->n, (uint16_t)v);
	p->n += 2;
}

/* A tag with indices and a small value. */
static void put_tag(struct builder *p, const char *name, unsigned nindex, unsigned size)
{
	static const uint8_t value[64];

	put16(p, (unsigned)strlen(name) << 8 | nindex << 6 | size);
	put(p, name, strlen(name));
	put(p, value, nindex * 4 + size);
}

static void put_block(struct builder *p, const char *name, unsigned kind, const void *data,
		      size_t n, unsigned pad)
{
	size_t w = p->wide ? 8 : 4;

	put16(p, (unsigned)strlen(name) << 8 | kind);
	put(p, name, strlen(name));
	le32_put(p->b + p->n, (uint32_t)n);	/* the rest is 0 */
	le32_put(p->b + p->n + w, (uint32_t)n);
	p->n += 2 * w;
	put16(p, pad);
	p->n += pad;
	put(p, data, n);
}

/* A file with a group of memory, one without a configuration and one with. */
static void build(struct builder *p, uint32_t magic)
{
	static const char *const group[] = { "memory", "Checkpoint", "Snapshot" };
	size_t start;

	memset(p, 0, sizeof(*p));
	p->wide = magic != 0xbed2bed0;
	le32_put(p->b, magic);
	le32_put(p->b + 4, 8);
	le32_put(p->b + 8, 3);
	p->n = 12 + 3 * 80;
	for (unsigned i = 0; i < 3; i++) {
		uint8_t *g = p->b + 12 + i * 80;

		start = p->n;
		if (i == 0)
			put(p, "no tags at all", 14);
		if (i)
			put_tag(p, "count", i, 4);
		if (i == 2) {
			put_block(p, "cfgFile", 62, "packed", 6, 3);
			put_block(p, "nvramFile", 63, "x", 1, 0);
			put_block(p, "cfgFile", 63, config, sizeof(config), 5);
		}
		if (i)
			put16(p, 0);
		strcpy((char *)g, group[i]);
		le64_put(g + 64, start);
		le64_put(g + 72, p->n - start);
	}
}

static int config_of(const void *data, size_t n, char **text, struct err *e)
{
	struct ram r = { 0 };
	struct disk_file *f;
	size_t len;
	int rc;

	ram_set_size(&r, n);
	if (n)
		memcpy(r.data, data, n);
	f = ram_open(&r, false);
	rc = vmsn_config(text, &len, f, e);
	check(rc ? !*text : *text && strlen(*text) == len, "%s", e->msg);
	file_close(f);
	ram_free(&r);
	return rc;
}

static void test_found(void)
{
	static const uint32_t magic[] = { 0xbed2bed0, 0xbed2bed2, 0xbed3bed3 };
	struct builder p;
	struct err e = { 0 };
	char *text;
	size_t len;
	void *ours = vmsn_make(&len, config, strlen(config));

	check(!config_of(ours, len, &text, &e) && text && !strcmp(text, config), "%s", e.msg);
	free(text);
	free(ours);
	ours = vmsn_make(&len, "", 0);
	check(!config_of(ours, len, &text, &e) && text && !*text, "%s", e.msg);
	free(text);
	free(ours);
	for (unsigned i = 0; i < 3; i++) {
		build(&p, magic[i]);
		check(!config_of(p.b, p.n, &text, &e) && text && !strcmp(text, config), "%s", e.msg);
		free(text);
	}
}

static void test_damaged(void)
{
	struct builder p;
	struct err e = { 0 };
	char *text;

	build(&p, 0xbed2bed2);
	/* Cut anywhere: never a part of it. */
	for (size_t n = 0; n < p.n - 2; n++) {
		int rc = config_of(p.b, n, &text, &e);

		check(rc == -EBADMSG || (!rc && !strcmp(text, config)), "%zu: %d %s", n, rc, e.msg);
		free(text);
	}
	p.b[0] = 0;
	check(config_of(p.b, p.n, &text, &e) == -ENOTSUP, "%s", e.msg);
	p.b[0] = 0xd2;
	le32_put(p.b + 8, 2);
	check(config_of(p.b, p.n, &text, &e) == -ENOTSUP && strstr(e.msg, "holds no .vmx"), "%s", e.msg);
	le32_put(p.b + 8, VMSN_GROUPS + 1);
	check(config_of(p.b, p.n, &text, &e) == -EBADMSG && strstr(e.msg, "groups"), "%s", e.msg);
	le32_put(p.b + 8, 3);
	le64_put(p.b + 12 + 2 * 80 + 72, UINT64_MAX);
	check(config_of(p.b, p.n, &text, &e) == -EBADMSG && strstr(e.msg, "outside"), "%s", e.msg);
}

int main(void)
{
	test_found();
	test_damaged();
	return check_done();
}
