/*
 * x87, MMX, SSE and AVX: the checks before, the thunk, and what follows.
 * SDM vol. 2 exception classes (tables 2-14 ff.), vol. 3 chapter 13.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "interp/simd.h"

#define MXCSR_RESERVED 0xffff0000u

int simd_create(struct vcpu *v, struct err *e)
{
	struct simd *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return err_set(e, -ENOMEM, "no memory for the interpreter");
	interp_of(v)->simd = s;
	rc = thunk_create(s, e);
	if (rc)
		simd_destroy(interp_of(v));
	return rc;
}

void simd_destroy(struct interp *it)
{
	if (!it->simd)
		return;
	thunk_destroy(it->simd);
	free(it->simd);
	it->simd = NULL;
}

void simd_touch_ymm(struct x86_cpu *c)
{
	uint64_t bv = le64_get(c->xsave + XS_HEADER);

	if (!(bv & 4))
		memset(c->xsave + XS_YMMH, 0, 256);
	le64_put(c->xsave + XS_HEADER, bv | 7);
}

/* An unmasked x87 exception waits for the next waiting instruction. */
bool fpu_pending(struct x86_cpu *c)
{
	return *fpu_u16(c, XS_FSW) & ~*fpu_u16(c, XS_FCW) & 0x3f;
}

static bool fpu_waits(const struct x86_insn *in)
{
	switch (in->op) {
	case X86_FNINIT: case X86_FNSTENV: case X86_FNSAVE: case X86_FNSTSW:
	case X86_FNSTCW: case X86_FNCLEX:
		return false;
	case X86_FNOP:	/* but not what FENI, FDISI, FSETPM have become */
		return in->opcode != 0xdb;
	default:
		return true;
	}
}

/* May the instruction run at all?  #UD before #NM before #MF. */
static int simd_allowed(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	bool mmx = x86_has_mmx(in);

	if (in->unit == X86_U_X87) {
		uint64_t stop = in->op == X86_FWAIT ? 0 : X86_CR0_EM;

		if ((c->cr0 & stop) || ((c->cr0 & X86_CR0_TS) &&
					(in->op != X86_FWAIT || (c->cr0 & X86_CR0_MP))))
			return x86_raise(c, X86_EXC_NM);
		if (fpu_waits(in) && fpu_pending(c))
			return x86_raise(c, X86_EXC_MF);
		return X86_OK;
	}
	if (in->unit == X86_U_AVX) {
		if (!(c->cr4 & X86_CR4_OSXSAVE) || (c->xcr0 & 6) != 6 || !x86_protected(c))
			return x86_raise(c, X86_EXC_UD);
	} else if ((c->cr0 & X86_CR0_EM) ||
		   (in->unit == X86_U_SSE && !(c->cr4 & X86_CR4_OSFXSR))) {
		return x86_raise(c, X86_EXC_UD);
	}
	if (c->cr0 & X86_CR0_TS)
		return x86_raise(c, X86_EXC_NM);
	if (mmx && fpu_pending(c))
		return x86_raise(c, X86_EXC_MF);
	return X86_OK;
}

/* --- the memory operand --------------------------------------------------------- */

struct simd_mem {
	uint64_t gva;
	unsigned size;
	bool read, write, bounced;
	void *ptr;
	uint8_t buf[64] __attribute__((aligned(64)));
};

/*
 * Find the host address for a thunk's memory operand: guest memory itself when
 * plain, else a buffer, filled with what is there.
 */
static int mem_begin(struct vcpu *v, const struct x86_insn *in,
		     const struct x86_operand *o, bool may_trap, struct simd_mem *m)
{
	enum tlb_mode mode = vcpu_tlb_mode(v);
	const struct tlb_entry *e;

	m->size = o->size;
	m->read = o->access & X86_A_R;
	m->write = o->access & X86_A_W;
	/* FSTP m80 and FBSTP store two pieces: a page fault in the first is before
	 * the limit's. */
	if (m->write && m->size == 10 &&
	    (seg_linear(v, in->seg, interp_ea(v, in), 8, true, &m->gva) ||
	     vcpu_probe_write(v, m->gva, 8, mode)))
		return X86_FAULT;
	if (seg_linear(v, in->seg, interp_ea(v, in), m->size, m->write, &m->gva))
		return X86_FAULT;
	if (in->aligned && (m->gva & (m->size - 1)))
		return x86_raise_err(&v->cpu, X86_EXC_GP, 0);
	e = &v->tlb.e[mode][m->gva >> 12 & (TLB_SIZE - 1)];
	if ((m->gva & 0xfff) + m->size <= 4096 && !(m->write && may_trap) &&
	    (m->write ? e->wtag : e->rtag) == (m->gva & PAGE_MASK)) {
		m->ptr = (void *)(uintptr_t)(m->gva + e->addend);
		return X86_OK;
	}
	m->ptr = m->buf;
	m->bounced = true;
	if (m->write && vcpu_probe_write(v, m->gva, m->size, mode))
		return X86_FAULT;
	/* An x87 store with an unmasked exception leaves memory as it is. */
	return vcpu_read(v, m->gva, m->buf, m->size, mode);
}

/* --- around the thunk ------------------------------------------------------------- */

static const struct x86_operand *operand_of(const struct x86_insn *in, unsigned kind)
{
	for (unsigned i = 0; i < in->nops; i++)
		if (in->o[i].kind == kind)
			return &in->o[i];
	return NULL;
}

static bool is_pcmpstr(const struct x86_insn *in)
{
	return in->map == 3 && in->opcode >= 0x60 && in->opcode <= 0x63;
}

static void thunk_call(struct x86_cpu *c, const struct thunk *t, struct simd_frame *f)
{
	uint64_t *h = (uint64_t *)(c->xsave + XS_HEADER), bv = h[0];

	if (!t->fpu) {
		t->fn(f);
		return;
	}
	/* The header that XRSTOR sees is ours, not the guest's. */
	h[0] = 1;
	h[1] = h[2] = 0;
	t->fn(f);
	h[0] = bv | 1;
	h[1] = h[2] = 0;
}

/* Where physical register reg lies: the area holds the stack's order. */
static uint8_t *fpu_physical(struct x86_cpu *c, unsigned reg)
{
	unsigned top = *fpu_u16(c, XS_FSW) >> 11 & 7;

	return c->xsave + XS_ST + 16 * ((reg - top) & 7);
}

static int simd_exception(struct x86_cpu *c)
{
	return x86_raise(c, c->cr4 & X86_CR4_OSXMMEX ? X86_EXC_XM : X86_EXC_UD);
}

/* Underflow was found by flushing to zero, which always counts as inexact: look
 * again without.  UE, set before, keeps the thunk from storing a result. */
static uint32_t was_inexact(struct x86_cpu *c, const struct thunk *t, struct simd_frame *f)
{
	f->mxcsr = (f->mxcsr & ~0x8000u) | (*fpu_u32(c, XS_MXCSR) & 0x8000) | 0x10;
	thunk_call(c, t, f);
	return f->mxcsr_out & 0x20;
}

static int simd_host(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	const struct thunk *t = thunk_get(interp_of(v)->simd, in, false);
	const struct x86_operand *mo = operand_of(in, X86_O_MEM);
	const struct x86_operand *go = t->gpr ? operand_of(in, X86_O_GPR) : NULL;
	struct simd_frame f = { .xsave = c->xsave };
	struct simd_mem m = { .bounced = false };
	uint8_t *mmx = NULL, keep[10] = { 0 };

	if (mo && mem_begin(v, in, mo, t->mxcsr, &m))
		return X86_FAULT;
	f.mem = m.ptr;
	if (in->unit == X86_U_AVX)
		simd_touch_ymm(c);
	if (t->gpr) {
		f.rax = c->gpr[go ? go->reg : X86_RAX];
		f.rcx = c->gpr[X86_RCX];
		f.rdx = c->gpr[X86_RDX];
	}
	if (t->flags)
		f.flags = (c->rflags & X86_FL_ARITH) | X86_FL_FIXED;
	if (t->mxcsr) {
		uint32_t mxcsr = *fpu_u32(c, XS_MXCSR);

		f.mxcsr = (mxcsr & ~0x3fu) | 0x1f80;
		f.mxcsr_host = 0x1f80;
		f.trap = ~mxcsr >> 7 & 0x3f;
		/* Unmasked underflow traps on exact tiny results too: flushing to
		 * zero shows all of them. */
		if (f.trap & 0x10)
			f.mxcsr |= 0x8000;
	}
	if (t->fpu && t->mxcsr && in->o[0].kind == X86_O_MMX)
		mmx = fpu_physical(c, in->o[0].reg);
	memcpy(keep, mmx ? mmx : keep, 10);
	thunk_call(c, t, &f);
	if (t->mxcsr) {
		uint32_t raised = f.mxcsr_out & 0x3f;

		/* Invalid, denormal, zero-divide stop before there is a result to
		 * be inexact. */
		if (raised & f.trap & 7)
			raised &= 7;
		else if (raised & f.trap & 0x10)
			raised &= ~0x20u | was_inexact(c, t, &f);
		*fpu_u32(c, XS_MXCSR) |= raised;
		if (raised & f.trap) {
			/* The switch to MMX happens, the result does not. */
			if (mmx)
				memcpy(c->xsave + XS_ST + 16 * in->o[0].reg, keep, 10);
			return simd_exception(c);
		}
	}
	if (go && (go->access & X86_A_W))
		c->gpr[go->reg] = f.rax;
	if (t->gpr && is_pcmpstr(in))
		c->gpr[X86_RCX] = f.rcx;
	if (t->flags)
		fl_set(c, X86_FL_ARITH, (uint32_t)f.flags & X86_FL_ARITH);
	if (m.bounced && m.write)
		return vcpu_write(v, m.gva, m.buf, m.size, vcpu_tlb_mode(v));
	if (m.ptr && m.write)
		vcpu_stored(v, m.ptr, m.size);
	return X86_OK;
}

/* --- the plain case, from a line -------------------------------------------------- */

uint8_t simd_ready(const struct x86_cpu *c)
{
	bool sse = !(c->cr0 & (X86_CR0_EM | X86_CR0_TS)) && (c->cr4 & X86_CR4_OSFXSR);
	bool avx = !(c->cr0 & X86_CR0_TS) && (c->cr4 & X86_CR4_OSXSAVE) &&
		   (c->xcr0 & 6) == 6 && x86_protected(c) && (c->xsave[XS_HEADER] & 4);

	bool x87 = !(c->cr0 & (X86_CR0_EM | X86_CR0_TS));

	return (uint8_t)(sse | avx << 1 | x87 << 2);
}

/* Line fields: imm the thunk's key, cond the bit of simd_ready(), r0 the memory
 * operand's access, r1 the general register or NOREG, size its access. */
static int simd_line(struct vcpu *v, const struct iline *e)
{
	struct interp *it = interp_of(v);
	struct x86_cpu *c = &v->cpu;
	const struct thunk *t = thunk_find(it->simd, e->imm);
	struct simd_frame f;

	if (!t || !(it->vectors & e->cond))
		goto general;
	if (e->r0) {
		f.mem = line_mem(v, e, e->mem_size, e->r0 & X86_A_W);
		if (!f.mem || ((uintptr_t)f.mem & e->align))
			goto general;
	}
	f.xsave = c->xsave;
	f.rax = e->r1 != X86_NOREG ? c->gpr[e->r1] : 0;
	if (t->flags)
		f.flags = (c->rflags & X86_FL_ARITH) | X86_FL_FIXED;
	if (t->mxcsr) {
		uint32_t mxcsr = *fpu_u32(c, XS_MXCSR);

		/* With exceptions unmasked there is more to look at. */
		if ((mxcsr & 0x1f80) != 0x1f80)
			goto general;
		f.mxcsr = mxcsr;
		f.mxcsr_host = 0x1f80;
		f.trap = 0;
	}
	t->fn(&f);
	if (t->mxcsr)
		*fpu_u32(c, XS_MXCSR) = f.mxcsr_out;
	if (e->r1 != X86_NOREG && (e->size & X86_A_W))
		c->gpr[e->r1] = f.rax;
	if (t->flags)
		fl_set(c, X86_FL_ARITH, (uint32_t)f.flags & X86_FL_ARITH);
	if (e->r0 & X86_A_W)
		vcpu_stored(v, f.mem, e->mem_size);
	return X86_OK;
general:
	return e->exec(v, line_insn(it, e));
}

line_fn *simd_pick(struct iline *e, const struct x86_insn *in)
{
	const struct x86_operand *m = operand_of(in, X86_O_MEM), *g = operand_of(in, X86_O_GPR);

	for (unsigned i = 0; i < in->nops; i++)
		if (in->o[i].kind == X86_O_MMX)
			return fpu_pick(e, in);
	if (!thunk_is_plain(in) || vec_is_masked(in) || e->exec != op_simd ||
	    (in->map == 1 && (in->opcode == 0xae || in->opcode == 0x77)))
		return NULL;
	e->imm = thunk_key(in);
	e->cond = in->unit == X86_U_AVX ? 2 : 1;
	e->r0 = m ? m->access : 0;
	e->r1 = g ? g->reg : X86_NOREG;
	e->size = g ? g->access : 0;
	e->mem_size = m ? m->size : 0;
	e->align = in->aligned && m ? (uint8_t)(m->size - 1) : 0;
	return simd_line;
}

/* --- in C --------------------------------------------------------------------------- */

static int mxcsr_move(struct vcpu *v, const struct x86_insn *in)
{
	uint32_t *mxcsr = fpu_u32(&v->cpu, XS_MXCSR);
	uint64_t a;

	if ((in->modrm >> 3 & 7) == 3)	/* stmxcsr */
		return interp_put(v, in, 0, *mxcsr);
	if (interp_get(v, in, 0, &a))
		return X86_FAULT;
	if (a & MXCSR_RESERVED)
		return x86_raise_err(&v->cpu, X86_EXC_GP, 0);
	*mxcsr = (uint32_t)a;
	return X86_OK;
}

/* vzeroupper, vzeroall: 8 registers outside 64-bit code */
static int vzero(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	size_t len = in->mode == 64 ? 256 : 128;

	simd_touch_ymm(c);
	memset(c->xsave + XS_YMMH, 0, len);
	if (in->vl)
		memset(c->xsave + XS_XMM, 0, len);
	return X86_OK;
}

int op_simd(struct vcpu *v, const struct x86_insn *in)
{
	if (simd_allowed(v, in))
		return X86_FAULT;
	switch (in->op) {
	case X86_FWAIT:
		return X86_OK;
	case X86_FNSTENV: case X86_FLDENV: case X86_FNSAVE: case X86_FRSTOR:
		return fpu_env(v, in);
	default:
		break;
	}
	if (in->map == 1 && in->opcode == 0xae)
		return mxcsr_move(v, in);
	if (in->unit == X86_U_AVX && in->map == 1 && in->opcode == 0x77)
		return vzero(v, in);
	if (vec_is_masked(in))
		return vec_masked(v, in);
	return simd_host(v, in);
}
