/* Fast system calls, descriptor queries, and the remaining system instructions.
 * SDM vol. 2; AMD APM vol. 3 for SYSCALL and SYSRET. */

#include "interp/system.h"

/* --- SYSCALL, SYSENTER and their returns ----------------------------------------
 *
 * Intel's processors know SYSCALL and SYSRET in 64-bit mode alone, and look at the RIP
 * that SYSRETQ goes to while still at CPL 0.  AMD's also know them in compatibility and
 * legacy mode; where RIP is not canonical the fetch behind SYSRET faults, at CPL 3. */

static bool syscall_missing(const struct vcpu *v)
{
	return !(v->cpu.efer & X86_EFER_SCE) ||
	       (!v->vm->model.amd && v->cpu.code_bits != 64);
}

int op_syscall(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint16_t cs = (c->star >> 32) & 0xfffc;
	uint64_t flags = c->rflags & ~(uint64_t)X86_FL_RF;

	if (syscall_missing(v) || !(c->cr0 & X86_CR0_PE))
		return raise_ud(c);
	if (!c->long_mode) {
		c->gpr[X86_RCX] = (uint32_t)c->rip;
		c->rflags = flags & ~(uint64_t)(X86_FL_VM | X86_FL_IF);
		seg_set_flat_cs(c, cs, 32);
		seg_set_flat_ss(c, cs + 8);
		ip_set(c, (uint32_t)c->star);
		return X86_OK;
	}
	c->gpr[X86_RCX] = c->rip;
	c->gpr[X86_R11] = flags;
	c->rip = c->code_bits == 64 ? c->lstar : c->cstar;
	c->rflags = (flags & ~c->sfmask) | X86_FL_FIXED;
	seg_set_flat_cs(c, cs, 64);
	seg_set_flat_ss(c, cs + 8);
	return X86_OK;
}

int op_sysret(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint16_t base = c->star >> 48;
	uint64_t target = c->gpr[X86_RCX];
	bool to64 = c->long_mode && in->opsize == 8;

	if (syscall_missing(v))
		return raise_ud(c);
	if (!x86_protected(c) || c->cpl ||
	    (!v->vm->model.amd && to64 && !canonical(target)))
		return raise_gp(c);
	if (c->long_mode)
		c->rflags = (c->gpr[X86_R11] & 0x3c7fd7) | X86_FL_FIXED;
	else
		c->rflags |= X86_FL_IF;
	seg_set_flat_cs(c, (base + (to64 ? 16 : 0)) | 3, to64 ? 64 : 32);
	seg_set_flat_ss(c, (base + 8) | 3);
	ip_set(c, target);
	if (!(c->rflags & X86_FL_TF))
		return X86_OK;
	/* A step ends here, as if behind the SYSCALL whose mask cleared TF. */
	c->dr[6] |= X86_DR6_BS;
	x86_raise(c, X86_EXC_DB);
	c->exc.at_rip = true;
	return X86_FAULT;
}

/* AMD's processors have SYSENTER and SYSEXIT in legacy mode alone: APM vol. 3. */
static bool sysenter_missing(const struct vcpu *v)
{
	return v->vm->model.amd && v->cpu.long_mode;
}

int op_sysenter(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint16_t cs = c->sysenter_cs & 0xfffc;

	if (sysenter_missing(v))
		return raise_ud(c);
	if (!(c->cr0 & X86_CR0_PE) || !cs)
		return raise_gp(c);
	c->rflags &= ~(uint64_t)(X86_FL_VM | X86_FL_IF | X86_FL_RF);
	seg_set_flat_cs(c, cs, c->long_mode ? 64 : 32);
	seg_set_flat_ss(c, cs + 8);
	c->gpr[X86_RSP] = c->long_mode ? c->sysenter_esp : (uint32_t)c->sysenter_esp;
	ip_set(c, c->sysenter_eip);
	return X86_OK;
}

int op_sysexit(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint16_t cs = c->sysenter_cs & 0xfffc;
	uint64_t rip = c->gpr[X86_RDX], rsp = c->gpr[X86_RCX];
	bool to64 = c->long_mode && in->opsize == 8;

	if (sysenter_missing(v))
		return raise_ud(c);
	if (!x86_protected(c) || c->cpl || !cs ||
	    (to64 && (!canonical(rip) || !canonical(rsp))))
		return raise_gp(c);
	seg_set_flat_cs(c, (cs + (to64 ? 32 : 16)) | 3, to64 ? 64 : 32);
	seg_set_flat_ss(c, (cs + (to64 ? 40 : 24)) | 3);
	c->gpr[X86_RSP] = to64 ? rsp : (uint32_t)rsp;
	ip_set(c, rip);
	return X86_OK;
}

/* --- LAR LSL VERR VERW ARPL -------------------------------------------------------- */

static void set_zf(struct x86_cpu *c, bool on)
{
	c->rflags = (c->rflags & ~(uint64_t)X86_FL_ZF) | (on ? X86_FL_ZF : 0);
}

/*
 * Read a descriptor that may be bad.
 *
 * Returns    X86_OK; *visible: it exists and the privilege rules let it be seen
 */
static int query(struct vcpu *v, uint16_t sel, struct x86_desc *d, bool *visible)
{
	struct x86_cpu *c = &v->cpu;
	unsigned dpl;

	*visible = false;
	if (sel_null(sel))
		return X86_OK;
	if (desc_read(v, sel, X86_EXC_GP, d) != X86_OK)
		return c->exc.vector == X86_EXC_PF ? X86_FAULT : X86_OK;
	dpl = attr_dpl(d->seg.attr);
	*visible = attr_conforming(d->seg.attr) ||
		(dpl >= c->cpl && dpl >= (sel & 3u));
	return X86_OK;
}

/* System descriptors that LAR (and LSL, which needs a limit) know. */
static bool query_type(const struct x86_cpu *c, uint32_t attr, bool limit)
{
	if (attr & X86_SEG_S)
		return true;
	switch (attr_type(attr)) {
	case DESC_TSS16:
	case DESC_TSS16_BUSY:
		return !c->long_mode;
	case DESC_LDT:
	case DESC_TSS32:
	case DESC_TSS32_BUSY:
		return true;
	case DESC_CALL16:
	case DESC_TASK:
		return !limit && !c->long_mode;
	case DESC_CALL32:
		return !limit;
	}
	return false;
}

static int lar_lsl(struct vcpu *v, const struct x86_insn *in, bool limit)
{
	struct x86_cpu *c = &v->cpu;
	struct x86_desc d;
	uint64_t sel;
	bool visible;

	if (!x86_protected(c))
		return raise_ud(c);
	if (interp_get(v, in, 1, &sel) != X86_OK ||
	    query(v, (uint16_t)sel, &d, &visible) != X86_OK)
		return X86_FAULT;
	visible = visible && query_type(c, d.seg.attr, limit);
	set_zf(c, visible);
	if (!visible)
		return X86_OK;
	return interp_put(v, in, 0, limit ? d.seg.limit : d.hi & 0x00f0ff00);
}

int op_lar(struct vcpu *v, const struct x86_insn *in)
{
	return lar_lsl(v, in, false);
}

int op_lsl(struct vcpu *v, const struct x86_insn *in)
{
	return lar_lsl(v, in, true);
}

static int verify(struct vcpu *v, const struct x86_insn *in, bool write)
{
	struct x86_cpu *c = &v->cpu;
	struct x86_desc d;
	uint64_t sel;
	bool ok;

	if (!x86_protected(c))
		return raise_ud(c);
	if (interp_get(v, in, 0, &sel) != X86_OK ||
	    query(v, (uint16_t)sel, &d, &ok) != X86_OK)
		return X86_FAULT;
	if (ok && write)
		ok = attr_writable_data(d.seg.attr);
	else if (ok)
		ok = (d.seg.attr & X86_SEG_S) &&
			(!attr_code(d.seg.attr) || (d.seg.attr & X86_SEG_RW));
	set_zf(c, ok);
	return X86_OK;
}

int op_verr(struct vcpu *v, const struct x86_insn *in)
{
	return verify(v, in, false);
}

int op_verw(struct vcpu *v, const struct x86_insn *in)
{
	return verify(v, in, true);
}

int op_arpl(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t dst, src;
	bool raise;

	if (!x86_protected(c))
		return raise_ud(c);
	if (interp_get(v, in, 0, &dst) != X86_OK ||
	    interp_get(v, in, 1, &src) != X86_OK)
		return X86_FAULT;
	raise = (dst & 3) < (src & 3);
	if (raise && interp_put(v, in, 0, (dst & ~3ull) | (src & 3)) != X86_OK)
		return X86_FAULT;
	set_zf(c, raise);
	return X86_OK;
}

/* --- the rest ------------------------------------------------------------------------ */

int op_hlt(struct vcpu *v, const struct x86_insn *in)
{
	if (v->cpu.cpl)
		return raise_gp(&v->cpu);
	v->cpu.halted = true;
	return X86_OK;
}

int op_cpuid(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint32_t out[4];

	interp_serialize();
	x86_cpuid(&v->vm->model, c, v->id, (uint32_t)c->gpr[X86_RAX],
		  (uint32_t)c->gpr[X86_RCX], out);
	c->gpr[X86_RAX] = out[0];
	c->gpr[X86_RBX] = out[1];
	c->gpr[X86_RCX] = out[2];
	c->gpr[X86_RDX] = out[3];
	return X86_OK;
}

int op_swapgs(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t base = c->seg[X86_GS].base;

	if (c->code_bits != 64)
		return raise_ud(c);
	if (c->cpl)
		return raise_gp(c);
	c->seg[X86_GS].base = c->kernel_gs_base;
	c->kernel_gs_base = base;
	return X86_OK;
}

int op_fsgsbase(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	bool gs = in->op == X86_RDGSBASE || in->op == X86_WRGSBASE;
	uint64_t *base = &c->seg[gs ? X86_GS : X86_FS].base, val;

	if (c->code_bits != 64 || !(c->cr4 & X86_CR4_FSGSBASE))
		return raise_ud(c);
	if (in->op == X86_RDFSBASE || in->op == X86_RDGSBASE)
		return interp_put(v, in, 0, *base);
	if (interp_get(v, in, 0, &val) != X86_OK)
		return X86_FAULT;
	if (!canonical(val))
		return raise_gp(c);
	*base = val;
	return X86_OK;
}

static int set_ac(struct vcpu *v, bool on)
{
	struct x86_cpu *c = &v->cpu;

	if (c->cpl || !x86_model_smap(&v->vm->model, c))
		return raise_ud(c);
	c->rflags = (c->rflags & ~(uint64_t)X86_FL_AC) | (on ? X86_FL_AC : 0);
	return X86_OK;
}

int op_stac(struct vcpu *v, const struct x86_insn *in)
{
	return set_ac(v, true);
}

int op_clac(struct vcpu *v, const struct x86_insn *in)
{
	return set_ac(v, false);
}

/* Not offered in CPUID: protection keys, MONITOR, SMM, VMX and SVM. */

int op_rdpkru(struct vcpu *v, const struct x86_insn *in)
{
	return raise_ud(&v->cpu);
}

int op_wrpkru(struct vcpu *v, const struct x86_insn *in)
{
	return raise_ud(&v->cpu);
}

int op_monitor(struct vcpu *v, const struct x86_insn *in)
{
	return raise_ud(&v->cpu);
}

int op_mwait(struct vcpu *v, const struct x86_insn *in)
{
	return raise_ud(&v->cpu);
}

int op_rsm(struct vcpu *v, const struct x86_insn *in)
{
	return raise_ud(&v->cpu);
}

int op_vmcall(struct vcpu *v, const struct x86_insn *in)
{
	return raise_ud(&v->cpu);
}
