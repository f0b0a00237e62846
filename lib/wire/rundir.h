#ifndef WIRE_RUNDIR_H
#define WIRE_RUNDIR_H
/*
 * The run-time folder, in which running machines are found: $RING1_RUN, else
 * /run/ring1 for root, else $XDG_RUNTIME_DIR/ring1, else /tmp/ring1-UID.
 */

#include "base/err.h"

/*
 * The path of a folder in the run-time folder, made if it is not there.
 *
 * sub        one name, as "vm"
 * Returns    0 and *out, which the caller frees; -EPERM: it belongs to somebody else or
 *            others may write to it; or what the system said
 */
int rundir_path(char **out, const char *sub, struct err *e);
#endif
