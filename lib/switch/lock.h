#ifndef SWITCH_LOCK_H
#define SWITCH_LOCK_H
/*
 * Which switches run: RUNDIR/switch/NAME.lock is locked (OFD) by the process of a switch,
 * and by the one that starts it again if it dies; beside it lie NAME.ctl, the control
 * socket (switch/daemon.h), and NAME.log, what a switch that was started in the background
 * has to say.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/* Who has the lock; 0: not known, or none. */
struct switch_holder {
	pid_t pid;		/* the switch */
	pid_t keeper;		/* starts it again */
};

/*
 * Take the lock of a switch for this process and those that it forks.
 *
 * fd         to be closed; closing the last copy gives the lock back
 * Returns    0; -EBUSY: held, and the message and h say by whom; -EINVAL: not a name of a
 *            switch; or as rundir_path()
 */
int switch_lock(int *fd, const char *name, struct switch_holder *h, struct err *e);

/* Write into a lock that one has who has it. */
int switch_lock_tell(int fd, const struct switch_holder *h, struct err *e);

/* Is it held?  1 and h, 0, or -errno. */
int switch_running(const char *name, struct switch_holder *h, struct err *e);

/* RUNDIR/switch/NAME and what follows (".ctl"), for free().  0, or as rundir_path(). */
int switch_path(char **out, const char *name, const char *suffix, struct err *e);
#endif
