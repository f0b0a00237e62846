#include "disk/geometry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GIB_SECTORS	(1ull << 21)
#define IDE_CYLINDERS	16383u

void geometry_of(struct disk_geometry *g, uint64_t sectors, const char *adapter)
{
	bool ide = !strcmp(adapter, "ide");
	uint64_t n;

	if (ide) {
		g->heads = 16;
		g->sectors = 63;
	} else if (sectors <= 2 * GIB_SECTORS) {
		g->heads = sectors <= GIB_SECTORS ? 64 : 128;
		g->sectors = 32;
	} else {
		g->heads = 255;
		g->sectors = 63;
	}
	n = sectors / (g->heads * g->sectors);
	if (ide && n > IDE_CYLINDERS)
		n = IDE_CYLINDERS;
	g->cylinders = n > UINT32_MAX ? UINT32_MAX : n ? (uint32_t)n : 1;
}

#define FIELD(key, name) { "ddb.geometry." key, offsetof(struct disk_geometry, name) }

static const struct {
	const char *key;
	size_t off;
} fields[] = {
	FIELD("cylinders", cylinders), FIELD("heads", heads), FIELD("sectors", sectors),
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

int geometry_set(struct desc *d, const struct disk_geometry *g, struct err *e)
{
	char value[16];
	int rc = 0;

	for (size_t i = 0; i < FIELDS && !rc; i++) {
		const uint32_t *v = (const void *)((const char *)g + fields[i].off);

		snprintf(value, sizeof(value), "%u", *v);
		rc = desc_set(d, fields[i].key, value, e);
	}
	return rc;
}

int geometry_get(const struct desc *d, struct disk_geometry *g, struct err *e)
{
	for (size_t i = 0; i < FIELDS; i++) {
		const char *s = desc_get(d, fields[i].key);
		uint32_t *v = (void *)((char *)g + fields[i].off);
		unsigned long long n;

		if (!s)
			return err_set(e, -ENOENT, "%s is missing", fields[i].key);
		n = strspn(s, "0123456789") < 11 ? strtoull(s, NULL, 10) : 0;
		if (s[strspn(s, "0123456789")] || !n || n > UINT32_MAX)
			return err_set(e, -EBADMSG, "%s \"%.40s\": not a number above 0",
				       fields[i].key, s);
		*v = (uint32_t)n;
	}
	return 0;
}
