/* See replay.h. */
#include "replay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim.h"

#define SECTOR 512u

struct change {
	struct shim_record r;
	const char *path, *path2;
	const uint8_t *data;
};

struct replay {
	char *base;
	uint8_t *log;
	struct change *c;
	size_t n;
};

static int say(const char *what, const char *path)
{
	fprintf(stderr, "replay: %s: %s: %s\n", what, path, strerror(errno));
	return -1;
}

static uint64_t next(uint64_t *s)
{
	uint64_t z = *s += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static uint8_t *read_file(const char *path, size_t *len)
{
	FILE *f = fopen(path, "rb");
	uint8_t *b = NULL;

	if (!f || fseek(f, 0, SEEK_END)) {
		say("cannot read", path);
		return NULL;
	}
	*len = (size_t)ftell(f);
	rewind(f);
	b = malloc(*len + 1);
	if (!b || fread(b, 1, *len, f) != *len) {
		say("cannot read", path);
		free(b);
		b = NULL;
	}
	fclose(f);
	return b;
}

struct replay *replay_open(const char *log, const char *base)
{
	struct replay *r = calloc(1, sizeof(*r));
	size_t len, at = 0;

	r->log = read_file(log, &len);
	r->base = strdup(base);
	if (!r->log) {
		replay_close(r);
		return NULL;
	}
	/* A record that is cut off was being written when the program was killed. */
	while (len - at >= sizeof(struct shim_record)) {
		struct change c = { 0 };
		size_t need;

		memcpy(&c.r, r->log + at, sizeof(c.r));
		need = sizeof(c.r) + c.r.path_len + c.r.path2_len +
		       (c.r.op == SHIM_WRITE ? c.r.len : 0);
		if (need > len - at)
			break;
		c.path = (char *)r->log + at + sizeof(c.r);
		c.path2 = c.path + c.r.path_len;
		c.data = (const uint8_t *)c.path2 + c.r.path2_len;
		at += need;
		r->c = reallocarray(r->c, r->n + 1, sizeof(*r->c));
		r->c[r->n++] = c;
	}
	return r;
}

void replay_close(struct replay *r)
{
	if (!r)
		return;
	free(r->base);
	free(r->log);
	free(r->c);
	free(r);
}

size_t replay_count(const struct replay *r)
{
	return r->n;
}

size_t replay_syncs(const struct replay *r, size_t n)
{
	size_t syncs = 0;

	for (size_t i = 0; i < n; i++)
		syncs += r->c[i].r.op == SHIM_SYNC;
	return syncs;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return f->level == 0 ? 0 : remove(path);
}

/* Data only: what was a hole stays one. */
static int copy_file(int from, int to, off_t size)
{
	static char b[65536];
	off_t at = 0;

	while ((at = lseek(from, at, SEEK_DATA)) >= 0) {
		off_t end = lseek(from, at, SEEK_HOLE);

		while (at < end) {
			ssize_t n = pread(from, b, end - at < (off_t)sizeof(b) ? (size_t)(end - at) : sizeof(b), at);

			if (n <= 0 || pwrite(to, b, (size_t)n, at) != n)
				return -1;
			at += n;
		}
	}
	return ftruncate(to, size);
}

static int copy_one(int from, int to, const char *name, const struct stat *st)
{
	int a, b, rc = -1;

	if (S_ISLNK(st->st_mode)) {
		char target[4096];
		ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);

		target[n > 0 ? n : 0] = 0;
		return symlinkat(target, to, name);
	}
	a = openat(from, name, O_RDONLY | O_CLOEXEC);
	b = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, st->st_mode & 07777);
	if (a >= 0 && b >= 0)
		rc = copy_file(a, b, st->st_size);
	if (a >= 0)
		close(a);
	if (b >= 0)
		close(b);
	return rc;
}

/* What is in the folder from, into the folder to; both are closed. */
static int copy_all(int from, int to)
{
	DIR *d = from < 0 ? NULL : fdopendir(from);
	struct dirent *e;
	int rc = d && to >= 0 ? 0 : -1;

	while (!rc && (e = readdir(d))) {
		struct stat st;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		rc = fstatat(from, e->d_name, &st, AT_SYMLINK_NOFOLLOW);
		if (!rc && !S_ISDIR(st.st_mode))
			rc = copy_one(from, to, e->d_name, &st);
		else if (!rc && !(rc = mkdirat(to, e->d_name, st.st_mode & 07777)))
			rc = copy_all(openat(from, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
				      openat(to, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	}
	if (d)
		closedir(d);
	if (to >= 0)
		close(to);
	return rc;
}

static int start(struct replay *r, const char *work)
{
	if (mkdir(work, 0700) && errno != EEXIST)
		return say("cannot make", work);
	if (nftw(work, remove_one, 16, FTW_DEPTH | FTW_PHYS))
		return say("cannot empty", work);
	return copy_all(open(r->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
			open(work, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) ? say("cannot copy", r->base) : 0;
}

static int open_in(int dir, const struct change *c)
{
	return openat(dir, c->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
}

static int put(int fd, const uint8_t *data, uint64_t len, uint64_t off)
{
	while (len) {
		ssize_t n = pwrite(fd, data, len, (off_t)off);

		if (n <= 0)
			return -1;
		data += n;
		len -= (uint64_t)n;
		off += (uint64_t)n;
	}
	return 0;
}

/* A part of the last write. */
static int write_torn(int fd, const struct change *c, uint64_t seed)
{
	uint64_t unit = next(&seed) & 1 ? SECTOR : 8, units = (c->r.len + unit - 1) / unit;
	uint64_t keep = units ? next(&seed) % units * unit : 0;

	if (next(&seed) & 1)
		return put(fd, c->data + keep, c->r.len - keep, c->r.off + keep);
	return put(fd, c->data, keep, c->r.off);
}

/* Some of its sectors; most often all or none. */
static int write_some(int fd, const struct change *c, uint64_t *seed)
{
	uint64_t how = next(seed) % 4, done = 0;
	int rc = 0;

	if (how < 2)
		return how ? put(fd, c->data, c->r.len, c->r.off) : 0;
	while (done < c->r.len && !rc) {
		uint64_t some = SECTOR - (c->r.off + done) % SECTOR;

		if (some > c->r.len - done)
			some = c->r.len - done;
		if (next(seed) & 1)
			rc = put(fd, c->data + done, some, c->r.off + done);
		done += some;
	}
	return rc;
}

static int change_file(int dir, const struct change *c, enum replay_way way, uint64_t *seed)
{
	int fd = open_in(dir, c), rc = 0;

	/* Removed while it was open: nothing is left to change. */
	if (fd < 0)
		return errno == ENOENT ? 0 : say("cannot open", c->path);
	if (way == REPLAY_LOST && c->r.op != SHIM_WRITE && (next(seed) & 1))
		goto out;
	switch (c->r.op) {
	case SHIM_WRITE:
		rc = way == REPLAY_TORN ? write_torn(fd, c, *seed) :
		     way == REPLAY_LOST ? write_some(fd, c, seed) :
		     put(fd, c->data, c->r.len, c->r.off);
		break;
	case SHIM_TRUNCATE:
		rc = ftruncate(fd, (off_t)c->r.off);
		break;
	case SHIM_FALLOCATE:
		rc = fallocate(fd, (int)c->r.mode, (off_t)c->r.off, (off_t)c->r.len);
		break;
	}
	if (rc)
		say("cannot change", c->path);
out:
	close(fd);
	return rc;
}

static int change(int dir, const struct change *c, enum replay_way way, uint64_t *seed)
{
	int fd, rc = 0;

	switch (c->r.op) {
	case SHIM_CREATE:
		fd = openat(dir, c->path, O_CREAT | O_WRONLY | O_CLOEXEC, c->r.mode | 0600);
		rc = fd < 0 ? -1 : 0;
		if (fd >= 0)
			close(fd);
		break;
	case SHIM_RENAME:
		rc = renameat2(dir, c->path, dir, c->path2, c->r.mode);
		break;
	case SHIM_UNLINK:
		rc = unlinkat(dir, c->path, 0);
		break;
	case SHIM_RMDIR:
		rc = unlinkat(dir, c->path, AT_REMOVEDIR);
		break;
	case SHIM_LINK:
		rc = linkat(dir, c->path, dir, c->path2, 0);
		break;
	case SHIM_SYMLINK:
		rc = symlinkat(c->path2, dir, c->path);
		break;
	case SHIM_MKDIR:
		rc = mkdirat(dir, c->path, c->r.mode);
		break;
	case SHIM_SYNC:
		break;
	default:
		return change_file(dir, c, way, seed);
	}
	return rc ? say("cannot repeat", c->path) : 0;
}

static bool is_data(const struct change *c)
{
	return c->r.op == SHIM_WRITE || c->r.op == SHIM_TRUNCATE || c->r.op == SHIM_FALLOCATE;
}

/* Was the file of change i synced between it and change n?  Renames are followed. */
static bool is_durable(const struct replay *r, size_t i, size_t n)
{
	const char *path = r->c[i].path;

	for (i++; i < n; i++) {
		if (r->c[i].r.op == SHIM_SYNC && !strcmp(r->c[i].path, path))
			return true;
		if (r->c[i].r.op == SHIM_RENAME && !strcmp(r->c[i].path, path))
			path = r->c[i].path2;
	}
	return false;
}

static bool can_lose(const struct replay *r, size_t n)
{
	for (size_t i = n; i-- > 0;)
		if (is_data(&r->c[i]) && !is_durable(r, i, n))
			return true;
	return false;
}

int replay_make(struct replay *r, const char *work, size_t n, enum replay_way way,
		uint64_t seed)
{
	int dir, rc = start(r, work);

	if (rc)
		return rc;
	dir = open(work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return say("cannot open", work);
	for (size_t i = 0; i < n && !rc; i++) {
		enum replay_way now = REPLAY_PLAIN;

		if (way == REPLAY_TORN && i + 1 == n)
			now = way;
		if (way == REPLAY_LOST && is_data(&r->c[i]) && !is_durable(r, i, n))
			now = way;
		rc = change(dir, &r->c[i], now, &seed);
	}
	close(dir);
	return rc;
}

static int show(struct replay *r, const char *work, size_t n, enum replay_way way,
		uint64_t seed, bool (*check)(void *, const char *, size_t), void *ptr)
{
	static const char *const name[] = { "plain", "torn", "lost" };

	if (replay_make(r, work, n, way, seed))
		return -1;
	if (check(ptr, work, replay_syncs(r, n)))
		return 0;
	printf("bad after %zu of %zu changes, %s, seed %#llx\n", n, r->n, name[way],
	       (unsigned long long)seed);
	for (size_t i = n > 8 ? n - 8 : 0; i < n; i++)
		printf("  %zu: op %u %s%s%s off %llu len %llu\n", i, r->c[i].r.op, r->c[i].path,
		       r->c[i].r.path2_len ? " " : "", r->c[i].r.path2_len ? r->c[i].path2 : "",
		       (unsigned long long)r->c[i].r.off, (unsigned long long)r->c[i].r.len);
	return 1;
}

int replay_all(struct replay *r, const char *work, unsigned rounds, uint64_t seed,
	       bool (*check)(void *, const char *, size_t), void *ptr)
{
	int rc = 0;

	for (size_t n = 0; n <= r->n && !rc; n++) {
		rc = show(r, work, n, REPLAY_PLAIN, 0, check, ptr);
		for (unsigned i = 0; i < rounds && !rc && n; i++) {
			if (r->c[n - 1].r.op == SHIM_WRITE)
				rc = show(r, work, n, REPLAY_TORN, next(&seed), check, ptr);
			if (!rc && can_lose(r, n))
				rc = show(r, work, n, REPLAY_LOST, next(&seed), check, ptr);
		}
	}
	return rc;
}
