/* Conversions: each kind of source into each kind of target, and damaged streams. */
#include "disk/convert.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/le.h"
#include "check.h"
#include "disk/sparse.h"
#include "ramfile.h"

#define SIZE	((33u << 20) + 70 * 512u)	/* more than one table, no whole grains */

static char dir[] = "/tmp/disk_convert.XXXXXX";
static struct err e;
static uint8_t *want, *got;

static const char *at(const char *name)
{
	static char path[4][100];
	static unsigned n;

	snprintf(path[++n % 4], sizeof(path[0]), "%s/%s", dir, name);
	return path[n % 4];
}

/* Holes, zeros, text and noise, in pieces of all sizes. */
static void make_disk(void)
{
	uint64_t seed = 7, pos = 0;

	want = calloc(1, SIZE);
	got = malloc(SIZE);
	while (pos < SIZE) {
		uint64_t n = 512 * (1 + ram_rand(&seed) % 1000), kind = ram_rand(&seed) % 3;

		for (uint64_t i = 0; i < n && pos < SIZE; i++, pos++)
			want[pos] = kind == 0 ? 0 : kind == 1 ? "some text\n"[i % 10] + pos / 4096 % 3 :
				    (uint8_t)ram_rand(&seed);
	}
	memset(want + (20u << 20), 0, 5u << 20);
}

static void put_file(const char *path, const void *buf, size_t len)
{
	FILE *f = fopen(path, "w");

	check(f && fwrite(buf, 1, len, f) == len && !fclose(f), "%s", path);
}

static struct disk *open_disk(const char *path, bool write)
{
	struct disk_opts o = { .write = write };
	struct disk *d = NULL;
	int rc = disk_open(&d, path, &o, &e);

	check(!rc, "%s: %s", path, e.msg);
	return d;
}

static void holds_the_disk(const char *path)
{
	struct disk *d = open_disk(path, false);

	memset(got, 0xee, SIZE);
	if (!d)
		return;
	check(disk_size(d) == SIZE, "%s: %ju", path, (uintmax_t)disk_size(d));
	check(!disk_read(d, got, SIZE, 0, &e), "%s: %s", path, e.msg);
	check(!memcmp(got, want, SIZE), "%s", path);
	disk_close(d, NULL);
}

static const char desc[] =
	"# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
	"createType=\"streamOptimized\"\n\nRW 67654 SPARSE \"x.vmdk\"\n";

static int to_fd(const char *src, int fd, enum convert_kind kind, unsigned threads)
{
	struct convert_end from = { .kind = CONVERT_DISK, .disk = open_disk(src, false) };
	struct convert_end to = { .kind = kind, .fd = fd, .desc = desc, .desc_len = sizeof(desc) - 1 };
	int rc = convert(&from, &to, &(struct convert_opts){ .threads = threads }, &e);

	disk_close(from.disk, NULL);
	return rc;
}

static void make_sparse(const char *path, uint64_t size)
{
	char text[400];
	struct sparse_create c = { .size = size, .desc = text };
	struct disk_file *f;

	c.desc_len = (size_t)snprintf(text, sizeof(text), "# Disk DescriptorFile\nversion=1\n"
			"CID=12345678\nparentCID=ffffffff\ncreateType=\"monolithicSparse\"\n\n"
			"RW %ju SPARSE \"%s\"\n", (uintmax_t)(size / SECTOR), strrchr(path, '/') + 1);
	check(!file_open(&f, NULL, path, FILE_WRITE | FILE_CREATE, &e) && !sparse_create(f, &c, &e),
	      "%s", e.msg);
	file_close(f);
}

static int to_disk(struct convert_end *from, const char *path, unsigned threads)
{
	struct convert_end to = { .kind = CONVERT_DISK };
	int rc;

	make_sparse(path, convert_size(from));
	to.disk = open_disk(path, true);
	if (!to.disk)
		return e.code;
	rc = convert(from, &to, &(struct convert_opts){ .threads = threads }, &e);
	check(!disk_close(to.disk, &e), "%s", e.msg);
	return rc;
}

struct feed {
	const char *path;
	int fd;
	size_t cut;		/* bytes to leave out at the end */
};

static void *feed(void *ptr)
{
	struct feed *f = ptr;
	int fd = open(f->path, O_RDONLY);
	size_t len = (size_t)lseek(fd, 0, SEEK_END) - f->cut;
	char buf[5000];

	lseek(fd, 0, SEEK_SET);
	while (len) {
		ssize_t n = read(fd, buf, len < sizeof(buf) ? len : sizeof(buf));

		if (n <= 0 || write(f->fd, buf, (size_t)n) != n)
			break;
		len -= (size_t)n;
	}
	close(fd);
	close(f->fd);
	return NULL;
}

/* Through a pipe, in pieces that fit nothing. */
static int stream_from_pipe(const char *src, const char *path, size_t cut)
{
	struct convert_end from = { 0 };
	struct feed f = { .path = src, .cut = cut };
	pthread_t t;
	int p[2], rc;

	check(!pipe(p), "pipe");
	f.fd = p[1];
	pthread_create(&t, NULL, feed, &f);
	rc = convert_open_stream(&from, p[0], &e);
	if (!rc) {
		check(!strcmp(stream_read_desc(from.reader), desc), "descriptor");
		rc = to_disk(&from, path, 3);
		convert_close(&from);
	}
	close(p[0]);
	pthread_join(t, NULL);
	return rc;
}

static void converts(void)
{
	unsigned n = 0;

	put_file(at("raw"), want, SIZE);
	for (unsigned threads = 1; threads <= 5; threads += 2, n++) {
		char name[20];
		struct convert_end from = { .kind = CONVERT_DISK };
		int fd, rc;

		snprintf(name, sizeof(name), "%u.vmdk", threads);
		from.disk = open_disk(at("raw"), false);
		check(!to_disk(&from, at(name), threads), "%s", e.msg);
		disk_close(from.disk, NULL);
		holds_the_disk(at(name));
		snprintf(name, sizeof(name), "%u-stream.vmdk", threads);
		fd = open(at(name), O_RDWR | O_CREAT, 0600);
		rc = to_fd(at(n % 2 ? "1.vmdk" : "raw"), fd, CONVERT_STREAM, threads);
		check(!rc, "%s", e.msg);
		close(fd);
		holds_the_disk(at(name));
		fd = open(at("copy"), O_RDWR | O_CREAT | O_TRUNC, 0600);
		rc = to_fd(at(name), fd, CONVERT_RAW, threads);
		check(!rc, "%s", e.msg);
		check(lseek(fd, 0, SEEK_END) == SIZE && pread(fd, got, SIZE, 0) == SIZE &&
		      !memcmp(got, want, SIZE), "raw output");
		close(fd);
	}
	check(!stream_from_pipe(at("3-stream.vmdk"), at("piped.vmdk"), 0), "%s", e.msg);
	holds_the_disk(at("piped.vmdk"));
}

static void raw_from_pipe(void)
{
	struct convert_end from = { .kind = CONVERT_RAW, .size = SIZE };
	int rc;

	put_file(at("short"), want, SIZE - 10000);
	from.fd = open(at("short"), O_RDONLY);
	check(!to_disk(&from, at("short.vmdk"), 2), "%s", e.msg);
	close(from.fd);
	memset(want + SIZE - 10000, 0, 10000);
	holds_the_disk(at("short.vmdk"));
	from.fd = open(at("raw"), O_RDONLY);
	from.size = SIZE - 512;
	rc = to_disk(&from, at("long.vmdk"), 2);
	check(rc == -EFBIG, "%d", rc);
	close(from.fd);
}

/* A stream that is cut off anywhere at its end is no stream; nor is a damaged grain. */
static void refuses_damage(void)
{
	static const size_t cut[] = { 1, 512, 513, 1024, 1536, 100000 };
	uint8_t b[SECTOR];
	int fd, rc;

	for (size_t i = 0; i < sizeof(cut) / sizeof(*cut); i++) {
		rc = stream_from_pipe(at("3-stream.vmdk"), at("cut.vmdk"), cut[i]);
		check(rc == -EBADMSG, "cut by %zu: %d", cut[i], rc);
		unlink(at("cut.vmdk"));
	}
	fd = open(at("3-stream.vmdk"), O_RDWR);
	check(pread(fd, b, SECTOR, 65536) == SECTOR && le32_get(b + 8) > 100, "first grain");
	for (unsigned i = 100; i < 110; i++)
		b[i] ^= 0x55;
	check(pwrite(fd, b, SECTOR, 65536) == SECTOR, "first grain");
	close(fd);
	rc = stream_from_pipe(at("3-stream.vmdk"), at("cut.vmdk"), 0);
	check(rc == -EBADMSG && strstr(e.msg, "grain of disk sector"), "%d: %s", rc, e.msg);
	unlink(at("cut.vmdk"));
}

static bool stop_at(void *ptr, uint64_t done, uint64_t total)
{
	return done < total / 2;
}

static void stops(void)
{
	struct convert_end from = { .kind = CONVERT_DISK, .disk = open_disk(at("raw"), false) };
	struct convert_end to = { .kind = CONVERT_RAW, .fd = open("/dev/null", O_WRONLY) };
	struct convert_opts o = { .threads = 3, .progress = stop_at };

	check(convert(&from, &to, &o, &e) == -EINTR, "%s", e.msg);
	close(to.fd);
	to.fd = open("/dev/full", O_WRONLY);
	o.progress = NULL;
	check(convert(&from, &to, &o, &e) == -ENOSPC, "%s", e.msg);
	to.kind = CONVERT_STREAM;
	check(convert(&from, &to, &o, &e) == -ENOSPC, "%s", e.msg);
	close(to.fd);
	disk_close(from.disk, NULL);
}

int main(void)
{
	char cmd[100];

	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(dir))
		return 1;
	make_disk();
	converts();
	raw_from_pipe();
	stops();
	refuses_damage();
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	check(!system(cmd), "%s", cmd);
	free(want);
	free(got);
	return check_done();
}
