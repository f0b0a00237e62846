#ifndef SWITCH_DAEMON_H
#define SWITCH_DAEMON_H
/*
 * The process of a virtual switch: the core (net/switch.h) with ports around it, on one
 * loop, and a control socket at RUNDIR/switch/NAME.ctl (wire/ctl.h).  Its verbs:
 *
 *	info	{} -> {"name","pid","keeper_pid","started_us","text"}; text: the configuration
 *		as switch_config_text() writes it
 *	show	{} -> {"ports":[P...],"uplinks":[U...]}, P:
 *		{"id","kind":"ring"|"stream"|"dgram"|"dhcp","group","vlan","link","enabled",
 *		"blocked","address","effective_address","uplink","uuid","nic","pid"}, where
 *		vlan is a number, "trunk" for a trunk, address null while it is unknown, uplink
 *		the name of the one in use or null, uuid, nic and pid those of a VM or null;
 *		a NIC whose group does not exist has id null and "waits" with the reason.  U:
 *		{"id","slot","kind":"tap"|...,"name":"tap:NAME"...,"link","usable","address"}
 *	stats	{} -> {"ports":[{"id","kind","group","name","address","in_frames","in_bytes",
 *		"out_frames","out_bytes","failovers","drops":{"malformed":0,...}}]}, of uplinks,
 *		too: those have name and no group
 *	apply	{"text"}, or {} and a descriptor (a file, memfd) that holds the text, for one that
 *		is longer than a request may be -> {"changed"}; -EBADMSG, or why it cannot be
 *		done: then nothing has changed
 *	capture	{"group":NAME | "port":ID or address or name} (neither: all) and a descriptor,
 *		a pipe or a socket, to which pcapng goes until its other end is closed -> {}
 *	attach	{"uuid","nic":N}: a VM that is entered in the registry wants its NIC plugged in
 *		-> {}, and the VM is dialled (nic-ring); -ENOENT: no such group here: as soon as
 *		there is, it is dialled
 *	stop	{} -> {}, then the process ends
 *
 * Files: NAME.lock (switch/lock.h).  An idle switch does not wake up.
 */

#include <stdbool.h>

#include "base/err.h"
#include "net/loop.h"
#include "switch/config.h"

struct daemon;

struct daemon_options {
	int lock;		/* of switch_lock(); stays the caller's */
	int keeper;		/* process id of who starts it again, or 0 */
	/* What happens and nobody waits for: a sentence. */
	void (*say)(void *ptr, const char *sentence);
	void *ptr;
};

/*
 * Make a switch: all that is configured is open, the control socket listens, and VMs that
 * run and name it in their registry entries are dialled, when it returns.
 *
 * c          taken, also on failure
 * Returns    0; -EADDRINUSE: its control socket is another's; or why a part of the
 *            configuration cannot be, named in the message
 */
int daemon_open(struct daemon **d, struct switch_config *c, const struct daemon_options *o,
		struct err *e);

/* Another configuration, all of it or nothing; c is taken.  0, or why not. */
int daemon_apply(struct daemon *d, struct switch_config *c, bool *changed, struct err *e);

/* For what else the process watches (signals). */
struct loop *daemon_loop(struct daemon *d);

int daemon_run(struct daemon *d, struct err *e);	/* until daemon_stop() */
void daemon_stop(struct daemon *d);
void daemon_close(struct daemon *d);		/* NULL is fine */
#endif
