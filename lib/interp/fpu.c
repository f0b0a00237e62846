/*
 * x87 and MMX in the loop.
 *
 * Loading and storing the x87 state takes a hundred times as long as most of
 * its instructions.  So the first one in run_fast() loads it, following ones run
 * on the host's registers as they are, and it goes back to cpu.xsave when
 * run_fast() ends, or before anything that looks at it there.  Between, this
 * process must not touch x87 registers; compiled code for x86-64 does so for
 * long double alone, which nothing here uses.
 *
 *	fld [a]		fpu_load(), fld, fnstsw
 *	mov eax, 5
 *	fadd st0, st1	fadd, fnstsw
 *	fnstenv [b]	fpu_store(), then the general function
 *
 * The status word kept after each instruction tells whether an exception is
 * pending, which the host must never meet: then the general function raises #MF.
 */

#include <string.h>

#include "base/le.h"
#include "interp/simd.h"

/* XRSTOR and XSAVE of the x87 component, with a header that is ours. */
static void fpu_load(struct vcpu *v)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t *h = (uint64_t *)(c->xsave + XS_HEADER), bv = h[0];

	h[0] = 1;
	h[1] = h[2] = 0;
	__asm__ volatile("xrstor %0" : : "m"(*(uint8_t (*)[X86_XSAVE_MAX])c->xsave),
			 "a"(1), "d"(0));
	h[0] = bv | 1;
	interp_of(v)->fpu_resident = true;
	interp_of(v)->fpu_waiting = fpu_pending(c);
}

void fpu_store(struct vcpu *v)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t *h = (uint64_t *)(c->xsave + XS_HEADER), bv = h[0];

	__asm__ volatile("xsave %0\n\tfninit" : "+m"(*(uint8_t (*)[X86_XSAVE_MAX])c->xsave)
			 : "a"(1), "d"(0));
	h[0] = bv | 1;
	h[1] = h[2] = 0;
	interp_of(v)->fpu_resident = false;
}

/* --- lines ------------------------------------------------------------------------- */

static int fpu_general(struct vcpu *v, const struct iline *e)
{
	fpu_leave(v);
	return e->exec(v, line_insn(interp_of(v), e));
}

static int fpu_general_sync(struct vcpu *v, const struct iline *e)
{
	return fpu_general(v, e) ? X86_FAULT : INTERP_SYNC;
}

static int fpu_wait(struct vcpu *v, const struct iline *e)
{
	const struct interp *it = interp_of(v);

	if (!it->fpu_resident || it->fpu_waiting || !(it->vectors & 4))
		return fpu_general(v, e);
	return X86_OK;
}

/* Line fields: imm the thunk's key, r0 the memory operand's access, mem_size its
 * bytes, r1 the general register or NOREG, size its access. */
static int fpu_line(struct vcpu *v, const struct iline *e)
{
	struct interp *it = interp_of(v);
	struct x86_cpu *c = &v->cpu;
	const struct thunk *t;
	struct simd_frame f;

	if (!(it->vectors & 4))
		return fpu_general(v, e);
	if (e->r0) {
		f.mem = line_mem(v, e, e->mem_size, e->r0 & X86_A_W);
		if (!f.mem)
			return fpu_general(v, e);
	}
	if (!it->fpu_resident)
		fpu_load(v);
	if (it->fpu_waiting)
		return fpu_general(v, e);
	t = thunk_find(it->simd, e->imm);
	if (!t)
		t = thunk_get(it->simd, line_insn(it, e), true);
	f.xsave = c->xsave;
	f.rax = e->r1 != X86_NOREG ? c->gpr[e->r1] : 0;
	if (t->flags)
		f.flags = (c->rflags & X86_FL_ARITH) | X86_FL_FIXED;
	t->fn(&f);
	it->fpu_waiting = f.trap & 0x80;
	if (e->r1 != X86_NOREG && (e->size & X86_A_W))
		c->gpr[e->r1] = f.rax;
	if (t->flags)
		fl_set(c, X86_FL_ARITH, (uint32_t)f.flags & X86_FL_ARITH);
	if (e->r0 & X86_A_W)
		vcpu_stored(v, f.mem, e->mem_size);
	return X86_OK;
}

static const struct x86_operand *operand_of(const struct x86_insn *in, unsigned kind)
{
	for (unsigned i = 0; i < in->nops; i++)
		if (in->o[i].kind == kind)
			return &in->o[i];
	return NULL;
}

line_fn *fpu_pick(struct iline *e, const struct x86_insn *in)
{
	const struct x86_operand *m = operand_of(in, X86_O_MEM), *g = operand_of(in, X86_O_GPR);

	if (in->unit == X86_U_INT)
		return fpu_general_sync;
	if (in->op == X86_FWAIT)
		return fpu_wait;
	if (in->unit == X86_U_SSE || e->exec != op_simd || vec_is_masked(in) ||
	    (m && !m->size))
		return fpu_general;
	e->imm = thunk_key(in) | THUNK_RESIDENT;
	e->r0 = m ? m->access : 0;
	e->mem_size = m ? m->size : 0;
	e->r1 = g ? g->reg : X86_NOREG;
	e->size = g ? g->access : 0;
	return fpu_line;
}
