#include "vmx/machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/files.h"
#include "disk/lock.h"

static int no_memory(struct err *e) { return err_set(e, -ENOMEM, "no memory"); }

static bool ends(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n > k && !strcasecmp(s + n - k, end);
}

void machine_say(const struct machine *m, enum machine_step s, const char *file,
		 const char *into)
{
	if (m->o.step)
		m->o.step(m->o.ptr, s, file, into);
}

int machine_path(const struct machine *m, const char *file, char **path, struct err *e)
{
	return image_beside(path, m->vmsd_path, file, m->o.outside, e);
}

/* Where is everything? */

/* "dir/x" and an end. */
static char *with_end(const char *path, size_t stem, const char *end)
{
	char *out;

	return asprintf(&out, "%.*s%s", (int)stem, path, end) < 0 ? NULL : out;
}

/* x-000001.vmdk belongs to the list of x.vmdk where that has one. */
static int find_list(struct machine *m, struct err *e)
{
	size_t n = strlen(m->path) - 5;
	struct dict *d;
	char *list;

	if (n > 7 && m->path[n - 7] == '-' && strspn(m->path + n - 6, "0123456789") == 6 &&
	    m->path[n - 8] != '/') {
		list = with_end(m->path, n - 7, ".vmsd");
		if (!list)
			return no_memory(e);
		if (!dict_load(&d, list, NULL)) {
			if (dict_get(d, MACHINE_TOP))
				m->vmsd_path = list;
			dict_free(d);
		}
		if (m->vmsd_path)
			return 0;
		free(list);
	}
	m->vmsd_path = with_end(m->path, n, ".vmsd");
	return m->vmsd_path ? 0 : no_memory(e);
}

static int find_files(struct machine *m, const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');
	struct stat st;
	int rc = 0;

	m->path = strdup(path);
	m->folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	if (!m->path || !m->folder)
		return no_memory(e);
	if (ends(path, ".vmx")) {
		m->vmx_path = strdup(path);
		m->vmsd_path = with_end(path, strlen(path) - 4, ".vmsd");
		return m->vmx_path && m->vmsd_path ? 0 : no_memory(e);
	}
	if (!ends(path, ".vmdk"))
		return err_set(e, -EINVAL, "%.150s: neither a .vmx nor a .vmdk", path);
	if (stat(path, &st))
		return err_sys(e, -errno, "%.180s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "%.180s: not a file", path);
	rc = find_list(m, e);
	if (!rc) {
		char *vmx = with_end(m->vmsd_path, strlen(m->vmsd_path) - 5, ".vmx");

		if (!vmx)
			rc = no_memory(e);
		else if (!access(vmx, F_OK))
			rc = err_set(e, -EINVAL, "%.80s: its snapshots would be in the list of %.80s: "
				     "name that", path, vmx);
		free(vmx);
	}
	return rc;
}

/* Reading */

static int add_disk(struct machine *m, const char *node, const char *file, bool independent,
		    struct err *e)
{
	struct machine_disk *more = realloc(m->disk, (m->n + 1) * sizeof(*more)), *d;

	if (!more)
		return no_memory(e);
	m->disk = more;
	d = &m->disk[m->n++];
	memset(d, 0, sizeof(*d));
	snprintf(d->node, sizeof(d->node), "%s", node);
	d->independent = independent;
	d->file = strdup(file);
	return d->file ? machine_path(m, file, &d->path, e) : no_memory(e);
}

static int read_vmx_disks(struct machine *m, struct err *e)
{
	struct vmx_disk *d;
	size_t n;
	int rc = vmx_disks(&d, &n, m->vmx, e);

	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < n; i++)
		rc = add_disk(m, d[i].node, d[i].file, d[i].independent, e);
	vmx_disks_free(d, n);
	return rc;
}

static int read_files(struct machine *m, struct err *e)
{
	const char *top;
	int rc = vmsd_load(&m->vmsd, m->vmsd_path, e);

	if (rc)
		return rc;
	if (m->vmx_path) {
		rc = dict_load(&m->vmx, m->vmx_path, e);
		return rc ? rc : read_vmx_disks(m, e);
	}
	top = dict_get(m->vmsd->dict, MACHINE_TOP);
	if (!top && m->vmsd->n)
		return err_set(e, -EINVAL, "%.150s: the list of a machine: name its .vmx",
			       m->vmsd_path);
	return add_disk(m, "disk", top ? top : disk_base_name(m->path), false, e);
}

/* Layers that snapshots froze are not locked; who has one for writing must not be there. */
static int clear_frozen(struct machine *m, const struct vmsd_snap *s, struct err *e)
{
	int rc = 0;

	for (unsigned k = 0; !rc && k < s->ndisks; k++) {
		char *path;

		rc = machine_path(m, s->disk[k].file, &path, e);
		if (rc)
			break;
		rc = disk_lock_clear(path, e);
		free(path);
	}
	return rc;
}

static int lock_disk(const struct machine *m, struct machine_disk *d, struct err *e)
{
	int rc = m->o.live ? m->o.live->find(m->o.live->ptr, d->path, &d->live, e) : 0;

	return rc || d->live ? rc : disk_lock(&d->lock, d->path, e);
}

/* First the machine, so that its files stand still while they are read; then the disks. */
static int lock_disks(struct machine *m, struct err *e)
{
	int rc = 0;

	for (unsigned i = 0; !rc && i < m->vmsd->n; i++)
		rc = clear_frozen(m, &m->vmsd->snap[i], e);

	for (size_t i = 0; !rc && i < m->n; i++)
		if (!m->disk[i].independent)
			rc = lock_disk(m, &m->disk[i], e);
	return rc;
}

static int recover(struct machine *m, struct err *e)
{
	bool changed = false;
	int rc = journal_phase(m->journal, &m->found, e);

	if (rc || !m->o.write)
		return rc;
	if (m->o.dry)
		return m->found == JOURNAL_NONE || m->found == JOURNAL_MERGE ? 0 :
			err_set(e, -EAGAIN, "%.150s: an interrupted change has to be completed "
				"first", m->path);
	rc = journal_recover(m->journal, &changed, e);
	if (!rc && changed)
		machine_say(m, MACHINE_RECOVER, m->path, NULL);
	return rc;
}

int machine_open(struct machine **out, const char *path, const struct machine_opts *o,
		 struct err *e)
{
	struct machine *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return no_memory(e);
	m->o = *o;
	/* Names are only looked at. */
	m->o.outside |= !o->write;
	rc = find_files(m, path, e);
	if (!rc && m->vmx_path && access(path, F_OK))
		rc = err_sys(e, -errno, "%.180s", path);
	if (!rc && o->write && !o->dry)
		rc = disk_lock(&m->lock, m->vmx_path ? m->vmx_path : m->vmsd_path, e);
	if (!rc)
		rc = journal_new(&m->journal, m->vmsd_path, m->vmx_path, m->o.outside, e);
	if (!rc)
		journal_set_live(m->journal, o->live);
	if (!rc)
		rc = recover(m, e);
	if (!rc)
		rc = read_files(m, e);
	if (!rc && o->write && !o->dry)
		rc = lock_disks(m, e);
	if (rc) {
		machine_close(m);
		return rc;
	}
	*out = m;
	return 0;
}

void machine_close(struct machine *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++) {
		disk_unlock(m->disk[i].lock);
		free(m->disk[i].file);
		free(m->disk[i].path);
		free(m->disk[i].was);
	}
	free(m->disk);
	disk_unlock(m->lock);
	journal_free(m->journal);
	vmsd_free(m->vmsd);
	dict_free(m->vmx);
	free(m->path);
	free(m->vmsd_path);
	free(m->vmx_path);
	free(m->folder);
	free(m->renewed);
	free(m);
}

/* Changes */

int machine_set_top(struct machine *m, size_t i, const char *file, struct err *e)
{
	struct machine_disk *d = &m->disk[i];
	char *copy = strdup(file), *path = NULL;
	int rc = copy ? machine_path(m, file, &path, e) : no_memory(e);

	m->vmx_changed |= m->vmx != NULL;
	if (!rc && m->vmx)
		rc = vmx_disk_set(m->vmx, d->node, file, e);
	else if (!rc)
		rc = dict_set(m->vmsd->dict, MACHINE_TOP, file, e);
	if (rc) {
		free(copy);
		free(path);
		return rc;
	}
	free(d->file);
	free(d->path);
	d->file = copy;
	d->path = path;
	return 0;
}

int machine_set_config(struct machine *m, struct dict *vmx, struct err *e)
{
	struct vmx_disk *d;
	size_t n, have = m->n;
	int rc = vmx_disks(&d, &n, vmx, e);

	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < n; i++) {
		size_t k = 0;

		while (k < have && strcasecmp(m->disk[k].node, d[i].node))
			k++;
		if (k < have)
			m->disk[k].independent = d[i].independent;
		else
			rc = add_disk(m, d[i].node, d[i].file, d[i].independent, e);
	}
	vmx_disks_free(d, n);
	if (rc)
		return rc;
	dict_free(m->vmx);
	m->vmx = vmx;
	m->vmx_changed = true;
	return 0;
}

static int add_text(struct machine *m, const struct dict *d, const char *path,
		    int (*add)(struct journal *j, const char *text, struct err *e),
		    struct err *e)
{
	size_t len;
	char *text = dict_text(d, &len);
	int rc = text ? add(m->journal, text, e) : no_memory(e);

	free(text);
	if (!rc)
		machine_say(m, MACHINE_CHANGE, path, NULL);
	return rc;
}

int machine_texts(struct machine *m, struct err *e)
{
	int rc = add_text(m, m->vmsd->dict, m->vmsd_path, journal_write_vmsd, e);

	if (!rc && m->vmx_changed)
		rc = add_text(m, m->vmx, m->vmx_path, journal_write_vmx, e);
	return rc;
}
