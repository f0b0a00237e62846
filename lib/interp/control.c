/* Control and debug registers, descriptor-table registers, TLB invalidation.
 * SDM vol. 3 chapters 2, 4.10, 17.2; vol. 2 for the instructions. */

#include "interp/system.h"

#include <string.h>

#include "base/le.h"
#include "vmm/walkmem.h"

void sys_flush(struct vcpu *v, enum vcpu_flush what, uint64_t gva)
{
	static const char *const name[] = { [VCPU_FLUSH_ALL] = "all",
		[VCPU_FLUSH_NONGLOBAL] = "nonglobal", [VCPU_FLUSH_PAGE] = "page",
		[VCPU_FLUSH_SWITCH] = "switch", [VCPU_FLUSH_OTHER] = "other",
		[VCPU_FLUSH_LAYOUT] = "layout" };

	switch (what) {
	case VCPU_FLUSH_ALL:
	case VCPU_FLUSH_LAYOUT:
		tlb_flush(&v->tlb);
		break;
	case VCPU_FLUSH_NONGLOBAL:
	case VCPU_FLUSH_SWITCH:
		tlb_flush_nonglobal(&v->tlb);
		break;
	case VCPU_FLUSH_PAGE:
		tlb_flush_page(&v->tlb, gva);
		break;
	case VCPU_FLUSH_OTHER:
		break;
	}
	if (v->on_tlb_flush)
		v->on_tlb_flush(v, gva, what);
	trace_line(v->vm, TRACE_MMU, "flush cpu%u %s %#llx cr3 %#llx\n", v->id,
		   name[what],
		   (unsigned long long)gva, (unsigned long long)v->cpu.cr3);
}

static int load_pdptes(struct vcpu *v)
{
	struct x86_walk_mem m = vcpu_walk_mem(v);

	return x86_load_pdptes(&v->cpu, &m);
}

/* PAE paging without long mode, with these control registers? */
static bool uses_pdptes(const struct x86_cpu *c, uint64_t cr0, uint64_t cr4)
{
	return (cr0 & X86_CR0_PG) && (cr4 & X86_CR4_PAE) &&
		!(c->efer & X86_EFER_LME);
}

/* --- CR0, CR3, CR4 ------------------------------------------------------------ */

#define CR0_VALID	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | \
			 X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | \
			 X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)

/* Switching paging on or off with EFER.LME set enters or leaves long mode. */
static int cr0_long_mode(struct x86_cpu *c, uint64_t val)
{
	bool on = val & X86_CR0_PG;

	if (!(c->efer & X86_EFER_LME) || on == x86_paging(c))
		return X86_OK;
	if (on && (!(c->cr4 & X86_CR4_PAE) || (c->seg[X86_CS].attr & X86_SEG_L) ||
		   !tss_is32(c)))
		return raise_gp(c);
	if (!on && c->code_bits == 64)
		return raise_gp(c);
	return X86_OK;
}

static int cr0_set(struct vcpu *v, uint64_t val)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t changed;

	if (val >> 32 ||
	    ((val & X86_CR0_PG) && !(val & X86_CR0_PE)) ||
	    (!(val & X86_CR0_PG) && c->cr4 & X86_CR4_PCIDE) ||
	    ((val & X86_CR0_NW) && !(val & X86_CR0_CD)))
		return raise_gp(c);
	val = (val & CR0_VALID) | X86_CR0_ET;
	changed = val ^ c->cr0;
	if (cr0_long_mode(c, val) != X86_OK)
		return X86_FAULT;
	if (uses_pdptes(c, val, c->cr4) &&
	    (changed & (X86_CR0_PG | X86_CR0_CD | X86_CR0_NW)) &&
	    load_pdptes(v) != X86_OK)
		return X86_FAULT;
	c->cr0 = val;
	if (c->efer & X86_EFER_LME) {
		if (val & X86_CR0_PG)
			c->efer |= X86_EFER_LMA;
		else
			c->efer &= ~(uint64_t)X86_EFER_LMA;
	}
	if (changed & X86_CR0_PE)
		c->cpl = 0;
	x86_cpu_update_mode(c);
	if (changed & (X86_CR0_PE | X86_CR0_PG | X86_CR0_WP))
		sys_flush(v, VCPU_FLUSH_ALL, 0);
	return X86_OK;
}

#define CR3_KEEP (1ull << 63)	/* with PCIDs: no translation is dropped */

int cr3_set(struct vcpu *v, uint64_t val)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t old = c->cr3;
	bool keep = c->cr4 & X86_CR4_PCIDE && val & CR3_KEEP;

	if (keep)
		val &= ~CR3_KEEP;
	if (c->long_mode && val >> X86_PHYS_BITS)
		return raise_gp(c);
	c->cr3 = val;
	if (uses_pdptes(c, c->cr0, c->cr4) && load_pdptes(v) != X86_OK) {
		c->cr3 = old;
		return X86_FAULT;
	}
	if (keep)
		sys_flush(v, VCPU_FLUSH_SWITCH, 0);
	else
		sys_flush(v, c->cr4 & X86_CR4_PGE ? VCPU_FLUSH_NONGLOBAL : VCPU_FLUSH_ALL, 0);
	return X86_OK;
}

static uint64_t cr4_valid(const struct x86_model *m, const struct x86_cpu *c)
{
	uint64_t valid = X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | X86_CR4_PAE |
		X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR |
		X86_CR4_OSXMMEX;

	if (x86_model_has(m, X86_F_FSGSBASE))
		valid |= X86_CR4_FSGSBASE;
	if (x86_model_has(m, X86_F_PCID))
		valid |= X86_CR4_PCIDE;
	if (x86_model_has(m, X86_F_XSAVE))
		valid |= X86_CR4_OSXSAVE;
	if (x86_model_smap(m, c))
		valid |= X86_CR4_SMAP;
	if (x86_model_has(m, X86_F_SMEP))
		valid |= X86_CR4_SMEP;
	if (x86_model_has(m, X86_F_UMIP))
		valid |= X86_CR4_UMIP;
	return valid;
}

static int cr4_set(struct vcpu *v, uint64_t val)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t old = c->cr4, changed = val ^ old;

	if (val & ~cr4_valid(&v->vm->model, c))
		return raise_gp(c);
	if (c->long_mode && !(val & X86_CR4_PAE))
		return raise_gp(c);
	if (changed & val & X86_CR4_PCIDE && (!c->long_mode || c->cr3 & 0xfff))
		return raise_gp(c);
	if (uses_pdptes(c, c->cr0, val) &&
	    (changed & (X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PSE | X86_CR4_SMEP)) &&
	    load_pdptes(v) != X86_OK)
		return X86_FAULT;
	c->cr4 = val;
	if (changed & (X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_SMEP |
		       X86_CR4_SMAP) || changed & old & X86_CR4_PCIDE)
		sys_flush(v, VCPU_FLUSH_ALL, 0);
	return X86_OK;
}

static int cr8_set(struct vcpu *v, uint64_t val)
{
	if (val & ~15ull)
		return raise_gp(&v->cpu);
	if (v->apic_set_tpr)
		v->apic_set_tpr(v->lapic, (uint8_t)val);
	return X86_OK;
}

static int cr_read(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t val;

	switch (in->o[1].reg) {
	case 0: val = c->cr0; break;
	case 2: val = c->cr2; break;
	case 3: val = c->cr3; break;
	case 4: val = c->cr4; break;
	case 8: val = v->apic_tpr ? v->apic_tpr(v->lapic) : 0; break;
	default: return raise_ud(c);
	}
	return interp_put(v, in, 0, val);
}

int op_mov_cr(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t val;

	interp_serialize();
	if (c->cpl)
		return raise_gp(c);
	if (in->o[0].kind != X86_O_CR)
		return cr_read(v, in);
	if (interp_get(v, in, 1, &val) != X86_OK)
		return X86_FAULT;
	switch (in->o[0].reg) {
	case 0: return cr0_set(v, val);
	case 2: c->cr2 = val; return X86_OK;
	case 3: return cr3_set(v, val);
	case 4: return cr4_set(v, val);
	case 8: return cr8_set(v, val);
	}
	return raise_ud(c);
}

int op_clts(struct vcpu *v, const struct x86_insn *in)
{
	if (v->cpu.cpl)
		return raise_gp(&v->cpu);
	v->cpu.cr0 &= ~(uint64_t)X86_CR0_TS;
	return X86_OK;
}

int op_lmsw(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t val;

	if (c->cpl)
		return raise_gp(c);
	if (interp_get(v, in, 0, &val) != X86_OK)
		return X86_FAULT;
	/* LMSW sets PE but cannot clear it. */
	return cr0_set(v, (c->cr0 & ~14ull) | (val & 15));
}

/* UMIP: these instructions show tables and state to user code no more. */
static bool umip_forbids(const struct x86_cpu *c)
{
	return c->cpl && (c->cr4 & X86_CR4_UMIP);
}

int op_smsw(struct vcpu *v, const struct x86_insn *in)
{
	if (umip_forbids(&v->cpu))
		return raise_gp(&v->cpu);
	return interp_put(v, in, 0, v->cpu.cr0);
}

/* --- debug registers ------------------------------------------------------------ */

#define DR6_FIXED	0xffff0ff0u
#define DR6_VALID	0x0000e00fu
#define DR6_BD		(1u << 13)
#define DR7_FIXED	0x400u
#define DR7_VALID	0xffff2bffu

static int dr_set(struct vcpu *v, unsigned n, uint64_t val)
{
	struct x86_cpu *c = &v->cpu;

	if (n >= 6 && val >> 32)
		return raise_gp(c);
	if (n == 6)
		val = (val & DR6_VALID) | DR6_FIXED;
	else if (n == 7)
		val = (val & DR7_VALID) | DR7_FIXED;
	else if (c->long_mode && !canonical(val))
		return raise_gp(c);
	c->dr[n] = val;
	return X86_OK;
}

int op_mov_dr(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	bool write = in->o[0].kind == X86_O_DR;
	unsigned n = in->o[write ? 0 : 1].reg;
	uint64_t val;

	interp_serialize();
	if (n >= 8 || ((n == 4 || n == 5) && (c->cr4 & X86_CR4_DE)))
		return raise_ud(c);
	if (c->cpl)
		return raise_gp(c);
	if (n == 4 || n == 5)
		n += 2;
	if (c->dr[7] & DR7_GD) {
		c->dr[6] |= DR6_BD;
		return x86_raise(c, X86_EXC_DB);
	}
	if (!write)
		return interp_put(v, in, 0, c->dr[n]);
	if (interp_get(v, in, 1, &val) != X86_OK)
		return X86_FAULT;
	return dr_set(v, n, val);
}

/* --- GDTR, IDTR, LDTR, TR --------------------------------------------------------- */

static int dtr_load(struct vcpu *v, const struct x86_insn *in, struct x86_dtr *t)
{
	struct x86_cpu *c = &v->cpu;
	unsigned width = c->code_bits == 64 ? 8 : 4;
	uint8_t buf[10] = { 0 };
	uint64_t base;

	if (c->cpl)
		return raise_gp(c);
	if (seg_read(v, in->seg, interp_ea(v, in), buf, 2 + width) != X86_OK)
		return X86_FAULT;
	base = width == 8 ? le64_get(buf + 2) : le32_get(buf + 2);
	if (width == 4 && in->opsize == 2)
		base &= 0xffffff;
	if (width == 8 && !canonical(base))
		return raise_gp(c);
	t->limit = le16_get(buf);
	t->base = base;
	return X86_OK;
}

static int dtr_store(struct vcpu *v, const struct x86_insn *in,
		     const struct x86_dtr *t)
{
	struct x86_cpu *c = &v->cpu;
	uint8_t buf[10];

	if (umip_forbids(c))
		return raise_gp(c);
	le16_put(buf, t->limit);
	le64_put(buf + 2, t->base);
	return seg_write(v, in->seg, interp_ea(v, in), buf,
			 c->code_bits == 64 ? 10 : 6);
}

int op_lgdt(struct vcpu *v, const struct x86_insn *in)
{
	interp_serialize();
	return dtr_load(v, in, &v->cpu.gdtr);
}

int op_lidt(struct vcpu *v, const struct x86_insn *in)
{
	interp_serialize();
	return dtr_load(v, in, &v->cpu.idtr);
}

int op_sgdt(struct vcpu *v, const struct x86_insn *in)
{
	return dtr_store(v, in, &v->cpu.gdtr);
}

int op_sidt(struct vcpu *v, const struct x86_insn *in)
{
	return dtr_store(v, in, &v->cpu.idtr);
}

int op_sldt(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;

	if (!x86_protected(c))
		return raise_ud(c);
	if (umip_forbids(c))
		return raise_gp(c);
	return interp_put(v, in, 0, c->ldtr.sel);
}

int op_str(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;

	if (!x86_protected(c))
		return raise_ud(c);
	if (umip_forbids(c))
		return raise_gp(c);
	return interp_put(v, in, 0, c->tr.sel);
}

/* The descriptor of LLDT or LTR: a system segment in the GDT. */
static int system_desc(struct vcpu *v, uint16_t sel, bool tss, struct x86_desc *d)
{
	struct x86_cpu *c = &v->cpu;
	unsigned type;

	if (sel & 4)
		return raise_sel(c, X86_EXC_GP, sel);
	if (desc_read(v, sel, X86_EXC_GP, d) != X86_OK)
		return X86_FAULT;
	type = attr_type(d->seg.attr);
	if (tss ? type != DESC_TSS32 && (type != DESC_TSS16 || c->long_mode) :
	    type != DESC_LDT)
		return raise_sel(c, X86_EXC_GP, sel);
	if (!(d->seg.attr & X86_SEG_P))
		return raise_sel(c, X86_EXC_NP, sel);
	if (c->long_mode && (!canonical(d->seg.base) || (d->hi64_hi & 0x1f00)))
		return raise_sel(c, X86_EXC_GP, sel);
	return X86_OK;
}

int op_lldt(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	struct x86_desc d;
	uint64_t sel;

	interp_serialize();
	if (!x86_protected(c))
		return raise_ud(c);
	if (c->cpl)
		return raise_gp(c);
	if (interp_get(v, in, 0, &sel) != X86_OK)
		return X86_FAULT;
	if (sel_null((uint16_t)sel)) {
		c->ldtr = (struct x86_seg){ .sel = (uint16_t)sel,
			.attr = X86_SEG_NULL };
		return X86_OK;
	}
	if (system_desc(v, (uint16_t)sel, false, &d) != X86_OK)
		return X86_FAULT;
	c->ldtr = d.seg;
	return X86_OK;
}

int op_ltr(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	struct x86_desc d;
	uint64_t sel;

	interp_serialize();
	if (!x86_protected(c))
		return raise_ud(c);
	if (c->cpl)
		return raise_gp(c);
	if (interp_get(v, in, 0, &sel) != X86_OK)
		return X86_FAULT;
	if (sel_null((uint16_t)sel))
		return raise_gp(c);
	if (system_desc(v, (uint16_t)sel, true, &d) != X86_OK ||
	    desc_busy(v, &d, true) != X86_OK)
		return X86_FAULT;
	c->tr = d.seg;
	c->tr.attr |= 2;
	return X86_OK;
}

/* --- TLB and caches ---------------------------------------------------------------- */

int op_invlpg(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint64_t gva = interp_ea(v, in);

	interp_serialize();
	if (c->cpl)
		return raise_gp(c);
	if (c->code_bits == 64) {
		if (in->seg == X86_FS || in->seg == X86_GS)
			gva += c->seg[in->seg].base;
		if (!canonical(gva))
			return X86_OK;	/* as a NOP, SDM vol. 2 INVLPG */
	} else {
		gva = (uint32_t)(gva + c->seg[in->seg].base);
	}
	sys_flush(v, VCPU_FLUSH_PAGE, gva);
	return X86_OK;
}

/* SDM vol. 2, INVPCID: a page, all of a PCID, all, all that is not global. */
enum { INVPCID_PAGE, INVPCID_ONE, INVPCID_ALL, INVPCID_NONGLOBAL };

int op_invpcid(struct vcpu *v, const struct x86_insn *in)
{
	struct x86_cpu *c = &v->cpu;
	uint8_t buf[16];
	uint64_t type, pcid, gva;
	bool here;

	interp_serialize();
	if (c->cpl)
		return raise_gp(c);
	if (interp_get(v, in, 0, &type) != X86_OK ||
	    seg_read(v, in->seg, interp_ea(v, in), buf, 16) != X86_OK)
		return X86_FAULT;
	pcid = le64_get(buf);
	gva = le64_get(buf + 8);
	if (type > INVPCID_NONGLOBAL || pcid >> 12 ||
	    (type <= INVPCID_ONE && pcid && !(c->cr4 & X86_CR4_PCIDE)) ||
	    (type == INVPCID_PAGE && !canonical(gva)))
		return raise_gp(c);
	here = pcid == x86_pcid(c);
	if (type > INVPCID_ONE)
		sys_flush(v, VCPU_FLUSH_ALL, 0);
	else if (!here)		/* a page: as all of them */
		sys_flush(v, VCPU_FLUSH_OTHER, pcid);
	else if (type == INVPCID_PAGE)
		sys_flush(v, VCPU_FLUSH_PAGE, gva);
	else
		sys_flush(v, VCPU_FLUSH_NONGLOBAL, 0);
	return X86_OK;
}

int op_invd(struct vcpu *v, const struct x86_insn *in)
{
	interp_serialize();
	return v->cpu.cpl ? raise_gp(&v->cpu) : X86_OK;
}

int op_wbinvd(struct vcpu *v, const struct x86_insn *in)
{
	interp_serialize();
	return v->cpu.cpl ? raise_gp(&v->cpu) : X86_OK;
}
