/* Snapshots of a machine: random operations against a model, and what each leaves. */
#include <dirent.h>

#include "snapshot_rig.h"

static const struct machine_opts writing = { .write = true };

static uint32_t create(struct rig *r, const char *name)
{
	struct machine *m = rig_open(r, &writing);
	struct err e = { 0 };
	uint32_t uid = 0;
	int rc = m ? snapshots_create(m, name, "", 1000000ull * r->n, &uid, &e) : -1;

	check(!rc, "create %s: %s", name, e.msg);
	if (!rc) {
		r->state[r->n].uid = uid;
		state_copy(r, &r->state[r->n++], &r->now);
	}
	machine_close(m);
	return uid;
}

static const char *uid_name(char name[static 16], uint32_t uid)
{
	snprintf(name, 16, "#%u", uid);
	return name;
}

static void revert(struct rig *r, uint32_t uid)
{
	struct machine *m = rig_open(r, &writing);
	struct err e = { 0 };
	char name[16];
	int rc = m ? snapshots_revert(m, uid_name(name, uid), &e) : -1;

	check(!rc, "revert: %s", e.msg);
	if (!rc)
		state_copy(r, &r->now, &r->state[rig_find(r, uid)]);
	machine_close(m);
}

static void delete(struct rig *r, uint32_t uid, bool children)
{
	struct machine *m = rig_open(r, &writing);
	struct err e = { 0 };
	uint32_t gone[STATES];
	unsigned n = 0;
	char name[16];
	int rc;

	for (unsigned i = 0; m && i < m->vmsd->n; i++) {
		const struct vmsd_snap *s = &m->vmsd->snap[i];

		if (s->uid == uid || (children && vmsd_descends(m->vmsd, s, uid)))
			gone[n++] = s->uid;
	}
	rc = m ? snapshots_delete(m, uid_name(name, uid), children, &e) : -1;
	check(!rc, "delete: %s", e.msg);
	for (unsigned i = 0; !rc && i < n; i++)
		rig_forget(r, gone[i]);
	machine_close(m);
}

/* How many files are there whose name ends so? */
static unsigned files(const struct rig *r, const char *end)
{
	DIR *d = opendir(r->dir);
	struct dirent *de;
	unsigned n = 0;

	while ((de = readdir(d))) {
		size_t len = strlen(de->d_name), k = strlen(end);

		n += len >= k && !strcmp(de->d_name + len - k, end);
	}
	closedir(d);
	return n;
}

/* What qemu-img, where it is installed, reads of all states. */
static void qemu_reads(const struct rig *r, const char *what)
{
	struct machine *m;

	if (system("command -v qemu-img >/dev/null"))
		return;
	m = rig_open(r, &(struct machine_opts){ .write = false });
	for (unsigned i = 0; i <= r->n; i++) {
		const struct state *s = i == r->n ? &r->now : &r->state[i];
		const struct vmsd_snap *snap = i == r->n ? NULL : vmsd_by_uid(m->vmsd, s->uid);

		for (int d = 0; d < DISKS; d++) {
			char *out = rig_path(r, "qemu"), *buf = malloc(r->size[d] + 1), cmd[400];
			const char *file = snap ? snap->disk[d].file : m->disk[d].file;
			int fd;

			snprintf(cmd, sizeof(cmd), "qemu-img convert -q -f vmdk -O raw '%s/%s' '%s' 2>&1",
				 r->dir, file, out);
			check(!system(cmd), "%s: %s", what, cmd);
			fd = open(out, O_RDONLY);
			check(read(fd, buf, r->size[d] + 1) == (ssize_t)r->size[d] &&
			      !memcmp(buf, s->data[d], r->size[d]), "%s: qemu reads something else of %s",
			      what, file);
			close(fd);
			unlink(out);
			free(out);
			free(buf);
		}
	}
	machine_close(m);
}

static void test_random(enum disk_format a, enum disk_format b, uint64_t seed, unsigned ops)
{
	struct rig r;
	char name[32];

	rig_new(&r, a, b, seed);
	for (unsigned i = 0; i < ops && !check_failed; i++) {
		unsigned op = rig_below(&r, 10);
		uint32_t uid = r.n ? r.state[rig_below(&r, r.n)].uid : 0;

		snprintf(name, sizeof(name), "s%u", i);
		if (op < 4)
			rig_write(&r, (int)rig_below(&r, DISKS));
		else if (op < 7 && r.n < 12)
			create(&r, name);
		else if (op == 7 && uid)
			revert(&r, uid);
		else if (uid)
			delete(&r, uid, op == 9 && rig_below(&r, 2));
		snprintf(name, sizeof(name), "seed %" PRIu64 " op %u/%u", seed, i, op);
		rig_verify(&r, name);
	}
	snprintf(name, sizeof(name), "seed %" PRIu64, seed);
	qemu_reads(&r, name);
	/* With no snapshot left the bases are all that is. */
	while (r.n && !check_failed)
		delete(&r, r.state[rig_below(&r, r.n)].uid, false);
	rig_verify(&r, "at the end");
	check(files(&r, ".vmsd") == 1 && files(&r, ".journal") == 0 && files(&r, ".lck") == 0 &&
	      files(&r, ".tmp") == 0, "%u %u %u %u", files(&r, ".vmsd"), files(&r, ".journal"),
	      files(&r, ".lck"), files(&r, ".tmp"));
	check(files(&r, "-000001.vmdk") == 0 && files(&r, "-000002.vmdk") == 0, "layers are left");
	rig_free(&r);
}

/* Nothing is done, all is said. */
static unsigned said[MACHINE_RECOVER + 1];

static void count(void *ptr, enum machine_step s, const char *file, const char *into)
{
	said[s]++;
}

static void test_dry(void)
{
	struct machine_opts dry = { .write = true, .dry = true, .step = count };
	struct machine *m;
	struct err e = { 0 };
	unsigned before;
	uint32_t uid;
	struct rig r;

	rig_new(&r, DISK_SPARSE, DISK_FLAT, 1);
	rig_write(&r, 0);
	create(&r, "a");
	rig_write(&r, 0);
	create(&r, "b");
	before = files(&r, "");
	m = rig_open(&r, &dry);
	check(m && !snapshots_create(m, "c", "", 1, &uid, &e), "%s", e.msg);
	check(said[MACHINE_CREATE] == 3 && said[MACHINE_CHANGE] == 1 && !said[MACHINE_REMOVE],
	      "%u %u", said[MACHINE_CREATE], said[MACHINE_CHANGE]);
	machine_close(m);
	memset(said, 0, sizeof(said));
	m = rig_open(&r, &dry);
	check(m && !snapshots_delete(m, "a", true, &e), "%s", e.msg);
	check(said[MACHINE_MERGE] == 4 && !said[MACHINE_CREATE], "%u", said[MACHINE_MERGE]);
	machine_close(m);
	memset(said, 0, sizeof(said));
	m = rig_open(&r, &dry);
	check(m && !snapshots_revert(m, "a/b", &e), "%s", e.msg);
	check(said[MACHINE_CREATE] == 2 && said[MACHINE_REMOVE] == 2, "%u %u", said[MACHINE_CREATE],
	      said[MACHINE_REMOVE]);
	machine_close(m);
	check(files(&r, "") == before, "files");
	rig_verify(&r, "dry");
	rig_free(&r);
}

/* What is refused leaves all as it was. */
static void test_refused(void)
{
	struct machine *m, *n = NULL;
	struct err e = { 0 };
	uint32_t uid;
	struct rig r;
	char *path;
	int rc;

	rig_new(&r, DISK_SPARSE, DISK_FLAT, 1);
	create(&r, "a");
	m = rig_open(&r, &writing);
	rc = machine_open(&n, r.vmx, &writing, &e);
	check(rc == -EBUSY, "%d %s", rc, e.msg);
	machine_close(m);
	path = rig_path(&r, "b-000001.vmdk");
	{
		struct disk *d;

		check(!disk_open(&d, path, &(struct disk_opts){ .write = true }, &e), "%s", e.msg);
		rc = machine_open(&n, r.vmx, &writing, &e);
		check(rc == -EBUSY && strstr(e.msg, "b-000001.vmdk"), "%d %s", rc, e.msg);
		disk_close(d, &e);
	}
	m = rig_open(&r, &writing);
	check(snapshots_create(m, "b/c", "", 1, &uid, &e) == -EINVAL, "slash");
	machine_close(m);
	m = rig_open(&r, &writing);
	check(snapshots_revert(m, "nope", &e) == -ENOENT, "%s", e.msg);
	check(snapshots_delete(m, "nope", false, &e) == -ENOENT, "%s", e.msg);
	machine_close(m);
	rig_verify(&r, "refused");
	/* A parent that was written to behind our back. */
	free(path);
	path = rig_path(&r, "b.vmdk");
	{
		char zeros[512] = "";
		struct disk *d;

		check(!disk_open(&d, path, &(struct disk_opts){ .write = true }, &e), "%s", e.msg);
		check(!disk_write(d, zeros, 512, 0, &e) && !disk_close(d, &e), "%s", e.msg);
	}
	m = rig_open(&r, &writing);
	rc = snapshots_delete(m, "a", false, &e);
	check(rc == -EBADMSG && strstr(e.msg, "parentCID"), "%d %s", rc, e.msg);
	machine_close(m);
	free(path);
	rig_free(&r);
}

/* A single disk has its own list, and keeps its top there. */
static void test_single(void)
{
	struct machine *m;
	struct err e = { 0 };
	uint32_t uid;
	struct rig r;
	char *base, *top;
	int rc;

	rig_new(&r, DISK_SPARSE, DISK_FLAT, 1);
	base = rig_path(&r, "b.vmdk");
	top = rig_path(&r, "b-000001.vmdk");
	for (int i = 0; i < 2; i++) {
		rc = machine_open(&m, i ? top : base, &writing, &e);
		check(!rc, "%s", e.msg);
		rc = snapshots_create(m, i ? "two" : "one", "", 1, &uid, &e);
		check(!rc && !strcmp(m->disk[0].file, i ? "b-000002.vmdk" : "b-000001.vmdk"), "%s %s",
		      e.msg, m->disk[0].file);
		machine_close(m);
	}
	rc = machine_open(&m, base, &writing, &e);
	check(!rc && m->vmsd->n == 2, "%s", e.msg);
	rc = snapshots_delete(m, "one", true, &e);
	check(!rc && !strcmp(m->disk[0].file, "b.vmdk"), "%s", e.msg);
	machine_close(m);
	free(base);
	/* A disk whose list is a machine's. */
	base = rig_path(&r, "my vm.vmdk");
	rc = machine_open(&m, base, &writing, &e);
	check(rc == -EINVAL && strstr(e.msg, "my vm.vmx"), "%d %s", rc, e.msg);
	free(base);
	free(top);
	rig_free(&r);
}

/* Merging may be stopped, and goes on. */
static unsigned steps_left;

static bool stop_soon(void *ptr, const char *into, uint64_t done, uint64_t total)
{
	return steps_left && --steps_left;
}

static void test_stop(void)
{
	struct machine_opts o = { .write = true, .progress = stop_soon };
	struct err e = { 0 };
	struct rig r;

	rig_new(&r, DISK_SPARSE, DISK_SPARSE, 7);
	rig_write(&r, 0);
	create(&r, "a");
	for (int i = 0; i < 6; i++)
		rig_write(&r, 0);
	for (unsigned n = 1; n < 4; n++) {
		struct machine *m = rig_open(&r, &o);
		bool pending = false;
		int rc;

		steps_left = n;
		rc = n == 1 ? snapshots_delete(m, "a", false, &e) : snapshots_consolidate(m, &e);
		check(rc == -EINTR, "%u: %d %s", n, rc, e.msg);
		machine_close(m);
		if (n == 1)
			rig_forget(&r, 1);
		rig_verify(&r, "stopped");
		m = rig_open(&r, &(struct machine_opts){ .write = false });
		check(m->found == JOURNAL_MERGE && !snapshots_pending(m, &pending, &e) && pending, "%d",
		      m->found);
		machine_close(m);
	}
	{
		struct machine *m = rig_open(&r, &writing);

		check(!snapshots_consolidate(m, &e), "%s", e.msg);
		machine_close(m);
	}
	rig_verify(&r, "consolidated");
	check(files(&r, "-000001.vmdk") == 0, "not merged");
	rig_free(&r);
}

/* A linked clone in the folder keeps its parent. */
static void test_clone(void)
{
	struct machine *m;
	struct err e = { 0 };
	struct rig r;
	char *clone, *parent;

	rig_new(&r, DISK_SPARSE, DISK_SPARSE, 3);
	rig_write(&r, 1);
	create(&r, "a");
	clone = rig_path(&r, "clone.vmdk");
	parent = rig_path(&r, "b.vmdk");
	check(!snapshot_add(clone, parent, false, false, NULL, NULL, &e), "%s", e.msg);
	rig_write(&r, 1);
	delete(&r, r.state[0].uid, false);
	rig_verify(&r, "clone");
	check(files(&r, "b-000001.vmdk") == 1 && files(&r, "vm-000001.vmdk") == 0, "merged");
	m = rig_open(&r, &(struct machine_opts){ .write = false });
	{
		struct disk *d;

		check(!disk_open(&d, clone, &(struct disk_opts){ .write = false }, &e), "%s", e.msg);
		disk_close(d, &e);
	}
	machine_close(m);
	free(clone);
	free(parent);
	rig_free(&r);
}

/* A journal that could not be read again after a crash is not begun. */
static void test_large(void)
{
	size_t n = DICT_MAX - 4096;
	struct machine *m;
	struct err e = { 0 };
	uint32_t uid;
	char *text = malloc(n + 1);
	struct rig r;
	FILE *f;

	rig_new(&r, DISK_SPARSE, DISK_SPARSE, 5);
	memset(text, '#', n);
	text[n - 1] = '\n';
	text[n] = 0;
	f = fopen(r.vmx, "a");
	check(f && fputs(text, f) >= 0 && !fclose(f), "%s", r.vmx);
	m = rig_open(&r, &writing);
	check(snapshots_create(m, "a", "", 1, &uid, &e) == -EFBIG && strstr(e.msg, "the change takes"),
	      "%s", e.msg);
	machine_close(m);
	m = rig_open(&r, &writing);
	check(m && m->found == JOURNAL_PREPARE && m->vmsd->n == 0, "what was made is removed");
	machine_close(m);
	check(files(&r, "-000001.vmdk") == 0, "no new layers");
	rig_verify(&r, "as before");
	free(text);
	rig_free(&r);
}

int main(int argc, char **argv)
{
	test_dry();
	test_large();
	test_refused();
	test_single();
	test_stop();
	test_clone();
	test_random(DISK_SPARSE, DISK_FLAT, 1, 50);
	test_random(DISK_SPLIT_SPARSE, DISK_SPLIT_FLAT, 2, 50);
	test_random(DISK_THIN, DISK_EAGERZEROEDTHICK, 3, 50);
	test_random(DISK_SESPARSE, DISK_THIN, 4, 50);
	if (argc > 2)	/* first and last seed, for a long run */
		for (uint64_t seed = strtoull(argv[1], NULL, 0); seed <= strtoull(argv[2], NULL, 0);
		     seed++)
			test_random((enum disk_format[]){ DISK_SPARSE, DISK_SESPARSE, DISK_THIN }[seed % 3],
				    seed % 2 ? DISK_FLAT : DISK_THIN, seed, 100);
	return check_done();
}
