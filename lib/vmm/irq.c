#include "vmm/irq.h"

#include <assert.h>
#include <stddef.h>

void irq_add_sink(struct irq *q, void (*set)(void *, unsigned, bool), void *ptr)
{
	assert(q->nsinks < sizeof(q->sink) / sizeof(q->sink[0]));
	q->sink[q->nsinks].set = set;
	q->sink[q->nsinks++].ptr = ptr;
}

void irq_set(struct irq *q, unsigned gsi, bool level)
{
	assert(gsi < IRQ_LINES);
	if (q->level[gsi] == level)
		return;
	q->level[gsi] = level;
	for (unsigned i = 0; i < q->nsinks; i++)
		q->sink[i].set(q->sink[i].ptr, gsi, level);
}

void irq_pulse(struct irq *q, unsigned gsi)
{
	irq_set(q, gsi, true);
	irq_set(q, gsi, false);
}

void irq_msi(struct irq *q, uint64_t addr, uint32_t data)
{
	if (q->msi)
		q->msi(q->msi_ptr, addr, data);
}
