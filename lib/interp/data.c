/* Moves, exchanges, conversions, flag bits.  SDM vol. 2. */

#include <sched.h>

#include "interp/core.h"

int op_ud(struct vcpu *v, const struct x86_insn *in)
{
	return x86_raise(&v->cpu, X86_EXC_UD);
}

int op_nop(struct vcpu *v, const struct x86_insn *in)
{
	return X86_OK;
}

int op_fence(struct vcpu *v, const struct x86_insn *in)
{
	if (in->op == X86_SFENCE)
		__asm__ volatile("sfence" ::: "memory");
	else
		interp_serialize();
	return X86_OK;
}

/* Spinning: whom the guest waits for may need this processor. */
int op_pause(struct vcpu *v, const struct x86_insn *in)
{
	struct interp *it = interp_of(v);

	if (it->smp && !++it->pauses) {
		atomic_store_explicit(&v->yielding, true, memory_order_relaxed);
		sched_yield();
		atomic_store_explicit(&v->yielding, false, memory_order_relaxed);
	}
	return X86_OK;
}

/* mov movzx movnti movdiri: the source is zero-extended already. */
int op_mov(struct vcpu *v, const struct x86_insn *in)
{
	uint64_t a;

	if (interp_get(v, in, 1, &a))
		return X86_FAULT;
	return interp_put(v, in, 0, a);
}

/* movsx movsxd */
int op_movsx(struct vcpu *v, const struct x86_insn *in)
{
	uint64_t a;

	if (interp_get(v, in, 1, &a))
		return X86_FAULT;
	return interp_put(v, in, 0, (uint64_t)sz_sext(a, in->o[1].size));
}

/* With 66 AMD's processors still read a doubleword. */
int op_movsxd(struct vcpu *v, const struct x86_insn *in)
{
	uint32_t a;

	if (in->opsize != 2 || in->o[1].kind != X86_O_MEM || !v->vm->model.amd)
		return op_movsx(v, in);
	if (seg_read(v, in->seg, interp_ea(v, in), &a, sizeof(a)))
		return X86_FAULT;
	return interp_put(v, in, 0, a & 0xffff);
}

int op_lea(struct vcpu *v, const struct x86_insn *in)
{
	return interp_put(v, in, 0, interp_ea(v, in));
}

/* Always atomic with memory. */
int op_xchg(struct vcpu *v, const struct x86_insn *in)
{
	unsigned m = in->o[1].kind == X86_O_MEM;
	struct rmw r;
	uint64_t a;

	if (interp_get(v, in, !m, &a) || rmw_get(v, in, m, &r))
		return X86_FAULT;
	while (!rmw_put(v, &r, a))
		;
	return interp_put(v, in, !m, r.old);
}

int op_xadd(struct vcpu *v, const struct x86_insn *in)
{
	struct rmw r;
	uint64_t a, sum;
	uint32_t fl;

	if (interp_get(v, in, 1, &a) || rmw_get(v, in, 0, &r))
		return X86_FAULT;
	if (in->o[0].kind != X86_O_MEM) {
		/* The destination is written last: it wins when both are one. */
		sum = fl_add(r.old, a, 0, in->o[0].size, &fl);
		interp_put(v, in, 1, r.old);
		rmw_put(v, &r, sum);
	} else {
		do
			sum = fl_add(r.old, a, 0, in->o[0].size, &fl);
		while (!rmw_put(v, &r, sum));
		interp_put(v, in, 1, r.old);
	}
	fl_set(&v->cpu, X86_FL_ARITH, fl);
	return X86_OK;
}

int op_cmpxchg(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	unsigned sz = in->o[0].size;
	uint64_t src, acc = gpr_get(c, X86_RAX, sz);
	struct rmw r;
	uint32_t fl;

	if (interp_get(v, in, 1, &src) || rmw_get(v, in, 0, &r))
		return X86_FAULT;
	fl_sub(acc, r.old, 0, sz, &fl);
	/* Memory is written always; a register only when they are equal. */
	if ((fl & X86_FL_ZF) || r.kind == X86_O_MEM)
		while (!rmw_put(v, &r, fl & X86_FL_ZF ? src : r.old))
			fl_sub(acc, r.old, 0, sz, &fl);
	if (!(fl & X86_FL_ZF))
		gpr_put(c, X86_RAX, sz, r.old);
	fl_set(c, X86_FL_ARITH, fl);
	return X86_OK;
}

static uint64_t pair32(const struct x86_cpu *c, unsigned hi, unsigned lo)
{
	return c->gpr[hi] << 32 | (uint32_t)c->gpr[lo];
}

int op_cmpxchg8b(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t gva, want = pair32(c, X86_RDX, X86_RAX), new = pair32(c, X86_RCX, X86_RBX);
	struct rmw r;

	if (seg_linear(v, in->seg, interp_ea(v, in), 8, true, &gva) ||
	    rmw_get_at(v, gva, 8, in->prefixes & X86_P_LOCK, &r))
		return X86_FAULT;
	while (!rmw_put(v, &r, r.old == want ? new : r.old))
		;
	fl_set(c, X86_FL_ZF, r.old == want ? X86_FL_ZF : 0);
	if (r.old != want) {
		c->gpr[X86_RAX] = (uint32_t)r.old;
		c->gpr[X86_RDX] = r.old >> 32;
	}
	return X86_OK;
}

static bool cas16(void *p, uint64_t old[2], uint64_t lo, uint64_t hi)
{
	bool done;

	__asm__ volatile("lock cmpxchg16b %1"
			 : "=@ccz"(done), "+m"(*(char (*)[16])p), "+a"(old[0]), "+d"(old[1])
			 : "b"(lo), "c"(hi) : "memory");
	return done;
}

int op_cmpxchg16b(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t gva, gpa, old[2] = { c->gpr[X86_RAX], c->gpr[X86_RDX] };
	enum tlb_mode mode = vcpu_tlb_mode(v);
	bool slow, same;
	void *hva;

	if (seg_linear(v, in->seg, interp_ea(v, in), 16, true, &gva))
		return X86_FAULT;
	if (gva & 15)
		return x86_raise_err(c, X86_EXC_GP, 0);
	if (vcpu_hva(v, gva, true, mode, &hva, &gpa, &slow))
		return X86_FAULT;
	if (hva) {
		same = cas16(hva, old, c->gpr[X86_RBX], c->gpr[X86_RCX]);
		if (slow)
			mem_dirty(v->vm->mem, gpa, 16);
		else
			vcpu_stored(v, hva, 16);
	} else {	/* ROM or a device: no atomicity to keep */
		uint64_t now[2], new[2] = { c->gpr[X86_RBX], c->gpr[X86_RCX] };

		if (vcpu_read(v, gva, now, 16, mode))
			return X86_FAULT;
		same = now[0] == old[0] && now[1] == old[1];
		if (vcpu_write(v, gva, same ? new : now, 16, mode))
			return X86_FAULT;
		old[0] = now[0];
		old[1] = now[1];
	}
	fl_set(c, X86_FL_ZF, same ? X86_FL_ZF : 0);
	if (!same) {
		c->gpr[X86_RAX] = old[0];
		c->gpr[X86_RDX] = old[1];
	}
	return X86_OK;
}

/* With 16-bit operands the manuals leave the result open; processors give 0. */
int op_bswap(struct vcpu *v, const struct x86_insn *in)
{
	unsigned sz = in->o[0].size;
	uint64_t a;

	if (interp_get(v, in, 0, &a))
		return X86_FAULT;
	return interp_put(v, in, 0, sz == 2 ? 0 : __builtin_bswap64(a) >> (64 - 8 * sz));
}

int op_xlat(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t ea = (c->gpr[X86_RBX] + (c->gpr[X86_RAX] & 0xff)) & sz_mask(in->adsize);
	uint8_t a;

	if (seg_read(v, in->seg, ea, &a, 1))
		return X86_FAULT;
	gpr_put(c, X86_RAX, 1, a);
	return X86_OK;
}

int op_setcc(struct vcpu *v, const struct x86_insn *in)
{
	return interp_put(v, in, 0, fl_cond((uint32_t)v->cpu.rflags, in->cond));
}

/* Reads its source, and clears the upper half, whatever the condition. */
int op_cmovcc(struct vcpu *v, const struct x86_insn *in)
{
	uint64_t a;

	if (interp_get(v, in, 1, &a))
		return X86_FAULT;
	if (!fl_cond((uint32_t)v->cpu.rflags, in->cond))
		a = v->cpu.gpr[in->o[0].reg];
	return interp_put(v, in, 0, a);
}

/* cbw cwde cdqe */
int op_cbw(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;

	gpr_put(c, X86_RAX, in->opsize,
		(uint64_t)sz_sext(c->gpr[X86_RAX], in->opsize / 2u));
	return X86_OK;
}

/* cwd cdq cqo */
int op_cwd(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;

	gpr_put(c, X86_RDX, in->opsize,
		sz_sext(c->gpr[X86_RAX], in->opsize) < 0 ? ~0ull : 0);
	return X86_OK;
}

/* clc stc cmc cld std */
int op_flag(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;

	switch (in->op) {
	case X86_CLC: c->rflags &= ~(uint64_t)X86_FL_CF; break;
	case X86_STC: c->rflags |= X86_FL_CF; break;
	case X86_CMC: c->rflags ^= X86_FL_CF; break;
	case X86_CLD: c->rflags &= ~(uint64_t)X86_FL_DF; break;
	default: c->rflags |= X86_FL_DF; break;
	}
	return X86_OK;
}

#define AH_FLAGS (X86_FL_ARITH & ~X86_FL_OF)

int op_lahf(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t ah = (c->rflags & AH_FLAGS) | X86_FL_FIXED;

	c->gpr[X86_RAX] = (c->gpr[X86_RAX] & ~0xff00ull) | ah << 8;
	return X86_OK;
}

int op_sahf(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;

	fl_set(c, AH_FLAGS, (uint32_t)(c->gpr[X86_RAX] >> 8) & AH_FLAGS);
	return X86_OK;
}

int op_salc(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;

	gpr_put(c, X86_RAX, 1, c->rflags & X86_FL_CF ? 0xff : 0);
	return X86_OK;
}

/* clflush clflushopt clwb: checked like a load of one byte. */
int op_clflush(struct vcpu *v, const struct x86_insn *in)
{
	uint64_t gva, gpa;
	bool slow;
	void *hva;

	if (seg_linear(v, in->seg, interp_ea(v, in), 1, false, &gva))
		return X86_FAULT;
	return vcpu_hva(v, gva, false, vcpu_tlb_mode(v), &hva, &gpa, &slow);
}

/* AMD APM vol. 3: zero the 64-byte line at rAX. */
int op_clzero(struct vcpu *v, const struct x86_insn *in)
{
	static const uint8_t zero[64];
	uint64_t ea = v->cpu.gpr[X86_RAX] & sz_mask(in->adsize) & ~63ull;

	return seg_write(v, in->seg, ea, zero, sizeof(zero));
}

/* rdrand rdseed: offered only where the host has them. */
int op_rdrand(struct vcpu *v, const struct x86_insn *in)
{
	uint64_t a = 0;
	bool ok;

	if (in->op == X86_RDRAND)
		__asm__ volatile("rdrand %0" : "=r"(a), "=@ccc"(ok));
	else
		__asm__ volatile("rdseed %0" : "=r"(a), "=@ccc"(ok));
	fl_set(&v->cpu, X86_FL_ARITH, ok ? X86_FL_CF : 0);
	return interp_put(v, in, 0, ok ? a : 0);
}
