#include "vmx/users.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/create.h"
#include "disk/disk.h"
#include "disk/files.h"
#include "disk/lock.h"
#include "vmx/disks.h"
#include "vmx/machine.h"

static int no_memory(struct err *e) { return err_set(e, -ENOMEM, "no memory"); }

struct looking {
	struct vmx_users *u;
	char *real;		/* the disk's path */
	const char *file;	/* the .vmx or .vmsd that is looked at */
	bool above;		/* not the disk is looked for, but what is above it */
	char *top;		/* that, and how many there are */
	unsigned tops;
	struct err *e;
};

static int add(struct looking *l, enum vmx_use use, char *name, bool snapshots)
{
	struct vmx_users *u = l->u;
	struct vmx_user *more = realloc(u->user, (u->n + 1) * sizeof(*more));
	char *file = strdup(l->file);

	if (more)
		u->user = more;
	if (!more || !file || !name) {
		free(file);
		free(name);
		return no_memory(l->e);
	}
	more[u->n++] = (struct vmx_user){
		.use = use, .file = file, .name = name, .snapshots = snapshots,
	};
	return 0;
}

static bool is_same(const char *path, const char *real)
{
	char *mine = realpath(path, NULL);
	bool same = mine && !strcmp(mine, real);

	free(mine);
	return same;
}

/* Is the disk at path on the one at real, over others, too? */
static bool hangs_on(const char *path, const char *real)
{
	struct disk_opts o = { .no_parent = true, .no_lock = true, .no_extents = true };
	char *at = strdup(path), *parent;
	bool is = false;

	for (unsigned i = 0; at && !is && i < DISK_LAYERS; i++) {
		struct image *im;

		parent = NULL;
		if (image_open(&im, at, &o, NULL))
			break;
		if (im->desc && im->desc->parent && im->desc->parent_cid != CID_NONE &&
		    image_file(&parent, im, im->desc->parent, true, NULL))
			parent = NULL;
		image_close(im);
		is = parent && is_same(parent, real);
		free(at);
		at = parent;
	}
	free(at);
	return is;
}

/* The present layer at path is above the disk. */
static void note_top(struct looking *l, const char *path)
{
	if (l->top && is_same(path, l->top))
		return;
	free(l->top);
	l->top = realpath(path, NULL);
	l->tops++;
}

/* Does the file at l->file mean the disk by this name, of a present layer perhaps? */
static bool is_it(struct looking *l, const char *name, bool present)
{
	char *path;
	bool is;

	if (image_beside(&path, l->file, name, true, NULL))
		return false;
	is = !l->above && is_same(path, l->real);
	if (l->above && present && hangs_on(path, l->real))
		note_top(l, path);
	free(path);
	return is;
}

/* Has the machine of this .vmx snapshots? */
static bool has_snapshots(const char *vmx)
{
	struct vmsd *v;
	char *list;
	bool has = false;

	if (asprintf(&list, "%.*s.vmsd", (int)strlen(vmx) - 4, vmx) < 0)
		return false;
	if (!vmsd_load(&v, list, NULL)) {
		has = v->n > 0;
		vmsd_free(v);
	}
	free(list);
	return has;
}

static int look_at_vmx(struct looking *l)
{
	struct vmx_disk *disk;
	struct dict *d;
	size_t n;
	int rc;

	if (dict_load(&d, l->file, NULL))
		return 0;
	rc = vmx_disks(&disk, &n, d, l->e);
	if (!rc) {
		for (size_t i = 0; !rc && i < n; i++)
			if (is_it(l, disk[i].file, true))
				rc = add(l, VMX_DISK, strdup(disk[i].node),
					 !disk[i].independent && has_snapshots(l->file));
		vmx_disks_free(disk, n);
	}
	dict_free(d);
	return rc;
}

static int look_at_vmsd(struct looking *l)
{
	const char *top;
	struct vmsd *v;
	int rc = 0;

	if (vmsd_load(&v, l->file, NULL))
		return 0;
	top = dict_get(v->dict, MACHINE_TOP);
	if (top && is_it(l, top, true))
		rc = add(l, VMX_TOP, strdup(""), v->n > 0);
	for (unsigned i = 0; !rc && i < v->n; i++)
		for (unsigned k = 0; !rc && k < v->snap[i].ndisks; k++)
			if (is_it(l, v->snap[i].disk[k].file, false))
				rc = add(l, VMX_SNAPSHOT, vmsd_path(v, &v->snap[i]), true);
	vmsd_free(v);
	return rc;
}

static bool ends(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n > k && !strcasecmp(s + n - k, end);
}

/* All lists of the disk's folder. */
static int look_around(struct looking *l, const char *disk, struct err *e)
{
	const char *base = disk_base_name(disk);
	int dir = (int)(base - disk), rc = 0;
	struct dirent **list = NULL;
	char *folder, *file;
	int n = 0;

	l->real = realpath(disk, NULL);
	if (!l->real)		/* who opens it says why */
		return 0;
	if (asprintf(&folder, "%.*s", dir ? dir : 1, dir ? disk : ".") < 0) {
		free(l->real);
		return no_memory(e);
	}
	n = scandir(folder, &list, NULL, alphasort);
	if (n < 0)
		rc = err_sys(e, -errno, "%s", folder);
	for (int i = 0; i < n; i++) {
		const char *name = list[i]->d_name;

		if (!rc && (ends(name, ".vmx") || ends(name, ".vmsd"))) {
			if (asprintf(&file, "%.*s%s", dir, disk, name) < 0) {
				rc = no_memory(e);
			} else {
				l->file = file;
				rc = ends(name, ".vmx") ? look_at_vmx(l) : look_at_vmsd(l);
				free(file);
			}
		}
		free(list[i]);
	}
	free(list);
	free(folder);
	free(l->real);
	return rc;
}

int vmx_users_of(struct vmx_users *u, const char *disk, struct err *e)
{
	struct looking l = { .u = u, .e = e };
	int rc;

	*u = (struct vmx_users){ 0 };
	rc = look_around(&l, disk, e);
	if (rc)
		vmx_users_free(u);
	return rc;
}

char *vmx_present_above(const char *disk)
{
	struct looking l = { .above = true };

	look_around(&l, disk, NULL);
	if (l.tops == 1)
		return l.top;
	free(l.top);
	return NULL;
}

void vmx_users_free(struct vmx_users *u)
{
	for (size_t i = 0; i < u->n; i++) {
		free(u->user[i].file);
		free(u->user[i].name);
		disk_unlock(u->user[i].lock);
	}
	free(u->user);
	*u = (struct vmx_users){ 0 };
}

int vmx_users_refuse(const struct vmx_users *u, const char *disk, unsigned refuse,
		     const char *then, struct err *e)
{
	for (size_t i = 0; i < u->n; i++) {
		const struct vmx_user *x = &u->user[i];
		const char *list = disk_base_name(x->file);

		if (x->use == VMX_SNAPSHOT && refuse & VMX_REFUSE_FROZEN)
			return err_set(e, -EEXIST, "%.80s: belongs to the snapshot \"%.40s\" in %.40s; %s",
				       disk, x->name, list, then);
		if (x->use != VMX_SNAPSHOT && x->snapshots && refuse & VMX_REFUSE_TOP)
			return err_set(e, -EEXIST, "%.80s: is the present state of a disk with snapshots "
				       "(%.40s); %s", disk, list, then);
		if (x->use == VMX_DISK && refuse & VMX_REFUSE_DISK)
			return err_set(e, -EEXIST, "%.80s: is %s of %.40s; %s", disk, x->name, list, then);
	}
	return 0;
}

int vmx_users_lock(struct vmx_users *u, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < u->n; i++)
		if (u->user[i].use == VMX_DISK && (!i || strcmp(u->user[i].file, u->user[i - 1].file)))
			rc = disk_lock(&u->user[i].lock, u->user[i].file, e);
	return rc;
}

/* Another name for the disk at a node of a machine. */
static int tell_vmx(const struct vmx_user *x, const char *to, struct err *e)
{
	char *name = NULL, *text = NULL;
	struct dict *d;
	size_t len;
	int rc = dict_load(&d, x->file, e);

	if (rc)
		return rc;
	rc = disk_parent_hint(&name, x->file, to, true, e);
	if (!rc)
		rc = vmx_disk_set(d, x->name, name, e);
	if (!rc) {
		text = dict_text(d, &len);
		rc = text ? file_replace(x->file, text, len, e) : no_memory(e);
	}
	free(text);
	free(name);
	dict_free(d);
	return rc;
}

int vmx_users_tell(const struct vmx_users *u, const char *to, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < u->n; i++) {
		const struct vmx_user *x = &u->user[i];

		if (x->use == VMX_DISK && to)
			rc = tell_vmx(x, to, e);
		else if (x->use == VMX_TOP && !x->snapshots && unlink(x->file) && errno != ENOENT)
			rc = err_sys(e, -errno, "%s", x->file);
	}
	return rc;
}
