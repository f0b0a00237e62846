#include "live.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "disk/lock.h"
#include "wire/ctl.h"
#include "wire/registry.h"

#define CALL_S		300.0	/* a machine on a slow disk has to flush */
#define ASK_S		20.0	/* it is stopped, perhaps */
#define OTHERS_S	1.0
#define BUSY_S		60	/* it is doing something else */
#define LEASE_NS	(10 * NS_PER_SEC)	/* of the pace of a guest, which is said again before */
#define DELAY_NS	(10 * NS_PER_SEC)	/* guests give up writes after 30 s */
#define BYTES_PER_MS	(128u << 10)	/* that even a slow host writes */

struct live_vm {
	char *ctl;
	uint64_t pid;
	struct ctl_client *c;
	bool mute;
};

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* --- who there is ---------------------------------------------------------------------- */

static bool meet(void *ptr, const json_t *who, const char *ctl)
{
	struct live *l = ptr;
	struct live_vm *more;

	for (unsigned i = 0; i < l->n; i++)
		if (!strcmp(l->vm[i].ctl, ctl))
			return true;
	more = reallocarray(NULL, l->n + 1, sizeof(*more));
	if (!more)
		return false;
	if (l->n)
		memcpy(more, l->vm, l->n * sizeof(*more));
	if (l->the)
		l->the = more + (l->the - l->vm);
	free(l->vm);
	l->vm = more;
	more[l->n] = (struct live_vm){
		.ctl = strdup(ctl), .pid = (uint64_t)json_integer_value(json_object_get(who, "pid")),
	};
	if (more[l->n].ctl && !ctl_connect(&more[l->n].c, ctl, NULL))
		l->n++;
	else
		free(more[l->n].ctl);
	return true;
}

/*
 * What disks it has now.
 *
 * asked      it is the one: wait until it has done what it is doing, unless that takes
 *            long.  Another one that does not answer at once is not asked again
 */
static int ask(struct live_vm *vm, bool asked, json_t **disks, struct err *e)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	uint64_t until = clock_ns() + BUSY_S * NS_PER_SEC;
	json_t *reply;
	int rc;

	if (vm->mute && !asked)
		return -ETIMEDOUT;
	for (;;) {
		struct json none = { 0 };

		rc = ctl_call(vm->c, "disks", &none, NULL, 0, asked ? ASK_S : OTHERS_S, &reply, e);
		if (rc != -EAGAIN || !asked || clock_ns() > until)
			break;
		nanosleep(&pause, NULL);
	}
	vm->mute = rc == -ETIMEDOUT;
	if (rc)
		return rc;
	*disks = json_incref(json_object_get(reply, "disks"));
	json_decref(reply);
	return 0;
}

/* The disk of vm whose member key is real, or NULL. */
static const json_t *disk_with(const json_t *disks, const char *key, const char *real)
{
	const json_t *found = NULL;
	struct json as_told = { 0 };	/* names that are not UTF-8 come changed */

	json_put_text(&as_told, key, real);
	for (size_t i = 0; !found && i < json_array_size(disks); i++)
		if (!strcmp(text(json_array_get(disks, i), key), text(as_told.v, key)))
			found = json_array_get(disks, i);
	json_decref(as_told.v);
	return found;
}

static int not_text(const char *path, struct err *e)
{
	return err_set(e, -ENOTSUP, "%.180s: not UTF-8, so the running machine cannot be told of "
		       "it: end the machine first", path);
}

/* Is path the top of one of vm's disks?  One below a disk that takes what is written to it is
 * not locked. */
static int look(struct live *l, struct live_vm *vm, const json_t *disks, const char *path,
		const char *real, bool *is, struct err *e)
{
	const json_t *d = disk_with(disks, "top", real), *below = disk_with(disks, "path", real);

	if (!d && below && !json_is_true(json_object_get(below, "cdrom")) &&
	    (!strcmp(text(below, "mode"), "undoable") ||
	     !strcmp(text(below, "mode"), "independent-nonpersistent")))
		d = below;
	if (!d)
		return 0;
	if (strcmp(text(d, "mode"), "persistent"))
		return err_set(e, -ENOTSUP, "%.100s: the running machine, process %llu, has it as %.40s: "
			       "such a disk takes no part in snapshots", path,
			       (unsigned long long)vm->pid, text(d, "mode"));
	if (!json_is_text(real))
		return not_text(path, e);
	if (l->the && l->the != vm)
		return err_set(e, -EBUSY, "%.100s: its disks are those of several running machines",
			       path);
	l->the = vm;
	*is = true;
	return 0;
}

/*
 * Ask the machine whose process has it locked; if none has, all of them.  What another than
 * that does not say is not known, and does not matter.
 */
static int live_find(void *ptr, const char *path, bool *is, struct err *e)
{
	struct live *l = ptr;
	char *real = realpath(path, NULL);
	long pid = disk_lock_pid(path);
	int rc = 0;

	*is = false;
	if (!real || registry_each(meet, l, NULL)) {
		free(real);	/* no run-time folder: no machine that could be asked */
		return 0;
	}
	for (unsigned i = 0; !rc && !*is && i < l->n; i++) {
		bool asked = pid && l->vm[i].pid == (uint64_t)pid;
		json_t *disks;

		if (pid && !asked)
			continue;
		rc = ask(&l->vm[i], asked, &disks, e);
		if (!rc) {
			rc = look(l, &l->vm[i], disks, path, real, is, e);
			json_decref(disks);
		} else if (!asked || rc == -EPIPE) {	/* EPIPE: it has ended */
			rc = 0;
		} else {
			rc = err_in(e, rc, "the machine that runs");
		}
	}
	free(real);
	return rc;
}

static long live_process(void *ptr)
{
	return (long)live_pid(ptr);
}

/* --- asking for changes -------------------------------------------------------------------- */

static int change(struct live *l, const char *verb, struct json *args, struct err *e)
{
	json_t *reply;
	uint64_t ns;
	int rc;

	if (!l->the) {
		json_decref(args->v);
		return err_set(e, -EPIPE, "the machine has ended");
	}
	rc = ctl_call(l->the->c, verb, args, NULL, 0, CALL_S, &reply, e);
	if (rc == -EPIPE || rc == -ESHUTDOWN)
		return err_set(e, -EPIPE, "the machine has ended");
	if (rc)
		return rc;
	ns = (uint64_t)json_integer_value(json_object_get(reply, "stun_ns"));
	json_decref(reply);
	l->switches++;
	l->stun_ns += ns;
	if (ns > l->stun_max)
		l->stun_max = ns;
	return 0;
}

/* The real path of a layer: what the machine knows it by. */
static int put_real(struct json *o, const char *key, const char *path, struct err *e)
{
	char *real = realpath(path, NULL);
	int rc = 0;

	if (!real)
		return err_sys(e, -errno, "%.180s", path);
	if (json_is_text(real))
		json_put_text(o, key, real);
	else
		rc = not_text(path, e);
	free(real);
	return rc;
}

static int change_all(struct live *l, const char *verb, const struct live_pair *p, unsigned n,
		      struct err *e)
{
	struct json args = { 0 }, disks = { json_array(), false };
	int rc = 0;

	for (unsigned i = 0; !rc && i < n; i++) {
		struct json o = { 0 };

		rc = put_real(&o, "top", p[i].top, e);
		if (!rc)
			rc = put_real(&o, "path", p[i].path, e);
		json_append(&disks, &o);
	}
	json_put_array(&args, "disks", &disks);
	if (!rc)
		return change(l, verb, &args, e);
	json_decref(args.v);
	return rc;
}

static int live_push(void *ptr, const struct live_pair *p, unsigned n, struct err *e)
{
	return change_all(ptr, "disk-push", p, n, e);
}

static int live_revert(void *ptr, const struct live_pair *p, unsigned n, struct err *e)
{
	return change_all(ptr, "disk-revert", p, n, e);
}

static int live_rebase(void *ptr, const char *top, uint32_t parent_cid, const char *hint,
		       struct err *e)
{
	struct json args = { 0 };
	int rc = put_real(&args, "top", top, e);

	if (rc) {
		json_decref(args.v);
		return rc;
	}
	json_put_u64(&args, "parent_cid", parent_cid);
	if (hint)
		json_put_text(&args, "hint", hint);
	return change(ptr, "disk-rebase", &args, e);
}

static int live_fold(void *ptr, const char *top, struct err *e)
{
	struct live *l = ptr;
	struct json args = { 0 };
	int rc = put_real(&args, "top", top, e);

	if (rc) {
		json_decref(args.v);
		return rc;
	}
	json_put_u64(&args, "bytes_max", l->bytes_max);
	json_put_u64(&args, "stun_max_ns", l->stun_max_ns);
	return change(l, "disk-fold", &args, e);
}

/* What the machine says about writes that had to wait, since it was asked last. */
static void note_delays(struct live *l, uint64_t bytes_s, const json_t *reply)
{
	uint64_t delayed = (uint64_t)json_integer_value(json_object_get(reply, "delayed"));
	uint64_t longest = (uint64_t)json_integer_value(json_object_get(reply, "longest_ns"));

	l->delayed += delayed;
	if (longest > l->delay_max)
		l->delay_max = longest;
	if (bytes_s && (!l->slowest || bytes_s < l->slowest))
		l->slowest = bytes_s;
}

/* Each step, the first is 1, lets writes wait twice as long. */
static int live_pace(void *ptr, const char *top, uint64_t bytes_s, unsigned steps, struct err *e)
{
	struct live *l = ptr;
	uint64_t delay = (l->stun_max_ns << (steps < 16 ? steps : 16)) / 2;
	struct json args = { 0 };
	int rc = put_real(&args, "top", top, e);
	json_t *reply;

	if (rc || !l->the) {
		json_decref(args.v);
		return rc ? rc : err_set(e, -EPIPE, "the machine has ended");
	}
	json_put_u64(&args, "bytes_s", bytes_s);
	json_put_u64(&args, "delay_max_ns", delay < DELAY_NS ? delay : DELAY_NS);
	json_put_u64(&args, "lease_ns", LEASE_NS);
	rc = ctl_call(l->the->c, "disk-pace", &args, NULL, 0, ASK_S, &reply, e);
	if (rc)
		return rc;
	note_delays(l, bytes_s, reply);
	json_decref(reply);
	return 0;
}

/* --- */

void live_init(struct live *l, uint64_t stun_max_ms)
{
	*l = (struct live){
		.ops = { .ptr = l, .find = live_find, .pid = live_process, .push = live_push,
			 .revert = live_revert, .rebase = live_rebase, .fold = live_fold,
			 .pace = live_pace },
		.bytes_max = stun_max_ms * BYTES_PER_MS, .stun_max_ns = stun_max_ms * 1000000,
	};
}

void live_free(struct live *l)
{
	for (unsigned i = 0; i < l->n; i++) {
		ctl_disconnect(l->vm[i].c);
		free(l->vm[i].ctl);
	}
	free(l->vm);
}

uint64_t live_pid(const struct live *l)
{
	return l->the ? l->the->pid : 0;
}
