/*
 * Descriptors and the files that they name.  A descriptor that is accepted comes out as
 * it went in, changes of it can be read again, and a disk that opens can be read, mapped,
 * written and closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/disk.h"
#include "fuzz.h"

#define TEXT_MAX 8192

static char dir[] = "/dev/shm/fuzz_desc.XXXXXX";	/* syncs cost nothing there */

static const char *const seeds[] = {
	"# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=12345678\nparentCID=ffffffff\n"
	"createType=\"custom\"\n\n# Extent description\nRW 16 FLAT \"a\" 0\nRW 8 ZERO\n"
	"RDONLY 8 FLAT \"a\" 8\nNOACCESS 4 FLAT \"b\" 0\nRW 8 VMFS \"b\"\nRW 0 SPARSE \"c\"\n\n"
	"# The Disk Data Base\n#DDB\n\nddb.adapterType = \"lsilogic\"\nddb.thinProvisioned = \"1\"\n",
	"# Disk DescriptorFile\r\nversion=2\r\nCID=00000002\r\nparentCID=00000002\r\n"
	"parentFileNameHint=\"d1\"\r\ncreateType=\"vmfs\"\r\nRW 8 VMFS \"b\"\r\n",
	"# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=12345678\nparentFileNameHint=\"d0\"\n"
	"createType=\"monolithicSparse\"\nRW 64 SPARSE \"s\"\n",
	"# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=00000003\nparentFileNameHint=\"d3\"\n"
	"createType=\"vmfsSparse\"\nRW 64 VMFSSPARSE \"w\"\nRW 64 SESPARSE \"e\"\n",
};

static const char *const words[] = {
	"RW ", "RDONLY ", "NOACCESS ", " FLAT ", " SPARSE ", " ZERO", " VMFS ", " VMFSSPARSE ", " SESPARSE ",
	" VMFSRDM ", "\"a\"", "\"b\" 0", "\"d0\"", "\"../a\"", "\"/dev/zero\"", "\"\"", "\"", "=", "\n", "\r\n",
	"#", " ", "18446744073709551615", "9223372036854775807", "18014398509481983", "4294967296", "0", "1", "8",
	"ffffffff", "CID=", "parentCID=", "createType=\"vmfs\"\n", "parentFileNameHint=\"d1\"\n", "version=",
	"ddb.x = \"y\"\n", "\xef\xbb\xbf", "\xff", "KDMV", "COWD", "\xbe\xba\xfe\xca",
};

static const char *in(unsigned no)
{
	static const char *const name[] = { "d0", "d1", "d2", "d3", "a", "b", "s", "w", "e" };
	static char path[64];

	snprintf(path, sizeof(path), "%s/%s", dir, name[no]);
	return path;
}

static void put(unsigned no, const void *data, size_t len)
{
	int fd = open(in(no), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	fuzz_check(fd >= 0 && write(fd, data, len) == (ssize_t)len, "%s", in(no));
	close(fd);
}

static size_t damage(struct fuzz *f, char *b, size_t len)
{
	for (unsigned n = fuzz_below(f, 8); n && len; n--) {
		size_t at = fuzz_below(f, (unsigned)len), cut = fuzz_below(f, 16);
		const char *w = words[fuzz_below(f, sizeof(words) / sizeof(*words))];
		size_t wl = strlen(w);

		switch (fuzz_below(f, 4)) {
		case 0:
			b[at] = (char)fuzz_next(f);
			break;
		case 1:			/* a word more */
			memmove(b + at + wl, b + at, len - at);
			memcpy(b + at, w, wl);
			len += wl;
			break;
		case 2:			/* a word instead */
			if (wl <= len - at)
				memcpy(b + at, w, wl);
			break;
		default:
			if (cut > len - at)
				cut = len - at;
			memmove(b + at, b + at + cut, len - at - cut);
			len -= cut;
		}
	}
	return len;
}

static void same(const struct desc *a, const struct desc *b)
{
	fuzz_check(a->cid == b->cid && a->parent_cid == b->parent_cid && a->version == b->version &&
		   (!strcmp(a->create_type, b->create_type) || !desc_get(a, "createType")) && a->nextents == b->nextents &&
		   desc_bytes(a) == desc_bytes(b) && !a->parent == !b->parent &&
		   (!a->parent || !strcmp(a->parent, b->parent)), "type \"%s\" and \"%s\", parent \"%s\" and \"%s\"",
		   a->create_type, b->create_type, a->parent ?: "", b->parent ?: "");
}

/* What it says is what a second reader understands. */
static void read_again(const struct desc *d)
{
	struct desc *again = NULL;
	struct err e = { 0 };
	size_t len;
	char *text;

	/* What it is without a createType its extents say. */
	if (!desc_get(d, "createType") && !d->nextents)
		return;
	text = desc_text(d, &len);
	fuzz_check(!desc_parse(&again, text, len, &e), "%s in\n%s", e.msg, text);
	same(d, again);
	desc_free(again);
	free(text);
}

static void change(struct fuzz *f, struct desc *d)
{
	static const char *const keys[] = { "CID", "parentCID", "createType", "parentFileNameHint", "ddb.y", "z", "version" };
	static const char *const values[] = { "00000009", "ffffffff", "a b", "", NULL, "1", "x\"y", "2" };
	struct desc_extent x = {
		.access = (enum desc_access)fuzz_below(f, 3), .type = (enum desc_type)fuzz_below(f, DESC_TYPES),
		.sectors = fuzz_below(f, 100), .file = "a", .has_offset = fuzz_below(f, 2),
	};

	for (unsigned n = fuzz_below(f, 6); n; n--) {
		struct err e = { 0 };
		size_t i = fuzz_below(f, (unsigned)d->nextents + 1);
		int rc;

		/* A value that breaks it is refused; what it then is nobody asks. */
		if (fuzz_below(f, 2))
			rc = desc_set(d, keys[fuzz_below(f, 7)], values[fuzz_below(f, 8)], &e);
		else if (i < d->nextents && fuzz_below(f, 2))
			rc = desc_set_extent(d, i, NULL, &e);
		else
			rc = desc_set_extent(d, i, &x, &e);
		if (rc && rc != -EINVAL)
			return;
		read_again(d);
	}
}

static void try_text(struct fuzz *f, const char *b, size_t len)
{
	struct desc *d = NULL;
	struct err e = { 0 };
	size_t got;
	char *text;

	desc_probe(b, len);
	if (desc_parse(&d, b, len, &e)) {
		fuzz_check(e.code < 0 && e.msg[0], "no reason given");
		return;
	}
	text = desc_text(d, &got);
	fuzz_check(got == strnlen(b, len) && !memcmp(text, b, got), "not as it went in");
	free(text);
	read_again(d);
	change(f, d);
	desc_free(d);
}

static void use(struct fuzz *f, struct disk *d)
{
	static char buf[65536];
	uint64_t sectors = disk_size(d) / SECTOR, off;
	struct disk_run run;
	struct err e = { 0 };
	unsigned layer, n;

	for (unsigned i = 0; sectors && i < 8; i++) {
		off = (fuzz_below(f, 4) ? fuzz_next(f) % sectors : i % sectors) * SECTOR;
		n = 1 + fuzz_below(f, 128);
		if (n > sectors - off / SECTOR)
			n = (unsigned)(sectors - off / SECTOR);
		switch (fuzz_below(f, 4)) {
		case 0:
			disk_write(d, buf, n * SECTOR, off, &e);
			break;
		case 1:
			disk_zero(d, off, n * SECTOR, fuzz_below(f, 2), &e);
			break;
		case 2:
			if (!disk_map(d, off, n * SECTOR, &run, &layer, &e))
				fuzz_check(run.len && run.len <= n * SECTOR && layer < disk_layers(d), "map");
			break;
		default:
			disk_read(d, buf, n * SECTOR, off, &e);
		}
	}
}

static void try_disk(struct fuzz *f, unsigned no)
{
	struct disk_opts o = {
		.write = fuzz_below(f, 2), .no_lock = true, .lazy = fuzz_below(f, 2), .raw = !fuzz_below(f, 8),
		.no_parent = !fuzz_below(f, 4),
	};
	struct err e = { 0 };
	struct disk *d;

	if (disk_open(&d, in(no), &o, &e)) {
		fuzz_check(e.code < 0 && e.msg[0], "no reason given");
		return;
	}
	use(f, d);
	disk_close(d, &e);
}

/* A header of a sparse format, with numbers that are small, or hurt. */
static void put_binary(struct fuzz *f, unsigned no, const char *magic)
{
	static char b[32768];
	static const uint64_t hurts[] = { 0, 1, 4, 8, 16, 21, 64, 128, 512, 4096, UINT32_MAX, UINT64_MAX, INT64_MAX };

	memset(b, 0, sizeof(b));
	memcpy(b, magic, strlen(magic));
	b[4] = 1;
	for (unsigned i = 8; i < 256; i += 4 << fuzz_below(f, 2))
		memcpy(b + i, &hurts[fuzz_below(f, 13)], 4 << fuzz_below(f, 2));
	if (fuzz_below(f, 2))
		memcpy(b + 512, seeds[2], strlen(seeds[2]));
	put(no, b, fuzz_below(f, 4) ? sizeof(b) : fuzz_below(f, sizeof(b)));
}

int main(int argc, char **argv)
{
	static char b[TEXT_MAX];
	char cmd[64];
	struct fuzz f;

	if (!mkdtemp(dir) && !mkdtemp(strcpy(dir, "/tmp/fuzz_desc.XXXXXX")))
		return 1;
	fuzz_start(&f, argc, argv);
	memset(b, 7, sizeof(b));
	put(4, b, sizeof(b));
	put(5, b, 4096 + 100);
	do {
		unsigned no = fuzz_below(&f, 4);
		size_t len = strlen(seeds[no]);

		memcpy(b, seeds[no], len + 1);
		len = damage(&f, b, len);
		try_text(&f, b, len);
		f.runs++;
		if (fuzz_below(&f, 4))
			continue;
		put(no, b, len);
		if (!fuzz_below(&f, 4))
			put_binary(&f, 6, "KDMV");
		if (!fuzz_below(&f, 4))
			put_binary(&f, 7, "COWD");
		if (!fuzz_below(&f, 4))
			put_binary(&f, 8, "\xbe\xba\xfe\xca");
		try_disk(&f, fuzz_below(&f, 9));
	} while (clock_ns() < f.end_ns);
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	return system(cmd) ? 1 : fuzz_done(&f);
}
