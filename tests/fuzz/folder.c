/*
 * Folders of disks that are damaged in any way, and all that is done to disks as a whole:
 * check and repair, resize, compact, inflate, compare, convert, mend and rebuild chains,
 * merge, rename, delete.  Each ends well or with a sentence, soon, without a file of
 * more than a few times the disk's size, and leaves alone what lies elsewhere; what a
 * repair says that it has mended is clean afterwards, what could be read before still
 * can, and is the same where there was no damage.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "disk/check.h"
#include "disk/convert.h"
#include "disk/diff.h"
#include "disk/manage.h"
#include "disk/mend.h"
#include "disk/rebuild.h"
#include "disk/snapshot.h"
#include "disk/thin.h"
#include "fuzz.h"

enum { SLOW_S = 5, FILE_MAX = 96 << 20 };

static char dir[40], disks[64];

static void sh(const char *fmt, ...)
{
	char cmd[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	fuzz_check(system(cmd) == 0, "%s", cmd);
}

static const char *in(const char *name)
{
	static char path[4][128];
	static unsigned n;

	n = (n + 1) % 4;
	snprintf(path[n], sizeof(path[n]), "%s/%s", disks, name);
	return path[n];
}

/* 0, or an error with a sentence. */
static int said(const char *what, int rc, const struct err *e)
{
	fuzz_check(rc <= 0 && rc > -200, "%s: %d", what, rc);
	fuzz_check(!rc || (e->code == rc && e->msg[0] && !strchr(e->msg, '\n')),
		   "%s: %d, but code %d and \"%s\"", what, rc, e->code, e->msg);
	return rc;
}

/* --- making a folder ---------------------------------------------------------------------- */

static const char *const name[] = { "a.vmdk", "a-000001.vmdk", "a-000002.vmdk" };

static void fill(struct fuzz *f, const char *path)
{
	struct disk_opts o = { .write = true, .no_lock = true };
	struct err e = { 0 };
	static uint8_t buf[64 << 10];
	struct disk *d;

	fuzz_check(!disk_open(&d, path, &o, &e), "%s", e.msg);
	for (unsigned i = fuzz_below(f, 6); i; i--) {
		uint64_t sectors = disk_size(d) / SECTOR, at = fuzz_next(f) % sectors;
		uint64_t n = 1 + fuzz_below(f, 128);

		n = n < sectors - at ? n : sectors - at;
		memset(buf, (int)(fuzz_next(f) | 1), sizeof(buf));
		fuzz_check(!(fuzz_below(f, 4) ? disk_write(d, buf, n * SECTOR, at * SECTOR, &e) :
			     disk_zero(d, at * SECTOR, n * SECTOR, true, &e)), "%s", e.msg);
	}
	fuzz_check(!disk_close(d, &e), "%s", e.msg);
}

/* A chain of one to three layers. */
static unsigned make(struct fuzz *f)
{
	static const enum disk_format formats[] = {
		DISK_SPARSE, DISK_SPLIT_SPARSE, DISK_FLAT, DISK_SPLIT_FLAT, DISK_THIN,
		DISK_EAGERZEROEDTHICK, DISK_VMFSSPARSE, DISK_SESPARSE,
	};
	struct disk_create c = { .size = (1 + fuzz_below(f, 4000)) * SECTOR,
				 .format = formats[fuzz_below(f, 8)] };
	unsigned layers = 1 + fuzz_below(f, 3);
	struct err e = { 0 };

	sh("rm -rf '%s' && mkdir '%s'", disks, disks);
	if (c.format == DISK_SPARSE && fuzz_below(f, 2))
		c.grain = SECTOR << fuzz_below(f, 8);
	if (disk_create(in(name[0]), &c, &e)) {
		c.grain = 0;
		fuzz_check(!disk_create(in(name[0]), &c, &e), "%s", e.msg);
	}
	for (unsigned i = 0; i < layers; i++) {
		if (i)
			fuzz_check(!snapshot_add(in(name[i]), in(name[i - 1]), false, false, NULL, NULL, &e),
				   "%s", e.msg);
		fill(f, in(name[i]));
	}
	return layers;
}

/* --- damage ------------------------------------------------------------------------------------ */

static void damage_text(struct fuzz *f, char *b, size_t *len)
{
	static const char *const words[] = {
		"RW ", "RDONLY ", " SPARSE ", " FLAT ", " ZERO\n", " VMFSSPARSE ", " SESPARSE ", "\"a-flat.vmdk\"",
		"\"a.vmdk\"", "\"../victim\"", "\"/etc/hostname\"", "4294967296", "18014398509481983", "0", "-1", "8",
		"ffffffff", "a-000001.vmdk", "a-000002.vmdk", "\n", "\"", "parentFileNameHint=", "CID=",
		"createType=\"custom\"\n", "RW 100 ZERO\n", "RW 8 FLAT \"a-flat.vmdk\" 0\n",
		"changeTrackPath=\"../victim\"\n", "ddb.adapterType = \"ide\"\n",
	};
	const char *w = words[fuzz_below(f, sizeof(words) / sizeof(words[0]))];
	size_t n = strlen(w), at = fuzz_below(f, (unsigned)*len);

	switch (fuzz_below(f, 4)) {
	case 0:		/* a line goes */
	{
		char *from = memchr(b + at, '\n', *len - at), *to;

		to = from ? memchr(from + 1, '\n', *len - (size_t)(from + 1 - b)) : NULL;
		if (to) {
			memmove(from, to, *len - (size_t)(to - b));
			*len -= (size_t)(to - from);
		}
		break;
	}
	case 1:		/* a line comes */
		while (at && b[at - 1] != '\n')
			at--;
		/* fall through */
	case 2:
		memmove(b + at + n, b + at, *len - at);
		memcpy(b + at, w, n);
		*len += n;
		break;
	default:
		b[at] = (char)(fuzz_below(f, 2) ? '0' + (int)fuzz_below(f, 10) : (int)fuzz_next(f));
	}
}

static void damage_binary(struct fuzz *f, int fd, uint64_t size)
{
	static const uint64_t hurts[] = { 0, 1, 2, 3, 8, 64, 128, 512, 0x7fffffff, 0xffffffff, 1ull << 40,
					  1ull << 60, 3ull << 60, INT64_MAX, UINT64_MAX };
	uint64_t at = fuzz_next(f) % size, v = hurts[fuzz_below(f, 15)];
	unsigned len = 1u << fuzz_below(f, 4);

	if (fuzz_below(f, 3))	/* a header, or the tables behind it */
		at = fuzz_below(f, 32) * 4ull + (fuzz_below(f, 3) ? fuzz_below(f, 3) * 512ull : fuzz_below(f, 160) * 512ull);
	if (fuzz_below(f, 3) == 0)
		v = fuzz_below(f, 5000);
	if (at + len <= size && pwrite(fd, &v, len, (off_t)at) < 0)
		printf("%s\n", strerror(errno));
	if (!fuzz_below(f, 12) && ftruncate(fd, (off_t)(fuzz_below(f, 2) ? fuzz_next(f) % size : size + fuzz_below(f, 1000))))
		printf("%s\n", strerror(errno));
}

static void damage_file(struct fuzz *f, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	static char b[32768];
	struct stat st;
	ssize_t n;
	size_t len;

	if (fd < 0 || fstat(fd, &st) || !st.st_size || !S_ISREG(st.st_mode)) {
		if (fd >= 0)
			close(fd);
		return;
	}
	n = pread(fd, b, 8192, 0);
	if (n > 0 && n < 8192 && b[0] == '#') {
		len = (size_t)n;
		for (unsigned i = 1 + fuzz_below(f, 3); i && len; i--)
			damage_text(f, b, &len);
		if (ftruncate(fd, 0) || pwrite(fd, b, len, 0) < 0)
			printf("%s\n", strerror(errno));
	} else {
		for (unsigned i = 1 + fuzz_below(f, 4); i; i--)
			damage_binary(f, fd, (uint64_t)st.st_size);
	}
	close(fd);
}

/* Some file of the folder. */
static const char *any(struct fuzz *f)
{
	static char found[64][80];
	unsigned n = 0;
	struct dirent *de;
	DIR *d = opendir(disks);

	while (d && (de = readdir(d)) && n < 64)
		if (de->d_name[0] != '.' && de->d_type == DT_REG)
			snprintf(found[n++], 80, "%.79s", de->d_name);
	if (d)
		closedir(d);
	/* readdir()'s order is not the same twice. */
	for (unsigned i = 1; i < n; i++)
		for (unsigned k = i; k && strcmp(found[k - 1], found[k]) > 0; k--) {
			char t[80];

			memcpy(t, found[k], 80);
			memcpy(found[k], found[k - 1], 80);
			memcpy(found[k - 1], t, 80);
		}
	return n ? found[fuzz_below(f, n)] : "a.vmdk";
}

/* Returns whether anything was. */
static bool damage(struct fuzz *f)
{
	unsigned times = fuzz_below(f, 4);

	for (unsigned n = times; n; n--) {
		char one[128];

		snprintf(one, sizeof(one), "%s", in(any(f)));
		switch (fuzz_below(f, 16)) {
		case 0:
			unlink(one);
			break;
		case 1:
			if (rename(one, in(any(f))) && errno != ENOENT)
				printf("%s\n", strerror(errno));
			break;
		case 2:
			unlink(one);
			if (symlink(fuzz_below(f, 2) ? "../victim" : any(f), one))
				printf("%s\n", strerror(errno));
			break;
		case 3:
			if (link(one, in("copy.vmdk")) && errno != EEXIST)
				printf("%s\n", strerror(errno));
			break;
		default:
			damage_file(f, one);
		}
	}
	return times;
}

/* --- what is done ---------------------------------------------------------------------------------- */

static char last[400];	/* finding of damage that is left */
static unsigned broken;	/* findings of damage, mended or not */

static void found(void *ptr, const struct disk_finding *f)
{
	if (!f->leak && !f->repaired)
		snprintf(last, sizeof(last), "%s: %s: %s", f->path, f->kind, f->text);
	broken += !f->leak;
	fuzz_check(f->path && f->kind && f->text && f->text[0] && !strchr(f->text, '\n'), "a finding");
}

enum { PIECE = 4096, PIECES = 2048 };

/* What the pieces of a disk hold, as one number each; 0: they cannot be read. */
static bool survey(const char *path, uint64_t *sum)
{
	struct disk_opts o = { .no_lock = true };
	struct err e = { 0 };
	uint8_t buf[PIECE];
	struct disk *d;

	memset(sum, 0, PIECES * sizeof(*sum));
	if (disk_open(&d, path, &o, &e))
		return false;
	for (uint64_t i = 0; i < PIECES && i * PIECE < disk_size(d); i++) {
		uint64_t n = disk_size(d) - i * PIECE;

		n = n < PIECE ? n : PIECE;
		if (disk_read(d, buf, n, i * PIECE, &e))
			continue;
		for (uint64_t k = 0; k < n; k++)
			sum[i] = (sum[i] ^ buf[k]) * 0x100000001b3;
		sum[i] |= 1;
	}
	fuzz_check(!disk_close(d, &e), "%s", e.msg);
	return true;
}

static void check_disk(struct fuzz *f, const char *path)
{
	static uint64_t before[PIECES], after[PIECES];
	struct disk_check c = { .repair = fuzz_below(f, 2), .chain = fuzz_below(f, 2), .report = found };
	struct disk_opts o = { .no_lock = fuzz_below(f, 2) };
	struct disk_check_sum sum = { 0 };
	struct err e = { 0 };
	bool opened = c.repair && survey(path, before), same;
	int rc;

	broken = 0;
	rc = said("check", disk_check(path, &c, &o, &sum, &e), &e);
	same = !broken;
	fuzz_check(c.repair || !sum.repaired, "repaired without being asked");
	if (rc || !c.repair || sum.damage)
		return;
	c.repair = false;
	memset(&sum, 0, sizeof(sum));
	rc = said("check again", disk_check(path, &c, &o, &sum, &e), &e);
	fuzz_check(!rc && !sum.damage, "%d, %ju after a repair: %s", rc, (uintmax_t)sum.damage,
		   rc ? e.msg : last);
	fuzz_check(survey(path, after) || !opened, "a repaired disk that does not open");
	for (unsigned i = 0; opened && i < PIECES; i++)
		fuzz_check(before[i] == after[i] || (!same && (after[i] || !before[i])),
			   "piece %u is %s after a repair", i, after[i] ? "another" : "unreadable");
}

/* Nothing was damaged yet. */
static void check_sound(const char *path)
{
	struct disk_check c = { .chain = true, .report = found };
	struct disk_opts o = { .no_lock = true };
	struct disk_check_sum sum = { 0 };
	struct err e = { 0 };

	fuzz_check(!disk_check(path, &c, &o, &sum, &e) && !sum.damage, "%s", e.msg[0] ? e.msg : last);
}

static bool open_disk(struct fuzz *f, const char *path, bool write, struct disk **d)
{
	struct disk_opts o = { .write = write, .lazy = !fuzz_below(f, 4), .cache = fuzz_below(f, 2) ? 16384 : 0 };
	struct err e = { 0 };

	return !said("open", disk_open(d, path, &o, &e), &e) &&
		(disk_size(*d) <= (64u << 20) || (disk_close(*d, &e), false));
}

static void use(struct fuzz *f, const char *path)
{
	struct disk_thin t = { .zero = !fuzz_below(f, 4) };
	static uint8_t buf[256 << 10];
	struct err e = { 0 };
	struct disk *d;
	bool other = false;

	if (!open_disk(f, path, true, &d))
		return;
	for (unsigned i = fuzz_below(f, 4); i && disk_size(d); i--) {
		uint64_t at = fuzz_next(f) % (disk_size(d) / SECTOR) * SECTOR, n = disk_size(d) - at;

		n = n < sizeof(buf) ? n : sizeof(buf);
		if (fuzz_below(f, 2))
			said("write", disk_write(d, buf, n, at, &e), &e);
		else
			said("read", disk_read(d, buf, n, at, &e), &e);
	}
	switch (fuzz_below(f, 3)) {
	case 0:
		other = true;
		said("compact", disk_compact(d, &t, &e), &e);
		break;
	case 1:
		said("inflate", disk_inflate(d, &t, &e), &e);
		break;
	}
	disk_room(d);
	said(other ? "close" : "close, written", disk_close(d, &e), &e);
}

static void copy(struct fuzz *f, const char *path)
{
	struct convert_end from = { .kind = CONVERT_DISK }, to = { .kind = CONVERT_DISK };
	struct convert_opts o = { .threads = 1 + fuzz_below(f, 2) };
	struct disk_create c = { .format = (enum disk_format[]){ DISK_SPARSE, DISK_THIN, DISK_SESPARSE }[fuzz_below(f, 3)],
				 .force = true };
	struct err e = { 0 };

	if (!open_disk(f, path, false, &from.disk))
		return;
	c.size = disk_size(from.disk);
	if (!said("create", disk_create(in("copy.vmdk"), &c, &e), &e) && open_disk(f, in("copy.vmdk"), true, &to.disk)) {
		said("convert", convert(&from, &to, &o, &e), &e);
		said("close", disk_close(to.disk, &e), &e);
	}
	disk_close(from.disk, &e);
}

static void range(void *ptr, uint64_t off, uint64_t len)
{
	fuzz_check(len && !(off % SECTOR) && !(len % SECTOR), "a range");
}

static void compare(struct fuzz *f, const char *x, const char *y)
{
	struct disk_diff how = { .range = range };
	struct disk *a, *b;
	struct err e = { 0 };
	uint64_t n;

	if (!open_disk(f, x, false, &a))
		return;
	if (open_disk(f, y, false, &b)) {
		said("diff", disk_diff(a, b, &how, &n, &e), &e);
		disk_close(b, &e);
	}
	disk_close(a, &e);
}

static void mend(struct fuzz *f, const char *path)
{
	struct chain_mend o = { .dry = !fuzz_below(f, 4), .parent = fuzz_below(f, 4) ? NULL : in(any(f)) };
	struct rebuild r = { .vmfs = fuzz_below(f, 2), .parent = o.parent, .dry = o.dry };
	struct chain c;
	struct err e = { 0 };

	if (!said("chain", chain_read(&c, path, false, &e), &e)) {
		for (size_t i = 0; i < c.n; i++)
			fuzz_check((c.link[i].state == CHAIN_OK) == !c.link[i].why, "a reason");
		chain_free(&c);
	}
	if (!fuzz_below(f, 4)) {
		rebuild_possible(path);
		said("rebuild", rebuild_desc(path, &r, &e), &e);
		return;
	}
	if (said("mend", chain_mend(path, &o, &e), &e) || o.dry)
		return;
	fuzz_check(!chain_read(&c, path, false, &e), "%s", e.msg);
	for (size_t i = 0; i < c.n; i++)
		fuzz_check(c.link[i].state == CHAIN_OK, "mended: %s", c.link[i].why);
	chain_free(&c);
}

static void merge(struct fuzz *f, const char *child, const char *parent)
{
	struct snapshot_link l = { .has_cid = fuzz_below(f, 2), .cid = 9, .has_parent = fuzz_below(f, 2),
				   .parent_cid = fuzz_below(f, 2) ? 9 : UINT32_MAX,
				   .hint = fuzz_below(f, 2) ? NULL : "a.vmdk" };
	struct snapshot_job job = { .outside = false };
	struct err e = { 0 };
	uint64_t down, up;

	if (!said("cost", snapshot_cost(child, parent, false, &down, &up, &e), &e) &&
	    (down != UINT64_MAX || up != UINT64_MAX))
		said("merge", snapshot_merge(child, parent, down != UINT64_MAX, 0, &job, &e), &e);
	if (fuzz_below(f, 2))
		said("relink", snapshot_relink(child, &l, false, &e), &e);
}

static bool is_link(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISLNK(st.st_mode);
}

static void act(struct fuzz *f, unsigned layers)
{
	char path[128], other[128];
	struct disk_manage m = { .force = fuzz_below(f, 2), .dry = !fuzz_below(f, 6) };
	struct disk_files gone = { 0 };
	struct err e = { 0 };
	uint64_t was;

	snprintf(path, sizeof(path), "%s", in(fuzz_below(f, 8) ? name[fuzz_below(f, layers)] : any(f)));
	snprintf(other, sizeof(other), "%s", in(fuzz_below(f, 4) ? name[fuzz_below(f, layers)] : any(f)));
	/* Links that the caller names are followed, those that files name are not. */
	if (is_link(path) || is_link(other))
		return;
	switch (fuzz_below(f, 12)) {
	case 0 ... 2: check_disk(f, path); break;
	case 3 ... 4: use(f, path); break;
	case 5: copy(f, path); break;
	case 6: compare(f, path, other); break;
	case 7 ... 8: mend(f, path); break;
	case 9: merge(f, path, other); break;
	case 10:
		said("resize", disk_resize(path, (1 + fuzz_below(f, 6000)) * SECTOR, &m, &was, &e), &e);
		break;
	default:
		if (fuzz_below(f, 2))
			said("rename", disk_rename(path, in("b.vmdk"), &m, &e), &e);
		else
			said("delete", disk_delete(path, &m, &gone, &e), &e);
		disk_files_free(&gone);
	}
}

int main(int argc, char **argv)
{
	const struct rlimit most = { FILE_MAX, FILE_MAX };
	struct stat before, now;
	struct fuzz f;
	char victim[64];
	int fd;

	fuzz_start(&f, argc, argv);
	snprintf(dir, sizeof(dir), "%s/ring1-fuzz.XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	fuzz_check(mkdtemp(dir) != NULL, "mkdtemp");
	snprintf(disks, sizeof(disks), "%s/disks", dir);
	snprintf(victim, sizeof(victim), "%s/victim", dir);
	fd = open(victim, O_WRONLY | O_CREAT, 0600);
	fuzz_check(fd >= 0 && write(fd, "untouched", 9) == 9 && !fstat(fd, &before), "victim");
	close(fd);
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &most);
	while (clock_ns() < f.end_ns) {
		uint64_t seed = f.state, began = clock_ns();
		unsigned layers = make(&f);

		if (!damage(&f))
			check_sound(in(name[layers - 1]));
		for (unsigned i = 1 + fuzz_below(&f, 4); i; i--)
			act(&f, layers);
		fuzz_check(clock_ns() - began < SLOW_S * NS_PER_SEC, "state %#llx", (unsigned long long)seed);
		fuzz_check(!stat(victim, &now) && now.st_size == 9 && now.st_ino == before.st_ino &&
			   now.st_nlink == 1 && now.st_mtim.tv_nsec == before.st_mtim.tv_nsec, "the victim was changed by %#llx", (unsigned long long)seed);
		f.runs++;
	}
	sh("rm -rf '%s'", dir);
	return fuzz_done(&f);
}
