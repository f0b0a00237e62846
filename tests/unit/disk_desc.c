/* Descriptors: what they say, and that all else stays as it was. */
#include "disk/desc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define HEAD "# Disk DescriptorFile\nversion=1\nCID=0badcafe\nparentCID=ffffffff\n" \
	"createType=\"vmfs\"\n"

/* As an ESX host writes it, with comments, blanks and things nobody knows. */
static const char esx[] =
	"# Disk DescriptorFile\r\n"
	"version=3\r\n"
	"encoding=\"windows-1252\"\r\n"
	"CID=7b9ff3c8\r\n"
	"parentCID=ffffffff\r\n"
	"isNativeSnapshot=\"no\"\r\n"
	"createType=\"vmfs\"\r\n"
	"\r\n"
	"# Extent description\r\n"
	"RW 409600 VMFS \"th\xefn-flat.vmdk\"\r\n"
	"\r\n"
	"# Change Tracking File\r\n"
	"changeTrackPath=\"thin-ctk.vmdk\"\r\n"
	"what is this?\r\n"
	"\r\n"
	"# The Disk Data Base \r\n"
	"#DDB\r\n"
	"\r\n"
	"ddb.virtualHWVersion = \"4\"\r\n"
	"  ddb.uuid = \"60 00 C2 90 6a-10\"  \r\n"
	"ddb.adapterType = \"buslogic\"";

static struct desc *parse(const char *text)
{
	struct desc *d = NULL;
	struct err e = { 0 };
	int rc = desc_parse(&d, text, strlen(text), &e);

	check(!rc, "%s: %s", text, e.msg);
	return d;
}

static void is_text(struct desc *d, const char *want)
{
	size_t len;
	char *text = desc_text(d, &len);

	check(text && len == strlen(want) && !strcmp(text, want), "have\n%s\nwant\n%s", text,
	      want);
	free(text);
}

static void says(struct desc *d, const char *line)
{
	size_t len;
	char *text = desc_text(d, &len);

	check(text && strstr(text, line), "no \"%s\" in\n%s", line, text);
	free(text);
}

static void test_read(void)
{
	struct desc *d = parse(esx);

	is_text(d, esx);
	check(d->version == 3 && d->cid == 0x7b9ff3c8 && d->parent_cid == CID_NONE, "ids");
	check(!strcmp(d->create_type, "vmfs") && !d->parent, "%s", d->create_type);
	check(d->nextents == 1 && d->extent[0].type == DESC_VMFS, "%zu", d->nextents);
	check(d->extent[0].access == DESC_RW && d->extent[0].sectors == 409600, "extent");
	check(!strcmp(d->extent[0].file, "th\xefn-flat.vmdk") && !d->extent[0].has_offset,
	      "%s", d->extent[0].file);
	check(desc_bytes(d) == 409600ull * 512, "bytes");
	check(!strcmp(desc_get(d, "DDB.adaptertype"), "buslogic"), "any letter case");
	check(!strcmp(desc_get(d, "ddb.uuid"), "60 00 C2 90 6a-10"), "%s", desc_get(d, "ddb.uuid"));
	check(!strcmp(desc_get(d, "changeTrackPath"), "thin-ctk.vmdk"), "ctk");
	check(!desc_get(d, "what") && !desc_get(d, "ddb.adapter"), "no such key");
	desc_free(d);
	/* Padded by NULs, as embedded ones are. */
	check(!desc_parse(&d, HEAD "\0\0\0garbage", sizeof(HEAD) + 10, NULL), "padding");
	is_text(d, HEAD);
	desc_free(d);
}

static void test_extents(void)
{
	struct desc *d = parse(HEAD
		"RW 1 FLAT \"a b.vmdk\" 0\n"
		"  rw\t2\tSparse  \"x\"  \n"
		"RDONLY 3 ZERO\n"
		"NOACCESS 4 FLAT\n"
		"NOACCESS 4 FLAT \"\\\\.\\PhysicalDrive0\" 63\n"
		"RW 63 FLAT \"/dev/sda\" 5 partitionUUID \"1 2\"\n"
		"RW 7 VMFSRDM \"r\"\nRW 8 VMFSRAW \"s\"\nRW 9 VMFSSPARSE \"d\"\nRW 0 SESPARSE \"e\"\n");
	static const enum desc_type types[] = {
		DESC_FLAT, DESC_SPARSE, DESC_ZERO, DESC_FLAT, DESC_FLAT, DESC_FLAT, DESC_VMFSRDM,
		DESC_VMFSRAW, DESC_VMFSSPARSE, DESC_SESPARSE,
	};

	check(d->nextents == 10, "%zu", d->nextents);
	for (size_t i = 0; i < d->nextents && i < 10; i++)
		check(d->extent[i].type == types[i], "%zu: %d", i, d->extent[i].type);
	check(!strcmp(d->extent[0].file, "a b.vmdk") && d->extent[0].has_offset &&
	      d->extent[0].offset_sectors == 0, "offset 0 is one");
	check(!strcmp(d->extent[1].file, "x") && d->extent[1].sectors == 2, "blanks");
	check(!d->extent[2].file && d->extent[2].access == DESC_RDONLY, "ZERO");
	check(!d->extent[3].file && d->extent[3].access == DESC_NOACCESS, "NOACCESS");
	check(d->extent[4].offset_sectors == 63, "device");
	check(d->extent[5].offset_sectors == 5, "words behind the offset");
	check(desc_bytes(d) == (1 + 2 + 3 + 4 + 4 + 63 + 7 + 8 + 9) * 512, "bytes");
	desc_free(d);
}

static void test_damaged(void)
{
	static const struct { int rc; const char *text, *says; } bad[] = {
		{ -EBADMSG, "", "no CID" },
		{ -EBADMSG, "version=1\nCID=1\n", "no createType" },
		{ -EBADMSG, "version=1\nCID=1\n# RW 1 ZERO\n", "no createType" },
		{ -EBADMSG, "CID=123456789\ncreateType=\"x\"\n", "CID is" },
		{ -EBADMSG, "CID=12g4\ncreateType=\"x\"\n", "CID is" },
		{ -EBADMSG, "CID=\ncreateType=\"x\"\n", "CID is" },
		{ -EBADMSG, "CID=1\nparentCID=-1\ncreateType=\"x\"\n", "parentCID is" },
		{ -EBADMSG, "version=one\nCID=1\ncreateType=\"x\"\n", "version is" },
		{ -EBADMSG, "version=\nCID=1\ncreateType=\"x\"\n", "version is" },
		{ -ENOTSUP, "version=5\nCID=1\ncreateType=\"x\"\n", "version 5" },
		{ -ENOTSUP, "version=0\nCID=1\ncreateType=\"x\"\n", "version 0" },
		{ -EBADMSG, HEAD "RW -1 FLAT \"f\"\n", "line 6" },
		{ -EBADMSG, HEAD "RW x FLAT \"f\"\n", "size" },
		{ -EBADMSG, HEAD "RW 1x FLAT \"f\"\n", "size" },
		{ -EBADMSG, HEAD "RW 18014398509481984 FLAT \"f\"\n", "size" },
		{ -EBADMSG, HEAD "RW 99999999999999999999999 FLAT \"f\"\n", "size" },
		{ -EBADMSG, HEAD "RW 18014398509481000 FLAT \"f\"\nRW 18014398509481000 FLAT \"f\"\n",
		  "line 7: the extents are larger" },
		{ -EBADMSG, HEAD "RW 1\n", "type" },
		{ -EBADMSG, HEAD "RW \n", "size" },
		{ -ENOTSUP, HEAD "RW 1 QCOW \"f\"\n", "type QCOW" },
		{ -EBADMSG, HEAD "RW 1 FLAT\n", "no quoted file name" },
		{ -EBADMSG, HEAD "RW 1 FLAT f\n", "no quoted file name" },
		{ -EBADMSG, HEAD "RW 1 FLAT \"f\n", "quote" },
		{ -EBADMSG, HEAD "RW 1 FLAT \"\"\n", "empty" },
		{ -EBADMSG, HEAD "RW 1 FLAT \"f\" 9999999999999999999\n", "offset" },
		{ -EBADMSG, HEAD "RW 1 ZERO f\n", "no quoted file name" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct desc *d = NULL;
		struct err e = { 0 };
		int rc = desc_parse(&d, bad[i].text, strlen(bad[i].text), &e);

		check(rc == bad[i].rc && !d, "%zu: %d, %s", i, rc, e.msg);
		check(strstr(e.msg, bad[i].says), "%zu: %s", i, e.msg);
	}
}

static void test_change(void)
{
	struct desc *d = parse(esx);
	struct err e = { 0 };

	check(!desc_set(d, "CID", "00000001", &e) && d->cid == 1, "%s", e.msg);
	check(!desc_set(d, "parentcid", "00000002", &e) && d->parent_cid == 2, "%s", e.msg);
	check(!desc_set(d, "parentFileNameHint", "base disk.vmdk", &e), "%s", e.msg);
	check(d->parent && !strcmp(d->parent, "base disk.vmdk"), "%s", d->parent);
	check(!desc_set(d, "ddb.thinProvisioned", "1", &e), "%s", e.msg);
	check(!desc_set(d, "ddb.uuid", "60", &e), "%s", e.msg);
	says(d, "CID=00000001\r\nparentCID=00000002\r\n");
	says(d, "createType=\"vmfs\"\r\nparentFileNameHint=\"base disk.vmdk\"\r\n\r\n# Ext");
	says(d, "what is this?\r\n");
	says(d, "  ddb.uuid = \"60\"  \r\n");
	says(d, "ddb.adapterType = \"buslogic\"\r\nddb.thinProvisioned = \"1\"\r\n");
	check(desc_set(d, "ddb.comment", "a\nRW 1 ZERO", &e) == -EINVAL, "newline");
	check(desc_set(d, "ddb.comment", "a\"", &e) == -EINVAL, "quote");
	check(desc_set(d, "CID", "z", &e) == -EBADMSG, "not a CID");
	desc_free(d);

	/* There and back again: not a byte differs. */
	d = parse(esx);
	check(!desc_set(d, "parentFileNameHint", "p", &e) && !desc_set(d, "ddb.x", NULL, &e) &&
	      !desc_set(d, "parentFileNameHint", NULL, &e) && !d->parent, "%s", e.msg);
	is_text(d, esx);
	desc_free(d);

	/* A lone CR at the end of the last line is no part of its value. */
	d = parse("CID=1\nversion=1\ncreateType=a b\r");
	is_text(d, "CID=1\nversion=1\ncreateType=a b\r");
	check(!strcmp(d->create_type, "a b"), "%s", d->create_type);
	check(!desc_set(d, "ddb.x", "1", &e), "%s", e.msg);
	is_text(d, "CID=1\nversion=1\ncreateType=a b\nddb.x = \"1\"\n");
	desc_free(d);
}

static void test_change_extents(void)
{
	struct desc *d = desc_new("custom"), *again;
	struct desc_extent x = { .type = DESC_FLAT, .sectors = 10, .file = "a" };
	struct err e = { 0 };
	size_t len;
	char *text;

	check(d && d->nextents == 0 && d->cid != CID_NONE && d->parent_cid == CID_NONE, "new");
	for (unsigned i = 0; i < 5; i++) {
		x.sectors = 10 + i;
		x.has_offset = i & 1;
		check(!desc_set_extent(d, i, &x, &e), "%s", e.msg);
	}
	x = (struct desc_extent){ .access = DESC_NOACCESS, .type = DESC_ZERO, .sectors = 99 };
	check(!desc_set_extent(d, 1, &x, &e) && !desc_set_extent(d, 0, NULL, &e), "%s", e.msg);
	check(!desc_set_extent(d, 3, NULL, &e), "the last");
	says(d, "# Extent description\nNOACCESS 99 ZERO\nRW 12 FLAT \"a\"\nRW 13 FLAT \"a\" 0\n\n#");
	x.file = "a\"b";
	check(desc_set_extent(d, 3, &x, &e) == -EINVAL, "quote");
	x.file = "";
	check(desc_set_extent(d, 0, &x, &e) == -EINVAL, "empty name");
	text = desc_text(d, &len);
	check(!desc_parse(&again, text, len, &e) && again->nextents == 3 &&
	      again->extent[2].has_offset, "%s", e.msg);
	desc_free(again);
	free(text);
	while (d->nextents)
		check(!desc_set_extent(d, 0, NULL, &e), "%s", e.msg);
	x.file = "z";
	check(!desc_set_extent(d, 0, &x, &e), "%s", e.msg);
	says(d, "# Extent description\nNOACCESS 99 ZERO \"z\"\n");
	desc_free(d);
}

/* 62 TB in pieces of 2 GB. */
static void test_many(void)
{
	struct desc *d = desc_new("twoGbMaxExtentSparse"), *again;
	struct desc_extent x = { .type = DESC_SPARSE, .sectors = 4192256 };
	char name[32], *text;
	struct err e = { 0 };
	size_t len, n = 31744;

	x.file = name;
	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "disk-s%05zu.vmdk", i + 1);
		if (desc_set_extent(d, i, &x, &e))
			break;
	}
	text = desc_text(d, &len);
	check(!desc_parse(&again, text, len, &e), "%s", e.msg);
	check(again->nextents == n && again->nextents == d->nextents, "%zu", again->nextents);
	check(!strcmp(again->extent[n - 1].file, "disk-s31744.vmdk"), "the last");
	desc_free(again);
	desc_free(d);
	free(text);
	len = DESC_LINES + 1;
	text = malloc(len);
	memset(text, '\n', len);
	check(desc_parse(&d, text, len, &e) == -EBADMSG && strstr(e.msg, "lines"), "%s", e.msg);
	free(text);
}

static void test_probe(void)
{
	static const char *const yes[] = {
		"# Disk DescriptorFile\nversion=1\n", "\n\n  # disk descriptorfile", "version=1\n",
		"# comment\n\nversion = 2\n", "\xef\xbb\xbf# Disk DescriptorFile\r\n",
	};
	static const char *const no[] = {
		"", "#", "# Disk", "versions=1", "version", "version 1", "KDMV", "a\nversion=1\n",
		"# comment\n", "\xef\xbb",
	};

	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++)
		check(desc_probe(yes[i], strlen(yes[i])), "%s", yes[i]);
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
		check(!desc_probe(no[i], strlen(no[i])), "%s", no[i]);
	check(!desc_probe("# Disk DescriptorFile", 20), "cut off");
}

int main(void)
{
	test_read();
	test_extents();
	test_damaged();
	test_change();
	test_change_extents();
	test_many();
	test_probe();
	return check_done();
}
