/* Task switches.  SDM vol. 3 chapter 7. */

#include "interp/system.h"

#include <string.h>

#include "base/le.h"

/* Offsets in a 32-bit TSS, figure 7-2; in a 16-bit one, figure 7-10. */
enum {
	TSS32_CR3 = 28, TSS32_EIP = 32, TSS32_EFLAGS = 36, TSS32_REGS = 40,
	TSS32_SEGS = 72, TSS32_LDT = 96, TSS32_T = 100, TSS32_SIZE = 104,
	TSS16_IP = 14, TSS16_FLAGS = 16, TSS16_REGS = 18, TSS16_SEGS = 34,
	TSS16_LDT = 42, TSS16_SIZE = 44,
};

/* What a TSS holds of a task. */
struct task {
	uint32_t cr3, eip, eflags, reg[8];
	uint16_t seg[X86_SEGS], ldt;
	bool trap;
};

int tss_read(struct vcpu *v, uint32_t off, void *buf, unsigned len)
{
	struct x86_cpu *c = &v->cpu;

	if (off + len - 1 > c->tr.limit)
		return raise_sel(c, X86_EXC_TS, c->tr.sel);
	return vcpu_read(v, c->tr.base + off, buf, len, TLB_KERNEL);
}

/* A TSS in pieces that one access can hold. */
static int tss_block(struct vcpu *v, uint64_t base, uint8_t *buf, unsigned len,
		     bool write)
{
	for (unsigned at = 0; at < len; at += 52) {
		unsigned n = len - at < 52 ? len - at : 52;
		uint64_t gva = (uint32_t)(base + at);
		int rc = write ? vcpu_write(v, gva, buf + at, n, TLB_KERNEL) :
			vcpu_read(v, gva, buf + at, n, TLB_KERNEL);

		if (rc != X86_OK)
			return X86_FAULT;
	}
	return X86_OK;
}

static void task_decode(struct task *t, const uint8_t *b, bool is32)
{
	memset(t, 0, sizeof(*t));
	if (is32) {
		t->cr3 = le32_get(b + TSS32_CR3);
		t->eip = le32_get(b + TSS32_EIP);
		t->eflags = le32_get(b + TSS32_EFLAGS);
		t->ldt = le16_get(b + TSS32_LDT);
		t->trap = b[TSS32_T] & 1;
		for (unsigned i = 0; i < 8; i++)
			t->reg[i] = le32_get(b + TSS32_REGS + 4 * i);
		for (unsigned i = 0; i < X86_SEGS; i++)
			t->seg[i] = le16_get(b + TSS32_SEGS + 4 * i);
		return;
	}
	t->eip = le16_get(b + TSS16_IP);
	t->eflags = le16_get(b + TSS16_FLAGS);
	t->ldt = le16_get(b + TSS16_LDT);
	for (unsigned i = 0; i < 8; i++)
		t->reg[i] = le16_get(b + TSS16_REGS + 2 * i) | 0xffff0000;
	for (unsigned i = 0; i < 4; i++)	/* no FS, GS */
		t->seg[i] = le16_get(b + TSS16_SEGS + 2 * i);
}

/* The outgoing state into its TSS image. */
static void task_encode(const struct x86_cpu *c, uint8_t *b, bool is32,
			uint32_t eflags)
{
	if (is32) {
		le32_put(b + TSS32_EIP, (uint32_t)c->rip);
		le32_put(b + TSS32_EFLAGS, eflags);
		for (unsigned i = 0; i < 8; i++)
			le32_put(b + TSS32_REGS + 4 * i, (uint32_t)c->gpr[i]);
		for (unsigned i = 0; i < X86_SEGS; i++)
			le16_put(b + TSS32_SEGS + 4 * i, c->seg[i].sel);
		return;
	}
	le16_put(b + TSS16_IP, (uint16_t)c->rip);
	le16_put(b + TSS16_FLAGS, (uint16_t)eflags);
	for (unsigned i = 0; i < 8; i++)
		le16_put(b + TSS16_REGS + 2 * i, (uint16_t)c->gpr[i]);
	for (unsigned i = 0; i < 4; i++)
		le16_put(b + TSS16_SEGS + 2 * i, c->seg[i].sel);
}

/* The dynamic fields, from EIP/IP to the last segment, are written back. */
static int task_save(struct vcpu *v, uint32_t eflags)
{
	struct x86_cpu *c = &v->cpu;
	bool is32 = tss_is32(c);
	unsigned from = is32 ? TSS32_EIP : TSS16_IP;
	unsigned to = is32 ? TSS32_LDT : TSS16_LDT;
	uint8_t b[TSS32_SIZE];

	if (to - 1 > c->tr.limit)
		return raise_sel(c, X86_EXC_TS, c->tr.sel);
	if (tss_block(v, c->tr.base + from, b + from, to - from, false) != X86_OK)
		return X86_FAULT;
	task_encode(c, b, is32, eflags);
	return tss_block(v, c->tr.base + from, b + from, to - from, true);
}

static int task_check_desc(struct vcpu *v, uint16_t sel, enum task_how how,
			   struct x86_desc *d)
{
	struct x86_cpu *c = &v->cpu;
	uint8_t vector = how == TASK_IRET ? X86_EXC_TS : X86_EXC_GP;
	unsigned type, want = how == TASK_IRET ? 2 : 0;

	if (sel & 4 || sel_null(sel))
		return raise_sel(c, vector, sel);
	if (desc_read(v, sel, vector, d) != X86_OK)
		return X86_FAULT;
	type = attr_type(d->seg.attr);
	if (type != (DESC_TSS16 | want) && type != (DESC_TSS32 | want))
		return raise_sel(c, vector, sel);
	if (!(d->seg.attr & X86_SEG_P))
		return raise_sel(c, X86_EXC_NP, sel);
	if (d->seg.limit < (type & 8 ? TSS32_SIZE - 1u : TSS16_SIZE - 1u))
		return raise_sel(c, X86_EXC_TS, sel);
	return X86_OK;
}

/* --- the incoming task ------------------------------------------------------- */

static int task_load_ldt(struct vcpu *v, uint16_t sel)
{
	struct x86_cpu *c = &v->cpu;
	struct x86_desc d;

	c->ldtr = (struct x86_seg){ .sel = sel, .attr = X86_SEG_NULL };
	if (sel_null(sel))
		return X86_OK;
	if (sel & 4)
		return raise_sel(c, X86_EXC_TS, sel);
	if (desc_read(v, sel, X86_EXC_TS, &d) != X86_OK)
		return X86_FAULT;
	if (attr_type(d.seg.attr) != DESC_LDT || !(d.seg.attr & X86_SEG_P))
		return raise_sel(c, X86_EXC_TS, sel);
	c->ldtr = d.seg;
	return X86_OK;
}

static int task_load_cs(struct vcpu *v, uint16_t sel)
{
	struct x86_cpu *c = &v->cpu;
	struct x86_desc d;
	unsigned rpl = sel & 3;
	uint32_t attr;

	if (sel_null(sel))
		return raise_sel(c, X86_EXC_TS, sel);
	if (desc_read(v, sel, X86_EXC_TS, &d) != X86_OK)
		return X86_FAULT;
	attr = d.seg.attr;
	if (!attr_code(attr) || (attr_conforming(attr) ? attr_dpl(attr) > rpl :
				 attr_dpl(attr) != rpl))
		return raise_sel(c, X86_EXC_TS, sel);
	if (!(attr & X86_SEG_P))
		return raise_sel(c, X86_EXC_NP, sel);
	if (desc_accessed(v, &d) != X86_OK)
		return X86_FAULT;
	cs_set(c, &d, sel, rpl);
	return X86_OK;
}

/* Segment faults of a task switch are #TS where MOV would raise #GP. */
static int task_load_data(struct vcpu *v, unsigned seg, uint16_t sel)
{
	struct x86_cpu *c = &v->cpu;
	struct x86_desc d;

	if (seg == X86_SS) {
		if (desc_stack(v, sel, c->cpl, X86_EXC_TS, &d) != X86_OK)
			return X86_FAULT;
		ss_set(c, &d, sel);
		return X86_OK;
	}
	if (seg_load(v, seg, sel) == X86_OK)
		return X86_OK;
	if (c->exc.vector == X86_EXC_GP)
		c->exc.vector = X86_EXC_TS;
	return X86_FAULT;
}

static int task_load_segs(struct vcpu *v, const struct task *t)
{
	static const uint8_t order[] = { X86_SS, X86_DS, X86_ES, X86_FS, X86_GS };
	struct x86_cpu *c = &v->cpu;

	if (task_load_ldt(v, t->ldt) != X86_OK)
		return X86_FAULT;
	if (c->rflags & X86_FL_VM)
		return X86_OK;
	if (task_load_cs(v, t->seg[X86_CS]) != X86_OK)
		return X86_FAULT;
	for (unsigned i = 0; i < sizeof(order); i++)
		if (task_load_data(v, order[i], t->seg[order[i]]) != X86_OK)
			return X86_FAULT;
	return X86_OK;
}

/* Registers first; until they are loaded the segments hold selectors only (in
 * V86 that is all), so that a fault in loading one is taken in the new task. */
static void task_load_regs(struct x86_cpu *c, const struct task *t, bool nested)
{
	for (unsigned i = 0; i < 8; i++)
		c->gpr[i] = t->reg[i];
	c->rip = t->eip;
	c->rflags = (t->eflags & 0x3f7fd5) | X86_FL_FIXED |
		(nested ? X86_FL_NT : 0);
	for (unsigned i = 0; i < X86_SEGS; i++) {
		if (c->rflags & X86_FL_VM)
			seg_set_v86(c, i, t->seg[i]);
		else
			seg_set_null(c, i, t->seg[i]);
	}
	c->cpl = c->rflags & X86_FL_VM ? 3 : t->seg[X86_CS] & 3;
	x86_cpu_update_mode(c);
}

static int task_push_error(struct vcpu *v, bool is32, uint32_t error)
{
	uint64_t val = error;
	struct stack st;

	stack_current(v, &st);
	if (stack_frame(v, &st, &val, 1, is32 ? 4 : 2) != X86_OK)
		return X86_FAULT;
	sp_set(&v->cpu, st.sp);
	return X86_OK;
}

/* Everything after the point of no return: faults belong to the new task. */
static int task_enter(struct vcpu *v, const struct task *t, bool is32,
		      bool has_error, uint32_t error)
{
	struct x86_cpu *c = &v->cpu;

	if (task_load_segs(v, t) != X86_OK)
		return X86_FAULT;
	if (has_error && task_push_error(v, is32, error) != X86_OK)
		return X86_FAULT;
	if (t->eip > c->seg[X86_CS].limit)
		return raise_gp(c);
	c->dr[7] &= ~0x155ull;	/* local breakpoints belong to one task */
	if (!t->trap)
		return X86_OK;
	c->dr[6] |= 1u << 15;
	return x86_raise(c, X86_EXC_DB);
}

int task_switch(struct vcpu *v, uint16_t sel, enum task_how how, bool has_error,
		uint32_t error)
{
	struct x86_cpu *c = &v->cpu;
	uint32_t eflags = (uint32_t)c->rflags;
	struct x86_desc d, old;
	uint8_t buf[TSS32_SIZE];
	struct task t;
	bool is32;

	if (task_check_desc(v, sel, how, &d) != X86_OK)
		return X86_FAULT;
	is32 = d.seg.attr & 8;
	if (tss_block(v, d.seg.base, buf, is32 ? TSS32_SIZE : TSS16_SIZE, false) != X86_OK)
		return X86_FAULT;
	task_decode(&t, buf, is32);
	if (how == TASK_IRET)
		eflags &= ~X86_FL_NT;
	if (how != TASK_CALL && desc_read(v, c->tr.sel, X86_EXC_TS, &old) != X86_OK)
		return X86_FAULT;
	if (task_save(v, eflags) != X86_OK)
		return X86_FAULT;
	if (how != TASK_CALL && desc_busy(v, &old, false) != X86_OK)
		return X86_FAULT;
	if (how != TASK_IRET && desc_busy(v, &d, true) != X86_OK)
		return X86_FAULT;
	if (how == TASK_CALL &&
	    vcpu_write(v, d.seg.base, &c->tr.sel, 2, TLB_KERNEL) != X86_OK)
		return X86_FAULT;
	c->tr = d.seg;
	c->tr.attr |= 2;
	c->cr0 |= X86_CR0_TS;
	task_load_regs(c, &t, how == TASK_CALL);
	if ((is32 && x86_paging(c) && cr3_set(v, t.cr3) != X86_OK) ||
	    task_enter(v, &t, is32, has_error, error) != X86_OK) {
		c->exc.at_rip = true;
		return X86_FAULT;
	}
	return X86_OK;
}
