#include "vmx/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/files.h"
#include "vmx/vmsn.h"

static int no_memory(struct err *e) { return err_set(e, -ENOMEM, "no memory"); }

int state_path(const struct machine *m, const char *file, char **path, struct err *e)
{
	int folder = (int)(disk_base_name(m->vmsd_path) - m->vmsd_path);
	size_t n = strlen(file);

	*path = NULL;
	if (n <= 5 || strcasecmp(file + n - 5, ".vmsn") || strchr(file, '/'))
		return 0;
	return asprintf(path, "%.*s%s", folder, m->vmsd_path, file) < 0 ? no_memory(e) : 0;
}

char *state_name(const struct machine *m, uint32_t uid)
{
	const char *base = disk_base_name(m->vmsd_path);
	char *name = NULL, *path = NULL, again[16] = "";
	bool taken = true;

	/* One that is there may belong to a list that was lost. */
	for (unsigned i = 2; taken && i < 1000; i++) {
		free(name);
		if (asprintf(&name, "%.*s-Snapshot%u%s.vmsn", (int)strlen(base) - 5, base, uid,
			     again) < 0 || state_path(m, name, &path, NULL))
			return NULL;
		taken = !access(path, F_OK);
		free(path);
		snprintf(again, sizeof(again), "-%u", i);
	}
	return name;
}

int state_save(const char *path, const char *config, size_t len, struct err *e)
{
	void *b = vmsn_make(&len, config, len);
	int rc = b ? file_replace(path, b, len, e) : no_memory(e);

	free(b);
	return rc;
}

int state_config(const struct machine *m, const char *file, struct dict **d, struct err *e)
{
	char *path, *text = NULL;
	struct disk_file *f;
	size_t len;
	int rc = state_path(m, file, &path, e);

	*d = NULL;
	if (rc || !path)
		return rc;
	/* One that cannot be read is as good as none. */
	if (!file_open(&f, NULL, path, FILE_PLAIN, NULL)) {
		if (!vmsn_config(&text, &len, f, NULL) && dict_parse(d, path, text, len, NULL))
			*d = NULL;
		file_close(f);
		free(text);
	}
	free(path);
	return 0;
}
