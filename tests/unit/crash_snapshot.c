/*
 * What a crash leaves of a machine whose snapshots are being changed: each state that the
 * replayer (tests/shim) makes of the recorded changes is opened for writing, as the next
 * command does, and then reads as before the change or as after it, in all its snapshots;
 * after consolidation no layer is left that nothing needs.  The same when a call fails.
 */
#include <dirent.h>
#include <stdio.h>

#include "replay.h"
#include "shim.h"
#include "snapshot_rig.h"

static const struct machine_opts writing = { .write = true };

enum change { CREATE, REVERT, DELETE, DELETE_CHILDREN, CONSOLIDATE, CHANGES };
static const char *const change_name[] = { "create", "revert", "delete", "delete --children",
					   "consolidate" };

struct crash {
	struct rig before, after;
	unsigned states, old, new;
};

static bool has(const struct machine *m, const char *file, const uint8_t *data, uint64_t size,
		char *why)
{
	uint8_t *buf = malloc(size);
	char *path = NULL;
	struct err e = { 0 };
	struct disk *disk;
	bool same = false;
	int rc = machine_path(m, file, &path, &e);

	if (!rc)
		rc = disk_open(&disk, path, &(struct disk_opts){ .no_lock = true }, &e);
	if (!rc) {
		rc = disk_read(disk, buf, size, 0, &e);
		same = !rc && !memcmp(buf, data, size);
		disk_close(disk, NULL);
	}
	snprintf(why, 300, "%s: %s", file, rc ? e.msg : "wrong contents");
	free(path);
	free(buf);
	return same;
}

/* Is the machine in the state of r? */
static bool is_in(const struct machine *m, const struct rig *r, char *why)
{
	snprintf(why, 300, "%u snapshots, not %u", m->vmsd->n, r->n);
	if (m->vmsd->n != r->n || m->n != 3)
		return false;
	for (int d = 0; d < DISKS; d++)
		if (!has(m, m->disk[d].file, r->now.data[d], r->size[d], why))
			return false;
	for (unsigned i = 0; i < r->n; i++) {
		const struct vmsd_snap *s = vmsd_by_uid(m->vmsd, r->state[i].uid);

		for (int d = 0; d < DISKS; d++)
			if (!s || !has(m, s->disk[d].file, r->state[i].data[d], r->size[d], why))
				return false;
	}
	return true;
}

/* Files that no state has: layers, journals, temporary files.  The lock of a layer that
 * is gone may stay: the next layer of that name takes it over. */
static unsigned litter(const char *work)
{
	DIR *d = opendir(work);
	struct dirent *de;
	unsigned layers = 0, n = 0;

	while ((de = readdir(d))) {
		layers += strstr(de->d_name, "-0000") && !strstr(de->d_name, "-delta") &&
			  !strstr(de->d_name, "-sesparse") && !strstr(de->d_name, ".lck");
		n += strstr(de->d_name, ".journal") != NULL;
	}
	closedir(d);
	return n * 100 + layers;
}

/* Open, look, consolidate, look again. */
static bool recovers(void *ptr, const char *work, size_t done)
{
	struct crash *c = ptr;
	char path[200], before[300], after[300];
	struct machine *m = NULL;
	struct err e = { 0 };
	const struct rig *is;
	int rc;

	snprintf(path, sizeof(path), "%s/my vm.vmx", work);
	rc = machine_open(&m, path, &writing, &e);
	if (rc) {
		printf("opening: %s\n", e.msg);
		return false;
	}
	is = is_in(m, &c->before, before) ? &c->before : is_in(m, &c->after, after) ? &c->after : NULL;
	if (is)
		rc = snapshots_consolidate(m, &e);
	machine_close(m);
	if (!is || rc) {
		printf("before: %s; after: %s; consolidating: %s\n", before, after, e.msg);
		return false;
	}
	c->states++;
	c->old += is == &c->before;
	c->new += is != &c->before;
	rc = machine_open(&m, path, &writing, &e);
	if (rc || !is_in(m, is, before)) {
		printf("consolidated: %s %s\n", before, e.msg);
		machine_close(m);
		return false;
	}
	machine_close(m);
	/* One present layer and what each snapshot froze, for each of two disks. */
	if (litter(work) > 2 * is->n) {
		printf("files: %u with %u snapshots\n", litter(work), is->n);
		return false;
	}
	return true;
}

static int change(struct machine *m, enum change what, struct err *e)
{
	uint32_t uid;

	switch (what) {
	case CREATE:
		return snapshots_create(m, "new", "", 6, &uid, e);
	case REVERT:
		return snapshots_revert(m, "b", e);
	case DELETE:
		return snapshots_delete(m, "c", false, e);
	case DELETE_CHILDREN:
		return snapshots_delete(m, "a", true, e);
	default:
		return snapshots_consolidate(m, e);
	}
}

/* What r will read as. */
static void foresee(struct rig *r, enum change what)
{
	switch (what) {
	case CREATE:
		r->state[r->n].uid = 4;
		state_copy(r, &r->state[r->n++], &r->now);
		break;
	case REVERT:
		state_copy(r, &r->now, &r->state[rig_find(r, 2)]);
		break;
	case DELETE:
		rig_forget(r, 3);
		break;
	case DELETE_CHILDREN:
		for (uint32_t uid = 1; uid <= 3; uid++)
			rig_forget(r, uid);
		break;
	default:
		break;
	}
}

static void copy_rig(struct rig *to, const struct rig *from)
{
	*to = *from;
	memset(&to->now, 0, sizeof(to->now));
	memset(to->state, 0, sizeof(to->state));
	state_copy(to, &to->now, &from->now);
	for (unsigned i = 0; i < from->n; i++) {
		state_copy(to, &to->state[i], &from->state[i]);
		to->state[i].uid = from->state[i].uid;
	}
}

static bool stop(void *ptr, const char *into, uint64_t done, uint64_t total) { return false; }

static void run(const char *cmd)
{
	check(system(cmd) == 0, "%s", cmd);
}

static void test(enum change what, enum disk_format a, enum disk_format b, unsigned rounds)
{
	struct crash c = { .states = 0 };
	struct machine_opts stopping = { .write = true, .progress = stop };
	char base[80], log[80], work[80], cmd[300];
	struct err e = { 0 };
	struct machine *m;
	struct replay *r;
	int rc;

	rig_new(&c.before, a, b, 11 + what);
	rig_make_tree(&c.before);
	if (what == CONSOLIDATE) {
		/* A deletion that was stopped at once. */
		m = rig_open(&c.before, &stopping);
		check(snapshots_delete(m, "c", false, &e) == -EINTR, "%s", e.msg);
		rig_forget(&c.before, 3);
		machine_close(m);
	}
	copy_rig(&c.after, &c.before);
	foresee(&c.after, what);
	snprintf(base, sizeof(base), "%s.base", c.before.dir);
	snprintf(work, sizeof(work), "%s.work", c.before.dir);
	snprintf(log, sizeof(log), "%s.log", c.before.dir);
	snprintf(cmd, sizeof(cmd), "cp -a '%s' '%s'", c.before.dir, base);
	run(cmd);
	shim_start(c.before.dir, log, NULL);
	m = rig_open(&c.before, &writing);
	rc = change(m, what, &e);
	check(!rc, "%s: %s", change_name[what], e.msg);
	machine_close(m);
	shim_stop();
	r = replay_open(log, base);
	check(r && replay_all(r, work, rounds, what, recovers, &c) == 0, "%s", change_name[what]);
	printf("%s: %zu changes, %u states: %u before, %u after\n", change_name[what],
	       r ? replay_count(r) : 0, c.states, c.old, c.new);
	check(what == CONSOLIDATE || (c.old && c.new), "%s", change_name[what]);
	replay_close(r);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s' '%s' '%s'", base, work, log);
	run(cmd);
	strcpy(c.after.dir, "/nowhere/at/all");
	state_free(&c.after.now);
	for (unsigned i = 0; i < c.after.n; i++)
		state_free(&c.after.state[i]);
	rig_free(&c.before);
}

/* Each call of a kind fails once, or that one and all behind it. */
static void test_faults(enum change what, enum disk_format a)
{
	static const char *const fault[] = {
		"write:%u:ENOSPC", "write:%u+:ENOSPC", "sync:%u:EIO", "open:%u:ENOSPC", "rename:%u:EIO",
		"unlink:%u:EIO", "truncate:%u:ENOSPC", "read:%u:EIO",
	};
	struct crash c = { .states = 0 };
	char base[80], log[80], work[80], path[120], cmd[300], order[40], call[16];
	unsigned failed = 0;
	struct replay *r;
	int fd;

	rig_new(&c.before, a, DISK_FLAT, 31 + what);
	rig_make_tree(&c.before);
	copy_rig(&c.after, &c.before);
	foresee(&c.after, what);
	snprintf(base, sizeof(base), "%s.base", c.before.dir);
	snprintf(work, sizeof(work), "%s.work", c.before.dir);
	snprintf(log, sizeof(log), "%s.log", c.before.dir);
	snprintf(path, sizeof(path), "%s/my vm.vmx", work);
	snprintf(cmd, sizeof(cmd), "cp -a '%s' '%s'", c.before.dir, base);
	run(cmd);
	fd = open(log, O_CREAT | O_WRONLY, 0600);
	close(fd);
	r = replay_open(log, base);	/* of no changes: it makes copies */
	for (unsigned f = 0; r && f < sizeof(fault) / sizeof(fault[0]); f++) {
		snprintf(call, sizeof(call), "%.*s", (int)strcspn(fault[f], ":"), fault[f]);
		for (unsigned n = 0, calls = 1; n <= calls && !check_failed; n++) {
			struct machine *m = NULL;
			struct err e = { 0 };
			int rc;

			check(!replay_make(r, work, 0, REPLAY_PLAIN, 0), "copy");
			/* 0: none fails, how many are there? */
			snprintf(order, sizeof(order), fault[f], n);
			shim_start(work, NULL, n ? order : NULL);
			rc = machine_open(&m, path, &writing, &e);
			if (!rc)
				rc = change(m, what, &e);
			machine_close(m);
			calls = n ? calls : shim_calls(call);
			shim_stop();
			failed += rc != 0;
			check(rc >= -4095 && (!rc || e.msg[0]), "%s: %d", order, rc);
			check(recovers(&c, work, 0), "%s: %s: %d %s", change_name[what], order, rc, e.msg);
		}
	}
	printf("%s: %u faults, %u failures: %u before, %u after\n", change_name[what], c.states, failed,
	       c.old, c.new);
	check(failed && c.old && c.new, "%s", change_name[what]);
	replay_close(r);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s' '%s' '%s'", base, work, log);
	run(cmd);
	strcpy(c.after.dir, "/nowhere/at/all");
	state_free(&c.after.now);
	for (unsigned i = 0; i < c.after.n; i++)
		state_free(&c.after.state[i]);
	rig_free(&c.before);
}

int main(void)
{
	static const enum disk_format kind[] = { DISK_SPARSE, DISK_THIN, DISK_SESPARSE };

	for (enum change what = CREATE; what < CHANGES; what++)
		test(what, kind[what % 3], DISK_FLAT, 1);
	test_faults(CREATE, DISK_SESPARSE);
	test_faults(REVERT, DISK_SPARSE);
	test_faults(DELETE_CHILDREN, DISK_THIN);
	return check_done();
}
