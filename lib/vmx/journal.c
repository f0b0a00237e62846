#include "vmx/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/lock.h"

#define STEPS_MAX 65536u

struct journal {
	char *path, *vmsd, *vmx;
	char *folder;		/* real path of the folder, with a slash */
	bool outside;
	const struct machine_live *live;	/* NULL: none */
	struct dict *next;	/* steps that were added */
	unsigned steps;
	unsigned undos, switches;	/* in next, too */
	char **made;		/* the undos: files that were prepared */
	unsigned nmade;
};

static const char *const phase_name[] = {
	[JOURNAL_PREPARE] = "prepare", [JOURNAL_COMMIT] = "commit", [JOURNAL_MERGE] = "merge",
	[JOURNAL_SWITCH] = "switch",
};

static int no_memory(struct err *e) { return err_set(e, -ENOMEM, "no memory"); }

static void forget_made(struct journal *j)
{
	for (unsigned i = 0; i < j->nmade; i++)
		free(j->made[i]);
	free(j->made);
	j->made = NULL;
	j->nmade = 0;
}

static int begin(struct journal *j, struct err *e)
{
	dict_free(j->next);
	j->next = NULL;
	j->steps = j->undos = j->switches = 0;
	return dict_parse(&j->next, j->path, "", 0, e);
}

int journal_new(struct journal **out, const char *vmsd, const char *vmx, bool outside,
		struct err *e)
{
	struct journal *j = calloc(1, sizeof(*j));
	char *copy = strdup(vmsd), *slash = copy ? strrchr(copy, '/') : NULL, *real;
	int rc = 0;

	if (slash)
		slash[1] = 0;
	real = realpath(slash ? copy : ".", NULL);
	if (!real)
		rc = err_sys(e, -errno, "%.180s", slash ? copy : ".");
	if (!rc && (!j || !copy || !(j->vmsd = strdup(vmsd)) || (vmx && !(j->vmx = strdup(vmx))) ||
		    asprintf(&j->path, "%s.journal", vmsd) < 0 ||
		    asprintf(&j->folder, "%s/", strcmp(real, "/") ? real : "") < 0))
		rc = no_memory(e);
	free(real);
	free(copy);
	if (!rc) {
		j->outside = outside;
		rc = begin(j, e);
	}
	if (rc) {
		journal_free(j);
		return rc;
	}
	*out = j;
	return 0;
}

void journal_set_live(struct journal *j, const struct machine_live *live)
{
	j->live = live;
}

void journal_free(struct journal *j)
{
	if (!j)
		return;
	dict_free(j->next);
	forget_made(j);
	free(j->path);
	free(j->vmsd);
	free(j->vmx);
	free(j->folder);
	free(j);
}

/* Files */

/* How the journal names a file. */
static int name_of(const struct journal *j, const char *path, char **name, struct err *e)
{
	const char *slash = strrchr(path, '/');
	size_t n = strlen(j->folder);
	char *folder, *real;

	folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	real = folder ? realpath(folder, NULL) : NULL;
	free(folder);
	if (!real)
		return err_sys(e, -errno, "%.180s", path);
	/* realpath() ends without a slash, but for the root. */
	if (!strncmp(real, j->folder, n - 1) && (!real[n - 1] || !strcmp(j->folder, real)))
		*name = strdup(slash ? slash + 1 : path);
	else if (asprintf(name, "%s/%s", real, slash ? slash + 1 : path) < 0)
		*name = NULL;
	free(real);
	if (!*name)
		return no_memory(e);
	if (**name == '/' && !j->outside) {
		free(*name);
		return err_set(e, -EPERM, "%.150s lies in another folder", path);
	}
	return 0;
}

/* The path of a file that the journal names. */
static int path_of(const struct journal *j, const char *name, char **path, struct err *e)
{
	static const char *const ends[] = { ".vmdk", ".vmsn", ".vmem" };
	size_t n = strlen(name);
	bool known = false;

	for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		known |= n > 5 && !strcasecmp(name + n - 5, ends[i]);
	if (!known)
		return err_set(e, -EBADMSG, "%.100s: \"%.60s\" is no file of a disk", j->path, name);
	if (strchr(name, '/') && !(j->outside && name[0] == '/'))
		return err_set(e, -EPERM, "%.100s: \"%.60s\" lies in another folder", j->path, name);
	if (asprintf(path, "%s%s", name[0] == '/' ? "" : j->folder, name) < 0)
		return no_memory(e);
	return 0;
}

static int save(const struct journal *j, struct dict *d, struct err *e)
{
	size_t len;
	char *text = dict_text(d, &len);
	int rc = text ? 0 : no_memory(e);

	/* What is longer nobody could read again after a crash. */
	if (!rc && len > DICT_MAX)
		rc = err_set(e, -EFBIG, "%.150s: the change takes %zu bytes, %u are the most", j->path,
			     len, DICT_MAX);
	if (!rc)
		rc = file_replace(j->path, text, len, e);
	free(text);
	return rc;
}

static int forget(struct journal *j, struct err *e)
{
	if (unlink(j->path) && errno != ENOENT)
		return err_sys(e, -errno, "%.180s", j->path);
	return file_sync_dir(j->path, e);
}

/* Reading */

static int load(const struct journal *j, struct dict **d, enum journal_phase *phase,
		struct err *e)
{
	const char *s;
	int rc = dict_load(d, j->path, e);

	*phase = JOURNAL_NONE;
	if (rc)
		*d = NULL;
	if (rc == -ENOENT)
		return 0;
	if (rc)
		return rc;
	s = dict_get(*d, "phase");
	for (unsigned i = JOURNAL_PREPARE; s && i <= JOURNAL_SWITCH; i++)
		if (!strcmp(s, phase_name[i]))
			*phase = (enum journal_phase)i;
	if (*phase == JOURNAL_NONE) {
		rc = dict_err(*d, "phase", e, -EBADMSG, "no phase that is known here");
		dict_free(*d);
		*d = NULL;
	}
	return rc;
}

int journal_phase(const struct journal *j, enum journal_phase *phase, struct err *e)
{
	struct dict *d;
	int rc = load(j, &d, phase, e);

	if (!rc)
		dict_free(d);
	return rc;
}

static const char *step(const struct dict *d, unsigned i, const char *what, char key[static 64])
{
	snprintf(key, 64, "step%u.%s", i, what);
	return dict_get(d, key);
}

/* What a crash left of file_replace(). */
static int unlink_tmp(const char *path, struct err *e)
{
	char *tmp;
	int rc = 0;

	if (asprintf(&tmp, "%s.tmp", path) < 0)
		return no_memory(e);
	if (unlink(tmp) && errno != ENOENT)
		rc = err_sys(e, -errno, "%.180s", tmp);
	free(tmp);
	return rc;
}

static int step_unlink(const struct journal *j, const char *name, struct err *e)
{
	char *path;
	int rc = path_of(j, name, &path, e);

	if (rc)
		return rc;
	if (unlink(path) && errno != ENOENT)
		rc = err_sys(e, -errno, "%.180s", path);
	if (!rc)
		rc = unlink_tmp(path, e);
	/* The lock that a crash left, if it is that; this process's own goes later. */
	disk_lock_clear(path, NULL);
	free(path);
	return rc;
}

static int relink(const struct journal *j, const char *path, const struct snapshot_link *l,
		  struct err *e)
{
	bool is = false;
	int rc = j->live ? j->live->find(j->live->ptr, path, &is, e) : 0;

	if (rc)
		return rc;
	/* Only a layer on which others hang gets another id or loses its parent. */
	if (is && l->has_parent && !l->has_cid && l->parent_cid != CID_NONE)
		return j->live->rebase(j->live->ptr, path, l->parent_cid, l->hint, e);
	return snapshot_relink(path, l, j->outside, e);
}

static int step_relink(const struct journal *j, const struct dict *d, unsigned i,
		       const char *name, struct err *e)
{
	struct snapshot_link l = { .has_cid = false };
	uint64_t n;
	char key[64], *path;
	int rc = 0;

	if (step(d, i, "cid", key)) {
		rc = dict_number(d, key, UINT32_MAX, &n, e);
		l.has_cid = true;
		l.cid = (uint32_t)n;
	}
	if (!rc && step(d, i, "parentCID", key)) {
		rc = dict_number(d, key, UINT32_MAX, &n, e);
		l.has_parent = true;
		l.parent_cid = (uint32_t)n;
		l.hint = step(d, i, "hint", key);
	}
	if (!rc)
		rc = path_of(j, name, &path, e);
	if (rc)
		return rc;
	rc = relink(j, path, &l, e);
	free(path);
	return rc;
}

/* Step i, if it is one of those that remove files, or if it is none. */
static int do_step(const struct journal *j, const struct dict *d, unsigned i, bool removing,
		   struct err *e)
{
	char key[64];
	const char *name;

	name = step(d, i, "unlink", key);
	if (removing || name)
		return removing && name ? step_unlink(j, name, e) : 0;
	name = step(d, i, "relink", key);
	if (name)
		return step_relink(j, d, i, name, e);
	name = step(d, i, "vmsd", key);
	if (name)
		return file_replace(j->vmsd, name, strlen(name), e);
	name = step(d, i, "vmx", key);
	if (name && j->vmx)
		return file_replace(j->vmx, name, strlen(name), e);
	return dict_err(d, key, e, -EBADMSG, "step %u is none that is known here", i);
}

/* All steps of d, for which the file stands; files are removed when nothing names them
 * any more.  undo: that is all that may be done. */
static int do_steps(struct journal *j, const struct dict *d, bool undo, struct err *e)
{
	uint64_t n;
	char key[64];
	int rc = dict_number(d, "steps", STEPS_MAX, &n, e);

	for (unsigned i = 0; !rc && i < n; i++) {
		if (!undo)
			rc = do_step(j, d, i, false, e);
		else if (!step(d, i, "unlink", key))
			rc = dict_err(d, key, e, -EBADMSG, "step %u removes no file", i);
	}
	for (unsigned i = 0; !rc && i < n; i++)
		rc = do_step(j, d, i, true, e);
	return rc ? rc : forget(j, e);
}

/* Switches */

/* The list of a kind: entry i. */
static const char *listed(const struct dict *d, const char *kind, unsigned i, const char *what,
			  char key[static 64])
{
	snprintf(key, 64, "%s%u.%s", kind, i, what);
	return dict_get(d, key);
}

static int cid_of(const struct journal *j, const char *path, uint32_t *cid, struct err *e)
{
	struct disk_opts o = {
		.no_parent = true, .no_lock = true, .no_extents = true, .allow_outside = j->outside,
	};
	struct image *im;
	int rc = image_open(&im, path, &o, e);

	if (rc)
		return rc;
	*cid = im->desc ? im->desc->cid : 0;
	image_close(im);
	return 0;
}

/*
 * Does a machine go on in the file that entry i names, or has one done so?  If not it is
 * locked, so that none begins to after all: whoever asked it may have died a moment ago.
 */
static int look_at_switch(struct journal *j, const struct dict *d, unsigned i,
			  struct disk_lock **lock, bool *happened, struct err *e)
{
	char key[64], *path;
	const char *name = listed(d, "switch", i, "file", key);
	uint64_t noted;
	uint32_t cid;
	bool live = false;
	int rc;

	if (!name)
		return dict_err(d, key, e, -EBADMSG, "is missing");
	rc = path_of(j, name, &path, e);
	if (rc)
		return rc;
	listed(d, "switch", i, "cid", key);
	rc = dict_number(d, key, UINT32_MAX, &noted, e);
	if (!rc)
		rc = disk_lock(lock, path, e);
	if (rc == -EBUSY && j->live) {
		struct err held = *e;

		rc = j->live->find(j->live->ptr, path, &live, e);
		if (!rc && !live) {
			*e = held;
			rc = -EBUSY;
		}
	} else if (!rc) {
		rc = cid_of(j, path, &cid, e);
		live = !rc && cid != noted;
		rc = rc == -ENOENT ? 0 : rc;
	}
	*happened |= live;
	free(path);
	return rc;
}

static int settle_as(struct journal *j, struct dict *d, bool happened, struct err *e)
{
	uint64_t n;
	char key[64];
	int rc;

	if (happened) {
		rc = dict_set(d, "phase", phase_name[JOURNAL_COMMIT], e);
		if (!rc)
			rc = save(j, d, e);
		return rc ? rc : do_steps(j, d, false, e);
	}
	rc = dict_number(d, "undos", STEPS_MAX, &n, e);
	for (unsigned i = 0; !rc && i < n; i++) {
		const char *name = listed(d, "undo", i, "unlink", key);

		rc = name ? step_unlink(j, name, e) :
			dict_err(d, key, e, -EBADMSG, "is missing");
	}
	return rc ? rc : forget(j, e);
}

static int settle(struct journal *j, struct dict *d, bool *happened, struct err *e)
{
	struct disk_lock **lock;
	struct err mine;
	uint64_t n;
	int rc;

	e = e ? e : &mine;
	*happened = false;
	rc = dict_number(d, "switches", STEPS_MAX, &n, e);
	if (rc)
		return rc;
	lock = calloc(n + 1, sizeof(*lock));
	if (!lock)
		return no_memory(e);
	for (unsigned i = 0; !rc && i < n; i++)
		rc = look_at_switch(j, d, i, &lock[i], happened, e);
	if (!rc)
		rc = settle_as(j, d, *happened, e);
	for (unsigned i = 0; i < n; i++)
		disk_unlock(lock[i]);
	free(lock);
	return rc;
}

int journal_settle(struct journal *j, bool *happened, struct err *e)
{
	int rc = settle(j, j->next, happened, e);

	return rc ? rc : begin(j, e);
}

int journal_recover(struct journal *j, bool *changed, struct err *e)
{
	enum journal_phase phase;
	struct dict *d;
	int rc = load(j, &d, &phase, e);

	*changed = false;
	if (!rc)
		rc = unlink_tmp(j->path, e);
	if (rc || !d) {
		dict_free(d);
		return rc;
	}
	if (phase == JOURNAL_SWITCH) {
		bool happened;

		*changed = true;
		rc = settle(j, d, &happened, e);
	} else if (phase != JOURNAL_MERGE) {
		*changed = true;
		rc = do_steps(j, d, phase == JOURNAL_PREPARE, e);
	}
	dict_free(d);
	return rc;
}

/* Writing */

static int add(struct journal *j, const char *what, const char *value, struct err *e)
{
	char key[64];

	snprintf(key, sizeof(key), "step%u.%s", j->steps, what);
	return dict_set(j->next, key, value, e);
}

static int add_number(struct journal *j, const char *what, uint64_t n, struct err *e)
{
	char value[24];

	snprintf(value, sizeof(value), "%" PRIu64, n);
	return add(j, what, value, e);
}

/* The step is complete. */
static int added(struct journal *j, int rc, struct err *e)
{
	if (!rc && j->steps == STEPS_MAX)
		return err_set(e, -EOVERFLOW, "more than %u files to change", STEPS_MAX);
	if (!rc)
		j->steps++;
	return rc;
}

int journal_unlink(struct journal *j, const char *path, struct err *e)
{
	char *name;
	int rc = name_of(j, path, &name, e);

	if (rc)
		return rc;
	rc = added(j, add(j, "unlink", name, e), e);
	free(name);
	return rc;
}

int journal_relink(struct journal *j, const char *path, const struct snapshot_link *l,
		   struct err *e)
{
	char *name;
	int rc = name_of(j, path, &name, e);

	if (rc)
		return rc;
	rc = add(j, "relink", name, e);
	if (!rc && l->has_cid)
		rc = add_number(j, "cid", l->cid, e);
	if (!rc && l->has_parent)
		rc = add_number(j, "parentCID", l->parent_cid, e);
	if (!rc && l->has_parent && l->hint)
		rc = add(j, "hint", l->hint, e);
	free(name);
	return added(j, rc, e);
}

int journal_write_vmsd(struct journal *j, const char *text, struct err *e)
{
	return added(j, add(j, "vmsd", text, e), e);
}

int journal_write_vmx(struct journal *j, const char *text, struct err *e)
{
	return added(j, add(j, "vmx", text, e), e);
}

/* The steps so far become a phase. */
static int publish(struct journal *j, enum journal_phase phase, struct err *e)
{
	int rc = dict_set(j->next, "phase", phase_name[phase], e);

	if (!rc)
		rc = dict_set_number(j->next, "steps", j->steps, e);
	return rc ? rc : save(j, j->next, e);
}

int journal_prepare(struct journal *j, struct err *e)
{
	return publish(j, JOURNAL_PREPARE, e);
}

int journal_made(struct journal *j, struct err *e)
{
	char key[64];

	forget_made(j);
	j->made = calloc(j->steps + 1, sizeof(*j->made));
	if (!j->made)
		return no_memory(e);
	for (; j->nmade < j->steps; j->nmade++) {
		const char *name = step(j->next, j->nmade, "unlink", key);

		j->made[j->nmade] = name ? strdup(name) : NULL;
		if (!j->made[j->nmade])
			return no_memory(e);
	}
	return begin(j, e);
}

int journal_switching(struct journal *j, const char *path, struct err *e)
{
	char key[64], *name;
	uint32_t cid;
	int rc = cid_of(j, path, &cid, e);

	if (!rc)
		rc = name_of(j, path, &name, e);
	if (rc)
		return rc;
	snprintf(key, sizeof(key), "switch%u.file", j->switches);
	rc = dict_set(j->next, key, name, e);
	snprintf(key, sizeof(key), "switch%u.cid", j->switches);
	if (!rc)
		rc = dict_set_number(j->next, key, cid, e);
	free(name);
	j->switches++;
	return rc;
}

int journal_switch(struct journal *j, struct err *e)
{
	char key[64];
	int rc = dict_set_number(j->next, "switches", j->switches, e);

	for (unsigned i = 0; !rc && i < j->nmade; i++) {
		snprintf(key, sizeof(key), "undo%u.unlink", i);
		rc = dict_set(j->next, key, j->made[i], e);
	}
	if (!rc)
		rc = dict_set_number(j->next, "undos", j->nmade, e);
	forget_made(j);
	return rc ? rc : publish(j, JOURNAL_SWITCH, e);
}

int journal_undo(struct journal *j, struct err *e)
{
	bool changed;
	int rc = begin(j, e);

	return rc ? rc : journal_recover(j, &changed, e);
}

int journal_commit(struct journal *j, struct err *e)
{
	int rc = publish(j, JOURNAL_COMMIT, e);

	if (!rc)
		rc = do_steps(j, j->next, false, e);
	return rc ? rc : begin(j, e);
}

/* Merging */

static bool same(const struct dict *d, const char *key, const char *value)
{
	const char *is = dict_get(d, key);

	return is && !strcmp(is, value);
}

static const char *way_of(const struct journal_merge *m) { return m->down ? "down" : "up"; }

int journal_merge_find(const struct journal *j, const struct journal_merge *m, bool *found,
		       uint64_t *from, struct err *e)
{
	enum journal_phase phase;
	struct dict *d;
	char id[16];
	int rc = load(j, &d, &phase, e);

	*found = false;
	*from = 0;
	if (rc || !d)
		return rc;
	snprintf(id, sizeof(id), "%08" PRIx32, m->cid);
	if (phase == JOURNAL_MERGE && same(d, "child", m->child) && same(d, "parent", m->parent) &&
	    same(d, "way", way_of(m)) && same(d, "cid", id)) {
		*found = true;
		rc = dict_number(d, "done", UINT64_MAX, from, e);
	}
	dict_free(d);
	return rc;
}

int journal_merge_begin(struct journal *j, const struct journal_merge *m, uint64_t from,
			struct err *e)
{
	char id[16];
	int rc = begin(j, e);

	snprintf(id, sizeof(id), "%08" PRIx32, m->cid);
	if (!rc)
		rc = dict_set(j->next, "phase", phase_name[JOURNAL_MERGE], e);
	if (!rc)
		rc = dict_set(j->next, "child", m->child, e);
	if (!rc)
		rc = dict_set(j->next, "parent", m->parent, e);
	if (!rc)
		rc = dict_set(j->next, "way", way_of(m), e);
	if (!rc)
		rc = dict_set(j->next, "cid", id, e);
	return rc ? rc : journal_merge_done(j, from, e);
}

int journal_merge_done(struct journal *j, uint64_t done, struct err *e)
{
	int rc = dict_set_number(j->next, "done", done, e);

	return rc ? rc : save(j, j->next, e);
}
