#include "vmx/vmsd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/recode.h"

static int no_memory(struct err *e) { return err_set(e, -ENOMEM, "no memory"); }

static void snaps_free(struct vmsd_snap *s, unsigned n)
{
	for (unsigned i = 0; s && i < n; i++) {
		for (unsigned k = 0; s[i].disk && k < s[i].ndisks; k++) {
			free(s[i].disk[k].file);
			free(s[i].disk[k].node);
		}
		free(s[i].disk);
		free(s[i].file);
		free(s[i].name);
		free(s[i].description);
	}
	free(s);
}

void vmsd_free(struct vmsd *v)
{
	if (!v)
		return;
	snaps_free(v->snap, v->n);
	dict_free(v->dict);
	free(v);
}

/* Reading */

/* "snapshot7.uid" */
static const char *key_of(char key[static 64], unsigned i, const char *name)
{
	snprintf(key, 64, "snapshot%u.%s", i, name);
	return key;
}

static int number(const struct dict *d, const char *key, uint32_t max, uint32_t fallback,
		  uint32_t *out, struct err *e)
{
	uint64_t n = fallback;
	int rc = dict_get(d, key) ? dict_number(d, key, max, &n, e) : 0;

	*out = (uint32_t)n;
	return rc;
}

/* Half of a time: those above 2^31 are written as negative numbers. */
static int half(const struct dict *d, const char *key, uint32_t *out, struct err *e)
{
	const char *s = dict_get(d, key);
	char *end;
	long long n;

	*out = 0;
	if (!s)
		return 0;
	errno = 0;
	n = strtoll(s, &end, 10);
	if (errno || end == s || *end || n < INT32_MIN || n > (long long)UINT32_MAX)
		return dict_err(d, key, e, -EBADMSG, "%s = \"%.40s\": not half of a time", key,
				s);
	*out = (uint32_t)n;
	return 0;
}

static int text(const struct dict *d, const char *key, char **out, struct err *e)
{
	const char *s = dict_get(d, key);

	*out = strdup(s ? s : "");
	return *out ? 0 : no_memory(e);
}

static int read_disks(const struct dict *d, unsigned i, struct vmsd_snap *s, struct err *e)
{
	uint32_t n;
	char key[64], name[32];
	int rc = number(d, key_of(key, i, "numDisks"), VMSD_DISKS, 0, &n, e);

	if (rc || !n)
		return rc;
	s->disk = calloc(n, sizeof(*s->disk));
	if (!s->disk)
		return no_memory(e);
	s->ndisks = n;
	for (unsigned k = 0; !rc && k < n; k++) {
		snprintf(name, sizeof(name), "disk%u.node", k);
		rc = text(d, key_of(key, i, name), &s->disk[k].node, e);
		snprintf(name, sizeof(name), "disk%u.fileName", k);
		if (!rc)
			rc = text(d, key_of(key, i, name), &s->disk[k].file, e);
		if (!rc && !s->disk[k].file[0])
			rc = dict_err(d, key_of(key, i, "numDisks"), e, -EBADMSG,
				      "there is no snapshot%u.disk%u.fileName", i, k);
	}
	return rc;
}

static int read_snap(const struct dict *d, unsigned i, struct vmsd_snap *s, struct err *e)
{
	uint32_t high, low;
	char key[64];
	int rc;

	if (!dict_get(d, key_of(key, i, "uid")))
		return dict_err(d, "snapshot.numSnapshots", e, -EBADMSG, "there is no %s", key);
	rc = number(d, key, UINT32_MAX, 0, &s->uid, e);
	if (!rc && !s->uid)
		rc = dict_err(d, key, e, -EBADMSG, "%s = \"0\": no snapshot has that", key);
	if (!rc)
		rc = number(d, key_of(key, i, "parent"), UINT32_MAX, 0, &s->parent, e);
	if (!rc)
		rc = number(d, key_of(key, i, "numClones"), UINT32_MAX, 0, &s->clones, e);
	if (!rc)
		rc = half(d, key_of(key, i, "createTimeHigh"), &high, e);
	if (!rc)
		rc = half(d, key_of(key, i, "createTimeLow"), &low, e);
	if (rc)
		return rc;
	s->time_us = (uint64_t)high << 32 | low;
	if ((rc = text(d, key_of(key, i, "displayName"), &s->name, e)) ||
	    (rc = text(d, key_of(key, i, "description"), &s->description, e)) ||
	    (rc = text(d, key_of(key, i, "filename"), &s->file, e)))
		return rc;
	return read_disks(d, i, s, e);
}

static int by_uid(const void *a, const void *b)
{
	const struct vmsd_snap *x = *(struct vmsd_snap *const *)a;
	const struct vmsd_snap *y = *(struct vmsd_snap *const *)b;

	return (x->uid > y->uid) - (x->uid < y->uid);
}

const struct vmsd_snap *vmsd_by_uid(const struct vmsd *v, uint32_t uid)
{
	for (unsigned i = 0; uid && i < v->n; i++)
		if (v->snap[i].uid == uid)
			return &v->snap[i];
	return NULL;
}

/* Find the parent of snapshot i in all of them, sorted by uid. */
static int find_parent(struct vmsd *v, unsigned i, struct vmsd_snap **sorted, struct err *e)
{
	struct vmsd_snap want = { .uid = v->snap[i].parent }, *key_snap = &want, **found;
	char key[64];

	v->snap[i].up = -1;
	if (!want.uid)
		return 0;
	found = bsearch(&key_snap, sorted, v->n, sizeof(*sorted), by_uid);
	key_of(key, i, "parent");
	if (!found)
		return dict_err(v->dict, key, e, -EBADMSG, "%s = \"%u\": no snapshot has that uid",
				key, want.uid);
	v->snap[i].up = (int)(*found - v->snap);
	return 0;
}

/* No uid stands twice, all parents are there, no one is its own ancestor. */
static int check_tree(struct vmsd *v, struct err *e)
{
	struct vmsd_snap **sorted = calloc(v->n + 1, sizeof(*sorted));
	char key[64];
	int rc = 0;

	if (!sorted)
		return no_memory(e);
	for (unsigned i = 0; i < v->n; i++)
		sorted[i] = &v->snap[i];
	qsort(sorted, v->n, sizeof(*sorted), by_uid);
	for (unsigned i = 1; !rc && i < v->n; i++)
		if (sorted[i]->uid == sorted[i - 1]->uid) {
			key_of(key, (unsigned)(sorted[i] - v->snap), "uid");
			rc = dict_err(v->dict, key, e, -EBADMSG, "%s = \"%u\": another has it, too",
				      key, sorted[i]->uid);
		}
	for (unsigned i = 0; !rc && i < v->n; i++)
		rc = find_parent(v, i, sorted, e);
	for (unsigned i = 0; !rc && i < v->n; i++) {
		unsigned steps = 0;

		for (int k = (int)i; !rc && k >= 0; k = v->snap[k].up)
			if (++steps > v->n)
				rc = dict_err(v->dict, key_of(key, i, "parent"), e, -EBADMSG,
					      "%s: it comes from itself", key);
	}
	free(sorted);
	return rc;
}

/* All of v but the dictionary, from the dictionary. */
static int refresh(struct vmsd *v, struct err *e)
{
	uint32_t n;
	int rc;

	snaps_free(v->snap, v->n);
	v->snap = NULL;
	v->n = 0;
	rc = number(v->dict, "snapshot.lastUID", UINT32_MAX, 0, &v->last_uid, e);
	if (!rc)
		rc = number(v->dict, "snapshot.current", UINT32_MAX, 0, &v->current, e);
	if (!rc)
		rc = number(v->dict, "snapshot.numSnapshots", VMSD_SNAPS, 0, &n, e);
	if (rc)
		return rc;
	v->snap = calloc(n + 1, sizeof(*v->snap));
	if (!v->snap)
		return no_memory(e);
	while (!rc && v->n < n) {
		v->n++;
		rc = read_snap(v->dict, v->n - 1, &v->snap[v->n - 1], e);
	}
	if (!rc)
		rc = check_tree(v, e);
	if (!rc && v->current && !vmsd_by_uid(v, v->current))
		rc = dict_err(v->dict, "snapshot.current", e, -EBADMSG,
			      "snapshot.current = \"%u\": no snapshot has that uid", v->current);
	return rc;
}

int vmsd_parse(struct vmsd **out, struct dict *d, struct err *e)
{
	struct vmsd *v = calloc(1, sizeof(*v));
	int rc;

	if (!v)
		return no_memory(e);
	v->dict = d;
	rc = refresh(v, e);
	if (rc) {
		v->dict = NULL;
		vmsd_free(v);
		return rc;
	}
	*out = v;
	return 0;
}

int vmsd_load(struct vmsd **v, const char *path, struct err *e)
{
	struct dict *d;
	int rc = dict_load(&d, path, e);

	if (rc == -ENOENT)
		rc = dict_new(&d, path, e);
	if (rc)
		return rc;
	rc = vmsd_parse(v, d, e);
	if (rc)
		dict_free(d);
	return rc;
}

/* Names */

/* Are the first n bytes of path those of s and its ancestors? */
static bool has_path(const struct vmsd *v, const struct vmsd_snap *s, const char *path)
{
	size_t n = strlen(path);

	for (;;) {
		size_t len = strlen(s->name);

		if (len > n || memcmp(path + n - len, s->name, len))
			return false;
		n -= len;
		if (!s->parent)
			return n == 0;
		if (!n || path[n - 1] != '/')
			return false;
		n--;
		s = &v->snap[s->up];
	}
}

int vmsd_find(const struct vmsd *v, const char *name, const struct vmsd_snap **s,
	      struct err *e)
{
	const struct vmsd_snap *by_path = NULL, *by_name = NULL, *one;
	unsigned paths = 0, names = 0;
	char *end = NULL;

	for (unsigned i = 0; i < v->n; i++) {
		if (has_path(v, &v->snap[i], name)) {
			by_path = &v->snap[i];
			paths++;
		}
		if (!strcmp(v->snap[i].name, name)) {
			by_name = &v->snap[i];
			names++;
		}
	}
	one = paths == 1 ? by_path : !paths && names == 1 ? by_name : NULL;
	if (!one && !paths && !names && name[0] == '#') {
		unsigned long uid = strtoul(name + 1, &end, 10);

		if (!*end && uid <= UINT32_MAX)
			one = vmsd_by_uid(v, (uint32_t)uid);
	}
	if (one) {
		*s = one;
		return 0;
	}
	if (!paths && !names)
		return err_set(e, -ENOENT, "no snapshot \"%.150s\"", name);
	return err_set(e, -EINVAL, "%u snapshots are called \"%.100s\": name one by its path "
		       "(\"a/b\") or as #UID", paths ? paths : names, name);
}

char *vmsd_path(const struct vmsd *v, const struct vmsd_snap *s)
{
	char *path = strdup(s->name);

	while (path && s->parent) {
		char *longer;

		s = &v->snap[s->up];
		if (asprintf(&longer, "%s/%s", s->name, path) < 0)
			longer = NULL;
		free(path);
		path = longer;
	}
	return path;
}

bool vmsd_descends(const struct vmsd *v, const struct vmsd_snap *s, uint32_t uid)
{
	while (s->uid != uid && s->parent)
		s = &v->snap[s->up];
	return s->uid == uid;
}

/* Changes */

static int index_of(const struct vmsd *v, uint32_t uid, unsigned *i, struct err *e)
{
	for (*i = 0; *i < v->n; ++*i)
		if (v->snap[*i].uid == uid)
			return 0;
	return err_set(e, -ENOENT, "no snapshot has the uid %u", uid);
}

static int check_name(const struct vmsd *v, const char *name, struct err *e)
{
	char *text;

	if (!*name)
		return err_set(e, -EINVAL, "the name of a snapshot may not be empty");
	if (strlen(name) > VMSD_NAME)
		return err_set(e, -EINVAL, "the name of a snapshot may have %u bytes, this one "
			       "has %zu", VMSD_NAME, strlen(name));
	for (const char *p = name; *p; p++) {
		if (*p == '/')
			return err_set(e, -EINVAL, "\"%.100s\": a '/' parts the names of a path and "
				       "may not be in one", name);
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return err_set(e, -EINVAL, "the name of a snapshot may not hold control "
				       "characters");
	}
	text = recode("UTF-8", "UTF-8", name, strlen(name));
	if (!text)
		return err_set(e, -EINVAL, "the name of a snapshot has to be UTF-8");
	free(text);
	for (unsigned i = 0; i < v->n; i++)
		if (v->snap[i].parent == v->current && !strcmp(v->snap[i].name, name))
			return err_set(e, -EEXIST, "there is a snapshot \"%.100s\" here already",
				       name);
	return 0;
}

struct put {
	struct dict *d;
	unsigned i;
	int rc;
	struct err *e;
};

static void put(struct put *p, const char *name, const char *value)
{
	char key[64];

	if (!p->rc)
		p->rc = dict_set(p->d, key_of(key, p->i, name), value, p->e);
}

static void put_number(struct put *p, const char *name, long long n)
{
	char value[24];

	snprintf(value, sizeof(value), "%lld", n);
	put(p, name, value);
}

int vmsd_add(struct vmsd *v, const struct vmsd_snap *s, uint32_t *uid, struct err *e)
{
	struct put p = { .d = v->dict, .i = v->n, .e = e };
	uint32_t top = v->last_uid;
	char prefix[64];
	int rc = check_name(v, s->name, e);

	if (rc)
		return rc;
	for (unsigned i = 0; i < v->n; i++)
		top = v->snap[i].uid > top ? v->snap[i].uid : top;
	if (v->n == VMSD_SNAPS || top == UINT32_MAX || s->ndisks > VMSD_DISKS)
		return err_set(e, -EOVERFLOW, "there are %u snapshots, the last has the uid %u: "
			       "no room for another", v->n, top);
	*uid = top + 1;
	p.rc = dict_set_number(v->dict, "snapshot.lastUID", *uid, e);
	if (!p.rc)
		p.rc = dict_set_number(v->dict, "snapshot.current", *uid, e);
	/* What an old snapshot left there is not this one's. */
	dict_unset_prefix(v->dict, key_of(prefix, v->n, ""));
	put_number(&p, "uid", *uid);
	if (s->file && s->file[0])
		put(&p, "filename", s->file);
	if (v->current)
		put_number(&p, "parent", v->current);
	put(&p, "displayName", s->name);
	put(&p, "description", s->description ? s->description : "");
	put_number(&p, "createTimeHigh", (int32_t)(s->time_us >> 32));
	put_number(&p, "createTimeLow", (int32_t)(uint32_t)s->time_us);
	put_number(&p, "numDisks", s->ndisks);
	for (unsigned k = 0; k < s->ndisks; k++) {
		char name[32];

		snprintf(name, sizeof(name), "disk%u.fileName", k);
		put(&p, name, s->disk[k].file);
		snprintf(name, sizeof(name), "disk%u.node", k);
		put(&p, name, s->disk[k].node);
	}
	if (!p.rc)
		p.rc = dict_set_number(v->dict, "snapshot.numSnapshots", v->n + 1, e);
	return p.rc ? p.rc : refresh(v, e);
}

/* snapshot.mruN.uid: without one uid, and without a hole. */
static int forget_recent(struct dict *d, uint32_t uid, struct err *e)
{
	unsigned kept = 0;
	int rc = 0;

	for (unsigned i = 0; !rc && i < VMSD_SNAPS; i++) {
		char key[64], to[64];
		const char *s;

		snprintf(key, sizeof(key), "snapshot.mru%u.uid", i);
		s = dict_get(d, key);
		if (!s)
			break;
		if (strtoull(s, NULL, 10) == uid) {
			dict_unset(d, key);
		} else {
			snprintf(to, sizeof(to), "snapshot.mru%u.uid", kept++);
			if (strcmp(key, to))
				rc = dict_rename_prefix(d, key, to, e);
		}
	}
	return rc;
}

int vmsd_remove(struct vmsd *v, uint32_t uid, struct err *e)
{
	uint32_t parent;
	char key[64], to[64];
	unsigned i;
	int rc = index_of(v, uid, &i, e);

	if (rc)
		return rc;
	parent = v->snap[i].parent;
	if (v->current == uid)
		rc = dict_set_number(v->dict, "snapshot.current", parent, e);
	for (unsigned k = 0; !rc && k < v->n; k++) {
		if (v->snap[k].parent != uid)
			continue;
		key_of(key, k, "parent");
		if (!parent)
			dict_unset(v->dict, key);
		else
			rc = dict_set_number(v->dict, key, parent, e);
	}
	dict_unset_prefix(v->dict, key_of(key, i, ""));
	for (unsigned k = i + 1; !rc && k < v->n; k++)
		rc = dict_rename_prefix(v->dict, key_of(key, k, ""), key_of(to, k - 1, ""), e);
	if (!rc)
		rc = dict_set_number(v->dict, "snapshot.numSnapshots", v->n - 1, e);
	if (!rc)
		rc = forget_recent(v->dict, uid, e);
	return rc ? rc : refresh(v, e);
}

int vmsd_set_current(struct vmsd *v, uint32_t uid, struct err *e)
{
	unsigned i;
	int rc = uid ? index_of(v, uid, &i, e) : 0;

	if (!rc)
		rc = dict_set_number(v->dict, "snapshot.current", uid, e);
	return rc ? rc : refresh(v, e);
}

int vmsd_set_disk(struct vmsd *v, uint32_t uid, unsigned disk, const char *file,
		  struct err *e)
{
	char key[64], name[32];
	unsigned i;
	int rc = index_of(v, uid, &i, e);

	if (rc)
		return rc;
	if (disk >= v->snap[i].ndisks)
		return err_set(e, -EINVAL, "snapshot %u has no disk %u", uid, disk);
	snprintf(name, sizeof(name), "disk%u.fileName", disk);
	rc = dict_set(v->dict, key_of(key, i, name), file, e);
	return rc ? rc : refresh(v, e);
}
