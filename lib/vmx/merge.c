/* Merging layers that no one needs with the ones that hang on them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/files.h"
#include "disk/lock.h"
#include "vmx/snapshot_impl.h"

static int no_memory(struct err *e) { return err_set(e, -ENOMEM, "no memory"); }

int merge_rename(struct machine *m, const struct tree *t, int c, int p, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < m->n; i++) {
		char *name;

		if (m->disk[i].independent || tree_find(t, m->disk[i].path) != c)
			continue;
		name = snapshots_name(m->disk[i].file, t->layer[p].path);
		rc = name ? machine_set_top(m, i, name, e) : no_memory(e);
		free(name);
	}
	/* Each change reads the list anew: positions stay what they are. */
	for (unsigned i = 0; !rc && i < m->vmsd->n; i++) {
		for (unsigned k = 0; !rc && k < m->vmsd->snap[i].ndisks; k++) {
			const char *file = m->vmsd->snap[i].disk[k].file;
			char *path, *name;

			rc = machine_path(m, file, &path, e);
			if (rc)
				break;
			if (tree_find(t, path) == c) {
				name = snapshots_name(file, t->layer[p].path);
				rc = !name ? no_memory(e) :
					vmsd_set_disk(m->vmsd, m->vmsd->snap[i].uid, k, name, e);
				free(name);
			}
			free(path);
		}
	}
	return rc;
}

/* Add a step: layer i hangs on layer p now (-1: on none). */
static int relink(struct machine *m, const struct tree *t, int i, int p, uint32_t cid,
		  struct err *e)
{
	struct snapshot_link l = { .has_parent = true, .parent_cid = CID_NONE };
	char *hint = NULL;
	int rc = 0;

	if (p >= 0) {
		l.parent_cid = cid;
		rc = disk_parent_hint(&hint, t->layer[i].path, t->layer[p].path, m->o.outside, e);
		l.hint = hint;
	}
	if (!rc)
		rc = journal_relink(m->journal, t->layer[i].path, &l, e);
	if (!rc)
		machine_say(m, MACHINE_CHANGE, t->layer[i].path, NULL);
	free(hint);
	return rc;
}

/* All data of child c are in its parent p. */
static int finish_down(struct machine *m, struct tree *t, int p, int c, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < t->n; i++)
		if (!t->layer[i].gone && t->layer[i].parent == c)
			rc = relink(m, t, (int)i, p, t->layer[p].cid, e);
	if (!rc)
		rc = merge_rename(m, t, c, p, e);
	if (!rc)
		rc = machine_texts(m, e);
	if (!rc)
		rc = snapshots_unlink(m, t->layer[c].path, e);
	return rc ? rc : journal_commit(m->journal, e);
}

/* Child c has all that it had from its parent p. */
static int finish_up(struct machine *m, struct tree *t, int p, int c, struct err *e)
{
	int rc = relink(m, t, c, t->layer[p].parent, t->layer[p].parent_cid, e);

	if (!rc)
		rc = snapshots_unlink(m, t->layer[p].path, e);
	return rc ? rc : journal_commit(m->journal, e);
}

int merge_new_id(struct machine *m, struct tree *t, int p, int c, struct err *e)
{
	struct snapshot_link child = { .has_parent = true }, parent = { .has_cid = true };
	int rc;

	if (m->renewed && !strcmp(m->renewed, t->layer[p].real))
		return 0;
	child.parent_cid = parent.cid = desc_new_cid(NULL);
	rc = journal_relink(m->journal, t->layer[c].path, &child, e);
	if (!rc)
		rc = journal_relink(m->journal, t->layer[p].path, &parent, e);
	if (!rc)
		rc = journal_commit(m->journal, e);
	if (rc)
		return rc;
	t->layer[p].cid = t->layer[c].parent_cid = parent.cid;
	free(m->renewed);
	m->renewed = strdup(t->layer[p].real);
	return 0;
}

struct merging {
	struct machine *m;
	const char *into;
};

static bool progress(void *ptr, uint64_t done, uint64_t total)
{
	struct merging *g = ptr;

	snapshots_keep_pace(g->m);
	return !g->m->o.progress || g->m->o.progress(g->m->o.ptr, g->into, done, total);
}

static int checkpoint(void *ptr, uint64_t done, struct err *e)
{
	return journal_merge_done(((struct merging *)ptr)->m->journal, done, e);
}

/* The cheaper way; a base stays what others know it as, unless it cannot be written to.
 * The running machine's view of its layers allows both, and looks at one less by down. */
static int choose_way(const struct machine *m, const struct tree *t, int p, int c, bool *down,
		      struct err *e)
{
	uint64_t d, u;
	int rc = snapshot_cost(t->layer[c].path, t->layer[p].path, m->o.outside, &d, &u, e);

	if (rc)
		return rc;
	if (tree_has_foreign(t, c))
		d = UINT64_MAX;
	if (d == UINT64_MAX && u == UINT64_MAX)
		return err_set(e, -ENOTSUP, "%.90s and %.90s cannot be merged in place",
			       t->layer[c].path, t->layer[p].path);
	*down = d != UINT64_MAX && (!t->layer[p].layered || d <= u || m->o.live);
	return 0;
}

/* A layer that is written to is locked, as a present one is: who wants to use a disk above
 * it meanwhile is told.  NULL: it is a present one. */
static int lock_layer(const struct machine *m, const struct tree *t, int l,
		      struct disk_lock **lock, struct err *e)
{
	*lock = NULL;
	for (size_t i = 0; i < m->n; i++)
		if (m->disk[i].lock && tree_find(t, m->disk[i].path) == l)
			return 0;
	return disk_lock(lock, t->layer[l].path, e);
}

int merge_refuse_held(const struct machine *m, const struct tree *t, int p, int c, struct err *e)
{
	int rc = snapshots_refuse_held(m, t->layer[p].path, e);

	return rc ? rc : snapshots_refuse_held(m, t->layer[c].path, e);
}

/* Do what choose_way() says. */
static int merge_data(struct machine *m, struct tree *t, int p, int c, bool down, struct err *e)
{
	const char *parent = t->layer[p].path, *child = t->layer[c].path;
	struct merging g = { .m = m, .into = down ? parent : child };
	struct snapshot_job job = {
		.outside = m->o.outside, .ptr = &g, .progress = progress, .checkpoint = checkpoint,
	};
	struct journal_merge jm = {
		.child = disk_base_name(child), .parent = disk_base_name(parent), .down = down,
		.cid = t->layer[c].cid,
	};
	struct disk_lock *lock;
	uint64_t from = 0;
	bool found;
	int rc = lock_layer(m, t, down ? p : c, &lock, e);

	if (!rc)
		rc = merge_refuse_held(m, t, p, c, e);
	if (!rc)
		rc = journal_merge_find(m->journal, &jm, &found, &from, e);
	if (!rc && !found && down)
		rc = merge_new_id(m, t, p, c, e);
	if (!rc)
		rc = journal_merge_begin(m->journal, &jm, from, e);
	if (!rc)
		rc = snapshot_merge(child, parent, down, from, &job, e);
	disk_unlock(lock);
	if (!rc)
		rc = journal_made(m->journal, e);
	return rc;
}

/* Running machines have layers open that are not there any more, unless the top of their
 * disk was told that it hangs on another. */
static void mark_stale(struct machine *m, const struct tree *t, int c, bool down)
{
	for (size_t i = 0; i < m->n; i++) {
		int l = m->disk[i].live ? tree_find(t, m->disk[i].path) : -1, top = l;

		while (l >= 0 && l != c)
			l = t->layer[l].parent;
		if (l >= 0)
			m->disk[i].stale = !down || t->layer[top].parent != c;
	}
}

int merges_refuse_held(const struct machine *m, const struct tree *t, struct err *e)
{
	struct tree copy = *t;
	int p, c, rc = 0;

	copy.layer = reallocarray(NULL, t->n, sizeof(*t->layer));
	if (!copy.layer)
		return no_memory(e);
	memcpy(copy.layer, t->layer, t->n * sizeof(*t->layer));
	while (!rc && tree_mergeable(&copy, &p, &c)) {
		rc = merge_refuse_held(m, t, p, c, e);
		tree_merged(&copy, p, c, true);
	}
	free(copy.layer);
	return rc;
}

static int merge(struct machine *m, struct tree *t, int p, int c, struct err *e)
{
	const char *parent = t->layer[p].path, *child = t->layer[c].path;
	bool down = false;
	int rc = choose_way(m, t, p, c, &down, e);

	if (rc)
		return rc;
	machine_say(m, MACHINE_MERGE, down ? child : parent, down ? parent : child);
	if (!m->o.dry) {
		rc = merge_data(m, t, p, c, down, e);
		if (!rc)
			rc = (down ? finish_down : finish_up)(m, t, p, c, e);
		mark_stale(m, t, c, down);
	}
	if (!rc)
		tree_merged(t, p, c, down);
	return rc;
}

/* The running machine opens what is below the top of disk i anew. */
static int refresh(struct machine *m, size_t i, struct err *e)
{
	struct disk_opts o = {
		.no_parent = true, .no_lock = true, .no_extents = true, .allow_outside = m->o.outside,
	};
	const struct machine_live *live = m->o.live;
	struct image *im;
	int rc = image_open(&im, m->disk[i].path, &o, e);

	if (rc)
		return rc;
	if (im->desc->parent_cid != CID_NONE)
		rc = live->rebase(live->ptr, m->disk[i].path, im->desc->parent_cid, im->desc->parent, e);
	m->disk[i].stale = false;
	image_close(im);
	return rc;
}

int snapshots_merge(struct machine *m, struct tree *t, struct err *e)
{
	int p, c, rc = 0;

	while (!rc && tree_mergeable(t, &p, &c)) {
		size_t i = m->o.dry ? m->n : snapshots_live(m, t, c);
		bool merged;

		if (i == m->n) {
			rc = merge(m, t, p, c, e);
			continue;
		}
		rc = snapshots_fold(m, t, p, c, i, &merged, e);
		if (!rc && merged)
			tree_merged(t, p, c, true);
	}
	snapshots_end_pace(m);
	for (size_t i = 0; !rc && i < m->n; i++)
		if (m->disk[i].stale)
			rc = refresh(m, i, e);
	return rc;
}
