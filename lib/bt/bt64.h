#ifndef BT64_H
#define BT64_H
/* Into and out of translated 64-bit code: what bt.c needs of it. */
#include "bt/unit.h"

/* Run code (an entry_lookup) until it leaves; H_REASON, H_ARG and RIP say why, as
 * for 32-bit code.  enter() has set H_JTAG's generation and the flags. */
void bt64_run(struct bt_vcpu *b, const uint8_t *code);

/* The kick's handler: nothing is found in the jump cache any more. */
void bt64_jtag_off(void);

/* The signal handler: the linear address that s accesses, from the registers there
 * (R15 and a borrowed one are put in). */
uint64_t bt64_site_ea(const struct bt_unit *u, const struct bt_site *s, uint64_t gpr[16]);

/* The signal handler: the linear address for which a REP with host pointers accesses
 * hva, di: by RDI, else by RSI. */
uint64_t bt64_string_gva(const struct bt_vcpu *b, bool di, uint64_t hva);

/* The signal handler: what belongs in u->away[i]. */
uint64_t bt64_away(unsigned i);

/* The signal handler: leave at site s of u.  Returns where to go on. */
const void *bt64_leave_at(struct bt_unit *u, const struct bt_site *s, uint64_t *borrowed);
#endif
