#ifndef WIRE_REGISTRY_H
#define WIRE_REGISTRY_H
/*
 * The running machines of this user: three files each in the run-time folder's vm/,
 *
 *	UUID.lock	locked for as long as the machine lives: that alone says so
 *	UUID.json	who it is, one object (members below)
 *	UUID.ctl	its control socket (wire/ctl.h)
 *
 * Files of machines that died are removed by whoever comes across them.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "base/json.h"

#include "base/err.h"

#define REGISTRY_UUID 37	/* bytes of a UUID as text, with its NUL */

struct registry_entry;

/*
 * Enter this process as a machine.
 *
 * uuid       as text, lower case
 * who        further members for the .json, beside uuid and pid; taken
 * Returns    0; -EBUSY: a machine of that UUID runs; or as rundir_path()
 */
int registry_enter(struct registry_entry **r, const char *uuid, struct json *who,
		   struct err *e);
/* Say something else in the .json, so that it is always there whole; who is taken. */
void registry_update(struct registry_entry *r, struct json *who);
void registry_leave(struct registry_entry *r);	/* NULL is fine */

/* Where its control socket is to be. */
const char *registry_ctl_path(const struct registry_entry *r);

/*
 * All machines that live: fn gets the .json's object and the path of the control
 * socket, and returns false to stop.
 * Returns    0, or as rundir_path()
 */
int registry_each(bool (*fn)(void *ptr, const json_t *who, const char *ctl), void *ptr,
		  struct err *e);

/* A random UUID (RFC 4122, version 4).  0, or what the system said. */
int registry_uuid(char uuid[static REGISTRY_UUID], struct err *e);
#endif
