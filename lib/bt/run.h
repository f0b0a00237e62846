#ifndef BT_RUN_H
#define BT_RUN_H
/* Running translated code. */
#include "bt/unit.h"

/* engine_ops.run */
enum vcpu_exit bt_run(struct vcpu *v);

/* Enter translated code in b's mode, with the state in b->v->cpu; comes back at an
 * exit, its reason in hot[H_REASON]. */
void bt_go(struct bt_vcpu *b, const uint8_t *code);
#endif
