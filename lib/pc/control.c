/* The control socket of a machine: its verbs, and jobs that take longer. */
#include "pc/control.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

#include "pc/hotplug.h"
#include "pc/live.h"
#include "pc/machine.h"
#include "pc/place.h"
#include "wire/registry.h"

struct control {
	struct registry_entry *entry;
	struct ctl_server *server;
	json_t *who;		/* what the registry says */
	struct control_job *job;	/* NULL: none */
	struct ctl_later *later;	/* its client */
	pthread_t thread;	/* its, */
	bool joined;		/* which is gone */
	_Atomic bool ended;	/* work() has returned */
	int rc;			/* what */
	struct err err;
};

/* --- verbs ------------------------------------------------------------------------- */

static int do_info(void *ptr, struct ctl_request *r, struct json *out, struct err *e)
{
	struct pc *pc = ptr;

	out->v = json_deep_copy(pc->control->who);
	return out->v ? 0 : err_set(e, -ENOMEM, "no memory");
}

static int do_stop(void *ptr, struct ctl_request *r, struct json *out, struct err *e)
{
	pc_stop(ptr);
	return 0;
}

static const struct ctl_verb verbs[] = {
	{ "info", do_info },
	{ "stop", do_stop },
	{ "disk-add", hotplug_add },
	{ "disk-remove", hotplug_remove },
	{ "disks", live_list },
	{ "disk-push", live_push },
	{ "disk-rebase", live_rebase },
	{ "disk-fold", live_fold },
	{ "disk-pace", live_pace },
	{ "disk-revert", live_revert },
	{ NULL, NULL },
};

/* --- jobs -------------------------------------------------------------------------- */

int control_busy(const struct pc *pc, struct err *e)
{
	if (!pc->control->job)
		return 0;
	return err_set(e, -EAGAIN, "another change of the machine is under way");
}

static void *job_main(void *ptr)
{
	struct pc *pc = ptr;
	struct control *c = pc->control;

	c->rc = c->job->work(c->job, &c->err);
	atomic_store(&c->ended, true);
	run_wake(pc);
	return NULL;
}

int control_start(struct pc *pc, struct ctl_request *r, struct control_job *job,
		  struct err *e)
{
	struct control *c = pc->control;
	struct json none = { 0 };
	sigset_t all, old;
	int rc = control_busy(pc, e);

	job->pc = pc;
	if (!rc) {
		c->later = ctl_later(r, e);
		rc = c->later ? 0 : -ENOMEM;
	}
	if (rc) {
		job->end(job, rc, &none, e);
		json_decref(none.v);
		return rc;
	}
	c->job = job;
	c->err = (struct err){ 0 };
	atomic_store(&c->ended, false);
	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = -pthread_create(&c->thread, NULL, job_main, pc);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	c->joined = rc;
	if (rc) {	/* the reply says so */
		struct err why;

		err_sys(&why, rc, "cannot start a thread");
		control_again(pc, rc, &why);
	}
	return CTL_LATER;
}

void control_again(struct pc *pc, int rc, const struct err *e)
{
	struct control *c = pc->control;

	c->rc = rc;
	if (rc)
		c->err = *e;
	atomic_store(&c->ended, true);
	run_wake(pc);
}

/* No vCPU runs any more: what a job asks of them is done here. */
static void await(struct pc *pc)
{
	while (!atomic_load(&pc->control->ended)) {
		struct pollfd p = { .fd = pc->wake_fd, .events = POLLIN };

		pthread_mutex_lock(&pc->vm.lock);
		vm_run_work(&pc->vm);
		pthread_mutex_unlock(&pc->vm.lock);
		poll(&p, 1, 1);
	}
}

/* The job has ended. */
static void finish(struct pc *pc)
{
	struct control *c = pc->control;
	struct control_job *job = c->job;
	struct json out = { 0 };
	int rc;

	if (!c->joined)
		pthread_join(c->thread, NULL);
	c->joined = true;
	atomic_store(&c->ended, false);
	rc = job->end(job, c->rc, &out, &c->err);
	if (rc == CTL_LATER)
		return;
	c->job = NULL;
	ctl_answer(c->later, rc, &out, &c->err);
}

/* --- the machine's side -------------------------------------------------------------- */

static void put_disks(const struct pc *pc, struct json *who)
{
	struct json disks = { json_array(), false };

	for (unsigned i = 0; i < pc->cfg.ndisks; i++)
		live_describe(pc, i, &disks);
	json_put_array(who, "disks", &disks);
}

/* What the registry says of a machine. */
static void describe(const struct pc *pc, struct json *who)
{
	const struct pc_config *cfg = &pc->cfg;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	json_put_u64(who, "started_us",
		     (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
	json_put_u64(who, "pid", (uint64_t)getpid());
	json_put_text(who, "kernel", cfg->kernel);
	json_put_text(who, "bios", cfg->bios);
	json_put_u64(who, "memory_bytes", cfg->memory);
	json_put_u64(who, "cpus", cfg->cpus);
	put_disks(pc, who);
}

/* Machines that were killed leave their files. */
static bool pass_by(void *ptr, const json_t *who, const char *ctl)
{
	return true;
}

int control_open(struct pc *pc, struct err *e)
{
	struct control *c = calloc(1, sizeof(*c));
	char uuid[REGISTRY_UUID];
	struct json who = { 0 };
	int rc = c ? registry_uuid(uuid, e) : err_set(e, -ENOMEM, "no memory");

	if (rc)
		goto out;
	registry_each(pass_by, NULL, NULL);
	describe(pc, &who);
	json_put_text(&who, "uuid", uuid);
	c->who = json_deep_copy(who.v);
	rc = registry_enter(&c->entry, uuid, &who, e);
	if (!rc)
		rc = ctl_listen(&c->server, registry_ctl_path(c->entry), verbs, pc, e);
	if (!rc && !c->who)
		rc = err_set(e, -ENOMEM, "no memory");
out:
	pc->control = c;
	if (rc)
		control_close(pc);
	return rc;
}

void control_close(struct pc *pc)
{
	struct control *c = pc->control;

	if (!c)
		return;
	if (c->job && !c->joined)
		await(pc);
	if (c->job)
		finish(pc);
	if (c->job) {	/* it waits for what does not come any more */
		c->rc = err_set(&c->err, -ESHUTDOWN, "the machine has ended");
		finish(pc);
	}
	ctl_close(c->server);
	registry_leave(c->entry);
	json_decref(c->who);
	free(c);
	pc->control = NULL;
}

void control_disks_changed(struct pc *pc, const char *event, const struct pc_disk *d)
{
	struct json who = { json_deep_copy(pc->control->who), false }, o = { 0 };
	char place[PLACE_LEN];
	json_t *kept;

	place_text(place, d);
	json_put_text(&o, "place", place);
	json_put_text(&o, "path", d->path);
	ctl_event(pc->control->server, event, &o);
	put_disks(pc, &who);
	kept = json_deep_copy(who.v);
	if (kept) {
		json_decref(pc->control->who);
		pc->control->who = kept;
	}
	registry_update(pc->control->entry, &who);
}

int control_fd(const struct pc *pc)
{
	return pc->control ? ctl_fd(pc->control->server) : -1;
}

void control_handle(struct pc *pc)
{
	struct control *c = pc->control;

	if (!c)
		return;
	if (c->job && atomic_load(&c->ended))
		finish(pc);
	ctl_handle(c->server);
}
