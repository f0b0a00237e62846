#ifndef DISK_PART_H
#define DISK_PART_H
/*
 * A disk that is filled while it is made: until it is complete it is called
 * "x.vmdk.part" ("x.vmdk.part-flat.vmdk", ...), so that whatever ends the work in between
 * leaves no disk of the name that was asked for, and one that is to be replaced stays
 * until then.  What was left so is removed by who makes the same disk next.
 */

#include "disk/create.h"

struct disk_part;

/*
 * Look whether the disk can be made at path, lock its place, and remove what an earlier
 * try has left there.  c->made is told the files that it will have.
 *
 * c          as for disk_create(); kept, not copied
 * p          NULL with c->dry
 * Returns    0; -EEXIST: one of its files is there (with c->force: without being a file of
 *            the disk at path); -EBUSY: someone else makes it, or the disk at path is in
 *            use; as disk_create(), disk_delete()
 */
int disk_part_begin(struct disk_part **p, const char *path, const struct disk_create *c,
		    struct err *e);

/* What it is called until then: create and open it there (without a lock). */
const char *disk_part_path(const struct disk_part *p);

/*
 * It is complete, durable and closed: with c->force away with the one that is there, and
 * give it its name.  A crash leaves the one, the other, or at worst none and this one
 * under both names or the first; so does a failure, which then says that.
 */
int disk_part_finish(struct disk_part *p, struct err *e);

/* All of that for a disk that stays empty: as disk_create(). */
int disk_part_create(const char *path, const struct disk_create *c, struct err *e);

/* The end; unless it was finished all of it is removed.  NULL is fine. */
void disk_part_free(struct disk_part *p);
#endif
