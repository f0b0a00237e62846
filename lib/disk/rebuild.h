#ifndef DISK_REBUILD_H
#define DISK_REBUILD_H
/* Lost descriptors, made anew from the extents that lie beside them. */

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct rebuild {
	uint32_t cid;		/* 0: a new one */
	bool vmfs;		/* a flat extent is one of a vmfs disk, not of a hosted one */
	const char *adapter;	/* ddb.adapterType; NULL: lsilogic */
	const char *parent;	/* path of the parent of a delta; NULL: it is looked for */
	bool outside, dry;
	void *ptr;
	void (*made)(void *ptr, const char *path);	/* a descriptor; may be NULL */
};

/*
 * Make the descriptor at path, and before it those of parents that are lost, too.
 *
 * Returns    0; -ENOENT: no extents of that name; -EBADMSG: damaged ones; -EEXIST: there is
 *            a file at path
 */
int rebuild_desc(const char *path, const struct rebuild *r, struct err *e);

/* Are there extents from which the descriptor at path could be made? */
bool rebuild_possible(const char *path);
#endif
