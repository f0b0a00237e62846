/*
 * Snapshots of a running machine when one of the two dies: the process that works on them,
 * at each of its calls that change a file, or the machine, at each request.  This process
 * is the machine, and writes to its disks between all requests; a child is the other one.
 * Then the next one consolidates: the machine has what it wrote, each snapshot what it had,
 * and no layer is left that nothing needs.
 */
#include <dirent.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "disk/live.h"
#include "shim.h"
#include "snapshot_rig.h"

enum change { CREATE, REVERT, DELETE, DELETE_CHILDREN, CHANGES };
static const char *const change_name[] = { "create", "revert", "delete", "delete --children" };

enum call { FIND, PUSH, TURN_BACK, REBASE, FOLD };

struct request {
	enum call call;
	unsigned n;
	char top[DISKS][120], path[DISKS][120];	/* REBASE: path is the hint, or "" */
	uint32_t parent_cid;
};

struct reply {
	int rc;
	bool is;
	char msg[200];
};

/* --- the machine's side -------------------------------------------------------------- */

struct vm {
	struct rig r;
	struct state reverted;	/* what it had before it was told to go back */
	struct disk *d[DISKS];	/* NULL: it is dead */
	unsigned requests, die_at;
	bool die_after, has_new, turned, quiet;
	unsigned folds;
};

static void vm_write(struct vm *vm)
{
	for (int d = 0; d < DISKS && vm->d[0] && !vm->quiet; d++) {
		unsigned sectors = (unsigned)(vm->r.size[d] / 512), at = rig_below(&vm->r, sectors);
		unsigned n = 1 + rig_below(&vm->r, 60);
		uint8_t *data = vm->r.now.data[d] + at * 512;
		struct err e = { 0 };
		int rc;

		n = n > sectors - at ? sectors - at : n;
		memset(data, (int)rig_below(&vm->r, 4) * 17, n * 512);
		rc = data[0] ? disk_write(vm->d[d], data, n * 512, at * 512, &e) :
			disk_zero(vm->d[d], at * 512, n * 512, true, &e);
		check(!rc && !disk_flush(vm->d[d], &e), "writing: %s", e.msg);
	}
}

static void vm_die(struct vm *vm)
{
	struct err e = { 0 };

	for (int d = 0; d < DISKS && vm->d[0]; d++)
		check(!disk_close(vm->d[d], &e), "%s", e.msg);
	memset(vm->d, 0, sizeof(vm->d));
}

static struct disk *vm_disk(struct vm *vm, const char *top)
{
	char *want = realpath(top, NULL), *have;
	struct disk *found = NULL;

	for (int d = 0; d < DISKS && want; d++) {
		have = realpath(live_look(vm->d[d]).top, NULL);
		if (have && !strcmp(have, want))
			found = vm->d[d];
		free(have);
	}
	free(want);
	return found;
}

static int vm_change(struct vm *vm, const struct request *q, struct err *e)
{
	static const enum live_kind kind[] = {
		[PUSH] = LIVE_PUSH, [TURN_BACK] = LIVE_REPLACE, [REBASE] = LIVE_REBASE,
		[FOLD] = LIVE_FOLD,
	};
	struct live_change c[DISKS] = { 0 };
	unsigned opened = 0;
	uint64_t stun;
	int rc = 0;

	/* The guest wrote too much, until the third time. */
	vm->folds += q->call == FOLD;
	for (; !rc && opened < q->n; opened += !rc) {
		c[opened] = (struct live_change){
			.kind = kind[q->call], .d = vm_disk(vm, q->top[opened]),
			.path = q->path[opened][0] ? q->path[opened] : NULL, .parent_cid = q->parent_cid,
			.bytes_max = vm->folds % 3 ? 0 : 1u << 30, .stun_max_ns = 1ull << 40,
		};
		rc = c[opened].d ? live_open(&c[opened], e) : err_set(e, -ESTALE, "%s", q->top[opened]);
	}
	if (!rc)
		rc = live_switch(c, q->n, &stun, e);
	for (unsigned i = 0; i < opened; i++)
		if (live_close(&c[i], rc ? NULL : e) && !rc)
			rc = e->code;
	return rc;
}

static void vm_switched(struct vm *vm, const struct request *q, struct state *made,
			const struct state *back)
{
	if (q->call == PUSH && q->n == DISKS && !vm->has_new) {
		state_copy(&vm->r, made, &vm->r.now);
		vm->has_new = true;
	}
	if (q->call == TURN_BACK) {
		state_copy(&vm->r, &vm->reverted, &vm->r.now);
		state_copy(&vm->r, &vm->r.now, back);
		vm->turned = true;
	}
}

/* Until the other side is gone. */
static void vm_serve(struct vm *vm, int fd, struct state *made, const struct state *back)
{
	struct request q;

	while (recv(fd, &q, sizeof(q), MSG_WAITALL) == sizeof(q)) {
		bool last = ++vm->requests == vm->die_at;
		struct reply a = { 0 };
		struct err e = { 0 };

		vm_write(vm);
		if (last && !vm->die_after)
			vm_die(vm);
		if (!vm->d[0]) {
			a.rc = q.call == FIND ? 0 : err_set(&e, -EPIPE, "the machine has ended");
		} else if (q.call == FIND) {
			a.is = vm_disk(vm, q.top[0]) != NULL;
		} else {
			a.rc = vm_change(vm, &q, &e);
			if (!a.rc)
				vm_switched(vm, &q, made, back);
		}
		if (last && vm->d[0]) {
			vm_die(vm);
			a.rc = q.call == FIND ? a.rc : err_set(&e, -EPIPE, "the machine has ended");
		}
		vm_write(vm);
		snprintf(a.msg, sizeof(a.msg), "%.190s", e.msg);
		if (send(fd, &a, sizeof(a), MSG_NOSIGNAL) != sizeof(a))
			break;
	}
	close(fd);
}

/* --- the other side -------------------------------------------------------------------- */

static int ask(void *ptr, struct request *q, bool *is, struct err *e)
{
	int fd = *(int *)ptr;
	struct reply a = { 0 };

	if (send(fd, q, sizeof(*q), MSG_NOSIGNAL) != sizeof(*q) ||
	    recv(fd, &a, sizeof(a), MSG_WAITALL) != sizeof(a))
		return err_set(e, -EPIPE, "the machine has ended");
	if (is)
		*is = a.is;
	return a.rc ? err_set(e, a.rc, "%s", a.msg) : 0;
}

static void put(char to[static 120], const char *path)
{
	snprintf(to, 120, "%s", path ? path : "");
}

static int do_find(void *ptr, const char *path, bool *is, struct err *e)
{
	struct request q = { .call = FIND, .n = 1 };

	put(q.top[0], path);
	return ask(ptr, &q, is, e);
}

static int all(void *ptr, enum call call, const struct live_pair *p, unsigned n, struct err *e)
{
	struct request q = { .call = call, .n = n };

	for (unsigned i = 0; i < n; i++) {
		put(q.top[i], p[i].top);
		put(q.path[i], p[i].path);
	}
	return ask(ptr, &q, NULL, e);
}

/* The machine is this process's parent. */
static long do_pid(void *ptr) { return getppid(); }

static int do_push(void *ptr, const struct live_pair *p, unsigned n, struct err *e)
{
	return all(ptr, PUSH, p, n, e);
}

static int do_revert(void *ptr, const struct live_pair *p, unsigned n, struct err *e)
{
	return all(ptr, TURN_BACK, p, n, e);
}

static int do_rebase(void *ptr, const char *top, uint32_t parent_cid, const char *hint,
		     struct err *e)
{
	struct request q = { .call = REBASE, .n = 1, .parent_cid = parent_cid };

	put(q.top[0], top);
	put(q.path[0], hint);
	return ask(ptr, &q, NULL, e);
}

static int do_fold(void *ptr, const char *top, struct err *e)
{
	struct request q = { .call = FOLD, .n = 1 };

	put(q.top[0], top);
	return ask(ptr, &q, NULL, e);
}

static int do_pace(void *ptr, const char *top, uint64_t bytes_s, unsigned steps, struct err *e)
{
	return 0;
}

static int change(struct machine *m, enum change what, struct err *e)
{
	uint32_t uid;

	switch (what) {
	case CREATE:
		return snapshots_create(m, "new", "", 6, &uid, e);
	case REVERT:
		return snapshots_revert(m, "a/b", e);
	case DELETE:
		return snapshots_delete(m, "#3", false, e);
	case DELETE_CHILDREN:
		return snapshots_delete(m, "#1", true, e);
	default:
		return snapshots_consolidate(m, e);
	}
}

/* What the machine has open, its locks with it, is the machine's alone. */
static void close_others(int a, int b)
{
	unsigned low = (unsigned)(a < b ? a : b), high = (unsigned)(a < b ? b : a);

	if (low > 3)
		close_range(3, low - 1, 0);
	if (high - low > 1)
		close_range(low + 1, high - 1, 0);
	close_range(high + 1, ~0u, 0);
}

/* A process that does it, and is killed as fault says (NULL: is not).  Returns what
 * waitpid() does; the calls of a kind that it made go to *calls. */
static int other(struct vm *vm, enum change what, const char *fault, const char *kind,
		 unsigned *calls, struct state *made)
{
	int fd[2], status = 0, count[2];
	pid_t pid;

	check(!socketpair(AF_UNIX, SOCK_STREAM, 0, fd) && !pipe(count), "socketpair");
	fflush(NULL);
	pid = fork();
	if (!pid) {
		struct machine_live live = { &fd[1], do_find, do_pid, do_push, do_revert, do_rebase,
					     do_fold, do_pace };
		struct machine_opts o = { .write = true, .live = &live };
		struct machine *m;
		struct err e = { 0 };
		int rc;

		close_others(fd[1], count[1]);
		shim_start(vm->r.dir, NULL, fault);
		rc = machine_open(&m, vm->r.vmx, &o, &e);
		if (!rc) {
			rc = change(m, what, &e);
			machine_close(m);
		}
		if (rc && !fault && vm->d[0] && !vm->die_at)
			fprintf(stderr, "%s: %s\n", what < CHANGES ? change_name[what] : "next", e.msg);
		*calls = shim_calls(kind);
		if (write(count[1], calls, sizeof(*calls)) != sizeof(*calls))
			rc = -EIO;
		_exit(rc ? 1 : 0);
	}
	close(fd[1]);
	close(count[1]);
	vm_serve(vm, fd[0], made, &vm->r.state[rig_find(&vm->r, 2)]);
	check(waitpid(pid, &status, 0) == pid, "waitpid");
	if (read(count[0], calls, sizeof(*calls)) != sizeof(*calls))
		*calls = 0;
	close(count[0]);
	return status;
}

/* --- what came of it --------------------------------------------------------------------- */

static unsigned litter(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *de;
	unsigned n = 0;

	while ((de = readdir(d))) {
		if (strstr(de->d_name, ".journal"))
			n += 100;
		n += strstr(de->d_name, "-0000") && !strstr(de->d_name, "-delta") &&
		     !strstr(de->d_name, "-sesparse") && !strstr(de->d_name, ".lck");
	}
	closedir(d);
	return n;
}

static void compare_running(struct vm *vm, const char *where)
{
	for (int d = 0; d < DISKS && vm->d[0]; d++) {
		uint8_t *buf = malloc(vm->r.size[d]);
		struct err e = { 0 };

		check(!disk_read(vm->d[d], buf, vm->r.size[d], 0, &e) &&
		      !memcmp(buf, vm->r.now.data[d], vm->r.size[d]), "%s: disk %d as it runs %s", where, d,
		      e.msg);
		free(buf);
	}
}

static bool is_now(const struct machine *m, const struct state *s, const uint64_t *size)
{
	bool same = true;

	for (int d = 0; d < DISKS; d++) {
		uint8_t *buf = malloc(size[d]);
		struct disk *disk;

		if (disk_open(&disk, m->disk[d].path, &(struct disk_opts){ .no_lock = true }, NULL)) {
			free(buf);
			return false;
		}
		same &= !disk_read(disk, buf, size[d], 0, NULL) && !memcmp(buf, s->data[d], size[d]);
		disk_close(disk, NULL);
		free(buf);
	}
	return same;
}

static void compare_files(struct vm *vm, enum change what, const struct state *made, bool died,
			  const char *where)
{
	struct machine *m = rig_open(&vm->r, &(struct machine_opts){ .write = false });
	unsigned left = 0;

	if (!m)
		return;
	/* If it had not written since, going back may not have happened; if it was dead by
	 * then, it may. */
	check(is_now(m, &vm->r.now, vm->r.size) ||
	      (vm->turned && is_now(m, &vm->reverted, vm->r.size)) ||
	      (what == REVERT && died && is_now(m, &vm->r.state[rig_find(&vm->r, 2)], vm->r.size)),
	      "%s: what it wrote is not there", where);
	for (unsigned i = 0; i < m->vmsd->n; i++) {
		const struct vmsd_snap *s = &m->vmsd->snap[i];
		int k = rig_find(&vm->r, s->uid);

		check(k >= 0 || s->uid == 4, "%s: snapshot %u", where, s->uid);
		/* A machine that was dead by then is not asked. */
		for (int d = 0; d < DISKS; d++)
			rig_reads(m, s->disk[d].file, k >= 0 ? vm->r.state[k].data[d] :
				  vm->has_new ? made->data[d] : vm->r.now.data[d], vm->r.size[d], where);
		left |= 1u << s->uid;
	}
	check(left == 0xe || (what == CREATE && left == 0x1e) || (what == DELETE && left == 6) ||
	      (what == DELETE_CHILDREN && left == 0), "%s: snapshots %x", where, left);
	check(litter(vm->r.dir) <= 2 * m->vmsd->n, "%s: %u files, %u snapshots", where,
	      litter(vm->r.dir), m->vmsd->n);
	machine_close(m);
}

/* --- cases ------------------------------------------------------------------------------- */

struct fault {
	const char *kind;	/* of call of the other side, or NULL */
	unsigned at;		/* which; of requests at which the machine dies */
	bool after;
	bool end;		/* the machine dies, too, before the next one comes */
};

/* Returns the calls of that kind, or requests, that there were. */
static unsigned run(const struct rig *tree, enum change what, const struct fault *f)
{
	struct vm vm = { .r = *tree, .quiet = f->end && f->at % 2 };
	char where[80], order[40], cmd[300];
	struct state made = { 0 }, kept = tree->now;
	unsigned calls = 0;
	struct machine *m;
	struct err e = { 0 };
	int status;

	snprintf(where, sizeof(where), "%s, %s %u%s%s", change_name[what], f->kind ? f->kind : "request",
		 f->at, f->after ? ", after" : "", f->end ? ", both" : "");
	snprintf(vm.r.dir, sizeof(vm.r.dir), "%.50s.w", tree->dir);
	snprintf(vm.r.vmx, sizeof(vm.r.vmx), "%s/my vm.vmx", vm.r.dir);
	memset(&vm.r.now, 0, sizeof(vm.r.now));
	state_copy(&vm.r, &vm.r.now, &kept);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s' && cp -a '%s' '%s'", vm.r.dir, tree->dir, vm.r.dir);
	check(!system(cmd), "%s", cmd);
	m = rig_open(&vm.r, &(struct machine_opts){ .write = false });
	for (int d = 0; d < DISKS; d++)
		check(!disk_open(&vm.d[d], m->disk[d].path, &(struct disk_opts){ .write = true }, &e), "%s",
		      e.msg);
	machine_close(m);
	if (!f->kind) {
		vm.die_at = f->at;
		vm.die_after = f->after;
	}
	snprintf(order, sizeof(order), "%s:%u:kill", f->kind ? f->kind : "", f->at);
	status = other(&vm, what, f->kind && f->at ? order : NULL, f->kind ? f->kind : "write", &calls,
		       &made);
	if (f->kind && f->at)
		check(WIFSIGNALED(status) || (vm.quiet && !WEXITSTATUS(status)), "%s: was not killed",
		      where);
	else if (!f->at)
		check(WIFEXITED(status) && !WEXITSTATUS(status), "%s: failed", where);
	if (!f->kind)
		calls = vm.requests;
	compare_running(&vm, where);
	if (f->end)
		vm_die(&vm);
	vm.die_at = 0;
	vm.quiet = true;
	status = other(&vm, CHANGES, NULL, "write", &(unsigned){ 0 }, &made);
	check(WIFEXITED(status) && !WEXITSTATUS(status), "%s: the next one failed", where);
	compare_running(&vm, where);
	vm_die(&vm);
	compare_files(&vm, what, &made, !f->kind, where);
	state_free(&vm.r.now);
	state_free(&vm.reverted);
	state_free(&made);
	return calls;
}

static void test(enum change what, enum disk_format a, enum disk_format b, unsigned stride)
{
	static const char *const kind[] = { "write", "sync", "open", "rename", "unlink" };
	unsigned cases = 0;
	struct rig tree;
	char cmd[100];

	rig_new(&tree, a, b, 51 + what);
	rig_make_tree(&tree);
	for (unsigned k = 0; k < sizeof(kind) / sizeof(kind[0]); k++) {
		unsigned calls = run(&tree, what, &(struct fault){ .kind = kind[k] });

		for (unsigned n = 1; n <= calls && !check_failed; n += stride, cases++)
			run(&tree, what, &(struct fault){ .kind = kind[k], .at = n, .end = n / stride % 3 == 2 });
	}
	for (unsigned n = 1, all = run(&tree, what, &(struct fault){ 0 }); n <= all && !check_failed;
	     n++, cases += 2)
		for (int after = 0; after < 2; after++)
			run(&tree, what, &(struct fault){ .at = n, .after = after });
	printf("%s: %u deaths\n", change_name[what], cases);
	snprintf(cmd, sizeof(cmd), "rm -rf '%.60s.w'", tree.dir);
	check(!system(cmd), "%s", cmd);
	rig_free(&tree);
}

int main(int argc, char **argv)
{
	unsigned stride = argc > 1 ? 1 : 7;	/* all of them in a long run */

	test(CREATE, DISK_SPARSE, DISK_FLAT, stride);
	test(REVERT, DISK_THIN, DISK_SPARSE, stride);
	test(DELETE, DISK_SESPARSE, DISK_FLAT, stride);
	test(DELETE_CHILDREN, DISK_SPARSE, DISK_THIN, stride);
	return check_done();
}
