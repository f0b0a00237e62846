/* Images and chains of files: what a file is taken for, what a descriptor may name, what
 * does not fit together. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "disk/create.h"
#include "disk/disk.h"

static char dir[] = "/tmp/disk_image.XXXXXX";

static const char *in(const char *name)
{
	static char path[8][256];
	static unsigned n;
	char *p = path[n++ % 8];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static void put(const char *name, const void *data, size_t len)
{
	int fd = open(in(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		exit(1);
	close(fd);
}

/* A file of len bytes, each v. */
static void fill(const char *name, uint8_t v, size_t len)
{
	uint8_t *b = malloc(len);

	memset(b, v, len);
	put(name, b, len);
	free(b);
}

static __attribute__((format(printf, 4, 5)))
void desc(const char *name, uint32_t cid, uint32_t parent, const char *fmt, ...)
{
	char text[4096];
	int n = snprintf(text, sizeof(text), "# Disk DescriptorFile\nversion=1\nCID=%08x\n"
			 "parentCID=%08x\n", cid, parent);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	va_end(ap);
	put(name, text, strlen(text));
}

#define TYPE(t) "createType=\"" t "\"\n"

/* Opening fails with rc, and the message has words in it. */
static void refuses(const char *name, const struct disk_opts *o, int rc, const char *words)
{
	struct disk *d;
	struct err e = { 0 };
	int got = disk_open(&d, in(name), o, &e);

	check(got == rc && strstr(e.msg, words), "%s: %d, not %d: %s", name, got, rc, e.msg);
	if (!got)
		disk_close(d, NULL);
}

static struct disk *opens(const char *name, const struct disk_opts *o)
{
	struct disk *d = NULL;
	struct err e = { 0 };

	check(!disk_open(&d, in(name), o, &e), "%s: %s", name, e.msg);
	if (!d)
		exit(check_done());
	return d;
}

static uint8_t byte_at(struct disk *d, uint64_t off)
{
	uint8_t b[SECTOR];
	struct err e = { 0 };

	check(!disk_read(d, b, sizeof(b), off & ~511ull, &e), "%s", e.msg);
	return b[off & 511];
}

static const struct disk_opts ro = { 0 }, rw = { .write = true }, outside = { .allow_outside = true };

static void test_kinds(void)
{
	struct disk *d;

	fill("raw", 1, 1500);
	d = opens("raw", &ro);
	check(disk_size(d) == 1536 && byte_at(d, 1499) == 1 && byte_at(d, 1500) == 0, "tail");
	disk_close(d, NULL);
	put("empty", "", 0);
	d = opens("empty", &ro);
	check(disk_size(d) == 0, "empty");
	disk_close(d, NULL);
	refuses("none", &ro, -ENOENT, "none");
	put("bad", "# Disk DescriptorFile\nversion=1\n", 32);
	refuses("bad", &ro, -EBADMSG, "no CID");
	d = opens("bad", &(struct disk_opts){ .raw = true });
	check(byte_at(d, 0) == '#', "raw by order");
	disk_close(d, NULL);
	put("cut", "KDMV", 4);
	refuses("cut", &ro, -EBADMSG, "cut: ends at byte 4");
	put("cut", "COWD", 4);
	refuses("cut", &ro, -EBADMSG, "cut: ends at byte 4");
	put("cut", "\xbe\xba\xfe\xca\0\0\0\0", 8);
	refuses("cut", &ro, -EBADMSG, "cut: ends at byte 8");
	desc("type", 1, CID_NONE, TYPE("vsanSparse") "RW 1 FLAT \"raw\" 0\n");
	refuses("type", &ro, -ENOTSUP, "vsanSparse");
	desc("noext", 1, CID_NONE, TYPE("vmfs"));
	refuses("noext", &ro, -EBADMSG, "no extent");
	/* Too large for a descriptor: a disk that a guest made look like one. */
	put("big", "# Disk DescriptorFile\nversion=1\n", 32);
	check(!truncate(in("big"), DESC_MAX + 1), "truncate");
	d = opens("big", &ro);
	check(disk_size(d) == DESC_MAX + 512, "raw");
	disk_close(d, NULL);
}

/* What a raw disk is its first sector says, which guests may not make any other: not what
 * comes behind comments of that length. */
static void test_first_sector(void)
{
	char text[2 * SECTOR] = "# Disk";
	struct disk *d;

	memset(text + 6, '#', SECTOR - 7);
	text[SECTOR - 1] = '\n';
	strcpy(text + SECTOR, "version=1\nCID=1\nparentCID=ffffffff\n" TYPE("monolithicFlat")
	       "RW 1 FLAT \"raw\" 0\n");
	check(!image_probe(text, SECTOR, sizeof(text)), "a sector of comments");
	put("late", text, sizeof(text));
	d = opens("late", &ro);
	check(disk_size(d) == sizeof(text) && byte_at(d, SECTOR) == 'v', "raw");
	disk_close(d, NULL);
}

static void test_custom(void)
{
	uint8_t b[4096];
	struct disk *d;
	struct err e = { 0 };
	struct disk_run run;
	unsigned layer;

	fill("one", 1, 4096);
	fill("two", 2, 8192);
	desc("custom.vmdk", 0x11, CID_NONE, TYPE("custom")
	     "RW 8 FLAT \"one\" 0\nRW 0 SPARSE \"nothing\"\nRW 8 ZERO\nRDONLY 8 FLAT \"two\" 8\n"
	     "NOACCESS 4 FLAT \"lost\" 0\nRW 4 VMFS \"two\"\n");
	d = opens("custom.vmdk", &rw);
	check(disk_size(d) == 32 * 512, "sizes of all extents: %llu", (unsigned long long)disk_size(d));
	check(byte_at(d, 0) == 1 && byte_at(d, 4096) == 0 && byte_at(d, 8192) == 2 &&
	      byte_at(d, 14336) == 2, "contents");
	check(disk_read(d, b, 512, 12288, &e) == -EACCES && strstr(e.msg, "NOACCESS"), "%s", e.msg);
	check(disk_write(d, b, 512, 12288, &e) == -EACCES, "%s", e.msg);
	check(disk_zero(d, 12288, 512, true, &e) == -EACCES, "%s", e.msg);
	check(disk_write(d, b, 512, 8192, &e) == -EROFS, "RDONLY: %s", e.msg);
	check(disk_write(d, b, 512, 4096, &e) == -EROFS, "ZERO: %s", e.msg);
	check(!disk_zero(d, 4096, 512, true, &e), "zeros are there: %s", e.msg);
	memset(b, 9, sizeof(b));
	check(!disk_write(d, b, 512, 512, &e) && byte_at(d, 512) == 9 && byte_at(d, 511) == 1, "%s", e.msg);
	check(disk_write(d, b, 4096, 2048, &e) == -EROFS && byte_at(d, 2048) == 9, "to the end of one");
	check(!disk_map(d, 4096, 8192, &run, &layer, &e) && run.kind == DISK_ZERO && run.len == 4096,
	      "%d %llu", run.kind, (unsigned long long)run.len);
	check(!disk_close(d, &e), "%s", e.msg);
}

static void test_outside(void)
{
	static const struct { const char *name, *words; } bad[] = {
		{ "/etc/passwd", "absolute" }, { "../x", "\"..\"" }, { "sub/../raw", "\"..\"" },
		{ "http://h/x", "absolute" }, { "link", "symbolic link" },
		{ "dirlink/raw", "symbolic link" }, { "..", "\"..\"" }, { "sub\\..\\raw", "\"..\"" },
	};
	struct disk *d;
	char path[300];

	check(!mkdir(in("sub"), 0700) && !symlink("raw", in("link")) && !symlink(".", in("dirlink")) &&
	      !mkfifo(in("fifo"), 0600), "set up");
	fill("sub/raw", 5, 512);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		desc("out.vmdk", 1, CID_NONE, TYPE("vmfs") "RW 1 FLAT \"%s\" 0\n", bad[i].name);
		refuses("out.vmdk", &ro, -EPERM, bad[i].words);
		desc("out.vmdk", 1, 2, TYPE("vmfs") "parentFileNameHint=\"%s\"\nRW 1 FLAT \"raw\" 0\n",
		     bad[i].name);
		refuses("out.vmdk", &ro, -EPERM, bad[i].words);
	}
	desc("out.vmdk", 1, CID_NONE, TYPE("vmfs") "RW 1 FLAT \"fifo\" 0\n");
	refuses("out.vmdk", &ro, -EBADMSG, "pipe");
	refuses("out.vmdk", &outside, -EBADMSG, "pipe");
	desc("out.vmdk", 1, CID_NONE, TYPE("vmfs") "RW 1 FLAT \"sub\" 0\n");
	refuses("out.vmdk", &ro, -EBADMSG, "folder");
	desc("in.vmdk", 1, CID_NONE, TYPE("vmfs") "RW 1 FLAT \"sub/raw\" 0\n");
	d = opens("in.vmdk", &ro);
	check(byte_at(d, 0) == 5, "a folder below is beside");
	disk_close(d, NULL);
	snprintf(path, sizeof(path), "%s/link", dir);
	desc("out.vmdk", 1, CID_NONE, TYPE("vmfsRawDeviceMap") "RW 1 VMFSRDM \"%s\"\n", path);
	d = opens("out.vmdk", &outside);
	check(byte_at(d, 0) == 1, "allowed");
	disk_close(d, NULL);
}

static void beside(const char *d, const char *name, bool out, const char *want)
{
	char *path = NULL;
	struct err e = { 0 };

	check(!image_beside(&path, d, name, out, &e), "%s", e.msg);
	check(path && !strcmp(path, want), "%s, not %s", path, want);
	free(path);
}

static void test_beside(void)
{
	char *p;
	struct err e = { 0 };

	beside("x.vmdk", "x-flat.vmdk", false, "x-flat.vmdk");
	beside("/a/b/x.vmdk", "y", false, "/a/b/y");
	beside("/x.vmdk", "y", false, "/y");
	beside("/a/x.vmdk", "/y", true, "/y");
	beside("/a/x.vmdk", "../y", true, "/a/../y");
	beside("/a/x.vmdk", "..y", false, "/a/..y");
	beside("http://h/f/x.vmdk", "y z#.vmdk", false, "http://h/f/y%20z%23.vmdk");
	beside("https://h/f/x.vmdk?dcPath=a/b&dsName=c", "y", false, "https://h/f/y?dcPath=a/b&dsName=c");
	beside("http://h/f/x.vmdk", "https://o/z", true, "https://o/z");
	check(image_beside(&p, "x", "", true, &e) == -EINVAL, "%s", e.msg);
	check(image_beside(&p, "x", "a\nb", true, &e) == -EINVAL, "%s", e.msg);
}

static void flat_layer(const char *name, uint32_t cid, uint32_t parent, const char *hint, unsigned sectors)
{
	char flat[64];

	snprintf(flat, sizeof(flat), "%s-flat", name);
	fill(flat, (uint8_t)cid, sectors * 512);
	desc(name, cid, parent, TYPE("vmfs") "%s%s%s\nRW %u VMFS \"%s\"\n", hint ? "parentFileNameHint=\"" : "",
	     hint ? hint : "", hint ? "\"" : "", sectors, flat);
}

static void test_chain(void)
{
	struct disk_opts lazy = { .lazy = true }, alone = { .no_parent = true };
	char a[16], b[16];
	struct disk *d;

	flat_layer("base", 0x10, CID_NONE, NULL, 8);
	flat_layer("mid", 0x20, 0x10, "base", 8);
	flat_layer("top", 0x30, 0x20, "mid", 8);
	d = opens("top", &ro);
	check(disk_layers(d) == 3 && strstr(disk_layer(d, 0)->path, "base"), "%u", disk_layers(d));
	check(disk_layer(d, 2)->desc->cid == 0x30 && byte_at(d, 0) == 0x30, "top");
	disk_close(d, NULL);
	d = opens("top", &alone);
	check(disk_layers(d) == 1, "%u", disk_layers(d));
	disk_close(d, NULL);
	flat_layer("base", 0x11, CID_NONE, NULL, 8);
	refuses("top", &ro, -EBADMSG, "parentCID says 00000010");
	d = opens("top", &lazy);
	check(disk_layers(d) == 2 && strstr(disk_layer(d, 0)->broken, "written to"), "broken");
	disk_close(d, NULL);
	unlink(in("base"));
	refuses("top", &ro, -ENOENT, "base");
	desc("base", 0x10, 0x30, TYPE("vmfs") "parentFileNameHint=\"top\"\nRW 8 VMFS \"base-flat\"\n");
	refuses("top", &ro, -EBADMSG, "lead back");
	flat_layer("base", 0x10, 0x99, NULL, 8);
	refuses("top", &ro, -EBADMSG, "no parentFileNameHint");
	fill("base", 0, 4096);
	refuses("top", &ro, -EBADMSG, "no descriptor");
	for (unsigned i = 0; i <= DISK_LAYERS; i++) {
		snprintf(a, sizeof(a), "c%u", i);
		snprintf(b, sizeof(b), "c%u", i - 1);
		flat_layer(a, i + 1, i ? i : CID_NONE, i ? b : NULL, 1);
	}
	d = opens("c254", &ro);
	check(disk_layers(d) == 255, "%u", disk_layers(d));
	disk_close(d, NULL);
	refuses("c255", &ro, -EBADMSG, "more than 255");
}

/* A new CID with the first write, and not before; a second writer is refused. */
static void test_cid(void)
{
	struct disk *d, *other;
	struct err e = { 0 };
	uint8_t b[512] = "x";
	uint32_t cid;

	fill("w-flat", 0, 4096);
	desc("w", 0x77, CID_NONE, TYPE("vmfs") "# kept\nRW 8 VMFS \"w-flat\"\n\n"
	     "ddb.longContentID = \"00112233445566778899aabb00000077\"\n");
	d = opens("w", &rw);
	check(disk_open(&other, in("w"), &rw, &e) == -EBUSY, "%s", e.msg);
	check(byte_at(d, 0) == 0 && disk_layer(d, 0)->desc->cid == 0x77, "read");
	check(!disk_close(d, &e), "%s", e.msg);
	d = opens("w", &rw);
	check(disk_layer(d, 0)->desc->cid == 0x77, "unchanged");
	check(!disk_write(d, b, 512, 0, &e) && !disk_write(d, b, 512, 512, &e), "%s", e.msg);
	cid = disk_layer(d, 0)->desc->cid;
	check(cid != 0x77, "changed");
	check(!disk_close(d, &e), "%s", e.msg);
	d = opens("w", &ro);
	check(disk_layer(d, 0)->desc->cid == cid && byte_at(d, 0) == 'x', "saved");
	check(strtoul(desc_get(disk_layer(d, 0)->desc, "ddb.longContentID") + 24, NULL, 16) == cid,
	      "%s", desc_get(disk_layer(d, 0)->desc, "ddb.longContentID"));
	check(disk_write(d, b, 512, 0, &e) == -EROFS, "%s", e.msg);
	disk_close(d, NULL);
}

/* Paths of Windows, and names in other encodings: the file beside the descriptor. */
static void test_names(void)
{
	static const struct { const char *encoding, *name; uint8_t first; } good[] = {
		{ "UTF-8", "C:\\vm\\raw", 1 }, { "UTF-8", "d:/vm/raw", 1 }, { "UTF-8", "\\\\host\\x\\raw", 1 },
		{ "UTF-8", "sub\\raw", 5 }, { "UTF-8", "a\\raw", 6 },	/* that is its name */
		{ "windows-1252", "D:\\v\xfcm\\\xe4.raw", 7 }, { "GBK", "\xd6\xd0.raw", 8 },
		{ "Shift_JIS", "\x95\x5c.raw", 9 },	/* its second byte is that of a backslash */
		{ "nothing known", "raw", 1 },
	};
	struct disk *d;

	fill("a\\raw", 6, 512);
	fill("ä.raw", 7, 512);
	fill("中.raw", 8, 512);
	fill("表.raw", 9, 512);
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		desc("names.vmdk", 1, CID_NONE, "encoding=\"%s\"\n" TYPE("vmfs") "RW 1 FLAT \"%s\" 0\n",
		     good[i].encoding, good[i].name);
		d = opens("names.vmdk", &ro);
		check(byte_at(d, 0) == good[i].first, "%s", good[i].name);
		disk_close(d, NULL);
	}
	desc("child.vmdk", 2, 1, TYPE("vmfs") "parentFileNameHint=\"E:\\VMs\\names.vmdk\"\n"
	     "RW 1 FLAT \"raw\" 0\n");
	d = opens("child.vmdk", &ro);
	check(disk_layers(d) == 2, "%u", disk_layers(d));
	disk_close(d, NULL);
	desc("names.vmdk", 1, CID_NONE, TYPE("vmfs") "RW 1 FLAT \"C:\\none\" 0\n");
	refuses("names.vmdk", &ro, -ENOENT, "none");
	desc("names.vmdk", 1, CID_NONE, TYPE("vmfs") "RW 1 FLAT \"C:\\link\" 0\n");
	refuses("names.vmdk", &ro, -EPERM, "symbolic link");
}

/* Where a word stands in the first 8 KiB of a file; 0: nowhere. */
static size_t place(const char *name, const char *word)
{
	static char b[8192];
	int fd = open(in(name), O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, b, sizeof(b));
	char *p = n > 0 ? memmem(b, (size_t)n, word, strlen(word)) : NULL;

	close(fd);
	return p ? (size_t)(p - b) : 0;
}

static void set(const char *name, const char *key, const char *value)
{
	struct disk_opts o = { .write = true, .no_parent = true };
	struct err e = { 0 };
	struct image *im;

	check(!image_open(&im, in(name), &o, &e), "%s", e.msg);
	check(!desc_set(im->desc, key, value, &e) && !image_save_desc(im, &e), "%s", e.msg);
	image_close(im);
}

/* A descriptor inside its extent: lines stay where they are while they do not get longer. */
static void test_places(void)
{
	struct disk_create c = {
		.size = 1 << 20, .format = DISK_SPARSE, .parent = "a long name.vmdk", .parent_cid = 7,
	};
	struct err e = { 0 };
	size_t uuid;

	check(!disk_create(in("inside.vmdk"), &c, &e), "%s", e.msg);
	uuid = place("inside.vmdk", "ddb.uuid");
	check(uuid > 512 && place("inside.vmdk", "Hint=\"a long name.vmdk\"\n"), "%zu", uuid);
	set("inside.vmdk", "parentFileNameHint", "short.vmdk");
	check(place("inside.vmdk", "Hint=\"short.vmdk\"      \n"), "blanks");
	check(place("inside.vmdk", "ddb.uuid") == uuid, "moved");
	set("inside.vmdk", "parentFileNameHint", "a longname.vmdk");
	check(place("inside.vmdk", "Hint=\"a longname.vmdk\" \n"), "blanks");
	check(place("inside.vmdk", "ddb.uuid") == uuid, "moved");
	set("inside.vmdk", "parentFileNameHint", NULL);
	check(!place("inside.vmdk", "Hint") && place("inside.vmdk", "ddb.uuid") == uuid, "moved");
	set("inside.vmdk", "ddb.comment", "one more");
	check(place("inside.vmdk", "ddb.comment") > uuid, "at the end");
	set("inside.vmdk", "parentFileNameHint", "a name that is longer than it was.vmdk");
	check(place("inside.vmdk", "ddb.uuid") > uuid, "not moved");
	check(place("inside.vmdk", "Hint=\"a name that is longer than it was.vmdk\"\n"), "said");
	unlink(in("inside.vmdk"));
}

int main(void)
{
	char cmd[64];

	if (!mkdtemp(dir))
		return 1;
	test_beside();
	test_kinds();
	test_first_sector();
	test_custom();
	test_outside();
	test_names();
	test_chain();
	test_cid();
	test_places();
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	check(!system(cmd), "clean up");
	return check_done();
}
