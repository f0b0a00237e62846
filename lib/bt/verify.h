#ifndef BT_VERIFY_H
#define BT_VERIFY_H
/*
 * Lock-step with the interpreter (--verify): every unit runs twice from the same
 * state, first instruction by instruction in the interpreter, then translated;
 * what the second run leaves must be what the first one had at that instruction.
 *
 * Units end where the result differs each time (devices, time, random numbers), are
 * not linked and not found by the jump cache, so that each entry is one straight
 * line:
 *
 *	state 0 -- interpreter --> states 1, 2, 3   (memory journaled, then undone)
 *	state 0 -- translated  --> left behind instruction 2: equals state 2?
 *
 * What an instruction translated in line stores and walks is known from its operands;
 * callouts and REPs run as trials (struct vcpu_trial).  The interpreter stops before
 * what it cannot take back: device memory, writes that somebody is told of, faults.
 * Translated code has to stop there, too.  What is not compared is counted by reason.
 */

#include "bt/unit.h"

struct bt_verify;

/* NULL when there is no memory. */
struct bt_verify *verify_new(struct bt_vcpu *b);
void verify_free(struct bt_verify *y);

/* Another result each time it is executed? */
bool verify_excluded(const struct x86_insn *in);

/* Keep u's instructions for the interpreter (in u->insn): all of in[0..n), of
 * which the first `pure` are translated.  false: no memory. */
bool verify_note(struct bt_unit *u, struct vcpu *v, const struct x86_insn *in,
		 unsigned n, unsigned pure);

/* Around the execution of u; flags in v->cpu.rflags.  A unit that was compared
 * thousands of times is compared now and then. */
void verify_begin(struct bt_verify *y, struct bt_unit *u);
/*
 * reason     enum bt_exit
 * Returns    0; 1: a REP that had begun was brought to its end, all is done;
 *            or -EIO: they differ, v->err says where
 */
int verify_end(struct bt_verify *y, const struct bt_unit *u, unsigned reason);

void verify_print_stats(const struct bt_verify *y,
			void (*put)(void *, const char *, uint64_t), void *ptr);
#endif
