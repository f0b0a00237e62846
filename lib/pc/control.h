#ifndef PC_CONTROL_H
#define PC_CONTROL_H
/*
 * The control socket of a running machine (wire/ctl.h), and its entry among those that run
 * (wire/registry.h).
 *
 * A verb is a row of the table in control.c: a name and a function that is called with the
 * struct pc on the main loop's thread, where it must not block.  What takes longer is a
 * job: a thread does it, the reply comes when it has ended, and there is one at a time, so
 * that what its verb has checked stays so (disks, above all).
 *
 *	info	{}	-> who it is, as in the registry, and "pid"
 *	stop	{}	-> {}; the machine ends as if it were switched off
 *	disk-add, disk-remove	pc/hotplug.h
 *	disks, disk-push, ...	pc/live.h
 *
 * Events: {"event":"disk-added","place":"scsi0:1","path":"/..."}, disk-removed.
 */

#include <stdbool.h>

#include "base/json.h"
#include "wire/ctl.h"

struct pc;

/*
 * Enter the registry and listen.
 * Returns    0, or why there is none: the machine runs without it
 */
int control_open(struct pc *pc, struct err *e);
/* Wait for a job, answer its client, and be gone.  Fine when there is none. */
void control_close(struct pc *pc);

/* To be polled for POLLIN; -1: none. */
int control_fd(const struct pc *pc);
/* Do what has come in, and answer what a job has ended. */
void control_handle(struct pc *pc);

struct control_job {
	/* On a thread of its own, without any lock of the machine's. */
	int (*work)(struct control_job *job, struct err *e);
	/* Then on the main loop's thread: members of the reply, and what else there is to do
	 * when work() returned rc.  Frees the job, and returns what the reply is to say; or
	 * CTL_LATER, to be called again after control_again(). */
	int (*end)(struct control_job *job, int rc, struct json *out, struct err *e);
	struct pc *pc;
};

/*
 * For a verb: run a job, whose end() is called in any case.
 * Returns    CTL_LATER; -EAGAIN: there is one already, -ENOMEM, ...
 */
int control_start(struct pc *pc, struct ctl_request *r, struct control_job *job,
		  struct err *e);

/* On the main loop's thread: the job has come to an end, call its end(). */
void control_again(struct pc *pc, int rc, const struct err *e);

/* The list of disks is another: tell who listens, and the registry. */
struct pc_disk;
void control_disks_changed(struct pc *pc, const char *event, const struct pc_disk *d);

/* Is a job under way?  -EAGAIN then, as control_start() would say it. */
int control_busy(const struct pc *pc, struct err *e);
#endif
