#ifndef BT_SIGNAL_H
#define BT_SIGNAL_H
/* The signal side of translated code; see signal.c. */

#include "bt/unit.h"

/* On the vCPU's own thread.  0 or -errno. */
int bt_signal_init(struct bt_vcpu *b, struct err *e);
void bt_signal_fini(struct bt_vcpu *b);

/* The kick signal came while `context` ran. */
void bt_signal_kicked(struct bt_vcpu *b, void *context);
/* Send the kick again in so many ns; 0: not any more. */
void bt_signal_retry(struct bt_vcpu *b, unsigned ns);
#endif
