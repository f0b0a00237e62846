#ifndef VMM_IRQ_H
#define VMM_IRQ_H
/*
 * Interrupt lines from devices to controllers.  A line (GSI 0-23) fans out to
 * the 8259 pair (0-15) and the IOAPIC; controllers register themselves.
 * All calls need vm->lock.
 *
 * Lines 0-15 are the ISA interrupts; as on all PCs, line 0 (the 8254) is wired
 * to pin 2 of the IOAPIC and line 2 (the 8259 cascade) to none.
 */

#include <stdbool.h>
#include <stdint.h>

#define IRQ_LINES 24

struct irq_sink {
	void (*set)(void *ptr, unsigned gsi, bool level);
	void *ptr;
};

struct irq {
	struct irq_sink sink[2];
	unsigned nsinks;
	void (*msi)(void *ptr, uint64_t addr, uint32_t data);
	void *msi_ptr;
	bool level[IRQ_LINES];
};

void irq_add_sink(struct irq *q, void (*set)(void *, unsigned, bool), void *ptr);
void irq_set(struct irq *q, unsigned gsi, bool level);
void irq_pulse(struct irq *q, unsigned gsi);	/* edge: up, then down */
void irq_msi(struct irq *q, uint64_t addr, uint32_t data);
#endif
