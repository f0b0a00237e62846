#ifndef VMRUN_MACHINES_H
#define VMRUN_MACHINES_H
/* Running machines, as the commands that change them name them. */
#include "base/json.h"

#include "base/err.h"
#include "wire/ctl.h"

/*
 * The one machine that name stands for: its UUID or the beginning of it, or its pid.
 *
 * who        what the registry says of it, for json_decref()
 * Returns    0 and the connection to its control socket; -ESRCH: no such machine runs;
 *            -EINVAL: several do
 */
int machine_connect(struct ctl_client **c, json_t **who, const char *name, struct err *e);

/* fn for all, with what each says of itself now; those that do not answer are left out. */
int machine_each(void (*fn)(void *ptr, const json_t *info), void *ptr, struct err *e);
#endif
