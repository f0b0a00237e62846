/*
 * movs stos lods cmps scas, with REP in bulk.  SDM vol. 2 "REP/REPE/REPZ/
 * REPNE/REPNZ".
 *
 * A run of a REP instruction ends early, RIP unchanged, after REP_BYTES when
 * somebody wants the vCPU, and after one element when TF is set.  A fault
 * leaves the registers of the elements done; the flags are those of before the
 * instruction (SDM), or of the last element done as AMD's processors show them.
 */

#include <string.h>

#include "interp/core.h"

#define REP_BYTES 4096

struct rep {
	struct vcpu *v;
	const struct x86_insn *in;
	unsigned sz;		/* of an element */
	uint64_t mask;		/* address size */
	uint64_t step;		/* sz or -sz */
	bool second_first;	/* cmps reads [rDI] before [rSI] */
};

static void reg_add(struct rep *s, unsigned reg, uint64_t n)
{
	struct x86_cpu *c = &s->v->cpu;

	gpr_put(c, reg, s->in->adsize, c->gpr[reg] + n);
}

static int compare(struct rep *s, uint64_t a, uint64_t b)
{
	uint32_t fl;

	fl_sub(a, b, 0, s->sz, &fl);
	fl_set(&s->v->cpu, X86_FL_ARITH, fl);
	return X86_OK;
}

/* One element; nothing is changed when it faults. */
static int string_one(struct rep *s)
{
	struct vcpu *v = s->v;
	struct x86_cpu *c = &v->cpu;
	uint64_t si = c->gpr[X86_RSI] & s->mask, di = c->gpr[X86_RDI] & s->mask;
	uint64_t a = 0, b = 0;
	unsigned op = s->in->op, seg = s->in->seg;

	switch (op) {
	case X86_MOVS:
		if (seg_read(v, seg, si, &a, s->sz) ||
		    seg_write(v, X86_ES, di, &a, s->sz))
			return X86_FAULT;
		break;
	case X86_STOS:
		if (seg_write(v, X86_ES, di, &c->gpr[X86_RAX], s->sz))
			return X86_FAULT;
		break;
	case X86_LODS:
		if (seg_read(v, seg, si, &a, s->sz))
			return X86_FAULT;
		gpr_put(c, X86_RAX, s->sz, a);
		break;
	case X86_CMPS:
		if ((s->second_first && seg_read(v, X86_ES, di, &b, s->sz)) ||
		    seg_read(v, seg, si, &a, s->sz) ||
		    (!s->second_first && seg_read(v, X86_ES, di, &b, s->sz)))
			return X86_FAULT;
		compare(s, a, b);
		break;
	default:
		if (seg_read(v, X86_ES, di, &b, s->sz))
			return X86_FAULT;
		compare(s, gpr_get(c, X86_RAX, s->sz), b);
		break;
	}
	if (op != X86_STOS && op != X86_SCAS)
		reg_add(s, X86_RSI, s->step);
	if (op != X86_LODS)
		reg_add(s, X86_RDI, s->step);
	return X86_OK;
}

/* Elements from off that stay in one page and do not wrap. */
static uint64_t run_length(const struct rep *s, uint64_t gva, uint64_t off, uint64_t n)
{
	uint64_t page = (4096 - (gva & 4095)) / s->sz;
	uint64_t wrap = s->mask == ~0ull ? n : (s->mask - off + 1) / s->sz;

	n = n < page ? n : page;
	return n < wrap ? n : wrap;
}

static void copy_forward(uint8_t *dst, const uint8_t *src, uint64_t len, unsigned sz)
{
	uint64_t i;

	if ((uintptr_t)dst - (uintptr_t)src >= len) {
		memmove(dst, src, len);
		return;
	}
	/* The destination overlaps what is still to be read: a pattern fill. */
	for (i = 0; i < len; i += sz)
		memmove(dst + i, src + i, sz);
}

static void fill(uint8_t *dst, uint64_t val, uint64_t n, unsigned sz)
{
	if (sz == 1) {
		memset(dst, (int)val, n);
		return;
	}
	for (uint64_t i = 0; i < n; i++, dst += sz)
		memcpy(dst, &val, sz);
}

/*
 * movs or stos of several elements upwards, inside one page each.
 * Returns the number done; 0: do one element the careful way.
 */
static uint64_t string_bulk(struct rep *s, uint64_t n)
{
	struct vcpu *v = s->v;
	struct x86_cpu *c = &v->cpu;
	uint64_t si = c->gpr[X86_RSI] & s->mask, di = c->gpr[X86_RDI] & s->mask;
	enum tlb_mode mode = vcpu_tlb_mode(v);
	bool movs = s->in->op == X86_MOVS, slow, src_slow;
	uint64_t sva = 0, dva, gpa, src_gpa;
	struct x86_exc keep = c->exc;
	void *src = NULL, *dst;

	/* Find the run by its first elements, then check it as a whole. */
	if (seg_linear(v, X86_ES, di, s->sz, true, &dva))
		goto careful;
	n = run_length(s, dva, di, n);
	if (movs) {
		if (seg_linear(v, s->in->seg, si, s->sz, false, &sva))
			goto careful;
		n = run_length(s, sva, si, n);
	}
	if (n < 2)
		return 0;
	if (seg_linear(v, X86_ES, di, (unsigned)(n * s->sz), true, &dva) ||
	    (movs && (seg_linear(v, s->in->seg, si, (unsigned)(n * s->sz), false, &sva) ||
		      vcpu_hva(v, sva, false, mode, &src, &src_gpa, &src_slow))) ||
	    vcpu_hva(v, dva, true, mode, &dst, &gpa, &slow))
		goto careful;
	if (!dst || (movs && !src))
		return 0;
	if (movs)
		copy_forward(dst, src, n * s->sz, s->sz);
	else
		fill(dst, c->gpr[X86_RAX], n, s->sz);
	if (slow)
		mem_dirty(v->vm->mem, gpa, n * s->sz);
	else
		vcpu_stored(v, dst, (unsigned)(n * s->sz));
	if (movs)
		reg_add(s, X86_RSI, n * s->sz);
	reg_add(s, X86_RDI, n * s->sz);
	return n;
careful:
	c->exc = keep;
	return 0;
}

static bool rep_goes_on(const struct rep *s)
{
	bool zf = s->v->cpu.rflags & X86_FL_ZF;

	if (s->in->op != X86_CMPS && s->in->op != X86_SCAS)
		return true;
	return zf == !(s->in->prefixes & X86_P_REPNE);
}

static int string_rep(struct rep *s)
{
	struct x86_cpu *c = &s->v->cpu;
	const struct x86_insn *in = s->in;
	bool bulk = (in->op == X86_MOVS || in->op == X86_STOS) &&
		    !(c->rflags & (X86_FL_DF | X86_FL_TF)) && !(c->dr[7] & 0xff);
	uint64_t done = 0, flags = c->rflags;

	/* The counter also loses its upper half when it is 0. */
	gpr_put(c, X86_RCX, in->adsize, c->gpr[X86_RCX]);
	while (c->gpr[X86_RCX] & s->mask) {
		uint64_t n = bulk ? string_bulk(s, c->gpr[X86_RCX] & s->mask) : 0;

		if (!n) {
			if (string_one(s)) {
				if (!s->v->vm->model.amd)
					c->rflags = flags;
				return X86_FAULT;
			}
			n = 1;
		}
		reg_add(s, X86_RCX, -n);
		if (!rep_goes_on(s))
			return X86_OK;
		done += n * s->sz;
		if (!(c->gpr[X86_RCX] & s->mask))
			return X86_OK;
		if ((c->rflags & X86_FL_TF) || (done >= REP_BYTES && s->v->req)) {
			c->rip = (c->rip - in->len) & interp_of(s->v)->ip_mask;
			return X86_OK;
		}
	}
	return X86_OK;
}

int op_string(struct vcpu *v, const struct x86_insn *in)
{
	struct rep s = { .v = v, .in = in, .sz = in->opcode & 1 ? in->opsize : 1,
			 .mask = sz_mask(in->adsize) };

	/* As AMD's processors do, but for REPE CMPSB. */
	s.second_first = v->vm->model.amd && (s.sz > 1 || !(in->prefixes & X86_P_REP));
	s.step = v->cpu.rflags & X86_FL_DF ? -(uint64_t)s.sz : s.sz;
	if (in->prefixes & (X86_P_REP | X86_P_REPNE))
		return string_rep(&s);
	return string_one(&s);
}
