#include "pc/shutdown.h"

#include "vmm/access.h"

enum { INT1 = 0xf1, INT3 = 0xcc, INT_N = 0xcd };
enum { VECTOR_LEN = 4 };	/* the smallest entry of a table, in real mode */

bool shutdown_is_reset(const struct vcpu *v)
{
	const struct x86_cpu *c = &v->cpu;
	uint64_t gva = c->rip + c->seg[X86_CS].base, gpa;
	uint8_t op;

	if (c->idtr.limit >= VECTOR_LEN - 1)
		return false;
	if (c->code_bits != 64)
		gva = (uint32_t)gva;
	if (!vcpu_peek(v, gva, &gpa) || !mem_read(v->vm->mem, gpa, &op, 1))
		return false;
	return op == INT1 || op == INT3 || op == INT_N;
}
