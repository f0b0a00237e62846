/* Descriptors, segment registers, and stacks other than the current one.
 * SDM vol. 3 chapters 3 and 5. */

#include "interp/system.h"

#include <assert.h>
#include <string.h>

#include "base/le.h"

static void desc_expand(struct x86_desc *d, uint16_t sel)
{
	d->seg.sel = sel;
	d->seg.base = d->lo >> 16 | (d->hi & 0xff) << 16 | (d->hi & 0xff000000);
	d->seg.attr = d->hi >> 8 & 0xf0ff;
	d->seg.limit = (d->lo & 0xffff) | (d->hi & 0xf0000);
	if (d->seg.attr & X86_SEG_G)
		d->seg.limit = d->seg.limit << 12 | 0xfff;
}

/* Long mode: LDT, TSS and call gate descriptors are 16 bytes long. */
static bool desc_is_wide(const struct x86_cpu *c, uint32_t attr)
{
	unsigned type = attr_type(attr);

	return c->long_mode && (type == DESC_LDT || type == DESC_TSS32 ||
				type == DESC_TSS32_BUSY || type == DESC_CALL32);
}

int desc_read(struct vcpu *v, uint16_t sel, uint8_t vector, struct x86_desc *d)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t base = c->gdtr.base, raw;
	uint32_t limit = c->gdtr.limit;
	unsigned off = sel & 0xfff8;

	if (sel & 4) {
		if (c->ldtr.attr & X86_SEG_NULL)
			return raise_sel(c, vector, sel);
		base = c->ldtr.base;
		limit = c->ldtr.limit;
	}
	if (off + 7 > limit)
		return raise_sel(c, vector, sel);
	d->gva = base + off;
	if (!c->long_mode)
		d->gva &= 0xffffffff;
	if (vcpu_read(v, d->gva, &raw, 8, TLB_KERNEL) != X86_OK)
		return X86_FAULT;
	d->lo = (uint32_t)raw;
	d->hi = (uint32_t)(raw >> 32);
	d->hi64_lo = d->hi64_hi = 0;
	desc_expand(d, sel);
	if (!desc_is_wide(c, d->seg.attr))
		return X86_OK;
	if (off + 15 > limit)
		return raise_sel(c, vector, sel);
	if (vcpu_read(v, d->gva + 8, &raw, 8, TLB_KERNEL) != X86_OK)
		return X86_FAULT;
	d->hi64_lo = (uint32_t)raw;
	d->hi64_hi = (uint32_t)(raw >> 32);
	d->seg.base |= (uint64_t)d->hi64_lo << 32;
	return X86_OK;
}

/* Set and clear bits of byte 5 of a descriptor, which holds type, S, DPL and P, by
 * a locked access.  *was: the byte as it was. */
static int desc_set_type(struct vcpu *v, const struct x86_desc *d, uint8_t set, uint8_t clear,
			 uint8_t *was)
{
	uint64_t gpa;
	uint8_t byte;
	void *hva;
	bool slow;

	if (vcpu_hva(v, d->gva + 5, true, TLB_KERNEL, &hva, &gpa, &slow))
		return X86_FAULT;
	if (!hva) {	/* ROM or a device: no atomicity to keep */
		*was = d->seg.attr & 0xff;
		byte = (uint8_t)((*was | set) & ~clear);
		return vcpu_write(v, d->gva + 5, &byte, 1, TLB_KERNEL);
	}
	*was = __atomic_load_n((uint8_t *)hva, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n((uint8_t *)hva, was, (uint8_t)((*was | set) & ~clear),
					    false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
	if (slow)
		mem_dirty(v->vm->mem, gpa, 1);
	else
		vcpu_stored(v, hva, 1);
	return X86_OK;
}

int desc_accessed(struct vcpu *v, struct x86_desc *d)
{
	uint8_t was;

	if (d->seg.attr & X86_SEG_ACCESSED)
		return X86_OK;
	if (desc_set_type(v, d, X86_SEG_ACCESSED, 0, &was) != X86_OK)
		return X86_FAULT;
	d->seg.attr |= X86_SEG_ACCESSED;
	return X86_OK;
}

int desc_busy(struct vcpu *v, const struct x86_desc *d, bool busy)
{
	uint8_t was;

	if (desc_set_type(v, d, busy ? 2 : 0, busy ? 0 : 2, &was) != X86_OK)
		return X86_FAULT;
	/* Another processor was faster. */
	return busy && (was & 2) ? raise_sel(&v->cpu, X86_EXC_GP, d->seg.sel) : X86_OK;
}

int desc_stack(struct vcpu *v, uint16_t sel, unsigned cpl, uint8_t vector,
	       struct x86_desc *d)
{
	struct x86_cpu *c = &v->cpu;

	if (sel_null(sel))
		return x86_raise_err(c, vector, 0);
	if (desc_read(v, sel, vector, d) != X86_OK)
		return X86_FAULT;
	if ((sel & 3) != cpl || !attr_writable_data(d->seg.attr) ||
	    attr_dpl(d->seg.attr) != cpl)
		return raise_sel(c, vector, sel);
	if (!(d->seg.attr & X86_SEG_P))
		return raise_sel(c, X86_EXC_SS, sel);
	return desc_accessed(v, d);
}

/* --- setting segment registers --------------------------------------------- */

void seg_set_null(struct x86_cpu *c, unsigned seg, uint16_t sel)
{
	c->seg[seg] = (struct x86_seg){ .attr = X86_SEG_NULL, .sel = sel };
}

void seg_set_v86(struct x86_cpu *c, unsigned seg, uint16_t sel)
{
	c->seg[seg] = (struct x86_seg){ .base = (uint32_t)sel << 4,
		.limit = 0xffff, .sel = sel,
		.attr = X86_SEG_P | X86_SEG_DPL | X86_SEG_S | X86_SEG_RW |
			X86_SEG_ACCESSED };
}

void seg_load_real(struct vcpu *v, unsigned seg, uint16_t sel)
{
	struct x86_seg *s = &v->cpu.seg[seg];

	if (v->cpu.rflags & X86_FL_VM) {
		seg_set_v86(&v->cpu, seg, sel);
		return;
	}
	/* Real mode keeps the limit and the size that protected mode left. */
	if (s->attr & X86_SEG_NULL)
		*s = (struct x86_seg){ .limit = 0xffff };
	s->attr = (s->attr & (X86_SEG_DB | X86_SEG_G)) | X86_SEG_P | X86_SEG_S |
		X86_SEG_RW | X86_SEG_ACCESSED |
		(seg == X86_CS ? X86_SEG_CODE : 0);
	s->sel = sel;
	s->base = (uint32_t)sel << 4;
}

static int seg_load_ss(struct vcpu *v, uint16_t sel)
{
	struct x86_cpu *c = &v->cpu;
	struct x86_desc d;

	if (sel_null(sel) && c->code_bits == 64 && c->cpl < 3 &&
	    (sel & 3) == c->cpl) {
		ss_set(c, NULL, sel);
		return X86_OK;
	}
	if (desc_stack(v, sel, c->cpl, X86_EXC_GP, &d) != X86_OK)
		return X86_FAULT;
	ss_set(c, &d, sel);
	return X86_OK;
}

int seg_load(struct vcpu *v, unsigned seg, uint16_t sel)
{
	struct x86_cpu *c = &v->cpu;
	struct x86_desc d;
	uint32_t attr;

	if (!x86_protected(c)) {
		seg_load_real(v, seg, sel);
		x86_cpu_update_mode(c);
		return X86_OK;
	}
	if (seg == X86_SS)
		return seg_load_ss(v, sel);
	if (sel_null(sel)) {
		seg_set_null(c, seg, sel);
		return X86_OK;
	}
	if (desc_read(v, sel, X86_EXC_GP, &d) != X86_OK)
		return X86_FAULT;
	attr = d.seg.attr;
	if (!(attr & X86_SEG_S) || (attr_code(attr) && !(attr & X86_SEG_RW)))
		return raise_sel(c, X86_EXC_GP, sel);
	if (!attr_conforming(attr) &&
	    ((sel & 3u) > attr_dpl(attr) || c->cpl > attr_dpl(attr)))
		return raise_sel(c, X86_EXC_GP, sel);
	if (!(attr & X86_SEG_P))
		return raise_sel(c, X86_EXC_NP, sel);
	if (desc_accessed(v, &d) != X86_OK)
		return X86_FAULT;
	c->seg[seg] = d.seg;
	return X86_OK;
}

void seg_set_flat_cs(struct x86_cpu *c, uint16_t sel, unsigned bits)
{
	c->seg[X86_CS] = (struct x86_seg){ .limit = 0xffffffff, .sel = sel,
		.attr = X86_SEG_ACCESSED | X86_SEG_RW | X86_SEG_CODE | X86_SEG_S |
			(sel & 3u) << 5 | X86_SEG_P | X86_SEG_G |
			(bits == 64 ? X86_SEG_L : X86_SEG_DB) };
	c->cpl = sel & 3;
}

void seg_set_flat_ss(struct x86_cpu *c, uint16_t sel)
{
	c->seg[X86_SS] = (struct x86_seg){ .limit = 0xffffffff, .sel = sel,
		.attr = X86_SEG_ACCESSED | X86_SEG_RW | X86_SEG_S |
			(sel & 3u) << 5 | X86_SEG_P | X86_SEG_DB | X86_SEG_G };
	x86_cpu_update_mode(c);
}

void cs_set(struct x86_cpu *c, const struct x86_desc *d, uint16_t sel,
	    unsigned cpl)
{
	c->seg[X86_CS] = d->seg;
	c->seg[X86_CS].sel = (sel & ~3u) | cpl;
	c->cpl = cpl;
	x86_cpu_update_mode(c);
}

void ss_set(struct x86_cpu *c, const struct x86_desc *d, uint16_t sel)
{
	if (d)
		c->seg[X86_SS] = d->seg;
	else
		c->seg[X86_SS] = (struct x86_seg){
			.attr = X86_SEG_NULL | (sel & 3u) << 5 };
	c->seg[X86_SS].sel = sel;
	x86_cpu_update_mode(c);
}

void sp_set(struct x86_cpu *c, uint64_t sp)
{
	if (c->stack_bytes == 8)
		c->gpr[X86_RSP] = sp;
	else if (c->stack_bytes == 4)
		c->gpr[X86_RSP] = (uint32_t)sp;
	else
		c->gpr[X86_RSP] = (c->gpr[X86_RSP] & ~0xffffull) | (sp & 0xffff);
}

void ip_set(struct x86_cpu *c, uint64_t rip)
{
	c->rip = c->code_bits == 64 ? rip : (uint32_t)rip;
}

/* --- stacks --------------------------------------------------------------- */

static uint64_t bytes_mask(unsigned bytes)
{
	return bytes == 8 ? ~0ull : bytes == 4 ? 0xffffffff : 0xffff;
}

bool seg_holds(const struct x86_cpu *c, const struct x86_seg *s, bool long64,
	       uint64_t off, unsigned len)
{
	uint64_t last = off + len - 1;

	if (long64)
		return canonical(off) && canonical(last);
	if ((s->attr & (X86_SEG_S | X86_SEG_CODE | X86_SEG_DC)) ==
	    (X86_SEG_S | X86_SEG_DC))
		return off > s->limit &&
			last <= (s->attr & X86_SEG_DB ? 0xffffffff : 0xffff);
	return last <= s->limit;
}

void stack_current(struct vcpu *v, struct stack *st)
{
	const struct x86_cpu *c = &v->cpu;

	*st = (struct stack){ .sp = c->gpr[X86_RSP] & bytes_mask(c->stack_bytes),
		.bytes = c->stack_bytes, .cpl = c->cpl };
	st->desc.seg = c->seg[X86_SS];
}

static int stack_of_tss64(struct vcpu *v, unsigned cpl, struct stack *st)
{
	uint64_t rsp;

	if (tss_read(v, 4 + cpl * 8, &rsp, 8) != X86_OK)
		return X86_FAULT;
	*st = (struct stack){ .null = true, .inner = true, .sp = rsp,
		.bytes = 8, .cpl = cpl };
	st->desc.seg.sel = cpl;
	return X86_OK;
}

int stack_of_tss(struct vcpu *v, unsigned cpl, struct stack *st)
{
	bool is32 = tss_is32(&v->cpu);
	uint8_t b[6];
	uint16_t ss;

	if (v->cpu.long_mode)
		return stack_of_tss64(v, cpl, st);
	if (tss_read(v, is32 ? 4 + cpl * 8 : 2 + cpl * 4, b, is32 ? 6 : 4) != X86_OK)
		return X86_FAULT;
	*st = (struct stack){ .inner = true, .cpl = cpl,
		.sp = is32 ? le32_get(b) : le16_get(b) };
	ss = le16_get(b + (is32 ? 4 : 2));
	if (desc_stack(v, ss, cpl, X86_EXC_TS, &st->desc) != X86_OK)
		return X86_FAULT;
	st->bytes = st->desc.seg.attr & X86_SEG_DB ? 4 : 2;
	st->sp &= bytes_mask(st->bytes);
	return X86_OK;
}

#define FRAME_MAX	36	/* a call gate's 31 parameters and what goes with them */

static enum tlb_mode stack_mode(const struct x86_cpu *c, unsigned cpl)
{
	if (cpl == 3)
		return TLB_USER;
	return (c->cr4 & X86_CR4_SMAP) && (c->rflags & X86_FL_AC) ?
		TLB_KERNEL_AC : TLB_KERNEL;
}

/* The usual case of a frame: in one piece, in one page.  false: not so, or it
 * would fault. */
static bool frame_at_once(struct vcpu *v, struct stack *st, const uint64_t *vals,
			  unsigned n, unsigned size, enum tlb_mode mode)
{
	unsigned len = n * size;
	uint64_t sp = st->sp - len, gva = sp;
	uint8_t buf[FRAME_MAX * 8] = { 0 };

	if (st->sp < len || !seg_holds(&v->cpu, &st->desc.seg, st->bytes == 8, sp, len))
		return false;
	if (st->bytes != 8)
		gva = (uint32_t)(st->desc.seg.base + sp);
	if ((gva & (PAGE_SIZE - 1)) + len > PAGE_SIZE)
		return false;
	for (unsigned i = 0; i < n; i++)
		vcpu_copy(buf + (n - 1 - i) * size, &vals[i], size);
	if (vcpu_write(v, gva, buf, len, mode) != X86_OK)
		return false;
	st->sp = sp;
	return true;
}

int stack_frame(struct vcpu *v, struct stack *st, const uint64_t *vals,
		unsigned n, unsigned size)
{
	struct x86_cpu *c = &v->cpu;
	enum tlb_mode mode = stack_mode(c, st->cpl);
	const struct x86_seg *ss = &st->desc.seg;
	uint64_t at[FRAME_MAX], sp = st->sp;

	assert(n <= FRAME_MAX);
	if (frame_at_once(v, st, vals, n, size, mode))
		return X86_OK;
	for (unsigned i = 0; i < n; i++) {
		sp = (sp - size) & bytes_mask(st->bytes);
		if (!seg_holds(c, ss, st->bytes == 8, sp, size))
			return x86_raise_err(c, X86_EXC_SS,
					     st->inner ? ss->sel & 0xfffc : 0);
		at[i] = st->bytes == 8 ? sp : (uint32_t)(ss->base + sp);
		if (vcpu_probe_write(v, at[i], size, mode) != X86_OK)
			return X86_FAULT;
	}
	for (unsigned i = 0; i < n; i++)
		if (vcpu_write(v, at[i], &vals[i], size, mode) != X86_OK)
			return X86_FAULT;
	st->sp = sp;
	return X86_OK;
}

void stack_enter(struct vcpu *v, const struct stack *st)
{
	struct x86_cpu *c = &v->cpu;

	if (st->inner)
		ss_set(c, st->null ? NULL : &st->desc,
		       (st->desc.seg.sel & ~3u) | st->cpl);
	sp_set(c, st->sp);
}

/* --- instructions ---------------------------------------------------------- */

int op_mov_seg(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t sel;

	if (in->o[0].kind != X86_O_SEG)
		return interp_put(v, in, 0, c->seg[in->o[1].reg].sel);
	if (in->o[0].reg == X86_CS || in->o[0].reg >= X86_SEGS)
		return raise_ud(c);
	if (interp_get(v, in, 1, &sel) != X86_OK ||
	    seg_load(v, in->o[0].reg, (uint16_t)sel) != X86_OK)
		return X86_FAULT;
	if (in->o[0].reg == X86_SS)
		c->inhibit = true;
	return X86_OK;
}

int op_push_seg(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t sp = c->gpr[X86_RSP];

	if (stack_push(v, &sp, c->seg[in->o[0].reg].sel, in->opsize) != X86_OK)
		return X86_FAULT;
	stack_commit(v, sp);
	return X86_OK;
}

int op_pop_seg(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t old = c->gpr[X86_RSP], sp = old, sel;

	if (in->o[0].reg == X86_CS)
		return raise_ud(c);
	if (stack_pop(v, &sp, &sel, in->opsize) != X86_OK)
		return X86_FAULT;
	stack_commit(v, sp);	/* with the size of the stack popped from */
	if (seg_load(v, in->o[0].reg, (uint16_t)sel) != X86_OK) {
		c->gpr[X86_RSP] = old;
		return X86_FAULT;
	}
	if (in->o[0].reg == X86_SS)
		c->inhibit = true;
	return X86_OK;
}

int op_load_far_ptr(struct vcpu *v, const struct x86_insn *in)
{
	uint8_t buf[10] = { 0 };
	uint64_t off = 0;
	unsigned seg;

	switch (in->op) {
	case X86_LDS: seg = X86_DS; break;
	case X86_LES: seg = X86_ES; break;
	case X86_LFS: seg = X86_FS; break;
	case X86_LGS: seg = X86_GS; break;
	default: seg = X86_SS; break;
	}
	if (seg_read(v, in->seg, interp_ea(v, in), buf, in->opsize + 2u) != X86_OK)
		return X86_FAULT;
	memcpy(&off, buf, in->opsize);
	if (seg_load(v, seg, le16_get(buf + in->opsize)) != X86_OK)
		return X86_FAULT;
	return interp_put(v, in, 0, off);
}
