#include "vmx/snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/disk.h"
#include "disk/files.h"
#include "disk/hold.h"
#include "vmx/snapshot_impl.h"
#include "vmx/state.h"

static int no_memory(struct err *e) { return err_set(e, -ENOMEM, "no memory"); }

char *snapshots_name(const char *file, const char *path)
{
	char *name;

	if (asprintf(&name, "%.*s%s", (int)(disk_base_name(file) - file), file, disk_base_name(path)) < 0)
		return NULL;
	return name;
}

/* The tree */

static int refer(const struct machine *m, struct tree *t, const char *file, struct err *e)
{
	char *path;
	int rc = machine_path(m, file, &path, e);

	if (rc)
		return rc;
	rc = tree_refer(t, path, NULL, e);
	free(path);
	return rc;
}

int snapshots_tree(const struct machine *m, struct tree *t, struct err *e)
{
	int rc = 0;

	tree_init(t, m->o.outside);
	for (size_t i = 0; !rc && i < m->n; i++) {
		if (!m->disk[i].independent)
			rc = refer(m, t, m->disk[i].file, e);
		else
			tree_refer(t, m->disk[i].path, NULL, NULL);
	}
	for (unsigned i = 0; !rc && i < m->vmsd->n; i++)
		for (unsigned k = 0; !rc && k < m->vmsd->snap[i].ndisks; k++)
			rc = refer(m, t, m->vmsd->snap[i].disk[k].file, e);
	if (!rc)
		rc = tree_find_foreign(t, m->folder, e);
	if (rc)
		tree_free(t);
	return rc;
}

/* New layers */

struct making {
	struct machine *m;
	struct err *e;
	int rc;
};

static void will_make(void *ptr, const char *path)
{
	struct making *k = ptr;

	machine_say(k->m, MACHINE_CREATE, path, NULL);
	if (!k->rc && !k->m->o.dry)
		k->rc = journal_unlink(k->m->journal, path, k->e);
}

int snapshots_layer(struct machine *m, size_t i, const char *file, struct err *e)
{
	struct making k = { .m = m, .e = e };
	char *frozen = NULL, *path = NULL, *name = NULL;
	int rc = machine_path(m, file, &frozen, e);

	if (!rc)
		rc = snapshot_name(&path, frozen, e);
	if (!rc)
		rc = snapshot_add(path, frozen, m->o.outside, true, will_make, &k, e);
	if (!rc)
		rc = k.rc;
	if (!rc && !m->o.dry) {
		rc = journal_prepare(m->journal, e);
		if (!rc)
			rc = snapshot_add(path, frozen, m->o.outside, false, NULL, NULL, e);
		name = snapshots_name(file, path);
		if (!rc && m->disk[i].live && !(m->disk[i].was = strdup(m->disk[i].path)))
			rc = no_memory(e);
		if (!rc)
			rc = name ? machine_set_top(m, i, name, e) : no_memory(e);
	}
	free(name);
	free(path);
	free(frozen);
	return rc;
}

int snapshots_undo(struct machine *m, int rc)
{
	struct err ignored;

	if (rc && !m->o.dry)
		journal_undo(m->journal, &ignored);
	return rc;
}

/* Removing */

static int will_remove(struct machine *m, const char *path, struct err *e)
{
	machine_say(m, MACHINE_REMOVE, path, NULL);
	return m->o.dry ? 0 : journal_unlink(m->journal, path, e);
}

static int refuse_held(const struct machine *m, const struct image *im, struct err *e)
{
	const struct machine_live *live = m->o.live;

	/* Who only looks has not asked whether it runs. */
	return m->o.dry ? 0 : image_refuse_held(im, live ? live->pid(live->ptr) : 0, e);
}

int snapshots_refuse_held(const struct machine *m, const char *path, struct err *e)
{
	struct disk_opts o = {
		.no_parent = true, .no_lock = true, .no_extents = true,
		.allow_outside = m->o.outside,
	};
	struct image *im;
	int rc = image_open(&im, path, &o, e);

	if (rc)
		return rc;
	rc = refuse_held(m, im, e);
	image_close(im);
	return rc;
}

int snapshots_unlink(struct machine *m, const char *path, struct err *e)
{
	struct disk_opts o = {
		.no_parent = true, .no_lock = true, .no_extents = true,
		.allow_outside = m->o.outside,
	};
	struct disk_files files = { .n = 0 };
	struct image *im;
	int rc = image_open(&im, path, &o, e);

	if (rc)
		return rc;
	rc = refuse_held(m, im, e);
	if (!rc)
		rc = disk_files_of(&files, im, &o, e);
	for (size_t i = 0; !rc && i < files.n; i++)
		rc = will_remove(m, files.path[i], e);
	disk_files_free(&files);
	image_close(im);
	return rc;
}

/* All layers that nothing needs any more. */
static int remove_dead(struct machine *m, struct tree *t, struct err *e)
{
	int i, rc = 0;

	while (!rc && (i = tree_dead(t)) >= 0) {
		rc = snapshots_unlink(m, t->layer[i].path, e);
		tree_remove(t, i);
	}
	return rc;
}

/* Creating */

/* The disks that are to be in a snapshot; *n of them. */
static int frozen_disks(const struct machine *m, struct vmsd_disk **disks, unsigned *n,
			struct err *e)
{
	*n = 0;
	*disks = calloc(m->n + 1, sizeof(**disks));
	if (!*disks)
		return no_memory(e);
	for (size_t i = 0; i < m->n; i++) {
		if (m->disk[i].independent)
			continue;
		(*disks)[*n].node = m->disk[i].node;
		(*disks)[(*n)++].file = m->disk[i].file;
	}
	if (*n)
		return 0;
	free(*disks);
	return err_set(e, -EINVAL, "%.150s: no disk that takes part in snapshots", m->path);
}

static int check_depth(const struct machine *m, struct err *e)
{
	struct tree t;
	int rc = snapshots_tree(m, &t, e);

	for (size_t i = 0; !rc && i < m->n; i++) {
		int l = tree_find(&t, m->disk[i].path);

		if (!m->disk[i].independent && l >= 0 && tree_depth(&t, l) >= DISK_LAYERS)
			rc = err_set(e, -EINVAL, "%.150s: %u layers are the most", m->disk[i].path,
				     DISK_LAYERS);
	}
	tree_free(&t);
	return rc;
}

/* Nothing that the tables of a layer point to is missing.  What is flat is as long as it has
 * to be, or was not opened. */
static int check_tables(struct image *im, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; !rc && im->desc && i < im->next && i < im->desc->nextents; i++) {
		enum desc_type t = im->desc->extent[i].type;
		struct extent *x = im->ext[i];
		struct disk_run run;

		if (!x->file || (t != DESC_SPARSE && t != DESC_VMFSSPARSE && t != DESC_SESPARSE))
			continue;
		for (uint64_t at = 0; !rc && at < x->size; at += run.len)
			rc = x->ops->map(x, at, x->size - at, &run, e);
	}
	return rc;
}

/* Every disk can be opened, with all its parents: what is frozen is whole. */
static int check_disks(const struct machine *m, struct err *e)
{
	struct disk_opts o = { .no_lock = true, .allow_outside = m->o.outside };
	struct disk *d;
	int rc = 0;

	for (size_t i = 0; !rc && i < m->n; i++) {
		if (m->disk[i].independent || m->disk[i].live)
			continue;
		rc = disk_open(&d, m->disk[i].path, &o, e);
		if (rc)
			break;
		rc = check_tables(disk_layer(d, disk_layers(d) - 1), e);
		disk_close(d, NULL);
	}
	return rc;
}

static int add_to_list(struct machine *m, const char *name, const char *description,
		       uint64_t time_us, uint32_t *uid, struct err *e)
{
	struct vmsd_snap s = {
		.name = (char *)name, .description = (char *)description, .time_us = time_us,
	};
	uint32_t last = m->vmsd->last_uid;
	int rc = frozen_disks(m, &s.disk, &s.ndisks, e);

	if (rc)
		return rc;
	for (unsigned i = 0; i < m->vmsd->n; i++)
		last = m->vmsd->snap[i].uid > last ? m->vmsd->snap[i].uid : last;
	s.file = state_name(m, last + 1);
	rc = s.file ? vmsd_add(m->vmsd, &s, uid, e) : no_memory(e);
	free(s.file);
	free(s.disk);
	return rc;
}

/* New files: one for the configuration, if there is one, and a layer for each disk. */
static int freeze(struct machine *m, uint32_t uid, struct err *e)
{
	char *path = NULL, *text = NULL;
	size_t len = 0;
	int rc = 0;

	if (m->vmx) {
		text = dict_text(m->vmx, &len);
		rc = text ? state_path(m, vmsd_by_uid(m->vmsd, uid)->file, &path, e) : no_memory(e);
	}
	if (!rc && path)
		machine_say(m, MACHINE_CREATE, path, NULL);
	if (!rc && path && !m->o.dry)
		rc = journal_unlink(m->journal, path, e);
	for (size_t i = 0; !rc && i < m->n; i++)
		if (!m->disk[i].independent)
			rc = snapshots_layer(m, i, m->disk[i].file, e);
	if (!rc && path && !m->o.dry)
		rc = state_save(path, text, len, e);
	free(path);
	free(text);
	return rc;
}

int snapshots_create(struct machine *m, const char *name, const char *description,
		     uint64_t time_us, uint32_t *uid, struct err *e)
{
	int rc = check_depth(m, e);

	if (!rc)
		rc = check_disks(m, e);
	if (!rc)
		rc = add_to_list(m, name, description, time_us, uid, e);
	if (!rc)
		rc = freeze(m, *uid, e);
	if (rc)
		return snapshots_undo(m, rc);
	if (!m->o.dry)
		rc = journal_made(m->journal, e);
	if (!rc)
		rc = machine_texts(m, e);
	if (rc)
		return snapshots_undo(m, rc);
	return m->o.dry ? 0 : snapshots_switch(m, m->o.live ? m->o.live->push : NULL, e);
}

/* Reverting */

static int disk_at(const struct machine *m, const char *node, size_t *i, struct err *e)
{
	for (*i = 0; *i < m->n; ++*i)
		if (!strcasecmp(m->disk[*i].node, node) && !m->disk[*i].independent)
			return 0;
	return err_set(e, -ENOENT, "%.100s has no disk at %.20s now, as the snapshot has", m->path,
		       node);
}

static void release(const struct machine *m, struct tree *t, size_t i)
{
	int l = tree_find(t, m->disk[i].path);

	if (l >= 0)
		tree_release(t, l);
}

/* The .vmx of the snapshot becomes the machine's, where it is known. */
static int revert_config(struct machine *m, struct tree *t, const struct vmsd_snap *s,
			 struct err *e)
{
	struct dict *d = NULL;
	int rc = m->vmx ? state_config(m, s->file, &d, e) : 0;

	m->config_kept = m->vmx && !d;
	if (!d)
		return rc;
	for (size_t i = 0; i < m->n; i++)
		if (!m->disk[i].independent)
			release(m, t, i);
	rc = machine_set_config(m, d, e);
	if (rc)
		dict_free(d);
	return rc;
}

/* A running machine keeps the disks that it has. */
static int check_live(const struct machine *m, const struct vmsd_snap *s, struct err *e)
{
	for (size_t i = 0; i < m->n; i++) {
		unsigned k = 0;

		while (k < s->ndisks && strcasecmp(s->disk[k].node, m->disk[i].node))
			k++;
		if (k == s->ndisks && m->disk[i].live)
			return err_set(e, -EBUSY, "%.100s: the snapshot has no disk at %.20s, the running "
				       "machine does: stop it first", m->path, m->disk[i].node);
	}
	return 0;
}

/* The present layers of all disks of s, then new ones on those that it froze. */
static int revert_disks(struct machine *m, struct tree *t, const struct vmsd_snap *s,
			struct err *e)
{
	int rc = check_live(m, s, e);
	size_t i = 0;

	if (!rc)
		rc = revert_config(m, t, s, e);

	for (unsigned k = 0; !rc && k < s->ndisks; k++)
		rc = disk_at(m, s->disk[k].node, &i, e);
	for (unsigned k = 0; !rc && k < s->ndisks; k++) {
		disk_at(m, s->disk[k].node, &i, e);
		if (!m->vmx || m->config_kept)
			release(m, t, i);
		rc = snapshots_layer(m, i, s->disk[k].file, e);
	}
	return rc;
}

int snapshots_revert(struct machine *m, const char *name, struct err *e)
{
	const struct vmsd_snap *s;
	struct tree t;
	int rc = vmsd_find(m->vmsd, name, &s, e);

	if (!rc)
		rc = snapshots_tree(m, &t, e);
	if (rc)
		return rc;
	rc = revert_disks(m, &t, s, e);
	if (!rc && !m->o.dry)
		rc = journal_made(m->journal, e);
	if (!rc)
		rc = vmsd_set_current(m->vmsd, s->uid, e);
	if (!rc)
		rc = machine_texts(m, e);
	if (!rc)
		rc = remove_dead(m, &t, e);
	tree_free(&t);
	if (rc)
		return snapshots_undo(m, rc);
	return m->o.dry ? 0 : snapshots_switch(m, m->o.live ? m->o.live->revert : NULL, e);
}

int snapshots_consolidate(struct machine *m, struct err *e)
{
	struct tree t;
	int rc = snapshots_tree(m, &t, e);

	if (rc)
		return rc;
	rc = snapshots_merge(m, &t, e);
	tree_free(&t);
	return rc;
}

int snapshots_pending(struct machine *m, bool *pending, struct err *e)
{
	struct tree t;
	int p, c, rc = snapshots_tree(m, &t, e);

	if (rc)
		return rc;
	*pending = tree_mergeable(&t, &p, &c);
	tree_free(&t);
	return 0;
}

/* Deleting */

/* What products keep beside the list for a snapshot: its state and memory. */
static int remove_state(struct machine *m, const struct vmsd_snap *s, struct err *e)
{
	static const char *const end[] = { "vmsn", "vmem" };
	char *path;
	int rc = state_path(m, s->file, &path, e);

	for (unsigned i = 0; !rc && path && i < 2; i++) {
		memcpy(path + strlen(path) - 4, end[i], 4);
		if (!access(path, F_OK))
			rc = will_remove(m, path, e);
	}
	free(path);
	return rc;
}

/* Take one snapshot from tree and list. */
static int drop(struct machine *m, struct tree *t, uint32_t uid, struct err *e)
{
	const struct vmsd_snap *s = vmsd_by_uid(m->vmsd, uid);
	int rc = 0;

	for (unsigned k = 0; !rc && k < s->ndisks; k++) {
		char *path;
		int i;

		rc = machine_path(m, s->disk[k].file, &path, e);
		if (rc)
			break;
		i = tree_find(t, path);
		if (i >= 0)
			tree_release(t, i);
		free(path);
	}
	if (!rc)
		rc = remove_state(m, s, e);
	return rc ? rc : vmsd_remove(m->vmsd, uid, e);
}

/* The snapshots that go: *n uids, which the caller frees. */
static int to_delete(const struct machine *m, const struct vmsd_snap *s, bool children,
		     uint32_t **uids, unsigned *n, struct err *e)
{
	const struct vmsd *v = m->vmsd;

	*n = 0;
	*uids = calloc(v->n, sizeof(**uids));
	if (!*uids)
		return no_memory(e);
	for (unsigned i = 0; i < v->n; i++) {
		const struct vmsd_snap *x = &v->snap[i];

		if (children ? !vmsd_descends(v, x, s->uid) : x != s)
			continue;
		if (x->clones) {
			free(*uids);
			return err_set(e, -EBUSY, "\"%.150s\": %u linked clones hang on it", x->name,
				       x->clones);
		}
		(*uids)[(*n)++] = x->uid;
	}
	return 0;
}

int snapshots_delete(struct machine *m, const char *name, bool children, struct err *e)
{
	const struct vmsd_snap *s;
	uint32_t *uids = NULL;
	unsigned n = 0;
	struct tree t;
	int rc = vmsd_find(m->vmsd, name, &s, e);

	if (!rc)
		rc = to_delete(m, s, children, &uids, &n, e);
	if (rc)
		return rc;
	rc = snapshots_tree(m, &t, e);
	if (rc) {
		free(uids);
		return rc;
	}
	for (unsigned i = 0; !rc && i < n; i++)
		rc = drop(m, &t, uids[i], e);
	free(uids);
	if (!rc)
		rc = remove_dead(m, &t, e);
	if (!rc)
		rc = merges_refuse_held(m, &t, e);
	if (!rc)
		rc = machine_texts(m, e);
	if (!rc && !m->o.dry)
		rc = journal_commit(m->journal, e);
	if (!rc && (rc = snapshots_merge(m, &t, e)))
		err_in(e, rc, "the snapshot is deleted, what is left is for consolidate");
	tree_free(&t);
	return rc;
}
