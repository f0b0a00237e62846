#ifndef VMX_STATE_H
#define VMX_STATE_H
/* The .vmsn of a snapshot: beside the list, which names it. */

#include "vmx/machine.h"

/* Where it is.  *path is NULL when file names none; else the caller frees it. */
int state_path(const struct machine *m, const char *file, char **path, struct err *e);

/* A name for that of a new snapshot.  The caller frees it.  NULL: no memory. */
char *state_name(const struct machine *m, uint32_t uid);

/* Write it: with the text of a .vmx. */
int state_save(const char *path, const char *config, size_t len, struct err *e);

/* The .vmx of the snapshot whose .vmsn the list calls file; NULL: it is not known. */
int state_config(const struct machine *m, const char *file, struct dict **d, struct err *e);
#endif
