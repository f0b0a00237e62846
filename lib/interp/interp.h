#ifndef INTERP_H
#define INTERP_H
/*
 * The interpreter: plain C over the opcode tables.  It is an engine
 * (--accel interp), the oracle of the translator, and what the translator
 * calls for every instruction that it does not translate itself.
 */

#include "vmm/vm.h"

extern const struct engine_ops interp_engine;

/*
 * What interp_step() needs: a decode cache and thunks for vector instructions.
 * The interpreter engine makes them itself; another engine calls these, per VM
 * after memory is set up, then per vCPU.  0 or -ENOMEM..; destroy takes absent
 * ones.
 */
int interp_vm_create(struct vm *vm, struct err *e);
void interp_vm_destroy(struct vm *vm);
int interp_vcpu_create(struct vcpu *v, struct err *e);
void interp_vcpu_destroy(struct vcpu *v);

/*
 * Guest memory [gpa, gpa+len) was written: forget instructions decoded from it.
 * Whoever owns mem->on_write calls this from there.  Returns true when the
 * interpreter has no instructions of these pages any more, so that, as far as
 * it is concerned, MEM_PF_CODE may be cleared.
 */
bool interp_code_written(struct vm *vm, uint64_t gpa, uint64_t len);

enum interp_result {
	INTERP_OK,		/* one instruction retired, or an exception delivered */
	INTERP_HLT,		/* cpu.halted was set */
	INTERP_SHUTDOWN,	/* triple fault */
};

/*
 * Execute exactly one instruction at CS:RIP (a REP string instruction may stop
 * early after a bounded run, rip unchanged then), delivering any exception it
 * raises.  Does not look for interrupts.  v->cpu is the state, current before
 * and after.  Guest FPU state is in v->cpu.xsave.
 */
enum interp_result interp_step(struct vcpu *v);

/*
 * Deliver the exception in v->cpu.exc as the processor does: contributory
 * faults become #DF, a fault in #DF shuts down.  RIP must be the faulting
 * instruction's (or behind it for traps).
 */
enum interp_result interp_exception(struct vcpu *v);

/* Take an external interrupt or NMI now (the caller checked IF and inhibit). */
enum interp_result interp_interrupt(struct vcpu *v, uint8_t vector);

/*
 * Look at v->req between instructions: takes INTR and NMI if the guest's state
 * allows.  Returns true with *exit set when run() has to return to its caller.
 */
bool interp_service_requests(struct vcpu *v, enum vcpu_exit *exit);

/* After v->cpu's control registers changed behind its back (bt, tests). */
void interp_state_changed(struct vcpu *v);
#endif
