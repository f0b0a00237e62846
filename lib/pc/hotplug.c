/*
 * Disks that come and go while the machine runs.
 *
 * Files are opened, flushed and closed on the job's thread.  What the guest sees changes on
 * the thread of vCPU 0, as all that devices do: the job leaves it there (ask()) and waits.
 * The list of disks is changed last, on the main loop's thread.
 */
#include "pc/hotplug.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pc/control.h"
#include "pc/disks.h"
#include "pc/machine.h"
#include "pc/place.h"

struct hot {
	struct control_job job;
	struct pc *pc;
	unsigned slot;			/* of pc->given, pc->disk */
	struct disk *layers;		/* what pc->disk was */
	struct pc_disk disk;
	char *path;
	bool allow_outside;
	struct blk *blk;
	struct scsi_dev *target;	/* that leaves */
	/* What vCPU 0's thread is to do */
	struct vm_work work;
	void (*fn)(struct hot *h);
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done, gone;
	int rc;
	struct err err;
};

static struct hot *hot_new(struct pc *pc)
{
	struct hot *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->pc = pc;
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->cond, NULL);
	return h;
}

static void hot_free(struct hot *h)
{
	pthread_cond_destroy(&h->cond);
	pthread_mutex_destroy(&h->lock);
	free(h->path);
	free(h);
}

static void set(struct hot *h, bool *flag)
{
	pthread_mutex_lock(&h->lock);
	*flag = true;
	pthread_cond_broadcast(&h->cond);
	pthread_mutex_unlock(&h->lock);
}

static void await(struct hot *h, const bool *flag)
{
	pthread_mutex_lock(&h->lock);
	while (!*flag)
		pthread_cond_wait(&h->cond, &h->lock);
	pthread_mutex_unlock(&h->lock);
}

static void run(void *ptr)
{
	struct hot *h = ptr;

	h->fn(h);
	set(h, &h->done);
}

/* Have fn called on vCPU 0's thread, with vm->lock held, and wait. */
static void ask(struct hot *h, void (*fn)(struct hot *h))
{
	h->fn = fn;
	h->done = false;
	h->work = (struct vm_work){ .fn = run, .ptr = h };
	vm_defer(&h->pc->vm, &h->work);
	await(h, &h->done);
}

/* Adapters whose firmware would wait before it tells of the next change. */
static void settle(struct hot *h, bool goes)
{
	const struct timespec step = { .tv_nsec = 20000000 };
	uint64_t then;

	pthread_mutex_lock(&h->pc->vm.lock);
	then = scsi_hosts_settled(h->pc->dev[PC_DEV_SCSI], &h->disk, goes);
	pthread_mutex_unlock(&h->pc->vm.lock);
	while (clock_ns() < then && !atomic_load(&h->pc->stop))
		nanosleep(&step, NULL);
}

/* --- adding ------------------------------------------------------------------------- */

static void attach(struct hot *h)
{
	h->rc = scsi_hosts_attach(h->pc, &h->disk, h->blk, &h->err);
}

static int add_work(struct control_job *job, struct err *e)
{
	struct hot *h = (struct hot *)job;
	int rc = disks_open_one(h->pc, &h->disk, h->allow_outside, &h->blk, e);

	if (rc)
		return rc;
	settle(h, false);
	ask(h, attach);
	if (h->rc)
		*e = h->err;
	return h->rc;
}

static int add_end(struct control_job *job, int rc, struct json *out, struct err *e)
{
	struct hot *h = (struct hot *)job;
	char place[PLACE_LEN];
	struct pc *pc = h->pc;

	if (!rc) {
		pthread_mutex_lock(&pc->vm.lock);
		pc->given[h->slot] = h->disk;
		pc->given_path[h->slot] = h->path;
		pc->disk[h->slot] = disks_layers(&h->disk, h->blk);
		h->path = NULL;
		if (pc->cfg.ndisks <= h->slot)
			pc->cfg.ndisks = h->slot + 1;
		pthread_mutex_unlock(&pc->vm.lock);
		place_text(place, &h->disk);
		json_put_text(out, "place", place);
		control_disks_changed(pc, "disk-added", &h->disk);
	}
	hot_free(h);
	return rc;
}

static int find_mode(struct pc_disk *d, const json_t *args, struct err *e)
{
	const char *s;
	int rc = json_object_get(args, "mode") ? ctl_text(args, "mode", &s, e) : 1;

	if (rc)
		return rc < 0 ? rc : 0;
	for (unsigned i = 0; place_modes[i]; i++)
		if (!strcmp(s, place_modes[i])) {
			d->mode = (enum pc_disk_mode)i;
			return 0;
		}
	return err_set(e, -EINVAL, "%.40s: not a mode of disks", s);
}

static int find_place(struct hot *h, const json_t *args, struct err *e)
{
	struct scsi_hosts *hosts = h->pc->dev[PC_DEV_SCSI];
	const char *s;
	int rc;

	if (!json_object_get(args, "place"))
		return scsi_hosts_find(hosts, &h->disk, e);
	rc = ctl_text(args, "place", &s, e);
	if (!rc)
		rc = place_parse(&h->disk, s, e);
	if (!rc && h->disk.bus == PC_BUS_IDE)
		rc = err_set(e, -ENOTSUP, "%s: IDE drives cannot come and go while the machine runs",
			     s);
	return rc ? rc : scsi_hosts_check(hosts, &h->disk, e);
}

static int find_slot(struct hot *h, struct err *e)
{
	const struct pc *pc = h->pc;

	for (h->slot = 0; h->slot < PC_DISKS; h->slot++)
		if (h->slot >= pc->cfg.ndisks || pc->given[h->slot].bus == PC_BUS_NONE)
			return 0;
	return err_set(e, -ENOSPC, "a machine has %u disks at most", PC_DISKS);
}

int hotplug_add(void *ptr, struct ctl_request *r, struct json *out, struct err *e)
{
	struct hot *h = hot_new(ptr);
	const char *path;
	int rc = h ? ctl_text(r->args, "path", &path, e) : err_set(e, -ENOMEM, "no memory");

	if (!rc && path[0] != '/')
		rc = err_set(e, -EINVAL, "%.100s: not an absolute path", path);
	if (!rc && !(h->path = strdup(path)))
		rc = err_set(e, -ENOMEM, "no memory");
	if (!rc) {
		h->disk.path = h->path;
		h->disk.cd = json_is_true(json_object_get(r->args, "cdrom"));
		h->allow_outside = json_is_true(json_object_get(r->args, "allow_outside"));
		rc = find_mode(&h->disk, r->args, e);
	}
	if (!rc)
		rc = control_busy(ptr, e);	/* before a place is found to be free */
	if (!rc) {
		pthread_mutex_lock(&h->pc->vm.lock);
		rc = find_place(h, r->args, e);
		pthread_mutex_unlock(&h->pc->vm.lock);
	}
	if (!rc)
		rc = find_slot(h, e);
	if (rc) {
		if (h)
			hot_free(h);
		return rc;
	}
	h->job = (struct control_job){ .work = add_work, .end = add_end };
	return control_start(ptr, r, &h->job, e);
}

/* --- removing ------------------------------------------------------------------------- */

static void gone(void *ptr)
{
	struct hot *h = ptr;

	set(h, &h->gone);
}

static void detach(struct hot *h)
{
	h->rc = scsi_hosts_detach(h->pc, &h->disk, gone, h, &h->target, &h->err);
}

static void forget(struct hot *h)
{
	h->blk = scsi_hosts_forget(h->pc, &h->disk, h->target);
}

static int remove_work(struct control_job *job, struct err *e)
{
	struct hot *h = (struct hot *)job;

	settle(h, true);
	ask(h, detach);
	if (h->rc) {
		*e = h->err;
		return h->rc;
	}
	await(h, &h->gone);
	ask(h, forget);
	/* It is gone in any case: how the last flush went is for end() to say. */
	h->rc = h->blk ? blk_close(h->blk, e) : 0;
	return 0;
}

static int remove_end(struct control_job *job, int rc, struct json *out, struct err *e)
{
	struct hot *h = (struct hot *)job;
	struct pc *pc = h->pc;
	char place[PLACE_LEN];

	if (rc) {
		pc->disk[h->slot] = h->layers;
	} else {
		place_text(place, &h->disk);
		json_put_text(out, "place", place);
		json_put_text(out, "path", h->disk.path);
		pthread_mutex_lock(&pc->vm.lock);
		pc->given[h->slot] = (struct pc_disk){ .bus = PC_BUS_NONE };
		pthread_mutex_unlock(&pc->vm.lock);
		control_disks_changed(pc, "disk-removed", &h->disk);
		free(pc->given_path[h->slot]);
		pc->given_path[h->slot] = NULL;
		if (h->rc)
			rc = err_in(e, h->rc, "it was removed, but its last writes are lost");
	}
	hot_free(h);
	return rc;
}

static bool names(const struct pc_disk *d, const char *path)
{
	char *real = d->path ? realpath(d->path, NULL) : NULL;
	bool same = d->path && (!strcmp(d->path, path) || (real && !strcmp(real, path)));

	free(real);
	return same;
}

static int find_disk(struct hot *h, const json_t *args, struct err *e)
{
	bool by_place = json_object_get(args, "place");
	struct pc_disk at = { .bus = PC_BUS_NONE };
	const struct pc *pc = h->pc;
	const char *s;
	int rc = ctl_text(args, by_place ? "place" : "path", &s, e);

	if (!rc && by_place)
		rc = place_parse(&at, s, e);
	if (rc)
		return rc;
	for (h->slot = 0; h->slot < pc->cfg.ndisks; h->slot++) {
		const struct pc_disk *d = &pc->given[h->slot];

		if (d->bus == PC_BUS_NONE || !(by_place ? place_same(d, &at) : names(d, s)))
			continue;
		h->disk = *d;
		if (d->bus != PC_BUS_IDE)
			return 0;
		return err_set(e, -ENOTSUP, "%.150s: IDE drives cannot come and go while the "
			       "machine runs", s);
	}
	return err_set(e, -ENOENT, "%.150s: the machine has no such disk", s);
}

int hotplug_remove(void *ptr, struct ctl_request *r, struct json *out, struct err *e)
{
	struct hot *h = hot_new(ptr);
	int rc = h ? control_busy(ptr, e) : err_set(e, -ENOMEM, "no memory");

	if (!rc)
		rc = find_disk(h, r->args, e);
	if (rc) {
		if (h)
			hot_free(h);
		return rc;
	}
	/* Nobody looks at it while it is closed. */
	h->layers = h->pc->disk[h->slot];
	h->pc->disk[h->slot] = NULL;
	h->job = (struct control_job){ .work = remove_work, .end = remove_end };
	return control_start(ptr, r, &h->job, e);
}
