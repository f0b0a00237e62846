#ifndef DISK_LOCK_H
#define DISK_LOCK_H
/*
 * Two writers never open one disk.  For a disk "x.vmdk" the folder "x.vmdk.lck" holds
 * one file that names its owner, as VMware's products leave it there, and an OFD lock on
 * that file says whether the owner lives: a folder whose owner is dead is taken over.
 * On another host of a shared volume a lock is alive unless the file system says
 * otherwise.
 */

#include "base/err.h"

struct disk_lock;

/*
 * Lock the disk whose descriptor (or only file) is path.
 *
 * Returns    0; -EBUSY: held, the message names host and pid of the holder (and how to
 *            break the lock of a host that is gone); -EROFS, -EACCES, ...: the folder
 *            cannot be written
 */
int disk_lock(struct disk_lock **l, const char *path, struct err *e);

/* Is there a lock's folder for path whose owner is dead?  Away with it.  0; -EBUSY: it is
 * alive, as disk_lock() says it. */
int disk_lock_clear(const char *path, struct err *e);

/* Who has the disk locked?  -EBUSY: as disk_lock() says it; 0: nobody who lives.
 * Changes nothing. */
int disk_lock_look(const char *path, struct err *e);

/* The process of this host that has the disk locked by disk_lock(); 0: none. */
long disk_lock_pid(const char *path);

/* Unlock and remove the folder.  NULL is fine. */
void disk_unlock(struct disk_lock *l);
#endif
