/* Files as backends, and the extents that need no tables: flat, ZERO, NOACCESS. */
#include "disk/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"
#include "disk/extent.h"

static char dir[] = "/tmp/disk_file.XXXXXX";

static const char *in(const char *name)
{
	static char path[4][256];
	static unsigned n;
	char *p = path[n++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static struct disk_file *must_open(const char *path, unsigned flags)
{
	struct disk_file *f = NULL;
	struct err e = { 0 };

	check(!file_open(&f, NULL, path, flags, &e), "%s", e.msg);
	if (!f)
		exit(check_done());
	return f;
}

static void test_open(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	struct disk_file *f = NULL;
	struct err e = { 0 };

	check(file_open(&f, NULL, in("none"), 0, &e) == -ENOENT && strstr(e.msg, "none"), "%s",
	      e.msg);
	check(file_open(&f, NULL, dir, 0, &e) == -EINVAL && strstr(e.msg, "folder"), "%s", e.msg);
	check(file_open(&f, NULL, "/dev/null", 0, &e) == -EINVAL, "%s", e.msg);
	check(file_open(&f, NULL, "/dev/null", FILE_PLAIN, &e) == -EPERM, "%s", e.msg);
	check(!mkfifo(in("fifo"), 0600), "mkfifo");
	check(file_open(&f, NULL, in("fifo"), FILE_WRITE, &e) == -EINVAL, "%s", e.msg);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", in("sock"));
	check(!bind(s, (struct sockaddr *)&a, sizeof(a)), "bind");
	check(file_open(&f, NULL, in("sock"), 0, &e) == -EINVAL && strstr(e.msg, "socket"), "%s",
	      e.msg);
	close(s);
	f = must_open(in("new"), FILE_CREATE);
	check(f->writable && f->size == 0 && !f->device, "new");
	file_close(f);
	check(file_open(&f, NULL, in("new"), FILE_CREATE, &e) == -EEXIST, "%s", e.msg);
	check(!symlink("new", in("link")), "symlink");
	file_close(must_open(in("link"), 0));
	check(file_open(&f, NULL, in("link"), FILE_PLAIN, &e) == -EPERM, "%s", e.msg);
	unlink(in("fifo"));
	unlink(in("sock"));
	unlink(in("link"));
}

static void test_transfer(void)
{
	static char out[3000][2], back[6000];
	struct iovec iov[3000];
	struct disk_file *f = must_open(in("new"), FILE_WRITE);
	struct err e = { 0 };

	for (int i = 0; i < 3000; i++) {
		out[i][0] = (char)i;
		out[i][1] = (char)(i >> 8);
		iov[i] = (struct iovec){ out[i], i % 3 ? 2 : 0 };	/* some are empty */
	}
	check(!file_writev(f, iov, 3000, 100, &e) && f->size == 4100, "%s", e.msg);
	check(!file_read(f, back, 4000, 100, &e), "%s", e.msg);
	check(!memcmp(back, out[1], 4) && !memcmp(back + 4, out[4], 4) &&
	      !memcmp(back + 3996, out[2998], 4), "more vectors than one call takes");
	check(file_read(f, back, 1, 4100, &e) == -EBADMSG && strstr(e.msg, "4100"), "%s", e.msg);
	check(file_read(f, back, 4101, 0, &e) == -EBADMSG, "%s", e.msg);
	check(file_read(f, back, 1, UINT64_MAX, &e) == -EBADMSG, "%s", e.msg);
	check(!file_read(f, back, 0, 9999, &e), "nothing");
	check(file_write(f, back, 1, INT64_MAX, &e) == -EFBIG, "%s", e.msg);
	check(!file_resize(f, 10, &e) && f->size == 10 && !file_resize(f, 8192, &e), "%s", e.msg);
	check(!file_sync(f, &e), "%s", e.msg);
	file_close(f);
	f = must_open(in("new"), 0);
	check(f->size == 8192, "size");
	check(file_write(f, back, 1, 0, &e) == -EROFS && file_resize(f, 1, &e) == -EROFS &&
	      file_punch(f, 0, 1, &e) == -EROFS && file_zero(f, 0, 1, &e) == -EROFS, "%s", e.msg);
	/* Cut off by someone else while it is in use. */
	check(!truncate(in("new"), 100) && file_read(f, back, 200, 0, &e) == -EBADMSG, "%s", e.msg);
	file_close(f);
	unlink(in("new"));
}

static bool all(const uint8_t *b, size_t n, uint8_t v)
{
	for (size_t i = 0; i < n; i++)
		if (b[i] != v)
			return false;
	return true;
}

static void test_zeros(void)
{
	size_t len = 3 << 20;
	uint8_t *b = malloc(len);
	struct disk_file *f = must_open(in("z"), FILE_CREATE);
	struct disk_backend plain = file_posix;
	struct err e = { 0 };

	plain.punch = plain.zero = NULL;	/* they are written, then */
	for (int way = 0; way < 2; way++) {
		memset(b, 0xaa, len);
		check(!file_write(f, b, len, 0, &e), "%s", e.msg);
		check(!file_punch(f, 1, 2 << 20, &e), "%s", e.msg);
		check(!file_zero(f, len - 3, 2, &e), "%s", e.msg);
		check(!file_punch(f, len - 1, 100, &e) && f->size == len, "%s", e.msg);
		check(!file_read(f, b, len, 0, &e), "%s", e.msg);
		check(b[0] == 0xaa && all(b + 1, 2 << 20, 0) && b[(2 << 20) + 1] == 0xaa, "punch");
		check(b[len - 4] == 0xaa && all(b + len - 3, 3, 0), "zero");
		check(!file_zero(f, len, 4096, &e) && f->size == len + 4096, "grows");
		check(!file_resize(f, len, &e), "%s", e.msg);
		f->ops = &plain;
	}
	f->ops = &file_posix;
	file_close(f);
	free(b);
	unlink(in("z"));
}

static void test_replace(void)
{
	struct err e = { 0 };
	struct stat st;
	char b[8] = "";
	struct disk_file *f;

	check(!file_replace(in("r"), "one", 3, &e), "%s", e.msg);
	check(!chmod(in("r"), 0640) && !symlink("r", in("l")), "set up");
	check(!file_replace(in("l"), "two", 3, &e), "%s", e.msg);
	check(!lstat(in("l"), &st) && S_ISLNK(st.st_mode), "the link stays");
	f = must_open(in("r"), 0);
	check(f->size == 3 && !file_read(f, b, 3, 0, &e) && !strcmp(b, "two"), "%s", b);
	check(!fstat(f->fd, &st) && (st.st_mode & 0777) == 0640, "%o", st.st_mode);
	file_close(f);
	check(access(in("r.tmp"), F_OK), "no temporary");
	check(file_replace(in("no/r"), "x", 1, &e) == -ENOENT, "%s", e.msg);
	unlink(in("r"));
	unlink(in("l"));
}

static void is_run(struct extent *x, uint64_t off, uint64_t len, enum disk_kind kind,
		   uint64_t want)
{
	struct disk_run r;
	struct err e = { 0 };

	check(!x->ops->map(x, off, len, &r, &e), "%s", e.msg);
	check(r.kind == kind && r.len == want, "%llu: kind %d, %llu bytes",
	      (unsigned long long)off, r.kind, (unsigned long long)r.len);
}

static void test_flat(void)
{
	struct disk_file *f = must_open(in("f"), FILE_CREATE);
	struct extent_params p = { .size = 1 << 20, .off = 1024, .writable = true };
	struct extent *x = NULL;
	struct err e = { 0 };
	struct disk_run r;
	uint8_t b[SECTOR];

	check(flat_open(&x, f, &p, &e) == -EBADMSG && strstr(e.msg, "offset"), "%s", e.msg);
	check(!file_resize(f, 1 << 20, &e), "%s", e.msg);
	check(flat_open(&x, f, &p, &e) == -EBADMSG && strstr(e.msg, "1048576"), "%s", e.msg);
	p.off = UINT64_MAX & ~511ull;
	check(flat_open(&x, f, &p, &e) == -EBADMSG, "%s", e.msg);
	p.off = 1;
	check(flat_open(&x, f, &p, &e) == -EBADMSG, "%s", e.msg);
	p = (struct extent_params){ .size = (1 << 20) - 1024, .off = 1024, .writable = true, .thin = true };
	check(!flat_open(&x, f, &p, &e), "%s", e.msg);
	check(x->size == (1 << 20) - 1024 && x->grain == SECTOR && x->writable, "extent");
	memset(b, 0xaa, sizeof(b));
	check(!file_write(f, b, sizeof(b), 512 * 1024, &e), "%s", e.msg);
	check(!x->ops->map(x, 512 * 1024 - 1024, x->size, &r, &e), "%s", e.msg);
	check(r.kind == DISK_DATA && r.file == f && r.off == 512 * 1024 && r.len >= 512, "data");
	is_run(x, 512 * 1024 - 1024, 512, DISK_DATA, 512);
	is_run(x, 0, 512, DISK_ZERO, 512);
	check(!x->ops->map(x, 0, x->size, &r, &e) && r.kind == DISK_ZERO && r.len < x->size &&
	      r.len % SECTOR == 0 && r.len <= 511 * 1024, "the hole before it");
	check(!x->ops->drop(x, 512 * 1024 - 1024, 512, false, &e), "%s", e.msg);
	check(!file_read(f, b, 512, 512 * 1024, &e) && all(b, 512, 0), "dropped");
	check(x->ops->drop(x, 0, 512, true, &e) == -ENOTSUP, "%s", e.msg);
	check(!x->ops->resize(x, 4096, &e) && f->size == 5120, "%s", e.msg);
	extent_close(x);
	unlink(in("f"));
}

/* A raw file whose last sector is not whole. */
static void test_tail(void)
{
	struct disk_file *f = must_open(in("t"), FILE_CREATE);
	struct extent_params p = { .writable = true };
	uint8_t b[SECTOR];
	struct extent *x;
	struct err e = { 0 };
	struct disk_run r;

	check(!file_write(f, "abc", 3, 1024, &e), "%s", e.msg);
	check(!flat_open(&x, f, &p, &e) && x->size == 1536, "%s", e.msg);
	check(!x->ops->map(x, 1024, 512, &r, &e) && r.kind == DISK_PACKED && r.len == 512, "%d",
	      r.kind);
	check(!x->ops->unpack(x, &r, b, &e) && !memcmp(b, "abc", 4) && all(b + 3, 509, 0), "%s",
	      e.msg);
	check(!x->ops->alloc(x, 1024, 512, &r, &e) && r.off == 1024, "%s", e.msg);
	check(!file_write(f, b, 512, r.off, &e) && !x->ops->commit(x, 1024, &r, &e), "%s", e.msg);
	is_run(x, 1024, 512, DISK_DATA, 512);
	extent_close(x);
	unlink(in("t"));
}

static void test_fileless(void)
{
	struct extent_params p = { .size = 4096, .writable = true };
	struct extent *z, *n;
	struct err e = { 0 };

	check(!zero_open(&z, &p, &e) && !noaccess_open(&n, &p, &e), "%s", e.msg);
	check(z->size == 4096 && !z->writable && !z->ops->alloc, "read only");
	is_run(z, 512, 9999, DISK_ZERO, 3584);
	is_run(n, 0, 512, DISK_REFUSED, 512);
	extent_close(z);
	extent_close(n);
	extent_close(NULL);
}

/* A backend that counts its syncs. */
static unsigned syncs;

static bool counts_claims(const char *path)
{
	return true;
}

static int counts_sync(struct disk_file *f, struct err *e)
{
	syncs++;
	return 0;
}

static int counts_open(struct disk_file **f, const char *path, unsigned flags, struct err *e);

static const struct disk_backend counts = {
	.name = "counts", .claims = counts_claims, .open = counts_open, .sync = counts_sync,
};

static int counts_open(struct disk_file **f, const char *path, unsigned flags, struct err *e)
{
	*f = file_new(&counts, path, 0);
	return 0;
}

static void counts_close(struct disk_file *f)
{
	free(f->path);
	free(f);
}

/* Its owner may have been killed: what he had not synced is not durable yet. */
static void test_sync_of_others(void)
{
	const struct disk_backend *const backends[] = { &counts, NULL };
	struct disk_file *f;
	struct err e = { 0 };

	for (unsigned created = 0; created < 2; created++) {
		syncs = 0;
		check(!file_open(&f, backends, "x", FILE_WRITE | (created ? FILE_CREATE : 0), &e), "open");
		check(!file_sync(f, &e) && syncs == !created, "synced %u times", syncs);
		check(!file_sync(f, &e) && syncs == !created, "once");
		counts_close(f);
	}
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	test_open();
	test_transfer();
	test_zeros();
	test_replace();
	test_flat();
	test_tail();
	test_fileless();
	test_sync_of_others();
	check(!rmdir(dir), "nothing is left behind");
	return check_done();
}
