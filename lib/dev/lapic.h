#ifndef DEV_LAPIC_H
#define DEV_LAPIC_H
/*
 * Local APICs of all vCPUs: xAPIC registers at 0xfee00000, x2APIC MSRs, the
 * timer, IPIs, and messages from the IOAPIC and MSIs (vm->irq.msi).
 * Spec: Intel SDM vol. 3A, chapter 10 "APIC".
 *
 * Who tells whom:
 * - The LAPIC calls vcpu_request(v, VCPU_REQ_INTR) whenever v may have become
 *   interruptible by it: a new IRR bit, an EOI, a lowered TPR, the 8259's INTR
 *   rising while it reaches this vCPU.
 * - The engine clears VCPU_REQ_INTR, then asks v->intr_pending(v->intr_ptr).
 *   If it is true and RFLAGS.IF and the shadows allow, it calls v->intr_ack(),
 *   which moves the interrupt from IRR to ISR and gives the vector, or -1
 *   (nothing after all); if they do not allow yet, the engine itself
 *   remembers to ask again when they do.
 * - When more is pending behind the one acknowledged, VCPU_REQ_INTR is set
 *   again by intr_ack(); what priorities hold back comes with the EOI.
 * - apic_rdmsr and apic_wrmsr take IA32_APIC_BASE (0x1b), IA32_TSC_DEADLINE
 *   (0x6e0) and 0x800-0x8ff; *ok false: #GP.  IA32_APIC_BASE is also kept in
 *   v->cpu.apic_base, for CPUID.  The APIC page cannot be moved (#GP).
 * - NMI, INIT and SIPI are requests of their own; INIT resets the LAPIC here,
 *   the vCPU is reset by whoever runs it; sipi_vector is set before SIPI.
 * The functions in struct vcpu take vm->lock; the rest is called with it held.
 *
 * A LAPIC disabled in IA32_APIC_BASE leaves the 8259's INTR to vCPU 0.  After
 * reset vCPU 0 has LINT0 in ExtINT mode, unmasked (virtual wire, MP spec 1.4,
 * 3.6.2.2), as firmware leaves it.
 */

#include "base/err.h"
#include "dev/pic.h"
#include "vmm/vm.h"

#define LAPIC_BASE	0xfee00000ull
/* Input of the divider of the timer: what the VMware backdoor reports as bus
 * frequency. */
#define LAPIC_TIMER_HZ	1000000000u

enum lapic_mode {
	LAPIC_FIXED = 0, LAPIC_LOWEST = 1, LAPIC_SMI = 2, LAPIC_NMI = 4,
	LAPIC_INIT = 5, LAPIC_SIPI = 6, LAPIC_EXTINT = 7,
};

struct lapic_msg {
	uint32_t dest;		/* 0xff (x2APIC: 0xffffffff): all */
	uint8_t vector;
	uint8_t mode;		/* enum lapic_mode, 3 bits */
	bool logical;
	bool level;		/* sets TMR: the EOI goes to the IOAPIC */
};

struct lapics;

/* One LAPIC for each of vm->vcpu[0..ncpus), whose hooks are filled in.
 * pic        may be NULL
 * NULL with *e set. */
struct lapics *lapics_new(struct vm *vm, struct pic *pic, struct err *e);
void lapics_reset(struct lapics *ls);
void lapics_free(struct lapics *ls);

/* Send a message.  False: no LAPIC took it. */
bool lapics_send(struct lapics *ls, const struct lapic_msg *m);
/* Who hears EOIs of level interrupts. */
void lapics_on_eoi(struct lapics *ls, void (*eoi)(void *ptr, uint8_t vector),
		   void *ptr);
#endif
