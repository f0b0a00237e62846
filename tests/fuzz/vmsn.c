/*
 * Saved states (vmx/vmsn.h) with several groups of tags, damaged: either a .vmx comes out,
 * no longer than one may be, or a sentence; what was written sound comes out as it was.
 */
#include "../unit/ramfile.h"
#include "base/le.h"
#include "fuzz.h"
#include "vmx/dict.h"
#include "vmx/vmsn.h"

static const char config[] = "ide0:0.present = \"TRUE\"\n";

static void append(struct ram *r, const void *buf, size_t n)
{
	uint64_t at = r->size;

	ram_set_size(r, at + n);
	if (n)
		memcpy(r->data + at, buf, n);
}

static void tag(struct fuzz *f, struct ram *r, bool wide, const char *name, unsigned indices,
		unsigned value, const char *text)
{
	uint8_t head[2], b[18] = { 0 };
	uint64_t zeros[8] = { 0 };

	le16_put(head, (uint16_t)(strlen(name) << 8 | indices << 6 | value));
	append(r, head, 2);
	append(r, name, strlen(name));
	append(r, zeros, indices * 4);
	if (value < 62) {
		append(r, zeros, value);
		return;
	}
	if (wide) {
		le64_put(b, strlen(text));
		le64_put(b + 8, strlen(text));
		le16_put(b + 16, 3);
	} else {
		le32_put(b, (uint32_t)strlen(text));
		le32_put(b + 4, (uint32_t)strlen(text));
		le16_put(b + 8, 3);
	}
	append(r, b, wide ? 18 : 10);
	append(r, zeros, 3);
	append(r, text, strlen(text));
}

/* Some groups, of which one has the .vmx. */
static struct ram make(struct fuzz *f)
{
	static const uint32_t magic[] = { 0xbed2bed0, 0xbed2bed2, 0xbed3bed3 };
	static const char *const name[] = { "cpu", "memory", "Snapshot", "Checkpoint" };
	unsigned which = fuzz_below(f, 3), groups = 1 + fuzz_below(f, 4), with = fuzz_below(f, groups);
	struct ram r = { 0 };

	ram_set_size(&r, 12 + groups * 80);
	le32_put(r.data, magic[which]);
	le32_put(r.data + 4, 8);
	le32_put(r.data + 8, groups);
	for (unsigned i = 0; i < groups; i++) {
		uint64_t at = r.size;

		for (unsigned n = fuzz_below(f, 4); n; n--)
			tag(f, &r, which, n & 1 ? "x" : "uid", fuzz_below(f, 4), fuzz_below(f, 64), "abc");
		if (i == with)
			tag(f, &r, which, "cfgFile", 0, 63, config);
		append(&r, "\0", 2);
		strcpy((char *)r.data + 12 + i * 80, name[i == with ? 2 : fuzz_below(f, 4)]);
		le64_put(r.data + 12 + i * 80 + 64, at);
		le64_put(r.data + 12 + i * 80 + 72, r.size - at);
	}
	return r;
}

static void read_one(struct ram *r, bool sound)
{
	struct disk_file *file = ram_open(r, false);
	struct err e = { 0 };
	char *text;
	size_t len;
	int rc = vmsn_config(&text, &len, file, &e);

	fuzz_check(rc ? rc > -200 && e.code == rc && e.msg[0] && !strchr(e.msg, '\n') && !text :
		   len == strlen(text) && len <= DICT_MAX, "%d %s", rc, e.msg);
	fuzz_check(!sound || (!rc && !strcmp(text, config)), "%d %s", rc, e.msg);
	free(text);
	file_close(file);
}

static void damage(struct fuzz *f, struct ram *r)
{
	static const uint64_t hurts[] = { 0, 1, 62, 63, 0xff, 0xffff, 0xffffffff, INT64_MAX, UINT64_MAX };

	for (unsigned n = 1 + fuzz_below(f, 4); n; n--) {
		uint64_t v = fuzz_below(f, 2) ? hurts[fuzz_below(f, 9)] : fuzz_below(f, 3000);
		uint64_t at = fuzz_below(f, 2) ? fuzz_below(f, 100) * 4 : fuzz_next(f) % r->size;
		unsigned len = 1u << fuzz_below(f, 4);

		if (at + len <= r->size)
			memcpy(r->data + at, &v, len);
	}
	if (!fuzz_below(f, 6))
		ram_set_size(r, fuzz_next(f) % r->size);
}

int main(int argc, char **argv)
{
	struct fuzz f;

	fuzz_start(&f, argc, argv);
	while (fuzz_more(&f)) {
		struct ram r = make(&f);

		read_one(&r, true);
		damage(&f, &r);
		read_one(&r, false);
		ram_free(&r);
		if (!fuzz_below(&f, 8)) {
			r.data = vmsn_make(&r.size, config, strlen(config));
			read_one(&r, true);
			damage(&f, &r);
			read_one(&r, false);
			ram_free(&r);
		}
	}
	return fuzz_done(&f);
}
