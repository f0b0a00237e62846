/* Delivery of exceptions and interrupts, and INT n.
 * SDM vol. 3 chapter 6; vol. 2 INT n. */

#include "interp/system.h"

#include "base/le.h"

/* An event on its way through the IDT. */
struct event {
	uint8_t vector;
	bool soft, has_error;
	uint32_t error;
	uint64_t flags;		/* as pushed */
};

/* A gate of the IDT, decoded. */
struct idt_gate {
	unsigned type;		/* DESC_TASK, DESC_INT16 and so on */
	unsigned dpl;
	unsigned ist;
	uint16_t sel;
	uint64_t off;
};

/* Error code of a fault in the IDT entry itself: IDT flag set. */
static uint32_t idt_error(uint8_t vector)
{
	return vector * 8u + 2;
}

static int idt_read(struct vcpu *v, const struct event *ev, struct idt_gate *g)
{
	struct x86_cpu *c = &v->cpu;
	unsigned size = c->long_mode ? 16 : 8;
	uint32_t w[4] = { 0 };
	bool valid;

	if (ev->vector * size + size - 1 > c->idtr.limit)
		return x86_raise_err(c, X86_EXC_GP, idt_error(ev->vector));
	if (vcpu_read(v, c->idtr.base + ev->vector * size, w, size, TLB_KERNEL) != X86_OK)
		return X86_FAULT;
	*g = (struct idt_gate){ .type = w[1] >> 8 & 0x1f, .dpl = w[1] >> 13 & 3,
		.sel = (uint16_t)(w[0] >> 16), .off = w[0] & 0xffff };
	if (g->type & 8)
		g->off |= w[1] & 0xffff0000;
	if (c->long_mode) {
		g->ist = w[1] & 7;
		g->off |= (uint64_t)w[2] << 32;
		valid = g->type == DESC_INT32 || g->type == DESC_TRAP32;
	} else {
		valid = g->type == DESC_TASK || g->type == DESC_INT16 ||
			g->type == DESC_TRAP16 || g->type == DESC_INT32 ||
			g->type == DESC_TRAP32;
	}
	if (!valid || (ev->soft && g->dpl < c->cpl))
		return x86_raise_err(c, X86_EXC_GP, idt_error(ev->vector));
	if (!(w[1] >> 15 & 1))
		return x86_raise_err(c, X86_EXC_NP, idt_error(ev->vector));
	return X86_OK;
}

/* The handler's code segment; *cpl is the privilege it will run at. */
static int handler_code(struct vcpu *v, const struct idt_gate *g,
			struct x86_desc *d, unsigned *cpl)
{
	struct x86_cpu *c = &v->cpu;
	bool v86 = c->rflags & X86_FL_VM;
	uint32_t attr;

	if (sel_null(g->sel))
		return raise_gp(c);
	if (desc_read(v, g->sel, X86_EXC_GP, d) != X86_OK)
		return X86_FAULT;
	attr = d->seg.attr;
	if (!attr_code(attr) || attr_dpl(attr) > c->cpl)
		return raise_sel(c, X86_EXC_GP, g->sel);
	if (c->long_mode && (attr & (X86_SEG_L | X86_SEG_DB)) != X86_SEG_L)
		return raise_sel(c, X86_EXC_GP, g->sel);
	if (!(attr & X86_SEG_P))
		return raise_sel(c, X86_EXC_NP, g->sel);
	*cpl = attr_conforming(attr) ? c->cpl : attr_dpl(attr);
	if (v86 && *cpl != 0)
		return raise_sel(c, X86_EXC_GP, g->sel);
	return desc_accessed(v, d);
}

/* Flags that every handler starts without; interrupt gates also clear IF. */
static void handler_flags(struct x86_cpu *c, unsigned type)
{
	c->rflags &= ~(uint64_t)(X86_FL_TF | X86_FL_VM | X86_FL_RF | X86_FL_NT);
	if (!(type & 1))
		c->rflags &= ~(uint64_t)X86_FL_IF;
}

static unsigned frame_tail(const struct x86_cpu *c, const struct event *ev,
			   uint64_t *vals)
{
	unsigned n = 0;

	vals[n++] = ev->flags;
	vals[n++] = c->seg[X86_CS].sel;
	vals[n++] = c->rip;
	if (ev->has_error)
		vals[n++] = ev->error;
	return n;
}

static int enter_protected(struct vcpu *v, const struct event *ev)
{
	static const uint8_t v86_order[] = { X86_GS, X86_FS, X86_DS, X86_ES };
	struct x86_cpu *c = &v->cpu;
	bool v86 = c->rflags & X86_FL_VM;
	struct idt_gate g;
	struct x86_desc code;
	struct stack st;
	uint64_t vals[10];
	unsigned cpl, n = 0;

	if (idt_read(v, ev, &g) != X86_OK)
		return X86_FAULT;
	if (g.type == DESC_TASK)
		return task_switch(v, g.sel, TASK_CALL, ev->has_error, ev->error);
	if (handler_code(v, &g, &code, &cpl) != X86_OK)
		return X86_FAULT;
	stack_current(v, &st);
	if (cpl < c->cpl) {
		if (stack_of_tss(v, cpl, &st) != X86_OK)
			return X86_FAULT;
		for (unsigned i = 0; v86 && i < 4; i++)
			vals[n++] = c->seg[v86_order[i]].sel;
		vals[n++] = c->seg[X86_SS].sel;
		vals[n++] = c->gpr[X86_RSP];
	}
	n += frame_tail(c, ev, vals + n);
	if (g.off > code.seg.limit)
		return raise_gp(c);
	if (stack_frame(v, &st, vals, n, g.type & 8 ? 4 : 2) != X86_OK)
		return X86_FAULT;
	cs_set(c, &code, g.sel, cpl);
	stack_enter(v, &st);
	ip_set(c, g.off);
	handler_flags(c, g.type);
	for (unsigned i = 0; v86 && i < 4; i++)
		seg_set_null(c, v86_order[i], 0);
	return X86_OK;
}

/* Long mode: SS:RSP is pushed always, the stack is aligned to 16 bytes. */
static int enter_long(struct vcpu *v, const struct event *ev)
{
	struct x86_cpu *c = &v->cpu;
	struct idt_gate g;
	struct x86_desc code;
	struct stack st = { .bytes = 8 };
	uint64_t vals[6], rsp = c->gpr[X86_RSP];
	unsigned cpl, n;

	if (idt_read(v, ev, &g) != X86_OK ||
	    handler_code(v, &g, &code, &cpl) != X86_OK)
		return X86_FAULT;
	if (g.ist && tss_read(v, 28 + g.ist * 8, &rsp, 8) != X86_OK)
		return X86_FAULT;
	if (!g.ist && cpl < c->cpl && tss_read(v, 4 + cpl * 8, &rsp, 8) != X86_OK)
		return X86_FAULT;
	st.cpl = cpl;
	st.inner = st.null = cpl < c->cpl;
	st.sp = rsp & ~15ull;
	vals[0] = c->seg[X86_SS].sel;
	vals[1] = c->gpr[X86_RSP];
	n = 2 + frame_tail(c, ev, vals + 2);
	if (!canonical(g.off))
		return raise_gp(c);
	if (stack_frame(v, &st, vals, n, 8) != X86_OK)
		return X86_FAULT;
	cs_set(c, &code, g.sel, cpl);
	stack_enter(v, &st);
	ip_set(c, g.off);
	handler_flags(c, g.type);
	return X86_OK;
}

static int enter_real(struct vcpu *v, const struct event *ev)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t vals[3] = { ev->flags, c->seg[X86_CS].sel, c->rip };
	struct stack st;
	uint32_t entry;

	if (ev->vector * 4u + 3 > c->idtr.limit)
		return raise_gp(c);
	if (vcpu_read(v, c->idtr.base + ev->vector * 4u, &entry, 4, TLB_KERNEL) != X86_OK)
		return X86_FAULT;
	stack_current(v, &st);
	if (stack_frame(v, &st, vals, 3, 2) != X86_OK)
		return X86_FAULT;
	sp_set(c, st.sp);
	seg_load_real(v, X86_CS, (uint16_t)(entry >> 16));
	x86_cpu_update_mode(c);
	ip_set(c, entry & 0xffff);
	c->rflags &= ~(uint64_t)(X86_FL_TF | X86_FL_IF | X86_FL_RF | X86_FL_AC);
	return X86_OK;
}

/* Faults push RF set, so that the restarted instruction does not meet its
 * breakpoint again; traps and interrupts push it as it is.  SDM vol. 3, 17.3.1.1 */
static bool event_is_fault(uint8_t vector)
{
	switch (vector) {
	case X86_EXC_DB: case X86_EXC_NMI: case X86_EXC_BP: case X86_EXC_OF:
	case X86_EXC_DF: case X86_EXC_MC:
		return false;
	}
	return vector < 32;
}

int exc_enter(struct vcpu *v, uint8_t vector, bool soft, bool has_error,
	      uint32_t error, bool external)
{
	struct x86_cpu *c = &v->cpu;
	struct event ev = { .vector = vector, .soft = soft,
		.has_error = has_error, .error = error, .flags = c->rflags };
	int rc;

	if (!soft && !external && event_is_fault(vector))
		ev.flags |= X86_FL_RF;
	if (!(c->cr0 & X86_CR0_PE)) {
		rc = enter_real(v, &ev);
	} else {
		rc = c->long_mode ? enter_long(v, &ev) : enter_protected(v, &ev);
		/* EXT: the fault was not the program's own doing */
		if (rc != X86_OK && !soft && c->exc.has_error &&
		    c->exc.vector >= X86_EXC_TS && c->exc.vector <= X86_EXC_GP)
			c->exc.error |= 1;
	}
	if (rc != X86_OK)
		return rc;
	c->inhibit = false;
	if (vector == X86_EXC_DB && !soft && !external)
		c->dr[7] &= ~(uint64_t)DR7_GD;
	return X86_OK;
}

/* --- double faults ------------------------------------------------------------ */

enum exc_class { EXC_BENIGN, EXC_CONTRIBUTORY, EXC_PAGE };

static enum exc_class exc_class(uint8_t vector)
{
	switch (vector) {
	case X86_EXC_DE: case X86_EXC_TS: case X86_EXC_NP: case X86_EXC_SS:
	case X86_EXC_GP:
		return EXC_CONTRIBUTORY;
	case X86_EXC_PF:
		return EXC_PAGE;
	}
	return EXC_BENIGN;
}

/* SDM vol. 3 table 6-5. */
static bool exc_doubles(uint8_t first, uint8_t second)
{
	enum exc_class a = exc_class(first), b = exc_class(second);

	if (a == EXC_CONTRIBUTORY)
		return b == EXC_CONTRIBUTORY;
	return a == EXC_PAGE && b != EXC_BENIGN;
}

enum interp_result interp_exception(struct vcpu *v)
{
	struct x86_cpu *c = &v->cpu;

	for (;;) {
		struct x86_exc e = c->exc;

		if (e.vector == X86_EXC_PF) {
			c->cr2 = e.cr2;
			trace_line(v->vm, TRACE_MMU, "fault cpu%u %#llx error %#x at %#llx\n",
				   v->id, (unsigned long long)e.cr2, e.error,
				   (unsigned long long)c->rip);
		}
		if (exc_enter(v, e.vector, e.soft, e.has_error, e.error, false) == X86_OK)
			return INTERP_OK;
		if (e.vector == X86_EXC_DF && !e.soft)
			return INTERP_SHUTDOWN;
		if (c->exc.vector == X86_EXC_PF)
			c->cr2 = c->exc.cr2;	/* also when it becomes a #DF */
		if (!e.soft && exc_doubles(e.vector, c->exc.vector))
			x86_raise_err(c, X86_EXC_DF, 0);
	}
}

enum interp_result interp_interrupt(struct vcpu *v, uint8_t vector)
{
	v->cpu.halted = false;
	if (exc_enter(v, vector, false, false, 0, true) == X86_OK)
		return INTERP_OK;
	return interp_exception(v);
}

/* --- INT n, INT3, INTO, INT1, BOUND ------------------------------------------- */

int op_int(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;

	if ((c->rflags & X86_FL_VM) && (c->rflags & X86_FL_IOPL) != X86_FL_IOPL)
		return raise_gp(c);
	return exc_enter(v, (uint8_t)in->imm, true, false, 0, false);
}

int op_int3(struct vcpu *v, const struct x86_insn *in)
{
	return exc_enter(v, X86_EXC_BP, true, false, 0, false);
}

int op_into(struct vcpu *v, const struct x86_insn *in)
{
	if (!(v->cpu.rflags & X86_FL_OF))
		return X86_OK;
	return exc_enter(v, X86_EXC_OF, true, false, 0, false);
}

int op_int1(struct vcpu *v, const struct x86_insn *in)
{
	/* As a hardware #DB: no privilege check of the gate. */
	return exc_enter(v, X86_EXC_DB, false, false, 0, false);
}

int op_bound(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	unsigned size = in->opsize;
	uint8_t buf[8];
	int64_t idx, lo, hi;
	uint64_t reg;

	if (interp_get(v, in, 0, &reg) != X86_OK ||
	    seg_read(v, in->seg, interp_ea(v, in), buf, size * 2) != X86_OK)
		return X86_FAULT;
	if (size == 2) {
		idx = (int16_t)reg;
		lo = (int16_t)le16_get(buf);
		hi = (int16_t)le16_get(buf + 2);
	} else {
		idx = (int32_t)reg;
		lo = (int32_t)le32_get(buf);
		hi = (int32_t)le32_get(buf + 4);
	}
	return idx < lo || idx > hi ? x86_raise(c, X86_EXC_BR) : X86_OK;
}

/* --- requests between instructions -------------------------------------------- */

static enum interp_result take_interrupt(struct vcpu *v)
{
	enum interp_result r = INTERP_OK;
	int vector;

	atomic_fetch_and(&v->req, ~(uint32_t)VCPU_REQ_INTR);
	if (!v->intr_pending || !v->intr_pending(v->intr_ptr))
		return INTERP_OK;
	vector = v->intr_ack(v->intr_ptr);
	if (vector >= 0)
		r = interp_interrupt(v, (uint8_t)vector);
	if (v->intr_pending(v->intr_ptr))
		atomic_fetch_or(&v->req, VCPU_REQ_INTR);
	return r;
}

bool interp_service_requests(struct vcpu *v, enum vcpu_exit *exit)
{
	struct x86_cpu *c = &v->cpu;
	uint32_t req = atomic_load(&v->req);
	enum interp_result r = INTERP_OK;

	if (req & VCPU_REQ_PAUSE) {	/* who was alone may have changed anything */
		vcpu_pause(v);
		req = atomic_load(&v->req);
	}
	if (req & VCPU_REQ_FLUSH) {
		atomic_fetch_and(&v->req, ~(uint32_t)VCPU_REQ_FLUSH);
		sys_flush(v, VCPU_FLUSH_LAYOUT, 0);
		icache_flush(v);
	}
	if (req & VCPU_REQ_STOP) {
		*exit = VCPU_EXIT_STOP;
		return true;
	}
	if (req & VCPU_REQ_CALLER) {
		*exit = VCPU_EXIT_REQ;
		return true;
	}
	if ((req & VCPU_REQ_NMI) && !c->nmi_masked && !c->inhibit) {
		atomic_fetch_and(&v->req, ~(uint32_t)VCPU_REQ_NMI);
		c->nmi_masked = true;
		r = interp_interrupt(v, X86_EXC_NMI);
	} else if ((req & VCPU_REQ_INTR) && (c->rflags & X86_FL_IF) && !c->inhibit) {
		r = take_interrupt(v);
	}
	if (r == INTERP_SHUTDOWN)
		*exit = VCPU_EXIT_SHUTDOWN;
	else if (c->halted)
		*exit = VCPU_EXIT_HLT;
	else
		return false;
	return true;
}
