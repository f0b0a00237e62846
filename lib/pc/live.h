#ifndef PC_LIVE_H
#define PC_LIVE_H
/*
 * Verbs of the control socket (pc/control.h) by which the layers of disks are changed while
 * the machine runs (disk/live.h).  A disk is named by the real path of its present top,
 * which is also what the client must know to be right.  Files are opened as by this process,
 * whose user the client is, or root.
 *
 *   disks        {}	-> {"disks":[...]}: what live_describe() says of each
 *   disk-push    {"disks":[{"top":T,"path":P}...]}	a new top P on each, all at once
 *   disk-revert  {"disks":[{"top":T,"path":P}...]}	the machine is reset, and goes on with P
 *   disk-rebase  {"top":T,"parent_cid":N,"hint":H}	T hangs on H; or, without, keeps its
 *		  parent, whose CID is N now
 *   disk-fold    {"top":T,"bytes_max":N,"stun_max_ns":N}	T goes into its parent; code EAGAIN:
 *		  it is more than that
 *   Replies of these but the first: {"stun_ns":N}, how long requests of the guest waited.
 *   disk-pace	  {"top":T,"bytes_s":N,"delay_max_ns":N,"lease_ns":N}	as disk_pace() (disk/pace.h):
 *		  the guest writes less, for a while	-> {"delayed":N,"delay_ns":N,"longest_ns":N}:
 *		  its writes that had to wait since the last such request
 *
 * While one of them is under way the others, and "disks", fail with EAGAIN.
 */

#include "base/json.h"
#include "wire/ctl.h"

struct pc;

int live_list(void *pc, struct ctl_request *r, struct json *out, struct err *e);
int live_push(void *pc, struct ctl_request *r, struct json *out, struct err *e);
int live_rebase(void *pc, struct ctl_request *r, struct json *out, struct err *e);
int live_fold(void *pc, struct ctl_request *r, struct json *out, struct err *e);
int live_pace(void *pc, struct ctl_request *r, struct json *out, struct err *e);
int live_revert(void *pc, struct ctl_request *r, struct json *out, struct err *e);

/*
 * Append disk i, unless it was removed: {"place":"scsi0:0","path":P,"cdrom":B} and, if it is no CD-ROM, "mode", and,
 * if its layers can be changed, "top", "layers" and "capacity_bytes".
 */
void live_describe(const struct pc *pc, unsigned i, struct json *list);

/* All vCPUs are stopped, no request is under way: change the disks that wait for that. */
void live_at_reset(struct pc *pc);
#endif
