#include "pc/live.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/live.h"
#include "disk/pace.h"
#include "pc/control.h"
#include "pc/machine.h"
#include "pc/place.h"

struct live_job {
	struct control_job job;
	unsigned n, opened;
	uint64_t stun_ns;
	bool waits;		/* for the reset */
	struct live_change c[PC_DISKS];
	char *path[PC_DISKS];
};

/* --- what there is ------------------------------------------------------------------- */

/* The real path of a disk's top, which the caller frees; NULL: no disk, ... */
static char *top_of(const struct disk *d)
{
	return d ? realpath(live_look(d).top, NULL) : NULL;
}

void live_describe(const struct pc *pc, unsigned i, struct json *list)
{
	const struct pc_disk *d = &pc->cfg.disks[i];
	char place[PLACE_LEN], *real;
	struct json o = { 0 };

	if (d->bus == PC_BUS_NONE)
		return;
	real = d->path ? realpath(d->path, NULL) : NULL;
	place_text(place, d);
	json_put_text(&o, "place", place);
	json_put_text(&o, "path", real ? real : d->path);
	free(real);
	json_put_bool(&o, "cdrom", d->cd);
	if (!d->cd)
		json_put_text(&o, "mode", place_modes[d->mode]);
	if (pc->disk[i]) {
		const struct live_state s = live_look(pc->disk[i]);

		real = top_of(pc->disk[i]);
		json_put_text(&o, "top", real ? real : s.top);
		json_put_u64(&o, "layers", s.layers);
		json_put_u64(&o, "capacity_bytes", s.size);
		free(real);
	}
	json_append(list, &o);
}

int live_list(void *ptr, struct ctl_request *r, struct json *out, struct err *e)
{
	struct json disks = { json_array(), false };
	struct pc *pc = ptr;
	int rc = control_busy(pc, e);

	for (unsigned i = 0; !rc && i < pc->cfg.ndisks; i++)
		live_describe(pc, i, &disks);
	json_put_array(out, "disks", &disks);
	return rc;
}

/* --- jobs ---------------------------------------------------------------------------- */

/* The disk whose top is o's. */
static int find_disk(struct pc *pc, const json_t *o, struct disk **d, struct err *e)
{
	const char *top;
	int rc = ctl_text(o, "top", &top, e);

	for (unsigned i = 0; !rc && i < pc->cfg.ndisks; i++) {
		char *real = top_of(pc->disk[i]);
		bool is = real && !strcmp(real, top);

		free(real);
		if (!is)
			continue;
		*d = pc->disk[i];
		return pc->cfg.disks[i].mode == PC_DISK_PERSISTENT ? 0 :
			err_set(e, -ENOTSUP, "%.150s: an independent or undoable disk takes no part "
				"in snapshots", top);
	}
	return rc ? rc : err_set(e, -ESTALE, "%.150s: no disk of this machine goes on in that", top);
}

/* One more change; text is a member of o, kept if it is there. */
static int add(struct pc *pc, struct live_job *j, enum live_kind kind, const json_t *o,
	       const char *text, struct err *e)
{
	struct live_change *c = &j->c[j->n];
	const char *path = text ? json_string_value(json_object_get(o, text)) : NULL;
	int rc;

	*c = (struct live_change){ .kind = kind, .outside = pc->cfg.allow_outside };
	rc = find_disk(pc, o, &c->d, e);
	for (unsigned i = 0; !rc && i < j->n; i++)
		if (j->c[i].d == c->d)
			rc = err_set(e, -EINVAL, "a disk that is named twice");
	if (!rc && path)
		rc = (j->path[j->n] = strdup(path)) ? 0 : err_set(e, -ENOMEM, "no memory");
	if (!rc)
		c->path = j->path[j->n++];
	return rc;
}

static void job_free(struct live_job *j)
{
	for (unsigned i = 0; i < PC_DISKS; i++)
		free(j->path[i]);
	free(j);
}

/* Open them all, or none. */
static int open_all(struct live_job *j, struct err *e)
{
	int rc = 0;

	for (j->opened = 0; !rc && j->opened < j->n; j->opened += !rc)
		rc = live_open(&j->c[j->opened], e);
	return rc;
}

/* The first error counts. */
static int close_all(struct live_job *j, int rc, struct err *e)
{
	for (unsigned i = 0; i < j->opened; i++) {
		int closed = live_close(&j->c[i], rc ? NULL : e);

		rc = rc ? rc : closed;
		j->stun_ns += j->c[i].stun_ns;
	}
	j->opened = 0;
	return rc;
}

static int work(struct control_job *job, struct err *e)
{
	struct live_job *j = (struct live_job *)job;
	int rc = open_all(j, e);

	if (!rc)
		rc = live_switch(j->c, j->n, &j->stun_ns, e);
	return close_all(j, rc, e);
}

static int end(struct control_job *job, int rc, struct json *out, struct err *e)
{
	struct live_job *j = (struct live_job *)job;

	json_put_u64(out, "stun_ns", j->stun_ns);
	job_free(j);
	return rc;
}

static struct live_job *job_new(struct err *e)
{
	struct live_job *j = calloc(1, sizeof(*j));

	if (!j)
		err_set(e, -ENOMEM, "no memory");
	else
		j->job = (struct control_job){ .work = work, .end = end };
	return j;
}

static int start(struct pc *pc, struct ctl_request *r, struct live_job *j, int rc,
		 struct err *e)
{
	if (!rc)
		return control_start(pc, r, &j->job, e);
	job_free(j);
	return rc;
}

/* A list of {"top":..., "path":...}. */
static int add_all(struct pc *pc, struct live_job *j, enum live_kind kind, const json_t *args,
		   struct err *e)
{
	const json_t *list = json_object_get(args, "disks");
	size_t n = json_array_size(list);
	int rc = 0;

	if (n < 1 || n > PC_DISKS)
		return err_set(e, -EINVAL, "\"disks\" is not a list of 1 to %u disks", PC_DISKS);
	for (size_t i = 0; !rc && i < n; i++) {
		const json_t *o = json_array_get(list, i);
		const char *path;

		rc = ctl_text(o, "path", &path, e);
		if (!rc)
			rc = add(pc, j, kind, o, "path", e);
	}
	return rc;
}

int live_push(void *pc, struct ctl_request *r, struct json *out, struct err *e)
{
	struct live_job *j;
	int rc = control_busy(pc, e);

	if (rc || !(j = job_new(e)))
		return e->code;
	return start(pc, r, j, add_all(pc, j, LIVE_PUSH, r->args, e), e);
}

int live_rebase(void *pc, struct ctl_request *r, struct json *out, struct err *e)
{
	struct live_job *j;
	uint64_t cid;
	int rc = control_busy(pc, e);

	if (rc || !(j = job_new(e)))
		return e->code;
	rc = ctl_number(r->args, "parent_cid", UINT32_MAX, &cid, e);
	if (!rc)
		rc = add(pc, j, LIVE_REBASE, r->args, "hint", e);
	j->c[0].parent_cid = (uint32_t)cid;
	return start(pc, r, j, rc, e);
}

int live_fold(void *pc, struct ctl_request *r, struct json *out, struct err *e)
{
	uint64_t bytes, ns;
	struct live_job *j;
	int rc = control_busy(pc, e);

	if (rc || !(j = job_new(e)))
		return e->code;
	rc = ctl_number(r->args, "bytes_max", INT64_MAX, &bytes, e);
	if (!rc)
		rc = ctl_number(r->args, "stun_max_ns", INT64_MAX, &ns, e);
	if (!rc)
		rc = add(pc, j, LIVE_FOLD, r->args, NULL, e);
	if (!rc) {
		j->c[0].bytes_max = bytes;
		j->c[0].stun_max_ns = ns;
	}
	return start(pc, r, j, rc, e);
}

int live_pace(void *pc, struct ctl_request *r, struct json *out, struct err *e)
{
	struct disk_paced was;
	struct disk_pace p;
	struct disk *d;
	int rc = control_busy(pc, e);

	if (!rc)
		rc = ctl_number(r->args, "bytes_s", INT64_MAX, &p.bytes_s, e);
	if (!rc)
		rc = ctl_number(r->args, "delay_max_ns", INT64_MAX, &p.delay_max_ns, e);
	if (!rc)
		rc = ctl_number(r->args, "lease_ns", INT64_MAX, &p.lease_ns, e);
	if (!rc)
		rc = find_disk(pc, r->args, &d, e);
	if (rc)
		return rc;
	disk_pace(d, &p, &was);
	json_put_u64(out, "delayed", was.writes);
	json_put_u64(out, "delay_ns", was.delay_ns);
	json_put_u64(out, "longest_ns", was.longest_ns);
	return 0;
}

/* --- reverting ----------------------------------------------------------------------- */

/* Other disks in the place of these are for a machine that begins anew. */
static int work_revert(struct control_job *job, struct err *e)
{
	struct live_job *j = (struct live_job *)job;
	int rc = open_all(j, e);

	return rc ? close_all(j, rc, e) : 0;
}

static int end_revert(struct control_job *job, int rc, struct json *out, struct err *e)
{
	struct live_job *j = (struct live_job *)job;

	if (!rc && !j->waits) {
		j->waits = true;
		job->pc->at_reset = j;
		return CTL_LATER;
	}
	job->pc->at_reset = NULL;
	return end(job, close_all(j, rc, e), out, e);
}

void live_at_reset(struct pc *pc)
{
	struct live_job *j = pc->at_reset;
	struct err e;
	int rc;

	if (!j)
		return;
	pc->at_reset = NULL;
	rc = live_switch(j->c, j->n, &j->stun_ns, &e);
	control_again(pc, close_all(j, rc, &e), &e);
}

int live_revert(void *pc, struct ctl_request *r, struct json *out, struct err *e)
{
	struct live_job *j;
	int rc = control_busy(pc, e);

	if (rc || !(j = job_new(e)))
		return e->code;
	j->job.work = work_revert;
	j->job.end = end_revert;
	return start(pc, r, j, add_all(pc, j, LIVE_REPLACE, r->args, e), e);
}
