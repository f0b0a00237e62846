#ifndef WIRE_CTL_IMPL_H
#define WIRE_CTL_IMPL_H
/* What the two clients of control sockets (ctl_client.c, ask.c) share. */

#include "wire/ctl.h"

/* A reply: 0, or what it says went wrong.  o is taken; NULL is no reply. */
int ctl_judge(json_t *o, json_t **reply, struct err *e);
#endif
