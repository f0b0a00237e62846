#ifndef VMM_WALKMEM_H
#define VMM_WALKMEM_H
/* The guest's memory as page walks see it, and memfd offsets turned back. */

#include "vmm/vm.h"
#include "x86/walk.h"

/* For x86_walk() on v->cpu: page-table reads and A/D updates in v->vm->mem. */
struct x86_walk_mem vcpu_walk_mem(struct vcpu *v);

/* The guest-physical address of a memfd offset that a slot maps. */
static inline uint64_t vcpu_off_gpa(const struct mem *m, uint64_t off)
{
	for (unsigned i = 0; i < m->nslots; i++)
		if (off - m->slot[i].off < m->slot[i].len)
			return m->slot[i].gpa + (off - m->slot[i].off);
	return UINT64_MAX;
}
#endif
