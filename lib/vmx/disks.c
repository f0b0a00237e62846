#include "vmx/disks.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct bus {
	const char *name;
	unsigned adapters, units;
	bool implied;		/* the adapter is there without a line that says so */
} buses[] = {
	{ "ide", 2, 2, true },
	{ "scsi", 4, 65, false },
	{ "sata", 4, 30, false },
	{ "nvme", 4, 64, false },
};

/* Does key begin with a node, "scsi0:1.fileName"?  node and its adapter are set. */
static const struct bus *key_node(const char *key, char node[static 16],
				  char adapter[static 16])
{
	for (size_t i = 0; i < sizeof(buses) / sizeof(buses[0]); i++) {
		size_t n = strlen(buses[i].name);
		unsigned a, u;
		int used = 0;

		if (strncasecmp(key, buses[i].name, n) || !isdigit((unsigned char)key[n]) ||
		    sscanf(key + n, "%1u:%2u%n", &a, &u, &used) != 2 ||
		    strcasecmp(key + n + used, ".fileName") || a >= buses[i].adapters ||
		    u >= buses[i].units || !isdigit((unsigned char)key[n + 2]))
			continue;
		snprintf(node, 16, "%s%u:%u", buses[i].name, a % 10, u % 100);
		snprintf(adapter, 16, "%s%u", buses[i].name, a % 10);
		return &buses[i];
	}
	return NULL;
}

/* The value of node.name. */
static const char *of(const struct dict *d, const char *node, const char *name)
{
	char key[48];

	snprintf(key, sizeof(key), "%s.%s", node, name);
	return dict_get(d, key);
}

static bool present(const struct dict *d, const char *what, bool fallback)
{
	char key[48];

	snprintf(key, sizeof(key), "%s.present", what);
	return dict_bool(d, key, fallback);
}

static int by_node(const void *a, const void *b)
{
	return strverscmp(((const struct vmx_disk *)a)->node, ((const struct vmx_disk *)b)->node);
}

int vmx_disks(struct vmx_disk **out, size_t *n, const struct dict *d, struct err *e)
{
	struct vmx_disk *disk = NULL, *more;
	size_t count = 0;

	for (size_t i = 0; i < dict_count(d); i++) {
		char node[16], adapter[16];
		const struct bus *bus = key_node(dict_key(d, i), node, adapter);
		const char *type, *mode, *file = dict_value(d, i);

		if (!bus || !*file || !present(d, node, false) ||
		    !present(d, adapter, bus->implied))
			continue;
		type = of(d, node, "deviceType");
		if (type && !strcasestr(type, "disk"))
			continue;
		more = realloc(disk, (count + 1) * sizeof(*disk));
		if (!more)
			goto no_memory;
		disk = more;
		memset(&disk[count], 0, sizeof(*disk));
		strcpy(disk[count].node, node);
		mode = of(d, node, "mode");
		disk[count].independent = mode && (!strncasecmp(mode, "independent", 11) ||
						   !strcasecmp(mode, "nonpersistent"));
		disk[count].file = strdup(file);
		if (!disk[count++].file)
			goto no_memory;
	}
	if (count)
		qsort(disk, count, sizeof(*disk), by_node);
	*out = disk;
	*n = count;
	return 0;
no_memory:
	vmx_disks_free(disk, count);
	return err_set(e, -ENOMEM, "no memory");
}

void vmx_disks_free(struct vmx_disk *disks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(disks[i].file);
	free(disks);
}

int vmx_disk_set(struct dict *d, const char *node, const char *file, struct err *e)
{
	char key[48];

	snprintf(key, sizeof(key), "%s.fileName", node);
	return dict_set(d, key, file, e);
}
