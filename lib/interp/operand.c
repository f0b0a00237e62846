/* Operands: effective addresses, segment checks, reads and stores. */

#include "interp/core.h"

uint64_t interp_ea(const struct vcpu *v, const struct x86_insn *in)
{
	const struct x86_cpu *c = &v->cpu;
	uint64_t ea = (uint64_t)in->disp;

	if (in->base == X86_RIP)
		ea += c->rip;
	else if (in->base != X86_NOREG)
		ea += c->gpr[in->base & 15];
	if (in->index != X86_NOREG && !in->vsib)
		ea += c->gpr[in->index & 15] << in->scale;
	return ea & sz_mask(in->adsize);
}

static int seg_fault(struct vcpu *v, unsigned seg)
{
	return x86_raise_err(&v->cpu, seg == X86_SS ? X86_EXC_SS : X86_EXC_GP, 0);
}

/* Does [off, off+len) lie in the segment?  SDM vol. 3, 5.3. */
static bool seg_inside(const struct x86_seg *s, uint64_t off, unsigned len)
{
	uint64_t last = off + len - 1;

	if ((s->attr & (X86_SEG_S | X86_SEG_CODE | X86_SEG_DC)) ==
	    (X86_SEG_S | X86_SEG_DC))
		return off > s->limit &&
		       last <= (s->attr & X86_SEG_DB ? 0xffffffffull : 0xffffull);
	return last <= s->limit;
}

static bool seg_usable(const struct x86_cpu *c, const struct x86_seg *s, bool write)
{
	if (!x86_protected(c))
		return true;
	if (s->attr & X86_SEG_NULL)
		return false;
	if (s->attr & X86_SEG_CODE)
		return !write && (s->attr & X86_SEG_RW);
	return !write || (s->attr & X86_SEG_RW);
}

int seg_linear(struct vcpu *v, unsigned seg, uint64_t off, unsigned len,
	       bool write, uint64_t *gva)
{
	struct x86_cpu *c = &v->cpu;
	const struct x86_seg *s = &c->seg[seg];
	uint64_t lin;

	if (c->code_bits == 64) {
		uint64_t last;

		lin = off + (seg == X86_FS || seg == X86_GS ? s->base : 0);
		last = lin + len - 1;
		if (sz_sext(lin << 16, 8) >> 16 != (int64_t)lin ||
		    (int64_t)(last << 16) >> 16 != (int64_t)last)
			return seg_fault(v, seg);
	} else {
		off = (uint32_t)off;
		if (!seg_usable(c, s, write) || !seg_inside(s, off, len))
			return seg_fault(v, seg);
		lin = (uint32_t)(s->base + off);
	}
	if (c->cpl == 3 && (c->rflags & X86_FL_AC) && (c->cr0 & X86_CR0_AM) &&
	    len <= 8 && (lin & (len - 1)))
		return x86_raise_err(c, X86_EXC_AC, 0);
	if (c->dr[7] & 0xff)
		interp_watch(v, lin, len, write);
	*gva = lin;
	return X86_OK;
}

int seg_read(struct vcpu *v, unsigned seg, uint64_t off, void *buf, unsigned len)
{
	uint64_t gva;

	if (seg_linear(v, seg, off, len, false, &gva))
		return X86_FAULT;
	return vcpu_read(v, gva, buf, len, vcpu_tlb_mode(v));
}

int seg_write(struct vcpu *v, unsigned seg, uint64_t off, const void *buf, unsigned len)
{
	uint64_t gva;

	if (seg_linear(v, seg, off, len, true, &gva))
		return X86_FAULT;
	return vcpu_write(v, gva, buf, len, vcpu_tlb_mode(v));
}

/* Reads and writes of 1, 2, 4, 8 bytes: constant lengths make them inline. */
static int read_sized(struct vcpu *v, uint64_t gva, unsigned size, uint64_t *val)
{
	enum tlb_mode mode = vcpu_tlb_mode(v);

	*val = 0;
	switch (size) {
	case 1: return vcpu_read(v, gva, val, 1, mode);
	case 2: return vcpu_read(v, gva, val, 2, mode);
	case 4: return vcpu_read(v, gva, val, 4, mode);
	default: return vcpu_read(v, gva, val, 8, mode);
	}
}

static int write_sized(struct vcpu *v, uint64_t gva, unsigned size, uint64_t val)
{
	enum tlb_mode mode = vcpu_tlb_mode(v);

	switch (size) {
	case 1: return vcpu_write(v, gva, &val, 1, mode);
	case 2: return vcpu_write(v, gva, &val, 2, mode);
	case 4: return vcpu_write(v, gva, &val, 4, mode);
	default: return vcpu_write(v, gva, &val, 8, mode);
	}
}

int interp_get(struct vcpu *v, const struct x86_insn *in, unsigned i, uint64_t *val)
{
	const struct x86_operand *o = &in->o[i];
	struct x86_cpu *c = &v->cpu;
	uint64_t gva;

	switch (o->kind) {
	case X86_O_GPR:
		*val = gpr_get(c, o->reg, o->size);
		return X86_OK;
	case X86_O_GPRH:
		*val = c->gpr[o->reg] >> 8 & 0xff;
		return X86_OK;
	case X86_O_MEM:
		if (seg_linear(v, in->seg, interp_ea(v, in), o->size, false, &gva))
			return X86_FAULT;
		return read_sized(v, gva, o->size, val);
	case X86_O_IMM:
		*val = (uint64_t)in->imm & (o->size ? sz_mask(o->size) : ~0ull);
		return X86_OK;
	case X86_O_IMM2:
		*val = (uint64_t)in->imm2;
		return X86_OK;
	case X86_O_REL:
		*val = (uint64_t)in->imm;
		return X86_OK;
	case X86_O_SEG:
		*val = c->seg[o->reg].sel;
		return X86_OK;
	default:
		return x86_raise(c, X86_EXC_UD);
	}
}

int interp_put(struct vcpu *v, const struct x86_insn *in, unsigned i, uint64_t val)
{
	const struct x86_operand *o = &in->o[i];
	struct x86_cpu *c = &v->cpu;
	uint64_t gva;

	switch (o->kind) {
	case X86_O_GPR:
		gpr_put(c, o->reg, o->size, val);
		return X86_OK;
	case X86_O_GPRH:
		c->gpr[o->reg] = (c->gpr[o->reg] & ~0xff00ull) | (val & 0xff) << 8;
		return X86_OK;
	case X86_O_MEM:
		if (seg_linear(v, in->seg, interp_ea(v, in), o->size, true, &gva))
			return X86_FAULT;
		return write_sized(v, gva, o->size, val);
	default:
		return x86_raise(c, X86_EXC_UD);
	}
}

/* --- read-modify-write ---------------------------------------------------- */

/*
 * A LOCK instruction across two pages.  Where they are neighbours in the memfd, the
 * host's own LOCK does it; else all others stop, as the bus lock would make them.
 */
static int split_get(struct vcpu *v, struct rmw *r)
{
	enum tlb_mode mode = vcpu_tlb_mode(v);
	unsigned first = PAGE_SIZE - (r->gva & ~PAGE_MASK);
	uint64_t gva2 = r->gva + first;
	void *hva, *hva2;
	bool slow, slow2;

	if (!v->cpu.long_mode)
		gva2 &= 0xffffffff;
	if (vcpu_probe_write(v, r->gva, r->size, mode) ||
	    vcpu_hva(v, r->gva, true, mode, &hva, &r->gpa, &slow) ||
	    vcpu_hva(v, gva2, true, mode, &hva2, &r->gpa2, &slow2))
		return X86_FAULT;
	if (hva && (uint8_t *)hva + first == hva2) {
		r->hva = hva;
		r->size2 = (uint8_t)(r->size - first);
		r->slow = slow || slow2;
		__builtin_memcpy(&r->old, hva, r->size);
		return X86_OK;
	}
	if (v->vm->ncpus > 1) {
		vm_stop_others(v);
		r->alone = true;
	}
	return read_sized(v, r->gva, r->size, &r->old);
}

int rmw_get_at(struct vcpu *v, uint64_t gva, unsigned size, bool lock, struct rmw *r)
{
	enum tlb_mode mode = vcpu_tlb_mode(v);
	const struct tlb_entry *e = &v->tlb.e[mode][gva >> 12 & (TLB_SIZE - 1)];
	bool inside = (gva & 0xfff) + size <= 4096;

	*r = (struct rmw){ .gva = gva, .size = size, .kind = X86_O_MEM, .lock = lock };
	if (e->wtag == (gva & ~0xfffull) && inside) {
		r->hva = (void *)(gva + e->addend);
	} else if (inside) {
		if (vcpu_hva(v, gva, true, mode, &r->hva, &r->gpa, &r->slow))
			return X86_FAULT;
	} else if (lock) {
		if (split_get(v, r)) {
			rmw_drop(v, r);
			return X86_FAULT;
		}
		return X86_OK;
	} else if (vcpu_probe_write(v, gva, size, mode)) {
		return X86_FAULT;
	}
	if (!r->hva)
		return read_sized(v, gva, size, &r->old);
	vcpu_copy(&r->old, r->hva, size);
	return X86_OK;
}

int rmw_get(struct vcpu *v, const struct x86_insn *in, unsigned i, struct rmw *r)
{
	const struct x86_operand *o = &in->o[i];
	uint64_t gva;

	if (o->kind != X86_O_MEM) {
		*r = (struct rmw){ .size = o->size, .kind = o->kind, .reg = o->reg };
		return interp_get(v, in, i, &r->old);
	}
	if (seg_linear(v, in->seg, interp_ea(v, in), o->size, true, &gva))
		return X86_FAULT;
	return rmw_get_at(v, gva, o->size, in->prefixes & X86_P_LOCK || in->op == X86_XCHG, r);
}

void rmw_drop(struct vcpu *v, struct rmw *r)
{
	if (r->alone)
		vm_resume_others(v);
	r->alone = false;
}

#define CAS(type) do { \
	type old = (type)r->old; \
	done = __atomic_compare_exchange_n((type *)r->hva, &old, (type)val, false, \
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
	r->old = old; \
} while (0)

static bool cas_sized(struct rmw *r, uint64_t val)
{
	bool done;

	switch (r->size) {
	case 1: CAS(uint8_t); break;
	case 2: CAS(uint16_t); break;
	case 4: CAS(uint32_t); break;
	default: CAS(uint64_t); break;
	}
	return done;
}

bool rmw_put(struct vcpu *v, struct rmw *r, uint64_t val)
{
	struct x86_cpu *c = &v->cpu;

	if (r->kind == X86_O_GPR) {
		gpr_put(c, r->reg, r->size, val);
		return true;
	}
	if (r->kind == X86_O_GPRH) {
		c->gpr[r->reg] = (c->gpr[r->reg] & ~0xff00ull) | (val & 0xff) << 8;
		return true;
	}
	if (!r->hva) {
		/* Checked by rmw_get: cannot fault. */
		write_sized(v, r->gva, r->size, val);
		rmw_drop(v, r);
		return true;
	}
	if (!r->lock)
		vcpu_copy(r->hva, &val, r->size);
	else if (!cas_sized(r, val))
		return false;
	if (r->size2) {
		mem_dirty(v->vm->mem, r->gpa, r->size - r->size2);
		mem_dirty(v->vm->mem, r->gpa2, r->size2);
	} else if (r->slow) {
		mem_dirty(v->vm->mem, r->gpa, r->size);
	} else {
		vcpu_stored(v, r->hva, r->size);
	}
	return true;
}
