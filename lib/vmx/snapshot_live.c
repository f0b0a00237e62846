/* Snapshots of disks that a running machine has: it is told to go on in other layers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "disk/snapshot.h"
#include "vmx/snapshot_impl.h"

#define PACE_MIN (64u << 10)	/* bytes a second: slower helps no more */
#define AGAIN_NS (2 * NS_PER_SEC)	/* a machine is told so often that it is to be slow */
#define ROUNDS 32u	/* in which what the guest writes meanwhile is to become little */

static int no_memory(struct err *e) { return err_set(e, -ENOMEM, "no memory"); }

/*
 * The machine was told, and said told.  Whether it did is found out, and the journal is
 * done with; a machine that died did or did not.
 */
static int settle(struct machine *m, int told, bool *happened, struct err *e)
{
	struct err why = *e;
	int rc;

	*happened = !told;
	rc = told ? journal_settle(m->journal, happened, e) : journal_commit(m->journal, e);
	if (rc || !told || (*happened && told == -EPIPE))
		return rc;
	*e = why;
	return *happened ? err_in(e, told, "the disks have changed, but") : told;
}

int snapshots_switch(struct machine *m, live_fn *tell, struct err *e)
{
	struct live_pair *pair = calloc(m->n + 1, sizeof(*pair));
	unsigned n = 0;
	bool happened;
	int rc = pair ? 0 : no_memory(e);

	for (size_t i = 0; !rc && i < m->n; i++) {
		struct machine_disk *d = &m->disk[i];

		if (!d->was)
			continue;
		pair[n++] = (struct live_pair){ .top = d->was, .path = d->path };
		rc = journal_switching(m->journal, d->path, e);
	}
	if (!rc && !n)
		rc = journal_commit(m->journal, e);
	else if (!rc && !(rc = journal_switch(m->journal, e)))
		rc = settle(m, tell(m->o.live->ptr, pair, n, e), &happened, e);
	free(pair);
	for (size_t i = 0; i < m->n; i++) {
		free(m->disk[i].was);
		m->disk[i].was = NULL;
	}
	return rc;
}

size_t snapshots_live(const struct machine *m, const struct tree *t, int c)
{
	size_t i = 0;

	while (i < m->n && !(m->disk[i].live && tree_find(t, m->disk[i].path) == c))
		i++;
	return i;
}

/* Its parent takes its place, if it is little. */
static int fold(struct machine *m, struct tree *t, int p, int c, size_t i, struct err *e)
{
	const struct machine_live *live = m->o.live;
	const char *child = t->layer[c].path, *parent = t->layer[p].path;
	char *file = strdup(m->disk[i].file);
	bool happened = false;
	int rc = file ? merge_refuse_held(m, t, p, c, e) : no_memory(e);

	if (!rc)
		rc = merge_new_id(m, t, p, c, e);
	if (!rc)
		rc = journal_switching(m->journal, parent, e);
	if (!rc)
		rc = merge_rename(m, t, c, p, e);
	if (!rc)
		rc = machine_texts(m, e);
	if (!rc)
		rc = snapshots_unlink(m, child, e);
	if (!rc && !(rc = journal_switch(m->journal, e)))
		rc = settle(m, live->fold(live->ptr, child, e), &happened, e);
	if (!happened && file && strcmp(file, m->disk[i].file)) {
		int back = machine_set_top(m, i, file, rc ? NULL : e);

		rc = rc ? rc : back;
	}
	free(file);
	if (happened)
		m->disk[i].stale = false;
	return rc;
}

/* What the guest writes goes to a new layer from now on. */
static int freeze(struct machine *m, size_t i, struct err *e)
{
	int rc = snapshots_layer(m, i, m->disk[i].file, e);

	if (!rc)
		rc = journal_made(m->journal, e);
	if (!rc)
		rc = machine_texts(m, e);
	if (rc)
		return snapshots_undo(m, rc);
	return snapshots_switch(m, m->o.live->push, e);
}

static void tell_pace(struct machine *m, struct machine_disk *d)
{
	const struct machine_live *live = m->o.live;
	struct err ignored;

	live->pace(live->ptr, d->path, d->pace, d->steps, &ignored);
	d->paced_ns = clock_ns();
}

void snapshots_keep_pace(struct machine *m)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->disk[i].pace && clock_ns() - m->disk[i].paced_ns > AGAIN_NS)
			tell_pace(m, &m->disk[i]);
}

void snapshots_end_pace(struct machine *m)
{
	for (size_t i = 0; i < m->n; i++) {
		if (!m->disk[i].pace)
			continue;
		m->disk[i].pace = 0;
		tell_pace(m, &m->disk[i]);
	}
}

/*
 * What the guest writes while a layer is merged is the next layer, which is to be at most half
 * as large.  Where it is not the guest gets half the speed that it had, by what came to be
 * in that layer, and half of that the next time; so it ends, however fast that is.
 *
 * bytes      in the layer that was frozen now
 */
static void slow_down(struct machine *m, struct machine_disk *d, uint64_t bytes)
{
	uint64_t now = clock_ns(), ms = (now - d->frozen_ns) / NS_PER_MS, rate;

	if (d->rounds > 1 && bytes > d->frozen_bytes / 2) {
		rate = bytes / (ms ? ms : 1) * 1000;
		if (d->pace && d->pace < rate)
			rate = d->pace;
		d->pace = rate / 2 > PACE_MIN ? rate / 2 : PACE_MIN;
		d->steps++;
	}
	d->frozen_bytes = bytes;
	d->frozen_ns = now;
	if (d->pace)
		tell_pace(m, d);
}

int snapshots_fold(struct machine *m, struct tree *t, int p, int c, size_t i, bool *merged,
		   struct err *e)
{
	uint64_t bytes;
	int rc;

	machine_say(m, MACHINE_MERGE, t->layer[c].path, t->layer[p].path);
	rc = fold(m, t, p, c, i, e);
	*merged = !rc;
	/* What the machine cannot do, such as making the parent larger, or writing to the top
	 * what its parent has, can be done to a layer that is frozen. */
	if (rc != -EAGAIN && (rc != -ENOTSUP || m->disk[i].rounds))
		return rc;
	if (m->disk[i].rounds++ == ROUNDS)
		return err_set(e, -EAGAIN, "%.120s: the guest writes faster than its disk is merged; "
			       "try again when it writes less", m->disk[i].path);
	rc = freeze(m, i, e);
	if (!rc)
		rc = snapshot_bytes(t->layer[c].path, m->o.outside, &bytes, e);
	if (rc)
		return rc;
	slow_down(m, &m->disk[i], bytes);
	tree_free(t);
	return snapshots_tree(m, t, e);
}
